//! The whole protocol of a link, fed whatever frames a member may send.
#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_fuzz::{WORLD, identity, pieces};
use muster_protocol::{
    limits,
    sync::{Frame, Height, Hello, Input, Machine, Output, Report},
};

/// Most frames that one frame of a peer may bring about: heights in pages, wants, proofs and operations.
const ANSWERS_MAX: usize = 64;

fuzz_target!(|bytes: &[u8]| {
    let world = &*WORLD;
    let mut machine = Machine::new(identity(1).node(), identity(2).node());
    let mut now_ms = 0;
    let hello = Frame::Hello(Hello { version: 1, credit: limits::CREDIT_BYTES }).encode();
    let frames = [&hello[..]].into_iter().chain(pieces(bytes));
    let mut inputs = vec![machine.handle(0, Input::Up, world).unwrap_or_default()];
    for frame in frames.take(64) {
        now_ms += 100;
        inputs.push(machine.handle(now_ms, Input::Frame(frame), world).unwrap_or_default());
        inputs.push(machine.handle(now_ms, Input::Tick, world).unwrap_or_default());
        while let Some(outputs) = inputs.pop() {
            assert!(outputs.len() <= ANSWERS_MAX, "{} answers to one frame", outputs.len());
            for output in outputs {
                match output {
                    Output::Send(frame) => {
                        assert!(Frame::decode(&frame).is_ok(), "it sends what it would take")
                    }
                    Output::Store { space, ops, bytes, .. } => {
                        let mut report = Report::of(space);
                        report.bytes = bytes;
                        report.heights = ops
                            .iter()
                            .map(|op| op.header())
                            .map(|of| Height { author: of.author, incarnation: of.incarnation, seq: of.seq })
                            .collect();
                        let stored = machine.handle(now_ms, Input::Stored(report), world);
                        assert!(stored.is_ok_and(|outputs| outputs.len() <= ANSWERS_MAX));
                    }
                    Output::Close(_) => return,
                    _ => {}
                }
            }
        }
    }
});
