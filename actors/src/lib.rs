//! The living things of a Muster node, as ractor actors, and the ports through which they touch the world.
//!
//! ```text
//! NodeSupervisor
//! ├── Links ── PeerLink *        one per linked node: the shell of its sync machine
//! ├── Presence                   who is here
//! └── Workspaces ── Workspace * ── Channel * · DirectRoom * · Session * · Invocation *
//!                                            (sessions with a program behind them, invocations that are claimed)
//! ```
//!
//! Everything above this crate sees one handle, [`Node`]. A write asks one actor, which decides and hands the
//! reply port to the store's writer; it never waits for a commit. A read asks no actor at all.
//!
//! An actor that fails is started again and rebuilds what it knows from the store; one that keeps
//! failing takes its supervisor down, up to the node. Time, randomness and the network come through
//! [`ports`], so the same actors run over libp2p and in a simulation.

pub mod ports;

mod asking;
mod attachments;
mod blobs;
mod channel;
mod compose;
mod context;
mod counters;
mod deciding;
mod direct_room;
mod error;
mod invocation;
mod links;
mod node;
mod peer_link;
mod presence;
mod rest;
mod root;
mod search;
mod session;
mod settings;
mod supervisor;
mod workspaces;

pub use blobs::{FetchError, Fetcher, SharedBlobs, waiting_for_disk};
pub use compose::{SendRequest, Sent};
pub use counters::{NetworkCounters, Traffic};
pub use error::{
    AttachmentError, BackupError, BadLink, CreateChannelError, CreateWorkspaceError, InviteError,
    InvocationError, JoinError, KeyError, LinkError, MemoError, MoveHomeError, PostError, PrincipalError,
    ProgramError, RegisterAgentError, RemoveMemberError, ResolveRoomError, SendError, SetRoleError,
    SettleError, StartError, StartSessionError, StopSessionError, StreamError, Unavailable,
};
pub use node::{
    BackupReport, ClaimedWork, ConnectionRow, FarBot, Invite, MintedKey, NewBot, NewFile, NewStream, NewUser,
    Node, PeerRow, PresenceState, Worker, is_agent_name,
};
pub use presence::{PresenceEvent, PresenceTurn};
pub use search::{FoundMemos, SearchProgress};
pub use session::Phase;
pub use settings::{NetworkSettings, Settings};
