//! `dictrack check`: validates definition files.

use std::path::PathBuf;

use dictrack::{Condition, Kind, LimiterDefinition, TrackerDefinition, template::Template, url};

use crate::Outcome;
use crate::print::{say, warn};
use crate::report::counted;

/// Validate definition files.
///
/// Prints a warning about definitions that are valid but often not what was meant. Warnings do not fail the check.
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
        match dictrack::files::read_templates_with_warnings(path) {
            Ok((templates, warnings)) => {
                warnings.iter().for_each(warn);
                let trackers: Vec<&TrackerDefinition> = definitions(&templates).collect();
                let of_templates = templates.iter().flat_map(Template::conditions);
                let conditions = trackers.iter().flat_map(|tracker| tracker.conditions()).chain(of_templates);
                let conditions = counted(conditions.map(Condition::count).sum::<usize>() as u64, "condition");
                let trackers_said = counted(trackers.len() as u64, "tracker");
                let warned = match warnings.len() {
                    0 => String::new(),
                    warnings => format!(", {}", counted(warnings as u64, "warning")),
                };
                say(format_args!("{}: ok, {trackers_said} with {conditions}{warned}", url::shown_path(path)));
                let customs = customs(trackers);
                if !customs.is_empty() {
                    say(format_args!(
                        "  the command cannot run {}; a program has to register them",
                        customs.join(", ")
                    ));
                }
            }
            Err(error) => {
                warn(error);
                good = false;
            }
        }
    }
    Ok(good)
}

/// The trackers of all templates.
pub(crate) fn definitions(templates: &[Template]) -> impl Iterator<Item = &TrackerDefinition> {
    templates.iter().flat_map(Template::trackers).map(|tracker| &**tracker)
}

/// The custom conditions, measures and limiters in these trackers, none of which the command can run.
pub(crate) fn customs<'a>(trackers: impl IntoIterator<Item = &'a TrackerDefinition>) -> Vec<String> {
    let mut names = Vec::new();
    for tracker in trackers {
        if let Kind::Custom(custom) = tracker.kind() {
            names.push(format!("the measure {:?}", custom.measure()));
        }
        tracker.conditions().iter().for_each(|condition| custom_conditions(condition, &mut names));
        for limiter in tracker.limiters() {
            if let LimiterDefinition::Custom(custom) = limiter {
                names.push(format!("the limiter {:?}", custom.name()));
            }
        }
    }
    names.sort();
    names.dedup();
    names
}

fn custom_conditions(condition: &Condition, names: &mut Vec<String>) {
    if let Condition::Custom { name, .. } = condition {
        names.push(format!("the condition {name:?}"));
    }
    condition.parts().iter().for_each(|part| custom_conditions(part, names));
}
