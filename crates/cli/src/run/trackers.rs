//! Compares the trackers of a run with those in the store.

use std::collections::HashMap;

use dictrack::json::{Bounds, Json};
use dictrack::store::{DataStore, Mark};
use dictrack::text::quoted;
use dictrack::{TrackerDefinition, group::Differing, url};

use super::Args;
use crate::print::warn;
use crate::report::object;
use crate::store::wait;
use crate::{Failure, check};

/// The mark that names the trackers of the last run.
const MARK: &str = "run:trackers";

/// Reads the trackers in the file, and prints warnings about them.
pub(super) fn read(args: &Args) -> Result<Vec<TrackerDefinition>, Failure> {
    let (trackers, warnings) = dictrack::files::read_with_warnings(&args.trackers)?;
    warnings.iter().for_each(warn);
    let place = url::shown_path(&args.trackers);
    if trackers.is_empty() {
        return Err(Failure(format!("{place}: no trackers; expected at least one")));
    }
    let customs = check::customs(&trackers);
    if !customs.is_empty() {
        return Err(Failure(format!(
            "{place}: the command cannot run {}; use a program that registers them",
            customs.join(", ")
        )));
    }
    Ok(trackers)
}

/// How to handle groups with different trackers. An error if the trackers in the store differ from those in the file, unless
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
            "{} differs from the trackers in the store:\n{}\nrun again with --update to apply the file; progress is kept",
            url::shown_path(&args.trackers),
            differing.join("\n")
        )));
    }
    // Groups that did not appear in the run with --update still have the earlier trackers.
    Ok(if args.update || held.update { Differing::Update } else { Differing::Refuse })
}

fn differences(held: &[TrackerDefinition], trackers: &[TrackerDefinition]) -> Vec<String> {
    let mut differing = Vec::new();
    for held in held {
        match trackers.iter().find(|tracker| tracker.name() == held.name()) {
            Some(tracker) if tracker == held => {}
            Some(_) => differing.push(format!("  {} has a different definition", quoted(held.name()))),
            None => differing.push(format!("  {} is not in the file; --update removes it", quoted(held.name()))),
        }
    }
    if !held.is_empty() {
        let new = trackers.iter().filter(|tracker| !held.iter().any(|held| held.name() == tracker.name()));
        differing.extend(new.map(|tracker| format!("  {} is not in the store yet", quoted(tracker.name()))));
    }
    differing.dedup();
    differing
}

/// The mark of the last run.
struct Held {
    trackers: Vec<TrackerDefinition>,
    /// Whether they were applied by `--update`, in that run or earlier.
    update: bool,
}

impl Held {
    fn read(text: &str) -> Result<Self, Failure> {
        let json = Json::parse_within(text.as_bytes(), Bounds::STORED)?;
        let member = |key: &str| json.as_map().and_then(|map| map.get(key));
        // In earlier versions the mark was just the list.
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
