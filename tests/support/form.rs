//! How thoroughly the tests that torture nodes go about it.

/// The name of the variable that asks for the full form: `MUSTER_TORTURE=full`.
const VARIABLE: &str = "MUSTER_TORTURE";

/// The short form runs with every change and takes a minute and a half altogether; the full one has more
/// rounds, more load and longer silences.
pub fn short_or_full<T>(short: T, full: T) -> T {
    match std::env::var(VARIABLE).as_deref() {
        Ok("full") => full,
        Ok(other) if !other.is_empty() && other != "short" => {
            panic!("{VARIABLE} is {other}; it is short or full")
        }
        _ => short,
    }
}
