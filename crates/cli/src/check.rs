//! `dictrack check`: validates definition files.

use std::path::PathBuf;

use crate::Outcome;
use crate::print::{say, warn};

/// Check definition files.
///
/// Example: dictrack check trackers.toml
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Definition files in JSON, TOML or YAML.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

pub(crate) fn check(args: &Args) -> Outcome {
    let mut good = true;
    for path in &args.files {
        match dictrack::files::read(path) {
            Ok(trackers) => {
                let conditions: usize =
                    trackers.iter().flat_map(|tracker| tracker.conditions()).map(dictrack::Condition::count).sum();
                let s = |count: usize| if count == 1 { "" } else { "s" };
                let count = trackers.len();
                say(format_args!(
                    "{}: ok, {count} tracker{} with {conditions} condition{}",
                    path.display(),
                    s(count),
                    s(conditions)
                ));
            }
            Err(error) => {
                warn(error);
                good = false;
            }
        }
    }
    Ok(good)
}
