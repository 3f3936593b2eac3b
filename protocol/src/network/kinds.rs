//! The closed lists of the Network door: kinds, surfaces, statuses, states, reasons (N-16, N-22 to N-24).

use super::words::wire_words;

wire_words! {
    /// What a message is for. Exactly these six; older names are unknown kinds (N-16).
    pub enum Kind {
        /// Announces a peer.
        Greet => "greet",
        /// Asks for a peer card, or returns one.
        Whois => "whois",
        /// Talk.
        Say => "say",
        /// Hands over one capability document.
        Capability => "capability",
        /// Answers for one message.
        Receipt => "receipt",
        /// Reports progress of work.
        Trace => "trace",
    }
}

impl Kind {
    /// True for the four kinds that belong to a thread or direct room (N-26); greet and whois do not (N-27).
    pub fn is_conversation(self) -> bool {
        !matches!(self, Self::Greet | Self::Whois)
    }

    /// True for receipt, trace and capability, which must name their work (N-28).
    pub fn needs_work(self) -> bool {
        matches!(self, Self::Capability | Self::Receipt | Self::Trace)
    }

    /// True for say and capability, which may open work (N-43) and earn automatic receipts (N-91).
    pub fn opens_work(self) -> bool {
        matches!(self, Self::Say | Self::Capability)
    }
}

wire_words! {
    /// The two sorts of container a conversation can be in.
    pub enum Surface {
        /// A public thread of the channel.
        Thread => "thread",
        /// A room of exactly two peers.
        Direct => "direct",
    }
}

wire_words! {
    /// What a receipt says about the message it answers for (N-22).
    pub enum ReceiptStatus {
        /// Responsibility taken.
        Accepted => "accepted",
        /// Not taken.
        Rejected => "rejected",
        /// Seen before.
        Duplicate => "duplicate",
        /// Too late.
        Expired => "expired",
        /// Not understood.
        Unsupported => "unsupported",
        /// Called off.
        Canceled => "canceled",
    }
}

wire_words! {
    /// Where a piece of work stands (N-45).
    pub enum WorkState {
        /// Opened, nothing reported yet.
        Submitted => "submitted",
        /// Being worked on.
        Working => "working",
        /// Waiting for an answer.
        NeedsInput => "needs_input",
        /// Done. Terminal.
        Completed => "completed",
        /// Given up or rejected. Terminal.
        Failed => "failed",
        /// Called off. Terminal.
        Canceled => "canceled",
    }
}

impl WorkState {
    /// True for the three states that nothing leaves (N-45, N-47).
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Canceled)
    }
}

wire_words! {
    /// Why a message was refused; a closed list (N-23).
    pub enum ReasonCode {
        /// Breaks the format.
        Malformed => "malformed",
        /// Not fresh (N-15).
        Expired => "expired",
        /// Seen before (N-89).
        Duplicate => "duplicate",
        /// Kind outside the list.
        UnsupportedKind => "unsupported_kind",
        /// Profile outside the list.
        UnsupportedProfile => "unsupported_profile",
        /// Digest or signature does not match.
        VerificationFailed => "verification_failed",
        /// Addressed to a peer that is not here.
        NotTarget => "not_target",
        /// What it names does not exist.
        NotFound => "not_found",
        /// Try later.
        Busy => "busy",
        /// Forbidden change of state, or a fault of the node (N-93).
        Internal => "internal",
        /// Surface, thread and room members do not fit together.
        InvalidSurface => "invalid_surface",
        /// No such thread or room.
        ConversationNotFound => "conversation_not_found",
        /// The work has ended (N-47).
        WorkClosed => "work_closed",
        /// The work belongs to another container (N-44).
        WorkContainerMismatch => "work_container_mismatch",
        /// A retired form (N-12).
        LegacyFieldRejected => "legacy_field_rejected",
    }
}

wire_words! {
    /// The two halves of whois (N-18).
    pub enum WhoisType {
        /// Asks for cards.
        Request => "request",
        /// Returns one.
        Response => "response",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_exactly_six_kinds_n16() {
        let words: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(words, ["greet", "whois", "say", "capability", "receipt", "trace"]);
        assert_eq!(Kind::from_word("recipe"), None);
        assert_eq!(Kind::from_word("Say"), None);
    }

    #[test]
    fn the_reason_codes_are_the_closed_list_n23() {
        assert_eq!(ReasonCode::ALL.len(), 15);
        for code in ReasonCode::ALL {
            assert_eq!(ReasonCode::from_word(code.as_str()), Some(*code));
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }

    #[test]
    fn three_work_states_are_terminal_n45() {
        let terminal: Vec<_> = WorkState::ALL.iter().filter(|state| state.is_terminal()).collect();
        assert_eq!(terminal, [&WorkState::Completed, &WorkState::Failed, &WorkState::Canceled]);
    }
}
