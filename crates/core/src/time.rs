//! Moments in microseconds since 1970 UTC.

use std::fmt;

use jiff::civil;

use crate::json::Json;
use crate::number::Number;

/// A moment: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment `micros` microseconds after 1970-01-01T00:00:00Z.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// The moment `seconds` whole seconds after 1970-01-01T00:00:00Z; saturates.
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// This moment plus `span`; saturates.
    pub const fn saturating_add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// The span from `earlier` to this moment; saturates.
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }

    /// Reads a number of seconds, an RFC 3339 moment or a plain date (midnight UTC).
    pub fn read(value: &Json) -> Option<Self> {
        match value {
            // Years -9999 to 9999, as in texts.
            Json::Number(number) => micros(number).map(Self).filter(|moment| moment.is_writable()),
            Json::Text(text) => Self::parse(text),
            Json::Null | Json::Bool(_) | Json::List(_) | Json::Map(_) => None,
        }
    }

    /// Whether it lies in the years that can be written down.
    pub(crate) fn is_writable(self) -> bool {
        jiff::Timestamp::from_microsecond(self.0).is_ok()
    }

    /// Reads an RFC 3339 moment or a plain date (midnight UTC).
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(moment) = text.parse::<jiff::Timestamp>() {
            return Some(Self(moment.as_microsecond()));
        }
        // Only a plain date: a date and time without an offset would need a zone to be guessed.
        let date = (text.len() == "2026-01-01".len()).then(|| text.parse::<civil::Date>().ok()).flatten()?;
        let midnight: jiff::Timestamp = format!("{date}T00:00:00Z").parse().ok()?;
        Some(Self(midnight.as_microsecond()))
    }

    /// Seconds since 1970 as an exact number.
    pub fn to_number(self) -> Number {
        Number::parse(&micros_text(self.0)).unwrap_or(Number::NotANumber)
    }
}

/// A length of time in microseconds, not negative.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(i64);

impl Span {
    /// A span of `micros` microseconds; a negative one is none at all.
    pub const fn from_micros(micros: i64) -> Self {
        Self(if micros < 0 { 0 } else { micros })
    }

    /// A span of whole seconds; saturates.
    pub const fn from_secs(seconds: u32) -> Self {
        Self(seconds as i64 * 1_000_000)
    }

    /// Its length in microseconds.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Reads a number of seconds that is not negative.
    pub fn read(value: &Json) -> Option<Self> {
        micros(value.as_number()?).filter(|&span| span >= 0).map(Self)
    }

    /// Seconds as an exact number.
    pub fn to_number(self) -> Number {
        Timestamp(self.0).to_number()
    }
}

/// Seconds to microseconds, rounded half to even; `None` out of the range of 64 bits.
fn micros(seconds: &Number) -> Option<i64> {
    const UNITS_A_MICRO: i128 = 1_000_000_000_000;
    let (amount, _) = seconds.to_amount().ok()?;
    let (whole, rest) = (amount.units().div_euclid(UNITS_A_MICRO), amount.units().rem_euclid(UNITS_A_MICRO));
    let up = rest * 2 > UNITS_A_MICRO || (rest * 2 == UNITS_A_MICRO && whole % 2 != 0);
    i64::try_from(whole + i128::from(up)).ok()
}

fn micros_text(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let size = micros.unsigned_abs();
    format!("{sign}{}.{:06}", size / 1_000_000, size % 1_000_000)
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC; beyond the years that RFC 3339 has, seconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(moment) => moment.fmt(f),
            Err(_) => f.write_str(&micros_text(self.0)),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.to_number())
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_dates_and_rfc_3339_are_read() {
        let read = |json: &str| Timestamp::read(&Json::parse(json.as_bytes()).unwrap());
        let micros = |json: &str| read(json).map(Timestamp::micros);
        assert_eq!(micros("1700000000.000001"), Some(1_700_000_000_000_001));
        assert_eq!(micros("-1.5"), Some(-1_500_000));
        assert_eq!(micros("0.0000005"), Some(0));
        assert_eq!(micros("0.0000015"), Some(2));
        assert_eq!(micros(r#""1970-01-02""#), Some(86_400_000_000));
        assert_eq!(micros(r#""1970-01-01T01:00:00+01:00""#), Some(0));
        assert_eq!(micros(r#""1970-01-01T00:00:01.25Z""#), Some(1_250_000));
        for refused in [r#""1970-01-01T00:00:00""#, r#""1970""#, r#""soon""#, "null", "true", "1e30", "[]"] {
            assert_eq!(micros(refused), None, "{refused}");
        }
        assert_eq!(Timestamp::from_micros(-1_500_000).to_number().to_string(), "-1.5");
        assert_eq!(Timestamp::from_secs(0).to_string(), "1970-01-01T00:00:00Z");
    }
}
