//! Exact decimals with 18 fraction digits: progress, targets and amounts.

use std::fmt;
use std::ops::Neg;
use std::str::FromStr;

use crate::number::{NotAnAmount, Number};

/// The number of fraction digits of an [`Amount`].
pub const FRACTION_DIGITS: u32 = 18;

/// The number of units of 10⁻¹⁸ in 1.
const SCALE: i128 = 1_000_000_000_000_000_000;

/// The first magnitude that is out of range: 1.7·10²⁰, in units of 10⁻¹⁸.
const LIMIT: u128 = 170_000_000_000_000_000_000 * 1_000_000_000_000_000_000;

/// An exact decimal with 18 fraction digits, `|x| < 1.7·10²⁰`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount(i128);

impl Amount {
    /// Zero.
    pub const ZERO: Self = Self(0);
    /// What a `count` tracker adds for each document.
    pub const ONE: Self = Self(SCALE);

    /// Above every amount in range: the goal of a tracker that never completes.
    pub(crate) const UNREACHABLE: Self = Self(LIMIT as i128);

    /// The amount of `count` times 10⁻¹⁸, or `None` if it is out of range.
    #[inline]
    pub const fn from_units(count: i128) -> Option<Self> {
        if count.unsigned_abs() < LIMIT { Some(Self(count)) } else { None }
    }

    /// This amount in units of 10⁻¹⁸.
    #[inline]
    pub const fn units(self) -> i128 {
        self.0
    }

    /// The sum, or `None` if it is out of range.
    #[inline]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Self::from_units(sum),
            None => None,
        }
    }

    /// The difference, or `None` if it is out of range.
    #[inline]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(difference) => Self::from_units(difference),
            None => None,
        }
    }

    /// The sum of this and `units` times 10⁻¹⁸, and whether it is not negative and below `bound`, and therefore in
    /// range. If it is not, the sum is meaningless. The function has no branches.
    #[inline]
    pub(crate) const fn add_below(self, units: i128, bound: Self) -> (Self, bool) {
        let (sum, overflows) = self.0.overflowing_add(units);
        (Self(sum), !overflows & (sum >= 0) & (sum < bound.0))
    }

    /// How many times `step` fits into this amount, and the remainder. Both amounts must be positive.
    pub(crate) const fn cycles(self, step: Self) -> (u64, Self) {
        // The count saturates at 64 bits. More events cannot be numbered, so such a document is skipped.
        let whole = self.0 / step.0;
        let count = if whole > u64::MAX as i128 { u64::MAX } else { whole as u64 };
        (count, Self(self.0 % step.0))
    }

    /// Whether the amount is above zero.
    pub const fn is_positive(self) -> bool {
        self.0 > 0
    }

    /// The nearest 64-bit float.
    pub fn to_f64(self) -> f64 {
        // The decimal text is parsed because dividing two rounded floats would round twice.
        self.to_string().parse().unwrap_or(f64::NAN)
    }

    /// The amount as a whole number, or `None` if it has a fraction.
    pub const fn to_integer(self) -> Option<i128> {
        if self.0 % SCALE == 0 { Some(self.0 / SCALE) } else { None }
    }
}

impl From<i64> for Amount {
    fn from(whole: i64) -> Self {
        Self(i128::from(whole) * SCALE)
    }
}

impl From<i32> for Amount {
    fn from(whole: i32) -> Self {
        Self::from(i64::from(whole))
    }
}

impl From<u32> for Amount {
    fn from(whole: u32) -> Self {
        Self::from(i64::from(whole))
    }
}

impl From<u64> for Amount {
    fn from(whole: u64) -> Self {
        Self(i128::from(whole) * SCALE)
    }
}

impl Amount {
    /// Appends the shortest decimal text: `3`, `-0.25`, `545.5`.
    ///
    /// Stores write one for each tracker of each change, so this avoids the slower formatter.
    pub(crate) fn push_to(self, out: &mut String) {
        let magnitude = self.0.unsigned_abs();
        let scale = SCALE.unsigned_abs();
        if self.0 < 0 {
            out.push('-');
        }
        // The whole part can be up to 1.7·10²⁰, which does not fit into 64 bits.
        let (whole, mut fraction) = (magnitude / scale, (magnitude % scale) as u64);
        match u64::try_from(whole) {
            Ok(whole) => push_integer(out, whole),
            Err(_) => out.push_str(&whole.to_string()),
        }
        if fraction == 0 {
            return;
        }
        let mut width = FRACTION_DIGITS as usize;
        while fraction % 10 == 0 {
            fraction /= 10;
            width -= 1;
        }
        let mut digits = [b'0'; FRACTION_DIGITS as usize];
        for digit in digits[..width].iter_mut().rev() {
            *digit = b'0' + (fraction % 10) as u8;
            fraction /= 10;
        }
        out.push('.');
        push_digits(out, &digits[..width]);
    }
}

/// Appends the decimal text of `number`.
pub(crate) fn push_integer(out: &mut String, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    push_digits(out, &digits[at..]);
}

/// Appends digits at once, which is several times as fast as one by one.
fn push_digits(out: &mut String, digits: &[u8]) {
    out.push_str(std::str::from_utf8(digits).unwrap_or_default());
}

/// Why something is not an [`Amount`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AmountError {
    /// It is not a number or not finite.
    #[error("not a number; expected a number such as 3 or -0.25")]
    NotANumber,
    /// Its magnitude is 1.7·10²⁰ or more.
    #[error("number out of range; expected a number between -1.7e20 and 1.7e20")]
    OutOfRange,
}

impl From<NotAnAmount> for AmountError {
    fn from(fault: NotAnAmount) -> Self {
        match fault {
            NotAnAmount::OutOfRange => Self::OutOfRange,
            NotAnAmount::NotFinite => Self::NotANumber,
        }
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    /// Reads a number in JSON's grammar. Decimals beyond 10⁻¹⁸ are rounded half to even.
    fn from_str(text: &str) -> Result<Self, AmountError> {
        let (amount, _) = Number::parse(text).ok_or(AmountError::NotANumber)?.to_amount()?;
        Ok(amount)
    }
}

impl TryFrom<f64> for Amount {
    type Error = AmountError;

    /// The shortest decimal that reads back to `number`. Decimals beyond 10⁻¹⁸ are rounded half to even.
    fn try_from(number: f64) -> Result<Self, AmountError> {
        let (amount, _) = Number::from(number).to_amount()?;
        Ok(amount)
    }
}

impl Neg for Amount {
    type Output = Self;

    fn neg(self) -> Self {
        // The range is symmetric.
        Self(-self.0)
    }
}

impl fmt::Display for Amount {
    /// The shortest decimal text: `3`, `-0.25`, `545.5`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.push_to(&mut text);
        f.write_str(&text)
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_the_shortest_decimal() {
        let half = Amount::from_units(SCALE / 2).unwrap();
        assert_eq!(half.to_string(), "0.5");
        assert_eq!(Amount::from_units(-1).unwrap().to_string(), "-0.000000000000000001");
        assert_eq!(Amount::from(545).checked_add(half).unwrap().to_string(), "545.5");
        assert_eq!(Amount::from(-7).to_string(), "-7");
    }

    #[test]
    fn texts_and_floats_are_read_as_documents_are() {
        let half = Amount::from_units(SCALE / 2).unwrap();
        assert_eq!("0.5".parse(), Ok(half));
        assert_eq!((-half).to_string().parse(), Ok(-half));
        assert_eq!(Amount::try_from(0.1).unwrap().to_string(), "0.1");
        assert_eq!(half.checked_sub(Amount::ONE), Some(-half));
        for refused in ["", "x", "1_000", " 1", "NaN"] {
            assert_eq!(refused.parse::<Amount>(), Err(AmountError::NotANumber), "{refused}");
        }
        assert_eq!("1.7e20".parse::<Amount>(), Err(AmountError::OutOfRange));
        assert_eq!(Amount::try_from(f64::NAN), Err(AmountError::NotANumber));
        assert_eq!(Amount::try_from(f64::INFINITY), Err(AmountError::NotANumber));
    }

    #[test]
    fn the_range_is_open_at_its_limit() {
        let limit = i128::try_from(LIMIT).unwrap();
        assert!(Amount::from_units(limit).is_none());
        let most = Amount::from_units(limit - 1).unwrap();
        assert!(most.checked_add(Amount::from_units(1).unwrap()).is_none());
        assert!(most.checked_add(most).is_none());
    }
}
