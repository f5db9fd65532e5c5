//! `{"count": 100}`: admits a number of documents, until a reset.

use std::fmt::Write as _;

use super::{Kind, LimiterView, Renewal, Verdict, quota};
use crate::custom::CustomError;
use crate::definition::{DefinitionError, Fields, Read};
use crate::engine::{Ask, At, Engine, When};
use crate::group::RecordError;
use crate::group::stored::whole;
use crate::json::{Json, object};
use crate::time::Timestamp;

/// Admits a number of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    pub(super) count: u64,
}

/// How much of a count is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    /// The value of `remaining` after a renewal.
    limit: u64,
    remaining: u64,
}

impl Count {
    /// The number of documents that it admits, 1 or more.
    pub fn count(&self) -> u64 {
        self.count
    }
}

impl Kind for Count {
    type State = Left;

    const FIELDS: &'static [&'static str] = &["count"];
    const FORM: &'static str = r#"{"count": n}"#;

    fn read(fields: &mut Fields<'_>) -> Read<Self> {
        fields.required("count", Self::FORM, quota::count).map(|count| Self { count })
    }

    fn check(&self) -> Read<()> {
        if self.count == 0 {
            return Err(DefinitionError::of("count", "0 never admits a document", "a whole number, 1 or greater"));
        }
        Ok(())
    }

    fn to_json(&self) -> Json {
        object([("count", self.count.into())])
    }

    fn begin(&self, _: When, _: Option<&Engine>) -> Left {
        Left { limit: self.count, remaining: self.count }
    }

    #[inline]
    fn stays_open(&self, state: &Left, _: Timestamp) -> bool {
        state.remaining > 1
    }

    #[inline]
    fn spend(&self, state: &mut Left, _: Timestamp) {
        state.remaining = state.remaining.saturating_sub(1);
    }

    #[inline]
    fn admits(&self, state: &Left, _: &Ask<'_>) -> Result<Verdict, CustomError> {
        Ok(if state.remaining > 0 { Verdict::Admitted } else { Verdict::Refused { until: None } })
    }

    #[inline]
    fn record(&self, state: &mut Left, ask: &Ask<'_>) -> Result<(), CustomError> {
        self.spend(state, ask.at.when.now);
        Ok(())
    }

    #[inline]
    fn exhausted(&self, state: &Left, _: At<'_>) -> Result<bool, CustomError> {
        Ok(state.remaining == 0)
    }

    fn renewed(&self, state: &Left, renewal: Renewal, _: At<'_>) -> Result<Left, CustomError> {
        let limit = renewal.count.unwrap_or(state.limit);
        Ok(Left { limit, remaining: limit })
    }

    fn with_used(&self, _: &Self, state: &Left, _: When) -> Option<Left> {
        let used = state.limit.saturating_sub(state.remaining);
        Some(Left { limit: self.count, remaining: self.count.saturating_sub(used) })
    }

    fn view(&self, state: &Left, when: When) -> LimiterView {
        LimiterView {
            limit: Some(state.limit.into()),
            remaining: Some(state.remaining.into()),
            retry_at: (state.remaining > 0).then_some(when.now),
            ..LimiterView::default()
        }
    }

    fn in_words(&self, state: &Left, _: When) -> String {
        format!("the count of {}, which is used up, until it is reset", state.limit)
    }

    fn store(state: &Left, out: &mut String) {
        let Left { limit, remaining } = state;
        let _ = write!(out, r#"{{"limit":{limit},"remaining":{remaining}}}"#);
    }

    fn restore(&self, stored: &Json) -> Result<Left, RecordError> {
        Ok(Left { limit: whole(stored, "limit")?, remaining: whole(stored, "remaining")? })
    }
}
