//! `"kind": "count"`: every document that counts adds one.

use super::{Ask, Measure, MeasureState, Measures, Source};
use crate::amount::Amount;
use crate::custom::CustomError;
use crate::definition::{Fields, Read};
use crate::group::RecordError;
use crate::json::{Json, Map};

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

    fn check(&self) -> Read<()> {
        Ok(())
    }

    fn write(&self, _: &mut Map) {}

    fn source(&self) -> Source<'_> {
        Source::One
    }

    fn amount_of(&self, _: Option<&MeasureState>, _: &Ask<'_>) -> Result<Measure, CustomError> {
        Ok(Measure::of(Amount::ONE))
    }

    fn restore(&self, _: &Json) -> Result<MeasureState, RecordError> {
        Err(RecordError::new("a count remembers nothing"))
    }
}
