//! Counts a workspace from its messages alone, and compares with what the store kept while writing.

use std::collections::BTreeMap;

use muster_protocol::{
    ids::SpaceId,
    network::{Container, Kind, PeerName, WorkChange, WorkId, WorkMessage, WorkRecord, work},
    session::session_of,
};
use muster_storage::MessageRow;

use super::Node;

/// The two who can see what stands in a space of their own; nothing for what all can see.
type Among = Option<(String, String)>;

/// Asserts that a store's counters and works are what its messages, in people's order, say. `home_of` names the node
/// of a peer in any words that are the same for all peers of a node.
pub(crate) fn assert_counts(node: &Node, space: SpaceId, home_of: impl Fn(&PeerName) -> String) {
    let (view, workspace) = (node.view(), node.workspace(space));
    let mut spoken: BTreeMap<(WorkId, Among), Vec<MessageRow>> = BTreeMap::new();
    let mut note = |rows: &[MessageRow]| {
        for row in rows {
            let Some(work) = &row.envelope.work_id else { continue };
            let among = match (&row.envelope.container, &row.envelope.to) {
                (Some(Container::Direct(_)), Some(to)) => {
                    let (from, to) = (home_of(&row.envelope.from), home_of(to));
                    Some((from.clone().min(to.clone()), from.max(to)))
                }
                _ => None,
            };
            spoken.entry((work.clone(), among)).or_default().push(row.clone());
        }
    };
    let channels = view.channels(&workspace).unwrap();
    for channel in &channels {
        let threads = view.threads(&workspace, &channel.name, None, 10_000).unwrap().unwrap();
        assert_eq!(threads.len() as u64, channel.threads, "threads of {}", channel.name);
        for thread in threads {
            let rows = node.thread(space, channel.name.as_str(), thread.thread_id.as_str());
            assert_eq!(rows.len() as u64, thread.message_count);
            assert_eq!(rows[0].envelope.id.as_str(), thread.root_message_id);
            assert_eq!(rows[rows.len() - 1].envelope.preview(), thread.last_message_preview);
            note(&rows);
        }
        let rooms = view.rooms(&workspace, &channel.name, None, None, 10_000).unwrap().unwrap();
        assert_eq!(rooms.len() as u64, channel.rooms, "rooms of {}", channel.name);
        for room in rooms {
            let rows = node.in_room(space, &room);
            assert_eq!(rows.len() as u64, room.message_count);
            if let Some(last) = rows.last() {
                assert_eq!(last.envelope.preview(), room.last_message_preview);
                assert_eq!(room.last_activity_ms, last.envelope.ts as u64 * 1000, "N-39");
            } else {
                assert_eq!(room.last_activity_ms, room.opened_ms, "N-39");
            }
            note(&rows);
        }
        let rows = view.timeline(&workspace, &channel.name, 0, usize::MAX).unwrap();
        let public = rows
            .iter()
            .filter_map(|(_, row)| row.as_ref())
            .filter(|row| row.envelope.kind != Kind::Greet && row.envelope.to.is_none());
        assert_eq!(public.count() as u64, channel.message_count, "N-114 of {}", channel.name);
    }
    let mut stand: BTreeMap<WorkId, Vec<WorkRecord>> = BTreeMap::new();
    for ((id, _), mut rows) in spoken {
        rows.sort_by_key(|row| (row.at_ms, row.author, row.sequence));
        let mut record = None;
        for row in rows {
            let message = WorkMessage::of(&row.envelope).unwrap().unwrap();
            if let Ok(WorkChange::Opened(after) | WorkChange::Moved(after)) =
                work::decide(record.as_ref(), &message)
            {
                record = Some(after);
            }
        }
        stand.entry(id).or_default().extend(record);
    }
    let mut open: BTreeMap<String, u64> = BTreeMap::new();
    for (id, records) in &stand {
        let first = records.iter().map(|record| record.opened_at).min();
        let shown = view.work(&workspace, id).unwrap();
        assert_eq!(shown.as_ref().map(|record| record.opened_at), first, "{id}");
        assert!(shown.is_none_or(|shown| records.contains(&shown)), "{id} stands otherwise: {records:#?}");
        for record in records.iter().filter(|record| !record.state.is_terminal()) {
            let (channel, container) = (record.channel.as_str(), record.container.id());
            *open.entry(channel.to_owned()).or_default() += 1;
            *open.entry(format!("{channel}/{container}")).or_default() += 1;
        }
    }
    let mut shown: BTreeMap<String, u64> = BTreeMap::new();
    for channel in &channels {
        shown.insert(channel.name.to_string(), channel.open_work);
        for thread in view.threads(&workspace, &channel.name, None, 10_000).unwrap().unwrap() {
            shown.insert(format!("{}/{}", channel.name, thread.thread_id), thread.open_work_count);
        }
        for room in view.rooms(&workspace, &channel.name, None, None, 10_000).unwrap().unwrap() {
            shown.insert(format!("{}/{}", channel.name, room.direct_id), room.open_work_count);
        }
    }
    shown.retain(|_, count| *count > 0);
    assert_eq!(shown, open, "N-52");
}

/// For [`assert_counts`] where peers of different nodes never share a second half of a session id.
pub(crate) fn by_node(nodes: Vec<muster_protocol::identity::NodeId>) -> impl Fn(&PeerName) -> String {
    move |peer| {
        let of = nodes.iter().find(|node| muster_protocol::session::may_speak_as(**node, peer));
        of.map_or_else(|| session_of(peer).unwrap_or_default().to_owned(), ToString::to_string)
    }
}
