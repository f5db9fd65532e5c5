//! The tail of the journal: what was committed and is not in the tables yet.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use dictrack_core::group::{StoredCompletion, StoredEvent, read_ids, write_ids};
use dictrack_core::json::{Json, Text};
use rusqlite::{Connection, params};

use super::checksum::{self, Column};
use super::tables::{Tables, Totals, unreadable};
use crate::Error;
use crate::store::record::{Record, parse_stored};

/// About how many bytes of lines a journal row has. A commit of more is written as several rows, so that they can be
/// folded in pieces.
const ROW_BYTES: usize = 512 << 10;

/// The newest record of each group that the journal names.
///
/// A journal row has one line per change: group, version, delivered, state, ids, events and completed, separated by
/// tabs. A tab cannot occur within JSON text.
#[derive(Debug, Default)]
pub(super) struct Tail {
    records: HashMap<Text, Record>,
    bytes: usize,
    rows: usize,
    /// The rows that stay in the journal until damage is repaired.
    stuck_rows: usize,
    stuck_bytes: usize,
    stuck: HashSet<Text>,
    /// The number of the last journal row, whether folded or not.
    last: i64,
    /// The sum of the checksums of all marks.
    marks: i64,
}

impl Tail {
    /// An empty tail that continues what the tables hold.
    pub(super) fn new(totals: &Totals) -> Self {
        Self { last: totals.journal, marks: totals.marks, ..Self::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Whether there is something to fold.
    pub(super) fn has_news(&self) -> bool {
        self.rows > self.stuck_rows
    }

    /// Notes that the present records could not be folded.
    pub(super) fn stay(&mut self) {
        (self.stuck_rows, self.stuck_bytes) = (self.rows, self.bytes);
        self.stuck = self.records.keys().cloned().collect();
    }

    /// Whether a group's rows were found damaged earlier.
    pub(super) fn is_stuck(&self, group: &str) -> bool {
        self.stuck.contains(group)
    }

    /// The bytes of the journal that are still to be folded.
    pub(super) fn bytes(&self) -> usize {
        self.bytes - self.stuck_bytes
    }

    pub(super) fn last(&self) -> i64 {
        self.last
    }

    pub(super) fn marks(&self) -> i64 {
        self.marks
    }

    pub(super) fn records(&self) -> impl Iterator<Item = (&Text, &Record)> {
        self.records.iter()
    }

    pub(super) fn get(&self, group: &str) -> Option<&Record> {
        self.records.get(group)
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = &Text> {
        self.records.keys()
    }

    /// The groups with new events, delivered or not.
    pub(super) fn with_events(&self) -> impl Iterator<Item = &Text> {
        self.records.iter().filter(|(_, record)| !record.events.is_empty()).map(|(group, _)| group)
    }

    /// Adopts what a commit added to the journal.
    pub(super) fn absorb(&mut self, records: Vec<(Text, Record)>, written: Written) {
        self.rows += written.rows;
        self.bytes += written.bytes;
        (self.last, self.marks) = (written.last, written.marks);
        for (group, record) in records {
            match self.records.entry(group) {
                Entry::Occupied(mut entry) => entry.get_mut().append(record),
                Entry::Vacant(entry) => {
                    entry.insert(record);
                }
            }
        }
    }

    /// Reads the journal, whose rows must continue what the tables hold.
    pub(super) fn read(tables: Tables<'_>) -> Result<Self, Error> {
        check(tables)?;
        Self::read_oldest(tables, usize::MAX)
    }

    /// Reads as few of the oldest rows as have at least `bytes`, or all that there are.
    pub(super) fn read_oldest(tables: Tables<'_>, bytes: usize) -> Result<Self, Error> {
        let mut tail = Self::new(&tables.totals()?);
        let fail = |error| unreadable(tables.store, "the journal", "read the journal")(error);
        let mut query = tables.connection.prepare(&format!("{SELECT} ORDER BY number")).map_err(fail)?;
        let mut rows = query.query([]).map_err(fail)?;
        while tail.bytes < bytes {
            let Some(row) = rows.next().map_err(fail)? else { break };
            let (number, marks, payload) = read_row(tables, row)?;
            if number != tail.last + 1 {
                return Err(tables.damaged(format!("journal row {}", tail.last + 1), "it is missing"));
            }
            tail.rows += 1;
            tail.bytes += payload.len();
            (tail.last, tail.marks) = (number, marks);
            for line in payload.lines() {
                let (group, record) = decode(line)
                    .ok_or_else(|| tables.damaged(format!("journal row {number}"), "a line is not a change"))?;
                tail.records.entry(group).or_default().append(record);
            }
        }
        Ok(tail)
    }

    /// Writes a row of the journal, and adopts its records.
    pub(super) fn append(
        &mut self,
        connection: &Connection,
        records: Vec<(Text, Record)>,
        marks: i64,
    ) -> Result<(), rusqlite::Error> {
        let written = insert(connection, self.last, marks, &encode(&records))?;
        self.absorb(records, written);
        Ok(())
    }
}

const SELECT: &str = "SELECT number, marks, checksum, payload FROM journal";

/// The number, the marks and the payload of a row, which must match its checksum.
fn read_row(tables: Tables<'_>, row: &rusqlite::Row<'_>) -> Result<(i64, i64, String), Error> {
    let (number, marks, checksum): (i64, i64, i64) = row
        .get(0)
        .and_then(|number| Ok((number, row.get(1)?, row.get(2)?)))
        .map_err(unreadable(tables.store, "the journal", "read the journal"))?;
    let damaged = |problem: &str| tables.damaged(format!("journal row {number}"), problem);
    let payload: String = row.get(3).map_err(|error| damaged(&error.to_string()))?;
    if checksum != row_checksum(number, marks, &payload) {
        return Err(damaged("it does not match its checksum"));
    }
    Ok((number, marks, payload))
}

/// The sum of the checksums of all marks, without reading more of the journal than its newest row.
pub(super) fn newest_marks(tables: Tables<'_>) -> Result<i64, Error> {
    let fail = |error| unreadable(tables.store, "the journal", "read the journal")(error);
    let mut query = tables.connection.prepare(&format!("{SELECT} ORDER BY number DESC LIMIT 1")).map_err(fail)?;
    let mut rows = query.query([]).map_err(fail)?;
    match rows.next().map_err(fail)? {
        Some(row) => Ok(read_row(tables, row)?.1),
        None => Ok(tables.totals()?.marks),
    }
}

/// Looks for damage that a row alone does not show: if a damaged page hides the last row, the only sign is space that is
/// not accounted for.
pub(super) fn check(tables: Tables<'_>) -> Result<(), Error> {
    let answer: String = tables
        .connection
        .query_row("PRAGMA quick_check('journal')", [], |row| row.get(0))
        .map_err(unreadable(tables.store, "the journal", "check the journal"))?;
    if answer == "ok" { Ok(()) } else { Err(tables.damaged("the journal", answer)) }
}

/// What a commit added to the journal.
#[derive(Debug)]
pub(super) struct Written {
    /// The number of the last row.
    pub(super) last: i64,
    /// The sum of the checksums of all marks.
    pub(super) marks: i64,
    pub(super) rows: usize,
    pub(super) bytes: usize,
}

fn row_checksum(number: i64, marks: i64, payload: &str) -> i64 {
    checksum::of("journal", &[Column::Number(number), Column::Number(marks)], payload)
}

/// Inserts the rows of a commit after row `last`.
pub(super) fn insert(
    connection: &Connection,
    last: i64,
    marks: i64,
    payloads: &[String],
) -> Result<Written, rusqlite::Error> {
    let mut written = Written { last, marks, rows: payloads.len(), bytes: 0 };
    for payload in payloads {
        written.last += 1;
        written.bytes += payload.len();
        connection
            .prepare_cached("INSERT INTO journal (number, marks, checksum, payload) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![written.last, marks, row_checksum(written.last, marks, payload), payload])?;
    }
    Ok(written)
}

/// The payloads of the journal rows of a commit: at least one, since a commit of marks alone has a row as well.
pub(super) fn encode(records: &[(Text, Record)]) -> Vec<String> {
    let bytes: usize = records.iter().map(|(group, record)| record.state.len() + group.len() + 32).sum();
    let mut full = Vec::new();
    let mut out = String::with_capacity(bytes.min(2 * ROW_BYTES));
    for (group, record) in records {
        if out.len() >= ROW_BYTES {
            full.push(std::mem::take(&mut out));
        }
        let _ =
            write!(out, "{}\t{}\t{}\t{}", Json::from(group.as_str()), record.version, record.delivered, record.state);
        out.push('\t');
        if !record.ids.is_empty() {
            write_ids(&record.ids, &mut out);
        }
        list(&mut out, &record.events, |out, event| out.push_str(&event.text));
        list(&mut out, &record.completed, |out, completed| completed.store(out));
        if record.whole {
            out.push_str(WHOLE);
        }
        out.push('\n');
    }
    full.push(out);
    full
}

/// Ends the line of a record that replaces whatever was stored before.
const WHOLE: &str = "\twhole";

/// A tab and a list; the list is left out if it is empty.
fn list<T>(out: &mut String, items: &[T], mut write: impl FnMut(&mut String, &T)) {
    out.push('\t');
    for (at, item) in items.iter().enumerate() {
        out.push(if at == 0 { '[' } else { ',' });
        write(out, item);
    }
    if !items.is_empty() {
        out.push(']');
    }
}

fn decode(line: &str) -> Option<(Text, Record)> {
    let (line, whole) = line.strip_suffix(WHOLE).map_or((line, false), |line| (line, true));
    let mut parts = line.split('\t');
    let mut next = || parts.next();
    let Json::Text(group) = parse_stored(next()?).ok()? else { return None };
    let version = next()?.parse().ok()?;
    let delivered = next()?.parse().ok()?;
    let state = next()?.to_owned();
    let mut ids = Vec::new();
    match next()? {
        "" => {}
        text => read_ids(text, &mut ids).ok()?,
    }
    let mut items = || match next()? {
        "" => Some(Vec::new()),
        text => {
            if let Json::List(items) = parse_stored(text).ok()? {
                Some(items)
            } else {
                None
            }
        }
    };
    let events = items()?.iter().map(|event| StoredEvent::of(event).ok()).collect::<Option<_>>()?;
    let completed = items()?.iter().map(|completed| StoredCompletion::of(completed).ok()).collect::<Option<_>>()?;
    Some((group, Record { version, state, delivered, ids, events, completed, whole }))
}
