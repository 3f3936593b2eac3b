//! What a large file costs two nodes. Alone in its process, as it measures that.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test: real sockets need real time")]

use mesh::{
    TRANSPORTS, linked,
    shelf::{MIB, fetcher, keep, serve, store},
    within,
};

mod mesh;

/// KiB of memory of this process: now, and at most since [`forget_peak`].
fn memory(what: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn forget_peak() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_100_mib_costs_both_nodes_less_than_32_mib_of_memory() {
    for transport in TRANSPORTS {
        let (ada, bob, ..) = linked(transport).await;
        let ((shelves, _a), (own, _b)) = (store(2), store(1));
        let blob = keep(&shelves, 100 * MIB);
        serve(&bob, &shelves, &ada);
        forget_peak();
        let before = memory("VmRSS");
        within("100 MiB", fetcher(&ada, &own).fetch(blob, 100 * MIB as u64, &[bob.node])).await.unwrap();
        let more = memory("VmHWM").saturating_sub(before);
        println!("{transport}: {more} KiB more");
        // Both nodes are in this process.
        assert!(more < 32 * 1024, "{transport}: {more} KiB more");
    }
}
