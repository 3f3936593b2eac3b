//! Vectors from a model that the operator put into a folder, made in this process.
//!
//! Only files are read: the library is built without anything that downloads.

use std::{fs, path::Path};

use model2vec_rs::model::StaticModel;
use sha2::{Digest, Sha256};

use super::{Embedder, Tier};
use crate::EmbedError;

/// The files of a model. All of them decide what vectors it gives.
const FILES: [&str; 3] = ["tokenizer.json", "model.safetensors", "config.json"];

/// A model of the Model2Vec kind: each word has its vector, and a text has the mean of its words.
pub struct ModelFolder {
    id: String,
    model: StaticModel,
}

impl ModelFolder {
    /// Reads the model in `folder`; tens of megabytes, which stay in memory.
    pub fn open(folder: &Path) -> Result<Self, EmbedError> {
        let fault = |cause: String| EmbedError::Model { folder: folder.to_owned(), cause };
        let read = |name| fs::read(folder.join(name)).map_err(|error| fault(format!("{name}: {error}")));
        let [tokenizer, weights, config] = [read(FILES[0])?, read(FILES[1])?, read(FILES[2])?];
        let hash = [&tokenizer, &weights, &config].map(|file| Sha256::digest(file)).concat();
        let hash: String = Sha256::digest(hash)[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let model = StaticModel::from_bytes(tokenizer, weights, config, None)
            .map_err(|error| fault(format!("{error:#}")))?;
        Ok(Self { id: format!("static {hash}"), model })
    }
}

impl Embedder for ModelFolder {
    fn id(&self) -> String {
        self.id.clone()
    }

    fn tier(&self) -> Tier {
        Tier::Static
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        Ok(self.model.encode(&texts))
    }
}
