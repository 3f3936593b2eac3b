//! How whoever holds the context asks: the channels' actors, and the writer.
//!
//! A message is sent the same way whoever sends it, a person through a door or the program of a session.

use std::{future::Future, sync::Arc};

use muster_protocol::{
    content::Room,
    ids::{SpaceId, WorkspaceId},
    network::{ChannelName, Pair, PeerName, Refusal, Surface},
};
use muster_storage::{Batch, StoreError};
use ractor::{ActorRef, RpcReplyPort, rpc::CallResult};
use tokio::sync::oneshot;

use crate::{
    channel::ChannelMessage,
    compose::{Place, SendRequest, Sent},
    context::{Context, lock},
    direct_room::DirectRoomMessage,
    error::{SendError, Unavailable},
    supervisor::CALL,
    workspaces::{WorkspaceMessage, WorkspacesMessage},
};

impl Context {
    /// Sends a message as a session of this node (N-79).
    pub(crate) async fn send(
        self: &Arc<Self>,
        workspace: WorkspaceId,
        request: SendRequest,
    ) -> Result<Sent, SendError> {
        if !self.settings.network.enabled {
            return Err(SendError::Disabled);
        }
        let space = self.space(workspace).ok_or(SendError::UnknownWorkspace)?;
        let session = request.session_id.trim();
        if session.is_empty() {
            return Err(SendError::Missing("session_id"));
        }
        let active = lock(&self.sessions).contains_key(&(space, session.to_owned()));
        if !active {
            let view = self.store.view()?;
            let row = view.workspace(&workspace.to_string())?.ok_or(SendError::UnknownWorkspace)?;
            view.session(&row, session)?.ok_or(SendError::UnknownSession)?;
        }
        let missing =
            [("channel", request.channel.trim().is_empty()), ("kind", request.kind.trim().is_empty())];
        if let Some((name, _)) = missing.into_iter().find(|(_, missing)| *missing) {
            return Err(SendError::Missing(name));
        }
        let channel = ChannelName::parse(&request.channel)
            .map_err(|cause| Refusal::BadName { member: "channel", cause })?;
        let (context, place) = (self.clone(), self.place(workspace, space, channel));
        self.carry_out(async move {
            match room_of(&place, &request) {
                Some(room) => {
                    let send = |reply| DirectRoomMessage::Send(Box::new(request), reply);
                    context.ask_direct_room(&place, room, send).await
                }
                // What names no room is refused there, or is for everybody.
                None => {
                    let send = |reply| ChannelMessage::Send(Box::new(request), reply);
                    context.ask_channel(workspace, &place.name, send).await
                }
            }
        })
        .await
    }

    /// A channel of a workspace, for whoever speaks in it.
    pub(crate) fn place(
        self: &Arc<Self>,
        workspace: WorkspaceId,
        space: SpaceId,
        name: ChannelName,
    ) -> Place {
        Place { context: self.clone(), space, workspace, name }
    }

    /// Runs `work` to its end also when the caller stops waiting (N-87), holding a permit meanwhile.
    pub(crate) async fn carry_out<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Unavailable> + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let permit = self.permits.clone().try_acquire_owned().map_err(|_| Unavailable::Busy)?;
        let work = ractor::concurrency::spawn(async move {
            let result = work.await;
            drop(permit);
            result
        });
        work.await.map_err(|_| Unavailable::Stopping)?
    }

    /// Writes through the writer thread and waits for the commit.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Batch<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (reply, durable) = oneshot::channel();
        // Whoever asked may have stopped waiting; it is durable all the same.
        self.store.write(self.wall_ms(), work, move |result| drop(reply.send(result)))?;
        durable.await.map_err(|_| Unavailable::Storage)
    }

    pub(crate) async fn ask_channel<T, E>(
        &self,
        workspace: WorkspaceId,
        channel: &ChannelName,
        message: impl FnOnce(RpcReplyPort<Result<T, E>>) -> ChannelMessage,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Unavailable> + Send + 'static,
    {
        let space = self.space(workspace).ok_or(Unavailable::Stopping)?;
        let known = lock(&self.channels).get(&(space, channel.clone())).cloned();
        let actor = match known {
            Some(actor) => actor,
            None => {
                let start = |reply| WorkspaceMessage::Channel(channel.clone(), reply);
                self.start(space, workspace, start).await?
            }
        };
        ask(&actor, message).await
    }

    pub(crate) async fn ask_direct_room<T, E>(
        &self,
        place: &Place,
        room: Room,
        message: impl FnOnce(RpcReplyPort<Result<T, E>>) -> DirectRoomMessage,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Unavailable> + Send + 'static,
    {
        let known = lock(&self.rooms).get(&(place.space, room.id.clone())).cloned();
        let actor = match known {
            Some(actor) => actor,
            None => {
                let start = |reply| WorkspaceMessage::DirectRoom(Box::new(room), reply);
                self.start(place.space, place.workspace, start).await?
            }
        };
        ask(&actor, message).await
    }

    /// Has an actor of a workspace started.
    async fn start<A: Send + 'static>(
        &self,
        space: SpaceId,
        workspace: WorkspaceId,
        message: impl FnOnce(RpcReplyPort<A>) -> WorkspaceMessage,
    ) -> Result<A, Unavailable> {
        let workspaces = lock(&self.fronts).workspaces.clone().ok_or(Unavailable::Stopping)?;
        let start = |reply| WorkspacesMessage::Workspace(space, workspace, message(reply));
        match workspaces.call(start, CALL).await {
            Ok(CallResult::Success(actor)) => Ok(actor),
            Ok(CallResult::Timeout) => Err(Unavailable::Timeout),
            Ok(CallResult::SenderError) | Err(_) => Err(Unavailable::Stopping),
        }
    }
}

/// Asks the actor of a channel or room.
async fn ask<M, T, E>(
    actor: &ActorRef<M>,
    message: impl FnOnce(RpcReplyPort<Result<T, E>>) -> M,
) -> Result<T, E>
where
    M: ractor::Message,
    T: Send + 'static,
    E: From<Unavailable> + Send + 'static,
{
    match actor.call(message, CALL).await {
        Ok(CallResult::Success(result)) => result,
        Ok(CallResult::Timeout) => Err(Unavailable::Timeout.into()),
        // The actor or the store went away before it answered.
        Ok(CallResult::SenderError) | Err(_) => Err(Unavailable::Busy.into()),
    }
}

/// The room that a request is for, when it says so and names its two peers.
fn room_of(place: &Place, request: &SendRequest) -> Option<Room> {
    let direct = request.surface.as_deref().map(str::trim) == Some(Surface::Direct.as_str());
    let to = PeerName::parse(request.to.as_deref().filter(|_| direct)?).ok()?;
    place.room(Pair::of(&place.sender(&request.session_id)?, &to).ok()?)
}
