//! Starting sessions: their programs first, so that nothing is said to anybody when one does not start (N-118).

use std::sync::Arc;

use muster_protocol::{
    ids::WorkspaceId,
    limits,
    network::{ChannelName, PeerName},
    session,
};
use muster_storage::NewSession;

use super::{credentials_refused, ended};
use crate::{
    context::{Context, NO_PROVIDER},
    error::{ProgramError, StartSessionError},
    ports::{Ending, Program, ProgramEvent, ProgramPlace},
};

/// A program that was started and did not end at once.
pub(crate) struct Settled {
    pub(super) program: Program,
    /// What it did meanwhile.
    pub(super) first: Option<ProgramEvent>,
}

impl Settled {
    /// Waits until a new program says something, or until it has not ended for a moment. The error is how it
    /// ended.
    pub(crate) async fn wait(context: &Context, mut program: Program) -> Result<Self, Ending> {
        let first = {
            let moment = context.ports.clock.sleep(limits::PROGRAM_SETTLE);
            match futures::future::select(std::pin::pin!(program.output.recv()), moment).await {
                futures::future::Either::Left((event, _)) => {
                    Some(event.unwrap_or(ProgramEvent::Ended(Ending::Killed)))
                }
                futures::future::Either::Right(_) => None,
            }
        };
        match first {
            Some(ProgramEvent::Ended(ending)) => Err(ending),
            first => Ok(Self { program, first }),
        }
    }
}

/// A session that is not stored yet, and its program, which runs.
pub(crate) struct StartingSession {
    pub(crate) new: NewSession,
    pub(crate) provider: String,
    pub(crate) program: Option<Settled>,
}

impl Context {
    /// Makes sessions of agents ready to be stored, in order. Their programs are started and waited for
    /// together; when one does not start, all are let go.
    pub(crate) async fn prepare_sessions(
        self: &Arc<Self>,
        workspace: WorkspaceId,
        channel: &ChannelName,
        agents: &[String],
    ) -> Result<Vec<StartingSession>, StartSessionError> {
        let mut sessions = Vec::new();
        for agent in agents {
            sessions.push(self.new_session(workspace, channel, agent)?);
        }
        let mut starting = Vec::new();
        for session in &sessions {
            if session.provider == NO_PROVIDER {
                continue;
            }
            let place = ProgramPlace {
                session_id: session.new.id.clone(),
                peer_id: session.new.peer.as_str().to_owned(),
                channel: session.new.channel.clone(),
                workspace_id: workspace.to_string(),
            };
            let program = self.ports.programs.start(&session.provider, place).await.map_err(|cause| {
                ProgramError::NotStarted {
                    agent: session.new.agent.clone(),
                    provider: session.provider.clone(),
                    cause: cause.to_string(),
                }
            })?;
            starting.push(Settled::wait(self, program));
        }
        let mut settled = futures::future::join_all(starting).await.into_iter();
        for session in &mut sessions {
            if session.provider == NO_PROVIDER {
                continue;
            }
            let (agent, provider) = (session.new.agent.clone(), session.provider.clone());
            session.program = match settled.next() {
                Some(Ok(program)) => Some(program),
                Some(Err(ending)) if credentials_refused(ending) => {
                    return Err(ProgramError::Credentials { agent, provider }.into());
                }
                Some(Err(ending)) => {
                    return Err(ProgramError::NotStarted { agent, provider, cause: ended(ending) }.into());
                }
                None => None,
            };
        }
        Ok(sessions)
    }

    fn new_session(
        &self,
        workspace: WorkspaceId,
        channel: &ChannelName,
        agent: &str,
    ) -> Result<StartingSession, StartSessionError> {
        let view = self.store.view()?;
        let row = view.workspace(&workspace.to_string())?.ok_or(StartSessionError::UnknownWorkspace)?;
        let known = view.agent(&row, agent)?;
        let provider = known.ok_or_else(|| StartSessionError::UnknownAgent(agent.to_owned()))?.provider;
        if provider != NO_PROVIDER && !self.ports.programs.knows(&provider) {
            return Err(ProgramError::UnknownProvider { agent: agent.to_owned(), provider }.into());
        }
        let id = session::session_id(self.identity.node(), self.random());
        let peer = PeerName::of_session(agent, &id)?;
        let new = NewSession { id, agent: agent.to_owned(), channel: channel.as_str().to_owned(), peer };
        Ok(StartingSession { new, provider, program: None })
    }
}
