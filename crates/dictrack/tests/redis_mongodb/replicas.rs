//! The memory of a process that touches far more groups than fit into its replicas.

use std::ops::Range;
use std::process::Command;
use std::time::Duration;

use dictrack::json::Json;
use dictrack::{
    Blocking, Durability, Manager, MongoStore, RedisCache, Span, TrackerDefinition, group::Differing,
    manager::Submission,
};
use dictrack_testkit::{Mongo, Redis};

use crate::fleet::Plan;
use crate::place::Place;

/// Tells a child process the URLs of the cache and the store.
const SERVERS: &str = "DICTRACK_TEST_REPLICAS";
const BUDGET: u64 = 64 << 20;
const GROUPS: u64 = 4_000;
const TRACKERS: usize = 200;
const THREADS: usize = 8;

fn open(servers: &str, budget: u64, durability: Durability) -> Blocking {
    let (cache, store) = servers.split_once(' ').unwrap();
    let cache = RedisCache::new(cache).unwrap().budget(budget as usize);
    let store = pollster::block_on(MongoStore::open(store)).unwrap();
    pollster::block_on(Manager::builder().cache(cache).store(store).durability(durability).open()).unwrap().blocking()
}

/// Counts with limiters, so that states are not small.
fn definitions() -> impl Iterator<Item = TrackerDefinition> {
    (0..TRACKERS).map(|number| {
        let tracker = TrackerDefinition::count(&format!("tracker {number}")).target(1_000_000);
        tracker.limit(1_000).within(Span::from_secs(1_000_000)).build().unwrap()
    })
}

fn group(number: u64) -> String {
    format!("group {number}")
}

/// Tracks one document in each of the groups.
fn count(manager: &Blocking, groups: Range<u64>) {
    let list = manager.tracker_list(definitions()).unwrap();
    let document = Json::parse(b"{}").unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (list, document, groups) = (&list, &document, &groups);
            scope.spawn(move || {
                for number in groups.clone().skip(thread).step_by(THREADS) {
                    let group = group(number);
                    let submission = Submission::new(&group, document).ensure(list, Differing::Refuse);
                    manager.track_one(submission).unwrap();
                }
            });
        }
    });
}

fn progress(manager: &Blocking, number: u64) -> String {
    manager.trackers(&group(number)).unwrap()[TRACKERS - 1].progress.to_string()
}

/// A field of this process's status, in bytes.
fn status(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

/// A separate process, so that nothing else uses its memory.
#[test]
fn child() {
    let Ok(servers) = std::env::var(SERVERS) else { return };
    let first = 500;
    // The memory for counting without replicas: threads, connections, buffers.
    let manager = open(&servers, 0, Durability::Os);
    count(&manager, 0..first);
    count(&manager, 0..first);
    drop(manager);
    let before = status("VmRSS");
    let manager = open(&servers, BUDGET, Durability::Os);
    let mut most = 0;
    for _ in 0..2 {
        for from in (first..GROUPS).step_by(500) {
            count(&manager, from..from + 500);
            most = most.max(status("VmRSS"));
        }
    }
    println!("before {} now {} ", before >> 20, status("VmRSS") >> 20);
    println!("grown {}", most - before);
}

#[test]
fn replicas_take_no_more_than_their_budget_and_a_tenth() {
    let (redis, mongo) = (Redis::start(), Mongo::start());
    let plan = Place { redis: &redis, mongo: &mongo }.plan(Plan::default());
    let servers = format!("{} {}", plan.cache, plan.store);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "replicas::child", "--nocapture"]).env(SERVERS, &servers);
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let grown = text.lines().find_map(|line| line.split_once("grown ")).unwrap().1.parse::<u64>().unwrap();
    println!("{text}{} MiB for replicas, {} MiB grown", BUDGET >> 20, grown >> 20);
    assert!(grown <= BUDGET + BUDGET / 10, "{grown} bytes");
    assert!(grown >= BUDGET / 2, "{grown} bytes: more groups than fit are needed here");
    let manager = open(&servers, BUDGET, Durability::Os);
    assert!([0, 499, 500, GROUPS - 1].iter().all(|number| progress(&manager, *number) == "2"));
}

#[test]
fn calls_that_wait_for_the_store_are_answered_also_where_no_replica_fits() {
    let (redis, mongo) = (Redis::start(), Mongo::start());
    let plan = Place { redis: &redis, mongo: &mongo }.plan(Plan::default());
    let manager = open(&format!("{} {}", plan.cache, plan.store), 0, Durability::Fsync);
    for _ in 0..3 {
        count(&manager, 0..200);
    }
    assert!((0..200).all(|number| progress(&manager, number) == "3"));
}

#[test]
fn replicas_that_are_not_saved_yet_are_dropped_and_saved_all_the_same() {
    let (redis, mongo) = (Redis::start(), Mongo::start());
    let plan = Place { redis: &redis, mongo: &mongo }.plan(Plan::default());
    let servers = format!("{} {}", plan.cache, plan.store);
    // Nothing is saved before the end.
    let manager = open(&servers, 1 << 20, Durability::Interval(Duration::from_secs(600)));
    for _ in 0..3 {
        count(&manager, 0..200);
    }
    manager.close().unwrap();
    drop(manager);
    redis.cli(&["FLUSHALL"]);
    let manager = open(&servers, 1 << 20, Durability::Fsync);
    assert!((0..200).all(|number| progress(&manager, number) == "3"));
}
