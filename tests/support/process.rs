//! Nodes as users run them: one process each, on ports the system chooses.

use std::{
    ffi::OsStr,
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use super::{Api, Wire, within};

/// Either transport, on any free port of this machine; of its own machine, for a node on a wire.
pub const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";
pub const TCP: &str = "/ip4/127.0.0.1/tcp/0";

/// Where nodes on this machine are reached.
const LOOPBACK: &str = "127.0.0.1";

/// Where the system keeps its programs.
const SYSTEM: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

const PROGRAM: &str = env!("CARGO_BIN_EXE_muster-under-test");

/// Where a node lives and how it is started, again and again. When it goes, its log is looked through.
pub struct Place {
    home: TempDir,
    name: String,
    transport: String,
    greet_seconds: u32,
    /// Words before those of the program: what it is started by.
    starter: Vec<String>,
    /// The address where it serves HTTP.
    ip: String,
}

/// What a command printed, and how it ended.
pub struct Told {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Told {
    /// The one JSON value on standard output of a command that succeeded.
    pub fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("not JSON: {}", self.out))
    }

    /// The JSON error of a command that failed with exit code `code`.
    pub fn error(&self, code: i32) -> Value {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        let last = self.err.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|_| panic!("not JSON: {}", self.err))
    }
}

impl Place {
    /// An empty place for a node of this name that speaks QUIC.
    pub fn new(name: &str) -> Self {
        Self::over(QUIC, name)
    }

    /// An empty place for a node of this name that speaks `transport`, or several with a space between.
    pub fn over(transport: &str, name: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        // Peers of other nodes become visible within a second, and are gone two after they fell silent.
        Self {
            home,
            name: name.to_owned(),
            transport: transport.to_owned(),
            greet_seconds: 1,
            starter: Vec::new(),
            ip: LOOPBACK.to_owned(),
        }
    }

    /// Places for nodes of these names that speak `transport`, each on a machine of its own if there is a wire.
    pub fn on<const N: usize>(wire: Option<&Wire>, transport: &str, names: [&str; N]) -> [Self; N] {
        let mut node = 0;
        names.map(|name| {
            let mut place = Self::over(transport, name);
            if let Some(wire) = wire {
                place.ip = wire.ip(node);
                place.transport = transport.replace(LOOPBACK, &place.ip);
                place.starter = ["ip", "netns", "exec", &wire.namespace(node)].map(str::to_owned).to_vec();
            }
            node += 1;
            place
        })
    }

    /// The same with no more than so many open files.
    pub fn with_open_files(mut self, most: u32) -> Self {
        let limited = format!("ulimit -n {most}; exec \"$0\" \"$@\"");
        self.starter.extend(["/bin/sh", "-c", &limited].map(str::to_owned));
        self
    }

    /// The same with another time between two greets.
    pub fn greeting_every(mut self, seconds: u32) -> Self {
        self.greet_seconds = seconds;
        self
    }

    /// The data folder.
    pub fn folder(&self) -> PathBuf {
        self.home.path().join("node")
    }

    /// A path beside the data folder.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn log(&self) -> PathBuf {
        self.beside("log")
    }

    /// All bytes of all files in the data folder.
    pub fn stored(&self) -> Vec<u8> {
        let (mut bytes, mut folders) = (Vec::new(), vec![self.folder()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => bytes.extend(std::fs::read(path).unwrap()),
                }
            }
        }
        bytes
    }

    /// The error with which the last node of this place ended: one line of JSON, the last on standard error.
    pub fn last_words(&self) -> Value {
        let logged = self.logged();
        let last = logged.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|_| panic!("not JSON: {logged}"))
    }

    /// Everything the nodes of this place wrote to standard error.
    pub fn logged(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// `muster -o json …` for this folder, with nothing of our own environment.
    pub fn command<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.command_for_people(["-o", "json"]);
        command.args(words);
        command
    }

    /// `muster …`, which prints for people.
    pub fn command_for_people<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Command {
        let mut all = self.starter.iter().map(OsStr::new).chain([OsStr::new(PROGRAM)]);
        let mut command = Command::new(all.next().unwrap());
        command.env_clear().args(all).arg("--data").arg(self.folder()).args(words);
        command.env("MUSTER_NETWORK_GREET_INTERVAL_SECONDS", self.greet_seconds.to_string());
        if !self.starter.is_empty() {
            command.env("PATH", SYSTEM);
        }
        command.current_dir(self.home.path()).kill_on_drop(true).stdin(Stdio::null());
        command
    }

    /// Runs a command that prints JSON to its end.
    pub async fn run<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Told {
        self.told(self.command(words)).await
    }

    /// Runs a command that prints for people to its end.
    pub async fn run_for_people<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Told {
        self.told(self.command_for_people(words)).await
    }

    async fn told(&self, mut command: Command) -> Told {
        let output = within("a command", command.output()).await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let told = Told { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) };
        assert!(!told.err.contains("panicked"), "{}", told.err);
        told
    }

    /// The words that start the node.
    pub fn up_words(&self) -> Vec<String> {
        let http = format!("{}:0", self.ip);
        let mut words = vec!["up", "--no-mdns", "--http", &http, "--name", &self.name];
        words.extend(self.transport.split(' ').flat_map(|transport| ["--listen", transport]));
        if self.ip != LOOPBACK {
            words.extend(["--set", "http.insecure_expose=true"]);
        }
        words.into_iter().map(str::to_owned).collect()
    }

    /// Starts the node and waits until it is ready.
    pub async fn up(&self) -> Node {
        self.try_up().await.unwrap_or_else(|| panic!("{} does not start: {}", self.name, self.logged()))
    }

    /// The same; none when it ended before it was ready. Its last words say why.
    pub async fn try_up(&self) -> Option<Node> {
        let mut command = self.command(self.up_words());
        let log = OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
        let since = Instant::now();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = within("the node to be ready", out.next_line()).await.unwrap();
        let Some(line) = line else {
            within("the node to end", child.wait()).await.unwrap();
            return None;
        };
        let took = since.elapsed();
        let ready: Value = serde_json::from_str(&line).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let token = std::fs::read_to_string(self.folder().join("operator.token")).unwrap();
        Some(Node {
            api: Api::new(&text(&ready["http"]), token.trim()),
            peer_id: text(&ready["peer_id"]),
            listen: ready["listen"].as_array().unwrap().iter().map(text).collect(),
            took,
            child,
            _out: out,
        })
    }

    /// From now on the node listens where `node` does, as one with a fixed port would.
    pub fn stay_at(&mut self, node: &Node) {
        let address = node.listen[0].split("/p2p/").next().unwrap();
        self.transport = address.to_owned();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- the log of {}\n{}", self.name, self.logged());
        } else {
            let logged = self.logged();
            assert!(!logged.contains("panicked at"), "{} panicked:\n{logged}", self.name);
        }
    }
}

/// A node that runs.
pub struct Node {
    pub api: Api,
    pub peer_id: String,
    pub listen: Vec<String>,
    /// From the start of its process until it said that it is ready.
    pub took: Duration,
    child: Child,
    /// Kept open, so that the node can print.
    _out: Lines<BufReader<ChildStdout>>,
}

impl Node {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("the process is not waited for yet")
    }

    /// Kills it with a signal that no program can catch.
    pub async fn kill(mut self) {
        self.kill_now().await;
    }

    /// The same for one that is soon replaced.
    pub async fn kill_now(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Tells it to end, and waits for that: how it ended, and how long it took.
    pub async fn terminate(mut self) -> (ExitStatus, Duration) {
        let since = Instant::now();
        self.signal("TERM").await;
        let status = within("the node to end", self.child.wait()).await.unwrap();
        (status, since.elapsed())
    }

    /// Sends its process a signal, such as `STOP`.
    pub async fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.pid());
        assert!(Command::new("/bin/sh").args(["-c", &kill]).status().await.unwrap().success());
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        self.child.wait().await.unwrap()
    }

    /// Whether its process is still there.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Its resident memory in KiB.
    pub fn resident_kib(&self) -> u64 {
        self.memory_kib("VmRSS:")
    }

    /// The most resident memory it ever had, in KiB.
    pub fn peak_kib(&self) -> u64 {
        self.memory_kib("VmHWM:")
    }

    fn memory_kib(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// How long processors worked for it.
    pub fn processor_time(&self) -> Duration {
        processor_time(&self.pid().to_string())
    }

    /// How many files and sockets it has open.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }
}

/// How long processors worked for a process, or `self`. The system counts in hundredths of a second.
pub fn processor_time(pid: &str) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name = stat.rsplit(')').next().unwrap().split_whitespace();
    let ticks: u64 = after_name.skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(10 * ticks)
}
