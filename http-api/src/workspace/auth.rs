//! Keys: who asks, and whether they may (W-15 to W-31). The order of checks is that of W-18.

use axum::{
    extract::FromRequestParts,
    http::{header::AUTHORIZATION, request::Parts},
    response::Response,
};
use muster_actors::{FarBot, Worker};
use muster_protocol::{
    ids::WorkspaceId,
    key::{PresentedKey, Scope, is_made_by},
    principal::Principal,
};
use muster_storage::{BotRow, KeyRow, PersonRow, StreamRow, View, WorkspaceRow};
use subtle::ConstantTimeEq;

use super::errors::Failure;
use crate::Doors;

/// Which keys may call an operation (W-28).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kinds {
    Both,
    UserOnly,
    BotOnly,
}

/// What the request carries as its key; not looked at yet.
pub(super) struct Bearer(Option<String>);

impl<S: Sync> FromRequestParts<S> for Bearer {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        Ok(Self(bearer(parts.headers.get(AUTHORIZATION)).map(str::to_owned)))
    }
}

/// The token of an `Authorization` header with the scheme `Bearer`.
pub(super) fn bearer(header: Option<&axum::http::HeaderValue>) -> Option<&str> {
    let (scheme, token) = header?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whom a key speaks for.
pub(super) enum Actor {
    User(PersonRow),
    Bot(BotRow),
}

/// Who asks, after all checks that concern only them.
pub(super) struct Caller {
    pub(super) view: View,
    pub(super) workspace: WorkspaceRow,
    pub(super) actor: Actor,
    /// The id of the key: `uak_` or `bak_` and a ULID.
    pub(super) key_id: String,
}

impl Bearer {
    /// Judges the key: 401, then the workspace (403), the scope (404), the kind of key (403).
    pub(super) fn enter(
        &self,
        doors: &Doors,
        workspace_id: &str,
        scope: Option<Scope>,
        kinds: Kinds,
    ) -> Result<Caller, Failure> {
        let view = doors.node.store().view()?;
        let presented = self.0.as_deref().and_then(PresentedKey::parse).ok_or_else(Failure::unauthorized)?;
        let key = find(&view, &presented, doors.node.now_ms())?.ok_or_else(Failure::unauthorized)?;
        let workspace = view.workspaces()?.into_iter().find(|row| row.space == key.workspace);
        let workspace = workspace.filter(|row| row.role.is_some()).ok_or_else(Failure::owner_inactive)?;
        let actor = actor(&view, &workspace, key.principal)?;
        // An id that is written in another way is another id (W-8).
        let asked: Option<WorkspaceId> = workspace_id.parse().ok();
        if asked.is_none_or(|asked| asked != workspace.id || asked.to_string() != workspace_id) {
            return Err(Failure::forbidden("No access to this workspace"));
        }
        if let Some(scope) = scope
            && !is_granted(&view, &workspace, &key, scope)
        {
            return Err(Failure::scope_missing(scope));
        }
        match (kinds, &actor) {
            (Kinds::UserOnly, Actor::Bot(_)) => {
                return Err(Failure::forbidden("This operation needs a user key"));
            }
            (Kinds::BotOnly, Actor::User(_)) => {
                return Err(Failure::forbidden("This operation needs a bot key"));
            }
            _ => {}
        }
        let prefix = if key.principal.is_bot() { "bak" } else { "uak" };
        Ok(Caller { view, workspace, actor, key_id: format!("{prefix}_{}", key.id) })
    }
}

/// Who asks for work, or about work that it holds.
pub(super) struct Working {
    pub(super) workspace: WorkspaceRow,
    pub(super) worker: Worker,
    is_archived: bool,
}

impl Working {
    /// A bot that is archived says nothing (W-31). Of one whose home is elsewhere, its home knows.
    pub(super) fn acts(&self) -> Result<(), Failure> {
        if self.is_archived { Err(Failure::bot_archived()) } else { Ok(()) }
    }
}

impl Bearer {
    /// Judges the key of a bot that works, also of one whose home is another node of the workspace: that one judges it.
    pub(super) fn work(&self, doors: &Doors, workspace_id: &str) -> Result<Working, Failure> {
        if let Some((far, workspace)) = self.far(doors, workspace_id)? {
            return Ok(Working { workspace, worker: Worker::Far(far), is_archived: false });
        }
        let caller = self.enter(doors, workspace_id, Some(Scope::BotInvocationsWrite), Kinds::BotOnly)?;
        let (worker, is_archived) = (Worker::Here(caller.principal()), caller.acts().is_err());
        Ok(Working { workspace: caller.workspace, worker, is_archived })
    }

    /// A bot's key that another node of the workspace made.
    fn far(&self, doors: &Doors, workspace_id: &str) -> Result<Option<(FarBot, WorkspaceRow)>, Failure> {
        let Some(text) = self.0.as_deref() else { return Ok(None) };
        let Some(presented) = PresentedKey::parse(text).filter(|key| key.is_bot) else { return Ok(None) };
        let view = doors.node.store().view()?;
        let here = view.workspaces()?.into_iter().find(|row| row.id.to_string() == workspace_id);
        let Some(workspace) = here.filter(|row| row.role.is_some()) else { return Ok(None) };
        let Some(control) = view.control(workspace.space) else { return Ok(None) };
        let home = control.members().map(|(node, _, _)| node).find(|node| is_made_by(text, *node));
        let home = home.filter(|home| *home != doors.node.id());
        let key = presented.sha256;
        Ok(home.map(|home| (FarBot { workspace: workspace.id, home, key }, workspace)))
    }
}

fn find(view: &View, presented: &PresentedKey, now_ms: u64) -> Result<Option<KeyRow>, Failure> {
    let keys = view.keys_beginning(presented.letters, now_ms)?;
    let same = |key: &KeyRow| bool::from(key.sha256.ct_eq(&presented.sha256));
    Ok(keys.into_iter().find(same).filter(|key| key.is_live && key.principal.is_bot() == presented.is_bot))
}

fn actor(view: &View, workspace: &WorkspaceRow, principal: Principal) -> Result<Actor, Failure> {
    match principal {
        Principal::User(_) => {
            let person = view.person(workspace, principal)?.filter(|person| person.is_active);
            person.map(Actor::User).ok_or_else(Failure::owner_inactive)
        }
        Principal::Bot(_) => {
            view.bot(workspace, principal)?.map(Actor::Bot).ok_or_else(Failure::unauthorized)
        }
    }
}

/// What is granted to a key, as far as its owner may do it now (W-23).
fn is_granted(view: &View, workspace: &WorkspaceRow, key: &KeyRow, scope: Scope) -> bool {
    let may_write = view.home_role(workspace, key.principal).is_some_and(|role| role.writes());
    key.scopes.iter().any(|granted| granted == scope.as_str()) && (may_write || !scope.writes())
}

impl Caller {
    pub(super) fn principal(&self) -> Principal {
        match &self.actor {
            Actor::User(person) => person.id,
            Actor::Bot(bot) => bot.id,
        }
    }

    /// A bot that is archived reads, and does nothing (W-31).
    pub(super) fn acts(&self) -> Result<(), Failure> {
        match &self.actor {
            Actor::Bot(bot) if bot.card.archived_ms > 0 => Err(Failure::bot_archived()),
            _ => Ok(()),
        }
    }

    /// How a message that is sent with this key is marked (W-62).
    pub(super) fn sent_via(&self) -> String {
        match &self.actor {
            Actor::User(_) => format!("api_key:{}", self.key_id),
            Actor::Bot(_) => String::new(),
        }
    }

    /// A stream that the caller may read; one that is hidden and one that is not there are refused alike (W-34).
    pub(super) fn readable(&self, stream_id: &str) -> Result<StreamRow, Failure> {
        let id = super::ids::stream(stream_id).ok_or_else(Failure::no_access)?;
        let row = self.view.stream(&self.workspace, id)?.ok_or_else(Failure::no_access)?;
        if self.may_read(&row)? { Ok(row) } else { Err(Failure::no_access()) }
    }

    pub(super) fn may_read(&self, stream: &StreamRow) -> Result<bool, Failure> {
        Ok(self.view.may_read(&self.workspace, stream, self.principal())?)
    }
}
