//! Gossip: every node that hears something new tells all linked nodes that listen to the topic.
//!
//! Unlike gossipsub, which tells a few; what it promises is the same, nothing. Hops lose messages.

use std::{collections::BTreeSet, sync::Arc};

use muster_actors::ports::{Event, Topic};
use muster_protocol::{
    identity::NodeId,
    limits::{GOSSIP_BYTES_MAX, GOSSIP_TOPICS_MAX, MESH_EVENTS_MAX},
};

use super::mesh::{Action, Mesh};

/// How many messages a process remembers to have heard. What is older than all of them is not news.
const SEEN_MAX: usize = 4096;

/// A message that is passed on.
pub(super) struct Rumor {
    number: u64,
    topic: Topic,
    author: NodeId,
    bytes: Vec<u8>,
}

/// Which messages a process has heard.
#[derive(Default)]
pub(super) struct Seen {
    numbers: BTreeSet<u64>,
    forgotten: u64,
}

impl Seen {
    /// Whether this is news.
    fn insert(&mut self, number: u64) -> bool {
        let news = number > self.forgotten && self.numbers.insert(number);
        if self.numbers.len() > SEEN_MAX {
            self.forgotten = self.numbers.pop_first().unwrap_or_default();
        }
        news
    }
}

impl Mesh {
    pub(super) fn set_topics(&mut self, node: NodeId, boot: u64, topics: Vec<Topic>) {
        if topics.len() > GOSSIP_TOPICS_MAX {
            self.complaints.push(format!("{node} listens to {} topics", topics.len()));
        }
        if let Some(host) = self.host(node, boot) {
            host.topics = topics.into_iter().collect();
        }
    }

    pub(super) fn publish(&mut self, now: u64, author: NodeId, boot: u64, topic: Topic, bytes: Vec<u8>) {
        if bytes.len() > GOSSIP_BYTES_MAX && self.villains.contains(&author) {
            return; // nobody passes it on
        }
        if bytes.len() > GOSSIP_BYTES_MAX {
            self.complaints.push(format!("{author} gossiped {} bytes", bytes.len()));
            return;
        }
        let number = self.number();
        let Some(host) = self.host(author, boot) else { return };
        host.seen.insert(number);
        self.pass_on(now, author, &Arc::new(Rumor { number, topic, author, bytes }));
    }

    fn pass_on(&mut self, now: u64, from: NodeId, rumor: &Arc<Rumor>) {
        for to in self.linked(from) {
            let listens = self.hosts.get(&to).is_some_and(|host| host.topics.contains(&rumor.topic));
            if listens && !self.paths.gossip_is_lost(from, to) {
                let at = now + self.paths.latency(from, to);
                self.plan(at, Action::Gossip { from, to, rumor: Arc::clone(rumor) });
            }
        }
    }

    pub(super) fn on_gossip(&mut self, now: u64, from: NodeId, to: NodeId, rumor: Arc<Rumor>) {
        if self.paths.is_blocked(from, to) || self.inbox_len(to) >= MESH_EVENTS_MAX {
            return;
        }
        let Some(host) = self.hosts.get_mut(&to).filter(|host| host.up) else { return };
        let welcome = host.friends.contains(&from) && host.topics.contains(&rumor.topic);
        if welcome && host.seen.insert(rumor.number) {
            let Rumor { topic, author, ref bytes, .. } = *rumor;
            self.push(to, Event::Gossip { topic, author, bytes: bytes.clone() });
            self.pass_on(now, to, &rumor);
        }
    }
}
