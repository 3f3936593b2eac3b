//! What a text in Markdown says to programs: whom it mentions (W-74) and which files it links to (W-104).
//!
//! The text itself is kept byte for byte (W-60); only these two things are read from it. It is read as Markdown and not
//! searched, so that what stands in code is left alone.
//!
//! ```
//! use muster_protocol::markdown::{attachment_links, mentions};
//!
//! let text = "@Ada, see [the plan](attachment:attach_01) and run `git blame @HEAD`.";
//! assert_eq!(mentions(text).iter().map(|slug| slug.as_str()).collect::<Vec<_>>(), ["ada"]);
//! assert_eq!(attachment_links(text), ["attach_01"]);
//! ```

use std::collections::BTreeSet;

use pulldown_cmark::{Event, LinkType, Parser, Tag, TagEnd, TextMergeStream};

use crate::principal::Slug;

/// What the address of a linked file begins with.
const ATTACHMENT: &str = "attachment:";

/// The slugs that a text mentions with `@`, in its order, each once: not in code, and not in what looks like an e-mail
/// address (W-74).
pub fn mentions(text: &str) -> Vec<Slug> {
    let mut found = Vec::new();
    if !text.contains('@') {
        return found;
    }
    let mut known = BTreeSet::new();
    let mut in_code = false;
    // A name with `_` in it comes in pieces, which are merged.
    for event in TextMergeStream::new(Parser::new(text)) {
        match event {
            Event::Start(Tag::CodeBlock(_)) => in_code = true,
            Event::End(TagEnd::CodeBlock) => in_code = false,
            Event::Text(words) | Event::Html(words) if !in_code => {
                found.extend(mentions_in(&words).filter(|slug| known.insert(slug.clone())));
            }
            _ => {}
        }
    }
    found
}

fn mentions_in(words: &str) -> impl Iterator<Item = Slug> {
    words.match_indices('@').filter_map(move |(at, _)| {
        let before = words[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '+' | '@')) {
            return None; // the middle of an e-mail address
        }
        let rest = &words[at + 1..];
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        // What ends a word is not the name's: `@ada-`, `@ada_`.
        Slug::parse(rest[..end].trim_end_matches(['-', '_'])).ok()
    })
}

/// The ids behind `attachment:` in a text's links and pictures, in its order, each once, as they stand there: also those
/// that are no ids, which to a sender are a mistake (W-104).
pub fn attachment_links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    if !text.contains(ATTACHMENT) {
        return found;
    }
    let mut known = BTreeSet::new();
    for event in Parser::new(text) {
        let Event::Start(Tag::Link { link_type, dest_url, .. } | Tag::Image { link_type, dest_url, .. }) =
            event
        else {
            continue;
        };
        // `<attachment:…>` has no name, and is no such link.
        if matches!(link_type, LinkType::Autolink | LinkType::Email) {
            continue;
        }
        if let Some(id) = dest_url.strip_prefix(ATTACHMENT)
            && known.insert(id.to_owned())
        {
            found.push(id.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::POST_CHARS_MAX;

    const NONE: [&str; 0] = [];

    fn mentioned(text: &str) -> Vec<String> {
        mentions(text).iter().map(Slug::to_string).collect()
    }

    #[test]
    fn a_mention_is_an_at_sign_and_a_slug_in_lower_case_each_once_w74() {
        assert_eq!(mentioned("Hi @Zoe, and @bob_2-x! (@ada)"), ["zoe", "bob_2-x", "ada"]);
        assert_eq!(mentioned("@ada @ADA **@ada** _@Ada_ [@ada](https://a.b)"), ["ada"]);
        assert_eq!(mentioned("> @ada\n\n- @bob\n\n# @cy"), ["ada", "bob", "cy"]);
        assert_eq!(mentioned("@a_b_c @a__b @9"), ["a_b_c", "a__b", "9"]);
        assert_eq!(mentioned("@ada's, @bob. @cy- @dan_ @e__"), ["ada", "bob", "cy", "dan", "e"]);
        assert_eq!(mentioned("<div>\n@ada\n</div>"), ["ada"]);
        let longest = "x".repeat(64);
        assert_eq!(mentioned(&format!("@{longest}")), [longest]);
    }

    #[test]
    fn what_stands_in_code_mentions_nobody_w74() {
        assert_eq!(mentioned("`@ada` ``@bob ` @bob``"), NONE);
        assert_eq!(mentioned("```\n@ada\n```\n~~~rust\n@bob\n~~~\n> ```\n> @cy\n> ```"), NONE);
        assert_eq!(mentioned("so:\n\n    @ada\n\nand @bob"), ["bob"]);
        assert_eq!(mentioned("```\n@ada\n```\n@bob"), ["bob"]);
        assert_eq!(mentioned("```\n@ada, never closed"), NONE);
        assert_eq!(mentioned("a lone ` is no code, @ada"), ["ada"]);
    }

    #[test]
    fn what_is_no_slug_or_looks_like_an_e_mail_address_mentions_nobody_w74() {
        assert_eq!(mentioned("a@b a.b@c.d x+y@z <mailto:a@b.c> <a@b.c> ä@b a_@b a-@b a.@b"), NONE);
        assert_eq!(mentioned("@ @- @_a @äda @adä @, @@ada @"), NONE);
        assert_eq!(mentioned(&format!("@{}", "x".repeat(65))), NONE);
    }

    #[test]
    fn files_are_linked_by_their_ids_each_once_w104() {
        let text =
            "[b](attachment:attach_2) ![a](attachment:attach_1 \"title\") [again](attachment:attach_2)";
        assert_eq!(attachment_links(text), ["attach_2", "attach_1"]);
        assert_eq!(attachment_links("[a [b] c](<attachment:attach_1>)"), ["attach_1"]);
        assert_eq!(attachment_links("[![a](attachment:attach_1)](attachment:attach_2)").len(), 2);
        assert_eq!(attachment_links("[plan][1]\n\n[1]: attachment:attach_1"), ["attach_1"]);
        assert_eq!(attachment_links("[a](attachment:nonsense) [b](attachment:)"), ["nonsense", ""]);
    }

    #[test]
    fn what_is_no_link_of_such_a_form_links_to_nothing_w104() {
        assert_eq!(attachment_links("`[a](attachment:attach_1)`"), NONE);
        assert_eq!(attachment_links("```\n[a](attachment:attach_1)\n```"), NONE);
        assert_eq!(attachment_links("attachment:attach_1 <attachment:attach_1>"), NONE);
        assert_eq!(attachment_links("[a] (attachment:attach_1) [b](https://x/attachment:attach_1)"), NONE);
    }

    /// The largest text that repeats a part, with what makes it worth reading at its end.
    fn repeated(part: &str) -> String {
        let end = "@ada [a](attachment:attach_1)";
        part.repeat((POST_CHARS_MAX - end.len()) / part.chars().count()) + end
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "measures how long reading takes")]
    fn text_that_is_made_to_be_slow_costs_little() {
        let parts = [
            "[",
            "]",
            "![",
            "[]",
            "[a](",
            "[a](<",
            "](",
            "[a][",
            "> ",
            ">",
            "- ",
            "1. ",
            "*",
            "_",
            "**a_",
            "`",
            "`a``",
            "~",
            "<",
            "<a ",
            "<!--",
            "<?",
            "&",
            "\\",
            "@",
            "@a",
            "@a ",
            "a@",
            "\n> ",
            "\n- ",
            "\n\n- a",
            "[a]: b\n",
            "[a]: <",
            "[a]\n",
            "# ",
            "***a",
            "| ",
            "<a href=\"",
            "[![",
            "\t",
            "> - ",
            "~~~\n",
            "```\n",
            "&amp;",
        ];
        for part in parts {
            let text = repeated(part);
            let began = std::time::Instant::now();
            let _ = (mentions(&text), attachment_links(&text));
            // A busy machine is slow; what grows with the square of the text would take minutes.
            assert!(began.elapsed().as_secs() < 5, "{part:?} took {:?}", began.elapsed());
        }
        let many: String = (0..8000).map(|n| format!("@a{n} ")).collect();
        assert_eq!(mentions(&many).len(), 8000);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(\\PC|[@\\[\\]()<>`*_>\\-\\n ]|attachment:){0,200}") {
            let slugs = mentions(&text);
            prop_assert!(slugs.len() <= text.matches('@').count() + text.matches('&').count());
            attachment_links(&text);
        }
    }
}
