//! A disk that keeps what was synced, and a random part of everything else.
//!
//! Until a file is synced, each of its sectors, and its length, may be on the disk as it was at any time since the last sync.
//! Until the folder is synced, each change of a name may be on the disk or not.

use std::collections::{BTreeMap, HashMap};

use super::trace::{File, Step};
use crate::common::Random;

/// What a power failure leaves of changes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    Nothing,
    Everything,
    /// Everything before some point.
    Before,
    /// Some of the writes, each completely.
    Writes,
    /// Some sectors of this many bytes.
    Sectors(usize),
}

impl Left {
    pub(crate) const ALL: [Self; 6] =
        [Self::Nothing, Self::Sectors(512), Self::Writes, Self::Everything, Self::Before, Self::Sectors(4096)];
}

/// The files of a folder after a power failure.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

#[derive(Debug, Default)]
pub(crate) struct Disk {
    files: HashMap<File, Content>,
    names: BTreeMap<String, File>,
    /// Changes of names that were not synced, each with the number of its step.
    renamed: Vec<(usize, Name)>,
    steps: usize,
    /// Whether syncs do nothing.
    lies: bool,
}

#[derive(Debug, Default)]
struct Content {
    synced: Vec<u8>,
    /// Changes since, each with the number of its step.
    changes: Vec<(usize, Change)>,
}

#[derive(Debug)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Truncate(usize),
}

#[derive(Debug)]
enum Name {
    Given(String, File),
    Taken(String),
    Moved { from: String, to: String, file: File },
}

impl Change {
    fn size_after(&self, before: usize) -> usize {
        match self {
            Self::Write { at, bytes } => before.max(at + bytes.len()),
            Self::Truncate(size) => *size,
        }
    }

    /// Applies this change to the bytes from `from` to `to` of `content`.
    fn apply(&self, content: &mut [u8], from: usize, to: usize) {
        match self {
            Self::Write { at, bytes } => {
                let (from, to) = (from.max(*at), to.min(at + bytes.len()));
                if from < to {
                    content[from..to].copy_from_slice(&bytes[from - at..to - at]);
                }
            }
            Self::Truncate(size) => {
                if from.max(*size) < to {
                    content[from.max(*size)..to].fill(0);
                }
            }
        }
    }
}

impl Content {
    fn sync(&mut self) {
        for (_, change) in self.changes.drain(..) {
            self.synced.resize(change.size_after(self.synced.len()), 0);
            let size = self.synced.len();
            change.apply(&mut self.synced, 0, size);
        }
    }

    fn last(&self) -> Vec<u8> {
        self.left(Left::Everything, 0, &mut Random(0))
    }

    /// What a power failure leaves; `moment` is what [`Left::Before`] means.
    fn left(&self, left: Left, moment: usize, random: &mut Random) -> Vec<u8> {
        let count = self.changes.len();
        let before = self.changes.partition_point(|(step, _)| *step < moment);
        let mut sizes = vec![self.synced.len()];
        sizes.extend(self.changes.iter().scan(self.synced.len(), |size, (_, change)| {
            *size = change.size_after(*size);
            Some(*size)
        }));
        let size = match left {
            Left::Nothing => sizes[0],
            Left::Everything => sizes[count],
            Left::Before => sizes[before],
            Left::Writes | Left::Sectors(_) => sizes[random.below(count as u64 + 1) as usize],
        };
        let largest = sizes.iter().copied().max().unwrap_or(0);
        let mut content = self.synced.clone();
        content.resize(largest, 0);
        let sector = if let Left::Sectors(size) = left { size } else { 512 };
        // How many of the changes have reached each sector.
        let mut seen = vec![0; largest.div_ceil(sector)];
        match left {
            Left::Nothing => {}
            Left::Everything => seen.fill(count),
            Left::Before => seen.fill(before),
            Left::Writes => {
                for (number, (_, change)) in self.changes.iter().enumerate() {
                    if let Change::Write { at, bytes } = change
                        && random.below(2) == 0
                    {
                        seen[at / sector..(at + bytes.len()).div_ceil(sector)].fill(number + 1);
                    }
                }
            }
            Left::Sectors(_) => {
                for seen in &mut seen {
                    *seen = match random.below(5) {
                        0 | 1 => 0,
                        2 | 3 => count,
                        _ => random.below(count as u64 + 1) as usize,
                    };
                }
            }
        }
        for (number, (_, change)) in self.changes.iter().enumerate() {
            let sectors = match change {
                Change::Write { at, bytes } => at / sector..(at + bytes.len()).div_ceil(sector),
                Change::Truncate(size) => size / sector..seen.len(),
            };
            for at in sectors.filter(|at| number < seen[*at]) {
                change.apply(&mut content, at * sector, ((at + 1) * sector).min(largest));
            }
        }
        // Unwritten parts of a grown file may have previous contents of the disk.
        if matches!(left, Left::Sectors(_)) && random.below(4) == 0 {
            let grown = self.synced.len().div_ceil(sector)..seen.len();
            for at in grown.filter(|at| seen[*at] == 0) {
                noise(&mut content[at * sector..((at + 1) * sector).min(largest)], random);
            }
        }
        content.truncate(size);
        content
    }
}

fn noise(bytes: &mut [u8], random: &mut Random) {
    bytes.fill_with(|| random.next() as u8);
}

impl Name {
    fn apply(&self, names: &mut BTreeMap<String, File>) {
        match self {
            Self::Given(name, file) => {
                names.insert(name.clone(), *file);
            }
            Self::Taken(name) => {
                names.remove(name);
            }
            Self::Moved { from, to, file } => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
        }
    }
}

impl Disk {
    /// A disk that reports syncs without performing them.
    pub(crate) fn that_lies() -> Self {
        Self { lies: true, ..Self::default() }
    }

    pub(crate) fn apply(&mut self, step: &Step) {
        let number = self.steps;
        self.steps += 1;
        match step {
            Step::Create { file, name } => self.renamed.push((number, Name::Given(name.clone(), *file))),
            Step::Write { file, at, bytes } => {
                let change = Change::Write { at: *at, bytes: bytes.clone() };
                self.files.entry(*file).or_default().changes.push((number, change));
            }
            Step::Truncate { file, size } => {
                self.files.entry(*file).or_default().changes.push((number, Change::Truncate(*size)));
            }
            Step::Unlink(name) => self.renamed.push((number, Name::Taken(name.clone()))),
            Step::Rename { from, to } => {
                let file = self.names_now()[from];
                self.renamed.push((number, Name::Moved { from: from.clone(), to: to.clone(), file }));
            }
            Step::Sync(_) | Step::SyncFolder if self.lies => {}
            Step::Sync(file) => {
                self.files.entry(*file).or_default().sync();
            }
            Step::SyncFolder => {
                self.names = self.names_now();
                self.renamed.clear();
            }
            Step::Said(_) | Step::Done(_) => {}
        }
    }

    fn names_now(&self) -> BTreeMap<String, File> {
        let mut names = self.names.clone();
        self.renamed.iter().for_each(|(_, change)| change.apply(&mut names));
        names
    }

    /// The files as seen by running programs.
    pub(crate) fn now(&self) -> Files {
        let content = |file: File| self.files.get(&file).map(Content::last).unwrap_or_default();
        self.names_now().into_iter().map(|(name, file)| (name, content(file))).collect()
    }

    /// The files after a power failure at this point.
    pub(crate) fn after_failure(&self, left: Left, random: &mut Random) -> Files {
        let oldest = self.files.values().filter_map(|content| content.changes.first()).map(|(step, _)| *step);
        let oldest = oldest.chain(self.renamed.first().map(|(step, _)| *step)).min().unwrap_or(self.steps);
        let moment = oldest + random.below((self.steps - oldest) as u64 + 1) as usize;
        let mut names = self.names.clone();
        for (step, change) in &self.renamed {
            let kept = match left {
                Left::Nothing => false,
                Left::Everything => true,
                Left::Before => *step < moment,
                Left::Writes | Left::Sectors(_) => random.below(2) == 0,
            };
            if kept {
                change.apply(&mut names);
            }
        }
        let empty = Content::default();
        names
            .into_iter()
            .map(|(name, file)| {
                let content = if name.ends_with("-shm") {
                    // It is shared memory, which does not have to survive.
                    let mut content = vec![0; random.below(3) as usize * 16_384];
                    noise(&mut content, random);
                    content
                } else {
                    self.files.get(&file).unwrap_or(&empty).left(left, moment, random)
                };
                (name, content)
            })
            .collect()
    }
}
