//! Files of this node: giving their bytes to those who may have them, and reading what they contain.
//!
//! Reading a file follows its upload, and saying what it contains follows the first message that links to it. Both are
//! work that the store remembers (`uploads_open`), so a node that was killed in between goes on where it was.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use futures::future::{Either, select};
use muster_protocol::{attachment::ProcessingStatus, identity::NodeId, limits::UPLOAD_UNBOUND};
use muster_storage::{BlobId, Store, UploadRow};
use ulid::Ulid;

use crate::{
    blobs::SharedBlobs,
    context::Context,
    error::Unavailable,
    ports::{BlobAccess, Extracted},
};

/// How often uploads are looked through for those that nobody will link to any more.
const SWEEP: Duration = Duration::from_secs(3600);

/// Members of a space may have what messages there link to.
struct MemberAccess(Store);

impl BlobAccess for MemberAccess {
    fn may(&self, node: NodeId, blob: BlobId) -> bool {
        let may = self.0.view().and_then(|view| view.may_have(node, blob));
        may.unwrap_or_else(|error| {
            tracing::error!(%error, "reading the store failed");
            false
        })
    }
}

/// Lets other members fetch the bytes of files.
pub(crate) fn share(context: &Context) {
    let access = Arc::new(MemberAccess(context.store.clone()));
    context.ports.network.serve_blobs(Arc::new(SharedBlobs::new(context.store.clone(), access)));
}

/// Reads files as they are uploaded, until the node is gone or its store takes no more.
pub(crate) fn keep_reading(context: &Arc<Context>) -> impl Future<Output = ()> + Send + 'static {
    let (due, context) = (context.attachments_due.clone(), Arc::downgrade(context));
    async move {
        loop {
            let Some(sleep) = context.upgrade().map(|context| context.ports.clock.sleep(SWEEP)) else {
                return;
            };
            if look_through(&context).await.is_err() {
                return; // the node stops; what is open stays so
            }
            if let Either::Right(_) = select(Box::pin(due.notified()), sleep).await
                && sweep(&context).await.is_err()
            {
                return;
            }
        }
    }
}

async fn look_through(context: &Weak<Context>) -> Result<(), Unavailable> {
    let Some(context) = context.upgrade() else { return Ok(()) };
    let open = context.store.view()?.open_uploads()?;
    for (id, upload) in open {
        if !upload.status.is_final() {
            read(&context, id, &upload).await?;
        }
        // It may have been linked to meanwhile.
        let is_linked = context.store.view()?.upload(id)?.is_some_and(|upload| upload.is_linked);
        if is_linked {
            context.write(move |batch| batch.describe_upload(id)).await?;
        }
    }
    Ok(())
}

async fn read(context: &Context, id: Ulid, upload: &UploadRow) -> Result<(), Unavailable> {
    context.write(move |batch| batch.process_upload(id, ProcessingStatus::Processing, "")).await?;
    let file = context.store.blobs().read(BlobId(upload.file.sha256.0));
    let Extracted { status, extraction } = match file {
        Ok(Some(file)) => {
            let (name, mime_type) = (upload.file.filename.clone(), upload.file.mime_type.clone());
            context.ports.extract.extract(file, name, mime_type).await
        }
        _ => Extracted { status: ProcessingStatus::Failed, extraction: String::new() },
    };
    context.write(move |batch| batch.process_upload(id, status, &extraction)).await
}

async fn sweep(context: &Weak<Context>) -> Result<(), Unavailable> {
    let Some(context) = context.upgrade() else { return Ok(()) };
    let before_ms = context.wall_ms().saturating_sub(UPLOAD_UNBOUND.as_millis() as u64);
    for blob in context.write(move |batch| batch.forget_uploads(before_ms)).await? {
        if let Err(error) = context.store.blobs().remove(blob) {
            tracing::warn!(%blob, %error, "the bytes of a forgotten upload stay on the disk");
        }
    }
    Ok(())
}
