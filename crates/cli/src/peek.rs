//! `dictrack peek`: what the trackers of a group allow, before one acts.

use std::collections::HashSet;

use comfy_table::{Table, presets};
use dictrack::json::{Json, Map};
use dictrack::text::plain;
use dictrack::url::quoted;
use dictrack::{LimiterDefinition, LimiterView, Status, TrackerSnapshot};

use crate::complete;
use crate::moment::{self, ZoneArg};
use crate::print::{say, say_json};
use crate::report::{Output, fitted, object, table};
use crate::store::Where;
use crate::words::Words;
use crate::{Failure, Outcome};

/// Show what the trackers of a group allow now, without changing anything.
///
/// Each limiter shows what is left, when it admits the next document, and when it
/// is as new. A tracker with `every` also shows its period. Times are relative,
/// or in the time zone of the terminal (TZ); --output json has exact ones: limit,
/// remaining, retry_at and reset_at of each limiter, period and resets_at of each
/// tracker.
///
/// Examples:
///   dictrack peek user_001 --store dictrack.db
///   dictrack peek user_001 api_calls --store dictrack.db --output json | jq \
///       '.. | .retry_at? // empty'
///   dictrack peek user_001 --cache redis://localhost \
///       --now 2026-12-31T23:59:59Z --zone Europe/Berlin
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The group.
    #[arg(add = complete::groups())]
    group: String,
    /// The trackers to show [default: all active ones].
    #[arg(value_name = "TRACKER", add = complete::trackers())]
    names: Vec<String>,
    #[command(flatten)]
    place: Where,
    /// The moment: seconds since 1970, an RFC 3339 timestamp or a date [default: the clock].
    #[arg(long, value_name = "TIME")]
    now: Option<String>,
    #[command(flatten)]
    zone: ZoneArg,
    /// The output format.
    #[arg(short, long, default_value = "table")]
    output: Output,
}

pub(crate) fn peek(args: &Args) -> Outcome {
    let shown = args.place.named()?.open()?;
    let now = moment::read(args.now.as_deref())?;
    let engine = args.zone.engine();
    let group = shown.group(&args.group, &engine)?;
    let names: Vec<&str> = args.names.iter().map(String::as_str).collect();
    let active: HashSet<&str> = group.active_names(now).collect();
    if let Some(missing) = names.iter().find(|name| !active.contains(*name)) {
        let group = quoted(&args.group);
        return Err(Failure(format!("group {group} has no active tracker {}", quoted(missing))));
    }
    let trackers = group.trackers(&engine, if names.is_empty() { None } else { Some(&names) }, now);
    if args.output.is_json() {
        say_json(&object([
            ("group", args.group.as_str().into()),
            ("now", now.to_number().into()),
            ("trackers", Json::List(trackers.iter().map(tracker_json).collect())),
        ]));
        return Ok(true);
    }
    let words = Words::at(now);
    say(format_args!("group {}", plain(&args.group)));
    say(match trackers.is_empty() {
        true => "no active trackers".to_owned(),
        false => fitted(0, |_| limits(&trackers, &words)),
    });
    Ok(true)
}

fn tracker_json(tracker: &TrackerSnapshot) -> Json {
    let json = tracker.to_json();
    let Json::Map(mut map) = json else { return json };
    let end = tracker.period.map(|period| period.end().to_number().into());
    map.insert("resets_at".into(), end.unwrap_or(Json::Null));
    Json::Map(map)
}

/// A row for each limiter, and one for each tracker that has periods or no limiters.
fn limits(trackers: &[TrackerSnapshot], words: &Words) -> Table {
    let header = ["tracker", "limit", "state", "next", "renews"];
    let mut table = table(presets::NOTHING, &header, &header);
    for tracker in trackers {
        let mut name = plain(tracker.name()).into_owned();
        let mut row = |[limit, state, next, renews]: [String; 4]| {
            table.add_row([std::mem::take(&mut name), limit, state, next, renews]);
        };
        if tracker.period.is_some() || tracker.limiters.is_empty() {
            row(own(tracker, words));
        }
        for (definition, view) in tracker.definition.limiters().iter().zip(&tracker.limiters) {
            row([limiter(definition, words), words.left(view), next(view, words), renews(view, words)]);
        }
    }
    table
}

/// The row of a tracker itself: its period, its progress, whether it rests, and the end of its period.
fn own(tracker: &TrackerSnapshot, words: &Words) -> [String; 4] {
    let renews = tracker.period.map_or_else(String::new, |period| words.away(period.end()));
    let target = tracker.target().map(|target| format!("target {target}"));
    let every = tracker.definition.every().map(|every| format!("every {}", every.window.length()));
    let limit = target.into_iter().chain(every).collect::<Vec<_>>().join(", ");
    let progress = tracker.tally().to_string();
    match tracker.status {
        Status::Resting => [limit, format!("{progress} resting"), renews.clone(), renews],
        // Its limiters have rows of their own.
        _ if !tracker.limiters.is_empty() => [limit, progress, String::new(), renews],
        _ => [limit, progress, "now".to_owned(), renews],
    }
}

/// A limiter as its definition says it: `count 100, per minute`.
fn limiter(definition: &LimiterDefinition, words: &Words) -> String {
    let json = definition.to_json();
    let field = |(key, value): (&str, &Json)| {
        match (definition, value) {
            (LimiterDefinition::Fixed(fixed), _) if key == "start" => fixed.start().map(|start| words.date(start)),
            (LimiterDefinition::Fixed(fixed), _) if key == "end" => fixed.end().map(|end| words.date(end)),
            (_, Json::Text(text)) => Some(plain(text).into_owned()),
            (_, value) => Some(plain(&value.to_string()).into_owned()),
        }
        .map(|value| format!("{key} {value}"))
    };
    let fields = json.as_map().into_iter().flat_map(Map::iter).filter_map(field);
    fields.collect::<Vec<_>>().join(", ")
}

fn next(view: &LimiterView, words: &Words) -> String {
    match view.retry_at {
        Some(moment) => words.away(moment),
        None if view.state.is_some() => String::new(),
        None => "not before a reset".to_owned(),
    }
}

fn renews(view: &LimiterView, words: &Words) -> String {
    view.reset_at.map_or_else(String::new, |moment| words.away(moment))
}
