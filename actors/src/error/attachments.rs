//! Why files are not taken or not given.

use super::Unavailable;
use crate::blobs::FetchError;

/// Why a text is not taken that links to files (W-104).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadLink {
    /// No such file, or none that the author can read.
    #[error("links to an attachment that does not exist: {0}")]
    Unknown(String),
    /// More than [`muster_protocol::limits::ATTACHMENTS_PER_POST_MAX`].
    #[error("links to more than {max} attachments", max = muster_protocol::limits::ATTACHMENTS_PER_POST_MAX)]
    TooMany,
}

/// Why a file is not taken, or its bytes do not come.
#[derive(Debug, thiserror::Error)]
pub enum AttachmentError {
    /// Not on this node.
    #[error("this node is not in that workspace")]
    UnknownWorkspace,
    /// Guests only read, and files belong to the node of whoever uploads them.
    #[error("this node may not write in the workspace, or is not home to who uploads")]
    NotAllowed,
    /// See [`FetchError`].
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// See [`Unavailable`].
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}
