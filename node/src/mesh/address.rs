//! Multiaddrs as text, without the peer id, as the ports speak of them.

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};
use muster_protocol::limits::{ADDRESS_BYTES_MAX, ADDRESSES_PER_NODE_MAX};

/// As text, without the peer id at its end.
pub(super) fn text(address: &Multiaddr) -> String {
    let mut address = address.clone();
    if matches!(address.iter().last(), Some(Protocol::P2p(_))) {
        address.pop();
    }
    address.to_string()
}

/// The addresses among `texts` that are some, few and short enough.
pub(super) fn parse(texts: &[String]) -> Vec<Multiaddr> {
    let short = texts.iter().filter(|text| text.len() <= ADDRESS_BYTES_MAX);
    short.filter_map(|text| text.parse().ok()).take(ADDRESSES_PER_NODE_MAX).collect()
}

/// The relay an address leads through; without `/p2p-circuit`, the peer it leads to.
pub(super) fn relay_of(address: &Multiaddr) -> Option<PeerId> {
    let before = address.iter().take_while(|part| *part != Protocol::P2pCircuit);
    before.filter_map(|part| if let Protocol::P2p(peer) = part { Some(peer) } else { None }).last()
}

/// Whether it leads through a relay.
pub(super) fn is_relayed(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::P2pCircuit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_leaves_the_peer_out_but_keeps_the_relay() {
        let relay = muster_protocol::identity::Identity::from_seed([1; 32]).node();
        let own = muster_protocol::identity::Identity::from_seed([2; 32]).node();
        let direct: Multiaddr = format!("/ip4/192.0.2.1/udp/1/quic-v1/p2p/{own}").parse().unwrap();
        assert_eq!(text(&direct), "/ip4/192.0.2.1/udp/1/quic-v1");
        let through = format!("/ip4/192.0.2.1/tcp/1/p2p/{relay}/p2p-circuit");
        let circuit: Multiaddr = format!("{through}/p2p/{own}").parse().unwrap();
        assert_eq!(text(&circuit), through);
        assert!(is_relayed(&circuit) && !is_relayed(&direct));
        assert_eq!(relay_of(&circuit), Some(relay.peer_id()));
    }

    #[test]
    fn what_is_no_address_or_too_much_is_left_out() {
        let mut texts = vec!["nonsense".to_owned(), format!("/dns4/{}/tcp/1", "a".repeat(ADDRESS_BYTES_MAX))];
        texts.extend((1..=20).map(|port| format!("/ip4/192.0.2.1/tcp/{port}")));
        assert_eq!(parse(&texts).len(), ADDRESSES_PER_NODE_MAX);
    }
}
