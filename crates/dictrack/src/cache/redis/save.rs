//! Hands out what the store should save, and learns what the store did with it.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::entry::{Collected, Entry, State};
use super::hash::{self, Replica};
use super::{GIVE_UP_AFTER, Shared, script};
use crate::cache::{Effect, Saved, Step};
use crate::store::{Held, Unsaved};
use crate::{Error, runtime};

/// How many unsaved groups a commit reads first, in parallel.
const READ_TOGETHER: usize = 32;
/// How many calls to Redis are made in parallel.
const SIDE_BY_SIDE: usize = 128;

impl Shared {
    /// Takes what has changed and is not stored.
    pub(super) async fn collect(self: &Arc<Self>) -> Result<Vec<Unsaved>, Error> {
        let dirty = std::mem::take(&mut *self.dirty.lock());
        let mut changes = Vec::with_capacity(dirty.len());
        let mut absent = Vec::new();
        for entry in dirty {
            let has_replica = {
                let mut state = entry.state.lock();
                state.dirty = false;
                state.replica.is_some()
            };
            if has_replica {
                changes.extend(Self::change_at_length(&entry));
            } else {
                absent.push(entry);
            }
        }
        self.collect_absent(absent, &mut changes).await;
        Ok(changes)
    }

    /// Takes the changes of groups that have to be read first. Slow reads are left for later, and so are groups beyond
    /// the first [`READ_TOGETHER`], since they take memory in addition to the replicas.
    async fn collect_absent(self: &Arc<Self>, mut absent: Vec<Arc<Entry>>, changes: &mut Vec<Unsaved>) {
        let late = absent.split_off(absent.len().min(READ_TOGETHER));
        late.iter().for_each(|entry| self.mark_dirty(entry, &mut entry.state.lock()));
        let mut reads = JoinSet::new();
        for entry in absent {
            let shared = Arc::clone(self);
            reads.spawn(async move {
                let read = tokio::time::timeout(GIVE_UP_AFTER, shared.loaded(&entry)).await;
                (entry, read)
            });
        }
        while let Some(read) = reads.join_next().await {
            let Ok((entry, read)) = read else { continue };
            match read {
                Ok(Ok(())) => changes.extend(Self::change_at_length(&entry)),
                Ok(Err(error)) => {
                    tracing::warn!(group = %entry.id, %error, "an unsaved group cannot be read; retrying");
                    self.mark_dirty(&entry, &mut entry.state.lock());
                }
                Err(_) => self.mark_dirty(&entry, &mut entry.state.lock()),
            }
        }
    }

    fn change_at_length(entry: &Entry) -> Option<Unsaved> {
        let is_large = entry.state.lock().replica.as_ref().is_some_and(Replica::is_large);
        runtime::at_length(is_large, || Self::change(entry))
    }

    /// The group as Redis has it, if the store lacks some of it.
    fn change(entry: &Entry) -> Option<Unsaved> {
        let mut state = entry.state.lock();
        let State { replica, pending, tried, saved, collected, .. } = &mut *state;
        let replica = replica.as_ref().filter(|replica| !replica.token.is_empty())?;
        if replica.group.version() <= *saved {
            return None;
        }
        let group = match pending.as_ref().or(tried.as_ref().map(|tried| &tried.trial)) {
            Some(trial) => trial.whole(&replica.group),
            None => replica.group.clone(),
        };
        let change = replica.unsaved(&entry.id, &group);
        *collected = Some(Collected {
            version: change.version,
            token: replica.token.clone(),
            kept: replica.is_large().then(|| group.kept()),
        });
        Some(Unsaved { change, claim: replica.claim })
    }

    /// Learns what the store did with a change.
    async fn note_saved(self: &Arc<Self>, stored: &Saved) -> Result<(), Error> {
        let entry = self.entry(&stored.group);
        let version = match stored.refused {
            None => stored.version,
            // Another process has saved the same or a newer state.
            Some(held) if held.claim == stored.claim && held.version >= stored.version => held.version,
            Some(held) => return self.resolve(&entry, held).await,
        };
        let (token, set, kept) = {
            let mut state = entry.state.lock();
            if state.claim == stored.claim {
                state.saved = state.saved.max(version);
            }
            let collected = state.collected.take().filter(|collected| collected.version == version);
            let (token, kept) = collected.map_or((String::new(), None), |collected| (collected.token, collected.kept));
            // What another process saved is noted in Redis.
            let kept = kept.filter(|_| stored.refused.is_none());
            let replica = state.replica.as_mut().filter(|replica| replica.claim == stored.claim);
            if let Some(replica) = replica.filter(|_| kept.is_some()) {
                replica.kept = kept;
            }
            let set = state.replica.as_ref().map(|replica| entry.keys.set(replica.group.definition_set().hash()));
            (token, set.unwrap_or_else(|| entry.keys.lease.clone()), kept)
        };
        let keys = [entry.keys.group.as_str(), &entry.keys.dirty, &set];
        let (claim, saved) = (stored.claim.to_string(), version.to_string());
        let idle = self.connection.address().idle.as_millis().to_string();
        let kept = kept.map_or(String::new(), |kept| hash::kept_text(&kept));
        let arguments = [
            claim.as_bytes(),
            saved.as_bytes(),
            token.as_bytes(),
            idle.as_bytes(),
            entry.id.as_bytes(),
            kept.as_bytes(),
        ];
        let now = self.connection.run("note what is stored", &script::STORED, &keys, &arguments).await?;
        let now: Vec<String> = redis::from_redis_value(now).unwrap_or_default();
        let mut state = entry.state.lock();
        if now.first().and_then(|now| now.parse::<u64>().ok()).is_some_and(|now| now < version) {
            // Redis went back in time, which reading the group again will show.
            state.replica = None;
        }
        let newest = state.replica.as_ref().map(|replica| replica.group.version());
        if newest.is_some_and(|newest| newest > state.saved) {
            self.mark_dirty(&entry, &mut state);
        }
        Ok(())
    }

    /// Finds out what happened to a group that was claimed again while this process held it: either that claim was
    /// abandoned, or Redis lost the group.
    async fn resolve(self: &Arc<Self>, entry: &Arc<Entry>, held: Held) -> Result<(), Error> {
        let verify: &mut Step<'_> = &mut |_| Effect::Unchanged;
        self.update(&entry.id, verify).await?;
        self.learn_kept(entry).await?;
        let claim = {
            let state = entry.state.lock();
            state.replica.as_ref().filter(|replica| !replica.token.is_empty()).map(|replica| replica.claim)
        };
        if let Some(claim) = claim.filter(|claim| *claim < held.claim)
            && let Some(lease) = self.take_lease(entry).await?
        {
            // Redis still has it under an older claim: the process that made the newer one gave up. Nobody else claims
            // the group while this process holds the lease.
            let claimed = self.source()?.load.claim(&entry.id).await?.claim;
            let (old, new) = (claim.to_string(), claimed.to_string());
            let arguments = [old.as_bytes(), new.as_bytes(), lease.as_bytes()];
            let keys = [entry.keys.group.as_str(), &entry.keys.lease];
            self.connection.run("claim a group", &script::CLAIM, &keys, &arguments).await?;
            let verify: &mut Step<'_> = &mut |_| Effect::Unchanged;
            self.update(&entry.id, verify).await?;
        }
        self.mark_dirty(entry, &mut entry.state.lock());
        Ok(())
    }

    /// Learns how much of a large group the store has, from the note of the process that last saved it. If there is
    /// none, all of the group is saved.
    async fn learn_kept(&self, entry: &Entry) -> Result<(), Error> {
        if !entry.state.lock().replica.as_ref().is_some_and(Replica::is_large) {
            return Ok(());
        }
        let mut command = redis::cmd("HGET");
        command.arg(entry.keys.group.as_str()).arg("kept");
        let answer = self.connection.command("look at a group", &command).await?;
        let text: Option<String> = redis::from_redis_value(answer).unwrap_or_default();
        let mut state = entry.state.lock();
        if let Some(replica) = &mut state.replica {
            let kept = text.and_then(|text| hash::kept_of(&text).ok());
            // A change that was refused in this form must not be refused forever.
            replica.kept = kept.filter(|kept| replica.kept != Some(*kept));
        }
        Ok(())
    }

    /// Learns what the store did with changes, many in parallel.
    pub(super) async fn note_all_saved(self: &Arc<Self>, saved: Vec<Saved>) -> Result<(), Error> {
        let mut notes = JoinSet::new();
        let mut result = Ok(());
        for saved in saved {
            if notes.len() >= SIDE_BY_SIDE
                && let Some(Ok(Err(error))) = notes.join_next().await
            {
                result = Err(error);
            }
            let shared = Arc::clone(self);
            notes.spawn(async move { shared.note_saved(&saved).await });
        }
        while let Some(note) = notes.join_next().await {
            if let Ok(Err(error)) = note {
                result = Err(error);
            }
        }
        result
    }
}
