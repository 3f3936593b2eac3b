//! A seed that fails once has to fail always: in every process, not only in the one that found it.

use std::{process::Command, thread};

fn replay(arguments: &[&str]) -> String {
    let mut program = Command::new(env!("CARGO_BIN_EXE_muster-simulations"));
    let output = program.arg("replay").args(arguments).output();
    let output = output.expect("the program starts");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("it prints text")
}

#[test]
fn three_processes_play_one_seed_to_the_same_trace() {
    let told: Vec<_> = thread::scope(|scope| {
        let processes: Vec<_> = (0..3).map(|_| scope.spawn(|| replay(&["4"]))).collect();
        processes.into_iter().map(|process| process.join().expect("it plays")).collect()
    });
    assert!(told[0].contains("trace "));
    assert!(told.iter().all(|others| *others == told[0]), "{told:#?}");
    let another = replay(&["5", "--scenario", "links"]).replace(" 5: ", " 4: ");
    assert!(!told[0].contains(another.trim()), "another seed is another story");
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
