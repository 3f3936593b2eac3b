//! Every limit of Muster, named with its unit and the reason for its size.
//!
//! A limit that a stranger can reach protects the node; one that a member can reach protects the
//! workspace. Research p2p §2.10 argues most of the numbers; where one differs, the reason is here.

use std::time::Duration;

// ---- operations and frames -------------------------------------------------------------------

/// Body of one operation: an envelope of the Network door may be 1 MiB (N-14), wrapped in a few
/// hundred bytes of CBOR.
pub const BODY_BYTES_MAX: usize = ENVELOPE_BYTES_MAX + 16 * 1024;
/// A serialized Network envelope (N-14).
pub const ENVELOPE_BYTES_MAX: usize = 1024 * 1024;
/// Header of one operation: twelve short fields.
pub const HEADER_BYTES_MAX: usize = 512;
/// One frame on a link. It has to hold at least one operation of the largest size.
pub const FRAME_BYTES_MAX: usize = BODY_BYTES_MAX + 64 * 1024;
/// Operations in one frame aim at this size, so that many small ones share a frame and a frame of
/// many is decoded in well under a millisecond; a single larger operation travels alone.
pub const OPS_FRAME_BYTES: usize = 256 * 1024;
/// Operations in one frame.
pub const OPS_PER_FRAME_MAX: usize = 256;
/// Log heights in one frame: at 90 bytes each a page stays below 64 KiB.
pub const HEIGHTS_PER_FRAME_MAX: usize = 512;
/// Logs of one space that are remembered of one peer: every member may have begun anew sixteen times.
/// Beyond it a peer could fill memory with logs that do not exist.
pub const LOGS_PER_SPACE_MAX: usize = 16 * MEMBERS_MAX;
/// CBOR nesting: our structures are three deep; a bomb is stopped early.
pub const CBOR_DEPTH_MAX: usize = 8;

// ---- time ------------------------------------------------------------------------------------

/// How far ahead of our clock an operation's time may be; one that is further ahead waits. Clocks
/// of honest machines differ by seconds; without a bound one peer drags everybody's clock away.
pub const CLOCK_AHEAD_MS_MAX: u64 = 120_000;
/// A presence message older or newer than this is not news.
pub const PRESENCE_AGE_MS_MAX: u64 = 120_000;

// ---- links -----------------------------------------------------------------------------------

/// Frames queued on a link before `send` says no. A slow peer costs this and a cursor, never more.
pub const LINK_QUEUE_FRAMES: usize = 16;
/// Bytes a node lets a peer send before it acknowledges: several full frames, so that a fast link
/// stays busy while a commit runs.
pub const CREDIT_BYTES: u64 = 4 * 1024 * 1024;
/// Events of the mesh that wait for the actors before reading from links stops.
pub const MESH_EVENTS_MAX: usize = 1024;
/// Anti-entropy: how often two linked nodes compare digests although nothing seems to differ.
pub const ANTI_ENTROPY: Duration = Duration::from_secs(30);
/// How long a node waits for an operation it heard of to be pushed by its author before it asks
/// another member for it. Longer than an ordinary push takes, shorter than a person's patience.
pub const PULL_DELAY: Duration = Duration::from_millis(300);
/// How long news about what we hold of other authors is gathered before it is told to a peer.
pub const HEARD_DELAY: Duration = Duration::from_millis(200);
/// How long a peer has to say hello on a new link.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a peer that broke the protocol is refused.
pub const BAN: Duration = Duration::from_secs(600);
/// Operations verified for one peer per second, sustained: about 6 % of a core at 31 µs each would
/// be 2 000; catching up needs more, so the budget is set where a core is still half free.
pub const VERIFY_PER_SECOND_MAX: u64 = 16_000;

// ---- requests --------------------------------------------------------------------------------

/// A question or an answer outside a link: a ticket, a card and a signature; or one control operation.
pub const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// How long an answer may take.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Failed attempts to join that one node may make per minute. Guessing a ticket is hopeless anyway;
/// this keeps it cheap for us.
pub const JOIN_FAILURES_PER_MINUTE_MAX: u32 = 5;
/// Strangers remembered for the bound above.
pub const JOIN_STRANGERS_MAX: usize = 1024;

// ---- connections (research p2p §2.10) --------------------------------------------------------

/// Established connections others opened to us.
pub const CONNECTIONS_IN_MAX: u32 = 64;
/// Established connections we opened.
pub const CONNECTIONS_OUT_MAX: u32 = 64;
/// Connections being negotiated, each way.
pub const CONNECTIONS_PENDING_MAX: u32 = 16;
/// Connections with one peer: one each way, when both dial at once.
pub const CONNECTIONS_PER_PEER_MAX: u32 = 2;
/// How long a stranger, who is in no workspace of ours, may stay connected.
pub const STRANGER_STAY: Duration = Duration::from_secs(15);
/// Strangers connected at one time.
pub const STRANGERS_MAX: usize = 8;
/// Addresses kept of one node.
pub const ADDRESSES_PER_NODE_MAX: usize = 8;
/// Bytes of one multiaddr as text.
pub const ADDRESS_BYTES_MAX: usize = 256;
/// First pause before a lost member is dialled again; it doubles up to [`REDIAL_MAX`].
pub const REDIAL_MIN: Duration = Duration::from_millis(500);
/// Longest pause between two attempts to reach a member.
pub const REDIAL_MAX: Duration = Duration::from_secs(30);

// ---- gossip ----------------------------------------------------------------------------------

/// One gossip message. It carries presence, cards and digests only.
pub const GOSSIP_BYTES_MAX: usize = 8 * 1024;
/// Topics a node listens to; gossipsub's own filter allows 100.
pub const GOSSIP_TOPICS_MAX: usize = 64;
/// Local peers one presence message may announce; a node with more sends several messages.
pub const PRESENCE_PEERS_MAX: usize = 16;
/// Remote peers remembered, over all workspaces; the oldest go first.
pub const REMOTE_PEERS_MAX: usize = 10_000;

// ---- membership ------------------------------------------------------------------------------

/// Members of one workspace. Each holds a log, and heights are exchanged in pages of 512.
pub const MEMBERS_MAX: usize = 1_000;
/// Invites of one workspace that are neither used up, revoked nor expired.
pub const INVITES_MAX: usize = 1_000;
/// How often one ticket may be used at most.
pub const INVITE_USES_MAX: u32 = 1_000;
/// How long a ticket may live: a year. A ticket is a bearer secret; one that never dies is a hole.
pub const INVITE_SECONDS_MAX: u64 = 365 * 24 * 3600;
/// Incarnations named in one cut-off.
pub const CUTOFFS_MAX: usize = 256;
/// Length of a name of a node or a workspace, in characters (`contracts/node.yaml`).
pub const NAME_CHARS_MAX: usize = 100;
/// Bytes of a ticket as text.
pub const TICKET_BYTES_MAX: usize = 4096;

// ---- work inside the node --------------------------------------------------------------------

/// HTTP requests that change something, in work at one time: each holds a permit until its answer.
/// Mailboxes are unbounded, so this is what bounds them.
pub const PERMITS_MAX: usize = 1024;
/// Writes that wait for the writer thread. More than all permits and all links can produce at once.
pub const WRITER_QUEUE_MAX: usize = 4096;
/// Writes that share one commit at most, so that the first of them does not wait for ever.
pub const BATCH_WRITES_MAX: usize = 1024;
/// How long a question from one actor to another may take.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// How long an actor that has nothing to do stays.
pub const IDLE_REST: Duration = Duration::from_secs(600);
/// Restarts of a child within [`RESTART_WINDOW`] before its supervisor gives up.
pub const RESTARTS_MAX: usize = 5;
/// See [`RESTARTS_MAX`].
pub const RESTART_WINDOW: Duration = Duration::from_secs(10);
/// Sessions of one node that are not stopped.
pub const SESSIONS_MAX: usize = 10_000;
/// Listeners of the event stream at one time.
pub const EVENT_LISTENERS_MAX: usize = 256;
/// Envelopes waiting for one session, unless `network.queue_depth` says otherwise (N-97).
pub const INBOX_DEPTH_DEFAULT: usize = 100;

// ---- HTTP ------------------------------------------------------------------------------------

/// Body of one HTTP request (N-133). Uploads have their own limit.
pub const HTTP_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long one HTTP request may take, streams excepted.
pub const HTTP_TIMEOUT: Duration = Duration::from_secs(30);
/// Items of one page when the caller does not say (N-137).
pub const PAGE_DEFAULT: usize = 100;
/// Items of one page at most (N-137).
pub const PAGE_MAX: usize = 500;
/// Comment lines keep an event stream alive at least this often (`contracts/node.yaml`).
pub const EVENT_KEEP_ALIVE: Duration = Duration::from_secs(10);
