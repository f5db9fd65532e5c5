//! A group as a hash in Redis: which field holds what. `docs/redis.md` describes it for people.
//!
//! `version`, `token`, `claim`, `base`, `stored`, `set`, `generation`, `sequence`, `delivered`, `ring`; `t:<name>` a tracker's state;
//! `i:<version>` the document ids that a swap brought, `c:<version>` the trackers it completed, `e:<sequence>` an event that
//! is not delivered; `w:<writer>` the last sequence of a process.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::Write as _;

use dictrack_core::json::{Json, write_text};
use dictrack_core::{ContentHash, DefinitionSet, Group, GroupChange, Limits};

use super::texts::Texts;

/// The ring of the last swaps is kept to this many, and this many bytes, so that a small group stays small.
const RING: (usize, usize) = (16, 1536);
/// Chunks of completed trackers are put together when there are more than this.
const CHUNKS: usize = 32;
/// Processes whose last sequence a group remembers.
pub(super) const WRITERS: usize = 64;

/// What the allocator adds to each piece.
const ALLOCATED: usize = 16;

/// A group as Redis holds it.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) group: Group,
    /// Names this very state; empty if Redis does not have the group.
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
    ring: VecDeque<String>,
    /// The fields with document ids and how many are in each.
    ids: VecDeque<(u64, usize)>,
    /// The fields with completed trackers.
    completed: Vec<u64>,
    /// Fields of processes that are to be forgotten.
    old_writers: Vec<String>,
}

/// The fields that a swap writes and those it removes.
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// Names and values in turn.
    pub(super) set: Texts,
    pub(super) gone: Vec<String>,
    /// What the replica is to remember once the swap is kept.
    pub(super) after: After,
}

#[derive(Debug, Default)]
pub(super) struct After {
    ring: VecDeque<String>,
    ids: VecDeque<(u64, usize)>,
    completed: Vec<u64>,
}

/// Why a hash was not read.
pub(super) type Unreadable = String;

impl Replica {
    /// A group that is not in Redis.
    pub(super) fn cold(group: Group, claim: u64, lease: String) -> Self {
        Self {
            stored: group.version(),
            base: group.version(),
            group,
            token: String::new(),
            claim,
            lease,
            connection: 0,
            ring: VecDeque::new(),
            ids: VecDeque::new(),
            completed: Vec::new(),
            old_writers: Vec::new(),
        }
    }

    /// An estimate of the bytes that this holds on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        let ring = self.ring.iter().map(|swap| size_of::<String>() + swap.capacity() + ALLOCATED).sum::<usize>();
        let lists = self.ids.capacity() * size_of::<(u64, usize)>() + self.completed.capacity() * size_of::<u64>();
        self.group.heap_bytes() + ring + lists
    }

    /// The fields for a change that makes the state `token`. The group of the replica is still what it was before.
    pub(super) fn fields(&self, id: &str, after: &Group, change: &GroupChange, token: &str) -> Fields {
        let mut fields = Fields::default();
        let cold = self.token.is_empty();
        // A group that Redis does not have is written as a whole.
        let whole = cold.then(|| after.whole(id));
        let change = whole.as_ref().unwrap_or(change);
        let reshaped = change.changed.is_none();
        let trackers = change.set.trackers();
        let all: Vec<u32>;
        let positions = match &change.changed {
            Some(positions) => positions,
            None => {
                all = (0..trackers.len() as u32).collect();
                &all
            }
        };
        let mut set = Texts::with_capacity(positions.len() * 2 + 24);
        for &at in positions {
            set.push_with(|out| out.extend(["t:", trackers[at as usize].name()]));
            set.push_with(|out| change.tracker_state(at as usize, out));
        }
        let mut ids = if cold { VecDeque::new() } else { self.ids.clone() };
        if !change.ids.is_empty() {
            set.push_with(|out| {
                let _ = write!(out, "i:{}", change.version);
            });
            set.push_with(|out| change.ids(out));
            ids.push_back((change.version, change.ids.len()));
        }
        // Ids that were forgotten leave with the last of their field.
        let mut surplus = ids.iter().map(|(_, count)| count).sum::<usize>().saturating_sub(after.known_ids());
        while let Some(&(version, count)) = ids.front()
            && count <= surplus
        {
            surplus -= count;
            ids.pop_front();
            fields.gone.push(format!("i:{version}"));
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
        let mut rewritten = false;
        if !change.completed.is_empty() || !change.completed_names.is_empty() {
            set.push_with(|out| {
                let _ = write!(out, "c:{}", change.version);
            });
            if completed.len() >= CHUNKS {
                rewritten = true;
                fields.gone.extend(completed.drain(..).map(|version| format!("c:{version}")));
                set.push_with(|out| after.whole(id).completed(out));
            } else {
                set.push_with(|out| change.completed(out));
            }
            completed.push(change.version);
        }
        if reshaped && !cold {
            let kept = |name: &str| change.set.position(name).is_some();
            let lost = self.group.definition_set().trackers().iter().filter(|tracker| !kept(tracker.name()));
            fields.gone.extend(lost.map(|tracker| format!("t:{}", tracker.name())));
        }
        fields.gone.extend(self.old_writers.iter().cloned());
        let mut ring = if cold || reshaped || rewritten { VecDeque::new() } else { self.ring.clone() };
        ring.push_back(ring_entry(token, &set));
        let mut bytes: usize = ring.iter().map(String::len).sum();
        while ring.len() > 1 && (ring.len() > RING.0 || bytes > RING.1) {
            bytes -= ring.pop_front().map_or(0, |entry| entry.len());
        }
        let numbers = [
            ("generation", u64::from(change.generation())),
            ("sequence", change.sequence),
            ("delivered", change.delivered),
        ];
        for (name, number) in numbers {
            set.push(name);
            set.push_with(|out| {
                let _ = write!(out, "{number}");
            });
        }
        set.push("ring");
        set.push_with(|out| {
            for (at, entry) in ring.iter().enumerate() {
                out.push(if at == 0 { '[' } else { ',' });
                out.push_str(entry);
            }
            out.push(']');
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
        fields.after = After { ring, ids, completed };
        fields
    }

    /// Takes over that a swap was kept.
    pub(super) fn keep(&mut self, group: Group, token: String, after: After) {
        self.group = group;
        self.token = token;
        self.lease = String::new();
        self.ring = after.ring;
        self.ids = after.ids;
        self.completed = after.completed;
        self.old_writers.clear();
    }

    /// Takes over the fields that another process changed.
    pub(super) fn patch(&mut self, fields: &[(String, Option<String>)], limits: &Limits) -> Result<(), Unreadable> {
        let mut head: HashMap<&str, &str> = HashMap::new();
        let (mut states, mut ids, mut events, mut completed) =
            (Vec::new(), BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let set = std::sync::Arc::clone(self.group.definition_set());
        for (name, value) in fields {
            let Some(value) = value else { continue };
            match name.split_once(':') {
                Some(("t", tracker)) => {
                    let at = set.position(tracker).ok_or_else(|| format!("the field {name:?} is of no tracker"))?;
                    states.push((at, parse(name, value)?));
                }
                Some(("i", version)) => drop(ids.insert(number(name, version)?, list(name, value)?)),
                Some(("e", sequence)) => drop(events.insert(number(name, sequence)?, parse(name, value)?)),
                Some(("c", version)) => drop(completed.insert(number(name, version)?, list(name, value)?)),
                _ => drop(head.insert(name, value)),
            }
        }
        let get = |name: &str| whole_number(&head, name);
        let generation = u32::try_from(get("generation")?).map_err(|_| "the field \"generation\" is too large")?;
        let numbers = (get("version")?, generation, get("sequence")?, get("delivered")?);
        self.ids.extend(ids.iter().map(|(version, ids)| (*version, ids.len())));
        self.completed.extend(completed.keys());
        let flat = |lists: BTreeMap<u64, Vec<Json>>| lists.into_values().flatten().collect::<Vec<_>>();
        let events: Vec<_> = events.into_values().collect();
        let lists = (&flat(ids)[..], &events[..], &flat(completed)[..]);
        self.group.patch(numbers, &states, lists, limits).map_err(|error| error.to_string())?;
        self.token = (*head.get("token").ok_or("the field \"token\" is missing")?).to_owned();
        (self.claim, self.stored) = (get("claim")?, get("stored")?);
        self.ring = ring(head.get("ring").copied())?;
        Ok(())
    }
}

/// The hash of a group, read as a whole.
#[derive(Debug)]
pub(super) struct Whole {
    head: HashMap<String, String>,
    states: HashMap<String, String>,
    ids: BTreeMap<u64, Vec<Json>>,
    events: BTreeMap<u64, Json>,
    completed: BTreeMap<u64, Vec<Json>>,
    writers: Vec<(u64, String)>,
    pub(super) set: ContentHash,
    pub(super) version: u64,
    pub(super) claim: u64,
    pub(super) token: String,
}

impl Whole {
    pub(super) fn read(fields: Vec<(String, String)>) -> Result<Self, Unreadable> {
        let mut whole = Self {
            head: HashMap::new(),
            states: HashMap::new(),
            ids: BTreeMap::new(),
            events: BTreeMap::new(),
            completed: BTreeMap::new(),
            writers: Vec::new(),
            set: ContentHash::of::<&[u8]>([]),
            version: 0,
            claim: 0,
            token: String::new(),
        };
        for (name, value) in fields {
            match name.split_once(':') {
                Some(("t", tracker)) => drop(whole.states.insert(tracker.to_owned(), value)),
                Some(("i", version)) => drop(whole.ids.insert(number(&name, version)?, list(&name, &value)?)),
                Some(("e", sequence)) => drop(whole.events.insert(number(&name, sequence)?, parse(&name, &value)?)),
                Some(("c", version)) => drop(whole.completed.insert(number(&name, version)?, list(&name, &value)?)),
                Some(("w", _)) => whole.writers.push((number(&name, &value)?, name)),
                _ => drop(whole.head.insert(name, value)),
            }
        }
        let head: HashMap<&str, &str> =
            whole.head.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let set = head.get("set").and_then(|set| ContentHash::parse(set));
        let token = head.get("token").map(|token| (*token).to_owned());
        (whole.version, whole.claim) = (whole_number(&head, "version")?, whole_number(&head, "claim")?);
        whole.set = set.ok_or("the field \"set\" is not a hash of 32 hexadecimal digits")?;
        whole.token = token.filter(|token| !token.is_empty()).ok_or("the field \"token\" is missing")?;
        Ok(whole)
    }

    /// The replica, with its definition set.
    pub(super) fn replica(
        mut self,
        set: std::sync::Arc<DefinitionSet>,
        limits: &Limits,
        connection: u64,
    ) -> Result<Replica, Unreadable> {
        let head: HashMap<&str, &str> = self.head.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let get = |name: &str| whole_number(&head, name);
        let mut state = format!(
            r#"{{"set":"{}","generation":{},"sequence":{},"delivered":{},"trackers":["#,
            set.hash(),
            get("generation")?,
            get("sequence")?,
            get("delivered")?
        );
        for (at, tracker) in set.trackers().iter().enumerate() {
            let text = self.states.get(tracker.name());
            let text = text.ok_or_else(|| format!("the field \"t:{}\" is missing", tracker.name()))?;
            let _ = write!(state, "{}{text}", if at > 0 { "," } else { "" });
        }
        state.push_str("]}");
        let state = parse("t:…", &state)?;
        let sizes = self.ids.iter().map(|(version, ids)| (*version, ids.len())).collect();
        let chunks = self.completed.keys().copied().collect();
        let (stored, base) = (get("stored")?, get("base")?);
        let ring = ring(head.get("ring").copied())?;
        let flat = |lists: BTreeMap<u64, Vec<Json>>| lists.into_values().flatten().collect::<Vec<_>>();
        let events: Vec<_> = self.events.into_values().collect();
        let lists = (&flat(self.ids)[..], &events[..], &flat(self.completed)[..]);
        let group = Group::restore(self.version, &state, set, lists, limits).map_err(|error| error.to_string())?;
        // A sequence is taken from a clock, so that the lowest ones are of processes that wrote least lately.
        self.writers.sort_unstable();
        let surplus = self.writers.len().saturating_sub(WRITERS);
        let old_writers = self.writers.into_iter().take(surplus).map(|(_, name)| name).collect();
        let (claim, token) = (self.claim, self.token);
        let (ids, completed, lease) = (sizes, chunks, String::new());
        Ok(Replica { group, token, claim, base, stored, lease, connection, ring, ids, completed, old_writers })
    }
}

/// The token and the names in `set`, which has names and values in turn.
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
    let entries = list("ring", text.unwrap_or("[]"))?;
    Ok(entries.iter().map(ToString::to_string).collect())
}

fn parse(name: &str, text: &str) -> Result<Json, Unreadable> {
    crate::store::record::parse_stored(text).map_err(|error| format!("the field {name:?}: {error}"))
}

fn list(name: &str, text: &str) -> Result<Vec<Json>, Unreadable> {
    match parse(name, text)? {
        Json::List(items) => Ok(items),
        other => Err(format!("the field {name:?} is {} and not a list", other.kind())),
    }
}

fn number(name: &str, text: &str) -> Result<u64, Unreadable> {
    text.parse().map_err(|_| format!("the field {name:?} has no whole number"))
}

fn whole_number(head: &HashMap<&str, &str>, name: &str) -> Result<u64, Unreadable> {
    number(name, head.get(name).ok_or_else(|| format!("the field {name:?} is missing"))?)
}
