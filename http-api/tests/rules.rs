//! Every rule of the doors is named by a test, or ARCHITECTURE.md says why it is void here.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The numbered rules of a door: their letter, and how many there are.
struct Door {
    letter: char,
    rules: u32,
}

const NETWORK: Door = Door { letter: 'n', rules: 142 };
const WORKSPACE: Door = Door { letter: 'w', rules: 156 };

#[test]
fn every_rule_of_the_network_door_is_tested_or_declared_void() {
    assert_all_are_named(&NETWORK);
}

#[test]
fn every_rule_of_the_workspace_door_is_tested_or_declared_void() {
    assert_all_are_named(&WORKSPACE);
}

fn assert_all_are_named(door: &Door) {
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(1).expect("the crate lies in the repository");
    let mut named = BTreeSet::new();
    for file in sources(root) {
        let text = fs::read_to_string(&file).expect("a source file can be read");
        text.lines().filter(|line| line.trim_start().contains("fn ")).for_each(|line| {
            named.extend(rules_of_a_test(door, line));
        });
    }
    let architecture =
        fs::read_to_string(root.join("ARCHITECTURE.md")).expect("the architecture is written down");
    let row = format!("| {}-", door.letter.to_ascii_uppercase());
    let rows = architecture.lines().filter_map(|line| line.strip_prefix(&row));
    named.extend(
        rows.filter_map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u32>().ok()),
    );
    let forgotten: Vec<_> = (1..=door.rules).filter(|rule| !named.contains(rule)).collect();
    assert!(forgotten.is_empty(), "no test names the rules {row}{forgotten:?}");
}

/// The rules in the name of a test: `…_n45_n47` is about N-45 and N-47.
fn rules_of_a_test(door: &Door, line: &str) -> impl Iterator<Item = u32> {
    let name = line.split("fn ").nth(1).and_then(|rest| rest.split('(').next()).unwrap_or_default();
    name.split('_').filter_map(|word| word.strip_prefix(door.letter)?.parse().ok())
}

fn sources(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of the repository can be read") {
            let path = entry.expect("an entry of a folder can be read").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found
}
