//! `cargo bench --bench memory`: the memory of a million groups, and of the index per test.

use std::alloc::System;

use cap::Cap;
use dictrack::json::Json;
use dictrack::{Manager, Timestamp, TrackerDefinition, clock::TestClock, group::Differing};

#[path = "workload.rs"]
mod workload;

use workload::{now, verdict};

/// Counts allocated bytes, without a limit.
#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

const GROUPS: usize = 1_000_000;

/// The resident bytes of this process.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("this runs on Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the status has VmRSS");
    let kilobytes: usize = line.trim().trim_end_matches(" kB").parse().expect("VmRSS is a number");
    kilobytes * 1024
}

fn groups() {
    let manager = Manager::in_memory();
    let list = manager.tracker_list(workload::ten()).unwrap();
    let document = Json::parse(br#"{"event":"purchase","amount":12.5}"#).unwrap();
    let before = resident();
    println!("\n{GROUPS} groups with 10 trackers of one shared set");
    println!("{:<24} {:>14} {:>10} {:>12} {:>16}", "", "resident bytes", "a group", "a tracker", "goal < 1.0 GB");
    let line = |what: &str| {
        let bytes = resident();
        let held = bytes - before;
        println!(
            "{what:<24} {bytes:>14} {:>10.1} {:>12.1} {:>16}",
            held as f64 / GROUPS as f64,
            held as f64 / (GROUPS * 10) as f64,
            verdict(bytes < 1_000_000_000)
        );
    };
    println!("{:<24} {before:>14}", "before");
    for at in 0..GROUPS {
        now(manager.ensure_trackers(&format!("user_{at:07}"), &list, Differing::Refuse)).unwrap();
    }
    line("with their trackers");
    for at in 0..GROUPS {
        assert_eq!(now(manager.track(&format!("user_{at:07}"), &document)).unwrap().dirtied().count(), 3);
    }
    line("after a document in each");
}

/// The heap bytes that the first document of a group with `trackers` adds.
fn compiled(trackers: Vec<TrackerDefinition>) -> usize {
    let clock = TestClock::new(Timestamp::from_secs(1_700_000_000));
    let manager = pollster::block_on(Manager::builder().clock(clock).open()).unwrap();
    now(manager.add_trackers("g", trackers)).unwrap();
    // Matches only the first threshold, so that the list of matches takes no memory.
    let document = Json::parse(br#"{"bet":0}"#).unwrap();
    let before = HEAP.allocated();
    let outcome = now(manager.track("g", &document)).unwrap();
    assert!(outcome.dirtied().count() <= 1);
    drop(outcome);
    HEAP.allocated() - before
}

fn index() {
    println!("\nThe index: N trackers with `bet ge i`; heap bytes that the first document adds");
    println!("{:>8} {:>12} {:>16} {:>12} {:>12}", "N", "bytes", "a tracker", "of its test", "goal <= 64");
    for n in [1_000_usize, 10_000, 100_000] {
        let count = |at: usize| TrackerDefinition::count(&format!("t{at}")).target(1_000_000_000);
        let all = compiled((0..n).map(|at| count(at).ge("bet", at as i64).build().unwrap()).collect());
        // A shared test that costs one bit per tracker: the rest is what the index needs for any tracker.
        let bare = compiled((0..n).map(|at| count(at).exists("nowhere").build().unwrap()).collect());
        let each = all as f64 / n as f64;
        let beyond = (all as f64 - bare as f64) / n as f64;
        println!("{n:>8} {all:>12} {each:>16.1} {beyond:>12.1} {:>12}", verdict(beyond <= 64.0));
    }
}

fn main() {
    // The resident bytes come first, before anything else leaves pages allocated.
    let only = std::env::args().nth(1).filter(|name| !name.starts_with('-'));
    for (name, part) in [("groups", groups as fn()), ("index", index)] {
        if only.as_deref().is_none_or(|only| only == name) {
            part();
        }
    }
}
