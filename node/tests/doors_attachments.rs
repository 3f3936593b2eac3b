//! Files through the real door of real nodes: uploaded, linked to, read, found, downloaded, and fetched from another.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test: real nodes need real time")]

use std::{future::Future, time::Duration};

use doors::{
    Answer, Node, PATIENCE, answer,
    team::{Keyed, Team},
};
use reqwest::Method;
use serde_json::{Value, json};

mod doors;

/// One part of a form.
fn part(name: &str, filename: Option<&str>, mime: &str, bytes: &[u8]) -> Vec<u8> {
    let filename = filename.map(|name| format!("; filename=\"{name}\"")).unwrap_or_default();
    let head = format!(
        "--EDGE\r\nContent-Disposition: form-data; name=\"{name}\"{filename}\r\nContent-Type: {mime}\r\n\r\n"
    );
    [head.as_bytes(), bytes, b"\r\n"].concat()
}

fn form(parts: &[Vec<u8>]) -> Vec<u8> {
    [parts.concat(), b"--EDGE--\r\n".to_vec()].concat()
}

struct Place<'a> {
    node: &'a Node,
    team: Team,
    channel: String,
    person: Keyed,
}

impl Place<'_> {
    async fn get(&self, rest: &str) -> Answer {
        self.team.get(self.node, &self.person, rest).await
    }

    async fn post(&self, rest: &str, body: &Value) -> Answer {
        self.team.post(self.node, &self.person, rest, body).await
    }

    async fn send_form(&self, body: Vec<u8>) -> Answer {
        self.send_form_as(&self.person.key, body).await
    }

    async fn send_form_as(&self, key: &str, body: Vec<u8>) -> Answer {
        let path = self.team.at("attachments");
        let request = self.node.bare(Method::POST, &path).bearer_auth(key);
        answer(&path, request.header("content-type", "multipart/form-data; boundary=EDGE").body(body)).await
    }

    async fn upload(&self, name: &str, mime: &str, bytes: &[u8]) -> String {
        let answer = self.send_form(form(&[part("file", Some(name), mime, bytes)])).await.with(201);
        answer["data"]["id"].as_str().unwrap().to_owned()
    }

    async fn say(&self, text: &str) -> Answer {
        self.post(&format!("streams/{}/messages", self.channel), &json!({ "content": text })).await
    }

    async fn link(&self, id: &str) -> Value {
        self.say(&format!("Look: [it](attachment:{id})")).await.with(201)
    }

    /// Where a file can be downloaded now.
    async fn url(&self, id: &str) -> String {
        let data = self.get(&format!("attachments/{id}/url")).await.with(200);
        assert_eq!(data["data"]["expiresIn"], 900);
        data["data"]["url"].as_str().unwrap().to_owned()
    }

    async fn found(&self, body: &Value) -> Vec<String> {
        let found = self.post("attachments/search", body).await.with(200);
        found["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    }

    /// A file once it was read to its end.
    async fn processed(&self, id: &str) -> Value {
        eventually("the file to be read", async || {
            let answer = self.get(&format!("attachments/{id}")).await;
            let status = answer.json["data"]["processingStatus"].as_str().unwrap_or("pending").to_owned();
            (answer.status == 200 && !["pending", "processing"].contains(&status.as_str()))
                .then(|| answer.json["data"].clone())
        })
        .await
    }
}

async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let found = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

async fn place(node: &Node) -> Place<'_> {
    let team = Team::new(node, "Files").await;
    let person = team.person(node, "Ada").await;
    let channel = team.channel(node, "builders", &[&person]).await;
    Place { node, team, channel, person }
}

#[tokio::test]
async fn a_file_is_seen_through_the_message_that_links_to_it_w68_w102_w103_w104_w105_w107() {
    let node = Node::start_with(&["workspace.rate_limits=off"]).await;
    let place = place(&node).await;
    let answer = place
        .send_form(form(&[part("file", Some("../notes.md"), "text/markdown", b"# Plan\n\nShip it.")]))
        .await;
    let file = answer.with(201)["data"].take();
    assert_eq!((&file["filename"], &file["mimeType"]), (&json!("notes.md"), &json!("text/markdown")));
    assert_eq!(file["sizeBytes"], 16);
    assert!(["pending", "processing", "completed"].contains(&file["processingStatus"].as_str().unwrap()));
    let id = file["id"].as_str().unwrap();
    place.get(&format!("attachments/{id}")).await.refuses(404, "NOT_FOUND");
    place.get(&format!("attachments/{id}/url")).await.refuses(404, "NOT_FOUND");
    assert!(place.found(&json!({ "query": "notes" })).await.is_empty());

    let message = place.link(id).await["data"].take();
    assert_eq!(message["attachments"][0]["id"], id);
    let read = place.processed(id).await;
    let listed = place.get(&format!("streams/{}/messages", place.channel)).await.with(200);
    assert_eq!(listed["data"][0]["attachments"][0]["processingStatus"], "completed");
    assert_eq!(
        (&read["processingStatus"], &read["extraction"]["contentType"]),
        (&json!("completed"), &json!("document"))
    );
    assert_eq!(read["extraction"]["fullText"], "# Plan\n\nShip it.");
    assert_eq!(read["extraction"]["textMetadata"]["format"], "markdown");
    assert_eq!(read["createdAt"], file["createdAt"]);
    for query in ["NOTES", "ship IT", "plan"] {
        assert_eq!(place.found(&json!({ "query": query })).await, [id], "{query}");
    }
    assert!(place.found(&json!({ "query": "other" })).await.is_empty());
    assert!(place.found(&json!({ "query": "plan", "contentTypes": ["table"] })).await.is_empty());
    assert_eq!(place.found(&json!({ "query": "plan", "streams": [place.channel] })).await, [id]);
    let elsewhere = "stream_01J9ZK3V5T8Q2M4N6P7R8S9TAB";
    assert!(place.found(&json!({ "query": "plan", "streams": [elsewhere] })).await.is_empty());
    place.post("attachments/search", &json!({ "limit": 51 })).await.refuses(400, "VALIDATION_ERROR");

    // What cannot be bound refuses the message, and nothing is stored.
    let many: String = (0..51).map(|at| format!("[x](attachment:a{at})")).collect();
    place.say(&many).await.refuses(400, "VALIDATION_ERROR");
    for wrong in ["attach_01J9ZK3V5T8Q2M4N6P7R8S9TAB", "nonsense"] {
        let refused = place.say(&format!("[x](attachment:{wrong})")).await;
        refused.refuses(400, "VALIDATION_ERROR");
        assert!(refused.json["details"]["content"].is_array(), "{}", refused.text);
    }
    let listed = place.get(&format!("streams/{}/messages", place.channel)).await.with(200);
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_office_file_is_read_by_the_program_itself_and_a_broken_one_only_fails_w103_w105() {
    let node = Node::start_with(&["workspace.rate_limits=off"]).await;
    let place = place(&node).await;
    let broken = place.upload("broken.pdf", "application/pdf", b"%PDF-1.7\nnothing").await;
    let picture = place
        .upload("dot.png", "image/png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x07\0\0\0\x05\x08\0")
        .await;
    for (id, status) in [(&broken, "failed"), (&picture, "skipped")] {
        place.link(id).await;
        let read = place.processed(id).await;
        assert_eq!((&read["processingStatus"], &read["extraction"]), (&json!(status), &Value::Null));
    }
    let listed = place.get(&format!("streams/{}/messages", place.channel)).await.with(200);
    let shown = &listed["data"][1]["attachments"][0];
    assert_eq!((&shown["width"], &shown["height"]), (&json!(7), &json!(5)));
}

#[tokio::test]
async fn what_is_not_one_file_is_refused_by_its_own_name_w99_w100() {
    let node = Node::start_with(&["workspace.rate_limits=off"]).await;
    let place = place(&node).await;
    let file = || part("file", Some("a.txt"), "text/plain", b"a");
    place.send_form(form(&[])).await.refuses(400, "VALIDATION_ERROR");
    let none = place.send_form(form(&[part("file", None, "text/plain", b"a")])).await;
    assert_eq!((none.status, &none.json["error"]), (400, &json!("No file provided")));
    let json = place.post("attachments", &json!({})).await;
    assert_eq!((json.status, &json.json["error"]), (400, &json!("No file provided")));
    place.send_form(form(&[file(), file()])).await.refuses(400, "LIMIT_UNEXPECTED_FILE");
    let other = part("picture", Some("a.txt"), "text/plain", b"a");
    place.send_form(form(&[other])).await.refuses(400, "LIMIT_UNEXPECTED_FILE");
    place.send_form(file()).await.refuses(400, "VALIDATION_ERROR"); // it breaks off
    let empty = place.upload("empty.bin", "application/octet-stream", b"").await;
    place.link(&empty).await;
    assert_eq!(
        doors::plain().get(place.url(&empty).await).send().await.unwrap().bytes().await.unwrap().len(),
        0
    );
    // None of these left half a file behind.
    let half = std::fs::read_dir(node.home.path().join("node/blobs/new")).unwrap();
    assert_eq!(half.count(), 0);
    place.send_form_as("threa_uk_nothing", form(&[file()])).await.refuses(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn a_download_needs_its_link_and_is_never_run_w108() {
    let node = Node::start_with(&["workspace.rate_limits=off"]).await;
    let place = place(&node).await;
    let page = b"<script>alert(1)</script>";
    let id = place.upload("evil \"x\".html", "text/html", page).await;
    place.link(&id).await;
    let url = place.url(&id).await;
    assert!(!url.contains(&place.person.key) && !url.contains(&id));
    let got = doors::plain().get(&url).send().await.unwrap();
    let header = |name: &str| got.headers()[name].to_str().unwrap().to_owned();
    assert_eq!((got.status().as_u16(), header("content-type").as_str()), (200, "text/html"));
    assert!(header("content-disposition").starts_with("attachment;"), "{}", header("content-disposition"));
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert!(header("content-security-policy").starts_with("sandbox;"));
    assert_eq!(got.bytes().await.unwrap(), page.as_slice());

    let client = doors::plain();
    let range = |range: &str| client.get(&url).header("range", range).send();
    let part = range("bytes=1-6").await.unwrap();
    assert_eq!(
        (part.status().as_u16(), &part.headers()["content-range"]),
        (206, &"bytes 1-6/25".parse().unwrap())
    );
    assert_eq!(part.bytes().await.unwrap(), "script");
    assert_eq!(range("bytes=25-").await.unwrap().status(), 416);

    for forged in
        [url.replace("/attachments/", "/attachments/A"), format!("{url}A"), url[..url.len() - 2].to_owned()]
    {
        assert_eq!(doors::plain().get(&forged).send().await.unwrap().status(), 404);
    }
    assert_ne!(place.url(&id).await, url, "asking again gives a fresh link");
    // When the message is gone, so is the file, whoever has a link.
    let listed = place.get(&format!("streams/{}/messages", place.channel)).await.with(200);
    let message = listed["data"][0]["id"].as_str().unwrap();
    let gone = format!("messages/{message}");
    let deleted = place.team.ask(&node, &place.person, Method::DELETE, &gone, None).await;
    assert_eq!(deleted.status, 204);
    assert_eq!(doors::plain().get(&url).send().await.unwrap().status(), 404);
}

/// The same workspace and channel at another node, with a person of its own.
async fn joined<'a>(place: &Place<'_>, other: &'a Node) -> Place<'a> {
    let invite =
        place.node.post(&place.team.node_path("invites"), &json!({ "role": "member" })).await.with(201);
    other.post("/node/v1/join", &json!({ "ticket": invite["ticket"] })).await.with(200);
    let team = Team { workspace: place.team.workspace.clone() };
    let person = team.person(other, "Bob").await;
    Place { node: other, team, channel: place.channel.clone(), person }
}

#[tokio::test]
async fn another_member_finds_the_file_and_fetches_its_bytes_when_they_are_wanted_w106() {
    let node = Node::start_with(&["workspace.rate_limits=off"]).await;
    let other = Node::start_with(&["workspace.rate_limits=off"]).await;
    let place = place(&node).await;
    let there = joined(&place, &other).await;
    let lines: String = (0..200_000).map(|line| format!("line {line}\n")).collect();
    let id = place.upload("long.txt", "text/plain", lines.as_bytes()).await;
    there.get(&format!("attachments/{id}")).await.refuses(404, "NOT_FOUND");
    place.link(&id).await;
    let read = there.processed(&id).await;
    assert_eq!(read["sizeBytes"], lines.len());
    assert!(read["extraction"]["summary"].as_str().unwrap().starts_with("line 0 line 1"));
    assert_eq!(there.found(&json!({ "query": "line 99" })).await, [id.as_str()]);
    let url = there.url(&id).await;
    assert!(url.starts_with(&other.base), "{url}");
    let bytes = doors::plain().get(&url).send().await.unwrap().bytes().await.unwrap();
    assert!(bytes == lines.as_bytes());
    // It has them now, also when the node it had them from is gone.
    drop(node.kill().await);
    assert_eq!(
        doors::plain().get(&there.url(&id).await).send().await.unwrap().bytes().await.unwrap().len(),
        lines.len()
    );
}

const MIB: usize = 1024 * 1024;

/// KiB of memory of a node: now, or at most since [`forget_peak`].
fn memory(node: &Node, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn forget_peak(node: &Node) -> u64 {
    std::fs::write(format!("/proc/{}/clear_refs", node.pid()), "5").unwrap();
    memory(node, "VmRSS")
}

#[tokio::test]
async fn a_file_of_100_mib_passes_two_nodes_in_less_than_32_mib_and_one_more_byte_does_not_w100() {
    let node = Node::start_with(&["workspace.rate_limits=off"]).await;
    let other = Node::start_with(&["workspace.rate_limits=off"]).await;
    let place = place(&node).await;
    let there = joined(&place, &other).await;
    // Both have answered something, and have what answering takes.
    let small = place.upload("small.bin", "application/octet-stream", b"small").await;
    place.link(&small).await;
    there.processed(&small).await;
    let before = [forget_peak(&node), forget_peak(&other)];

    let whole: Vec<u8> = (0..100 * MIB).map(|at| (at / 4096) as u8).collect();
    let id = place.upload("whole.bin", "application/octet-stream", &whole).await;
    place.link(&id).await;
    there.processed(&id).await;
    let mut got = doors::plain().get(there.url(&id).await).send().await.unwrap();
    let mut at = 0;
    while let Some(chunk) = got.chunk().await.unwrap() {
        assert!(chunk == whole[at..at + chunk.len()], "byte {at} or one behind it");
        at += chunk.len();
    }
    assert_eq!(at, whole.len());
    for (node, before) in [(&node, before[0]), (&other, before[1])] {
        let more = memory(node, "VmHWM").saturating_sub(before);
        println!("{more} KiB more");
        assert!(more < 32 * 1024, "{more} KiB more");
    }

    let mut parts = part("file", Some("more.bin"), "application/octet-stream", &whole);
    parts.splice(parts.len() - 2.., *b"x\r\n");
    place.send_form(form(&[parts])).await.refuses(400, "LIMIT_FILE_SIZE");
    assert_eq!(std::fs::read_dir(node.home.path().join("node/blobs/new")).unwrap().count(), 0);
}
