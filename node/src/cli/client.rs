//! Asking the running node.

use std::time::Duration;

use muster_protocol::ids::WorkspaceId;
use reqwest::{Client, Method, RequestBuilder, Response, Url};
use serde_json::Value;

use super::{
    CliError, Place,
    error::Problem,
    output::{field, items},
};
use crate::data_folder::Visit;

/// How long to wait for a connection: the node is on this machine.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long to wait for an answer. The node answers from its store; what takes longer is stuck.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait where the node itself waits for others, or copies its whole store.
const LONG_TIMEOUT: Duration = Duration::from_secs(600);

/// How long the stream of events may be silent. The node sends something at least every 15 s.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// The running node of a data folder.
#[derive(Debug)]
pub(super) struct NodeClient {
    http: Client,
    base: Url,
    token: String,
}

impl NodeClient {
    /// Finds the node that holds the folder: where it says it is, or else where the settings say.
    /// Nobody is asked, and nobody shown the token, unless a node holds the folder.
    pub(super) fn find(place: &Place) -> Result<Self, CliError> {
        let visit = Visit::of(&place.folder)?;
        let (true, Some(token)) = (visit.alive, visit.token) else {
            return Err(CliError::NotRunning(place.folder.clone()));
        };
        let mut address = match visit.run {
            Some(run) => run.http,
            None => place.settings(Vec::new())?.settings.http.listen,
        };
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                std::net::SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                std::net::SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        let base = Url::parse(&format!("http://{address}/")).expect("a socket address is the host of a URL");
        // Never through a proxy, and nowhere else than to the node: the token goes with every request. Without TLS, so
        // that a system without certificates is as good as any.
        let http = Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .build();
        let http = http.map_err(|cause| unreachable_at(&base, &cause))?;
        Ok(Self { http, base, token })
    }

    /// GET.
    pub(super) async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value, CliError> {
        self.ask(self.request(Method::GET, path, query), ANSWER_TIMEOUT).await
    }

    /// POST of JSON.
    pub(super) async fn post(&self, path: &[&str], body: &Value) -> Result<Value, CliError> {
        self.ask(self.request(Method::POST, path, &[]).json(body), ANSWER_TIMEOUT).await
    }

    /// POST of JSON, where the answer may take [`LONG_TIMEOUT`].
    pub(super) async fn post_long(&self, path: &[&str], body: &Value) -> Result<Value, CliError> {
        self.ask(self.request(Method::POST, path, &[]).json(body), LONG_TIMEOUT).await
    }

    /// PATCH of JSON.
    pub(super) async fn patch(&self, path: &[&str], body: &Value) -> Result<Value, CliError> {
        self.ask(self.request(Method::PATCH, path, &[]).json(body), ANSWER_TIMEOUT).await
    }

    /// DELETE.
    pub(super) async fn delete(&self, path: &[&str]) -> Result<(), CliError> {
        self.ask(self.request(Method::DELETE, path, &[]), ANSWER_TIMEOUT).await.map(drop)
    }

    /// Opens the stream of events.
    pub(super) async fn events(
        &self,
        query: &[(&str, &str)],
        after: Option<&str>,
    ) -> Result<Response, CliError> {
        let request = self.request(Method::GET, &["node", "v1", "events"], query);
        let mut request = request.header("accept", "text/event-stream");
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let answer = request.send().await.map_err(|cause| unreachable_at(&self.base, &cause))?;
        self.succeeded(answer).await
    }

    /// The next bytes of a stream of events; `None` at its end.
    pub(super) async fn next_chunk(&self, stream: &mut Response) -> Result<Option<Vec<u8>>, CliError> {
        match tokio::time::timeout(SILENCE_MAX, stream.chunk()).await {
            Ok(Ok(bytes)) => Ok(bytes.map(|bytes| bytes.to_vec())),
            Ok(Err(cause)) => Err(unreachable_at(&self.base, &cause)),
            Err(_) => Err(CliError::Unreachable {
                url: self.base.to_string(),
                cause: format!("silent for {} s", SILENCE_MAX.as_secs()),
            }),
        }
    }

    /// The id of the workspace meant: by id, by name, or the only one there is.
    pub(super) async fn workspace(&self, wanted: Option<&str>) -> Result<String, CliError> {
        if let Some(id) = wanted.filter(|wanted| wanted.parse::<WorkspaceId>().is_ok()) {
            return Ok(id.to_owned());
        }
        let answer = self.get(&["node", "v1", "workspaces"], &[]).await?;
        let all = items(&answer, "workspaces");
        let meant: Vec<&Value> =
            all.iter().filter(|found| wanted.is_none_or(|wanted| field(found, "name") == wanted)).collect();
        match (meant.as_slice(), wanted) {
            ([one], _) => Ok(field(one, "id")),
            ([], None) => Err(CliError::Workspace {
                what: "this node is in no workspace yet; found one, or join one with a ticket".to_owned(),
                command: "muster workspace create NAME".to_owned(),
            }),
            ([], Some(wanted)) => Err(CliError::Workspace {
                what: format!("this node is in no workspace `{wanted}`, only in {}", names(all)),
                command: "muster workspace list".to_owned(),
            }),
            (several, _) => Err(CliError::Workspace {
                what: format!(
                    "which workspace? name one with -w ID: there are {}",
                    names(several.iter().copied())
                ),
                command: "muster workspace list".to_owned(),
            }),
        }
    }

    fn request(&self, method: Method, path: &[&str], query: &[(&str, &str)]) -> RequestBuilder {
        let mut url = self.base.clone();
        // Each part is percent-encoded, so that an argument cannot lead to another endpoint.
        url.path_segments_mut().expect("http URLs have paths").clear().extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.http.request(method, url).bearer_auth(&self.token)
    }

    async fn ask(&self, request: RequestBuilder, timeout: Duration) -> Result<Value, CliError> {
        let answer =
            request.timeout(timeout).send().await.map_err(|cause| unreachable_at(&self.base, &cause))?;
        let answer = self.succeeded(answer).await?;
        let bytes = answer.bytes().await.map_err(|cause| unreachable_at(&self.base, &cause))?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|cause| self.strange(cause.to_string()))
    }

    async fn succeeded(&self, answer: Response) -> Result<Response, CliError> {
        let status = answer.status();
        if status.is_success() {
            Ok(answer)
        } else if status.is_client_error() || status.is_server_error() {
            let body = answer.bytes().await.unwrap_or_default();
            Err(CliError::Refused(Problem::read(status.as_u16(), &body)))
        } else {
            Err(self.strange(format!("status {status}")))
        }
    }

    /// The error for an answer no node gives.
    pub(super) fn strange(&self, why: String) -> CliError {
        CliError::Answer { url: self.base.to_string(), why }
    }
}

fn names<'a>(workspaces: impl IntoIterator<Item = &'a Value>) -> String {
    let names: Vec<String> = workspaces
        .into_iter()
        .map(|workspace| format!("{} ({})", field(workspace, "name"), field(workspace, "id")))
        .collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The innermost cause says it best: "Connection refused".
fn unreachable_at(base: &Url, cause: &reqwest::Error) -> CliError {
    let mut innermost: &dyn std::error::Error = cause;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    CliError::Unreachable { url: base.to_string(), cause: innermost.to_string() }
}
