//! Tickets, as text and as bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_fuzz::{HOME, NOW_MS, STRANGER, WORLD, signed};
use muster_protocol::{
    identity::Domain,
    ticket::{SignedTicket, redeem},
};

fn read(bytes: &[u8]) {
    let Ok(signed) = SignedTicket::decode(bytes) else { return };
    assert_eq!(signed.encode(), bytes, "a ticket that is taken is canonical");
    assert_eq!(signed.to_string().parse::<SignedTicket>().as_ref(), Ok(&signed));
    let _ = redeem(&WORLD.control, signed.ticket(), STRANGER.node(), NOW_MS);
}

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    read(&signed(&HOME, Domain::Ticket, bytes));
    if let Some(signed) = std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<SignedTicket>().ok()) {
        assert_eq!(signed.to_string().parse::<SignedTicket>().as_ref(), Ok(&signed));
    }
});
