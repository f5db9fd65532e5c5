//! Moments in microseconds since 1970 UTC.

use std::fmt;

use jiff::civil;

use crate::json::Json;
use crate::number::Number;

const EPOCH: civil::DateTime = civil::date(1970, 1, 1).at(0, 0, 0, 0);

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
            Json::Number(number) => Self::of_number(number),
            Json::Text(text) => Self::parse(text),
            Json::Null | Json::Bool(_) | Json::List(_) | Json::Map(_) => None,
        }
    }

    /// What [`read`](Self::read) takes, in words.
    pub(crate) const EXPECTED: &str = "seconds since 1970, an RFC 3339 moment or a date";

    /// The moment this number of seconds after 1970-01-01T00:00:00Z, in the years -9999 to 9999 as texts have them.
    pub(crate) fn of_number(seconds: &Number) -> Option<Self> {
        micros(seconds).map(Self).filter(|moment| moment.is_writable())
    }

    /// Whether it lies in the years that can be written down, -9999 to 9999.
    pub(crate) fn is_writable(self) -> bool {
        self.civil().is_some()
    }

    /// The date and time in UTC.
    fn civil(self) -> Option<civil::DateTime> {
        EPOCH.checked_add(jiff::SignedDuration::from_micros(self.0)).ok()
    }

    /// Reads an RFC 3339 moment or a plain date (midnight UTC). What lies between microseconds is rounded half to even,
    /// a leap second is the first second of the next minute.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = Digits(text.as_bytes());
        let year = rest.take(4)?;
        rest.skip(b"-")?;
        let month = rest.take(2)?;
        rest.skip(b"-")?;
        let date = civil::Date::new(year, i8::try_from(month).ok()?, i8::try_from(rest.take(2)?).ok()?).ok()?;
        let days = date.at(0, 0, 0, 0).duration_since(EPOCH).as_secs();
        if rest.0.is_empty() {
            return Some(Self(days * 1_000_000));
        }
        rest.skip(b"Tt ")?;
        let hour = rest.within(23)?;
        rest.skip(b":")?;
        let minute = rest.within(59)?;
        rest.skip(b":")?;
        let second = rest.within(60)?;
        let fraction = if rest.skip(b".").is_some() { rest.fraction()? } else { 0 };
        let offset = match rest.skip(b"Zz+-")? {
            b'Z' | b'z' => 0,
            sign => {
                let hours = rest.within(23)?;
                rest.skip(b":")?;
                let minutes = hours * 60 + rest.within(59)?;
                if sign == b'-' { -minutes } else { minutes }
            }
        };
        let seconds = days + (hour * 60 + minute - offset) * 60 + second;
        rest.0.is_empty().then(|| Self(seconds * 1_000_000 + fraction)).filter(|moment| moment.is_writable())
    }

    /// Seconds since 1970 as an exact number.
    pub fn to_number(self) -> Number {
        Number::parse(&micros_text(self.0)).unwrap_or(Number::NotANumber)
    }
}

/// What is left of a text that is read digit by digit.
struct Digits<'a>(&'a [u8]);

impl Digits<'_> {
    /// The number of the next `count` digits.
    fn take(&mut self, count: usize) -> Option<i16> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        let number = digits
            .iter()
            .try_fold(0_i16, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i16::from(digit - b'0')))?;
        self.0 = rest;
        Some(number)
    }

    /// The number of the next two digits, if it is at most `most`.
    fn within(&mut self, most: i16) -> Option<i64> {
        self.take(2).filter(|number| *number <= most).map(i64::from)
    }

    /// The next byte, if it is one of `allowed`.
    fn skip(&mut self, allowed: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first().filter(|(first, _)| allowed.contains(first))?;
        self.0 = rest;
        Some(*first)
    }

    /// The microseconds of a fraction of a second with one digit or more.
    fn fraction(&mut self) -> Option<i64> {
        let count = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(count);
        self.0 = rest;
        let digit = |at: usize| i64::from(digits.get(at).map_or(0, |digit| digit - b'0'));
        let whole = (0..6).fold(0, |whole, at| whole * 10 + digit(at));
        let beyond = digits.get(6..).unwrap_or_default();
        let last = beyond.iter().rposition(|&digit| digit != b'0').map_or(0, |last| last + 1);
        let up = match beyond[..last].cmp(b"5") {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => whole % 2 == 1,
            std::cmp::Ordering::Greater => true,
        };
        (count > 0).then(|| whole + i64::from(up))
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
    /// RFC 3339 in UTC; beyond the years -9999 to 9999, seconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.civil() {
            Some(moment) => write!(f, "{moment}Z"),
            None => f.write_str(&micros_text(self.0)),
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
        for refused in ["null", "true", "1e30", "[]"] {
            assert_eq!(micros(refused), None, "{refused}");
        }
        assert_eq!(Timestamp::from_micros(-1_500_000).to_number().to_string(), "-1.5");
        assert_eq!(Timestamp::from_secs(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(Timestamp::from_micros(1_500_000).to_string(), "1970-01-01T00:00:01.5Z");
    }

    #[test]
    fn the_grammar_is_that_of_rfc_3339() {
        let micros = |text: &str| Timestamp::parse(text).map(Timestamp::micros);
        assert_eq!(micros("9999-12-31T23:59:59Z"), Some(253_402_300_799_000_000));
        assert_eq!(micros("1970-01-01t00:00:00.0000015z"), Some(2));
        assert_eq!(micros("1970-01-01 00:00:00.00000050000000000000000001-00:00"), Some(1));
        assert_eq!(micros("1969-12-31T23:59:59.9999985Z"), Some(-2));
        assert_eq!(micros("2016-12-31T23:59:60Z"), micros("2017-01-01T00:00:00Z"));
        let moment = "2023-11-14T22:13:20";
        let (compact, minutes) = ("20231114T221320Z", "2023-11-14T22:13Z");
        for refused in
            ["1970", "soon", "2023-02-29", "2023-11-14Z", "+002023-11-14T22:13:20Z", compact, minutes, moment]
        {
            assert_eq!(micros(refused), None, "{refused}");
        }
        for end in ["+01", "+0100", "+01:00:30", "+24:00", ",5Z", ".Z", "Z[UTC]", "+01:00[Europe/Paris]", "Z ", "+1:00"]
        {
            assert_eq!(micros(&format!("{moment}{end}")), None, "{end}");
        }
    }
}
