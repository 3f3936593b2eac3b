//! Bytes of files between simulated nodes: a piece takes a way's latency, and none comes when the two are no longer
//! connected.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, Seek, SeekFrom},
    sync::{Arc, Mutex, PoisonError},
};

use futures::{StreamExt as _, stream};
use muster_actors::ports::{BlobBytes, BlobError, BlobSource};
use muster_protocol::{identity::NodeId, limits::BLOB_PIECE_BYTES};
use muster_storage::BlobId;

use super::{SimNetwork, rest};

/// A process by the number of its life, and where its bytes come from.
type Source = (u64, Arc<dyn BlobSource>);

/// Where each process's bytes come from.
#[derive(Default)]
pub(super) struct Sources {
    by_node: Mutex<BTreeMap<NodeId, Source>>,
}

impl Sources {
    pub(super) fn set(&self, node: NodeId, boot: u64, source: Arc<dyn BlobSource>) {
        self.by_node.lock().unwrap_or_else(PoisonError::into_inner).insert(node, (boot, source));
    }

    fn get(&self, node: NodeId) -> Option<Source> {
        self.by_node.lock().unwrap_or_else(PoisonError::into_inner).get(&node).cloned()
    }
}

pub(super) async fn fetch(
    network: SimNetwork,
    node: NodeId,
    blob: BlobId,
    from: u64,
) -> Result<BlobBytes, BlobError> {
    let way = way(&network, node).ok_or(BlobError::Unreachable)?;
    rest(way).await;
    let (boot, source) = network.shared.blobs.get(node).ok_or(BlobError::Absent)?;
    if network.shared.lock().host(node, boot).is_none() {
        return Err(BlobError::Lost);
    }
    let mut file = source.open(network.node, blob).ok_or(BlobError::Absent)?;
    let size = file.metadata().map_err(|_| BlobError::Absent)?.len();
    if from > size {
        return Err(BlobError::Absent);
    }
    file.seek(SeekFrom::Start(from)).map_err(|_| BlobError::Absent)?;
    let pieces = stream::try_unfold((network, file), move |(network, mut file)| async move {
        rest(way_of_piece(&network, node)?).await;
        let piece = read_piece(&mut file)?;
        Ok((!piece.is_empty()).then_some((piece, (network, file))))
    });
    Ok(BlobBytes { size, pieces: pieces.boxed() })
}

/// Milliseconds a piece takes; `None` when the two are not connected.
fn way(network: &SimNetwork, node: NodeId) -> Option<u64> {
    network.with(|mesh, _| {
        let open = mesh.is_connected(network.node, node) && mesh.paths.is_open_both_ways(network.node, node);
        open.then(|| mesh.paths.latency(node, network.node))
    })?
}

fn way_of_piece(network: &SimNetwork, node: NodeId) -> Result<u64, BlobError> {
    way(network, node).ok_or(BlobError::Lost)
}

fn read_piece(file: &mut File) -> Result<Vec<u8>, BlobError> {
    let mut piece = Vec::new();
    file.take(BLOB_PIECE_BYTES as u64).read_to_end(&mut piece).map_err(|_| BlobError::Lost)?;
    Ok(piece)
}
