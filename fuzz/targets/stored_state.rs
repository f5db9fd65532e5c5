//! Any bytes as a stored group, and as a whole export. What is accepted is the same after it is written and read again.
//!
//! The lines of the input are the parts `state`, `ids`, `events` and `completed`. The hash of the fixed set is inserted into
//! the state, so that mutations get past that check.
#![no_main]

use std::sync::{Arc, LazyLock};

use dictrack::group::{
    DefinitionSet, Engine, Group, RecordError, StoredCompletion, StoredEvent, StoredGroup, StoredState, ids_of,
};
use dictrack::json::{Bounds, Json};
use dictrack::{store::MemoryStore, transfer};
use dictrack_fuzz::{GROUP, bounded, track_as_explained, trackers};
use libfuzzer_sys::fuzz_target;
use pollster::block_on;

static FIXED: LazyLock<(Engine, Arc<DefinitionSet>)> = LazyLock::new(|| {
    let engine = Engine::default();
    let set = engine.sets.intern(trackers());
    (engine, set)
});

fuzz_target!(|data: &[u8]| {
    bounded(|| {
        parts(data);
        whole(data);
    });
});

fn read(text: &[u8]) -> Option<Json> {
    Json::parse_within(text, Bounds::STORED).ok()
}

fn parts(data: &[u8]) {
    let (engine, set) = &*FIXED;
    let mut lines = data.splitn(4, |&byte| byte == b'\n');
    let Some(Json::Map(mut state)) = lines.next().and_then(read) else { return };
    state.insert("set".into(), set.hash().to_string().into());
    let state = Json::Map(state);
    let mut list = || match lines.next().map(read) {
        None => Some(Vec::new()),
        Some(Some(Json::List(items))) => Some(items),
        Some(_) => None,
    };
    let (Some(ids), Some(events), Some(completed)) = (list(), list(), list()) else { return };
    let restored = stored(state, &ids, &events, &completed);
    let restored = restored.and_then(|stored| Group::restore(&stored, Arc::clone(set), &engine.limits));
    let mut group = match restored {
        Ok(group) => group,
        Err(error) => return drop(error.to_string()),
    };
    let texts = written(&group);
    let [state, ids, events, completed] = texts.each_ref().map(|text| read(text.as_bytes()).expect("JSON"));
    let list = |json: Json| json.as_list().expect("a list").to_vec();
    let again = stored(state, &list(ids), &list(events), &list(completed)).expect("a written group has these parts");
    let again = Group::restore(&again, Arc::clone(set), &engine.limits).expect("a written group can be read");
    assert_eq!(written(&again), texts);
    // An accepted group can be used.
    let document =
        Json::parse(br#"{"a": 5, "b": {"c": [1, null]}, "l": [1, "x", {"q": 2.5}], "m": 1}"#).expect("a document");
    track_as_explained(&mut group, engine, &document);
    for event in group.undelivered() {
        let _ = (event.to_json().to_string(), event.id());
    }
    for completed in group.completed() {
        let _ = completed.tracker.to_json().to_string();
    }
    for tracker in group.trackers(&Engine::default(), None, dictrack_fuzz::NOW) {
        let _ = tracker.to_json().to_string();
    }
}

fn stored(state: Json, ids: &[Json], events: &[Json], completed: &[Json]) -> Result<StoredGroup, RecordError> {
    let events = events.iter().map(StoredEvent::of).collect::<Result<_, _>>()?;
    let completed = completed.iter().map(StoredCompletion::of).collect::<Result<_, _>>()?;
    Ok(StoredGroup::new(7, StoredState::of(state)?).with_lists(ids_of(ids)?, events, completed))
}

fn written(group: &Group) -> [String; 4] {
    let whole = group.whole(GROUP);
    let mut texts = [const { String::new() }; 4];
    whole.write_state(&mut texts[0]);
    whole.write_ids(&mut texts[1]);
    whole.write_events(&mut texts[2]);
    whole.write_completed(&mut texts[3]);
    texts
}

fn whole(data: &[u8]) {
    let store = MemoryStore::new();
    let imported = match block_on(transfer::import(&store, None, &mut &*data, |_| {})) {
        Ok(moved) => moved,
        Err(error) => return drop(error.to_string()),
    };
    let export = |store: &MemoryStore| {
        let mut out = Vec::new();
        let moved = block_on(transfer::export(store, &mut out, |_| {})).expect("an import can be exported");
        assert_eq!(moved.groups, imported.groups, "a group that appears twice is rejected");
        out
    };
    let first = export(&store);
    let second = MemoryStore::new();
    block_on(transfer::import(&second, None, &mut &*first, |_| {})).expect("an export can be imported");
    assert_eq!(String::from_utf8(export(&second)), String::from_utf8(first));
}
