//! Searching by meaning with a server of embeddings, as `search.embeddings_url` names one: over TLS and without.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a server beside the test; a test may panic"
)]

mod doors;

use std::{convert::Infallible, sync::Arc};

use doors::{Node, PATIENCE, ids, team::Team};
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, StatusCode, body::Bytes, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};

const KEY: &str = "sk-of-the-operator";

/// Words and what they mean: one direction for each pair. They are of no language, so that no list of synonyms has them.
const MEANINGS: [&[&str]; 2] = [&["zorblat", "quenniff"], &["plomtak", "drubvel"]];

/// The vectors of a made-up model: how often a text speaks of each meaning.
fn embed(text: &str) -> Vec<f32> {
    let text = text.to_lowercase();
    let counted = MEANINGS.map(|words| words.iter().filter(|word| text.contains(**word)).count() as f32);
    counted.into_iter().chain([0.1]).collect()
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let is_meant = request.uri().path() == "/v1/embeddings"
        && request.headers().get("authorization").is_some_and(|key| *key == *format!("Bearer {KEY}"));
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    if !is_meant || asked["model"] != "made-up" {
        let mut refused = Response::new(Full::default());
        *refused.status_mut() = StatusCode::UNAUTHORIZED;
        return Ok(refused);
    }
    let texts = asked["input"].as_array().unwrap().iter().map(|text| embed(text.as_str().unwrap()));
    let data: Vec<_> =
        texts.enumerate().map(|(index, vector)| json!({ "index": index, "embedding": vector })).collect();
    Ok(Response::new(Full::from(json!({ "data": data }).to_string())))
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin) {
    // A caller that goes away is no fault of the server.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .await;
}

/// A server on a port of its own; with TLS, and its certificate in a file, when there is a path for one.
async fn serve_embeddings(certificate: Option<&std::path::Path>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = certificate.map(|path| {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(path, made.cert.pem()).unwrap();
        let key = PrivateKeyDer::try_from(made.key_pair.serialize_der()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth();
        TlsAcceptor::from(Arc::new(config.with_single_cert(vec![made.cert.der().clone()], key).unwrap()))
    });
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                match acceptor {
                    None => serve(stream).await,
                    Some(acceptor) => {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            serve(stream).await;
                        }
                    }
                }
            });
        }
    });
    port
}

async fn means_the_same(with_tls: bool) {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key"));
    let port = serve_embeddings(with_tls.then_some(&certificate)).await;
    std::fs::write(&key, format!("{KEY}\n")).unwrap();
    let scheme = if with_tls { "https" } else { "http" };
    let settings = [
        format!("search.embeddings_url={scheme}://localhost:{port}/v1"),
        "search.embeddings_model=made-up".to_owned(),
        format!("search.embeddings_key_file={}", key.display()),
    ];
    let settings = settings.each_ref().map(String::as_str);
    let told = [("SSL_CERT_FILE", certificate.to_str().unwrap())];
    let node = Node::start_told(tempfile::tempdir().unwrap(), &settings, &told).await;
    let team = Team::new(&node, "garden").await;
    let ada = team.person(&node, "Ada").await;
    let channel = team.channel(&node, "builders", &[&ada]).await;
    team.say(&node, &ada, &channel, "Somebody forgot the zorblat").await;
    team.say(&node, &ada, &channel, "I am at the plomtak until Monday").await;
    let body = json!({ "query": "quenniff", "semantic": true, "limit": 1 });
    let look = async {
        loop {
            let found = team.post(&node, &ada, "messages/search", &body).await;
            if found.status == 200 && ids(&found.json["data"], "content") == ["Somebody forgot the zorblat"] {
                return found;
            }
            doors::pause().await;
        }
    };
    let found = tokio::time::timeout(PATIENCE, look).await.expect("no word is the same, and the meaning is");
    assert_eq!(found.headers["x-search-tier"], "endpoint");
    let status = node.get("/node/v1/status").await.with(200);
    assert_eq!(status["search_tier"], "endpoint");
}

#[tokio::test]
async fn a_local_server_of_embeddings_finds_what_means_the_same_w82() {
    means_the_same(false).await;
}

#[tokio::test]
async fn a_server_behind_tls_finds_it_as_well_if_the_system_trusts_it() {
    means_the_same(true).await;
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_not_asked_and_words_decide() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key"));
    let port = serve_embeddings(Some(&certificate)).await;
    std::fs::write(&key, KEY).unwrap();
    let settings = [
        format!("search.embeddings_url=https://localhost:{port}/v1"),
        "search.embeddings_model=made-up".to_owned(),
        format!("search.embeddings_key_file={}", key.display()),
    ];
    let node = Node::start_with(&settings.each_ref().map(String::as_str)).await;
    let team = Team::new(&node, "garden").await;
    let ada = team.person(&node, "Ada").await;
    let channel = team.channel(&node, "builders", &[&ada]).await;
    team.say(&node, &ada, &channel, "Somebody forgot the zorblat").await;
    let body = json!({ "query": "forgot", "semantic": true });
    let look = async {
        loop {
            let found = team.post(&node, &ada, "messages/search", &body).await.with(200);
            if !found["data"].as_array().unwrap().is_empty() {
                return;
            }
            doors::pause().await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("the word is found");
    let body = json!({ "query": "quenniff", "semantic": true });
    let found = team.post(&node, &ada, "messages/search", &body).await.with(200);
    assert_eq!(ids(&found["data"], "content"), Vec::<String>::new());
}
