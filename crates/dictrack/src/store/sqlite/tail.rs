//! The tail of the journal: what was committed and is not in the tables yet.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Write as _;
use std::path::Path;

use compact_str::CompactString;
use dictrack_core::json::Json;
use dictrack_core::{Limits, read_ids};
use rusqlite::{Connection, Transaction, params};

use super::failed;
use crate::store::record::{Record, parse_stored};
use crate::{Error, url};

/// The newest record of each group that the journal names.
///
/// A journal row holds one line a change: group, version, delivered, state, ids, events, completed, parted by tabs. A
/// tab cannot occur within JSON text.
#[derive(Debug, Default)]
pub(super) struct Tail {
    records: HashMap<CompactString, Record>,
    bytes: usize,
}

impl Tail {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// The bytes of the journal.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn get(&self, group: &str) -> Option<&Record> {
        self.records.get(group)
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = &CompactString> {
        self.records.keys()
    }

    /// The groups with new events, delivered or not.
    pub(super) fn with_events(&self) -> impl Iterator<Item = &CompactString> {
        self.records.iter().filter(|(_, record)| !record.events.is_empty()).map(|(group, _)| group)
    }

    /// Takes over what was committed in `bytes` bytes.
    pub(super) fn absorb(&mut self, records: Vec<(CompactString, Record)>, bytes: usize) {
        self.bytes += bytes;
        for (group, record) in records {
            match self.records.entry(group) {
                Entry::Occupied(mut entry) => entry.get_mut().append(record),
                Entry::Vacant(entry) => {
                    entry.insert(record);
                }
            }
        }
    }

    /// Reads the journal.
    pub(super) fn read(connection: &Connection, path: &Path) -> Result<Self, Error> {
        let mut tail = Self::default();
        let action = "read the journal";
        let mut query = connection
            .prepare("SELECT number, checksum, payload FROM journal ORDER BY number")
            .map_err(failed(action))?;
        let mut rows = query.query([]).map_err(failed(action))?;
        while let Some(row) = rows.next().map_err(failed(action))? {
            let (number, checksum): (i64, u32) =
                row.get(0).and_then(|number| Ok((number, row.get(1)?))).map_err(failed(action))?;
            let damaged =
                |problem: &str| Error::corrupt(url::shown_path(path), format!("journal row {number}"), problem);
            let payload: String = row.get(2).map_err(|error| damaged(&error.to_string()))?;
            if crc32fast::hash(payload.as_bytes()) != checksum {
                return Err(damaged("its checksum differs"));
            }
            tail.bytes += payload.len();
            for line in payload.lines() {
                let (group, record) = decode(line).ok_or_else(|| damaged("a line is not a change"))?;
                tail.records.entry(group).or_default().append(record);
            }
        }
        Ok(tail)
    }

    /// Writes the records into the tables and empties the journal.
    pub(super) fn write(&self, transaction: &Transaction<'_>, limits: &Limits) -> Result<(), rusqlite::Error> {
        let mut groups: Vec<_> = self.records.iter().collect();
        groups.sort_unstable_by(|a, b| a.0.cmp(b.0));
        let mut set_state = transaction.prepare_cached(
            "INSERT INTO groups (id, version, set_hash, state) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (id) DO UPDATE
             SET version = excluded.version, set_hash = excluded.set_hash, state = excluded.state",
        )?;
        for (group, record) in groups {
            let set = set_of(&record.state);
            set_state.execute(params![group.as_str(), record.version as i64, set, record.state])?;
            write_ids(transaction, group, record, limits)?;
            write_events(transaction, group, record)?;
            write_completed(transaction, group, record, limits)?;
        }
        transaction.execute("DELETE FROM journal", []).map(drop)
    }
}

/// The payload of a journal row.
pub(super) fn encode(records: &[(CompactString, Record)]) -> String {
    let bytes: usize = records.iter().map(|(group, record)| record.state.len() + group.len() + 32).sum();
    let mut out = String::with_capacity(bytes);
    for (group, record) in records {
        let _ =
            write!(out, "{}\t{}\t{}\t{}", Json::from(group.as_str()), record.version, record.delivered, record.state);
        for list in [&record.ids, &record.events, &record.completed] {
            out.push('\t');
            list.iter().for_each(|text| out.push_str(text));
        }
        out.push('\n');
    }
    out
}

/// The hash that begins a state: `{"set":"…`.
fn set_of(state: &str) -> &str {
    state.get(8..40).unwrap_or_default()
}

fn decode(line: &str) -> Option<(CompactString, Record)> {
    let mut parts = line.split('\t');
    let mut next = || parts.next();
    let Json::Text(group) = parse_stored(next()?).ok()? else { return None };
    let version = next()?.parse().ok()?;
    let delivered = next()?.parse().ok()?;
    let state = next()?.to_owned();
    let mut list = || next().map(|text| if text.is_empty() { Vec::new() } else { vec![text.to_owned()] });
    let (ids, events, completed) = (list()?, list()?, list()?);
    Some((group, Record { version, state, delivered, ids, events, completed }))
}

/// Items of JSON lists that dictrack wrote a moment ago, or whose checksum was right.
fn items(texts: &[String]) -> Vec<Json> {
    texts
        .iter()
        .flat_map(|text| match parse_stored(text) {
            Ok(Json::List(items)) => items,
            _ => Vec::new(),
        })
        .collect()
}

fn write_ids(
    transaction: &Transaction<'_>,
    group: &str,
    record: &Record,
    limits: &Limits,
) -> Result<(), rusqlite::Error> {
    if record.ids.is_empty() {
        return Ok(());
    }
    let mut ids = Vec::new();
    for text in &record.ids {
        read_ids(text, &mut ids).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    }
    let newest = ids.last().map_or(0, |(_, seen)| seen.micros());
    let chunk: i64 = transaction
        .prepare_cached("SELECT coalesce(max(chunk), 0) + 1 FROM event_ids WHERE group_id = ?1")?
        .query_row([group], |row| row.get(0))?;
    let count = ids.len();
    let mut text = String::new();
    dictrack_core::write_ids(&ids, &mut text);
    drop(ids);
    transaction
        .prepare_cached("INSERT INTO event_ids (group_id, chunk, newest, count, ids) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![group, chunk, newest, count as i64, text])?;
    // A chunk goes when the newer ones alone reach a bound: ids are kept rather too long than too short.
    let window = newest.saturating_sub(limits.id_window.micros());
    transaction
        .prepare_cached(
            "DELETE FROM event_ids WHERE group_id = ?1 AND chunk IN (
                 SELECT chunk FROM (
                     SELECT chunk, newest, coalesce(sum(count) OVER (
                         ORDER BY chunk DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS newer
                     FROM event_ids WHERE group_id = ?1)
                 WHERE (newer >= ?2 AND newest < ?3) OR newer >= ?4)",
        )?
        .execute(params![group, limits.ids_at_least as i64, window, limits.ids_at_most as i64])?;
    Ok(())
}

fn write_events(transaction: &Transaction<'_>, group: &str, record: &Record) -> Result<(), rusqlite::Error> {
    let mut insert =
        transaction.prepare_cached("INSERT OR REPLACE INTO events (group_id, sequence, event) VALUES (?1, ?2, ?3)")?;
    for event in items(&record.events) {
        let sequence = event.as_map().and_then(|map| map.get("sequence")).map(ToString::to_string);
        let sequence: i64 = sequence.and_then(|number| number.parse().ok()).unwrap_or(0);
        if sequence > record.delivered as i64 {
            insert.execute(params![group, sequence, event.to_string()])?;
        }
    }
    if record.delivered > 0 {
        transaction
            .prepare_cached("DELETE FROM events WHERE group_id = ?1 AND sequence <= ?2")?
            .execute(params![group, record.delivered as i64])?;
    }
    Ok(())
}

fn write_completed(
    transaction: &Transaction<'_>,
    group: &str,
    record: &Record,
    limits: &Limits,
) -> Result<(), rusqlite::Error> {
    if record.completed.is_empty() {
        return Ok(());
    }
    let mut insert =
        transaction.prepare_cached("INSERT INTO completed (group_id, name, record) VALUES (?1, ?2, ?3)")?;
    for completed in items(&record.completed) {
        let member = |json: &Json, key: &str| json.as_map().and_then(|map| map.get(key)).cloned();
        let known_by_name = member(&completed, "name");
        let text = known_by_name.is_none().then(|| completed.to_string());
        let name = known_by_name.or_else(|| member(&member(&completed, "definition")?, "name"));
        insert.execute(params![group, name.as_ref().and_then(Json::as_str), text])?;
    }
    transaction
        .prepare_cached(
            "UPDATE completed SET record = NULL WHERE group_id = ?1 AND record IS NOT NULL AND number NOT IN (
                 SELECT number FROM completed WHERE group_id = ?1 AND record IS NOT NULL ORDER BY number DESC LIMIT ?2)",
        )?
        .execute(params![group, limits.completed as i64])?;
    Ok(())
}
