//! The scenario of whole nodes: real actors and real stores on crashing disks, over simulated links.
//!
//! Each node is a [`Machine`] with a person at it: the person founds or joins the workspace, starts
//! sessions and lets them speak, asking again whenever no answer comes. Readers page through everything
//! meanwhile. A timeline of faults runs over it. Then everything is healed, the nodes get some virtual
//! minutes to agree, all of them lose power once more, and [`crate::checkers`] compare what is on the
//! disks with what the [`Ledger`] says the people were promised.

mod confidant;
mod ledger;
mod machine;
mod person;
mod reader;
mod speaker;
mod villain;
mod watch;
mod wishes;

use std::{sync::Arc, time::Duration};

use muster_actors::ports::Clock;
use muster_protocol::identity::NodeId;
use rand::RngExt;
use serde::Deserialize;

pub use self::{
    ledger::{Confided, Ledger, Resolved, Said, Session, Told},
    machine::Machine,
    reader::{Seen, key_of},
    villain::{Deed, Den, Malice},
};
use crate::{
    checkers,
    clock::{Beginning, SimClock},
    dice,
    faults::{self, Strike},
    links::{Crash, SimMesh},
    scenario::{Outcome, World},
    trace::Trace,
};

/// How long nodes that are no longer disturbed have to agree on everything. A friend that was out of
/// reach for long is dialled every 30 s, and digests are compared every 30 s.
const PEACE: Duration = Duration::from_secs(300);
/// How often it is looked whether they do.
const LOOK: Duration = Duration::from_millis(500);

/// What people do, and in which world.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Channels; every node has a session in each, and in the first one more.
    pub channels: usize,
    /// Threads of each channel.
    pub threads: usize,
    /// Things that each session wants: most are messages.
    pub messages: usize,
    /// Longest text of a message, in bytes.
    pub text_bytes_max: usize,
    /// Envelopes that may wait for one session.
    pub inbox_depth: usize,
    /// By how much a wall clock is wrong at most, in milliseconds.
    pub clock_offset_ms: i64,
    /// When the last node arrives at the latest, in milliseconds: all that was said is news to it.
    pub late_ms: u64,
    /// Their world.
    pub world: World,
    /// How often the owner has something decided while things go wrong.
    #[serde(default)]
    pub decisions: u64,
    /// Things that the person at each node does in private: most are messages.
    #[serde(default)]
    pub confidences: usize,
    /// Members that are no honest nodes.
    #[serde(default)]
    pub malice: Malice,
    /// A bug that is there on purpose.
    #[serde(skip)]
    pub planted: Option<Planted>,
}

/// Bugs that the checkers have to find: whoever trusts them should have seen them bite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// The first node's disk says that it has synced and has not.
    LyingDisk,
    /// The first node comes back on the disk it had one life earlier, as from a copy nobody marked as one.
    OldDisk,
    /// Everybody's door says in a thread what is meant for a room.
    SpokenAloud,
    /// The first node decides work in the order in which messages reach it.
    WorkByArrival,
}

impl Planted {
    /// All of them.
    pub const ALL: [Planted; 4] =
        [Planted::LyingDisk, Planted::OldDisk, Planted::SpokenAloud, Planted::WorkByArrival];
}

impl Plan {
    /// The same in other proportions; see [`faults::Faults::varied`].
    fn varied(&self, seed: u64) -> Self {
        let mut dice = dice::dice(seed, "plan", &[]);
        let mut varied = self.clone();
        varied.world.faults = self.world.faults.varied(&mut dice);
        if dice.random_ratio(1, 8) {
            varied.text_bytes_max *= 16;
        }
        varied.clock_offset_ms = dice.random_range(0..=self.clock_offset_ms);
        varied.late_ms = dice.random_range(0..=self.late_ms);
        varied.malice = self.malice.varied(&mut dice);
        varied
    }
}

/// What everything in one world shares.
pub struct Shared {
    /// Where all chance comes from.
    pub seed: u64,
    /// What is to happen.
    pub plan: Plan,
    /// When it began.
    pub beginning: Beginning,
    /// The links.
    pub mesh: SimMesh,
    /// What was said and promised.
    pub ledger: Ledger,
    /// The villains, and what they know.
    pub den: Den,
    /// What happened.
    pub trace: Trace,
}

impl Shared {
    /// Time that is right.
    pub fn clock(&self) -> SimClock {
        SimClock::new(self.beginning, 0)
    }

    /// Adds to the trace.
    pub fn record(&self, what: &str, parts: &[&[u8]]) {
        self.trace.record(self.beginning.elapsed_ms(), what, parts);
    }
}

struct Nodes {
    shared: Arc<Shared>,
    machines: Vec<Arc<Machine>>,
    ids: Vec<NodeId>,
}

/// Plays one seed.
pub async fn play(seed: u64, plan: &Plan) -> Outcome {
    let blobs = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => {
            let violations = vec![format!("there is no room for a temporary folder: {error}")];
            return Outcome { violations, ..Outcome::default() };
        }
    };
    let plan = plan.varied(seed);
    let nodes = plan.world.nodes;
    let (beginning, trace) = (Beginning::now(), Trace::new());
    let mesh = SimMesh::new(seed, plan.world.weather.clone(), beginning, trace.clone());
    if plan.malice.villains > 0 {
        mesh.set_ban(plan.malice.ban_ms);
    }
    let den = Den::new(villain::identities(seed, plan.malice.villains));
    let shared = Arc::new(Shared { seed, plan, beginning, mesh, ledger: Ledger::default(), den, trace });
    let machine = |index| Machine::new(Arc::clone(&shared), index, blobs.path().join(index.to_string()));
    let machines: Vec<_> = (0..nodes).map(machine).collect();
    let ids = machines.iter().map(|machine| machine.id()).collect();
    let mut nodes = Nodes { shared, machines, ids };
    nodes.live().await
}

impl Nodes {
    async fn live(&mut self) -> Outcome {
        let World { nodes, duration_ms, ref faults, .. } = self.shared.plan.world;
        let mut dice = dice::dice(self.shared.seed, "faults", &[]);
        let timeline = faults::timeline(&mut dice, faults, nodes, duration_ms);
        // A store is created in peace; so it is on real machines: see `storage/src/schema.rs`.
        for machine in &self.machines {
            machine.start().await;
        }
        watch::begin(&self.shared, &self.machines);
        let mut people: Vec<_> = self.machines.iter().map(person::arrive).collect();
        villain::arrive(&self.shared, &self.ids);
        people.extend(villain::remove_one(&self.machines[0]));
        people.extend(self.machines.iter().map(person::decide));
        people.extend(self.machines.iter().map(confidant::confide));
        for (at, strike) in &timeline {
            let wait = at.saturating_sub(self.shared.beginning.elapsed_ms());
            self.shared.clock().sleep(Duration::from_millis(wait)).await;
            self.shared.record("strike", &[format!("{strike:?}").as_bytes()]);
            self.strike(strike).await;
        }
        self.shared.mesh.heal();
        self.ids.iter().for_each(|node| self.shared.mesh.set_pace(*node, 0));
        self.shared.ledger.calm();
        let settled = self.settle(&people).await;
        let mut violations = self.shared.mesh.complaints();
        violations.extend(self.shared.mesh.bans());
        violations.extend(settled.err());
        violations.extend(self.machines.iter().filter_map(|machine| machine.leftovers()));
        for machine in &self.machines {
            machine.crash(Crash::PowerCut);
        }
        for machine in &self.machines {
            machine.start().await;
        }
        violations.extend(self.shared.ledger.violations());
        violations.extend(checkers::check(&self.shared, &self.machines));
        Outcome {
            ops: self.shared.ledger.taken(),
            faults: timeline.iter().filter(|(_, strike)| strike.is_fault()).count() as u64
                + self.shared.den.deeds(),
            violations,
            trace: self.shared.trace.digest(),
        }
    }

    async fn strike(&self, strike: &Strike) {
        match strike {
            Strike::Crash(index, crash) => self.machines[*index].strike(*crash).await,
            Strike::Restart(index) => self.machines[*index].restart().await,
            Strike::Jump(index, by_ms) => self.machines[*index].jump(*by_ms),
            Strike::Copy(index) => self.machines[*index].copy_folder(),
            Strike::Return(index) => self.machines[*index].come_back().await,
            links => links.apply_to_links(&self.shared.mesh, &self.ids),
        }
    }

    /// Waits until everybody has said everything and all nodes agree.
    async fn settle(&self, people: &[person::Person]) -> Result<(), String> {
        let ends_ms = self.shared.beginning.elapsed_ms() + PEACE.as_millis() as u64;
        loop {
            let busy = people.iter().any(|person| !person.is_done());
            let differs = checkers::disagreement(&self.shared, &self.machines);
            let waits = busy.then(|| format!("somebody still waits for an answer; {differs:?}"));
            match waits.or(differs) {
                None => return Ok(()),
                Some(differs) if self.shared.beginning.elapsed_ms() >= ends_ms => {
                    return Err(format!("not settled {} s after the last fault: {differs}", PEACE.as_secs()));
                }
                Some(_) => self.shared.clock().sleep(LOOK).await,
            }
        }
    }
}
