//! Shared by the fuzz targets: the limits for one input, and the comparison of `track` with `explain`.

use std::alloc::System;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cap::Cap;
use dictrack::json::Json;
use dictrack::{
    Amount, Explanation, Reason, Timestamp, TrackerDefinition,
    clock::Stopwatch,
    group::{Call, Engine, Group, Track},
};

/// The time that one input may take.
const TIME: Duration = Duration::from_millis(100);
/// The bytes that one input may use on the heap at any time.
const MEMORY: usize = 64 * 1024 * 1024;
/// The time of every call.
pub const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
/// The group of every call.
pub const GROUP: &str = "user_001";

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

/// Runs `check` within the limits. An allocation beyond them fails, which ends the process, and so does taking too long.
///
/// A slow input is tried again, since other processes use the machine too; only one that is always slow is a failure.
pub fn bounded(mut check: impl FnMut()) {
    HEAP.set_limit(HEAP.allocated() + MEMORY).expect("the limit is above what is allocated");
    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        let start = Stopwatch::start();
        check();
        fastest = fastest.min(start.elapsed());
        if fastest < TIME {
            break;
        }
    }
    HEAP.set_limit(usize::MAX).expect("it is the greatest limit");
    assert!(fastest < TIME, "one input took {fastest:?}; the limit is {TIME:?}");
}

/// Trackers that use every operator, kind and limiter.
pub fn trackers() -> Vec<Arc<TrackerDefinition>> {
    let text = include_bytes!("trackers.json");
    let list = Json::parse(text).expect("trackers.json is JSON");
    let items = list.as_list().expect("trackers.json is a list");
    items.iter().map(|item| Arc::new(TrackerDefinition::from_json(item).expect("a definition"))).collect()
}

/// A group with `trackers`, or `None` if a name appears twice.
pub fn group(engine: &Engine, trackers: &[Arc<TrackerDefinition>]) -> Option<Group> {
    let mut group = Group::default();
    let call = Call::new(engine, GROUP, NOW);
    group.add(&call, trackers, None).ok()?;
    Some(group)
}

/// Tracks `document`, compares the result of the index with that of plain evaluation, and returns the latter.
pub fn track_as_explained(group: &mut Group, engine: &Engine, document: &Json) -> Vec<Explanation> {
    let explained = group.explain(engine, document, NOW);
    let before: BTreeMap<String, Amount> =
        group.trackers(&Engine::default(), None, NOW).iter().map(|tracker| (tracker.name().to_owned(), tracker.progress)).collect();
    let track = Track::new(document, NOW);
    let outcome = group.track(engine, GROUP, &track);
    let mut named: BTreeMap<&str, [bool; 4]> = BTreeMap::new();
    for tracker in outcome.dirtied().filter(|tracker| !tracker.is_refused()) {
        named.entry(tracker.name()).or_default()[0] = true;
    }
    for tracker in outcome.refused() {
        named.entry(tracker.name()).or_default()[1] = true;
    }
    for (name, _) in outcome.failed() {
        named.entry(name).or_default()[2] = true;
    }
    for (name, _) in outcome.skipped() {
        named.entry(name).or_default()[3] = true;
    }
    for explanation in &explained {
        let name = explanation.name.as_str();
        let verdict = &explanation.verdict;
        let wanted = match verdict {
            Reason::Counted { .. } => [true, false, false, false],
            Reason::Limited { .. } => [false, true, false, false],
            Reason::Failed { .. } => [false, false, true, false],
            Reason::Skipped { .. } => [false, false, false, true],
            _ => [false; 4],
        };
        let actual = named.get(name).copied().unwrap_or_default();
        assert_eq!(actual, wanted, "{name}: [counted, refused, failed, skipped] where explain says: {verdict}");
    }
    for tracker in outcome.dirtied().filter(|tracker| !tracker.is_refused() && plain(tracker.definition())) {
        let Some(Reason::Counted { amount, .. }) =
            explained.iter().find(|explanation| explanation.name == tracker.name()).map(|found| &found.verdict)
        else {
            continue;
        };
        let sum = before.get(tracker.name()).and_then(|before| before.checked_add(*amount));
        assert_eq!(Some(tracker.progress()), sum, "the progress of {}", tracker.name());
    }
    for event in outcome.events() {
        let _ = event.to_json().to_string();
    }
    explained
}

/// Whether the progress is just the sum of what was counted.
fn plain(definition: &TrackerDefinition) -> bool {
    !definition.loop_forever() && !definition.reset_policy().progress && definition.every().is_none()
}
