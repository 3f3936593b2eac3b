//! Workspaces, members, agents, events.

use muster_protocol::{
    ask,
    control::{Entry, Role},
    identity::NodeId,
    ids::{LogId, SpaceId, WorkspaceId},
    network::{Capability, Envelope},
    operation::Operation,
};
use serde_json::{Value, json};

use super::View;
use crate::{
    StoreError,
    rows::{self, AgentRecord, JournalRecord},
    schema, tables,
};

/// A workspace that this node is, or was, a member of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceRow {
    /// Its public id.
    pub id: WorkspaceId,
    /// Its space.
    pub space: SpaceId,
    /// Its name.
    pub name: String,
    /// Its parent.
    pub parent: Option<WorkspaceId>,
    /// This node's role; `None` once it was removed.
    pub role: Option<Role>,
    /// Nodes that are members now.
    pub members: usize,
    /// When it was founded, Unix milliseconds.
    pub created_ms: u64,
    /// The node that keeps its control log.
    pub home: NodeId,
    /// Whether its home contradicted itself, so that nobody decides any more.
    pub forked: bool,
}

/// A node of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRow {
    /// Which.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// When it joined, Unix milliseconds of the home's clock.
    pub joined_ms: u64,
    /// Operations of this node that it has not yet said to hold durably.
    pub behind: u64,
}

/// An agent of this node in a workspace.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentRow {
    /// Its name.
    pub name: String,
    /// What runs it.
    pub provider: String,
    /// What it can do.
    pub capabilities: Vec<Capability>,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRow {
    /// Its number: from 1, dense, of this store.
    pub number: u64,
    /// Where.
    pub workspace: Option<WorkspaceId>,
    /// What kind of thing: `message`, `message_changed`, `memo_changed`, `work`, `delivery`, `room`, `channel`, `session`, `agent`, `workspace`,
    /// `member_added`, `member_removed`, `role_set`, `invite_created`, `invite_revoked`.
    pub kind: String,
    /// What happened, in the words of the doors.
    pub data: Value,
}

impl View {
    /// All workspaces, by id.
    pub fn workspaces(&self) -> Result<Vec<WorkspaceRow>, StoreError> {
        Ok(self.state.workspaces.values().filter_map(|space| self.workspace_row(*space)).collect())
    }

    /// The workspace a reference names: by id, else by name (N-2). Of several with one name, the oldest.
    pub fn workspace(&self, reference: &str) -> Result<Option<WorkspaceRow>, StoreError> {
        let reference = reference.trim();
        if let Ok(id) = reference.parse::<WorkspaceId>()
            && let Some(space) = self.space_of(id)
        {
            return Ok(self.workspace_row(space));
        }
        Ok(self.workspaces()?.into_iter().find(|row| row.name == reference))
    }

    fn workspace_row(&self, space: SpaceId) -> Option<WorkspaceRow> {
        let control = self.control(space)?;
        let genesis = control.genesis();
        Some(WorkspaceRow {
            id: genesis.workspace,
            space,
            name: genesis.name.clone(),
            parent: genesis.parent.first().copied(),
            role: self.role(&control),
            members: control.members().count(),
            created_ms: genesis.created_ms,
            home: control.home(),
            forked: control.forked().is_some(),
        })
    }

    /// The nodes of a workspace, by key.
    pub fn members(&self, workspace: &WorkspaceRow) -> Result<Vec<MemberRow>, StoreError> {
        let Some(control) = self.control(workspace.space) else { return Ok(Vec::new()) };
        let own: Vec<_> =
            self.logs(workspace.space)?.into_iter().filter(|(log, _, _)| log.author == self.node).collect();
        let mut members = Vec::new();
        for (node, member, role) in control.members() {
            let mut behind = 0;
            if node != self.node {
                // What is for everybody, and what is for this node alone.
                let pair = SpaceId::pair(workspace.space, self.node, node);
                let aside = self.logs(pair)?.into_iter().filter(|(log, _, _)| log.author == self.node);
                for (_, row, counts) in own.iter().cloned().chain(aside) {
                    behind += counts.saturating_sub(self.acked_of(node, row.number)?);
                }
            }
            let (name, joined_ms) = (member.name.clone(), member.joined_ms);
            members.push(MemberRow { node, name, role, joined_ms, behind });
        }
        Ok(members)
    }

    /// The agents of this node in a workspace, by name.
    pub fn agents(&self, workspace: &WorkspaceRow) -> Result<Vec<AgentRow>, StoreError> {
        let number = self.number(workspace.space)?;
        let (from, to) = (tables::named_key(number, [0; 16]), tables::named_key(number, [0xff; 16]));
        let mut agents = Vec::new();
        for entry in self.txn.open_table(tables::AGENTS)?.range::<&[u8; 20]>(&from..=&to)? {
            let record: AgentRecord = rows::read(entry?.1.value())?;
            agents.push(agent_row(record)?);
        }
        agents.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(agents)
    }

    /// One agent.
    pub fn agent(&self, workspace: &WorkspaceRow, name: &str) -> Result<Option<AgentRow>, StoreError> {
        let key = crate::local::agent_key(self.number(workspace.space)?, name);
        let row = self.txn.open_table(tables::AGENTS)?.get(&key)?;
        row.map(|row| agent_row(rows::read(row.value())?)).transpose()
    }

    /// At most `limit` events after number `after`, in order.
    pub fn events(&self, after: u64, limit: usize) -> Result<Vec<EventRow>, StoreError> {
        let journal = self.txn.open_table(tables::JOURNAL)?;
        let mut events = Vec::new();
        // The tables may be one commit ahead of what is known about spaces; its events come next time.
        let last = self.state.last_event;
        if after >= last {
            return Ok(events);
        }
        for entry in journal.range(after + 1..=last)?.take(limit) {
            let (number, record) = entry?;
            events.push(self.event(number.value(), rows::read(record.value())?)?);
        }
        Ok(events)
    }

    /// The number of the newest event; 0 before the first.
    pub fn last_event(&self) -> Result<u64, StoreError> {
        Ok(self.state.last_event)
    }

    fn event(&self, number: u64, record: JournalRecord) -> Result<EventRow, StoreError> {
        let space = self.state.spaces.get(&record.space).copied();
        let workspace =
            space.and_then(|space| self.control(space)).map(|control| control.genesis().workspace);
        let mut data = match record.place.first() {
            Some(at) if record.kind == "message" => {
                let op = self.op(*at)?;
                message_data(&op, self.envelope_of(&op)?)
            }
            Some(at) if record.kind == "delivery" => {
                delivery_data(&record.data, self.envelope_of(&self.op(*at)?)?.as_ref())
            }
            Some(at) => self.control_data(record.space, at.seq)?,
            None => serde_json::from_str(&record.data).unwrap_or_else(|_| json!({})),
        };
        data["at"] = json!(record.at_ms);
        if let Some(workspace) = workspace {
            data["workspace_id"] = json!(workspace.to_string());
        }
        Ok(EventRow { number, workspace, kind: record.kind, data })
    }

    fn control_data(&self, space: u32, height: u64) -> Result<Value, StoreError> {
        let control = self.txn.open_table(tables::CONTROL)?;
        let Some(bytes) = control.get(&tables::control_key(space, height))? else { return Ok(json!({})) };
        let entry = Operation::decode(bytes.value())
            .ok()
            .and_then(|op| Entry::decode(op.header().kind, op.body()?).ok());
        let role = |code: u8| Role::from_code(code).map(Role::as_str);
        Ok(match entry {
            Some(Entry::Genesis(genesis)) => {
                json!({ "name": genesis.name, "home": genesis.founder.to_string() })
            }
            Some(Entry::MemberAdded(added)) => {
                json!({ "peer_id": added.node.to_string(), "name": added.name, "role": role(added.role) })
            }
            Some(Entry::RoleSet(set)) => json!({ "peer_id": set.node.to_string(), "role": role(set.role) }),
            Some(Entry::MemberRemoved(removed)) => json!({ "peer_id": removed.node.to_string() }),
            Some(Entry::InviteCreated(invite)) => {
                json!({ "invite_id": ask::invite_text(&invite.invite), "role": role(invite.role), "max_uses": invite.uses_max })
            }
            Some(Entry::SlugTaken(taken)) => json!({ "principal_id": taken.principal, "slug": taken.slug }),
            Some(Entry::HomeMoved(moved)) => json!({ "home": moved.node.to_string() }),
            Some(Entry::InviteRevoked(revoked)) => json!({ "invite_id": ask::invite_text(&revoked.invite) }),
            // What a group decides is told as what becomes of its stream.
            Some(Entry::GroupBegun(_)) | None => json!({}),
        })
    }

    /// Who let this node into a space, if another did.
    pub fn welcomed_by(&self, space: SpaceId) -> Result<Option<NodeId>, StoreError> {
        let meta = self.txn.open_table(tables::META)?;
        let Some(by) = meta.get(schema::welcome_key(space).as_str())? else { return Ok(None) };
        let by = by.value().try_into().ok().and_then(|bytes| NodeId::from_bytes(bytes).ok());
        by.map(Some).ok_or(StoreError::Damaged("who let this node in cannot be read"))
    }

    /// Where a node was last reachable: multiaddrs as text.
    pub fn addresses(&self, node: NodeId) -> Result<Vec<String>, StoreError> {
        let row = self.txn.open_table(tables::ADDRESSES)?.get(node.as_bytes())?;
        row.map_or(Ok(Vec::new()), |row| rows::read(row.value()))
    }

    /// How many operations of a log a peer holds durably, as far as it said.
    pub fn acked(&self, peer: NodeId, log: &LogId) -> Result<u64, StoreError> {
        let Some(row) = self.log(log)? else { return Ok(0) };
        self.acked_of(peer, row.number)
    }
}

fn agent_row(record: AgentRecord) -> Result<AgentRow, StoreError> {
    let capabilities = serde_json::from_str(&record.capabilities)
        .map_err(|_| StoreError::Damaged("an agent's capabilities cannot be read"))?;
    Ok(AgentRow { name: record.name, provider: record.provider, capabilities })
}

/// What became of a message that was for a session.
fn delivery_data(data: &str, envelope: Option<&Envelope>) -> Value {
    let mut data = serde_json::from_str(data).unwrap_or_else(|_| json!({}));
    if let Some(envelope) = envelope {
        data["message_id"] = envelope.id.as_str().into();
    }
    data
}

fn message_data(op: &Operation, envelope: Option<Envelope>) -> Value {
    let Some(envelope) = envelope else { return json!({}) };
    json!({
        "message_id": envelope.id.as_str(),
        "channel": envelope.channel.as_str(),
        "kind": envelope.kind.as_str(),
        "thread_id": envelope.container.as_ref().and_then(|container| container.thread_id()).map(AsRef::<str>::as_ref),
        "direct_id": envelope.container.as_ref().and_then(|container| container.direct_id()).map(AsRef::<str>::as_ref),
        "peer_from": envelope.from.as_str(),
        "peer_to": envelope.to.as_ref().map(AsRef::<str>::as_ref),
        "work_id": envelope.work_id.as_ref().map(AsRef::<str>::as_ref),
        "preview_text": envelope.preview(),
        "author": op.header().author.to_string(),
        "body": envelope.body,
    })
}
