//! `dictrack explain`: what a document would do, and why.

use std::collections::HashSet;
use std::io::Read as _;
use std::path::PathBuf;

use comfy_table::{Table, presets};
use dictrack::json::{Json, MAX_BYTES};
use dictrack::text::{plain, sentence};
use dictrack::{
    CompletedTracker, Explanation, Reason, Timestamp,
    group::{Call, Group},
    template::TemplateSet,
};

use crate::complete;
use crate::moment::{self, ZoneArg};
use crate::print::{say, say_json};
use crate::report::{fitted, object, table};
use crate::store::Where;
use crate::words::Words;
use crate::{Failure, Outcome};

/// Show what a document would do to each tracker of a group, and why.
///
/// Changes nothing. A refusal says until when; a document that is too late says
/// when its period ended; a tracker that rests says when it starts again.
///
/// Examples:
///   dictrack explain user_001 --store dictrack.db \
///       '{"event": "purchase", "amount": 12}'
///   dictrack explain user_001 --trackers trackers.toml '{"event": "purchase"}'
///   dictrack explain user_001 --store dictrack.db --now 2026-12-31T23:59:59Z \
///       --zone Europe/Berlin '{}'
///   dictrack explain user_001 --cache redis://localhost \
///       --store mongodb://localhost/shop -
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The group.
    #[arg(add = complete::groups())]
    group: String,
    /// The document as JSON, or - to read it from standard input.
    document: String,
    #[command(flatten)]
    place: Where,
    /// The definitions for a group that is not stored.
    #[arg(long, value_name = "FILE", conflicts_with = "place")]
    trackers: Option<PathBuf>,
    /// The time of the document: seconds since 1970, an RFC 3339 timestamp or a date [default: the clock].
    #[arg(long, value_name = "TIME")]
    now: Option<String>,
    #[command(flatten)]
    zone: ZoneArg,
    /// The output format.
    #[arg(long, default_value = "table")]
    output: super::report::Output,
}

pub(crate) fn explain(args: &Args) -> Outcome {
    let mut text = args.document.clone().into_bytes();
    if text == b"-" {
        text.clear();
        // Anything longer is not a document, which `parse` reports.
        std::io::stdin().take(MAX_BYTES as u64 + 1).read_to_end(&mut text)?;
    }
    let document = Json::parse(&text).map_err(|error| Failure(format!("document: {error}")))?;
    if document.as_map().is_none() {
        return Err(Failure(format!("document: {}; expected a map such as {{\"amount\": 1}}", document.kind())));
    }
    let now = moment::read(args.now.as_deref())?;
    let engine = args.zone.engine();
    let mut group = Group::default();
    if args.trackers.is_none() {
        let shown = args.place.named()?.open()?;
        group = shown.group(&args.group, &engine)?;
    }
    if let Some(path) = &args.trackers {
        engine.templates.set(TemplateSet::new(dictrack::files::read_templates(path)?)?);
        group.apply_templates(&Call::new(&engine, &args.group, now))?;
    }
    let explanations = group.explain(&engine, &document, now);
    let completed = still_completed(&group, now);
    if args.output.is_json() {
        let completed = completed.iter().map(completed_json);
        say_json(&Json::List(explanations.iter().map(explanation_json).chain(completed).collect()));
        return Ok(true);
    }
    let words = Words::at(now);
    say(fitted(0, |_| verdicts(&explanations, &completed, &words)));
    Ok(true)
}

/// The trackers that have completed and are not active again, without duplicates.
pub(crate) fn still_completed(group: &Group, now: Timestamp) -> Vec<CompletedTracker> {
    let mut named: HashSet<String> = group.active_names(now).map(str::to_owned).collect();
    let mut completed = group.completed();
    completed.reverse();
    completed.retain(|completed| named.insert(completed.tracker.name().to_owned()));
    completed.reverse();
    completed
}

fn explanation_json(explanation: &Explanation) -> Json {
    let Json::Map(mut map) = explanation.to_json() else { return Json::Null };
    map.insert("why".into(), explanation.verdict.in_json().into());
    Json::Map(map)
}

fn verdicts(explanations: &[Explanation], completed: &[CompletedTracker], words: &Words) -> Table {
    let mut table = table(presets::NOTHING, &["tracker", "verdict", "why"], &["tracker", "why"]);
    for explanation in explanations {
        table.add_row([
            plain(&explanation.name).into_owned(),
            explanation.verdict.word().replace('_', " "),
            why(&explanation.verdict, words),
        ]);
    }
    for completed in completed {
        table.add_row([plain(completed.tracker.name()).into_owned(), "completed".to_owned(), why_completed(completed)]);
    }
    table
}

/// The reason, and how far away its moment is: `refused by …, until 2026-11-29T00:00:00Z (in 3 h)`.
fn why(verdict: &Reason, words: &Words) -> String {
    let moment = match verdict {
        Reason::Limited { until, .. } => *until,
        Reason::Skipped { until, ended, .. } => until.or(*ended),
        _ => None,
    };
    let why = verdict.in_json();
    let why = sentence(&why);
    match moment {
        Some(moment) => format!("{why} ({})", words.away(moment)),
        None => why.into_owned(),
    }
}

fn why_completed(completed: &CompletedTracker) -> String {
    format!("it reached its last target at {} and no longer counts", completed.completed_at)
}

fn completed_json(completed: &CompletedTracker) -> Json {
    object([
        ("name", completed.tracker.name().into()),
        ("verdict", "completed".into()),
        ("why", why_completed(completed).into()),
        ("completed_at", completed.completed_at.to_string().into()),
    ])
}
