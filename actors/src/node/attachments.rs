//! Files: taking them, linking to them, and getting their bytes.

use std::fs::File;

use muster_protocol::{
    attachment::attachment_ulid,
    ids::{WorkspaceId, hash, owned_ulid},
    limits::ATTACHMENTS_PER_POST_MAX,
    markdown::attachment_links,
    post::AttachmentRef,
    principal::Principal,
};
use muster_storage::{AttachmentRow, BlobId, NewBlob, NewUpload, UploadRow, WorkspaceRow};
use ulid::Ulid;

use super::Node;
use crate::{
    blobs::waiting_for_disk,
    error::{AttachmentError, BadLink, Unavailable},
};

/// Of a link that leads nowhere, so many characters are said: enough for every id.
const LINK_SHOWN_CHARS: usize = 40;

/// A file that was received whole.
pub struct NewFile {
    /// Its name, without folders.
    pub filename: String,
    /// Its type, as declared.
    pub mime_type: String,
    /// Its bytes.
    pub blob: NewBlob,
    /// Of an image, width and height in pixels.
    pub pixels: Option<(u32, u32)>,
    /// Who uploads it: a principal of this node.
    pub uploader: Principal,
}

impl Node {
    /// Takes a file into a workspace (W-99 to W-104). `Ok` means durable here; nobody sees it before a message links
    /// to it. It is read at once.
    pub async fn upload(
        &self,
        workspace: WorkspaceId,
        new: NewFile,
    ) -> Result<(Ulid, UploadRow), AttachmentError> {
        let space = self.context.space(workspace).ok_or(AttachmentError::UnknownWorkspace)?;
        if !new.uploader.is_of(self.id()) {
            return Err(AttachmentError::NotAllowed);
        }
        let node = self.clone();
        self.carry_out(async move {
            let kept = waiting_for_disk(|| node.store().blobs().keep(new.blob));
            let (blob, size) = kept.map_err(crate::FetchError::Disk)?;
            let id = owned_ulid(node.now_ms(), node.id(), node.context.random());
            let upload = NewUpload {
                id,
                filename: new.filename,
                mime_type: new.mime_type,
                size,
                blob,
                pixels: new.pixels,
                uploader: new.uploader,
            };
            if !node.write(move |batch| batch.add_upload(space, &upload)).await? {
                return Err(AttachmentError::NotAllowed);
            }
            node.context.attachments_due.notify_one();
            let row =
                node.store().view().map_err(Unavailable::from)?.upload(id).map_err(Unavailable::from)?;
            // The same bytes may just have been forgotten with another upload.
            let is_here = node.store().blobs().has(blob).unwrap_or(false);
            row.filter(|_| is_here).map(|row| (id, row)).ok_or(Unavailable::Storage.into())
        })
        .await
    }

    /// The bytes of a file: from here, or from a node that has them.
    pub async fn attachment_bytes(&self, attachment: &AttachmentRow) -> Result<File, AttachmentError> {
        let (blob, size) = (BlobId(attachment.file.sha256.0), attachment.file.size);
        Ok(self.context.fetcher.fetch(blob, size, &attachment.holders).await?)
    }

    /// The files that a text of an author of this node links to (W-104).
    pub fn linked_files(
        &self,
        workspace: &WorkspaceRow,
        author: Principal,
        text: &str,
    ) -> Result<Result<Vec<AttachmentRef>, BadLink>, Unavailable> {
        let (ids, mut files) = (attachment_links(text), Vec::new());
        if ids.len() > ATTACHMENTS_PER_POST_MAX {
            return Ok(Err(BadLink::TooMany));
        }
        let view = self.store().view()?;
        for id in ids {
            let known =
                attachment_ulid(&id).map(|ulid| view.linkable(workspace, ulid, author)).transpose()?;
            match known.flatten() {
                Some(file) => files.push(file),
                None => return Ok(Err(BadLink::Unknown(id.chars().take(LINK_SHOWN_CHARS).collect()))),
            }
        }
        Ok(Ok(files))
    }

    /// The key with which this node signs the links to its files. Another than that of its operations, which only
    /// signs those; the same after a restart.
    pub fn link_key(&self) -> [u8; 32] {
        hash("muster/attachment-link/v1", &[&self.context.identity.seed()])
    }
}
