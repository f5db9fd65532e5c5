//! The inputs of a run: files and standard input, and how far each was counted.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dictrack::json::{Json, Map};
use dictrack::store::Mark;
#[cfg(feature = "parquet")]
use dictrack::text::quoted;
use dictrack::url;

use super::Args;
use super::csv::{End, Header, Record, Records, Typing};
#[cfg(feature = "parquet")]
use super::parquet::Table;
use super::text::{Taken, Text};
use super::trail::{Fingerprint, Trail};
use super::values;
use crate::Failure;
use crate::print::warn;

/// The format of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// A JSON document on each line.
    Ndjson,
    /// JSON documents one after another, each on one line or several, or in a list.
    Json,
    /// Comma-separated values below a header.
    Csv,
    /// Tab-separated values below a header.
    Tsv,
    /// A Parquet file; its rows are documents.
    Parquet,
}

/// How many inputs stay open between the check and the reading. More could exceed the limit of the process, so the others are
/// opened and checked again.
const KEPT_OPEN: usize = 128;

/// A file or standard input, and where to resume in it.
pub(super) struct Input {
    /// `None` is standard input.
    path: Option<PathBuf>,
    pub(super) name: Arc<str>,
    pub(super) format: Format,
    /// Whether an option gave the format.
    is_format_given: bool,
    /// The name of its mark; an input that cannot be read twice has none.
    pub(super) key: Option<String>,
    /// How far an earlier run counted it.
    resumed: Option<Position>,
    size: Option<u64>,
    /// The file that was checked. Its name may refer to another file later.
    checked: Option<Begun>,
}

/// An input that was opened and read up to the point where counting starts.
pub(super) struct Begun {
    pub(super) content: Content,
    /// Where to continue.
    pub(super) at: Position,
}

/// What an input contains.
pub(super) enum Content {
    Lines(Text),
    Json(Text),
    /// With the columns, which are `None` if the header is incomplete, and what separates cells.
    Csv(Text, Option<Header>, u8),
    #[cfg(feature = "parquet")]
    Parquet(Box<Table>),
}

/// Why an input cannot be started.
pub(super) enum Unfit {
    /// It differs from the data that was counted.
    Differs(String),
    /// Its header, on this line, is invalid.
    Header(u64, String),
    /// It cannot be read.
    Unread(String),
}

impl From<io::Error> for Unfit {
    fn from(error: io::Error) -> Self {
        Self::Unread(format!("read error: {error}"))
    }
}

/// The paths of group, time and id, each with its option; a mark stores them.
#[derive(Clone, Debug)]
pub(super) struct Paths([(&'static str, Option<String>); 3]);

impl Paths {
    pub(super) fn of(args: &Args) -> Self {
        let text = |path: &dictrack::Path| path.to_string();
        Self([
            ("group-by", args.group_by.as_ref().map(ToString::to_string)),
            ("time", args.time.as_ref().map(text)),
            ("id", args.id.as_ref().map(text)),
        ])
    }

    /// The paths in a mark, if they differ.
    fn others(&self, mark: &Map) -> Option<Self> {
        let held = self.0.each_ref().map(|(word, now)| match mark.get(word) {
            Some(held) => (*word, held.as_str().map(str::to_owned)),
            None => (*word, now.clone()),
        });
        (held != self.0).then_some(Self(held))
    }
}

impl fmt::Display for Paths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given = self.0.iter().filter_map(|(word, path)| Some(format!("--{word} {}", path.as_ref()?)));
        f.write_str(&given.collect::<Vec<_>>().join(" "))
    }
}

/// How far an input was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// The byte after the last document; in the unpacked data if the file is gzipped. In Parquet, how many rows were counted.
    pub(super) offset: u64,
    /// The line or the row of the last document.
    pub(super) line: u64,
    /// Identifies the data up to there.
    pub(super) fingerprint: Option<Fingerprint>,
}

impl Position {
    pub(super) fn at(&self, offset: u64, line: u64) -> Self {
        Self { offset, line, ..self.clone() }
    }

    /// This position, with the fingerprint from `trail`.
    pub(super) fn on(self, trail: &Trail) -> Self {
        Self { fingerprint: Some(trail.fingerprint(self.offset, self.fingerprint.as_ref())), ..self }
    }

    pub(super) fn mark(&self, name: String, Paths(paths): &Paths) -> Mark {
        let mut entries = vec![("offset", Json::from(self.offset)), ("line", self.line.into())];
        if let Some(fingerprint) = &self.fingerprint {
            fingerprint.write(&mut entries);
        }
        entries.extend(paths.iter().map(|(word, path)| (*word, path.as_deref().map_or(Json::Null, Json::from))));
        let map: Map = entries.into_iter().map(|(key, value)| (key.into(), value)).collect();
        Mark { name, text: Some(Json::Map(map).to_string()) }
    }

    /// The position in a mark.
    fn read(mark: &Map) -> Option<Self> {
        let number = |key| mark.get(key)?.to_string().parse::<u64>().ok();
        Some(Self { offset: number("offset")?, line: number("line")?, fingerprint: Some(Fingerprint::read(mark)?) })
    }
}

impl Input {
    pub(super) fn stdin(format: Option<Format>) -> Self {
        Self {
            path: None,
            name: "standard input".into(),
            format: format.unwrap_or(Format::Ndjson),
            is_format_given: format.is_some(),
            key: None,
            resumed: None,
            size: None,
            checked: None,
        }
    }

    /// Finds a file or standard input. If many machines count, the mark applies to this one only.
    pub(super) fn open(path: &Path, format: Option<Format>, many_machines: bool) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self::stdin(format));
        }
        let fail = |error: io::Error| Failure(format!("{}: {error}", url::shown_path(path)));
        let metadata = std::fs::metadata(path).map_err(fail)?;
        let mut input = Self {
            path: Some(path.to_owned()),
            name: url::shown_path(path).into(),
            format: format.or_else(|| format_of(path)).unwrap_or(Format::Ndjson),
            ..Self::stdin(format)
        };
        if !metadata.is_file() {
            // A named pipe cannot be read twice.
            return Ok(input);
        }
        let full = std::fs::canonicalize(path).map_err(fail)?;
        let full = key_of(&full);
        input.key = Some(match many_machines.then(host).flatten() {
            Some(host) => format!("input:{host}:{full}"),
            None => format!("input:{full}"),
        });
        File::open(path).map_err(fail)?;
        input.size = Some(metadata.len());
        Ok(input)
    }

    /// Opens a file before anything is counted. If it cannot be read, that is reported when its turn comes, since the other inputs
    /// still count. Returns what is wrong with its header.
    pub(super) fn check(&mut self, typing: &Typing, taken: &Taken, at: usize) -> Option<Failure> {
        if self.is_pipe() {
            return None;
        }
        match self.begin(typing, taken) {
            Ok(begun) => self.checked = (at < KEPT_OPEN).then_some(begun),
            Err(Unfit::Header(line, problem)) => return Some(Failure(format!("{}:{line}: {problem}", self.name))),
            Err(Unfit::Differs(_) | Unfit::Unread(_)) => {}
        }
        None
    }

    /// Resumes where an earlier run stopped. A file that differs from the one it read is counted from the beginning if
    /// documents have ids.
    pub(super) fn resume(
        &mut self,
        marks: &HashMap<String, String>,
        paths: &Paths,
        ids: bool,
        typing: &Typing,
        taken: &Taken,
    ) -> Result<(), Failure> {
        let Some(mark) = self.key.as_ref().and_then(|key| marks.get(key)) else { return Ok(()) };
        let mark = match Json::parse(mark.as_bytes()) {
            Ok(Json::Map(mark)) => mark,
            _ => Map::default(),
        };
        if let Some(held) = paths.others(&mark) {
            return Err(Failure(format!(
                "{}: was counted with {held}, but this run has {paths}; use the same options, \
                 or count it from the beginning with --again or in another store",
                self.name
            )));
        }
        let is_kept = self.checked.is_some();
        let result = match Position::read(&mark) {
            Some(position) => {
                self.resumed = Some(position.clone());
                match self.checked.take() {
                    Some(begun) => begun.resume(position),
                    None => self.begin(typing, taken),
                }
            }
            None => Err(Unfit::Differs("its mark cannot be read".to_owned())),
        };
        match result {
            Ok(begun) => self.checked = is_kept.then_some(begun),
            // Reported when its turn comes.
            Err(Unfit::Unread(_) | Unfit::Header(..)) => {}
            Err(Unfit::Differs(differs)) if ids => {
                self.resumed = None;
                warn(format_args!(
                    "{}: not the file that was counted before: {differs}; counting it from the beginning, where documents \
                     with known ids count only once",
                    self.name
                ));
            }
            Err(Unfit::Differs(differs)) => {
                return Err(Failure(format!(
                    "{}: not the file that was counted before: {differs}; nothing was counted; count it from the \
                     beginning with --again, under another name or in another store; with --id, files may change and \
                     no document counts twice",
                    self.name
                )));
            }
        }
        Ok(())
    }

    /// Whether an earlier run counted documents from it.
    pub(super) fn is_resumed(&self) -> bool {
        self.resumed.is_some()
    }

    /// The size of the file on disk; `None` for a pipe.
    pub(super) fn size(&self) -> Option<u64> {
        self.size
    }

    pub(super) fn is_pipe(&self) -> bool {
        self.size.is_none()
    }

    /// The input that was checked, or the current file if it was not kept open.
    pub(super) fn take(&mut self, typing: &Typing, taken: &Taken) -> Result<Begun, Unfit> {
        match self.checked.take() {
            Some(begun) => Ok(begun),
            None => self.begin(typing, taken),
        }
    }

    fn begin(&self, typing: &Typing, taken: &Taken) -> Result<Begun, Unfit> {
        let begun = self.open_content(typing, taken)?;
        match &self.resumed {
            Some(position) => begun.resume(position.clone()),
            None => Ok(begun),
        }
    }

    fn open_content(&self, typing: &Typing, taken: &Taken) -> Result<Begun, Unfit> {
        let mut text = match &self.path {
            None => Text::of_stream(io::stdin(), taken)?,
            Some(path) if self.is_pipe() => Text::of_stream(File::open(path)?, taken)?,
            Some(path) => {
                let mut file = File::open(path)?;
                if self.format == Format::Parquet || is_parquet(&mut file)? {
                    return Begun::table(file, typing);
                }
                Text::of_file(file, taken, self.key.is_some())?
            }
        };
        if let Some(words) = text.foreign() {
            return Err(Unfit::Unread(format!("input is {words}")));
        }
        let at = Position::default();
        match self.format {
            Format::Ndjson if !self.is_format_given && values::are_in(text.begin()?) => {
                Ok(Begun { content: Content::Json(text), at })
            }
            Format::Ndjson => Ok(Begun { content: Content::Lines(text), at }),
            Format::Json => Ok(Begun { content: Content::Json(text), at }),
            Format::Csv => Begun::below_header(text, typing, typing.delimiter.unwrap_or(b',')),
            Format::Tsv => Begun::below_header(text, typing, typing.delimiter.unwrap_or(b'\t')),
            Format::Parquet => Err(Unfit::Unread("input is a pipe; expected a file, which Parquet needs".to_owned())),
        }
    }
}

impl Begun {
    #[cfg(feature = "parquet")]
    fn table(file: File, typing: &Typing) -> Result<Self, Unfit> {
        let table = Table::open(file)?;
        for (option, path) in &typing.paths {
            if let Some(names) = table.lacks(path) {
                let path = quoted(&path.to_string()).to_string();
                let problem = format!("{option}: unknown column {path}; expected one of {names}");
                return Err(Unfit::Header(1, problem));
            }
        }
        let at = Position { fingerprint: Some(table.fingerprint().clone()), ..Position::default() };
        Ok(Self { content: Content::Parquet(Box::new(table)), at })
    }

    #[cfg(not(feature = "parquet"))]
    fn table(_: File, _: &Typing) -> Result<Self, Unfit> {
        let problem = "input is Parquet; this build of dictrack does not include the feature \"parquet\"";
        Err(Unfit::Unread(problem.to_owned()))
    }

    fn below_header(mut text: Text, typing: &Typing, delimiter: u8) -> Result<Self, Unfit> {
        let mut record = Record::default();
        let mut records = Records::new(&mut text, 0, delimiter);
        let is_there = records.read(&mut record)? && !(record.end == End::Input && records.text.may_grow());
        let at = Position { line: records.line, offset: text.offset(), fingerprint: None };
        let at = at.on(text.trail());
        let mut header = None;
        if is_there {
            header = Some(Header::of(&record, typing).map_err(|problem| Unfit::Header(record.line, problem))?);
        }
        Ok(Self { content: Content::Csv(text, header, delimiter), at })
    }

    /// Skips to where an earlier run stopped, if this is the data that it read.
    fn resume(mut self, position: Position) -> Result<Self, Unfit> {
        let Some(fingerprint) = &position.fingerprint else { return Ok(self) };
        let text = match &mut self.content {
            Content::Lines(text) | Content::Json(text) | Content::Csv(text, ..) => text,
            #[cfg(feature = "parquet")]
            Content::Parquet(table) if table.fingerprint() == fingerprint && position.offset <= table.rows() => {
                return Ok(Self { at: position, ..self });
            }
            #[cfg(feature = "parquet")]
            Content::Parquet(_) => return Err(Unfit::Differs("its columns or its rows differ".to_owned())),
        };
        let offset = position.offset;
        for place in fingerprint.places().chain([offset]) {
            if !text.skip_to(place)? {
                let ends = text.end()?;
                return Err(Unfit::Differs(format!("it has {ends} bytes, of which {offset} were counted")));
            }
            if let Some(differs) = fingerprint.differs(text.trail(), place) {
                return Err(Unfit::Differs(differs));
            }
        }
        if text.offset() > offset {
            return Err(Unfit::Differs(format!("its header ends behind byte {offset}, up to which it was counted")));
        }
        Ok(Self { at: position, ..self })
    }
}

/// Whether a file begins and ends as a Parquet file does.
fn is_parquet(file: &mut File) -> io::Result<bool> {
    let mut magic = [[0; 4]; 2];
    for (part, place) in magic.iter_mut().zip([SeekFrom::Start(0), SeekFrom::End(-4)]) {
        match file.seek(place).and_then(|_| file.read_exact(part)) {
            Ok(()) => {}
            // It is shorter.
            Err(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput) => break,
            Err(error) => return Err(error),
        }
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(magic == [*b"PAR1"; 2])
}

/// A path as marks have it: what is not UTF-8 byte by byte, so that different files have different marks.
fn key_of(path: &Path) -> String {
    match path.to_str() {
        Some(text) => text.to_owned(),
        None => path.as_os_str().as_bytes().iter().fold("bytes:".to_owned(), |key, byte| format!("{key}{byte:02x}")),
    }
}

/// The name of this machine.
fn host() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// The format that a name stands for, without the ending of a packed file.
pub(super) fn format_of(path: &Path) -> Option<Format> {
    let extension = |path: &Path| path.extension().map(|extension| extension.to_ascii_lowercase());
    let plain = match extension(path)?.to_str()? {
        "gz" | "zst" => path.with_extension(""),
        _ => path.to_owned(),
    };
    match extension(&plain)?.to_str()? {
        "csv" => Some(Format::Csv),
        "tsv" | "tab" => Some(Format::Tsv),
        "parquet" => Some(Format::Parquet),
        // A file of this name may have lines as well as one list, so its beginning tells.
        "ndjson" | "jsonl" | "json" => Some(Format::Ndjson),
        _ => None,
    }
}
