//! Capability documents, their digests, and catalogs of them (N-21, N-66 to N-69, N-71).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::reading::{not_blank, optional_text, optional_text_list, trimmed};

/// Asks a whois request for more than ids: a list of wanted parts (N-69).
pub const EXT_INCLUDE: &str = "agh.include";
/// The part of [`EXT_INCLUDE`] that means full documents (N-69).
pub const INCLUDE_CATALOG: &str = "capability_catalog";
/// Narrows a rich request to some ids (N-69).
pub const EXT_IDS: &str = "agh.capability_ids";
/// Where a whois response carries full documents (N-69).
pub const EXT_CATALOG: &str = "agh.capability_catalog";
/// Where a card carries summaries (N-68).
pub const EXT_BRIEFS: &str = "agh.capabilities_brief";

/// One capability document. Unknown members are ignored; strings are trimmed and blank list items dropped when it is
/// read, except in `requirements`, where a blank item is a mistake to report (N-21).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capability {
    /// Its name, unique in a catalog.
    #[serde(default, deserialize_with = "trimmed")]
    pub id: String,
    /// What it is, in a line.
    #[serde(default, deserialize_with = "trimmed")]
    pub summary: String,
    /// What one has afterwards.
    #[serde(default, deserialize_with = "trimmed")]
    pub outcome: String,
    /// The author's version.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// [`Capability::compute_digest`], as far as somebody filled it in.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// What has to be given along.
    #[serde(default, deserialize_with = "optional_text_list", skip_serializing_if = "Vec::is_empty")]
    pub context_needed: Vec<String>,
    /// What comes back.
    #[serde(default, deserialize_with = "optional_text_list", skip_serializing_if = "Vec::is_empty")]
    pub artifacts_expected: Vec<String>,
    /// The steps.
    #[serde(default, deserialize_with = "optional_text_list", skip_serializing_if = "Vec::is_empty")]
    pub execution_outline: Vec<String>,
    /// What it will not do.
    #[serde(default, deserialize_with = "optional_text_list", skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<String>,
    /// How it is used.
    #[serde(default, deserialize_with = "optional_text_list", skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
    /// What it needs to run.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub requirements: Vec<String>,
}

/// Why a capability document cannot be handed over (N-21).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CapabilityError {
    /// A required member is absent or blank.
    #[error("`capability.{0}` is missing")]
    Missing(&'static str),
    /// A requirement is blank.
    #[error("`capability.requirements` holds a blank item; leave it out")]
    BlankRequirement,
    /// A requirement stands twice.
    #[error("`capability.requirements` names something twice; name it once")]
    RepeatedRequirement,
    /// The digest belongs to another document.
    #[error("`capability.digest` does not match the document; it should be {expected}")]
    DigestMismatch {
        /// The digest of the document as received.
        expected: String,
    },
}

impl Capability {
    /// The digest of N-66: `sha256:` and 64 hex digits over the canonical document. The `digest` member itself does
    /// not take part.
    pub fn compute_digest(&self) -> String {
        let hash = Sha256::digest(self.canonical_json().as_bytes());
        format!("sha256:{}", data_encoding::HEXLOWER.encode(&hash))
    }

    /// The document as a node lists it: with the digest the node computed, whatever the author wrote (N-66).
    pub fn with_own_digest(mut self) -> Self {
        self.digest = Some(self.compute_digest());
        self
    }

    /// Checks a document that is being handed over (N-21).
    ///
    /// # Errors
    /// [`CapabilityError`] names the first thing wrong, the digest last.
    pub fn check(&self) -> Result<(), CapabilityError> {
        let digest = self.digest.as_deref().and_then(not_blank);
        let required = [
            ("id", not_blank(&self.id)),
            ("summary", not_blank(&self.summary)),
            ("outcome", not_blank(&self.outcome)),
            ("digest", digest),
        ];
        if let Some((member, _)) = required.iter().find(|(_, value)| value.is_none()) {
            return Err(CapabilityError::Missing(member));
        }
        let mut seen = BTreeSet::new();
        for requirement in &self.requirements {
            let requirement = not_blank(requirement).ok_or(CapabilityError::BlankRequirement)?;
            if !seen.insert(requirement) {
                return Err(CapabilityError::RepeatedRequirement);
            }
        }
        let expected = self.compute_digest();
        match digest {
            Some(digest) if digest == expected => Ok(()),
            _ => Err(CapabilityError::DigestMismatch { expected }),
        }
    }

    /// Compact JSON in the member order of N-66, with the five characters escaped that Go's encoder escapes.
    fn canonical_json(&self) -> String {
        let mut requirements = kept(&self.requirements);
        requirements.sort_unstable();
        let document = Canonical {
            id: self.id.trim(),
            summary: self.summary.trim(),
            outcome: self.outcome.trim(),
            version: self.version.as_deref().and_then(not_blank),
            context_needed: kept(&self.context_needed),
            artifacts_expected: kept(&self.artifacts_expected),
            execution_outline: kept(&self.execution_outline),
            constraints: kept(&self.constraints),
            examples: kept(&self.examples),
            requirements,
        };
        let json = serde_json::to_string(&document).expect("strings and lists of strings always serialize");
        escape_as_go_does(&json)
    }
}

/// The hashed form of a document; the order of its fields is the order of N-66.
#[derive(Serialize)]
struct Canonical<'a> {
    id: &'a str,
    summary: &'a str,
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    context_needed: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    artifacts_expected: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    execution_outline: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    constraints: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    examples: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    requirements: Vec<&'a str>,
}

fn kept(items: &[String]) -> Vec<&str> {
    items.iter().filter_map(|item| not_blank(item)).collect()
}

fn escape_as_go_does(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            // These five can only stand inside strings, so escaping them in the whole document is the same.
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            other => out.push(other),
        }
    }
    out
}

fn null_is_empty<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

/// Id and summary of a capability: what a peer list shows (N-68).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CapabilityBrief {
    /// The capability's id.
    #[serde(default, deserialize_with = "trimmed")]
    pub id: String,
    /// Its summary; empty when only the id is known.
    #[serde(default, deserialize_with = "trimmed")]
    pub summary: String,
}

/// The capabilities of one peer, in the order it lists them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapabilityCatalog {
    /// The documents.
    pub capabilities: Vec<Capability>,
}

impl CapabilityCatalog {
    /// The ids, in catalog order.
    pub fn ids(&self) -> Vec<String> {
        self.capabilities.iter().map(|capability| capability.id.clone()).collect()
    }

    /// Ids and summaries, in catalog order (N-68).
    pub fn briefs(&self) -> Vec<CapabilityBrief> {
        let brief = |capability: &Capability| CapabilityBrief {
            id: capability.id.clone(),
            summary: capability.summary.clone(),
        };
        self.capabilities.iter().map(brief).collect()
    }

    /// What a filter leaves, in catalog order (N-69).
    pub fn narrowed(&self, filter: &IdFilter) -> Self {
        let kept = self.capabilities.iter().filter(|capability| filter.lets(&capability.id));
        Self { capabilities: kept.cloned().collect() }
    }

    /// True when the catalog holds exactly the ids of a card, in any order; only then is it kept (N-71).
    pub fn fits_card_ids(&self, card_ids: &[String]) -> bool {
        let mut own = self.ids();
        let mut card = card_ids.to_vec();
        own.sort_unstable();
        card.sort_unstable();
        own == card
    }

    /// Reads the catalog of a whois response (N-69); `None` when there is none or it cannot be read.
    pub fn of_response(ext: Option<&Map<String, Value>>) -> Option<Self> {
        Self::deserialize(ext?.get(EXT_CATALOG)?).ok()
    }

    /// Puts the catalog where a whois response carries it (N-69).
    pub fn write_into(&self, ext: &mut Map<String, Value>) {
        let catalog = serde_json::to_value(self).expect("strings and lists of strings always serialize");
        ext.insert(EXT_CATALOG.to_owned(), catalog);
    }
}

/// Which capabilities a rich request wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdFilter {
    /// The member is absent: all of them.
    All,
    /// The member is there: exactly these, which may be none.
    Only(BTreeSet<String>),
}

impl IdFilter {
    /// Reads `agh.capability_ids` (N-69). Present but empty, unreadable or only blanks means none.
    pub fn of_request(ext: Option<&Map<String, Value>>) -> Self {
        let Some(value) = ext.and_then(|ext| ext.get(EXT_IDS)) else {
            return Self::All;
        };
        let ids = Vec::<String>::deserialize(value).unwrap_or_default();
        Self::Only(kept(&ids).into_iter().map(str::to_owned).collect())
    }

    /// True when a capability passes.
    pub fn lets(&self, id: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(ids) => ids.contains(id),
        }
    }
}

/// True when a whois request asks for full documents (N-69).
pub fn wants_catalog(ext: Option<&Map<String, Value>>) -> bool {
    let parts = ext.and_then(|ext| ext.get(EXT_INCLUDE)).and_then(Value::as_array);
    parts.is_some_and(|parts| parts.iter().any(|part| part.as_str().map(str::trim) == Some(INCLUDE_CATALOG)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn capability(document: Value) -> Capability {
        serde_json::from_value(document).unwrap()
    }

    #[test]
    fn digests_match_the_vectors_n67() {
        let vectors = [
            (
                json!({"id": "a", "summary": "b", "outcome": "c"}),
                "b809f5fa5b3dad8297c249055ae9d8fa8de86e71ad676db4c418cced1ade2bfd",
            ),
            (
                json!({
                    "id": "review-fix", "summary": "Review Fix Flow", "outcome": "A reusable review fix workflow.",
                    "version": "1.0.0", "execution_outline": ["Inspect the issue", "Draft the fix"],
                    "requirements": ["workspace-write"],
                }),
                "edb42ce4ca23d905aeeba399001ca6d23420610775ba41ef66e90f47f14dba0d",
            ),
            (
                json!({"id": "esc", "summary": "a < b & c", "outcome": "x > y"}),
                "8f104db1c081c19b0819850300e9003d007326ec8a8a29123b0503018408d44c",
            ),
            (
                json!({"id": "sorted", "summary": "s", "outcome": "o", "requirements": ["beta", "alpha"]}),
                "7e0567cb65e68001ac25322bfad8644f0cfd6e558f5cce20ee2434a100bd6ee3",
            ),
            (
                json!({"id": "uni", "summary": "résumé ✓", "outcome": "línea"}),
                "23527d39ce7448b7178710aa124963f5e40759202a08203e91a9768cb7defc2a",
            ),
        ];
        for (document, digest) in vectors {
            assert_eq!(capability(document).compute_digest(), format!("sha256:{digest}"));
        }
    }

    #[test]
    fn blanks_and_order_of_requirements_do_not_change_a_digest_n66() {
        let plain =
            capability(json!({"id": "a", "summary": "b", "outcome": "c", "requirements": ["x", "y"]}));
        let untidy = capability(json!({
            "id": " a ", "summary": "b\n", "outcome": "c", "version": " ", "examples": ["", " "],
            "constraints": null, "requirements": ["y ", " x"], "digest": "sha256:whatever", "unknown": 1,
        }));
        assert_eq!(plain.compute_digest(), untidy.compute_digest());
    }

    #[test]
    fn other_lists_keep_their_order_in_the_digest_n66() {
        let one = capability(json!({"id": "a", "summary": "b", "outcome": "c", "examples": ["x", "y"]}));
        let other = capability(json!({"id": "a", "summary": "b", "outcome": "c", "examples": ["y", "x"]}));
        assert_ne!(one.compute_digest(), other.compute_digest());
    }

    #[test]
    fn line_separators_are_escaped_in_the_hashed_form_n66() {
        let document = capability(json!({"id": "a", "summary": "x\u{2028}\u{2029}y", "outcome": "c"}));
        assert_eq!(document.canonical_json(), r#"{"id":"a","summary":"x\u2028\u2029y","outcome":"c"}"#);
    }

    #[test]
    fn a_document_handed_over_is_complete_and_honest_n21() {
        let good = capability(json!({"id": "a", "summary": "b", "outcome": "c"})).with_own_digest();
        assert_eq!(good.check(), Ok(()));

        let missing = Capability { outcome: " ".into(), ..good.clone() };
        assert_eq!(missing.check(), Err(CapabilityError::Missing("outcome")));
        let undigested = Capability { digest: None, ..good.clone() };
        assert_eq!(undigested.check(), Err(CapabilityError::Missing("digest")));
        let blank = Capability { requirements: vec![" ".into()], ..good.clone() };
        assert_eq!(blank.check(), Err(CapabilityError::BlankRequirement));
        let twice = Capability { requirements: vec!["x".into(), " x".into()], ..good.clone() };
        assert_eq!(twice.check(), Err(CapabilityError::RepeatedRequirement));
        let changed = Capability { summary: "other".into(), ..good };
        assert!(matches!(changed.check(), Err(CapabilityError::DigestMismatch { .. })));
    }

    fn catalog() -> CapabilityCatalog {
        let one = |id: &str| Capability { id: id.into(), summary: format!("{id}!"), ..Capability::default() };
        CapabilityCatalog { capabilities: vec![one("z"), one("a"), one("m")] }
    }

    fn ext(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_filter_keeps_catalog_order_n69() {
        let filter = IdFilter::of_request(Some(&ext(json!({EXT_IDS: ["m", " z ", "unknown"]}))));
        assert_eq!(catalog().narrowed(&filter).ids(), ["z", "m"]);
    }

    #[test]
    fn an_absent_filter_means_all_and_an_empty_one_none_n69() {
        assert_eq!(catalog().narrowed(&IdFilter::of_request(None)), catalog());
        assert_eq!(catalog().narrowed(&IdFilter::of_request(Some(&ext(json!({}))))), catalog());
        for empty in [json!([]), json!([" "]), json!("z"), json!(null), json!([1])] {
            let filter = IdFilter::of_request(Some(&ext(json!({EXT_IDS: empty}))));
            assert!(catalog().narrowed(&filter).capabilities.is_empty());
        }
    }

    #[test]
    fn a_rich_request_says_so_n69() {
        assert!(wants_catalog(Some(&ext(json!({EXT_INCLUDE: ["x", "capability_catalog"]})))));
        assert!(!wants_catalog(Some(&ext(json!({EXT_INCLUDE: "capability_catalog"})))));
        assert!(!wants_catalog(None));
    }

    #[test]
    fn a_catalog_travels_in_the_response_and_fits_its_card_n69_n71() {
        let mut ext = Map::new();
        catalog().write_into(&mut ext);
        let back = CapabilityCatalog::of_response(Some(&ext)).unwrap();
        assert_eq!(back, catalog());
        assert!(back.fits_card_ids(&["a".into(), "m".into(), "z".into()]));
        assert!(!back.fits_card_ids(&["a".into(), "m".into()]));
        assert!(!back.fits_card_ids(&["a".into(), "m".into(), "z".into(), "z".into()]));
    }
}
