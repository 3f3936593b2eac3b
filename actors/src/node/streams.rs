//! Streams, who takes part in them, and what is said there by people and bots.

use muster_protocol::{
    content::ChannelOpened,
    control::Role,
    identity::NodeId,
    ids::{SpaceId, StreamId, WorkspaceId},
    limits,
    network::ChannelName,
    post::{AttachmentRef, thread_of},
    principal::{Principal, Slug, is_name},
    stream::{StreamChanged, StreamKind, StreamPart, TakesPart},
};
use muster_storage::{NewPost, PostRow, StreamRow, View, WorkspaceRow};
use ulid::Ulid;

use super::Node;
use crate::error::{PostError, StreamError, Unavailable};

/// A stream to be opened.
#[derive(Debug, Clone, Default)]
pub struct NewStream {
    /// Of a channel.
    pub slug: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// The message that a thread hangs from.
    pub parent_message: Option<Ulid>,
    /// Who takes part from the beginning.
    pub members: Vec<Principal>,
}

/// What has to be named of a stream to change it: its space, its root there and, below that, the thread.
struct Place {
    space: SpaceId,
    root: StreamId,
    channel: String,
    thread: String,
}

impl Node {
    /// Opens a public channel.
    pub async fn open_channel(
        &self,
        workspace: WorkspaceId,
        new: NewStream,
    ) -> Result<StreamRow, StreamError> {
        let row = self.workspace_here(workspace)?.ok_or(StreamError::UnknownWorkspace)?;
        let wrong = "`slug` is a letter a-z or digit, then up to 63 of a-z, 0-9, `_` and `-`";
        let slug = new.slug.as_deref().and_then(|slug| ChannelName::parse(slug).ok());
        let slug = slug.ok_or(StreamError::Invalid(wrong))?;
        check_texts(&new)?;
        let stream = StreamId::channel(row.space, slug.as_str());
        let view = self.store().view()?;
        if view.stream(&row, stream)?.is_some() {
            return Err(StreamError::Exists);
        }
        check_members(&view, &row, &new.members)?;
        drop(view);
        let purpose = new.description.clone().unwrap_or_else(|| slug.as_str().to_owned());
        let created_by = new.members.first().map_or_else(|| self.name().to_owned(), ToString::to_string);
        let opened = ChannelOpened { name: slug.as_str().to_owned(), purpose, created_by };
        let space = row.space;
        let place = Place { space, root: stream, channel: opened.name.clone(), thread: String::new() };
        let name = new.name.map(StreamPart::Name);
        let members = new.members;
        self.written(move |batch| {
            if !batch.open_channel(space, &opened)? {
                return Ok(false);
            }
            if let Some(part) = name {
                batch.change_stream(space, stream, &place.changed(part))?;
            }
            for member in &members {
                batch.take_part(space, stream, &place.takes_part(*member, true))?;
            }
            Ok(true)
        })
        .await?;
        self.stream_row(&row, stream)
    }

    /// Opens the thread below a message; one that is open stays so.
    pub async fn open_thread(
        &self,
        workspace: WorkspaceId,
        new: NewStream,
    ) -> Result<StreamRow, StreamError> {
        let row = self.workspace_here(workspace)?.ok_or(StreamError::UnknownWorkspace)?;
        check_texts(&new)?;
        let id = new.parent_message.ok_or(StreamError::Invalid("`parent_message_id` names the message"))?;
        let view = self.store().view()?;
        let parent = view.post(&row, id)?.ok_or(StreamError::UnknownMessage)?;
        let root = view.stream(&row, parent.root)?.ok_or(StreamError::UnknownStream)?;
        drop(view);
        if parent.stream != parent.root {
            return Err(StreamError::Invalid(
                "`parent_message_id` stands in a thread, and threads have no threads",
            ));
        }
        if root.kind == StreamKind::System {
            return Err(StreamError::Invalid("`parent_message_id` is a notice, and nobody answers those"));
        }
        if let Some(open) = parent.thread {
            return self.stream_row(&row, open);
        }
        let channel = if root.is_public { root.slug.unwrap_or_default() } else { String::new() };
        let thread = parent.thread_name.clone().unwrap_or_else(|| thread_of(id));
        let stream = StreamId::thread(root.id, &thread);
        let place = Place { space: root.space, root: root.id, channel, thread };
        let space = place.space;
        self.written(move |batch| {
            let opened = StreamPart::Opened { kind: StreamKind::Thread, slug: None, by: None };
            let is_open = batch.change_stream(space, place.root, &place.changed(opened))?;
            if let Some(part) = new.name.map(StreamPart::Name).filter(|_| is_open) {
                batch.change_stream(space, place.root, &place.changed(part))?;
            }
            Ok(is_open)
        })
        .await?;
        self.stream_row(&row, stream)
    }

    /// Opens the stream in which two people talk alone; one that is open stays so. Both doors of a node show it to them.
    pub async fn open_dm(&self, workspace: WorkspaceId, new: NewStream) -> Result<StreamRow, StreamError> {
        let row = self.workspace_here(workspace)?.ok_or(StreamError::UnknownWorkspace)?;
        let [one, other] = new.members[..] else {
            return Err(StreamError::Invalid("`member_ids` of a dm names exactly two people"));
        };
        if one == other || one.is_bot() || other.is_bot() {
            return Err(StreamError::Invalid("`member_ids` of a dm names exactly two people"));
        }
        check_members(&self.store().view()?, &row, &new.members)?;
        let partner = self.partner(&row, &new.members)?;
        let space = SpaceId::pair(row.space, self.id(), partner);
        let stream = StreamId::dm(space, one.ulid(), other.ulid());
        if let Some(open) = self.store().view()?.stream(&row, stream)? {
            return Ok(open);
        }
        let place = Place { space, root: stream, channel: String::new(), thread: String::new() };
        self.open_private(row, Some((partner, place)), StreamKind::Dm, None, new).await
    }

    /// Opens a channel that only its members read.
    pub async fn open_private_channel(
        &self,
        workspace: WorkspaceId,
        new: NewStream,
    ) -> Result<StreamRow, StreamError> {
        let row = self.workspace_here(workspace)?.ok_or(StreamError::UnknownWorkspace)?;
        let slug = new.slug.as_deref().and_then(|slug| Slug::parse(slug).ok());
        let slug = slug.ok_or(StreamError::Invalid(
            "`slug` is a letter a-z or digit, then up to 63 of a-z, 0-9, `_` and `-`",
        ))?;
        let view = self.store().view()?;
        let public = StreamId::channel(row.space, slug.as_str());
        let same = |row: &StreamRow| {
            Ok(row.kind == StreamKind::Channel && row.slug.as_deref() == Some(slug.as_str()))
        };
        if view.stream(&row, public)?.is_some() || !view.streams(&row, None, same, 1)?.is_empty() {
            return Err(StreamError::Exists);
        }
        check_members(&view, &row, &new.members)?;
        drop(view);
        self.open_private(row, None, StreamKind::Channel, Some(slug), new).await
    }

    /// Opens one person's working stream.
    pub async fn open_scratchpad(
        &self,
        workspace: WorkspaceId,
        new: NewStream,
    ) -> Result<StreamRow, StreamError> {
        let row = self.workspace_here(workspace)?.ok_or(StreamError::UnknownWorkspace)?;
        if new.members.iter().filter(|member| !member.is_bot()).count() != 1 {
            return Err(StreamError::Invalid(
                "`member_ids` of a scratchpad names exactly one person, and any bots",
            ));
        }
        check_members(&self.store().view()?, &row, &new.members)?;
        self.open_private(row, None, StreamKind::Scratchpad, None, new).await
    }

    /// The node with which two people share what they say alone: the home of the one who is of another, or this one.
    fn partner(&self, row: &WorkspaceRow, two: &[Principal]) -> Result<NodeId, StreamError> {
        let view = self.store().view()?;
        let mut others = Vec::new();
        for member in two {
            let home = view.home_of(row, *member).ok_or(StreamError::UnknownMember)?;
            if home != self.id() && !others.contains(&home) {
                others.push(home);
            }
        }
        match others[..] {
            [] => Ok(self.id()),
            [other] => Ok(other),
            _ => Err(StreamError::Elsewhere),
        }
    }

    /// Opens a private stream: in the pair space with a partner, at a given place there, or in a group of its own.
    async fn open_private(
        &self,
        row: WorkspaceRow,
        between: Option<(NodeId, Place)>,
        kind: StreamKind,
        slug: Option<Slug>,
        new: NewStream,
    ) -> Result<StreamRow, StreamError> {
        check_texts(&new)?;
        check_homes(&self.store().view()?, &row, &new.members)?;
        let workspace = row.space;
        if between.is_none() && self.store().groups_at_home(workspace) >= limits::GROUPS_PER_HOME_MAX {
            return Err(StreamError::TooMany);
        }
        let node = self.clone();
        let opened = self.carry_out(async move {
            let opened = node.write(move |batch| {
                let place = match between {
                    Some((partner, place)) => batch.begin_pair(workspace, partner)?.map(|_| place),
                    None => batch.begin_group(workspace)?.map(|(space, root)| Place {
                        space,
                        root,
                        channel: String::new(),
                        thread: String::new(),
                    }),
                };
                let Some(place) = place else { return Ok(None) };
                let by = new.members.iter().find(|member| !member.is_bot()).copied();
                let mut parts = vec![StreamPart::Opened { kind, slug, by }];
                parts.extend(new.name.map(StreamPart::Name));
                parts.extend(new.description.map(StreamPart::Description));
                for part in parts {
                    if !batch.change_stream(place.space, place.root, &place.changed(part))? {
                        return Ok(None);
                    }
                }
                for member in &new.members {
                    batch.take_part(place.space, place.root, &place.takes_part(*member, true))?;
                }
                Ok(Some(place.root))
            });
            opened.await?.ok_or(StreamError::NotAllowed)
        });
        self.stream_row(&row, opened.await?)
    }

    /// Archives a stream or opens it again (W-37, W-72).
    pub async fn archive_stream(
        &self,
        workspace: WorkspaceId,
        stream: StreamId,
        archived: bool,
    ) -> Result<(), StreamError> {
        let row = self.workspace_here(workspace)?.ok_or(StreamError::UnknownWorkspace)?;
        let place = self.place(&row, stream)?;
        self.written(move |batch| {
            batch.change_stream(place.space, place.root, &place.changed(StreamPart::Archived(archived)))
        })
        .await
    }

    /// Lets a person or bot take part in a stream, or ends that. In a thread one takes part through its root.
    pub async fn set_part(
        &self,
        workspace: WorkspaceId,
        stream: StreamId,
        member: Principal,
        joined: bool,
    ) -> Result<(), StreamError> {
        let row = self.workspace_here(workspace)?.ok_or(StreamError::UnknownWorkspace)?;
        let place = self.place(&row, stream)?;
        let view = self.store().view()?;
        if view.control(place.space).is_some_and(|control| control.pair_nodes().is_some()) {
            return Err(StreamError::Fixed);
        }
        if joined {
            check_members(&view, &row, &[member])?;
            if place.channel.is_empty() {
                check_homes(&view, &row, &[member])?;
            }
        } else if !view.takes_part(&row, place.root, member)? {
            return Err(StreamError::UnknownMember);
        }
        drop(view);
        let takes_part = place.takes_part(member, joined);
        self.written(move |batch| batch.take_part(place.space, place.root, &takes_part)).await
    }

    /// Says something as a person or bot of this node. `Ok` means durable here, and on its way to all members.
    pub async fn post(&self, workspace: WorkspaceId, new: NewPost) -> Result<PostRow, PostError> {
        let row = self.post_workspace(workspace)?;
        let node = self.clone();
        self.carry_out(async move {
            let space = row.space;
            let id = node.write(move |batch| batch.say_post(space, new)).await??;
            let said = node.store().view()?.post_ever(&row, id)?;
            said.ok_or(PostError::Unavailable(Unavailable::Storage))
        })
        .await
    }

    /// Gives a message of a person or bot of this node another text (W-69).
    pub async fn edit_post(
        &self,
        workspace: WorkspaceId,
        id: Ulid,
        author: Principal,
        text: String,
        attachments: Vec<AttachmentRef>,
    ) -> Result<PostRow, PostError> {
        let row = self.post_workspace(workspace)?;
        let node = self.clone();
        self.carry_out(async move {
            let space = row.space;
            node.write(move |batch| batch.edit_post(space, id, author, text, attachments)).await??;
            let edited = node.store().view()?.post_ever(&row, id)?;
            edited.ok_or(PostError::Unavailable(Unavailable::Storage))
        })
        .await
    }

    /// Removes a message of a person or bot of this node, for good (W-70).
    pub async fn delete_post(
        &self,
        workspace: WorkspaceId,
        id: Ulid,
        author: Principal,
    ) -> Result<(), PostError> {
        let space = self.post_workspace(workspace)?.space;
        let node = self.clone();
        self.carry_out(
            async move { Ok(node.write(move |batch| batch.delete_post(space, id, author)).await??) },
        )
        .await
    }

    /// Randomness for the id of a post.
    pub fn post_entropy(&self) -> [u8; 5] {
        self.context.random()
    }

    fn post_workspace(&self, workspace: WorkspaceId) -> Result<WorkspaceRow, PostError> {
        self.workspace_here(workspace)?.ok_or(PostError::UnknownWorkspace)
    }

    async fn written(
        &self,
        work: impl FnOnce(&mut muster_storage::Batch<'_>) -> Result<bool, muster_storage::StoreError>
        + Send
        + 'static,
    ) -> Result<(), StreamError> {
        let node = self.clone();
        self.carry_out(async move {
            let taken = node.write(work).await?;
            if taken { Ok(()) } else { Err(StreamError::NotAllowed) }
        })
        .await
    }

    fn stream_row(&self, row: &WorkspaceRow, stream: StreamId) -> Result<StreamRow, StreamError> {
        self.store().view()?.stream(row, stream)?.ok_or(StreamError::Unavailable(Unavailable::Storage))
    }

    fn place(&self, row: &WorkspaceRow, stream: StreamId) -> Result<Place, StreamError> {
        let view = self.store().view()?;
        let found = view.stream(row, stream)?.ok_or(StreamError::UnknownStream)?;
        let root = view.stream(row, found.root)?.ok_or(StreamError::UnknownStream)?;
        let channel = if root.is_public { root.slug.unwrap_or_default() } else { String::new() };
        Ok(Place {
            space: root.space,
            root: found.root,
            channel,
            thread: found.thread_name.unwrap_or_default(),
        })
    }
}

impl Place {
    fn changed(&self, part: StreamPart) -> StreamChanged {
        StreamChanged { channel: self.channel.clone(), thread: self.thread.clone(), part }
    }

    fn takes_part(&self, member: Principal, joined: bool) -> TakesPart {
        TakesPart { channel: self.channel.clone(), principal: member.to_string(), joined }
    }
}

fn check_texts(new: &NewStream) -> Result<(), StreamError> {
    if new.name.as_deref().is_some_and(|name| !is_name(name)) {
        return Err(StreamError::Invalid("`display_name` has 1 to 100 characters that print"));
    }
    let fits = |text: &str| !text.trim().is_empty() && text.len() <= limits::DESCRIPTION_BYTES_MAX;
    if new.description.as_deref().is_some_and(|text| !fits(text)) {
        return Err(StreamError::Invalid("`description` is not blank and has at most 4096 bytes"));
    }
    Ok(())
}

/// A private stream is held by the nodes of those who take part, and only nodes that may write hold any.
fn check_homes(view: &View, row: &WorkspaceRow, members: &[Principal]) -> Result<(), StreamError> {
    let writes = |member: &Principal| view.home_role(row, *member).is_some_and(Role::writes);
    if members.iter().all(writes) { Ok(()) } else { Err(StreamError::Reader) }
}

fn check_members(view: &View, row: &WorkspaceRow, members: &[Principal]) -> Result<(), StreamError> {
    for member in members {
        let is_there = match member {
            Principal::User(_) => view.person(row, *member)?.is_some_and(|person| person.is_active),
            Principal::Bot(_) => view.bot(row, *member)?.is_some_and(|bot| bot.card.archived_ms == 0),
        };
        if !is_there {
            return Err(StreamError::UnknownMember);
        }
    }
    Ok(())
}
