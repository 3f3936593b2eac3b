//! A whole node in this process: store, mesh, actors and HTTP, started in that order and ended in reverse.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use libp2p::metrics::Registry;
use muster_actors::{
    NetworkSettings, Node, Settings as NodeSettings,
    ports::{Clock, Entropy, Ports},
};
use muster_http_api::{Doors, RateLimits, guard::auth::OperatorToken};
use muster_protocol::{identity::Identity, network::ChannelName};
use muster_storage::{Disk, Options, Store};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use crate::{
    config::Settings,
    data_folder::{DataFolder, Run},
    embedding::embedder,
    extraction::ChildExtraction,
    http,
    mesh::{self, MeshConfig},
    programs::SystemPrograms,
    system::{SystemClock, SystemEntropy},
};

/// How long requests that are being answered may take once the node stops.
const LAST_ANSWERS: Duration = Duration::from_secs(3);

/// A node that is up.
pub(crate) struct Running {
    pub(crate) node: Node,
    pub(crate) http: SocketAddr,
    folder: DataFolder,
    stop_http: oneshot::Sender<()>,
    served: JoinHandle<std::io::Result<()>>,
}

impl Running {
    /// Starts the node of a folder. When this returns, API and mesh listen and `run.json` says where.
    pub(crate) async fn start(settings: &Settings, folder: DataFolder) -> anyhow::Result<Self> {
        let entropy = SystemEntropy;
        let identity = Arc::new(folder.load_or_make_identity(&|bytes| entropy.fill(bytes))?);
        let token = folder.operator_token(&|bytes| entropy.fill(bytes))?;
        // The API's address is taken first: a taken port is the commonest mistake, and costs nothing yet.
        let listener = TcpListener::bind(settings.http.listen).await.with_context(|| {
            format!(
                "the API cannot listen on {}; is another node running there? Choose another address with --http",
                settings.http.listen
            )
        })?;
        let http = listener.local_addr()?;
        let store = open_store(settings, &folder, identity.clone(), &entropy)?;
        let mut registry = Registry::default();
        let (network, events) = mesh::start(mesh_config(settings, &mut registry), &identity).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let programs = Arc::new(SystemPrograms::new(settings.providers.clone()));
        let extract = Arc::new(ChildExtraction::new()?);
        let ports = Ports { clock, entropy: Arc::new(entropy), network, programs, extract };
        let node = Node::start(identity, store, ports, events, node_settings(settings)?).await?;
        let embedder = embedder(&settings.search)?;
        node.keep_search(folder.search_path(), embedder).context("the search index cannot be kept")?;
        let doors = Doors::new(
            node.clone(),
            OperatorToken::new(&token),
            &[http],
            &settings.http.allowed_hosts,
            registry,
            RateLimits::new(settings.workspace.limits_rates(http.ip())),
            Duration::from_secs(settings.workspace.memo_quiet_seconds.into()),
        );
        let (stop_http, stopped) = oneshot::channel::<()>();
        let served = serve(listener, doors, stopped);
        let run = Run {
            pid: std::process::id(),
            peer_id: node.id().to_string(),
            http,
            listen: node.mesh_addresses(),
        };
        folder.announce(&run)?;
        Ok(Self { node, http, folder, stop_http, served })
    }

    /// The folder it lives in.
    pub(crate) fn folder(&self) -> &DataFolder {
        &self.folder
    }

    /// Ends it: no new requests, goodbye to the mesh, everything acknowledged on disk.
    pub(crate) async fn stop(self) {
        // The server may have ended by itself; then there is nobody to tell.
        let _ = self.stop_http.send(());
        // Event streams never end by themselves, so the server is not waited for longer than this.
        let waited = self.node.sleep(LAST_ANSWERS);
        let mut served = self.served;
        if let futures::future::Either::Right(_) = futures::future::select(&mut served, waited).await {
            served.abort();
        }
        self.node.stop().await;
        drop(self.folder);
    }
}

#[expect(clippy::disallowed_methods, reason = "an adapter: the server is no actor")]
fn serve(
    listener: TcpListener,
    doors: Doors,
    stopped: oneshot::Receiver<()>,
) -> JoinHandle<std::io::Result<()>> {
    tokio::spawn(http::serve(listener, muster_http_api::router(doors), async {
        // Told to stop, or nobody is left who could tell.
        let _ = stopped.await;
    }))
}

fn open_store(
    settings: &Settings,
    folder: &DataFolder,
    identity: Arc<Identity>,
    entropy: &SystemEntropy,
) -> anyhow::Result<Store> {
    let mut fresh = [0; 24];
    entropy.fill(&mut fresh);
    let options = Options {
        cache_bytes: settings.storage.cache_mib * 1024 * 1024,
        inbox_depth: settings.network.queue_depth,
        inline: false,
        fresh,
        blobs: folder.blobs_path(),
    };
    Store::open(Disk::File(folder.store_path()), identity, &options)
        .with_context(|| format!("the store {} cannot be opened", folder.store_path().display()))
}

fn mesh_config<'a>(settings: &Settings, registry: &'a mut Registry) -> MeshConfig<'a> {
    let text = |addresses: &[libp2p::Multiaddr]| addresses.iter().map(ToString::to_string).collect();
    let mesh = &settings.mesh;
    MeshConfig {
        listen: text(&mesh.listen),
        external_addresses: text(&mesh.external_addresses),
        relays: text(&mesh.relays),
        relay_client: mesh.relay_client,
        relay_server: mesh.relay,
        dcutr: mesh.dcutr,
        autonat: mesh.autonat,
        mdns: mesh.mdns,
        metrics: Some(registry),
    }
}

fn node_settings(settings: &Settings) -> anyhow::Result<NodeSettings> {
    let network = &settings.network;
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    Ok(NodeSettings {
        name: settings.node.name.clone(),
        network: NetworkSettings {
            enabled: network.enabled,
            greet_interval: seconds(network.greet_interval_seconds),
            queue_depth: network.queue_depth,
            default_channel: ChannelName::parse(&network.default_channel)?,
            max_replay_age: seconds(network.max_replay_age_seconds),
            require_token: network.require_token,
        },
    })
}
