//! Calls in async executors: no call blocks a thread, and no third-party store or cache makes a call wait forever.

mod odd;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::ThreadId;
use std::time::Duration;

use dictrack::json::Json;
use dictrack::{
    Blocking, Document, Durability, Error, Event, EventCode, Manager, ManagerBuilder, Span, Timestamp,
    TrackerDefinition,
    cache::DataCache,
    clock::Stopwatch,
    group::Differing,
    manager::{Begun, Commit, Reset, Submission},
};
use odd::{Behaviour, OddCache, OddStore, Shared};

/// How long a slow store blocks its thread.
const SLOW: Duration = Duration::from_millis(800);
/// How long other tasks may be held up meanwhile, on a machine that is busy with other tests.
const HELD_UP: Duration = Duration::from_millis(400);
/// How long a call may take that waits for a server which never answers.
const CALL: Duration = Duration::from_secs(3);

fn counter() -> TrackerDefinition {
    TrackerDefinition::count("n").targets([2, 100]).build().unwrap()
}

fn document() -> Json {
    Json::parse(b"{}").unwrap()
}

async fn open(store: &Arc<OddStore>, builder: ManagerBuilder) -> Manager {
    builder.store(Arc::clone(store)).open().await.unwrap()
}

/// Does `work` on a runtime with one thread; returns the longest time that another task had to wait.
fn longest_wait<T>(work: impl Future<Output = T>) -> Duration {
    let longest = Arc::new(AtomicU64::new(0));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let waits = Arc::clone(&longest);
    runtime.block_on(async move {
        let (mut ticks, tick) = (0, Duration::from_millis(5));
        let other = tokio::spawn(async move {
            loop {
                let watch = Stopwatch::start();
                tokio::time::sleep(tick).await;
                waits.fetch_max(watch.elapsed().as_micros() as u64, Ordering::Relaxed);
            }
        });
        // The task must be running before the work begins.
        while ticks < 2 {
            tokio::time::sleep(tick).await;
            ticks += 1;
        }
        work.await;
        tokio::time::sleep(tick * 4).await;
        other.abort();
    });
    Duration::from_micros(longest.load(Ordering::Relaxed))
}

#[test]
fn a_miss_in_a_slow_store_does_not_hold_up_other_tasks() {
    let store = OddStore::local(Behaviour::Prompt);
    let waited = longest_wait(async {
        let manager = open(&store, Manager::builder()).await;
        store.behave(Behaviour::Slow(SLOW));
        let watch = Stopwatch::start();
        assert!(manager.trackers("g").await.unwrap().is_empty());
        assert!(manager.add_tracker("h", counter()).await.unwrap());
        assert!(watch.elapsed() >= SLOW, "the store was asked");
        manager.undelivered_groups().await.unwrap();
        manager.flush(true).await.unwrap();
        store.behave(Behaviour::Prompt);
        manager.close().await.unwrap();
    });
    assert!(waited < HELD_UP, "{waited:?}");
}

#[test]
fn opening_and_closing_a_slow_store_does_not_hold_up_other_tasks() {
    let store = OddStore::local(Behaviour::Slow(SLOW));
    let waited = longest_wait(async {
        let manager = open(&store, Manager::builder().durability(Durability::Interval(Duration::from_secs(60)))).await;
        manager.add_tracker("g", counter()).await.unwrap();
        let watch = Stopwatch::start();
        manager.close().await.unwrap();
        assert!(watch.elapsed() >= SLOW, "the store was written");
    });
    assert!(waited < HELD_UP, "{waited:?}");
    assert_eq!(store.version("g"), 1);
}

#[test]
fn a_dropped_manager_writes_everything_while_other_tasks_go_on() {
    let store = OddStore::local(Behaviour::Slow(SLOW));
    let waited = longest_wait(async {
        let manager = open(&store, Manager::builder().durability(Durability::Interval(Duration::from_secs(60)))).await;
        manager.add_tracker("g", counter()).await.unwrap();
        drop(manager);
    });
    assert!(waited < HELD_UP, "{waited:?}");
    // The runtime waited for it when it shut down.
    assert_eq!(store.version("g"), 1);
}

#[test]
fn the_sqlite_store_is_read_and_closed_on_other_threads_than_those_of_the_executor() {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("a.db");
    let kept = |manager: &Blocking| manager.tracker("g", "n").unwrap().unwrap().progress.to_string();
    {
        let manager = Blocking::open(&path).unwrap();
        manager.add_tracker("g", counter()).unwrap();
        manager.track("g", &document()).unwrap();
    }
    longest_wait(async {
        let manager = Manager::open(&path).await.unwrap();
        let outcome = manager.track("g", &document()).await.unwrap();
        assert_eq!(outcome.dirtied().next().unwrap().progress(), 2.into());
        manager.close().await.unwrap();
        drop(manager);
        // A closed manager has released its file.
        let manager = Manager::open(&path).await.unwrap();
        manager.track("g", &document()).await.unwrap();
    });
    assert_eq!(kept(&Blocking::open(&path).unwrap()), "3");
}

#[test]
fn programs_without_an_executor_read_files_on_their_own_thread() {
    let store = OddStore::local(Behaviour::Prompt);
    let here = std::thread::current().id();
    let on = |call: &dyn Fn(&Manager)| -> ThreadId {
        let manager = dictrack::block_on(open(&store, Manager::builder()));
        call(&manager);
        store.asked_on().unwrap()
    };
    assert_eq!(on(&|manager| drop(manager.blocking().track("a", &document()).unwrap())), here);
    assert_eq!(on(&|manager| drop(dictrack::block_on(manager.track("b", &document())).unwrap())), here);
    assert_ne!(on(&|manager| drop(pollster::block_on(manager.track("c", &document())).unwrap())), here);
}

/// The error of a call that waits for something that never answers.
fn late<T: std::fmt::Debug>(call: impl FnOnce() -> Result<T, Error>) -> String {
    let watch = Stopwatch::start();
    let error = call().unwrap_err();
    assert!(watch.elapsed() < CALL, "{:?}", watch.elapsed());
    assert!(error.is_temporary() && error.code() == "unavailable", "{error:?}");
    error.to_string()
}

#[test]
fn a_store_of_somebody_else_that_never_answers_ends_no_call_late() {
    let store = OddStore::remote();
    let manager = dictrack::block_on(open(&store, Manager::builder())).blocking();
    manager.add_tracker("known", counter()).unwrap();
    store.behave(Behaviour::Silent);
    let answer = "the store could not answer for the group \"g\": no answer within 1.";
    for text in [
        late(|| manager.track("g", &document())),
        late(|| manager.trackers("g")),
        late(|| manager.explain("g", &document())),
        late(|| manager.add_tracker("g", counter())),
    ] {
        assert!(text.starts_with(answer), "{text}");
    }
    let kept = late(|| manager.track("known", &document()));
    assert!(kept.starts_with("the store could not keep the group \"known\": no answer within 1."), "{kept}");
    assert!(!kept.contains("Manager"), "{kept}");
    let many = manager.track_many(&[Submission::new("known", &document()), Submission::new("g", &document())]);
    assert!(many.iter().all(|result| result.as_ref().is_err_and(Error::is_temporary)), "{many:?}");
    // Closing waits five seconds, and does not report success.
    let closed = manager.close().unwrap_err();
    assert_eq!(closed.code(), "stopped", "{closed}");
}

#[test]
fn a_cache_of_somebody_else_that_never_answers_ends_no_call_late() {
    let cache = OddCache::new();
    let manager = dictrack::block_on(Manager::builder().cache(Shared(Arc::clone(&cache))).open()).unwrap().blocking();
    manager.add_tracker("g", counter()).unwrap();
    cache.fall_silent();
    let answer = "the cache could not answer for the group \"g\": no answer within 1.";
    for text in [
        late(|| manager.track("g", &document())),
        late(|| manager.trackers("g")),
        late(|| manager.at(Timestamp::from_secs(1)).remove_tracker("g", "n")),
    ] {
        assert!(text.starts_with(answer), "{text}");
    }
}

#[test]
fn managers_are_shared_by_threads_and_their_futures_move_between_them() {
    fn shared<T: Send + Sync + 'static>() {}
    fn moves<F: Future + Send>(_: F) {}
    shared::<Manager>();
    shared::<Blocking>();
    shared::<Commit>();
    shared::<Error>();
    let manager = Manager::in_memory();
    let (document, now) = (document(), Timestamp::from_secs(1));
    let list = manager.tracker_list([counter()]).unwrap();
    let at = manager.at(now);
    macro_rules! of_a_moment {
        ($on:ident) => {
            moves($on.add_tracker("g", counter()));
            moves($on.add_trackers("g", [counter()]));
            moves($on.add_trackers_for("g", [counter()], Span::from_secs(1)));
            moves($on.ensure_tracker("g", counter()));
            moves($on.ensure_trackers("g", &list, Differing::Refuse));
            moves($on.trackers("g"));
            moves($on.tracker("g", "n"));
            moves($on.update_tracker("g", counter()));
            moves($on.set_progress("g", "n", 1));
            moves($on.add_targets("g", "n", [200]));
            moves($on.remove_tracker("g", "n"));
            moves($on.remove_trackers("g", &["n"]));
            moves($on.reset_tracker("g", "n", Reset::default()));
            moves($on.track("g", &document));
            moves($on.track_one(Submission::new("g", &document)));
            moves($on.explain("g", &document));
        };
    }
    of_a_moment!(manager);
    of_a_moment!(at);
    moves(manager.track_many(&[]));
    moves(manager.completed("g"));
    moves(manager.flush(true));
    moves(manager.close());
    moves(manager.commit(Vec::new()));
    moves(manager.for_each_group(|_, _| ()));
    moves(manager.undelivered());
    moves(manager.undelivered_groups());
    moves(manager.kept_events(&["g"]));
    moves(manager.mark_delivered("g", 1));
    moves(Manager::builder().open());
    moves(Manager::open("never.db"));
    moves(async { dictrack::block_on(manager.commit(Vec::new())).unwrap().wait().await });
}

#[test]
fn calls_as_of_a_moment_do_what_calls_at_a_clock_of_that_moment_do() {
    let clock = Arc::new(dictrack::clock::TestClock::new(Timestamp::from_secs(1_000)));
    let clocked = Manager::builder().shared_clock(clock.clone());
    let clocked = dictrack::block_on(clocked.open()).unwrap().blocking();
    let dated = Manager::in_memory().blocking();
    let limited = || {
        let window = Span::from_secs(10);
        TrackerDefinition::count("n").target(100).within(window).build().unwrap()
    };
    let mut said = Vec::new();
    for second in [1_000, 1_005, 1_011, 1_012] {
        let now = Timestamp::from_secs(second);
        clock.set(now);
        let at = dated.at(now);
        said.push(format!("{:?}", at.ensure_tracker("g", limited()).unwrap()));
        assert_eq!(said.last().unwrap(), &format!("{:?}", clocked.ensure_tracker("g", limited()).unwrap()));
        let told = |outcome: dictrack::Outcome| {
            outcome.dirtied().map(|tracker| (tracker.progress(), tracker.is_limited())).collect::<Vec<_>>()
        };
        assert_eq!(told(at.track("g", &document()).unwrap()), told(clocked.track("g", &document()).unwrap()));
        assert_eq!(at.trackers("g").unwrap(), clocked.trackers("g").unwrap());
        assert_eq!(at.explain("g", &document()).unwrap(), clocked.explain("g", &document()).unwrap());
        if second == 1_011 {
            let reset = |event: Option<Arc<Event>>| event.unwrap().occurred_at;
            let renewed = reset(at.reset_tracker("g", "n", Reset::default()).unwrap());
            assert_eq!(renewed, reset(clocked.reset_tracker("g", "n", Reset::default()).unwrap()));
            assert_eq!(renewed, now);
        }
    }
    // A submission with its own moment keeps it.
    let at = dated.at(Timestamp::from_secs(5_000));
    let document = document();
    let outcome = at.track_one(Submission::new("g", &document).at(Timestamp::from_secs(1_013))).unwrap();
    assert_eq!(outcome.dirtied().count(), 1);
    at.add_trackers_for("short", [counter()], Span::from_secs(5)).unwrap();
    assert_eq!(dated.at(Timestamp::from_secs(5_004)).trackers("short").unwrap().len(), 1);
    assert_eq!(dated.at(Timestamp::from_secs(5_006)).trackers("short").unwrap(), []);
}

#[test]
fn events_stay_in_their_group_for_listeners_and_where_the_builder_says_so() {
    let waiting = |manager: &Blocking| manager.undelivered().unwrap().len();
    let plain = Manager::in_memory().blocking();
    plain.add_tracker("g", counter()).unwrap();
    assert_eq!(waiting(&plain), 0);
    let kept = dictrack::block_on(Manager::builder().keep_events().open()).unwrap().blocking();
    kept.add_tracker("g", counter()).unwrap();
    assert_eq!(waiting(&kept), 1, "ADDED");
    let listener = plain.add_listener(EventCode::StageCompleted, |_| panic!("a panic stops nobody"));
    for _ in 0..2 {
        plain.track("g", &document()).unwrap();
    }
    assert_eq!(waiting(&plain), 0, "it was delivered");
    assert!(plain.remove_listener(listener) && !plain.remove_listener(listener));
    plain.add_tracker("h", counter()).unwrap();
    assert_eq!(waiting(&plain), 0, "nobody listens any more");
}

#[test]
fn a_document_begins_without_waiting_for_a_group_in_use() {
    let (asked, begun) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (waits, goes_on) = (Arc::clone(&asked), Arc::clone(&begun));
    let first = AtomicBool::new(true);
    let condition = move |_: &Json, _: &dyn Document| {
        if first.swap(false, Ordering::Relaxed) {
            waits.wait();
            goes_on.wait();
        }
        Ok(true)
    };
    let manager = dictrack::block_on(Manager::builder().condition("waits", condition).open()).unwrap();
    let waiting = TrackerDefinition::count("n").targets([100]).custom_condition("waits", Json::Null).build().unwrap();
    dictrack::block_on(manager.add_tracker("g", waiting)).unwrap();
    let document = document();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| manager.blocking().track("g", &document).unwrap());
        asked.wait();
        // The other thread has the group and waits for this one.
        let second = manager.begin_track(Submission::new("g", &document)).unwrap();
        assert!(matches!(second, Begun::Waiting(_)));
        begun.wait();
        let Begun::Waiting(second) = second else { unreachable!("it was asserted") };
        assert_eq!(dictrack::block_on(second).unwrap().counted().count(), 1);
        assert_eq!(other.join().unwrap().counted().count(), 1);
    });
    assert!(matches!(manager.begin_track(Submission::new("g", &document)), Ok(Begun::Done(_))));
    assert_eq!(dictrack::block_on(manager.tracker("g", "n")).unwrap().unwrap().progress, 3.into());
}

#[test]
fn a_cache_behind_a_pointer_looks_up_many_groups_in_its_own_way() {
    let cache = OddCache::new();
    let shared: Arc<dyn DataCache> = Arc::new(Shared(Arc::clone(&cache)));
    let manager = dictrack::block_on(Manager::builder().cache(shared).open()).unwrap();
    let document = document();
    let submissions = [Submission::new("a", &document), Submission::new("b", &document)];
    assert_eq!(manager.track_ready(&submissions, |_| panic!("nothing is at hand")), 0);
    assert_eq!(cache.many(), 1);
}

#[test]
fn a_batch_is_kept_and_told_once_it_is_finished() {
    let told = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&told);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    dictrack::block_on(async {
        let manager = Manager::open(&path).await.unwrap();
        manager.add_listener(EventCode::StageCompleted, move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let trackers = manager.tracker_list([counter()]).unwrap();
        let document = document();
        let mut batch = manager.batch();
        assert!(batch.is_empty());
        for (group, id) in [("a", "1"), ("b", "1"), ("a", "2"), ("a", "2")] {
            batch.track(Submission::new(group, &document).id(id).ensure(&trackers, Differing::Refuse)).await;
        }
        batch.track(Submission::new("c", &document)).await;
        assert_eq!((batch.len(), told.load(Ordering::Relaxed)), (5, 0));
        let results: Vec<_> = batch.finish().await.into_iter().map(Result::unwrap).collect();
        let counted: Vec<_> = results.iter().map(|outcome| outcome.counted().count()).collect();
        assert_eq!(counted, [1, 1, 1, 0, 0]);
        assert!(results[3].duplicate() && !results[4].changed());
        assert_eq!(told.load(Ordering::Relaxed), 1, "the second document of `a` reached a target");
        manager.close().await.unwrap();
        drop(manager);
        let again = Manager::open(&path).await.unwrap();
        assert_eq!(again.tracker("a", "n").await.unwrap().unwrap().progress, 2.into());
    });
}
