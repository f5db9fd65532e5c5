//! The migration from format 1, whose rows have no checksums.

use rusqlite::Transaction;

use crate::Error;
use crate::store::sqlite::schema;
use crate::store::sqlite::tables::{self, Chunk, GroupRow, Sums, Tables, Totals, unreadable};
use crate::store::sqlite::tail::insert;

const OLD: [&str; 6] = ["groups", "event_ids", "events", "completed", "marks", "journal"];

/// Creates the tables of format 2 and copies every row into them, with its checksum.
pub(super) fn add(transaction: &Transaction<'_>, store: &str) -> Result<(), Error> {
    let fail = |error| unreadable(store, "the file", "add checksums to the tables")(error);
    let mut make = "DROP VIEW IF EXISTS trackers;".to_owned();
    OLD.iter().for_each(|table| make += &format!("ALTER TABLE {table} RENAME TO old_{table};"));
    transaction.execute_batch(&format!("{make} {}", schema::TABLES)).map_err(fail)?;

    let mut totals = Totals::default();
    let mut copied = Copied::default();
    let mut query =
        transaction.prepare("SELECT id, version, set_hash, state FROM old_groups ORDER BY id").map_err(fail)?;
    let mut rows = query.query([]).map_err(fail)?;
    while let Some(row) = rows.next().map_err(fail)? {
        let mut copy = || -> Result<(), rusqlite::Error> {
            let (id, version, set, state): (String, i64, String, String) =
                (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
            let sums = copy_lists(transaction, &id, &mut copied)?;
            let row = GroupRow::new(&id, version.unsigned_abs(), &set, sums, &state);
            totals.groups = totals.groups.wrapping_add(row.checksum);
            totals.events = totals.events.wrapping_add(sums.events);
            row.write(transaction, &id, &state)
        };
        copy().map_err(fail)?;
    }
    drop(rows);
    for (table, count) in [("event_ids", copied.chunks), ("events", copied.events), ("completed", copied.completed)] {
        let held: i64 =
            transaction.query_row(&format!("SELECT count(*) FROM old_{table}"), [], |row| row.get(0)).map_err(fail)?;
        if held != count {
            let problem = format!("{} of its rows belong to missing groups", held - count);
            return Err(Error::corrupt(store, format!("table {table}"), problem));
        }
    }
    totals.marks = copy_marks(transaction).map_err(fail)?;
    copy_journal(transaction, store, totals.marks)?;
    Tables { connection: transaction, store }.set_totals(&totals)?;
    drop(query);
    let drop_all: String = OLD.iter().map(|table| format!("DROP TABLE old_{table};")).collect();
    transaction.execute_batch(&drop_all).map_err(fail)
}

/// The rows that were copied.
#[derive(Default)]
struct Copied {
    chunks: i64,
    events: i64,
    completed: i64,
}

fn copy_lists(transaction: &Transaction<'_>, group: &str, copied: &mut Copied) -> Result<Sums, rusqlite::Error> {
    let mut sums = Sums::default();
    let mut query = transaction
        .prepare_cached("SELECT chunk, newest, count, ids FROM old_event_ids WHERE group_id = ?1 ORDER BY chunk")?;
    let mut rows = query.query([group])?;
    while let Some(row) = rows.next()? {
        let ids: String = row.get(3)?;
        let chunk = Chunk::new(group, (row.get(0)?, row.get(1)?, row.get(2)?), &ids);
        chunk.write(transaction, group, &ids)?;
        sums.ids = sums.ids.wrapping_add(chunk.checksum);
        copied.chunks += 1;
    }
    let mut query =
        transaction.prepare_cached("SELECT sequence, event FROM old_events WHERE group_id = ?1 ORDER BY sequence")?;
    let mut rows = query.query([group])?;
    while let Some(row) = rows.next()? {
        let checksum = tables::write_event(transaction, group, row.get(0)?, &row.get::<_, String>(1)?)?;
        sums.events = sums.events.wrapping_add(checksum);
        copied.events += 1;
    }
    let mut query =
        transaction.prepare_cached("SELECT name, record FROM old_completed WHERE group_id = ?1 ORDER BY number")?;
    let mut rows = query.query([group])?;
    let mut number = 0;
    while let Some(row) = rows.next()? {
        number += 1;
        let (name, record): (String, Option<String>) = (row.get(0)?, row.get(1)?);
        let checksum = tables::write_completed(transaction, group, number, &name, record.as_deref())?;
        sums.completed = sums.completed.wrapping_add(checksum);
        copied.completed += 1;
    }
    Ok(sums)
}

/// Copies the marks; returns the sum of their checksums.
fn copy_marks(transaction: &Transaction<'_>) -> Result<i64, rusqlite::Error> {
    let mut sum = 0i64;
    let mut query = transaction.prepare("SELECT name, text FROM old_marks")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (name, text): (String, String) = (row.get(0)?, row.get(1)?);
        sum = sum.wrapping_add(tables::write_mark(transaction, &name, &text)?);
    }
    Ok(sum)
}

fn copy_journal(transaction: &Transaction<'_>, store: &str, marks: i64) -> Result<(), Error> {
    let fail = |error| unreadable(store, "the journal", "read the journal")(error);
    let mut query =
        transaction.prepare("SELECT number, checksum, payload FROM old_journal ORDER BY number").map_err(fail)?;
    let mut rows = query.query([]).map_err(fail)?;
    let mut last = 0;
    while let Some(row) = rows.next().map_err(fail)? {
        let read = || Ok((row.get::<_, i64>(0)?, row.get::<_, u32>(1)?, row.get::<_, String>(2)?));
        let (number, checksum, payload) = read().map_err(fail)?;
        if crc32fast::hash(payload.as_bytes()) != checksum {
            return Err(Error::corrupt(store, format!("journal row {number}"), "it does not match its checksum"));
        }
        last = insert(transaction, last, marks, &[payload]).map_err(fail)?.last;
    }
    Ok(())
}
