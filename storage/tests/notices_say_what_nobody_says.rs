//! Notices: that a bot cannot answer, and that one did not, is said once, whatever arrives when.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support::{Node, forge, link::exchange};
use muster_protocol::{
    cbor::{self, Bytes, Bytes16},
    control::Role,
    fork::ForkProof,
    ids::{SpaceId, StreamId},
    invocation::{InvocationId, Trigger, machine::Status, record::InvocationSaid, runtime::RuntimeKind},
    limits,
    operation::{Draft, Kind, Operation},
    post::thread_of,
    principal::Principal,
    stream::{StreamChanged, StreamKind, StreamPart, TakesPart},
};
use muster_storage::{
    Author, Card, Claiming, Completion, NewLink, NotPosted, PostRow, Reply, StreamRow, Window,
};
use rand::{SeedableRng as _, seq::SliceRandom as _};
use ulid::Ulid;

/// A home with a bot, and a member with bob, whose bot it is.
struct Shop {
    home: Node,
    far: Node,
    space: SpaceId,
    channel: StreamId,
    bot: Principal,
    bob: Principal,
}

impl Node {
    fn rows(&self, space: SpaceId, stream: StreamId) -> Vec<PostRow> {
        self.view().posts(&self.workspace(space), stream, Window::Newest, 100).unwrap().0
    }

    /// All of a stream but for sequences, which are each node's own.
    fn shown(&self, space: SpaceId, stream: StreamId) -> Vec<PostRow> {
        let mut rows: Vec<_> = self.rows(space, stream);
        rows.iter_mut().for_each(|row| row.sequence = 0);
        rows.sort_by_key(|row| (row.created_ms, row.id));
        rows
    }

    fn notices_in(&self, space: SpaceId, stream: StreamId) -> Vec<PostRow> {
        self.rows(space, stream).into_iter().filter(|row| row.author == Author::System).collect()
    }

    /// Streams of notices on this node.
    fn streams_of_notices(&self, space: SpaceId) -> Vec<StreamRow> {
        let fits = |row: &StreamRow| Ok(row.kind == StreamKind::System);
        self.view().streams(&self.workspace(space), None, fits, 100).unwrap()
    }

    /// What the person of the only stream of notices was told.
    fn told(&self, space: SpaceId) -> Vec<String> {
        let streams = self.streams_of_notices(space);
        assert!(streams.len() <= 1, "one for each person");
        let rows = streams.iter().flat_map(|row| self.rows(space, row.id));
        rows.map(|row| row.text).collect()
    }

    /// Says things about a private stream in which all these take part.
    fn open_for(&self, space: SpaceId, stream: StreamId, parts: &[StreamPart], members: &[Principal]) {
        for part in parts {
            let changed = StreamChanged { channel: String::new(), thread: String::new(), part: part.clone() };
            assert!(self.write(move |batch| batch.change_stream(space, stream, &changed)));
        }
        for member in members {
            let principal = member.to_string();
            let takes_part = TakesPart { channel: String::new(), principal, joined: true };
            assert!(self.write(move |batch| batch.take_part(space, stream, &takes_part)));
        }
    }
}

impl Shop {
    fn new() -> Self {
        let (home, far) = (Node::new(1), Node::new(2));
        let space = home.found();
        far.join(&home, space, Role::Member);
        home.open_channel(space, "builders", "Building");
        let bob = far.user(space, "bob");
        far.name(&home, space, bob, "bob");
        let bot = home.bot(space, &bob.to_string(), "helper");
        home.name(&home, space, bot, "helper");
        home.take_part(space, "builders", bot, true);
        far.learn_control(&home, space);
        exchange(&home, &far);
        far.take_part(space, "builders", bob, true);
        exchange(&home, &far);
        Self { channel: StreamId::channel(space, "builders"), home, far, space, bot, bob }
    }

    fn pair(&self) -> SpaceId {
        self.home.pair_space(self.space, self.far.identity.node())
    }

    /// A scratchpad of bob in which the bot answers, but has no session; with its space.
    fn unlinked_pad(&self) -> (SpaceId, StreamId) {
        // The bot has a session elsewhere, so it answers in scratchpads.
        self.link();
        let space = self.space;
        let (group, pad) = self.home.write(move |batch| batch.begin_group(space)).unwrap();
        let opened = StreamPart::Opened { kind: StreamKind::Scratchpad, slug: None, by: Some(self.bob) };
        let parts = [opened, StreamPart::ActiveActor(Some(self.bot))];
        self.home.open_for(group, pad, &parts, &[self.bob, self.bot]);
        self.meet();
        (group, pad)
    }

    /// The nodes tell each other everything; what that brings about, too.
    fn meet(&self) {
        exchange(&self.home, &self.far);
        exchange(&self.home, &self.far);
    }

    /// A node that knows of the workspace and the group what is decided there, and nothing that was said.
    fn newcomer(&self, seed: u8, fresh: u8, group: SpaceId) -> Node {
        let node = Node::again(seed, fresh);
        node.learn(&self.home, self.space);
        for log in self.far.all_logs(self.pair()) {
            let other = if seed == 1 { &self.far } else { &self.home };
            node.take_from(other.identity.node(), self.pair(), log);
        }
        node.learn_control(&self.home, group);
        node
    }

    fn link(&self) -> StreamId {
        let new = NewLink {
            bot: self.bot,
            kind: RuntimeKind::PiLocal,
            instance: "a".into(),
            session: "s1".into(),
            display_name: "Work".into(),
            local_cwd: "/home/bob".into(),
        };
        let (space, dice) = (self.space, [self.home.fresh(); 20]);
        self.home.write(move |batch| batch.link_session(space, &new, dice)).unwrap().stream
    }

    /// Bob says something on his node; the bot's home hears it, and bob's node what comes of it.
    fn say(&self, stream: StreamId, text: &str) -> Ulid {
        let id = self.far.post_in(self.space, stream, self.bob, text).unwrap();
        self.meet();
        id
    }

    fn waiting(&self) -> Vec<InvocationId> {
        self.home.view().invocations_waiting(&self.home.workspace(self.space), self.bot).unwrap()
    }

    /// A runtime takes the oldest work that waits.
    fn claim(&self) -> (InvocationId, String) {
        let claiming = Claiming {
            kind: RuntimeKind::Custom,
            instance: "a".into(),
            session: None,
            triggers: Trigger::ALL.to_vec(),
            seconds: 60,
            through: None,
        };
        let (space, bot, dice) = (self.space, self.bot, [self.home.fresh(); 42]);
        let granted = self.home.write(move |batch| batch.claim_invocation(space, bot, &claiming, dice));
        let granted = granted.expect("work waits");
        (granted.id, granted.token)
    }

    fn fail(&self, reason: &'static str) -> InvocationId {
        let (space, bot, (id, token)) = (self.space, self.bot, self.claim());
        let failed =
            self.home.write(move |batch| batch.fail_invocation(space, bot, id, ("a", &token), reason));
        assert_eq!(failed, Ok(()));
        exchange(&self.home, &self.far);
        id
    }

    fn complete(&self, text: Option<&str>) {
        let reply =
            text.map(|text| Reply { text: text.into(), metadata: Vec::new(), attachments: Vec::new() });
        let (space, bot, (id, token), dice) = (self.space, self.bot, self.claim(), [self.home.fresh(); 25]);
        let completion = Completion { instance: "a".into(), token, reply };
        let done = self.home.write(move |batch| batch.complete_invocation(space, bot, id, completion, dice));
        assert!(done.is_ok());
        exchange(&self.home, &self.far);
    }

    fn sweep(&self) {
        self.home.write(|batch| batch.sweep_invocations(limits::INVOCATIONS_SWEPT_MAX));
        exchange(&self.home, &self.far);
    }
}

#[test]
fn where_the_active_bot_has_no_session_a_notice_says_so_and_nothing_waits_w66_w127_w129_w130() {
    let shop = Shop::new();
    let (group, pad) = shop.unlinked_pad();
    let question = shop.say(pad, "hello?");
    for node in [&shop.home, &shop.far] {
        let [said, notice] = &node.rows(shop.space, pad)[..] else { panic!("not a message and a notice") };
        assert_eq!((said.id, &notice.author, notice.stream), (question, &Author::System, pad));
        assert!(notice.text.contains("@helper") && notice.sequence > said.sequence, "{notice:?}");
        assert_eq!((&notice.metadata, &notice.client_id, &notice.sent_via), (&Vec::new(), &None, &None));
    }
    assert_eq!(shop.waiting(), []);
    // What is said below a message is told below it.
    let thread = StreamId::thread(pad, &thread_of(question));
    let part = StreamPart::Opened { kind: StreamKind::Thread, slug: None, by: None };
    let opened = StreamChanged { channel: String::new(), thread: thread_of(question), part };
    assert!(shop.home.write(move |batch| batch.change_stream(group, pad, &opened)));
    shop.meet();
    shop.say(thread, "and here?");
    assert_eq!(shop.far.notices_in(shop.space, thread).len(), 1);
    // The bot itself calls for nobody, and no notice for another.
    shop.home.post_in(shop.space, pad, shop.bot, "I am here all the same").unwrap();
    exchange(&shop.home, &shop.far);
    assert_eq!(shop.far.notices_in(shop.space, pad).len(), 1);
    assert_eq!(shop.waiting(), []);
}

#[test]
fn where_it_has_one_no_notice_is_needed_w127_w129() {
    let shop = Shop::new();
    let pad = shop.link();
    shop.meet();
    shop.say(pad, "hello?");
    assert_eq!((shop.waiting().len(), shop.far.notices_in(shop.space, pad)), (1, Vec::new()));
}

#[test]
fn nobody_edits_or_deletes_a_notice_w71() {
    let shop = Shop::new();
    let (_, pad) = shop.unlinked_pad();
    shop.say(pad, "hello?");
    let (space, notice) = (shop.space, shop.far.notices_in(shop.space, pad).remove(0));
    for (node, author) in [(&shop.far, shop.bob), (&shop.home, shop.bot)] {
        let id = notice.id;
        let edited = node.write(move |batch| batch.edit_post(space, id, author, "x".into(), Vec::new()));
        assert_eq!(edited, Err(NotPosted::NotTheirs));
        let deleted = node.write(move |batch| batch.delete_post(space, id, author));
        assert_eq!(deleted, Err(NotPosted::NotTheirs));
    }
    exchange(&shop.home, &shop.far);
    assert_eq!(shop.far.notices_in(space, pad), [notice]);
}

#[test]
fn whatever_order_notices_arrive_in_every_node_shows_the_same() {
    let shop = Shop::new();
    let (group, pad) = shop.unlinked_pad();
    for text in ["one", "two", "three"] {
        shop.say(pad, text);
    }
    let shown = shop.far.shown(shop.space, pad);
    assert_eq!((shown.len(), shop.home.shown(shop.space, pad)), (6, shown.clone()));
    let logs = shop.far.all_logs(group);
    let mut dice = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    for round in 0..20 {
        // Another life of bob's node hears what both said, woven into each other at random.
        let reader = shop.newcomer(2, 50 + round, group);
        let mut turns: Vec<usize> =
            logs.iter().enumerate().flat_map(|(who, log)| vec![who; log.len()]).collect();
        turns.shuffle(&mut dice);
        let mut next = vec![0; logs.len()];
        for who in turns {
            reader.take(group, vec![logs[who][next[who]].clone()]);
            next[who] += 1;
        }
        assert_eq!(reader.shown(shop.space, pad), shown, "round {round}");
    }
}

#[test]
fn a_home_that_forgot_tells_again_and_it_is_shown_once() {
    for knows in [false, true] {
        let shop = Shop::new();
        let (group, pad) = shop.unlinked_pad();
        shop.say(pad, "hello?");
        let (space, home) = (shop.space, shop.home.identity.node());
        let said = shop.home.view().log_operations(&shop.home.log(group, &shop.home)).unwrap();
        let notice = said.iter().position(|op| op.header().kind == Kind::NOTICE).unwrap();
        let (before, after) = said.split_at(if knows { said.len() } else { notice });
        let again = shop.newcomer(1, 90, group);
        for log in shop.far.all_logs(space) {
            again.take(space, log);
        }
        // The message comes back before the notice about it, or after.
        again.take(group, before.to_vec());
        again.take(group, shop.far.operations(group));
        assert_eq!(again.notices_in(space, pad).len(), 1, "it tells, or knows that it told");
        again.take(group, after.to_vec());
        assert_eq!(again.notices_in(space, pad).len(), 1);
        let is_notice = |op: &Operation| op.header().author == home && op.header().kind == Kind::NOTICE;
        let told: Vec<_> = again.all_logs(group).into_iter().flatten().filter(is_notice).collect();
        assert_eq!(told.len(), if knows { 1 } else { 2 }, "the test's own premise");
        for op in told.into_iter().filter(|op| op.header().incarnation == again.store.incarnation()) {
            shop.far.take(group, vec![op]);
        }
        assert_eq!(shop.far.shown(space, pad), again.shown(space, pad));
        assert_eq!(shop.far.notices_in(space, pad).len(), 1);
    }
}

#[test]
fn a_notice_that_no_longer_counts_is_taken_back() {
    let shop = Shop::new();
    let (group, pad) = shop.unlinked_pad();
    shop.say(pad, "hello?");
    let (space, log) = (shop.space, shop.home.log(group, &shop.far));
    let said = shop.far.view().log_operations(&log).unwrap();
    let notice = said.iter().position(|op| op.header().kind == Kind::NOTICE).unwrap();
    let draft = Draft { kind: Kind(999), stream: pad, body: b"something else".to_vec() };
    let header = said[notice].header();
    let (at_ms, height) = (header.hlc.ms(), header.control_height);
    let other = forge(&shop.home.identity, height, log, said.get(notice - 1), at_ms, draft);
    let proof = ForkProof::of(&said[notice], &other).unwrap();
    let seq = said[notice].header().seq;
    shop.far.write(move |batch| batch.freeze(&proof, &log, seq));
    assert_eq!(shop.far.notices_in(space, pad), []);
    let id = notice_id(&said[notice]);
    assert!(shop.far.view().post_ever(&shop.far.workspace(space), id).unwrap().is_none(), "without a trace");
    assert_eq!(shop.far.rows(space, pad).len(), 1);
}

fn pass(node: &Node, ms: u64) {
    node.now_ms.set(node.now_ms.get() + ms);
}

fn notice_id(op: &Operation) -> Ulid {
    cbor::decode::<muster_protocol::notice::Notice>(op.body().unwrap(), limits::BODY_BYTES_MAX)
        .unwrap()
        .ulid()
}

#[test]
fn who_summoned_a_bot_in_vain_is_told_by_their_own_home_in_a_stream_of_their_own_w75() {
    let shop = Shop::new();
    let eve = shop.far.user(shop.space, "eve");
    shop.far.name(&shop.home, shop.space, eve, "eve");
    let message = shop.say(shop.channel, "@helper, one");
    assert_eq!(shop.far.told(shop.space), Vec::<String>::new(), "it may be answered yet");
    shop.fail("no disk");
    let told = shop.far.told(shop.space);
    assert_eq!(told.len(), 1);
    for part in ["@helper", "#builders", "> no disk", &format!("msg_{message}")] {
        assert!(told[0].contains(part), "{told:?}");
    }
    assert!(shop.home.streams_of_notices(shop.space).is_empty(), "it is bob's, on his node alone");
    let (view, workspace) = (shop.far.view(), shop.far.workspace(shop.space));
    let stream = shop.far.streams_of_notices(shop.space).remove(0);
    assert_eq!((stream.is_public, stream.live), (false, 1));
    let reads = |who| view.may_read(&workspace, &stream, who).unwrap();
    assert_eq!((reads(shop.bob), reads(eve), reads(shop.bot)), (true, false, false));
    for (who, refusal) in [(shop.bob, NotPosted::System), (eve, NotPosted::UnknownStream)] {
        assert_eq!(shop.far.post_in(shop.space, stream.id, who, "but"), Err(refusal));
    }
    // Another failure is another notice in the same stream, and what was told is not told again.
    shop.say(shop.channel, "@helper, two");
    shop.fail("");
    exchange(&shop.home, &shop.far);
    assert_eq!(shop.far.told(shop.space).len(), 2);
    let far = shop.far.reopened();
    assert_eq!(far.told(shop.space).len(), 2);
}

#[test]
fn what_is_parked_or_expires_is_told_and_what_is_answered_left_silent_or_cancelled_is_not_w131_w137_w151() {
    let shop = Shop::new();
    shop.say(shop.channel, "@helper, answered");
    shop.complete(Some("Yes."));
    shop.say(shop.channel, "@helper, left silent");
    shop.complete(None);
    let gone = shop.say(shop.channel, "@helper, gone");
    let (space, bob) = (shop.space, shop.bob);
    shop.far.write(move |batch| batch.delete_post(space, gone, bob)).unwrap();
    exchange(&shop.home, &shop.far);
    assert_eq!(shop.far.told(shop.space), Vec::<String>::new());

    shop.say(shop.channel, "@helper, parked");
    for _ in 0..limits::INVOCATION_ATTEMPTS_MAX {
        shop.claim();
        pass(&shop.home, 61_000);
        pass(&shop.far, 61_000);
        shop.sweep();
    }
    shop.say(shop.channel, "@helper, expired");
    for node in [&shop.home, &shop.far] {
        pass(node, limits::INVOCATION_WAIT.as_millis() as u64 + 1000);
    }
    shop.sweep();
    let told = shop.far.told(shop.space);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("again and again") && told[1].contains("in time"), "{told:?}");
}

#[test]
fn a_bot_of_the_same_node_that_fails_is_told_of_too() {
    let shop = Shop::new();
    let ada = shop.home.user(shop.space, "ada");
    shop.home.name(&shop.home, shop.space, ada, "ada");
    shop.home.take_part(shop.space, "builders", ada, true);
    let card = shop.home.view().bot(&shop.home.workspace(shop.space), shop.bot).unwrap().unwrap().card;
    let (space, shared) = (shop.space, muster_protocol::principal::BotCard { owner: String::new(), ..card });
    assert!(shop.home.write(move |batch| batch.put_card(space, &Card::Bot(shared))));
    shop.home.post_in(shop.space, shop.channel, ada, "@helper").unwrap();
    shop.fail("no disk");
    assert_eq!((shop.home.told(shop.space).len(), shop.far.told(shop.space).len()), (1, 0));
}

#[test]
fn an_end_is_told_once_whether_the_message_or_its_end_comes_back_first() {
    let shop = Shop::new();
    shop.say(shop.channel, "@helper");
    shop.fail("no disk");
    let told = shop.far.told(shop.space);
    let of = |node: &Node| node.operations(shop.space);
    for end_first in [false, true] {
        // Bob's node lost its store, and hears again what it and the others said.
        let again = Node::again(2, 90 + u8::from(end_first));
        again.learn(&shop.home, shop.space);
        let mut logs = [of(&shop.far), of(&shop.home)];
        if end_first {
            logs.reverse();
        }
        for log in &logs {
            again.take(shop.space, log.clone());
        }
        assert_eq!(again.told(shop.space), told, "the end first: {end_first}");
        for log in logs {
            again.take(shop.space, log);
        }
        assert_eq!(again.told(shop.space), told);
    }
}

#[test]
fn a_bots_home_cannot_make_up_ends_of_what_nobody_summoned() {
    let shop = Shop::new();
    let message = shop.say(shop.channel, "not to the bot");
    let source = shop.far.operations(shop.space).pop().unwrap();
    assert_eq!(source.header().kind, Kind::POST);
    let said = |id: InvocationId, trigger: Trigger| InvocationSaid {
        id: Bytes16(id.0.to_bytes()),
        bot: shop.bot.to_string(),
        source: source.id(),
        trigger: trigger.as_str().into(),
        channel: "builders".into(),
        message: Bytes16(message.to_bytes()),
        status: Status::Failed as u8,
        attempt: 1,
        reply: Bytes::default(),
        reason: "you will hear this".into(),
    };
    let log = shop.home.log(shop.space, &shop.home);
    let mut last = shop.home.operations(shop.space).pop().unwrap();
    let height = shop.home.store.control(shop.space).unwrap().height();
    let mut forged = |said: &InvocationSaid| {
        let draft = Draft { kind: Kind::INVOCATION, stream: shop.channel, body: cbor::encode(said) };
        let at_ms = last.header().hlc.ms() + 1000;
        last = forge(&shop.home.identity, height, log, Some(&last), at_ms, draft);
        shop.far.take(shop.space, vec![last.clone()]);
    };
    let at_ms = source.header().hlc.ms();
    for shift in 1..4 {
        let id = InvocationId::new(at_ms + shift, source.id(), shop.bot, Trigger::Mention);
        forged(&said(id, Trigger::Mention));
    }
    assert_eq!(shop.far.told(shop.space), Vec::<String>::new(), "no id but one is of that message");
    // What is the message's own it may say, once for each trigger.
    for _ in 0..2 {
        let id = InvocationId::new(at_ms, source.id(), shop.bot, Trigger::Mention);
        forged(&said(id, Trigger::Mention));
    }
    assert_eq!(shop.far.told(shop.space).len(), 1);
}
