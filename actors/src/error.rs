//! Why the node does not do what it is asked: one enum for each thing it can be asked.

use muster_protocol::{
    control::Role,
    identity::NodeId,
    network::{IdError, ProofError, Refusal, WorkRefusal},
    ticket::{JoinRefusal, TicketError},
};
use muster_storage::{NotTaken, StoreError};

mod attachments;
mod invocations;
mod memos;
mod people;

pub use attachments::{AttachmentError, BadLink};
pub use invocations::{InvocationError, LinkError};
pub use memos::MemoError;
pub use people::{KeyError, PostError, PrincipalError, StreamError};

/// The node cannot answer now; nothing is known to have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// Too much is going on.
    #[error("the node is busy; try again in a moment")]
    Busy,
    /// It is going down.
    #[error("the node is stopping")]
    Stopping,
    /// Something inside took too long.
    #[error("the node did not answer itself in time; look at its log")]
    Timeout,
    /// The node that decides about this workspace cannot be reached.
    #[error("{home}, the home of the workspace, cannot be reached; membership is decided there")]
    HomeUnreachable {
        /// Which node.
        home: NodeId,
    },
    /// The home of the workspace has a store that is a copy, and has not heard from all members yet.
    #[error(
        "the workspace's home was restored from a copy, and may have forgotten what it decided since: it decides again \
         once it has been linked with every member"
    )]
    Unsettled,
    /// See [`muster_protocol::control::ControlState::forked`].
    #[error(
        "the workspace's home decided two different things at once, as one does whose disk was set back; nobody is let in \
         or removed there any more, and what members say goes on"
    )]
    Forked,
    /// The store failed; the node stops.
    #[error("the store failed; look at the node's log")]
    Storage,
}

impl From<NotTaken> for Unavailable {
    fn from(error: NotTaken) -> Self {
        match error {
            NotTaken::Busy => Unavailable::Busy,
            NotTaken::Stopped => Unavailable::Stopping,
        }
    }
}

impl From<StoreError> for Unavailable {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "reading the store failed");
        Unavailable::Storage
    }
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An actor could not be spawned.
    #[error("an actor of the node could not be started: {0}")]
    Actor(#[from] ractor::SpawnErr),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

macro_rules! unavailable {
    ($($error:ident),+) => {
        $(
            impl From<Unavailable> for $error {
                fn from(error: Unavailable) -> Self {
                    Self::Unavailable(error)
                }
            }
            impl From<StoreError> for $error {
                fn from(error: StoreError) -> Self {
                    Self::Unavailable(error.into())
                }
            }
            impl From<NotTaken> for $error {
                fn from(error: NotTaken) -> Self {
                    Self::Unavailable(error.into())
                }
            }
        )+
    };
}

unavailable!(
    CreateWorkspaceError,
    InviteError,
    JoinError,
    RemoveMemberError,
    MoveHomeError,
    SettleError,
    SetRoleError,
    RegisterAgentError,
    CreateChannelError,
    StartSessionError,
    StopSessionError,
    SendError,
    ResolveRoomError,
    PrincipalError,
    KeyError,
    StreamError,
    PostError,
    InvocationError,
    LinkError,
    MemoError
);

/// Why a workspace is not founded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CreateWorkspaceError {
    /// Blank, or longer than allowed.
    #[error("a workspace needs a name of 1 to 100 characters")]
    Name,
    /// No such workspace here.
    #[error("this node has no workspace with the parent's id")]
    UnknownParent,
    /// See [`Unavailable`].
    #[error(transparent)]
    Unavailable(Unavailable),
}

/// Why there is no ticket, or why one is not revoked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    /// Not on this node.
    #[error("this node is not in that workspace")]
    UnknownWorkspace,
    /// No such invite.
    #[error("the workspace knows no such invite")]
    UnknownInvite,
    /// Only admins invite.
    #[error(
        "only an owner or admin may do this, and only the owner makes admins; this node is {}",
        role_name(*role)
    )]
    NotAllowed {
        /// This node's role.
        role: Option<Role>,
    },
    /// Outside what is allowed.
    #[error(
        "a ticket lives 1 second to 365 days, is used 1 to 1000 times, and gives the role admin, member or guest"
    )]
    Limits,
    /// See [`Unavailable`].
    #[error(transparent)]
    Unavailable(Unavailable),
}

fn role_name(role: Option<Role>) -> &'static str {
    role.map_or("not a member", Role::as_str)
}

/// Why a node does not join.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// The text is no ticket.
    #[error(transparent)]
    Ticket(#[from] TicketError),
    /// The home says no.
    #[error(transparent)]
    Refused(#[from] JoinRefusal),
    /// The home cannot be reached.
    #[error("the node that made the ticket cannot be reached; is it up, and can this machine reach {}?", addresses.join(" or "))]
    Unreachable {
        /// Where it was looked for.
        addresses: Vec<String>,
    },
    /// It answered with something that is not the workspace of the ticket.
    #[error("the node that answered does not hold the workspace of the ticket")]
    Impostor,
    /// See [`Unavailable`].
    #[error(transparent)]
    Unavailable(Unavailable),
}

/// Why a node is not removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoveMemberError {
    /// Not on this node.
    #[error("this node is not in that workspace")]
    UnknownWorkspace,
    /// Nobody of that id is a member.
    #[error("no member has that peer id")]
    UnknownMember,
    /// The role does not allow it: admins remove members and guests, the owner removes anybody else.
    #[error(
        "this node may not remove that member: admins remove members and guests, the owner removes all others"
    )]
    NotAllowed,
    /// The home stays while it is the home.
    #[error("that node is the home of the workspace; the owner moves the home first")]
    IsHome,
    /// See [`Unavailable`].
    #[error(transparent)]
    Unavailable(Unavailable),
}

/// Why the home does not move.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoveHomeError {
    /// Not on this node.
    #[error("this node is not in that workspace")]
    UnknownWorkspace,
    /// Nobody of that id is a member.
    #[error("no member has that peer id")]
    UnknownMember,
    /// Only the owner does.
    #[error("only the owner of the workspace moves its home")]
    NotAllowed,
    /// The home decides who belongs, so it has to be trusted with that.
    #[error("the home has to be an admin; the owner makes that node one first")]
    NotAnAdmin,
    /// As long as the new home does not know that it is, the workspace has none.
    #[error("that node is not connected to the present home; bring it up, then try again")]
    Away,
    /// See [`Unavailable`].
    #[error(transparent)]
    Unavailable(Unavailable),
}

/// Why a workspace is not settled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettleError {
    /// Not on this node.
    #[error("this node is not in that workspace")]
    UnknownWorkspace,
    /// Another node decides there.
    #[error("this node is not the home of the workspace; {home} is, and settles it")]
    NotTheHome {
        /// Which node.
        home: NodeId,
    },
    /// See [`Unavailable`].
    #[error(transparent)]
    Unavailable(Unavailable),
}

/// Why a member's role is not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetRoleError {
    /// Not on this node.
    #[error("this node is not in that workspace")]
    UnknownWorkspace,
    /// Nobody of that id is a member.
    #[error("no member has that peer id")]
    UnknownMember,
    /// The role does not allow it: admins make members guests and guests members, the owner also admins.
    #[error(
        "this node may not give that member that role: admins change members and guests, only the owner makes or \
         unmakes admins, and the owner stays the owner"
    )]
    NotAllowed,
    /// The home stays an admin while it is the home.
    #[error("that node is the home of the workspace; the owner moves the home first")]
    IsHome,
    /// See [`Unavailable`].
    #[error(transparent)]
    Unavailable(Unavailable),
}

/// Why an agent is not registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterAgentError {
    /// Not on this node.
    #[error("this node is not in that workspace")]
    UnknownWorkspace,
    /// Outside the grammar.
    #[error("an agent's name is 1 to 64 of a-z, 0-9, '.', '_', '-', and begins with a letter or digit")]
    Name,
    /// Taken.
    #[error("this node has an agent of that name in the workspace already")]
    Exists,
    /// No such program.
    #[error(
        "this node knows no provider `{0}`; name its command under [providers.{0}] in muster.toml and start the node \
         again, or leave it at `none` for an agent without a program"
    )]
    Provider(String),
    /// A document that breaks N-21.
    #[error("capability {id}: {cause}")]
    Capability {
        /// Its id.
        id: String,
        /// What is wrong.
        cause: String,
    },
    /// See [`Unavailable`].
    #[error(transparent)]
    Unavailable(Unavailable),
}

/// Why the program behind a session does not serve it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// The settings changed after the agent was registered.
    #[error(
        "the agent `{agent}` runs by the provider `{provider}`, which the settings of this node do not name; add \
         [providers.{provider}] to muster.toml and start the node again"
    )]
    UnknownProvider {
        /// Which agent.
        agent: String,
        /// Its provider.
        provider: String,
    },
    /// It ended at once, with status 77 (N-117).
    #[error(
        "the provider `{provider}` of the agent `{agent}` refused its credentials: its program ended with status 77"
    )]
    Credentials {
        /// Which agent.
        agent: String,
        /// Its provider.
        provider: String,
    },
    /// It cannot be started, or ended at once.
    #[error("the agent `{agent}` does not start by the provider `{provider}`: {cause}")]
    NotStarted {
        /// Which agent.
        agent: String,
        /// Its provider.
        provider: String,
        /// What the system says, or how it ended.
        cause: String,
    },
}

/// Why a channel is not created (N-117).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CreateChannelError {
    /// Not on this node.
    #[error("this node is not in that workspace")]
    UnknownWorkspace,
    /// Blank or too long.
    #[error("a channel needs a purpose of 1 to 4096 bytes")]
    Purpose,
    /// The list is empty.
    #[error("a channel needs at least one agent")]
    NoAgents,
    /// Blank in the list.
    #[error("an agent's name is blank")]
    BlankAgent,
    /// Twice in the list.
    #[error("the agent `{0}` stands twice in the list")]
    RepeatedAgent(String),
    /// Not registered.
    #[error("the workspace has no agent `{0}` on this node; register it with `muster agent register {0}`")]
    UnknownAgent(String),
    /// Guests read only.
    #[error("this node may not write in the workspace")]
    NotAllowed,
    /// The limit of sessions.
    #[error("this node would have more sessions than it may have; stop some first")]
    TooMany,
    /// See [`ProgramError`]; no session of the call stays (N-118).
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// See [`Unavailable`].
    #[error(transparent)]
    Unavailable(Unavailable),
}

/// Why a session does not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartSessionError {
    /// Not on this node.
    #[error("this node is not in that workspace")]
    UnknownWorkspace,
    /// Not registered.
    #[error("the workspace has no agent `{0}` on this node; register it with `muster agent register {0}`")]
    UnknownAgent(String),
    /// Guests read only.
    #[error("this node may not write in the workspace")]
    NotAllowed,
    /// Agent and session make no peer id.
    #[error(transparent)]
    Name(#[from] IdError),
    /// The limit of sessions.
    #[error("this node has as many sessions as it may have; stop one first")]
    TooMany,
    /// See [`ProgramError`].
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// See [`Unavailable`].
    #[error(transparent)]
    Unavailable(Unavailable),
}

impl CreateChannelError {
    /// Why `agents` do not start in a new channel.
    pub(crate) fn of_session(error: StartSessionError, agents: &[String]) -> Self {
        match error {
            StartSessionError::UnknownWorkspace => Self::UnknownWorkspace,
            StartSessionError::UnknownAgent(agent) => Self::UnknownAgent(agent),
            StartSessionError::NotAllowed => Self::NotAllowed,
            // A name that makes no peer id was never registered.
            StartSessionError::Name(_) => Self::UnknownAgent(agents.first().cloned().unwrap_or_default()),
            StartSessionError::TooMany => Self::TooMany,
            StartSessionError::Program(error) => Self::Program(error),
            StartSessionError::Unavailable(error) => Self::Unavailable(error),
        }
    }
}

/// Why a session is not stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StopSessionError {
    /// Not on this node.
    #[error("this node is not in that workspace")]
    UnknownWorkspace,
    /// No such session.
    #[error("this node has no such session in the workspace")]
    UnknownSession,
    /// See [`Unavailable`].
    #[error(transparent)]
    Unavailable(Unavailable),
}

/// Why a message is not sent (N-79).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Not on this node.
    #[error("this node is not in that workspace")]
    UnknownWorkspace,
    /// The session is not one of this workspace on this node.
    #[error("this node has no such session in the workspace")]
    UnknownSession,
    /// A member of the request is missing.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// The envelope breaks a rule.
    #[error(transparent)]
    Refusal(#[from] Refusal),
    /// The envelope cannot be signed.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The session is a peer of another channel, or stopped.
    #[error("the session is not a peer of that channel")]
    NotInChannel,
    /// Nobody of that id is there now.
    #[error("no such peer is visible in the channel now")]
    TargetNotVisible,
    /// The id was used for another message.
    #[error("another message was sent under this id before")]
    IdConflict,
    /// The rules of work (N-43 to N-48).
    #[error(transparent)]
    Work(#[from] WorkRefusal),
    /// Removed, or a guest.
    #[error("this node may not write in the workspace")]
    NotAMember,
    /// The Network door is switched off.
    #[error("the network is switched off on this node; set network.enabled = true")]
    Disabled,
    /// See [`Unavailable`].
    #[error(transparent)]
    Unavailable(Unavailable),
}

/// Why a direct room is not resolved (N-38).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveRoomError {
    /// Not on this node.
    #[error("this node is not in that workspace")]
    UnknownWorkspace,
    /// Not a local peer of the channel.
    #[error("no session of this node that has that id is a peer of the channel")]
    NotInChannel,
    /// Nobody of that id is there now.
    #[error("no such peer is visible in the channel now")]
    TargetNotVisible,
    /// A room has two peers (N-35).
    #[error("a direct room has two different peers; this is the session's own")]
    SamePeer,
    /// Removed, or a guest.
    #[error("this node may not write in the workspace")]
    NotAMember,
    /// The Network door is switched off.
    #[error("the network is switched off on this node; set network.enabled = true")]
    Disabled,
    /// See [`Unavailable`].
    #[error(transparent)]
    Unavailable(Unavailable),
}

/// Why there is no backup: see [`muster_storage::BackupError`].
pub use muster_storage::BackupError;
