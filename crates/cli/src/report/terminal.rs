//! The terminal that progress is drawn on.

use std::io::{self, Write as _};

use comfy_table::Table;
use indicatif::TermLike;

/// The columns that `^C` takes if the terminal shows it.
const ROOM: u16 = 2;

/// The terminal of standard error, without its last columns. Progress fills the lines that it draws, and a `^C` after a full
/// line would move the cursor to the next one, so that the line could not be cleared.
#[derive(Debug)]
pub(super) struct Terminal;

fn write(text: &str) -> io::Result<()> {
    io::stderr().lock().write_all(text.as_bytes())
}

/// Moves the cursor, unless `count` is 0, which terminals treat as 1.
fn go(count: usize, direction: char) -> io::Result<()> {
    if count == 0 { Ok(()) } else { write(&format!("\x1b[{count}{direction}")) }
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        Table::new().use_stderr().width().filter(|width| *width > 0).unwrap_or(80).saturating_sub(ROOM).max(1)
    }
    fn move_cursor_up(&self, count: usize) -> io::Result<()> {
        go(count, 'A')
    }
    fn move_cursor_down(&self, count: usize) -> io::Result<()> {
        go(count, 'B')
    }
    fn move_cursor_right(&self, count: usize) -> io::Result<()> {
        go(count, 'C')
    }
    fn move_cursor_left(&self, count: usize) -> io::Result<()> {
        go(count, 'D')
    }
    fn write_line(&self, text: &str) -> io::Result<()> {
        write(&format!("{text}\n"))
    }
    fn write_str(&self, text: &str) -> io::Result<()> {
        write(text)
    }
    fn clear_line(&self) -> io::Result<()> {
        write("\r\x1b[2K")
    }
    fn flush(&self) -> io::Result<()> {
        io::stderr().flush()
    }
}
