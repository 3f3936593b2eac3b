//! Two people's first day with Muster, command by command, and what each command says when it cannot.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests of real processes in real time")]

use std::process::Stdio;

use serde_json::Value;
use support::{Place, Told, until, until_true, within};
use tokio::io::{AsyncBufReadExt as _, BufReader};

mod support;

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not text: {value}")).to_owned()
}

/// `muster …` with words separated by blanks; no argument here holds one.
async fn muster(place: &Place, words: &str) -> Told {
    place.run(words.split_whitespace()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn from_an_empty_folder_to_a_conversation_of_two_nodes_and_back() {
    let (at_ada, at_bob) = (Place::new("ada"), Place::new("bob"));
    let (ada, bob) = tokio::join!(at_ada.up(), at_bob.up());

    // Ada founds a workspace and invites; bob joins.
    let founded = muster(&at_ada, "workspace create workshop").await.json();
    let workspace = text(&founded["id"]);
    assert!(workspace.starts_with("ws_"), "{founded}");
    assert_eq!(founded["role"], "owner");
    let invite = muster(&at_ada, "invite --role member --expires 1h --uses 1").await.json();
    let ticket = text(&invite["ticket"]);
    let joined = muster(&at_bob, &format!("join {ticket}")).await.json();
    assert_eq!((&joined["id"], &joined["name"]), (&founded["id"], &founded["name"]));
    let listed = muster(&at_bob, "workspace list").await.json();
    assert_eq!(listed["workspaces"][0]["role"], "member");
    until_true("both see both", || async {
        let members = muster(&at_ada, "member list -w workshop").await.json();
        let members = members["members"].as_array().unwrap().clone();
        members.len() == 2 && members.iter().all(|member| member["online"] == true)
    })
    .await;

    // Each brings an agent; bob's can do something.
    muster(&at_ada, "agent register asker").await.json();
    let words = ["agent", "register", "coder", "--capability", "review=Reviews a patch|A list of findings"];
    let registered = at_bob.run(words).await.json();
    assert_eq!(registered["capabilities"][0]["outcome"], "A list of findings");
    let asker = muster(&at_ada, "session start asker builders").await.json();
    let coder = muster(&at_bob, "session start coder builders").await.json();
    let (asker_id, coder_id, coder_peer) = (text(&asker["id"]), text(&coder["id"]), text(&coder["peer_id"]));
    let sessions = muster(&at_bob, "session list").await.json();
    assert_eq!(sessions["sessions"][0]["state"], "active");

    // Bob follows what happens while ada writes.
    let mut tail = at_bob.command(["tail", "--kinds", "message"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    ada.api.until_visible(&workspace, "builders", &coder_peer).await;
    let words = [
        "send",
        "--session",
        &asker_id,
        "--channel",
        "builders",
        "--thread",
        "thread_review",
        "--to",
        &coder_peer,
        "Please review the patch",
    ];
    let sent = at_ada.run(words).await.json();
    let id = text(&sent["message"]["id"]);
    let waiting = until("the message waits for bob's agent", || async {
        let inbox = muster(&at_bob, &format!("inbox {coder_id}")).await.json();
        inbox["messages"].as_array().unwrap().first().cloned()
    })
    .await;
    assert_eq!((&waiting["id"], &waiting["thread_id"]), (&sent["message"]["id"], &"thread_review".into()));
    assert_eq!(waiting["body"]["text"], "Please review the patch");
    let words = [
        "send",
        "-s",
        &coder_id,
        "-c",
        "builders",
        "-t",
        "thread_review",
        "--id",
        "msg_answer",
        "Two findings",
    ];
    for _ in 0..2 {
        at_bob.run(words).await.json(); // an answer sent twice under one id is one answer
    }
    let said = [id.clone(), "msg_answer".to_owned()];
    for node in [&ada, &bob] {
        node.api.until_thread_holds(&workspace, "builders", "thread_review", &said).await;
    }
    for id in said {
        let line = within("an event", lines.next_line()).await.unwrap().expect("tail goes on");
        let event: Value = serde_json::from_str(&line).unwrap();
        assert!(event.to_string().contains(&id), "{event}");
    }
    tail.kill().await.unwrap();

    // How it fares, and a copy of it.
    let status = muster(&at_ada, "status").await.json();
    assert_eq!((&status["peer_id"], &status["peers"]), (&ada.peer_id.as_str().into(), &1.into()));
    assert_eq!(status["workspaces"], 1);
    let copy = muster(&at_ada, "backup copy.redb").await.json(); // relative to where the command runs
    assert_eq!(copy["verified"], true);
    assert!(at_ada.beside("copy.redb").exists());
    muster(&at_ada, "backup copy.redb").await.error(1);

    // A session ends; a member goes.
    muster(&at_bob, &format!("session stop {coder_id}")).await.json();
    let sessions = muster(&at_bob, "session list").await.json();
    assert_eq!(sessions["sessions"][0]["state"], "stopped");
    muster(&at_ada, &format!("member remove {}", bob.peer_id)).await.json();
    let members = muster(&at_ada, "member list").await.json();
    assert_eq!(members["members"].as_array().unwrap().len(), 1);
    let refused = muster(&at_bob, &format!("join {ticket}")).await.error(1);
    assert_eq!(refused["status"], 403);

    // And an invitation is taken back.
    let invite = muster(&at_ada, "invite").await.json();
    muster(&at_ada, &format!("invite --revoke {}", text(&invite["invite_id"]))).await.json();
    muster(&at_bob, &format!("join {}", text(&invite["ticket"]))).await.error(1);
}

#[tokio::test(flavor = "multi_thread")]
async fn work_is_asked_for_in_a_direct_room_and_reported_until_it_ends() {
    let place = Place::new("ada");
    let ada = place.up().await;
    ada.api.found("workshop").await;
    let mut peers = Vec::new();
    for agent in ["asker", "coder"] {
        muster(&place, &format!("agent register {agent}")).await.json();
        let started = muster(&place, &format!("session start {agent} builders")).await.json();
        peers.push((text(&started["id"]), text(&started["peer_id"])));
    }
    let [(asker, asker_peer), (coder, coder_peer)] = peers.try_into().unwrap();
    let ask =
        ["send", "-s", &asker, "-c", "builders", "--direct", "--to", &coder_peer, "--work", "w-1", "Fix it"];
    let room = text(&place.run(ask).await.json()["message"]["direct_id"]);

    let rooms = muster(&place, &format!("room list -c builders --peer {coder_peer}")).await.json();
    assert_eq!(rooms["directs"][0]["direct_id"], room.as_str());
    assert_eq!(rooms["directs"][0]["open_work_count"], 1);
    let work = muster(&place, "work show w-1").await.json();
    assert_eq!(
        (&work["work"]["state"], &work["work"]["target_peer_id"]),
        (&"submitted".into(), &coder_peer.as_str().into())
    );
    muster(&place, &format!("work report -s {coder} w-1 needs-input -m Which?")).await.json();
    muster(&place, &format!("work report -s {asker} w-1 canceled")).await.json();
    let work = muster(&place, "work show w-1").await.json();
    assert_eq!(work["work"]["state"], "canceled");
    let late = muster(&place, &format!("work report -s {coder} w-1 completed")).await.error(1);
    assert_eq!(late["code"], "network_work_closed");
    assert_eq!(muster(&place, "work show w-2").await.error(1)["code"], "network_not_found");

    let said = muster(&place, &format!("room read -c builders {room} --work w-1")).await.json();
    let said: Vec<_> =
        said["messages"].as_array().unwrap().iter().map(|one| text(&one["peer_from"])).collect();
    assert_eq!(said, [asker_peer.as_str(), &coder_peer, &asker_peer]);
    for (words, part) in [
        (format!("room read -c builders {room}"), "needs_input: Which?"),
        ("room list -c builders".to_owned(), room.as_str()),
        ("room list -c nobody".to_owned(), "muster send"),
        ("thread list -c builders".to_owned(), "no threads"),
        ("work show w-1".to_owned(), "w-1 is canceled"),
    ] {
        let told = place.run_for_people(words.split_whitespace()).await;
        assert!(told.code == Some(0) && told.out.contains(part), "{words}: {} {}", told.out, told.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn for_people_it_prints_lines_and_no_json() {
    let place = Place::new("ada");
    let ada = place.up().await;
    ada.api.found("workshop").await;
    for (words, part) in [
        ("status", ada.peer_id.as_str()),
        ("workspace list", "workshop"),
        ("invite", "muster join TICKET"),
        ("member list", "owner"),
        ("config show", "network.queue_depth"),
    ] {
        let told = place.run_for_people(words.split_whitespace()).await;
        assert_eq!(told.code, Some(0), "{words}: {}", told.err);
        assert!(told.out.contains(part), "{words}: {}", told.out);
        assert!(serde_json::from_str::<Value>(&told.out).is_err(), "{words} prints JSON");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_say_what_kind_of_failure_it_was() {
    let place = Place::new("ada");
    // 3: nobody answers; and the command that mends it is named.
    let away = muster(&place, "status").await.error(3);
    assert_eq!(away["code"], "node_not_running");
    assert!(text(&away["suggested_command"]).starts_with("muster up"));
    // 2: the command line is wrong.
    for words in ["dance", "send", "invite --uses 0", "invite --expires soon", "up --nonsense"] {
        muster(&place, words).await.error(2);
    }
    // 1: the node says no.
    let ada = place.up().await;
    assert_eq!(muster(&place, "session list").await.error(1)["code"], "workspace_unclear");
    assert_eq!(muster(&place, "join nonsense").await.error(1)["code"], "not_a_ticket");
    ada.api.found("workshop").await;
    assert_eq!(muster(&place, "session start nobody builders").await.error(1)["code"], "unknown_agent");
    assert_eq!(muster(&place, "session stop sess-0").await.error(1)["code"], "unknown_session");
    assert_eq!(muster(&place, "member remove 12D3KooW").await.error(1)["code"], "unknown_member");
    assert_eq!(muster(&place, "member list -w elsewhere").await.error(1)["code"], "workspace_unclear");
    // A node that was killed leaves its address behind; nobody is shown the token there.
    ada.kill().await;
    muster(&place, "status").await.error(3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_no_node_runs_without_one() {
    let place = Place::new("ada");
    for door in ["node", "network"] {
        let document = muster(&place, &format!("openapi {door}")).await.json();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{door}");
        assert!(!document["paths"].as_object().unwrap().is_empty(), "{door}");
        let yaml = muster(&place, &format!("openapi {door} --yaml")).await;
        assert!(yaml.code == Some(0) && yaml.out.starts_with("openapi:"), "{}", yaml.out);
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = muster(&place, &format!("completions {shell}")).await;
        assert!(script.code == Some(0) && script.out.contains("muster"), "{shell}");
    }
    let help = muster(&place, "--help").await;
    assert!(help.code == Some(0) && help.out.contains("workspace"), "{}", help.out);
    let version = muster(&place, "--version").await;
    assert!(version.out.starts_with("muster "), "{}", version.out);
    assert!(!place.folder().exists(), "nothing of this makes a data folder");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_is_taken_from_flag_environment_file_and_default_in_this_order() {
    let place = Place::new("ada");
    let file = place.beside("settings.toml");
    std::fs::write(&file, "[network]\nqueue_depth = 7\n[node]\nname = \"file\"\n").unwrap();
    let mut command = place.command(["--config", file.to_str().unwrap(), "config", "show", "--name", "flag"]);
    command.env("MUSTER_NETWORK_MAX_REPLAY_AGE_SECONDS", "60");
    let output = within("a command", command.output()).await.unwrap();
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    let row = |key: &str| rows.as_array().unwrap().iter().find(|row| row["key"] == key).unwrap().clone();
    let shown = |key: &str| (row(key)["value"].clone(), text(&row(key)["origin"]));
    assert_eq!(shown("node.name"), ("flag".into(), "flag".to_owned()));
    assert_eq!(shown("network.max_replay_age_seconds"), (60.into(), "env".to_owned()));
    assert_eq!(shown("network.queue_depth"), (7.into(), "file".to_owned()));
    assert_eq!(shown("network.enabled"), (true.into(), "default".to_owned()));

    std::fs::write(&file, "[network]\nqueue_dept = 7\n").unwrap();
    let told = place.run(["--config", file.to_str().unwrap(), "config", "show"]).await;
    assert!(text(&told.error(1)["error"]).contains("queue_dept"), "{}", told.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_does_not_open_itself_to_other_machines_unasked() {
    let place = Place::new("ada");
    let told = place.run(["up", "--no-mdns", "--http", "0.0.0.0:0", "--listen", support::QUIC]).await;
    let error = text(&told.error(1)["error"]);
    assert!(error.contains("0.0.0.0:0") && error.contains("insecure_expose"), "{error}");
}
