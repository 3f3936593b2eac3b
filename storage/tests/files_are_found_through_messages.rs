//! Files: unknown until a message links to them, then the same on every node, whatever comes first.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support::{Node, link::exchange_all};
use muster_protocol::{
    attachment::ProcessingStatus,
    cbor::Bytes32,
    control::Role,
    ids::{SpaceId, StreamId, owned_ulid},
    post::AttachmentRef,
    principal::Principal,
};
use muster_storage::{AttachmentRow, BlobId, NewPost, NewUpload};
use ulid::Ulid;

const CHANNEL: &str = "builders";

impl Node {
    /// A person of this node, with a slug, who takes part in the channel.
    fn builder(&self, home: &Node, space: SpaceId, slug: &str) -> Principal {
        let id = self.person(home, space, slug);
        self.take_part(space, CHANNEL, id, true);
        id
    }

    fn upload(&self, space: SpaceId, uploader: Principal, sha: u8) -> Ulid {
        let id = owned_ulid(self.tick(), self.identity.node(), [self.fresh(); 5]);
        let new = NewUpload {
            id,
            filename: format!("file-{sha}.txt"),
            mime_type: "text/plain".into(),
            size: 5,
            blob: BlobId([sha; 32]),
            pixels: None,
            uploader,
        };
        assert!(self.write(move |batch| batch.add_upload(space, &new)));
        id
    }

    fn link(&self, space: SpaceId, author: Principal, files: Vec<AttachmentRef>) -> Ulid {
        let new = NewPost {
            stream: StreamId::channel(space, CHANNEL),
            author,
            text: "see the file".into(),
            client_id: String::new(),
            metadata: Vec::new(),
            sent_via: String::new(),
            attachments: files,
            random: [self.fresh(); 5],
        };
        self.write(move |batch| batch.say_post(space, new)).unwrap()
    }

    fn linkable(&self, space: SpaceId, id: Ulid, author: Principal) -> Option<AttachmentRef> {
        self.view().linkable(&self.workspace(space), id, author).unwrap()
    }

    fn attachment(&self, space: SpaceId, id: Ulid) -> Option<AttachmentRow> {
        self.view().attachment(&self.workspace(space), id).unwrap()
    }

    fn found_files(&self, space: SpaceId) -> Vec<Ulid> {
        let (ids, has_more) = self.newest_files(space, usize::MAX);
        assert!(!has_more);
        ids
    }

    /// As many of the newest files, and whether there are others.
    fn newest_files(&self, space: SpaceId, looked_at_max: usize) -> (Vec<Ulid>, bool) {
        let mut ids = Vec::new();
        let visit = |row: AttachmentRow| {
            ids.push(row.id);
            Ok(true)
        };
        let has_more = self.view().attachments(&self.workspace(space), looked_at_max, visit).unwrap();
        (ids, has_more)
    }

    fn may_have(&self, node: &Node, sha: u8) -> bool {
        self.view().may_have(node.identity.node(), BlobId([sha; 32])).unwrap()
    }
}

/// Two nodes in one workspace, a person at each.
fn two() -> (Node, Node, SpaceId, Principal, Principal) {
    let (ada, bob) = (Node::new(1), Node::new(2));
    let space = ada.found();
    bob.join(&ada, space, Role::Member);
    ada.open_channel(space, CHANNEL, "Building");
    let one = ada.builder(&ada, space, "ada");
    let two = bob.builder(&ada, space, "bob");
    exchange_all(&[&ada, &bob], space);
    (ada, bob, space, one, two)
}

#[test]
fn a_file_is_hidden_until_a_message_links_to_it_w102_w104() {
    let (ada, bob, space, person, other) = two();
    let id = ada.upload(space, person, 7);
    assert_eq!(ada.attachment(space, id), None);
    assert!(!ada.may_have(&bob, 7));
    assert_eq!(ada.linkable(space, id, other), None, "it is not theirs");
    let file = ada.linkable(space, id, person).unwrap();
    let message = ada.link(space, person, vec![file.clone()]);
    exchange_all(&[&ada, &bob], space);
    for node in [&ada, &bob] {
        let row = node.attachment(space, id).unwrap();
        assert_eq!((&row.file, row.status), (&file, ProcessingStatus::Pending));
        assert_eq!((row.bindings.len(), row.bindings[0].message), (1, message));
        assert_eq!(row.created_ms, id.timestamp_ms());
        assert_eq!(node.found_files(space), [id]);
    }
    assert_eq!(bob.attachment(space, id).unwrap().holders, [ada.identity.node()]);
    assert!(ada.may_have(&bob, 7) && !ada.may_have(&Node::new(3), 7));
    // Now whoever can read it may link to it, and that changes nothing about whose it is.
    let reference = bob.linkable(space, id, other).unwrap();
    bob.link(space, other, vec![reference]);
    exchange_all(&[&ada, &bob], space);
    assert_eq!(ada.attachment(space, id).unwrap().bindings[0].message, message);
    assert_eq!(ada.attachment(space, id).unwrap().bindings.len(), 2);
    // When the messages are gone, so is the file.
    ada.write(move |batch| batch.delete_post(space, message, person)).unwrap();
    assert_eq!(ada.attachment(space, id).unwrap().bindings.len(), 1, "the other link is still there");
}

#[test]
fn what_a_file_contains_is_said_once_it_is_read_and_linked_whichever_comes_first_w103_w105() {
    let (ada, bob, space, person, _) = two();
    let found = r#"{"contentType":"document","summary":"hello","fullText":"hello","structuredData":null}"#;
    let (early, late) = (ada.upload(space, person, 1), ada.upload(space, person, 2));
    let process = |id| {
        ada.write(move |batch| batch.process_upload(id, ProcessingStatus::Completed, found));
        ada.write(move |batch| batch.describe_upload(id));
    };
    process(early);
    for id in [early, late] {
        let file = ada.linkable(space, id, person).unwrap();
        ada.link(space, person, vec![file]);
        ada.write(move |batch| batch.describe_upload(id));
    }
    exchange_all(&[&ada, &bob], space);
    let seen = |id| bob.attachment(space, id).map(|row| (row.status, row.extraction)).unwrap();
    assert_eq!(seen(early), (ProcessingStatus::Completed, Some(found.to_owned())));
    assert_eq!(seen(late), (ProcessingStatus::Pending, None));
    process(late);
    let operations = ada.operations(space).len();
    process(late);
    assert_eq!(ada.operations(space).len(), operations, "it is said once");
    exchange_all(&[&ada, &bob], space);
    assert_eq!(seen(late), seen(early));
    assert_eq!(bob.found_files(space), [late, early], "the newest first (W-106)");
    assert_eq!(bob.newest_files(space, 1), (vec![late], true), "a limit that leaves one out says so");
    assert_eq!(bob.newest_files(space, 2), (vec![late, early], false));
    assert!(ada.view().open_uploads().unwrap().is_empty(), "nothing is left to do");
    // A node that hears of everything in another order sees the same.
    let carol = Node::new(3);
    carol.join(&ada, space, Role::Member);
    let mut operations = ada.operations(space);
    operations.extend(bob.operations(space));
    for _ in 0..operations.len() {
        operations.rotate_left(1);
        carol.take(space, operations.clone());
    }
    assert_eq!(carol.attachment(space, late).map(|row| row.extraction), Some(Some(found.to_owned())));
}

#[test]
fn nobody_takes_over_a_file_or_gives_themselves_its_bytes() {
    let (ada, bob, space, person, other) = two();
    let secret = ada.upload(space, person, 7);
    let genuine = ada.linkable(space, secret, person).unwrap();
    // Bob heard of the file's hash somehow, and links to it under its own id and under one of his.
    let forged = AttachmentRef { filename: "mine.txt".into(), ..genuine.clone() };
    let id = owned_ulid(bob.tick(), bob.identity.node(), [bob.fresh(); 5]);
    let own = AttachmentRef { id: muster_protocol::cbor::Bytes16(id.to_bytes()), ..genuine.clone() };
    bob.link(space, other, vec![forged, own]);
    exchange_all(&[&ada, &bob], space);
    assert!(!ada.may_have(&bob, 7), "what a node says itself gives it nothing");
    ada.link(space, person, vec![genuine.clone()]);
    let wrong = AttachmentRef { sha256: Bytes32([8; 32]), ..genuine.clone() };
    bob.link(space, other, vec![wrong]);
    exchange_all(&[&ada, &bob], space);
    for node in [&ada, &bob] {
        assert_eq!(node.attachment(space, secret).unwrap().file, genuine);
    }
}

#[test]
fn uploads_that_nobody_links_to_are_forgotten_and_shared_bytes_stay() {
    let (ada, _, space, person, _) = two();
    let (kept, dropped, twin) =
        (ada.upload(space, person, 1), ada.upload(space, person, 2), ada.upload(space, person, 1));
    let file = ada.linkable(space, kept, person).unwrap();
    ada.link(space, person, vec![file]);
    let all = ada.tick() + 1_000_000;
    assert_eq!(ada.write(move |batch| batch.forget_uploads(0)), []);
    assert_eq!(ada.write(move |batch| batch.forget_uploads(all)), [BlobId([2; 32])]);
    let left = |id| ada.view().upload(id).unwrap().is_some();
    assert!(left(kept) && !left(dropped) && !left(twin));
    assert!(ada.attachment(space, kept).is_some());
}
