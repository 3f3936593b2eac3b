//! Runtimes of bots, and the sessions of theirs that are linked to scratchpads (W-53, W-54, W-112 to W-124).
//!
//! Both are known at the bot's home alone. A scratchpad rests in the space of the two nodes that are home to the bot and
//! to the person it belongs to.

use muster_protocol::{
    cbor::{Bytes16, decode},
    ids::{SpaceId, StreamId, ulid},
    invocation::{
        runtime::{RuntimeKind, RuntimeStatus},
        summons::Link,
    },
    limits,
    principal::{ACTIVE_SCRATCHPAD, BotCard, Principal},
    stream::{StreamChanged, StreamKind, StreamPart, TakesPart},
};
use redb::ReadableTable;
use ulid::Ulid;

use crate::{
    StoreError,
    batch::Batch,
    people::Card,
    rows::{self, LinkRecord, RuntimeRecord},
    streams,
    tables::{self, Short, Subject},
};

/// What a runtime says of itself (W-113).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeSaid {
    /// The bot it acts for, of this node.
    pub bot: Principal,
    /// What kind of program it is.
    pub kind: RuntimeKind,
    /// Its name for itself.
    pub instance: String,
    /// Its name for people.
    pub display_name: Option<String>,
    /// What it does.
    pub status: RuntimeStatus,
    /// Whether it asks for work.
    pub accepting: bool,
    /// What it can do: a JSON object, the session in it (W-114).
    pub capabilities: serde_json::Map<String, serde_json::Value>,
    /// What it does, in words, without secrets (W-117).
    pub status_text: Option<String>,
    /// Its X25519 key in base64, and that key's name.
    pub public_key: Option<(String, String)>,
}

/// A session that wants a scratchpad of its own (W-121).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLink {
    /// The personal bot whose session it is, of this node.
    pub bot: Principal,
    /// What kind of program the runtime is.
    pub kind: RuntimeKind,
    /// The runtime.
    pub instance: String,
    /// The session in it.
    pub session: String,
    /// What the scratchpad is called.
    pub display_name: String,
    /// Where the session works on its machine; empty for nothing said.
    pub local_cwd: String,
}

/// A session and its scratchpad.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkRow {
    /// The ULID of its `brsl_` id.
    pub id: Ulid,
    /// The runtime.
    pub instance: String,
    /// The session in it.
    pub session: String,
    /// The scratchpad.
    pub stream: StreamId,
    /// Where the session works on its machine; empty for nothing said.
    pub local_cwd: String,
}

/// Why a session is not linked. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotLinked {
    /// Only a bot that belongs to a person has scratchpads (W-118).
    #[error("only a personal bot may have sessions of its own")]
    NotPersonal,
    /// Its scratchpad is archived (W-122).
    #[error("the session's scratchpad is archived; open it again to go on")]
    Archived,
    /// Another bot answers in its scratchpad now.
    #[error("another bot answers in the session's scratchpad")]
    Conflict,
    /// There are as many as there may be.
    #[error("a bot may have {max} linked sessions", max = limits::LINKS_PER_BOT_MAX)]
    TooMany,
    /// This node may not write in the workspace, or the owner's home is no member.
    #[error("this node may not open a scratchpad for the bot's owner")]
    NotAllowed,
}

impl LinkRecord {
    pub(crate) fn row(&self) -> LinkRow {
        LinkRow {
            id: Ulid::from_bytes(self.id.0),
            instance: self.instance.clone(),
            session: self.session.clone(),
            stream: self.stream,
            local_cwd: self.local_cwd.clone(),
        }
    }
}

/// The runtime's name as a key.
pub(crate) fn runtime_name(instance: &str) -> Short {
    tables::short(b"runtime", instance)
}

fn link_name(kind: RuntimeKind, instance: &str, session: &str) -> Short {
    // Each part by its length, so that no three read as another three.
    let scope =
        [kind.as_str().as_bytes(), &(instance.len() as u64).to_be_bytes(), instance.as_bytes()].concat();
    tables::short(&scope, session)
}

impl Batch<'_> {
    /// Replaces what is known of a runtime (W-54, W-113). `random` is for the id of its record.
    pub fn put_runtime(
        &mut self,
        workspace: SpaceId,
        said: &RuntimeSaid,
        random: [u8; 10],
    ) -> Result<(), StoreError> {
        let number = self.space_number(workspace)?;
        let key = tables::bot_key(number, said.bot.ulid(), runtime_name(&said.instance));
        let now_ms = self.now_ms();
        let known = self.runtime(&key)?;
        if known.is_none() {
            self.make_room_for_runtime(number, said.bot)?;
        }
        let (id, created_ms) = known
            .map_or((Bytes16(ulid(now_ms, random).to_bytes()), now_ms), |known| (known.id, known.created_ms));
        let record = RuntimeRecord {
            id,
            kind: said.kind.as_str().to_owned(),
            instance: said.instance.clone(),
            display_name: said.display_name.clone(),
            status: said.status.as_str().to_owned(),
            accepting: said.accepting,
            capabilities: serde_json::Value::Object(said.capabilities.clone()).to_string(),
            status_text: said.status_text.clone(),
            public_key: said.public_key.clone().map_or_else(Vec::new, |(key, id)| vec![key, id]),
            seen_ms: now_ms,
            created_ms,
            updated_ms: now_ms,
        };
        self.write_runtime(&key, &record)?;
        self.note_runtime(workspace, said.bot, &record)
    }

    /// A runtime shows by what it does that it is there (W-116): what it said of itself stays, and `change` is applied.
    /// A runtime that is new is made first.
    pub(crate) fn touch_runtime(
        &mut self,
        workspace: SpaceId,
        bot: Principal,
        kind: Option<RuntimeKind>,
        instance: &str,
        random: [u8; 10],
        change: impl FnOnce(&mut RuntimeRecord),
    ) -> Result<(), StoreError> {
        let number = self.space_number(workspace)?;
        let key = tables::bot_key(number, bot.ulid(), runtime_name(instance));
        let now_ms = self.now_ms();
        let mut record = match (self.runtime(&key)?, kind) {
            (Some(known), _) => known,
            (None, None) => return Ok(()),
            (None, Some(kind)) => {
                self.make_room_for_runtime(number, bot)?;
                RuntimeRecord {
                    id: Bytes16(ulid(now_ms, random).to_bytes()),
                    kind: kind.as_str().to_owned(),
                    instance: instance.to_owned(),
                    display_name: None,
                    status: String::new(),
                    accepting: false,
                    capabilities: "{}".to_owned(),
                    status_text: None,
                    public_key: Vec::new(),
                    seen_ms: now_ms,
                    created_ms: now_ms,
                    updated_ms: now_ms,
                }
            }
        };
        if let Some(kind) = kind {
            kind.as_str().clone_into(&mut record.kind);
        }
        change(&mut record);
        (record.seen_ms, record.updated_ms) = (now_ms, now_ms);
        self.write_runtime(&key, &record)
    }

    /// Links a session to a scratchpad of its own, or finds the link it has (W-53, W-118 to W-123). `random` is for the ids of
    /// stream, link and runtime.
    pub fn link_session(
        &mut self,
        workspace: SpaceId,
        new: &NewLink,
        random: [u8; 20],
    ) -> Result<Result<LinkRow, NotLinked>, StoreError> {
        let number = self.space_number(workspace)?;
        let key = tables::bot_key(number, new.bot.ulid(), link_name(new.kind, &new.instance, &new.session));
        if let Some(link) = self.link(&key)? {
            return Ok(match self.link_state(&link, new.bot)? {
                Ok(()) => Ok(link.row()),
                Err(refusal) => Err(refusal),
            });
        }
        let Some(card) = self.bot_card(number, new.bot)? else { return Ok(Err(NotLinked::NotAllowed)) };
        let Ok(owner) = card.owner.parse::<Principal>() else { return Ok(Err(NotLinked::NotPersonal)) };
        if self.links_of(number, new.bot)?.len() >= limits::LINKS_PER_BOT_MAX {
            return Ok(Err(NotLinked::TooMany));
        }
        let Some(stream) = self.open_scratchpad(workspace, new, owner)? else {
            return Ok(Err(NotLinked::NotAllowed));
        };
        self.give_trait(workspace, card)?;
        let now_ms = self.now_ms();
        let (link_dice, runtime_dice) = (part(&random, 0), part(&random, 10));
        self.touch_runtime(workspace, new.bot, Some(new.kind), &new.instance, runtime_dice, |record| {
            RuntimeStatus::Available.as_str().clone_into(&mut record.status);
            record.accepting = true;
        })?;
        let record = LinkRecord {
            id: Bytes16(ulid(now_ms, link_dice).to_bytes()),
            kind: new.kind.as_str().to_owned(),
            instance: new.instance.clone(),
            session: new.session.clone(),
            stream,
            local_cwd: new.local_cwd.clone(),
            created_ms: now_ms,
        };
        self.links.insert(&key, rows::write(&record).as_slice())?;
        self.link_streams.insert(&stream.0, &key)?;
        Ok(Ok(record.row()))
    }

    /// Gives the scratchpad of a session another name (W-124). `None` when there is no such active link.
    pub fn rename_session(
        &mut self,
        workspace: SpaceId,
        bot: Principal,
        instance: &str,
        session: &str,
        name: &str,
    ) -> Result<Option<LinkRow>, StoreError> {
        let number = self.space_number(workspace)?;
        for link in self.links_of(number, bot)? {
            if (link.instance.as_str(), link.session.as_str()) != (instance, session)
                || self.link_state(&link, bot)?.is_err()
            {
                continue;
            }
            let Some(space) = self.private_space(workspace, link.stream)? else { return Ok(None) };
            let named = private_part(StreamPart::Name(name.to_owned()));
            return Ok(self.change_stream(space, link.stream, &named)?.then(|| link.row()));
        }
        Ok(None)
    }

    /// How many sessions of an instance are linked and active (W-134).
    pub(crate) fn active_links(
        &self,
        number: u32,
        bot: Principal,
        instance: &str,
    ) -> Result<usize, StoreError> {
        let mut active = 0;
        for link in self.links_of(number, bot)? {
            active += usize::from(link.instance == instance && self.link_state(&link, bot)?.is_ok());
        }
        Ok(active)
    }

    /// The session of a bot that answers in a stream.
    pub(crate) fn session_in(
        &self,
        number: u32,
        bot: Principal,
        stream: StreamId,
    ) -> Result<Option<Link>, StoreError> {
        let Some(key) = self.link_streams.get(&stream.0)?.map(|key| *key.value()) else { return Ok(None) };
        let is_of_bot = tables::bot_range(number, bot.ulid()).contains(&key);
        let link = if is_of_bot { self.link(&key)? } else { None };
        Ok(link.map(|link| Link { instance: link.instance, session: link.session }))
    }

    /// Whether the runtimes of a bot work only where they have a link (W-129): all kinds but one own scratchpads.
    pub(crate) fn needs_link(&self, number: u32, bot: Principal) -> Result<bool, StoreError> {
        let range = tables::bot_range(number, bot.ulid());
        for entry in self.runtimes.range::<&[u8; 36]>(range.start()..=range.end())? {
            let record: RuntimeRecord = rows::read(entry?.1.value())?;
            if RuntimeKind::from_word(&record.kind).is_some_and(|kind| !kind.owns_scratchpads()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The newest card of a bot.
    pub(crate) fn bot_card(&self, number: u32, bot: Principal) -> Result<Option<BotCard>, StoreError> {
        let op = self.newest_about(Subject::Card(number, bot), |_| true)?;
        Ok(op.and_then(|op| decode(op.body()?, limits::BODY_BYTES_MAX).ok()))
    }

    fn runtime(&self, key: &[u8; 36]) -> Result<Option<RuntimeRecord>, StoreError> {
        self.runtimes.get(key)?.map(|row| rows::read(row.value())).transpose()
    }

    fn write_runtime(&mut self, key: &[u8; 36], record: &RuntimeRecord) -> Result<(), StoreError> {
        self.runtimes.insert(key, rows::write(record).as_slice())?;
        Ok(())
    }

    /// Forgets the runtime that was not seen for longest, when there are as many as may be.
    fn make_room_for_runtime(&mut self, number: u32, bot: Principal) -> Result<(), StoreError> {
        let range = tables::bot_range(number, bot.ulid());
        let mut known = Vec::new();
        for entry in self.runtimes.range::<&[u8; 36]>(range.start()..=range.end())? {
            let (key, row) = entry?;
            known.push((rows::read::<RuntimeRecord>(row.value())?.seen_ms, *key.value()));
        }
        if known.len() < limits::RUNTIMES_PER_BOT_MAX {
            return Ok(());
        }
        if let Some((_, key)) = known.into_iter().min() {
            self.runtimes.remove(&key)?;
        }
        Ok(())
    }

    fn link(&self, key: &[u8; 36]) -> Result<Option<LinkRecord>, StoreError> {
        self.links.get(key)?.map(|row| rows::read(row.value())).transpose()
    }

    fn links_of(&self, number: u32, bot: Principal) -> Result<Vec<LinkRecord>, StoreError> {
        let range = tables::bot_range(number, bot.ulid());
        let mut found = Vec::new();
        for entry in self.links.range::<&[u8; 36]>(range.start()..=range.end())? {
            found.push(rows::read(entry?.1.value())?);
        }
        Ok(found)
    }

    /// Whether a link can be gone on with.
    fn link_state(&self, link: &LinkRecord, bot: Principal) -> Result<Result<(), NotLinked>, StoreError> {
        if self.stream_part(link.stream, streams::ARCHIVED)? == Some(StreamPart::Archived(true)) {
            return Ok(Err(NotLinked::Archived));
        }
        let actor = self.stream_part(link.stream, streams::ACTIVE_ACTOR)?;
        let is_active = actor == Some(StreamPart::ActiveActor(Some(bot)));
        Ok(if is_active { Ok(()) } else { Err(NotLinked::Conflict) })
    }

    /// Opens a scratchpad in which the owner and the bot take part, and the bot answers. `None` when this node may not.
    fn open_scratchpad(
        &mut self,
        workspace: SpaceId,
        new: &NewLink,
        owner: Principal,
    ) -> Result<Option<StreamId>, StoreError> {
        if !new.bot.is_of(self.me()) {
            return Ok(None);
        }
        let Some((space, stream)) = self.begin_group(workspace)? else { return Ok(None) };
        let opened = StreamPart::Opened { kind: StreamKind::Scratchpad, slug: None, by: Some(owner) };
        let name = StreamPart::Name(new.display_name.clone());
        for part in [opened, name, StreamPart::ActiveActor(Some(new.bot))] {
            if !self.change_stream(space, stream, &private_part(part))? {
                return Err(StoreError::Damaged("what this node says of a stream is not what it may say"));
            }
        }
        for principal in [owner, new.bot] {
            let takes_part =
                TakesPart { channel: String::new(), principal: principal.to_string(), joined: true };
            self.take_part(space, stream, &takes_part)?;
        }
        Ok(Some(stream))
    }

    /// A bot with a scratchpad answers in scratchpads (W-121).
    fn give_trait(&mut self, workspace: SpaceId, mut card: BotCard) -> Result<(), StoreError> {
        if card.traits.iter().any(|has| has == ACTIVE_SCRATCHPAD) {
            return Ok(());
        }
        card.traits.push(ACTIVE_SCRATCHPAD.to_owned());
        self.put_card(workspace, &Card::Bot(card)).map(drop)
    }

    /// The space that a private stream rests in.
    fn private_space(&self, workspace: SpaceId, stream: StreamId) -> Result<Option<SpaceId>, StoreError> {
        let key = self.stream_key(workspace, stream)?;
        let Some(record) = self.stream(&key)? else { return Ok(None) };
        Ok(self.space_numbered(record.space))
    }

    fn note_runtime(
        &mut self,
        workspace: SpaceId,
        bot: Principal,
        record: &RuntimeRecord,
    ) -> Result<(), StoreError> {
        let data = serde_json::json!({
            "bot_id": bot.to_string(), "instance_id": record.instance, "status": record.status,
        });
        self.note(workspace, "runtime", &data)
    }
}

/// A change of a private stream.
fn private_part(part: StreamPart) -> StreamChanged {
    StreamChanged { channel: String::new(), thread: String::new(), part }
}

/// Some of the dice.
fn part<const N: usize>(random: &[u8; 20], from: usize) -> [u8; N] {
    std::array::from_fn(|at| random[from + at])
}
