//! Warnings about valid definitions that probably do not do what their author meant.

use std::fmt;

use super::TrackerDefinition;
use crate::amount::Amount;
use crate::condition::{Condition, Test};
use crate::limiter::LimiterDefinition;
use crate::time::{Span, Timestamp};

/// Something in a valid definition that often surprises its author. Its `Display` text says what it is, and what to
/// write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DefinitionWarning {
    /// Each stage renews a `count`: with two stages, a count of 100 admits up to 200 documents.
    CountRenewedByStages {
        /// The position of the limiter.
        limiter: usize,
        /// The number of documents that it admits.
        count: u64,
        /// The number of stages that renew it; `None` if they never end.
        stages: Option<usize>,
    },
    /// Each stage renews a `sum` without `per`: with two stages, a sum of 100 admits up to 200.
    SumRenewedByStages {
        /// The position of the limiter.
        limiter: usize,
        /// The sum that it admits.
        sum: Amount,
        /// The number of stages that renew it; `None` if they never end.
        stages: Option<usize>,
    },
    /// Each stage renews an interval, which starts again.
    IntervalRenewedByStages {
        /// The position of the limiter.
        limiter: usize,
        /// Its length.
        length: Span,
        /// The number of stages that renew it; `None` if they never end.
        stages: Option<usize>,
    },
    /// A target is not above the one before it, so one document can reach both. Only the first such target is reported.
    TargetNotAscending {
        /// Its position in the list.
        position: usize,
        /// The target.
        target: Amount,
        /// The one before it.
        before: Amount,
    },
    /// A time is a number of seconds that looks like a date: 20261231 is a moment in August 1970.
    DateInDigits {
        /// The field with the time.
        field: String,
        /// The time.
        time: Timestamp,
        /// The date that it looks like.
        date: String,
    },
}

impl DefinitionWarning {
    /// The field that it is about, as a path in the definition: `limiters[0]`.
    pub fn field(&self) -> String {
        match self {
            Self::CountRenewedByStages { limiter, .. }
            | Self::SumRenewedByStages { limiter, .. }
            | Self::IntervalRenewedByStages { limiter, .. } => format!("limiters[{limiter}]"),
            Self::TargetNotAscending { position, .. } => format!("target[{position}]"),
            Self::DateInDigits { field, .. } => field.clone(),
        }
    }
}

impl fmt::Display for DefinitionWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const INSTEAD: &str = "to keep one limit for all stages, leave \"limiter\" out of reset_policy";
        write!(f, "{}: ", self.field())?;
        match self {
            Self::CountRenewedByStages { count, stages: Some(stages), .. } => {
                let all = u128::from(*count) * *stages as u128;
                write!(f, "each stage renews this count, so {stages} stages admit up to {all} documents; {INSTEAD}")
            }
            Self::CountRenewedByStages { count, stages: None, .. } => {
                write!(
                    f,
                    "each stage of the loop renews this count, so more than {count} documents may count; {INSTEAD}"
                )
            }
            Self::SumRenewedByStages { sum, stages: Some(stages), .. } => {
                write!(f, "each of the {stages} stages renews this sum of {sum}; {INSTEAD}")
            }
            Self::SumRenewedByStages { sum, stages: None, .. } => {
                write!(f, "each stage of the loop renews this sum of {sum}; {INSTEAD}")
            }
            Self::IntervalRenewedByStages { length, stages: Some(stages), .. } => {
                write!(f, "each of the {stages} stages starts these {length} again; {INSTEAD}")
            }
            Self::IntervalRenewedByStages { length, stages: None, .. } => {
                write!(f, "each stage of the loop starts these {length} again; {INSTEAD}")
            }
            Self::TargetNotAscending { target, before, .. } => {
                write!(
                    f,
                    "the target {target} is not above {before}, the one before it, so one document can reach both; list \
                     targets in ascending order"
                )
            }
            Self::DateInDigits { time, date, .. } => {
                write!(
                    f,
                    "{} is read as seconds since 1970: {time}; if it is a date, write it as the string \"{date}\"",
                    time.to_number()
                )
            }
        }
    }
}

impl TrackerDefinition {
    /// What in this definition may surprise its author, in the order of its fields; empty for most definitions.
    ///
    /// ```
    /// use dictrack_core::TrackerDefinition;
    /// let definition = TrackerDefinition::count("orders").targets([80, 100]).limit(100).build().unwrap();
    /// assert_eq!(definition.warnings()[0].field(), "limiters[0]");
    /// ```
    pub fn warnings(&self) -> Vec<DefinitionWarning> {
        let targets = self.targets();
        let policy = self.reset_policy();
        let mut warnings = Vec::new();
        for (at, condition) in self.conditions().iter().enumerate() {
            warn_of_dates(condition, &format!("conditions[{at}]"), &mut warnings);
        }
        // With the policy `progress`, each stage starts at 0, so that targets need not ascend.
        let falls = (!policy.progress).then(|| targets.windows(2).position(|pair| pair[1] <= pair[0])).flatten();
        if let Some(at) = falls {
            let (before, target) = (targets[at], targets[at + 1]);
            warnings.push(DefinitionWarning::TargetNotAscending { position: at + 1, target, before });
        }
        if policy.limiter && (targets.len() > 1 || self.loop_forever()) {
            let stages = (!self.loop_forever()).then_some(targets.len());
            warnings.extend(self.limiters().iter().enumerate().filter_map(|(limiter, definition)| match definition {
                LimiterDefinition::Count(count) => {
                    Some(DefinitionWarning::CountRenewedByStages { limiter, count: count.count(), stages })
                }
                LimiterDefinition::Interval(interval) => {
                    Some(DefinitionWarning::IntervalRenewedByStages { limiter, length: interval.length(), stages })
                }
                LimiterDefinition::Sum(sum) => {
                    Some(DefinitionWarning::SumRenewedByStages { limiter, sum: sum.limit(), stages })
                }
                // Stages do not renew limiters with a window.
                LimiterDefinition::Per(_) | LimiterDefinition::Within(_) | LimiterDefinition::Burst(_) => None,
                LimiterDefinition::Fixed(_) | LimiterDefinition::Custom(_) => None,
            }));
        }
        for (at, limiter) in self.limiters().iter().enumerate() {
            if let LimiterDefinition::Fixed(fixed) = limiter {
                let bounds = [("start", fixed.start()), ("end", fixed.end())];
                let dates = bounds
                    .into_iter()
                    .filter_map(|(bound, time)| looks_like_date(time?, || format!("limiters[{at}].{bound}")));
                warnings.extend(dates);
            }
        }
        warnings.extend(self.expire_at().and_then(|time| looks_like_date(time, || "expire_at".to_owned())));
        warnings
    }
}

fn looks_like_date(time: Timestamp, field: impl FnOnce() -> String) -> Option<DefinitionWarning> {
    time.date_in_digits().map(|date| DefinitionWarning::DateInDigits { field: field(), time, date })
}

/// Warns about times in a condition and in those that it consists of.
fn warn_of_dates(condition: &Condition, place: &str, warnings: &mut Vec<DefinitionWarning>) {
    let mut each = |conditions: &[Condition], operator: &str| {
        for (at, condition) in conditions.iter().enumerate() {
            warn_of_dates(condition, &format!("{place}.{operator}[{at}]"), warnings);
        }
    };
    match condition {
        Condition::All(conditions) => each(conditions, "all"),
        Condition::Any(conditions) => each(conditions, "any"),
        Condition::Items(items) => each(&items.conditions, items.quantifier.operator()),
        Condition::Not(condition) => warn_of_dates(condition, &format!("{place}.not"), warnings),
        Condition::Test { test: test @ (Test::Before(moment) | Test::Since(moment)), .. } => {
            warnings.extend(looks_like_date(moment.at(), || format!("{place}.{}", test.operator())));
        }
        Condition::Test { .. } | Condition::Fields(_) | Condition::Custom { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::ResetPolicy;
    use crate::definition::TrackerBuilder;
    use crate::json::Json;

    fn warned(builder: TrackerBuilder) -> Vec<String> {
        builder.build().unwrap().warnings().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_limit_that_stages_renew_warns() {
        let count = |targets: &[u64]| TrackerDefinition::count("n").targets(targets.iter().copied()).limit(100);
        assert_eq!(
            warned(count(&[80, 200])),
            [
                "limiters[0]: each stage renews this count, so 2 stages admit up to 200 documents; to keep one limit for all \
              stages, leave \"limiter\" out of reset_policy"
            ]
        );
        assert_eq!(warned(count(&[80]).loop_forever()).len(), 1);
        assert_eq!(warned(count(&[80, 200]).reset_policy(ResetPolicy::ALL)).len(), 1);
        assert_eq!(warned(count(&[80, 200]).within(Span::from_secs(60)).limit(u64::MAX)).len(), 3);
        assert!(warned(count(&[80])).is_empty());
        for policy in [ResetPolicy::NONE, ResetPolicy::PROGRESS] {
            assert!(warned(count(&[80, 200]).loop_forever().reset_policy(policy)).is_empty());
        }
        let fixed = TrackerDefinition::count("n").targets([1, 2]).until(Timestamp::from_secs(0));
        let custom = LimiterDefinition::custom("c", Json::Null);
        assert!(warned(fixed.limiter(custom)).is_empty());
    }

    #[test]
    fn targets_that_do_not_ascend_warn_once() {
        let targets = |targets: &[i64]| TrackerDefinition::count("n").targets(targets.iter().copied());
        assert!(warned(targets(&[-1, 0, 5])).is_empty());
        assert_eq!(
            warned(targets(&[10, 50, 50, 20])),
            [
                "target[2]: the target 50 is not above 50, the one before it, so one document can reach both; list targets in \
              ascending order"
            ]
        );
        // Each stage starts at 0: ten, then ten more.
        assert!(warned(targets(&[10, 10, 5]).reset_policy(ResetPolicy::PROGRESS)).is_empty());
        assert_eq!(warned(targets(&[10, 5]).within(Span::from_secs(1))).len(), 2);
    }

    #[test]
    fn a_number_of_seconds_that_looks_like_a_date_warns_where_it_is() {
        let definition = r#"{"name": "n", "kind": "count", "target": 1, "expire_at": 20270101,
            "limiters": [{"end": 1798761599}, {"start": 20260101, "end": 20261231}],
            "conditions": [{"key": "t", "before": 202612312359},
                {"not": {"any": [{"key": "t", "since": "2026-12-31"}, {"key": "l", "any_item": [{"since": 20261231}]}]}},
                {"key": "n", "eq": 20261231}, {"key": "t", "since": 20261331}, {"key": "t", "since": 20261231.5}]}"#;
        let definition = TrackerDefinition::from_json(&Json::parse(definition.as_bytes()).unwrap()).unwrap();
        let warnings = definition.warnings();
        let fields: Vec<_> = warnings.iter().map(DefinitionWarning::field).collect();
        let expected = [
            "conditions[0].before",
            "conditions[1].not.any[1].any_item[0].since",
            "limiters[1].start",
            "limiters[1].end",
            "expire_at",
        ];
        assert_eq!(fields, expected);
        assert_eq!(
            warnings[3].to_string(),
            "limiters[1].end: 20261231 is read as seconds since 1970: 1970-08-23T12:07:11Z; if it is a date, write it as the \
             string \"2026-12-31\""
        );
    }
}
