//! The stored state of one tracker: `[generation, progress, stage, {…}]`. The map is left out if it is empty. Its
//! fields are optional: `limited`, `completed`, `cycle`, `expire_at`, `stages`, `limits`, `resets`, `completions`, `measure`,
//! `limiters`, and `every` of a tracker with periods, see [`period`](super::period).

use std::fmt::Write as _;
use std::sync::Arc;

use super::{RecordError, StoredTracker, exact, list, member, micros, natural};
use crate::amount::push_integer;
use crate::definition::TrackerDefinition;
use crate::engine::When;
use crate::json::{Json, Map};
use crate::period::Periods;
use crate::state::{Extra, Marks, Slot, TrackerSnapshot};
use crate::time::Timestamp;
use crate::window::Place;
use crate::zone::{Zone, Zones};

impl Slot {
    pub(super) fn store(&self, definition: &TrackerDefinition, out: &mut String) {
        let (progress, stage) = self.seen(definition);
        out.push('[');
        push_integer(out, u64::from(self.generation));
        out.push(',');
        progress.push_to(out);
        out.push(',');
        push_integer(out, u64::from(stage));
        if !self.is_unmarked() || self.extra.is_some() {
            let before = out.len();
            out.push_str(",{");
            let start = out.len();
            let put = |out: &mut String, key: &str, value: &dyn std::fmt::Display| {
                let comma = if out.len() > start { "," } else { "" };
                let _ = write!(out, r#"{comma}"{key}":{value}"#);
            };
            if self.limited() {
                put(out, "limited", &true);
            }
            if self.completed() {
                put(out, "completed", &true);
            }
            if let Some(extra) = &self.extra {
                let numbers = [
                    ("cycle", extra.cycle),
                    ("stages", extra.stages),
                    ("limits", extra.limits),
                    ("resets", extra.resets),
                    ("completions", extra.completions),
                ];
                for (key, number) in numbers.into_iter().filter(|(_, number)| *number > 0) {
                    put(out, key, &number);
                }
                if let Some(moment) = extra.expire_at {
                    put(out, "expire_at", &moment.micros());
                }
                if let Some(measure) = &extra.measure {
                    put(out, "measure", &measure.store());
                }
                if let Some(periods) = &extra.periods {
                    let mut stored = String::new();
                    periods.store(self.progress, definition, &mut stored);
                    put(out, "every", &stored);
                }
                if !extra.limiters.is_empty() {
                    let mut limiters = String::new();
                    list(&mut limiters, &extra.limiters, |out, limiter| limiter.store(out));
                    put(out, "limiters", &limiters);
                }
            }
            if out.len() > start {
                out.push('}');
            } else {
                out.truncate(before);
            }
        }
        out.push(']');
    }

    /// Reads the stored state of a tracker with this definition.
    pub(super) fn restore(definition: &TrackerDefinition, stored: &StoredTracker) -> Result<Self, RecordError> {
        let in_tracker = |error| RecordError::new(format!("tracker {:?}: {error}", definition.name()));
        Self::read(definition, &stored.0).map_err(in_tracker)
    }

    fn read(definition: &TrackerDefinition, stored: &Json) -> Result<Self, RecordError> {
        let bad = |what: &str| RecordError::new(what);
        let Some([generation, progress, stage, rest @ ..]) = stored.as_list() else {
            return Err(bad("the state is not a list of generation, progress and stage"));
        };
        let generation = natural(generation).and_then(|generation| u32::try_from(generation).ok());
        let stage = natural(stage).filter(|&stage| (stage as usize) < definition.goals().len());
        let blank = Json::Map(Map::default());
        let more = rest.first().unwrap_or(&blank);
        let flag = |key: &str| more.as_map().and_then(|map| map.get(key)) == Some(&Json::Bool(true));
        let number = |key: &str| match member(more, key) {
            Ok(value) => natural(value).ok_or_else(|| RecordError::new(format!("`{key}` is not a whole number"))),
            Err(_) => Ok(0),
        };
        let limiters = match member(more, "limiters") {
            Ok(limiters) => limiters.as_list().ok_or_else(|| bad("`limiters` is not a list"))?,
            Err(_) => &[],
        };
        if limiters.len() != definition.limiters().len() {
            let (states, limiters) = (limiters.len(), definition.limiters().len());
            return Err(RecordError::new(format!("{states} limiter states for {limiters} limiters")));
        }
        let expire_at = match member(more, "expire_at") {
            Ok(moment) => Some(micros(moment).ok_or_else(|| bad("`expire_at` is not a timestamp"))?),
            Err(_) => None,
        };
        let limiters = definition.limiters().iter().zip(limiters);
        let periods = match (definition.every(), member(more, "every")) {
            (Some(_), Ok(every)) => Some(Periods::restore(every, definition)?),
            (None, Err(_)) => None,
            (Some(_), Err(_)) => return Err(bad("`every` is missing")),
            (None, Ok(_)) => return Err(bad("`every` in the state of a tracker without periods")),
        };
        let stage = stage.ok_or_else(|| bad("the stage is not in the definition"))?;
        let progress = exact(progress).ok_or_else(|| bad("the progress is not an exact number"))?;
        // Of a streak, the state shows the run.
        let (progress, stage) = match &periods {
            Some((_, Some(amount))) => (*amount, 0),
            _ => (progress, stage),
        };
        let extra = Extra {
            limiters: limiters.map(|(limiter, state)| limiter.restore(state)).collect::<Result<_, _>>()?,
            cycle: number("cycle")?,
            expire_at,
            stages: number("stages")?,
            limits: number("limits")?,
            resets: number("resets")?,
            completions: number("completions")?,
            measure: match member(more, "measure") {
                Ok(state) => Some(Box::new(definition.kind().restore(state)?)),
                Err(_) => None,
            },
            periods: periods.map(|(periods, _)| Box::new(periods)),
        };
        Ok(Self::from_parts(
            progress,
            generation.ok_or_else(|| bad("the generation is not a whole number"))?,
            stage as u16,
            Marks { limited: flag("limited"), completed: flag("completed") },
            extra,
        ))
    }
}

impl TrackerSnapshot {
    /// Writes `"definition":…,"state":…`.
    pub(super) fn store(&self, out: &mut String) {
        let _ = write!(out, r#""definition":{},"state":"#, self.definition.to_json());
        self.slot().store(&self.definition, out);
        if self.definition.has_windows() {
            let place = self.place();
            let _ = write!(out, r#","place":["{}",{}]"#, place.zone, place.added.micros());
        }
    }

    pub(super) fn restore(stored: &Json, as_of: Timestamp) -> Result<Self, RecordError> {
        let definition = TrackerDefinition::from_json(member(stored, "definition")?)
            .map_err(|error| RecordError::new(error.to_string()))?;
        let slot = Slot::read(&definition, member(stored, "state")?)?;
        let place = match member(stored, "place") {
            Ok(place) => read_place(place).ok_or_else(|| RecordError::new("`place` is not a zone and a moment"))?,
            Err(_) => Place::default(),
        };
        Ok(Self::of(&Arc::new(definition), &slot, When { now: as_of, place }))
    }
}

fn read_place(stored: &Json) -> Option<Place> {
    let [zone, added] = stored.as_list()? else { return None };
    Some(Place { zones: Zones::bundled(), zone: Zone::named(zone.as_str()?)?, added: micros(added)? })
}
