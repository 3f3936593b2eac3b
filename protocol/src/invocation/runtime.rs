//! Runtimes: the processes that act for a bot, and which work each may take (W-112 to W-119, W-132 to W-134).

/// What kind of program a runtime is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuntimeKind {
    /// `pi-local`.
    PiLocal,
    /// `hermes`.
    Hermes,
    /// `openclaw`.
    OpenClaw,
    /// `claude-code-channel`.
    ClaudeCodeChannel,
    /// `custom`.
    Custom,
}

impl RuntimeKind {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::PiLocal, Self::Hermes, Self::OpenClaw, Self::ClaudeCodeChannel, Self::Custom];

    /// Its name in the doors.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PiLocal => "pi-local",
            Self::Hermes => "hermes",
            Self::OpenClaw => "openclaw",
            Self::ClaudeCodeChannel => "claude-code-channel",
            Self::Custom => "custom",
        }
    }

    /// The kind of a name.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether its sessions own scratchpads (W-119).
    pub fn owns_scratchpads(self) -> bool {
        self != Self::OpenClaw
    }
}

/// What a runtime says it does (W-113).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuntimeStatus {
    /// It waits for work.
    Available,
    /// It works.
    Busy,
    /// It is shutting down.
    Offline,
    /// Something is wrong with it.
    Error,
}

impl RuntimeStatus {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Available, Self::Busy, Self::Offline, Self::Error];

    /// Its name in the doors.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Busy => "busy",
            Self::Offline => "offline",
            Self::Error => "error",
        }
    }

    /// The status of a name.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

/// Whom work is aimed at; a part that is empty is anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aim<'a> {
    /// The runtime's instance.
    pub instance: &'a str,
    /// The session inside it.
    pub session: &'a str,
}

/// A runtime that asks for work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taker<'a> {
    /// Its name for itself.
    pub instance: &'a str,
    /// The session it asks for; none for any.
    pub session: Option<&'a str>,
    /// How many sessions of this instance are linked and active.
    pub links: usize,
}

/// Whether a runtime may take work that is aimed at somebody (W-134).
pub fn may_take(aim: Aim<'_>, taker: Taker<'_>) -> bool {
    let is_instance = aim.instance.is_empty() || aim.instance == taker.instance;
    let is_session = match taker.session {
        _ if aim.session.is_empty() => true,
        Some(session) => session == aim.session,
        None => aim.instance == taker.instance && taker.links == 1,
    };
    is_instance && is_session
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_statuses_read_back_from_their_names_w119() {
        for kind in RuntimeKind::ALL {
            assert_eq!(RuntimeKind::from_word(kind.as_str()), Some(kind));
        }
        for status in RuntimeStatus::ALL {
            assert_eq!(RuntimeStatus::from_word(status.as_str()), Some(status));
        }
        assert_eq!(RuntimeKind::ALL.iter().filter(|kind| !kind.owns_scratchpads()).count(), 1);
    }

    #[test]
    fn aimed_work_goes_where_it_is_aimed_and_other_work_anywhere_w134() {
        let aim = |instance, session| Aim { instance, session };
        let taker = |instance, session, links| Taker { instance, session, links };
        for any in [taker("a", None, 0), taker("b", Some("s"), 3)] {
            assert!(may_take(aim("", ""), any));
        }
        assert!(may_take(aim("a", ""), taker("a", Some("t"), 2)));
        assert!(!may_take(aim("a", ""), taker("b", None, 1)));
        assert!(may_take(aim("a", "s"), taker("a", Some("s"), 2)));
        assert!(!may_take(aim("a", "s"), taker("a", Some("t"), 1)), "it names another session");
        assert!(!may_take(aim("a", "s"), taker("b", Some("s"), 1)), "another instance has such a session");
        // Who names no session takes session work only when it can mean one alone.
        assert!(may_take(aim("a", "s"), taker("a", None, 1)));
        assert!(!may_take(aim("a", "s"), taker("a", None, 2)));
        assert!(!may_take(aim("a", "s"), taker("a", None, 0)));
    }
}
