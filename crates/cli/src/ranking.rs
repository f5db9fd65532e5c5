//! How far groups are: `dictrack show --tracker`, and all output as CSV.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::IsTerminal as _;

use comfy_table::{CellAlignment, Table, presets};
use dictrack::group::{Engine, Group};
use dictrack::json::Json;
use dictrack::text::plain;
use dictrack::{Amount, Status, Timestamp, TrackerSnapshot};

use crate::Failure;
use crate::print::say;
use crate::report::{bar, object, table};

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
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    cycle: u64,
    progress: Amount,
    /// Of groups that are equally far, the first by name comes first.
    group: Reverse<String>,
    tracker: String,
    target: Option<Amount>,
    stage: usize,
    stages: usize,
    status: &'static str,
}

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
        (is_wanted && is_within).then(|| Place::of(id, &tracker))
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
        all(group, engine, None, now).iter().map(|tracker| Self::of(id, tracker)).collect()
    }

    fn of(id: &str, tracker: &TrackerSnapshot) -> Self {
        let limited = tracker.status == Status::Active && tracker.limited;
        Self {
            cycle: tracker.cycle,
            progress: tracker.progress,
            group: Reverse(id.to_owned()),
            tracker: tracker.name().to_owned(),
            target: tracker.target(),
            stage: tracker.stage,
            stages: tracker.definition.targets().len(),
            status: if limited { "limited" } else { tracker.status.name() },
        }
    }

    pub(crate) fn to_json(&self) -> Json {
        let amount = |amount: Amount| Json::Number(dictrack::number::Number::Exact(amount));
        object([
            ("group", self.group.0.as_str().into()),
            ("tracker", self.tracker.as_str().into()),
            ("progress", amount(self.progress)),
            ("target", self.target.map_or(Json::Null, amount)),
            ("stage", (self.stage as u64).into()),
            ("stages", (self.stages as u64).into()),
            ("cycle", self.cycle.into()),
            ("status", self.status.into()),
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
        let part = place.target.map(|target| place.progress.to_f64() / target.to_f64());
        let tally = match place.target {
            Some(target) => format!("{}/{target}", place.progress),
            None => place.progress.to_string(),
        };
        let mut stage = if place.stages > 0 { format!("{} of {}", place.stage, place.stages) } else { String::new() };
        if place.cycle > 0 {
            stage.push_str(&format!(", cycle {}", place.cycle + 1));
        }
        let bar = part.map_or_else(String::new, |part| bar(part, cells));
        table.add_row([plain(&place.group.0).into_owned(), bar, tally, stage, place.status.to_owned()]);
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
        writer.write_record([
            &place.group.0,
            &place.tracker,
            &place.progress.to_string(),
            &place.target.map_or_else(String::new, |target| target.to_string()),
            &place.stage.to_string(),
            &place.stages.to_string(),
            &place.cycle.to_string(),
            place.status,
        ])?;
    }
    say_records(writer)
}

/// Prints the records of a writer. On a terminal, control characters are escaped.
pub(crate) fn say_records(writer: csv::Writer<Vec<u8>>) -> Result<(), Failure> {
    let text = String::from_utf8(writer.into_inner()?)?;
    let is_terminal = std::io::stdout().is_terminal();
    text.strip_suffix('\n').into_iter().flat_map(|text| text.split('\n')).for_each(|line| match is_terminal {
        true => say(plain(line)),
        false => say(line),
    });
    Ok(())
}
