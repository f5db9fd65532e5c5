//! The growing lists of a group: ids, events, completed trackers.
//!
//! An entry of a list is either an item or a reference to a part, a document in its own collection with many items. So
//! a group can be larger than a document. A part is written before the group that refers to it, and never changed; a
//! crash can only leave parts that nothing refers to.

use dictrack_core::json::Json;
use dictrack_core::{
    Timestamp,
    group::{ContentHash, GroupChange, SeenId, StoredCompletion, StoredEvent},
};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, Document, doc};

use crate::store::record::parse_stored;

/// What one change adds to a list stays in the group's document up to this many bytes. Lists are tidied every
/// [`TIDY_EVERY`](super::tidy::TIDY_EVERY) versions, and everything that the changes in between add has to fit.
pub(super) const INLINE_BYTES: usize = 32 * 1024;
/// The maximum size of a part in bytes, unless a single item is larger. A part is read and written in one go, even over
/// a slow network.
pub(super) const PART_BYTES: usize = 512 * 1024;
/// The bytes of an id: 16 of its hash, 8 of its time.
const ID_BYTES: usize = 24;

/// Which list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum List {
    Ids,
    Events,
    Completed,
}

impl List {
    pub(super) const ALL: [Self; 3] = [Self::Ids, Self::Events, Self::Completed];

    /// The field of the group's document.
    pub(super) fn field(self) -> &'static str {
        match self {
            Self::Ids => "ids",
            Self::Events => "events",
            Self::Completed => "completed",
        }
    }
}

/// An entry of a list.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    /// An item.
    Item(Item),
    /// A part, with totals over its items.
    Part { id: ObjectId, count: i64, bytes: i64, last: i64 },
}

/// An item of a list, in its stored form.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) value: Bson,
    /// About how many bytes it takes up.
    pub(super) bytes: usize,
    /// The number of ids in it; 1 if it is not ids.
    pub(super) count: i64,
    /// When its newest id was seen, or the sequence of an event.
    pub(super) last: i64,
}

/// A part to be written.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) id: ObjectId,
    pub(super) list: List,
    pub(super) items: Vec<Bson>,
}

impl Item {
    /// Ids in one piece: each has its hash and its time in microseconds, lowest byte first.
    pub(super) fn ids(ids: &[(ContentHash, Timestamp)]) -> Self {
        let mut bytes = Vec::with_capacity(ids.len() * ID_BYTES);
        let mut last = i64::MIN;
        for (hash, seen) in ids {
            bytes.extend_from_slice(hash.bytes());
            bytes.extend_from_slice(&seen.micros().to_le_bytes());
            last = last.max(seen.micros());
        }
        Self::of_id_bytes(bytes, last)
    }

    pub(super) fn of_id_bytes(bytes: Vec<u8>, last: i64) -> Self {
        let (length, count) = (bytes.len(), (bytes.len() / ID_BYTES) as i64);
        let value = Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes });
        Self { value, bytes: length, count, last }
    }

    pub(super) fn event(sequence: u64, text: String) -> Self {
        let last = i64::try_from(sequence).unwrap_or(i64::MAX);
        Self { bytes: text.len() + 48, value: doc! {"sequence": last, "event": text}.into(), count: 1, last }
    }

    /// A completed tracker; `record` as long as it can still be read.
    pub(super) fn completed(name: &str, record: Option<String>) -> Self {
        let bytes = name.len() + record.as_ref().map_or(0, String::len) + 48;
        let mut value = doc! {"name": name};
        if let Some(record) = record {
            value.insert("record", record);
        }
        Self { value: value.into(), bytes, count: 1, last: 0 }
    }

    /// Reads an item of a list.
    pub(super) fn read(list: List, value: &Bson) -> Result<Self, String> {
        match list {
            List::Ids => {
                let bytes = id_bytes(value)?;
                let last = bytes.chunks(ID_BYTES).map(seen).max().unwrap_or(i64::MIN);
                Ok(Self::of_id_bytes(bytes.to_vec(), last))
            }
            List::Events => {
                let (sequence, text) = event(value)?;
                Ok(Self::event(sequence, text.to_owned()))
            }
            List::Completed => {
                let (name, record) = completed(value)?;
                Ok(Self::completed(name, record.map(str::to_owned)))
            }
        }
    }
}

/// What a change adds to a list.
pub(super) fn added(change: &GroupChange, list: List) -> Vec<Item> {
    match list {
        List::Ids => change.ids.chunks(PART_BYTES / ID_BYTES).map(Item::ids).collect(),
        List::Events => change.stored_events().map(|event| Item::event(event.sequence, event.text)).collect(),
        List::Completed => {
            let completed = change.stored_completions();
            completed.map(|completed| Item::completed(&completed.name, completed.record)).collect()
        }
    }
}

/// Leaves items in the document if they take up to `inline` bytes in total, else puts them into parts.
pub(super) fn placed(list: List, items: Vec<Item>, inline: usize) -> (Vec<Entry>, Vec<Part>) {
    if items.iter().map(|item| item.bytes).sum::<usize>() <= inline {
        return (items.into_iter().map(Entry::Item).collect(), Vec::new());
    }
    let (mut entries, mut parts) = (Vec::new(), Vec::new());
    let mut items = items.into_iter().peekable();
    while let Some(first) = items.next() {
        let (mut count, mut bytes, mut last) = (first.count, first.bytes, first.last);
        let mut values = vec![first.value];
        while let Some(item) = items.next_if(|item| bytes + item.bytes <= PART_BYTES) {
            (count, bytes, last) = (count + item.count, bytes + item.bytes, last.max(item.last));
            values.push(item.value);
        }
        let id = ObjectId::new();
        entries.push(Entry::Part { id, count, bytes: bytes as i64, last });
        parts.push(Part { id, list, items: values });
    }
    (entries, parts)
}

impl Entry {
    pub(super) fn to_bson(&self, list: List) -> Bson {
        match self {
            Self::Item(item) => item.value.clone(),
            Self::Part { id, count, bytes, last } => {
                let mut value = doc! {"part": *id, "count": *count, "bytes": *bytes};
                match list {
                    List::Ids => drop(value.insert("seen", *last)),
                    // Under the name that events use, so that one rule removes both.
                    List::Events => drop(value.insert("sequence", *last)),
                    List::Completed => {}
                }
                value.into()
            }
        }
    }

    pub(super) fn read(list: List, value: &Bson) -> Result<Self, String> {
        match part_of(value) {
            Some(id) => {
                let part = value.as_document().cloned().unwrap_or_default();
                let number = |key| part.get_i64(key).map_err(|error| format!("the part {id}: {error}"));
                let last = match list {
                    List::Ids => number("seen")?,
                    List::Events => number("sequence")?,
                    List::Completed => 0,
                };
                Ok(Self::Part { id, count: number("count")?, bytes: number("bytes")?, last })
            }
            None => Item::read(list, value).map(Self::Item),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Item(item) => item.bytes,
            Self::Part { bytes, .. } => usize::try_from(*bytes).unwrap_or(0),
        }
    }

    pub(super) fn count(&self) -> i64 {
        match self {
            Self::Item(item) => item.count,
            Self::Part { count, .. } => *count,
        }
    }

    pub(super) fn last(&self) -> i64 {
        match self {
            Self::Item(item) => item.last,
            Self::Part { last, .. } => *last,
        }
    }
}

impl Part {
    /// The update that writes it; `group` is the group that it belongs to.
    pub(super) fn write(&self, group: &str) -> Document {
        let content = doc! {"group": group, "list": self.list.field(), "items": &self.items};
        // The server's time tells how old it is.
        let update = doc! {"$setOnInsert": content, "$currentDate": {"at": true}};
        doc! {"q": {"_id": self.id}, "u": update, "upsert": true}
    }
}

/// The part that an entry refers to.
pub(super) fn part_of(value: &Bson) -> Option<ObjectId> {
    value.as_document()?.get_object_id("part").ok()
}

/// The parts that a group's document refers to.
pub(super) fn parts_of(head: &Document) -> Vec<ObjectId> {
    let lists = List::ALL.iter().filter_map(|list| head.get_array(list.field()).ok());
    lists.flatten().filter_map(part_of).collect()
}

fn id_bytes(value: &Bson) -> Result<&[u8], String> {
    match value {
        Bson::Binary(Binary { bytes, .. }) if bytes.len().is_multiple_of(ID_BYTES) => Ok(bytes),
        _ => Err(format!("`ids` has an entry that is not pieces of {ID_BYTES} bytes")),
    }
}

fn seen(id: &[u8]) -> i64 {
    id.last_chunk().map_or(0, |micros| i64::from_le_bytes(*micros))
}

fn event(value: &Bson) -> Result<(u64, &str), String> {
    let parts = value.as_document().and_then(|event| {
        let sequence = u64::try_from(event.get_i64("sequence").ok()?).ok()?;
        Some((sequence, event.get_str("event").ok()?))
    });
    parts.ok_or_else(|| "`events` has an entry without `sequence` and `event`".to_owned())
}

fn completed(value: &Bson) -> Result<(&str, Option<&str>), String> {
    let parts = value.as_document().and_then(|completed| {
        let record = match completed.get("record") {
            Some(record) => Some(record.as_str()?),
            None => None,
        };
        Some((completed.get_str("name").ok()?, record))
    });
    parts.ok_or_else(|| "`completed` has an entry without `name`".to_owned())
}

/// Reads the ids in an entry of their list.
pub(super) fn to_ids(value: &Bson, out: &mut Vec<SeenId>) -> Result<(), String> {
    let ids = id_bytes(value)?.chunks(ID_BYTES);
    out.extend(ids.map(|id| {
        let hash = ContentHash::from_bytes(id.first_chunk().copied().unwrap_or_default());
        (hash, Timestamp::from_micros(seen(id)))
    }));
    Ok(())
}

/// Reads an entry of the list of events.
pub(super) fn to_event(value: &Bson, out: &mut Vec<StoredEvent>) -> Result<(), String> {
    let (sequence, text) = event(value)?;
    let parsed = parse_stored(text)?;
    if parsed.as_map().and_then(|map| map.get("sequence")) != Some(&sequence.into()) {
        return Err(format!("an event of `events` has the sequence {sequence}, its text another"));
    }
    out.push(StoredEvent::new(sequence, text.to_owned()));
    Ok(())
}

/// Reads an entry of the list of completed trackers.
pub(super) fn to_completion(value: &Bson, out: &mut Vec<StoredCompletion>) -> Result<(), String> {
    let (name, record) = completed(value)?;
    let Some(text) = record else {
        out.push(StoredCompletion::name_only(name));
        return Ok(());
    };
    let parsed = parse_stored(text)?;
    let definition = parsed.as_map().and_then(|map| map.get("definition")?.as_map()?.get("name"));
    if definition.and_then(Json::as_str) != Some(name) {
        return Err(format!("`completed` names {name:?}, its `record` another tracker"));
    }
    out.push(StoredCompletion::with_record(name, text.to_owned()));
    Ok(())
}
