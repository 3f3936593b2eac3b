//! Programs behind sessions, as processes of this machine.
//!
//! A program gets its arguments as the settings have them, with no shell in between, and an environment of
//! `PATH`, `HOME`, `LANG`, `TMPDIR`, what its provider's `env` sets, and where it works: `MUSTER_SESSION_ID`,
//! `MUSTER_PEER_ID`, `MUSTER_CHANNEL`, `MUSTER_WORKSPACE_ID`. The node's own environment, which may hold secrets,
//! is none of its business.
//!
//! It has a process group of its own, so that it ends with all it started, and a signal meant for the node
//! does not end it under a session's feet. A node that is killed cannot end it; its input is closed then, as it
//! is when it is let go, and a program that goes on reading without input has itself to blame.

use std::{collections::BTreeMap, future::Future, process::Stdio, sync::Arc};

use futures::future::BoxFuture;
use muster_actors::ports::{Ending, Program, ProgramEvent, ProgramNotStarted, ProgramPlace, Programs};
use muster_protocol::limits;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, Command},
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

use crate::config::Provider;

/// Variables of the node's own environment that a program gets.
const INHERITED: [&str; 4] = ["PATH", "HOME", "LANG", "TMPDIR"];

/// The providers of the settings.
#[derive(Debug)]
pub(crate) struct SystemPrograms {
    providers: BTreeMap<String, Provider>,
    /// Each program holds one until it has ended.
    alive: Arc<()>,
}

impl SystemPrograms {
    /// The programs that these providers name.
    pub(crate) fn new(providers: BTreeMap<String, Provider>) -> Self {
        Self { providers, alive: Arc::new(()) }
    }
}

impl Programs for SystemPrograms {
    fn knows(&self, provider: &str) -> bool {
        self.providers.contains_key(provider)
    }

    fn start(
        &self,
        provider: &str,
        place: ProgramPlace,
    ) -> BoxFuture<'static, Result<Program, ProgramNotStarted>> {
        let started = match self.providers.get(provider) {
            Some(provider) => start(provider, place, self.alive.clone()),
            None => Err(ProgramNotStarted("there is no such provider".to_owned())),
        };
        Box::pin(async { started })
    }

    #[expect(clippy::disallowed_methods, reason = "this is the port's real implementation")]
    fn shutdown(&self) -> BoxFuture<'static, ()> {
        let alive = Arc::downgrade(&self.alive);
        Box::pin(async move {
            let ended = async {
                // One is held by the node itself.
                while alive.strong_count() > 1 {
                    tokio::time::sleep(limits::PROGRAM_STOP_GRACE / 60).await;
                }
            };
            // The grace of each, and a moment for killing those that did not use it.
            if timeout(limits::PROGRAM_STOP_GRACE + limits::PROGRAM_SETTLE, ended).await.is_err() {
                tracing::warn!("a program of a session did not end in time");
            }
        })
    }
}

fn start(provider: &Provider, place: ProgramPlace, alive: Arc<()>) -> Result<Program, ProgramNotStarted> {
    let (program, arguments) =
        provider.command.split_first().ok_or_else(|| ProgramNotStarted("it names no program".to_owned()))?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear();
    command.envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.envs(&provider.env);
    command.envs([
        ("MUSTER_SESSION_ID", &place.session_id),
        ("MUSTER_PEER_ID", &place.peer_id),
        ("MUSTER_CHANNEL", &place.channel),
        ("MUSTER_WORKSPACE_ID", &place.workspace_id),
    ]);
    if let Some(folder) = &provider.working_dir {
        command.current_dir(folder);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    #[cfg(unix)]
    command.process_group(0);
    let mut child = command.spawn().map_err(|cause| ProgramNotStarted(format!("`{program}`: {cause}")))?;
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
        return Err(ProgramNotStarted("it has no pipes".to_owned()));
    };
    let (input, lines) = mpsc::channel(limits::PROGRAM_LINES_MAX);
    // Its next line is read ahead, no more.
    let (events, output) = mpsc::channel(1);
    let (hold, held) = oneshot::channel();
    let (ended, end) = oneshot::channel();
    let writer = spawn(write_lines(stdin, lines));
    let reader = spawn(read_lines(stdout, events.clone(), end));
    spawn(log_lines(stderr, place.session_id));
    spawn(async move {
        let ending = watch(child, writer, reader, held, ended).await;
        // Whoever let it go need not know.
        let _ = events.send(ProgramEvent::Ended(ending)).await;
        drop(alive);
    });
    Ok(Program { input, output, hold })
}

#[expect(clippy::disallowed_methods, reason = "a process and its pipes are no actors")]
fn spawn<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(work)
}

/// Whether a program's output ended by too long a line.
type TooLong = bool;

/// Follows a program to its end: by itself, because it is let go, or because it wrote too long a line.
async fn watch(
    mut child: Child,
    writer: JoinHandle<()>,
    mut reader: JoinHandle<TooLong>,
    mut held: oneshot::Receiver<()>,
    ended: oneshot::Sender<()>,
) -> Ending {
    let group = Group::of(&child);
    let mut read = None;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            too_long = &mut reader, if read.is_none() => {
                let too_long = too_long.unwrap_or(false); // a reader that panicked has read what it could
                read = Some(too_long);
                if too_long {
                    group.kill();
                    break child.wait().await;
                }
            }
            _ = &mut held => {
                writer.abort(); // which closes its input
                if timeout(limits::PROGRAM_STOP_GRACE, child.wait()).await.is_err() {
                    group.kill();
                }
                break child.wait().await;
            }
        }
    };
    writer.abort();
    // What it started and left behind goes with it, also when it ended by itself.
    group.kill();
    // The reader goes on to the end of what was written, if it is not there yet.
    let _ = ended.send(());
    let too_long = match read {
        Some(too_long) => too_long,
        None => reader.await.unwrap_or(false),
    };
    match status.ok().and_then(|status| status.code()) {
        _ if too_long => Ending::LineTooLong,
        Some(status) => Ending::Exit(status),
        None => Ending::Killed,
    }
}

/// A program and all that it started.
struct Group(Option<u32>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id())
    }

    #[cfg(unix)]
    fn kill(&self) {
        let id = self.0.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(id) = id {
            // A group of which nobody is left is what is wanted.
            let _ = rustix::process::kill_process_group(id, rustix::process::Signal::KILL);
        }
    }

    #[cfg(not(unix))]
    fn kill(&self) {}
}

async fn write_lines(mut stdin: ChildStdin, mut lines: mpsc::Receiver<Vec<u8>>) {
    while let Some(mut line) = lines.recv().await {
        line.push(b'\n');
        if stdin.write_all(&line).await.is_err() || stdin.flush().await.is_err() {
            return; // it has closed its input, or ended
        }
    }
}

/// Reads lines until there are no more; of what was written when the program has ended, a moment longer,
/// because somebody it started may hold the other end open for ever.
async fn read_lines(
    stdout: impl AsyncRead + Unpin,
    events: mpsc::Sender<ProgramEvent>,
    ended: oneshot::Receiver<()>,
) -> TooLong {
    let mut lines = Lines::new(stdout, limits::PROGRAM_LINE_BYTES_MAX);
    let late = async {
        let _ = ended.await; // an end that nobody tells is one, too
        pause().await;
    };
    tokio::pin!(late);
    loop {
        let line = tokio::select! {
            line = lines.next() => line,
            () = &mut late => return false,
        };
        match line {
            Some(Ok(line)) if line.is_empty() => {}
            Some(Ok(line)) => {
                if events.send(ProgramEvent::Line(line)).await.is_err() {
                    return false;
                }
            }
            Some(Err(LineTooLong)) => return true,
            None => return false,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the port's real implementation")]
async fn pause() {
    tokio::time::sleep(limits::PROGRAM_SETTLE).await;
}

async fn log_lines(stderr: impl AsyncRead + Unpin, session: String) {
    let mut lines = Lines::new(stderr, limits::PROGRAM_LOG_LINE_BYTES_MAX);
    while let Some(line) = lines.next().await {
        match line {
            Ok(line) => tracing::info!(session, "program: {}", String::from_utf8_lossy(&line).escape_debug()),
            Err(LineTooLong) => tracing::info!(session, "program: (a line too long to be shown)"),
        }
    }
}

struct LineTooLong;

/// Lines of bounded length. What is left of one that is too long is skipped.
struct Lines<R> {
    from: BufReader<R>,
    line: Vec<u8>,
    max: usize,
    skipping: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    fn new(from: R, max: usize) -> Self {
        Self { from: BufReader::new(from), line: Vec::new(), max, skipping: false }
    }

    /// The next line, without its end; `None` when there is none. May be dropped and called again.
    async fn next(&mut self) -> Option<Result<Vec<u8>, LineTooLong>> {
        loop {
            let available = match self.from.fill_buf().await {
                Ok(available) if !available.is_empty() => available,
                // A last line without an end is one all the same.
                _ if self.line.is_empty() => return None,
                _ => return Some(Ok(std::mem::take(&mut self.line))),
            };
            let end = available.iter().position(|byte| *byte == b'\n');
            let part = &available[..end.unwrap_or(available.len())];
            let fits = self.line.len() + part.len() <= self.max;
            if !self.skipping && fits {
                self.line.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            self.from.consume(used);
            if !self.skipping && !fits {
                self.line = Vec::new();
                self.skipping = end.is_none();
                return Some(Err(LineTooLong));
            }
            if end.is_some() && !std::mem::replace(&mut self.skipping, false) {
                let mut line = std::mem::take(&mut self.line);
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Some(Ok(line));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(text: &[u8], max: usize) -> Vec<Option<String>> {
        let mut lines = Lines::new(text, max);
        let mut found = Vec::new();
        while let Some(line) = lines.next().await {
            found.push(line.ok().map(|line| String::from_utf8(line).unwrap()));
        }
        found
    }

    #[tokio::test]
    async fn lines_end_with_a_line_feed_or_with_the_text() {
        let found = lines(b"one\r\n\ntwo\nthree", 10).await;
        assert_eq!(found, ["one", "", "two", "three"].map(|line| Some(line.to_owned())));
    }

    #[tokio::test]
    async fn too_long_a_line_is_told_once_and_the_next_one_is_read() {
        let long = [&[b'x'; 100_000][..], b"\nnext\n1234567890\n12345678901\nlast"].concat();
        let found = lines(&long, 10).await;
        let expected = [None, Some("next"), Some("1234567890"), None, Some("last")];
        assert_eq!(found, expected.map(|line| line.map(str::to_owned)));
    }
}
