//! What runs inside the process that reads a risky file: `muster extract FORMAT`.
//!
//! It gets the file as its input and writes one JSON value. Before it reads a byte it gives away what it does not
//! need: it can open nothing (no file, no socket), write no file, start no process, and has limits of memory and
//! processor time. The worst a file can do then is to end it.

use std::{
    io::{Read, Write},
    panic::catch_unwind,
    process::ExitCode,
};

use muster_protocol::limits::EXTRACT_INPUT_BYTES_MAX;
use serde::{Deserialize, Serialize};

use crate::{Extraction, Format, Unreadable, office, pdf};

/// What the process writes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Answer {
    Found(Box<Extraction>),
    Unreadable(Unreadable),
}

/// Reads standard input as a file of the format called `word`, and writes what was found to standard output.
pub fn run(word: &str) -> ExitCode {
    let Some(format) = Format::from_word(word) else { return ExitCode::from(2) };
    if give_away().is_err() {
        return ExitCode::FAILURE; // better no text than a parser without bounds
    }
    std::panic::set_hook(Box::new(|_| {})); // the message may hold what the file says
    let answer = catch_unwind(|| read(format)).unwrap_or_else(|_| Err(Unreadable::new("its parser gave up")));
    let answer = match answer {
        Ok(found) => Answer::Found(Box::new(found)),
        Err(why) => Answer::Unreadable(why),
    };
    let written = serde_json::to_vec(&answer).map(|json| std::io::stdout().write_all(&json));
    if matches!(written, Ok(Ok(()))) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn read(format: Format) -> Result<Extraction, Unreadable> {
    let mut bytes = Vec::new();
    let limited = std::io::stdin().take(EXTRACT_INPUT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes);
    limited.map_err(|_| Unreadable::new("it could not be read"))?;
    if bytes.len() > EXTRACT_INPUT_BYTES_MAX {
        return Err(Unreadable::new("it is too large to be read"));
    }
    match format {
        Format::Pdf => pdf::read(&bytes),
        format => office::read(format, &bytes),
    }
}

#[cfg(unix)]
fn give_away() -> Result<(), rustix::io::Errno> {
    use muster_protocol::limits::{EXTRACT_CPU_SECONDS_MAX, EXTRACT_MEMORY_BYTES_MAX};
    use rustix::process::{Resource, Rlimit, setrlimit};
    let at_most = |amount| Rlimit { current: Some(amount), maximum: Some(amount) };
    setrlimit(Resource::Nofile, at_most(0))?; // what is open stays open
    setrlimit(Resource::Fsize, at_most(0))?;
    setrlimit(Resource::Core, at_most(0))?;
    setrlimit(Resource::Cpu, at_most(EXTRACT_CPU_SECONDS_MAX))?;
    #[cfg(target_os = "linux")]
    setrlimit(Resource::Nproc, at_most(0))?;
    #[cfg(target_os = "linux")] // elsewhere it is not kept, or refused
    setrlimit(Resource::As, at_most(EXTRACT_MEMORY_BYTES_MAX))?;
    Ok(())
}

#[cfg(not(unix))]
fn give_away() -> Result<(), std::io::Error> {
    Ok(())
}
