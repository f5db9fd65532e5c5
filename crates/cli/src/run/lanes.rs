//! Counting on several threads.
//!
//! Each group belongs to one lane. The lanes count the documents of a few batches at the same time, each in the order of the input,
//! and all of them finish before anything else happens. So a commit never contains half of a batch, and what the lanes found
//! is put in the order of the documents: the results do not depend on the number of threads.

use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::Duration;

use dictrack::clock::{Clock as _, SystemClock};
use dictrack::{
    Blocking, Document as _, Error, Event, Outcome, Timestamp,
    document::Value,
    group::{Differing, TrackerList},
    manager::Submission,
    number::Number,
};

use super::args::Output;
use super::malformed::Problem;
use super::reader::{Batch, Reader};
use super::summary::Summary;
use super::{Args, Read, Run, TOGETHER, refusal};
use crate::Failure;

/// The maximum number of batches that are counted together. Starting threads costs little beside a batch for every two of them,
/// and more batches would not stay in the cache.
const GATHERED: usize = 4;
/// How long to wait for each of them.
const MOMENT: Duration = Duration::from_millis(1);

/// The lanes of a run, if it has several.
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    hasher: foldhash::quality::RandomState,
}

/// The number of a batch, and of a document in it.
type Place = (usize, usize);

/// One thread's share of the documents.
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

impl Lanes {
    /// `None` if there is only one.
    pub(super) fn new(count: usize, list: &TrackerList, summary: &Summary) -> Option<Self> {
        let lane = |_| Lane {
            list: list.apart(),
            places: Vec::new(),
            counted: 0,
            summary: summary.part(),
            events: Vec::new(),
            problems: Vec::new(),
            date: None,
        };
        (count > 1).then(|| Self { lanes: (0..count).map(lane).collect(), hasher: Default::default() })
    }

    /// Gives each document to the lane of its group.
    fn share_out(&mut self, batches: &[Batch], args: &Args) {
        let Self { lanes, hasher } = self;
        for (batch_at, batch) in batches.iter().enumerate() {
            for (at, item) in batch.items.iter().enumerate() {
                let Ok(row) = &item.document else { continue };
                let lane = match batch.rows.document(row).value_at(&args.group_by) {
                    Some(Value::Text(group)) => hasher.hash_one(&*group),
                    // A number names the same group as the string of its digits.
                    Some(Value::Number(number)) => hasher.hash_one(number.to_plain().as_str()),
                    // It is not counted, but somebody has to say why.
                    _ => 0,
                };
                let count = lanes.len() as u64;
                lanes[(lane % count) as usize].places.push((batch_at, at));
            }
        }
    }
}

impl Lane {
    /// Counts its documents up to the first that fails.
    fn count(&mut self, work: Work<'_>) -> Result<(), Error> {
        let Self { list, places, counted, summary, events, problems, date } = self;
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
            let mut bad = Vec::new();
            for (place, document) in &found {
                match Read::of(work.args, document, work.clock) {
                    Ok(read) => good.push((*place, read, document)),
                    Err(problem) => bad.push((*place, problem)),
                }
            }
            let submissions: Vec<Submission<'_>> =
                good.iter().map(|(_, read, document)| read.submission(*document, list, work.differing)).collect();
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
            problems.extend(bad.into_iter().filter(|(place, _)| end.is_none_or(|end| *place < end)));
            if let Some(error) = failed {
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Run<'_> {
    /// Counts a batch together with others that are already available; `false` if the run should end.
    pub(super) fn count_in_lanes(&mut self, lanes: &mut Lanes, batch: Batch, reader: &Reader) -> Result<bool, Failure> {
        let mut batches = vec![batch];
        let most = (lanes.lanes.len() / 2).clamp(1, GATHERED);
        while batches.len() < most
            && let Ok(batch) = reader.receive(MOMENT)
        {
            batches.push(batch);
        }
        let mut counted = self.count_at_once(lanes, &batches)?.into_iter();
        let mut goes_on = true;
        for batch in batches {
            goes_on = goes_on && self.count_batch(batch, reader, Some(&mut counted))?;
        }
        Ok(goes_on)
    }

    /// Counts documents in the lanes of their groups. Returns what is wrong with each, in order.
    fn count_at_once(
        &mut self,
        lanes: &mut Lanes,
        batches: &[Batch],
    ) -> Result<Vec<Option<Result<(), Problem>>>, Failure> {
        lanes.share_out(batches, self.args);
        let lanes = &mut lanes.lanes;
        loop {
            let clock = SystemClock.now();
            let work = Work { args: self.args, manager: &self.manager, batches, differing: self.differing, clock };
            let results: Vec<_> = std::thread::scope(|scope| {
                let mut busy = lanes.iter_mut().filter(|lane| lane.counted < lane.places.len());
                let Some(own) = busy.next() else { return Vec::new() };
                let others: Vec<_> = busy.map(|lane| scope.spawn(move || lane.count(work))).collect();
                let own = own.count(work);
                let others = others.into_iter().map(|lane| match lane.join() {
                    Ok(result) => result,
                    Err(panic) => std::panic::resume_unwind(panic),
                });
                std::iter::once(own).chain(others).collect()
            });
            match results.into_iter().find_map(Result::err) {
                None => break,
                // Its group could not be loaded. Other lanes have counted later documents, which must not be committed
                // without it.
                Some(error) if error.is_temporary() => {
                    if !self.wait_for(&error) {
                        return Err(error.into());
                    }
                }
                Some(error) => return Err(refusal(error)),
            }
        }
        self.is_reached();

        let results = batches.iter().flat_map(|batch| &batch.items);
        let results = results.map(|item| Some(item.document.as_ref().map(drop).map_err(Clone::clone)));
        let mut results: Vec<_> = results.collect();
        let starts: Vec<usize> =
            batches.iter().scan(0, |next, batch| Some(std::mem::replace(next, *next + batch.items.len()))).collect();
        let (mut events, mut date) = (Vec::new(), None);
        for lane in lanes {
            lane.places.clear();
            lane.counted = 0;
            self.summary.absorb(&mut lane.summary);
            events.append(&mut lane.events);
            for ((batch, at), problem) in lane.problems.drain(..) {
                results[starts[batch] + at] = Some(Err(problem));
            }
            let dates = [date, lane.date.take()].into_iter().flatten();
            date = dates.min_by_key(|(place, ..)| *place);
        }
        if let Some((_, number, text, now)) = &date {
            self.say_date(number, text, *now);
        }
        // Stable, so the events of a document stay in order.
        events.sort_by_key(|(place, _)| *place);
        self.events.extend(events.into_iter().map(|(_, event)| event));
        Ok(results)
    }
}
