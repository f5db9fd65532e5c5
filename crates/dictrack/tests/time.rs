//! Time as a manager sees it: documents from the future, peeking, attributes, deletion.

use std::sync::Arc;

use dictrack::clock::TestClock;
use dictrack::json::{Json, Map};
use dictrack::limiter::LimiterDefinition;
use dictrack::manager::{Blocking, Submission};
use dictrack::{Error, Manager, Span, SqliteStore, Timestamp, TrackerDefinition, Window};
use pollster::block_on;

const NOON: Timestamp = Timestamp::from_secs(1_767_268_800);

fn window(length: &str) -> Window {
    Window::new(length.parse().unwrap())
}

fn daily() -> TrackerDefinition {
    TrackerDefinition::count("daily").target(3).every(window("day")).build().unwrap()
}

fn map(text: &str) -> Map {
    Json::parse(text.as_bytes()).unwrap().as_map().unwrap().clone()
}

fn at_noon() -> (Blocking, Arc<TestClock>) {
    let clock = Arc::new(TestClock::default());
    clock.set(NOON);
    let builder = Manager::builder().shared_clock(Arc::clone(&clock) as _).ahead(Span::from_secs(60));
    (block_on(builder.open()).unwrap().blocking(), clock)
}

#[test]
fn a_document_too_far_ahead_of_the_clock_is_rejected_whole() {
    let (manager, clock) = at_noon();
    manager.add_tracker("g", daily()).unwrap();
    let document = Json::Null;
    let track = |seconds| {
        manager.track_one(Submission::new("g", &document).id("a").at(NOON.saturating_add(Span::from_secs(seconds))))
    };
    match track(61).unwrap_err() {
        Error::Ahead { moment, clock, ahead } => {
            assert_eq!((moment, clock, ahead), (NOON.saturating_add(Span::from_secs(61)), NOON, Span::from_secs(60)));
        }
        error => panic!("{error}"),
    }
    let results = manager.track_many(&[
        Submission::new("g", &document).at(NOON.saturating_add(Span::from_secs(3_600))),
        Submission::new("g", &document).at(NOON),
    ]);
    assert!(matches!(results[0], Err(Error::Ahead { .. })) && results[1].as_ref().unwrap().counted().count() == 1);
    // Its id is not remembered, and the clock decides.
    assert!(!track(60).unwrap().duplicate());
    assert!(track(60).unwrap().duplicate());
    clock.set(NOON.saturating_add(Span::from_secs(3_600)));
    assert_eq!(
        manager
            .track_one(Submission::new("g", &document).at(NOON.saturating_add(Span::from_secs(3_600))))
            .unwrap()
            .counted()
            .count(),
        1
    );
    assert_eq!(manager.tracker("g", "daily").unwrap().unwrap().progress, 3.into());
}

#[test]
fn peeking_and_reading_change_nothing() {
    let (manager, _) = at_noon();
    let calls = TrackerDefinition::count("calls").target(1_000);
    let calls = calls.limiter(LimiterDefinition::count_per(2, window("minute"))).build().unwrap();
    manager.add_trackers("g", [daily(), calls]).unwrap();
    manager.track("g", &Json::Null).unwrap();
    let later = manager.at(NOON.saturating_add(Span::from_secs(86_400)));
    let peeked = later.peek("g", None).unwrap();
    assert_eq!(peeked.iter().map(|tracker| tracker.progress).collect::<Vec<_>>(), [0.into(), 1.into()]);
    assert_eq!(later.peek("g", Some(&["calls"])).unwrap()[0].limiters[0].remaining, Some(2.into()));
    let now = manager.peek("g", Some(&["calls", "nothing"])).unwrap();
    assert_eq!(now.len(), 1);
    let limiter = &now[0].limiters[0];
    assert_eq!((limiter.limit, limiter.remaining), (Some(2.into()), Some(1.into())));
    assert_eq!((limiter.retry_at, limiter.reset_at), (Some(NOON), Some(NOON.saturating_add(Span::from_secs(60)))));
    assert_eq!(manager.tracker("g", "daily").unwrap().unwrap().progress, 1.into());
    assert_eq!(manager.periods("g", "daily").unwrap().unwrap().len(), 1);
    assert_eq!(manager.periods("g", "nothing").unwrap(), None);
}

#[test]
fn attributes_are_merged_kept_and_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let store = SqliteStore::open(folder.path().join("time.db")).unwrap();
        block_on(Manager::builder().store(store).open()).unwrap().blocking()
    };
    let manager = open();
    assert!(manager.set_attributes("g", map(r#"{"zone": "europe/berlin", "plan": "pro", "age": 7}"#)).unwrap());
    assert!(manager.set_attributes("g", map(r#"{"plan": null, "city": "Łódź"}"#)).unwrap());
    assert!(!manager.set_attributes("g", map(r#"{"plan": null}"#)).unwrap());
    for bad in [r#"{"zone": "Middle/Earth"}"#, r#"{"zone": 1}"#] {
        let error = manager.set_attributes("g", map(bad)).unwrap_err();
        assert_eq!(error.code(), "attributes", "{error}");
    }
    let many: Map = (0..63).map(|at| (format!("k{at}").as_str().into(), Json::Null)).collect();
    assert!(!manager.set_attributes("g", many).unwrap());
    let many: Map = (0..62).map(|at| (format!("k{at}").as_str().into(), at.into())).collect();
    let error = manager.set_attributes("g", many).unwrap_err().to_string();
    assert_eq!(error, "group \"g\": invalid attributes: 65 attributes; a group may have 64");
    let large: Map = [("text".into(), "x".repeat(4_096).as_str().into())].into_iter().collect();
    assert!(manager.set_attributes("g", large).unwrap_err().to_string().contains("a group may have 4096"));
    manager.close().unwrap();
    drop(manager);
    let kept = Json::Map(open().attributes("g").unwrap()).to_string();
    assert_eq!(kept, r#"{"zone":"europe/berlin","age":7,"city":"Łódź"}"#);
}

#[test]
fn a_deleted_group_leaves_nothing_in_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("time.db");
    let open = || {
        let store = SqliteStore::open(&path).unwrap();
        block_on(Manager::builder().store(store).keep_events().open()).unwrap().blocking()
    };
    let manager = open();
    let once = TrackerDefinition::count("secret-name").target(1).build().unwrap();
    manager.add_tracker("g", once.clone()).unwrap();
    manager.set_attributes("g", map(r#"{"mail": "secret-mail"}"#)).unwrap();
    let first = manager.track_one(Submission::new("g", &Json::Null).id("a")).unwrap();
    manager.close().unwrap();
    drop(manager);
    let manager = open();
    assert!(manager.delete_group("g").unwrap() && !manager.delete_group("g").unwrap());
    manager.close().unwrap();
    drop(manager);
    let manager = open();
    assert!(manager.undelivered().unwrap().is_empty() && manager.completed("g").unwrap().is_empty());
    assert!(manager.attributes("g").unwrap().is_empty() && manager.trackers("g").unwrap().is_empty());
    manager.add_tracker("g", once).unwrap();
    let second = manager.track_one(Submission::new("g", &Json::Null).id("a")).unwrap();
    assert!(!second.duplicate());
    assert_ne!(first.events()[0].id(), second.events()[0].id(), "an event id is never used again");
    manager.delete_group("g").unwrap();
    manager.close().unwrap();
    drop(manager);
    drop(open());
    let bytes = std::fs::read(&path).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(!text.contains("secret-mail"), "the file still has an attribute");
}
