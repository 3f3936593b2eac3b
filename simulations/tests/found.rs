//! Seeds that once failed. What each of them found stands in its name; it must not come back.
//!
//! When scenarios change, a seed plays another history. Then put the mistake back for a moment, and look for seeds
//! that show it again.

use muster_simulations::scenario;

fn finds_nothing(name: &str, seed: u64) {
    let scenario = scenario::all().into_iter().find(|scenario| scenario.name == name);
    let scenario = scenario.expect("a scenario of this name");
    assert_eq!(scenario.play(seed).violations, [""; 0]);
}

/// A restarted node had forgotten the times of others, and its clock was behind theirs.
#[test]
fn an_answer_given_after_a_restart_is_later_than_what_it_answers() {
    finds_nothing("crashes", 1);
}

/// An owner whose node waited for a member's word was told that it may not, when that word was that the home had moved.
#[test]
fn an_owner_who_waits_for_a_word_asks_where_the_home_is_by_then() {
    finds_nothing("copies", 80067);
}

/// Two sides of a log that was cut off, or of one that forked again below a known fork, were taken for the same.
#[test]
fn a_fork_is_noticed_also_below_a_removal_and_below_another_fork() {
    finds_nothing("malice", 3);
    finds_nothing("malice", 5);
}

/// A link that was closed for a violation, with operations still on their way, asked its machine for more for ever.
#[test]
fn a_peer_that_breaks_the_protocol_stops_nobody() {
    finds_nothing("malice", 8);
}
