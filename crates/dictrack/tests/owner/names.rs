//! Names: each name of a file leads to the same store, or to an error.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use dictrack::store::DataStore as _;
use dictrack::{Error, SqliteStore, group::Engine};

use crate::common::{counter, document, folder, open, progress};
use crate::process::{Other, count};

fn refusal(path: &Path) -> String {
    let error = SqliteStore::open(path).expect_err("it was opened");
    assert!(matches!(error, Error::Backend(_)), "{error}");
    error.to_string()
}

#[test]
fn a_second_writer_is_refused_through_any_other_name() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("sub")).unwrap();
    symlink("a.db", at("link")).unwrap();
    symlink("../link", at("sub/link of link")).unwrap();
    symlink(".", at("linked folder")).unwrap();
    let names = ["a.db", "link", "sub/link of link", "linked folder/a.db", "sub/../a.db", "linked folder/link"];
    for first in names {
        let manager = open(&at(first));
        count(&manager, first).unwrap();
        for second in names {
            let error = SqliteStore::open(at(second)).expect_err(second);
            let Error::Owned { pid, .. } = &error else { panic!("{first} and {second}: {error}") };
            assert_eq!(**pid, std::process::id().to_string());
            let said = Other::start("try", &at(second)).line("refused").expect("it was opened");
            assert!(
                said.contains(&format!("in use by process {}", std::process::id())),
                "{first} and {second}: {said}"
            );
        }
    }
    assert_eq!(progress(&open(&at("a.db")), "a"), names.len().to_string());
    assert!(!at("link-wal").exists() && !at("a.db.lock").exists());
}

#[test]
fn a_name_that_links_to_no_file_yet_makes_the_one_that_it_links_to() {
    let folder = folder();
    symlink("a.db", folder.path().join("link")).unwrap();
    let manager = open(&folder.path().join("link"));
    count(&manager, "1").unwrap();
    drop(manager);
    assert!(folder.path().join("link").is_symlink());
    assert_eq!(progress(&open(&folder.path().join("a.db")), "a"), "1");
}

#[test]
fn a_file_with_two_names_is_not_written() {
    let folder = folder();
    let (path, other) = (folder.path().join("a.db"), folder.path().join("b.db"));
    // The log of a process that was killed is beside one of the names only.
    let mut killed = Other::start("write", &path);
    killed.line("opened").unwrap();
    killed.kill();
    fs::hard_link(&path, &other).unwrap();
    let before = fs::read(&path).unwrap();
    for path in [&path, &other] {
        assert!(refusal(path).contains("2 names"), "{}", refusal(path));
    }
    assert!(fs::read(&path).unwrap() == before && !folder.path().join("b.db-wal").exists());
    fs::remove_file(&other).unwrap();
    let manager = open(&path);
    assert_eq!(progress(&manager, "a"), "1");
    // A name added while the store is being written is refused, even after the first name is removed.
    fs::hard_link(&path, &other).unwrap();
    assert!(refusal(&other).contains("2 names"));
    count(&manager, "2").unwrap();
    fs::remove_file(&path).unwrap();
    assert!(matches!(SqliteStore::open(&other), Err(Error::Owned { .. })));
    assert!(matches!(count(&manager, "3"), Err(Error::Stopped { .. })));
}

#[test]
fn names_that_are_not_of_files_are_refused_and_leave_nothing() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("sub")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let list = || -> Vec<PathBuf> {
        let mut all: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        all.sort();
        all
    };
    let before = list();
    for name in ["", ":memory:", "file:x.db", "file::memory:?cache=shared", "/dev/null", "/dev/zero", "."] {
        for error in [SqliteStore::open(name).unwrap_err(), SqliteStore::open_read_only(name).unwrap_err()] {
            assert!(error.to_string().starts_with(&format!("SQLite could not open {name:?}: ")), "{error}");
        }
        assert!(!PathBuf::from(format!("{name}.lock")).exists());
    }
    for name in ["sub", "fifo", "new.db/", "nowhere/a.db"] {
        refusal(&at(name));
        SqliteStore::open_read_only(at(name)).unwrap_err();
    }
    assert_eq!(list(), before);
}

#[test]
fn other_files_beside_a_store_stay_as_they_are() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("Cargo.lock"), "[[package]]").unwrap();
    fs::write(at("precious"), "precious").unwrap();
    symlink("precious", at("a.db.lock")).unwrap();
    for name in ["Cargo", "a.db"] {
        let manager = open(&at(name));
        count(&manager, "1").unwrap();
    }
    assert_eq!(fs::read_to_string(at("Cargo.lock")).unwrap(), "[[package]]");
    assert_eq!(fs::read_to_string(at("precious")).unwrap(), "precious");
}

#[test]
fn a_log_without_its_store_is_kept_for_it() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let mut killed = Other::start("write", &at("a.db"));
    killed.line("opened").unwrap();
    killed.kill();
    fs::rename(at("a.db"), at("moved.db")).unwrap();
    let log = fs::read(at("a.db-wal")).unwrap();
    assert!(!log.is_empty());
    let said = refusal(&at("a.db"));
    assert!(said.contains("a.db-wal") && said.contains("restore that store"), "{said}");
    assert!(fs::read(at("a.db-wal")).unwrap() == log);
    fs::rename(at("moved.db"), at("a.db")).unwrap();
    assert_eq!(progress(&open(&at("a.db")), "a"), "1");
}

#[test]
fn a_reader_follows_links_and_sees_the_log() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let manager = open(&at("a.db"));
    manager.add_tracker("a", counter("n", &[9])).unwrap();
    manager.track("a", &document()).unwrap();
    symlink("a.db", at("link")).unwrap();
    let store = SqliteStore::open_read_only(at("link")).unwrap();
    let group = pollster::block_on(store.load("a", &Engine::default())).unwrap().unwrap();
    assert_eq!(group.trackers(&Engine::default(), None, manager.manager().now())[0].progress.to_string(), "1");
    assert_eq!(store.path(), at("a.db").canonicalize().unwrap());
}
