//! Yamux whose connections close within a bound.
//!
//! Closing is polite: what was written leaves first. When the other machine has vanished, or the way to it,
//! nothing leaves any more: TCP holds what it has for a quarter of an hour, and for so long libp2p waits,
//! believes the peer connected, and dials it no more. A network that is whole again after a minute would
//! stay parted. So a connection that has not closed in time is dropped; then the system closes it.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use futures::{AsyncRead, AsyncWrite, TryFutureExt as _, future::MapOk};
use libp2p::{
    core::{
        muxing::{StreamMuxer, StreamMuxerEvent},
        upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo},
    },
    yamux,
};
use muster_protocol::limits::{CONNECTION_CLOSE_GRACE, STREAMS_PER_CONNECTION_MAX};
use tokio::time::Sleep;

/// Makes [`Bounded`] connections.
#[derive(Clone)]
pub(super) struct Config(yamux::Config);

impl Config {
    pub(super) fn new() -> Self {
        let mut config = yamux::Config::default();
        config.set_max_num_streams(STREAMS_PER_CONNECTION_MAX as usize);
        Self(config)
    }
}

impl UpgradeInfo for Config {
    type Info = <yamux::Config as UpgradeInfo>::Info;
    type InfoIter = <yamux::Config as UpgradeInfo>::InfoIter;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.protocol_info()
    }
}

type Made<F, C> = MapOk<F, fn(yamux::Muxer<C>) -> Bounded<yamux::Muxer<C>>>;

impl<C: AsyncRead + AsyncWrite + Send + Unpin + 'static> InboundConnectionUpgrade<C> for Config {
    type Output = Bounded<yamux::Muxer<C>>;
    type Error = io::Error;
    type Future = Made<<yamux::Config as InboundConnectionUpgrade<C>>::Future, C>;

    fn upgrade_inbound(self, socket: C, info: Self::Info) -> Self::Future {
        self.0.upgrade_inbound(socket, info).map_ok(Bounded::new)
    }
}

impl<C: AsyncRead + AsyncWrite + Send + Unpin + 'static> OutboundConnectionUpgrade<C> for Config {
    type Output = Bounded<yamux::Muxer<C>>;
    type Error = io::Error;
    type Future = Made<<yamux::Config as OutboundConnectionUpgrade<C>>::Future, C>;

    fn upgrade_outbound(self, socket: C, info: Self::Info) -> Self::Future {
        self.0.upgrade_outbound(socket, info).map_ok(Bounded::new)
    }
}

/// A connection whose closing ends after [`CONNECTION_CLOSE_GRACE`].
pub(super) struct Bounded<M> {
    inner: M,
    /// Runs from the moment closing began.
    end: Option<Pin<Box<Sleep>>>,
}

impl<M> Bounded<M> {
    fn new(inner: M) -> Self {
        Self { inner, end: None }
    }
}

impl<M: StreamMuxer + Unpin> StreamMuxer for Bounded<M> {
    type Substream = M::Substream;
    type Error = M::Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        Pin::new(&mut self.inner).poll_inbound(cx)
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        Pin::new(&mut self.inner).poll_outbound(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if let Poll::Ready(closed) = Pin::new(&mut self.inner).poll_close(cx) {
            return Poll::Ready(closed);
        }
        #[expect(clippy::disallowed_methods, reason = "an adapter of the network waits in real time")]
        let end = self.end.get_or_insert_with(|| Box::pin(tokio::time::sleep(CONNECTION_CLOSE_GRACE)));
        end.as_mut().poll(cx).map(Ok)
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        Pin::new(&mut self.inner).poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures::{future::poll_fn, io::Cursor};
    use tokio::time::timeout;

    use super::*;

    /// A connection over which nothing leaves any more.
    struct Stuck;

    impl StreamMuxer for Stuck {
        type Substream = Cursor<Vec<u8>>;
        type Error = io::Error;

        fn poll_inbound(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Result<Self::Substream, Self::Error>> {
            Poll::Pending
        }

        fn poll_outbound(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Result<Self::Substream, Self::Error>> {
            Poll::Pending
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            Poll::Pending
        }

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_cannot_say_goodbye_is_dropped_in_time() {
        let mut connection = Bounded::new(Stuck);
        let mut close = poll_fn(|cx| Pin::new(&mut connection).poll_close(cx));
        timeout(CONNECTION_CLOSE_GRACE / 2, &mut close).await.unwrap_err();
        timeout(CONNECTION_CLOSE_GRACE, &mut close).await.unwrap().unwrap();
    }
}
