//! Reading a file, whatever it is: text here, risky formats in a process of their own.

use std::{
    fs::File,
    io::{Read, Seek},
    path::PathBuf,
    process::Stdio,
};

use muster_protocol::limits::{
    EXTRACT_CHILDREN_MAX, EXTRACT_HEAD_BYTES, EXTRACT_INPUT_BYTES_MAX, EXTRACT_JSON_BYTES_MAX,
    EXTRACT_PLAIN_BYTES_MAX, EXTRACT_TIMEOUT,
};
use tokio::{io::AsyncReadExt, process::Command, sync::Semaphore, time::timeout};

use crate::{Extraction, Format, Unreadable, inside::Answer, text};

/// What came of reading a file (W-103).
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// This was found.
    Completed(Box<Extraction>),
    /// There is nothing to extract from such a file.
    Skipped,
    /// It could not be read, for this reason.
    Failed(Unreadable),
}

/// Reads files. Not more than [`EXTRACT_CHILDREN_MAX`] risky ones at one time.
#[derive(Debug)]
pub struct Extractor {
    program: PathBuf,
    places: Semaphore,
}

impl Extractor {
    /// An extractor whose processes are `program extract FORMAT`: the program of this process itself.
    pub fn new(program: PathBuf) -> Self {
        Self { program, places: Semaphore::new(EXTRACT_CHILDREN_MAX) }
    }

    /// Reads a file that was uploaded as `name`, with the declared type `mime`.
    pub async fn extract(&self, file: File, name: &str, mime: &str) -> Outcome {
        match self.try_extract(file, name, mime).await {
            Ok(Some(found)) => Outcome::Completed(Box::new(found)),
            Ok(None) => Outcome::Skipped,
            Err(why) => Outcome::Failed(why),
        }
    }

    async fn try_extract(
        &self,
        mut file: File,
        name: &str,
        mime: &str,
    ) -> Result<Option<Extraction>, Unreadable> {
        let (name, mime) = (name.to_owned(), mime.to_owned());
        let looked = blocking(move || {
            let mut head = Vec::new();
            (&mut file).take(EXTRACT_HEAD_BYTES as u64).read_to_end(&mut head).map_err(no_longer)?;
            let format = Format::of(&head, &name, &mime);
            let length = file.metadata().map_err(no_longer)?.len();
            file.rewind().map_err(no_longer)?;
            if format.is_plain() {
                return read_plain(&mut file, format, length).map(|found| Look::Read(Box::new(found)));
            }
            Ok(if format.is_risky() { Look::Risky(format, file, length) } else { Look::Nothing })
        });
        match looked.await? {
            Look::Read(found) => Ok(Some(*found)),
            Look::Nothing => Ok(None),
            Look::Risky(_, _, length) if length > EXTRACT_INPUT_BYTES_MAX as u64 => {
                Err(Unreadable::new("it is too large to be read"))
            }
            Look::Risky(format, file, _) => self.in_child(format, file).await.map(Some),
        }
    }

    async fn in_child(&self, format: Format, file: File) -> Result<Extraction, Unreadable> {
        let _place = self.places.acquire().await.map_err(Unreadable::new)?;
        let mut command = Command::new(&self.program);
        command.args(["extract", format.word()]).env_clear().kill_on_drop(true);
        command.stdin(Stdio::from(file)).stdout(Stdio::piped()).stderr(Stdio::null());
        #[cfg(unix)]
        command.process_group(0); // a signal meant for the node is none of its business
        let mut child =
            command.spawn().map_err(|_| Unreadable::new("the process that reads it did not start"))?;
        let Some(stdout) = child.stdout.take() else {
            return Err(Unreadable::new("its process has no output"));
        };
        let mut json = Vec::new();
        let answered = timeout(EXTRACT_TIMEOUT, async {
            let read = stdout.take(EXTRACT_JSON_BYTES_MAX as u64 + 1).read_to_end(&mut json).await;
            read.is_ok()
                && json.len() <= EXTRACT_JSON_BYTES_MAX
                && child.wait().await.is_ok_and(|end| end.success())
        });
        let in_time = answered.await;
        let _ = child.kill().await; // one that ended is what is wanted
        match in_time {
            Err(_) => return Err(Unreadable::new("reading it took too long")),
            Ok(false) => {
                return Err(Unreadable::new("reading it took too much memory or time, or broke its parser"));
            }
            Ok(true) => {}
        }
        match serde_json::from_slice(&json) {
            Ok(Answer::Found(found)) => Ok(found.bounded()),
            Ok(Answer::Unreadable(why)) => Err(why),
            Err(_) => Err(Unreadable::new("the process that reads it made no sense")),
        }
    }
}

/// What the beginning of a file tells.
enum Look {
    Read(Box<Extraction>),
    Risky(Format, File, u64),
    Nothing,
}

fn read_plain(file: &mut File, format: Format, length: u64) -> Result<Extraction, Unreadable> {
    let mut bytes = Vec::new();
    file.take(EXTRACT_PLAIN_BYTES_MAX as u64).read_to_end(&mut bytes).map_err(no_longer)?;
    text::read(format, &bytes, length)
}

fn no_longer(error: std::io::Error) -> Unreadable {
    Unreadable::new(format_args!("its bytes could not be read: {error}"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "reading a file and parsing a MiB would hold up everybody else"
)]
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Unreadable> + Send + 'static,
) -> Result<T, Unreadable> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(Unreadable::new("its reader gave up")),
    }
}
