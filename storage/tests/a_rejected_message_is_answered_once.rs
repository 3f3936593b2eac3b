//! Automatic receipts: what a node answers in a peer's name, once, and what it leaves unanswered (N-91 to N-94).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support::{
    Node, START_MS, Session, forge,
    link::exchange,
    recount::{assert_counts, by_node},
    talk::{Message, Said, Voice},
};
use muster_protocol::{
    cbor::Bytes,
    control::{Entry, Role, RoleSet},
    ids::{LogId, SpaceId, StreamId},
    network::{Body, ChannelName, Envelope, Kind, ReasonCode, ReceiptStatus, WorkState, WorkspaceRef},
    operation::{self, Draft, Operation},
};
use muster_storage::SendOutcome;
use serde_json::json;

/// A home with a peer, a member with another, and a voice that writes as a second member would not: by hand.
struct Stage {
    ada: Node,
    bob: Node,
    space: SpaceId,
    coder: Session,
    eve: Voice,
    last: Option<Operation>,
}

impl Stage {
    fn set() -> Self {
        let (ada, bob) = (Node::new(1), Node::new(2));
        let space = ada.found();
        bob.join(&ada, space, Role::Member);
        Node::new(3).join(&ada, space, Role::Member);
        bob.learn_control(&ada, space);
        let coder = ada.session(space, "coder", "builders");
        Self { ada, bob, space, coder, eve: Voice::new(3, "eve", "builders"), last: None }
    }

    fn said(&self, id: &str, said: Said<'_>) -> Message {
        let ts = (self.now_ms() / 1000) as i64;
        Message::new(&self.ada.workspace_ref(self.space), &self.eve.session, id, ts, said)
    }

    fn now_ms(&self) -> u64 {
        self.last.as_ref().map_or(START_MS + 50_000, |op| op.header().hlc.ms() + 1000)
    }

    fn open_work(&mut self, work: &str) {
        let opening = self.said(&format!("{work}-open"), Said::Say("do it")).thread("thread_one");
        self.write(opening.to(&self.coder.clone()).work(work));
    }

    fn write(&mut self, message: Message) -> Operation {
        let draft = message.draft(&self.eve.identity, self.space);
        self.write_draft(draft)
    }

    /// Signs an operation of the voice and hands it to the node of the peer it is for.
    fn write_draft(&mut self, draft: Draft) -> Operation {
        let log = LogId { space: self.space, author: self.eve.node(), incarnation: 70 };
        let height = self.ada.store.control(self.space).unwrap().height();
        let op = forge(&self.eve.identity, height, log, self.last.as_ref(), self.now_ms(), draft);
        self.ada.now_ms.set(op.header().hlc.ms());
        let report = self.ada.take(self.space, vec![op.clone()]);
        assert!(report.refused.is_empty() && report.again.is_empty(), "{report:?}");
        self.last = Some(op.clone());
        op
    }

    /// The receipts that stand in the thread.
    fn receipts(&self) -> Vec<Envelope> {
        let rows = self.ada.thread(self.space, "builders", "thread_one");
        let receipts = rows.into_iter().map(|row| row.envelope).filter(|said| said.kind == Kind::Receipt);
        receipts.collect()
    }

    /// Asserts that the one receipt says this, and everything else that N-91 wants of it.
    fn answered(&self, id: &str, status: ReceiptStatus, reason: ReasonCode) {
        let receipts = self.receipts();
        assert_eq!(receipts.len(), 1, "{id}: {receipts:#?}");
        let receipt = &receipts[0];
        let Body::Receipt(body) = receipt.content().unwrap() else { panic!("no receipt") };
        assert_eq!((body.for_id.as_str(), body.status, body.reason_code), (id, status, Some(reason)));
        assert_eq!((&receipt.from, receipt.to.as_ref()), (&self.coder.peer, Some(&self.eve.session.peer)));
        let links = [&receipt.reply_to, &receipt.causation_id];
        assert!(links.iter().all(|link| link.as_ref().unwrap().as_str() == id));
        assert!(receipt.work_id.is_some());
        let rows = self.ada.thread(self.space, "builders", "thread_one");
        let row = rows.iter().find(|row| row.envelope.kind == Kind::Receipt).unwrap();
        assert_eq!((row.local, row.author), (true, self.ada.identity.node()), "in its peer's name");
    }

    fn is_counted(&self) {
        let nodes = vec![self.ada.identity.node(), self.bob.identity.node(), self.eve.node()];
        assert_counts(&self.ada, self.space, by_node(nodes));
    }
}

#[test]
fn what_has_expired_is_answered_as_expired_n91() {
    let mut stage = Stage::set();
    let late = stage.said("late", Said::Say("do it")).thread("thread_one").to(&stage.coder.clone());
    stage.write(late.work("work_1").expires((START_MS / 1000) as i64));
    stage.answered("late", ReceiptStatus::Expired, ReasonCode::Expired);
    assert!(stage.ada.waiting(stage.space, &stage.coder).is_empty());
    assert_eq!(stage.ada.state(stage.space, "work_1"), Some(WorkState::Submitted), "alike on all nodes");
    stage.is_counted();
}

#[test]
fn a_second_message_under_one_id_is_answered_as_duplicate_n91() {
    let mut stage = Stage::set();
    stage.open_work("work_1");
    stage.open_work("work_1");
    stage.answered("work_1-open", ReceiptStatus::Duplicate, ReasonCode::Duplicate);
    assert_eq!(stage.ada.waiting(stage.space, &stage.coder).len(), 1);
    assert_eq!(stage.ada.state(stage.space, "work_1"), Some(WorkState::Submitted));
}

#[test]
fn talk_about_work_that_has_ended_is_answered_as_work_closed_n91() {
    for said in [Said::Say("one more thing"), Said::Capability] {
        let mut stage = Stage::set();
        stage.open_work("work_1");
        let end = stage.said("end", Said::Trace(WorkState::Canceled)).thread("thread_one");
        stage.write(end.to(&stage.coder.clone()).work("work_1"));
        let late = stage.said("late", said).thread("thread_one").to(&stage.coder.clone());
        stage.write(late.work("work_1"));
        stage.answered("late", ReceiptStatus::Rejected, ReasonCode::WorkClosed);
        assert_eq!(
            stage.ada.waiting(stage.space, &stage.coder).len(),
            2,
            "opening and end, not what was late"
        );
        assert_eq!(stage.ada.state(stage.space, "work_1"), Some(WorkState::Canceled));
        stage.is_counted();
    }
}

#[test]
fn talk_about_work_of_another_place_is_answered_as_container_mismatch_n91() {
    for said in [Said::Say("here then"), Said::Capability] {
        let mut stage = Stage::set();
        let coder = stage.coder.clone();
        let opening = stage.said("open", Said::Say("do it")).thread("thread_two").to(&coder);
        stage.write(opening.work("work_1"));
        let astray = stage.said("astray", said).thread("thread_one").to(&coder).work("work_1");
        stage.write(astray);
        stage.answered("astray", ReceiptStatus::Rejected, ReasonCode::WorkContainerMismatch);
        assert_eq!(stage.ada.state(stage.space, "work_1"), Some(WorkState::Submitted));
        stage.is_counted();
    }
}

/// An operation whose envelope breaks a rule after its author signed it.
fn malformed(stage: &Stage, id: &str, work: &str, change: impl FnOnce(&mut Envelope)) -> Draft {
    let mut message = stage.said(id, Said::Say("text")).thread("thread_one").to(&stage.coder).work(work);
    change(&mut message.0);
    message.draft(&stage.eve.identity, stage.space)
}

#[test]
fn a_malformed_message_that_its_author_signed_is_answered_as_malformed_n91() {
    let mut stage = Stage::set();
    let bad = malformed(&stage, "bad", "work_1", |said| drop(said.body.insert("text".into(), json!(7))));
    stage.write_draft(bad);
    stage.answered("bad", ReceiptStatus::Rejected, ReasonCode::Malformed);
    assert!(stage.ada.waiting(stage.space, &stage.coder).is_empty());
    assert!(stage.ada.work(stage.space, "work_1").is_none(), "nothing was opened");

    let mut stage = Stage::set();
    stage.open_work("work_1");
    let bad = malformed(&stage, "bad", "work_1", |said| said.body.clear());
    stage.write_draft(bad);
    stage.answered("bad", ReceiptStatus::Rejected, ReasonCode::Malformed);
    assert_eq!(stage.ada.state(stage.space, "work_1"), Some(WorkState::Failed), "receipt rejected, N-45");
    stage.is_counted();
}

#[test]
fn what_its_author_did_not_sign_or_may_not_say_is_not_answered_n91() {
    let mut stage = Stage::set();
    let broken = |said: &mut Envelope| said.body.clear();
    let mut unsigned = stage.said("unsigned", Said::Say("text")).thread("thread_one").to(&stage.coder);
    broken(&mut unsigned.0);
    let unsigned = unsigned.work("work_1").0.to_json().unwrap();
    let signed = malformed(&stage, "model", "work_1", broken);
    stage.write_draft(Draft { body: unsigned, ..signed.clone() });
    // As somebody else's peer.
    let other = Voice::new(2, "tester", "builders");
    let impostor = malformed(&stage, "impostor", "work_1", |said| {
        said.from = other.session.peer.clone();
        broken(said);
    });
    stage.write_draft(impostor);
    // In another kind of operation.
    let channel = malformed(&stage, "channel", "work_1", broken);
    stage.write_draft(Draft { kind: operation::Kind::CHANNEL, ..channel });
    // For a peer that is not here, in another channel, another workspace, without work.
    let not_here = malformed(&stage, "not-here", "work_1", |said| {
        said.to = Some(other.session.peer.clone());
        broken(said);
    });
    stage.write_draft(not_here);
    let garden = malformed(&stage, "garden", "work_1", |said| {
        said.channel = ChannelName::parse("garden").unwrap();
        broken(said);
    });
    stage.write_draft(garden);
    let foreign = malformed(&stage, "foreign", "work_1", |said| {
        said.workspace_id = WorkspaceRef::parse("ws_other").unwrap();
        broken(said);
    });
    stage.write_draft(foreign);
    let idle = malformed(&stage, "idle", "work_1", |said| {
        said.work_id = None;
        broken(said);
    });
    stage.write_draft(idle);
    // In a room, but said to all.
    let mut loud = stage.said("loud", Said::Say("text")).room(&stage.coder).work("work_1");
    broken(&mut loud.0);
    let loud = loud.draft(&stage.eve.identity, stage.space);
    stage.write_draft(Draft { stream: StreamId::channel(stage.space, "builders"), ..loud });
    assert!(stage.receipts().is_empty(), "{:#?}", stage.receipts());
    assert!(stage.ada.rooms(stage.space, "builders").is_empty());
}

#[test]
fn outsiders_unknown_work_and_receipts_are_not_answered_n94() {
    let mut stage = Stage::set();
    let (coder, space) = (stage.coder.clone(), stage.space);
    let tester = stage.bob.session(space, "tester", "builders");
    stage.bob.now_ms.set(START_MS + 20_000);
    let work = stage.bob.message(space, &tester, "open", Said::Say("do it")).thread("thread_one").to(&coder);
    assert!(matches!(stage.bob.tell(space, work.work("work_1")), SendOutcome::Stored { .. }));
    stage.ada.now_ms.set(START_MS + 30_000);
    stage.bob.give(&stage.ada, space);
    assert_eq!(stage.ada.state(space, "work_1"), Some(WorkState::Submitted));
    // Outside: well-formed, twice the same, expired, malformed.
    for said in [Said::Say("me too"), Said::Capability, Said::Say("again")] {
        let outside = stage.said("outside", said).thread("thread_one").to(&coder).work("work_1");
        stage.write(outside);
    }
    let late = stage.said("late", Said::Say("me too")).thread("thread_one").to(&coder).work("work_1");
    stage.write(late.expires((START_MS / 1000) as i64));
    let bad = malformed(&stage, "bad", "work_1", |said| said.body.clear());
    stage.write_draft(bad);
    assert!(stage.receipts().is_empty(), "{:#?}", stage.receipts());
    assert_eq!(stage.ada.state(space, "work_1"), Some(WorkState::Submitted), "an outsider ends no work");
    // Unknown work, and receipts about anything.
    for said in [Said::Trace(WorkState::Working), Said::Receipt(ReceiptStatus::Rejected)] {
        for work in ["work_1", "work_unknown"] {
            let report = stage.said(&format!("{work}-{said:?}").replace(['(', ')'], "-"), said);
            stage.write(report.thread("thread_two").to(&coder).work(work));
        }
    }
    let rows = stage.ada.thread(space, "builders", "thread_two");
    assert_eq!(rows.len(), 4, "they stand in the timeline, and nothing answers them");
    assert_eq!(stage.ada.waiting(space, &coder).len(), 1, "only the opening was delivered");
    stage.is_counted();
}

#[test]
fn one_operation_is_answered_once_whatever_comes_again_n91() {
    let mut stage = Stage::set();
    let coder = stage.coder.clone();
    stage.open_work("work_1");
    let end = stage.said("end", Said::Trace(WorkState::Completed)).thread("thread_one");
    let end = stage.write(end.to(&coder).work("work_1"));
    let late = stage.said("late", Said::Say("but")).thread("thread_one").to(&coder).work("work_1");
    let late = stage.write(late);
    stage.answered("late", ReceiptStatus::Rejected, ReasonCode::WorkClosed);
    stage.ada.take(stage.space, vec![end.clone(), late.clone()]);
    stage.ada = stage.ada.reopened();
    stage.ada.take(stage.space, vec![end, late]);
    stage.answered("late", ReceiptStatus::Rejected, ReasonCode::WorkClosed);

    // A change of role takes the message back and lets it count again: decided again, answered already.
    for role in [Role::Guest, Role::Member] {
        let cut_offs = vec![(70, 2)];
        let evidence = Bytes(Vec::new());
        let set = RoleSet { node: stage.eve.node(), role: role.code(), cut_offs, evidence };
        assert!(stage.ada.force(stage.space, &Entry::RoleSet(set)).control_grew);
    }
    stage.answered("late", ReceiptStatus::Rejected, ReasonCode::WorkClosed);
    stage.is_counted();
}

#[test]
fn the_receipt_reaches_the_sender_also_in_a_room_n91() {
    let (ada, bob) = (Node::new(1), Node::new(2));
    let space = ada.found();
    bob.join(&ada, space, Role::Member);
    let (coder, tester) = (ada.session(space, "coder", "builders"), bob.session(space, "tester", "builders"));
    let (a, b) = (ada.identity.node(), bob.identity.node());
    let opening = ada.message(space, &coder, "open", Said::Say("do it")).room(&tester).work("work_1");
    assert!(matches!(ada.send_to(space, b, opening), SendOutcome::Stored { .. }));
    let on = ada.message(space, &coder, "open-2", Said::Say("do it")).thread("thread_one").to(&tester);
    assert!(matches!(ada.tell(space, on.work("work_2")), SendOutcome::Stored { .. }));
    exchange(&ada, &bob);
    // The opener goes on while the target ends both.
    bob.now_ms.set(ada.now_ms.get());
    let done = bob.message(space, &tester, "done", Said::Trace(WorkState::Completed)).room(&coder);
    assert!(matches!(bob.send_to(space, a, done.work("work_1")), SendOutcome::Stored { .. }));
    let done = bob.message(space, &tester, "done-2", Said::Trace(WorkState::Completed)).thread("thread_one");
    assert!(matches!(bob.tell(space, done.to(&coder).work("work_2")), SendOutcome::Stored { .. }));
    ada.now_ms.set(ada.now_ms.get() + 10_000);
    let late = ada.message(space, &coder, "late", Said::Say("and")).room(&tester).work("work_1");
    assert!(matches!(ada.send_to(space, b, late), SendOutcome::Stored { .. }));
    let late = ada.message(space, &coder, "late-2", Said::Say("and")).thread("thread_one").to(&tester);
    assert!(matches!(ada.tell(space, late.work("work_2")), SendOutcome::Stored { .. }));
    bob.now_ms.set(ada.now_ms.get());
    let tester_before = bob.waiting(space, &tester).len();
    exchange(&ada, &bob);
    let receipts: Vec<_> =
        ada.waiting(space, &coder).into_iter().filter(|said| said.kind == Kind::Receipt).collect();
    let about: Vec<_> = receipts.iter().map(|said| said.reply_to.as_ref().unwrap().as_str()).collect();
    assert_eq!(about.len(), 2, "{about:?}");
    assert!(about.contains(&"late") && about.contains(&"late-2"), "each in its place: {about:?}");
    assert!(receipts.iter().any(|said| said.container.as_ref().unwrap().direct_id().is_some()));
    assert_eq!(bob.waiting(space, &tester).len(), tester_before, "what was late is not delivered");
    assert_eq!(ada.picture(space), bob.picture(space));
    let nodes = vec![a, b];
    assert_counts(&ada, space, by_node(nodes.clone()));
    assert_counts(&bob, space, by_node(nodes));
}

#[test]
fn a_node_that_may_not_write_answers_nothing_n91() {
    for role in [Some(Role::Guest), None] {
        let (ada, bob) = (Node::new(1), Node::new(2));
        let space = ada.found();
        bob.join(&ada, space, Role::Member);
        let tester = bob.session(space, "tester", "builders");
        let coder = ada.session(space, "coder", "builders");
        match role {
            Some(role) => {
                let evidence = Bytes(Vec::new());
                let (node, cut_offs) = (bob.identity.node(), Vec::new());
                let set = RoleSet { node, role: role.code(), cut_offs, evidence };
                assert!(ada.force(space, &Entry::RoleSet(set)).control_grew);
            }
            None => drop(ada.remove(space, &bob)),
        }
        bob.learn_control(&ada, space);
        let late = ada.message(space, &coder, "late", Said::Say("do it")).thread("thread_one").to(&tester);
        let late = late.work("work_1").expires((START_MS / 1000) as i64);
        assert!(matches!(ada.tell(space, late), SendOutcome::Stored { .. }));
        bob.now_ms.set(ada.now_ms.get());
        bob.take(space, ada.operations(space));
        assert_eq!(bob.thread(space, "builders", "thread_one").len(), 1, "{role:?}");
        assert!(bob.heights(space).iter().all(|height| height.author != bob.identity.node()));
    }
}

#[test]
fn a_message_for_a_session_that_left_is_recorded_as_not_target_and_not_answered_n88_n91() {
    let mut stage = Stage::set();
    let (space, id) = (stage.space, stage.coder.id.clone());
    stage.ada.write(move |batch| batch.stop_session(space, &id, "done"));
    let before = stage.ada.store.last_event();
    stage.open_work("work_1");
    assert!(stage.receipts().is_empty());
    let events = stage.ada.view().events(before, 100).unwrap();
    let rejected: Vec<_> = events.iter().filter(|event| event.kind == "delivery").collect();
    assert_eq!(rejected.len(), 1, "{events:?}");
    assert_eq!(rejected[0].data["reason"], "not_target");
    assert_eq!(rejected[0].data["session_id"], stage.coder.id);
    stage.is_counted();
}
