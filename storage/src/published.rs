//! What readers see beside the tables, as of the newest commit: spaces, and who belongs to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, RwLock},
};

use muster_protocol::{
    control::ControlState,
    identity::NodeId,
    ids::{SpaceId, WorkspaceId},
};

use crate::batch::{Memory, PrivateSpace};

/// The newest state, replaced with each commit.
#[derive(Default)]
pub(crate) struct Published {
    state: RwLock<Arc<State>>,
}

#[derive(Clone, Default)]
pub(crate) struct State {
    /// Of workspaces.
    pub(crate) controls: Arc<BTreeMap<SpaceId, Arc<ControlState>>>,
    pub(crate) pairs: Arc<BTreeMap<SpaceId, PrivateSpace>>,
    pub(crate) groups: Arc<BTreeMap<SpaceId, PrivateSpace>>,
    pub(crate) numbers: Arc<BTreeMap<SpaceId, u32>>,
    pub(crate) spaces: Arc<BTreeMap<u32, SpaceId>>,
    pub(crate) workspaces: Arc<BTreeMap<WorkspaceId, SpaceId>>,
    pub(crate) unsettled: Arc<BTreeMap<SpaceId, BTreeSet<NodeId>>>,
    /// Of what is above, as the writer counts its changes: most commits change nothing of it.
    revision: u64,
    pub(crate) last_event: u64,
    pub(crate) next_expiry_s: i64,
}

impl State {
    fn of(memory: &Memory) -> Self {
        let workspace =
            |(space, control): (&SpaceId, &Arc<ControlState>)| (control.genesis().workspace, *space);
        Self {
            controls: Arc::new(memory.controls.clone()),
            pairs: Arc::new(memory.pairs.clone()),
            groups: Arc::new(memory.groups.clone()),
            numbers: Arc::new(memory.space_numbers.clone()),
            spaces: Arc::new(memory.spaces.clone()),
            workspaces: Arc::new(memory.controls.iter().map(workspace).collect()),
            unsettled: Arc::new(memory.unsettled.clone()),
            revision: memory.revision,
            ..Self::default()
        }
    }

    fn private(&self, space: SpaceId) -> Option<&PrivateSpace> {
        self.pairs.get(&space).or_else(|| self.groups.get(&space))
    }

    /// The space of the workspace that a space belongs to.
    pub(crate) fn workspace_of(&self, space: SpaceId) -> SpaceId {
        self.private(space).map_or(space, |private| private.workspace)
    }

    pub(crate) fn control(&self, space: SpaceId) -> Option<Arc<ControlState>> {
        let private = || self.private(space).map(|private| &private.control);
        self.controls.get(&space).or_else(private).cloned()
    }
}

impl Published {
    pub(crate) fn set(&self, memory: &Memory, last_event: u64) {
        let before = self.get();
        let state = State {
            last_event,
            next_expiry_s: memory.next_expiry_s,
            ..if before.revision == memory.revision { (*before).clone() } else { State::of(memory) }
        };
        *self.state.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(state);
    }

    pub(crate) fn get(&self) -> Arc<State> {
        self.state.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}
