//! The stored state of one tracker: `[generation, progress, stage, {…}]`. The map is left out if it is empty. Its
//! fields are optional: `limited`, `completed`, `cycle`, `expire_at`, `stages`, `limits`, `resets`, `measure`,
//! `limiters`.

use std::fmt::Write as _;
use std::sync::Arc;

use super::{RecordError, StoredTracker, exact, list, member, micros, natural};
use crate::amount::push_integer;
use crate::definition::TrackerDefinition;
use crate::json::{Json, Map};
use crate::state::{Extra, Marks, Slot, TrackerSnapshot};

impl Slot {
    pub(super) fn store(&self, out: &mut String) {
        out.push('[');
        push_integer(out, u64::from(self.generation));
        out.push(',');
        self.progress.push_to(out);
        out.push(',');
        push_integer(out, u64::from(self.stage));
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
        let stage = natural(stage).filter(|&stage| (stage as usize) < definition.targets().len());
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
        let extra = Extra {
            limiters: limiters.map(|(limiter, state)| limiter.restore(state)).collect::<Result<_, _>>()?,
            cycle: number("cycle")?,
            expire_at,
            stages: number("stages")?,
            limits: number("limits")?,
            resets: number("resets")?,
            measure: match member(more, "measure") {
                Ok(state) => Some(Box::new(definition.kind().restore(state)?)),
                Err(_) => None,
            },
        };
        Ok(Self::from_parts(
            exact(progress).ok_or_else(|| bad("the progress is not an exact number"))?,
            generation.ok_or_else(|| bad("the generation is not a whole number"))?,
            stage.ok_or_else(|| bad("the stage is not in the definition"))? as u16,
            Marks { limited: flag("limited"), completed: flag("completed") },
            extra,
        ))
    }
}

impl TrackerSnapshot {
    /// Writes `"definition":…,"state":…`.
    pub(super) fn store(&self, out: &mut String) {
        let _ = write!(out, r#""definition":{},"state":"#, self.definition.to_json());
        self.slot().store(out);
    }

    pub(super) fn restore(stored: &Json, as_of: crate::time::Timestamp) -> Result<Self, RecordError> {
        let definition = TrackerDefinition::from_json(member(stored, "definition")?)
            .map_err(|error| RecordError::new(error.to_string()))?;
        let slot = Slot::read(&definition, member(stored, "state")?)?;
        Ok(Self::of(&Arc::new(definition), &slot, as_of))
    }
}
