//! How often this door may be used (W-55 to W-59): fixed windows of a minute, by key, workspace and address.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json,
    extract::{ConnectInfo, Request, State},
    http::{
        HeaderName, Method, StatusCode,
        header::{AUTHORIZATION, HeaderMap},
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use muster_protocol::limits::RATE_BUCKETS_MAX;
use sha2::{Digest, Sha256};

use super::{auth::bearer, errors::RateLimitError};
use crate::Doors;

/// Length of a window in milliseconds.
const WINDOW_MS: u64 = 60_000;
/// Requests of one key in a window.
const PER_KEY: u32 = 60;
/// Requests to one workspace in a window.
const PER_WORKSPACE: u32 = 600;
/// Requests from one address in a window.
const PER_ADDRESS: u32 = 300;
/// Uploads of one key in a window.
const UPLOADS_PER_KEY: u32 = 20;

/// Whose requests are counted together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Bucket {
    Address(IpAddr),
    Workspace(String),
    Uploads([u8; 32]),
    /// A key by its hash; whether it is a good one is not known yet (W-58).
    Key([u8; 32]),
}

impl Bucket {
    fn size(&self) -> u32 {
        match self {
            Self::Address(_) => PER_ADDRESS,
            Self::Workspace(_) => PER_WORKSPACE,
            Self::Uploads(_) => UPLOADS_PER_KEY,
            Self::Key(_) => PER_KEY,
        }
    }
}

/// A window: when it began, and how often it was used.
#[derive(Debug, Clone, Copy)]
struct Window {
    since_ms: u64,
    used: u32,
}

/// The state of all buckets. Cheap to clone.
#[derive(Clone)]
pub struct RateLimits {
    /// Whether an empty bucket refuses; they are counted anyway, for the headers.
    refuses: bool,
    windows: Arc<Mutex<BTreeMap<Bucket, Window>>>,
}

/// What the headers say.
struct Standing {
    size: u32,
    remaining: u32,
    reset_seconds: u64,
    refused: bool,
}

impl RateLimits {
    /// Empty buckets; without `refuses` they only count.
    pub fn new(refuses: bool) -> Self {
        Self { refuses, windows: Arc::default() }
    }

    /// Uses up one of each; stops at the first that is empty. Answers for the one it looked at last.
    fn take(&self, buckets: &[Bucket], now_ms: u64) -> Standing {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= RATE_BUCKETS_MAX {
            windows.retain(|_, window| now_ms < window.since_ms + WINDOW_MS);
            // Made-up keys without end: their oldest count starts anew rather than that memory grows.
            if windows.len() >= RATE_BUCKETS_MAX {
                windows.clear();
            }
        }
        let mut standing = Standing { size: PER_KEY, remaining: PER_KEY, reset_seconds: 60, refused: false };
        for bucket in buckets {
            let size = bucket.size();
            let fresh = Window { since_ms: now_ms, used: 0 };
            let window = windows.entry(bucket.clone()).or_insert(fresh);
            if now_ms >= window.since_ms + WINDOW_MS {
                *window = fresh;
            }
            let refused = self.refuses && window.used >= size;
            if !refused {
                window.used = window.used.saturating_add(1);
            }
            let left_ms = (window.since_ms + WINDOW_MS).saturating_sub(now_ms);
            standing = Standing {
                size,
                remaining: size.saturating_sub(window.used),
                reset_seconds: left_ms.div_ceil(1000),
                refused,
            };
            if refused {
                break;
            }
        }
        standing
    }
}

/// Counts a request, and refuses it when a bucket is empty: then nothing was executed (W-57).
pub(super) async fn limited(State(doors): State<Doors>, request: Request, next: Next) -> Response {
    let standing = doors.rates.take(&buckets(&request), doors.node.monotonic_ms());
    let mut response = if standing.refused {
        let error =
            RateLimitError { error: "Rate limit exceeded", limit: standing.size, window_ms: WINDOW_MS };
        (StatusCode::TOO_MANY_REQUESTS, Json(error)).into_response()
    } else {
        next.run(request).await
    };
    show(&standing, response.headers_mut());
    response
}

/// The buckets a request uses, the one the headers speak of last (W-56).
fn buckets(request: &Request) -> Vec<Bucket> {
    let mut buckets = Vec::new();
    if let Some(ConnectInfo(address)) = request.extensions().get::<ConnectInfo<SocketAddr>>() {
        buckets.push(Bucket::Address(address.ip()));
    }
    let path = request.uri().path();
    let rest = path.strip_prefix("/api/v1/workspaces/").unwrap_or_default();
    let (workspace, operation) = rest.split_once('/').unwrap_or((rest, ""));
    buckets.push(Bucket::Workspace(workspace.chars().take(64).collect()));
    if let Some(token) = bearer(request.headers().get(AUTHORIZATION)) {
        let hash: [u8; 32] = Sha256::digest(token).into();
        if request.method() == Method::POST && operation == "attachments" {
            buckets.push(Bucket::Uploads(hash));
        }
        buckets.push(Bucket::Key(hash));
    }
    buckets
}

fn show(standing: &Standing, headers: &mut HeaderMap) {
    let mut put = |name: &'static str, value: u64| {
        headers.insert(HeaderName::from_static(name), value.into());
    };
    put("ratelimit-limit", standing.size.into());
    put("ratelimit-remaining", standing.remaining.into());
    put("ratelimit-reset", standing.reset_seconds);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Bucket {
        Bucket::Key([byte; 32])
    }

    #[test]
    fn the_sixty_first_request_of_a_window_is_the_first_that_is_refused_w55_w59() {
        let limits = RateLimits::new(true);
        for used in 1..=60 {
            let standing = limits.take(&[key(1)], 500);
            assert!(!standing.refused);
            assert_eq!((standing.size, standing.remaining, standing.reset_seconds), (60, 60 - used, 60));
        }
        assert!(limits.take(&[key(1)], 60_499).refused);
        assert!(!limits.take(&[key(2)], 60_499).refused, "each key has its own");
        assert!(!limits.take(&[key(1)], 60_500).refused, "the next window begins");
    }

    #[test]
    fn a_request_has_to_pass_all_buckets_and_the_first_empty_one_answers_w55() {
        let limits = RateLimits::new(true);
        let address = Bucket::Address([127, 0, 0, 1].into());
        for request in 0..300_u32 {
            assert!(!limits.take(&[address.clone(), key(request as u8)], 0).refused);
        }
        let standing = limits.take(&[address, key(250)], 0);
        assert!(standing.refused);
        assert_eq!(standing.size, 300);
        let uploads = Bucket::Uploads([1; 32]);
        (0..20).for_each(|_| assert!(!limits.take(&[uploads.clone(), key(99)], 0).refused));
        assert_eq!(limits.take(&[uploads, key(99)], 0).size, 20);
    }

    #[test]
    fn switched_off_they_only_count_w59() {
        let limits = RateLimits::new(false);
        (0..100).for_each(|_| assert!(!limits.take(&[key(1)], 0).refused));
        assert_eq!(limits.take(&[key(1)], 0).remaining, 0);
    }

    #[test]
    fn made_up_keys_cost_bounded_memory() {
        let limits = RateLimits::new(true);
        for number in 0..(2 * RATE_BUCKETS_MAX as u64) {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&number.to_be_bytes());
            limits.take(&[Bucket::Key(hash)], 0);
        }
        assert!(limits.windows.lock().unwrap().len() <= RATE_BUCKETS_MAX);
    }
}
