//! Tickets, as text and as bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_fuzz::{NOW_MS, WORLD, identity};
use muster_protocol::ticket::{SignedTicket, redeem};

fuzz_target!(|bytes: &[u8]| {
    let world = &*WORLD;
    if let Ok(signed) = SignedTicket::decode(bytes) {
        assert_eq!(signed.encode(), bytes);
        let _ = redeem(&world.control, signed.ticket(), identity(3).node(), NOW_MS);
    }
    if let Some(signed) = std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<SignedTicket>().ok()) {
        assert_eq!(signed.to_string().parse::<SignedTicket>().as_ref(), Ok(&signed));
    }
});
