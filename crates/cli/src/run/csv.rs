//! CSV with the position of each record and how it ended. A record that does not end with a line may be incomplete.

use std::collections::HashSet;
use std::fmt::{self, Write as _};
use std::io;

use csv_core::ReadRecordResult;
use dictrack::Path;
use dictrack::json::{Json, MAX_BYTES, Map, Text as Key};
use dictrack::number::Number;
use dictrack::text::quoted;

use super::names;
use super::text::Text;

/// The byte order mark that some programs put at the beginning of UTF-8.
pub(super) const BOM: &[u8] = b"\xef\xbb\xbf";

/// How a record ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum End {
    #[default]
    Line,
    /// The input ended before the line did.
    Input,
    /// The input ended before a quote did.
    Quote,
}

/// A record: the text of its cells, and where it is.
#[derive(Debug, Default)]
pub(super) struct Record {
    text: Vec<u8>,
    /// Where each cell ends in `text`; the first `cells` count.
    ends: Vec<usize>,
    cells: usize,
    /// The line where it starts.
    pub(super) line: u64,
    /// Its number of bytes in the input. If it is too long, the cells are meaningless.
    bytes: u64,
    pub(super) end: End,
}

impl Record {
    fn is_too_long(&self) -> bool {
        self.bytes > MAX_BYTES as u64
    }

    fn cells(&self) -> impl Iterator<Item = &[u8]> {
        let ends = &self.ends[..self.cells];
        let starts = std::iter::once(0).chain(ends.iter().copied());
        starts.zip(ends).map(|(start, end)| &self.text[start..*end])
    }
}

/// Reads records one after another.
pub(super) struct Records<'t> {
    pub(super) text: &'t mut Text,
    core: csv_core::Reader,
    /// The number of lines up to the end of the last record.
    pub(super) line: u64,
}

impl<'t> Records<'t> {
    /// Starts between two records, on `line`.
    pub(super) fn new(text: &'t mut Text, line: u64, delimiter: u8) -> Self {
        Self { text, core: csv_core::ReaderBuilder::new().delimiter(delimiter).build(), line }
    }

    /// Moves to the first byte of a record; `false` at the end.
    fn begin(&mut self) -> io::Result<bool> {
        loop {
            let Some(&byte) = self.text.fill_buf()?.first() else { return Ok(false) };
            if !matches!(byte, b'\r' | b'\n') && BOM.get(self.text.offset() as usize) != Some(&byte) {
                return Ok(true);
            }
            self.line += u64::from(byte == b'\n');
            self.text.consume(1);
        }
    }

    /// Reads a record; `false` at the end.
    pub(super) fn read(&mut self, record: &mut Record) -> io::Result<bool> {
        if !self.begin()? {
            return Ok(false);
        }
        let begin = self.text.offset();
        record.line = self.line + 1;
        let (mut written, mut cells) = (0, 0);
        self.core.reset();
        loop {
            let chunk = self.text.fill_buf()?;
            let is_end = chunk.is_empty();
            // At the end a newline is added, which completes a record unless it is within quotes.
            let input = if is_end { b"\n" } else { chunk };
            let (result, read, more, ends) =
                self.core.read_record(input, &mut record.text[written..], &mut record.ends[cells..]);
            written += more;
            cells += ends;
            if !is_end {
                self.line += memchr::memchr_iter(b'\n', &input[..read]).count() as u64;
                self.text.consume(read);
            }
            record.end = match result {
                ReadRecordResult::OutputFull => {
                    written = make_room(&mut record.text, written);
                    continue;
                }
                ReadRecordResult::OutputEndsFull => {
                    cells = make_room(&mut record.ends, cells);
                    continue;
                }
                ReadRecordResult::InputEmpty if !is_end => continue,
                ReadRecordResult::InputEmpty | ReadRecordResult::End => End::Quote,
                ReadRecordResult::Record if is_end => End::Input,
                ReadRecordResult::Record => End::Line,
            };
            record.cells = cells;
            record.bytes = self.text.offset() - begin;
            return Ok(true);
        }
    }
}

/// Doubles a buffer. One that is too long for a document is overwritten, since its content will not be used.
fn make_room<T: Clone + Default>(buffer: &mut Vec<T>, used: usize) -> usize {
    if buffer.len() > MAX_BYTES {
        return 0;
    }
    buffer.resize((buffer.len() * 2).max(64), T::default());
    used
}

/// The columns of a CSV input.
pub(super) struct Header {
    columns: Vec<Column>,
    decimal_comma: bool,
}

struct Column {
    /// If empty, the cells of this column are ignored.
    name: String,
    /// Where the value of a cell is in the document: a column `a.b` is the field `b` of a map `a`.
    path: Vec<Key>,
    reading: Reading,
}

/// How the cells of a column are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// As whatever they look like.
    Plain,
    /// As strings, whatever they look like.
    Text,
    /// As numbers wherever a `sum` would read the string as one; other cells stay strings.
    Number,
}

/// How cells are read, and which columns there have to be.
#[derive(Clone, Debug, Default)]
pub(super) struct Typing {
    /// The columns given by `--text`.
    pub(super) text: Vec<String>,
    /// The columns given by `--number`.
    pub(super) number: Vec<String>,
    /// Whether these have a decimal comma.
    pub(super) decimal_comma: bool,
    /// What separates cells, if it was given.
    pub(super) delimiter: Option<u8>,
    /// The options that name a path, and the path.
    pub(super) paths: Vec<(&'static str, Path)>,
}

impl Typing {
    fn reading(text: &HashSet<&str>, number: &HashSet<&str>, column: &str) -> Result<Reading, String> {
        match (text.contains(column), number.contains(column)) {
            (true, true) => {
                Err(format!("column {} is given by both --text and --number; use only one of them", quoted(column)))
            }
            (true, false) => Ok(Reading::Text),
            (false, true) => Ok(Reading::Number),
            (false, false) => Ok(Reading::Plain),
        }
    }
}

impl Header {
    /// The columns named by the first record; an error if it names one twice, or lacks one in `typing`.
    pub(super) fn of<'t>(record: &Record, typing: &'t Typing) -> Result<Self, String> {
        if record.end == End::Quote {
            return Err("the header has an unclosed quote".to_owned());
        }
        if record.is_too_long() {
            return Err(format!("header of {} bytes; expected up to {MAX_BYTES}", record.bytes));
        }
        let set = |names: &'t [String]| -> HashSet<&'t str> { names.iter().map(String::as_str).collect() };
        let (text, number) = (set(&typing.text), set(&typing.number));
        let names = record.cells().map(|name| String::from_utf8_lossy(name).into_owned());
        let columns = names.map(|name| {
            let reading = Typing::reading(&text, &number, &name)?;
            Ok(Column { path: vec![name.as_str().into()], name, reading })
        });
        let mut columns = columns.collect::<Result<Vec<Column>, String>>()?;
        let mut names = HashSet::new();
        let mut named = columns.iter().map(|column| column.name.as_str()).filter(|name| !name.is_empty());
        if let Some(twice) = named.find(|name| !names.insert(*name)) {
            return Err(format!("column {} appears twice in the header; expected unique names", quoted(twice)));
        }
        for (option, named) in [("--text", &typing.text), ("--number", &typing.number)] {
            if let Some(missing) = named.iter().find(|name| !names.contains(name.as_str())) {
                return Err(format!(
                    "{option}: unknown column {}; expected one of {}",
                    quoted(missing),
                    listed(&columns)
                ));
            }
        }
        nest(&mut columns);
        check_paths(&columns, typing)?;
        Ok(Self { columns, decimal_comma: typing.decimal_comma })
    }

    /// The document for a record. Empty cells are left out.
    pub(super) fn document(&self, record: &Record) -> Result<Json, String> {
        if record.is_too_long() {
            return Err(format!(
                "record of {} bytes; expected up to {MAX_BYTES}; is there an unclosed quote?",
                record.bytes
            ));
        }
        let Self { columns, decimal_comma } = self;
        if record.cells != columns.len() {
            return Err(format!("record has {} cells; expected {}, as in the header", record.cells, columns.len()));
        }
        if self.is_repeated(record) {
            return Err("the header is repeated; are these several files in one?".to_owned());
        }
        let mut map = Map::default();
        for (Column { name, path, reading }, cell) in columns.iter().zip(record.cells()) {
            if name.is_empty() {
                continue;
            }
            let cell = std::str::from_utf8(cell).map_err(|_| format!("cell {} is not UTF-8", quoted(name)))?;
            let value = match (reading, cell) {
                (_, "") => continue,
                (Reading::Text, cell) => cell.into(),
                (Reading::Number, cell) if *decimal_comma => with_comma(cell).map_or_else(|| cell.into(), Json::Number),
                (Reading::Number, cell) => Number::parse_text(cell).map_or_else(|| cell.into(), Json::Number),
                (Reading::Plain, "true") => true.into(),
                (Reading::Plain, "false") => false.into(),
                (Reading::Plain, cell) => canonical(cell).map_or_else(|| cell.into(), Json::Number),
            };
            put(&mut map, path, value);
        }
        Ok(Json::Map(map))
    }

    /// Whether a record repeats the header.
    fn is_repeated(&self, record: &Record) -> bool {
        let mut cells = record.cells().zip(&self.columns);
        let first = cells.next().is_some_and(|(cell, Column { name, .. })| {
            cell == name.as_bytes() || cell.strip_prefix(BOM) == Some(name.as_bytes())
        });
        first && cells.all(|(cell, Column { name, .. })| cell == name.as_bytes())
    }
}

/// Makes the names of columns paths where that does not hide another column: with a column `a`, the name of a column `a.b` is one
/// key.
fn nest(columns: &mut [Column]) {
    let names: HashSet<String> = columns.iter().map(|column| column.name.clone()).collect();
    for Column { name, path, .. } in columns {
        let parts: Vec<&str> = name.split('.').collect();
        let hides = (1..parts.len()).any(|count| names.contains(&parts[..count].join(".")));
        if !hides && parts.iter().all(|part| !part.is_empty()) {
            *path = parts.into_iter().map(Key::from).collect();
        }
    }
}

/// Checks that the header has the columns that options name.
fn check_paths(columns: &[Column], typing: &Typing) -> Result<(), String> {
    for (option, path) in &typing.paths {
        let keys: Vec<&str> = path.segments().iter().map(|segment| segment.key()).collect();
        let is_named = |column: &Column| {
            column.path.iter().map(|part| &**part).eq(keys.iter().copied()) || keys == [column.name.as_str()]
        };
        if columns.iter().any(is_named) {
            continue;
        }
        let other = match &columns {
            [Column { name, .. }] => [';', '\t', '|', ','].into_iter().find(|delimiter| name.contains(*delimiter)),
            _ => None,
        };
        let hint = match other {
            None => String::new(),
            Some('\t') => "; is it separated by tabs? use --delimiter tab".to_owned(),
            Some(other) => format!("; is it separated by {other}? use --delimiter '{other}'"),
        };
        return Err(format!(
            "{option}: unknown column {}; expected one of {}{hint}",
            quoted(&path.to_string()),
            listed(columns)
        ));
    }
    Ok(())
}

/// Puts a value where a path says.
fn put(map: &mut Map, path: &[Key], value: Json) {
    match path {
        [] => {}
        [key] => map.insert(key.clone(), value),
        [key, rest @ ..] => {
            let mut inner = match map.get(key) {
                Some(Json::Map(inner)) => inner.clone(),
                _ => Map::default(),
            };
            put(&mut inner, rest, value);
            map.insert(key.clone(), Json::Map(inner));
        }
    }
}

/// Reads a number with a decimal comma, such as `12,50`.
fn with_comma(text: &str) -> Option<Number> {
    if text.contains('.') {
        return None;
    }
    Number::parse_text(&text.replacen(',', ".", 1))
}

/// The column names for an error.
fn listed(columns: &[Column]) -> String {
    names::listed(columns.iter().map(|column| column.name.as_str()).filter(|name| !name.is_empty()))
}

/// The number whose plain spelling is `text`. What is only similar to a number, such as `00001` or `1e3`, stays a string.
fn canonical(text: &str) -> Option<Number> {
    let number = Number::parse(text)?;
    let is_plain = match &number {
        Number::Exact(amount) => {
            let mut rest = Rest(text);
            write!(rest, "{amount}").is_ok() && rest.0.is_empty()
        }
        number => number.to_plain() == text,
    };
    is_plain.then_some(number)
}

/// Removes what is written from the start of a string; fails if they differ.
struct Rest<'a>(&'a str);

impl fmt::Write for Rest<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        self.0 = self.0.strip_prefix(part).ok_or(fmt::Error)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// A reader that returns a few bytes at a time.
    struct Slow(io::Cursor<Vec<u8>>, usize);

    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(buffer.len());
            self.0.read(&mut buffer[..count])
        }
    }

    fn slow(text: &str, step: usize) -> Text {
        Text::of(Slow(io::Cursor::new(text.as_bytes().to_vec()), step))
    }

    /// The line, the end and the cells of each record.
    fn records(text: &str, step: usize) -> Vec<(u64, End, Vec<String>)> {
        let mut text_read = slow(text, step);
        let mut records = Records::new(&mut text_read, 0, b',');
        let (mut record, mut all) = (Record::default(), Vec::new());
        while records.read(&mut record).unwrap() {
            let cells = record.cells().map(|cell| String::from_utf8(cell.to_vec()).unwrap()).collect();
            all.push((record.line, record.end, cells));
        }
        assert_eq!(text_read.offset(), text.len() as u64);
        all
    }

    #[test]
    fn records_equal_those_of_the_csv_crate_wherever_the_input_is_split() {
        let texts = [
            "a,b\n1,2\n",
            "\u{feff}\"a\",b\r\n\r\n1,\"2\r\n3\"\r\n",
            "\n\na\n\n,\n\"\",\"\"\n",
            "a\"b,\"c\"d,\"e\"\"f\"\n\"x\ny\",z\rlast,\"row\"",
        ];
        for text in texts {
            let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
            let expected: Vec<Vec<String>> =
                reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect();
            for step in 1..12 {
                let found: Vec<_> = records(text, step).into_iter().map(|(.., cells)| cells).collect();
                assert_eq!(found, expected, "{text:?} by {step}");
            }
        }
    }

    #[test]
    fn a_record_knows_where_it_starts_and_how_it_ended() {
        let places = |text| records(text, 3).into_iter().map(|(line, end, _)| (line, end)).collect::<Vec<_>>();
        assert_eq!(places("a\n\n\"b\nc\"\r\nd"), [(1, End::Line), (3, End::Line), (5, End::Input)]);
        assert_eq!(places("a\nb,\"c\nd\n"), [(1, End::Line), (2, End::Quote)]);
        assert_eq!(places("a\n\"b\"\r"), [(1, End::Line), (2, End::Line)]);
    }

    #[test]
    fn a_record_that_is_too_long_is_reported_and_skipped() {
        let text = format!("a\n{}\n{}\nlast\n", "x".repeat(3 * MAX_BYTES), ",".repeat(3 * MAX_BYTES));
        let mut text = slow(&text, 1 << 16);
        let mut records = Records::new(&mut text, 0, b',');
        let mut record = Record::default();
        assert!(records.read(&mut record).unwrap());
        let header = Header::of(&record, &Typing::default()).unwrap();
        for _ in 0..2 {
            assert!(records.read(&mut record).unwrap());
            assert!(header.document(&record).unwrap_err().contains("bytes; expected up to"));
        }
        assert!(records.read(&mut record).unwrap());
        assert_eq!(header.document(&record).unwrap().to_string(), r#"{"a":"last"}"#);
        assert!(!records.read(&mut record).unwrap());
    }

    #[test]
    fn options_choose_strings_or_numbers_for_a_column() {
        let text = "a,b,c\n1.50,1.50,1.50\n1,1e3,none\n";
        let typing =
            Typing { text: vec!["a".to_owned()], number: vec!["b".to_owned(), "c".to_owned()], ..Typing::default() };
        let mut text = slow(text, 1 << 16);
        let mut records = Records::new(&mut text, 0, b',');
        let mut record = Record::default();
        records.read(&mut record).unwrap();
        let header = Header::of(&record, &typing).unwrap();
        for expected in [r#"{"a":"1.50","b":1.5,"c":1.5}"#, r#"{"a":"1","b":1000,"c":"none"}"#] {
            assert!(records.read(&mut record).unwrap());
            assert_eq!(header.document(&record).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn only_plain_spellings_are_numbers() {
        for text in ["7", "1.1", "-3", "0", "0.001", "123456789012345678", "-0.5"] {
            assert_eq!(canonical(text).map(|number| number.to_string()).as_deref(), Some(text));
        }
        for text in ["1e3", "7.0", "1.10", "-0", "00001", "+1", " 1", "1.", ".5", "", "1,5", "0x1", "NaN"] {
            assert!(canonical(text).is_none(), "{text}");
        }
    }
}
