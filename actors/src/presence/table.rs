//! The peers of other nodes that were heard of, as readers see them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

use muster_protocol::{
    identity::NodeId,
    ids::SpaceId,
    limits,
    network::{Capability, CapabilityCatalog, ChannelName, PeerCard, PeerName},
};

use crate::context::lock;

/// A peer of another node.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RemotePeer {
    /// Its node.
    pub(crate) node: NodeId,
    /// Its card.
    pub(crate) card: PeerCard,
    /// Its capability documents, when it told them (N-71).
    pub(crate) catalog: Option<Vec<Capability>>,
    /// When it was last heard of, Unix milliseconds of our clock.
    pub(crate) last_seen_ms: u64,
    /// The same in monotonic milliseconds: what counts for expiry.
    pub(crate) heard_ms: u64,
}

/// Greets of a channel since the node started, and the newest.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Greets {
    pub(crate) count: u64,
    pub(crate) last_ms: u64,
}

/// A peer in a channel of a workspace.
pub(crate) type PeerKey = (SpaceId, ChannelName, PeerName);

/// What was heard of a peer of another node.
pub(crate) struct Heard {
    pub(crate) node: NodeId,
    pub(crate) card: PeerCard,
    /// Its documents, if it told them now.
    pub(crate) catalog: Option<CapabilityCatalog>,
    /// When, by both clocks.
    pub(crate) wall_ms: u64,
    pub(crate) monotonic_ms: u64,
}

#[derive(Default)]
struct Table {
    peers: BTreeMap<PeerKey, RemotePeer>,
    greets: BTreeMap<(SpaceId, ChannelName), Greets>,
}

/// The remote peers heard of.
#[derive(Default)]
pub(crate) struct PresenceTable(Mutex<Table>);

impl PresenceTable {
    fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.0)
    }

    /// Remote peers of a space, or of one channel of it, not expired at `now_ms` (monotonic).
    pub(crate) fn remote(
        &self,
        space: SpaceId,
        channel: Option<&ChannelName>,
        now_ms: u64,
        interval_ms: u64,
    ) -> Vec<(ChannelName, RemotePeer)> {
        let table = self.table();
        let of_space = table.peers.iter().filter(|((of, name, _), peer)| {
            *of == space
                && channel.is_none_or(|channel| channel == name)
                && is_present(peer, now_ms, interval_ms)
        });
        of_space.map(|((_, channel, _), peer)| (channel.clone(), peer.clone())).collect()
    }

    /// The node of a peer that is not expired.
    pub(crate) fn node_of(&self, key: &PeerKey, now_ms: u64, interval_ms: u64) -> Option<NodeId> {
        let table = self.table();
        table.peers.get(key).filter(|peer| is_present(peer, now_ms, interval_ms)).map(|peer| peer.node)
    }

    pub(crate) fn greets(&self, space: SpaceId, channel: &ChannelName) -> Greets {
        self.table().greets.get(&(space, channel.clone())).copied().unwrap_or_default()
    }

    pub(super) fn greeted(&self, space: SpaceId, channel: &ChannelName, at_ms: u64) {
        let (mut table, key) = (self.table(), (space, channel.clone()));
        if table.greets.len() < limits::GREETED_CHANNELS_MAX || table.greets.contains_key(&key) {
            let greets = table.greets.entry(key).or_default();
            (greets.count, greets.last_ms) = (greets.count + 1, at_ms);
        }
    }

    /// Makes or refreshes an entry (N-56); true when the peer was not there before. Of more peers than
    /// [`limits::REMOTE_PEERS_MAX`] no new ones are taken.
    pub(super) fn hear(&self, key: PeerKey, heard: Heard) -> bool {
        let mut table = self.table();
        let known = table.peers.get(&key);
        if known.is_none() && table.peers.len() >= limits::REMOTE_PEERS_MAX {
            return false;
        }
        let Heard { node, card, catalog, wall_ms, monotonic_ms } = heard;
        let told = catalog.filter(|catalog| catalog.fits_card_ids(&card.capabilities));
        let catalog = match (told, known) {
            (Some(told), _) => Some(told.capabilities).filter(|_| table.has_room_for_catalog(&key)),
            (None, Some(known)) if known.card.capabilities == card.capabilities => known.catalog.clone(),
            _ => None,
        };
        let peer = RemotePeer { node, card, catalog, last_seen_ms: wall_ms, heard_ms: monotonic_ms };
        table.peers.insert(key, peer).is_none()
    }

    /// Takes a peer out that left; true when it was there.
    pub(super) fn leave(&self, key: &PeerKey) -> bool {
        self.table().peers.remove(key).is_some()
    }

    /// Takes out who was not heard of for two intervals, and says who.
    pub(super) fn expire(&self, now_ms: u64, interval_ms: u64) -> Vec<(PeerKey, NodeId)> {
        let mut gone = Vec::new();
        self.table().peers.retain(|key, peer| {
            let present = is_present(peer, now_ms, interval_ms);
            if !present {
                gone.push((key.clone(), peer.node));
            }
            present
        });
        gone
    }
}

impl Table {
    fn has_room_for_catalog(&self, key: &PeerKey) -> bool {
        let others = self.peers.iter().filter(|(of, peer)| peer.catalog.is_some() && *of != key);
        others.count() < limits::REMOTE_CATALOGS_MAX
    }
}

fn is_present(peer: &RemotePeer, now_ms: u64, interval_ms: u64) -> bool {
    now_ms < peer.heard_ms.saturating_add(2 * interval_ms)
}

#[cfg(test)]
mod tests {
    use muster_protocol::identity::Identity;

    use super::*;

    const INTERVAL_MS: u64 = 30_000;

    fn key(peer: &str) -> PeerKey {
        (SpaceId([1; 32]), ChannelName::parse("builders").unwrap(), PeerName::parse(peer).unwrap())
    }

    fn document(id: &str) -> Capability {
        let (summary, outcome) = ("sum".to_owned(), "out".to_owned());
        Capability { id: id.to_owned(), summary, outcome, ..Capability::default() }.with_own_digest()
    }

    fn catalog(ids: &[&str]) -> CapabilityCatalog {
        CapabilityCatalog { capabilities: ids.iter().map(|id| document(id)).collect() }
    }

    fn heard(peer: &str, ids: &[&str], told: Option<CapabilityCatalog>, at_ms: u64) -> Heard {
        let card = PeerCard::local(PeerName::parse(peer).unwrap(), None, &catalog(ids));
        let node = Identity::from_seed([2; 32]).node();
        Heard { node, card, catalog: told, wall_ms: at_ms, monotonic_ms: at_ms }
    }

    fn known(table: &PresenceTable, peer: &str) -> Option<usize> {
        let peers = table.remote(key(peer).0, None, 0, INTERVAL_MS);
        let peer = peers.into_iter().find(|(_, found)| found.card.peer_id.as_str() == peer);
        peer.and_then(|(_, peer)| peer.catalog).map(|catalog| catalog.len())
    }

    #[test]
    fn documents_are_kept_only_while_they_fit_the_card_n71() {
        let table = PresenceTable::default();
        table.hear(key("a.s"), heard("a.s", &["x", "y"], Some(catalog(&["x"])), 0));
        assert_eq!(known(&table, "a.s"), None, "not exactly the card's ids");
        table.hear(key("a.s"), heard("a.s", &["x", "y"], Some(catalog(&["y", "x"])), 0));
        assert_eq!(known(&table, "a.s"), Some(2), "in any order");
        table.hear(key("a.s"), heard("a.s", &["x", "y"], None, 0));
        assert_eq!(known(&table, "a.s"), Some(2), "a greet with the same list keeps them");
        table.hear(key("a.s"), heard("a.s", &["y", "x"], None, 0));
        assert_eq!(known(&table, "a.s"), None, "another order forgets them");
    }

    #[test]
    fn documents_of_a_limited_number_of_peers_are_kept() {
        let table = PresenceTable::default();
        for number in 0..=limits::REMOTE_CATALOGS_MAX {
            let peer = format!("a.s{number}");
            table.hear(key(&peer), heard(&peer, &["x"], Some(catalog(&["x"])), 0));
        }
        let last = format!("a.s{}", limits::REMOTE_CATALOGS_MAX);
        assert_eq!((known(&table, "a.s0"), known(&table, &last)), (Some(1), None));
        table.hear(key("a.s0"), heard("a.s0", &["x"], Some(catalog(&["x"])), 0));
        assert_eq!(known(&table, "a.s0"), Some(1), "who has them may tell them again");
    }

    #[test]
    fn greets_are_counted_in_a_limited_number_of_channels_n138() {
        let (table, space) = (PresenceTable::default(), SpaceId([1; 32]));
        let channel = |number: usize| ChannelName::parse(&format!("c{number}")).unwrap();
        (0..=limits::GREETED_CHANNELS_MAX).for_each(|number| table.greeted(space, &channel(number), 1));
        table.greeted(space, &channel(0), 2);
        let first = table.greets(space, &channel(0));
        assert_eq!((first.count, first.last_ms), (2, 2), "those known are counted on");
        assert_eq!(table.greets(space, &channel(limits::GREETED_CHANNELS_MAX)).count, 0);
    }

    #[test]
    fn a_peer_is_there_for_two_intervals_and_then_gone_for_all_n56() {
        let table = PresenceTable::default();
        assert!(table.hear(key("a.s"), heard("a.s", &[], None, 1_000)), "it came");
        assert!(!table.hear(key("a.s"), heard("a.s", &[], None, 2_000)), "it was there already");
        let end_ms = 2_000 + 2 * INTERVAL_MS;
        assert!(table.node_of(&key("a.s"), end_ms - 1, INTERVAL_MS).is_some());
        assert!(table.node_of(&key("a.s"), end_ms, INTERVAL_MS).is_none());
        assert!(table.remote(key("a.s").0, None, end_ms, INTERVAL_MS).is_empty());
        assert_eq!(table.expire(end_ms - 1, INTERVAL_MS).len(), 0);
        assert_eq!(table.expire(end_ms, INTERVAL_MS).len(), 1);
        assert!(!table.leave(&key("a.s")), "it is gone already");
    }
}
