//! The inputs of a run: files and standard input, and how far each was counted.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dictrack::json::{Json, Map};
use dictrack::store::Mark;
use dictrack::{ContentHash, url};
use flate2::read::MultiGzDecoder;

use super::Args;
use crate::Failure;
use crate::print::warn;

/// The format of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// A JSON document on each line.
    Ndjson,
    /// Comma-separated values below a header.
    Csv,
}

/// The bytes at the beginning of a file by which it is known again.
const HEAD_BYTES: u64 = 4096;

/// A file, or standard input, and where to go on in it.
#[derive(Debug)]
pub(super) struct Input {
    /// `None` is standard input.
    path: Option<PathBuf>,
    pub(super) name: Arc<str>,
    pub(super) format: Format,
    /// The name of its mark; what cannot be read twice has none.
    pub(super) key: Option<String>,
    pub(super) start: Position,
    size: Option<u64>,
    /// Whether it is a file packed with gzip.
    gzip: bool,
}

/// The paths by which a run reads documents, each with the word for it; a mark keeps them.
#[derive(Clone, Debug)]
pub(super) struct Paths([(&'static str, Option<String>); 3]);

impl Paths {
    pub(super) fn of(args: &Args) -> Self {
        let text = |path: &dictrack::Path| path.to_string();
        Self([
            ("group-by", Some(text(&args.group_by))),
            ("time", args.time.as_ref().map(text)),
            ("id", args.id.as_ref().map(text)),
        ])
    }

    /// The paths that a mark kept, if they are others.
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
    /// The byte behind the last document, of the text within a packed file.
    pub(super) offset: u64,
    /// The line of the last document.
    pub(super) line: u64,
    /// The first bytes of the file, by which it is known again.
    head: Option<Arc<[u8]>>,
}

impl Position {
    pub(super) fn at(&self, offset: u64, line: u64) -> Self {
        Self { offset, line, ..self.clone() }
    }

    pub(super) fn mark(&self, name: String, Paths(paths): &Paths) -> Mark {
        let mut entries = vec![("offset", Json::from(self.offset)), ("line", self.line.into())];
        if let Some(head) = &self.head {
            // Only what was counted: what stands behind it may still be corrected.
            let counted = &head[..head.len().min(self.offset as usize)];
            let hash = ContentHash::of([counted]);
            entries.extend([("head", hash.to_string().into()), ("head_bytes", (counted.len() as u64).into())]);
        }
        entries.extend(paths.iter().map(|(word, path)| (*word, path.as_deref().map_or(Json::Null, Json::from))));
        let map: Map = entries.into_iter().map(|(key, value)| (key.into(), value)).collect();
        Mark { name, text: Some(Json::Map(map).to_string()) }
    }

    /// The position of a mark, or what tells the file that begins with `head` from the one that was counted.
    fn resume(mark: &Map, head: &Arc<[u8]>) -> Result<Self, String> {
        let number = |key| mark.get(key)?.to_string().parse::<u64>().ok();
        let read = || {
            let hash = ContentHash::parse(mark.get("head")?.as_str()?)?;
            Some((number("offset")?, number("line")?, number("head_bytes")?, hash))
        };
        let (offset, line, bytes, hash) = read().ok_or("its mark cannot be read")?;
        let Some(begin) = head.get(..bytes as usize) else {
            return Err(format!("it has {} bytes, of which {offset} were counted", head.len()));
        };
        if ContentHash::of([begin]) != hash {
            return Err(format!("its first {bytes} bytes are others"));
        }
        Ok(Self { offset, line, head: Some(Arc::clone(head)) })
    }
}

impl Input {
    pub(super) fn stdin(format: Option<Format>) -> Self {
        Self {
            path: None,
            name: "standard input".into(),
            format: format.unwrap_or(Format::Ndjson),
            key: None,
            start: Position::default(),
            size: None,
            gzip: false,
        }
    }

    /// Opens a file, or standard input, at its beginning. Where many machines count, its mark is for this one.
    pub(super) fn open(path: &Path, format: Option<Format>, many_machines: bool) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self::stdin(format));
        }
        let fail = |error: io::Error| Failure(format!("{}: {error}", url::shown_path(path)));
        let metadata = std::fs::metadata(path).map_err(fail)?;
        if metadata.is_dir() {
            return Err(Failure(format!("{}: a folder; expected a file", url::shown_path(path))));
        }
        let mut input = Self {
            path: Some(path.to_owned()),
            name: url::shown_path(path).into(),
            format: format.unwrap_or_else(|| format_of(path)),
            ..Self::stdin(format)
        };
        if !metadata.is_file() {
            // A named pipe cannot be read twice.
            return Ok(input);
        }
        let full = std::fs::canonicalize(path).map_err(fail)?;
        input.key = Some(match many_machines.then(host).flatten() {
            Some(host) => format!("input:{host}:{}", full.display()),
            None => format!("input:{}", full.display()),
        });
        input.size = Some(metadata.len());
        input.gzip = File::open(path).and_then(Sniffed::new).map_err(fail)?.is_gzip();
        let mut head = Vec::new();
        input.raw(&Arc::default()).and_then(|raw| raw.take(HEAD_BYTES).read_to_end(&mut head)).map_err(fail)?;
        input.start.head = Some(head.into());
        Ok(input)
    }

    /// Goes on where an earlier run came to. A file that is not the one it read begins anew, if documents have ids.
    pub(super) fn resume(&mut self, marks: &HashMap<String, String>, paths: &Paths, ids: bool) -> Result<(), Failure> {
        let mark = self.key.as_ref().and_then(|key| marks.get(key));
        let (Some(mark), Some(head)) = (mark, &self.start.head) else { return Ok(()) };
        let mark = match Json::parse(mark.as_bytes()) {
            Ok(Json::Map(mark)) => mark,
            _ => Map::default(),
        };
        if let Some(held) = paths.others(&mark) {
            return Err(Failure(format!(
                "{}: it was counted with {held}, and this run has {paths}; run with those, \
                 or count it from its beginning with --again, or in another store",
                self.name
            )));
        }
        let found = Position::resume(&mark, head).and_then(|position| match self.size {
            Some(size) if !self.gzip && size < position.offset => {
                Err(format!("it has {size} bytes, of which {} were counted", position.offset))
            }
            _ => Ok(position),
        });
        match found {
            Ok(position) => self.start = position,
            Err(differs) if ids => warn(format_args!(
                "{}: not the file that was counted before: {differs}; counting it from its beginning",
                self.name
            )),
            Err(differs) => {
                return Err(Failure(format!(
                    "{}: not the file that was counted before: {differs}; --again counts it from its beginning",
                    self.name
                )));
            }
        }
        Ok(())
    }

    /// The bytes of the file as they lie on disk; `None` for a pipe.
    pub(super) fn size(&self) -> Option<u64> {
        self.size
    }

    pub(super) fn is_pipe(&self) -> bool {
        self.size.is_none()
    }

    /// The text from its beginning; `read` counts the bytes taken from disk.
    fn raw(&self, read: &Arc<AtomicU64>) -> io::Result<Box<dyn Read>> {
        let read = Arc::clone(read);
        let Some(path) = &self.path else { return Sniffed::new(Counted { inner: io::stdin(), read })?.unpacked() };
        Sniffed::new(Counted { inner: File::open(path)?, read })?.unpacked()
    }

    /// The text from byte `offset` on.
    pub(super) fn from(&self, offset: u64, read: &Arc<AtomicU64>) -> io::Result<Box<dyn Read>> {
        match &self.path {
            Some(path) if offset > 0 && !self.gzip => {
                let mut file = File::open(path)?;
                file.seek(SeekFrom::Start(offset))?;
                read.fetch_add(offset, Ordering::Relaxed);
                Ok(Box::new(Counted { inner: file, read: Arc::clone(read) }))
            }
            _ => {
                let mut raw = self.raw(read)?;
                io::copy(&mut (&mut raw).take(offset), &mut io::sink())?;
                Ok(raw)
            }
        }
    }
}

/// What is read, and its first two bytes, which tell gzip from all else whatever the name.
struct Sniffed<R> {
    first: Vec<u8>,
    rest: R,
}

impl<R: Read + 'static> Sniffed<R> {
    fn new(mut rest: R) -> io::Result<Self> {
        let mut first = Vec::new();
        (&mut rest).take(2).read_to_end(&mut first)?;
        Ok(Self { first, rest })
    }

    fn is_gzip(&self) -> bool {
        self.first == [0x1f, 0x8b]
    }

    fn unpacked(self) -> io::Result<Box<dyn Read>> {
        let gzip = self.is_gzip();
        let whole = io::Cursor::new(self.first).chain(self.rest);
        Ok(if gzip { Box::new(MultiGzDecoder::new(whole)) } else { Box::new(whole) })
    }
}

/// The name of this machine.
fn host() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

fn is_gz(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"))
}

fn format_of(path: &Path) -> Format {
    let plain = if is_gz(path) { path.with_extension("") } else { path.to_owned() };
    match plain.extension() {
        Some(extension) if extension.eq_ignore_ascii_case("csv") => Format::Csv,
        _ => Format::Ndjson,
    }
}

/// Counts the bytes that are read, for the progress bar.
struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
