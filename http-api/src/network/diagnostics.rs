//! The table of diagnostics (N-130): every code of this door, and what a person should know about it.
//!
//! `muster explain CODE` reads the same table.
//!
//! ```
//! use muster_http_api::network::diagnostics;
//!
//! let entry = diagnostics::find("network_work_closed").unwrap();
//! assert_eq!(entry.title, "The work has ended");
//! ```

use super::schemas::error::Severity;

/// One code. All are of category `network`.
#[derive(Debug)]
pub struct Entry {
    /// The stable code.
    pub code: &'static str,
    /// Stable name of the place that raises it.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// It in a few words.
    pub title: &'static str,
    /// Why it happens and what to do.
    pub meaning: &'static str,
    /// A command that would help.
    pub suggested_command: Option<&'static str>,
}

/// The entry of a code.
pub fn find(code: &str) -> Option<&'static Entry> {
    ALL.iter().copied().find(|entry| entry.code == code)
}

macro_rules! table {
    ($($name:ident = $code:literal, $id:literal, $severity:ident, $title:literal, $meaning:literal $(, try $command:literal)?;)*) => {
        $(
            #[doc = $title]
            pub static $name: Entry = Entry {
                code: $code, id: $id, severity: Severity::$severity, title: $title, meaning: $meaning,
                suggested_command: table!(@ $($command)?),
            };
        )*
        /// All codes.
        pub static ALL: &[&Entry] = &[$(&$name),*];
    };
    (@) => { None };
    (@ $command:literal) => { Some($command) };
}

table! {
    READY = "network_ready", "network.runtime", Ok,
        "The network runs",
        "Nothing is wrong.";
    DISABLED = "network_disabled", "network.runtime", Error,
        "The network is switched off",
        "`network.enabled` is false, so this node takes part in no channel. Set it to true and start the node again.",
        try "muster status";
    UNAVAILABLE = "network_unavailable", "network.runtime", Error,
        "The network is not available now",
        "The node is busy, stopping, or cannot reach what the call needs. Messages given an id of your own can be \
         sent again without harm.",
        try "muster status";
    INVALID_REQUEST = "network_invalid_request", "network.request", Error,
        "The request is not valid",
        "A member is missing, outside its grammar, or does not go together with another. The text names it.";
    NOT_FOUND = "network_not_found", "network.lookup", Error,
        "What the request names does not exist",
        "No such workspace, channel, thread, direct room, work, peer or page cursor is known here. It may not have \
         arrived yet.",
        try "muster status";
    WRITE_FORBIDDEN = "network_write_forbidden", "network.member", Error,
        "This node may not write in the workspace",
        "It is a guest, who only reads, or it was removed. Only an admin of the workspace can change that.",
        try "muster workspace list";
    SESSION_UNKNOWN = "network_session_unknown", "network.session", Error,
        "The session is not a peer here",
        "No session of this node has that id in this workspace, or it is not in that channel.";
    PROVIDER_AUTH_FAILED = "network_provider_auth_failed", "network.session", Error,
        "A provider refused its credentials",
        "The program behind the agent ended with status 77, which says that it may not do its work. Mend what it logs in \
         with; its `[providers.…]` table in muster.toml is where its variables are set. The node's log has what it wrote.",
        try "muster config show";
    PROGRAM_NOT_STARTED = "network_program_not_started", "network.session", Error,
        "The program behind an agent does not start",
        "The settings name no such provider, the program cannot be started, or it ended at once. The text says which; the \
         node's log has what the program wrote. No session of the call stays.",
        try "muster config show";
    TARGET_UNREACHABLE = "network_target_unreachable", "network.send", Error,
        "The target is not visible in the channel",
        "Directed messages need a target that is present now; nothing is queued for those who are away.";
    WORK_CLOSED = "network_work_closed", "network.work", Error,
        "The work has ended",
        "The first terminal message wins, and nothing opens the work again. Open new work under a new id.";
    WORK_CONTAINER_MISMATCH = "network_work_container_mismatch", "network.work", Error,
        "The work belongs to another conversation",
        "Work stays in the thread or direct room that it was opened in.";
    WORK_TRANSITION_INVALID = "network_work_transition_invalid", "network.work", Error,
        "The work cannot go to that state",
        "Work starts as submitted and never returns to it.";
    WORK_ACTOR_FORBIDDEN = "network_work_actor_forbidden", "network.work", Error,
        "Only opener and target speak for the work",
        "The sender is neither of the two.";
    DIRECT_ROOM_COLLISION = "network_direct_room_collision", "network.direct", Error,
        "The direct room is not that of these two peers",
        "A room's id is made of its workspace, its channel and its two peers. Resolve the room to learn its id.";
    MESSAGE_ID_CONFLICT = "network_message_id_conflict", "network.send", Error,
        "Another message has this id",
        "The same id may be sent again with the same content only. Use a new id for new content.";
    SECRET_REFUSED = "network_secret_refused", "network.send", Error,
        "The message holds something like a credential",
        "Messages go to other nodes and are kept. Send a reference to the secret instead, or its hash.";
    PAYLOAD_TOO_LARGE = "network_payload_too_large", "network.request", Error,
        "Too many bytes",
        "A request may have 4 MiB, an envelope 1 MiB. Send less, or a link.";
    TOKEN_REQUIRED = "network_token_required", "network.guard", Error,
        "The operator token is missing or wrong",
        "`network.require_token` is set, or the node listens beyond loopback. Send `Authorization: Bearer TOKEN` with \
         the text of `operator.token` in the data folder.";
    ORIGIN_FORBIDDEN = "network_origin_forbidden", "network.guard", Error,
        "The request comes from a foreign web page",
        "Pages of other origins may not use this node.";
    HOST_UNKNOWN = "network_host_unknown", "network.guard", Error,
        "This node does not serve that host",
        "The Host header names neither an address of the node nor a configured name.";
    METHOD_NOT_ALLOWED = "network_method_not_allowed", "network.request", Error,
        "The path does not take this method",
        "The `allow` header of the answer lists the methods it takes.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_say_something_n130() {
        for (at, entry) in ALL.iter().enumerate() {
            assert!(entry.code.starts_with("network_"), "{}", entry.code);
            assert!(!entry.title.trim().is_empty() && !entry.meaning.trim().is_empty(), "{}", entry.code);
            assert!(ALL[..at].iter().all(|other| other.code != entry.code), "{} stands twice", entry.code);
            assert!(std::ptr::eq(find(entry.code).unwrap(), *entry));
        }
    }

    #[test]
    fn the_codes_that_n130_names_are_there() {
        let named = "ready disabled unavailable invalid_request not_found target_unreachable session_unknown \
                     work_closed work_container_mismatch work_transition_invalid work_actor_forbidden \
                     direct_room_collision message_id_conflict secret_refused payload_too_large";
        for name in named.split_whitespace() {
            assert!(find(&format!("network_{name}")).is_some(), "{name}");
        }
    }
}
