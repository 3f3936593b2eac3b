//! One claimed invocation: waits for the end of its lease (W-137).
//!
//! What becomes of an invocation is decided in the writer's transaction, so this actor holds no state of its own but
//! until when to wait. When that moment comes it hands the look to the writer, and hears after the commit, as after every
//! commit that changes the claim, what to wait for next. If nobody looked in time nothing would be wrong: whoever asks
//! next finds the lease over. But everybody is told in time, and work that nobody can take is parked.

use std::{sync::Arc, time::Duration};

use muster_protocol::{ids::SpaceId, invocation::InvocationId};
use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::context::{Context, lock};

/// How long until the writer is asked again when its queue was full.
const AGAIN: Duration = Duration::from_secs(1);

/// What the actor of a claimed invocation is told.
pub(crate) enum InvocationMessage {
    /// It is claimed until then, in Unix milliseconds; none when it is not.
    Claimed(Option<u64>),
    /// It may be time.
    Due,
}

/// The actor.
pub(crate) struct Invocation;

/// Which invocation, and until when it is claimed.
pub(crate) struct Lease {
    pub(crate) context: Arc<Context>,
    pub(crate) space: SpaceId,
    pub(crate) id: InvocationId,
    pub(crate) until_ms: u64,
}

pub(crate) struct State {
    lease: Lease,
    /// When it will be told that it may be time, in Unix milliseconds.
    woken_ms: u64,
}

impl Actor for Invocation {
    type Msg = InvocationMessage;
    type State = State;
    type Arguments = Lease;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        lease: Lease,
    ) -> Result<State, ActorProcessingErr> {
        let mut state = State { lease, woken_ms: u64::MAX };
        state.wait(&myself);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            InvocationMessage::Claimed(Some(until_ms)) => {
                state.lease.until_ms = until_ms;
                state.wait(&myself);
            }
            InvocationMessage::Claimed(None) => {
                state.forget(&myself);
                myself.stop(None);
            }
            InvocationMessage::Due => {
                state.woken_ms = u64::MAX;
                if state.lease.context.wall_ms() < state.lease.until_ms {
                    state.wait(&myself); // it was renewed, or the clock was set back
                } else {
                    state.look(&myself);
                }
            }
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        myself: ActorRef<Self::Msg>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.forget(&myself);
        Ok(())
    }
}

impl State {
    /// Wakes up at the end of the lease, unless something wakes it before.
    fn wait(&mut self, myself: &ActorRef<InvocationMessage>) {
        if self.woken_ms > self.lease.until_ms {
            let now_ms = self.lease.context.wall_ms();
            self.woken_ms = self.lease.until_ms;
            self.wake(myself, Duration::from_millis(self.lease.until_ms.saturating_sub(now_ms)));
        }
    }

    fn wake(&self, myself: &ActorRef<InvocationMessage>, after: Duration) {
        let (sleep, myself) = (self.lease.context.ports.clock.sleep(after), myself.clone());
        ractor::concurrency::spawn(async move {
            sleep.await;
            // It may have ended meanwhile.
            let _ = myself.cast(InvocationMessage::Due);
        });
    }

    fn look(&mut self, myself: &ActorRef<InvocationMessage>) {
        let Lease { context, space, id, .. } = &self.lease;
        let (space, id, told) = (*space, *id, myself.clone());
        let taken = context.store.write(
            context.wall_ms(),
            move |batch| batch.look_at_invocation(space, id),
            move |until_ms| {
                // It may have ended meanwhile.
                let _ = told.cast(InvocationMessage::Claimed(until_ms));
            },
        );
        if taken.is_err() {
            tracing::debug!(%id, "the end of a claim was not looked at: the writer is busy");
            self.woken_ms = context.wall_ms() + AGAIN.as_millis() as u64;
            self.wake(myself, AGAIN);
        }
    }

    fn forget(&self, myself: &ActorRef<InvocationMessage>) {
        let mut invocations = lock(&self.lease.context.invocations);
        let key = (self.lease.space, self.lease.id);
        if invocations.get(&key).is_some_and(|actor| actor.get_id() == myself.get_id()) {
            invocations.remove(&key);
        }
    }
}
