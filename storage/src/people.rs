//! People and bots: their cards (see [`muster_protocol::principal`]).

use muster_protocol::{
    cbor,
    content::Content,
    control::ControlState,
    ids::{SpaceId, StreamId},
    limits,
    operation::{Draft, Kind, Operation},
    principal::{BotCard, PersonCard, Principal},
};

use crate::{
    StoreError,
    batch::Batch,
    rows::At,
    tables::{self, Subject},
};

/// What is known about a principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Card {
    /// Of a person.
    Person(PersonCard),
    /// Of a bot.
    Bot(BotCard),
}

impl Card {
    /// Reads the card in an operation.
    pub(crate) fn of(op: &Operation) -> Option<Self> {
        let (body, max) = (op.body()?, limits::BODY_BYTES_MAX);
        match op.header().kind {
            Kind::PERSON => cbor::decode(body, max).ok().map(Self::Person),
            Kind::BOT => cbor::decode(body, max).ok().map(Self::Bot),
            _ => None,
        }
    }

    /// Whom it is about.
    pub fn principal(&self) -> Option<Principal> {
        match self {
            Self::Person(card) => card.check(),
            Self::Bot(card) => card.check(),
        }
    }

    /// The name of whom it is about.
    pub fn name(&self) -> &str {
        match self {
            Self::Person(card) => &card.name,
            Self::Bot(card) => &card.name,
        }
    }

    /// Whether a person's membership has not ended, or a bot is not archived.
    pub fn is_active(&self) -> bool {
        match self {
            Self::Person(card) => !card.ended,
            Self::Bot(card) => card.archived_ms == 0,
        }
    }
}

impl Batch<'_> {
    /// Says who a person or a bot of this node is. False when this node may not write, or is not its home.
    pub fn put_card(&mut self, space: SpaceId, card: &Card) -> Result<bool, StoreError> {
        let Some(control) = self.control_state(space).filter(|_| self.may_write(space)) else {
            return Ok(false);
        };
        let (kind, body) = match card {
            Card::Person(card) => (Kind::PERSON, cbor::encode(card)),
            Card::Bot(card) => (Kind::BOT, cbor::encode(card)),
        };
        let (op, at) = self.append_own(&control, Draft { kind, stream: StreamId::SPACE, body })?;
        let content = Content::read(&op, &control);
        let is_taken = !matches!(content, Content::Void(_));
        self.take_effect(&control, &op, content, at)?;
        Ok(is_taken)
    }

    /// The effect of a card: of all about one principal the newest counts.
    pub(crate) fn apply_card(
        &mut self,
        control: &ControlState,
        op: &Operation,
        principal: Principal,
        at: At,
    ) -> Result<(), StoreError> {
        let number = self.space_number(control.space())?;
        self.say_about(Subject::Card(number, principal), op, at)?;
        self.principals.insert(&tables::principal_key(number, principal), ())?;
        self.note_card(control.space(), principal)
    }

    /// Takes a card back.
    pub(crate) fn void_card(
        &mut self,
        control: &ControlState,
        op: &Operation,
        principal: Principal,
    ) -> Result<(), StoreError> {
        let number = self.space_number(control.space())?;
        let subject = Subject::Card(number, principal);
        if self.unsay_about(subject, op)? && self.newest_about(subject, |_| true)?.is_none() {
            self.principals.remove(&tables::principal_key(number, principal))?;
        }
        Ok(())
    }

    fn note_card(&mut self, space: SpaceId, principal: Principal) -> Result<(), StoreError> {
        let kind = if principal.is_bot() { "bot" } else { "user" };
        self.note(space, kind, &serde_json::json!({ "id": principal.to_string() }))
    }
}
