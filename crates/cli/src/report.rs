//! What people look at: tables, bars, progress.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How an answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// A table for people.
    Table,
    /// JSON for programs.
    Json,
}

impl Output {
    pub(crate) fn is_json(self) -> bool {
        self == Self::Json
    }
}

/// A bar of `width` cells, filled to `part` of `whole` in eighths of a cell.
pub(crate) fn bar(part: f64, width: usize) -> String {
    const EIGHTHS: [char; 9] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
    let eighths = (part.clamp(0.0, 1.0) * width as f64 * 8.0).round() as usize;
    (0..width).map(|cell| EIGHTHS[eighths.saturating_sub(cell * 8).min(8)]).collect()
}

/// `1234567` as `1,234,567`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 document`, `2,000 documents`.
pub(crate) fn counted(number: u64, unit: &str) -> String {
    format!("{} {unit}{}", thousands(number), if number == 1 { "" } else { "s" })
}

/// A spinner on a terminal, nothing in a pipe.
pub(crate) fn spinner(template: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// A bar over the bytes of all inputs on a terminal, nothing in a pipe. Without a total it spins.
pub(crate) fn input_bar(total: Option<u64>) -> ProgressBar {
    let Some(total) = total else { return spinner("{spinner} {msg} {elapsed}") };
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(total);
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {percent:>3}% {msg} eta {eta}") {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_fill_by_eighths() {
        assert_eq!(bar(0.0, 4), "    ");
        assert_eq!(bar(1.0, 4), "████");
        assert_eq!(bar(0.5, 3), "█▌ ");
        assert_eq!(bar(7.0, 2), "██");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(thousands(12), "12");
        assert_eq!((counted(1, "group"), counted(0, "group")), ("1 group".to_owned(), "0 groups".to_owned()));
    }
}
