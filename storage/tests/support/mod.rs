//! Nodes for tests: a real store each, on a disk in memory or in a file, and no actors.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

pub(crate) mod link;
pub(crate) mod recount;
pub(crate) mod talk;
pub(crate) mod team;

use std::{
    cell::Cell,
    path::Path,
    sync::{Arc, mpsc},
};

use muster_protocol::{
    cbor::{Bytes, Bytes16},
    clock::Hlc,
    content::ChannelOpened,
    control::{ControlState, Entry, Genesis, InviteCreated, MemberRemoved, Role},
    identity::{Identity, NodeId},
    ids::{LogId, OpId, SpaceId, StreamId, WorkspaceId},
    network::{
        Body, ChannelName, Container, Envelope, Kind, MessageId, PeerName, ThreadId, WorkspaceRef, proof,
    },
    operation::{self, Draft, Operation, Place},
    session::session_id,
    sync::{self, Height, Report, View as _},
    ticket::Ticket,
};
use muster_storage::{
    Batch, Disk, MessagePage, MessageRow, NewSession, OpenError, Options, Prepared, SendOutcome, Store,
    StoreError, SyncView, View, WorkspaceRow, crash::CrashDisk,
};

/// When all tests begin, in Unix milliseconds.
pub(crate) const START_MS: u64 = 1_800_000_000_000;

/// A node: its key, its store, its clock.
pub(crate) struct Node {
    pub(crate) identity: Arc<Identity>,
    pub(crate) store: Store,
    pub(crate) now_ms: Cell<u64>,
    /// Different for each session and invite.
    next: Cell<u8>,
    /// Where a store in memory is.
    disk: Option<CrashDisk>,
    _blobs: tempfile::TempDir,
}

/// A session of a node in a channel.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) peer: PeerName,
    pub(crate) channel: String,
}

pub(crate) fn options(blobs: &Path, fresh: u8) -> Options {
    Options {
        cache_bytes: 1 << 20,
        inbox_depth: 3,
        inline: true,
        fresh: [fresh; 24],
        blobs: blobs.to_owned(),
    }
}

impl Node {
    /// A node with a new store in memory.
    pub(crate) fn new(seed: u8) -> Self {
        Self::again(seed, seed)
    }

    /// A node with a new store in memory, and dice of its own: two of one seed are two lives of one node.
    pub(crate) fn again(seed: u8, fresh: u8) -> Self {
        let disk = CrashDisk::new();
        let node = Self::open(Disk::Backend(Box::new(disk.clone())), seed, fresh);
        Self { disk: Some(disk), ..node.expect("a new store opens") }
    }

    /// Closes a store in memory and opens it again.
    pub(crate) fn reopened(self) -> Self {
        let disk = self.disk.clone().expect("a store in memory");
        let (identity, now_ms, next) = (self.identity.clone(), self.now_ms.clone(), self.next.clone());
        drop(self);
        let blobs = tempfile::tempdir().unwrap();
        let backend = Disk::Backend(Box::new(disk.clone()));
        let store = Store::open(backend, identity.clone(), &options(blobs.path(), 99));
        Self { identity, store: store.unwrap(), now_ms, next, disk: Some(disk), _blobs: blobs }
    }

    pub(crate) fn open(disk: Disk, seed: u8, fresh: u8) -> Result<Self, OpenError> {
        let blobs = tempfile::tempdir().unwrap();
        let identity = Arc::new(Identity::from_seed([seed; 32]));
        let store = Store::open(disk, identity.clone(), &options(blobs.path(), fresh))?;
        let (now_ms, next) = (Cell::new(START_MS), Cell::new(0));
        Ok(Self { identity, store, now_ms, next, disk: None, _blobs: blobs })
    }

    /// Writes and waits for the reply.
    pub(crate) fn write<T, W>(&self, work: W) -> T
    where
        T: Send + 'static,
        W: FnOnce(&mut Batch<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, replied) = mpsc::channel();
        self.store
            .write(self.tick(), work, move |result| reply.send(result).unwrap())
            .expect("a write is taken");
        replied.recv().expect("a write is answered")
    }

    /// A second passes.
    pub(crate) fn tick(&self) -> u64 {
        self.now_ms.set(self.now_ms.get() + 1000);
        self.now_ms.get()
    }

    pub(crate) fn fresh(&self) -> u8 {
        self.next.set(self.next.get() + 1);
        self.next.get()
    }

    pub(crate) fn view(&self) -> View {
        self.store.view().unwrap()
    }

    pub(crate) fn workspace(&self, space: SpaceId) -> WorkspaceRow {
        self.view()
            .workspaces()
            .unwrap()
            .into_iter()
            .find(|row| row.space == space)
            .expect("a known workspace")
    }

    // ---- membership -------------------------------------------------------------------------------

    pub(crate) fn genesis(&self, name: &str) -> Genesis {
        Genesis {
            workspace: WorkspaceId::new(START_MS, [self.identity.node().as_bytes()[0]; 10]),
            name: name.to_owned(),
            founder: self.identity.node(),
            founder_name: "founder".to_owned(),
            created_ms: START_MS,
            parent: Vec::new(),
        }
    }

    pub(crate) fn found(&self) -> SpaceId {
        let genesis = self.genesis("Workshop");
        self.write(move |batch| batch.found(&genesis))
    }

    /// An entry that the home writes by itself.
    pub(crate) fn decide(
        &self,
        space: SpaceId,
        entry: Entry,
    ) -> Result<u64, muster_protocol::ask::AdminRefusal> {
        let me = self.identity.node();
        self.write(move |batch| batch.administer(space, me, entry, Vec::new()))
    }

    pub(crate) fn invite(&self, space: SpaceId, role: Role, uses_max: u32) -> Ticket {
        let mut invite = Bytes16([self.fresh(); 16]);
        invite.0[0] = self.identity.node().as_bytes()[0]; // two homes of one workspace use no id twice
        let not_after_ms = self.now_ms.get() + 1_000_000;
        let by = self.identity.node();
        let entry = InviteCreated {
            invite,
            by,
            role: role.code(),
            not_after_ms,
            uses_max,
            evidence: Bytes(Vec::new()),
        };
        self.decide(space, Entry::InviteCreated(entry)).expect("the home may invite");
        Ticket {
            space,
            workspace: self.workspace(space).id,
            name: "Workshop".to_owned(),
            home: by,
            addresses: Vec::new(),
            invite,
            issuer: by,
            role: role.code(),
            not_after_ms,
            audience: Vec::new(),
        }
    }

    /// Joins a workspace of `home` and learns its control log.
    pub(crate) fn join(&self, home: &Node, space: SpaceId, role: Role) {
        let ticket = home.invite(space, role, 1);
        let me = self.identity.node();
        let genesis =
            home.write(move |batch| batch.let_in(&ticket, me, "joiner", Vec::new())).expect("let in");
        let genesis = Operation::decode(&genesis).unwrap();
        assert_eq!(self.write(move |batch| batch.begin_space(&genesis)), Some(space));
        self.learn_control(home, space);
    }

    /// Takes over a whole workspace of another node, as who was a member of it before.
    pub(crate) fn learn(&self, other: &Node, space: SpaceId) {
        let entries = SyncView::new(&other.store).unwrap().control_entries(space, 1, 1).unwrap();
        let genesis = Operation::decode(&entries[0]).unwrap();
        self.write(move |batch| batch.begin_space(&genesis));
        self.learn_control(other, space);
    }

    /// Takes over the control log of another node.
    pub(crate) fn learn_control(&self, other: &Node, space: SpaceId) {
        let from = self.store.control(space).map_or(1, |control| control.height() + 1);
        let entries = SyncView::new(&other.store).unwrap().control_entries(space, from, usize::MAX).unwrap();
        let entries = entries.iter().map(|entry| Operation::decode(entry).unwrap()).collect();
        self.write(move |batch| batch.append_control(space, entries));
    }

    pub(crate) fn remove(&self, space: SpaceId, node: &Node) -> u64 {
        let removed =
            MemberRemoved { node: node.identity.node(), cut_offs: Vec::new(), evidence: Bytes(Vec::new()) };
        self.decide(space, Entry::MemberRemoved(removed)).expect("the home may remove")
    }

    /// Signs an entry of the control log that the store itself would not write, and takes it.
    pub(crate) fn force(&self, space: SpaceId, entry: &Entry) -> Report {
        let op = self.entry(space, entry);
        self.write(move |batch| batch.append_control(space, vec![op]))
    }

    pub(crate) fn entry(&self, space: SpaceId, entry: &Entry) -> Operation {
        let control = self.store.control(space).unwrap();
        let (kind, body) = entry.encode();
        let place = Place {
            space,
            incarnation: 0,
            seq: control.height() + 1,
            prev: control.head(),
            hlc: Hlc::from_ms(self.tick()),
            control_height: control.height(),
        };
        Operation::sign(&self.identity, place, Draft { kind, stream: StreamId::SPACE, body })
    }

    // ---- messages ---------------------------------------------------------------------------------

    pub(crate) fn session(&self, space: SpaceId, agent: &str, channel: &str) -> Session {
        let id = session_id(self.identity.node(), [self.fresh(); 8]);
        let peer = PeerName::of_session(agent, &id).unwrap();
        let new = NewSession {
            id: id.clone(),
            agent: agent.to_owned(),
            channel: channel.to_owned(),
            peer: peer.clone(),
        };
        let agent = agent.to_owned();
        self.write(move |batch| {
            batch.register_agent(space, &agent, "none", "[]")?;
            batch.start_sessions(space, &[new])
        })
        .expect("a session starts");
        Session { id, peer, channel: channel.to_owned() }
    }

    /// A signed `say` in a thread.
    pub(crate) fn envelope(
        &self,
        space: SpaceId,
        from: &Session,
        thread: &str,
        id: &str,
        text: &str,
    ) -> Envelope {
        let body = serde_json::json!({ "text": text });
        let mut envelope = Envelope {
            id: MessageId::parse(id).unwrap(),
            workspace_id: WorkspaceRef::parse(
                &self.store.control(space).unwrap().genesis().workspace.to_string(),
            )
            .unwrap(),
            kind: Kind::Say,
            channel: ChannelName::parse(&from.channel).unwrap(),
            container: Some(Container::Thread(ThreadId::parse(thread).unwrap())),
            from: from.peer.clone(),
            to: None,
            work_id: None,
            reply_to: None,
            trace_id: None,
            causation_id: None,
            ts: (self.now_ms.get() / 1000) as i64,
            expires_at: None,
            body: body.as_object().unwrap().clone(),
            proof: None,
            ext: None,
        };
        self.sign(&mut envelope);
        envelope
    }

    pub(crate) fn sign(&self, envelope: &mut Envelope) {
        proof::sign(envelope, self.identity.signing_key()).unwrap();
    }

    pub(crate) fn send(&self, space: SpaceId, envelope: &Envelope) -> SendOutcome {
        let (envelope, json) = (envelope.clone(), envelope.to_json().unwrap());
        self.write(move |batch| batch.send(space, None, &envelope, json))
    }

    pub(crate) fn say(&self, space: SpaceId, from: &Session, thread: &str, id: &str, text: &str) -> u64 {
        match self.send(space, &self.envelope(space, from, thread, id, text)) {
            SendOutcome::Stored { sequence } => sequence,
            other => panic!("{id} was not stored: {other:?}"),
        }
    }

    pub(crate) fn open_channel(&self, space: SpaceId, name: &str, purpose: &str) -> bool {
        let opened = ChannelOpened {
            name: name.to_owned(),
            purpose: purpose.to_owned(),
            created_by: "coder".to_owned(),
        };
        self.write(move |batch| batch.open_channel(space, &opened))
    }

    // ---- operations -------------------------------------------------------------------------------

    /// The newest log of this node that `holder` has.
    pub(crate) fn log(&self, space: SpaceId, holder: &Node) -> LogId {
        let logs = holder.view().log_heights(space).unwrap();
        let newest = logs.into_iter().map(|(log, _)| log).filter(|log| log.author == self.identity.node());
        newest.max_by_key(|log| log.incarnation == self.store.incarnation()).expect("it wrote")
    }

    pub(crate) fn operations(&self, space: SpaceId) -> Vec<Operation> {
        self.view().log_operations(&self.log(space, self)).unwrap()
    }

    /// Takes operations as if a peer had sent them.
    pub(crate) fn take(&self, space: SpaceId, ops: Vec<Operation>) -> Report {
        let control = self.store.control(space).unwrap();
        let ops = ops.into_iter().map(|op| Prepared::new(op, &control)).collect();
        self.write(move |batch| batch.append_remote(space, ops, 0))
    }

    /// The same of a space that may be the pair space with node `other`, and new here.
    pub(crate) fn take_from(&self, other: NodeId, space: SpaceId, ops: Vec<Operation>) -> Report {
        let Some(workspace) = self.store.paired_in(space, other) else { return self.take(space, ops) };
        let control = self.store.control(workspace).unwrap();
        let control = ControlState::pair(&control, self.identity.node(), other);
        let ops = ops.into_iter().map(|op| Prepared::new(op, &control)).collect();
        self.write(move |batch| {
            batch.begin_pair(workspace, other)?;
            batch.append_remote(space, ops, 0)
        })
    }

    pub(crate) fn heights(&self, space: SpaceId) -> Vec<Height> {
        SyncView::new(&self.store).unwrap().heights(space).unwrap()
    }

    pub(crate) fn digest(&self, space: SpaceId) -> [u8; 32] {
        let held = SyncView::new(&self.store).unwrap().held(space).unwrap();
        sync::digest(&self.store.control(space).unwrap(), &held)
    }

    // ---- reading ----------------------------------------------------------------------------------

    pub(crate) fn thread(&self, space: SpaceId, channel: &str, thread: &str) -> Vec<MessageRow> {
        let page = MessagePage { limit: 10_000, ..MessagePage::default() };
        self.page(space, channel, thread, &page).expect("no cursor")
    }

    pub(crate) fn page(
        &self,
        space: SpaceId,
        channel: &str,
        thread: &str,
        page: &MessagePage,
    ) -> Result<Vec<MessageRow>, muster_storage::UnknownCursor> {
        let (channel, thread) = (ChannelName::parse(channel).unwrap(), ThreadId::parse(thread).unwrap());
        self.view().thread_messages(&self.workspace(space), &channel, &thread, page).unwrap()
    }

    /// The texts of a thread, in people's order.
    pub(crate) fn texts(&self, space: SpaceId, channel: &str, thread: &str) -> Vec<String> {
        self.thread(space, channel, thread).iter().map(|row| text(&row.envelope)).collect()
    }

    pub(crate) fn inbox(&self, space: SpaceId, session: &Session) -> Vec<String> {
        let now_s = (self.now_ms.get() / 1000) as i64;
        let waiting = self.view().inbox(&self.workspace(space), &session.id, now_s).unwrap();
        waiting.iter().map(text).collect()
    }

    /// All that people see of a workspace and that has to be the same on every node.
    pub(crate) fn picture(&self, space: SpaceId) -> String {
        let (view, workspace) = (self.view(), self.workspace(space));
        let mut picture = String::new();
        for channel in view.channels(&workspace).unwrap() {
            picture += &format!("{channel:#?}\n");
            for thread in view.threads(&workspace, &channel.name, None, 10_000).unwrap().unwrap() {
                picture += &format!("{thread:#?}\n");
                self.tell_messages(
                    space,
                    &self.thread(space, channel.name.as_str(), thread.thread_id.as_str()),
                    &mut picture,
                );
            }
            for room in view.rooms(&workspace, &channel.name, None, None, 10_000).unwrap().unwrap() {
                picture += &format!("{room:#?}\n");
                self.tell_messages(space, &self.in_room(space, &room), &mut picture);
            }
        }
        picture
    }

    /// Messages, and how the work that they are about stands.
    fn tell_messages(&self, space: SpaceId, rows: &[MessageRow], picture: &mut String) {
        for row in rows {
            *picture += &format!("{} {} {:?}\n", row.at_ms, row.author, row.envelope);
            if let Some(work) = &row.envelope.work_id {
                *picture += &format!("{:?}\n", self.work(space, work.as_str()));
            }
        }
    }
}

pub(crate) fn text(envelope: &Envelope) -> String {
    match envelope.content() {
        Ok(Body::Say(say)) => say.text,
        other => format!("{other:?}"),
    }
}

/// An operation of anybody, signed but otherwise unchecked.
pub(crate) fn forge(
    author: &Identity,
    control_height: u64,
    log: LogId,
    before: Option<&Operation>,
    ms: u64,
    draft: Draft,
) -> Operation {
    let place = Place {
        space: log.space,
        incarnation: log.incarnation,
        seq: before.map_or(1, |op| op.header().seq + 1),
        prev: before.map_or(OpId::NONE, Operation::id),
        hlc: Hlc::from_ms(ms),
        control_height,
    };
    Operation::sign(author, place, draft)
}

/// The operation that an envelope makes.
pub(crate) fn draft(space: SpaceId, envelope: &Envelope) -> Draft {
    let stream = StreamId::channel(space, envelope.channel.as_str());
    Draft { kind: operation::Kind::ENVELOPE, stream, body: envelope.to_json().unwrap() }
}
