//! Uploading (W-99 to W-101): one file part, taken to the disk as it comes, whatever its size.

use std::{io::Write, time::Duration};

use axum::{
    Json,
    extract::{
        FromRequest, Multipart, Request, State,
        multipart::{Field, MultipartError},
    },
    http::StatusCode,
};
use futures::StreamExt;
use muster_actors::{AttachmentError, NewFile, waiting_for_disk};
use muster_protocol::{
    attachment::attachment_text,
    key::Scope,
    limits::{
        ATTACHMENT_BYTES_MAX, EXTRACT_HEAD_BYTES, FILENAME_CHARS_MAX, HTTP_BODY_DRAINED_MAX,
        HTTP_STALL_TIMEOUT, MIME_TYPE_BYTES_MAX,
    },
};
use muster_storage::NewBlob;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::AttachmentUpload;
use crate::{
    Doors,
    input::InPath,
    workspace::{
        Data, WorkspacePath,
        auth::{Bearer, Kinds},
        errors::{Always, Failure, NotFound},
        moment::Moment,
    },
};

#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what is read")]
struct UploadRequest {
    /// The one file part. At most 104857600 bytes.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// A file part that came whole.
struct Received {
    filename: String,
    mime_type: String,
    blob: NewBlob,
    /// Its first bytes.
    head: Vec<u8>,
}

/// Upload one file
///
/// The file belongs to nobody's stream until a message links to it as `attachment:<id>`.
#[utoipa::path(
    post, path = "/api/v1/workspaces/{workspaceId}/attachments", operation_id = "uploadAttachment",
    tag = "Attachments", params(WorkspacePath),
    request_body(content = UploadRequest, content_type = "multipart/form-data"),
    responses((status = 201, description = "The stored file", body = Data<AttachmentUpload>), NotFound, Always)
)]
pub(in crate::workspace) async fn upload(
    State(doors): State<Doors>,
    key: Bearer,
    InPath(path): InPath<WorkspacePath>,
    request: Request,
) -> Result<(StatusCode, Json<Data<AttachmentUpload>>), Failure> {
    let entered = key
        .enter(&doors, &path.workspace_id, Some(Scope::AttachmentsWrite), Kinds::Both)
        .and_then(|caller| caller.acts().map(|()| (caller.workspace.id, caller.principal())));
    let (workspace, uploader) = match entered {
        Ok(entered) => entered,
        Err(failure) => {
            drain(request).await; // so that who sends it hears why
            return Err(failure);
        }
    };
    let place = timeout(HTTP_STALL_TIMEOUT, doors.uploads.acquire()).await;
    let busy = || {
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", "Too many uploads at once; try again")
    };
    let Ok(Ok(_place)) = place else { return Err(busy()) };
    let Received { filename, mime_type, blob, head } = receive(&doors, request).await?;
    let pixels = muster_extract::image_size(&head);
    let new = NewFile { filename, mime_type, blob, pixels, uploader };
    let (id, row) = doors.node.upload(workspace, new).await?;
    let upload = AttachmentUpload {
        id: attachment_text(id),
        filename: row.file.filename,
        mime_type: row.file.mime_type,
        size_bytes: row.file.size,
        processing_status: row.status.into(),
        created_at: Moment(id.timestamp_ms()),
    };
    Ok((StatusCode::CREATED, Json(Data { data: upload })))
}

/// Takes the one file part of a request.
async fn receive(doors: &Doors, request: Request) -> Result<Received, Failure> {
    // A body of any other type has no file part.
    let mut parts = Multipart::from_request(request, &()).await.map_err(|_| Failure::no_file())?;
    let mut received = None;
    let outcome = loop {
        let mut part = match in_time(parts.next_field()).await {
            Ok(Some(part)) => part,
            Ok(None) => break received.ok_or_else(Failure::no_file),
            Err(failure) => break Err(failure),
        };
        if part.file_name().is_none() {
            continue; // a field of a form, which says nothing here
        }
        if part.name() != Some("file") || received.is_some() {
            break Err(Failure::unexpected_file());
        }
        match take(doors, &mut part).await {
            Ok(taken) => received = Some(taken),
            Err(failure) => break Err(failure),
        }
    };
    if outcome.is_err() {
        drain_parts(parts).await;
    }
    outcome
}

/// Takes one part to the disk, counting its bytes as they come.
async fn take(doors: &Doors, part: &mut Field<'_>) -> Result<Received, Failure> {
    let filename = clean_filename(part.file_name().unwrap_or_default());
    let mime_type = clean_mime_type(part.content_type().unwrap_or_default());
    let mut blob = doors.node.store().blobs().begin().map_err(full)?;
    let mut head = Vec::new();
    while let Some(chunk) = in_time(part.chunk()).await? {
        if blob.bytes() + chunk.len() as u64 > ATTACHMENT_BYTES_MAX {
            return Err(Failure::file_too_large());
        }
        head.extend(chunk.iter().take(EXTRACT_HEAD_BYTES - head.len()));
        waiting_for_disk(|| blob.write_all(&chunk)).map_err(full)?;
    }
    Ok(Received { filename, mime_type, blob, head })
}

/// Waits for the next bytes of a body, but not for ever: who sends nothing holds a place.
async fn in_time<T>(next: impl Future<Output = Result<T, MultipartError>>) -> Result<T, Failure> {
    let broken = |why: String| Failure::invalid_whole(format!("The upload did not arrive whole: {why}"));
    match timeout(HTTP_STALL_TIMEOUT, next).await {
        Ok(Ok(came)) => Ok(came),
        Ok(Err(error)) => Err(broken(error.body_text())),
        Err(_) => Err(broken("nothing came for too long".to_owned())),
    }
}

/// How long a body that is not wanted is read.
const DRAIN: Duration = HTTP_STALL_TIMEOUT;

/// Reads and throws away the rest of a body that is not wanted, as far as that is reasonable.
async fn drain_parts(mut parts: Multipart) {
    let rest = async {
        let mut bytes = 0;
        while let Ok(Some(mut part)) = parts.next_field().await {
            while let Ok(Some(chunk)) = part.chunk().await {
                bytes += chunk.len();
                if bytes > HTTP_BODY_DRAINED_MAX {
                    return;
                }
            }
        }
    };
    // Who goes on sending for longer finds the connection closed.
    let _ = timeout(DRAIN, rest).await;
}

async fn drain(request: Request) {
    let mut chunks = request.into_body().into_data_stream();
    let rest = async {
        let mut bytes = 0;
        while let Some(Ok(chunk)) = chunks.next().await {
            bytes += chunk.len();
            if bytes > HTTP_BODY_DRAINED_MAX {
                return;
            }
        }
    };
    // As above.
    let _ = timeout(DRAIN, rest).await;
}

fn full(error: std::io::Error) -> Failure {
    tracing::error!(%error, "an upload could not be written");
    Failure::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", "This node's disk does not take the file")
}

impl From<AttachmentError> for Failure {
    fn from(error: AttachmentError) -> Self {
        match error {
            AttachmentError::Unavailable(error) => error.into(),
            AttachmentError::UnknownWorkspace => Self::forbidden("No access to this workspace"),
            AttachmentError::NotAllowed => Self::forbidden("This node may not take files there"),
            AttachmentError::Fetch(error) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", error.to_string())
            }
        }
    }
}

/// A file name without folders, and without letters that make it read as another one (W-100).
fn clean_filename(name: &str) -> String {
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let misleads =
        |c: &char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let shown = name.chars().filter(|c| !c.is_control() && !misleads(c)).collect::<String>();
    let name: String = shown.trim().chars().take(FILENAME_CHARS_MAX).collect();
    if name.is_empty() || name.chars().all(|c| c == '.') { "file".to_owned() } else { name }
}

/// The declared type, if it is one; what it is called is never how it is served to be run.
fn clean_mime_type(declared: &str) -> String {
    let is_token = |text: &str| {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b);
        !text.is_empty() && text.bytes().all(fits)
    };
    let essence = declared.split(';').next().unwrap_or_default().trim();
    let halves = essence.split_once('/');
    let printable = declared.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let fits = halves.is_some_and(|(kind, of)| is_token(kind) && is_token(of));
    if fits && printable && declared.len() <= MIME_TYPE_BYTES_MAX {
        declared.trim().to_owned()
    } else {
        "application/octet-stream".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_no_folders_and_no_tricks_w100() {
        for (given, kept) in [
            ("report.pdf", "report.pdf"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Users\\ada\\plan.docx", "plan.docx"),
            ("a\0b\r\n.txt", "ab.txt"),
            ("photo\u{202e}gpj.exe", "photogpj.exe"),
            ("  spaced.txt ", "spaced.txt"),
            ("Grüße.txt", "Grüße.txt"),
            ("", "file"),
            ("..", "file"),
            ("folder/", "file"),
            (".bashrc", ".bashrc"),
        ] {
            assert_eq!(clean_filename(given), kept, "{given:?}");
        }
        assert_eq!(clean_filename(&"ä".repeat(1000)).chars().count(), FILENAME_CHARS_MAX);
    }

    #[test]
    fn a_type_that_is_none_is_not_kept_w100() {
        assert_eq!(clean_mime_type("text/plain; charset=utf-8"), "text/plain; charset=utf-8");
        assert_eq!(clean_mime_type("image/svg+xml"), "image/svg+xml");
        for bad in ["", "text", "text/", "a b/c", "text/html\r\nX-Evil: 1", "tëxt/plain"] {
            assert_eq!(clean_mime_type(bad), "application/octet-stream", "{bad:?}");
        }
    }
}
