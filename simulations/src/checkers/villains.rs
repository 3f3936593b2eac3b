//! What villains said: the part that was honest counts everywhere alike, and nothing else does.

use std::{collections::BTreeMap, sync::Arc};

use muster_protocol::{
    content::Content,
    control::{ControlState, Entry, MemberRemoved},
    identity::NodeId,
    ids::{LogId, OpId},
    network::{Envelope, PeerName},
    operation::Operation,
    sync::View as _,
};
use muster_storage::{EventRow, StoreError, SyncView};

use super::picture::{Knowledge, Picture, key};
use crate::world::{Machine, Shared, key_of};

/// All nodes that hold a villain's log hold the same of what counts, and nothing that it did not sign.
pub(super) fn check_log(log: &LogId, picture: &Picture, pictures: &[Picture], complaints: &mut Vec<String>) {
    let counting = |picture: &Picture| -> Vec<Operation> {
        let held = picture.logs.get(log);
        held.map_or_else(Vec::new, |(counts, ops)| ops.iter().take(*counts as usize).cloned().collect())
    };
    let mine = counting(picture);
    if !mine.iter().all(is_signed) {
        complaints.push(format!("node {} holds what {} did not sign", picture.index, log.author));
    }
    // Of a pair space only one honest node holds anything.
    for other in pictures.iter().filter(|other| other.index > picture.index && log.space == picture.space) {
        if counting(other) != mine {
            let (one, other) = (picture.index, other.index);
            complaints.push(format!("nodes {one} and {other} count different operations of {}", log.author));
        }
    }
}

/// Cut-off: of the logs of who was removed nothing counts above what the home had seen, as the removal says.
pub(super) fn check_cut_offs(machine: &Machine, picture: &Picture, complaints: &mut Vec<String>) {
    let Some(node) = machine.node() else { return };
    let removal = |height: u64| -> Option<MemberRemoved> {
        let entries = SyncView::new(node.store()).ok()?.control_entries(picture.space, height, 1).ok()?;
        let entry = Operation::decode(entries.first()?).ok()?;
        match Entry::decode(entry.header().kind, entry.body()?).ok()? {
            Entry::MemberRemoved(removed) => Some(removed),
            _ => None,
        }
    };
    for (villain, height) in machine.shared().den.removals() {
        let Some(removed) = removal(height).filter(|removed| removed.node == villain) else {
            complaints
                .push(format!("node {}: {villain} was removed at {height}, where it is not", picture.index));
            continue;
        };
        let logs = picture.logs.iter().filter(|(log, _)| log.author == villain && log.space == picture.space);
        for (log, (counts, _)) in logs {
            let seen = removed.cut_offs.iter().find(|(incarnation, _)| *incarnation == log.incarnation);
            let last = seen.map_or(0, |(_, last)| *last);
            if *counts > last {
                let index = picture.index;
                complaints
                    .push(format!("node {index} counts {counts} operations of {villain}, cut off at {last}"));
            }
        }
    }
}

/// Whether the author signed an operation, strictly: checked apart from the code that is checked.
fn is_signed(operation: &Operation) -> bool {
    let payload = [b"muster/op/v1\0", operation.header_bytes()].concat();
    let key = ed25519_dalek::VerifyingKey::from_bytes(operation.header().author.as_bytes());
    let signature = ed25519_dalek::Signature::from_bytes(operation.signature());
    key.is_ok_and(|key| key.verify_strict(&payload, &signature).is_ok())
}

/// Two nodes that count something else of a villain's log, though as much of it.
pub(super) fn apart(shared: &Shared, machines: &[Arc<Machine>]) -> Result<Option<String>, StoreError> {
    let mut first: Option<(usize, BTreeMap<LogId, Option<OpId>>)> = None;
    if shared.den.ids().is_empty() {
        return Ok(None);
    }
    for machine in machines {
        let Some(node) = machine.node() else { return Ok(Some("a node is down".to_owned())) };
        let view = node.store().view()?;
        let Some(space) = node.store().spaces().first().copied() else { continue };
        let mut heads = BTreeMap::new();
        for (log, counts) in view.log_heights(space)? {
            if counts > 0 && shared.den.is_villain(log.author) {
                let newest = view.log_operations(&log)?.get(counts as usize - 1).map(Operation::id);
                heads.insert(log, newest);
            }
        }
        match &first {
            None => first = Some((machine.index(), heads)),
            Some((index, first)) if *first != heads => {
                let logs = first.iter().filter(|(log, head)| heads.get(log) != Some(head));
                let logs: Vec<_> = logs.map(|(log, head)| (log.author, log.incarnation, head)).collect();
                return Ok(Some(format!("nodes {index} and {} count different: {logs:?}", machine.index())));
            }
            Some(_) => {}
        }
    }
    Ok(None)
}

/// Whether an operation means anything.
pub(super) fn has_effect(operation: &Operation, workspace: &ControlState, me: NodeId) -> bool {
    let header = operation.header();
    let content = if header.space == workspace.space() {
        Content::read(operation, workspace)
    } else {
        Content::read(operation, &ControlState::pair(workspace, me, header.author))
    };
    !matches!(content, Content::Void(_))
}

/// Whether a message is from or to a villain; nobody promised anything about those.
pub(super) fn takes_part(envelope: &Envelope, known: &Knowledge<'_>) -> bool {
    known.is_villain(&envelope.from) || envelope.to.as_ref().is_some_and(|to| known.is_villain(to))
}

/// Whether an event tells of something that a villain said, or that was said to one.
pub(super) fn tells(event: &EventRow, known: &Knowledge<'_>) -> bool {
    let peers = ["peer_from", "peer_to", "peer_a", "peer_b"].map(|name| event.data[name].as_str());
    let mut peers = peers.into_iter().flatten().filter_map(|peer| PeerName::parse(peer).ok());
    peers.any(|peer| known.is_villain(&peer))
}

/// How many messages of villains reached a node and were taken back.
pub(super) fn taken_back(picture: &Picture, shared: &Shared) -> usize {
    let held: std::collections::BTreeSet<_> =
        picture.messages().map(|(_, _, envelope)| key(envelope)).collect();
    let messages = picture.events.iter().filter(|event| event.kind == "message");
    messages
        .filter(|event| {
            let key = key_of(event);
            shared.den.speaks_as(&key.0) && !held.contains(&key)
        })
        .count()
}
