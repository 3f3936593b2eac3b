//! One link: frames in, frames out, on one stream.
//!
//! On the wire a frame is its length, a big-endian `u32` from 1 to `FRAME_BYTES_MAX`, and its bytes.
//! Before the first frame the node that accepts the stream sends [`ACCEPTED`]; without it the opener
//! would call a link up that the other node has already refused.
//!
//! A link is one task that reads, writes and tells, concurrently. It alone sends the events of its
//! link, so they come in order: `LinkUp`, then frames, then `LinkDown`. When the actors are slow it
//! waits for room in the event queue and reads nothing meanwhile, so that the stream's own window
//! fills and the other node has to slow down.
//!
//! **No lost wake-ups.** A `send` that finds the queue full sets `starved` under the same lock under
//! which it saw the queue full. The writer, which must still take what is in the queue, sees the flag
//! under that lock once half of the queue is free, clears it, and has `LinkWritable` sent. So after
//! every `false` of a live link a `LinkWritable` follows.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, io::BufReader};
use muster_actors::ports::{Closing, Event, Link, Path};
use muster_protocol::{
    identity::NodeId,
    limits::{
        FRAME_BYTES_MAX, LINK_BATCH_BYTES, LINK_CLOSE_GRACE, LINK_HANDSHAKE_TIMEOUT, LINK_QUEUE_FRAMES,
        LINK_READ_BYTES,
    },
};
use tokio::{
    sync::{Notify, mpsc},
    time::timeout,
};

/// What the accepting node sends first.
pub const ACCEPTED: u8 = 1;

/// How a link ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The other node did not take it.
    Refused,
    /// We closed it.
    Closed(Closing),
    /// We cut it: the other node is no friend any more, or opened a new one.
    Cut,
    /// The stream ended or broke.
    Lost,
    /// The other node sent a frame of a length that no frame has.
    Violation,
}

/// Which side of the stream we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// We opened it and wait to be accepted.
    Opener,
    /// They opened it and we accept.
    Acceptor,
}

/// All links that are up. What `send` and `close` look into, from any thread.
#[derive(Default)]
pub(super) struct Registry {
    links: Mutex<BTreeMap<NodeId, (u64, Arc<Outbox>)>>,
}

impl Registry {
    /// The queue of a link, if it is up.
    pub(super) fn outbox(&self, link: Link) -> Option<Arc<Outbox>> {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.get(&link.node).filter(|(number, _)| *number == link.number).map(|(_, outbox)| outbox.clone())
    }

    fn insert(&self, link: Link, outbox: Arc<Outbox>) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.insert(link.node, (link.number, outbox));
    }

    fn remove(&self, link: Link) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if links.get(&link.node).is_some_and(|(number, _)| *number == link.number) {
            links.remove(&link.node);
        }
    }
}

/// The frames that wait on one link, and the wish to end it.
#[derive(Default)]
pub(super) struct Outbox {
    state: Mutex<State>,
    /// There is something to write, or nothing will come any more.
    filled: Notify,
    /// `LinkWritable` is due.
    room: Notify,
    /// There is a wish to end.
    ended: Notify,
}

#[derive(Default)]
struct State {
    frames: VecDeque<Vec<u8>>,
    starved: bool,
    end: Option<Outcome>,
}

impl Outbox {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a frame. `false` when the queue is full or closed.
    pub(super) fn push(&self, frame: Vec<u8>) -> bool {
        let mut state = self.state();
        if state.end.is_some() {
            return false;
        }
        if state.frames.len() >= LINK_QUEUE_FRAMES {
            state.starved = true;
            return false;
        }
        state.frames.push_back(frame);
        drop(state);
        self.filled.notify_one();
        true
    }

    /// Ends the link. The first wish counts, but a ban overrules politeness.
    pub(super) fn end(&self, outcome: Outcome) {
        let mut state = self.state();
        if state.end.is_none_or(|end| end == Outcome::Closed(Closing::Polite)) {
            state.end = Some(outcome);
        }
        drop(state);
        self.ended.notify_one();
        self.filled.notify_one();
    }

    /// Returns when somebody wishes to end the link.
    async fn wished(&self) -> Outcome {
        loop {
            if let Some(end) = self.state().end {
                return end;
            }
            self.ended.notified().await;
        }
    }

    /// Moves queued frames, with their lengths, to `batch`. `false` when none will come any more.
    async fn take(&self, batch: &mut Vec<u8>) -> bool {
        loop {
            let closed = self.take_queued(batch);
            if !batch.is_empty() {
                return true;
            }
            if closed {
                return false;
            }
            self.filled.notified().await;
        }
    }

    /// Moves what is queued, up to the size of a batch; returns whether the queue is closed.
    fn take_queued(&self, batch: &mut Vec<u8>) -> bool {
        let mut state = self.state();
        while batch.len() < LINK_BATCH_BYTES
            && let Some(frame) = state.frames.pop_front()
        {
            batch.extend_from_slice(&(frame.len() as u32).to_be_bytes());
            batch.extend_from_slice(&frame);
        }
        if state.starved && state.frames.len() <= LINK_QUEUE_FRAMES / 2 {
            state.starved = false;
            self.room.notify_one();
        }
        state.end.is_some()
    }
}

/// What a link needs beside its stream.
pub(super) struct LinkTask {
    pub(super) link: Link,
    pub(super) path: Path,
    pub(super) side: Side,
    pub(super) outbox: Arc<Outbox>,
    pub(super) registry: Arc<Registry>,
    pub(super) events: mpsc::Sender<Event>,
}

impl LinkTask {
    /// Runs the link to its end.
    pub(super) async fn run(self, mut stream: impl AsyncRead + AsyncWrite + Unpin + Send) -> Outcome {
        let shake = timeout(LINK_HANDSHAKE_TIMEOUT, handshake(&mut stream, self.side));
        let shaken = tokio::select! {
            shaken = shake => shaken,
            end = self.outbox.wished() => return end,
        };
        if !matches!(shaken, Ok(Ok(()))) {
            return Outcome::Refused;
        }
        self.registry.insert(self.link, self.outbox.clone());
        let told = self.events.send(Event::LinkUp { link: self.link, path: self.path }).await;
        let outcome = if told.is_ok() { self.exchange(stream).await } else { Outcome::Cut };
        self.registry.remove(self.link);
        let _ = self.events.send(Event::LinkDown { link: self.link }).await; // gone only at the very end
        outcome
    }

    async fn exchange(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send) -> Outcome {
        let (reader, writer) = stream.split();
        let mut writing = pin!(self.write(writer));
        // Not biased: reading and writing have equal chances, whichever side is flooded.
        let outcome = tokio::select! {
            outcome = self.read(reader) => outcome,
            outcome = &mut writing => return outcome,
            outcome = self.tell_room() => outcome,
            end = self.outbox.wished() => end,
        };
        if outcome == Outcome::Closed(Closing::Polite) {
            let _ = timeout(LINK_CLOSE_GRACE, writing).await; // whatever did not leave by now is lost
        }
        outcome
    }

    async fn read(&self, reader: impl AsyncRead + Unpin) -> Outcome {
        let mut reader = BufReader::with_capacity(LINK_READ_BYTES, reader);
        loop {
            let bytes = match read_frame(&mut reader).await {
                Ok(Some(bytes)) => bytes,
                Ok(None) => return Outcome::Violation,
                Err(_) => return Outcome::Lost,
            };
            if self.events.send(Event::Frame { link: self.link, bytes }).await.is_err() {
                return Outcome::Cut;
            }
        }
    }

    async fn write(&self, mut writer: impl AsyncWrite + Unpin) -> Outcome {
        let mut batch = Vec::new();
        while self.outbox.take(&mut batch).await {
            let written = async {
                writer.write_all(&batch).await?;
                writer.flush().await
            };
            if written.await.is_err() {
                return Outcome::Lost;
            }
            batch.clear();
            batch.shrink_to(LINK_BATCH_BYTES); // one large frame must not cost its size for ever
            tokio::task::consume_budget().await; // reading gets its turn
        }
        let _ = writer.close().await;
        self.outbox.wished().await
    }

    /// Tells of room in the queue, without holding up the writer when the actors are slow.
    async fn tell_room(&self) -> Outcome {
        loop {
            self.outbox.room.notified().await;
            if self.events.send(Event::LinkWritable { link: self.link }).await.is_err() {
                return Outcome::Cut;
            }
        }
    }
}

async fn handshake(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), side: Side) -> io::Result<()> {
    match side {
        Side::Acceptor => {
            stream.write_all(&[ACCEPTED]).await?;
            stream.flush().await
        }
        Side::Opener => {
            let mut byte = [0];
            stream.read_exact(&mut byte).await?;
            if byte == [ACCEPTED] { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
        }
    }
}

/// The next frame; `None` when its length is one that no frame has. Nothing is allocated before that
/// is known.
async fn read_frame(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    reader.read_exact(&mut length).await?;
    let length = u32::from_be_bytes(length) as usize;
    if length == 0 || length > FRAME_BYTES_MAX {
        return Ok(None);
    }
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes).await?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use futures::io::Cursor;

    use super::*;

    #[tokio::test]
    async fn a_frame_of_no_length_or_too_much_is_a_violation() {
        for length in [0, FRAME_BYTES_MAX as u32 + 1, u32::MAX] {
            let mut wire = Cursor::new(length.to_be_bytes().to_vec());
            assert!(read_frame(&mut wire).await.unwrap().is_none());
        }
        let mut wire = Cursor::new([vec![0, 0, 0, 2], vec![7, 8]].concat());
        assert_eq!(read_frame(&mut wire).await.unwrap(), Some(vec![7, 8]));
        assert!(read_frame(&mut wire).await.is_err(), "the end is an end, not a violation");
    }

    #[tokio::test]
    async fn after_a_full_queue_said_no_room_is_told() {
        let outbox = Outbox::default();
        for _ in 0..LINK_QUEUE_FRAMES {
            assert!(outbox.push(vec![0; LINK_BATCH_BYTES]));
        }
        assert!(!outbox.push(vec![1]));
        for _ in 0..LINK_QUEUE_FRAMES / 2 {
            assert!(outbox.take(&mut Vec::new()).await);
        }
        outbox.room.notified().await;
        assert!(outbox.push(vec![1]));
    }

    #[tokio::test]
    async fn a_closed_queue_takes_nothing_more_but_gives_what_it_has() {
        let outbox = Outbox::default();
        assert!(outbox.push(vec![1]));
        outbox.end(Outcome::Closed(Closing::Polite));
        assert!(!outbox.push(vec![2]));
        let mut batch = Vec::new();
        assert!(outbox.take(&mut batch).await);
        assert_eq!(batch, [0, 0, 0, 1, 1]);
        assert!(!outbox.take(&mut Vec::new()).await);
        outbox.end(Outcome::Closed(Closing::Ban));
        assert_eq!(outbox.wished().await, Outcome::Closed(Closing::Ban));
    }
}
