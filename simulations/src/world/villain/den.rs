//! What the villains of a world know together: all that one of them was told, each could have been told.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use muster_protocol::{
    control::ControlState,
    identity::{Identity, NodeId},
    ids::{LogId, SpaceId},
    network::PeerName,
    operation::Operation,
    session,
    sync::Height,
};

/// Frames and presence messages that are remembered, to be sent again.
const REMEMBERED: usize = 128;
/// Wire bytes of operations handed out for one question at most.
const PAGE_BYTES: usize = 200 * 1024;

#[derive(Default)]
struct Book {
    control: Option<ControlState>,
    /// Operations by log and place; of a place where a log forks, all of them.
    held: BTreeMap<LogId, BTreeMap<u64, Vec<Operation>>>,
    frames: VecDeque<Vec<u8>>,
    presences: VecDeque<Vec<u8>>,
    joined: BTreeSet<NodeId>,
    removed: BTreeMap<NodeId, u64>,
    deeds: u64,
}

/// See the module.
#[derive(Default)]
pub struct Den {
    identities: Vec<Arc<Identity>>,
    ids: Vec<NodeId>,
    book: Mutex<Book>,
}

impl Den {
    pub(in crate::world) fn new(identities: Vec<Arc<Identity>>) -> Self {
        let ids = identities.iter().map(|identity| identity.node()).collect();
        Self { identities, ids, book: Mutex::default() }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn identities(&self) -> &[Arc<Identity>] {
        &self.identities
    }

    /// All villains of the world, in all their lives.
    pub fn ids(&self) -> &[NodeId] {
        &self.ids
    }

    /// Whether a node is one of them.
    pub fn is_villain(&self, node: NodeId) -> bool {
        self.ids.contains(&node)
    }

    /// Whether a peer is a session of one of them.
    pub fn speaks_as(&self, peer: &str) -> bool {
        let Ok(peer) = PeerName::parse(peer) else { return false };
        self.ids.iter().any(|node| session::may_speak_as(*node, &peer))
    }

    /// Whether a villain gave a message this id.
    pub fn gave(&self, id: &str) -> bool {
        id.starts_with(super::pen::ID_PREFIX)
    }

    // ---- who they are --------------------------------------------------------------------------

    pub(super) fn joined(&self, node: NodeId) {
        self.book().joined.insert(node);
    }

    pub(super) fn has_joined(&self, node: NodeId) -> bool {
        self.book().joined.contains(&node)
    }

    pub(super) fn removed(&self, node: NodeId, height: u64) {
        self.book().removed.insert(node, height);
    }

    /// Who of them was removed, and at which control height.
    pub(crate) fn removals(&self) -> BTreeMap<NodeId, u64> {
        self.book().removed.clone()
    }

    /// The control height at which the home removed one of them.
    pub(super) fn removed_at(&self, node: NodeId) -> Option<u64> {
        self.book().removed.get(&node).copied()
    }

    pub(super) fn is_removed(&self, node: NodeId) -> bool {
        self.removed_at(node).is_some()
    }

    /// Counts a deed.
    pub(super) fn count(&self) {
        self.book().deeds += 1;
    }

    /// How many deeds were done.
    pub fn deeds(&self) -> u64 {
        self.book().deeds
    }

    // ---- the control log -----------------------------------------------------------------------

    pub(super) fn found(&self, genesis: &Operation) {
        let mut book = self.book();
        if book.control.is_none() {
            book.control = ControlState::begin(genesis).ok();
        }
    }

    pub(super) fn space(&self) -> Option<SpaceId> {
        self.book().control.as_ref().map(ControlState::space)
    }

    pub(super) fn control_height(&self) -> u64 {
        self.book().control.as_ref().map_or(0, ControlState::height)
    }

    pub(super) fn take_entry(&self, entry: &Operation) {
        if let Some(control) = &mut self.book().control {
            // What does not come next is known, or comes again.
            let _ = control.apply(entry);
        }
    }

    // ---- operations ----------------------------------------------------------------------------

    pub(super) fn keep(&self, op: &Operation) {
        let mut book = self.book();
        let place = book.held.entry(op.header().log()).or_default().entry(op.header().seq).or_default();
        if !place.contains(op) {
            place.push(op.clone());
        }
    }

    pub(super) fn heights(&self, space: SpaceId) -> Vec<Height> {
        let book = self.book();
        let logs = book.held.iter().filter(|(log, _)| log.space == space);
        logs.filter_map(|(log, held)| {
            let seq = *held.last_key_value()?.0;
            Some(Height { author: log.author, incarnation: log.incarnation, seq })
        })
        .collect()
    }

    pub(super) fn height(&self, log: &LogId) -> u64 {
        let book = self.book();
        book.held.get(log).and_then(|held| held.last_key_value()).map_or(0, |(seq, _)| *seq)
    }

    /// A page of a log as it is told to one node: where it forks, some are told one branch and some the other.
    pub(super) fn page(&self, log: &LogId, from: u64, to: NodeId) -> Vec<Operation> {
        let book = self.book();
        let (mut page, mut bytes) = (Vec::new(), 0);
        for branches in book.held.get(log).into_iter().flat_map(|held| held.range(from..)).map(|(_, of)| of) {
            let Some(op) = branches.get(usize::from(to.as_bytes()[1]) % branches.len().max(1)) else { break };
            bytes += op.header_bytes().len() + op.body().map_or(0, <[u8]>::len) + 100;
            if bytes > PAGE_BYTES && !page.is_empty() || page.len() >= 100 {
                break;
            }
            page.push(op.clone());
        }
        page
    }

    /// The `pick`th of all operations held.
    pub(super) fn any(&self, pick: u64) -> Option<Operation> {
        let book = self.book();
        let logs: Vec<_> = book.held.values().collect();
        let log = logs.get(usize::try_from(pick).ok()? % logs.len().max(1))?;
        let seqs: Vec<_> = log.values().flatten().collect();
        seqs.get(usize::try_from(pick >> 16).ok()? % seqs.len().max(1)).map(|op| (*op).clone())
    }

    // ---- what was heard ------------------------------------------------------------------------

    pub(super) fn keep_frame(&self, frame: &[u8]) {
        let mut book = self.book();
        book.frames.push_back(frame.to_vec());
        if book.frames.len() > REMEMBERED {
            book.frames.pop_front();
        }
    }

    pub(super) fn frame(&self, pick: u64) -> Option<Vec<u8>> {
        let book = self.book();
        book.frames.get(usize::try_from(pick).ok()? % book.frames.len().max(1)).cloned()
    }

    pub(super) fn keep_presence(&self, bytes: Vec<u8>) {
        let mut book = self.book();
        book.presences.push_back(bytes);
        if book.presences.len() > REMEMBERED {
            book.presences.pop_front();
        }
    }

    pub(super) fn presence(&self, pick: u64) -> Option<Vec<u8>> {
        let book = self.book();
        book.presences.get(usize::try_from(pick).ok()? % book.presences.len().max(1)).cloned()
    }
}
