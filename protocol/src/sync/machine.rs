//! One link's side of the protocol, as a state machine without I/O.

mod control;
mod heights;
mod operations;
mod shared;

use std::collections::BTreeMap;

use self::shared::{Control, Shared, key};
use super::{Closed, Frame, Hello, Input, Output, View};
use crate::{
    fork::ForkProof,
    identity::NodeId,
    ids::{LogId, SpaceId},
    limits,
    mutants::{self, Mutant},
};

/// The version spoken here.
const VERSION: u16 = 1;
/// Operation frames handed out before the caller has to say [`Input::Writable`].
const OPS_FRAMES_AHEAD: usize = 4;
/// All heights of a space are told at most this often; a peer that asks more often waits.
const HEIGHTS_PAUSE_MS: u64 = 250;
/// So many digests in a row have to differ over equal heights before the newest operations are compared: one that was
/// made a moment earlier or later differs as well.
const DOUBTS_MAX: u32 = 2;
/// Between two pages of a control log that is compared: it may have many, and is compared once in its life, if at all.
/// A page is served after half of it, lest the two clocks disagree.
const COMPARE_PAUSE_MS: u64 = 500;
/// Logs whose newest operations are compared at a time, the next ones at the next doubt: an operation may have a mebibyte.
const HEADS_COMPARED: usize = 16;
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
    /// Heights that the peer named of spaces this node does not hold: it may learn of them in a moment.
    named: BTreeMap<SpaceId, u64>,
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
            named: BTreeMap::new(),
            turn: None,
            sent: 0,
            sent_max: 0,
            received: 0,
            granted: limits::CREDIT_BYTES,
            ahead: 0,
            out: Vec::new(),
        }
    }

    /// Whether [`Input::Writable`] would tell it anything: frames of operations were handed out, and it was not
    /// closed since.
    pub fn awaits_writable(&self) -> bool {
        self.ahead > 0 && !self.closed
    }

    /// When [`Input::Tick`] is due, in the milliseconds of `handle`'s `now_ms`; never once it is closed.
    pub fn wake_at_ms(&self) -> u64 {
        if self.closed {
            return u64::MAX;
        }
        if !self.greeted {
            return self.up_at_ms + HELLO_TIMEOUT_MS;
        }
        let comparing = self.controls.values().filter_map(|control| Some(control.comparing?.at_ms));
        let shared = self.shared.values().map(Shared::wake_at_ms);
        shared.chain(comparing).fold(self.compare_at_ms, u64::min)
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
                if let Some(entry) = heights.iter().find(|height| height.incarnation == 0)
                    && self.shared.get(&space).is_some_and(|shared| shared.pair.is_none())
                {
                    self.serve_control(now_ms, space, entry.seq, view)?;
                }
                if let Some(shared) = self.shared.get_mut(&space) {
                    for height in heights.iter().filter(|height| height.incarnation > 0) {
                        let log = LogId { space, author: height.author, incarnation: height.incarnation };
                        if view.height(&log)? >= height.seq {
                            shared.sending.insert(key(height), height.seq.max(1));
                        }
                    }
                } else if mutants::is(Mutant::BoundsFromFrame) {
                    for height in &heights {
                        let log = LogId { space, author: height.author, incarnation: height.incarnation };
                        let ops =
                            view.ops(&log, height.seq, limits::OPS_FRAME_BYTES, limits::OPS_PER_FRAME_MAX)?;
                        self.send(&Frame::Ops(space, ops.into_iter().map(crate::cbor::Bytes).collect()));
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
        let compared: Vec<_> = self.controls.keys().copied().collect();
        for space in compared {
            self.ask_to_compare(now_ms, space, view)?;
        }
        if now_ms >= self.compare_at_ms {
            self.compare_at_ms = now_ms + ANTI_ENTROPY_MS;
            for space in spaces {
                let Some(control) = self.control(space, view)? else { continue };
                self.send_digest(space, &control, view)?;
            }
        }
        Ok(())
    }
}
