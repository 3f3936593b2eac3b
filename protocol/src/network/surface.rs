//! Where a message stands: in a thread, in a direct room, or nowhere (N-26 to N-28, and the shape part of N-42).

use serde::{Deserialize, Serialize};

use super::ids::{DirectId, IdError, PeerName, ThreadId, WorkId};
use super::kinds::{Kind, Surface};
use super::reading::not_blank;

/// The thread or direct room a conversation message belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Container {
    /// A public thread.
    Thread(ThreadId),
    /// A room of two.
    Direct(DirectId),
}

/// Why surface members do not fit. All are HTTP 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SurfaceError {
    /// A conversation kind without a surface (N-26).
    #[error("`surface` is missing; {kind} needs `thread` or `direct`")]
    Missing {
        /// The kind.
        kind: Kind,
    },
    /// Neither thread nor direct (N-26).
    #[error("`surface` has to be `thread` or `direct`")]
    Unknown,
    /// A container id without a surface (N-26).
    #[error("`{member}` needs a `surface`")]
    IdWithoutSurface {
        /// `thread_id` or `direct_id`.
        member: &'static str,
    },
    /// The surface's own id is absent (N-26).
    #[error("surface `{surface}` needs `{member}`")]
    MissingId {
        /// The surface.
        surface: Surface,
        /// The id it needs.
        member: &'static str,
    },
    /// The id of the other surface is present (N-26).
    #[error("surface `{surface}` does not go with `{member}`; leave it out")]
    WrongId {
        /// The surface.
        surface: Surface,
        /// The id that has to go.
        member: &'static str,
    },
    /// The container id breaks its grammar (N-4).
    #[error("`{member}`: {cause}")]
    BadId {
        /// `thread_id` or `direct_id`.
        member: &'static str,
        /// What is wrong with it.
        cause: IdError,
    },
    /// greet and whois stand nowhere (N-27).
    #[error("{kind} does not go with `{member}`; leave it out")]
    NotAConversation {
        /// greet or whois.
        kind: Kind,
        /// The member that has to go.
        member: &'static str,
    },
    /// receipt, trace and capability name their work (N-28).
    #[error("{kind} needs `work_id`")]
    MissingWork {
        /// The kind.
        kind: Kind,
    },
    /// A room message names its receiver (N-42).
    #[error("surface `direct` needs `to`")]
    MissingTarget,
    /// A room message to oneself (N-35).
    #[error("a direct room needs two different peers; `to` names the sender")]
    SamePeer,
}

impl Container {
    /// Reads the three surface members as they stand in an envelope or request; blank counts as absent (N-6).
    /// `Ok(None)` when none of them is there.
    ///
    /// # Errors
    /// [`SurfaceError`] when they do not fit together (N-26).
    pub fn read(
        surface: Option<&str>,
        thread_id: Option<&str>,
        direct_id: Option<&str>,
    ) -> Result<Option<Self>, SurfaceError> {
        let thread_id = thread_id.and_then(not_blank);
        let direct_id = direct_id.and_then(not_blank);
        let Some(surface) = surface.and_then(not_blank) else {
            return match (thread_id, direct_id) {
                (None, None) => Ok(None),
                (Some(_), _) => Err(SurfaceError::IdWithoutSurface { member: "thread_id" }),
                (None, Some(_)) => Err(SurfaceError::IdWithoutSurface { member: "direct_id" }),
            };
        };
        let surface = Surface::from_word(surface).ok_or(SurfaceError::Unknown)?;
        let (own, own_id, other, other_id) = match surface {
            Surface::Thread => ("thread_id", thread_id, "direct_id", direct_id),
            Surface::Direct => ("direct_id", direct_id, "thread_id", thread_id),
        };
        if other_id.is_some() {
            return Err(SurfaceError::WrongId { surface, member: other });
        }
        let id = own_id.ok_or(SurfaceError::MissingId { surface, member: own })?;
        let container = match surface {
            Surface::Thread => ThreadId::parse(id).map(Self::Thread),
            Surface::Direct => DirectId::parse(id).map(Self::Direct),
        };
        container.map(Some).map_err(|cause| SurfaceError::BadId { member: own, cause })
    }

    /// The sort of container.
    pub fn surface(&self) -> Surface {
        match self {
            Self::Thread(_) => Surface::Thread,
            Self::Direct(_) => Surface::Direct,
        }
    }

    /// The thread's id, when it is a thread.
    pub fn thread_id(&self) -> Option<&ThreadId> {
        match self {
            Self::Thread(id) => Some(id),
            Self::Direct(_) => None,
        }
    }

    /// The room's id, when it is a room.
    pub fn direct_id(&self) -> Option<&DirectId> {
        match self {
            Self::Direct(id) => Some(id),
            Self::Thread(_) => None,
        }
    }

    /// Either id as text.
    pub fn id(&self) -> &str {
        match self {
            Self::Thread(id) => id.as_str(),
            Self::Direct(id) => id.as_str(),
        }
    }
}

/// Checks that kind, container, target and work go together (N-26 to N-28, N-42).
///
/// # Errors
/// [`SurfaceError`] names the member that is missing or has to go.
pub fn check(
    kind: Kind,
    container: Option<&Container>,
    to: Option<&PeerName>,
    work_id: Option<&WorkId>,
) -> Result<(), SurfaceError> {
    if !kind.is_conversation() {
        return match (container, work_id) {
            (Some(_), _) => Err(SurfaceError::NotAConversation { kind, member: "surface" }),
            (None, Some(_)) => Err(SurfaceError::NotAConversation { kind, member: "work_id" }),
            (None, None) => Ok(()),
        };
    }
    let container = container.ok_or(SurfaceError::Missing { kind })?;
    if kind.needs_work() && work_id.is_none() {
        return Err(SurfaceError::MissingWork { kind });
    }
    if container.surface() == Surface::Direct && to.is_none() {
        return Err(SurfaceError::MissingTarget);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: &str = "direct_fd3aece517c733f67bb4f4c6505a66dc";

    #[test]
    fn a_surface_goes_with_exactly_its_own_id_n26() {
        let thread = Container::read(Some("thread"), Some("thread_abc"), None).unwrap().unwrap();
        assert_eq!((thread.surface(), thread.id()), (Surface::Thread, "thread_abc"));
        let room = Container::read(Some(" direct "), Some("  "), Some(ROOM)).unwrap().unwrap();
        assert_eq!(room.direct_id().unwrap().as_str(), ROOM);

        for (surface, thread, direct) in [
            (Some("thread"), None, None),
            (Some("thread"), Some("thread_abc"), Some(ROOM)),
            (Some("thread"), None, Some(ROOM)),
            (Some("thread"), Some("nonsense"), None),
            (Some("direct"), Some("thread_abc"), None),
            (Some("room"), Some("thread_abc"), None),
            (None, Some("thread_abc"), None),
            (None, None, Some(ROOM)),
        ] {
            assert!(Container::read(surface, thread, direct).is_err(), "{surface:?} {thread:?} {direct:?}");
        }
        assert_eq!(Container::read(Some(""), None, None), Ok(None));
    }

    #[test]
    fn each_kind_wants_its_own_members_n27_n28_n42() {
        let thread = Container::Thread(ThreadId::parse("thread_abc").unwrap());
        let room = Container::Direct(DirectId::parse(ROOM).unwrap());
        let work = WorkId::parse("work_1").unwrap();
        let to = PeerName::parse("a.b").unwrap();

        for kind in Kind::ALL.iter().copied() {
            let talks = kind.is_conversation();
            assert_eq!(check(kind, None, None, None).is_ok(), !talks, "{kind} without surface");
            assert_eq!(
                check(kind, Some(&thread), None, Some(&work)).is_ok(),
                talks,
                "{kind} with thread and work"
            );
            assert_eq!(
                check(kind, Some(&thread), None, None).is_ok(),
                kind == Kind::Say,
                "{kind} without work"
            );
            assert_eq!(check(kind, Some(&room), Some(&to), Some(&work)).is_ok(), talks, "{kind} in a room");
            assert!(check(kind, Some(&room), None, Some(&work)).is_err(), "{kind} in a room needs `to`");
            assert!(check(kind, None, None, Some(&work)).is_err(), "{kind} with work but without surface");
        }
    }
}
