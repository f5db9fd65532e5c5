//! Examining servers and files before programs rely on them: what they are, what could lose progress, and how to fix it.
//!
//! [`RedisCache::examine`](crate::RedisCache::examine), [`MongoStore::examine`](crate::MongoStore::examine) and
//! [`SqliteStore::examine`](crate::SqliteStore::examine) do this; `docs/doctor.md` lists their findings. The command
//! `dictrack doctor` prints them.

#[cfg(any(feature = "sqlite", feature = "mongodb"))]
use dictrack_core::Engine;

use crate::Error;
#[cfg(any(feature = "sqlite", feature = "mongodb"))]
use crate::store::DataStore;

#[cfg(any(feature = "mongodb", feature = "redis"))]
mod server;

/// How many groups are read to check that they are readable.
pub(crate) const SAMPLE: usize = 1_000;
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

impl Examination {
    /// An examination without findings yet.
    pub(crate) fn of(subject: impl Into<String>) -> Self {
        Self { subject: subject.into(), facts: Vec::new(), findings: Vec::new() }
    }

    /// The examination of something that could not be opened.
    pub fn failed(subject: impl Into<String>, error: &Error) -> Self {
        let mut examination = Self::of(subject);
        examination.error(error);
        examination
    }

    /// The most severe level; `None` if there are no findings.
    pub fn level(&self) -> Option<Level> {
        self.findings.iter().map(|finding| finding.level).max()
    }

    pub(crate) fn fact(&mut self, name: &'static str, value: impl Into<String>) {
        self.facts.push((name, value.into()));
    }

    pub(crate) fn find(
        &mut self,
        level: Level,
        code: &'static str,
        found: impl Into<String>,
        meaning: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let (found, meaning, remedy) = (found.into(), meaning.into(), remedy.into());
        self.findings.push(Finding { code, level, found, meaning, remedy });
    }

    /// Adds a failure as a finding, with what to do about it.
    pub(crate) fn error(&mut self, error: &Error) {
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

    /// Reads some groups of a store to check that they are readable.
    #[cfg(any(feature = "sqlite", feature = "mongodb"))]
    pub(crate) async fn read_some(&mut self, store: &dyn DataStore) -> Result<(), Error> {
        let engine = Engine::default();
        let mut readable = 0;
        let ids = store.groups(None, SAMPLE).await?;
        for id in &ids {
            match store.load(id, &engine).await {
                Ok(_) => readable += 1,
                Err(error @ Error::Corrupt { .. }) => self.error(&error),
                Err(error) => return Err(error),
            }
        }
        let more = if ids.len() == SAMPLE { " or more" } else { "" };
        self.fact("groups", format!("{}{more}, {readable} read", ids.len()));
        Ok(())
    }
}

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
