//! The compiled index of a definition set: which trackers a document matches.
//!
//! Cost follows matches, not trackers. This is the counting algorithm with access predicates (Fabret et al., "Filtering
//! algorithms and implementation for very fast publish/subscribe systems", SIGMOD 2001; Zhang et al., A-Tree, SIGMOD
//! 2021), laid out as bit sets:
//!
//! - A tracker with a selective equality test is *sparse*: it stands in the posting list of that test's value and is
//!   looked at only where a document has the value.
//! - All others are *dense*: each indexable test belongs to a [`Column`], a column turns a document's value into the set
//!   of trackers that may pass, and the sets are intersected word by word.
//! - What no column can answer (negatives, `contains`, `any`, custom …) is a [`Predicate`], evaluated at most once a
//!   document and only for trackers that all else lets pass.

use std::collections::HashMap;

use smallvec::SmallVec;

use crate::amount::Amount;
use crate::condition::{Condition, Test};
use crate::custom::{CustomError, Registry};
use crate::definition::{Kind, TrackerDefinition, condition_json};
use crate::document::{Document, Value};
use crate::json::Json;
use crate::path::Path;

mod column;
mod scratch;

use column::{Column, ColumnBuilder, Scalar};
pub(crate) use scratch::Scratch;

/// A set smaller than this has no sparse trackers: intersecting its few words is cheaper.
const SPARSE_FROM: usize = 4096;
/// A posting list is selective if it holds at most this share of the trackers.
const SELECTIVE_SHARE: usize = 128;

/// What `track` needs of one tracker for the common case, in half a cache line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hot {
    /// Its first target.
    pub(crate) target: Amount,
    /// Which of the sums it adds, counted from one; [`COUNT`] adds one, [`CUSTOM`] asks a measure.
    pub(crate) amount: u32,
    /// The position of the tracker in its set.
    pub(crate) tracker: u32,
    /// Its first predicate.
    predicate: u32,
    /// How many predicates it has: none, one, or more, which are looked up.
    predicates: u8,
    /// Whether nothing but conditions and targets decides: it has no limiters and no measure.
    pub(crate) plain: bool,
}

impl Hot {
    /// Whether [`Index::holds`] has to be asked.
    #[inline]
    pub(crate) fn has_predicates(&self) -> bool {
        self.predicates > 0
    }
}

/// [`Hot::amount`] of a `count` tracker: the sum that is always one.
pub(crate) const COUNT: u32 = 0;
/// [`Hot::amount`] of a `custom` tracker.
pub(crate) const CUSTOM: u32 = u32::MAX;

/// The compiled form of a definition set.
#[derive(Debug)]
pub(crate) struct Index {
    paths: Vec<Path>,
    columns: Vec<Column>,
    /// How many trackers are dense.
    dense: usize,
    sparse: Vec<SparsePath>,
    predicates: Vec<Predicate>,
    /// Where the predicates of each tracker begin in `predicate_ids`; one more than there are trackers.
    predicate_starts: Vec<u32>,
    predicate_ids: Vec<u32>,
    /// The distinct paths that are summed.
    sums: Vec<u32>,
    /// One for each tracker: the dense ones in order, then the sparse ones as they stand in the posting lists, so that
    /// those of one list share cache lines. Matches are positions in this list.
    pub(crate) hot: Vec<Hot>,
}

#[derive(Debug)]
struct SparsePath {
    path: u32,
    postings: column::ScalarMap<Vec<u32>>,
}

/// A condition that is evaluated at most once a document.
#[derive(Debug)]
enum Predicate {
    /// The test at one place of the set: kept there, not copied.
    Leaf {
        path: u32,
        tracker: u32,
        condition: u32,
    },
    Tree(Box<Tree>),
}

/// A condition whose paths are numbered.
#[derive(Debug)]
enum Tree {
    Test(u32, Test),
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Custom(Condition),
}

/// The values of one document, each looked up at most once.
pub(crate) struct View<'d> {
    pub(crate) document: &'d dyn Document,
    values: SmallVec<[Option<Option<Value<'d>>>; 4]>,
}

impl<'d> View<'d> {
    #[inline]
    pub(crate) fn new(document: &'d dyn Document, index: &Index) -> Self {
        let mut values = SmallVec::new();
        values.resize_with(index.paths.len(), || None);
        Self { document, values }
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
        let access = sparse_access(trackers);
        let dense = access.iter().filter(|access| access.is_none()).count();
        let mut sparse: Vec<SparsePath> = Vec::new();
        let mut columns = ColumnBuilder::new(dense);
        let mut predicates = Predicates::default();
        let mut predicate_starts = Vec::with_capacity(trackers.len() + 1);
        let mut next_dense = 0;
        for (at, tracker) in trackers.iter().enumerate() {
            predicate_starts.push(predicates.ids.len() as u32);
            let conditions = tracker.conditions().iter().enumerate();
            let (custom, own): (Vec<_>, Vec<_>) = conditions.partition(|(_, condition)| condition.asks_custom());
            for (position, condition) in own.into_iter().chain(custom) {
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
                let path = paths.number(key);
                let taken = match access[at] {
                    Some(chosen) => chosen as usize == position,
                    None => columns.add(next_dense, path, test, negated),
                };
                if negated && !taken {
                    predicates.tree(condition, &mut paths);
                    continue;
                }
                if !taken {
                    predicates.leaf(condition, path, at as u32, position as u32);
                }
            }
            match access[at] {
                Some(chosen) => post(&mut sparse, &mut paths, &tracker.conditions()[chosen as usize], at as u32),
                None => next_dense += 1,
            }
        }
        predicate_starts.push(predicates.ids.len() as u32);

        let mut index = Self {
            columns: columns.build(),
            dense,
            sparse,
            predicates: predicates.list,
            predicate_starts,
            predicate_ids: predicates.ids,
            sums: Vec::new(),
            hot: Vec::with_capacity(trackers.len()),
            paths: Vec::new(),
        };
        let mut sums = HashMap::new();
        for at in index.arrange(&access) {
            let tracker = &trackers[at];
            let amount = match tracker.kind() {
                Kind::Count => COUNT,
                Kind::Custom { .. } => CUSTOM,
                Kind::Sum(key) => {
                    let path = paths.number(key);
                    *sums.entry(path).or_insert_with(|| {
                        index.sums.push(path);
                        index.sums.len() as u32
                    })
                }
            };
            let start = index.predicate_starts[at];
            let count = index.predicate_starts[at + 1] - start;
            index.hot.push(Hot {
                target: tracker.targets()[0],
                amount,
                tracker: at as u32,
                predicate: index.predicate_ids.get(start as usize).copied().unwrap_or(0),
                predicates: count.min(2) as u8,
                plain: tracker.limiters().is_empty() && amount != CUSTOM,
            });
        }
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

    /// Whether any tracker has predicates.
    #[inline]
    pub(crate) fn has_predicates(&self) -> bool {
        !self.predicates.is_empty()
    }

    /// Whether every tracker stands in `hot` where it stands in the set.
    #[inline]
    pub(crate) fn is_dense(&self) -> bool {
        self.sparse.is_empty()
    }

    /// Puts the positions of the trackers that pass every column and posting list into `scratch.matches`, in the order of
    /// the trackers. Those with predicates still have to pass [`holds`](Self::holds).
    pub(crate) fn select(&self, view: &mut View<'_>, scratch: &mut Scratch) {
        scratch.matches.clear();
        if self.dense > 0 {
            scratch.fill(self.dense);
            for column in &self.columns {
                column.restrict(view.value(self, column.path()), scratch);
            }
            scratch.collect();
        }
        let dense = scratch.matches.len();
        for sparse in &self.sparse {
            if let Some(value) = view.value(self, sparse.path)
                && let Some(posting) = sparse.postings.get(value)
            {
                scratch.matches.extend_from_slice(posting);
            }
        }
        if scratch.matches.len() > dense && (dense > 0 || self.sparse.len() > 1) {
            scratch.matches.sort_unstable_by_key(|&at| self.hot[at as usize].tracker);
        }
        scratch.remember(self.predicates.len());
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
            // A failure is not remembered: each tracker concerned is listed with it.
            Predicate::Tree(tree) => self.tree_holds(tree, view, registry)?,
        };
        scratch.memorize(id, holds);
        Ok(holds)
    }

    fn tree_holds(&self, tree: &Tree, view: &mut View<'_>, registry: &Registry) -> Result<bool, CustomError> {
        match tree {
            Tree::Test(path, test) => Ok(test.holds(view.value(self, *path))),
            Tree::All(parts) => {
                for part in parts {
                    if !self.tree_holds(part, view, registry)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Tree::Any(parts) => {
                for part in parts {
                    if self.tree_holds(part, view, registry)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Tree::Not(part) => Ok(!self.tree_holds(part, view, registry)?),
            Tree::Custom(condition) => condition.holds(view.document, registry),
        }
    }

    /// The value that sum number `sum`, counted from one, adds up.
    pub(crate) fn summed<'v, 'd>(&self, sum: u32, view: &'v mut View<'d>) -> Option<&'v Value<'d>> {
        view.value(self, self.sums[sum as usize - 1])
    }

    /// How many distinct paths are summed.
    pub(crate) fn sums(&self) -> usize {
        self.sums.len()
    }
}

/// For each tracker the position of the equality test that it is found by, if one is selective.
fn sparse_access(trackers: &[std::sync::Arc<TrackerDefinition>]) -> Vec<Option<u32>> {
    let mut access = vec![None; trackers.len()];
    if trackers.len() < SPARSE_FROM {
        return access;
    }
    let mut sizes: HashMap<(&Path, Scalar), usize> = HashMap::new();
    for tracker in trackers {
        for condition in tracker.conditions() {
            if let Condition::Test { key, test } = condition {
                for value in column::equal_values(test).unwrap_or_default() {
                    *sizes.entry((key, value)).or_default() += 1;
                }
            }
        }
    }
    for (tracker, access) in trackers.iter().zip(&mut access) {
        let candidates = tracker.conditions().iter().enumerate().filter_map(|(position, condition)| {
            let Condition::Test { key, test } = condition else { return None };
            let size: usize = column::equal_values(test)?.into_iter().map(|value| sizes[&(key, value)]).sum();
            Some((size, position as u32))
        });
        *access =
            candidates.min().filter(|(size, _)| size * SELECTIVE_SHARE <= trackers.len()).map(|(_, position)| position);
    }
    access
}

/// Enters `tracker` into the posting lists of its access test.
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
        self.add(condition, || Predicate::Tree(Box::new(Tree::of(condition, paths))));
    }

    fn add(&mut self, condition: &Condition, predicate: impl FnOnce() -> Predicate) {
        let Self { list, ids, numbers } = self;
        let id = *numbers.entry(condition_json(condition).to_string()).or_insert_with(|| {
            list.push(predicate());
            list.len() as u32 - 1
        });
        ids.push(id);
    }
}

impl Tree {
    fn of(condition: &Condition, paths: &mut Paths) -> Self {
        let mut parts = |parts: &[Condition]| parts.iter().map(|part| Self::of(part, paths)).collect();
        match condition {
            Condition::All(all) => Self::All(parts(all)),
            Condition::Any(any) => Self::Any(parts(any)),
            Condition::Not(part) => Self::Not(Box::new(Self::of(part, paths))),
            Condition::Test { key, test } => Self::Test(paths.number(key), test.clone()),
            Condition::Custom { .. } => Self::Custom(condition.clone()),
        }
    }
}

/// Whether an operand can be the key of a column: a scalar on the grid.
fn scalar(value: &Json) -> Option<Scalar> {
    Scalar::of(&Value::from(value))
}
