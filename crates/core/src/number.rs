//! Numbers in documents and definitions, compared by their full value.

use std::cmp::Ordering;
use std::fmt;

use crate::amount::{Amount, FRACTION_DIGITS};

/// A number as written in a document: exact, whatever its size.
///
/// Numbers compare by value: `1` equals `1.0`, 2⁵³+1 differs from 2⁵³, and NaN equals nothing.
#[derive(Debug)]
pub enum Number {
    /// A number that is exactly an [`Amount`].
    Exact(Amount),
    /// A finite number with more than 18 fractional digits, or out of the range of [`Amount`].
    Wide(Box<Decimal>),
    /// Positive (`false`) or negative (`true`) infinity; never read from JSON.
    Infinite(bool),
    /// Not a number; never read from JSON.
    NotANumber,
}

impl Clone for Number {
    /// Like the derived method, but inlined: every value that is read is cloned, and nearly all are exact.
    #[inline]
    fn clone(&self) -> Self {
        match self {
            Self::Exact(amount) => Self::Exact(*amount),
            Self::Wide(decimal) => Self::Wide(Box::clone(decimal)),
            Self::Infinite(negative) => Self::Infinite(*negative),
            Self::NotANumber => Self::NotANumber,
        }
    }
}

/// A finite decimal `0.d₁d₂d₃… · 10^exponent` without leading or trailing zero digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decimal {
    negative: bool,
    exponent: i64,
    digits: Box<[u8]>,
}

/// The maximum length of a number written in plain digits: more than the 327 characters that any binary float needs.
const PLAIN_DIGITS: i64 = 1000;

/// The largest exponent that is distinguished from larger ones.
const FAR: i64 = i64::MAX / 8;

/// Why a number is not an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAnAmount {
    OutOfRange,
    NotFinite,
}

impl Number {
    /// Reads a number in the JSON grammar (`-?int[.frac][e±exp]`); `None` if `text` is not one.
    pub fn parse(text: &str) -> Option<Self> {
        Self::parse_integer(text.as_bytes()).or_else(|| Self::parse_general(text.as_bytes()))
    }

    /// Reads a number in a string: the JSON grammar with an optional `+` and surrounding ASCII spaces.
    pub fn parse_text(text: &str) -> Option<Self> {
        let text = text.trim_matches(' ');
        // Only one sign: `+-1` is not a number.
        Self::parse(text.strip_prefix('+').filter(|rest| !rest.starts_with('-')).unwrap_or(text))
    }

    /// The canonical spelling of this number as a name: up to 1,000 plain digits without an exponent. Longer numbers use
    /// scientific notation.
    pub fn to_plain(&self) -> String {
        match self {
            Self::Wide(decimal) => decimal.to_plain().unwrap_or_else(|| decimal.to_string()),
            Self::Exact(_) | Self::Infinite(_) | Self::NotANumber => self.to_string(),
        }
    }

    /// The common case: a whole number of up to 18 digits.
    #[inline]
    fn parse_integer(text: &[u8]) -> Option<Self> {
        let (negative, digits) = match text {
            [b'-', rest @ ..] => (true, rest),
            _ => (false, text),
        };
        if digits.is_empty() || digits.len() > 18 || (digits[0] == b'0' && digits.len() > 1) {
            return None;
        }
        let mut whole = 0_i64;
        for &digit in digits {
            if !digit.is_ascii_digit() {
                return None;
            }
            whole = whole * 10 + i64::from(digit - b'0');
        }
        Some(Self::Exact(Amount::from(if negative { -whole } else { whole })))
    }

    /// The number with up to 18 digits, of which the last `places` are decimals.
    #[inline]
    pub(crate) fn of_digits(negative: bool, digits: u64, places: u32) -> Self {
        const POWERS: [u64; FRACTION_DIGITS as usize + 1] = {
            let mut powers = [1; FRACTION_DIGITS as usize + 1];
            let mut at = 1;
            while at < powers.len() {
                powers[at] = powers[at - 1] * 10;
                at += 1;
            }
            powers
        };
        let units = i128::from(digits) * i128::from(POWERS[(FRACTION_DIGITS - places) as usize]);
        let units = if negative { -units } else { units };
        // Fewer than 10¹⁸ are always in range.
        Self::Exact(Amount::from_units(units).unwrap_or_default())
    }

    fn parse_general(text: &[u8]) -> Option<Self> {
        let (negative, rest) = match text {
            [b'-', rest @ ..] => (true, rest),
            _ => (false, text),
        };
        let whole_len = rest.iter().take_while(|digit| digit.is_ascii_digit()).count();
        let (whole, rest) = rest.split_at(whole_len);
        if whole.is_empty() || (whole.len() > 1 && whole[0] == b'0') {
            return None;
        }
        let (fraction, rest) = match rest {
            [b'.', rest @ ..] => {
                let len = rest.iter().take_while(|digit| digit.is_ascii_digit()).count();
                if len == 0 {
                    return None;
                }
                rest.split_at(len)
            }
            _ => (&rest[..0], rest),
        };
        let exponent = match rest {
            [] => 0,
            [b'e' | b'E', rest @ ..] => parse_exponent(rest)?,
            _ => return None,
        };
        Some(Self::from_parts(negative, whole, fraction, exponent))
    }

    fn from_parts(negative: bool, whole: &[u8], fraction: &[u8], exponent: i64) -> Self {
        let all = || whole.iter().chain(fraction);
        let leading = all().take_while(|&&digit| digit == b'0').count();
        let trailing = all().rev().take_while(|&&digit| digit == b'0').count();
        let total = whole.len() + fraction.len();
        if leading == total {
            return Self::Exact(Amount::ZERO);
        }
        let count = total - leading - trailing;
        // Position of the decimal point, counted from the first digit that is not zero.
        // A huge exponent is clamped far enough inside 64 bits that the printed form reads back.
        let point = exponent.saturating_add(whole.len() as i64 - leading as i64).clamp(-FAR, FAR);
        let digits = || all().skip(leading).take(count).map(|digit| digit - b'0');
        // Exact if it has no more than 18 fractional digits and is in range.
        let below = count as i64 - point;
        if below <= i64::from(FRACTION_DIGITS) && point <= 21 {
            let shift = (i64::from(FRACTION_DIGITS) - below) as u32;
            let units = digits()
                .try_fold(0_i128, |units, digit| units.checked_mul(10)?.checked_add(i128::from(digit)))
                .and_then(|units| units.checked_mul(10_i128.checked_pow(shift)?))
                .map(|units| if negative { -units } else { units });
            if let Some(amount) = units.and_then(Amount::from_units) {
                return Self::Exact(amount);
            }
        }
        Self::Wide(Box::new(Decimal { negative, exponent: point, digits: digits().collect() }))
    }

    /// This number as an amount, and whether decimals were rounded (half to even).
    pub(crate) fn to_amount(&self) -> Result<(Amount, bool), NotAnAmount> {
        match self {
            Self::Exact(amount) => Ok((*amount, false)),
            Self::Wide(decimal) => decimal.round().map(|amount| (amount, true)).ok_or(NotAnAmount::OutOfRange),
            Self::Infinite(_) | Self::NotANumber => Err(NotAnAmount::NotFinite),
        }
    }

    /// This number as an amount, with decimals beyond the 18th rounded half to even, as when a definition is read. `None` if it
    /// is out of range or not finite.
    pub fn to_rounded(&self) -> Option<Amount> {
        self.to_amount().ok().map(|(amount, _)| amount)
    }

    /// The largest multiple of 10⁻¹⁸ that is not above this number or, if `up`, the smallest that is not below it;
    /// ±`i128::MAX` beyond the range of amounts. `None` if this is NaN.
    pub(crate) fn neighbour(&self, up: bool) -> Option<i128> {
        let Ok((rounded, _)) = self.to_amount() else {
            let beyond = self.compare(&Self::Exact(Amount::ZERO))?;
            return Some(if beyond.is_gt() { i128::MAX } else { -i128::MAX });
        };
        Some(match self.compare(&Self::Exact(rounded))? {
            Ordering::Less if !up => rounded.units() - 1,
            Ordering::Greater if up => rounded.units() + 1,
            _ => rounded.units(),
        })
    }

    /// Orders two numbers by value; `None` if one is NaN.
    #[inline]
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Exact(a), Self::Exact(b)) => Some(a.cmp(b)),
            _ => self.compare_wide(other),
        }
    }

    fn compare_wide(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::NotANumber, _) | (_, Self::NotANumber) => None,
            (Self::Infinite(a), Self::Infinite(b)) => Some(b.cmp(a)),
            (Self::Infinite(negative), _) => Some(if *negative { Ordering::Less } else { Ordering::Greater }),
            (_, Self::Infinite(negative)) => Some(if *negative { Ordering::Greater } else { Ordering::Less }),
            (Self::Exact(a), Self::Exact(b)) => Some(a.cmp(b)),
            (Self::Exact(a), Self::Wide(b)) => Some(Decimal::from(*a).compare(b)),
            (Self::Wide(a), Self::Exact(b)) => Some(a.compare(&Decimal::from(*b))),
            (Self::Wide(a), Self::Wide(b)) => Some(a.compare(b)),
        }
    }
}

/// Reads `[+-]?digits`. An exponent that does not fit into 64 bits saturates far outside every range.
fn parse_exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let size = digits
        .iter()
        .fold(0_i64, |size, digit| size.saturating_mul(10).saturating_add(i64::from(digit - b'0')).min(i64::MAX / 4));
    Some(if negative { -size } else { size })
}

impl Decimal {
    /// Rounds half to even to an [`Amount`].
    fn round(&self) -> Option<Amount> {
        // The digits before position `kept` are kept.
        let kept = self.exponent.saturating_add(i64::from(FRACTION_DIGITS));
        if kept < 0 {
            return Some(Amount::ZERO);
        }
        if kept > 39 {
            return None;
        }
        let kept = kept as usize;
        let mut units = 0_u128;
        for position in 0..kept {
            let digit = self.digits.get(position).copied().unwrap_or(0);
            units = units.checked_mul(10)?.checked_add(u128::from(digit))?;
        }
        let tail = self.digits.get(kept..).unwrap_or(&[]);
        let up = match tail {
            [] | [0..=4, ..] => false,
            [5] => units % 2 == 1,
            _ => true,
        };
        let units = i128::try_from(units.checked_add(u128::from(up))?).ok()?;
        Amount::from_units(if self.negative { -units } else { units })
    }

    /// Plain digits, unless they are too many.
    fn to_plain(&self) -> Option<String> {
        let count = i64::try_from(self.digits.len()).ok()?;
        let (before, behind) = (self.exponent.max(1), count.saturating_sub(self.exponent).max(0));
        if before.saturating_add(behind) > PLAIN_DIGITS {
            return None;
        }
        let first = (self.exponent - before).min(0);
        let digit = |place: i64| usize::try_from(place).ok().and_then(|place| self.digits.get(place)).unwrap_or(&0);
        let mut text = String::from(if self.negative { "-" } else { "" });
        for place in first..count.max(self.exponent) {
            if place == self.exponent {
                text.push('.');
            }
            text.push(char::from(b'0' + digit(place)));
        }
        Some(text)
    }

    fn compare(&self, other: &Self) -> Ordering {
        let sign = |decimal: &Self| match (decimal.digits.is_empty(), decimal.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let magnitude = || (self.exponent, &self.digits).cmp(&(other.exponent, &other.digits));
        match (sign(self), sign(other)) {
            (-1, -1) => magnitude().reverse(),
            (1, 1) => magnitude(),
            (a, b) => a.cmp(&b),
        }
    }
}

impl From<Amount> for Decimal {
    fn from(amount: Amount) -> Self {
        let text = amount.units().unsigned_abs().to_string();
        let digits = text.trim_end_matches('0');
        Self {
            negative: amount.units() < 0,
            exponent: if digits.is_empty() { 0 } else { text.len() as i64 - i64::from(FRACTION_DIGITS) },
            digits: digits.bytes().map(|digit| digit - b'0').collect(),
        }
    }
}

impl PartialEq for Number {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.compare(other) == Some(Ordering::Equal)
    }
}

impl From<f64> for Number {
    /// The shortest decimal that reads back to `float`.
    fn from(float: f64) -> Self {
        if float.is_nan() {
            return Self::NotANumber;
        }
        if float.is_infinite() {
            return Self::Infinite(float < 0.0);
        }
        let whole = float as i64;
        if whole as f64 == float && whole.unsigned_abs() < 1 << 53 {
            return Self::Exact(Amount::from(whole));
        }
        if let Some(amount) = short_decimal(float) {
            return Self::Exact(amount);
        }
        // `{:e}` prints the shortest digits that read back, in the JSON grammar.
        Self::parse(&format!("{float:e}")).unwrap_or(Self::NotANumber)
    }
}

/// The shortest decimal that reads back to `float`, if it has up to six fractional digits and 15 digits in total: most numbers
/// that people write.
///
/// A quotient of a whole number below 2⁵³ and a power of ten up to 10²² is rounded once, so it is what the decimal reads as
/// (W. Clinger, "How to read floating point numbers accurately", PLDI 1990). No other decimal of up to 15 digits reads as the
/// same float.
#[inline]
fn short_decimal(float: f64) -> Option<Amount> {
    const MOST: f64 = 1e15;
    let (mut power, mut units) = (1.0, 10_i128.pow(FRACTION_DIGITS));
    for _ in 0..6 {
        (power, units) = (power * 10.0, units / 10);
        let digits = (float * power).round_ties_even();
        if digits.abs() >= MOST {
            return None;
        }
        if digits / power == float {
            return Amount::from_units(i128::from(digits as i64) * units);
        }
    }
    None
}

impl From<i64> for Number {
    fn from(whole: i64) -> Self {
        Self::Exact(Amount::from(whole))
    }
}

impl From<u64> for Number {
    fn from(whole: u64) -> Self {
        Self::Exact(Amount::from(whole))
    }
}

impl From<i128> for Number {
    fn from(whole: i128) -> Self {
        Self::parse(&whole.to_string()).unwrap_or(Self::NotANumber)
    }
}

impl From<u128> for Number {
    fn from(whole: u128) -> Self {
        Self::parse(&whole.to_string()).unwrap_or(Self::NotANumber)
    }
}

impl From<f32> for Number {
    /// The shortest decimal that reads back to the same 32-bit float: 0.1 is 0.1.
    fn from(float: f32) -> Self {
        if float.is_finite() {
            return Self::parse(&format!("{float:e}")).unwrap_or(Self::NotANumber);
        }
        Self::from(f64::from(float))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(amount) => amount.fmt(f),
            Self::Wide(decimal) => decimal.fmt(f),
            Self::Infinite(negative) => f.write_str(if *negative { "-Infinity" } else { "Infinity" }),
            Self::NotANumber => f.write_str("NaN"),
        }
    }
}

impl fmt::Display for Decimal {
    /// Scientific notation in the JSON grammar.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, rest) = self.digits.split_first().unwrap_or((&0, &[]));
        write!(f, "{}{first}", if self.negative { "-" } else { "" })?;
        if !rest.is_empty() {
            f.write_str(".")?;
            for digit in rest {
                write!(f, "{digit}")?;
            }
        }
        write!(f, "e{}", self.exponent.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(text: &str) -> Number {
        Number::parse(text).unwrap_or_else(|| panic!("{text} is a number"))
    }

    #[test]
    fn a_float_is_its_shortest_decimal() {
        let shown = |float: f64| Number::from(float).to_string();
        assert_eq!(shown(0.1), "0.1");
        assert_eq!(shown(-12.34), "-12.34");
        assert_eq!(shown(0.1 + 0.2), "0.30000000000000004");
        assert_eq!(shown(999_999_999.999_999), "999999999.999999");
        assert_eq!(shown(9_007_199_254_740_993.0), "9007199254740992");
        assert_eq!(shown(1e-7), "0.0000001");
        assert_eq!(shown(-0.0), "0");
    }

    #[test]
    fn a_number_between_two_units_has_a_neighbour_on_each_side() {
        let neighbours = |text: &str| {
            let number = Number::parse(text).unwrap();
            (number.neighbour(false).unwrap(), number.neighbour(true).unwrap())
        };
        assert_eq!(neighbours("0.0000000000000000014"), (1, 2));
        assert_eq!(neighbours("0.0000000000000000016"), (1, 2));
        assert_eq!(neighbours("-0.0000000000000000014"), (-2, -1));
        assert_eq!(neighbours("-0.0000000000000000001"), (-1, 0));
        assert_eq!(neighbours("2e-18"), (2, 2));
        assert_eq!(neighbours("1e40"), (i128::MAX, i128::MAX));
        assert_eq!(neighbours("-1e40"), (-i128::MAX, -i128::MAX));
        assert_eq!(Number::Infinite(true).neighbour(true), Some(-i128::MAX));
        assert_eq!(Number::NotANumber.neighbour(false), None);
    }

    #[test]
    fn values_compare_in_full() {
        assert_eq!(number("1"), number("1.0"));
        assert_eq!(number("1e2"), number("100"));
        assert_eq!(number("-0"), number("0.000"));
        assert_ne!(number("9007199254740993"), Number::from(9_007_199_254_740_992.0));
        assert_eq!(Number::from(0.1), number("0.1"));
        assert_ne!(Number::NotANumber, Number::NotANumber);
        assert!(matches!(number("150000000000000000000"), Number::Exact(_)));
        assert!(number("1e300").compare(&number("1e299")) == Some(Ordering::Greater));
        assert!(number("-1e-30").compare(&number("0")) == Some(Ordering::Less));
        assert!(number("1e99999999999999999999").compare(&number("1e400")) == Some(Ordering::Greater));
        assert!(number("0.1000000000000000000001").compare(&number("0.1")) == Some(Ordering::Greater));
    }

    #[test]
    fn far_exponents_read_back() {
        for text in ["10e9999999999999999999", "0.1e-9999999999999999999", "-1e9223372036854775807"] {
            assert_eq!(number(&number(text).to_string()), number(text), "{text}");
        }
    }

    #[test]
    fn names_are_spelled_in_plain_digits() {
        for (text, plain) in [
            ("1e21", "1000000000000000000000".to_owned()),
            ("1000000000000000000000.0", "1000000000000000000000".to_owned()),
            ("-123456789012345678901234", "-123456789012345678901234".to_owned()),
            ("170000000000000000000.5", "170000000000000000000.5".to_owned()),
            ("1e-19", "0.0000000000000000001".to_owned()),
            ("-12.5e-20", "-0.000000000000000000125".to_owned()),
            ("12.3456789012345678901", "12.3456789012345678901".to_owned()),
            ("7", "7".to_owned()),
            ("1e2", "100".to_owned()),
            ("1.7976931348623157e308", format!("17976931348623157{}", "0".repeat(292))),
            ("1e999", format!("1{}", "0".repeat(999))),
            ("1e1000", "1e1000".to_owned()),
            ("1e-999", format!("0.{}1", "0".repeat(998))),
            ("1e-1000", "1e-1000".to_owned()),
            ("1e99999999999999999999", format!("1e{}", FAR - 1)),
        ] {
            assert_eq!(number(text).to_plain(), plain, "{text}");
        }
    }

    #[test]
    fn a_number_in_a_string_may_have_spaces_and_a_plus() {
        for text in ["5", "+5", " 5", "5  ", " +5 ", "5.0", "+0.5e1"] {
            assert_eq!(Number::parse_text(text), Some(number("5")), "{text:?}");
        }
        for text in ["", " ", "+", "+-5", "++5", "+ 5", ".5", "5.", "007", "\t5", "5\n", "\u{a0}5", "1_000", "5 5"] {
            assert_eq!(Number::parse_text(text), None, "{text:?}");
        }
    }

    #[test]
    fn only_the_json_grammar_is_a_number() {
        for text in ["", "-", "+1", "01", ".5", "1.", "1e", "1_000", "0x10", "inf", "NaN", " 1", "1 ", "--1"] {
            assert!(Number::parse(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn more_decimals_round_half_to_even() {
        for (text, rounded) in [
            ("0.0000000000000000005", "0"),
            ("0.0000000000000000015", "0.000000000000000002"),
            ("0.0000000000000000025", "0.000000000000000002"),
            ("0.00000000000000000250001", "0.000000000000000003"),
            ("1e-40", "0"),
            ("9.9999999999999999999", "10"),
        ] {
            let (amount, was_rounded) = number(text).to_amount().unwrap();
            assert_eq!(amount.to_string(), rounded, "{text}");
            assert!(was_rounded);
        }
        assert_eq!(number("1.7e20").to_amount(), Err(NotAnAmount::OutOfRange));
        assert_eq!(number("1e999").to_amount(), Err(NotAnAmount::OutOfRange));
        assert!(number("169999999999999999999.999999999999999999").to_amount().is_ok());
    }

    proptest! {
        #[test]
        fn floats_read_as_what_they_print(whole: i64, digits in 0..10_u32, bits: u64) {
            for float in [whole as f64 / 10_f64.powi(digits as i32), (whole >> 20) as f64 / 10_f64.powi(digits as i32), f64::from_bits(bits)] {
                prop_assume!(float.is_finite());
                prop_assert_eq!(Number::from(float), number(&format!("{float:e}")));
            }
        }

        #[test]
        fn text_reads_back(units in -1_000_000_000_000_000_000_000_000_000_i128..1_000_000_000_000_000_000_000_000_000) {
            let amount = Amount::from_units(units).unwrap();
            prop_assert_eq!(number(&amount.to_string()), Number::Exact(amount));
        }

        #[test]
        fn floats_read_back(float in any::<f64>()) {
            prop_assume!(float.is_finite());
            prop_assert_eq!(number(&Number::from(float).to_string()), Number::from(float));
            prop_assert_eq!(Number::from(float).to_string().parse::<f64>().unwrap(), float);
        }

        #[test]
        fn order_agrees_with_floats(a in -1e30_f64..1e30, b in -1e30_f64..1e30) {
            prop_assert_eq!(Number::from(a).compare(&Number::from(b)), a.partial_cmp(&b));
        }

        #[test]
        fn no_text_panics(text in "[-+0-9.eE]{0,40}") {
            if let Some(number) = Number::parse(&text) {
                let _ = number.to_amount();
                prop_assert_eq!(Number::parse(&number.to_plain()), Some(number.clone()));
                prop_assert_eq!(Number::parse(&number.to_string()), Some(number));
            }
        }
    }
}
