//! The collections of a store, their format and their indexes.

use std::time::Duration;

use mongodb::bson::{Bson, Document, doc};
use mongodb::options::{FindOptions, Hint};

use super::Inner;
use super::document::{foreign, raw};
use super::server::backend;
use crate::Error;

/// The version of the format.
const VERSION: i64 = 2;
/// The `_id` of the record with the format.
const FORMAT: &str = "format";

/// How long creating the indexes may take, which the first use of a collection waits for.
const INDEXES_WITHIN: Duration = Duration::from_secs(10);

/// The names of the collections.
pub(super) struct Names {
    /// One document per group.
    pub(super) groups: String,
    /// Definition sets.
    pub(super) sets: String,
    /// What does not fit into the documents of groups.
    pub(super) parts: String,
    pub(super) marks: String,
    /// The format and the records of writers.
    pub(super) meta: String,
}

impl Names {
    pub(super) fn of(collection: &str) -> Self {
        Self {
            groups: collection.to_owned(),
            sets: format!("{collection}.sets"),
            parts: format!("{collection}.parts"),
            marks: format!("{collection}.marks"),
            meta: format!("{collection}.meta"),
        }
    }
}

/// The indexes of the groups.
pub(super) fn indexes() -> [Document; 3] {
    [
        // Few groups have undelivered events.
        doc! {"name": "undelivered", "key": {"pending": 1}, "partialFilterExpression": {"pending": true}},
        // Shows which definitions are in use without reading every group.
        doc! {"name": "set", "key": {"set": 1}, "sparse": true},
        doc! {"name": "purge", "key": {"purge_at": 1}, "expireAfterSeconds": 0, "sparse": true},
    ]
}

impl Inner {
    /// Checks that the collections are a store of a known version, or still empty.
    pub(super) async fn check(&self) -> Result<(), Error> {
        self.check_kind().await?;
        let format = self.server.find_one("read the format", &self.names.meta, doc! {"_id": FORMAT}, None).await?;
        let Some(format) = format else {
            let action = "look at the groups";
            return match self.server.find_one(action, &self.names.groups, Document::new(), None).await? {
                // Whatever removed the record of the format has removed the rest of `meta` too, and with it the owner's
                // epoch.
                Some(document) if document.contains_key("version") && document.contains_key("claim") => {
                    let problem = "the record of the format is missing, although there are groups";
                    Err(Error::corrupt(self.server.name(), format!("the collection {}", self.names.meta), problem))
                }
                Some(document) => Err(foreign(self.server.name(), &document)),
                None if self.read_only => Err(backend("read the store", format!("{} is empty", self.server.name()))),
                None => Ok(()),
            };
        };
        match format.get_i64("version") {
            // What is new in format 2 is optional.
            Ok(1 | VERSION) => self.check_ids().await,
            Ok(found) if found > VERSION => {
                Err(Error::NewerVersion { store: self.server.name().into(), found, known: VERSION })
            }
            _ => {
                let place = format!("the record {FORMAT:?} in {}", self.names.meta);
                Err(Error::corrupt(self.server.name(), place, "`version` is not what dictrack writes"))
            }
        }
    }

    /// Refuses views and other things that are not plain collections, and collations that give different groups the
    /// same id.
    async fn check_kind(&self) -> Result<(), Error> {
        let command = doc! {"listCollections": 1, "filter": {"name": &self.names.groups}};
        let reply = self.server.command("look at the collection", command).await?;
        let batch = reply.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
        let Some(found) = batch.ok().and_then(|batch| batch.first()?.as_document()) else { return Ok(()) };
        let kind = found.get_str("type").unwrap_or("collection");
        let collated = found.get_document("options").is_ok_and(|options| options.contains_key("collation"));
        let problem = match kind {
            "collection" if collated => {
                "it has a collation, with which different strings can be the same id".to_owned()
            }
            "collection" => return Ok(()),
            kind => format!("it is a {kind}; expected a collection"),
        };
        let namespace = self.server.namespace(&self.names.groups);
        Err(backend("use the collection", format!("{namespace}: {problem}; use another one")))
    }

    /// Refuses documents whose `_id` is not a string: those that sort before the first string or after the last one.
    async fn check_ids(&self) -> Result<(), Error> {
        let (least, most) = (doc! {"_id": Bson::MinKey}, doc! {"_id": Bson::MaxKey});
        for (from, to) in [(least, doc! {"_id": ""}), (doc! {"_id": {}}, most)] {
            let hint = Some(Hint::Keys(doc! {"_id": 1}));
            let options = FindOptions::builder().min(from).max(to).hint(hint).limit(-1).build();
            let found = self.server.find("look at the groups", &self.names.groups, Document::new(), options).await?;
            if let Some(document) = found.first() {
                return Err(foreign(self.server.name(), document));
            }
        }
        Ok(())
    }

    /// Creates what a store needs before its first group.
    pub(super) async fn prepare(&self) -> Result<(), Error> {
        self.check().await?;
        let format = doc! {"q": {"_id": FORMAT}, "u": {"$max": {"version": VERSION}}, "upsert": true};
        let command = doc! {"update": &self.names.meta, "updates": [format]};
        self.server.command("write the format", command).await?;
        let command = doc! {"createIndexes": &self.names.groups, "indexes": indexes().to_vec()};
        self.server.command_within("make the indexes", raw(&command)?, INDEXES_WITHIN).await.map(drop)
    }
}
