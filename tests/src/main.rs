//! The program `muster`, built beside its tests: they run it as users do, in processes of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    muster::cli::main()
}
