//! Columns: one kind of test on one path, over all dense trackers.

use std::hash::BuildHasher as _;

use compact_str::CompactString;
use hashbrown::HashTable;

use super::scalar;
use super::scratch::Scratch;
use crate::amount::Amount;
use crate::condition::{Order, Test};
use crate::document::Value;
use crate::json::key_hash;
use crate::number::Number;

/// Bytes of precomputed sets that an order test may cost, so that memory stays linear in the tests.
const SET_BYTES_A_TEST: usize = 24;
/// A value gets a precomputed set if it would cost at most this many bits for each of its trackers.
const SET_BITS_A_TRACKER: usize = 128;

/// A value that equality can be looked up by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Number(Amount),
    Text(CompactString),
}

impl Scalar {
    pub(super) fn of(value: &Value<'_>) -> Option<Self> {
        Some(match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(Number::Exact(amount)) => Self::Number(*amount),
            Value::Text(text) => Self::Text(text.as_ref().into()),
            Value::Number(Number::Wide(_) | Number::Infinite(_) | Number::NotANumber)
            | Value::List(_)
            | Value::Map(_) => return None,
        })
    }

    fn is(&self, value: &Value<'_>) -> bool {
        match (self, value) {
            (Self::Null, Value::Null) => true,
            (Self::Bool(a), Value::Bool(b)) => a == b,
            (Self::Number(a), Value::Number(Number::Exact(b))) => a == b,
            (Self::Text(a), Value::Text(b)) => a.as_str() == b.as_ref(),
            _ => false,
        }
    }

    fn key(&self) -> u64 {
        match self {
            Self::Null => 0,
            Self::Bool(value) => 1 + u64::from(*value),
            Self::Number(amount) => amount_hash(*amount),
            Self::Text(text) => key_hash(text),
        }
    }
}

fn amount_hash(amount: Amount) -> u64 {
    // Documents choose the amounts that are looked up, not those that are stored: a fixed seed is enough.

    foldhash::fast::FixedState::default().hash_one(amount.units())
}

/// The hash under which a value would be found, if it is a scalar.
#[inline]
fn value_hash(value: &Value<'_>) -> Option<u64> {
    Some(match value {
        Value::Null => 0,
        Value::Bool(value) => 1 + u64::from(*value),
        Value::Number(Number::Exact(amount)) => amount_hash(*amount),
        Value::Text(text) => key_hash(text),
        Value::Number(Number::Wide(_) | Number::Infinite(_) | Number::NotANumber) | Value::List(_) | Value::Map(_) => {
            return None;
        }
    })
}

/// A hash map by scalar that is asked with a borrowed value.
#[derive(Debug)]
pub(super) struct ScalarMap<T>(HashTable<(Scalar, T)>);

impl<T> Default for ScalarMap<T> {
    fn default() -> Self {
        Self(HashTable::new())
    }
}

impl<T> ScalarMap<T> {
    #[inline]
    pub(super) fn get(&self, value: &Value<'_>) -> Option<&T> {
        self.0.find(value_hash(value)?, |(scalar, _)| scalar.is(value)).map(|(_, found)| found)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    pub(super) fn entry(&mut self, scalar: Scalar) -> &mut T
    where
        T: Default,
    {
        let entry = self.0.entry(scalar.key(), |(present, _)| *present == scalar, |(present, _)| present.key());
        &mut entry.or_insert_with(|| (scalar.clone(), T::default())).into_mut().1
    }
}

/// The distinct values that an `eq` or `in` test accepts, if each can be looked up.
pub(super) fn equal_values(test: &Test) -> Option<Vec<Scalar>> {
    let all = match test {
        Test::Eq(value) => scalar(value).is_some(),
        Test::In(values) => values.iter().all(|value| scalar(value).is_some()),
        _ => false,
    };
    all.then(|| named_values(test))
}

/// One kind of test on one path. A tracker has at most one test in a column; those without any pass it.
#[derive(Debug)]
pub(super) enum Column {
    Equal(Equal),
    Order(OrderColumn),
    Presence(Presence),
}

impl Column {
    pub(super) fn path(&self) -> u32 {
        match self {
            Self::Equal(column) => column.path,
            Self::Order(column) => column.path,
            Self::Presence(column) => column.path,
        }
    }

    /// Clears the bits of the trackers whose test `value` fails.
    #[inline]
    pub(super) fn restrict(&self, value: Option<&Value<'_>>, scratch: &mut Scratch) {
        match self {
            Self::Equal(column) => column.restrict(value, scratch),
            Self::Order(column) => column.restrict(value, scratch),
            Self::Presence(column) => {
                if value.is_some() != column.exists {
                    intersect(&mut scratch.words, &column.outside);
                }
            }
        }
    }
}

#[inline]
fn intersect(words: &mut [u64], with: &[u64]) {
    for (word, with) in words.iter_mut().zip(with) {
        *word &= with;
    }
}

/// What a test of equality wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Wanted {
    /// `eq`, `in`: one of the values.
    Equal,
    /// `ne`, `not_in`: a value, and none of these.
    OtherValue,
    /// `not` of `eq` or `in`: none of these values, or nothing at all.
    NotEqual,
}

/// Equality: a hash map from value to trackers.
#[derive(Debug)]
pub(super) struct Equal {
    path: u32,
    wanted: Wanted,
    /// The trackers without a test here.
    outside: Box<[u64]>,
    values: ScalarMap<Posting>,
}

#[derive(Debug, Default)]
struct Posting {
    trackers: Vec<u32>,
    /// All that pass if the document has this value, where that set is small enough to keep.
    passing: Option<Box<[u64]>>,
}

impl Equal {
    #[inline]
    fn restrict(&self, value: Option<&Value<'_>>, scratch: &mut Scratch) {
        let Some(posting) = value.and_then(|value| self.values.get(value)) else {
            let fails = match self.wanted {
                Wanted::Equal => true,
                Wanted::OtherValue => value.is_none(),
                Wanted::NotEqual => false,
            };
            if fails {
                intersect(&mut scratch.words, &self.outside);
            }
            return;
        };
        if let Some(passing) = &posting.passing {
            return intersect(&mut scratch.words, passing);
        }
        if self.wanted != Wanted::Equal {
            for &at in &posting.trackers {
                scratch.words[at as usize / 64] &= !(1 << (at % 64));
            }
            return;
        }
        let Scratch { words, survivors, .. } = scratch;
        survivors.clear();
        survivors.extend(posting.trackers.iter().filter(|&&at| words[at as usize / 64] >> (at % 64) & 1 == 1));
        intersect(words, &self.outside);
        for &at in &*survivors {
            words[at as usize / 64] |= 1 << (at % 64);
        }
    }
}

/// `exists` or `absent`.
#[derive(Debug)]
pub(super) struct Presence {
    path: u32,
    exists: bool,
    outside: Box<[u64]>,
}

/// `gt` and `ge`, or `lt` and `le`, with numbers: the tests that a value passes are a prefix of the sorted thresholds.
#[derive(Debug)]
pub(super) struct OrderColumn {
    path: u32,
    /// Distinct thresholds in the order in which a value passes them.
    thresholds: Box<[Amount]>,
    orders: Box<[Order]>,
    /// Where the trackers of each threshold begin; one more than there are thresholds.
    starts: Box<[u32]>,
    trackers: Box<[u32]>,
    /// A set is kept for every `step`-th length of the prefix: the trackers of that prefix and those outside.
    step: usize,
    sets: Box<[Box<[u64]>]>,
}

impl OrderColumn {
    #[inline]
    fn restrict(&self, value: Option<&Value<'_>>, scratch: &mut Scratch) {
        let count = match value {
            Some(Value::Number(Number::Exact(amount))) => self.passed(|at| amount.cmp(&self.thresholds[at])),
            Some(Value::Number(Number::NotANumber)) => 0,
            Some(Value::Number(number)) => self
                .passed(|at| number.compare(&Number::Exact(self.thresholds[at])).unwrap_or(std::cmp::Ordering::Equal)),
            _ => 0,
        };
        let up = count.div_ceil(self.step);
        if let Some(set) = self.sets.get(up) {
            intersect(&mut scratch.words, set);
        }
        let end = (up * self.step).min(self.thresholds.len());
        for &at in &self.trackers[self.starts[count] as usize..self.starts[end] as usize] {
            scratch.words[at as usize / 64] &= !(1 << (at % 64));
        }
    }

    /// The number of thresholds that a value passes which compares so to each of them.
    #[inline]
    fn passed(&self, compare: impl Fn(usize) -> std::cmp::Ordering) -> usize {
        let (mut low, mut high) = (0, self.thresholds.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.orders[middle].holds(compare(middle)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

/// Collects the tests of dense trackers into columns.
#[derive(Debug)]
pub(super) struct ColumnBuilder {
    trackers: usize,
    kinds: std::collections::HashMap<(u32, ColumnKind), Vec<(u32, Test)>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum ColumnKind {
    Equal(Wanted),
    Exists,
    Absent,
    /// `gt`, `ge`
    Above,
    /// `lt`, `le`
    Below,
}

impl ColumnBuilder {
    pub(super) fn new(trackers: usize) -> Self {
        Self { trackers, kinds: std::collections::HashMap::new() }
    }

    /// Enters a test of a tracker, or its contrary; `false` if no column can answer it.
    pub(super) fn add(&mut self, tracker: u32, path: u32, test: &Test, negated: bool) -> bool {
        let on_grid = |value| matches!(scalar(value), Some(Scalar::Number(_)));
        let kind = match test {
            Test::Exists if !negated => ColumnKind::Exists,
            Test::Absent if !negated => ColumnKind::Absent,
            Test::Eq(_) | Test::In(_) if equal_values(test).is_some() => {
                ColumnKind::Equal(if negated { Wanted::NotEqual } else { Wanted::Equal })
            }
            Test::Ne(value) if !negated && scalar(value).is_some() => ColumnKind::Equal(Wanted::OtherValue),
            Test::NotIn(values) if !negated && values.iter().all(|value| scalar(value).is_some()) => {
                ColumnKind::Equal(Wanted::OtherValue)
            }
            _ if negated => return false,
            Test::Order(Order::Gt | Order::Ge, operand) if on_grid(operand) => ColumnKind::Above,
            Test::Order(Order::Lt | Order::Le, operand) if on_grid(operand) => ColumnKind::Below,
            _ => return false,
        };
        let tests = self.kinds.entry((path, kind)).or_default();
        // Trackers come in order: a second test of the same tracker in one column would be its last.
        if tests.last().is_some_and(|(last, _)| *last == tracker) {
            return false;
        }
        tests.push((tracker, test.clone()));
        true
    }

    /// The columns, those first that tell most trackers apart.
    pub(super) fn build(self) -> Vec<Column> {
        let mut kinds: Vec<_> = self.kinds.into_iter().collect();
        kinds.sort_by_key(|((path, kind), tests)| (*kind, std::cmp::Reverse(tests.len()), *path));
        kinds.into_iter().map(|((path, kind), tests)| build(self.trackers, path, kind, tests)).collect()
    }
}

/// The distinct scalars that a test of equality or inequality names.
fn named_values(test: &Test) -> Vec<Scalar> {
    let mut values: Vec<Scalar> = match test {
        Test::Eq(value) | Test::Ne(value) => scalar(value).into_iter().collect(),
        Test::In(values) | Test::NotIn(values) => values.iter().filter_map(scalar).collect(),
        _ => Vec::new(),
    };
    if values.len() > 1 {
        let mut seen = std::collections::HashSet::new();
        values.retain(|value| seen.insert(value.clone()));
    }
    values
}

/// A set of `count` bits, all set but those of `trackers`.
fn without(count: usize, trackers: &[u32]) -> Box<[u64]> {
    let mut words = vec![u64::MAX; count.div_ceil(64)];
    for at in trackers {
        words[*at as usize / 64] &= !(1 << (at % 64));
    }
    words.into()
}

fn with(set: &[u64], trackers: &[u32]) -> Box<[u64]> {
    let mut words: Box<[u64]> = set.into();
    for &at in trackers {
        words[at as usize / 64] |= 1 << (at % 64);
    }
    words
}

fn build(count: usize, path: u32, kind: ColumnKind, tests: Vec<(u32, Test)>) -> Column {
    let members: Vec<u32> = tests.iter().map(|(at, _)| *at).collect();
    let outside = without(count, &members);
    match kind {
        ColumnKind::Exists | ColumnKind::Absent => {
            Column::Presence(Presence { path, exists: kind == ColumnKind::Exists, outside })
        }
        ColumnKind::Equal(wanted) => {
            let mut values = ScalarMap::<Posting>::default();
            for (at, test) in &tests {
                for value in named_values(test) {
                    values.entry(value).trackers.push(*at);
                }
            }
            for posting in values.values_mut() {
                posting.trackers.shrink_to_fit();
                if posting.trackers.len() * SET_BITS_A_TRACKER >= count {
                    posting.passing = Some(match wanted {
                        Wanted::Equal => with(&outside, &posting.trackers),
                        Wanted::OtherValue | Wanted::NotEqual => without(count, &posting.trackers),
                    });
                }
            }
            Column::Equal(Equal { path, wanted, outside, values })
        }
        ColumnKind::Above | ColumnKind::Below => Column::Order(order_column(path, &outside, kind, tests)),
    }
}

fn order_column(path: u32, outside: &[u64], kind: ColumnKind, tests: Vec<(u32, Test)>) -> OrderColumn {
    let mut entries: Vec<(Amount, Order, u32)> = tests
        .into_iter()
        .map(|(at, test)| match test {
            Test::Order(order, operand) => match scalar(&operand) {
                Some(Scalar::Number(threshold)) => (threshold, order, at),
                _ => unreachable!("only thresholds on the grid enter an order column"),
            },
            _ => unreachable!("only order tests enter an order column"),
        })
        .collect();
    // `ge 5` is passed before `gt 5`, and going down `le 5` before `lt 5`.
    let strict = |order: Order| matches!(order, Order::Gt | Order::Lt);
    entries.sort_by(|a, b| {
        let thresholds = if kind == ColumnKind::Above { a.0.cmp(&b.0) } else { b.0.cmp(&a.0) };
        thresholds.then(strict(a.1).cmp(&strict(b.1))).then(a.2.cmp(&b.2))
    });
    let (mut thresholds, mut orders, mut starts) = (Vec::new(), Vec::new(), Vec::new());
    for (at, (threshold, order, _)) in entries.iter().enumerate() {
        if thresholds.last() != Some(threshold) || orders.last() != Some(order) {
            thresholds.push(*threshold);
            orders.push(*order);
            starts.push(at as u32);
        }
    }
    starts.push(entries.len() as u32);
    let trackers: Box<[u32]> = entries.iter().map(|(_, _, at)| *at).collect();
    let affordable = (SET_BYTES_A_TEST * entries.len() / (outside.len() * 8)).max(1);
    let step = thresholds.len().div_ceil(affordable).max(1);
    let mut sets = Vec::new();
    let mut set: Box<[u64]> = outside.into();
    // The set of all thresholds would restrict nothing and is left out.
    for length in (0..thresholds.len()).step_by(step) {
        let from = length.saturating_sub(step);
        set = with(&set, &trackers[starts[from] as usize..starts[length] as usize]);
        sets.push(set.clone());
    }
    OrderColumn {
        path,
        thresholds: thresholds.into(),
        orders: orders.into(),
        starts: starts.into(),
        trackers,
        step,
        sets: sets.into(),
    }
}
