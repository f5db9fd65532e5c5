//! Emptying the store.

use std::time::Duration;

use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, DateTime, Document, doc};

use super::Inner;
use super::claim::trace_of;
use super::document::raw;
use super::owner::Session;
use crate::Error;
use crate::store::Writers;

/// How long emptying the store may take.
const EMPTY_WITHIN: Duration = Duration::from_secs(60);

impl Inner {
    /// Removes every group and mark. If an owner crashes meanwhile, the next one finishes.
    pub(super) async fn clear(&self) -> Result<(), Error> {
        let session = self.session()?;
        let now = self.beat(&session).await?;
        let stamp = session.next_stamp();
        let work = async {
            if session.writers == Writers::Many {
                return self.empty(&session, stamp, now).await;
            }
            let id = ObjectId::new();
            self.set_journal(&session, stamp, doc! {"id": id, "empty": stamp, "at": now}).await?;
            self.empty(&session, stamp, now).await?;
            self.drop_journal(&doc! {"id": id}).await
        };
        session.attempted(work.await)
    }

    /// Removes every group and mark; an owner removes only those up to a stamp and a time, so that what it writes later
    /// stays, however late the server runs this. If removed groups may still be written, traces of them stay for a
    /// while.
    pub(super) async fn empty(&self, session: &Session, stamp: i64, now: DateTime) -> Result<(), Error> {
        self.untidy.lock().clear();
        let run = async |command: Document| {
            self.server.command_within("empty the store", raw(&command)?, EMPTY_WITHIN).await.map(drop)
        };
        let (mut groups, mut marks) = (doc! {"version": {"$gte": 0}}, Document::new());
        let claim = match session.writers {
            Writers::One => {
                groups.insert("claim", doc! {"$lte": stamp});
                marks.insert("claim", doc! {"$lte": stamp});
                doc! {"$max": ["$claim", stamp]}
            }
            Writers::Many => doc! {"$max": [{"$add": ["$claim", 1_i64]}, stamp]},
        };
        if !session.careful && !session.abandoned() {
            self.sets.lock().clear();
            for (collection, filter) in [
                (&self.names.groups, groups),
                (&self.names.marks, marks),
                (&self.names.parts, doc! {"at": {"$lte": now}}),
                (&self.names.sets, doc! {"used_at": {"$lte": now}}),
            ] {
                let all = doc! {"q": filter, "limit": 0};
                run(doc! {"delete": collection, "deletes": [all], "writeConcern": &session.concern}).await?;
            }
            return Ok(());
        }
        let purge_at = doc! {"$add": ["$$NOW", trace_of(session)]};
        let trace = doc! {"_id": "$_id", "version": 0_i64, "claim": claim, "purge_at": purge_at};
        let emptied = |collection: &String, filter: Document, update: Bson| {
            let update = doc! {"q": filter, "u": update, "multi": true};
            doc! {"update": collection, "updates": [update], "writeConcern": &session.concern}
        };
        run(emptied(&self.names.groups, groups, Bson::Array(vec![doc! {"$replaceWith": trace}.into()]))).await?;
        let update = doc! {"$set": {"text": null}, "$max": {"claim": stamp}, "$currentDate": {"updated_at": true}};
        run(emptied(&self.names.marks, marks, update.into())).await
    }
}
