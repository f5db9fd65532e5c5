//! `dictrack run`: counts the documents in files and pipes.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};
use std::io::BufWriter;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use dictrack::store::{DataStore, DryStore, Mark};
#[cfg(feature = "report")]
use dictrack::url;
use dictrack::{
    Blocking, Document, Durability, Error, Event, Manager, Outcome, Path, Timestamp,
    clock::{Clock as _, Stopwatch, SystemClock},
    document::Value,
    group::{Differing, TrackerList},
    manager::{Commit, Submission},
    number::Number,
};
use indicatif::ProgressBar;

use crate::Failure;
#[cfg(feature = "report")]
use crate::page::Page;
use crate::print::{OUT_CLOSED, Out, warn};
use crate::report::input_bar;
use crate::store::{self, wait};

mod args;
mod away;
mod csv;
mod events;
mod found;
mod grouping;
mod gzip;
mod input;
mod lanes;
mod local;
mod malformed;
mod names;
#[cfg(feature = "parquet")]
mod parquet;
mod reader;
mod rows;
pub(crate) mod sample;
mod shared;
pub(crate) mod stop;
mod summary;
mod text;
mod trackers;
mod trail;
mod update;
mod values;
#[cfg(feature = "zstd")]
mod zstd;

pub(crate) use args::{Args, BackfillArgs};
use args::{Backfill, Output};
use away::Away;
use events::Turns;
use input::{Input, Paths, Position};
use lanes::{Counted, Lanes};
use malformed::{Problem, Reports, Tally, date_in_digits};
use reader::{Batch, Reader};
use stop::Stop;
use summary::{GoOn, Summary};
use text::Taken;

/// The maximum time between commits, unless the durability asks for more frequent ones.
const COMMIT_EVERY: Duration = Duration::from_millis(500);
/// The maximum number of documents between commits, so that little has to be counted again.
const COMMIT_AFTER: u64 = 400_000;
/// The minimum and maximum of the bytes of changed groups at which a commit is made; in between it depends on the budget. Writing
/// them takes several times as much memory, and twice that if one commit waits for another.
const COMMIT_BYTES: (usize, usize) = (2 << 20, 64 << 20);
/// Roughly the memory for the id of a document until it is committed.
const ID_BYTES: usize = 100;
/// The maximum number of events between commits.
const COMMIT_EVENTS: usize = 50_000;
/// The maximum number of commits in progress: one being written and one waiting.
const COMMITS: usize = 2;

pub(crate) fn backfill(args: BackfillArgs) -> Result<ExitCode, Failure> {
    run(args.into_run())
}

pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    let args = &args.named()?;
    let is_dry = args.backfill == Some(Backfill::Dry);
    let place = args.store.as_deref().map(store::address).transpose()?;
    let cache = if is_dry { None } else { shared::cache(args)? };
    #[cfg(feature = "report")]
    args.report().map_or(Ok(()), Page::check)?;
    let trackers = trackers::read(args)?;
    // Before opening the store, which creates it.
    let taken = Taken::default();
    let mut inputs = open_inputs(args, &taken)?;
    if args.backfill.is_some() {
        let scope = trackers.scope()?;
        inputs.iter_mut().for_each(|input| input.key = input.key.take().map(|key| format!("{scope}{key}")));
    }
    let paths = Paths::of(args);
    let store = match &place {
        Some(place) if is_dry => {
            let read = store::open(place, &args.options().read_only())?;
            Some(Arc::new(DryStore::new(read)) as Arc<dyn DataStore>)
        }
        place => place.as_ref().map(|place| store::open(place, &args.options())).transpose()?,
    };
    let all = trackers.all();
    let mut plan = trackers::Plan::without_store(args);
    if let Some(store) = &store {
        let marks = wait(store.marks())?.into_iter().filter_map(|mark| Some((mark.name, mark.text?))).collect();
        if args.backfill.is_none() {
            plan = trackers::Plan::of(args, &all, &**store, &marks)?;
        }
        let mut resumed = inputs.iter_mut().filter(|_| !args.again);
        let typing = args.typing();
        resumed.try_for_each(|input| input.resume(&marks, &paths, args.id.is_some(), &typing, &taken))?;
    }
    let mut builder = Manager::builder().clock(SystemClock).zone(args.zone.zone);
    let shared = cache.is_some();
    builder = match cache {
        Some(cache) => builder.cache(cache).durability(shared::durability(args)),
        None => builder.durability(args.durability).commit_by_hand(),
    };
    let budget = args.memory.saturating_mul(1024 * 1024);
    // Nothing that a dry backfill changes can be read again.
    builder = builder.memory_budget(if is_dry { usize::MAX } else { budget });
    // Without a store and a cache, nothing can be printed again.
    let keeps = store.is_some() || shared;
    if args.output == Output::Ndjson && keeps && args.backfill != Some(Backfill::Silent) {
        builder = builder.keep_events();
    }
    if let Some(store) = store {
        builder = builder.store(store);
    }
    if !trackers.some.is_empty() || args.prune {
        builder = builder.trackers(trackers.some);
    }
    let manager = wait(builder.open()).map_err(|error| store::unread(&error))?.blocking();
    shared::warn_without_store(args);
    let list = manager.tracker_list(trackers.everyone)?;
    let stop = Stop::listen()?;

    let mut run = Run {
        args,
        paths,
        list,
        differing: plan.differing,
        shared,
        keeps,
        stop,
        away: Away::default(),
        pending: VecDeque::new(),
        events: Vec::new(),
        turns: Turns::default(),
        uncommitted: 0,
        most_waiting: (budget / 32).clamp(COMMIT_BYTES.0, COMMIT_BYTES.1),
        committed: Stopwatch::start(),
        positions: HashMap::new(),
        notes: if args.backfill.is_none() { vec![plan.mark(&all)] } else { Vec::new() },
        out: BufWriter::with_capacity(1 << 16, Out::that_says_so()),
        out_closed: false,
        bar: input_bar(inputs.iter().map(Input::size).sum()),
        summary: Summary::new(&all, go_on(args, &inputs), args.report().is_some()),
        reports: Reports::default(),
        saw_date: false,
        tally: None,
        failed: false,
        manager,
    };
    if args.output == Output::Ndjson {
        run.tell_earlier()?;
    }
    run.summary.resumed = inputs.iter().any(Input::is_resumed);
    let stop = run.stop.clone();
    let mut counted = run.count(inputs, taken);
    if counted.is_ok() && args.update && !run.is_stopped() {
        counted = run.update_others();
    }
    let ended = counted.and_then(|()| run.close());
    match (stop.code(), ended) {
        // A run that was stopped does not wait for a store that it cannot reach.
        (Some(code), Err(Failure(problem))) => {
            warn(format_args!("dictrack: {problem}"));
            Ok(code.into())
        }
        (_, ended) => ended,
    }
}

fn open_inputs(args: &Args, taken: &Taken) -> Result<Vec<Input>, Failure> {
    let open = |path: PathBuf| Input::open(&path, args.format, args.cache.is_some());
    let inputs = found::files(&args.inputs)?.into_iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let mut inputs = if inputs.is_empty() { vec![Input::stdin(args.format)] } else { inputs };
    let mut named = HashSet::new();
    if let Some(twice) = inputs.iter().find(|input| input.key.as_ref().is_some_and(|key| !named.insert(key))) {
        return Err(Failure(format!("{}: file is given twice; expected each input once", twice.name)));
    }
    if args.store.is_none() && args.cache.is_none() {
        // There will be no later run to resume, so the last line counts as complete even without a newline.
        inputs.iter_mut().for_each(|input| input.key = None);
    }
    let typing = args.typing();
    let wrong: Vec<_> = inputs.iter_mut().enumerate().map(|(at, input)| input.check(&typing, taken, at)).collect();
    // Nothing would be counted, so no store is created. Otherwise each is reported when its turn comes.
    if let Some(wrong) = wrong.into_iter().collect::<Option<Vec<_>>>() {
        return Err(Failure(wrong.into_iter().map(|Failure(problem)| problem).collect::<Vec<_>>().join("\n")));
    }
    if args.store.is_some() && args.id.is_none() {
        for pipe in inputs.iter().filter(|input| input.key.is_none()) {
            warn(format_args!("{}: without --id, running again on the same documents counts them twice", pipe.name));
        }
    }
    Ok(inputs)
}

/// How to resume a run that was interrupted.
fn go_on(args: &Args, inputs: &[Input]) -> GoOn {
    let known_again = args.id.is_some() || inputs.iter().all(|input| input.key.is_some());
    match (&args.store, &args.cache) {
        (None, None) => GoOn::Not,
        _ if known_again && args.again => GoOn::WithoutAgain,
        _ if known_again => GoOn::Again,
        _ => GoOn::Not,
    }
}

/// The group, time and id of a document.
struct Read<'a> {
    group: Cow<'a, str>,
    now: Option<Timestamp>,
    /// The date that the user may have meant, if the time is a number.
    date: Option<(Number, String)>,
    id: Option<Cow<'a, str>>,
}

impl<'a> Read<'a> {
    /// Reads them; `None` if `--where` leaves the document out. `clock` is a recent time of the clock.
    fn of(args: &Args, document: &'a dyn Document, clock: Timestamp) -> Result<Option<Self>, Problem> {
        if !args.includes(document) {
            return Ok(None);
        }
        let group = args.grouping().group(document)?;
        let (mut now, mut date) = (None, None);
        if let Some(path) = &args.time {
            let found = document.value_at(path);
            now = found.as_ref().and_then(|found| args.times().read(found));
            if now.is_none() {
                return Err(Problem::unfit("time", path, found, "seconds since 1970, an RFC 3339 timestamp or a date"));
            }
            // Here, not in the manager, so that a strict run stops before it counts what follows.
            if let (Some(ahead), Some(now)) = (args.ahead, now)
                && now > clock.saturating_add(ahead)
            {
                let clock = SystemClock.now();
                if now > clock.saturating_add(ahead) {
                    return Err(Problem::ahead(path, now, clock, ahead));
                }
            }
            if let Some(Value::Number(number)) = found {
                date = date_in_digits(&number).map(|date| (number, date));
            }
        }
        let id = args.id.as_ref().map(|path| name(document, "id", path)).transpose()?;
        Ok(Some(Self { group, now, date, id }))
    }

    fn submission<'b>(
        &'b self,
        document: &'b dyn Document,
        list: &'b TrackerList,
        differing: Differing,
        backfill: Option<Backfill>,
    ) -> Submission<'b> {
        let mut submission = Submission::new(&self.group, document);
        submission = match backfill {
            None => submission.ensure(list, differing),
            Some(Backfill::Silent) => submission.backfill(list).silent(),
            Some(Backfill::Emit | Backfill::Dry) => submission.backfill(list),
        };
        (submission.now, submission.event_id) = (self.now, self.id.as_deref());
        submission
    }
}

/// The group or the id at `path`: a string, or a number in its canonical spelling.
fn name<'a>(document: &'a dyn Document, what: &'static str, path: &Path) -> Result<Cow<'a, str>, Problem> {
    match document.value_at(path) {
        Some(Value::Text(text)) => Ok(text),
        Some(Value::Number(number @ (Number::Exact(_) | Number::Wide(_)))) => Ok(number.to_plain().into()),
        found => Err(Problem::unfit(what, path, found, "a string or a number")),
    }
}

/// The error for a document that could not be counted, if retrying does not help.
fn refusal(error: Error) -> Failure {
    match error {
        Error::Group { .. } => Failure(format!("{error}; use --update to apply the trackers in the file")),
        error => error.into(),
    }
}

struct Run<'a> {
    args: &'a Args,
    paths: Paths,
    manager: Blocking,
    list: TrackerList,
    /// How to handle groups whose trackers differ from the list.
    differing: Differing,
    /// Whether other processes change the groups as well.
    shared: bool,
    /// Whether events are kept until they are printed.
    keeps: bool,
    /// Whether the run should end.
    stop: Stop,
    away: Away,
    /// Commits in progress, each with the events to print once it is done.
    pending: VecDeque<(Commit, Vec<Arc<Event>>)>,
    /// Events since the last commit, if no other process causes events.
    events: Vec<Arc<Event>>,
    /// Groups with events to print, if other processes cause events.
    turns: Turns,
    /// Documents since the last commit.
    uncommitted: u64,
    /// The number of bytes of changed groups and ids at which a commit is made.
    most_waiting: usize,
    /// Time since the last commit started.
    committed: Stopwatch,
    /// How far each input was counted.
    positions: HashMap<String, Position>,
    /// Marks for the next commit, in addition to the positions.
    notes: Vec<Mark>,
    out: BufWriter<Out>,
    /// Whether standard output was closed.
    out_closed: bool,
    bar: ProgressBar,
    summary: Summary,
    reports: Reports,
    /// Whether the warning about numbers that look like dates was printed.
    saw_date: bool,
    /// The results for the current input.
    tally: Option<Tally>,
    /// Whether an input could not be read to its end or none of it counted, or a strict run was stopped.
    failed: bool,
}

impl Run<'_> {
    /// Counts every input.
    fn count(&mut self, inputs: Vec<Input>, taken: Taken) -> Result<(), Failure> {
        let args = self.args;
        let read = args.grouping().paths().iter().chain(&args.time).chain(&args.id).cloned().collect();
        let mut lanes = Lanes::new(args.lanes(), read, &self.list, &self.summary);
        let reader = Reader::start(inputs, args.typing(), taken);
        let mut since = Stopwatch::start();
        let every = match self.args.durability {
            Durability::Interval(interval) => interval.min(COMMIT_EVERY),
            _ => COMMIT_EVERY,
        };
        loop {
            if self.is_stopped() {
                break;
            }
            match reader.receive(every / 4) {
                Ok(batch) => {
                    self.bar.set_position(batch.taken);
                    let goes_on = if self.shared {
                        self.count_shared(&mut lanes, batch, &reader)
                    } else {
                        self.count_in_lanes(&mut lanes, batch, &reader)
                    };
                    if !goes_on? {
                        break;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.tell_turns()?;
            self.look_at_commits();
            let ids = if self.args.id.is_some() { self.uncommitted as usize * ID_BYTES } else { 0 };
            let waiting = ids + self.manager.manager().uncommitted_bytes();
            let full =
                self.uncommitted >= COMMIT_AFTER || self.events.len() >= COMMIT_EVENTS || waiting >= self.most_waiting;
            if full || since.elapsed() >= every {
                self.tell_finished()?;
                if full {
                    self.drain(COMMITS - 1)?;
                }
                // If the store is slow or unreachable, the next commit includes more.
                if self.pending.len() < COMMITS && (self.uncommitted > 0 || !self.events.is_empty()) {
                    self.commit()?;
                }
                since = Stopwatch::start();
                if !self.bar.is_hidden() {
                    self.bar.set_message(self.summary.so_far());
                }
            }
        }
        // A pipe may also have ended because its writer was interrupted.
        self.summary.interrupted = self.stop.is_wanted();
        self.bar.finish_and_clear();
        self.end_input();
        self.reports.rest().iter().for_each(warn);
        Ok(())
    }

    /// Reports if nothing in the current input could be counted.
    fn end_input(&mut self) {
        if let Some(problem) = self.tally.take().and_then(|tally| tally.failure()) {
            self.failed = true;
            warn(format_args!("dictrack: {problem}"));
        }
    }

    /// Notes what came of the documents of some batches; `false` if the run should end.
    fn finish_batches(&mut self, batches: Vec<Batch>, counted: Counted, reader: &Reader) -> Result<bool, Failure> {
        let mut problems = counted.problems.into_iter().peekable();
        let mut goes_on = true;
        for (batch_at, batch) in batches.into_iter().enumerate() {
            if goes_on {
                let own = std::iter::from_fn(|| problems.next_if(|((batch, _), _)| *batch == batch_at));
                let own = own.map(|((_, at), problem)| (at, problem));
                let end = counted.end.filter(|(batch, _)| *batch == batch_at).map(|(_, at)| at);
                goes_on = self.finish_batch(batch, own.collect(), end, reader)?;
            }
        }
        Ok(goes_on)
    }

    /// Notes what came of the documents of a batch: the `problems` with those that could be read, and which was the first that
    /// was not counted because the run should end; `false` if the run should end.
    fn finish_batch(
        &mut self,
        batch: Batch,
        problems: Vec<(usize, Problem)>,
        end: Option<usize>,
        reader: &Reader,
    ) -> Result<bool, Failure> {
        if self.tally.as_ref().is_none_or(|tally| !Arc::ptr_eq(&tally.name, &batch.name)) {
            self.end_input();
        }
        let mut tally = self.tally.take().unwrap_or_else(|| Tally::new(Arc::clone(&batch.name), batch.resumed));
        let mut problems = problems.into_iter().peekable();
        let mut last = None;
        let mut goes_on = true;
        for (at, item) in batch.items.iter().enumerate() {
            if end == Some(at) {
                goes_on = false;
                break;
            }
            let own = problems.next_if(|(place, _)| *place == at);
            match item.document.as_ref().err().or(own.as_ref().map(|(_, problem)| problem)) {
                None => tally.good(),
                Some(problem) => {
                    let is_ahead = matches!(problem, Problem::Ahead(_));
                    *(if is_ahead { &mut self.summary.ahead } else { &mut self.summary.malformed }) += 1;
                    if self.reports.admit(problem) || batch.broken {
                        let row = item.document.as_ref().ok().filter(|_| tally.is_first_missing(problem));
                        let has = row.and_then(|row| batch.rows.whole(row));
                        let has = has.map_or_else(String::new, |document| format!("; {}", names::in_words(&document)));
                        let report = format!("{}:{}: {problem}{has}", batch.name, item.line);
                        warn(&report);
                        self.reports.texts.push(report);
                    }
                    tally.malformed(problem).into_iter().for_each(warn);
                    if self.args.strict {
                        let what = if is_ahead { "document ahead of the clock" } else { "malformed document" };
                        warn(format_args!("dictrack: stopped at the first {what} because of --strict"));
                        (self.failed, goes_on) = (true, false);
                        break;
                    }
                }
            }
            self.uncommitted += 1;
            last = Some(item);
        }
        if !self.keeps && !self.events.is_empty() {
            let events = std::mem::take(&mut self.events);
            goes_on &= self.print_events(&events)?;
        }
        self.failed |= batch.broken;
        if let (Some((key, from, trail)), true) = (&batch.from, tally.was_counted()) {
            let position = match (last.map(|item| from.at(item.end, item.last_line)), trail) {
                (Some(position), Some(trail)) if position.offset != from.offset => position.on(trail),
                (Some(position), None) => position,
                _ => from.clone(),
            };
            self.positions.insert(key.clone(), position);
        }
        reader.take_back(batch);
        // A strict run that stops has not seen enough of the input to judge it.
        self.tally = goes_on.then_some(tally);
        Ok(goes_on)
    }

    /// Warns once if a number that looks like a date was read as seconds.
    fn note_date(&mut self, read: &Read<'_>) {
        if let (Some((number, date)), Some(now)) = (&read.date, read.now) {
            self.say_date(number, date, now);
        }
    }

    fn say_date(&mut self, number: &Number, date: &str, now: Timestamp) {
        if !std::mem::replace(&mut self.saw_date, true) {
            warn(format_args!(
                "dictrack: the time {number} is read as seconds since 1970: {now}; \
                 if it is a date, write it as the string \"{date}\""
            ));
        }
    }

    fn note(&mut self, outcome: &Outcome) {
        self.summary.count(outcome);
        self.take_events(outcome.events());
    }

    /// Queues events to be printed once they are stored.
    fn take_events(&mut self, events: &[Arc<Event>]) {
        if self.args.output != Output::Ndjson || events.is_empty() {
            return;
        }
        if self.shared {
            self.turns.add(events);
        } else {
            self.events.extend(events.iter().cloned());
        }
    }

    /// Starts to commit what was counted, together with how far the inputs were read.
    fn commit(&mut self) -> Result<(), Failure> {
        let mut marks = std::mem::take(&mut self.notes);
        marks.extend(self.positions.drain().map(|(name, position)| position.mark(name, &self.paths)));
        let commit = self.manager.commit(marks)?;
        self.pending.push_back((commit, std::mem::take(&mut self.events)));
        self.uncommitted = 0;
        self.committed = Stopwatch::start();
        Ok(())
    }

    /// Writes the page of `--report`.
    #[cfg(feature = "report")]
    fn write_report(&mut self) -> Result<(), Failure> {
        let Some(file) = self.args.report() else { return Ok(()) };
        let inputs = self.args.inputs.iter().map(|input| match input.to_str() {
            Some("-") => "standard input".to_owned(),
            _ => url::shown_path(input),
        });
        let inputs = inputs.collect::<Vec<_>>();
        let title = if inputs.is_empty() { "standard input".to_owned() } else { inputs.join(", ") };
        let mut about = format!("Trackers of {}", url::shown_path(&self.args.trackers));
        if let Some(store) = &self.args.store {
            about.push_str(&format!(", counted in {}", store::address(store)?));
        }
        let malformed = std::mem::take(&mut self.reports.texts);
        self.summary.page(title, about, malformed).write(file)
    }

    /// Commits the rest, prints the remaining output, and closes the store.
    fn close(mut self) -> Result<ExitCode, Failure> {
        self.tell_last_turns()?;
        self.drain(COMMITS - 1)?;
        self.commit()?;
        self.drain(0)?;
        // Marks the events that were just printed.
        self.commit()?;
        self.drain(0)?;
        self.summary.stop();
        let nothing_new = self.args.output == Output::Table && self.summary.is_nothing_new();
        let surveys = self.args.output != Output::Ndjson && !nothing_new;
        if surveys || self.args.report().is_some() {
            while let Err(error) = self.summary.survey(&self.manager) {
                if !error.is_temporary() || !self.wait_for(&error) {
                    return Err(error.into());
                }
            }
            self.is_reached();
        }
        self.manager.close()?;
        let text = match self.args.output {
            Output::Table if nothing_new => Some("nothing new since the last run".to_owned()),
            Output::Table => Some(self.summary.table()),
            Output::Csv => {
                let csv = self.summary.csv()?;
                self.print([csv])?;
                None
            }
            Output::Json => Some(dictrack::text::json(&self.summary.to_json().to_string()).into_owned()),
            Output::Ndjson => None,
        };
        match text {
            Some(text) => drop(self.print([text])?),
            None => self.summary.one_line(),
        }
        #[cfg(feature = "report")]
        self.write_report()?;
        if self.out_closed {
            let kept = self.args.store.is_some() || self.args.cache.is_some();
            self.summary.say_out_closed(kept, self.args.output == Output::Ndjson);
            return Ok(OUT_CLOSED.into());
        }
        match self.stop.code().filter(|_| self.summary.interrupted) {
            Some(code) => Ok(code.into()),
            None => Ok(if self.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }),
        }
    }
}
