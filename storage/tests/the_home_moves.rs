//! Another node decides from some height on, and everybody agrees from which.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support::{Node, START_MS};
use muster_protocol::{
    ask::{AdminRefusal, AdminRequest, Answer, JoinRequest, Question, SignedQuestion},
    cbor::Bytes,
    control::{Entry, HomeMoved, MemberRemoved, Role, RoleSet},
    ids::SpaceId,
    ticket::{JoinRefusal, Ticket},
};
use muster_storage::Disk;

fn to(node: &Node) -> Entry {
    Entry::HomeMoved(HomeMoved { node: node.identity.node(), evidence: Bytes::default() })
}

fn removal(node: &Node) -> Entry {
    let node = node.identity.node();
    Entry::MemberRemoved(MemberRemoved { node, cut_offs: Vec::new(), evidence: Bytes::default() })
}

/// Ada's workspace with an admin, to whom it moved, and a member; all know it.
fn moved() -> (SpaceId, Node, Node, Node) {
    let (ada, bob, eve) = (Node::new(1), Node::new(2), Node::new(3));
    let space = ada.found();
    bob.join(&ada, space, Role::Admin);
    eve.join(&ada, space, Role::Member);
    ada.decide(space, to(&bob)).unwrap();
    bob.learn_control(&ada, space);
    eve.learn_control(&ada, space);
    (space, ada, bob, eve)
}

fn ask(of: &Node, by: &Node, question: &Question) -> Answer {
    let bytes = question.sign(&by.identity);
    let question = SignedQuestion::decode(&bytes, by.identity.node(), of.identity.node()).unwrap();
    of.write(move |batch| batch.answer(&question, [7; 42]))
}

fn wish(of: &Node, by: &Node, space: SpaceId, entry: &Entry) -> Question {
    let (kind, body) = entry.encode();
    let (home, node) = (of.identity.node(), by.identity.node());
    Question::Admin(AdminRequest { space, home, node, at_ms: START_MS, kind, body: Bytes(body) })
}

fn request(of: &Node, by: &Node, ticket: &Ticket, issuer: &Node) -> Question {
    let ticket = Bytes(ticket.clone().sign(&issuer.identity).encode());
    let (home, node) = (of.identity.node(), by.identity.node());
    Question::Join(JoinRequest { ticket, home, node, name: "joiner".into(), at_ms: START_MS })
}

#[test]
fn the_new_home_decides_and_the_former_no_more() {
    let (space, ada, bob, eve) = moved();
    for node in [&ada, &bob, &eve] {
        assert_eq!(node.store.control(space).unwrap().home(), bob.identity.node());
    }
    assert_eq!(ada.decide(space, removal(&eve)), Err(AdminRefusal::Unknown));
    let forged = ada.entry(space, &removal(&eve));
    eve.write(move |batch| batch.append_control(space, vec![forged]));
    assert!(eve.store.control(space).unwrap().role(eve.identity.node()).is_some());
    bob.decide(space, removal(&eve)).unwrap();
    ada.learn_control(&bob, space);
    assert_eq!(ada.store.control(space).unwrap().role(eve.identity.node()), None);
    assert_eq!(ada.store.control(space).unwrap().head(), bob.store.control(space).unwrap().head());
}

#[test]
fn only_the_owner_moves_it_and_only_to_an_admin() {
    let (ada, bob, eve, stranger) = (Node::new(1), Node::new(2), Node::new(3), Node::new(4));
    let space = ada.found();
    bob.join(&ada, space, Role::Admin);
    eve.join(&ada, space, Role::Member);
    let height = ada.store.control(space).unwrap().height();
    let by_bob = ask(&ada, &bob, &wish(&ada, &bob, space, &to(&bob)));
    assert_eq!(by_bob, Answer::NotDecided(AdminRefusal::NotAllowed));
    assert_eq!(ada.decide(space, to(&eve)), Err(AdminRefusal::NotAnAdmin));
    assert_eq!(ada.decide(space, to(&stranger)), Err(AdminRefusal::NoSuchThing));
    assert_eq!(ada.decide(space, to(&ada)), Ok(height), "it is there already");
    assert_eq!(ada.store.control(space).unwrap().height(), height, "a refusal leaves no entry");
}

#[test]
fn the_owner_moves_it_back_from_afar_and_nobody_touches_the_home_meanwhile() {
    let (space, ada, bob, _) = moved();
    let refused = Answer::NotDecided(AdminRefusal::IsHome);
    assert_eq!(ask(&bob, &ada, &wish(&bob, &ada, space, &removal(&bob))), refused);
    let demoted = RoleSet {
        node: bob.identity.node(),
        role: Role::Guest.code(),
        cut_offs: Vec::new(),
        evidence: Bytes::default(),
    };
    assert_eq!(ask(&bob, &ada, &wish(&bob, &ada, space, &Entry::RoleSet(demoted))), refused);
    assert_eq!(bob.decide(space, to(&ada)), Err(AdminRefusal::NotAllowed), "only the owner moves it");
    assert!(matches!(ask(&bob, &ada, &wish(&bob, &ada, space, &to(&ada))), Answer::Decided(_)));
    ada.learn_control(&bob, space);
    assert_eq!(ada.store.control(space).unwrap().home(), ada.identity.node());
    ada.decide(space, removal(&bob)).unwrap();
}

#[test]
fn the_former_home_says_where_to_ask_to_members_and_ticket_holders_and_to_nobody_else() {
    let (ada, bob, eve, late) = (Node::new(1), Node::new(2), Node::new(3), Node::new(4));
    let space = ada.found();
    bob.join(&ada, space, Role::Admin);
    eve.join(&ada, space, Role::Admin);
    let ticket = ada.invite(space, Role::Member, 1);
    let (to_bob, address) = (bob.identity.node(), "/ip4/192.0.2.7/tcp/4001".to_owned());
    let known = vec![address.clone()];
    ada.write(move |batch| batch.learn_addresses(to_bob, &known));
    ada.decide(space, to(&bob)).unwrap();
    bob.learn_control(&ada, space);

    let Answer::Moved(moved) = ask(&ada, &late, &request(&ada, &late, &ticket, &ada)) else {
        panic!("it says where")
    };
    assert_eq!((moved.home, moved.addresses), (to_bob, vec![address]));
    assert!(matches!(ask(&bob, &late, &request(&bob, &late, &ticket, &ada)), Answer::Joined(_)));
    assert!(matches!(ask(&ada, &eve, &wish(&ada, &eve, space, &removal(&late))), Answer::Moved(_)));
    assert!(matches!(ask(&bob, &eve, &wish(&bob, &eve, space, &removal(&late))), Answer::Decided(_)));

    let made_up = Ticket { invite: muster_protocol::cbor::Bytes16([77; 16]), ..ticket };
    let unknown = Answer::NotJoined(JoinRefusal::Unknown);
    assert_eq!(ask(&ada, &late, &request(&ada, &late, &made_up, &ada)), unknown);
    let stranger = Node::new(5);
    let asked = ask(&ada, &stranger, &wish(&ada, &stranger, space, &removal(&eve)));
    assert_eq!(asked, Answer::NotDecided(AdminRefusal::Unknown));
}

#[test]
fn a_moved_home_is_the_home_after_a_restart_and_its_store_reads_from_end_to_end() {
    let (space, ada, bob, eve) = moved();
    bob.decide(space, removal(&eve)).unwrap();
    ada.learn_control(&bob, space);
    let before = bob.store.control(space).unwrap();
    let bob = bob.reopened();
    assert_eq!(*bob.store.control(space).unwrap(), *before);
    assert!(bob.decide(space, to(&bob)).is_ok());
    let late = Node::new(4);
    late.join(&bob, space, Role::Member);
    assert_eq!(late.store.control(space).unwrap().home(), bob.identity.node());
}

#[test]
fn who_let_a_node_in_is_remembered() {
    let (space, _, bob, eve) = moved();
    let by = bob.identity.node();
    assert_eq!(eve.view().welcomed_by(space).unwrap(), None);
    eve.write(move |batch| batch.note_welcome(space, by));
    assert_eq!(eve.reopened().view().welcomed_by(space).unwrap(), Some(by));
}

#[test]
fn a_copied_store_that_forgot_that_it_is_the_home_decides_nothing_before_all_members_spoke() {
    let (ada, bob, eve) = (Node::new(1), Node::new(2), Node::new(3));
    let space = ada.found();
    bob.join(&ada, space, Role::Admin);
    eve.join(&ada, space, Role::Member);
    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("backup.redb");
    bob.store.backup(&backup).unwrap();
    let copy = Node::open(Disk::File(backup), 2, 77).unwrap();
    ada.decide(space, to(&bob)).unwrap();
    bob.learn_control(&ada, space);
    bob.decide(space, removal(&eve)).unwrap();

    copy.learn_control(&ada, space);
    assert_eq!(copy.store.control(space).unwrap().home(), copy.identity.node());
    assert_eq!(copy.decide(space, to(&copy)), Err(AdminRefusal::Unsettled));
    let (first, second) = (eve.identity.node(), ada.identity.node());
    copy.write(move |batch| batch.hear_control(space, first));
    assert_eq!(copy.decide(space, to(&copy)), Err(AdminRefusal::Unsettled));
    ada.learn_control(&bob, space);
    copy.learn_control(&ada, space);
    copy.write(move |batch| batch.hear_control(space, second));
    assert!(copy.decide(space, to(&copy)).is_ok());
    assert_eq!(copy.store.control(space).unwrap().role(eve.identity.node()), None, "what it forgot");
}
