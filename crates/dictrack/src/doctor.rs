//! Examining servers and files before programs rely on them: what they are, what could lose progress, and how to fix it.
//!
//! [`DataStore::examine`](crate::store::DataStore::examine) and [`DataCache::examine`](crate::cache::DataCache::examine) do this;
//! [`StoreAddress::examine`](crate::open::StoreAddress::examine) also examines a store that cannot be opened. `docs/doctor.md`
//! lists their findings. The command `dictrack doctor` prints them.

use std::sync::Arc;

use crate::Error;
use crate::clock::{Clock, SystemClock};

#[cfg(any(feature = "mongodb", feature = "redis"))]
mod server;
#[cfg(any(feature = "sqlite", feature = "mongodb", feature = "redis"))]
mod zones;

/// How many groups are read to check that they are readable.
pub(crate) const SAMPLE: usize = 1_000;

/// How programs use the cache or the store that is examined: it decides what a finding means.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Setup {
    /// Whether processes share a cache in front of the store.
    pub has_cache: bool,
    /// Whether there is a store behind the cache.
    pub has_store: bool,
    /// The clock to compare the clocks of servers with.
    pub clock: Arc<dyn Clock>,
}

impl Default for Setup {
    /// A cache or a store on its own, with the clock of the operating system.
    fn default() -> Self {
        Self { has_cache: false, has_store: false, clock: Arc::new(SystemClock) }
    }
}

impl Setup {
    /// A cache and a store together.
    pub fn both() -> Self {
        Self { has_cache: true, has_store: true, ..Self::default() }
    }

    /// Compares the clocks of servers with `clock`.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }
}

/// The result of examining one server or file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Examination {
    /// What was examined, without the login.
    pub subject: String,
    /// Its properties: names and values for people.
    pub facts: Vec<(&'static str, String)>,
    /// What to know and what to fix, in the order in which it was found.
    pub findings: Vec<Finding>,
}

/// How severe a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Level {
    /// Worth knowing.
    Note,
    /// Something may be lost or slow, under the circumstances in `meaning`.
    Warning,
    /// Programs will fail, or progress will be lost.
    Problem,
}

impl Level {
    /// The level as a word: `note`, `warning` or `problem`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// One thing to know or to fix.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Finding {
    /// Its name, such as `eviction`, which does not change between versions.
    pub code: &'static str,
    /// How severe it is.
    pub level: Level,
    /// What was found.
    pub found: String,
    /// What this means for counts.
    pub meaning: String,
    /// How to fix it; empty if there is nothing to do.
    pub remedy: String,
}

impl Finding {
    /// A finding without its meaning and remedy yet.
    pub fn new(level: Level, code: &'static str, found: impl Into<String>) -> Self {
        Self { code, level, found: found.into(), meaning: String::new(), remedy: String::new() }
    }

    /// Says what it means for counts.
    #[must_use]
    pub fn meaning(mut self, meaning: impl Into<String>) -> Self {
        self.meaning = meaning.into();
        self
    }

    /// Says how to fix it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }
}

impl Examination {
    /// An examination of `subject` without findings yet.
    pub fn new(subject: impl Into<String>) -> Self {
        Self { subject: subject.into(), facts: Vec::new(), findings: Vec::new() }
    }

    /// The examination of something that could not be opened.
    pub fn failed(subject: impl Into<String>, error: &Error) -> Self {
        let mut examination = Self::new(subject);
        examination.error(error);
        examination
    }

    /// The most severe level; `None` if there are no findings.
    pub fn level(&self) -> Option<Level> {
        self.findings.iter().map(|finding| finding.level).max()
    }

    /// Adds a fact.
    pub fn fact(&mut self, name: &'static str, value: impl Into<String>) {
        self.facts.push((name, value.into()));
    }

    /// Adds a finding.
    pub fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    pub(crate) fn find(
        &mut self,
        level: Level,
        code: &'static str,
        found: impl Into<String>,
        meaning: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(Finding::new(level, code, found).meaning(meaning).remedy(remedy));
    }

    /// Adds a failure as a finding, with what to do about it.
    pub fn error(&mut self, error: &Error) {
        let (code, meaning, remedy) = match error {
            Error::Unavailable(_) => (
                "unreachable",
                "programs that use it fail with Unavailable; what they acknowledged is kept until it is back",
                "check host, port and firewall, and whether the server is running",
            ),
            Error::Corrupt { .. } => (
                "damaged",
                "calls that read it fail; nothing is overwritten",
                "restore it from a backup, or remove what is named above",
            ),
            Error::OlderVersion { .. } => (
                "older",
                "programs that only read cannot use it",
                "open it once with a program that writes, such as `dictrack run`",
            ),
            Error::Unfinished { .. } => ("unfinished", "nothing that was acknowledged is lost", ""),
            Error::NewerVersion { .. } => ("newer", "this version cannot use it", "use a newer dictrack"),
            _ => ("refused", "programs that use it fail in the same way", ""),
        };
        let found = match error {
            // Without the part about acknowledged changes.
            Error::Unavailable(source) => source.to_string(),
            other => other.to_string(),
        };
        let level = if code == "unfinished" { Level::Note } else { Level::Problem };
        self.find(level, code, found, meaning, remedy);
    }
}

#[cfg(any(feature = "sqlite", feature = "mongodb", feature = "redis"))]
pub(crate) fn millis(time: std::time::Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

/// `1536` as `1.5 KiB`.
#[cfg(any(feature = "sqlite", feature = "redis"))]
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut value, mut unit) = (count as f64, "bytes");
    for next in UNITS {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, next);
    }
    if unit == "bytes" { format!("{count} bytes") } else { format!("{value:.1} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(any(feature = "sqlite", feature = "redis"))]
    fn bytes_are_shown_in_the_unit_that_fits() {
        assert_eq!((bytes(17), bytes(1536), bytes(3 << 30)), ("17 bytes".into(), "1.5 KiB".into(), "3.0 GiB".into()));
    }
}
