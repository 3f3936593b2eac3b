//! Why runtimes of bots do not get what they ask for.

use muster_protocol::{identity::NodeId, invocation::machine::NotHeld};
use muster_storage::{NotCompleted, NotLinked, NotPosted};

use super::Unavailable;

/// Why a session is not linked to a scratchpad, or its scratchpad not renamed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Not on this node.
    #[error("this node is not in that workspace")]
    UnknownWorkspace,
    /// See [`NotLinked`].
    #[error(transparent)]
    Refused(#[from] NotLinked),
    /// No active link of that instance and session (W-124).
    #[error("there is no linked session of that instance and name")]
    UnknownSession,
    /// See [`Unavailable`].
    #[error(transparent)]
    Unavailable(Unavailable),
}

/// Why work is not claimed, renewed, told of or ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvocationError {
    /// Not on this node.
    #[error("this node is not in that workspace")]
    UnknownWorkspace,
    /// See [`NotHeld`].
    #[error(transparent)]
    NotHeld(#[from] NotHeld),
    /// The bot may not write there any more, and the work has failed (W-155).
    #[error(transparent)]
    Refused(NotPosted),
    /// The bot's home, which is another node, does not know the key.
    #[error("the bot's home does not know that key")]
    UnknownKey,
    /// The bot's home is another node, and does not answer.
    #[error("{home}, the home of the bot, cannot be reached; its work is given out there")]
    HomeUnreachable {
        /// Which node.
        home: NodeId,
    },
    /// It does not fit into a question to the bot's home.
    #[error("this is too long to be passed on to the bot's home; say it there, or make it shorter")]
    TooLong,
    /// See [`Unavailable`].
    #[error(transparent)]
    Unavailable(Unavailable),
}

impl From<NotCompleted> for InvocationError {
    fn from(error: NotCompleted) -> Self {
        match error {
            NotCompleted::NotHeld(error) => Self::NotHeld(error),
            NotCompleted::Refused(error) => Self::Refused(error),
        }
    }
}
