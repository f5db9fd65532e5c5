//! The command `dictrack`: count documents from files and pipes, look at what was counted.
#![deny(clippy::print_stdout, clippy::print_stderr, reason = "they panic where the stream is closed or full")]

use std::process::ExitCode;

use clap::error::{ContextValue, ErrorKind};
use clap::{CommandFactory as _, Parser, Subcommand};
use tracing_subscriber::fmt::writer::MakeWriterExt as _;

mod check;
mod doctor;
mod explain;
mod legacy;
mod print;
mod report;
mod run;
mod show;
mod store;
mod test;
mod transfer;

use dictrack::{text, url};
use print::{LogLine, say, warn};

/// Count what matches, for each user: milestones, quests, quotas, limits.
#[derive(Parser)]
#[command(name = "dictrack", version, about, max_term_width = 110, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Args),
    Check(check::Args),
    Test(test::Args),
    Show(show::Args),
    Explain(explain::Args),
    Doctor(doctor::Args),
    Export(transfer::ExportArgs),
    Import(transfer::ImportArgs),
    /// Print a completion script for a shell.
    ///
    /// Example: dictrack completions bash > /etc/bash_completion.d/dictrack
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Why a command failed, in words for a person.
struct Failure(String);

impl<E: std::fmt::Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// What a command other than `run` ends with: whether all went well.
type Outcome = Result<bool, Failure>;

/// Ends with what is wrong with the command line, without what may be a secret in it.
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
        error.insert(kind, ContextValue::String(text));
    }
    // What reads a value may quote it, too.
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

/// Ends with what is wrong with a command line that reads well.
fn misused(problem: &str) -> ! {
    refuse(Cli::command().error(ErrorKind::MissingRequiredArgument, problem));
}

fn exit_code(well: bool) -> ExitCode {
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| refuse(error));
    tracing_subscriber::fmt()
        // A run says itself what cannot be reached.
        .with_writer(LogLine::default.with_filter(|meta| meta.target() != "dictrack::away"))
        // What texts of others hold is written out, and so would be colours.
        .with_ansi(false)
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .without_time()
        .with_target(false)
        // It would say that nothing can be said, and panic.
        .log_internal_errors(false)
        .init();
    let ended = match cli.command {
        Command::Run(args) => run::run(args),
        Command::Check(args) => check::check(&args).map(exit_code),
        Command::Test(args) => test::test(&args).map(exit_code),
        Command::Show(args) => show::show(&args).map(exit_code),
        Command::Explain(args) => explain::explain(&args).map(exit_code),
        Command::Doctor(args) => doctor::doctor(&args).map(exit_code),
        Command::Export(args) => transfer::export(&args).map(exit_code),
        Command::Import(args) => transfer::import(&args).map(exit_code),
        Command::Completions { shell } => {
            // Into memory first: it panics where it cannot write.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "dictrack", &mut script);
            say(String::from_utf8_lossy(&script).trim_end());
            Ok(ExitCode::SUCCESS)
        }
    };
    ended.unwrap_or_else(|Failure(problem)| {
        warn(format_args!("dictrack: {problem}"));
        ExitCode::FAILURE
    })
}
