//! Private channels and scratchpads: on the nodes of those who take part, however many, and on no others.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support::{Node, link::exchange};
use muster_protocol::{
    control::Role,
    ids::{SpaceId, StreamId},
    limits::GROUPS_PER_HOME_MAX,
    principal::{Principal, Slug},
    stream::{StreamChanged, StreamKind, StreamPart, TakesPart},
};
use muster_storage::{Disk, NotPosted, Window, verify};

impl Node {
    /// Opens a private channel in which these take part.
    fn open_private(&self, space: SpaceId, slug: &str, members: &[Principal]) -> (SpaceId, StreamId) {
        let slug = Some(Slug::parse(slug).unwrap());
        let opened = StreamPart::Opened { kind: StreamKind::Channel, slug, by: members.first().copied() };
        let opened = StreamChanged { channel: String::new(), thread: String::new(), part: opened };
        let members = members.to_vec();
        self.write(move |batch| {
            let (group, stream) = batch.begin_group(space)?.expect("a group is begun");
            assert!(batch.change_stream(group, stream, &opened)?);
            for member in members {
                assert!(batch.take_part(group, stream, &takes_part(member, true))?);
            }
            Ok((group, stream))
        })
    }

    fn set_part(&self, group: SpaceId, member: Principal, joined: bool) -> bool {
        self.write(move |batch| batch.take_part(group, StreamId::group(group), &takes_part(member, joined)))
    }

    fn texts_of(&self, space: SpaceId, stream: StreamId) -> Vec<String> {
        let rows = self.view().posts(&self.workspace(space), stream, Window::Newest, 1000).unwrap().0;
        let mut rows: Vec<_> = rows.into_iter().map(|row| (row.created_ms, row.id, row.text)).collect();
        rows.sort();
        rows.into_iter().map(|(_, _, text)| text).collect()
    }

    fn reads(&self, space: SpaceId, stream: StreamId, who: Principal) -> bool {
        self.view().takes_part(&self.workspace(space), stream, who).unwrap()
    }

    fn holds(&self, group: SpaceId) -> bool {
        self.store.control(group).is_some()
    }
}

fn takes_part(member: Principal, joined: bool) -> TakesPart {
    TakesPart { channel: String::new(), principal: member.to_string(), joined }
}

/// All nodes tell each other everything, several times.
fn meet(nodes: &[&Node]) {
    for _ in 0..3 {
        for (index, one) in nodes.iter().enumerate() {
            for other in &nodes[index + 1..] {
                exchange(one, other);
            }
        }
    }
}

/// Four nodes of one workspace, of which the first is the home, with a person each.
struct Four {
    space: SpaceId,
    nodes: [Node; 4],
    people: [Principal; 4],
}

impl Four {
    fn new() -> Self {
        let nodes = [1, 2, 3, 4].map(Node::new);
        let space = nodes[0].found();
        for node in &nodes[1..] {
            node.join(&nodes[0], space, Role::Member);
        }
        let people = ["ada", "bob", "eve", "dan"];
        let people = std::array::from_fn(|at| {
            let person = nodes[at].user(space, people[at]);
            nodes[at].name(&nodes[0], space, person, people[at]);
            person
        });
        let four = Self { space, nodes, people };
        four.meet();
        four
    }

    fn meet(&self) {
        meet(&self.nodes.each_ref());
    }

    /// A private channel of the first three, opened on the second node, in which each said something.
    fn with_plans(&self) -> (SpaceId, StreamId) {
        let [_, bob, ..] = &self.nodes;
        let [ada, bobs, eve, _] = self.people;
        let (group, plans) = bob.open_private(self.space, "plans", &[bobs, ada, eve]);
        self.meet();
        for (node, person, text) in [(0, ada, "from ada"), (1, bobs, "from bob"), (2, eve, "from eve")] {
            self.nodes[node].post_in(self.space, plans, person, text).unwrap();
        }
        self.meet();
        (group, plans)
    }
}

#[test]
fn three_nodes_talk_in_private_and_the_fourth_never_hears_of_it_w33() {
    let four = Four::new();
    let (group, plans) = four.with_plans();
    for node in &four.nodes[..3] {
        assert_eq!(node.texts_of(four.space, plans).len(), 3);
        assert!(node.store.control(group).unwrap().members().count() == 3);
    }
    let dan = &four.nodes[3];
    assert!(!dan.holds(group) && dan.heights(group).is_empty());
    assert!(dan.view().stream(&dan.workspace(four.space), plans).unwrap().is_none());
    assert_eq!(four.nodes[0].digest(group), four.nodes[2].digest(group));
}

#[test]
fn any_of_the_group_brings_it_to_any_other() {
    let four = Four::new();
    let (_, plans) = four.with_plans();
    let [ada, bob, eve, _] = &four.nodes;
    eve.post_in(four.space, plans, four.people[2], "heard through ada").unwrap();
    exchange(eve, ada);
    exchange(ada, bob);
    assert!(bob.texts_of(four.space, plans).contains(&"heard through ada".to_owned()));
}

#[test]
fn who_is_let_in_later_gets_what_was_said_before_whoever_lets_them_in() {
    let four = Four::new();
    let (group, plans) = four.with_plans();
    let [ada, bob, _, dan] = &four.nodes;
    assert!(ada.set_part(group, four.people[3], true), "everybody who takes part may let others in");
    exchange(ada, dan);
    assert!(!dan.holds(group), "the home of the group has not heard of it");
    exchange(ada, bob);
    exchange(bob, dan);
    exchange(bob, dan);
    assert_eq!(dan.texts_of(four.space, plans).len(), 3);
    dan.post_in(four.space, plans, four.people[3], "thank you").unwrap();
    four.meet();
    assert_eq!(ada.texts_of(four.space, plans).len(), 4);
}

#[test]
fn who_leaves_reads_no_more_and_gets_nothing_more_until_they_come_back() {
    let four = Four::new();
    let (group, plans) = four.with_plans();
    let [ada, bob, eve, _] = &four.nodes;
    let eves = four.people[2];
    assert!(ada.set_part(group, eves, false));
    four.meet();
    let control = bob.store.control(group).unwrap();
    assert_eq!(control.role(eve.identity.node()), None);
    assert!(!eve.reads(four.space, plans, eves), "her own node knows");
    assert_eq!(eve.post_in(four.space, plans, eves, "hello?"), Err(NotPosted::UnknownStream));
    assert!(!eve.set_part(group, eves, true), "nor does it let anybody in");
    ada.post_in(four.space, plans, four.people[0], "without eve").unwrap();
    four.meet();
    assert_eq!(bob.texts_of(four.space, plans).len(), 4);
    assert_eq!(eve.texts_of(four.space, plans).len(), 3, "she keeps what she got, and gets no more");
    assert!(bob.set_part(group, eves, true));
    four.meet();
    assert!(eve.reads(four.space, plans, eves));
    eve.post_in(four.space, plans, eves, "back again").unwrap();
    four.meet();
    for node in &four.nodes[..3] {
        assert_eq!(node.texts_of(four.space, plans).len(), 5);
    }
}

#[test]
fn what_a_node_says_after_its_last_person_left_does_not_count() {
    let four = Four::new();
    let (group, plans) = four.with_plans();
    let [ada, bob, eve, _] = &four.nodes;
    bob.set_part(group, four.people[2], false); // eve does not know yet
    eve.post_in(four.space, plans, four.people[2], "too late").unwrap();
    four.meet();
    exchange(eve, ada);
    for node in [ada, bob] {
        assert_eq!(node.texts_of(four.space, plans).len(), 3);
    }
    assert_eq!(ada.digest(group), bob.digest(group));
}

#[test]
fn a_node_that_the_workspace_let_go_is_let_go_by_its_groups() {
    let four = Four::new();
    let (group, plans) = four.with_plans();
    let [ada, bob, eve, _] = &four.nodes;
    ada.remove(four.space, eve);
    // Before the home of the group knows: nothing flows to eve all the same.
    ada.post_in(four.space, plans, four.people[0], "without eve").unwrap();
    exchange(ada, eve);
    assert_eq!(eve.texts_of(four.space, plans).len(), 3);
    exchange(ada, bob);
    assert_eq!(bob.store.control(group).unwrap().role(eve.identity.node()), None);
    exchange(bob, eve);
    assert_eq!(eve.texts_of(four.space, plans).len(), 3);
}

#[test]
fn a_home_that_was_set_back_learns_of_its_groups_and_decides_once_all_spoke() {
    let four = Four::new();
    let (group, plans) = four.with_plans();
    let [ada, _, eve, dan] = &four.nodes;
    // Another life of bob's node, which knows nothing but the workspace.
    let bob = Node::again(2, 22);
    bob.learn(ada, four.space);
    exchange(&bob, ada);
    assert!(bob.holds(group), "its own word came back to it");
    assert!(bob.store.awaits_word(four.space));
    assert!(ada.set_part(group, four.people[3], true));
    exchange(&bob, ada);
    exchange(&bob, ada);
    assert_eq!(bob.texts_of(four.space, plans).len(), 3);
    assert_eq!(bob.store.control(group).unwrap().role(dan.identity.node()), None, "not decided yet");
    let (space, nodes) = (four.space, [ada, eve, dan].map(|node| node.identity.node()));
    for node in nodes {
        assert!(bob.store.awaits_word(four.space), "anybody may hold what bob forgot");
        bob.write(move |batch| batch.hear_control(space, node));
    }
    assert!(!bob.store.awaits_word(four.space));
    assert!(bob.store.control(group).unwrap().role(dan.identity.node()).is_some());
    meet(&[&bob, ada, eve, dan]);
    assert_eq!(dan.texts_of(four.space, plans).len(), 3);
}

#[test]
fn only_people_and_bots_speak_in_a_group_and_only_in_its_stream() {
    let four = Four::new();
    let (group, _) = four.with_plans();
    let bob = &four.nodes[1];
    let opened = |kind| StreamChanged {
        channel: String::new(),
        thread: String::new(),
        part: StreamPart::Opened { kind, slug: None, by: None },
    };
    let another = StreamId([7; 16]);
    let scratchpad = opened(StreamKind::Scratchpad);
    assert!(!bob.write(move |batch| batch.change_stream(group, another, &scratchpad)));
    let (dm, stream) = (opened(StreamKind::Dm), StreamId::group(group));
    assert!(!bob.write(move |batch| batch.change_stream(group, stream, &dm)), "a dm rests in a pair space");
    let mut channel = opened(StreamKind::Scratchpad);
    channel.channel = "builders".into();
    assert!(!bob.write(move |batch| batch.change_stream(group, stream, &channel)));
}

#[test]
fn groups_are_there_after_a_restart_and_are_read_when_a_store_is_verified() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let (ada, bob) = (Node::new(1), Node::open(Disk::File(path.clone()), 2, 2).unwrap());
    let space = ada.found();
    bob.join(&ada, space, Role::Member);
    let person = bob.user(space, "bob");
    bob.name(&ada, space, person, "bob");
    let (group, plans) = bob.open_private(space, "plans", &[person]);
    bob.post_in(space, plans, person, "mine").unwrap();
    let before = bob.store.control(group).unwrap();
    drop(bob);
    let found = verify(&path).unwrap();
    assert_eq!(found.workspaces.len(), 1, "a group is no workspace");
    let bob = Node::open(Disk::File(path), 2, 2).unwrap();
    assert_eq!(*bob.store.control(group).unwrap(), *before);
    assert_eq!(bob.texts_of(space, plans), ["mine"]);
    assert_eq!(bob.store.groups_at_home(space), 1);
    bob.post_in(space, plans, person, "and more").unwrap();
}

#[test]
fn a_node_begins_no_more_groups_than_others_would_hold() {
    let (ada, bob) = (Node::new(1), Node::new(2));
    let space = ada.found();
    bob.join(&ada, space, Role::Member);
    let begun = ada.write(move |batch| {
        let mut begun = 0;
        while batch.begin_group(space)?.is_some() {
            begun += 1;
        }
        Ok(begun)
    });
    assert_eq!(begun, GROUPS_PER_HOME_MAX);
    assert!(bob.write(move |batch| batch.begin_group(space)).is_some(), "each node has its own");
}
