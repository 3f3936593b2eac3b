//! A peer that speaks libp2p and our frames, and nothing that would keep it honest.

use std::{
    sync::atomic::{AtomicU8, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, StreamExt as _,
    io::{ReadHalf, WriteHalf},
};
use libp2p::{
    Multiaddr, Stream, SwarmBuilder, identity::Keypair, multiaddr::Protocol, noise, swarm::SwarmEvent, tcp,
    yamux,
};
use libp2p_stream::Control;
use muster::mesh::{ACCEPTED, ASK_PROTOCOL, LINK_PROTOCOL};
use muster_protocol::{
    ask::{Answer, JoinRequest, Question},
    cbor::Bytes,
    clock::Hlc,
    identity::{Identity, NodeId},
    ids::{OpId, SpaceId, StreamId, WorkspaceId},
    limits,
    network::{Envelope, PeerName, proof},
    operation::{Draft, Kind, Operation, Place},
    session::session_id,
    sync::{Frame, Height, Hello},
    ticket::SignedTicket,
};
use serde_json::json;
use tokio::{sync::watch, task::AbortHandle};

use super::{Node, within};

/// Each raw peer has a key of its own, the same ones in each run of a test binary that runs alone.
static NEXT_SEED: AtomicU8 = AtomicU8::new(1);

/// A key whose node opens the links with `home`: of two nodes the one with the smaller id does.
pub fn key_that_opens(home: NodeId) -> Identity {
    let number = NEXT_SEED.fetch_add(1, Ordering::Relaxed);
    let mut keys = (0..u32::MAX).map(|attempt| {
        let mut seed = [number; 32];
        seed[..4].copy_from_slice(&attempt.to_be_bytes());
        Identity::from_seed(seed)
    });
    // The home's key is random: as a rule one of the first few is smaller, and now and then it takes many.
    keys.find(|key| key.node() < home).expect("no key is smaller than all of these")
}

/// Connected with a node.
pub struct RawPeer {
    pub identity: Identity,
    pub home: NodeId,
    control: Control,
    connected: watch::Receiver<bool>,
    swarm: AbortHandle,
}

impl Drop for RawPeer {
    fn drop(&mut self) {
        self.swarm.abort();
    }
}

impl RawPeer {
    /// Connects with a node; `None` when the node does not want that.
    pub async fn try_connect(identity: Identity, node: &Node) -> Option<Self> {
        let home: NodeId = node.peer_id.parse().unwrap();
        let address: Multiaddr = node.listen[0].parse().unwrap();
        assert!(matches!(address.iter().last(), Some(Protocol::P2p(_))));
        let keypair = Keypair::ed25519_from_bytes(identity.seed()).unwrap();
        let mut swarm = SwarmBuilder::with_existing_identity(keypair)
            .with_tokio()
            .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
            .unwrap()
            .with_quic()
            .with_behaviour(|_| libp2p_stream::Behaviour::new())
            .unwrap()
            .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
            .build();
        let control = swarm.behaviour().new_control();
        swarm.dial(address).unwrap();
        within("a connection", async {
            loop {
                match swarm.select_next_some().await {
                    SwarmEvent::ConnectionEstablished { .. } => break Some(()),
                    SwarmEvent::OutgoingConnectionError { .. } => break None,
                    _ => {}
                }
            }
        })
        .await?;
        let (tell, connected) = watch::channel(true);
        let task = tokio::spawn(async move {
            loop {
                if let SwarmEvent::ConnectionClosed { .. } = swarm.select_next_some().await {
                    tell.send_replace(false);
                }
            }
        });
        Some(Self { identity, home, control, connected, swarm: task.abort_handle() })
    }

    /// Waits until the node has closed the connection.
    pub async fn until_sent_away(&mut self) {
        within("the end of the connection", self.connected.wait_for(|connected| !connected)).await.unwrap();
    }

    /// Asks, and reads what comes back; `None` when the question is refused.
    pub async fn ask(&mut self, question: &[u8]) -> Option<Vec<u8>> {
        within("an answer", async {
            let mut stream = self.control.open_stream(self.home.peer_id(), ASK_PROTOCOL).await.ok()?;
            stream.write_all(&(question.len() as u32).to_be_bytes()).await.ok()?;
            stream.write_all(question).await.ok()?;
            stream.flush().await.ok()?;
            let mut length = [0; 4];
            stream.read_exact(&mut length).await.ok()?;
            let mut answer = vec![0; u32::from_be_bytes(length) as usize];
            stream.read_exact(&mut answer).await.ok()?;
            Some(answer)
        })
        .await
    }

    /// What an honest node asks to join with a ticket.
    pub fn join_request(&self, ticket: &SignedTicket) -> JoinRequest {
        JoinRequest {
            ticket: Bytes(ticket.encode()),
            home: self.home,
            node: self.identity.node(),
            name: "mallory".into(),
            at_ms: now_ms(),
        }
    }

    /// Joins, as an honest node does.
    pub async fn join(&mut self, ticket: &SignedTicket) {
        let question = Question::Join(self.join_request(ticket)).sign(&self.identity);
        let answer = self.ask(&question).await.expect("the home answers");
        assert!(matches!(Answer::decode(&answer), Ok(Answer::Joined(_))), "{answer:?}");
    }

    /// Opens a link; `None` when the node does not take it.
    pub async fn try_link(&mut self) -> Option<RawLink> {
        within("a link, or none", async {
            let mut stream = self.control.open_stream(self.home.peer_id(), LINK_PROTOCOL).await.ok()?;
            let mut accepted = [0];
            stream.read_exact(&mut accepted).await.ok()?;
            (accepted == [ACCEPTED]).then_some(RawLink { stream })
        })
        .await
    }
}

/// A stream of frames.
pub struct RawLink<S = Stream> {
    stream: S,
}

impl RawLink {
    /// Gives its reading half away.
    pub fn divide(self) -> (RawLink<ReadHalf<Stream>>, RawLink<WriteHalf<Stream>>) {
        let (reader, writer) = self.stream.split();
        (RawLink { stream: reader }, RawLink { stream: writer })
    }
}

impl<S: AsyncWrite + Unpin> RawLink<S> {
    /// Writes bytes as they are. Whether they arrive is for the other side to show.
    pub async fn write(&mut self, bytes: &[u8]) {
        if self.stream.write_all(bytes).await.is_ok() {
            let _ = self.stream.flush().await; // it may have been cut after the first of them
        }
    }

    /// Sends the bytes of a frame, with their length.
    pub async fn send_bytes(&mut self, frame: &[u8]) {
        self.write(&[&(frame.len() as u32).to_be_bytes(), frame].concat()).await;
    }

    pub async fn send(&mut self, frame: &Frame) {
        self.send_bytes(&frame.encode()).await;
    }
}

impl<S: AsyncRead + Unpin> RawLink<S> {
    /// Reads this many bytes, whatever they are; `None` when the link is over.
    pub async fn read(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).await.ok()?;
        Some(bytes)
    }

    /// The next frame; `None` when the link is over.
    pub async fn next(&mut self) -> Option<Frame> {
        within("a frame, or the end", async {
            let mut length = [0; 4];
            self.stream.read_exact(&mut length).await.ok()?;
            let mut bytes = vec![0; u32::from_be_bytes(length) as usize];
            self.stream.read_exact(&mut bytes).await.ok()?;
            Some(Frame::decode(&bytes).expect("a node sends frames"))
        })
        .await
    }

    /// The first frame that `pick` takes; a link that ends before is an error.
    pub async fn wait<T>(&mut self, what: &str, mut pick: impl FnMut(&Frame) -> Option<T>) -> T {
        within(what, async {
            loop {
                let frame = self.next().await.unwrap_or_else(|| panic!("the link ended before {what}"));
                if let Some(picked) = pick(&frame) {
                    return picked;
                }
            }
        })
        .await
    }

    /// Reads until the node ends the link.
    pub async fn until_cut(&mut self, why: &str) {
        within(&format!("the end of the link, for {why}"), async { while self.next().await.is_some() {} })
            .await;
    }
}

/// A raw peer that joined, with a link, and a log of its own.
pub struct Member {
    pub peer: RawPeer,
    pub link: RawLink,
    pub space: SpaceId,
    workspace: WorkspaceId,
    pub session: PeerName,
    pub control_height: u64,
    /// Its log: how far it is, and the id of the newest operation.
    pub seq: u64,
    pub prev: OpId,
    hlc: u64,
}

/// The incarnation under which all raw members write.
pub const INCARNATION: u64 = 7;
/// Where they write.
pub const CHANNEL: &str = "builders";

impl Member {
    /// Joins with a ticket and says hello on a link.
    pub async fn join(node: &Node, ticket: &SignedTicket) -> Self {
        let identity = key_that_opens(node.peer_id.parse().unwrap());
        let mut peer = RawPeer::try_connect(identity, node).await.expect("strangers may connect, to join");
        peer.join(ticket).await;
        Self::link(peer, ticket).await
    }

    /// Says hello on a link of a peer that is a member.
    async fn link(mut peer: RawPeer, ticket: &SignedTicket) -> Self {
        // The home answers as soon as it has decided; that it takes links follows a moment later.
        let mut link = within("a link for a member", async {
            loop {
                match peer.try_link().await {
                    Some(link) => break link,
                    None => tokio::time::sleep(super::PAUSE).await,
                }
            }
        })
        .await;
        link.send(&Frame::Hello(Hello { version: 1, credit: limits::CREDIT_BYTES })).await;
        let space = ticket.ticket().space;
        let control_height = link
            .wait("the node shares the space", |frame| match frame {
                Frame::ControlHeight(shared, height) if *shared == space => Some(*height),
                _ => None,
            })
            .await;
        let session = session_id(peer.identity.node(), [1; 8]);
        let session = PeerName::of_session("mallory", &session).unwrap();
        let (workspace, hlc) = (ticket.ticket().workspace, now_ms());
        Self { peer, link, space, workspace, session, control_height, seq: 0, prev: OpId::NONE, hlc }
    }

    /// The envelope of a message, signed.
    pub fn envelope(&self, id: &str, from: &PeerName) -> Vec<u8> {
        let members = json!({
            "protocol": "agh-network/v0", "id": id, "workspace_id": self.workspace.to_string(), "kind": "say",
            "channel": CHANNEL, "surface": "thread", "thread_id": "thread_raw", "from": from.as_str(),
            "ts": now_ms() / 1000, "body": { "text": format!("this is {id}") },
        });
        let serde_json::Value::Object(members) = members else { unreachable!("an object was written") };
        let mut envelope = Envelope::from_members(members).unwrap();
        proof::sign(&mut envelope, self.peer.identity.signing_key()).unwrap();
        envelope.to_json().unwrap()
    }

    /// The place behind the newest operation of the log.
    pub fn place(&self) -> Place {
        let (seq, prev) = (self.seq + 1, self.prev);
        let hlc = Hlc::from_ms(self.hlc + seq);
        Place {
            space: self.space,
            incarnation: INCARNATION,
            seq,
            prev,
            hlc,
            control_height: self.control_height,
        }
    }

    /// Signs something at a place of the log, and takes it for the newest.
    pub fn write(&mut self, place: Place, kind: Kind, body: Vec<u8>) -> Operation {
        let stream = StreamId::channel(place.space, CHANNEL);
        let op = Operation::sign(&self.peer.identity, place, Draft { kind, stream, body });
        (self.seq, self.prev) = (place.seq, op.id());
        op
    }

    /// The next message of the log, as an honest node would write it.
    pub fn message(&mut self, id: &str) -> Operation {
        let body = self.envelope(id, &self.session);
        self.write(self.place(), Kind::ENVELOPE, body)
    }

    /// Sends operations in one frame.
    pub async fn send(&mut self, ops: &[&Operation]) {
        let ops = ops.iter().map(|op| op.encode()).collect::<Vec<_>>();
        self.send_encoded(ops).await;
    }

    pub async fn send_encoded(&mut self, ops: Vec<Vec<u8>>) {
        let frame = Frame::Ops(self.space, ops.into_iter().map(Bytes).collect());
        self.link.send(&frame).await;
    }

    /// Waits until the node says that it holds the log up to here.
    pub async fn until_held(&mut self, seq: u64) {
        let me = self.peer.identity.node();
        self.link
            .wait("the node holds what was sent", |frame| match frame {
                Frame::Heights { heights, .. } => {
                    heights.iter().any(|height| height.author == me && height.seq >= seq).then_some(())
                }
                _ => None,
            })
            .await;
    }

    /// How much of each log the node holds. All that was sent before on this link counts.
    pub async fn heights(&mut self) -> Vec<Height> {
        let space = self.space;
        self.link.send(&Frame::Digest(space, muster_protocol::cbor::Bytes32([0; 32]))).await;
        let mut all = Vec::new();
        self.link
            .wait("all heights", |frame| match frame {
                Frame::Heights { space: of, heights, whole, .. } if *of == space => {
                    all = heights.clone();
                    whole.then_some(())
                }
                _ => None,
            })
            .await;
        all
    }
}

pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}
