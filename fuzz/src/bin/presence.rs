//! Presence over gossip and links, and the card of a peer inside it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_fuzz::{MEMBER, signed};
use muster_protocol::{identity::Domain, network::PeerCard, presence::Presence};

fn read_card(bytes: &[u8]) {
    if let Ok(card) = serde_json::from_slice::<PeerCard>(bytes) {
        let _ = (card.briefs(), card.public_ext(), card.matches(Some("a")), card.shown_name().len());
        let json = serde_json::to_vec(&card).expect("a card is JSON");
        assert_eq!(serde_json::from_slice::<PeerCard>(&json).ok().as_ref(), Some(&card));
    }
}

fuzz_target!(|bytes: &[u8]| {
    let _ = Presence::decode(bytes);
    let whole = signed(&MEMBER, Domain::Presence, bytes);
    if let Ok(presence) = Presence::decode(&whole) {
        assert_eq!(presence.sign(&MEMBER), whole, "presence that is taken is canonical");
        for present in &presence.present {
            read_card(&present.card.0);
        }
    }
    read_card(bytes);
});
