//! The commands of `muster`.
//!
//! `up` and `demo` are nodes; `config`, `explain`, `openapi`, `extract` and `completions` need none; every other command asks
//! the running node of the same data folder over HTTP, with the operator token, and holds no rules of its
//! own. Each command prints for people, or one JSON value with `-o json`. Errors go to standard error in
//! the same form.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | the node or this program could not do it |
//! | 2 | the command line is wrong |
//! | 3 | no node answers |

mod agents;
mod args;
mod client;
mod conversations;
mod error;
mod explain;
mod memos;
mod node;
mod openapi;
mod output;
mod people;
mod restore;
mod span;
mod sse;
mod tail;
mod talk;
mod work;
mod workspaces;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{CommandFactory, Parser, error::ErrorKind};

use self::{
    args::{Ask, Cli, Command, ConfigCommand},
    client::NodeClient,
};
pub use self::{
    args::{DemoArgs, SettingArgs, UpArgs},
    error::CliError,
    output::Output,
};
use crate::{
    config::{self, Config, Named, Sources},
    data_folder::{self, DataFolder},
};

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&words) {
        Ok(cli) => cli,
        Err(error) => return not_understood(&error, &words),
    };
    let output = cli.output;
    match run(cli) {
        Ok(code) => code,
        Err(error) => error.report(output),
    }
}

/// Prints help, the version, or what is wrong with the command line.
fn not_understood(error: &clap::Error, words: &[OsString]) -> ExitCode {
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if !asked && wants_json(words) {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        return CliError::Usage(first.trim_start_matches("error: ").to_owned()).report(Output::Json);
    }
    // Nobody is left to be told when writing the help fails.
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1))
}

/// Whether a command line that could not be read asks for JSON all the same.
fn wants_json(words: &[OsString]) -> bool {
    let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    words.windows(2).any(|pair| matches!(pair[0], "-o" | "--output") && pair[1] == "json")
        || words.iter().any(|word| matches!(*word, "-ojson" | "-o=json" | "--output=json"))
}

/// Which node a command is about.
#[derive(Debug, Clone)]
struct Place {
    folder: PathBuf,
    config: Option<PathBuf>,
}

impl Place {
    fn new(data: Option<PathBuf>, config: Option<PathBuf>) -> Result<Self, CliError> {
        let folder = data.map_or_else(data_folder::default_path, Ok)?;
        Ok(Self { folder: std::path::absolute(&folder).unwrap_or(folder), config })
    }

    /// The settings in force here, under these flags.
    fn settings(&self, flags: Vec<(String, String)>) -> Result<Config, CliError> {
        let file = match &self.config {
            Some(file) => (file.clone(), Named::ByOwner),
            None => (data_folder::settings_path(&self.folder), Named::ByRule),
        };
        let environment = std::env::vars_os().collect();
        Ok(config::load(&Sources { file: Some(file), environment, flags })?)
    }
}

fn run(cli: Cli) -> Result<ExitCode, CliError> {
    let output = cli.output;
    match cli.command {
        Command::Up(args) => up(&Place::new(cli.data, cli.config)?, &args, output),
        Command::Demo(args) => Ok(crate::demo::run(args, output)?),
        Command::Config(ConfigCommand::Show(flags)) => {
            let config = Place::new(cli.data, cli.config)?.settings(flags.pairs())?;
            tell_warnings(&config, output);
            output::print(output, &node::config_json(&config), |_| node::config_table(&config))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Restore(args) => {
            restore::restore(&Place::new(cli.data, cli.config)?.folder, &args, output)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Explain { code } => {
            output::print(output, &explain::explanation(&code)?, explain::text)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Openapi { door, yaml } => {
            output::say(&openapi::document(&door, yaml)?)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Extract { format } => Ok(muster_extract::inside::run(&format)),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "muster", &mut script);
            output::say(&String::from_utf8_lossy(&script))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Ask(command) => {
            let place = Place::new(cli.data, cli.config)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(CliError::Runtime)?.block_on(ask(&place, command, output))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn up(place: &Place, args: &UpArgs, output: Output) -> Result<ExitCode, CliError> {
    let config = place.settings(args.settings.pairs())?;
    tell_warnings(&config, output);
    config.settings.refuse_exposure()?;
    let folder = DataFolder::open(&place.folder)?;
    Ok(crate::up::run(config.settings, folder, output)?)
}

/// Commands that talk to the running node.
async fn ask(place: &Place, command: Ask, output: Output) -> Result<(), CliError> {
    let node = NodeClient::find(place)?;
    match command {
        Ask::Status => node::status(&node, output).await,
        Ask::Backup { path } => node::backup(&node, &path, output).await,
        Ask::Workspace(command) => workspaces::workspace(&node, command, output).await,
        Ask::Invite(args) => workspaces::invite(&node, args, output).await,
        Ask::Join { ticket } => workspaces::join(&node, &ticket, output).await,
        Ask::Member(args) => workspaces::member(&node, args, output).await,
        Ask::User(command) => people::user(&node, command, output).await,
        Ask::Bot(command) => people::bot(&node, command, output).await,
        Ask::Key(command) => people::key(&node, command, output).await,
        Ask::Stream(command) => people::stream(&node, command, output).await,
        Ask::Memo(command) => memos::memo(&node, command, output).await,
        Ask::Agent(args) => agents::agent(&node, args, output).await,
        Ask::Session(args) => agents::session(&node, args, output).await,
        Ask::Send(args) => talk::send(&node, args, output).await,
        Ask::Inbox(args) => talk::inbox(&node, args, output).await,
        Ask::Thread(command) => conversations::thread(&node, command, output).await,
        Ask::Room(command) => conversations::room(&node, command, output).await,
        Ask::Work(command) => work::work(&node, command, output).await,
        Ask::Tail(args) => tail::run(&node, place, args, output).await,
    }
}

fn tell_warnings(config: &Config, output: Output) {
    config.warnings.iter().for_each(|warning| output::warn(output, warning));
}
