//! People and bots of a node, and what they say.

use muster_protocol::{
    cbor::Bytes,
    control::{Entry, SlugTaken},
    ids::{SpaceId, StreamId},
    principal::{BotCard, MENTIONABLE, PersonCard, Principal},
    stream::TakesPart,
};
use muster_storage::{Card, NewPost, NotPosted};
use ulid::Ulid;

use super::Node;

impl Node {
    pub(crate) fn user(&self, space: SpaceId, slug: &str) -> Principal {
        let id = Principal::new_user(self.tick(), self.identity.node(), [self.fresh(); 5]);
        let card = PersonCard {
            id: id.to_string(),
            name: slug.to_uppercase(),
            email: format!("{slug}@example.org"),
            role: "member".into(),
            ended: false,
        };
        assert!(self.write(move |batch| batch.put_card(space, &Card::Person(card))));
        id
    }

    /// A person of this node with a slug that `home` gave.
    pub(crate) fn person(&self, home: &Node, space: SpaceId, slug: &str) -> Principal {
        let id = self.user(space, slug);
        self.name(home, space, id, slug);
        id
    }

    pub(crate) fn bot(&self, space: SpaceId, owner: &str, slug: &str) -> Principal {
        let id = Principal::new_bot(self.tick(), self.identity.node(), [self.fresh(); 5]);
        let card = BotCard {
            id: id.to_string(),
            name: slug.to_uppercase(),
            description: String::new(),
            owner: owner.into(),
            traits: vec![MENTIONABLE.into()],
            archived_ms: 0,
        };
        assert!(self.write(move |batch| batch.put_card(space, &Card::Bot(card))));
        id
    }

    /// Has the home give a slug to a principal of this node.
    pub(crate) fn name(&self, home: &Node, space: SpaceId, principal: Principal, slug: &str) {
        let (node, principal, slug) = (self.identity.node(), principal.to_string(), slug.to_owned());
        let entry = Entry::SlugTaken(SlugTaken { node, principal, slug, evidence: Bytes::default() });
        home.write(move |batch| batch.administer(space, node, entry, Vec::new())).expect("the slug is free");
        self.learn_control(home, space);
    }

    /// The space that a stream rests in.
    pub(crate) fn rests_in(&self, workspace: SpaceId, stream: StreamId) -> SpaceId {
        self.view().stream(&self.workspace(workspace), stream).unwrap().expect("a known stream").space
    }

    pub(crate) fn take_part(&self, space: SpaceId, channel: &str, principal: Principal, joined: bool) {
        let stream = StreamId::channel(space, channel);
        let takes_part = TakesPart { channel: channel.into(), principal: principal.to_string(), joined };
        assert!(self.write(move |batch| batch.take_part(space, stream, &takes_part)));
    }

    pub(crate) fn post_in(
        &self,
        space: SpaceId,
        stream: StreamId,
        author: Principal,
        text: &str,
    ) -> Result<Ulid, NotPosted> {
        self.post_as(space, stream, author, text, "", &[])
    }

    pub(crate) fn post_as(
        &self,
        space: SpaceId,
        stream: StreamId,
        author: Principal,
        text: &str,
        client_id: &str,
        metadata: &[(&str, &str)],
    ) -> Result<Ulid, NotPosted> {
        let new = NewPost {
            stream,
            author,
            text: text.into(),
            client_id: client_id.into(),
            metadata: metadata.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
            sent_via: String::new(),
            attachments: Vec::new(),
            random: [self.fresh(); 5],
        };
        self.write(move |batch| batch.say_post(space, new))
    }
}
