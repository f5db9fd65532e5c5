//! Servers that fail: nothing acknowledged is lost, nothing counts twice, and callers get the error in time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use dictrack::{Blocking, Durability, Error, Manager, clock::Stopwatch, manager::Submission};
use dictrack_testkit::bson::{Document, doc};
use dictrack_testkit::{Mongo, Proxy, eventually};

use crate::common::{DATABASE, all, builder, counter, document, edit, fresh, manager, open, progress};

const GROUPS: u64 = 5;
/// How long a call may take until it fails.
const IN_TIME: Duration = Duration::from_secs(2);

/// Counts in some groups while something goes wrong. Each document has an id and is sent until it is acknowledged.
struct Counting {
    players: Blocking,
    acknowledged: AtomicU64,
    failures: AtomicU64,
    ended: AtomicBool,
}

impl Counting {
    fn start(url: &str, collection: &str, durability: Durability) -> Self {
        let store = pollster::block_on(builder(url, collection).open()).unwrap();
        // Groups that are not in use are read again.
        let players = manager(Manager::builder().durability(durability).memory_budget(0), store);
        for group in 0..GROUPS {
            players.add_tracker(&format!("g{group}"), counter("n")).unwrap();
        }
        Self { players, acknowledged: AtomicU64::new(0), failures: AtomicU64::new(0), ended: AtomicBool::new(false) }
    }

    fn count(&self, writer: u64) {
        let mut number = 0_u64;
        while !self.ended.load(Ordering::Relaxed) {
            let (group, id) = (format!("g{}", number % GROUPS), format!("{writer} {number}"));
            loop {
                let watch = Stopwatch::start();
                let result = self.players.track_one(Submission::new(&group, &document()).id(&id));
                let took = watch.elapsed();
                assert!(took < IN_TIME, "{took:?}: {result:?}");
                match result {
                    Ok(_) => break,
                    Err(error) => {
                        assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
                        assert!(error.is_temporary() && error.to_string().contains("MongoDB"), "{error}");
                        self.failures.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
            self.acknowledged.fetch_add(1, Ordering::Relaxed);
            number += 1;
        }
    }

    /// Counts with two writers while `fault` runs, and a while before and after it.
    fn during(self, fault: impl FnOnce()) -> (u64, u64) {
        thread::scope(|scope| {
            for writer in 0..2 {
                let counting = &self;
                scope.spawn(move || counting.count(writer));
            }
            let more = |count: u64| {
                let from = self.acknowledged.load(Ordering::Relaxed);
                eventually("documents are counted", || self.acknowledged.load(Ordering::Relaxed) >= from + count);
            };
            more(50);
            fault();
            more(50);
            self.ended.store(true, Ordering::Relaxed);
        });
        self.players.close().unwrap();
        (self.acknowledged.into_inner(), self.failures.into_inner())
    }
}

/// What is stored in all groups.
fn counted(mongo: &Mongo, collection: &str) -> u64 {
    let players = open(mongo, collection);
    (0..GROUPS).map(|group| progress(&players, &format!("g{group}")).parse::<u64>().unwrap()).sum()
}

/// Counts on a server through `url`, and checks what is there afterwards; returns how many calls failed.
fn nothing_is_lost(mongo: &Mongo, url: &str, durability: Durability, fault: impl FnOnce()) -> u64 {
    let collection = fresh();
    let (acknowledged, failures) = Counting::start(url, &collection, durability).during(fault);
    assert_eq!(counted(mongo, &collection), acknowledged, "{failures} calls failed");
    failures
}

#[test]
fn a_server_that_is_killed_and_comes_back() {
    let mongo = Mongo::start();
    let failures = nothing_is_lost(&mongo, &mongo.url(), Durability::Fsync, || {
        for pause in [0, 3_000] {
            mongo.kill();
            thread::sleep(Duration::from_millis(pause));
            mongo.restart();
            thread::sleep(Duration::from_millis(500));
        }
    });
    assert!(failures > 0, "callers hear of three seconds");
}

#[test]
fn a_replica_set_that_is_killed_and_comes_back() {
    let mongo = Mongo::replica_set();
    nothing_is_lost(&mongo, &mongo.url(), Durability::Fsync, || {
        mongo.kill();
        mongo.restart();
    });
}

#[test]
fn a_server_that_is_stopped_for_a_while() {
    let mongo = Mongo::start();
    for (durability, pause) in [(Durability::Os, 1_000), (Durability::Fsync, 5_000)] {
        nothing_is_lost(&mongo, &mongo.url(), durability, || {
            mongo.pause();
            thread::sleep(Duration::from_millis(pause));
            mongo.resume();
        });
    }
}

#[test]
fn a_primary_that_steps_down() {
    let mongo = Mongo::replica_set();
    for durability in [Durability::Os, Durability::Fsync, Durability::Interval(Duration::from_millis(20))] {
        nothing_is_lost(&mongo, &mongo.url(), durability, || {
            mongo.step_down(1);
            mongo.wait_for_primary();
        });
    }
}

#[test]
fn commands_that_fail_for_a_while() {
    let mongo = Mongo::start();
    let collection = fresh();
    let counting = Counting::start(&mongo.url(), &collection, Durability::Os);
    let (acknowledged, _) = counting.during(|| {
        for (command, fault) in [
            ("update", doc! {"errorCode": 189}),
            ("update", doc! {"errorCode": 10_107}),
            ("update", doc! {"errorCode": 91}),
            ("update", doc! {"closeConnection": true}),
            ("update", doc! {"writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"}}),
            ("update", doc! {"blockConnection": true, "blockTimeMS": 900}),
            ("find", doc! {"errorCode": 11_600}),
            ("find", doc! {"closeConnection": true}),
            ("findAndModify", doc! {"errorCode": 13_435}),
            ("findAndModify", doc! {"closeConnection": true}),
        ] {
            let mut data: Document = doc! {"failCommands": [command], "appName": "dictrack"};
            data.extend(fault);
            mongo.fail_command(doc! {"mode": {"times": 3}, "data": data});
            thread::sleep(Duration::from_millis(250));
        }
        mongo.fail_no_command();
    });
    assert_eq!(counted(&mongo, &collection), acknowledged);
}

#[test]
fn replies_that_are_lost() {
    let mongo = Mongo::start();
    let proxy = Proxy::start(mongo.address());
    for command in ["update", "find", "findAndModify"] {
        let collection = fresh();
        drop(open(&mongo, &collection));
        if command == "findAndModify" {
            // After an owner was suspended, groups are claimed before they are used.
            let held_up = doc! {"$set": {"held_up": true}};
            edit(&mongo, &format!("{collection}.meta"), "owner", held_up);
        }
        let before = proxy.faults();
        proxy.only_requests_with(command);
        let counting = Counting::start(&proxy.url_for(&mongo.url()), &collection, Durability::Os);
        let (acknowledged, _) = counting.during(|| {
            proxy.drop_replies_every(4);
            thread::sleep(Duration::from_millis(1_500));
            proxy.drop_replies_every(0);
        });
        assert!(proxy.faults() > before + 1, "{command}: {} faults", proxy.faults() - before);
        assert_eq!(counted(&mongo, &collection), acknowledged, "{command}");
    }
}

#[test]
fn connections_that_are_cut() {
    let mongo = Mongo::replica_set();
    let proxy = Proxy::start(mongo.address());
    let url = proxy.url_for(&mongo.url());
    for durability in [Durability::Fsync, Durability::Interval(Duration::from_millis(20))] {
        nothing_is_lost(&mongo, &url, durability, || {
            proxy.cut_every(11);
            thread::sleep(Duration::from_secs(1));
            proxy.cut_every(0);
            for _ in 0..10 {
                proxy.cut();
                thread::sleep(Duration::from_millis(50));
            }
        });
    }
    assert!(proxy.faults() > 5, "{} faults", proxy.faults());
}

#[test]
fn a_network_that_holds_everything_back() {
    let mongo = Mongo::start();
    let proxy = Proxy::start(mongo.address());
    let failures = nothing_is_lost(&mongo, &proxy.url_for(&mongo.url()), Durability::Os, || {
        proxy.stall();
        thread::sleep(Duration::from_millis(2_500));
        proxy.unstall();
    });
    assert!(failures > 0);
}

#[test]
fn a_manager_that_closes_while_its_server_is_away_says_so() {
    let mongo = Mongo::start();
    let collection = fresh();
    let store = pollster::block_on(builder(&mongo.url(), &collection).open()).unwrap();
    let players = manager(Manager::builder().durability(Durability::Interval(Duration::from_millis(10))), store);
    players.add_tracker("g", counter("n")).unwrap();
    players.track("g", &document()).unwrap();
    eventually("it is stored", || {
        all(&mongo, &collection).first().is_some_and(|group| group.get_i64("version").is_ok_and(|version| version == 2))
    });
    mongo.kill();
    // This durability acknowledges at once.
    players.track("g", &document()).unwrap();
    let watch = Stopwatch::start();
    assert!(players.close().is_err(), "not everything was written");
    drop(players);
    assert!(watch.elapsed() < Duration::from_secs(9), "{:?}", watch.elapsed());
    mongo.restart();
    // A last attempt may still be in progress; after it the store is free, although the server could not be told.
    let mut players = None;
    eventually("the store is free", || {
        let store = pollster::block_on(builder(&mongo.url(), &collection).open()).unwrap();
        players = pollster::block_on(Manager::builder().store(store).open()).ok();
        players.is_some()
    });
    let found = progress(&players.unwrap().blocking(), "g");
    assert!(["1", "2"].contains(&&*found), "{found}");
}

#[test]
fn a_server_that_was_away_for_long_and_comes_back_as_the_manager_closes_gets_everything() {
    let mongo = Mongo::start();
    let collection = fresh();
    let store = pollster::block_on(builder(&mongo.url(), &collection).open()).unwrap();
    let players = manager(Manager::builder().durability(Durability::Interval(Duration::from_millis(10))), store);
    players.add_tracker("g", counter("n")).unwrap();
    mongo.stop();
    players.track("g", &document()).unwrap();
    // Longer than closing a manager may take.
    thread::sleep(Duration::from_secs(6));
    thread::scope(|scope| {
        let close = scope.spawn(|| players.close());
        thread::sleep(Duration::from_millis(600));
        mongo.restart();
        close.join().unwrap().unwrap();
    });
    drop(players);
    assert_eq!(progress(&open(&mongo, &collection), "g"), "1");
}

#[test]
fn a_failure_that_repeating_does_not_help_stops_the_manager() {
    let mongo = Mongo::start();
    let collection = fresh();
    let players = open(&mongo, &collection);
    players.add_tracker("g", counter("n")).unwrap();
    let data = doc! {"failCommands": ["update"], "errorCode": 8_000, "appName": "dictrack"};
    mongo.fail_command(doc! {"mode": "alwaysOn", "data": data});
    for _ in 0..2 {
        let error = players.track("g", &document()).unwrap_err();
        assert!(matches!(error, Error::Stopped { .. }), "{error:?}");
        assert!(error.to_string().contains("code 8000"), "{error}");
    }
    mongo.fail_no_command();
    drop(players);
    assert_eq!(progress(&open(&mongo, &collection), "g"), "0");
}

#[test]
fn a_group_that_somebody_removed_stops_its_owner_and_says_so() {
    let mongo = Mongo::start();
    let collection = fresh();
    let players = open(&mongo, &collection);
    players.add_tracker("g", counter("n")).unwrap();
    mongo.command(DATABASE, doc! {"delete": &collection, "deletes": [{"q": {}, "limit": 0}]});
    let error = players.track("g", &document()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("group \"g\"") && text.contains("found version 0"), "{text}");
    assert_eq!(all(&mongo, &collection), []);
}
