//! Presence over gossip and links, and the card of a peer inside it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_protocol::{network::PeerCard, presence::Presence};

fuzz_target!(|bytes: &[u8]| {
    // Hardly any bytes are signed; those that are were ours.
    let _ = Presence::decode(bytes);
    if let Ok(card) = serde_json::from_slice::<PeerCard>(bytes) {
        let _ = (card.briefs(), card.public_ext(), card.matches(Some("a")), card.shown_name().len());
        let json = serde_json::to_vec(&card).expect("a card is JSON");
        assert_eq!(serde_json::from_slice::<PeerCard>(&json).ok().as_ref(), Some(&card));
    }
});
