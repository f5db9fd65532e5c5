//! Compares the trackers of a run with those in the store.

use std::collections::HashMap;

use dictrack::group::{ContentHash, Differing};
use dictrack::json::{Bounds, Json};
use dictrack::store::{DataStore, Mark};
use dictrack::template::Template;
use dictrack::text::quoted;
use dictrack::{TrackerDefinition, url};

use super::Args;
use crate::print::warn;
use crate::report::object;
use crate::store::wait;
use crate::{Failure, check};

/// The mark that names the trackers of the last run.
const MARK: &str = "run:trackers";

/// The trackers in the file.
pub(super) struct Given {
    /// Those for all groups.
    pub(super) everyone: Vec<TrackerDefinition>,
    /// Those for groups whose attributes satisfy conditions.
    pub(super) some: Vec<Template>,
}

impl Given {
    /// The name of these trackers in the marks of a backfill.
    pub(super) fn scope(&self) -> Result<String, Failure> {
        if !self.some.is_empty() {
            return Err(Failure(
                "a backfill counts for every group; expected `trackers` only, no `templates`".to_owned(),
            ));
        }
        let mut hashes: Vec<_> = self.everyone.iter().map(TrackerDefinition::hash).collect();
        hashes.sort();
        Ok(format!("backfill:{}:", ContentHash::of(hashes.iter().map(|hash| *hash.bytes()))))
    }

    /// All of them, in the order of the summary.
    pub(super) fn all(&self) -> Vec<TrackerDefinition> {
        self.everyone.iter().chain(check::definitions(&self.some)).cloned().collect()
    }
}

/// Reads the trackers in the file, and prints warnings about them.
pub(super) fn read(args: &Args) -> Result<Given, Failure> {
    let (templates, warnings) = dictrack::files::read_templates_with_warnings(&args.trackers)?;
    warnings.iter().for_each(warn);
    let place = url::shown_path(&args.trackers);
    let (everyone, some): (Vec<_>, Vec<_>) =
        templates.into_iter().partition(|template| template.conditions().is_empty());
    let everyone = check::definitions(&everyone).map(TrackerDefinition::without_template).collect();
    let given = Given { everyone, some };
    let all = given.all();
    if all.is_empty() {
        return Err(Failure(format!("{place}: no trackers; expected at least one")));
    }
    let customs = check::customs(&all);
    if !customs.is_empty() {
        return Err(Failure(format!(
            "{place}: the command cannot run {}; use a program that registers them",
            customs.join(", ")
        )));
    }
    Ok(given)
}

/// What the run does with groups that have other trackers than the file.
pub(super) struct Plan {
    pub(super) differing: Differing,
    /// Trackers that are not in the file and stay.
    kept: Vec<TrackerDefinition>,
}

impl Plan {
    /// Without a store, nothing is known about earlier trackers.
    pub(super) fn without_store(args: &Args) -> Self {
        Self { differing: differing(args.update, args.prune), kept: Vec::new() }
    }

    /// An error if the trackers in the store differ from those in the file, unless they are to be updated. Says what is removed.
    pub(super) fn of(
        args: &Args,
        trackers: &[TrackerDefinition],
        store: &dyn DataStore,
        marks: &HashMap<String, String>,
    ) -> Result<Self, Failure> {
        let held = match marks.get(MARK) {
            Some(text) => Held::read(text)?,
            None => {
                let trackers = wait(store.definitions())?.iter().map(|definition| (**definition).clone()).collect();
                Held { trackers, kept: Vec::new(), update: false, prune: false }
            }
        };
        let differences = differences(&held.trackers, trackers);
        let file = url::shown_path(&args.trackers);
        if !differences.is_empty() && !args.update {
            return Err(Failure(format!(
                "{file} differs from the trackers in the store:\n{}\nrun again with --update to apply the file; progress is kept",
                differences.join("\n")
            )));
        }
        let is_given = |name: &str| trackers.iter().any(|tracker| tracker.name() == name);
        let mut gone = held.trackers;
        gone.extend(held.kept);
        gone.retain(|tracker| !is_given(tracker.name()));
        gone.sort_by(|a, b| a.name().cmp(b.name()));
        gone.dedup_by(|a, b| a.name() == b.name());
        let names = || gone.iter().map(|tracker| quoted(tracker.name()).to_string()).collect::<Vec<_>>().join(", ");
        if args.prune && !gone.is_empty() {
            warn(format_args!("dictrack: removing what is not in {file}: {}", names()));
            gone.clear();
        } else if args.update && !gone.is_empty() {
            warn(format_args!(
                "dictrack: not in {file}, but kept: {}; --prune removes what is not in the file",
                names()
            ));
        }
        // Groups that did not appear in the run with --update still have the earlier trackers.
        let differing = differing(args.update || held.update, args.prune || (held.prune && !args.update));
        Ok(Self { differing, kept: gone })
    }

    /// The mark that names the trackers for the next run.
    pub(super) fn mark(&self, trackers: &[TrackerDefinition]) -> Mark {
        let list =
            |trackers: &[TrackerDefinition]| Json::List(trackers.iter().map(TrackerDefinition::to_json).collect());
        let fields = [
            ("trackers", list(trackers)),
            ("kept", list(&self.kept)),
            ("update", (self.differing != Differing::Refuse).into()),
            ("prune", (self.differing == Differing::Replace).into()),
        ];
        Mark { name: MARK.to_owned(), text: Some(object(fields).to_string()) }
    }
}

fn differing(update: bool, prune: bool) -> Differing {
    match (update, prune) {
        (_, true) => Differing::Replace,
        (true, false) => Differing::Update,
        (false, false) => Differing::Refuse,
    }
}

fn differences(held: &[TrackerDefinition], trackers: &[TrackerDefinition]) -> Vec<String> {
    let mut differing = Vec::new();
    for held in held {
        match trackers.iter().find(|tracker| tracker.name() == held.name()) {
            Some(tracker) if tracker == held => {}
            Some(_) => differing.push(format!("  {} has a different definition", quoted(held.name()))),
            None => differing.push(format!("  {} is not in the file", quoted(held.name()))),
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
    /// Trackers that groups may have besides those.
    kept: Vec<TrackerDefinition>,
    /// Whether they were applied by `--update`, in that run or earlier, and whether others were removed then.
    update: bool,
    prune: bool,
}

impl Held {
    fn read(text: &str) -> Result<Self, Failure> {
        let json = Json::parse_within(text.as_bytes(), Bounds::STORED)?;
        let member = |key: &str| json.as_map().and_then(|map| map.get(key));
        let list = |items: Option<&Json>| {
            let items = items.and_then(Json::as_list).unwrap_or_default();
            items.iter().map(TrackerDefinition::from_json).collect::<Result<Vec<_>, _>>()
        };
        let is_set = |key| member(key) == Some(&Json::Bool(true));
        Ok(Self {
            // In earlier versions the mark was just the list.
            trackers: list(member("trackers").or(Some(&json)))?,
            kept: list(member("kept"))?,
            update: is_set("update"),
            // In earlier versions, `--update` also removed.
            prune: member("prune").map_or(is_set("update"), |prune| *prune == Json::Bool(true)),
        })
    }
}
