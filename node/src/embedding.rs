//! What knows the meaning of texts, as the settings `search.*` say: nothing, a model in a folder, or one at an address.

use std::{io::Read as _, sync::Arc, time::Duration};

use anyhow::Context as _;
use muster_search::{Embedder, Endpoint, Http, HttpRequest};

use crate::config::Search;

/// How long an answer may take: a query waits for it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes of an answer: some hundred vectors of a few thousand numbers.
const ANSWER_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// The embedder that the settings name.
///
/// # Errors
/// Settings that cannot be followed; each says what would mend it.
pub(crate) fn embedder(settings: &Search) -> anyhow::Result<Option<Arc<dyn Embedder>>> {
    if !settings.embeddings_url.is_empty() {
        return endpoint(settings).map(Some);
    }
    if settings.model_dir.is_empty() { Ok(None) } else { model(&settings.model_dir).map(Some) }
}

fn endpoint(settings: &Search) -> anyhow::Result<Arc<dyn Embedder>> {
    anyhow::ensure!(
        ["http://", "https://"].iter().any(|scheme| settings.embeddings_url.starts_with(scheme)),
        "search.embeddings_url has to begin with http:// or https://, such as http://127.0.0.1:11434/v1"
    );
    anyhow::ensure!(
        !settings.embeddings_model.is_empty(),
        "search.embeddings_url needs search.embeddings_model: the name of a model that the address serves"
    );
    let key = match settings.embeddings_key_file.as_str() {
        "" => None,
        file => {
            let key = std::fs::read_to_string(file)
                .with_context(|| format!("search.embeddings_key_file: {file} cannot be read"))?;
            Some(key.trim().to_owned())
        }
    };
    let http = Box::new(Client);
    Ok(Arc::new(Endpoint::new(&settings.embeddings_url, &settings.embeddings_model, key, http)))
}

#[cfg(feature = "static-model")]
fn model(folder: &str) -> anyhow::Result<Arc<dyn Embedder>> {
    let model = muster_search::ModelFolder::open(std::path::Path::new(folder));
    Ok(Arc::new(model.with_context(|| format!("search.model_dir: no model can be read in {folder}"))?))
}

#[cfg(not(feature = "static-model"))]
fn model(_: &str) -> anyhow::Result<Arc<dyn Embedder>> {
    anyhow::bail!(
        "search.model_dir needs a muster that was built with `cargo build --release --features static-model`; leave the \
         setting out, or name an address with search.embeddings_url"
    )
}

/// Asks the address that the operator named, and follows it nowhere else; over TLS it trusts whom the system trusts. Made anew for each question, because it may not be
/// made or dropped inside an asynchronous task, and the index is.
struct Client;

impl Http for Client {
    fn post(&self, request: &HttpRequest<'_>) -> Result<Vec<u8>, String> {
        let mut client = reqwest::blocking::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(ANSWER_TIMEOUT);
        if request.url.starts_with("http://") {
            client = client.tls_certs_only([]); // a system without certificates has no need of them here
        }
        let mut asked = client
            .build()
            .map_err(|error| error.to_string())?
            .post(request.url)
            .header("content-type", "application/json")
            .body(request.body.clone());
        if let Some(key) = request.bearer {
            asked = asked.bearer_auth(key);
        }
        let answer = asked.send().map_err(|error| error.without_url().to_string())?;
        if answer.status() != reqwest::StatusCode::OK {
            return Err(format!("it answered {}", answer.status()));
        }
        let mut bytes = Vec::new();
        let read = answer.take(ANSWER_BYTES_MAX + 1).read_to_end(&mut bytes);
        read.map_err(|error| error.to_string())?;
        if bytes.len() as u64 > ANSWER_BYTES_MAX {
            Err("its answer is too large".to_owned())
        } else {
            Ok(bytes)
        }
    }
}
