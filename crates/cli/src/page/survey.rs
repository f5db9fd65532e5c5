//! How far all groups of a store are.

use std::collections::BTreeMap;

use dictrack::group::{Engine, Group};
use dictrack::{Timestamp, TrackerDefinition, TrackerSnapshot};

use super::{Facts, Section, Timeline, Top};
use crate::explain::still_completed;
use crate::ranking::stages_reached;
use crate::report::thousands;

/// What is known of the trackers of the groups that were looked at, by name.
#[derive(Default)]
pub(crate) struct Survey {
    trackers: BTreeMap<String, Seen>,
    pub(crate) groups: u64,
}

struct Seen {
    /// Of several definitions with this name, the one with the most targets.
    definition: TrackerDefinition,
    groups: u64,
    completed: u64,
    limited: u64,
    reached: Vec<u64>,
    completions: Timeline,
    top: Top,
}

impl Survey {
    /// Adds the trackers of a group that have one of these names, or all.
    pub(crate) fn add(&mut self, id: &str, group: &Group, engine: &Engine, names: Option<&[&str]>, now: Timestamp) {
        self.groups += 1;
        for tracker in group.trackers(engine, names, now) {
            let seen = self.seen(&tracker);
            seen.limited += u64::from(tracker.limited);
            let reached = stages_reached(&tracker);
            let targets = tracker.definition.targets().len();
            seen.completed += u64::from(targets > 0 && tracker.cycle == 0 && reached >= targets);
            seen.reach(reached);
            for moment in tracker.periods().iter().filter_map(|period| period.completed_at) {
                seen.completions.add(moment, 1);
            }
            seen.top.offer(id, &tracker);
        }
        let is_named = |name: &str| names.is_none_or(|names| names.contains(&name));
        for completed in still_completed(group, now).iter().filter(|completed| is_named(completed.tracker.name())) {
            let seen = self.seen(&completed.tracker);
            seen.completed += 1;
            seen.reach(usize::MAX);
            seen.top.offer(id, &completed.tracker);
        }
        for completed in group.completed().iter().filter(|completed| is_named(completed.tracker.name())) {
            if let Some(seen) = self.trackers.get_mut(completed.tracker.name()) {
                seen.completions.add(completed.completed_at, 1);
            }
        }
    }

    fn seen(&mut self, tracker: &TrackerSnapshot) -> &mut Seen {
        let seen = self.trackers.entry(tracker.name().to_owned()).or_insert_with(|| Seen {
            definition: TrackerDefinition::clone(&tracker.definition),
            groups: 0,
            completed: 0,
            limited: 0,
            reached: Vec::new(),
            completions: Timeline::default(),
            top: Top::default(),
        });
        if tracker.definition.targets().len() > seen.reached.len() {
            seen.definition = TrackerDefinition::clone(&tracker.definition);
            seen.reached.resize(tracker.definition.targets().len(), 0);
        }
        seen.groups += 1;
        seen
    }

    pub(crate) fn into_sections(self) -> Vec<Section> {
        let section = |seen: Seen| Section {
            facts: seen.facts(),
            definition: seen.definition,
            groups: seen.groups,
            reached: seen.reached,
            happened: "Completions",
            crossings: seen.completions,
            limits: Timeline::default(),
            top: seen.top,
        };
        self.trackers.into_values().map(section).collect()
    }
}

impl Seen {
    fn reach(&mut self, stages: usize) {
        self.reached.iter_mut().take(stages).for_each(|reached| *reached += 1);
    }

    fn facts(&self) -> Facts {
        let numbers = [("groups", self.groups), ("completed", self.completed), ("limited", self.limited)];
        numbers.into_iter().map(|(name, number)| (name, thousands(number))).collect()
    }
}
