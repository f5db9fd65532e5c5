//! A store that is removed, replaced or written by others while its writer runs.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use dictrack::store::{DataStore as _, Mark};
use dictrack::{Error, SqliteStore};
use rusqlite::Connection;

use crate::common::{folder, open, progress};
use crate::process::{Other, count};

fn beside(path: &Path, ending: &str) -> PathBuf {
    PathBuf::from(format!("{}{ending}", path.display()))
}

/// What happens, and a part of the error.
type Case = (&'static str, fn(&Path), &'static str);

/// Everything that may happen to the files of a store, short of changes in its tables.
const CASES: [Case; 15] = [
    ("removed", |path| fs::remove_file(path).unwrap(), "removed or renamed"),
    ("renamed", |path| fs::rename(path, path.with_extension("moved")).unwrap(), "removed or renamed"),
    (
        "renamed with its folder",
        |path| fs::rename(path.parent().unwrap(), path.parent().unwrap().with_extension("moved")).unwrap(),
        "removed or renamed",
    ),
    (
        "renamed and linked",
        |path| {
            fs::rename(path, path.with_extension("moved")).unwrap();
            symlink(path.with_extension("moved"), path).unwrap();
        },
        "replaced by another file",
    ),
    (
        "replaced by a backup",
        |path| fs::rename(path.with_extension("backup"), path).unwrap(),
        "replaced by another file",
    ),
    (
        "removed and made again",
        |path| {
            fs::remove_file(path).unwrap();
            fs::copy(path.with_extension("backup"), path).unwrap();
        },
        "replaced by another file",
    ),
    (
        "written over by a backup",
        |path| assert!(fs::copy(path.with_extension("backup"), path).is_ok()),
        "written by another program",
    ),
    ("emptied", |path| drop(fs::File::create(path).unwrap()), "written by another program"),
    (
        "cut short",
        |path| OpenOptions::new().write(true).open(path).unwrap().set_len(4096).unwrap(),
        "written by another program",
    ),
    (
        "appended to",
        |path| OpenOptions::new().append(true).open(path).unwrap().write_all(b"x").unwrap(),
        "written by another program",
    ),
    ("robbed of its log", |path| fs::remove_file(beside(path, "-wal")).unwrap(), "\"-wal\""),
    (
        "robbed of a part of its log",
        |path| OpenOptions::new().write(true).open(beside(path, "-wal")).unwrap().set_len(0).unwrap(),
        "truncated",
    ),
    (
        "given another log",
        |path| {
            fs::copy(beside(path, "-wal"), path.with_extension("copy")).unwrap();
            fs::rename(path.with_extension("copy"), beside(path, "-wal")).unwrap();
        },
        "\"-wal\"",
    ),
    ("robbed of its shared memory", |path| fs::remove_file(beside(path, "-shm")).unwrap(), "\"-shm\""),
    (
        "given other shared memory",
        |path| {
            fs::copy(beside(path, "-shm"), path.with_extension("copy")).unwrap();
            fs::rename(path.with_extension("copy"), beside(path, "-shm")).unwrap();
        },
        "\"-shm\"",
    ),
];

/// Creates a store of one document, makes a backup of it, and adds a second document.
fn back_up(path: &Path) {
    count(&open(path), "0").unwrap();
    fs::copy(path, path.with_extension("backup")).unwrap();
    count(&open(path), "later").unwrap();
}

#[test]
fn what_happens_to_the_files_is_noticed_within_a_commit_and_nothing_is_acknowledged_any_more() {
    for (case, change, words) in CASES {
        let folder = folder();
        fs::create_dir(folder.path().join("sub")).unwrap();
        let path = folder.path().join("sub/a.db");
        back_up(&path);
        let manager = open(&path);
        count(&manager, "1").unwrap();
        change(&path);
        for id in ["2", "3"] {
            let error = count(&manager, id).expect_err(case);
            assert!(matches!(error, Error::Stopped { .. }), "{case}: {error}");
            let said = error.to_string();
            assert!(
                said.contains("a.db") && said.contains(words) && said.contains("nothing more is written"),
                "{case}: {said}"
            );
        }
        assert!(matches!(manager.close(), Err(Error::Stopped { .. })), "{case}");
    }
}

#[test]
fn a_file_that_is_only_touched_loses_nothing() {
    let folder = folder();
    let path = folder.path().join("a.db");
    let manager = open(&path);
    count(&manager, "1").unwrap();
    OpenOptions::new().write(true).open(&path).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    count(&manager, "2").unwrap();
    // The same bytes again.
    fs::copy(&path, path.with_extension("copy")).unwrap();
    fs::copy(path.with_extension("copy"), &path).unwrap();
    count(&manager, "3").unwrap();
    manager.close().unwrap();
    drop(manager);
    assert_eq!(progress(&open(&path), "a"), "3");
}

#[test]
fn a_writer_that_only_ends_notices_it_too() {
    for (case, change, words) in CASES {
        let folder = folder();
        fs::create_dir(folder.path().join("sub")).unwrap();
        let path = folder.path().join("sub/a.db");
        back_up(&path);
        let manager = open(&path);
        change(&path);
        let error = manager.close().expect_err(case);
        assert!(error.to_string().contains(words), "{case}: {error}");
    }
}

#[test]
fn what_was_acknowledged_is_found_again_where_the_file_still_is() {
    for (case, change, _) in CASES {
        let found = match case {
            "renamed" | "renamed and linked" => "sub/a.moved",
            "renamed with its folder" => "sub.moved/a.db",
            "robbed of its log" | "given another log" | "robbed of its shared memory" | "given other shared memory" => {
                "sub/a.db"
            }
            _ => continue,
        };
        let folder = folder();
        fs::create_dir(folder.path().join("sub")).unwrap();
        let path = folder.path().join("sub/a.db");
        let manager = open(&path);
        count(&manager, "1").unwrap();
        change(&path);
        count(&manager, "2").expect_err(case);
        drop(manager);
        let manager = open(&folder.path().join(found));
        // The last document was not acknowledged, and may or may not be there. Sending both again gives exactly two.
        let kept = progress(&manager, "a");
        assert!(kept == "1" || kept == "2", "{case}: {kept}");
        ["1", "2"].iter().for_each(|id| count(&manager, id).unwrap());
        assert_eq!(progress(&manager, "a"), "2", "{case}");
    }
}

#[test]
fn a_backup_that_took_the_place_of_a_store_in_use_is_not_mixed_with_it() {
    for (case, change, _) in CASES {
        if !matches!(case, "replaced by a backup" | "removed and made again" | "written over by a backup") {
            continue;
        }
        let folder = folder();
        fs::create_dir(folder.path().join("sub")).unwrap();
        let path = folder.path().join("sub/a.db");
        back_up(&path);
        let manager = open(&path);
        (1..50).for_each(|id| count(&manager, &id.to_string()).unwrap());
        change(&path);
        count(&manager, "50").expect_err(case);
        drop(manager);
        let connection = Connection::open(&path).unwrap();
        let sound: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(sound, "ok", "{case}");
        drop(connection);
        assert_eq!(progress(&open(&path), "a"), "1", "{case}");
    }
}

/// What takes the place of a store in use, without its log.
const SUCCESSORS: [Case; 3] = [
    ("a backup", |path| fs::rename(path.with_extension("backup"), path).unwrap(), ""),
    (
        "its own copy",
        |path| {
            fs::copy(path, path.with_extension("copy")).unwrap();
            fs::rename(path.with_extension("copy"), path).unwrap();
        },
        "",
    ),
    (
        "a compact copy",
        |path| {
            let copy = path.with_extension("copy");
            Connection::open(path).unwrap().execute("VACUUM INTO ?1", [copy.to_str()]).unwrap();
            fs::rename(copy, path).unwrap();
        },
        "",
    ),
];

#[test]
fn a_file_that_took_the_place_of_a_store_in_use_waits_until_its_writer_has_noticed() {
    for (case, change, _) in SUCCESSORS {
        let folder = folder();
        let path = folder.path().join("a.db");
        back_up(&path);
        let manager = open(&path);
        (1..50).for_each(|id| count(&manager, &id.to_string()).unwrap());
        change(&path);
        // Both would write the same log, which belongs to neither file alone, and is then put aside.
        let refused = |result: Result<SqliteStore, Error>| {
            let said = result.expect_err(case).to_string();
            assert!(said.contains("a.db-wal is in use by a process that opened another file"), "{case}: {said}");
        };
        refused(SqliteStore::open(&path));
        refused(SqliteStore::open_read_only(&path));
        let said = Other::start("try", &path).line("refused").expect(case);
        assert!(said.contains("a.db-wal is in use"), "{case}: {said}");
        count(&manager, "50").expect_err(case);
        drop(manager);
        // From here on, the file has only what it had when it was copied, and what is counted in it stays.
        let manager = open(&path);
        let found: u32 = progress(&manager, "a").parse().unwrap();
        (100..150).for_each(|id| count(&manager, &id.to_string()).unwrap());
        manager.close().unwrap();
        drop(manager);
        assert_eq!(progress(&open(&path), "a"), (found + 50).to_string(), "{case}");
    }
}

#[test]
fn a_store_that_was_replaced_with_its_log_is_opened_at_once() {
    let folder = folder();
    let path = folder.path().join("a.db");
    back_up(&path);
    let manager = open(&path);
    count(&manager, "1").unwrap();
    fs::rename(path.with_extension("backup"), &path).unwrap();
    fs::remove_file(beside(&path, "-shm")).unwrap();
    SqliteStore::open(&path).unwrap_err();
    fs::remove_file(beside(&path, "-wal")).unwrap();
    let successor = open(&path);
    assert_eq!(progress(&successor, "a"), "1");
    count(&successor, "2").unwrap();
    let said = count(&manager, "3").unwrap_err().to_string();
    assert!(said.contains("replaced by another file") && !said.contains("is kept as"), "{said}");
    drop(manager);
    count(&successor, "4").unwrap();
    successor.close().unwrap();
    drop(successor);
    assert_eq!(progress(&open(&path), "a"), "3");
}

#[test]
fn a_writer_stops_when_the_file_says_that_another_owns_it() {
    let folder = folder();
    for (number, change) in [
        "UPDATE owner SET token = 'another', pid = 77, host = 'elsewhere'",
        "DELETE FROM owner",
        "INSERT INTO journal (marks, checksum, payload) VALUES (0, 0, '')",
        "DELETE FROM groups",
    ]
    .into_iter()
    .enumerate()
    {
        let path = folder.path().join(number.to_string());
        let store = SqliteStore::open(&path).unwrap();
        let mark = |name: &str| [Mark { name: name.to_owned(), text: Some(String::new()) }];
        let save = |name: &str| pollster::block_on(store.save(&[], &mark(name)));
        save("before").unwrap();
        Connection::open(&path).unwrap().execute_batch(change).unwrap();
        let error = save("after").expect_err(change);
        match number {
            0 => {
                let Error::TakenOver { pid, host, .. } = &error else { panic!("{error}") };
                assert_eq!((&**pid, &**host), ("77", "elsewhere"));
            }
            1 => assert!(error.to_string().contains("no longer records"), "{error}"),
            _ => assert!(error.to_string().contains("changed by another program"), "{error}"),
        }
        // Permanently, and for every way to write.
        assert_eq!(save("again").unwrap_err().to_string(), error.to_string());
        assert_eq!(pollster::block_on(store.clear()).unwrap_err().to_string(), error.to_string());
        assert_eq!(pollster::block_on(store.maintain(true)).unwrap_err().to_string(), error.to_string());
        drop(store);
        let connection = Connection::open(&path).unwrap();
        let marks: String = connection.query_row("SELECT group_concat(name) FROM marks", [], |row| row.get(0)).unwrap();
        assert_eq!(marks, "before");
    }
}

#[test]
fn programs_that_only_read_do_not_stop_a_writer() {
    let folder = folder();
    let path = folder.path().join("a.db");
    let manager = open(&path);
    for id in ["1", "2", "3"] {
        count(&manager, id).unwrap();
        assert!(Other::start("look", &path).line("groups").is_some());
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    }
    manager.close().unwrap();
    drop(manager);
    assert_eq!(progress(&open(&path), "a"), "3");
}
