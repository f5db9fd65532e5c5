//! `dictrack run`, killed again and again: every document is counted exactly once, every event printed at least once.
//!
//! The input grows while the run is killed, as a log does, so that each kill finds work. After each kill the store must
//! hold the state after exactly the documents that its mark names, and nothing may have been printed beyond them.
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

use common::{Ended, Oracle, Place, Random, Running, check_integrity, counted, documents};

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

/// Kills runs at random moments, about half of them before the last commit.
struct Killer {
    random: Random,
    /// The longest wait, in microseconds.
    longest: u64,
    killed: u64,
}

impl Killer {
    fn new(seed: u64) -> Self {
        Self { random: Random(seed), longest: 150_000, killed: 0 }
    }

    fn kill(&mut self, running: Running) -> Ended {
        let wait = 1_000 + self.random.below(self.longest);
        let ended = running.kill_after(Duration::from_micros(wait));
        if ended.was_killed() {
            self.killed += 1;
        } else {
            assert!(ended.status.success(), "{}", ended.error);
            self.learn(true);
        }
        ended
    }

    /// Takes notice of whether everything was counted before the kill.
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
        let lines = documents(seed, document_count(), USERS);
        let place = Place::new();
        let mut oracle = Oracle::new(&lines, &place.trackers());
        let mut killer = Killer::new(!seed);
        let mut seen = HashSet::new();
        let (mut given, mut runs) = (0, 0);
        let (mut count, mut interrupted, mut moved) = (0, 0, 0);
        while killer.killed < kills() {
            // Of the documents that are left, sometimes a few and sometimes many.
            let left = lines.len() - given;
            let fair = left as u64 / (kills() - killer.killed);
            let more = (killer.random.below(2 * fair + 1) as usize).min(left);
            place.append(&lines[given..given + more]);
            given += more;
            let ended = killer.kill(Running::start(place.run_input(durability), Vec::new()));
            check_between(&place, &mut oracle, &ended, &mut seen);
            runs += 1;
            assert!(runs < 20 * kills(), "{} kills of {runs} runs", killer.killed);
            if ended.was_killed() {
                let now = counted(&place.store()).unwrap_or(0);
                killer.learn(now == given);
                interrupted += u64::from(now < given);
                moved += u64::from(now > count);
                count = now;
            }
        }
        println!("seed {seed}: {runs} runs; {interrupted} kills left documents, {moved} came after a commit");
        assert!(interrupted > 0 && moved > 0, "{interrupted} kills left documents, {moved} came after a commit");
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
fn killed_at_random_moments_a_pipe_with_ids_that_begins_anew_counts_once() {
    for seed in seeds() {
        let lines = documents(seed + 1000, document_count() / 4, USERS);
        let place = Place::new();
        let mut oracle = Oracle::new(&lines, &place.trackers());
        oracle.advance(lines.len());
        let mut killer = Killer::new(!seed);
        let mut seen = HashSet::new();
        let (mut runs, mut committed) = (0, 0);
        while killer.killed < kills() {
            let given = lines.len() * (killer.killed as usize + 1) / (kills() as usize + 1);
            let running = Running::start(place.run_pipe("fsync"), common::bytes(&lines[..given]));
            let ended = killer.kill(running);
            if ended.was_killed() {
                killer.learn(!ended.printed.is_empty());
                committed += u64::from(!ended.printed.is_empty());
            }
            seen.extend(oracle.check_printed(&ended.printed));
            runs += 1;
            assert!(runs < 20 * kills(), "{} kills of {runs} runs", killer.killed);
        }
        println!("seed {seed}: {runs} runs, {committed} killed after a commit");
        assert!(committed > 0, "no kill came after a commit");
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
        let mut given = 0;
        for time in 1..=TIMES {
            for point in dictrack::CRASH_POINTS {
                place.append(&lines[given..given + slice]);
                given += slice;
                let mut command = place.run_input(durability);
                command.env("DICTRACK_CRASH_AT", format!("{point}:{time}"));
                let ended = Running::start(command, Vec::new()).end();
                if ended.was_killed() {
                    hits.entry(point).or_default().push(time);
                } else {
                    assert!(ended.status.success(), "{point}:{time}: {}", ended.error);
                }
                check_between(&place, &mut oracle, &ended, &mut seen);
            }
        }
        println!("seed {seed}: {hits:?}");
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
