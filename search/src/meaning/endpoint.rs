//! Vectors from a server that speaks `POST {base}/embeddings`, as OpenAI, Ollama and llama.cpp do.
//!
//! The crate has no sockets: who opens the index brings an [`Http`], which decides what may be reached.

use serde::Deserialize;
use serde_json::json;

use super::{Embedder, Tier};
use crate::EmbedError;

/// A request to be made.
pub struct HttpRequest<'a> {
    /// Where to, by POST.
    pub url: &'a str,
    /// What goes behind `Authorization: Bearer`, if anything does. It is a secret.
    pub bearer: Option<&'a str>,
    /// JSON.
    pub body: Vec<u8>,
}

/// Makes requests.
pub trait Http: Send + Sync {
    /// Sends the request and waits for the body of its answer, for a bounded time and for a bounded number of bytes. An
    /// answer of another status than 200 is an error, as is none. The error is told to the operator.
    fn post(&self, request: &HttpRequest<'_>) -> Result<Vec<u8>, String>;
}

/// An embedder behind an address.
pub struct Endpoint {
    url: String,
    model: String,
    key: Option<String>,
    http: Box<dyn Http>,
}

impl Endpoint {
    /// The model `model` of the server at `base`, for example `http://127.0.0.1:11434/v1`, with its key.
    pub fn new(base: &str, model: &str, key: Option<String>, http: Box<dyn Http>) -> Self {
        let url = format!("{}/embeddings", base.trim_end_matches('/'));
        Self { url, model: model.into(), key, http }
    }

    fn fault(&self, cause: impl ToString) -> EmbedError {
        EmbedError::Endpoint { url: self.url.clone(), cause: cause.to_string() }
    }
}

#[derive(Deserialize)]
struct Reply {
    data: Vec<Embedding>,
}

#[derive(Deserialize)]
struct Embedding {
    index: Option<usize>,
    embedding: Vec<f32>,
}

impl Embedder for Endpoint {
    fn id(&self) -> String {
        format!("endpoint {} {}", self.url, self.model)
    }

    fn tier(&self) -> Tier {
        Tier::Endpoint
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let body = json!({ "model": self.model, "input": texts, "encoding_format": "float" });
        let request =
            HttpRequest { url: &self.url, bearer: self.key.as_deref(), body: body.to_string().into_bytes() };
        let reply = self.http.post(&request).map_err(|cause| self.fault(cause))?;
        let mut reply: Reply = serde_json::from_slice(&reply).map_err(|cause| self.fault(cause))?;
        // Some servers answer out of order, and some say no order.
        reply.data.sort_by_key(|embedding| embedding.index);
        Ok(reply.data.into_iter().map(|embedding| embedding.embedding).collect())
    }
}
