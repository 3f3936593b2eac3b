//! What a commit changed, for those who have to act on it.

use std::collections::BTreeMap;

use muster_protocol::{
    identity::NodeId,
    ids::SpaceId,
    invocation::InvocationId,
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
    /// Envelopes that left an inbox, in order.
    pub deliveries: Vec<DeliveryChange>,
    /// Whether a message began to link to a file of this node, about which something may have to be said.
    pub attachments: bool,
    /// Invocations of bots of this node whose claim began, was renewed or ended, in order.
    pub claims: Vec<ClaimChange>,
    /// Number of the newest event in the journal.
    pub last_event: u64,
}

/// The claim of an invocation changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimChange {
    /// The workspace's space.
    pub workspace: SpaceId,
    /// Which invocation.
    pub id: InvocationId,
    /// Until when it is claimed now, in Unix milliseconds; none when it is not.
    pub until_ms: Option<u64>,
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

/// One envelope that left the inbox of a session of this node.
#[derive(Debug, Clone)]
pub struct DeliveryChange {
    /// In which space.
    pub space: SpaceId,
    /// Whose inbox.
    pub session: String,
    /// Its kind.
    pub kind: Kind,
    /// The peer that sent it.
    pub from: String,
    /// Whether that was a session of this node.
    pub local: bool,
    /// What became of it.
    pub outcome: Outcome,
    /// Whether its ext names a workflow, a handoff (N-127).
    pub workflow: bool,
    /// See `workflow`.
    pub handoff: bool,
}

/// What became of an envelope that was for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Taken up completely (N-99).
    Delivered,
    /// Pushed out by a newer one (N-97).
    Overflow,
    /// It expired while it waited (N-102).
    Expired,
}

impl Outcome {
    /// `delivered` or `rejected`.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Delivered => "delivered",
            Outcome::Overflow | Outcome::Expired => "rejected",
        }
    }

    /// Why it was rejected.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Outcome::Delivered => None,
            Outcome::Overflow => Some("queue_overflow"),
            Outcome::Expired => Some("expired"),
        }
    }
}

impl Changes {
    pub(crate) fn space(&mut self, space: SpaceId) -> &mut SpaceChange {
        self.spaces.entry(space).or_default()
    }

    /// Whether nothing changed that anybody else has to know of.
    pub fn is_empty(&self) -> bool {
        self.spaces.is_empty() && self.messages.is_empty() && self.deliveries.is_empty()
    }
}
