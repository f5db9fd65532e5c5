//! The reading thread: parses ahead while the documents before are counted.

use std::io::{self, BufRead as _, BufReader};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use dictrack::json::{Json, MAX_BYTES};

use super::csv::{BOM, End, Header, Record, Records, Typing};
use super::input::{Format, Input, Position};
use super::malformed::Problem;
use crate::Failure;

/// What is read at once, and so about the size of a batch.
const CHUNK_BYTES: usize = 1 << 17;
/// Batches that wait to be counted: enough to keep both threads busy, few enough to bound memory.
const AHEAD: usize = 4;
/// The documents of a CSV batch.
const CSV_BATCH: usize = 512;

/// Documents that were read together.
pub(super) struct Batch {
    /// The input they came from.
    pub(super) name: Arc<str>,
    pub(super) items: Vec<Item>,
    /// The input's mark and where the batch begins in it.
    pub(super) from: Option<(String, Position)>,
    /// The bytes taken from disk so far, of all inputs.
    pub(super) raw_bytes: u64,
    /// Whether the input could not be read to its end.
    pub(super) broken: bool,
}

/// A document, or what is wrong with it.
pub(super) struct Item {
    pub(super) document: Result<Json, Problem>,
    /// The line on which it begins.
    pub(super) line: u64,
    /// The lines that have ended with it.
    pub(super) last_line: u64,
    /// The byte behind it.
    pub(super) end: u64,
}

/// Reads inputs one after the other.
pub(super) struct Reader {
    batches: Receiver<Batch>,
}

impl Reader {
    pub(super) fn start(inputs: Vec<Input>, typing: Typing) -> Self {
        let (sender, batches) = sync_channel(AHEAD);
        std::thread::spawn(move || {
            let raw = Arc::new(AtomicU64::new(0));
            for input in inputs {
                let mut source = Source {
                    input: &input,
                    sender: &sender,
                    raw: &raw,
                    items: Vec::new(),
                    at: input.start.clone(),
                    broken: false,
                };
                let result = match input.format {
                    Format::Ndjson => source.lines(),
                    Format::Csv => source.records(&typing),
                };
                match result {
                    Ok(()) => {}
                    Err(Stop::Closed) => return,
                    Err(Stop::Failed(problem)) => {
                        // What was read before the failure counts, and the mark stays behind it.
                        if source.send().is_err() {
                            return;
                        }
                        let (last_line, end) = (source.at.line, source.at.offset);
                        source.items.push(Item { document: Err(problem), line: last_line + 1, last_line, end });
                        source.broken = true;
                        if source.send().is_err() {
                            return;
                        }
                    }
                }
            }
        });
        Self { batches }
    }

    pub(super) fn receive(&self, wait: Duration) -> Result<Batch, RecvTimeoutError> {
        self.batches.recv_timeout(wait)
    }

    /// A batch that is there already.
    pub(super) fn ready(&self) -> Option<Batch> {
        self.batches.try_recv().ok()
    }
}

/// Refuses a CSV file whose header does not fit, before anything is counted.
pub(super) fn check_header(input: &Input, typing: &Typing) -> Result<(), Failure> {
    if input.format != Format::Csv || input.is_pipe() {
        return Ok(());
    }
    let mut record = Record::default();
    let mut records = Records::new(input.from(0, &Arc::default())?, 0, 0);
    if records.read(&mut record).map_err(|error| Failure(format!("{}: {error}", input.name)))? {
        Header::of(&record, typing).map_err(|problem| Failure(format!("{}:{}: {problem}", input.name, record.line)))?;
    }
    Ok(())
}

/// Why reading an input ended early.
enum Stop {
    /// Nobody counts any more.
    Closed,
    Failed(Problem),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Failed(Problem::Input(format!("cannot be read on: {error}")))
    }
}

struct Source<'a> {
    input: &'a Input,
    sender: &'a SyncSender<Batch>,
    raw: &'a Arc<AtomicU64>,
    items: Vec<Item>,
    /// Where the items in hand begin.
    at: Position,
    broken: bool,
}

impl Source<'_> {
    fn send(&mut self) -> Result<(), Stop> {
        let Some(last) = self.items.last() else { return Ok(()) };
        let next = self.at.at(last.end, last.last_line);
        let batch = Batch {
            name: Arc::clone(&self.input.name),
            items: std::mem::take(&mut self.items),
            from: self.input.key.clone().map(|key| (key, self.at.clone())),
            raw_bytes: self.raw.load(Ordering::Relaxed),
            broken: self.broken,
        };
        self.at = next;
        self.sender.send(batch).map_err(|_| Stop::Closed)
    }

    /// Reads JSON lines. A line that is too long is skipped without being held.
    fn lines(&mut self) -> Result<(), Stop> {
        let text = self.input.from(self.at.offset, self.raw)?;
        let mut reader = BufReader::with_capacity(CHUNK_BYTES, text);
        let (mut offset, mut line) = (self.at.offset, self.at.line);
        // The beginning of a line whose end is not read yet, at most one byte longer than a document may be.
        let mut carry: Vec<u8> = Vec::new();
        let mut carried = 0_u64;
        loop {
            let chunk = reader.fill_buf()?;
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
                    self.line(part, line, line, offset);
                } else {
                    keep(&mut carry, part);
                    let whole = std::mem::take(&mut carry);
                    self.line(&whole, line, line, offset);
                    carried = 0;
                }
                from = newline + 1;
            }
            let rest = &chunk[from..];
            keep(&mut carry, rest);
            carried += rest.len() as u64;
            reader.consume(length);
            self.send()?;
        }
        if carried > 0 && self.input.key.is_some() && Json::parse(carry.trim_ascii()).is_err() {
            // Of a file that still grows: the rest of the line is yet to come.
            let problem = "the last line is unfinished; it counts once it is whole".to_owned();
            let document = Err(Problem::Input(problem));
            self.items.push(Item { document, line: line + 1, last_line: line, end: offset });
        } else if carried > 0 {
            // Its newline may come later, and is counted then.
            self.line(&carry, line + 1, line, offset + carried);
        }
        self.send()
    }

    fn line(&mut self, text: &[u8], line: u64, last_line: u64, end: u64) {
        let text = if line == 1 { text.strip_prefix(BOM).unwrap_or(text) } else { text };
        let trimmed = text.trim_ascii();
        if trimmed.is_empty() {
            return;
        }
        let document = Json::parse(trimmed).map_err(|error| Problem::syntax(trimmed, &error));
        self.items.push(Item { document, line, last_line, end });
    }

    /// Reads CSV records below a header.
    fn records(&mut self, typing: &Typing) -> Result<(), Stop> {
        let mut record = Record::default();
        let unread = Arc::new(AtomicU64::new(0));
        let resumes = self.at.offset > 0;
        // The header is at the beginning, wherever the records go on; a pipe is opened only once.
        let mut records = Records::new(self.input.from(0, if resumes { &unread } else { self.raw })?, 0, 0);
        if !records.read(&mut record)? || self.may_go_on(&record) {
            return Ok(());
        }
        let header = Header::of(&record, typing).map_err(|problem| Stop::Failed(Problem::Input(problem)))?;
        if resumes {
            records = Records::new(self.input.from(self.at.offset, self.raw)?, self.at.offset, self.at.line);
        }
        let most = if self.input.is_pipe() { 1 } else { CSV_BATCH };
        let (mut end, mut last_line) = (records.offset, records.line);
        while records.read(&mut record)? {
            let document = if record.end == End::Quote {
                // All that follows is within the quote; nothing of it is passed, so that it counts once corrected.
                self.broken = true;
                Err(Problem::Other("a quote in this record is not closed; all that follows is within it".to_owned()))
            } else if self.may_go_on(&record) {
                let problem =
                    "the last row has no newline at its end: it may be unfinished, and counts once it has one";
                Err(Problem::Input(problem.to_owned()))
            } else {
                (end, last_line) = (records.offset, records.line);
                header.document(&record).map_err(Problem::Other)
            };
            self.items.push(Item { document, line: record.line, last_line, end });
            if self.items.len() >= most {
                self.send()?;
            }
        }
        self.send()
    }

    /// Whether the end of a record is perhaps yet to be written: that of a file which still grows.
    fn may_go_on(&self, record: &Record) -> bool {
        record.end == End::Input && self.input.key.is_some()
    }
}

/// Appends to the beginning of a line, up to one byte more than a document may have.
fn keep(carry: &mut Vec<u8>, part: &[u8]) {
    let room = (MAX_BYTES + 1).saturating_sub(carry.len());
    carry.extend_from_slice(&part[..part.len().min(room)]);
}
