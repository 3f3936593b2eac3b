//! How long the tests that wear a node down may take.

/// Whether `MUSTER_TORTURE=full` asks for the long form: more rounds, longer ones, and more of everything.
pub fn torture() -> bool {
    std::env::var("MUSTER_TORTURE").is_ok_and(|form| form == "full")
}
