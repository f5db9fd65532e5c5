//! Locks: a reader of a store leaves its writer's locks alone, and a dead writer has none.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use dictrack::doctor::Setup;
use dictrack::store::DataStore as _;
use dictrack::{Error, SqliteStore};

use crate::common::{folder, of_format, open, progress};
use crate::process::{Other, count};

/// Opens and closes a store like other SQLite programs, which remove the log of a store that nobody has open.
fn look_from_elsewhere(path: &Path) {
    // Often an older SQLite than ours, which relies on the locks on the file.
    let program = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM groups').fetchall()";
    let looked = Command::new("python3").args(["-c", program]).arg(path).status().expect("python3");
    assert!(looked.success());
    let mut other = Other::start("look", path);
    assert!(other.line("groups").is_some());
    assert!(other.end().success());
}

/// A way to read a store, and its name.
type Look = (&'static str, fn(&Path));

#[test]
fn looking_at_a_store_in_its_writers_process_does_not_cost_the_writer_its_locks() {
    let folder = folder();
    let path = folder.path().join("a.db");
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let manager = open(&path);
    let looks: [Look; 5] = [
        ("read", |path| drop(SqliteStore::open_read_only(path).unwrap())),
        ("refused", |path| assert!(matches!(SqliteStore::open(path), Err(Error::Owned { .. })))),
        ("examined", |path| drop(pollster::block_on(SqliteStore::examine_file(path, &Setup::default(), |_| ())))),
        ("read twice", |path| {
            let first = SqliteStore::open_read_only(path).unwrap();
            drop(SqliteStore::open_read_only(path).unwrap());
            look_from_elsewhere(path);
            pollster::block_on(first.groups(None, 9)).unwrap();
        }),
        ("not at all", |_| ()),
    ];
    let mut counted = 0;
    for (look, at) in looks {
        for path in [&path, &link] {
            at(path);
            look_from_elsewhere(path);
            counted += 1;
            count(&manager, &counted.to_string()).unwrap_or_else(|error| panic!("{look}: {error}"));
        }
    }
    // As a kill would leave it: acknowledged changes are in the file and its log.
    for ending in ["", "-wal"] {
        fs::copy(format!("{}{ending}", path.display()), format!("{}{ending}", folder.path().join("b.db").display()))
            .unwrap();
    }
    assert_eq!(progress(&open(&folder.path().join("b.db")), "a"), counted.to_string());
}

#[test]
fn a_store_of_a_killed_writer_is_taken_over_at_once() {
    let folder = folder();
    let path = folder.path().join("a.db");
    let mut other = Other::start("write", &path);
    other.line("opened").unwrap();
    let error = SqliteStore::open(&path).unwrap_err();
    let Error::Owned { pid, .. } = &error else { panic!("{error}") };
    assert_eq!(**pid, other.id().to_string());
    other.kill();
    assert_eq!(progress(&open(&path), "a"), "1");
}

#[test]
fn a_lock_that_a_dead_writer_left_to_a_child_keeps_nobody_out() {
    let folder = folder();
    let path = folder.path().join("a.db");
    let mut other = Other::start("write", &path);
    other.line("opened").unwrap();
    other.kill();
    // Like a forked child that holds the lock and outlives its parent.
    let left = File::open(&path).unwrap();
    left.try_lock().unwrap();
    let store = SqliteStore::open(&path).unwrap();
    assert!(matches!(SqliteStore::open(&path), Err(Error::Owned { .. })));
    assert!(Other::start("try", &path).line("refused").is_some());
    // Once that child is gone too, the lock can be taken.
    left.unlock().unwrap();
    pollster::block_on(store.maintain(true)).unwrap();
    assert!(left.try_lock().is_err());
}

#[test]
fn a_lock_of_nobody_known_is_respected() {
    let folder = folder();
    let path = folder.path().join("a.db");
    drop(open(&path));
    let other = File::open(&path).unwrap();
    other.try_lock().unwrap();
    let error = SqliteStore::open(&path).unwrap_err();
    assert!(matches!(error, Error::Owned { .. }), "{error}");
    other.unlock().unwrap();
    open(&path);
}

#[test]
fn a_writer_of_format_1_keeps_its_store_until_it_ends() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    of_format(1, &at("a.db"));
    fs::write(at("a.db.lock"), "77 elsewhere\n").unwrap();
    let before = fs::read(at("a.db")).unwrap();
    let lock = File::open(at("a.db.lock")).unwrap();
    lock.try_lock().unwrap();
    let error = SqliteStore::open(at("a.db")).unwrap_err();
    let Error::Owned { pid, host, .. } = &error else { panic!("{error}") };
    assert_eq!((&**pid, &**host), ("77", "elsewhere"));
    assert!(fs::read(at("a.db")).unwrap() == before);
    lock.unlock().unwrap();
    let manager = open(&at("a.db"));
    assert!(lock.try_lock().is_ok(), "a store of the current format needs no other file");
    assert_eq!(progress(&manager, "bob"), "2 2");
    assert_eq!(fs::read_to_string(at("a.db.lock")).unwrap(), "77 elsewhere\n");
    drop(manager);
    open(&at("a.db"));
}
