//! Everything this node stores or learns, as it happens: server-sent events.
//!
//! A listener is a cursor over the store and a bell that rings when something was stored; no event
//! waits in memory for anybody. A slow listener therefore costs nothing but its own lateness, and
//! one that was away reads on after its `Last-Event-ID`.
//!
//! Presence is the exception: it is news, not record. Who listens hears it as it happens, without a number, and a
//! listener that was away asks the lists who is there.

use std::{collections::BTreeSet, convert::Infallible};

use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::{Stream, StreamExt, stream};
use muster_actors::{Node, PresenceEvent, PresenceTurn};
use muster_protocol::{ids::WorkspaceId, limits};
use muster_storage::{EventRow, StoreError};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{
    OwnedSemaphorePermit,
    broadcast::{self, error::RecvError},
    watch,
};
use utoipa::IntoParams;

use super::{
    errors::{Always, BadRequest, NotFound, Problem},
    workspaces::find,
};
use crate::{
    Doors,
    input::{InQuery, given},
};

/// Events read from the store at once for one listener: what it costs in memory.
const PAGE: usize = 64;
/// Proxies of the nginx family hold streams back without it.
static NO_BUFFERING: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EventQuery {
    /// Keep only events of this workspace.
    workspace_id: Option<String>,
    /// Keep only these kinds, comma-separated.
    kinds: Option<String>,
}

/// Server-sent events of everything this node stores or learns
///
/// Starts with what comes next, or after `Last-Event-ID`. `id` is the event's number, `event` its
/// kind, `data` JSON. An `id` that stands alone is no event: it says where the stream is, first of all
/// and where it passed over what the filters drop, so that who connects again misses nothing and hears
/// nothing twice. Events of kind `presence` have no `id` and are not repeated: a peer of another node
/// came, left, or expired. A comment line comes at least every 15 s.
#[utoipa::path(
    get, path = "/node/v1/events", operation_id = "streamNodeEvents", tag = "node",
    params(EventQuery, ("last-event-id" = Option<u64>, Header, description = "Number of the last event seen.")),
    responses(
        (status = 200, description = "The stream.", body = String, content_type = "text/event-stream"),
        BadRequest, NotFound, Always
    )
)]
pub(super) async fn stream(
    State(doors): State<Doors>,
    InQuery(query): InQuery<EventQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let permit = doors.listeners.clone().try_acquire_owned().map_err(|_| Problem::too_many_listeners())?;
    // The bell first: what is stored after this line rings it, what was stored before is read.
    let (bell, turns) = (doors.node.subscribe(), doors.node.subscribe_presence());
    let view = doors.node.store().view()?;
    let newest = view.last_event()?;
    let listener = Listener {
        cursor: last_seen(&headers)?.map_or(newest, |seen| seen.min(newest)),
        wanted: Wanted {
            workspace: match given(query.workspace_id.as_deref()) {
                Some(reference) => Some(find(&view, reference)?.id),
                None => None,
            },
            kinds: kinds(query.kinds.as_deref()),
        },
        node: doors.node.clone(),
        bell,
        turns,
        _permit: permit,
    };
    let keep_alive = KeepAlive::new().interval(limits::EVENT_KEEP_ALIVE);
    let (name, value) = NO_BUFFERING.clone();
    Ok(([(name, value)], Sse::new(listener.events()).keep_alive(keep_alive)).into_response())
}

fn last_seen(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(header) = headers.get("last-event-id") else { return Ok(None) };
    let number = header.to_str().ok().and_then(|text| text.trim().parse().ok());
    number.map(Some).ok_or_else(|| Problem::invalid("`Last-Event-ID` has to be the number of an event"))
}

fn kinds(list: Option<&str>) -> BTreeSet<String> {
    list.into_iter()
        .flat_map(|list| list.split(','))
        .filter_map(|kind| given(Some(kind)))
        .map(str::to_owned)
        .collect()
}

/// What a listener wants to hear.
struct Wanted {
    workspace: Option<WorkspaceId>,
    /// Empty means all.
    kinds: BTreeSet<String>,
}

impl Wanted {
    fn has(&self, event: &EventRow) -> bool {
        let workspace = self.workspace.is_none() || self.workspace == event.workspace;
        workspace && self.takes(&event.kind)
    }

    fn takes(&self, kind: &str) -> bool {
        self.kinds.is_empty() || self.kinds.contains(kind)
    }
}

struct Listener {
    node: Node,
    /// Number of the last event read.
    cursor: u64,
    wanted: Wanted,
    bell: watch::Receiver<u64>,
    turns: broadcast::Receiver<PresenceEvent>,
    _permit: OwnedSemaphorePermit,
}

impl Listener {
    /// Ends when the node stops, or when its store cannot be read any longer.
    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        let first = stream::iter([place(self.cursor)]);
        let pages = stream::unfold(self, |mut listener| async {
            let page = listener.next_page().await?;
            Some((stream::iter(page), listener))
        });
        first.chain(pages.flatten()).map(Ok)
    }

    /// The next events this listener wants, or where it is now if it wants none of them; waits until
    /// there are some.
    async fn next_page(&mut self) -> Option<Vec<Event>> {
        loop {
            self.bell.mark_unchanged();
            let rows = match self.read() {
                Ok(rows) => rows,
                Err(error) => {
                    tracing::error!(%error, "the event stream ends: the store could not be read");
                    return None;
                }
            };
            let Some(last) = rows.last() else {
                tokio::select! {
                    rung = self.bell.changed() => rung.ok()?,
                    turn = self.turns.recv() => match turn {
                        Ok(turn) => if let Some(event) = self.presence(&turn) { return Some(vec![event]) },
                        // It was slow and missed some; presence is not repeated.
                        Err(RecvError::Lagged(_)) => {}
                        Err(RecvError::Closed) => return None,
                    },
                }
                continue;
            };
            self.cursor = last.number;
            let mut page: Vec<_> = rows.iter().filter(|row| self.wanted.has(row)).map(as_sse).collect();
            if !self.wanted.has(last) {
                page.push(place(self.cursor));
            }
            return Some(page);
        }
    }

    /// A peer came or went, if this listener wants to hear of it.
    fn presence(&self, turn: &PresenceEvent) -> Option<Event> {
        let control = self.node.store().control(turn.space)?;
        let workspace = control.genesis().workspace;
        if self.wanted.workspace.is_some_and(|wanted| wanted != workspace) || !self.wanted.takes("presence") {
            return None;
        }
        let state = match turn.turn {
            PresenceTurn::Came => "active",
            PresenceTurn::Left => "left",
            PresenceTurn::Expired => "expired",
        };
        let data = json!({
            "workspace_id": workspace.to_string(), "channel": turn.channel.as_str(),
            "peer_id": turn.peer.as_str(), "node": turn.node.to_string(), "presence_state": state,
            "at": turn.at_ms,
        });
        Some(Event::default().event("presence").data(data.to_string()))
    }

    fn read(&self) -> Result<Vec<EventRow>, StoreError> {
        self.node.store().view()?.events(self.cursor, PAGE)
    }
}

/// Says how far the stream has come. Clients take note of it and see no event.
fn place(number: u64) -> Event {
    Event::default().id(number.to_string())
}

fn as_sse(row: &EventRow) -> Event {
    // JSON on one line: `data` may hold no line breaks, and compact JSON has none.
    Event::default().id(row.number.to_string()).event(&row.kind).data(row.data.to_string())
}
