//! One machine: its disk, its clock, its address, and the process that runs on it at the moment.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use muster_actors::{
    NetworkSettings, Node, Settings,
    ports::{Clock, Entropy, NoExtraction, NoPrograms, Ports},
};
use muster_protocol::{
    identity::{Identity, NodeId},
    ids::WorkspaceId,
};
use muster_storage::{
    Disk, OpenError, Options, Store,
    crash::{CrashDisk, Fault},
};
use rand::{Rng, RngExt};
use redb::StorageBackend;

use super::{Planted, Shared, ledger::Promised, reader::Seen};
use crate::{
    clock::SimClock,
    dice::{self, Dice, SimEntropy},
    links::Crash,
};

/// The page cache of a store: small, so that it really reads.
const CACHE_BYTES: usize = 256 * 1024;
/// How many calls of a disk go well at most between the moment a fault is set and its strike. A commit
/// takes about ten.
const CALLS_MAX: u64 = 60;
/// How long a node that has failed goes on at most until its process is gone, in milliseconds.
const LIMP_MS_MAX: u64 = 300;
/// How long a node may take to stop when asked to.
const STOP_MAX: Duration = Duration::from_secs(5);

/// See the module.
pub struct Machine {
    index: usize,
    identity: Arc<Identity>,
    blobs: PathBuf,
    shared: Arc<Shared>,
    state: Mutex<State>,
    /// What was read from this machine so far.
    pub(super) seen: Seen,
}

struct State {
    disk: CrashDisk,
    boot: u64,
    node: Option<Node>,
    /// The clock of the process that runs.
    clock: Option<Arc<SimClock>>,
    /// By how much the wall clock was set wrong, in milliseconds.
    jumped_ms: i64,
    /// How it will crash if a fault that was set does not strike in time.
    crash: Crash,
    dice: Dice,
    /// Dead and living processes: what they hold of their disk.
    processes: Vec<Weak<()>>,
    planted: Option<Planted>,
    /// What was on the disk one life earlier.
    old_disk: Option<CrashDisk>,
    /// A copy of its folder.
    copy: Option<Copy>,
    /// Its disk is such a copy, and was not opened since.
    is_copy: bool,
}

/// A copy of a folder, and what had been promised when it was made.
struct Copy {
    disk: CrashDisk,
    promised: Promised,
}

impl Machine {
    /// A machine that was never switched on.
    pub(super) fn new(shared: Arc<Shared>, index: usize, blobs: PathBuf) -> Arc<Self> {
        let state = State {
            disk: CrashDisk::new(),
            boot: 0,
            node: None,
            clock: None,
            jumped_ms: 0,
            crash: Crash::Killed,
            dice: dice::dice(shared.seed, "machine", &[&index.to_be_bytes()]),
            processes: Vec::new(),
            planted: shared.plan.planted.filter(|_| index == 0),
            old_disk: None,
            copy: None,
            is_copy: false,
        };
        let identity = Arc::new(Identity::from_seed(dice::secret(shared.seed, "node", index)));
        Arc::new(Self { index, identity, blobs, shared, state: Mutex::new(state), seen: Seen::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its number in the world.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Its node's name in the mesh.
    pub fn id(&self) -> NodeId {
        self.identity.node()
    }

    /// The node that runs on it, if one does.
    pub fn node(&self) -> Option<Node> {
        self.state().node.clone()
    }

    /// How many processes it has run.
    pub fn boot(&self) -> u64 {
        self.state().boot
    }

    /// What all share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The workspace, if its node holds it.
    pub fn workspace(&self) -> Option<WorkspaceId> {
        let workspace = self.shared.ledger.workspace()?;
        self.node()?.store().space_of(workspace).map(|_| workspace)
    }

    /// Whether its disk is failing, so that its node may complain.
    pub fn is_failing(&self) -> bool {
        self.state().disk.is_failing()
    }

    /// Something is wrong with it.
    pub(super) fn wrong(&self, what: &str) {
        let (at, boot) = (self.shared.beginning.elapsed_ms(), self.boot());
        self.shared.ledger.wrong(format!("node {} in life {boot}, {at} ms: {what}", self.index));
    }

    // ---- its life ------------------------------------------------------------------------------

    /// Starts a process on what is on the disk.
    pub(super) async fn start(self: &Arc<Self>) {
        let entropy = Arc::new({
            let mut state = self.state();
            state.boot += 1;
            SimEntropy::new(self.shared.seed, self.index, state.boot)
        });
        let store = match self.open(&entropy) {
            Ok(store) => store,
            Err(error) => return self.wrong(&format!("its store cannot be opened: {error}")),
        };
        let offset_ms = {
            let most = self.shared.plan.clock_offset_ms;
            let mut state = self.state();
            state.dice.random_range(-most..=most) + state.jumped_ms
        };
        let clock = Arc::new(SimClock::new(self.shared.beginning, offset_ms));
        self.state().clock = Some(Arc::clone(&clock));
        let (network, events) = self.shared.mesh.start(self.id(), &address(self.index));
        let ports = Ports {
            clock,
            entropy,
            network: Arc::new(network),
            programs: Arc::new(NoPrograms),
            extract: Arc::new(NoExtraction),
        };
        let settings = Settings {
            name: format!("node {}", self.index),
            network: NetworkSettings {
                queue_depth: self.shared.plan.inbox_depth,
                ..NetworkSettings::default()
            },
        };
        match Node::start(Arc::clone(&self.identity), store, ports, events, settings).await {
            Ok(node) => {
                self.watch(&node);
                self.state().node = Some(node);
                self.seen.check_again(self);
                super::reader::read(self);
            }
            Err(error) => self.wrong(&format!("its node does not start: {error}")),
        }
    }

    fn open(&self, entropy: &SimEntropy) -> Result<Store, OpenError> {
        let mut fresh = [0; 24];
        entropy.fill(&mut fresh);
        let options = Options {
            cache_bytes: CACHE_BYTES,
            inbox_depth: self.shared.plan.inbox_depth,
            inline: true,
            fresh,
            blobs: self.blobs.clone(),
        };
        let mut state = self.state();
        if state.boot > 1 && !self.shared.ledger.is_calm() && state.dice.random_ratio(1, 4) {
            // Power goes while the store recovers.
            let calls = state.dice.random_range(0..CALLS_MAX / 2);
            state.disk.fail_after(calls, Fault::Output);
            let opened = Store::open(state.backend(), Arc::clone(&self.identity), &options);
            drop(opened);
            state.fall(Crash::PowerCut);
        }
        let store = Store::open(state.backend(), Arc::clone(&self.identity), &options)?;
        state.is_copy = false;
        Ok(store)
    }

    /// Ends the process once its node says that it has failed.
    #[expect(clippy::disallowed_methods, reason = "a machine is a task of its world")]
    fn watch(self: &Arc<Self>, node: &Node) {
        let (mut failure, boot, machine) = (node.failure(), self.boot(), Arc::clone(self));
        tokio::spawn(async move {
            if failure.changed().await.is_err() {
                return; // it is gone
            }
            let reason = failure.borrow_and_update().clone().unwrap_or_default();
            if machine.boot() != boot || machine.node().is_none() {
                return;
            }
            if !machine.is_failing() {
                machine.wrong(&format!("its node fails by itself: {reason}"));
            }
            let (limp, crash) = {
                let mut state = machine.state();
                (state.dice.random_range(0..LIMP_MS_MAX), state.crash)
            };
            machine.shared.clock().sleep(Duration::from_millis(limp)).await;
            if machine.boot() == boot {
                machine.crash(crash);
            }
        });
    }

    /// Lets it crash: at once, when its disk is written to next, or politely.
    pub(super) async fn strike(&self, crash: Crash) {
        let way = {
            let mut state = self.state();
            state.crash = crash;
            state.dice.random_range(0..4)
        };
        match (way, crash) {
            (0, _) => self.crash(crash),
            (1, Crash::Killed) => self.stop().await,
            _ => {
                let mut state = self.state();
                let fault = match (crash, state.dice.random_range(0..4)) {
                    (Crash::Killed, 0) => Fault::Full,
                    (Crash::Killed, 1) => Fault::Input,
                    _ => Fault::Output,
                };
                let calls = state.dice.random_range(0..CALLS_MAX);
                state.disk.fail_after(calls, fault);
            }
        }
    }

    /// Sets its wall clock forward or back, also while it is down.
    pub(super) fn jump(&self, by_ms: i64) {
        let mut state = self.state();
        state.jumped_ms += by_ms;
        if let Some(clock) = &state.clock {
            clock.jump(by_ms);
        }
    }

    /// Copies its folder, once all of the world are there and at work: whoever a home let in and forgot, and of whom
    /// nobody else heard, could not come back by itself (see `docs/reliability.md`).
    pub(super) fn copy_folder(&self) {
        let plan = &self.shared.plan;
        if self.shared.ledger.sessions().len() == plan.world.nodes * (plan.channels + 1) {
            let promised = self.shared.ledger.promised(self.index);
            let mut state = self.state();
            if !state.disk.is_failing() {
                let disk = state.disk.image();
                state.copy = Some(Copy { disk, promised });
            }
        }
    }

    /// Comes back from the copy of its folder, if there is one and it runs.
    pub(super) async fn come_back(self: &Arc<Self>) {
        if self.node().is_none() || self.state().copy.is_none() {
            return;
        }
        self.crash(Crash::Killed);
        // Whoever was answered before that notes it first.
        self.shared.clock().sleep(Duration::from_millis(1)).await;
        let Some(Copy { disk, promised }) = self.state().copy.take() else { return };
        self.shared.ledger.forget(self.index, &promised);
        self.seen.forget();
        {
            let mut state = self.state();
            (state.disk, state.is_copy) = (disk, true);
        }
        self.start().await;
    }

    /// Ends its process, if one is left, and starts another.
    pub(super) async fn restart(self: &Arc<Self>) {
        let crash = self.state().crash;
        self.crash(crash);
        self.start().await;
    }

    /// Ends its process from outside.
    pub(super) fn crash(&self, crash: Crash) {
        let node = {
            let mut state = self.state();
            let Some(node) = state.node.take() else { return };
            state.fall(crash);
            node
        };
        self.shared.mesh.crash(self.id(), crash);
        node.kill();
        self.shared.record("crash", &[&self.index.to_be_bytes(), format!("{crash:?}").as_bytes()]);
    }

    /// Asks its node to stop.
    async fn stop(&self) {
        let Some(node) = self.state().node.take() else { return };
        let before = self.shared.beginning.elapsed_ms();
        node.stop().await;
        let took = self.shared.beginning.elapsed_ms() - before;
        if took > STOP_MAX.as_millis() as u64 {
            self.wrong(&format!("its node took {took} ms to stop"));
        }
        drop(node);
        self.state().fall(Crash::Killed);
    }

    /// Complains if something of a dead process is left.
    pub(super) fn leftovers(&self) -> Option<String> {
        let state = self.state();
        let left = state.processes.iter().filter(|process| process.strong_count() > 0).count();
        let expected = usize::from(state.node.is_some());
        (left != expected).then(|| {
            format!("node {}: {left} of {} processes still hold their store", self.index, state.boot)
        })
    }
}

impl State {
    /// The disk for one process.
    fn backend(&mut self) -> Disk {
        let alive = Arc::new(());
        self.processes.push(Arc::downgrade(&alive));
        let lies = self.planted == Some(Planted::LyingDisk);
        let held = Box::new(Held { disk: self.disk.clone(), lies, alive });
        if self.is_copy { Disk::Copied(held) } else { Disk::Backend(held) }
    }

    /// Freezes the disk for the process that dies, and leaves the next one what a crash leaves.
    fn fall(&mut self, crash: Crash) {
        match crash {
            Crash::Killed => self.disk.kill(),
            Crash::PowerCut => {
                let dice = &mut self.dice;
                self.disk.power_cut(|| dice.next_u64());
            }
        }
        self.disk = self.disk.image();
        if self.planted == Some(Planted::OldDisk)
            && let Some(old) = self.old_disk.replace(self.disk.image())
        {
            self.disk = old;
        }
    }
}

/// Where a machine listens.
pub(super) fn address(index: usize) -> String {
    format!("/memory/{}", index + 1)
}

/// A disk as one process holds it, so that it can be seen when it lets go.
#[derive(Debug)]
struct Held {
    disk: CrashDisk,
    lies: bool,
    #[expect(dead_code, reason = "it is held, no more")]
    alive: Arc<()>,
}

impl StorageBackend for Held {
    fn len(&self) -> std::io::Result<u64> {
        self.disk.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.disk.read(offset, out)
    }
    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.disk.set_len(len)
    }
    fn sync_data(&self) -> std::io::Result<()> {
        if self.lies { Ok(()) } else { self.disk.sync_data() }
    }
    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.disk.write(offset, data)
    }
    fn close(&self) -> std::io::Result<()> {
        self.disk.close()
    }
}
