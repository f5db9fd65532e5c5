//! Examines a server and its collections before programs rely on them. `docs/doctor.md` lists what it can find.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use mongodb::bson::{Bson, Document, doc};

use super::owner::{Life, OWNER, id_of, taken_by, token_of, zone_data_of};
use super::schema::indexes;
use super::server::Server;
use super::{Inner, MongoStore, on_runtime};
use crate::Error;
use crate::doctor::{Examination, Level, Setup};
use crate::store::read_some;

/// What the user of a writer must be allowed to do on the database's collections.
const NEEDED: [&str; 6] = ["find", "insert", "update", "remove", "createCollection", "createIndex"];

impl MongoStore {
    /// Examines the server and the store: version, round trips, whether it is a replica set, indexes, other writers,
    /// and whether this user may do what dictrack does. Nothing is written.
    pub(super) async fn look(&self, setup: &Setup) -> Examination {
        let subject = format!("store {}", self.inner.server.name());
        let (inner, setup) = (Arc::clone(&self.inner), setup.clone());
        let looked = on_runtime(async move {
            let mut found = Examination::new(subject);
            if let Err(error) = inner.look(&mut found, &setup).await {
                found.error(&error);
            }
            Ok(found)
        });
        let mut examination = match looked.await {
            Ok(found) => found,
            Err(error) => return Examination::failed(format!("store {}", self.inner.server.name()), &error),
        };
        if examination.level() < Some(Level::Problem) {
            read_some(self, &mut examination).await;
        }
        examination
    }
}

impl Inner {
    async fn look(&self, found: &mut Examination, setup: &Setup) -> Result<(), Error> {
        let hello = self.ask("look at the server", doc! {"hello": 1}).await?;
        let ping = || async { self.server.command("ping", doc! {"ping": 1}).await.map(drop) };
        found.time_round_trips(ping).await?;
        let before = setup.clock.now().micros();
        let now = self.ask("read the clock", doc! {"hello": 1}).await?;
        let here = before.midpoint(setup.clock.now().micros());
        if let Ok(there) = now.get_datetime("localTime") {
            found.compare_clocks(here, there.timestamp_millis().saturating_mul(1_000));
        }
        let version = match self.ask("read the version", doc! {"buildInfo": 1}).await {
            Ok(info) => info.get_str("version").unwrap_or("not shown").to_owned(),
            Err(_) => "not shown".to_owned(),
        };
        found.fact("server", format!("MongoDB {version}"));
        self.look_at_topology(found, &hello).await?;
        self.look_at_rights(found).await?;
        self.look_at_indexes(found).await?;
        self.look_at_writers(found, setup).await
    }

    /// The reply to a command that only reads.
    async fn ask(&self, action: &'static str, command: Document) -> Result<Document, Error> {
        Server::in_all(action, || self.server.command(action, command.clone())).await
    }

    /// Like [`ask`](Self::ask), about the server as a whole; `None` if the server refuses to tell this user.
    async fn ask_server(&self, action: &'static str, command: Document) -> Result<Option<Document>, Error> {
        match Server::in_all(action, || self.server.admin_command(action, command.clone())).await {
            Ok(reply) => Ok(Some(reply)),
            Err(error) if error.is_temporary() => Err(error),
            Err(_) => Ok(None),
        }
    }

    async fn look_at_topology(&self, found: &mut Examination, hello: &Document) -> Result<(), Error> {
        if hello.get_str("msg").is_ok_and(|kind| kind == "isdbgrid") {
            found.fact("kind", "a sharded cluster");
            return Ok(());
        }
        let Ok(set) = hello.get_str("setName") else {
            found.fact("kind", "a standalone server");
            found.find(
                Level::Warning,
                "standalone",
                "the server is standalone, not a replica set",
                "if it is killed with os or interval, up to the last 100 ms are lost; if its disk is lost, everything is",
                "turn it into a replica set (rs.initiate()), or use the durability fsync and make backups",
            );
            return Ok(());
        };
        let members = hello.get_array("hosts").map_or(0, Vec::len);
        found.fact("kind", format!("replica set {set}, {members} members with data"));
        let Some(status) = self.ask_server("look at the replica set", doc! {"replSetGetStatus": 1}).await? else {
            return Ok(());
        };
        let down = |member: &&Document| member.get_f64("health").is_ok_and(|health| health == 0.0);
        let members = status.get_array("members").into_iter().flatten().filter_map(Bson::as_document);
        for member in members.filter(down) {
            let name = member.get_str("name").unwrap_or("(unknown)");
            found.find(
                Level::Warning,
                "member_down",
                format!("the member {name} of the replica set is unreachable"),
                "without a majority of members nothing is acknowledged, since writes use w: majority",
                "bring it back, or remove it from the set (rs.remove)",
            );
        }
        Ok(())
    }

    async fn look_at_rights(&self, found: &mut Examination) -> Result<(), Error> {
        let status = self.ask("look at the user", doc! {"connectionStatus": 1, "showPrivileges": true}).await?;
        let Ok(info) = status.get_document("authInfo") else { return Ok(()) };
        let users = info.get_array("authenticatedUsers").into_iter().flatten().filter_map(Bson::as_document);
        let Some(user) = users.map(|user| user.get_str("user").unwrap_or("(unknown)")).next() else { return Ok(()) };
        let database = self.server.database();
        let covers = |privilege: &&Document| {
            privilege.get_document("resource").is_ok_and(|on| {
                let any = on.get_bool("anyResource").unwrap_or(false);
                let name = |key: &str| on.get_str(key).ok();
                // Privileges on one collection do not cover the other collections of a store.
                any || (matches!(name("db"), Some(db) if db.is_empty() || db == database)
                    && name("collection") == Some(""))
            })
        };
        let privileges = info.get_array("authenticatedUserPrivileges").into_iter().flatten();
        let allowed: BTreeSet<&str> = privileges
            .filter_map(Bson::as_document)
            .filter(covers)
            .flat_map(|privilege| privilege.get_array("actions").into_iter().flatten().filter_map(Bson::as_str))
            .collect();
        found.fact("user", user);
        let missing: Vec<_> = NEEDED.into_iter().filter(|action| !allowed.contains(action)).collect();
        if !missing.is_empty() {
            found.find(
                Level::Problem,
                "rights",
                format!("the user {user:?} may not {} in the database {database:?}", missing.join(", ")),
                "programs with this login cannot write; show and export only need find",
                format!("db.grantRolesToUser({user:?}, [{{role: \"readWrite\", db: {database:?}}}])"),
            );
        }
        Ok(())
    }

    async fn look_at_indexes(&self, found: &mut Examination) -> Result<(), Error> {
        let command = doc! {"listCollections": 1, "filter": {"name": &self.names.groups}, "nameOnly": true};
        let reply = self.ask("look at the collection", command).await?;
        let collections = reply.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
        if collections.is_ok_and(Vec::is_empty) {
            found.find(
                Level::Note,
                "empty",
                "there is no store yet",
                "the first program that writes creates collections and indexes",
                "",
            );
            return Ok(());
        }
        let reply = self.ask("look at the indexes", doc! {"listIndexes": &self.names.groups}).await?;
        let batch = reply.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
        let there: Vec<&Document> = batch.into_iter().flatten().filter_map(Bson::as_document).collect();
        for wanted in indexes() {
            let name = wanted.get_str("name").unwrap_or_default();
            let slow = match name {
                "undelivered" => "finding undelivered events reads every group",
                "set" => "removing unused definitions reads every group",
                _ => "traces of claims are never removed",
            };
            match there.iter().find(|index| index.get_str("name").is_ok_and(|found| found == name)) {
                None => found.find(
                    Level::Warning,
                    "index_missing",
                    format!("the index {name:?} of {} is missing", self.server.namespace(&self.names.groups)),
                    slow,
                    "the next program that writes creates it",
                ),
                Some(index) if wanted.iter().any(|(key, value)| !same(index.get(key), value)) => found.find(
                    Level::Problem,
                    "index_differs",
                    format!(
                        "the index {name:?} of {} differs from that of dictrack",
                        self.server.namespace(&self.names.groups)
                    ),
                    "the next program that writes fails",
                    format!(
                        "db.getCollection({:?}).dropIndex({name:?}); dictrack then creates it again",
                        self.names.groups
                    ),
                ),
                Some(_) => {}
            }
        }
        Ok(())
    }

    async fn look_at_writers(&self, found: &mut Examination, setup: &Setup) -> Result<(), Error> {
        let records = Server::in_all("look for writers", || self.records_and_journal()).await?;
        let (mut alive, mut shared) = (Vec::new(), 0);
        for record in records.iter().filter(|record| token_of(record).is_some()) {
            let by = taken_by(record);
            let age =
                Duration::from_millis(record.get_i64("age").ok().and_then(|age| u64::try_from(age).ok()).unwrap_or(0));
            let who = format!("process {} on {}, heard of {:.1} s ago", by.pid, by.host, age.as_secs_f64());
            let owner = id_of(record) == OWNER;
            match self.life(record) {
                Life::Alive if owner => alive.push(who),
                Life::Alive => shared += 1,
                life if owner => {
                    let when =
                        if life == Life::Dead { "at once" } else { "now, since its heartbeat is older than 10 s" };
                    found.find(
                        Level::Note,
                        "owner_gone",
                        format!("the last owner, {who}, did not shut down cleanly"),
                        format!("the next writer can take over the store {when}"),
                        "",
                    );
                }
                // The next process that shares the cache clears away what earlier ones left.
                _ => {}
            }
        }
        let zone_data = records.iter().filter_map(|record| {
            let version = zone_data_of(record)?.to_owned();
            let by = taken_by(record);
            match id_of(record) {
                OWNER => Some((version, "the last program that began to write the store".to_owned())),
                _ if self.life(record) == Life::Alive => Some((version, format!("process {} on {}", by.pid, by.host))),
                _ => None,
            }
        });
        found.compare_zone_data(&zone_data.collect::<Vec<_>>());
        if records.iter().any(|record| id_of(record) == OWNER && record.get_bool("journal").unwrap_or(false)) {
            found.find(
                Level::Note,
                "unfinished",
                "a commit of an owner is recorded but not finished",
                "if that owner has ended, the next one finishes it; until then, the groups show part of it",
                "",
            );
        }
        let mut writing: Vec<_> = alive.clone();
        if shared > 0 {
            writing.push(format!("{shared} that share a cache"));
        }
        found.fact("writers", if writing.is_empty() { "none".to_owned() } else { writing.join("; ") });
        if let Some(who) = alive.first() {
            let (level, meaning) = if setup.has_cache {
                (Level::Problem, "programs with a Redis cache cannot start while it runs")
            } else {
                (Level::Warning, "a second program with a memory cache cannot start while it runs")
            };
            let remedy = "stop it, or let it share the Redis cache of the others";
            found.find(level, "owner", format!("the store has an owner: {who}"), meaning, remedy);
        }
        if shared > 0 && !setup.has_cache {
            found.find(
                Level::Warning,
                "shared",
                format!("{shared} processes that share a cache are writing the store"),
                "a program without that cache cannot start while they run",
                "use the same --cache",
            );
        }
        Ok(())
    }
}

/// Whether the server returned the value that was requested: it may store numbers as another type.
fn same(found: Option<&Bson>, wanted: &Bson) -> bool {
    let number = |value: &Bson| match value {
        Bson::Int32(number) => Some(f64::from(*number)),
        Bson::Int64(number) => Some(*number as f64),
        Bson::Double(number) => Some(*number),
        _ => None,
    };
    match (found, wanted) {
        (Some(Bson::Document(found)), Bson::Document(wanted)) => {
            found.len() == wanted.len() && wanted.iter().all(|(key, value)| same(found.get(key), value))
        }
        (Some(found), wanted) => match (number(found), number(wanted)) {
            (Some(found), Some(wanted)) => found == wanted,
            _ => found == wanted,
        },
        (None, _) => false,
    }
}
