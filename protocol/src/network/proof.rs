//! Signatures over envelopes (N-73 to N-77).

/// Our own profile: the baseline construction, with the key bound to the peer by its first valid greet (N-76).
pub const PROFILE_MUSTER: &str = "muster.trust.ed25519-jcs/v1";
