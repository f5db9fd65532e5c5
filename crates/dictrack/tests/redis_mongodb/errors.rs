//! Each fault gives one variant of error, whose message says what to do, and changes nothing.

use std::time::Duration;

use dictrack::json::Json;
use dictrack::{Blocking, Durability, Error, Manager, MongoStore, RedisCache};
use dictrack_testkit::bson::doc;
use dictrack_testkit::{Mongo, Proxy, Redis, RedisCluster, eventually};

use crate::fleet::{self, Plan, manager};
use crate::place::Place;

fn track(manager: &Blocking, group: &str) -> Result<(), Error> {
    manager.track(group, &Json::parse(br#"{"tenth": 0.1}"#).unwrap()).map(drop)
}

/// The error of opening a manager.
fn refused(cache: &str, store: Option<&str>) -> Error {
    let open = async {
        let builder = Manager::builder().cache(RedisCache::new(cache)?);
        match store {
            Some(url) => builder.store(MongoStore::open(url).await?).open().await,
            None => builder.open().await,
        }
    };
    match pollster::block_on(open) {
        Ok(_) => panic!("{cache} {store:?} was opened"),
        Err(error) => error,
    }
}

#[test]
fn a_redis_whose_memory_is_full_is_a_failure_that_says_how_to_mend_it() {
    let redis = Redis::builder().config("maxmemory-policy", "noeviction").start();
    let full = manager(&Plan { cache: redis.url(), ..Plan::default() });
    full.add_trackers("g", fleet::definitions()).unwrap();
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    let error = track(&full, "g").unwrap_err();
    assert!(matches!(error, Error::Backend(_)), "{error:?}");
    assert!(error.to_string().contains("its memory is full") && error.to_string().contains("volatile-lru"), "{error}");
    redis.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    track(&full, "g").unwrap();
    assert_eq!(fleet::counted(&full, "g").0, 1, "what was refused did not count");
}

#[test]
fn servers_that_are_away_are_unavailable() {
    let (redis, mongo) = (Redis::start(), Mongo::start());
    let place = Place { redis: &redis, mongo: &mongo };
    let plan = place.plan(Plan { durability: "fsync".to_owned(), ..Plan::default() });
    let manager = manager(&plan);
    manager.add_trackers("g", fleet::definitions()).unwrap();
    let away = |what: &str| {
        let error = track(&manager, "g").unwrap_err();
        assert!(matches!(error, Error::Unavailable(_)), "{what}: {error:?}");
        assert!(error.is_temporary() && error.to_string().contains("until it is back"), "{what}: {error}");
    };
    redis.pause();
    away("Redis held up");
    redis.resume();
    redis.kill();
    away("Redis killed");
    redis.restart_empty();
    mongo.pause();
    away("MongoDB held up");
    mongo.resume();
    mongo.kill();
    away("MongoDB killed");
    mongo.restart();
    eventually("it goes on", || track(&manager, "g").is_ok());
}

#[test]
fn a_change_that_redis_lost_before_it_was_saved_is_lost() {
    let (redis, mongo) = (Redis::start(), Mongo::start());
    let plan = Place { redis: &redis, mongo: &mongo }.plan(Plan { durability: "fsync".to_owned(), ..Plan::default() });
    let proxy = Proxy::start(mongo.address());
    let (held_up, other) = (manager(&Plan { store: proxy.url_for(&plan.store), ..plan.clone() }), manager(&plan));
    // The claims of a process are consecutive, which shows whether another process had the group in between.
    other.add_trackers("g", fleet::definitions()).unwrap();
    track(&held_up, "g").unwrap();
    let version = || redis.cli(&["HGET", redis.cli(&["--scan", "--pattern", "dictrack:*:g:g"]).trim(), "version"]);
    let before = version();
    proxy.stall();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| track(&held_up, "g"));
        eventually("Redis has the change", || version() != before);
        redis.cli(&["FLUSHALL"]);
        // The store gives the group to another process; what the first one had then comes too late.
        track(&other, "g").unwrap();
        proxy.unstall();
        let answer = call.join().unwrap();
        assert!(matches!(answer, Err(Error::Lost { .. })), "{answer:?}");
        assert!(answer.unwrap_err().to_string().contains("did not count; call again"));
    });
    assert_eq!(fleet::counted(&other, "g").0, 2);
    track(&held_up, "g").unwrap();
    assert_eq!(fleet::counted(&other, "g").0, 3);
}

#[test]
fn a_database_that_is_not_there_is_named() {
    let redis = Redis::builder().config("databases", "2").start();
    let error = refused(&format!("{}/7", redis.url()), None);
    assert!(matches!(error, Error::Backend(_)), "{error:?}");
    assert!(error.to_string().contains("/7") && error.to_string().contains("out of range"), "{error}");
}

#[test]
fn groups_of_another_database_are_not_seen_and_not_touched() {
    let (redis, mongo) = (Redis::start(), Mongo::start());
    let place = Place { redis: &redis, mongo: &mongo };
    let (right, wrong) = (place.plan(Plan::default()), place.plan(Plan::default()));
    let counting = manager(&Plan { cache: format!("{}/1", right.cache), durability: "fsync".to_owned(), ..right });
    counting.add_trackers("g", fleet::definitions()).unwrap();
    track(&counting, "g").unwrap();
    let other = manager(&Plan { cache: format!("{}/2", wrong.cache), ..wrong });
    assert!(other.trackers("g").unwrap().is_empty());
    other.add_trackers("g", fleet::definitions()).unwrap();
    track(&other, "g").unwrap();
    assert_eq!((fleet::counted(&counting, "g").0, fleet::counted(&other, "g").0), (1, 1));
}

#[test]
fn a_database_that_something_else_uses_is_refused_and_left_alone() {
    let (redis, mongo) = (Redis::start(), Mongo::start());
    let plan = Place { redis: &redis, mongo: &mongo }.plan(Plan::default());
    let database = plan.store.rsplit('/').next().unwrap().split('?').next().unwrap().to_owned();
    let theirs = doc! {"_id": "g", "name": "a user of another program"};
    mongo.command(&database, doc! {"insert": "groups", "documents": [theirs.clone()]});
    let cache = RedisCache::new(&plan.cache).unwrap();
    let store = pollster::block_on(MongoStore::open(&plan.store));
    let opened = store.and_then(|store| {
        pollster::block_on(Manager::builder().cache(cache).store(store).durability(Durability::Fsync).open())
    });
    let error = opened.map(|opened| opened.blocking()).and_then(|opened| track(&opened, "g")).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
    assert!(error.to_string().contains("\"g\"") && error.to_string().contains("nothing was changed"), "{error}");
    let reply = mongo.command(&database, doc! {"find": "groups"});
    let found = reply.get_document("cursor").unwrap().get_array("firstBatch").unwrap().clone();
    assert_eq!(found, [theirs.into()]);
}

#[test]
fn a_url_of_the_wrong_kind_of_server_is_refused_in_time() {
    let (redis, mongo, cluster) = (Redis::start(), Mongo::start(), RedisCluster::start());
    let at = |address: std::net::SocketAddr| format!("redis://{address}");
    let watch = dictrack::clock::Stopwatch::start();
    let error = refused(&at(mongo.address()), None);
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    let error = refused(&redis.url(), Some(&format!("mongodb://{}", redis.address())));
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    assert!(watch.elapsed() < Duration::from_secs(5), "{:?}", watch.elapsed());
    // One node of a cluster has some of the groups, and refers to the others for the rest.
    let node = manager(&Plan { cache: at(cluster.node(0).address()), ..Plan::default() });
    let errors: Vec<Error> = (0..20).filter_map(|group| track(&node, &group.to_string()).err()).collect();
    assert!(!errors.is_empty(), "three nodes have a third of the groups each");
    for error in errors {
        assert!(matches!(error, Error::Backend(_)), "{error:?}");
        assert!(error.to_string().contains("redis-cluster://"), "{error}");
    }
}
