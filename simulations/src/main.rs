//! Plays scenarios, seed by seed, and replays the seeds that fail.

use std::{fmt, process::ExitCode, time::Instant};

use clap::{Parser, Subcommand};
use muster_simulations::{
    scale,
    scenario::{self, Outcome, Scenario},
};
use serde::Serialize;
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// Whole Muster nodes on a paused clock, with simulated links and crashing disks.
#[derive(Parser)]
#[command(name = "muster-simulations")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Plays many seeds of every scenario; the last line is a summary in JSON
    Run {
        /// How many seeds of each scenario
        #[arg(long, default_value_t = 20)]
        seeds: u64,
        /// The first seed
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// Only this scenario
        #[arg(long)]
        scenario: Option<String>,
    },
    /// Plays one seed again and prints what came of it, with the hash of its whole history
    Replay {
        /// The seed
        seed: u64,
        /// Only this scenario
        #[arg(long)]
        scenario: Option<String>,
    },
    /// Lists the scenarios
    List,
    /// Plays the sync machines alone, as many as a large workspace has, and prints what agreeing costs
    Scale {
        /// Nodes; several for several rows
        #[arg(long, value_delimiter = ',', default_values_t = [10, 30, 100])]
        nodes: Vec<usize>,
        /// Messages of all nodes together
        #[arg(long, default_value_t = 1_000)]
        messages: usize,
        /// Links of a node, about
        #[arg(long, default_value_t = 8)]
        degree: usize,
        /// The seed
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
    /// Plants mistakes, one at a time, and tells how many seeds it took to see each
    #[cfg(feature = "mutants")]
    Mutants {
        /// The first seed
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// Only this mistake
        #[arg(long)]
        only: Option<String>,
    },
}

/// The last line of `run`.
#[derive(Default, Serialize)]
struct Summary {
    seeds: u64,
    ops: u64,
    faults: u64,
    violations: u64,
    seconds: f64,
}

impl Summary {
    fn count(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        self.ops += outcome.ops;
        self.faults += outcome.faults;
        self.violations += outcome.violations.len() as u64;
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seeds, ops, faults, violations, seconds } = self;
        write!(f, "{seeds} seeds, {ops} ops, {faults} faults, {violations} violations, {seconds:.1} s")
    }
}

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_env_filter(silent_unless_asked()).with_writer(std::io::stderr).init();
    match Arguments::parse().command {
        Command::Run { seeds, from, scenario } => with(scenario, |all| run(all, from, seeds)),
        Command::Replay { seed, scenario } => with(scenario, |all| replay(all, seed)),
        #[cfg(feature = "mutants")]
        Command::Mutants { from, only } => hunt(from, only.as_deref()),
        Command::Scale { nodes, messages, degree, seed } => scale(&nodes, messages, degree, seed),
        Command::List => with(None, |all| {
            all.iter().for_each(|scenario| println!("{:12} {}", scenario.name, scenario.about));
            true
        }),
    }
}

/// Nodes complain about what is done to them on purpose; with `RUST_LOG` they may.
fn silent_unless_asked() -> EnvFilter {
    EnvFilter::builder().with_default_directive(LevelFilter::OFF.into()).from_env_lossy()
}

/// Does something with the scenarios chosen; fails if it finds something wrong or there are none.
fn with(name: Option<String>, act: impl FnOnce(&[Scenario]) -> bool) -> ExitCode {
    let mut scenarios = scenario::all();
    scenarios.retain(|scenario| name.as_ref().is_none_or(|name| *name == scenario.name));
    if scenarios.is_empty() {
        eprintln!("there is no such scenario; `list` shows all");
        return ExitCode::from(2);
    }
    if act(&scenarios) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::disallowed_methods, reason = "how long the real machine took is no part of any world")]
fn run(scenarios: &[Scenario], from: u64, seeds: u64) -> bool {
    let start = Instant::now();
    let mut summary = Summary::default();
    for scenario in scenarios {
        let (begun, mut of_this) = (start.elapsed(), Summary::default());
        let seeds: Vec<u64> = (from..from.saturating_add(seeds)).collect();
        for seeds in seeds.chunks(scenario::at_once()) {
            for (seed, played) in seeds.iter().zip(scenario.play_all(seeds)) {
                let outcome = played.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                of_this.count(&outcome);
                summary.count(&outcome);
                complain(scenario, *seed, &outcome);
            }
        }
        of_this.seconds = (start.elapsed() - begun).as_millis() as f64 / 1000.0;
        println!("{:12} {of_this}", scenario.name);
    }
    summary.seconds = start.elapsed().as_millis() as f64 / 1000.0;
    println!("{}", serde_json::to_string(&summary).expect("five numbers are JSON"));
    summary.violations == 0
}

/// Says what is wrong, and the one command that shows it again.
fn complain(scenario: &Scenario, seed: u64, outcome: &Outcome) {
    if outcome.violations.is_empty() {
        return;
    }
    for violation in &outcome.violations {
        println!("{} {seed}: {violation}", scenario.name);
    }
    println!("cargo run --release -p muster-simulations -- replay {seed} --scenario {}", scenario.name);
}

/// Every mistake has to show; fails if one does not within [`muster_simulations::mutants::SEEDS_MAX`] seeds.
#[cfg(feature = "mutants")]
fn hunt(from: u64, only: Option<&str>) -> ExitCode {
    use muster_simulations::mutants::{Mistake, SEEDS_MAX};
    // Some of them make a node panic; that is seen, too.
    std::panic::set_hook(Box::new(|_| {}));
    let (mut caught, mut survived) = (0, 0);
    for mistake in Mistake::all().filter(|mistake| only.is_none_or(|only| mistake.to_string() == only)) {
        match mistake.hunt(from) {
            Some((seeds, complaint)) => {
                caught += 1;
                let complaint: String = complaint.chars().take(100).collect();
                println!("{mistake:<17} caught after {seeds:>3} seeds: {complaint}");
            }
            None => {
                survived += 1;
                println!("{mistake:<17} SURVIVED {SEEDS_MAX} seeds");
            }
        }
    }
    println!("{{\"caught\":{caught},\"survived\":{survived}}}");
    if survived == 0 && caught > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One row for each number of nodes; fails when one world does not agree.
fn scale(nodes: &[usize], messages: usize, degree: usize, seed: u64) -> ExitCode {
    println!(
        "nodes | messages | operations KiB | heights KiB | wants KiB | digests KiB | repeated | hops | agreed after | \
         idle, a minute | sleeper\n---|---|---|---|---|---|---|---|---|---|---"
    );
    let mut all_agree = true;
    for nodes in nodes {
        let nodes = (*nodes).max(4);
        let size = scale::Size { nodes, messages, degree: degree.clamp(2, nodes / 2 + 1) };
        let cost = scale::play(seed, size);
        all_agree &= cost.agreed_ms.is_some() && cost.catch_up.is_some();
        println!("{} | {messages} | {cost}", size.nodes);
    }
    if all_agree { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn replay(scenarios: &[Scenario], seed: u64) -> bool {
    let mut good = true;
    for scenario in scenarios {
        let outcome = scenario.play(seed);
        println!(
            "{} {seed}: {} ops, {} faults, trace {}",
            scenario.name, outcome.ops, outcome.faults, outcome.trace
        );
        complain(scenario, seed, &outcome);
        good &= outcome.violations.is_empty();
    }
    good
}
