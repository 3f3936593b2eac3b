//! What the targets share: a small world that is the same each time, and how bytes are cut into frames.
//!
//! Each program in `src/bin` hands arbitrary bytes to one reader. It must answer; what it takes it must write
//! again byte for byte, for exact bytes are what is signed and forwarded; and what it gives must stay within limits.

use std::{
    convert::Infallible,
    sync::{Arc, LazyLock},
};

use muster_protocol::{
    cbor::{Bytes, Bytes16},
    clock::Hlc,
    control::{ControlState, Entry, Genesis, MemberAdded, Role},
    identity::{Identity, NodeId},
    ids::{LogId, OpId, SpaceId, StreamId, WorkspaceId},
    operation::{Draft, Kind, Operation, Place},
    sync::{Height, Held, View},
};

/// When it all happens, in Unix milliseconds.
pub const NOW_MS: u64 = 1_800_000_000_000;
/// The log of everybody.
pub const INCARNATION: u64 = 7;

/// The home, a member, and whatever else is wanted.
pub fn identity(seed: u8) -> Identity {
    Identity::from_seed([seed; 32])
}

/// Made once: what is signed in it would cost more than what is read.
pub static WORLD: LazyLock<World> = LazyLock::new(World::new);

/// A workspace of two nodes, of which the first is the home and holds a log of its own.
pub struct World {
    /// What both know of who belongs.
    pub control: Arc<ControlState>,
    /// The entries of the control log.
    pub entries: Vec<Operation>,
    /// What the home wrote.
    pub log: Vec<Operation>,
}

impl World {
    /// The same each time.
    pub fn new() -> Self {
        let home = identity(1);
        let genesis = Genesis {
            workspace: WorkspaceId::new(NOW_MS, [1; 10]),
            name: "fuzz".to_owned(),
            founder: home.node(),
            founder_name: "ada".to_owned(),
            created_ms: NOW_MS,
            parent: Vec::new(),
        };
        let space = genesis.space();
        let (kind, body) = Entry::Genesis(genesis).encode();
        let first = sign(&home, place(space, 0, 1, OpId::NONE, 0), kind, body);
        let mut control = ControlState::begin(&first).expect("a genesis begins its space");
        let added = MemberAdded {
            node: identity(2).node(),
            name: "bob".to_owned(),
            role: Role::Member.code(),
            invite: Bytes16([2; 16]),
            evidence: Bytes::default(),
        };
        let (kind, body) = Entry::MemberAdded(added).encode();
        let second = sign(&home, place(space, 0, 2, first.id(), 1), kind, body);
        control.apply(&second).expect("the home lets somebody in");
        let mut log: Vec<Operation> = Vec::new();
        for seq in 1..=3 {
            let prev = log.last().map_or(OpId::NONE, Operation::id);
            let place = place(space, INCARNATION, seq, prev, 2);
            log.push(sign(&home, place, Kind::ENVELOPE, b"something said".to_vec()));
        }
        Self { control: Arc::new(control), entries: vec![first, second], log }
    }

    /// Its space.
    pub fn space(&self) -> SpaceId {
        self.control.space()
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

/// A place in a log of a space.
pub fn place(space: SpaceId, incarnation: u64, seq: u64, prev: OpId, control_height: u64) -> Place {
    Place { space, incarnation, seq, prev, hlc: Hlc::from_ms(NOW_MS + seq), control_height }
}

/// An operation at a place.
pub fn sign(identity: &Identity, place: Place, kind: Kind, body: Vec<u8>) -> Operation {
    Operation::sign(identity, place, Draft { kind, stream: StreamId::SPACE, body })
}

/// Cuts bytes into pieces, each behind its length in two bytes.
pub fn pieces(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
        let (piece, rest) = rest.split_at(length);
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

/// The reverse of [`pieces`].
pub fn joined(pieces: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in pieces {
        bytes.extend_from_slice(&(piece.len() as u16).to_be_bytes());
        bytes.extend_from_slice(piece);
    }
    bytes
}

impl View for World {
    type Error = Infallible;

    fn spaces(&self) -> Result<Vec<SpaceId>, Infallible> {
        Ok(vec![self.space()])
    }

    fn control(&self, space: SpaceId) -> Result<Option<Arc<ControlState>>, Infallible> {
        Ok((space == self.space()).then(|| self.control.clone()))
    }

    fn control_entries(&self, _: SpaceId, from: u64, _: usize) -> Result<Vec<Vec<u8>>, Infallible> {
        let from = usize::try_from(from.saturating_sub(1)).unwrap_or(usize::MAX);
        Ok(self.entries.iter().skip(from).map(Operation::encode).collect())
    }

    fn held(&self, space: SpaceId) -> Result<Vec<Held>, Infallible> {
        let newest = self.log.last().filter(|_| space == self.space());
        Ok(newest
            .map(|op| {
                let header = op.header();
                let height =
                    Height { author: header.author, incarnation: header.incarnation, seq: header.seq };
                Held { height, head: op.id() }
            })
            .into_iter()
            .collect())
    }

    fn height(&self, log: &LogId) -> Result<u64, Infallible> {
        let own = self.log.first().is_some_and(|op| op.header().log() == *log);
        Ok(if own { self.log.len() as u64 } else { 0 })
    }

    fn ops(&self, log: &LogId, from: u64, _: usize, count: usize) -> Result<Vec<Vec<u8>>, Infallible> {
        let of = self.log.iter().filter(|op| op.header().log() == *log && op.header().seq >= from);
        Ok(of.take(count).map(Operation::encode).collect())
    }

    fn claim_pull(&self, _: &LogId, _: NodeId, _: u64, _: u64) -> bool {
        true
    }
}
