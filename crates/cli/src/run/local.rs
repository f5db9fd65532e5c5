//! Times as spreadsheets and databases write them: without a zone, as `2026-01-31 14:05:32`.

use dictrack::{Timestamp, Zone, document::Value};
use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};

/// Reads times in a zone.
#[derive(Clone, Debug)]
pub(super) struct LocalTimes(TimeZone);

impl LocalTimes {
    pub(super) fn of(zone: Zone) -> Self {
        // The same data as the engine's, which knows the zone.
        Self(TimeZoneDatabase::bundled().get(zone.name()).unwrap_or(TimeZone::UTC))
    }

    /// The time in a value: whatever the engine reads, a timestamp with an offset such as `+02`, or one without an offset. Where
    /// clocks are put back, the first of two moments; where they are put forward, the moment that a clock would show that was not.
    #[inline]
    pub(super) fn read(&self, value: &Value<'_>) -> Option<Timestamp> {
        Timestamp::of_value(value).or_else(|| match value {
            Value::Text(text) => self.parse(text),
            _ => None,
        })
    }

    #[cold]
    fn parse(&self, text: &str) -> Option<Timestamp> {
        // It would read a leap second, of which the engine knows where it may be, as the one before.
        if text.contains(":60") {
            return None;
        }
        let moment = match text.parse::<jiff::Timestamp>() {
            Ok(moment) => moment,
            // It would ignore the name of a zone.
            Err(_) if text.contains('[') => return None,
            Err(_) => self.0.to_ambiguous_timestamp(text.parse::<DateTime>().ok()?).compatible().ok()?,
        };
        Some(Timestamp::from_micros(moment.as_microsecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(zone: &str, text: &str) -> Option<String> {
        let times = LocalTimes::of(Zone::named(zone).unwrap());
        times.read(&Value::Text(text.into())).map(|moment| moment.to_string())
    }

    #[test]
    fn times_without_an_offset_are_in_the_zone() {
        for (zone, text, moment) in [
            ("UTC", "2026-01-01 00:05:32", "2026-01-01T00:05:32Z"),
            ("Europe/Berlin", "2026-01-01 00:05:32", "2025-12-31T23:05:32Z"),
            ("Europe/Berlin", "2026-07-01T12:00", "2026-07-01T10:00:00Z"),
            ("Europe/Berlin", "2026-07-01 12:00:00.25", "2026-07-01T10:00:00.25Z"),
            // The clock shows this hour twice, and that one never.
            ("Europe/Berlin", "2026-10-25 02:30:00", "2026-10-25T00:30:00Z"),
            ("Europe/Berlin", "2026-03-29 02:30:00", "2026-03-29T01:30:00Z"),
            // Whatever has an offset is not in the zone, nor is a date.
            ("Europe/Berlin", "2026-01-01 00:05:32+00", "2026-01-01T00:05:32Z"),
            ("Europe/Berlin", "2026-01-01 00:05:32Z", "2026-01-01T00:05:32Z"),
            ("Europe/Berlin", "2026-01-01", "2026-01-01T00:00:00Z"),
        ] {
            assert_eq!(read(zone, text).as_deref(), Some(moment), "{zone} {text}");
        }
        for text in [
            "",
            "12:00",
            "01/02/2026 10:00",
            "2026-02-30 00:00:00",
            "2026-01-01 25:00:00",
            "2026-01-01 12:00:60",
            "2026-01-01 00:00[Asia/Tokyo]",
        ] {
            assert_eq!(read("Europe/Berlin", text), None, "{text}");
        }
    }
}
