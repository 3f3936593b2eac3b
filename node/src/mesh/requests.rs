//! One question, one answer: how a stranger asks to join, and a member its home.
//!
//! On the wire a question and an answer are each a length, a big-endian `u32` up to
//! `REQUEST_BYTES_MAX`, and as many bytes. Whoever refuses closes the stream without an answer.

use std::{collections::BTreeMap, io, time::Duration};

use futures::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, StreamExt as _, future::BoxFuture,
    stream::FuturesUnordered,
};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol,
    request_response::{
        self, Codec, Config, OutboundFailure, OutboundRequestId, ProtocolSupport, ResponseChannel,
    },
};
use muster_actors::ports::RequestError;
use muster_protocol::limits::{
    ANSWERS_MAX, ASKS_MAX, ASKS_PER_CONNECTION_MAX, REQUEST_BYTES_MAX, REQUEST_TIMEOUT,
};
use tokio::{sync::oneshot, time::timeout};

/// The protocol of questions.
pub const ASK_PROTOCOL: StreamProtocol = StreamProtocol::new("/muster/ask/1");

/// libp2p's part.
pub(super) type Behaviour = request_response::Behaviour<BytesCodec>;

/// What libp2p's part tells.
pub(super) type Event = request_response::Event<Vec<u8>, Vec<u8>>;

/// Where the answer to a question of ours goes.
pub(super) type Reply = oneshot::Sender<Result<Vec<u8>, RequestError>>;

/// libp2p's part, with our bounds.
pub(super) fn behaviour() -> Behaviour {
    let config = Config::default()
        .with_request_timeout(REQUEST_TIMEOUT)
        .with_max_concurrent_streams(ASKS_PER_CONNECTION_MAX);
    Behaviour::new([(ASK_PROTOCOL, ProtocolSupport::Full)], config)
}

/// Opaque bytes, their length checked before they are read.
#[derive(Debug, Clone, Default)]
pub(super) struct BytesCodec;

async fn read(io: &mut (impl AsyncRead + Unpin + Send)) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    io.read_exact(&mut length).await?;
    let length = u32::from_be_bytes(length) as usize;
    if length > REQUEST_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; length];
    io.read_exact(&mut bytes).await?;
    Ok(bytes)
}

async fn write(io: &mut (impl AsyncWrite + Unpin + Send), bytes: Vec<u8>) -> io::Result<()> {
    if bytes.len() > REQUEST_BYTES_MAX {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    io.write_all(&(bytes.len() as u32).to_be_bytes()).await?;
    io.write_all(&bytes).await?;
    io.close().await
}

impl Codec for BytesCodec {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io).await
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io).await
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, request: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write(io, request).await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, io: &mut T, response: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write(io, response).await
    }
}

/// A question of ours.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) peer: PeerId,
    pub(super) addresses: Vec<Multiaddr>,
    pub(super) question: Vec<u8>,
    pub(super) reply: Reply,
    /// A dial that was already under way, perhaps to an old address, takes the question down with
    /// it; so it is asked a second time.
    pub(super) again: bool,
}

/// Questions of ours that wait for an answer. Who asked gives up after `REQUEST_TIMEOUT`.
#[derive(Default)]
pub(super) struct Asks {
    waiting: BTreeMap<OutboundRequestId, Ask>,
}

impl Asks {
    /// Asks.
    pub(super) fn ask(&mut self, behaviour: &mut Behaviour, ask: Ask) {
        if self.waiting.len() >= ASKS_MAX || ask.question.len() > REQUEST_BYTES_MAX {
            tracing::warn!(peer = %ask.peer, bytes = ask.question.len(), "question not asked: too long or too many");
            let _ = ask.reply.send(Err(RequestError::Unreachable)); // who asked may have given up
            return;
        }
        let addresses = ask.addresses.clone();
        let id = behaviour.send_request_with_addresses(&ask.peer, ask.question.clone(), addresses);
        self.waiting.insert(id, ask);
    }

    /// The answer came.
    pub(super) fn answered(&mut self, id: OutboundRequestId, answer: Vec<u8>) {
        if let Some(ask) = self.waiting.remove(&id) {
            let _ = ask.reply.send(Ok(answer)); // who asked may have given up
        }
    }

    /// No answer will come.
    pub(super) fn failed(&mut self, behaviour: &mut Behaviour, id: OutboundRequestId, why: &OutboundFailure) {
        let Some(mut ask) = self.waiting.remove(&id) else { return };
        tracing::debug!(peer = %ask.peer, %why, "question failed");
        let error = match why {
            OutboundFailure::DialFailure if ask.again => {
                ask.again = false;
                return self.ask(behaviour, ask);
            }
            OutboundFailure::DialFailure | OutboundFailure::ConnectionClosed => RequestError::Unreachable,
            OutboundFailure::Timeout => RequestError::Timeout,
            OutboundFailure::UnsupportedProtocols | OutboundFailure::Io(_) => RequestError::Refused,
        };
        let _ = ask.reply.send(Err(error)); // who asked may have given up
    }

    /// Forgets questions nobody waits for. libp2p does not always say that one failed: a connection
    /// refused after the question was given to it takes the question along.
    pub(super) fn forget_abandoned(&mut self) {
        self.waiting.retain(|_, ask| !ask.reply.is_closed());
    }
}

/// Where an answer goes, and the answer; none refuses.
pub(super) type Ready = (ResponseChannel<Vec<u8>>, Option<Vec<u8>>);

/// Questions of others that wait for our actors.
#[derive(Default)]
pub(super) struct Answers {
    waiting: FuturesUnordered<BoxFuture<'static, Ready>>,
}

impl Answers {
    /// Whether one more question can wait.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < ANSWERS_MAX
    }

    /// Waits for the answer that comes through the returned sender, and sends it back.
    pub(super) fn wait(&mut self, channel: ResponseChannel<Vec<u8>>) -> oneshot::Sender<Vec<u8>> {
        let (sender, receiver) = oneshot::channel();
        self.waiting.push(Box::pin(async move {
            let answer = timeout(REQUEST_TIMEOUT + Duration::from_secs(1), receiver).await;
            (channel, answer.ok().and_then(Result::ok))
        }));
        sender
    }

    /// The next answer that is ready. Waits for ever when no question waits.
    pub(super) async fn next(&mut self) -> Ready {
        match self.waiting.next().await {
            Some(ready) => ready,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::io::Cursor;

    use super::*;

    #[tokio::test]
    async fn a_question_that_claims_to_be_too_long_is_not_read() {
        let mut wire = Cursor::new((REQUEST_BYTES_MAX as u32 + 1).to_be_bytes().to_vec());
        assert_eq!(read(&mut wire).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn what_is_written_can_be_read() {
        let mut wire = Cursor::new(Vec::new());
        write(&mut wire, b"may I join?".to_vec()).await.unwrap();
        assert_eq!(read(&mut Cursor::new(wire.into_inner())).await.unwrap(), b"may I join?");
    }
}
