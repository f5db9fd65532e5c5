//! How far groups are: `dictrack show --tracker`, and all output as CSV.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::io::IsTerminal as _;

use comfy_table::{CellAlignment, Table, presets};
use dictrack::group::{Engine, Group};
use dictrack::json::Json;
use dictrack::number::Number;
use dictrack::text::plain;
use dictrack::{Amount, Status, Timestamp, TrackerSnapshot};

use crate::Failure;
use crate::print::say;
use crate::report::{bar, object, table};
use crate::show::part;

/// Which groups are listed.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Wanted {
    /// List the groups that have this tracker, or have completed it, with their progress.
    #[arg(long, value_name = "NAME", conflicts_with = "group")]
    pub(crate) tracker: Option<String>,
    /// Of these, the N with the most progress.
    #[arg(long, value_name = "N", requires = "tracker", conflicts_with = "limit")]
    pub(crate) top: Option<usize>,
    /// Only groups with at least this progress.
    #[arg(long, value_name = "AMOUNT", requires = "tracker")]
    at_least: Option<Amount>,
    /// Only groups with at most this progress.
    #[arg(long, value_name = "AMOUNT", requires = "tracker")]
    at_most: Option<Amount>,
    /// Only groups for which the tracker is active, limited, resting or completed.
    #[arg(long, requires = "tracker")]
    status: Option<Wants>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Wants {
    /// It counts, whether or not a limit holds it back for now.
    Active,
    /// It counts, but a limit holds it back for now.
    Limited,
    /// It has reached its last target and starts again when its period ends.
    Resting,
    /// It has reached its last target.
    Completed,
}

/// How far a group is with a tracker.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    group: String,
    tracker: TrackerSnapshot,
}

impl Place {
    /// What the furthest group has most of. Of groups that are equally far, the first by name comes first.
    fn rank(&self) -> (u64, Amount, Reverse<&str>) {
        (self.tracker.cycle, self.tracker.progress, Reverse(&self.group))
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Place {}

impl Wanted {
    /// How far a group is, if it is wanted.
    pub(crate) fn place(&self, id: &str, group: &Group, engine: &Engine, now: Timestamp) -> Option<Place> {
        let name = self.tracker.as_deref()?;
        let tracker = all(group, engine, Some(&[name]), now).into_iter().next()?;
        let is_wanted = match self.status {
            None => true,
            Some(Wants::Active) => tracker.status == Status::Active,
            Some(Wants::Limited) => tracker.status == Status::Active && tracker.limited,
            Some(Wants::Resting) => tracker.status == Status::Resting,
            Some(Wants::Completed) => tracker.completed,
        };
        let is_within = self.at_least.is_none_or(|least| tracker.progress >= least)
            && self.at_most.is_none_or(|most| tracker.progress <= most);
        (is_wanted && is_within).then(|| Place { group: id.to_owned(), tracker })
    }
}

/// The trackers of a group, or those with these names: the active ones, then the completed ones, newest first.
fn all(group: &Group, engine: &Engine, names: Option<&[&str]>, now: Timestamp) -> Vec<TrackerSnapshot> {
    let is_named = |tracker: &TrackerSnapshot| names.is_none_or(|names| names.contains(&tracker.name()));
    let completed = group.completed().into_iter().rev().map(|completed| completed.tracker);
    group.trackers(engine, names, now).into_iter().chain(completed.filter(is_named)).collect()
}

impl Place {
    /// How far a group is with each of its trackers.
    pub(crate) fn all(id: &str, group: &Group, engine: &Engine, now: Timestamp) -> Vec<Self> {
        let trackers = all(group, engine, None, now).into_iter();
        trackers.map(|tracker| Self { group: id.to_owned(), tracker }).collect()
    }

    fn status(&self) -> &'static str {
        let Self { tracker, .. } = self;
        if tracker.status == Status::Active && tracker.limited { "limited" } else { tracker.status.name() }
    }

    /// How many stages the tracker has.
    fn stages(&self) -> usize {
        self.tracker.definition.targets().len()
    }

    pub(crate) fn to_json(&self) -> Json {
        let Self { group, tracker } = self;
        let amount = |amount: Amount| Json::Number(Number::Exact(amount));
        object([
            ("group", group.as_str().into()),
            ("tracker", tracker.name().into()),
            ("progress", amount(tracker.progress)),
            ("target", tracker.target().map_or(Json::Null, amount)),
            ("stage", (tracker.stage as u64).into()),
            ("stages", (self.stages() as u64).into()),
            ("cycle", tracker.cycle.into()),
            ("status", self.status().into()),
        ])
    }
}

/// The groups that are the furthest, of any number.
pub(crate) struct Top {
    most: usize,
    places: BinaryHeap<Reverse<Place>>,
}

impl Top {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, places: BinaryHeap::new() }
    }

    pub(crate) fn add(&mut self, place: Place) {
        self.places.push(Reverse(place));
        if self.places.len() > self.most {
            self.places.pop();
        }
    }

    /// The furthest first.
    pub(crate) fn into_sorted(self) -> Vec<Place> {
        self.places.into_sorted_vec().into_iter().map(|Reverse(place)| place).collect()
    }
}

/// One row per group, with bars of `cells` cells.
pub(crate) fn places(places: &[Place], cells: usize) -> Table {
    let header = ["group", "progress", "", "stage", "status"];
    let mut table = table(presets::NOTHING, &header, &["group", "status"]);
    if let Some(column) = table.column_mut(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for place in places {
        let Place { group, tracker } = place;
        let mut stage = match place.stages() {
            0 => String::new(),
            stages => format!("{} of {stages}", tracker.stage),
        };
        if tracker.cycle > 0 {
            stage.push_str(&format!(", cycle {}", tracker.cycle + 1));
        }
        let bar = part(tracker).map_or_else(String::new, |part| bar(part, cells));
        let tally = tracker.tally().to_string();
        table.add_row([plain(group).into_owned(), bar, tally, stage, place.status().to_owned()]);
    }
    table
}

/// Prints one record per place, below a header if they are the `first`.
pub(crate) fn say_csv(places: &[Place], first: bool) -> Result<(), Failure> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    if first {
        writer.write_record(["group", "tracker", "progress", "target", "stage", "stages", "cycle", "status"])?;
    }
    for place in places {
        let Place { group, tracker } = place;
        writer.write_record([
            group,
            tracker.name(),
            &tracker.progress.to_string(),
            &tracker.target().map_or_else(String::new, |target| target.to_string()),
            &tracker.stage.to_string(),
            &place.stages().to_string(),
            &tracker.cycle.to_string(),
            place.status(),
        ])?;
    }
    match records(writer)? {
        text if text.is_empty() => {}
        text => say(text),
    }
    Ok(())
}

/// The records of a writer as text, without the last newline. On a terminal, control characters are escaped.
pub(crate) fn records(writer: csv::Writer<Vec<u8>>) -> Result<String, Failure> {
    let mut text = String::from_utf8(writer.into_inner()?)?;
    text.truncate(text.trim_end_matches('\n').len());
    if std::io::stdout().is_terminal() {
        text = text.split('\n').map(plain).collect::<Vec<_>>().join("\n");
    }
    Ok(text)
}
