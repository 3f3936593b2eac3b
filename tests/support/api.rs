//! The HTTP doors of a node, as a program uses them that knows the operator token.

use reqwest::{Client, Method};
use serde_json::{Value, json};

use super::{PATIENCE, until_true};

/// What a node answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Answer {
    /// The body of an answer with this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }
}

/// An agent at work in a channel.
#[derive(Debug, Clone)]
pub struct Session {
    pub id: String,
    pub peer: String,
    pub channel: String,
}

/// Something to say in a thread.
#[derive(Debug, Clone, Default)]
pub struct Say<'a> {
    pub thread: &'a str,
    pub text: &'a str,
    pub id: Option<&'a str>,
    pub to: Option<&'a str>,
}

/// A node's doors.
#[derive(Debug, Clone)]
pub struct Api {
    client: Client,
    pub base: String,
    pub token: String,
}

/// The ids of messages, in their order.
pub fn ids(messages: &[Value]) -> Vec<String> {
    messages.iter().map(|message| message["message_id"].as_str().unwrap().to_owned()).collect()
}

impl Api {
    pub fn new(base: &str, token: &str) -> Self {
        let client = Client::builder().no_proxy().tls_certs_only([]).timeout(PATIENCE).build().unwrap();
        Self { client, base: base.to_owned(), token: token.to_owned() }
    }

    /// Asks; an error when nobody answers, as of a node that was killed meanwhile.
    pub async fn try_ask(&self, method: Method, path: &str, body: Option<&Value>) -> reqwest::Result<Answer> {
        let mut request =
            self.client.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        let text = answer.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer { status, body })
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.try_ask(Method::GET, path, None).await.unwrap()
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.try_ask(Method::POST, path, Some(&body)).await.unwrap()
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.try_ask(Method::DELETE, path, None).await.unwrap()
    }

    // ---- workspaces and members --------------------------------------------------------------------

    pub async fn found(&self, name: &str) -> String {
        let made = self.post("/node/v1/workspaces", json!({ "name": name })).await.expect(201);
        made["id"].as_str().unwrap().to_owned()
    }

    pub async fn invite(&self, workspace: &str, wish: Value) -> Value {
        self.post(&format!("/node/v1/workspaces/{workspace}/invites"), wish).await.expect(201)
    }

    /// The text of a ticket that lets one node in.
    pub async fn ticket(&self, workspace: &str) -> String {
        self.invite(workspace, json!({})).await["ticket"].as_str().unwrap().to_owned()
    }

    pub async fn join(&self, ticket: &str) -> Answer {
        self.post("/node/v1/join", json!({ "ticket": ticket })).await
    }

    pub async fn members(&self, workspace: &str) -> Vec<Value> {
        let answer = self.get(&format!("/node/v1/workspaces/{workspace}/members")).await.expect(200);
        answer["members"].as_array().unwrap().clone()
    }

    pub async fn is_member(&self, workspace: &str, peer_id: &str) -> bool {
        self.members(workspace).await.iter().any(|member| member["peer_id"] == peer_id)
    }

    pub async fn is_online(&self, workspace: &str, peer_id: &str) -> bool {
        let members = self.members(workspace).await;
        members.iter().any(|member| member["peer_id"] == peer_id && member["online"] == true)
    }

    pub async fn remove(&self, workspace: &str, peer_id: &str) -> Answer {
        self.delete(&format!("/node/v1/workspaces/{workspace}/members/{peer_id}")).await
    }

    /// Peer ids of the nodes connected now that share a workspace with this one. A stranger may be connected
    /// for a while, too: it might have a ticket.
    pub async fn companions(&self) -> Vec<String> {
        let answer = self.get("/node/v1/peers").await.expect(200);
        let peers = answer["peers"].as_array().unwrap().iter();
        let peers = peers.filter(|peer| peer["workspaces"] != Value::Array(Vec::new()));
        peers.map(|peer| peer["peer_id"].as_str().unwrap().to_owned()).collect()
    }

    // ---- sessions and messages ---------------------------------------------------------------------

    /// Registers an agent and starts a session of it.
    pub async fn session(&self, workspace: &str, agent: &str, channel: &str) -> Session {
        let agents = format!("/node/v1/workspaces/{workspace}/agents");
        let registered = self.post(&agents, json!({ "name": agent })).await;
        assert!(matches!(registered.status, 201 | 409), "{}", registered.body);
        let sessions = format!("/node/v1/workspaces/{workspace}/sessions");
        let wish = json!({ "agent_name": agent, "channel": channel });
        let started = self.post(&sessions, wish).await.expect(201);
        let text = |name: &str| started[name].as_str().unwrap().to_owned();
        Session { id: text("id"), peer: text("peer_id"), channel: text("channel") }
    }

    /// The body with which a session says something.
    pub fn said(session: &Session, say: &Say<'_>) -> Value {
        let mut wish = json!({
            "session_id": session.id, "channel": session.channel, "kind": "say",
            "surface": "thread", "thread_id": say.thread, "body": { "text": say.text },
        });
        if let Some(id) = say.id {
            wish["id"] = id.into();
        }
        if let Some(to) = say.to {
            wish["to"] = to.into();
        }
        wish
    }

    pub async fn send(&self, workspace: &str, session: &Session, say: &Say<'_>) -> Answer {
        let path = format!("/api/workspaces/{workspace}/network/send");
        self.post(&path, Self::said(session, say)).await
    }

    /// Says something to everybody; the message's id.
    pub async fn say(&self, workspace: &str, session: &Session, thread: &str, text: &str) -> String {
        let say = Say { thread, text, ..Say::default() };
        let sent = self.send(workspace, session, &say).await.expect(200);
        sent["message"]["id"].as_str().unwrap().to_owned()
    }

    /// All messages of a thread, page after page; none when there is no such thread yet.
    pub async fn thread(&self, workspace: &str, channel: &str, thread: &str) -> Vec<Value> {
        self.messages(workspace, channel, &format!("threads/{thread}")).await
    }

    /// All messages of a `threads/…` or `directs/…`, page after page; none when there is no such thing yet.
    pub async fn messages(&self, workspace: &str, channel: &str, container: &str) -> Vec<Value> {
        let path = format!("/api/workspaces/{workspace}/network/channels/{channel}/{container}/messages");
        let mut messages: Vec<Value> = Vec::new();
        loop {
            let after =
                messages.last().map(|last| format!("&after={}", last["message_id"].as_str().unwrap()));
            let page = self.get(&format!("{path}?limit=500{}", after.unwrap_or_default())).await;
            if page.status == 404 {
                return messages;
            }
            let page = page.expect(200);
            let page = page["messages"].as_array().unwrap();
            messages.extend(page.iter().cloned());
            if page.len() < 500 {
                return messages;
            }
        }
    }

    /// Waits until a thread holds exactly these messages, in whatever order.
    pub async fn until_thread_holds(&self, workspace: &str, channel: &str, thread: &str, wanted: &[String]) {
        let mut wanted = wanted.to_vec();
        wanted.sort();
        until_true("a thread holds what was said", || async {
            let mut found = ids(&self.thread(workspace, channel, thread).await);
            found.sort();
            found == wanted
        })
        .await;
    }

    pub async fn threads(&self, workspace: &str, channel: &str) -> Value {
        let path = format!("/api/workspaces/{workspace}/network/channels/{channel}/threads");
        self.get(&path).await.expect(200)["threads"].clone()
    }

    /// What the Network door shows of a workspace under a path.
    pub async fn network(&self, workspace: &str, rest: &str) -> Answer {
        self.get(&format!("/api/workspaces/{workspace}/network/{rest}")).await
    }

    pub async fn rooms(&self, workspace: &str, channel: &str) -> Value {
        let rooms = self.network(workspace, &format!("channels/{channel}/directs")).await;
        rooms.expect(200)["directs"].take()
    }

    /// A piece of work; null when there is none.
    pub async fn work(&self, workspace: &str, id: &str) -> Value {
        self.network(workspace, &format!("work/{id}")).await.body["work"].take()
    }

    pub async fn inbox(&self, workspace: &str, session: &str) -> Vec<Value> {
        let path = format!("/api/workspaces/{workspace}/network/inbox?session_id={session}");
        let answer = self.get(&path).await.expect(200);
        answer["messages"].as_array().unwrap().clone()
    }

    /// Waits until a peer can be addressed in a channel.
    pub async fn until_visible(&self, workspace: &str, channel: &str, peer: &str) {
        let path = format!("/api/workspaces/{workspace}/network/peers?channel={channel}");
        until_true("a peer is visible", || async {
            let answer = self.get(&path).await.expect(200);
            answer["peers"].as_array().unwrap().iter().any(|known| known["peer_id"] == peer)
        })
        .await;
    }
}
