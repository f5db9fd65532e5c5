//! `"kind": "streak"`: how many periods in a row were met.

use super::{Measure, MeasureState, Measures, Source, Sum};
use crate::amount::Amount;
use crate::custom::CustomError;
use crate::definition::{DefinitionError, Fields, Read};
use crate::engine::Ask;
use crate::json::{Map, object};
use crate::number::Number;
use crate::path::Path;
use crate::source::Node;

/// How many periods in a row were met: those in which the documents reached `each`.
#[derive(Clone, Debug, PartialEq)]
pub struct Streak {
    sum: Option<Sum>,
    each: Amount,
    freezes: Freezes,
}

/// How many periods without enough documents a streak survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Freezes {
    /// How many there are at the start.
    pub start: u64,
    /// One more is earned for each so many periods met in a row.
    pub per: Option<u64>,
    /// There are never more than this.
    pub max: Option<u64>,
}

impl Freezes {
    /// This many at the start.
    pub fn starting(start: u64) -> Self {
        Self { start, ..Self::default() }
    }

    /// One more for each `periods` met in a row.
    #[must_use]
    pub fn earned_per(mut self, periods: u64) -> Self {
        self.per = Some(periods);
        self
    }

    /// Never more than `max`.
    #[must_use]
    pub fn at_most(mut self, max: u64) -> Self {
        self.max = Some(max);
        self
    }

    fn read(node: &Node) -> Read<Self> {
        let form = r#"a map such as {"start": 1, "per": 7, "max": 2}"#;
        let mut fields = Fields::known(node, form, &["start", "per", "max"])?;
        let whole = |node: &Node| {
            let whole = node.amount()?.to_integer().and_then(|whole| u64::try_from(whole).ok());
            whole.ok_or_else(|| node.expected("a whole number, 0 or greater"))
        };
        let (start, per, max) = (fields.take("start", whole)?, fields.take("per", whole)?, fields.take("max", whole)?);
        fields.finish("only `start`, `per` and `max`")?;
        Ok(Self { start: start.unwrap_or(0), per, max })
    }
}

impl Streak {
    /// A period is met by its first document.
    pub(crate) fn new() -> Self {
        Self { sum: None, each: Amount::ONE, freezes: Freezes::default() }
    }

    /// What the documents of a period must reach.
    pub fn each(&self) -> Amount {
        self.each
    }

    /// How many periods it survives without being met.
    pub fn freezes(&self) -> Freezes {
        self.freezes
    }

    /// The path of the number that is summed in each period; `None` if documents are counted.
    pub fn key(&self) -> Option<&Path> {
        self.sum.as_ref().map(Sum::key)
    }

    pub(crate) fn set_key(&mut self, key: Path) {
        self.sum = Some(Sum::new(key));
    }

    pub(crate) fn set_each(&mut self, each: Amount) {
        self.each = each;
    }

    pub(crate) fn set_freezes(&mut self, freezes: Freezes) {
        self.freezes = freezes;
    }
}

impl Measures for Streak {
    const NAME: &'static str = "streak";
    const FIELDS: &'static [&'static str] = &["key", "each", "freezes"];

    fn read(fields: &mut Fields<'_>) -> Read<Self> {
        Ok(Self {
            sum: fields.take("key", Node::path)?.map(Sum::new),
            each: fields.take("each", Node::amount)?.unwrap_or(Amount::ONE),
            freezes: fields.take("freezes", Freezes::read)?.unwrap_or_default(),
        })
    }

    fn check(&self) -> Read<()> {
        if !self.each.is_positive() {
            let problem = format!("{} is reached without a document", self.each);
            return Err(DefinitionError::of("each", problem, "a number above 0"));
        }
        let Freezes { start, per, max } = self.freezes;
        if per == Some(0) {
            return Err(DefinitionError::of("freezes.per", "0", "a whole number, 1 or greater"));
        }
        match max {
            Some(max) if start > max => {
                let problem = format!("{start} freezes at the start, but never more than {max}");
                Err(DefinitionError::of("freezes.start", problem, format!("a whole number up to {max}")))
            }
            _ => Ok(()),
        }
    }

    fn write(&self, map: &mut Map) {
        if let Some(sum) = &self.sum {
            map.insert("key".into(), sum.key().as_str().into());
        }
        if self.each != Amount::ONE {
            map.insert("each".into(), Number::Exact(self.each).into());
        }
        let Freezes { start, per, max } = self.freezes;
        if self.freezes != Freezes::default() {
            let numbers = [("start", (start > 0).then_some(start)), ("per", per), ("max", max)];
            map.insert("freezes".into(), object(numbers.into_iter().filter_map(|(key, n)| Some((key, n?.into())))));
        }
    }

    fn source(&self) -> Source<'_> {
        match &self.sum {
            Some(sum) => sum.source(),
            None => Source::One,
        }
    }

    fn amount_of(&self, state: Option<&MeasureState>, ask: &Ask<'_>) -> Result<Measure, CustomError> {
        match &self.sum {
            Some(sum) => sum.amount_of(state, ask),
            None => Ok(Measure::of(Amount::ONE)),
        }
    }
}
