//! Settings: what a node's owner may choose, and where each choice was made.
//!
//! Four layers, the upper one wins: a flag, the environment, the file, the default. A key such as
//! `network.queue_depth` is `--set network.queue_depth=50`, `MUSTER_NETWORK_QUEUE_DEPTH=50`, or in
//! `muster.toml`
//!
//! ```toml
//! [network]
//! queue_depth = 50
//! ```
//!
//! [`KEYS`] is the one list of them. A new key is a row there and a field in [`Settings`]; if the two
//! ever differ, nothing starts, and the tests say so first. Programs behind sessions stand in the file alone,
//! in tables `[providers.NAME]`: see [`Provider`].

mod kind;
mod providers;
mod settings;
mod table;

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fmt, io,
    path::{Path, PathBuf},
};

pub use kind::Kind;
pub use settings::{
    Http, Log, LogFormat, Mesh, Network, Node, Provider, Search, Settings, Storage, Workspace,
};
pub use table::{KEYS, Key};

/// Variables that start with `MUSTER_` and are no settings: the flags `--data` and `--config`.
const OTHER_VARIABLES: [&str; 2] = ["MUSTER_DATA", "MUSTER_CONFIG"];

/// Where settings come from, besides the defaults.
#[derive(Debug, Default)]
pub struct Sources {
    /// The settings file, and whether its owner named it: then it has to exist.
    pub file: Option<(PathBuf, Named)>,
    /// The environment; only what starts with `MUSTER_` matters.
    pub environment: Vec<(OsString, OsString)>,
    /// `key=value` of the command line. Repeating a list adds to it; otherwise the last one counts.
    pub flags: Vec<(String, String)>,
}

/// How the settings file was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// By `--config`: its absence is an error.
    ByOwner,
    /// `muster.toml` in the data folder: its absence means nothing.
    ByRule,
}

/// Where a value was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The table of keys.
    Default,
    /// The settings file.
    File(PathBuf),
    /// This variable of the environment.
    Env(String),
    /// The command line.
    Flag,
}

impl Origin {
    /// One word: `default`, `file`, `env` or `flag`.
    pub fn word(&self) -> &'static str {
        match self {
            Origin::Default => "default",
            Origin::File(_) => "file",
            Origin::Env(_) => "env",
            Origin::Flag => "flag",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("the default"),
            Origin::File(path) => write!(f, "{}", path.display()),
            Origin::Env(name) => write!(f, "the environment variable {name}"),
            Origin::Flag => f.write_str("the command line"),
        }
    }
}

/// The settings in force, and how they came about.
#[derive(Debug, Clone)]
pub struct Config {
    /// What the program reads.
    pub settings: Settings,
    /// Each key with its value and origin, in the order of [`KEYS`].
    pub rows: Vec<Row>,
    /// What looks like a mistake and is none for certain; to be told to the owner.
    pub warnings: Vec<String>,
}

/// One key as it stands.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its line in the table.
    pub key: &'static Key,
    /// Its value.
    pub value: toml::Value,
    /// Where that was found.
    pub origin: Origin,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file named cannot be read.
    #[error("cannot read the settings file {}: {cause}; name another with --config, or leave it out", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// The file is no TOML.
    #[error("{} is not valid TOML: {cause}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, column and reason.
        cause: toml::de::Error,
    },
    /// A key that does not exist.
    #[error("{origin} sets `{key}`, which is no setting; {}", suggestion(.nearest))]
    Unknown {
        /// Where it stands.
        origin: Origin,
        /// What was written.
        key: String,
        /// The known key that looks most like it.
        nearest: Option<&'static str>,
    },
    /// A value that its key does not take.
    #[error("{origin} sets `{key}` to {value}, but {why}; write {expected}")]
    Value {
        /// Where it stands.
        origin: Origin,
        /// Which key.
        key: &'static str,
        /// What was written.
        value: String,
        /// What is wrong with it.
        why: String,
        /// What to write instead.
        expected: String,
    },
    /// A provider that cannot be used.
    #[error(
        "{origin} describes the provider `{name}`, but {why}; write [providers.{name}] with command = \
         [\"program\", \"argument\"] and, if need be, env = {{ NAME = \"value\" }} and working_dir = \"folder\""
    )]
    Provider {
        /// Where it stands.
        origin: Origin,
        /// Which.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// The HTTP doors would be open to other machines, without encryption.
    #[error(
        "http.listen is {0}, which other machines can reach, and this program does not encrypt HTTP: keys and \
         tokens would cross the network in the open; listen on 127.0.0.1 with a reverse proxy that ends TLS in \
         front, or accept the risk with --set http.insecure_expose=true"
    )]
    Exposed(std::net::SocketAddr),
    /// The table of keys and the struct differ: a fault of this program.
    #[error("the table of settings and the program disagree: {0}; please report this")]
    Table(toml::de::Error),
}

fn suggestion(nearest: &Option<&'static str>) -> String {
    match nearest {
        Some(key) => format!("did you mean `{key}`? `muster config show` lists all"),
        None => "`muster config show` lists all".to_owned(),
    }
}

/// Reads all layers and checks every value.
pub fn load(sources: &Sources) -> Result<Config, ConfigError> {
    let mut found: BTreeMap<&'static str, (toml::Value, Origin)> = BTreeMap::new();
    for key in KEYS {
        let value = key.kind.from_text(&key.default_text());
        let value = value.map_err(|why| refused(key, &key.default_text(), why, Origin::Default))?;
        found.insert(key.name, (value, Origin::Default));
    }
    let mut providers = BTreeMap::new();
    if let Some((path, named)) = &sources.file {
        let mut table = read_file(path, *named)?;
        providers = providers::take(&mut table, path)?;
        let mut leaves = Vec::new();
        flatten("", table, &mut leaves);
        for (name, value) in leaves {
            let origin = Origin::File(path.clone());
            let key = known(&name, &origin)?;
            let value = key
                .kind
                .from_file(&value)
                .map_err(|why| refused(key, &value.to_string(), why, origin.clone()))?;
            found.insert(key.name, (value, origin));
        }
    }
    for key in KEYS {
        let Some(text) = variable(&sources.environment, &key.variable()) else { continue };
        let origin = Origin::Env(key.variable());
        let text = text.to_string_lossy(); // what is no UTF-8 shows as � and fails its check
        let value = key.kind.from_text(&text).map_err(|why| refused(key, &text, why, origin.clone()))?;
        found.insert(key.name, (value, origin));
    }
    for (name, text) in &joined(&sources.flags) {
        let key = known(name, &Origin::Flag)?;
        let value = key.kind.from_text(text).map_err(|why| refused(key, text, why, Origin::Flag))?;
        found.insert(key.name, (value, Origin::Flag));
    }
    let mut settings: Settings = nested(&found).try_into().map_err(ConfigError::Table)?;
    settings.providers = providers;
    let rows = KEYS.iter().filter_map(|key| {
        let (value, origin) = found.remove(key.name)?;
        Some(Row { key, value, origin })
    });
    Ok(Config { settings, rows: rows.collect(), warnings: warnings(&sources.environment) })
}

fn refused(key: &'static Key, value: &str, why: String, origin: Origin) -> ConfigError {
    let expected = key.kind.expected();
    ConfigError::Value { origin, key: key.name, value: format!("`{}`", value.trim()), why, expected }
}

fn known(name: &str, origin: &Origin) -> Result<&'static Key, ConfigError> {
    KEYS.iter().find(|key| key.name == name).ok_or_else(|| ConfigError::Unknown {
        origin: origin.clone(),
        key: name.to_owned(),
        nearest: nearest(name, KEYS.iter().map(|key| key.name)),
    })
}

fn read_file(path: &Path, named: Named) -> Result<toml::Table, ConfigError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(cause) if named == Named::ByRule && cause.kind() == io::ErrorKind::NotFound => {
            return Ok(toml::Table::new());
        }
        Err(cause) => return Err(ConfigError::Read { path: path.to_owned(), cause }),
    };
    text.parse().map_err(|cause| ConfigError::Syntax { path: path.to_owned(), cause })
}

/// The leaves of the file, as dotted names.
fn flatten(prefix: &str, table: toml::Table, leaves: &mut Vec<(String, toml::Value)>) {
    for (name, value) in table {
        let name = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        match value {
            toml::Value::Table(table) => flatten(&name, table, leaves),
            value => leaves.push((name, value)),
        }
    }
}

fn nested(found: &BTreeMap<&'static str, (toml::Value, Origin)>) -> toml::Table {
    let mut root = toml::Table::new();
    for (name, (value, _)) in found {
        let (sections, leaf) = name.rsplit_once('.').unwrap_or(("", name));
        let mut table = &mut root;
        for section in sections.split('.').filter(|section| !section.is_empty()) {
            let entry = table.entry(section).or_insert_with(|| toml::Table::new().into());
            table = entry.as_table_mut().expect("no key is also the section of another: tested");
        }
        table.insert(leaf.to_owned(), value.clone());
    }
    root
}

/// Flags by key: a repeated list is one list, of anything else the last one counts.
fn joined(flags: &[(String, String)]) -> BTreeMap<&str, String> {
    let mut joined: BTreeMap<&str, String> = BTreeMap::new();
    for (name, text) in flags {
        let list = KEYS.iter().any(|key| key.name == name && key.kind.is_list());
        let earlier = joined.get(name.as_str()).filter(|_| list).map(|earlier| format!("{earlier},{text}"));
        joined.insert(name, earlier.unwrap_or_else(|| text.clone()));
    }
    joined
}

fn variable<'a>(environment: &'a [(OsString, OsString)], name: &str) -> Option<&'a OsStr> {
    environment.iter().find(|(variable, _)| variable == name).map(|(_, value)| value.as_os_str())
}

/// Variables that look like a key (`MUSTER_`, a section, a name) and are none. Others may use the prefix
/// for purposes of their own, so this is no error.
fn warnings(environment: &[(OsString, OsString)]) -> Vec<String> {
    let variables: Vec<String> = KEYS.iter().map(Key::variable).collect();
    let names = environment.iter().filter_map(|(name, _)| name.to_str());
    names
        .filter(|name| name.strip_prefix("MUSTER_").is_some_and(|rest| rest.contains('_')))
        .filter(|name| !OTHER_VARIABLES.contains(name) && !variables.iter().any(|known| known == name))
        .map(|name| match nearest(name, variables.iter().map(String::as_str)) {
            Some(known) => format!("{name} is set and names no setting; did you mean {known}?"),
            None => format!("{name} is set and names no setting; `muster config show` lists all"),
        })
        .collect()
}

/// The candidate most like `name`, if one is near enough to have been meant: a third of its letters wrong.
fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let measured = candidates.map(|candidate| (distance(name, candidate), candidate));
    measured
        .min()
        .filter(|(distance, candidate)| distance * 3 <= candidate.len())
        .map(|(_, candidate)| candidate)
}

/// Letters to insert, remove or replace to make `b` of `a` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let cost = (diagonal + usize::from(from != *to)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], cost);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests;
