//! `dictrack show`: the contents of a store.

#[cfg(feature = "report")]
use std::path::PathBuf;

use comfy_table::{CellAlignment, Table, presets};
use dictrack::json::{Json, Map};
use dictrack::store::{DataStore, RecentSets};
use dictrack::text::plain;
use dictrack::{
    CompletedTracker, PeriodRecord, Timestamp, TrackerSnapshot,
    group::{Engine, Group},
};

use crate::complete;
use crate::moment::{self, ZoneArg};
#[cfg(feature = "report")]
use crate::page::{Page, Survey};
use crate::print::{json_line, say};
use crate::ranking::{self, Wanted, csv};
#[cfg(feature = "report")]
use crate::report::thousands;
use crate::report::{bar, counted, fitted, table, wrapped};
use crate::store::{Shown, Where, unread, wait};
use crate::watch::watch;
use crate::words::Words;
use crate::{Failure, Outcome, attributes};

/// Show the groups of a store or a cache, or the trackers of one group.
///
/// Can be used while programs are counting. With both --cache and --store, shows
/// the store together with changes that are only in the cache yet. Looking at a
/// group does not change it. Times are relative, or in the time zone of the
/// terminal (TZ); --output json has exact ones.
///
/// Examples:
///   dictrack show --store dictrack.db
///   dictrack show user_001 --store dictrack.db
///   dictrack show user_001 --store dictrack.db --now 2026-12-31T23:59:59Z
///   dictrack show user_001 --cache redis://localhost \
///       --store mongodb://localhost/shop
///   dictrack show --tracker purchases --top 10 --store dictrack.db
///   dictrack show --tracker purchases --at-least 100 --status active \
///       --output csv --store dictrack.db
///   dictrack show --tracker purchases --top 10 --watch --store dictrack.db
///   dictrack show --store dictrack.db --report shop.html
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The group [default: all groups].
    #[arg(add = complete::groups())]
    group: Option<String>,
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    wanted: Wanted,
    /// The output format; csv has a record for each group and tracker.
    #[arg(short, long, default_value = "table")]
    output: Output,
    /// Show trackers and limiters as of this time: seconds since 1970, an RFC 3339 timestamp or a date [default: the
    /// clock].
    #[arg(long, value_name = "TIME", conflicts_with = "watch")]
    now: Option<String>,
    /// Show it again every second, until Ctrl-C. If standard output is not a terminal, print it again whenever documents have
    /// changed it.
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    zone: ZoneArg,
    /// Write a report about all groups to this file instead: an HTML page with the stages, completions over time and the furthest
    /// groups of each tracker, or of the one named by --tracker.
    #[cfg(feature = "report")]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["group", "watch", "output", "limit", "top", "at_least", "at_most", "status"])]
    report: Option<PathBuf>,
    /// The maximum number of groups to list; 0 for all [default: 50, with csv all].
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// A table for people.
    Table,
    /// JSON for programs.
    Json,
    /// Comma-separated values for spreadsheets.
    Csv,
}

pub(crate) fn show(args: &Args) -> Outcome {
    let place = args.place.named()?;
    #[cfg(feature = "report")]
    if let Some(file) = &args.report {
        Page::check(file)?;
        report(&place.open()?, args)?.write(file)?;
        return Ok(true);
    }
    let mut shown = place.open()?;
    if !args.watch {
        let now = moment::read(args.now.as_deref())?;
        show_as_of(&shown, args, now, &mut |text| say(text))?;
        return Ok(true);
    }
    watch(|now| {
        if !shown.store.is_remote() {
            // A file may have been replaced.
            shown = place.open()?;
        }
        let mut all = String::new();
        show_as_of(&shown, args, now, &mut |text| all.extend([&*text, "\n"]))?;
        Ok(all)
    })
}

/// The page about all groups.
#[cfg(feature = "report")]
fn report(shown: &Shown, args: &Args) -> Result<Page, Failure> {
    let (engine, now) = (args.zone.engine(), moment::read(args.now.as_deref())?);
    let names = args.wanted.tracker.as_deref().map(|name| [name]);
    let mut survey = Survey::default();
    each_group(&*shown.store, &engine, |id, group| {
        survey.add(id, group, &engine, names.as_ref().map(<[_; 1]>::as_slice), now);
        Ok(true)
    })?;
    Ok(Page {
        title: shown.name.clone(),
        about: String::new(),
        now,
        facts: vec![("groups", thousands(survey.groups))],
        trackers: survey.into_sections(),
        malformed: (Vec::new(), 0),
    })
}

/// Shows what was asked for, piece by piece.
fn show_as_of(shown: &Shown, args: &Args, now: Timestamp, say: &mut dyn FnMut(String)) -> Result<(), Failure> {
    let (store, engine) = (&*shown.store, args.zone.engine());
    match &args.group {
        Some(id) => {
            let group = shown.group(id, &engine)?;
            match args.output {
                Output::Table => show_group(id, &group, &engine, now, say),
                Output::Json => say(json_line(&group_json(id, &group, &engine, now))),
                Output::Csv => csv(&ranking::all(id, &group, &engine, now), true)?.into_iter().for_each(say),
            }
            Ok(())
        }
        None if let Some(tracker) = &args.wanted.tracker => show_places(store, &engine, args, tracker, now, say),
        None => show_groups(store, &engine, args, now, say),
    }
}

fn group_json(id: &str, group: &Group, engine: &Engine, now: Timestamp) -> Json {
    let trackers = group.trackers(engine, None, now).iter().map(tracker_json).collect();
    let entries = [
        ("group", Json::from(id)),
        ("attributes", group.attributes().clone().into()),
        ("trackers", Json::List(trackers)),
        ("completed", Json::List(group.completed().iter().map(CompletedTracker::to_json).collect())),
    ];
    Json::Map(entries.into_iter().map(|(key, value)| (key.into(), value)).collect::<Map>())
}

fn tracker_json(tracker: &TrackerSnapshot) -> Json {
    let json = tracker.to_json();
    let Json::Map(mut map) = json else { return json };
    if tracker.definition.every().is_some() {
        map.insert("periods".into(), tracker.periods().iter().map(PeriodRecord::to_json).collect::<Vec<_>>().into());
    }
    Json::Map(map)
}

fn show_group(id: &str, group: &Group, engine: &Engine, now: Timestamp, say: &mut dyn FnMut(String)) {
    let attributes = attributes::lines(group.attributes());
    if is_empty(group, now) && attributes.is_empty() {
        say(format!("group {}: all trackers were removed or have expired", plain(id)));
        return;
    }
    say(format!("group {}", plain(id)));
    attributes.into_iter().for_each(&mut *say);
    if is_empty(group, now) {
        say("no trackers".to_owned());
        return;
    }
    let words = Words::at(now);
    let active = group.trackers(engine, None, now);
    say(fitted(20, |cells| trackers(&active, &group.completed(), &words, cells)));
    for tracker in &active {
        let periods = tracker.periods();
        if !periods.is_empty() {
            say(format!("periods of {}", plain(tracker.name())));
            periods.iter().for_each(|record| say(period(record, tracker, &words)));
        }
    }
}

/// One line about a period: `  2026-11-28 00:00 to 2026-11-29 00:00  3/3, completed at 17:20`.
fn period(record: &PeriodRecord, tracker: &TrackerSnapshot, words: &Words) -> String {
    let mut line = format!("  {}  {}", words.period(record.period), record.progress);
    let targets = tracker.definition.targets();
    if record.met.is_none()
        && let Some(target) = targets.get(record.stage - 1)
    {
        line.push_str(&format!("/{target}"));
        if targets.len() > 1 {
            line.push_str(&format!(", stage {} of {}", record.stage, targets.len()));
        }
    }
    if record.cycle > 0 {
        line.push_str(&format!(", cycle {}", record.cycle + 1));
    }
    match record.met {
        Some(true) => line.push_str(", met"),
        Some(false) => line.push_str(", not met"),
        None => {}
    }
    if let Some(moment) = record.completed_at {
        line.push_str(&format!(", completed {}", words.date(moment)));
    }
    line
}

/// Whether a group has no trackers left. Its document ids are kept, so that documents still count only once.
fn is_empty(group: &Group, now: Timestamp) -> bool {
    group.active_names(now).next().is_none() && group.completed().is_empty()
}

/// The progress as a fraction of the target, if there is one.
pub(crate) fn part(tracker: &TrackerSnapshot) -> Option<f64> {
    Some(tracker.progress.to_f64() / tracker.target()?.to_f64())
}

/// One row per tracker, with bars of `cells` cells.
fn trackers(active: &[TrackerSnapshot], completed: &[CompletedTracker], words: &Words, cells: usize) -> Table {
    let header = ["tracker", "progress", "", "stage", "status"];
    let mut table = table(presets::NOTHING, &header, &["tracker", "status"]);
    for tracker in active {
        let mut stage = match tracker.definition.targets().len() {
            0 => String::new(),
            stages => format!("{} of {stages}", tracker.stage),
        };
        if tracker.definition.loop_forever() {
            stage.push_str(&format!(", cycle {}", tracker.cycle + 1));
        }
        table.add_row([
            plain(tracker.name()).into_owned(),
            part(tracker).map_or_else(String::new, |part| bar(part, cells)),
            tracker.tally().to_string(),
            stage,
            words.status(tracker).join("\n"),
        ]);
    }
    for completed in completed {
        let tracker = &completed.tracker;
        table.add_row([
            plain(tracker.name()).into_owned(),
            bar(1.0, cells),
            tracker.tally().to_string(),
            "completed".to_owned(),
            words.date(completed.completed_at),
        ]);
    }
    table
}

/// Shows the groups of a store to `visit`, in order, until it returns `false`. Returns whether it did.
pub(crate) fn each_group(
    store: &dyn DataStore,
    engine: &Engine,
    mut visit: impl FnMut(&str, &Group) -> Result<bool, Failure>,
) -> Result<bool, Failure> {
    const PAGE: usize = 1000;
    let mut sets = RecentSets::default();
    let mut last: Option<String> = None;
    loop {
        let page = wait(store.groups(last.as_deref(), PAGE)).map_err(|error| unread(&error))?;
        let Some(end) = page.last().cloned() else { return Ok(false) };
        for id in &page {
            let Some(group) = wait(store.load(id, engine)).map_err(|error| unread(&error))? else { continue };
            sets.keep(group.definition_set());
            if !visit(id, &group)? {
                return Ok(true);
            }
        }
        last = Some(end);
    }
}

impl Args {
    /// The maximum number of groups to list.
    fn most(&self) -> usize {
        match self.limit {
            None if self.output == Output::Csv => usize::MAX,
            None => 50,
            Some(0) => usize::MAX,
            Some(most) => most,
        }
    }
}

fn show_groups(
    store: &dyn DataStore,
    engine: &Engine,
    args: &Args,
    now: Timestamp,
    say: &mut dyn FnMut(String),
) -> Result<(), Failure> {
    let mut rows = Vec::new();
    let (mut shown, mut empty): (usize, u64) = (0, 0);
    if args.output == Output::Csv {
        csv(&[], true)?.into_iter().for_each(&mut *say);
    }
    let more = each_group(store, engine, |id, group| {
        if is_empty(group, now) {
            empty += 1;
            return Ok(true);
        }
        if shown == args.most() {
            return Ok(false);
        }
        shown += 1;
        match args.output {
            Output::Table => rows.push(Overview::of(id, group, engine, now)),
            Output::Json => say(json_line(&group_json(id, group, engine, now))),
            Output::Csv => csv(&ranking::all(id, group, engine, now), false)?.into_iter().for_each(&mut *say),
        }
        Ok(true)
    })?;
    if args.output == Output::Table {
        say(fitted(12, |cells| overviews(&rows, cells)));
        let empty = if empty > 0 { format!(", {} without trackers", counted(empty, "other")) } else { String::new() };
        let rest = if more { " shown; use --limit 0 to list all" } else { "" };
        say(wrapped(&format!("{}{empty}{rest}", counted(shown as u64, "group"))));
    }
    Ok(())
}

/// Lists the groups that have a tracker: the furthest first, or all in the order of their ids.
fn show_places(
    store: &dyn DataStore,
    engine: &Engine,
    args: &Args,
    tracker: &str,
    now: Timestamp,
    say: &mut dyn FnMut(String),
) -> Result<(), Failure> {
    let mut more = false;
    let places = match args.wanted.top {
        Some(top) => {
            let query = args.wanted.query(tracker, top);
            wait(store.find(&query, now, engine)).map_err(|error| unread(&error))?
        }
        None => {
            let query = args.wanted.query(tracker, args.most());
            let mut places = Vec::new();
            more = each_group(store, engine, |id, group| {
                let Some(place) = query.place(id, group, engine, now) else { return Ok(true) };
                if places.len() == query.limit {
                    return Ok(false);
                }
                places.push(place);
                Ok(true)
            })?;
            places
        }
    };
    match args.output {
        Output::Json => places.iter().for_each(|place| say(json_line(&place.to_json()))),
        Output::Csv => csv(&places, true)?.into_iter().for_each(say),
        Output::Table => {
            say(fitted(20, |cells| ranking::places(&places, cells)));
            let rest = if more { " shown; use --limit 0 to list all" } else { "" };
            say(wrapped(&format!("{}{rest}", counted(places.len() as u64, "group"))));
        }
    }
    Ok(())
}

/// One line in the list of groups.
struct Overview {
    group: String,
    active: usize,
    completed: usize,
    limited: usize,
    /// The progress of the tracker closest to its target, as a fraction and as text.
    furthest: Option<(f64, String)>,
}

impl Overview {
    fn of(id: &str, group: &Group, engine: &Engine, now: Timestamp) -> Self {
        let trackers = group.trackers(engine, None, now);
        let parts = trackers.iter().filter_map(|tracker| Some((part(tracker)?, tracker)));
        let furthest = parts.max_by(|(a, _), (b, _)| a.total_cmp(b));
        let words = |tracker: &TrackerSnapshot| format!("{} {}", plain(tracker.name()), tracker.tally());
        Self {
            group: plain(id).into_owned(),
            active: trackers.len(),
            completed: group.completed().len(),
            limited: trackers.iter().filter(|tracker| tracker.limited).count(),
            furthest: furthest.map(|(part, tracker)| (part, words(tracker))),
        }
    }
}

fn overviews(rows: &[Overview], cells: usize) -> Table {
    let header = ["group", "active", "completed", "limited", "furthest", ""];
    let mut table = table(presets::NOTHING, &header, &["group", ""]);
    table.column_iter_mut().skip(1).take(3).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    for row in rows {
        let (part, words) = match &row.furthest {
            Some((part, words)) => (bar(*part, cells), words.as_str()),
            None => (String::new(), ""),
        };
        let numbers = [row.active, row.completed, row.limited].map(|number| number.to_string());
        let cells = std::iter::once(row.group.clone()).chain(numbers).chain([part, words.to_owned()]);
        table.add_row(cells);
    }
    table
}
