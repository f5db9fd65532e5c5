//! What is in Redis, for how long, and how many calls it takes.

use std::collections::BTreeSet;

use dictrack::json::Json;
use dictrack::{Error, Manager, MongoStore, RedisCache, TrackerDefinition, manager::Submission};
use dictrack_testkit::{Mongo, Redis, eventually};

use crate::fleet::{self, Plan, manager};
use crate::place::Place;

fn document() -> Json {
    Json::parse(br#"{"tenth": 0.1}"#).unwrap()
}

/// The first cell of each row of the page's table under this heading, without text in angle brackets.
fn documented(heading: &str) -> BTreeSet<String> {
    let page = include_str!("../../../../docs/redis.md");
    let (_, table) = page.split_once(heading).expect("the page has the table");
    let rows = table.lines().skip_while(|line| !line.starts_with("| `")).take_while(|line| line.starts_with("| `"));
    let cells = rows.filter_map(|row| row.split('|').nth(1)).flat_map(|cell| cell.split(','));
    cells.map(|cell| cell.trim().trim_matches('`').split('<').next().unwrap().to_owned()).collect()
}

#[test]
fn what_stands_in_redis_is_what_the_page_says() {
    let (redis, mongo) = (Redis::start(), Mongo::start());
    let plan = Place { redis: &redis, mongo: &mongo }.plan(Plan::default());
    let builder = Manager::builder().cache(RedisCache::new(&plan.cache).unwrap()).keep_events();
    let store = pollster::block_on(MongoStore::open(&plan.store)).unwrap();
    let manager = pollster::block_on(builder.store(store).open()).unwrap().blocking();
    let once = TrackerDefinition::count("once").target(1).build().unwrap();
    manager.add_trackers("user_001", fleet::definitions().into_iter().chain([once])).unwrap();
    manager.add_trackers("user_002", fleet::trackers(1)).unwrap();
    manager.track("user_002", &document()).unwrap();
    // What is not saved stays dirty.
    mongo.pause();
    for number in 0..100 {
        let id = format!("{number}");
        manager.track_one(Submission::new("user_001", &document()).id(&id)).unwrap();
    }
    let key = redis.cli(&["--scan", "--pattern", "dictrack:*:g:user_001"]).trim().to_owned();
    let fields = redis.cli(&["HKEYS", &key]);
    let kind = |field: &str| match field.split_once(':') {
        Some((kind, _)) => format!("{kind}:"),
        None => field.to_owned(),
    };
    let found: BTreeSet<String> = fields.lines().map(kind).collect();
    assert_eq!(found, documented("The fields of a group:"), "{fields}");
    let many = "A group with more than 128 trackers has these fields instead of";
    let other = redis.cli(&["--scan", "--pattern", "dictrack:*:g:user_002"]);
    let blocks: BTreeSet<String> = redis.cli(&["HKEYS", &other]).lines().map(kind).collect();
    assert_eq!(blocks.difference(&found).cloned().collect::<BTreeSet<_>>(), documented(many), "{blocks:?}");
    assert!(!blocks.contains("t:"), "{blocks:?}");
    assert_eq!(redis.cli(&["HGET", &key, "t:all"]), "[1,100,0]");
    assert_eq!(redis.cli(&["HGET", &key, "t:tenths"]), "[2,10,0]");
    let bucket = key.split_once(":g:").unwrap().0.to_owned();
    let keys = redis.cli(&["--scan"]);
    for (key, kind) in keys.lines().map(|key| (key, redis.cli(&["TYPE", key]))) {
        let (_, rest) = key.split_once("}:").unwrap();
        let expected = match rest.split(':').next().unwrap() {
            "g" | "zone_data" => "hash",
            "dirty" => "set",
            "s" | "l" => "string",
            other => panic!("{other} is not on the page: {key}"),
        };
        assert_eq!(kind, expected, "{key}");
    }
    assert_eq!(redis.cli(&["SMEMBERS", &format!("{bucket}:dirty")]), "user_001");
    mongo.resume();
}

#[test]
fn a_group_that_nobody_touches_leaves_redis_only_when_the_store_has_it() {
    let (redis, mongo) = (Redis::start(), Mongo::start());
    let plan = Place { redis: &redis, mongo: &mongo }.plan(Plan::default());
    let plan = Plan { cache: format!("{}?idle=1s", plan.cache), ..plan };
    let manager = manager(&plan);
    manager.add_trackers("g", fleet::definitions()).unwrap();
    let key = redis.cli(&["--scan", "--pattern", "dictrack:*:g:g"]).trim().to_owned();
    let left = || redis.cli(&["PTTL", &key]).parse::<i64>().unwrap();
    eventually("it is saved and may go", || left() > 0);
    mongo.pause();
    manager.track("g", &document()).unwrap();
    let watch = dictrack::clock::Stopwatch::start();
    while watch.elapsed().as_millis() < 1_500 {
        assert_eq!(left(), -1, "what the store lacks has no time to live");
    }
    mongo.resume();
    eventually("it is gone", || redis.cli(&["EXISTS", &key]) == "0");
    assert_eq!(fleet::counted(&manager, "g").0, 1, "it comes back from the store");
    assert_eq!(redis.cli(&["EXISTS", &key]), "1");
}

#[test]
fn a_call_is_one_round_trip() {
    const CALLS: usize = 200;
    let redis = Redis::start();
    let manager = manager(&Plan { cache: redis.url(), ..Plan::default() });
    manager.add_trackers("g", fleet::definitions()).unwrap();
    let track = || -> Result<(), Error> { manager.track("g", &document()).map(drop) };
    track().unwrap();
    redis.cli(&["CONFIG", "RESETSTAT"]);
    (0..CALLS).for_each(|_| track().unwrap());
    let statistics = redis.cli(&["INFO", "commandstats"]);
    let calls = |command: &str| {
        let line = statistics.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.map_or(0, |rest| rest.split(',').next().unwrap().parse::<usize>().unwrap())
    };
    assert_eq!(calls("evalsha"), CALLS, "{statistics}");
    for other in ["eval", "hgetall", "get", "ping", "script|load"] {
        assert_eq!(calls(other), 0, "{statistics}");
    }
}
