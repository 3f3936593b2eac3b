//! How whoever holds the context asks: the channels' actors, and the writer.
//!
//! A message is sent the same way whoever sends it, a person through a door or the program of a session.

use std::{future::Future, sync::Arc};

use muster_protocol::{
    ids::WorkspaceId,
    network::{ChannelName, Refusal},
};
use muster_storage::{Batch, StoreError};
use ractor::{ActorRef, RpcReplyPort, rpc::CallResult};
use tokio::sync::oneshot;

use crate::{
    channel::{ChannelMessage, SendRequest, Sent},
    context::{Context, lock},
    error::{SendError, Unavailable},
    supervisor::CALL,
    workspaces::WorkspacesMessage,
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
        let context = self.clone();
        self.carry_out(async move {
            context
                .ask_channel(workspace, &channel, |reply| ChannelMessage::Send(Box::new(request), reply))
                .await
        })
        .await
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
        let actor = self.channel(workspace, channel).await?;
        match actor.call(message, CALL).await {
            Ok(CallResult::Success(result)) => result,
            Ok(CallResult::Timeout) => Err(Unavailable::Timeout.into()),
            // The actor or the store went away before it answered.
            Ok(CallResult::SenderError) => Err(Unavailable::Busy.into()),
            Err(_) => Err(Unavailable::Busy.into()),
        }
    }

    /// The actor of a channel: as a rule found in the table, else started.
    async fn channel(
        &self,
        workspace: WorkspaceId,
        name: &ChannelName,
    ) -> Result<ActorRef<ChannelMessage>, Unavailable> {
        let space = self.space(workspace).ok_or(Unavailable::Stopping)?;
        if let Some(actor) = lock(&self.channels).get(&(space, name.clone())) {
            return Ok(actor.clone());
        }
        let workspaces = lock(&self.fronts).workspaces.clone().ok_or(Unavailable::Stopping)?;
        let name = name.clone();
        match workspaces.call(|reply| WorkspacesMessage::Channel(space, workspace, name, reply), CALL).await {
            Ok(CallResult::Success(actor)) => Ok(actor),
            Ok(CallResult::Timeout) => Err(Unavailable::Timeout),
            Ok(CallResult::SenderError) | Err(_) => Err(Unavailable::Stopping),
        }
    }
}
