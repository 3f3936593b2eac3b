//! Work between two peers: opening, belonging, speaking, ending (N-43 to N-53).
//!
//! [`decide`] is the whole rule. It sees the stored record, which is the truth before and after a restart (N-51), and
//! one message, and says what the record is afterwards or why the message is refused. A refused message has no effect
//! at all (N-49), and time alone changes nothing (N-53).

use serde::{Deserialize, Serialize};

use super::body::Body;
use super::envelope::Envelope;
use super::ids::{ChannelName, PeerName, WorkId, WorkspaceRef};
use super::kinds::{Kind, ReasonCode, ReceiptStatus, WorkState};
use super::refusal::Refusal;
use super::surface::Container;

/// One piece of work. Times are Unix seconds and come from the messages' `ts` (N-50).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkRecord {
    /// Its id, unique in the workspace.
    pub work_id: WorkId,
    /// Where it is bound for life (N-44).
    pub workspace_id: WorkspaceRef,
    /// Where it is bound for life (N-44).
    pub channel: ChannelName,
    /// Where it is bound for life (N-44).
    pub container: Container,
    /// The sender of the opening message.
    pub opened_by: PeerName,
    /// The peer it was given to.
    pub target: PeerName,
    /// Where it stands.
    pub state: WorkState,
    /// When it was opened.
    pub opened_at: i64,
    /// When its state was last set, also to the same one.
    pub last_activity_at: i64,
    /// When it ended.
    pub terminal_at: Option<i64>,
}

/// What a message about work says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkAct {
    /// A say or capability: opens work, answers a question, or only talks.
    Talk,
    /// A trace that reports a state.
    Trace(WorkState),
    /// A receipt with a status.
    Receipt(ReceiptStatus),
}

/// A message as far as its work is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkMessage {
    /// The work.
    pub work_id: WorkId,
    /// Where it stands.
    pub workspace_id: WorkspaceRef,
    /// Where it stands.
    pub channel: ChannelName,
    /// Where it stands.
    pub container: Container,
    /// Who speaks.
    pub from: PeerName,
    /// Who is addressed.
    pub to: Option<PeerName>,
    /// When, in Unix seconds.
    pub ts: i64,
    /// What it says.
    pub act: WorkAct,
}

/// What an accepted message does to its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkChange {
    /// The work exists from now on.
    Opened(WorkRecord),
    /// The state was set, maybe to the same one (N-45); counts as a transition.
    Moved(WorkRecord),
    /// The message belongs to the work and leaves it as it is.
    Unchanged,
}

/// Why a message about work is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkRefusal {
    /// A receipt or trace for work nobody opened (N-43). HTTP 404; from elsewhere ignored (N-94).
    #[error("work `{work_id}` does not exist; a say or capability addressed to a peer opens it")]
    Unknown {
        /// The work.
        work_id: WorkId,
    },
    /// Work without a peer to do it (N-43). HTTP 400.
    #[error("opening work needs `to`")]
    NoTarget,
    /// Neither opener nor target speaks (N-46). HTTP 403; from elsewhere ignored (N-94).
    #[error("only {opened_by} and {target} may speak for this work")]
    Outsider {
        /// The opener.
        opened_by: PeerName,
        /// The target.
        target: PeerName,
    },
    /// A say or capability that is not addressed to the other of the two (N-46). HTTP 400.
    #[error("a message about this work has to be addressed to {other}")]
    WrongAddressee {
        /// Who should be addressed.
        other: PeerName,
    },
    /// The work belongs elsewhere (N-44). HTTP 409.
    #[error("this work belongs to {surface} `{container}` of channel `{channel}`; use a new `work_id` here",
        surface = .container.surface(), container = .container.id())]
    ContainerMismatch {
        /// Its channel.
        channel: ChannelName,
        /// Its container.
        container: Container,
    },
    /// The work has ended; the first terminal message wins (N-47). HTTP 409.
    #[error("this work is {state} and stays so; a follow-up needs a new `work_id`")]
    Closed {
        /// How it ended.
        state: WorkState,
    },
    /// A change that no state allows: back to submitted (N-45). HTTP 409.
    #[error("work cannot go from {from} to {to}")]
    ForbiddenChange {
        /// Where it stands.
        from: WorkState,
        /// Where the message wants it.
        to: WorkState,
    },
}

impl WorkRefusal {
    /// The reason code (N-93).
    pub fn reason(&self) -> ReasonCode {
        match self {
            Self::ContainerMismatch { .. } => ReasonCode::WorkContainerMismatch,
            Self::Closed { .. } => ReasonCode::WorkClosed,
            Self::ForbiddenChange { .. } => ReasonCode::Internal,
            Self::Unknown { .. } | Self::NoTarget | Self::Outsider { .. } | Self::WrongAddressee { .. } => {
                ReasonCode::Malformed
            }
        }
    }
}

impl WorkMessage {
    /// What an envelope says about work; `Ok(None)` when it names none.
    ///
    /// # Errors
    /// [`Refusal::Body`] when the body cannot be read; never for an envelope that has passed its checks.
    pub fn of(envelope: &Envelope) -> Result<Option<Self>, Refusal> {
        let (Some(work_id), Some(container)) = (&envelope.work_id, &envelope.container) else {
            return Ok(None);
        };
        let act = match envelope.kind {
            Kind::Greet | Kind::Whois => return Ok(None),
            Kind::Say | Kind::Capability => WorkAct::Talk,
            Kind::Receipt | Kind::Trace => match envelope.content()? {
                Body::Receipt(body) => WorkAct::Receipt(body.status),
                Body::Trace(body) => WorkAct::Trace(body.state),
                _ => return Ok(None),
            },
        };
        Ok(Some(Self {
            work_id: work_id.clone(),
            workspace_id: envelope.workspace_id.clone(),
            channel: envelope.channel.clone(),
            container: container.clone(),
            from: envelope.from.clone(),
            to: envelope.to.clone(),
            ts: envelope.ts,
            act,
        }))
    }
}

impl WorkRecord {
    /// The other of the two who may speak for the work (N-46); `None` for an outsider.
    pub fn other(&self, peer: &PeerName) -> Option<&PeerName> {
        match peer {
            peer if *peer == self.opened_by => Some(&self.target),
            peer if *peer == self.target => Some(&self.opened_by),
            _ => None,
        }
    }

    fn opened_by(message: &WorkMessage, target: &PeerName) -> Self {
        Self {
            work_id: message.work_id.clone(),
            workspace_id: message.workspace_id.clone(),
            channel: message.channel.clone(),
            container: message.container.clone(),
            opened_by: message.from.clone(),
            target: target.clone(),
            state: WorkState::Submitted,
            opened_at: message.ts,
            last_activity_at: message.ts,
            terminal_at: None,
        }
    }

    fn moved_to(&self, state: WorkState, ts: i64) -> Self {
        Self { state, last_activity_at: ts, terminal_at: state.is_terminal().then_some(ts), ..self.clone() }
    }
}

/// Decides what `message` does to its work, whose stored record is `record` (`None`: not seen in this workspace).
///
/// # Errors
/// [`WorkRefusal`]. Who may speak is checked first, so that an outsider learns nothing about the work's state.
pub fn decide(record: Option<&WorkRecord>, message: &WorkMessage) -> Result<WorkChange, WorkRefusal> {
    let Some(record) = record else {
        return open(message).map(WorkChange::Opened);
    };
    check_actor(record, message)?;
    let is_elsewhere = record.workspace_id != message.workspace_id
        || record.channel != message.channel
        || record.container != message.container;
    if is_elsewhere {
        let (channel, container) = (record.channel.clone(), record.container.clone());
        return Err(WorkRefusal::ContainerMismatch { channel, container });
    }
    let next = next_state(record.state, message.act)?;
    Ok(next.map_or(WorkChange::Unchanged, |state| WorkChange::Moved(record.moved_to(state, message.ts))))
}

/// The table of N-45: the state to set, or `None` for no change.
///
/// # Errors
/// [`WorkRefusal::Closed`] or [`WorkRefusal::ForbiddenChange`].
fn next_state(from: WorkState, act: WorkAct) -> Result<Option<WorkState>, WorkRefusal> {
    if from.is_terminal() {
        return Err(WorkRefusal::Closed { state: from });
    }
    match act {
        WorkAct::Trace(WorkState::Submitted) => {
            Err(WorkRefusal::ForbiddenChange { from, to: WorkState::Submitted })
        }
        WorkAct::Trace(state) => Ok(Some(state)),
        WorkAct::Receipt(ReceiptStatus::Rejected) => Ok(Some(WorkState::Failed)),
        WorkAct::Receipt(ReceiptStatus::Canceled) => Ok(Some(WorkState::Canceled)),
        WorkAct::Receipt(_) => Ok(None),
        WorkAct::Talk if from == WorkState::NeedsInput => Ok(Some(WorkState::Working)),
        WorkAct::Talk => Ok(None),
    }
}

fn open(message: &WorkMessage) -> Result<WorkRecord, WorkRefusal> {
    if message.act != WorkAct::Talk {
        return Err(WorkRefusal::Unknown { work_id: message.work_id.clone() });
    }
    let target = message.to.as_ref().ok_or(WorkRefusal::NoTarget)?;
    Ok(WorkRecord::opened_by(message, target))
}

fn check_actor(record: &WorkRecord, message: &WorkMessage) -> Result<(), WorkRefusal> {
    let Some(other) = record.other(&message.from) else {
        let (opened_by, target) = (record.opened_by.clone(), record.target.clone());
        return Err(WorkRefusal::Outsider { opened_by, target });
    };
    if message.act == WorkAct::Talk && message.to.as_ref() != Some(other) {
        return Err(WorkRefusal::WrongAddressee { other: other.clone() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::ids::ThreadId;
    use super::*;

    fn peer(name: &str) -> PeerName {
        PeerName::parse(name).unwrap()
    }

    fn message(from: &str, to: Option<&str>, act: WorkAct) -> WorkMessage {
        WorkMessage {
            work_id: WorkId::parse("work_1").unwrap(),
            workspace_id: WorkspaceRef::parse("ws_alpha").unwrap(),
            channel: ChannelName::parse("builders").unwrap(),
            container: Container::Thread(ThreadId::parse("thread_abc").unwrap()),
            from: peer(from),
            to: to.map(peer),
            ts: 200,
            act,
        }
    }

    fn record(state: WorkState) -> WorkRecord {
        let opening = WorkMessage { ts: 100, ..message("opener", Some("target"), WorkAct::Talk) };
        let open = WorkRecord::opened_by(&opening, &peer("target"));
        if state == WorkState::Submitted { open } else { open.moved_to(state, 150) }
    }

    /// What the table of N-45 says: a state to move to, no change, or refusal.
    #[derive(Debug, PartialEq)]
    enum Expected {
        Moves(WorkState),
        Stays,
        Refused,
    }

    fn by_the_table(from: WorkState, act: WorkAct) -> Expected {
        use Expected::{Moves, Refused, Stays};
        use ReceiptStatus as R;
        use WorkState as S;
        match (act, from) {
            (_, S::Completed | S::Failed | S::Canceled) => Refused,
            (WorkAct::Trace(S::Submitted), _) => Refused,
            (WorkAct::Trace(S::Working), _) => Moves(S::Working),
            (WorkAct::Trace(S::NeedsInput), _) => Moves(S::NeedsInput),
            (WorkAct::Trace(S::Completed), _) => Moves(S::Completed),
            (WorkAct::Trace(S::Failed), _) => Moves(S::Failed),
            (WorkAct::Trace(S::Canceled), _) => Moves(S::Canceled),
            (WorkAct::Receipt(R::Rejected), _) => Moves(S::Failed),
            (WorkAct::Receipt(R::Canceled), _) => Moves(S::Canceled),
            (WorkAct::Receipt(R::Accepted | R::Duplicate | R::Expired | R::Unsupported), _) => Stays,
            (WorkAct::Talk, S::NeedsInput) => Moves(S::Working),
            (WorkAct::Talk, S::Submitted | S::Working) => Stays,
        }
    }

    #[test]
    fn every_message_in_every_state_does_what_the_table_says_n45() {
        let traces = WorkState::ALL.iter().map(|state| WorkAct::Trace(*state));
        let receipts = ReceiptStatus::ALL.iter().map(|status| WorkAct::Receipt(*status));
        let acts: Vec<_> = traces.chain(receipts).chain([WorkAct::Talk]).collect();
        let mut cases = 0;
        for from in WorkState::ALL.iter().copied() {
            for act in acts.iter().copied() {
                for (speaker, addressee) in [("opener", "target"), ("target", "opener")] {
                    let seen = match decide(Some(&record(from)), &message(speaker, Some(addressee), act)) {
                        Ok(WorkChange::Moved(after)) => Expected::Moves(after.state),
                        Ok(WorkChange::Unchanged) => Expected::Stays,
                        Ok(WorkChange::Opened(_)) => panic!("known work is not opened again"),
                        Err(_) => Expected::Refused,
                    };
                    assert_eq!(seen, by_the_table(from, act), "{from} then {act:?} by {speaker}");
                    cases += 1;
                }
            }
        }
        assert_eq!(cases, 6 * 13 * 2);
    }

    #[test]
    fn a_say_with_a_target_opens_work_n43() {
        let Ok(WorkChange::Opened(work)) = decide(None, &message("opener", Some("target"), WorkAct::Talk))
        else {
            panic!("it opens");
        };
        assert_eq!((work.state, work.opened_at, work.last_activity_at), (WorkState::Submitted, 200, 200));
        assert_eq!((&work.opened_by, &work.target), (&peer("opener"), &peer("target")));
        assert_eq!(work.terminal_at, None);
    }

    #[test]
    fn nobody_opens_work_without_a_target_or_by_reporting_on_it_n43() {
        assert_eq!(decide(None, &message("opener", None, WorkAct::Talk)), Err(WorkRefusal::NoTarget));
        for act in [WorkAct::Trace(WorkState::Working), WorkAct::Receipt(ReceiptStatus::Accepted)] {
            let refused = decide(None, &message("opener", Some("target"), act));
            assert!(matches!(refused, Err(WorkRefusal::Unknown { .. })));
        }
    }

    #[test]
    fn work_is_bound_to_its_place_for_life_n44() {
        let work = record(WorkState::Working);
        let here = message("opener", Some("target"), WorkAct::Talk);
        let elsewhere = [
            WorkMessage { channel: ChannelName::parse("reviews").unwrap(), ..here.clone() },
            WorkMessage {
                container: Container::Thread(ThreadId::parse("thread_xyz").unwrap()),
                ..here.clone()
            },
            WorkMessage { workspace_id: WorkspaceRef::parse("ws_beta").unwrap(), ..here.clone() },
        ];
        for message in elsewhere {
            let refusal = decide(Some(&work), &message).unwrap_err();
            assert_eq!(refusal.reason(), ReasonCode::WorkContainerMismatch);
        }
        assert_eq!(decide(Some(&work), &here), Ok(WorkChange::Unchanged));
    }

    #[test]
    fn only_opener_and_target_speak_and_they_speak_to_each_other_n46() {
        let work = record(WorkState::Working);
        for act in
            [WorkAct::Talk, WorkAct::Trace(WorkState::Completed), WorkAct::Receipt(ReceiptStatus::Accepted)]
        {
            let refused = decide(Some(&work), &message("stranger", Some("target"), act));
            assert!(matches!(refused, Err(WorkRefusal::Outsider { .. })));
        }
        for to in [None, Some("stranger"), Some("opener")] {
            let refused = decide(Some(&work), &message("opener", to, WorkAct::Talk));
            assert_eq!(refused, Err(WorkRefusal::WrongAddressee { other: peer("target") }));
        }
        let report = message("target", None, WorkAct::Trace(WorkState::Completed));
        assert!(decide(Some(&work), &report).is_ok(), "a trace needs no addressee");
    }

    #[test]
    fn an_outsider_does_not_learn_that_work_is_closed_n94() {
        let refused = decide(Some(&record(WorkState::Completed)), &message("stranger", None, WorkAct::Talk));
        assert!(matches!(refused, Err(WorkRefusal::Outsider { .. })));
    }

    #[test]
    fn the_first_terminal_message_wins_n47() {
        let done = record(WorkState::Completed);
        let late = message("opener", Some("target"), WorkAct::Trace(WorkState::Canceled));
        let refusal = decide(Some(&done), &late).unwrap_err();
        assert_eq!(refusal, WorkRefusal::Closed { state: WorkState::Completed });
        assert_eq!(refusal.reason(), ReasonCode::WorkClosed);
    }

    #[test]
    fn going_back_to_submitted_is_a_forbidden_change_n48() {
        let back = message("target", None, WorkAct::Trace(WorkState::Submitted));
        let refusal = decide(Some(&record(WorkState::Working)), &back).unwrap_err();
        assert!(matches!(refusal, WorkRefusal::ForbiddenChange { .. }));
        assert_eq!(refusal.reason(), ReasonCode::Internal);
    }

    #[test]
    fn times_follow_the_message_that_sets_the_state_n50() {
        let work = record(WorkState::Working);
        let again = message("target", None, WorkAct::Trace(WorkState::Working));
        let Ok(WorkChange::Moved(after)) = decide(Some(&work), &again) else { panic!("re-stated") };
        assert_eq!((after.opened_at, after.last_activity_at, after.terminal_at), (100, 200, None));

        let end = message("target", None, WorkAct::Trace(WorkState::Failed));
        let Ok(WorkChange::Moved(after)) = decide(Some(&work), &end) else { panic!("ended") };
        assert_eq!(after.terminal_at, Some(200));
    }
}
