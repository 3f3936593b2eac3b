//! The names to show for those who wrote (N-60).

use std::collections::BTreeMap;

use muster_protocol::{
    network::{ChannelName, PeerName},
    session::session_of,
};

use muster_actors::Unavailable;

use super::scope::Scope;
use crate::Doors;

/// Display names of the peers visible in one channel.
pub(super) struct Names(BTreeMap<PeerName, String>);

impl Names {
    /// As they are now.
    pub(super) fn of_channel(
        doors: &Doors,
        scope: &Scope,
        channel: &ChannelName,
    ) -> Result<Self, Unavailable> {
        let peers = doors.node.peers(scope.workspace.id, Some(channel))?;
        Ok(Self(peers.into_iter().map(|peer| (peer.peer, peer.display_name)).collect()))
    }

    /// What a visible peer calls itself; of one that is away, its agent's name; else the peer id.
    pub(super) fn of(&self, peer: &PeerName) -> String {
        self.0.get(peer).cloned().unwrap_or_else(|| agent_of(peer).to_owned())
    }
}

fn agent_of(peer: &PeerName) -> &str {
    let agent = session_of(peer).and_then(|session| peer.as_str().strip_suffix(session)?.strip_suffix('.'));
    agent.unwrap_or(peer.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_is_away_is_shown_by_its_agents_name_n60() {
        let named = |text: &str| Names(BTreeMap::new()).of(&PeerName::parse(text).unwrap());
        assert_eq!(named("coder.v2.sess-0123"), "coder.v2");
        assert_eq!(named("ada.usr-01"), "ada.usr-01");
    }
}
