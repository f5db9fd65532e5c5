//! `{"count": 100, "per": "minute"}`, `{"sum": 500, "key": "tokens", "per": "day"}`: a number in each period of a window.

use std::sync::Arc;

use super::quota::Quota;
use super::{Kind, LimiterView, Renewal, Verdict};
use crate::amount::Amount;
use crate::custom::CustomError;
use crate::definition::{Fields, Read};
use crate::document::Document;
use crate::engine::{Ask, At, Engine, When};
use crate::group::RecordError;
use crate::json::{Json, Map};
use crate::time::Timestamp;
use crate::window::{In, Open, Window};

/// Admits a number of documents, or a sum, in each period of a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Per {
    quota: Quota,
    window: Window,
}

/// What was used of the two open periods.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Used {
    /// `None` until something changes.
    open: Option<Open>,
    previous: Part,
    current: Part,
    /// How many more documents may count in the current period; 0 if only the definition can tell.
    left: u64,
}

/// What was used of one period.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Part {
    used: Amount,
    /// Whether LIMITED fired in it.
    marked: bool,
}

/// What holds at a moment.
struct Found {
    part: Part,
    /// When that period starts.
    starts: Timestamp,
    /// When it ends.
    ends: Timestamp,
    /// The period after it, if something may have been used of it, and when that one ends.
    next: Option<(Part, Timestamp)>,
}

impl Per {
    pub(super) fn new(quota: Quota, window: Window) -> Self {
        Self { quota, window }
    }

    /// What it admits in each period.
    pub fn limit(&self) -> Amount {
        self.quota.limit()
    }

    /// The periods.
    pub fn window(&self) -> &Window {
        &self.window
    }

    fn find(&self, state: &Used, when: When) -> In {
        Open::find(state.open, &self.window, &when.place, when.now)
    }

    /// What holds at a moment; if it is late, what holds at the start of the earlier open period.
    fn found(&self, state: &Used, when: When) -> Found {
        match (self.find(state, when), state.open) {
            (In::Late { .. } | In::Previous(_), Some(open)) => Found {
                part: state.previous,
                starts: open.previous().start(),
                ends: open.current().start(),
                next: Some((state.current, open.current().end())),
            },
            (In::Current(period), _) => {
                Found { part: state.current, starts: period.start(), ends: period.end(), next: None }
            }
            // Nothing is late before the first change, so the other cases without open periods cannot occur.
            (In::Later { period, .. } | In::Previous(period), _) => {
                Found { part: Part::default(), starts: period.start(), ends: period.end(), next: None }
            }
            (In::Late { ended }, None) => Found { part: Part::default(), starts: ended, ends: ended, next: None },
        }
    }

    /// Changes the part of the period that `when` lies in. If that is a later one, it becomes the current period.
    fn change(&self, state: &mut Used, when: When, change: impl FnOnce(&mut Part)) {
        match self.find(state, when) {
            In::Late { .. } | In::Previous(_) => change(&mut state.previous),
            In::Current(_) => change(&mut state.current),
            In::Later { follows, open, .. } => {
                let previous = if follows { state.current } else { Part::default() };
                *state = Used { open: Some(open), previous, ..Used::default() };
                change(&mut state.current);
            }
        }
        self.note_left(state);
    }

    fn note_left(&self, state: &mut Used) {
        state.left = match (&self.quota, state.current.marked) {
            (Quota::Count(_), false) => {
                self.left(state.current).to_integer().and_then(|left| u64::try_from(left).ok()).unwrap_or(0)
            }
            (Quota::Count(_) | Quota::Sum { .. }, _) => 0,
        };
    }

    fn left(&self, part: Part) -> Amount {
        self.quota.left(part.used)
    }

    /// The first moment from `now` on at which `admits` holds of what is left.
    fn first(&self, found: &Found, now: Timestamp, admits: impl Fn(Amount) -> bool) -> Option<Timestamp> {
        if admits(self.left(found.part)) {
            return Some(now.max(found.starts));
        }
        let opens = match found.next {
            Some((part, _)) if admits(self.left(part)) => Some(found.ends),
            Some((_, ends)) => admits(self.limit()).then_some(ends),
            None => admits(self.limit()).then_some(found.ends),
        };
        opens.and_then(Timestamp::finite)
    }
}

impl Kind for Per {
    type State = Arc<Used>;

    const FIELDS: &'static [&'static str] = &["count", "sum", "key", "per", "from", "zone"];
    const FORM: &'static str = r#"{"count": n, "per": "day"} (or "sum" instead of "count")"#;

    fn read(fields: &mut Fields<'_>) -> Read<Self> {
        Ok(Self { quota: Quota::read(fields, Self::FORM)?, window: Window::read(fields, "per")? })
    }

    fn check(&self) -> Read<()> {
        self.quota.check()
    }

    fn to_json(&self) -> Json {
        let mut map = Map::default();
        self.quota.write(&mut map);
        self.window.write(&mut map, "per");
        map.into()
    }

    fn begin(&self, _: When, _: Option<&Engine>) -> Self::State {
        Arc::default()
    }

    fn has_window(&self) -> bool {
        true
    }

    #[inline]
    fn stays_open(state: &Self::State, now: Timestamp) -> bool {
        state.left > 1 && state.open.is_some_and(|open| open.is_current(now))
    }

    #[inline]
    fn spend(state: &mut Self::State) {
        let state = Arc::make_mut(state);
        state.left -= 1;
        state.current.used = state.current.used.checked_add(Amount::ONE).unwrap_or(state.current.used);
    }

    fn check_number(&self, document: &dyn Document) -> Result<(), String> {
        self.quota.own_amount(document).map(drop)
    }

    fn late(&self, state: &Self::State, when: When) -> Option<Timestamp> {
        match self.find(state, when) {
            In::Late { ended } => Some(ended),
            In::Previous(_) | In::Current(_) | In::Later { .. } => None,
        }
    }

    fn admits(&self, state: &Self::State, ask: &Ask<'_>) -> Result<Verdict, CustomError> {
        let (found, amount) = (self.found(state, ask.at.when), self.quota.amount(ask));
        let fits = |left: Amount| amount <= left;
        if fits(self.left(found.part)) {
            return Ok(Verdict::Admitted);
        }
        Ok(Verdict::Refused { until: self.first(&found, ask.at.when.now, fits) })
    }

    fn record(&self, state: &mut Self::State, ask: &Ask<'_>) -> Result<(), CustomError> {
        let amount = self.quota.amount(ask);
        self.change(Arc::make_mut(state), ask.at.when, |part| part.used = self.quota.used(part.used, amount));
        Ok(())
    }

    fn exhausted(&self, state: &Self::State, at: At<'_>) -> Result<bool, CustomError> {
        Ok(!self.left(self.found(state, at.when).part).is_positive())
    }

    fn is_marked(&self, state: &Self::State, when: When) -> bool {
        self.found(state, when).part.marked
    }

    fn mark(&self, state: &mut Self::State, when: When) -> bool {
        if self.is_marked(state, when) {
            return false;
        }
        self.change(Arc::make_mut(state), when, |part| part.marked = true);
        true
    }

    /// The full number, within the same boundaries.
    fn renewed(&self, state: &Self::State, _: Renewal, _: At<'_>) -> Result<Self::State, CustomError> {
        let mut renewed = Used { open: state.open, ..Used::default() };
        self.note_left(&mut renewed);
        Ok(Arc::new(renewed))
    }

    /// The same: it renews itself.
    fn next_stage(&self, state: &Self::State, _: At<'_>) -> Result<Self::State, CustomError> {
        Ok(Arc::clone(state))
    }

    fn with_used(&self, before: &Self, state: &Self::State, _: When) -> Option<Self::State> {
        if self.window != before.window || !self.quota.differs_in_number_only(&before.quota) {
            return None;
        }
        let mut kept = Arc::clone(state);
        self.note_left(Arc::make_mut(&mut kept));
        Some(kept)
    }

    fn view(&self, state: &Self::State, when: When) -> LimiterView {
        let found = self.found(state, when);
        let unused = |part: Part| part.used == Amount::ZERO;
        let reset_at = match (unused(found.part), found.next) {
            (true, _) => None,
            (false, Some((part, ends))) if !unused(part) => Some(ends),
            (false, _) => Some(found.ends),
        };
        LimiterView {
            limit: Some(self.limit()),
            remaining: Some(self.left(found.part)),
            retry_at: self.first(&found, when.now, Amount::is_positive),
            reset_at: reset_at.and_then(Timestamp::finite),
            ..LimiterView::default()
        }
    }

    fn in_words(&self, _: &Self::State, _: When) -> String {
        format!("{} per {}, which is used up", self.quota, self.window.length())
    }

    fn store(state: &Self::State, out: &mut String) {
        let mut parts = Vec::new();
        if let Some(open) = state.open {
            parts.push(format!(r#""open":{}"#, open.stored()));
        }
        for (key, part) in [("previous", state.previous), ("current", state.current)] {
            if part != Part::default() {
                parts.push(format!(r#""{key}":[{},{}]"#, part.used, part.marked));
            }
        }
        out.push('{');
        out.push_str(&parts.join(","));
        out.push('}');
    }

    fn heap_bytes(_: &Self::State) -> usize {
        size_of::<Used>()
    }

    fn restore(&self, stored: &Json) -> Result<Self::State, RecordError> {
        let map = stored.as_map().ok_or_else(|| RecordError::new("the limiter state is not a map"))?;
        let part = |key: &str| match map.get(key).map(|part| part.as_list().unwrap_or_default()) {
            None => Ok(Part::default()),
            Some([used, Json::Bool(marked)]) => {
                let used = crate::group::stored::exact(used);
                let used = used.ok_or_else(|| RecordError::new(format!("`{key}` has no exact number")))?;
                Ok(Part { used, marked: *marked })
            }
            Some(_) => Err(RecordError::new(format!("`{key}` is not what was used and whether it is marked"))),
        };
        let open = map.get("open").map(Open::restore).transpose()?;
        let mut used = Used { open, previous: part("previous")?, current: part("current")?, left: 0 };
        self.note_left(&mut used);
        Ok(Arc::new(used))
    }
}
