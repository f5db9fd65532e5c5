//! Problems with documents, and how many of them are shown.

use std::fmt;
use std::sync::Arc;

use dictrack::json::{Json, MAX_BYTES, SyntaxError};
use dictrack::text::plain;
use dictrack::{Path, Span, Timestamp, document::Value, number::Number, time};

/// How many malformed or rejected documents are reported; the others are only counted.
const SHOWN: u64 = 20;
/// How many characters of a value a report quotes.
const QUOTED: usize = 40;
/// If this many first lines are not JSON, the input is probably not NDJSON.
const FIRST_LINES: u64 = 3;

/// What is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// It is not JSON.
    Syntax(String),
    /// There is no `what` at `path`.
    Missing {
        what: &'static str,
        path: String,
    },
    /// Its time is too far ahead of the clock.
    Ahead(String),
    Other(String),
    /// Not a problem with a document: the input ends early or cannot be read.
    Input(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(problem) | Self::Ahead(problem) | Self::Other(problem) | Self::Input(problem) => {
                f.write_str(problem)
            }
            Self::Missing { what, path } => write!(f, "no {what} at {path}"),
        }
    }
}

impl Problem {
    /// A line that is not JSON, or nests too deep.
    pub(super) fn syntax(line: &[u8], error: &SyntaxError) -> Self {
        if error.exceeds {
            return Self::Other(error.problem.clone());
        }
        Self::Syntax(match line.first() {
            Some(b'{' | b'[') => format!("not JSON: {} at column {}", error.problem, error.position.column),
            _ => format!("not JSON: {}; expected a document like {{\"a\": 1}}", quoted(&String::from_utf8_lossy(line))),
        })
    }

    /// A document of `length` bytes, which is too long.
    pub(super) fn too_long(length: u64) -> Self {
        Self::Other(format!("document of {length} bytes; expected up to {MAX_BYTES} (1 MiB)"))
    }

    /// The time at `path` is more than `most` ahead of the clock.
    pub(super) fn ahead(path: &Path, time: Timestamp, clock: Timestamp, most: Span) -> Self {
        let path = path.to_string();
        let seconds = most.to_number();
        let path = plain(&path);
        Self::Ahead(format!("the time at {path} is {time}, more than {seconds} s ahead of the clock ({clock})"))
    }

    /// The value at `path` is not a valid group, time or id.
    pub(super) fn unfit(what: &'static str, path: &Path, found: Option<Value<'_>>, expected: &str) -> Self {
        let path = path.to_string();
        let path = plain(&path);
        let Some(found) = found.map(|value| value.to_json()) else {
            return Self::Missing { what, path: path.into_owned() };
        };
        if let Json::Number(Number::NotANumber) = found {
            // JSON has no NaN; this is how such a string is read.
            return Self::Other(format!("the {what} at {path} is a string with a lone surrogate; expected {expected}"));
        }
        let seen = match &found {
            Json::Null => String::new(),
            Json::Text(text) => format!(" {}", quoted(text)),
            other => format!(" {}", shortened(&other.to_string())),
        };
        let hint = match &found {
            _ if what != "time" => String::new(),
            Json::Number(number) if let Some(date) = date_in_digits(number) => format!("; is it the date {date}?"),
            found if is_in_milliseconds(found) => "; are these milliseconds?".to_owned(),
            _ => String::new(),
        };
        Self::Other(format!("the {what} at {path} is {}{seen}; expected {expected}{hint}", found.kind()))
    }
}

/// The date in a number such as 20261231, which may be followed by hours, minutes and seconds.
pub(super) fn date_in_digits(number: &Number) -> Option<String> {
    let least = Number::from(19_000_101_u64);
    // Most timestamps are ruled out without formatting them.
    if number.compare(&least)?.is_lt() || number.compare(&Number::from(30_000_000_u64))?.is_gt() {
        let least = Number::from(190_001_010_000_u64);
        if number.compare(&least)?.is_lt() {
            return None;
        }
    }
    time::date_in_digits(&number.to_string())
}

/// In seconds it would be after the year 5100.
fn is_in_milliseconds(value: &Json) -> bool {
    let least = Number::from(100_000_000_000_u64);
    value.as_number().is_some_and(|number| number.compare(&least).is_some_and(|order| order.is_ge()))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", shortened(text))
}

fn shortened(text: &str) -> String {
    let mut letters = text.chars();
    let begin: String = letters.by_ref().take(QUOTED).collect();
    format!("{}{}", plain(&begin), if letters.next().is_some() { "…" } else { "" })
}

/// How many reports were shown, and how many were not.
#[derive(Debug, Default)]
pub(super) struct Reports {
    shown: u64,
    more: u64,
    /// Whether some of them were rejected by `--ahead`.
    ahead: bool,
    /// Those that were shown.
    pub(super) texts: Vec<String>,
}

impl Reports {
    /// Whether to show another report.
    pub(super) fn admit(&mut self, problem: &Problem) -> bool {
        self.ahead |= matches!(problem, Problem::Ahead(_));
        let shows = self.shown < SHOWN;
        *(if shows { &mut self.shown } else { &mut self.more }) += 1;
        shows
    }

    /// A line about the reports that were not shown.
    pub(super) fn rest(&self) -> Option<String> {
        let what = if self.ahead { "malformed or rejected documents" } else { "malformed documents" };
        (self.more > 0).then(|| format!("… and {} more {what}", crate::report::thousands(self.more)))
    }
}

/// The results for the documents of one input.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) name: Arc<str>,
    /// Whether an earlier run counted documents from it.
    resumed: bool,
    good: u64,
    malformed: u64,
    syntax: u64,
    /// How many of the malformed ones are not malformed, but were rejected by `--ahead`.
    ahead: u64,
    /// The path at which every malformed document lacked a value.
    missing: Option<String>,
    /// Whether a report listed the fields of a document.
    said_fields: bool,
}

impl Tally {
    pub(super) fn new(name: Arc<str>, resumed: bool) -> Self {
        Self { name, resumed, good: 0, malformed: 0, syntax: 0, ahead: 0, missing: None, said_fields: false }
    }

    /// Whether the problem is the first value that is missing in this input.
    pub(super) fn is_first_missing(&mut self, problem: &Problem) -> bool {
        matches!(problem, Problem::Missing { .. }) && !std::mem::replace(&mut self.said_fields, true)
    }

    pub(super) fn good(&mut self) {
        self.good += 1;
    }

    /// Records a malformed document, and returns a hint if all of them may have the same problem.
    pub(super) fn malformed(&mut self, problem: &Problem) -> Option<String> {
        if let Problem::Input(_) = problem {
            return None;
        }
        let missing = if let Problem::Missing { path, .. } = problem { Some(path) } else { None };
        if self.malformed == 0 {
            self.missing = missing.cloned();
        } else if self.missing.as_ref() != missing {
            self.missing = None;
        }
        self.malformed += 1;
        self.syntax += u64::from(matches!(problem, Problem::Syntax(_)));
        self.ahead += u64::from(matches!(problem, Problem::Ahead(_)));
        let first = !self.resumed && self.good == 0 && self.malformed == FIRST_LINES;
        (first && self.syntax == FIRST_LINES)
            .then(|| format!("{}: the first lines are not JSON; if it is CSV, use --format csv", self.name))
    }

    /// Whether any document was counted, so that a mark may be stored.
    pub(super) fn was_counted(&self) -> bool {
        self.resumed || self.good > 0
    }

    /// The problem with an input from which nothing could be counted.
    pub(super) fn failure(&self) -> Option<String> {
        if self.was_counted() || self.malformed == 0 {
            return None;
        }
        let name = &self.name;
        Some(match &self.missing {
            Some(path) => format!("no document in {name} has a value at {path}; none was counted"),
            None if self.syntax == self.malformed => {
                format!("no line of {name} is JSON; none was counted; if it is CSV, use --format csv")
            }
            None if self.ahead == self.malformed => {
                format!("every document in {name} is too far ahead of the clock; none was counted")
            }
            None if self.ahead > 0 => {
                format!("every document in {name} is malformed or too far ahead of the clock; none was counted")
            }
            None => format!("every document in {name} is malformed; none was counted"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_look_like_dates_are_detected() {
        let date = |text: &str| date_in_digits(&Number::parse(text).unwrap());
        for text in ["20261231", "202612312359", "20261231235959"] {
            assert_eq!(date(text).as_deref(), Some("2026-12-31"), "{text}");
        }
        let others = ["0", "20261331", "20260230", "20261231.5", "18991231", "22000101", "1700000000", "202612312460"];
        for text in others.into_iter().chain(["2026123123", "-20261231", "1e30", "1700000000000", "20261231000060"]) {
            assert_eq!(date(text), None, "{text}");
        }
    }

    #[test]
    fn values_are_quoted_escaped_and_shortened() {
        let path = Path::parse("at").unwrap();
        let unfit = |text: &str| {
            let json = Json::parse(text.as_bytes()).unwrap();
            Problem::unfit("time", &path, Some(Value::from(&json)), "seconds").to_string()
        };
        assert_eq!(unfit("null"), "the time at at is null; expected seconds");
        assert_eq!(unfit(r#""a\u001b""#), "the time at at is a string \"a\\u{1b}\"; expected seconds");
        assert_eq!(
            unfit("1700000000000"),
            "the time at at is a number 1700000000000; expected seconds; are these milliseconds?"
        );
        let digits = "20261231235959";
        assert_eq!(
            unfit(digits),
            format!("the time at at is a number {digits}; expected seconds; is it the date 2026-12-31?")
        );
        let long = unfit(&format!("[{}1]", "1,".repeat(100)));
        assert!(long.contains("1…; expected") && long.len() < 100, "{long}");
    }
}
