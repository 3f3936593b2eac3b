//! Founding, inviting, joining, removing, changing roles, moving the home: asking the home to decide, or being it.

use std::sync::Arc;

use muster_protocol::{
    ask::{AdminRefusal, AdminRequest, Answer, HomeAt, JoinRequest, Question, invite_text, parse_invite},
    cbor::{Bytes, Bytes16},
    control::{
        ControlState, Entry, Genesis, HomeMoved, InviteCreated, InviteRevoked, MemberRemoved, Role, RoleSet,
    },
    identity::NodeId,
    ids::{SpaceId, WorkspaceId, ulid},
    limits,
    operation::Operation,
    ticket::{SignedTicket, Ticket},
};
use muster_storage::{WorkspaceRow, clean_name};

use super::Node;
use crate::{
    error::{
        CreateWorkspaceError, InviteError, JoinError, MoveHomeError, RemoveMemberError, SetRoleError,
        SettleError, Unavailable,
    },
    ports::RequestError,
};

/// How long a new member waits for the control log that says so, before it goes on without.
const WELCOME: std::time::Duration = std::time::Duration::from_secs(8);

/// A ticket and its invite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// `inv_` and a ULID.
    pub id: String,
    /// The text to hand over.
    pub ticket: String,
    /// Until when, Unix milliseconds.
    pub expires_ms: u64,
}

impl Node {
    /// Founds a workspace; this node is its owner and home.
    pub async fn create_workspace(
        &self,
        name: String,
        parent: Option<WorkspaceId>,
    ) -> Result<WorkspaceRow, CreateWorkspaceError> {
        let name = name.trim().to_owned();
        if name.is_empty() || name.chars().count() > limits::NAME_CHARS_MAX || name != clean_name(&name) {
            return Err(CreateWorkspaceError::Name);
        }
        if parent.is_some_and(|parent| self.context.space(parent).is_none()) {
            return Err(CreateWorkspaceError::UnknownParent);
        }
        let now_ms = self.context.wall_ms();
        let genesis = Genesis {
            workspace: WorkspaceId::new(now_ms, self.context.random()),
            name,
            founder: self.id(),
            founder_name: clean_name(self.name()),
            created_ms: now_ms,
            parent: parent.into_iter().collect(),
        };
        let node = self.clone();
        self.carry_out(async move {
            let space = node.write(move |batch| batch.found(&genesis)).await?;
            Ok(node.workspace_row(space)?.ok_or(Unavailable::Storage)?)
        })
        .await
    }

    /// Has an admin's wish decided: here when this is the home, else by asking the home. Says which node decided
    /// and where that is.
    pub(super) async fn administer(
        &self,
        control: &ControlState,
        entry: Entry,
    ) -> Result<Result<HomeAt, AdminRefusal>, Unavailable> {
        let (space, me) = (control.space(), self.id());
        while self.context.decides_blindly(space) {
            self.context.ports.clock.sleep(limits::FIRST_WORD_LOOK).await;
        }
        // What a member told meanwhile may be that the home is elsewhere.
        let home = self.context.store.control(space).map_or(control.home(), |now| now.home());
        if home == me {
            if self.context.moves_out_of_sight(space, me, &entry) {
                return Ok(Err(AdminRefusal::Away));
            }
            let decided = self.write(move |batch| batch.administer(space, me, entry, Vec::new())).await?;
            let addresses = self.context.ports.network.listen_addresses();
            return decided.map_or_else(not_decided, |_| Ok(Ok(HomeAt { home, addresses })));
        }
        let (kind, body) = entry.encode();
        let at_ms = self.context.wall_ms();
        let question = |home| {
            Question::Admin(AdminRequest { space, home, node: me, at_ms, kind, body: Bytes(body.clone()) })
        };
        let addresses = self.context.store.view()?.addresses(home)?;
        let answer = self.ask_home(HomeAt { home, addresses }, question).await;
        let (answer, by) = answer.map_err(|_| Unavailable::HomeUnreachable { home })?;
        match answer {
            Some(Answer::Decided(_)) => Ok(Ok(by)),
            Some(Answer::NotDecided(refusal)) => not_decided(refusal),
            _ => Err(Unavailable::HomeUnreachable { home: by.home }),
        }
    }

    /// Asks a home, and where that says the home moved to. Answers with what was said, if it can be read, and by
    /// whom.
    async fn ask_home(
        &self,
        first: HomeAt,
        question: impl Fn(NodeId) -> Question,
    ) -> Result<(Option<Answer>, HomeAt), RequestError> {
        let mut asked = first;
        for _ in 0..=limits::HOME_MOVES_FOLLOWED_MAX {
            let bytes = question(asked.home).sign(&self.context.identity);
            let answer =
                self.context.ports.network.request(asked.home, asked.addresses.clone(), bytes).await?;
            match Answer::decode(&answer) {
                Ok(Answer::Moved(moved)) if moved.home != self.id() => asked = moved,
                answer => return Ok((answer.ok(), asked)),
            }
        }
        Err(RequestError::Unreachable) // they send us in circles
    }

    fn control(&self, workspace: WorkspaceId) -> Option<Arc<ControlState>> {
        self.context.space(workspace).and_then(|space| self.context.store.control(space))
    }

    /// Makes a ticket. Lives `expires_in_seconds`, may be used `uses_max` times.
    pub async fn create_invite(
        &self,
        workspace: WorkspaceId,
        role: Role,
        expires_in_seconds: u64,
        uses_max: u32,
    ) -> Result<Invite, InviteError> {
        let control = self.control(workspace).ok_or(InviteError::UnknownWorkspace)?;
        let own = control.role(self.id());
        if !own.is_some_and(Role::administers) {
            return Err(InviteError::NotAllowed { role: own });
        }
        let fits = (1..=limits::INVITE_SECONDS_MAX).contains(&expires_in_seconds)
            && (1..=limits::INVITE_USES_MAX).contains(&uses_max)
            && role != Role::Owner;
        if !fits {
            return Err(InviteError::Limits);
        }
        let now_ms = self.context.wall_ms();
        let invite = Bytes16(ulid(now_ms, self.context.random()).to_bytes());
        let expires_ms = now_ms + expires_in_seconds * 1000;
        let entry = Entry::InviteCreated(InviteCreated {
            invite,
            by: self.id(),
            role: role.code(),
            not_after_ms: expires_ms,
            uses_max,
            evidence: Bytes::default(),
        });
        let node = self.clone();
        self.carry_out(async move {
            let decided = node.administer(&control, entry).await?;
            let HomeAt { home, mut addresses } = decided.map_err(|refusal| invite_error(refusal, own))?;
            addresses.truncate(limits::ADDRESSES_PER_NODE_MAX);
            let ticket = Ticket {
                space: control.space(),
                workspace,
                name: control.genesis().name.clone(),
                home,
                addresses,
                invite,
                issuer: node.id(),
                role: role.code(),
                not_after_ms: expires_ms,
                audience: Vec::new(),
            };
            let ticket = ticket.sign(&node.context.identity).to_string();
            Ok(Invite { id: invite_text(&invite), ticket, expires_ms })
        })
        .await
    }

    /// Revokes a ticket.
    pub async fn revoke_invite(&self, workspace: WorkspaceId, invite_id: &str) -> Result<(), InviteError> {
        let control = self.control(workspace).ok_or(InviteError::UnknownWorkspace)?;
        let own = control.role(self.id());
        let invite = parse_invite(invite_id).ok_or(InviteError::UnknownInvite)?;
        if !own.is_some_and(Role::administers) {
            return Err(InviteError::NotAllowed { role: own });
        }
        let entry = Entry::InviteRevoked(InviteRevoked { invite, evidence: Bytes::default() });
        let node = self.clone();
        self.carry_out(async move {
            let decided = node.administer(&control, entry).await?;
            decided.map(|_| ()).map_err(|refusal| invite_error(refusal, own))
        })
        .await
    }

    /// Removes a node from a workspace: nothing it writes afterwards counts.
    pub async fn remove_member(
        &self,
        workspace: WorkspaceId,
        member: NodeId,
    ) -> Result<(), RemoveMemberError> {
        let control = self.control(workspace).ok_or(RemoveMemberError::UnknownWorkspace)?;
        let entry = Entry::MemberRemoved(MemberRemoved {
            node: member,
            cut_offs: Vec::new(),
            evidence: Bytes::default(),
        });
        let node = self.clone();
        self.carry_out(async move {
            match node.administer(&control, entry).await? {
                Ok(_) => Ok(()),
                Err(AdminRefusal::NoSuchThing) => Err(RemoveMemberError::UnknownMember),
                Err(AdminRefusal::IsHome) => Err(RemoveMemberError::IsHome),
                Err(_) => Err(RemoveMemberError::NotAllowed),
            }
        })
        .await
    }

    /// Says in the owner's name that nobody knows more of a workspace's control log than this node, its home, whose
    /// store is a copy (see [`Unavailable::Unsettled`]); nor of the private streams that were opened here. Idempotent.
    pub async fn settle(&self, workspace: WorkspaceId) -> Result<WorkspaceRow, SettleError> {
        let control = self.control(workspace).ok_or(SettleError::UnknownWorkspace)?;
        if control.home() != self.id() && self.store().groups_at_home(control.space()) == 0 {
            return Err(SettleError::NotTheHome { home: control.home() });
        }
        let (node, space) = (self.clone(), control.space());
        self.carry_out(async move {
            node.write(move |batch| batch.settle_all(space)).await?;
            Ok(node.workspace_row(space)?.ok_or(Unavailable::Storage)?)
        })
        .await
    }

    /// Sets what a member may do. What it wrote before, and the home had seen, counts as it did.
    pub async fn set_role(
        &self,
        workspace: WorkspaceId,
        member: NodeId,
        role: Role,
    ) -> Result<(), SetRoleError> {
        let control = self.control(workspace).ok_or(SetRoleError::UnknownWorkspace)?;
        let entry = Entry::RoleSet(RoleSet {
            node: member,
            role: role.code(),
            cut_offs: Vec::new(),
            evidence: Bytes::default(),
        });
        let node = self.clone();
        self.carry_out(async move {
            match node.administer(&control, entry).await? {
                Ok(_) => Ok(()),
                Err(AdminRefusal::NoSuchThing) => Err(SetRoleError::UnknownMember),
                Err(AdminRefusal::IsHome) => Err(SetRoleError::IsHome),
                Err(_) => Err(SetRoleError::NotAllowed),
            }
        })
        .await
    }

    /// Makes another admin's node the home, in the owner's name: it decides from then on. Idempotent.
    pub async fn move_home(&self, workspace: WorkspaceId, to: NodeId) -> Result<WorkspaceRow, MoveHomeError> {
        let control = self.control(workspace).ok_or(MoveHomeError::UnknownWorkspace)?;
        let entry = Entry::HomeMoved(HomeMoved { node: to, evidence: Bytes::default() });
        let node = self.clone();
        self.carry_out(async move {
            match node.administer(&control, entry).await? {
                Ok(_) => {}
                Err(AdminRefusal::NoSuchThing) => return Err(MoveHomeError::UnknownMember),
                Err(AdminRefusal::NotAnAdmin) => return Err(MoveHomeError::NotAnAdmin),
                Err(AdminRefusal::Away) => return Err(MoveHomeError::Away),
                Err(_) => return Err(MoveHomeError::NotAllowed),
            }
            // Decided elsewhere, it may still be on its way here.
            let row = node.workspace_row(control.space())?.ok_or(Unavailable::Storage)?;
            Ok(WorkspaceRow { home: to, ..row })
        })
        .await
    }

    /// Joins the workspace a ticket opens. Returns when this node knows that it is a member, or after some
    /// seconds while the log of members is still on its way.
    pub async fn join(&self, ticket: &str) -> Result<WorkspaceRow, JoinError> {
        let signed: SignedTicket = ticket.parse()?;
        let node = self.clone();
        self.carry_out(async move { node.join_with(&signed).await }).await
    }

    async fn join_with(&self, signed: &SignedTicket) -> Result<WorkspaceRow, JoinError> {
        let ticket = signed.ticket().clone();
        let me = self.id();
        let (encoded, name, at_ms) = (signed.encode(), clean_name(self.name()), self.context.wall_ms());
        let question = |home| {
            let (ticket, name) = (Bytes(encoded.clone()), name.clone());
            Question::Join(JoinRequest { ticket, home, node: me, name, at_ms })
        };
        if ticket.home != me {
            let first = HomeAt { home: ticket.home, addresses: ticket.addresses.clone() };
            let answer = self.ask_home(first, question).await;
            let (answer, by) = answer.map_err(|error| match error {
                RequestError::Unreachable | RequestError::Timeout => {
                    JoinError::Unreachable { addresses: ticket.addresses.clone() }
                }
                RequestError::Refused => JoinError::Impostor,
            })?;
            let genesis = match answer {
                Some(Answer::Joined(genesis)) => genesis,
                Some(Answer::NotJoined(refusal)) => return Err(refusal.into()),
                _ => return Err(JoinError::Impostor),
            };
            let genesis = Operation::decode(&genesis).map_err(|_| JoinError::Impostor)?;
            let begins = ControlState::begin(&genesis)
                .is_ok_and(|state| state.genesis().workspace == ticket.workspace);
            if genesis.header().space != ticket.space || genesis.verify().is_err() || !begins {
                return Err(JoinError::Impostor);
            }
            self.write(move |batch| {
                batch.learn_addresses(by.home, &by.addresses)?;
                if let Some(space) = batch.begin_space(&genesis)? {
                    batch.note_welcome(space, by.home)?;
                }
                Ok(())
            })
            .await?;
            self.wait_for_membership(ticket.space).await;
        }
        let row = self.workspace_row(ticket.space)?.ok_or(JoinError::Impostor)?;
        // The control log may still be on its way; what the ticket promised holds until it says otherwise.
        let role = row.role.or_else(|| Role::from_code(ticket.role));
        Ok(WorkspaceRow { role, ..row })
    }

    async fn wait_for_membership(&self, space: SpaceId) {
        let mut events = self.context.events.subscribe();
        let me = self.id();
        let known = || self.context.store.control(space).is_some_and(|control| control.role(me).is_some());
        let wait = async {
            while !known() {
                if events.changed().await.is_err() {
                    break;
                }
            }
        };
        let timeout = self.context.ports.clock.sleep(WELCOME);
        futures::future::select(std::pin::pin!(wait), timeout).await;
    }
}

/// A refusal is about what was asked, or about the home, which would decide nothing else either.
fn not_decided<T>(refusal: AdminRefusal) -> Result<Result<T, AdminRefusal>, Unavailable> {
    match refusal {
        AdminRefusal::Busy => Err(Unavailable::Busy),
        AdminRefusal::Unsettled => Err(Unavailable::Unsettled),
        AdminRefusal::Forked => Err(Unavailable::Forked),
        asked => Ok(Err(asked)),
    }
}

fn invite_error(refusal: AdminRefusal, role: Option<Role>) -> InviteError {
    match refusal {
        AdminRefusal::Unknown => InviteError::UnknownWorkspace,
        AdminRefusal::NotAllowed => InviteError::NotAllowed { role },
        AdminRefusal::NoSuchThing => InviteError::UnknownInvite,
        _ => InviteError::Limits,
    }
}
