//! `dictrack test`: runs scenario files.

use std::path::PathBuf;

use dictrack::scenario::{Bare, Scenario};
use dictrack::text::sentence;
use dictrack::url;

use crate::Outcome;
use crate::print::say;

/// Run scenario files and print every difference.
///
/// A scenario adds trackers, submits documents and lists the expected result of each; see docs/scenarios.md.
///
/// Example: dictrack test scenarios/law/*.json
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Scenario files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

pub(crate) fn test(args: &Args) -> Outcome {
    let (mut passed, mut failed) = (0, 0);
    for path in &args.files {
        let scenario = match dictrack::files::read_bytes(path) {
            Ok(text) => Scenario::parse(&text).map_err(|error| format!("not a scenario: {error}")),
            Err(error) => Err(error.to_string()),
        };
        let problems: Vec<String> = match scenario {
            Ok(scenario) => scenario.run(&mut Bare::in_zone(scenario.zone())).iter().map(ToString::to_string).collect(),
            Err(error) => vec![error],
        };
        if problems.is_empty() {
            passed += 1;
            continue;
        }
        failed += 1;
        say(url::shown_path(path));
        for problem in problems {
            for line in problem.split('\n') {
                say(format_args!("  {}", sentence(line)));
            }
        }
    }
    say(format_args!("{passed} passed, {failed} failed"));
    Ok(failed == 0)
}
