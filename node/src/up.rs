//! `muster up`: runs a node until it is told to stop.

use std::process::ExitCode;

use anyhow::Context as _;
use muster_protocol::limits::OPEN_FILES_MIN;
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::{
    cli::Output,
    config::{LogFormat, Settings},
    data_folder::DataFolder,
    running::Running,
};

/// Runs the node of a data folder until SIGTERM, SIGINT or a failure of its store.
pub fn run(settings: Settings, folder: DataFolder, output: Output) -> anyhow::Result<ExitCode> {
    start_log(&settings);
    explain_damage();
    refuse_few_files()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        // Before anybody is told that it is up: a signal that comes at once has to end it as cleanly.
        let signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let running = Running::start(&settings, folder).await?;
        greet(&running, output);
        let failure = until_told(&running, signals).await;
        running.stop().await;
        match failure {
            None => Ok(ExitCode::SUCCESS),
            Some(why) => {
                Err(anyhow::anyhow!("{why}")).context("the node stopped: what it acknowledged is on disk")
            }
        }
    })
}

/// With too few files a node fails at whatever opens one too many, with words that help nobody.
fn refuse_few_files() -> anyhow::Result<()> {
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    match most {
        Some(most) if most < OPEN_FILES_MIN => Err(anyhow::anyhow!(
            "this process may open {most} files, and a node needs {OPEN_FILES_MIN}; raise that with `ulimit -n 1024`"
        )),
        _ => Ok(()),
    }
}

/// redb takes some damage of its file for impossible and panics, also while it cleans up after that, which ends the
/// process on the spot. Then these are the last words there are.
fn explain_damage() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        before(panic);
        if panic.location().is_some_and(|at| at.file().contains("/redb-")) {
            tracing::error!(
                "the store holds bytes that were never written there, as after a failing disk; restore a backup with \
                 `muster restore FILE`"
            );
        }
    }));
}

/// Libraries that warn of what peers do: of each message, stream or connection that is wrong. Any stranger
/// could fill the disk with that, so only their errors are logged, unless `log.level` names them.
const TALKATIVE: &str = "libp2p=error,yamux=error,multistream_select=error,quinn=error,hyper=error";

/// What is logged at a level, or by a filter, of the configuration.
fn filter(level: &str) -> EnvFilter {
    EnvFilter::try_new(format!("{TALKATIVE},{level}")).unwrap_or_else(|_| EnvFilter::new("info"))
}

fn start_log(settings: &Settings) {
    use std::io::IsTerminal as _;
    let filter = filter(&settings.log.level);
    let json = match settings.log.format {
        LogFormat::Json => true,
        LogFormat::Human => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start in one process keeps the first log.
    let _ = if json { log.json().try_init() } else { log.try_init() };
}

/// Waits for a signal, or for the reason why the node cannot go on.
async fn until_told(running: &Running, signals: (Signal, Signal)) -> Option<String> {
    let (mut terminate, mut interrupt) = signals;
    let mut failure = running.node.failure();
    tokio::select! {
        biased;
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        failed = failure.wait_for(Option::is_some) => {
            Some(failed.ok().and_then(|why| why.clone()).unwrap_or_else(|| "the node failed".to_owned()))
        }
    }
}

/// Says what a person, or a script, needs to know.
fn greet(running: &Running, output: Output) {
    let data = running.folder().path().display();
    let listen = running.node.mesh_addresses();
    let peer_id = running.node.id().to_string();
    match output {
        Output::Json => {
            let http = format!("http://{}", running.http);
            println!(
                "{}",
                json!({ "peer_id": peer_id, "http": http, "listen": listen, "data": data.to_string() })
            );
        }
        Output::Human => {
            println!("{} is up.", running.node.name());
            println!();
            println!("  peer id   {peer_id}");
            println!("  API       http://{}/docs", running.http);
            println!("  mesh      {}", listen.join("\n            "));
            println!("  data      {data}  (key, store and settings; copy it with `muster backup FILE`)");
            println!("  token     {data}/operator.token");
            println!();
            println!("Next: `muster workspace create NAME`, then `muster invite`; or `muster join TICKET`.");
            println!("Stop with Ctrl-C.");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_speak_of_peers_only_when_they_are_asked_to() {
        let quiet = filter("debug").to_string();
        assert!(quiet.contains("libp2p=error") && quiet.contains("debug"), "{quiet}");
        let asked = filter("info,libp2p=debug").to_string();
        assert!(asked.contains("libp2p=debug") && !asked.contains("libp2p=error"), "{asked}");
    }
}
