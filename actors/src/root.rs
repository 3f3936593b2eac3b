//! The top of the tree: starts what a node consists of, and starts it again when it fails.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};

use crate::{
    context::{Context, lock},
    links::Links,
    presence::Presence,
    supervisor::Restarts,
    workspaces::Workspaces,
};

/// The actor. Its argument is the node's context. It takes no messages.
pub(crate) struct NodeSupervisor;

pub(crate) struct State {
    context: Arc<Context>,
    restarts: Restarts,
}

impl Actor for NodeSupervisor {
    type Msg = ();
    type State = State;
    type Arguments = Arc<Context>;

    async fn pre_start(
        &self,
        myself: ActorRef<()>,
        context: Arc<Context>,
    ) -> Result<State, ActorProcessingErr> {
        let state = State { context, restarts: Restarts::default() };
        state.start_missing(&myself).await?;
        Ok(state)
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<()>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let (child, why) = match event {
            SupervisionEvent::ActorFailed(child, error) => (child, error.to_string()),
            SupervisionEvent::ActorTerminated(child, _, why) => (child, why.unwrap_or_default()),
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => return Ok(()),
        };
        tracing::error!(%why, "a part of the node ended and is started again");
        {
            let mut fronts = lock(&state.context.fronts);
            fronts.links.take_if(|actor| actor.get_id() == child.get_id());
            fronts.presence.take_if(|actor| actor.get_id() == child.get_id());
            fronts.workspaces.take_if(|actor| actor.get_id() == child.get_id());
        }
        if state.restarts.allow(state.context.monotonic_ms()) {
            state.start_missing(&myself).await
        } else {
            state.context.fail(format!("a part of the node fails again and again: {why}"));
            myself.stop(None);
            Ok(())
        }
    }
}

impl State {
    async fn start_missing(&self, myself: &ActorRef<()>) -> Result<(), ActorProcessingErr> {
        let (links, presence, workspaces) = {
            let fronts = lock(&self.context.fronts);
            (fronts.links.is_none(), fronts.presence.is_none(), fronts.workspaces.is_none())
        };
        let context = &self.context;
        if presence {
            let (actor, _) = Actor::spawn_linked(None, Presence, context.clone(), myself.get_cell()).await?;
            lock(&context.fronts).presence = Some(actor);
        }
        if workspaces {
            let (actor, _) =
                Actor::spawn_linked(None, Workspaces, context.clone(), myself.get_cell()).await?;
            lock(&context.fronts).workspaces = Some(actor);
        }
        if links {
            let (actor, _) = Actor::spawn_linked(None, Links, context.clone(), myself.get_cell()).await?;
            lock(&context.fronts).links = Some(actor);
        }
        Ok(())
    }
}
