//! Moments in microseconds since 1970 UTC.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::civil;

use crate::document::Value;
use crate::json::Json;
use crate::number::Number;
use crate::text::quoted;

/// The first and the last microsecond of the years -9999 to 9999.
const FIRST: i64 = -377_705_116_800_000_000;
const LAST: i64 = 253_402_300_799_999_999;

const EPOCH: civil::DateTime = civil::date(1970, 1, 1).at(0, 0, 0, 0);

/// A moment: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest moment: the start of a window that has no start.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest moment: the end of a window that has no end.
    pub const MAX: Self = Self(i64::MAX);

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

    /// This moment minus `span`; saturates.
    pub const fn saturating_sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }

    /// This moment plus `span`; `None` if it does not fit into 64 bits.
    pub const fn checked_add(self, span: Span) -> Option<Self> {
        match self.0.checked_add(span.0) {
            Some(micros) => Some(Self(micros)),
            None => None,
        }
    }

    /// This moment minus `span`; `None` if it does not fit into 64 bits.
    pub const fn checked_sub(self, span: Span) -> Option<Self> {
        match self.0.checked_sub(span.0) {
            Some(micros) => Some(Self(micros)),
            None => None,
        }
    }

    /// This moment; `None` if it is [`MAX`](Self::MAX), the end of what has no end.
    pub(crate) fn finite(self) -> Option<Self> {
        (self < Self::MAX).then_some(self)
    }

    /// The span from `earlier` to this moment; saturates.
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }

    /// Reads a number of seconds, an RFC 3339 moment or a plain date (midnight UTC).
    pub fn read(value: &Json) -> Option<Self> {
        Self::read_with(value, Self::parse)
    }

    /// Reads a value of a document as [`read`](Self::read) does.
    #[inline]
    pub fn of_value(value: &Value<'_>) -> Option<Self> {
        match value {
            Value::Number(number) => Self::of_number(number),
            Value::Text(text) => Self::parse(text),
            Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// Reads the last moment of a window: a number of seconds, or a text as in [`parse_end`](Self::parse_end).
    pub fn read_end(value: &Json) -> Option<Self> {
        Self::read_with(value, Self::parse_end)
    }

    fn read_with(value: &Json, parse: impl FnOnce(&str) -> Option<Self>) -> Option<Self> {
        match value {
            Json::Number(number) => Self::of_number(number),
            Json::Text(text) => parse(text),
            Json::Null | Json::Bool(_) | Json::List(_) | Json::Map(_) => None,
        }
    }

    /// What [`read`](Self::read) accepts, in words.
    pub(crate) const EXPECTED: &str =
        "seconds since 1970, an RFC 3339 timestamp (2026-12-31T23:59:59Z) or a date (2026-12-31)";

    /// The moment this number of seconds after 1970-01-01T00:00:00Z; `None` if it is not in the years -9999 to 9999.
    pub(crate) fn of_number(seconds: &Number) -> Option<Self> {
        micros(seconds).map(Self).filter(|moment| moment.is_writable())
    }

    /// Whether it is in the years that can be written as text, -9999 to 9999.
    pub(crate) fn is_writable(self) -> bool {
        (FIRST..=LAST).contains(&self.0)
    }

    /// Whether it is the first moment of a month in UTC.
    fn begins_a_month(self) -> bool {
        self.civil().is_some_and(|moment| moment.day() == 1 && moment.time() == civil::Time::midnight())
    }

    /// The date and time in UTC.
    fn civil(self) -> Option<civil::DateTime> {
        EPOCH.checked_add(jiff::SignedDuration::from_micros(self.0)).ok()
    }

    /// Reads an RFC 3339 moment or a plain date (midnight UTC). Fractions of a microsecond are rounded half to even. A
    /// leap second, 23:59:60 UTC on the last day of a month, is the first second of the next day.
    pub fn parse(text: &str) -> Option<Self> {
        let written = Written::parse(text)?;
        Some(Self(written.micros + i64::from(written.rounds_up))).filter(|moment| moment.is_writable())
    }

    /// Reads the last moment of a window. A plain date includes that whole day, and a moment without a fraction of a
    /// second includes that whole second. Fractions of a microsecond are rounded down.
    pub fn parse_end(text: &str) -> Option<Self> {
        let written = Written::parse(text)?;
        Some(Self(written.micros + written.length - 1)).filter(|moment| moment.is_writable())
    }

    /// The date that the seconds of this moment look like: 2026-12-31 if they are 20261231, which is in August 1970.
    pub fn date_in_digits(self) -> Option<String> {
        date_in_digits(&self.to_number().to_string())
    }

    /// Seconds since 1970 as an exact number.
    pub fn to_number(self) -> Number {
        Number::parse(&micros_text(self.0)).unwrap_or(Number::NotANumber)
    }
}

/// The date in digits such as `20261231`, which may be followed by hours, minutes and seconds.
pub fn date_in_digits(digits: &str) -> Option<String> {
    let date = digits.get(..8).filter(|_| matches!(digits.len(), 8 | 12 | 14))?;
    let date = digits.bytes().all(|digit| digit.is_ascii_digit()).then_some(date)?;
    let date = format!("{}-{}-{}", &date[..4], &date[4..6], &date[6..]);
    let is_likely = ("1900".."2200").contains(&&date[..4]) && Timestamp::parse(&date).is_some();
    let fits = |at: usize, most: &str| digits.get(at..at + 2).is_none_or(|part| part <= most);
    (is_likely && fits(8, "23") && fits(10, "59") && fits(12, "59")).then_some(date)
}

/// Why something is not a [`Timestamp`] or a [`Span`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; expected {expected}")]
pub struct TimeError {
    problem: String,
    expected: &'static str,
}

impl TimeError {
    fn of(text: &str, expected: &'static str) -> Self {
        Self { problem: format!("invalid time {}", quoted(text)), expected }
    }

    fn out_of_range() -> Self {
        Self { problem: "time out of range".to_owned(), expected: "a year from -9999 to 9999" }
    }
}

impl FromStr for Timestamp {
    type Err = TimeError;

    /// Reads the same texts as [`parse`](Self::parse).
    fn from_str(text: &str) -> Result<Self, TimeError> {
        Self::parse(text)
            .ok_or_else(|| TimeError::of(text, "an RFC 3339 timestamp (2026-12-31T23:59:59Z) or a date (2026-12-31)"))
    }
}

impl TryFrom<f64> for Timestamp {
    type Error = TimeError;

    /// The moment this number of seconds after 1970-01-01T00:00:00Z, to the nearest microsecond.
    fn try_from(seconds: f64) -> Result<Self, TimeError> {
        Self::of_number(&Number::from(seconds)).ok_or_else(TimeError::out_of_range)
    }
}

impl TryFrom<SystemTime> for Timestamp {
    type Error = TimeError;

    /// The moment, rounded down to a microsecond.
    fn try_from(time: SystemTime) -> Result<Self, TimeError> {
        let micros = match time.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_micros()).ok(),
            // Before 1970, rounding down is rounding away from 1970.
            Err(before) => i64::try_from(before.duration().as_nanos().div_ceil(1_000)).ok().map(|micros| -micros),
        };
        micros.map(Self).ok_or_else(TimeError::out_of_range)
    }
}

impl TryFrom<Timestamp> for SystemTime {
    type Error = TimeError;

    fn try_from(moment: Timestamp) -> Result<Self, TimeError> {
        let distance = Duration::from_micros(moment.0.unsigned_abs());
        let time = if moment.0 < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
        time.ok_or_else(TimeError::out_of_range)
    }
}

/// What an RFC 3339 moment or a plain date stands for.
struct Written {
    /// Where it starts, in microseconds since 1970, rounded down.
    micros: i64,
    /// Its length in microseconds: a day, a second or one microsecond.
    length: i64,
    /// Whether the next microsecond is nearer.
    rounds_up: bool,
}

impl Written {
    fn parse(text: &str) -> Option<Self> {
        let mut rest = Digits(text.as_bytes());
        let year = rest.take(4)?;
        rest.skip(b"-")?;
        let month = rest.take(2)?;
        rest.skip(b"-")?;
        let date = civil::Date::new(year, i8::try_from(month).ok()?, i8::try_from(rest.take(2)?).ok()?).ok()?;
        let days = date.at(0, 0, 0, 0).duration_since(EPOCH).as_secs();
        if rest.0.is_empty() {
            return Some(Self { micros: days * 1_000_000, length: 86_400_000_000, rounds_up: false });
        }
        rest.skip(b"Tt ")?;
        let hour = rest.within(23)?;
        rest.skip(b":")?;
        let minute = rest.within(59)?;
        rest.skip(b":")?;
        let second = rest.within(60)?;
        let (length, (fraction, rounds_up)) =
            if rest.skip(b".").is_some() { (1, rest.fraction()?) } else { (1_000_000, (0, false)) };
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
        let begin = seconds * 1_000_000;
        let fits = rest.0.is_empty() && (second < 60 || Timestamp(begin).begins_a_month());
        fits.then_some(Self { micros: begin + fraction, length, rounds_up })
    }
}

/// The rest of a text that is read digit by digit.
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

    /// The number of the next two digits, if it is not above `most`.
    fn within(&mut self, most: i16) -> Option<i64> {
        self.take(2).filter(|number| *number <= most).map(i64::from)
    }

    /// The next byte, if it is one of `allowed`.
    fn skip(&mut self, allowed: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first().filter(|(first, _)| allowed.contains(first))?;
        self.0 = rest;
        Some(*first)
    }

    /// The microseconds of a fraction of a second with one digit or more, rounded down, and whether the next
    /// microsecond is nearer.
    fn fraction(&mut self) -> Option<(i64, bool)> {
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
        (count > 0).then_some((whole, up))
    }
}

/// A length of time in microseconds, not negative.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(i64);

impl Span {
    /// A span of `micros` microseconds; 0 if `micros` is negative.
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

    /// Reads a non-negative number of seconds.
    pub fn read(value: &Json) -> Option<Self> {
        micros(value.as_number()?).filter(|&span| span >= 0).map(Self)
    }

    /// Seconds as an exact number.
    pub fn to_number(self) -> Number {
        Timestamp(self.0).to_number()
    }
}

impl FromStr for Span {
    type Err = TimeError;

    /// Reads a number of seconds, with or without the unit that [`Display`](fmt::Display) writes: `90` or `90 s`.
    fn from_str(text: &str) -> Result<Self, TimeError> {
        let number = Number::parse(text.strip_suffix(" s").unwrap_or(text));
        let span = number.and_then(|number| micros(&number)).filter(|&span| span >= 0);
        span.map(Self).ok_or_else(|| TimeError::of(text, "a non-negative number of seconds"))
    }
}

impl TryFrom<f64> for Span {
    type Error = TimeError;

    /// A span of seconds, to the nearest microsecond.
    fn try_from(seconds: f64) -> Result<Self, TimeError> {
        let span = micros(&Number::from(seconds)).filter(|&span| span >= 0);
        span.map(Self).ok_or_else(|| TimeError::of(&seconds.to_string(), "a non-negative number of seconds"))
    }
}

impl From<Duration> for Span {
    /// The span, rounded down to a microsecond; saturates.
    fn from(duration: Duration) -> Self {
        Self(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        Self::from_micros(span.0.unsigned_abs())
    }
}

/// Converts seconds to microseconds, rounded half to even; `None` if they do not fit into 64 bits.
fn micros(seconds: &Number) -> Option<i64> {
    const UNITS_A_MICRO: i128 = 1_000_000_000_000;
    let (amount, _) = seconds.to_amount().ok()?;
    // Dividing 128 bits is slow, so it is done once.
    let whole = amount.units().div_euclid(UNITS_A_MICRO);
    let rest = amount.units() - whole * UNITS_A_MICRO;
    let up = rest * 2 > UNITS_A_MICRO || (rest * 2 == UNITS_A_MICRO && whole % 2 != 0);
    i64::try_from(whole + i128::from(up)).ok()
}

fn micros_text(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let size = micros.unsigned_abs();
    format!("{sign}{}.{:06}", size / 1_000_000, size % 1_000_000)
}

impl Timestamp {
    /// The date and time in UTC without a fraction, if it is a whole second of the years 0 to 9999: nearly all moments
    /// are, and this is several times faster than the general way.
    fn short(self) -> Option<[u8; 20]> {
        const DAY: u64 = 86_400;
        let seconds =
            u64::try_from(self.0).ok().filter(|micros| micros % 1_000_000 == 0 && self.0 <= LAST)? / 1_000_000;
        let (days, within) = (seconds / DAY, seconds % DAY);
        // Howard Hinnant, "chrono-compatible low-level date algorithms": years begin in March, eras of 400 years.
        let days = days + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = year + era * 400 + u64::from(month <= 2);
        let mut text = *b"0000-00-00T00:00:00Z";
        let parts = [year / 100, year % 100, month, day, within / 3_600, within / 60 % 60, within % 60];
        for (at, part) in [0, 2, 5, 8, 11, 14, 17].into_iter().zip(parts) {
            text[at] += (part / 10) as u8;
            text[at + 1] += (part % 10) as u8;
        }
        Some(text)
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC; outside the years -9999 to 9999, seconds since 1970.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(short) = self.short()
            && let Ok(text) = std::str::from_utf8(&short)
        {
            return f.write_str(text);
        }
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
    fn whole_seconds_are_written_like_all_other_moments() {
        let mut moments: Vec<i64> =
            (0..4_000).map(|at| at * 63_350_000_000_007 % LAST).map(|micros| micros - micros % 1_000_000).collect();
        moments.extend(
            [0, 951_782_399, 951_782_400, 951_868_800, 4_107_542_399, 4_107_542_400].map(|seconds| seconds * 1_000_000),
        );
        moments.extend([LAST - 999_999, LAST, LAST + 1, FIRST, FIRST - 1, -1_000_000, 1]);
        for micros in moments {
            let moment = Timestamp(micros);
            let expected = moment.civil().map_or_else(|| micros_text(micros), |civil| format!("{civil}Z"));
            assert_eq!(moment.to_string(), expected, "{micros}");
            assert_eq!(moment.is_writable(), moment.civil().is_some(), "{micros}");
        }
    }

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
    fn an_end_is_the_whole_of_what_its_text_names() {
        let end = |json: &str| Timestamp::read_end(&Json::parse(json.as_bytes()).unwrap()).map(Timestamp::micros);
        assert_eq!(end(r#""1970-01-01""#), Some(86_399_999_999));
        assert_eq!(end(r#""1970-01-01T00:00:59Z""#), Some(59_999_999));
        assert_eq!(end(r#""1970-01-01 01:00:59+01:00""#), Some(59_999_999));
        assert_eq!(end(r#""1970-01-01T00:00:59.0Z""#), Some(59_000_000));
        assert_eq!(end(r#""1970-01-01T00:00:59.25Z""#), Some(59_250_000));
        // Rounding to the nearest microsecond would include the first one of the next day.
        assert_eq!(end(r#""1970-01-01T23:59:59.9999999Z""#), Some(86_399_999_999));
        assert_eq!(end(r#""1969-12-31T23:59:59.9999999Z""#), Some(-1));
        assert_eq!(end(r#""1969-12-31""#), Some(-1));
        // A number is exactly that moment.
        assert_eq!(end("59"), Some(59_000_000));
        assert_eq!(end("59.5"), Some(59_500_000));
        assert_eq!(end(r#""2016-12-31T23:59:60Z""#), Some(1_483_228_800_999_999));
        assert_eq!(end(r#""9999-12-31""#), Some(253_402_300_799_999_999));
        assert_eq!(end(r#""9999-12-31T23:59:59Z""#), end(r#""9999-12-31""#));
        assert_eq!(end(r#""9999-12-31T23:59:59.9999999Z""#), end(r#""9999-12-31""#));
        assert_eq!(end(r#""0000-01-01""#), Some(-62_167_132_800_000_001));
        for refused in ["null", "1e30", "[]", r#""9999-12-31T23:59:60Z""#, r#""2026-12""#, r#""2026-12-31Z""#] {
            assert_eq!(end(refused), None, "{refused}");
        }
        // A moment that is written as a number reads back as the same moment.
        for text in ["1970-01-01", "9999-12-31", "0000-01-01"] {
            let moment = Timestamp::parse_end(text).unwrap();
            assert_eq!(Timestamp::read_end(&moment.to_number().into()), Some(moment), "{text}");
        }
    }

    #[test]
    fn times_of_the_standard_library_convert() {
        let before = UNIX_EPOCH - Duration::from_nanos(1_500);
        assert_eq!(Timestamp::try_from(before), Ok(Timestamp(-2)));
        assert_eq!(Timestamp::try_from(UNIX_EPOCH + Duration::from_nanos(1_999)), Ok(Timestamp(1)));
        for micros in [-2, 0, 1_500_000] {
            let time = SystemTime::try_from(Timestamp(micros)).unwrap();
            assert_eq!(Timestamp::try_from(time), Ok(Timestamp(micros)));
        }
        assert_eq!(Span::from(Duration::from_nanos(1_999)), Span(1));
        assert_eq!(Span::from(Duration::MAX), Span(i64::MAX));
        assert_eq!(Duration::from(Span(1_500_000)), Duration::from_millis(1_500));
    }

    #[test]
    fn what_is_displayed_reads_back() {
        for text in ["1970-01-01T00:00:01.5Z", "2026-12-31T23:59:59Z"] {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), text);
        }
        let span = Span::from_micros(90_500_000);
        assert_eq!((span.to_string().parse(), "90.5".parse()), (Ok(span), Ok(span)));
        assert_eq!(Timestamp::try_from(1.5), Ok(Timestamp(1_500_000)));
        assert_eq!(Span::try_from(0.25), Ok(Span(250_000)));
        let error = "soon".parse::<Timestamp>().unwrap_err().to_string();
        assert!(error.starts_with("invalid time \"soon\"; expected an RFC 3339 timestamp"), "{error}");
        assert!("-1".parse::<Span>().is_err() && Span::try_from(f64::NAN).is_err() && "1 m".parse::<Span>().is_err());
        assert!(Timestamp::try_from(f64::INFINITY).is_err() && Timestamp::try_from(1e30).is_err());
    }

    #[test]
    fn the_grammar_is_that_of_rfc_3339() {
        let micros = |text: &str| Timestamp::parse(text).map(Timestamp::micros);
        assert_eq!(micros("9999-12-31T23:59:59Z"), Some(253_402_300_799_000_000));
        assert_eq!(micros("1970-01-01t00:00:00.0000015z"), Some(2));
        assert_eq!(micros("1970-01-01 00:00:00.00000050000000000000000001-00:00"), Some(1));
        assert_eq!(micros("1969-12-31T23:59:59.9999985Z"), Some(-2));
        for leap in ["2016-12-31T23:59:60Z", "2017-01-01T01:59:60+02:00", "2016-12-31T16:29:60-07:30"] {
            assert_eq!(micros(leap), micros("2017-01-01T00:00:00Z"), "{leap}");
        }
        assert_eq!(micros("2015-06-30T23:59:60.5Z"), micros("2015-07-01T00:00:00.5Z"));
        for (time, offset) in [
            ("30T23:59:60", "Z"),
            ("31T23:58:60", "Z"),
            ("31T12:00:60", "Z"),
            ("31T23:59:60", "+01:00"),
            ("31T23:59:61", "Z"),
        ] {
            assert_eq!(micros(&format!("2016-12-{time}{offset}")), None, "{time}{offset}");
        }
        // This is the first moment of the year after the last one.
        assert_eq!(micros("9999-12-31T23:59:60Z"), None);
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
