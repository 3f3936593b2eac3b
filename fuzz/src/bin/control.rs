//! Entries of a control log, one after the other, signed by the home.
#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_fuzz::{HOME, WORLD, pieces, place, sign};
use muster_protocol::{control::Entry, operation::Kind};

fuzz_target!(|bytes: &[u8]| {
    let world = &*WORLD;
    let mut control = (*world.control).clone();
    for piece in pieces(bytes) {
        let Some((kind, body)) = piece.split_first() else { continue };
        let kind = Kind(u16::from(*kind));
        if let Ok(entry) = Entry::decode(kind, body) {
            assert_eq!(entry.encode(), (kind, body.to_vec()), "an entry that is taken is canonical");
            let next = place(control.space(), 0, control.height() + 1, control.head(), control.height());
            let before = control.height();
            let taken = control.apply(&sign(&HOME, next, kind, body.to_vec()));
            assert!(taken.is_ok() && control.height() == before + 1, "all nodes agree on heights");
        }
    }
    assert_eq!(control.role(HOME.node()).map(|role| role.as_str()), Some("owner"));
});
