//! What people look at: tables, bars, progress.

use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use comfy_table::{ColumnConstraint, ContentArrangement, Table, TableStyle, presets};
use dictrack::json::{Json, Map};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

mod terminal;

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

/// The least that a bar shrinks to.
const NARROWEST_BAR: usize = 4;

/// Makes a table fit the terminal, if there is one: its bars, of at most `widest` cells, shrink first; then the columns that
/// may wrap do.
pub(crate) fn fitted(widest: usize, build: impl Fn(usize) -> Table) -> Table {
    let terminal = Table::new().width();
    fitted_to(terminal, widest, build)
}

fn fitted_to(terminal: Option<u16>, widest: usize, build: impl Fn(usize) -> Table) -> Table {
    let table = build(widest);
    let Some(terminal) = terminal else { return table };
    // The first line is of one-column letters and as wide as all.
    let width = table.lines().next().map_or(0, |line| line.chars().count());
    let excess = width.saturating_sub(usize::from(terminal));
    if excess == 0 {
        return table;
    }
    let mut table = build(widest.saturating_sub(excess).max(NARROWEST_BAR));
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(terminal);
    table
}

/// A table with one space between its columns, of which those named in `wrap` give way where the terminal is narrow.
pub(crate) fn table(style: TableStyle, header: &[&str], wrap: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(style).set_header(header);
    // Lines bring their own.
    let space = u16::from(style == presets::NOTHING);
    for (column, name) in table.column_iter_mut().zip(header) {
        column.set_padding((0, space));
        if !wrap.contains(name) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table
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

/// A map of these entries.
pub(crate) fn object<const N: usize>(entries: [(&str, Json); N]) -> Json {
    Json::Map(entries.into_iter().map(|(key, value)| (key.into(), value)).collect::<Map>())
}

/// A spinner on a terminal, nothing in a pipe.
pub(crate) fn spinner(template: &str) -> ProgressBar {
    let bar = drawn(None, template);
    if !bar.is_hidden() {
        bar.enable_steady_tick(Duration::from_millis(100));
    }
    bar
}

/// A bar over the bytes of all inputs on a terminal, nothing in a pipe. Without a total it spins.
pub(crate) fn input_bar(total: Option<u64>) -> ProgressBar {
    match total {
        Some(_) => drawn(total, "{wide_bar} {percent:>3}% {msg} eta {eta}"),
        None => spinner("{spinner} {msg} {elapsed}"),
    }
}

/// The bar that was drawn last.
static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Prints on standard error, above the bar if there is one.
pub(crate) fn above_bar(print: impl FnOnce()) {
    let bar = BAR.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match bar {
        Some(bar) if !bar.is_finished() => bar.suspend(print),
        _ => print(),
    }
}

fn drawn(total: Option<u64>, template: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let target = ProgressDrawTarget::term_like_with_hz(Box::new(terminal::Terminal), 10);
    let bar = ProgressBar::with_draw_target(total, target);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    *BAR.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.clone());
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

    #[test]
    fn bars_shrink_before_names_wrap() {
        let build = |cells: usize| {
            let mut table = table(presets::NOTHING, &["name", "bar"], &["name"]);
            table.add_row(["a name of 20 letters".to_owned(), bar(1.0, cells)]);
            table
        };
        let lines =
            |width| fitted_to(width, 12, build).lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
        let row = |cells| format!("a name of 20 letters {}", "█".repeat(cells));
        assert_eq!(lines(None)[1..], [row(12)]);
        assert_eq!(lines(Some(80))[1..], [row(12)]);
        assert_eq!(lines(Some(30))[1..], [row(8)]);
        let narrow = lines(Some(18));
        assert!(narrow.len() > 2 && narrow.iter().all(|line| line.chars().count() <= 18), "{narrow:#?}");
        assert!(narrow[1].ends_with(" ████"), "{narrow:#?}");
    }
}
