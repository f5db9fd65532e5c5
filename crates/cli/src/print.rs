//! Printing that outlives whoever reads: nothing here panics where standard output or standard error is closed or full.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use dictrack::json::Json;
use dictrack::text;

use crate::report::above_bar;

/// Standard output. One who has seen enough, such as `head`, ends the command quietly.
#[derive(Debug)]
pub(crate) struct Out(io::Stdout);

impl Out {
    pub(crate) fn new() -> Self {
        Self(io::stdout())
    }
}

fn quiet_end<T>(result: io::Result<T>) -> io::Result<T> {
    result.map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => std::process::exit(0),
        kind => io::Error::new(kind, format!("standard output: {error}")),
    })
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        quiet_end(self.0.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        quiet_end(self.0.flush())
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
