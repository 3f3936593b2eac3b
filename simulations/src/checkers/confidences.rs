//! Private channels: on the nodes of those who take part and on no others, the same on all of them, and nothing that
//! was confided is lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use muster_actors::Node;
use muster_protocol::{
    control::ControlState,
    identity::NodeId,
    ids::{LogId, SpaceId, StreamId},
    principal::Principal,
    sync::View as _,
};
use muster_storage::{StoreError, SyncView, View, Window, WorkspaceRow};

use crate::world::{Machine, Shared};

/// A group as one node holds it.
struct Holding {
    index: usize,
    node: NodeId,
    control: Arc<ControlState>,
    heights: BTreeMap<LogId, u64>,
    /// Who takes part, as this node shows it.
    members: BTreeSet<Principal>,
    /// What it shows as said, in people's order.
    texts: Vec<String>,
}

/// All groups of a world, by their space.
type Groups = BTreeMap<SpaceId, Vec<Holding>>;

fn groups(shared: &Shared, machines: &[Arc<Machine>]) -> Result<Groups, StoreError> {
    let mut groups = Groups::new();
    let Some(workspace) = shared.ledger.workspace() else { return Ok(groups) };
    for machine in machines {
        let Some(node) = machine.node() else { continue };
        let view = node.store().view()?;
        let Some(row) = view.workspace(&workspace.to_string())? else { continue };
        for space in SyncView::new(node.store())?.spaces()? {
            let control = view.control(space);
            let Some(control) = control.filter(|control| control.group_stream().is_some()) else { continue };
            let holding = hold(machine, &node, &view, &row, control)?;
            groups.entry(space).or_default().push(holding);
        }
    }
    Ok(groups)
}

fn hold(
    machine: &Machine,
    node: &Node,
    view: &View,
    row: &WorkspaceRow,
    control: Arc<ControlState>,
) -> Result<Holding, StoreError> {
    let stream = StreamId::group(control.space());
    let heights = view.log_heights(control.space())?.into_iter().filter(|(_, height)| *height > 0);
    let members = view.members_of(stream, None, usize::MAX)?.into_iter().map(|part| part.id);
    let mut posts = view.posts(row, stream, Window::Newest, usize::MAX - 1)?.0;
    posts.sort_by_key(|post| (post.created_ms, post.id));
    Ok(Holding {
        index: machine.index(),
        node: node.id(),
        heights: heights.collect(),
        members: members.collect(),
        texts: posts.into_iter().map(|post| post.text).collect(),
        control,
    })
}

/// What the nodes of a group still differ in, or the home has not drawn the consequence of.
pub(super) fn apart(shared: &Shared, machines: &[Arc<Machine>]) -> Result<Option<String>, StoreError> {
    for (space, holdings) in groups(shared, machines)? {
        let Some(home) = holdings.iter().find(|holding| holding.node == holding.control.home()) else {
            return Ok(Some(format!("the home of the group {space:?} does not hold it")));
        };
        let wanted: BTreeSet<NodeId> = machines
            .iter()
            .map(|machine| machine.id())
            .filter(|node| *node == home.node || home.members.iter().any(|who| who.is_of(*node)))
            .collect();
        let held: BTreeSet<NodeId> = home.control.members().map(|(node, _, _)| node).collect();
        if wanted != held {
            return Ok(Some(format!("the home of {space:?} holds it with {held:?} instead of {wanted:?}")));
        }
        for node in &held {
            let Some(there) = holdings.iter().find(|holding| holding.node == *node) else {
                return Ok(Some(format!("{node} takes part in {space:?} and does not hold it")));
            };
            let same = there.control.head() == home.control.head()
                && there.heights == home.heights
                && there.members == home.members;
            if !same {
                return Ok(Some(format!("nodes {} and {} differ in {space:?}", home.index, there.index)));
            }
        }
        for gone in holdings.iter().filter(|holding| !held.contains(&holding.node)) {
            if gone.members.iter().any(|who| who.is_of(gone.node)) {
                return Ok(Some(format!("node {} does not know that {space:?} let it go", gone.index)));
            }
        }
    }
    Ok(None)
}

/// Everything that must hold of private channels, on what is stored.
pub(super) fn check(shared: &Shared, machines: &[Arc<Machine>], complaints: &mut Vec<String>) {
    let checked = groups(shared, machines).and_then(|groups| {
        complaints.extend(apart(shared, machines)?);
        Ok(groups)
    });
    let groups = match checked {
        Ok(groups) => groups,
        Err(error) => return complaints.push(format!("a node cannot be read: {error}")),
    };
    for (space, holdings) in &groups {
        let home = holdings.iter().find(|holding| holding.node == holding.control.home());
        let Some(home) = home else { continue }; // said above
        for holding in holdings {
            check_one(shared, machines, (*space, home, holding), complaints);
        }
    }
    check_slugs(shared, machines, complaints);
}

fn check_one(
    shared: &Shared,
    machines: &[Arc<Machine>],
    (space, home, holding): (SpaceId, &Holding, &Holding),
    complaints: &mut Vec<String>,
) {
    let (index, stream) = (holding.index, StreamId::group(space));
    if !home.control.everybody().any(|(node, _)| node == holding.node) {
        complaints.push(format!("node {index} holds {space:?} and was never let in"));
    }
    let shown: BTreeSet<&String> = holding.texts.iter().collect();
    if shown.len() != holding.texts.len() {
        complaints.push(format!("node {index} shows something twice in {space:?}: {:?}", holding.texts));
    }
    let is_member = home.control.role(holding.node).is_some();
    if is_member && holding.texts != home.texts {
        complaints.push(format!("nodes {} and {index} show {space:?} otherwise", home.index));
    }
    // What was put out, or forgot, may have said what no longer counts.
    let stayed = |node: usize| {
        let machine = machines.iter().find(|machine| machine.index() == node);
        let member = machine.map(|machine| (machine.id(), home.control.role(machine.id())));
        let stays = |(id, role): (_, Option<_>)| role.is_some() && home.control.removed_at(id).is_none();
        member.is_some_and(stays) && shared.ledger.lives(node) == 0
    };
    for confided in shared.ledger.confidences() {
        let counts = confided.stream == stream && is_member && stayed(confided.node);
        if counts && !shown.contains(&confided.text) {
            let (text, node) = (&confided.text, confided.node);
            complaints.push(format!("node {index} lacks {text:?}, which node {node} acknowledged"));
        }
    }
}

/// A slug names one, and all know whom.
fn check_slugs(shared: &Shared, machines: &[Arc<Machine>], complaints: &mut Vec<String>) {
    let Some(workspace) = shared.ledger.workspace() else { return };
    for machine in machines {
        let node = machine.node();
        let control = node.and_then(|node| node.store().control(node.store().space_of(workspace)?));
        let Some(control) = control else { continue };
        let mut named = BTreeMap::new();
        for (principal, slug) in control.principals() {
            if let Some(other) = named.insert(slug, principal) {
                let index = machine.index();
                complaints.push(format!("node {index}: {slug} names both {principal} and {other}"));
            }
        }
    }
}
