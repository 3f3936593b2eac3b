//! Gossip: presence, cards and digests, best effort.
//!
//! Only what a friend wrote and a friend forwarded is delivered and forwarded, and of one author no more than
//! an honest node says; strangers are put on gossipsub's black list while they are connected. What gossipsub
//! does not let us do is to hide topics from strangers: it announces them to every peer it meets. So a topic's
//! name is a salted hash, and gossip holds nothing that a stranger of fifteen seconds must not see.

use std::collections::BTreeSet;

use libp2p::{
    gossipsub::{
        self, ConfigBuilder, IdentTopic, MaxCountSubscriptionFilter, Message, MessageAuthenticity, MessageId,
        ValidationMode,
    },
    identity::Keypair,
    metrics::Registry,
};
use muster_actors::ports::Topic;
use muster_protocol::{
    ids,
    limits::{GOSSIP_BYTES_MAX, GOSSIP_ENVELOPE_BYTES, GOSSIP_QUEUE_MAX, GOSSIP_TOPICS_MAX},
};

/// libp2p's part.
pub(super) type Behaviour = gossipsub::Behaviour<gossipsub::IdentityTransform, Filter>;

type Filter = MaxCountSubscriptionFilter<gossipsub::AllowAllSubscriptionFilter>;

const PREFIX: &str = "muster/1/";

/// libp2p's part, with our bounds.
pub(super) fn behaviour(keypair: &Keypair, registry: Option<&mut Registry>) -> Result<Behaviour, String> {
    let config = ConfigBuilder::default()
        .validation_mode(ValidationMode::Strict)
        .validate_messages()
        .message_id_fn(message_id)
        .max_transmit_size(GOSSIP_BYTES_MAX + GOSSIP_ENVELOPE_BYTES)
        .max_control_message_size(GOSSIP_BYTES_MAX)
        .connection_handler_queue_len(GOSSIP_QUEUE_MAX)
        .build()
        .map_err(|error| error.to_string())?;
    let filter = Filter {
        filter: gossipsub::AllowAllSubscriptionFilter {},
        max_subscribed_topics: GOSSIP_TOPICS_MAX,
        max_subscriptions_per_request: GOSSIP_TOPICS_MAX,
    };
    let author = MessageAuthenticity::Signed(keypair.clone());
    let behaviour = Behaviour::new_with_subscription_filter(author, config, filter)?;
    Ok(match registry {
        Some(registry) => {
            behaviour.with_metrics(registry.sub_registry_with_prefix("gossipsub"), Default::default())
        }
        None => behaviour,
    })
}

/// A message is its author, its topic and its bytes: said twice by one author within a minute, it is
/// one message.
fn message_id(message: &Message) -> MessageId {
    let author = message.source.map(|peer| peer.to_bytes()).unwrap_or_default();
    let parts: [&[u8]; 3] = [&author, message.topic.as_str().as_bytes(), &message.data];
    MessageId::from(ids::hash("muster/gossip/v1", &parts).to_vec())
}

/// gossipsub's name of a topic.
pub(super) fn name(topic: Topic) -> IdentTopic {
    let hex: String = topic.0.iter().map(|byte| format!("{byte:02x}")).collect();
    IdentTopic::new(format!("{PREFIX}{hex}"))
}

/// The topic of a name, if it is one of ours.
pub(super) fn topic(name: &str) -> Option<Topic> {
    let hex = name.strip_prefix(PREFIX)?.as_bytes();
    let mut bytes = [0; 32];
    if hex.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
        let digits = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(Topic(bytes))
}

/// Listens to these topics in place of the earlier ones.
pub(super) fn set_topics(behaviour: &mut Behaviour, old: &BTreeSet<Topic>, new: &BTreeSet<Topic>) {
    for topic in old.difference(new) {
        behaviour.unsubscribe(&name(*topic));
    }
    for topic in new.difference(old) {
        if let Err(error) = behaviour.subscribe(&name(*topic)) {
            tracing::warn!(%error, "gossip topic refused");
        }
    }
}

/// Publishes. That nobody listens, or that it was said before, is normal.
pub(super) fn publish(behaviour: &mut Behaviour, topic: Topic, bytes: Vec<u8>) {
    if bytes.len() > GOSSIP_BYTES_MAX {
        tracing::warn!(bytes = bytes.len(), "gossip too long, not published");
    } else if let Err(error) = behaviour.publish(name(topic), bytes) {
        tracing::debug!(%error, "gossip not published");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_and_its_name_are_the_same_thing() {
        let one = Topic(std::array::from_fn(|index| index as u8 * 7));
        assert_eq!(topic(name(one).hash().as_str()), Some(one));
        assert_eq!(topic("muster/1/zz"), None);
        assert_eq!(topic(&format!("{PREFIX}{}", "é".repeat(32))), None);
    }
}
