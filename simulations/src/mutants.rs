//! The command `mutants`: plants one mistake after the other and looks how many seeds it takes to see it.
//!
//! A mistake is planted in the code that is simulated (see [`muster_protocol::mutants`]; such a program is built
//! with the feature `mutants`), or in what surrounds it (see [`crate::world::Planted`]).

use std::fmt;

use muster_protocol::mutants::{self, Mutant};

use crate::{
    scenario::{self, Play, Scenario},
    world::Planted,
};

/// A mistake that survives so many seeds was not found.
pub const SEEDS_MAX: u64 = 500;

/// A mistake on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// In the code that is simulated.
    Code(Mutant),
    /// In a disk, a door or a reader of a world.
    World(Planted),
}

impl Mistake {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        let code = Mutant::ALL.into_iter().map(Mistake::Code);
        code.chain(Planted::ALL.into_iter().map(Mistake::World))
    }

    /// The scenario in which it has the best chance to show.
    fn scenario(self) -> &'static str {
        match self {
            Mistake::Code(mutant) => match mutant {
                Mutant::AckBeforeDurable | Mutant::PushBeforeCommit | Mutant::ForgottenClock => "crashes",
                Mutant::RankAsCursor
                | Mutant::DoubleApply
                | Mutant::ForgetfulRetry
                | Mutant::EndlessInbox
                | Mutant::FormerHome
                | Mutant::SharedSlug
                | Mutant::CrowdedGroup
                | Mutant::OpenGroup => "partitions",
                Mutant::LostIncarnation | Mutant::HastyHome => "copies",
                Mutant::SkippedCutOff
                | Mutant::UncheckedPrev
                | Mutant::LooseVerify
                | Mutant::SkippedVerify
                | Mutant::BoundsFromFrame
                | Mutant::BlindDigest
                | Mutant::UnfrozenFork
                | Mutant::OpenName => "malice",
            },
            Mistake::World(Planted::WorkByArrival) => "partitions",
            Mistake::World(_) => "crashes",
        }
    }

    /// Plays seeds with it until one complains: how many it took, and the first complaint.
    pub fn hunt(self, from: u64) -> Option<(u64, String)> {
        let mut scenario = named(self.scenario());
        match self {
            Mistake::Code(mutant) => mutants::plant(Some(mutant)),
            Mistake::World(planted) => {
                mutants::plant(None);
                if let Play::Nodes(plan) = &mut scenario.play {
                    plan.planted = Some(planted);
                }
            }
        }
        let seeds: Vec<u64> = (from..from + SEEDS_MAX).collect();
        let found = seeds.chunks(scenario::at_once()).find_map(|seeds| {
            seeds.iter().zip(scenario.play_all(seeds)).find_map(|(seed, played)| {
                let panics = |_| vec!["a node panics".to_owned()];
                let violations = played.map_or_else(panics, |played| played.violations);
                Some((seed - from + 1, violations.into_iter().next()?))
            })
        });
        mutants::plant(None);
        found
    }
}

fn named(name: &str) -> Scenario {
    let mut all = scenario::all().into_iter();
    all.find(|scenario| scenario.name == name).expect("each mistake names a scenario that there is")
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mistake::Code(mutant) => write!(f, "{mutant:?}"),
            Mistake::World(planted) => write!(f, "{planted:?}"),
        }
    }
}
