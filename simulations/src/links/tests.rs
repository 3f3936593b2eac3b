use std::time::Duration;

use muster_actors::ports::{Clock, Closing, Event, Events, Link, Network, RequestError, Topic};
use muster_protocol::{
    identity::{Identity, NodeId},
    limits::{BAN, BLOB_PIECE_BYTES, FRAME_BYTES_MAX, LINK_QUEUE_FRAMES, REQUEST_TIMEOUT},
};

use super::*;
use crate::clock::SimClock;

const ADA: usize = 0;
const BOB: usize = 1;
const EVE: usize = 2;

/// A node without a mind: the test looks at its events.
struct Toy {
    node: NodeId,
    network: SimNetwork,
    events: Events,
}

fn name(index: usize) -> NodeId {
    Identity::from_seed([index as u8 + 1; 32]).node()
}

fn address(index: usize) -> String {
    format!("/memory/{}", index + 1)
}

fn mesh() -> (SimMesh, Trace) {
    let trace = Trace::new();
    let weather =
        Weather { latency_min_ms: 1, latency_mean_ms: 10, gossip_loss_percent: 0, notice_max_ms: 5_000 };
    (SimMesh::new(1, weather, Beginning::now(), trace.clone()), trace)
}

fn toy(mesh: &SimMesh, index: usize) -> Toy {
    let (network, mut events) = mesh.start(name(index), &address(index));
    assert!(events.try_recv().is_err(), "nothing happens before time is given");
    Toy { node: name(index), network, events }
}

impl Toy {
    /// The next event within a virtual minute, but for the news of its own address.
    async fn next(&mut self) -> Option<Event> {
        loop {
            match tokio::time::timeout(Duration::from_secs(60), self.events.recv()).await {
                Ok(Some(Event::Listening { .. })) => {}
                other => return other.ok().flatten(),
            }
        }
    }

    async fn up(&mut self) -> Link {
        match self.next().await {
            Some(Event::LinkUp { link, .. }) => link,
            other => panic!("{:?} instead of a link", other),
        }
    }

    async fn down(&mut self) -> Link {
        match self.next().await {
            Some(Event::LinkDown { link }) => link,
            other => panic!("{:?} instead of the end of a link", other),
        }
    }

    async fn frame(&mut self) -> Vec<u8> {
        match self.next().await {
            Some(Event::Frame { bytes, .. }) => bytes,
            other => panic!("{:?} instead of a frame", other),
        }
    }

    fn dial(&self, index: usize) {
        self.network.dial(name(index), vec![address(index)]);
    }
}

/// Ada and Bob, linked.
async fn friends(mesh: &SimMesh) -> (Toy, Toy, Link, Link) {
    let (mut ada, mut bob) = (toy(mesh, ADA), toy(mesh, BOB));
    ada.network.set_friends(vec![bob.node]);
    bob.network.set_friends(vec![ada.node]);
    ada.dial(BOB);
    let (at_ada, at_bob) = (ada.up().await, bob.up().await);
    assert_eq!((at_ada.node, at_bob.node), (bob.node, ada.node));
    (ada, bob, at_ada, at_bob)
}

#[tokio::test(start_paused = true)]
async fn frames_arrive_in_the_order_they_were_sent() {
    let (mesh, _) = mesh();
    let (ada, mut bob, link, _) = friends(&mesh).await;
    for round in 0..20 {
        (0..10).for_each(|number| assert!(ada.network.send(link, vec![round, number])));
        for number in 0..10 {
            assert_eq!(bob.frame().await, [round, number]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_reset_loses_what_travels_and_both_ends_learn_of_it() {
    let (mesh, _) = mesh();
    let (mut ada, mut bob, at_ada, at_bob) = friends(&mesh).await;
    assert!(ada.network.send(at_ada, b"lost".to_vec()));
    mesh.reset(ada.node, bob.node);
    assert_eq!((ada.down().await, bob.down().await), (at_ada, at_bob));
    assert!(!ada.network.send(at_ada, b"on a link that is gone".to_vec()));

    bob.dial(ADA);
    let newer = ada.up().await;
    assert!(newer.number > at_ada.number);
    assert!(bob.up().await.number > at_bob.number);
    assert!(ada.network.send(newer, b"new".to_vec()));
    assert_eq!(bob.frame().await, b"new");
}

#[tokio::test(start_paused = true)]
async fn a_way_blocked_for_a_moment_only_holds_frames() {
    let (mesh, _) = mesh();
    let (ada, mut bob, link, back) = friends(&mesh).await;
    mesh.block(ada.node, bob.node);
    assert!(ada.network.send(link, b"first".to_vec()));
    tokio::task::yield_now().await;
    mesh.unblock(ada.node, bob.node);
    assert!(ada.network.send(link, b"second".to_vec()));
    assert_eq!((bob.frame().await, bob.frame().await), (b"first".to_vec(), b"second".to_vec()));
    assert!(bob.network.send(back, b"the link is still up".to_vec()));
}

#[tokio::test(start_paused = true)]
async fn a_way_blocked_for_long_breaks_the_link_although_the_other_way_works() {
    let (mesh, _) = mesh();
    let (mut ada, mut bob, at_ada, at_bob) = friends(&mesh).await;
    mesh.block(ada.node, bob.node);
    assert!(ada.network.send(at_ada, b"held, then lost".to_vec()));
    assert!(bob.network.send(at_bob, b"heard".to_vec()));
    assert_eq!(ada.frame().await, b"heard");
    assert_eq!((ada.down().await, bob.down().await), (at_ada, at_bob));
    bob.dial(ADA);
    assert!(bob.next().await.is_none(), "a connection needs both ways");

    mesh.heal();
    bob.dial(ADA);
    assert_eq!((ada.up().await.node, bob.up().await.node), (bob.node, ada.node));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_says_no_and_later_that_there_is_room() {
    let (mesh, _) = mesh();
    let (mut ada, mut bob, link, _) = friends(&mesh).await;
    let sent = (0..100).take_while(|number| ada.network.send(link, vec![*number])).count();
    assert_eq!(sent, LINK_QUEUE_FRAMES);
    assert!(!ada.network.send(link, vec![0]));
    assert_eq!(bob.frame().await, [0]);
    assert!(matches!(ada.next().await, Some(Event::LinkWritable { link: room }) if room == link));
    assert!(ada.network.send(link, vec![sent as u8]));
    for number in 1..=sent {
        assert_eq!(bob.frame().await, [number as u8], "the frame refused was dropped, no other");
    }
}

#[tokio::test(start_paused = true)]
async fn strangers_have_no_link_and_may_ask() {
    let (mesh, _) = mesh();
    let (mut ada, mut eve) = (toy(&mesh, ADA), toy(&mesh, EVE));
    eve.network.set_friends(vec![ada.node]);
    eve.dial(ADA);
    assert!(eve.next().await.is_none() && !mesh.is_linked(ada.node, eve.node));

    let asked =
        tokio::join!(eve.network.request(ada.node, vec![address(ADA)], b"let me in".to_vec()), async {
            match ada.next().await {
                Some(Event::Request { from, question, answer }) => {
                    assert_eq!((from, question.as_slice()), (eve.node, b"let me in".as_slice()));
                    ada.network.set_friends(vec![from]);
                    answer.send(b"welcome".to_vec()).unwrap();
                }
                other => panic!("{other:?}"),
            }
        });
    assert_eq!(asked.0, Ok(b"welcome".to_vec()));
    // The connection made for the question carries a link now that both are friends.
    assert_eq!((ada.up().await.node, eve.up().await.node), (eve.node, ada.node));

    ada.network.set_friends(vec![]);
    assert_eq!((ada.down().await.node, eve.down().await.node), (eve.node, ada.node));
}

#[tokio::test(start_paused = true)]
async fn a_question_ends_in_an_answer_a_refusal_or_a_reason() {
    let (mesh, _) = mesh();
    let (ada, mut bob) = (toy(&mesh, ADA), toy(&mesh, BOB));
    let ask = |addresses| ada.network.request(name(BOB), addresses, vec![1]);
    assert_eq!(ask(vec!["/memory/99".into()]).await, Err(RequestError::Unreachable));
    let refused = tokio::join!(ask(vec![address(BOB)]), async { drop(bob.next().await) });
    assert_eq!(refused.0, Err(RequestError::Refused));

    mesh.block(bob.node, ada.node);
    let before = mesh.shared.beginning.elapsed_ms();
    let unheard = tokio::join!(ask(vec![]), async {
        let Some(Event::Request { answer, .. }) = bob.next().await else { panic!("it was not asked") };
        answer.send(b"never arrives".to_vec()).unwrap();
    });
    assert_eq!(unheard.0, Err(RequestError::Timeout));
    assert_eq!(mesh.shared.beginning.elapsed_ms() - before, REQUEST_TIMEOUT.as_millis() as u64);

    mesh.heal();
    mesh.crash(bob.node, Crash::Killed);
    assert_eq!(ask(vec![address(BOB)]).await, Err(RequestError::Unreachable));
}

#[tokio::test(start_paused = true)]
async fn a_machine_without_power_is_missed_after_a_while_and_its_links_never_mix() {
    let (mesh, _) = mesh();
    let (mut ada, bob, at_ada, _) = friends(&mesh).await;
    let before = mesh.shared.beginning.elapsed_ms();
    mesh.crash(bob.node, Crash::PowerCut);
    assert!(ada.network.send(at_ada, b"into nothing".to_vec()));
    assert_eq!(ada.down().await, at_ada);
    assert!(mesh.shared.beginning.elapsed_ms() > before + 20, "it noticed as if by magic");

    let mut bob = toy(&mesh, BOB);
    bob.network.set_friends(vec![ada.node]);
    bob.dial(ADA);
    let (at_ada, _) = (ada.up().await, bob.up().await);
    mesh.crash(bob.node, Crash::PowerCut);
    // It is back before it was missed: the old link ends first.
    let bob = toy(&mesh, BOB);
    bob.network.set_friends(vec![ada.node]);
    bob.dial(ADA);
    assert_eq!(ada.down().await, at_ada);
    assert!(ada.up().await.number > at_ada.number);
}

#[tokio::test(start_paused = true)]
async fn the_handle_of_a_dead_process_does_nothing() {
    let (mesh, _) = mesh();
    let (old, mut bob, link, _) = friends(&mesh).await;
    let ada = toy(&mesh, ADA);
    assert!(!old.network.send(link, vec![1]) && old.network.connections().is_empty());
    old.network.set_friends(vec![bob.node]);
    old.dial(BOB);
    bob.down().await;
    assert!(bob.next().await.is_none() && ada.network.connections().is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_broke_the_protocol_is_refused_for_a_while() {
    let (mesh, _) = mesh();
    let (mut ada, mut bob, at_ada, _) = friends(&mesh).await;
    ada.network.close(at_ada, Closing::Ban);
    assert_eq!((ada.down().await.node, bob.down().await.node), (bob.node, ada.node));
    bob.dial(ADA);
    assert!(bob.next().await.is_none());
    SimClock::new(mesh.shared.beginning, 0).sleep(BAN).await;
    bob.dial(ADA);
    assert_eq!(bob.up().await.node, ada.node);
}

#[tokio::test(start_paused = true)]
async fn gossip_goes_from_friend_to_friend_and_comes_once() {
    let (mesh, _) = mesh();
    let (ada, mut bob, _, _) = friends(&mesh).await;
    let mut eve = toy(&mesh, EVE);
    eve.network.set_friends(vec![bob.node]);
    bob.network.set_friends(vec![ada.node, eve.node]);
    eve.dial(BOB);
    bob.up().await;
    eve.up().await;
    let topic = Topic([1; 32]);
    [&bob, &eve].iter().for_each(|toy| toy.network.set_topics(vec![topic]));
    ada.network.publish(topic, b"news".to_vec());
    ada.network.publish(Topic([2; 32]), b"on a topic nobody listens to".to_vec());
    for toy in [&mut bob, &mut eve] {
        match toy.next().await {
            Some(Event::Gossip { author, bytes, .. }) => {
                assert_eq!((author, bytes.as_slice()), (ada.node, b"news".as_slice()));
            }
            other => panic!("{other:?}"),
        }
        assert!(toy.next().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn an_oversized_frame_is_a_complaint() {
    let (mesh, _) = mesh();
    let (ada, _bob, link, _) = friends(&mesh).await;
    assert!(!ada.network.send(link, vec![0; FRAME_BYTES_MAX + 1]));
    assert_eq!(mesh.complaints().len(), 1);
}

#[test]
fn the_same_seed_leaves_the_same_trace() {
    let history = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let (mesh, trace) = mesh();
            let (ada, mut bob, link, _) = friends(&mesh).await;
            for number in 0..10 {
                ada.network.send(link, vec![number]);
                bob.frame().await;
            }
            trace.digest()
        })
    };
    assert_eq!(history(), history());
}

/// Gives one file to one node.
struct Shelf(std::path::PathBuf, NodeId);

impl BlobSource for Shelf {
    fn open(&self, node: NodeId, _: BlobId) -> Option<std::fs::File> {
        (node == self.1).then(|| std::fs::File::open(&self.0).unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_come_from_who_has_them_as_long_as_the_two_are_connected() {
    use futures::StreamExt as _;
    let (mesh, _) = mesh();
    let (mut ada, mut bob) = (toy(&mesh, ADA), toy(&mesh, BOB));
    let folder = tempfile::tempdir().unwrap();
    let (path, size) = (folder.path().join("file"), 10 * BLOB_PIECE_BYTES + 5);
    std::fs::write(&path, vec![7; size]).unwrap();
    let blob = BlobId([1; 32]);
    let ask = |from| ada.network.fetch_blob(name(BOB), blob, from);
    assert_eq!(ask(0).await.err(), Some(BlobError::Unreachable));
    ada.network.set_friends(vec![bob.node]);
    bob.network.set_friends(vec![ada.node]);
    ada.dial(BOB);
    ada.up().await;
    bob.up().await;
    let ask = |from| ada.network.fetch_blob(name(BOB), blob, from);
    assert_eq!(ask(0).await.err(), Some(BlobError::Absent), "nobody serves yet");
    bob.network.serve_blobs(Arc::new(Shelf(path.clone(), name(EVE))));
    assert_eq!(ask(0).await.err(), Some(BlobError::Absent), "it is not for her");
    bob.network.serve_blobs(Arc::new(Shelf(path, name(ADA))));
    let came = ask(5).await.unwrap();
    assert_eq!(came.size, size as u64);
    let pieces: Vec<_> = came.pieces.collect().await;
    assert_eq!(pieces.into_iter().map(|piece| piece.unwrap().len()).sum::<usize>(), size - 5);
    let mut came = ask(0).await.unwrap().pieces;
    came.next().await.unwrap().unwrap();
    mesh.crash(name(BOB), Crash::Killed);
    assert_eq!(came.next().await, Some(Err(BlobError::Lost)));
}
