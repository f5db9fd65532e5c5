//! Which processes write the store: one owner, or those that share a cache.
//!
//! The record `owner` names the only writer; each of many writers has a record `shared:<token>`. Records carry a
//! heartbeat by the server's clock: a writer that does not renew it for ten seconds may be taken over, and one that has
//! certainly ended may be taken over at once. Each writer that registers raises `epoch`. What an owner writes carries a
//! stamp that begins with the epoch and grows with every attempt. The server refuses late writes: those of an earlier
//! owner that wakes up, and those of an attempt whose reply was given up.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock, Weak};
use std::time::Duration;

use dictrack_core::group::Limits;
use dictrack_core::zone::Zones;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, DateTime, Document, doc};
use parking_lot::Mutex;

use super::Inner;
use super::server::{Server, backend, concern};
use crate::Error;
use crate::clock::Stopwatch;
use crate::store::Writers;

/// The `_id` of the owner's record.
pub(super) const OWNER: &str = "owner";
/// The prefix of the `_id`s of shared writers' records, and the end of that range.
const SHARED: [&str; 2] = ["shared:", "shared;"];
/// The fields of a record that describe a process.
const OF_PROCESS: [&str; 7] = ["token", "host", "pid", "machine", "start", "since", "heartbeat"];
/// The field with the version of the time zone data: of the process, and in the record `owner` of the last process that
/// registered. Only `doctor` reads it.
const ZONE_DATA: &str = "zone_data";
/// The number of heartbeats in the time after which an owner may be taken over.
const BEATS: u32 = 10;
/// How often shared writers begin a new epoch, so that claims whose trace was purged are not given again.
const NEW_EPOCH: Duration = Duration::from_secs(3_600);
/// How often another process may come first before registering gives up.
const RACES: u32 = 20;

/// The tokens of the sessions of this process.
static LIVE: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);

/// What `begin` agreed on.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) writers: Writers,
    pub(super) limits: Limits,
    /// The write concern of a save.
    pub(super) concern: Document,
    /// Identifies this manager among those of all processes.
    pub(super) token: String,
    /// Whether writes of an earlier writer may still arrive: groups are then claimed before they are used.
    pub(super) careful: bool,
    /// Whether a writer that may still wake up was ever taken over.
    pub(super) held_up: bool,
    /// The first stamp.
    pub(super) first: i64,
    /// The last stamp of the owner; with many writers, the lowest claim that is given.
    stamp: AtomicI64,
    confirmed: Mutex<Confirmed>,
    renewed: Mutex<Stopwatch>,
    taken: OnceLock<Taken>,
    /// Whether the last attempt to write failed and parts of it may still arrive.
    unsure: AtomicBool,
    /// Whether that ever happened.
    abandoned: AtomicBool,
}

/// When the server confirmed the record.
#[derive(Clone, Copy, Debug)]
struct Confirmed {
    /// By this process's clock.
    since: Stopwatch,
    /// By the server's clock.
    at: DateTime,
}

/// The process that has the store instead.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) host: Box<str>,
    pub(super) pid: Box<str>,
}

/// Whether the writer of a record is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Alive,
    /// It has gone silent, and may come back.
    Silent,
    Dead,
}

/// What an earlier owner left.
pub(super) type Journal = Option<Document>;

impl Session {
    /// The last stamp.
    pub(super) fn stamp(&self) -> i64 {
        self.stamp.load(Ordering::Relaxed)
    }

    /// The highest stamp possible in this epoch.
    pub(super) fn last_stamp(&self) -> i64 {
        self.stamp() | 0xFFFF_FFFF
    }

    /// The stamp of another attempt to write.
    pub(super) fn next_stamp(&self) -> i64 {
        self.stamp.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Whether another process has the store.
    pub(super) fn is_taken(&self) -> bool {
        self.taken.get().is_some()
    }

    /// Whether writes that were sent and given up may still arrive.
    pub(super) fn abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed)
    }

    /// Records how an attempt to write went.
    pub(super) fn attempted<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        self.unsure.store(result.is_err(), Ordering::Relaxed);
        self.abandoned.fetch_or(result.is_err(), Ordering::Relaxed);
        result
    }

    fn confirm(&self, confirmed: Confirmed) {
        *self.confirmed.lock() = confirmed;
    }

    /// The same agreement with different limits and a different durability.
    fn renewed(&self, limits: Limits, concern: Document) -> Self {
        Self {
            writers: self.writers,
            limits,
            concern,
            token: self.token.clone(),
            careful: self.careful,
            held_up: self.held_up,
            first: self.first,
            stamp: AtomicI64::new(self.stamp()),
            confirmed: Mutex::new(*self.confirmed.lock()),
            renewed: Mutex::new(*self.renewed.lock()),
            taken: OnceLock::new(),
            unsure: AtomicBool::new(self.unsure.load(Ordering::Relaxed)),
            abandoned: AtomicBool::new(self.abandoned()),
        }
    }
}

/// The stamps of an epoch are higher than those of all earlier ones.
fn first_stamp(epoch: i64) -> i64 {
    epoch.saturating_mul(1 << 32)
}

/// Whether an epoch has used half of its stamps.
fn is_used_up(stamp: i64) -> bool {
    stamp & 0xFFFF_FFFF > 1 << 31
}

impl Inner {
    /// The session, if the store was begun and still belongs to this process.
    pub(super) fn session(&self) -> Result<Arc<Session>, Error> {
        let session = self.session.lock().clone();
        let session = session.ok_or_else(|| backend("write", "the store is not in use by a manager; call `begin`"))?;
        match session.taken.get() {
            Some(taken) => Err(self.taken_over(taken)),
            None => Ok(session),
        }
    }

    fn taken_over(&self, by: &Taken) -> Error {
        Error::TakenOver { store: self.server.name().into(), host: by.host.clone(), pid: by.pid.clone() }
    }

    /// The error for a store that another process has taken; it also ends this session.
    pub(super) async fn lost(&self, session: &Session) -> Error {
        let taken = match self.records().await {
            Ok(records) => {
                let other = |record: &&Document| token_of(record).is_some_and(|other| other != session.token);
                taken_by(records.iter().find(other).unwrap_or(&Document::new()))
            }
            Err(error) => return error,
        };
        self.taken_over(session.taken.get_or_init(|| taken))
    }

    /// Registers this process as a writer; returns what an earlier owner left to do.
    pub(super) async fn register(
        &self,
        writers: Writers,
        limits: Limits,
        concern: Document,
    ) -> Result<(Session, Journal), Error> {
        let known = self.session.lock().clone();
        if let Some(known) = known.filter(|known| known.writers == writers && !known.is_taken()) {
            self.beat(&known).await?;
            return Ok((known.renewed(limits, concern), None));
        }
        let token = ObjectId::new().to_hex();
        LIVE.lock().insert(token.clone());
        let entered = Server::patiently(|| self.enter(writers, &token)).await;
        let entered = entered.inspect_err(|_| {
            LIVE.lock().remove(&token);
        })?;
        let session = Session {
            writers,
            limits,
            concern,
            token,
            careful: entered.careful || writers == Writers::Many,
            held_up: entered.held_up,
            first: first_stamp(entered.epoch),
            stamp: AtomicI64::new(first_stamp(entered.epoch)),
            confirmed: Mutex::new(entered.confirmed),
            renewed: Mutex::new(Stopwatch::start()),
            taken: OnceLock::new(),
            unsure: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
        };
        Ok((session, entered.journal))
    }

    /// Writes the record of this process, then checks again for others: of two that begin at the same time, at least
    /// one sees the other.
    async fn enter(&self, writers: Writers, token: &str) -> Result<Entered, Error> {
        if writers == Writers::Many {
            self.write_shared(token).await?;
        }
        for _ in 0..RACES {
            let records = self.records().await?;
            if let Some(other) = self.excluded(writers, token, &records) {
                self.leave(writers, token, false).await?;
                return Err(self.owned(other));
            }
            let since = Stopwatch::start();
            let Some((owner, found)) = self.write_owner(writers, token, &records).await? else { continue };
            let gone = |record: &&Document| id_of(record) != OWNER && id_of(record) != shared_id(token);
            for record in records.iter().filter(gone).filter(|record| self.life(record) != Life::Alive) {
                let one = doc! {"_id": id_of(record), "heartbeat": record.get("heartbeat").cloned()};
                let command = doc! {"delete": &self.names.meta, "deletes": [{"q": one, "limit": 1}]};
                self.server.command("remove the record of a writer that is gone", command).await?;
            }
            let records = self.records().await?;
            if let Some(other) = self.excluded(writers, token, &records) {
                self.leave(writers, token, found.careful).await?;
                return Err(self.owned(other));
            }
            let epoch = owner.get_i64("epoch").map_err(|_| self.bad_record("epoch"))?;
            let at = *owner.get_datetime("changed_at").map_err(|_| self.bad_record("changed_at"))?;
            let journal = owner.get_document("journal").ok().cloned();
            return Ok(Entered {
                epoch,
                careful: found.careful || found.held_up || journal.is_some(),
                held_up: found.held_up,
                journal,
                confirmed: Confirmed { since, at },
            });
        }
        Err(backend("register as a writer", "other processes keep starting and stopping"))
    }

    /// The first live writer that must not write beside this one.
    fn excluded<'a>(&self, writers: Writers, token: &str, records: &'a [Document]) -> Option<&'a Document> {
        records.iter().find(|record| concerns(writers, token, record) && self.life(record) == Life::Alive)
    }

    /// Writes the record `owner`, if it has not changed since it was read. If there is one writer, its process is
    /// written into it. Returns the new record, and the state in which the store was found.
    async fn write_owner(
        &self,
        writers: Writers,
        token: &str,
        records: &[Document],
    ) -> Result<Option<(Document, Found)>, Error> {
        let before = records.iter().find(|record| id_of(record) == OWNER);
        let others = records.iter().filter(|record| token_of(record).is_some_and(|other| other != token));
        let left: Vec<Life> = others.map(|record| self.life(record)).filter(|life| *life != Life::Alive).collect();
        let flag = |key: &str| before.is_some_and(|before| before.get_bool(key).unwrap_or(false));
        let found = Found {
            held_up: flag("held_up") || left.contains(&Life::Silent),
            careful: flag("unclean")
                || !left.is_empty()
                // The record is from this attempt, whose first reply was lost: what it said before is unknown.
                || before.is_some_and(|before| token_of(before) == Some(token)),
        };
        let mut filter = doc! {"_id": OWNER};
        let mut epoch = 1;
        match before {
            Some(before) => {
                epoch = before.get_i64("epoch").map_err(|_| self.bad_record("epoch"))?;
                filter.insert("epoch", epoch);
                filter.insert("token", before.get("token").cloned().unwrap_or(doc! {"$exists": false}.into()));
                epoch += 1;
            }
            None => drop(filter.insert("epoch", doc! {"$exists": false})),
        }
        let mut set = doc! {"epoch": epoch, "held_up": found.held_up, "unclean": "$$REMOVE", "changed_at": "$$NOW"};
        // It stays when this writer leaves.
        set.insert(ZONE_DATA, literal(Zones::version()));
        match writers {
            Writers::One => {
                set.extend(self.of_process(token));
                set.insert("mode", "one");
            }
            Writers::Many => {
                set.extend(OF_PROCESS.map(|key| (key.to_owned(), Bson::from("$$REMOVE"))));
                set.insert("mode", "many");
            }
        }
        let command = doc! {
            "findAndModify": &self.names.meta, "query": filter, "update": [{"$set": set}], "new": true,
            "upsert": before.is_none(), "writeConcern": concern(true, true),
        };
        let reply = self.server.command_unless_taken("register as a writer", command).await?;
        let owner = reply.and_then(|reply| reply.get_document("value").ok().cloned());
        Ok(owner.map(|owner| (owner, found)))
    }

    /// What a process says about itself in a record, as expressions for the server's updates.
    fn of_process(&self, token: &str) -> Document {
        let fields = self.process.to_document().into_iter().map(|(key, value)| (key, literal(value)));
        let mut fields: Document = fields.collect();
        fields.insert("token", token);
        fields.insert("since", "$$NOW");
        fields.insert("heartbeat", "$$NOW");
        fields
    }

    async fn write_shared(&self, token: &str) -> Result<(), Error> {
        let mut set = self.of_process(token);
        set.insert("mode", "many");
        set.insert(ZONE_DATA, literal(Zones::version()));
        let update = doc! {"q": {"_id": shared_id(token)}, "u": [{"$set": set}], "upsert": true};
        let command = doc! {"update": &self.names.meta, "updates": [update], "writeConcern": concern(true, true)};
        self.server.command("register as one of many writers", command).await.map(drop)
    }

    /// The records of writers, each with the age of its heartbeat in milliseconds.
    async fn records(&self) -> Result<Vec<Document>, Error> {
        self.records_and(doc! {"$project": {"journal": 0}}).await
    }

    /// Like [`records`](Self::records), but with `journal` for whether there is one.
    pub(super) async fn records_and_journal(&self) -> Result<Vec<Document>, Error> {
        self.records_and(doc! {"$set": {"journal": {"$ne": [{"$type": "$journal"}, "missing"]}}}).await
    }

    async fn records_and(&self, journal: Document) -> Result<Vec<Document>, Error> {
        let [first, behind] = SHARED;
        let pipeline = [
            doc! {"$match": {"$or": [{"_id": OWNER}, {"_id": {"$gte": first, "$lt": behind}}]}},
            journal,
            doc! {"$addFields": {"age": {"$subtract": ["$$NOW", "$heartbeat"]}}},
        ];
        let command =
            doc! {"aggregate": &self.names.meta, "pipeline": pipeline.to_vec(), "cursor": {"batchSize": 1_000}};
        let reply = self.server.command("look for other writers", command).await?;
        let batch = reply.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
        Ok(batch.into_iter().flatten().filter_map(Bson::as_document).cloned().collect())
    }

    pub(super) fn life(&self, record: &Document) -> Life {
        // The server's clock may have gone back meanwhile.
        let age = record.get_i64("age").ok().map(|age| Duration::from_millis(u64::try_from(age).unwrap_or(0)));
        // A store of this process may have been dropped while the server was unreachable.
        let dropped = self.process.is_of(record) && token_of(record).is_some_and(|token| !LIVE.lock().contains(token));
        match age {
            _ if dropped || self.process.has_ended(record) => Life::Dead,
            Some(age) if age < self.taken_over_after => Life::Alive,
            _ => Life::Silent,
        }
    }

    fn owned(&self, by: &Document) -> Error {
        let Taken { host, pid } = taken_by(by);
        Error::Owned { store: self.server.name().into(), host, pid }
    }

    fn bad_record(&self, field: &str) -> Error {
        Error::corrupt(self.server.name(), format!("the record {OWNER:?}"), format!("`{field}` was changed"))
    }

    /// Renews the heartbeat; returns the server's time.
    ///
    /// # Errors
    /// [`Error::TakenOver`] if the record belongs to another process.
    pub(super) async fn beat(&self, session: &Session) -> Result<DateTime, Error> {
        let since = Stopwatch::start();
        let id = match session.writers {
            Writers::One => OWNER.to_owned(),
            Writers::Many => shared_id(&session.token),
        };
        let command = doc! {
            "findAndModify": &self.names.meta, "query": {"_id": id, "token": &session.token},
            "update": [{"$set": {"heartbeat": "$$NOW"}}], "new": true, "fields": {"heartbeat": 1},
        };
        let reply = self.server.command("renew the heartbeat", command).await?;
        let confirmed = match reply.get_document("value").and_then(|record| record.get_datetime("heartbeat")) {
            Ok(heartbeat) => Confirmed { since, at: *heartbeat },
            Err(_) if session.writers == Writers::One => return Err(self.lost(session).await),
            // Other processes thought that this one had ended. Unless there is an owner, it continues.
            Err(_) => match self.enter(Writers::Many, &session.token).await {
                Ok(entered) => {
                    session.stamp.fetch_max(first_stamp(entered.epoch), Ordering::Relaxed);
                    // An owner that came and went may have dropped definitions.
                    self.sets.lock().clear();
                    entered.confirmed
                }
                Err(Error::Owned { .. }) => return Err(self.lost(session).await),
                Err(error) => return Err(error),
            },
        };
        session.confirm(confirmed);
        let renew = match session.writers {
            Writers::One => is_used_up(session.stamp()),
            Writers::Many => session.renewed.lock().elapsed() > NEW_EPOCH,
        };
        if renew {
            self.begin_epoch(session).await?;
        }
        Ok(confirmed.at)
    }

    async fn begin_epoch(&self, session: &Session) -> Result<(), Error> {
        let still = match session.writers {
            Writers::One => doc! {"_id": OWNER, "token": &session.token},
            Writers::Many => doc! {"_id": OWNER, "mode": "many"},
        };
        let command = doc! {
            "findAndModify": &self.names.meta, "query": still,
            "update": {"$inc": {"epoch": 1_i64}}, "new": true, "fields": {"epoch": 1},
        };
        let reply = self.server.command("begin a new epoch", command).await?;
        if let Ok(epoch) = reply.get_document("value").and_then(|owner| owner.get_i64("epoch")) {
            session.stamp.fetch_max(first_stamp(epoch), Ordering::Relaxed);
        }
        *session.renewed.lock() = Stopwatch::start();
        Ok(())
    }

    /// Checks that the record still belongs to this process, unless that was confirmed recently: before writing, in
    /// case the process was suspended.
    pub(super) async fn stand(&self, session: &Session) -> Result<(), Error> {
        let since = session.confirmed.lock().since;
        if since.elapsed() < self.taken_over_after / 2 { Ok(()) } else { self.beat(session).await.map(drop) }
    }

    /// Withdraws the record, so that the next writer need not wait.
    pub(super) async fn leave(&self, writers: Writers, token: &str, unclean: bool) -> Result<(), Error> {
        let action = "take the record of this writer back";
        let command = match writers {
            Writers::One => {
                let mut set = doc! {"mode": "none"};
                if unclean {
                    set.insert("unclean", true);
                }
                let gone: Document = OF_PROCESS.iter().map(|key| ((*key).to_owned(), Bson::from(""))).collect();
                let update = doc! {"q": {"_id": OWNER, "token": token}, "u": {"$set": set, "$unset": gone}};
                doc! {"update": &self.names.meta, "updates": [update]}
            }
            Writers::Many => {
                let own = doc! {"q": {"_id": shared_id(token)}, "limit": 1};
                doc! {"delete": &self.names.meta, "deletes": [own]}
            }
        };
        self.server.command(action, command).await.map(drop)
    }

    /// Ends a session when its store is dropped.
    pub(super) async fn end(&self, session: &Session) -> Result<(), Error> {
        LIVE.lock().remove(&session.token);
        // If it is unsure, a shared writer leaves its record behind: the next writer that finds it is careful.
        let unsure = session.writers == Writers::Many && session.unsure.load(Ordering::Relaxed);
        if session.is_taken() || unsure {
            return Ok(());
        }
        self.leave(session.writers, &session.token, session.abandoned()).await
    }
}

/// Renews the heartbeat for as long as the session lasts. It does not keep the store alive.
pub(super) async fn keep_beating(inner: Weak<Inner>, token: String, taken_over_after: Duration) {
    loop {
        tokio::time::sleep(taken_over_after / BEATS).await;
        let Some(inner) = inner.upgrade() else { return };
        let session = inner.session.lock().clone();
        let Some(session) = session.filter(|session| session.token == token) else { return };
        match inner.beat(&session).await {
            Ok(_) => {}
            Err(error @ Error::TakenOver { .. }) => {
                tracing::error!(%error, "another process has the store");
                return;
            }
            Err(error) => tracing::debug!(%error, "the heartbeat was not renewed"),
        }
    }
}

/// The state in which a writer found the store.
struct Found {
    held_up: bool,
    careful: bool,
}

struct Entered {
    epoch: i64,
    careful: bool,
    held_up: bool,
    journal: Journal,
    confirmed: Confirmed,
}

/// Whether the record belongs to another process, which must not write while this one does.
fn concerns(writers: Writers, token: &str, record: &Document) -> bool {
    let other = token_of(record).is_some_and(|other| other != token);
    other && (id_of(record) == OWNER || writers == Writers::One)
}

/// A value as an expression for the server's updates.
fn literal(value: impl Into<Bson>) -> Bson {
    doc! {"$literal": value.into()}.into()
}

pub(super) fn zone_data_of(record: &Document) -> Option<&str> {
    record.get_str(ZONE_DATA).ok()
}

pub(super) fn token_of(record: &Document) -> Option<&str> {
    record.get_str("token").ok()
}

fn shared_id(token: &str) -> String {
    format!("{}{token}", SHARED[0])
}

pub(super) fn id_of(record: &Document) -> &str {
    record.get_str("_id").unwrap_or_default()
}

pub(super) fn taken_by(record: &Document) -> Taken {
    let host = record.get_str("host").unwrap_or("(unknown)").into();
    let pid = record.get_i64("pid").map_or_else(|_| "(unknown)".into(), |pid| pid.to_string().into());
    Taken { host, pid }
}
