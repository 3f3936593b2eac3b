//! Actors that are not needed rest: after [`limits::IDLE_REST`] without a message they end, and are started again by
//! the next one.

use std::time::Duration;

use muster_protocol::limits;
use ractor::{ActorRef, Message};

use crate::context::Context;

/// When an actor was last disturbed, in monotonic milliseconds.
pub(crate) struct Rest {
    active_ms: u64,
}

impl Rest {
    /// Begins to watch; `idle` makes the message that comes when it may be time.
    pub(crate) fn begin<M: Message>(context: &Context, myself: &ActorRef<M>, idle: fn(u64) -> M) -> Self {
        let rest = Self { active_ms: context.monotonic_ms() };
        rest.watch(context, myself, idle);
        rest
    }

    /// Something happened.
    pub(crate) fn disturb(&mut self, context: &Context) {
        self.active_ms = context.monotonic_ms();
    }

    /// Whether nothing happened since `since_ms`, which the message brought back. If something did, it watches on.
    pub(crate) fn is_due<M: Message>(
        &self,
        since_ms: u64,
        context: &Context,
        myself: &ActorRef<M>,
        idle: fn(u64) -> M,
    ) -> bool {
        let due = self.active_ms == since_ms;
        if !due {
            self.watch(context, myself, idle);
        }
        due
    }

    fn watch<M: Message>(&self, context: &Context, myself: &ActorRef<M>, idle: fn(u64) -> M) {
        let since_ms = self.active_ms;
        let idle_ms = context.monotonic_ms().saturating_sub(since_ms);
        let wait = limits::IDLE_REST.saturating_sub(Duration::from_millis(idle_ms));
        myself.send_after(wait, move || idle(since_ms));
    }
}
