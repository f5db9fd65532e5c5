//! `"kind": "count"`: every document that counts adds one.

use super::{Measure, MeasureState, Measures, Source};
use crate::amount::Amount;
use crate::custom::CustomError;
use crate::definition::{Fields, Read};
use crate::engine::Ask;
use crate::json::Map;

/// Every document adds one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Count;

impl Measures for Count {
    const NAME: &'static str = "count";
    const FIELDS: &'static [&'static str] = &[];

    fn read(_: &mut Fields<'_>) -> Read<Self> {
        Ok(Self)
    }

    fn write(&self, _: &mut Map) {}

    fn source(&self) -> Source<'_> {
        Source::One
    }

    fn amount_of(&self, _: Option<&MeasureState>, _: &Ask<'_>) -> Result<Measure, CustomError> {
        Ok(Measure::of(Amount::ONE))
    }
}
