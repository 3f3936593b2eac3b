//! Peer cards: what a peer says about itself (N-19, N-55, N-60, N-64, N-68, N-70).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::PROTOCOL;
use super::capability::{CapabilityBrief, CapabilityCatalog, EXT_BRIEFS, IdFilter};
use super::ids::PeerName;
use super::reading::{not_blank, optional_text, text_list};

/// Longest greet summary, in characters (N-55).
pub const MAX_GREET_SUMMARY_CHARS: usize = 160;
/// The capability that nobody may claim without a proof (N-72).
pub const CAPABILITY_TASK_WRITE: &str = "task.write";

/// A peer card as it travels. The four lists must be present, even when empty (N-19). Everything in it is a claim
/// that grants nothing (N-65).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerCard {
    /// Whose card it is; has to equal the envelope's `from` (N-17, N-18).
    pub peer_id: PeerName,
    /// The name to show.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Protocols and signing profiles spoken.
    #[serde(deserialize_with = "text_list")]
    pub profiles_supported: Vec<String>,
    /// Ids of capabilities; summaries travel in `ext` (N-68).
    #[serde(deserialize_with = "text_list")]
    pub capabilities: Vec<String>,
    /// Sorts of artifacts understood.
    #[serde(deserialize_with = "text_list")]
    pub artifacts_supported: Vec<String>,
    /// Outcomes of verification that are accepted.
    #[serde(deserialize_with = "text_list")]
    pub trust_modes_supported: Vec<String>,
    /// Opaque members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ext: Option<Map<String, Value>>,
}

impl PeerCard {
    /// The card of a peer of this node (N-64, with our own choices: it signs, and says so).
    pub fn local(peer: PeerName, display_name: Option<&str>, catalog: &CapabilityCatalog) -> Self {
        let mut card = Self {
            peer_id: peer,
            display_name: display_name.and_then(not_blank).map(str::to_owned),
            profiles_supported: vec![PROTOCOL.to_owned(), super::proof::PROFILE_MUSTER.to_owned()],
            capabilities: Vec::new(),
            artifacts_supported: vec!["capability".to_owned()],
            trust_modes_supported: vec!["verified".to_owned(), "unverified".to_owned()],
            ext: None,
        };
        card.set_briefs(&catalog.briefs());
        card
    }

    /// Ids with summaries, in card order; the summary is empty where only the id is known (N-68).
    pub fn briefs(&self) -> Vec<CapabilityBrief> {
        let known = self.ext.as_ref().and_then(|ext| ext.get(EXT_BRIEFS));
        let known =
            known.and_then(|briefs| Vec::<CapabilityBrief>::deserialize(briefs).ok()).unwrap_or_default();
        let mut summaries = std::collections::BTreeMap::new();
        for brief in known {
            summaries.entry(brief.id).or_insert(brief.summary);
        }
        let brief = |id: &String| CapabilityBrief {
            id: id.clone(),
            summary: summaries.get(id).cloned().unwrap_or_default(),
        };
        self.capabilities.iter().map(brief).collect()
    }

    /// The card as the HTTP API's `ext` shows it: without the briefs, which are merged into the list (N-68).
    pub fn public_ext(&self) -> Option<Map<String, Value>> {
        let mut ext = self.ext.clone()?;
        ext.remove(EXT_BRIEFS);
        Some(ext).filter(|ext| !ext.is_empty())
    }

    /// The card with only the capabilities a filter lets through (N-69).
    pub fn narrowed(&self, filter: &IdFilter) -> Self {
        let mut card = self.clone();
        let mut briefs = self.briefs();
        briefs.retain(|brief| filter.lets(&brief.id));
        card.set_briefs(&briefs);
        card
    }

    /// The name to show; the peer's own name when the card gives none (the last steps of N-60).
    pub fn shown_name(&self) -> &str {
        self.display_name.as_deref().and_then(not_blank).unwrap_or(self.peer_id.as_str())
    }

    /// True when a broadcast whois with this query is for the owner of the card (N-70): the query equals its id,
    /// name, or an item of one of its lists. A blank query is for everybody.
    pub fn matches(&self, query: Option<&str>) -> bool {
        let Some(query) = query.and_then(not_blank) else {
            return true;
        };
        let lists = [
            &self.profiles_supported,
            &self.capabilities,
            &self.artifacts_supported,
            &self.trust_modes_supported,
        ];
        self.peer_id.as_str() == query
            || self.display_name.as_deref().map(str::trim) == Some(query)
            || lists.iter().any(|list| list.iter().any(|item| item == query))
    }

    /// True when the card claims what may not be claimed without a proof (N-72).
    pub fn claims_task_write(&self) -> bool {
        self.capabilities.iter().any(|id| id == CAPABILITY_TASK_WRITE)
    }

    /// Sets ids and briefs together; without capabilities the list is empty and the ext member absent (N-68).
    fn set_briefs(&mut self, briefs: &[CapabilityBrief]) {
        self.capabilities = briefs.iter().map(|brief| brief.id.clone()).collect();
        let mut ext = self.ext.take().unwrap_or_default();
        if briefs.is_empty() {
            ext.remove(EXT_BRIEFS);
        } else {
            let list = serde_json::to_value(briefs).expect("pairs of strings always serialize");
            ext.insert(EXT_BRIEFS.to_owned(), list);
        }
        self.ext = Some(ext).filter(|ext| !ext.is_empty());
    }
}

/// The summary a greet is shown with (N-55): the given text, else what the card offers, else that the peer is there.
/// At most [`MAX_GREET_SUMMARY_CHARS`] characters.
pub fn greet_summary(card: &PeerCard, given: Option<&str>) -> String {
    let text = match given.and_then(not_blank) {
        Some(text) => text.to_owned(),
        None => made_up_summary(card),
    };
    text.chars().take(MAX_GREET_SUMMARY_CHARS).collect::<String>().trim_end().to_owned()
}

fn made_up_summary(card: &PeerCard) -> String {
    let name = card.shown_name();
    let briefs = card.briefs();
    let Some(first) = briefs.first() else {
        return format!("{name} is present");
    };
    let label = not_blank(&first.summary).unwrap_or(&first.id);
    match briefs.len() - 1 {
        0 => format!("{name} ready for {label}"),
        more => format!("{name} ready for {label} +{more} more"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::capability::Capability;
    use super::*;

    fn catalog(ids: &[&str]) -> CapabilityCatalog {
        let one =
            |id: &&str| Capability { id: (*id).into(), summary: format!("Do {id}"), ..Capability::default() };
        CapabilityCatalog { capabilities: ids.iter().map(one).collect() }
    }

    fn card(name: Option<&str>, ids: &[&str]) -> PeerCard {
        PeerCard::local(PeerName::parse("coder.sess-1").unwrap(), name, &catalog(ids))
    }

    #[test]
    fn a_card_needs_its_four_lists_and_drops_blank_items_n19() {
        let full = json!({
            "peer_id": "a.b", "display_name": " ", "profiles_supported": ["p", " "], "capabilities": [],
            "artifacts_supported": [], "trust_modes_supported": [], "more": true,
        });
        let read: PeerCard = serde_json::from_value(full.clone()).unwrap();
        assert_eq!(read.profiles_supported, ["p"]);
        assert_eq!(read.display_name, None);
        for list in ["profiles_supported", "capabilities", "artifacts_supported", "trust_modes_supported"] {
            let mut without = full.clone();
            without.as_object_mut().unwrap().remove(list);
            assert!(serde_json::from_value::<PeerCard>(without).is_err(), "{list} absent");
            let mut null = full.clone();
            null[list] = Value::Null;
            assert!(serde_json::from_value::<PeerCard>(null).is_err(), "{list} null");
        }
    }

    #[test]
    fn a_local_card_says_that_it_signs_n64() {
        let card = card(None, &["review", "fix"]);
        assert_eq!(card.profiles_supported, ["agh-network/v0", "muster.trust.ed25519-jcs/v1"]);
        assert_eq!(card.artifacts_supported, ["capability"]);
        assert_eq!(card.trust_modes_supported, ["verified", "unverified"]);
        assert_eq!(card.capabilities, ["review", "fix"]);
    }

    #[test]
    fn summaries_travel_beside_the_ids_and_are_merged_for_the_api_n68() {
        let with = card(None, &["review", "fix"]);
        assert_eq!(
            with.ext.as_ref().unwrap()[EXT_BRIEFS][0],
            json!({"id": "review", "summary": "Do review"})
        );
        assert_eq!(with.briefs()[1], CapabilityBrief { id: "fix".into(), summary: "Do fix".into() });
        assert_eq!(with.public_ext(), None);
        assert_eq!(card(None, &[]).ext, None);

        let bare = PeerCard { ext: None, ..with };
        assert_eq!(bare.briefs()[0].summary, "");
    }

    #[test]
    fn a_narrowed_card_keeps_only_what_was_asked_for_n69() {
        let filter = IdFilter::Only(["fix".to_owned()].into());
        let narrowed = card(None, &["review", "fix"]).narrowed(&filter);
        assert_eq!(narrowed.capabilities, ["fix"]);
        assert_eq!(narrowed.briefs().len(), 1);
        assert_eq!(card(None, &["review"]).narrowed(&filter).ext, None);
    }

    #[test]
    fn a_greet_is_summed_up_in_at_most_160_characters_n55() {
        assert_eq!(greet_summary(&card(None, &[]), Some(" Back again ")), "Back again");
        assert_eq!(greet_summary(&card(None, &[]), Some(" ")), "coder.sess-1 is present");
        assert_eq!(greet_summary(&card(Some("Ada"), &["review"]), None), "Ada ready for Do review");
        assert_eq!(greet_summary(&card(Some("Ada"), &["a", "b", "c"]), None), "Ada ready for Do a +2 more");
        assert_eq!(greet_summary(&card(None, &[]), Some(&"é".repeat(500))).chars().count(), 160);
    }

    #[test]
    fn a_broadcast_query_is_answered_by_whoever_it_fits_n70() {
        let card = card(Some("Ada"), &["review"]);
        for query in [
            None,
            Some(" "),
            Some("coder.sess-1"),
            Some("Ada"),
            Some("review"),
            Some("capability"),
            Some("verified"),
        ] {
            assert!(card.matches(query), "{query:?}");
        }
        assert!(card.matches(Some("agh-network/v0")));
        assert!(!card.matches(Some("ada")));
        assert!(!card.matches(Some("revie")));
    }
}
