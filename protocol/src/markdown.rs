//! What a text in Markdown mentions and links to (W-74, W-104). The text itself is kept as it is; only these two things
//! are read from it, and not from code.

use pulldown_cmark::{Event, Parser, Tag, TagEnd};

use crate::principal::{SLUG_BYTES_MAX, Slug};

/// What an attachment's address begins with in a text.
const ATTACHMENT: &str = "attachment:";

/// The slugs that a text mentions with `@`, each once, in order: not in code, and not in what looks like an e-mail
/// address (W-74).
pub fn mentions(text: &str) -> Vec<Slug> {
    let mut found: Vec<Slug> = Vec::new();
    let mut in_code = false;
    for event in Parser::new(text) {
        match event {
            Event::Start(Tag::CodeBlock(_)) => in_code = true,
            Event::End(TagEnd::CodeBlock) => in_code = false,
            Event::Text(words) if !in_code => {
                for slug in mentions_in(&words) {
                    if !found.contains(&slug) {
                        found.push(slug);
                    }
                }
            }
            _ => {}
        }
    }
    found
}

fn mentions_in(words: &str) -> impl Iterator<Item = Slug> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    words.match_indices('@').filter_map(move |(at, _)| {
        let before = words[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '+' | '@')) {
            return None; // the middle of an address
        }
        let rest = &words[at + 1..];
        let end = rest.find(|c: char| !is_part(c)).unwrap_or(rest.len());
        let name = rest[..end].trim_end_matches(['-', '_']);
        Slug::parse(name).ok().filter(|_| end <= SLUG_BYTES_MAX + 2)
    })
}

/// The ids behind `attachment:` in the links and pictures of a text, each once, in order (W-104).
pub fn attachment_links(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for event in Parser::new(text) {
        if let Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) = event
            && let Some(id) = dest_url.strip_prefix(ATTACHMENT)
            && !found.iter().any(|known| known == id)
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

    fn named(text: &str) -> Vec<String> {
        mentions(text).iter().map(|slug| slug.as_str().to_owned()).collect()
    }

    #[test]
    fn a_mention_is_an_at_sign_and_a_slug_in_any_case_w74() {
        assert_eq!(named("Hi @Ada, and @bob_2-x! (@eve)"), ["ada", "bob_2-x", "eve"]);
        assert_eq!(named("@ada @ADA **@ada**"), ["ada"]);
        assert_eq!(named("> quoted @ada\n\n- item @bob"), ["ada", "bob"]);
        assert_eq!(named("@ada- and @bob."), ["ada", "bob"]);
    }

    #[test]
    fn code_and_addresses_mention_nobody_w74() {
        assert_eq!(named("`@ada` mail a@b.org or a.c@bob\n\n```\n@eve\n```\n\n    @indented"), [""; 0]);
        assert_eq!(named("@ @@ada @-x"), [""; 0]);
        assert_eq!(named(&format!("@{}", "a".repeat(80))), [""; 0]);
    }

    #[test]
    fn attachments_are_linked_by_their_id_w104() {
        let text = "[a](attachment:attach_1) ![b](attachment:attach_2) [again](attachment:attach_1) [c](http://x) \
                    `[d](attachment:attach_3)`";
        assert_eq!(attachment_links(text), ["attach_1", "attach_2"]);
        assert_eq!(attachment_links("[name][ref]\n\n[ref]: attachment:attach_9"), ["attach_9"]);
    }

    #[test]
    fn text_that_is_made_to_be_slow_costs_little() {
        for part in ["[", "![", "> ", "*", "`", "[a](", "@", "<"] {
            let text: String = part.repeat(50_000 / part.len());
            let begun = std::time::Instant::now();
            let _ = (mentions(&text), attachment_links(&text));
            // Quadratic reading would take minutes.
            assert!(begun.elapsed().as_secs() < 20, "{part:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC*") {
            let _ = (mentions(&text), attachment_links(&text));
        }
    }
}
