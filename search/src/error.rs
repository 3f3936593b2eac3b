//! Why the index fails. A caller's text is never a reason.

use std::path::PathBuf;

/// The index cannot be read or written. It is a cache: opened again, it is whole, or empty and to be fed anew.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder cannot be used.
    #[error(
        "the search index in {path} cannot be used: {cause}; free space or rights mend it, or remove the folder"
    )]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// Another process, or another part of this one, writes it.
    #[error("the search index in {0} is open elsewhere; stop the other program first")]
    InUse(PathBuf),
    /// The engine says no.
    #[error("the search index failed: {0}; it is made anew from the store when it is opened again")]
    Engine(#[from] tantivy::TantivyError),
}

/// Texts cannot be turned into vectors. Searching goes on by words alone (W-84).
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// The model's folder cannot be read.
    #[error(
        "the model in {folder} cannot be used: {cause}; it needs model.safetensors, tokenizer.json and config.json"
    )]
    Model {
        /// Which.
        folder: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// The request failed.
    #[error(
        "{url} gave no embeddings: {cause}; check that the server runs and that address, model and key are right"
    )]
    Endpoint {
        /// Which address.
        url: String,
        /// What is wrong.
        cause: String,
    },
    /// The vectors are not what was asked for.
    #[error("{embedder} gave vectors that cannot be used: {cause}; choose another model")]
    Vectors {
        /// Which embedder.
        embedder: String,
        /// What is wrong.
        cause: String,
    },
    /// The index failed.
    #[error(transparent)]
    Index(#[from] Error),
}

impl From<tantivy::TantivyError> for EmbedError {
    fn from(error: tantivy::TantivyError) -> Self {
        Self::Index(error.into())
    }
}
