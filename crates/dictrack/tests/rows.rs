//! `track_rows` does to each group what `track` does with the same documents, in one change.

use std::sync::{Arc, Mutex};

use dictrack::clock::TestClock;
use dictrack::group::{Differing, TrackerList};
use dictrack::json::Json;
use dictrack::manager::{self, Counts, Submission};
use dictrack::{
    Blocking, Error, EventCode, Manager, ManagerBuilder, Outcome, RedisCache, Span, Timestamp, TrackerDefinition,
    store::MemoryStore,
};
use dictrack_testkit::Redis;

/// A document with the number of its group, its moment and its id.
type Row = (usize, Json, i64, Option<String>);

/// Rows by group, in order.
struct Rows<'a> {
    rows: &'a [Row],
    groups: Vec<String>,
    ensure: Option<&'a TrackerList>,
}

impl<'a> Rows<'a> {
    fn new(rows: &'a [Row], ensure: Option<&'a TrackerList>) -> Self {
        let groups = rows.iter().map(|(group, ..)| group + 1).max().unwrap_or(0);
        Self { rows, groups: (0..groups).map(|group| group.to_string()).collect(), ensure }
    }

    fn submission(&self, at: usize) -> Submission<'_> {
        let (group, document, now, id) = &self.rows[at];
        let mut submission = Submission::new(&self.groups[*group], document).at(Timestamp::from_secs(*now));
        submission.event_id = id.as_deref();
        submission.ensure = self.ensure.map(|list| (list, Differing::Refuse));
        submission
    }
}

impl manager::Rows for Rows<'_> {
    fn groups(&self) -> usize {
        self.groups.len()
    }

    fn group(&self, group: usize) -> &str {
        &self.groups[group]
    }

    fn visit(&self, group: usize, visit: &mut dyn FnMut(usize, Submission<'_>)) {
        for at in 0..self.rows.len() {
            if self.rows[at].0 == group {
                visit(at, self.submission(at));
            }
        }
    }
}

fn trackers() -> Vec<TrackerDefinition> {
    let read = |text: &str| TrackerDefinition::from_json(&Json::parse(text.as_bytes()).unwrap()).unwrap();
    vec![
        read(r#"{"name":"n","kind":"count","target":[2,5,1000]}"#),
        read(r#"{"name":"short","kind":"count","target":3,"conditions":[{"key":"a","ge":2}]}"#),
        read(r#"{"name":"sum","kind":"sum","key":"a","target":[5,1000],"limiters":[{"count":2,"per":"minute"}]}"#),
        read(r#"{"name":"daily","kind":"count","target":2,"every":"minute"}"#),
    ]
}

/// Rows of some groups, some of which repeat an id or lack the amount.
fn rows(count: usize, mut seed: u64) -> Vec<Row> {
    let mut draw = |most: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % most
    };
    let row = |at: usize| {
        let document = match draw(4) {
            0 => "{}".to_owned(),
            amount => format!(r#"{{"a":{amount}}}"#),
        };
        let id = (draw(3) > 0).then(|| draw(50).to_string());
        (draw(5) as usize, Json::parse(document.as_bytes()).unwrap(), at as i64 * 7 + draw(90) as i64, id)
    };
    (0..count).map(row).collect()
}

/// The trackers of all groups, active and completed.
fn states(manager: &Blocking) -> Vec<String> {
    let state = |group: i32| {
        let group = group.to_string();
        format!("{:?} {:?}", manager.trackers(&group).unwrap(), manager.completed(&group).unwrap())
    };
    (0..5).map(state).collect()
}

/// What listeners hear, in order.
fn heard(manager: &Blocking) -> Arc<Mutex<Vec<Json>>> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    for code in EventCode::ALL {
        let heard = Arc::clone(&heard);
        manager.add_listener(code, move |event| heard.lock().unwrap().push(event.to_json()));
    }
    heard
}

fn opened(builder: ManagerBuilder) -> Blocking {
    pollster::block_on(builder.open()).unwrap().blocking()
}

fn open() -> Blocking {
    opened(Manager::builder().clock(TestClock::new(Timestamp::from_secs(0))).store(MemoryStore::new()))
}

#[test]
fn rows_do_what_one_call_a_document_does() {
    for seed in 0..40 {
        let (whole, single) = (open(), open());
        let (of_whole, of_single) = (heard(&whole), heard(&single));
        let list = whole.tracker_list(trackers()).unwrap();
        let own = single.tracker_list(trackers()).unwrap();
        let all = rows(80, seed);
        let (mut counts, mut events) = (Counts::default(), Vec::new());
        let mut first: Vec<usize> = Vec::new();
        for (at, row) in all.iter().enumerate() {
            let rows = Rows::new(&all, Some(&own));
            let mut submission = rows.submission(at);
            if first.contains(&row.0) {
                submission.ensure = None;
            }
            first.push(row.0);
            let outcome = single.track_one(submission).unwrap();
            counts.note(&outcome);
            events.extend(outcome.events().iter().map(|event| (at, event.id())));
        }
        let done = whole.track_rows(&Rows::new(&all, Some(&list)), 1);
        assert!(done.failure.is_none(), "{:?}", done.failure);
        assert_eq!(done.counts, counts);
        let kept = done.outcomes.iter();
        let found: Vec<_> =
            kept.flat_map(|kept| kept.outcome.events().iter().map(|event| (kept.position, event.id()))).collect();
        assert_eq!(found, events);
        assert_eq!(*of_whole.lock().unwrap(), *of_single.lock().unwrap());
        assert!(counts.refused > 0 && counts.skipped > counts.late && counts.duplicates > 0, "{counts:?}");
        assert_eq!(states(&whole), states(&single));
    }
}

#[test]
fn a_document_too_far_ahead_ends_the_rows_before_it() {
    let clock = TestClock::new(Timestamp::from_secs(1_000));
    let manager = opened(Manager::builder().clock(clock).ahead(Span::from_secs(60)));
    let list = manager.tracker_list(trackers()).unwrap();
    let at = |group: usize, now: i64| (group, Json::parse(b"{}").unwrap(), now, None);
    let rows = [at(1, 1_000), at(0, 1_001), at(1, 2_000), at(0, 3_000), at(0, 1_002)];
    let done = manager.track_rows(&Rows::new(&rows, Some(&list)), 1);
    let failure = done.failure.unwrap();
    assert_eq!(failure.position, Some(2));
    assert!(matches!(failure.error, Error::Ahead { .. }));
    assert_eq!((done.counts.documents, done.counts.counted), (2, 2));
}

#[test]
fn a_group_that_cannot_have_the_trackers_ends_the_rows() {
    let manager = open();
    let list = manager.tracker_list(trackers()).unwrap();
    manager.add_tracker("1", TrackerDefinition::count("n").targets([7]).build().unwrap()).unwrap();
    let at = |group: usize| (group, Json::parse(b"{}").unwrap(), 0, None);
    let done = manager.track_rows(&Rows::new(&[at(2), at(1), at(0)], Some(&list)), 1);
    let failure = done.failure.unwrap();
    assert!(matches!(&failure.error, Error::Group { group, .. } if **group == *"1"), "{}", failure.error);
    assert_eq!(failure.position, None);
    // Groups in memory come first, and what is stated counted.
    let counted = ["0", "2"].iter().filter(|group| !manager.trackers(group).unwrap().is_empty()).count();
    assert_eq!(done.counts.documents, counted as u64);
    assert_eq!(manager.trackers("1").unwrap()[0].progress.to_string(), "0");
}

#[test]
fn a_closed_manager_refuses_rows() {
    let manager = open();
    manager.close().unwrap();
    let rows = rows(10, 1);
    let done = manager.track_rows(&Rows::new(&rows, None), 1);
    assert!(matches!(done.failure.unwrap().error, Error::Closed));
    assert_eq!(done.counts, Counts::default());
}

/// Only what an earlier run of a step counted on a state that lost the race is forgotten.
#[test]
fn two_processes_count_each_row_once() {
    const ROUNDS: usize = 60;
    let redis = Redis::start();
    let store = Arc::new(MemoryStore::new());
    let open = || {
        let cache = RedisCache::new(&redis.url()).unwrap();
        opened(Manager::builder().cache(cache).store(Arc::clone(&store)))
    };
    let managers = [open(), open()];
    let list = managers[0].tracker_list([TrackerDefinition::count("n").targets([50, 1_000_000]).build().unwrap()]);
    let list = list.unwrap();
    let at = |group: usize| (group, Json::parse(b"{}").unwrap(), 0, None);
    let rows: Vec<Row> = (0..30).map(|row| at(row % 3)).collect();
    let run = |own: &Blocking| {
        let (mut counted, mut stages) = (0, 0);
        for _ in 0..ROUNDS {
            let done = own.track_rows(&Rows::new(&rows, Some(&list)), 1);
            assert!(done.failure.is_none(), "{:?}", done.failure);
            counted += done.counts.counted;
            let events = done.outcomes.iter().flat_map(|kept| kept.outcome.events());
            stages += events.filter(|event| event.code == EventCode::StageCompleted).count();
        }
        (counted, stages)
    };
    let counts: Vec<(u64, usize)> = std::thread::scope(|scope| {
        let threads: Vec<_> = managers.iter().map(|own| scope.spawn(|| run(own))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let each = (ROUNDS * rows.len()) as u64;
    assert_eq!(counts.iter().map(|(counted, _)| counted).sum::<u64>(), 2 * each);
    assert_eq!(counts.iter().map(|(_, stages)| stages).sum::<usize>(), 3, "each group reaches its first target once");
    for group in 0..3 {
        let found = managers[1].trackers(&group.to_string()).unwrap();
        assert_eq!(found[0].progress.to_string(), (2 * each / 3).to_string());
    }
}

#[test]
fn rows_return_the_outcomes_that_they_keep() {
    struct All<'a>(Rows<'a>);
    impl manager::Rows for All<'_> {
        fn groups(&self) -> usize {
            self.0.groups()
        }
        fn group(&self, group: usize) -> &str {
            self.0.group(group)
        }
        fn visit(&self, group: usize, visit: &mut dyn FnMut(usize, Submission<'_>)) {
            self.0.visit(group, visit);
        }
        fn keeps(&self, _: &Outcome) -> bool {
            true
        }
    }
    let manager = open();
    let list = manager.tracker_list(trackers()).unwrap();
    let rows = rows(50, 3);
    let done = manager.track_rows(&All(Rows::new(&rows, Some(&list))), 1);
    let positions: Vec<usize> = done.outcomes.iter().map(|kept| kept.position).collect();
    assert_eq!(positions, (0..50).collect::<Vec<_>>());
    assert!(done.outcomes.iter().all(|kept| kept.group == rows[kept.position].0));
}

#[test]
fn threads_do_what_one_does() {
    let all: Vec<Row> = rows(40_000, 9)
        .into_iter()
        .enumerate()
        .map(|(at, (group, document, now, id))| (group + 5 * (at % 400), document, now, id))
        .collect();
    // By group, since looking for the rows of each of 2,000 groups would take long.
    struct ByGroup<'a>(Rows<'a>, Vec<Vec<usize>>);
    impl manager::Rows for ByGroup<'_> {
        fn groups(&self) -> usize {
            self.0.groups()
        }
        fn group(&self, group: usize) -> &str {
            self.0.group(group)
        }
        fn visit(&self, group: usize, visit: &mut dyn FnMut(usize, Submission<'_>)) {
            self.1[group].iter().for_each(|&at| visit(at, self.0.submission(at)));
        }
    }
    let run = |threads: usize| {
        let manager = open();
        let heard = heard(&manager);
        let list = manager.tracker_list(trackers()).unwrap();
        let rows = Rows::new(&all, Some(&list));
        let mut places = vec![Vec::new(); rows.groups.len()];
        all.iter().enumerate().for_each(|(at, row)| places[row.0].push(at));
        let rows = ByGroup(rows, places);
        let facts: Vec<_> = (0..2)
            .map(|_| {
                let done = manager.track_rows(&rows, threads);
                assert!(done.failure.is_none(), "{:?}", done.failure);
                let kept = done.outcomes.iter();
                let events =
                    kept.flat_map(|kept| kept.outcome.events().iter().map(|event| (kept.position, event.id())));
                (done.counts, events.collect::<Vec<_>>())
            })
            .collect();
        let heard = heard.lock().unwrap().clone();
        let state = |group: usize| format!("{:?}", manager.trackers(&group.to_string()).unwrap());
        (facts, heard, (0..2_000).map(state).collect::<Vec<_>>())
    };
    assert_eq!(run(1), run(3));
}
