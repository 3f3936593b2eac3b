//! Bugs planted on purpose: checkers that never complain prove nothing.

use muster_simulations::{
    scenario::{self, Outcome, Play, Scenario},
    world::Planted,
};

/// The scenario of crashes with a bug in it.
fn crashes(planted: Planted) -> Scenario {
    let scenario = scenario::all().into_iter().find(|scenario| scenario.name == "crashes");
    let mut scenario = scenario.expect("there is a scenario of crashes");
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
    assert!(is_found(&crashes(Planted::LyingDisk), "cannot be opened"));
}

#[test]
fn a_disk_of_the_past_is_found() {
    assert!(is_found(&crashes(Planted::OldDisk), "was acknowledged at"));
}
