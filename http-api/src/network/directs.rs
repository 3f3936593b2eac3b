//! Direct rooms of a channel, and their messages (N-32 to N-42, N-105 to N-111).

use axum::{Json, extract::State};
use muster_protocol::network::{DirectId, PeerName};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    errors::{Always, BadRequest, Conflict, Failure, InWorkspace, TooLarge},
    messages::{self, MessagesQuery},
    schemas::{
        directs::{
            NetworkDirectRoom, NetworkDirectRoomResponse, NetworkDirectRoomsResponse,
            ResolveNetworkDirectRoomRequest,
        },
        messages::NetworkMessagesResponse,
    },
    scope::{self, ChannelPath, Scope, unknown_cursor},
};
use crate::{
    Doors,
    input::{InPath, InQuery, JsonBody, given},
};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RoomsQuery {
    /// Keep only rooms that this peer belongs to; an id that matches nobody gives an empty list.
    peer_id: Option<String>,
    /// Room id of the last item already seen; the page starts behind it. It has to exist inside the filtered list.
    after: Option<String>,
    /// Largest number of items in the page.
    #[param(value_type = Option<i32>, minimum = 1, default = 100)]
    limit: Option<String>,
}

/// List the direct rooms of a channel
///
/// Most recently active first; ties go by ascending room id.
#[utoipa::path(
    get, path = "/api/workspaces/{workspace_id}/network/channels/{channel}/directs",
    operation_id = "listNetworkDirectRooms", tag = "network-directs", params(ChannelPath, RoomsQuery),
    responses((status = 200, description = "One page of rooms.", body = NetworkDirectRoomsResponse), BadRequest, InWorkspace, Always)
)]
pub(super) async fn list(
    State(doors): State<Doors>,
    InPath(path): InPath<ChannelPath>,
    InQuery(query): InQuery<RoomsQuery>,
) -> Result<Json<NetworkDirectRoomsResponse>, Failure> {
    scope::running(&doors)?;
    let channel = scope::channel(&path.channel)?;
    let scope = Scope::open(&doors, &path.workspace_id)?;
    let limit = scope::limit(query.limit.as_deref())?;
    // What is no room id is no room's either (N-106), and what is no peer id matches nobody.
    let after = match given(query.after.as_deref()) {
        Some(text) => Some(DirectId::parse(text).map_err(|_| unknown_cursor())?),
        None => None,
    };
    let rows = match given(query.peer_id.as_deref()).map(PeerName::parse) {
        Some(Err(_)) if after.is_some() => return Err(unknown_cursor()),
        Some(Err(_)) => Vec::new(),
        peer => {
            let peer = peer.and_then(Result::ok);
            let rows = scope.view.rooms(&scope.workspace, &channel, peer.as_ref(), after.as_ref(), limit)?;
            rows.map_err(|_| unknown_cursor())?
        }
    };
    let directs = rows.into_iter().map(|row| NetworkDirectRoom::of(row, &scope.id())).collect();
    Ok(Json(NetworkDirectRoomsResponse { directs }))
}

/// Get the direct room between a local session and a peer, opening it when needed
///
/// The same pair always gets the same room, whoever asks and however many ask at once. Asking again
/// does not count as activity.
#[utoipa::path(
    post, path = "/api/workspaces/{workspace_id}/network/channels/{channel}/directs/resolve",
    operation_id = "resolveNetworkDirectRoom", tag = "network-directs", params(ChannelPath),
    request_body = ResolveNetworkDirectRoomRequest,
    responses(
        (status = 200, description = "The room, new or already there.", body = NetworkDirectRoomResponse),
        BadRequest, InWorkspace, Conflict, TooLarge, Always
    )
)]
pub(super) async fn resolve(
    State(doors): State<Doors>,
    InPath(path): InPath<ChannelPath>,
    body: JsonBody,
) -> Result<Json<NetworkDirectRoomResponse>, Failure> {
    scope::running(&doors)?;
    let channel = scope::channel(&path.channel)?;
    let workspace = Scope::open(&doors, &path.workspace_id)?.workspace.id;
    let request: ResolveNetworkDirectRoomRequest = body.read()?;
    let session =
        given(Some(&request.session_id)).ok_or_else(|| Failure::invalid("`session_id` is missing"))?;
    let peer =
        PeerName::parse(&request.peer_id).map_err(|fault| Failure::invalid(format!("`peer_id`: {fault}")))?;
    let row = doors.node.resolve_room(workspace, channel, session, peer).await?;
    Ok(Json(NetworkDirectRoomResponse { direct: NetworkDirectRoom::of(row, &workspace.to_string()) }))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct RoomPath {
    /// Workspace that scopes everything in the call: its id or its name (N-2).
    #[param(min_length = 1)]
    workspace_id: String,
    /// Channel inside the workspace.
    #[param(pattern = "^[a-z0-9][a-z0-9_-]{0,63}$")]
    channel: String,
    /// Direct room inside the channel.
    #[param(pattern = "^direct_[a-f0-9]{32}$")]
    direct_id: String,
}

/// Read one direct room
#[utoipa::path(
    get, path = "/api/workspaces/{workspace_id}/network/channels/{channel}/directs/{direct_id}",
    operation_id = "getNetworkDirectRoom", tag = "network-directs", params(RoomPath),
    responses((status = 200, description = "The room.", body = NetworkDirectRoomResponse), BadRequest, InWorkspace, Always)
)]
pub(super) async fn read(
    State(doors): State<Doors>,
    InPath(path): InPath<RoomPath>,
) -> Result<Json<NetworkDirectRoomResponse>, Failure> {
    scope::running(&doors)?;
    let channel = scope::channel(&path.channel)?;
    let scope = Scope::open(&doors, &path.workspace_id)?;
    let id = scope::room(&path.direct_id)?;
    let row = scope.view.room(&scope.workspace, &channel, &id)?.ok_or_else(unknown_room)?;
    Ok(Json(NetworkDirectRoomResponse { direct: NetworkDirectRoom::of(row, &scope.id()) }))
}

/// Page through the messages of one direct room
#[utoipa::path(
    get, path = "/api/workspaces/{workspace_id}/network/channels/{channel}/directs/{direct_id}/messages",
    operation_id = "listNetworkDirectRoomMessages", tag = "network-directs", params(RoomPath, MessagesQuery),
    responses(
        (status = 200, description = "One page, oldest message first.", body = NetworkMessagesResponse),
        BadRequest, InWorkspace, Always
    )
)]
pub(super) async fn messages(
    State(doors): State<Doors>,
    InPath(path): InPath<RoomPath>,
    InQuery(query): InQuery<MessagesQuery>,
) -> Result<Json<NetworkMessagesResponse>, Failure> {
    scope::running(&doors)?;
    let channel = scope::channel(&path.channel)?;
    let scope = Scope::open(&doors, &path.workspace_id)?;
    let id = scope::room(&path.direct_id)?;
    let page = query.page()?;
    scope.view.room(&scope.workspace, &channel, &id)?.ok_or_else(unknown_room)?;
    let rows =
        scope.view.room_messages(&scope.workspace, &channel, &id, &page)?.map_err(|_| unknown_cursor())?;
    Ok(Json(messages::response(&doors, &scope, &channel, rows)?))
}

fn unknown_room() -> Failure {
    Failure::not_found("the channel has no such direct room on this node")
}
