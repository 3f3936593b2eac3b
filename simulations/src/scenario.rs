//! Scenarios: what a world is made of, as data. The files are in `simulations/scenarios`.

use std::{num::NonZero, thread};

use serde::Deserialize;

use crate::{chatter, disks, faults::Faults, links::Weather, world};

/// The scenarios that come with the program.
const FILES: [&str; 6] = [
    include_str!("../scenarios/links.toml"),
    include_str!("../scenarios/disks.toml"),
    include_str!("../scenarios/partitions.toml"),
    include_str!("../scenarios/crashes.toml"),
    include_str!("../scenarios/malice.toml"),
    include_str!("../scenarios/copies.toml"),
];

/// What a world is made of.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: String,
    /// What it shows, in a sentence.
    pub about: String,
    /// What lives in it.
    pub play: Play,
}

/// What lives in a world.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Play {
    /// Small talkers that test the simulated links themselves.
    Links(chatter::Plan),
    /// A store that is cut off again and again.
    Disks(disks::Plan),
    /// Whole nodes, with people who use them.
    Nodes(world::Plan),
}

/// What came of one seed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Things done: writes, frames, questions.
    pub ops: u64,
    /// Things that went wrong on purpose.
    pub faults: u64,
    /// Things that went wrong by mistake, each in a sentence.
    pub violations: Vec<String>,
    /// The trace: equal for equal histories.
    pub trace: String,
}

/// Links, faults and the time they have: what all worlds of nodes share.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct World {
    /// How many nodes.
    pub nodes: usize,
    /// For how long things go wrong, in virtual milliseconds.
    pub duration_ms: u64,
    /// How the links are.
    pub weather: Weather,
    /// What goes wrong.
    pub faults: Faults,
}

/// All scenarios.
pub fn all() -> Vec<Scenario> {
    FILES.iter().map(|file| toml::from_str(file).expect("the scenarios were tested to be valid")).collect()
}

impl Scenario {
    /// Plays one seed.
    pub fn play(&self, seed: u64) -> Outcome {
        match &self.play {
            Play::Links(plan) => in_virtual_time(chatter::play(seed, plan)),
            Play::Disks(plan) => disks::play(seed, plan),
            Play::Nodes(plan) => in_virtual_time(world::play(seed, plan)),
        }
    }

    /// Plays several seeds at once, each on a thread of its own; outcomes in their order. One that panics is an error.
    pub fn play_all(&self, seeds: &[u64]) -> Vec<thread::Result<Outcome>> {
        thread::scope(|scope| {
            let threads: Vec<_> = seeds.iter().map(|seed| scope.spawn(|| self.play(*seed))).collect();
            threads.into_iter().map(thread::ScopedJoinHandle::join).collect()
        })
    }
}

/// How many worlds are played at once: as many as the machine has cores, each on one.
pub fn at_once() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Runs a world on one thread and a clock that stands still while anything can run.
fn in_virtual_time<T>(world: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime without input and output needs nothing that could be missing").block_on(world)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scenarios_are_valid_and_have_names_of_their_own() {
        let mut names: Vec<String> = all().into_iter().map(|scenario| scenario.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), FILES.len());
    }

    #[test]
    fn every_scenario_finds_nothing_wrong_and_the_same_twice() {
        for scenario in all() {
            let mut traces = Vec::new();
            for seed in 0..2 {
                let outcome = scenario.play(seed);
                assert!(outcome.violations.is_empty(), "{} {seed}: {:#?}", scenario.name, outcome.violations);
                assert!(outcome.ops > 0 && outcome.faults > 0, "{} {seed} tests nothing", scenario.name);
                assert_eq!(outcome, scenario.play(seed), "{} {seed} does not replay", scenario.name);
                traces.push(outcome.trace);
            }
            assert_ne!(traces[0], traces[1]);
        }
    }
}
