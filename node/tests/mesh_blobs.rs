//! Bytes of files between friends, over real sockets: whole or gone on with, bounded, and for nobody else.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test: real sockets need real time")]

use std::io::{Read, Write};

use futures::StreamExt as _;
use mesh::{
    TRANSPORTS, linked,
    shelf::{MIB, fetcher, keep, pattern, serve, store},
    within,
};
use muster_actors::{FetchError, ports::BlobError};
use muster_protocol::{
    identity::Identity,
    limits::{BLOB_PIECE_BYTES, BLOB_SERVES_PER_NODE_MAX},
};
use muster_storage::BlobId;

mod mesh;

#[tokio::test(flavor = "multi_thread")]
async fn bytes_come_from_any_place_on_and_in_bounded_pieces() {
    for transport in TRANSPORTS {
        let (ada, bob, ..) = linked(transport).await;
        let (shelves, _folder) = store(2);
        let blob = keep(&shelves, MIB);
        serve(&bob, &shelves, &ada);
        for from in [0, 1, BLOB_PIECE_BYTES + 7, MIB] {
            let came =
                within("an answer", ada.network.fetch_blob(bob.node, blob, from as u64)).await.unwrap();
            assert_eq!(came.size, MIB as u64);
            let pieces: Vec<_> = within("the bytes", came.pieces.collect()).await;
            let pieces: Vec<Vec<u8>> = pieces.into_iter().map(Result::unwrap).collect();
            assert!(pieces.iter().all(|piece| piece.len() <= BLOB_PIECE_BYTES));
            assert_eq!(pieces.concat(), pattern(MIB).collect::<Vec<_>>().concat()[from..]);
        }
        let beyond = within("an answer", ada.network.fetch_blob(bob.node, blob, MIB as u64 + 1)).await;
        assert_eq!(beyond.err(), Some(BlobError::Absent));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_have_bytes_cannot_tell_whether_they_are_there() {
    let (ada, bob, ..) = linked(TRANSPORTS[0]).await;
    let (shelves, _folder) = store(2);
    let blob = keep(&shelves, MIB);
    let ask = |blob| within("an answer", ada.network.fetch_blob(bob.node, blob, 0));
    assert_eq!(ask(blob).await.err(), Some(BlobError::Absent), "nobody serves yet");
    let shelf = serve(&bob, &shelves, &bob); // that is: not to ada
    assert_eq!(ask(blob).await.err(), Some(BlobError::Absent));
    assert_eq!(ask(BlobId([0; 32])).await.err(), Some(BlobError::Absent));
    assert_eq!(*shelf.asked.lock().unwrap(), [ada.node; 2]);
    // A friend no longer is not even asked about.
    bob.network.set_friends(Vec::new());
    serve(&bob, &shelves, &ada);
    assert!(ask(blob).await.is_err());
    let nobody = Identity::from_seed([9; 32]).node();
    let nowhere = within("an answer", ada.network.fetch_blob(nobody, blob, 0)).await;
    assert_eq!(nowhere.err(), Some(BlobError::Unreachable));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_does_not_take_all_places() {
    let (ada, bob, ..) = linked(TRANSPORTS[1]).await;
    let (shelves, _folder) = store(2);
    let blob = keep(&shelves, 32 * MIB); // more than waits in any window
    serve(&bob, &shelves, &ada);
    let mut held = Vec::new();
    for _ in 0..BLOB_SERVES_PER_NODE_MAX {
        held.push(within("a place", ada.network.fetch_blob(bob.node, blob, 0)).await.unwrap());
    }
    let more = within("an answer", ada.network.fetch_blob(bob.node, blob, 0)).await;
    assert_eq!(more.err(), Some(BlobError::Absent));
    drop(held);
    within("a place that became free", async {
        while ada.network.fetch_blob(bob.node, blob, 0).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_goes_on_where_the_way_broke_and_believes_only_the_hash() {
    let (ada, bob, ..) = linked(TRANSPORTS[0]).await;
    let ((shelves, _a), (own, _b)) = (store(2), store(1));
    let blob = keep(&shelves, 4 * MIB);
    let (fetcher, size) = (fetcher(&ada, &own), 4 * MIB as u64);
    let holders = [Identity::from_seed([9; 32]).node(), ada.node, bob.node]; // away, itself, and one who has it
    assert!(matches!(fetcher.fetch(blob, size, &holders).await, Err(FetchError::NoHolder)));
    serve(&bob, &shelves, &ada);

    // The way breaks after some pieces: what came stays.
    let mut came = ada.network.fetch_blob(bob.node, blob, 0).await.unwrap().pieces;
    let mut partial = own.blobs().resume(blob).unwrap();
    for _ in 0..8 {
        partial.write_all(&within("a piece", came.next()).await.unwrap().unwrap()).unwrap();
    }
    drop((came, partial));
    assert!(own.blobs().resume(blob).unwrap().bytes() > 0);
    let mut whole = Vec::new();
    within("the rest", fetcher.fetch(blob, size, &holders)).await.unwrap().read_to_end(&mut whole).unwrap();
    assert!(whole == pattern(4 * MIB).collect::<Vec<_>>().concat());

    // Somebody gave wrong bytes before: the honest one is asked again, from the beginning.
    own.blobs().remove(blob).unwrap();
    own.blobs().resume(blob).unwrap().write_all(&[0; MIB]).unwrap();
    within("the right bytes", fetcher.fetch(blob, size, &holders)).await.unwrap();
    assert!(own.blobs().verify(blob).unwrap());

    // Bytes of another size than was described are not taken.
    own.blobs().remove(blob).unwrap();
    assert!(fetcher.fetch(blob, size - 1, &holders).await.is_err());
    assert!(!own.blobs().has(blob).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn several_who_want_the_same_bytes_fetch_them_once() {
    let (ada, bob, ..) = linked(TRANSPORTS[0]).await;
    let ((shelves, _a), (own, _b)) = (store(2), store(1));
    let blob = keep(&shelves, 8 * MIB);
    let shelf = serve(&bob, &shelves, &ada);
    let (fetcher, holders) = (fetcher(&ada, &own), [bob.node]);
    let fetch = || fetcher.fetch(blob, 8 * MIB as u64, &holders);
    let all = within("the bytes", futures::future::join_all((0..5).map(|_| fetch()))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(shelf.asked.lock().unwrap().len(), 1);
}
