//! Many guarded updates in a few commands.

use std::collections::HashMap;
use std::time::Duration;

use mongodb::bson::raw::cstr;
use mongodb::bson::{Document, RawArrayBuf, RawDocumentBuf, doc};
use mongodb::options::FindOptions;

use super::Inner;
use super::document::{Statement, held, raw};
use super::server::{DUPLICATE_KEY, TOO_LARGE, WriteError, time_for};
use crate::Error;

/// The maximum number of statements in a command.
const STATEMENTS: usize = 1_000;
/// The maximum bytes of a command, unless a single statement is larger; a server accepts 16 MiB.
const BYTES: usize = 4 * 1024 * 1024;

/// How often a statement that fits is applied again.
const AGAIN: usize = 3;

/// A statement that did not find what it follows, and what it found.
#[derive(Debug)]
pub(super) struct Unmet {
    pub(super) at: usize,
    pub(super) version: i64,
    pub(super) claim: i64,
}

impl Inner {
    /// Applies updates of groups, and lists those that the store does not hold afterwards: they were applied neither
    /// now nor by an earlier attempt whose reply was lost.
    pub(super) async fn apply(&self, statements: &[Statement], concern: &Document) -> Result<Vec<Unmet>, Error> {
        let mut unmet = Vec::new();
        let mut first = 0;
        while first < statements.len() {
            let count = fitting(&statements[first..], |statement| statement.update.as_bytes().len());
            let some = &statements[first..first + count];
            for mut found in self.try_apply(some, concern).await? {
                // Between the check for a group and its creation, another process left the trace of a claim.
                for _ in 0..AGAIN {
                    let statement = &some[found.at];
                    if !statement.fits(found.version, found.claim) {
                        break;
                    }
                    match self.try_apply(std::slice::from_ref(statement), concern).await?.pop() {
                        Some(again) => found = Unmet { at: found.at, ..again },
                        None => {
                            found.version = statement.version;
                            found.claim = statement.claim;
                        }
                    }
                }
                if !some[found.at].is_done(found.version, found.claim) {
                    unmet.push(Unmet { at: first + found.at, ..found });
                }
            }
            first += count;
        }
        Ok(unmet)
    }

    /// Applies updates that fit into one command.
    async fn try_apply(&self, statements: &[Statement], concern: &Document) -> Result<Vec<Unmet>, Error> {
        let updates: Vec<_> = statements.iter().map(|statement| &statement.update).collect();
        let (done, problems) = self.update("write groups", &self.names.groups, &updates, concern).await?;
        if done == statements.len() {
            return Ok(Vec::new());
        }
        let sure = done + problems.len() == statements.len();
        let mut doubtful: Vec<usize> = if sure { Vec::new() } else { (0..statements.len()).collect() };
        for WriteError { at, code, message } in problems {
            let Some(statement) = statements.get(at) else { continue };
            let action = format!("write the group {:?}", statement.group);
            if TOO_LARGE.contains(&code) {
                self.tidy_now(&statement.group).await?;
                let (_, left) = self.update(&action, &self.names.groups, &[&statement.update], concern).await?;
                if let Some(problem) = left.iter().find(|problem| problem.code != DUPLICATE_KEY) {
                    return Err(self.server.refused(&action, problem.code, &problem.message));
                }
            } else if code != DUPLICATE_KEY {
                return Err(self.server.refused(&action, code, &message));
            }
            // A group that was to be created already exists, or a large one may be smaller now.
            if sure {
                doubtful.push(at);
            }
        }
        self.unmet(statements, &doubtful).await
    }

    /// The statements at the positions `doubtful` whose result the store does not hold.
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
            if !statement.is_done(version, claim) {
                unmet.push(Unmet { at, version, claim });
            }
        }
        Ok(unmet)
    }

    /// Runs one `update` command; returns how many statements matched or inserted a document, and which failed.
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
        // A millisecond per group.
        let more = Duration::from_millis(updates.len() as u64) + time_for(bytes);
        let (reply, problems) = self.server.write(action, command, self.server.limit() + more).await?;
        let done = reply.get_i32("n").ok().and_then(|done| usize::try_from(done).ok()).unwrap_or(0);
        Ok((done, problems))
    }

    /// Runs updates in as many commands as they need; returns those that failed permanently.
    pub(super) async fn updates(
        &self,
        action: &str,
        collection: &str,
        updates: &[RawDocumentBuf],
        concern: &Document,
    ) -> Result<Vec<WriteError>, Error> {
        let (mut left, mut failed) = (updates, Vec::new());
        while !left.is_empty() {
            let (some, rest) = left.split_at(fitting(left, |update| update.as_bytes().len()));
            let some: Vec<_> = some.iter().collect();
            let (_, problems) = self.update(action, collection, &some, concern).await?;
            failed.extend(problems);
            left = rest;
        }
        Ok(failed)
    }

    /// Runs updates that insert documents which may exist already.
    pub(super) async fn insert(
        &self,
        action: &str,
        collection: &str,
        updates: &[RawDocumentBuf],
        concern: &Document,
    ) -> Result<(), Error> {
        let failed = self.updates(action, collection, updates, concern).await?;
        // If two processes insert the same document at once, one of them does it.
        match failed.into_iter().find(|problem| problem.code != DUPLICATE_KEY) {
            Some(problem) => Err(self.server.refused(action, problem.code, &problem.message)),
            None => Ok(()),
        }
    }
}

/// How many of the first items fit into one command; at least one.
fn fitting<T>(items: &[T], size: impl Fn(&T) -> usize) -> usize {
    let mut bytes = 0;
    let fits = |item: &&T| {
        bytes += size(item);
        bytes <= BYTES
    };
    items.iter().take(STATEMENTS).take_while(fits).count().max(1)
}
