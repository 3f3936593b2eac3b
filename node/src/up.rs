//! `muster up`.

use std::process::ExitCode;

use crate::{cli::Output, config::Settings, data_folder::DataFolder};

/// Runs the node of a data folder until it is told to stop.
pub fn run(_settings: Settings, _folder: DataFolder, _output: Output) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not in this build")
}
