//! The trackers of a run beside those that the store holds.

use std::collections::HashMap;

use dictrack::json::{Bounds, Json};
use dictrack::store::{DataStore, Mark};
use dictrack::text::quoted;
use dictrack::{Differing, TrackerDefinition, url};

use super::Args;
use crate::explain::wait;
use crate::print::warn;
use crate::report::object;
use crate::{Failure, check};

/// The mark that names the trackers of the last run.
const MARK: &str = "run:trackers";

/// The trackers of the file; what is hardly meant is said.
pub(super) fn read(args: &Args) -> Result<Vec<TrackerDefinition>, Failure> {
    let (trackers, warnings) = dictrack::files::read_with_warnings(&args.trackers)?;
    warnings.iter().for_each(warn);
    let place = url::shown_path(&args.trackers);
    if trackers.is_empty() {
        return Err(Failure(format!("{place}: there are no trackers; expected at least one")));
    }
    let customs = check::customs(&trackers);
    if !customs.is_empty() {
        return Err(Failure(format!(
            "{place}: the command does not know {}; a program that registers them can count these trackers",
            customs.join(", ")
        )));
    }
    Ok(trackers)
}

/// What groups do that have other trackers. Refuses if the store holds trackers that differ from those of the file, unless
/// they are to be updated.
pub(super) fn compare(
    args: &Args,
    trackers: &[TrackerDefinition],
    store: &dyn DataStore,
    marks: &HashMap<String, String>,
) -> Result<Differing, Failure> {
    let held = match marks.get(MARK) {
        Some(text) => Held::read(text)?,
        None => {
            let trackers = wait(store.definitions())?.iter().map(|definition| (**definition).clone()).collect();
            Held { trackers, update: false }
        }
    };
    let differing = differences(&held.trackers, trackers);
    if !differing.is_empty() && !args.update {
        return Err(Failure(format!(
            "{} differs from the trackers in the store:\n{}\nrun again with --update to take the file over; progress is kept",
            url::shown_path(&args.trackers),
            differing.join("\n")
        )));
    }
    // Groups that the run with --update did not meet still have the trackers before it.
    Ok(if args.update || held.update { Differing::Update } else { Differing::Refuse })
}

fn differences(held: &[TrackerDefinition], trackers: &[TrackerDefinition]) -> Vec<String> {
    let mut differing = Vec::new();
    for held in held {
        match trackers.iter().find(|tracker| tracker.name() == held.name()) {
            Some(tracker) if tracker == held => {}
            Some(_) => differing.push(format!("  {} has another definition", quoted(held.name()))),
            None => differing.push(format!("  {} is missing from the file; --update removes it", quoted(held.name()))),
        }
    }
    if !held.is_empty() {
        let new = trackers.iter().filter(|tracker| !held.iter().any(|held| held.name() == tracker.name()));
        differing.extend(new.map(|tracker| format!("  {} is not in the store yet", quoted(tracker.name()))));
    }
    differing.dedup();
    differing
}

/// What the mark of the last run says.
struct Held {
    trackers: Vec<TrackerDefinition>,
    /// Whether they were taken over by `--update`, then or before.
    update: bool,
}

impl Held {
    fn read(text: &str) -> Result<Self, Failure> {
        let json = Json::parse_within(text.as_bytes(), Bounds::STORED)?;
        let member = |key: &str| json.as_map().and_then(|map| map.get(key));
        // Before there was `update`, the mark was the bare list.
        let items = member("trackers").unwrap_or(&json).as_list().unwrap_or_default();
        let trackers = items.iter().map(TrackerDefinition::from_json).collect::<Result<_, _>>()?;
        Ok(Self { trackers, update: member("update") == Some(&Json::Bool(true)) })
    }
}

/// The mark that names these trackers for the next run.
pub(super) fn mark(trackers: &[TrackerDefinition], differing: Differing) -> Mark {
    let list = Json::List(trackers.iter().map(TrackerDefinition::to_json).collect());
    let update = Json::from(differing == Differing::Update);
    Mark { name: MARK.to_owned(), text: Some(object([("trackers", list), ("update", update)]).to_string()) }
}
