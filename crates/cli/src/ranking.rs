//! How far groups are: `dictrack show --tracker`, and all output as CSV.

use std::io::IsTerminal as _;

use comfy_table::{CellAlignment, Table, presets};
use dictrack::find::{Place, Query, Standing};
use dictrack::group::{Engine, Group};
use dictrack::text::plain;
use dictrack::{Amount, Status, Timestamp, TrackerSnapshot};

use crate::Failure;
use crate::complete;
use crate::report::{bar, table};
use crate::show::part;

/// Which groups are listed.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Wanted {
    /// List the groups that have this tracker, or have completed it, with their progress.
    #[arg(long, value_name = "NAME", conflicts_with = "group", add = complete::trackers())]
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

impl Wanted {
    /// The query for the groups that are wanted, with up to `limit` places.
    pub(crate) fn query(&self, tracker: &str, limit: usize) -> Query {
        let mut query = Query::of(tracker).limit(limit);
        (query.at_least, query.at_most) = (self.at_least, self.at_most);
        query.standing = self.status.map(|status| match status {
            Wants::Active => Standing::Active,
            Wants::Limited => Standing::Limited,
            Wants::Resting => Standing::Resting,
            Wants::Completed => Standing::Completed,
        });
        query
    }
}

/// How far a group is with each of its trackers: the active ones, then the completed ones, newest first.
pub(crate) fn all(id: &str, group: &Group, engine: &Engine, now: Timestamp) -> Vec<Place> {
    let completed = group.completed().into_iter().rev().map(|completed| completed.tracker);
    let trackers = group.trackers(engine, None, now).into_iter().chain(completed);
    trackers.map(|tracker| Place::new(id, tracker)).collect()
}

/// How many stages the tracker has.
fn stages(place: &Place) -> usize {
    place.tracker.definition.targets().len()
}

/// How many stages a tracker has reached, in this cycle or an earlier one; more than it has if all of them.
pub(crate) fn stages_reached(tracker: &TrackerSnapshot) -> usize {
    match tracker.freezes {
        // A streak goes on after its last target.
        Some(_) => tracker.definition.targets().iter().filter(|target| tracker.progress >= **target).count(),
        None if tracker.cycle > 0 || tracker.status == Status::Resting => usize::MAX,
        None => tracker.stage - 1,
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
        let Place { group, tracker, .. } = place;
        let mut stage = match stages(place) {
            0 => String::new(),
            stages => format!("{} of {stages}", tracker.stage),
        };
        if tracker.cycle > 0 {
            stage.push_str(&format!(", cycle {}", tracker.cycle + 1));
        }
        let bar = part(tracker).map_or_else(String::new, |part| bar(part, cells));
        let tally = tracker.tally().to_string();
        table.add_row([plain(group).into_owned(), bar, tally, stage, place.standing().name().to_owned()]);
    }
    table
}

/// One record per place, below a header if they are the `first`; `None` if there is nothing to print.
pub(crate) fn csv(places: &[Place], first: bool) -> Result<Option<String>, Failure> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    if first {
        writer.write_record(["group", "tracker", "progress", "target", "stage", "stages", "cycle", "status"])?;
    }
    for place in places {
        let Place { group, tracker, .. } = place;
        writer.write_record([
            group,
            tracker.name(),
            &tracker.progress.to_string(),
            &tracker.target().map_or_else(String::new, |target| target.to_string()),
            &tracker.stage.to_string(),
            &stages(place).to_string(),
            &tracker.cycle.to_string(),
            place.standing().name(),
        ])?;
    }
    Ok(Some(records(writer)?).filter(|text| !text.is_empty()))
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
