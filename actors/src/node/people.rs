//! People, bots and their keys: this node is home to those it makes.

use muster_protocol::{
    ask::AdminRefusal,
    cbor::Bytes,
    control::{Entry, SlugTaken},
    ids::{WorkspaceId, ulid},
    key::{Scope, new_key},
    principal::{BotCard, PersonCard, Principal, Slug},
};
use muster_storage::{BotRow, Card, NewKey, PersonRow, WorkspaceRow};
use ulid::Ulid;

use super::Node;
use crate::error::{KeyError, PrincipalError, Unavailable};

/// How long somebody new waits for the control log that names them: as long as an answer of the home may take.
const NAMED: std::time::Duration = muster_protocol::limits::REQUEST_TIMEOUT;

/// A person to be made.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// Their name.
    pub name: String,
    /// Their address.
    pub email: String,
    /// Without one it is made of the name.
    pub slug: Option<String>,
    /// `owner`, `admin` or `member`.
    pub role: String,
}

/// A bot to be made.
#[derive(Debug, Clone)]
pub struct NewBot {
    /// Its name.
    pub name: String,
    /// Without one it is made of the name.
    pub slug: Option<String>,
    /// What it is for; empty for nothing said.
    pub description: String,
    /// The person it belongs to; none for one that is shared.
    pub owner: Option<Principal>,
    /// Its traits.
    pub traits: Vec<String>,
}

/// A key that was just made; the only time it is seen.
#[derive(Debug, Clone)]
pub struct MintedKey {
    /// The ULID of its record.
    pub id: Ulid,
    /// All of it.
    pub key: String,
}

impl Node {
    /// Makes a person, whose home is this node. The workspace's home gives the slug.
    pub async fn create_user(
        &self,
        workspace: WorkspaceId,
        new: NewUser,
    ) -> Result<PersonRow, PrincipalError> {
        let row = self.workspace_here(workspace)?.ok_or(PrincipalError::UnknownWorkspace)?;
        let id = Principal::new_user(self.now_ms(), self.id(), self.context.random());
        let card = PersonCard {
            id: id.to_string(),
            name: new.name.trim().to_owned(),
            email: new.email.trim().to_owned(),
            role: new.role,
            ended: false,
        };
        let is_address =
            card.email.split_once('@').is_some_and(|(who, at)| !who.is_empty() && !at.is_empty());
        if !is_address {
            return Err(PrincipalError::Invalid("`email` has to be an address like ada@example.org"));
        }
        self.make(row.clone(), Card::Person(card), id, new.slug).await?;
        self.store().view()?.person(&row, id)?.ok_or(PrincipalError::Unavailable(Unavailable::Storage))
    }

    /// Makes a bot, whose home is this node. The workspace's home gives the slug.
    pub async fn create_bot(&self, workspace: WorkspaceId, new: NewBot) -> Result<BotRow, PrincipalError> {
        let row = self.workspace_here(workspace)?.ok_or(PrincipalError::UnknownWorkspace)?;
        if let Some(owner) = new.owner
            && self.store().view()?.person(&row, owner)?.is_none_or(|owner| !owner.is_active)
        {
            return Err(PrincipalError::UnknownOwner);
        }
        let id = Principal::new_bot(self.now_ms(), self.id(), self.context.random());
        let card = BotCard {
            id: id.to_string(),
            name: new.name.trim().to_owned(),
            description: new.description.trim().to_owned(),
            owner: new.owner.map_or_else(String::new, |owner| owner.to_string()),
            traits: new.traits,
            archived_ms: 0,
        };
        self.make(row.clone(), Card::Bot(card), id, new.slug).await?;
        self.store().view()?.bot(&row, id)?.ok_or(PrincipalError::Unavailable(Unavailable::Storage))
    }

    /// Ends a person's membership: their keys stop at once, what they wrote stays (W-23).
    pub async fn end_membership(&self, workspace: WorkspaceId, id: Principal) -> Result<(), PrincipalError> {
        let row = self.workspace_here(workspace)?.ok_or(PrincipalError::UnknownWorkspace)?;
        let person = self.store().view()?.person(&row, id)?.filter(|person| !person.card.ended);
        let person = person.filter(|_| id.is_of(self.id())).ok_or(PrincipalError::UnknownPrincipal)?;
        self.put_card(row, Card::Person(PersonCard { ended: true, ..person.card })).await
    }

    /// Archives a bot (W-31). One that is archived stays so.
    pub async fn archive_bot(&self, workspace: WorkspaceId, id: Principal) -> Result<(), PrincipalError> {
        let row = self.workspace_here(workspace)?.ok_or(PrincipalError::UnknownWorkspace)?;
        let bot = self.store().view()?.bot(&row, id)?.filter(|_| id.is_of(self.id()));
        let bot = bot.ok_or(PrincipalError::UnknownPrincipal)?;
        if bot.card.archived_ms > 0 {
            return Ok(());
        }
        let archived_ms = self.now_ms();
        self.put_card(row, Card::Bot(BotCard { archived_ms, ..bot.card })).await
    }

    /// Says who somebody is, then has the home name them: whoever has no slug is shown to nobody, so a crash in
    /// between leaves nothing behind.
    async fn make(
        &self,
        row: WorkspaceRow,
        card: Card,
        id: Principal,
        slug: Option<String>,
    ) -> Result<(), PrincipalError> {
        if card.principal().is_none() {
            return Err(PrincipalError::Invalid(
                "a name has 1 to 100 characters that print, an address at most 100, a description at most 4096 bytes; a \
                 role is owner, admin or member, a trait mentionable or active-scratchpad, each once",
            ));
        }
        let slug = match slug {
            Some(slug) => Slug::parse(slug.trim()).ok(),
            None => Slug::suggest(card.name()),
        };
        let slug = slug.ok_or(PrincipalError::Invalid(
            "`slug` is a letter or digit, then up to 63 of a-z, 0-9, `_` and `-`; a name without letters needs one",
        ))?;
        let node = self.clone();
        self.carry_out(async move {
            let control = node.store().control(row.space).ok_or(PrincipalError::UnknownWorkspace)?;
            if control.named(&slug).is_some() {
                return Err(PrincipalError::SlugTaken);
            }
            node.put_card(row.clone(), card).await?;
            let (principal, slug, evidence) = (id.to_string(), slug.to_string(), Bytes::default());
            let entry = Entry::SlugTaken(SlugTaken { node: node.id(), principal, slug, evidence });
            match node.administer(&control, entry).await? {
                Ok(_) => Ok(()),
                Err(AdminRefusal::SlugTaken) => Err(PrincipalError::SlugTaken),
                Err(AdminRefusal::Limit) => Err(PrincipalError::TooMany),
                Err(AdminRefusal::Unknown) => Err(PrincipalError::UnknownWorkspace),
                Err(_) => Err(PrincipalError::NotAllowed),
            }?;
            node.named(row, id).await
        })
        .await
    }

    /// Waits until what the home decided has come here.
    async fn named(&self, row: WorkspaceRow, id: Principal) -> Result<(), PrincipalError> {
        let mut events = self.context.events.subscribe();
        let is_named = || self.store().control(row.space).is_some_and(|control| control.slug(id).is_some());
        let wait = async {
            while !is_named() {
                if events.changed().await.is_err() {
                    break;
                }
            }
        };
        let timeout = self.sleep(NAMED);
        futures::future::select(std::pin::pin!(wait), timeout).await;
        if is_named() { Ok(()) } else { Err(PrincipalError::Unavailable(Unavailable::Timeout)) }
    }

    async fn put_card(&self, row: WorkspaceRow, card: Card) -> Result<(), PrincipalError> {
        let node = self.clone();
        self.carry_out(async move {
            let taken = node.write(move |batch| batch.put_card(row.space, &card)).await?;
            if taken { Ok(()) } else { Err(PrincipalError::NotAllowed) }
        })
        .await
    }

    /// Makes a key for a person or a bot of this node (W-21 to W-27).
    pub async fn create_key(
        &self,
        workspace: WorkspaceId,
        principal: Principal,
        scopes: Vec<Scope>,
        expires_ms: Option<u64>,
    ) -> Result<MintedKey, KeyError> {
        let row = self.workspace_here(workspace)?.ok_or(KeyError::UnknownWorkspace)?;
        if scopes.is_empty() {
            return Err(KeyError::Scope);
        }
        let now_ms = self.now_ms();
        if expires_ms.is_some_and(|end| end <= now_ms) {
            return Err(KeyError::Expired);
        }
        let view = self.store().view()?;
        let is_there = match principal {
            Principal::User(_) => view.person(&row, principal)?.is_some_and(|person| person.is_active),
            Principal::Bot(_) => view.bot(&row, principal)?.is_some(),
        };
        drop(view);
        if !is_there || !principal.is_of(self.id()) {
            return Err(KeyError::UnknownPrincipal);
        }
        let key = new_key(principal, self.id(), self.context.random());
        let parts = muster_protocol::key::PresentedKey::parse(&key).ok_or(KeyError::Scope)?;
        let id = ulid(now_ms, self.context.random());
        let mut scopes: Vec<_> = scopes.into_iter().map(|scope| scope.as_str().to_owned()).collect();
        scopes.sort();
        scopes.dedup();
        let new = NewKey { id, sha256: parts.sha256, letters: parts.letters, principal, scopes, expires_ms };
        let node = self.clone();
        self.carry_out(async move {
            let taken = node.write(move |batch| batch.add_key(row.space, &new)).await?;
            if taken { Ok(MintedKey { id, key }) } else { Err(KeyError::TooMany) }
        })
        .await
    }

    /// Revokes a key: the next request with it is refused (W-25).
    pub async fn revoke_key(&self, workspace: WorkspaceId, id: Ulid) -> Result<(), KeyError> {
        let row = self.workspace_here(workspace)?.ok_or(KeyError::UnknownWorkspace)?;
        let node = self.clone();
        self.carry_out(async move {
            let known = node.write(move |batch| batch.revoke_key(row.space, id)).await?;
            if known { Ok(()) } else { Err(KeyError::UnknownKey) }
        })
        .await
    }

    pub(super) fn workspace_here(&self, workspace: WorkspaceId) -> Result<Option<WorkspaceRow>, Unavailable> {
        match self.context.space(workspace) {
            Some(space) => self.workspace_row(space),
            None => Ok(None),
        }
    }
}
