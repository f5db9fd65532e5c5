//! A group as a hash in Redis: which field holds what. `docs/redis.md` describes it for users.
//!
//! `version`, `token`, `claim`, `base`, `stored`, `kept`, `set`, `generation`, `sequence`, `delivered`, `more`, `ids`, `ring`;
//! `t:<name>`, `b:<number>`, `d:<version>` the states of trackers, see [`states`](super::states); `i:<version>` the document
//! ids that a swap added, `i:<version>.<part>` a part of the ids that a large group was loaded with; `c:<version>` the trackers
//! that a swap completed; `e:<sequence>` an undelivered event; `w:<writer>` the last sequence of a process. Any other field is
//! refused.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::{self, Write as _};
use std::sync::Arc;

use dictrack_core::group::{
    ContentHash, DefinitionSet, Group, GroupChange, GroupPatch, Kept, Limits, SeenId, StoredCompletion, StoredEvent,
    StoredGroup, StoredMore, StoredState, read_ids, write_ids,
};
use dictrack_core::json::{Json, write_text};

use super::states::{Layout, States};
use super::texts::Texts;

/// The ring of the last swaps is limited to this many swaps, and this many bytes, so that a small group stays small.
const RING: (usize, usize) = (16, 1536);
/// Chunks of completed trackers are merged when there are more than this.
const CHUNKS: usize = 32;
/// The number of processes whose last sequence a group remembers.
pub(super) const WRITERS: usize = 64;

/// A group with more ids than this is large: it is read and written in pieces.
const LARGE: usize = 4096;
/// The ids in one part of a large group.
const PART: usize = 256;

/// What the allocator adds to each allocation.
const ALLOCATED: usize = 16;

/// A group as Redis holds it.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) group: Group,
    /// Identifies exactly this state; empty if Redis does not have the group.
    pub(super) token: String,
    pub(super) claim: u64,
    /// The version that the store had when it was claimed.
    pub(super) base: u64,
    /// The version that the store has, as far as Redis knows.
    pub(super) stored: u64,
    /// The lease under which an absent group may be put into Redis.
    pub(super) lease: String,
    /// The connection over which it was last compared with the store.
    pub(super) connection: u64,
    states: Layout,
    /// The numbers in the hash.
    numbers: Numbers,
    ring: VecDeque<String>,
    /// If the group is large: what the store has, as noted by the process that last saved it.
    pub(super) kept: Option<Kept>,
    /// The fields with document ids and how many are in each.
    ids: VecDeque<(IdField, usize)>,
    /// The fields with completed trackers.
    completed: Vec<u64>,
    /// Fields of processes that can be forgotten.
    old_writers: Vec<String>,
}

/// The fields that a swap writes, and those that it removes.
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// Names and values, alternating.
    pub(super) set: Texts,
    pub(super) gone: Vec<String>,
    /// What the replica remembers once the swap is kept.
    pub(super) after: After,
}

#[derive(Debug, Default)]
pub(super) struct After {
    states: Layout,
    numbers: Numbers,
    /// How many entries of the ring go, from the oldest, and the new one.
    ring: (usize, String),
    ids: VecDeque<(IdField, usize)>,
    completed: Vec<u64>,
}

/// The fields that most changes leave as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Numbers {
    generation: u32,
    sequence: u64,
    delivered: u64,
    /// Whether there is the field `more`.
    more: bool,
}

/// A field with document ids: those of one version, or part of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct IdField {
    version: u64,
    /// From 1; 0 if one field has all of them.
    part: u32,
}

impl IdField {
    fn read(name: &str, text: &str) -> Result<Self, Unreadable> {
        let (version, part) = match text.split_once('.') {
            Some((version, part)) => (version, number(name, part)?),
            None => (text, 0),
        };
        let part = u32::try_from(part).map_err(|_| format!("the field {name:?} has too high a number"))?;
        Ok(Self { version: number(name, version)?, part })
    }
}

impl fmt::Display for IdField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part {
            0 => write!(f, "i:{}", self.version),
            part => write!(f, "i:{}.{part}", self.version),
        }
    }
}

/// Why a hash could not be read.
pub(super) type Unreadable = String;

impl Replica {
    /// A group that is not in Redis.
    pub(super) fn cold(group: Group, claim: u64, lease: String) -> Self {
        Self {
            stored: group.version(),
            base: group.version(),
            kept: (group.known_ids() > LARGE).then(|| group.kept()),
            group,
            token: String::new(),
            claim,
            lease,
            connection: 0,
            states: Layout::default(),
            numbers: Numbers::default(),
            ring: VecDeque::new(),
            ids: VecDeque::new(),
            completed: Vec::new(),
            old_writers: Vec::new(),
        }
    }

    /// An estimate of the bytes held on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        let ring = self.ring.iter().map(|swap| size_of::<String>() + swap.capacity() + ALLOCATED).sum::<usize>();
        let lists = self.ids.capacity() * size_of::<(IdField, usize)>() + self.completed.capacity() * size_of::<u64>();
        self.group.heap_bytes() + self.states.heap_bytes() + ring + lists
    }

    /// Whether the group is so large that it is read and written in pieces.
    pub(super) fn is_large(&self) -> bool {
        self.group.known_ids() > LARGE
    }

    /// What the store lacks of the group, as far as that is known; else the whole group.
    pub(super) fn unsaved(&self, id: &str, group: &Group) -> GroupChange {
        let new = |kept: &Kept| {
            let ids = self.ids.iter().rev().take_while(|(field, _)| field.version > kept.version);
            ids.map(|(_, count)| count).sum()
        };
        let kept = self.kept.filter(|_| self.is_large());
        kept.and_then(|kept| group.since(id, &kept, new(&kept))).unwrap_or_else(|| group.whole(id))
    }

    /// The fields for a change that makes the state `token`: the whole group, if Redis does not have it. The replica
    /// still holds the previous state of the group.
    pub(super) fn fields(&self, id: &str, after: &Group, change: &GroupChange, token: &str) -> Fields {
        let mut fields = Fields::default();
        let cold = self.token.is_empty();
        let reshaped = change.changed.is_none();
        let trackers = change.set.trackers().len();
        let mut set = Texts::with_capacity(change.changed.as_ref().map_or(trackers, Vec::len) * 2 + 24);
        let before = (!cold).then(|| &**self.group.definition_set());
        let states = self.states.write(before, change, &mut set, &mut fields.gone);
        // Processes that hold the group as it was must read all of it again.
        let replaced = reshaped || !states.is_like(&self.states);
        let mut ids = if cold { VecDeque::new() } else { self.ids.clone() };
        let parts = if cold && change.ids.len() > LARGE { PART } else { change.ids.len().max(1) };
        for (some, part) in change.ids.chunks(parts).zip(u32::from(parts == PART)..) {
            let field = IdField { version: change.version, part };
            set.push_with(|out| {
                let _ = write!(out, "{field}");
            });
            set.push_with(|out| write_ids(some, out));
            ids.push_back((field, some.len()));
        }
        // Forgotten ids are removed together with the last one of their field.
        let mut surplus = ids.iter().map(|(_, count)| count).sum::<usize>().saturating_sub(after.known_ids());
        while let Some(&(field, count)) = ids.front()
            && count <= surplus
        {
            surplus -= count;
            ids.pop_front();
            fields.gone.push(field.to_string());
        }
        for event in &change.events {
            set.push_with(|out| {
                let _ = write!(out, "e:{}", event.sequence);
            });
            set.push_with(|out| event.store(out));
        }
        if !cold {
            for event in self.group.undelivered().iter().filter(|event| event.sequence <= change.delivered) {
                fields.gone.push(format!("e:{}", event.sequence));
            }
        }
        let mut completed = if cold { Vec::new() } else { self.completed.clone() };
        if change.base.is_none() && !cold {
            // The group was deleted.
            fields.gone.extend(completed.drain(..).map(|version| format!("c:{version}")));
        }
        let mut rewritten = false;
        if !change.completed.is_empty() || !change.completed_names.is_empty() {
            set.push_with(|out| {
                let _ = write!(out, "c:{}", change.version);
            });
            if completed.len() >= CHUNKS {
                rewritten = true;
                fields.gone.extend(completed.drain(..).map(|version| format!("c:{version}")));
                set.push_with(|out| after.whole(id).write_completed(out));
            } else {
                set.push_with(|out| change.write_completed(out));
            }
            completed.push(change.version);
        }
        fields.gone.extend(self.old_writers.iter().cloned());
        // If Redis lacks the group, nobody has an earlier state of it.
        let entry = ring_entry(token, if cold { &NOTHING } else { &set });
        let mut dropped = if cold || replaced || rewritten { self.ring.len() } else { 0 };
        let mut bytes = entry.len() + self.ring.range(dropped..).map(String::len).sum::<usize>();
        while dropped < self.ring.len() && (self.ring.len() - dropped >= RING.0 || bytes > RING.1) {
            bytes -= self.ring[dropped].len();
            dropped += 1;
        }
        let mut more = String::new();
        change.write_more(&mut more);
        let numbers = Numbers {
            generation: change.generation(),
            sequence: change.sequence,
            delivered: change.delivered,
            more: !more.is_empty(),
        };
        let was = (!cold).then_some(self.numbers);
        let all = [
            ("generation", u64::from(numbers.generation), was.map(|was| u64::from(was.generation))),
            ("sequence", numbers.sequence, was.map(|was| was.sequence)),
            ("delivered", numbers.delivered, was.map(|was| was.delivered)),
        ];
        for (name, number, was) in all {
            if was != Some(number) {
                set.push(name);
                set.push_with(|out| {
                    let _ = write!(out, "{number}");
                });
            }
        }
        if numbers.more {
            set.push("more");
            set.push(&more);
        } else if was.is_some_and(|was| was.more) {
            fields.gone.push("more".to_owned());
        }
        let known: usize = ids.iter().map(|(_, count)| count).sum();
        if known > LARGE {
            set.push("ids");
            set.push(&known.to_string());
        }
        if let Some(kept) = self.kept.filter(|_| cold) {
            set.push("kept");
            set.push(&kept_text(&kept));
        }
        set.push("ring");
        set.push_with(|out| {
            out.push('[');
            for earlier in self.ring.range(dropped..) {
                out.extend([earlier, ","]);
            }
            out.extend([&entry, "]"]);
        });
        if reshaped {
            set.push("set");
            set.push(&change.set.hash().to_string());
        }
        if cold {
            for (name, number) in [("claim", self.claim), ("base", self.base), ("stored", self.stored)] {
                set.push(name);
                set.push_with(|out| {
                    let _ = write!(out, "{number}");
                });
            }
        }
        fields.set = set;
        fields.after = After { states, numbers, ring: (dropped, entry), ids, completed };
        fields
    }

    /// Notes that a swap was kept, which made the group what it is now.
    pub(super) fn kept_as(&mut self, token: String, after: After) {
        self.token = token;
        self.lease = String::new();
        self.states = after.states;
        self.numbers = after.numbers;
        self.ring.drain(..after.ring.0);
        self.ring.push_back(after.ring.1);
        self.ids = after.ids;
        self.completed = after.completed;
        self.old_writers.clear();
    }

    /// Adopts the fields that another process changed.
    pub(super) fn patch(&mut self, fields: &[(String, Option<String>)], limits: &Limits) -> Result<(), Unreadable> {
        let mut head: HashMap<&str, &str> = HashMap::new();
        let (mut states, mut ids, mut events, mut completed) =
            (States::default(), Ids::default(), BTreeMap::new(), BTreeMap::new());
        for (name, value) in fields {
            let Some(value) = value else { continue };
            match name.split_once(':') {
                _ if states.take(name, value)? => {}
                Some(("i", field)) => ids.read(name, field, value)?,
                Some(("e", sequence)) => drop(events.insert(number(name, sequence)?, event(name, sequence, value)?)),
                Some(("c", version)) => drop(completed.insert(number(name, version)?, completions(name, value)?)),
                _ if HEAD.contains(&name.as_str()) => drop(head.insert(name, value)),
                _ => return Err(unknown(name)),
            }
        }
        let get = |name: &str| whole_number(&head, name);
        let generation = u32::try_from(get("generation")?).map_err(|_| "the field \"generation\" is too large")?;
        let (chunks, ids) = ids.in_order();
        self.ids.extend(chunks);
        self.completed.extend(completed.keys());
        let mut patch = GroupPatch::default();
        (patch.version, patch.generation) = (get("version")?, generation);
        (patch.sequence, patch.delivered) = (get("sequence")?, get("delivered")?);
        let (layout, states) = states.changes(&self.states, self.group.definition_set())?;
        (patch.trackers, patch.ids) = (states, ids);
        patch.more = read_more(head.get("more").copied())?;
        patch.events = events.into_values().collect();
        patch.completed = completed.into_values().flatten().collect();
        self.group.patch(&patch, limits).map_err(|error| error.to_string())?;
        self.states = layout;
        self.numbers = Numbers {
            generation,
            sequence: patch.sequence,
            delivered: patch.delivered,
            more: head.contains_key("more"),
        };
        self.token = (*head.get("token").ok_or("the field \"token\" is missing")?).to_owned();
        (self.claim, self.stored) = (get("claim")?, get("stored")?);
        self.kept = head.get("kept").map(|text| kept_of(text)).transpose()?;
        self.ring = ring(head.get("ring").copied())?;
        Ok(())
    }
}

/// Document ids, field by field, in any order.
#[derive(Debug, Default)]
struct Ids {
    fields: Vec<(IdField, std::ops::Range<usize>)>,
    ids: Vec<SeenId>,
}

impl Ids {
    fn read(&mut self, name: &str, field: &str, value: &str) -> Result<(), Unreadable> {
        let (field, start) = (IdField::read(name, field)?, self.ids.len());
        read_ids(value, &mut self.ids).map_err(|error| format!("the field {name:?}: {error}"))?;
        self.fields.push((field, start..self.ids.len()));
        Ok(())
    }

    /// The fields with the number of their ids, and the ids, oldest first. A field that came twice appears once.
    fn in_order(mut self) -> (VecDeque<(IdField, usize)>, Vec<SeenId>) {
        if !self.fields.is_sorted_by(|(a, _), (b, _)| a < b) {
            self.fields.sort_by_key(|(field, _)| *field);
            self.fields.dedup_by_key(|(field, _)| *field);
            let mut ordered = Vec::with_capacity(self.ids.len());
            for (_, range) in &self.fields {
                ordered.extend_from_slice(self.ids.get(range.clone()).unwrap_or_default());
            }
            self.ids = ordered;
        }
        (self.fields.into_iter().map(|(field, range)| (field, range.len())).collect(), self.ids)
    }
}

/// Reads the field `more`.
fn read_more(text: Option<&str>) -> Result<StoredMore, Unreadable> {
    let read = text.map(StoredMore::parse).transpose();
    Ok(read.map_err(|error| format!("the field \"more\": {error}"))?.unwrap_or_default())
}

/// The fields that every group may have, apart from those with a letter and a colon.
pub(super) const HEAD: [&str; 13] = [
    "version",
    "token",
    "claim",
    "base",
    "stored",
    "kept",
    "set",
    "generation",
    "sequence",
    "delivered",
    "more",
    "ids",
    "ring",
];

/// The hash of a group, collected field by field, since a large one comes in pieces.
#[derive(Debug, Default)]
pub(super) struct Whole {
    head: HashMap<String, String>,
    states: States,
    ids: Ids,
    events: BTreeMap<u64, StoredEvent>,
    completed: BTreeMap<u64, Vec<StoredCompletion>>,
    writers: HashMap<String, u64>,
}

impl Whole {
    pub(super) fn read(fields: Vec<(String, String)>) -> Result<Self, Unreadable> {
        let mut whole = Self::default();
        fields.into_iter().try_for_each(|(name, value)| whole.take(name, value))?;
        Ok(whole)
    }

    /// Whether reading it takes a while.
    pub(super) fn is_large(&self) -> bool {
        self.ids.ids.len() > LARGE
    }

    /// Adds a field.
    pub(super) fn take(&mut self, name: String, value: String) -> Result<(), Unreadable> {
        match name.split_once(':') {
            _ if self.states.take(&name, &value)? => {}
            Some(("i", field)) => self.ids.read(&name, field, &value)?,
            Some(("e", sequence)) => {
                drop(self.events.insert(number(&name, sequence)?, event(&name, sequence, &value)?));
            }
            Some(("c", version)) => drop(self.completed.insert(number(&name, version)?, completions(&name, &value)?)),
            Some(("w", _)) => drop(self.writers.insert(name.clone(), number(&name, &value)?)),
            _ if HEAD.contains(&name.as_str()) => drop(self.head.insert(name, value)),
            _ => return Err(unknown(&name)),
        }
        Ok(())
    }

    /// The names of the fields that change in place, or may be removed, while the others are read.
    pub(super) fn changeable(&self) -> Vec<String> {
        let trackers = self.states.names();
        let completed = self.completed.keys().map(|version| format!("c:{version}"));
        let head = HEAD.iter().map(|name| (*name).to_owned());
        head.chain(trackers).chain(completed).chain(self.writers.keys().cloned()).collect()
    }

    /// Forgets the [`changeable`](Self::changeable) fields, so that they can be added as they are now.
    pub(super) fn forget_changeable(&mut self) {
        self.head.clear();
        self.states = States::default();
        self.completed.clear();
        self.writers.clear();
    }

    fn get(&self, name: &str) -> Result<u64, Unreadable> {
        number(name, self.head.get(name).ok_or_else(|| format!("the field {name:?} is missing"))?)
    }

    fn version(&self) -> Result<u64, Unreadable> {
        self.get("version")
    }

    /// The version and the token.
    pub(super) fn state(&self) -> Result<(u64, &str), Unreadable> {
        Ok((self.version()?, self.token()?))
    }

    fn token(&self) -> Result<&str, Unreadable> {
        let token = self.head.get("token").filter(|token| !token.is_empty());
        Ok(token.ok_or("the field \"token\" is missing")?)
    }

    pub(super) fn set(&self) -> Result<ContentHash, Unreadable> {
        let set = self.head.get("set").and_then(|set| ContentHash::parse(set));
        Ok(set.ok_or("the field \"set\" is not a hash of 32 hexadecimal digits")?)
    }

    /// Checks that the fields named after a version or a sequence fit the group.
    fn check(&self) -> Result<(), Unreadable> {
        let (version, sequence) = (self.version()?, self.get("sequence")?);
        let beyond = |name: &str| Err(format!("the field {name:?} belongs to a version that the group never had"));
        if let Some((field, _)) = self.ids.fields.iter().find(|(field, _)| field.version > version) {
            return beyond(&field.to_string());
        }
        if let Some(completed) = self.completed.keys().find(|completed| **completed > version) {
            return beyond(&format!("c:{completed}"));
        }
        if self.get("base")? > version {
            return beyond("base");
        }
        if let Some(event) = self.events.keys().find(|event| **event > sequence) {
            return Err(format!("the field \"e:{event}\" belongs to an event that the group never had"));
        }
        if self.get("delivered")? > sequence {
            return Err("the field \"delivered\" belongs to an event that the group never had".to_owned());
        }
        Ok(())
    }

    /// The replica, with its definition set.
    pub(super) fn replica(
        self,
        set: Arc<DefinitionSet>,
        limits: &Limits,
        connection: u64,
    ) -> Result<Replica, Unreadable> {
        self.check()?;
        let (states, trackers) = self.states.whole(&set, self.version()?)?;
        let generation = self.get("generation")?;
        let generation = u32::try_from(generation).map_err(|_| "the field \"generation\" is too large")?;
        let (sequence, delivered, more) =
            (self.get("sequence")?, self.get("delivered")?, self.head.contains_key("more"));
        let numbers = Numbers { generation, sequence, delivered, more };
        let state = StoredState::new(set.hash(), generation, trackers)
            .with_events(sequence, delivered)
            .with_more(read_more(self.head.get("more").map(String::as_str))?);
        let (version, claim, token) = (self.version()?, self.get("claim")?, self.token()?.to_owned());
        let (stored, base) = (self.get("stored")?, self.get("base")?);
        let ring = ring(self.head.get("ring").map(String::as_str))?;
        let kept = self.head.get("kept").map(|text| kept_of(text)).transpose()?;
        if let Some(ids) = self.head.get("ids") {
            number("ids", ids)?;
        }
        let completed = self.completed.keys().copied().collect();
        let (chunks, ids) = self.ids.in_order();
        let records = self.completed.into_values().flatten().collect();
        let events = self.events.into_values().collect();
        let whole = StoredGroup::new(version, state).with_lists(ids, events, records);
        let group = Group::restore(&whole, set, limits);
        let group = group.map_err(|error| error.to_string())?;
        // Sequences start from a clock, so the lowest ones belong to the processes that have not written for longest.
        let mut writers: Vec<_> = self.writers.into_iter().map(|(name, sequence)| (sequence, name)).collect();
        writers.sort_unstable();
        let surplus = writers.len().saturating_sub(WRITERS);
        let old_writers = writers.into_iter().take(surplus).map(|(_, name)| name).collect();
        let lease = String::new();
        Ok(Replica {
            group,
            token,
            claim,
            base,
            stored,
            lease,
            connection,
            states,
            numbers,
            ring,
            kept,
            ids: chunks,
            completed,
            old_writers,
        })
    }
}

/// The token and the names in `set`, which alternates names and values.
fn ring_entry(token: &str, set: &Texts) -> String {
    let mut entry = format!(r#"["{token}",["#);
    for at in (0..set.len()).step_by(2) {
        if at > 0 {
            entry.push(',');
        }
        let _ = write_text(&mut entry, set.get(at));
    }
    entry.push_str("]]");
    entry
}

fn ring(text: Option<&str>) -> Result<VecDeque<String>, Unreadable> {
    let Json::List(entries) = parse("ring", text.unwrap_or("[]"))? else {
        return Err("the field \"ring\" is not a list".to_owned());
    };
    Ok(entries.iter().map(ToString::to_string).collect())
}

/// For the ring entry of a state without a predecessor.
static NOTHING: Texts = Texts::new();

fn unknown(name: &str) -> Unreadable {
    format!("the field {name:?} is not one that dictrack writes")
}

/// The field `kept`: version, last event and completed trackers of what the store has.
pub(super) fn kept_text(kept: &Kept) -> String {
    format!("[{},{},{}]", kept.version, kept.sequence, kept.completed)
}

pub(super) fn kept_of(text: &str) -> Result<Kept, Unreadable> {
    let numbers = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or_default();
    let numbers: Vec<u64> = numbers.split(',').map(|text| number("kept", text)).collect::<Result<_, _>>()?;
    match numbers[..] {
        [version, sequence, completed] => Ok(Kept { version, sequence, completed }),
        _ => Err("the field \"kept\" does not contain three whole numbers".to_owned()),
    }
}

/// The event in a field that is named after its sequence.
fn event(name: &str, sequence: &str, text: &str) -> Result<StoredEvent, Unreadable> {
    let event = StoredEvent::of(&parse(name, text)?).map_err(|error| in_field(name, &error))?;
    if event.sequence.to_string() == sequence {
        Ok(event)
    } else {
        Err(format!("the field {name:?} has an event of another sequence"))
    }
}

fn completions(name: &str, text: &str) -> Result<Vec<StoredCompletion>, Unreadable> {
    let Json::List(items) = parse(name, text)? else { return Err(format!("the field {name:?} is not a list")) };
    items.iter().map(|item| StoredCompletion::of(item).map_err(|error| in_field(name, &error))).collect()
}

pub(super) fn parse(name: &str, text: &str) -> Result<Json, Unreadable> {
    crate::store::record::parse_stored(text).map_err(|error| in_field(name, &error))
}

pub(super) fn in_field(name: &str, error: &dyn fmt::Display) -> Unreadable {
    format!("the field {name:?}: {error}")
}

pub(super) fn number(name: &str, text: &str) -> Result<u64, Unreadable> {
    // Only the canonical form: no sign, no leading zero.
    let plain = text.bytes().all(|digit| digit.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain).ok_or_else(|| format!("the field {name:?} is not a whole number"))
}

fn whole_number(head: &HashMap<&str, &str>, name: &str) -> Result<u64, Unreadable> {
    number(name, head.get(name).ok_or_else(|| format!("the field {name:?} is missing"))?)
}
