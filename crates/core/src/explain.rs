//! What a document would do to each tracker, and why: evaluated one by one, without the index.

use std::fmt;

use crate::amount::Amount;
use crate::condition::{Condition, custom_last};
use crate::custom::CustomError;
use crate::definition::TrackerDefinition;
use crate::document::Document;
use crate::engine::{Ask, At, Engine, When};
use crate::json::{Json, Map};
use crate::limiter::Refusal;
use crate::measure::Measure;
use crate::number::Number;
use crate::outcome::SkipReason;
use crate::path::Path;
use crate::state::Slot;
use crate::text::plain;
use crate::time::Timestamp;

/// What a document would do to one tracker.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Explanation {
    /// The tracker's name.
    pub name: String,
    /// What would happen.
    pub verdict: Reason,
}

/// Why a document counts or does not count.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// It counts.
    Counted {
        /// By how much the progress would change.
        amount: Amount,
        /// Whether decimals beyond 10⁻¹⁸ were rounded away.
        rounded: bool,
    },
    /// A condition does not hold.
    NoMatch {
        /// The condition in words.
        condition: String,
        /// The first path that it reads, if any.
        key: Option<String>,
        /// The value at that path; `None` if there is none.
        seen: Option<Json>,
        /// The path of the value that it is compared with, if that is also in the document.
        other_key: Option<String>,
        /// The value at that path; `None` if there is none.
        other_seen: Option<Json>,
    },
    /// The conditions hold, but there is no amount to add, or the result would be out of range.
    Skipped {
        /// Why, in one word.
        reason: SkipReason,
        /// Why, in words.
        why: String,
        /// When a resting tracker counts again.
        until: Option<Timestamp>,
        /// When the period of a late document ended.
        ended: Option<Timestamp>,
    },
    /// A limiter refuses.
    Limited {
        /// The position of the limiter in the definition.
        limiter: usize,
        /// The limiter in words. If there is no `until`, this includes what would open it or when it ended.
        by: String,
        /// The first moment that is admitted again; `None` if only a renewal makes that possible.
        until: Option<Timestamp>,
    },
    /// The tracker has expired.
    Expired {
        /// When it expired.
        since: Timestamp,
    },
    /// Custom code failed.
    Failed {
        /// What went wrong.
        error: CustomError,
    },
}

impl Reason {
    /// The verdict in one word: counted, `no_match`, skipped, limited, expired or failed.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Counted { .. } => "counted",
            Self::NoMatch { .. } => "no_match",
            Self::Skipped { .. } => "skipped",
            Self::Limited { .. } => "limited",
            Self::Expired { .. } => "expired",
            Self::Failed { .. } => "failed",
        }
    }

    /// The reason in words, for a document that was read from JSON. JSON has no NaN, so a value that is NaN was a string with
    /// a lone surrogate.
    pub fn in_json(&self) -> String {
        const SURROGATE: &str = "a string with a lone surrogate";
        let words = Words { reason: self, nan: SURROGATE }.to_string();
        match words.strip_suffix("is not finite") {
            Some(place) if matches!(self, Self::Skipped { .. }) => format!("{place}is {SURROGATE}"),
            _ => words,
        }
    }

    pub(crate) fn of(definition: &TrackerDefinition, slot: &Slot, document: &dyn Document, at: At<'_>) -> Self {
        match Self::evaluate(definition, slot, document, at) {
            Ok(reason) => reason,
            Err(error) => Self::Failed { error },
        }
    }

    fn evaluate(
        definition: &TrackerDefinition,
        slot: &Slot,
        document: &dyn Document,
        at: At<'_>,
    ) -> Result<Self, CustomError> {
        let At { when: When { now, .. }, engine } = at;
        if let Some(since) = slot.expire_at().filter(|_| slot.expired(now)) {
            return Ok(Self::Expired { since });
        }
        if let Some(failing) = first_failing(definition.conditions(), document, engine)? {
            let seen = |key: &Path| document.value_at(key).map(|value| value.to_json());
            let key = failing.first_key();
            let other = if let Condition::Fields(fields) = failing { Some(&fields.other) } else { None };
            return Ok(Self::NoMatch {
                condition: failing.to_string(),
                key: key.map(ToString::to_string),
                seen: key.and_then(seen),
                other_key: other.map(ToString::to_string),
                other_seen: other.and_then(seen),
            });
        }
        let skipped = |reason: SkipReason, why: String| Ok(Self::Skipped { reason, why, until: None, ended: None });
        let ask = Ask { at, document, amount: Amount::ZERO };
        let state = slot.extra.as_ref().and_then(|extra| extra.measure.as_deref());
        let (amount, rounded) = match definition.kind().amount_of(state, &ask)? {
            Measure::Amount { amount, rounded, .. } => (amount, rounded),
            Measure::Nothing(why) => return skipped(SkipReason::NoAmount, why),
        };
        if let Some(why) = definition.limiters().iter().find_map(|limiter| limiter.check_number(document).err()) {
            return skipped(SkipReason::NoAmount, why);
        }
        if let Some(ended) = slot.late(definition, at.when) {
            let why = format!("too late for the period that ended at {ended}");
            return Ok(Self::Skipped { reason: SkipReason::Late, why, until: None, ended: Some(ended) });
        }
        let mut entered;
        let slot = if slot.has_periods() {
            entered = slot.clone();
            entered.enter(definition, at.when, Some(engine));
            &entered
        } else {
            slot
        };
        if slot.rests_since().is_some() {
            let until = slot.period().and_then(|period| period.end().finite());
            let why = "has reached its last target in this period".to_owned();
            return Ok(Self::Skipped { reason: SkipReason::Resting, why, until, ended: None });
        }
        let ask = Ask { amount, ..ask };
        if let Some(Refusal { limiter, until, .. }) = slot.refusing(definition, &ask)? {
            let by = definition.limiters()[limiter].in_words(&slot.limiters()[limiter], at.when);
            return Ok(Self::Limited { limiter, by, until });
        }
        let out_of_range = |why: &str| skipped(SkipReason::OutOfRange, why.to_owned());
        let Some(progress) = slot.progress.checked_add(amount) else {
            return out_of_range("the progress would be out of range (|x| < 1.7e20)");
        };
        if !slot.numbers_events(definition, progress) {
            return out_of_range("it would complete more than 2⁶⁴ stages");
        }
        Ok(Self::Counted { amount, rounded })
    }
}

/// The first of `conditions` that does not hold; if that is an `all`, the part that does not hold.
fn first_failing<'c>(
    conditions: &'c [Condition],
    document: &dyn Document,
    engine: &Engine,
) -> Result<Option<&'c Condition>, CustomError> {
    for (_, condition) in custom_last(conditions) {
        let failing = match condition {
            Condition::All(parts) => first_failing(parts, document, engine)?,
            _ => (!condition.holds(document, &engine.registry)?).then_some(condition),
        };
        if failing.is_some() {
            return Ok(failing);
        }
    }
    Ok(None)
}

/// A reason in words, and what a value that is NaN is called.
struct Words<'a> {
    reason: &'a Reason,
    nan: &'static str,
}

impl Words<'_> {
    /// A value, on one line and shortened. Unlike in JSON, NaN is not shown as null.
    fn seen(&self, value: &Json) -> String {
        let mut out = String::new();
        self.write(value, &mut out);
        plain(&out).into_owned()
    }

    fn write(&self, value: &Json, out: &mut String) {
        match value {
            Json::Number(Number::NotANumber) => out.push_str(self.nan),
            Json::Number(number) => out.push_str(&number.to_string()),
            Json::List(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    self.write(item, out);
                }
                out.push(']');
            }
            Json::Map(map) => {
                out.push('{');
                for (at, (key, value)) in map.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    out.push_str(&Json::from(key).to_string());
                    out.push(':');
                    self.write(value, out);
                }
                out.push('}');
            }
            Json::Null | Json::Bool(_) | Json::Text(_) => out.push_str(&value.to_string()),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Words { reason: self, nan: "NaN" }.fmt(f)
    }
}

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Reason::{Counted, Expired, Failed, Limited, NoMatch, Skipped};
        match self.reason {
            Counted { amount, rounded: false } => write!(f, "counts {amount}"),
            Counted { amount, rounded: true } => write!(f, "counts {amount}, rounded to 18 decimals"),
            NoMatch { condition, key: Some(key), seen, other_key: Some(other_key), other_seen } => {
                write!(f, "{condition} does not hold: ")?;
                match (seen, other_seen) {
                    (Some(seen), Some(other)) => {
                        write!(f, "the values are {} and {}", self.seen(seen), self.seen(other))
                    }
                    (None, _) => write!(f, "there is no value at {key}"),
                    (Some(_), None) => write!(f, "there is no value at {other_key}"),
                }
            }
            NoMatch { condition, key: None, .. } => write!(f, "{condition} does not hold"),
            NoMatch { condition, seen: Some(seen), .. } => {
                let nothing = if let Json::Number(Number::NotANumber) = seen { ", which equals nothing" } else { "" };
                write!(f, "{condition} does not hold: the value is {}{nothing}", self.seen(seen))
            }
            NoMatch { condition, key: Some(_), seen: None, .. } => {
                write!(f, "{condition} does not hold: there is no value")
            }
            Skipped { why, until: Some(until), .. } => write!(f, "{why}, until {until}"),
            Skipped { why, .. } => f.write_str(why),
            Limited { by, until: Some(until), .. } => write!(f, "refused by {by}, until {until}"),
            Limited { by, until: None, .. } => write!(f, "refused by {by}"),
            Expired { since } => write!(f, "expired at {since}"),
            Failed { error } => error.fmt(f),
        }
    }
}

impl Explanation {
    /// The explanation as JSON: name, verdict, why, and the facts of the verdict.
    pub fn to_json(&self) -> Json {
        let mut map = Map::default();
        let mut put = |key: &str, value: Json| map.insert(key.into(), value);
        put("name", self.name.as_str().into());
        put("verdict", self.verdict.word().into());
        put("why", self.verdict.to_string().into());
        match &self.verdict {
            Reason::Counted { amount, .. } => put("amount", Number::Exact(*amount).into()),
            Reason::NoMatch { key, seen, other_key, other_seen, .. } => {
                for (word, key) in [("key", key), ("other_key", other_key)] {
                    if let Some(key) = key {
                        put(word, key.as_str().into());
                    }
                }
                for (word, seen) in [("seen", seen), ("other_seen", other_seen)] {
                    if let Some(seen) = seen {
                        put(word, seen.clone());
                    }
                }
            }
            Reason::Limited { limiter, until, .. } => {
                put("limiter", (*limiter as u64).into());
                if let Some(until) = until {
                    put("until", until.to_number().into());
                }
            }
            Reason::Skipped { reason, until, ended, .. } => {
                put("reason", reason.name().into());
                for (key, moment) in [("until", until), ("ended", ended)] {
                    if let Some(moment) = moment {
                        put(key, moment.to_number().into());
                    }
                }
            }
            Reason::Expired { .. } | Reason::Failed { .. } => {}
        }
        map.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_is_not_explained_as_null() {
        let nan = || Json::Number(Number::NotANumber);
        let nested = || Json::Map([("k".into(), Json::List(vec![nan(), Json::Null, 1.into()]))].into_iter().collect());
        let seen = |seen: Json, other: Option<Json>| Reason::NoMatch {
            condition: "k eq 1".to_owned(),
            key: Some("k".to_owned()),
            seen: Some(seen),
            other_key: other.as_ref().map(|_| "l".to_owned()),
            other_seen: other,
        };
        let skipped = Reason::Skipped {
            reason: SkipReason::NoAmount,
            why: "the value at k is not finite".to_owned(),
            until: None,
            ended: None,
        };
        let surrogate = "a string with a lone surrogate";
        for (reason, words, in_json) in [
            (
                seen(nan(), None),
                "k eq 1 does not hold: the value is NaN, which equals nothing",
                format!("k eq 1 does not hold: the value is {surrogate}, which equals nothing"),
            ),
            (
                seen(nested(), None),
                "k eq 1 does not hold: the value is {\"k\":[NaN,null,1]}",
                format!("k eq 1 does not hold: the value is {{\"k\":[{surrogate},null,1]}}"),
            ),
            (
                seen(1.into(), Some(nan())),
                "k eq 1 does not hold: the values are 1 and NaN",
                format!("k eq 1 does not hold: the values are 1 and {surrogate}"),
            ),
            (skipped, "the value at k is not finite", format!("the value at k is {surrogate}")),
        ] {
            assert_eq!(reason.to_string(), words);
            assert_eq!(reason.in_json(), in_json);
        }
    }
}
