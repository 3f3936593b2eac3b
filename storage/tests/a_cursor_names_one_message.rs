//! Paging a conversation in which senders use the ids of others: every page ends, every message is read once, and the
//! pages are the same on every node (N-89, N-109).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support::{Node, Session, link::exchange, talk::Said};
use muster_protocol::{control::Role, ids::SpaceId, network::Kind};
use muster_storage::MessagePage;

const THREAD: &str = "thread_one";

struct Pair {
    ada: Node,
    bob: Node,
    space: SpaceId,
    coder: Session,
    reviewer: Session,
}

impl Pair {
    fn meet() -> Self {
        let (ada, bob) = (Node::new(1), Node::new(2));
        let space = ada.found();
        bob.join(&ada, space, Role::Member);
        let coder = ada.session(space, "coder", "builders");
        let reviewer = bob.session(space, "reviewer", "builders");
        Self { ada, bob, space, coder, reviewer }
    }

    /// Ada says something, then Bob, who has heard of it.
    fn say(&self, by_ada: bool, id: &str, text: &str) {
        let (node, session) = if by_ada { (&self.ada, &self.coder) } else { (&self.bob, &self.reviewer) };
        self.ada.now_ms.set(self.ada.now_ms.get().max(self.bob.now_ms.get()));
        self.bob.now_ms.set(self.ada.now_ms.get());
        node.tell(self.space, node.message(self.space, session, id, Said::Say(text)).thread(THREAD));
        exchange(&self.ada, &self.bob);
    }

    /// Names and texts, page by page of one message; forwards, or backwards from the end.
    fn paged(&self, node: &Node, kind: Option<Kind>, forwards: bool) -> Vec<(String, String)> {
        let mut read = Vec::new();
        let whole = node.page(self.space, "builders", THREAD, &page(100, kind)).unwrap();
        let mut cursor = (!forwards).then(|| whole.last().unwrap().name.clone());
        loop {
            let mut page = page(1, kind);
            if forwards {
                page.after.clone_from(&cursor)
            } else {
                page.before.clone_from(&cursor)
            }
            let rows = node.page(self.space, "builders", THREAD, &page).unwrap();
            let Some(row) = rows.into_iter().next() else { return read };
            cursor = Some(row.name.clone());
            read.push((row.name, crate::support::text(&row.envelope)));
            assert!(read.len() < 50, "it goes round in circles: {read:?}");
        }
    }
}

fn page(limit: usize, kind: Option<Kind>) -> MessagePage {
    MessagePage { limit, kind, ..MessagePage::default() }
}

#[test]
fn an_id_that_two_senders_used_ends_no_page_early_and_repeats_none_n89_n109() {
    let pair = Pair::meet();
    for (by_ada, id, text) in
        [(true, "first", "1"), (true, "x", "2"), (false, "y", "3"), (false, "x", "4"), (true, "last", "5")]
    {
        pair.say(by_ada, id, text);
    }
    for kind in [None, Some(Kind::Say)] {
        let at_ada = pair.paged(&pair.ada, kind, true);
        assert_eq!(at_ada, pair.paged(&pair.bob, kind, true), "cursors mean the same on every node");
        let texts: Vec<_> = at_ada.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["1", "2", "3", "4", "5"]);
        let names: Vec<_> = at_ada.iter().map(|(name, _)| name.split('~').next().unwrap()).collect();
        assert_eq!(names, ["first", "x", "y", "x", "last"]);
        assert_eq!(at_ada[1].0, "x", "the earlier one keeps its plain id");
        let mut back = pair.paged(&pair.bob, kind, false);
        back.reverse();
        assert_eq!(back, at_ada[..4]);
    }
}

#[test]
fn nobody_moves_the_cursor_of_others_by_using_a_name_again_n89() {
    let pair = Pair::meet();
    pair.say(true, "x", "1");
    pair.say(false, "x", "2");
    let read = pair.paged(&pair.ada, None, true);
    let second = read[1].0.clone();
    pair.say(true, "z", "3");
    // Somebody calls a message as the other is named in lists.
    pair.say(false, &second, "4");
    pair.say(false, "x", "said twice by one sender, which counts once");
    let now = pair.paged(&pair.ada, None, true);
    assert_eq!(now.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), ["1", "2", "3", "4"]);
    assert_eq!(now[1].0, second, "what was read keeps its name");
    assert_ne!(now[3].0, second);
    assert_eq!(now, pair.paged(&pair.bob, None, true));
}
