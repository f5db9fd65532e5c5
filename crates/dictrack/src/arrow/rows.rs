//! The rows of a table, by group.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use dictrack_core::document::Value;
use dictrack_core::group::{Differing, TrackerList};
use dictrack_core::number::Number;
use dictrack_core::{Outcome, Path, Timestamp, text};

use super::column::Column;
use super::columns::Columns;
use crate::manager::{self, Submission};

/// Where each row has its group, its moment and its id.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RowPaths {
    /// The group: a string or a number.
    pub group: Path,
    /// The moment; the clock's if it is `None`.
    pub time: Option<Path>,
    /// The id, if rows have one.
    pub id: Option<Path>,
}

impl RowPaths {
    /// Rows with a group only.
    pub fn new(group: Path) -> Self {
        Self { group, time: None, id: None }
    }
}

/// Why a row cannot be tracked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("row {row}: {} is {problem}", text::quoted(path.as_str()))]
#[non_exhaustive]
pub struct BadRow {
    /// The row within its batch, counted from 0.
    pub row: usize,
    /// Where the row has no group, moment or id.
    pub path: Path,
    /// What is there instead, and what was expected.
    pub problem: String,
}

/// A group or an id: a text, or a number by its canonical spelling.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Name<'a> {
    Text(Cow<'a, str>),
    Whole(i128),
}

impl<'a> Name<'a> {
    #[inline]
    fn of(value: Option<Value<'a>>) -> Option<Self> {
        Some(match value? {
            Value::Text(text) => Self::Text(text),
            Value::Number(Number::Exact(amount)) => match amount.to_integer() {
                Some(whole) => Self::Whole(whole),
                None => Self::Text(Number::Exact(amount).to_plain().into()),
            },
            Value::Number(number @ Number::Wide(_)) => Self::Text(number.to_plain().into()),
            Value::Number(_) | Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_) => return None,
        })
    }

    fn into_text(self) -> Cow<'a, str> {
        match self {
            Self::Text(text) => text,
            Self::Whole(whole) => whole.to_string().into(),
        }
    }
}

/// Some rows of a record batch, by group: see [`Manager::track_rows`](crate::Manager::track_rows).
pub struct Rows<'a> {
    columns: &'a Columns,
    /// The number of the first row of the table that is in this batch.
    first: u64,
    groups: Vec<Cow<'a, str>>,
    /// Where the rows of each group start in `order`; has one more entry than there are groups.
    starts: Vec<u32>,
    /// The rows, group by group.
    order: Vec<u32>,
    range: Range<usize>,
    /// The moments of the rows, in `order`.
    moments: Option<Vec<Timestamp>>,
    ids: Option<Vec<Cow<'a, str>>>,
    ensure: Option<&'a TrackerList>,
    keeps: &'a (dyn Fn(&Outcome) -> bool + Sync),
}

impl fmt::Debug for Rows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows")
            .field("first", &self.first)
            .field("range", &self.range)
            .field("groups", &self.groups.len())
            .finish_non_exhaustive()
    }
}

impl<'a> Rows<'a> {
    /// Arranges the rows in `range`, up to the first one that cannot be tracked, by group.
    ///
    /// `first` is the number of the batch's first row in the table; positions count from the table's first row. `keeps` says which
    /// outcomes are returned besides those with events.
    pub fn arrange(
        columns: &'a Columns,
        first: u64,
        range: Range<usize>,
        paths: &RowPaths,
        ensure: Option<&'a TrackerList>,
        keeps: &'a (dyn Fn(&Outcome) -> bool + Sync),
    ) -> (Self, Option<BadRow>) {
        let mut end = range.end;
        let mut bad = None;
        let mut fail = |row: usize, path: &Path, expected: &str| {
            let found = match columns.value_at(row, path) {
                None => "null".to_owned(),
                Some(value) => shown(&value),
            };
            let problem = format!("{found} (a column of {}); expected {expected}", columns.type_of(path));
            bad = Some(BadRow { row, path: path.clone(), problem });
            row
        };

        let mut numbers: HashMap<Name<'a>, u32, foldhash::fast::RandomState> = HashMap::default();
        let mut names: Vec<Name<'a>> = Vec::new();
        let mut of_rows: Vec<u32> = Vec::with_capacity(range.len());
        let column = columns.whole(&paths.group);
        for row in range.start..end {
            let whole = column.and_then(|column| column.integer(row)).map(|whole| Name::Whole(whole.into()));
            let Some(name) = whole.or_else(|| Name::of(columns.value_at(row, &paths.group))) else {
                end = fail(row, &paths.group, "the id of a group: a string or a number");
                break;
            };
            let number = match numbers.get(&name) {
                Some(&number) => number,
                None => {
                    let number = names.len() as u32;
                    names.push(name.clone());
                    numbers.insert(name, number);
                    number
                }
            };
            of_rows.push(number);
        }
        let mut moments = None;
        if let Some(path) = &paths.time {
            let column = columns.whole(path);
            let mut found = Vec::with_capacity(of_rows.len());
            for row in range.start..end {
                let Some(moment) = moment(columns, column, row, path) else {
                    end = fail(
                        row,
                        path,
                        "a time in the years -9999 to 9999: a timestamp, a date, seconds since 1970 UTC or an RFC 3339 string",
                    );
                    break;
                };
                found.push(moment);
            }
            moments = Some(found);
        }
        let mut ids = None;
        if let Some(path) = &paths.id {
            let mut found = Vec::with_capacity(of_rows.len());
            for row in range.start..end {
                let Some(id) = Name::of(columns.value_at(row, path)) else {
                    end = fail(row, path, "the id of a document: a string or a number");
                    break;
                };
                found.push(id.into_text());
            }
            ids = Some(found);
        }
        of_rows.truncate(end - range.start);

        let mut starts = vec![0_u32; names.len() + 1];
        for &number in &of_rows {
            starts[number as usize + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut next = starts.clone();
        let mut order = vec![0_u32; of_rows.len()];
        let mut ordered = moments.as_ref().map(|_| vec![Timestamp::default(); of_rows.len()]);
        for (row, number) in (0_u32..).zip(&of_rows) {
            let next = &mut next[*number as usize];
            order[*next as usize] = row;
            if let (Some(ordered), Some(moments)) = (&mut ordered, &moments) {
                ordered[*next as usize] = moments[row as usize];
            }
            *next += 1;
        }
        // Groups are numbered as they appear, so those that appear only after the last row are at the end.
        while names.len() > 1 && starts[names.len()] == starts[names.len() - 1] {
            names.pop();
        }
        let groups = names.into_iter().map(Name::into_text).collect();
        let rows = Self {
            columns,
            first,
            groups,
            starts,
            order,
            range: range.start..end,
            moments: ordered,
            ids,
            ensure,
            keeps,
        };
        (rows, bad)
    }

    /// The row after the last one, within the batch.
    pub fn end(&self) -> usize {
        self.range.end
    }

    /// The id of a group.
    pub fn name(&self, group: usize) -> &str {
        &self.groups[group]
    }
}

/// The moment in a row.
#[inline]
fn moment(columns: &Columns, column: Option<&Column>, row: usize, path: &Path) -> Option<Timestamp> {
    if let Some(micros) = column.and_then(|column| column.micros(row)) {
        return writable(micros);
    }
    Timestamp::read(&columns.value_at(row, path)?.to_json())
}

/// The moment, if it is in the years -9999 to 9999.
#[inline]
fn writable(micros: i64) -> Option<Timestamp> {
    /// The first and the last microsecond of these years.
    const YEARS: std::ops::RangeInclusive<i64> = -377_705_116_800_000_000..=253_402_300_799_999_999;
    YEARS.contains(&micros).then(|| Timestamp::from_micros(micros))
}

/// A value for an error message.
fn shown(value: &Value<'_>) -> String {
    match value {
        Value::Number(Number::NotANumber) => "a value that JSON does not have".to_owned(),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a map".to_owned(),
        other => text::plain(&other.to_json().to_string()).into_owned(),
    }
}

impl manager::Rows for Rows<'_> {
    fn groups(&self) -> usize {
        self.groups.len()
    }

    fn group(&self, group: usize) -> &str {
        &self.groups[group]
    }

    fn visit(&self, group: usize, visit: &mut dyn FnMut(usize, Submission<'_>)) {
        let name = &*self.groups[group];
        let places = self.starts[group] as usize..self.starts[group + 1] as usize;
        self.columns.warm(self.range.start, &self.order[places.clone()]);
        for place in places {
            let at = self.order[place] as usize;
            let row = self.range.start + at;
            let document = self.columns.row(row);
            let mut submission = Submission::new(name, &document);
            submission.now = self.moments.as_ref().map(|moments| moments[place]);
            submission.event_id = self.ids.as_ref().map(|ids| &*ids[at]);
            submission.ensure = self.ensure.map(|list| (list, Differing::Refuse));
            visit(self.first as usize + row, submission);
        }
    }

    fn keeps(&self, outcome: &Outcome) -> bool {
        (self.keeps)(outcome)
    }
}
