//! Reading requests: path, query and JSON bodies, with faults that say which part is wrong.
//!
//! Axum's own extractors answer faults in plain text and in an order of their own. These answer in
//! the door's shape, and leave a body unread until the handler asks, because the contracts say what
//! is checked before it (N-79, N-134).

use std::sync::LazyLock;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{header::CONTENT_TYPE, request::Parts},
    response::Response,
};
use serde::de::DeserializeOwned;

use crate::{
    Door,
    guard::{Refused, limits},
};

/// The parameters of the path.
pub(crate) struct InPath<T>(pub(crate) T);

/// The parameters of the query.
pub(crate) struct InQuery<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for InPath<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let door = Door::of(parts.uri.path());
        let path = Path::from_request_parts(parts, state).await;
        path.map(|Path(path)| Self(path)).map_err(|_| door.refuse(&Refused::Path))
    }
}

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for InQuery<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let query = Query::try_from_uri(&parts.uri);
        query.map(|Query(query)| Self(query)).map_err(|_| Door::of(parts.uri.path()).refuse(&Refused::Query))
    }
}

/// Text of a parameter, trimmed; blank counts as absent (N-6).
pub(crate) fn given(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

/// A body of a request, received but not yet read.
pub(crate) struct JsonBody {
    bytes: Bytes,
    is_json: bool,
}

/// Why a body cannot be read. No text repeats what was sent: it may hold a credential (N-131).
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadBody {
    /// Another content type. Forms of foreign web pages come as one of these, too.
    #[error("the body has to be JSON; send it with `Content-Type: application/json`")]
    ContentType,
    /// No body at all.
    #[error("a JSON body is missing")]
    Missing,
    /// Not JSON.
    #[error("the body is not valid JSON: line {line}, column {column}")]
    Syntax { line: usize, column: usize },
    /// JSON of another shape; the sentence names the member.
    #[error("{0}")]
    Shape(String),
}

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Response;

    async fn from_request(request: Request, _: &S) -> Result<Self, Response> {
        let door = Door::of(request.uri().path());
        let is_json = is_json(&request);
        let bytes = limits::read_whole(request.into_body()).await.map_err(|refused| door.refuse(&refused))?;
        Ok(Self { bytes, is_json })
    }
}

fn is_json(request: &Request) -> bool {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

impl JsonBody {
    /// Reads the body.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, BadBody> {
        if self.bytes.trim_ascii().is_empty() {
            return Err(BadBody::Missing);
        }
        if !self.is_json {
            return Err(BadBody::ContentType);
        }
        if self.bytes.trim_ascii_start().starts_with(b"[") {
            // Serde would take a list for an object's members in their order.
            return Err(BadBody::Shape("the body has to be an object".to_owned()));
        }
        let mut json = serde_json::Deserializer::from_slice(&self.bytes);
        let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let path = error.path().to_string();
            fault(&path, error.inner())
        })?;
        json.end().map_err(|error| fault(".", &error))?;
        Ok(value)
    }

    /// Reads a body that may be left out: then it counts as `{}`.
    pub(crate) fn read_optional<T: DeserializeOwned>(&self) -> Result<T, BadBody> {
        static EMPTY: LazyLock<JsonBody> =
            LazyLock::new(|| JsonBody { bytes: Bytes::from_static(b"{}"), is_json: true });
        if self.bytes.trim_ascii().is_empty() { EMPTY.read() } else { self.read() }
    }
}

fn fault(path: &str, error: &serde_json::Error) -> BadBody {
    if !error.is_data() {
        return BadBody::Syntax { line: error.line(), column: error.column() };
    }
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    let place = if path == "." { "the body".to_owned() } else { format!("`{path}`") };
    if text.starts_with("missing field") || text.starts_with("duplicate field") {
        return BadBody::Shape(format!("{place}: {text}"));
    }
    match text.rsplit_once("expected ") {
        Some((_, wanted)) => BadBody::Shape(format!("{place} has to be {}", in_plain_words(wanted))),
        None => BadBody::Shape(format!("{place} does not have the right form")),
    }
}

/// What serde expected, for people who do not write Rust.
fn in_plain_words(wanted: &str) -> &str {
    match wanted {
        "u32" => "a whole number from 0 to 4294967295",
        "u64" => "a whole number, 0 or more",
        "i64" | "i32" => "a whole number",
        "a sequence" => "a list",
        "a map" => "an object",
        _ if wanted.starts_with("struct ") => "an object",
        _ => wanted,
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Wish {
        name: String,
        #[serde(default)]
        uses: u32,
        #[serde(default)]
        parts: Vec<Part>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Part {
        id: String,
    }

    fn read(json: &str) -> Result<Wish, String> {
        let body = JsonBody { bytes: Bytes::copy_from_slice(json.as_bytes()), is_json: true };
        body.read().map_err(|fault| fault.to_string())
    }

    #[test]
    fn a_fault_says_which_member_is_wrong() {
        assert_eq!(read("{}").unwrap_err(), "the body: missing field `name`");
        assert_eq!(read(r#"{"name":5}"#).unwrap_err(), "`name` has to be a string");
        assert_eq!(
            read(r#"{"name":"a","uses":-1}"#).unwrap_err(),
            "`uses` has to be a whole number from 0 to 4294967295"
        );
        assert_eq!(
            read(r#"{"name":"a","parts":[{"id":"x"},{}]}"#).unwrap_err(),
            "`parts[1]`: missing field `id`"
        );
        assert_eq!(read(r#"{"name":"a","parts":{}}"#).unwrap_err(), "`parts` has to be a list");
        assert_eq!(read(r#"["a",1,[]]"#).unwrap_err(), "the body has to be an object");
        assert_eq!(read("5").unwrap_err(), "the body has to be an object");
    }

    #[test]
    fn a_fault_never_repeats_what_was_sent() {
        let fault = read(r#"{"name":"a","uses":"Bearer s3cret, expected x"}"#).unwrap_err();
        assert!(!fault.contains("s3cret"), "{fault}");
    }

    #[test]
    fn what_is_not_json_is_told_by_its_place() {
        assert_eq!(read("{\n  nope").unwrap_err(), "the body is not valid JSON: line 2, column 3");
        assert_eq!(
            read(r#"{"name":"a"} more"#).unwrap_err(),
            "the body is not valid JSON: line 1, column 14"
        );
        assert_eq!(read(" ").unwrap_err(), "a JSON body is missing");
    }

    #[test]
    fn a_body_of_another_content_type_is_not_read() {
        let body = JsonBody { bytes: Bytes::from_static(b"{}"), is_json: false };
        assert_eq!(body.read::<Wish>(), Err(BadBody::ContentType));
    }

    #[test]
    fn blank_parameters_count_as_absent_n6() {
        assert_eq!(given(Some("  ")), None);
        assert_eq!(given(Some(" a ")), Some("a"));
    }
}
