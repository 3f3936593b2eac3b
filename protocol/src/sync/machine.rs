//! One link's side of the protocol, as a state machine without I/O.

use std::{collections::BTreeMap, sync::Arc};

use super::{Frame, Height, Hello, digest};
use crate::{
    cbor::{Bytes, Bytes32},
    control::ControlState,
    fork::ForkProof,
    identity::NodeId,
    ids::{LogId, SpaceId},
    limits,
    operation::Operation,
};

/// The version spoken here.
const VERSION: u16 = 1;
/// Operation frames handed out before the caller has to say [`Input::Writable`].
const OPS_FRAMES_AHEAD: usize = 4;
/// All heights of a space are told at most this often; a peer that asks more often waits.
const HEIGHTS_PAUSE_MS: u64 = 250;
/// A log that was asked for and of which nothing came for this long may be asked for elsewhere.
const PULL_STALE_MS: u64 = 3_000;
/// The same peer is asked again only later, and each time twice as much later, so that a peer that cannot
/// serve what it tells of keeps nobody else from being asked, and costs little.
const PULL_RETRY_MS: u64 = 2 * PULL_STALE_MS;
const PULL_RETRY_MS_MAX: u64 = ANTI_ENTROPY_MS;
const PULL_DELAY_MS: u64 = limits::PULL_DELAY.as_millis() as u64;
const HEARD_DELAY_MS: u64 = limits::HEARD_DELAY.as_millis() as u64;
const ANTI_ENTROPY_MS: u64 = limits::ANTI_ENTROPY.as_millis() as u64;
const HELLO_TIMEOUT_MS: u64 = limits::HELLO_TIMEOUT.as_millis() as u64;

/// What the machine reads of its node's store. All of it is durable.
pub trait View {
    /// Why reading fails; the caller stops.
    type Error;
    /// Spaces this node holds.
    fn spaces(&self) -> Result<Vec<SpaceId>, Self::Error>;
    /// The control state of a space.
    fn control(&self, space: SpaceId) -> Result<Option<Arc<ControlState>>, Self::Error>;
    /// Encoded entries of a control log from height `from` on: at least one if there is one, about
    /// `bytes_max` bytes of them.
    fn control_entries(
        &self,
        space: SpaceId,
        from: u64,
        bytes_max: usize,
    ) -> Result<Vec<Vec<u8>>, Self::Error>;
    /// Heights of all logs of a space, capped by cut-offs and forks, ordered.
    fn heights(&self, space: SpaceId) -> Result<Vec<Height>, Self::Error>;
    /// The capped height of one log; 0 when unknown.
    fn height(&self, log: &LogId) -> Result<u64, Self::Error>;
    /// Encoded operations of a log from `from` on, up to its capped height: at least one if there is
    /// one, else about `bytes_max` bytes and at most `count_max` of them.
    fn ops(
        &self,
        log: &LogId,
        from: u64,
        bytes_max: usize,
        count_max: usize,
    ) -> Result<Vec<Vec<u8>>, Self::Error>;
    /// Claims a log for pulling from `peer`, so that it is not pulled twice at once: true when it is
    /// free, already claimed for this peer, or was claimed `stale_ms` ago.
    fn claim_pull(&self, log: &LogId, peer: NodeId, now_ms: u64, stale_ms: u64) -> bool;
}

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// The link is up.
    Up,
    /// A frame came.
    Frame(&'a [u8]),
    /// What [`Output::Store`] asked for is durable; or, for its refused parts, decided.
    Stored(Report),
    /// This node's store holds more of some logs of a space, or more of its control log, wherever it came from.
    Committed {
        /// Which space.
        space: SpaceId,
        /// New heights.
        heights: &'a [Height],
        /// Whether the control log grew.
        control: bool,
    },
    /// All frames handed out so far were given to the link.
    Writable,
    /// Gossip told of the peer's digest of a space.
    DigestHeard {
        /// Which space.
        space: SpaceId,
        /// Its digest there.
        digest: [u8; 32],
    },
    /// Time passed. Call when [`Machine::wake_at_ms`] says so; calling earlier is harmless.
    Tick,
}

/// What became of operations a peer sent. Those we hold already, or other links brought meanwhile, are
/// no failure: they are passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Which space.
    pub space: SpaceId,
    /// Bytes of the frame they came in, to be granted again; 0 for the control log.
    pub bytes: u64,
    /// Heights of the logs concerned after the commit.
    pub heights: Vec<Height>,
    /// Whether the control log grew.
    pub control_grew: bool,
    /// Some cited a control height ahead of ours.
    pub control_ahead: bool,
    /// Logs of which something was missing, or whose time is ahead: ask again later.
    pub again: Vec<LogId>,
    /// Logs of which something was refused for good; also what continues a frozen log.
    pub refused: Vec<LogId>,
    /// Proofs that concern the peer: of operations that contradict what we hold, and the kept proof of a
    /// frozen log of which it sent more. It is told the lowest of each log.
    pub forks: Vec<ForkProof>,
}

impl Report {
    /// A report in which nothing happened.
    pub fn of(space: SpaceId) -> Self {
        Self {
            space,
            bytes: 0,
            heights: Vec::new(),
            control_grew: false,
            control_ahead: false,
            again: Vec::new(),
            refused: Vec::new(),
            forks: Vec::new(),
        }
    }
}

/// What to do, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Send a frame.
    Send(Vec<u8>),
    /// Store operations of a space and answer with [`Input::Stored`]. Signatures are verified.
    Store {
        /// Which space.
        space: SpaceId,
        /// Whether they are entries of the control log.
        control: bool,
        /// The operations, in the order they came.
        ops: Vec<Operation>,
        /// For [`Report::bytes`].
        bytes: u64,
    },
    /// The peer told durable heights; those of our own logs are its acknowledgement.
    PeerHeights {
        /// In which space.
        space: SpaceId,
        /// The heights.
        heights: Vec<Height>,
    },
    /// The peer proved a fork.
    Fork(ForkProof),
    /// The peer told presence.
    Presence(Vec<u8>),
    /// From now on this space is shared with the peer: tell it who is here.
    Shared(SpaceId),
    /// Close the link. Nothing follows.
    Close(Closed),
}

/// Why a link is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// It sent what no honest node sends.
    #[error("the peer broke the protocol: {0}")]
    Violation(&'static str),
    /// It said nothing.
    #[error("the peer did not say hello in time")]
    Silent,
    /// It speaks another version.
    #[error("the peer speaks another version of the protocol")]
    Version,
}

/// A log inside a space: author and incarnation.
type LogKey = (NodeId, u64);

fn key(height: &Height) -> LogKey {
    (height.author, height.incarnation)
}

/// A log of which the peer holds more.
#[derive(Debug, Clone, Copy)]
struct Pull {
    /// Our height when last looked at.
    ours: u64,
    /// When to look again.
    at_ms: u64,
    /// How long to wait after the next question.
    retry_ms: u64,
}

impl Pull {
    fn new(ours: u64, at_ms: u64) -> Self {
        Self { ours, at_ms, retry_ms: PULL_RETRY_MS }
    }
}

/// What is known about a space's control log on this link. It outlives the sharing of the space: the
/// peer may name its height before our control log says that we belong together.
#[derive(Debug, Default)]
struct Control {
    /// The peer's height, as far as known; 0 when it did not say.
    peer: u64,
    /// How much of ours was sent, and when.
    sent: u64,
    sent_at_ms: u64,
    /// The height at which the peer was asked for the entries that make us a member.
    asked: u64,
}

/// What is known about one space on this link.
#[derive(Debug, Default)]
struct Shared {
    /// What the peer holds or was sent.
    peer: BTreeMap<LogKey, u64>,
    /// Whether the peer told all its heights, so that it is known what it lacks; and we ours.
    known: bool,
    told: bool,
    told_at_ms: u64,
    /// Whether an equal digest was answered with ours, from which the peer knows what we hold.
    echoed: bool,
    /// When all our heights are to be told again.
    tell_at_ms: Option<u64>,
    /// Logs being sent: the next operation each.
    sending: BTreeMap<LogKey, u64>,
    /// Heights of others' logs that the peer was not told yet, and when it will be.
    news: BTreeMap<LogKey, u64>,
    news_at_ms: Option<u64>,
    pulls: BTreeMap<LogKey, Pull>,
    /// Logs the store refused, and the peer's height then: more of the same is refused as well.
    refused: BTreeMap<LogKey, u64>,
    /// Logs that fork, and the lowest place below which was already looked for an earlier fork.
    forks: BTreeMap<LogKey, u64>,
}

impl Shared {
    /// Notes what the peer holds. Logs beyond what a space can have are not remembered.
    fn note(&mut self, height: &Height) {
        if self.peer.len() < limits::LOGS_PER_SPACE_MAX || self.peer.contains_key(&key(height)) {
            let known = self.peer.entry(key(height)).or_insert(0);
            *known = (*known).max(height.seq);
        }
    }

    /// Plans to ask for a log. A plan that stands is kept, unless there was progress since it was made.
    fn plan_pull(&mut self, log: LogKey, ours: u64, at_ms: u64) {
        let pull = self.pulls.entry(log).or_insert(Pull::new(ours, at_ms));
        if pull.ours != ours {
            *pull = Pull::new(ours, at_ms);
        }
    }

    fn theirs(&self, log: &LogKey) -> u64 {
        self.peer.get(log).copied().unwrap_or(0)
    }

    fn wake_at_ms(&self) -> u64 {
        let timers = [self.news_at_ms, self.tell_at_ms].into_iter().flatten();
        timers.chain(self.pulls.values().map(|pull| pull.at_ms)).min().unwrap_or(u64::MAX)
    }
}

/// The protocol of one link.
///
/// The caller feeds it [`Input`]s and performs the [`Output`]s in order; it holds no clock and does no
/// I/O. Nothing it remembers has to survive: after a break a new link begins with a new machine.
#[derive(Debug)]
pub struct Machine {
    me: NodeId,
    peer: NodeId,
    greeted: bool,
    closed: bool,
    up_at_ms: u64,
    compare_at_ms: u64,
    shared: BTreeMap<SpaceId, Shared>,
    /// Of spaces this node holds, shared or not.
    controls: BTreeMap<SpaceId, Control>,
    /// The space that had the last turn in sending.
    turn: Option<SpaceId>,
    /// Bytes of operations sent, and how many may be.
    sent: u64,
    sent_max: u64,
    /// Bytes of operations received, and how many the peer was granted.
    received: u64,
    granted: u64,
    /// Operation frames handed out since the last [`Input::Writable`].
    ahead: usize,
    out: Vec<Output>,
}

impl Machine {
    /// A machine for a link of `me` with `peer`.
    pub fn new(me: NodeId, peer: NodeId) -> Self {
        Self {
            me,
            peer,
            greeted: false,
            closed: false,
            up_at_ms: 0,
            compare_at_ms: 0,
            shared: BTreeMap::new(),
            controls: BTreeMap::new(),
            turn: None,
            sent: 0,
            sent_max: 0,
            received: 0,
            granted: limits::CREDIT_BYTES,
            ahead: 0,
            out: Vec::new(),
        }
    }

    /// The spaces both sides share on this link.
    pub fn spaces(&self) -> impl Iterator<Item = SpaceId> + '_ {
        self.shared.keys().copied()
    }

    /// When [`Input::Tick`] is due, in the milliseconds of `handle`'s `now_ms`.
    pub fn wake_at_ms(&self) -> u64 {
        if !self.greeted {
            return self.up_at_ms + HELLO_TIMEOUT_MS;
        }
        self.shared.values().map(Shared::wake_at_ms).fold(self.compare_at_ms, u64::min)
    }

    /// Takes what happened at `now_ms` (monotonic) and says what to do. An error is the store's: stop.
    pub fn handle<V: View>(
        &mut self,
        now_ms: u64,
        input: Input<'_>,
        view: &V,
    ) -> Result<Vec<Output>, V::Error> {
        if self.closed {
            return Ok(Vec::new());
        }
        match input {
            Input::Up => {
                self.up_at_ms = now_ms;
                self.compare_at_ms = now_ms + ANTI_ENTROPY_MS;
                self.send(&Frame::Hello(Hello { version: VERSION, credit: self.granted }));
            }
            Input::Frame(bytes) => self.frame(now_ms, bytes, view)?,
            Input::Stored(report) => self.stored(now_ms, report, view)?,
            Input::Committed { space, heights, control } => {
                if control {
                    self.control_changed(now_ms, space, view)?;
                }
                self.committed(now_ms, space, heights);
            }
            Input::Writable => self.ahead = 0,
            Input::DigestHeard { space, digest } => self.compare(now_ms, space, digest, view)?,
            Input::Tick => self.tick(now_ms, view)?,
        }
        if !self.closed && self.greeted {
            self.pump(view)?;
        }
        Ok(std::mem::take(&mut self.out))
    }

    fn send(&mut self, frame: &Frame) {
        self.out.push(Output::Send(frame.encode()));
    }

    fn close(&mut self, why: Closed) {
        self.closed = true;
        self.out.push(Output::Close(why));
    }

    fn violation(&mut self, what: &'static str) {
        self.close(Closed::Violation(what));
    }

    fn frame<V: View>(&mut self, now_ms: u64, bytes: &[u8], view: &V) -> Result<(), V::Error> {
        let Ok(frame) = Frame::decode(bytes) else {
            self.violation("a malformed frame");
            return Ok(());
        };
        if self.greeted == matches!(frame, Frame::Hello(_)) {
            self.violation("a hello that is not the first frame, or a first frame that is no hello");
            return Ok(());
        }
        match frame {
            Frame::Hello(hello) if hello.version != VERSION => self.close(Closed::Version),
            Frame::Hello(hello) => {
                self.greeted = true;
                self.sent_max = hello.credit;
                self.review(now_ms, view)?;
            }
            Frame::ControlHeight(space, height) => self.control_height(now_ms, space, height, view)?,
            Frame::ControlEntries(space, entries) => {
                // Also from a peer we do not know for a member: the entries may say that it is one, and
                // only the home can have signed them.
                if view.control(space)?.is_some()
                    && let Some(ops) = self.read_ops(space, entries, true)
                {
                    self.out.push(Output::Store { space, control: true, ops, bytes: 0 });
                }
            }
            Frame::Digest(space, digest) => self.compare(now_ms, space, digest.0, view)?,
            Frame::Heights { space, heights, whole, credit } => {
                self.sent_max = self.sent_max.max(credit);
                self.peer_heights(now_ms, space, heights, whole, view)?;
            }
            Frame::Want(space, heights) => {
                if let Some(shared) = self.shared.get_mut(&space) {
                    for height in &heights {
                        let log = LogId { space, author: height.author, incarnation: height.incarnation };
                        if view.height(&log)? >= height.seq {
                            shared.sending.insert(key(height), height.seq.max(1));
                        }
                    }
                }
            }
            Frame::Ops(space, ops) => self.ops(space, ops, bytes.len() as u64),
            Frame::Fork(proof) => {
                let proof = ForkProof::decode(&proof.0).ok();
                match proof.and_then(|proof| Some((proof.verify().ok()?.0, proof))) {
                    Some((log, proof)) if self.shared.contains_key(&log.space) => {
                        self.out.push(Output::Fork(proof));
                    }
                    Some(_) => {} // of no concern on this link
                    None => self.violation("a fork proof that proves nothing"),
                }
            }
            Frame::Presence(message) if message.0.len() <= limits::GOSSIP_BYTES_MAX => {
                self.out.push(Output::Presence(message.0));
            }
            Frame::Presence(_) => self.violation("an oversized presence message"),
        }
        Ok(())
    }

    // ---- spaces and their control logs ------------------------------------------------------------

    /// Shares exactly the spaces of which both of us are members, as far as our control logs say. Of a
    /// space whose control log does not reach to our own admission yet, members are asked for the rest.
    fn review<V: View>(&mut self, now_ms: u64, view: &V) -> Result<(), V::Error> {
        if !self.greeted {
            return Ok(());
        }
        let mut members = Vec::new();
        for space in view.spaces()? {
            let Some(control) = view.control(space)? else { continue };
            if control.role(self.peer).is_none() {
                continue;
            }
            if control.role(self.me).is_some() {
                members.push((space, control));
            } else if self.controls.entry(space).or_default().asked < control.height() {
                self.ask_control(space, &control);
            }
        }
        self.shared.retain(|space, _| members.iter().any(|(member, _)| member == space));
        for (space, control) in members {
            if !self.shared.contains_key(&space) {
                self.shared.insert(space, Shared::default());
                self.send(&Frame::ControlHeight(space, control.height()));
                self.send_control(now_ms, space, view)?;
                self.send(&Frame::Digest(space, Bytes32(digest(control.height(), &view.heights(space)?))));
                self.out.push(Output::Shared(space));
            }
        }
        Ok(())
    }

    fn ask_control(&mut self, space: SpaceId, control: &ControlState) {
        self.controls.entry(space).or_default().asked = control.height();
        self.send(&Frame::ControlHeight(space, control.height()));
    }

    fn control_height<V: View>(
        &mut self,
        now_ms: u64,
        space: SpaceId,
        theirs: u64,
        view: &V,
    ) -> Result<(), V::Error> {
        let Some(control) = view.control(space)? else { return Ok(()) };
        let known = self.controls.entry(space).or_default();
        known.peer = known.peer.max(theirs);
        if theirs < known.sent && now_ms >= known.sent_at_ms + PULL_STALE_MS {
            known.sent = theirs; // what was sent has had its time: it was not taken
        }
        self.send_control(now_ms, space, view)?;
        if theirs > control.height() {
            self.ask_control(space, &control);
        }
        Ok(())
    }

    /// Sends a page of entries to a member. The next one follows when it tells its new height.
    fn send_control<V: View>(&mut self, now_ms: u64, space: SpaceId, view: &V) -> Result<(), V::Error> {
        let Some(control) = view.control(space)? else { return Ok(()) };
        let known = self.controls.entry(space).or_default();
        let from = known.sent.max(known.peer).saturating_add(1);
        if !self.shared.contains_key(&space) || from > control.height() || known.peer == 0 {
            return Ok(()); // not for it, nothing new, or it did not say yet what it has
        }
        let mut entries = view.control_entries(space, from, limits::OPS_FRAME_BYTES)?;
        entries.truncate(limits::OPS_PER_FRAME_MAX);
        (known.sent, known.sent_at_ms) = (from + entries.len() as u64 - 1, now_ms);
        self.send(&Frame::ControlEntries(space, entries.into_iter().map(Bytes).collect()));
        Ok(())
    }

    /// Membership may have changed: share anew, pass the entries on, and look again at what the peer
    /// holds, since logs of members we did not know were not asked for.
    fn control_changed<V: View>(&mut self, now_ms: u64, space: SpaceId, view: &V) -> Result<(), V::Error> {
        self.review(now_ms, view)?;
        self.send_control(now_ms, space, view)?;
        let Some(shared) = self.shared.get_mut(&space) else { return Ok(()) };
        for pull in shared.pulls.values_mut() {
            *pull = Pull::new(pull.ours, pull.at_ms.min(now_ms + PULL_DELAY_MS));
        }
        let logs: Vec<_> = shared.peer.keys().copied().collect();
        self.plan_pulls(now_ms, space, &logs, view)
    }

    /// Decodes and verifies operations; a bad one is a violation.
    fn read_ops(&mut self, space: SpaceId, encoded: Vec<Bytes>, control: bool) -> Option<Vec<Operation>> {
        let read = |bytes: Bytes| {
            let op = Operation::decode(&bytes.0).map_err(|_| "a malformed operation")?;
            if op.header().space != space {
                return Err("an operation of another space");
            }
            if op.header().kind.is_control() != control {
                return Err("an operation in the wrong kind of log");
            }
            op.verify().map_err(|_| "an operation its author did not sign")?;
            Ok(op)
        };
        match encoded.into_iter().map(read).collect() {
            Ok(ops) => Some(ops),
            Err(what) => {
                self.violation(what);
                None
            }
        }
    }

    // ---- heights ----------------------------------------------------------------------------------

    /// The peer's digest of a space: equal means it holds what we hold; else it is told all our heights.
    fn compare<V: View>(
        &mut self,
        now_ms: u64,
        space: SpaceId,
        theirs: [u8; 32],
        view: &V,
    ) -> Result<(), V::Error> {
        let Some(control) = view.control(space)? else { return Ok(()) };
        let Some(shared) = self.shared.get_mut(&space) else {
            if control.role(self.me).is_none() {
                self.ask_control(space, &control); // it takes us for a member: its entries say so
            }
            return Ok(());
        };
        let mut heights = view.heights(space)?;
        if digest(control.height(), &heights) == theirs {
            heights.iter().for_each(|height| shared.note(height));
            shared.known = true;
            let echo = !shared.told && !std::mem::replace(&mut shared.echoed, true);
            if echo {
                self.send(&Frame::Digest(space, Bytes32(theirs)));
            }
            // What it acknowledged of our logs may have been lost with an earlier link.
            heights.retain(|height| height.author == self.me);
            self.out.push(Output::PeerHeights { space, heights });
            return Ok(());
        }
        if shared.told && now_ms < shared.told_at_ms + HEIGHTS_PAUSE_MS {
            shared.tell_at_ms = Some(shared.told_at_ms + HEIGHTS_PAUSE_MS);
            return Ok(());
        }
        self.tell_all(now_ms, space, view)
    }

    fn tell_all<V: View>(&mut self, now_ms: u64, space: SpaceId, view: &V) -> Result<(), V::Error> {
        let Some(control) = view.control(space)? else { return Ok(()) };
        let Some(shared) = self.shared.get_mut(&space) else { return Ok(()) };
        (shared.told, shared.told_at_ms, shared.tell_at_ms) = (true, now_ms, None);
        shared.news.clear();
        let heights = view.heights(space)?;
        let (full, rest) = heights.as_chunks::<{ limits::HEIGHTS_PER_FRAME_MAX }>();
        for page in full {
            self.send_heights(space, page.to_vec(), false);
        }
        self.send_heights(space, rest.to_vec(), true);
        self.send(&Frame::ControlHeight(space, control.height()));
        Ok(())
    }

    fn send_heights(&mut self, space: SpaceId, heights: Vec<Height>, whole: bool) {
        self.send(&Frame::Heights { space, heights, whole, credit: self.granted });
    }

    fn peer_heights<V: View>(
        &mut self,
        now_ms: u64,
        space: SpaceId,
        heights: Vec<Height>,
        whole: bool,
        view: &V,
    ) -> Result<(), V::Error> {
        let Some(shared) = self.shared.get_mut(&space) else { return Ok(()) };
        heights.iter().for_each(|height| shared.note(height));
        let logs: Vec<_> = heights.iter().map(key).collect();
        self.plan_pulls(now_ms, space, &logs, view)?;
        let Some(shared) = self.shared.get_mut(&space) else { return Ok(()) };
        let answer = whole && !shared.told;
        if whole {
            shared.known = true;
            // Now it is known what the peer lacks of our own logs.
            for height in view.heights(space)?.iter().filter(|height| height.author == self.me) {
                let next = shared.theirs(&key(height)).saturating_add(1);
                if next <= height.seq {
                    shared.sending.entry(key(height)).or_insert(next);
                }
            }
        }
        self.out.push(Output::PeerHeights { space, heights });
        if answer { self.tell_all(now_ms, space, view) } else { Ok(()) }
    }

    /// Plans to ask for those of `logs` of which the peer holds more than we do and than was refused.
    fn plan_pulls<V: View>(
        &mut self,
        now_ms: u64,
        space: SpaceId,
        logs: &[LogKey],
        view: &V,
    ) -> Result<(), V::Error> {
        let Some(control) = view.control(space)? else { return Ok(()) };
        let Some(shared) = self.shared.get_mut(&space) else { return Ok(()) };
        for log_key in logs {
            let log = LogId { space, author: log_key.0, incarnation: log_key.1 };
            let theirs = shared.theirs(log_key);
            let refused = shared.refused.get(log_key).is_some_and(|seq| theirs <= *seq);
            let ours = view.height(&log)?;
            if theirs.min(control.cap(&log, control.height())) > ours && !refused {
                // Its author pushes it by itself; from others it is asked for after a moment.
                let delay = if log.author == self.peer { PULL_STALE_MS } else { PULL_DELAY_MS };
                shared.plan_pull(*log_key, ours, now_ms + delay);
            }
        }
        Ok(())
    }

    fn committed(&mut self, now_ms: u64, space: SpaceId, heights: &[Height]) {
        let Some(shared) = self.shared.get_mut(&space) else { return };
        for height in heights {
            let theirs = shared.theirs(&key(height));
            if height.seq <= theirs {
                continue;
            }
            if height.author == self.me && shared.known {
                shared.sending.entry(key(height)).or_insert(theirs + 1);
            } else {
                shared.news.insert(key(height), height.seq);
                shared.news_at_ms.get_or_insert(now_ms + HEARD_DELAY_MS);
            }
        }
    }

    // ---- operations -------------------------------------------------------------------------------

    fn ops(&mut self, space: SpaceId, ops: Vec<Bytes>, bytes: u64) {
        self.received = self.received.saturating_add(bytes);
        if self.received > self.granted {
            self.violation("more operations than it was granted");
            return;
        }
        if !self.shared.contains_key(&space) {
            // It may have been shared when they were sent. Only the credit goes back.
            self.granted += bytes;
            self.send_heights(space, Vec::new(), false);
            return;
        }
        let Some(ops) = self.read_ops(space, ops, false) else { return };
        if let Some(shared) = self.shared.get_mut(&space) {
            for op in &ops {
                let header = op.header();
                shared.note(&Height {
                    author: header.author,
                    incarnation: header.incarnation,
                    seq: header.seq,
                });
            }
        }
        self.out.push(Output::Store { space, control: false, ops, bytes });
    }

    fn stored<V: View>(&mut self, now_ms: u64, report: Report, view: &V) -> Result<(), V::Error> {
        let space = report.space;
        let shared = self.shared.contains_key(&space);
        if report.bytes > 0 {
            self.granted += report.bytes;
            // A peer that was removed meanwhile gets its credit back and learns nothing.
            let heights = if shared { report.heights.clone() } else { Vec::new() };
            self.send_heights(space, heights, false);
        }
        if let Some(shared) = self.shared.get_mut(&space) {
            for log in &report.again {
                let ours = view.height(log)?;
                shared.plan_pull((log.author, log.incarnation), ours, now_ms + PULL_DELAY_MS);
            }
        }
        self.refused(&report, view)?;
        // Who sent entries is ahead of us and is told how far we are now, so that it sends the next page.
        if report.control_grew || (report.control_ahead && shared) {
            let height = view.control(space)?.map_or(0, |control| control.height());
            self.send(&Frame::ControlHeight(space, height));
        }
        Ok(())
    }

    /// Remembers what is not worth asking for, tells of forks, and looks for them: a log that does not
    /// continue ours may have left it earlier, and the peer's version of that place proves it.
    fn refused<V: View>(&mut self, report: &Report, view: &V) -> Result<(), V::Error> {
        let space = report.space;
        let Some(shared) = self.shared.get_mut(&space) else { return Ok(()) };
        let mut forks: BTreeMap<LogId, (u64, &ForkProof)> = BTreeMap::new();
        for proof in &report.forks {
            let Ok((log, seq)) = proof.verify() else { continue };
            let lowest = forks.entry(log).or_insert((seq, proof));
            if seq < lowest.0 {
                *lowest = (seq, proof);
            }
        }
        let mut look = BTreeMap::new();
        for log in &report.refused {
            let log_key = (log.author, log.incarnation);
            let Some(theirs) = shared.peer.get(&log_key).copied() else { continue };
            shared.pulls.remove(&log_key);
            let before = shared.refused.insert(log_key, theirs);
            let ours = view.height(log)?;
            if before.is_none_or(|before| before < theirs) && ours > 0 && !forks.contains_key(log) {
                look.insert(log_key, ours);
            }
        }
        for (log, (seq, _)) in &forks {
            let seq = *seq;
            let log_key = (log.author, log.incarnation);
            let lowest = shared.forks.entry(log_key).or_insert(u64::MAX);
            if seq < *lowest {
                *lowest = seq;
                if seq > 1 {
                    look.insert(log_key, seq.saturating_sub(limits::OPS_PER_FRAME_MAX as u64).max(1));
                }
            }
        }
        for (_, proof) in forks.values() {
            self.send(&Frame::Fork(Bytes(proof.encode())));
        }
        let wants: Vec<_> = look
            .into_iter()
            .map(|((author, incarnation), seq)| Height { author, incarnation, seq })
            .collect();
        for page in wants.chunks(limits::HEIGHTS_PER_FRAME_MAX) {
            self.send(&Frame::Want(space, page.to_vec()));
        }
        Ok(())
    }

    // ---- time -------------------------------------------------------------------------------------

    fn tick<V: View>(&mut self, now_ms: u64, view: &V) -> Result<(), V::Error> {
        if !self.greeted {
            if now_ms >= self.up_at_ms + HELLO_TIMEOUT_MS {
                self.close(Closed::Silent);
            }
            return Ok(());
        }
        let spaces: Vec<_> = self.shared.keys().copied().collect();
        for space in &spaces {
            self.tell_news(now_ms, *space);
            self.pull(now_ms, *space, view)?;
            if self.shared[space].tell_at_ms.is_some_and(|at| now_ms >= at) {
                self.tell_all(now_ms, *space, view)?;
            }
        }
        if now_ms >= self.compare_at_ms {
            self.compare_at_ms = now_ms + ANTI_ENTROPY_MS;
            for space in spaces {
                let Some(control) = view.control(space)? else { continue };
                let digest = digest(control.height(), &view.heights(space)?);
                self.send(&Frame::Digest(space, Bytes32(digest)));
            }
        }
        Ok(())
    }

    fn tell_news(&mut self, now_ms: u64, space: SpaceId) {
        let Some(shared) = self.shared.get_mut(&space) else { return };
        if shared.news_at_ms.is_none_or(|at| now_ms < at) {
            return;
        }
        shared.news_at_ms = None;
        let news = std::mem::take(&mut shared.news);
        let heights: Vec<_> = news
            .into_iter()
            .filter(|(log, seq)| *seq > shared.theirs(log))
            .map(|((author, incarnation), seq)| Height { author, incarnation, seq })
            .collect();
        for page in heights.chunks(limits::HEIGHTS_PER_FRAME_MAX) {
            self.send_heights(space, page.to_vec(), false);
        }
    }

    /// Asks the peer for logs it holds more of, unless they are coming already.
    fn pull<V: View>(&mut self, now_ms: u64, space: SpaceId, view: &V) -> Result<(), V::Error> {
        let Some(control) = view.control(space)? else { return Ok(()) };
        let Some(shared) = self.shared.get_mut(&space) else { return Ok(()) };
        let due: Vec<_> =
            shared.pulls.iter().filter(|(_, pull)| now_ms >= pull.at_ms).map(|(k, p)| (*k, *p)).collect();
        let mut wants = Vec::new();
        for (log_key, mut pull) in due {
            let log = LogId { space, author: log_key.0, incarnation: log_key.1 };
            let ours = view.height(&log)?;
            if ours >= shared.theirs(&log_key).min(control.cap(&log, control.height())) {
                shared.pulls.remove(&log_key);
                continue;
            }
            if ours != pull.ours {
                pull = Pull::new(ours, now_ms + PULL_DELAY_MS); // it is coming
            } else if view.claim_pull(&log, self.peer, now_ms, PULL_STALE_MS) {
                wants.push(Height { author: log.author, incarnation: log.incarnation, seq: ours + 1 });
                pull.at_ms = now_ms + pull.retry_ms;
                pull.retry_ms = (2 * pull.retry_ms).min(PULL_RETRY_MS_MAX);
            } else {
                pull.at_ms = now_ms + PULL_DELAY_MS; // another peer was asked
            }
            shared.pulls.insert(log_key, pull);
        }
        for page in wants.chunks(limits::HEIGHTS_PER_FRAME_MAX) {
            self.send(&Frame::Want(space, page.to_vec()));
        }
        Ok(())
    }

    /// Sends operations as far as credit and the link allow, space by space in turn.
    fn pump<V: View>(&mut self, view: &V) -> Result<(), V::Error> {
        let mut waiting: Vec<_> = self
            .shared
            .iter()
            .filter(|(_, shared)| !shared.sending.is_empty())
            .map(|(space, _)| *space)
            .collect();
        let first = waiting.iter().position(|space| Some(*space) > self.turn).unwrap_or(0);
        waiting.rotate_left(first);
        while !waiting.is_empty() && self.ahead < OPS_FRAMES_AHEAD {
            let space = waiting.remove(0);
            if self.send_ops(space, view)? {
                self.turn = Some(space);
                waiting.push(space);
            }
        }
        Ok(())
    }

    /// One frame of operations of a space; false when there is nothing to send or no credit for it.
    fn send_ops<V: View>(&mut self, space: SpaceId, view: &V) -> Result<bool, V::Error> {
        let room = self.sent_max.saturating_sub(self.sent).min(limits::FRAME_BYTES_MAX as u64) as usize;
        let me = self.me;
        let Some(shared) = self.shared.get_mut(&space) else { return Ok(false) };
        let mut logs: Vec<_> = shared.sending.iter().map(|(log, next)| (*log, *next)).collect();
        logs.sort_by_key(|(log, _)| log.0 != me); // what we write ourselves nobody else pushes
        let mut ops: Vec<Bytes> = Vec::new();
        let mut bytes = 64;
        for (log_key, next) in logs {
            let log = LogId { space, author: log_key.0, incarnation: log_key.1 };
            let left = limits::OPS_FRAME_BYTES.saturating_sub(bytes);
            let count = limits::OPS_PER_FRAME_MAX - ops.len();
            if left == 0 || count == 0 {
                break;
            }
            let mut sent = next;
            let mut full = false;
            for op in view.ops(&log, next, left, count)? {
                let cost = op.len() + 8; // its length's own bytes
                full = (bytes + cost > limits::OPS_FRAME_BYTES && !ops.is_empty()) || bytes + cost > room;
                if full {
                    break;
                }
                bytes += cost;
                ops.push(Bytes(op));
                sent += 1;
            }
            if sent == next && !full {
                shared.sending.remove(&log_key); // all sent: a commit or a wish begins anew
            } else {
                shared.sending.insert(log_key, sent);
                shared.note(&Height { author: log.author, incarnation: log.incarnation, seq: sent - 1 });
            }
        }
        if ops.is_empty() {
            return Ok(false);
        }
        let frame = Frame::Ops(space, ops).encode();
        self.sent += frame.len() as u64;
        self.ahead += 1;
        self.out.push(Output::Send(frame));
        Ok(true)
    }
}
