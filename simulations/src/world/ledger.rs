//! What the people of a world said, what their nodes told them, and what was wrong with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use muster_actors::SendRequest;
use muster_protocol::{
    ids::{StreamId, WorkspaceId},
    principal::Principal,
};

/// What a person was told about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Nothing yet: it may be stored or not.
    Nothing,
    /// It is stored; at this place in the timeline, if that was told.
    Taken(Option<u64>),
    /// It is not stored.
    Refused,
}

/// A message as its sender meant it.
#[derive(Debug, Clone)]
pub struct Said {
    /// The node.
    pub node: usize,
    /// What the node was asked to send, but for the session.
    pub request: SendRequest,
    /// What its sender was told.
    pub told: Told,
}

impl Said {
    /// The one peer it is for: what stands in a thread is for everybody, whomever it addresses.
    pub fn only_for(&self) -> Option<&str> {
        self.request.to.as_deref().filter(|_| self.request.thread_id.is_none())
    }
}

/// A piece of work as whoever opens it means it.
#[derive(Debug, Clone)]
pub struct Errand {
    /// Its id; others may mean another work by it.
    pub work: String,
    /// Its channel.
    pub channel: String,
    /// Its thread, when it is not in a room.
    pub thread: Option<String>,
    /// Who opens it.
    pub opener: String,
    /// Who is to do it.
    pub target: String,
}

/// A direct room that a person was shown.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resolved {
    /// Its channel.
    pub channel: String,
    /// Its id.
    pub room: String,
    /// Its two peers, in their order.
    pub peers: [String; 2],
}

/// A session that a person was told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The node.
    pub node: usize,
    /// Its id.
    pub id: String,
    /// Its peer.
    pub peer: String,
    /// Its channel.
    pub channel: String,
    /// The number of its node's newest event when it was known to have started.
    pub since: u64,
}

/// Something that was said in private, and acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confided {
    /// The node.
    pub node: usize,
    /// Where.
    pub stream: StreamId,
    /// What; nobody says the same twice.
    pub text: String,
}

/// See [`Ledger::promised`].
pub(super) struct Promised {
    said: BTreeSet<Key>,
    rooms: BTreeSet<Resolved>,
}

/// Sender and id of a message.
pub(crate) type Key = (String, String);

#[derive(Default)]
struct Book {
    workspace: Option<WorkspaceId>,
    ticket: Option<String>,
    said: BTreeMap<Key, Said>,
    sessions: Vec<Session>,
    errands: Vec<Errand>,
    resolved: BTreeSet<Resolved>,
    violations: Vec<String>,
    forgotten: BTreeSet<Key>,
    came_back: BTreeSet<usize>,
    lives: BTreeMap<usize, usize>,
    people: BTreeMap<usize, Principal>,
    confidences: Vec<Confided>,
    calm: bool,
}

/// See the module. Clones are handles on the same ledger.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Mutex<Book>>);

impl Ledger {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The workspace was founded, and this lets others in.
    pub fn found(&self, workspace: WorkspaceId, ticket: String) {
        let mut book = self.book();
        (book.workspace, book.ticket) = (Some(workspace), Some(ticket));
    }

    /// The workspace, once founded.
    pub fn workspace(&self) -> Option<WorkspaceId> {
        self.book().workspace
    }

    /// What lets others in.
    pub fn ticket(&self) -> Option<String> {
        self.book().ticket.clone()
    }

    /// Somebody is about to say something.
    pub fn say(&self, key: Key, said: Said) {
        if self.book().said.insert(key.clone(), said).is_some() {
            self.wrong(format!("the simulation used {key:?} twice"));
        }
    }

    /// How many messages were acknowledged.
    pub fn taken(&self) -> u64 {
        self.book().said.values().filter(|said| matches!(said.told, Told::Taken(_))).count() as u64
    }

    /// A node told that a message is stored.
    pub fn told_taken(&self, key: &Key, sequence: Option<u64>) {
        let mut book = self.book();
        let Some(said) = book.said.get_mut(key) else { return };
        let before = said.told;
        said.told = match (before, sequence) {
            (Told::Taken(Some(known)), None) => Told::Taken(Some(known)),
            (_, sequence) => Told::Taken(sequence),
        };
        if let (Told::Taken(_), Some(sequence)) = (before, sequence) {
            let what = format!("{key:?} was stored again, at {sequence}, after it had been acknowledged");
            book.violations.push(what);
        }
    }

    /// What a node's people were promised so far: the messages it acknowledged, and the rooms that anybody saw.
    pub(super) fn promised(&self, node: usize) -> Promised {
        let book = self.book();
        let is_taken = |said: &Said| said.node == node && matches!(said.told, Told::Taken(_));
        let said = book.said.iter().filter(|(_, said)| is_taken(said)).map(|(key, _)| key.clone());
        Promised { said: said.collect(), rooms: book.resolved.clone() }
    }

    /// A node is back as it was when it had promised no more than this. What it promised since may be anywhere
    /// or nowhere now, as if nobody had been told.
    pub(super) fn forget(&self, node: usize, promised: &Promised) {
        let mut book = self.book();
        let own: BTreeSet<_> = book
            .sessions
            .iter()
            .filter(|session| session.node == node)
            .map(|session| session.peer.clone())
            .collect();
        let Book { said, forgotten, came_back, .. } = &mut *book;
        for (key, said) in
            said.iter_mut().filter(|(key, said)| said.node == node && !promised.said.contains(key))
        {
            forgotten.insert(key.clone());
            if matches!(said.told, Told::Taken(_)) {
                said.told = Told::Nothing;
            }
        }
        came_back.insert(node);
        *book.lives.entry(node).or_insert(0) += 1;
        book.resolved.retain(|room| {
            promised.rooms.contains(room) || !room.peers.iter().any(|peer| own.contains(peer))
        });
    }

    /// Whether its node may have forgotten a message. Nobody sends that again: it might stand twice then, once as
    /// the others remember it.
    pub(super) fn is_forgotten(&self, key: &Key) -> bool {
        self.book().forgotten.contains(key)
    }

    /// Whether a peer's node ever came back from a copy: it may answer once more what it forgot to have answered.
    pub(crate) fn came_back(&self, peer: &str) -> bool {
        let book = self.book();
        book.sessions.iter().any(|session| session.peer == peer && book.came_back.contains(&session.node))
    }

    /// How often a node came back from a copy so far.
    pub fn lives(&self, node: usize) -> usize {
        self.book().lives.get(&node).copied().unwrap_or_default()
    }

    /// The person at a node has a name.
    pub fn became(&self, node: usize, person: Principal) {
        self.book().people.insert(node, person);
    }

    /// The people of all nodes, as far as they have names.
    pub fn people(&self) -> BTreeMap<usize, Principal> {
        self.book().people.clone()
    }

    /// Something private was acknowledged.
    pub fn confide(&self, confided: Confided) {
        self.book().confidences.push(confided);
    }

    /// All that was said in private and acknowledged.
    pub fn confidences(&self) -> Vec<Confided> {
        self.book().confidences.clone()
    }

    /// Whether any node did.
    pub(super) fn anybody_came_back(&self) -> bool {
        !self.book().came_back.is_empty()
    }

    /// A node told that a message is not stored.
    pub fn told_refused(&self, key: &Key) {
        if let Some(said) = self.book().said.get_mut(key) {
            said.told = Told::Refused;
        }
    }

    /// Somebody is about to open a work.
    pub fn give(&self, errand: Errand) {
        self.book().errands.push(errand);
    }

    /// The works of a channel, in the order in which they were given.
    pub fn errands(&self, channel: &str) -> Vec<Errand> {
        self.book().errands.iter().filter(|errand| errand.channel == channel).cloned().collect()
    }

    /// A node showed a direct room.
    pub fn resolved(&self, room: Resolved) {
        self.book().resolved.insert(room);
    }

    /// All direct rooms that were shown.
    pub fn rooms(&self) -> BTreeSet<Resolved> {
        self.book().resolved.clone()
    }

    /// A session is known.
    pub fn started(&self, session: Session) {
        self.book().sessions.push(session);
    }

    /// All that was said.
    pub fn said(&self) -> BTreeMap<Key, Said> {
        self.book().said.clone()
    }

    /// All sessions.
    pub fn sessions(&self) -> Vec<Session> {
        self.book().sessions.clone()
    }

    /// Something is wrong.
    pub fn wrong(&self, what: String) {
        self.book().violations.push(what);
    }

    /// All that is wrong.
    pub fn violations(&self) -> Vec<String> {
        self.book().violations.clone()
    }

    /// From now on nobody is disturbed.
    pub fn calm(&self) {
        self.book().calm = true;
    }

    /// Whether nobody is disturbed any more.
    pub fn is_calm(&self) -> bool {
        self.book().calm
    }
}
