//! The inputs of a run: files and standard input, and how far each was counted.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dictrack::ContentHash;
use dictrack::json::{Json, Map};
use dictrack::store::Mark;
use flate2::read::MultiGzDecoder;

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
    /// The name of its mark; standard input has none.
    pub(super) key: Option<String>,
    pub(super) start: Position,
    size: Option<u64>,
}

/// How far an input was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// The byte behind the last document, of the text within a .gz file.
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

    pub(super) fn mark(&self, name: String) -> Mark {
        let mut entries = vec![("offset", Json::from(self.offset)), ("line", self.line.into())];
        if let Some(head) = &self.head {
            // Only what was counted: what stands behind it may still be corrected.
            let counted = &head[..head.len().min(self.offset as usize)];
            let hash = ContentHash::of([counted]);
            entries.extend([("head", hash.to_string().into()), ("head_bytes", (counted.len() as u64).into())]);
        }
        let map: Map = entries.into_iter().map(|(key, value)| (key.into(), value)).collect();
        Mark { name, text: Some(Json::Map(map).to_string()) }
    }

    /// The position of a mark, if the file still begins with `head` as it did then.
    fn resume(text: &str, head: &Arc<[u8]>) -> Option<Self> {
        let json = Json::parse(text.as_bytes()).ok()?;
        let map = json.as_map()?;
        let number = |key| map.get(key)?.to_string().parse().ok();
        let (offset, line, bytes) = (number("offset")?, number("line")?, number("head_bytes")?);
        let before = ContentHash::parse(map.get("head")?.as_str()?)?;
        let same = ContentHash::of([head.get(..bytes as usize)?]) == before;
        same.then(|| Self { offset, line, head: Some(Arc::clone(head)) })
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
        }
    }

    /// Opens a file and finds out where an earlier run came to in it.
    pub(super) fn open(path: &Path, format: Option<Format>, marks: &HashMap<String, String>) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self::stdin(format));
        }
        let fail = |error: io::Error| Failure(format!("{}: {error}", path.display()));
        let metadata = std::fs::metadata(path).map_err(fail)?;
        if metadata.is_dir() {
            return Err(Failure(format!("{}: a folder; expected a file", path.display())));
        }
        let key = format!("input:{}", std::fs::canonicalize(path).map_err(fail)?.display());
        let mut input = Self {
            path: Some(path.to_owned()),
            name: path.display().to_string().into(),
            format: format.unwrap_or_else(|| format_of(path)),
            key: None,
            start: Position::default(),
            size: Some(metadata.len()),
        };
        if !metadata.is_file() {
            // A named pipe cannot be read twice.
            input.size = None;
            return Ok(input);
        }
        let mut head = Vec::new();
        input.raw(&Arc::default()).and_then(|raw| raw.take(HEAD_BYTES).read_to_end(&mut head)).map_err(fail)?;
        let head: Arc<[u8]> = head.into();
        input.start.head = Some(Arc::clone(&head));
        if let Some(text) = marks.get(&key) {
            match Position::resume(text, &head) {
                Some(position) => input.start = position,
                None => {
                    warn(format_args!(
                        "{}: not the file that was counted before; counting it from its beginning",
                        path.display()
                    ));
                }
            }
        }
        if !is_gz(path) && input.start.offset > metadata.len() {
            return Err(Failure(format!(
                "{}: {} bytes, but {} were counted before; it was cut short",
                path.display(),
                metadata.len(),
                input.start.offset
            )));
        }
        input.key = Some(key);
        Ok(input)
    }

    /// The bytes of the file as they lie on disk; `None` for a pipe.
    pub(super) fn size(&self) -> Option<u64> {
        self.size
    }

    pub(super) fn is_pipe(&self) -> bool {
        self.size.is_none()
    }

    /// The text from its beginning; `read` counts the bytes taken from disk.
    pub(super) fn raw(&self, read: &Arc<AtomicU64>) -> io::Result<Box<dyn Read>> {
        let Some(path) = &self.path else { return Ok(Box::new(Counted { inner: io::stdin(), read: read.clone() })) };
        let counted = Counted { inner: File::open(path)?, read: Arc::clone(read) };
        Ok(if is_gz(path) { Box::new(MultiGzDecoder::new(counted)) } else { Box::new(counted) })
    }

    /// The text from byte `offset` on.
    pub(super) fn from(&self, offset: u64, read: &Arc<AtomicU64>) -> io::Result<Box<dyn Read>> {
        match &self.path {
            Some(path) if offset > 0 && !is_gz(path) => {
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
