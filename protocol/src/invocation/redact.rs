//! Takes secrets out of what runtimes tell about their work (W-117, W-147).
//!
//! The Network door refuses a message that carries a secret (see [`crate::network::secrets`]); the trace of a runtime
//! is no message anybody could write again, so here the secret gives way to [`REDACTED`]. What a secret looks like is
//! the same, and more: keys of well-known services, and private keys.

use serde_json::Value;

use crate::network::secrets::{is_bearer_token, is_token_byte, names_a_secret};

/// What stands in place of a secret.
pub const REDACTED: &str = "[REDACTED]";

/// How keys of well-known services begin, and how many letters at least follow.
const PREFIXES: [(&str, usize); 22] = [
    ("threa_uk_", 16),
    ("threa_bk_", 16),
    ("ac_live_", 16),
    ("agh_claim_", 1),
    ("ghp_", 20),
    ("gho_", 20),
    ("ghu_", 20),
    ("ghs_", 20),
    ("ghr_", 20),
    ("github_pat_", 20),
    ("glpat-", 16),
    ("lin_api_", 16),
    ("sk-", 20),
    ("sk_live_", 16),
    ("sk_test_", 16),
    ("rk_live_", 16),
    ("xoxb-", 10),
    ("xoxp-", 10),
    ("AKIA", 16),
    ("AIza", 30),
    ("npm_", 30),
    ("eyJ", 30),
];

/// Words that may stand between `authorization:` and the secret.
const SCHEMES: [&str; 4] = ["basic", "bearer", "token", "digest"];

/// A text without the secrets in it.
pub fn redact(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(next) = text[at..].chars().next() {
        if let Some(secret) = secret_at(text, at) {
            clean.push_str(&text[at..secret.start]);
            clean.push_str(REDACTED);
            at = secret.end;
        } else {
            clean.push(next);
            at += next.len_utf8();
        }
    }
    clean
}

/// The content of a step: of a structured trace of a tool only headline and details, of any text all but secrets.
pub fn sanitise(content: &str) -> String {
    let Ok(Value::Object(members)) = serde_json::from_str(content) else { return redact(content) };
    let kept: serde_json::Map<_, _> = ["headline", "details"]
        .into_iter()
        .filter_map(|name| members.get(name).map(|value| (name.to_owned(), redact_value(value))))
        .collect();
    if kept.is_empty() { redact(content) } else { Value::Object(kept).to_string() }
}

fn redact_value(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(redact(text)),
        // Written as text first: in `{"password": "x"}` only name and value together are a secret.
        Value::Array(_) | Value::Object(_) => Value::String(redact(&value.to_string())),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// Where the secret is that begins at `at`, or whose name ends there.
fn secret_at(text: &str, at: usize) -> Option<std::ops::Range<usize>> {
    let bytes = text.as_bytes();
    match bytes[at] {
        b':' | b'=' if names_a_secret(bytes, at) => Some(value_after(text, at + 1)),
        b'b' | b'B' if is_bearer_token(text, at) => {
            let from = at + "bearer".len();
            let blanks = bytes[from..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            Some(token_from(bytes, from + blanks))
        }
        b'-' if text[at..].starts_with("-----BEGIN ") => private_key(text, at),
        first if first.is_ascii_alphanumeric() && begins_word(bytes, at) => {
            let known = PREFIXES.iter().find(|(prefix, fewest)| is_key(&bytes[at..], prefix, *fewest));
            known.map(|_| token_from(bytes, at))
        }
        _ => None,
    }
}

fn begins_word(bytes: &[u8], at: usize) -> bool {
    at == 0 || !(bytes[at - 1].is_ascii_alphanumeric() || matches!(bytes[at - 1], b'_' | b'-'))
}

fn is_key(bytes: &[u8], prefix: &str, fewest: usize) -> bool {
    let letters = |rest: &[u8]| {
        let letter = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        rest.iter().take(fewest).take_while(letter).count()
    };
    bytes.strip_prefix(prefix.as_bytes()).is_some_and(|rest| letters(rest) == fewest)
}

fn token_from(bytes: &[u8], from: usize) -> std::ops::Range<usize> {
    from..from + bytes[from..].iter().take_while(|byte| is_token_byte(**byte)).count()
}

/// The value behind a name: what stands in quotes, or one word, behind the name of a scheme.
fn value_after(text: &str, from: usize) -> std::ops::Range<usize> {
    let bytes = text.as_bytes();
    let mut start = from;
    while matches!(bytes.get(start), Some(b' ' | b'\t' | b'*' | b'\\')) {
        start += 1;
    }
    let quote = bytes.get(start).copied().filter(|byte| matches!(byte, b'"' | b'\'' | b'`'));
    if let Some(quote) = quote {
        start += 1;
        return start..end_where(bytes, start, |byte| byte == quote || byte == b'\n');
    }
    let ends =
        |byte: u8| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'`' | b',' | b';' | b'&');
    let mut end = end_where(bytes, start, ends);
    if SCHEMES.iter().any(|scheme| scheme.eq_ignore_ascii_case(&text[start..end])) {
        while matches!(bytes.get(end), Some(b' ' | b'\t')) {
            end += 1;
        }
        end = end_where(bytes, end, ends);
    }
    start..end
}

fn end_where(bytes: &[u8], from: usize, ends: impl Fn(u8) -> bool) -> usize {
    from + bytes[from..].iter().take_while(|byte| !ends(**byte)).count()
}

/// A private key in PEM, up to the end of its last line, or of the text.
fn private_key(text: &str, at: usize) -> Option<std::ops::Range<usize>> {
    let first = text[at..].lines().next()?;
    if !first.contains("PRIVATE KEY") {
        return None;
    }
    let end = text[at..].find("-----END ").map_or(text.len(), |end| {
        let end = at + end + "-----END ".len();
        text[end..].find("-----").map_or(text.len(), |last| end + last + "-----".len())
    });
    Some(at..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_give_way_and_the_rest_stays_w147() {
        for (text, clean) in [
            (
                "GET /v1 with Authorization: Bearer abc123.def456 failed",
                "GET /v1 with Authorization: [REDACTED] failed",
            ),
            ("password: hunter2, user: ada", "password: [REDACTED], user: ada"),
            ("{\"api_key\": \"a b c\", \"n\": 1}", "{\"api_key\": \"[REDACTED]\", \"n\": 1}"),
            ("?access_token=abc&page=2", "?access_token=[REDACTED]&page=2"),
            ("curl -H 'bearer abcdefgh12345678'", "curl -H 'bearer [REDACTED]'"),
            ("key ghp_abcdefghijklmnopqrstuvwxyz0123456789 used", "key [REDACTED] used"),
            ("threa_bk_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc.", "[REDACTED]"),
            ("AKIAIOSFODNN7EXAMPLE", "[REDACTED]"),
            (
                "a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nb",
                "a\n[REDACTED]\nb",
            ),
            ("-----BEGIN PRIVATE KEY-----\nMIIE", "[REDACTED]"),
        ] {
            assert_eq!(redact(text), clean, "{text}");
        }
    }

    #[test]
    fn what_is_no_secret_is_kept_byte_for_byte_w147() {
        for text in [
            "Zürich: 12 °C — the token: string parameter",
            "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
            "ask-me-anything-about-sk-",
            "bearer of good news",
            "",
        ] {
            assert_eq!(redact(text), text);
        }
    }

    #[test]
    fn of_a_structured_trace_headline_and_details_stay_w147() {
        let trace = r#"{"headline":"Ran curl","details":"password=hunter2","env":{"HOME":"/home/ada"}}"#;
        assert_eq!(sanitise(trace), r#"{"details":"password=[REDACTED]","headline":"Ran curl"}"#);
        assert_eq!(sanitise(r#"{"other": 1}"#), r#"{"other": 1}"#);
        assert_eq!(sanitise("plain"), "plain");
        let nested = sanitise(r#"{"details":{"password":"hunter2"}}"#);
        assert!(!nested.contains("hunter2"), "{nested}");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_taken_and_nothing_is_found_twice(text in "\\PC{0,200}") {
            let clean = redact(&text);
            proptest::prop_assert_eq!(redact(&clean), clean);
        }
    }
}
