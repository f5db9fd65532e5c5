//! What `dictrack run` is told.

use std::path::PathBuf;

use dictrack::{Durability, EventCode, Path};

use super::csv::Typing;
use super::input::Format;
use crate::{Failure, misused, store};

/// Count the documents of files or of standard input.
///
/// Every group that appears has the trackers of FILE. With --store, how far each input was read is kept
/// in the same commit as what it counted: interrupted, or killed, and started again, the run goes on
/// and counts nothing twice.
///
/// With --cache, runs and programs on many machines count for the same groups at the same time.
///
/// A signal (Ctrl-C, SIGTERM, SIGHUP) has what was counted committed and its events printed, for at most
/// 5 seconds; a second one ends the run at once.
///
/// Exit codes:
///   0    everything was counted
///   1    an error, or an input of which nothing could be counted
///   129, 130, 143   ended by SIGHUP, SIGINT (Ctrl-C), SIGTERM before everything was counted
///   141  standard output was closed, as by `| head`
///
/// Examples:
///   dictrack run --trackers shop.toml --group-by customer_id --time date --store shop.db sales.csv
///   tail -f app.log | dictrack run --trackers quotas.yaml --group-by user --id request --store q.db
///   tail -f app.log | dictrack run --trackers quotas.yaml --group-by user --id request \
///       --cache redis://cache.internal --store mongodb://db.internal/quotas
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The trackers of every group, in JSON, TOML or YAML.
    #[arg(long, value_name = "FILE")]
    pub(super) trackers: PathBuf,
    /// Where a document says its group, as a dotted path.
    #[arg(long, value_name = "PATH", value_parser = path)]
    pub(super) group_by: Path,
    /// Where a document says its moment: seconds since 1970, an RFC 3339 text or a date; the clock if this is not given.
    #[arg(long, value_name = "PATH", value_parser = path)]
    pub(super) time: Option<Path>,
    /// Where a document says its id: an id counts once in its group.
    #[arg(long, value_name = "PATH", value_parser = path)]
    pub(super) id: Option<Path>,
    /// What keeps everything: an SQLite file, or mongodb://user:password@host:port/database. Without it and --cache,
    /// nothing is kept. [env: DICTRACK_STORE, or DICTRACK_STORE_FILE with the name of a file that holds it]
    #[arg(long, value_name = "FILE|URL")]
    pub(super) store: Option<PathBuf>,
    /// The Redis that holds the groups of many processes: redis://user:password@host:port, rediss:// with TLS,
    /// redis-cluster://host:port,host:port. Needs --id. Without --store, Redis alone keeps the groups.
    /// [env: DICTRACK_CACHE, or DICTRACK_CACHE_FILE with the name of a file that holds it]
    #[arg(long, value_name = "URL")]
    pub(super) cache: Option<String>,
    /// When a commit counts as kept: fsync, os or interval(100ms).
    #[arg(long, default_value = "fsync")]
    pub(super) durability: Durability,
    /// Adopt the trackers of FILE in every group, where the store holds others. Progress is kept; a completed
    /// tracker that gains targets is active again; with --time, groups without new documents follow with their next one.
    #[arg(long)]
    pub(super) update: bool,
    /// Count the inputs from their beginning, although the store says how far they were counted.
    #[arg(long)]
    pub(super) again: bool,
    /// Stop at the first malformed document.
    #[arg(long)]
    pub(super) strict: bool,
    /// What is printed: a closing table, that table as JSON, or each event as a line of JSON.
    #[arg(long, default_value = "table")]
    pub(super) output: Output,
    /// The events that --output ndjson prints; all, if this is not given.
    #[arg(long, value_name = "EVENT,…", value_delimiter = ',', value_parser = code)]
    pub(super) events: Vec<EventCode>,
    /// The format of the inputs; by their names, if this is not given.
    #[arg(long)]
    pub(super) format: Option<Format>,
    /// CSV columns that stay text, whatever they look like.
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',')]
    pub(super) text: Vec<String>,
    /// CSV columns whose cells are numbers also where they are spelt 12.50, 1e3 or +5.
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',')]
    pub(super) number: Vec<String>,
    /// The most memory for groups, in MiB; idle ones are read from the store again. With --cache, Redis has them. With an
    /// SQLite file the process takes up to 96 MiB more for what it reads and writes, 160 MiB where a group has a million
    /// ids. Without --store and --cache nothing can be read again, and this bounds nothing.
    #[arg(long, value_name = "MIB", default_value_t = 4096)]
    pub(super) memory: usize,
    /// NDJSON or CSV, also packed with gzip; - or nothing is standard input.
    #[arg(value_name = "INPUT")]
    pub(super) inputs: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Output {
    Table,
    Json,
    Ndjson,
}

impl Args {
    /// With what the environment names.
    pub(super) fn named(mut self) -> Result<Self, Failure> {
        self.store = store::STORE.named(self.store)?;
        self.cache = store::CACHE.named(self.cache)?;
        if self.update && self.store.is_none() && self.cache.is_none() {
            misused("--update needs --store or --cache");
        }
        if self.again && self.store.is_none() {
            misused("--again needs --store");
        }
        Ok(self)
    }

    /// How CSV columns are read.
    pub(super) fn typing(&self) -> Typing {
        Typing { text: self.text.clone(), number: self.number.clone() }
    }
}

fn path(text: &str) -> Result<Path, String> {
    Path::parse(text).ok_or_else(|| "a path needs at least one segment".to_owned())
}

fn code(text: &str) -> Result<EventCode, String> {
    let names = EventCode::ALL.map(EventCode::name).join(", ");
    EventCode::parse(text).ok_or_else(|| format!("expected one of {names}"))
}
