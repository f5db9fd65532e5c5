//! `cargo bench --features mongodb --bench mongodb`: how fast groups in memory are stored in a MongoDB server, compared with
//! writes by hand through the driver, in one run.

use dictrack::json::Json;
use dictrack::{
    Blocking, Durability, Manager, MongoStore, TrackerDefinition, clock::Stopwatch, group::Differing,
    manager::Submission,
};
use dictrack_testkit::Mongo;
use dictrack_testkit::bson::{Document, doc};

#[path = "workload.rs"]
mod workload;

use workload::verdict;

const GROUPS: usize = 1_000;
const TRACKERS: usize = 10;
const ROUNDS: usize = 20;
/// The goal: tracker updates stored per second.
const GOAL: f64 = 20_000.0;

fn group(at: usize) -> String {
    format!("user_{at:05}")
}

fn open(mongo: &Mongo, name: &str, durability: Durability) -> Blocking {
    let store = MongoStore::builder(mongo.url()).database("bench").collection(name).open();
    let store = pollster::block_on(store).unwrap();
    let builder = Manager::builder().store(store).durability(durability).commit_by_hand();
    pollster::block_on(builder.open()).unwrap().blocking()
}

/// How many updates of documents a server has executed.
fn updates(mongo: &Mongo) -> i64 {
    let status = mongo.command("admin", doc! {"serverStatus": 1});
    let counters = status.get_document("opcounters").unwrap();
    counters.get_i64("update").or_else(|_| counters.get_i32("update").map(i64::from)).unwrap()
}

/// Ten trackers per group, all changed by each document: milliseconds per commit, document updates per commit.
fn commits(mongo: &Mongo, name: &str, durability: Durability, documents: usize, ids: bool) -> (f64, f64) {
    let manager = open(mongo, name, durability);
    let trackers = (0..TRACKERS).map(|at| {
        let tracker = if at % 2 == 0 {
            TrackerDefinition::count(&format!("count_{at}"))
        } else {
            TrackerDefinition::sum(&format!("sum_{at}")).key("amount")
        };
        tracker.target(1_000_000_000_000_i64).eq("event", "purchase").build().unwrap()
    });
    let list = manager.tracker_list(trackers).unwrap();
    let document = Json::parse(br#"{"event":"purchase","amount":12.5}"#).unwrap();
    let groups: Vec<String> = (0..GROUPS).map(group).collect();
    let mut number = 0;
    let mut round = || {
        for _ in 0..documents {
            for group in &groups {
                number += 1;
                let id = number.to_string();
                let plain = Submission::new(group, &document).ensure(&list, Differing::Refuse);
                let submission = if ids { plain.id(&id) } else { plain };
                assert_eq!(manager.track_one(submission).unwrap().dirtied().count(), TRACKERS);
            }
        }
        let watch = Stopwatch::start();
        manager.commit(Vec::new()).unwrap().wait_blocking().unwrap();
        watch.elapsed().as_secs_f64() * 1_000.0
    };
    // The first commit creates the groups.
    let first = round();
    let before = updates(mongo);
    let total: f64 = (0..ROUNDS).map(|_| round()).sum();
    let written = (updates(mongo) - before) as f64 / ROUNDS as f64;
    let line = format!("{durability}, {documents} document(s) a group{}", if ids { ", with ids" } else { "" });
    let millis = total / ROUNDS as f64;
    let rate = (GROUPS * TRACKERS) as f64 / millis * 1_000.0;
    let reached = verdict(rate >= GOAL);
    println!("{line:<44} {first:>10.1} {millis:>10.1} {written:>10.0} {rate:>12.0} {reached:>8}");
    manager.close().unwrap();
    (millis, written)
}

/// The time for the same numbers written in the simplest way.
fn by_hand(mongo: &Mongo) {
    let set = |at: usize, round: usize| -> Document {
        let numbers = (0..TRACKERS).map(|tracker| (format!("t{tracker}"), (round as i64).into()));
        doc! {"q": {"_id": group(at)}, "u": {"$set": numbers.collect::<Document>()}, "upsert": true}
    };
    let batch = |round: usize| {
        let all: Vec<_> = (0..GROUPS).map(|at| set(at, round)).collect();
        mongo.command("bench", doc! {"update": "by_hand", "updates": all, "ordered": false});
    };
    batch(0);
    let watch = Stopwatch::start();
    (1..=ROUNDS).for_each(batch);
    let millis = watch.elapsed().as_secs_f64() * 1_000.0 / ROUNDS as f64;
    let rate = (GROUPS * TRACKERS) as f64 / millis * 1_000.0;
    println!(
        "{:<44} {:>10} {millis:>10.1} {GROUPS:>10} {rate:>12.0}",
        "by hand: ten numbers per group, in one command", ""
    );
    let one = |at: usize| {
        let update = doc! {"q": {"_id": group(at % GROUPS)}, "u": {"$inc": {"t0": 1}}};
        mongo.command("bench", doc! {"update": "by_hand", "updates": [update]});
    };
    let watch = Stopwatch::start();
    (0..GROUPS).for_each(one);
    let rate = GROUPS as f64 / watch.elapsed().as_secs_f64();
    println!("{:<44} {:>10} {:>10} {:>10} {rate:>12.0}", "by hand: one number per command", "", "", 1);
}

/// Groups that are read from the store when a document arrives.
fn cold(mongo: &Mongo, name: &str) {
    let manager = open(mongo, name, Durability::Os);
    let document = Json::parse(br#"{"event":"other"}"#).unwrap();
    let watch = Stopwatch::start();
    for at in 0..GROUPS {
        manager.track(&group(at), &document).unwrap();
    }
    let each = watch.elapsed().as_secs_f64() * 1_000_000.0 / GROUPS as f64;
    println!("{:<44} {each:>10.0} µs per group", "reading a group that is not in memory");
    manager.close().unwrap();
}

fn main() {
    println!("{GROUPS} groups with {TRACKERS} trackers, all of which change; memory cache and MongoDB on this machine");
    for (server, mongo) in [("standalone", Mongo::start()), ("replica set of one", Mongo::replica_set())] {
        println!(
            "\n{server:<44} {:>10} {:>10} {:>10} {:>12} {:>8}",
            "first ms", "commit ms", "writes", "trackers/s", "goal"
        );
        by_hand(&mongo);
        commits(&mongo, "os", Durability::Os, 1, false);
        commits(&mongo, "many", Durability::Os, 100, false);
        commits(&mongo, "ids", Durability::Os, 1, true);
        commits(&mongo, "fsync", Durability::Fsync, 1, false);
        cold(&mongo, "os");
    }
}
