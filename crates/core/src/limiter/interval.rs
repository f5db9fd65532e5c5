//! `{"seconds": 60}`: admits documents for a time after the add or the last renewal.

use super::fixed::Bounds;
use super::{Kind, LimiterView, Renewal, Verdict};
use crate::custom::CustomError;
use crate::definition::{Fields, Read};
use crate::engine::{Ask, At, Engine, When};
use crate::group::RecordError;
use crate::json::{Json, object};
use crate::time::{Span, Timestamp};

/// Admits documents for a time after the add or the last renewal, including the last moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    pub(super) length: Span,
}

impl Interval {
    /// How long it admits documents.
    pub fn length(&self) -> Span {
        self.length
    }
}

impl Kind for Interval {
    type State = Bounds;

    const FIELDS: &'static [&'static str] = &["seconds"];
    const FORM: &'static str = r#"{"seconds": s}"#;

    fn read(fields: &mut Fields<'_>) -> Read<Self> {
        let length = fields.required("seconds", Self::FORM, |node| {
            Span::read(&node.to_json()).ok_or_else(|| node.expected("a non-negative number of seconds"))
        })?;
        Ok(Self { length })
    }

    fn to_json(&self) -> Json {
        object([("seconds", self.length.to_number().into())])
    }

    fn begin(&self, when: When, _: Option<&Engine>) -> Bounds {
        Bounds { start: when.now, end: when.now.saturating_add(self.length) }
    }

    #[inline]
    fn stays_open(&self, state: &Bounds, now: Timestamp) -> bool {
        state.contain(now)
    }

    fn admits(&self, state: &Bounds, ask: &Ask<'_>) -> Result<Verdict, CustomError> {
        Ok(state.verdict(ask.at.when.now))
    }

    fn renewed(&self, state: &Bounds, renewal: Renewal, at: At<'_>) -> Result<Bounds, CustomError> {
        Ok(state.renewed(renewal.length, at.when.now))
    }

    fn view(&self, state: &Bounds, when: When) -> LimiterView {
        state.view(when.now)
    }

    fn in_words(&self, state: &Bounds, when: When) -> String {
        state.in_words(when.now)
    }

    fn store(state: &Bounds, out: &mut String) {
        state.store(out);
    }

    fn restore(&self, stored: &Json) -> Result<Bounds, RecordError> {
        Bounds::restore(stored)
    }
}
