//! Watches the nodes of a world from outside while they live: what they send, and how much they hold back.
//!
//! *Confidentiality*: a frame of a space goes to nobody who may not read it, as far as the sender's own control log
//! says. *Bounded*: nothing that waits anywhere grows without end, however slow or hostile the others are.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use muster_actors::ports::Clock;
use muster_protocol::{
    fork::ForkProof, identity::NodeId, ids::SpaceId, limits::LINK_WAITING_BYTES_MAX, presence::Presence,
    sync::Frame,
};

use super::{Machine, Shared};

/// How long frames of a space may still leave for a node that was removed, in milliseconds: its link is cut by another
/// actor than the one that sends.
const GRACE_MS: u64 = 100;
/// How often is looked at what waits.
const LOOK: Duration = Duration::from_millis(250);

/// Since when somebody may not read a space, as a sender knows it.
type Since = Mutex<BTreeMap<(NodeId, NodeId, SpaceId), u64>>;

/// Watches from now on.
pub(super) fn begin(shared: &Arc<Shared>, machines: &[Arc<Machine>]) {
    let by_id: BTreeMap<NodeId, Weak<Machine>> =
        machines.iter().map(|machine| (machine.id(), Arc::downgrade(machine))).collect();
    let since = Since::default();
    shared.mesh.watch(Box::new(move |from, to, frame| {
        let Some(machine) = by_id.get(&from).and_then(Weak::upgrade) else { return };
        if let Some(wrong) = is_told_too_much(&machine, to, frame, &since) {
            machine.wrong(&wrong);
        }
    }));
    look(shared, machines);
}

/// The space of which a frame tells something that not everybody may know.
fn space_of(frame: &Frame) -> Option<SpaceId> {
    match frame {
        // How far one is in a control log is told to whoever names the space first; that a space is not shared
        // (any more) to whoever sent operations of it.
        Frame::Hello(_) | Frame::ControlHeight(..) => None,
        Frame::Heights { heights, .. } if heights.is_empty() => None,
        Frame::Heights { space, .. }
        | Frame::ControlEntries(space, _)
        | Frame::Digest(space, _)
        | Frame::Want(space, _)
        | Frame::Ops(space, _) => Some(*space),
        Frame::Fork(proof) => Some(ForkProof::decode(&proof.0).ok()?.verify().ok()?.0.space),
        Frame::Presence(bytes) => Some(Presence::decode(&bytes.0).ok()?.space),
    }
}

fn is_told_too_much(machine: &Machine, to: NodeId, frame: &[u8], since: &Since) -> Option<String> {
    let frame = match Frame::decode(frame) {
        Ok(frame) => frame,
        Err(error) => return Some(format!("it sends {to} what is no frame: {error}")),
    };
    let space = space_of(&frame)?;
    let node = machine.node()?; // it is just starting, or was killed
    let store = node.store();
    let workspace = store
        .spaces()
        .into_iter()
        .find(|workspace| *workspace == space || SpaceId::pair(*workspace, machine.id(), to) == space);
    let group = || store.control(space).filter(|control| control.group_stream().is_some()).map(|_| space);
    let Some(members) = workspace.or_else(group) else {
        return Some(format!("it tells {to} of {space:?}, which is none of theirs: {}", short(&frame)));
    };
    let may = store.control(members)?.role(to).is_some();
    let now_ms = machine.shared().beginning.elapsed_ms();
    let mut since = since.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (machine.id(), to, space);
    if may {
        since.remove(&key);
        return None;
    }
    let first = *since.entry(key).or_insert(now_ms);
    (now_ms > first + GRACE_MS).then(|| format!("it tells {to}, who was removed: {}", short(&frame)))
}

fn short(frame: &Frame) -> String {
    format!("{frame:?}").chars().take(80).collect()
}

/// Looks at all that waits, again and again.
#[expect(clippy::disallowed_methods, reason = "whoever watches is a task of the world")]
fn look(shared: &Arc<Shared>, machines: &[Arc<Machine>]) {
    let (shared, machines) = (Arc::clone(shared), machines.to_vec());
    tokio::spawn(async move {
        loop {
            shared.clock().sleep(LOOK).await;
            for machine in &machines {
                let (waiting, most) = shared.mesh.waiting(machine.id());
                let held = machine.node().map_or(0, |node| node.waiting_bytes());
                if held > LINK_WAITING_BYTES_MAX {
                    machine.wrong(&format!("{held} bytes wait for one of its links"));
                }
                if waiting > most {
                    machine.wrong(&format!("{waiting} events wait for it, of {most} that may"));
                }
            }
        }
    });
}
