//! A group with a million document ids: loading it takes longer than a call, and holds up no other group.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use dictrack::json::Json;
use dictrack::{Blocking, Error, Manager, MongoStore, clock::Stopwatch, manager::Submission};
use dictrack_testkit::bson::{Bson, doc};
use dictrack_testkit::{Mongo, Proxy, Redis, eventually};

use crate::fleet::{self, Plan, manager, scale};
use crate::place::Place;

/// No call may take longer than two seconds; the rest is for a busy machine.
const LONGEST: Duration = Duration::from_millis(2_500);
/// The maximum number of ids in a group.
const MOST: u64 = 1 << 20;

/// How many ids the groups have in the tests of faults: enough for a fault to hit in the middle of a load.
fn some() -> u64 {
    ((1 << 17) * scale()).min(MOST)
}

fn document() -> Json {
    Json::parse(br#"{"tenth": 0.1}"#).unwrap()
}

/// Puts a group with this many ids into the store, and nothing into Redis.
fn stored(place: &Place<'_>, plan: Plan, ids: u64) -> Plan {
    let plan = place.plan(plan);
    let store = pollster::block_on(MongoStore::open(&plan.store)).unwrap();
    let counting = pollster::block_on(Manager::builder().store(store).commit_by_hand().open()).unwrap().blocking();
    // Some have their trackers in blocks.
    counting.add_trackers("large", fleet::trackers(u64::from(ids < MOST))).unwrap();
    let document = document();
    for number in 0..ids {
        counting.track_one(Submission::new("large", &document).id(&number.to_string())).unwrap();
    }
    counting.commit(Vec::new()).unwrap().wait_blocking().unwrap();
    counting.close().unwrap();
    plan
}

/// Counts a document, trying as often as necessary, and returns whether its id was known. Each try ends in time.
fn count(manager: &Blocking, id: u64) -> bool {
    count_noting(manager, id, &AtomicU64::new(0))
}

/// Like [`count`]; notes how many tries failed.
fn count_noting(manager: &Blocking, id: u64, failed: &AtomicU64) -> bool {
    let since = Stopwatch::start();
    loop {
        let watch = Stopwatch::start();
        let result = manager.track_one(Submission::new("large", &document()).id(&id.to_string()));
        assert!(watch.elapsed() < LONGEST, "{:?}", watch.elapsed());
        match result {
            Ok(outcome) => return outcome.duplicate(),
            Err(error) => assert!(matches!(error, Error::Unavailable(_)), "{error:?}"),
        }
        failed.fetch_add(1, Ordering::Relaxed);
        assert!(since.elapsed() < Duration::from_secs(120), "it does not come back");
    }
}

/// Counts documents of other groups while `work` runs; returns how many, and the longest call.
fn meanwhile<T>(manager: &Blocking, work: impl FnOnce() -> T) -> (T, u64, Duration) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let others = scope.spawn(|| {
            let (mut calls, mut slowest) = (0, Duration::ZERO);
            while !over.load(Ordering::Relaxed) {
                let watch = Stopwatch::start();
                manager.track(&fleet::group(calls % 5), &document()).unwrap();
                slowest = slowest.max(watch.elapsed());
                calls += 1;
            }
            (calls, slowest)
        });
        let done = work();
        over.store(true, Ordering::Relaxed);
        let (calls, slowest) = others.join().unwrap();
        (done, calls, slowest)
    })
}

fn number(redis: &Redis, section: &str, name: &str) -> u64 {
    let info = redis.cli(&["INFO", section]);
    let line = info.lines().find_map(|line| line.strip_prefix(&format!("{name}:"))).unwrap();
    line.trim().parse().unwrap()
}

/// The parts of groups that the store has.
fn parts(mongo: &Mongo, plan: &Plan) -> Vec<Bson> {
    let database = plan.store.rsplit('/').next().unwrap().split('?').next().unwrap();
    let reply = mongo.command(database, doc! {"distinct": "groups.parts", "key": "_id"});
    reply.get_array("values").unwrap().clone()
}

#[test]
fn a_million_ids_come_back_into_an_empty_redis_while_others_count() {
    let (redis, mongo) = (Redis::start(), Mongo::start());
    let plan = stored(&Place { redis: &redis, mongo: &mongo }, Plan::default(), MOST);
    let first = manager(&plan);
    let watch = Stopwatch::start();
    let (known, calls, slowest) = meanwhile(&first, || count(&first, MOST));
    println!("loaded in {:?}; {calls} documents of others meanwhile, the slowest in {slowest:?}", watch.elapsed());
    assert!(!known && slowest < Duration::from_millis(700), "{slowest:?}");
    assert!(count(&first, MOST) && count(&first, MOST - 1) && count(&first, 1), "what was counted is known");
    assert_eq!(fleet::counted(&first, "large").0, MOST + 1);

    // Another process reads it from Redis.
    let second = manager(&plan);
    let watch = Stopwatch::start();
    let (known, calls, slowest) = meanwhile(&second, || count(&second, 2));
    println!("read in {:?}; {calls} documents of others meanwhile, the slowest in {slowest:?}", watch.elapsed());
    assert!(known && slowest < Duration::from_millis(700), "{slowest:?}");

    // From here on, a change is as small as that of any other group, in Redis and in the store, whichever process makes
    // it.
    let saved = || {
        let key = redis.cli(&["--scan", "--pattern", "dictrack:*:g:large"]);
        redis.cli(&["HMGET", &key, "version", "stored"])
    };
    let all_saved = || saved().lines().collect::<Vec<_>>().windows(2).all(|pair| pair[0] == pair[1]);
    eventually("it is saved", all_saved);
    let (before, input) = (parts(&mongo, &plan), number(&redis, "stats", "total_net_input_bytes"));
    for id in 0..400 {
        assert!(!count([&first, &second][id as usize % 2], MOST + 1 + id));
    }
    eventually("it is saved", all_saved);
    let sent = number(&redis, "stats", "total_net_input_bytes") - input;
    assert!(sent < 4_000_000, "{sent} bytes for 400 documents");
    let new = parts(&mongo, &plan).into_iter().filter(|part| !before.contains(part)).count();
    assert!(new < 10, "{new} parts of the group were written");
    first.close().unwrap();
    second.close().unwrap();

    // The store alone has all of it.
    redis.cli(&["FLUSHALL"]);
    let third = manager(&plan);
    assert!(count(&third, MOST + 400) && count(&third, MOST));
    assert_eq!(fleet::counted(&third, "large").0, MOST + 401);
}

/// Asserts that the group counted this many documents, in Redis and in the store alone.
fn assert_counted(place: &Place<'_>, plan: &Plan, managers: &[&Blocking], documents: u64) {
    assert_eq!(fleet::counted(managers[0], "large").0, documents);
    managers.iter().for_each(|manager| manager.close().unwrap());
    place.redis.cli(&["FLUSHALL"]);
    let alone = manager(plan);
    assert!(count(&alone, 0) && count(&alone, documents - 1));
    assert_eq!(fleet::counted(&alone, "large").0, documents);
}

/// The key with the pieces of a group that is being loaded.
fn pieces(redis: &Redis) -> String {
    redis.cli(&["--scan", "--pattern", "dictrack:*:n:*"])
}

#[test]
fn a_large_group_comes_over_a_slow_network() {
    let (redis, mongo) = (Redis::start(), Mongo::start());
    let place = Place { redis: &redis, mongo: &mongo };
    let plan = stored(&place, Plan::default(), some());
    let (before_redis, before_mongo) = (Proxy::start(redis.address()), Proxy::start(mongo.address()));
    let (cache, store) = (before_redis.url_for(&plan.cache), before_mongo.url_for(&plan.store));
    let far = Plan { cache, store, ..plan.clone() };
    let slow = [manager(&far), manager(&far)];
    for proxy in [&before_redis, &before_mongo] {
        proxy.delay(Duration::from_millis(10));
        proxy.throttle(2_000_000);
    }
    for (at, slow) in slow.iter().enumerate() {
        let failed = AtomicU64::new(0);
        let work = || count_noting(slow, some() + at as u64, &failed);
        let (known, calls, slowest) = meanwhile(slow, work);
        let failed = failed.into_inner();
        println!("{failed} calls gave up; {calls} documents of others, the slowest in {slowest:?}");
        // A call that gave up may have counted nevertheless.
        assert!(!known || failed > 0);
        assert!(slowest < Duration::from_millis(1_500), "{slowest:?}");
    }
    for proxy in [&before_redis, &before_mongo] {
        proxy.delay(Duration::ZERO);
        proxy.throttle(0);
    }
    assert_counted(&place, &plan, &[&slow[0], &slow[1]], some() + 2);
}

#[test]
fn a_loader_that_is_held_up_half_way_leaves_nothing_that_is_in_the_way() {
    let (redis, mongo) = (Redis::start(), Mongo::start());
    let place = Place { redis: &redis, mongo: &mongo };
    let plan = stored(&place, Plan::default(), some());
    let proxy = Proxy::start(redis.address());
    let held_up = manager(&Plan { cache: proxy.url_for(&plan.cache), ..plan.clone() });
    let other = manager(&plan);
    proxy.throttle(1_000_000);
    thread::scope(|scope| {
        let loading = scope.spawn(|| count(&held_up, some()));
        eventually("pieces are there", || !pieces(&redis).is_empty());
        proxy.stall();
        assert_eq!(redis.cli(&["--scan", "--pattern", "dictrack:*:g:large"]), "", "half of it is not a group");
        assert!(!count(&other, some() + 1), "another one loads it when the lease is over");
        let left = redis.cli(&["PTTL", &pieces(&redis)]).parse::<i64>().unwrap();
        assert!((1..=20_000).contains(&left), "what is left goes by itself: {left}");
        proxy.throttle(0);
        proxy.unstall();
        assert!(!loading.join().unwrap());
    });
    assert_counted(&place, &plan, &[&held_up, &other], some() + 2);
}

#[test]
fn a_redis_that_loses_the_half_of_a_group_gets_all_of_it() {
    let (redis, mongo) = (Redis::start(), Mongo::start());
    let place = Place { redis: &redis, mongo: &mongo };
    let plan = stored(&place, Plan::default(), some());
    let proxy = Proxy::start(redis.address());
    let manager = manager(&Plan { cache: proxy.url_for(&plan.cache), ..plan.clone() });
    proxy.throttle(1_000_000);
    thread::scope(|scope| {
        let loading = scope.spawn(|| count(&manager, some()));
        for lost in ["all of it", "only the pieces, as a Redis does whose memory is full"] {
            eventually("pieces are there", || !pieces(&redis).is_empty());
            match lost {
                "all of it" => redis.cli(&["FLUSHALL"]),
                _ => redis.cli(&["DEL", &pieces(&redis)]),
            };
        }
        proxy.throttle(0);
        assert!(!loading.join().unwrap());
    });
    assert_counted(&place, &plan, &[&manager], some() + 1);
}

#[test]
fn a_store_that_goes_away_half_way_is_read_again() {
    let (redis, mongo) = (Redis::start(), Mongo::start());
    let place = Place { redis: &redis, mongo: &mongo };
    let plan = stored(&place, Plan::default(), some());
    let proxy = Proxy::start(mongo.address());
    let manager = manager(&Plan { store: proxy.url_for(&plan.store), ..plan.clone() });
    proxy.throttle(500_000);
    let failed = AtomicU64::new(0);
    thread::scope(|scope| {
        let loading = scope.spawn(|| count_noting(&manager, some(), &failed));
        eventually("it is being loaded", || !redis.cli(&["--scan", "--pattern", "dictrack:*:l:large"]).is_empty());
        proxy.stall();
        eventually("calls give up", || failed.load(Ordering::Relaxed) >= 3);
        proxy.throttle(0);
        proxy.unstall();
        assert!(!loading.join().unwrap());
    });
    assert_counted(&place, &plan, &[&manager], some() + 1);
}

#[test]
fn two_who_load_the_same_large_group_at_once_count_on_one() {
    let (redis, mongo) = (Redis::start(), Mongo::start());
    let place = Place { redis: &redis, mongo: &mongo };
    let plan = stored(&place, Plan::default(), some());
    let both = [manager(&plan), manager(&plan)];
    thread::scope(|scope| {
        for (at, manager) in both.iter().enumerate() {
            scope.spawn(move || (0..50).for_each(|number| assert!(!count(manager, some() + 2 * number + at as u64))));
        }
    });
    assert_counted(&place, &plan, &[&both[0], &both[1]], some() + 100);
}
