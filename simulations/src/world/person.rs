//! The person at a machine: founds or joins the workspace, and starts the sessions that speak.
//!
//! People do not trust machines: an answer may be lost, a node may go down while it is asked. So
//! whatever they want, they want until they are told that it is done. What they were told goes into the ledger.

use std::{fmt::Debug, sync::Arc, time::Duration};

use futures::future::{join_all, poll_immediate};
use muster_actors::{
    CreateChannelError, CreateWorkspaceError, InviteError, JoinError, MoveHomeError, Node,
    RegisterAgentError, SetRoleError, StartSessionError, ports::Clock,
};
use muster_protocol::{control::Role, identity::NodeId, ids::WorkspaceId, network::ChannelName};
use muster_storage::SessionState;
use rand::{RngExt, seq::IndexedRandom};
use tokio::task::JoinHandle;

use super::{Machine, Shared, ledger::Session, speaker::Speaker};
use crate::dice::{self, Dice};

/// How long a person waits for an answer at most, in milliseconds; joining may take ten seconds.
const PATIENCE_MS_MAX: u64 = 12_000;
/// How long a person waits before asking again at most, in milliseconds.
pub(super) const PAUSE_MS_MAX: u64 = 600;
/// How long the tickets of a world live, in seconds, and how often they are used at most.
const TICKET: (u64, u32) = (24 * 3600, 100);

/// A person; see the module.
pub(super) struct Person {
    task: JoinHandle<()>,
}

impl Person {
    /// Somebody else who is waited for.
    pub(super) fn of(task: JoinHandle<()>) -> Self {
        Self { task }
    }

    /// Whether everything was done and said, or given up: then the ledger says why.
    pub(super) fn is_done(&self) -> bool {
        self.task.is_finished()
    }
}

/// The name of a channel.
pub(super) fn channel(index: usize) -> String {
    format!("channel-{index}")
}

/// Puts a person at a machine.
#[expect(clippy::disallowed_methods, reason = "a person is a task of its world")]
pub(super) fn arrive(machine: &Arc<Machine>) -> Person {
    let mut asker = Asker::another(machine, "person", &[&machine.index().to_be_bytes()]);
    Person { task: tokio::spawn(async move { asker.live().await.unwrap_or_default() }) }
}

/// Puts somebody at a machine who has something decided now and then, of which everybody hears: at the owner's invites,
/// roles, and who decides from then on; at others' invites, while they are admins.
#[expect(clippy::disallowed_methods, reason = "a person is a task of its world")]
pub(super) fn decide(machine: &Arc<Machine>) -> Person {
    let mut asker = Asker::another(machine, "decisions", &[&machine.index().to_be_bytes()]);
    Person { task: tokio::spawn(async move { asker.decide().await.unwrap_or_default() }) }
}

/// Somebody who asks a node.
pub(super) struct Asker {
    pub(super) machine: Arc<Machine>,
    pub(super) shared: Arc<Shared>,
    pub(super) dice: Dice,
}

impl Asker {
    /// Somebody else at the same machine, with dice named by `purpose` and `parts`.
    pub(super) fn another(machine: &Arc<Machine>, purpose: &str, parts: &[&[u8]]) -> Self {
        let shared = Arc::clone(machine.shared());
        let dice = dice::dice(shared.seed, purpose, parts);
        Self { machine: Arc::clone(machine), shared, dice }
    }

    // ---- asking --------------------------------------------------------------------------------

    pub(super) async fn pause(&mut self, most_ms: u64) {
        let pause = Duration::from_millis(self.dice.random_range(1..=most_ms));
        self.shared.clock().sleep(pause).await;
    }

    /// Waits for an answer, unless it gets lost or patience ends.
    pub(super) async fn hear<T>(&mut self, answer: impl Future<Output = T>) -> Option<T> {
        let mut answer = std::pin::pin!(answer);
        if !self.shared.ledger.is_calm() && self.dice.random_ratio(1, 24) {
            return poll_immediate(answer).await.filter(|_| false);
        }
        let patience = Duration::from_millis(self.dice.random_range(1_000..PATIENCE_MS_MAX));
        let clock = self.shared.clock();
        tokio::select! {
            biased;
            answer = &mut answer => Some(answer),
            () = clock.sleep(patience) => None,
        }
    }

    /// Asks until there is an answer that `again` does not ask to come again for. `None` if that is an error.
    pub(super) async fn insist<T, E: Debug, F: Future<Output = Result<T, E>>>(
        &mut self,
        again: fn(&E) -> bool,
        ask: impl Fn(Node) -> F,
    ) -> Option<T> {
        loop {
            if let Some(node) = self.machine.node() {
                match self.hear(ask(node)).await {
                    Some(Ok(answer)) => return Some(answer),
                    Some(Err(error)) if !again(&error) => {
                        self.machine.wrong(&format!("a person is refused: {error:?}"));
                        return None;
                    }
                    Some(Err(_)) | None => {}
                }
            }
            self.pause(PAUSE_MS_MAX).await;
        }
    }

    // ---- a life --------------------------------------------------------------------------------

    async fn live(&mut self) -> Option<()> {
        if self.machine.index() + 1 == self.shared.plan.world.nodes {
            self.shared.clock().sleep(Duration::from_millis(self.shared.plan.late_ms)).await;
        }
        let workspace = if self.machine.index() == 0 { self.found().await? } else { self.join().await? };
        let mut speakers = Vec::new();
        // One more than there are channels: two sessions of one node have something to say to each other, too.
        for index in 0..=self.shared.plan.channels {
            let session = self.start(workspace, index).await?;
            self.shared.ledger.started(session.clone());
            speakers.push(Speaker::new(&self.machine, workspace, session));
        }
        join_all(speakers.iter_mut().map(Speaker::speak)).await;
        Some(())
    }

    async fn found(&mut self) -> Option<WorkspaceId> {
        let again = |error: &CreateWorkspaceError| matches!(error, CreateWorkspaceError::Unavailable(_));
        let workspace = self
            .insist(again, async |node: Node| {
                let known = node.store().view()?.workspace("the workspace")?;
                match known {
                    Some(row) => Ok(row.id),
                    None => Ok(node.create_workspace("the workspace".to_owned(), None).await?.id),
                }
            })
            .await?;
        let again = |error: &InviteError| matches!(error, InviteError::Unavailable(_));
        let (seconds, uses) = TICKET;
        let invite = self
            .insist(again, async |node: Node| {
                node.create_invite(workspace, Role::Member, seconds, uses).await
            })
            .await?;
        self.shared.ledger.found(workspace, invite.ticket);
        Some(workspace)
    }

    async fn decide(&mut self) -> Option<()> {
        let plan = &self.shared.plan;
        let (decisions, pause_ms) = (plan.decisions, 2 * plan.world.duration_ms / (plan.decisions + 1));
        let owns = self.machine.index() == 0;
        for _ in 0..decisions {
            self.pause(pause_ms).await;
            let Some(workspace) = self.shared.ledger.workspace() else { continue };
            match self.dice.random_range(0..4) {
                0 if owns => self.change_a_role(workspace).await?,
                1 if owns => self.move_the_home(workspace).await?,
                _ => self.invite(workspace).await?,
            }
        }
        Some(())
    }

    async fn invite(&mut self, workspace: WorkspaceId) -> Option<()> {
        let again = |error: &InviteError| matches!(error, InviteError::Unavailable(_));
        let (seconds, uses) = TICKET;
        let owns = self.machine.index() == 0;
        self.insist(again, async |node: Node| {
            match node.create_invite(workspace, Role::Guest, seconds, uses).await {
                Err(InviteError::NotAllowed { .. } | InviteError::UnknownWorkspace) if !owns => Ok(()),
                other => other.map(drop),
            }
        })
        .await
    }

    /// The members as the owner's node knows them, with their roles, and whether they are the home.
    fn members(&self, workspace: WorkspaceId) -> Vec<(NodeId, Role, bool)> {
        let Some(node) = self.machine.node() else { return Vec::new() };
        let space = node.store().space_of(workspace);
        let Some(control) = space.and_then(|space| node.store().control(space)) else { return Vec::new() };
        control.members().map(|(member, _, role)| (member, role, member == control.home())).collect()
    }

    /// Lets another admin decide, or the owner again.
    async fn move_the_home(&mut self, workspace: WorkspaceId) -> Option<()> {
        let mut others = self.members(workspace);
        others.retain(|(_, role, is_home)| role.administers() && !is_home);
        let Some((to, ..)) = others.choose(&mut self.dice).copied() else { return Some(()) };
        let again = |error: &MoveHomeError| matches!(error, MoveHomeError::Unavailable(_));
        self.insist(again, async |node: Node| match node.move_home(workspace, to).await {
            // What the owner knew is old: it was removed or lost its role. Or it went down.
            Err(MoveHomeError::UnknownMember | MoveHomeError::NotAnAdmin | MoveHomeError::Away) => Ok(()),
            other => other.map(drop),
        })
        .await
    }

    /// Makes an admin of a member, or a member of an admin: both may write.
    async fn change_a_role(&mut self, workspace: WorkspaceId) -> Option<()> {
        let again = |error: &SetRoleError| matches!(error, SetRoleError::Unavailable(_));
        let mut others = self.members(workspace);
        others.retain(|(_, role, is_home)| *role < Role::Owner && !is_home);
        let Some((member, role, _)) = others.choose(&mut self.dice).copied() else { return Some(()) };
        let next = if role == Role::Admin { Role::Member } else { Role::Admin };
        self.insist(again, async |node: Node| match node.set_role(workspace, member, next).await {
            Err(SetRoleError::IsHome) => Ok(()), // what the owner knew is old
            other => other,
        })
        .await
    }

    async fn join(&mut self) -> Option<WorkspaceId> {
        let ticket = loop {
            match self.shared.ledger.ticket() {
                Some(ticket) => break ticket,
                None => self.pause(PAUSE_MS_MAX).await,
            }
        };
        let again = |error: &JoinError| {
            matches!(error, JoinError::Unavailable(_) | JoinError::Unreachable { .. } | JoinError::Impostor)
        };
        let ticket = ticket.as_str();
        let row = self.insist(again, async |node: Node| node.join(ticket).await).await?;
        Some(row.id)
    }

    /// A session of an agent of its own in a channel: the one that is there, or a new one.
    async fn start(&mut self, workspace: WorkspaceId, index: usize) -> Option<Session> {
        let (place, agent) = (index % self.shared.plan.channels, format!("agent-{index}"));
        let name = ChannelName::parse(&channel(place)).ok()?;
        let opens = self.dice.random_ratio(1, 2);
        let purpose = format!("node {} has opened it", self.machine.index());
        let again = |error: &Refused| error.again;
        let (agent, name, purpose) = (agent.as_str(), &name, purpose.as_str());
        self.insist(again, async |node: Node| {
            match node.register_agent(workspace, agent.to_owned(), "none".to_owned(), Vec::new()).await {
                Ok(_) | Err(RegisterAgentError::Exists) => {}
                Err(error) => return Err(Refused::of(&error, error_is_passing(&error))),
            }
            if session(&node, workspace, agent).is_none() {
                if opens {
                    let agents = vec![agent.to_owned()];
                    let opened =
                        node.create_channel(workspace, name.clone(), purpose.to_owned(), agents).await;
                    opened.map_err(|error| {
                        let passing = matches!(
                            error,
                            CreateChannelError::Unavailable(_) | CreateChannelError::NotAllowed
                        );
                        Refused::of(&error, passing)
                    })?;
                } else {
                    let started = node.start_session(workspace, agent, name.clone()).await;
                    started.map_err(|error| {
                        // Who has just joined may not know yet that it was let in.
                        let passing = matches!(
                            error,
                            StartSessionError::Unavailable(_) | StartSessionError::NotAllowed
                        );
                        Refused::of(&error, passing)
                    })?;
                }
            }
            let (id, peer) = session(&node, workspace, agent)
                .ok_or_else(|| Refused::of(&"a session that was started is not there", true))?;
            let since = node.store().last_event();
            let channel = name.as_str().to_owned();
            Ok(Session { node: 0, id, peer, channel, since })
        })
        .await
        .map(|session| Session { node: self.machine.index(), ..session })
    }
}

/// Why a person is refused, and whether that passes.
#[derive(Debug)]
struct Refused {
    #[expect(dead_code, reason = "read by people, as Debug shows it")]
    why: String,
    again: bool,
}

impl Refused {
    fn of(error: &dyn Debug, again: bool) -> Self {
        Self { why: format!("{error:?}"), again }
    }
}

fn error_is_passing(error: &RegisterAgentError) -> bool {
    matches!(error, RegisterAgentError::Unavailable(_))
}

/// The active session of an agent: id and peer.
fn session(node: &Node, workspace: WorkspaceId, agent: &str) -> Option<(String, String)> {
    let view = node.store().view().ok()?;
    let row = view.workspace(&workspace.to_string()).ok()??;
    let sessions = view.sessions(&row).ok()?;
    let session = sessions
        .into_iter()
        .find(|session| session.agent_name == agent && session.state == SessionState::Active)?;
    Some((session.id, session.peer.as_str().to_owned()))
}
