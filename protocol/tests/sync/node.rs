//! A node in memory: the crate's own rules over a few maps, seen by machines as their [`View`].

use std::{cell::RefCell, collections::BTreeMap, convert::Infallible, sync::Arc};

use muster_protocol::{
    cbor::{Bytes, Bytes16},
    clock::HlcClock,
    control::{
        ControlError, ControlState, CutOff, Entry, Genesis, MemberAdded, MemberRemoved, Role, RoleSet,
    },
    fork::{Compared, ForkProof},
    identity::{Identity, NodeId},
    ids::{LogId, OpId, SpaceId, StreamId, WorkspaceId},
    log::{self, Admission, Head},
    operation::{Draft, Kind, Operation, Place},
    sync::{Height, Held, Report, View},
};

/// Unix milliseconds at which virtual time begins.
pub(crate) const EPOCH_MS: u64 = 1_700_000_000_000;

/// One log as it is held.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    ids: Vec<OpId>,
    encoded: Vec<Vec<u8>>,
    head: Head,
    /// The last operation before a fork.
    frozen: u64,
    proof: Option<ForkProof>,
}

/// One space as it is held.
#[derive(Debug, Clone)]
pub(crate) struct Space {
    pub(crate) control: Arc<ControlState>,
    entries: Vec<Vec<u8>>,
    logs: BTreeMap<(NodeId, u64), Log>,
}

/// What a commit changed.
#[derive(Debug, Clone)]
pub(crate) struct Commit {
    pub(crate) space: SpaceId,
    pub(crate) heights: Vec<Height>,
    pub(crate) control: bool,
}

pub(crate) struct Node {
    pub(crate) identity: Identity,
    /// The log it writes in.
    pub(crate) incarnation: u64,
    /// How far its clock is off.
    pub(crate) clock_ahead_ms: u64,
    pub(crate) spaces: BTreeMap<SpaceId, Space>,
    clock: HlcClock,
    claims: RefCell<BTreeMap<LogId, (NodeId, u64)>>,
}

impl Space {
    fn of(control: ControlState, entries: Vec<Vec<u8>>) -> Self {
        Self { control: Arc::new(control), entries, logs: BTreeMap::new() }
    }

    fn id(&self) -> SpaceId {
        self.control.space()
    }

    fn log_id(&self, (author, incarnation): (NodeId, u64)) -> LogId {
        LogId { space: self.id(), author, incarnation }
    }

    fn capped(&self, key: (NodeId, u64)) -> u64 {
        let Some(log) = self.logs.get(&key) else { return 0 };
        log.head.seq.min(log.frozen).min(self.control.cap(&self.log_id(key), log.head.control_height))
    }

    /// The newest operation of a log that counts.
    fn head(&self, key: (NodeId, u64)) -> OpId {
        let newest = (self.capped(key) as usize).checked_sub(1);
        let id = newest.and_then(|newest| self.logs.get(&key)?.ids.get(newest));
        id.copied().unwrap_or(OpId::NONE)
    }

    /// Everything two nodes have to agree on: the control log, and what counts of every log.
    pub(crate) fn content(&self) -> (OpId, Vec<(NodeId, u64, Vec<OpId>)>) {
        let logs = self.logs.iter().map(|(key, log)| {
            let ids = log.ids[..self.capped(*key) as usize].to_vec();
            (key.0, key.1, ids)
        });
        (self.control.head(), logs.filter(|(_, _, ids)| !ids.is_empty()).collect())
    }

    fn admit(&mut self, op: &Operation, wall_ms: u64, report: &mut Report) {
        let id = op.header().log();
        let key = (id.author, id.incarnation);
        let head = self.logs.get(&key).map(|log| log.head);
        if let Some(Log { proof: Some(proof), frozen, .. }) = self.logs.get(&key)
            && op.header().seq > head.map_or(*frozen, |head| head.seq)
        {
            if !report.forks.contains(proof) {
                report.forks.push(proof.clone());
            }
            report.refused.push(id);
            return;
        }
        match log::admit(&self.control, head.as_ref(), op, wall_ms) {
            Admission::Store => self.push(op),
            Admission::Taken => {
                let log = self.logs.get_mut(&key).expect("a place that is taken has a log");
                let seq = op.header().seq;
                let held = Operation::decode(&log.encoded[seq as usize - 1]).unwrap();
                if let Some(proof) = ForkProof::of(&held, op) {
                    log.freeze(seq, &proof);
                    report.forks.push(proof);
                    report.refused.push(id);
                }
            }
            Admission::Gap | Admission::ClockAhead => report.again.push(id),
            Admission::ControlAhead => {
                report.control_ahead = true;
                report.again.push(id);
            }
            Admission::Refuse(_) => report.refused.push(id),
        }
    }

    fn push(&mut self, op: &Operation) {
        let id = op.header().log();
        let log = self.logs.entry((id.author, id.incarnation)).or_insert_with(|| Log {
            ids: Vec::new(),
            encoded: Vec::new(),
            head: Head::of(op),
            frozen: u64::MAX,
            proof: None,
        });
        log.ids.push(op.id());
        log.encoded.push(op.encode());
        log.head = Head::of(op);
    }
}

impl Log {
    fn freeze(&mut self, seq: u64, proof: &ForkProof) {
        if seq - 1 < self.frozen {
            (self.frozen, self.proof) = (seq - 1, Some(proof.clone()));
        }
    }
}

impl Node {
    pub(crate) fn new(seed: u8) -> Self {
        Self {
            identity: Identity::from_seed([seed; 32]),
            incarnation: u64::from(seed),
            clock_ahead_ms: 0,
            spaces: BTreeMap::new(),
            clock: HlcClock::default(),
            claims: RefCell::default(),
        }
    }

    pub(crate) fn id(&self) -> NodeId {
        self.identity.node()
    }

    fn wall_ms(&self, now_ms: u64) -> u64 {
        EPOCH_MS + now_ms + self.clock_ahead_ms
    }

    /// Founds a workspace.
    pub(crate) fn found(&mut self, name: &str, now_ms: u64) -> SpaceId {
        let genesis = Genesis {
            workspace: WorkspaceId::new(EPOCH_MS, [1; 10]),
            name: name.into(),
            founder: self.id(),
            founder_name: "home".into(),
            created_ms: self.wall_ms(now_ms),
            parent: Vec::new(),
        };
        let space = genesis.space();
        let (kind, body) = Entry::Genesis(genesis).encode();
        let op = self.sign(space, 0, 1, OpId::NONE, 0, Draft { kind, stream: StreamId::SPACE, body }, now_ms);
        self.begin(&op);
        space
    }

    /// Holds a workspace from its first entry on.
    pub(crate) fn begin(&mut self, genesis: &Operation) {
        let space = Space::of(ControlState::begin(genesis).unwrap(), vec![genesis.encode()]);
        self.spaces.entry(genesis.header().space).or_insert(space);
    }

    /// Holds its pair space with another node in a workspace, from now on if not already.
    pub(crate) fn pair(&mut self, workspace: SpaceId, other: NodeId) -> SpaceId {
        let control = ControlState::pair(&self.spaces[&workspace].control, self.id(), other);
        let pair = control.space();
        self.spaces.entry(pair).or_insert_with(|| Space::of(control, Vec::new()));
        pair
    }

    /// Holds the space of operations that a peer sent: if it is no workspace's, then it is the pair space
    /// with the peer in one of them.
    pub(crate) fn hold(&mut self, space: SpaceId, peer: NodeId) {
        let me = self.id();
        let is_its_pair = |workspace: &SpaceId| SpaceId::pair(*workspace, me, peer) == space;
        if let Some(workspace) = self.spaces.keys().copied().find(is_its_pair) {
            self.pair(workspace, peer);
        }
    }

    pub(crate) fn genesis(&self, space: SpaceId) -> Operation {
        Operation::decode(&self.spaces[&space].entries[0]).unwrap()
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a header")]
    pub(crate) fn sign(
        &mut self,
        space: SpaceId,
        incarnation: u64,
        seq: u64,
        prev: OpId,
        control_height: u64,
        draft: Draft,
        now_ms: u64,
    ) -> Operation {
        let hlc = self.clock.tick(self.wall_ms(now_ms));
        Operation::sign(&self.identity, Place { space, incarnation, seq, prev, hlc, control_height }, draft)
    }

    /// Appends an entry to the control log of a workspace this node is the home of.
    pub(crate) fn decide(&mut self, space: SpaceId, entry: &Entry, now_ms: u64) -> Commit {
        let (kind, body) = entry.encode();
        let control = self.spaces[&space].control.clone();
        let draft = Draft { kind, stream: StreamId::SPACE, body };
        let op = self.sign(space, 0, control.height() + 1, control.head(), control.height(), draft, now_ms);
        let (_, commit) = self.store(space, true, &[op], 0, now_ms);
        commit
    }

    pub(crate) fn add(&mut self, space: SpaceId, node: NodeId, now_ms: u64) -> Commit {
        let added = MemberAdded {
            node,
            name: "somebody".into(),
            role: Role::Member.code(),
            invite: Bytes16([0; 16]),
            evidence: Bytes::default(),
        };
        self.decide(space, &Entry::MemberAdded(added), now_ms)
    }

    /// Removes a member, cut off at what this home holds of its logs.
    pub(crate) fn remove(&mut self, space: SpaceId, node: NodeId, now_ms: u64) -> Commit {
        let cut_offs = self.cut_offs(space, node);
        let removed = MemberRemoved { node, cut_offs, evidence: Bytes::default() };
        self.decide(space, &Entry::MemberRemoved(removed), now_ms)
    }

    /// Changes a member's role.
    pub(crate) fn set_role(&mut self, space: SpaceId, node: NodeId, role: Role, now_ms: u64) -> Commit {
        let cut_offs = self.cut_offs(space, node);
        let set = RoleSet { node, role: role.code(), cut_offs, evidence: Bytes::default() };
        self.decide(space, &Entry::RoleSet(set), now_ms)
    }

    fn cut_offs(&self, space: SpaceId, node: NodeId) -> Vec<CutOff> {
        let logs = self.spaces[&space].logs.iter().filter(|(key, _)| key.0 == node);
        logs.map(|(key, log)| (key.1, log.head.seq)).collect()
    }

    /// The next operation of this node's own log, not stored.
    pub(crate) fn next_op(&mut self, space: SpaceId, body: &[u8], now_ms: u64) -> Operation {
        let held = &self.spaces[&space];
        let head = held.logs.get(&(self.id(), self.incarnation)).map(|log| log.head);
        let (seq, prev) = head.map_or((1, OpId::NONE), |head| (head.seq + 1, head.id));
        let height = held.control.height();
        let draft = Draft { kind: Kind::ENVELOPE, stream: StreamId::SPACE, body: body.to_vec() };
        self.sign(space, self.incarnation, seq, prev, height, draft, now_ms)
    }

    /// Writes into this node's own log, whatever the rules say: a removed node can do that too.
    pub(crate) fn write(&mut self, space: SpaceId, body: &[u8], now_ms: u64) -> Commit {
        let op = self.next_op(space, body, now_ms);
        let held = self.spaces.get_mut(&space).unwrap();
        held.push(&op);
        let key = (op.header().author, op.header().incarnation);
        let height = Height { author: key.0, incarnation: key.1, seq: held.capped(key) };
        Commit { space, heights: vec![height], control: false }
    }

    /// Stores what a peer sent, as far as the rules allow.
    pub(crate) fn store(
        &mut self,
        space: SpaceId,
        control: bool,
        ops: &[Operation],
        bytes: u64,
        now_ms: u64,
    ) -> (Report, Commit) {
        let wall_ms = self.wall_ms(now_ms);
        let mut report = Report { bytes, ..Report::of(space) };
        let held = self.spaces.get_mut(&space).expect("machines name held spaces only");
        let before: BTreeMap<_, _> = ops
            .iter()
            .map(|op| (op.header().author, op.header().incarnation))
            .map(|key| (key, held.capped(key)))
            .collect();
        if control {
            let mut state = ControlState::clone(&held.control);
            for op in ops {
                let seq = op.header().seq;
                if let Some(known) = (seq as usize).checked_sub(1).and_then(|at| held.entries.get(at)) {
                    match ForkProof::compare(&Operation::decode(known).unwrap(), op) {
                        Compared::Same => report.control_same = report.control_same.max(seq),
                        Compared::Elsewhere => report.control_elsewhere = true,
                        Compared::Fork(proof) => state.fork(proof),
                    }
                    continue;
                }
                match state.apply(op) {
                    Ok(_) => {
                        held.entries.push(op.encode());
                        report.control_grew = true;
                    }
                    Err(error) => report.control_elsewhere |= error == ControlError::OtherHistory,
                }
            }
            report.control_grew |= state.forked().is_some() && held.control.forked().is_none();
            held.control = Arc::new(state);
        } else {
            for op in ops {
                self.clock.observe(op.header().hlc, wall_ms);
                held.admit(op, wall_ms, &mut report);
            }
            report.again.sort();
            report.again.dedup();
            report.refused.sort();
            report.refused.dedup();
        }
        let held = &self.spaces[&space];
        let mut grown = Vec::new();
        if !control {
            for ((author, incarnation), old) in before {
                let height = Height { author, incarnation, seq: held.capped((author, incarnation)) };
                report.heights.push(height);
                if height.seq > old {
                    grown.push(height);
                }
            }
        }
        let commit = Commit { space, heights: grown, control: report.control_grew };
        (report, commit)
    }

    /// Takes a proof that a log forks. Names the space if it was its control log, and that is news.
    pub(crate) fn freeze(&mut self, proof: &ForkProof) -> Option<SpaceId> {
        let (log, seq) = proof.verify().unwrap();
        if log.incarnation == 0 {
            let held = self.spaces.get_mut(&log.space)?;
            let is_news = held.control.forked().is_none();
            Arc::make_mut(&mut held.control).fork(proof.clone());
            return is_news.then_some(log.space);
        }
        if let Some(held) = self.spaces.get_mut(&log.space)
            && let Some(held) = held.logs.get_mut(&(log.author, log.incarnation))
        {
            held.freeze(seq, proof);
        }
        None
    }

    pub(crate) fn frozen_at(&self, log: &LogId) -> Option<u64> {
        let held = self.spaces[&log.space].logs.get(&(log.author, log.incarnation))?;
        held.proof.as_ref().map(|_| held.frozen)
    }

    pub(crate) fn log(&self, space: SpaceId) -> LogId {
        LogId { space, author: self.id(), incarnation: self.incarnation }
    }

    /// How many operations of a log are stored, counted or not.
    pub(crate) fn stored(&self, log: &LogId) -> u64 {
        self.spaces
            .get(&log.space)
            .and_then(|space| space.logs.get(&(log.author, log.incarnation)))
            .map_or(0, |log| log.head.seq)
    }
}

impl View for Node {
    type Error = Infallible;

    fn spaces(&self) -> Result<Vec<SpaceId>, Infallible> {
        let workspaces = self.spaces.values().filter(|space| space.control.pair_nodes().is_none());
        Ok(workspaces.map(Space::id).collect())
    }

    fn control(&self, space: SpaceId) -> Result<Option<Arc<ControlState>>, Infallible> {
        let control = self.spaces.get(&space).map(|space| space.control.clone());
        Ok(control.filter(|control| control.pair_nodes().is_none()))
    }

    fn control_entries(
        &self,
        space: SpaceId,
        from: u64,
        bytes_max: usize,
    ) -> Result<Vec<Vec<u8>>, Infallible> {
        let mut bytes = 0;
        let entries = self.spaces[&space].entries.iter().skip(from as usize - 1);
        Ok(entries
            .take_while(|entry| {
                let fits = bytes < bytes_max;
                bytes += entry.len();
                fits
            })
            .cloned()
            .collect())
    }

    fn held(&self, space: SpaceId) -> Result<Vec<Held>, Infallible> {
        let Some(held) = self.spaces.get(&space) else { return Ok(Vec::new()) };
        let of = |key: &(NodeId, u64)| {
            let height = Height { author: key.0, incarnation: key.1, seq: held.capped(*key) };
            Held { height, head: held.head(*key) }
        };
        Ok(held.logs.keys().map(of).filter(|held| held.height.seq > 0).collect())
    }

    fn height(&self, log: &LogId) -> Result<u64, Infallible> {
        Ok(self.spaces.get(&log.space).map_or(0, |space| space.capped((log.author, log.incarnation))))
    }

    fn ops(
        &self,
        log: &LogId,
        from: u64,
        bytes_max: usize,
        count_max: usize,
    ) -> Result<Vec<Vec<u8>>, Infallible> {
        let Some(held) = self.spaces.get(&log.space) else { return Ok(Vec::new()) };
        let key = (log.author, log.incarnation);
        let end = held.capped(key);
        if from > end {
            return Ok(Vec::new());
        }
        let mut bytes = 0;
        let ops = &held.logs[&key].encoded[from as usize - 1..end as usize];
        let fitting = ops.iter().take(count_max).take_while(|op| {
            let first = bytes == 0;
            bytes += op.len();
            first || bytes <= bytes_max
        });
        Ok(fitting.cloned().collect())
    }

    fn claim_pull(&self, log: &LogId, peer: NodeId, now_ms: u64, stale_ms: u64) -> bool {
        let mut claims = self.claims.borrow_mut();
        let free = claims.get(log).is_none_or(|(by, at)| *by == peer || at + stale_ms <= now_ms);
        if free {
            claims.insert(*log, (peer, now_ms));
        }
        free
    }
}
