//! Completed trackers that gain targets.

use std::collections::HashSet;
use std::sync::Arc;

use dictrack_core::json::{Bounds, Json};
use dictrack_core::{
    EventCode, Outcome, ResetPolicy, Timestamp, TrackerDefinition,
    group::{Call, Differing, Engine, Group, StoredGroup, StoredState, Track, TrackerList},
};

const GROUP: &str = "g";
const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

fn call(engine: &Engine) -> Call<'_> {
    Call::new(engine, GROUP, NOW)
}

fn counting(name: &str, targets: &[u64]) -> Arc<TrackerDefinition> {
    let builder = TrackerDefinition::count(name).targets(targets.iter().copied()).reset_policy(ResetPolicy::NONE);
    Arc::new(builder.limit(1_000).build().unwrap())
}

fn track(group: &mut Group, engine: &Engine) -> Outcome {
    group.track(engine, GROUP, &Track::new(&Json::Null, NOW))
}

/// The group as it is restored from a store.
fn restored(group: &Group, engine: &Engine) -> Group {
    let whole = group.whole(GROUP);
    let part = |write: &dyn Fn(&mut String)| {
        let mut text = String::new();
        write(&mut text);
        Json::parse_within(text.as_bytes(), Bounds::STORED).unwrap()
    };
    let state = StoredState::of(part(&|out| whole.write_state(out))).unwrap();
    let events = whole.stored_events().collect();
    let stored = StoredGroup::new(group.version(), state);
    let stored = stored.with_lists(whole.ids.clone(), events, whole.stored_completions().collect());
    Group::restore(&stored, Arc::clone(group.definition_set()), &engine.limits).unwrap()
}

#[test]
fn no_event_id_is_used_twice_however_often_a_tracker_is_revived() {
    let engine = Engine::default();
    let mut group = Group::default();
    let mut ids = HashSet::new();
    let mut fired = 0;
    group.add(&call(&engine), &[counting("n", &[1])], None).unwrap();
    for targets in 2..30_u64 {
        let outcome = track(&mut group, &engine);
        assert_eq!(outcome.events().last().unwrap().code, EventCode::AllCompleted);
        fired += outcome.events().len();
        ids.extend(outcome.events().iter().map(|event| event.id()));
        let all: Vec<u64> = (1..=targets).collect();
        if targets % 3 == 0 {
            group = restored(&group, &engine);
        }
        assert!(group.update(&call(&engine), &counting("n", &all)).unwrap());
        if targets % 4 == 0 {
            // Remove the tracker. The update then revives it from its record of when it completed.
            assert_eq!(group.remove(&call(&engine), &["n"]).unwrap(), ["n"]);
            assert!(group.update(&call(&engine), &counting("n", &all)).unwrap());
        }
        let tracker = &group.trackers(&Engine::default(), None, NOW)[0];
        assert_eq!((tracker.progress, tracker.stage), ((targets - 1).into(), targets as usize));
    }
    assert_eq!((ids.len(), fired), (28, 28), "each target fires once");
}

#[test]
fn a_tracker_whose_slot_was_dropped_is_revived_from_its_record() {
    let engine = Engine::default();
    let mut group = Group::default();
    // Enough trackers for the group to drop the slots of completed ones.
    let many: Vec<_> = (0..90).map(|at| counting(&format!("n{at}"), &[1])).collect();
    group.add(&call(&engine), &many, None).unwrap();
    track(&mut group, &engine);
    assert_eq!((group.definition_set().trackers().len(), group.completed().len()), (0, 90));
    for group in [group.clone(), restored(&group, &engine)] {
        let mut group = group;
        assert!(group.update(&call(&engine), &counting("n7", &[1, 3])).unwrap());
        let tracker = &group.trackers(&Engine::default(), None, NOW)[0];
        assert_eq!((tracker.progress, tracker.stage, tracker.limiters.len()), (1_u64.into(), 2, 1));
        assert_eq!(track(&mut group, &engine).dirtied().count(), 1);
        let outcome = track(&mut group, &engine);
        assert_eq!(outcome.completed().map(|tracker| tracker.name().to_owned()).collect::<Vec<_>>(), ["n7"]);
    }
}

#[test]
fn a_completed_tracker_of_which_only_the_name_is_known_is_left_alone() {
    let mut engine = Engine::default();
    engine.limits.completed = 2;
    let mut group = Group::default();
    let many: Vec<_> = (0..90).map(|at| counting(&format!("n{at}"), &[1])).collect();
    group.add(&call(&engine), &many, None).unwrap();
    track(&mut group, &engine);
    let longer = counting("n0", &[1, 3]);
    assert!(!group.update(&call(&engine), &longer).unwrap());
    assert!(!group.add_targets(&call(&engine), "n0", &[3_u64.into()]).unwrap());
    let list = TrackerList::new(vec![longer, counting("n89", &[1, 3])], &engine).unwrap();
    assert!(group.differs_from(&list, Differing::Replace, NOW));
    let ensured = group.ensure(&call(&engine), &list, Differing::Replace).unwrap();
    assert_eq!((ensured.completed, ensured.updated), (vec!["n0".to_owned()], vec!["n89".to_owned()]));
    assert!(ensured.added.is_empty() && !group.differs_from(&list, Differing::Replace, NOW));
}

#[test]
fn a_group_differs_from_a_list_as_long_as_updating_changes_it() {
    let engine = Engine::default();
    let mut group = Group::default();
    group.add(&call(&engine), &[counting("done", &[1]), counting("n", &[9])], None).unwrap();
    track(&mut group, &engine);
    let gone = TrackerDefinition::count("gone").target(1_u64).expire_at(NOW).build().unwrap();
    for (definitions, differs) in [
        (vec![counting("n", &[9])], false),
        (vec![counting("done", &[2]), counting("n", &[9]), Arc::new(gone)], false),
        (vec![], true),
        (vec![counting("n", &[8])], true),
        (vec![counting("n", &[9]), counting("new", &[1])], true),
        (vec![counting("done", &[1, 2]), counting("n", &[9])], true),
    ] {
        let list = TrackerList::new(definitions, &engine).unwrap();
        assert_eq!(group.differs_from(&list, Differing::Replace, NOW), differs, "{list:?}");
        let mut updated = group.clone();
        updated.ensure(&call(&engine), &list, Differing::Replace).unwrap();
        assert_eq!(updated.version() > group.version(), differs, "{list:?}");
        assert!(!updated.differs_from(&list, Differing::Replace, NOW), "{list:?}");
    }
}
