//! The data of an input, unpacked, with the trail that identifies it.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Seek as _, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use encoding_rs_io::DecodeReaderBytes;

use super::gzip::{self, Unpacked};
use super::trail::Trail;

/// How much is read at a time, which is roughly the size of a batch.
const CHUNK_BYTES: usize = 1 << 16;

/// Magic bytes of unsupported formats, and their description.
const FOREIGN: [(&[u8], &str); 4] = [
    #[cfg(not(feature = "zstd"))]
    (&ZSTD, "zstd; this build of dictrack does not include the feature \"zstd\""),
    #[cfg(feature = "zstd")]
    (&ZSTD, "packed with zstd twice; expected it once"),
    (b"\xfd7zXZ\0", "packed with xz; expected plain text, gzip or zstd: unpack it with `xz -dc`"),
    (b"PK\x03\x04", "a zip archive; expected plain text, gzip or zstd: unpack it with `unzip -p`"),
    (b"PAR1", "Parquet, but a pipe or incomplete; expected a whole file"),
];

/// The first bytes of zstd.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// What an input has to go through to become UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Plain,
    Gzip,
    #[cfg(feature = "zstd")]
    Zstd,
    Utf16,
    /// Nothing but the byte order mark of UTF-16, which the decoder needs another byte to recognise.
    Utf16Empty,
}

impl Form {
    fn of(first: &[u8]) -> Self {
        match first {
            [0xff, 0xfe] | [0xfe, 0xff] => Self::Utf16Empty,
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Self::Utf16,
            first if first.starts_with(&gzip::MAGIC) => Self::Gzip,
            #[cfg(feature = "zstd")]
            first if first.starts_with(&ZSTD) => Self::Zstd,
            _ => Self::Plain,
        }
    }

    fn decode(self, data: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::Plain => Box::new(data),
            Self::Gzip => Box::new(Unpacked::new(BufReader::with_capacity(CHUNK_BYTES / 2, data))),
            #[cfg(feature = "zstd")]
            Self::Zstd => Box::new(super::zstd::Unpacked::new(data)?),
            Self::Utf16 => Box::new(DecodeReaderBytes::new(data)),
            Self::Utf16Empty => Box::new(io::empty()),
        })
    }
}

/// How many bytes tell the format: as few as possible of a pipe, which may have no more for a while.
const FIRST: u64 = 6;
const FIRST_OF_FILE: u64 = 64;

/// The bytes read from disk so far, over all inputs, for the progress bar.
pub(super) type Taken = Arc<AtomicU64>;

pub(super) struct Text {
    /// The first bytes.
    first: Vec<u8>,
    reader: BufReader<Source>,
    trail: Trail,
    /// Whether a mark will record how far it was counted.
    is_marked: bool,
}

enum Source {
    /// A file, which supports seeking.
    File(Counted<File>),
    /// A stream, which is read from start to end.
    Stream(Box<dyn Read + Send>),
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(buffer),
            Self::Stream(stream) => stream.read(buffer),
        }
    }
}

impl Text {
    /// The data of a file.
    pub(super) fn of_file(mut file: File, taken: &Taken, is_marked: bool) -> io::Result<Self> {
        let first = first(&mut file, FIRST_OF_FILE)?;
        file.seek(SeekFrom::Start(0))?;
        let file = Counted { inner: file, taken: Arc::clone(taken) };
        match Form::of(&first) {
            Form::Plain => Ok(Self::new(first, Source::File(file), is_marked)),
            form => Self::decoded(form, file, is_marked),
        }
    }

    /// The data of a stream that can be read only once.
    pub(super) fn of_stream(stream: impl Read + Send + 'static, taken: &Taken) -> io::Result<Self> {
        let mut stream = Counted { inner: stream, taken: Arc::clone(taken) };
        let first = first(&mut stream, FIRST)?;
        let form = Form::of(&first);
        Self::decoded(form, io::Cursor::new(first).chain(stream), false)
    }

    fn decoded(form: Form, data: impl Read + Send + 'static, is_marked: bool) -> io::Result<Self> {
        let mut text = form.decode(data)?;
        let first = first(&mut text, FIRST)?;
        let whole = io::Cursor::new(first.clone()).chain(text);
        // What was unpacked may be UTF-16.
        match Form::of(&first) {
            inner @ (Form::Utf16 | Form::Utf16Empty) if form != Form::Utf16 => Self::decoded(inner, whole, is_marked),
            _ => Ok(Self::new(first, Source::Stream(Box::new(whole)), is_marked)),
        }
    }

    fn new(first: Vec<u8>, source: Source, is_marked: bool) -> Self {
        Self { first, reader: BufReader::with_capacity(CHUNK_BYTES, source), trail: Trail::default(), is_marked }
    }

    /// The data of `reader`.
    #[cfg(test)]
    pub(super) fn of(reader: impl Read + Send + 'static) -> Self {
        Self::new(Vec::new(), Source::Stream(Box::new(reader)), true)
    }

    /// Why it cannot be read, if its first bytes tell.
    pub(super) fn foreign(&self) -> Option<&'static str> {
        FOREIGN.iter().find(|(magic, _)| self.first.starts_with(magic)).map(|(_, words)| *words)
    }

    /// How it begins. A file is not read for this, since it is only read when its turn comes, and may have changed by then.
    pub(super) fn begin(&mut self) -> io::Result<&[u8]> {
        match self.reader.get_ref() {
            Source::File(_) => Ok(&self.first),
            Source::Stream(_) => self.reader.fill_buf(),
        }
    }

    /// The byte after what was read.
    pub(super) fn offset(&self) -> u64 {
        self.trail.end
    }

    /// Whether a mark will record how far it was counted, so that a later run resumes there.
    pub(super) fn is_marked(&self) -> bool {
        self.is_marked
    }

    /// Whether more may be appended later. The end of a gzipped file is marked as such.
    pub(super) fn may_grow(&self) -> bool {
        self.is_marked && matches!(self.reader.get_ref(), Source::File(_))
    }

    /// The buffered data; empty only at the end.
    pub(super) fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.reader.fill_buf()
    }

    pub(super) fn consume(&mut self, count: usize) {
        if self.is_marked {
            self.trail.push(&self.reader.buffer()[..count]);
        } else {
            self.trail.end += count as u64;
        }
        self.reader.consume(count);
    }

    /// The trail up to `offset`, where the data that was not counted yet starts.
    pub(super) fn split_trail(&mut self, offset: u64) -> Trail {
        self.trail.split(offset)
    }

    pub(super) fn trail(&self) -> &Trail {
        &self.trail
    }

    /// The length of the data: that of the file, or for a stream, what was read so far.
    pub(super) fn end(&self) -> io::Result<u64> {
        match self.reader.get_ref() {
            Source::File(file) => Ok(file.inner.metadata()?.len()),
            Source::Stream(_) => Ok(self.offset()),
        }
    }

    /// Skips to byte `offset`; `false` if the data ends before. Does not go back.
    pub(super) fn skip_to(&mut self, offset: u64) -> io::Result<bool> {
        if offset <= self.offset() {
            return Ok(true);
        }
        let before = self.offset();
        if let Source::File(file) = self.reader.get_mut() {
            file.taken.fetch_add(offset - before, Ordering::Relaxed);
            match Trail::of_file(&mut file.inner, offset) {
                Ok(trail) => self.trail = trail,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
                Err(error) => return Err(error),
            }
            self.reader.seek(SeekFrom::Start(offset))?;
            return Ok(true);
        }
        while self.offset() < offset {
            let rest = usize::try_from(offset - self.offset()).unwrap_or(usize::MAX);
            let count = self.fill_buf()?.len().min(rest);
            if count == 0 {
                return Ok(false);
            }
            self.consume(count);
        }
        Ok(true)
    }
}

impl io::Seek for Source {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::File(file) => file.inner.seek(to),
            Self::Stream(_) => Err(io::ErrorKind::NotSeekable.into()),
        }
    }
}

/// The first bytes, which identify the format.
fn first(reader: &mut impl Read, count: u64) -> io::Result<Vec<u8>> {
    let mut first = Vec::new();
    reader.take(count).read_to_end(&mut first)?;
    Ok(first)
}

/// Counts the bytes that are read.
struct Counted<R> {
    inner: R,
    taken: Taken,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.taken.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
