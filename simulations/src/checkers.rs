//! What must be true of all nodes of a world once they had time to agree, whatever went wrong before.
//!
//! | invariant | in other words |
//! |---|---|
//! | durability | what was acknowledged is on the disk of the node that acknowledged it |
//! | no loss | it is on the disks of all others that should have it |
//! | no duplicates | everything was stored once, however often it was sent |
//! | no side effects | what was refused is nowhere, and changed nothing (N-49) |
//! | convergence | all nodes hold the same logs and show the same threads in the same order |
//! | causality | an answer stands behind what it answers |
//! | authenticity | every operation verifies, and its author made it |
//! | contiguity | logs have no holes, are chains, and their time grows |
//! | dense sequences | a reader that pages meets everything exactly once (see [`crate::world`]) |
//! | inboxes | a session gets what is for it and not refused, in order, the newest up to its depth |
//! | secrecy | what two nodes say to each other alone, no third stores, lists or counts (N-33) |
//! | confidences | a private channel is on the nodes of those who take part and no others, and alike there (W-33) |
//! | slugs | a slug names one person or bot (W-110) |
//! | rooms | both nodes show the same rooms with the same messages in the same order (N-39) |
//! | confidentiality | no frame of a space is sent to a node that may not read it (checked at each frame) |
//! | bounded | what waits for a process never grows beyond its limits (looked at all the time) |
//! | suspicion | honest nodes do not ban each other |
//! | cut-off | nothing of a removed member counts above what its removal says the home had seen |
//! | malice | what a member said before it lied or was removed is the same everywhere, and nothing else of it counts |
//! | work | it stands as the stored messages decide in people's order, and is counted so (N-47, N-52) |

mod confidences;
mod messages;
mod picture;
mod rooms;
mod villains;
mod works;

use std::{collections::BTreeMap, sync::Arc};

use muster_actors::Node;
use muster_protocol::ids::{LogId, OpId, SpaceId};
use muster_storage::{StoreError, View};

use self::picture::{Knowledge, Picture};
use crate::world::{Machine, Shared};

/// How many complaints one world may make; the rest repeat them.
const COMPLAINTS_MAX: usize = 20;

/// What the nodes still differ in, as far as a glance shows.
pub fn disagreement(shared: &Shared, machines: &[Arc<Machine>]) -> Option<String> {
    let workspace = shared.ledger.workspace()?;
    let mut first: Option<Held> = None;
    let sessions = shared.ledger.sessions().len();
    for machine in machines {
        let index = machine.index();
        let Some(node) = machine.node() else { return Some(format!("node {index} is down")) };
        let others = machines.iter().filter(|other| other.id() != machine.id());
        if let Some(other) = others.into_iter().find(|other| !node.is_online(other.id())) {
            return Some(format!("nodes {index} and {} are not linked", other.index()));
        }
        let peers = node.peers(workspace, None).unwrap_or_default();
        let peers = peers.iter().filter(|peer| !shared.den.speaks_as(peer.peer.as_str())).count();
        if peers != sessions {
            return Some(format!("node {index} sees {peers} peers of {sessions}"));
        }
        let held = match held(&node) {
            Ok(Some(held)) => held,
            Ok(None) => return Some(format!("node {index} is not in the workspace")),
            Err(error) => return Some(format!("node {index} cannot be read: {error}")),
        };
        match &first {
            None => first = Some(held),
            Some(first) if *first != held => {
                return Some(format!("nodes 0 and {index} hold different things: {first:?}, {held:?}"));
            }
            Some(_) => {}
        }
    }
    let apart = apart(machines).and_then(|apart| match apart {
        Some(apart) => Ok(Some(apart)),
        None => match confidences::apart(shared, machines)? {
            Some(apart) => Ok(Some(apart)),
            None => villains::apart(shared, machines),
        },
    });
    apart.unwrap_or_else(|error| Some(format!("a node cannot be read: {error}")))
}

/// Two nodes that hold different things in their pair space.
fn apart(machines: &[Arc<Machine>]) -> Result<Option<String>, StoreError> {
    let mut views = Vec::new();
    for machine in machines {
        let Some(node) = machine.node() else { return Ok(Some("a node is down".to_owned())) };
        views.push((machine, node.store().view()?, node.store().spaces().first().copied()));
    }
    for (at, (one, view, workspace)) in views.iter().enumerate() {
        for (other, others, _) in &views[at + 1..] {
            let Some(workspace) = workspace else { continue };
            let space = SpaceId::pair(*workspace, one.id(), other.id());
            if heights(view, space)? != heights(others, space)? {
                let (one, other) = (one.index(), other.index());
                return Ok(Some(format!("nodes {one} and {other} differ in their pair space")));
            }
        }
    }
    Ok(None)
}

/// How much of each log counts at a node, and the head of the control log.
type Held = (BTreeMap<LogId, u64>, OpId);

fn held(node: &Node) -> Result<Option<Held>, StoreError> {
    let view = node.store().view()?;
    let Some(space) = node.store().spaces().first().copied() else { return Ok(None) };
    let Some(control) = view.control(space) else { return Ok(None) };
    Ok(Some((heights(&view, space)?, control.head())))
}

fn heights(view: &View, space: SpaceId) -> Result<BTreeMap<LogId, u64>, StoreError> {
    Ok(view.log_heights(space)?.into_iter().filter(|(_, height)| *height > 0).collect())
}

/// Everything in the table above, on what is stored now; each complaint is a sentence.
pub fn check(shared: &Shared, machines: &[Arc<Machine>]) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut pictures = Vec::new();
    let mut known = Knowledge::of(shared, machines);
    for machine in machines {
        match Picture::take(&mut known, machine) {
            Ok(Some(picture)) => pictures.push(picture),
            Ok(None) => complaints.push(format!("node {} has no workspace", machine.index())),
            Err(error) => complaints.push(format!("node {} cannot be read: {error}", machine.index())),
        }
    }
    for (machine, picture) in
        machines.iter().zip(&pictures).filter(|(machine, picture)| machine.index() == picture.index)
    {
        villains::check_cut_offs(machine, picture, &mut complaints);
    }
    for picture in &pictures {
        picture.check_secrecy(&known, &mut complaints);
        picture.check_logs(&known, &mut complaints);
        picture.check_messages(&known, &mut complaints);
        picture.check_inboxes(shared, &mut complaints);
        picture.check_rooms(&known, &mut complaints);
        picture.check_works(shared, &mut complaints);
    }
    for (at, picture) in pictures.iter().enumerate() {
        for other in &pictures[at + 1..] {
            picture.compare(other, &mut complaints);
            picture.compare_rooms(other, &mut complaints);
            picture.compare_works(other, &mut complaints);
        }
    }
    check_authors(shared, machines, &pictures, &mut complaints);
    confidences::check(shared, machines, &mut complaints);
    for picture in &pictures {
        let shown = format!("{:?} {:?} {:?}", picture.threads, picture.rooms, picture.works);
        shared.record("picture", &[shown.as_bytes()]);
    }
    complaints.truncate(COMPLAINTS_MAX);
    complaints
}

/// Nothing stands in anybody's log that its author did not make.
fn check_authors(
    shared: &Shared,
    machines: &[Arc<Machine>],
    pictures: &[Picture],
    complaints: &mut Vec<String>,
) {
    for picture in pictures {
        let index = picture.index;
        for (log, (_, operations)) in &picture.logs {
            if shared.den.is_villain(log.author) {
                villains::check_log(log, picture, pictures, complaints);
                continue;
            }
            let author = machines.iter().find(|machine| machine.id() == log.author);
            let own = author.and_then(|author| pictures.iter().find(|own| own.index == author.index()));
            let made = own.and_then(|own| own.logs.get(log)).map_or(&[][..], |(_, made)| made.as_slice());
            // The very bytes, so that it is enough to verify the author's own.
            if !made.starts_with(operations) {
                complaints.push(format!("node {index} holds what {} did not make", log.author));
            }
            let is_own = own.is_some_and(|own| own.index == index);
            if is_own && operations.iter().any(|operation| operation.verify().is_err()) {
                complaints.push(format!("node {index} holds operations of its own that do not verify"));
            }
        }
    }
}
