//! Which fields of a hash have the states of the group's trackers.
//!
//! A tracker has a field of its own, `t:<name>`, unless the group has [many](FEW) of them. There, one document may change
//! hundreds, and writing as many fields would take Redis longer than everything else in the call. Such a group has blocks
//! of trackers, `b:<number>`, and on top of them one field for each of the latest versions, `d:<version>`, with the states
//! that it changed. Once there are enough of those, the next swap writes the blocks that they changed, and removes them.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use dictrack_core::group::{DefinitionSet, GroupChange, StoredTracker};
use dictrack_core::json::{Json, write_text};

use super::hash::{Unreadable, in_field, number, parse};
use super::texts::Texts;

/// A group with more trackers than this has blocks. Groups with fewer are as earlier versions of dictrack wrote all.
const FEW: usize = 128;
/// The number of trackers in a block.
const BLOCK: usize = 128;
/// At most this many versions have a field of their own.
const VERSIONS: usize = 24;
/// Together, the fields of versions have at most this many states for each tracker of the group.
const REPEATED: usize = 4;

/// How a group in Redis has the states of its trackers.
#[derive(Clone, Debug, Default)]
pub(super) enum Layout {
    /// A field for each.
    #[default]
    Fields,
    Blocks(Changes),
}

/// What the fields of versions have that is not in the blocks yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    versions: Vec<u64>,
    /// The number of states in them.
    states: usize,
    /// Whether they changed trackers of a block, for each block.
    blocks: Vec<bool>,
}

impl Layout {
    /// Writes what a change did to trackers, into the fields of a swap, and returns the layout that they make. `before` has the
    /// definitions of the group so far; `None` if Redis does not have it.
    pub(super) fn write(
        &self,
        before: Option<&DefinitionSet>,
        change: &GroupChange,
        set: &mut Texts,
        gone: &mut Vec<String>,
    ) -> Self {
        let trackers = change.set.trackers();
        let many = trackers.len() > FEW;
        match (self, &change.changed) {
            (Self::Fields, Some(changed)) if !many => write_fields(change, changed, set),
            (Self::Blocks(changes), Some(changed)) if many => return changes.write(change, changed, set, gone),
            _ => {
                if let Some(before) = before {
                    self.remove(before, many, &change.set, gone);
                }
                if many {
                    (0..trackers.len().div_ceil(BLOCK)).for_each(|block| write_block(change, block, set));
                    return Self::Blocks(Changes::default());
                }
                write_fields(change, &(0..trackers.len() as u32).collect::<Vec<_>>(), set);
            }
        }
        Self::Fields
    }

    /// Whether both have the same kinds of fields.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// Names the fields of the trackers `before` that are not written again for those of `after`.
    fn remove(&self, before: &DefinitionSet, many: bool, after: &DefinitionSet, gone: &mut Vec<String>) {
        match self {
            Self::Fields => {
                let lost = before.trackers().iter().map(|tracker| tracker.name());
                let lost = lost.filter(|name| many || after.position(name).is_none());
                gone.extend(lost.map(|name| format!("t:{name}")));
            }
            Self::Blocks(changes) => {
                let blocks = |set: &DefinitionSet| set.trackers().len().div_ceil(BLOCK);
                let first = if many { blocks(after) } else { 0 };
                gone.extend((first..blocks(before)).map(|block| format!("b:{block}")));
                changes.remove(gone);
            }
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Fields => 0,
            Self::Blocks(changes) => changes.versions.capacity() * size_of::<u64>() + changes.blocks.capacity(),
        }
    }
}

impl Changes {
    fn write(&self, change: &GroupChange, changed: &[u32], set: &mut Texts, gone: &mut Vec<String>) -> Layout {
        let mut after = self.clone();
        if changed.is_empty() {
            return Layout::Blocks(after);
        }
        after.add(change.version, changed.iter().map(|&at| at as usize));
        if after.versions.len() <= VERSIONS && after.states <= REPEATED * change.set.trackers().len() {
            set.push_with(|out| {
                let _ = write!(out, "d:{}", change.version);
            });
            set.push_with(|out| write_states(change, changed.iter().map(|&at| at as usize), out));
            return Layout::Blocks(after);
        }
        let touched = (0..).zip(&after.blocks).filter(|(_, touched)| **touched);
        touched.for_each(|(block, _)| write_block(change, block, set));
        self.remove(gone);
        Layout::Blocks(Self::default())
    }

    fn add(&mut self, version: u64, changed: impl ExactSizeIterator<Item = usize>) {
        self.versions.push(version);
        self.states += changed.len();
        for block in changed.map(|at| at / BLOCK) {
            if block >= self.blocks.len() {
                self.blocks.resize(block + 1, false);
            }
            self.blocks[block] = true;
        }
    }

    fn remove(&self, gone: &mut Vec<String>) {
        gone.extend(self.versions.iter().map(|version| format!("d:{version}")));
    }
}

fn write_fields(change: &GroupChange, positions: &[u32], set: &mut Texts) {
    for at in positions.iter().map(|&at| at as usize) {
        set.push_with(|out| out.extend(["t:", change.set.trackers()[at].name()]));
        set.push_with(|out| change.write_tracker(at, out));
    }
}

fn write_block(change: &GroupChange, block: usize, set: &mut Texts) {
    let end = change.set.trackers().len().min((block + 1) * BLOCK);
    set.push_with(|out| {
        let _ = write!(out, "b:{block}");
    });
    set.push_with(|out| write_states(change, block * BLOCK..end, out));
}

/// Writes a map from the names of trackers to their states.
fn write_states(change: &GroupChange, positions: impl Iterator<Item = usize>, out: &mut String) {
    let mut mark = '{';
    for at in positions {
        out.push(mark);
        let _ = write_text(out, change.set.trackers()[at].name());
        out.push(':');
        change.write_tracker(at, out);
        mark = ',';
    }
    out.push('}');
}

/// The fields with states of trackers that were read, in any order.
#[derive(Debug, Default)]
pub(super) struct States {
    fields: HashMap<String, String>,
    blocks: BTreeMap<u64, String>,
    versions: BTreeMap<u64, String>,
}

/// A field with the states of several trackers: its name, and the position and state of each.
type Several = (String, Vec<(usize, StoredTracker)>);

impl States {
    /// Adds a field; `false` if it is none of these.
    pub(super) fn take(&mut self, name: &str, value: &str) -> Result<bool, Unreadable> {
        match name.split_once(':') {
            Some(("t", tracker)) => drop(self.fields.insert(tracker.to_owned(), value.to_owned())),
            Some(("b", block)) => drop(self.blocks.insert(number(name, block)?, value.to_owned())),
            Some(("d", version)) => drop(self.versions.insert(number(name, version)?, value.to_owned())),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The names of the fields.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        let fields = self.fields.keys().map(|name| format!("t:{name}"));
        let blocks = self.blocks.keys().map(|block| format!("b:{block}"));
        fields.chain(blocks).chain(self.versions.keys().map(|version| format!("d:{version}")))
    }

    /// Whether these are blocks.
    pub(super) fn has_blocks(&self) -> bool {
        !self.blocks.is_empty()
    }

    /// Those of fields that another process wrote, the newest last, and the layout that `before` is by now.
    pub(super) fn changes(
        &self,
        before: &Layout,
        set: &DefinitionSet,
    ) -> Result<(Layout, Vec<(usize, StoredTracker)>), Unreadable> {
        let mut states = Vec::new();
        for (name, text) in &self.fields {
            let field = format!("t:{name}");
            let at = set.position(name).ok_or_else(|| ghost(&field))?;
            states.push((at, of_tracker(&field, text)?));
        }
        let blocks = self.several(&self.blocks, 'b', set)?;
        let versions = self.several(&self.versions, 'd', set)?;
        // Whoever writes blocks removes the fields of all versions so far.
        let mut layout = if blocks.is_empty() { before.clone() } else { Layout::Blocks(Changes::default()) };
        for (version, (name, states)) in self.versions.keys().zip(&versions) {
            match &mut layout {
                Layout::Fields => return Err(without_blocks(name)),
                Layout::Blocks(changes) => changes.add(*version, states.iter().map(|(at, _)| *at)),
            }
        }
        states.extend(blocks.into_iter().chain(versions).flat_map(|(_, states)| states));
        Ok((layout, states))
    }

    /// The states of all trackers of a group of this version, in the order of the set.
    pub(super) fn whole(&self, set: &DefinitionSet, version: u64) -> Result<(Layout, Vec<StoredTracker>), Unreadable> {
        if let Some(beyond) = self.versions.keys().find(|field| **field > version) {
            return Err(format!("the field \"d:{beyond}\" belongs to a version that the group never had"));
        }
        if let Some(name) = self.fields.keys().filter(|name| self.has_blocks() || set.position(name).is_none()).min() {
            return Err(ghost(&format!("t:{name}")));
        }
        if !self.has_blocks() {
            if let Some(version) = self.versions.keys().next() {
                return Err(without_blocks(&format!("d:{version}")));
            }
            let state = |name: &str| {
                let field = format!("t:{name}");
                let text = self.fields.get(name).ok_or_else(|| missing(&field))?;
                of_tracker(&field, text)
            };
            let states = set.trackers().iter().map(|tracker| state(tracker.name())).collect::<Result<_, _>>()?;
            return Ok((Layout::Fields, states));
        }
        if let Some(block) =
            self.blocks.keys().next_back().filter(|&&last| last as usize * BLOCK >= set.trackers().len())
        {
            return Err(ghost(&format!("b:{block}")));
        }
        let mut states = vec![None; set.trackers().len()];
        for (block, (name, some)) in self.blocks.keys().zip(self.several(&self.blocks, 'b', set)?) {
            if let Some((at, _)) = some.iter().find(|(at, _)| (at / BLOCK) as u64 != *block) {
                let tracker = set.trackers()[*at].name();
                return Err(format!("the field {name:?} has the tracker {tracker:?}, which belongs to another block"));
            }
            some.into_iter().for_each(|(at, state)| states[at] = Some(state));
        }
        if let Some(at) = states.iter().position(Option::is_none) {
            let tracker = set.trackers()[at].name();
            return Err(format!("the field \"b:{}\" lacks the tracker {tracker:?}", at / BLOCK));
        }
        let mut changes = Changes::default();
        for (version, (_, some)) in self.versions.keys().zip(self.several(&self.versions, 'd', set)?) {
            changes.add(*version, some.iter().map(|(at, _)| *at));
            some.into_iter().for_each(|(at, state)| states[at] = Some(state));
        }
        Ok((Layout::Blocks(changes), states.into_iter().flatten().collect()))
    }

    fn several(
        &self,
        fields: &BTreeMap<u64, String>,
        letter: char,
        set: &DefinitionSet,
    ) -> Result<Vec<Several>, Unreadable> {
        let read = |(number, text): (&u64, &String)| {
            let field = format!("{letter}:{number}");
            let parsed = parse(&field, text)?;
            let Json::Map(map) = parsed else { return Err(format!("the field {field:?} is not a map of trackers")) };
            let state = |(name, state): (&str, &Json)| {
                let at = set
                    .position(name)
                    .ok_or_else(|| format!("the field {field:?} has {name:?}, which is not a tracker of the group"))?;
                Ok((at, StoredTracker::from(state.clone())))
            };
            let states = map.iter().map(state).collect::<Result<_, Unreadable>>()?;
            Ok((field, states))
        };
        fields.iter().map(read).collect()
    }
}

fn of_tracker(field: &str, text: &str) -> Result<StoredTracker, Unreadable> {
    StoredTracker::parse(text).map_err(|error| in_field(field, &error))
}

fn ghost(field: &str) -> Unreadable {
    format!("the field {field:?} belongs to no tracker of the group")
}

fn missing(field: &str) -> Unreadable {
    format!("the field {field:?} is missing")
}

fn without_blocks(field: &str) -> Unreadable {
    format!("the field {field:?} is in a group without blocks of trackers")
}
