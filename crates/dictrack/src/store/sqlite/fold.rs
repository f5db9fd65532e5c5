//! Folding: the journal's records become rows of the tables that people read.

use dictrack_core::group::{Limits, StoredCompletion};
use dictrack_core::json::Text;
use rusqlite::{Connection, Transaction, params};

use super::tables::{self, Chunk, GroupRow, Sums, Tables, Totals, unreadable};
use super::tail::Tail;
use crate::Error;
use crate::store::record::Record;

/// What the tables hold of a group before its record is folded, checked.
struct Held {
    row: Option<GroupRow>,
    sums: Sums,
    chunks: Vec<Chunk>,
    events: Vec<(i64, i64)>,
    completed: Vec<(i64, String, bool, i64)>,
}

impl Held {
    fn read(tables: Tables<'_>, group: &str, record: &Record) -> Result<Self, Error> {
        let row = tables.group(group)?;
        let sums = row.as_ref().map_or_else(Sums::default, |row| row.sums);
        Ok(Self {
            sums,
            chunks: if record.ids.is_empty() && !record.whole { Vec::new() } else { tables.chunks(group, sums.ids)? },
            events: if record.events.is_empty() && sums.events == 0 && !record.whole {
                Vec::new()
            } else {
                tables.events(group, sums.events)?
            },
            completed: if record.completed.is_empty() && !record.whole {
                Vec::new()
            } else {
                tables.completed(group, sums.completed)?
            },
            row,
        })
    }
}

/// Brings the tables up to date with `tail` and empties the journal. A group whose rows are damaged is left unchanged,
/// and its records stay in the journal; returns these records.
pub(super) fn fold(tail: &Tail, transaction: &Transaction<'_>, store: &str, limits: &Limits) -> Result<Tail, Error> {
    let tables = Tables { connection: transaction, store };
    let mut totals = tables.totals()?;
    let mut rest: Vec<(Text, Record)> = Vec::new();
    for (group, record) in sorted(tail) {
        match Held::read(tables, group, record) {
            Ok(held) => write(tables, group, record, held, limits, &mut totals)?,
            Err(error @ Error::Corrupt { .. }) => {
                if !tail.is_stuck(group) {
                    tracing::warn!("{error}; its changes stay in the journal");
                }
                rest.push((group.clone(), record.clone()));
            }
            Err(error) => return Err(error),
        }
    }
    (totals.journal, totals.marks) = (tail.last(), tail.marks());
    tables.set_totals(&totals)?;
    let empty = || {
        transaction.prepare_cached("DELETE FROM journal")?.execute([])?;
        let mut left = Tail::new(&totals);
        if !rest.is_empty() {
            left.append(transaction, rest, totals.marks)?;
            left.stay();
        }
        Ok(left)
    };
    empty().map_err(unreadable(store, "the journal", "empty the journal"))
}

/// Brings the tables up to date with the oldest rows of the journal and removes these rows. If a group's rows are damaged,
/// nothing is written and this returns `false`: its records would have to stay in front of newer ones.
pub(super) fn fold_oldest(
    oldest: &Tail,
    transaction: &Transaction<'_>,
    store: &str,
    limits: &Limits,
) -> Result<bool, Error> {
    let tables = Tables { connection: transaction, store };
    let mut totals = tables.totals()?;
    let mut groups = Vec::new();
    for (group, record) in sorted(oldest) {
        match Held::read(tables, group, record) {
            Ok(held) => groups.push((group, record, held)),
            Err(Error::Corrupt { .. }) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    for (group, record, held) in groups {
        write(tables, group, record, held, limits, &mut totals)?;
    }
    (totals.journal, totals.marks) = (oldest.last(), oldest.marks());
    tables.set_totals(&totals)?;
    transaction
        .prepare_cached("DELETE FROM journal WHERE number <= ?1")
        .and_then(|mut delete| delete.execute([oldest.last()]))
        .map_err(unreadable(store, "the journal", "remove folded rows"))?;
    Ok(true)
}

/// The records in the order of the tables' keys.
fn sorted(tail: &Tail) -> Vec<(&Text, &Record)> {
    let mut groups: Vec<_> = tail.records().collect();
    groups.sort_unstable_by(|a, b| a.0.cmp(b.0));
    groups
}

fn write(
    tables: Tables<'_>,
    group: &str,
    record: &Record,
    held: Held,
    limits: &Limits,
    totals: &mut Totals,
) -> Result<(), Error> {
    try_write(tables.connection, group, record, held, limits, totals).map_err(unreadable(
        tables.store,
        format!("group {group:?}"),
        "bring the tables up to date",
    ))
}

fn try_write(
    connection: &Connection,
    group: &str,
    record: &Record,
    mut held: Held,
    limits: &Limits,
    totals: &mut Totals,
) -> Result<(), rusqlite::Error> {
    let mut sums = held.sums;
    let events_before = sums.events;
    if record.whole && held.row.is_some() {
        for table in ["event_ids", "events", "completed"] {
            connection.execute(&format!("DELETE FROM {table} WHERE group_id = ?1"), [group])?;
        }
        sums = Sums::default();
        (held.chunks, held.events, held.completed) = (Vec::new(), Vec::new(), Vec::new());
    }
    write_ids(connection, group, record, limits, &held.chunks, &mut sums.ids)?;
    write_events(connection, group, record, &held.events, &mut sums.events)?;
    totals.events = totals.events.wrapping_sub(events_before).wrapping_add(sums.events);
    write_completed(connection, group, record, limits, held.completed, &mut sums.completed)?;

    let row = GroupRow::new(group, record.version, set_of(&record.state), sums, &record.state);
    let before = held.row.map_or(0, |row| row.checksum);
    totals.groups = totals.groups.wrapping_sub(before).wrapping_add(row.checksum);
    row.write(connection, group, &record.state)
}

/// The hash at the start of a state: `{"set":"…`.
fn set_of(state: &str) -> &str {
    state.get(8..40).unwrap_or_default()
}

fn write_ids(
    connection: &Connection,
    group: &str,
    record: &Record,
    limits: &Limits,
    chunks: &[Chunk],
    sum: &mut i64,
) -> Result<(), rusqlite::Error> {
    if record.ids.is_empty() {
        return Ok(());
    }
    let ids = &record.ids;
    let newest = ids.last().map_or(0, |(_, seen)| seen.micros());
    let count = ids.len() as i64;
    let mut text = String::new();
    dictrack_core::group::write_ids(ids, &mut text);
    let new = Chunk::new(group, (chunks.last().map_or(0, |last| last.chunk) + 1, newest, count), &text);
    new.write(connection, group, &text)?;
    *sum = sum.wrapping_add(new.checksum);

    // A chunk is removed once the newer ones alone reach a limit: ids are kept too long rather than too short.
    let window = newest.saturating_sub(limits.id_window.micros());
    let (at_least, at_most) = (limits.ids_at_least as i64, limits.ids_at_most as i64);
    let mut newer = count;
    for old in chunks.iter().rev() {
        if newer >= at_most || (newer >= at_least && old.newest < window) {
            connection
                .prepare_cached("DELETE FROM event_ids WHERE group_id = ?1 AND chunk = ?2")?
                .execute(params![group, old.chunk])?;
            *sum = sum.wrapping_sub(old.checksum);
        }
        newer = newer.saturating_add(old.count);
    }
    Ok(())
}

fn write_events(
    connection: &Connection,
    group: &str,
    record: &Record,
    held: &[(i64, i64)],
    sum: &mut i64,
) -> Result<(), rusqlite::Error> {
    let delivered = record.delivered as i64;
    let mut events = std::collections::BTreeMap::new();
    for event in &record.events {
        let sequence = event.sequence as i64;
        if sequence > delivered {
            events.insert(sequence, event.text.as_str());
        }
    }
    for &(sequence, checksum) in held {
        if sequence <= delivered || events.contains_key(&sequence) {
            connection
                .prepare_cached("DELETE FROM events WHERE group_id = ?1 AND sequence = ?2")?
                .execute(params![group, sequence])?;
            *sum = sum.wrapping_sub(checksum);
        }
    }
    for (sequence, event) in events {
        *sum = sum.wrapping_add(tables::write_event(connection, group, sequence, event)?);
    }
    Ok(())
}

fn write_completed(
    connection: &Connection,
    group: &str,
    record: &Record,
    limits: &Limits,
    mut held: Vec<(i64, String, bool, i64)>,
    sum: &mut i64,
) -> Result<(), rusqlite::Error> {
    if record.completed.is_empty() {
        return Ok(());
    }
    let mut number = held.last().map_or(0, |(number, ..)| *number);
    for StoredCompletion { name, record, .. } in &record.completed {
        number += 1;
        let checksum = tables::write_completed(connection, group, number, name, record.as_deref())?;
        *sum = sum.wrapping_add(checksum);
        held.push((number, name.clone(), record.is_some(), checksum));
    }
    // Of all but the last ones, only the names are kept.
    for (number, name, _, before) in held.iter().rev().filter(|(.., has_record, _)| *has_record).skip(limits.completed)
    {
        let checksum = tables::write_completed(connection, group, *number, name, None)?;
        *sum = sum.wrapping_sub(*before).wrapping_add(checksum);
    }
    Ok(())
}
