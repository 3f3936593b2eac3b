//! `muster demo`.

use std::process::ExitCode;

use crate::cli::{DemoArgs, Output};

/// Plays the demonstration.
pub fn run(_args: DemoArgs, _output: Output) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not in this build")
}
