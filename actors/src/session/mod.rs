//! One session with a program behind it: hands it what comes, one envelope at a time, and sends what it says.
//!
//! A session whose provider is `none` has no such actor: its inbox waits for whoever reads it (N-104).
//!
//! # What a program sees
//!
//! Lines of JSON on its standard input, one object each. An envelope is marked untrusted, because text from
//! peers is data (N-78): the body comes in base64 only, beside a plain preview of at most 160 characters.
//!
//! ```json
//! {"type":"envelope","trust":"untrusted","preview":"Who runs the smoke test?","body_base64":"eyJ0ZXh0…","envelope":{"id":"msg_…","from":"planner.sess-…",…}}
//! ```
//!
//! # What a program says
//!
//! Lines of JSON on its standard output:
//!
//! * `{"type":"send","body":{"text":"I do"}}` sends a message as the session. It takes the members of the Network
//!   door's `send`, without `session_id`. What is left out makes it an answer to the envelope in hand: same
//!   channel, kind `say`, same thread or room, `to` its sender, `reply_to` its id; `"to":null` speaks to all.
//!   The answer is `{"type":"sent","id":…,"repeated":false}` or `{"type":"refused","error":…}`.
//! * `{"type":"done"}` is through with the envelope, which counts as delivered (N-99); the next one comes.
//! * `{"type":"ready"}` says that it is up, so that whoever starts the session does not wait
//!   [`limits::PROGRAM_SETTLE`] to see whether it stays up.
//!
//! Any other line is answered with `refused` and changes nothing; too long a line ends the program. What it
//! writes to standard error goes to the node's log. Lines are read one by one: what was said before `done` is
//! stored before the envelope leaves the inbox.
//!
//! # When something fails
//!
//! A program that ends while it has an envelope in hand, or before it did anything, failed: the envelope goes
//! back to the front, and the program is started again after 250 ms, doubling to 5 s (N-100). The session
//! shows the failure until an envelope is done. After [`limits::PROGRAM_FAILURES_MAX`] failures in a row it
//! is shown as failed and tried on, at the slowest pace: what the program lacks may come back, and whether it is
//! worth waiting for is for its owner to say. Status 77 means that its credentials were refused (N-117). One that ends
//! with status 0 after it was through with an envelope did well, and is started again for the next.
//!
//! Handing over is at least once: what was in hand when node or program crashed comes again. A `send` without
//! an id of its own gets one made of envelope, session and its place among the answers, so an answer that was
//! stored before is `repeated` instead of said twice (N-83), also when the program words it differently.

mod lines;
mod starting;

use std::{sync::Arc, time::Duration};

use muster_protocol::{
    ids::{SpaceId, WorkspaceId},
    limits,
    network::Envelope,
};
use muster_storage::{HandedOver, ProgramFailure};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, concurrency::JoinHandle, rpc::CallResult};
use tokio::sync::{mpsc, oneshot};

use crate::{
    context::{ActiveSession, Context, SessionEntry, lock},
    error::{SendError, Unavailable},
    ports::{Ending, Program, ProgramEvent, ProgramPlace},
};

pub(crate) use starting::{Settled, StartingSession};

use lines::{Line, Wish};

/// The status with which a program says that its credentials were refused (EX_NOPERM of sysexits.h).
const CREDENTIALS_REFUSED: i32 = 77;

/// How a session with a program stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Its program was not up yet since the node started.
    Starting,
    /// Its program runs.
    Serving,
    /// Its program failed, and is started again soon.
    Pausing,
    /// It was stopped, and its program is ending.
    Stopping,
}

/// Whether a program that ended so says that its credentials were refused.
fn credentials_refused(ending: Ending) -> bool {
    ending == Ending::Exit(CREDENTIALS_REFUSED)
}

/// How a program ended, for people; nothing of what it said.
fn ended(ending: Ending) -> String {
    match ending {
        Ending::Exit(CREDENTIALS_REFUSED) => "its credentials were refused (status 77)".to_owned(),
        Ending::Exit(status) => {
            format!("the program ended with status {status}; the node's log has what it wrote")
        }
        Ending::Killed => "the program was killed by a signal".to_owned(),
        Ending::LineTooLong => {
            format!("the program wrote a line of more than {} bytes", limits::PROGRAM_LINE_BYTES_MAX)
        }
    }
}

/// What a session is told.
pub(crate) enum SessionMessage {
    /// Something may wait for it.
    Mail,
    /// What the writer handed over, in this life of the program.
    Taken(u64, Option<Box<HandedOver>>),
    /// The program was started, or not.
    Started(Result<Program, String>),
    /// The program wrote a line; the reply is what to answer.
    Said { life: u64, line: Vec<u8>, reply: RpcReplyPort<Option<Vec<u8>>> },
    /// The program ended.
    Ended { life: u64, ending: Ending },
    /// It is time to start the program.
    Start,
    /// The session was stopped: end the program, and rest.
    Stop,
}

/// The actor.
pub(crate) struct Session;

/// Which session, and its program if that runs already.
pub(crate) struct Beginning {
    pub(crate) context: Arc<Context>,
    pub(crate) space: SpaceId,
    pub(crate) workspace: WorkspaceId,
    pub(crate) id: String,
    pub(crate) session: ActiveSession,
    pub(crate) program: Option<Settled>,
}

/// The program that runs. Dropping it lets the program go.
struct Running {
    input: mpsc::Sender<Vec<u8>>,
    hold: Option<oneshot::Sender<()>>,
    pump: JoinHandle<()>,
    since_ms: u64,
    done: u64,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

/// The envelope the program works on.
struct InHand {
    number: u64,
    envelope: Arc<Envelope>,
    /// Answers without an id of their own.
    answers: u64,
}

pub(crate) struct State {
    context: Arc<Context>,
    space: SpaceId,
    workspace: WorkspaceId,
    id: String,
    session: ActiveSession,
    running: Option<Running>,
    /// Counts the programs, so that what an earlier one did is not taken for the present one's.
    life: u64,
    in_hand: Option<InHand>,
    /// The envelope it is through with, until the writer was told.
    finished: Option<u64>,
    /// Whether the writer was asked for the next envelope and has not answered, and whether to ask again then.
    taking: bool,
    take_again: bool,
    /// In a row.
    failures: u64,
    stopping: bool,
}

impl Actor for Session {
    type Msg = SessionMessage;
    type State = State;
    type Arguments = Beginning;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        new: Beginning,
    ) -> Result<State, ActorProcessingErr> {
        let key = (new.space, new.id.clone());
        lock(&new.context.programs).insert(key, SessionEntry::new(myself.clone()));
        let mut state = State {
            context: new.context,
            space: new.space,
            workspace: new.workspace,
            id: new.id,
            session: new.session,
            running: None,
            life: 0,
            in_hand: None,
            finished: None,
            taking: false,
            take_again: false,
            failures: 0,
            stopping: false,
        };
        // One that was stopped meanwhile could not be told: it is not in the table of those at work any more.
        if !lock(&state.context.sessions).contains_key(&(state.space, state.id.clone())) {
            myself.stop(None);
            return Ok(state);
        }
        match new.program {
            Some(settled) => state.begin(&myself, settled.program, settled.first),
            None => state.start(&myself),
        }
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SessionMessage::Mail => {
                state.heard_of_mail();
                state.take(&myself);
            }
            SessionMessage::Taken(life, handed) => state.taken(&myself, life, handed),
            SessionMessage::Started(_) if state.stopping => myself.stop(None),
            SessionMessage::Started(Ok(program)) => state.begin(&myself, program, None),
            SessionMessage::Started(Err(cause)) => {
                state.fail(&myself, "startup_failure", format!("the program cannot be started: {cause}"));
            }
            SessionMessage::Said { life, line, reply } => state.said(&myself, life, &line, reply),
            SessionMessage::Ended { life, ending } => state.ended(&myself, life, ending),
            SessionMessage::Start => state.start(&myself),
            SessionMessage::Stop => state.stop(&myself),
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        myself: ActorRef<Self::Msg>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.context.forget_session(state.space, &state.id, &myself);
        Ok(())
    }
}

impl State {
    // ---- the program ----------------------------------------------------------------------------

    fn start(&mut self, myself: &ActorRef<SessionMessage>) {
        if self.stopping || self.running.is_some() {
            return;
        }
        if !self.context.ports.programs.knows(&self.session.provider) {
            // The settings are read once: nothing changes before the node is started again.
            let summary = format!(
                "the settings of this node name no provider `{0}`; add [providers.{0}] to muster.toml and start the \
                 node again",
                self.session.provider
            );
            self.failures = limits::PROGRAM_FAILURES_MAX;
            return self.note_failure("startup_failure", summary);
        }
        let place = ProgramPlace {
            session_id: self.id.clone(),
            peer_id: self.session.peer.as_str().to_owned(),
            channel: self.session.channel.as_str().to_owned(),
            workspace_id: self.workspace.to_string(),
        };
        let started = self.context.ports.programs.start(&self.session.provider, place);
        let myself = myself.clone();
        ractor::concurrency::spawn(async move {
            let started = started.await.map_err(|cause| cause.to_string());
            // A session that is gone meanwhile lets the program go.
            let _ = myself.cast(SessionMessage::Started(started));
        });
    }

    fn begin(&mut self, myself: &ActorRef<SessionMessage>, program: Program, first: Option<ProgramEvent>) {
        let Program { input, output, hold } = program;
        self.life += 1;
        let pump = pump(myself.clone(), self.life, input.clone(), first, output);
        self.running = Some(Running {
            input,
            hold: Some(hold),
            pump: ractor::concurrency::spawn(pump),
            since_ms: self.context.monotonic_ms(),
            done: 0,
        });
        self.phase(Phase::Serving);
        self.take(myself);
    }

    fn ended(&mut self, myself: &ActorRef<SessionMessage>, life: u64, ending: Ending) {
        if life != self.life {
            return;
        }
        let done = self.running.take().map_or(0, |running| self.rested(&running));
        if self.stopping {
            return myself.stop(None);
        }
        if ending == Ending::Exit(0) && done > 0 && self.in_hand.is_none() {
            self.phase(Phase::Pausing);
            return self.start_after(myself, limits::PROGRAM_RETRY_MIN);
        }
        let kind = match ending {
            _ if credentials_refused(ending) => "provider_auth_failure",
            Ending::LineTooLong => "protocol_failure",
            Ending::Exit(_) | Ending::Killed => "process_exit",
        };
        self.fail(myself, kind, ended(ending));
    }

    /// How many envelopes a program was through with; one that lived long had no failure before.
    fn rested(&mut self, running: &Running) -> u64 {
        const STEADY_MS: u64 = limits::PROGRAM_STEADY.as_millis() as u64;
        if self.context.monotonic_ms() >= running.since_ms.saturating_add(STEADY_MS) {
            self.failures = 0;
        }
        running.done
    }

    /// The program is gone, or never came: try again later (N-100).
    fn fail(&mut self, myself: &ActorRef<SessionMessage>, kind: &str, summary: String) {
        if let Some(running) = self.running.take() {
            self.rested(&running);
        }
        self.failures += 1;
        self.note_failure(kind, summary);
        self.start_after(myself, pause(self.failures));
    }

    fn note_failure(&mut self, kind: &str, summary: String) {
        tracing::warn!(session = self.id, provider = self.session.provider, failures = self.failures, %summary, "a program failed");
        self.in_hand = None;
        self.phase(Phase::Pausing);
        let failure = ProgramFailure { kind: kind.to_owned(), summary, in_a_row: self.failures };
        let (space, id, news) = (self.space, self.id.clone(), self.failures == limits::PROGRAM_FAILURES_MAX);
        // What cannot be noted now is seen in the log, and at the next failure.
        let _ = self.write(move |batch| batch.session_failed(space, &id, &failure, news), |()| {});
    }

    fn start_after(&self, myself: &ActorRef<SessionMessage>, pause: Duration) {
        myself.send_after(pause, || SessionMessage::Start);
    }

    fn stop(&mut self, myself: &ActorRef<SessionMessage>) {
        self.stopping = true;
        self.in_hand = None;
        self.phase(Phase::Stopping);
        match &mut self.running {
            Some(running) => drop(running.hold.take()),
            None => myself.stop(None),
        }
    }

    fn phase(&self, phase: Phase) {
        if let Some(entry) = lock(&self.context.programs).get_mut(&(self.space, self.id.clone())) {
            entry.phase = phase;
        }
    }

    // ---- the inbox --------------------------------------------------------------------------------

    fn heard_of_mail(&self) {
        if let Some(entry) = lock(&self.context.programs).get_mut(&(self.space, self.id.clone())) {
            entry.told = false;
        }
    }

    /// Asks the writer for the next envelope when the program is idle, and returns the one it is through with.
    fn take(&mut self, myself: &ActorRef<SessionMessage>) {
        if self.taking {
            self.take_again = true;
            return;
        }
        if self.running.is_none() || self.in_hand.is_some() || self.stopping {
            return;
        }
        let (space, id, life, finished) = (self.space, self.id.clone(), self.life, self.finished);
        let session = myself.clone();
        let asked = self.write(
            move |batch| batch.hand_over(space, &id, finished),
            move |handed| {
                // A session that is gone takes it again when it comes back.
                let _ = session.cast(SessionMessage::Taken(life, handed.map(Box::new)));
            },
        );
        if asked {
            (self.taking, self.take_again, self.finished) = (true, false, None);
        } else {
            myself.send_after(limits::PROGRAM_RETRY_MIN, || SessionMessage::Mail);
        }
    }

    fn taken(&mut self, myself: &ActorRef<SessionMessage>, life: u64, handed: Option<Box<HandedOver>>) {
        self.taking = false;
        let Some(handed) = handed.filter(|_| life == self.life && !self.stopping) else {
            if self.take_again || life != self.life {
                self.take(myself);
            }
            return;
        };
        let HandedOver { number, envelope } = *handed;
        let Some(running) = &self.running else { return };
        let line = lines::envelope(&envelope);
        self.in_hand = Some(InHand { number, envelope: Arc::new(envelope), answers: 0 });
        if let Err(mpsc::error::TrySendError::Full(_)) = running.input.try_send(line) {
            let summary = "the program writes and does not read what it is answered".to_owned();
            self.fail(myself, "protocol_failure", summary);
        }
        // One that has just ended says so, and then the envelope goes back.
    }

    /// Writes; false when the writer takes nothing now.
    fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut muster_storage::Batch<'_>) -> Result<T, muster_storage::StoreError>
        + Send
        + 'static,
        reply: impl FnOnce(T) + Send + 'static,
    ) -> bool {
        let taken = self.context.store.write(self.context.wall_ms(), work, reply);
        if let Err(error) = &taken {
            tracing::warn!(session = self.id, %error, "a session could not write");
        }
        taken.is_ok()
    }

    // ---- what the program says ------------------------------------------------------------------

    fn said(
        &mut self,
        myself: &ActorRef<SessionMessage>,
        life: u64,
        line: &[u8],
        reply: RpcReplyPort<Option<Vec<u8>>>,
    ) {
        if life != self.life || self.stopping {
            return drop(reply);
        }
        let answer = match lines::read(line) {
            Ok(Line::Ready) => None,
            Ok(Line::Done) => self.done(myself),
            Ok(Line::Send(send)) => {
                let answers = self.in_hand.as_mut().map(|hand| {
                    hand.answers += 1;
                    (hand.envelope.clone(), hand.answers - 1)
                });
                let answers = answers.as_ref().map(|(envelope, number)| (&**envelope, *number));
                let wish = send.wish(&self.id, self.session.channel.as_str(), answers);
                let (context, workspace) = (self.context.clone(), self.workspace);
                ractor::concurrency::spawn(async move {
                    let answer = send_wish(&context, workspace, wish).await;
                    // The program may be gone; what it said is stored all the same.
                    let _ = reply.send(Some(answer));
                });
                return;
            }
            Err(error) => {
                self.context.counters.rejected(None);
                tracing::debug!(
                    session = self.id,
                    bytes = line.len(),
                    "a program wrote a line that is none of ours"
                );
                Some(lines::refused(&error))
            }
        };
        let _ = reply.send(answer); // the pump ends only with the program
    }

    fn done(&mut self, myself: &ActorRef<SessionMessage>) -> Option<Vec<u8>> {
        let Some(InHand { number, .. }) = self.in_hand.take() else {
            return Some(lines::refused("there is no envelope in hand"));
        };
        self.failures = 0;
        if let Some(running) = &mut self.running {
            running.done += 1;
        }
        self.finished = Some(number);
        self.take(myself);
        None
    }
}

/// Sends what a program wants said; the answer is a line for it.
async fn send_wish(context: &Arc<Context>, workspace: WorkspaceId, wish: Wish) -> Vec<u8> {
    let Wish { mut request, own_id, may_go_to_all } = wish;
    let mut pauses = 0;
    loop {
        match context.send(workspace, request.clone()).await {
            Ok(sent) => return lines::sent(sent.envelope.id.as_str(), sent.sequence.is_none()),
            // It answered this envelope in another life, in other words perhaps. That counts.
            Err(SendError::IdConflict) if own_id => {
                return lines::sent(request.id.as_deref().unwrap_or_default(), true);
            }
            // Who asked is away, or was not heard of since this node started: the thread keeps the answer.
            Err(SendError::TargetNotVisible) if may_go_to_all && request.to.is_some() => request.to = None,
            Err(SendError::Unavailable(Unavailable::Busy)) if pauses < SEND_RETRIES_MAX => {
                pauses += 1;
                context.ports.clock.sleep(limits::PROGRAM_RETRY_MIN).await;
            }
            Err(error) => return lines::refused(&error.to_string()),
        }
    }
}

/// How often a program's message is tried while the node is busy; it waits meanwhile.
const SEND_RETRIES_MAX: u32 = 20;

/// How long to wait after so many failures in a row (N-100).
fn pause(failures: u64) -> Duration {
    let doublings = u32::try_from(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    limits::PROGRAM_RETRY_MIN.saturating_mul(2u32.saturating_pow(doublings)).min(limits::PROGRAM_RETRY_MAX)
}

/// Carries what a program does to its session, line by line: the next one is read when this one is answered.
async fn pump(
    session: ActorRef<SessionMessage>,
    life: u64,
    input: mpsc::Sender<Vec<u8>>,
    mut first: Option<ProgramEvent>,
    mut output: mpsc::Receiver<ProgramEvent>,
) {
    loop {
        let event = match first.take() {
            Some(event) => event,
            None => output.recv().await.unwrap_or(ProgramEvent::Ended(Ending::Killed)),
        };
        match event {
            ProgramEvent::Line(line) => {
                let said = session.call(|reply| SessionMessage::Said { life, line, reply }, None).await;
                if let Ok(CallResult::Success(Some(answer))) = said {
                    // One that has ended needs no answer, and says next that it has.
                    let _ = input.send(answer).await;
                }
            }
            ProgramEvent::Ended(ending) => {
                // A session that is gone has let its program go.
                let _ = session.cast(SessionMessage::Ended { life, ending });
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_from_250_ms_to_5_s_n100() {
        let pauses = [1, 2, 3, 4, 5, 6, 7, u64::MAX].map(|failures| pause(failures).as_millis());
        assert_eq!(pauses, [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000, 5_000]);
    }
}
