//! Printing that outlives whoever reads: nothing here panics where standard output or standard error is closed or full.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use dictrack::json::Json;
use dictrack::text;

use crate::report::above_bar;

/// What a command ends with whose output nobody reads any more, such as before `head`: 128 and the number of SIGPIPE, as of
/// other programs in a pipe.
pub(crate) const OUT_CLOSED: u8 = 141;

/// Standard output.
#[derive(Debug)]
pub(crate) struct Out {
    out: io::Stdout,
    /// Whether the command ends here, quietly, when nobody reads any more.
    ends: bool,
}

impl Out {
    /// That of a command which has nothing more to do when nobody reads.
    pub(crate) fn new() -> Self {
        Self { out: io::stdout(), ends: true }
    }

    /// That of a command which wants to know.
    pub(crate) fn that_says_so() -> Self {
        Self { out: io::stdout(), ends: false }
    }

    fn named<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe if self.ends => std::process::exit(OUT_CLOSED.into()),
            kind => io::Error::new(kind, format!("standard output: {error}")),
        })
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes);
        self.named(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.out.flush();
        self.named(flushed)
    }
}

/// Prints a line on standard output.
pub(crate) fn say(line: impl Display) {
    if let Err(error) = writeln!(Out::new(), "{line}") {
        warn(format_args!("dictrack: {error}"));
        std::process::exit(1);
    }
}

/// Prints JSON on standard output, as a line that a terminal may show.
pub(crate) fn say_json(json: &Json) {
    say(text::json(&json.to_string()));
}

/// Prints lines for a person on standard error; nothing can be done where that is closed or full.
pub(crate) fn warn(lines: impl Display) {
    let lines = lines.to_string();
    let lines: Vec<_> = lines.split('\n').map(text::sentence).collect();
    above_bar(|| drop(writeln!(io::stderr().lock(), "{}", lines.join("\n"))));
}

/// A line of the log, printed on standard error when it is whole.
#[derive(Debug, Default)]
pub(crate) struct LogLine(Vec<u8>);

impl Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LogLine {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            warn(String::from_utf8_lossy(&self.0).trim_end_matches('\n').replace('\n', "\\n"));
        }
    }
}
