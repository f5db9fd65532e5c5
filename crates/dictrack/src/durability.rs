//! When a change counts as kept.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::url::quoted;

/// When a call is acknowledged, and so what a crash can undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Durability {
    /// Once the change is on disk. Neither a crash nor a power failure can undo it.
    Fsync,
    /// Once the operating system has the change. A killed process loses nothing; a power failure may.
    #[default]
    Os,
    /// At once. The store follows within this time, and a crash can lose that much.
    Interval(Duration),
}

impl Durability {
    /// Whether a commit reaches the disk before it is acknowledged.
    pub fn syncs(self) -> bool {
        matches!(self, Self::Fsync)
    }

    /// Whether a call waits for its commit.
    pub(crate) fn waits(self) -> bool {
        !matches!(self, Self::Interval(_))
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fsync => f.write_str("fsync"),
            Self::Os => f.write_str("os"),
            Self::Interval(time) => match (time.as_micros(), time.as_millis()) {
                (micros, _) if !micros.is_multiple_of(1000) => write!(f, "interval({micros}us)"),
                (_, millis) if !millis.is_multiple_of(1000) => write!(f, "interval({millis}ms)"),
                _ => write!(f, "interval({}s)", time.as_secs()),
            },
        }
    }
}

/// Why a text is not a valid durability.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid durability {}; expected fsync, os or an interval such as interval(100ms)", quoted(.0))]
pub struct ParseDurabilityError(String);

impl FromStr for Durability {
    type Err = ParseDurabilityError;

    /// Reads `fsync`, `os`, and `interval(2s)`, `interval(100ms)` or `interval(500us)`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let interval = || {
            let inner = text.strip_prefix("interval(")?.strip_suffix(')')?;
            let (digits, micros) = match (inner.strip_suffix("ms"), inner.strip_suffix("us")) {
                (Some(digits), _) => (digits, 1000),
                (_, Some(digits)) => (digits, 1),
                _ => (inner.strip_suffix('s')?, 1_000_000),
            };
            let count: u32 = digits.trim().parse().ok()?;
            (count > 0).then(|| Self::Interval(Duration::from_micros(u64::from(count) * micros)))
        };
        match text {
            "fsync" => Ok(Self::Fsync),
            "os" => Ok(Self::Os),
            _ => interval().ok_or_else(|| ParseDurabilityError(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_durability_is_read_back_from_what_it_prints() {
        for text in ["fsync", "os", "interval(100ms)", "interval(1500ms)", "interval(2s)", "interval(1001us)"] {
            let read: Durability = text.parse().unwrap();
            assert_eq!(read.to_string(), text);
        }
        let refused = "now".parse::<Durability>().unwrap_err().to_string();
        assert_eq!(refused, "invalid durability \"now\"; expected fsync, os or an interval such as interval(100ms)");
    }

    #[test]
    fn text_names_the_durabilities() {
        let millis = |millis| Durability::Interval(Duration::from_millis(millis));
        for (text, expected) in [
            ("fsync", Some(Durability::Fsync)),
            ("os", Some(Durability::Os)),
            ("interval(100ms)", Some(millis(100))),
            ("interval(2s)", Some(millis(2000))),
            ("interval(0ms)", None),
            ("interval", None),
            ("interval(-1s)", None),
            ("FSYNC", None),
        ] {
            assert_eq!(text.parse().ok(), expected, "{text}");
        }
    }
}
