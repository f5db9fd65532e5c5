//! Printing that never panics, even if standard output or standard error is closed or full.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use dictrack::json::Json;
use dictrack::text;

use crate::report::above_bar;

/// The exit code if standard output was closed, as by `head`: 128 plus the number of SIGPIPE, as for other programs in a
/// pipe.
pub(crate) const OUT_CLOSED: u8 = 141;

/// Standard output.
#[derive(Debug)]
pub(crate) struct Out {
    out: io::Stdout,
    /// Whether the command exits silently when standard output is closed.
    ends: bool,
}

impl Out {
    /// For a command that has nothing more to do once standard output is closed.
    pub(crate) fn new() -> Self {
        Self { out: io::stdout(), ends: true }
    }

    /// For a command that handles a closed standard output itself.
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

/// Prints JSON on standard output.
pub(crate) fn say_json(json: &Json) {
    say(json_line(json));
}

/// JSON as a line that is safe to show on a terminal.
pub(crate) fn json_line(json: &Json) -> String {
    text::json(&json.to_string()).into_owned()
}

/// Prints lines on standard error. If that is closed or full, they are lost.
pub(crate) fn warn(lines: impl Display) {
    let lines = lines.to_string();
    let lines: Vec<_> = lines.split('\n').map(text::sentence).collect();
    above_bar(|| drop(writeln!(io::stderr().lock(), "{}", lines.join("\n"))));
}

/// A log line, printed on standard error when it is complete.
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
