//! Marks are kept together with the changes of their commit, or neither is.

use std::time::Duration;

use dictrack::store::{DataStore as _, Mark, Unsaved, Writers};
use dictrack::{
    Durability, Error, MongoStore, Timestamp,
    clock::Stopwatch,
    group::{Call, Engine, Group, Limits},
};
use dictrack_testkit::Mongo;
use dictrack_testkit::bson::doc;

use crate::common::{DATABASE, all, counter, fresh, kept, store};

const NOW: Timestamp = Timestamp::from_secs(1);

fn begin(store: &MongoStore) {
    pollster::block_on(store.begin(Durability::Os, &Limits::default(), Writers::One)).unwrap();
}

fn mark(name: &str, text: &str) -> Mark {
    Mark { name: name.to_owned(), text: Some(text.to_owned()) }
}

fn marks(store: &MongoStore) -> Vec<Mark> {
    pollster::block_on(store.marks()).unwrap()
}

/// Groups; each call of `changes` changes all of them.
struct Groups {
    engine: Engine,
    groups: Vec<(String, Group)>,
}

impl Groups {
    fn new(count: usize) -> Self {
        let engine = Engine::default();
        let groups = (0..count).map(|at| {
            let id = format!("g{at}");
            let mut group = Group::default();
            group.add(&Call::new(&engine, &id, NOW).keep_events(true), &[counter("n").into()], None).unwrap();
            (id, group)
        });
        let groups = groups.collect();
        Self { engine, groups }
    }

    fn changes(&mut self) -> Vec<Unsaved> {
        let Self { engine, groups } = self;
        let change = |(id, group): &mut (String, Group)| {
            group.set_progress(&Call::new(engine, id, NOW), "n", i64::try_from(group.version()).unwrap().into());
            group.take_change(id, engine).into()
        };
        groups.iter_mut().map(change).collect()
    }

    fn versions(&self, store: &MongoStore) -> Vec<u64> {
        let held = |(id, _): &(String, Group)| pollster::block_on(store.held(id)).unwrap().version;
        self.groups.iter().map(held).collect()
    }

    fn are_kept(&self, store: &MongoStore) {
        for (id, group) in &self.groups {
            let found = pollster::block_on(store.load(id, &self.engine)).unwrap().unwrap();
            assert_eq!(kept(&found, id), kept(group, id));
        }
    }
}

/// Lets this many updates pass, and none after that.
fn fail_after(mongo: &Mongo, count: i32) {
    let data = doc! {"failCommands": ["update"], "errorCode": 8_000};
    mongo.fail_command(doc! {"mode": {"skip": count}, "data": data});
}

#[test]
fn a_commit_that_ended_anywhere_is_kept_as_a_whole_or_not_at_all() {
    let mongo = Mongo::start();
    let mut whole = 0;
    for passed in 0.. {
        let collection = fresh();
        let store = store(&mongo, &collection);
        begin(&store);
        let mut groups = Groups::new(3);
        let first = [mark("a", "1"), mark("gone", "x")];
        assert_eq!(pollster::block_on(store.save(&groups.changes(), &first)).unwrap(), []);
        let before = groups.versions(&store);
        let second = [mark("a", "2"), Mark { name: "gone".into(), text: None }, mark("new", "y")];
        let changes = groups.changes();
        fail_after(&mongo, passed);
        let result = pollster::block_on(store.save(&changes, &second));
        mongo.fail_no_command();
        drop(store);
        let store = self::store(&mongo, &collection);
        begin(&store);
        if groups.versions(&store) == before {
            assert_eq!(passed, 0, "only what failed before the journal is not kept");
            assert_eq!(marks(&store), first);
        } else {
            whole += 1;
            groups.are_kept(&store);
            assert_eq!(marks(&store), [mark("a", "2"), mark("new", "y")]);
        }
        let records = all(&mongo, &format!("{collection}.meta"));
        assert!(records.iter().all(|record| !record.contains_key("journal")), "{records:?}");
        // The store continues to work.
        assert_eq!(pollster::block_on(store.save(&groups.changes(), &[mark("a", "3")])).is_ok(), passed > 0);
        if result.is_ok() {
            break;
        }
        assert!(matches!(result, Err(Error::Backend(_))), "{result:?}");
    }
    assert!(whole >= 3, "{whole} commits were finished by the next owner");
}

#[test]
fn a_commit_larger_than_a_document_is_finished_too() {
    let mongo = Mongo::start();
    let collection = fresh();
    let store = store(&mongo, &collection);
    begin(&store);
    let mut groups = Groups::new(2);
    assert_eq!(pollster::block_on(store.save(&groups.changes(), &[])).unwrap(), []);
    let big = "x".repeat(5_000_000);
    let large: Vec<Mark> = (0..6).map(|at| mark(&format!("m{at}"), &big)).collect();
    let changes = groups.changes();
    // Three pieces of the journal and the owner's record; the groups are not reached.
    fail_after(&mongo, 4);
    assert!(pollster::block_on(store.save(&changes, &large)).is_err());
    mongo.fail_no_command();
    drop(store);
    let store = self::store(&mongo, &collection);
    assert_ne!(groups.versions(&store)[0], groups.groups[0].1.version(), "looking alone finishes nothing");
    begin(&store);
    groups.are_kept(&store);
    assert_eq!(marks(&store), large);
    assert_eq!(all(&mongo, &format!("{collection}.meta")).len(), 2, "the format and the owner");
}

#[test]
fn emptying_the_store_is_finished_by_the_next_owner() {
    let mongo = Mongo::start();
    let collection = fresh();
    let store = store(&mongo, &collection);
    begin(&store);
    let mut groups = Groups::new(5);
    assert_eq!(pollster::block_on(store.save(&groups.changes(), &[mark("a", "1")])).unwrap(), []);
    let data = doc! {"failCommands": ["delete"], "errorCode": 8_000};
    mongo.fail_command(doc! {"mode": {"skip": 1}, "data": data});
    assert!(pollster::block_on(store.clear()).is_err());
    mongo.fail_no_command();
    assert_eq!(marks(&store).len(), 1, "it stopped halfway");
    drop(store);
    let store = self::store(&mongo, &collection);
    begin(&store);
    assert_eq!(marks(&store), []);
    assert_eq!(pollster::block_on(store.groups(None, 10)).unwrap(), Vec::<String>::new());
    assert_eq!(pollster::block_on(store.save(&Groups::new(5).changes(), &[])).unwrap(), []);
}

#[test]
fn an_attempt_that_the_server_gets_to_late_changes_nothing() {
    let mongo = Mongo::start();
    for part in ["meta", "groups", "marks"] {
        let collection = fresh();
        let store = store(&mongo, &collection);
        begin(&store);
        let mut groups = Groups::new(2);
        assert_eq!(pollster::block_on(store.save(&groups.changes(), &[mark("a", "1")])).unwrap(), []);
        let namespace = if part == "groups" { collection.clone() } else { format!("{collection}.{part}") };
        let data = doc! {
            "failCommands": ["update"], "namespace": format!("{DATABASE}.{namespace}"), "blockConnection": true,
            "blockTimeMS": 1_500,
        };
        mongo.fail_command(doc! {"mode": {"times": 1}, "data": data});
        let changes = groups.changes();
        let watch = Stopwatch::start();
        let given_up = pollster::block_on(store.save(&changes, &[mark("a", "2")]));
        assert!(matches!(given_up, Err(Error::Unavailable(_))), "{part}: {given_up:?}");
        assert_eq!(pollster::block_on(store.save(&changes, &[mark("a", "2")])).unwrap(), [], "{part}");
        assert_eq!(pollster::block_on(store.save(&groups.changes(), &[mark("a", "3")])).unwrap(), [], "{part}");
        assert!(watch.elapsed() < Duration::from_millis(1_400), "{part}: {:?}", watch.elapsed());
        // Now the server runs what was given up.
        std::thread::sleep(Duration::from_millis(1_700).saturating_sub(watch.elapsed()));
        let records = all(&mongo, &format!("{collection}.meta"));
        assert!(records.iter().all(|record| !record.contains_key("journal")), "{part}: {records:?}");
        drop(store);
        let store = self::store(&mongo, &collection);
        begin(&store);
        assert_eq!(marks(&store), [mark("a", "3")], "{part}");
        groups.are_kept(&store);
    }
}

#[cfg(feature = "crash-points")]
mod killed {
    use std::process::{Command, Stdio};

    use dictrack::{Manager, MongoStore};

    use super::*;
    use crate::common::{builder, document, manager, progress, shared};

    const STORE: &str = "DICTRACK_TEST_JOURNAL";

    /// Counts in two groups and notes the count, with a commit each time.
    #[test]
    fn child() {
        let Ok(text) = std::env::var(STORE) else { return };
        let (url, collection) = text.split_once(' ').unwrap();
        let store =
            pollster::block_on(MongoStore::builder(url).database(DATABASE).collection(collection).open()).unwrap();
        let players = manager(Manager::builder().commit_by_hand(), store);
        let from: u64 = position(&players.trackers("a").unwrap().first().map_or(0.into(), |found| found.progress));
        for number in from + 1..from + 20 {
            for group in ["a", "b"] {
                players.add_tracker(group, counter("n")).unwrap();
                players.track(group, &document()).unwrap();
            }
            players.commit(vec![mark("position", &number.to_string())]).unwrap().wait_blocking().unwrap();
        }
        players.close().unwrap();
    }

    fn position(progress: &dictrack::Amount) -> u64 {
        progress.to_string().parse().unwrap()
    }

    #[test]
    fn counts_and_positions_agree_after_a_kill_at_any_point() {
        let mut seen = std::collections::BTreeSet::new();
        for (point, count) in [
            ("before_commit", 1),
            ("before_commit", 5),
            ("within_commit", 1),
            ("within_commit", 2),
            ("within_commit", 3),
            ("within_commit", 10),
            ("within_commit", 11),
            ("within_commit", 12),
            ("after_commit", 3),
        ] {
            let collection = fresh();
            for _ in 0..2 {
                let status = Command::new(std::env::current_exe().unwrap())
                    .args(["--exact", "journal::killed::child", "--nocapture"])
                    .env(STORE, format!("{} {collection}", shared().url()))
                    .env("DICTRACK_CRASH_AT", format!("{point}:{count}"))
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .status()
                    .unwrap();
                assert!(!status.success(), "{point}:{count} was not reached");
                let store = pollster::block_on(builder(&shared().url(), &collection).open()).unwrap();
                let players = manager(Manager::builder().commit_by_hand(), store);
                let marks = marks(&self::store(shared(), &collection));
                let noted = marks.first().map_or("", |mark| mark.text.as_deref().unwrap());
                assert_eq!(
                    (progress(&players, "a"), progress(&players, "b")),
                    (noted.into(), noted.into()),
                    "{point}:{count}"
                );
                seen.insert(noted.to_owned());
            }
        }
        assert!(seen.len() > 4, "{seen:?}");
    }
}
