//! Who is connected, and who is visible in a channel.

use std::sync::Arc;

use muster_protocol::{
    control::ControlState,
    identity::NodeId,
    ids::{SpaceId, WorkspaceId},
    network::{Capability, CapabilityCatalog, ChannelName, PeerCard, PeerName},
};

use super::Node;
use crate::{context::lock, counters::Traffic, error::Unavailable, ports::Path};

/// A node connected now.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectionRow {
    /// Which.
    pub node: NodeId,
    /// Its name, when it is a member of a workspace of ours.
    pub name: Option<String>,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// Through a relay.
    pub relayed: bool,
    /// Last round trip in milliseconds.
    pub rtt_ms: Option<f64>,
    /// Workspaces that both are in.
    pub workspaces: Vec<WorkspaceId>,
}

/// How present a peer is (N-57).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresenceState {
    /// A session of this node.
    Local,
    /// Heard of within one interval.
    Active,
    /// Heard of within two.
    Inactive,
}

/// A peer that is visible now.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerRow {
    /// Its name.
    pub peer: PeerName,
    /// Its channel.
    pub channel: ChannelName,
    /// Its session, when it is one of this node.
    pub session_id: Option<String>,
    /// Whether it is.
    pub local: bool,
    /// What people call it (N-60).
    pub display_name: String,
    /// Its card.
    pub card: PeerCard,
    /// Counters of what it sent and got (N-63).
    pub metrics: Traffic,
    /// When it joined, Unix milliseconds; local peers only.
    pub joined_ms: Option<u64>,
    /// When it was last heard of; remote peers only.
    pub last_seen_ms: Option<u64>,
    /// When it will be gone, unless it is heard of again; remote peers only.
    pub expires_ms: Option<u64>,
    /// How present it is.
    pub presence: PresenceState,
    /// Whole seconds since it was heard of; remote peers only.
    pub age_seconds: Option<u64>,
    /// Its capability documents: of local peers always, of others when they told them (N-71).
    pub catalog: Option<Vec<Capability>>,
    /// Its node.
    pub node: NodeId,
}

impl Node {
    /// Nodes connected now.
    pub fn connections(&self) -> Vec<ConnectionRow> {
        let controls: Vec<_> = self
            .context
            .store
            .spaces()
            .into_iter()
            .filter_map(|space| self.context.store.control(space))
            .collect();
        let row = |connection: crate::ports::Connection| {
            let shared: Vec<_> =
                controls.iter().filter(|control| control.role(connection.node).is_some()).collect();
            let member = |control: &&Arc<ControlState>| {
                control
                    .members()
                    .find(|(node, _, _)| *node == connection.node)
                    .map(|(_, member, _)| member.name.clone())
            };
            ConnectionRow {
                node: connection.node,
                name: shared.first().copied().and_then(|control| member(&control)),
                addresses: connection.addresses,
                relayed: connection.path == Path::Relayed,
                rtt_ms: connection.round_trip.map(|rtt| rtt.as_secs_f64() * 1000.0),
                workspaces: shared.iter().map(|control| control.genesis().workspace).collect(),
            }
        };
        self.context.ports.network.connections().into_iter().map(row).collect()
    }

    /// Peers visible now, in the order of N-59.
    pub fn peers(
        &self,
        workspace: WorkspaceId,
        channel: Option<&ChannelName>,
    ) -> Result<Vec<PeerRow>, Unavailable> {
        let Some(space) = self.context.space(workspace) else { return Ok(Vec::new()) };
        let mut peers = self.local_peers(workspace, channel)?;
        peers.extend(self.remote_peers(space, channel));
        let recency = |peer: &PeerRow| std::cmp::Reverse(peer.last_seen_ms.or(peer.joined_ms).unwrap_or(0));
        peers.sort_by(|a, b| {
            let order = |peer: &PeerRow| (!peer.local, recency(peer));
            order(a)
                .cmp(&order(b))
                .then_with(|| a.display_name.cmp(&b.display_name))
                .then_with(|| (&a.peer, &a.channel).cmp(&(&b.peer, &b.channel)))
        });
        Ok(peers)
    }

    /// A visible peer by its name; of several channels, in the alphabetically first (N-62).
    pub fn peer(&self, workspace: WorkspaceId, name: &PeerName) -> Result<Option<PeerRow>, Unavailable> {
        let peers = self.peers(workspace, None)?.into_iter().filter(|peer| peer.peer == *name);
        Ok(peers.min_by(|a, b| a.channel.cmp(&b.channel)))
    }

    fn local_peers(
        &self,
        workspace: WorkspaceId,
        channel: Option<&ChannelName>,
    ) -> Result<Vec<PeerRow>, Unavailable> {
        let view = self.context.store.view()?;
        let Some(row) = view.workspace(&workspace.to_string())? else { return Ok(Vec::new()) };
        let active: Vec<_> = {
            let sessions = lock(&self.context.sessions);
            let here = sessions.iter().filter(|((space, _), session)| {
                *space == row.space && channel.is_none_or(|channel| *channel == session.channel)
            });
            here.map(|((_, id), session)| (id.clone(), session.clone())).collect()
        };
        let mut peers = Vec::new();
        for (id, session) in active {
            let stored = view.session(&row, &id)?;
            let capabilities =
                view.agent(&row, &session.agent)?.map(|agent| agent.capabilities).unwrap_or_default();
            let catalog = CapabilityCatalog { capabilities };
            peers.push(PeerRow {
                metrics: self.context.counters.peer(row.space, &session.peer),
                display_name: session.agent.clone(),
                card: PeerCard::local(session.peer.clone(), Some(&session.agent), &catalog),
                peer: session.peer,
                channel: session.channel,
                session_id: Some(id),
                local: true,
                joined_ms: stored.map(|session| session.created_ms),
                last_seen_ms: None,
                expires_ms: None,
                presence: PresenceState::Local,
                age_seconds: None,
                catalog: Some(catalog.capabilities),
                node: self.id(),
            });
        }
        Ok(peers)
    }

    fn remote_peers(&self, space: SpaceId, channel: Option<&ChannelName>) -> Vec<PeerRow> {
        let interval_ms = self.context.settings.network.greet_interval.as_millis() as u64;
        let now_ms = self.context.monotonic_ms();
        let control = self.context.store.control(space);
        let is_member = |node| control.as_ref().is_some_and(|control| control.role(node).is_some());
        let remote = self.context.presence.remote(space, channel, now_ms, interval_ms);
        let visible = remote.into_iter().filter(|(_, peer)| is_member(peer.node));
        visible
            .map(|(channel, peer)| {
                let age_ms = now_ms.saturating_sub(peer.heard_ms);
                let presence =
                    if age_ms <= interval_ms { PresenceState::Active } else { PresenceState::Inactive };
                PeerRow {
                    metrics: self.context.counters.peer(space, &peer.card.peer_id),
                    display_name: peer.card.shown_name().to_owned(),
                    peer: peer.card.peer_id.clone(),
                    channel,
                    session_id: None,
                    local: false,
                    joined_ms: None,
                    last_seen_ms: Some(peer.last_seen_ms),
                    expires_ms: Some(peer.last_seen_ms + 2 * interval_ms),
                    presence,
                    age_seconds: Some(age_ms / 1000),
                    catalog: peer.catalog,
                    node: peer.node,
                    card: peer.card,
                }
            })
            .collect()
    }
}
