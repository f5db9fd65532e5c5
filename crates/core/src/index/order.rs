//! Order tests as one comparison of whole numbers, for columns and checks alike: a value passes a test exactly if its
//! [`units`] are at least the [`key`] of the test.
//!
//! Both count 10⁻¹⁸, or microseconds for moments. For `lt` and `le` both are negated, and where the threshold itself does not pass the key is one further.

use crate::condition::{Order, moment_of};
use crate::document::Value;
use crate::number::Number;

/// What the units of a value have to reach.
pub(super) fn key(order: Order, threshold: i128) -> i128 {
    let units = if order.is_down() { -threshold } else { threshold };
    units + i128::from(order.is_strict())
}

/// The units of a value as a moment; what is not a moment is below every key.
pub(super) fn units_of_moment(order: Order, value: Option<&Value<'_>>) -> i128 {
    let Some(moment) = value.and_then(moment_of) else { return i128::MIN };
    let micros = i128::from(moment.micros());
    if order.is_down() { -micros } else { micros }
}

/// The units of a value; what is no number is below every key.
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

/// For a number between two units or beyond all: those of its lower neighbour, which passes the same tests that include
/// their threshold, and one more where they do not.
#[cold]
fn units_off_grid(order: Order, number: &Number) -> i128 {
    let Some(neighbour) = number.neighbour(order.is_down()) else { return i128::MIN };
    let units = if order.is_down() { -neighbour } else { neighbour };
    units.saturating_add(i128::from(order.is_strict()))
}
