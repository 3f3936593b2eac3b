//! The process of the tests that reads a risky file; in the node it is `muster extract FORMAT`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    match &words[1..] {
        [extract, format] if extract == "extract" => muster_extract::inside::run(format),
        _ => ExitCode::from(2),
    }
}
