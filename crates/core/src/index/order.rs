//! Order tests as a single comparison of integers, for both columns and checks: a value passes a test exactly if its
//! [`units`] are greater than or equal to the [`key`] of the test.
//!
//! Both are in units of 10⁻¹⁸, or microseconds for timestamps. For `lt` and `le`, both are negated. If the threshold itself does
//! not pass, the key is one higher.

use crate::condition::{Order, moment_of};
use crate::document::Value;
use crate::number::Number;

/// The number that the units of a value must reach.
pub(super) fn key(order: Order, threshold: i128) -> i128 {
    let units = if order.is_down() { -threshold } else { threshold };
    units + i128::from(order.is_strict())
}

/// The units of a value as a timestamp; any other value is below every key.
pub(super) fn units_of_moment(order: Order, value: Option<&Value<'_>>) -> i128 {
    let Some(moment) = value.and_then(moment_of) else { return i128::MIN };
    let micros = i128::from(moment.micros());
    if order.is_down() { -micros } else { micros }
}

/// The units of a value; anything other than a number is below every key.
#[inline]
pub(super) fn units(order: Order, value: Option<&Value<'_>>) -> i128 {
    match value {
        Some(Value::Number(Number::Exact(amount))) => {
            if order.is_down() {
                -amount.units()
            } else {
                amount.units()
            }
        }
        Some(Value::Number(number)) => units_off_grid(order, number),
        _ => i128::MIN,
    }
}

/// For a number between two units or out of range: the units of its lower neighbour, which passes the same tests if they
/// include their threshold, and one more if they do not.
#[cold]
fn units_off_grid(order: Order, number: &Number) -> i128 {
    let Some(neighbour) = number.neighbour(order.is_down()) else { return i128::MIN };
    let units = if order.is_down() { -neighbour } else { neighbour };
    units.saturating_add(i128::from(order.is_strict()))
}
