//! Channels of a workspace (N-112 to N-120).

use std::{cmp::Reverse, collections::BTreeSet};

use axum::{Json, extract::State, http::StatusCode};
use muster_actors::PeerRow;
use muster_protocol::network::ChannelName;
use muster_storage::{ChannelRow, SessionRow};

use super::{
    errors::{Always, BadRequest, Failure, InWorkspace, ProviderAuthFailed, TooLarge},
    schemas::{
        channels::{
            CreateNetworkChannelRequest, NetworkChannelDetail, NetworkChannelResponse, NetworkChannelSummary,
            NetworkChannelsResponse, Presence,
        },
        peers::NetworkPeer,
        session::Session,
    },
    scope::{self, ChannelPath, Scope, WorkspacePath},
};
use crate::{
    Doors,
    input::{InPath, JsonBody, given},
};

/// List the channels that exist in a workspace
///
/// A channel is listed when it was created, when a session that is not stopped belongs to it, when a
/// peer is visible in it, or when it has history. Newest activity first.
#[utoipa::path(
    get, path = "/api/workspaces/{workspace_id}/network/channels", operation_id = "listNetworkChannels",
    tag = "network-channels", params(WorkspacePath),
    responses(
        (status = 200, description = "All channels of the workspace; no paging.", body = NetworkChannelsResponse),
        InWorkspace, Always
    )
)]
pub(super) async fn list(
    State(doors): State<Doors>,
    InPath(path): InPath<WorkspacePath>,
) -> Result<Json<NetworkChannelsResponse>, Failure> {
    scope::running(&doors)?;
    let scope = Scope::open(&doors, &path.workspace_id)?;
    let rows = scope.view.channels(&scope.workspace)?;
    let sessions = scope.view.active_sessions(&scope.workspace)?;
    let peers = doors.node.peers(scope.workspace.id, None)?;

    let stored: BTreeSet<_> = rows.iter().map(|row| row.name.clone()).collect();
    let inhabited = sessions.iter().map(|session| session.channel.clone());
    let inhabited: BTreeSet<_> = inhabited.chain(peers.iter().map(|peer| peer.channel.clone())).collect();
    let rows = rows.into_iter().chain(inhabited.difference(&stored).map(without_history));

    let mut channels: Vec<_> = rows.map(|row| summary(&doors, &scope, row, &sessions, &peers)).collect();
    channels.sort_by(by_activity);
    Ok(Json(NetworkChannelsResponse { channels }))
}

/// Read one channel with its sessions, peers and message mix
#[utoipa::path(
    get, path = "/api/workspaces/{workspace_id}/network/channels/{channel}", operation_id = "getNetworkChannel",
    tag = "network-channels", params(ChannelPath),
    responses((status = 200, description = "The channel.", body = NetworkChannelResponse), BadRequest, InWorkspace, Always)
)]
pub(super) async fn read(
    State(doors): State<Doors>,
    InPath(path): InPath<ChannelPath>,
) -> Result<Json<NetworkChannelResponse>, Failure> {
    scope::running(&doors)?;
    let name = scope::channel(&path.channel)?;
    let scope = Scope::open(&doors, &path.workspace_id)?;
    Ok(Json(NetworkChannelResponse { channel: detail(&doors, &scope, &name)? }))
}

/// Create a channel by starting one session per named agent
///
/// All or nothing: when one session cannot start, none of the call stays. Creating a channel that
/// exists starts further sessions in it and replaces its purpose.
#[utoipa::path(
    post, path = "/api/workspaces/{workspace_id}/network/channels", operation_id = "createNetworkChannel",
    tag = "network-channels", params(WorkspacePath), request_body = CreateNetworkChannelRequest,
    responses(
        (status = 201, description = "Channel with its sessions and peers as they stand right after creation.",
            body = NetworkChannelResponse),
        BadRequest, InWorkspace, TooLarge, ProviderAuthFailed, Always
    )
)]
pub(super) async fn create(
    State(doors): State<Doors>,
    InPath(path): InPath<WorkspacePath>,
    body: JsonBody,
) -> Result<(StatusCode, Json<NetworkChannelResponse>), Failure> {
    scope::running(&doors)?;
    let request: CreateNetworkChannelRequest = body.read()?;
    let (workspace, name) = {
        let scope = Scope::open(&doors, &path.workspace_id)?;
        scope.same_workspace(&request.workspace_id)?;
        (scope.workspace.id, scope::channel(&request.channel)?)
    };
    let purpose =
        given(Some(&request.purpose)).ok_or_else(|| Failure::invalid("`purpose` is missing"))?.to_owned();
    let agents = agents(&request.agent_names)?;
    doors.node.create_channel(workspace, name.clone(), purpose, agents).await?;

    let scope = Scope::open(&doors, &path.workspace_id)?;
    Ok((StatusCode::CREATED, Json(NetworkChannelResponse { channel: detail(&doors, &scope, &name)? })))
}

/// The agents named, trimmed: at least one, none blank, none twice (N-117).
fn agents(names: &[String]) -> Result<Vec<String>, Failure> {
    let mut agents: Vec<String> = Vec::with_capacity(names.len());
    for (at, name) in names.iter().enumerate() {
        match given(Some(name)) {
            None => return Err(Failure::invalid(format!("`agent_names[{at}]` is blank"))),
            Some(name) if agents.iter().any(|agent| agent == name) => {
                return Err(Failure::invalid(format!(
                    "`agent_names[{at}]` names an agent for the second time"
                )));
            }
            Some(name) => agents.push(name.to_owned()),
        }
    }
    if agents.is_empty() {
        Err(Failure::invalid("`agent_names` has to name at least one agent"))
    } else {
        Ok(agents)
    }
}

fn detail(doors: &Doors, scope: &Scope, name: &ChannelName) -> Result<NetworkChannelDetail, Failure> {
    let row = scope.view.channel(&scope.workspace, name)?;
    let mut sessions = scope.view.active_sessions(&scope.workspace)?;
    sessions.retain(|session| session.channel == *name);
    let peers = doors.node.peers(scope.workspace.id, Some(name))?;
    if row.is_none() && sessions.is_empty() && peers.is_empty() {
        return Err(Failure::not_found("the workspace has no such channel"));
    }
    let row = row.unwrap_or_else(|| without_history(name));
    let kind_counts = row.kind_counts.iter().map(|&(kind, count)| (kind, count).into()).collect();
    Ok(NetworkChannelDetail {
        summary: summary(doors, scope, row, &sessions, &peers),
        kind_counts,
        sessions: sessions
            .into_iter()
            .map(|session| {
                let phase = doors.node.session_phase(scope.workspace.id, &session.id);
                Session::of(session, phase, &scope.id())
            })
            .collect(),
        peers: peers.into_iter().map(|peer| NetworkPeer::of(peer, &scope.id())).collect(),
    })
}

/// A channel that exists only because somebody is in it (N-112).
fn without_history(name: &ChannelName) -> ChannelRow {
    ChannelRow {
        name: name.clone(),
        purpose: None,
        created_by: None,
        created_ms: None,
        message_count: 0,
        historical_participant_count: 0,
        last_activity_ms: None,
        last_message_preview: String::new(),
        kind_counts: Vec::new(),
        threads: 0,
        rooms: 0,
        open_work: 0,
    }
}

fn summary(
    doors: &Doors,
    scope: &Scope,
    row: ChannelRow,
    sessions: &[SessionRow],
    peers: &[PeerRow],
) -> NetworkChannelSummary {
    let here = || peers.iter().filter(|peer| peer.channel == row.name);
    let local_peers = here().filter(|peer| peer.local).count();
    let (greets, last_greet_ms) = doors.node.greets(scope.workspace.id, &row.name);
    let presence = Presence {
        local_peers,
        remote_peers: here().count() - local_peers,
        sessions: sessions.iter().filter(|session| session.channel == row.name).count(),
        greets,
        last_ms: here().filter_map(|peer| peer.last_seen_ms.or(peer.joined_ms)).max().max(last_greet_ms),
    };
    NetworkChannelSummary::of(row, &scope.id(), &presence)
}

/// The order of N-113: newest activity or presence first, channels without any time last; then more
/// messages first; then by name.
fn by_activity(one: &NetworkChannelSummary, other: &NetworkChannelSummary) -> std::cmp::Ordering {
    let key = |channel: &NetworkChannelSummary| {
        (Reverse(channel.last_activity_at.max(channel.last_presence_at)), Reverse(channel.message_count))
    };
    key(one).cmp(&key(other)).then_with(|| one.channel.cmp(&other.channel))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_go_by_their_latest_time_then_messages_then_name_n113() {
        let summary = |name: &str, activity_ms: Option<u64>, presence_ms: Option<u64>, message_count: u64| {
            let row = ChannelRow {
                last_activity_ms: activity_ms,
                message_count,
                ..without_history(&ChannelName::parse(name).unwrap())
            };
            let presence =
                Presence { local_peers: 0, remote_peers: 0, sessions: 0, greets: 0, last_ms: presence_ms };
            NetworkChannelSummary::of(row, "ws", &presence)
        };
        let mut channels = [
            summary("never", None, None, 9),
            summary("a-silent", None, None, 0),
            summary("talked", Some(5_000), Some(1_000), 1),
            summary("greeted", Some(1_000), Some(7_000), 1),
            summary("busy", Some(3_000), None, 8),
            summary("also", Some(3_000), None, 2),
            summary("quiet", None, Some(3_000), 2),
        ];
        channels.sort_by(by_activity);
        let names = channels.iter().map(|channel| channel.channel.as_str()).collect::<Vec<_>>();
        assert_eq!(names, ["greeted", "talked", "busy", "also", "quiet", "never", "a-silent"]);
    }
}
