//! `dictrack doctor`: examines servers and files before programs rely on them.

use console::{Style, style};
use dictrack::cache::DataCache as _;
use dictrack::doctor::{Examination, Finding, Level, Setup};
use dictrack::json::Json;
use dictrack::open::OpenOptions;
use dictrack::text::sentence;
use dictrack::zone::Zones;

use crate::Outcome;
use crate::print::{say, say_json};
use crate::report::{Output, counted, object, spinner};
use crate::store::{Where, wait};

/// Examine a cache and a store: what could lose progress, and how to fix it.
///
/// Checks every row of a file against its checksum. If both a cache and a store
/// are given, examines the cache as one with a store behind it. Writes a few keys
/// to the cache and a small file beside the store, and removes them again. Exits
/// with 1 if there is a problem.
///
/// Also says which version of the time zone database is compiled in, and notes
/// programs that wrote the cache or the store with another one. Programs that
/// share groups should have the same one, so that they agree about when the days
/// of a zone begin.
///
/// Examples:
///   dictrack doctor --store dictrack.db
///   dictrack doctor --cache redis://localhost --store mongodb://localhost/shop
///   dictrack doctor --cache redis://localhost --output json | jq '.findings'
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Where,
    /// The output format.
    #[arg(short, long, default_value = "table")]
    output: Output,
}

pub(crate) fn doctor(args: &Args) -> Outcome {
    // Usage errors are reported before connecting to anything.
    let (cache, store) = args.place.named()?.read()?;
    let cache = cache.map(|cache| cache.open(&OpenOptions::default())).transpose()?;
    let setup = if cache.is_some() && store.is_some() { Setup::both() } else { Setup::default() };
    let looking = spinner("{spinner} examining {elapsed} {msg}");
    let mut examinations = Vec::new();
    if let Some(cache) = &cache {
        examinations.push(wait(cache.examine(&setup)));
    }
    if let Some(store) = &store {
        let mut progress = |checked: u64| {
            if checked.is_multiple_of(1000) {
                looking.set_message(format!("{} checked", counted(checked, "group")));
            }
        };
        examinations.push(wait(store.examine(&setup, &mut progress)));
    }
    looking.finish_and_clear();
    if args.output.is_json() {
        say_json(&Json::Map(
            [
                ("examined", Json::List(examinations.iter().map(seen_json).collect())),
                ("findings", Json::List(examinations.iter().flat_map(findings_json).collect())),
                ("zone_data", Zones::version().into()),
            ]
            .map(|(key, value)| (key.into(), value))
            .into_iter()
            .collect(),
        ));
    } else {
        examinations.iter().for_each(show);
        say(format_args!("Time zone data of this command: {}", Zones::version()));
        say(summary(&examinations));
    }
    Ok(examinations.iter().all(|examination| examination.level() < Some(Level::Problem)))
}

fn seen_json(examination: &Examination) -> Json {
    let facts = examination
        .facts
        .iter()
        .map(|(name, value)| object([("name", Json::from(*name)), ("value", Json::from(value.as_str()))]));
    object([("subject", Json::from(examination.subject.as_str())), ("facts", Json::List(facts.collect()))])
}

fn findings_json(examination: &Examination) -> impl Iterator<Item = Json> {
    examination.findings.iter().map(|finding| {
        object([
            ("subject", Json::from(examination.subject.as_str())),
            ("code", Json::from(finding.code)),
            ("level", Json::from(finding.level.as_str())),
            ("found", Json::from(finding.found.as_str())),
            ("meaning", Json::from(finding.meaning.as_str())),
            ("remedy", Json::from(finding.remedy.as_str())),
        ])
    })
}

fn show(examination: &Examination) {
    say(style(sentence(&examination.subject)).bold());
    let widest = examination.facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in &examination.facts {
        say(format_args!("  {name:widest$}  {}", sentence(value)));
    }
    // Most severe first; otherwise in the order in which they were found.
    let mut findings: Vec<_> = examination.findings.iter().collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    findings.into_iter().for_each(show_finding);
    say("");
}

fn show_finding(finding: &Finding) {
    let (sign, look) = signed(finding.level);
    say(format_args!("  {} {} {}", look.apply_to(sign), look.apply_to(finding.code), sentence(&finding.found)));
    if !finding.meaning.is_empty() {
        say(format_args!("      {}", sentence(&finding.meaning)));
    }
    if !finding.remedy.is_empty() {
        say(format_args!("      → {}", sentence(&finding.remedy)));
    }
}

fn signed(level: Level) -> (&'static str, Style) {
    match level {
        Level::Note => ("·", Style::new().cyan()),
        Level::Warning => ("!", Style::new().yellow()),
        _ => ("✗", Style::new().red().bold()),
    }
}

fn summary(examinations: &[Examination]) -> String {
    let levels = || examinations.iter().flat_map(|examination| &examination.findings).map(|finding| finding.level);
    let count = |level| levels().filter(|found| *found == level).count() as u64;
    match (count(Level::Problem), count(Level::Warning)) {
        (0, 0) => format!("{} no problems found", style("✓").green()),
        (0, warnings) => counted(warnings, "warning"),
        (problems, 0) => counted(problems, "problem"),
        (problems, warnings) => format!("{}, {}", counted(problems, "problem"), counted(warnings, "warning")),
    }
}
