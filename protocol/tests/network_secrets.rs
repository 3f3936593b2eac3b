//! No secrets in transit (N-13): what is refused, what passes, and what it costs.

#![expect(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

use muster_protocol::network::SecretKind;
use muster_protocol::network::secrets::{check_members, check_text};
use proptest::prelude::*;
use serde_json::{Value, json};

fn finds(body: Value) -> Option<String> {
    check_members("body", body.as_object().unwrap()).err().map(|found| found.place)
}

#[test]
fn a_member_named_like_a_secret_is_refused_wherever_it_stands() {
    let names = [
        "token",
        "api_key",
        "Api-Key",
        "ACCESS.TOKEN",
        "mcp_auth_token",
        "clientSecret",
        "claim_token",
        "password",
    ];
    for name in names {
        assert_eq!(finds(json!({name: "x"})), Some(format!("body.{name}")));
    }
    assert_eq!(finds(json!({"a": [{"b": {"secret": [1]}}]})).unwrap(), "body.a[0].b.secret");
    assert_eq!(finds(json!({"secret": 12345})).unwrap(), "body.secret");
}

#[test]
fn an_empty_secret_and_a_hash_of_one_pass() {
    for body in [
        json!({"token": ""}),
        json!({"token": " "}),
        json!({"token": null}),
        json!({"password": [], "secret": {}}),
        json!({"token": false}),
        json!({"claim_token_hash": "abc"}),
        json!({"token_count": 3, "tokens": "many", "secretary": "Ada"}),
    ] {
        assert_eq!(finds(body.clone()), None, "{body}");
    }
}

#[test]
fn text_that_looks_like_a_credential_is_refused() {
    for (text, kind) in [
        ("password: hunter2", SecretKind::NamedText),
        ("use token=abc123 please", SecretKind::NamedText),
        ("https://x.example/?access_token=abc", SecretKind::NamedText),
        ("export api_key = 'sk-123'", SecretKind::NamedText),
        (r#"{"client_secret": "abc"}"#, SecretKind::NamedText),
        (r#"{\"token\":\"abc\"}"#, SecretKind::NamedText),
        ("**Password**: hunter2", SecretKind::NamedText),
        ("db.password=hunter2", SecretKind::NamedText),
        ("X-Api-Key: abc", SecretKind::NamedText),
        ("token := \"abc\"", SecretKind::NamedText),
        ("password: $ecret1", SecretKind::NamedText),
        ("token: string.with.more", SecretKind::NamedText),
        ("Authorization: Basic dXNlcjpwYXNz", SecretKind::NamedText),
        ("authorization: Bearer abc", SecretKind::NamedText),
        ("curl -H 'Bearer abcdef123'", SecretKind::BearerToken),
        ("bearer eyJhbGciOi.J9.sig", SecretKind::BearerToken),
        ("Bearer secret-value", SecretKind::BearerToken),
        ("take agh_claim_9f8e", SecretKind::ClaimToken),
        ("key threa_bk_0123456789abcdef", SecretKind::AccessKey),
        ("key ac_live_0123456789abcdef", SecretKind::AccessKey),
    ] {
        assert_eq!(check_text(text), Some(kind), "{text}");
    }
}

#[test]
fn talk_about_credentials_passes() {
    for text in [
        "fn login(token: string, password: &str, secret: Option<String>)",
        "interface Auth { token: string; password?: string }",
        "token: ${TOKEN}, password=$PASSWORD, secret = <your secret>",
        "token = get_token()",
        "client = Client(token=token)",
        "const token = process.env.TOKEN",
        "password: [redacted], token: ...",
        "Authorization: required",
        "I rotated the token:\nNext, the database.",
        "token::refresh() == token && password != other",
        "match token => x",
        "Send a bearer token in the Authorization header.",
        "Bearer tokens expire. The bearer of this note is Ada.",
        "WWW-Authenticate: Bearer realm=\"x\"",
        "Bearer <token>",
        "max_tokens: 500, page_token=abc, tokenizer: bpe",
        "claim_token_hash: 9f8e",
        "agh_claim_* tokens are refused, threa_uk_ is a prefix",
        "Das Geheimnis: é",
    ] {
        assert_eq!(check_text(text), None, "{text}");
    }
}

#[test]
fn a_find_says_where_without_repeating_the_secret_or_a_long_name() {
    let body = json!({"k".repeat(10_000): {"token": "s3cr3t"}});
    let found = check_members("ext", body.as_object().unwrap()).unwrap_err();
    assert!(found.to_string().len() < 500);
    assert!(!found.to_string().contains("s3cr3t"));
}

#[test]
fn hostile_text_costs_no_more_than_its_length() {
    // A quadratic check would need 10^12 steps for each of these; the test would not end.
    for unit in
        ["token", "token:", ":", "=", "-.", "token: \t", "bearer ", "Bearer a", "agh_claim_", "\\\"", "b"]
    {
        let text = unit.repeat(1_048_576 / unit.len());
        let _ = check_text(&text);
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_check_panic(text in "\\PC*|[token:= \"'Bbearer$é]*") {
        let _ = check_text(&text);
    }

    #[test]
    fn a_secret_is_found_wherever_it_stands_in_plain_words(before in "[a-z ]{0,60}", after in "[a-z ]{0,60}") {
        let text = format!("{before} password: hunter2{after}");
        prop_assert!(check_text(&text).is_some());
    }
}
