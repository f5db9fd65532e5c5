//! Listeners that call the manager while other processes change the same groups.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use dictrack::json::Json;
use dictrack::store::DataStore as _;
use dictrack::{
    Blocking, Error, EventCode, Manager, MongoStore, RedisCache, TrackerDefinition, clock::Stopwatch, group::Engine,
};
use dictrack_testkit::{Mongo, Redis, eventually};

use crate::fleet::{Plan, manager};
use crate::place::Place;

const DOCUMENTS: u64 = 40;

fn document(kind: &str) -> Json {
    Json::parse(format!(r#"{{"kind": "{kind}"}}"#).as_bytes()).unwrap()
}

/// Trackers for which each document is an event.
fn definitions() -> Vec<TrackerDefinition> {
    let each = |name: &str| {
        let tracker = TrackerDefinition::count(name).targets(1..=1_000_u64);
        tracker.eq("kind", name).reset_policy(dictrack::ResetPolicy::NONE).build().unwrap()
    };
    vec![each("outer"), each("inner")]
}

/// A manager that counts in the same group and in another one whenever a document counts.
fn calling(plan: &Plan) -> Blocking {
    let manager = manager(plan);
    let inner = manager.clone();
    manager.add_listener(EventCode::StageCompleted, move |event| {
        if event.name() == "outer" {
            inner.track(&event.group, &document("inner")).unwrap();
            inner.track("another", &document("inner")).unwrap();
        }
    });
    manager
}

#[test]
fn listeners_that_call_the_manager_wait_for_nobody() {
    let (redis, mongo) = (Redis::start(), Mongo::start());
    let place = Place { redis: &redis, mongo: &mongo };
    for durability in ["interval(100ms)", "fsync"] {
        let plan = place.plan(Plan { durability: durability.to_owned(), ..Plan::default() });
        let managers = [calling(&plan), calling(&plan)];
        for group in ["g", "another"] {
            managers[0].add_trackers(group, definitions()).unwrap();
        }
        let (done, all) = mpsc::channel();
        for worker in 0..4 {
            let (manager, done) = (managers[worker % 2].clone(), done.clone());
            std::thread::spawn(move || {
                (0..DOCUMENTS).for_each(|_| drop(manager.track("g", &document("outer")).unwrap()));
                done.send(()).unwrap();
            });
        }
        for _ in 0..4 {
            all.recv_timeout(Duration::from_secs(60)).expect("a listener waits for its own group");
        }
        // Events that another process caused may be heard twice, and their listener then counts twice.
        let progress = |group: &str, name: &str| {
            let found = managers[1].tracker(group, name).unwrap().unwrap();
            found.progress.to_string().parse::<u64>().unwrap()
        };
        assert_eq!(progress("g", "outer"), 4 * DOCUMENTS, "{durability}");
        for group in ["g", "another"] {
            let inner = progress(group, "inner");
            assert!((4 * DOCUMENTS..=4 * DOCUMENTS + 8).contains(&inner), "{durability}: {inner} in {group:?}");
        }
    }
}

#[test]
fn callers_that_wait_for_their_turn_do_not_wait_for_a_server_one_after_the_other() {
    const CALLERS: u64 = 12;
    let (redis, mongo) = (Arc::new(Redis::start()), Mongo::start());
    let place = Place { redis: &redis, mongo: &mongo };
    let plan = place.plan(Plan { durability: "interval(100ms)".to_owned(), ..Plan::default() });
    let counting = manager(&plan);
    counting.add_trackers("g", definitions()).unwrap();
    // The first process to deliver waits until all have counted, and then finds Redis unreachable.
    let looking = manager(&plan);
    let counted = move || u64::try_from(looking.undelivered().unwrap().len()).unwrap();
    let (server, away) = (Arc::clone(&redis), AtomicBool::new(false));
    counting.add_listener(EventCode::StageCompleted, move |_| {
        if !away.swap(true, Ordering::SeqCst) {
            eventually("all have counted", || counted() == CALLERS);
            server.pause();
        }
    });
    let took: Vec<_> = std::thread::scope(|scope| {
        let call = || {
            let watch = Stopwatch::start();
            (counting.track("g", &document("outer")), watch.elapsed())
        };
        let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(call)).collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    redis.resume();
    for (answer, took) in &took {
        assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
        assert!(*took < Duration::from_millis(2_500), "{took:?}");
    }
}

#[test]
fn what_an_earlier_run_left_in_redis_is_told_only_once_the_store_has_it() {
    const EVENTS: u64 = 5;
    let (redis, mongo) = (Redis::start(), Mongo::start());
    let place = Place { redis: &redis, mongo: &mongo };
    // Like a process that was killed: the store does not follow before the end of the test.
    let plan = place.plan(Plan { durability: "interval(600s)".to_owned(), ..Plan::default() });
    let builder = Manager::builder().cache(RedisCache::new(&plan.cache).unwrap()).keep_events();
    let store = pollster::block_on(MongoStore::open(&plan.store)).unwrap();
    let builder = builder.store(store).durability(plan.durability.parse().unwrap());
    let killed = pollster::block_on(builder.open()).unwrap().blocking();
    killed.add_trackers("g", definitions()).unwrap();
    for _ in 0..EVENTS {
        killed.track("g", &document("outer")).unwrap();
    }

    let stored = Arc::new(pollster::block_on(MongoStore::open_read_only(&plan.store)).unwrap());
    let held = move || {
        let found = pollster::block_on(stored.load("g", &Engine::default())).unwrap();
        found.map_or(0, |group| group.last_sequence())
    };
    assert!(held() < EVENTS, "the store followed");
    let manager = manager(&Plan { durability: "fsync".to_owned(), ..plan.clone() });
    let (told, hears) = mpsc::channel();
    manager.add_listener(EventCode::StageCompleted, move |event| told.send((event.sequence, held())).unwrap());
    for number in 1..=EVENTS {
        let (sequence, held) = hears.recv_timeout(Duration::from_secs(30)).expect("an event that was left is told");
        assert!(held >= sequence, "event {sequence} was told while the store had {held}");
        // Two trackers were added before.
        assert_eq!(sequence, number + 2);
    }
}

#[test]
fn undelivered_events_are_those_that_the_store_has() {
    let (redis, mongo) = (Redis::start(), Mongo::start());
    let place = Place { redis: &redis, mongo: &mongo };
    let plan = place.plan(Plan { durability: "interval(600s)".to_owned(), ..Plan::default() });
    let open = |durability: &str| {
        let builder = Manager::builder().cache(RedisCache::new(&plan.cache).unwrap()).keep_events();
        let store = pollster::block_on(MongoStore::open(&plan.store)).unwrap();
        pollster::block_on(builder.store(store).durability(durability.parse().unwrap()).open()).unwrap().blocking()
    };
    let killed = open(&plan.durability);
    killed.add_trackers("g", definitions()).unwrap();
    killed.track("g", &document("outer")).unwrap();
    let events = open("fsync").undelivered().unwrap();
    assert_eq!(events.len(), 3);
    // What was handed out cannot be taken back.
    redis.cli(&["FLUSHALL"]);
    assert_eq!(open("fsync").undelivered().unwrap(), events);
}
