//! Messages summon bots, and each summons is worked on by one runtime at a time, whatever happens in between.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;

use crate::support::{Node, link::exchange_all};
use muster_protocol::{
    ask::work::{Act, ClaimAsked, HolderAsked, WorkAnswer, WorkRefused, WorkRequest},
    cbor::Bytes32,
    control::Role,
    ids::{SpaceId, StreamId},
    invocation::{
        InvocationId, Trigger,
        machine::{NotHeld, Status},
        runtime::{RuntimeKind, RuntimeStatus},
    },
    key::Scope,
    limits,
    principal::Principal,
    stream::{StreamChanged, StreamPart},
};
use muster_storage::{
    Claiming, Completion, Granted, InvocationRow, LinkRow, NewKey, NewLink, NewStep, NotCompleted, NotLinked,
    NotPosted, Reply, RuntimeSaid, Window,
};
use ulid::Ulid;

/// A workspace of one node with a person and a bot in `builders`.
struct Shop {
    node: Node,
    space: SpaceId,
    channel: StreamId,
    ada: Principal,
    bot: Principal,
}

impl Shop {
    fn new() -> Self {
        let node = Node::new(1);
        let space = node.found();
        node.open_channel(space, "builders", "Building");
        let ada = node.user(space, "ada");
        node.name(&node, space, ada, "ada");
        let bot = node.bot(space, &ada.to_string(), "helper");
        node.name(&node, space, bot, "helper");
        for principal in [ada, bot] {
            node.take_part(space, "builders", principal, true);
        }
        Self { channel: StreamId::channel(space, "builders"), node, space, ada, bot }
    }

    fn say(&self, text: &str) -> Ulid {
        self.node.post_in(self.space, self.channel, self.ada, text).unwrap()
    }

    fn waiting(&self) -> Vec<InvocationRow> {
        let (view, workspace) = (self.node.view(), self.node.workspace(self.space));
        let ids = view.invocations_waiting(&workspace, self.bot).unwrap();
        ids.into_iter().map(|id| view.invocation(&workspace, id).unwrap().unwrap()).collect()
    }

    fn row(&self, id: InvocationId) -> InvocationRow {
        self.node.view().invocation(&self.node.workspace(self.space), id).unwrap().unwrap()
    }

    fn said(&self, id: InvocationId) -> Option<Status> {
        let said = self.node.view().invocation_said(&self.node.workspace(self.space), id).unwrap();
        said.and_then(|said| said.status())
    }

    fn claiming(&self, instance: &str) -> Claiming {
        Claiming {
            kind: RuntimeKind::Custom,
            instance: instance.into(),
            session: None,
            triggers: Trigger::ALL.to_vec(),
            seconds: 60,
            through: None,
        }
    }

    fn claim_as(&self, claiming: Claiming) -> Option<Granted> {
        let (space, bot, dice) = (self.space, self.bot, [self.node.fresh(); 42]);
        self.node.write(move |batch| batch.claim_invocation(space, bot, &claiming, dice))
    }

    fn claim(&self, instance: &str) -> Option<Granted> {
        self.claim_as(self.claiming(instance))
    }

    fn complete(
        &self,
        granted: &Granted,
        instance: &str,
        text: Option<&str>,
    ) -> Result<Option<Ulid>, NotCompleted> {
        let reply =
            text.map(|text| Reply { text: text.into(), metadata: Vec::new(), attachments: Vec::new() });
        let (instance, token) = (instance.to_owned(), granted.token.clone());
        let completion = Completion { instance, token, reply };
        let (space, bot, id, dice) = (self.space, self.bot, granted.id, [self.node.fresh(); 25]);
        self.node.write(move |batch| batch.complete_invocation(space, bot, id, completion, dice))
    }

    fn step(&self, granted: &Granted, content: &str) -> Result<Ulid, NotHeld> {
        let step = NewStep {
            instance: "a".into(),
            token: granted.token.clone(),
            kind: "tool_call".into(),
            content: content.into(),
            status_text: Some("using token=abc123".into()),
        };
        let (space, bot, id, dice) = (self.space, self.bot, granted.id, [self.node.fresh(); 10]);
        self.node.write(move |batch| batch.record_step(space, bot, id, &step, dice))
    }

    fn renew(&self, granted: &Granted, seconds: u64) -> Result<u64, NotHeld> {
        let (space, bot, id, token) = (self.space, self.bot, granted.id, granted.token.clone());
        self.node.write(move |batch| batch.renew_invocation(space, bot, id, ("a", &token), seconds))
    }

    fn sweep(&self) {
        self.node.write(|batch| batch.sweep_invocations(limits::INVOCATIONS_SWEPT_MAX));
    }

    fn pass(&self, ms: u64) {
        self.node.now_ms.set(self.node.now_ms.get() + ms);
    }

    fn texts(&self, stream: StreamId) -> Vec<String> {
        let view = self.node.view();
        let rows = view.posts(&self.node.workspace(self.space), stream, Window::Newest, 100).unwrap().0;
        rows.into_iter().map(|row| row.text).collect()
    }

    fn link(&self, instance: &str, session: &str) -> Result<LinkRow, NotLinked> {
        let new = NewLink {
            bot: self.bot,
            kind: RuntimeKind::PiLocal,
            instance: instance.into(),
            session: session.into(),
            display_name: format!("Work of {session}"),
            local_cwd: "/home/ada/work".into(),
        };
        let (space, dice) = (self.space, [self.node.fresh(); 20]);
        self.node.write(move |batch| batch.link_session(space, &new, dice))
    }

    fn archive(&self, stream: StreamId, archived: bool) {
        let space = self.node.rests_in(self.space, stream);
        let part = StreamPart::Archived(archived);
        let changed = StreamChanged { channel: String::new(), thread: String::new(), part };
        assert!(self.node.write(move |batch| batch.change_stream(space, stream, &changed)));
    }
}

#[test]
fn a_mention_by_a_person_makes_one_invocation_w52_w125() {
    let shop = Shop::new();
    let message = shop.say("@helper and again @Helper, please");
    shop.say("nobody in particular, `@helper`");
    let [row] = &shop.waiting()[..] else { panic!("not one invocation") };
    assert_eq!((row.trigger, row.status, row.message), (Trigger::Mention, Status::Pending, message));
    assert_eq!((row.session.as_deref(), row.root), (None, shop.channel));
    assert_eq!(shop.said(row.id), Some(Status::Pending), "everybody is told");
    // What the bot itself says summons nobody, and neither does another text (W-69, W-130).
    shop.node.post_in(shop.space, shop.channel, shop.bot, "I am @helper").unwrap();
    let (space, ada) = (shop.space, shop.ada);
    shop.node
        .write(move |batch| batch.edit_post(space, message, ada, "@helper!".into(), Vec::new()))
        .unwrap();
    assert_eq!(shop.waiting().len(), 1);
}

#[test]
fn a_bot_that_may_not_write_there_or_is_somebody_elses_is_not_summoned_w125_w126() {
    let shop = Shop::new();
    let (node, space) = (&shop.node, shop.space);
    let eve = node.user(space, "eve");
    node.name(node, space, eve, "eve");
    node.take_part(space, "builders", eve, true);
    node.post_in(space, shop.channel, eve, "@helper").unwrap();
    node.take_part(space, "builders", shop.bot, false);
    shop.say("@helper");
    assert!(shop.waiting().is_empty());
}

#[test]
fn work_is_given_once_the_oldest_first_w135_w140_w141() {
    let shop = Shop::new();
    let messages = [shop.say("@helper one"), shop.say("@helper two")];
    let granted: Vec<_> = ["a", "b", "c"].iter().map(|instance| shop.claim(instance)).collect();
    assert_eq!(granted[2], None);
    let given: Vec<_> = granted.iter().flatten().map(|granted| shop.row(granted.id).message).collect();
    assert_eq!(given, messages);
    let tokens: BTreeSet<_> = granted.iter().flatten().map(|granted| &granted.token).collect();
    assert_eq!(tokens.len(), 2);
    assert!(shop.waiting().is_empty());
}

#[test]
fn writers_at_once_never_get_the_same_work_w135() {
    let shop = Shop::new();
    for number in 0..20 {
        shop.say(&format!("@helper {number}"));
    }
    let (sender, granted) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for runtime in 0..8 {
            let (store, claiming, sender) =
                (&shop.node.store, shop.claiming(&format!("i{runtime}")), sender.clone());
            let (space, bot, now_ms) = (shop.space, shop.bot, shop.node.now_ms.get());
            scope.spawn(move || {
                for _ in 0..4 {
                    let (claiming, sender) = (claiming.clone(), sender.clone());
                    let claim = move |batch: &mut muster_storage::Batch<'_>| {
                        batch.claim_invocation(space, bot, &claiming, [runtime; 42])
                    };
                    store.write(now_ms, claim, move |granted| sender.send(granted).unwrap()).unwrap();
                }
            });
        }
    });
    drop(sender);
    let ids: Vec<_> = granted.iter().flatten().map(|granted: Granted| granted.id).collect();
    assert_eq!(ids.len(), 20, "all work was given");
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 20, "no work was given twice");
}

#[test]
fn a_runtime_gets_only_what_it_can_do_w132() {
    let shop = Shop::new();
    shop.say("@helper");
    let deaf = Claiming { triggers: vec![Trigger::ActiveScratchpad], ..shop.claiming("a") };
    assert_eq!(shop.claim_as(deaf), None);
    assert!(shop.claim("a").is_some());
}

#[test]
fn a_claim_that_lapses_is_given_again_and_the_fifth_parks_it_w137() {
    let shop = Shop::new();
    shop.say("@helper");
    let first = shop.claim("a").unwrap();
    assert_eq!(shop.claim("b"), None);
    shop.pass(60_000);
    let second = shop.claim("b").unwrap();
    assert_eq!(second.id, first.id);
    assert_eq!(shop.renew(&first, 60), Err(NotHeld));
    for _ in 2..limits::INVOCATION_ATTEMPTS_MAX {
        shop.pass(60_000);
        assert!(shop.claim("b").is_some());
    }
    shop.pass(60_000);
    assert_eq!(shop.claim("b"), None);
    assert_eq!((shop.row(first.id).status, shop.said(first.id)), (Status::Parked, Some(Status::Parked)));
}

#[test]
fn a_claim_and_its_end_survive_a_crash_w136() {
    let shop = Shop::new();
    shop.say("@helper");
    let granted = shop.claim("a").unwrap();
    let shop = Shop { node: shop.node.reopened(), ..shop };
    assert_eq!(shop.claim("b"), None, "it is held still");
    let now_ms = shop.node.now_ms.get();
    assert_eq!(shop.node.view().open_claims(now_ms).unwrap(), [(shop.space, granted.id, granted.until_ms)]);
    assert_eq!(shop.renew(&granted, 300).map(|until_ms| until_ms > granted.until_ms), Ok(true));
    let said = shop.complete(&granted, "a", Some("Done.")).unwrap();
    let shop = Shop { node: shop.node.reopened(), ..shop };
    assert_eq!(shop.complete(&granted, "a", Some("Done.")), Ok(said));
    assert_eq!(shop.texts(shop.channel), ["@helper", "Done."]);
}

#[test]
fn completing_posts_the_reply_once_as_the_bot_w51_w150_w152() {
    let shop = Shop::new();
    shop.say("@helper");
    let granted = shop.claim("a").unwrap();
    assert_eq!(shop.complete(&granted, "b", Some("mine")), Err(NotCompleted::NotHeld(NotHeld)));
    let said = shop.complete(&granted, "a", Some("Here you are.")).unwrap().unwrap();
    let row = shop.node.view().post(&shop.node.workspace(shop.space), said).unwrap().unwrap();
    assert_eq!(row.client_id, Some(format!("bot-invocation:{}", granted.id)));
    assert_eq!(row.author, muster_storage::Author::Principal(shop.bot));
    assert_eq!(shop.complete(&granted, "a", Some("again")), Ok(Some(said)));
    assert_eq!(shop.texts(shop.channel), ["@helper", "Here you are."]);
    assert_eq!(shop.step(&granted, "late"), Err(NotHeld));
    assert_eq!(shop.renew(&granted, 60), Err(NotHeld));
    assert_eq!(shop.row(granted.id).reply, Some(said));
}

#[test]
fn nobody_keeps_a_bot_silent_by_taking_the_name_of_its_reply_w49_w51() {
    let shop = Shop::new();
    shop.say("@helper");
    let granted = shop.claim("a").unwrap();
    let name = granted.id.reply_client_id();
    shop.node.post_as(shop.space, shop.channel, shop.ada, "mine", &name, &[]).unwrap();
    let said = shop.complete(&granted, "a", Some("Here.")).unwrap();
    assert!(said.is_some());
    assert_eq!(shop.complete(&granted, "a", Some("Here.")), Ok(said));
    assert_eq!(shop.texts(shop.channel), ["@helper", "mine", "Here."]);
}

#[test]
fn silence_posts_nothing_and_a_trace_says_the_least_w151_w153() {
    let shop = Shop::new();
    shop.say("@helper");
    let granted = shop.claim("a").unwrap();
    assert_eq!(shop.complete(&granted, "a", None), Ok(None));
    assert_eq!(shop.complete(&granted, "a", None), Ok(None));
    assert_eq!(shop.texts(shop.channel), ["@helper"]);
    let steps = shop.node.view().steps(&shop.node.workspace(shop.space), granted.id).unwrap();
    assert_eq!(
        steps.iter().map(|step| step.kind.as_str()).collect::<Vec<_>>(),
        ["context_received", "message_sent"]
    );
}

#[test]
fn steps_stand_in_their_order_without_secrets_and_make_the_runtime_busy_w116_w145_w146_w147() {
    let shop = Shop::new();
    shop.say("@helper");
    let granted = shop.claim("a").unwrap();
    let ids = [shop.step(&granted, "one password: hunter2").unwrap(), shop.step(&granted, "two").unwrap()];
    let (view, workspace) = (shop.node.view(), shop.node.workspace(shop.space));
    let steps = view.steps(&workspace, granted.id).unwrap();
    assert_eq!(steps.iter().map(|step| step.id).collect::<Vec<_>>(), ids);
    assert_eq!(steps[0].content, "one password: [REDACTED]");
    assert_eq!(shop.row(granted.id).until_ms, Some(granted.until_ms), "a step is no renewal");
    let runtime = view.runtime(&workspace, shop.bot, "a").unwrap().unwrap();
    assert_eq!((runtime.status.as_str(), runtime.accepting), ("busy", false));
    assert_eq!(runtime.status_text.as_deref(), Some("using token=[REDACTED]"));
}

#[test]
fn a_trace_keeps_its_newest_steps_w145() {
    let shop = Shop::new();
    shop.say("@helper");
    let granted = shop.claim("a").unwrap();
    let step = NewStep {
        instance: "a".into(),
        token: granted.token.clone(),
        kind: "thinking".into(),
        content: "…".into(),
        status_text: None,
    };
    let (space, bot, id) = (shop.space, shop.bot, granted.id);
    shop.node.write(move |batch| {
        for _ in 0..limits::STEPS_MAX + 5 {
            batch.record_step(space, bot, id, &step, [1; 10])?.unwrap();
        }
        Ok(())
    });
    let steps = shop.node.view().steps(&shop.node.workspace(space), id).unwrap();
    assert_eq!(steps.len(), limits::STEPS_MAX as usize);
}

#[test]
fn a_bot_that_may_not_answer_any_more_has_failed_w155() {
    let shop = Shop::new();
    shop.say("@helper");
    shop.say("@helper again");
    let (loud, quiet) = (shop.claim("a").unwrap(), shop.claim("a").unwrap());
    shop.node.take_part(shop.space, "builders", shop.bot, false);
    assert_eq!(shop.complete(&loud, "a", Some("hi")), Err(NotCompleted::Refused(NotPosted::NotAMember)));
    assert_eq!(shop.row(loud.id).status, Status::Failed);
    assert_eq!(shop.complete(&quiet, "a", None), Ok(None));
}

#[test]
fn failing_keeps_the_reason_and_offers_the_work_to_nobody_w154() {
    let shop = Shop::new();
    shop.say("@helper");
    let granted = shop.claim("a").unwrap();
    let (space, bot, id, token) = (shop.space, shop.bot, granted.id, granted.token.clone());
    let fail = move |batch: &mut muster_storage::Batch<'_>| {
        batch.fail_invocation(space, bot, id, ("a", &token), "no disk left")
    };
    assert_eq!(shop.node.write(fail), Ok(()));
    assert_eq!((shop.row(id).status, shop.row(id).reason.as_deref()), (Status::Failed, Some("no disk left")));
    shop.pass(3_600_000);
    assert_eq!(shop.claim("a"), None);
}

#[test]
fn what_a_deleted_message_summoned_is_cancelled_w131() {
    let shop = Shop::new();
    let (claimed, waits) = (shop.say("@helper one"), shop.say("@helper two"));
    let granted = shop.claim("a").unwrap();
    let waiting = shop.waiting()[0].id;
    let (space, ada) = (shop.space, shop.ada);
    for message in [claimed, waits] {
        shop.node.write(move |batch| batch.delete_post(space, message, ada)).unwrap();
    }
    assert_eq!(shop.complete(&granted, "a", Some("late")), Err(NotCompleted::NotHeld(NotHeld)));
    assert_eq!([granted.id, waiting].map(|id| shop.row(id).status), [Status::Cancelled; 2]);
    assert_eq!(shop.claim("a"), None);
}

#[test]
fn what_nobody_takes_expires_and_is_forgotten_later() {
    let shop = Shop::new();
    shop.say("@helper");
    let id = shop.waiting()[0].id;
    shop.pass(limits::INVOCATION_WAIT.as_millis() as u64);
    shop.sweep();
    assert_eq!(shop.row(id).status, Status::Expired);
    shop.pass(limits::INVOCATION_KEPT.as_millis() as u64);
    shop.sweep();
    let (view, workspace) = (shop.node.view(), shop.node.workspace(shop.space));
    assert_eq!(view.invocation(&workspace, id).unwrap(), None);
    assert_eq!(view.steps(&workspace, id).unwrap(), []);
}

#[test]
fn more_than_may_wait_lets_the_oldest_expire() {
    let shop = Shop::new();
    let (space, channel, ada) = (shop.space, shop.channel, shop.ada);
    shop.node.write(move |batch| {
        for number in 0..=limits::INVOCATIONS_WAITING_MAX {
            let new = muster_storage::NewPost {
                stream: channel,
                author: ada,
                text: format!("@helper {number}"),
                client_id: String::new(),
                metadata: Vec::new(),
                sent_via: String::new(),
                attachments: Vec::new(),
                random: std::array::from_fn(|at| (number >> (8 * at)) as u8),
            };
            batch.say_post(space, new)?.unwrap();
        }
        Ok(())
    });
    assert_eq!(shop.waiting().len(), limits::INVOCATIONS_WAITING_MAX);
}

#[test]
fn presence_is_one_record_for_each_instance_of_a_bot_w54_w112_w113_w116() {
    let shop = Shop::new();
    let said = |instance: &str, display_name: Option<&str>| RuntimeSaid {
        bot: shop.bot,
        kind: RuntimeKind::PiLocal,
        instance: instance.into(),
        display_name: display_name.map(str::to_owned),
        status: RuntimeStatus::Offline,
        accepting: false,
        capabilities: serde_json::Map::from_iter([("supportsStop".to_owned(), true.into())]),
        status_text: display_name.map(str::to_owned),
        public_key: None,
    };
    let put = |said: RuntimeSaid| {
        let (space, dice) = (shop.space, [shop.node.fresh(); 10]);
        shop.node.write(move |batch| batch.put_runtime(space, &said, dice));
    };
    let row = |instance: &str| {
        let (view, workspace) = (shop.node.view(), shop.node.workspace(shop.space));
        view.runtime(&workspace, shop.bot, instance).unwrap().unwrap()
    };
    put(said("a", Some("Laptop")));
    put(said("b", None));
    let first = row("a");
    assert_ne!(first.id, row("b").id);
    assert_eq!((first.display_name.as_deref(), first.status.as_str()), (Some("Laptop"), "offline"));
    // A claim is a heartbeat that keeps what the runtime said of itself.
    let claiming = Claiming { session: Some("s".into()), kind: RuntimeKind::Hermes, ..shop.claiming("a") };
    assert_eq!(shop.claim_as(claiming), None);
    let beaten = row("a");
    assert_eq!(
        (beaten.display_name.as_deref(), beaten.status.as_str(), beaten.accepting),
        (Some("Laptop"), "available", true)
    );
    assert_eq!((beaten.kind.as_str(), &beaten.capabilities["runtimeSessionId"]), ("hermes", &"s".into()));
    assert!(beaten.capabilities.contains_key("supportsStop"));
    // A post replaces all of it, but for who it is and since when.
    put(said("a", None));
    let again = row("a");
    assert_eq!((again.id, again.created_ms, again.display_name.clone()), (first.id, first.created_ms, None));
    assert!(again.seen_ms > beaten.seen_ms && !again.capabilities.contains_key("runtimeSessionId"));
}

#[test]
fn a_runtime_that_asks_is_served_whatever_it_said_of_itself_w117_w133() {
    let shop = Shop::new();
    let said = RuntimeSaid {
        bot: shop.bot,
        kind: RuntimeKind::PiLocal,
        instance: "a".into(),
        display_name: None,
        status: RuntimeStatus::Offline,
        accepting: false,
        capabilities: serde_json::Map::new(),
        status_text: None,
        public_key: None,
    };
    let space = shop.space;
    shop.node.write(move |batch| batch.put_runtime(space, &said, [1; 10]));
    shop.pass(3_600_000);
    shop.say("@helper");
    assert!(shop.claim("a").is_some());
    let runtime = shop.node.view().runtime(&shop.node.workspace(space), shop.bot, "a").unwrap().unwrap();
    assert_eq!((runtime.kind.as_str(), runtime.status.as_str()), ("custom", "busy"));
}

#[test]
fn a_scratchpad_has_one_bot_that_answers_w123() {
    let shop = Shop::new();
    let link = shop.link("a", "s1").unwrap();
    let other = shop.node.bot(shop.space, &shop.ada.to_string(), "other");
    let pad = shop.node.rests_in(shop.space, link.stream);
    let part = StreamPart::ActiveActor(Some(other));
    let changed = StreamChanged { channel: String::new(), thread: String::new(), part };
    assert!(shop.node.write(move |batch| batch.change_stream(pad, link.stream, &changed)));
    assert_eq!(shop.link("a", "s1"), Err(NotLinked::Conflict));
    shop.node.post_in(shop.space, link.stream, shop.ada, "hello").unwrap();
    assert!(shop.waiting().is_empty(), "it is no longer the one that answers");
}

#[test]
fn a_session_gets_one_scratchpad_of_its_bots_owner_w53_w120_w121_w124() {
    let shop = Shop::new();
    let link = shop.link("a", "s1").unwrap();
    assert_eq!(shop.link("a", "s1"), Ok(link.clone()));
    assert_ne!(shop.link("a", "s2").unwrap().stream, link.stream);
    let (view, workspace) = (shop.node.view(), shop.node.workspace(shop.space));
    let stream = view.stream(&workspace, link.stream).unwrap().unwrap();
    assert_eq!(
        (stream.kind.as_str(), stream.name.as_deref(), stream.is_public),
        ("scratchpad", Some("Work of s1"), false)
    );
    assert_eq!(stream.active_actor, Some(shop.bot));
    let members: Vec<_> =
        view.members_of(link.stream, None, 10).unwrap().into_iter().map(|part| part.id).collect();
    assert_eq!(members, [shop.ada, shop.bot]);
    assert!(view.bot(&workspace, shop.bot).unwrap().unwrap().has("active-scratchpad"));
    assert!(view.runtime(&workspace, shop.bot, "a").unwrap().is_some());
    let (space, bot) = (shop.space, shop.bot);
    let rename = |session: &'static str| {
        shop.node.write(move |batch| batch.rename_session(space, bot, "a", session, "Another name"))
    };
    assert_eq!(rename("s1"), Some(link.clone()));
    assert_eq!(rename("s9"), None);
    let stream = shop.node.view().stream(&workspace, link.stream).unwrap().unwrap();
    assert_eq!(stream.name.as_deref(), Some("Another name"));
}

#[test]
fn a_shared_bot_has_no_sessions_and_an_archived_scratchpad_is_not_replaced_w118_w122() {
    let shop = Shop::new();
    let own = shop.bot;
    let shop = Shop { bot: shop.node.bot(shop.space, "", "shared"), ..shop };
    assert_eq!(shop.link("a", "s1"), Err(NotLinked::NotPersonal));
    let shop = Shop { bot: own, ..shop };
    let link = shop.link("a", "s1").unwrap();
    shop.archive(link.stream, true);
    assert_eq!(shop.link("a", "s1"), Err(NotLinked::Archived));
    shop.archive(link.stream, false);
    assert_eq!(shop.link("a", "s1"), Ok(link));
}

#[test]
fn in_a_scratchpad_every_message_of_its_owner_is_work_for_its_session_w127_w134() {
    let shop = Shop::new();
    let link = shop.link("a", "s1").unwrap();
    shop.node.post_in(shop.space, link.stream, shop.ada, "hello").unwrap();
    shop.node.post_in(shop.space, link.stream, shop.bot, "hello yourself").unwrap();
    let [row] = &shop.waiting()[..] else { panic!("not one invocation") };
    assert_eq!((row.trigger, row.session.as_deref()), (Trigger::ActiveScratchpad, Some("s1")));
    let of = |instance: &str, session: Option<&str>| Claiming {
        session: session.map(str::to_owned),
        ..shop.claiming(instance)
    };
    assert_eq!(shop.claim_as(of("b", None)), None, "it is aimed at another instance");
    assert_eq!(shop.claim_as(of("a", Some("s2"))), None, "it is aimed at another session");
    let other = shop.link("a", "s2").unwrap();
    assert_eq!(shop.claim_as(of("a", None)), None, "it could be for either session");
    shop.archive(other.stream, true);
    let granted = shop.claim_as(of("a", None)).expect("there is one active session");
    let said = shop.complete(&granted, "a", Some("Done.")).unwrap();
    assert!(said.is_some());
    assert_eq!(shop.texts(link.stream), ["hello", "hello yourself", "Done."]);
    assert!(shop.waiting().is_empty(), "its own answer is no work");
}

#[test]
fn a_message_said_elsewhere_summons_at_the_bots_home_alone_and_everybody_hears_what_became_of_it_w125() {
    let shop = Shop::new();
    let far = Node::new(2);
    far.join(&shop.node, shop.space, Role::Member);
    far.learn_control(&shop.node, shop.space);
    let bob = far.user(shop.space, "bob");
    far.name(&shop.node, shop.space, bob, "bob");
    let shared = shop.node.bot(shop.space, "", "shared");
    shop.node.name(&shop.node, shop.space, shared, "shared");
    shop.node.take_part(shop.space, "builders", shared, true);
    far.learn_control(&shop.node, shop.space);
    exchange_all(&[&shop.node, &far], shop.space);
    far.take_part(shop.space, "builders", bob, true);
    far.post_in(shop.space, shop.channel, bob, "@shared, are you there?").unwrap();
    let workspace = far.workspace(shop.space);
    assert_eq!(far.view().invocations_waiting(&workspace, shared).unwrap(), []);
    exchange_all(&[&shop.node, &far], shop.space);
    let shop = Shop { bot: shared, ..shop };
    let granted = shop.claim("a").unwrap();
    let said = shop.complete(&granted, "a", Some("Yes.")).unwrap();
    exchange_all(&[&shop.node, &far], shop.space);
    let told = far.view().invocation_said(&workspace, granted.id).unwrap().unwrap();
    assert_eq!((told.status(), told.reply()), (Some(Status::Completed), said));
    assert_eq!(
        far.view().invocation(&workspace, granted.id).unwrap(),
        None,
        "the work itself is at the bot's home"
    );
}

#[test]
fn work_is_passed_on_by_the_bots_key_and_only_what_the_asking_node_holds_w132() {
    let shop = Shop::new();
    let far = Node::new(2);
    far.join(&shop.node, shop.space, Role::Member);
    let (space, key) = (shop.space, [5; 32]);
    let grant = |sha256: [u8; 32], scope: Scope| {
        let id = Ulid::from_bytes([sha256[0]; 16]);
        let (scopes, letters) = (vec![scope.as_str().to_owned()], [b'a'; 8]);
        let new = NewKey { id, sha256, letters, principal: shop.bot, scopes, expires_ms: None };
        assert!(shop.node.write(move |batch| batch.add_key(space, &new)));
    };
    grant(key, Scope::BotInvocationsWrite);
    grant([6; 32], Scope::MessagesRead);
    let ask = |node: &Node, key: [u8; 32], act: Act| {
        let (act, body) = act.encode();
        let (home, node) = (shop.node.identity.node(), node.identity.node());
        let request = WorkRequest { space, home, node, at_ms: 7, key: Bytes32(key), act, body };
        let dice = [shop.node.fresh(); 42];
        shop.node.write(move |batch| batch.answer_work(&request, dice))
    };
    let claim = || {
        Act::Claim(ClaimAsked {
            kind: "custom".into(),
            instance: "a".into(),
            session: Vec::new(),
            capabilities: vec!["mentionable".into(), "active-scratchpad".into()],
            seconds: 60,
        })
    };
    let link = shop.link("a", "s1").unwrap();
    shop.node.post_in(space, link.stream, shop.ada, "between us").unwrap();
    let refused = WorkAnswer::Refused(WorkRefused::Key);
    assert_eq!(ask(&far, [9; 32], claim()), refused, "nobody's key");
    assert_eq!(ask(&far, [6; 32], claim()), refused, "a key for something else");
    assert_eq!(ask(&Node::new(3), key, claim()), refused, "no member asks");
    assert_eq!(ask(&far, key, claim()), WorkAnswer::Nothing, "what is private stays where it is");
    shop.say("@helper");
    let WorkAnswer::Granted(granted) = ask(&far, key, claim()) else { panic!("it is for everybody") };
    assert_eq!((granted.trigger.as_str(), granted.bot.parse()), ("mention", Ok(shop.bot)));
    let holder = |token: &str| HolderAsked { id: granted.id, instance: "a".into(), token: token.into() };
    let reply = || vec![("Done.".to_owned(), Vec::new())];
    let not_held = WorkAnswer::Refused(WorkRefused::NotHeld);
    assert_eq!(ask(&far, key, Act::Complete(holder("1.nope"), reply())), not_held);
    let unsorted = vec![("b".to_owned(), String::new()), ("a".to_owned(), String::new())];
    let crooked = vec![("Done.".to_owned(), unsorted)];
    assert_eq!(ask(&far, key, Act::Complete(holder(&granted.token), crooked)), not_held);
    let done = ask(&far, key, Act::Complete(holder(&granted.token), reply()));
    assert!(matches!(&done, WorkAnswer::Completed(said) if said.len() == 1), "{done:?}");
    assert_eq!(ask(&far, key, Act::Complete(holder(&granted.token), reply())), done);
    assert_eq!(shop.texts(shop.channel), ["@helper", "Done."]);
}
