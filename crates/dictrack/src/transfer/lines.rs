//! The lines of an export, each with its checksums.
//!
//! A line ends with `"check":[number,"own","all"]`: its number, counted from one; the CRC-32 of the line up to and
//! including that number; and the CRC-32 of all lines so far, each up to and including its number. An edited line does
//! not match its own checksum; a line that was moved, repeated or removed shows in the numbers; a line of another
//! export shows in `all`.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, BufRead, Read as _, Write};

use dictrack_core::json::{Bounds, Json};
use dictrack_core::text;

use super::TransferError;

/// The version of the format; version 1 had no checksums.
const VERSION: u64 = 2;

/// The maximum size of the first line, in bytes: it only names the format.
const MAX_FIRST_LINE: u64 = 4 * 1024;
/// The maximum size of a line, in bytes. A group with as many ids as can be kept takes a tenth of it.
const MAX_LINE: u64 = 1024 * 1024 * 1024;

/// Writes lines.
pub(super) struct Writer<'a> {
    out: &'a mut (dyn Write + Send),
    number: u64,
    all: crc32fast::Hasher,
}

impl<'a> Writer<'a> {
    /// Writes the first line, which names the format.
    pub(super) fn begin(out: &'a mut (dyn Write + Send)) -> io::Result<Self> {
        let mut lines = Self { out, number: 0, all: crc32fast::Hasher::new() };
        lines.write(format!(r#"{{"dictrack":{VERSION}}}"#))?;
        Ok(lines)
    }

    /// Writes a JSON object as a line that is safe to show on a terminal.
    pub(super) fn write(&mut self, line: String) -> io::Result<()> {
        let mut line = match text::json(&line) {
            Cow::Owned(escaped) => escaped,
            Cow::Borrowed(_) => line,
        };
        self.number += 1;
        debug_assert!(line.ends_with('}') && line.len() > 2, "an object with members");
        line.pop();
        let _ = write!(line, r#","check":[{}"#, self.number);
        let own = crc32fast::hash(line.as_bytes());
        self.all.update(line.as_bytes());
        let _ = writeln!(line, r#","{own:08x}","{:08x}"]}}"#, self.all.clone().finalize());
        self.out.write_all(line.as_bytes())
    }

    pub(super) fn finish(self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Reads lines and checks them.
pub(super) struct Reader<'a> {
    input: &'a mut (dyn BufRead + Send),
    line: Vec<u8>,
    number: u64,
    version: u64,
    all: crc32fast::Hasher,
}

impl<'a> Reader<'a> {
    /// Reads the first line, which says which format it is.
    pub(super) fn begin(input: &'a mut (dyn BufRead + Send)) -> Result<Self, TransferError> {
        let mut lines = Self { input, line: Vec::new(), number: 0, version: VERSION, all: crc32fast::Hasher::new() };
        if !lines.read()? {
            let problem = "the export is incomplete: it is empty".to_owned();
            return Err(TransferError::Line { line: 1, problem });
        }
        let first = lines.text().and_then(|text| Json::parse_within(text.as_bytes(), Bounds::STORED).ok());
        let version = first.as_ref().and_then(Json::as_map).and_then(|map| map.get("dictrack"));
        lines.version = match version {
            Some(version) if *version == 1.into() => 1,
            Some(version) if *version == VERSION.into() => VERSION,
            Some(version) if first.as_ref().is_some_and(|first| first.as_map().is_some_and(|map| map.len() <= 2)) => {
                return Err(lines.bad(format!(
                    "export format {version}, but this version of dictrack supports formats up to {VERSION}"
                )));
            }
            _ => {
                let problem = format!("not an export of dictrack; expected it to start with {{\"dictrack\":{VERSION}");
                return Err(lines.bad(problem));
            }
        };
        lines.check()?;
        Ok(lines)
    }

    /// Whether the lines have checksums.
    pub(super) fn has_checksums(&self) -> bool {
        self.version > 1
    }

    /// The number of the last line that was read.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    fn bad(&self, problem: String) -> TransferError {
        TransferError::Line { line: self.number, problem }
    }

    /// The next line, if there is one.
    pub(super) fn next(&mut self) -> Result<Option<Json>, TransferError> {
        if !self.read()? {
            return Ok(None);
        }
        self.check()?;
        let text = self.text().unwrap_or_default();
        Json::parse_within(text.as_bytes(), Bounds::STORED).map(Some).map_err(|error| self.bad(error.to_string()))
    }

    fn read(&mut self) -> Result<bool, TransferError> {
        self.line.clear();
        let longest = if self.number == 0 { MAX_FIRST_LINE } else { MAX_LINE };
        let read = (&mut *self.input).take(longest + 1).read_until(b'\n', &mut self.line)? as u64;
        self.number += u64::from(read > 0);
        if read > longest {
            return Err(self.bad(format!("line is longer than {longest} bytes")));
        }
        Ok(read > 0)
    }

    /// The line without its line ending, which a tool may have changed to CR LF.
    fn text(&self) -> Option<&str> {
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)).ok()
    }

    fn check(&mut self) -> Result<(), TransferError> {
        let Some(text) = self.text() else { return Err(self.bad("it is not UTF-8".to_owned())) };
        let check = Check::of(text);
        let matches = check.as_ref().is_some_and(Check::is_own);
        if self.version == 1 {
            let problem = "the line has a checksum, unlike exports of format 1, so line 1 was changed";
            return if matches { Err(self.bad(problem.to_owned())) } else { Ok(()) };
        }
        let Some(check) = check else {
            return Err(self.bad("the checksum is missing; the line was changed or truncated".to_owned()));
        };
        if !matches {
            return Err(self.bad("the line does not match its checksum; it was changed".to_owned()));
        }
        if check.number != self.number {
            let problem =
                format!("this is line {} of the export; lines are missing, duplicated or out of order", check.number);
            return Err(self.bad(problem));
        }
        let mut all = self.all.clone();
        all.update(check.checked.as_bytes());
        if check.all != format!(r#""{:08x}"]}}"#, all.clone().finalize()) {
            let problem = "the line does not fit the lines before it; it was changed, or belongs to another export";
            return Err(self.bad(problem.to_owned()));
        }
        self.all = all;
        Ok(())
    }
}

/// The end of a line that has checksums.
struct Check<'a> {
    /// What the checksums cover.
    checked: &'a str,
    number: u64,
    /// `,"own",`
    own: &'a str,
    /// `"all"]}`
    all: &'a str,
}

impl<'a> Check<'a> {
    fn of(line: &'a str) -> Option<Self> {
        const KEY: &str = r#","check":["#;
        let at = line.rfind(KEY)? + KEY.len();
        let digits = line[at..].bytes().take_while(u8::is_ascii_digit).count();
        let (checked, rest) = line.split_at(at + digits);
        let (own, all) = rest.split_at_checked(r#","01234567","#.len())?;
        Some(Self { checked, number: checked[at..].parse().ok()?, own, all })
    }

    /// Whether the line matches its own checksum.
    fn is_own(&self) -> bool {
        self.own == format!(r#","{:08x}","#, crc32fast::hash(self.checked.as_bytes()))
    }
}
