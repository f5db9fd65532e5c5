//! `dictrack run`: counts the documents of files and pipes.

use std::collections::{HashMap, VecDeque};
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use dictrack::json::Json;
use dictrack::store::{DataStore, Mark};
use dictrack::{
    Blocking, Commit, Differing, Document as _, Durability, Error, Event, EventCode, Manager, Outcome as Tracked, Path,
    SqliteStore, Stopwatch, SystemClock, Timestamp, TrackOptions, TrackerDefinition, TrackerList, Value, crash_point,
};

use crate::explain::wait;
use crate::print::{Out, warn};
use crate::report::{input_bar, thousands};
use crate::{Failure, Outcome};

mod csv;
mod input;
mod reader;
mod summary;

use input::{Format, Input, Position};
use reader::{Batch, Reader};
use summary::Summary;

/// Count the documents of files or of standard input.
///
/// Every group that appears has the trackers of FILE. With --store, how far each input was read is kept
/// in the same commit as what it counted: interrupted, or killed, and started again, the run goes on
/// and counts nothing twice.
///
/// Examples:
///   dictrack run --trackers shop.toml --group-by customer_id --time date --store shop.db sales.csv
///   tail -f app.log | dictrack run --trackers quotas.yaml --group-by user --id request --store q.db
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The trackers of every group, in JSON, TOML or YAML.
    #[arg(long, value_name = "FILE")]
    trackers: PathBuf,
    /// Where a document says its group, as a dotted path.
    #[arg(long, value_name = "PATH", value_parser = path)]
    group_by: Path,
    /// Where a document says its moment; the clock if this is not given.
    #[arg(long, value_name = "PATH", value_parser = path)]
    time: Option<Path>,
    /// Where a document says its id: an id counts once in its group.
    #[arg(long, value_name = "PATH", value_parser = path)]
    id: Option<Path>,
    /// The SQLite file that keeps everything; nothing is kept if this is not given.
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
    /// When a commit counts as kept: fsync, os or interval(100ms).
    #[arg(long, default_value = "fsync")]
    durability: Durability,
    /// Take over the trackers of FILE where the store holds others.
    #[arg(long, requires = "store")]
    update: bool,
    /// Stop at the first malformed document.
    #[arg(long)]
    strict: bool,
    /// What is printed: a closing table, that table as JSON, or each event as a line of JSON.
    #[arg(long, default_value = "table")]
    output: Output,
    /// The events that --output ndjson prints; all, if this is not given.
    #[arg(long, value_name = "EVENT,…", value_delimiter = ',', value_parser = code)]
    events: Vec<EventCode>,
    /// The format of the inputs; by their names, if this is not given.
    #[arg(long)]
    format: Option<Format>,
    /// CSV columns that stay text, whatever they look like.
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',')]
    text: Vec<String>,
    /// The most memory for groups, in MiB; idle ones are read from the store again.
    #[arg(long, value_name = "MIB", default_value_t = 4096)]
    memory: usize,
    /// NDJSON or CSV, .gz also; - or nothing is standard input.
    #[arg(value_name = "INPUT")]
    inputs: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Table,
    Json,
    Ndjson,
}

fn path(text: &str) -> Result<Path, String> {
    Path::parse(text).ok_or_else(|| "a path needs at least one segment".to_owned())
}

fn code(text: &str) -> Result<EventCode, String> {
    let names = EventCode::ALL.map(EventCode::name).join(", ");
    EventCode::parse(text).ok_or_else(|| format!("expected one of {names}"))
}

/// The mark that names the trackers of the last run.
const TRACKERS_MARK: &str = "run:trackers";
/// A commit is made at least this often, or as often as the durability says.
const COMMIT_EVERY: Duration = Duration::from_millis(500);
/// A commit is made after this many documents at the latest, so that events and memory stay bounded.
const COMMIT_AFTER: u64 = 400_000;
/// A commit is made with this many events at the latest.
const COMMIT_EVENTS: usize = 50_000;

pub(crate) fn run(args: &Args) -> Outcome {
    let trackers = dictrack::files::read(&args.trackers)?;
    let store = args.store.as_deref().map(SqliteStore::open).transpose()?.map(Arc::new);
    let mut marks = HashMap::new();
    if let Some(store) = &store {
        marks.extend(wait(store.marks())?.into_iter().filter_map(|mark| Some((mark.name, mark.text?))));
        compare_trackers(args, &trackers, &**store, &marks)?;
    }
    let inputs =
        args.inputs.iter().map(|path| Input::open(path, args.format, &marks)).collect::<Result<Vec<_>, _>>()?;
    let inputs = if inputs.is_empty() { vec![Input::stdin(args.format)] } else { inputs };
    let mut builder = Manager::builder().durability(args.durability).clock(SystemClock).commit_by_hand();
    builder = builder.memory_budget(args.memory.saturating_mul(1024 * 1024));
    if args.output == Output::Ndjson {
        builder = builder.keep_events();
    }
    if let Some(store) = store {
        builder = builder.store(store);
    }
    let manager = wait(builder.open())?.blocking();
    let list = manager.tracker_list(trackers.iter().cloned())?;
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed))?;

    let mut run = Run {
        args,
        list,
        pending: VecDeque::new(),
        events: Vec::new(),
        uncommitted: 0,
        positions: HashMap::new(),
        notes: vec![trackers_mark(&trackers)],
        out: BufWriter::with_capacity(1 << 16, Out::new()),
        summary: Summary::new(&trackers),
        broken: false,
        manager,
    };
    if args.output == Output::Ndjson {
        // Events of an earlier run that were not marked are printed again, with their ids.
        run.events = run.manager.undelivered()?;
        run.tell_now()?;
    }
    let good = run.count(inputs, &stop)?;
    run.close()?;
    Ok(good)
}

/// Refuses if the store holds trackers that differ from those of the file, unless they are to be updated.
fn compare_trackers(
    args: &Args,
    trackers: &[TrackerDefinition],
    store: &dyn DataStore,
    marks: &HashMap<String, String>,
) -> Result<(), Failure> {
    let held: Vec<TrackerDefinition> = match marks.get(TRACKERS_MARK) {
        Some(text) => {
            let json = Json::parse_within(text.as_bytes(), dictrack::json::Bounds::STORED)?;
            let items = json.as_list().unwrap_or_default().iter();
            items.map(TrackerDefinition::from_json).collect::<Result<_, _>>()?
        }
        None => wait(store.definitions())?.iter().map(|definition| (**definition).clone()).collect(),
    };
    let mut differing = Vec::new();
    for held in &held {
        match trackers.iter().find(|tracker| tracker.name() == held.name()) {
            Some(tracker) if tracker == held => {}
            Some(_) => differing.push(format!("  {:?} has another definition", held.name())),
            None => differing.push(format!("  {:?} is missing from the file; --update removes it", held.name())),
        }
    }
    if !held.is_empty() {
        let new = trackers.iter().filter(|tracker| !held.iter().any(|held| held.name() == tracker.name()));
        differing.extend(new.map(|tracker| format!("  {:?} is not in the store yet", tracker.name())));
    }
    differing.dedup();
    if differing.is_empty() || args.update {
        return Ok(());
    }
    Err(Failure(format!(
        "{} differs from the trackers in the store:\n{}\nrun again with --update to take the file over; progress is kept",
        args.trackers.display(),
        differing.join("\n")
    )))
}

fn trackers_mark(trackers: &[TrackerDefinition]) -> Mark {
    let list = Json::List(trackers.iter().map(TrackerDefinition::to_json).collect());
    Mark { name: TRACKERS_MARK.to_owned(), text: Some(list.to_string()) }
}

struct Run<'a> {
    args: &'a Args,
    manager: Blocking,
    list: TrackerList,
    /// Commits under way, each with the events that may be printed once it is over.
    pending: VecDeque<(Commit, Vec<Arc<Event>>)>,
    /// Events since the last commit.
    events: Vec<Arc<Event>>,
    /// Documents since the last commit.
    uncommitted: u64,
    /// How far each input was counted.
    positions: HashMap<String, Position>,
    /// Marks for the next commit beside the positions.
    notes: Vec<Mark>,
    out: BufWriter<Out>,
    summary: Summary,
    /// Whether an input could not be read to its end.
    broken: bool,
}

impl Run<'_> {
    /// Counts every input; whether no document was malformed, where that matters.
    fn count(&mut self, inputs: Vec<Input>, stop: &AtomicBool) -> Result<bool, Failure> {
        let bar = input_bar(inputs.iter().map(Input::size).sum());
        let reader = Reader::start(inputs, self.args.text.clone());
        let mut since = Stopwatch::start();
        let every = match self.args.durability {
            Durability::Interval(interval) => interval.min(COMMIT_EVERY),
            Durability::Fsync | Durability::Os => COMMIT_EVERY,
        };
        loop {
            if stop.load(Ordering::Relaxed) {
                self.summary.interrupted = true;
                break;
            }
            match reader.receive(every / 4) {
                Ok(batch) => {
                    bar.set_position(batch.raw_bytes);
                    if !self.count_batch(batch)? {
                        return Ok(false);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let due = since.elapsed() >= every;
            if due || self.uncommitted >= COMMIT_AFTER || self.events.len() >= COMMIT_EVENTS {
                if self.uncommitted > 0 || !self.events.is_empty() {
                    self.commit()?;
                }
                self.tell_finished()?;
                since = Stopwatch::start();
                if !bar.is_hidden() {
                    bar.set_message(format!("{} documents", thousands(self.summary.documents)));
                }
            }
        }
        bar.finish_and_clear();
        Ok(!self.broken)
    }

    /// Counts a batch; `false` if a malformed document ends a strict run.
    fn count_batch(&mut self, batch: Batch) -> Result<bool, Failure> {
        let mut before = None;
        for item in batch.items {
            let counted = match &item.document {
                Ok(document) => self.count_document(document)?,
                Err(problem) => Err(problem.clone()),
            };
            if let Err(problem) = counted {
                self.summary.malformed += 1;
                warn(format_args!("{}:{}: {problem}", batch.name, item.line));
                if self.args.strict {
                    if let Some((key, from)) = batch.from {
                        self.positions.insert(key, before.unwrap_or(from));
                    }
                    warn(format_args!("dictrack: stopped at the first malformed document, because of --strict"));
                    return Ok(false);
                }
            }
            self.uncommitted += 1;
            before = batch.from.as_ref().map(|(_, from)| from.at(item.end, item.last_line));
        }
        self.broken |= batch.broken;
        if let (Some((key, _)), Some(position)) = (batch.from, before) {
            self.positions.insert(key, position);
        }
        Ok(true)
    }

    /// Counts a document, or says what is wrong with it.
    fn count_document(&mut self, document: &Json) -> Result<Result<(), String>, Failure> {
        let group = match document.value_at(&self.args.group_by) {
            Some(Value::Text(text)) => text,
            Some(Value::Number(number)) => number.to_string().into(),
            found => return Ok(Err(unfit("group", &self.args.group_by, found, "a text or a number"))),
        };
        let mut options = TrackOptions::default();
        if let Some(path) = &self.args.time {
            let found = document.value_at(path);
            match found.as_ref().and_then(|value| Timestamp::read(&value.to_json())) {
                Some(now) => options.now = Some(now),
                None => return Ok(Err(unfit("moment", path, found, "seconds, an RFC 3339 moment or a date"))),
            }
        }
        let id = match self.args.id.as_ref().map(|path| (path, document.value_at(path))) {
            None => None,
            Some((_, Some(Value::Text(text)))) => Some(text),
            Some((_, Some(Value::Number(number)))) => Some(number.to_string().into()),
            Some((path, found)) => return Ok(Err(unfit("id", path, found, "a text or a number"))),
        };
        options.event_id = id.as_deref();
        let differing = if self.args.update { Differing::Update } else { Differing::Refuse };
        let options = options.ensure(&self.list, differing);
        let outcome = match self.manager.track_with(&group, document, options) {
            Ok(outcome) => outcome,
            Err(error @ Error::Group { .. }) => return Err(Failure(format!("{error}; --update takes the file over"))),
            Err(error) => return Err(error.into()),
        };
        self.note(&outcome);
        Ok(Ok(()))
    }

    fn note(&mut self, outcome: &Tracked) {
        self.summary.count(outcome);
        if self.args.output == Output::Ndjson && !outcome.events().is_empty() {
            self.events.extend(outcome.events().iter().cloned());
        }
    }

    /// Begins to commit what was counted, together with how far the inputs were read.
    fn commit(&mut self) -> Result<(), Failure> {
        let mut marks = std::mem::take(&mut self.notes);
        marks.extend(self.positions.drain().map(|(name, position)| position.mark(name)));
        let commit = self.manager.commit(marks)?;
        self.pending.push_back((commit, std::mem::take(&mut self.events)));
        self.uncommitted = 0;
        Ok(())
    }

    /// Prints the events of the commits that are over.
    fn tell_finished(&mut self) -> Result<(), Failure> {
        while self.pending.front().is_some_and(|(commit, _)| commit.is_over()) {
            self.tell_next()?;
        }
        Ok(())
    }

    /// Waits for the oldest commit and prints its events.
    fn tell_next(&mut self) -> Result<(), Failure> {
        let Some((commit, events)) = self.pending.pop_front() else { return Ok(()) };
        commit.wait_blocking()?;
        self.tell(&events)
    }

    /// Prints the events in hand, which were committed by an earlier run.
    fn tell_now(&mut self) -> Result<(), Failure> {
        let events = std::mem::take(&mut self.events);
        self.tell(&events)
    }

    fn tell(&mut self, events: &[Arc<Event>]) -> Result<(), Failure> {
        if events.is_empty() {
            return Ok(());
        }
        crash_point("before_delivery");
        let printed = |event: &Event| self.args.events.is_empty() || self.args.events.contains(&event.code);
        for event in events.iter().filter(|event| printed(event)) {
            writeln!(self.out, "{}", event.to_json())?;
        }
        self.out.flush()?;
        crash_point("after_delivery");
        let mut newest: HashMap<&str, u64> = HashMap::new();
        for event in events {
            let last = newest.entry(&event.group).or_default();
            *last = event.sequence.max(*last);
        }
        for (group, sequence) in newest {
            self.manager.mark_delivered(group, sequence)?;
        }
        Ok(())
    }

    /// Commits the rest, prints what is left to print, and closes the store.
    fn close(mut self) -> Result<(), Failure> {
        self.commit()?;
        while !self.pending.is_empty() {
            self.tell_next()?;
        }
        // The marks of the events that were just printed.
        self.commit()?;
        self.tell_next()?;
        self.summary.stop();
        if self.args.output != Output::Ndjson {
            self.summary.survey(&self.manager)?;
        }
        self.manager.close()?;
        match self.args.output {
            Output::Table => {
                writeln!(self.out, "{}", self.summary.table())?;
            }
            Output::Json => writeln!(self.out, "{}", self.summary.to_json())?,
            Output::Ndjson => self.summary.one_line(),
        }
        self.out.flush()?;
        Ok(())
    }
}

fn unfit(what: &str, path: &Path, found: Option<Value<'_>>, expected: &str) -> String {
    match found {
        Some(value) => {
            let json = value.to_json();
            format!("the {what} at {path} is {} ; expected {expected}", json.kind()).replace(" ;", ";")
        }
        None => format!("there is no {what} at {path}"),
    }
}
