//! What villains do that no honest node does. Each deed has a weight in the scenario; one without never happens.

use std::collections::BTreeMap;

use muster_actors::ports::{Network, Topic};
use muster_protocol::{
    cbor::{Bytes, Bytes32},
    clock::Hlc,
    identity::NodeId,
    ids::{OpId, SpaceId, StreamId},
    limits,
    network::{CapabilityCatalog, PeerCard, PeerName},
    operation::{Kind, Operation, Place},
    presence::{Presence, Present, topic},
    sync::{Frame, Height},
};
use rand::{Rng, RngExt, seq::IndexedRandom};
use serde::Deserialize;

use super::Villain;
use crate::dice::Dice;

/// How the villains of a world are.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Malice {
    /// How many there are at a time.
    pub villains: usize,
    /// Mean time between two things that one of them does, in milliseconds.
    pub every_ms: u64,
    /// How long they are refused after a violation, in milliseconds: real nodes do that for longer than a world lasts.
    pub ban_ms: u64,
    /// How many of a hundred things they do are good.
    pub good_percent: u32,
    /// How likely each deed is among the others.
    pub deeds: BTreeMap<Deed, u32>,
}

impl Malice {
    pub(super) fn weight(&self, deed: Deed) -> u32 {
        self.deeds.get(&deed).copied().unwrap_or_default()
    }

    /// Other proportions of the same; see [`crate::faults::Faults::varied`].
    pub(in crate::world) fn varied(&self, dice: &mut Dice) -> Self {
        let mut varied = self.clone();
        varied.deeds.values_mut().for_each(|weight| *weight *= dice.random_range(0..=3));
        if varied.deeds.values().all(|weight| *weight == 0) { self.clone() } else { varied }
    }

    fn choose(&self, dice: &mut Dice, may: impl Fn(Deed) -> bool) -> Option<Deed> {
        let deeds: Vec<_> = self.deeds.iter().filter(|(deed, _)| may(**deed)).collect();
        deeds.choose_weighted(dice, |(_, weight)| **weight).ok().map(|(deed, _)| **deed)
    }
}

/// One sort of malice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// Two operations at one place, told to different nodes; now and then both logs go on.
    Fork,
    /// A frame of somebody with a bit flipped.
    FlipFrame,
    /// An operation of somebody with a bit flipped.
    FlipOperation,
    /// An old frame once more, on whatever link.
    ReplayFrame,
    /// Operations of others, also of spaces that are not shared here.
    ReplayOperations,
    /// An operation whose predecessor nobody gets.
    Gap,
    /// A frame larger than any may be.
    LargeFrame,
    /// A body larger than any may be, more operations than a frame may have, or more gossip.
    LargeContent,
    /// Times ahead: within what is allowed, a little beyond it, or years.
    Future,
    /// Grants that are too small, too large, or taken without being given.
    Credit,
    /// Heights of logs that do not exist, or are not as high.
    Heights,
    /// An operation behind another than the one before it.
    WrongPrev,
    /// A signature that a lenient check believes and a strict one does not.
    Loose,
    /// An operation earlier than the one before it.
    BackInTime,
    /// An operation that only the home may write.
    Control,
    /// A message in the name of somebody else's session.
    Impostor,
    /// Questions for spaces of others.
    Pry,
    /// Gossip and presence that is garbage, stolen, of somebody else, or of another time.
    Gossip,
    /// Questions outside a link that are garbage, or not its own to ask.
    Questions,
}

impl Deed {
    /// Whether it leaves nothing new to agree on, so that it may be done while the others come to rest.
    fn is_idle(self) -> bool {
        use Deed::*;
        matches!(
            self,
            FlipFrame | FlipOperation | ReplayFrame | LargeFrame | LargeContent | Heights | Pry | Questions
        )
    }

    /// Whether it needs a log that may still be written.
    fn writes(self) -> bool {
        use Deed::*;
        matches!(self, Fork | Gap | Future | WrongPrev | Loose | BackInTime | Control | Impostor)
    }
}

impl Villain {
    /// Does something: good as a rule, while others are not to come to rest.
    pub(super) fn act(&mut self) {
        let malice = self.shared.plan.malice.clone();
        let (calm, removed) = (self.is_calm(), self.shared.den.is_removed(self.me()));
        if !calm && self.dice.random_range(0..100) < malice.good_percent {
            self.talk();
        } else {
            let may = |deed: Deed| if calm { deed.is_idle() } else { !removed || !deed.writes() };
            if let Some(deed) = malice.choose(&mut self.dice, may) {
                self.shared.record("deed", &[format!("{deed:?}").as_bytes()]);
                self.shared.den.count();
                self.commit(deed);
            }
        }
        self.flush_all();
    }

    fn commit(&mut self, deed: Deed) {
        match deed {
            Deed::Fork => self.fork(),
            Deed::FlipFrame => {
                if let Some(mut frame) = self.frame() {
                    flip(&mut frame, &mut self.dice);
                    self.tell_one(|line| line.say_bytes(frame));
                }
            }
            Deed::FlipOperation => {
                let Some(op) = self.operation() else { return };
                let mut bytes = op.encode();
                flip(&mut bytes, &mut self.dice);
                self.tell_one(|line| line.throw(op.header().space, vec![bytes]));
            }
            Deed::ReplayFrame => {
                if let Some(frame) = self.frame() {
                    self.tell_one(|line| line.say_bytes(frame));
                }
            }
            Deed::ReplayOperations => {
                let ops: Vec<_> = (0..4).filter_map(|_| self.operation()).collect();
                let Some(space) = ops.first().map(|op| op.header().space) else { return };
                let same =
                    ops.iter().filter(|op| op.header().space == space).map(Operation::encode).collect();
                self.tell_one(|line| line.throw(space, same));
            }
            Deed::LargeFrame => self.tell_one(|line| line.say_bytes(vec![7; limits::FRAME_BYTES_MAX + 1])),
            Deed::LargeContent => self.large_content(),
            Deed::Credit => self.credit(),
            Deed::Heights => self.heights(),
            Deed::Pry => self.pry(),
            Deed::Gossip => self.gossip(),
            Deed::Questions => self.question(),
            Deed::Gap
            | Deed::Future
            | Deed::WrongPrev
            | Deed::Loose
            | Deed::BackInTime
            | Deed::Control
            | Deed::Impostor => self.write_wrongly(deed),
        }
    }

    // ---- helpers -------------------------------------------------------------------------------

    fn frame(&mut self) -> Option<Vec<u8>> {
        self.shared.den.frame(self.dice.next_u64() >> 1)
    }

    fn operation(&mut self) -> Option<Operation> {
        self.shared.den.any(self.dice.next_u64() >> 1)
    }

    /// Something on one of its links.
    fn tell_one(&mut self, say: impl FnOnce(&mut super::Line)) {
        let nodes: Vec<NodeId> = self.lines.keys().copied().collect();
        if let Some(line) = nodes.choose(&mut self.dice).and_then(|node| self.lines.get_mut(node)) {
            say(line);
        }
    }

    /// The workspace's space, or one that it shares with a node.
    fn some_space(&mut self) -> Option<SpaceId> {
        let space = self.shared.den.space()?;
        let node = *self.honest.choose(&mut self.dice)?;
        Some(if self.dice.random_ratio(1, 4) { SpaceId::pair(space, self.me(), node) } else { space })
    }

    // ---- in its own logs -----------------------------------------------------------------------

    /// A place, a stream and a body that an honest node could have used.
    fn draft(&mut self, text: &str) -> Option<(Place, StreamId, Vec<u8>)> {
        let (height, now_ms) = (self.shared.den.control_height(), self.now_ms());
        let channel = crate::world::person::channel(self.dice.random_range(0..self.shared.plan.channels));
        let pen = self.pen.as_mut()?;
        let session = pen.session.clone();
        let body = pen.message(&session, &channel, text, now_ms)?;
        Some((pen.place(pen.space, height, now_ms), StreamId::channel(pen.space, &channel), body))
    }

    fn fork(&mut self) {
        let (both, grow) = (self.dice.random_ratio(1, 2), self.dice.random_range(0..3));
        let Some((place, stream, body)) = self.draft("thread_000") else { return };
        let Some((_, other_stream, other_body)) = self.draft("thread_001") else { return };
        let Some(pen) = &mut self.pen else { return };
        let (mut one, mut other) = (
            pen.sign(place, Kind::ENVELOPE, stream, body),
            pen.sign(place, Kind::ENVELOPE, other_stream, other_body),
        );
        let mut made = vec![one.clone(), other.clone()];
        for _ in 0..grow {
            // Each branch goes on by itself, so that they are equally long, or only the first does.
            let follow = |pen: &mut super::Pen, op: &Operation| {
                let header = op.header();
                let (seq, prev, hlc) = (header.seq + 1, op.id(), Hlc(header.hlc.0 + 1));
                let body = pen.message(&pen.session.clone(), "channel-0", "thread_002", hlc.ms())?;
                let stream = StreamId::channel(header.space, "channel-0");
                Some(pen.sign(Place { seq, prev, hlc, ..place }, Kind::ENVELOPE, stream, body))
            };
            let Some(next) = follow(pen, &one) else { break };
            one = next;
            made.push(one.clone());
            if both && let Some(next) = follow(pen, &other) {
                other = next;
                made.push(other.clone());
            }
        }
        pen.turn(place.space);
        made.iter().for_each(|op| self.shared.den.keep(op));
        self.spread(&one.header().log(), place.seq);
    }

    fn write_wrongly(&mut self, deed: Deed) {
        let Some((mut place, mut stream, mut body)) = self.draft("thread_000") else { return };
        let (now_ms, mut kind) = (self.now_ms(), Kind::ENVELOPE);
        let ahead_ms = *[60_000, 115_000, 150_000, 240_000, 3_600_000, 100 * 365 * 86_400_000]
            .choose(&mut self.dice)
            .unwrap_or(&0);
        let peers = self.shared.ledger.sessions();
        let other = peers.choose(&mut self.dice).and_then(|session| PeerName::parse(&session.peer).ok());
        let channel = "channel-0";
        let Some(pen) = &mut self.pen else { return };
        match deed {
            Deed::Gap => place.seq += 2,
            Deed::Future => place.hlc = Hlc::from_ms(now_ms + ahead_ms),
            Deed::WrongPrev => place.prev = OpId([7; 32]),
            Deed::BackInTime => place.hlc = Hlc::from_ms(now_ms.saturating_sub(ahead_ms)),
            Deed::Loose => {}
            Deed::Control => kind = Kind(1 + (now_ms % 6) as u16),
            _ => {
                let Some(other) = other else { return };
                let Some(forged) = pen.message(&other, channel, "thread_000", now_ms) else { return };
                (body, stream) = (forged, StreamId::channel(place.space, channel));
            }
        }
        let op = pen.sign(place, kind, stream, body);
        let log = op.header().log();
        if matches!(deed, Deed::Gap | Deed::Future | Deed::Impostor) {
            // It is part of the log, and whoever may store it does.
            pen.follow(&op);
            self.shared.den.keep(&op);
            if deed != Deed::Impostor {
                pen.turn(place.space);
            }
            return self.spread(&log, place.seq);
        }
        if deed == Deed::Loose {
            // Signed well it is part of the log; one of the others gets it signed badly.
            pen.follow(&op);
            self.shared.den.keep(&op);
            let loose = pen.sign_loosely(&op);
            return self.tell_one(|line| line.throw(place.space, vec![loose]));
        }
        let bytes = op.encode();
        self.tell_one(|line| line.throw(place.space, vec![bytes]));
    }

    // ---- on its links --------------------------------------------------------------------------

    fn large_content(&mut self) {
        let Some(space) = self.some_space() else { return };
        match self.dice.random_range(0..4) {
            0 => self.tell_one(|line| line.throw(space, vec![vec![1]; limits::OPS_PER_FRAME_MAX + 1])),
            1 => self.tell_one(|line| line.throw(space, vec![vec![1; limits::BODY_BYTES_MAX + 1]])),
            2 => {
                let height = Height { author: self.me(), incarnation: 1, seq: 1 };
                let heights = vec![height; limits::HEIGHTS_PER_FRAME_MAX + 1];
                self.tell_one(|line| line.say(&Frame::Want(space, heights)));
            }
            _ => {
                let much = vec![1; limits::GOSSIP_BYTES_MAX + 1];
                self.tell_one(|line| line.say(&Frame::Presence(Bytes(much))));
            }
        }
    }

    fn credit(&mut self) {
        let Some(space) = self.some_space() else { return };
        let way = self.dice.random_range(0..4);
        let Some(op) = self.operation() else { return };
        self.tell_one(|line| match way {
            0 => {
                line.granted = u64::MAX;
                line.tell(space, Vec::new(), false);
            }
            1 => line.say(&Frame::Heights { space, heights: Vec::new(), whole: true, credit: 0 }),
            2 => line.credit = u64::MAX, // from now on it sends what it likes
            _ => {
                // As much as a frame holds, again and again.
                let bytes = op.encode();
                let count =
                    (limits::FRAME_BYTES_MAX / 2 / bytes.len().max(1)).clamp(1, limits::OPS_PER_FRAME_MAX);
                (0..20).for_each(|_| line.throw(op.header().space, vec![bytes.clone(); count]));
            }
        });
    }

    fn heights(&mut self) {
        let (Some(space), Some(author)) = (self.some_space(), self.honest.choose(&mut self.dice).copied())
        else {
            return;
        };
        let mut heights = self.shared.den.heights(space);
        let lie = self.dice.random_range(0..4);
        match lie {
            0 => heights.iter_mut().for_each(|height| height.seq += 7),
            1 => heights.iter_mut().for_each(|height| height.seq = u64::MAX),
            2 => heights.iter_mut().for_each(|height| height.seq /= 2),
            _ => {
                let mut made = |_| Height { author, incarnation: self.dice.next_u64(), seq: 1 << 40 };
                heights = (0..limits::HEIGHTS_PER_FRAME_MAX).map(&mut made).collect();
            }
        }
        heights.truncate(limits::HEIGHTS_PER_FRAME_MAX);
        let whole = self.dice.random_ratio(1, 2);
        self.tell_one(|line| {
            line.say(&Frame::Heights { space, heights, whole, credit: line.granted });
            line.say(&Frame::ControlHeight(space, u64::MAX / 2));
            line.say(&Frame::Digest(space, Bytes32([3; 32])));
        });
    }

    fn pry(&mut self) {
        let Some(space) = self.shared.den.space() else { return };
        let (Some(one), Some(other)) =
            (self.honest.choose(&mut self.dice).copied(), self.honest.choose(&mut self.dice).copied())
        else {
            return;
        };
        let pair = SpaceId::pair(space, one, other);
        let wants = [one, other].map(|author| Height { author, incarnation: 1, seq: 1 }).to_vec();
        self.tell_one(|line| {
            line.say(&Frame::Digest(pair, Bytes32([1; 32])));
            line.say(&Frame::ControlHeight(pair, 1));
            line.say(&Frame::Heights { space: pair, heights: Vec::new(), whole: true, credit: line.granted });
            line.say(&Frame::Want(pair, wants));
        });
    }

    // ---- outside its links ---------------------------------------------------------------------

    fn gossip(&mut self) {
        let Some(space) = self.shared.den.space() else { return };
        let way = self.dice.random_range(0..8);
        let pick = self.dice.next_u64() >> 1;
        let bytes = match way {
            0 => Some((0..200).map(|_| self.dice.random()).collect()),
            1 => self.shared.den.presence(pick),
            2 => self.shared.den.presence(pick).map(|mut bytes| {
                flip(&mut bytes, &mut self.dice);
                bytes
            }),
            _ => self.presence(space, way),
        };
        let Some(bytes) = bytes else { return };
        if self.dice.random_ratio(1, 2) {
            self.network.publish(Topic(topic(space)), bytes);
        } else {
            self.tell_one(|line| line.say(&Frame::Presence(Bytes(bytes))));
        }
    }

    /// Tells of its own session; or of somebody else's, of another time, and of addresses that are none.
    fn presence(&mut self, space: SpaceId, way: u32) -> Option<Vec<u8>> {
        let sessions = self.shared.ledger.sessions();
        let stolen = sessions.choose(&mut self.dice).and_then(|session| PeerName::parse(&session.peer).ok());
        let own = self.pen.as_ref()?.session.clone();
        let (peer, gone) = match (way, stolen) {
            (3, Some(stolen)) => (stolen, Vec::new()),
            (4, Some(stolen)) => (own, vec![("channel-0".to_owned(), stolen.as_str().to_owned())]),
            _ => (own, Vec::new()),
        };
        let card = PeerCard::local(peer, Some("mallory"), &CapabilityCatalog::default());
        let card = Bytes(serde_json::to_vec(&card).ok()?);
        let present = vec![Present { channel: "channel-0".to_owned(), card }];
        let ahead_ms = if way == 5 { self.dice.random_range(0..400_000) } else { 0 };
        let presence = Presence {
            space,
            node: self.me(),
            at_ms: self.now_ms() + ahead_ms,
            part: 0,
            name: "mallory".to_owned(),
            addresses: vec!["/memory/1".to_owned(), "nowhere".to_owned()],
            digest: Bytes32(self.dice.random()),
            present,
            gone,
        };
        Some(presence.sign(&self.identity))
    }

    #[expect(clippy::disallowed_methods, reason = "nobody waits for the answers to bad questions")]
    fn question(&mut self) {
        let Some(to) = self.honest.choose(&mut self.dice).copied() else { return };
        let addresses = self.others.get(&to).cloned().into_iter().collect();
        let question = match self.frame() {
            Some(mut frame) if frame.len() < 4_000 => {
                flip(&mut frame, &mut self.dice);
                frame
            }
            _ => vec![0x83, 0x01],
        };
        tokio::spawn(self.network.request(to, addresses, question));
    }
}

/// Flips a bit somewhere.
fn flip(bytes: &mut [u8], dice: &mut Dice) {
    if !bytes.is_empty() {
        let at = dice.random_range(0..bytes.len());
        bytes[at] ^= 1 << dice.random_range(0..8);
    }
}
