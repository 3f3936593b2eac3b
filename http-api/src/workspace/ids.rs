//! Ids as this door writes them (W-8): a prefix, an underscore and a ULID in upper case. What is written otherwise is
//! an id that does not exist.

use muster_protocol::ids::{StreamId, exact_ulid};
use ulid::Ulid;

fn prefixed(text: &str, prefix: &str) -> Option<Ulid> {
    exact_ulid(text.strip_prefix(prefix)?)
}

pub(super) fn stream(text: &str) -> Option<StreamId> {
    prefixed(text, "stream_").map(|id| StreamId(id.to_bytes()))
}

pub(super) fn message(text: &str) -> Option<Ulid> {
    prefixed(text, "msg_")
}

pub(super) fn memo(text: &str) -> Option<Ulid> {
    prefixed(text, "memo_")
}

pub(super) fn memo_text(id: Ulid) -> String {
    format!("memo_{id}")
}

pub(super) fn message_text(id: Ulid) -> String {
    format!("msg_{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written_and_not_otherwise_w8() {
        let text = "stream_01J9ZK3V5T8Q2M4N6P7R8S9TAB";
        assert_eq!(stream(text).map(muster_storage::stream_text).as_deref(), Some(text));
        for bad in
            ["stream_01j9zk3v5t8q2m4n6p7r8s9tab", "msg_01J9ZK3V5T8Q2M4N6P7R8S9TAB", "stream_", "stream", ""]
        {
            assert_eq!(stream(bad), None, "{bad}");
        }
        assert_eq!(message(&message_text(Ulid::nil())), Some(Ulid::nil()));
    }
}
