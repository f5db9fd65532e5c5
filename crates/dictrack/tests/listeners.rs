//! Listeners and custom code: what they hear, and what they may call.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::Duration;

use dictrack::json::Json;
use dictrack::store::DataStore as _;
use dictrack::{
    Blocking, Document, Durability, Error, EventCode, Manager, SqliteStore, TrackerDefinition, group::Engine,
};

mod common;

use common::{Heard, counter, document, folder, line, open, open_with, progress, within_a_minute};

#[test]
fn events_that_nobody_heard_are_told_after_a_restart_once_and_with_the_same_ids() {
    let folder = folder();
    let path = folder.path().join("a.db");
    let manager = open_with(&path, Manager::builder().keep_events());
    let mut events = Vec::new();
    for group in ["a", "b"] {
        events.extend(manager.add_trackers(group, [counter("n", &[1, 2, 1000])]).unwrap().events);
        for _ in 0..2 {
            events.extend(manager.track(group, &document()).unwrap().events().iter().cloned());
        }
    }
    let mut expected: Vec<String> = events.iter().map(|event| line(event)).collect();
    expected.retain(|line| line.contains("stage_completed"));
    assert_eq!(expected.len(), 4);
    manager.close().unwrap();
    drop(manager);

    let heard = Heard::default();
    let manager = open_with(&path, Manager::builder().keep_events());
    assert_eq!(pollster::block_on(manager.manager().undelivered()).unwrap().len(), 6);
    // Other listeners can still be added, and calls that change nothing do not trigger the delivery.
    manager.add_listener(EventCode::Limited, heard.listener());
    manager.add_tracker("a", counter("n", &[1, 2, 1000])).unwrap();
    manager.add_listener(EventCode::StageCompleted, heard.listener());
    let mut told = heard.wait(expected.len());
    // There is no order between groups.
    told.sort_by_key(|line| line.split(' ').next().map(ToOwned::to_owned));
    assert_eq!(told, expected);
    manager.track("a", &document()).unwrap();
    assert_eq!(heard.take(), Vec::<String>::new());
    manager.close().unwrap();
    drop(manager);

    let manager = open_with(&path, Manager::builder().keep_events());
    manager.add_listener(EventCode::StageCompleted, heard.listener());
    manager.track("a", &document()).unwrap();
    assert_eq!(heard.take(), Vec::<String>::new(), "told again after they were marked");
}

#[test]
fn a_listener_may_call_the_manager_on_its_own_and_on_another_group() {
    within_a_minute(|| {
        let folder = folder();
        let manager = open(&folder.path().join("a.db"));
        let heard = Heard::default();
        manager.add_listener(EventCode::StageCompleted, heard.listener());
        let (inner, note) = (manager.clone(), heard.clone());
        manager.add_listener(EventCode::StageCompleted, move |event| {
            if event.stage == 1 && event.group == "own" {
                for group in ["own", "other"] {
                    let outcome = inner.track(group, &document()).unwrap();
                    let seen = outcome.dirtied().next().map(|tracker| tracker.progress().to_string());
                    note.0.lock().unwrap().push(format!("tracked {group}: {}", seen.unwrap_or_default()));
                }
            }
        });
        for group in ["own", "other"] {
            manager.add_tracker(group, counter("n", &[1, 2, 100])).unwrap();
        }
        manager.track("own", &document()).unwrap();
        let short = |line: &String| line.rsplit_once(' ').unwrap().0.to_owned();
        let heard: Vec<String> = heard.take().iter().map(short).collect();
        // What the listener's calls fired comes later, in no order between groups.
        assert_eq!(heard[..3], ["own stage_completed n 1", "tracked own:", "tracked other:"]);
        let mut last = heard[3..].to_vec();
        last.sort();
        assert_eq!(last, ["other stage_completed n 1", "own stage_completed n 2"]);
        assert_eq!((progress(&manager, "own"), progress(&manager, "other")), ("2".to_owned(), "1".to_owned()));
        assert!(pollster::block_on(manager.manager().undelivered()).unwrap().is_empty());
        manager.close().unwrap();
    });
}

#[test]
fn a_listener_that_fails_or_panics_stops_nobody() {
    let folder = folder();
    let manager = open(&folder.path().join("a.db"));
    let heard = Heard::default();
    manager.add_listener(EventCode::StageCompleted, |_| panic!("a panic of a listener"));
    manager.add_listener(EventCode::StageCompleted, heard.listener());
    manager.add_tracker("a", counter("n", &[1, 2, 100])).unwrap();
    for number in 1..=2 {
        let outcome = manager.track("a", &document()).unwrap();
        assert_eq!(outcome.events().len(), 1);
        assert_eq!(heard.take(), [line(&outcome.events()[0])], "document {number}");
    }
}

#[test]
fn marks_of_events_of_an_earlier_run_are_kept_while_more_are_told() {
    within_a_minute(|| {
        const EVENTS: usize = 5_000;
        let folder = folder();
        let path = folder.path().join("a.db");
        let soon = Durability::Interval(Duration::from_secs(1));
        let manager = open_with(&path, Manager::builder().durability(soon).keep_events());
        let each = TrackerDefinition::count("n").target(1).loop_forever().build().unwrap();
        manager.add_tracker("a", each).unwrap();
        for _ in 0..EVENTS {
            manager.track("a", &document()).unwrap();
        }
        manager.close().unwrap();
        drop(manager);

        let (halfway, reaches) = mpsc::channel();
        let (go_on, waits) = mpsc::channel::<()>();
        let waits = Mutex::new(waits);
        let told = AtomicUsize::new(0);
        let manager = open(&path);
        manager.add_listener(EventCode::StageCompleted, move |_| {
            if told.fetch_add(1, Ordering::SeqCst) == EVENTS / 2 {
                halfway.send(()).unwrap();
                waits.lock().unwrap().recv().unwrap();
            }
        });
        reaches.recv().unwrap();
        // What the next run would deliver again after a crash. The commit is in progress.
        let left = || {
            let store = SqliteStore::open_read_only(&path).unwrap();
            pollster::block_on(store.load("a", &Engine::default())).unwrap().unwrap().undelivered().len()
        };
        let most = EVENTS / 2 + 1_001;
        for _ in 0..1_000 {
            if left() <= most {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!((EVENTS / 2..=most).contains(&left()), "{}", left());
        go_on.send(()).unwrap();
        manager.close().unwrap();
        assert_eq!(left(), 0);
    });
}

#[test]
fn a_removed_listener_hears_nothing_and_is_removed_once() {
    let manager = Manager::in_memory().blocking();
    let (left, stays) = (Heard::default(), Heard::default());
    let id = manager.add_listener(EventCode::StageCompleted, left.listener());
    manager.add_listener(EventCode::StageCompleted, stays.listener());
    manager.add_tracker("a", counter("n", &[1, 2, 3, 100])).unwrap();
    manager.track("a", &document()).unwrap();
    assert_eq!((left.take().len(), stays.take().len()), (1, 1));
    assert!(manager.remove_listener(id));
    assert!(!manager.remove_listener(id));
    manager.track("a", &document()).unwrap();
    assert_eq!((left.take().len(), stays.take().len()), (0, 1));
}

#[test]
fn custom_code_that_calls_the_manager_is_told_that_it_must_not() {
    within_a_minute(|| {
        let folder = folder();
        let cell: Arc<OnceLock<Blocking>> = Arc::default();
        let answers: Arc<Mutex<Vec<bool>>> = Arc::default();
        let (inner, noted) = (Arc::clone(&cell), Arc::clone(&answers));
        let condition = move |_: &Json, _: &dyn Document| {
            let manager = inner.get().expect("the manager");
            let calls: [Result<(), Error>; 8] = [
                manager.track("a", &document()).map(drop),
                manager.track("b", &document()).map(drop),
                manager.trackers("a").map(drop),
                manager.add_tracker("b", counter("m", &[1])).map(drop),
                pollster::block_on(manager.manager().undelivered()).map(drop),
                pollster::block_on(manager.manager().mark_delivered("a", 1)),
                pollster::block_on(manager.manager().for_each_group(|_, _| ())),
                manager.close(),
            ];
            noted.lock().unwrap().extend(calls.iter().map(|call| matches!(call, Err(Error::Reentrant))));
            Ok(true)
        };
        let builder = Manager::builder().condition("curious", condition);
        let manager = open_with(&folder.path().join("a.db"), builder);
        assert!(cell.set(manager.clone()).is_ok());
        let curious = TrackerDefinition::count("n").target(10).custom_condition("curious", Json::Null).build().unwrap();
        manager.add_tracker("a", curious).unwrap();
        let outcome = manager.track("a", &document()).unwrap();
        assert_eq!(outcome.dirtied().count(), 1);
        let answers = answers.lock().unwrap().clone();
        assert!(answers.len() >= 8 && answers.iter().all(|&refused| refused), "{answers:?}");
        // Outside the condition, the manager answers as usual.
        assert_eq!((progress(&manager, "a"), progress(&manager, "b")), ("1".to_owned(), String::new()));
        manager.close().unwrap();
    });
}

#[test]
fn events_of_an_earlier_run_are_told_at_the_latest_when_the_manager_closes() {
    let folder = folder();
    let path = folder.path().join("a.db");
    let manager = open_with(&path, Manager::builder().keep_events());
    manager.add_tracker("a", counter("n", &[1, 1000])).unwrap();
    manager.track("a", &document()).unwrap();
    manager.close().unwrap();
    drop(manager);
    let heard = Heard::default();
    for expected in [1, 0] {
        let manager = open(&path);
        manager.add_listener(EventCode::StageCompleted, heard.listener());
        manager.close().unwrap();
        assert_eq!(heard.take().len(), expected);
    }
}

#[test]
fn a_listener_of_one_manager_may_call_another_which_tells_its_own() {
    within_a_minute(|| {
        let heard = Heard::default();
        let (outer, inner) = (Manager::in_memory().blocking(), Manager::in_memory().blocking());
        for manager in [&outer, &inner] {
            manager.add_tracker("g", counter("n", &[1, 2, 100])).unwrap();
        }
        inner.add_listener(EventCode::StageCompleted, heard.listener());
        let (called, note) = (inner.clone(), heard.clone());
        outer.add_listener(EventCode::StageCompleted, move |_| {
            called.track("g", &document()).unwrap();
            note.0.lock().unwrap().push("back".to_owned());
        });
        outer.track("g", &document()).unwrap();
        let told = heard.take();
        assert!(told[0].starts_with("g stage_completed n 1") && told[1] == "back" && told.len() == 2, "{told:?}");
    });
}

#[test]
fn custom_code_of_one_manager_may_call_another() {
    let other = pollster::block_on(Manager::builder().condition("any", |_: &Json, _: &dyn Document| Ok(true)).open());
    let other = other.unwrap().blocking();
    other.add_tracker("g", counter("n", &[10])).unwrap();
    let called = other.clone();
    let condition = move |_: &Json, _: &dyn Document| Ok(called.track("g", &document()).is_ok());
    let manager = pollster::block_on(Manager::builder().condition("asks", condition).open()).unwrap().blocking();
    let asks = TrackerDefinition::count("n").target(10).custom_condition("asks", Json::Null).build().unwrap();
    manager.add_tracker("g", asks).unwrap();
    assert_eq!(manager.track("g", &document()).unwrap().dirtied().count(), 1);
    assert_eq!(progress(&other, "g"), "1");
}

#[test]
fn a_track_that_is_under_way_ends_although_the_manager_closes() {
    within_a_minute(|| {
        let folder = folder();
        let path = folder.path().join("a.db");
        let (entered, enters) = mpsc::channel();
        let (leave, leaves) = mpsc::channel::<()>();
        let leaves = Mutex::new(leaves);
        let condition = move |_: &Json, _: &dyn Document| {
            entered.send(()).unwrap();
            leaves.lock().unwrap().recv().unwrap();
            Ok(true)
        };
        let manager = open_with(&path, Manager::builder().condition("slow", condition));
        let slow = TrackerDefinition::count("n").target(10).custom_condition("slow", Json::Null).build().unwrap();
        manager.add_tracker("a", slow).unwrap();
        let tracking = manager.clone();
        let track = std::thread::spawn(move || tracking.track("a", &document()).map(drop));
        enters.recv().unwrap();
        let closing = manager.clone();
        let close = std::thread::spawn(move || closing.close());
        // Long enough for the close either to wait for the group or to be over, depending on the system.
        std::thread::sleep(Duration::from_millis(50));
        leave.send(()).unwrap();
        let tracked = track.join().unwrap();
        close.join().unwrap().unwrap();
        drop(manager);
        let kept = progress(&open(&path), "a");
        match tracked {
            Ok(()) => assert_eq!(kept, "1", "it was acknowledged"),
            Err(error) => assert!(matches!(error, Error::Closed), "{error}"),
        }
    });
}

#[test]
fn listeners_are_not_called_before_a_commit_by_hand() {
    let folder = folder();
    let builder = Manager::builder().durability(Durability::Fsync).commit_by_hand();
    let manager = open_with(&folder.path().join("a.db"), builder);
    let heard = Heard::default();
    manager.add_listener(EventCode::StageCompleted, heard.listener());
    manager.add_tracker("a", counter("n", &[1, 1000])).unwrap();
    manager.track("a", &document()).unwrap();
    assert_eq!(heard.take(), Vec::<String>::new());
    pollster::block_on(async { manager.manager().commit(Vec::new()).await.unwrap().wait().await }).unwrap();
    assert_eq!(pollster::block_on(manager.manager().undelivered()).unwrap().len(), 2);
}

#[test]
fn a_listener_may_close_the_manager_while_events_of_an_earlier_run_wait() {
    within_a_minute(|| {
        let folder = folder();
        let path = folder.path().join("a.db");
        let manager = open_with(&path, Manager::builder().keep_events());
        manager.add_tracker("a", counter("n", &[1, 2, 3, 1000])).unwrap();
        manager.track("a", &document()).unwrap();
        manager.close().unwrap();
        drop(manager);
        let manager = open(&path);
        let inner = manager.clone();
        manager.add_listener(EventCode::StageCompleted, move |_| inner.close().unwrap());
        assert_eq!(manager.track("a", &document()).unwrap().events().len(), 1);
    });
}
