//! Counting alongside other processes, with a Redis cache.
//!
//! A document is in Redis as soon as it is counted, but the read position is only recorded once the store has the change. So
//! documents need ids: those that were counted but not recorded are read again and recognised as duplicates. Each call is a
//! round trip to Redis. Many calls run in parallel, those of one group in order.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use dictrack::cache::DataCache;
use dictrack::clock::{Clock as _, SystemClock};
use dictrack::{Durability, Error, Outcome};

use super::lanes::{Counted, Lanes, Place, at_once};
use super::reader::{Batch, Reader};
use super::rows::Found;
use super::{Args, Read, Run, refusal};
use crate::print::warn;
use crate::{Failure, store};

/// How many calls run in parallel.
const LANES: usize = 32;
/// How many documents are counted together, if that many are available.
const TOGETHER: usize = 4096;

/// The cache of a run, if it has one.
pub(super) fn cache(args: &Args) -> Result<Option<Arc<dyn DataCache>>, Failure> {
    let Some(url) = &args.cache else { return Ok(None) };
    let cache = store::cache_address(url)?.open(&args.options())?;
    if args.id.is_none() {
        return Err(Failure(
            "--cache needs --id PATH: Redis has the change of a document before the store records that it was read, \
             so without ids a run that is killed in between would count documents twice"
                .to_owned(),
        ));
    }
    Ok(Some(cache))
}

/// Warns about a run with a cache but without a store.
pub(super) fn warn_without_store(args: &Args) {
    if args.cache.is_some() && args.store.is_none() {
        warn(
            "without --store, only Redis has the groups; the next run reads its inputs from the beginning and recognises \
             documents by their ids",
        );
    }
}

/// The durability with a shared cache. Each batch waits for its commit, even if an interval was requested. Otherwise a
/// change that Redis lost before the store had it would be noticed only after its document is gone.
pub(super) fn durability(args: &Args) -> Durability {
    match args.durability {
        Durability::Interval(_) => Durability::Os,
        other => other,
    }
}

/// A document to count: where it is, its group, time and id, and its content.
type Open<'a> = (Place, Read<'a>, &'a Found<'a>);

impl Run<'_> {
    /// Counts a batch together with others that are already available; `false` if the run should end.
    pub(super) fn count_shared(&mut self, lanes: &mut Lanes, batch: Batch, reader: &Reader) -> Result<bool, Failure> {
        let mut documents = batch.items.len();
        let mut batches = vec![batch];
        while documents < TOGETHER
            && let Some(batch) = reader.ready()
        {
            documents += batch.items.len();
            batches.push(batch);
        }
        lanes.read(&mut batches, self.args.grouping());
        let counted = self.count_together(&batches)?;
        self.finish_batches(batches, counted, reader)
    }

    fn count_together(&mut self, batches: &[Batch]) -> Result<Counted, Failure> {
        let mut problems = Vec::new();
        let mut open = Vec::new();
        let items = batches.iter().enumerate().flat_map(|(batch_at, batch)| {
            batch.items.iter().enumerate().map(move |(at, item)| ((batch_at, at), &batch.rows, item))
        });
        let found: Vec<_> =
            items.map(|(place, rows, item)| (place, item.document.as_ref().map(|row| rows.document(row)))).collect();
        let clock = SystemClock.now();
        for (place, document) in &found {
            let mut is_bad = document.is_err();
            if let Ok(document) = document {
                match Read::of(self.args, document, clock) {
                    Ok(Some(read)) => {
                        self.note_date(&read);
                        open.push((*place, read, document));
                    }
                    Ok(None) => self.summary.filtered += 1,
                    Err(problem) => {
                        problems.push((*place, problem));
                        is_bad = true;
                    }
                }
            }
            if is_bad && self.args.strict {
                break;
            }
        }
        let mut repeated = HashSet::new();
        while !open.is_empty() {
            let (mut again, mut problem) = (Vec::new(), None);
            for (call, outcome) in self.apply(&open) {
                match outcome {
                    Ok(outcome) => {
                        self.note(&outcome);
                    }
                    Err(error) if error.is_temporary() || matches!(error, Error::Lost { .. }) => {
                        problem.get_or_insert(error);
                        again.push(call);
                    }
                    Err(error) => return Err(refusal(error)),
                }
            }
            let mut keep = again.into_iter().peekable();
            let mut at = 0;
            open.retain(|_| {
                let stays = keep.next_if_eq(&at).is_some();
                at += 1;
                stays
            });
            match problem {
                None => self.is_reached(),
                Some(Error::Lost { .. }) if self.is_stopped() => break,
                Some(Error::Lost { .. }) if repeated.is_empty() => {
                    warn("dictrack: Redis lost changes that the store did not have yet; counting them again");
                }
                Some(Error::Lost { .. }) => {}
                Some(error) if self.wait_for(&error) => {}
                Some(_) => break,
            }
            repeated.extend(open.iter().map(|(_, read, _)| read.group.to_string()));
        }
        if !repeated.is_empty() {
            self.find_events(repeated)?;
        }
        Ok(Counted { problems, end: open.first().map(|(place, ..)| *place) })
    }

    /// Applies documents, those of one group in order. Returns a result for each position, in order.
    fn apply(&self, open: &[Open<'_>]) -> Vec<(usize, Result<Outcome, Error>)> {
        let group = |at: &usize| &*open[*at].1.group;
        let mut outcomes = self.in_lanes(open.len(), group, |positions| {
            let item = |at: &usize| {
                let (_, read, document) = &open[*at];
                read.submission(*document, &self.list, self.differing, self.args.backfill)
            };
            let items: Vec<_> = positions.iter().map(item).collect();
            positions.iter().copied().zip(self.manager.track_many(&items)).collect()
        });
        outcomes.sort_unstable_by_key(|(at, _)| *at);
        outcomes
    }

    /// Does the work for `count` positions, those of one group together and in order. Works in parallel if each position takes a
    /// round trip to Redis.
    pub(super) fn in_lanes<'a, T: Send>(
        &self,
        count: usize,
        group: impl Fn(&usize) -> &'a str,
        work: impl Fn(&[usize]) -> Vec<T> + Sync,
    ) -> Vec<T> {
        if !self.shared {
            return work(&(0..count).collect::<Vec<_>>());
        }
        let mut lanes: Vec<Vec<usize>> = vec![Vec::new(); LANES];
        (0..count).for_each(|at| lanes[of_lane(group(&at))].push(at));
        lanes.retain(|lane| !lane.is_empty());
        let threads = lanes.len();
        at_once(lanes, threads, |lane| work(&lane)).into_iter().flatten().collect()
    }
}

fn of_lane(group: &str) -> usize {
    let mut hasher = DefaultHasher::new();
    group.hash(&mut hasher);
    hasher.finish() as usize % LANES
}
