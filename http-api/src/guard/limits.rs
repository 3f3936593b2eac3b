//! No request may be larger or take longer than its limit.

use axum::{
    body::{Body, Bytes},
    extract::Request,
    http::{Method, header::CONTENT_LENGTH},
    middleware::Next,
    response::Response,
};
use futures::StreamExt;
use muster_protocol::limits::{HTTP_BODY_BYTES_MAX, HTTP_BODY_DRAINED_MAX, HTTP_TIMEOUT};
use tokio::time::timeout;

use super::Refused;
use crate::Door;

/// Refuses a body that says it is too large before any of it is kept (one that does not say is refused
/// where it is read), and answers for a handler that takes too long. The body of an answer may take as
/// long as it likes: event streams never end.
///
/// What a slow handler started goes on (N-87); only the waiting ends.
pub(super) async fn bounded(request: Request, next: Next) -> Response {
    let door = Door::of(request.uri().path());
    let length =
        request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let is_upload = is_upload(&request);
    let takes_its_time = is_upload || takes_its_time(&request);
    let answer = async {
        if length.is_some_and(|length| length > HTTP_BODY_BYTES_MAX as u64) && !is_upload {
            // Read, so that whoever sends it hears the answer; what it was no longer matters.
            let _ = read_whole(request.into_body()).await;
            return door.refuse(&Refused::BodyTooLarge { max: HTTP_BODY_BYTES_MAX });
        }
        next.run(request).await
    };
    if takes_its_time {
        return answer.await;
    }
    timeout(HTTP_TIMEOUT, answer).await.unwrap_or_else(|_| door.refuse(&Refused::Timeout))
}

/// A backup takes as long as the store is large, and a file may have to come from another node first.
fn takes_its_time(request: &Request) -> bool {
    let path = request.uri().path();
    (request.method() == Method::POST && path == "/node/v1/backups") || path.starts_with("/attachments/")
}

/// A file that is uploaded has a limit of its own, counts its bytes where it is read, and may take long as long as
/// something comes.
fn is_upload(request: &Request) -> bool {
    let rest = request.uri().path().strip_prefix("/api/v1/workspaces/");
    let route = rest.and_then(|rest| rest.split_once('/')).map(|(_, route)| route);
    request.method() == Method::POST && route == Some("attachments")
}

/// The bytes of a body. Of one that is too large nothing is kept, and no more is read than
/// [`HTTP_BODY_DRAINED_MAX`].
pub(crate) async fn read_whole(body: Body) -> Result<Bytes, Refused> {
    let mut chunks = body.into_data_stream();
    let (mut bytes, mut length) = (Vec::new(), 0);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Refused::BodyBroken)?;
        length += chunk.len();
        if length <= HTTP_BODY_BYTES_MAX {
            bytes.extend_from_slice(&chunk);
        } else {
            bytes = Vec::new();
        }
        if length > HTTP_BODY_DRAINED_MAX {
            break;
        }
    }
    if length <= HTTP_BODY_BYTES_MAX {
        Ok(bytes.into())
    } else {
        Err(Refused::BodyTooLarge { max: HTTP_BODY_BYTES_MAX })
    }
}
