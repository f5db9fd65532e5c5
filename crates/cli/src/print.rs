//! Printing that outlives whoever reads: nothing here panics where standard output or standard error is closed or full.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

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

/// Prints lines for a person on standard error; nothing can be done where that is closed or full.
pub(crate) fn warn(lines: impl Display) {
    let text = escaped(&lines.to_string(), |letter| letter == '\n');
    above_bar(|| drop(writeln!(io::stderr().lock(), "{text}")));
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
            above_bar(|| drop(io::stderr().lock().write_all(&self.0)));
        }
    }
}

/// A text of a document, a group or a tracker as a terminal may show it.
pub(crate) fn plain(text: &str) -> String {
    escaped(text, |_| false)
}

/// `text` with its control characters written out, except those that may stay.
fn escaped(text: &str, stays: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_control(letter) && !stays(letter) {
            out.extend(letter.escape_default());
        } else {
            out.push(letter);
        }
    }
    out
}

/// What moves the cursor, ends a line, or turns the direction of writing.
fn is_control(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_written_out() {
        assert_eq!(plain("a\u{1b}[2J\n\u{9b}é\u{202e}"), "a\\u{1b}[2J\\n\\u{9b}é\\u{202e}");
        assert_eq!(escaped("a\nb\r", |letter| letter == '\n'), "a\nb\\r");
    }
}
