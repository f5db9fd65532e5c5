//! What is wrong with documents, and how much of it a person is shown.

use std::fmt;
use std::sync::Arc;

use dictrack::json::{Json, MAX_BYTES, SyntaxError};
use dictrack::text::plain;
use dictrack::{Number, Path, Timestamp, Value};

/// Reports of malformed documents that are shown; the rest is counted.
const SHOWN: u64 = 20;
/// The letters of a value that a report quotes.
const QUOTED: usize = 40;
/// So many first lines without JSON are not NDJSON.
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
    Other(String),
    /// It is no fault of a document: the input ends early or cannot be read.
    Input(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(problem) | Self::Other(problem) | Self::Input(problem) => f.write_str(problem),
            Self::Missing { what, path } => write!(f, "there is no {what} at {path}"),
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

    /// A document of `length` bytes, more than are read.
    pub(super) fn too_long(length: u64) -> Self {
        Self::Other(format!("a document of {length} bytes; expected at most {MAX_BYTES} (1 MiB)"))
    }

    /// There is nothing at `path` that could be a group, a moment or an id.
    pub(super) fn unfit(what: &'static str, path: &Path, found: Option<Value<'_>>, expected: &str) -> Self {
        let Some(found) = found.map(|value| value.to_json()) else {
            return Self::Missing { what, path: path.to_string() };
        };
        if let Json::Number(Number::NotANumber) = found {
            // No JSON text says NaN.
            return Self::Other(format!("the {what} at {path} is a text with a lone surrogate; expected {expected}"));
        }
        let seen = match &found {
            Json::Null => String::new(),
            Json::Text(text) => format!(" {}", quoted(text)),
            other => format!(" {}", shortened(&other.to_string())),
        };
        let hint = match &found {
            _ if what != "moment" => String::new(),
            Json::Number(number) if let Some(date) = date_in_digits(number) => format!("; is it the date {date}?"),
            found if is_in_milliseconds(found) => "; are these milliseconds?".to_owned(),
            _ => String::new(),
        };
        Self::Other(format!("the {what} at {path} is {}{seen}; expected {expected}{hint}", found.kind()))
    }
}

/// The date in a number that spells one: 20261231, also with hours, minutes and seconds behind it.
pub(super) fn date_in_digits(number: &Number) -> Option<String> {
    let least = Number::from(19_000_101_u64);
    // Of most moments no digits are made.
    if number.compare(&least)?.is_lt() || number.compare(&Number::from(30_000_000_u64))?.is_gt() {
        let least = Number::from(190_001_010_000_u64);
        if number.compare(&least)?.is_lt() {
            return None;
        }
    }
    let digits = number.to_string();
    let date = digits.get(..8).filter(|_| matches!(digits.len(), 8 | 12 | 14) && !digits.contains(['.', 'e']))?;
    let date = format!("{}-{}-{}", &date[..4], &date[4..6], &date[6..]);
    let is_likely = ("1900".."2200").contains(&&date[..4]) && Timestamp::parse(&date).is_some();
    let fits = |at: usize, most: &str| digits.get(at..at + 2).is_none_or(|part| part <= most);
    (is_likely && fits(8, "23") && fits(10, "59") && fits(12, "59")).then_some(date)
}

/// In seconds it would be a moment after the year 5100.
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
}

impl Reports {
    /// Whether another report is shown.
    pub(super) fn admit(&mut self) -> bool {
        let shows = self.shown < SHOWN;
        *(if shows { &mut self.shown } else { &mut self.more }) += 1;
        shows
    }

    /// What stands for the reports that were not shown.
    pub(super) fn rest(&self) -> Option<String> {
        (self.more > 0).then(|| format!("… {} more malformed", crate::report::thousands(self.more)))
    }
}

/// How the documents of one input fared.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) name: Arc<str>,
    /// Whether an earlier run counted documents of it.
    resumed: bool,
    good: u64,
    malformed: u64,
    syntax: u64,
    /// The path at which all that were malformed lacked a value.
    missing: Option<String>,
}

impl Tally {
    pub(super) fn new(name: Arc<str>, resumed: bool) -> Self {
        Self { name, resumed, good: 0, malformed: 0, syntax: 0, missing: None }
    }

    pub(super) fn good(&mut self) {
        self.good += 1;
    }

    /// Notes a malformed document, and says what may be wrong with all of them.
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
        let first = !self.resumed && self.good == 0 && self.malformed == FIRST_LINES;
        (first && self.syntax == FIRST_LINES)
            .then(|| format!("{}: its first lines are not JSON; if it is CSV, say --format csv", self.name))
    }

    /// Whether a mark may say that documents of it were counted.
    pub(super) fn was_counted(&self) -> bool {
        self.resumed || self.good > 0
    }

    /// What is wrong with an input of which nothing could be counted.
    pub(super) fn failure(&self) -> Option<String> {
        if self.was_counted() || self.malformed == 0 {
            return None;
        }
        let name = &self.name;
        Some(match &self.missing {
            Some(path) => format!("no document of {name} has a value at {path}; nothing of it was counted"),
            None if self.syntax == self.malformed => {
                format!("no line of {name} is JSON; nothing of it was counted; if it is CSV, say --format csv")
            }
            None => format!("every document of {name} is malformed; nothing of it was counted"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_seen_in_numbers_that_spell_one() {
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
    fn values_are_quoted_escaped_and_short() {
        let path = Path::parse("at").unwrap();
        let unfit = |text: &str| {
            let json = Json::parse(text.as_bytes()).unwrap();
            Problem::unfit("moment", &path, Some(Value::from(&json)), "seconds").to_string()
        };
        assert_eq!(unfit("null"), "the moment at at is null; expected seconds");
        assert_eq!(unfit(r#""a\u001b""#), "the moment at at is a string \"a\\u{1b}\"; expected seconds");
        assert_eq!(
            unfit("1700000000000"),
            "the moment at at is a number 1700000000000; expected seconds; are these milliseconds?"
        );
        let digits = "20261231235959";
        assert_eq!(
            unfit(digits),
            format!("the moment at at is a number {digits}; expected seconds; is it the date 2026-12-31?")
        );
        let long = unfit(&format!("[{}1]", "1,".repeat(100)));
        assert!(long.contains("1…; expected") && long.len() < 100, "{long}");
    }
}
