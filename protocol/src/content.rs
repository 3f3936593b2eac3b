//! What an operation means: *effect or void*.
//!
//! The log layer stored it already (see [`crate::log`]). Here it is read, from its bytes and the control
//! log alone, so that every node comes to the same meaning. What makes no sense is void: it keeps its
//! place in the log and has no effect.

use serde_tuple::{Deserialize_tuple, Serialize_tuple};

use crate::{
    attachment::AttachmentDescribed,
    cbor,
    control::{ControlState, GroupShared, Role},
    identity::NodeId,
    ids::{StreamId, is_owned_by},
    invocation::record::InvocationSaid,
    limits,
    memo::Memo,
    mutants::{self, Mutant},
    network::{
        ChannelName, Container, DirectId, Envelope, Pair, PeerName, WorkspaceRef, proof, read_members,
    },
    notice::Notice,
    operation::{Kind, Operation},
    post::{self, Post, PostDeleted, PostEdited},
    principal::{BotCard, PersonCard, Principal},
    session,
    stream::{StreamChanged, StreamKind, StreamPart, TakesPart},
};

/// A channel is opened, or its purpose replaced (N-117, N-119).
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct ChannelOpened {
    /// Its name.
    pub name: String,
    /// Why it exists; not blank, at most [`PURPOSE_BYTES_MAX`] bytes.
    pub purpose: String,
    /// The first agent of the call that made it.
    pub created_by: String,
}

/// Bytes of a channel's purpose.
pub const PURPOSE_BYTES_MAX: usize = 4096;

/// A direct room is opened before anything was said in it (N-38 to N-41).
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct RoomOpened {
    /// The channel both peers are in.
    pub channel: String,
    /// The room of the two in that channel (N-36).
    pub direct_id: String,
    /// The smaller peer (N-35).
    pub peer_a: String,
    /// The larger peer.
    pub peer_b: String,
}

/// A direct room, of which all parts fit together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// Its channel.
    pub channel: ChannelName,
    /// Its id.
    pub id: DirectId,
    /// Its two peers.
    pub pair: Pair,
}

/// The meaning of an operation.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// A message of the Network door.
    Envelope(Box<Envelope>),
    /// See [`ChannelOpened`].
    Channel(ChannelName, ChannelOpened),
    /// See [`RoomOpened`].
    Room(Box<Room>),
    /// A message of a person or a bot, who has its home at the author.
    Post(Box<Post>),
    /// See [`PostEdited`]; by the node that is home to who it says did it.
    PostEdited(Box<PostEdited>),
    /// See [`PostDeleted`]; by the node that is home to who it says did it.
    PostDeleted(PostDeleted),
    /// Who a person of the author's node is.
    Person(Principal, Box<PersonCard>),
    /// Who a bot of the author's node is.
    Bot(Principal, Box<BotCard>),
    /// See [`StreamChanged`].
    Stream(Box<StreamChanged>),
    /// See [`TakesPart`].
    TakesPart(Principal, TakesPart),
    /// See [`AttachmentDescribed`]; by the node where the file was uploaded.
    Described(Box<AttachmentDescribed>),
    /// What became of an invocation of a bot of the author's node.
    Invocation(Box<InvocationSaid>),
    /// A memo that was written by hand on the author's node.
    Memo(Box<Memo>),
    /// See [`Notice`]; about a bot of the author's node, or to its own people.
    Notice(Box<Notice>),
    /// The other node of the pair holds the group that the operation begins, or no longer does.
    Group(Box<Operation>, bool),
    /// None, for this reason.
    Void(Void),
}

/// Why an operation has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Void {
    /// Its body was deleted.
    #[error("its body was deleted")]
    Deleted,
    /// A kind this program does not know; a newer one wrote it.
    #[error("its kind is unknown here")]
    UnknownKind,
    /// Its envelope is not signed, or not by its author (N-73). It earns no receipt: who sent it is not known.
    #[error("its envelope does not prove who sent it")]
    Unproven,
    /// Its body breaks the rules of its kind. If it is an envelope, and JSON at all, then its author signed it: the
    /// one reason that earns a receipt (N-91).
    #[error("its body breaks the rules of its kind")]
    Malformed,
    /// It names another workspace, channel, room or addressee than the space and stream it was signed for.
    #[error("it does not belong into the space or stream it was signed for")]
    Misplaced,
    /// Its author speaks as somebody else's peer.
    #[error("its author may not speak as the peer it names")]
    Impostor,
    /// Its author's role does not allow it.
    #[error("its author's role does not allow it")]
    NotAllowed,
    /// The author used this message id before.
    #[error("its author used this message id before")]
    Repeated,
}

impl Content {
    /// Reads an operation that stands in the space of `control`: a workspace's own, a pair or a group space.
    pub fn read(op: &Operation, control: &ControlState) -> Self {
        match Self::try_read(op, control) {
            Ok(content) => content,
            Err(void) => Content::Void(void),
        }
    }

    fn try_read(op: &Operation, control: &ControlState) -> Result<Self, Void> {
        let header = op.header();
        let role = control.role_at(&header.log(), header.seq, header.control_height);
        if !role.is_some_and(Role::writes) {
            return Err(Void::NotAllowed);
        }
        let body = op.body().ok_or(Void::Deleted)?;
        match header.kind {
            Kind::ENVELOPE => read_envelope(op, body, control),
            Kind::CHANNEL => read_channel(op, body, control),
            Kind::DIRECT_ROOM => read_room(op, body, control),
            Kind::POST => read_post(op, body, control),
            Kind::POST_EDITED => read_edited(op, body),
            Kind::POST_DELETED => read_deleted(op, body),
            Kind::PERSON => read_person(op, body, control),
            Kind::BOT => read_bot(op, body, control),
            Kind::STREAM => read_stream(op, body, control),
            Kind::TAKES_PART => read_takes_part(op, body, control),
            Kind::ATTACHMENT_DESCRIBED => read_described(op, body),
            Kind::INVOCATION => read_invocation(op, body, control),
            Kind::MEMO => read_memo(op, body, control),
            Kind::NOTICE => read_notice(op, body, control),
            Kind::GROUP_SHARED => read_group(op, body, control),
            _ => Err(Void::UnknownKind),
        }
    }
}

fn read_channel(op: &Operation, body: &[u8], control: &ControlState) -> Result<Content, Void> {
    let opened: ChannelOpened = cbor::decode(body, limits::BODY_BYTES_MAX).map_err(|_| Void::Malformed)?;
    let name = ChannelName::parse(&opened.name).map_err(|_| Void::Malformed)?;
    if opened.purpose.trim().is_empty() || opened.purpose.len() > PURPOSE_BYTES_MAX {
        return Err(Void::Malformed);
    }
    if control.is_private() {
        return Err(Void::Misplaced); // a channel is for everybody
    }
    in_stream(op, channel_stream(op, &name))?;
    Ok(Content::Channel(name, opened))
}

fn read_room(op: &Operation, body: &[u8], control: &ControlState) -> Result<Content, Void> {
    let opened: RoomOpened = cbor::decode(body, limits::BODY_BYTES_MAX).map_err(|_| Void::Malformed)?;
    let channel = ChannelName::parse(&opened.channel).map_err(|_| Void::Malformed)?;
    let peer = |name: &str| PeerName::parse(name).map_err(|_| Void::Malformed);
    let pair = Pair::of(&peer(&opened.peer_a)?, &peer(&opened.peer_b)?).map_err(|_| Void::Malformed)?;
    let id = pair.room(&workspace(control)?, &channel);
    // Names stand in their order and without blanks around them: one room has one body.
    let exact = [channel.as_str(), id.as_str(), pair.a().as_str(), pair.b().as_str()]
        == [&opened.channel, &opened.direct_id, &opened.peer_a, &opened.peer_b];
    if !exact {
        return Err(Void::Malformed);
    }
    match session::may_speak_as(op.header().author, pair.a()) {
        true => between(op, control, pair.a(), pair.b())?,
        false => between(op, control, pair.b(), pair.a())?,
    }
    in_stream(op, StreamId::direct_room(op.header().space, id.as_str()))?;
    Ok(Content::Room(Box::new(Room { channel, id, pair })))
}

fn read_envelope(op: &Operation, body: &[u8], control: &ControlState) -> Result<Content, Void> {
    let members = read_members(body).map_err(|_| Void::Malformed)?;
    let author =
        ed25519_dalek::VerifyingKey::from_bytes(op.header().author.as_bytes()).map_err(|_| Void::Impostor)?;
    match proof::classify(&members, Some(&author)) {
        proof::Trust::Verified(verified) if verified.key == author => {}
        _ => return Err(Void::Unproven),
    }
    let envelope = Envelope::from_members(members).map_err(|_| Void::Malformed)?;
    if envelope.workspace_id != workspace(control)? {
        return Err(Void::Misplaced);
    }
    let stream = if control.pair_nodes().is_some() {
        let to = envelope.to.as_ref().ok_or(Void::Misplaced)?;
        between(op, control, &envelope.from, to)?;
        match &envelope.container {
            // That it is the room of the two was checked with the envelope (N-42).
            Some(Container::Direct(room)) => StreamId::direct_room(op.header().space, room.as_str()),
            Some(Container::Thread(_)) => return Err(Void::Misplaced),
            None => channel_stream(op, &envelope.channel),
        }
    } else {
        if control.is_private() {
            return Err(Void::Misplaced); // in a group people and bots speak
        }
        if !session::may_speak_as(op.header().author, &envelope.from) && !mutants::is(Mutant::OpenName) {
            return Err(Void::Impostor);
        }
        // A workspace's space holds what everybody in a channel may read; what is for one peer alone
        // stands in a pair space (N-33).
        match &envelope.container {
            Some(Container::Thread(_)) => {}
            None if envelope.to.is_none() => {}
            _ => return Err(Void::Misplaced),
        }
        channel_stream(op, &envelope.channel)
    };
    in_stream(op, stream)?;
    Ok(Content::Envelope(Box::new(envelope)))
}

fn read_post(op: &Operation, body: &[u8], control: &ControlState) -> Result<Content, Void> {
    let post: Post = decode(body)?;
    if !post.is_well_formed() {
        return Err(Void::Malformed);
    }
    speaks(op, &post.from, control)?;
    if !is_owned_by(post.ulid(), op.header().author) {
        return Err(Void::Impostor);
    }
    in_named_stream(op, &post.channel, control)?;
    Ok(Content::Post(Box::new(post)))
}

fn read_edited(op: &Operation, body: &[u8]) -> Result<Content, Void> {
    let edited: PostEdited = decode(body)?;
    if !post::is_text(&edited.text) || !post::are_well_formed(&edited.attachments) {
        return Err(Void::Malformed);
    }
    of_author(op, &edited.from)?;
    Ok(Content::PostEdited(Box::new(edited)))
}

fn read_deleted(op: &Operation, body: &[u8]) -> Result<Content, Void> {
    let deleted: PostDeleted = decode(body)?;
    of_author(op, &deleted.from)?;
    Ok(Content::PostDeleted(deleted))
}

fn read_person(op: &Operation, body: &[u8], control: &ControlState) -> Result<Content, Void> {
    let card: PersonCard = decode(body)?;
    let person = card.check().ok_or(Void::Malformed)?;
    is_home(op, person)?;
    for_everybody(op, control)?;
    Ok(Content::Person(person, Box::new(card)))
}

fn read_bot(op: &Operation, body: &[u8], control: &ControlState) -> Result<Content, Void> {
    let card: BotCard = decode(body)?;
    let bot = card.check().ok_or(Void::Malformed)?;
    is_home(op, bot)?;
    for_everybody(op, control)?;
    Ok(Content::Bot(bot, Box::new(card)))
}

fn read_stream(op: &Operation, body: &[u8], control: &ControlState) -> Result<Content, Void> {
    let changed = StreamChanged::decode(body).map_err(|_| Void::Malformed)?;
    in_named_stream(op, &changed.channel, control)?;
    if let StreamPart::Opened { kind, by, .. } = &changed.part {
        let is_thread = !changed.thread.is_empty();
        let fits = match kind {
            StreamKind::Thread => is_thread,
            StreamKind::Dm | StreamKind::System => control.pair_nodes().is_some() && !is_thread,
            // Public channels are opened by their name alone.
            StreamKind::Channel | StreamKind::Scratchpad => control.group_stream().is_some() && !is_thread,
        };
        if !fits {
            return Err(Void::Malformed);
        }
        if *kind == StreamKind::System {
            among_themselves(op, control, *by)?;
        }
    }
    Ok(Content::Stream(Box::new(changed)))
}

fn read_takes_part(op: &Operation, body: &[u8], control: &ControlState) -> Result<Content, Void> {
    let takes_part: TakesPart = decode(body)?;
    let principal = takes_part.principal.parse().map_err(|_| Void::Malformed)?;
    in_named_stream(op, &takes_part.channel, control)?;
    Ok(Content::TakesPart(principal, takes_part))
}

fn read_described(op: &Operation, body: &[u8]) -> Result<Content, Void> {
    let described: AttachmentDescribed = decode(body)?;
    if !described.is_well_formed() {
        return Err(Void::Malformed);
    }
    if !is_owned_by(described.ulid(), op.header().author) {
        return Err(Void::Impostor);
    }
    in_stream(op, StreamId::SPACE)?;
    Ok(Content::Described(Box::new(described)))
}

fn read_invocation(op: &Operation, body: &[u8], control: &ControlState) -> Result<Content, Void> {
    let said: InvocationSaid = decode(body)?;
    is_home(op, said.check().ok_or(Void::Malformed)?)?;
    in_named_stream(op, &said.channel, control)?;
    Ok(Content::Invocation(Box::new(said)))
}

fn read_memo(op: &Operation, body: &[u8], control: &ControlState) -> Result<Content, Void> {
    let memo: Memo = decode(body)?;
    memo.check().map_err(|_| Void::Malformed)?;
    if !is_owned_by(memo.ulid(), op.header().author) {
        return Err(Void::Impostor);
    }
    // It is read by who can read what it rests on (W-93).
    match memo.sources.is_empty() {
        true if memo.channel.is_empty() => for_everybody(op, control)?,
        true => return Err(Void::Misplaced),
        false => in_named_stream(op, &memo.channel, control)?,
    }
    Ok(Content::Memo(Box::new(memo)))
}

/// Of a group that the author is home to, for the other node of the pair.
fn read_group(op: &Operation, body: &[u8], control: &ControlState) -> Result<Content, Void> {
    let shared: GroupShared = decode(body)?;
    let begun = Operation::decode(&shared.begun.0).map_err(|_| Void::Malformed)?;
    let group = ControlState::group(control.genesis(), &begun).map_err(|_| Void::Malformed)?;
    begun.verify().map_err(|_| Void::Malformed)?;
    if group.home() != op.header().author {
        return Err(Void::Impostor);
    }
    if control.pair_partner(op.header().author).is_none() {
        return Err(Void::Misplaced);
    }
    in_stream(op, StreamId::SPACE)?;
    Ok(Content::Group(Box::new(begun), shared.held))
}

fn read_notice(op: &Operation, body: &[u8], control: &ControlState) -> Result<Content, Void> {
    let notice: Notice = decode(body)?;
    if !notice.is_well_formed() {
        return Err(Void::Malformed);
    }
    let author = op.header().author;
    let may_tell = match notice.about() {
        Some(bot) => bot.is_of(author),
        None => is_alone(author, control),
    };
    if !may_tell || !is_owned_by(notice.ulid(), author) {
        return Err(Void::Impostor);
    }
    in_named_stream(op, "", control)?;
    Ok(Content::Notice(Box::new(notice)))
}

/// Whether it is the stream of notices of a person of the author (W-75): the one there is, where nobody else writes.
fn among_themselves(op: &Operation, control: &ControlState, person: Option<Principal>) -> Result<(), Void> {
    let author = op.header().author;
    let person = person.filter(|person| !person.is_bot()).ok_or(Void::Malformed)?;
    is_home(op, person)?;
    if !is_alone(author, control) {
        return Err(Void::Misplaced);
    }
    in_stream(op, StreamId::notices(control.space(), person.ulid()))
}

/// Whether a node has the space to itself.
fn is_alone(node: NodeId, control: &ControlState) -> bool {
    control.pair_nodes() == Some((node, node))
}

fn decode<T: serde::Serialize + serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Void> {
    cbor::decode(body, limits::BODY_BYTES_MAX).map_err(|_| Void::Malformed)
}

/// Whether the author is home to the principal it speaks as.
fn is_home(op: &Operation, principal: Principal) -> Result<(), Void> {
    if principal.is_of(op.header().author) { Ok(()) } else { Err(Void::Impostor) }
}

fn of_author(op: &Operation, from: &str) -> Result<(), Void> {
    let (principal, _) =
        PeerName::parse(from).ok().and_then(|peer| Principal::of_peer(&peer)).ok_or(Void::Malformed)?;
    is_home(op, principal)
}

/// Whether the author may speak as a principal under its slug. In a private space nobody is named by slug.
fn speaks(op: &Operation, from: &str, control: &ControlState) -> Result<(), Void> {
    let peer = PeerName::parse(from).map_err(|_| Void::Malformed)?;
    let (principal, slug) = Principal::of_peer(&peer).ok_or(Void::Malformed)?;
    is_home(op, principal)?;
    let is_named = control.is_private() || control.slug(principal) == Some(&slug);
    if is_named { Ok(()) } else { Err(Void::Impostor) }
}

fn for_everybody(op: &Operation, control: &ControlState) -> Result<(), Void> {
    if control.is_private() { Err(Void::Misplaced) } else { in_stream(op, StreamId::SPACE) }
}

/// Whether it stands in the stream of the public channel it names, or, naming none, in a private space.
fn in_named_stream(op: &Operation, channel: &str, control: &ControlState) -> Result<(), Void> {
    if channel.is_empty() {
        let stream = op.header().stream;
        return match control.group_stream() {
            Some(group) => in_stream(op, group),
            None if control.is_private() && stream != StreamId::SPACE => Ok(()),
            None => Err(Void::Misplaced),
        };
    }
    let name = ChannelName::parse(channel).map_err(|_| Void::Malformed)?;
    if control.is_private() {
        return Err(Void::Misplaced);
    }
    in_stream(op, channel_stream(op, &name))
}

/// The message of the Network door that an operation is or shows as: of one that took effect. `None` for what is no
/// message there.
pub fn envelope_of(op: &Operation, control: &ControlState) -> Option<Envelope> {
    let body = op.body()?;
    match op.header().kind {
        Kind::ENVELOPE => Envelope::parse(body).ok(),
        Kind::POST => {
            let post: Post = decode(body).ok()?;
            let at_s = i64::try_from(op.header().hlc.ms() / 1000).unwrap_or(i64::MAX);
            post.envelope(&workspace(control).ok()?, at_s)
        }
        _ => None,
    }
}

/// Whether the author of an operation in a pair space may speak as `from`, and the other node as `to`.
fn between(op: &Operation, control: &ControlState, from: &PeerName, to: &PeerName) -> Result<(), Void> {
    let author = op.header().author;
    let partner = control.pair_partner(author).ok_or(Void::Misplaced)?;
    if !session::may_speak_as(author, from) {
        return Err(Void::Impostor);
    }
    if from == to || !session::may_speak_as(partner, to) { Err(Void::Misplaced) } else { Ok(()) }
}

fn workspace(control: &ControlState) -> Result<WorkspaceRef, Void> {
    WorkspaceRef::parse(&control.genesis().workspace.to_string()).map_err(|_| Void::Misplaced)
}

fn channel_stream(op: &Operation, channel: &ChannelName) -> StreamId {
    StreamId::channel(op.header().space, channel.as_str())
}

fn in_stream(op: &Operation, stream: StreamId) -> Result<(), Void> {
    if op.header().stream == stream { Ok(()) } else { Err(Void::Misplaced) }
}

#[cfg(test)]
mod people_tests;
#[cfg(test)]
mod tests;
