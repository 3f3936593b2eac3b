//! Bugs planted on purpose: checkers that never complain prove nothing.

use muster_simulations::{
    scenario::{self, Outcome, Play, Scenario},
    world::Planted,
};

/// A scenario with a bug in it.
fn with(planted: Planted, name: &str) -> Scenario {
    let scenario = scenario::all().into_iter().find(|scenario| scenario.name == name);
    let mut scenario = scenario.expect("there is a scenario of that name");
    let Play::Nodes(plan) = &mut scenario.play else { panic!("its nodes are gone") };
    plan.planted = Some(planted);
    scenario
}

/// Whether one of a few seeds shows something in these words.
fn is_found(scenario: &Scenario, words: &str) -> bool {
    let shows = |outcome: Outcome| outcome.violations.iter().any(|violation| violation.contains(words));
    (0..10).any(|seed| shows(scenario.play(seed)))
}

#[test]
fn a_disk_that_lies_about_its_syncs_is_found() {
    assert!(is_found(&with(Planted::LyingDisk, "crashes"), "cannot be opened"));
}

#[test]
fn a_disk_of_the_past_is_found() {
    assert!(is_found(&with(Planted::OldDisk, "crashes"), "was acknowledged at"));
}

#[test]
fn a_door_that_says_aloud_what_is_for_one_peer_is_found_n33() {
    assert!(is_found(&with(Planted::SpokenAloud, "crashes"), "was said to others alone"));
}

#[test]
fn work_that_is_decided_in_the_order_of_arrival_is_found_n47() {
    assert!(is_found(&with(Planted::WorkByArrival, "partitions"), "where the messages say"));
}
