//! Bytes of files between nodes.
//!
//! One stream for one blob, beside the link, so that a large file holds up no message. On the wire the asking node
//! writes the blob's SHA-256 and a big-endian `u64`: from which byte on. The other answers [`HERE`], a big-endian
//! `u64` with the size of the whole blob, and the bytes from there on to its end; or it closes the stream, which says
//! nothing about why. Nothing is read further ahead than one piece: who reads slowly slows the other down.

use std::{
    collections::BTreeMap,
    io::{self, SeekFrom},
    sync::Arc,
};

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, StreamExt as _, stream};
use libp2p::{PeerId, Stream, StreamProtocol, swarm::ConnectionId};
use muster_actors::ports::{BlobBytes, BlobError, BlobSource};
use muster_protocol::{
    identity::NodeId,
    limits::{
        ATTACHMENT_BYTES_MAX, BLOB_PIECE_BYTES, BLOB_PIECE_TIMEOUT, BLOB_SERVES_MAX,
        BLOB_SERVES_PER_NODE_MAX, BLOB_TIMEOUT,
    },
};
use muster_storage::BlobId;
use tokio::{
    io::{AsyncReadExt as _, AsyncSeekExt as _},
    sync::oneshot,
    task::JoinSet,
    time::timeout,
};

use super::{
    driver::Driver,
    links::{self, Happened},
};

/// The protocol of bytes of files.
pub const BLOB_PROTOCOL: StreamProtocol = StreamProtocol::new("/muster/blob/1");

/// What comes before the size.
const HERE: u8 = 1;

/// Where a stream goes that was asked for.
type Reply = oneshot::Sender<Result<Stream, BlobError>>;

/// Streams that are being opened, and blobs that are being served.
#[derive(Default)]
pub(super) struct Blobs {
    next: u64,
    opening: BTreeMap<u64, (ConnectionId, Reply)>,
    serving: JoinSet<PeerId>,
    served: BTreeMap<PeerId, usize>,
}

impl Blobs {
    /// Waits for the end of one blob that is served; for ever when none is.
    pub(super) async fn served(&mut self) {
        match self.serving.join_next().await {
            Some(Ok(peer)) => self.leave(peer),
            Some(Err(error)) => {
                // A bug of ours; who it was for is not known, so everybody may begin anew.
                tracing::error!(%error, "a task that serves bytes failed");
                self.served.clear();
            }
            None => std::future::pending().await,
        }
    }

    fn leave(&mut self, peer: PeerId) {
        if let Some(count) = self.served.get_mut(&peer) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.served.remove(&peer);
            }
        }
    }

    fn has_room(&self, peer: PeerId) -> bool {
        let of_peer = self.served.get(&peer).copied().unwrap_or(0);
        self.serving.len() < BLOB_SERVES_MAX && of_peer < BLOB_SERVES_PER_NODE_MAX
    }

    /// A connection is gone, and with it what was being opened on it; who waits hears that nobody is there.
    pub(super) fn disconnected(&mut self, connection: ConnectionId) {
        self.opening.retain(|_, (on, _)| *on != connection);
    }

    /// Forgets streams nobody waits for.
    pub(super) fn forget_abandoned(&mut self) {
        self.opening.retain(|_, (_, reply)| !reply.is_closed());
    }
}

impl Driver {
    /// Opens a stream to a friend.
    pub(super) fn open_blob(&mut self, node: NodeId, reply: Reply) {
        let peer = node.peer_id();
        let best = self.peers.get(&peer).and_then(|entry| entry.best_connection());
        match best.filter(|_| self.swarm.behaviour().admission.is_friend(&peer)) {
            Some(connection) => {
                let number = self.blobs.next;
                self.blobs.next += 1;
                self.blobs.opening.insert(number, (connection, reply));
                self.swarm.behaviour_mut().blobs.open(peer, connection, number);
            }
            None => {
                let _ = reply.send(Err(BlobError::Unreachable)); // who asked may have given up
            }
        }
    }

    /// Something happened to a stream for bytes.
    pub(super) fn on_blob_stream(&mut self, event: links::Event) {
        let peer = event.peer;
        let friend = self.swarm.behaviour().admission.is_friend(&peer);
        match event.what {
            Happened::Opened(number, stream) => self.opened_blob(number, Ok(stream)),
            Happened::Failed(number) => self.opened_blob(number, Err(BlobError::Absent)),
            Happened::Came(stream) if friend && self.blobs.has_room(peer) => {
                let (Some(source), Ok(node)) = (self.shared.blob_source(), NodeId::from_peer_id(&peer))
                else {
                    return;
                };
                *self.blobs.served.entry(peer).or_default() += 1;
                self.blobs.serving.spawn(async move {
                    if let Ok(Err(error)) = timeout(BLOB_TIMEOUT, serve(stream, node, source)).await {
                        tracing::debug!(%peer, %error, "bytes were not served to the end");
                    }
                    peer
                });
            }
            Happened::Came(_) => {} // dropped, which refuses it
        }
    }

    fn opened_blob(&mut self, number: u64, stream: Result<Stream, BlobError>) {
        if let Some((_, reply)) = self.blobs.opening.remove(&number) {
            let _ = reply.send(stream); // who asked may have given up
        }
    }
}

/// Asks for a blob on an open stream.
pub(super) async fn ask(
    mut stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    blob: BlobId,
    from: u64,
) -> Result<BlobBytes, BlobError> {
    let asked = timeout(BLOB_PIECE_TIMEOUT, async {
        stream.write_all(&[&blob.0[..], &from.to_be_bytes()].concat()).await?;
        stream.flush().await?;
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        io::Result::Ok(head)
    });
    let head = match asked.await {
        Ok(Ok(head)) => head,
        Ok(Err(_)) => return Err(BlobError::Absent), // it closed the stream: that is how it says no
        Err(_) => return Err(BlobError::Lost),
    };
    let [here, size @ ..] = head;
    let size = u64::from_be_bytes(size);
    if here != HERE || size > ATTACHMENT_BYTES_MAX || size < from {
        return Err(BlobError::Absent);
    }
    let pieces = stream::try_unfold((stream, size - from), |(mut stream, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let piece = timeout(BLOB_PIECE_TIMEOUT, read_piece(&mut stream, left)).await;
        let piece = piece.ok().and_then(Result::ok).ok_or(BlobError::Lost)?;
        let left = left - piece.len() as u64;
        Ok(Some((piece, (stream, left))))
    });
    Ok(BlobBytes { size, pieces: pieces.boxed() })
}

async fn read_piece(stream: &mut (impl AsyncRead + Unpin), left: u64) -> io::Result<Vec<u8>> {
    let mut piece = vec![0; BLOB_PIECE_BYTES.min(usize::try_from(left).unwrap_or(BLOB_PIECE_BYTES))];
    let read = stream.read(&mut piece).await?;
    piece.truncate(read);
    if piece.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(piece) }
}

/// Answers one question on a stream that a friend opened.
async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    node: NodeId,
    source: Arc<dyn BlobSource>,
) -> io::Result<()> {
    let mut question = [0; 40];
    timeout(BLOB_PIECE_TIMEOUT, stream.read_exact(&mut question)).await??;
    let (mut blob, mut from) = ([0; 32], [0; 8]);
    blob.copy_from_slice(&question[..32]);
    from.copy_from_slice(&question[32..]);
    let from = u64::from_be_bytes(from);
    let Some(file) = source.open(node, BlobId(blob)) else { return stream.close().await };
    let mut file = tokio::fs::File::from_std(file);
    let size = file.metadata().await?.len();
    if from > size {
        return stream.close().await;
    }
    file.seek(SeekFrom::Start(from)).await?;
    stream.write_all(&[&[HERE][..], &size.to_be_bytes()].concat()).await?;
    let mut piece = vec![0; BLOB_PIECE_BYTES];
    loop {
        let read = file.read(&mut piece).await?;
        if read == 0 {
            return timeout(BLOB_PIECE_TIMEOUT, stream.close()).await?;
        }
        timeout(BLOB_PIECE_TIMEOUT, stream.write_all(&piece[..read])).await??;
    }
}
