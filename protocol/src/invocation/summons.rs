//! Whom a message summons, and why (W-125 to W-130).

use super::Trigger;
use crate::principal::{Principal, Slug};

/// Who wrote a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// A person.
    Person(Principal),
    /// A bot.
    Bot(Principal),
    /// An agent's session; it is no principal.
    Agent,
    /// Nobody: a notice.
    System,
}

/// A bot, as far as it matters whether it is summoned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub id: Principal,
    /// The person it belongs to; none for one that is shared.
    pub owner: Option<Principal>,
    /// Whether a mention summons it.
    pub mentionable: bool,
    /// Whether it answers in scratchpads.
    pub active_scratchpad: bool,
    /// Whether it is archived.
    pub archived: bool,
    /// Whether it may write where the message stands.
    pub may_write: bool,
}

/// The session that answers in a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The instance.
    pub instance: String,
    /// The session inside it.
    pub session: String,
}

/// The bot that is active where the message stands: in a scratchpad, or in a thread of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Active {
    /// The bot.
    pub bot: Candidate,
    /// The link of the stream, or of its root if the thread has none.
    pub link: Option<Link>,
    /// Whether its kind of runtime works only where it has a link.
    pub needs_link: bool,
}

/// A message, as far as it matters whom it summons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said<'a> {
    /// Who wrote it.
    pub writer: Writer,
    /// The slugs it mentions, in its order.
    pub mentions: &'a [Slug],
    /// The bot that is active there.
    pub active: Option<Active>,
}

/// A bot is called for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summons {
    /// Which.
    pub bot: Principal,
    /// Why.
    pub trigger: Trigger,
    /// The session it is aimed at.
    pub link: Option<Link>,
    /// Whether the prompt begins with [`PREAMBLE`]: no person is waiting for an answer.
    pub with_preamble: bool,
}

/// What stands in front of a message that no person wrote, so that two bots need not answer each other for ever (W-127).
pub const PREAMBLE: &str = "The message below was not written by a person. Answer only if there is something to add; \
                            you may end this without a response.\n\n";

/// All that a message calls for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summoned {
    /// Each bot at most once.
    pub bots: Vec<Summons>,
    /// The active bot has no session here, and it should be said (W-129).
    pub unlinked: Option<Principal>,
}

/// Whom a message summons. `bot` looks up a bot of the workspace by its slug.
pub fn summoned(said: &Said<'_>, bot: impl Fn(&Slug) -> Option<Candidate>) -> Summoned {
    let mut mentioned: Vec<Candidate> = Vec::new();
    for candidate in said.mentions.iter().filter_map(bot) {
        if !mentioned.iter().any(|known| known.id == candidate.id) {
            mentioned.push(candidate);
        }
    }
    let mut all = Summoned::default();
    if let Writer::Person(person) = said.writer {
        let called = mentioned.iter().filter(|bot| answers_mention(bot, person));
        all.bots.extend(called.map(|bot| Summons {
            bot: bot.id,
            trigger: Trigger::Mention,
            link: None,
            with_preamble: false,
        }));
    }
    if let Some(active) = &said.active {
        call_active(&mut all, said.writer, active, &mentioned);
    }
    all
}

/// Whether a mention by a person summons a bot (W-125, W-126).
fn answers_mention(bot: &Candidate, person: Principal) -> bool {
    let is_visible = bot.owner.is_none_or(|owner| owner == person);
    bot.mentionable && !bot.archived && is_visible && bot.may_write
}

/// W-127 to W-130.
fn call_active(all: &mut Summoned, writer: Writer, active: &Active, mentioned: &[Candidate]) {
    let bot = &active.bot;
    let is_own = writer == Writer::Bot(bot.id);
    if is_own || writer == Writer::System || !bot.active_scratchpad || bot.archived || !bot.may_write {
        return;
    }
    let is_called = all.bots.iter().any(|summons| summons.bot == bot.id);
    let is_mentioned = mentioned.iter().any(|other| other.id == bot.id);
    let is_for_others = !is_mentioned && mentioned.iter().any(|other| other.mentionable);
    if is_called || is_for_others {
        return;
    }
    if active.link.is_none() && active.needs_link {
        all.unlinked = Some(bot.id);
        return;
    }
    all.bots.push(Summons {
        bot: bot.id,
        trigger: Trigger::ActiveScratchpad,
        link: active.link.clone(),
        with_preamble: !matches!(writer, Writer::Person(_)),
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;

    fn node() -> crate::identity::NodeId {
        Identity::from_seed([1; 32]).node()
    }

    fn person(dice: u8) -> Principal {
        Principal::new_user(1, node(), [dice; 5])
    }

    fn bot(dice: u8) -> Candidate {
        Candidate {
            id: Principal::new_bot(1, node(), [dice; 5]),
            owner: None,
            mentionable: true,
            active_scratchpad: true,
            archived: false,
            may_write: true,
        }
    }

    fn slugs(text: &str) -> Vec<Slug> {
        text.split_whitespace().map(|slug| Slug::parse(slug).unwrap()).collect()
    }

    fn link() -> Link {
        Link { instance: "i".into(), session: "s".into() }
    }

    fn active(bot: Candidate) -> Option<Active> {
        Some(Active { bot, link: Some(link()), needs_link: true })
    }

    /// Summons by a message that mentions these; `one` and `two` are the bots of that slug.
    fn call(
        writer: Writer,
        mentions: &str,
        active: Option<Active>,
        one: &Candidate,
    ) -> Vec<(Principal, Trigger)> {
        let two = bot(2);
        let lookup = |slug: &Slug| match slug.as_str() {
            "one" => Some(one.clone()),
            "two" => Some(two.clone()),
            _ => None,
        };
        let mentions = slugs(mentions);
        let all = summoned(&Said { writer, mentions: &mentions, active }, lookup);
        all.bots.into_iter().map(|summons| (summons.bot, summons.trigger)).collect()
    }

    #[test]
    fn a_person_summons_each_bot_it_mentions_once_w125() {
        let ada = Writer::Person(person(1));
        let both = [(bot(1).id, Trigger::Mention), (bot(2).id, Trigger::Mention)];
        assert_eq!(call(ada, "one two one nobody", None, &bot(1)), both);
        for deaf in [
            Candidate { mentionable: false, ..bot(1) },
            Candidate { archived: true, ..bot(1) },
            Candidate { may_write: false, ..bot(1) },
        ] {
            assert_eq!(call(ada, "one", None, &deaf), [], "{deaf:?}");
        }
    }

    #[test]
    fn a_personal_bot_hears_its_owner_alone_w126() {
        let own = Candidate { owner: Some(person(1)), ..bot(1) };
        assert_eq!(call(Writer::Person(person(1)), "one", None, &own), [(own.id, Trigger::Mention)]);
        assert_eq!(call(Writer::Person(person(2)), "one", None, &own), []);
    }

    #[test]
    fn bots_agents_and_notices_mention_nobody_w130() {
        for writer in [Writer::Bot(bot(2).id), Writer::Bot(bot(1).id), Writer::Agent, Writer::System] {
            assert_eq!(call(writer, "one", None, &bot(1)), []);
        }
    }

    #[test]
    fn in_its_scratchpad_every_message_of_others_calls_the_active_bot_w127_w130() {
        let one = bot(1);
        let calls = [(one.id, Trigger::ActiveScratchpad)];
        for writer in [Writer::Person(person(1)), Writer::Bot(bot(2).id), Writer::Agent] {
            assert_eq!(call(writer, "", active(one.clone()), &one), calls, "{writer:?}");
        }
        for writer in [Writer::Bot(one.id), Writer::System] {
            assert_eq!(call(writer, "", active(one.clone()), &one), [], "{writer:?}");
        }
        let passive = Candidate { active_scratchpad: false, ..bot(1) };
        assert_eq!(call(Writer::Person(person(1)), "", active(passive), &one), []);
    }

    #[test]
    fn a_message_to_the_active_bot_is_aimed_at_its_session_and_marked_when_no_person_wrote_it_w127() {
        let said = |writer| Said { writer, mentions: &[], active: active(bot(1)) };
        let of_person = summoned(&said(Writer::Person(person(1))), |_| None).bots.remove(0);
        assert_eq!((of_person.link, of_person.with_preamble), (Some(link()), false));
        assert!(summoned(&said(Writer::Bot(bot(2).id)), |_| None).bots[0].with_preamble);
    }

    #[test]
    fn a_mention_decides_whom_a_message_in_a_scratchpad_is_for_w128() {
        let (one, ada) = (bot(1), Writer::Person(person(1)));
        assert_eq!(call(ada, "two", active(one.clone()), &one), [(bot(2).id, Trigger::Mention)]);
        assert_eq!(call(ada, "one", active(one.clone()), &one), [(one.id, Trigger::Mention)]);
        let both = [(bot(2).id, Trigger::Mention), (one.id, Trigger::Mention)];
        assert_eq!(call(ada, "two one", active(one.clone()), &one), both);
        // One that no mention reaches is called for as the active one.
        let deaf = Candidate { mentionable: false, ..bot(1) };
        assert_eq!(call(ada, "one", active(deaf.clone()), &deaf), [(deaf.id, Trigger::ActiveScratchpad)]);
        assert_eq!(call(ada, "nobody", active(one.clone()), &one), [(one.id, Trigger::ActiveScratchpad)]);
    }

    #[test]
    fn an_active_bot_without_the_session_it_needs_is_not_called_w129() {
        let without = |needs_link| Some(Active { bot: bot(1), link: None, needs_link });
        let said = |active| Said { writer: Writer::Person(person(1)), mentions: &[], active };
        let all = summoned(&said(without(true)), |_| None);
        assert_eq!((all.bots, all.unlinked), (vec![], Some(bot(1).id)));
        let all = summoned(&said(without(false)), |_| None);
        assert_eq!((all.bots.len(), all.bots[0].link.clone(), all.unlinked), (1, None, None));
    }
}
