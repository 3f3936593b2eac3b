//! The command line about memos.

use clap::{Subcommand, ValueEnum};

use super::WorkspaceArg;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum MemoCommand {
    /// Write a memo by hand. Messages whose first line begins with `Decision:` or the like make one by themselves.
    Write {
        #[command(flatten)]
        workspace: WorkspaceArg,
        /// One line that says it all.
        title: String,
        /// One paragraph that says it again, with what one has to know.
        #[arg(long = "abstract", value_name = "TEXT")]
        summary: String,
        /// What kind of knowledge it is.
        #[arg(long, value_enum)]
        kind: KnowledgeArg,
        /// A point worth a line of its own; repeat for more.
        #[arg(long = "point", value_name = "TEXT")]
        points: Vec<String>,
        /// A tag; repeat for more.
        #[arg(long = "tag", value_name = "WORD")]
        tags: Vec<String>,
        /// A message it rests on, in one stream and its threads; repeat for more. Who can read them can read the memo.
        #[arg(long = "source", value_name = "MESSAGE_ID")]
        sources: Vec<String>,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(in crate::cli) enum KnowledgeArg {
    /// What was decided.
    Decision,
    /// What was found out.
    Learning,
    /// How something is done.
    Procedure,
    /// What has to be known to understand the rest.
    Context,
    /// Where something is.
    Reference,
}

impl KnowledgeArg {
    pub(in crate::cli) fn word(self) -> &'static str {
        match self {
            Self::Decision => "decision",
            Self::Learning => "learning",
            Self::Procedure => "procedure",
            Self::Context => "context",
            Self::Reference => "reference",
        }
    }
}
