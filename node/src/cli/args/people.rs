//! The command line about people, bots, keys and streams.

use clap::{Subcommand, ValueEnum};

use super::WorkspaceArg;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum UserCommand {
    /// Add a person whose home is this node.
    Add {
        #[command(flatten)]
        workspace: WorkspaceArg,
        /// Their name.
        name: String,
        /// Their e-mail address.
        #[arg(long)]
        email: String,
        /// The name they are mentioned by; made of the name when left out.
        #[arg(long)]
        slug: Option<String>,
        /// What they are in the workspace.
        #[arg(long, value_enum, default_value_t = PersonRole::Member)]
        role: PersonRole,
    },
    /// The people of a workspace.
    List(WorkspaceArg),
    /// End the membership of a person of this node; their keys stop at once.
    End {
        #[command(flatten)]
        workspace: WorkspaceArg,
        /// Their id, as `muster user list` shows it.
        user_id: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(in crate::cli) enum PersonRole {
    /// Whose workspace it is.
    Owner,
    /// Who looks after it.
    Admin,
    /// Everybody else.
    Member,
}

impl PersonRole {
    pub(in crate::cli) fn word(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Member => "member",
        }
    }
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum BotCommand {
    /// Register a bot whose home is this node.
    Add {
        #[command(flatten)]
        workspace: WorkspaceArg,
        /// Its name.
        name: String,
        /// The name it is mentioned by; made of the name when left out.
        #[arg(long)]
        slug: Option<String>,
        /// What it is for.
        #[arg(long)]
        description: Option<String>,
        /// The person it belongs to; everybody's when left out.
        #[arg(long, value_name = "USER_ID")]
        owner: Option<String>,
        /// mentionable or active-scratchpad; repeat for both.
        #[arg(long = "trait", value_name = "TRAIT", default_value = "mentionable")]
        traits: Vec<String>,
    },
    /// The bots of a workspace.
    List(WorkspaceArg),
    /// Archive a bot of this node; its pending work is cancelled.
    Archive {
        #[command(flatten)]
        workspace: WorkspaceArg,
        /// Its id, as `muster bot list` shows it.
        bot_id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum KeyCommand {
    /// Make a key of the Workspace door for a person or a bot of this node. It is shown once.
    Create {
        #[command(flatten)]
        workspace: WorkspaceArg,
        /// Whom it speaks for: `usr_…` or `bot_…`.
        principal: String,
        /// What it may do; repeat for more, or separate with commas.
        #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',', required = true)]
        scopes: Vec<String>,
        /// Until when, such as 2027-01-31T12:00:00Z; for good when left out.
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
    },
    /// Revoke a key: the next request with it is refused.
    Revoke {
        #[command(flatten)]
        workspace: WorkspaceArg,
        /// Its id, as `muster key create` printed it.
        key_id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum StreamCommand {
    /// Open a channel, a scratchpad, a stream of two people, or the thread below a message.
    Open {
        #[command(flatten)]
        workspace: WorkspaceArg,
        /// What kind.
        #[arg(value_enum)]
        kind: StreamKind,
        /// Of a channel.
        #[arg(long)]
        slug: Option<String>,
        /// What it is called.
        #[arg(long)]
        name: Option<String>,
        /// What it is for.
        #[arg(long)]
        description: Option<String>,
        /// Only those who take part read it.
        #[arg(long)]
        private: bool,
        /// The message a thread hangs from.
        #[arg(long, value_name = "MESSAGE_ID")]
        below: Option<String>,
        /// Who takes part: `usr_…` or `bot_…`; repeat for more.
        #[arg(long = "member", value_name = "ID")]
        members: Vec<String>,
    },
    /// Archive a stream; it can be read, not written.
    Archive(StreamArg),
    /// Open an archived stream again.
    Unarchive(StreamArg),
    /// Let a person or a bot take part.
    Add {
        #[command(flatten)]
        stream: StreamArg,
        /// `usr_…` or `bot_…`.
        member_id: String,
    },
    /// End a person's or a bot's part.
    Remove {
        #[command(flatten)]
        stream: StreamArg,
        /// `usr_…` or `bot_…`.
        member_id: String,
    },
}

/// Which stream a command is about.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct StreamArg {
    #[command(flatten)]
    pub(in crate::cli) workspace: WorkspaceArg,
    /// `stream_…`.
    pub(in crate::cli) stream_id: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(in crate::cli) enum StreamKind {
    /// Named; public unless private.
    Channel,
    /// One person's working stream.
    Scratchpad,
    /// Two people alone.
    Dm,
    /// Below a message.
    Thread,
}

impl StreamKind {
    pub(in crate::cli) fn word(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::Scratchpad => "scratchpad",
            Self::Dm => "dm",
            Self::Thread => "thread",
        }
    }
}
