//! The nodes of the demonstration, and what they do.

use std::path::Path;

use anyhow::{Context as _, bail};
use muster_actors::SendRequest;
use muster_protocol::{
    ids::{StreamId, WorkspaceId},
    network::{ChannelName, ThreadId},
};
use muster_storage::MessagePage;
use serde_json::json;

use crate::{
    config::{Settings, Sources},
    data_folder::DataFolder,
    running::Running,
};

/// How long anything in the story may take before the demonstration gives up.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// The channel of the story.
pub(super) const CHANNEL: &str = "builders";

/// One node and the agent that speaks there.
pub(super) struct Player {
    pub(super) name: &'static str,
    pub(super) agent: &'static str,
    pub(super) session: String,
    running: Option<Running>,
}

fn settings(name: &str) -> anyhow::Result<Settings> {
    let flags = [
        ("node.name", name),
        ("http.listen", "127.0.0.1:0"),
        ("mesh.listen", "/ip4/127.0.0.1/udp/0/quic-v1"),
        ("mesh.listen", "/ip4/127.0.0.1/tcp/0"),
        ("mesh.mdns", "false"),
    ];
    let flags = flags.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    Ok(crate::config::load(&Sources { file: None, environment: Vec::new(), flags })?.settings)
}

impl Player {
    /// A node in its own folder below `folder`.
    pub(super) async fn enter(
        folder: &Path,
        name: &'static str,
        agent: &'static str,
    ) -> anyhow::Result<Self> {
        let mut player = Self { name, agent, session: String::new(), running: None };
        player.start(folder).await?;
        Ok(player)
    }

    /// Starts the node of its folder, for the first time or again.
    pub(super) async fn start(&mut self, folder: &Path) -> anyhow::Result<()> {
        let data = DataFolder::open(folder.join(self.name))?;
        let running = Running::start(&settings(self.name)?, data).await;
        self.running = Some(running.with_context(|| format!("the node of {} does not start", self.name))?);
        Ok(())
    }

    /// Stops the node; its folder stays.
    pub(super) async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }

    pub(super) fn running(&self) -> anyhow::Result<&Running> {
        self.running.as_ref().with_context(|| format!("the node of {} is away", self.name))
    }

    /// Registers the agent and brings it into the channel.
    pub(super) async fn bring_agent(&mut self, workspace: WorkspaceId) -> anyhow::Result<()> {
        let node = self.running()?.node.clone();
        node.register_agent(workspace, self.agent.to_owned(), "none".to_owned(), Vec::new()).await?;
        let channel = ChannelName::parse(CHANNEL)?;
        self.session = node.start_session(workspace, self.agent, channel).await?.id;
        Ok(())
    }

    /// Says something in a thread. Returns when it is durable on the speaker's node.
    pub(super) async fn say(
        &self,
        workspace: WorkspaceId,
        thread: &str,
        text: &str,
    ) -> anyhow::Result<String> {
        let request = SendRequest {
            session_id: self.session.clone(),
            channel: CHANNEL.to_owned(),
            kind: "say".to_owned(),
            surface: Some("thread".to_owned()),
            thread_id: Some(thread.to_owned()),
            body: json!({ "text": text }),
            ..SendRequest::default()
        };
        let sent = self.running()?.node.send(workspace, request).await?;
        Ok(sent.envelope.id.to_string())
    }

    /// Waits until this node holds so many messages of a thread.
    pub(super) async fn hears(
        &self,
        workspace: WorkspaceId,
        thread: &str,
        messages: usize,
    ) -> anyhow::Result<()> {
        let node = &self.running()?.node;
        let mut events = node.subscribe();
        let wait = async {
            while self.thread(workspace, thread)?.len() < messages {
                events.changed().await?;
            }
            anyhow::Ok(())
        };
        match futures::future::select(std::pin::pin!(wait), node.sleep(PATIENCE)).await {
            futures::future::Either::Left((heard, _)) => heard,
            futures::future::Either::Right(_) => {
                bail!("{} did not hear of {messages} messages in {thread} within {PATIENCE:?}", self.name)
            }
        }
    }

    /// Waits until this node sees so many peers in the channel.
    pub(super) async fn sees(&self, workspace: WorkspaceId, peers: usize) -> anyhow::Result<()> {
        let node = &self.running()?.node;
        let channel = ChannelName::parse(CHANNEL)?;
        let pause = std::time::Duration::from_millis(20);
        for _ in 0..PATIENCE.as_millis() / pause.as_millis() {
            if node.peers(workspace, Some(&channel))?.len() >= peers {
                return Ok(());
            }
            node.sleep(pause).await; // presence is no stored event that could be waited for
        }
        bail!("{} did not see {peers} peers within {PATIENCE:?}", self.name)
    }

    /// The messages of a thread on this node, in people's order: id and text.
    pub(super) fn thread(
        &self,
        workspace: WorkspaceId,
        thread: &str,
    ) -> anyhow::Result<Vec<(String, String)>> {
        let view = self.running()?.node.store().view()?;
        let row = view.workspace(&workspace.to_string())?.context("the workspace is not on this node")?;
        let (channel, thread) = (ChannelName::parse(CHANNEL)?, ThreadId::parse(thread)?);
        let page = MessagePage { limit: usize::MAX, ..MessagePage::default() };
        let messages = view.thread_messages(&row, &channel, &thread, &page)??;
        Ok(messages.into_iter().map(|row| (row.envelope.id.to_string(), row.envelope.preview())).collect())
    }

    /// How many messages of the channel stand on this node signed by their author, as stored bytes say.
    pub(super) fn verified(&self, workspace: WorkspaceId) -> anyhow::Result<usize> {
        let view = self.running()?.node.store().view()?;
        let space = view.space_of(workspace).context("the workspace is not on this node")?;
        let stream = StreamId::channel(space, CHANNEL);
        let mut verified = 0;
        for (log, _) in view.log_heights(space)? {
            for op in view.log_operations(&log)? {
                let message = op.header().kind == muster_protocol::operation::Kind::ENVELOPE;
                if message && op.header().stream == stream && op.verify().is_ok() {
                    verified += 1;
                }
            }
        }
        Ok(verified)
    }
}
