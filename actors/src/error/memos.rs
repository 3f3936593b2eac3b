//! Why memos are not written.

use muster_storage::NotWritten;

use super::Unavailable;

/// Why a memo is not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemoError {
    /// Not on this node.
    #[error("this node is not in that workspace")]
    UnknownWorkspace,
    /// See [`NotWritten`].
    #[error(transparent)]
    Refused(#[from] NotWritten),
    /// See [`Unavailable`].
    #[error(transparent)]
    Unavailable(Unavailable),
}
