//! Whoever speaks for one session, and what becomes of each thing it wants.
//!
//! A message whose answer is lost is sent again under the same id, also to a node that has crashed and come back.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use muster_actors::{Node, ResolveRoomError, SendError, SendRequest, ports::Clock};
use muster_protocol::{
    ids::{SpaceId, WorkspaceId},
    network::{ChannelName, Envelope, PeerName},
};
use muster_storage::StoreError;
use rand::{RngExt, seq::IndexedRandom};
use serde_json::json;

use super::{
    Machine, Planted,
    ledger::{Key, Resolved, Said, Session, Told},
    person::{Asker, PAUSE_MS_MAX},
    wishes::{Mind, Wish},
};
use crate::dice;

/// Things that one session wants at the same moment at most.
const BURST_MAX: usize = 3;

/// Somebody who speaks for one session.
pub(super) struct Speaker {
    asker: Asker,
    workspace: WorkspaceId,
    session: Session,
    wished: usize,
}

impl Speaker {
    pub(super) fn new(machine: &Arc<Machine>, workspace: WorkspaceId, session: Session) -> Self {
        let asker = Asker::another(machine, "speaker", &[session.peer.as_bytes()]);
        Self { asker, workspace, session, wished: 0 }
    }

    /// Wants all that it is to want, spread over most of the time in which things go wrong, and in the end to know
    /// who somebody is.
    pub(super) async fn speak(&mut self) {
        let plan = self.asker.shared.plan.clone();
        let mean_ms = plan.world.duration_ms / (plan.messages as u64 + 1) * 2;
        while self.wished < plan.messages {
            let wait = 1 + dice::exponential(&mut self.asker.dice, mean_ms);
            self.asker.shared.clock().sleep(Duration::from_millis(wait)).await;
            let burst = self.asker.dice.random_range(1..=BURST_MAX).min(plan.messages - self.wished);
            let wishes: Vec<_> = (0..burst).map(|_| self.wish()).collect();
            join_all(wishes.into_iter().map(Attempt::pursue)).await;
        }
        self.ask_who().await;
    }

    /// The same ids as at other nodes, which is no conflict (N-89); two sessions of one node use different ones.
    fn key(&self) -> Key {
        let agent = self.session.peer.split('.').next().unwrap_or_default();
        (self.session.peer.clone(), format!("msg-{agent}-{}", self.wished))
    }

    fn wish(&mut self) -> Attempt {
        self.wished += 1;
        let key = self.key();
        let mind = Mind {
            machine: &self.asker.machine,
            workspace: self.workspace,
            session: &self.session,
            dice: &mut self.asker.dice,
            text: format!("{} of {}. ", self.wished, key.0),
        };
        let wish = mind.wish(self.wished);
        self.attempt(wish, key)
    }

    fn attempt(&self, wish: Wish, key: Key) -> Attempt {
        let parts: [&[u8]; 2] = [key.0.as_bytes(), key.1.as_bytes()];
        let asker = Asker::another(&self.asker.machine, "sending", &parts);
        Attempt { asker, workspace: self.workspace, session: self.session.clone(), key, wish }
    }

    /// Asks one peer for its card when nothing goes wrong any more: then the answer has to come (N-70).
    async fn ask_who(&mut self) {
        while !self.asker.shared.ledger.is_calm() {
            self.asker.pause(PAUSE_MS_MAX).await;
        }
        let mut others = self.asker.shared.ledger.sessions();
        others.retain(|other| other.channel == self.session.channel && other.peer != self.session.peer);
        others.sort_by(|a, b| a.peer.cmp(&b.peer));
        let Some(other) = others.choose(&mut self.asker.dice).cloned() else { return };
        let Ok(peer) = PeerName::parse(&other.peer) else { return };
        while !self.asker.machine.node().is_some_and(|node| self.sees(&node, &peer)) {
            self.asker.pause(PAUSE_MS_MAX).await;
        }
        self.wished += 1;
        let request = SendRequest {
            kind: "whois".to_owned(),
            to: Some(other.peer.clone()),
            body: json!({ "type": "request" }),
            ..SendRequest::default()
        };
        let key = self.key();
        self.attempt(Wish::Say(request), key.clone()).pursue().await;
        loop {
            let answered = self.asker.machine.node().map(|node| self.is_answered(&node, &peer, &key.1));
            match answered {
                Some(Ok(true)) => return,
                Some(Err(error)) => self.asker.machine.wrong(&format!("its store cannot be read: {error}")),
                _ => {}
            }
            self.asker.pause(PAUSE_MS_MAX).await;
        }
    }

    fn sees(&self, node: &Node, peer: &PeerName) -> bool {
        node.peer(self.workspace, peer).is_ok_and(|row| row.is_some())
    }

    /// Whether the pair space with a peer's node holds its answer to a message.
    fn is_answered(&self, node: &Node, peer: &PeerName, id: &str) -> Result<bool, StoreError> {
        let view = node.store().view()?;
        let (Some(space), Ok(Some(row))) = (view.space_of(self.workspace), node.peer(self.workspace, peer))
        else {
            return Ok(false);
        };
        for (log, _) in view.log_heights(SpaceId::pair(space, node.id(), row.node))? {
            let operations = view.log_operations(&log)?;
            let mut envelopes = operations.iter().filter_map(|op| Envelope::parse(op.body()?).ok());
            let answers = |envelope: &Envelope| {
                envelope.from == *peer && envelope.reply_to.as_ref().is_some_and(|to| to.as_str() == id)
            };
            if envelopes.any(|envelope| answers(&envelope)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// One thing that a session wants, on its way to the node.
struct Attempt {
    asker: Asker,
    workspace: WorkspaceId,
    session: Session,
    key: Key,
    wish: Wish,
}

impl Attempt {
    async fn pursue(mut self) {
        match self.wish.clone() {
            Wish::Say(request) => self.send(request, true).await,
            Wish::Wrong(request) => self.send(request, false).await,
            Wish::Resolve(peer) => self.resolve(peer).await,
        }
    }

    fn full(&self, request: &SendRequest) -> SendRequest {
        SendRequest {
            session_id: self.session.id.clone(),
            channel: self.session.channel.clone(),
            id: Some(self.key.1.clone()),
            ..request.clone()
        }
    }

    async fn ask(&mut self, node: Node, request: SendRequest) -> Option<Result<Option<u64>, SendError>> {
        let (workspace, request) = (self.workspace, aloud(self.asker.shared.plan.planted, request));
        let answer = self.asker.hear(async move { node.send(workspace, request).await }).await;
        answer.map(|answer| answer.map(|sent| sent.sequence))
    }

    async fn send(&mut self, request: SendRequest, right: bool) {
        let request = self.full(&request);
        let said = Said { node: self.session.node, request: request.clone(), told: Told::Nothing };
        self.asker.shared.ledger.say(self.key.clone(), said);
        let mut asked = 0;
        loop {
            if self.asker.shared.ledger.is_forgotten(&self.key) {
                return;
            }
            if let Some(node) = self.asker.machine.node() {
                asked += 1;
                match self.ask(node, request.clone()).await {
                    Some(Ok(_)) if !right => {
                        return self.asker.machine.wrong(&format!("{:?} had to be refused", self.key));
                    }
                    Some(Ok(sequence)) => {
                        self.taken(sequence);
                        break;
                    }
                    None | Some(Err(SendError::Unavailable(_))) => {}
                    // What was sent before, and only its answer lost, is told by its id, before work is asked about.
                    Some(Err(SendError::Work(_))) => return self.refused(),
                    Some(Err(_)) if !right => return self.refused(),
                    Some(Err(SendError::TargetNotVisible)) if asked == 1 => return self.refused(),
                    // A villain that was removed does not come back; nobody knows what became of this.
                    Some(Err(SendError::TargetNotVisible)) if self.is_for_villain(&request) => return,
                    Some(Err(SendError::TargetNotVisible)) => {}
                    Some(Err(error)) => {
                        return self.asker.machine.wrong(&format!("{:?} is refused: {error:?}", self.key));
                    }
                }
            }
            self.asker.pause(PAUSE_MS_MAX).await;
        }
        if self.asker.dice.random_ratio(1, 8) {
            self.repeat(request).await;
        }
    }

    fn is_for_villain(&self, request: &SendRequest) -> bool {
        request.to.as_deref().is_some_and(|to| self.asker.shared.den.speaks_as(to))
    }

    fn taken(&self, sequence: Option<u64>) {
        let shared = &self.asker.shared;
        shared.ledger.told_taken(&self.key, sequence);
        let place = sequence.unwrap_or_default().to_be_bytes();
        shared.record("taken", &[self.key.0.as_bytes(), self.key.1.as_bytes(), &place]);
    }

    fn refused(&self) {
        self.asker.shared.ledger.told_refused(&self.key);
        self.asker.shared.record("refused", &[self.key.0.as_bytes(), self.key.1.as_bytes()]);
    }

    /// Says it once more, which must change nothing, also when the work it is about has ended meanwhile (N-83), or
    /// something else under its id, which must fail.
    async fn repeat(&mut self, mut request: SendRequest) {
        self.asker.pause(PAUSE_MS_MAX * 5).await;
        let differs = self.asker.dice.random_ratio(1, 3);
        if differs {
            request.trace_id = Some("something-else".to_owned());
        }
        let Some(node) = self.asker.machine.node() else { return };
        if self.asker.shared.ledger.is_forgotten(&self.key) {
            return;
        }
        match self.ask(node, request).await {
            Some(Ok(sequence)) if !differs => self.taken(sequence),
            Some(Err(SendError::IdConflict)) if differs => {}
            None | Some(Err(SendError::Unavailable(_) | SendError::TargetNotVisible)) => {}
            other => {
                let what = if differs { "something else under its id" } else { "the same again" };
                self.asker.machine.wrong(&format!("{:?}: {what} is answered {other:?}", self.key));
            }
        }
    }

    /// Resolves the room with a peer, unless the peer is gone.
    async fn resolve(&mut self, peer: PeerName) {
        let Ok(channel) = ChannelName::parse(&self.session.channel) else { return };
        let (workspace, session) = (self.workspace, self.session.clone());
        loop {
            let Some(node) = self.asker.machine.node() else {
                self.asker.pause(PAUSE_MS_MAX).await;
                continue;
            };
            let (channel, peer, id) = (channel.clone(), peer.clone(), session.id.clone());
            let answer =
                self.asker.hear(async move { node.resolve_room(workspace, channel, &id, peer).await }).await;
            match answer {
                Some(Ok(row)) => {
                    let peers = [row.peer_a.as_str().to_owned(), row.peer_b.as_str().to_owned()];
                    if !peers.contains(&session.peer) || row.channel.as_str() != session.channel {
                        self.asker.machine.wrong(&format!("{} is shown another room: {row:?}", session.peer));
                    }
                    let room = row.direct_id.as_str().to_owned();
                    self.asker.shared.record("resolved", &[session.peer.as_bytes(), room.as_bytes()]);
                    return self.asker.shared.ledger.resolved(Resolved {
                        channel: session.channel,
                        room,
                        peers,
                    });
                }
                Some(Err(ResolveRoomError::TargetNotVisible)) => return,
                None | Some(Err(ResolveRoomError::Unavailable(_))) => {}
                Some(Err(error)) => {
                    return self.asker.machine.wrong(&format!("a room is not resolved: {error:?}"));
                }
            }
            self.asker.pause(PAUSE_MS_MAX).await;
        }
    }
}

/// What is sent for a request: the same, unless the door is planted that says aloud what is for one peer.
fn aloud(planted: Option<Planted>, request: SendRequest) -> SendRequest {
    if planted != Some(Planted::SpokenAloud) || request.direct_id.is_none() {
        return request;
    }
    SendRequest {
        surface: Some("thread".to_owned()),
        thread_id: Some("thread_aloud".to_owned()),
        direct_id: None,
        ..request
    }
}
