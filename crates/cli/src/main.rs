//! The `dictrack` command: counts documents from files and pipes, and shows the results.
#![deny(clippy::print_stdout, clippy::print_stderr, reason = "they panic if the stream is closed or full")]

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, Parser, Subcommand};
use tracing_subscriber::fmt::writer::MakeWriterExt as _;

mod apply;
mod attributes;
mod check;
mod complete;
mod doctor;
mod explain;
mod fill;
mod init;
#[cfg(feature = "server")]
mod keys;
#[cfg(feature = "legacy")]
mod legacy;
mod man;
mod moment;
mod operate;
#[cfg(feature = "report")]
mod page;
mod peek;
mod print;
mod ranking;
mod report;
mod run;
mod schema;
#[cfg(feature = "server")]
mod serve;
mod show;
mod store;
mod test;
mod transfer;
mod watch;
mod words;
mod write;

use dictrack::{text, url};
use print::{LogLine, say, warn};

/// Count matching events for each user: for milestones, quests, quotas and limits.
#[derive(Parser)]
#[command(name = "dictrack", version, about, max_term_width = 110, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Init(init::Args),
    Run(run::Args),
    Backfill(run::BackfillArgs),
    Check(check::Args),
    Schema(schema::Args),
    Test(test::Args),
    Show(show::Args),
    Peek(peek::Args),
    Attributes(attributes::Args),
    Apply(apply::Args),
    Reset(operate::ResetArgs),
    SetProgress(operate::SetProgressArgs),
    Delete(operate::DeleteArgs),
    Explain(explain::Args),
    #[cfg(feature = "server")]
    Serve(serve::Args),
    #[cfg(feature = "server")]
    Keys(keys::Args),
    Doctor(doctor::Args),
    Export(transfer::ExportArgs),
    Import(transfer::ImportArgs),
    /// Print a completion script for a shell.
    ///
    /// It calls the command, so that groups and trackers of --store, or of DICTRACK_STORE, are completed as well.
    ///
    /// Example: dictrack completions bash > /etc/bash_completion.d/dictrack
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    Man(man::Args),
}

/// Why a command failed, as shown to the user.
struct Failure(String);

impl<E: std::fmt::Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// The result of a command other than `run`: whether it succeeded.
type Outcome = Result<bool, Failure>;

/// Exits with a usage error that does not show anything that may be a secret.
fn refuse(mut error: clap::Error) -> ! {
    if !error.use_stderr() {
        error.exit();
    }
    let shown = |text: &str| if url::is_meant(text) { url::shown(text) } else { text::plain(text).into_owned() };
    let quoted: Vec<_> = error
        .context()
        .filter_map(|(kind, value)| match value {
            ContextValue::String(text) => Some((kind, shown(text))),
            _ => None,
        })
        .collect();
    for (kind, text) in quoted {
        if error.get(kind) != Some(&ContextValue::String(text.clone())) {
            // A tip may contain the text as well.
            error.remove(ContextKind::Suggested);
        }
        error.insert(kind, ContextValue::String(text));
    }
    // A value parser may have quoted the value in its own message.
    let mut text = error.render().to_string();
    for argument in std::env::args_os().skip(1) {
        let argument = argument.to_string_lossy();
        let value =
            if argument.starts_with('-') { argument.split_once('=').map_or("", |(_, value)| value) } else { &argument };
        if !value.is_empty() && shown(value) != value {
            text = text.replace(value, &shown(value));
        }
    }
    warn(text.trim_end());
    std::process::exit(error.exit_code());
}

/// Exits with a usage error for a command line that clap accepts.
fn misused(problem: &str) -> ! {
    refuse(Cli::command().error(ErrorKind::MissingRequiredArgument, problem));
}

fn exit_code(well: bool) -> ExitCode {
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints what goes wrong on standard error.
fn log() {
    tracing_subscriber::fmt()
        // A run reports unreachable servers itself.
        .with_writer(LogLine::default.with_filter(|meta| meta.target() != "dictrack::away"))
        // Control characters are escaped in the output, and so would be colour codes.
        .with_ansi(false)
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .without_time()
        .with_target(false)
        // It would try to log that logging failed, and panic.
        .log_internal_errors(false)
        .init();
}

fn main() -> ExitCode {
    complete::answer();
    let cli = Cli::try_parse().unwrap_or_else(|error| refuse(error));
    match &cli.command {
        #[cfg(feature = "server")]
        Command::Serve(args) => serve::log(args),
        _ => log(),
    }
    let ended = match cli.command {
        Command::Init(args) => init::init(&args).map(exit_code),
        Command::Run(args) => run::run(args),
        Command::Backfill(args) => run::backfill(args),
        Command::Check(args) => check::check(&args).map(exit_code),
        Command::Schema(schema::Args {}) => schema::schema().map(exit_code),
        Command::Test(args) => test::test(&args).map(exit_code),
        Command::Show(args) => show::show(&args).map(exit_code),
        Command::Peek(args) => peek::peek(&args).map(exit_code),
        Command::Apply(args) => apply::apply(&args).map(exit_code),
        Command::Attributes(args) => attributes::attributes(&args).map(exit_code),
        Command::Reset(args) => operate::reset(&args).map(exit_code),
        Command::SetProgress(args) => operate::set_progress(&args).map(exit_code),
        Command::Delete(args) => operate::delete(&args).map(exit_code),
        Command::Explain(args) => explain::explain(&args).map(exit_code),
        #[cfg(feature = "server")]
        Command::Serve(args) => serve::serve(&args).map(exit_code),
        #[cfg(feature = "server")]
        Command::Keys(args) => keys::keys(&args).map(exit_code),
        Command::Doctor(args) => doctor::doctor(&args).map(exit_code),
        Command::Export(args) => transfer::export(&args).map(exit_code),
        Command::Import(args) => transfer::import(&args).map(exit_code),
        Command::Completions { shell } => complete::script(shell).map(|script| {
            say(script.trim_end());
            ExitCode::SUCCESS
        }),
        Command::Man(args) => man::man(&args).map(exit_code),
    };
    ended.unwrap_or_else(|Failure(problem)| {
        warn(format_args!("dictrack: {problem}"));
        ExitCode::FAILURE
    })
}
