//! Reads the tables. Nothing is returned unless its checksum matches.

use std::collections::{BTreeSet, HashMap};

use dictrack_core::group::{SeenId, StoredCompletion, StoredEvent, read_ids};
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, params};

use super::checksum::{self, Column};
use super::failed;
use crate::Error;
use crate::store::Mark;
use crate::store::record::Record;

/// The tables of a store, as seen by one transaction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tables<'a> {
    pub(super) connection: &'a Connection,
    /// How errors name the store.
    pub(super) store: &'a str,
}

/// The sums of the checksums of a group's rows in other tables. They show a row that is missing, repeated or another
/// group's.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    pub(super) ids: i64,
    pub(super) events: i64,
    pub(super) completed: i64,
}

/// A row of `groups`, without the state.
#[derive(Debug)]
pub(super) struct GroupRow {
    pub(super) version: i64,
    pub(super) set: String,
    pub(super) sums: Sums,
    pub(super) checksum: i64,
}

impl GroupRow {
    /// The row as a change of the group writes it.
    pub(super) fn new(group: &str, version: u64, set: &str, sums: Sums, state: &str) -> Self {
        let mut row = Self { version: version as i64, set: set.to_owned(), sums, checksum: 0 };
        row.checksum = checksum::of("groups", &row.columns(group), state);
        row
    }

    fn columns<'a>(&'a self, group: &'a str) -> [Column<'a>; 6] {
        [
            Column::Text(group),
            Column::Number(self.version),
            Column::Text(&self.set),
            Column::Number(self.sums.ids),
            Column::Number(self.sums.events),
            Column::Number(self.sums.completed),
        ]
    }

    pub(super) fn write(&self, connection: &Connection, group: &str, state: &str) -> Result<(), rusqlite::Error> {
        let Sums { ids, events, completed } = self.sums;
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO groups (id, version, set_hash, ids, events, completed, checksum, state)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![group, self.version, self.set, ids, events, completed, self.checksum, state])
            .map(drop)
    }

    /// Reads the columns from `version` to `checksum`, starting at column `at`.
    pub(super) fn read(row: &rusqlite::Row<'_>, at: usize) -> Result<Self, rusqlite::Error> {
        let sums = Sums { ids: row.get(at + 2)?, events: row.get(at + 3)?, completed: row.get(at + 4)? };
        Ok(Self { version: row.get(at)?, set: row.get(at + 1)?, sums, checksum: row.get(at + 5)? })
    }

    pub(super) fn columns_fit(&self, group: &str) -> bool {
        checksum::columns_fit(self.checksum, "groups", &self.columns(group))
    }

    /// Whether the row, with its state, is what was written.
    pub(super) fn fits(&self, group: &str, state: &str) -> bool {
        checksum::fits(self.checksum, "groups", &self.columns(group), state)
    }
}

/// A row of `event_ids`, without the ids.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    pub(super) chunk: i64,
    pub(super) newest: i64,
    pub(super) count: i64,
    pub(super) checksum: i64,
}

impl Chunk {
    pub(super) fn new(group: &str, (chunk, newest, count): (i64, i64, i64), ids: &str) -> Self {
        let mut row = Self { chunk, newest, count, checksum: 0 };
        row.checksum = checksum::of("event_ids", &row.columns(group), ids);
        row
    }

    pub(super) fn write(&self, connection: &Connection, group: &str, ids: &str) -> Result<(), rusqlite::Error> {
        connection
            .prepare_cached(
                "INSERT INTO event_ids (group_id, chunk, newest, count, checksum, ids) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![group, self.chunk, self.newest, self.count, self.checksum, ids])
            .map(drop)
    }

    fn columns<'a>(&self, group: &'a str) -> [Column<'a>; 4] {
        [Column::Text(group), Column::Number(self.chunk), Column::Number(self.newest), Column::Number(self.count)]
    }
}

/// Writes a row of `events`; returns its checksum.
pub(super) fn write_event(
    connection: &Connection,
    group: &str,
    sequence: i64,
    event: &str,
) -> Result<i64, rusqlite::Error> {
    let checksum = checksum::of("events", &event_columns(group, sequence), event);
    connection
        .prepare_cached("INSERT INTO events (group_id, sequence, checksum, event) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![group, sequence, checksum, event])?;
    Ok(checksum)
}

fn event_columns(group: &str, sequence: i64) -> [Column<'_>; 2] {
    [Column::Text(group), Column::Number(sequence)]
}

/// Writes a row of `completed`, replacing one with that number; returns its checksum.
pub(super) fn write_completed(
    connection: &Connection,
    group: &str,
    number: i64,
    name: &str,
    record: Option<&str>,
) -> Result<i64, rusqlite::Error> {
    let checksum = completed_checksum(group, number, name, record);
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO completed (group_id, number, name, checksum, record) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![group, number, name, checksum, record])?;
    Ok(checksum)
}

fn completed_checksum(group: &str, number: i64, name: &str, record: Option<&str>) -> i64 {
    checksum::of("completed", &completed_columns(group, number, name, record.is_some()), record.unwrap_or_default())
}

fn completed_columns<'a>(group: &'a str, number: i64, name: &'a str, has_record: bool) -> [Column<'a>; 4] {
    [Column::Text(group), Column::Number(number), Column::Text(name), Column::Number(has_record.into())]
}

/// Writes a row of `marks`, replacing one with that name; returns its checksum.
pub(super) fn write_mark(connection: &Connection, name: &str, text: &str) -> Result<i64, rusqlite::Error> {
    let checksum = mark_checksum(name, text);
    connection
        .prepare_cached("INSERT OR REPLACE INTO marks (name, checksum, text) VALUES (?1, ?2, ?3)")?
        .execute(params![name, checksum, text])?;
    Ok(checksum)
}

fn mark_checksum(name: &str, text: &str) -> i64 {
    checksum::of("marks", &[Column::Text(name)], text)
}

/// Sums over other tables, and how far the journal has been folded: the only row of `totals`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    /// The number of the last journal row that was folded into the tables.
    pub(super) journal: i64,
    /// The sum of the checksums of all groups.
    pub(super) groups: i64,
    /// The sum of the checksums of all events.
    pub(super) events: i64,
    /// The sum of the checksums of all marks, as of that journal row.
    pub(super) marks: i64,
}

impl Totals {
    fn checksum(&self) -> i64 {
        checksum::of("totals", &[self.journal, self.groups, self.events, self.marks].map(Column::Number), "")
    }
}

/// Damage that SQLite noticed, or a value of the wrong type, becomes [`Error::Corrupt`]; other failures stay as they
/// are.
pub(super) fn unreadable<P: Into<String>>(
    store: &str,
    place: P,
    action: &str,
) -> impl FnOnce(rusqlite::Error) -> Error + use<P> {
    let (store, place, action) = (store.to_owned(), place.into(), action.to_owned());
    move |error| {
        let damaged = match &error {
            rusqlite::Error::SqliteFailure(error, _) => {
                matches!(error.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
            }
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::Utf8Error(..) => true,
            _ => false,
        };
        if damaged { Error::corrupt(store, place, error.to_string()) } else { failed(&action)(error) }
    }
}

impl Tables<'_> {
    pub(super) fn damaged(&self, place: impl Into<String>, problem: impl Into<String>) -> Error {
        Error::corrupt(self.store, place, problem)
    }

    fn damaged_group(&self, group: &str, problem: impl Into<String>) -> Error {
        self.damaged(format!("group {group:?}"), problem)
    }

    /// Reads the rows of a query, each with `read`.
    pub(super) fn rows<T>(
        &self,
        place: &dyn Fn() -> String,
        query: &str,
        parameters: impl rusqlite::Params,
        mut read: impl FnMut(&rusqlite::Row<'_>) -> Result<Result<T, Error>, rusqlite::Error>,
    ) -> Result<Vec<T>, Error> {
        let fail = |error| unreadable(self.store, place(), "read a table")(error);
        let mut statement = self.connection.prepare_cached(query).map_err(fail)?;
        let mut rows = statement.query(parameters).map_err(fail)?;
        let mut all = Vec::new();
        while let Some(row) = rows.next().map_err(fail)? {
            all.push(read(row).map_err(fail)??);
        }
        Ok(all)
    }

    /// The row of a group, without its state, which is not checked.
    pub(super) fn group(&self, group: &str) -> Result<Option<GroupRow>, Error> {
        let found = self
            .connection
            .prepare_cached("SELECT version, set_hash, ids, events, completed, checksum FROM groups WHERE id = ?1")
            .and_then(|mut query| query.query_row([group], |row| GroupRow::read(row, 0)).optional())
            .map_err(unreadable(self.store, format!("group {group:?}"), "read a group"))?;
        match found {
            Some(row) if !row.columns_fit(group) => Err(self.misfit(group, "its row in the table groups")),
            found => Ok(found),
        }
    }

    pub(super) fn misfit(&self, group: &str, row: &str) -> Error {
        self.damaged_group(group, format!("{row} does not match its checksum"))
    }

    /// Refuses a list whose rows do not add up to the sum in the group's own row.
    fn same_sum(&self, group: &str, table: &str, sum: i64, checksums: impl Iterator<Item = i64>) -> Result<(), Error> {
        if checksums.fold(0, i64::wrapping_add) == sum {
            return Ok(());
        }
        let problem = format!("rows in the table {table} are missing or unexpected");
        Err(self.damaged_group(group, problem))
    }

    /// The chunks of ids of a group, oldest first, without the ids.
    pub(super) fn chunks(&self, group: &str, sum: i64) -> Result<Vec<Chunk>, Error> {
        let query = "SELECT chunk, newest, count, checksum FROM event_ids WHERE group_id = ?1 ORDER BY chunk";
        let chunks = self.rows(&|| format!("group {group:?}"), query, [group], |row| {
            let chunk = Chunk { chunk: row.get(0)?, newest: row.get(1)?, count: row.get(2)?, checksum: row.get(3)? };
            let fits = checksum::columns_fit(chunk.checksum, "event_ids", &chunk.columns(group));
            Ok(fits.then_some(chunk).ok_or_else(|| self.misfit(group, &chunk.name())))
        })?;
        self.same_sum(group, "event_ids", sum, chunks.iter().map(|chunk| chunk.checksum))?;
        Ok(chunks)
    }

    /// The sequences of a group's events, each with the checksum of its row.
    pub(super) fn events(&self, group: &str, sum: i64) -> Result<Vec<(i64, i64)>, Error> {
        let query = "SELECT sequence, checksum FROM events WHERE group_id = ?1 ORDER BY sequence";
        let events = self.rows(&|| format!("group {group:?}"), query, [group], |row| {
            let (sequence, checksum): (i64, i64) = (row.get(0)?, row.get(1)?);
            let fits = checksum::columns_fit(checksum, "events", &event_columns(group, sequence));
            Ok(fits.then_some((sequence, checksum)).ok_or_else(|| self.misfit(group, &event_name(sequence))))
        })?;
        self.same_sum(group, "events", sum, events.iter().map(|(_, checksum)| *checksum))?;
        Ok(events)
    }

    /// The rows of a group's completed trackers: number, name, whether it has a record, checksum.
    pub(super) fn completed(&self, group: &str, sum: i64) -> Result<Vec<(i64, String, bool, i64)>, Error> {
        let query =
            "SELECT number, name, record IS NOT NULL, checksum FROM completed WHERE group_id = ?1 ORDER BY number";
        let completed = self.rows(&|| format!("group {group:?}"), query, [group], |row| {
            let (number, name, has_record, checksum): (i64, String, bool, i64) =
                (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
            let columns = completed_columns(group, number, &name, has_record);
            if checksum::columns_fit(checksum, "completed", &columns) {
                Ok(Ok((number, name, has_record, checksum)))
            } else {
                Ok(Err(self.misfit(group, &completed_name(number))))
            }
        })?;
        self.same_sum(group, "completed", sum, completed.iter().map(|(.., checksum)| *checksum))?;
        Ok(completed)
    }

    /// Everything that the tables hold of a group.
    pub(super) fn record(&self, group: &str) -> Result<Option<Record>, Error> {
        let found = self
            .connection
            .prepare_cached(
                "SELECT version, set_hash, ids, events, completed, checksum, state FROM groups WHERE id = ?1",
            )
            .and_then(|mut query| {
                query.query_row([group], |row| Ok((GroupRow::read(row, 0)?, row.get::<_, String>(6)?))).optional()
            })
            .map_err(unreadable(self.store, format!("group {group:?}"), "read a group"))?;
        let Some((row, state)) = found else { return Ok(None) };
        if !row.fits(group, &state) {
            return Err(self.misfit(group, "its row in the table groups"));
        }
        Ok(Some(Record {
            version: row.version.unsigned_abs(),
            state,
            delivered: 0,
            ids: self.ids(group, row.sums.ids)?,
            events: self.stored_events(group, row.sums.events)?,
            completed: self.stored_completions(group, row.sums.completed)?,
            whole: false,
        }))
    }

    fn ids(&self, group: &str, sum: i64) -> Result<Vec<SeenId>, Error> {
        if sum == 0 {
            return Ok(Vec::new());
        }
        let query = "SELECT chunk, newest, count, checksum, ids FROM event_ids WHERE group_id = ?1 ORDER BY chunk";
        let mut found = 0i64;
        let mut all = Vec::new();
        self.rows(&|| format!("group {group:?}"), query, [group], |row| {
            let chunk = Chunk { chunk: row.get(0)?, newest: row.get(1)?, count: row.get(2)?, checksum: row.get(3)? };
            let ids: String = row.get(4)?;
            found = found.wrapping_add(chunk.checksum);
            if !checksum::fits(chunk.checksum, "event_ids", &chunk.columns(group), &ids) {
                return Ok(Err(self.misfit(group, &chunk.name())));
            }
            Ok(read_ids(&ids, &mut all).map_err(|error| self.damaged_group(group, error.to_string())))
        })?;
        self.same_sum(group, "event_ids", sum, std::iter::once(found))?;
        Ok(all)
    }

    fn stored_events(&self, group: &str, sum: i64) -> Result<Vec<StoredEvent>, Error> {
        if sum == 0 {
            return Ok(Vec::new());
        }
        let query = "SELECT sequence, checksum, event FROM events WHERE group_id = ?1 ORDER BY sequence";
        let mut found = 0i64;
        let events = self.rows(&|| format!("group {group:?}"), query, [group], |row| {
            let (sequence, checksum, event): (i64, i64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            found = found.wrapping_add(checksum);
            let fits = checksum::fits(checksum, "events", &event_columns(group, sequence), &event);
            let event = StoredEvent::new(sequence.unsigned_abs(), event);
            Ok(fits.then_some(event).ok_or_else(|| self.misfit(group, &event_name(sequence))))
        })?;
        self.same_sum(group, "events", sum, std::iter::once(found))?;
        Ok(events)
    }

    pub(super) fn stored_completions(&self, group: &str, sum: i64) -> Result<Vec<StoredCompletion>, Error> {
        if sum == 0 {
            return Ok(Vec::new());
        }
        let query = "SELECT number, name, checksum, record FROM completed WHERE group_id = ?1 ORDER BY number";
        let mut found = 0i64;
        let completed = self.rows(&|| format!("group {group:?}"), query, [group], |row| {
            let (number, name, checksum): (i64, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let record: Option<String> = row.get(3)?;
            found = found.wrapping_add(checksum);
            if checksum != completed_checksum(group, number, &name, record.as_deref()) {
                return Ok(Err(self.misfit(group, &completed_name(number))));
            }
            Ok(Ok(match record {
                Some(record) => StoredCompletion::with_record(&name, record),
                None => StoredCompletion::name_only(&name),
            }))
        })?;
        self.same_sum(group, "completed", sum, std::iter::once(found))?;
        Ok(completed)
    }

    /// The groups with undelivered events.
    ///
    /// If the table is damaged, it returns the groups whose own rows say so; reading such a group then reports the
    /// damage.
    pub(super) fn groups_with_events(&self) -> Result<BTreeSet<String>, Error> {
        match self.checked_events() {
            Err(error @ Error::Corrupt { .. }) => {
                tracing::warn!("{error}");
                self.verify_groups()?;
                let query = "SELECT id FROM groups WHERE events <> 0 ORDER BY id";
                let groups = self.rows(&|| "table groups".to_owned(), query, [], |row| Ok(Ok(row.get(0)?)))?;
                Ok(groups.into_iter().collect())
            }
            checked => checked,
        }
    }

    /// The groups in the table `events`, if no row is damaged or missing.
    pub(super) fn checked_events(&self) -> Result<BTreeSet<String>, Error> {
        let query = "SELECT group_id, sequence, checksum FROM events ORDER BY group_id, sequence";
        let mut sum = 0i64;
        let mut groups = BTreeSet::new();
        self.rows(&|| "table events".to_owned(), query, [], |row| {
            let (group, sequence, checksum): (String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            sum = sum.wrapping_add(checksum);
            if !checksum::columns_fit(checksum, "events", &event_columns(&group, sequence)) {
                return Ok(Err(self.misfit(&group, &event_name(sequence))));
            }
            groups.insert(group);
            Ok(Ok(()))
        })?;
        if sum == self.totals()?.events { Ok(groups) } else { Err(self.lost("table events")) }
    }

    pub(super) fn lost(&self, table: &str) -> Error {
        self.damaged(table, "rows are missing or unexpected")
    }

    /// The marks, if their checksums add up to `sum`.
    pub(super) fn marks(&self, sum: i64) -> Result<Vec<Mark>, Error> {
        let query = "SELECT name, checksum, text FROM marks ORDER BY name";
        let mut found = 0i64;
        let marks = self.rows(&|| "table marks".to_owned(), query, [], |row| {
            let (name, checksum, text): (String, i64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            found = found.wrapping_add(checksum);
            if checksum != mark_checksum(&name, &text) {
                return Ok(Err(self.damaged(format!("mark {name:?}"), "its row does not match its checksum")));
            }
            Ok(Ok(Mark { name, text: Some(text) }))
        })?;
        if found == sum { Ok(marks) } else { Err(self.lost("table marks")) }
    }

    pub(super) fn totals(&self) -> Result<Totals, Error> {
        let query = "SELECT journal, groups, events, marks, checksum FROM totals";
        let found = self.rows(&|| "table totals".to_owned(), query, [], |row| {
            let totals = Totals { journal: row.get(0)?, groups: row.get(1)?, events: row.get(2)?, marks: row.get(3)? };
            let fits = row.get::<_, i64>(4)? == totals.checksum();
            Ok(fits
                .then_some(totals)
                .ok_or_else(|| self.damaged("table totals", "its row does not match its checksum")))
        })?;
        match found[..] {
            [totals] => Ok(totals),
            _ => Err(self.damaged("table totals", format!("it has {} rows; expected one", found.len()))),
        }
    }

    pub(super) fn set_totals(&self, totals: &Totals) -> Result<(), Error> {
        let Totals { journal, groups, events, marks } = *totals;
        let set = || {
            self.connection.execute("DELETE FROM totals", [])?;
            self.connection
                .prepare_cached(
                    "INSERT INTO totals (journal, groups, events, marks, checksum) VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![journal, groups, events, marks, totals.checksum()])
        };
        set().map(drop).map_err(unreadable(self.store, "table totals", "write the totals"))
    }
}

impl Chunk {
    fn name(&self) -> String {
        format!("chunk {} of its ids in the table event_ids", self.chunk)
    }
}

fn event_name(sequence: i64) -> String {
    format!("event {sequence} in the table events")
}

fn completed_name(number: i64) -> String {
    format!("number {number} in the table completed")
}

/// The marks of a store by name, each with the checksum of its row. Read once, when they are first needed.
#[derive(Debug, Default)]
pub(super) struct KnownMarks(Option<HashMap<String, i64>>);

impl KnownMarks {
    /// The marks of the file, if their checksums add up to `sum`.
    pub(super) fn read(&mut self, tables: Tables<'_>, sum: i64) -> Result<&mut HashMap<String, i64>, Error> {
        if self.0.is_none() {
            let checksum = |mark: Mark| {
                let checksum = mark_checksum(&mark.name, mark.text.as_deref().unwrap_or_default());
                (mark.name, checksum)
            };
            self.0 = Some(tables.marks(sum)?.into_iter().map(checksum).collect());
        }
        Ok(self.0.get_or_insert_default())
    }

    /// Records what was committed: the checksum of a mark's row, or that the mark was removed.
    pub(super) fn adopt(&mut self, written: HashMap<&str, Option<i64>>) {
        let Some(known) = &mut self.0 else { return };
        for (name, checksum) in written {
            match checksum {
                Some(checksum) => known.insert(name.to_owned(), checksum),
                None => known.remove(name),
            };
        }
    }
}
