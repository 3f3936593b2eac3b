//! Whole Muster nodes on a paused clock, with simulated links and crashing disks.
//!
//! A *world* is one seed: its nodes, its links, its disks, its faults and its work all come from it, in
//! one process, on one thread, in virtual time. What breaks once breaks again with the same seed, so
//! that a failure found among thousands of seeds can be looked at as often as it takes.

pub mod chatter;
pub mod checkers;
pub mod clock;
pub mod dice;
pub mod disks;
pub mod faults;
pub mod links;
#[cfg(feature = "mutants")]
pub mod mutants;
pub mod scale;
pub mod scenario;
pub mod trace;
pub mod world;
