//! Files as the Workspace door shows them: found through the messages that link to them (W-102 to W-108).

use std::collections::BTreeSet;

use muster_protocol::{
    attachment::{AttachmentDescribed, ProcessingStatus},
    cbor,
    identity::NodeId,
    ids::{SpaceId, StreamId, is_owned_by},
    limits::BODY_BYTES_MAX,
    operation::{Kind, Operation},
    post::{AttachmentRef, PostEdited},
    principal::Principal,
};
use redb::ReadableTable;
use ulid::Ulid;

use super::{View, WorkspaceRow};
use crate::{
    BlobId, StoreError,
    listing::post_of,
    newest::newest,
    rows::{self, BindingRecord, UploadRecord},
    tables::{self, Subject},
};

/// A file uploaded at this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRow {
    /// The space of its workspace.
    pub space: SpaceId,
    /// Its description, as a post that links to it carries it.
    pub file: AttachmentRef,
    /// Who uploaded it, as text.
    pub uploader: String,
    /// How far reading it is.
    pub status: ProcessingStatus,
    /// When, Unix milliseconds.
    pub created_ms: u64,
    /// Whether something links to it.
    pub is_linked: bool,
}

/// A file that messages link to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachmentRow {
    /// Its ULID.
    pub id: Ulid,
    /// Its description.
    pub file: AttachmentRef,
    /// How far reading it is (W-103).
    pub status: ProcessingStatus,
    /// What was found in it, as its owner said it: a JSON object.
    pub extraction: Option<String>,
    /// The messages that link to it, the first one first; never empty.
    pub bindings: Vec<BindingRow>,
    /// When it was uploaded, Unix milliseconds.
    pub created_ms: u64,
    /// Nodes that may have its bytes, the likeliest first; this one not among them.
    pub holders: Vec<NodeId>,
}

/// A message that links to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindingRow {
    /// The space it rests in.
    pub space: SpaceId,
    /// Whose operation made the link.
    pub author: NodeId,
    /// The stream it is listed in.
    pub stream: StreamId,
    /// The stream that one hangs in, or itself: who can read this can read the file (W-102).
    pub root: StreamId,
    /// Its id.
    pub message: Ulid,
}

/// A link, with what stood beside it.
struct Link {
    binding: BindingRow,
    file: AttachmentRef,
    by_owner: bool,
}

impl View {
    /// A file uploaded at this node, whether a message links to it or not.
    pub fn upload(&self, id: Ulid) -> Result<Option<UploadRow>, StoreError> {
        let Some(record) = self.upload_record(id)? else { return Ok(None) };
        let range = tables::binding_range(self.number(record.space)?, id);
        let bindings = self.txn.open_table(tables::BINDINGS)?;
        let is_linked =
            bindings.range::<&[u8; 76]>(range.start()..=range.end())?.next().transpose()?.is_some();
        Ok(Some(UploadRow {
            space: record.space,
            file: AttachmentRef {
                id: cbor::Bytes16(id.to_bytes()),
                filename: record.filename,
                mime_type: record.mime_type,
                size: record.size,
                sha256: record.sha256,
                width: record.width,
                height: record.height,
            },
            uploader: record.uploader,
            status: status_of(&record.status),
            created_ms: record.created_ms,
            is_linked,
        }))
    }

    /// Files uploaded at this node of which something is left to do: to read them, to say what they contain, or to
    /// forget them.
    pub fn open_uploads(&self) -> Result<Vec<(Ulid, UploadRow)>, StoreError> {
        let mut found = Vec::new();
        for entry in self.txn.open_table(tables::UPLOADS_OPEN)?.iter()? {
            let id = Ulid::from_bytes(*entry?.0.value());
            found.extend(self.upload(id)?.map(|row| (id, row)));
        }
        Ok(found)
    }

    /// A file that messages link to that are there now; `None` before the first and after the last of them.
    pub fn attachment(
        &self,
        workspace: &WorkspaceRow,
        id: Ulid,
    ) -> Result<Option<AttachmentRow>, StoreError> {
        let mut links = self.links_to(workspace, id)?;
        let first = links.iter().position(|link| link.by_owner).unwrap_or(0);
        if links.is_empty() {
            return Ok(None);
        }
        let file = links.remove(first);
        let (file, first) = (file.file, file.binding);
        let bindings: Vec<_> =
            std::iter::once(first).chain(links.into_iter().map(|link| link.binding)).collect();
        let (status, extraction) = self.described(workspace, id)?;
        let holders = self.holders(id, &bindings);
        let created_ms = id.timestamp_ms();
        Ok(Some(AttachmentRow { id, file, status, extraction, bindings, created_ms, holders }))
    }

    /// How far reading a file is, as far as this node heard (W-103).
    pub fn attachment_status(
        &self,
        workspace: &WorkspaceRow,
        id: Ulid,
    ) -> Result<ProcessingStatus, StoreError> {
        Ok(self.described(workspace, id)?.0)
    }

    /// Files of a workspace that messages link to, the newest upload first, until `visit` returns false, or `looked_at_max`
    /// were looked at. Tells whether that limit left older ones unseen.
    pub fn attachments(
        &self,
        workspace: &WorkspaceRow,
        looked_at_max: usize,
        mut visit: impl FnMut(AttachmentRow) -> Result<bool, StoreError>,
    ) -> Result<bool, StoreError> {
        let number = self.number(workspace.space)?;
        let bindings = self.txn.open_table(tables::BINDINGS)?;
        let lowest = tables::binding_key(number, Ulid::nil(), &[0; 56]);
        let mut above = tables::binding_key(number, Ulid::from_bytes([0xff; 16]), &[0xff; 56]);
        let mut looked_at = 0;
        // From one attachment to the next older one, however many link to it.
        while let Some(entry) = bindings.range::<&[u8; 76]>(&lowest..&above)?.next_back() {
            if looked_at == looked_at_max {
                return Ok(true);
            }
            looked_at += 1;
            let id = tables::bound_attachment(entry?.0.value());
            if let Some(row) = self.attachment(workspace, id)?
                && !visit(row)?
            {
                return Ok(false);
            }
            above = tables::binding_key(number, id, &[0; 56]);
        }
        Ok(false)
    }

    /// The description of a file that somebody of this node may link to (W-104): one they uploaded themselves and that
    /// nothing links to yet, or one they can read.
    pub fn linkable(
        &self,
        workspace: &WorkspaceRow,
        id: Ulid,
        author: Principal,
    ) -> Result<Option<AttachmentRef>, StoreError> {
        if let Some(row) = self.attachment(workspace, id)? {
            return Ok(self.reads_attachment(workspace, &row, author)?.then_some(row.file));
        }
        let fresh = self.upload(id)?.filter(|upload| upload.space == workspace.space);
        Ok(fresh.filter(|upload| upload.uploader == author.to_string()).map(|upload| upload.file))
    }

    /// Whether somebody can read a file: a message that links to it (W-102).
    pub fn reads_attachment(
        &self,
        workspace: &WorkspaceRow,
        row: &AttachmentRow,
        reader: Principal,
    ) -> Result<bool, StoreError> {
        for binding in &row.bindings {
            if let Some(stream) = self.stream(workspace, binding.root)?
                && self.may_read(workspace, &stream, reader)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a node may have bytes: a message links to them in a space of which it is a member. What it says itself
    /// gives it nothing.
    pub fn may_have(&self, node: NodeId, blob: BlobId) -> Result<bool, StoreError> {
        let from = tables::blob_use_key(blob.0, 0, Ulid::nil());
        let to = tables::blob_use_key(blob.0, u32::MAX, Ulid::from_bytes([0xff; 16]));
        for entry in self.txn.open_table(tables::BLOB_USES)?.range::<&[u8; 52]>(&from..=&to)? {
            let (number, id) = tables::blob_user(entry?.0.value());
            let Some(space) = self.state.spaces.get(&number) else { continue };
            let Some(workspace) = self.workspaces()?.into_iter().find(|row| row.space == *space) else {
                continue;
            };
            let member = |space| self.control(space).is_some_and(|control| control.role(node).is_some());
            let links = self.links_to(&workspace, id)?;
            let fits = |link: &Link| link.file.sha256.0 == blob.0 && link.binding.author != node;
            if links.iter().any(|link| fits(link) && member(link.binding.space)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn upload_record(&self, id: Ulid) -> Result<Option<UploadRecord>, StoreError> {
        let uploads = self.txn.open_table(tables::UPLOADS)?;
        uploads.get(&id.to_bytes())?.map(|row| rows::read(row.value())).transpose()
    }

    /// The links to a file that count: those of messages that are there and have the link in their text now, made by
    /// the file's owner, or by a node that is in a space in which the owner made one. Where this node knows none of the
    /// owner's, it cannot judge, and believes all.
    fn links_to(&self, workspace: &WorkspaceRow, id: Ulid) -> Result<Vec<Link>, StoreError> {
        let range = tables::binding_range(self.number(workspace.space)?, id);
        let (mut links, mut owned_in) = (Vec::new(), BTreeSet::new());
        for entry in self.txn.open_table(tables::BINDINGS)?.range::<&[u8; 76]>(range.start()..=range.end())? {
            let record: BindingRecord = rows::read(entry?.1.value())?;
            let op = self.op(record.at)?;
            let Some(file) = linked_file(&op, id) else { continue };
            let (space, author) = (op.header().space, op.header().author);
            let by_owner = is_owned_by(id, author);
            if by_owner {
                owned_in.insert(space);
            }
            let message = Ulid::from_bytes(record.message.0);
            let Some(post) = self.post(workspace, message)? else { continue };
            let still = post.attachments.iter().any(|attachment| attachment.id.0 == id.to_bytes());
            let twice = links.iter().any(|link: &Link| link.binding.message == message);
            if still && !twice {
                let binding = BindingRow { space, author, stream: post.stream, root: post.root, message };
                links.push(Link { binding, file, by_owner });
            }
        }
        let knows =
            |node| owned_in.iter().any(|space| self.control(*space).is_some_and(|c| c.role(node).is_some()));
        links.retain(|link| owned_in.is_empty() || link.by_owner || knows(link.binding.author));
        Ok(links)
    }

    fn described(
        &self,
        workspace: &WorkspaceRow,
        id: Ulid,
    ) -> Result<(ProcessingStatus, Option<String>), StoreError> {
        let subject = Subject::Described(self.number(workspace.space)?, id);
        let (said, ops) = (self.txn.open_table(tables::NEWEST)?, self.txn.open_table(tables::OPS)?);
        let op = newest(&said, &ops, subject, |_| true)?;
        let described =
            op.and_then(|op| cbor::decode::<AttachmentDescribed>(op.body()?, BODY_BYTES_MAX).ok());
        if let Some(described) = described {
            let some = (!described.extraction.is_empty()).then_some(described.extraction);
            return Ok((status_of(&described.status), some));
        }
        let Some(record) = self.upload_record(id)? else { return Ok((ProcessingStatus::Pending, None)) };
        let some = (!record.extraction.is_empty()).then_some(record.extraction);
        Ok((status_of(&record.status), some))
    }

    /// Who may have the bytes: the owner, who links to them, and all members of the spaces they are linked in.
    fn holders(&self, id: Ulid, bindings: &[BindingRow]) -> Vec<NodeId> {
        let controls: Vec<_> = bindings.iter().filter_map(|binding| self.control(binding.space)).collect();
        let members = || controls.iter().flat_map(|control| control.members()).map(|(node, _, _)| node);
        let owner = members().find(|node| is_owned_by(id, *node));
        let authors = bindings.iter().map(|binding| binding.author);
        let mut holders: Vec<NodeId> = Vec::new();
        for node in owner.into_iter().chain(authors).chain(members()) {
            if node != self.node && !holders.contains(&node) {
                holders.push(node);
            }
        }
        holders
    }
}

fn status_of(name: &str) -> ProcessingStatus {
    ProcessingStatus::from_name(name).unwrap_or(ProcessingStatus::Pending)
}

/// The description of a file in an operation that links to it.
fn linked_file(op: &Operation, id: Ulid) -> Option<AttachmentRef> {
    let attachments = match op.header().kind {
        Kind::POST => post_of(op)?.attachments,
        _ => cbor::decode::<PostEdited>(op.body()?, BODY_BYTES_MAX).ok()?.attachments,
    };
    attachments.into_iter().find(|attachment| attachment.id.0 == id.to_bytes())
}
