//! The folder that is a node: its key, its token, its store, its settings.
//!
//! ```text
//! node.key        0600  the secret key; whoever has it is this node
//! operator.token  0600  opens everything this node offers over HTTP
//! store.redb            what the node knows
//! blobs/                attachments, named by hash
//! search/               the search index: a cache, made anew when it is missing
//! muster.toml           settings, written by the owner
//! run.json              where the running node is found; gone when it stopped
//! lock                  held by the running node; its process id is in it
//! ```
//!
//! The folder itself is 0700. One process at a time works in it: [`DataFolder`] is the proof of being
//! that process. A client looks in with [`Visit`].

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use muster_protocol::identity::Identity;
use serde::{Deserialize, Serialize};

/// First line of a key file; the second is the seed in hex.
const KEY_VERSION: &str = "muster node key v1";

/// What an operator token starts with.
const TOKEN_PREFIX: &str = "mop_";

/// Longest text read from a file of this folder, in bytes; all are far shorter.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A client that looks whether a node runs holds the lock for a few microseconds. So a node that finds
/// the lock taken looks again, this often and this far apart, before it believes that another node runs.
const LOCK_TRIES: u32 = 5;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Fills bytes with randomness fit for keys.
pub type Fill<'a> = &'a dyn Fn(&mut [u8]);

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// There is no folder to fall back on.
    #[error("no data folder: neither HOME nor XDG_DATA_HOME is set; name one with --data DIR")]
    NoHome,
    /// The system refuses.
    #[error("cannot {what} {}: {cause}", path.display())]
    Io {
        /// What was tried, as a verb.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// Another node runs in it.
    #[error(
        "{} is in use by another muster process{}; stop that one, or name another folder with --data DIR",
        path.display(), process(.pid)
    )]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Process id of the holder, when it is known.
        pid: Option<u32>,
    },
    /// Others on this machine could read a secret.
    #[error("others on this machine can read {} (mode {mode:04o}); close it with: {}", path.display(), mend(.path, .right))]
    Open {
        /// What is open.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What they should be.
        right: u32,
    },
    /// A file does not hold what it should.
    #[error("{} is damaged: {why}; restore it from a copy", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
    /// There is a store, and no key to go with it.
    #[error(
        "{} is missing, but there is a store beside it: with a new key this would be another node, a member of \
         nothing; restore the file from a copy, or name an empty folder with --data DIR",
        path.display()
    )]
    KeyLost {
        /// Where the key should be.
        path: PathBuf,
    },
}

fn process(pid: &Option<u32>) -> String {
    pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
}

fn mend(path: &Path, right: &u32) -> String {
    format!("chmod {right:o} '{}'", path.display())
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FolderError {
    move |cause| FolderError::Io { what, path: path.to_owned(), cause }
}

/// Where the folder is when nobody says: `$XDG_DATA_HOME/muster`, or `~/.local/share/muster`.
pub fn default_path() -> Result<PathBuf, FolderError> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")));
    data.map(|data| data.join("muster")).ok_or(FolderError::NoHome)
}

/// Where the settings of a folder are.
pub fn settings_path(folder: &Path) -> PathBuf {
    folder.join("muster.toml")
}

/// The identity in a folder, if it holds a key; nothing is changed.
pub fn identity_in(folder: &Path) -> Result<Option<Identity>, FolderError> {
    let path = folder.join("node.key");
    let text = read_secret(&path)?;
    text.map(|text| parse_key(&text).map_err(|why| FolderError::Damaged { path, why })).transpose()
}

/// How a running node is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its process id.
    pub pid: u32,
    /// Its name in the mesh.
    pub peer_id: String,
    /// Where its HTTP doors listen, the port resolved.
    pub http: SocketAddr,
    /// Its multiaddrs.
    pub listen: Vec<String>,
}

/// A data folder this process works in. While it lives, no other process does.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Takes the folder, making it if needed. What a node that died left in `run.json` is removed.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, FolderError> {
        let path =
            std::path::absolute(path.into()).map_err(io_error("find", Path::new("the data folder")))?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(io_error("make the folder", &path))?;
        let empty = fs::read_dir(&path).map_err(io_error("list", &path))?.next().is_none();
        if empty {
            let mode = fs::Permissions::from_mode(0o700);
            fs::set_permissions(&path, mode).map_err(io_error("close to others", &path))?;
        }
        refuse_open(&path, 0o700)?;
        let lock = take_lock(&path)?;
        let folder = Self { path, _lock: lock };
        folder.withdraw()?;
        let blobs = folder.blobs_path();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&blobs)
            .map_err(io_error("make the folder", &blobs))?;
        Ok(folder)
    }

    /// The folder itself, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The store's file.
    pub fn store_path(&self) -> PathBuf {
        self.path.join("store.redb")
    }

    /// The folder of attachments; it exists.
    pub fn blobs_path(&self) -> PathBuf {
        self.path.join("blobs")
    }

    /// Where the search index is.
    pub fn search_path(&self) -> PathBuf {
        self.path.join("search")
    }

    /// The node's identity, made at the first start.
    pub fn load_or_make_identity(&self, fill: Fill<'_>) -> Result<Identity, FolderError> {
        let path = self.path.join("node.key");
        if let Some(text) = read_secret(&path)? {
            return parse_key(&text).map_err(|why| FolderError::Damaged { path, why });
        }
        if self.store_path().exists() {
            return Err(FolderError::KeyLost { path });
        }
        let mut seed = [0; 32];
        fill(&mut seed);
        write_whole(&path, format!("{KEY_VERSION}\n{}\n", HEXLOWER.encode(&seed)).as_bytes())?;
        Ok(Identity::from_seed(seed))
    }

    /// The operator token, made at the first start: 256 random bits.
    pub fn operator_token(&self, fill: Fill<'_>) -> Result<String, FolderError> {
        let path = self.path.join("operator.token");
        if let Some(text) = read_secret(&path)? {
            return parse_token(&text).map_err(|why| FolderError::Damaged { path, why });
        }
        let mut secret = [0; 32];
        fill(&mut secret);
        let token = format!("{TOKEN_PREFIX}{}", BASE64URL_NOPAD.encode(&secret));
        write_whole(&path, format!("{token}\n").as_bytes())?;
        Ok(token)
    }

    /// Tells clients where the node is found. Called when it serves; withdrawn when this is dropped.
    pub fn announce(&self, run: &Run) -> Result<(), FolderError> {
        let text = serde_json::to_vec_pretty(run).expect("numbers and text are always JSON");
        write_whole(&self.path.join("run.json"), &text)
    }

    fn withdraw(&self) -> Result<(), FolderError> {
        let path = self.path.join("run.json");
        match fs::remove_file(&path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(io_error("remove", &path)(cause)),
            _ => Ok(()),
        }
    }
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        if let Err(error) = self.withdraw() {
            tracing::warn!(%error, "run.json stays behind; the next start removes it");
        }
    }
}

/// What a client sees of a data folder it does not hold.
#[derive(Debug)]
pub struct Visit {
    /// The operator token, when a node ever ran here.
    pub token: Option<String>,
    /// Where the node is found, when it said so.
    pub run: Option<Run>,
    /// Whether a node holds the folder now. If not, `run` is left from one that died, and whoever
    /// answers there must not be shown the token.
    pub alive: bool,
}

impl Visit {
    /// Looks into a folder and changes nothing.
    pub fn of(folder: &Path) -> Result<Self, FolderError> {
        let token_path = folder.join("operator.token");
        let token = read_secret(&token_path)?
            .map(|text| parse_token(&text))
            .transpose()
            .map_err(|why| FolderError::Damaged { path: token_path, why })?;
        let run = read_text(&folder.join("run.json"))?.and_then(|text| serde_json::from_str(&text).ok());
        Ok(Self { token, run, alive: is_held(folder)? })
    }
}

fn is_held(folder: &Path) -> Result<bool, FolderError> {
    let path = folder.join("lock");
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(cause) => return Err(io_error("open", &path)(cause)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(cause)) => Err(io_error("look at the lock of", &path)(cause)),
    }
}

fn take_lock(folder: &Path) -> Result<File, FolderError> {
    let path = folder.join("lock");
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let mut file = file.map_err(io_error("open", &path))?;
    for attempt in 1..=LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if attempt < LOCK_TRIES => pause(),
            Err(TryLockError::WouldBlock) => {
                let pid = read_text(&path)?.and_then(|text| text.trim().parse().ok());
                return Err(FolderError::InUse { path: folder.to_owned(), pid });
            }
            Err(TryLockError::Error(cause)) => return Err(io_error("lock", &path)(cause)),
        }
    }
    let pid = format!("{}\n", std::process::id());
    file.set_len(0).and_then(|()| file.write_all(pid.as_bytes())).map_err(io_error("write", &path))?;
    Ok(file)
}

#[expect(clippy::disallowed_methods, reason = "a process that starts, before there is a node with a clock")]
fn pause() {
    std::thread::sleep(LOCK_PAUSE);
}

fn parse_key(text: &str) -> Result<Identity, &'static str> {
    let mut lines = text.lines();
    if lines.next() != Some(KEY_VERSION) {
        return Err("its first line is not that of a key this program can read");
    }
    let seed = HEXLOWER.decode(lines.next().unwrap_or_default().as_bytes()).ok();
    let seed = seed.and_then(|seed| seed.try_into().ok());
    seed.map(Identity::from_seed).ok_or("its second line is not 32 bytes in hex")
}

fn parse_token(text: &str) -> Result<String, &'static str> {
    let token = text.trim();
    let secret =
        token.strip_prefix(TOKEN_PREFIX).and_then(|text| BASE64URL_NOPAD.decode(text.as_bytes()).ok());
    match secret {
        Some(secret) if secret.len() == 32 => Ok(token.to_owned()),
        _ => Err("it does not hold an operator token"),
    }
}

/// Refuses what the group or everybody can touch.
fn refuse_open(path: &Path, right: u32) -> Result<(), FolderError> {
    let mode = fs::metadata(path).map_err(io_error("look at", path))?.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(FolderError::Open { path: path.to_owned(), mode, right }) }
}

/// The text of a file that only its owner may read; `None` when there is no such file.
fn read_secret(path: &Path) -> Result<Option<String>, FolderError> {
    let text = read_text(path)?;
    if text.is_some() {
        refuse_open(path, 0o600)?;
    }
    Ok(text)
}

fn read_text(path: &Path) -> Result<Option<String>, FolderError> {
    let mut text = String::new();
    match File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text)) {
        Ok(_) => Ok(Some(text)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(io_error("read", path)(cause)),
    }
}

/// Writes a file that is there whole or not at all, readable by its owner alone.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), FolderError> {
    let new = path.with_extension("new");
    let write = || {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
    };
    write().map_err(io_error("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEVEN: Fill<'static> = &|bytes: &mut [u8]| bytes.fill(7);
    const EIGHT: Fill<'static> = &|bytes: &mut [u8]| bytes.fill(8);

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_node_keeps_its_key_and_its_token_over_a_restart() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a/b");
        let (node, token) = {
            let folder = DataFolder::open(&path).unwrap();
            (folder.load_or_make_identity(SEVEN).unwrap().node(), folder.operator_token(SEVEN).unwrap())
        };
        let folder = DataFolder::open(&path).unwrap();
        assert_eq!(folder.load_or_make_identity(EIGHT).unwrap().node(), node);
        assert_eq!(folder.operator_token(EIGHT).unwrap(), token);
        assert_eq!(token.len(), 4 + 43);
        assert_eq!(Visit::of(&path).unwrap().token.as_deref(), Some(token.as_str()));
    }

    #[test]
    fn secrets_and_the_folder_are_for_their_owner_alone() {
        let home = tempfile::tempdir().unwrap();
        chmod(home.path(), 0o755); // empty, so it may be closed
        let folder = DataFolder::open(home.path()).unwrap();
        folder.load_or_make_identity(SEVEN).unwrap();
        folder.operator_token(SEVEN).unwrap();
        assert_eq!(mode(folder.path()), 0o700);
        assert_eq!(mode(&folder.path().join("node.key")), 0o600);
        assert_eq!(mode(&folder.path().join("operator.token")), 0o600);
    }

    #[test]
    fn what_others_can_read_is_refused_with_the_command_that_mends_it() {
        let home = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(home.path()).unwrap();
        folder.load_or_make_identity(SEVEN).unwrap();
        let key = folder.path().join("node.key");
        chmod(&key, 0o644);
        let error = folder.load_or_make_identity(SEVEN).unwrap_err().to_string();
        assert!(error.contains("mode 0644"), "{error}");
        assert!(error.contains(&format!("chmod 600 '{}'", key.display())), "{error}");
        drop(folder);

        chmod(home.path(), 0o750);
        let error = DataFolder::open(home.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("chmod 700 '{}'", home.path().display())), "{error}");
    }

    #[test]
    fn a_second_process_on_one_folder_is_refused_and_told_the_first() {
        let home = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(home.path()).unwrap();
        let error = DataFolder::open(home.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("(pid {})", std::process::id())), "{error}");
        drop(folder);
        assert!(DataFolder::open(home.path()).is_ok());
    }

    #[test]
    fn a_damaged_key_is_never_replaced() {
        let home = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(home.path()).unwrap();
        for text in ["", "muster node key v9\n00", "muster node key v1\n00\n", "muster node key v1\nxyz"] {
            fs::write(folder.path().join("node.key"), text).unwrap();
            chmod(&folder.path().join("node.key"), 0o600);
            let error = folder.load_or_make_identity(SEVEN).unwrap_err();
            assert!(matches!(error, FolderError::Damaged { .. }), "{error}");
        }
    }

    #[test]
    fn a_store_without_its_key_gets_no_new_one() {
        let home = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(home.path()).unwrap();
        fs::write(folder.store_path(), "").unwrap();
        assert!(matches!(folder.load_or_make_identity(SEVEN), Err(FolderError::KeyLost { .. })));
    }

    #[test]
    fn clients_find_a_running_node_and_see_through_a_dead_one() {
        let home = tempfile::tempdir().unwrap();
        let run = Run {
            pid: 1,
            peer_id: "12D3KooW".into(),
            http: "127.0.0.1:7117".parse().unwrap(),
            listen: vec!["/ip4/127.0.0.1/tcp/7118".into()],
        };
        let folder = DataFolder::open(home.path()).unwrap();
        folder.announce(&run).unwrap();
        let visit = Visit::of(home.path()).unwrap();
        assert_eq!((visit.run, visit.alive), (Some(run.clone()), true));

        drop(folder); // a clean stop
        let visit = Visit::of(home.path()).unwrap();
        assert_eq!((visit.run, visit.alive), (None, false));

        // A node that was killed leaves its run.json behind, and nobody holds the lock.
        fs::write(home.path().join("run.json"), serde_json::to_vec(&run).unwrap()).unwrap();
        let visit = Visit::of(home.path()).unwrap();
        assert_eq!((visit.run, visit.alive), (Some(run), false));
        let _next = DataFolder::open(home.path()).unwrap();
        assert_eq!(Visit::of(home.path()).unwrap().run, None);
    }
}
