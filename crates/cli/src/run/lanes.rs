//! Reading and counting documents, on several threads.
//!
//! A few batches are handled at the same time, in two steps. First the batches are parsed, each by one thread. Then the documents
//! are counted in lanes, each by one thread: each group belongs to one lane, which counts its documents in the order of the input.
//! All lanes finish before anything else happens. So a commit never contains half of a batch, and what the lanes found is put in the
//! order of the documents: the results do not depend on the number of threads.

use std::hash::BuildHasher as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dictrack::clock::{Clock as _, SystemClock};
use dictrack::{
    Blocking, Error, Event, Outcome, Path, Timestamp,
    group::{Differing, TrackerList},
    json::{Projection, Projector},
    manager::Submission,
    number::Number,
};

use super::args::Output;
use super::grouping::Grouping;
use super::malformed::Problem;
use super::reader::{Batch, Item, Reader};
use super::rows::Found;
use super::summary::Summary;
use super::{Args, Read, Run, refusal};
use crate::Failure;

/// How many batches several threads handle together, if that many are there: starting threads costs little beside them, and more
/// would not stay in the cache.
const GATHERED: usize = 8;
/// How long to wait for each of them.
const MOMENT: Duration = Duration::from_millis(1);
/// How many lanes there are for each thread. If one has a group with a great many documents, other threads count the others.
const LANES_A_THREAD: usize = 4;
/// How many documents are counted together.
const TOGETHER: usize = 64;

/// The number of a batch, and of a document in it.
pub(super) type Place = (usize, usize);

/// What came of the documents of some batches.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// What is wrong with documents that could be read, in order.
    pub(super) problems: Vec<(Place, Problem)>,
    /// The first document that was not counted because the run should end.
    pub(super) end: Option<Place>,
}

/// The lanes of a run.
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    threads: usize,
    projectors: Vec<Projector>,
    /// Which values of documents are read.
    projection: Arc<Projection>,
    hasher: foldhash::quality::RandomState,
}

/// A part of the groups, and their documents.
struct Lane {
    /// The trackers of its groups. A list of its own, because threads would fight for the reference counts of a shared one.
    list: TrackerList,
    /// Where its documents are; the first `counted` of them are done.
    places: Vec<Place>,
    counted: usize,
    summary: Summary,
    /// What its documents caused.
    events: Vec<(Place, Arc<Event>)>,
    problems: Vec<(Place, Problem)>,
    /// The first number that was read as seconds and looks like a date.
    date: Option<(Place, Number, String, Timestamp)>,
}

/// What the lanes share.
#[derive(Clone, Copy)]
struct Work<'a> {
    args: &'a Args,
    manager: &'a Blocking,
    batches: &'a [Batch],
    differing: Differing,
    clock: Timestamp,
}

/// Does some work for each item on this thread and on others, up to `threads` in all. The results are in no order.
pub(super) fn at_once<T: Send, R: Send>(items: Vec<T>, threads: usize, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let threads = threads.min(items.len());
    let items = Mutex::new(items.into_iter());
    let next = || items.lock().unwrap_or_else(PoisonError::into_inner).next();
    let some = || std::iter::from_fn(next).map(&work).collect::<Vec<_>>();
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(some)).collect();
        let own = some();
        let others = others.into_iter().flat_map(|other| match other.join() {
            Ok(results) => results,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        own.into_iter().chain(others).collect()
    })
}

impl Lanes {
    /// At first, only what is at `paths` is read of each document.
    pub(super) fn new(threads: usize, paths: Vec<Path>, list: &TrackerList, summary: &Summary) -> Self {
        let projection = Arc::new(Projection::new(paths));
        let count = if threads == 1 { 1 } else { threads * LANES_A_THREAD };
        let lane = |_| Lane {
            list: list.apart(),
            places: Vec::new(),
            counted: 0,
            summary: summary.part(),
            events: Vec::new(),
            problems: Vec::new(),
            date: None,
        };
        let lanes = (0..count).map(lane).collect();
        Self { lanes, threads, projectors: Vec::new(), projection, hasher: Default::default() }
    }

    /// How many batches to handle together.
    fn batches(&self) -> usize {
        if self.threads == 1 { 1 } else { GATHERED }
    }

    /// Parses the documents of some batches, and finds out which lane counts each.
    pub(super) fn read(&mut self, batches: &mut [Batch], grouping: &Grouping) {
        if let Some(wider) = self.projection.widened() {
            self.projection = Arc::new(wider);
            self.projectors.clear();
        }
        let Self { lanes, threads, projectors, projection, hasher } = self;
        projectors.resize_with(batches.len().max(projectors.len()), || Projector::new(Arc::clone(projection)));
        let count = lanes.len();
        at_once(batches.iter_mut().zip(projectors).collect(), *threads, |(batch, projector)| {
            let Batch { items, rows, lanes, .. } = batch;
            rows.read(items, projector);
            if count > 1 {
                lanes.extend(items.iter().map(|item| match &item.document {
                    Ok(row) => lane_of(&rows.document(row), grouping, hasher, count),
                    Err(_) => 0,
                }));
            }
        });
    }
}

/// The lane of a document's group, of `count`.
fn lane_of(document: &Found<'_>, grouping: &Grouping, hasher: &foldhash::quality::RandomState, count: usize) -> u16 {
    // Without a group it is not counted, but somebody has to say why.
    let hash = grouping.group(document).map_or(0, |group| hasher.hash_one(&*group));
    (hash % count as u64) as u16
}

impl Lane {
    /// Takes the documents of this lane. In a strict run, only those before the first that could not be read.
    fn take(&mut self, number: usize, batches: &[Batch], strict: bool) {
        for (batch_at, batch) in batches.iter().enumerate() {
            for (at, Item { document, .. }) in batch.items.iter().enumerate() {
                if document.is_err() {
                    if strict {
                        return;
                    }
                } else if batch.lanes.get(at).is_none_or(|lane| usize::from(*lane) == number) {
                    self.places.push((batch_at, at));
                }
            }
        }
    }

    /// Counts its documents up to the first that fails, or in a strict run, to the first with a problem.
    fn count(&mut self, work: Work<'_>) -> Result<(), Error> {
        let Self { list, places, counted, summary, events, problems, date, .. } = self;
        let prints = work.args.output == Output::Ndjson;
        while let Some(left) = places.get(*counted..).filter(|left| !left.is_empty()) {
            let some = &left[..left.len().min(TOGETHER)];
            let found: Vec<_> = some
                .iter()
                .filter_map(|place| {
                    let batch = &work.batches[place.0];
                    let row = batch.items[place.1].document.as_ref().ok()?;
                    Some((*place, batch.rows.document(row)))
                })
                .collect();
            let mut good = Vec::with_capacity(found.len());
            let (mut bad, mut others) = (Vec::new(), Vec::new());
            for (place, document) in &found {
                match Read::of(work.args, document, work.clock) {
                    Ok(Some(read)) => good.push((*place, read, document)),
                    Ok(None) => others.push(*place),
                    Err(problem) => bad.push((*place, problem)),
                }
                if work.args.strict && !bad.is_empty() {
                    break;
                }
            }
            let submissions: Vec<Submission<'_>> = good
                .iter()
                .map(|(_, read, document)| read.submission(*document, list, work.differing, work.args.backfill))
                .collect();
            let mut done = 0;
            let mut note = |outcome: &Outcome| {
                let (place, read, _) = &good[done];
                done += 1;
                summary.count(outcome);
                if prints {
                    events.extend(outcome.events().iter().map(|event| (*place, Arc::clone(event))));
                }
                if let (None, Some((number, text)), Some(now)) = (&date, &read.date, read.now) {
                    *date = Some((*place, number.clone(), text.clone(), now));
                }
            };
            let mut failed = None;
            let mut left = &submissions[..];
            while !left.is_empty() {
                left = &left[work.manager.manager().track_ready(left, &mut note)..];
                let Some((submission, rest)) = left.split_first() else { break };
                match work.manager.track_one(*submission) {
                    Ok(outcome) => note(&outcome),
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                }
                left = rest;
            }
            // What comes before the document that failed is done.
            let end = good.get(done).map(|(place, ..)| *place).filter(|_| failed.is_some());
            *counted += some.iter().take_while(|place| end.is_none_or(|end| **place < end)).count();
            summary.filtered += others.iter().filter(|place| end.is_none_or(|end| **place < end)).count() as u64;
            let ends_here = work.args.strict && !bad.is_empty();
            problems.extend(bad.into_iter().filter(|(place, _)| end.is_none_or(|end| *place < end)));
            if let Some(error) = failed {
                return Err(error);
            }
            if ends_here {
                break;
            }
        }
        Ok(())
    }
}

impl Run<'_> {
    /// Counts a batch together with others that are already available; `false` if the run should end.
    pub(super) fn count_in_lanes(&mut self, lanes: &mut Lanes, batch: Batch, reader: &Reader) -> Result<bool, Failure> {
        let mut batches = vec![batch];
        while batches.len() < lanes.batches()
            && let Ok(batch) = reader.receive(MOMENT)
        {
            batches.push(batch);
        }
        lanes.read(&mut batches, self.args.grouping());
        let counted = self.count_at_once(lanes, &batches)?;
        self.finish_batches(batches, counted, reader)
    }

    /// Counts documents in the lanes of their groups.
    fn count_at_once(&mut self, lanes: &mut Lanes, batches: &[Batch]) -> Result<Counted, Failure> {
        let threads = lanes.threads;
        let lanes = &mut lanes.lanes;
        lanes.iter_mut().enumerate().for_each(|(number, lane)| lane.take(number, batches, self.args.strict));
        let mut end = None;
        loop {
            let clock = SystemClock.now();
            let work = Work { args: self.args, manager: &self.manager, batches, differing: self.differing, clock };
            let busy = lanes.iter_mut().filter(|lane| lane.counted < lane.places.len()).collect();
            let results = at_once(busy, threads, |lane: &mut Lane| lane.count(work));
            match results.into_iter().find_map(Result::err) {
                None => break,
                // Its group could not be loaded, so nothing has changed.
                Some(error) if error.is_temporary() => {
                    if self.wait_for(&error) {
                        continue;
                    }
                    let [only] = &lanes[..] else {
                        // Other lanes have counted later documents, which must not be committed without this one.
                        return Err(error.into());
                    };
                    end = only.places.get(only.counted).copied();
                    break;
                }
                Some(error) => return Err(refusal(error)),
            }
        }
        if end.is_none() {
            self.is_reached();
        }

        let (mut problems, mut events, mut date) = (Vec::new(), Vec::new(), None);
        for lane in lanes {
            lane.places.clear();
            lane.counted = 0;
            self.summary.absorb(&mut lane.summary);
            events.append(&mut lane.events);
            problems.append(&mut lane.problems);
            let dates = [date, lane.date.take()].into_iter().flatten();
            date = dates.min_by_key(|(place, ..)| *place);
        }
        if let Some((_, number, text, now)) = &date {
            self.say_date(number, text, *now);
        }
        // Stable, so the events of a document stay in order.
        events.sort_by_key(|(place, _)| *place);
        self.events.extend(events.into_iter().map(|(_, event)| event));
        problems.sort_by_key(|(place, _)| *place);
        Ok(Counted { problems, end })
    }
}
