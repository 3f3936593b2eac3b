//! Whatever strangers and members do to wear a node down, its friends are served at half their rate at
//! least, and its memory stays within bounds.
//!
//! Each attack is done by a peer that speaks libp2p and knows no manners, at a pace that is printed: what is
//! tested is how the node bounds its own work, not who of two programs gets the processors. Calm and attack
//! are measured in turns. `MUSTER_TORTURE=full` makes more and longer turns, and larger attacks.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests of real processes in real time")]

use std::{sync::Arc, time::Duration};

use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use muster_protocol::{
    ask::Question,
    cbor::{Bytes, Bytes32},
    identity::{Identity, NodeId},
    limits,
    operation::Kind,
    sync::{Frame, Height},
};
use support::{
    raw_gossip::{self, GOSSIP_PROTOCOL},
    raw_muxer::{RawMuxer, fresh_key, line},
    raw_peer::{Member, RawPeer, key_that_opens, now_ms},
    short_or_full,
    siege::{Siege, Tally, flood},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    time::sleep,
};

mod support;

/// How long something that is held is held; longer than any measurement of the short form.
const HOLD: Duration = Duration::from_secs(20);

/// As many, and in the long form more.
fn many(short: usize) -> usize {
    short_or_full(short, 4 * short)
}

const SYNC: &str = "/muster/sync/1";
const ASK: &str = "/muster/ask/1";

// ---- connections -----------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_connections() {
    let pace = "150 connections/s, half of them QUIC, three in four with a new key";
    Siege::new().await.withstand("connection flood", pace, connections).await;
}

async fn connections(siege: Arc<Siege>, tally: Arc<Tally>) {
    let same = fresh_key();
    flood(150, many(300), &tally, |number| {
        let (siege, tally) = (&siege, &tally);
        let identity = if number % 4 == 3 { Identity::from_seed(same.seed()) } else { fresh_key() };
        async move {
            let Some(wire) = RawMuxer::dial(&identity, &siege.either(number)).await else { return };
            sleep(Duration::from_millis(200)).await;
            if wire.stands() {
                tally.taken();
                let _ = tokio::time::timeout(HOLD, wire.until_cut()).await; // cut, or held
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_that_stop_half_way() {
    let pace = "50 TCP connects/s that stop, 25 QUIC ones, 500 garbage initials/s";
    Siege::new().await.withstand("half-open handshakes", pace, half_open).await;
}

async fn half_open(siege: Arc<Siege>, tally: Arc<Tally>) {
    let (tcp, quic) = (socket(&siege.tcp()), socket(&siege.quic()));
    flood(100, many(400), &tally, |number| {
        let (siege, tally) = (&siege, &tally);
        async move {
            match number % 4 {
                0 => hold(TcpStream::connect(tcp).await.ok(), tally, &[]).await,
                1 => {
                    let noise = [&[0, 32][..], &[9; 16]].concat();
                    let half = [line("/multistream/1.0.0"), line("/noise"), noise].concat();
                    hold(TcpStream::connect(tcp).await.ok(), tally, &half).await;
                }
                2 => {
                    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                    for part in 0..20u8 {
                        let _ = udp.send_to(&initial(number, part), quic).await;
                    }
                }
                // Says hello and is never seen again.
                _ => {
                    let soon = Duration::from_millis(2);
                    RawMuxer::dial_within(&fresh_key(), &siege.quic(), soon).await;
                }
            }
        }
    })
    .await;
}

/// Says something and then nothing more, until it is cut.
async fn hold(stream: Option<TcpStream>, tally: &Tally, says: &[u8]) {
    let Some(mut stream) = stream else { return };
    if stream.write_all(says).await.is_ok() {
        tally.taken();
        let mut bytes = [0; 512];
        while stream.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
    }
}

/// What looks like the first packet of a QUIC connection.
fn initial(number: u64, part: u8) -> Vec<u8> {
    let mut packet = vec![0xc3, 0, 0, 0, 1, 8];
    packet.extend((number << 8 | u64::from(part)).to_be_bytes());
    packet.extend([8, part, part, part, part, part, part, part, part, 0, 0x44, 0x90]);
    packet.resize(1200, part);
    packet
}

fn socket(address: &libp2p::Multiaddr) -> std::net::SocketAddr {
    let text = address.to_string();
    let parts: Vec<_> = text.split('/').collect();
    format!("{}:{}", parts[2], parts[4]).parse().unwrap()
}

// ---- streams ---------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_streams() {
    let pace = "600 streams/s on 4 connections, half of them a member's";
    Siege::new().await.withstand("stream flood", pace, streams).await;
}

async fn streams(siege: Arc<Siege>, tally: Arc<Tally>) {
    let member = member_key(&siege).await;
    let connections = (0..4).map(|number| {
        let identity = if number < 2 { Identity::from_seed(member.seed()) } else { fresh_key() };
        streams_without_end(&siege, &tally, identity, number)
    });
    futures::future::join_all(connections).await;
}

/// The key of a node that joined and keeps no connection.
async fn member_key(siege: &Siege) -> Identity {
    let identity = key_that_opens(siege.id());
    let copy = Identity::from_seed(identity.seed());
    let mut peer = RawPeer::try_connect(identity, &siege.home).await.expect("strangers may connect, to join");
    peer.join(&siege.ticket).await;
    copy
}

async fn streams_without_end(siege: &Siege, tally: &Tally, identity: Identity, number: u64) {
    const PROTOCOLS: [&str; 6] =
        [SYNC, ASK, GOSSIP_PROTOCOL, "/ipfs/id/1.0.0", "/ipfs/ping/1.0.0", "/libp2p/dcutr"];
    loop {
        if let Some(wire) = RawMuxer::dial(&identity, &siege.either(number)).await {
            let wire = &wire;
            let streams = flood(150, many(300), tally, |stream| async move {
                let Some(mut opened) = wire.open().await else { return };
                tally.taken();
                let says = match stream % 3 {
                    0 => line(PROTOCOLS[(stream / 3) as usize % PROTOCOLS.len()]),
                    1 => line(&format!("/unknown/{stream}")),
                    _ => Vec::new(),
                };
                let _ = opened.write_all(&[line("/multistream/1.0.0"), says].concat()).await;
                let _ = opened.flush().await;
                // One in three never comes to an end with its proposals; the others never begin to speak.
                if stream % 3 == 2 {
                    for proposal in 0.. {
                        let proposed = opened.write_all(&line(&format!("/never/{proposal}"))).await;
                        if proposed.is_err() || opened.flush().await.is_err() {
                            return;
                        }
                        sleep(Duration::from_millis(100)).await;
                    }
                }
                sleep(HOLD).await;
            });
            tokio::select! {
                () = streams => {}
                () = wire.until_cut() => {}
            }
        }
        sleep(Duration::from_millis(200)).await;
    }
}

// ---- slowness --------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn http_clients_that_never_finish() {
    let pace = "1000 HTTP connections/s that send a byte a second, or nothing";
    Siege::new().await.withstand("slow HTTP clients", pace, slow_http).await;
}

async fn slow_http(siege: Arc<Siege>, tally: Arc<Tally>) {
    let send = format!("/api/workspaces/{}/network/send", siege.workspace);
    flood(1000, many(1500), &tally, |number| {
        let (siege, tally, send) = (&siege, &tally, &send);
        async move {
            let Ok(mut stream) = TcpStream::connect(siege.http()).await else { return };
            let host = format!("Host: {}\r\n", siege.http());
            let says = match number % 3 {
                0 => format!("GET /docs HTTP/1.1\r\n{host}X-Slow: "),
                1 => format!(
                    "POST {send} HTTP/1.1\r\n{host}Content-Type: application/json\r\n\
                             Content-Length: 1000000\r\n\r\n{{"
                ),
                _ => format!("GET /node/v1/nothing HTTP/1.1\r\n{host}\r\n"),
            };
            if stream.write_all(says.as_bytes()).await.is_err() {
                return;
            }
            tally.taken();
            let (mut reader, mut writer) = stream.split();
            let drips = async {
                loop {
                    sleep(Duration::from_secs(1)).await;
                    if number % 3 < 2 && writer.write_all(b"x").await.is_err() {
                        break;
                    }
                }
            };
            let mut bytes = [0; 1024];
            let hears = async { while reader.read(&mut bytes).await.is_ok_and(|count| count > 0) {} };
            tokio::select! {
                () = drips => {}
                () = hears => {}
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_hardly_move() {
    let pace = "4 members' links: one byte per second out, or in, or no credit ever";
    Siege::new().await.withstand("slow links", pace, slow_links).await;
}

async fn slow_links(siege: Arc<Siege>, tally: Arc<Tally>) {
    let links = (0..4).map(|number| slow_link(&siege, &tally, number));
    futures::future::join_all(links).await;
}

async fn slow_link(siege: &Siege, tally: &Tally, number: u64) {
    let mut member = siege.member().await;
    tally.taken();
    let frame = Frame::ControlHeight(member.space, 1).encode();
    let wire = [&(frame.len() as u32).to_be_bytes()[..], &frame].concat();
    for at in 0.. {
        tally.tried();
        match number % 4 {
            0 => member.link.write(&wire[at % wire.len()..][..1]).await,
            1 => drop(member.link.read(1).await),
            2 => {}                            // neither reads nor writes
            _ => drop(member.heights().await), // asks for everything and grants nothing
        }
        sleep(Duration::from_secs(1)).await;
    }
}

/// A member that asks for what it has, tells what is known, and grants credit for everything again.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_never_rests() {
    let pace = "400 frames/s on a member's link: digests, wants of a whole log, heights, presence; \
                another member says 300 messages/s";
    Siege::new().await.withstand("link flood", pace, restless_link).await;
}

async fn restless_link(siege: Arc<Siege>, tally: Arc<Tally>) {
    let Member { peer, link, space, .. } = siege.member().await;
    let (mut reader, mut link) = link.divide();
    let author: NodeId = siege.friend.peer_id.parse().unwrap();
    let mut clock = tokio::time::interval(Duration::from_micros(2500));
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let writes = async {
        for number in 0u64.. {
            clock.tick().await;
            tally.tried();
            let log = Height { author, incarnation: 1, seq: 1 };
            link.send(&match number % 4 {
                0 => Frame::Digest(space, Bytes32([number as u8; 32])),
                1 => Frame::Want(space, vec![log; 64]),
                2 => Frame::Heights { space, heights: vec![log; 64], whole: false, credit: number << 20 },
                _ => Frame::Presence(Bytes(vec![0x82; limits::GOSSIP_BYTES_MAX])),
            })
            .await;
            tally.taken();
        }
    };
    tokio::join!(writes, talk_without_end(&siege, &tally), async { while reader.next().await.is_some() {} });
    drop(peer);
}

/// A member that says more than anybody wants to hear, and all of it valid.
async fn talk_without_end(siege: &Siege, tally: &Tally) {
    let mut member = siege.member().await;
    let mut clock = tokio::time::interval(Duration::from_millis(100));
    for frame in 0.. {
        clock.tick().await;
        tally.tried();
        let said: Vec<_> = (0..30).map(|op| member.message(&format!("msg_{frame}_{op}"))).collect();
        member.send(&said.iter().collect::<Vec<_>>()).await;
        if frame % 10 == 9 {
            member.until_held(member.seq - 100).await;
            tally.taken();
        }
    }
}

// ---- gossip ----------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_gossip() {
    let pace = "600 messages/s of up to 8 KiB, two in three a member's, valid, forged or oversize";
    Siege::new().await.withstand("gossip flood", pace, gossip).await;
}

async fn gossip(siege: Arc<Siege>, tally: Arc<Tally>) {
    let member = member_key(&siege).await;
    let gossips = (0..3).map(|number| {
        let identity = if number < 2 { Identity::from_seed(member.seed()) } else { fresh_key() };
        gossip_without_end(&siege, &tally, identity, number)
    });
    futures::future::join_all(gossips).await;
}

async fn gossip_without_end(siege: &Siege, tally: &Tally, identity: Identity, number: u64) {
    let topic = raw_gossip::topic(siege.space());
    let mut at = now_ms(); // so that no message was said before
    speak_without_end(siege, &identity, number, tally, 200, || {
        at += 1;
        // The second of the member's connections says what is not even a message.
        let (bytes, forged) = match (number, at % 50) {
            (1, 0) => (3 * limits::GOSSIP_BYTES_MAX, false),
            (1, _) => (1024, true),
            _ => (limits::GOSSIP_BYTES_MAX, false),
        };
        raw_gossip::message(&identity, &topic, at, &at.to_be_bytes().repeat(bytes / 8), forged)
    })
    .await;
}

/// Sends what `next` gives on a gossip stream, and opens another when that is cut.
async fn speak_without_end(
    siege: &Siege,
    identity: &Identity,
    number: u64,
    tally: &Tally,
    per_second: u32,
    mut next: impl FnMut() -> Vec<u8>,
) {
    let mut clock = tokio::time::interval(Duration::from_secs(1) / per_second);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        if let Some(wire) = RawMuxer::dial(identity, &siege.either(number)).await {
            while let Some(mut stream) = wire.speak(GOSSIP_PROTOCOL).await {
                loop {
                    clock.tick().await;
                    tally.tried();
                    if stream.write_all(&next()).await.is_err() || stream.flush().await.is_err() {
                        break;
                    }
                    tally.taken();
                }
            }
        }
        sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_topics() {
    let pace = "150 requests/s, each with 64 topics more or less, or 128 messages had and wanted";
    Siege::new().await.withstand("topic flood", pace, topics).await;
}

async fn topics(siege: Arc<Siege>, tally: Arc<Tally>) {
    let member = member_key(&siege).await;
    let floods = (0..3).map(|number| {
        let identity = if number < 2 { Identity::from_seed(member.seed()) } else { fresh_key() };
        topics_without_end(&siege, &tally, identity, number)
    });
    futures::future::join_all(floods).await;
}

async fn topics_without_end(siege: &Siege, tally: &Tally, identity: Identity, number: u64) {
    let ours = raw_gossip::topic(siege.space());
    let mut at = now_ms();
    speak_without_end(siege, &identity, number, tally, 50, || {
        at += 1;
        let topics: Vec<_> = (0..64).map(|topic| format!("muster/1/{:064x}", at / 3 * 64 + topic)).collect();
        match at % 3 {
            0 => raw_gossip::subscribe(&topics, true),
            1 => {
                let ids: Vec<_> = (0..128u64).map(|id| (at * 128 + id).to_be_bytes().to_vec()).collect();
                raw_gossip::control(&ours, &ids)
            }
            _ => raw_gossip::subscribe(&topics, false),
        }
    })
    .await;
}

// ---- sizes -----------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn frames_of_giants() {
    let pace = "5 frames/s of 1 MiB said before; 100 questions/s of up to 4 GiB, by strangers";
    Siege::new().await.withstand("giant frames", pace, giants).await;
}

async fn giants(siege: Arc<Siege>, tally: Arc<Tally>) {
    let (mut liar, mut repeater) = (siege.member().await, siege.member().await);
    liar.link.write(&[255; 4]).await; // four gigabytes, and out
    let large = largest_operation(&mut repeater);
    let repeats = async {
        let mut clock = tokio::time::interval(Duration::from_millis(200));
        loop {
            clock.tick().await;
            tally.tried();
            repeater.send_encoded(vec![large.clone()]).await;
            tally.taken();
        }
    };
    let questions = questions_without_end(&siege, &tally, 100, |number| match number % 3 {
        0 => (u32::MAX, Vec::new()),
        1 => (limits::REQUEST_BYTES_MAX as u32 + 1, vec![0; 1024]),
        _ => (limits::REQUEST_BYTES_MAX as u32, vec![0; limits::REQUEST_BYTES_MAX - 1]),
    });
    tokio::join!(repeats, questions);
}

/// An operation that is as large as one may be.
fn largest_operation(member: &mut Member) -> Vec<u8> {
    let place = member.place();
    member.write(place, Kind::ENVELOPE, vec![b' '; limits::BODY_BYTES_MAX]).encode()
}

/// Strangers that ask, each with so many bytes said to come and so many that come.
async fn questions_without_end(
    siege: &Siege,
    tally: &Tally,
    per_second: u32,
    question: impl Fn(u64) -> (u32, Vec<u8>),
) {
    let question = &question;
    loop {
        if let Some(wire) = RawMuxer::dial(&fresh_key(), &siege.tcp()).await {
            let wire = &wire;
            let asks = flood(per_second, many(64), tally, |number| async move {
                let Some(mut stream) = wire.speak(ASK).await else { return };
                tally.taken();
                let (length, bytes) = question(number);
                let _ = stream.write_all(&[&length.to_be_bytes()[..], &bytes].concat()).await;
                let _ = stream.flush().await;
                let _ = tokio::time::timeout(HOLD, stream.read(&mut [0; 16])).await; // refused, or held
            });
            tokio::select! {
                () = asks => {}
                () = wire.until_cut() => {}
            }
        }
        sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_claim_to_be_more() {
    let pace = "100 questions/s of nested or endless CBOR, 20 frames/s of 512 logs that do not exist, \
                10 bombs/s of JSON or gzip";
    Siege::new().await.withstand("allocation bombs", pace, bombs).await;
}

async fn bombs(siege: Arc<Siege>, tally: Arc<Tally>) {
    let questions = questions_without_end(&siege, &tally, 100, |number| {
        let bytes = match number % 3 {
            0 => vec![0x81; limits::REQUEST_BYTES_MAX],          // a nest
            1 => [&[0x83, 1][..], &[0x5b], &[0x7f; 8]].concat(), // bytes without end
            _ => [0x9b, 0x7f, 255, 255, 255, 255, 255, 255, 255].repeat(100), // arrays without end
        };
        (bytes.len() as u32, bytes)
    });
    tokio::join!(questions, logs_without_end(&siege, &tally), bombs_without_end(&siege, &tally));
}

/// A member that has logs nobody ever wrote.
async fn logs_without_end(siege: &Siege, tally: &Tally) {
    let mut member = siege.member().await;
    let mut clock = tokio::time::interval(Duration::from_millis(50));
    for number in 0u64.. {
        clock.tick().await;
        tally.tried();
        let author = if number.is_multiple_of(2) { member.peer.identity.node() } else { fresh_key().node() };
        let height = |log: u64| Height { author, incarnation: number * 512 + log, seq: u64::MAX >> 1 };
        let heights = (0..512).map(height).collect();
        let space = member.space;
        member.link.send(&Frame::Heights { space, heights, whole: number % 7 == 0, credit: 0 }).await;
    }
}

/// Bodies that are small and hold much, for HTTP.
async fn bombs_without_end(siege: &Siege, tally: &Tally) {
    let send = format!("/api/workspaces/{}/network/send", siege.workspace);
    flood(10, many(16), tally, |number| {
        let send = &send;
        async move {
            let (encoding, body) = match number % 3 {
                0 => ("identity", b"[".repeat(limits::HTTP_BODY_BYTES_MAX)),
                1 => ("identity", b"{\"a\":".repeat(200_000)),
                // The head of a gzip file, and a run of zeros without end.
                _ => ("gzip", [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &[0xed; 100_000]].concat()),
            };
            let Ok(mut stream) = TcpStream::connect(siege.http()).await else { return };
            let head = format!(
                "POST {send} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
                 Content-Encoding: {encoding}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                siege.http(),
                body.len()
            );
            if stream.write_all(head.as_bytes()).await.is_ok() && stream.write_all(&body).await.is_ok() {
                let mut answer = Vec::new();
                let _ = stream.read_to_end(&mut answer).await;
                let answer = String::from_utf8_lossy(&answer).into_owned();
                assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
                tally.taken();
            }
        }
    })
    .await;
}

// ---- joining ---------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_join_requests() {
    let pace = "50 strangers/s with new keys, 8 join requests each";
    Siege::new().await.withstand("join flood", pace, joins).await;
}

async fn joins(siege: Arc<Siege>, tally: Arc<Tally>) {
    flood(50, many(50), &tally, |number| {
        let (siege, tally) = (&siege, &tally);
        async move {
            let identity = fresh_key();
            let Some(wire) = RawMuxer::dial(&identity, &siege.either(number)).await else { return };
            let mut ticket = siege.ticket.ticket().clone();
            ticket.issuer = identity.node();
            let request = muster_protocol::ask::JoinRequest {
                ticket: Bytes(ticket.sign(&identity).encode()),
                home: siege.id(),
                node: identity.node(),
                name: "mallory".into(),
                at_ms: now_ms(),
            };
            let question = Question::Join(request).sign(&identity);
            for _ in 0..8 {
                let Some(mut stream) = wire.speak(ASK).await else { return };
                tally.taken();
                let length = (question.len() as u32).to_be_bytes();
                let _ = stream.write_all(&[&length[..], &question].concat()).await;
                let _ = stream.flush().await;
                let _ = tokio::time::timeout(HOLD, stream.read(&mut [0; 64])).await; // refused, or held
            }
        }
    })
    .await;
}

// ---- places ----------------------------------------------------------------------------------------

/// A friend that was away dials in, as one behind a router does, whom nobody else can dial. Strangers hold
/// all the places they can get, and begin handshakes that they never end.
#[tokio::test(flavor = "multi_thread")]
async fn a_friend_gets_in_while_strangers_hold_every_place() {
    let mut siege = Siege::new().await;
    Arc::get_mut(&mut siege).unwrap().friend.kill_now().await;
    let tally = Arc::new(Tally::default());
    let attackers = [
        tokio::spawn(holders(siege.clone(), tally.clone())),
        tokio::spawn(half_open_elsewhere(siege.clone())),
    ];
    sleep(Duration::from_secs(2)).await;
    let since = std::time::Instant::now();
    let friend = siege.friend_again().await;
    support::meet(&siege.workspace, &siege.home, &friend).await;
    println!("a friend is back after {:?}, while strangers hold {}", since.elapsed(), tally.all_taken());
    for attacker in attackers {
        attacker.abort();
        assert!(attacker.await.is_err_and(|error| error.is_cancelled()));
    }
}

/// Strangers with many connections each.
async fn holders(siege: Arc<Siege>, tally: Arc<Tally>) {
    let keys: Vec<_> = (0..limits::STRANGERS_MAX).map(|_| fresh_key()).collect();
    flood(15, 200, &tally, |number| {
        let (siege, tally, identity) = (&siege, &tally, &keys[number as usize % keys.len()]);
        async move {
            let Some(wire) = RawMuxer::dial(identity, &siege.either(number)).await else { return };
            tally.taken();
            let _ = tokio::time::timeout(HOLD, wire.until_cut()).await; // cut, or held
        }
    })
    .await;
}

/// Handshakes without an end from another address than the friend's.
async fn half_open_elsewhere(siege: Arc<Siege>) {
    let (tally, tcp) = (Tally::default(), socket(&siege.tcp()));
    flood(100, 200, &tally, |_| {
        let tally = &tally;
        async move {
            let from = tokio::net::TcpSocket::new_v4().unwrap();
            from.bind("127.0.0.2:0".parse().unwrap()).unwrap();
            hold(from.connect(tcp).await.ok(), tally, &[]).await;
        }
    })
    .await;
}
