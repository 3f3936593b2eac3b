//! Agents, channels, sessions, and what sessions say.

use muster_protocol::{
    content::PURPOSE_BYTES_MAX,
    ids::WorkspaceId,
    limits,
    network::{Capability, ChannelName, Pair, PeerName},
};
use muster_storage::{AgentRow, RoomRow, SessionRow, SessionState};

use super::Node;
use crate::{
    channel::ChannelMessage,
    compose::{SendRequest, Sent},
    context::{NO_PROVIDER, lock},
    direct_room::{DirectRoomMessage, read_room},
    error::{
        CreateChannelError, RegisterAgentError, ResolveRoomError, SendError, StartSessionError,
        StopSessionError, Unavailable,
    },
};

impl Node {
    /// Makes an agent known to a workspace on this node.
    pub async fn register_agent(
        &self,
        workspace: WorkspaceId,
        name: String,
        provider: String,
        capabilities: Vec<Capability>,
    ) -> Result<AgentRow, RegisterAgentError> {
        let space = self.context.space(workspace).ok_or(RegisterAgentError::UnknownWorkspace)?;
        if !is_agent_name(&name) {
            return Err(RegisterAgentError::Name);
        }
        if provider != NO_PROVIDER && !self.context.ports.programs.knows(&provider) {
            return Err(RegisterAgentError::Provider(provider));
        }
        let mut documents: Vec<Capability> = Vec::new();
        for capability in capabilities {
            let capability = capability.with_own_digest();
            let id = capability.id.clone();
            capability.check().map_err(|cause| RegisterAgentError::Capability {
                id: id.clone(),
                cause: cause.to_string(),
            })?;
            if documents.iter().any(|known| known.id == id) {
                return Err(RegisterAgentError::Capability {
                    id,
                    cause: "it stands twice in the list".to_owned(),
                });
            }
            documents.push(capability);
        }
        let json = serde_json::to_string(&documents).map_err(|_| Unavailable::Storage)?;
        let row = AgentRow { name: name.clone(), provider: provider.clone(), capabilities: documents };
        let node = self.clone();
        self.carry_out(async move {
            let new = node.write(move |batch| batch.register_agent(space, &name, &provider, &json)).await?;
            if new { Ok(row) } else { Err(RegisterAgentError::Exists) }
        })
        .await
    }

    /// Opens a channel, or replaces its purpose, and starts a session of each agent in it (N-117 to N-119).
    pub async fn create_channel(
        &self,
        workspace: WorkspaceId,
        channel: ChannelName,
        purpose: String,
        agents: Vec<String>,
    ) -> Result<(), CreateChannelError> {
        self.context.space(workspace).ok_or(CreateChannelError::UnknownWorkspace)?;
        let purpose = purpose.trim().to_owned();
        if purpose.is_empty() || purpose.len() > PURPOSE_BYTES_MAX {
            return Err(CreateChannelError::Purpose);
        }
        let agents: Vec<_> = agents.into_iter().map(|agent| agent.trim().to_owned()).collect();
        if agents.is_empty() {
            return Err(CreateChannelError::NoAgents);
        }
        if agents.iter().any(String::is_empty) {
            return Err(CreateChannelError::BlankAgent);
        }
        for (at, agent) in agents.iter().enumerate() {
            if agents[..at].contains(agent) {
                return Err(CreateChannelError::RepeatedAgent(agent.clone()));
            }
        }
        if lock(&self.context.sessions).len() + agents.len() > limits::SESSIONS_MAX {
            return Err(CreateChannelError::TooMany);
        }
        let node = self.clone();
        self.carry_out(async move {
            let sessions = node.context.prepare_sessions(workspace, &channel, &agents).await;
            let sessions = sessions.map_err(|error| CreateChannelError::of_session(error, &agents))?;
            let create = |reply| ChannelMessage::Create { purpose, sessions, reply };
            node.context.ask_channel(workspace, &channel, create).await
        })
        .await
    }

    /// Starts a session of an agent in a channel.
    pub async fn start_session(
        &self,
        workspace: WorkspaceId,
        agent: &str,
        channel: ChannelName,
    ) -> Result<SessionRow, StartSessionError> {
        self.context.space(workspace).ok_or(StartSessionError::UnknownWorkspace)?;
        if lock(&self.context.sessions).len() >= limits::SESSIONS_MAX {
            return Err(StartSessionError::TooMany);
        }
        let (node, agent) = (self.clone(), agent.trim().to_owned());
        self.carry_out(async move {
            let sessions = node.context.prepare_sessions(workspace, &channel, &[agent]).await?;
            node.context
                .ask_channel(workspace, &channel, |reply| ChannelMessage::Start { sessions, reply })
                .await
        })
        .await
    }

    /// Stops a session. One that is stopped already stays so.
    pub async fn stop_session(&self, workspace: WorkspaceId, id: &str) -> Result<(), StopSessionError> {
        let view = self.context.store.view()?;
        let row = view.workspace(&workspace.to_string())?.ok_or(StopSessionError::UnknownWorkspace)?;
        let session = view.session(&row, id)?.ok_or(StopSessionError::UnknownSession)?;
        drop(view);
        if session.state == SessionState::Stopped {
            return Ok(());
        }
        let (node, id) = (self.clone(), session.id);
        self.carry_out(async move {
            let stop = |reply| ChannelMessage::Stop { session: id, reply };
            node.context.ask_channel(workspace, &session.channel, stop).await
        })
        .await
    }

    /// Sends a message as a session of this node. `Ok` means durable here, and on its way to all members.
    pub async fn send(&self, workspace: WorkspaceId, request: SendRequest) -> Result<Sent, SendError> {
        self.context.send(workspace, request).await
    }

    /// The direct room of a session of this node and a peer that is visible in the session's channel, opened if
    /// need be (N-38, N-39).
    pub async fn resolve_room(
        &self,
        workspace: WorkspaceId,
        channel: ChannelName,
        session_id: &str,
        peer: PeerName,
    ) -> Result<RoomRow, ResolveRoomError> {
        if !self.context.settings.network.enabled {
            return Err(ResolveRoomError::Disabled);
        }
        let space = self.context.space(workspace).ok_or(ResolveRoomError::UnknownWorkspace)?;
        let place = self.context.place(workspace, space, channel);
        let me = place.sender(session_id).ok_or(ResolveRoomError::NotInChannel)?;
        let other = place.node_of(&peer).ok_or(ResolveRoomError::TargetNotVisible)?;
        let pair = Pair::of(&me, &peer).map_err(|_| ResolveRoomError::SamePeer)?;
        let room = place.room(pair).ok_or(ResolveRoomError::UnknownWorkspace)?;
        let row = match read_room(&place, &room)? {
            Some(row) => row,
            None => {
                let context = self.context.clone();
                let resolve = async move {
                    let resolve = |reply| DirectRoomMessage::Resolve(other, reply);
                    context.ask_direct_room(&place, room, resolve).await
                };
                self.context.carry_out(resolve).await?
            }
        };
        self.context.counters.resolved();
        Ok(row)
    }
}

/// Whether an agent, or a provider, may be called so: `^[a-z0-9][a-z0-9._-]{0,63}$` (`contracts/node.yaml`).
pub fn is_agent_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    (1..=64).contains(&bytes.len())
        && plain(bytes[0])
        && bytes.iter().all(|byte| plain(*byte) || matches!(byte, b'.' | b'_' | b'-'))
}
