//! Damage in a store or an export: every row and line has a checksum, and nothing that fails it is used for counting.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dictrack::doctor::{Examination, Level, Setup};
use dictrack::store::{DataStore as _, Mark};
use dictrack::transfer::{Moved, TransferError, export, import};
use dictrack::{
    Blocking, Durability, Error, Manager, ManagerBuilder, SqliteStore, Timestamp,
    clock::{Clock, TestClock},
    manager::Submission,
    store::MemoryStore,
};
use pollster::block_on;
use rusqlite::Connection;

mod common;

use common::{counter, document, folder, progress};

fn builder() -> ManagerBuilder {
    let clock: Arc<dyn Clock> = Arc::new(TestClock::new(Timestamp::from_secs(1_000_000)));
    Manager::builder().shared_clock(clock).keep_events().durability(Durability::Os)
}

fn open(path: &Path) -> Result<Blocking, Error> {
    Ok(block_on(builder().store(SqliteStore::open(path)?).open())?.blocking())
}

/// Counts a document with an id in each group. Some complete trackers and cause events.
fn count(manager: &Blocking, id: &str, groups: &[&str]) -> Result<Vec<String>, Error> {
    let mut outcomes = Vec::new();
    for group in groups {
        manager.add_tracker(group, counter("orders", &[2, 1_000_000]))?;
        if id == "first" {
            manager.add_tracker(group, counter("welcome", &[1]))?;
        }
        let outcome = manager.track_one(Submission::new(group, &document()).id(id))?;
        outcomes.push(format!("{group} {} {}", outcome.duplicate(), outcome.events().len()));
    }
    let mark = Mark { name: format!("mark {id}"), text: Some(id.to_owned()) };
    block_on(manager.manager().commit(vec![mark]))?.wait_blocking()?;
    Ok(outcomes)
}

const GROUPS: [&str; 4] = ["ann", "bob", "cid", "dan"];

/// A store with ids, events, completed trackers and marks; if `killed`, the last commits are in its journal and its
/// log.
fn made(folder: &Path, killed: bool) -> PathBuf {
    let (live, path) = (folder.join("live.db"), folder.join("made.db"));
    let manager = open(&live).unwrap();
    count(&manager, "first", &GROUPS).unwrap();
    count(&manager, "second", &GROUPS).unwrap();
    manager.close().unwrap();
    drop(manager);
    if killed {
        let manager = open(&live).unwrap();
        count(&manager, "third", &GROUPS[..3]).unwrap();
        copy(&live, &path);
    } else {
        copy(&live, &path);
    }
    path
}

fn ending(path: &Path, ending: &str) -> PathBuf {
    PathBuf::from(format!("{}{ending}", path.display()))
}

/// Copies a store as a kill at this moment would leave it.
fn copy(from: &Path, to: &Path) {
    for name in ["", "-wal"] {
        let _ = std::fs::remove_file(ending(to, name));
        if ending(from, name).exists() {
            std::fs::copy(ending(from, name), ending(to, name)).unwrap();
        }
    }
}

/// Everything that a program can see of a store, and what its next documents do to it.
fn used(path: &Path) -> Result<String, Error> {
    let mut seen = Vec::new();
    let manager = open(path)?;
    seen.extend(manager.undelivered()?.iter().map(|event| common::line(event)));
    for id in ["first", "second", "third", "fourth"] {
        // Including one that does not exist yet.
        seen.extend(count(&manager, id, &["ann", "bob", "cid", "dan", "eve"])?);
    }
    for group in GROUPS {
        seen.push(progress(&manager, group));
        seen.extend(manager.completed(group)?.iter().map(|completed| format!("{completed:?}")));
    }
    manager.close()?;
    drop(manager);
    seen.push(exported(&SqliteStore::open_read_only(path)?)?);
    Ok(seen.join("\n"))
}

fn exported(store: &dyn dictrack::store::DataStore) -> Result<String, Error> {
    let mut out = Vec::new();
    match block_on(export(store, &mut out, |_| ())) {
        Ok(_) => Ok(String::from_utf8(out).unwrap()),
        Err(TransferError::Store(error)) => Err(error),
        Err(error) => panic!("{error}"),
    }
}

fn imported(text: &[u8]) -> Result<(Moved, MemoryStore), TransferError> {
    let store = MemoryStore::new();
    let moved = block_on(import(&store, None, &mut &*text, |_| ()));
    if moved.is_err() {
        assert!(block_on(store.groups(None, 1)).unwrap().is_empty() && block_on(store.marks()).unwrap().is_empty());
    }
    moved.map(|moved| (moved, store))
}

fn examined(path: &Path) -> Examination {
    block_on(SqliteStore::examine_file(path, &Setup::default(), |_| ()))
}

/// The effect of an edit by hand: group `ann` cannot be used, the others can, and the doctor says where the damage is.
#[test]
fn a_row_that_was_edited_moved_doubled_or_lost_is_found_and_not_counted_on() {
    let folder = folder();
    let whole = made(folder.path(), false);
    let path = folder.path().join("edited.db");
    let edits = [
        ("UPDATE groups SET version = version + 1 WHERE id = 'ann'", "table groups does not match"),
        (
            "UPDATE groups SET state = replace(state, '[[1,2,', '[[1,3,') WHERE id = 'ann'",
            "table groups does not match",
        ),
        (
            "UPDATE groups SET (state, checksum) = (SELECT state, checksum FROM groups WHERE id = 'bob') WHERE id = 'ann'",
            "table groups does not match",
        ),
        ("UPDATE groups SET ids = 0 WHERE id = 'ann'", "table groups does not match"),
        ("UPDATE event_ids SET ids = replace(ids, 'a', 'b') WHERE group_id = 'ann'", "does not match its checksum"),
        ("UPDATE event_ids SET newest = newest + 1 WHERE group_id = 'ann' AND chunk = 1", "chunk 1 of its ids"),
        ("UPDATE event_ids SET chunk = 9 WHERE group_id = 'ann' AND chunk = 1", "chunk 9 of its ids"),
        (
            "DELETE FROM event_ids WHERE group_id = 'ann' AND chunk = 1",
            "in the table event_ids are missing or unexpected",
        ),
        ("DELETE FROM event_ids WHERE group_id = 'ann'", "in the table event_ids are missing or unexpected"),
        (
            "INSERT INTO event_ids SELECT group_id, 7, newest, count, checksum, ids FROM event_ids WHERE group_id = 'ann' LIMIT 1",
            "chunk 7 of its ids",
        ),
        (
            "UPDATE events SET event = replace(event, '1', '2') WHERE group_id = 'ann'",
            "in the table events does not match",
        ),
        ("DELETE FROM events WHERE group_id = 'ann' AND sequence = 2", "in the table events are missing or unexpected"),
        ("UPDATE completed SET name = 'x' WHERE group_id = 'ann'", "number 1 in the table completed does not match"),
        ("UPDATE completed SET record = NULL WHERE group_id = 'ann'", "number 1 in the table completed does not match"),
        ("DELETE FROM completed WHERE group_id = 'ann'", "in the table completed are missing or unexpected"),
        (
            "UPDATE event_ids SET group_id = 'dan', chunk = 5 WHERE group_id = 'ann' AND chunk = 1",
            "event_ids are missing or unexpected",
        ),
    ];
    for (edit, words) in edits {
        copy(&whole, &path);
        let connection = Connection::open(&path).unwrap();
        assert!(connection.execute(edit, []).unwrap() > 0, "{edit}");
        drop(connection);
        let text = |finding: &dictrack::doctor::Finding| finding.found.clone();
        let found: Vec<_> = examined(&path).findings.iter().filter(|found| found.code == "damaged").map(text).collect();
        assert!(
            found.iter().any(|found| found.contains("group \"ann\"") && found.contains(words)),
            "{edit}: {found:#?}"
        );

        let manager = open(&path).unwrap();
        for _ in 0..2 {
            let error = count(&manager, "third", &["ann"]).unwrap_err();
            let Error::Corrupt { store, place, problem } = &error else { panic!("{edit}: {error}") };
            assert_eq!((&**store, &**place), (&*path.display().to_string(), "group \"ann\""), "{edit}");
            assert!(problem.contains(words), "{edit}: {problem}");
        }
        assert_eq!(count(&manager, "third", &["bob"]).unwrap(), ["bob false 0"], "{edit}");
        manager.close().unwrap();
        drop(manager);
        let error = open(&path).unwrap().trackers("ann").unwrap_err();
        assert!(error.to_string().contains(words), "it is as it was found: {edit}: {error}");
        let exported = block_on(export(&SqliteStore::open_read_only(&path).unwrap(), &mut Vec::new(), |_| ()));
        assert!(exported.unwrap_err().to_string().contains("cannot be read"), "{edit}");
    }
}

#[test]
fn a_group_that_is_lost_is_not_begun_again() {
    let folder = folder();
    let whole = made(folder.path(), false);
    let path = folder.path().join("edited.db");
    let edits = [
        "DELETE FROM groups WHERE id = 'ann'",
        "DELETE FROM groups",
        "UPDATE groups SET id = 'zoe' WHERE id = 'ann'",
        "UPDATE totals SET groups = groups + 1",
        "DELETE FROM totals",
        "INSERT INTO groups SELECT 'zed', version, set_hash, ids, events, completed, checksum, state FROM groups LIMIT 1",
    ];
    for edit in edits {
        copy(&whole, &path);
        let connection = Connection::open(&path).unwrap();
        assert!(connection.execute(edit, []).unwrap() > 0, "{edit}");
        drop(connection);
        assert_eq!(examined(&path).level(), Some(Level::Problem), "{edit}");
        let tried = open(&path)
            .and_then(|manager| count(&manager, "third", &[if edit.contains("zed") { "zed" } else { "ann" }]));
        let error = tried.unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{edit}: {error}");
        let listed = SqliteStore::open_read_only(&path).and_then(|store| block_on(store.groups(None, 10)));
        assert!(matches!(listed, Err(Error::Corrupt { .. })), "{edit}: {listed:?}");
    }
}

#[test]
fn events_marks_and_definitions_that_are_lost_or_edited_are_found_where_they_are_read() {
    let folder = folder();
    let whole = made(folder.path(), false);
    let path = folder.path().join("edited.db");
    type Read = fn(&SqliteStore) -> Result<(), Error>;
    let marks: Read = |store| block_on(store.marks()).map(drop);
    let definitions: Read = |store| block_on(store.definitions()).map(drop);
    let edits = [
        ("DELETE FROM marks WHERE name = 'mark first'", marks, "table marks"),
        ("UPDATE marks SET text = 'second' WHERE name = 'mark first'", marks, "mark \"mark first\""),
        ("UPDATE marks SET name = 'mark third' WHERE name = 'mark first'", marks, "mark \"mark third\""),
        (
            "UPDATE definition_sets SET trackers = replace(trackers, '1000000', '2000000')",
            definitions,
            "definition set ",
        ),
    ];
    for (edit, read, named) in edits {
        copy(&whole, &path);
        let connection = Connection::open(&path).unwrap();
        assert!(connection.execute(edit, []).unwrap() > 0, "{edit}");
        drop(connection);
        let error = read(&SqliteStore::open_read_only(&path).unwrap()).unwrap_err();
        assert!(matches!(&error, Error::Corrupt { place, .. } if place.starts_with(named)), "{edit}: {error}");
        assert!(examined(&path).findings.iter().any(|found| found.found.contains(named)), "{edit}");
    }
    // A run that cannot know how far an input was counted does not start it again.
    copy(&whole, &path);
    Connection::open(&path).unwrap().execute("DELETE FROM marks", []).unwrap();
    assert!(open(&path).unwrap_err().to_string().contains("table marks"));
    let mark = Mark { name: "mark first".to_owned(), text: Some("again".to_owned()) };
    let saved = block_on(SqliteStore::open(&path).unwrap().save(&[], &[mark]));
    assert!(saved.unwrap_err().to_string().contains("table marks"));
}

#[test]
fn events_that_are_lost_are_missed_by_their_group_and_stop_no_other() {
    let folder = folder();
    let whole = made(folder.path(), false);
    let path = folder.path().join("edited.db");
    for (edit, named) in [
        ("DELETE FROM events WHERE group_id = 'bob'", "table events"),
        ("UPDATE events SET group_id = 'zoe' WHERE group_id = 'bob'", "group \"zoe\""),
        ("UPDATE events SET sequence = 99 WHERE group_id = 'bob' AND sequence = 1", "event 99"),
    ] {
        copy(&whole, &path);
        let connection = Connection::open(&path).unwrap();
        assert!(connection.execute(edit, []).unwrap() > 0, "{edit}");
        drop(connection);
        assert!(examined(&path).findings.iter().any(|found| found.found.contains(named)), "{edit}");
        let manager = open(&path).unwrap();
        let error = manager.undelivered().unwrap_err();
        assert!(matches!(&error, Error::Corrupt { place, .. } if &**place == "group \"bob\""), "{edit}: {error}");
        assert_eq!(count(&manager, "third", &["ann", "eve"]).unwrap(), ["ann false 0", "eve false 0"], "{edit}");
    }
}

#[test]
fn what_the_journal_has_of_a_damaged_group_stays_there_while_others_are_folded() {
    let folder = folder();
    let path = made(folder.path(), true);
    let connection = Connection::open(&path).unwrap();
    connection.execute("UPDATE groups SET version = version + 1 WHERE id = 'ann'", []).unwrap();
    let rows = |connection: &Connection| -> i64 {
        connection.query_row("SELECT count(*) FROM journal", [], |row| row.get(0)).unwrap()
    };
    assert!(rows(&connection) > 1);
    drop(connection);
    for id in ["fourth", "fifth"] {
        let manager = open(&path).unwrap();
        assert!(matches!(count(&manager, id, &["ann"]), Err(Error::Corrupt { .. })));
        assert_eq!(count(&manager, id, &["bob"]).unwrap(), ["bob false 0"]);
        manager.close().unwrap();
        drop(manager);
        let connection = Connection::open(&path).unwrap();
        let left: String = connection.query_row("SELECT payload FROM journal", [], |row| row.get(0)).unwrap();
        assert!(rows(&connection) == 1 && left.starts_with("\"ann\"\t") && left.lines().count() == 1, "{left}");
    }
    // Once the row is repaired, nothing is missing.
    Connection::open(&path).unwrap().execute("UPDATE groups SET version = version - 1 WHERE id = 'ann'", []).unwrap();
    let manager = open(&path).unwrap();
    assert_eq!((&*progress(&manager, "ann"), &*progress(&manager, "bob")), ("3", "5"));
    assert_eq!(count(&manager, "third", &["ann"]).unwrap(), ["ann true 0"]);
}

#[test]
fn a_journal_row_that_is_missing_is_found() {
    let folder = folder();
    let path = made(folder.path(), true);
    let connection = Connection::open(&path).unwrap();
    connection.execute("DELETE FROM journal WHERE number = (SELECT min(number) + 1 FROM journal)", []).unwrap();
    drop(connection);
    let error = open(&path).unwrap_err();
    assert!(error.to_string().contains("journal row ") && error.to_string().contains("is missing"), "{error}");
}

/// Random numbers that a seed reproduces.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Flips single bits in one file of a store, and counts what happens: the flip is noticed, or has no effect.
fn flipped(seed: u64, folder: &Path, file: &str, killed: bool, flips: u64) -> (u64, u64) {
    let whole = made(folder, killed);
    let path = folder.join("flipped.db");
    copy(&whole, &path);
    let expected = used(&path).unwrap();
    let bytes = std::fs::read(ending(&whole, file)).unwrap();
    let bits = bytes.len() as u64 * 8;
    let flips = std::env::var("DICTRACK_FLIPS").map_or(flips, |flips| flips.parse().unwrap());
    let mut random = Random(seed);
    let (mut noticed, mut harmless, mut unnamed) = (0, 0, Vec::new());
    for _ in 0..flips {
        let mut bit = random.below(bits);
        // Most of a small file is empty; most flips should hit data.
        while bytes[(bit / 8) as usize] == 0 && random.below(8) > 0 {
            bit = random.below(bits);
        }
        let mut other = bytes.clone();
        other[(bit / 8) as usize] ^= 1 << (bit % 8);
        copy(&whole, &path);
        std::fs::write(ending(&path, file), other).unwrap();
        match used(&path) {
            Ok(seen) => {
                assert!(seen == expected, "bit {bit} of {file:?} from seed {seed} changed what is counted, unnoticed");
                harmless += 1;
            }
            Err(error) => {
                if !error.to_string().contains("flipped.db") {
                    unnamed.push(format!("bit {bit} of {file:?} from seed {seed}: {error}"));
                }
                noticed += 1;
            }
        }
    }
    assert!(unnamed.is_empty(), "errors that do not name the file: {unnamed:#?}");
    println!("seed {seed}: {flips} bits of {bits} in {file:?}, {noticed} noticed, {harmless} without effect");
    (noticed, harmless)
}

#[test]
fn a_flipped_bit_in_the_file_is_noticed_or_changes_nothing() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let (noticed, harmless) = flipped(11, folder.path(), "", false, 300);
    assert!(noticed > 60 && harmless > 60, "{noticed} noticed, {harmless} without effect");
}

#[test]
fn a_flipped_bit_in_the_log_of_a_killed_process_is_noticed_or_changes_nothing() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let (noticed, harmless) = flipped(12, folder.path(), "-wal", true, 150);
    assert!(noticed > 100, "{noticed} noticed, {harmless} without effect");
    // The log may have newer pages that hide damage in the file until they are copied there.
    let (noticed, harmless) = flipped(14, folder.path(), "", true, 100);
    assert!(noticed > 15, "{noticed} noticed, {harmless} without effect");
}

#[test]
fn a_log_that_ends_anywhere_is_what_a_kill_leaves_and_is_opened() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let (whole, path) = (made(folder.path(), true), folder.path().join("cut.db"));
    let log = std::fs::read(ending(&whole, "-wal")).unwrap();
    let frame = log.len() - (4096 + 24);
    let cuts = (0..log.len()).step_by(1_777).chain(frame..frame + 64).chain([log.len() - 1, log.len()]);
    let (mut opened, mut counts) = (0, std::collections::BTreeSet::new());
    for cut in cuts {
        copy(&whole, &path);
        let mut left = log[..cut].to_vec();
        if cut > frame {
            // A log that is used again: its earlier content follows.
            left.resize(log.len(), 0x5a);
        }
        std::fs::write(ending(&path, "-wal"), left).unwrap();
        let manager = open(&path).unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
        counts.insert(progress(&manager, "ann"));
        opened += 1;
    }
    assert!(opened > 70 && counts.iter().eq(["2", "3"]), "{opened}, {counts:?}");
}

#[test]
fn a_frame_of_the_log_that_is_damaged_is_named_with_the_commits_after_it() {
    let folder = folder();
    let path = made(folder.path(), true);
    let log = ending(&path, "-wal");
    let whole = std::fs::read(&log).unwrap();
    for (at, words) in [(20, "its header is damaged"), (32 + 24 + 100, "frame 1 is damaged, so "), (32 + 9, "frame 1 ")]
    {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        std::fs::write(&log, &bytes).unwrap();
        for error in [open(&path).unwrap_err(), SqliteStore::open_read_only(&path).unwrap_err()] {
            let Error::Corrupt { place, problem, .. } = &error else { panic!("{error}") };
            assert!(place.contains("made.db-wal") && problem.contains(words), "{error}");
            assert!(problem.contains("would be lost"), "{error}");
        }
        assert!(examined(&path).findings.iter().any(|found| found.found.contains("made.db-wal")));
        assert!(std::fs::read(&log).unwrap() == bytes, "it is left as it is");
    }
}

#[test]
fn every_flipped_bit_of_an_export_is_named_by_its_line_and_nothing_is_imported() {
    let folder = folder();
    let store = SqliteStore::open_read_only(made(folder.path(), true)).unwrap();
    let text = exported(&store).unwrap();
    for part in ["\"ids\":[[", "\"events\":[{", "\"completed\":[{", "\"mark\":"] {
        assert!(text.contains(part), "{part}");
    }
    let (moved, again) = imported(text.as_bytes()).unwrap();
    assert!(moved.checked && exported(&again).unwrap() == text);

    let seed = 13;
    let mut random = Random(seed);
    let flips = std::env::var("DICTRACK_FLIPS").map_or(3_000, |flips| flips.parse().unwrap());
    for _ in 0..flips {
        let bit = random.below(text.len() as u64 * 8) as usize;
        let mut other = text.clone().into_bytes();
        other[bit / 8] ^= 1 << (bit % 8);
        let line = 1 + text.as_bytes()[..bit / 8].iter().filter(|byte| **byte == b'\n').count() as u64;
        match imported(&other) {
            Err(TransferError::Line { line: found, .. }) => assert_eq!(found, line, "bit {bit} from seed {seed}"),
            found => panic!("bit {bit} from seed {seed}: {found:?}"),
        }
    }
    println!("seed {seed}: {flips} bits of {}, all noticed", text.len() * 8);
}

#[test]
fn a_line_that_is_missing_doubled_swapped_or_of_another_export_is_named() {
    let folder = folder();
    let text = exported(&SqliteStore::open_read_only(made(folder.path(), true)).unwrap()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.len();
    assert!(last > 8);
    let with = |change: &dyn Fn(&mut Vec<String>)| {
        let mut lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        change(&mut lines);
        lines.iter().map(|line| format!("{line}\n")).collect::<String>()
    };
    // From an export of the same groups with different counts: it has as many lines, and each line is intact.
    let more = folder.path().join("more");
    std::fs::create_dir(&more).unwrap();
    let other = exported(&SqliteStore::open_read_only(made(&more, false)).unwrap()).unwrap();
    let foreign = other.lines().nth(3).unwrap().to_owned();
    let order = "lines are missing, duplicated or out of order";
    let edited = lines[4].replacen("\"version\":", "\"version\":1", 1);
    let bad = [
        (with(&|lines| drop(lines.remove(4))), 5, "this is line 6 of the export"),
        (with(&|lines| lines.insert(5, lines[4].clone())), 6, "this is line 5 of the export"),
        (with(&|lines| lines.swap(3, 4)), 4, order),
        (with(&|lines| lines[3] = foreign.clone()), 4, "another export"),
        (with(&|lines| lines[4] = edited.clone()), 5, "does not match its checksum"),
        (with(&|lines| lines[4].truncate(60)), 5, "the checksum is missing"),
        (with(&|lines| lines.truncate(last - 1)), last as u64, "is incomplete"),
        (with(&|lines| lines.truncate(0)), 1, "is incomplete"),
        (with(&|lines| lines.push(lines[last - 1].clone())), last as u64 + 1, order),
        (with(&|lines| lines[0] = "{\"dictrack\":1}".to_owned()), 2, "line 1 was changed"),
        (with(&|lines| lines[0] = "{\"dictrack\":3}".to_owned()), 1, "format 3"),
        (with(&|lines| lines[0] = "{\"user\":1}".to_owned()), 1, "not an export"),
    ];
    for (text, line, words) in bad {
        match imported(text.as_bytes()) {
            Err(TransferError::Line { line: found, problem }) => {
                assert!(found == line && problem.contains(words), "line {line}, {words}: line {found}, {problem}");
            }
            found => panic!("line {line}, {words}: {found:?}"),
        }
    }
    let (moved, store) = imported(text.replace('\n', "\r\n").as_bytes()).unwrap();
    assert!(moved.checked && exported(&store).unwrap() == text, "the ends of lines are of no matter");
}

#[test]
fn an_export_of_format_1_is_imported_and_said_to_be_unchecked() {
    let (moved, _) = imported(include_bytes!("stored/format-1.ndjson")).unwrap();
    assert_eq!((moved.checked, moved.groups, moved.marks), (false, 4, 3));
}
