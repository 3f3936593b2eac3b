//! Attachments: their ids, and what their owner says they contain (W-102 to W-105). How a text links to them stands in
//! [`crate::markdown`].
//!
//! A file's description travels in every post that links to it ([`crate::post::AttachmentRef`]). What it contains is
//! known later, when it was read: its owner, the node where it was uploaded, then says so in every space in which a
//! post links to it.

use serde_tuple::{Deserialize_tuple, Serialize_tuple};
use ulid::Ulid;

use crate::{cbor::Bytes16, ids::exact_ulid, limits::EXTRACT_JSON_BYTES_MAX};

/// What became of reading a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct AttachmentDescribed {
    /// Its ULID, of the author's node.
    pub id: Bytes16,
    /// [`ProcessingStatus::as_str`] of one that is final.
    pub status: String,
    /// What was found, as a JSON object; empty unless the status is completed.
    pub extraction: String,
}

impl AttachmentDescribed {
    /// Its id as a ULID.
    pub fn ulid(&self) -> Ulid {
        Ulid::from_bytes(self.id.0)
    }

    /// Whether all of it keeps the rules that need nothing else.
    pub fn is_well_formed(&self) -> bool {
        let is_object = || {
            let json = serde_json::from_str::<serde_json::Value>(&self.extraction);
            self.extraction.len() <= EXTRACT_JSON_BYTES_MAX && json.is_ok_and(|json| json.is_object())
        };
        match ProcessingStatus::from_name(&self.status) {
            Some(ProcessingStatus::Completed) => is_object(),
            Some(status) => status.is_final() && self.extraction.is_empty(),
            None => false,
        }
    }
}

/// How far reading a file is (W-103).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessingStatus {
    /// Nobody looked at it yet.
    Pending,
    /// It is being read.
    Processing,
    /// It was read.
    Completed,
    /// It could not be read.
    Failed,
    /// There is nothing to read in such a file.
    Skipped,
}

impl ProcessingStatus {
    /// Its name in the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }

    /// The status of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Pending, Self::Processing, Self::Completed, Self::Failed, Self::Skipped];
        all.into_iter().find(|status| status.as_str() == name)
    }

    /// Whether nothing more comes of it.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Processing)
    }
}

/// The id of an attachment as text: `attach_` and a ULID.
pub fn attachment_text(id: Ulid) -> String {
    format!("attach_{id}")
}

/// The ULID of an attachment's id; `None` for text that is none.
pub fn attachment_ulid(text: &str) -> Option<Ulid> {
    exact_ulid(text.strip_prefix("attach_")?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cbor;

    #[test]
    fn the_bytes_of_a_description_never_change() {
        let described = AttachmentDescribed {
            id: Bytes16([7; 16]),
            status: "completed".into(),
            extraction: r#"{"contentType":"document"}"#.into(),
        };
        insta::assert_snapshot!(data_encoding::HEXLOWER.encode(&cbor::encode(&described)));
        assert!(described.is_well_formed());
    }

    #[test]
    fn only_a_final_status_is_said_and_only_a_completed_one_with_content_w103() {
        let said = |status: &str, extraction: &str| {
            let (status, extraction) = (status.to_owned(), extraction.to_owned());
            AttachmentDescribed { id: Bytes16([7; 16]), status, extraction }.is_well_formed()
        };
        assert!(said("skipped", "") && said("failed", "") && said("completed", "{}"));
        for (status, extraction) in [
            ("pending", ""),
            ("processing", ""),
            ("completed", ""),
            ("completed", "[]"),
            ("skipped", "{}"),
            ("x", ""),
        ] {
            assert!(!said(status, extraction), "{status} {extraction}");
        }
        assert!(!said("completed", &format!("{{\"a\":\"{}\"}}", "x".repeat(EXTRACT_JSON_BYTES_MAX))));
    }

    #[test]
    fn an_id_is_read_as_it_is_written_and_not_otherwise_w8() {
        let id = Ulid::from_bytes([9; 16]);
        assert_eq!(attachment_ulid(&attachment_text(id)), Some(id));
        assert_eq!(attachment_ulid(&attachment_text(id).to_lowercase()), None);
    }
}
