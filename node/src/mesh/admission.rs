//! Who may be connected: friends always, strangers a few at a time and not for long.
//!
//! A *friend* is a member of one of our workspaces. A *lodger* holds a reservation or a circuit at
//! this node while it serves as a relay. A *relay* is one of those we reserve at. Everybody else is a
//! *stranger*: somebody who wants to join, or is up to no good.
//!
//! Who somebody is shows only at the end of a handshake, which costs us as much as him. So before it the
//! source counts: an address may begin so many at once, and so many in a second.
//!
//! It stands with the other guards before all behaviours that keep state for a connection, because
//! libp2p asks them in order and does not tell those already asked when a later one refuses.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    fmt,
    net::{IpAddr, Ipv6Addr},
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    multiaddr::Protocol,
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm,
        behaviour::{ConnectionEstablished, ListenFailure},
        dummy,
    },
};
use muster_protocol::{
    identity::NodeId,
    limits::{
        GUEST_CONNECTIONS_MAX, GUESTS_CONNECTIONS_MAX, SOURCE_BURST, SOURCE_PAUSE, SOURCE_PENDING_MAX,
        SOURCES_MAX, STRANGERS_MAX,
    },
};

use super::{allowance::Allowances, now};

/// The guard, and the one place that knows who is what.
pub(super) struct Admission {
    friends: BTreeSet<PeerId>,
    relays: BTreeSet<PeerId>,
    /// What a lodger holds: reservations and circuits.
    lodgers: BTreeMap<PeerId, usize>,
    connected: BTreeMap<PeerId, usize>,
    /// Incoming connections that still shake hands, and where they come from.
    pending: BTreeMap<ConnectionId, IpAddr>,
    begun: Allowances<IpAddr>,
}

/// Why a connection was refused.
#[derive(Debug)]
pub(super) enum Refused {
    NotANode,
    TooManyStrangers,
    TooManyGuests,
    TooManyAtOnce,
    TooOften,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::NotANode => write!(f, "its peer id is not the name of a node"),
            Refused::TooManyStrangers => write!(f, "{STRANGERS_MAX} strangers are connected already"),
            Refused::TooManyGuests => write!(f, "no more connections of nodes that are no members"),
            Refused::TooManyAtOnce => {
                write!(f, "{SOURCE_PENDING_MAX} others of its source shake hands already")
            }
            Refused::TooOften => write!(f, "its source connects too often"),
        }
    }
}

impl std::error::Error for Refused {}

impl Admission {
    /// A guard for a node that reserves at these relays.
    pub(super) fn new(relays: BTreeSet<PeerId>) -> Self {
        Self {
            friends: BTreeSet::new(),
            relays,
            lodgers: BTreeMap::new(),
            connected: BTreeMap::new(),
            pending: BTreeMap::new(),
            begun: Allowances::new(SOURCE_BURST, SOURCE_PAUSE, SOURCES_MAX),
        }
    }

    /// Replaces the friends; returns those who are none any more, and those who are new.
    pub(super) fn set_friends(&mut self, friends: BTreeSet<PeerId>) -> (Vec<PeerId>, Vec<PeerId>) {
        let lost = self.friends.difference(&friends).copied().collect();
        let won = friends.difference(&self.friends).copied().collect();
        self.friends = friends;
        (lost, won)
    }

    /// Whether it may have a link and send gossip.
    pub(super) fn is_friend(&self, peer: &PeerId) -> bool {
        self.friends.contains(peer)
    }

    /// Whether its stay is limited.
    pub(super) fn is_stranger(&self, peer: &PeerId) -> bool {
        !self.is_friend(peer) && !self.relays.contains(peer) && !self.lodgers.contains_key(peer)
    }

    /// It reserved, or began a circuit.
    pub(super) fn lodge(&mut self, peer: PeerId) {
        *self.lodgers.entry(peer).or_default() += 1;
    }

    /// It gave one of these up, or lost it.
    pub(super) fn leave(&mut self, peer: &PeerId) {
        if let Some(count) = self.lodgers.get_mut(peer) {
            *count -= 1;
            if *count == 0 {
                self.lodgers.remove(peer);
            }
        }
    }

    fn check(&self, peer: &PeerId, they_came: bool) -> Result<(), ConnectionDenied> {
        NodeId::from_peer_id(peer).map_err(|_| ConnectionDenied::new(Refused::NotANode))?;
        // Whom we dial we want: a stranger is asked, too.
        if !they_came || !self.is_guest(peer) {
            return Ok(());
        }
        if self.is_stranger(peer) && !self.connected.contains_key(peer) {
            let strangers = self.connected.keys().filter(|peer| self.is_stranger(peer)).count();
            if strangers >= STRANGERS_MAX {
                return Err(ConnectionDenied::new(Refused::TooManyStrangers));
            }
        }
        let guests = self.connected.iter().filter(|(peer, _)| self.is_guest(peer));
        let own = self.connected.get(peer).copied().unwrap_or(0);
        if own >= GUEST_CONNECTIONS_MAX
            || guests.map(|(_, count)| count).sum::<usize>() >= GUESTS_CONNECTIONS_MAX
        {
            return Err(ConnectionDenied::new(Refused::TooManyGuests));
        }
        Ok(())
    }

    /// Whether it may take only some of the places: a stranger or a lodger.
    fn is_guest(&self, peer: &PeerId) -> bool {
        !self.is_friend(peer) && !self.relays.contains(peer)
    }

    /// A connection begins. What comes through a relay counts for the relay, which has limits of its own.
    fn begin(&mut self, connection: ConnectionId, from: &Multiaddr) -> Result<(), Refused> {
        let Some(source) = source(from) else { return Ok(()) };
        if self.pending.values().filter(|pending| **pending == source).count() >= SOURCE_PENDING_MAX {
            return Err(Refused::TooManyAtOnce);
        }
        if !self.begun.take(&source, now()) {
            return Err(Refused::TooOften);
        }
        self.pending.insert(connection, source);
        Ok(())
    }
}

/// Where a connection comes from: its address, of IPv6 the /64 that one subscriber has.
fn source(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => Some(ip.into()),
            None => Some(Ipv6Addr::from(u128::from(ip) >> 64 << 64).into()),
        },
        _ => None,
    }
}

impl NetworkBehaviour for Admission {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        from: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.begin(connection, from).map_err(ConnectionDenied::new)
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.check(&peer, true).map(|()| dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.check(&peer, false).map(|()| dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished { peer_id, connection_id, .. }) => {
                self.pending.remove(&connection_id);
                *self.connected.entry(peer_id).or_default() += 1;
            }
            FromSwarm::ListenFailure(ListenFailure { connection_id, .. }) => {
                self.pending.remove(&connection_id);
            }
            FromSwarm::ConnectionClosed(closed) if closed.remaining_established == 0 => {
                self.connected.remove(&closed.peer_id);
                self.lodgers.remove(&closed.peer_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use muster_protocol::limits::CONNECTIONS_IN_MAX;

    use super::*;

    fn peer(seed: u8) -> PeerId {
        muster_protocol::identity::Identity::from_seed([seed; 32]).node().peer_id()
    }

    #[test]
    fn strangers_beyond_the_limit_are_refused_and_friends_never() {
        let mut admission = Admission::new(BTreeSet::new());
        for seed in 1..=STRANGERS_MAX as u8 {
            assert!(admission.check(&peer(seed), true).is_ok());
            admission.connected.insert(peer(seed), 1);
        }
        assert!(admission.check(&peer(100), true).is_err());
        assert!(admission.check(&peer(100), false).is_ok(), "whom we dial we want");
        assert!(admission.check(&peer(1), true).is_ok(), "a second connection is no second stranger");
        admission.set_friends(BTreeSet::from([peer(100)]));
        assert!(admission.check(&peer(100), true).is_ok());
    }

    #[test]
    fn guests_leave_places_for_members() {
        let mut admission = Admission::new(BTreeSet::new());
        admission.connected.insert(peer(1), GUEST_CONNECTIONS_MAX);
        assert!(admission.check(&peer(1), true).is_err(), "one stranger takes no more places");
        for seed in 2..50 {
            admission.lodge(peer(seed));
            if admission.check(&peer(seed), true).is_ok() {
                *admission.connected.entry(peer(seed)).or_default() += 1;
            }
        }
        let taken: usize = admission.connected.values().sum();
        assert_eq!(taken, GUESTS_CONNECTIONS_MAX);
        assert!(taken < CONNECTIONS_IN_MAX as usize);
        admission.set_friends(BTreeSet::from([peer(100)]));
        assert!(admission.check(&peer(100), true).is_ok());
    }

    #[test]
    fn a_source_that_never_ends_its_handshakes_keeps_nobody_else_out() {
        let mut admission = Admission::new(BTreeSet::new());
        let from = |text: &str| text.parse::<Multiaddr>().unwrap();
        let mut number = 0;
        let mut begins = |admission: &mut Admission, address: &str| {
            number += 1;
            admission.begin(ConnectionId::new_unchecked(number), &from(address)).is_ok()
        };
        for port in 1..=SOURCE_PENDING_MAX {
            assert!(begins(&mut admission, &format!("/ip6/2001:db8::{port}/tcp/{port}")));
        }
        assert!(!begins(&mut admission, "/ip6/2001:db8::ffff/udp/1/quic-v1"), "the same subscriber");
        assert!(begins(&mut admission, "/ip6/2001:db8:0:1::1/tcp/1"));
        assert!(begins(&mut admission, "/ip4/192.0.2.1/tcp/1"));
    }

    #[test]
    fn a_lodger_is_no_stranger_until_it_gave_everything_up() {
        let mut admission = Admission::new(BTreeSet::new());
        admission.lodge(peer(1));
        admission.lodge(peer(1));
        admission.leave(&peer(1));
        assert!(!admission.is_stranger(&peer(1)));
        admission.leave(&peer(1));
        assert!(admission.is_stranger(&peer(1)));
    }
}
