//! Claims groups for a cache that is going to change them.

use std::time::Duration;

use mongodb::bson::{Document, doc};

use super::document::{GroupDocument, held};
use super::owner::Session;
use super::server::{Server, backend, concern};
use super::{Inner, READS};
use crate::Error;
use crate::store::Writers;

/// The minimum time for which the trace of a claim stays if there is no group. A change based on it may be on its way.
const TRACE: Duration = Duration::from_secs(60 * 60);

impl Inner {
    /// The group and the number of its claim.
    pub(super) async fn claim(&self, group: &str) -> Result<(Option<GroupDocument>, u64), Error> {
        let session = self.session()?;
        if !session.careful {
            // The previous writer has ended, and everything that it sent has arrived.
            return Ok((self.read(group).await?, 0));
        }
        let claim = async || {
            self.stand(&session).await?;
            self.claimed(&session, group).await
        };
        let head = Server::in_all("claim a group", claim).await?;
        let (_, claim) = held(self.server.name(), group, &head)?;
        let stored = match self.completed(group, head).await? {
            Some(stored) => stored,
            None => self.read(group).await?,
        };
        Ok((stored, if session.writers == Writers::Many { claim.unsigned_abs() } else { 0 }))
    }

    /// The document of a group after the claim; it may be no more than the trace of the claim.
    async fn claimed(&self, session: &Session, group: &str) -> Result<Document, Error> {
        let action = "claim a group";
        let mut filter = doc! {"_id": group, "version": {"$gte": 0}};
        let (claim, concern) = match session.writers {
            Writers::One => {
                filter.insert("claim", doc! {"$lte": session.last_stamp()});
                (doc! {"$max": ["$claim", session.first]}, session.concern.clone())
            }
            // A claim must never be given twice, whatever happens to the server.
            Writers::Many => (doc! {"$max": [{"$add": ["$claim", 1_i64]}, session.stamp()]}, concern(true, true)),
        };
        let trace = doc! {"$add": ["$$NOW", trace_of(session)]};
        let purge_at = doc! {"$cond": [{"$gt": ["$version", 0]}, "$$REMOVE", trace]};
        let version = doc! {"$ifNull": ["$version", 0_i64]};
        let command = doc! {
            "findAndModify": &self.names.groups, "query": filter, "upsert": true, "new": true,
            "update": [{"$set": {"version": version, "claim": claim, "purge_at": purge_at}}], "writeConcern": concern,
        };
        for _ in 0..READS {
            let reply = self.server.command_unless_taken(action, command.clone()).await?;
            if let Some(head) = reply.and_then(|reply| reply.get_document("value").ok().cloned()) {
                return Ok(head);
            }
            // A document is there that does not match: it is not a group, it belongs to a later owner, or it was just
            // created.
            let found = self.server.find_one(action, &self.names.groups, doc! {"_id": group}, None).await?;
            let (_, claim) = found.map_or(Ok((0, 0)), |found| held(self.server.name(), group, &found))?;
            if session.writers == Writers::One && claim > session.last_stamp() {
                return Err(self.lost(session).await);
            }
        }
        Err(backend(action, format!("other processes keep creating and removing group {group:?}")))
    }
}

/// How long the trace of a claim stays, in milliseconds.
pub(super) fn trace_of(session: &Session) -> i64 {
    let least = i64::try_from(TRACE.as_millis()).unwrap_or(i64::MAX);
    match session.writers {
        Writers::One => least,
        Writers::Many => least.max(session.limits.id_window.micros() / 1_000),
    }
}
