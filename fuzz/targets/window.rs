//! Any length, boundary, zone and moments: periods have no gap, a document lies in the period that it counts in, a look changes
//! nothing, and what was stored is read back.
#![no_main]

use std::sync::Arc;

use dictrack::json::{Json, Map};
use dictrack::{
    Timestamp, TrackerDefinition,
    group::{Call, Engine, Group, GroupChange, StoredGroup, StoredState, Track},
};
use dictrack_fuzz::{GROUP, bounded};
use libfuzzer_sys::fuzz_target;

/// The trackers that a text describes: `length|from|zone|kind`.
fn trackers(text: &str) -> Vec<Arc<TrackerDefinition>> {
    let mut parts = text.split('|');
    let mut next = || parts.next().unwrap_or_default();
    let (length, from, zone) = (next(), next(), next());
    let window = |key: &str, number: Option<(&str, Json)>| {
        let mut map = Map::default();
        number.into_iter().for_each(|(key, number)| map.insert(key.into(), number));
        map.insert(key.into(), length.into());
        for (key, value) in [("from", from), ("zone", zone)] {
            if !value.is_empty() {
                map.insert(key.into(), value.into());
            }
        }
        map
    };
    let tracker = |name: &str, kind: &str, targets: &[u64], mut map: Map, limiters: Vec<Json>| {
        map.insert("name".into(), name.into());
        map.insert("kind".into(), kind.into());
        map.insert("target".into(), targets.iter().map(|&target| Json::from(target)).collect::<Vec<_>>().into());
        map.insert("limiters".into(), limiters.into());
        TrackerDefinition::from_json(&map.into())
    };
    let per = vec![window("per", Some(("count", 2_u64.into()))).into(), window("per", Some(("sum", 5_u64.into()))).into()];
    let count = Json::Map([("count".into(), 3_u64.into())].into_iter().collect());
    let found = [
        tracker("per", "count", &[1_000_000], Map::default(), per),
        tracker("every", "count", &[2, 3], window("every", None), vec![count]),
        tracker("streak", "streak", &[1, 3], window("every", None), Vec::new()),
    ];
    found.into_iter().filter_map(Result::ok).map(Arc::new).collect()
}

fn restored(change: &GroupChange, engine: &Engine) -> Group {
    let mut text = String::new();
    change.write_state(&mut text);
    let state = StoredState::parse(&text).expect("what is written can be read");
    let stored = StoredGroup::new(change.version, state);
    Group::restore(&stored, Arc::clone(&change.set), &engine.limits).expect("what is written can be restored")
}

fuzz_target!(|data: &[u8]| {
    let Some(at) = data.iter().position(|byte| *byte == b'\n') else { return };
    let (Ok(text), moments) = (std::str::from_utf8(&data[..at]), &data[at + 1..]) else { return };
    bounded(|| {
        let engine = Engine::default();
        let mut group = Group::default();
        let added = Timestamp::from_secs(1_700_000_000);
        if group.add(&Call::new(&engine, GROUP, added), &trackers(text), None).is_err() {
            return;
        }
        for moment in moments.chunks_exact(8).take(64) {
            let now = Timestamp::from_micros(i64::from_le_bytes(moment.try_into().expect("eight bytes")));
            let version = group.version();
            for tracker in group.trackers(&engine, None, now) {
                let _ = tracker.to_json().to_string();
                for record in tracker.periods() {
                    assert!(record.period.start() < record.period.end());
                }
                if let Some(period) = tracker.period {
                    assert!(period.start() < period.end());
                    let next = tracker.at(period.end()).period.expect("a tracker with periods");
                    assert!(next.start() >= period.end() || next == period, "{period:?} {next:?}");
                }
            }
            assert_eq!(group.version(), version, "a look changes nothing");
            let mut copy = restored(&group.whole(GROUP), &engine);
            let track = Track::new(&Json::Null, now);
            let (ours, theirs) = (group.track(&engine, GROUP, &track), copy.track(&engine, GROUP, &track));
            let told = |outcome: &dictrack::Outcome| {
                outcome.touched().map(|found| format!("{} {} {:?}", found.name(), found.progress(), found.period())).collect::<Vec<_>>()
            };
            assert_eq!(told(&ours), told(&theirs));
            for found in ours.touched() {
                assert!(found.period().is_none_or(|period| period.contains(now)), "{now:?} {:?}", found.period());
            }
        }
    });
});
