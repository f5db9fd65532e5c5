//! Stores and exports of older formats: migrated once, with nothing lost.
//!
//! `tests/stored` has what formats 1 and 2 left on disk, written by the command of their time: two runs over documents with
//! ids, the second one killed after its commit and before it printed any of its events.

use dictrack::transfer::{export, import};
use dictrack::{Error, SqliteStore, manager::Submission, store::MemoryStore};
use pollster::block_on;
use rusqlite::Connection;

mod common;

use common::{document, folder, of_format, open, progress};

fn exported(store: &dyn dictrack::store::DataStore) -> String {
    let mut out = Vec::new();
    block_on(export(store, &mut out, |_| ())).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_store_of_an_older_format_is_migrated_once_and_keeps_everything() {
    for format in [1, 2] {
        is_migrated(format);
    }
}

fn is_migrated(format: u8) {
    let folder = folder();
    let path = folder.path().join("one.db");
    of_format(format, &path);

    let of_an_import = MemoryStore::new();
    block_on(import(&of_an_import, None, &mut include_bytes!("stored/format-1.ndjson").as_slice(), |_| ())).unwrap();
    for _ in 0..2 {
        let store = SqliteStore::open(&path).unwrap();
        assert_eq!(exported(&store), exported(&of_an_import));
        drop(store);
        let version: i64 =
            Connection::open(&path).unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(version, 3, "from format {format}");
    }

    let manager = open(&path);
    assert_eq!(progress(&manager, "ann"), "3 100.25 0");
    assert_eq!(progress(&manager, "bob"), "2 2");
    let undelivered = manager.undelivered().unwrap();
    assert_eq!(undelivered.iter().filter(|event| &*event.group == "bob").count(), 3);
    assert!(manager.track_one(Submission::new("bob", &document()).id("b2")).unwrap().duplicate());
}

#[test]
fn a_reader_leaves_a_store_of_an_older_format_to_the_next_writer() {
    for format in [1, 2] {
        let folder = folder();
        let path = folder.path().join("one.db");
        of_format(format, &path);
        let before = std::fs::read(&path).unwrap();
        match SqliteStore::open_read_only(&path).unwrap_err() {
            Error::OlderVersion { found, known, .. } => assert_eq!((found, known), (format.into(), 3)),
            error => panic!("{error}"),
        }
        assert!(std::fs::read(&path).unwrap() == before);
    }
}

/// A program of format 2 says of a store of format 3 that it is newer, and by the same rule this one of a store of format 4.
#[test]
fn a_store_of_a_newer_format_is_refused_by_name() {
    let folder = folder();
    let path = folder.path().join("one.db");
    of_format(2, &path);
    drop(SqliteStore::open(&path).unwrap());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 4).unwrap();
    match SqliteStore::open(&path).unwrap_err() {
        Error::NewerVersion { found, known, .. } => assert_eq!((found, known), (4, 3)),
        error => panic!("{error}"),
    }
}
