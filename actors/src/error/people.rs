//! Why people, bots, keys, streams and posts are not made or changed.

use muster_storage::NotPosted;

use super::Unavailable;

/// Why a person or a bot is not made, or not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrincipalError {
    /// Not on this node.
    #[error("this node is not in that workspace")]
    UnknownWorkspace,
    /// Nobody of that id, or this node is not their home.
    #[error("this node is home to nobody of that id")]
    UnknownPrincipal,
    /// A part of the request breaks its rule.
    #[error("{0}")]
    Invalid(&'static str),
    /// A bot belongs to a person of the workspace.
    #[error("the workspace has no person of the owner's id")]
    UnknownOwner,
    /// A slug names one for good.
    #[error("somebody in the workspace has that slug; take another one")]
    SlugTaken,
    /// Guests only read.
    #[error("this node may not write in the workspace")]
    NotAllowed,
    /// There are as many as there may be.
    #[error("the workspace has as many people and bots as it may have")]
    TooMany,
    /// See [`Unavailable`].
    #[error(transparent)]
    Unavailable(Unavailable),
}

/// Why a key is not made or not revoked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not on this node.
    #[error("this node is not in that workspace")]
    UnknownWorkspace,
    /// Keys are made where who they speak for is at home.
    #[error("this node is home to no such person or bot; make the key on their own node")]
    UnknownPrincipal,
    /// No key of that id.
    #[error("the workspace has no key of that id on this node")]
    UnknownKey,
    /// None, or one that cannot be granted (W-27).
    #[error("a key needs at least one scope, and each has to be one of those that can be granted")]
    Scope,
    /// It would be dead already.
    #[error("the key would have expired before it was made")]
    Expired,
    /// As many as one may have (W-25).
    #[error("a person or bot may have {max} live keys; revoke one", max = muster_storage::KEYS_PER_PRINCIPAL_MAX)]
    TooMany,
    /// See [`Unavailable`].
    #[error(transparent)]
    Unavailable(Unavailable),
}

/// Why a stream is not opened or not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// Not on this node.
    #[error("this node is not in that workspace")]
    UnknownWorkspace,
    /// No such stream here.
    #[error("the workspace has no such stream on this node")]
    UnknownStream,
    /// A thread hangs from a message.
    #[error("there is no such message to open a thread below")]
    UnknownMessage,
    /// Who should take part, or no longer, does not exist.
    #[error("the workspace has no such person or bot")]
    UnknownMember,
    /// A part of the request breaks its rule.
    #[error("{0}")]
    Invalid(&'static str),
    /// What two people say alone rests on their nodes only.
    #[error("this node is home to neither of the two; open it on the node of one of them")]
    Elsewhere,
    /// What is private flows only between nodes that may write in the workspace.
    #[error(
        "the node of one of them only reads in the workspace, so it holds nothing private; its role has to be member"
    )]
    Reader,
    /// A dm is for its two, and notices are for one.
    #[error("who takes part in a dm or reads notices does not change; open a private channel")]
    Fixed,
    /// Every private stream costs the nodes that hold it.
    #[error(
        "as many private channels and scratchpads were opened on this node as it may have; use one that is there"
    )]
    TooMany,
    /// A channel of that slug is there.
    #[error("there is a channel of that slug already")]
    Exists,
    /// Guests only read; and in a private stream only the nodes of those who take part write.
    #[error(
        "this node may not write there: it only reads in the workspace, or nobody of it takes part any more"
    )]
    NotAllowed,
    /// See [`Unavailable`].
    #[error(transparent)]
    Unavailable(Unavailable),
}

/// Why something is not said, edited or deleted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// Not on this node.
    #[error("this node is not in that workspace")]
    UnknownWorkspace,
    /// See [`NotPosted`].
    #[error(transparent)]
    Refused(#[from] NotPosted),
    /// See [`Unavailable`].
    #[error(transparent)]
    Unavailable(Unavailable),
}
