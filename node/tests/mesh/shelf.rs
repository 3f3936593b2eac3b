//! Files of the tests of the mesh: stores with blobs, and who gives them to whom.

use std::{
    fs::File,
    io::Write,
    sync::{Arc, Mutex},
};

use muster::system::SystemClock;
use muster_actors::{Fetcher, ports::BlobSource};
use muster_protocol::{
    identity::{Identity, NodeId},
    limits::BLOB_PIECE_BYTES,
};
use muster_storage::{BlobId, Disk, Options, Store};
use tempfile::TempDir;

use super::Node;

pub const MIB: usize = 1024 * 1024;

/// A store in a folder that goes with it.
pub fn store(seed: u8) -> (Store, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        cache_bytes: MIB,
        inbox_depth: 10,
        inline: true,
        fresh: [seed; 24],
        blobs: folder.path().join("blobs"),
    };
    let identity = Arc::new(Identity::from_seed([seed; 32]));
    (Store::open(Disk::File(folder.path().join("store.redb")), identity, &options).unwrap(), folder)
}

/// Bytes that do not repeat, and cost nothing to make.
pub fn pattern(length: usize) -> impl Iterator<Item = Vec<u8>> {
    (0..length / BLOB_PIECE_BYTES).map(|piece| {
        let mut bytes = vec![piece as u8; BLOB_PIECE_BYTES];
        bytes[..8].copy_from_slice(&piece.to_be_bytes());
        bytes
    })
}

pub fn keep(store: &Store, length: usize) -> BlobId {
    let mut blob = store.blobs().begin().unwrap();
    pattern(length).for_each(|piece| blob.write_all(&piece).unwrap());
    store.blobs().keep(blob).unwrap().0
}

/// Gives what its store has to one node, and remembers who asked.
pub struct Shelf {
    store: Store,
    to: NodeId,
    pub asked: Mutex<Vec<NodeId>>,
}

impl BlobSource for Shelf {
    fn open(&self, node: NodeId, blob: BlobId) -> Option<File> {
        self.asked.lock().unwrap().push(node);
        (node == self.to).then(|| self.store.blobs().read(blob).unwrap())?
    }
}

pub fn serve(node: &Node, store: &Store, to: &Node) -> Arc<Shelf> {
    let shelf = Arc::new(Shelf { store: store.clone(), to: to.node, asked: Mutex::default() });
    node.network.serve_blobs(shelf.clone());
    shelf
}

pub fn fetcher(node: &Node, store: &Store) -> Fetcher {
    Fetcher::new(store.clone(), node.network.clone(), Arc::new(SystemClock::new()))
}
