//! Checks of a definition as a whole.

use super::{DefinitionError, MAX_CONDITIONS, MAX_NAME_BYTES, MAX_TARGETS, Parts, Read, TrackerDefinition};
use crate::amount::Amount;
use crate::condition;
use crate::limiter::LimiterDefinition;
use crate::measure::Kind;
use crate::period::Every;

impl TrackerDefinition {
    /// Checks the fields and how they fit together.
    pub(super) fn checked(parts: Parts) -> Result<Self, DefinitionError> {
        let of = |field: &str, problem: String, expected: String| DefinitionError::of(field, problem, expected);
        if parts.name.is_empty() {
            return Err(of("name", "an empty string".into(), "a non-empty string".into()));
        }
        if parts.name.len() > MAX_NAME_BYTES {
            let problem = format!("name is {} bytes long", parts.name.len());
            return Err(of("name", problem, format!("up to {MAX_NAME_BYTES} bytes")));
        }
        if parts.targets.len() > MAX_TARGETS {
            return Err(of("target", format!("{} targets", parts.targets.len()), format!("up to {MAX_TARGETS}")));
        }
        parts.kind.check()?;
        if parts.expire_at.is_some_and(|moment| !moment.is_writable()) {
            return Err(of("expire_at", "timestamp out of range".into(), "a year from -9999 to 9999".into()));
        }
        if parts.loop_forever {
            let ascending = parts.targets.windows(2).all(|pair| pair[0] < pair[1]);
            let expected = "positive, ascending targets because `loop_forever` is set";
            let problem = match parts.targets.first() {
                None => "required field is missing",
                Some(first) if !ascending || !first.is_positive() => "these targets cannot loop",
                Some(_) => "",
            };
            if !problem.is_empty() {
                return Err(of("target", problem.into(), expected.into()));
            }
        }
        if let Some(every) = &parts.every
            && every.keep > Every::MOST
        {
            return Err(of("keep", every.keep.to_string(), Every::keep_in_words()));
        }
        if let Kind::Streak(_) = parts.kind {
            Self::check_streak(&parts)?;
        }
        LimiterDefinition::check_all(&parts.limiters)?;
        let mut left = MAX_CONDITIONS;
        for (at, condition) in parts.conditions.iter().enumerate() {
            condition::check(condition, condition::Place::OUTERMOST, &mut left)
                .map_err(|error| error.within(&format!("conditions[{at}]")))?;
        }
        Ok(Self::new(parts))
    }

    /// Checks what goes with a streak.
    fn check_streak(parts: &Parts) -> Read<()> {
        if parts.every.is_none() {
            let expected = "the length of a period, such as \"day\", with kind streak";
            return Err(DefinitionError::of("every", "required field is missing", expected));
        }
        let ascending = parts.targets.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascending || parts.targets.first().is_some_and(|first| !first.is_positive()) {
            let expected = "positive, ascending targets with kind streak";
            return Err(DefinitionError::of("target", "a streak cannot reach these targets in order", expected));
        }
        let others = [
            ("loop_forever", parts.loop_forever),
            ("init_progress", parts.init_progress != Amount::ZERO),
            ("reset_policy", parts.reset_policy.progress),
        ];
        match others.into_iter().find(|(_, set)| *set) {
            Some(("reset_policy", _)) => Err(DefinitionError::of(
                "reset_policy",
                "\"progress\" would end a streak at each target",
                "no \"progress\" with kind streak",
            )),
            Some((field, _)) => Err(DefinitionError::of(field, "field not allowed here", "a kind other than streak")),
            None => Ok(()),
        }
    }
}
