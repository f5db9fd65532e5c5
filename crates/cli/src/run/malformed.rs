//! What is wrong with documents, and how much of it a person is shown.

use std::fmt;
use std::sync::Arc;

use dictrack::json::{Json, SyntaxError};
use dictrack::text::plain;
use dictrack::{Number, Path, Value};

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
    /// A line that is not JSON.
    pub(super) fn syntax(line: &[u8], error: &SyntaxError) -> Self {
        Self::Syntax(match line.first() {
            Some(b'{' | b'[') => format!("not JSON: {} at column {}", error.problem, error.position.column),
            _ => format!("not JSON: {}; expected a document like {{\"a\": 1}}", quoted(&String::from_utf8_lossy(line))),
        })
    }

    /// There is nothing at `path` that could be a group, a moment or an id.
    pub(super) fn unfit(what: &'static str, path: &Path, found: Option<Value<'_>>, expected: &str) -> Self {
        let Some(found) = found.map(|value| value.to_json()) else {
            return Self::Missing { what, path: path.to_string() };
        };
        let seen = match &found {
            Json::Null => String::new(),
            Json::Text(text) => format!(" {}", quoted(text)),
            other => format!(" {}", shortened(&other.to_string())),
        };
        let hint = if what == "moment" && is_in_milliseconds(&found) { "; are these milliseconds?" } else { "" };
        Self::Other(format!("the {what} at {path} is {}{seen}; expected {expected}{hint}", found.kind()))
    }
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
        let long = unfit(&format!("[{}1]", "1,".repeat(100)));
        assert!(long.contains("1…; expected") && long.len() < 100, "{long}");
    }
}
