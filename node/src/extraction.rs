//! Reading attachments: text in this process, office files and PDFs in processes of this program (`muster extract`).

use std::{fs::File, sync::Arc};

use anyhow::Context as _;
use futures::future::BoxFuture;
use muster_actors::ports::{Extract, Extracted};
use muster_extract::{Extractor, Outcome};
use muster_protocol::attachment::ProcessingStatus;

/// See the module.
pub(crate) struct ChildExtraction {
    extractor: Arc<Extractor>,
}

impl ChildExtraction {
    /// Reads with the program of this process.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("the system does not say where this program is")?;
        Ok(Self { extractor: Arc::new(Extractor::new(program)) })
    }
}

impl Extract for ChildExtraction {
    fn extract(&self, file: File, name: String, mime_type: String) -> BoxFuture<'static, Extracted> {
        let extractor = self.extractor.clone();
        Box::pin(async move {
            let ended = |status| Extracted { status, extraction: String::new() };
            match extractor.extract(file, &name, &mime_type).await {
                Outcome::Completed(found) => match serde_json::to_string(&found) {
                    Ok(extraction) => Extracted { status: ProcessingStatus::Completed, extraction },
                    Err(_) => ended(ProcessingStatus::Failed),
                },
                Outcome::Skipped => ended(ProcessingStatus::Skipped),
                Outcome::Failed(why) => {
                    tracing::debug!(%why, "an attachment could not be read");
                    ended(ProcessingStatus::Failed)
                }
            }
        })
    }
}
