//! The steps every call begins with, in the order of N-134: network on, channel well-formed,
//! workspace known, query well-formed. A handler takes those it needs, in that order.

use muster_protocol::{
    limits,
    network::{ChannelName, DirectId, ThreadId, WorkId},
};
use muster_storage::{View, WorkspaceRow};
use serde::Deserialize;
use utoipa::IntoParams;

use super::errors::Failure;
use crate::{Doors, input::given};

/// A workspace, and the view of the store in which it was found.
pub(super) struct Scope {
    pub(super) view: View,
    pub(super) workspace: WorkspaceRow,
}

impl Scope {
    /// Opens the workspace that `reference` names (N-2).
    pub(super) fn open(doors: &Doors, reference: &str) -> Result<Self, Failure> {
        let view = doors.node.store().view()?;
        let workspace = view.workspace(reference.trim())?.ok_or_else(Failure::unknown_workspace)?;
        Ok(Self { view, workspace })
    }

    /// 400 when a body names another workspace than the path. Blank counts as absent.
    pub(super) fn same_workspace(&self, reference: &str) -> Result<(), Failure> {
        let Some(reference) = given(Some(reference)) else { return Ok(()) };
        match self.view.workspace(reference)? {
            Some(workspace) if workspace.id == self.workspace.id => Ok(()),
            _ => Err(Failure::invalid("`workspace_id` is not the workspace of the path")),
        }
    }

    /// The canonical id, which every answer shows.
    pub(super) fn id(&self) -> String {
        self.workspace.id.to_string()
    }
}

/// 503 when the network is switched off.
pub(super) fn running(doors: &Doors) -> Result<(), Failure> {
    if doors.node.settings().network.enabled { Ok(()) } else { Err(Failure::disabled()) }
}

/// Parses the channel of a path or query.
pub(super) fn channel(text: &str) -> Result<ChannelName, Failure> {
    ChannelName::parse(text).map_err(|fault| Failure::invalid(format!("`channel`: {fault}")))
}

/// Parses the thread of a path.
pub(super) fn thread(text: &str) -> Result<ThreadId, Failure> {
    ThreadId::parse(text).map_err(|fault| Failure::invalid(format!("`thread_id`: {fault}")))
}

/// Parses the direct room of a path.
pub(super) fn room(text: &str) -> Result<DirectId, Failure> {
    DirectId::parse(text).map_err(|fault| Failure::invalid(format!("`direct_id`: {fault}")))
}

/// Parses the work of a path.
pub(super) fn work(text: &str) -> Result<WorkId, Failure> {
    WorkId::parse(text).map_err(|fault| Failure::invalid(format!("`work_id`: {fault}")))
}

/// 404: the cursor of a page names nothing of its list.
pub(super) fn unknown_cursor() -> Failure {
    Failure::not_found("nothing in this list has the id the cursor names")
}

/// How many items the page may have (N-137).
pub(super) fn limit(text: Option<&str>) -> Result<usize, Failure> {
    let Some(text) = given(text) else { return Ok(limits::PAGE_DEFAULT) };
    let digits = text.strip_prefix('+').unwrap_or(text);
    if digits.is_empty()
        || !digits.bytes().all(|byte| byte.is_ascii_digit())
        || digits.bytes().all(|byte| byte == b'0')
    {
        return Err(Failure::invalid("`limit` has to be a whole number, 1 or more"));
    }
    // More digits than a number holds wish for more than the cap, too.
    Ok(digits.parse().unwrap_or(limits::PAGE_MAX).min(limits::PAGE_MAX))
}

/// The workspace of a path.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct WorkspacePath {
    /// Workspace that scopes everything in the call: its id or its name (N-2).
    #[param(min_length = 1)]
    pub(super) workspace_id: String,
}

/// The channel of a path.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct ChannelPath {
    /// Workspace that scopes everything in the call: its id or its name (N-2).
    #[param(min_length = 1)]
    pub(super) workspace_id: String,
    /// Channel inside the workspace.
    #[param(pattern = "^[a-z0-9][a-z0-9_-]{0,63}$")]
    pub(super) channel: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_positive_whole_number_and_capped_n137() {
        for (text, items) in
            [("1", 1), ("100", 100), ("501", 500), (" 7 ", 7), ("99999999999999999999999", 500)]
        {
            assert_eq!(limit(Some(text)).ok(), Some(items), "{text}");
        }
        assert_eq!(limit(None).ok(), Some(100));
        for text in ["0", "-1", "1.5", "ten", "00", "+"] {
            assert!(limit(Some(text)).is_err(), "{text}");
        }
    }
}
