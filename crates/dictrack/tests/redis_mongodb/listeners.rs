//! Listeners that call the manager, where other processes change the same groups.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use dictrack::json::Json;
use dictrack::{Blocking, Error, EventCode, Stopwatch, TrackerDefinition};
use dictrack_testkit::{Mongo, Redis, eventually};

use crate::fleet::{Plan, manager};
use crate::place::Place;

const DOCUMENTS: u64 = 40;

fn document(kind: &str) -> Json {
    Json::parse(format!(r#"{{"kind": "{kind}"}}"#).as_bytes()).unwrap()
}

/// Trackers each of whose documents is an event.
fn definitions() -> Vec<TrackerDefinition> {
    let each = |name: &str| {
        let tracker = TrackerDefinition::count(name).targets(1..=1_000_u64);
        tracker.eq("kind", name).reset_policy(dictrack::ResetPolicy::NONE).build().unwrap()
    };
    vec![each("outer"), each("inner")]
}

/// A manager that counts something in the same group and in another whenever a document counts.
fn calling(plan: &Plan) -> Blocking {
    let manager = manager(plan);
    let inner = manager.clone();
    manager.add_listener(EventCode::StageCompleted, move |event| {
        if event.name() == "outer" {
            inner.track(&event.group, &document("inner"))?;
            inner.track("another", &document("inner"))?;
        }
        Ok(())
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
        // Events that another process caused may have been heard twice, and counted by their listener as often.
        let progress = |group: &str, name: &str| {
            let found = managers[1].get_trackers(group, Some(&[name])).unwrap();
            found[0].progress.to_string().parse::<u64>().unwrap()
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
    // The first to deliver waits until all have counted, and then finds Redis away.
    let looking = manager(&plan);
    let counted = move || u64::try_from(looking.undelivered().unwrap().len()).unwrap();
    let (server, away) = (Arc::clone(&redis), AtomicBool::new(false));
    counting.add_listener(EventCode::StageCompleted, move |_| {
        if !away.swap(true, Ordering::SeqCst) {
            eventually("all have counted", || counted() == CALLERS);
            server.pause();
        }
        Ok(())
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
