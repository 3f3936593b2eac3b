//! A connection with nothing above it: streams on which anything can be said, or nothing.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p::{
    Multiaddr, PeerId, Transport as _,
    core::{
        Endpoint,
        muxing::{StreamMuxerBox, StreamMuxerExt as _, SubstreamBox},
        transport::{Boxed, DialOpts, PortUse},
        upgrade::Version,
    },
    identity::Keypair,
    noise, quic, tcp, yamux,
};
use muster_protocol::identity::Identity;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::AbortHandle,
};

/// How long a connection may take to stand, or a stream to open; then it is taken for refused.
const REFUSED_AFTER: Duration = Duration::from_secs(5);

/// A key that nobody used before.
pub fn fresh_key() -> Identity {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut seed = [0xab; 32];
    seed[..8].copy_from_slice(&number.to_be_bytes());
    Identity::from_seed(seed)
}

/// Connected with a node, of which it asks nothing and to which it answers nothing.
pub struct RawMuxer {
    wishes: mpsc::UnboundedSender<oneshot::Sender<SubstreamBox>>,
    stands: watch::Receiver<bool>,
    task: AbortHandle,
    /// Its sockets end with it.
    _transport: Mutex<Boxed<(PeerId, StreamMuxerBox)>>,
}

impl Drop for RawMuxer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn transport(keypair: &Keypair, address: &Multiaddr) -> Boxed<(PeerId, StreamMuxerBox)> {
    if address.to_string().contains("/quic-v1") {
        let transport = quic::tokio::Transport::new(quic::Config::new(keypair));
        return transport.map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer))).boxed();
    }
    let mut streams = yamux::Config::default();
    streams.set_max_num_streams(2048);
    let transport = tcp::tokio::Transport::new(tcp::Config::default());
    transport
        .upgrade(Version::V1)
        .authenticate(noise::Config::new(keypair).unwrap())
        .multiplex(streams)
        .boxed()
}

impl RawMuxer {
    /// Connects; `None` when the node does not want that, or gives no answer.
    pub async fn dial(identity: &Identity, address: &Multiaddr) -> Option<Self> {
        Self::dial_within(identity, address, REFUSED_AFTER).await
    }

    /// Connects if that takes no longer than `time`; else it goes away in the midst of it.
    pub async fn dial_within(identity: &Identity, address: &Multiaddr, time: Duration) -> Option<Self> {
        let keypair = Keypair::ed25519_from_bytes(identity.seed()).unwrap();
        let mut transport = transport(&keypair, address);
        let how = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
        let dialled = transport.dial(address.clone(), how).ok()?;
        let (_, muxer) = tokio::time::timeout(time, dialled).await.ok()?.ok()?;
        let (wishes, wished) = mpsc::unbounded_channel();
        let (tell, stands) = watch::channel(true);
        let task = tokio::spawn(async move {
            drive(muxer, wished).await;
            tell.send_replace(false);
        });
        Some(Self { wishes, stands, task: task.abort_handle(), _transport: Mutex::new(transport) })
    }

    /// A stream on which nothing was said yet; `None` when the node allows no more.
    pub async fn open(&self) -> Option<SubstreamBox> {
        let (wish, opened) = oneshot::channel();
        self.wishes.send(wish).ok()?;
        tokio::time::timeout(REFUSED_AFTER, opened).await.ok()?.ok()
    }

    /// A stream on which the node speaks this protocol; `None` when it does not.
    pub async fn speak(&self, protocol: &str) -> Option<SubstreamBox> {
        let mut stream = self.open().await?;
        let spoken = tokio::time::timeout(REFUSED_AFTER, agree(&mut stream, protocol)).await;
        matches!(spoken, Ok(Ok(true))).then_some(stream)
    }

    /// Returns when the node has closed the connection.
    pub async fn until_cut(&self) {
        let _ = self.stands.clone().wait_for(|stands| !stands).await; // an error means the same
    }

    pub fn stands(&self) -> bool {
        *self.stands.borrow()
    }
}

/// Keeps a connection going. What the node opens is kept and not answered.
async fn drive(
    mut muxer: StreamMuxerBox,
    mut wished: mpsc::UnboundedReceiver<oneshot::Sender<SubstreamBox>>,
) {
    let (mut waiting, mut unanswered) = (VecDeque::new(), Vec::new());
    poll_fn(|context| {
        while let Poll::Ready(Some(wish)) = wished.poll_recv(context) {
            waiting.push_back(wish);
        }
        while let Poll::Ready(came) = muxer.poll_inbound_unpin(context) {
            let Ok(stream) = came else { return Poll::Ready(()) };
            unanswered.push(stream);
        }
        while !waiting.is_empty() {
            match muxer.poll_outbound_unpin(context) {
                Poll::Ready(Ok(stream)) => {
                    let wish: oneshot::Sender<_> = waiting.pop_front().unwrap();
                    let _ = wish.send(stream); // whoever wished may have given up
                }
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        while let Poll::Ready(happened) = muxer.poll_unpin(context) {
            if happened.is_err() {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    })
    .await;
}

/// A line of multistream-select.
pub fn line(text: &str) -> Vec<u8> {
    let mut bytes = varint(text.len() as u64 + 1);
    bytes.extend(text.as_bytes());
    bytes.push(b'\n');
    bytes
}

/// A number in as many bytes as it needs, seven bits each.
pub fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// Proposes a protocol; whether it is spoken.
async fn agree(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), protocol: &str) -> io::Result<bool> {
    stream.write_all(&[line("/multistream/1.0.0"), line(protocol)].concat()).await?;
    stream.flush().await?;
    let mut last = Vec::new();
    for _ in 0..2 {
        let mut length = [0];
        stream.read_exact(&mut length).await?;
        last = vec![0; length[0].into()];
        stream.read_exact(&mut last).await?;
    }
    Ok(last.ends_with(b"\n") && &last[..last.len() - 1] == protocol.as_bytes())
}
