//! The relays this node reserves at, so that nodes that cannot reach it directly still can.

use std::time::Instant;

use libp2p::{Multiaddr, PeerId, Swarm, core::transport::ListenerId, multiaddr::Protocol};
use muster_protocol::limits::{REDIAL_MAX, REDIAL_MIN};

use super::{MeshError, address, behaviour::Behaviour, now};

/// All relays of the configuration.
pub(super) struct Relays(Vec<Seat>);

/// One relay. Listening on its circuit address is what libp2p calls a reservation.
struct Seat {
    relay: PeerId,
    circuit: Multiaddr,
    listener: Option<ListenerId>,
    failures: u32,
    again_at: Instant,
}

impl Relays {
    /// Takes the addresses of relays, with or without `/p2p-circuit` at the end.
    pub(super) fn new(addresses: Vec<Multiaddr>) -> Result<Self, MeshError> {
        let seat = |address: Multiaddr| {
            let Some(relay) = address::relay_of(&address) else {
                let reason = "the address of a relay ends in /p2p/ and its peer id".to_owned();
                return Err(MeshError::Address { address: address.to_string(), reason });
            };
            let circuit =
                if address::is_relayed(&address) { address } else { address.with(Protocol::P2pCircuit) };
            Ok(Seat { relay, circuit, listener: None, failures: 0, again_at: now() })
        };
        addresses.into_iter().map(seat).collect::<Result<_, _>>().map(Self)
    }

    /// Who the relays are.
    pub(super) fn peers(&self) -> impl Iterator<Item = PeerId> {
        self.0.iter().map(|seat| seat.relay)
    }

    /// Reserves where there is no reservation and it is time to try.
    pub(super) fn reserve(&mut self, swarm: &mut Swarm<Behaviour>, now: Instant) {
        for seat in self.0.iter_mut().filter(|seat| seat.listener.is_none() && seat.again_at <= now) {
            match swarm.listen_on(seat.circuit.clone()) {
                Ok(listener) => seat.listener = Some(listener),
                Err(error) => {
                    tracing::warn!(relay = %seat.relay, %error, "relay refused");
                    seat.failed(now);
                }
            }
        }
    }

    /// A listener has an address: was it a relay's, the reservation stands.
    pub(super) fn stands(&mut self, listener: ListenerId) {
        for seat in self.0.iter_mut().filter(|seat| seat.listener == Some(listener)) {
            seat.failures = 0;
        }
    }

    /// A listener closed: was it a relay's, the reservation is lost.
    pub(super) fn lost(&mut self, listener: ListenerId, now: Instant) {
        for seat in self.0.iter_mut().filter(|seat| seat.listener == Some(listener)) {
            tracing::info!(relay = %seat.relay, "no reservation at this relay now");
            seat.failed(now);
        }
    }
}

impl Seat {
    fn failed(&mut self, now: Instant) {
        self.listener = None;
        let pause = REDIAL_MIN.saturating_mul(2u32.saturating_pow(self.failures)).min(REDIAL_MAX);
        self.failures = self.failures.saturating_add(1);
        self.again_at = now + pause;
    }
}
