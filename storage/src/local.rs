//! What belongs to this node alone: agents, sessions, inboxes, and where other nodes are.

use muster_protocol::{
    control::Role,
    identity::NodeId,
    ids::{SpaceId, StreamId},
    network::PeerName,
};
use redb::ReadableTable;

use crate::{
    StoreError,
    batch::{Batch, LocalPeer, inbox_of, session_key},
    rows::{self, AgentRecord, JournalRecord, SessionRecord},
    tables,
};

/// A session to be started.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Its id, see [`muster_protocol::session`].
    pub id: String,
    /// Its agent, which the workspace has.
    pub agent: String,
    /// Its channel.
    pub channel: String,
    /// Its peer there.
    pub peer: PeerName,
}

/// Why a session does not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotStarted {
    /// No such workspace, or this node may not write there.
    NotAllowed,
    /// The workspace has no such agent on this node.
    UnknownAgent(String),
}

impl Batch<'_> {
    /// Makes an agent known to a workspace on this node; false when the name is taken.
    pub fn register_agent(
        &mut self,
        space: SpaceId,
        name: &str,
        provider: &str,
        capabilities: &str,
    ) -> Result<bool, StoreError> {
        let key = agent_key(self.space_number(space)?, name);
        if self.agents.get(&key)?.is_some() {
            return Ok(false);
        }
        let record = AgentRecord {
            name: name.to_owned(),
            provider: provider.to_owned(),
            capabilities: capabilities.to_owned(),
        };
        self.agents.insert(&key, rows::write(&record).as_slice())?;
        self.note(space, "agent", &serde_json::json!({ "agent": name }))?;
        Ok(true)
    }

    /// Starts sessions, all or none (N-118).
    pub fn start_sessions(
        &mut self,
        space: SpaceId,
        new: &[NewSession],
    ) -> Result<Result<(), NotStarted>, StoreError> {
        let control = self.control_state(space);
        if !control.and_then(|control| control.role(self.me())).is_some_and(Role::writes) {
            return Ok(Err(NotStarted::NotAllowed));
        }
        let number = self.space_number(space)?;
        let mut providers = Vec::new();
        for session in new {
            let Some(agent) = self.agents.get(&agent_key(number, &session.agent))? else {
                return Ok(Err(NotStarted::UnknownAgent(session.agent.clone())));
            };
            providers.push(rows::read::<AgentRecord>(agent.value())?.provider);
        }
        let now_ms = self.now_ms();
        for (session, provider) in new.iter().zip(providers) {
            let (key, place) = (session_key(number, &session.id), self.memory.journal_next);
            self.session_order.insert(&tables::session_order_key(number, false, place, &key), ())?;
            self.put_session(
                space,
                SessionRecord {
                    id: session.id.clone(),
                    agent: session.agent.clone(),
                    provider,
                    channel: session.channel.clone(),
                    peer: session.peer.as_str().to_owned(),
                    stopped: false,
                    stop_reason: String::new(),
                    created_ms: now_ms,
                    updated_ms: now_ms,
                    place,
                    inbox_next: 0,
                    inbox_first: 0,
                    inbox_waiting: 0,
                    in_hand: None,
                    expires_s: 0,
                    failure_kind: String::new(),
                    failure_summary: String::new(),
                    failures: 0,
                    restarts: 0,
                },
            )?;
            let stream = StreamId::channel(space, &session.channel);
            let local = LocalPeer { session: session.id.clone(), peer: session.peer.clone() };
            self.memory.local_peers.entry(stream).or_default().push(local);
            let data = serde_json::json!({
                "session_id": session.id, "agent_name": session.agent, "channel": session.channel,
                "peer_id": session.peer.as_str(), "state": "active",
            });
            self.note(space, "session", &data)?;
        }
        Ok(Ok(()))
    }

    /// Stops a session: its peer leaves the channel, its queue is dropped, history stays (N-101, N-121).
    /// `None` when there is no such session, else whether it was running.
    pub fn stop_session(
        &mut self,
        space: SpaceId,
        id: &str,
        reason: &str,
    ) -> Result<Option<bool>, StoreError> {
        let Some(mut record) = self.session(space, id)? else { return Ok(None) };
        if record.stopped {
            return Ok(Some(false));
        }
        let inbox = inbox_of(id);
        for number in record.in_hand.into_iter().chain(record.inbox_first..record.inbox_next) {
            self.inbox.remove(&tables::inbox_key(inbox, number))?;
        }
        let (number, stopped_at) = (self.space_number(space)?, self.memory.journal_next);
        let key = session_key(number, id);
        self.session_order.remove(&tables::session_order_key(number, false, record.place, &key))?;
        self.session_order.insert(&tables::session_order_key(number, true, stopped_at, &key), ())?;
        (record.stopped, record.stop_reason, record.updated_ms) = (true, reason.to_owned(), self.now_ms());
        (record.inbox_first, record.inbox_waiting) = (record.inbox_next, 0);
        (record.in_hand, record.expires_s) = (None, 0);
        self.memory.expires(space, &record);
        let stream = StreamId::channel(space, &record.channel);
        if let Some(peers) = self.memory.local_peers.get_mut(&stream) {
            peers.retain(|peer| peer.session != id);
        }
        self.note_session(space, &record)?;
        self.put_session(space, record)?;
        Ok(Some(true))
    }

    /// Remembers where a node can be reached, in place of what was known.
    pub fn learn_addresses(&mut self, node: NodeId, addresses: &[String]) -> Result<(), StoreError> {
        self.addresses.insert(node.as_bytes(), rows::write(&addresses).as_slice())?;
        Ok(())
    }

    /// Notes an event of this node that no operation tells of.
    pub(crate) fn note(
        &mut self,
        space: SpaceId,
        kind: &str,
        data: &serde_json::Value,
    ) -> Result<(), StoreError> {
        let (number, at_ms) = (self.space_number(space)?, self.now_ms());
        let data = data.to_string();
        self.journal(&JournalRecord { kind: kind.to_owned(), space: number, at_ms, place: Vec::new(), data })
    }
}

pub(crate) fn agent_key(space: u32, name: &str) -> [u8; 20] {
    tables::named_key(space, tables::short(b"agent", name))
}
