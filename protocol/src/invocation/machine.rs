//! One invocation from its summons to its end: who holds it, until when, and what ends it (W-131 to W-155).
//!
//! [`Invocation::handle`] is the whole rule. It has no clock and no dice: the time comes in with every input, and the
//! random bytes of a token with the claim. A lease that is over is noticed by the next input, whatever that is, so
//! nothing depends on somebody having looked in time.

use serde_tuple::{Deserialize_tuple, Serialize_tuple};

use crate::{cbor::Bytes32, ids::hash, limits};

/// Where an invocation stands (W-131).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Status {
    /// It waits for a runtime.
    Pending = 1,
    /// A runtime works on it.
    Claimed = 2,
    /// It ended, with a reply or without.
    Completed = 3,
    /// It was given up.
    Failed = 4,
    /// Too many runtimes took it and were heard of no more.
    Parked = 5,
    /// What summoned the bot is gone.
    Cancelled = 6,
    /// Nobody took it for too long.
    Expired = 7,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Claimed,
        Self::Completed,
        Self::Failed,
        Self::Parked,
        Self::Cancelled,
        Self::Expired,
    ];

    /// Its name in the doors.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Claimed => "claimed",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Parked => "parked",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    /// The status of a code on the wire.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|status| *status as u8 == code)
    }

    /// Whether it ended, and who waits for an answer gets none.
    pub fn is_unanswered(self) -> bool {
        matches!(self, Self::Failed | Self::Parked | Self::Expired)
    }

    /// Whether nothing changes it any more.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Claimed)
    }
}

/// An invocation, as far as its rules look at it. It is stored as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct Invocation {
    /// A code of [`Status`].
    status: u8,
    /// Grants so far. It is the fence of the newest claim.
    attempts: u8,
    /// Who holds it, or held it last.
    holder: String,
    /// A hash of the token of the newest claim; the token itself is kept nowhere.
    token: Bytes32,
    /// Until when the claim lives, in Unix milliseconds.
    until_ms: u64,
}

/// Who says it holds the claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder<'a> {
    /// The instance that claimed.
    pub instance: &'a str,
    /// The token it was given.
    pub token: &'a str,
}

/// What happens to an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input<'a> {
    /// A runtime that may take it ([`super::runtime::may_take`]) claims it for that long.
    Claim {
        /// Its name for itself.
        instance: &'a str,
        /// For how long, in seconds.
        seconds: u64,
        /// Randomness for the token.
        random: [u8; 32],
    },
    /// Its holder needs longer: the claim lives this long from now on (W-143).
    Renew(Holder<'a>, u64),
    /// Its holder did a step (W-146).
    Step(Holder<'a>),
    /// Its holder is done (W-150, W-151).
    Complete(Holder<'a>),
    /// Its holder gives it up (W-154).
    Fail(Holder<'a>),
    /// The bot may not say what its holder wants to say (W-155).
    Forbid(Holder<'a>),
    /// What summoned the bot is gone.
    Cancel,
    /// Nobody took it for too long.
    Expire,
    /// A former life of this node said what became of it, and forgot.
    Recall(Status),
    /// Time went by.
    Look,
}

/// What comes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// It is claimed until then; the token is for the holder alone.
    Granted {
        /// The secret that proves who holds it.
        token: String,
        /// Unix milliseconds.
        until_ms: u64,
    },
    /// The claim lives until then, in Unix milliseconds.
    Renewed(u64),
    /// The step counts.
    Stepped,
    /// It is completed.
    Completed,
    /// It was completed before by the same holder: the answer is the same again (W-51).
    Replayed,
    /// It has failed.
    Failed,
    /// Nothing to tell anybody; the status may have changed.
    Looked,
}

/// It is not, or no longer, the caller's; why is not said (W-142).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Invocation claim not found")]
pub struct NotHeld;

impl Default for Invocation {
    fn default() -> Self {
        Self {
            status: Status::Pending as u8,
            attempts: 0,
            holder: String::new(),
            token: Bytes32([0; 32]),
            until_ms: 0,
        }
    }
}

impl Invocation {
    /// Where it stands, as of the last input.
    pub fn status(&self) -> Status {
        Status::from_code(self.status).unwrap_or(Status::Parked)
    }

    /// The fence of the newest claim: how often it was granted.
    pub fn fence(&self) -> u8 {
        self.attempts
    }

    /// Until when it is claimed, in Unix milliseconds.
    pub fn claimed_until_ms(&self) -> Option<u64> {
        (self.status() == Status::Claimed).then_some(self.until_ms)
    }

    /// Takes an input at `now_ms`, in Unix milliseconds.
    ///
    /// # Errors
    /// [`NotHeld`] for whatever does not come from the holder of a live claim, and for a claim of what is not there to
    /// be taken. The status may have changed all the same: a lease that is over is over.
    pub fn handle(&mut self, now_ms: u64, input: Input<'_>) -> Result<Output, NotHeld> {
        self.look(now_ms);
        match input {
            Input::Look => Ok(Output::Looked),
            Input::Claim { instance, seconds, random } => self.claim(now_ms, instance, seconds, random),
            Input::Renew(holder, seconds) => {
                self.held_by(holder)?;
                self.until_ms = deadline(now_ms, seconds);
                Ok(Output::Renewed(self.until_ms))
            }
            Input::Step(holder) => self.held_by(holder).map(|()| Output::Stepped),
            Input::Complete(holder) => {
                if self.status() == Status::Completed && self.knows(holder) {
                    return Ok(Output::Replayed);
                }
                self.held_by(holder)?;
                self.set(Status::Completed);
                Ok(Output::Completed)
            }
            Input::Fail(holder) | Input::Forbid(holder) => {
                self.held_by(holder)?;
                self.set(Status::Failed);
                Ok(Output::Failed)
            }
            Input::Cancel => {
                if !self.status().is_final() {
                    self.set(Status::Cancelled);
                }
                Ok(Output::Looked)
            }
            Input::Recall(status) => {
                if !self.status().is_final() && status.is_final() {
                    self.set(status);
                }
                Ok(Output::Looked)
            }
            Input::Expire => {
                if self.status() == Status::Pending {
                    self.set(Status::Expired);
                }
                Ok(Output::Looked)
            }
        }
    }

    /// A claim that is over is none, and the fifth of them was the last (W-137).
    fn look(&mut self, now_ms: u64) {
        if self.claimed_until_ms().is_some_and(|until_ms| until_ms <= now_ms) {
            let is_last = self.attempts >= limits::INVOCATION_ATTEMPTS_MAX;
            self.set(if is_last { Status::Parked } else { Status::Pending });
        }
    }

    fn claim(
        &mut self,
        now_ms: u64,
        instance: &str,
        seconds: u64,
        random: [u8; 32],
    ) -> Result<Output, NotHeld> {
        if self.status() != Status::Pending {
            return Err(NotHeld);
        }
        self.attempts += 1;
        let token = format!("{}.{}", self.attempts, data_encoding::BASE64URL_NOPAD.encode(&random));
        self.holder = instance.to_owned();
        self.token = digest(&token);
        self.until_ms = deadline(now_ms, seconds);
        self.set(Status::Claimed);
        Ok(Output::Granted { token, until_ms: self.until_ms })
    }

    fn set(&mut self, status: Status) {
        self.status = status as u8;
    }

    fn held_by(&self, holder: Holder<'_>) -> Result<(), NotHeld> {
        if self.status() == Status::Claimed && self.knows(holder) { Ok(()) } else { Err(NotHeld) }
    }

    /// Whether it is who holds it, or held it when it ended. What is compared are hashes: how long that takes tells
    /// nothing about the token.
    fn knows(&self, holder: Holder<'_>) -> bool {
        self.attempts > 0 && self.holder == holder.instance && self.token == digest(holder.token)
    }
}

fn deadline(now_ms: u64, seconds: u64) -> u64 {
    let seconds = seconds.clamp(limits::INVOCATION_CLAIM_SECONDS_MIN, limits::INVOCATION_CLAIM_SECONDS_MAX);
    now_ms.saturating_add(seconds * 1000)
}

fn digest(token: &str) -> Bytes32 {
    Bytes32(hash("muster/claim/v1", &[token.as_bytes()]))
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
