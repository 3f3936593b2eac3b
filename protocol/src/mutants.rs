//! Mistakes that can be switched on, one at a time, in builds with the feature `mutants`: whoever trusts the
//! simulator's checks should have seen them bite. `muster-simulations mutants` looks for each how many seeds it takes.
//!
//! In every other build [`is`] is a constant `false`, and nothing of them is left in the program.

/// A mistake somebody could have made, and where it sits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Mutant {
    /// The writer answers, and tells the links, before what it wrote is durable.
    AckBeforeDurable = 1,
    /// The writer tells the links what it wrote before that is durable; it answers afterwards.
    PushBeforeCommit,
    /// The control log's cut-offs cut off nothing.
    SkippedCutOff,
    /// A channel's timeline is numbered in people's order instead of by arrival.
    RankAsCursor,
    /// A log takes an operation that does not continue it.
    UncheckedPrev,
    /// Signatures are verified as ed25519 allows, not strictly.
    LooseVerify,
    /// Operations from links are not verified at all.
    SkippedVerify,
    /// A link serves whatever range a frame names, shared with the peer or not.
    BoundsFromFrame,
    /// A copy of a store goes on in the logs of the original.
    LostIncarnation,
    /// A home whose store is a copy decides at once.
    HastyHome,
    /// A home that moved away goes on deciding.
    FormerHome,
    /// An operation that comes twice takes effect twice.
    DoubleApply,
    /// A restarted node forgets the times of others.
    ForgottenClock,
    /// Digests do not say what stands at the end of a log.
    BlindDigest,
    /// A log that forks is not frozen.
    UnfrozenFork,
    /// A retry is not looked up.
    ForgetfulRetry,
    /// An inbox takes more than it may hold.
    EndlessInbox,
    /// Everybody may speak in everybody's name.
    OpenName,
    /// A slug is given to whoever wishes for it, whoever has it.
    SharedSlug,
    /// A group keeps the nodes of which nobody takes part any more.
    CrowdedGroup,
    /// A group is told to who is not in it.
    OpenGroup,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Mutant; 21] = [
        Mutant::AckBeforeDurable,
        Mutant::PushBeforeCommit,
        Mutant::SkippedCutOff,
        Mutant::RankAsCursor,
        Mutant::UncheckedPrev,
        Mutant::LooseVerify,
        Mutant::SkippedVerify,
        Mutant::BoundsFromFrame,
        Mutant::LostIncarnation,
        Mutant::HastyHome,
        Mutant::FormerHome,
        Mutant::DoubleApply,
        Mutant::ForgottenClock,
        Mutant::BlindDigest,
        Mutant::UnfrozenFork,
        Mutant::ForgetfulRetry,
        Mutant::EndlessInbox,
        Mutant::OpenName,
        Mutant::SharedSlug,
        Mutant::CrowdedGroup,
        Mutant::OpenGroup,
    ];
}

#[cfg(feature = "mutants")]
static PLANTED: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

/// Plants a mistake in this process, in place of the one before; `None` for none.
#[cfg(feature = "mutants")]
pub fn plant(mutant: Option<Mutant>) {
    PLANTED.store(mutant.map_or(0, |mutant| mutant as u8), std::sync::atomic::Ordering::Relaxed);
}

/// Whether this mistake is planted.
#[cfg(feature = "mutants")]
pub fn is(mutant: Mutant) -> bool {
    PLANTED.load(std::sync::atomic::Ordering::Relaxed) == mutant as u8
}

/// Whether this mistake is planted: never, in this build.
#[cfg(not(feature = "mutants"))]
pub const fn is(_: Mutant) -> bool {
    false
}
