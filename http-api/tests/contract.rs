//! The generated OpenAPI documents hold what the contracts ask for.
//!
//! The judge is `tools/contract.py` beside the repository. Where it is not there, the test says so
//! and passes: the contracts are not part of this repository.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// The four doors' contracts name these operations; they come later.
const LATER: &[&str] = &["/accounts/keys"];

fn judge() -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().map(|folder| folder.join("shared/tools/contract.py")).find(|script| script.is_file())
}

/// Lines in which the contract and the document of `door` differ; `None`, with a word about it, when
/// nobody can tell.
fn differences(door: &str) -> Option<Vec<String>> {
    let Some(judge) = judge() else {
        println!("SKIPPED: there is no shared/tools/contract.py in any folder above the crate");
        return None;
    };
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let document = folder.path().join("openapi.json");
    let json = muster_http_api::openapi(door).and_then(|document| document.to_json().ok());
    std::fs::write(&document, json.expect("the door has a document")).expect("the document can be written");
    let output =
        Command::new("python3").arg(judge).arg("coverage").arg(&document).args(["--door", door]).output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            println!("SKIPPED: python3 cannot be run: {error}");
            return None;
        }
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    if errors.contains("ModuleNotFoundError") {
        println!("SKIPPED: python3 lacks a module the judge needs (pip install pyyaml): {errors}");
        return None;
    }
    let lines: Vec<_> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    assert!(lines.last().is_some_and(|line| line.contains("operations served")), "{lines:?} {errors}");
    Some(lines[..lines.len() - 1].to_vec())
}

fn assert_served_as_the_contract_says(door: &str) {
    let Some(lines) = differences(door) else { return };
    let come_later =
        |line: &String| line.ends_with(": not served") && LATER.iter().any(|part| line.contains(part));
    let wrong: Vec<_> = lines.iter().filter(|line| !come_later(line)).collect();
    assert!(wrong.is_empty(), "{} differences:\n{wrong:#?}", wrong.len());
}

#[test]
fn the_network_door_is_as_its_contract_says() {
    assert_served_as_the_contract_says("network");
}

#[test]
fn the_workspace_door_is_as_its_contract_says() {
    assert_served_as_the_contract_says("workspace");
}

#[test]
fn the_node_door_is_as_its_contract_says() {
    assert_served_as_the_contract_says("node");
}

#[test]
fn every_door_has_a_document_and_other_names_have_none() {
    for door in muster_http_api::Door::ALL {
        let json = muster_http_api::openapi(door.name()).unwrap().to_json().unwrap();
        assert!(json.contains("\"openapi\":\"3.1.0\""), "{}", door.name());
        let yaml = muster_http_api::openapi_yaml(door.name()).unwrap();
        assert!(yaml.contains("operationId"), "{}", door.name());
    }
    assert!(muster_http_api::openapi("telnet").is_none());
}
