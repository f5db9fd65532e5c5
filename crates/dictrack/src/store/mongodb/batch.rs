//! Many guarded updates in few commands.

use std::collections::HashMap;
use std::time::Duration;

use mongodb::bson::raw::cstr;
use mongodb::bson::{Document, RawArrayBuf, RawDocumentBuf, doc};
use mongodb::options::FindOptions;

use super::Inner;
use super::document::{Statement, held, raw};
use super::server::{DUPLICATE_KEY, TOO_LARGE, WriteError};
use crate::Error;

/// The statements of one command.
const STATEMENTS: usize = 1_000;
/// The bytes of one command; a server takes 16 MiB.
const BYTES: usize = 12 * 1024 * 1024;

/// A statement that did not find what it follows, and what is there.
#[derive(Debug)]
pub(super) struct Unmet {
    pub(super) at: usize,
    pub(super) version: i64,
    pub(super) claim: i64,
}

impl Inner {
    /// Applies updates of groups, and lists those that the store does not hold afterwards: neither done now nor by an
    /// earlier attempt, whose reply was lost.
    pub(super) async fn apply(&self, statements: &[Statement], concern: &Document) -> Result<Vec<Unmet>, Error> {
        let mut unmet = Vec::new();
        let mut first = 0;
        while first < statements.len() {
            let count = fitting(&statements[first..], |statement| statement.update.as_bytes().len());
            let some = &statements[first..first + count];
            let updates: Vec<_> = some.iter().map(|statement| &statement.update).collect();
            let (done, problems) = self.update("write groups", &self.names.groups, &updates, concern).await?;
            let sure = done + problems.len() == some.len();
            let mut doubtful: Vec<usize> = if sure { Vec::new() } else { (0..some.len()).collect() };
            for WriteError { at, code, message } in problems {
                let Some(statement) = some.get(at) else { continue };
                if TOO_LARGE.contains(&code) {
                    self.tidy_now(&statement.group).await?;
                    let again = Box::pin(self.apply_one(statement, concern)).await?;
                    unmet.extend(again.map(|found| Unmet { at: first + at, ..found }));
                    doubtful.retain(|&other| other != at);
                } else if code == DUPLICATE_KEY {
                    // A group that was to be new is there.
                    if sure {
                        doubtful.push(at);
                    }
                } else {
                    let action = format!("write the group {:?}", statement.group);
                    return Err(self.server.refused(&action, code, &message));
                }
            }
            let others = self.unmet(some, &doubtful).await?;
            unmet.extend(others.into_iter().map(|found| Unmet { at: first + found.at, ..found }));
            first += count;
        }
        unmet.sort_by_key(|found| found.at);
        Ok(unmet)
    }

    /// Applies an update of a group that was just made smaller.
    async fn apply_one(&self, statement: &Statement, concern: &Document) -> Result<Option<Unmet>, Error> {
        let (_, problems) = self.update("write a group", &self.names.groups, &[&statement.update], concern).await?;
        if let Some(problem) = problems.into_iter().find(|problem| problem.code != DUPLICATE_KEY) {
            let action = format!("write the group {:?}", statement.group);
            return Err(self.server.refused(&action, problem.code, &problem.message));
        }
        Ok(self.unmet(std::slice::from_ref(statement), &[0]).await?.pop())
    }

    /// Of the statements at the positions `doubtful`, those that the store does not hold.
    async fn unmet(&self, statements: &[Statement], doubtful: &[usize]) -> Result<Vec<Unmet>, Error> {
        if doubtful.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<&str> = doubtful.iter().map(|&at| statements[at].group.as_str()).collect();
        let options = FindOptions::builder().projection(doc! {"version": 1, "claim": 1}).build();
        let filter = doc! {"_id": {"$in": ids}};
        let found = self.server.find("look at groups", &self.names.groups, filter, options).await?;
        let found: HashMap<&str, &Document> =
            found.iter().filter_map(|document| Some((document.get_str("_id").ok()?, document))).collect();
        let mut unmet = Vec::new();
        for &at in doubtful {
            let statement = &statements[at];
            let (version, claim) = match found.get(statement.group.as_str()) {
                Some(document) => held(self.server.name(), &statement.group, document)?,
                None => (0, 0),
            };
            if (version, claim) != (statement.version, statement.claim) {
                unmet.push(Unmet { at, version, claim });
            }
        }
        Ok(unmet)
    }

    /// Runs one `update` command: how many statements found or made something, and which failed.
    pub(super) async fn update(
        &self,
        action: &str,
        collection: &str,
        updates: &[&RawDocumentBuf],
        concern: &Document,
    ) -> Result<(usize, Vec<WriteError>), Error> {
        let mut list = RawArrayBuf::new();
        let mut bytes = 0;
        for update in updates {
            bytes += update.as_bytes().len();
            list.push(*update);
        }
        let mut command = RawDocumentBuf::new();
        command.append(cstr!("update"), collection);
        command.append(cstr!("updates"), list);
        command.append(cstr!("ordered"), false);
        command.append(cstr!("writeConcern"), raw(concern)?);
        // A millisecond a group, and one for every ten kilobytes.
        let more = Duration::from_millis((updates.len() + bytes / 10_000) as u64);
        let (reply, problems) = self.server.write(action, command, self.server.limit() + more).await?;
        let done = reply.get_i32("n").ok().and_then(|done| usize::try_from(done).ok()).unwrap_or(0);
        Ok((done, problems))
    }

    /// Runs updates of which none has to find anything and none may fail, in as many commands as they need.
    pub(super) async fn update_all(
        &self,
        action: &str,
        collection: &str,
        updates: &[RawDocumentBuf],
        concern: &Document,
    ) -> Result<(), Error> {
        let mut left = updates;
        while !left.is_empty() {
            let (some, rest) = left.split_at(fitting(left, |update| update.as_bytes().len()));
            let some: Vec<_> = some.iter().collect();
            let (_, problems) = self.update(action, collection, &some, concern).await?;
            // Two who insert the same at a time: one of them does.
            if let Some(problem) = problems.into_iter().find(|problem| problem.code != DUPLICATE_KEY) {
                return Err(self.server.refused(action, problem.code, &problem.message));
            }
            left = rest;
        }
        Ok(())
    }
}

/// How many of the first items one command takes; at least one.
fn fitting<T>(items: &[T], size: impl Fn(&T) -> usize) -> usize {
    let mut bytes = 0;
    let fits = |item: &&T| {
        bytes += size(item);
        bytes <= BYTES
    };
    items.iter().take(STATEMENTS).take_while(fits).count().max(1)
}
