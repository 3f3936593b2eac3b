//! Messages of a conversation, the same for threads and direct rooms (N-109 to N-111).

use muster_protocol::network::{ChannelName, Kind, WorkId};
use muster_storage::{MessagePage, MessageRow};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    errors::Failure,
    names::Names,
    schemas::{
        messages::{NetworkMessage, NetworkMessagesResponse},
        words,
    },
    scope::{self, Scope},
};
use crate::{Doors, input::given};

/// Which page of a conversation.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct MessagesQuery {
    /// Message id; the page ends right in front of it and holds the messages nearest to it. Not with `after`.
    before: Option<String>,
    /// Message id; the page starts right behind it. Not with `before`.
    after: Option<String>,
    /// Keep only messages of this kind.
    #[param(value_type = Option<words::Kind>)]
    kind: Option<String>,
    /// Keep only messages of this work.
    work_id: Option<String>,
    /// Largest number of items in the page.
    #[param(value_type = Option<i32>, minimum = 1, default = 100)]
    limit: Option<String>,
}

impl MessagesQuery {
    /// The page asked for: 400 when a filter is none.
    pub(super) fn page(&self) -> Result<MessagePage, Failure> {
        let text = |text: &Option<String>| given(text.as_deref()).map(str::to_owned);
        let (before, after) = (text(&self.before), text(&self.after));
        if before.is_some() && after.is_some() {
            return Err(Failure::invalid("`before` and `after` do not go together; give one of them"));
        }
        let kind = given(self.kind.as_deref()).map(|word| Kind::from_word(word).ok_or_else(unknown_kind));
        let work = given(self.work_id.as_deref()).map(WorkId::parse);
        Ok(MessagePage {
            before,
            after,
            kind: kind.transpose()?,
            work: work.transpose().map_err(|fault| Failure::invalid(format!("`work_id`: {fault}")))?,
            limit: scope::limit(self.limit.as_deref())?,
        })
    }
}

/// One page, with the names to show.
pub(super) fn response(
    doors: &Doors,
    scope: &Scope,
    channel: &ChannelName,
    rows: Vec<MessageRow>,
) -> Result<NetworkMessagesResponse, Failure> {
    let names = Names::of_channel(doors, scope, channel)?;
    let messages = rows.into_iter().map(|row| {
        let name = names.of(&row.envelope.from);
        NetworkMessage::of(row, &scope.id(), name)
    });
    Ok(NetworkMessagesResponse { messages: messages.collect() })
}

fn unknown_kind() -> Failure {
    Failure::invalid("`kind` has to be greet, whois, say, capability, receipt or trace")
}
