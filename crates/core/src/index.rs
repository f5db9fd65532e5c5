//! The compiled index of a definition set: which trackers a document matches.
//!
//! The cost depends on matches, not on trackers. This is the counting algorithm with access predicates (Fabret et al., "Filtering
//! algorithms and implementation for very fast publish/subscribe systems", SIGMOD 2001; Zhang et al., A-Tree, SIGMOD
//! 2021), laid out as bit sets:
//!
//! - A tracker with a selective equality test is *sparse*: it is in the posting list for the value of that test, and only
//!   looked at if a document has that value.
//! - All others are *dense*: each indexable test belongs to a [`Column`], which maps a document's value to the set of
//!   trackers that may pass. These sets are intersected word by word.
//! - Order tests on paths with few tests are [`Checks`] of the remaining trackers.
//! - Conditions that no column supports (negatives, `contains`, `any`, custom …) are [`Predicate`]s. A predicate is evaluated
//!   at most once per document, and only for trackers that pass everything else. If many trackers have it, it is
//!   [`Shared`].

use std::collections::HashMap;

use smallvec::SmallVec;

use crate::amount::Amount;
use crate::condition::{Condition, FieldComparison, Items, Test, custom_last};
use crate::custom::{CustomError, Registry};
use crate::definition::TrackerDefinition;
use crate::document::{Document, Value};
use crate::json::Json;
use crate::measure::Source;
use crate::path::Path;

mod check;
mod column;
mod order;
mod scratch;

use check::Checks;
use column::{Column, ColumnBuilder, Scalar};
pub(crate) use scratch::Scratch;

/// A set smaller than this has no sparse trackers: intersecting its few words is cheaper.
const SPARSE_FROM: usize = 4096;
/// A posting list is selective if it has no more than this fraction of the trackers.
const SELECTIVE_SHARE: usize = 128;

/// What `track` needs to know about a tracker in the common case, in half a cache line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hot {
    /// Its first target.
    pub(crate) target: Amount,
    /// What it adds: [`COUNT`] adds 1, [`ASKED`] asks a measure, and higher values number the sums.
    pub(crate) amount: u32,
    /// The position of the tracker in its set.
    pub(crate) tracker: u32,
    /// Its first predicate.
    predicate: u32,
    /// How many predicates it has: none, one, or several, which are looked up.
    predicates: u8,
    /// Whether one of them runs custom code.
    pub(crate) asks_custom: bool,
    /// Whether it has neither limiters nor a measure.
    pub(crate) plain: bool,
}

impl Hot {
    #[inline]
    fn has_predicates(&self) -> bool {
        self.predicates > 0
    }
}

/// [`Hot::amount`] of a tracker to which every document adds 1.
pub(crate) const COUNT: u32 = 0;
/// [`Hot::amount`] of a tracker whose measure is called for each document.
pub(crate) const ASKED: u32 = 1;
/// [`Hot::amount`] of the first sum that is read from the document.
const FIRST_SUM: u32 = 2;

/// The compiled form of a definition set.
#[derive(Debug)]
pub(crate) struct Index {
    /// The paths whose values are kept while a document is tracked, because not only columns need them.
    paths: Vec<Path>,
    columns: Vec<PathColumns>,
    checks: Checks,
    /// How many trackers are dense.
    dense: usize,
    sparse: Vec<SparsePath>,
    /// Conditions that no column supports and that many dense trackers have.
    shared: Vec<Shared>,
    predicates: Vec<Predicate>,
    /// Whether any tracker has predicates.
    asks: bool,
    /// Whether any tracker runs custom code.
    pub(crate) asks_custom: bool,
    /// Where the predicates of each tracker start in `predicate_ids`; has one more entry than there are trackers.
    predicate_starts: Vec<u32>,
    predicate_ids: Vec<u32>,
    /// The distinct paths that are summed.
    sums: Vec<u32>,
    /// One for each tracker: the dense ones in order, then the sparse ones in the order of the posting lists, so that those
    /// in one list share cache lines. Matches are positions in this list.
    pub(crate) hot: Vec<Hot>,
}

/// The columns for one path.
#[derive(Debug)]
struct PathColumns {
    path: Path,
    /// Its number, if its value is kept.
    kept: Option<u32>,
    columns: Vec<Column>,
}

impl PathColumns {
    #[inline]
    fn restrict<'s>(&'s self, value: Option<&Value<'_>>, scratch: &mut Scratch, sets: &mut SmallVec<[&'s [u64]; 8]>) {
        for column in &self.columns {
            if let Some(set) = column.restrict(value, scratch) {
                sets.push(set);
            }
        }
    }
}

#[derive(Debug)]
struct SparsePath {
    path: u32,
    postings: column::ScalarMap<Vec<u32>>,
}

/// A condition that is evaluated at most once per document.
#[derive(Debug)]
enum Predicate {
    /// The test at one place in the set, which is not copied.
    Leaf {
        path: u32,
        tracker: u32,
        condition: u32,
    },
    Tree(Box<Tree>),
    /// A condition that runs custom code.
    Custom(Box<Condition>),
}

/// A condition with numbered paths.
#[derive(Clone, Debug)]
enum Tree {
    Test(u32, Test),
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    /// With the paths of both values.
    Fields(u32, u32, Box<FieldComparison>),
    Items(u32, Box<Items>),
}

/// A condition of many trackers, evaluated once for all of them.
#[derive(Debug)]
struct Shared {
    tree: Tree,
    /// The trackers without it.
    outside: Box<[u64]>,
}

impl Shared {
    #[inline]
    fn restrict(&self, index: &Index, view: &mut View<'_>, scratch: &mut Scratch) {
        let concerns_any =
            scratch.words.iter().zip(&self.outside).fold(0, |any, (word, outside)| any | (word & !outside));
        if concerns_any != 0 && !self.tree.holds(index, view) {
            column::intersect(&mut scratch.words, &self.outside);
        }
    }
}

/// The values of one document, each looked up at most once.
pub(crate) struct View<'d> {
    pub(crate) document: &'d dyn Document,
    values: SmallVec<[Option<Option<Value<'d>>>; 4]>,
}

impl<'d> View<'d> {
    #[inline]
    pub(crate) fn new(document: &'d dyn Document, index: &Index) -> Self {
        Self { document, values: index.paths.iter().map(|_| None).collect() }
    }

    #[inline]
    fn value(&mut self, index: &Index, path: u32) -> Option<&Value<'d>> {
        let document = self.document;
        let paths = &index.paths;
        self.values[path as usize].get_or_insert_with(|| document.value_at(&paths[path as usize])).as_ref()
    }
}

/// Numbers distinct paths.
#[derive(Default)]
struct Paths {
    list: Vec<Path>,
    numbers: HashMap<Path, u32>,
}

impl Paths {
    fn number(&mut self, path: &Path) -> u32 {
        *self.numbers.entry(path.clone()).or_insert_with(|| {
            self.list.push(path.clone());
            self.list.len() as u32 - 1
        })
    }
}

impl Index {
    pub(crate) fn compile(trackers: &[std::sync::Arc<TrackerDefinition>]) -> Self {
        let mut paths = Paths::default();
        let mut column_paths = Paths::default();
        let access = sparse_access(trackers);
        let dense = access.iter().filter(|access| access.is_none()).count();
        let mut sparse: Vec<SparsePath> = Vec::new();
        let mut columns = ColumnBuilder::new(dense);
        let mut predicates = Predicates::default();
        let mut predicate_starts = Vec::with_capacity(trackers.len() + 1);
        let mut next_dense = 0;
        for (at, tracker) in trackers.iter().enumerate() {
            predicate_starts.push(predicates.ids.len() as u32);
            for (position, condition) in custom_last(tracker.conditions()) {
                let (key, test, negated) = match condition {
                    Condition::Test { key, test } => (key, test, false),
                    Condition::Not(part) => match &**part {
                        Condition::Test { key, test } if access[at].is_none() => (key, test, true),
                        _ => {
                            predicates.tree(condition, &mut paths);
                            continue;
                        }
                    },
                    _ => {
                        predicates.tree(condition, &mut paths);
                        continue;
                    }
                };
                let taken = match access[at] {
                    Some(chosen) => chosen as usize == position,
                    None => columns.add(next_dense, column_paths.number(key), test, negated),
                };
                if negated && !taken {
                    predicates.tree(condition, &mut paths);
                    continue;
                }
                if !taken {
                    predicates.leaf(condition, paths.number(key), at as u32, position as u32);
                }
            }
            match access[at] {
                Some(chosen) => post(&mut sparse, &mut paths, &tracker.conditions()[chosen as usize], at as u32),
                None => next_dense += 1,
            }
        }
        predicate_starts.push(predicates.ids.len() as u32);
        let shared = predicates.share(&mut predicate_starts, &access, dense, trackers);

        let mut index = Self {
            columns: Vec::new(),
            checks: Checks::default(),
            dense,
            sparse,
            shared,
            predicates: predicates.list,
            asks: !predicates.ids.is_empty(),
            asks_custom: trackers.iter().any(|tracker| tracker.asks_custom()),
            predicate_starts,
            predicate_ids: predicates.ids,
            sums: Vec::new(),
            hot: Vec::with_capacity(trackers.len()),
            paths: Vec::new(),
        };
        let mut sums = HashMap::new();
        for at in index.arrange(&access) {
            let tracker = &trackers[at];
            let amount = match tracker.kind().source() {
                Source::One => COUNT,
                Source::Asked => ASKED,
                Source::NumberAt(key) => {
                    let path = paths.number(key);
                    *sums.entry(path).or_insert_with(|| {
                        index.sums.push(path);
                        FIRST_SUM + index.sums.len() as u32 - 1
                    })
                }
            };
            let start = index.predicate_starts[at];
            let count = index.predicate_starts[at + 1] - start;
            index.hot.push(Hot {
                target: tracker.goals()[0],
                amount,
                tracker: at as u32,
                predicate: index.predicate_ids.get(start as usize).copied().unwrap_or(0),
                predicates: count.min(2) as u8,
                asks_custom: tracker.conditions().iter().any(Condition::asks_custom),
                plain: tracker.limiters().is_empty() && amount != ASKED,
            });
        }
        let (columns, checks) = columns.build(&column_paths.list);
        let kept = |path: &Path| paths.numbers.get(path).copied();
        let columns = columns.into_iter().map(|(path, columns)| {
            let path = column_paths.list[path as usize].clone();
            PathColumns { kept: kept(&path), path, columns }
        });
        index.checks = checks;
        index.checks.keep(kept);
        index.columns = columns.collect();
        index.paths = paths.list;
        index
    }

    /// The order of the trackers in `hot`, and the posting lists in positions of that order.
    fn arrange(&mut self, access: &[Option<u32>]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..access.len()).filter(|&at| access[at].is_none()).collect();
        let mut positions = vec![None; access.len()];
        for sparse in &mut self.sparse {
            for posting in sparse.postings.values_mut() {
                for at in posting {
                    let tracker = *at as usize;
                    *at = *positions[tracker].get_or_insert_with(|| {
                        order.push(tracker);
                        order.len() as u32 - 1
                    });
                }
            }
        }
        order
    }

    /// Whether every tracker has the same position in `hot` as in the set.
    #[inline]
    pub(crate) fn is_dense(&self) -> bool {
        self.sparse.is_empty()
    }

    /// Puts the positions of matching trackers into `scratch.matches`, in the order of the trackers. Trackers that pass every
    /// column and posting list but have predicates must also pass `ask`, which gets what it needs for
    /// [`holds`](Self::holds).
    #[inline]
    pub(crate) fn select<'d>(
        &self,
        view: &mut View<'d>,
        scratch: &mut Scratch,
        mut ask: impl FnMut(&Hot, &mut View<'d>, &mut Scratch) -> bool,
    ) {
        scratch.begin(self.predicates.len());
        if self.dense > 0 {
            scratch.fill(self.dense);
            let mut sets: SmallVec<[&[u64]; 8]> = SmallVec::new();
            for path in &self.columns {
                let value = view.document.value_at(&path.path);
                path.restrict(value.as_ref(), scratch, &mut sets);
                // Moved only after its use, which would otherwise wait for the move.
                if let Some(kept) = path.kept {
                    view.values[kept as usize] = Some(value);
                }
            }
            column::intersect_all(&mut scratch.words, &sets);
            for shared in &self.shared {
                shared.restrict(self, view, scratch);
            }
            scratch.collect();
            if !self.checks.is_empty() {
                let (matches, _) = scratch.matches();
                let kept = self.checks.retain(self, view, matches);
                scratch.truncate(kept);
            }
        }
        let dense = scratch.matches().0.len();
        for sparse in &self.sparse {
            if let Some(value) = view.value(self, sparse.path)
                && let Some(posting) = sparse.postings.get(value)
            {
                scratch.extend(posting);
            }
        }
        let sorted = scratch.matches().0.len() == dense || (dense == 0 && self.sparse.len() == 1);
        if self.asks {
            scratch.retain(|at, scratch| {
                let hot = &self.hot[at as usize];
                !hot.has_predicates() || ask(hot, view, scratch)
            });
        }
        if !sorted {
            scratch.matches().0.sort_unstable_by_key(|&at| self.hot[at as usize].tracker);
        }
    }

    /// Whether `tracker` passes its predicates.
    #[inline]
    pub(crate) fn holds(
        &self,
        hot: &Hot,
        trackers: &[std::sync::Arc<TrackerDefinition>],
        view: &mut View<'_>,
        scratch: &mut Scratch,
        registry: &Registry,
    ) -> Result<bool, CustomError> {
        match hot.predicates {
            0 => Ok(true),
            1 => self.predicate_holds(hot.predicate, trackers, view, scratch, registry),
            _ => {
                let range =
                    self.predicate_starts[hot.tracker as usize]..self.predicate_starts[hot.tracker as usize + 1];
                for &id in &self.predicate_ids[range.start as usize..range.end as usize] {
                    if !self.predicate_holds(id, trackers, view, scratch, registry)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
        }
    }

    #[inline]
    fn predicate_holds(
        &self,
        id: u32,
        trackers: &[std::sync::Arc<TrackerDefinition>],
        view: &mut View<'_>,
        scratch: &mut Scratch,
        registry: &Registry,
    ) -> Result<bool, CustomError> {
        if let Some(holds) = scratch.memory(id) {
            return Ok(holds);
        }
        let holds = match &self.predicates[id as usize] {
            Predicate::Leaf { path, tracker, condition } => {
                let condition = &trackers[*tracker as usize].conditions()[*condition as usize];
                let Condition::Test { test, .. } = condition else { unreachable!("a leaf is a test") };
                test.holds(view.value(self, *path))
            }
            // A failure is not cached, since each tracker concerned is listed with it.
            Predicate::Tree(tree) => tree.holds(self, view),
            Predicate::Custom(condition) => condition.holds(view.document, registry)?,
        };
        scratch.memorize(id, holds);
        Ok(holds)
    }

    /// The value that the trackers with this [`Hot::amount`] add up.
    pub(crate) fn summed<'v, 'd>(&self, sum: u32, view: &'v mut View<'d>) -> Option<&'v Value<'d>> {
        view.value(self, self.sums[(sum - FIRST_SUM) as usize])
    }

    /// The [`Hot::amount`]s of values that are read from the document.
    pub(crate) fn sums(&self) -> std::ops::Range<u32> {
        FIRST_SUM..FIRST_SUM + self.sums.len() as u32
    }
}

/// For each tracker, the position of the equality test that it is found by, if one is selective.
fn sparse_access(trackers: &[std::sync::Arc<TrackerDefinition>]) -> Vec<Option<u32>> {
    let mut access = vec![None; trackers.len()];
    if trackers.len() < SPARSE_FROM {
        return access;
    }
    let mut sizes: HashMap<(&str, Scalar), usize> = HashMap::new();
    for tracker in trackers {
        for condition in tracker.conditions() {
            if let Condition::Test { key, test } = condition {
                for value in column::equal_values(test).unwrap_or_default() {
                    *sizes.entry((key.as_str(), value)).or_default() += 1;
                }
            }
        }
    }
    for (tracker, access) in trackers.iter().zip(&mut access) {
        let candidates = tracker.conditions().iter().enumerate().filter_map(|(position, condition)| {
            let Condition::Test { key, test } = condition else { return None };
            let size: usize = column::equal_values(test)?.into_iter().map(|value| sizes[&(key.as_str(), value)]).sum();
            Some((size, position as u32))
        });
        *access =
            candidates.min().filter(|(size, _)| size * SELECTIVE_SHARE <= trackers.len()).map(|(_, position)| position);
    }
    access
}

/// Adds `tracker` to the posting lists of its access test.
fn post(sparse: &mut Vec<SparsePath>, paths: &mut Paths, condition: &Condition, tracker: u32) {
    let Condition::Test { key, test } = condition else { unreachable!("an access is a test") };
    let path = paths.number(key);
    let at = sparse.iter().position(|entry| entry.path == path).unwrap_or_else(|| {
        sparse.push(SparsePath { path, postings: column::ScalarMap::default() });
        sparse.len() - 1
    });
    for value in column::equal_values(test).unwrap_or_default() {
        sparse[at].postings.entry(value).push(tracker);
    }
}

/// Numbers distinct predicates.
#[derive(Default)]
struct Predicates {
    list: Vec<Predicate>,
    ids: Vec<u32>,
    numbers: HashMap<String, u32>,
}

impl Predicates {
    fn leaf(&mut self, condition: &Condition, path: u32, tracker: u32, position: u32) {
        self.add(condition, || Predicate::Leaf { path, tracker, condition: position });
    }

    fn tree(&mut self, condition: &Condition, paths: &mut Paths) {
        self.add(condition, || match condition.asks_custom() {
            true => Predicate::Custom(Box::new(condition.clone())),
            false => Predicate::Tree(Box::new(Tree::of(condition, paths))),
        });
    }

    /// Removes predicates that many dense trackers have from the lists of those trackers.
    fn share(
        &mut self,
        starts: &mut [u32],
        access: &[Option<u32>],
        dense: usize,
        trackers: &[std::sync::Arc<TrackerDefinition>],
    ) -> Vec<Shared> {
        let range = |starts: &[u32], at: usize| starts[at] as usize..starts[at + 1] as usize;
        let mut members = vec![Vec::new(); self.list.len()];
        let of_dense = (0..access.len()).filter(|&at| access[at].is_none());
        for (position, at) in of_dense.enumerate() {
            for &id in &self.ids[range(starts, at)] {
                members[id as usize].push(position as u32);
            }
        }
        let mut shared = Vec::new();
        let mut is_shared = vec![false; self.list.len()];
        for ((predicate, members), is_shared) in self.list.iter().zip(&members).zip(&mut is_shared) {
            if members.len() * column::SET_BITS_A_TRACKER < dense {
                continue;
            }
            let tree = match predicate {
                Predicate::Leaf { path, tracker, condition } => {
                    let condition = &trackers[*tracker as usize].conditions()[*condition as usize];
                    let Condition::Test { test, .. } = condition else { unreachable!("a leaf is a test") };
                    Tree::Test(*path, test.clone())
                }
                Predicate::Tree(tree) => (**tree).clone(),
                Predicate::Custom(_) => continue,
            };
            *is_shared = true;
            shared.push(Shared { tree, outside: column::without(dense, members) });
        }
        let mut ids = Vec::new();
        for at in 0..access.len() {
            let own = range(starts, at);
            starts[at] = ids.len() as u32;
            ids.extend(self.ids[own].iter().filter(|id| access[at].is_some() || !is_shared[**id as usize]));
        }
        starts[access.len()] = ids.len() as u32;
        self.ids = ids;
        shared
    }

    fn add(&mut self, condition: &Condition, predicate: impl FnOnce() -> Predicate) {
        let Self { list, ids, numbers } = self;
        let id = *numbers.entry(condition.to_json().to_string()).or_insert_with(|| {
            list.push(predicate());
            list.len() as u32 - 1
        });
        ids.push(id);
    }
}

impl Tree {
    /// Numbers the paths of a condition that runs no custom code.
    fn of(condition: &Condition, paths: &mut Paths) -> Self {
        let mut parts = |parts: &[Condition]| parts.iter().map(|part| Self::of(part, paths)).collect();
        match condition {
            Condition::All(all) => Self::All(parts(all)),
            Condition::Any(any) => Self::Any(parts(any)),
            Condition::Not(part) => Self::Not(Box::new(Self::of(part, paths))),
            Condition::Test { key, test } => Self::Test(paths.number(key), test.clone()),
            Condition::Fields(fields) => {
                Self::Fields(paths.number(&fields.key), paths.number(&fields.other), Box::new(fields.clone()))
            }
            Condition::Items(items) => Self::Items(paths.number(&items.key), Box::new(items.clone())),
            Condition::Custom { .. } => unreachable!("a tree asks no custom condition"),
        }
    }

    fn holds(&self, index: &Index, view: &mut View<'_>) -> bool {
        match self {
            Self::Test(path, test) => test.holds(view.value(index, *path)),
            Self::All(parts) => parts.iter().all(|part| part.holds(index, view)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(index, view)),
            Self::Not(part) => !part.holds(index, view),
            Self::Fields(key, other, fields) => {
                // One of the two is copied, since looking up a value borrows all values found so far.
                let value = view.value(index, *key).cloned();
                fields.compare(value.as_ref(), view.value(index, *other))
            }
            // Only custom conditions can fail, and there are none here.
            Self::Items(key, items) => items.holds(view.value(index, *key), &Registry::default()).unwrap_or(false),
        }
    }
}

/// Whether an operand can be the key of a column: a scalar, and if a number, exact.
fn scalar(value: &Json) -> Option<Scalar> {
    Scalar::of(&Value::from(value))
}
