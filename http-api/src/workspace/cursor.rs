//! Opaque cursors (W-39): where a page ended, as base64url of `{"v":1,"s":instant,"id":id}`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::errors::Failure;

#[derive(Serialize, Deserialize)]
struct Wire {
    v: u8,
    s: String,
    id: String,
}

/// The last item of a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// Its instant in Unix milliseconds.
    pub(super) at_ms: u64,
    pub(super) id: String,
}

impl Cursor {
    pub(super) fn encode(at_ms: u64, id: &str) -> String {
        let at = i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let wire = Wire { v: 1, s: at.unwrap_or(Timestamp::MAX).to_string(), id: id.to_owned() };
        let json = serde_json::to_vec(&wire).unwrap_or_default();
        data_encoding::BASE64URL_NOPAD.encode(&json)
    }

    pub(super) fn decode(text: &str) -> Result<Self, Failure> {
        let json = data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).ok();
        let wire: Option<Wire> = json.and_then(|json| serde_json::from_slice(&json).ok());
        let wire = wire.filter(|wire| wire.v == 1).ok_or_else(Failure::invalid_cursor)?;
        let at: Timestamp = wire.s.parse().map_err(|_| Failure::invalid_cursor())?;
        let at_ms = u64::try_from(at.as_millisecond()).map_err(|_| Failure::invalid_cursor())?;
        Ok(Self { at_ms, id: wire.id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_garbage_does_not_w39() {
        let text = Cursor::encode(1_800_000_000_123, "stream_x");
        let cursor = Cursor::decode(&text).unwrap();
        assert_eq!(cursor, Cursor { at_ms: 1_800_000_000_123, id: "stream_x".into() });
        for bad in ["", "!", "e30", &text[1..]] {
            assert!(Cursor::decode(bad).is_err(), "{bad}");
        }
    }
}
