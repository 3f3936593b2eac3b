//! `muster demo`: three real nodes in one process, and a story in which they prove what they promise.
//!
//! Each node has its own key, store, mesh and API, on loopback and in a temporary folder. The story founds a
//! workspace, lets two nodes join by ticket, has agents talk across the nodes, takes one node away
//! while the others talk on, and brings it back. Then every message is looked for on every node.

mod cast;
mod story;

use std::process::ExitCode;

use crate::cli::{DemoArgs, Output};

/// Plays the demonstration. Fails when a message was lost, repeated or not verified.
pub fn run(args: DemoArgs, output: Output) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let folder = tempfile::Builder::new().prefix("muster-demo-").tempdir()?;
        let told = story::play(folder.path(), output).await?;
        if !args.once {
            told.stay(output).await?;
        }
        let outcome = told.end().await;
        println!("{}", serde_json::to_string(&outcome)?);
        Ok(if outcome.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}
