//! What can go wrong on the command line, and how it is told.

use std::{io, path::PathBuf, process::ExitCode};

use serde::Deserialize;
use serde_json::json;

use super::output::{Output, plain};
use crate::{config::ConfigError, data_folder::FolderError};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The command line cannot be understood.
    #[error("{0}")]
    Usage(String),
    /// The settings are wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// No node holds the folder.
    #[error("no node is running with the data folder {}", .0.display())]
    NotRunning(PathBuf),
    /// A node holds the folder and does not answer.
    #[error("the node at {url} does not answer: {cause}")]
    Unreachable {
        /// Where it was asked.
        url: String,
        /// What happened instead.
        cause: String,
    },
    /// The node said no.
    #[error("{0}")]
    Refused(Problem),
    /// What answered does not speak as a node does.
    #[error("the answer of {url} is not that of a node: {why}; is another program listening there?")]
    Answer {
        /// Where it was asked.
        url: String,
        /// What is strange.
        why: String,
    },
    /// The workspace meant is not clear.
    #[error("{what}")]
    Workspace {
        /// What is unclear, and what there is.
        what: String,
        /// The command that mends it.
        command: String,
    },
    /// A backup is not put in place.
    #[error("{what}")]
    Restore {
        /// Why not.
        what: String,
        /// The command that mends it, if one does.
        command: Option<String>,
    },
    /// Standard output cannot be written to.
    #[error("cannot print: {0}")]
    Output(io::Error),
    /// The system gives no means to wait.
    #[error("cannot start: {0}")]
    Runtime(io::Error),
    /// A node that ran here failed.
    #[error("{0:#}")]
    Node(#[from] anyhow::Error),
}

/// What a node said when it refused: problem details of the Node door, or the error object of the Network
/// door.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// Stable code, when there is one.
    pub code: Option<String>,
    /// For people.
    pub text: String,
    /// The command that mends it.
    pub command: Option<String>,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// Both shapes in one: every field may be absent, for a proxy may have answered.
#[derive(Debug, Default, Deserialize)]
struct ProblemBody {
    title: Option<String>,
    detail: Option<String>,
    code: Option<String>,
    suggested_command: Option<String>,
    error: Option<String>,
    diagnostic: Option<Diagnostic>,
}

#[derive(Debug, Default, Deserialize)]
struct Diagnostic {
    code: Option<String>,
    suggested_command: Option<String>,
}

impl Problem {
    /// Reads the body of a failing answer.
    pub(super) fn read(status: u16, body: &[u8]) -> Self {
        let body: ProblemBody = serde_json::from_slice(body).unwrap_or_default();
        let diagnostic = body.diagnostic.unwrap_or_default();
        let text = match (body.title, body.detail) {
            (Some(title), Some(detail)) if title != detail => format!("{title}: {detail}"),
            (Some(text), _) | (_, Some(text)) => text,
            (None, None) => {
                body.error.unwrap_or_else(|| format!("the node answered {status} and gave no reason"))
            }
        };
        Self {
            status,
            code: body.code.or(diagnostic.code),
            text,
            command: body.suggested_command.or(diagnostic.suggested_command),
        }
    }
}

impl CliError {
    /// Tells it on standard error, and says how the process ends.
    pub(super) fn report(&self, output: Output) -> ExitCode {
        if matches!(self, CliError::Output(cause) if cause.kind() == io::ErrorKind::BrokenPipe) {
            return ExitCode::SUCCESS; // whoever read us has read enough, such as `head`
        }
        match output {
            Output::Human => {
                eprintln!("error: {}", plain(&self.to_string()));
                if let Some(command) = self.command() {
                    eprintln!("  try: {}", plain(&command));
                }
            }
            Output::Json => eprintln!("{}", self.to_json()),
        }
        ExitCode::from(self.exit_code())
    }

    fn to_json(&self) -> serde_json::Value {
        let mut object = json!({ "error": self.to_string(), "code": self.code() });
        if let CliError::Refused(problem) = self {
            object["status"] = problem.status.into();
        }
        if let Some(command) = self.command() {
            object["suggested_command"] = command.into();
        }
        object
    }

    fn exit_code(&self) -> u8 {
        match self {
            CliError::Usage(_) => 2,
            CliError::NotRunning(_) | CliError::Unreachable { .. } => 3,
            _ => 1,
        }
    }

    fn code(&self) -> &str {
        match self {
            CliError::Usage(_) => "usage",
            CliError::Config(_) => "settings",
            CliError::Folder(_) => "data_folder",
            CliError::NotRunning(_) => "node_not_running",
            CliError::Unreachable { .. } => "node_unreachable",
            CliError::Refused(problem) => problem.code.as_deref().unwrap_or("refused"),
            CliError::Answer { .. } => "not_a_node",
            CliError::Workspace { .. } => "workspace_unclear",
            CliError::Restore { .. } => "not_restored",
            CliError::Output(_) => "output",
            CliError::Runtime(_) | CliError::Node(_) => "failed",
        }
    }

    fn command(&self) -> Option<String> {
        match self {
            CliError::NotRunning(folder) => Some(format!("muster up --data '{}'", folder.display())),
            CliError::Refused(problem) => problem.command.clone(),
            CliError::Workspace { command, .. } => Some(command.clone()),
            CliError::Restore { command, .. } => command.clone(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_shapes_of_errors_are_read() {
        let node =
            br#"{"title":"Not found","status":404,"code":"no_such_workspace","detail":"No workspace ws_1.",
                        "suggested_command":"muster workspace list"}"#;
        let problem = Problem::read(404, node);
        assert_eq!(problem.text, "Not found: No workspace ws_1.");
        assert_eq!(problem.code.as_deref(), Some("no_such_workspace"));
        assert_eq!(problem.command.as_deref(), Some("muster workspace list"));

        let network = br#"{"error":"unknown session","diagnostic":{"code":"session_unknown"}}"#;
        let problem = Problem::read(404, network);
        assert_eq!(
            (problem.text.as_str(), problem.code.as_deref()),
            ("unknown session", Some("session_unknown"))
        );

        assert!(Problem::read(502, b"<html>").text.contains("502"));
    }

    #[test]
    fn a_node_that_does_not_run_is_exit_code_three_and_names_the_command_that_starts_it() {
        let error = CliError::NotRunning("/data/ada".into());
        assert_eq!(error.exit_code(), 3);
        assert_eq!(error.to_json()["suggested_command"], "muster up --data '/data/ada'");
    }
}
