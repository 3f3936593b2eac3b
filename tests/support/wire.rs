//! A network of our own: every node lives in a network namespace, and what they send each other goes through
//! this process, which may lose it, hold it up or keep it back, in either direction.
//!
//! Each namespace has one TUN device. Its other end is here, so one IP packet after the other is read, judged
//! and passed on. The test itself has such a device, too, whose packets always pass: through it it reaches
//! the doors of the nodes. Why not `tc netem`: not every kernel has it, and this is the same for all.
//!
//! It needs root and Linux. [`Wire::lay`] says what is missing where it cannot be.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_tun::Tun;

use super::{Dice, skip};

/// Wires that may lie in one machine at once, each with 16 addresses of 198.18.0.0/15, which is reserved for
/// tests of networks.
const WIRES: u32 = 64;
/// The place of the test itself on its wire; the places before it are for nodes.
const TEST: u8 = 13;
/// Nobody sends larger packets: that is the devices' MTU.
const PACKET_BYTES: usize = 1500;
/// What decides which packets are lost.
const SEED: u64 = 20_261_128;

/// What becomes of packets between nodes, in each direction.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    /// Of a hundred packets, how many are lost.
    pub lost_percent: u64,
    /// How long one is under way.
    pub delay: Duration,
}

/// What the wire does now, and what it did.
struct Rules {
    weather: Weather,
    /// Who is not heard by whom.
    blocked: BTreeSet<(u8, u8)>,
    dice: Dice,
    passed: u64,
    lost: u64,
}

impl Rules {
    /// How long a packet is under way; `None` when it does not arrive.
    fn judge(&mut self, from: u8, to: u8) -> Option<Duration> {
        if from == TEST || to == TEST {
            return Some(Duration::ZERO);
        }
        let lost = self.blocked.contains(&(from, to)) || self.dice.below(100) < self.weather.lost_percent;
        *(if lost { &mut self.lost } else { &mut self.passed }) += 1;
        (!lost).then_some(self.weather.delay)
    }
}

/// Namespaces and the wire between them. When it goes they go, too, also from a test that failed.
pub struct Wire {
    number: u32,
    rules: Arc<Mutex<Rules>>,
    passing: JoinSet<()>,
}

impl Wire {
    /// Lays a wire between so many nodes, each in a namespace; says why when that cannot be done here.
    pub async fn lay(nodes: u8) -> Result<Self, String> {
        assert!(nodes <= TEST);
        let (number, own) = own_device()?;
        let rules = Rules {
            weather: Weather::default(),
            blocked: BTreeSet::new(),
            dice: Dice::new(SEED),
            passed: 0,
            lost: 0,
        };
        // From here on whatever was made is unmade, however this ends.
        let mut wire = Self { number, rules: Arc::new(Mutex::new(rules)), passing: JoinSet::new() };
        wire.unmake(); // what a test left that was killed
        up(&[], &device(number, TEST), &wire.ip(TEST))?;
        let mut devices = BTreeMap::from([(TEST, Arc::new(own))]);
        for node in 0..nodes {
            let (name, space) = (device(number, node), wire.namespace(node));
            let made = tun(&name).map_err(|cause| format!("no TUN device: {cause}"))?;
            ip(&["netns", "add", &space])?;
            // It stays connected with this process wherever it is.
            ip(&["link", "set", &name, "netns", &space])?;
            let inside = ["-n", space.as_str()];
            ip(&[&inside[..], &["link", "set", "lo", "up"]].concat())?;
            up(&inside, &name, &wire.ip(node))?;
            devices.insert(node, Arc::new(made));
        }
        wire.pass_on(devices);
        Ok(wire)
    }

    /// Lays one, or says why a test that cannot do without one is skipped.
    pub async fn lay_or_skip(nodes: u8) -> Option<Self> {
        match Self::lay(nodes).await {
            Ok(wire) => Some(wire),
            Err(why) => {
                skip(&format!("it needs network namespaces and TUN devices: {why}"));
                None
            }
        }
    }

    /// Lays one, or says that the nodes live on loopback instead, where the machine allows no other way.
    pub async fn lay_or_loopback(nodes: u8) -> Option<Self> {
        match Self::lay(nodes).await {
            Ok(wire) => Some(wire),
            Err(why) => {
                println!("on loopback instead of in network namespaces: {why}");
                None
            }
        }
    }

    /// The address of a node.
    pub fn ip(&self, node: u8) -> String {
        let address = self.number * 16 + u32::from(node) + 1;
        format!("198.18.{}.{}", address / 256, address % 256)
    }

    /// The name of a node's namespace.
    pub fn namespace(&self, node: u8) -> String {
        format!("muster-{}-{node}", self.number)
    }

    fn rules(&self) -> std::sync::MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What becomes of all packets between nodes from now on.
    pub fn weather(&self, weather: Weather) {
        self.rules().weather = weather;
    }

    /// Lets nothing of `from` arrive at `to`; the other direction stays as it is.
    pub fn deafen(&self, to: u8, from: u8) {
        self.rules().blocked.insert((from, to));
    }

    /// Lets nothing through between the nodes of one side and those of the other.
    pub fn part(&self, one: &[u8], other: &[u8]) {
        for (one, other) in one.iter().flat_map(|one| other.iter().map(|other| (*one, *other))) {
            self.deafen(one, other);
            self.deafen(other, one);
        }
    }

    /// Lets everything through again.
    pub fn heal(&self) {
        self.rules().blocked.clear();
    }

    /// Packets between nodes that arrived, and those that did not.
    pub fn counted(&self) -> (u64, u64) {
        let rules = self.rules();
        (rules.passed, rules.lost)
    }

    /// Starts what reads, judges and passes on.
    fn pass_on(&mut self, devices: BTreeMap<u8, Arc<Tun>>) {
        let mut ends = BTreeMap::new();
        for (place, device) in &devices {
            let (line, packets) = unbounded_channel();
            ends.insert(*place, (device.clone(), line));
            self.passing.spawn(deliver(device.clone(), packets));
        }
        let first = self.number * 16 + 1;
        for (from, device) in devices {
            self.passing.spawn(take(device, from, first, ends.clone(), self.rules.clone()));
        }
    }

    fn unmake(&self) {
        for namespace in (0..TEST).map(|node| self.namespace(node)) {
            if Path::new("/run/netns").join(&namespace).exists() {
                let _ = ip(&["netns", "delete", &namespace]);
            }
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.unmake(); // devices go with their namespace, and the test's own with its process or task
    }
}

/// A packet and when it is there.
type Underway = (Instant, Vec<u8>);

async fn take(
    device: Arc<Tun>,
    from: u8,
    first: u32,
    ends: BTreeMap<u8, (Arc<Tun>, UnboundedSender<Underway>)>,
    rules: Arc<Mutex<Rules>>,
) {
    let mut packet = [0; PACKET_BYTES];
    // An error means that the device is gone.
    while let Ok(length) = device.recv(&mut packet).await {
        let packet = &packet[..length];
        // IPv4 alone: version in the first half byte, the receiver in the last four of the header.
        if length < 20 || packet[0] >> 4 != 4 {
            continue;
        }
        let to = u32::from(packet[18]) * 256 + u32::from(packet[19]);
        let to = to.checked_sub(first).and_then(|to| u8::try_from(to).ok());
        let Some((to, (end, line))) = to.and_then(|to| ends.get_key_value(&to)) else { continue };
        let judged = rules.lock().unwrap_or_else(PoisonError::into_inner).judge(from, *to);
        match judged {
            // Not behind those that are held up: the test's own packets pass at once.
            Some(Duration::ZERO) => drop(end.send(packet).await),
            Some(delay) => drop(line.send((Instant::now() + delay, packet.to_vec()))),
            None => {}
        }
    }
}

async fn deliver(device: Arc<Tun>, mut packets: UnboundedReceiver<Underway>) {
    while let Some((at, packet)) = packets.recv().await {
        sleep_until(at).await;
        let _ = device.send(&packet).await; // lost, as packets are
    }
}

fn device(number: u32, place: u8) -> String {
    format!("muster{number}w{place}")
}

fn tun(name: &str) -> Result<Tun, String> {
    let made = Tun::builder().name(name).build().map_err(|cause| cause.to_string())?;
    made.into_iter().next().ok_or_else(|| "the system made none".to_owned())
}

/// The test's own device. Who makes the one of a number has that number: no other process can make it.
fn own_device() -> Result<(u32, Tun), String> {
    let mut why = String::new();
    for number in 0..WIRES {
        match tun(&device(number, TEST)) {
            Ok(tun) => return Ok((number, tun)),
            Err(cause) => why = cause,
        }
    }
    Err(format!("no TUN device: {why}"))
}

fn up(inside: &[&str], device: &str, address: &str) -> Result<(), String> {
    let address = format!("{address}/28");
    ip(&[inside, &["addr", "add", &address, "dev", device]].concat())?;
    ip(&[inside, &["link", "set", device, "up"]].concat())
}

fn ip(words: &[&str]) -> Result<(), String> {
    let told = Command::new("ip").args(words).output().map_err(|cause| format!("no `ip`: {cause}"))?;
    match told.status.success() {
        true => Ok(()),
        false => Err(format!("ip {}: {}", words.join(" "), String::from_utf8_lossy(&told.stderr).trim())),
    }
}
