//! A commit: definitions, then groups, then marks.
//!
//! One document is written atomically, with or without a replica set, and nothing else is. Where marks are to be kept
//! with changes, the owner first writes all of both into its own record: the commit is kept from then on, and whoever
//! owns the store next finishes what a crash left. Only the owner can write that record.

use dictrack_core::GroupChange;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::raw::cstr;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Document, RawDocument, RawDocumentBuf, doc};

use super::Inner;
use super::batch::Unmet;
use super::document::{Statement, place, raw};
use super::owner::{OWNER, Session};
use super::server::{DUPLICATE_KEY, concern};
use super::sets::NewSet;
use super::tidy::TIDY_EVERY;
use crate::Error;
use crate::crash::crash_point;
use crate::store::{Held, Mark, Refused, Writers};

/// The bytes of a journal that fit into one document.
const PIECE_BYTES: usize = 12 * 1024 * 1024;

/// What is to be written.
pub(super) struct Plan {
    sets: Vec<NewSet>,
    statements: Vec<Statement>,
    marks: Vec<Mark>,
    /// Whether all is to be kept or nothing.
    together: bool,
}

impl Inner {
    /// Turns changes into statements, and notes which groups may have to be tidied.
    pub(super) fn plan(&self, session: &Session, changes: &[GroupChange], marks: &[Mark]) -> Result<Plan, Error> {
        let claim = |change: &GroupChange| match session.writers {
            Writers::One => session.number(),
            Writers::Many => super::document::number(change.claim),
        };
        let statements: Vec<_> =
            changes.iter().map(|change| Statement::of(change, claim(change))).collect::<Result<_, _>>()?;
        let mut untidy = self.untidy.lock();
        for change in changes {
            let grows = change.ids.len() + change.events.len() + change.completed.len() > 0;
            if grows && change.version / TIDY_EVERY > change.base.unwrap_or(0) / TIDY_EVERY {
                untidy.insert(change.group.clone());
            }
        }
        // Whole groups come to an owner only from an import, which is all or nothing.
        let whole = changes.iter().any(|change| change.base.is_none());
        let together = (!marks.is_empty() || whole) && changes.len() + marks.len() > 1;
        let together = together && session.writers == Writers::One;
        Ok(Plan { sets: self.new_sets(changes), statements, marks: marks.to_vec(), together })
    }

    pub(super) async fn commit(&self, session: &Session, plan: Plan) -> Result<Vec<Refused>, Error> {
        let Plan { sets, statements, marks, together } = plan;
        self.stand(session).await?;
        session.set_unsure(true);
        self.write_sets(&sets, &session.concern).await?;
        self.write_parts(&statements, &session.concern).await?;
        crash_point("before_commit");
        let refused = if together {
            // What follows can be done again from the journal.
            let soon = concern(true, false);
            let marks = marks.iter().map(|mark| mark_update(session, mark)).collect::<Result<Vec<_>, _>>()?;
            let journal = self.write_journal(session, &statements, &marks).await?;
            crash_point("within_commit");
            let unmet = self.apply(&statements, &soon).await?;
            self.none_refused(session, &statements, unmet).await?;
            crash_point("within_commit");
            self.write_marks(session, &marks, &soon).await?;
            crash_point("within_commit");
            self.drop_journal(journal).await?;
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
            let marks = marks.iter().map(|mark| mark_update(session, mark)).collect::<Result<Vec<_>, _>>()?;
            self.write_marks(session, &marks, &session.concern).await?;
            refused
        };
        crash_point("after_commit");
        session.set_unsure(false);
        Ok(refused)
    }

    async fn write_parts(&self, statements: &[Statement], concern: &Document) -> Result<(), Error> {
        let parts = statements.iter().flat_map(|statement| statement.parts.iter().map(|part| (part, &statement.group)));
        let updates: Vec<_> = parts.map(|(part, group)| raw(&part.write(group))).collect::<Result<_, _>>()?;
        self.update_all("write parts of groups", &self.names.parts, &updates, concern).await
    }

    /// With one writer every change follows what the store holds, unless the store has another owner.
    async fn none_refused(&self, session: &Session, statements: &[Statement], unmet: Vec<Unmet>) -> Result<(), Error> {
        let Some(first) = unmet.first() else { return Ok(()) };
        if unmet.iter().any(|unmet| unmet.claim > session.number()) {
            return Err(self.lost(session).await);
        }
        self.beat(session).await?;
        let Statement { group, version, .. } = &statements[first.at];
        Err(Error::corrupt(
            self.server.name(),
            place(group),
            format!(
                "version {version} was to follow, and version {} is there: somebody changed or removed it, or the \
                 server lost acknowledged writes; reopen the store to go on from what it holds",
                first.version
            ),
        ))
    }

    async fn write_marks(&self, session: &Session, marks: &[RawDocumentBuf], soon: &Document) -> Result<(), Error> {
        let mut left = marks;
        while !left.is_empty() {
            let (some, rest) = left.split_at(left.len().min(100));
            let some: Vec<_> = some.iter().collect();
            let (_, problems) = self.update("write marks", &self.names.marks, &some, soon).await?;
            if let Some(problem) = problems.into_iter().next() {
                return Err(if problem.code == DUPLICATE_KEY {
                    self.lost(session).await
                } else {
                    self.server.refused("write marks", problem.code, &problem.message)
                });
            }
            left = rest;
        }
        Ok(())
    }

    /// Writes the journal into the record of the owner.
    async fn write_journal(
        &self,
        session: &Session,
        statements: &[Statement],
        marks: &[RawDocumentBuf],
    ) -> Result<ObjectId, Error> {
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
        if data.len() <= PIECE_BYTES {
            journal.insert("data", binary(data));
        } else {
            let pieces = data.chunks(PIECE_BYTES).enumerate();
            journal.insert("pieces", pieces.len() as i64);
            let updates: Vec<_> = pieces
                .map(|(at, piece)| {
                    let content = doc! {"$setOnInsert": {"data": binary(piece.to_vec())}};
                    raw(&doc! {"q": {"_id": piece_id(id, at as i64)}, "u": content, "upsert": true})
                })
                .collect::<Result<_, _>>()?;
            self.update_all("write the journal", &self.names.meta, &updates, &session.concern).await?;
        }
        self.set_journal(session, journal).await?;
        Ok(id)
    }

    /// Puts what is to be done into the record of the owner, if that is this process.
    pub(super) async fn set_journal(&self, session: &Session, journal: Document) -> Result<(), Error> {
        let filter = doc! {"_id": OWNER, "token": &session.token};
        let update = raw(&doc! {"q": filter, "u": {"$set": {"journal": journal}}})?;
        let written = self.update("write the journal", &self.names.meta, &[&update], &session.concern).await?;
        match written {
            (1, problems) if problems.is_empty() => Ok(()),
            (_, problems) => match problems.into_iter().next() {
                Some(problem) => Err(self.server.refused("write the journal", problem.code, &problem.message)),
                None => Err(self.lost(session).await),
            },
        }
    }

    /// Removes a journal that is done.
    pub(super) async fn drop_journal(&self, id: ObjectId) -> Result<(), Error> {
        let update = doc! {"q": {"_id": OWNER, "journal.id": id}, "u": {"$unset": {"journal": ""}}};
        self.update("remove the journal", &self.names.meta, &[&raw(&update)?], &concern(true, false)).await?;
        let pieces = doc! {"_id": {"$gte": format!("journal:{id}:"), "$lt": format!("journal:{id};")}};
        let command = doc! {"delete": &self.names.meta, "deletes": [{"q": pieces, "limit": 0}]};
        self.server.command("remove the journal", command).await.map(drop)
    }

    /// Does what an earlier owner has written down to do.
    pub(super) async fn replay(&self, session: &Session, journal: &Document) -> Result<(), Error> {
        let place = "the journal of the last owner";
        let damaged = |problem: &str| Error::corrupt(self.server.name(), place, problem);
        let id = journal.get_object_id("id").map_err(|_| damaged("its `id` is missing"))?;
        if journal.get_bool("clear").is_ok_and(|clear| clear) {
            self.empty(session).await?;
            return self.drop_journal(id).await;
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
            // What is newer has it in it.
            if unmet.version < *version {
                let found = format!("version {} of group {group:?} is there, {version} was to follow", unmet.version);
                return Err(damaged(&format!(
                    "{found}; to give the commit up, unset `journal` in the record {OWNER:?}"
                )));
            }
        }
        let marks: Vec<_> = marks.iter().collect();
        for some in marks.chunks(100) {
            // A mark that is there already is newer.
            self.update("write marks", &self.names.marks, some, &session.concern).await?;
        }
        self.drop_journal(id).await
    }

    /// Keeps an earlier owner, which may wake up, from writing marks.
    pub(super) async fn claim_marks(&self, session: &Session) -> Result<(), Error> {
        let update = doc! {"q": {}, "u": {"$max": {"claim": session.number()}}, "multi": true};
        self.update("claim the marks", &self.names.marks, &[&raw(&update)?], &session.concern).await.map(drop)
    }
}

/// The entries of a journal: updates of groups, and of marks.
fn entries(data: &[u8]) -> Result<(Vec<Statement>, Vec<RawDocumentBuf>), String> {
    let (mut statements, mut marks) = (Vec::new(), Vec::new());
    let mut rest = data;
    while !rest.is_empty() {
        let length = rest.first_chunk().map_or(0, |length| i32::from_le_bytes(*length));
        let (entry, more) = usize::try_from(length)
            .ok()
            .and_then(|length| rest.split_at_checked(length))
            .ok_or("an entry of it is cut short")?;
        rest = more;
        let read = || -> Result<(bool, RawDocumentBuf), mongodb::bson::error::Error> {
            let entry = RawDocument::from_bytes(entry)?;
            Ok((entry.get_str("in")? == "groups", entry.get_document("update")?.to_owned()))
        };
        let (of_group, update) = read().map_err(|error| error.to_string())?;
        if of_group {
            statements.push(statement(update).map_err(|error| error.to_string())?);
        } else {
            marks.push(update);
        }
    }
    Ok((statements, marks))
}

fn statement(update: RawDocumentBuf) -> Result<Statement, mongodb::bson::error::Error> {
    let group = update.get_document("q")?.get_str("_id")?.into();
    let set = update.get_document("u")?.get_document("$set")?;
    let (version, claim) = (set.get_i64("version")?, set.get_i64("claim")?);
    Ok(Statement { group, version, claim, update, parts: Vec::new() })
}

fn refusal(unmet: Unmet) -> Refused {
    let held = Held { version: unmet.version.unsigned_abs(), claim: unmet.claim.unsigned_abs() };
    Refused { at: unmet.at, held }
}

/// The update of a mark. One that is removed stays without its text, so that an earlier owner cannot bring it back.
fn mark_update(session: &Session, mark: &Mark) -> Result<RawDocumentBuf, Error> {
    let number = session.number();
    let (mut filter, mut update) = (doc! {"_id": &mark.name}, doc! {"$set": {"text": mark.text.as_deref()}});
    match session.writers {
        Writers::One => drop(filter.insert("claim", doc! {"$lte": number})),
        Writers::Many => {}
    }
    update.insert("$max", doc! {"claim": number});
    raw(&doc! {"q": filter, "u": update, "upsert": true})
}

fn binary(bytes: Vec<u8>) -> Binary {
    Binary { subtype: BinarySubtype::Generic, bytes }
}

fn piece_id(id: ObjectId, at: i64) -> String {
    format!("journal:{id}:{at}")
}
