//! The text of a web page.
//!
//! No tree is built: one walk over the characters, without recursion, so that a page nested a million deep costs what
//! any page of its length does. It does not have to be right about every page, only never wrong about the node.

/// The words of a page.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Page {
    /// What `<title>` says.
    pub title: String,
    /// What a reader would see.
    pub text: String,
}

/// Elements whose content nobody reads.
const HIDDEN: [&str; 5] = ["script", "style", "template", "noscript", "head"];
/// Elements after which words do not go on in the same line.
const BLOCKS: [&str; 21] = [
    "address",
    "article",
    "blockquote",
    "br",
    "dd",
    "div",
    "dt",
    "footer",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "li",
    "p",
    "pre",
    "section",
    "tr",
];

/// Reads the words of a page.
pub fn text_of(source: &str) -> Page {
    let mut page = Page::default();
    let (mut rest, mut hidden, mut in_title) = (source, None::<String>, false);
    while let Some(begin) = rest.find('<') {
        let words = &rest[..begin];
        rest = &rest[begin..];
        if in_title {
            push_words(&mut page.title, words);
        } else if hidden.is_none() {
            push_words(&mut page.text, words);
        }
        let Some(tag) = Tag::at(rest) else {
            if hidden.is_none() {
                page.text.push('<');
            }
            rest = &rest[1..];
            continue;
        };
        rest = &rest[tag.length..];
        match (&hidden, tag.name.as_str()) {
            (_, "title") => in_title = !tag.closes,
            (Some(name), other) if tag.closes && name == other => hidden = None,
            (None, name) if !tag.closes && HIDDEN.contains(&name) => hidden = Some(tag.name),
            // A page that forgot to close its head.
            (Some(name), "body") if name == "head" => hidden = None,
            (None, name) if BLOCKS.contains(&name) => end_line(&mut page.text),
            (None, "td" | "th") => page.text.push('\t'),
            _ => {}
        }
    }
    if hidden.is_none() && !in_title {
        push_words(&mut page.text, rest);
    }
    page
}

/// One tag or comment.
struct Tag {
    name: String,
    closes: bool,
    /// Bytes from `<` on.
    length: usize,
}

impl Tag {
    /// The tag at the beginning of `text`; `None` when its `<` is none of a tag.
    fn at(text: &str) -> Option<Self> {
        if let Some(comment) = text.strip_prefix("<!--") {
            let length = comment.find("-->").map_or(text.len(), |end| 4 + end + 3);
            return Some(Self { name: String::new(), closes: false, length });
        }
        let closes = text.starts_with("</");
        let inner = &text[if closes { 2 } else { 1 }..];
        if !inner.starts_with(|c: char| c.is_ascii_alphabetic() || c == '!' || c == '?') {
            return None;
        }
        let name_end = inner.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(inner.len());
        let end = text.find('>').map_or(text.len(), |end| end + 1);
        Some(Self { name: inner[..name_end].to_ascii_lowercase(), closes, length: end })
    }
}

/// Adds words, with runs of blanks as one blank and references resolved.
fn push_words(text: &mut String, words: &str) {
    let (mut rest, mut blank) = (words, false);
    while let Some(c) = rest.chars().next() {
        let (shown, length) = match c {
            '&' => reference(rest).unwrap_or((c, 1)),
            c => (c, c.len_utf8()),
        };
        rest = &rest[length..];
        if shown.is_whitespace() {
            blank = true;
            continue;
        }
        if std::mem::take(&mut blank) && !text.is_empty() && !text.ends_with(char::is_whitespace) {
            text.push(' ');
        }
        text.push(shown);
    }
    if blank && !text.is_empty() && !text.ends_with(char::is_whitespace) {
        text.push(' ');
    }
}

/// The character a reference at the beginning of `text` stands for, and its length in bytes.
fn reference(text: &str) -> Option<(char, usize)> {
    // The longest name that is known has four letters, the longest number seven digits.
    let end = text.bytes().take(12).position(|byte| byte == b';')?;
    let name = &text[1..end];
    let shown = match name {
        "nbsp" => ' ',
        name if name.starts_with('#') => {
            let number = &name[1..];
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)?
        }
        name => quick_xml::escape::resolve_xml_entity(name)?.chars().next()?,
    };
    Some((shown, end + 1))
}

fn end_line(text: &mut String) {
    let length = text.trim_end_matches([' ', '\t']).len();
    text.truncate(length);
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reader_sees_is_kept_and_what_a_browser_runs_is_not() {
        let page = text_of(
            "<html><head><title>The &amp; plan</title><style>p{}</style></head><body><h1>One</h1>\
             <p>two  <b>three</b>&nbsp;&#8364; 1 < 2</p><script>alert('<p>no</p>')</script><!-- nor > this -->four",
        );
        assert_eq!(page.title, "The & plan");
        assert_eq!(page.text, "One\ntwo three € 1 < 2\nfour");
    }

    #[test]
    fn a_page_nested_a_million_deep_costs_no_more_than_its_length() {
        let deep = "<div>".repeat(1_000_000) + "bottom";
        assert_eq!(text_of(&deep).text, "bottom");
        assert_eq!(text_of(&"<".repeat(200_000)).text.len(), 200_000);
        assert_eq!(text_of(&"<!--".repeat(200_000)).text, "");
        assert_eq!(text_of(&"<a".repeat(100_000)).text, "");
        assert_eq!(text_of(&"&".repeat(200_000)).text.len(), 200_000);
    }
}
