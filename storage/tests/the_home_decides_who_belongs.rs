//! Tickets, invites and removals, as the home of a workspace decides them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support::{Node, START_MS, forge};
use muster_protocol::{
    ask::{AdminRefusal, AdminRequest, Answer, JoinRequest, Question, SignedQuestion},
    cbor::{Bytes, Bytes16},
    control::{Entry, Genesis, InviteCreated, InviteRevoked, MemberRemoved, Role, RoleSet},
    ids::{LogId, SpaceId},
    limits,
    operation::{Draft, Kind, Operation},
    ticket::{JoinRefusal, Ticket},
};

fn let_in(home: &Node, ticket: &Ticket, node: &Node) -> Result<Vec<u8>, JoinRefusal> {
    let (ticket, node) = (ticket.clone(), node.identity.node());
    home.write(move |batch| batch.let_in(&ticket, node, "  a\tname  ", b"evidence".to_vec()))
}

fn members(home: &Node, space: SpaceId) -> usize {
    home.view().members(&home.workspace(space)).unwrap().len()
}

fn invite(by: &Node, id: u8) -> InviteCreated {
    InviteCreated {
        invite: Bytes16([id; 16]),
        by: by.identity.node(),
        role: Role::Member.code(),
        not_after_ms: START_MS + 1_000_000,
        uses_max: 1,
        evidence: Bytes(Vec::new()),
    }
}

#[test]
fn a_ticket_counts_its_uses_and_then_is_used_up() {
    let (home, bob, eve, late) = (Node::new(1), Node::new(2), Node::new(3), Node::new(4));
    let space = home.found();
    let ticket = home.invite(space, Role::Member, 2);
    assert!(let_in(&home, &ticket, &bob).is_ok());
    assert!(let_in(&home, &ticket, &eve).is_ok());
    assert_eq!(let_in(&home, &ticket, &late), Err(JoinRefusal::UsedUp));
    assert_eq!(members(&home, space), 3);
    let row = &home.view().members(&home.workspace(space)).unwrap()[0];
    assert!(["founder", "aname"].contains(&row.name.as_str()), "{}", row.name);
}

#[test]
fn a_member_who_asks_again_is_answered_again_and_costs_no_use() {
    let (home, bob, eve) = (Node::new(1), Node::new(2), Node::new(3));
    let space = home.found();
    let ticket = home.invite(space, Role::Member, 2);
    let genesis = let_in(&home, &ticket, &bob).unwrap();
    let height = home.store.control(space).unwrap().height();
    assert_eq!(let_in(&home, &ticket, &bob), Ok(genesis));
    assert_eq!(home.store.control(space).unwrap().height(), height);
    assert!(let_in(&home, &ticket, &eve).is_ok());
}

#[test]
fn dead_tickets_open_nothing() {
    let (home, bob) = (Node::new(1), Node::new(2));
    let space = home.found();
    let revoked = home.invite(space, Role::Member, 1);
    let entry = InviteRevoked { invite: revoked.invite, evidence: Bytes(Vec::new()) };
    assert!(home.decide(space, Entry::InviteRevoked(entry)).is_ok());
    assert_eq!(let_in(&home, &revoked, &bob), Err(JoinRefusal::Revoked));
    let forged = Ticket { invite: Bytes16([99; 16]), ..revoked };
    assert_eq!(let_in(&home, &forged, &bob), Err(JoinRefusal::Unknown));
    let elsewhere = Ticket { space: SpaceId([1; 32]), ..forged };
    assert_eq!(let_in(&home, &elsewhere, &bob), Err(JoinRefusal::Unknown));
    let expired = home.invite(space, Role::Member, 1);
    home.now_ms.set(expired.not_after_ms + 1);
    assert_eq!(let_in(&home, &expired, &bob), Err(JoinRefusal::Expired));
    assert_eq!(members(&home, space), 1);
}

#[test]
fn only_the_home_lets_anybody_in() {
    let (home, bob, eve) = (Node::new(1), Node::new(2), Node::new(3));
    let space = home.found();
    bob.join(&home, space, Role::Admin);
    let ticket = home.invite(space, Role::Member, 5);
    bob.learn_control(&home, space);
    assert_eq!(let_in(&bob, &ticket, &eve), Err(JoinRefusal::Unknown));
    let entry = Entry::InviteCreated(invite(&bob, 7));
    assert_eq!(bob.decide(space, entry), Err(AdminRefusal::Unknown));
}

#[test]
fn members_and_strangers_decide_nothing_and_admins_not_about_their_equals() {
    let (home, admin, other, member) = (Node::new(1), Node::new(2), Node::new(3), Node::new(4));
    let space = home.found();
    admin.join(&home, space, Role::Admin);
    other.join(&home, space, Role::Admin);
    let ask = |by: &Node, entry: Entry| {
        let by = by.identity.node();
        home.write(move |batch| batch.administer(space, by, entry, b"signed".to_vec()))
    };
    let remove = |node: &Node| {
        Entry::MemberRemoved(MemberRemoved {
            node: node.identity.node(),
            cut_offs: Vec::new(),
            evidence: Bytes(Vec::new()),
        })
    };
    assert_eq!(ask(&member, Entry::InviteCreated(invite(&member, 1))), Err(AdminRefusal::Unknown));
    assert_eq!(ask(&admin, remove(&member)), Err(AdminRefusal::NoSuchThing));
    member.join(&home, space, Role::Member);
    assert_eq!(ask(&member, Entry::InviteCreated(invite(&member, 1))), Err(AdminRefusal::NotAllowed));
    assert_eq!(ask(&admin, remove(&other)), Err(AdminRefusal::NotAllowed));
    assert_eq!(ask(&admin, remove(&home)), Err(AdminRefusal::NotAllowed));
    assert!(ask(&admin, remove(&member)).is_ok());
    assert!(ask(&home, remove(&other)).is_ok());
    assert_eq!(ask(&other, Entry::InviteCreated(invite(&other, 1))), Err(AdminRefusal::Unknown));
    let unknown = InviteRevoked { invite: Bytes16([50; 16]), evidence: Bytes(Vec::new()) };
    assert_eq!(ask(&admin, Entry::InviteRevoked(unknown)), Err(AdminRefusal::NoSuchThing));
    let genesis = home.genesis("another");
    assert_eq!(ask(&home, Entry::Genesis(genesis)), Err(AdminRefusal::NotAllowed));
}

fn set(node: &Node, role: u8) -> Entry {
    let node = node.identity.node();
    Entry::RoleSet(RoleSet { node, role, cut_offs: vec![(7, 7)], evidence: Bytes(b"made up".to_vec()) })
}

#[test]
fn roles_are_changed_below_ones_own_and_only_the_owner_makes_or_unmakes_admins() {
    let (home, admin, other, member) = (Node::new(1), Node::new(2), Node::new(3), Node::new(4));
    let (guest, stranger) = (Node::new(5), Node::new(6));
    let space = home.found();
    admin.join(&home, space, Role::Admin);
    other.join(&home, space, Role::Admin);
    member.join(&home, space, Role::Member);
    guest.join(&home, space, Role::Guest);
    let ask = |by: &Node, about: &Node, role: u8| {
        let (by, entry) = (by.identity.node(), set(about, role));
        home.write(move |batch| batch.administer(space, by, entry, b"signed".to_vec()))
    };
    let role = |node: &Node| home.store.control(space).unwrap().role(node.identity.node());
    let [as_guest, as_member, as_admin, as_owner] =
        [Role::Guest, Role::Member, Role::Admin, Role::Owner].map(Role::code);
    let height = home.store.control(space).unwrap().height();
    let refused = [
        (&stranger, &member, as_guest, AdminRefusal::Unknown),
        (&guest, &guest, as_member, AdminRefusal::NotAllowed),
        (&member, &guest, as_member, AdminRefusal::NotAllowed),
        (&admin, &stranger, as_member, AdminRefusal::NoSuchThing),
        (&admin, &admin, as_member, AdminRefusal::NotAllowed),
        (&admin, &other, as_member, AdminRefusal::NotAllowed),
        (&admin, &home, as_member, AdminRefusal::NotAllowed),
        (&admin, &member, as_admin, AdminRefusal::NotAllowed),
        (&admin, &member, as_owner, AdminRefusal::NotAllowed),
        (&admin, &member, 200, AdminRefusal::NotAllowed),
        (&home, &home, as_admin, AdminRefusal::NotAllowed),
        (&home, &member, as_owner, AdminRefusal::NotAllowed),
    ];
    for (number, (by, about, role, refusal)) in refused.into_iter().enumerate() {
        assert_eq!(ask(by, about, role), Err(refusal), "case {number}");
    }
    assert_eq!(home.store.control(space).unwrap().height(), height, "a refusal leaves no entry");
    assert!(ask(&admin, &member, as_guest).is_ok());
    assert!(ask(&admin, &guest, as_member).is_ok());
    assert_eq!((role(&member), role(&guest)), (Some(Role::Guest), Some(Role::Member)));
    assert!(ask(&home, &guest, as_admin).is_ok());
    assert!(ask(&home, &admin, as_member).is_ok());
    assert_eq!((role(&guest), role(&admin)), (Some(Role::Admin), Some(Role::Member)));
    assert_eq!(ask(&admin, &member, as_member), Err(AdminRefusal::NotAllowed), "it is an admin no more");
}

#[test]
fn a_role_asked_for_again_is_answered_again_and_the_log_does_not_grow() {
    let (home, bob) = (Node::new(1), Node::new(2));
    let space = home.found();
    bob.join(&home, space, Role::Member);
    let first = home.decide(space, set(&bob, Role::Guest.code()));
    assert!(first.is_ok());
    assert_eq!(home.decide(space, set(&bob, Role::Guest.code())), first);
}

#[test]
fn a_changed_role_is_heard_by_everybody_who_learns_the_log() {
    let (home, bob) = (Node::new(1), Node::new(2));
    let space = home.found();
    bob.join(&home, space, Role::Member);
    home.decide(space, set(&bob, Role::Admin.code())).unwrap();
    bob.learn_control(&home, space);
    assert_eq!(bob.store.control(space).unwrap().role(bob.identity.node()), Some(Role::Admin));
    assert_eq!(bob.store.control(space).unwrap().head(), home.store.control(space).unwrap().head());
}

#[test]
fn an_invite_has_limits_and_its_maker_in_it() {
    let (home, admin) = (Node::new(1), Node::new(2));
    let space = home.found();
    admin.join(&home, space, Role::Admin);
    let bad = [
        InviteCreated { uses_max: 0, ..invite(&home, 60) },
        InviteCreated { uses_max: limits::INVITE_USES_MAX + 1, ..invite(&home, 60) },
        InviteCreated { not_after_ms: START_MS, ..invite(&home, 60) },
        InviteCreated { not_after_ms: u64::MAX, ..invite(&home, 60) },
    ];
    for invite in bad {
        assert_eq!(home.decide(space, Entry::InviteCreated(invite)), Err(AdminRefusal::Limit));
    }
    let owner = InviteCreated { role: Role::Owner.code(), ..invite(&home, 60) };
    assert_eq!(home.decide(space, Entry::InviteCreated(owner)), Err(AdminRefusal::NotAllowed));
    // An admin makes no admins, with a ticket as little as otherwise.
    let (by, more) =
        (admin.identity.node(), InviteCreated { role: Role::Admin.code(), ..invite(&admin, 60) });
    let asked = home.write(move |batch| batch.administer(space, by, Entry::InviteCreated(more), Vec::new()));
    assert_eq!(asked, Err(AdminRefusal::NotAllowed));
    // Whoever it names: the admin who asks is who signs the ticket.
    let entry = Entry::InviteCreated(invite(&home, 61));
    home.write(move |batch| batch.administer(space, by, entry, Vec::new())).unwrap();
    assert_eq!(home.store.control(space).unwrap().invite(&[61; 16]).unwrap().by, by);
    let again = Entry::InviteCreated(invite(&home, 61));
    assert_eq!(home.decide(space, again), Err(AdminRefusal::Limit), "an id is used once");
}

#[test]
fn a_ticket_dies_with_its_makers_right_to_invite() {
    let (home, admin, bob) = (Node::new(1), Node::new(2), Node::new(3));
    let space = home.found();
    admin.join(&home, space, Role::Admin);
    let (by, entry) = (admin.identity.node(), Entry::InviteCreated(invite(&admin, 61)));
    home.write(move |batch| batch.administer(space, by, entry, Vec::new())).unwrap();
    let ticket = Ticket { invite: Bytes16([61; 16]), issuer: by, ..home.invite(space, Role::Member, 1) };
    home.remove(space, &admin);
    assert_eq!(let_in(&home, &ticket, &bob), Err(JoinRefusal::IssuerGone));
}

#[test]
fn signed_questions_are_answered_as_they_are_decided() {
    let (home, admin, bob) = (Node::new(1), Node::new(2), Node::new(3));
    let space = home.found();
    admin.join(&home, space, Role::Admin);
    let me = home.identity.node();
    let answer = |from: &Node, question: &Question| {
        let bytes = question.sign(&from.identity);
        let question = SignedQuestion::decode(&bytes, from.identity.node(), me).unwrap();
        home.write(move |batch| batch.answer(&question, [7; 42]))
    };
    let (kind, body) = Entry::InviteCreated(invite(&admin, 61)).encode();
    let (node, at_ms) = (admin.identity.node(), START_MS);
    let request = AdminRequest { space, home: me, node, at_ms, kind, body: Bytes(body) };
    assert!(matches!(answer(&admin, &Question::Admin(request.clone())), Answer::Decided(_)));
    let rubbish = AdminRequest { kind: Kind::ENVELOPE, ..request };
    let refused = Answer::NotDecided(AdminRefusal::NotAllowed);
    assert_eq!(answer(&admin, &Question::Admin(rubbish)), refused);

    let ticket = home.invite(space, Role::Member, 1).sign(&home.identity);
    let node = bob.identity.node();
    let join = JoinRequest { ticket: Bytes(ticket.encode()), home: me, node, name: "bob".into(), at_ms };
    assert!(matches!(answer(&bob, &Question::Join(join.clone())), Answer::Joined(_)));
    let broken = JoinRequest { ticket: Bytes(vec![1, 2, 3]), ..join };
    assert_eq!(answer(&bob, &Question::Join(broken)), Answer::NotJoined(JoinRefusal::BadRequest));
    assert_eq!(members(&home, space), 3);
}

/// What a home answers to whoever wants to join, if it may say anything.
fn offered(by: &Node, genesis: &Genesis, kind: Kind) -> Operation {
    let log = LogId { space: genesis.space(), author: by.identity.node(), incarnation: 0 };
    let (_, body) = Entry::Genesis(genesis.clone()).encode();
    forge(
        &by.identity,
        0,
        log,
        None,
        START_MS,
        Draft { kind, stream: muster_protocol::ids::StreamId::SPACE, body },
    )
}

#[test]
fn no_home_can_stop_a_node_or_take_the_id_of_another_workspace() {
    let (ada, mallory) = (Node::new(1), Node::new(9));
    let space = ada.found();
    let own = ada.workspace(space).id;
    let rubbish = offered(&mallory, &mallory.genesis("w"), Kind::INVITE_CREATED);
    assert_eq!(ada.write(move |batch| batch.begin_space(&rubbish)), None);
    let foreign = offered(&mallory, &ada.genesis("w"), Kind::GENESIS);
    assert_eq!(ada.write(move |batch| batch.begin_space(&foreign)), None);
    let twin = offered(&mallory, &Genesis { workspace: own, ..mallory.genesis("w") }, Kind::GENESIS);
    assert_eq!(ada.write(move |batch| batch.begin_space(&twin)), None);
    assert_eq!((ada.store.space_of(own), ada.store.spaces()), (Some(space), vec![space]));
    let honest = offered(&mallory, &mallory.genesis("w"), Kind::GENESIS);
    let again = honest.clone();
    let other = ada.write(move |batch| batch.begin_space(&honest));
    assert!(other.is_some());
    assert_eq!(ada.write(move |batch| batch.begin_space(&again)), other, "idempotent");
}
