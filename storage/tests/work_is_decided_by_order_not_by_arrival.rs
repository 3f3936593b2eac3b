//! Work is what its messages in people's order say, on every node, whatever came first (N-43 to N-53).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use crate::support::{
    Node, START_MS, Session, forge,
    link::exchange,
    recount::{assert_counts, by_node},
    talk::{Message, Said, Voice},
};
use muster_protocol::{
    control::Role,
    ids::{LogId, SpaceId},
    network::{ReceiptStatus, WorkRefusal, WorkState, WorkspaceRef},
    operation::Operation,
};
use muster_storage::SendOutcome;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SEEDS: u64 = 12;
const MESSAGES: usize = 70;

// ---- any order --------------------------------------------------------------------------------------

/// What three nodes with two peers each wrote, two lives each, to all and to the third of them alone.
struct History {
    dice: ChaCha8Rng,
    home: Node,
    space: SpaceId,
    workspace: WorkspaceRef,
    voices: Vec<Voice>,
    logs: BTreeMap<LogId, Vec<Operation>>,
    /// Other operations in places that are taken.
    forks: Vec<Operation>,
}

impl History {
    fn begin(seed: u64) -> Self {
        let home = Node::new(1);
        let space = home.found();
        for member in [2, 3, 5] {
            Node::new(member).join(&home, space, Role::Member);
        }
        let voices = [(2, "coder"), (2, "tester"), (3, "coder"), (3, "scout"), (5, "coder"), (5, "owner")];
        let voices = voices.map(|(node, agent)| Voice::new(node, agent, "builders")).to_vec();
        let (workspace, dice) = (home.workspace_ref(space), ChaCha8Rng::seed_from_u64(seed));
        let (logs, forks) = (BTreeMap::new(), Vec::new());
        Self { dice, home, space, workspace, voices, logs, forks }
    }

    fn voice(&mut self) -> Voice {
        // Two speak most, so that there is work that goes on for long.
        let index = match self.dice.random_ratio(3, 4) {
            true => [0, 4][self.dice.random_range(0..2)],
            false => self.dice.random_range(0..self.voices.len()),
        };
        self.voices[index].clone()
    }

    fn said(&mut self) -> Said<'static> {
        match self.dice.random_range(0..20) {
            0..8 => Said::Say("well"),
            8 => Said::Capability,
            9..16 => Said::Trace(WorkState::ALL[self.dice.random_range(0..6)]),
            _ => Said::Receipt(ReceiptStatus::ALL[self.dice.random_range(0..6)]),
        }
    }

    /// An operation at the end of a log, or beside the last one.
    fn speak(&mut self, beside: bool) {
        let (from, to, said) = (self.voice(), self.voice(), self.said());
        let reader = self.voices[4].node();
        let in_room = self.dice.random_ratio(1, 3)
            && from.session.peer != to.session.peer
            && [from.node(), to.node()].contains(&reader);
        let space = if in_room { SpaceId::pair(self.space, from.node(), to.node()) } else { self.space };
        let height = if in_room { 1 } else { self.home.store.control(self.space).unwrap().height() };
        let log = LogId { space, author: from.node(), incarnation: self.dice.random_range(70..72) };
        if beside && self.logs.get(&log).is_none_or(|written| written.len() < 2) {
            return;
        }
        let written = self.logs.entry(log).or_default();
        let before = if beside { written.get(written.len() - 2) } else { written.last() };
        let ms = before.map_or(START_MS, |op| op.header().hlc.ms()) + self.dice.random_range(1..9_000);
        let id = format!("m{}", self.dice.random_range(0..90));
        let mut message = Message::new(&self.workspace, &from.session, &id, (ms / 1000) as i64, said);
        message = match self.dice.random_range(0..8) {
            _ if in_room => message.room(&to.session),
            0..5 => message.thread("thread_one"),
            5 | 6 => message.thread("thread_two"),
            _ => message.thread("thread_three"),
        };
        if !in_room && from.session.peer != to.session.peer && self.dice.random_ratio(5, 6) {
            message = message.to(&to.session);
        }
        if !matches!(said, Said::Say(_)) || self.dice.random_ratio(5, 6) {
            message = message.work(["work_one", "work_two"][self.dice.random_range(0..2)]);
        }
        let draft = message.draft(&from.identity, space);
        let op = forge(&from.identity, height, log, before, ms, draft);
        match beside {
            true => self.forks.push(op),
            false => self.logs.get_mut(&log).unwrap().push(op),
        }
    }

    /// The third node, hearing all in an order of its own, and opened again now and then or never.
    fn reader(&self, seed: u64, number: u8, reopens: bool) -> Node {
        let mut dice = ChaCha8Rng::seed_from_u64(seed * 10 + u64::from(number));
        let mut node = Node::again(5, 50 + number);
        node.learn(&self.home, self.space);
        node.now_ms.set(START_MS + 10_000_000);
        let hear = |node: &Node, ops: &[Operation]| {
            let Some(first) = ops.first() else { return };
            let me = node.identity.node();
            let others = self.voices.iter().map(Voice::node);
            let other = others.into_iter().find(|other| {
                first.header().author == *other && *other != me
                    || SpaceId::pair(self.space, me, *other) == first.header().space
            });
            node.take_from(other.unwrap_or(me), first.header().space, ops.to_vec());
        };
        let logs: Vec<_> = self.logs.values().collect();
        for _ in 0..40 {
            if reopens && dice.random_ratio(1, 10) {
                node = node.reopened();
            }
            if dice.random_ratio(1, 8) && !self.forks.is_empty() {
                let index = dice.random_range(0..self.forks.len());
                hear(&node, &self.forks[index..=index]);
                continue;
            }
            let log = logs[dice.random_range(0..logs.len())];
            // A log comes in pieces, and a piece may come twice.
            let from = dice.random_range(0..log.len());
            let to = (from + dice.random_range(1..8)).min(log.len());
            hear(&node, &log[from.saturating_sub(3)..to]);
        }
        logs.iter().for_each(|log| hear(&node, log));
        self.forks.iter().for_each(|fork| hear(&node, std::slice::from_ref(fork)));
        node
    }
}

#[test]
fn all_stores_come_to_the_same_work_in_any_order_of_arrival_n45_n47() {
    let (mut opened, mut ended, mut rooms) = (0, 0, 0);
    for seed in 0..SEEDS {
        let mut history = History::begin(seed);
        for _ in 0..MESSAGES {
            history.speak(false);
        }
        if seed % 2 == 1 {
            (0..8).for_each(|_| history.speak(true));
        }
        let readers = [0, 1, 2].map(|number| history.reader(seed, number, number == 2));
        let picture = readers[0].picture(history.space);
        let nodes: Vec<_> = history.voices.iter().map(Voice::node).collect();
        for reader in &readers {
            let other = reader.picture(history.space);
            assert!(other == picture, "seed {seed} differs:\n{}", difference(&picture, &other));
            assert_counts(reader, history.space, by_node(nodes.clone()));
        }
        for work in ["work_one", "work_two"] {
            let stands = readers.each_ref().map(|reader| reader.work(history.space, work));
            assert!(stands.iter().all(|other| *other == stands[0]), "seed {seed}: {stands:#?}");
            opened += usize::from(stands[0].is_some());
            ended += usize::from(stands[0].as_ref().is_some_and(|work| work.state.is_terminal()));
        }
        rooms += readers[0].rooms(history.space, "builders").len();
    }
    assert!(opened > 10 && ended > 5 && opened > ended && rooms > 10, "{opened} {ended} {rooms}");
}

fn difference(one: &str, other: &str) -> String {
    let lines = one.lines().zip(other.lines()).filter(|(a, b)| a != b).take(4);
    lines.map(|(a, b)| format!("- {a:.300}\n+ {b:.300}\n")).collect()
}

// ---- one node, row by row -----------------------------------------------------------------------------

fn talking() -> (Node, SpaceId, Session, Session) {
    let node = Node::new(1);
    let space = node.found();
    let (coder, tester) =
        (node.session(space, "coder", "builders"), node.session(space, "tester", "builders"));
    (node, space, coder, tester)
}

/// Opens work and sets a state of it.
fn given(node: &Node, space: SpaceId, from: &Session, to: &Session, work: &str, state: WorkState) {
    let opening = node.message(space, from, &format!("{work}-open"), Said::Say("do it"));
    sent(node.tell(space, opening.thread("thread_one").to(to).work(work)));
    if state != WorkState::Submitted {
        let trace = node.message(space, to, &format!("{work}-trace"), Said::Trace(state));
        sent(node.tell(space, trace.thread("thread_one").work(work)));
    }
}

fn sent(outcome: SendOutcome) {
    assert!(matches!(outcome, SendOutcome::Stored { .. }), "{outcome:?}");
}

fn refused(outcome: SendOutcome) -> WorkRefusal {
    match outcome {
        SendOutcome::Work(refusal) => refusal,
        other => panic!("the rules of work have nothing against it: {other:?}"),
    }
}

/// What the table of N-45 says: the state afterwards, or nothing when the message is refused.
fn by_the_table(from: WorkState, said: Said<'_>) -> Option<WorkState> {
    match said {
        _ if from.is_terminal() => None,
        Said::Trace(WorkState::Submitted) => None,
        Said::Trace(state) => Some(state),
        Said::Receipt(ReceiptStatus::Rejected) => Some(WorkState::Failed),
        Said::Receipt(ReceiptStatus::Canceled) => Some(WorkState::Canceled),
        Said::Receipt(_) => Some(from),
        _ if from == WorkState::NeedsInput => Some(WorkState::Working),
        _ => Some(from),
    }
}

#[test]
fn every_message_in_every_state_does_what_the_table_says_and_nothing_when_refused_n45_n49() {
    let (node, space, coder, tester) = talking();
    let mut acts = vec![Said::Say("and"), Said::Capability];
    acts.extend(WorkState::ALL.iter().map(|state| Said::Trace(*state)));
    acts.extend(ReceiptStatus::ALL.iter().map(|status| Said::Receipt(*status)));
    let mut open = 0;
    for (row, from) in WorkState::ALL.iter().copied().enumerate() {
        for (column, said) in acts.iter().copied().enumerate() {
            for (turn, (speaker, other)) in [(&coder, &tester), (&tester, &coder)].into_iter().enumerate() {
                let work = format!("work_{row}-{column}-{turn}");
                given(&node, space, &coder, &tester, &work, from);
                let (before, picture) = (node.work(space, &work), node.picture(space));
                assert_eq!(before.as_ref().map(|work| work.state), Some(from));
                let message = node.message(space, speaker, &format!("{work}-act"), said);
                let outcome = node.tell(space, message.thread("thread_one").to(other).work(&work));
                let expected = by_the_table(from, said);
                match expected {
                    Some(state) => {
                        sent(outcome);
                        assert_eq!(node.state(space, &work), Some(state), "{from} then {said:?}");
                    }
                    None => {
                        assert!(matches!(outcome, SendOutcome::Work(_)), "{from} then {said:?}: {outcome:?}");
                        assert_eq!(node.work(space, &work), before);
                        assert_eq!(node.picture(space), picture, "a refused message leaves no trace");
                    }
                }
                open += u64::from(!expected.unwrap_or(from).is_terminal());
                let thread = node.thread_row(space, "builders", "thread_one").unwrap();
                assert_eq!(thread.open_work_count, open, "N-52");
            }
        }
    }
    assert_counts(&node, space, by_node(vec![node.identity.node()]));
}

#[test]
fn work_is_opened_by_a_say_or_capability_with_a_target_n43() {
    let (node, space, coder, tester) = talking();
    let no_target = node.message(space, &coder, "m1", Said::Say("do it")).thread("thread_one");
    assert_eq!(refused(node.tell(space, no_target.work("work_1"))), WorkRefusal::NoTarget);
    for said in [Said::Trace(WorkState::Working), Said::Receipt(ReceiptStatus::Accepted)] {
        let report = node.message(space, &tester, "m2", said).thread("thread_one").to(&coder);
        let refusal = refused(node.tell(space, report.work("work_1")));
        assert!(matches!(refusal, WorkRefusal::Unknown { .. }));
    }
    assert!(node.work(space, "work_1").is_none());
    for (work, said) in [("work_1", Said::Say("do it")), ("work_2", Said::Capability)] {
        let opening = node.message(space, &coder, &format!("{work}-open"), said).thread("thread_one");
        sent(node.tell(space, opening.to(&tester).work(work)));
        let stands = node.work(space, work).unwrap();
        assert_eq!((&stands.opened_by, &stands.target), (&coder.peer, &tester.peer));
        assert_eq!((stands.state, stands.terminal_at), (WorkState::Submitted, None));
        assert_eq!(stands.opened_at, stands.last_activity_at);
    }
}

#[test]
fn work_stays_in_its_place_also_when_that_is_a_room_n44() {
    let (node, space, coder, tester) = talking();
    let me = node.identity.node();
    let (garden_coder, _) = (node.session(space, "coder", "garden"), node.session(space, "tester", "garden"));
    given(&node, space, &coder, &tester, "work_thread", WorkState::Working);
    let in_room = node.message(space, &coder, "room-open", Said::Say("do it")).room(&tester);
    sent(node.send_to(space, me, in_room.work("work_room")));

    let elsewhere = |id: &str| node.message(space, &coder, id, Said::Say("go on")).to(&tester);
    for (id, message) in [("e1", "work_thread"), ("e2", "work_room")] {
        let refusal = refused(node.tell(space, elsewhere(id).thread("thread_two").work(message)));
        assert!(matches!(refusal, WorkRefusal::ContainerMismatch { .. }), "{refusal:?}");
    }
    let message = node.message(space, &coder, "e3", Said::Say("go on")).room(&tester).work("work_thread");
    let refusal = refused(node.send_to(space, me, message));
    assert!(matches!(refusal, WorkRefusal::ContainerMismatch { .. }));
    let other_channel = node.message(space, &garden_coder, "e4", Said::Say("go on")).thread("thread_one");
    let refusal = refused(node.tell(space, other_channel.to(&tester).work("work_room")));
    assert!(matches!(refusal, WorkRefusal::Outsider { .. }), "who may speak is looked at first");
    let at_home = node.message(space, &tester, "e5", Said::Trace(WorkState::Completed)).room(&coder);
    sent(node.send_to(space, me, at_home.work("work_room")));
    assert_eq!(node.state(space, "work_room"), Some(WorkState::Completed));
    assert_eq!(node.state(space, "work_thread"), Some(WorkState::Working));
}

#[test]
fn only_the_two_speak_for_work_and_to_each_other_n46() {
    let (node, space, coder, tester) = talking();
    let scout = node.session(space, "scout", "builders");
    given(&node, space, &coder, &tester, "work_1", WorkState::Working);
    for said in
        [Said::Say("me too"), Said::Trace(WorkState::Completed), Said::Receipt(ReceiptStatus::Accepted)]
    {
        let message = node.message(space, &scout, "s1", said).thread("thread_one").to(&coder);
        let refusal = refused(node.tell(space, message.work("work_1")));
        assert!(matches!(refusal, WorkRefusal::Outsider { .. }));
    }
    let astray = node.message(space, &coder, "c1", Said::Say("hello")).thread("thread_one").to(&scout);
    let refusal = refused(node.tell(space, astray.work("work_1")));
    assert_eq!(refusal, WorkRefusal::WrongAddressee { other: tester.peer.clone() });
    let either = node.message(space, &coder, "c2", Said::Trace(WorkState::Canceled)).thread("thread_one");
    sent(node.tell(space, either.work("work_1")));
}

#[test]
fn a_restart_forgets_no_work_and_no_end_of_it_n47_n48_n51() {
    let (node, space, coder, tester) = talking();
    given(&node, space, &coder, &tester, "work_1", WorkState::Working);
    let before = node.work(space, "work_1");
    let node = node.reopened();
    assert_eq!(node.work(space, "work_1"), before);
    let done = node.message(space, &tester, "done", Said::Trace(WorkState::Completed)).thread("thread_one");
    let done = done.work("work_1");
    sent(node.tell(space, done.clone()));
    let node = node.reopened();
    assert_eq!(node.tell(space, done), SendOutcome::Repeated, "N-83 comes before the rules of work");
    for said in [Said::Say("one more thing"), Said::Trace(WorkState::Failed)] {
        let late = node.message(space, &coder, "late", said).thread("thread_one").to(&tester);
        let refusal = refused(node.tell(space, late.work("work_1")));
        assert_eq!(refusal, WorkRefusal::Closed { state: WorkState::Completed });
    }
}

#[test]
fn times_of_work_come_from_its_messages_and_nothing_times_it_out_n50_n53() {
    let (node, space, coder, tester) = talking();
    given(&node, space, &coder, &tester, "work_1", WorkState::NeedsInput);
    let asked = node.work(space, "work_1").unwrap();
    node.now_ms.set(node.now_ms.get() + 1_000_000_000);
    let waiting = node.work(space, "work_1").unwrap();
    assert_eq!(asked, waiting);
    let accepted = node.message(space, &tester, "r1", Said::Receipt(ReceiptStatus::Accepted));
    sent(node.tell(space, accepted.thread("thread_one").to(&coder).work("work_1")));
    assert_eq!(node.work(space, "work_1").unwrap(), asked, "no state was set, no time moves");
    let answer = node.message(space, &coder, "a1", Said::Say("yes")).thread("thread_one").to(&tester);
    let ts = answer.0.ts;
    sent(node.tell(space, answer.work("work_1")));
    let moved = node.work(space, "work_1").unwrap();
    assert_eq!(
        (moved.state, moved.last_activity_at, moved.opened_at),
        (WorkState::Working, ts, asked.opened_at)
    );
    let done = node.message(space, &coder, "d1", Said::Trace(WorkState::Failed)).thread("thread_one");
    let ts = done.0.ts;
    sent(node.tell(space, done.work("work_1")));
    let ended = node.work(space, "work_1").unwrap();
    assert_eq!((ended.terminal_at, ended.last_activity_at), (Some(ts), ts));
}

// ---- two nodes ------------------------------------------------------------------------------------------

fn two() -> (Node, Node, SpaceId, Session, Session) {
    let (ada, bob) = (Node::new(1), Node::new(2));
    let space = ada.found();
    bob.join(&ada, space, Role::Member);
    let (coder, tester) = (ada.session(space, "coder", "builders"), bob.session(space, "tester", "builders"));
    (ada, bob, space, coder, tester)
}

#[test]
fn of_two_ends_said_at_once_the_first_in_peoples_order_wins_on_both_nodes_n47() {
    let (ada, bob, space, coder, tester) = two();
    given(&ada, space, &coder, &tester, "work_1", WorkState::Submitted);
    exchange(&ada, &bob);
    bob.now_ms.set(ada.now_ms.get() + 10_000);
    let done = bob.message(space, &tester, "done", Said::Trace(WorkState::Completed)).thread("thread_one");
    sent(bob.tell(space, done.to(&coder).work("work_1")));
    ada.now_ms.set(ada.now_ms.get() + 20_000);
    let stop = ada.message(space, &coder, "stop", Said::Trace(WorkState::Canceled)).thread("thread_one");
    sent(ada.tell(space, stop.to(&tester).work("work_1")));
    assert_eq!(ada.state(space, "work_1"), Some(WorkState::Canceled), "as far as it knows");
    exchange(&ada, &bob);
    for node in [&ada, &bob] {
        assert_eq!(node.state(space, "work_1"), Some(WorkState::Completed));
        assert_eq!(node.thread(space, "builders", "thread_one").len(), 3, "both were acknowledged and stay");
    }
    assert_eq!(ada.picture(space), bob.picture(space));
    assert_eq!(bob.waiting(space, &tester).len(), 1, "what is refused where it arrives is not delivered");
    assert_eq!(ada.waiting(space, &coder).len(), 1, "what counts is");
}

#[test]
fn of_two_openings_of_one_work_the_first_in_peoples_order_is_the_work_n43() {
    let (ada, bob, space, coder, tester) = two();
    bob.now_ms.set(ada.now_ms.get() + 10_000);
    let opening = bob.message(space, &tester, "b1", Said::Say("do it")).thread("thread_bob").to(&coder);
    sent(bob.tell(space, opening.work("work_1")));
    let trace = bob.message(space, &tester, "b2", Said::Trace(WorkState::Working)).thread("thread_bob");
    sent(bob.tell(space, trace.work("work_1")));
    let opening = ada.message(space, &coder, "a1", Said::Say("do it")).thread("thread_ada").to(&tester);
    sent(ada.tell(space, opening.work("work_1")));
    exchange(&ada, &bob);
    for node in [&ada, &bob] {
        let work = node.work(space, "work_1").unwrap();
        assert_eq!((work.container.id(), work.state), ("thread_ada", WorkState::Submitted));
        let open = |thread| node.thread_row(space, "builders", thread).unwrap().open_work_count;
        assert_eq!((open("thread_ada"), open("thread_bob")), (1, 0), "N-52");
    }
    assert_eq!(ada.picture(space), bob.picture(space));
}

#[test]
fn work_of_a_room_is_unknown_to_a_third_node_and_its_id_free_there_n33_n43() {
    let (ada, bob, space, coder, tester) = two();
    let eve = Node::new(3);
    eve.join(&ada, space, Role::Member);
    let scout = eve.session(space, "scout", "builders");
    let opening = ada.message(space, &coder, "a1", Said::Say("psst")).room(&tester).work("work_1");
    sent(ada.send_to(space, bob.identity.node(), opening));
    exchange(&ada, &bob);
    exchange(&ada, &eve);
    exchange(&bob, &eve);
    assert_eq!(bob.state(space, "work_1"), Some(WorkState::Submitted));
    assert!(eve.work(space, "work_1").is_none());
    eve.now_ms.set(ada.now_ms.get() + 10_000);
    let own = eve.message(space, &scout, "e1", Said::Say("mine")).thread("thread_eve").to(&tester);
    sent(eve.tell(space, own.work("work_1")));
    exchange(&ada, &eve);
    exchange(&bob, &eve);
    for node in [&ada, &bob] {
        let work = node.work(space, "work_1").unwrap();
        assert!(work.container.direct_id().is_some(), "the one opened first is shown");
        assert_eq!(node.thread_row(space, "builders", "thread_eve").unwrap().open_work_count, 1);
        assert_eq!(node.room(space, &coder, &tester).unwrap().open_work_count, 1);
        let on = node.message(
            space,
            if node.identity.node() == ada.identity.node() { &coder } else { &tester },
            "on",
            Said::Say("on"),
        );
        let (other, to) =
            if node.identity.node() == ada.identity.node() { (&bob, &tester) } else { (&ada, &coder) };
        sent(node.send_to(space, other.identity.node(), on.room(to).work("work_1")));
    }
}

#[test]
fn late_reports_are_decided_about_however_long_the_work_was_talked_about_n45() {
    let home = Node::new(1);
    let space = home.found();
    for member in [2, 3] {
        Node::new(member).join(&home, space, Role::Member);
    }
    let (opener, target) = (Voice::new(2, "opener", "builders"), Voice::new(3, "target", "builders"));
    let (workspace, height) = (home.workspace_ref(space), home.store.control(space).unwrap().height());
    // The opener talks once a second; the target reports between two sentences, and is heard of at the end.
    let log = |from: &Voice, to: &Voice, ids: &str, said: &dyn Fn(usize) -> Said<'static>, times: &[u64]| {
        let mut ops: Vec<Operation> = Vec::new();
        let log = LogId { space, author: from.node(), incarnation: 70 };
        for (number, ms) in times.iter().enumerate() {
            let (id, ts) = (format!("{ids}{number}"), (*ms / 1000) as i64);
            let message = Message::new(&workspace, &from.session, &id, ts, said(number)).thread("thread_one");
            let draft = message.to(&to.session).work("work_1").draft(&from.identity, space);
            ops.push(forge(&from.identity, height, log, ops.last(), *ms, draft));
        }
        ops
    };
    let talk: Vec<_> = (0..1500).map(|second| START_MS + 1000 * second).collect();
    let talk = log(&opener, &target, "talk", &|_| Said::Say("and"), &talk);
    let asks = |number: usize| match number {
        99 => Said::Trace(WorkState::Failed),
        number if number % 2 == 0 => Said::Trace(WorkState::NeedsInput),
        _ => Said::Trace(WorkState::Working),
    };
    let times: Vec<_> = (0..100).map(|number| START_MS + 500 + 10_000 * number).collect();
    let reports = log(&target, &opener, "report", &asks, &times);

    let [late, early] = [4, 5].map(|seed| {
        let node = Node::new(seed);
        node.learn(&home, space);
        node.now_ms.set(START_MS + 10_000_000);
        node
    });
    late.take(space, talk.clone());
    assert_eq!(late.state(space, "work_1"), Some(WorkState::Submitted));
    late.take(space, reports[..99].to_vec());
    let stands = late.work(space, "work_1").unwrap();
    // The last of them asked, and the next sentence was the answer.
    assert_eq!(stands.state, WorkState::Working);
    assert_eq!(stands.last_activity_at, (START_MS / 1000 + 981) as i64);
    late.take(space, reports.clone());
    early.take(space, reports);
    early.take(space, talk);
    for node in [&late, &early] {
        let stands = node.work(space, "work_1").unwrap();
        assert_eq!(
            (stands.state, stands.terminal_at),
            (WorkState::Failed, Some((START_MS / 1000 + 990) as i64))
        );
        assert_eq!(node.thread_row(space, "builders", "thread_one").unwrap().open_work_count, 0);
    }
    assert_eq!(late.picture(space), early.picture(space));
}
