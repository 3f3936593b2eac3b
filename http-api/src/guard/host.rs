//! The `Host` allow-list, first of all checks: without it a web page whose name was pointed at
//! 127.0.0.1 would be of our own origin, and no other check could tell.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{Request, State},
    http::{header::HOST, uri::Authority},
    middleware::Next,
    response::Response,
};

use super::{Refused, refuse};

/// The hosts this node answers for, on any port: a tunnel may bring requests in on another.
#[derive(Debug, Clone)]
pub struct AllowedHosts(Arc<Hosts>);

#[derive(Debug)]
struct Hosts {
    names: BTreeSet<String>,
    /// Bound to all addresses of the machine, which we need not know: any address will do. Only
    /// names can be rebound.
    any_address: bool,
}

impl AllowedHosts {
    /// Loopback under its usual names, the bound addresses, and the configured `names`.
    pub fn new(bound: &[SocketAddr], names: &[String]) -> Self {
        let usual = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned);
        let bound_ips = bound.iter().map(|address| as_host(address.ip()));
        let configured = names.iter().map(|name| name.trim().to_ascii_lowercase());
        Self(Arc::new(Hosts {
            names: usual.into_iter().chain(bound_ips).chain(configured).collect(),
            any_address: bound.iter().any(|address| address.ip().is_unspecified()),
        }))
    }

    fn has(&self, authority: &Authority) -> bool {
        let host = authority.host().to_ascii_lowercase();
        let is_address = || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        !authority.as_str().contains('@')
            && (self.0.names.contains(&host) || self.0.any_address && is_address())
    }
}

fn as_host(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// The host and port a request is for: `:authority` of HTTP/2 or the absolute form, else its one
/// `Host` header.
pub(super) fn authority(request: &Request) -> Option<Authority> {
    if let Some(authority) = request.uri().authority() {
        return Some(authority.clone());
    }
    let mut headers = request.headers().get_all(HOST).iter();
    match (headers.next(), headers.next()) {
        (Some(host), None) => host.to_str().ok()?.parse().ok(),
        _ => None,
    }
}

/// Lets through what is for a host of ours.
pub(super) async fn known_only(State(hosts): State<AllowedHosts>, request: Request, next: Next) -> Response {
    match authority(&request) {
        Some(authority) if hosts.has(&authority) => next.run(request).await,
        _ => refuse(&request, &Refused::Host),
    }
}
