//! The rows of a table as documents: some at a time, by group.

use std::any::Any;
use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use arrow_array::{Array as _, ArrayRef, RecordBatch};
use arrow_schema::Field;
use dictrack::document::Value;
use dictrack::json::{Json, Map, Text};
use dictrack::number::Number;
use dictrack::{
    Document, Outcome, Path, Timestamp,
    group::{Differing, TrackerList},
    manager::{self, Submission},
    text,
};

use super::column::Column;

/// The paths of what each row needs besides its document.
#[derive(Debug)]
pub(super) struct Paths {
    pub(super) group: Path,
    pub(super) time: Option<Path>,
    pub(super) id: Option<Path>,
}

/// Why a row cannot be tracked.
#[derive(Debug)]
pub(super) struct Bad {
    /// The row within its batch.
    pub(super) row: usize,
    pub(super) path: Path,
    /// What is there instead, and what was expected.
    pub(super) problem: String,
}

/// The columns of a record batch. Each is read when a row needs it for the first time.
#[derive(Debug)]
pub(super) struct Columns {
    columns: Vec<(Text, Arc<Field>, ArrayRef)>,
    read: Vec<OnceLock<Column>>,
    rows: usize,
}

impl Columns {
    pub(super) fn new(batch: &RecordBatch) -> Self {
        let mut columns: Vec<(Text, Arc<Field>, ArrayRef)> = Vec::with_capacity(batch.num_columns());
        let mut places: HashMap<&str, usize> = HashMap::new();
        let schema = batch.schema_ref();
        for (field, array) in schema.fields().iter().zip(batch.columns()) {
            let column = (field.name().as_str().into(), Arc::clone(field), Arc::clone(array));
            // Of equal names, the last one counts, as in a dict.
            match places.get(field.name().as_str()) {
                Some(&at) => columns[at] = column,
                None => {
                    places.insert(field.name(), columns.len());
                    columns.push(column);
                }
            }
        }
        let read = columns.iter().map(|_| OnceLock::new()).collect();
        Self { columns, read, rows: batch.num_rows() }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    #[inline]
    fn column(&self, at: usize) -> &Column {
        self.read[at].get_or_init(|| {
            let (_, field, array) = &self.columns[at];
            Column::new(field, array)
        })
    }

    /// Reads the cells of some rows in the columns that earlier rows needed.
    fn warm(&self, first: usize, rows: &[u32]) {
        for column in self.read.iter().filter_map(OnceLock::get) {
            std::hint::black_box(column.warm(rows.iter().map(|&row| first + row as usize)));
        }
    }

    #[inline]
    fn value_at(&self, row: usize, path: &Path) -> Option<Value<'_>> {
        let (step, rest) = path.segments().split_first()?;
        let at = step.find(self.columns.len(), |at| &self.columns[at].0)?;
        self.column(at).at(row, rest)
    }

    fn to_json(&self, row: usize) -> Json {
        let entry = |at: usize| Some((self.columns[at].0.clone(), self.column(at).value(row)?.to_json()));
        Json::Map((0..self.columns.len()).filter_map(entry).collect::<Map>())
    }

    /// The column at `path`, if it is a whole column and not part of one.
    fn whole(&self, path: &Path) -> Option<&Column> {
        let [step] = path.segments() else { return None };
        Some(self.column(step.find(self.columns.len(), |at| &self.columns[at].0)?))
    }

    /// Whether the table has the column that a path begins with; else its names, for an error.
    pub(super) fn lacks(&self, path: &Path) -> Option<String> {
        let step = path.segments().first()?;
        if self.columns.iter().any(|(name, ..)| name == step.key()) {
            return None;
        }
        const MOST: usize = 20;
        let names: Vec<String> =
            self.columns.iter().take(MOST).map(|(name, ..)| text::quoted(name).to_string()).collect();
        let more = if self.columns.len() > MOST { ", …" } else { "" };
        Some(format!("{}{more}", names.join(", ")))
    }

    /// The type of the column that a path begins with, in Arrow's words.
    fn type_of(&self, path: &Path) -> String {
        let step = path.segments().first();
        let found = step.and_then(|step| self.columns.iter().find(|(name, ..)| name == step.key()));
        found.map_or_else(String::new, |(_, _, array)| array.data_type().to_string())
    }
}

/// One row. Its nulls are missing.
struct Row<'a> {
    columns: &'a Columns,
    row: usize,
}

impl Document for Row<'_> {
    #[inline]
    fn value_at(&self, path: &Path) -> Option<Value<'_>> {
        self.columns.value_at(self.row, path)
    }

    fn to_json(&self) -> Cow<'_, Json> {
        Cow::Owned(self.columns.to_json(self.row))
    }

    fn as_any(&self) -> &dyn Any {
        // A row borrows its table, so it has no type that custom code could ask for.
        &()
    }
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

/// Some rows of a batch, by group.
pub(super) struct Rows<'a> {
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

impl<'a> Rows<'a> {
    /// Arranges the rows in `range`, up to the first one that cannot be tracked, by group.
    pub(super) fn arrange(
        columns: &'a Columns,
        first: u64,
        range: Range<usize>,
        paths: &Paths,
        ensure: Option<&'a TrackerList>,
        keeps: &'a (dyn Fn(&Outcome) -> bool + Sync),
    ) -> (Self, Option<Bad>) {
        let mut end = range.end;
        let mut bad = None;
        let mut fail = |row: usize, path: &Path, expected: &str| {
            let found = match columns.value_at(row, path) {
                None => "null".to_owned(),
                Some(value) => shown(&value),
            };
            let problem = format!("{found} (a column of {}); expected {expected}", columns.type_of(path));
            bad = Some(Bad { row, path: path.clone(), problem });
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

    pub(super) fn end(&self) -> usize {
        self.range.end
    }

    pub(super) fn name(&self, group: usize) -> &str {
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
            let document = Row { columns: self.columns, row: self.range.start + at };
            let mut submission = Submission::new(name, &document);
            submission.now = self.moments.as_ref().map(|moments| moments[place]);
            submission.event_id = self.ids.as_ref().map(|ids| &*ids[at]);
            submission.ensure = self.ensure.map(|list| (list, Differing::Refuse));
            visit(self.first as usize + document.row, submission);
        }
    }

    fn keeps(&self, outcome: &Outcome) -> bool {
        (self.keeps)(outcome)
    }
}
