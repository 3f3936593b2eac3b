//! The protocol of links, played through in virtual time by machines over the crate's own rules.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod converge;
mod flow;
mod forks;
mod hostile;
mod membership;
mod node;
mod pairs;
mod schedules;
mod world;

/// Within this time live news has to arrive: no timer of anti-entropy may be needed for it.
const SOON_MS: u64 = 2_000;
