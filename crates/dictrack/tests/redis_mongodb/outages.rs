//! MongoDB fails behind Redis while processes count.

use std::time::Duration;

use dictrack::json::Json;
use dictrack::{Error, clock::Stopwatch};
use dictrack_testkit::bson::{Document, doc};
use dictrack_testkit::{Mongo, Redis, eventually};

use crate::fleet::{self, Plan, Report, manager, run};
use crate::place::Place;

/// No call may take longer than two seconds; the rest is for a busy machine.
const LONGEST: Duration = Duration::from_millis(2_500);
const PROCESSES: usize = 3;

/// Counts with several processes, each document with an id, until the faults are over; then every document has counted
/// once.
fn nothing_is_lost(place: &Place<'_>, durability: &str, fault: impl Fn(&Plan)) -> Report {
    let plan = Plan {
        endless: true,
        ids: true,
        listens: true,
        pause: 3,
        durability: durability.to_owned(),
        ..Plan::default()
    };
    let plan = place.plan(plan);
    let report = run(&vec![plan.clone(); PROCESSES], |_| {
        place.wait_for_more(&plan);
        fault(&plan);
        place.wait_for_more(&plan);
    });
    assert!(report.slowest < LONGEST, "{:?}", report.slowest);
    place.assert_exact(&report, &plan);
    report
}

/// The variants of errors that callers saw.
fn variants(report: &Report) -> Vec<&str> {
    let mut variants: Vec<_> = report.failed.keys().map(String::as_str).collect();
    variants.sort_unstable();
    variants
}

#[test]
fn a_store_that_is_away_for_seconds_loses_nothing() {
    let (redis, mongo) = (Redis::start(), Mongo::start());
    let place = Place { redis: &redis, mongo: &mongo };
    for (durability, held_up, stopped) in [("interval(100ms)", 3, [1, 20]), ("fsync", 3, [1, 5])] {
        let report = nothing_is_lost(&place, durability, |plan| {
            mongo.pause();
            std::thread::sleep(Duration::from_secs(held_up));
            mongo.resume();
            for seconds in stopped {
                place.wait_for_more(plan);
                mongo.stop();
                if durability != "fsync" {
                    // Redis has the groups, which is enough.
                    place.wait_for_more(plan);
                }
                std::thread::sleep(Duration::from_secs(seconds));
                mongo.restart();
            }
        });
        assert!(variants(&report).iter().all(|variant| *variant == "Unavailable"), "{:?}", report.failed);
        // With an interval, Redis is enough, unless a busy machine breaks the connection to it too: then the store is
        // needed.
        let few = report.total() / 100;
        assert!(durability == "fsync" || report.failures() <= few, "{:?}", report.failed);
    }
}

#[test]
fn a_process_that_is_held_up_past_its_lease_changes_nothing_of_others() {
    let (redis, mongo) = (Redis::start(), Mongo::start());
    let place = Place { redis: &redis, mongo: &mongo };
    let plan = Plan { endless: true, ids: true, listens: true, durability: "fsync".to_owned(), ..Plan::default() };
    let plan = place.plan(plan);
    let report = run(&vec![plan.clone(); PROCESSES], |members| {
        place.wait_for_more(&plan);
        for _ in 0..5 {
            // All processes want to load the groups now, and this one may hold the leases, which last a second.
            redis.cli(&["FLUSHALL"]);
            members[0].signal("-STOP");
            let watch = Stopwatch::start();
            place.wait_for_more(&plan);
            std::thread::sleep(Duration::from_millis(1_200).saturating_sub(watch.elapsed()));
            members[0].signal("-CONT");
            place.wait_for_more(&plan);
        }
    });
    assert!(variants(&report).iter().all(|variant| ["Lost", "Unavailable"].contains(variant)), "{:?}", report.failed);
    place.assert_exact(&report, &plan);
}

#[test]
fn a_primary_that_steps_down_loses_nothing_behind_redis() {
    let (redis, mongo) = (Redis::start(), Mongo::replica_set());
    let place = Place { redis: &redis, mongo: &mongo };
    for durability in ["interval(100ms)", "fsync"] {
        let report = nothing_is_lost(&place, durability, |plan| {
            for seconds in [1, 3] {
                mongo.step_down(seconds);
                mongo.wait_for_primary();
                place.wait_for_more(plan);
            }
        });
        // Redis acknowledges with an interval; with `fsync`, a call waits a second for the store.
        let expected: &[&str] = if durability == "fsync" { &["Unavailable"] } else { &[] };
        assert_eq!(variants(&report), expected, "{durability}: {:?}", report.failed);
    }
}

/// Makes a command fail in this way, and waits until that has happened this often.
fn fail(mongo: &Mongo, command: &str, fault: Document, times: i64) {
    let mut data = doc! {"failCommands": [command], "appName": "dictrack"};
    data.extend(fault);
    let shown = data.to_string();
    mongo.fail_command(doc! {"mode": "alwaysOn", "data": data});
    let entered = || {
        let answer = mongo.command("admin", doc! {"getParameter": 1, "failpoint.failCommand": 1});
        let point = answer.get_document("failpoint.failCommand").unwrap().clone();
        point.get_i64("timesEntered").or_else(|_| point.get_i32("timesEntered").map(i64::from)).unwrap()
    };
    let before = entered();
    eventually(&format!("{shown} was hit"), || entered() >= before + times);
    mongo.fail_no_command();
}

#[test]
fn writes_that_fail_for_a_while_lose_nothing_behind_redis() {
    let (redis, mongo) = (Redis::start(), Mongo::start());
    let place = Place { redis: &redis, mongo: &mongo };
    for durability in ["interval(100ms)", "fsync"] {
        let report = nothing_is_lost(&place, durability, |plan| {
            for fault in [
                doc! {"errorCode": 189},
                doc! {"errorCode": 10_107},
                doc! {"errorCode": 91},
                doc! {"closeConnection": true},
                doc! {"writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"}},
            ] {
                fail(&mongo, "update", fault, 5);
                place.wait_for_more(plan);
            }
        });
        assert!(variants(&report).iter().all(|variant| *variant == "Unavailable"), "{:?}", report.failed);
        assert!(durability == "fsync" || report.failures() == 0, "{:?}", report.failed);
    }
}

#[test]
fn groups_that_cannot_be_read_for_a_while_lose_nothing() {
    let (redis, mongo) = (Redis::start(), Mongo::start());
    let place = Place { redis: &redis, mongo: &mongo };
    let report = nothing_is_lost(&place, "fsync", |plan| {
        for (command, fault) in [
            ("find", doc! {"errorCode": 11_600}),
            ("find", doc! {"closeConnection": true}),
            ("findAndModify", doc! {"errorCode": 13_435}),
            ("findAndModify", doc! {"closeConnection": true}),
        ] {
            // A process that finds Redis empty reads from the store.
            redis.cli(&["FLUSHALL"]);
            fail(&mongo, command, fault, 4);
            place.wait_for_more(plan);
        }
    });
    assert!(variants(&report).iter().all(|variant| ["Lost", "Unavailable"].contains(variant)), "{:?}", report.failed);
}

#[test]
fn what_a_call_waits_for_does_not_add_up() {
    let (redis, mongo) = (Redis::start(), Mongo::start());
    let place = Place { redis: &redis, mongo: &mongo };
    let plan = place.plan(Plan { durability: "fsync".to_owned(), ..Plan::default() });
    let counting = manager(&plan);
    let (known, new) = (fleet::group(0), fleet::group(1));
    counting.add_trackers(&known, fleet::definitions()).unwrap();
    let document = Json::parse(br#"{"tenth": 0.1}"#).unwrap();
    for group in [&known, &new] {
        redis.pause();
        mongo.pause();
        std::thread::scope(|scope| {
            // A call waits this long for either of them alone: Redis returns before it is given up, MongoDB does not.
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(1_300));
                redis.resume();
            });
            let watch = Stopwatch::start();
            let error = counting.track(group, &document).unwrap_err();
            let took = watch.elapsed();
            assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
            assert!(took < Duration::from_millis(2_200), "{took:?}: {error}");
        });
        mongo.resume();
    }
    // Redis had the change before, and has kept it.
    eventually("the change is saved", || redis.cli(&["--scan", "--pattern", "dictrack:*:dirty"]).trim().is_empty());
    assert_eq!(fleet::counted(&counting, &known).0, 1);
}

#[test]
fn a_failure_that_repeating_does_not_help_stops_its_process_and_others_save_what_it_left() {
    let (redis, mongo) = (Redis::start(), Mongo::start());
    let place = Place { redis: &redis, mongo: &mongo };
    let plan = place.plan(Plan::default());
    let counting = manager(&plan);
    let group = fleet::group(0);
    counting.add_trackers(&group, fleet::definitions()).unwrap();
    let document = Json::parse(br#"{"tenth": 0.1}"#).unwrap();
    let data = doc! {"failCommands": ["update"], "errorCode": 8_000, "appName": "dictrack"};
    mongo.fail_command(doc! {"mode": "alwaysOn", "data": data});
    let mut acknowledged = 0;
    let watch = Stopwatch::start();
    let error = loop {
        match counting.track(&group, &document) {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(watch.elapsed() < Duration::from_secs(10), "it goes on without its store");
    };
    assert!(matches!(error, Error::Stopped { .. }), "{error:?}");
    assert!(error.to_string().contains("code 8000"), "{error}");
    mongo.fail_no_command();
    assert!(matches!(counting.close(), Err(Error::Stopped { .. })));
    drop(counting);
    // The call that failed may have changed Redis.
    let counted = fleet::counted(&manager(&plan), &group).0;
    assert!((acknowledged..=acknowledged + 1).contains(&counted), "{counted} of {acknowledged}");
    let report = Report { acknowledged: [(group, counted)].into(), ..Report::default() };
    place.assert_counts(&report, &plan);
}
