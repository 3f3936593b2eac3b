//! When this node, as the home of a workspace, should not decide yet. What it may decide is the store's question.

use muster_protocol::{
    control::{Entry, HomeMoved, Role},
    identity::NodeId,
    ids::SpaceId,
    limits,
};

use crate::context::{Context, lock};

impl Context {
    /// Whether this node, as the home of a space, should hear from a member before it decides: it has just been started,
    /// maybe from a disk that was set back.
    pub(crate) fn decides_blindly(&self, space: SpaceId) -> bool {
        let since_ms = self.monotonic_ms().saturating_sub(self.started_ms);
        let Some(control) = self.store.control(space) else { return false };
        since_ms < limits::FIRST_WORD.as_millis() as u64
            && control.home() == self.identity.node()
            && control.members().count() > 1
            && !lock(&self.heard).contains(&space)
    }

    /// Whether an owner's wish would move a home that is here to an admin's node that is not connected: before that
    /// node hears of it, the workspace would have no home.
    pub(crate) fn moves_out_of_sight(&self, space: SpaceId, by: NodeId, entry: &Entry) -> bool {
        let Entry::HomeMoved(HomeMoved { node, .. }) = entry else { return false };
        let Some(control) = self.store.control(space) else { return false };
        control.home() == self.identity.node()
            && control.home() != *node
            && control.role(by) == Some(Role::Owner)
            && control.role(*node).is_some_and(Role::administers)
            && !lock(&self.links).keys().any(|link| link.node == *node)
    }
}
