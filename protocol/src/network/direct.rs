//! The id of a direct room (N-35 to N-37).

use sha2::{Digest, Sha256};

use super::ids::{ChannelName, DirectId, PeerName, WorkspaceRef};

const DOMAIN: &str = "agh-network/direct-room/v0";

/// A room needs two different peers (N-35).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a direct room needs two different peers; name another one")]
pub struct SamePeer;

/// The two peers of a room in their fixed order: `a` sorts before `b`, bytewise (N-35).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    a: PeerName,
    b: PeerName,
}

impl Pair {
    /// Puts two peers in order.
    ///
    /// # Errors
    /// [`SamePeer`] when both are one.
    pub fn of(one: &PeerName, other: &PeerName) -> Result<Self, SamePeer> {
        match one.cmp(other) {
            std::cmp::Ordering::Less => Ok(Self { a: one.clone(), b: other.clone() }),
            std::cmp::Ordering::Greater => Ok(Self { a: other.clone(), b: one.clone() }),
            std::cmp::Ordering::Equal => Err(SamePeer),
        }
    }

    /// The smaller peer, `peer_a` of the API.
    pub fn a(&self) -> &PeerName {
        &self.a
    }

    /// The larger peer, `peer_b` of the API.
    pub fn b(&self) -> &PeerName {
        &self.b
    }

    /// True when `peer` is one of the two.
    pub fn has(&self, peer: &PeerName) -> bool {
        self.a == *peer || self.b == *peer
    }

    /// The member that is not `peer`; `None` when `peer` is no member.
    pub fn other(&self, peer: &PeerName) -> Option<&PeerName> {
        match peer {
            peer if self.a == *peer => Some(&self.b),
            peer if self.b == *peer => Some(&self.a),
            _ => None,
        }
    }

    /// The room of the two in one channel of one workspace (N-36).
    pub fn room(&self, workspace: &WorkspaceRef, channel: &ChannelName) -> DirectId {
        let mut hash = Sha256::new();
        hash.update(DOMAIN);
        for part in [workspace.as_str(), channel.as_str(), self.a.as_str(), self.b.as_str()] {
            hash.update([0]);
            hash.update(part);
        }
        DirectId::from_hash(&hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &str) -> PeerName {
        PeerName::parse(name).unwrap()
    }

    fn room(workspace: &str, channel: &str, one: &str, other: &str) -> String {
        let pair = Pair::of(&peer(one), &peer(other)).unwrap();
        pair.room(&WorkspaceRef::parse(workspace).unwrap(), &ChannelName::parse(channel).unwrap()).to_string()
    }

    #[test]
    fn room_ids_match_the_vectors_n37() {
        let (coder, reviewer) = ("coder.sess-abc", "reviewer.sess-xyz");
        let long = ("coder.sess-0123456789abcdef", "reviewer.sess-fedcba9876543210");
        let vectors = [
            ("wks_test", "builders", coder, reviewer, "direct_fd3aece517c733f67bb4f4c6505a66dc"),
            ("ws_alpha", "builders", coder, reviewer, "direct_e4308355d65d864debcf1a985ffba0ac"),
            ("ws_alpha", "reviews", coder, reviewer, "direct_522b9ff5ea1294bac10e68d0172a153d"),
            ("ws_beta", "builders", coder, reviewer, "direct_9f913db79d670af487a49fbe16ccf4f2"),
            ("ws_alpha", "builders", long.0, long.1, "direct_147476c2c30d6ce6129fa427821f3f55"),
        ];
        for (workspace, channel, one, other, id) in vectors {
            assert_eq!(room(workspace, channel, one, other), id);
            assert_eq!(
                room(workspace, channel, other, one),
                id,
                "the order of asking does not matter (N-35)"
            );
        }
    }

    #[test]
    fn nobody_has_a_room_with_himself_n35() {
        assert_eq!(Pair::of(&peer("coder.a"), &peer("coder.a")), Err(SamePeer));
    }

    #[test]
    fn a_pair_knows_its_members() {
        let pair = Pair::of(&peer("b"), &peer("a")).unwrap();
        assert_eq!((pair.a().as_str(), pair.b().as_str()), ("a", "b"));
        assert_eq!(pair.other(&peer("a")), Some(&peer("b")));
        assert_eq!(pair.other(&peer("c")), None);
        assert!(pair.has(&peer("b")) && !pair.has(&peer("c")));
    }
}
