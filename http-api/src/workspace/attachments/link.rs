//! Download links (W-108): who has one may fetch one file, for a while, and learns nothing else.
//!
//! A link carries which file, until when, and a MAC over both under a key of this node. So nothing is kept about links,
//! they work after a restart, and nobody makes one or lengthens the life of one.

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use muster_protocol::ids::WorkspaceId;
use sha2::Sha256;
use ulid::Ulid;

/// What is signed besides the content, so that a MAC made for anything else is no link.
const PURPOSE: &[u8] = b"muster/attachment-download/v1";
/// Workspace, attachment, end.
const CONTENT_BYTES: usize = 16 + 16 + 8;

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) workspace: WorkspaceId,
    pub(super) attachment: Ulid,
    /// Unix milliseconds from which on it no longer works.
    pub(super) expires_ms: u64,
}

impl Link {
    fn content(&self) -> [u8; CONTENT_BYTES] {
        let mut bytes = [0; CONTENT_BYTES];
        bytes[..16].copy_from_slice(&self.workspace.ulid().to_bytes());
        bytes[16..32].copy_from_slice(&self.attachment.to_bytes());
        bytes[32..].copy_from_slice(&self.expires_ms.to_be_bytes());
        bytes
    }

    /// The path of the link.
    pub(super) fn path(&self, key: &[u8; 32]) -> String {
        let content = self.content();
        let whole = [&content[..], &mac(key, &content).finalize().into_bytes()].concat();
        format!("/attachments/{}", BASE64URL_NOPAD.encode(&whole))
    }

    /// The link of a token, if this node made it; it may have expired.
    pub(super) fn read(key: &[u8; 32], token: &str) -> Option<Self> {
        let whole = BASE64URL_NOPAD.decode(token.as_bytes()).ok()?;
        let (content, tag) = whole.split_first_chunk::<CONTENT_BYTES>()?;
        mac(key, content).verify_slice(tag).ok()?; // in constant time
        let ulid = |bytes: &[u8]| bytes.try_into().ok().map(Ulid::from_bytes);
        let workspace = format!("ws_{}", ulid(&content[..16])?).parse().ok()?;
        let attachment = ulid(&content[16..32])?;
        let expires_ms = u64::from_be_bytes(content[32..].try_into().ok()?);
        Some(Self { workspace, attachment, expires_ms })
    }
}

fn mac(key: &[u8; 32], content: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(PURPOSE);
    mac.update(content);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_read_back_and_no_letter_of_it_can_be_changed_w108() {
        let link = Link {
            workspace: WorkspaceId::new(1_700_000_000_000, [1; 10]),
            attachment: Ulid::from_bytes([7; 16]),
            expires_ms: 1_700_000_900_000,
        };
        let (key, other) = ([1; 32], [2; 32]);
        let path = link.path(&key);
        let token = path.strip_prefix("/attachments/").unwrap();
        assert_eq!(Link::read(&key, token), Some(link));
        assert_eq!(Link::read(&other, token), None);
        for at in 0..token.len() {
            let mut forged = token.to_owned().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(Link::read(&key, std::str::from_utf8(&forged).unwrap()), None, "letter {at}");
        }
        for bad in ["", "A", &token[..token.len() - 4], &format!("{token}AAAA")] {
            assert_eq!(Link::read(&key, bad), None, "{bad}");
        }
    }
}
