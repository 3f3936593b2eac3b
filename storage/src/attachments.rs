//! Files: those uploaded at this node, the messages that link to them, and what they contain (W-99 to W-107).
//!
//! An upload is a record of this node alone until a message links to it. From then on everybody who has the message
//! knows the file: its description stands in the post, its bytes are fetched when somebody wants them, and what it
//! contains is said by this node, in every space in which a message links to it, once it was read.

use muster_protocol::{
    attachment::{AttachmentDescribed, ProcessingStatus},
    cbor::{self, Bytes16, Bytes32},
    control::{ControlState, Role},
    ids::{SpaceId, StreamId, is_owned_by},
    limits::BODY_BYTES_MAX,
    operation::{Draft, Kind, Operation},
    post::AttachmentRef,
    principal::Principal,
};
use redb::ReadableTable;
use ulid::Ulid;

use crate::{
    BlobId, StoreError,
    batch::Batch,
    rows::{self, At, BindingRecord, UploadRecord},
    tables::{self, Subject},
};

/// A file whose bytes this node has already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUpload {
    /// The ULID of its id; of this node ([`muster_protocol::ids::owned_ulid`]).
    pub id: Ulid,
    /// Its name, without folders.
    pub filename: String,
    /// Its type, as declared.
    pub mime_type: String,
    /// Bytes.
    pub size: u64,
    /// Its content.
    pub blob: BlobId,
    /// Of an image, width and height in pixels.
    pub pixels: Option<(u32, u32)>,
    /// Who uploads it.
    pub uploader: Principal,
}

impl Batch<'_> {
    /// Notes a file that was uploaded to a workspace. False when this node may not write there.
    pub fn add_upload(&mut self, workspace: SpaceId, new: &NewUpload) -> Result<bool, StoreError> {
        if !self.may_write(workspace) {
            return Ok(false);
        }
        let (width, height) = new.pixels.unwrap_or_default();
        let record = UploadRecord {
            space: workspace,
            filename: new.filename.clone(),
            mime_type: new.mime_type.clone(),
            size: new.size,
            sha256: Bytes32(new.blob.0),
            width,
            height,
            uploader: new.uploader.to_string(),
            status: ProcessingStatus::Pending.as_str().to_owned(),
            extraction: String::new(),
            created_ms: self.now_ms(),
            said: Vec::new(),
        };
        let number = self.space_number(workspace)?;
        self.put_upload(new.id, &record)?;
        self.uploads_open.insert(&new.id.to_bytes(), ())?;
        self.blob_uses.insert(&tables::blob_use_key(new.blob.0, number, new.id), ())?;
        Ok(true)
    }

    /// Notes how far reading a file is, and what was found in it, as JSON; empty for nothing.
    pub fn process_upload(
        &mut self,
        id: Ulid,
        status: ProcessingStatus,
        extraction: &str,
    ) -> Result<(), StoreError> {
        let Some(record) = self.upload(id)? else { return Ok(()) };
        let (status, extraction) = (status.as_str().to_owned(), extraction.to_owned());
        self.put_upload(id, &UploadRecord { status, extraction, ..record })
    }

    /// Says what a file of this node contains, in every space in which a message links to it and where it was not said
    /// yet. Nothing is said of one that was not read yet.
    pub fn describe_upload(&mut self, id: Ulid) -> Result<(), StoreError> {
        let Some(mut record) = self.upload(id)? else { return Ok(()) };
        let is_final = ProcessingStatus::from_name(&record.status).is_some_and(ProcessingStatus::is_final);
        let bound = self.binding_spaces(self.space_number(record.space)?, id)?;
        if !is_final || bound.is_empty() {
            return Ok(());
        }
        for number in bound {
            if record.said.contains(&number) {
                continue;
            }
            let space = self.memory.space_numbers.iter().find(|(_, known)| **known == number);
            let control = space.map(|(space, _)| *space).and_then(|space| self.control_state(space));
            let control = control.filter(|control| control.role(self.me()).is_some_and(Role::writes));
            let Some(control) = control else { continue };
            let described = AttachmentDescribed {
                id: Bytes16(id.to_bytes()),
                status: record.status.clone(),
                extraction: record.extraction.clone(),
            };
            let (kind, stream) = (Kind::ATTACHMENT_DESCRIBED, StreamId::SPACE);
            let (op, at) =
                self.append_own(&control, Draft { kind, stream, body: cbor::encode(&described) })?;
            self.apply_described(&control, &op, &described, at)?;
            record.said.push(number);
        }
        self.uploads_open.remove(&id.to_bytes())?;
        self.put_upload(id, &record)
    }

    /// Forgets uploads from before `before_ms` to which no message links. Answers with the bytes that nothing else has.
    pub fn forget_uploads(&mut self, before_ms: u64) -> Result<Vec<BlobId>, StoreError> {
        let mut open = Vec::new();
        for entry in self.uploads_open.iter()? {
            open.push(Ulid::from_bytes(*entry?.0.value()));
        }
        let mut unused = Vec::new();
        for id in open {
            let Some(record) = self.upload(id)?.filter(|record| record.created_ms < before_ms) else {
                continue;
            };
            let number = self.space_number(record.space)?;
            if !self.binding_spaces(number, id)?.is_empty() {
                continue;
            }
            self.uploads.remove(&id.to_bytes())?;
            self.uploads_open.remove(&id.to_bytes())?;
            self.blob_uses.remove(&tables::blob_use_key(record.sha256.0, number, id))?;
            if !self.is_used(record.sha256.0)? {
                unused.push(BlobId(record.sha256.0));
            }
        }
        Ok(unused)
    }

    fn is_used(&self, sha256: [u8; 32]) -> Result<bool, StoreError> {
        let from = tables::blob_use_key(sha256, 0, Ulid::nil());
        let to = tables::blob_use_key(sha256, u32::MAX, Ulid::from_bytes([0xff; 16]));
        Ok(self.blob_uses.range::<&[u8; 52]>(&from..=&to)?.next().transpose()?.is_some())
    }

    fn upload(&self, id: Ulid) -> Result<Option<UploadRecord>, StoreError> {
        self.uploads.get(&id.to_bytes())?.map(|row| rows::read(row.value())).transpose()
    }

    fn put_upload(&mut self, id: Ulid, record: &UploadRecord) -> Result<(), StoreError> {
        self.uploads.insert(&id.to_bytes(), rows::write(record).as_slice())?;
        Ok(())
    }

    /// Numbers of the spaces in which something links to an attachment.
    fn binding_spaces(&self, number: u32, id: Ulid) -> Result<Vec<u32>, StoreError> {
        let (range, mut spaces) = (tables::binding_range(number, id), Vec::new());
        for entry in self.bindings.range::<&[u8; 76]>(range.start()..=range.end())? {
            let space = rows::read::<BindingRecord>(entry?.1.value())?.space;
            if !spaces.contains(&space) {
                spaces.push(space);
            }
        }
        Ok(spaces)
    }

    /// Notes that an operation, which says or edits `message`, links to attachments (W-104).
    pub(crate) fn bind_attachments(
        &mut self,
        op: &Operation,
        message: Ulid,
        attachments: &[AttachmentRef],
        at: At,
    ) -> Result<(), StoreError> {
        let (space, rank) = (op.header().space, tables::rank(op.header()));
        let number = self.space_number(self.workspace_of(space))?;
        let record =
            BindingRecord { at, space: self.space_number(space)?, message: Bytes16(message.to_bytes()) };
        for attachment in attachments {
            let id = Ulid::from_bytes(attachment.id.0);
            self.bindings.insert(&tables::binding_key(number, id, &rank), rows::write(&record).as_slice())?;
            self.blob_uses.insert(&tables::blob_use_key(attachment.sha256.0, number, id), ())?;
            if is_owned_by(id, self.me()) && self.upload(id)?.is_some() {
                self.uploads_open.insert(&id.to_bytes(), ())?;
                self.changes.attachments = true;
            }
        }
        Ok(())
    }

    /// Takes back that an operation links to attachments: it does not count.
    pub(crate) fn unbind_attachments(
        &mut self,
        op: &Operation,
        attachments: &[AttachmentRef],
    ) -> Result<(), StoreError> {
        let rank = tables::rank(op.header());
        let number = self.space_number(self.workspace_of(op.header().space))?;
        for attachment in attachments {
            let id = Ulid::from_bytes(attachment.id.0);
            self.bindings.remove(&tables::binding_key(number, id, &rank))?;
            if self.binding_spaces(number, id)?.is_empty() && self.upload(id)?.is_none() {
                self.blob_uses.remove(&tables::blob_use_key(attachment.sha256.0, number, id))?;
            }
        }
        Ok(())
    }

    /// The effect of what the owner of a file says it contains.
    pub(crate) fn apply_described(
        &mut self,
        control: &ControlState,
        op: &Operation,
        described: &AttachmentDescribed,
        at: At,
    ) -> Result<(), StoreError> {
        let number = self.space_number(self.workspace_of(control.space()))?;
        self.say_about(Subject::Described(number, described.ulid()), op, at)
    }

    pub(crate) fn void_described(&mut self, op: &Operation) -> Result<(), StoreError> {
        let number = self.space_number(self.workspace_of(op.header().space))?;
        let described =
            op.body().and_then(|body| cbor::decode::<AttachmentDescribed>(body, BODY_BYTES_MAX).ok());
        match described {
            Some(described) => self.unsay_about(Subject::Described(number, described.ulid()), op).map(drop),
            None => Ok(()),
        }
    }
}
