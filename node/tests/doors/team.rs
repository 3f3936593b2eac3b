//! People, bots, keys and streams for tests of the Workspace door.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Answer, Node, answer};

/// Every scope that a key may have.
pub const SCOPES: [&str; 12] = [
    "streams:read",
    "messages:search",
    "messages:read",
    "messages:write",
    "memos:read",
    "attachments:read",
    "attachments:write",
    "users:read",
    "bot-runtime:read",
    "bot-runtime:write",
    "bot-invocations:read",
    "bot-invocations:write",
];

/// Somebody with a key.
#[derive(Clone, Debug)]
pub struct Keyed {
    /// `usr_…` or `bot_…`.
    pub id: String,
    pub key: String,
    pub key_id: String,
}

/// A workspace and ways to fill it.
pub struct Team {
    pub workspace: String,
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("no `{name}` in {value}")).to_owned()
}

impl Team {
    pub async fn new(node: &Node, name: &str) -> Self {
        Self { workspace: node.workspace(name, &[]).await }
    }

    /// A path of the Node door.
    pub fn node_path(&self, rest: &str) -> String {
        format!("/node/v1/workspaces/{}/{rest}", self.workspace)
    }

    /// A path of the Workspace door.
    pub fn at(&self, rest: &str) -> String {
        format!("/api/v1/workspaces/{}/{rest}", self.workspace)
    }

    /// A person with a key that may do everything.
    pub async fn person(&self, node: &Node, name: &str) -> Keyed {
        let body = json!({ "name": name, "email": format!("{}@example.org", name.to_lowercase()) });
        let id = text(&node.post(&self.node_path("users"), &body).await.with(201), "id");
        self.key(node, &id, &SCOPES).await
    }

    /// A shared bot, or a personal one of `owner`, with a key that may do everything.
    pub async fn bot(&self, node: &Node, name: &str, owner: Option<&str>) -> Keyed {
        let body = json!({ "name": name, "owner_user_id": owner, "traits": ["mentionable"] });
        let id = text(&node.post(&self.node_path("bots"), &body).await.with(201), "id");
        self.key(node, &id, &SCOPES).await
    }

    /// Another key for somebody.
    pub async fn key(&self, node: &Node, id: &str, scopes: &[&str]) -> Keyed {
        let whom = if id.starts_with("usr_") { "user_id" } else { "bot_id" };
        let made = node.post(&self.node_path("keys"), &json!({ whom: id, "scopes": scopes })).await.with(201);
        Keyed { id: id.to_owned(), key: text(&made, "key"), key_id: text(&made, "key_id") }
    }

    /// A public channel in which these take part; its stream id.
    pub async fn channel(&self, node: &Node, slug: &str, members: &[&Keyed]) -> String {
        let members: Vec<_> = members.iter().map(|member| member.id.clone()).collect();
        self.stream(node, json!({ "type": "channel", "slug": slug, "member_ids": members })).await
    }

    /// A stream; its id.
    pub async fn stream(&self, node: &Node, body: Value) -> String {
        text(&node.post(&self.node_path("streams"), &body).await.with(201), "id")
    }

    /// The thread below a message; its stream id.
    pub async fn thread(&self, node: &Node, message: &str) -> String {
        self.stream(node, json!({ "type": "thread", "parent_message_id": message })).await
    }

    pub async fn get(&self, node: &Node, who: &Keyed, rest: &str) -> Answer {
        self.ask(node, who, Method::GET, rest, None).await
    }

    pub async fn post(&self, node: &Node, who: &Keyed, rest: &str, body: &Value) -> Answer {
        self.ask(node, who, Method::POST, rest, Some(body)).await
    }

    pub async fn ask(
        &self,
        node: &Node,
        who: &Keyed,
        method: Method,
        rest: &str,
        body: Option<&Value>,
    ) -> Answer {
        let path = self.at(rest);
        let request = node.bare(method, &path).bearer_auth(&who.key);
        answer(
            &path,
            match body {
                Some(body) => request.json(body),
                None => request,
            },
        )
        .await
    }

    /// Sends a message; what was stored.
    pub async fn say(&self, node: &Node, who: &Keyed, stream: &str, content: &str) -> Value {
        let body = json!({ "content": content });
        self.post(node, who, &format!("streams/{stream}/messages"), &body).await.with(201)["data"].take()
    }

    /// The texts of a stream's newest messages.
    pub async fn texts(&self, node: &Node, who: &Keyed, stream: &str) -> Vec<String> {
        let window = self.get(node, who, &format!("streams/{stream}/messages")).await.with(200);
        super::ids(&window["data"], "content")
    }
}
