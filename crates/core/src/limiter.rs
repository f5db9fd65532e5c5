//! Limiters: how long, and how often, a tracker may count.

use compact_str::CompactString;

use crate::custom::{BoxError, CustomError, CustomLimiter, Registry};
use crate::document::Document;
use crate::json::Json;
use crate::time::{Span, Timestamp};

/// The limiters that one tracker may have at most.
pub const MAX_LIMITERS: usize = 64;

/// A limiter as a definition says it.
#[derive(Clone, Debug, PartialEq)]
pub enum LimiterDefinition {
    /// Admits this many counted documents.
    Count(u64),
    /// Admits from the first to the second moment, both included. [`Timestamp::MIN`] is no start, [`Timestamp::MAX`] no
    /// end.
    Window(Timestamp, Timestamp),
    /// Admits for this long after the add or the last renewal, the end included.
    Interval(Span),
    /// A limiter that the process registered by name.
    Custom {
        /// The registered name.
        name: CompactString,
        /// What the definition hands to it; `null` if nothing.
        params: Json,
    },
}

/// What a limiter remembers.
#[derive(Clone, Debug, PartialEq)]
pub enum LimiterState {
    /// Of a [`LimiterDefinition::Count`].
    Count {
        /// What a renewal puts `remaining` to.
        limit: u64,
        /// How many documents may still count.
        remaining: u64,
    },
    /// Of a window or an interval; both moments are included.
    Window {
        /// The first moment that is admitted; [`Timestamp::MIN`] if there is no start.
        start: Timestamp,
        /// The last moment that is admitted; [`Timestamp::MAX`] if there is no end.
        end: Timestamp,
    },
    /// Of a custom limiter; `None` until it is first asked.
    Custom(Option<Box<Json>>),
}

/// A limiter's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The document may count.
    Admitted,
    /// It may not, and none will before `until`; `None`: not before a renewal.
    Refused {
        /// The first moment that is admitted again.
        until: Option<Timestamp>,
    },
}

/// What `reset_tracker` says beyond "as new".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Renewal {
    /// A new number of documents for `count` limiters; 0 closes them.
    pub count: Option<u64>,
    /// A new length for windows and intervals.
    pub length: Option<Span>,
}

impl LimiterState {
    /// Whether it admits a document at `now` and does not run out by it. `false` also where only a custom limiter knows.
    #[inline]
    pub(crate) fn stays_open(&self, now: Timestamp) -> bool {
        match self {
            Self::Count { remaining, .. } => *remaining > 1,
            Self::Window { start, end } => (*start..=*end).contains(&now),
            Self::Custom(_) => false,
        }
    }

    /// Records a document, in a limiter that [stays open](Self::stays_open).
    #[inline]
    pub(crate) fn spend(&mut self) {
        if let Self::Count { remaining, .. } = self {
            *remaining = remaining.saturating_sub(1);
        }
    }
}

impl LimiterDefinition {
    /// The state of this limiter when its tracker is added at `now`.
    pub fn start(&self, now: Timestamp, registry: &Registry) -> LimiterState {
        match self {
            Self::Count(limit) => LimiterState::Count { limit: *limit, remaining: *limit },
            Self::Window(start, end) => LimiterState::Window { start: *start, end: *end },
            Self::Interval(span) => LimiterState::Window { start: now, end: now.saturating_add(*span) },
            Self::Custom { name, params } => {
                // An unknown limiter is no reason to refuse the definition: its tracker will be listed in `failed`.
                let state =
                    registry.limiter(name, |limiter| limiter.renewed(params, None, Renewal::default(), now)).ok();
                LimiterState::Custom(state.map(Box::new))
            }
        }
    }

    /// The state of this limiter where it replaces one in `state` that differs in its number only: what was used of it is
    /// used of this one. `None` if they differ in more.
    pub(crate) fn with_used(&self, state: &LimiterState) -> Option<LimiterState> {
        match (self, state) {
            (Self::Count(count), LimiterState::Count { limit, remaining }) => {
                let used = limit.saturating_sub(*remaining);
                Some(LimiterState::Count { limit: *count, remaining: count.saturating_sub(used) })
            }
            _ => None,
        }
    }

    /// Whether a document may count at `now`.
    ///
    /// # Errors
    /// A [`CustomError`] if a custom limiter is not known or fails.
    #[inline]
    pub fn admits(
        &self,
        state: &LimiterState,
        now: Timestamp,
        document: &dyn Document,
        registry: &Registry,
    ) -> Result<Verdict, CustomError> {
        let admitted = match state {
            LimiterState::Count { remaining, .. } => *remaining > 0,
            LimiterState::Window { start, .. } if now < *start => {
                return Ok(Verdict::Refused { until: Some(*start) });
            }
            LimiterState::Window { end, .. } => now <= *end,
            LimiterState::Custom(state) => self.ask(state.as_deref(), now, registry, |limiter, params, state| {
                limiter.admits(params, state, now, document)
            })?,
        };
        Ok(if admitted { Verdict::Admitted } else { Verdict::Refused { until: None } })
    }

    /// Takes note of a document that counts.
    ///
    /// # Errors
    /// As [`admits`](Self::admits).
    #[inline]
    pub fn record(
        &self,
        state: &mut LimiterState,
        now: Timestamp,
        document: &dyn Document,
        registry: &Registry,
    ) -> Result<(), CustomError> {
        match state {
            LimiterState::Count { .. } | LimiterState::Window { .. } => state.spend(),
            LimiterState::Custom(state) => {
                let next = self.ask(state.as_deref(), now, registry, |limiter, params, state| {
                    limiter.record(params, state, now, document)
                })?;
                *state = Some(Box::new(next));
            }
        }
        Ok(())
    }

    /// Whether nothing more can count before a renewal, now that a document counted at `now`.
    ///
    /// # Errors
    /// As [`admits`](Self::admits).
    #[inline]
    pub fn exhausted(&self, state: &LimiterState, now: Timestamp, registry: &Registry) -> Result<bool, CustomError> {
        match state {
            LimiterState::Count { remaining, .. } => Ok(*remaining == 0),
            LimiterState::Window { .. } => Ok(false),
            LimiterState::Custom(state) => self
                .ask(state.as_deref(), now, registry, |limiter, params, state| limiter.exhausted(params, state, now)),
        }
    }

    /// Asks the registered limiter with its state, as new if it has none yet.
    #[inline(never)]
    fn ask<T>(
        &self,
        state: Option<&Json>,
        now: Timestamp,
        registry: &Registry,
        question: impl FnOnce(&dyn CustomLimiter, &Json, &Json) -> Result<T, BoxError>,
    ) -> Result<T, CustomError> {
        let Self::Custom { name, params } = self else { unreachable!("only a custom limiter has a custom state") };
        registry.limiter(name, |limiter| match state {
            Some(state) => question(limiter, params, state),
            None => question(limiter, params, &limiter.renewed(params, None, Renewal::default(), now)?),
        })
    }

    /// The state after a stage with the `limiter` policy: as new, but a fixed window stays.
    pub(crate) fn next_stage(
        &self,
        state: &LimiterState,
        now: Timestamp,
        registry: &Registry,
    ) -> Result<LimiterState, CustomError> {
        match self {
            Self::Window(..) => Ok(state.clone()),
            Self::Count(_) | Self::Interval(_) | Self::Custom { .. } => {
                self.renewed(state, now, Renewal::default(), registry)
            }
        }
    }

    /// The state after `reset_tracker` with the `limiter` policy: as new, and a window from `now` on for as long as it was.
    /// A window without a start has no length; it stays until it is given one.
    ///
    /// # Errors
    /// As [`admits`](Self::admits).
    pub fn renewed(
        &self,
        state: &LimiterState,
        now: Timestamp,
        renewal: Renewal,
        registry: &Registry,
    ) -> Result<LimiterState, CustomError> {
        match (self, state) {
            (_, LimiterState::Count { limit, .. }) => {
                let limit = renewal.count.unwrap_or(*limit);
                Ok(LimiterState::Count { limit, remaining: limit })
            }
            (_, LimiterState::Window { start, end }) => Ok(match renewal.length {
                Some(length) => LimiterState::Window { start: now, end: now.saturating_add(length) },
                None if *end == Timestamp::MAX => LimiterState::Window { start: now, end: *end },
                // It has no length that could begin again, and must not lose its end.
                None if *start == Timestamp::MIN => state.clone(),
                None => LimiterState::Window { start: now, end: now.saturating_add(end.since(*start)) },
            }),
            (Self::Custom { name, params }, LimiterState::Custom(state)) => registry
                .limiter(name, |limiter| limiter.renewed(params, state.as_deref(), renewal, now))
                .map(|state| LimiterState::Custom(Some(Box::new(state)))),
            (_, LimiterState::Custom(_)) => Ok(state.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_refusal_holds_until_exactly_until(start in -50_i64..50, length in 0_i64..50, now in -60_i64..120) {
            let at = Timestamp::from_micros;
            let definition = LimiterDefinition::Window(at(start), at(start + length));
            let registry = Registry::default();
            let state = definition.start(at(0), &registry);
            let ask = |now| definition.admits(&state, at(now), &Json::Null, &registry).unwrap();
            if let Verdict::Refused { until } = ask(now) {
                match until {
                    Some(until) => {
                        prop_assert_eq!(ask(until.micros()), Verdict::Admitted);
                        prop_assert_ne!(ask(until.micros() - 1), Verdict::Admitted);
                    }
                    None => prop_assert!((now..now + 200).all(|later| ask(later) != Verdict::Admitted)),
                }
            }
        }
    }
}
