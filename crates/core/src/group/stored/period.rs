//! The stored periods of a tracker with `every`, a map. Its fields are optional:
//!
//! - `open`: the open periods, once something changed
//! - `counted`, `completed_at`: about the current period
//! - `previous`: the state of the earlier open period, `[progress, stage, {…}]`
//! - `closed`: what is remembered, `[[start, end, progress, stage, cycle, completed_at or met], …]`
//! - `amount` and `streak` of a streak: what its documents reached in the current period, and `[[length, fired, freezes, gap],
//!   [met, fired, missed], [met, fired, missed]]`: the run before the open periods, and what each of them adds

use std::fmt::Write as _;

use super::{RecordError, exact, list, micros, natural};
use crate::amount::Amount;
use crate::definition::TrackerDefinition;
use crate::json::{Json, Map};
use crate::limiter::LimiterState;
use crate::period::{Here, Part, PeriodRecord, Periods};
use crate::streak::{Link, Run, Streak};
use crate::window::{Open, Period};

fn bad(what: &str) -> RecordError {
    RecordError::new(format!("`every`: {what}"))
}

/// Writes the fields of a map, with commas.
struct Fields<'a> {
    out: &'a mut String,
    first: bool,
}

impl<'a> Fields<'a> {
    fn new(out: &'a mut String) -> Self {
        out.push('{');
        Self { out, first: true }
    }

    fn put(&mut self, key: &str, value: impl std::fmt::Display) {
        let comma = if std::mem::take(&mut self.first) { "" } else { "," };
        let _ = write!(self.out, r#"{comma}"{key}":{value}"#);
    }

    fn here(&mut self, here: Here) {
        if here.counted {
            self.put("counted", true);
        }
        if let Some(moment) = here.completed_at {
            self.put("completed_at", moment.micros());
        }
    }

    fn end(self) {
        self.out.push('}');
    }
}

impl Here {
    fn restore(map: &Map) -> Result<Self, RecordError> {
        let completed_at = map.get("completed_at").map(|moment| micros(moment).ok_or_else(|| bad("`completed_at`")));
        Ok(Self { counted: map.get("counted") == Some(&Json::Bool(true)), completed_at: completed_at.transpose()? })
    }
}

impl Periods {
    /// Writes the periods of a tracker that has `progress` in the current one.
    pub(super) fn store(&self, progress: Amount, definition: &TrackerDefinition, out: &mut String) {
        let mut fields = Fields::new(out);
        if let Some(open) = self.open {
            fields.put("open", open.stored());
        }
        fields.here(self.here);
        if let Some(part) = &self.other {
            let mut stored = String::new();
            part.store(definition, &mut stored);
            fields.put("previous", stored);
        }
        if !self.closed.is_empty() {
            let mut stored = String::new();
            let records: Vec<_> = self.closed.iter().collect();
            list(&mut stored, &records, |out, record| record.store(out));
            fields.put("closed", stored);
        }
        if let Some(Streak { base, links }) = self.streak {
            fields.put("amount", progress);
            let gap = base.gap.map_or_else(|| "null".to_owned(), |gap| gap.to_string());
            let mut stored = format!("[[{},{},{},{gap}]", base.length, base.fired, base.freezes);
            for Link { met, fired, missed } in links {
                let _ = write!(stored, ",[{met},{fired},{missed}]");
            }
            fields.put("streak", stored + "]");
        }
        fields.end();
    }

    /// Reads what [`store`](Self::store) writes, and of a streak what its documents reached.
    pub(super) fn restore(
        stored: &Json,
        definition: &TrackerDefinition,
    ) -> Result<(Self, Option<Amount>), RecordError> {
        let map = stored.as_map().ok_or_else(|| bad("not a map"))?;
        let closed = map.get("closed").map_or(Some(&[][..]), Json::as_list).ok_or_else(|| bad("`closed`"))?;
        let is_streak = definition.kind().freezes().is_some();
        // The tracker may have become a streak, or stopped being one, after a period closed, so each record says what it is.
        let record = |record: &Json| PeriodRecord::restore(record).ok_or_else(|| bad("`closed`"));
        let streak = match (is_streak, map.get("streak")) {
            (true, Some(stored)) => Some(Streak::restore(stored).ok_or_else(|| bad("`streak`"))?),
            (false, None) => None,
            _ => return Err(bad("`streak`")),
        };
        let amount = streak.map(|_| map.get("amount").and_then(exact).ok_or_else(|| bad("`amount`")));
        let periods = Self {
            open: map.get("open").map(Open::restore).transpose()?,
            here: Here::restore(map)?,
            other: map.get("previous").map(|part| Part::restore(part, definition).map(Box::new)).transpose()?,
            closed: closed.iter().map(record).collect::<Result<_, _>>()?,
            streak,
            ..Self::default()
        };
        Ok((periods, amount.transpose()?))
    }
}

impl Part {
    fn store(&self, definition: &TrackerDefinition, out: &mut String) {
        let _ = write!(out, "[{},{},", self.progress, self.stage);
        let mut fields = Fields::new(out);
        if self.limited {
            fields.put("limited", true);
        }
        if self.cycle > 0 {
            fields.put("cycle", self.cycle);
        }
        fields.here(self.here);
        if let Some(measure) = &self.measure {
            fields.put("measure", measure.store());
        }
        let own = self.limiters.iter().zip(definition.limiters()).filter(|(_, limiter)| !limiter.has_window());
        let own: Vec<&LimiterState> = own.map(|(state, _)| state).collect();
        if !own.is_empty() {
            let mut stored = String::new();
            list(&mut stored, &own, |out, state| state.store(out));
            fields.put("limiters", stored);
        }
        fields.end();
        out.push(']');
    }

    fn restore(stored: &Json, definition: &TrackerDefinition) -> Result<Self, RecordError> {
        let Some([progress, stage, Json::Map(more)]) = stored.as_list() else { return Err(bad("`previous`")) };
        let stage = natural(stage).filter(|&stage| (stage as usize) < definition.goals().len());
        let mut states = more.get("limiters").map_or(Some(&[][..]), Json::as_list).unwrap_or_default().iter();
        let mut limiters = crate::state::LimiterStates::new();
        for limiter in definition.limiters() {
            limiters.push(match limiter.has_window() {
                // It is not in use.
                true => limiter.begin(crate::engine::When::default(), None),
                false => limiter.restore(states.next().ok_or_else(|| bad("a limiter of `previous` is missing"))?)?,
            });
        }
        if states.next().is_some() {
            return Err(bad("`previous` has too many limiters"));
        }
        Ok(Self {
            progress: exact(progress).ok_or_else(|| bad("the progress of `previous`"))?,
            stage: stage.ok_or_else(|| bad("the stage of `previous`"))? as u16,
            cycle: more.get("cycle").map_or(Some(0), natural).ok_or_else(|| bad("the cycle of `previous`"))?,
            limited: more.get("limited") == Some(&Json::Bool(true)),
            here: Here::restore(more)?,
            limiters,
            measure: match more.get("measure") {
                Some(state) => Some(Box::new(definition.kind().restore(state)?)),
                None => None,
            },
        })
    }
}

impl PeriodRecord {
    fn store(&self, out: &mut String) {
        let Self { period, progress, stage, cycle, completed_at, met } = self;
        let last = match (met, completed_at) {
            (Some(met), _) => met.to_string(),
            (None, Some(moment)) => moment.micros().to_string(),
            (None, None) => "null".to_owned(),
        };
        let (start, end) = (period.start().micros(), period.end().micros());
        let _ = write!(out, "[{start},{end},{progress},{},{cycle},{last}]", stage - 1);
    }

    fn restore(stored: &Json) -> Option<Self> {
        let [start, end, progress, stage, cycle, last] = stored.as_list()? else { return None };
        let (completed_at, met) = match last {
            Json::Bool(met) => (None, Some(*met)),
            Json::Null => (None, None),
            moment => (Some(micros(moment)?), None),
        };
        Some(Self {
            period: Period::new(micros(start)?, micros(end)?),
            progress: exact(progress)?,
            stage: usize::try_from(natural(stage)?).ok()?.checked_add(1)?,
            cycle: natural(cycle)?,
            completed_at,
            met,
        })
    }
}

impl Streak {
    fn restore(stored: &Json) -> Option<Self> {
        let [base, previous, current] = stored.as_list()? else { return None };
        let [length, fired, freezes, gap] = base.as_list()? else { return None };
        let link = |link: &Json| {
            let [Json::Bool(met), fired, missed] = link.as_list()? else { return None };
            Some(Link { met: *met, fired: u16::try_from(natural(fired)?).ok()?, missed: natural(missed)? })
        };
        Some(Self {
            base: Run {
                length: natural(length)?,
                fired: u16::try_from(natural(fired)?).ok()?,
                freezes: natural(freezes)?,
                gap: if *gap == Json::Null { None } else { Some(natural(gap)?) },
            },
            links: [link(previous)?, link(current)?],
        })
    }
}
