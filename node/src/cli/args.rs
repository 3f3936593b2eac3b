//! The command line: what can be written, and the help beside it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::{output::Output, span};

mod memos;
mod people;

pub(super) use memos::MemoCommand;
pub(super) use people::{BotCommand, KeyCommand, StreamArg, StreamCommand, UserCommand};

/// A node on which people and agents work together, and that meets other nodes directly.
#[derive(Debug, Parser)]
#[command(name = "muster", version, propagate_version = true)]
pub(super) struct Cli {
    /// How to print: for people, or one JSON value.
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Human, value_name = "FORM")]
    pub output: Output,
    /// The node's folder [default: ~/.local/share/muster].
    #[arg(long, global = true, env = "MUSTER_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The settings file [default: muster.toml in the node's folder].
    #[arg(long, global = true, env = "MUSTER_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the node until it is told to stop (Ctrl-C or SIGTERM).
    Up(UpArgs),
    /// See what Muster does: several nodes at work on this machine, in temporary folders.
    Demo(DemoArgs),
    #[command(flatten)]
    Ask(Ask),
    /// Put a backup in place of the store of a data folder in which no node runs.
    Restore(RestoreArgs),
    /// What the code of a failure means, and what to do about it.
    Explain {
        /// The code, such as network_session_unknown or ticket_not_valid.
        code: String,
    },
    /// Print the OpenAPI document of one of the HTTP doors.
    Openapi {
        /// Which door: network, node, …
        door: String,
        /// YAML instead of JSON.
        #[arg(long)]
        yaml: bool,
    },
    /// The settings in force.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Read a file from standard input as an attachment, without being able to do anything else. The node starts
    /// itself with this for files it does not trust.
    #[command(hide = true)]
    Extract {
        /// docx, xlsx, pptx, odt or pdf.
        format: String,
    },
    /// Print the completion script of a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// Commands that ask the running node.
#[derive(Debug, Subcommand)]
pub(super) enum Ask {
    /// Who the running node is and how it fares.
    Status,
    /// Found workspaces, or list them.
    #[command(subcommand)]
    Workspace(WorkspaceCommand),
    /// Make a ticket with which another node joins a workspace.
    Invite(InviteArgs),
    /// Join the workspace a ticket opens.
    Join {
        /// What `muster invite` printed on the other node.
        ticket: String,
    },
    /// List the nodes of a workspace, or remove one.
    Member(MemberArgs),
    /// The people of a workspace.
    #[command(subcommand)]
    User(UserCommand),
    /// The bots of a workspace.
    #[command(subcommand)]
    Bot(BotCommand),
    /// Keys of the Workspace door.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Streams of the Workspace door: open and archive them, and who takes part.
    #[command(subcommand)]
    Stream(StreamCommand),
    /// Memos: what is worth keeping of what was said.
    #[command(subcommand)]
    Memo(MemoCommand),
    /// Make agents known by name.
    Agent(AgentArgs),
    /// Start, stop and list sessions of agents in channels.
    Session(SessionArgs),
    /// Say something as a session.
    Send(SendArgs),
    /// Public threads of a channel: list them, or read one.
    #[command(subcommand)]
    Thread(ThreadCommand),
    /// Direct rooms of a channel: list them, or read one.
    #[command(subcommand)]
    Room(RoomCommand),
    /// How a piece of work stands, and reporting about it.
    #[command(subcommand)]
    Work(WorkCommand),
    /// Follow what happens, one line each.
    Tail(TailArgs),
    /// Look at what waits for a session; nothing is taken away.
    Inbox(InboxArgs),
    /// Copy the store of the running node, consistent and read back.
    Backup {
        /// The file to write. A path on the node's machine.
        path: PathBuf,
    },
}

/// `muster restore`.
#[derive(Debug, Clone, Args)]
pub(super) struct RestoreArgs {
    /// What `muster backup` wrote.
    pub file: PathBuf,
    /// Only look at it, and say what restoring would do.
    #[arg(long)]
    pub dry_run: bool,
}

/// `muster up`.
#[derive(Debug, Clone, Default, Args)]
pub struct UpArgs {
    /// Settings given as flags.
    #[command(flatten)]
    pub settings: SettingArgs,
}

/// `muster demo`.
#[derive(Debug, Clone, Default, Args)]
pub struct DemoArgs {
    /// Play it through once and exit, instead of staying up for a look around.
    #[arg(long)]
    pub once: bool,
}

/// Flags that are settings.
#[derive(Debug, Clone, Default, Args)]
pub struct SettingArgs {
    /// Where the HTTP doors listen (http.listen).
    #[arg(long, value_name = "HOST:PORT")]
    pub http: Option<String>,
    /// Where other nodes reach this one (mesh.listen); repeat for more.
    #[arg(long, value_name = "MULTIADDR")]
    pub listen: Vec<String>,
    /// Do not look for nodes on the local network (mesh.mdns).
    #[arg(long)]
    pub no_mdns: bool,
    /// Also carry traffic between nodes that cannot reach each other (mesh.relay).
    #[arg(long)]
    pub relay: bool,
    /// What this node calls itself (node.name).
    #[arg(long)]
    pub name: Option<String>,
    /// Any setting; see `muster config show`. Repeat for more.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub set: Vec<(String, String)>,
}

impl SettingArgs {
    /// The same as `key=value`, the general form first, so that the special flag wins.
    pub fn pairs(&self) -> Vec<(String, String)> {
        let mut pairs = self.set.clone();
        let mut push = |key: &str, value: &str| pairs.push((key.to_owned(), value.to_owned()));
        self.http.iter().for_each(|address| push("http.listen", address));
        self.listen.iter().for_each(|address| push("mesh.listen", address));
        self.name.iter().for_each(|name| push("node.name", name));
        if self.no_mdns {
            push("mesh.mdns", "false");
        }
        if self.relay {
            push("mesh.relay", "true");
        }
        pairs
    }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').map(|(key, value)| (key.trim().to_owned(), value.to_owned()));
    pair.ok_or_else(|| "write key=value, such as network.queue_depth=50".to_owned())
}

#[derive(Debug, Subcommand)]
pub(super) enum WorkspaceCommand {
    /// Found a workspace; this node becomes its home and its owner.
    Create {
        /// What people call it.
        name: String,
    },
    /// The workspaces this node is a member of.
    List,
    /// Let this node, a workspace's home that was restored from a copy, decide again although it has not heard from
    /// every member. Only when nobody was let in or removed since the copy was made: who was is forgotten.
    Settle(WorkspaceArg),
    /// Let another node decide about members, roles and invites from now on. Only the owner may, and only to an
    /// admin's node that is up.
    MoveHome {
        #[command(flatten)]
        workspace: WorkspaceArg,
        /// Its peer id, as `muster member list` shows it.
        peer_id: String,
    },
}

/// Which workspace a command is about.
#[derive(Debug, Clone, Args)]
pub(super) struct WorkspaceArg {
    /// Id or name of the workspace; may be left out when there is only one.
    #[arg(short, long)]
    pub workspace: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct InviteArgs {
    #[command(flatten)]
    pub workspace: WorkspaceArg,
    /// What the node that joins may do.
    #[arg(long, value_enum, default_value_t = Role::Member)]
    pub role: Role,
    /// How long the ticket is good: a number and s, m, h or d.
    #[arg(long, value_parser = span::parse, default_value = "24h", value_name = "SPAN")]
    pub expires: u64,
    /// How many nodes may join with it.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    pub uses: u32,
    /// Take this ticket back instead of making one.
    #[arg(long, value_name = "INVITE_ID", conflicts_with_all = ["role", "expires", "uses"])]
    pub revoke: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Role {
    /// May invite and remove.
    Admin,
    /// May read and write.
    Member,
    /// May read.
    Guest,
}

impl Role {
    pub(super) fn word(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::Member => "member",
            Role::Guest => "guest",
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct MemberArgs {
    #[command(subcommand)]
    pub command: MemberCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum MemberCommand {
    /// The nodes of the workspace.
    List(WorkspaceArg),
    /// Remove a node: nothing it writes from now on is accepted by the others.
    Remove {
        #[command(flatten)]
        workspace: WorkspaceArg,
        /// Its peer id, as `muster member list` shows it.
        peer_id: String,
    },
    /// Set what a node may do.
    Role {
        #[command(flatten)]
        workspace: WorkspaceArg,
        /// Its peer id, as `muster member list` shows it.
        peer_id: String,
        /// What it may do from now on.
        #[arg(value_enum)]
        role: Role,
    },
}

#[derive(Debug, Args)]
pub(super) struct AgentArgs {
    #[command(subcommand)]
    pub command: AgentCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum AgentCommand {
    /// Register an agent, so that channels can start sessions of it.
    Register {
        #[command(flatten)]
        workspace: WorkspaceArg,
        /// a-z, 0-9, dot, underscore and dash; at most 64.
        name: String,
        /// What runs it: a [providers.NAME] of muster.toml; with none, its inbox waits for whoever reads it.
        #[arg(long, default_value = "none")]
        provider: String,
        /// Something it can do; repeat for more. The outcome is the summary when left out.
        #[arg(long, value_name = "ID=SUMMARY[|OUTCOME]", value_parser = capability)]
        capability: Vec<Capability>,
    },
}

/// What an agent says it can do.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(super) struct Capability {
    id: String,
    summary: String,
    outcome: String,
}

fn capability(text: &str) -> Result<Capability, String> {
    let (id, rest) = text.split_once('=').unwrap_or((text, ""));
    let (summary, outcome) = rest.split_once('|').unwrap_or((rest, rest));
    if [id, summary, outcome].iter().any(|part| part.trim().is_empty()) {
        return Err(
            "write ID=SUMMARY|OUTCOME, such as 'review=Reviews a patch|A list of findings'".to_owned()
        );
    }
    let [id, summary, outcome] = [id, summary, outcome].map(|part| part.trim().to_owned());
    Ok(Capability { id, summary, outcome })
}

#[derive(Debug, Args)]
pub(super) struct SessionArgs {
    #[command(subcommand)]
    pub command: SessionCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum SessionCommand {
    /// Start a session of an agent in a channel.
    Start {
        #[command(flatten)]
        workspace: WorkspaceArg,
        /// Its registered name.
        agent: String,
        /// The channel it takes part in.
        channel: String,
    },
    /// Stop a session; its peer leaves the channel.
    Stop {
        #[command(flatten)]
        workspace: WorkspaceArg,
        /// Its id, as `muster session list` shows it.
        session: String,
    },
    /// The sessions of this node.
    List(WorkspaceArg),
}

#[derive(Debug, Args)]
pub(super) struct SendArgs {
    #[command(flatten)]
    pub workspace: WorkspaceArg,
    /// Who speaks: a session of this node.
    #[arg(short, long)]
    pub session: String,
    /// In which channel.
    #[arg(short, long)]
    pub channel: String,
    /// In which thread; a new one when left out.
    #[arg(short, long)]
    pub thread: Option<String>,
    /// Whom it is for: a peer of the channel.
    #[arg(long, value_name = "PEER")]
    pub to: Option<String>,
    /// In the direct room with that peer, instead of a public thread.
    #[arg(long, requires = "to", conflicts_with = "thread")]
    pub direct: bool,
    /// Ask for this piece of work with it, under an id of your own, or speak about it.
    #[arg(long, value_name = "WORK_ID", requires = "to")]
    pub work: Option<String>,
    /// An id of your own: sending again under the same id is no second message.
    #[arg(long)]
    pub id: Option<String>,
    /// What to say.
    pub text: String,
}

/// Which channel a command is about.
#[derive(Debug, Clone, Args)]
pub(super) struct ChannelArg {
    #[command(flatten)]
    pub workspace: WorkspaceArg,
    /// The channel.
    #[arg(short, long)]
    pub channel: String,
}

/// Which part of a list to show.
#[derive(Debug, Clone, Args)]
pub(super) struct PageArgs {
    /// Begin behind the item with this id.
    #[arg(long, value_name = "ID")]
    pub after: Option<String>,
    /// How many at most; the node gives no more than 500 at once.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    pub limit: u32,
}

/// Which messages of a conversation to show.
#[derive(Debug, Args)]
pub(super) struct ReadArgs {
    #[command(flatten)]
    pub channel: ChannelArg,
    /// Its id, as `list` shows it.
    pub id: String,
    /// The messages just before the one with this id.
    #[arg(long, value_name = "ID", conflicts_with = "after")]
    pub before: Option<String>,
    #[command(flatten)]
    pub page: PageArgs,
    /// Only messages about this work.
    #[arg(long, value_name = "WORK_ID")]
    pub work: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum ThreadCommand {
    /// The threads of a channel, the liveliest first.
    List {
        #[command(flatten)]
        channel: ChannelArg,
        #[command(flatten)]
        page: PageArgs,
    },
    /// What was said in a thread, oldest first.
    Read(ReadArgs),
}

#[derive(Debug, Subcommand)]
pub(super) enum RoomCommand {
    /// The direct rooms of a channel, the liveliest first.
    List {
        #[command(flatten)]
        channel: ChannelArg,
        /// Only the rooms of this peer.
        #[arg(long)]
        peer: Option<String>,
        #[command(flatten)]
        page: PageArgs,
    },
    /// What was said in a direct room, oldest first.
    Read(ReadArgs),
}

#[derive(Debug, Subcommand)]
pub(super) enum WorkCommand {
    /// Who asked whom for it, and how it stands.
    Show {
        #[command(flatten)]
        workspace: WorkspaceArg,
        /// Its id.
        id: String,
    },
    /// Report how it goes, as one of the two it is between.
    Report {
        #[command(flatten)]
        workspace: WorkspaceArg,
        /// Who reports: a session of this node.
        #[arg(short, long)]
        session: String,
        /// Its id.
        id: String,
        /// Where it stands now; the last three are its end.
        #[arg(value_enum)]
        state: WorkState,
        /// What there is to say about it.
        #[arg(short, long)]
        message: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum WorkState {
    /// Somebody is at it.
    Working,
    /// It waits for an answer.
    NeedsInput,
    /// It is done.
    Completed,
    /// It cannot be done.
    Failed,
    /// It is no longer wanted.
    Canceled,
}

impl WorkState {
    pub(super) fn word(self) -> &'static str {
        match self {
            WorkState::Working => "working",
            WorkState::NeedsInput => "needs_input",
            WorkState::Completed => "completed",
            WorkState::Failed => "failed",
            WorkState::Canceled => "canceled",
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct InboxArgs {
    #[command(flatten)]
    pub workspace: WorkspaceArg,
    /// A session of this node.
    pub session: String,
}

#[derive(Debug, Args)]
pub(super) struct TailArgs {
    /// Only this workspace, by id or name.
    #[arg(short, long)]
    pub workspace: Option<String>,
    /// Only these kinds of events, with commas.
    #[arg(long, value_delimiter = ',')]
    pub kinds: Vec<String>,
    /// Begin after this event, instead of now.
    #[arg(long, value_name = "EVENT_ID")]
    pub after: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Each setting, its value and where that comes from.
    Show(SettingArgs),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn special_flags_are_settings_and_beat_the_general_one() {
        let line = "muster up --set http.listen=127.0.0.1:1 --http 127.0.0.1:2 --listen /ip4/1.2.3.4/tcp/1 \
                    --listen /ip4/1.2.3.4/tcp/2 --no-mdns --relay --name ada";
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        let Command::Up(args) = cli.command else { panic!("not up") };
        let flags = args.settings.pairs();
        let sources = crate::config::Sources { flags, ..Default::default() };
        let settings = crate::config::load(&sources).unwrap().settings;
        assert_eq!(settings.http.listen, "127.0.0.1:2".parse().unwrap());
        assert_eq!(settings.mesh.listen.len(), 2);
        assert!(!settings.mesh.mdns && settings.mesh.relay);
        assert_eq!(settings.node.name, "ada");
    }

    #[test]
    fn a_capability_has_an_id_a_summary_and_an_outcome() {
        let read = capability("review=Reviews a patch|A list of findings").unwrap();
        assert_eq!((read.id.as_str(), read.outcome.as_str()), ("review", "A list of findings"));
        assert_eq!(capability("review=Reviews").unwrap().outcome, "Reviews");
        assert!(capability("review").is_err() && capability("=x").is_err() && capability("a=b|").is_err());
    }
}
