//! The libp2p side of links, and of the bytes of files: opens one stream of one protocol on a connection we choose,
//! and hands over every stream of it that the other node opens.
//!
//! Why not `libp2p-stream`: version 0.5.0-alpha drops inbound streams when its reader is a moment
//! late, opens on a random one of several connections, dials on its own, and keeps an entry for every
//! connection there ever was, which a stranger can make grow without bound. This does less.

use std::{
    collections::VecDeque,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId, Stream, StreamProtocol,
    core::{Endpoint, transport::PortUse, upgrade::ReadyUpgrade},
    swarm::{
        ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
        NetworkBehaviour, NotifyHandler, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent,
        ToSwarm,
        handler::{ConnectionEvent, FullyNegotiatedInbound, FullyNegotiatedOutbound},
    },
};
use muster_protocol::limits::{LINK_HANDSHAKE_TIMEOUT, LINK_STREAMS_WAITING_MAX};

/// The protocol of links.
pub const LINK_PROTOCOL: StreamProtocol = StreamProtocol::new("/muster/sync/1");

/// Opens and receives streams of one protocol.
pub(super) struct Behaviour {
    protocol: StreamProtocol,
    queue: VecDeque<ToSwarm<Event, Open>>,
}

/// A stream, or none.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) peer: PeerId,
    pub(super) connection: ConnectionId,
    pub(super) what: Happened,
}

/// What happened on a connection.
#[derive(Debug)]
pub(super) enum Happened {
    /// The other node opened a stream.
    Came(Stream),
    /// The stream we asked for under this number is open.
    Opened(u64, Stream),
    /// The stream we asked for under this number could not be opened.
    Failed(u64),
}

/// Asks a connection to open a stream, under a number.
#[derive(Debug)]
pub(super) struct Open(u64);

impl Behaviour {
    /// Streams of this protocol.
    pub(super) fn new(protocol: StreamProtocol) -> Self {
        Self { protocol, queue: VecDeque::new() }
    }

    /// Opens a stream on this connection. Its answer is an event with the same number, unless the connection closes
    /// first.
    pub(super) fn open(&mut self, peer: PeerId, connection: ConnectionId, number: u64) {
        let handler = NotifyHandler::One(connection);
        self.queue.push_back(ToSwarm::NotifyHandler { peer_id: peer, handler, event: Open(number) });
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new(self.protocol.clone()))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new(self.protocol.clone()))
    }

    fn on_swarm_event(&mut self, _: FromSwarm) {}

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        what: THandlerOutEvent<Self>,
    ) {
        self.queue.push_back(ToSwarm::GenerateEvent(Event { peer, connection, what }));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.queue.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// One connection's part. The swarm polls it after each of its events, so no waker is kept.
pub(super) struct Handler {
    protocol: StreamProtocol,
    wanted: VecDeque<u64>,
    happened: VecDeque<Happened>,
}

impl Handler {
    fn new(protocol: StreamProtocol) -> Self {
        Self { protocol, wanted: VecDeque::new(), happened: VecDeque::new() }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Open;
    type ToBehaviour = Happened;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = u64;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(ReadyUpgrade::new(self.protocol.clone()), ())
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, u64, Self::ToBehaviour>> {
        if let Some(happened) = self.happened.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(happened));
        }
        if let Some(number) = self.wanted.pop_front() {
            let protocol = SubstreamProtocol::new(ReadyUpgrade::new(self.protocol.clone()), number)
                .with_timeout(LINK_HANDSHAKE_TIMEOUT);
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, Open(number): Open) {
        self.wanted.push_back(number);
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<Self::InboundProtocol, Self::OutboundProtocol, (), u64>,
    ) {
        match event {
            // More are dropped: an honest node opens one at a time, and tries again.
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol: stream, .. })
                if self.happened.len() < LINK_STREAMS_WAITING_MAX =>
            {
                self.happened.push_back(Happened::Came(stream));
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: stream,
                info: number,
            }) => {
                self.happened.push_back(Happened::Opened(number, stream));
            }
            ConnectionEvent::DialUpgradeError(error) => {
                self.happened.push_back(Happened::Failed(error.info));
            }
            _ => {}
        }
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<Option<Self::ToBehaviour>> {
        Poll::Ready(None)
    }
}
