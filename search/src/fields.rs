//! The fields of the index, its format, and what each commit says about itself.

use muster_protocol::{ids::StoreId, stream::StreamKind};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tantivy::{
    TantivyDocument,
    schema::{FAST, Field, INDEXED, IndexRecordOption, STORED, Schema, TextFieldIndexing, TextOptions},
    tokenizer::TokenizerManager,
};
use ulid::Ulid;

use crate::{Document, Item, Position, text};

/// Counts up whenever something here, in `text.rs` or in the engine's files changes: an index of another format is
/// emptied and fed anew.
const FORMAT: u32 = 2;

/// Names of the fields that are read by name.
pub(crate) const CREATED: &str = "created";
/// First half of an id.
pub(crate) const ID_HIGH: &str = "id_high";
/// Second half.
pub(crate) const ID_LOW: &str = "id_low";
/// What vectors are kept under.
pub(crate) const TEXT_HASH: &str = "text_hash";

/// The handles of all fields.
#[derive(Debug, Clone)]
pub(crate) struct Fields {
    pub(crate) schema: Schema,
    pub(crate) item: Field,
    /// What it is and its id: what is put again is told by this.
    pub(crate) key: Field,
    pub(crate) source: Field,
    pub(crate) id_high: Field,
    pub(crate) id_low: Field,
    pub(crate) workspace: Field,
    pub(crate) stream: Field,
    pub(crate) root: Field,
    pub(crate) kind: Field,
    pub(crate) author: Field,
    pub(crate) labels: Field,
    pub(crate) created: Field,
    pub(crate) text_hash: Field,
    /// The text itself, to be verified against and to learn from.
    pub(crate) text: Field,
    /// Its stems with their positions.
    pub(crate) words: Field,
    /// Its pieces of three letters.
    pub(crate) grams: Field,
}

impl Fields {
    pub(crate) fn new() -> Self {
        let mut schema = Schema::builder();
        let indexed = |tokenizer: &str, record, lengths| {
            let indexing = TextFieldIndexing::default().set_tokenizer(tokenizer);
            let indexing = indexing.set_index_option(record).set_fieldnorms(lengths);
            TextOptions::default().set_indexing_options(indexing)
        };
        let (positions, presence) = (IndexRecordOption::WithFreqsAndPositions, IndexRecordOption::Basic);
        Self {
            item: schema.add_u64_field("item", INDEXED),
            key: schema.add_bytes_field("key", INDEXED),
            source: schema.add_bytes_field("source", INDEXED),
            id_high: schema.add_u64_field(ID_HIGH, FAST),
            id_low: schema.add_u64_field(ID_LOW, FAST),
            workspace: schema.add_bytes_field("workspace", INDEXED),
            stream: schema.add_bytes_field("stream", INDEXED),
            root: schema.add_bytes_field("root", INDEXED),
            kind: schema.add_u64_field("kind", INDEXED),
            author: schema.add_bytes_field("author", INDEXED),
            labels: schema.add_bytes_field("labels", INDEXED),
            created: schema.add_u64_field(CREATED, FAST),
            text_hash: schema.add_u64_field(TEXT_HASH, FAST),
            text: schema.add_text_field("text", STORED),
            words: schema.add_text_field("words", indexed("words", positions, true)),
            grams: schema.add_text_field("grams", indexed("grams", presence, false)),
            schema: schema.build(),
        }
    }

    pub(crate) fn tokenizers() -> TokenizerManager {
        // The engine wants its own for fields that are no text.
        let tokenizers = TokenizerManager::default();
        tokenizers.register("words", text::stemmed());
        tokenizers.register("grams", text::Grams);
        tokenizers
    }

    pub(crate) fn document(&self, document: &Document) -> TantivyDocument {
        let mut fields = TantivyDocument::new();
        let (high, low) = halves(document.id);
        fields.add_u64(self.item, item_number(document.item));
        fields.add_bytes(self.key, &key(document.item, document.id));
        fields.add_bytes(self.source, &document.source.to_bytes());
        fields.add_u64(self.id_high, high);
        fields.add_u64(self.id_low, low);
        fields.add_bytes(self.workspace, &document.workspace.0.to_bytes());
        fields.add_bytes(self.stream, &document.stream.0);
        fields.add_bytes(self.root, &document.root.0);
        if let Some(kind) = document.kind {
            fields.add_u64(self.kind, kind_number(kind));
        }
        if let Some(author) = &document.author {
            fields.add_bytes(self.author, author.as_bytes());
        }
        for label in &document.labels {
            fields.add_bytes(self.labels, label.as_bytes());
        }
        fields.add_u64(self.created, document.created_ms);
        fields.add_u64(self.text_hash, text_hash(&document.text));
        for field in [self.text, self.words, self.grams] {
            fields.add_text(field, &document.text);
        }
        fields
    }
}

/// What a document is, as the index keeps it; these numbers stay.
pub(crate) fn item_number(item: Item) -> u64 {
    match item {
        Item::Message => 0,
        Item::Memo => 1,
    }
}

/// A message and a memo may have one id; they are two documents.
pub(crate) fn key(item: Item, id: Ulid) -> [u8; 17] {
    let mut key = [0; 17];
    key[0] = item_number(item) as u8;
    key[1..].copy_from_slice(&id.to_bytes());
    key
}

/// A kind of stream as the index keeps it; these numbers stay.
pub(crate) fn kind_number(kind: StreamKind) -> u64 {
    match kind {
        StreamKind::Scratchpad => 0,
        StreamKind::Channel => 1,
        StreamKind::Dm => 2,
        StreamKind::Thread => 3,
        StreamKind::System => 4,
    }
}

fn halves(id: Ulid) -> (u64, u64) {
    let id = u128::from(id);
    ((id >> 64) as u64, id as u64)
}

/// An id from its halves.
pub(crate) fn whole(high: u64, low: u64) -> Ulid {
    Ulid::from((u128::from(high) << 64) | u128::from(low))
}

/// What a text's vector is kept under. Whoever makes two texts of one hash gets one vector for both: a search by
/// meaning is misled about the text of the one who did it, and nothing else.
pub(crate) fn text_hash(text: &str) -> u64 {
    let hash = Sha256::digest(text.as_bytes());
    u64::from_be_bytes([hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7]])
}

/// What a commit says about itself.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Payload {
    format: u32,
    store: [u8; 16],
    event: u64,
}

impl Payload {
    pub(crate) fn new(store: StoreId, position: Position) -> Self {
        Self { format: FORMAT, store: store.0, event: position.0 }
    }

    /// Whether this program can go on with the index.
    pub(crate) fn is_current(&self) -> bool {
        self.format == FORMAT
    }

    pub(crate) fn is_of(&self, store: StoreId) -> bool {
        self.store == store.0
    }

    pub(crate) fn position(&self) -> Position {
        Position(self.event)
    }
}
