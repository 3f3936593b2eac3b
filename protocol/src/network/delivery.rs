//! Who gets a message in the inbox (N-90).

use serde_json::Value;

use super::envelope::Envelope;
use super::ids::PeerName;
use super::kinds::{Kind, Surface, WhoisType};

/// True when `envelope` belongs in the inbox of `peer`, which is a peer of the envelope's channel (N-90).
///
/// say and capability without `to` reach everybody; with `to`, and on a direct surface always, the addressed peer
/// alone. receipt, trace and whois responses reach only the addressed peer. greet and whois requests reach nobody.
/// A sender never gets its own.
pub fn is_for(envelope: &Envelope, peer: &PeerName) -> bool {
    if *peer == envelope.from {
        return false;
    }
    let is_addressed = envelope.to.as_ref() == Some(peer);
    match envelope.kind {
        Kind::Say | Kind::Capability => {
            is_addressed || (envelope.to.is_none() && envelope.surface() != Some(Surface::Direct))
        }
        Kind::Receipt | Kind::Trace => is_addressed,
        Kind::Whois => is_addressed && is_response(envelope),
        Kind::Greet => false,
    }
}

/// The peers among `locals`, the local peers of the envelope's channel, who get it in the inbox (N-90).
pub fn recipients<'a>(
    envelope: &Envelope,
    locals: impl IntoIterator<Item = &'a PeerName>,
) -> Vec<&'a PeerName> {
    locals.into_iter().filter(|peer| is_for(envelope, peer)).collect()
}

fn is_response(envelope: &Envelope) -> bool {
    envelope.body.get("type").and_then(Value::as_str) == Some(WhoisType::Response.as_str())
}
