//! A node whose friend talks to it, in quiet and under attack, and how fast that goes.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{StreamExt as _, stream::FuturesUnordered};
use libp2p::Multiaddr;
use muster_protocol::{identity::NodeId, ids::SpaceId, ticket::SignedTicket};
use serde_json::json;
use tokio::{
    sync::{Mutex, MutexGuard},
    time::{MissedTickBehavior, interval, sleep},
};

use super::{
    Api, Node, PATIENCE, Place, QUIC, Session, TCP, processor_time, raw_peer::Member, short_or_full,
    workspace,
};

/// Messages that are on their way to the attacked node at one time: few, so that the rate is the inverse of
/// how long one takes, which shows every delay, and the machine is not busy with the measuring itself.
const ON_THE_WAY_MAX: u64 = 4;
/// How often the attacked node is asked how much has arrived.
const LOOK: Duration = Duration::from_millis(5);
/// How long an attack goes on before anything is measured, and how long it is quiet before the next calm.
const SETTLE: Duration = Duration::from_millis(300);
/// Measurements before a rate that is too low is believed: other programs use this machine.
const ATTEMPTS: usize = 3;
/// What a friend keeps of its undisturbed rate at least.
const SHARE_MIN: f64 = 0.5;
/// What a node may use under any attack, in MiB: an idle one has 45, the store's cache may take 64, and frames
/// that wait for the actors 144 (`limits::MESH_EVENTS_MAX`).
const MEMORY_MIB_MAX: u64 = 256;
/// Files and sockets a node may have open under any attack: a process has as few as 1024.
const FILES_MAX: usize = 900;
/// What an attack may make a node write to its log for each second, in KiB: at this pace a day is 345 MiB.
const LOG_KIB_PER_SECOND_MAX: f64 = 4.0;
/// Where the friend talks.
const CHANNEL: &str = "friends";

/// What an attack does and what comes of it.
#[derive(Default)]
pub struct Tally {
    tried: AtomicU64,
    taken: AtomicU64,
}

impl Tally {
    /// One blow was struck.
    pub fn tried(&self) {
        self.tried.fetch_add(1, Ordering::Relaxed);
    }

    pub fn all_taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// One was not refused at once.
    pub fn taken(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
    }
}

/// Begins something again and again, at most `per_second`, and `at_once` at one time. The pace is what leaves
/// the attacked node its share of the processors: its own limits are tested, not the scheduler's.
pub async fn flood<F: Future<Output = ()>>(
    per_second: u32,
    at_once: usize,
    tally: &Tally,
    mut begin: impl FnMut(u64) -> F,
) {
    let mut clock = interval(Duration::from_secs(1) / per_second);
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut running = FuturesUnordered::new();
    for number in 0.. {
        while running.len() >= at_once {
            running.next().await;
        }
        let mut tick = std::pin::pin!(clock.tick());
        loop {
            tokio::select! {
                _ = &mut tick => break,
                Some(()) = running.next() => {}
            }
        }
        tally.tried();
        running.push(begin(number));
    }
}

/// The attacked node and its friend.
pub struct Siege {
    places: [Place; 2],
    pub home: Node,
    pub friend: Node,
    pub workspace: String,
    speaker: Session,
    pub ticket: SignedTicket,
    most_files: AtomicUsize,
    /// Only one siege at a time: they would disturb each other's measurements.
    _alone: MutexGuard<'static, ()>,
}

impl Siege {
    /// The attacked node listens on both transports.
    pub async fn new() -> Arc<Self> {
        static ALONE: Mutex<()> = Mutex::const_new(());
        let alone = ALONE.lock().await;
        let places = [Place::over(&format!("{QUIC} {TCP}"), "ada"), Place::new("bob")];
        let (home, friend) = tokio::join!(places[0].up(), places[1].up());
        let workspace = workspace(&home, &[&friend]).await;
        let speaker = friend.api.session(&workspace, "coder", CHANNEL).await;
        let ticket = home.api.invite(&workspace, json!({ "max_uses": 1000 })).await;
        let ticket = ticket["ticket"].as_str().unwrap().parse().unwrap();
        Arc::new(Self {
            places,
            home,
            friend,
            workspace,
            speaker,
            ticket,
            most_files: AtomicUsize::new(0),
            _alone: alone,
        })
    }

    pub fn id(&self) -> NodeId {
        self.home.peer_id.parse().unwrap()
    }

    pub fn space(&self) -> SpaceId {
        self.ticket.ticket().space
    }

    pub fn tcp(&self) -> Multiaddr {
        self.address("/tcp/")
    }

    pub fn quic(&self) -> Multiaddr {
        self.address("/quic-v1")
    }

    /// One after the other.
    pub fn either(&self, number: u64) -> Multiaddr {
        if number.is_multiple_of(2) { self.tcp() } else { self.quic() }
    }

    fn address(&self, part: &str) -> Multiaddr {
        self.home.listen.iter().find(|address| address.contains(part)).unwrap().parse().unwrap()
    }

    pub fn http(&self) -> SocketAddr {
        self.home.api.base.trim_start_matches("http://").parse().unwrap()
    }

    /// One more member, with a link.
    pub async fn member(&self) -> Member {
        Member::join(&self.home, &self.ticket).await
    }

    /// The friend after it was killed.
    pub async fn friend_again(&self) -> Node {
        self.places[1].up().await
    }

    pub fn logged(&self) -> String {
        self.places[0].logged()
    }

    /// How many messages of the friend's channel the attacked node has.
    async fn arrived(&self, api: &Api) -> u64 {
        let channels = api.network(&self.workspace, "channels").await.expect(200);
        let channels = channels["channels"].as_array().unwrap().iter();
        let mut counts = channels.filter(|channel| channel["channel"] == CHANNEL);
        counts.next().map_or(0, |channel| channel["message_count"].as_u64().unwrap())
    }

    /// Lets the friend talk for a while; how many messages arrived in a second.
    async fn rate(&self, time: Duration) -> f64 {
        let api = Api::new(&self.home.api.base, &self.home.api.token); // which has to connect anew
        let before = self.arrived(&api).await;
        let (since, said) = (Instant::now(), AtomicU64::new(before));
        let arrived = AtomicU64::new(before);
        let talks = async {
            while since.elapsed() < time {
                if said.load(Ordering::Relaxed) - arrived.load(Ordering::Relaxed) < ON_THE_WAY_MAX {
                    self.friend.api.say(&self.workspace, &self.speaker, "thread_talk", "how are you?").await;
                    said.fetch_add(1, Ordering::Relaxed);
                } else {
                    sleep(LOOK / 2).await;
                }
            }
        };
        let looks = async {
            loop {
                arrived.store(self.arrived(&api).await, Ordering::Relaxed);
                let over = since.elapsed() >= time;
                // A message that is answered may be counted before it is known to have been said.
                if over && arrived.load(Ordering::Relaxed) >= said.load(Ordering::Relaxed) {
                    break;
                }
                assert!(
                    since.elapsed() < time + PATIENCE,
                    "what the friend says arrives no more: {}",
                    self.logged()
                );
                sleep(LOOK).await;
            }
        };
        tokio::join!(talks, looks);
        let arrived = self.arrived(&api).await - before;
        self.most_files.fetch_max(self.home.open_files(), Ordering::Relaxed);
        arrived as f64 / since.elapsed().as_secs_f64()
    }

    /// Compares the friend's rate in quiet and under attack, in turns, and prints and judges what it finds.
    /// An attack goes on until it is ended.
    pub async fn withstand<F: Future<Output = ()> + Send + 'static>(
        mut self: Arc<Self>,
        name: &str,
        pace: &str,
        attack: fn(Arc<Siege>, Arc<Tally>) -> F,
    ) {
        let (rounds, time) = match short_or_full(false, true) {
            true => (7, Duration::from_secs(5)),
            false => (3, Duration::from_millis(750)),
        };
        self.rate(time).await; // the first messages pay for what is done once
        let memory_before = self.home.resident_kib();
        let (began, log_before) = (Instant::now(), self.logged().len());
        let tally = Arc::new(Tally::default());
        for attempt in 1..=ATTEMPTS {
            let (mut calm, mut attacked) = (Vec::new(), Vec::new());
            let (mut busy_calm, mut busy_attacked, mut own) = (0.0, 0.0, 0.0);
            for _ in 0..rounds {
                sleep(SETTLE).await;
                let (since, spent) = (Instant::now(), self.home.processor_time());
                calm.push(self.rate(time).await);
                busy_calm += share(self.home.processor_time() - spent, since) / f64::from(rounds);
                let attacker = tokio::spawn(attack(self.clone(), tally.clone()));
                sleep(SETTLE).await;
                let (since, spent, own_spent) =
                    (Instant::now(), self.home.processor_time(), processor_time("self"));
                attacked.push(self.rate(time).await);
                busy_attacked += share(self.home.processor_time() - spent, since) / f64::from(rounds);
                own += share(processor_time("self") - own_spent, since) / f64::from(rounds);
                attacker.abort();
                let ended = attacker.await;
                assert!(ended.is_err_and(|error| error.is_cancelled()), "{name} ended by itself");
            }
            let (calm, attacked) = (median(calm), median(attacked));
            let peak = self.home.peak_kib();
            println!(
                "{name} | {pace} | {} tried, {} taken | calm {calm:.0}/s | attacked {attacked:.0}/s | ratio {:.2} | \
                 processor {busy_calm:.2} -> {busy_attacked:.2}, attacker and clients {own:.2} | memory {} -> {} MiB | log {} KiB | files {}",
                tally.tried.load(Ordering::Relaxed),
                tally.taken.load(Ordering::Relaxed),
                attacked / calm,
                memory_before / 1024,
                peak / 1024,
                self.logged().len() / 1024,
                self.most_files.load(Ordering::Relaxed),
            );
            assert!(
                Arc::get_mut(&mut self).unwrap().home.is_alive(),
                "{name} brings the node down: {}",
                self.logged()
            );
            assert!(!self.logged().contains("panicked"), "{name}: {}", self.logged());
            assert!(peak / 1024 <= MEMORY_MIB_MAX, "{name} makes the node use {} MiB", peak / 1024);
            let logged = (self.logged().len() - log_before) as f64 / 1024.0 / began.elapsed().as_secs_f64();
            assert!(logged <= LOG_KIB_PER_SECOND_MAX, "{name} fills the log with {logged:.1} KiB/s");
            let files = self.most_files.load(Ordering::Relaxed);
            assert!(files <= FILES_MAX, "{name} makes the node open {files} files");
            assert!(tally.tried.load(Ordering::Relaxed) > 0, "{name} is no attack");
            if attacked >= SHARE_MIN * calm {
                return;
            }
            assert!(
                attempt < ATTEMPTS,
                "{name} takes the friend's rate from {calm:.0} to {attacked:.0} a second"
            );
        }
    }
}

fn share(spent: Duration, since: Instant) -> f64 {
    spent.as_secs_f64() / since.elapsed().as_secs_f64()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
