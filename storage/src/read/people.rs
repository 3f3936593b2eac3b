//! The people and bots of a workspace.

use muster_protocol::{
    control::Role,
    identity::NodeId,
    principal::{BotCard, PersonCard, Principal, Slug},
};
use ulid::Ulid;

use super::{View, WorkspaceRow};
use crate::{
    StoreError,
    newest::newest,
    people::Card,
    tables::{self, Subject},
};

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonRow {
    /// Who.
    pub id: Principal,
    /// The name they are mentioned by.
    pub slug: Slug,
    /// What their home says.
    pub card: PersonCard,
    /// Whether their home node is a member of the workspace and their membership has not ended.
    pub is_active: bool,
}

/// A bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BotRow {
    /// Which.
    pub id: Principal,
    /// The name it is mentioned by.
    pub slug: Slug,
    /// What its home says.
    pub card: BotCard,
    /// Its home, while that is a member that may write.
    pub home: Option<NodeId>,
    /// When its card was last changed, Unix milliseconds.
    pub updated_ms: u64,
}

impl BotRow {
    /// When it was made, Unix milliseconds.
    pub fn created_ms(&self) -> u64 {
        self.id.ulid().timestamp_ms()
    }

    /// The person it belongs to.
    pub fn owner(&self) -> Option<Principal> {
        self.card.owner.parse().ok()
    }

    /// Whether it has a trait.
    pub fn has(&self, wanted: &str) -> bool {
        self.card.traits.iter().any(|has| has == wanted)
    }
}

impl View {
    /// A person who has a slug and a card.
    pub fn person(&self, workspace: &WorkspaceRow, id: Principal) -> Result<Option<PersonRow>, StoreError> {
        let Some((slug, card, _)) = self.named_card(workspace, id)? else { return Ok(None) };
        let Card::Person(card) = card else { return Ok(None) };
        let is_active = !card.ended && self.home_role(workspace, id).is_some();
        Ok(Some(PersonRow { id, slug, card, is_active }))
    }

    /// A bot that has a slug and a card.
    pub fn bot(&self, workspace: &WorkspaceRow, id: Principal) -> Result<Option<BotRow>, StoreError> {
        let Some((slug, card, updated_ms)) = self.named_card(workspace, id)? else { return Ok(None) };
        let Card::Bot(card) = card else { return Ok(None) };
        Ok(Some(BotRow { id, slug, card, home: self.home_of(workspace, id), updated_ms }))
    }

    /// The name of a principal now (W-66).
    pub fn display_name(
        &self,
        workspace: &WorkspaceRow,
        id: Principal,
    ) -> Result<Option<String>, StoreError> {
        Ok(self.named_card(workspace, id)?.map(|(_, card, _)| card.name().to_owned()))
    }

    /// The member node that is home to a principal, while it may write (W-23).
    pub fn home_of(&self, workspace: &WorkspaceRow, id: Principal) -> Option<NodeId> {
        let control = self.control(workspace.space)?;
        let home = control.members().find(|(node, _, role)| role.writes() && id.is_of(*node));
        home.map(|(node, _, _)| node)
    }

    /// The role of a principal's home node.
    pub fn home_role(&self, workspace: &WorkspaceRow, id: Principal) -> Option<Role> {
        let control = self.control(workspace.space)?;
        control.members().find(|(node, _, _)| id.is_of(*node)).map(|(_, _, role)| role)
    }

    /// Whom a slug names in a workspace.
    pub fn named(&self, workspace: &WorkspaceRow, slug: &Slug) -> Option<Principal> {
        self.control(workspace.space)?.named(slug)
    }

    /// The people of a workspace who take part, by the time they came, from behind `after` on (W-42).
    pub fn people(
        &self,
        workspace: &WorkspaceRow,
        after: Option<Ulid>,
        fits: impl Fn(&PersonRow) -> bool,
        limit: usize,
    ) -> Result<Vec<PersonRow>, StoreError> {
        let mut found = Vec::new();
        self.each_principal(workspace, Principal::User, after, |id| {
            found.extend(self.person(workspace, id)?.filter(|row| row.is_active && fits(row)));
            Ok(found.len() < limit)
        })?;
        Ok(found)
    }

    /// The bots of a workspace, by the time they were made.
    pub fn bots(
        &self,
        workspace: &WorkspaceRow,
        fits: impl Fn(&BotRow) -> bool,
    ) -> Result<Vec<BotRow>, StoreError> {
        let mut found = Vec::new();
        self.each_principal(workspace, Principal::Bot, None, |id| {
            found.extend(self.bot(workspace, id)?.filter(|row| fits(row)));
            Ok(true)
        })?;
        Ok(found)
    }

    fn each_principal(
        &self,
        workspace: &WorkspaceRow,
        kind: fn(Ulid) -> Principal,
        after: Option<Ulid>,
        mut visit: impl FnMut(Principal) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let number = self.number(workspace.space)?;
        let from = tables::principal_key(number, kind(after.unwrap_or(Ulid::nil())));
        let to = tables::principal_key(number, kind(Ulid::from_bytes([0xff; 16])));
        for entry in self.txn.open_table(tables::PRINCIPALS)?.range::<&[u8; 21]>(&from..=&to)? {
            let id = tables::principal_in(entry?.0.value());
            if Some(id.ulid()) != after && !visit(id)? {
                break;
            }
        }
        Ok(())
    }

    /// The slug and the newest card of a principal, and when that was said.
    fn named_card(
        &self,
        workspace: &WorkspaceRow,
        id: Principal,
    ) -> Result<Option<(Slug, Card, u64)>, StoreError> {
        let slug = self.control(workspace.space).and_then(|control| control.slug(id).cloned());
        let subject = Subject::Card(self.number(workspace.space)?, id);
        let (said, ops) = (self.txn.open_table(tables::NEWEST)?, self.txn.open_table(tables::OPS)?);
        let (Some(slug), Some(op)) = (slug, newest(&said, &ops, subject, |_| true)?) else { return Ok(None) };
        Ok(Card::of(&op).map(|card| (slug, card, op.header().hlc.ms())))
    }
}
