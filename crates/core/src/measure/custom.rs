//! `"kind": "custom"`: the amount that a registered measure returns.

use crate::json::Text;

use super::{Measure, MeasureState, Measures, Source};
use crate::condition::{check_custom, name_of_custom};
use crate::custom::CustomError;
use crate::definition::{DefinitionError, Fields, Read};
use crate::engine::Ask;
use crate::group::RecordError;
use crate::json::{Json, Map};
use crate::source::Node;

/// A measure that the process registered by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Custom {
    measure: Text,
    params: Json,
}

impl Custom {
    pub(crate) fn new(measure: &str, params: Json) -> Self {
        Self { measure: measure.into(), params }
    }

    /// The registered name.
    pub fn measure(&self) -> &str {
        &self.measure
    }

    /// The parameters in the definition; `null` if there are none.
    pub fn params(&self) -> &Json {
        &self.params
    }
}

impl Measures for Custom {
    const NAME: &'static str = "custom";
    const FIELDS: &'static [&'static str] = &["measure", "params"];

    fn read(fields: &mut Fields<'_>) -> Read<Self> {
        Ok(Self {
            measure: fields.required("measure", "the name of a registered measure", name_of_custom)?,
            params: fields.take("params", Node::params)?.unwrap_or_default(),
        })
    }

    fn check(&self) -> Read<()> {
        check_custom(&self.measure, &self.params).map_err(|error| {
            if error.field == "custom" { DefinitionError { field: "measure".to_owned(), ..error } } else { error }
        })
    }

    fn write(&self, map: &mut Map) {
        map.insert("measure".into(), self.measure.as_str().into());
        if self.params != Json::Null {
            map.insert("params".into(), self.params.clone());
        }
    }

    fn source(&self) -> Source<'_> {
        Source::Asked
    }

    fn amount_of(&self, state: Option<&MeasureState>, ask: &Ask<'_>) -> Result<Measure, CustomError> {
        let state = state.map(|MeasureState::Custom(state)| state);
        let measured = ask
            .at
            .engine
            .registry
            .measure(&self.measure, |code| code.measure(&self.params, state, ask.at.when.now, ask.document))?;
        Ok(match measured {
            Some(measured) => Measure::Amount {
                amount: measured.amount,
                rounded: false,
                state: measured.state.map(MeasureState::Custom),
            },
            None => Measure::Nothing(format!("the measure {} returns no amount", self.measure)),
        })
    }

    fn restore(&self, stored: &Json) -> Result<MeasureState, RecordError> {
        Ok(MeasureState::Custom(stored.clone()))
    }
}
