//! The reader thread: reads ahead while earlier documents are counted. It splits JSON lines but does not parse them, because all
//! counting threads would wait for it; CSV records have to be parsed to find their ends.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use dictrack::json::{Json, MAX_BYTES};

use super::csv::{BOM, End, Header, Record, Records, Typing};
use super::input::{Begun, Content, Input, Position, Unfit};
use super::malformed::Problem;
use super::rows::{Row, Rows};
use super::text::{Taken, Text};
use super::trail::Trail;
use super::values::Values;

/// How many batches may wait to be counted: enough to keep both threads busy, few enough to limit memory.
const AHEAD: usize = 8;
/// The maximum number of documents in a CSV batch.
const CSV_BATCH: usize = 512;
/// A CSV batch ends after this many bytes.
const CSV_BATCH_BYTES: u64 = 1 << 17;

/// Documents that were read together.
pub(super) struct Batch {
    /// The input they came from.
    pub(super) name: Arc<str>,
    pub(super) items: Vec<Item>,
    pub(super) rows: Rows,
    /// The lane of each document, if there are several.
    pub(super) lanes: Vec<u16>,
    /// For the input's mark.
    pub(super) from: Option<Start>,
    /// Whether an earlier run counted documents from it.
    pub(super) resumed: bool,
    /// The bytes read from disk so far, over all inputs.
    pub(super) taken: u64,
    /// Whether the input could not be read to its end.
    pub(super) broken: bool,
}

/// The name of an input's mark, where a batch starts, and the data that identifies the positions in it, unless that is the same as
/// at the start.
pub(super) type Start = (String, Position, Option<Trail>);

/// A document, or what is wrong with it.
pub(super) struct Item {
    pub(super) document: Result<Row, Problem>,
    /// The line where it starts.
    pub(super) line: u64,
    /// The number of lines that end with it.
    pub(super) last_line: u64,
    /// The byte after it.
    pub(super) end: u64,
}

/// What a counted batch leaves: memory that is used again.
type Emptied = (Vec<Item>, Rows, Vec<u16>);

/// Reads inputs one after another.
pub(super) struct Reader {
    batches: Receiver<Batch>,
    /// Takes back what counted batches leave.
    used: Sender<Emptied>,
}

impl Reader {
    /// Starts to read.
    pub(super) fn start(inputs: Vec<Input>, typing: Typing, taken: Taken) -> Self {
        let (sender, batches) = sync_channel(AHEAD);
        let (used, emptied) = channel();
        std::thread::spawn(move || {
            for mut input in inputs {
                let begun = input.take(&typing, &taken);
                let mut source = Source {
                    input: &input,
                    sender: &sender,
                    emptied: &emptied,
                    taken: &taken,
                    items: Vec::new(),
                    rows: Rows::default(),
                    lanes: Vec::new(),
                    at: match &begun {
                        Ok(begun) => begun.at.clone(),
                        // That of its header.
                        Err(Unfit::Header(line, _)) => Position::default().at(0, line - 1),
                        Err(_) => Position::default(),
                    },
                    broken: false,
                };
                let result = match begun {
                    Ok(begun) => source.all(begun),
                    Err(unfit) => Err(Stop::Failed(unfit.into())),
                };
                let result = match result {
                    // The mark does not change.
                    Err(Stop::Failed(problem)) => source.fail(problem),
                    other => other,
                };
                if result.is_err() {
                    return;
                }
            }
        });
        Self { batches, used }
    }

    pub(super) fn receive(&self, wait: Duration) -> Result<Batch, RecvTimeoutError> {
        self.batches.recv_timeout(wait)
    }

    /// Takes back the memory of a batch.
    pub(super) fn take_back(&self, Batch { items, rows, lanes, .. }: Batch) {
        // The reader may have ended.
        let _ = self.used.send((items, rows, lanes));
    }

    /// The next batch, once there is one; `None` after the last.
    pub(super) fn next(&self) -> Option<Batch> {
        self.batches.recv().ok()
    }

    /// A batch that is already available.
    pub(super) fn ready(&self) -> Option<Batch> {
        self.batches.try_recv().ok()
    }
}

/// Why reading an input ended early.
enum Stop {
    /// Counting has stopped.
    Closed,
    Failed(Problem),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Failed(Problem::Input(format!("read error: {error}")))
    }
}

impl From<Unfit> for Problem {
    fn from(unfit: Unfit) -> Self {
        Self::Input(match unfit {
            Unfit::Differs(differs) => {
                format!("not the file that was counted before: {differs}; none of it was counted")
            }
            Unfit::Header(_, problem) | Unfit::Unread(problem) => problem,
        })
    }
}

struct Source<'a> {
    input: &'a Input,
    sender: &'a SyncSender<Batch>,
    emptied: &'a Receiver<Emptied>,
    taken: &'a Taken,
    items: Vec<Item>,
    rows: Rows,
    lanes: Vec<u16>,
    /// Where the current items start.
    at: Position,
    broken: bool,
}

impl Source<'_> {
    fn all(&mut self, begun: Begun) -> Result<(), Stop> {
        let (mut text, result) = match begun.content {
            Content::Lines(mut text) => {
                let result = self.lines(&mut text);
                (text, result)
            }
            Content::Json(mut text) => {
                let result = self.values(&mut text);
                (text, result)
            }
            Content::Csv(mut text, header, delimiter) => {
                let result = header.map_or(Ok(()), |header| self.records(&mut text, &header, delimiter));
                (text, result)
            }
            #[cfg(feature = "parquet")]
            Content::Parquet(table) => return self.table(*table),
        };
        // Everything read before a failure counts.
        self.send(&mut text).and(result)
    }

    /// Reads a Parquet file.
    #[cfg(feature = "parquet")]
    fn table(&mut self, table: super::parquet::Table) -> Result<(), Stop> {
        let failed = |problem| Stop::Failed(Problem::Input(problem));
        let mut pieces = table.read(self.at.offset).map_err(failed)?;
        while let Some(columns) = pieces.next().transpose().map_err(failed)? {
            let first = self.at.offset;
            self.items.extend((0..columns.rows()).map(|at| {
                let row = first + at as u64 + 1;
                Item { document: Ok(Row::Cells(at)), line: row, last_line: row, end: row }
            }));
            let Some(last) = self.items.last() else { continue };
            let next = self.at.at(last.end, last.last_line);
            self.taken.fetch_add(pieces.bytes(columns.rows()), Ordering::Relaxed);
            self.rows.columns = Some(columns);
            let from = self.input.key.clone().map(|key| (key, self.at.clone(), None));
            self.hand_over(from, next)?;
        }
        Ok(())
    }

    fn send(&mut self, text: &mut Text) -> Result<(), Stop> {
        let Some(last) = self.items.last() else { return Ok(()) };
        let next = self.at.at(last.end, last.last_line);
        let Some(key) = &self.input.key else {
            return self.hand_over(None, next);
        };
        let trail = text.split_trail(next.offset);
        let next = if next.offset == self.at.offset { next } else { next.on(&trail) };
        self.hand_over(Some((key.clone(), self.at.clone(), Some(trail))), next)
    }

    fn hand_over(&mut self, from: Option<Start>, next: Position) -> Result<(), Stop> {
        let (mut items, mut rows, mut lanes) = self.emptied.try_recv().unwrap_or_default();
        items.clear();
        rows.clear();
        lanes.clear();
        let batch = Batch {
            name: Arc::clone(&self.input.name),
            items: std::mem::replace(&mut self.items, items),
            rows: std::mem::replace(&mut self.rows, rows),
            lanes: std::mem::replace(&mut self.lanes, lanes),
            from,
            resumed: self.input.is_resumed(),
            taken: self.taken.load(Ordering::Relaxed),
            broken: self.broken,
        };
        self.at = next;
        self.sender.send(batch).map_err(|_| Stop::Closed)
    }

    /// Reports why the input cannot be read to its end.
    fn fail(&mut self, problem: Problem) -> Result<(), Stop> {
        let (last_line, end) = (self.at.line, self.at.offset);
        self.items.push(Item { document: Err(problem), line: last_line + 1, last_line, end });
        self.broken = true;
        self.hand_over(None, self.at.clone())
    }

    /// Reads JSON lines. A line that is too long is skipped without being kept in memory.
    fn lines(&mut self, text: &mut Text) -> Result<(), Stop> {
        let (mut offset, mut line) = (self.at.offset, self.at.line);
        // The start of a line that is not read completely yet, up to one byte longer than a document may be.
        let mut carry: Vec<u8> = Vec::new();
        let mut carried = 0_u64;
        loop {
            let chunk = text.fill_buf()?;
            if chunk.is_empty() {
                break;
            }
            let length = chunk.len();
            let mut from = 0;
            for newline in memchr::memchr_iter(b'\n', chunk) {
                let part = &chunk[from..newline];
                line += 1;
                offset += carried + part.len() as u64 + 1;
                if carried == 0 {
                    self.line(part, part.len() as u64, line, line, offset);
                } else {
                    keep(&mut carry, part);
                    let whole = std::mem::take(&mut carry);
                    self.line(&whole, carried + part.len() as u64, line, line, offset);
                    carried = 0;
                }
                from = newline + 1;
            }
            let rest = &chunk[from..];
            keep(&mut carry, rest);
            carried += rest.len() as u64;
            text.consume(length);
            self.send(text)?;
        }
        if carried > 0 && text.is_marked() && document(&carry, carried, is_json).is_some_and(|read| read.is_err()) {
            // The file may still be growing, and the rest of the line may follow.
            let problem = "the last line is incomplete; it will count once it is complete".to_owned();
            let document = Err(Problem::Input(problem));
            self.items.push(Item { document, line: line + 1, last_line: line, end: offset });
        } else if carried > 0 {
            // Its newline may follow later, and is counted then.
            self.line(&carry, carried, line + 1, line, offset + carried);
        }
        Ok(())
    }

    /// Reads JSON documents that are not one a line.
    fn values(&mut self, text: &mut Text) -> Result<(), Stop> {
        let mut values = Values::new(self.at.offset, self.at.line);
        loop {
            let chunk = text.fill_buf()?;
            if chunk.is_empty() {
                break;
            }
            let length = chunk.len();
            values.read(chunk, |value| self.line(value.text, value.length, value.line, value.last_line, value.end));
            text.consume(length);
            self.send(text)?;
        }
        match values.end(|value| self.line(value.text, value.length, value.line, value.last_line, value.end)) {
            Some(problem) => Err(Stop::Failed(Problem::Input(problem.to_owned()))),
            None => Ok(()),
        }
    }

    fn line(&mut self, text: &[u8], length: u64, line: u64, last_line: u64, end: u64) {
        if let Some(document) = document(text, length, |line| Ok(self.rows.push(line))) {
            self.items.push(Item { document, line, last_line, end });
        }
    }

    /// Reads CSV records after the header.
    fn records(&mut self, text: &mut Text, header: &Header, delimiter: u8) -> Result<(), Stop> {
        let mut record = Record::default();
        let mut records = Records::new(text, self.at.line, delimiter);
        let most = if self.input.is_pipe() { 1 } else { CSV_BATCH };
        let (mut end, mut last_line) = (records.text.offset(), records.line);
        while records.read(&mut record)? {
            let document = if record.end == End::Quote {
                // Everything that follows is within the quote. It is not marked as read, so that it counts once it is corrected.
                self.broken = true;
                Err(Problem::Other(
                    "a quote in this record is never closed, so the rest of the input is part of it".to_owned(),
                ))
            } else if record.end == End::Input && records.text.may_grow() {
                let problem = "the last row may be incomplete, since it has no newline; it will count once it has one";
                Err(Problem::Input(problem.to_owned()))
            } else {
                (end, last_line) = (records.text.offset(), records.line);
                header.document(&record).map(Row::Whole).map_err(Problem::Other)
            };
            self.items.push(Item { document, line: record.line, last_line, end });
            if self.items.len() >= most || records.text.offset() - self.at.offset >= CSV_BATCH_BYTES {
                self.send(records.text)?;
            }
        }
        Ok(())
    }
}

/// Reads a line of `length` bytes with `read`. `text` has up to one byte more than a document may have. `None` if the line is
/// blank.
fn document<T>(text: &[u8], length: u64, read: impl FnOnce(&[u8]) -> Result<T, Problem>) -> Option<Result<T, Problem>> {
    let text = text.strip_prefix(BOM).unwrap_or(text);
    let trimmed = text.trim_ascii();
    if length > MAX_BYTES as u64 && (trimmed.len() > MAX_BYTES || length > MAX_BYTES as u64 + 1) {
        return Some(Err(Problem::too_long(length)));
    }
    (!trimmed.is_empty()).then(|| read(trimmed))
}

fn is_json(text: &[u8]) -> Result<(), Problem> {
    Json::parse(text).map(drop).map_err(|error| Problem::syntax(text, &error))
}

/// Appends to the start of a line, up to one byte more than a document may have.
fn keep(carry: &mut Vec<u8>, part: &[u8]) {
    let room = (MAX_BYTES + 1).saturating_sub(carry.len());
    carry.extend_from_slice(&part[..part.len().min(room)]);
}
