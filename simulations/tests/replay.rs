//! A seed that fails once has to fail always: in every process, not only in the one that found it.

use std::process::Command;

fn replay(seed: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_muster-simulations")).args(["replay", seed]).output();
    let output = output.expect("the program starts");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("it prints text")
}

#[test]
fn three_processes_play_one_seed_to_the_same_trace() {
    let first = replay("4");
    assert!(first.contains("trace "));
    assert_eq!(first, replay("4"));
    assert_eq!(first, replay("4"));
    assert_ne!(first, replay("5").replace(" 5: ", " 4: "));
}

#[test]
fn the_last_line_of_a_run_is_a_summary_in_json() {
    let program = env!("CARGO_BIN_EXE_muster-simulations");
    let output = Command::new(program).args(["run", "--seeds", "1", "--from", "7"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let summary: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    for field in ["seeds", "ops", "faults", "violations", "seconds"] {
        assert!(summary[field].is_number(), "{text}");
    }
    assert_eq!(summary["violations"], 0);
}
