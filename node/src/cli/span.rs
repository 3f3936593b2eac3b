//! Spans of time as people write them: `90s`, `15m`, `24h`, `7d`.

/// Longest span, in seconds: ten years, far below where adding it to a date could overflow.
const SECONDS_MAX: u64 = 10 * 365 * 86_400;

/// The seconds of a span, at least one.
pub(super) fn parse(text: &str) -> Result<u64, String> {
    let wrong =
        || "write a number and a unit (s, m, h or d), such as 24h; at least 1s, at most 3650d".to_owned();
    let (number, unit) = text.trim().split_at(text.trim().find(char::is_alphabetic).ok_or_else(wrong)?);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let span = number.parse::<u64>().ok().and_then(|number| number.checked_mul(seconds));
    span.filter(|span| (1..=SECONDS_MAX).contains(span)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn spans_are_read_in_their_unit() {
        assert_eq!(parse("3600s"), Ok(3_600));
        assert_eq!(parse("90m"), Ok(5_400));
        assert_eq!(parse("24h"), Ok(86_400));
        assert_eq!(parse(" 7d "), Ok(604_800));
    }

    #[test]
    fn what_is_no_span_is_refused_with_an_example() {
        for text in [
            "",
            "24",
            "h",
            "1w",
            "1.5h",
            "-1h",
            "0s",
            "99999999999999999999d",
            "18446744073709551615d",
            "4000d",
        ] {
            assert!(parse(text).unwrap_err().contains("such as 24h"), "{text}");
        }
    }
}
