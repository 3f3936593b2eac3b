//! What a commit changed, for those who have to act on it.

use std::collections::BTreeMap;

use muster_protocol::{
    identity::NodeId,
    ids::SpaceId,
    network::{Envelope, Kind, PeerName},
    sync::Height,
};

/// All that one commit changed. Told after it is durable.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// By space.
    pub spaces: BTreeMap<SpaceId, SpaceChange>,
    /// Messages stored, in order.
    pub messages: Vec<MessageChange>,
    /// Greets and whois among them, in order, for whoever keeps presence.
    pub presence: Vec<PresenceChange>,
    /// Messages of other nodes that were not delivered to the peer of this node they name.
    pub rejected: Vec<RejectedChange>,
    /// How often the state of a work was set (N-125).
    pub work_transitions: u64,
    /// Number of the newest event in the journal.
    pub last_event: u64,
}

/// What changed in one space.
#[derive(Debug, Clone, Default)]
pub struct SpaceChange {
    /// New heights of logs.
    pub heights: BTreeMap<(NodeId, u64), Height>,
    /// Whether the control log grew, or the space is new here.
    pub control: bool,
}

/// One message that took effect.
#[derive(Debug, Clone)]
pub struct MessageChange {
    /// In which space.
    pub space: SpaceId,
    /// Its kind.
    pub kind: Kind,
    /// Its sender.
    pub from: PeerName,
    /// Its target.
    pub to: Option<PeerName>,
    /// Whether a session of this node sent it.
    pub local: bool,
    /// Sessions of this node in whose inbox it was put.
    pub inboxes: Vec<String>,
    /// Sessions of this node that lost their oldest envelope for it (N-97).
    pub overflows: Vec<String>,
    /// Whether its ext names a workflow, a handoff (N-127).
    pub workflow: bool,
    /// See `workflow`.
    pub handoff: bool,
}

/// A greet or whois that was stored.
#[derive(Debug, Clone)]
pub struct PresenceChange {
    /// The workspace's space.
    pub workspace: SpaceId,
    /// The node that signed it.
    pub author: NodeId,
    /// The message.
    pub envelope: Envelope,
}

/// A message that was rejected (N-93). Why stands in the journal.
#[derive(Debug, Clone)]
pub struct RejectedChange {
    /// The workspace's space.
    pub space: SpaceId,
    /// Its kind, when it could be read.
    pub kind: Option<Kind>,
    /// The peer of this node it was for.
    pub to: PeerName,
}

impl Changes {
    pub(crate) fn space(&mut self, space: SpaceId) -> &mut SpaceChange {
        self.spaces.entry(space).or_default()
    }

    /// Whether nothing changed that anybody else has to know of.
    pub fn is_empty(&self) -> bool {
        self.spaces.is_empty() && self.messages.is_empty()
    }
}
