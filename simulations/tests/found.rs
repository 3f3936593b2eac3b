//! Seeds that once failed. What each of them found stands in its name; it must not come back.

use muster_simulations::scenario;

fn finds_nothing(name: &str, seed: u64) {
    let scenario = scenario::all().into_iter().find(|scenario| scenario.name == name).unwrap();
    assert_eq!(scenario.play(seed).violations, [""; 0]);
}
