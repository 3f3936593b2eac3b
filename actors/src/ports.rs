//! The ports: the only ways in which a node touches the world beside its store.
//!
//! Each has two kinds of implementation. The node gives real ones (libp2p, the system clock, the
//! system's randomness, processes); a simulation gives its own, so that one seed replays one history. Nothing
//! else in this crate may read a clock, throw dice or open a socket; `clippy.toml` enforces it.

use std::{sync::Arc, time::Duration};

use futures::{future::BoxFuture, stream::BoxStream};
use muster_protocol::{attachment::ProcessingStatus, identity::NodeId};
use muster_storage::BlobId;
use tokio::sync::{mpsc, oneshot};

/// Wall-clock time and waiting.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since the Unix epoch, as this machine believes. May jump.
    fn wall_ms(&self) -> u64;
    /// Milliseconds since some fixed moment of this process. Never goes back.
    fn monotonic_ms(&self) -> u64;
    /// Returns after `duration` of monotonic time.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// Randomness.
pub trait Entropy: Send + Sync + 'static {
    /// Fills `bytes` with random bytes fit for keys and nonces.
    fn fill(&self, bytes: &mut [u8]);
}

/// How a node is reached at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// Over a connection of our own.
    Direct,
    /// Through a relay.
    Relayed,
}

/// Why a link is closed by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// Nothing wrong; it may come back at once.
    Polite,
    /// It broke the protocol: refused for [`muster_protocol::limits::BAN`].
    Ban,
}

/// A node connected now.
#[derive(Debug, Clone, PartialEq)]
pub struct Connection {
    /// Who.
    pub node: NodeId,
    /// Addresses it is known by, multiaddrs as text, without the peer id.
    pub addresses: Vec<String>,
    /// Direct or relayed.
    pub path: Path,
    /// Last measured round trip.
    pub round_trip: Option<Duration>,
}

/// The mesh as the actors see it. No call waits for the network, but for `request`.
///
/// **Links.** Between two connected nodes there is at most one *link*: an ordered, reliable stream
/// of frames in both directions. Its start and end are told by [`Event::LinkUp`] and
/// [`Event::LinkDown`]; every new stream is a new `link` number, and frames of an older one are
/// never delivered after the newer one's `LinkUp`. A frame accepted by `send` arrives in order or
/// the link goes down.
pub trait Network: Send + Sync + 'static {
    /// Queues a frame on a link. `false` when the link is down or its queue
    /// ([`muster_protocol::limits::LINK_QUEUE_FRAMES`]) is full; the frame is then dropped and the
    /// caller tries again after [`Event::LinkWritable`].
    fn send(&self, link: Link, frame: Vec<u8>) -> bool;
    /// Closes a link.
    fn close(&self, link: Link, closing: Closing);
    /// Asks a node one question and waits for its answer. Addresses are tried when it is not
    /// connected. The answer is at most [`muster_protocol::limits::REQUEST_BYTES_MAX`] long.
    fn request(
        &self,
        node: NodeId,
        addresses: Vec<String>,
        question: Vec<u8>,
    ) -> BoxFuture<'static, Result<Vec<u8>, RequestError>>;
    /// Tries to connect to a node at these addresses; the outcome is an event or nothing.
    fn dial(&self, node: NodeId, addresses: Vec<String>);
    /// Which nodes may have a link and send gossip: the members of our workspaces. Everybody else is a
    /// stranger, who may only ask (to join). Strangers connected now are kept or dropped accordingly.
    fn set_friends(&self, friends: Vec<NodeId>);
    /// Which gossip topics to listen to, in place of the earlier set.
    fn set_topics(&self, topics: Vec<Topic>);
    /// Gossips `bytes`, at most [`muster_protocol::limits::GOSSIP_BYTES_MAX`]. Best effort.
    fn publish(&self, topic: Topic, bytes: Vec<u8>);
    /// Asks a node that is connected, and a friend, for the bytes of a blob, from byte `from` on. Dropping what is
    /// returned ends it.
    fn fetch_blob(
        &self,
        node: NodeId,
        blob: BlobId,
        from: u64,
    ) -> BoxFuture<'static, Result<BlobBytes, BlobError>>;
    /// Where the bytes come from that other nodes ask for, in place of the earlier source. Before this was called
    /// nobody gets any.
    fn serve_blobs(&self, source: Arc<dyn BlobSource>);
    /// Nodes connected now.
    fn connections(&self) -> Vec<Connection>;
    /// Multiaddrs this node listens on, as text, without the peer id.
    fn listen_addresses(&self) -> Vec<String>;
    /// Ends all links and listening. Idempotent.
    fn shutdown(&self) -> BoxFuture<'static, ()>;
}

/// A link: one stream of frames with one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link {
    /// The node at the other end, authenticated by the transport.
    pub node: NodeId,
    /// Unique in this process, growing.
    pub number: u64,
}

/// A gossip topic: a salted hash of a space, so that its name tells a stranger nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(pub [u8; 32]);

/// What happens in the mesh, in order.
#[derive(Debug)]
pub enum Event {
    /// Frames can flow on this link.
    LinkUp {
        /// The new link.
        link: Link,
        /// Direct or relayed.
        path: Path,
    },
    /// A frame came. At most [`muster_protocol::limits::FRAME_BYTES_MAX`] long.
    Frame {
        /// From where.
        link: Link,
        /// Its bytes, undecoded.
        bytes: Vec<u8>,
    },
    /// A link whose queue had been full has room again.
    LinkWritable {
        /// Which.
        link: Link,
    },
    /// The link ended; frames not yet arrived are lost.
    LinkDown {
        /// Which.
        link: Link,
    },
    /// Somebody, perhaps a stranger, asks.
    Request {
        /// Who asks, authenticated by the transport.
        from: NodeId,
        /// The question, at most [`muster_protocol::limits::REQUEST_BYTES_MAX`] long.
        question: Vec<u8>,
        /// Where the answer goes. Dropping it refuses.
        answer: oneshot::Sender<Vec<u8>>,
    },
    /// Gossip came. Who forwarded it does not matter: content is signed by its author.
    Gossip {
        /// Topic it came on.
        topic: Topic,
        /// Who published it, as gossipsub's own signature says.
        author: NodeId,
        /// Its bytes, undecoded.
        bytes: Vec<u8>,
    },
    /// A node was seen on the local network, at these addresses.
    Discovered {
        /// Which node.
        node: NodeId,
        /// Its multiaddrs as text, without the peer id.
        addresses: Vec<String>,
    },
    /// The addresses this node listens on changed.
    Listening {
        /// All of them now.
        addresses: Vec<String>,
    },
}

/// Where the mesh tells its events. Bounded by [`muster_protocol::limits::MESH_EVENTS_MAX`]: a node
/// that is slow to take them slows its links down, it does not lose events.
pub type Events = mpsc::Receiver<Event>;

/// Why a question got no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No address led to the node.
    #[error("the node could not be reached at any of its addresses")]
    Unreachable,
    /// It did not answer within [`muster_protocol::limits::REQUEST_TIMEOUT`].
    #[error("the node did not answer in time")]
    Timeout,
    /// It ended the exchange without an answer.
    #[error("the node refused to answer")]
    Refused,
}

// ---- bytes of files -------------------------------------------------------------------------------

/// Which nodes may have which bytes.
pub trait BlobAccess: Send + Sync + 'static {
    /// Whether `node` may have the bytes of `blob`. Asked for each time; may read the store.
    fn may(&self, node: NodeId, blob: BlobId) -> bool;
}

/// Where the mesh finds the bytes that other nodes ask for.
pub trait BlobSource: Send + Sync + 'static {
    /// The bytes of a blob, for a friend that asks. `None` when this node does not have them, or the other may not:
    /// who asks cannot tell which.
    fn open(&self, node: NodeId, blob: BlobId) -> Option<std::fs::File>;
}

/// Bytes of a blob on their way here.
pub struct BlobBytes {
    /// How many the whole blob has, as its holder says.
    pub size: u64,
    /// The bytes from where they were asked for, in order, in pieces of at most
    /// [`muster_protocol::limits::BLOB_PIECE_BYTES`]. Not to be believed before their hash is known.
    pub pieces: BoxStream<'static, Result<Vec<u8>, BlobError>>,
}

/// Why bytes did not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// The node is not connected.
    #[error("the node is not connected")]
    Unreachable,
    /// The node does not have them, does not give them to us, or has too many to serve at the moment.
    #[error("the node does not give these bytes")]
    Absent,
    /// They stopped coming: the connection broke, or nothing came for
    /// [`muster_protocol::limits::BLOB_PIECE_TIMEOUT`].
    #[error("the bytes stopped coming")]
    Lost,
}

/// Reads what files contain, without trusting them.
pub trait Extract: Send + Sync + 'static {
    /// Reads a file that was uploaded under this name, with this declared type.
    fn extract(&self, file: std::fs::File, name: String, mime_type: String) -> BoxFuture<'static, Extracted>;
}

/// What came of reading a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extracted {
    /// How it ended: one that is final.
    pub status: ProcessingStatus,
    /// What was found, as a JSON object of at most [`muster_protocol::limits::EXTRACT_JSON_BYTES_MAX`]; empty unless
    /// the status is completed.
    pub extraction: String,
}

/// Reads nothing: for simulations.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoExtraction;

impl Extract for NoExtraction {
    fn extract(&self, _: std::fs::File, _: String, _: String) -> BoxFuture<'static, Extracted> {
        Box::pin(async { Extracted { status: ProcessingStatus::Skipped, extraction: String::new() } })
    }
}

/// All ports of one node.
#[derive(Clone)]
pub struct Ports {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// The mesh.
    pub network: Arc<dyn Network>,
    /// The programs behind sessions.
    pub programs: Arc<dyn Programs>,
    /// What reads attachments.
    pub extract: Arc<dyn Extract>,
}

// ---- programs of sessions -------------------------------------------------------------------------

/// The programs behind sessions: which providers the node's owner named, and how one is started.
pub trait Programs: Send + Sync + 'static {
    /// Whether there is a provider of that name.
    fn knows(&self, provider: &str) -> bool;
    /// Starts the program of a provider for a session.
    fn start(
        &self,
        provider: &str,
        place: ProgramPlace,
    ) -> BoxFuture<'static, Result<Program, ProgramNotStarted>>;
    /// Returns when all programs that were let go have ended, after
    /// [`muster_protocol::limits::PROGRAM_STOP_GRACE`] at the latest.
    fn shutdown(&self) -> BoxFuture<'static, ()>;
}

/// Where a program works; it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramPlace {
    /// The session it serves.
    pub session_id: String,
    /// The peer it speaks as.
    pub peer_id: String,
    /// The channel it is in.
    pub channel: String,
    /// The workspace.
    pub workspace_id: String,
}

/// A program that runs. Dropping it lets it go: its input is closed, and if it does not end by itself within
/// [`muster_protocol::limits::PROGRAM_STOP_GRACE`] it is killed.
#[derive(Debug)]
pub struct Program {
    /// Lines for it, without their ends; at most [`muster_protocol::limits::PROGRAM_LINES_MAX`] wait.
    pub input: mpsc::Sender<Vec<u8>>,
    /// What it does, in order; the last is that it ended.
    pub output: mpsc::Receiver<ProgramEvent>,
    /// Dropping this alone lets it go, too, and `output` still says how it ended.
    pub hold: oneshot::Sender<()>,
}

/// What a program does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProgramEvent {
    /// It wrote a line of at most [`muster_protocol::limits::PROGRAM_LINE_BYTES_MAX`] bytes.
    Line(Vec<u8>),
    /// It ended.
    Ended(Ending),
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this status.
    Exit(i32),
    /// By a signal, or in a way the system does not tell.
    Killed,
    /// It was killed because it wrote too long a line.
    LineTooLong,
}

/// Why a program was not started: what the system says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ProgramNotStarted(pub String);

/// No provider at all: for simulations, and for nodes that only keep inboxes.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoPrograms;

impl Programs for NoPrograms {
    fn knows(&self, _: &str) -> bool {
        false
    }

    fn start(&self, _: &str, _: ProgramPlace) -> BoxFuture<'static, Result<Program, ProgramNotStarted>> {
        Box::pin(async { Err(ProgramNotStarted("there is no such provider".to_owned())) })
    }

    fn shutdown(&self) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}
