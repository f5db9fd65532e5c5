//! `dictrack show`: the contents of a store.

use comfy_table::{CellAlignment, Table, presets};
use dictrack::json::{Json, Map};
use dictrack::store::DataStore;
use dictrack::text::plain;
use dictrack::url::quoted;
use dictrack::{
    CompletedTracker, Timestamp, TrackerSnapshot,
    group::{Engine, Group},
};

use crate::print::{say, say_json};
use crate::report::{Output, bar, counted, fitted, table};
use crate::store::{Where, unread, wait};
use crate::{Failure, Outcome, moment};

/// Show the groups of a store or a cache, or the trackers of one group.
///
/// Can be used while programs are counting. With both --cache and --store, shows the store together with
/// changes that are only in the cache yet.
///
/// Examples:
///   dictrack show --store dictrack.db
///   dictrack show user_001 --store dictrack.db
///   dictrack show user_001 --store dictrack.db --now 2026-12-31T23:59:59Z
///   dictrack show user_001 --cache redis://localhost --store mongodb://localhost/shop
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The group [default: all groups].
    group: Option<String>,
    #[command(flatten)]
    place: Where,
    /// The output format.
    #[arg(long, default_value = "table")]
    output: Output,
    /// Show trackers and limiters as of this time: seconds since 1970, an RFC 3339 timestamp or a date [default: the
    /// clock].
    #[arg(long, value_name = "TIME")]
    now: Option<String>,
    /// The maximum number of groups to list; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

pub(crate) fn show(args: &Args) -> Outcome {
    let shown = args.place.named()?.open()?;
    let (store, engine) = (&*shown.store, Engine::default());
    let now = moment::read(args.now.as_deref())?;
    match &args.group {
        Some(id) => {
            let group = wait(store.load(id, &engine)).map_err(|error| unread(&error))?;
            let group = group.ok_or_else(|| Failure(format!("{}: group {} does not exist", shown.name, quoted(id))))?;
            show_group(id, &group, args.output, now);
        }
        None => show_groups(store, &engine, args, now)?,
    }
    Ok(true)
}

fn group_json(id: &str, group: &Group, now: Timestamp) -> Json {
    let completed = |completed: &CompletedTracker| {
        let Json::Map(mut map) = completed.tracker.to_json() else { return Json::Null };
        map.insert("completed_at".into(), completed.completed_at.to_string().into());
        Json::Map(map)
    };
    let trackers = group.trackers(None, now).iter().map(TrackerSnapshot::to_json).collect();
    let entries = [
        ("group", Json::from(id)),
        ("trackers", Json::List(trackers)),
        ("completed", Json::List(group.completed().iter().map(completed).collect())),
    ];
    Json::Map(entries.into_iter().map(|(key, value)| (key.into(), value)).collect::<Map>())
}

fn show_group(id: &str, group: &Group, output: Output, now: Timestamp) {
    if output.is_json() {
        say_json(&group_json(id, group, now));
        return;
    }
    if is_empty(group, now) {
        say(format_args!("group {}: all trackers were removed or have expired", plain(id)));
        return;
    }
    let table = fitted(20, |cells| trackers(group, cells, now));
    say(format_args!("group {}\n{table}", plain(id)));
}

/// Whether a group has no trackers left. Its document ids are kept, so that documents still count only once.
fn is_empty(group: &Group, now: Timestamp) -> bool {
    group.trackers(None, now).is_empty() && group.completed().is_empty()
}

/// One line per tracker, with bars of `cells` cells.
fn trackers(group: &Group, cells: usize, now: Timestamp) -> Table {
    let header = ["tracker", "progress", "", "stage", "limiters"];
    let mut table = table(presets::NOTHING, &header, &["tracker", "limiters"]);
    for tracker in group.trackers(None, now) {
        let stages = tracker.definition.targets().len();
        let mut stage = format!("{} of {stages}", tracker.stage);
        if tracker.definition.loop_forever() {
            stage.push_str(&format!(", cycle {}", tracker.cycle + 1));
        }
        table.add_row([
            plain(tracker.name()).into_owned(),
            bar(tracker.progress.to_f64() / tracker.target().to_f64(), cells),
            format!("{}/{}", tracker.progress, tracker.target()),
            stage,
            limiters(&tracker),
        ]);
    }
    for completed in group.completed() {
        let tracker = &completed.tracker;
        table.add_row([
            plain(tracker.name()).into_owned(),
            bar(1.0, cells),
            format!("{}/{}", tracker.progress, tracker.target()),
            "completed".to_owned(),
            completed.completed_at.to_string(),
        ]);
    }
    table
}

fn limiters(tracker: &TrackerSnapshot) -> String {
    let words = tracker.limiters.iter().map(|limiter| match (limiter.remaining, limiter.limit) {
        (Some(remaining), Some(limit)) => format!("{remaining} of {limit} left"),
        _ => match (limiter.start, limiter.end, &limiter.state) {
            (None, Some(end), _) => format!("until {end}"),
            (Some(start), None, _) => format!("from {start}"),
            (Some(start), Some(end), _) => format!("{start} to {end}"),
            (None, None, Some(state)) if *state != Json::Null => plain(&state.to_string()).into_owned(),
            (None, None, _) => "custom".to_owned(),
        },
    });
    let mut text = words.collect::<Vec<_>>().join(", ");
    if tracker.limited {
        text = format!("LIMITED {text}");
    }
    text
}

fn show_groups(store: &dyn DataStore, engine: &Engine, args: &Args, now: Timestamp) -> Result<(), Failure> {
    const PAGE: usize = 1000;
    let most = if args.limit == 0 { usize::MAX } else { args.limit };
    let mut rows = Vec::new();
    let (mut shown, mut empty, mut last): (usize, u64, Option<String>) = (0, 0, None);
    let more = loop {
        let page = wait(store.groups(last.as_deref(), PAGE));
        let page = page.map_err(|error| unread(&error))?;
        let Some(end) = page.last().cloned() else { break false };
        let mut full = false;
        for id in &page {
            if shown == most {
                full = true;
                break;
            }
            let group = wait(store.load(id, engine)).map_err(|error| unread(&error))?;
            let Some(group) = group else { continue };
            if is_empty(&group, now) {
                empty += 1;
                continue;
            }
            shown += 1;
            if args.output.is_json() {
                say_json(&group_json(id, &group, now));
            } else {
                rows.push(Overview::of(id, &group, now));
            }
        }
        if full {
            break true;
        }
        last = Some(end);
    };
    if !args.output.is_json() {
        say(fitted(12, |cells| overviews(&rows, cells)));
        let empty = if empty > 0 { format!(", {} without trackers", counted(empty, "other")) } else { String::new() };
        let rest = if more { " shown; use --limit 0 to list all" } else { "" };
        say(format_args!("{}{empty}{rest}", counted(shown as u64, "group")));
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
    fn of(id: &str, group: &Group, now: Timestamp) -> Self {
        let trackers = group.trackers(None, now);
        let part = |tracker: &TrackerSnapshot| tracker.progress.to_f64() / tracker.target().to_f64();
        let furthest = trackers.iter().max_by(|a, b| part(a).total_cmp(&part(b)));
        let words =
            |tracker: &TrackerSnapshot| format!("{} {}/{}", plain(tracker.name()), tracker.progress, tracker.target());
        Self {
            group: plain(id).into_owned(),
            active: trackers.len(),
            completed: group.completed().len(),
            limited: trackers.iter().filter(|tracker| tracker.limited).count(),
            furthest: furthest.map(|tracker| (part(tracker), words(tracker))),
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
