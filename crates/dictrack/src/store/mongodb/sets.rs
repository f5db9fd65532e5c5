//! Definition sets: each is written once, before a group refers to it.

use std::sync::Arc;

use dictrack_core::{TrackerDefinition, group::ContentHash};
use mongodb::bson::{DateTime, Document, doc};
use mongodb::options::FindOptions;

use super::Inner;
use super::document::raw;
use crate::Error;
use crate::store::Unsaved;
use crate::store::record::{restore_definitions, set_text};

/// The maximum bytes of a set's text in one document.
const TEXT_BYTES: usize = 8 * 1024 * 1024;

/// A set that may not be in the store yet.
pub(super) struct NewSet {
    hash: ContentHash,
    text: String,
}

impl Inner {
    /// The sets of changes that this process has not seen in the store.
    pub(super) fn new_sets(&self, changes: &[Unsaved]) -> Vec<NewSet> {
        let known = self.sets.lock();
        let mut new: Vec<NewSet> = Vec::new();
        for Unsaved { change, .. } in changes {
            let hash = change.set.hash();
            if !known.contains(&hash) && !new.iter().any(|set| set.hash == hash) {
                new.push(NewSet { hash, text: set_text(&change.set) });
            }
        }
        new
    }

    pub(super) async fn write_sets(&self, sets: &[NewSet], concern: &Document) -> Result<(), Error> {
        if sets.is_empty() {
            return Ok(());
        }
        let mut updates = Vec::new();
        let insert = |id: String, content: Document| {
            // The time shows that the set is about to be used, even if it exists already.
            let update = doc! {"$setOnInsert": content, "$currentDate": {"used_at": true}};
            raw(&doc! {"q": {"_id": id}, "u": update, "upsert": true})
        };
        for set in sets {
            let mut pieces = pieces(&set.text);
            let first = pieces.next().unwrap_or_default();
            let mut count = 0_i32;
            // The document that a group refers to comes last: if it is there, the others are too.
            for piece in pieces {
                count += 1;
                let content = doc! {"trackers": piece, "continues": set.hash.to_string()};
                updates.push(insert(piece_id(set.hash, count), content)?);
            }
            let mut content = doc! {"trackers": first};
            if count > 0 {
                content.insert("pieces", count);
            }
            updates.push(insert(set.hash.to_string(), content)?);
        }
        self.insert("write definitions", &self.names.sets, &updates, concern).await?;
        self.sets.lock().extend(sets.iter().map(|set| set.hash));
        Ok(())
    }

    /// The text of a set.
    pub(super) async fn set_text(&self, hash: ContentHash) -> Result<Option<String>, Error> {
        let action = "read definitions";
        let found = self.server.find_one(action, &self.names.sets, doc! {"_id": hash.to_string()}, None).await?;
        let Some(found) = found else { return Ok(None) };
        let mut text = self.piece(&found, hash)?.to_owned();
        for piece in 1..=found.get_i32("pieces").unwrap_or(0) {
            let filter = doc! {"_id": piece_id(hash, piece)};
            let more = self.server.find_one(action, &self.names.sets, filter, None).await?;
            let damaged = || self.damaged(hash, format!("piece {piece} of it is missing"));
            text.push_str(self.piece(&more.ok_or_else(damaged)?, hash)?);
        }
        Ok(Some(text))
    }

    fn piece<'a>(&self, document: &'a Document, hash: ContentHash) -> Result<&'a str, Error> {
        document.get_str("trackers").map_err(|_| self.damaged(hash, "`trackers` is not a string".to_owned()))
    }

    fn damaged(&self, hash: ContentHash, problem: String) -> Error {
        Error::corrupt(self.server.name(), format!("definition set {hash}"), problem)
    }

    /// The definitions of all sets, without duplicates.
    pub(super) async fn definitions(&self) -> Result<Vec<Arc<TrackerDefinition>>, Error> {
        let action = "read definitions";
        let filter = doc! {"continues": {"$exists": false}};
        let found = self.server.find(action, &self.names.sets, filter, FindOptions::default()).await?;
        let mut all: Vec<Arc<TrackerDefinition>> = Vec::new();
        for document in found {
            let id = document.get_str("_id").unwrap_or_default();
            let Some(hash) = ContentHash::parse(id) else {
                let place = format!("the document {:?} of {}", id, self.names.sets);
                return Err(Error::corrupt(self.server.name(), place, "it is not a definition set"));
            };
            let text = match document.get_i32("pieces") {
                Ok(_) => self.set_text(hash).await?.unwrap_or_default(),
                Err(_) => self.piece(&document, hash)?.to_owned(),
            };
            all.extend(restore_definitions(&text).map_err(|problem| self.damaged(hash, problem))?);
            if all.len() > 1_000 {
                distinct(&mut all);
            }
        }
        distinct(&mut all);
        Ok(all)
    }

    /// Drops sets that no group uses any more; only some of them if there are very many. `now` is the server's time:
    /// sets used from then on stay, however late the server runs this.
    pub(super) async fn drop_unused_sets(&self, now: DateTime) -> Result<(), Error> {
        const PAGE: usize = 1_000;
        const PAGES: usize = 10;
        let action = "drop unused definitions";
        let mut after = String::new();
        for _ in 0..PAGES {
            let filter = doc! {"_id": {"$gt": &after}, "continues": {"$exists": false}};
            let options = FindOptions::builder().sort(doc! {"_id": 1}).limit(PAGE as i64);
            let options = options.projection(doc! {"pieces": 1}).build();
            let page = self.server.find(action, &self.names.sets, filter, options).await?;
            let id = |document: &Document| document.get_str("_id").unwrap_or_default().to_owned();
            let Some(last) = page.last() else { break };
            after = id(last);
            let ids: Vec<String> = page.iter().map(id).collect();
            let command = doc! {"distinct": &self.names.groups, "key": "set", "query": {"set": {"$in": &ids}}};
            let reply = self.server.command(action, command).await?;
            let used = reply.get_array("values").cloned().unwrap_or_default();
            let mut unused: Vec<String> = Vec::new();
            for (document, id) in page.iter().zip(ids) {
                if !used.iter().any(|used| used.as_str() == Some(&id)) {
                    let pieces = 1..=document.get_i32("pieces").unwrap_or(0);
                    unused.extend(pieces.map(|piece| format!("{id}/{piece}")));
                    unused.push(id);
                }
            }
            if !unused.is_empty() {
                let filter = doc! {"_id": {"$in": unused}, "used_at": {"$lt": now}};
                let command = doc! {"delete": &self.names.sets, "deletes": [{"q": filter, "limit": 0}]};
                self.server.command(action, command).await?;
            }
        }
        Ok(())
    }
}

fn distinct(definitions: &mut Vec<Arc<TrackerDefinition>>) {
    definitions.sort_by_key(|definition| definition.hash());
    definitions.dedup();
}

fn piece_id(hash: ContentHash, piece: i32) -> String {
    format!("{hash}/{piece}")
}

/// The text, split into pieces that fit into a document.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, more) = rest.split_at(rest.floor_char_boundary(TEXT_BYTES));
        rest = more;
        Some(piece)
    })
}
