//! Frames of a link.
#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_protocol::sync::Frame;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(frame) = Frame::decode(bytes) {
        assert_eq!(frame.encode(), bytes, "a frame that is taken is canonical");
    }
});
