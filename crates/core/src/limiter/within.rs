//! `{"count": 10, "within": "1 hour"}`: a number in any stretch of time of this length, exactly.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;

use super::quota;
use super::{Kind, LimiterView, Renewal, Verdict};
use crate::custom::CustomError;
use crate::definition::{DefinitionError, Fields, Read};
use crate::engine::{Ask, At, Engine, When};
use crate::group::RecordError;
use crate::json::{Json, Map};
use crate::time::{Span, Timestamp};
use crate::window::Length;

/// The maximum `count`: that many moments are kept.
const MAX_COUNT: u64 = 1_024;

/// Admits a number of documents in any stretch of time of a length.
#[derive(Clone, Debug, PartialEq)]
pub struct Within {
    count: u64,
    length: Length,
}

/// The latest moments at which documents counted, in order, at most `count` of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Moments {
    moments: VecDeque<Timestamp>,
    marked: bool,
}

impl Within {
    pub(super) fn new(count: u64, length: Length) -> Self {
        Self { count, length }
    }

    /// How many documents.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How long the stretch is.
    pub fn length(&self) -> Length {
        self.length
    }

    fn span(&self) -> Span {
        self.length.elapsed().unwrap_or_default()
    }

    /// How many of the kept moments are later than `now` - length.
    fn recent(&self, state: &Moments, now: Timestamp) -> u64 {
        let since = now.saturating_sub(self.span());
        (state.moments.len() - state.moments.partition_point(|&moment| moment <= since)) as u64
    }

    /// Whether no document is later than `now` - length.
    fn is_as_new(&self, state: &Moments, now: Timestamp) -> bool {
        self.recent(state, now) == 0
    }

    /// The first moment, from `now` on, at which fewer than `count` documents are later than it - length.
    fn opens(&self, state: &Moments, now: Timestamp) -> Timestamp {
        let count = self.count as usize;
        match state.moments.len().checked_sub(count) {
            Some(oldest) if count > 0 => now.max(state.moments[oldest].saturating_add(self.span())),
            _ => now,
        }
    }
}

impl Kind for Within {
    type State = Arc<Moments>;

    const FIELDS: &'static [&'static str] = &["count", "within"];
    const FORM: &'static str = r#"{"count": n, "within": "1 hour"}"#;

    fn read(fields: &mut Fields<'_>) -> Read<Self> {
        let count = fields.required("count", Self::FORM, quota::count)?;
        let length = fields.required("within", Self::FORM, |node| Length::read_elapsed(node, ""))?;
        Ok(Self { count, length })
    }

    fn check(&self) -> Read<()> {
        if self.count == 0 || self.count > MAX_COUNT {
            let expected = format!("a whole number from 1 to {MAX_COUNT} with `within`");
            return Err(DefinitionError::of("count", format!("a count of {}", self.count), expected));
        }
        self.length.check_elapsed("within")
    }

    fn to_json(&self) -> Json {
        let mut map = Map::default();
        map.insert("count".into(), self.count.into());
        map.insert("within".into(), self.length.to_string().into());
        map.into()
    }

    fn begin(&self, _: When, _: Option<&Engine>) -> Self::State {
        Arc::default()
    }

    #[inline]
    fn stays_open(&self, state: &Self::State, now: Timestamp) -> bool {
        let Moments { moments, marked } = &**state;
        // After this document, the next one is admitted once the stretch has left this one behind.
        let oldest = (moments.len() + 1).checked_sub(self.count as usize);
        let is_free =
            oldest.is_none_or(|at| moments.get(at).is_some_and(|&old| old.saturating_add(self.span()) <= now));
        !marked && is_free && moments.back().is_none_or(|&newest| newest <= now)
    }

    #[inline]
    fn spend(&self, state: &mut Self::State, now: Timestamp) {
        let moments = &mut Arc::make_mut(state).moments;
        if moments.len() >= self.count as usize {
            moments.pop_front();
        } else if moments.len() == moments.capacity() {
            // Never more than `count`.
            let room = (2 * moments.len()).clamp(4, (self.count as usize).max(4));
            moments.reserve_exact(room - moments.len());
        }
        moments.push_back(now);
    }

    fn admits(&self, state: &Self::State, ask: &Ask<'_>) -> Result<Verdict, CustomError> {
        let (now, opens) = (ask.at.when.now, self.opens(state, ask.at.when.now));
        Ok(if opens == now { Verdict::Admitted } else { Verdict::Refused { until: Some(opens) } })
    }

    fn record(&self, state: &mut Self::State, ask: &Ask<'_>) -> Result<(), CustomError> {
        let now = ask.at.when.now;
        if state.moments.back().is_none_or(|&newest| newest <= now) {
            self.spend(state, now);
            return Ok(());
        }
        let moments = &mut Arc::make_mut(state).moments;
        let at = moments.partition_point(|&moment| moment <= now);
        moments.insert(at, now);
        if moments.len() > self.count as usize {
            moments.pop_front();
        }
        Ok(())
    }

    fn has_window(&self) -> bool {
        true
    }

    fn is_marked(&self, state: &Self::State, when: When) -> bool {
        state.marked && !self.is_as_new(state, when.now)
    }

    fn mark(&self, state: &mut Self::State, when: When) -> bool {
        let begins = !self.is_marked(state, when);
        Arc::make_mut(state).marked = true;
        begins
    }

    fn settle(&self, state: &mut Self::State, when: When) -> bool {
        let ends = state.marked && self.is_as_new(state, when.now);
        if ends {
            Arc::make_mut(state).marked = false;
        }
        ends
    }

    fn renewed(&self, _: &Self::State, _: Renewal, _: At<'_>) -> Result<Self::State, CustomError> {
        Ok(Arc::default())
    }

    fn next_stage(&self, state: &Self::State, _: At<'_>) -> Result<Self::State, CustomError> {
        Ok(Arc::clone(state))
    }

    fn with_used(&self, before: &Self, state: &Self::State, _: When) -> Option<Self::State> {
        (self.length == before.length).then(|| {
            let mut kept = Arc::clone(state);
            let surplus = kept.moments.len().saturating_sub(self.count.max(before.count) as usize);
            Arc::make_mut(&mut kept).moments.drain(..surplus);
            kept
        })
    }

    fn view(&self, state: &Self::State, when: When) -> LimiterView {
        let newest = state.moments.back().map(|newest| newest.saturating_add(self.span()));
        LimiterView {
            limit: Some(self.count.into()),
            remaining: Some(self.count.saturating_sub(self.recent(state, when.now)).into()),
            retry_at: Some(self.opens(state, when.now)),
            reset_at: newest.filter(|&moment| moment > when.now),
            ..LimiterView::default()
        }
    }

    fn in_words(&self, _: &Self::State, _: When) -> String {
        format!("the count of {} within {}, which is used up", self.count, self.length)
    }

    fn store(state: &Self::State, out: &mut String) {
        out.push_str(r#"{"moments":["#);
        for (at, moment) in state.moments.iter().enumerate() {
            let _ = write!(out, "{}{}", if at > 0 { "," } else { "" }, moment.micros());
        }
        out.push_str(if state.marked { r#"],"marked":true}"# } else { "]}" });
    }

    fn heap_bytes(state: &Self::State) -> usize {
        size_of::<Moments>() + state.moments.capacity() * size_of::<Timestamp>()
    }

    fn restore(&self, stored: &Json) -> Result<Self::State, RecordError> {
        let bad = || RecordError::new("`moments` is not a list of moments in order");
        let map = stored.as_map().ok_or_else(bad)?;
        let moments = map.get("moments").and_then(Json::as_list).ok_or_else(bad)?;
        let moments: VecDeque<_> =
            moments.iter().map(crate::group::stored::micros).collect::<Option<_>>().ok_or_else(bad)?;
        if !moments.iter().is_sorted() || moments.len() as u64 > MAX_COUNT {
            return Err(bad());
        }
        Ok(Arc::new(Moments { moments, marked: map.get("marked") == Some(&Json::Bool(true)) }))
    }
}
