//! `--watch`: shows something again whenever it changes, until Ctrl-C.

use std::io::{IsTerminal as _, Write as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use console::Term;
use dictrack::Timestamp;
use dictrack::clock::{Clock as _, SystemClock};
use signal_hook::consts::SIGINT;
use signal_hook::iterator::Signals;

use crate::print::{Out, say};
use crate::run::stop::ignored;
use crate::words::Words;
use crate::{Failure, Outcome};

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// Shows what `text` returns as of a moment. A terminal is redrawn every second. Elsewhere, it is printed when documents have
/// changed it; that time passes is no change.
pub(crate) fn watch(mut text: impl FnMut(Timestamp) -> Result<String, Failure>) -> Outcome {
    let ended = interrupt()?;
    let is_terminal = std::io::stdout().is_terminal();
    let mut printed: Option<(Timestamp, String)> = None;
    loop {
        let now = SystemClock.now();
        if is_terminal {
            draw(&text(now)?, now, printed.is_none())?;
            printed = Some((now, String::new()));
        } else {
            let is_same = match &printed {
                Some((then, before)) => text(*then)? == *before,
                None => false,
            };
            if !is_same {
                let new = text(now)?;
                say(new.trim_end_matches('\n'));
                printed = Some((now, new));
            }
        }
        if ended.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout) {
            if is_terminal {
                // Below the `^C` of the terminal.
                say("");
            }
            return Ok(true);
        }
    }
}

/// Receives once Ctrl-C is pressed, unless this process was started to ignore it.
fn interrupt() -> Result<Receiver<()>, Failure> {
    let (sender, receiver) = channel();
    let is_ignored = ignored() >> (SIGINT - 1) & 1 == 1;
    let mut signals = Signals::new(if is_ignored { None } else { Some(SIGINT) })?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            // The watch may have ended with an error.
            let _ = sender.send(());
        }
        if is_ignored {
            // The sender has to stay.
            loop {
                std::thread::park();
            }
        }
    });
    Ok(receiver)
}

/// Draws over what was drawn before, line by line, so that nothing flickers.
fn draw(text: &str, now: Timestamp, is_first: bool) -> Result<(), Failure> {
    let (rows, columns) =
        Term::stdout().size_checked().map_or((24, 80), |(rows, columns)| (rows.into(), columns.into()));
    let mut screen = String::from(if is_first { "\x1b[2J\x1b[H" } else { "\x1b[H" });
    let lines: Vec<&str> = text.lines().collect();
    // The last two lines are for the time.
    let most = usize::saturating_sub(rows, 3).max(1);
    for line in lines.iter().take(most) {
        screen.push_str(&console::truncate_str(line, columns, "…"));
        screen.push_str("\x1b[K\n");
    }
    if let hidden @ 1.. = lines.len().saturating_sub(most) {
        screen.push_str(&format!("… {hidden} more lines"));
    }
    let about = format!("{}; Ctrl-C ends", Words::at(now).seconds(now));
    screen.push_str(&format!("\x1b[K\n{}\x1b[K\x1b[J", console::truncate_str(&about, columns, "…")));
    let mut out = Out::new();
    out.write_all(screen.as_bytes())?;
    Ok(out.flush()?)
}
