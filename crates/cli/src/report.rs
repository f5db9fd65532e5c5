//! Tables, bars and progress for people.

use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use comfy_table::{Cell, Column, ColumnConstraint, ContentArrangement, Row, Table, TableStyle, presets};
use console::measure_text_width;
use dictrack::json::{Json, Map};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

mod terminal;

/// An output format.
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

/// The minimum width of a bar.
const NARROWEST_BAR: usize = 4;

/// The minimum width of a column that may wrap. A terminal that is too narrow for that gets no columns.
const LEGIBLE: usize = 16;

/// Makes a table fit the terminal, if there is one. First its bars shrink, from `widest` cells; then columns that may wrap do.
/// If that leaves too little, each row becomes a list.
pub(crate) fn fitted(widest: usize, build: impl Fn(usize) -> Table) -> String {
    fitted_to(terminal_width(), widest, build)
}

/// The width of the terminal, if there is one. Some do not know it and report 0.
fn terminal_width() -> Option<u16> {
    Table::new().width().filter(|width| *width > 0)
}

/// A sentence in lines that fit the terminal, if there is one.
pub(crate) fn wrapped(text: &str) -> String {
    match terminal_width() {
        Some(width) => wrapped_to(text, width.into(), ""),
        None => text.to_owned(),
    }
}

/// A line, broken between words where it is too long. Further lines begin with `indent`.
fn wrapped_to(line: &str, width: usize, indent: &str) -> String {
    let (mut lines, mut last) = (String::new(), String::new());
    for (at, word) in line.split(' ').enumerate() {
        // Spaces at the beginning indent the first line.
        let is_begun = !last.trim_start().is_empty();
        if is_begun && measure_text_width(&last) + 1 + measure_text_width(word) > width {
            lines.push_str(&last);
            lines.push('\n');
            last = format!("{indent}{word}");
        } else {
            last.push_str(if at > 0 { " " } else { "" });
            last.push_str(word);
        }
    }
    lines + &last
}

fn fitted_to(terminal: Option<u16>, widest: usize, build: impl Fn(usize) -> Table) -> String {
    let table = build(widest);
    let Some(terminal) = terminal else { return table.to_string() };
    // The first line has only single-width characters and is as wide as the others.
    let width = |table: &Table| table.lines().next().map_or(0, |line| line.chars().count());
    let excess = |table: &Table| width(table).saturating_sub(usize::from(terminal));
    if excess(&table) == 0 {
        return table.to_string();
    }
    let mut table = build(widest.saturating_sub(excess(&table)).max(NARROWEST_BAR));
    if excess(&table) == 0 {
        return table.to_string();
    }
    if narrowest(&table) > usize::from(terminal) {
        return listed(&table, terminal.into());
    }
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(terminal);
    table.to_string()
}

/// The minimum width at which a table is legible.
fn narrowest(table: &Table) -> usize {
    let rows: Vec<_> = table.header().into_iter().chain(table.row_iter()).collect();
    let column = |(at, column): (usize, &Column)| {
        let cells = rows.iter().filter_map(|row| row.cell_iter().nth(at)).map(Cell::content);
        let lines = cells.flat_map(|cell| cell.lines().map(|line| line.chars().count()).collect::<Vec<_>>());
        let width = lines.max().unwrap_or(0);
        // Plus a space.
        1 + if column.constraint().is_some() { width } else { width.min(LEGIBLE) }
    };
    table.column_iter().enumerate().map(column).sum()
}

/// The rows of a table as lists: the first cell, and below it the others with their names. A cell without a name belongs to the
/// cell before it.
fn listed(table: &Table, width: usize) -> String {
    let names: Vec<_> = table.header().into_iter().flat_map(Row::cell_iter).map(Cell::content).collect();
    let mut lines = Vec::new();
    for row in table.row_iter() {
        let mut cells: Vec<(&str, String)> = Vec::new();
        for (name, cell) in names.iter().zip(row.cell_iter()) {
            match cells.last_mut() {
                Some((_, before)) if name.is_empty() => *before = format!("{} {}", before.trim_end(), cell.content()),
                _ => cells.push((name, cell.content())),
            }
        }
        for (at, (name, content)) in cells.iter().enumerate() {
            let content = content.trim_end();
            match at {
                0 => lines.push(content.to_owned()),
                _ if content.trim().is_empty() => {}
                // Each line has a bar.
                _ if content.contains('\n') => {
                    lines.push(format!("  {name}"));
                    lines.extend(content.lines().map(|line| wrapped_to(&format!("   {line}"), width, "     ")));
                }
                _ => lines.push(wrapped_to(&format!("  {name} {}", content.trim_start()), width, "    ")),
            }
        }
    }
    lines.join("\n")
}

/// A table with one space between its columns. Those named in `wrap` may wrap on a narrow terminal.
pub(crate) fn table(style: TableStyle, header: &[&str], wrap: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(style).set_header(header);
    // Styles with lines have their own spacing.
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

/// On a terminal, a spinner. Nothing in a pipe.
pub(crate) fn spinner(template: &str) -> ProgressBar {
    let bar = drawn(None, template);
    if !bar.is_hidden() {
        bar.enable_steady_tick(Duration::from_millis(100));
    }
    bar
}

/// On a terminal, a bar over the bytes of all inputs, or a spinner if the total is unknown. Nothing in a pipe.
pub(crate) fn input_bar(total: Option<u64>) -> ProgressBar {
    match total {
        Some(_) => drawn(total, "{wide_bar} {percent:>3}% {msg} eta {eta}"),
        None => spinner("{spinner} {msg} {elapsed}"),
    }
}

/// The latest bar.
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
        let narrow = lines(Some(22));
        assert!(narrow.len() > 2 && narrow.iter().all(|line| line.chars().count() <= 22), "{narrow:#?}");
        assert!(narrow[1].ends_with(" ████"), "{narrow:#?}");
        // Names with one letter per line are useless.
        assert_eq!(lines(Some(12)), ["a name of 20 letters", "  bar ████"]);
    }

    #[test]
    fn a_line_that_is_too_long_breaks_between_words() {
        assert_eq!(wrapped_to("  why it reached its last target", 20, "    "), "  why it reached its\n    last target");
        assert_eq!(wrapped_to("a 名前名前 b", 6, ""), "a\n名前名前\nb");
        for (line, width) in [("short", 40), ("", 3), ("averylongword", 5), ("  averylongword", 5)] {
            assert_eq!(wrapped_to(line, width, "  "), line);
        }
        let text = "4,652 documents in 0.05 s, 88,823 a second, 1,500 groups";
        for width in 9..60 {
            let lines = wrapped_to(text, width, "");
            assert!(lines.lines().all(|line| line.chars().count() <= width), "{width}: {lines}");
            assert_eq!(lines.replace('\n', " "), text);
        }
    }

    #[test]
    fn names_stay_legible_at_every_width() {
        let build = |cells: usize| {
            let mut table = table(presets::NOTHING, &["tracker", "progress", "", "limiters"], &["tracker", "limiters"]);
            let row = |part| {
                ["loyal_customer_of_the_year".to_owned(), bar(part, cells), "6/10".to_owned(), "3 left".to_owned()]
            };
            table.add_row(row(0.5)).add_row(row(0.0));
            table
        };
        for width in 1..120 {
            let text = fitted_to(Some(width), 20, build);
            assert_eq!(text.matches("loyal_customer_o").count(), 2, "{width}:\n{text}");
            let is_table = text.starts_with("tracker ");
            let fits = text.lines().all(|line| line.chars().count() <= usize::from(width));
            assert!(!is_table || fits, "{width}:\n{text}");
        }
        assert!(fitted_to(Some(20), 20, build).ends_with("\n  progress 6/10\n  limiters 3 left"));
    }
}
