//! `dictrack init`: a commented file of definitions to start from.

use std::path::{Path, PathBuf};

use dictrack::files::Format;
use dictrack::text::plain;
use dictrack::url;

use crate::print::say;
use crate::report::counted;
use crate::run::sample::{self, Sample};
use crate::words::shell;
use crate::write;
use crate::{Failure, Outcome};

mod guess;
mod starter;

use guess::Guess;
use starter::Starter;

/// Write a file of definitions to start from.
///
/// From a sample of the inputs it guesses what the groups are, where the time
/// is, which kinds of event there are, and which numbers are worth summing.
/// Then it prints the command that counts them. Without an input, the file
/// has a few common trackers to change. Nothing is overwritten without --force.
///
/// Examples:
///   dictrack init
///   dictrack init sales.csv
///   dictrack init --output quests.yaml logs/*.ndjson.gz
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The file to write; its ending decides about the format: .toml, .yaml, .yml, or .json, which has no comments.
    #[arg(short, long, value_name = "FILE", default_value = "trackers.toml")]
    output: PathBuf,
    /// Overwrite the file if it exists.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    sample: sample::Inputs,
}

pub(crate) fn init(args: &Args) -> Outcome {
    let output = &args.output;
    let Some(format) = Format::of(output) else {
        let name = url::shown_path(output);
        return Err(Failure(format!("{name}: unknown file format; expected .toml, .yaml, .yml or .json at the end")));
    };
    if !args.force && output.exists() {
        // Before a large sample is read.
        return Err(write::exists(output, "--force"));
    }
    let (starter, about) = if args.sample.inputs.is_empty() {
        (Starter::general(output), Vec::new())
    } else {
        let sample = Sample::read(&args.sample)?;
        let inputs = args.sample.inputs.iter().map(|input| name(input)).collect::<Vec<_>>().join(" ");
        if sample.documents.is_empty() {
            return Err(Failure(format!(
                "{}: no documents; expected a sample of what will be counted",
                plain(&inputs)
            )));
        }
        let guess = Guess::of(&sample.documents);
        (Starter::of(&guess, &sample, output, &inputs), guess.lines())
    };
    write::replace(output, starter.text(format).as_bytes(), args.force)
        .map_err(|error| write::failure(output, &error, "--force"))?;
    say(format_args!("{}: {}", url::shown_path(output), counted(starter.count() as u64, "tracker")));
    about.iter().for_each(say);
    say("next:");
    starter.next().iter().for_each(|line| say(format_args!("  {line}")));
    Ok(true)
}

/// A file as it is written on a command line.
fn name(path: &Path) -> String {
    plain(&shell(&path.to_string_lossy())).into_owned()
}
