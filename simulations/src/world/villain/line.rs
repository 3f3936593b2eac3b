//! One link of a villain: the protocol, as far as it is needed to be believed.

use std::collections::{BTreeMap, VecDeque};

use muster_actors::ports::{Link, Network};
use muster_protocol::{
    cbor::{Bytes, Bytes32},
    identity::NodeId,
    ids::{LogId, SpaceId},
    limits,
    operation::Operation,
    sync::{Frame, Height, Hello},
};
use rand::RngExt;

use super::den::Den;
use crate::dice::Dice;

/// Frames that wait for the link; more are forgotten.
const WAITING_MAX: usize = 256;

/// One link.
pub(super) struct Line {
    pub(super) link: Link,
    /// It takes frames and never answers.
    pub(super) deaf: bool,
    /// What it granted, and what it was granted; bytes.
    pub(super) granted: u64,
    pub(super) credit: u64,
    pub(super) sent: u64,
    waiting: VecDeque<Vec<u8>>,
    /// How far the other end is in each log, as it says or was told.
    theirs: BTreeMap<LogId, u64>,
}

impl Line {
    pub(super) fn new(link: Link, deaf: bool) -> Self {
        Self {
            link,
            deaf,
            granted: limits::CREDIT_BYTES,
            credit: 0,
            sent: 0,
            waiting: VecDeque::new(),
            theirs: BTreeMap::new(),
        }
    }

    fn peer(&self) -> NodeId {
        self.link.node
    }

    /// The first frame: mostly an honest one, else one that lies about what may be sent.
    pub(super) fn hello(&mut self, dice: &mut Dice, lies: bool) {
        self.granted = match dice.random_range(0..16) {
            0 if lies => 0,
            1 if lies => u64::MAX,
            2 if lies => 1_000,
            _ => limits::CREDIT_BYTES,
        };
        self.say(&Frame::Hello(Hello { version: 1, credit: self.granted }));
    }

    pub(super) fn say(&mut self, frame: &Frame) {
        self.say_bytes(frame.encode());
    }

    pub(super) fn say_bytes(&mut self, frame: Vec<u8>) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(frame);
        }
    }

    pub(super) fn flush(&mut self, network: &impl Network) {
        while let Some(frame) = self.waiting.front() {
            if !network.send(self.link, frame.clone()) {
                return;
            }
            self.waiting.pop_front();
        }
    }

    /// Takes a frame and answers it. An error is something that an honest node must not have sent.
    pub(super) fn take(&mut self, bytes: &[u8], den: &Den, spaces: &[SpaceId]) -> Result<(), String> {
        let frame = Frame::decode(bytes).map_err(|error| format!("a frame that is none: {error}"))?;
        den.keep_frame(bytes);
        match frame {
            Frame::Hello(hello) => {
                self.credit = hello.credit;
                if let Some(space) = den.space() {
                    self.say(&Frame::ControlHeight(space, den.control_height()));
                }
                for space in spaces {
                    self.say(&Frame::Digest(*space, Bytes32([0; 32])));
                }
            }
            Frame::ControlHeight(space, height) if height > den.control_height() => {
                self.say(&Frame::ControlHeight(space, den.control_height()));
            }
            Frame::ControlHeight(..) | Frame::Fork(_) => {}
            Frame::ControlEntries(space, entries) => {
                for entry in entries {
                    den.take_entry(&Operation::decode(&entry.0).map_err(|_| "a control entry that is none")?);
                }
                self.say(&Frame::ControlHeight(space, den.control_height()));
            }
            Frame::Digest(space, _) => {
                may_read(spaces, space)?;
                self.tell(space, den.heights(space), true);
            }
            Frame::Heights { space, heights, credit, .. } => {
                self.credit = self.credit.max(credit);
                if !heights.is_empty() {
                    may_read(spaces, space)?;
                }
                self.compare(den, space, &heights);
            }
            Frame::Want(space, wants) => {
                may_read(spaces, space)?;
                for want in wants {
                    let log = LogId { space, author: want.author, incarnation: want.incarnation };
                    self.push(den, &log, want.seq);
                }
            }
            Frame::Ops(space, ops) => {
                may_read(spaces, space)?;
                for op in ops {
                    let op = Operation::decode(&op.0).map_err(|_| "an operation that is none")?;
                    op.verify().map_err(|_| "an operation that is not signed")?;
                    den.keep(&op);
                }
                self.granted = self.granted.saturating_add(bytes.len() as u64);
                self.tell(space, den.heights(space), false);
            }
            Frame::Presence(bytes) => den.keep_presence(bytes.0),
        }
        Ok(())
    }

    pub(super) fn tell(&mut self, space: SpaceId, heights: Vec<Height>, whole: bool) {
        let credit = self.granted;
        for page in heights.chunks(limits::HEIGHTS_PER_FRAME_MAX) {
            self.say(&Frame::Heights { space, heights: page.to_vec(), whole: false, credit });
        }
        self.say(&Frame::Heights { space, heights: Vec::new(), whole, credit });
    }

    /// Asks for what the other holds more of, and sends what it holds less of.
    fn compare(&mut self, den: &Den, space: SpaceId, heights: &[Height]) {
        let mut wants = Vec::new();
        for height in heights {
            let log = LogId { space, author: height.author, incarnation: height.incarnation };
            let theirs = self.theirs.entry(log).or_default();
            *theirs = (*theirs).max(height.seq);
            let ours = den.height(&log);
            if height.seq > ours {
                wants.push(Height { seq: ours + 1, ..*height });
            }
        }
        if !wants.is_empty() {
            self.say(&Frame::Want(space, wants));
        }
        for ours in den.heights(space) {
            let log = LogId { space, author: ours.author, incarnation: ours.incarnation };
            let theirs = self.theirs.get(&log).copied().unwrap_or_default();
            if den.is_villain(ours.author) && theirs < ours.seq {
                self.push(den, &log, theirs + 1);
            }
        }
    }

    /// Sends a page of a log, as far as it was granted.
    pub(super) fn push(&mut self, den: &Den, log: &LogId, from: u64) {
        let ops = den.page(log, from, self.peer());
        let Some(last) = ops.last().map(|op| op.header().seq) else { return };
        let ops: Vec<Bytes> = ops.iter().map(|op| Bytes(op.encode())).collect();
        let frame = Frame::Ops(log.space, ops).encode();
        if self.sent + frame.len() as u64 <= self.credit {
            self.sent += frame.len() as u64;
            self.theirs.insert(*log, last);
            self.say_bytes(frame);
        }
    }

    /// Sends operations whether it may or not.
    pub(super) fn throw(&mut self, space: SpaceId, ops: Vec<Vec<u8>>) {
        let frame = Frame::Ops(space, ops.into_iter().map(Bytes).collect()).encode();
        self.sent += frame.len() as u64;
        self.say_bytes(frame);
    }
}

/// Honest nodes tell nothing of a space to those who may not read it.
fn may_read(spaces: &[SpaceId], space: SpaceId) -> Result<(), String> {
    if spaces.contains(&space) {
        Ok(())
    } else {
        Err("told of a space that is none of its business".to_owned())
    }
}
