//! Gets the replica of a group: from Redis or, under a lease, from the store.

use std::sync::Arc;
use std::time::Duration;

use dictrack_core::group::{ContentHash, DefinitionSet, Group};
use dictrack_core::text::quoted;
use redis::Value;
use tokio::sync::watch;

use super::connection::rand_below;
use super::entry::{Entry, State};
use super::hash::Replica;
use super::keys::Keys;
use super::{GIVE_UP_AFTER, LEASE_MILLIS, Shared, Source, script};
use crate::backend::BackendError;
use crate::clock::Stopwatch;
use crate::random::token;
use crate::store::record::restore_set;
use crate::{Error, runtime};

/// In a cluster, nothing tells when a node has lost its memory: a group that was idle for longer than this is compared
/// with the store.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

impl Shared {
    /// Whether the group has to be read before a step can run. What was learned over an earlier connection is not
    /// trusted.
    pub(super) fn needs_loading(&self, state: &mut State) -> bool {
        let Some(replica) = &state.replica else { return true };
        if !state.is_idle() {
            return false;
        }
        let cluster = self.connection.address().cluster;
        let trusted =
            replica.connection == self.connection.number() && !(cluster && state.answered.elapsed() > TRUSTED_FOR);
        if !trusted {
            state.replica = None;
        }
        !trusted
    }

    /// Gets the replica of a group for a caller that waits no longer than `limit`; if it arrives later, the
    /// next caller gets it.
    pub(super) async fn load_within(self: &Arc<Self>, limit: Duration, entry: &Arc<Entry>) -> Result<(), Error> {
        let (shared, loading) = (Arc::clone(self), Arc::clone(entry));
        match runtime::run(limit, async move { shared.loaded(&loading).await }).await? {
            Some(loaded) => loaded,
            None => {
                let action = format!("load the group {}", quoted(&entry.id));
                let source = format!("no answer from Redis and the store within {GIVE_UP_AFTER:?}").into();
                Err(Error::Unavailable(Arc::new(BackendError { backend: "Redis", action, source })))
            }
        }
    }

    /// Joins the callers that wait for the replica of a group. The load continues even if all of them leave: that of a
    /// large group takes longer than a call may.
    pub(super) async fn loaded(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<(), Error> {
        let mut load = {
            let mut loading = entry.loading.lock();
            match &*loading {
                Some(load) if load.borrow().is_none() && load.has_changed().is_ok() => load.clone(),
                _ => {
                    let (done, load) = watch::channel(None);
                    let (shared, owned) = (Arc::clone(self), Arc::clone(entry));
                    tokio::spawn(async move {
                        let result = shared.load(&owned).await;
                        *owned.loading.lock() = None;
                        done.send_replace(Some(result));
                    });
                    loading.insert(load).clone()
                }
            }
        };
        match load.wait_for(Option::is_some).await {
            Ok(result) => result.clone().unwrap_or(Ok(())),
            Err(_) => Err(Error::Closed),
        }
    }

    /// Gets the replica of a group.
    async fn load(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<(), Error> {
        let source = self.source()?;
        let since = Stopwatch::start();
        let mut pause = 1;
        loop {
            if !self.needs_loading(&mut entry.state.lock()) {
                return Ok(());
            }
            // Noted before anything is read: whatever is read after a reconnection is compared again.
            let connection = self.connection.number();
            let compared = entry.state.lock().compared == connection && !self.connection.address().cluster;
            let found = match self.read(entry, connection).await? {
                // Redis goes back in time only if the connection breaks: after a comparison, anything newer comes from
                // other processes.
                Some(replica) if compared && self.connection.number() == connection => Some(replica),
                Some(replica) if self.is_behind(entry, &replica).await? => None,
                Some(replica) => Some(replica),
                None => self.claim(entry, source).await?,
            };
            if let Some(mut replica) = found {
                replica.connection = connection.max(1);
                entry.state.lock().put(replica);
                return Ok(());
            }
            if since.elapsed() > GIVE_UP_AFTER {
                let source = "another process holds the lease to load it".into();
                let action = format!("load the group {}", quoted(&entry.id));
                let error = BackendError { backend: "Redis", action, source };
                return Err(Error::Unavailable(Arc::new(error)));
            }
            tokio::time::sleep(Duration::from_micros(500 * pause + rand_below(500 * pause))).await;
            pause = (pause * 2).min(40);
        }
    }

    /// The replica of what Redis has; `None` if that is not usable.
    async fn read(&self, entry: &Entry, connection: u64) -> Result<Option<Replica>, Error> {
        let source = self.source()?;
        let Some(whole) = self.whole(&entry.id, &entry.keys).await? else { return Ok(None) };
        let hash = self.set_of(&entry.id, &whole)?;
        let Some(set) = self.set(entry, hash).await? else {
            if !source.load.has_store() {
                return Err(self.corrupt(&entry.id, format!("its definition set {hash} is missing")));
            }
            tracing::warn!(group = %entry.id, "Redis dropped the definitions of a group; it is loaded from the store");
            let (version, token) = whole.state().map_err(|problem| self.corrupt(&entry.id, problem))?;
            self.drop_group(entry, version, token).await?;
            return Ok(None);
        };
        self.replica_of(&entry.id, whole, set, &source.engine.limits, connection).map(Some)
    }

    async fn set(&self, entry: &Entry, hash: ContentHash) -> Result<Option<Arc<DefinitionSet>>, Error> {
        let engine = &self.source()?.engine;
        if let Some(set) = engine.sets.find(hash) {
            return Ok(Some(set));
        }
        let text = self.set_text(&entry.keys, hash).await?;
        text.map(|text| restore_set(&self.connection.address().to_string(), hash, &text, engine)).transpose()
    }

    /// The text of a definition set in Redis.
    pub(super) async fn set_text(&self, keys: &Keys, hash: ContentHash) -> Result<Option<String>, Error> {
        let key = keys.set(hash);
        let mut command = redis::cmd("GET");
        command.arg(&key);
        let answer = self.connection.command("read a definition set", &command).await?;
        redis::from_redis_value(answer)
            .map_err(|error| Error::corrupt(self.connection.address(), format!("the key {key:?}"), error.to_string()))
    }

    /// Whether the store is ahead of Redis, which has gone back in time; the group is then dropped from Redis.
    async fn is_behind(&self, entry: &Entry, replica: &Replica) -> Result<bool, Error> {
        let source = self.source()?;
        if !source.load.has_store() {
            return Ok(false);
        }
        let held = source.load.held(&entry.id).await?;
        if held.version <= replica.group.version() {
            return Ok(false);
        }
        tracing::warn!(
            group = %entry.id, cache = replica.group.version(), store = held.version,
            "Redis went back in time; the group is loaded from the store"
        );
        self.drop_group(entry, replica.group.version(), &replica.token).await?;
        Ok(true)
    }

    async fn drop_group(&self, entry: &Entry, version: u64, token: &str) -> Result<(), Error> {
        let keys = [entry.keys.group.as_str(), &entry.keys.dirty];
        let version = version.to_string();
        let arguments = [version.as_bytes(), token.as_bytes(), entry.id.as_bytes()];
        self.connection.run("drop a group", &script::DROP, &keys, &arguments).await.map(drop)
    }

    /// Takes a group from the store, under a lease; `None` if another process has the lease.
    async fn claim(self: &Arc<Self>, entry: &Arc<Entry>, source: &Source) -> Result<Option<Replica>, Error> {
        if !source.load.has_store() {
            return Ok(Some(Replica::cold(Group::default(), 0, String::new())));
        }
        let Some(lease) = self.take_lease(entry).await? else { return Ok(None) };
        let mut command = redis::cmd("EXISTS");
        command.arg(entry.keys.group.as_str());
        if self.connection.command("look for a group", &command).await? == Value::Int(1) {
            // Another process has put the group there since the last look; a claim now would only invalidate its claim.
            let mut command = redis::cmd("DEL");
            command.arg(entry.keys.lease.as_str());
            self.connection.command("give a lease back", &command).await?;
            return Ok(None);
        }
        let claimed = {
            let _renewal = self.renew(entry, &lease);
            source.load.claim(&entry.id).await?
        };
        let replica = Replica::cold(claimed.group.unwrap_or_default(), claimed.claim, lease);
        // A small group is sent with the first step, in one round trip.
        if replica.is_large() { self.fill(entry, replica).await } else { Ok(Some(replica)) }
    }

    /// Takes the right to claim a group; `None` if another process has it.
    pub(super) async fn take_lease(&self, entry: &Entry) -> Result<Option<String>, Error> {
        let lease = token();
        let mut command = redis::cmd("SET");
        command.arg(entry.keys.lease.as_str()).arg(&lease).arg("NX").arg("PX").arg(LEASE_MILLIS);
        let taken = self.connection.command("take a lease", &command).await? == Value::Okay;
        Ok(taken.then_some(lease))
    }
}
