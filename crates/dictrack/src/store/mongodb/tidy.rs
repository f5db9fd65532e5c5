//! Keeps the lists of groups within their limits, and removes what no group refers to.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use dictrack_core::group::Limits;
use dictrack_core::json::Text;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, DateTime, Document, doc};
use mongodb::options::FindOptions;

use super::Inner;
use super::document::{held, raw};
use super::lists::{Entry, Item, List, PART_BYTES, Part, parts_of, placed};
use super::owner::Session;
use super::server::Server;
use crate::Error;
use crate::clock::Stopwatch;
use crate::store::Writers;

/// A group with growing lists is examined whenever its version passes a multiple of this.
pub(super) const TIDY_EVERY: u64 = 64;
/// How often groups are examined.
const TIDY_AFTER: Duration = Duration::from_secs(1);
/// How many groups are examined in one command, and in one round.
const GROUPS: usize = 500;
const ROUND: usize = 2_000;
/// How many groups can wait to be examined. A group that finds no room gets its next chance some versions later.
pub(super) const WAITING: usize = 50_000;
/// A list that takes more than this in its group's document is moved to parts.
const SPILL_BYTES: usize = 256 * 1024;
/// How many pieces of ids are merged.
const PIECES: usize = 16;
/// How many parts are read together.
const TOGETHER: usize = 2;
/// How many parts are examined when the store closes.
const PARTS: i64 = 10_000;
/// The age in milliseconds at which a part that nothing refers to is removed. The group that is to refer to a younger
/// one may not be written yet.
const OLD: i64 = 24 * 60 * 60 * 1_000;

/// The lists of a group, and those that have to be rewritten.
struct Tidied {
    lists: HashMap<List, Vec<Entry>>,
    new: Vec<Part>,
    dropped: Vec<ObjectId>,
    changed: bool,
}

impl Inner {
    /// Tidies groups that may need it.
    pub(super) async fn tidy(&self, session: &Session, all: bool) -> Result<(), Error> {
        let groups: Vec<Text> = {
            let mut untidy = self.untidy.lock();
            let mut last = self.tidied.lock();
            if untidy.is_empty() || (!all && last.elapsed() < TIDY_AFTER) {
                return Ok(());
            }
            *last = Stopwatch::start();
            let some: Vec<_> = untidy.iter().take(ROUND).cloned().collect();
            for group in &some {
                untidy.remove(group);
            }
            some
        };
        for some in groups.chunks(GROUPS) {
            for group in self.untidy_among(some, &session.limits).await? {
                match self.tidy_group(&group, &session.limits, SPILL_BYTES, &session.concern).await {
                    // Any call that uses the group gets the error.
                    Err(error @ Error::Corrupt { .. }) => tracing::warn!(%error, "a group was not tidied"),
                    result => result?,
                }
            }
        }
        Ok(())
    }

    /// Which of these groups have lists that need tidying.
    async fn untidy_among(&self, groups: &[Text], limits: &Limits) -> Result<Vec<String>, Error> {
        let size = |list: &str| doc! {"$cond": [{"$isArray": list}, {"$size": {"$ifNull": [list, []]}}, 0]};
        let ids: Vec<&str> = groups.iter().map(Text::as_str).collect();
        let pipeline = [
            doc! {"$match": {"_id": {"$in": ids}}},
            doc! {"$project": {"bytes": {"$bsonSize": "$$ROOT"}, "ids": size("$ids"), "completed": size("$completed")}},
            doc! {"$match": {"$or": [
                {"bytes": {"$gt": SPILL_BYTES as i64}},
                {"ids": {"$gt": PIECES as i64}},
                {"completed": {"$gt": limits.completed.saturating_add(PIECES) as i64}},
            ]}},
        ];
        let command = doc! {"aggregate": &self.names.groups, "pipeline": pipeline.to_vec(), "cursor": {"batchSize": GROUPS as i64}};
        let reply = self.server.command("look for lists to tidy", command).await?;
        let batch = reply.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
        let found = batch.into_iter().flatten();
        Ok(found.filter_map(|found| Some(found.as_document()?.get_str("_id").ok()?.to_owned())).collect())
    }

    /// Makes a group's document as small as its lists allow.
    pub(super) async fn tidy_now(&self, group: &str) -> Result<(), Error> {
        let session = self.session()?;
        self.tidy_group(group, &session.limits, 0, &session.concern).await
    }

    async fn tidy_group(&self, group: &str, limits: &Limits, inline: usize, concern: &Document) -> Result<(), Error> {
        let action = "tidy a group";
        let fields =
            doc! {"version": 1, "claim": 1, "tidied": 1, "delivered": 1, "ids": 1, "events": 1, "completed": 1};
        let found = self.server.find_one(action, &self.names.groups, doc! {"_id": group}, Some(fields)).await?;
        let Some(head) = found else { return Ok(()) };
        let (version, claim) = held(self.server.name(), group, &head)?;
        let tidied = self.tidied(group, &head, limits, inline).await?;
        if !tidied.changed {
            return Ok(());
        }
        let writes: Vec<_> = tidied.new.iter().map(|part| raw(&part.write(group))).collect::<Result<_, _>>()?;
        self.insert(action, &self.names.parts, &writes, concern).await?;
        let (mut set, mut unset) = (Document::new(), Document::new());
        for list in List::ALL {
            let values: Vec<Bson> =
                tidied.lists.get(&list).into_iter().flatten().map(|entry| entry.to_bson(list)).collect();
            if values.is_empty() {
                unset.insert(list.field(), "")
            } else {
                set.insert(list.field(), values)
            };
        }
        // The version stays the same, so that what a cache holds still follows it; the filter keeps what others tidied
        // meanwhile.
        let times = head.get("tidied").cloned().unwrap_or(doc! {"$exists": false}.into());
        let filter = doc! {"_id": group, "version": version, "claim": claim, "tidied": times};
        let mut update = doc! {"$inc": {"tidied": 1_i64}};
        for (operator, fields) in [("$set", set), ("$unset", unset)] {
            if !fields.is_empty() {
                update.insert(operator, fields);
            }
        }
        let update = raw(&doc! {"q": filter, "u": update})?;
        let (done, problems) = self.update(action, &self.names.groups, &[&update], concern).await?;
        if let Some(problem) = problems.first() {
            return Err(self.server.refused(action, problem.code, &problem.message));
        }
        let useless: Vec<ObjectId> =
            if done == 1 { tidied.dropped } else { tidied.new.iter().map(|part| part.id).collect() };
        self.remove_parts(useless).await
    }

    async fn tidied(&self, group: &str, head: &Document, limits: &Limits, inline: usize) -> Result<Tidied, Error> {
        let damaged = |problem: String| Error::corrupt(self.server.name(), super::document::place(group), problem);
        let mut tidied = Tidied { lists: HashMap::new(), new: Vec::new(), dropped: Vec::new(), changed: false };
        let delivered = head.get_i64("delivered").unwrap_or(0);
        for list in List::ALL {
            let Ok(values) = head.get_array(list.field()) else { continue };
            let read = values.iter().map(|value| Entry::read(list, value)).collect::<Result<Vec<_>, _>>();
            let before = read.map_err(damaged)?;
            let count = before.len();
            let (mut kept, gone) = trimmed(list, before, delivered, limits, &mut tidied.changed);
            tidied.changed |= kept.len() < count;
            tidied.dropped.extend(gone);
            let sum = |parts: bool| -> (usize, usize) {
                let some = kept.iter().filter(|entry| is_part(entry) == parts);
                some.fold((0, 0), |(count, bytes), entry| (count + 1, bytes + entry.bytes()))
            };
            let ((pieces, here), (parts, elsewhere)) = (sum(false), sum(true));
            let scattered = parts > PIECES / 2 + 2 * elsewhere / PART_BYTES;
            if here > inline || scattered {
                kept = self.spilled(list, kept, scattered, &mut tidied).await?;
                tidied.changed = true;
            } else if list == List::Ids && pieces > PIECES {
                kept = joined(kept);
                tidied.changed = true;
            }
            tidied.lists.insert(list, kept);
        }
        Ok(tidied)
    }

    /// Moves every item into parts. A part is merged with items of about its own size, so that each item is moved only
    /// a few times and there are few parts; if parts are `scattered`, small ones are merged.
    async fn spilled(
        &self,
        list: List,
        entries: Vec<Entry>,
        scattered: bool,
        tidied: &mut Tidied,
    ) -> Result<Vec<Entry>, Error> {
        let mut out: Vec<Entry> = Vec::new();
        let mut run: Vec<Item> = Vec::new();
        let mut entries = entries.into_iter().peekable();
        while let Some(entry) = entries.next() {
            match entry {
                Entry::Item(item) => run.push(item),
                Entry::Part { id, .. } if scattered && entry.bytes() <= PART_BYTES / 2 => {
                    run.extend(self.items(list, id).await?);
                    tidied.dropped.push(id);
                }
                part => out.push(part),
            }
            let stays = |entry: &Entry| is_part(entry) && !(scattered && entry.bytes() <= PART_BYTES / 2);
            if run.is_empty() || !entries.peek().is_none_or(stays) {
                continue;
            }
            let mut bytes: usize = run.iter().map(|item| item.bytes).sum();
            while let Some(Entry::Part { id, bytes: more, .. }) = out.last() {
                let (id, more) = (*id, usize::try_from(*more).unwrap_or(usize::MAX));
                if more > bytes || bytes + more > PART_BYTES {
                    break;
                }
                let mut items = self.items(list, id).await?;
                items.append(&mut run);
                run = items;
                bytes += more;
                out.pop();
                tidied.dropped.push(id);
            }
            let all = std::mem::take(&mut run);
            let (places, new) = placed(list, if list == List::Ids { join(all) } else { all }, 0);
            out.extend(places);
            tidied.new.extend(new);
        }
        Ok(out)
    }

    /// The items of a part that is to be merged with others.
    async fn items(&self, list: List, id: ObjectId) -> Result<Vec<Item>, Error> {
        // The group was written meanwhile; it will be tidied another time.
        let gone = || Error::corrupt(self.server.name(), format!("the part {id}"), "it is missing");
        let values = self.parts(&[id]).await?.remove(&id).ok_or_else(gone)?;
        let damaged = |problem| Error::corrupt(self.server.name(), format!("the part {id}"), problem);
        values.iter().map(|value| Item::read(list, value).map_err(damaged)).collect()
    }

    /// The items of parts, a few at a time. Each read has its own time limit; otherwise the parts of a large group
    /// could never be read over a slow network.
    pub(super) async fn parts(&self, ids: &[ObjectId]) -> Result<HashMap<ObjectId, Vec<Bson>>, Error> {
        let mut parts = HashMap::new();
        for some in ids.chunks(TOGETHER) {
            let found = Server::patiently(|| {
                let filter = doc! {"_id": {"$in": some.to_vec()}};
                self.server.find_slowly("read parts of a group", &self.names.parts, filter, TOGETHER * PART_BYTES)
            });
            for mut document in found.await? {
                if let (Ok(id), Some(Bson::Array(items))) = (document.get_object_id("_id"), document.remove("items")) {
                    parts.insert(id, items);
                }
            }
        }
        Ok(parts)
    }

    async fn remove_parts(&self, ids: Vec<ObjectId>) -> Result<(), Error> {
        if ids.is_empty() {
            return Ok(());
        }
        let command = doc! {"delete": &self.names.parts, "deletes": [{"q": {"_id": {"$in": ids}}, "limit": 0}]};
        self.server.command("remove parts of groups", command).await.map(drop)
    }

    /// Removes what a crash left: definitions that no group uses, parts that no group refers to, and traces of marks.
    pub(super) async fn sweep(&self, session: &Session) -> Result<(), Error> {
        if session.writers == Writers::One {
            // So the next change with each definition set marks the set as used again.
            self.sets.lock().clear();
        }
        let now = self.beat(session).await?;
        let before = DateTime::from_millis(now.timestamp_millis().saturating_sub(OLD));
        self.sweep_journals(before).await?;
        let old = doc! {"at": {"$lt": before}};
        let options = FindOptions::builder().projection(doc! {"group": 1}).limit(PARTS).build();
        let found = self.server.find("look for unused parts", &self.names.parts, old, options).await?;
        for some in found.chunks(GROUPS) {
            let groups: HashSet<&str> = some.iter().filter_map(|part| part.get_str("group").ok()).collect();
            let filter = doc! {"_id": {"$in": groups.into_iter().collect::<Vec<_>>()}};
            let fields = doc! {"ids.part": 1, "events.part": 1, "completed.part": 1};
            let options = FindOptions::builder().projection(fields).build();
            let heads = self.server.find("look for unused parts", &self.names.groups, filter, options).await?;
            let named: HashSet<ObjectId> = heads.iter().flat_map(parts_of).collect();
            let ids = some.iter().filter_map(|part| part.get_object_id("_id").ok());
            let useless = ids.filter(|id| !named.contains(id)).collect();
            self.remove_parts(useless).await?;
        }
        if session.writers == Writers::One {
            self.drop_unused_sets(now).await?;
            if !session.held_up && !session.abandoned() {
                let gone = doc! {"text": null, "updated_at": {"$lt": now}};
                let command = doc! {"delete": &self.names.marks, "deletes": [{"q": gone, "limit": 0}]};
                self.server.command("forget marks that were removed", command).await?;
            }
        }
        Ok(())
    }
}

fn is_part(entry: &Entry) -> bool {
    matches!(entry, Entry::Part { .. })
}

/// Drops what exceeds the limits; returns the remaining entries and the parts that are no longer referred to.
fn trimmed(
    list: List,
    entries: Vec<Entry>,
    delivered: i64,
    limits: &Limits,
    changed: &mut bool,
) -> (Vec<Entry>, Vec<ObjectId>) {
    let newest = entries.iter().map(Entry::last).max().unwrap_or(0);
    let window = newest.saturating_sub(limits.id_window.micros());
    let (least, most) = (limits.ids_at_least as i64, limits.ids_at_most as i64);
    let (mut newer, mut readable) = (0_i64, 0_usize);
    let (mut kept, mut gone) = (Vec::new(), Vec::new());
    let mut full = false;
    for entry in entries.into_iter().rev() {
        let stays = match list {
            // Ids are kept too long rather than too short: a piece is removed once the newer ones alone reach a limit.
            List::Ids => {
                full |= (newer >= least && entry.last() < window) || newer >= most;
                newer = newer.saturating_add(entry.count());
                !full
            }
            List::Events => entry.last() > delivered,
            List::Completed => true,
        };
        match entry {
            Entry::Part { id, .. } if !stays => gone.push(id),
            _ if !stays => {}
            Entry::Item(mut item) if list == List::Completed => {
                let record = item.value.as_document().is_some_and(|value| value.contains_key("record"));
                if record && readable >= limits.completed {
                    let name = item.value.as_document().and_then(|value| value.get_str("name").ok());
                    item = Item::completed(name.unwrap_or_default(), None);
                    *changed = true;
                }
                readable += usize::from(record);
                kept.push(Entry::Item(item));
            }
            entry => kept.push(entry),
        }
    }
    kept.reverse();
    (kept, gone)
}

/// Merges neighbouring pieces of ids.
fn joined(entries: Vec<Entry>) -> Vec<Entry> {
    let mut out: Vec<Entry> = Vec::new();
    let mut run = Vec::new();
    for entry in entries {
        match entry {
            Entry::Item(item) => run.push(item),
            part => {
                out.extend(join(std::mem::take(&mut run)).into_iter().map(Entry::Item));
                out.push(part);
            }
        }
    }
    out.extend(join(run).into_iter().map(Entry::Item));
    out
}

fn join(items: Vec<Item>) -> Vec<Item> {
    let mut out: Vec<Item> = Vec::new();
    let mut bytes: Vec<u8> = Vec::new();
    let mut last = i64::MIN;
    for item in items {
        let Bson::Binary(binary) = item.value else { continue };
        if bytes.len() + binary.bytes.len() > PART_BYTES {
            out.push(Item::of_id_bytes(std::mem::take(&mut bytes), last));
            last = i64::MIN;
        }
        bytes.extend_from_slice(&binary.bytes);
        last = last.max(item.last);
    }
    if !bytes.is_empty() {
        out.push(Item::of_id_bytes(bytes, last));
    }
    out
}
