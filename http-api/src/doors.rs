//! What all handlers share, and the router made of it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use muster_actors::Node;
use muster_protocol::limits;
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;

use crate::{
    docs,
    guard::{self, auth::OperatorToken, host::AllowedHosts, measure::Measures},
    network, node,
    workspace::{self, RateLimits},
};

/// The state behind every route. Cheap to clone.
#[derive(Clone)]
pub struct Doors {
    pub(crate) node: Node,
    pub(crate) operator: OperatorToken,
    pub(crate) addresses: Arc<[SocketAddr]>,
    pub(crate) metrics: Arc<Registry>,
    /// One permit for each listener of the event stream.
    pub(crate) listeners: Arc<Semaphore>,
    /// One permit for each upload.
    pub(crate) uploads: Arc<Semaphore>,
    measures: Measures,
    pub(crate) rates: RateLimits,
    /// How long a conversation has to pause before its memos are shown (W-89).
    pub(crate) memo_quiet: Duration,
    hosts: AllowedHosts,
}

impl Doors {
    /// Doors to `node`, served on `addresses` (as bound, so with their real ports) and, besides
    /// those, under the host names `names`. `metrics` holds what the rest of the process measures; the
    /// doors add their own. `rates` bound how often the Workspace door may be used, and `memo_quiet` is
    /// how long a conversation has to pause before it shows its memos.
    pub fn new(
        node: Node,
        operator: OperatorToken,
        addresses: &[SocketAddr],
        names: &[String],
        mut metrics: Registry,
        rates: RateLimits,
        memo_quiet: Duration,
    ) -> Self {
        let measures = Measures::register(&mut metrics);
        Self {
            node,
            operator,
            addresses: addresses.into(),
            metrics: Arc::new(metrics),
            measures,
            rates,
            memo_quiet,
            uploads: Arc::new(Semaphore::new(limits::UPLOADS_MAX)),
            listeners: Arc::new(Semaphore::new(limits::EVENT_LISTENERS_MAX)),
            hosts: AllowedHosts::new(addresses, names),
        }
    }

    /// Whether only programs of this machine can connect.
    pub(crate) fn loopback(&self) -> bool {
        self.addresses.iter().all(|address| address.ip().is_loopback())
    }
}

/// The router that serves all doors and `/docs`.
pub fn router(doors: Doors) -> Router {
    let (hosts, measures) = (doors.hosts.clone(), doors.measures.clone());
    let (node, _) = node::routes(&doors.operator).split_for_parts();
    let (network, _) = network::routes(network::auth::wanted(&doors)).split_for_parts();
    let (workspace, _) = workspace::routes(&doors).split_for_parts();
    guard::around(
        node.merge(network)
            .merge(workspace)
            .merge(workspace::downloads())
            .with_state(doors)
            .merge(docs::routes()),
        hosts,
        measures,
    )
}
