//! The tables: creating, checking and reading them.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use dictrack_core::group::ContentHash;
use dictrack_core::zone::Zones;
use rusqlite::{Connection, OptionalExtension as _, Params, Transaction, TransactionBehavior, params};

use super::descriptor::Descriptor;
use super::name::beside;
use super::tables::{Tables, Totals, unreadable};
use super::{failed, migrate};
use crate::{Error, url};

/// The storage format that this version writes: `PRAGMA user_version`.
pub(super) const VERSION: i64 = 3;
/// `PRAGMA application_id`: "dctr".
const APPLICATION: i64 = 0x6463_7472;

/// The definitions, unchanged since the first format.
const SETS: &str = "
CREATE TABLE definition_sets (hash TEXT PRIMARY KEY, trackers TEXT NOT NULL) WITHOUT ROWID;
";

/// Every row has a checksum, in a column before the text that may be long.
pub(super) const TABLES: &str = "
CREATE TABLE groups (
    id TEXT PRIMARY KEY, version INTEGER NOT NULL, set_hash TEXT NOT NULL, ids INTEGER NOT NULL,
    events INTEGER NOT NULL, completed INTEGER NOT NULL, checksum INTEGER NOT NULL, state TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE event_ids (
    group_id TEXT NOT NULL, chunk INTEGER NOT NULL, newest INTEGER NOT NULL, count INTEGER NOT NULL,
    checksum INTEGER NOT NULL, ids TEXT NOT NULL, PRIMARY KEY (group_id, chunk)
) WITHOUT ROWID;
CREATE TABLE events (
    group_id TEXT NOT NULL, sequence INTEGER NOT NULL, checksum INTEGER NOT NULL, event TEXT NOT NULL,
    PRIMARY KEY (group_id, sequence)
) WITHOUT ROWID;
CREATE TABLE completed (
    group_id TEXT NOT NULL, number INTEGER NOT NULL, name TEXT NOT NULL, checksum INTEGER NOT NULL, record TEXT,
    PRIMARY KEY (group_id, number)
) WITHOUT ROWID;
CREATE TABLE marks (name TEXT PRIMARY KEY, checksum INTEGER NOT NULL, text TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE journal (
    number INTEGER PRIMARY KEY, marks INTEGER NOT NULL, checksum INTEGER NOT NULL, payload TEXT NOT NULL
);
CREATE TABLE totals (
    journal INTEGER NOT NULL, groups INTEGER NOT NULL, events INTEGER NOT NULL, marks INTEGER NOT NULL,
    checksum INTEGER NOT NULL
);
";

/// The trackers, for people: one row each. With periods, a row is about the current one, the last in which something
/// changed.
pub(super) const VIEW: &str = "
CREATE VIEW trackers AS
    SELECT groups.id AS group_id,
           definition.value ->> 'name' AS name,
           definition.value ->> 'kind' AS kind,
           state.value ->> 1 AS progress,
           CASE json_type(definition.value, '$.target')
               WHEN 'array' THEN definition.value -> 'target' ->> (state.value ->> 2)
               ELSE definition.value ->> 'target' END AS target,
           (state.value ->> 2) + 1 AS stage,
           CASE WHEN state.value -> 3 ->> 'completed' THEN 'completed'
                WHEN state.value -> 3 -> 'every' -> 'completed_at' IS NOT NULL THEN 'resting'
                WHEN state.value -> 3 ->> 'limited' THEN 'limited'
                ELSE 'active' END AS status,
           (state.value -> 3 -> 'every' -> 'open' ->> 1) / 1000000.0 AS period_start,
           (state.value -> 3 -> 'every' -> 'open' ->> 2) / 1000000.0 AS period_end,
           definition.value AS definition,
           state.value AS state
    FROM groups
    JOIN definition_sets ON definition_sets.hash = groups.set_hash
    JOIN json_each(definition_sets.trackers) AS definition
    JOIN json_each(groups.state, '$.trackers') AS state ON state.key = definition.key;
";

/// Records the version of the time zone data of the process that begins to write the file. `doctor` shows it; nothing depends
/// on it. Earlier versions of dictrack ignore this table.
pub(super) fn record_zone_data(transaction: &Transaction<'_>) -> Result<(), rusqlite::Error> {
    let version = Zones::version();
    if zone_data(transaction)?.as_deref() == Some(version) {
        return Ok(());
    }
    transaction
        .execute_batch("CREATE TABLE IF NOT EXISTS zone_data (version TEXT NOT NULL); DELETE FROM zone_data;")?;
    transaction.execute("INSERT INTO zone_data (version) VALUES (?1)", [version]).map(drop)
}

/// The version of the time zone data of the last writer, if it was recorded.
pub(super) fn zone_data(connection: &Connection) -> Result<Option<String>, rusqlite::Error> {
    let there = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'zone_data'";
    if connection.query_row(there, [], |row| row.get::<_, i64>(0))? == 0 {
        return Ok(None);
    }
    connection.query_row("SELECT version FROM zone_data", [], |row| row.get(0)).optional()
}

/// Refuses a file that is neither empty nor SQLite's, before SQLite could take a short one for a new database.
pub(super) fn check_header(name: &Path, path: &Path, file: &Descriptor) -> Result<(), Error> {
    const HEADER: &[u8; 16] = b"SQLite format 3\0";
    let mut begins = [0; HEADER.len()];
    match file.read_first(&mut begins) {
        Ok(0) => Ok(()),
        Ok(_) if begins == *HEADER || has_rollback(path) => Ok(()),
        Ok(_) => Err(Error::corrupt(url::shown_path(name), "the file", "it is not an SQLite file")),
        Err(error) => Err(Error::corrupt(url::shown_path(name), "the file", error.to_string())),
    }
}

/// Whether a kill or a power failure interrupted a change that the next writer rolls back: SQLite then leaves a file
/// beside the store. That can only happen while a store is being created: its first page may be written in part, its
/// log comes later.
fn has_rollback(path: &Path) -> bool {
    const BEGINS: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
    let mut begins = [0; BEGINS.len()];
    let read = std::fs::File::open(beside(path, "-journal"))
        .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut begins));
    read.is_ok() && begins == BEGINS
}

/// Refuses a file that only a writer can repair.
pub(super) fn check_finished(name: &Path, path: &Path) -> Result<(), Error> {
    if has_rollback(path) { Err(unfinished(name)) } else { Ok(()) }
}

fn unfinished(name: &Path) -> Error {
    Error::Unfinished { store: url::shown_path(name).into() }
}

/// Whether the file has storage format 1, which does not record the owner in the file.
pub(super) fn is_former(connection: &Connection) -> bool {
    connection.pragma_query_value(None, "user_version", |row| row.get(0)).is_ok_and(|version: i64| version == 1)
}

/// Creates the tables of a new file, or checks those of an existing one.
pub(super) fn prepare(connection: &Connection, path: &Path) -> Result<(), Error> {
    let store = url::shown_path(path);
    let fail = || unreadable(&store, "the file", "prepare the file");
    if count_tables(connection).map_err(|error| not_a_store(path, &error))? == 0 {
        make(connection, path)?;
    }
    let version = version(connection, path)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(fail())?;
    if version < VERSION {
        migrate::migrate(connection, version, &store)?;
    }
    check_tables(connection, path)?;
    // The owner itself copies the log into the file, so that it notices when somebody else writes the file.
    connection.pragma_update(None, "wal_autocheckpoint", 0).map_err(fail())?;
    connection.pragma_update(None, "cache_size", -65_536).map_err(fail())?;
    Ok(())
}

/// Creates the tables in a file that has none.
fn make(connection: &Connection, path: &Path) -> Result<(), Error> {
    // If a damaged page hides the tables of a store, new ones must not be created.
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, pages) = number("application_id")
        .and_then(|application| Ok((application, number("page_count")?)))
        .map_err(|error| not_a_store(path, &error))?;
    if application != 0 || pages > 1 {
        return Err(Error::corrupt(url::shown_path(path), "the file", "it has pages but no tables"));
    }
    let store = url::shown_path(path);
    let fail = || unreadable(&store, "the file", "prepare the file");
    connection.pragma_update(None, "journal_mode", "WAL").map_err(fail())?;
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate).map_err(fail())?;
    let make = format!(
        "{SETS} {TABLES} {VIEW} {} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION};",
        migrate::OWNER
    );
    transaction.execute_batch(&make).map_err(fail())?;
    let tables = Tables { connection: &transaction, store: &store };
    tables.set_totals(&Totals::default())?;
    transaction.commit().map_err(fail())
}

/// Refuses a file whose tables are not the ones that dictrack creates. Additions, such as an index, are allowed.
fn check_tables(connection: &Connection, path: &Path) -> Result<(), Error> {
    let made = Connection::open_in_memory().map_err(failed("prepare the file"))?;
    made.execute_batch(&format!("{SETS} {TABLES} {}", migrate::OWNER)).map_err(failed("prepare the file"))?;
    let list = |connection: &Connection| -> Result<HashMap<String, String>, rusqlite::Error> {
        let mut query = connection.prepare("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL")?;
        query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    };
    let found = list(connection).map_err(|error| not_a_store(path, &error))?;
    for (name, sql) in list(&made).map_err(failed("prepare the file"))? {
        if found.get(&name) != Some(&sql) {
            return Err(Error::corrupt(
                url::shown_path(path),
                format!("the definition of {name}"),
                "it is not the one of dictrack",
            ));
        }
    }
    Ok(())
}

/// Checks that the file can be read as it is: a reader cannot migrate an older one.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), Error> {
    let version = version(connection, path)?;
    if version < VERSION {
        return Err(Error::OlderVersion { store: url::shown_path(path).into(), found: version, known: VERSION });
    }
    check_tables(connection, path)
}

/// The version of a store's file, if it is known.
fn version(connection: &Connection, path: &Path) -> Result<i64, Error> {
    let pragma =
        |name: &str| -> Result<i64, rusqlite::Error> { connection.pragma_query_value(None, name, |row| row.get(0)) };
    let application = pragma("application_id").map_err(|error| not_a_store(path, &error))?;
    let tables = count_tables(connection).map_err(|error| not_a_store(path, &error))?;
    if application == 0 && tables == 0 {
        return Err(unfinished(path));
    }
    let version = pragma("user_version").map_err(|error| not_a_store(path, &error))?;
    if application != APPLICATION {
        return Err(Error::corrupt(url::shown_path(path), "the file", "it is an SQLite file of another program"));
    }
    if version > VERSION {
        return Err(Error::NewerVersion { store: url::shown_path(path).into(), found: version, known: VERSION });
    }
    if version < 1 {
        return Err(Error::corrupt(
            url::shown_path(path),
            "the file",
            format!("storage format {version} does not exist"),
        ));
    }
    Ok(version)
}

fn count_tables(connection: &Connection) -> Result<i64, rusqlite::Error> {
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
}

fn not_a_store(path: &Path, error: &rusqlite::Error) -> Error {
    Error::corrupt(url::shown_path(path), "the file", error.to_string())
}

/// The first column of each row.
pub(super) fn texts(
    connection: &Connection,
    query: &str,
    parameters: impl Params,
) -> Result<Vec<String>, rusqlite::Error> {
    connection.prepare_cached(query)?.query_map(parameters, |row| row.get(0))?.collect()
}

pub(super) fn sets(connection: &Connection, store: &str) -> Result<HashSet<ContentHash>, Error> {
    let hashes = texts(connection, "SELECT hash FROM definition_sets", []).map_err(unreadable(
        store,
        "table definition_sets",
        "list the definitions",
    ))?;
    Ok(hashes.iter().filter_map(|hash| ContentHash::parse(hash)).collect())
}

pub(super) fn groups(
    connection: &Connection,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<String>, rusqlite::Error> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    match after {
        Some(after) => {
            texts(connection, "SELECT id FROM groups WHERE id > ?1 ORDER BY id LIMIT ?2", params![after, limit])
        }
        None => texts(connection, "SELECT id FROM groups ORDER BY id LIMIT ?1", [limit]),
    }
}

/// Drops the definition sets that no group uses any more. While a group refers to a missing set, none is dropped: one
/// of the two is damaged.
pub(super) fn drop_unused_sets(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection
        .execute(
            "DELETE FROM definition_sets WHERE hash NOT IN (SELECT set_hash FROM groups)
             AND NOT EXISTS (SELECT 1 FROM groups WHERE set_hash NOT IN (SELECT hash FROM definition_sets))",
            [],
        )
        .map(drop)
}

pub(super) fn clear(transaction: &Transaction<'_>, store: &str) -> Result<(), Error> {
    transaction
        .execute_batch(
            "DELETE FROM groups; DELETE FROM event_ids; DELETE FROM events; DELETE FROM completed; DELETE FROM marks;
             DELETE FROM journal; DELETE FROM definition_sets;",
        )
        .map_err(unreadable(store, "the file", "empty the store"))?;
    Tables { connection: transaction, store }.set_totals(&Totals::default())
}
