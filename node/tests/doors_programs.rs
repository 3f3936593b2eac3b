//! Sessions with a program behind them, in the real program with real processes (N-78, N-97 to N-104, N-117 to N-125).
#![expect(clippy::unwrap_used, reason = "helpers of tests, too, fail by panicking")]

mod doors;

use std::{fs::DirBuilder, future::Future, os::unix::fs::DirBuilderExt, path::Path};

use doors::{Node, PATIENCE, but};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Answers every envelope in its conversation.
const ECHO: &str = r#"
echo '{"type":"ready"}'
while read -r line; do
  case $line in *'"type":"envelope"'*)
    echo '{"type":"send","body":{"text":"I heard you."}}'
    echo '{"type":"done"}' ;;
  esac
done
"#;

/// Keeps every line it reads, answers an envelope, and is through with it when somebody makes the file `gate`.
const SLOW: &str = r#"
echo $$ > pid
echo '{"type":"ready"}'
while read -r line; do
  printf '%s\n' "$line" >> lines
  case $line in *'"type":"envelope"'*)
    echo '{"type":"send","body":{"text":"On it."}}'
    while [ ! -e gate ]; do sleep 0.02; done
    rm gate
    echo '{"type":"done"}' ;;
  esac
done
"#;

/// A folder for a node whose settings name `/bin/sh` scripts as providers; each works in the folder itself.
fn home(scripts: &[(&str, &str)]) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let mut settings = String::new();
    for (name, script) in scripts {
        let path = home.path().join(format!("{name}.sh"));
        std::fs::write(&path, script).unwrap();
        settings += &provider(name, &["/bin/sh", path.to_str().unwrap()], home.path());
    }
    write_settings(&home, &settings);
    home
}

fn provider(name: &str, command: &[&str], folder: &Path) -> String {
    format!("[providers.{name}]\ncommand = {command:?}\nworking_dir = {folder:?}\n")
}

fn write_settings(home: &TempDir, settings: &str) {
    let folder = home.path().join("node");
    DirBuilder::new().recursive(true).mode(0o700).create(folder).unwrap();
    std::fs::write(home.path().join("node/muster.toml"), settings).unwrap();
}

/// Whether this machine has what the tests need; says so when it has not.
fn no_shell() -> bool {
    let missing = !Path::new("/bin/sh").exists();
    if missing {
        println!("SKIPPED: there is no /bin/sh");
    }
    missing
}

/// Asks until the answer is as wanted.
async fn until<T: std::fmt::Debug, F: Future<Output = T>>(
    what: &str,
    mut ask: impl FnMut() -> F,
    wanted: impl Fn(&T) -> bool,
) -> T {
    let mut last = None;
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            let now = ask().await;
            if wanted(&now) {
                return now;
            }
            last = Some(now);
            tokio::task::yield_now().await; // the clock of the patience has to get its turn
        }
    });
    found.await.unwrap_or_else(|_| panic!("{what} never happened; last: {last:?}"))
}

/// A workspace in which a planner without a program and one agent with one are in `builders`.
struct Shop {
    workspace: String,
    planner: String,
    helper: String,
}

impl Shop {
    async fn open(node: &Node, provider: &str) -> Self {
        let workspace = node.workspace("shop", &["planner"]).await;
        let agents = format!("/node/v1/workspaces/{workspace}/agents");
        node.post(&agents, &json!({ "name": "helper", "provider": provider })).await.with(201);
        let channels = format!("/api/workspaces/{workspace}/network/channels");
        let wish = json!({
            "channel": "builders", "workspace_id": workspace, "purpose": "to build",
            "agent_names": ["planner", "helper"],
        });
        let made = node.post(&channels, &wish).await.with(201);
        let id = |agent: &str| {
            let sessions = made["channel"]["sessions"].as_array().unwrap();
            let found = sessions.iter().find(|session| session["agent_name"] == agent).unwrap();
            found["id"].as_str().unwrap().to_owned()
        };
        let (planner, helper) = (id("planner"), id("helper"));
        Self { workspace, planner, helper }
    }

    fn at(&self, rest: &str) -> String {
        format!("/api/workspaces/{}/network/{rest}", self.workspace)
    }

    async fn say(&self, node: &Node, id: &str) {
        self.send(node, json!({ "id": id })).await;
    }

    async fn send(&self, node: &Node, change: Value) {
        let say = json!({
            "session_id": self.planner, "channel": "builders", "kind": "say", "surface": "thread",
            "thread_id": "thread_one", "body": { "text": "Who runs the smoke test?" },
        });
        node.post(&self.at("send"), &but(say, change)).await.with(200);
    }

    /// What the program's session said in the thread.
    async fn answers(&self, node: &Node) -> Vec<Value> {
        let thread = node.get(&self.at("channels/builders/threads/thread_one/messages")).await.with(200);
        let messages = thread["messages"].as_array().unwrap().iter();
        let from = format!("helper.{}", self.helper);
        messages.filter(|message| message["peer_from"] == from.as_str()).cloned().collect()
    }

    async fn inbox(&self, node: &Node) -> Vec<String> {
        let inbox = node.get(&self.at(&format!("inbox?session_id={}", self.helper))).await.with(200);
        let waiting = inbox["messages"].as_array().unwrap().iter();
        waiting.map(|message| message["id"].as_str().unwrap().to_owned()).collect()
    }

    /// The program's session as the Network door shows it.
    async fn session(&self, node: &Node) -> Value {
        let channel = node.get(&self.at("channels/builders")).await.with(200);
        let sessions = channel["channel"]["sessions"].as_array().unwrap();
        sessions.iter().find(|session| session["id"] == self.helper.as_str()).cloned().unwrap_or_default()
    }

    /// The same as the Node door shows it, also when it is stopped.
    async fn row(&self, node: &Node) -> Value {
        let list = node.get(&format!("/node/v1/workspaces/{}/sessions", self.workspace)).await.with(200);
        let sessions = list["sessions"].as_array().unwrap();
        sessions.iter().find(|session| session["id"] == self.helper.as_str()).cloned().unwrap()
    }
}

async fn status(node: &Node) -> Value {
    node.get("/api/network/status").await.with(200)["network"].clone()
}

fn lines(home: &TempDir) -> Vec<Value> {
    let text = std::fs::read_to_string(home.path().join("lines")).unwrap_or_default();
    // The last one may be half written.
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn open_gate(node: &Node) {
    std::fs::write(node.home.path().join("gate"), "").unwrap();
}

fn is_alive(pid: &str) -> bool {
    // A zombie has ended; only its parent has not looked yet.
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

/// Kills the node, and then the program that it left: nobody can end it for a node that was killed, and it
/// waits for the gate of the one after it.
async fn kill_with_program(node: Node) -> TempDir {
    let home = node.kill().await;
    let orphan = std::fs::read_to_string(home.path().join("pid")).unwrap();
    assert!(std::process::Command::new("kill").args(["-KILL", orphan.trim()]).status().unwrap().success());
    home
}

#[tokio::test]
async fn a_program_answers_in_the_thread_and_what_it_takes_up_counts_as_delivered_n99_n125() {
    if no_shell() {
        return;
    }
    let node = Node::start_in(home(&[("echo", ECHO)]), &[]).await;
    let shop = Shop::open(&node, "echo").await;
    shop.say(&node, "ask-1").await;
    let answers = until("an answer", || shop.answers(&node), |answers| !answers.is_empty()).await;
    assert_eq!(answers[0]["body"]["text"], "I heard you.");
    assert_eq!(answers[0]["reply_to"], "ask-1");
    assert_eq!(answers[0]["peer_to"], format!("planner.{}", shop.planner));

    let counted = |status: &Value| status["messages_delivered"] == 1;
    let status = until("the envelope is done", || status(&node), counted).await;
    assert_eq!((&status["delivery_workers"], &status["queued_messages"]), (&json!(1), &json!(1)));
    let say = status["kind_metrics"].as_array().unwrap().iter().find(|kind| kind["kind"] == "say").unwrap();
    assert_eq!((&say["delivered"], &say["rejected"]), (&json!(1), &json!(0)));
    let session = shop.session(&node).await;
    assert_eq!((&session["state"], &session["badge"]), (&json!("active"), &json!("idle")));
    assert_eq!((&session["provider"], &session["attachable"]), (&json!("echo"), &json!(true)));
    assert!(session.get("failure").is_none() && shop.inbox(&node).await.is_empty());
    let peer = node.get(&shop.at(&format!("peers/helper.{}", shop.helper))).await.with(200);
    assert_eq!(peer["peer"]["metrics"]["delivered"], 1, "N-63: {peer}");
}

#[tokio::test]
async fn envelopes_come_one_at_a_time_in_order_and_the_one_in_hand_does_not_wait_n98_n99() {
    if no_shell() {
        return;
    }
    let node = Node::start_in(home(&[("slow", SLOW)]), &[]).await;
    let shop = Shop::open(&node, "slow").await;
    for id in ["one", "two", "three"] {
        shop.say(&node, id).await;
    }
    let waiting: [&[&str]; 4] = [&["two", "three"], &["three"], &[], &[]];
    for (at, waiting) in waiting.iter().enumerate() {
        let answered = |answers: &Vec<Value>| answers.len() == (at + 1).min(3);
        until("the next envelope is answered", || shop.answers(&node), answered).await;
        until("the next envelope is in hand", || shop.inbox(&node), |inbox| inbox == waiting).await;
        let session = shop.session(&node).await;
        assert_eq!(session["badge"], if at < 3 { "running" } else { "idle" });
        if at < 3 {
            open_gate(&node);
            let done = |status: &Value| status["messages_delivered"] == at + 1;
            until("it is done", || status(&node), done).await;
        }
    }
    let all = || async { lines(&node.home) };
    let told = |lines: &Vec<Value>| lines.iter().filter(|line| line["type"] == "sent").count() == 3;
    let lines = until("it reads its answers", all, told).await;
    let envelopes: Vec<_> = lines.iter().filter(|line| line["type"] == "envelope").collect();
    let ids: Vec<_> = envelopes.iter().map(|line| line["envelope"]["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["one", "two", "three"]);
    assert!(envelopes.iter().all(|line| line["trust"] == "untrusted"), "N-78");
    assert!(envelopes.iter().all(|line| line["envelope"].get("body").is_none()), "N-78: base64 only");
    assert_eq!(lines.iter().filter(|line| line["type"] == "sent" && line["repeated"] == false).count(), 3);
}

#[tokio::test]
async fn a_program_that_crashes_is_started_again_and_gets_its_envelope_again_n100_n120() {
    if no_shell() {
        return;
    }
    let fragile = "echo '{\"type\":\"ready\"}'; echo token=hunter22 >&2; read -r line; [ -e gate ] || exit 3\n\
                   echo '{\"type\":\"done\"}'; read -r line\n";
    let node = Node::start_in(home(&[("fragile", fragile)]), &[]).await;
    let shop = Shop::open(&node, "fragile").await;
    shop.say(&node, "ask-1").await;
    until("it is given back", || shop.inbox(&node), |inbox| *inbox == ["ask-1"]).await;
    let row = until("it fails again", || shop.row(&node), |row| row["restarts"].as_u64() >= Some(2)).await;
    assert_eq!(row["state"], "active");
    let session = shop.session(&node).await;
    assert_eq!(
        (&session["failure"]["kind"], &session["badge"]),
        (&json!("process_exit"), &json!("unhealthy"))
    );
    let summary = session["failure"]["summary"].as_str().unwrap();
    assert!(summary.contains("status 3") && !summary.contains("hunter22"), "redacted: {summary}");
    assert_eq!(session["attachable"], false);
    assert_eq!(status(&node).await["messages_delivered"], 0);

    open_gate(&node);
    until("it is well", || shop.session(&node), |session| session.get("failure").is_none()).await;
    assert_eq!(status(&node).await["messages_delivered"], 1);
    assert!(shop.inbox(&node).await.is_empty());
}

#[tokio::test]
async fn what_was_in_hand_at_kill_9_is_handed_over_again_and_answered_once_n83_n101() {
    if no_shell() {
        return;
    }
    let node = Node::start_in(home(&[("slow", SLOW)]), &[]).await;
    let shop = Shop::open(&node, "slow").await;
    shop.say(&node, "one").await;
    shop.say(&node, "two").await;
    until("an answer", || shop.answers(&node), |answers| answers.len() == 1).await;
    let home = kill_with_program(node).await;
    let node = Node::start_in(home, &[]).await;
    let handed = || async { lines(&node.home).iter().filter(|line| line["envelope"]["id"] == "one").count() };
    until("it is handed over again", handed, |count| *count == 2).await;
    assert_eq!(shop.inbox(&node).await, ["two"], "N-98: the first is in hand again");
    open_gate(&node);
    let both = |answers: &Vec<Value>| answers.len() >= 2;
    let answers = until("the next one is answered", || shop.answers(&node), both).await;
    let to: Vec<_> = answers.iter().map(|answer| answer["reply_to"].as_str().unwrap()).collect();
    assert_eq!(to, ["one", "two"], "each once");
    open_gate(&node);
    until("all is done", || status(&node), |status| status["messages_delivered"] == 2).await;
    assert_eq!(shop.answers(&node).await.len(), 2);
    let sent: Vec<_> = lines(&node.home).into_iter().filter(|line| line["type"] == "sent").collect();
    assert!(sent.iter().any(|line| line["repeated"] == true), "the program is told: {sent:?}");
}

#[tokio::test]
async fn an_answer_to_somebody_who_left_goes_to_the_thread() {
    if no_shell() {
        return;
    }
    let late = "echo '{\"type\":\"ready\"}'; read -r line; while [ ! -e gate ]; do sleep 0.02; done\n\
                echo '{\"type\":\"send\",\"body\":{\"text\":\"Sorry, late.\"}}'\n\
                echo '{\"type\":\"done\"}'; while read -r line; do :; done\n";
    let node = Node::start_in(home(&[("late", late)]), &[]).await;
    let shop = Shop::open(&node, "late").await;
    shop.say(&node, "ask-1").await;
    until("it is in hand", || shop.session(&node), |session| session["badge"] == "running").await;
    node.delete(&format!("/node/v1/workspaces/{}/sessions/{}", shop.workspace, shop.planner)).await.with(204);
    open_gate(&node);
    let answers = until("an answer", || shop.answers(&node), |answers| !answers.is_empty()).await;
    assert_eq!(answers[0]["body"]["text"], "Sorry, late.");
    assert_eq!((&answers[0]["reply_to"], answers[0]["peer_to"].as_str()), (&json!("ask-1"), None));
}

#[tokio::test]
async fn stopping_a_session_ends_its_program_and_all_it_started_n121() {
    if no_shell() {
        return;
    }
    // It reads nothing, so that only being killed ends it.
    let stubborn = "sleep 600 & echo $! > child; echo $$ > pid; echo '{\"type\":\"ready\"}'\n\
                    while :; do sleep 600; done\n";
    let node = Node::start_in(home(&[("stubborn", stubborn), ("echo", ECHO)]), &[]).await;
    let shop = Shop::open(&node, "stubborn").await;
    let pid = |name: &str| std::fs::read_to_string(node.home.path().join(name)).unwrap();
    let (child, parent) = (pid("child"), pid("pid"));
    assert!(is_alive(&child) && is_alive(&parent));
    until("it is served", || status(&node), |status| status["delivery_workers"] == 1).await;
    node.delete(&format!("/node/v1/workspaces/{}/sessions/{}", shop.workspace, shop.helper)).await.with(204);
    let state = |state: &'static str| move |row: &Value| row["state"] == state;
    until("it is stopping", || shop.row(&node), state("stopping")).await;
    until("it is stopped", || shop.row(&node), state("stopped")).await;
    assert!(!is_alive(&child) && !is_alive(&parent));
    assert_eq!(status(&node).await["delivery_workers"], 0);
}

#[tokio::test]
async fn a_node_that_stops_ends_its_programs() {
    if no_shell() {
        return;
    }
    let tidy =
        "echo $$ > pid; echo '{\"type\":\"ready\"}'; while read -r line; do :; done; echo bye > said\n";
    let node = Node::start_in(home(&[("tidy", tidy)]), &[]).await;
    Shop::open(&node, "tidy").await;
    let (said, pid) = (node.home.path().join("said"), node.home.path().join("pid"));
    let pid = std::fs::read_to_string(pid).unwrap();
    let home = node.terminate_in_place().await;
    assert!(!is_alive(&pid));
    assert_eq!(
        std::fs::read_to_string(said).unwrap().trim(),
        "bye",
        "its input is closed before it is killed"
    );
    drop(home);
}

#[tokio::test]
async fn what_is_no_line_of_ours_is_refused_and_hurts_nobody() {
    if no_shell() {
        return;
    }
    let noisy = r#"
echo '{"type":"ready"}'
head -c 10000 /dev/zero | tr '\0' x; echo
echo '{"type":"nonsense"}'
printf '\377\376\n'
echo '{"type":"done"}'
echo '{"type":"send","body":{"text":"out of the blue"},"surface":"thread","thread_id":"thread_one"}'
echo '{"type":"send","body":{"text":"  "},"surface":"thread","thread_id":"thread_one"}'
echo '{"type":"send","body":{"text":"not as another"},"session_id":"sess-1","surface":"thread","thread_id":"thread_one"}'
while read -r line; do printf '%s\n' "$line" >> lines; done
"#;
    let node = Node::start_in(home(&[("noisy", noisy)]), &[]).await;
    let shop = Shop::open(&node, "noisy").await;
    let all = || async { lines(&node.home) };
    let lines = until("all lines are answered", all, |lines| lines.len() == 7).await;
    let types: Vec<_> = lines.iter().map(|line| line["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["refused", "refused", "refused", "refused", "sent", "refused", "sent"]);
    assert!(lines.iter().all(|line| line.to_string().len() < 500));
    let answers = shop.answers(&node).await;
    assert_eq!(answers.len(), 2, "both as its own session (N-80)");
    assert!(shop.session(&node).await.get("failure").is_none());
}

#[tokio::test]
async fn too_long_a_line_ends_the_program_and_is_told_n120() {
    if no_shell() {
        return;
    }
    let long = "echo '{\"type\":\"ready\"}'; read -r line; head -c 3000000 /dev/zero | tr '\\0' x; echo; sleep 600\n";
    let node = Node::start_in(home(&[("long", long)]), &[]).await;
    let shop = Shop::open(&node, "long").await;
    shop.say(&node, "one").await;
    let failed = |session: &Value| session["failure"]["kind"] == "protocol_failure";
    until("its failure is told", || shop.session(&node), failed).await;
}

#[tokio::test]
async fn a_program_that_does_not_start_leaves_nothing_of_the_call_n117_n118() {
    if no_shell() {
        return;
    }
    let home = home(&[("echo", ECHO), ("denied", "exit 77\n"), ("broken", "exit 3\n")]);
    let path = home.path().join("node/muster.toml");
    let more = "[providers.missing]\ncommand = [\"/no/such/program\"]\n";
    std::fs::write(&path, std::fs::read_to_string(&path).unwrap() + more).unwrap();
    let node = Node::start_in(home, &[]).await;
    let workspace = node.workspace("shop", &["planner"]).await;
    let agents = format!("/node/v1/workspaces/{workspace}/agents");
    node.post(&agents, &json!({ "name": "x", "provider": "nowhere" })).await.refuses(400, "invalid_request");
    for provider in ["echo", "denied", "broken", "missing"] {
        node.post(&agents, &json!({ "name": provider, "provider": provider })).await.with(201);
    }
    let channels = format!("/api/workspaces/{workspace}/network/channels");
    let sessions = format!("/node/v1/workspaces/{workspace}/sessions");
    for (agent, status, code) in [
        ("denied", 422, "network_provider_auth_failed"),
        ("broken", 503, "network_program_not_started"),
        ("missing", 503, "network_program_not_started"),
    ] {
        let wish = json!({
            "channel": "builders", "workspace_id": workspace, "purpose": "to build",
            "agent_names": ["planner", "echo", agent],
        });
        node.post(&channels, &wish).await.refuses(status, code);
        let start = json!({ "agent_name": agent, "channel": "builders" });
        node.post(&sessions, &start).await.refuses(503, "program_not_started");
    }
    assert_eq!(node.get(&sessions).await.with(200)["sessions"], json!([]), "N-118");
    node.get(&format!("{channels}/builders")).await.refuses(404, "network_not_found");
}

#[tokio::test]
async fn a_provider_that_the_settings_no_longer_name_is_told_and_its_inbox_waits_n104_n120() {
    if no_shell() {
        return;
    }
    let node = Node::start_in(home(&[("slow", SLOW)]), &[]).await;
    let shop = Shop::open(&node, "slow").await;
    shop.say(&node, "one").await;
    until("an answer", || shop.answers(&node), |answers| answers.len() == 1).await;
    let home = kill_with_program(node).await;
    write_settings(&home, "");
    let node = Node::start_in(home, &[]).await;
    let failed = |session: &Value| session["badge"] == "failed";
    let session = until("its failure is told", || shop.session(&node), failed).await;
    assert_eq!(session["failure"]["kind"], "startup_failure");
    assert!(session["failure"]["summary"].as_str().unwrap().contains("[providers.slow]"));
    assert_eq!(shop.inbox(&node).await, ["one"]);
    let start = json!({ "agent_name": "helper", "channel": "builders" });
    let sessions = format!("/node/v1/workspaces/{}/sessions", shop.workspace);
    node.post(&sessions, &start).await.refuses(503, "program_not_started");
}

#[tokio::test]
async fn what_expires_while_it_waits_is_dropped_and_told_without_anybody_looking_n102() {
    let node = Node::start_with(&["network.greet_interval_seconds=1"]).await;
    let shop = Shop::open(&node, "none").await;
    let status_of = || status(&node);
    assert_eq!(status_of().await["delivery_workers"], 0);
    shop.send(&node, json!({ "id": "soon", "expires_at": node_seconds() + 2 })).await;
    shop.say(&node, "stays").await;
    let swept = |status: &Value| status["messages_rejected"] == 1;
    let status = until("it is swept", status_of, swept).await;
    assert_eq!(status["queued_messages"], 1);
    assert_eq!(shop.inbox(&node).await, ["stays"]);
    let session = shop.session(&node).await;
    assert_eq!((&session["state"], &session["badge"]), (&json!("active"), &json!("idle")), "N-122");
}

#[expect(clippy::disallowed_methods, reason = "the program under test reads the same clock")]
fn node_seconds() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test]
async fn the_program_of_the_readme_works() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let program = readme.split_once("```python\n").and_then(|(_, rest)| rest.split_once("```"));
    let program = program.expect("the README shows a program").0;
    let Some(python) =
        ["/usr/bin/python3", "/usr/local/bin/python3"].iter().find(|path| Path::new(path).exists())
    else {
        return println!("SKIPPED: there is no python3");
    };
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("agent.py");
    std::fs::write(&path, program).unwrap();
    write_settings(&home, &provider("echo", &[python, path.to_str().unwrap()], home.path()));
    let node = Node::start_in(home, &[]).await;
    let shop = Shop::open(&node, "echo").await;
    shop.say(&node, "ask-1").await;
    let answers = until("an answer", || shop.answers(&node), |answers| !answers.is_empty()).await;
    assert_eq!(answers[0]["body"]["text"], "You said: Who runs the smoke test?");
}
