//! Operations, and what they mean.
#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_fuzz::WORLD;
use muster_protocol::{content::Content, fork::ForkProof, log, operation::Operation};

fuzz_target!(|bytes: &[u8]| {
    let world = &*WORLD;
    if let Ok(op) = Operation::decode(bytes) {
        assert_eq!(op.encode(), bytes, "an operation that is taken is canonical");
        let _ = op.verify();
        let _ = log::admit(&world.control, None, &op, muster_fuzz::NOW_MS);
        let _ = Content::read(&op, &world.control);
        let _ = ForkProof::of(&op, &world.log[0]);
    }
    if let Ok(proof) = ForkProof::decode(bytes) {
        assert_eq!(proof.encode(), bytes);
        let _ = proof.verify();
    }
});
