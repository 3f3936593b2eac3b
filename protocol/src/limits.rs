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
pub const ENVELOPE_BYTES_MAX: usize = crate::network::MAX_ENVELOPE_BYTES;
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
/// Bytes of frames that wait for a link that takes none; beyond it the link is closed. The sync machine hands out four
/// frames of operations ahead, and a list of all heights of the largest workspace has 2 MiB; a peer that reads nothing
/// and asks again and again gets no more than this.
pub const LINK_WAITING_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What a waiting frame costs beside its bytes.
pub const LINK_WAITING_FRAME_BYTES: usize = 64;
/// Bytes a node lets a peer send before it acknowledges: several full frames, so that a fast link
/// stays busy while a commit runs.
pub const CREDIT_BYTES: u64 = 4 * 1024 * 1024;
/// Events of the mesh that wait for the actors before reading from links stops. Were all of them
/// frames of the largest size, which only members can send, they would hold 144 MiB.
pub const MESH_EVENTS_MAX: usize = 128;
/// Events that are not frames wait here while the queue of [`MESH_EVENTS_MAX`] is full. When this is
/// full too, questions are refused and sightings on the local network forgotten.
pub const MESH_OWED_MAX: usize = 64;
/// Commands that wait for the mesh: dials, questions, gossip. Each is served in microseconds.
pub const MESH_COMMANDS_MAX: usize = 256;
/// How often the mesh looks at its clock: strangers, bans, links to open again.
pub const MESH_TICK: Duration = Duration::from_millis(250);
/// How long listening may take to begin; binding a socket is immediate unless something is wrong.
pub const LISTEN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long connections may take to say goodbye when the node stops.
pub const MESH_SHUTDOWN_GRACE: Duration = Duration::from_secs(3);
/// Queued frames of a link are written together up to this size: one flush for many small frames.
pub const LINK_BATCH_BYTES: usize = 256 * 1024;
/// Read buffer of a link: a few hundred small frames for one read.
pub const LINK_READ_BYTES: usize = 64 * 1024;
/// How long the other node may take to accept a link. It answers with one byte.
pub const LINK_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// First pause before a link is opened again on a connection that still stands; doubles up to
/// [`LINK_RETRY_MAX`].
pub const LINK_RETRY_MIN: Duration = Duration::from_millis(250);
/// Longest pause between two attempts to open a link on a standing connection.
pub const LINK_RETRY_MAX: Duration = Duration::from_secs(4);
/// A link that lasted this long was a good one: the next is opened after [`LINK_RETRY_MIN`].
pub const LINK_STEADY: Duration = Duration::from_secs(10);
/// How soon after the beginning of a link another one may take its place. Who opens links pauses longer; a
/// member that opens one after the other would have an actor made for each.
pub const LINK_RENEW_MIN: Duration = Duration::from_millis(100);
/// How long the node that does not open links waits for one before it knocks.
pub const LINK_KNOCK: Duration = Duration::from_secs(2);
/// How long the last frames of a politely closed link may take to leave.
pub const LINK_CLOSE_GRACE: Duration = Duration::from_secs(1);
/// Link streams of one connection that wait to be looked at. A node opens one at a time.
pub const LINK_STREAMS_WAITING_MAX: usize = 2;
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
/// Bans remembered; the one that ends first makes room.
pub const BANS_MAX: usize = 1024;

// ---- requests --------------------------------------------------------------------------------

/// A question or an answer outside a link: a ticket, a card and a signature; or one control operation.
pub const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// How long a home that was just started waits for the word of a member before it decides something: long enough for
/// links to come up, and no longer, as all members may be away. Its disk may have been set back, and they may know.
pub const FIRST_WORD: Duration = Duration::from_secs(5);
/// How often it looks meanwhile.
pub const FIRST_WORD_LOOK: Duration = Duration::from_millis(100);
/// Former homes that send a question on, one after another, before it is given up: homes move rarely, and nobody
/// must send a node round for ever.
pub const HOME_MOVES_FOLLOWED_MAX: usize = 4;
/// How long an answer may take.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Questions of ours that wait for an answer, over all nodes.
pub const ASKS_MAX: usize = 256;
/// Questions of others that wait for our answer, over all nodes: 4 MiB of questions at most.
pub const ANSWERS_MAX: usize = 64;
/// Questions and answers on one connection at one time.
pub const ASKS_PER_CONNECTION_MAX: usize = 8;
/// Failed attempts to join that one node may make per minute. Guessing a ticket is hopeless anyway;
/// this keeps it cheap for us.
pub const JOIN_FAILURES_PER_MINUTE_MAX: u32 = 5;
/// Strangers remembered for the bound above; the one that failed first makes room.
pub const JOIN_STRANGERS_MAX: usize = 1024;

// ---- connections (research p2p §2.10) --------------------------------------------------------

/// Established connections others opened to us.
pub const CONNECTIONS_IN_MAX: u32 = 64;
/// Established connections we opened.
pub const CONNECTIONS_OUT_MAX: u32 = 64;
/// Connections being negotiated, each way. Each costs a few KiB for [`DIAL_TIMEOUT`] at most.
pub const CONNECTIONS_PENDING_MAX: u32 = 128;
/// Those of them that come from one source: an IPv4 address, or a /64 of IPv6. So one machine that begins
/// handshakes and never ends them keeps nobody else out.
pub const SOURCE_PENDING_MAX: usize = 16;
/// Connections one source may begin at once, and then one more every [`SOURCE_PAUSE`]: a handshake costs the
/// node as much as the other side, and its key tells who it is only at the end. Enough for a whole team
/// behind one router that comes back at once; who is refused tries again.
pub const SOURCE_BURST: u32 = 64;
/// See [`SOURCE_BURST`]: 16 handshakes in a second are some hundredths of a processor.
pub const SOURCE_PAUSE: Duration = Duration::from_millis(62);
/// Sources remembered; whoever came longest ago is forgotten first.
pub const SOURCES_MAX: usize = 4096;
/// Connections with one peer: one each way, when both dial at once, the same again while direct ones take
/// over from relayed ones, and those of a peer that was killed and came back, which are noticed to be
/// dead only after QUIC's idle timeout.
pub const CONNECTIONS_PER_PEER_MAX: u32 = 12;
/// Streams of one connection: a link, gossip both ways, questions, identify and ping, with room.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 64;
/// How long a connection without any stream stays. Longer than any pause between two links.
pub const CONNECTION_IDLE: Duration = Duration::from_secs(60);
/// How long a connection may take to close. When the other end has vanished it would take as long as TCP
/// keeps trying, and the peer would not be dialled meanwhile.
pub const CONNECTION_CLOSE_GRACE: Duration = Duration::from_secs(2);
/// How long one address may take to be connected to; half of [`REQUEST_TIMEOUT`], so that a question
/// can still be asked after a bad address was tried.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
/// What a peer may send over QUIC before we read it, per connection and per stream.
pub const QUIC_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
/// A QUIC connection that is silent for this long is dead.
pub const QUIC_IDLE: Duration = Duration::from_secs(9);
/// How often a quiet QUIC connection shows that it lives: three times in [`QUIC_IDLE`].
pub const QUIC_KEEP_ALIVE: Duration = Duration::from_secs(3);
/// How often round trips are measured. Over TCP nothing but pings notices a vanished machine, and libp2p keeps
/// the first one that failed to itself: the second closes the connection, 30 s after the last answer at the
/// latest (twice this, the time below, and 10 s for the stream of the second ping).
pub const PING_INTERVAL: Duration = Duration::from_secs(5);
/// How long a ping may take. It may have to wait behind megabytes on a slow path.
pub const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Share of the machine's memory above which new connections are refused.
pub const MEMORY_SHARE_MAX: f64 = 0.7;
/// Nodes that may hold a reservation at this node when it serves as a relay. Each also holds one of
/// [`CONNECTIONS_IN_MAX`].
pub const RELAY_RESERVATIONS_MAX: usize = 32;
/// Circuits through this node at one time when it serves as a relay.
pub const RELAY_CIRCUITS_MAX: usize = 32;
/// Circuits of one node through this one.
pub const RELAY_CIRCUITS_PER_NODE_MAX: usize = 4;
/// How long a circuit lives. libp2p's own 2 minutes would cut every catch-up; three in ten pairs of
/// nodes behind routers have nothing but the circuit.
pub const RELAY_CIRCUIT: Duration = Duration::from_secs(3600);
/// Bytes a circuit carries; libp2p's own 128 KiB would not carry one large message.
pub const RELAY_CIRCUIT_BYTES: u64 = 256 * 1024 * 1024;
/// How long a stranger, who is in no workspace of ours, may stay connected.
pub const STRANGER_STAY: Duration = Duration::from_secs(15);
/// Strangers connected at one time.
pub const STRANGERS_MAX: usize = 8;
/// Connections of one stranger, or one lodger of a relay: both ways at once, when both dial.
pub const GUEST_CONNECTIONS_MAX: usize = 2;
/// Connections of all strangers and lodgers. The rest of [`CONNECTIONS_IN_MAX`] is kept for members.
pub const GUESTS_CONNECTIONS_MAX: usize = GUEST_CONNECTIONS_MAX * STRANGERS_MAX + RELAY_RESERVATIONS_MAX;
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
/// What gossipsub wraps around a message: author, number, topic, key and signature.
pub const GOSSIP_ENVELOPE_BYTES: usize = 512;
/// Gossip of one author that is taken and passed on at once: presence of all [`SESSIONS_MAX`] sessions.
pub const GOSSIP_BURST: u32 = (SESSIONS_MAX / PRESENCE_PEERS_MAX) as u32;
/// After [`GOSSIP_BURST`], one more message of that author is taken in this time; what is more is ignored
/// and not passed on. Every friend would else do for an author's flood what it does itself.
pub const GOSSIP_PAUSE: Duration = Duration::from_millis(16);
/// Gossip that waits for one peer. It is replaced every few seconds; what is older is worthless.
pub const GOSSIP_QUEUE_MAX: usize = 256;
/// Topics a node listens to; gossipsub's own filter allows 100.
pub const GOSSIP_TOPICS_MAX: usize = 64;
/// Local peers one presence message may announce; a node with more sends several messages.
pub const PRESENCE_PEERS_MAX: usize = 16;
/// Remote peers remembered, over all workspaces; beyond, newcomers wait until others are gone.
pub const REMOTE_PEERS_MAX: usize = 10_000;
/// Channels whose greets are counted: a member may name any number of them, and a counter is all that is lost.
pub const GREETED_CHANNELS_MAX: usize = 10_000;
/// Bytes of a remote peer's capability documents that are remembered (N-71); a larger catalog is not. A document is
/// a page of text, so this is a catalog of fifty.
pub const REMOTE_CATALOG_BYTES_MAX: usize = 256 * 1024;
/// Remote peers whose capability documents are remembered: with the limit above, at most 64 MiB.
pub const REMOTE_CATALOGS_MAX: usize = 256;
/// Answers to whois that one asking node gets in a minute: every peer it asks answers with a stored message, so without
/// a limit one member could fill the stores of two nodes.
pub const WHOIS_ANSWERS_PER_MINUTE_MAX: u32 = 6_000;
/// Comings and goings of remote peers that wait for a listener of the event stream; one that is slower misses some.
pub const PRESENCE_EVENTS_WAITING: usize = 256;

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
/// Inboxes in which one sweep drops what expired; the next sweep goes on. Each costs a few reads.
pub const INBOX_SWEEP_SESSIONS_MAX: usize = 256;

// ---- programs of sessions --------------------------------------------------------------------

/// First pause before a program that failed is started again; doubles up to [`PROGRAM_RETRY_MAX`] (N-100).
pub const PROGRAM_RETRY_MIN: Duration = Duration::from_millis(250);
/// Longest pause between two starts of a program (N-100).
pub const PROGRAM_RETRY_MAX: Duration = Duration::from_secs(5);
/// Failures in a row after which a session is shown as failed: by then its program was tried for half a
/// minute. It is tried further, because what it lacks may come back.
pub const PROGRAM_FAILURES_MAX: u64 = 10;
/// A program that lived this long was a good one: the next failure is again the first.
pub const PROGRAM_STEADY: Duration = Duration::from_secs(60);
/// How long a session that is being started waits whether its program ends at once, as one does that has
/// not what it needs. A program that says something is not waited for.
pub const PROGRAM_SETTLE: Duration = Duration::from_millis(500);
/// One line of a program: whatever may be sent fits.
pub const PROGRAM_LINE_BYTES_MAX: usize = ENVELOPE_BYTES_MAX + 64 * 1024;
/// Lines that wait for a program to read them. It gets one envelope at a time, and its lines are read one
/// by one; more wait only when it writes and never reads.
pub const PROGRAM_LINES_MAX: usize = 16;
/// What a program writes to standard error goes to the log in lines of at most this many bytes.
pub const PROGRAM_LOG_LINE_BYTES_MAX: usize = 4 * 1024;
/// How long a program has to end by itself once its input is closed; then it is killed.
pub const PROGRAM_STOP_GRACE: Duration = Duration::from_secs(3);

// ---- search ----------------------------------------------------------------------------------

/// Hits of one search when the caller does not say (W-85).
pub const SEARCH_HITS_DEFAULT: usize = 20;
/// Hits of one search at most. The doors show fewer; a search for memos may look at so many before its page is full. It
/// bounds what one search keeps in memory, about a megabyte.
pub const SEARCH_HITS_MAX: usize = 20_000;
/// Words and phrases of one query that count; a longer one is a text, not a question.
pub const SEARCH_WORDS_MAX: usize = 64;
/// Bytes of one word in the search index. Longer ones are encoded bytes, which nobody types to their end.
pub const SEARCH_WORD_BYTES_MAX: usize = 128;
/// Memory in which the search index gathers messages before it writes them to disk: the least the engine takes.
pub const SEARCH_WRITER_BYTES: usize = 15_000_000;
/// Messages that the search index learns from which words go together, at most: a second of work, and more would not
/// tell it more.
pub const SEARCH_LEARNED_MESSAGES_MAX: usize = 200_000;
/// Words whose company is learnt: 256 bytes each, 4 MiB together. Rarer ones say too little.
pub const SEARCH_LEARNED_WORDS_MAX: usize = 16_384;
/// Neighbours by meaning that are looked at in one search; as in the original, more than are shown.
pub const SEARCH_NEIGHBOURS: usize = 100;
/// Texts that one request turns into vectors: a local model answers within seconds.
pub const EMBED_TEXTS_AT_ONCE: usize = 64;
/// Bytes of one text that are turned into a vector. Models read a few hundred words and ignore, or refuse, the rest.
pub const EMBED_TEXT_BYTES_MAX: usize = 8 * 1024;
/// Numbers of one vector: the largest models have 4096.
pub const EMBED_DIMENSIONS_MAX: usize = 8192;

// ---- attachments -----------------------------------------------------------------------------

/// How long a download link works (W-108).
pub const ATTACHMENT_URL: Duration = Duration::from_secs(900);
/// Attachments one search answers with when the caller does not say (W-43).
pub const ATTACHMENT_SEARCH_DEFAULT: usize = 20;
/// Attachments one search answers with at most (W-43).
pub const ATTACHMENT_SEARCH_MAX: usize = 50;
/// Attachments one search looks at, newest first. A look costs some microseconds, so a search stays below a second
/// on a node that has many. Where it left older ones out, the answer says so; such a file is found by its message.
pub const ATTACHMENT_SEARCH_LOOKED_AT_MAX: usize = 20_000;
/// Uploads in work at one time: each holds a file and a buffer, and all together must not fill the disk at once.
pub const UPLOADS_MAX: usize = 16;
/// Uploads of this node that no message is bound to and that wait longer than this are forgotten: somebody who
/// uploads and never sends would fill the disk.
pub const UPLOAD_UNBOUND: Duration = Duration::from_secs(7 * 24 * 3600);

// ---- bytes between nodes ---------------------------------------------------------------------

/// One piece of a blob on the wire and in memory. Two pieces are all that a transfer holds on either side.
pub const BLOB_PIECE_BYTES: usize = 64 * 1024;
/// Blobs that are fetched at one time, from all nodes together.
pub const BLOB_FETCHES_MAX: usize = 4;
/// Blobs that are served at one time, to all nodes together; more are told to come again.
pub const BLOB_SERVES_MAX: usize = 8;
/// Blobs that are served to one node at one time, so that nobody takes all places.
pub const BLOB_SERVES_PER_NODE_MAX: usize = 2;
/// Blobs kept that came only in part; the one touched longest ago makes room. At most 3 GiB, and only while 32 files of
/// the largest size broke off.
pub const BLOB_PARTIALS_MAX: usize = 32;
/// How long the next piece of a blob may take. Some KiB a second are slow, none at all are a break.
pub const BLOB_PIECE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long one holder may take for a whole blob: 100 MiB at 60 KiB a second. What came is kept for the next try.
pub const BLOB_TIMEOUT: Duration = Duration::from_secs(1800);

// ---- what files say --------------------------------------------------------------------------

/// Bytes of a file's beginning by which it is told what it is; an image's size stands in them, too.
pub const EXTRACT_HEAD_BYTES: usize = 64 * 1024;
/// Bytes of a text file that are read; a text is cut at [`EXTRACT_TEXT_BYTES_MAX`] anyway, and a table is counted as
/// far as it was read.
pub const EXTRACT_PLAIN_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of extracted text: a book of a hundred pages. It is replicated to every node of the space and searched.
pub const EXTRACT_TEXT_BYTES_MAX: usize = 256 * 1024;
/// Characters of a summary.
pub const EXTRACT_SUMMARY_CHARS_MAX: usize = 280;
/// Bytes of structured data, as JSON; what is larger is left out.
pub const EXTRACT_DATA_BYTES_MAX: usize = 64 * 1024;
/// Bytes of an extraction as JSON: text whose every character has to be escaped, and the data.
pub const EXTRACT_JSON_BYTES_MAX: usize = 2 * EXTRACT_TEXT_BYTES_MAX + 2 * EXTRACT_DATA_BYTES_MAX;
/// Rows of a table that are kept as data.
pub const EXTRACT_ROWS_MAX: usize = 100;
/// Columns of a table that are kept as data.
pub const EXTRACT_COLUMNS_MAX: usize = 64;
/// Bytes of an office file or PDF that is read at all: they are held in memory while it is.
pub const EXTRACT_INPUT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Memory of the process that reads such a file. A PDF of 32 MiB may unpack to several times that.
pub const EXTRACT_MEMORY_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Processor time of that process, in seconds.
pub const EXTRACT_CPU_SECONDS_MAX: u64 = 10;
/// How long that process may live, when the machine is busy with other things.
pub const EXTRACT_TIMEOUT: Duration = Duration::from_secs(30);
/// Such processes at one time; others wait.
pub const EXTRACT_CHILDREN_MAX: usize = 2;
/// Entries of an archive (research ecosystem 5.6).
pub const EXTRACT_ENTRIES_MAX: usize = 10_000;
/// Bytes of one entry of an archive, unpacked (research ecosystem 5.6).
pub const EXTRACT_ENTRY_BYTES_MAX: u64 = 25 * 1024 * 1024;
/// Bytes of all entries of an archive, unpacked (research ecosystem 5.6).
pub const EXTRACT_UNPACKED_BYTES_MAX: u64 = 100 * 1024 * 1024;
/// How many times larger an entry may be unpacked than packed (research ecosystem 5.6), once it exceeds
/// [`EXTRACT_RATIO_FREE_BYTES`]. XML of documents reaches 30.
pub const EXTRACT_RATIO_MAX: u64 = 100;
/// An entry that unpacks to no more than this is harmless at any ratio.
pub const EXTRACT_RATIO_FREE_BYTES: u64 = 1024 * 1024;

// ---- the process -----------------------------------------------------------------------------

/// Files, sockets included, that the system has to let a node open. At rest it has 18 open, and with fewer it
/// fails here or there; the rest is for a few connections. More that it may not open have to wait.
pub const OPEN_FILES_MIN: u64 = 32;

// ---- HTTP ------------------------------------------------------------------------------------

/// Body of one HTTP request (N-133). Uploads have their own limit.
pub const HTTP_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of a request that is too large which are read and thrown away, so that its sender, who reads the
/// answer only after the last byte, hears why. Larger ones find the connection closed.
pub const HTTP_BODY_DRAINED_MAX: usize = 16 * 1024 * 1024;
/// How long one HTTP request may take, streams excepted.
pub const HTTP_TIMEOUT: Duration = Duration::from_secs(30);
/// HTTP connections at one time: all [`EVENT_LISTENERS_MAX`] streams, and as many clients. Each is a file
/// descriptor, of which a process has as few as 1024, and the store and the mesh need some.
pub const HTTP_CONNECTIONS_MAX: usize = 512;
/// How long the head of an HTTP request may take, and so how long an idle connection stays.
pub const HTTP_HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may leave unread what it was sent. An event stream of a machine that sleeps is cut, too.
pub const HTTP_STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Items of one page when the caller does not say (N-137).
pub const PAGE_DEFAULT: usize = 100;
/// Items of one page at most (N-137).
pub const PAGE_MAX: usize = 500;
/// Comment lines keep an event stream alive at least this often (`contracts/node.yaml`).
pub const EVENT_KEEP_ALIVE: Duration = Duration::from_secs(10);

// ---- invocations and runtimes ----------------------------------------------------------------

/// Shortest claim, in seconds (W-136).
pub const INVOCATION_CLAIM_SECONDS_MIN: u64 = 15;
/// Longest claim, in seconds (W-136).
pub const INVOCATION_CLAIM_SECONDS_MAX: u64 = 300;
/// How long a claim lasts that does not say, in seconds (W-136).
pub const INVOCATION_CLAIM_SECONDS_DEFAULT: u64 = 60;
/// Claims of one invocation; when the last lapses, it is parked (W-137).
pub const INVOCATION_ATTEMPTS_MAX: u8 = 5;
/// How long an invocation waits for a runtime before it expires: whoever asked a month ago asks again. Messages that
/// are older when they arrive summon nobody.
pub const INVOCATION_WAIT: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long an invocation is remembered after it ended. Longer than [`INVOCATION_WAIT`], so that a message that arrives
/// again finds that it summoned the bot already.
pub const INVOCATION_KEPT: Duration = Duration::from_secs(60 * 24 * 3600);
/// Invocations of one bot that wait; when there are more, the oldest expires. A claim looks through them in order.
pub const INVOCATIONS_WAITING_MAX: usize = 1_000;
/// Invocations that are looked after in one write, when claims, waits or memories of them are over.
pub const INVOCATIONS_SWEPT_MAX: usize = 256;
/// Bots that one message summons by mentioning them.
pub const SUMMONS_PER_MESSAGE_MAX: usize = 20;
/// Characters of why an invocation failed (`contracts/workspace.yaml`).
pub const INVOCATION_REASON_CHARS_MAX: usize = 1_000;
/// Messages before the source that a claim is told (W-139).
pub const INVOCATION_CONTEXT_MAX: usize = 30;
/// Characters of one step of a trace (`contracts/workspace.yaml`).
pub const STEP_CHARS_MAX: usize = 10_000;
/// Steps kept of one trace; beyond, the oldest make room. With the limit above, at most 40 MB for one invocation.
pub const STEPS_MAX: u32 = 1_000;
/// Characters of a runtime's status text (`contracts/workspace.yaml`).
pub const STATUS_TEXT_CHARS_MAX: usize = 200;
/// Characters of a runtime's name for itself (`contracts/workspace.yaml`).
pub const INSTANCE_CHARS_MAX: usize = 128;
/// Characters of a runtime's name for one of its sessions (`contracts/workspace.yaml`).
pub const RUNTIME_SESSION_CHARS_MAX: usize = 256;
/// Characters of a claim token as it comes back (`contracts/workspace.yaml`).
pub const CLAIM_TOKEN_CHARS_MAX: usize = 256;
/// Characters of the name of a runtime's public key (`contracts/workspace.yaml`).
pub const PUBLIC_KEY_ID_CHARS_MAX: usize = 128;
/// Characters of the folder a session works in (`contracts/workspace.yaml`).
pub const LOCAL_CWD_CHARS_MAX: usize = 1_000;
/// Bytes of what a runtime says it can do, as JSON: a page of flags and names of commands.
pub const RUNTIME_CAPABILITIES_BYTES_MAX: usize = 16 * 1024;
/// Runtimes remembered of one bot; beyond, the one that was not seen for longest is forgotten.
pub const RUNTIMES_PER_BOT_MAX: usize = 100;
/// Sessions linked to scratchpads of one bot; each is a stream of its own.
pub const LINKS_PER_BOT_MAX: usize = 1_000;

// ---- people, bots, posts ---------------------------------------------------------------------

/// Characters of a post, and of a reply that completes an invocation (W-60, W-149).
pub const POST_CHARS_MAX: usize = 50_000;
/// Characters of a sender's own name for a post (W-50).
pub const CLIENT_ID_CHARS_MAX: usize = 128;
/// Bytes of the name of the key that a post was sent with: a prefix and a ULID.
pub const SENT_VIA_BYTES_MAX: usize = 64;
/// Pairs of a post's metadata (W-63).
pub const METADATA_PAIRS_MAX: usize = 20;
/// Characters of a key of metadata (W-63).
pub const METADATA_KEY_CHARS_MAX: usize = 64;
/// Characters of a value of metadata (W-63).
pub const METADATA_VALUE_CHARS_MAX: usize = 256;
/// Bytes of all metadata of a post, written as JSON (W-63).
pub const METADATA_BYTES_MAX: usize = 4096;
/// Files that one post links to: more would be a folder, not a message.
pub const ATTACHMENTS_PER_POST_MAX: usize = 50;
/// Bytes of one attachment (W-100).
pub const ATTACHMENT_BYTES_MAX: u64 = 100 * 1024 * 1024;
/// Characters of a file's name: what common file systems take.
pub const FILENAME_CHARS_MAX: usize = 255;
/// Bytes of a MIME type: RFC 6838 allows 127 for each half.
pub const MIME_TYPE_BYTES_MAX: usize = 255;
/// Characters of a memo's title: one line that lists show whole.
pub const MEMO_TITLE_CHARS_MAX: usize = 200;
/// Characters of a memo's abstract: one long paragraph. A memo points at its messages and does not copy them (W-88).
pub const MEMO_ABSTRACT_CHARS_MAX: usize = 2000;
/// Key points of a memo: more is no summary.
pub const MEMO_KEY_POINTS_MAX: usize = 20;
/// Characters of one key point: a sentence or two.
pub const MEMO_KEY_POINT_CHARS_MAX: usize = 500;
/// Tags of a memo.
pub const MEMO_TAGS_MAX: usize = 20;
/// Characters of a tag, as many as a slug may have.
pub const MEMO_TAG_CHARS_MAX: usize = 64;
/// Messages that a handwritten memo rests on. With all of them its operation stays below 60 KiB.
pub const MEMO_SOURCES_MAX: usize = 100;
/// Memos one search judges: of those the index proposes, the best first, and of all when browsing, the latest changed
/// first. Judging one costs some microseconds, so a search stays below a second.
pub const MEMO_SEARCH_LOOKED_AT_MAX: usize = SEARCH_HITS_MAX;
/// Words of a query for memos that count; each costs a look into every memo.
pub const MEMO_QUERY_WORDS_MAX: usize = 32;
/// A memo is shown this long after its message even where a conversation never rests (W-89).
pub const MEMO_STEADY_MS: u64 = 5 * 60 * 1000;
/// Messages behind a memo's own that are looked at for the pause that ends the conversation; where they are more,
/// the memo waits for [`MEMO_STEADY_MS`].
pub const MEMO_PAUSE_LOOK: usize = 100;
/// Bytes of what a bot or a stream says it is for.
pub const DESCRIPTION_BYTES_MAX: usize = 4096;
/// People and bots of a workspace. Each costs every node an entry of the control log and a card, 1 KB together.
pub const PRINCIPALS_MAX: usize = 10_000;
/// Spaces that a peer named and this node does not hold, of which a link remembers how far the peer was: 40 bytes each.
pub const NAMED_SPACES_MAX: usize = 1_024;
/// Group spaces of a workspace with one home: one for each private channel and scratchpad that is opened there. Each
/// costs its nodes some 300 bytes of memory, and every link between two of them a digest now and then.
pub const GROUPS_PER_HOME_MAX: usize = 10_000;
/// Windows of the Workspace door's rate limits that are counted at once: every address, workspace and key of a minute,
/// of which made-up ones could be without end. Some 100 bytes each.
pub const RATE_BUCKETS_MAX: usize = 50_000;
