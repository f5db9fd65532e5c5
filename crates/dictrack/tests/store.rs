//! The manager on the SQLite store: one writer, damage, restarts, memory, threads.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dictrack::store::{DataStore as _, Mark};
use dictrack::{
    Blocking, Durability, Error, EventCode, Manager, SqliteStore,
    group::{Differing, Engine, Limits},
    manager::Submission,
};
use rusqlite::Connection;

mod common;

use common::{counter, document, folder, open, open_with, progress};

/// Copies a store as a kill at this moment would leave it.
fn copy(from: &Path, to: &Path) {
    for ending in ["", "-wal"] {
        let name = |path: &Path| PathBuf::from(format!("{}{ending}", path.display()));
        std::fs::copy(name(from), name(to)).unwrap();
    }
}

#[test]
fn a_second_writer_is_refused_in_words_and_admitted_once_the_first_is_gone() {
    let folder = folder();
    let path = folder.path().join("a.db");
    let first = SqliteStore::open(&path).unwrap();
    let error = SqliteStore::open(&path).unwrap_err();
    let Error::Owned { pid, host, .. } = &error else { panic!("{error}") };
    assert_eq!(**pid, *std::process::id().to_string());
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(**host, *name.trim());
    let text = error.to_string();
    assert!(text.contains(&format!("is in use by process {pid} on {host}")), "{text}");
    drop(first);
    SqliteStore::open(&path).unwrap();
}

#[test]
fn a_manager_that_is_closed_and_dropped_frees_its_store() {
    let folder = folder();
    let path = folder.path().join("a.db");
    let manager = open(&path);
    manager.close().unwrap();
    assert!(matches!(manager.track("a", &document()), Err(Error::Closed)));
    drop(manager);
    open(&path);
}

#[test]
fn a_store_of_a_newer_version_is_refused_and_unchanged() {
    let folder = folder();
    let path = folder.path().join("a.db");
    let manager = open(&path);
    manager.add_tracker("a", counter("n", &[9])).unwrap();
    manager.close().unwrap();
    drop(manager);
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let before = std::fs::read(&path).unwrap();
    for opened in [SqliteStore::open(&path), SqliteStore::open_read_only(&path)] {
        match opened.unwrap_err() {
            Error::NewerVersion { found, known, .. } => assert_eq!((found, known), (99, 3)),
            error => panic!("{error}"),
        }
        assert!(std::fs::read(&path).unwrap() == before);
    }
}

#[test]
fn a_foreign_sqlite_file_is_refused_and_unchanged() {
    let folder = folder();
    for mode in ["DELETE", "WAL"] {
        let path = folder.path().join(mode);
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "journal_mode", mode).unwrap();
        connection.execute_batch("CREATE TABLE groups (id TEXT); INSERT INTO groups VALUES ('x');").unwrap();
        drop(connection);
        let before = std::fs::read(&path).unwrap();
        for opened in [SqliteStore::open(&path), SqliteStore::open_read_only(&path)] {
            let error = opened.unwrap_err();
            assert!(
                matches!(error, Error::Corrupt { .. }) && error.to_string().contains("of another program"),
                "{error}"
            );
            assert!(std::fs::read(&path).unwrap() == before, "{mode}");
        }
    }
}

#[test]
fn a_file_of_other_bytes_is_refused_and_unchanged() {
    let folder = folder();
    for size in [1, 100, 4096, 100_000] {
        let path = folder.path().join(size.to_string());
        let bytes: Vec<u8> = (0..size).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8 | 1).collect();
        std::fs::write(&path, &bytes).unwrap();
        for opened in [SqliteStore::open(&path), SqliteStore::open_read_only(&path)] {
            let error = opened.unwrap_err();
            assert!(matches!(error, Error::Corrupt { .. }), "{size} bytes: {error}");
            assert!(std::fs::read(&path).unwrap() == bytes, "{size} bytes");
        }
    }
}

#[test]
fn an_altered_journal_row_is_refused_by_number_and_nothing_is_overwritten() {
    let folder = folder();
    let (live, path) = (folder.path().join("live.db"), folder.path().join("copy.db"));
    let manager = open(&live);
    manager.add_tracker("a", counter("n", &[1000])).unwrap();
    (0..3).for_each(|_| drop(manager.track("a", &document()).unwrap()));
    copy(&live, &path);
    let content = |path: &Path| -> Vec<String> {
        let connection = Connection::open(path).unwrap();
        let query = "SELECT number || checksum || payload FROM journal UNION ALL SELECT id || state FROM groups";
        let mut query = connection.prepare(query).unwrap();
        query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    assert_eq!(content(&path).len(), 4, "each change is in a row of its own");
    let connection = Connection::open(&path).unwrap();
    let altered = connection
        .execute(
            "UPDATE journal SET payload = replace(payload, '\"generation\":1', '\"generation\":7') WHERE number = 3",
            [],
        )
        .unwrap();
    assert_eq!(altered, 1);
    drop(connection);
    let before = content(&path);
    let write = || pollster::block_on(Manager::builder().store(SqliteStore::open(&path)?).open()).map(drop);
    for opened in [write(), SqliteStore::open_read_only(&path).map(drop)] {
        let error = opened.unwrap_err();
        let Error::Corrupt { place, .. } = &error else { panic!("{error}") };
        assert_eq!(&**place, "journal row 3");
        assert_eq!(content(&path), before);
    }
}

#[test]
fn an_altered_group_is_refused_by_name_and_left_as_it_is_while_others_load() {
    let folder = folder();
    let path = folder.path().join("a.db");
    let manager = open(&path);
    for group in ["good", "bad", "worse"] {
        manager.add_tracker(group, counter("n", &[1000])).unwrap();
        manager.track(group, &document()).unwrap();
    }
    manager.close().unwrap();
    drop(manager);
    let texts = || -> Vec<String> {
        let connection = Connection::open(&path).unwrap();
        let mut query =
            connection.prepare("SELECT state FROM groups WHERE id IN ('bad', 'worse') ORDER BY id").unwrap();
        query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let connection = Connection::open(&path).unwrap();
    connection.execute("UPDATE groups SET state = substr(state, 1, 60) WHERE id = 'bad'", []).unwrap();
    connection.execute("UPDATE groups SET state = replace(state, '[[1,', '[[-1,') WHERE id = 'worse'", []).unwrap();
    drop(connection);
    let before = texts();
    assert!(before[1].contains("[[-1,"), "{before:?}");
    let manager = open(&path);
    for bad in ["bad", "worse"] {
        let tried = [
            manager.track(bad, &document()).unwrap_err(),
            manager.trackers(bad).unwrap_err(),
            manager.add_tracker(bad, counter("other", &[2])).unwrap_err(),
        ];
        for error in tried {
            let Error::Corrupt { place, .. } = &error else { panic!("{error}") };
            assert_eq!(**place, *format!("group {bad:?}"), "{error}");
        }
    }
    manager.track("good", &document()).unwrap();
    assert_eq!(progress(&manager, "good"), "2");
    manager.close().unwrap();
    assert_eq!(texts(), before);
}

#[test]
fn a_reader_beside_the_writer_sees_what_was_committed_before_it_opened() {
    let folder = folder();
    let path = folder.path().join("a.db");
    let manager = open(&path);
    manager.add_tracker("a", counter("n", &[2, 1000])).unwrap();
    let seen = |store: &SqliteStore| {
        let group = pollster::block_on(store.load("a", &Engine::default())).unwrap().expect("the group");
        let tracker = &group.trackers(&Engine::default(), None, manager.manager().now())[0];
        (tracker.progress.to_string(), tracker.stage)
    };
    for _ in 0..3 {
        manager.track("a", &document()).unwrap();
    }
    let early = SqliteStore::open_read_only(&path).unwrap();
    assert_eq!(seen(&early), ("3".to_owned(), 2));
    for _ in 0..4 {
        manager.track("a", &document()).unwrap();
    }
    manager.add_tracker("b", counter("n", &[2])).unwrap();
    let late = SqliteStore::open_read_only(&path).unwrap();
    assert_eq!((seen(&early).0, seen(&late).0), ("3".to_owned(), "7".to_owned()));
    let groups = |store: &SqliteStore| pollster::block_on(store.groups(None, 10)).unwrap();
    assert_eq!((groups(&early), groups(&late)), (vec!["a".to_owned()], vec!["a".to_owned(), "b".to_owned()]));
}

#[test]
fn progress_and_ids_outlive_a_restart_and_a_kill() {
    let folder = folder();
    let (path, killed) = (folder.path().join("a.db"), folder.path().join("killed.db"));
    let manager = open(&path);
    manager.add_tracker("a", counter("n", &[1000])).unwrap();
    for id in ["x", "y", "x"] {
        let outcome = manager.track_one(Submission::new("a", &document()).id(id)).unwrap();
        assert_eq!(outcome.duplicate(), progress(&manager, "a") == "2" && id == "x");
    }
    copy(&path, &killed);
    manager.close().unwrap();
    drop(manager);
    for path in [path, killed] {
        for _ in 0..2 {
            let manager = open(&path);
            assert_eq!(progress(&manager, "a"), "2");
            for id in ["x", "y"] {
                let outcome = manager.track_one(Submission::new("a", &document()).id(id)).unwrap();
                assert!(outcome.duplicate() && outcome.is_empty());
            }
            assert_eq!(progress(&manager, "a"), "2");
        }
    }
}

#[test]
fn every_completed_name_is_kept_when_one_commit_completes_more_than_stay_readable() {
    let folder = folder();
    let path = folder.path().join("a.db");
    let many = || (0..150).map(|number| counter(&format!("t{number}"), &[1]));
    let manager = open_with(&path, Manager::builder().durability(Durability::Interval(Duration::from_secs(60))));
    manager.add_trackers("a", many()).unwrap();
    manager.track("a", &document()).unwrap();
    manager.close().unwrap();
    drop(manager);
    let manager = open(&path);
    let list = manager.tracker_list(many()).unwrap();
    let ensured = manager.ensure_trackers("a", &list, Differing::Refuse).unwrap();
    assert_eq!((ensured.completed.len(), ensured.added), (150, Vec::new()));
    assert_eq!(manager.completed("a").unwrap().len(), 100);
}

#[test]
fn no_more_completed_trackers_are_readable_after_a_restart_than_before() {
    let store = Arc::new(dictrack::store::memory::MemoryStore::new());
    let open = || pollster::block_on(Manager::builder().store(Arc::clone(&store)).open()).unwrap().blocking();
    let manager = open();
    for number in 0..130 {
        manager.add_tracker("a", counter(&format!("t{number}"), &[1])).unwrap();
        manager.track("a", &document()).unwrap();
    }
    manager.close().unwrap();
    assert_eq!((manager.completed("a").unwrap().len(), open().completed("a").unwrap().len()), (100, 100));
}

#[test]
fn an_export_and_its_import_keep_what_a_manager_with_wider_limits_kept() {
    let folder = folder();
    let (from, to) = (folder.path().join("a.db"), folder.path().join("b.db"));
    let mut limits = Limits::default();
    limits.completed = 150;
    let manager = open_with(&from, Manager::builder().limits(limits));
    manager.add_trackers("a", (0..150).map(|number| counter(&format!("t{number}"), &[1]))).unwrap();
    manager.track("a", &document()).unwrap();
    manager.close().unwrap();
    drop(manager);
    let mut exported = Vec::new();
    let store = SqliteStore::open_read_only(&from).unwrap();
    pollster::block_on(dictrack::transfer::export(&store, &mut exported, |_| ())).unwrap();
    let store = SqliteStore::open(&to).unwrap();
    pollster::block_on(dictrack::transfer::import(&store, None, &mut &exported[..], |_| ())).unwrap();
    drop(store);
    assert_eq!(open_with(&to, Manager::builder().limits(limits)).completed("a").unwrap().len(), 150);
}

#[test]
fn the_last_hundred_completed_trackers_and_the_names_of_all_outlive_a_restart() {
    let folder = folder();
    let path = folder.path().join("a.db");
    let name = |number: usize| format!("tracker {number}");
    let manager = open(&path);
    for number in 0..103 {
        manager.add_tracker("a", counter(&name(number), &[1])).unwrap();
        manager.track("a", &document()).unwrap();
    }
    let completed = |manager: &Blocking| -> Vec<String> {
        manager.completed("a").unwrap().iter().map(|completed| completed.tracker.name().to_owned()).collect()
    };
    let expected: Vec<String> = (3..103).map(name).collect();
    for manager in [manager, open_again(&path)] {
        assert_eq!(completed(&manager), expected);
        let list = manager.tracker_list((0..104).map(|number| counter(&name(number), &[1]))).unwrap();
        let found = manager.ensure_trackers("a", &list, Differing::Refuse).unwrap();
        assert_eq!((found.completed.len(), found.existing.len() + found.added.len()), (103, 1));
        manager.close().unwrap();
        drop(manager);
    }
}

/// Opens a manager at its turn in a list: the one before it must be gone by then.
fn open_again(path: &Path) -> Blocking {
    let copied = path.with_extension("copy.db");
    copy(path, &copied);
    open(&copied)
}

#[test]
fn limits_bound_what_a_store_keeps_of_completed_trackers_and_ids() {
    let folder = folder();
    let path = folder.path().join("a.db");
    let mut limits = Limits::default();
    limits.completed = 2;
    limits.ids_at_least = 1;
    limits.ids_at_most = 4;
    let open = || {
        let store = SqliteStore::open(&path).unwrap();
        pollster::block_on(Manager::builder().limits(limits).store(store).open()).unwrap().blocking()
    };
    let manager = open();
    for number in 0..5 {
        manager.add_tracker("a", counter(&format!("t{number}"), &[1])).unwrap();
        manager.track("a", &document()).unwrap();
    }
    for number in 0..10 {
        manager.track_one(Submission::new("a", &document()).id(&format!("id {number}"))).unwrap();
    }
    let check = |manager: &Blocking| {
        let names: Vec<_> = manager.completed("a").unwrap().iter().map(|c| c.tracker.name().to_owned()).collect();
        assert_eq!(names, ["t3", "t4"]);
        for number in 6..10 {
            let id = format!("id {number}");
            assert!(manager.track_one(Submission::new("a", &document()).id(&id)).unwrap().duplicate(), "{id}");
        }
    };
    check(&manager);
    assert!(!manager.track_one(Submission::new("a", &document()).id("id 0")).unwrap().duplicate());
    // That id is the newest now, and the oldest one made room for it.
    assert!(manager.track_one(Submission::new("a", &document()).id("id 9")).unwrap().duplicate());
    manager.close().unwrap();
    drop(manager);
    let manager = open();
    let names: Vec<_> = manager.completed("a").unwrap().iter().map(|c| c.tracker.name().to_owned()).collect();
    assert_eq!(names, ["t3", "t4"]);
    for id in ["id 0", "id 7", "id 8", "id 9"] {
        assert!(manager.track_one(Submission::new("a", &document()).id(id)).unwrap().duplicate(), "{id}");
    }
}

#[test]
fn groups_beyond_the_memory_budget_are_read_again_and_count_right() {
    const GROUPS: usize = 5_000;
    let folder = folder();
    let path = folder.path().join("a.db");
    let builder = || Manager::builder().memory_budget(64 * 1024).commit_by_hand();
    let manager = open_with(&path, builder());
    let list = manager.tracker_list([counter("n", &[2, 1000])]).unwrap();
    for round in 1..=4 {
        for group in 0..GROUPS {
            let (group_id, document) = (format!("group {group}"), document());
            let submission = Submission::new(&group_id, &document).ensure(&list, Differing::Refuse);
            let outcome = manager.track_one(submission).unwrap();
            let seen = outcome.dirtied().next().unwrap().progress().to_string();
            assert_eq!(seen, round.to_string(), "group {group}");
        }
        // Nothing of this round is in the store yet: whatever the budget, no change may be dropped.
        for group in (0..GROUPS).step_by(7) {
            assert_eq!(progress(&manager, &format!("group {group}")), round.to_string(), "group {group}");
        }
        manager.commit(Vec::new()).unwrap().wait_blocking().unwrap();
    }
    manager.close().unwrap();
    drop(manager);
    let manager = open_with(&path, builder());
    let mut groups = 0;
    let mut visit = |id: &str, group: &dictrack::group::Group| {
        groups += 1;
        let tracker = &group.trackers(&Engine::default(), None, manager.manager().now())[0];
        assert_eq!((tracker.progress.to_string(), tracker.stage), ("4".to_owned(), 2), "{id}");
    };
    pollster::block_on(manager.manager().for_each_group(&mut visit)).unwrap();
    assert_eq!(groups, GROUPS);
}

#[test]
fn a_small_memory_budget_and_two_threads_lose_no_document() {
    const GROUPS: u64 = 500;
    let folder = folder();
    let path = folder.path().join("a.db");
    let builder =
        || Manager::builder().memory_budget(16 * 1024).durability(Durability::Interval(Duration::from_millis(1)));
    let manager = open_with(&path, builder());
    let list = manager.tracker_list([counter("n", &[1_000_000])]).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (manager, list) = (&manager, &list);
            scope.spawn(move || {
                for number in 0..20_000_u64 {
                    let group = (number * 7 + thread * 3) % GROUPS;
                    let (group, document) = (group.to_string(), document());
                    manager.track_one(Submission::new(&group, &document).ensure(list, Differing::Refuse)).unwrap();
                }
            });
        }
    });
    for group in 0..GROUPS {
        assert_eq!(progress(&manager, &group.to_string()), "80", "group {group}");
    }
    manager.close().unwrap();
    drop(manager);
    let manager = open_with(&path, builder());
    for group in 0..GROUPS {
        assert_eq!(progress(&manager, &group.to_string()), "80", "group {group} after a restart");
    }
}

#[test]
fn two_threads_on_eight_groups_with_fsync_count_every_document() {
    let folder = folder();
    let (path, killed) = (folder.path().join("a.db"), folder.path().join("killed.db"));
    let manager = open_with(&path, Manager::builder().durability(Durability::Fsync));
    for group in 0..8 {
        manager.add_tracker(&group.to_string(), counter("n", &[10, 1000])).unwrap();
    }
    let stages = Arc::new(AtomicU64::new(0));
    let told = Arc::clone(&stages);
    manager.add_listener(EventCode::StageCompleted, move |_| {
        told.fetch_add(1, Ordering::Relaxed);
    });
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let manager = &manager;
            scope.spawn(move || {
                for number in 0..400 {
                    let (group, id) = ((number % 8).to_string(), format!("{thread} {number}"));
                    manager.track_one(Submission::new(&group, &document()).id(&id)).unwrap();
                }
            });
        }
    });
    assert_eq!(stages.load(Ordering::Relaxed), 8);
    copy(&path, &killed);
    for manager in [manager, open(&killed)] {
        for group in 0..8 {
            assert_eq!(progress(&manager, &group.to_string()), "100");
        }
    }
}

#[test]
fn track_many_gives_one_result_a_document_in_order() {
    let folder = folder();
    let manager = open_with(&folder.path().join("a.db"), Manager::builder().durability(Durability::Fsync));
    for group in ["a", "b"] {
        manager.add_tracker(group, counter("n", &[2, 1000])).unwrap();
    }
    let other = manager.tracker_list([counter("n", &[7])]).unwrap();
    let document = document();
    let plain = |group| Submission::new(group, &document);
    let items = [
        plain("a").id("x"),
        plain("b"),
        plain("a").id("x"),
        plain("a"),
        plain("b").ensure(&other, Differing::Refuse),
        plain("b"),
        plain("nobody"),
    ];
    let results = manager.track_many(&items);
    let words: Vec<String> = results
        .iter()
        .map(|result| match result {
            Ok(outcome) if outcome.duplicate() => "repeat".to_owned(),
            Ok(outcome) => {
                let seen: Vec<_> = outcome.dirtied().map(|tracker| tracker.progress().to_string()).collect();
                format!("{} with {} events", seen.join(" "), outcome.events().len())
            }
            Err(Error::Group { group, .. }) => format!("refused by {group}"),
            Err(error) => panic!("{error}"),
        })
        .collect();
    let expected = [
        "1 with 0 events",
        "1 with 0 events",
        "repeat",
        "2 with 1 events",
        "refused by b",
        "2 with 1 events",
        " with 0 events",
    ];
    assert_eq!(words, expected);
}

#[test]
fn flush_needs_to_be_confirmed_and_then_empties_cache_and_file() {
    let folder = folder();
    let path = folder.path().join("a.db");
    let manager = open(&path);
    let first = manager.add_trackers("a", [counter("n", &[1000])]).unwrap().events[0].id();
    manager.track_one(Submission::new("a", &document()).id("x")).unwrap();
    assert!(matches!(manager.flush(false), Err(Error::Unconfirmed)));
    assert_eq!(progress(&manager, "a"), "1");
    manager.flush(true).unwrap();
    assert_eq!(manager.trackers("a").unwrap(), []);
    manager.add_tracker("b", counter("n", &[1000])).unwrap();
    manager.track("b", &document()).unwrap();
    manager.close().unwrap();
    drop(manager);
    let manager = open(&path);
    assert_eq!((progress(&manager, "a"), progress(&manager, "b")), (String::new(), "1".to_owned()));
    assert!(!manager.track_one(Submission::new("a", &document()).id("x")).unwrap().duplicate());
    // The group is created again, and its events differ from the earlier ones.
    let again = manager.add_trackers("a", [counter("n", &[1000])]).unwrap().events[0].id();
    assert_ne!(again, first);
}

#[test]
fn commits_of_several_threads_keep_every_mark_and_change() {
    for by_hand in [true, false] {
        let folder = folder();
        let path = folder.path().join("a.db");
        let builder = if by_hand { Manager::builder().commit_by_hand() } else { Manager::builder() };
        let manager = open_with(&path, builder);
        let (threads, rounds) = (3, 30);
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let manager = &manager;
                scope.spawn(move || {
                    let groups: Vec<String> = (0..100).map(|group| format!("{thread} {group}")).collect();
                    groups.iter().for_each(|group| {
                        manager.add_tracker(group, counter("n", &[1_000_000])).unwrap();
                    });
                    for round in 0..rounds {
                        // By hand, one call commits what all others did before; else each track waits for its own
                        // commit.
                        for group in groups.iter().take(if by_hand { 100 } else { 2 }) {
                            manager.track(group, &document()).unwrap();
                        }
                        let mark = Mark { name: format!("{thread} {round}"), text: Some(String::new()) };
                        manager.commit(vec![mark]).unwrap().wait_blocking().unwrap();
                    }
                });
            }
        });
        manager.close().unwrap();
        drop(manager);
        let store = SqliteStore::open_read_only(&path).unwrap();
        assert_eq!(pollster::block_on(store.marks()).unwrap().len(), threads * rounds, "by hand: {by_hand}");
        let manager = open(&path);
        for thread in 0..threads {
            assert_eq!(progress(&manager, &format!("{thread} 0")), rounds.to_string(), "by hand: {by_hand}");
        }
    }
}
