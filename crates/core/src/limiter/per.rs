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
use crate::window::{In, Micros, Open, Window};
use crate::zone::Zone;

/// Admits a number of documents, or a sum, in each period of a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Per {
    quota: Quota,
    window: Window,
}

/// What was used of the two open periods.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Used {
    /// Whenever it fits: 40 bytes, and none on the heap.
    Small(Small),
    Large(Arc<Whole>),
}

/// What most counts need.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Small {
    /// As in [`Open`]; all 0 until something changes.
    boundaries: [Micros; 3],
    zone: Zone,
    previous: u32,
    current: u32,
    /// How many more documents may count in the current period; 0 once LIMITED fired in it.
    left: u32,
    previous_marked: bool,
    current_marked: bool,
}

/// What sums need, counts beyond 32 bits, and counts of a window that got another length or anchor.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Whole {
    /// `None` until something changes.
    open: Option<Open>,
    previous: Part,
    current: Part,
}

impl Used {
    fn whole(&self) -> Whole {
        match self {
            Self::Small(small) => {
                let [_, start, end] = small.boundaries;
                let part = |used: u32, marked| Part { used: u64::from(used).into(), marked };
                Whole {
                    open: (start < end).then(|| Open::of_plain(small.boundaries, small.zone)),
                    previous: part(small.previous, small.previous_marked),
                    current: part(small.current, small.current_marked),
                }
            }
            Self::Large(whole) => **whole,
        }
    }
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

    fn find(&self, state: &Whole, when: When) -> In {
        Open::find(state.open, &self.window, &when.place, when.now)
    }

    /// What holds at a moment; if it is late, what holds at the start of the earlier open period.
    fn found(&self, state: &Whole, when: When) -> Found {
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
        let mut whole = state.whole();
        match self.find(&whole, when) {
            In::Late { .. } | In::Previous(_) => change(&mut whole.previous),
            In::Current(_) => change(&mut whole.current),
            In::Later { follows, open, .. } => {
                let previous = if follows { whole.current } else { Part::default() };
                whole = Whole { open: Some(open), previous, current: Part::default() };
                change(&mut whole.current);
            }
        }
        match (self.small(&whole), &mut *state) {
            (Some(small), _) => *state = Used::Small(small),
            (None, Used::Large(large)) => *Arc::make_mut(large) = whole,
            (None, Used::Small(_)) => *state = Used::Large(Arc::new(whole)),
        }
    }

    fn used(&self, whole: Whole) -> Used {
        self.small(&whole).map_or_else(|| Used::Large(Arc::new(whole)), Used::Small)
    }

    fn small(&self, whole: &Whole) -> Option<Small> {
        let Quota::Count(_) = self.quota else { return None };
        let (boundaries, zone) = whole.open.map_or(Some(([0; 3], Zone::UTC)), |open| open.plain())?;
        let number = |amount: Amount| u32::try_from(amount.to_integer()?).ok();
        let Whole { previous, current, .. } = whole;
        Some(Small {
            boundaries,
            zone,
            previous: number(previous.used)?,
            current: number(current.used)?,
            left: if current.marked { 0 } else { number(self.left(*current))? },
            previous_marked: previous.marked,
            current_marked: current.marked,
        })
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
    type State = Used;

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
        self.used(Whole::default())
    }

    fn has_window(&self) -> bool {
        true
    }

    #[inline]
    fn stays_open(&self, state: &Self::State, now: Timestamp) -> bool {
        let Used::Small(Small { boundaries: [_, start, end], left, .. }) = state else { return false };
        *left > 1 && (*start..*end).contains(&now.micros())
    }

    #[inline]
    fn spend(&self, state: &mut Self::State, _: Timestamp) {
        if let Used::Small(small) = state {
            small.left -= 1;
            small.current += 1;
        }
    }

    fn check_number(&self, document: &dyn Document) -> Result<(), String> {
        self.quota.own_amount(document).map(drop)
    }

    fn late(&self, state: &Self::State, when: When) -> Option<Timestamp> {
        match self.find(&state.whole(), when) {
            In::Late { ended } => Some(ended),
            In::Previous(_) | In::Current(_) | In::Later { .. } => None,
        }
    }

    fn admits(&self, state: &Self::State, ask: &Ask<'_>) -> Result<Verdict, CustomError> {
        let (found, amount) = (self.found(&state.whole(), ask.at.when), self.quota.amount(ask));
        let fits = |left: Amount| amount <= left;
        if fits(self.left(found.part)) {
            return Ok(Verdict::Admitted);
        }
        Ok(Verdict::Refused { until: self.first(&found, ask.at.when.now, fits) })
    }

    fn record(&self, state: &mut Self::State, ask: &Ask<'_>) -> Result<(), CustomError> {
        let amount = self.quota.amount(ask);
        self.change(state, ask.at.when, |part| part.used = self.quota.used(part.used, amount));
        Ok(())
    }

    fn exhausted(&self, state: &Self::State, at: At<'_>) -> Result<bool, CustomError> {
        Ok(!self.left(self.found(&state.whole(), at.when).part).is_positive())
    }

    fn is_marked(&self, state: &Self::State, when: When) -> bool {
        self.found(&state.whole(), when).part.marked
    }

    fn mark(&self, state: &mut Self::State, when: When) -> bool {
        if self.is_marked(state, when) {
            return false;
        }
        self.change(state, when, |part| part.marked = true);
        true
    }

    /// The full number, within the same boundaries.
    fn renewed(&self, state: &Self::State, _: Renewal, _: At<'_>) -> Result<Self::State, CustomError> {
        Ok(self.used(Whole { open: state.whole().open, ..Whole::default() }))
    }

    /// The same: it renews itself.
    fn next_stage(&self, state: &Self::State, _: At<'_>) -> Result<Self::State, CustomError> {
        Ok(state.clone())
    }

    fn with_used(&self, before: &Self, state: &Self::State, _: When) -> Option<Self::State> {
        if self.window != before.window || !self.quota.differs_in_number_only(&before.quota) {
            return None;
        }
        Some(self.used(state.whole()))
    }

    fn view(&self, state: &Self::State, when: When) -> LimiterView {
        let found = self.found(&state.whole(), when);
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
        let Whole { open, previous, current } = state.whole();
        let mut parts = Vec::new();
        if let Some(open) = open {
            parts.push(format!(r#""open":{}"#, open.stored()));
        }
        for (key, part) in [("previous", previous), ("current", current)] {
            if part != Part::default() {
                parts.push(format!(r#""{key}":[{},{}]"#, part.used, part.marked));
            }
        }
        out.push('{');
        out.push_str(&parts.join(","));
        out.push('}');
    }

    fn heap_bytes(state: &Self::State) -> usize {
        match state {
            Used::Small(_) => 0,
            Used::Large(_) => size_of::<Whole>() + 16,
        }
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
        Ok(self.used(Whole { open, previous: part("previous")?, current: part("current")? }))
    }
}
