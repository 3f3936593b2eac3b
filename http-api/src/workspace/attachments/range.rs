//! One range of bytes (RFC 9110, 14): enough to go on with a broken download and to skip in a film.

/// Which bytes of a whole are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of them: no range, or one that need not be kept, as several at once.
    Whole,
    /// From the first to the last, both included.
    Part(u64, u64),
    /// None of them exist.
    Nothing,
}

/// What a `Range` header asks of a whole of `size` bytes.
pub(super) fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some(spec) = header.and_then(|header| header.strip_prefix("bytes=")) else { return Wanted::Whole };
    let Some((first, last)) = spec.trim().split_once('-') else { return Wanted::Whole };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    match (first, number(first), last, number(last)) {
        (_, Some(first), "", _) if first < size => Wanted::Part(first, size - 1),
        (_, Some(first), _, Some(last)) if first <= last && first < size => {
            Wanted::Part(first, last.min(size - 1))
        }
        (_, Some(first), _, Some(last)) if first > last => Wanted::Whole, // which is no range at all
        (_, Some(_), "", _) | (_, Some(_), _, Some(_)) => Wanted::Nothing,
        ("", _, _, Some(length)) if length > 0 && size > 0 => {
            Wanted::Part(size.saturating_sub(length), size - 1)
        }
        ("", _, _, Some(_)) => Wanted::Nothing,
        _ => Wanted::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_kept_cut_or_left_alone() {
        use Wanted::{Nothing, Part, Whole};
        for (header, asked) in [
            (None, Whole),
            (Some("bytes=0-0"), Part(0, 0)),
            (Some("bytes=10-19"), Part(10, 19)),
            (Some("bytes=90-1000"), Part(90, 99)),
            (Some("bytes=99-"), Part(99, 99)),
            (Some("bytes=-10"), Part(90, 99)),
            (Some("bytes=-1000"), Part(0, 99)),
            (Some("bytes=100-"), Nothing),
            (Some("bytes=100-200"), Nothing),
            (Some("bytes=-0"), Nothing),
            (Some("bytes=99999999999999999999999-"), Nothing),
            (Some("bytes=5-4"), Whole),
            (Some("bytes=0-1,5-6"), Whole),
            (Some("bytes=a-b"), Whole),
            (Some("bytes=-"), Whole),
            (Some("bytes=+1-2"), Whole),
            (Some("lines=1-2"), Whole),
        ] {
            assert_eq!(wanted(header, 100), asked, "{header:?}");
        }
        assert_eq!(wanted(Some("bytes=0-"), 0), Nothing);
        assert_eq!(wanted(Some("bytes=-5"), 0), Nothing);
    }
}
