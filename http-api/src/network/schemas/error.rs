//! Failures (N-129 to N-132).

use serde::Serialize;
use utoipa::ToSchema;

use super::Extensions;
use crate::network::diagnostics::Entry;

/// Every failing response has this shape.
#[derive(Debug, Serialize, ToSchema)]
pub struct Error {
    /// Sentence for a person.
    pub error: String,
    /// The same for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diagnostic: Option<Diagnostic>,
}

/// Machine-readable companion of an error.
#[derive(Debug, Serialize, ToSchema)]
pub struct Diagnostic {
    /// Stable name of the place that raised it.
    pub id: &'static str,
    /// Registered code.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub category: Category,
    /// It in a few words.
    pub title: &'static str,
    /// This case of it.
    pub message: String,
    /// Command that would help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggested_command: Option<&'static str>,
    /// Where to read more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doc_url: Option<&'static str>,
    /// Whether the facts were taken now.
    pub data_freshness: DataFreshness,
    /// Facts behind the diagnosis, redacted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub evidence: Option<Extensions>,
}

impl Diagnostic {
    /// A case of an entry of the table.
    pub(crate) fn of(entry: &'static Entry, message: String) -> Self {
        Self {
            id: entry.id,
            code: entry.code,
            severity: entry.severity,
            category: Category::Network,
            title: entry.title,
            message,
            suggested_command: entry.suggested_command,
            doc_url: None,
            data_freshness: DataFreshness::Live,
            evidence: None,
        }
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words of the contract")]
pub enum Severity {
    Ok,
    Info,
    Warn,
    Error,
    Critical,
}

/// What a diagnostic is about. This door has one category.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words of the contract")]
pub enum Category {
    Network,
}

/// Whether the facts were taken now, without a running node, or may be outdated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words of the contract")]
pub enum DataFreshness {
    Live,
    Offline,
    Stale,
}
