//! The route behind a download link: a plain GET, without a key (W-108).
//!
//! Whatever a file says it is, no browser runs it: it comes as an attachment, is not sniffed, and would have neither
//! an origin nor scripts if somebody opened it all the same. The whole or one range of it is read as fast as the other
//! side takes it.

use std::{fs::File, io::SeekFrom};

use axum::{
    body::Body,
    extract::{Path, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{
            ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY,
            CONTENT_TYPE, ETAG, IF_RANGE, RANGE,
        },
    },
    response::{IntoResponse, Response},
};
use futures::stream;
use muster_protocol::{limits::BLOB_PIECE_BYTES, post::AttachmentRef};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::{
    link::Link,
    range::{Wanted, wanted},
};
use crate::{Doors, workspace::errors::Failure};

/// Where links lead.
pub(crate) const ROUTE: &str = "/attachments/{token}";

/// Answers with the bytes of a file.
pub(crate) async fn download(
    State(doors): State<Doors>,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let missing = || Failure::not_found("Attachment");
    let link = Link::read(&doors.node.link_key(), &token).ok_or_else(missing)?;
    if doors.node.now_ms() >= link.expires_ms {
        return Err(Failure::new(StatusCode::GONE, "NOT_FOUND", "This link has expired; ask for a new one"));
    }
    let row = {
        let view = doors.node.store().view()?;
        let workspace =
            view.workspaces()?.into_iter().find(|row| row.id == link.workspace).ok_or_else(missing)?;
        view.attachment(&workspace, link.attachment)?.ok_or_else(missing)?
    };
    let file = doors.node.attachment_bytes(&row).await?;
    serve(file, &row.file, &headers).await
}

async fn serve(file: File, of: &AttachmentRef, asked: &HeaderMap) -> Result<Response, Failure> {
    let text = |name| asked.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let tag = format!("\"{}\"", data_encoding::HEXLOWER.encode(&of.sha256.0));
    // Who has the beginning of something else gets the whole.
    let same = text(IF_RANGE).is_none_or(|had| had == tag);
    let wanted = wanted(text(RANGE).filter(|_| same), of.size);
    let (status, first, length) = match wanted {
        Wanted::Whole => (StatusCode::OK, 0, of.size),
        Wanted::Part(first, last) => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
        Wanted::Nothing => {
            let range = format!("bytes */{}", of.size);
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, [(CONTENT_RANGE, range)]).into_response());
        }
    };
    let mut response = (status, Body::from_stream(bytes(file, first, length).await?)).into_response();
    let headers = response.headers_mut();
    let octets = HeaderValue::from_static("application/octet-stream");
    headers.insert(CONTENT_TYPE, HeaderValue::from_str(&of.mime_type).unwrap_or(octets));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    let text_headers = [
        (ETAG, Some(tag)),
        (CONTENT_DISPOSITION, Some(disposition(&of.filename))),
        (
            CONTENT_RANGE,
            match wanted {
                Wanted::Part(first, last) => Some(format!("bytes {first}-{last}/{}", of.size)),
                _ => None,
            },
        ),
    ];
    for (name, text) in text_headers {
        if let Some(value) = text.and_then(|text| HeaderValue::from_str(&text).ok()) {
            headers.insert(name, value);
        }
    }
    Ok(response)
}

/// The bytes of a part of a file, read piece by piece.
async fn bytes(
    file: File,
    first: u64,
    length: u64,
) -> Result<impl futures::Stream<Item = std::io::Result<Vec<u8>>> + Send, Failure> {
    let unreadable = |error: std::io::Error| {
        tracing::error!(%error, "the bytes of an attachment cannot be read");
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", "Internal server error")
    };
    let mut file = tokio::fs::File::from_std(file);
    file.seek(SeekFrom::Start(first)).await.map_err(unreadable)?;
    Ok(stream::try_unfold((file, length), |(mut file, left)| async move {
        let mut piece = vec![0; BLOB_PIECE_BYTES.min(usize::try_from(left).unwrap_or(BLOB_PIECE_BYTES))];
        let read = if piece.is_empty() { 0 } else { file.read(&mut piece).await? };
        piece.truncate(read);
        Ok((read > 0).then_some((piece, (file, left - read as u64))))
    }))
}

/// A file to be kept under its name, in letters that every browser reads, and in those it has (RFC 6266).
fn disposition(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_graphic() && !"\"\\%".contains(c) || c == ' ' { c } else { '_' })
        .collect();
    let exact: String = name
        .bytes()
        .map(|byte| match byte {
            byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect();
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{exact}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_break_out_of_its_header() {
        assert_eq!(disposition("a b.txt"), "attachment; filename=\"a b.txt\"; filename*=UTF-8''a%20b.txt");
        let evil = disposition("\"; x=\u{e4}\r\n");
        assert_eq!(evil, "attachment; filename=\"_; x=___\"; filename*=UTF-8''%22%3B%20x%3D%C3%A4%0D%0A");
    }
}
