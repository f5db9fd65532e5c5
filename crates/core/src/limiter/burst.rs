//! `{"count": 100, "per": "minute", "burst": 20}`: an even rate with bursts, by the generic cell rate algorithm (ITU-T
//! I.371, annex A), in whole numbers.

use super::quota;
use super::{Kind, LimiterView, Renewal, Verdict};
use crate::custom::CustomError;
use crate::definition::{DefinitionError, Fields, Read};
use crate::engine::{Ask, At, Engine, When};
use crate::group::RecordError;
use crate::json::{Json, Map};
use crate::time::Timestamp;
use crate::window::Length;

/// Admits `count` documents in each `length`, evenly, and up to `burst` at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Burst {
    count: u64,
    length: Length,
    burst: u64,
}

/// When the bucket is empty again, in microseconds times `count`, so that no rate is rounded.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Owed {
    /// A number of 128 bits in two halves, so that it is aligned like other states. `None` where nothing was ever owed.
    empty_at: Option<(i64, u64)>,
    marked: bool,
}

impl Owed {
    fn new(empty_at: Option<i128>, marked: bool) -> Self {
        Self { empty_at: empty_at.map(|empty| ((empty >> 64) as i64, empty as u64)), marked }
    }

    fn empty_at(&self) -> Option<i128> {
        self.empty_at.map(|(high, low)| i128::from(high) << 64 | i128::from(low))
    }
}

impl Burst {
    pub(super) fn new(count: u64, length: Length, burst: u64) -> Self {
        Self { count, length, burst }
    }

    /// How many documents in each length.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How long that is.
    pub fn length(&self) -> Length {
        self.length
    }

    /// How many at once.
    pub fn burst(&self) -> u64 {
        self.burst
    }

    /// A moment in the units of the state.
    fn scaled(&self, now: Timestamp) -> i128 {
        i128::from(now.micros()) * i128::from(self.count)
    }

    /// The first moment at which the scaled time is `scaled` or later.
    fn moment(&self, scaled: i128) -> Timestamp {
        let count = i128::from(self.count);
        let micros = scaled.div_euclid(count) + i128::from(scaled.rem_euclid(count) != 0);
        Timestamp::from_micros(micros.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
    }

    fn each(&self) -> i128 {
        self.length.elapsed().unwrap_or_default().micros().into()
    }

    /// What is owed beyond `now`.
    fn empty_at(&self, state: &Owed, now: Timestamp) -> i128 {
        let now = self.scaled(now);
        state.empty_at().map_or(now, |empty| empty.max(now))
    }

    fn is_as_new(&self, state: &Owed, now: Timestamp) -> bool {
        state.empty_at().is_none_or(|empty| empty <= self.scaled(now))
    }

    fn remaining(&self, state: &Owed, now: Timestamp) -> u64 {
        let room = self.scaled(now) + i128::from(self.burst) * self.each() - self.empty_at(state, now);
        u64::try_from(room.div_euclid(self.each())).unwrap_or(0)
    }

    /// The first moment, from `now` on, at which it admits.
    fn opens(&self, state: &Owed, now: Timestamp) -> Timestamp {
        match state.empty_at() {
            Some(empty) => now.max(self.moment(empty + self.each() - i128::from(self.burst) * self.each())),
            None => now,
        }
    }
}

impl Kind for Burst {
    type State = Owed;

    const FIELDS: &'static [&'static str] = &["count", "per", "burst"];
    const FORM: &'static str = r#"{"count": n, "per": "minute", "burst": n}"#;

    fn read(fields: &mut Fields<'_>) -> Read<Self> {
        let count = fields.required("count", Self::FORM, quota::count)?;
        let length =
            fields.required("per", Self::FORM, |node| Length::read_elapsed(node, ", because `burst` is set"))?;
        let burst = fields.required("burst", Self::FORM, quota::count)?;
        Ok(Self { count, length, burst })
    }

    fn check(&self) -> Read<()> {
        for (field, number) in [("count", self.count), ("burst", self.burst)] {
            if number == 0 {
                return Err(DefinitionError::of(field, "0 never admits a document", "a whole number, 1 or greater"));
            }
        }
        self.length.check_elapsed("per")
    }

    fn to_json(&self) -> Json {
        let mut map = Map::default();
        map.insert("count".into(), self.count.into());
        map.insert("per".into(), self.length.to_string().into());
        map.insert("burst".into(), self.burst.into());
        map.into()
    }

    fn begin(&self, _: When, _: Option<&Engine>) -> Self::State {
        Owed::default()
    }

    #[inline]
    fn stays_open(&self, state: &Self::State, now: Timestamp) -> bool {
        let after = self.empty_at(state, now) + self.each();
        !state.marked && after + self.each() - i128::from(self.burst) * self.each() <= self.scaled(now)
    }

    #[inline]
    fn spend(&self, state: &mut Self::State, now: Timestamp) {
        let after = self.empty_at(state, now) + self.each();
        *state = Owed::new(Some(after), state.marked);
    }

    fn admits(&self, state: &Self::State, ask: &Ask<'_>) -> Result<Verdict, CustomError> {
        let (now, opens) = (ask.at.when.now, self.opens(state, ask.at.when.now));
        Ok(if opens == now { Verdict::Admitted } else { Verdict::Refused { until: Some(opens) } })
    }

    fn record(&self, state: &mut Self::State, ask: &Ask<'_>) -> Result<(), CustomError> {
        self.spend(state, ask.at.when.now);
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
        state.marked = true;
        begins
    }

    fn settle(&self, state: &mut Self::State, when: When) -> bool {
        let ends = state.marked && self.is_as_new(state, when.now);
        if ends {
            state.marked = false;
        }
        ends
    }

    fn renewed(&self, _: &Self::State, _: Renewal, _: At<'_>) -> Result<Self::State, CustomError> {
        Ok(Owed::default())
    }

    fn next_stage(&self, state: &Self::State, _: At<'_>) -> Result<Self::State, CustomError> {
        Ok(*state)
    }

    fn with_used(&self, before: &Self, state: &Self::State, when: When) -> Option<Self::State> {
        (self.length == before.length).then(|| {
            let grown = i128::from(self.count) - i128::from(before.count);
            let empty_at = state.empty_at().map(|empty| empty + i128::from(when.now.micros()) * grown);
            Owed::new(empty_at, state.marked)
        })
    }

    fn view(&self, state: &Self::State, when: When) -> LimiterView {
        LimiterView {
            limit: Some(self.burst.into()),
            remaining: Some(self.remaining(state, when.now).into()),
            retry_at: Some(self.opens(state, when.now)),
            reset_at: state.empty_at().filter(|_| !self.is_as_new(state, when.now)).map(|empty| self.moment(empty)),
            ..LimiterView::default()
        }
    }

    fn in_words(&self, _: &Self::State, _: When) -> String {
        format!("{} per {} with bursts of {}, which is used up", self.count, self.length, self.burst)
    }

    fn store(state: &Self::State, out: &mut String) {
        // Beyond the range of exact decimals, so as text.
        out.push('{');
        if let Some(empty) = state.empty_at() {
            out.push_str(&format!(r#""empty_at":"{empty}""#));
        }
        if state.marked {
            out.push_str(if state.empty_at.is_some() { r#","marked":true"# } else { r#""marked":true"# });
        }
        out.push('}');
    }

    fn restore(&self, stored: &Json) -> Result<Self::State, RecordError> {
        let map = stored.as_map().ok_or_else(|| RecordError::new("a limiter state that is not a map"))?;
        let empty_at = match map.get("empty_at") {
            Some(empty) => {
                let empty = empty.as_str().and_then(|text| text.parse().ok());
                Some(empty.ok_or_else(|| RecordError::new("`empty_at` is not a whole number"))?)
            }
            None => None,
        };
        Ok(Owed::new(empty_at, map.get("marked") == Some(&Json::Bool(true))))
    }
}
