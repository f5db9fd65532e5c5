//! The arguments of `dictrack run`.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{LazyLock, OnceLock};

use dictrack::custom::Registry;
use dictrack::json::Json;
use dictrack::open::OpenOptions;
use dictrack::{Condition, Document, Durability, EventCode, Path, Span, TrackerDefinition};

use super::csv::Typing;
use super::grouping::Grouping;
use super::input::Format;
use super::local::LocalTimes;
use crate::moment::{self, ZoneArg};
use crate::{Failure, misused, store};

/// Count the documents in files or on standard input.
///
/// Every group that appears gets the trackers in FILE. With --store, each commit
/// also records how far each input was read. If a run is interrupted or killed,
/// start it again: it resumes and counts nothing twice.
///
/// With --cache, runs and programs on many machines count for the same groups at
/// the same time.
///
/// On a signal (Ctrl-C, SIGTERM, SIGHUP) the run commits what it has counted and
/// prints its events, for up to 5 seconds. A second signal ends the run at once.
///
/// Exit codes:
///   0    everything was counted
///   1    an error, or an input from which nothing could be counted
///   129, 130, 143   ended by SIGHUP, SIGINT (Ctrl-C) or SIGTERM before everything was counted
///   141  standard output was closed, as by `| head`
///
/// Examples:
///   dictrack run --trackers shop.toml --group-by customer_id --time date \
///       --store shop.db sales.csv
///   dictrack run --trackers quests.toml --group-by player --time at --ahead 5m \
///       --zone Europe/Berlin log.ndjson
///   dictrack run --trackers shop.toml --group-by customer_id --report shop.html \
///       sales.csv
///   tail -f app.log | dictrack run --trackers quotas.yaml --group-by user \
///       --id request --store q.db
///   tail -f app.log | dictrack run --trackers quotas.yaml --group-by user \
///       --id request \
///       --cache redis://cache.internal --store mongodb://db.internal/quotas
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The trackers for every group, in JSON, TOML or YAML.
    #[arg(short, long, value_name = "FILE")]
    pub(super) trackers: PathBuf,
    /// The dotted path of the group in each document. Of several paths, separated by commas, the values together are the
    /// group: alice,DE. Without it, all documents are in the group "all".
    #[arg(short, long, value_name = "PATH,…")]
    pub(super) group_by: Option<Grouping>,
    /// Count only documents for which this condition holds, as in definitions: {"key": "country", "eq": "DE"}. Given several
    /// times, all have to hold.
    #[arg(long = "where", value_name = "CONDITION", value_parser = condition)]
    pub(super) conditions: Vec<Condition>,
    /// The path of the time in each document: seconds since 1970, an RFC 3339 timestamp, a date, or as in spreadsheets
    /// "2026-01-31 14:05:32" in the time zone of --zone [default: the clock].
    #[arg(long, value_name = "PATH", value_parser = path)]
    pub(super) time: Option<Path>,
    /// Reject documents whose time is further ahead of the clock than this: seconds, or 90s, 5m, "1 hour". Otherwise a
    /// document from the far future begins a new period of each window, and all normal ones are late.
    #[arg(long, value_name = "DURATION", requires = "time", value_parser = moment::length)]
    pub(super) ahead: Option<Span>,
    #[command(flatten)]
    pub(super) zone: ZoneArg,
    /// The path of the id in each document: an id counts only once in its group.
    #[arg(short, long, value_name = "PATH", value_parser = path)]
    pub(super) id: Option<Path>,
    /// The store: an SQLite file, or mongodb://user:password@host:port/database. Without --store and --cache, nothing
    /// is stored. [env: DICTRACK_STORE, or DICTRACK_STORE_FILE with the name of a file that contains it]
    #[arg(short, long, value_name = "FILE|URL")]
    pub(super) store: Option<PathBuf>,
    /// The Redis cache that many processes share: redis://user:password@host:port, rediss:// for TLS, or
    /// redis-cluster://host:port,host:port. Needs --id. Without --store, only Redis has the groups.
    /// [env: DICTRACK_CACHE, or DICTRACK_CACHE_FILE with the name of a file that contains it]
    #[arg(long, value_name = "URL")]
    pub(super) cache: Option<String>,
    /// When a commit counts as durable: fsync, os or interval(100ms).
    #[arg(long, default_value = "fsync")]
    pub(super) durability: Durability,
    /// Apply the trackers in FILE to every group that has different ones. Progress is kept, and trackers that are not in FILE
    /// stay. A completed tracker that gains targets becomes active again. With --time, a group without new documents is
    /// updated with its next document.
    #[arg(long)]
    pub(super) update: bool,
    /// With --update, also remove the active trackers that are not in FILE.
    #[arg(long, requires = "update")]
    pub(super) prune: bool,
    /// Count the inputs from the beginning, even if the store has recorded how far they were counted.
    #[arg(long)]
    pub(super) again: bool,
    /// Stop at the first document that is malformed or rejected by --ahead.
    #[arg(long)]
    pub(super) strict: bool,
    /// What to print: a table at the end, that table as JSON or CSV, or each event as a line of JSON.
    #[arg(short, long, default_value = "table")]
    pub(super) output: Output,
    /// Write a report as well: an HTML page with the stages, targets reached and limits hit over time, the furthest groups, and
    /// malformed documents.
    #[cfg(feature = "report")]
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// The events that --output ndjson prints [default: all].
    #[arg(long, value_name = "EVENT,…", value_delimiter = ',', value_parser = code)]
    pub(super) events: Vec<EventCode>,
    /// The format of the inputs [default: depends on the file name and on how the file begins].
    #[arg(short, long)]
    pub(super) format: Option<Format>,
    /// What separates the cells of CSV: one character, or "tab" [default: a comma, or tabs in .tsv files].
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
    pub(super) delimiter: Option<u8>,
    /// CSV columns to read as strings, whatever they look like.
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',')]
    pub(super) text: Vec<String>,
    /// CSV columns to read as numbers, even if they are written as 12.50, 1e3 or +5.
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',')]
    pub(super) number: Vec<String>,
    /// The columns of --number have a decimal comma: 12,50.
    #[arg(long, requires = "number")]
    pub(super) decimal_comma: bool,
    /// The memory limit for groups, in MiB. Groups beyond it are dropped and read again from the store, or from Redis with
    /// --cache. With an SQLite file, the process uses up to 96 MiB more for reading and writing, or 160 MiB if a group has
    /// a million ids, plus 4 MiB for each thread from the third on. Without --store and --cache there is no limit, because
    /// dropped groups could not be read again.
    #[arg(long, value_name = "MIB", default_value_t = 4096)]
    pub(super) memory: usize,
    /// How many threads count documents [default: one for each core]. The results are the same. One with --strict or --cache.
    #[arg(long, value_name = "N", value_parser = thread_count)]
    pub(super) threads: Option<NonZeroUsize>,
    /// Files of JSON lines, JSON, CSV or TSV, plain or packed with gzip or zstd, or Parquet files; folders of such files; quoted
    /// patterns such as "logs/**/*.ndjson"; - for standard input, which is also the default.
    #[arg(value_name = "INPUT")]
    pub(super) inputs: Vec<PathBuf>,
    /// Reads times in `zone`.
    #[arg(skip)]
    times: OnceLock<LocalTimes>,
    /// How old documents are counted for new trackers, if they are.
    #[arg(skip)]
    pub(super) backfill: Option<Backfill>,
}

/// How old documents are counted for new trackers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backfill {
    Emit,
    Silent,
    Dry,
}

/// Count old documents for new trackers.
///
/// Only the trackers in FILE count, in the groups of the store; those that a group
/// lacks are added. The ids of documents and how far each input was read are known
/// for these trackers by themselves: a document that other trackers have counted
/// counts for these, but a second backfill does not count it again. If a backfill
/// is interrupted, start it again: it resumes. Afterwards, live documents go on.
///
/// Take the documents that were counted before the trackers existed, with their
/// own times (--time), and no others: what the trackers have counted already
/// counts again.
///
/// Examples:
///   dictrack backfill new.toml --group-by user --time at --id id --dry \
///       --store app.db 2025.ndjson.gz
///   dictrack backfill new.toml --group-by user --time at --id id --silent \
///       --store app.db 2025.ndjson.gz
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
#[command(mut_arg("trackers", |arg| arg.short(None).long(None).index(1).help("The new trackers, in JSON, TOML or YAML.")))]
#[command(mut_arg("inputs", |arg| arg.index(2)))]
#[command(mut_arg("update", |arg| arg.hide(true)))]
#[command(mut_arg("prune", |arg| arg.hide(true)))]
pub(crate) struct BackfillArgs {
    #[command(flatten)]
    run: Args,
    /// Fire no events: nobody is told about targets that were reached long ago.
    #[arg(long)]
    silent: bool,
    /// Show what would happen, but change nothing. Also possible while a program is counting.
    #[arg(long)]
    dry: bool,
}

impl BackfillArgs {
    pub(super) fn into_run(self) -> Args {
        let Self { mut run, silent, dry } = self;
        if run.update {
            misused("a backfill adds trackers and does not change others; use `dictrack run --update`");
        }
        run.backfill = Some(match (dry, silent) {
            (true, _) => Backfill::Dry,
            (false, true) => Backfill::Silent,
            (false, false) => Backfill::Emit,
        });
        run
    }
}

/// More threads than this only take memory.
const MAX_THREADS: usize = 256;

fn thread_count(text: &str) -> Result<NonZeroUsize, &'static str> {
    text.parse().map_err(|_| "expected a whole number, 1 or more")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Output {
    Table,
    Json,
    Csv,
    Ndjson,
}

impl Args {
    /// Adds what the environment variables name.
    pub(super) fn named(mut self) -> Result<Self, Failure> {
        self.store = store::STORE.named(self.store)?;
        self.cache = store::CACHE.named(self.cache)?;
        if self.update && self.store.is_none() && self.cache.is_none() {
            misused("--update needs --store or --cache");
        }
        if self.again && self.store.is_none() {
            misused("--again needs --store");
        }
        match self.backfill {
            Some(_) if self.store.is_none() && self.cache.is_none() => misused("a backfill needs --store or --cache"),
            Some(Backfill::Dry) if self.store.is_none() => misused("--dry needs --store"),
            Some(_) | None => {}
        }
        Ok(self)
    }

    /// How its store and its cache are opened.
    pub(super) fn options(&self) -> OpenOptions {
        OpenOptions::default().memory(self.memory.saturating_mul(1024 * 1024))
    }

    /// How many threads count documents. Only one in a strict run, which must not count what follows an error, and with a shared
    /// cache, for which other threads wait.
    pub(super) fn lanes(&self) -> usize {
        let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        if self.strict || self.cache.is_some() { 1 } else { self.threads.unwrap_or_else(cores).get().min(MAX_THREADS) }
    }

    /// Where to write a report.
    pub(super) fn report(&self) -> Option<&std::path::Path> {
        #[cfg(feature = "report")]
        return self.report.as_deref();
        #[cfg(not(feature = "report"))]
        None
    }

    pub(super) fn grouping(&self) -> &Grouping {
        static ALL: Grouping = Grouping::ALL;
        self.group_by.as_ref().unwrap_or(&ALL)
    }

    /// Reads the times of documents.
    pub(super) fn times(&self) -> &LocalTimes {
        self.times.get_or_init(|| LocalTimes::of(self.zone.zone))
    }

    /// Whether the conditions of `--where` hold.
    #[inline]
    pub(super) fn includes(&self, document: &dyn Document) -> bool {
        self.conditions.is_empty() || self.conditions.iter().all(|condition| holds(condition, document))
    }

    /// How CSV columns are read.
    pub(super) fn typing(&self) -> Typing {
        let group_by = self.grouping().paths().iter().map(|path| ("--group-by", path.clone()));
        let others = [("--time", &self.time), ("--id", &self.id)];
        let others = others.into_iter().filter_map(|(option, path)| Some((option, path.clone()?)));
        Typing {
            text: self.text.clone(),
            number: self.number.clone(),
            decimal_comma: self.decimal_comma,
            delimiter: self.delimiter,
            paths: group_by.chain(others).collect(),
        }
    }
}

/// Whether a condition holds. One that `condition` accepts runs no custom code, so it cannot fail.
fn holds(condition: &Condition, document: &dyn Document) -> bool {
    static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::default);
    condition.holds(document, &REGISTRY).unwrap_or(false)
}

/// Reads a condition as it is written in a definition.
fn condition(text: &str) -> Result<Condition, String> {
    let json = Json::parse(text.as_bytes()).map_err(|error| format!("not JSON: {error}"))?;
    let entries = [("name", "where".into()), ("kind", "count".into()), ("target", 1_u64.into())];
    let entries = entries.into_iter().chain([("conditions", Json::List(vec![json]))]);
    let definition = Json::Map(entries.map(|(key, value)| (key.into(), value)).collect());
    let definition = TrackerDefinition::from_json(&definition).map_err(|error| error.to_string())?;
    let Some(condition) = definition.conditions().first() else { return Err("expected a condition".to_owned()) };
    if definition.asks_custom() {
        return Err("custom conditions need a program; expected a condition that this command knows".to_owned());
    }
    Ok(condition.clone())
}

pub(super) fn delimiter(text: &str) -> Result<u8, &'static str> {
    match text.as_bytes() {
        b"tab" | b"\\t" => Ok(b'\t'),
        [b'"' | b'\n' | b'\r'] => Err("quotes and line ends have their own meaning; expected another character"),
        [byte] if byte.is_ascii() => Ok(*byte),
        _ => Err("expected one ASCII character, or \"tab\""),
    }
}

fn path(text: &str) -> Result<Path, String> {
    Path::parse(text).ok_or_else(|| "path is empty; expected at least one segment".to_owned())
}

fn code(text: &str) -> Result<EventCode, String> {
    let names = EventCode::ALL.map(EventCode::name).join(", ");
    text.parse().map_err(|_| format!("expected one of {names}"))
}
