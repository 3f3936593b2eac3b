//! What the driver tells the actors, without ever waiting for them.
//!
//! The event queue is bounded, and the driver must not wait for room in it: a slow actor would stop
//! all connections. Links wait (each has its own task); the driver's own events wait here instead.
//!
//! When this queue is full too, each kind has its own way to give in: gossip is not even put here, as
//! the next presence message makes up for it; a question is refused; a sighting on the local network
//! is forgotten; listening addresses are state, of which only the newest is kept.

use std::collections::VecDeque;

use muster_actors::ports::Event;
use muster_protocol::limits::MESH_OWED_MAX;
use tokio::sync::mpsc;

/// The driver's side of the event queue.
pub(super) struct Feed {
    events: mpsc::Sender<Event>,
    owed: VecDeque<Event>,
}

impl Feed {
    /// A feed into this queue.
    pub(super) fn new(events: mpsc::Sender<Event>) -> Self {
        Self { events, owed: VecDeque::new() }
    }

    /// The queue itself, for a link's task.
    pub(super) fn events(&self) -> mpsc::Sender<Event> {
        self.events.clone()
    }

    /// Tells it now or as soon as there is room. `false` when it was dropped.
    pub(super) fn tell(&mut self, event: Event) -> bool {
        if matches!(event, Event::Listening { .. }) {
            self.owed.retain(|owed| !matches!(owed, Event::Listening { .. }));
        } else if self.owed.len() >= MESH_OWED_MAX {
            return false;
        }
        self.owed.push_back(event);
        while let Ok(room) = self.events.try_reserve()
            && let Some(event) = self.owed.pop_front()
        {
            room.send(event);
        }
        true
    }

    /// Tells it now or not at all.
    pub(super) fn tell_now(&mut self, event: Event) -> bool {
        self.owed.is_empty() && self.events.try_send(event).is_ok()
    }

    /// Tells what is owed as far as there is room now: the last chance.
    pub(super) fn settle_now(&mut self) {
        while let Some(event) = self.owed.pop_front()
            && self.events.try_send(event).is_ok()
        {}
    }

    /// Waits for room and tells one owed event. `false` when nobody listens any more. Safe to cancel.
    pub(super) async fn settle(&mut self) -> bool {
        if self.owed.is_empty() {
            self.events.closed().await;
            return false;
        }
        let Ok(room) = self.events.reserve().await else { return false };
        if let Some(event) = self.owed.pop_front() {
            room.send(event);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening(address: &str) -> Event {
        Event::Listening { addresses: vec![address.into()] }
    }

    #[tokio::test]
    async fn of_listening_addresses_only_the_newest_waits() {
        let (sender, mut receiver) = mpsc::channel(1);
        let mut feed = Feed::new(sender);
        for address in ["a", "b", "c"] {
            assert!(feed.tell(listening(address)));
        }
        let Some(Event::Listening { addresses }) = receiver.recv().await else { panic!("an event") };
        assert_eq!(addresses, ["a"]);
        assert!(feed.settle().await);
        let Some(Event::Listening { addresses }) = receiver.recv().await else { panic!("an event") };
        assert_eq!(addresses, ["c"]);
    }

    #[tokio::test]
    async fn a_full_feed_says_so_instead_of_growing() {
        let (sender, _receiver) = mpsc::channel(1);
        let mut feed = Feed::new(sender);
        let seen = || Event::Discovered {
            node: muster_protocol::identity::Identity::from_seed([1; 32]).node(),
            addresses: Vec::new(),
        };
        let taken = (0..1000).filter(|_| feed.tell(seen())).count();
        assert_eq!(taken, MESH_OWED_MAX + 1);
        assert!(!feed.tell_now(seen()));
    }
}
