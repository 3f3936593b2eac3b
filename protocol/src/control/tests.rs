use super::*;
use crate::{
    cbor::{Bytes, Bytes16},
    clock::Hlc,
    identity::Identity,
    ids::{StreamId, WorkspaceId},
    operation::{Draft, Kind, Place},
};

const CREATED_MS: u64 = 1_700_000_000_000;

/// A home and what it decided so far.
pub(crate) struct Home {
    pub(crate) state: ControlState,
    pub(crate) identity: Identity,
}

fn genesis(identity: &Identity) -> Genesis {
    Genesis {
        workspace: WorkspaceId::new(CREATED_MS, [3; 10]),
        name: "builders".into(),
        founder: identity.node(),
        founder_name: "ada".into(),
        created_ms: CREATED_MS,
        parent: Vec::new(),
    }
}

fn sign(identity: &Identity, place: Place, entry: &Entry) -> Operation {
    let (kind, body) = entry.encode();
    Operation::sign(identity, place, Draft { kind, stream: StreamId::SPACE, body })
}

fn first(space: SpaceId) -> Place {
    let hlc = Hlc::from_ms(CREATED_MS);
    Place { space, incarnation: 0, seq: 1, prev: OpId::NONE, hlc, control_height: 0 }
}

fn node(seed: u8) -> NodeId {
    Identity::from_seed([seed; 32]).node()
}

impl Home {
    pub(crate) fn new() -> Self {
        let identity = Identity::from_seed([1; 32]);
        let genesis = genesis(&identity);
        let op = sign(&identity, first(genesis.space()), &Entry::Genesis(genesis));
        Self { state: ControlState::begin(&op).unwrap(), identity }
    }

    fn next(&self) -> Place {
        Place {
            space: self.state.space(),
            incarnation: 0,
            seq: self.state.height() + 1,
            prev: self.state.head(),
            hlc: Hlc::from_ms(CREATED_MS + 1_000 * self.state.height()),
            control_height: self.state.height(),
        }
    }

    pub(crate) fn decide(&mut self, entry: Entry) {
        let op = sign(&self.identity, self.next(), &entry);
        assert_eq!(self.state.apply(&op), Ok(entry));
    }

    /// Moves the home to another node, which decides from here on.
    fn move_to(&mut self, identity: Identity) {
        self.decide(moved(identity.node()));
        self.identity = identity;
    }

    pub(crate) fn add(&mut self, node: NodeId, role: Role) {
        self.decide(added(node, role.code(), Bytes16([0; 16])));
    }

    pub(crate) fn join(&mut self, node: NodeId, invite: Bytes16) {
        let role = self.state.invite(&invite.0).unwrap().role;
        self.decide(added(node, role.code(), invite));
    }

    pub(crate) fn set_role(&mut self, node: NodeId, role: Role, cut_offs: &[CutOff]) {
        self.decide(role_set(node, role.code(), cut_offs));
    }

    pub(crate) fn remove(&mut self, node: NodeId, cut_offs: &[CutOff]) {
        self.decide(removed(node, cut_offs));
    }

    pub(crate) fn invite(&mut self, id: Bytes16, by: NodeId, role: u8, not_after_ms: u64, uses_max: u32) {
        self.decide(invited(id, by, role, not_after_ms, uses_max));
    }

    pub(crate) fn revoke(&mut self, invite: Bytes16) {
        self.decide(Entry::InviteRevoked(InviteRevoked { invite, evidence: Bytes::default() }));
    }

    fn log(&self, node: NodeId, incarnation: u64) -> LogId {
        LogId { space: self.state.space(), author: node, incarnation }
    }
}

fn added(node: NodeId, role: u8, invite: Bytes16) -> Entry {
    Entry::MemberAdded(MemberAdded { node, name: "bob".into(), role, invite, evidence: Bytes(vec![1]) })
}

fn role_set(node: NodeId, role: u8, cut_offs: &[CutOff]) -> Entry {
    Entry::RoleSet(RoleSet { node, role, cut_offs: cut_offs.to_vec(), evidence: Bytes::default() })
}

fn removed(node: NodeId, cut_offs: &[CutOff]) -> Entry {
    Entry::MemberRemoved(MemberRemoved { node, cut_offs: cut_offs.to_vec(), evidence: Bytes::default() })
}

fn invited(invite: Bytes16, by: NodeId, role: u8, not_after_ms: u64, uses_max: u32) -> Entry {
    let evidence = Bytes::default();
    Entry::InviteCreated(InviteCreated { invite, by, role, not_after_ms, uses_max, evidence })
}

fn moved(node: NodeId) -> Entry {
    Entry::HomeMoved(HomeMoved { node, evidence: Bytes::default() })
}

#[test]
fn a_workspace_begins_with_its_founder_as_owner() {
    let home = Home::new();
    assert_eq!(home.state.height(), 1);
    assert_eq!(home.state.home(), home.identity.node());
    assert_eq!(home.state.role(home.identity.node()), Some(Role::Owner));
    assert_eq!(home.state.space(), genesis(&home.identity).space());
}

#[test]
fn only_the_genesis_of_its_own_space_by_its_own_founder_begins_it() {
    let (ada, eve) = (Identity::from_seed([1; 32]), Identity::from_seed([2; 32]));
    let entry = Entry::Genesis(genesis(&ada));
    let place = first(genesis(&ada).space());
    let begin = |identity, place, entry| ControlState::begin(&sign(identity, place, entry)).err();
    assert_eq!(begin(&ada, place, &entry), None);
    assert_eq!(begin(&eve, place, &entry), Some(ControlError::Genesis));
    for wrong in [
        Place { space: SpaceId([7; 32]), ..place },
        Place { seq: 2, ..place },
        Place { prev: OpId([1; 32]), ..place },
        Place { incarnation: 1, ..place },
    ] {
        assert_eq!(begin(&ada, wrong, &entry), Some(ControlError::Genesis));
    }
    let other = added(eve.node(), 1, Bytes16([0; 16]));
    assert_eq!(begin(&ada, place, &other), Some(ControlError::Genesis));
    let op = sign(&ada, place, &entry);
    let bare = Operation::from_parts(op.header_bytes().to_vec(), *op.signature(), None).unwrap();
    assert_eq!(ControlState::begin(&bare).err(), Some(ControlError::Body));
}

#[test]
fn only_the_home_writes_and_only_the_next_height_of_its_own_history() {
    let mut home = Home::new();
    home.add(node(2), Role::Admin);
    let before = home.state.clone();
    let entry = added(node(3), 1, Bytes16([0; 16]));
    let next = home.next();
    let eve = Identity::from_seed([2; 32]);
    assert_eq!(home.state.apply(&sign(&eve, next, &entry)), Err(ControlError::NotTheHome));
    let ada = &home.identity;
    for (place, error) in [
        (Place { space: SpaceId([7; 32]), ..next }, ControlError::Foreign),
        (Place { incarnation: 4, ..next }, ControlError::Foreign),
        (Place { seq: 2, ..next }, ControlError::Height { expected: 3 }),
        (Place { seq: 4, ..next }, ControlError::Height { expected: 3 }),
        (Place { seq: u64::MAX, ..next }, ControlError::Height { expected: 3 }),
        (Place { prev: OpId([1; 32]), ..next }, ControlError::OtherHistory),
    ] {
        assert_eq!(home.state.apply(&sign(ada, place, &entry)), Err(error));
    }
    let draft = |kind, body: &[u8]| Draft { kind, stream: StreamId::SPACE, body: body.to_vec() };
    let talk = Operation::sign(ada, next, draft(Kind::ENVELOPE, b"hello"));
    assert_eq!(home.state.apply(&talk), Err(ControlError::Foreign));
    let garbage = Operation::sign(ada, next, draft(Kind::MEMBER_ADDED, b"garbage"));
    assert_eq!(home.state.apply(&garbage), Err(ControlError::Body));
    let unknown = Operation::sign(ada, next, draft(Kind(42), &[0x80]));
    assert_eq!(home.state.apply(&unknown), Err(ControlError::Body));
    let op = sign(ada, next, &entry);
    let bare = Operation::from_parts(op.header_bytes().to_vec(), *op.signature(), None).unwrap();
    assert_eq!(home.state.apply(&bare), Err(ControlError::Body));
    assert_eq!(home.state, before, "what is refused changes nothing");
}

#[test]
fn entries_that_make_no_sense_are_counted_and_change_nobody() {
    let mut home = Home::new();
    home.add(node(2), Role::Member);
    let owner = home.identity.node();
    let nonsense = [
        Entry::Genesis(genesis(&home.identity)),
        removed(node(9), &[(1, 1)]),
        removed(owner, &[(1, 0)]),
        role_set(node(9), Role::Admin.code(), &[]),
        role_set(owner, Role::Guest.code(), &[]),
        role_set(node(2), Role::Owner.code(), &[]),
        role_set(node(2), 77, &[]),
        added(node(3), Role::Owner.code(), Bytes16([0; 16])),
        added(node(3), 77, Bytes16([0; 16])),
        added(node(2), Role::Admin.code(), Bytes16([0; 16])),
        invited(Bytes16([1; 16]), owner, Role::Owner.code(), 9, 9),
        invited(Bytes16([1; 16]), owner, 77, 9, 9),
        Entry::InviteRevoked(InviteRevoked { invite: Bytes16([1; 16]), evidence: Bytes::default() }),
        moved(node(9)),
        moved(node(2)), // no admin
    ];
    let members: Vec<_> = home.state.members().map(|(node, _, role)| (node, role)).collect();
    for (n, entry) in nonsense.into_iter().enumerate() {
        home.decide(entry);
        assert_eq!(home.state.height(), 3 + n as u64);
        let now: Vec<_> = home.state.members().map(|(node, _, role)| (node, role)).collect();
        assert_eq!(now, members, "entry {n}");
        assert_eq!(home.state.invites().count(), 0, "entry {n}");
        assert_eq!(home.state.home(), owner, "entry {n}");
    }
}

#[test]
fn once_the_home_moved_the_new_one_decides_and_the_former_no_more() {
    let mut home = Home::new();
    let (ada, bob) = (Identity::from_seed([1; 32]), Identity::from_seed([2; 32]));
    home.add(bob.node(), Role::Admin);
    home.move_to(Identity::from_seed([2; 32]));
    assert_eq!(home.state.home(), bob.node());
    let entry = added(node(3), 1, Bytes16([0; 16]));
    let next = home.next();
    assert_eq!(home.state.apply(&sign(&ada, next, &entry)), Err(ControlError::NotTheHome));
    home.add(node(3), Role::Member);
    home.move_to(Identity::from_seed([1; 32]));
    let next = home.next();
    assert_eq!(home.state.apply(&sign(&bob, next, &entry)), Err(ControlError::NotTheHome));
    home.remove(node(3), &[]);
    assert_eq!((home.state.height(), home.state.role(node(3))), (6, None));
}

#[test]
fn the_home_keeps_its_role_and_its_place_while_it_is_the_home_and_so_does_the_owner() {
    let mut home = Home::new();
    let owner = home.identity.node();
    home.add(node(2), Role::Admin);
    home.move_to(Identity::from_seed([2; 32]));
    for about in [node(2), owner] {
        home.remove(about, &[]);
        home.set_role(about, Role::Guest, &[]);
    }
    assert_eq!(home.state.role(node(2)), Some(Role::Admin));
    assert_eq!(home.state.role(owner), Some(Role::Owner));
    home.move_to(Identity::from_seed([1; 32]));
    home.remove(node(2), &[]);
    assert_eq!(home.state.role(node(2)), None);
}

#[test]
fn an_invite_is_counted_and_keeps_its_first_meaning() {
    let mut home = Home::new();
    let (id, owner) = (Bytes16([1; 16]), home.identity.node());
    home.invite(id, owner, Role::Guest.code(), 50, 3);
    home.invite(id, owner, Role::Admin.code(), 99, 9);
    home.join(node(2), id);
    home.join(node(3), id);
    home.revoke(id);
    let expected = InviteState {
        by: owner,
        role: Role::Guest,
        not_after_ms: 50,
        uses_max: 3,
        uses: 2,
        revoked: true,
        height: 2,
    };
    assert_eq!(home.state.invite(&id.0), Some(&expected));
    assert_eq!(home.state.role(node(2)), Some(Role::Guest));
}

/// Bob at seed 2: in at 2, guest from 3 on, out at 4, in again at 5, out again at 6.
fn turbulent() -> Home {
    let mut home = Home::new();
    home.add(node(2), Role::Member);
    home.set_role(node(2), Role::Guest, &[(7, 10)]);
    home.remove(node(2), &[(7, 20)]);
    home.add(node(2), Role::Admin);
    home.remove(node(2), &[(7, 20), (8, 5)]);
    home
}

#[test]
fn an_operation_stands_by_the_height_it_cites_and_by_the_cut_offs() {
    let home = turbulent();
    let table = [
        // incarnation, seq, cited height, standing
        (7, 1, 1, Standing::Stranger), // before it was let in
        (7, 1, 2, Standing::Member),
        (7, 20, 3, Standing::Member),
        (7, 21, 3, Standing::CutOff), // back-dated
        (7, 21, 4, Standing::CutOff),
        (7, 20, 4, Standing::Stranger), // between two stays
        (7, 21, 5, Standing::CutOff),   // a log once cut stays closed
        (9, 1, 3, Standing::CutOff),    // a log the home never saw
        (8, 5, 5, Standing::Member),
        (8, 6, 5, Standing::CutOff),
        (8, 5, 3, Standing::CutOff), // not one of its first stay
        (8, 1, 6, Standing::Stranger),
        (7, 1, 7, Standing::Ahead),
        (8, 6, u64::MAX, Standing::Ahead),
    ];
    for (incarnation, seq, cited, standing) in table {
        let log = home.log(node(2), incarnation);
        assert_eq!(home.state.standing(&log, seq, cited), standing, "({incarnation}, {seq}, {cited})");
    }
    assert_eq!(home.state.standing(&home.log(node(9), 1), 1, 1), Standing::Stranger);
    let owner = home.log(home.identity.node(), 1);
    assert_eq!(home.state.standing(&owner, u64::MAX, 6), Standing::Member);
}

#[test]
fn what_stands_is_never_above_the_cap_and_the_cap_is_told_by_everybody() {
    let home = turbulent();
    for incarnation in 7..=9 {
        let log = home.log(node(2), incarnation);
        for cited in 1..=6 {
            let cap = home.state.cap(&log, cited);
            for seq in 1..=30 {
                if home.state.standing(&log, seq, cited) == Standing::Member {
                    assert!(seq <= cap, "({incarnation}, {seq}, {cited}) stands above {cap}");
                }
            }
        }
    }
    assert_eq!(home.state.cap(&home.log(node(2), 7), 3), 20);
    assert_eq!(home.state.cap(&home.log(node(2), 8), 5), 5);
    assert_eq!(home.state.cap(&home.log(node(2), 9), 3), 0);
    assert_eq!(home.state.cap(&home.log(node(9), 1), 6), 0);
    assert_eq!(home.state.cap(&home.log(home.identity.node(), 1), 6), u64::MAX);
}

#[test]
fn a_role_change_counts_for_what_cites_it_and_for_what_the_home_had_not_seen() {
    let home = turbulent();
    let table = [
        (7, 10, 2, Some(Role::Member)),
        (7, 11, 2, Some(Role::Guest)), // back-dated
        (7, 10, 3, Some(Role::Guest)), // it knew
        (9, 1, 2, Some(Role::Guest)),  // a log the home had not seen
        (8, 1, 5, Some(Role::Admin)),
        (7, 1, 1, None),
    ];
    for (incarnation, seq, cited, role) in table {
        let log = home.log(node(2), incarnation);
        assert_eq!(home.state.role_at(&log, seq, cited), role, "({incarnation}, {seq}, {cited})");
    }
    assert_eq!(home.state.role_at(&home.log(node(9), 1), 1, 1), None);
}

#[test]
fn a_member_that_comes_back_has_its_new_name_role_and_date() {
    let mut home = turbulent();
    assert_eq!(home.state.role(node(2)), None);
    assert_eq!(home.state.everybody().count(), 2);
    home.add(node(2), Role::Guest);
    let (_, member, role) = home.state.members().find(|(id, ..)| *id == node(2)).unwrap();
    assert_eq!((role, member.joined_ms), (Role::Guest, CREATED_MS + 6_000));
}

#[test]
fn roles_have_names_codes_and_rights() {
    for (code, role) in [Role::Guest, Role::Member, Role::Admin, Role::Owner].into_iter().enumerate() {
        assert_eq!(role.as_str().parse(), Ok(role));
        assert_eq!(usize::from(role.code()), code);
        assert_eq!(Role::from_code(role.code()), Some(role));
        assert_eq!((role.writes(), role.administers()), (code >= 1, code >= 2));
    }
    assert_eq!(Role::from_code(4), None);
    assert_eq!("king".parse::<Role>(), Err(UnknownRole));
}

#[test]
fn the_bytes_of_control_entries_never_change() {
    let ada = Identity::from_seed([1; 32]);
    let parent = WorkspaceId::new(CREATED_MS, [4; 10]);
    let entries = [
        Entry::Genesis(genesis(&ada)),
        Entry::Genesis(Genesis { parent: vec![parent], ..genesis(&ada) }),
        added(node(2), 1, Bytes16([5; 16])),
        role_set(node(2), 2, &[(7, 10), (8, 300)]),
        removed(node(2), &[(7, 10)]),
        invited(Bytes16([5; 16]), node(2), 1, CREATED_MS, 3),
        Entry::InviteRevoked(InviteRevoked { invite: Bytes16([5; 16]), evidence: Bytes(vec![9; 4]) }),
        moved(node(2)),
        Entry::HomeMoved(HomeMoved { node: node(2), evidence: Bytes(vec![9; 4]) }),
    ];
    let lines = entries.map(|entry| {
        let (kind, body) = entry.encode();
        assert_eq!(Entry::decode(kind, &body), Ok(entry));
        format!("{} {}", kind.0, data_encoding::HEXLOWER.encode(&body))
    });
    insta::assert_snapshot!(lines.join("\n"));
    insta::assert_snapshot!(genesis(&ada).space().to_string());
}
