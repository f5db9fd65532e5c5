//! Columns: one kind of test on one path, over all dense trackers.

use std::hash::BuildHasher as _;
use std::hint::select_unpredictable;

use crate::json::Text;
use hashbrown::HashTable;

use super::check::Checks;
use super::order::{key, units, units_of_moment};
use super::scalar;
use super::scratch::Scratch;
use crate::amount::Amount;
use crate::condition::{Order, Test};
use crate::document::Value;
use crate::json::{key_hash, same};
use crate::number::Number;
use crate::path::Path;

/// How many bytes of precomputed sets an order test may take, so that memory stays linear in the number of tests.
const SET_BYTES_A_TEST: usize = 24;
/// Keys are counted, and the trackers between a value and the next stored set visited, in blocks of this length.
const BLOCK: usize = 8;
/// An order column with up to this many tests is narrow: checking them one by one may be faster than the column.
const NARROW: usize = 64;
/// A value gets a precomputed set if that takes no more than this many bits for each of its trackers.
pub(super) const SET_BITS_A_TRACKER: usize = 128;

/// A value that can be looked up for equality.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Number(Amount),
    Text(Text),
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
            (Self::Text(a), Value::Text(b)) => same(a, b),
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
    // Documents only choose the amounts that are looked up, not those that are stored, so a fixed seed is enough.

    foldhash::fast::FixedState::default().hash_one(amount.units())
}

/// The hash for looking up a value, if it is a scalar.
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

/// A map by scalar that is looked up with a borrowed value.
#[derive(Debug)]
pub(super) struct ScalarMap<T> {
    /// The scalars and their values, while there are few. Stored separately, so that comparing touches little memory.
    scalars: Vec<Scalar>,
    found: Vec<T>,
    /// All of them by hash, once there are more.
    many: HashTable<(Scalar, T)>,
}

/// Up to this many scalars are compared one by one, which is faster than hashing a string.
const FEW_SCALARS: usize = 6;

impl<T> Default for ScalarMap<T> {
    fn default() -> Self {
        Self { scalars: Vec::new(), found: Vec::new(), many: HashTable::new() }
    }
}

impl<T> ScalarMap<T> {
    #[inline]
    pub(super) fn get(&self, value: &Value<'_>) -> Option<&T> {
        if !self.many.is_empty() {
            return self.many.find(value_hash(value)?, |(scalar, _)| scalar.is(value)).map(|(_, found)| found);
        }
        // Each is compared without branching on the result, which would be mispredicted.
        let at = match value {
            Value::Text(text) => self.scan(|scalar| matches!(scalar, Scalar::Text(own) if same(own, text))),
            _ => self.scan(|scalar| scalar.is(value)),
        };
        self.found.get(at)
    }

    #[inline]
    fn scan(&self, is_wanted: impl Fn(&Scalar) -> bool) -> usize {
        let scalars = self.scalars.iter().zip(0..);
        scalars.fold(usize::MAX, |found, (scalar, at)| select_unpredictable(is_wanted(scalar), at, found))
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.found.iter_mut().chain(self.many.iter_mut().map(|(_, found)| found))
    }

    pub(super) fn entry(&mut self, scalar: Scalar) -> &mut T
    where
        T: Default,
    {
        let Self { scalars, found, many } = self;
        if many.is_empty() {
            match scalars.iter().position(|present| *present == scalar) {
                Some(at) => return &mut found[at],
                None if scalars.len() < FEW_SCALARS => {
                    scalars.push(scalar);
                    found.push(T::default());
                    return &mut found[scalars.len() - 1];
                }
                None => {}
            }
        }
        let hash = |(scalar, _): &(Scalar, T)| scalar.key();
        for few in scalars.drain(..).zip(found.drain(..)) {
            many.insert_unique(few.0.key(), few, hash);
        }
        let entry = many.entry(scalar.key(), |(present, _)| *present == scalar, hash);
        &mut entry.or_insert_with(|| (scalar.clone(), T::default())).into_mut().1
    }
}

/// The distinct values that an `eq` or `in` test accepts, if all can be looked up.
pub(super) fn equal_values(test: &Test) -> Option<Vec<Scalar>> {
    let all = match test {
        Test::Eq(value) => scalar(value).is_some(),
        Test::In(values) => values.iter().all(|value| scalar(value).is_some()),
        _ => false,
    };
    all.then(|| named_values(test))
}

/// One kind of test on one path. A tracker has up to one test in a column; those without a test pass.
#[derive(Debug)]
pub(super) enum Column {
    Equal(Equal),
    Order(OrderColumn),
    /// Tests of timestamps, in microseconds.
    Moment(OrderColumn),
    Presence(Presence),
}

impl Column {
    /// Clears the bits of trackers whose test fails for `value`. If it returns a set, the caller must intersect with that too.
    #[inline]
    pub(super) fn restrict(&self, value: Option<&Value<'_>>, scratch: &mut Scratch) -> Option<&[u64]> {
        match self {
            Self::Equal(column) => column.restrict(value, scratch),
            Self::Order(column) => column.restrict(units(column.order, value), scratch),
            Self::Moment(column) => column.restrict(units_of_moment(column.order, value), scratch),
            Self::Presence(column) => (value.is_some() != column.exists).then_some(&*column.outside),
        }
    }
}

#[inline]
pub(super) fn intersect(words: &mut [u64], with: &[u64]) {
    for (word, with) in words.iter_mut().zip(with) {
        *word &= with;
    }
}

/// Intersects `words` with all of `sets`, one stretch of words after another, so that each stays in registers.
#[inline]
pub(super) fn intersect_all(words: &mut [u64], sets: &[&[u64]]) {
    const STRETCH: usize = 16;
    for (stretch, from) in words.chunks_mut(STRETCH).zip((0..).step_by(STRETCH)) {
        match stretch.first_chunk_mut::<STRETCH>() {
            Some(stretch) => {
                let mut all = *stretch;
                for set in sets.iter().filter_map(|set| set[from..].first_chunk::<STRETCH>()) {
                    all = std::array::from_fn(|word| all[word] & set[word]);
                }
                *stretch = all;
            }
            None => sets.iter().for_each(|set| intersect(stretch, &set[from..])),
        }
    }
}

/// What an equality test requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Wanted {
    /// `eq`, `in`: one of the values.
    Equal,
    /// `ne`, `not_in`: a value that is none of these.
    OtherValue,
    /// `not` of `eq` or `in`: none of these values, or no value.
    NotEqual,
}

/// Equality: a hash map from value to trackers.
#[derive(Debug)]
pub(super) struct Equal {
    wanted: Wanted,
    /// The trackers without a test in this column.
    outside: Box<[u64]>,
    values: ScalarMap<Posting>,
}

#[derive(Debug, Default)]
struct Posting {
    trackers: Vec<u32>,
    /// All trackers that pass if the document has this value, if that set is small enough to store.
    passing: Option<Box<[u64]>>,
}

impl Equal {
    #[inline]
    fn restrict(&self, value: Option<&Value<'_>>, scratch: &mut Scratch) -> Option<&[u64]> {
        let Some(posting) = value.and_then(|value| self.values.get(value)) else {
            let fails = match self.wanted {
                Wanted::Equal => true,
                Wanted::OtherValue => value.is_none(),
                Wanted::NotEqual => false,
            };
            return fails.then_some(&*self.outside);
        };
        if let Some(passing) = &posting.passing {
            return Some(passing);
        }
        if self.wanted != Wanted::Equal {
            for &at in &posting.trackers {
                scratch.words[at as usize / 64] &= !(1 << (at % 64));
            }
            return None;
        }
        let Scratch { words, survivors, .. } = scratch;
        survivors.clear();
        survivors.extend(posting.trackers.iter().filter(|&&at| words[at as usize / 64] >> (at % 64) & 1 == 1));
        intersect(words, &self.outside);
        for &at in &*survivors {
            words[at as usize / 64] |= 1 << (at % 64);
        }
        None
    }
}

/// `exists` or `absent`.
#[derive(Debug)]
pub(super) struct Presence {
    exists: bool,
    outside: Box<[u64]>,
}

/// Tests of one order with numbers or timestamps. Those that a value passes are a prefix of the sorted keys.
#[derive(Debug)]
pub(super) struct OrderColumn {
    order: Order,
    /// The distinct [`key`]s, ascending.
    keys: Box<[i128]>,
    /// The result for a value, by the number of tests that it passes; has one more entry than there are tests.
    prefixes: Box<[Prefix]>,
    /// The trackers of all tests, in the same order.
    trackers: Box<[u32]>,
    /// Sets for some prefix lengths: the trackers in that prefix, and those without a test.
    sets: Box<[Box<[u64]>]>,
}

/// The result for the number of tests that a value passes: the trackers in a set may pass, except for a range of
/// `trackers` that fails. After the last set, every tracker may pass.
#[derive(Clone, Copy, Debug)]
struct Prefix {
    set: u32,
    from: u32,
    to: u32,
}

impl OrderColumn {
    #[inline]
    fn restrict(&self, units: i128, scratch: &mut Scratch) -> Option<&[u64]> {
        let count = self.reached(units);
        let prefix = self.prefixes[count];
        let (from, to) = (prefix.from as usize, prefix.to as usize);
        match self.trackers[from..].first_chunk::<BLOCK>().filter(|_| to - from <= BLOCK) {
            // A loop of fixed length, unlike the other one, ends as the processor predicts.
            Some(block) => {
                for (at, tracker) in (from..).zip(block) {
                    scratch.words[*tracker as usize / 64] &= !(u64::from(at < to) << (tracker % 64));
                }
            }
            None => {
                for &at in &self.trackers[from..to] {
                    scratch.words[at as usize / 64] &= !(1 << (at % 64));
                }
            }
        }
        self.sets.get(prefix.set as usize).map(|set| &**set)
    }

    /// The number of keys that are less than or equal to `units`.
    ///
    /// The last steps of the search count instead of branching, since every other branch would be mispredicted.
    #[inline]
    fn reached(&self, units: i128) -> usize {
        let count = |keys: &[i128]| keys.iter().map(|key| usize::from(*key <= units)).sum::<usize>();
        let (mut passed, mut keys) = (0, &self.keys[..]);
        while keys.len() > BLOCK * BLOCK {
            let (low, high) = keys.split_at(keys.len() / 2);
            if high[0] <= units {
                passed += low.len();
                keys = high;
            } else {
                keys = low;
            }
        }
        let blocks = keys.chunks_exact(BLOCK).map(|block| usize::from(block[BLOCK - 1] <= units)).sum::<usize>();
        let rest = &keys[blocks * BLOCK..];
        passed + blocks * BLOCK + rest.first_chunk::<BLOCK>().map_or_else(|| count(rest), |block| count(block))
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
    Order(Order),
    Moment(Order),
}

impl ColumnBuilder {
    pub(super) fn new(trackers: usize) -> Self {
        Self { trackers, kinds: std::collections::HashMap::new() }
    }

    /// Adds a test of a tracker, or its negation; `false` if no column supports it.
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
            Test::Order(order, operand) if on_grid(operand) => ColumnKind::Order(*order),
            Test::Before(_) => ColumnKind::Moment(Order::Lt),
            Test::Since(_) => ColumnKind::Moment(Order::Ge),
            _ => return false,
        };
        let tests = self.kinds.entry((path, kind)).or_default();
        // Trackers come in order, so a second test of the same tracker in one column would be the last entry.
        if tests.last().is_some_and(|(last, _)| *last == tracker) {
            return false;
        }
        tests.push((tracker, test.clone()));
        true
    }

    /// The columns of each of `list`, and the order tests to check tracker by tracker instead.
    pub(super) fn build(self, list: &[Path]) -> (Vec<(u32, Vec<Column>)>, Checks) {
        let mut kinds: Vec<Kind> = self.kinds.into_iter().collect();
        kinds.sort_by_key(|((path, kind), _)| (*path, *kind));
        let checks = take_checks(self.trackers, list, &mut kinds);
        let mut paths: Vec<(u32, Vec<Column>)> = Vec::new();
        for ((path, kind), tests) in kinds {
            let column = build(self.trackers, kind, tests);
            match paths.last_mut().filter(|(last, _)| *last == path) {
                Some((_, columns)) => columns.push(column),
                None => paths.push((path, vec![column])),
            }
        }
        (paths, checks)
    }
}

/// The tests of one kind on one path, each with its tracker.
type Kind = ((u32, ColumnKind), Vec<(u32, Test)>);

/// Removes narrow order columns from `kinds`, if there are many, and turns their tests into checks for trackers that an
/// equality test rules out for most documents.
fn take_checks(trackers: usize, list: &[Path], kinds: &mut Vec<Kind>) -> Checks {
    let narrow = |kind: ColumnKind, tests: &[(u32, Test)]| match kind {
        ColumnKind::Order(order) if tests.len() <= NARROW => Some(order),
        _ => None,
    };
    let mut checks = Checks::default();
    if kinds.iter().filter_map(|((_, kind), tests)| narrow(*kind, tests)).count() * NARROW < trackers {
        return checks;
    }
    let mut found_by_equality = vec![false; trackers];
    for (_, tests) in kinds.iter().filter(|((_, kind), _)| *kind == ColumnKind::Equal(Wanted::Equal)) {
        tests.iter().for_each(|(at, _)| found_by_equality[*at as usize] = true);
    }
    for ((path, kind), tests) in kinds.iter_mut() {
        let Some(order) = narrow(*kind, tests) else { continue };
        tests.retain(|(at, test)| {
            let check = (&list[*path as usize], order, key(order, threshold(test)));
            !(found_by_equality[*at as usize] && checks.add(trackers, *at, check))
        });
    }
    kinds.retain(|(_, tests)| !tests.is_empty());
    checks
}

/// The threshold of a test that an order column supports, in the units of its values.
fn threshold(test: &Test) -> i128 {
    match test {
        Test::Order(_, operand) => match scalar(operand) {
            Some(Scalar::Number(threshold)) => threshold.units(),
            _ => unreachable!("only thresholds on the grid enter an order column"),
        },
        Test::Before(moment) | Test::Since(moment) => moment.at().micros().into(),
        _ => unreachable!("only order tests enter an order column"),
    }
}

/// The distinct scalars in an equality or inequality test.
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

/// A set of `count` bits, all set except those of `trackers`.
pub(super) fn without(count: usize, trackers: &[u32]) -> Box<[u64]> {
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

fn build(count: usize, kind: ColumnKind, tests: Vec<(u32, Test)>) -> Column {
    let members: Vec<u32> = tests.iter().map(|(at, _)| *at).collect();
    let outside = without(count, &members);
    match kind {
        ColumnKind::Exists | ColumnKind::Absent => {
            Column::Presence(Presence { exists: kind == ColumnKind::Exists, outside })
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
            Column::Equal(Equal { wanted, outside, values })
        }
        ColumnKind::Order(order) => Column::Order(order_column(&outside, order, &tests)),
        ColumnKind::Moment(order) => Column::Moment(order_column(&outside, order, &tests)),
    }
}

fn order_column(outside: &[u64], order: Order, tests: &[(u32, Test)]) -> OrderColumn {
    let mut entries: Vec<(i128, u32)> = tests.iter().map(|(at, test)| (key(order, threshold(test)), *at)).collect();
    entries.sort_unstable();
    let (mut keys, mut starts) = (Vec::new(), Vec::new());
    for (at, (key, _)) in entries.iter().enumerate() {
        if keys.last() != Some(key) {
            keys.push(*key);
            starts.push(at as u32);
        }
    }
    starts.push(entries.len() as u32);
    let trackers: Box<[u32]> = entries.iter().map(|(_, at)| *at).collect();
    let affordable = (SET_BYTES_A_TEST * entries.len() / (outside.len() * 8)).max(1);
    let step = keys.len().div_ceil(affordable).max(1);
    let mut sets = Vec::new();
    let mut set: Box<[u64]> = outside.into();
    // The set for all thresholds would not exclude anything and is left out.
    for length in (0..keys.len()).step_by(step) {
        let from = length.saturating_sub(step);
        set = with(&set, &trackers[starts[from] as usize..starts[length] as usize]);
        sets.push(set.clone());
    }
    let prefixes = (0..=keys.len()).map(|count| {
        let set = count.div_ceil(step);
        Prefix { set: set as u32, from: starts[count], to: starts[(set * step).min(keys.len())] }
    });
    OrderColumn { order, prefixes: prefixes.collect(), keys: keys.into(), trackers, sets: sets.into() }
}
