//! How thoroughly the tests that torture nodes go about it.

/// The name of the variable that asks for the full form: `MUSTER_TORTURE=full`.
const VARIABLE: &str = "MUSTER_TORTURE";

/// Says why a test, or a part of it, is not played here. Who asked for the full form wants to know for certain,
/// so then it fails.
pub fn skip(why: &str) {
    assert!(short_or_full(true, false), "skipped, and the full form was asked for: {why}");
    println!("skipped: {why}");
}

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
