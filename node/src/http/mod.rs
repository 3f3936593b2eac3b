//! The server of the HTTP doors: so many connections and no more, and none that holds its place for nothing.
//!
//! axum's own server takes any number of connections and waits for ever for a request to be finished. Each
//! costs a file descriptor and some ten KiB, so a program that opens connections and says nothing could leave
//! the store and the mesh without files. Here
//!
//! - a request's head has to come within [`HTTP_HEAD_TIMEOUT`], and an idle connection lives no longer;
//! - what is answered has to be read, see [`stall`];
//! - at [`HTTP_CONNECTIONS_MAX`] a newcomer takes the place of whoever has waited longest without a whole
//!   request, see [`place`]; so an honest client, who sends its request at once, always gets an answer.

use std::{collections::BTreeMap, convert::Infallible, io, pin::pin, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
    response::Response,
};
use futures::FutureExt as _;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use muster_protocol::limits::{HTTP_CONNECTIONS_MAX, HTTP_HEAD_TIMEOUT};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::{AbortHandle, JoinSet},
};
use tower::ServiceExt as _;

use place::Place;
use stall::Stall;

mod place;
mod stall;

/// After the system refused to hand over a connection: it lacks files, and others have to end first.
const NO_FILES_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stopped`, then answers what was asked already. Event streams end only when this is dropped.
pub(crate) async fn serve(
    listener: TcpListener,
    routes: Router,
    stopped: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut stopped = pin!(stopped.fuse());
    let mut served = Served::default();
    let graceful = GracefulShutdown::new();
    loop {
        let may_accept = served.has_room();
        tokio::select! {
            biased;
            () = &mut stopped => break,
            Some(ended) = served.tasks.join_next_with_id() => {
                served.forget(ended.map_or_else(|error| error.id(), |(id, ())| id));
            }
            () = served.freed.notified(), if !may_accept => {}
            accepted = listener.accept(), if may_accept => match accepted {
                Ok((stream, _)) => served.add(stream, routes.clone(), &graceful),
                Err(error) => {
                    tracing::debug!(%error, "a connection could not be accepted");
                    pause().await;
                }
            },
        }
    }
    drop(listener);
    graceful.shutdown().await;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "an adapter: it waits for the system")]
async fn pause() {
    tokio::time::sleep(NO_FILES_PAUSE).await;
}

/// Everybody who is connected, the oldest first.
#[derive(Default)]
struct Served {
    tasks: JoinSet<()>,
    places: BTreeMap<u64, (AbortHandle, Arc<Place>)>,
    next: u64,
    freed: Arc<Notify>,
}

impl Served {
    /// Whether one more may come, perhaps in place of another.
    fn has_room(&self) -> bool {
        self.places.len() < HTTP_CONNECTIONS_MAX || self.places.values().any(|(_, place)| !place.is_busy())
    }

    fn add(&mut self, stream: TcpStream, routes: Router, graceful: &GracefulShutdown) {
        let longest = |places: &BTreeMap<u64, (AbortHandle, Arc<Place>)>| {
            let waits = places.iter().filter(|(_, (_, place))| !place.is_busy());
            waits.min_by_key(|(_, (_, place))| place.waits_since()).map(|(number, _)| *number)
        };
        if self.places.len() >= HTTP_CONNECTIONS_MAX
            && let Some(number) = longest(&self.places)
            && let Some((task, _)) = self.places.remove(&number)
        {
            task.abort();
        }
        let place = Arc::new(Place::new(self.freed.clone()));
        let task = self.tasks.spawn(connection(stream, routes, place.clone(), graceful.watcher()));
        self.places.insert(self.next, (task, place));
        self.next += 1;
    }

    fn forget(&mut self, id: tokio::task::Id) {
        self.places.retain(|_, (task, _)| task.id() != id);
    }
}

/// Serves one connection to its end.
async fn connection(
    stream: TcpStream,
    routes: Router,
    place: Arc<Place>,
    watcher: hyper_util::server::graceful::Watcher,
) {
    let from = stream.peer_addr().ok().map(ConnectInfo);
    let answer = service_fn(move |request: hyper::Request<Incoming>| {
        let (routes, place) = (routes.clone(), place.clone());
        async move {
            let mut request: Request = request.map(|body| place.asked(Body::new(body)));
            if let Some(from) = from {
                request.extensions_mut().insert(from);
            }
            let response: Response = routes.oneshot(request).await.unwrap_or_else(|never| match never {});
            Ok::<_, Infallible>(response.map(|body| place.answered(body)))
        }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HTTP_HEAD_TIMEOUT);
    let connection = server.serve_connection(TokioIo::new(Stall::new(stream)), answer);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "an HTTP connection ended early");
    }
}
