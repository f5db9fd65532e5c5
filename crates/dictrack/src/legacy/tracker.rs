//! Converts a tracker that 2.1.5 stored into a definition and a state.

use dictrack_core::json::{Json, Map};
use dictrack_core::{Amount, Span, Timestamp, TrackerDefinition, number::Number};

use super::pickle::{self, Class, Fault, Kind, Read, Value, shown};

/// A tracker that 2.1.5 stored.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tracker {
    pub(super) name: String,
    pub(super) group: String,
    /// Where the number is, for a sum.
    key: Option<Json>,
    /// In a canonical order. 2.1.5 has them in a set, whose order differs between processes, but trackers with the same
    /// definition should share it.
    conditions: Vec<Json>,
    /// The definition and the state of each, in a canonical order.
    limiters: Vec<(Json, Json)>,
    /// The current target and those after it. 2.1.5 drops targets that it has passed.
    targets: Vec<Json>,
    /// The position of the first of them in the original list, counted from 1.
    stage: usize,
    progress: Amount,
    limited: bool,
    reset_progress: bool,
    reset_limiter: bool,
    loop_forever: bool,
}

/// A tracker as it is stored here.
#[derive(Debug)]
pub(super) struct Translated {
    pub(super) definition: TrackerDefinition,
    /// Its progress, its stage, and the rest of its state, as described in `docs/storage.md`.
    pub(super) state: [Json; 3],
    /// Whether it has passed targets that are no longer known.
    pub(super) shortened: bool,
}

impl Tracker {
    /// Reads what 2.1.5 stored.
    pub(super) fn read(bytes: &[u8]) -> Read<Self> {
        let value = pickle::read(bytes)?;
        let mut fields = Fields::of(&value)?;
        let class = fields.take("cls")?;
        let key = match class.kind {
            Kind::Class(Class::CountTracker) => None,
            Kind::Class(Class::AccumulationTracker) => Some(path(fields.take("key")?)?),
            _ => return Err(expected(class, "cls", "CountTracker or AccumulationTracker")),
        };
        let (loop_forever, limited) = (flag(&mut fields, "loop_forever")?, flag(&mut fields, "limited")?);
        let (reset_progress, reset_limiter) = policy(fields.take("reset_policy")?)?;
        let tracker = Self {
            name: text(&mut fields, "name")?.to_owned(),
            group: text(&mut fields, "group_id")?.to_owned(),
            key,
            conditions: conditions(fields.take("conditions")?)?,
            limiters: limiters(fields.take("limiters")?, limited)?,
            targets: targets(fields.take("target")?, fields.take("multi_target")?)?,
            stage: stage(fields.take("current_stage")?)?,
            progress: amount(fields.take("progress")?, "progress")?.1,
            limited,
            reset_progress,
            reset_limiter,
            loop_forever,
        };
        for name in ["completed", "removed"] {
            let value = fields.take(name)?;
            if value.kind != Kind::Bool(false) {
                // 2.1.5 could not track a document with such a tracker in the group.
                return Err(expected(value, name, "False, since 2.1.5 deletes trackers that are completed or removed"));
            }
        }
        fields.finish()?;
        Ok(tracker)
    }

    /// The targets that this tracker has passed, if `before` is the same tracker when it was added.
    pub(super) fn passed(&self, before: &Self) -> Option<Vec<Json>> {
        let passed = self.stage - 1;
        let same = self.key == before.key && self.conditions == before.conditions && before.stage == 1;
        let (earlier, rest) = before.targets.split_at_checked(passed).filter(|_| same)?;
        // Targets may have been added in the meantime.
        (!rest.is_empty() && self.targets.starts_with(rest)).then(|| earlier.to_vec())
    }

    /// The tracker as it is stored here, with the targets that it has `passed`, if known.
    pub(super) fn translate(
        self,
        passed: Option<Vec<Json>>,
        expire_at: Option<Timestamp>,
    ) -> Result<Translated, String> {
        let shortened = self.stage > 1 && passed.is_none();
        let at_last = self.targets.len() == 1;
        if shortened && self.loop_forever && !at_last {
            let problem = "`loop_forever` with passed targets that are no longer stored; expected all of them, which MongoDB \
                           may still have, or no passed targets";
            return Err(problem.to_owned());
        }
        let mut stage = passed.as_ref().map_or(0, Vec::len);
        let targets: Vec<Json> = passed.into_iter().flatten().chain(self.targets).collect();
        let (limiters, states): (Vec<_>, Vec<_>) = self.limiters.into_iter().unzip();
        let flags = [(self.reset_progress, "progress"), (self.reset_limiter, "limiter")];
        let flags = flags.into_iter().filter(|(set, _)| *set).map(|(_, flag)| flag.into());
        let kind = if self.key.is_some() { "sum" } else { "count" };
        let fields = [
            ("name", self.name.into()),
            ("kind", kind.into()),
            ("target", targets.into()),
            ("conditions", self.conditions.into()),
            ("limiters", limiters.into()),
            ("reset_policy", flags.collect::<Vec<Json>>().into()),
            ("loop_forever", self.loop_forever.into()),
        ];
        let definition = map(fields.into_iter().chain(self.key.map(|key| ("key", key))));
        let definition = TrackerDefinition::from_json(&definition)
            .map_err(|error| format!("its definition is not valid here: {error}"))?;
        let (mut progress, mut cycle) = (self.progress, 0);
        let targets = definition.targets();
        if let Some(&last) = targets.last()
            && self.loop_forever
            && !self.reset_progress
            && at_last
            && progress >= last
        {
            // Beyond its last target, 2.1.5 fires at every document and lets progress grow. The part that has fired becomes
            // cycles here, and the rest becomes progress.
            cycle = u64::try_from(progress.units() / last.units()).unwrap_or(u64::MAX);
            progress = Amount::from_units(progress.units() % last.units()).unwrap_or_default();
            stage = targets.partition_point(|target| *target <= progress);
        }
        let more = [
            self.limited.then(|| ("limited", true.into())),
            (cycle > 0).then(|| ("cycle", cycle.into())),
            expire_at.map(|moment| ("expire_at", moment.micros().into())),
            (!states.is_empty()).then(|| ("limiters", states.into())),
        ];
        let state = [Number::Exact(progress).into(), (stage as u64).into(), map(more.into_iter().flatten())];
        Ok(Translated { definition, state, shortened })
    }
}

fn map<'k>(entries: impl IntoIterator<Item = (&'k str, Json)>) -> Json {
    entries.into_iter().map(|(key, value)| (key.into(), value)).collect::<Map>().into()
}

fn expected(value: &Value, field: &str, expected: &str) -> Fault {
    Fault::new(value.at, format!("`{field}` is {value}; expected {expected}"))
}

/// The entries of a map or the attributes of an instance. Each must be taken, since 2.1.5 writes no others.
struct Fields<'v> {
    value: &'v Value,
    left: Vec<&'v (String, Value)>,
}

impl<'v> Fields<'v> {
    fn of(value: &'v Value) -> Read<Self> {
        match &value.kind {
            Kind::Map(entries) | Kind::Object(_, entries) => Ok(Self { value, left: entries.iter().collect() }),
            _ => Err(Fault::new(value.at, format!("{value}; expected a map"))),
        }
    }

    fn take(&mut self, name: &str) -> Read<&'v Value> {
        let at = self.left.iter().position(|(key, _)| key == name);
        let at = at.ok_or_else(|| Fault::new(self.value.at, format!("{} without `{name}`", self.value)))?;
        Ok(&self.left.swap_remove(at).1)
    }

    fn finish(self) -> Read<()> {
        match self.left.first() {
            Some((key, value)) => {
                let problem = format!("{} with {}, which 2.1.5 does not store", self.value, shown(key));
                Err(Fault::new(value.at, problem))
            }
            None => Ok(()),
        }
    }
}

fn text<'v>(fields: &mut Fields<'v>, name: &str) -> Read<&'v str> {
    let value = fields.take(name)?;
    if let Kind::Text(text) = &value.kind { Ok(text) } else { Err(expected(value, name, "a string")) }
}

fn flag(fields: &mut Fields<'_>, name: &str) -> Read<bool> {
    let value = fields.take(name)?;
    if let Kind::Bool(flag) = value.kind { Ok(flag) } else { Err(expected(value, name, "True or False")) }
}

fn items<'v>(value: &'v Value, field: &str) -> Read<&'v [Value]> {
    if let Kind::List(items) = &value.kind { Ok(items) } else { Err(expected(value, field, "a list")) }
}

/// A number in the range of targets and progress.
fn amount(value: &Value, field: &str) -> Read<(Json, Amount)> {
    let number = number(value, field)?;
    let rounded = number.to_rounded();
    let rounded = rounded.ok_or_else(|| expected(value, field, "a number between -1.7e20 and 1.7e20"))?;
    Ok((number.into(), rounded))
}

/// A finite number.
fn number(value: &Value, field: &str) -> Read<Number> {
    let number = match value.kind {
        Kind::Int(number) => Number::parse(&number.to_string()),
        Kind::Float(number) if number.is_finite() => Some(number.into()),
        _ => None,
    };
    number.ok_or_else(|| expected(value, field, "a finite number"))
}

fn whole(fields: &mut Fields<'_>, name: &str) -> Read<i128> {
    let value = fields.take(name)?;
    if let Kind::Int(number) = value.kind { Ok(number) } else { Err(expected(value, name, "a whole number")) }
}

fn policy(value: &Value) -> Read<(bool, bool)> {
    match value.kind {
        Kind::Int(bits @ 0..=3) => Ok((bits & 1 != 0, bits & 2 != 0)),
        _ => Err(expected(value, "reset_policy", "0, 1, 2 or 3")),
    }
}

fn stage(value: &Value) -> Read<usize> {
    let stage = if let Kind::Int(stage) = value.kind { usize::try_from(stage).ok() } else { None };
    let stage = stage.filter(|stage| *stage > 0);
    stage.ok_or_else(|| expected(value, "current_stage", "a whole number, 1 or greater"))
}

fn targets(current: &Value, following: &Value) -> Read<Vec<Json>> {
    let first = amount(current, "target");
    let following = items(following, "multi_target")?.iter().map(|target| amount(target, "multi_target"));
    std::iter::once(first).chain(following).map(|target| target.map(|(target, _)| target)).collect()
}

/// A dotted path, as definitions write it.
fn path(value: &Value) -> Read<Json> {
    // In 2.1.5 this word, like `\.`, means a dot that does not separate segments.
    const DOT: &str = "__dictor__";
    let Kind::Text(text) = &value.kind else { return Err(expected(value, "key", "a string")) };
    let segments: Vec<String> =
        text.replace("\\.", DOT).split('.').map(|segment| segment.replace(DOT, ".").replace('.', "\\.")).collect();
    if segments.iter().any(String::is_empty) {
        let problem = "a path without empty segments, which 2.1.5 reads as empty keys but which are ignored here";
        return Err(expected(value, "key", problem));
    }
    Ok(segments.join(".").into())
}

fn conditions(value: &Value) -> Read<Vec<Json>> {
    let conditions = items(value, "conditions")?.iter().map(condition).collect::<Read<Vec<_>>>()?;
    let mut conditions: Vec<_> = conditions.into_iter().map(|condition| (condition.to_string(), condition)).collect();
    conditions.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(conditions.into_iter().map(|(_, condition)| condition).collect())
}

fn condition(value: &Value) -> Read<Json> {
    let mut fields = Fields::of(value)?;
    let class = fields.take("cls")?;
    let key = path(fields.take("key")?)?;
    let test: (&str, Json) = match class.kind {
        Kind::Class(Class::KeyExists) => ("exists", true.into()),
        Kind::Class(Class::KeyNotExists) => ("absent", true.into()),
        Kind::Class(
            class @ (Class::KeyValueComparison
            | Class::KeyValueEq
            | Class::KeyValueNe
            | Class::KeyValueLt
            | Class::KeyValueLe
            | Class::KeyValueGt
            | Class::KeyValueGe),
        ) => comparison(class, &mut fields)?,
        Kind::Class(class @ (Class::KeyValueContained | Class::KeyValueNotContained)) => {
            let not = class == Class::KeyValueNotContained;
            (if not { "not_contains" } else { "contains" }, text(&mut fields, "value")?.into())
        }
        Kind::Class(class @ (Class::KeyValueListHasItem | Class::KeyValueListNotHasItem)) => {
            let value = fields.take("value")?;
            if !matches!(value.kind, Kind::Int(_) | Kind::Bool(_) | Kind::Text(_)) {
                return Err(expected(value, "value", "a whole number or a string"));
            }
            (if class == Class::KeyValueListHasItem { "has" } else { "not_has" }, operand(value)?)
        }
        Kind::Class(Class::KeyValueInList) => ("in", operands(&mut fields)?),
        Kind::Class(Class::KeyValueNotInList) => ("not_in", operands(&mut fields)?),
        Kind::Class(Class::KeyValueListIntersectList) => ("intersects", operands(&mut fields)?),
        Kind::Class(Class::KeyValueListNotIntersectList) => ("not_intersects", operands(&mut fields)?),
        _ => return Err(expected(class, "cls", "a condition of 2.1.5")),
    };
    let contains = matches!(test.0, "contains" | "not_contains");
    let ignores_case = contains && !flag(&mut fields, "case_sensitive")?;
    fields.finish()?;
    Ok(map([("key", key), test].into_iter().chain(ignores_case.then(|| ("ignore_case", true.into())))))
}

/// A test by operator. Except for the general class, the class of a condition must match its operator.
fn comparison(class: Class, fields: &mut Fields<'_>) -> Read<(&'static str, Json)> {
    const OPERATORS: [(&str, &str, Class); 6] = [
        ("<built-in function eq>", "eq", Class::KeyValueEq),
        ("<built-in function ne>", "ne", Class::KeyValueNe),
        ("<built-in function lt>", "lt", Class::KeyValueLt),
        ("<built-in function le>", "le", Class::KeyValueLe),
        ("<built-in function gt>", "gt", Class::KeyValueGt),
        ("<built-in function ge>", "ge", Class::KeyValueGe),
    ];
    let (op, value) = (fields.take("op")?, fields.take("value")?);
    let known = OPERATORS.iter().find(|(name, _, means)| {
        matches!(&op.kind, Kind::Text(op) if op == name) && (class == *means || class == Class::KeyValueComparison)
    });
    let (_, operator, means) = known.ok_or_else(|| expected(op, "op", &format!("an operator of a {class}")))?;
    let is_order = !matches!(means, Class::KeyValueEq | Class::KeyValueNe);
    if is_order && !matches!(value.kind, Kind::Int(_) | Kind::Float(_) | Kind::Text(_)) {
        // With any other type, 2.1.5 raises an error or compares values that have no order here.
        return Err(expected(value, "value", "a number or a string, since other types have no order"));
    }
    Ok((operator, operand(value)?))
}

/// The operand of a condition.
fn operand(value: &Value) -> Read<Json> {
    match &value.kind {
        Kind::None => Ok(Json::Null),
        Kind::Bool(flag) => Ok((*flag).into()),
        Kind::Text(text) => Ok(text.as_str().into()),
        Kind::Int(_) | Kind::Float(_) => Ok(number(value, "value")?.into()),
        // A tuple does not equal a list, so it equals nothing that a document can contain.
        _ => Err(expected(value, "value", "None, a boolean, a number or a string")),
    }
}

fn operands(fields: &mut Fields<'_>) -> Read<Json> {
    let value = fields.take("value")?;
    match &value.kind {
        Kind::List(items) | Kind::Tuple(items) if !items.is_empty() => {
            Ok(items.iter().map(operand).collect::<Read<Vec<_>>>()?.into())
        }
        Kind::List(_) | Kind::Tuple(_) => {
            Err(Fault::new(value.at, "`value` is empty; expected a non-empty list or tuple"))
        }
        _ => Err(expected(value, "value", "a list or a tuple")),
    }
}

/// The limiters of a tracker, given whether it is marked as limited.
fn limiters(value: &Value, limited: bool) -> Read<Vec<(Json, Json)>> {
    let Kind::Set(limiters) = &value.kind else { return Err(expected(value, "limiters", "a set")) };
    let mut closes = false;
    let mut read = Vec::new();
    for limiter in limiters {
        let mut fields = Fields::of(limiter)?;
        // Whether this limiter refused last. The tracker has its own mark.
        flag(&mut fields, "limited")?;
        let limiter = match limiter.kind {
            Kind::Object(Class::CountLimiter, _) => count(limiter, &mut fields, limited, &mut closes)?,
            Kind::Object(Class::TimeLimiter, _) => {
                closes = true;
                window(limiter, &mut fields)?
            }
            _ => return Err(expected(limiter, "limiters", "a CountLimiter or a TimeLimiter")),
        };
        fields.finish()?;
        read.push((limiter.0.to_string(), limiter.1.to_string(), limiter));
    }
    if limited && !closes {
        return Err(Fault::new(
            value.at,
            "`limited` is True, but no limiter is used up; expected a used-up limiter or a TimeLimiter",
        ));
    }
    read.sort_by(|(a, b, _), (c, d, _)| (a, b).cmp(&(c, d)));
    // Limiters that a renewal made equal become one when 2.1.5 reads them.
    read.dedup_by(|(a, b, _), (c, d, _)| a == c && b == d);
    Ok(read.into_iter().map(|(_, _, limiter)| limiter).collect())
}

fn count(limiter: &Value, fields: &mut Fields<'_>, limited: bool, closes: &mut bool) -> Read<(Json, Json)> {
    let (count, remaining) = (whole(fields, "count")?, whole(fields, "remaining")?);
    *closes |= remaining <= 0;
    // If it is used up without the mark, 2.1.5 still counts one document: in memory, documents that do not match use it up too.
    let remaining = remaining.max(if limited { 0 } else { 1 });
    let (Ok(limit), Ok(remaining)) = (u64::try_from(count), u64::try_from(remaining)) else {
        let problem = format!("CountLimiter with count {count}; expected whole numbers from 0 to {}", u64::MAX);
        return Err(Fault::new(limiter.at, problem));
    };
    // A limiter that was closed by `reset_count=0` has lost its number, and a definition with 0 is not valid. The state
    // decides: it admits nothing, and a renewal changes nothing.
    let definition = map([("count", limit.max(1).into())]);
    Ok((definition, map([("limit", limit.into()), ("remaining", remaining.into())])))
}

fn window(limiter: &Value, fields: &mut Fields<'_>) -> Read<(Json, Json)> {
    let mut moment = |name: &str| {
        let value = fields.take(name)?;
        let moment = Timestamp::read(&number(value, name)?.into());
        moment
            .map(|moment| (value, moment))
            .ok_or_else(|| expected(value, name, "a timestamp in the years -9999 to 9999"))
    };
    let ((_, start), (end, last)) = (moment("start")?, moment("end")?);
    let interval = fields.take("interval")?;
    let Kind::Span(length) = interval.kind else { return Err(expected(interval, "interval", "a timedelta")) };
    let refuse = |problem: &str| Err(Fault::new(limiter.at, format!("TimeLimiter {problem}")));
    // Seconds as floats are off by about a microsecond.
    const SLACK: i128 = 1_000;
    if (i128::from(last.micros()) - i128::from(start.micros()) - length).abs() > SLACK {
        return refuse("interval does not match its start and end");
    }
    let Some(length) = i64::try_from(length).ok().filter(|length| *length >= 0) else {
        return refuse("ends before it starts, so it admits nothing; expected a non-negative interval");
    };
    // Both kinds are stored alike, but an end that 2.1.5 computed from an interval is a float. Only that kind restarts
    // at each stage.
    let definition = if let Kind::Int(_) = end.kind {
        map([("start", start.to_number().into()), ("end", last.to_number().into())])
    } else {
        map([("seconds", Span::from_micros(length).to_number().into())])
    };
    Ok((definition, map([("start", start.micros().into()), ("end", last.micros().into())])))
}
