//! What gossipsub says on its streams, put together by hand.

use libp2p::identity::Keypair;
use muster_protocol::identity::Identity;

use super::raw_muxer::varint;

/// The protocol of gossip.
pub const GOSSIP_PROTOCOL: &str = "/meshsub/1.1.0";

/// A field of protobuf that holds bytes.
fn field(number: u64, bytes: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

/// One message to the other node.
fn said(rpc: &[u8]) -> Vec<u8> {
    [varint(rpc.len() as u64), rpc.to_vec()].concat()
}

/// gossipsub's name of a space's topic.
pub fn topic(space: muster_protocol::ids::SpaceId) -> String {
    let hex: String =
        muster_protocol::presence::topic(space).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("muster/1/{hex}")
}

/// A message that its author signed, or seems to have signed.
pub fn message(author: &Identity, topic: &str, number: u64, data: &[u8], forged: bool) -> Vec<u8> {
    let from = author.node().peer_id().to_bytes();
    let message =
        [field(1, &from), field(2, data), field(3, &number.to_be_bytes()), field(4, topic.as_bytes())];
    let mut message = message.concat();
    let keypair = Keypair::ed25519_from_bytes(author.seed()).unwrap();
    let signature = match forged {
        true => vec![7; 64],
        false => keypair.sign(&[b"libp2p-pubsub:", &message[..]].concat()).unwrap(),
    };
    message.extend(field(5, &signature));
    said(&field(2, &message))
}

/// Subscribes to topics, or gives them up.
pub fn subscribe(topics: &[String], subscribe: bool) -> Vec<u8> {
    let each = |topic: &String| {
        let wish = [vec![1 << 3, u8::from(subscribe)], field(2, topic.as_bytes())].concat();
        field(1, &wish)
    };
    said(&topics.iter().flat_map(each).collect::<Vec<_>>())
}

/// Claims to have messages, wants some, and joins and leaves the mesh of topics.
pub fn control(topic: &str, ids: &[Vec<u8>]) -> Vec<u8> {
    let many: Vec<u8> = ids.iter().flat_map(|id| field(2, id)).collect();
    let have = field(1, &[field(1, topic.as_bytes()), many].concat());
    let want = field(2, &ids.iter().flat_map(|id| field(1, id)).collect::<Vec<_>>());
    let graft = field(3, &field(1, topic.as_bytes()));
    let prune = field(4, &field(1, topic.as_bytes()));
    said(&field(3, &[have, want, graft, prune].concat()))
}
