//! What a connection is doing: whether it waits for its client, or its client for it.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::sync::Notify;

/// The order in which connections began to wait, over all of them.
static TURN: AtomicU64 = AtomicU64::new(0);

/// What one connection is doing.
pub(super) struct Place {
    busy: AtomicBool,
    waits_since: AtomicU64,
    /// Told when it is busy no more.
    freed: Arc<Notify>,
}

impl Place {
    /// A connection that waits for its first request.
    pub(super) fn new(freed: Arc<Notify>) -> Self {
        let turn = TURN.fetch_add(1, Ordering::Relaxed);
        Self { busy: AtomicBool::new(false), waits_since: AtomicU64::new(turn), freed }
    }

    /// Whether a whole request came and its answer is not over.
    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed)
    }

    /// When it began to wait for what its client has to send; less is earlier.
    pub(super) fn waits_since(&self) -> u64 {
        self.waits_since.load(Ordering::Relaxed)
    }

    /// The body of a request, at whose end the connection is busy.
    pub(super) fn asked(self: &Arc<Self>, body: Body) -> Body {
        if body.is_end_stream() {
            self.busy.store(true, Ordering::Relaxed);
            return body;
        }
        Body::new(Asked { body, place: self.clone() })
    }

    /// The body of an answer, at whose end the connection waits again.
    pub(super) fn answered(self: &Arc<Self>, body: Body) -> Body {
        self.busy.store(true, Ordering::Relaxed); // also when it did not want to hear the whole request
        Body::new(Answered { body, place: self.clone() })
    }
}

struct Asked {
    body: Body,
    place: Arc<Place>,
}

impl HttpBody for Asked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if matches!(frame, Poll::Ready(None)) || self.body.is_end_stream() {
            self.place.busy.store(true, Ordering::Relaxed);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

struct Answered {
    body: Body,
    place: Arc<Place>,
}

impl Drop for Answered {
    fn drop(&mut self) {
        self.place.waits_since.store(TURN.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        self.place.busy.store(false, Ordering::Relaxed);
        self.place.freed.notify_one();
    }
}

impl HttpBody for Answered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn a_connection_is_busy_from_the_end_of_the_request_to_the_end_of_the_answer() {
        let freed = Arc::new(Notify::new());
        let (early, place) = (Arc::new(Place::new(freed.clone())), Arc::new(Place::new(freed.clone())));
        let mut asked = place.asked(Body::from("a question")).into_data_stream();
        assert!(!place.is_busy(), "the body is still to come");
        while asked.next().await.is_some() {}
        assert!(place.is_busy());
        let answered = place.answered(Body::from("an answer"));
        assert!(place.is_busy());
        drop(answered);
        assert!(!place.is_busy());
        assert!(place.waits_since() > early.waits_since());
        freed.notified().await;
    }
}
