//! Counting old documents for new trackers.

#![cfg(all(feature = "sqlite", feature = "memory"))]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dictrack::json::Json;
use dictrack::manager::Submission;
use dictrack::store::MemoryStore;
use dictrack::{Blocking, EventCode, LimiterDefinition, Manager, SqliteStore, Timestamp, TrackerDefinition};
use proptest::prelude::*;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn opened(builder: dictrack::ManagerBuilder) -> Blocking {
    pollster::block_on(builder.open()).unwrap().blocking()
}

fn document(kind: u8) -> Json {
    Json::parse(format!(r#"{{"kind": {kind}, "amount": {}}}"#, kind + 1).as_bytes()).unwrap()
}

/// One tracker of each kind, which sees only some documents.
fn new_trackers(limited: bool) -> Vec<TrackerDefinition> {
    let mut sum = TrackerDefinition::sum("sum").targets([5, 40]).key("amount").lt("kind", 4);
    if limited {
        sum = sum.limiter(LimiterDefinition::count(6));
    }
    vec![
        TrackerDefinition::count("count").targets([2, 7]).ge("kind", 1).build().unwrap(),
        sum.build().unwrap(),
        TrackerDefinition::count("round").target(3).loop_forever().build().unwrap(),
    ]
}

fn state(manager: &Blocking, group: &str, names: &[&str]) -> Vec<String> {
    let trackers = manager.at(at(9_999)).trackers(group).unwrap();
    let shown = |name: &&str| {
        let active =
            trackers.iter().find(|tracker| tracker.name() == *name).map(|tracker| tracker.to_json().to_string());
        let completed = manager.completed(group).unwrap();
        let completed =
            completed.iter().find(|done| done.tracker.name() == *name).map(|done| done.to_json().to_string());
        format!("{name}: {active:?} {completed:?}")
    };
    names.iter().map(shown).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_backfill_is_what_tracking_from_the_start_would_have_been(
        documents in prop::collection::vec((0_u8..3, 0_u8..6), 1..60),
        limited in any::<bool>(),
        repeat in any::<bool>(),
    ) {
        let names = ["count", "sum", "round"];
        let folder = tempfile::tempdir().unwrap();
        let old = TrackerDefinition::count("old").target(4).build().unwrap();
        for store in [false, true] {
            let builder = Manager::builder();
            let manager = opened(match store {
                true => builder.store(SqliteStore::open(folder.path().join("s.db")).unwrap()).memory_budget(0),
                false => builder.store(MemoryStore::default()),
            });
            let oracle = Manager::in_memory().blocking();
            let groups = ["a", "b", "c"];
            let new = manager.tracker_list(new_trackers(limited)).unwrap();
            let first = manager.tracker_list([old.clone()]).unwrap();
            let oracle_list = oracle.tracker_list(new_trackers(limited)).unwrap();
            for (moment, (group, kind)) in documents.iter().enumerate() {
                let (group, document, id) = (groups[usize::from(*group)], document(*kind), moment.to_string());
                let now = at(1000 + moment as i64);
                let live = Submission::new(group, &document).at(now).id(&id);
                manager.track_one(live.ensure(&first, dictrack::group::Differing::Refuse)).unwrap();
                oracle.track_one(live.ensure(&oracle_list, dictrack::group::Differing::Refuse)).unwrap();
            }
            let before: Vec<_> = groups.iter().map(|group| state(&manager, group, &["old"])).collect();
            for _ in 0..=u8::from(repeat) {
                for (moment, (group, kind)) in documents.iter().enumerate() {
                    let (group, document, id) = (groups[usize::from(*group)], document(*kind), moment.to_string());
                    let old = Submission::new(group, &document).at(at(1000 + moment as i64)).id(&id).backfill(&new);
                    let outcome = manager.track_one(old).unwrap();
                    prop_assert!(outcome.dirtied().all(|tracker| names.contains(&tracker.name())));
                }
            }
            for (group, before) in groups.iter().zip(before) {
                prop_assert_eq!(state(&manager, group, &["old"]), before, "the other trackers count nothing");
                prop_assert_eq!(state(&manager, group, &names), state(&oracle, group, &names));
            }
            // Live documents go on, for all trackers.
            let next = document(1);
            manager.at(at(5000)).track("a", &next).unwrap();
            oracle.at(at(5000)).track_one(Submission::new("a", &next).ensure(&oracle_list, dictrack::group::Differing::Refuse)).unwrap();
            if documents.iter().any(|(group, _)| *group == 0) {
                prop_assert!(manager.tracker("a", "round").unwrap().is_some());
                prop_assert_eq!(state(&manager, "a", &names), state(&oracle, "a", &names));
            }
            manager.close().unwrap();
        }
    }
}

#[test]
fn each_tracker_knows_its_own_ids() {
    let manager = Manager::in_memory().blocking();
    let tracker = |name: &str| TrackerDefinition::count(name).build().unwrap();
    let list = |names: &[&str]| manager.tracker_list(names.iter().map(|name| tracker(name))).unwrap();
    let (a, both) = (list(&["a"]), list(&["a", "b"]));
    let old = Submission::new("g", &Json::Null).id("1");
    assert_eq!(manager.track_one(old.backfill(&a)).unwrap().counted().count(), 1);
    assert!(manager.track_one(old.backfill(&a)).unwrap().duplicate());
    let outcome = manager.track_one(old.backfill(&both)).unwrap();
    assert_eq!(outcome.counted().map(|tracker| tracker.name()).collect::<Vec<_>>(), ["b"]);
    assert!(manager.track_one(old.backfill(&both)).unwrap().duplicate());
    assert!(!manager.track_one(old).unwrap().duplicate(), "it was never tracked");
}

#[test]
fn a_silent_backfill_tells_nobody_and_a_dry_one_keeps_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.db");
    let manager = opened(Manager::builder().store(SqliteStore::open(&path).unwrap()).keep_events());
    let heard = Arc::new(AtomicUsize::new(0));
    for code in [EventCode::Added, EventCode::AllCompleted] {
        let heard = Arc::clone(&heard);
        manager.add_listener(code, move |_| {
            heard.fetch_add(1, Ordering::Relaxed);
        });
    }
    let list = |name: &str| manager.tracker_list([TrackerDefinition::count(name).target(2).build().unwrap()]).unwrap();
    let (first, second) = (list("first"), list("second"));
    let dry = pollster::block_on(manager.manager().dry()).unwrap().blocking();
    for _ in 0..2 {
        let old = Submission::new("g", &Json::Null).backfill(&first);
        assert!(manager.track_one(old.silent()).unwrap().events().is_empty());
        dry.track_one(old).unwrap();
    }
    assert_eq!(dry.completed("g").unwrap().len(), 1, "begins before the changes, or with them");
    assert_eq!((heard.load(Ordering::Relaxed), manager.completed("g").unwrap().len()), (0, 1));
    drop(dry);
    let dry = pollster::block_on(manager.manager().dry()).unwrap().blocking();
    let outcome = dry.track_one(Submission::new("g", &Json::Null).backfill(&second)).unwrap();
    assert_eq!(outcome.events().len(), 1);
    dry.delete_group("g").unwrap();
    drop(dry);
    assert_eq!((manager.completed("g").unwrap().len(), manager.trackers("g").unwrap().len()), (1, 0));
    manager.track_one(Submission::new("g", &Json::Null).backfill(&second)).unwrap();
    assert_eq!(heard.load(Ordering::Relaxed), 1);
    manager.close().unwrap();
    drop(manager);
    let reopened = Blocking::open(&path).unwrap();
    assert_eq!(reopened.trackers("g").unwrap()[0].progress, 1.into());
}
