//! `{"start": t, "end": t}`: admits documents from one moment to another.

use std::fmt::Write as _;

use super::{Kind, LimiterView, Renewal, Verdict};
use crate::custom::CustomError;
use crate::definition::{DefinitionError, Fields, Read};
use crate::engine::{Ask, At, Engine, When};
use crate::group::RecordError;
use crate::group::stored::moment;
use crate::json::{Json, object};
use crate::source::Node;
use crate::time::{Span, Timestamp};

/// Admits documents from one moment to another, inclusive. A reset starts a window of the same length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixed(pub(super) Bounds);

/// The first and the last moment that are admitted. [`Timestamp::MIN`] means no start, [`Timestamp::MAX`] no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
}

impl Fixed {
    pub(super) fn new(start: Option<Timestamp>, end: Option<Timestamp>) -> Self {
        Self(Bounds { start: start.unwrap_or(Timestamp::MIN), end: end.unwrap_or(Timestamp::MAX) })
    }

    /// The first moment that is admitted, if it has one.
    pub fn start(&self) -> Option<Timestamp> {
        self.0.first()
    }

    /// The last moment that is admitted, if it has one.
    pub fn end(&self) -> Option<Timestamp> {
        self.0.last()
    }
}

impl Bounds {
    fn first(self) -> Option<Timestamp> {
        (self.start != Timestamp::MIN).then_some(self.start)
    }

    fn last(self) -> Option<Timestamp> {
        (self.end != Timestamp::MAX).then_some(self.end)
    }

    #[inline]
    pub(super) fn contain(self, now: Timestamp) -> bool {
        (self.start..=self.end).contains(&now)
    }

    pub(super) fn verdict(self, now: Timestamp) -> Verdict {
        if self.contain(now) {
            Verdict::Admitted
        } else {
            Verdict::Refused { until: (now < self.start).then_some(self.start) }
        }
    }

    /// The bounds after a renewal at `now`: they start now and last for `length`, or for as long as before. Bounds
    /// without a start have no length, so they stay the same unless `length` is given.
    pub(super) fn renewed(self, length: Option<Span>, now: Timestamp) -> Self {
        match length {
            Some(length) => Self { start: now, end: now.saturating_add(length) },
            None if self.end == Timestamp::MAX => Self { start: now, end: self.end },
            // Without a length there is nothing to start again, and the end must not get lost.
            None if self.start == Timestamp::MIN => self,
            None => Self { start: now, end: now.saturating_add(self.end.since(self.start)) },
        }
    }

    pub(super) fn view(self, now: Timestamp) -> LimiterView {
        let retry_at = match self.verdict(now) {
            Verdict::Admitted => Some(now),
            Verdict::Refused { until } => until,
        };
        LimiterView { retry_at, start: self.first(), end: self.last(), ..LimiterView::default() }
    }

    pub(super) fn in_words(self, now: Timestamp) -> String {
        match (self.first(), self.last()) {
            (None, None) => "the window without bounds".to_owned(),
            (Some(start), None) => format!("the window from {start}"),
            (Some(start), Some(end)) if now < start => format!("the window from {start} to {end}"),
            (None, Some(end)) => format!("the window that ended at {end}"),
            (Some(start), Some(end)) => format!("the window from {start}, which ended at {end}"),
        }
    }

    pub(super) fn store(self, out: &mut String) {
        let _ = write!(out, r#"{{"start":{},"end":{}}}"#, self.start.micros(), self.end.micros());
    }

    pub(super) fn restore(stored: &Json) -> Result<Self, RecordError> {
        Ok(Self { start: moment(stored, "start")?, end: moment(stored, "end")? })
    }
}

impl Kind for Fixed {
    type State = Bounds;

    const FIELDS: &'static [&'static str] = &["start", "end"];
    const FORM: &'static str = r#"{"start": t, "end": t} (or just one of them)"#;

    fn read(fields: &mut Fields<'_>) -> Read<Self> {
        let start = fields.take("start", Node::moment)?;
        let end = fields.take("end", |node| node.moment_by(Timestamp::read_end))?;
        Ok(Self::new(start, end))
    }

    fn check(&self) -> Read<()> {
        let of = |field: &str, problem: &str, expected: &str| DefinitionError::of(field, problem, expected);
        let Bounds { start, end } = self.0;
        if self.start().is_none() && self.end().is_none() {
            return Err(of("", "window has neither start nor end", "at least one of them"));
        }
        for (field, bound) in [("start", self.start()), ("end", self.end())] {
            if bound.is_some_and(|moment| !moment.is_writable()) {
                return Err(of(field, "timestamp out of range", "a year from -9999 to 9999"));
            }
        }
        if start > end {
            return Err(of("end", &format!("end {end} is before start {start}"), "an end at or after the start"));
        }
        Ok(())
    }

    fn to_json(&self) -> Json {
        let bounds = [("start", self.start()), ("end", self.end())];
        object(bounds.into_iter().filter_map(|(key, bound)| Some((key, bound?.to_number().into()))))
    }

    fn begin(&self, _: When, _: Option<&Engine>) -> Bounds {
        self.0
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

    /// A stage does not move a window.
    fn next_stage(&self, state: &Bounds, _: At<'_>) -> Result<Bounds, CustomError> {
        Ok(*state)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_refusal_holds_until_exactly_until(start in -50_i64..50, length in 0_i64..50, now in -60_i64..120) {
            let moment = Timestamp::from_micros;
            let engine = Engine::default();
            let fixed = Fixed::new(Some(moment(start)), Some(moment(start + length)));
            let state = fixed.begin(When::default(), Some(&engine));
            let admits = |now| {
                let at = At { when: When::default().at(moment(now)), engine: &engine };
                fixed.admits(&state, &Ask { at, document: &Json::Null, amount: crate::Amount::ONE }).unwrap()
            };
            if let Verdict::Refused { until } = admits(now) {
                match until {
                    Some(until) => {
                        prop_assert_eq!(admits(until.micros()), Verdict::Admitted);
                        prop_assert_ne!(admits(until.micros() - 1), Verdict::Admitted);
                    }
                    None => prop_assert!((now..now + 200).all(|later| admits(later) != Verdict::Admitted)),
                }
            }
        }
    }
}
