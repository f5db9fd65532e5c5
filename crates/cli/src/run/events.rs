//! Printing events: each one once its change is stored, in order within each group. An event is marked as delivered only after
//! it was printed.
//!
//! Events are printed in batches, and the marks are committed after each batch. If a run is killed while it prints, the next
//! run continues from there, however many events there are.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Display;
use std::io::{ErrorKind, Write as _};
use std::sync::Arc;
use std::time::Duration;

use dictrack::{Error, Event, clock::Stopwatch, crash_point, manager::Turn};

use super::args::Output;
use super::{COMMITS, Run};
use crate::Failure;

/// How many events are printed before they are marked, and how many at a time, since the reader may be slow.
const PIECE: (usize, usize) = (1_000, 50);
/// How many groups are read at a time, and how many events of each.
const LOOKED_AT: (usize, usize) = (512, 128);
/// How often events are marked, and the marks committed, while events are printed.
const MARKED_EVERY: Duration = Duration::from_millis(20);
/// How often to check whether another process has printed its events.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How many events may wait for those of other processes before this run stops counting to wait.
const MOST_WAITING: usize = 50_000;

/// Groups with events to print, while other processes print theirs.
#[derive(Debug, Default)]
pub(super) struct Turns {
    groups: HashMap<Box<str>, Waiting>,
    /// How many of them this run caused.
    own: usize,
    /// Time since they were last checked.
    looked: Option<Stopwatch>,
}

/// The stored events of a group up to a sequence.
#[derive(Debug)]
struct Waiting {
    last: u64,
    /// The sequences of the events that this run caused.
    own: BTreeSet<u64>,
    /// How long this group has waited for events of other processes.
    since: Stopwatch,
    /// Whether an earlier run caused them. Then no other process is waited for.
    earlier: bool,
}

impl Waiting {
    fn until(last: u64) -> Self {
        Self { last, own: BTreeSet::new(), since: Stopwatch::start(), earlier: false }
    }
}

impl Turns {
    /// Adds the events of an outcome.
    pub(super) fn add(&mut self, events: &[Arc<Event>]) {
        for event in events {
            let waiting = self.groups.entry(event.group.as_str().into()).or_insert_with(|| Waiting::until(0));
            waiting.last = waiting.last.max(event.sequence);
            self.own += usize::from(waiting.own.insert(event.sequence));
        }
    }

    /// Adds the events of a group up to a sequence, no matter which process caused them.
    fn add_until(&mut self, group: &str, last: u64, earlier: bool) {
        let waiting = self.groups.entry(group.into()).or_insert_with(|| Waiting::until(0));
        waiting.last = waiting.last.max(last);
        waiting.earlier = earlier;
    }

    /// Removes the printed events of a group, and the group if there are no more.
    fn told(&mut self, group: &str, last: Option<u64>, more: bool) {
        let Some(waiting) = self.groups.get_mut(group) else { return };
        let before = waiting.own.len();
        match (last, more) {
            (_, false) => waiting.own.clear(),
            (Some(last), true) => waiting.own = waiting.own.split_off(&(last + 1)),
            (None, true) => {}
        }
        self.own -= before - waiting.own.len();
        if !more {
            self.groups.remove(group);
        }
    }
}

impl Run<'_> {
    /// Prints the events that an earlier run left. A signal ends this as well.
    pub(super) fn tell_earlier(&mut self) -> Result<(), Failure> {
        let groups = self.until_reached(|run| run.manager.undelivered_groups())?.unwrap_or_default();
        for some in groups.chunks(LOOKED_AT.0) {
            if !self.take_up(some, true)? {
                break;
            }
            while !self.turns.groups.is_empty() && !self.is_stopped() {
                self.tell_some_turns()?;
                if self.committed.elapsed() >= MARKED_EVERY {
                    self.commit_marks()?;
                }
            }
        }
        // Whatever is left after a signal is printed by the next run.
        self.turns = Turns::default();
        Ok(())
    }

    /// Adds all stored events of some groups; `false` if the run should end.
    pub(super) fn take_up(&mut self, groups: &[String], earlier: bool) -> Result<bool, Failure> {
        let found = self.until_reached(|run| {
            let found = run.in_lanes(
                groups.len(),
                |at| &groups[*at],
                |positions| {
                    let names: Vec<&str> = positions.iter().map(|at| groups[*at].as_str()).collect();
                    vec![
                        run.manager
                            .kept_events(&names)
                            .map(|kept| positions.iter().copied().zip(kept).collect::<Vec<_>>()),
                    ]
                },
            );
            found.into_iter().collect::<Result<Vec<_>, Error>>()
        })?;
        let Some(found) = found else { return Ok(false) };
        for (at, last) in found.into_iter().flatten() {
            self.turns.add_until(&groups[at], last, earlier);
        }
        Ok(true)
    }

    /// Prints the events that are due. Events that follow those of other processes wait for them for up to a second.
    pub(super) fn tell_turns(&mut self) -> Result<(), Failure> {
        let is_early = |turns: &Turns| turns.looked.is_some_and(|looked| looked.elapsed() < LOOK_AGAIN);
        if self.turns.own < MOST_WAITING && is_early(&self.turns) {
            return Ok(());
        }
        loop {
            if self.turns.groups.is_empty() || self.out_closed {
                return Ok(());
            }
            let printed = self.tell_some_turns()?;
            if self.turns.own < MOST_WAITING || self.is_stopped() {
                return Ok(());
            }
            if !printed {
                std::thread::sleep(LOOK_AGAIN);
            }
        }
    }

    /// Prints the remaining events when counting is finished.
    pub(super) fn tell_last_turns(&mut self) -> Result<(), Failure> {
        while !self.turns.groups.is_empty() && !self.out_closed {
            let printed = self.tell_some_turns()?;
            // Unreachable servers will not return any more.
            if self.away.is_call_failed() && self.is_stopped() {
                break;
            }
            if !printed {
                std::thread::sleep(LOOK_AGAIN);
            }
        }
        Ok(())
    }

    /// Prints and marks the due events of each group; `true` if there were any.
    fn tell_some_turns(&mut self) -> Result<bool, Failure> {
        self.turns.looked = Some(Stopwatch::start());
        let all: Vec<Box<str>> = self.turns.groups.keys().cloned().collect();
        let mut any = false;
        for groups in all.chunks(LOOKED_AT.0) {
            let due = self.until_reached(|run| {
                let found = run.in_lanes(
                    groups.len(),
                    |at| &groups[*at],
                    |positions| {
                        let due = |at: &usize| {
                            let waiting = &run.turns.groups[&groups[*at]];
                            let waited = if waiting.earlier { Duration::MAX } else { waiting.since.elapsed() };
                            let is_own = |sequence| !run.shared || waiting.own.contains(&sequence);
                            let turn = Turn { last: waiting.last, most: LOOKED_AT.1, waited, is_own: &is_own };
                            run.manager.due(&groups[*at], turn).map(|due| (*at, due))
                        };
                        positions.iter().map(due).collect()
                    },
                );
                found.into_iter().collect::<Result<Vec<_>, Error>>()
            })?;
            let Some(due) = due else { return Ok(any) };
            let events: Vec<_> = due.iter().flat_map(|(_, due)| due.events.iter().cloned()).collect();
            any |= !events.is_empty();
            if !self.tell(&events)? {
                return Ok(any);
            }
            for (at, due) in due {
                self.turns.told(&groups[at], due.events.last().map(|event| event.sequence), due.more);
            }
        }
        Ok(any)
    }

    /// Prints the events of finished commits.
    pub(super) fn tell_finished(&mut self) -> Result<(), Failure> {
        while self.pending.front().is_some_and(|(commit, _)| commit.is_over()) {
            self.tell_next()?;
        }
        Ok(())
    }

    /// Waits for the oldest commit and prints its events.
    pub(super) fn tell_next(&mut self) -> Result<(), Failure> {
        let Some((commit, events)) = self.pending.pop_front() else { return Ok(()) };
        commit.wait_blocking()?;
        self.tell(&events).map(drop)
    }

    /// Prints events and marks them as delivered; `false` if the run should end before all of them were.
    fn tell(&mut self, events: &[Arc<Event>]) -> Result<bool, Failure> {
        let mut left = events;
        while !left.is_empty() {
            crash_point("before_delivery");
            let since = Stopwatch::start();
            let mut told = 0;
            while told < PIECE.0.min(left.len()) && since.elapsed() < MARKED_EVERY {
                let some = &left[told..left.len().min(told + PIECE.1)];
                if !self.print_events(some)? {
                    return Ok(false);
                }
                told += some.len();
            }
            crash_point("after_delivery");
            let (piece, rest) = left.split_at(told);
            if !self.mark_delivered(piece)? {
                return Ok(false);
            }
            left = rest;
            if !left.is_empty() && self.committed.elapsed() >= MARKED_EVERY {
                self.commit_marks()?;
            }
        }
        Ok(true)
    }

    /// Commits the marks of printed events while there are more to print.
    fn commit_marks(&mut self) -> Result<(), Failure> {
        // Finished commits without events make room.
        while self.pending.front().is_some_and(|(commit, events)| events.is_empty() && commit.is_over()) {
            self.tell_next()?;
        }
        if self.pending.len() < COMMITS { self.commit() } else { Ok(()) }
    }

    /// Prints those of these events that were asked for; `false` if standard output was closed.
    pub(super) fn print_events(&mut self, events: &[Arc<Event>]) -> Result<bool, Failure> {
        let codes = &self.args.events;
        let (mut lines, mut line) = (String::with_capacity(events.len() * 192), String::new());
        for event in events.iter().filter(|event| codes.is_empty() || codes.contains(&event.code)) {
            line.clear();
            event.write_json(&mut line);
            lines.push_str(&dictrack::text::json(&line));
            lines.push('\n');
        }
        // The last newline is that of `print`.
        match lines.pop() {
            Some(_) => self.print([lines]),
            None => Ok(!self.out_closed),
        }
    }

    /// Prints lines on standard output; `false` if it was closed.
    pub(super) fn print(&mut self, lines: impl IntoIterator<Item = impl Display>) -> Result<bool, Failure> {
        if self.out_closed {
            return Ok(false);
        }
        let out = &mut self.out;
        let mut lines = lines.into_iter();
        match lines.try_for_each(|line| writeln!(out, "{line}")).and_then(|()| out.flush()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.out_closed = true;
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Marks events as delivered; `false` if the run should end first. The next run prints unmarked events again.
    fn mark_delivered(&mut self, events: &[Arc<Event>]) -> Result<bool, Failure> {
        let mut newest: HashMap<&str, u64> = HashMap::new();
        for event in events {
            let last = newest.entry(&event.group).or_default();
            *last = event.sequence.max(*last);
        }
        let newest: Vec<(&str, u64)> = newest.into_iter().collect();
        let marked = self.until_reached(|run| {
            let results = run.in_lanes(
                newest.len(),
                |at| newest[*at].0,
                |positions| {
                    let mut marked = positions.iter().map(|at| newest[*at]);
                    vec![marked.try_for_each(|(group, sequence)| run.manager.mark_delivered(group, sequence))]
                },
            );
            results.into_iter().collect::<Result<(), Error>>()
        })?;
        Ok(marked.is_some())
    }

    /// Finds the events of documents whose first attempt got no reply: the second attempt only reports a duplicate.
    pub(super) fn find_events(&mut self, groups: HashSet<String>) -> Result<(), Failure> {
        if self.args.output == Output::Ndjson {
            self.take_up(&groups.into_iter().collect::<Vec<_>>(), false)?;
        }
        Ok(())
    }

    /// The result of a call, once cache and store can be reached; `None` if the run should end first.
    fn until_reached<T>(&mut self, call: impl Fn(&Self) -> Result<T, Error>) -> Result<Option<T>, Failure> {
        loop {
            match call(self) {
                Ok(done) => {
                    self.is_reached();
                    return Ok(Some(done));
                }
                // The group is read again.
                Err(Error::Lost { .. }) if !self.is_stopped() => {}
                Err(error) if error.is_temporary() || matches!(error, Error::Lost { .. }) => {
                    if !self.wait_for(&error) {
                        return Ok(None);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}
