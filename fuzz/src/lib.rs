//! What the targets share: a small world that is the same each time, and how bytes are cut into frames.
//!
//! Each program in `src/bin` hands arbitrary bytes to one reader. It must answer; what it takes it must write
//! again byte for byte, for exact bytes are what is signed and forwarded; and what it gives must stay within limits.

use std::sync::{Arc, LazyLock};

use muster_protocol::{
    cbor::{self, Bytes, Bytes16, Bytes64},
    clock::Hlc,
    control::{ControlState, Entry, Genesis, InviteCreated, MemberAdded, Role},
    identity::{Domain, Identity},
    ids::{OpId, SpaceId, StreamId, WorkspaceId},
    network::{ChannelName, Pair, PeerName, WorkspaceRef},
    operation::{Draft, Kind, Operation, Place},
    session::session_id,
};

/// When it all happens, in Unix milliseconds.
pub const NOW_MS: u64 = 1_800_000_000_000;
/// The log of everybody.
pub const INCARNATION: u64 = 7;
/// The invite of the world.
pub const INVITE: Bytes16 = Bytes16([2; 16]);
/// The channel that what is signed here belongs to.
pub const CHANNEL: &str = "builders";

/// The home of the world.
pub static HOME: LazyLock<Identity> = LazyLock::new(|| Identity::from_seed([1; 32]));
/// The other member.
pub static MEMBER: LazyLock<Identity> = LazyLock::new(|| Identity::from_seed([2; 32]));
/// Somebody who does not belong to it.
pub static STRANGER: LazyLock<Identity> = LazyLock::new(|| Identity::from_seed([3; 32]));

/// Made once: what is signed in it would cost more than what is read.
pub static WORLD: LazyLock<World> = LazyLock::new(World::new);

/// A workspace of two nodes, of which the first is the home and holds a log of its own.
pub struct World {
    /// What both know of who belongs.
    pub control: Arc<ControlState>,
    /// The same of the pair space of the two.
    pub pair: ControlState,
    /// The entries of the control log.
    pub entries: Vec<Operation>,
    /// What the home wrote.
    pub log: Vec<Operation>,
    /// The id of the direct room of both nodes' peers.
    pub room: String,
}

impl World {
    /// The same each time.
    pub fn new() -> Self {
        let genesis = Genesis {
            workspace: WorkspaceId::new(NOW_MS, [1; 10]),
            name: "fuzz".to_owned(),
            founder: HOME.node(),
            founder_name: "ada".to_owned(),
            created_ms: NOW_MS,
            parent: Vec::new(),
        };
        let space = genesis.space();
        let (kind, body) = Entry::Genesis(genesis).encode();
        let first = sign(&HOME, place(space, 0, 1, OpId::NONE, 0), kind, body);
        let mut control = ControlState::begin(&first).expect("a genesis begins its space");
        let mut entries = vec![first];
        let added = MemberAdded {
            node: MEMBER.node(),
            name: "bob".to_owned(),
            role: Role::Member.code(),
            invite: INVITE,
            evidence: Bytes::default(),
        };
        let created = InviteCreated {
            invite: INVITE,
            by: HOME.node(),
            role: Role::Member.code(),
            not_after_ms: NOW_MS + 1,
            uses_max: 3,
            evidence: Bytes::default(),
        };
        for entry in [Entry::MemberAdded(added), Entry::InviteCreated(created)] {
            let (kind, body) = entry.encode();
            let next = place(space, 0, control.height() + 1, control.head(), control.height());
            let entry = sign(&HOME, next, kind, body);
            control.apply(&entry).expect("the home decides");
            entries.push(entry);
        }
        let mut log: Vec<Operation> = Vec::new();
        for seq in 1..=3 {
            let prev = log.last().map_or(OpId::NONE, Operation::id);
            let place = place(space, INCARNATION, seq, prev, 2);
            log.push(sign(&HOME, place, Kind::ENVELOPE, b"something said".to_vec()));
        }
        let pair = ControlState::pair(&control, HOME.node(), MEMBER.node());
        let workspace = control.genesis().workspace.to_string();
        let workspace = WorkspaceRef::parse(&workspace).expect("an id is a name");
        let channel = ChannelName::parse(CHANNEL).expect("a channel's name");
        let room = peers().room(&workspace, &channel).to_string();
        Self { control: Arc::new(control), pair, entries, log, room }
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

/// The peers of both nodes, in their order.
pub fn peers() -> Pair {
    Pair::of(&peer(&HOME), &peer(&MEMBER)).expect("they are two")
}

/// The peer of a node.
pub fn peer(identity: &Identity) -> PeerName {
    PeerName::of_session("coder", &session_id(identity.node(), [7; 8])).expect("a session's peer")
}

/// Arbitrary bytes under a good signature, as their writer would send them: so what stands behind it is reached too.
pub fn signed(identity: &Identity, domain: Domain, inner: &[u8]) -> Vec<u8> {
    cbor::encode(&(Bytes(inner.to_vec()), Bytes64(identity.sign(domain, inner))))
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

/// What a piece of the target `machine` does that begins with one of these; any other is a frame.
pub mod step {
    /// Frames were written.
    pub const WRITABLE: u8 = 0x80;
    /// Seconds pass: so many.
    pub const LATER: u8 = 0x81;
    /// The peer's digest is told: see the flags.
    pub const DIGEST: u8 = 0x82;
    /// This node writes: whether in the pair space, and what.
    pub const WRITE: u8 = 0x83;
    /// The home decides: kind and body.
    pub const ENTRY: u8 = 0x84;
    /// The peer sends an operation: author, incarnation, seq, control height, flags, kind, body.
    pub const OPS: u8 = 0x85;
    /// The peer tells heights: flags, and how much more than ours (as `i8`).
    pub const HEIGHTS: u8 = 0x86;

    /// Flag: in the pair space.
    pub const PAIR: u8 = 1;
    /// Flag: another digest or another `prev` than it should be; a part of all heights.
    pub const DIFFERENT: u8 = 2;
    /// Flag: by gossip.
    pub const GOSSIP: u8 = 4;
    /// Flag: its time is too far ahead.
    pub const EARLY: u8 = 8;

    /// How many sides there are.
    pub const SIDES: u8 = 3;
    /// This node is the home, the peer a member.
    pub const HOME: u8 = 0;
    /// This node is a member, the peer the home.
    pub const MEMBER: u8 = 1;
    /// The same, but this node knows only how its workspace began.
    pub const NEWCOMER: u8 = 2;
    /// Flag beside the side: the peer grants little.
    pub const POOR: u8 = 0x80;
    /// How little: room for one small operation.
    pub const POOR_CREDIT_BYTES: u64 = 500;
}
