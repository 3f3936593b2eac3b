//! Answering whois: who answers, and with what (N-69, N-70).

use serde_json::Map;

use super::body::{Body, WhoisBody};
use super::capability::{CapabilityCatalog, IdFilter, wants_catalog};
use super::card::PeerCard;
use super::envelope::Envelope;
use super::ids::MessageId;
use super::kinds::{Kind, WhoisType};

/// The answer of one local peer to a whois request, or `None` when it does not answer: it asked itself, another peer is
/// addressed, or the query does not fit (N-70). An addressed peer answers whatever the query.
///
/// A rich request gets the full documents, and a filter narrows card and documents alike (N-69). `id` and `ts` (Unix
/// seconds) are the answering node's. The answer is not signed yet; one that [`Envelope::to_json`] finds too large is
/// not sent.
pub fn answer(
    request: &Envelope,
    card: &PeerCard,
    catalog: &CapabilityCatalog,
    id: MessageId,
    ts: i64,
) -> Option<Envelope> {
    let Ok(Body::Whois(WhoisBody { part: WhoisType::Request, query, .. })) = request.content() else {
        return None;
    };
    let is_asked = match &request.to {
        Some(to) => *to == card.peer_id,
        None => card.matches(query.as_deref()),
    };
    if !is_asked || request.from == card.peer_id {
        return None;
    }
    let (card, ext) = if wants_catalog(request.ext.as_ref()) {
        let filter = IdFilter::of_request(request.ext.as_ref());
        let mut ext = Map::new();
        catalog.narrowed(&filter).write_into(&mut ext);
        let card = if filter == IdFilter::All { card.clone() } else { card.narrowed(&filter) };
        (card, Some(ext))
    } else {
        (card.clone(), None)
    };
    let from = card.peer_id.clone();
    let body = WhoisBody { part: WhoisType::Response, query: None, peer_card: Some(card) };
    Some(Envelope {
        id,
        workspace_id: request.workspace_id.clone(),
        kind: Kind::Whois,
        channel: request.channel.clone(),
        container: None,
        from,
        to: Some(request.from.clone()),
        work_id: None,
        reply_to: Some(request.id.clone().into()),
        trace_id: request.trace_id.clone(),
        causation_id: Some(request.id.clone().into()),
        ts,
        expires_at: None,
        body: Body::Whois(body).to_map(),
        proof: None,
        ext,
    })
}
