//! No secrets in transit (N-13).
//!
//! Two checks over body, proof and ext: members whose *name* says secret and which hold something, and *text* that
//! looks like a credential. Both walk what they are given once; no check looks further than a fixed number of bytes
//! to either side, so a hostile text costs no more than its length.
//!
//! AGH refuses harmless text such as `token: string` in a code snippet. Here the same pattern passes when what stands
//! behind the name is plainly no value: a word of a type (`HARMLESS_VALUES`), a placeholder, a call, or the name again.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// The names of N-13, lower case and without `_`, `-` and `.`.
const SECRET_NAMES: [&str; 15] = [
    "apikey",
    "accesstoken",
    "refreshtoken",
    "mcpauthtoken",
    "oauthcode",
    "authorizationcode",
    "codeverifier",
    "pkceverifier",
    "secretbinding",
    "clientsecret",
    "authorization",
    "password",
    "secret",
    "token",
    "claimtoken",
];

/// Longest name of [`SECRET_NAMES`], in bytes.
const LONGEST_NAME: usize = 17;
/// How far the text check looks back from a `:` or `=` for the name, in bytes: the longest name, one separator between
/// all its letters, and room for quotes and blanks.
const LOOK_BACK: usize = 2 * LONGEST_NAME + 8;
/// How far it looks ahead for the value, in bytes, and how much of the value it compares.
const LOOK_AHEAD: usize = 64;
/// Fewest characters behind the prefix of an access key of this node before it counts as one, not as a mention.
const KEY_LENGTH: usize = 16;
/// Fewest characters of a bearer token; shorter words are prose.
const BEARER_LENGTH: usize = 6;
/// From this length on a run of token characters is a token, whatever it is made of.
const LONG_TOKEN: usize = 20;

/// What may stand behind `token:` or `password=` without being a secret: words of type systems, of forms and of
/// redaction. Compared in lower case.
const HARMLESS_VALUES: [&str; 40] = [
    "string",
    "str",
    "text",
    "bytes",
    "varchar",
    "char",
    "uuid",
    "number",
    "int",
    "integer",
    "u32",
    "u64",
    "i64",
    "usize",
    "vec",
    "bool",
    "boolean",
    "object",
    "any",
    "null",
    "nil",
    "none",
    "undefined",
    "true",
    "false",
    "option",
    "optional",
    "required",
    "missing",
    "invalid",
    "expired",
    "empty",
    "redacted",
    "hidden",
    "xxx",
    "yes",
    "no",
    "secretstring",
    "self",
    "todo",
];

/// Where code takes a secret from instead of holding it.
const HARMLESS_SOURCES: [&str; 5] = ["process.env", "os.environ", "os.getenv", "env.", "std::env"];

/// What follows `bearer` in prose.
const BEARER_PROSE: [&str; 20] = [
    "token",
    "tokens",
    "auth",
    "authentication",
    "authorization",
    "authorisation",
    "scheme",
    "header",
    "headers",
    "credential",
    "credentials",
    "format",
    "realm",
    "prefix",
    "required",
    "missing",
    "invalid",
    "expired",
    "string",
    "challenge",
];

/// Something that looks like a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place} looks like {what}; a message must not carry secrets, so take it out")]
pub struct SecretFound {
    /// Where it is, for instance `body.artifacts[0].token`.
    pub place: String,
    /// What it looks like.
    pub what: SecretKind,
}

/// What a secret looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretKind {
    /// A member with the name of a secret and something in it.
    NamedMember,
    /// `name: value` or `name=value` in text; an authorization header is one.
    NamedText,
    /// `Bearer …` in text.
    BearerToken,
    /// `agh_claim_…` in text.
    ClaimToken,
    /// An access key of a Muster node in text. \[ours\]
    AccessKey,
}

impl std::fmt::Display for SecretKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NamedMember => "a secret by its name",
            Self::NamedText => "a credential written as `name: value` or `name=value`",
            Self::BearerToken => "a bearer token",
            Self::ClaimToken => "a claim token",
            Self::AccessKey => "an access key of a node",
        })
    }
}

/// Looks through one part of an envelope (`body`, `proof` or `ext`).
///
/// # Errors
/// [`SecretFound`] with the place of the first thing found.
pub fn check_members(part: &str, members: &Map<String, Value>) -> Result<(), SecretFound> {
    search_members(members).map_or(Ok(()), |found| Err(found.into_error(part)))
}

/// What a text looks like, if it looks like a credential.
pub fn check_text(text: &str) -> Option<SecretKind> {
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let found = match byte {
            b':' | b'=' => names_a_secret(bytes, at).then_some(SecretKind::NamedText),
            b'b' | b'B' => is_bearer_token(text, at).then_some(SecretKind::BearerToken),
            b'a' => {
                starts_prefixed(bytes, at, "agh_claim_", 1).then_some(SecretKind::ClaimToken).or_else(|| {
                    starts_prefixed(bytes, at, "ac_live_", KEY_LENGTH).then_some(SecretKind::AccessKey)
                })
            }
            b't' => ["threa_uk_", "threa_bk_"]
                .iter()
                .any(|prefix| starts_prefixed(bytes, at, prefix, KEY_LENGTH))
                .then_some(SecretKind::AccessKey),
            _ => None,
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

/// A find on its way up; the path is put together only then, from the inside out.
struct Found {
    what: SecretKind,
    path: Vec<String>,
}

impl Found {
    fn new(what: SecretKind) -> Self {
        Self { what, path: Vec::new() }
    }

    fn under(mut self, step: String) -> Self {
        self.path.push(step);
        self
    }

    fn into_error(self, part: &str) -> SecretFound {
        let mut place = part.to_owned();
        for step in self.path.iter().rev() {
            // Names are foreign text: show the head of a long one.
            let _ = write!(place, "{}", super::reading::cut(step, 40));
        }
        SecretFound { place: super::reading::cut(&place, 200), what: self.what }
    }
}

/// Recursion ends at the 128 levels that serde_json reads.
fn search(value: &Value) -> Option<Found> {
    match value {
        Value::String(text) => check_text(text).map(Found::new),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(index, item)| search(item).map(|found| found.under(format!("[{index}]")))),
        Value::Object(members) => search_members(members),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn search_members(members: &Map<String, Value>) -> Option<Found> {
    members.iter().find_map(|(name, value)| {
        let found = if holds_something(value) && is_secret_name(name.as_bytes()) {
            Some(Found::new(SecretKind::NamedMember))
        } else {
            search(value)
        };
        found.map(|found| found.under(format!(".{name}")))
    })
}

/// A yes or no is not a secret; neither is nothing.
fn holds_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) => false,
        Value::Number(_) => true,
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

/// Compares without `_`, `-`, `.` and case. No listed name contains "hash", so names such as `claim_token_hash` pass.
fn is_secret_name(name: &[u8]) -> bool {
    let mut plain = [0_u8; LONGEST_NAME];
    let mut length = 0;
    for byte in name.trim_ascii().iter().filter(|byte| !matches!(byte, b'_' | b'-' | b'.')) {
        if length == LONGEST_NAME {
            return false;
        }
        plain[length] = byte.to_ascii_lowercase();
        length += 1;
    }
    SECRET_NAMES.iter().any(|secret| secret.as_bytes() == &plain[..length])
}

/// `name: value` or `name=value`, with the `:` or `=` at `at`.
pub(crate) fn names_a_secret(bytes: &[u8], at: usize) -> bool {
    is_assignment(bytes, at)
        && secret_name_before(bytes, at).is_some_and(|name| has_value_after(bytes, at + 1, name))
}

/// False for `::`, `==`, `=>`, `!=`, `<=`, `>=`, which compare or point. `:=` assigns.
fn is_assignment(bytes: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).map(|before| bytes[before]);
    let after = bytes.get(at + 1).copied();
    match bytes[at] {
        b':' => before != Some(b':') && !matches!(after, Some(b':' | b'=')),
        _ => !matches!(before, Some(b'=' | b'!' | b'<' | b'>')) && !matches!(after, Some(b'=' | b'>')),
    }
}

/// The word in front of `at` when it is a secret's name, or the end of the word when it ends in one behind a `.` or `-`
/// (`db.password`, `x-api-key`). Quotes, stars and blanks may stand between.
fn secret_name_before(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let floor = at.saturating_sub(LOOK_BACK);
    let mut end = at;
    while end > floor && matches!(bytes[end - 1], b' ' | b'\t' | b'"' | b'\'' | b'`' | b'*' | b'\\' | b':') {
        end -= 1;
    }
    let mut start = end;
    while start > floor && is_name_byte(bytes[start - 1]) {
        start -= 1;
        let begins = start == 0 || !is_name_byte(bytes[start - 1]) || matches!(bytes[start - 1], b'.' | b'-');
        if begins && is_secret_name(&bytes[start..end]) {
            return Some(&bytes[start..end]);
        }
    }
    None
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// True when a value stands on the rest of the line: something that is not merely a type, a placeholder, or code that
/// fetches or passes on the secret called `name`.
fn has_value_after(bytes: &[u8], from: usize, name: &[u8]) -> bool {
    let ahead = &bytes[from..bytes.len().min(from + LOOK_AHEAD)];
    let skipped =
        ahead.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'"' | b'\'' | b'`' | b'*' | b'\\'));
    let value = &ahead[skipped.count()..];
    !(is_placeholder(value) || is_harmless_word(value, name) || is_code(value))
}

/// Nothing, the end of a list or block, or what stands in for a value in templates, shells and redacted text.
fn is_placeholder(value: &[u8]) -> bool {
    match (value.first(), value.get(1)) {
        (None, _) => true,
        (Some(b'\n' | b'\r' | b',' | b';' | b')' | b']' | b'}' | b'<' | b'{' | b'[' | b'(' | b'&'), _) => {
            true
        }
        (Some(b'.'), next) => matches!(next, None | Some(b'.')),
        (Some(b'$'), next) => matches!(next, Some(b'{' | b'(' | b'_' | b'A'..=b'Z')),
        (Some(b'%'), next) => matches!(next, Some(b'{' | b'(' | b's' | b'v')),
        _ => false,
    }
}

/// One whole word that is a type or form word, or the name itself again (`token = token`).
fn is_harmless_word(value: &[u8], name: &[u8]) -> bool {
    let end = value.iter().position(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')));
    let (word, rest) = value.split_at(end.unwrap_or(value.len()));
    let goes_on = matches!(
        rest.first(),
        Some(b'.' | b'/' | b'+' | b'=' | b'@' | b':' | b'!' | b'#' | b'$' | b'%' | b'~')
    ) && rest.get(1).is_some_and(|next| !next.is_ascii_whitespace());
    let known = HARMLESS_VALUES.iter().map(|known| known.as_bytes()).chain([name]);
    !goes_on && known.into_iter().any(|known| known.eq_ignore_ascii_case(word))
}

/// A call, or a place in the environment.
fn is_code(value: &[u8]) -> bool {
    let path = value
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b':'))
        .count();
    let is_call = path > 0 && value.get(path) == Some(&b'(');
    is_call || HARMLESS_SOURCES.iter().any(|source| value.starts_with(source.as_bytes()))
}

/// `Bearer`, white space and a token, with the `b` at `at`. "Bearer tokens" and "bearer of news" are prose.
pub(crate) fn is_bearer_token(text: &str, at: usize) -> bool {
    const WORD: &str = "bearer";
    let bytes = text.as_bytes();
    let starts_word = at == 0 || !bytes[at - 1].is_ascii_alphanumeric();
    let is_word =
        bytes.get(at..at + WORD.len()).is_some_and(|word| word.eq_ignore_ascii_case(WORD.as_bytes()));
    if !starts_word || !is_word {
        return false;
    }
    let rest = &bytes[at + WORD.len()..];
    let blanks = rest.iter().take(LOOK_AHEAD).take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    if blanks == 0 {
        return false;
    }
    let token = rest[blanks..].iter().take(LOOK_AHEAD).take_while(|byte| is_token_byte(**byte));
    let mut token: Vec<u8> = token.copied().collect();
    while token.last().is_some_and(|last| matches!(last, b'.' | b'-' | b'/')) {
        token.pop();
    }
    is_header_like(bytes[at], &token)
}

/// True when `token` is no word of prose: long, or with digits or inner signs, or behind a capital `Bearer`.
fn is_header_like(first: u8, token: &[u8]) -> bool {
    let word = token.split(|byte| *byte == b'=').next().unwrap_or_default();
    if token.len() < BEARER_LENGTH
        || BEARER_PROSE.iter().any(|prose| prose.as_bytes().eq_ignore_ascii_case(word))
    {
        return false;
    }
    let has_sign =
        token.iter().any(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'~' | b'+' | b'='));
    first == b'B' || has_sign || token.len() >= LONG_TOKEN
}

pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'+' | b'/' | b'=' | b'-')
}

/// `prefix` at `at`, followed by at least `fewest` letters, digits, `_` or `-`.
fn starts_prefixed(bytes: &[u8], at: usize, prefix: &str, fewest: usize) -> bool {
    let Some(rest) = bytes[at..].strip_prefix(prefix.as_bytes()) else {
        return false;
    };
    let token = rest
        .iter()
        .take(fewest)
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    token.count() == fewest
}
