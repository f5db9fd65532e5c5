//! A commit: definitions, then groups, then marks.
//!
//! Only the write of a single document is atomic, with or without a replica set. If marks have to be kept together with
//! changes, the owner first writes all of them into its own record, the journal: from then on the commit is kept, and
//! the next owner finishes what a crash left. Only the owner can write that record.

use mongodb::bson::oid::ObjectId;
use mongodb::bson::raw::cstr;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, DateTime, Document, RawDocument, RawDocumentBuf, doc};

use super::Inner;
use super::batch::Unmet;
use super::document::{Statement, number, place, raw};
use super::owner::{OWNER, Session};
use super::server::{DUPLICATE_KEY, concern};
use super::sets::NewSet;
use super::tidy::{TIDY_EVERY, WAITING};
use crate::Error;
use crate::crash::crash_point;
use crate::store::{Held, Mark, Refused, Unsaved, Writers};

/// The maximum bytes of a journal that fit into one document.
const PIECE_BYTES: usize = 12 * 1024 * 1024;
/// The prefix of the `_id`s of the pieces of a larger one.
const PIECE: &str = "journal:";

/// What a commit has to write.
pub(super) struct Plan {
    /// The position of this attempt among all attempts.
    stamp: i64,
    sets: Vec<NewSet>,
    statements: Vec<Statement>,
    /// The updates of marks.
    marks: Vec<RawDocumentBuf>,
    /// Whether everything must be kept or nothing.
    together: bool,
}

impl Inner {
    /// Turns changes into statements, and notes which groups may have to be tidied.
    pub(super) fn plan(&self, session: &Session, changes: &[Unsaved], marks: &[Mark]) -> Result<Plan, Error> {
        let stamp = session.next_stamp();
        let statement = |Unsaved { change, claim }: &Unsaved| match session.writers {
            Writers::One => Statement::of(change, stamp, session.first),
            Writers::Many => Statement::of(change, number(*claim), number(*claim)),
        };
        let statements: Vec<_> = changes.iter().map(statement).collect::<Result<_, _>>()?;
        let mut untidy = self.untidy.lock();
        for Unsaved { change, .. } in changes {
            let grows = change.ids.len() + change.events.len() + change.completed.len() > 0;
            let passes = change.version / TIDY_EVERY > change.base.unwrap_or(0) / TIDY_EVERY;
            if grows && passes && untidy.len() < WAITING {
                untidy.insert(change.group.clone());
            }
        }
        // An owner gets whole groups only from an import, which is all or nothing.
        let whole = changes.iter().any(|unsaved| unsaved.change.base.is_none());
        let together = (!marks.is_empty() || whole) && changes.len() + marks.len() > 1;
        let together = together && session.writers == Writers::One;
        let marks = marks.iter().map(|mark| mark_update(session, stamp, mark)).collect::<Result<_, _>>()?;
        Ok(Plan { stamp, sets: self.new_sets(changes), statements, marks, together })
    }

    pub(super) async fn commit(&self, session: &Session, plan: Plan) -> Result<Vec<Refused>, Error> {
        self.stand(session).await?;
        session.attempted(self.write(session, plan).await)
    }

    async fn write(&self, session: &Session, plan: Plan) -> Result<Vec<Refused>, Error> {
        let Plan { stamp, sets, statements, marks, together } = plan;
        self.write_sets(&sets, &session.concern).await?;
        self.write_parts(&statements, &session.concern).await?;
        crash_point("before_commit");
        let refused = if together {
            let journal = self.write_journal(session, stamp, &statements, &marks).await?;
            crash_point("within_commit");
            // As safe as the journal: the groups in memory build on it, even if the server is killed.
            let unmet = self.apply(&statements, &session.concern).await?;
            self.none_refused(session, &statements, unmet).await?;
            crash_point("within_commit");
            self.write_marks(session, &marks, &session.concern).await?;
            crash_point("within_commit");
            self.drop_journal(&journal).await?;
            Vec::new()
        } else {
            let unmet = self.apply(&statements, &session.concern).await?;
            let refused = match session.writers {
                Writers::One => {
                    self.none_refused(session, &statements, unmet).await?;
                    Vec::new()
                }
                Writers::Many => unmet.into_iter().map(refusal).collect(),
            };
            self.write_marks(session, &marks, &session.concern).await?;
            refused
        };
        crash_point("after_commit");
        Ok(refused)
    }

    async fn write_parts(&self, statements: &[Statement], concern: &Document) -> Result<(), Error> {
        let parts = statements.iter().flat_map(|statement| statement.parts.iter().map(|part| (part, &statement.group)));
        let updates: Vec<_> = parts.map(|(part, group)| raw(&part.write(group))).collect::<Result<_, _>>()?;
        self.insert("write parts of groups", &self.names.parts, &updates, concern).await
    }

    /// With one writer, every change follows what the store holds, unless the store has another owner.
    async fn none_refused(&self, session: &Session, statements: &[Statement], unmet: Vec<Unmet>) -> Result<(), Error> {
        let Some(first) = unmet.first() else { return Ok(()) };
        if unmet.iter().any(|unmet| unmet.claim > session.last_stamp()) {
            return Err(self.lost(session).await);
        }
        self.beat(session).await?;
        let Statement { group, version, .. } = &statements[first.at];
        Err(Error::corrupt(
            self.server.name(),
            place(group),
            format!(
                "expected to write version {version}, but found version {}: someone changed or removed it, or the \
                 server lost acknowledged writes; reopen the store to go on from what it holds",
                first.version
            ),
        ))
    }

    async fn write_marks(&self, session: &Session, marks: &[RawDocumentBuf], concern: &Document) -> Result<(), Error> {
        let failed = self.updates("write marks", &self.names.marks, marks, concern).await?;
        match failed.into_iter().next() {
            None => Ok(()),
            // The mark exists and belongs to a later owner.
            Some(problem) if problem.code == DUPLICATE_KEY => Err(self.lost(session).await),
            Some(problem) => Err(self.server.refused("write marks", problem.code, &problem.message)),
        }
    }

    /// Writes the journal into the owner's record; returns its name and the number of its pieces.
    async fn write_journal(
        &self,
        session: &Session,
        stamp: i64,
        statements: &[Statement],
        marks: &[RawDocumentBuf],
    ) -> Result<Document, Error> {
        let id = ObjectId::new();
        let mut data = Vec::new();
        for (collection, updates) in [
            ("groups", statements.iter().map(|statement| &statement.update).collect::<Vec<_>>()),
            ("marks", marks.iter().collect()),
        ] {
            for update in updates {
                let mut entry = RawDocumentBuf::new();
                entry.append(cstr!("in"), collection);
                entry.append(cstr!("update"), update);
                data.extend_from_slice(entry.as_bytes());
            }
        }
        let mut journal = doc! {"id": id};
        if data.len() > PIECE_BYTES {
            let pieces = data.chunks(PIECE_BYTES).enumerate();
            journal.insert("pieces", pieces.len() as i64);
            let updates: Vec<_> = pieces
                .map(|(at, piece)| {
                    let content = doc! {"$setOnInsert": {"data": binary(piece.to_vec())}, "$currentDate": {"at": true}};
                    raw(&doc! {"q": {"_id": piece_id(id, at as i64)}, "u": content, "upsert": true})
                })
                .collect::<Result<_, _>>()?;
            self.insert("write the journal", &self.names.meta, &updates, &session.concern).await?;
            data = Vec::new();
        }
        let named = journal.clone();
        if !data.is_empty() {
            journal.insert("data", binary(data));
        }
        self.set_journal(session, stamp, journal).await?;
        Ok(named)
    }

    /// Writes the journal into the owner's record, if this process is still the owner and this is its latest attempt.
    pub(super) async fn set_journal(&self, session: &Session, stamp: i64, journal: Document) -> Result<(), Error> {
        let filter = doc! {"_id": OWNER, "token": &session.token, "stamp": {"$not": {"$gte": stamp}}};
        let update = raw(&doc! {"q": filter, "u": {"$set": {"journal": journal, "stamp": stamp}}})?;
        let written = self.update("write the journal", &self.names.meta, &[&update], &session.concern).await?;
        match written {
            (1, problems) if problems.is_empty() => Ok(()),
            (_, problems) => match problems.into_iter().next() {
                Some(problem) => Err(self.server.refused("write the journal", problem.code, &problem.message)),
                None => Err(self.lost(session).await),
            },
        }
    }

    /// Removes a finished journal.
    pub(super) async fn drop_journal(&self, journal: &Document) -> Result<(), Error> {
        let action = "remove the journal";
        let id = journal.get("id").cloned();
        let update = raw(&doc! {"q": {"_id": OWNER, "journal.id": id}, "u": {"$unset": {"journal": ""}}})?;
        self.insert(action, &self.names.meta, &[update], &concern(true, false)).await?;
        if let (Ok(id), true) = (journal.get_object_id("id"), journal.contains_key("pieces")) {
            let pieces = doc! {"_id": {"$gte": format!("{PIECE}{id}:"), "$lt": format!("{PIECE}{id};")}};
            let command = doc! {"delete": &self.names.meta, "deletes": [{"q": pieces, "limit": 0}]};
            self.server.command(action, command).await?;
        }
        Ok(())
    }

    /// Removes pieces of journals that no record ever referred to.
    pub(super) async fn sweep_journals(&self, before: DateTime) -> Result<(), Error> {
        let pieces = doc! {"_id": {"$gte": PIECE, "$lt": "journal;"}, "at": {"$lt": before}};
        let command = doc! {"delete": &self.names.meta, "deletes": [{"q": pieces, "limit": 0}]};
        self.server.command("remove pieces of journals", command).await.map(drop)
    }

    /// Finishes the commit that an earlier owner left in its journal.
    pub(super) async fn replay(&self, session: &Session, journal: &Document) -> Result<(), Error> {
        let place = "the journal of the last owner";
        let damaged = |problem: &str| Error::corrupt(self.server.name(), place, problem);
        let id = journal.get_object_id("id").map_err(|_| damaged("its `id` is missing"))?;
        if let (Ok(stamp), Ok(at)) = (journal.get_i64("empty"), journal.get_datetime("at")) {
            self.empty(session, stamp, *at).await?;
            return self.drop_journal(journal).await;
        }
        let data = match journal.get_i64("pieces") {
            Ok(pieces) => {
                let mut data = Vec::new();
                for at in 0..pieces {
                    let filter = doc! {"_id": piece_id(id, at)};
                    let piece = self.server.find_one("read the journal", &self.names.meta, filter, None).await?;
                    let piece = piece.ok_or_else(|| damaged("a piece of it is missing"))?;
                    data.extend_from_slice(piece.get_binary_generic("data").map_err(|_| damaged("no data"))?);
                }
                data
            }
            Err(_) => journal.get_binary_generic("data").map_err(|_| damaged("its `data` is missing"))?.clone(),
        };
        let (statements, marks) = entries(&data).map_err(|problem| damaged(&problem))?;
        tracing::info!(groups = statements.len(), "finishing the commit of an earlier owner");
        for unmet in self.apply(&statements, &session.concern).await? {
            let Statement { group, version, .. } = &statements[unmet.at];
            // A newer version includes the change.
            if unmet.version < *version {
                let found =
                    format!("found version {} of group {group:?}, but expected to write {version}", unmet.version);
                return Err(damaged(&format!(
                    "{found}; to give the commit up, unset `journal` in the record {OWNER:?}"
                )));
            }
        }
        // A mark that already exists is newer.
        self.insert("write marks", &self.names.marks, &marks, &session.concern).await?;
        self.drop_journal(journal).await
    }

    /// Prevents an earlier owner, which may wake up, from writing marks.
    pub(super) async fn claim_marks(&self, session: &Session) -> Result<(), Error> {
        let update = raw(&doc! {"q": {}, "u": {"$max": {"claim": session.stamp()}}, "multi": true})?;
        self.insert("claim the marks", &self.names.marks, &[update], &session.concern).await
    }
}

/// The entries of a journal: updates of groups and of marks.
fn entries(data: &[u8]) -> Result<(Vec<Statement>, Vec<RawDocumentBuf>), String> {
    let (mut statements, mut marks) = (Vec::new(), Vec::new());
    let mut rest = data;
    while !rest.is_empty() {
        let length = rest.first_chunk().map_or(0, |length| i32::from_le_bytes(*length));
        let (entry, more) = usize::try_from(length)
            .ok()
            .and_then(|length| rest.split_at_checked(length))
            .ok_or("an entry is incomplete")?;
        rest = more;
        let read = || -> Result<(bool, RawDocumentBuf), mongodb::bson::error::Error> {
            let entry = RawDocument::from_bytes(entry)?;
            Ok((entry.get_str("in")? == "groups", entry.get_document("update")?.to_owned()))
        };
        let (of_group, update) = read().map_err(|error| error.to_string())?;
        if of_group {
            statements.push(Statement::read(update).map_err(|error| error.to_string())?);
        } else {
            marks.push(update);
        }
    }
    Ok((statements, marks))
}

fn refusal(unmet: Unmet) -> Refused {
    let held = Held { version: unmet.version.unsigned_abs(), claim: unmet.claim.unsigned_abs() };
    Refused { at: unmet.at, held }
}

/// The update of a mark. A removed mark stays without its text, so that a late write cannot bring it back.
fn mark_update(session: &Session, stamp: i64, mark: &Mark) -> Result<RawDocumentBuf, Error> {
    let mut filter = doc! {"_id": &mark.name};
    if session.writers == Writers::One {
        filter.insert("claim", doc! {"$lt": stamp});
    }
    let update = doc! {
        "$set": {"text": mark.text.as_deref()}, "$max": {"claim": stamp}, "$currentDate": {"updated_at": true},
    };
    raw(&doc! {"q": filter, "u": update, "upsert": true})
}

fn binary(bytes: Vec<u8>) -> Binary {
    Binary { subtype: BinarySubtype::Generic, bytes }
}

fn piece_id(id: ObjectId, at: i64) -> String {
    format!("{PIECE}{id}:{at}")
}
