//! Ids of sessions, which say themselves to which node they belong.
//!
//! A peer of the Network door is called `agent.session-id` (N-5), and nothing in that grammar names a node.
//! So half of a session id is random and half is a hash of the node and that random half: everybody can
//! check that the author of an operation may speak as the peer it names, without having heard of
//! that peer before and in whatever order things arrive.

use crate::{identity::NodeId, ids::hash, network::PeerName};

const PREFIX: &str = "sess-";

/// The id of a new session of `node`: `sess-` and 32 hex digits.
pub fn session_id(node: NodeId, random: [u8; 8]) -> String {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&random);
    bytes[8..].copy_from_slice(&tag(node, &random));
    format!("{PREFIX}{}", data_encoding::HEXLOWER.encode(&bytes))
}

fn tag(node: NodeId, random: &[u8]) -> [u8; 8] {
    let whole = hash("muster/session/v1", &[node.as_bytes(), random]);
    let mut tag = [0; 8];
    tag.copy_from_slice(&whole[..8]);
    tag
}

/// The session id inside a peer's name, if it is the peer of a session.
pub fn session_of(peer: &PeerName) -> Option<&str> {
    let (_, session) = peer.as_str().rsplit_once('.')?;
    session.starts_with(PREFIX).then_some(session)
}

/// Whether `node` may speak as `peer`.
pub fn may_speak_as(node: NodeId, peer: &PeerName) -> bool {
    let bytes = session_of(peer)
        .and_then(|session| session.strip_prefix(PREFIX))
        .and_then(|digits| data_encoding::HEXLOWER.decode(digits.as_bytes()).ok());
    match bytes.as_deref() {
        Some(bytes) if bytes.len() == 16 => bytes[8..] == tag(node, &bytes[..8]),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;

    #[test]
    fn only_the_node_of_a_session_may_speak_as_its_peer() {
        let (ada, bob) = (Identity::from_seed([1; 32]).node(), Identity::from_seed([2; 32]).node());
        let peer = PeerName::of_session("coder.v2", &session_id(ada, [7; 8])).unwrap();
        assert!(may_speak_as(ada, &peer));
        assert!(!may_speak_as(bob, &peer));
        assert_eq!(session_of(&peer), Some(session_id(ada, [7; 8]).as_str()));
    }

    #[test]
    fn a_name_that_is_no_session_speaks_for_nobody() {
        let ada = Identity::from_seed([1; 32]).node();
        for name in ["coder", "coder.sess-0123456789abcdef", "coder.sess-xyz", "coder.usr-01"] {
            assert!(!may_speak_as(ada, &PeerName::parse(name).unwrap()), "{name}");
        }
    }
}
