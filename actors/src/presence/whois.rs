//! Greets and whois that were said in so many words: they keep presence fresh, and whois is answered (N-56, N-69 to
//! N-71).
//!
//! Unlike what the node tells by itself, they are messages, stored and replicated like all others. So they may arrive
//! long after they were sent; what is not fresh any more (N-15) changes nothing and is not answered.

use std::collections::BTreeMap;

use muster_protocol::{
    identity::NodeId,
    limits,
    network::{Body, CapabilityCatalog, Kind, MessageId, PeerCard, WhoisType, freshness, whois},
};
use muster_storage::{PresenceChange, StoreError};

use super::{CARDS_BYTES_MAX, State};
use crate::{compose::Place, context::lock};

impl State {
    /// Takes a greet or whois of a session here or elsewhere.
    pub(super) fn said(&mut self, change: &PresenceChange) -> Result<(), StoreError> {
        let PresenceChange { workspace: space, author, envelope } = change;
        let now_s = i64::try_from(self.context.wall_ms() / 1000).unwrap_or(i64::MAX);
        let max_age_s = self.context.settings.network.max_replay_age.as_secs() as i64;
        if !self.takes_part(*space)
            || freshness::check(envelope.ts, envelope.expires_at, now_s, max_age_s).is_err()
        {
            return Ok(());
        }
        let Ok(body) = envelope.content() else { return Ok(()) };
        if let Some(card) = body.peer_card() {
            self.shown(change, card);
        }
        match body {
            Body::Whois(whois) if whois.part == WhoisType::Request => self.answer(change, now_s),
            _ => {
                if *author == self.context.identity.node() && envelope.kind == Kind::Greet {
                    self.context.presence.greeted(*space, &envelope.channel, self.context.wall_ms());
                }
                Ok(())
            }
        }
    }

    /// A peer elsewhere showed its card, maybe with its documents.
    fn shown(&self, change: &PresenceChange, card: &PeerCard) {
        let PresenceChange { workspace: space, author, envelope } = change;
        let control = self.context.store.control(*space);
        let is_member = control.is_some_and(|control| control.role(*author).is_some());
        // A card is remembered as long as its peer is there, and there may be many.
        let fits = serde_json::to_vec(card).is_ok_and(|json| json.len() <= CARDS_BYTES_MAX);
        if *author == self.context.identity.node() || !is_member || !fits {
            return;
        }
        let catalog = CapabilityCatalog::of_response(envelope.ext.as_ref()).filter(is_kept);
        self.hear(*space, envelope.channel.clone(), *author, card.clone(), catalog);
    }

    /// Answers in the name of every peer of this node that is asked.
    fn answer(&mut self, change: &PresenceChange, now_s: i64) -> Result<(), StoreError> {
        let PresenceChange { workspace: space, author, envelope: request } = change;
        let Some(control) = self.context.store.control(*space) else { return Ok(()) };
        let place = Place {
            context: self.context.clone(),
            space: *space,
            workspace: control.genesis().workspace,
            name: request.channel.clone(),
        };
        let here: Vec<_> = {
            let sessions = lock(&self.context.sessions);
            let here =
                sessions.iter().filter(|((of, _), session)| of == space && session.channel == place.name);
            here.map(|(_, session)| session.clone()).collect()
        };
        for session in here {
            let catalog = self.catalog(*space, &session.agent)?;
            let card = PeerCard::local(session.peer, Some(&session.agent), &catalog);
            let id = MessageId::from_entropy(self.context.random());
            let Some(answer) = whois::answer(request, &card, &catalog, id, now_s) else { continue };
            if !self.answers.allow(*author, self.context.monotonic_ms()) {
                tracing::debug!(node = %author, "a node asks more than is answered in a minute");
                break;
            }
            match place.sign(answer, Some(*author)) {
                Ok(outgoing) => place.post(outgoing, |result| {
                    if let Err(error) = result {
                        tracing::debug!(%error, "a whois was not answered");
                    }
                }),
                // One above 1 MiB is not sent (N-69).
                Err(error) => tracing::warn!(%error, peer = %card.peer_id, "a whois was not answered"),
            }
        }
        Ok(())
    }
}

/// How many answers each asking node got in its current minute.
#[derive(Debug, Default)]
pub(super) struct Answers(BTreeMap<NodeId, (u64, u32)>);

impl Answers {
    /// Counts one more, unless it would be more than [`limits::WHOIS_ANSWERS_PER_MINUTE_MAX`].
    fn allow(&mut self, node: NodeId, now_ms: u64) -> bool {
        self.0.retain(|_, (since_ms, _)| now_ms < *since_ms + MINUTE_MS);
        let (_, count) = self.0.entry(node).or_insert((now_ms, 0));
        *count += 1;
        *count <= limits::WHOIS_ANSWERS_PER_MINUTE_MAX
    }
}

const MINUTE_MS: u64 = 60_000;

/// Whether documents are what they claim to be (N-66), and few enough to be remembered.
fn is_kept(catalog: &CapabilityCatalog) -> bool {
    let small = serde_json::to_vec(catalog).is_ok_and(|json| json.len() <= limits::REMOTE_CATALOG_BYTES_MAX);
    small && catalog.capabilities.iter().all(|document| document.check().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_protocol::identity::Identity;

    #[test]
    fn one_node_gets_a_limited_number_of_answers_in_a_minute_and_others_theirs() {
        let (eve, bob) = (Identity::from_seed([1; 32]).node(), Identity::from_seed([2; 32]).node());
        let mut answers = Answers::default();
        let allowed = (0..2 * limits::WHOIS_ANSWERS_PER_MINUTE_MAX).filter(|_| answers.allow(eve, 5)).count();
        assert_eq!(allowed, limits::WHOIS_ANSWERS_PER_MINUTE_MAX as usize);
        assert!(answers.allow(bob, 5));
        assert!(!answers.allow(eve, MINUTE_MS + 4) && answers.allow(eve, MINUTE_MS + 5));
    }
}
