//! `dictrack run`, killed again and again: every document is counted exactly once, every event printed at least once.
//!
//! Like a log, the input grows while runs are killed, so that each kill interrupts work. Half of the kills come at random
//! moments, the others after new work was acknowledged, which means that a new event was printed. After each kill, the store
//! must have the state after exactly the documents that its mark records, and nothing beyond them may have been printed. Each
//! line is compared with the event of its id, byte by byte.
//!
//! The long version is one command:
//!
//! ```text
//! DICTRACK_CRASH_DOCUMENTS=1000000 DICTRACK_CRASH_KILLS=200 DICTRACK_CRASH_SEEDS=3 \
//!     cargo test -p dictrack-cli --all-features --test crash
//! ```
//!
//! The named points need the feature `crash-points`; without it that test is left out.

#[allow(dead_code, reason = "each test file uses its part")]
mod common;

use std::collections::HashSet;
use std::time::Duration;

use common::{Ended, Oracle, Place, Random, Running, check_integrity, counted, documents, documents_of, id_of};

const USERS: u64 = 2_000;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

fn seeds() -> std::ops::RangeInclusive<u64> {
    1..=setting("DICTRACK_CRASH_SEEDS", 1)
}

fn kills() -> u64 {
    setting("DICTRACK_CRASH_KILLS", 20)
}

fn document_count() -> usize {
    setting("DICTRACK_CRASH_DOCUMENTS", 100_000) as usize
}

/// Kills runs, alternately at a random moment (about half of them before the last commit) and after new work was kept.
struct Killer {
    random: Random,
    /// The longest wait for a random moment, in microseconds.
    longest: u64,
    killed: u64,
    /// Kills after new work was kept in the run that was killed.
    after_work: u64,
    /// Kills that left documents uncounted.
    interrupted: u64,
}

/// The longest wait for a kill after new work was kept, in microseconds: the run prints, notes that, and closes the store.
const AFTER_WORK: u64 = 15_000;

impl Killer {
    fn new(seed: u64) -> Self {
        Self { random: Random(seed), longest: 150_000, killed: 0, after_work: 0, interrupted: 0 }
    }

    fn is_random(&self) -> bool {
        self.killed.is_multiple_of(2)
    }

    /// Kills a run. `is_new` tells whether a line shows work that no earlier run did.
    fn kill(&mut self, running: Running, is_new: impl Fn(&str) -> bool) -> Ended {
        let at_random = self.is_random();
        let ended = if at_random {
            running.kill_after(Duration::from_micros(1_000 + self.random.below(self.longest)))
        } else {
            running.kill_once(is_new, Duration::from_micros(self.random.below(AFTER_WORK)))
        };
        assert!(ended.was_killed() || ended.status.success(), "{}", ended.error);
        ended
    }

    /// Records how many documents were kept before the run and after it, and how many were given.
    fn note(&mut self, ended: &Ended, before: usize, after: usize, given: usize) {
        if self.is_random() {
            self.learn(after == given);
        } else {
            assert!(!ended.was_killed() || after > before, "killed before new work was kept");
        }
        if ended.was_killed() {
            self.killed += 1;
            self.after_work += u64::from(after > before);
            self.interrupted += u64::from(after < given);
        }
    }

    /// At least half of the kills came after new work was kept.
    fn check(&self, seed: u64, runs: u64) {
        let Self { killed, after_work, interrupted, .. } = self;
        println!(
            "seed {seed}: {runs} runs, {killed} kills, {after_work} after new work was kept, {interrupted} left documents"
        );
        assert!(2 * after_work >= *killed, "{after_work} of {killed} kills came after new work was kept");
        assert!(*interrupted > 0, "no kill left documents");
    }

    /// Records whether everything was counted before the kill.
    fn learn(&mut self, late: bool) {
        self.longest = if late { self.longest * 2 / 3 } else { self.longest * 3 / 2 }.clamp(5_000, 3_000_000);
    }
}

/// The store as it is after a kill or a run.
fn check_between(place: &Place, oracle: &mut Oracle<'_>, ended: &Ended, seen: &mut HashSet<String>) {
    match counted(&place.store()) {
        Some(count) => {
            oracle.advance(count);
            oracle.check_groups(&place.store());
            seen.extend(oracle.check_printed(&ended.printed));
        }
        None => assert_eq!(ended.printed, Vec::<String>::new(), "printed before there was a store"),
    }
}

/// Lets the run end and compares everything.
fn finish(place: &Place, oracle: &mut Oracle<'_>, last: Running, count: usize, mut seen: HashSet<String>) {
    let ended = last.end();
    assert!(ended.status.success(), "{}", ended.error);
    oracle.advance(count);
    oracle.check_groups(&place.store());
    seen.extend(oracle.check_printed(&ended.printed));
    let missing = oracle.events.keys().filter(|id| !seen.contains(*id)).count();
    assert_eq!((missing, seen.len()), (0, oracle.events.len()), "events that were never printed, and that were");
    check_integrity(&place.store());
}

fn kill_at_random(durability: &str) {
    for seed in seeds() {
        // The spare quarter is for runs that end before their kill after they were given all the others.
        let spare = document_count() / 4;
        let lines = documents(seed, document_count() + spare, USERS);
        let place = Place::new();
        let mut oracle = Oracle::new(&lines, &place.trackers());
        let mut killer = Killer::new(!seed);
        let mut seen = HashSet::new();
        let (mut given, mut runs) = (0, 0);
        let mut count = 0;
        while killer.killed < kills() {
            // Sometimes a few of the remaining documents, sometimes many.
            let left = document_count().saturating_sub(given);
            let fair = left as u64 / (kills() - killer.killed);
            let more = match left {
                0 => (spare / 50).min(lines.len() - given),
                _ => (killer.random.below(2 * fair + 1) as usize).min(left),
            };
            place.append(&lines[given..given + more]);
            given += more;
            let running = Running::start(place.run_input(durability), Vec::new());
            let ended = killer.kill(running, |line| !oracle.events.contains_key(&id_of(line)));
            check_between(&place, &mut oracle, &ended, &mut seen);
            runs += 1;
            assert!(runs < 20 * kills(), "{} kills of {runs} runs", killer.killed);
            let now = counted(&place.store()).unwrap_or(0);
            killer.note(&ended, count, now, given);
            count = now;
        }
        killer.check(seed, runs);
        place.append(&lines[given..]);
        let last = Running::start(place.run_input(durability), Vec::new());
        finish(&place, &mut oracle, last, lines.len(), seen);
    }
}

#[test]
fn killed_at_random_moments_a_file_counts_once_with_fsync() {
    kill_at_random("fsync");
}

#[test]
fn killed_at_random_moments_a_file_counts_once_with_os() {
    kill_at_random("os");
}

#[test]
fn killed_at_random_moments_a_pipe_with_ids_that_starts_over_counts_once() {
    for seed in seeds() {
        let lines = documents(seed + 1000, document_count() / 4, USERS);
        let place = Place::new();
        let mut oracle = Oracle::new(&lines, &place.trackers());
        oracle.advance(lines.len());
        let mut killer = Killer::new(!seed);
        let mut seen = HashSet::new();
        let (mut runs, mut count) = (0, 0);
        while killer.killed < kills() {
            let given = lines.len() * (killer.killed as usize + 1) / (kills() as usize + 1);
            let running = Running::start(place.run_pipe("fsync"), common::bytes(&lines[..given]));
            let ended = killer.kill(running, |line| oracle.caused_by[&id_of(line)] > count);
            let now = common::show(&place.store()).values().map(|group| documents_of(group)).sum();
            killer.note(&ended, count, now, given);
            count = now;
            seen.extend(oracle.check_printed(&ended.printed));
            runs += 1;
            assert!(runs < 20 * kills(), "{} kills of {runs} runs", killer.killed);
        }
        killer.check(seed, runs);
        let last = Running::start(place.run_pipe("fsync"), common::bytes(&lines));
        finish(&place, &mut oracle, last, lines.len(), seen);
    }
}

#[cfg(feature = "crash-points")]
fn kill_at_every_point(durability: &str) {
    use std::collections::BTreeMap;

    const TIMES: usize = 4;
    for seed in seeds() {
        let lines = documents(seed + 2000, document_count() / 2, USERS);
        let place = Place::new();
        let mut oracle = Oracle::new(&lines, &place.trackers());
        let mut seen = HashSet::new();
        let mut hits: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        let slice = lines.len() / (dictrack::CRASH_POINTS.len() * TIMES);
        let (mut given, mut count, mut kills, mut moved) = (0, 0, 0, 0);
        for time in 1..=TIMES {
            for point in dictrack::CRASH_POINTS {
                place.append(&lines[given..given + slice]);
                given += slice;
                let mut command = place.run_input(durability);
                command.env("DICTRACK_CRASH_AT", format!("{point}:{time}"));
                let ended = Running::start(command, Vec::new()).end();
                if ended.was_killed() {
                    hits.entry(point).or_default().push(time);
                    let now = counted(&place.store()).unwrap_or(0);
                    kills += 1;
                    moved += u64::from(now > count);
                    assert!(point != "after_commit" || time > 1 || now > count, "killed before new work was kept");
                } else {
                    assert!(ended.status.success(), "{point}:{time}: {}", ended.error);
                }
                check_between(&place, &mut oracle, &ended, &mut seen);
                count = counted(&place.store()).unwrap_or(0);
            }
        }
        println!("seed {seed}: {hits:?}, {moved} of {kills} kills after new work was kept");
        // Most points come before the commit, or before anything new is counted.
        assert!(moved >= 2, "{moved} of {kills} kills came after new work was kept");
        for point in dictrack::CRASH_POINTS {
            assert!(hits.get(point).is_some_and(|times| times.contains(&1)), "{point} was never reached: {hits:?}");
        }
        place.append(&lines[given..]);
        let last = Running::start(place.run_input(durability), Vec::new());
        finish(&place, &mut oracle, last, lines.len(), seen);
    }
}

#[cfg(feature = "crash-points")]
#[test]
fn killed_at_every_named_point_a_file_counts_once_with_fsync() {
    kill_at_every_point("fsync");
}

#[cfg(feature = "crash-points")]
#[test]
fn killed_at_every_named_point_a_file_counts_once_with_os() {
    kill_at_every_point("os");
}
