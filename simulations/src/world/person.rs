//! The person at a machine, and those who speak for the sessions on it.
//!
//! People do not trust machines: an answer may be lost, a node may go down while it is asked. So
//! whatever they want, they want until they are told that it is done, and a message is said again under the
//! same id. What they were told goes into the ledger.

use std::{fmt::Debug, sync::Arc, time::Duration};

use futures::future::{join_all, poll_immediate};
use muster_actors::{
    CreateChannelError, CreateWorkspaceError, InviteError, JoinError, Node, RegisterAgentError, SendError,
    SendRequest, StartSessionError, ports::Clock,
};
use muster_protocol::{control::Role, ids::WorkspaceId, network::ChannelName};
use muster_storage::SessionState;
use rand::{RngExt, seq::IndexedRandom};
use serde_json::json;
use tokio::task::JoinHandle;

use super::{
    Machine, Shared,
    ledger::{Key, Said, Session, Told},
};
use crate::dice::{self, Dice};

/// How long a person waits for an answer at most, in milliseconds; joining may take ten seconds.
const PATIENCE_MS_MAX: u64 = 12_000;
/// How long a person waits before asking again at most, in milliseconds.
const PAUSE_MS_MAX: u64 = 600;
/// Messages that one session sends at the same moment at most.
const BURST_MAX: usize = 3;
/// How long the tickets of a world live, in seconds, and how often they are used at most.
const TICKET: (u64, u32) = (24 * 3600, 100);

/// A person; see the module.
pub(super) struct Person {
    task: JoinHandle<()>,
}

impl Person {
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
    let shared = Arc::clone(machine.shared());
    let dice = dice::dice(shared.seed, "person", &[&machine.index().to_be_bytes()]);
    let mut asker = Asker { machine: Arc::clone(machine), shared, dice };
    Person { task: tokio::spawn(async move { asker.live().await.unwrap_or_default() }) }
}

/// Somebody who asks a node.
struct Asker {
    machine: Arc<Machine>,
    shared: Arc<Shared>,
    dice: Dice,
}

impl Asker {
    // ---- asking --------------------------------------------------------------------------------

    async fn pause(&mut self, most_ms: u64) {
        let pause = Duration::from_millis(self.dice.random_range(1..=most_ms));
        self.shared.clock().sleep(pause).await;
    }

    /// Waits for an answer, unless it gets lost or patience ends.
    async fn hear<T>(&mut self, answer: impl Future<Output = T>) -> Option<T> {
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
    async fn insist<T, E: Debug, F: Future<Output = Result<T, E>>>(
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
        for index in 0..self.shared.plan.channels {
            let session = self.start(workspace, index).await?;
            self.shared.ledger.started(session.clone());
            speakers.push(Speaker::new(self, workspace, session));
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
        let (name, agent) = (ChannelName::parse(&channel(index)).ok()?, format!("agent-{index}"));
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
            let since = newest(&node, workspace, name).unwrap_or(u64::MAX);
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

/// The newest place of a channel's timeline.
fn newest(node: &Node, workspace: WorkspaceId, channel: &ChannelName) -> Option<u64> {
    let view = node.store().view().ok()?;
    let row = view.workspace(&workspace.to_string()).ok()??;
    let timeline = view.timeline(&row, channel, 0, usize::MAX).ok()?;
    Some(timeline.last().map_or(0, |(sequence, _)| *sequence))
}

/// Somebody who speaks for one session.
struct Speaker {
    asker: Asker,
    workspace: WorkspaceId,
    session: Session,
    said: usize,
}

impl Speaker {
    fn new(asker: &Asker, workspace: WorkspaceId, session: Session) -> Self {
        let parts: [&[u8]; 2] = [&asker.machine.index().to_be_bytes(), session.channel.as_bytes()];
        let asker = Asker {
            machine: Arc::clone(&asker.machine),
            shared: Arc::clone(&asker.shared),
            dice: dice::dice(asker.shared.seed, "speaker", &parts),
        };
        Self { asker, workspace, session, said: 0 }
    }

    /// Says all it has to say, spread over most of the time in which things go wrong.
    async fn speak(&mut self) {
        let plan = self.asker.shared.plan.clone();
        let mean_ms = plan.world.duration_ms / (plan.messages as u64 + 1) * 2;
        while self.said < plan.messages {
            let wait = 1 + dice::exponential(&mut self.asker.dice, mean_ms);
            self.asker.shared.clock().sleep(Duration::from_millis(wait)).await;
            let burst = self.asker.dice.random_range(1..=BURST_MAX).min(plan.messages - self.said);
            let sends: Vec<_> = (0..burst).map(|_| self.think()).collect();
            join_all(sends.into_iter().map(Sending::send)).await;
        }
    }

    /// Makes up a message.
    fn think(&mut self) -> Sending {
        self.said += 1;
        let (machine, plan) = (&self.asker.machine, &self.asker.shared.plan);
        let dice = &mut self.asker.dice;
        let key = (self.session.peer.clone(), format!("msg-{}-{}", self.session.channel, self.said));
        let thread = format!("thread_{:03}", dice.random_range(0..plan.threads));
        let read = machine.seen.newest(&self.session.channel, &thread);
        let answers = dice.random_ratio(1, 3);
        let to = if dice.random_ratio(1, 6) { visible_peer(machine, &self.session, dice) } else { None };
        let mut text = format!("{} of {}. ", self.said, key.0);
        let length = dice::exponential(dice, plan.text_bytes_max as u64 / 8) as usize;
        text.extend(std::iter::repeat_n('x', length.min(plan.text_bytes_max)));
        let said = Said {
            node: machine.index(),
            channel: self.session.channel.clone(),
            thread,
            to,
            reply_to: read.filter(|_| answers).map(|(_, id)| id),
            text,
            told: Told::Nothing,
        };
        let parts: [&[u8]; 2] = [key.0.as_bytes(), key.1.as_bytes()];
        let asker = Asker {
            machine: Arc::clone(machine),
            shared: Arc::clone(&self.asker.shared),
            dice: dice::dice(self.asker.shared.seed, "sending", &parts),
        };
        Sending { asker, workspace: self.workspace, session: self.session.id.clone(), key, said }
    }
}

/// Somebody else in the same channel.
fn visible_peer(machine: &Machine, session: &Session, dice: &mut Dice) -> Option<String> {
    let (node, channel) = (machine.node()?, ChannelName::parse(&session.channel).ok()?);
    let peers = node.peers(machine.workspace()?, Some(&channel)).ok()?;
    let others: Vec<_> = peers.iter().filter(|peer| peer.peer.as_str() != session.peer).collect();
    others.choose(dice).map(|peer| peer.peer.as_str().to_owned())
}

/// A message on its way to the node.
struct Sending {
    asker: Asker,
    workspace: WorkspaceId,
    session: String,
    key: Key,
    said: Said,
}

impl Sending {
    fn request(&self) -> SendRequest {
        SendRequest {
            session_id: self.session.clone(),
            channel: self.said.channel.clone(),
            kind: "say".to_owned(),
            surface: Some("thread".to_owned()),
            thread_id: Some(self.said.thread.clone()),
            to: self.said.to.clone(),
            reply_to: self.said.reply_to.clone(),
            body: json!({ "text": self.said.text }),
            id: Some(self.key.1.clone()),
            ..SendRequest::default()
        }
    }

    async fn send(mut self) {
        self.asker.shared.ledger.say(self.key.clone(), self.said.clone());
        let mut asked = 0;
        loop {
            if let Some(node) = self.asker.machine.node() {
                asked += 1;
                let (request, workspace) = (self.request(), self.workspace);
                let answer = self.asker.hear(async move { node.send(workspace, request).await }).await;
                match answer {
                    Some(Ok(sent)) => {
                        self.taken(sent.sequence);
                        break;
                    }
                    Some(Err(SendError::TargetNotVisible)) if asked == 1 => {
                        self.asker.shared.ledger.told_refused(&self.key);
                        return;
                    }
                    None | Some(Err(SendError::Unavailable(_) | SendError::TargetNotVisible)) => {}
                    Some(Err(error)) => {
                        return self.asker.machine.wrong(&format!("{:?} is refused: {error:?}", self.key));
                    }
                }
            }
            self.asker.pause(PAUSE_MS_MAX).await;
        }
        if self.asker.dice.random_ratio(1, 8) {
            self.repeat().await;
        }
    }

    fn taken(&self, sequence: Option<u64>) {
        let shared = &self.asker.shared;
        shared.ledger.told_taken(&self.key, sequence);
        let place = sequence.unwrap_or_default().to_be_bytes();
        shared.record("taken", &[self.key.0.as_bytes(), self.key.1.as_bytes(), &place]);
    }

    /// Says it once more, which must change nothing, or something else under its id, which must fail.
    async fn repeat(mut self) {
        self.asker.pause(PAUSE_MS_MAX * 5).await;
        let differs = self.asker.dice.random_ratio(1, 3);
        let mut request = self.request();
        if differs {
            request.body = json!({ "text": "something else" });
        }
        let Some(node) = self.asker.machine.node() else { return };
        let workspace = self.workspace;
        match self.asker.hear(async move { node.send(workspace, request).await }).await {
            Some(Ok(sent)) if !differs => self.taken(sent.sequence),
            Some(Err(SendError::IdConflict)) if differs => {}
            None | Some(Err(SendError::Unavailable(_) | SendError::TargetNotVisible)) => {}
            other => {
                let what = if differs { "something else under its id" } else { "the same again" };
                self.asker.machine.wrong(&format!("{:?}: {what} is answered {other:?}", self.key));
            }
        }
    }
}
