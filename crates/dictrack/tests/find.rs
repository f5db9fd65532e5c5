//! Finding groups by how far they are: the same from every cache and store.

#![cfg(all(feature = "sqlite", feature = "memory"))]

use dictrack::find::{After, Order, Place, Query, Standing};
use dictrack::json::Json;
use dictrack::store::MemoryStore;
use dictrack::template::Template;
use dictrack::{Blocking, Manager, SqliteStore, TrackerDefinition};
use proptest::prelude::*;

fn trackers() -> Template {
    let looping = TrackerDefinition::count("loop").targets([2, 5]).loop_forever().build().unwrap();
    let goal = TrackerDefinition::count("goal").target(6).build().unwrap();
    Template::everyone([looping, goal]).unwrap()
}

fn opened(builder: dictrack::ManagerBuilder) -> Blocking {
    pollster::block_on(builder.trackers([trackers()]).open()).unwrap().blocking()
}

/// All places, as a plain sort orders them.
fn sorted(counts: &[u8], tracker: &str, order: Order) -> Vec<String> {
    let far = |count: u8| match tracker {
        "loop" => (count / 5, count % 5),
        _ => (0, count.min(6)),
    };
    let mut all: Vec<(usize, u8)> = counts.iter().copied().enumerate().filter(|(_, count)| *count > 0).collect();
    all.sort_by(|a, b| {
        let by_progress = far(a.1).cmp(&far(b.1));
        let by_progress = if order == Order::Descending { by_progress.reverse() } else { by_progress };
        by_progress.then(a.0.cmp(&b.0))
    });
    all.into_iter().map(|(at, _)| format!("group:{at:02}")).collect()
}

fn pages(manager: &Blocking, query: &Query) -> Vec<Place> {
    let mut all: Vec<Place> = Vec::new();
    loop {
        let mut next = query.clone();
        // The position is a text for programs that hand out pages.
        next.after = all.last().map(|place| place.position().to_string().parse::<After>().unwrap());
        let page = manager.find(&next).unwrap();
        assert!(page.len() <= query.limit);
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn pages_are_the_sorted_list_everywhere(counts in prop::collection::vec(0_u8..9, 1..40), limit in 1_usize..7) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.db");
        let managers = [
            opened(Manager::builder()),
            opened(Manager::builder().store(MemoryStore::default())),
            // Groups are dropped from memory, so the store answers.
            opened(Manager::builder().memory_budget(0).store(SqliteStore::open(&path).unwrap())),
        ];
        for manager in &managers {
            for (at, count) in counts.iter().enumerate() {
                for _ in 0..*count {
                    manager.track(&format!("group:{at:02}"), &Json::Null).unwrap();
                }
            }
            for (tracker, order) in [("loop", Order::Descending), ("goal", Order::Descending), ("goal", Order::Ascending)] {
                let query = Query::of(tracker).order(order).limit(limit);
                let found: Vec<String> = pages(manager, &query).into_iter().map(|place| place.group).collect();
                prop_assert_eq!(&found, &sorted(&counts, tracker, order), "{} {:?}", tracker, order);
                let within = pages(manager, &query.clone().at_least(2).at_most(3));
                prop_assert!(within.iter().all(|place| (2.into()..=3.into()).contains(&place.tracker.progress)));
            }
            let done = manager.find(&Query::of("goal").standing(Standing::Completed).limit(100)).unwrap();
            prop_assert_eq!(done.len(), counts.iter().filter(|count| **count >= 6).count());
            let mut ids = Vec::new();
            while let Some(page) = Some(manager.groups(ids.last().map(String::as_str), limit).unwrap()).filter(|page| !page.is_empty()) {
                ids.extend(page);
            }
            prop_assert_eq!(ids.len(), counts.iter().filter(|count| **count > 0).count());
            prop_assert!(ids.is_sorted());
        }
        drop(managers);
        // Read from the file.
        let reopened = opened(Manager::builder().store(SqliteStore::open(&path).unwrap()));
        let found: Vec<String> = reopened.top("goal", 40).unwrap().into_iter().map(|place| place.group).collect();
        prop_assert_eq!(found, sorted(&counts, "goal", Order::Descending));
    }
}

#[cfg(feature = "redis")]
#[test]
fn processes_that_share_redis_find_what_is_not_stored_yet() {
    use dictrack::Durability;
    use dictrack::RedisCache;

    let redis = dictrack_testkit::shared_redis();
    let folder = tempfile::tempdir().unwrap();
    let open = |store: bool| {
        let cache = RedisCache::new(&format!("{}?prefix=find{}", redis, std::process::id())).unwrap();
        let builder =
            Manager::builder().cache(cache).durability(Durability::Interval(std::time::Duration::from_secs(3600)));
        let path = folder.path().join("s.db");
        opened(if store { builder.store(SqliteStore::open(path).unwrap()) } else { builder })
    };
    for store in [false, true] {
        let manager = open(store);
        for (group, count) in [("a", 1), ("b", 3), ("c", 2)] {
            for _ in 0..count {
                manager.track(group, &Json::Null).unwrap();
            }
        }
        let top: Vec<String> = manager.top("goal", 2).unwrap().into_iter().map(|place| place.group).collect();
        assert_eq!(top, ["b", "c"]);
        assert_eq!(manager.groups(None, 10).unwrap(), ["a", "b", "c"]);
        assert_eq!(manager.groups(Some("a"), 1).unwrap(), ["b"]);
        manager.flush(true).unwrap();
        manager.close().unwrap();
    }
}

#[test]
fn a_position_that_no_page_returned_is_refused() {
    for text in ["", "1", "1:2", "x:1:g", "1:x:g", "-1:1:g"] {
        let error = text.parse::<After>().unwrap_err();
        assert!(error.to_string().contains("expected one that an earlier page returned"), "{text:?}");
    }
    let hostile = "3:-1.5:a:b:\u{202e}c";
    assert_eq!(hostile.parse::<After>().unwrap().to_string(), hostile);
}
