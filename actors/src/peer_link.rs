//! The actor of one link: the shell around its sync machine.
//!
//! It feeds the machine what happens, stores what the machine says, and sends what the machine wants
//! sent. It waits for nothing: commits come back as messages, and frames that the link does not take yet
//! stand in a short line until it does.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use muster_protocol::{
    control::ControlState,
    fork::ForkProof,
    ids::SpaceId,
    limits,
    operation::Operation,
    sync::{Closed, Input, Machine, Output, Report},
};
use muster_storage::{Batch, Changes, Prepared, StoreError, SyncView};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    context::{Context, lock},
    ports::{Closing, Link},
    presence::PresenceMessage,
};

/// What the actor of a link is told.
pub(crate) enum PeerLinkMessage {
    /// A frame came. The permit is room in the line of frames, given back when it was handled.
    Frame(Vec<u8>, OwnedSemaphorePermit),
    /// The link takes frames again.
    Writable,
    /// A commit changed something.
    Committed(Arc<Changes>),
    /// What this link's peer sent is durable.
    Stored(Report),
    /// Send this presence message.
    Presence(Vec<u8>),
    /// Gossip told of the peer's digest.
    DigestHeard(SpaceId, [u8; 32]),
    /// Time passed; armed for this moment.
    Tick(u64),
}

/// The actor. Its arguments are the node's context, the link, and where it shows how much waits for the link.
pub(crate) struct PeerLink;

pub(crate) struct State {
    context: Arc<Context>,
    link: Link,
    machine: Machine,
    /// Frames the link did not take yet, in order. The machine hands out few ahead (see its text).
    waiting: VecDeque<Vec<u8>>,
    /// What they cost; at most [`limits::LINK_WAITING_BYTES_MAX`].
    waiting_bytes: Arc<AtomicUsize>,
    /// The moment for which a tick is on its way.
    armed_ms: Option<u64>,
}

impl Actor for PeerLink {
    type Msg = PeerLinkMessage;
    type State = State;
    type Arguments = (Arc<Context>, Link, Arc<AtomicUsize>);

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        (context, link, waiting_bytes): Self::Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let machine = Machine::new(context.identity.node(), link.node);
        let mut state =
            State { context, link, machine, waiting: VecDeque::new(), waiting_bytes, armed_ms: None };
        state.step(&myself, Input::Up)?;
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            PeerLinkMessage::Frame(bytes, room) => {
                state.step(&myself, Input::Frame(&bytes))?;
                drop(room);
            }
            PeerLinkMessage::Writable => state.flush(&myself)?,
            PeerLinkMessage::Committed(changes) => {
                for (space, change) in &changes.spaces {
                    let heights: Vec<_> = change.heights.values().copied().collect();
                    let control = change.control;
                    state.step(&myself, Input::Committed { space: *space, heights: &heights, control })?;
                }
            }
            PeerLinkMessage::Stored(report) => state.step(&myself, Input::Stored(report))?,
            PeerLinkMessage::Presence(message) => {
                let frame = muster_protocol::sync::Frame::Presence(muster_protocol::cbor::Bytes(message));
                state.perform(&myself, vec![Output::Send(frame.encode())])?;
                state.flush(&myself)?;
            }
            PeerLinkMessage::DigestHeard(space, digest) => {
                state.step(&myself, Input::DigestHeard { space, digest })?;
            }
            PeerLinkMessage::Tick(at_ms) => {
                if state.armed_ms == Some(at_ms) {
                    state.armed_ms = None;
                }
                state.step(&myself, Input::Tick)?;
            }
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        myself: ActorRef<Self::Msg>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        // After a failure of this actor the link is made anew, with a fresh machine.
        state.context.ports.network.close(state.link, Closing::Polite);
        let mut links = lock(&state.context.links);
        if links.get(&state.link).is_some_and(|entry| entry.actor.get_id() == myself.get_id()) {
            links.remove(&state.link);
        }
        Ok(())
    }
}

/// What a waiting frame costs, in bytes.
fn cost(frame: &[u8]) -> usize {
    frame.len() + limits::LINK_WAITING_FRAME_BYTES
}

impl State {
    fn step(&mut self, myself: &ActorRef<PeerLinkMessage>, input: Input<'_>) -> Result<(), StoreError> {
        let view = SyncView::new(&self.context.store)?;
        let outputs = self.machine.handle(self.context.monotonic_ms(), input, &view)?;
        drop(view);
        self.perform(myself, outputs)?;
        self.flush(myself)?;
        self.arm(myself);
        Ok(())
    }

    /// Sends what the link takes; once all is sent, the machine may hand out more.
    fn flush(&mut self, myself: &ActorRef<PeerLinkMessage>) -> Result<(), StoreError> {
        loop {
            while let Some(frame) = self.waiting.front() {
                if !self.context.ports.network.send(self.link, frame.clone()) {
                    return Ok(());
                }
                self.waiting_bytes.fetch_sub(cost(frame), Ordering::Relaxed);
                self.waiting.pop_front();
            }
            if !self.machine.awaits_writable() {
                return Ok(());
            }
            let view = SyncView::new(&self.context.store)?;
            let outputs = self.machine.handle(self.context.monotonic_ms(), Input::Writable, &view)?;
            drop(view);
            self.perform(myself, outputs)?;
        }
    }

    /// Lets a frame wait for the link. A peer that reads nothing, and still asks, costs no more than the limit.
    fn line_up(&mut self, frame: Vec<u8>) {
        let waiting = self.waiting_bytes.fetch_add(cost(&frame), Ordering::Relaxed) + cost(&frame);
        self.waiting.push_back(frame);
        if waiting > limits::LINK_WAITING_BYTES_MAX {
            tracing::info!(node = %self.link.node, "a peer does not take what it is sent; its link is closed");
            self.waiting.clear();
            self.waiting_bytes.store(0, Ordering::Relaxed);
            self.context.ports.network.close(self.link, Closing::Polite);
        }
    }

    /// Makes sure that a tick comes when the machine wants one.
    fn arm(&mut self, myself: &ActorRef<PeerLinkMessage>) {
        let at_ms = self.machine.wake_at_ms();
        if at_ms == u64::MAX || self.armed_ms.is_some_and(|armed| armed <= at_ms) {
            return;
        }
        self.armed_ms = Some(at_ms);
        let wait = Duration::from_millis(at_ms.saturating_sub(self.context.monotonic_ms()));
        myself.send_after(wait, move || PeerLinkMessage::Tick(at_ms));
    }

    fn perform(
        &mut self,
        myself: &ActorRef<PeerLinkMessage>,
        outputs: Vec<Output>,
    ) -> Result<(), StoreError> {
        for output in outputs {
            match output {
                Output::Send(frame) => self.line_up(frame),
                Output::Store { space, control, ops, bytes } => {
                    self.store(myself, space, control, ops, bytes)
                }
                Output::PeerHeights { space, heights } => {
                    self.context.store.note_acks(self.link.node, space, &heights)?;
                }
                Output::Fork(proof) => self.freeze(proof),
                Output::Presence(message) => self.context.tell_presence(PresenceMessage::Heard(message)),
                Output::ControlLevel(space) => self.control_level(space),
                Output::Shared(space) => {
                    self.context.tell_presence(PresenceMessage::Introduce(self.link, space));
                }
                Output::Close(why) => self.close(why),
            }
        }
        Ok(())
    }

    fn close(&mut self, why: Closed) {
        let node = self.link.node;
        match why {
            Closed::Violation(what) => {
                tracing::warn!(%node, what, "a peer broke the protocol and is refused for a while");
                self.context.ports.network.close(self.link, Closing::Ban);
            }
            Closed::Silent | Closed::Version => {
                tracing::info!(%node, %why, "a link is closed");
                self.context.ports.network.close(self.link, Closing::Polite);
            }
        }
    }

    fn store(
        &mut self,
        myself: &ActorRef<PeerLinkMessage>,
        space: SpaceId,
        control: bool,
        ops: Vec<Operation>,
        bytes: u64,
    ) {
        let store = &self.context.store;
        let myself = myself.clone();
        let tell = move |report| {
            if myself.cast(PeerLinkMessage::Stored(report)).is_err() {
                tracing::debug!("what a link brought is stored; the link is gone");
            }
        };
        let now_ms = self.context.wall_ms();
        let taken = if control {
            store.write(now_ms, move |batch| batch.append_control(space, ops), tell)
        } else {
            let other = self.link.node;
            let pair_in = store.paired_in(space, other);
            let state = match pair_in.and_then(|workspace| store.control(workspace)) {
                Some(workspace) => Arc::new(ControlState::pair(&workspace, store.node(), other)),
                None => match store.control(space) {
                    Some(state) => state,
                    None => return,
                },
            };
            // Reading what they mean costs as much as storing them, so it is done here, not by the writer.
            let ops = ops.into_iter().map(|op| Prepared::new(op, &state)).collect();
            let work = move |batch: &mut Batch<'_>| {
                if let Some(workspace) = pair_in {
                    batch.begin_pair(workspace, other)?;
                }
                batch.append_remote(space, ops, bytes)
            };
            store.write(now_ms, work, tell)
        };
        if taken.is_err() {
            // The writer is overwhelmed or going down: the peer will bring them again over a new link.
            self.context.ports.network.close(self.link, Closing::Polite);
        }
    }

    /// A member's word: it counts before the first decision after a start, and where this store is a copy.
    fn control_level(&self, space: SpaceId) {
        let (store, member) = (&self.context.store, self.link.node);
        lock(&self.context.heard).insert(space);
        if !store.awaits_word(space) {
            return;
        }
        let work = move |batch: &mut Batch<'_>| batch.hear_control(space, member);
        if store.write(self.context.wall_ms(), work, |()| {}).is_err() {
            tracing::debug!("a member's word was not taken; it will come again with the next link");
        }
    }

    fn freeze(&self, proof: ForkProof) {
        let Ok((log, seq)) = proof.verify() else { return };
        tracing::warn!(author = %log.author, seq, "a log forks and is frozen; its owner may have restored an old copy");
        let taken = self.context.store.write(
            self.context.wall_ms(),
            move |batch| batch.freeze(&proof, &log, seq),
            |()| {},
        );
        if taken.is_err() {
            tracing::debug!("a fork proof was not taken; it will come again");
        }
    }
}
