//! How a call changes a group: its step runs on a copy of the replica, and a script makes Redis keep the result.

use std::sync::Arc;

use dictrack_core::group::DefinitionSet;
use dictrack_core::text::quoted;
use redis::Value;

use super::entry::{Batch, Ending, Entry, State, Tried};
use super::hash::Fields;
use super::{GIVE_UP_AFTER, Shared, script};
use crate::backend::BackendError;
use crate::cache::{Effect, Step};
use crate::clock::Stopwatch;
use crate::random::token;
use crate::store::record::set_text;
use crate::{Error, runtime};

/// One replacement of a group's state.
pub(super) struct Swap {
    pub(super) version: u64,
    pub(super) token: String,
    pub(super) new_version: u64,
    pub(super) new_token: String,
    pub(super) lease: String,
    pub(super) fields: Fields,
    pub(super) set: Arc<DefinitionSet>,
    /// Tells the script whether the store has to follow; see the script.
    pub(super) follow: String,
    pub(super) sequence: u64,
    pub(super) claim: u64,
    pub(super) batch: Arc<Batch>,
    pub(super) changed: bool,
    /// Whether the state is written: either it changed, or Redis does not have it.
    pub(super) written: bool,
    /// Whether a caller relies on the state.
    pub(super) relied: bool,
    /// The number of fields that wait in Redis to become the group, if it was loaded in pieces.
    pub(super) waiting: Option<usize>,
}

/// What the script answers to a swap.
pub(super) enum Answer {
    /// Redis has the swap; with the group's claim, if the group was there before.
    Kept(Option<u64>),
    /// The group has to be loaded again.
    Anew,
    /// The group has to be loaded again, and the swap may have been kept before.
    Unsure,
    WantsSet,
    Behind(Vec<(String, Option<String>)>),
    Foreign,
}

impl Answer {
    /// Reads an answer; `sent_before` if the swap may have arrived already.
    fn read(value: Value, sent_before: bool) -> Result<Self, String> {
        let words: Vec<Option<String>> =
            redis::from_redis_value(value).map_err(|error| format!("its fields are not strings ({error})"))?;
        let mut words = words.into_iter();
        Ok(match words.next().flatten().as_deref() {
            Some("kept" | "applied") => Self::Kept(words.next().flatten().and_then(|claim| claim.parse().ok())),
            // A hash that existed all along would have said that it has the swap.
            Some("full") if words.next().flatten().is_some() => Self::Anew,
            Some("absent" | "lease" | "full") if sent_before => Self::Unsure,
            Some("absent" | "lease" | "full") => Self::Anew,
            Some("set") => Self::WantsSet,
            Some("foreign") => Self::Foreign,
            Some("behind") => {
                let mut fields = Vec::new();
                while let (Some(Some(name)), Some(value)) = (words.next(), words.next()) {
                    fields.push((name, value));
                }
                Self::Behind(fields)
            }
            other => return Err(format!("the script answered {other:?}")),
        })
    }
}

impl Shared {
    /// Runs a step and has Redis keep the result.
    pub(super) async fn update(self: &Arc<Self>, id: &str, step: &mut Step<'_>) -> Result<u64, Error> {
        let since = Stopwatch::start();
        let mut runs = 0;
        if self.sweep.is_wanted() {
            self.drop_idle();
        }
        loop {
            runs += 1;
            let entry = self.entry(id);
            if self.needs_loading(&mut entry.state.lock()) {
                self.load_within(GIVE_UP_AFTER.saturating_sub(since.elapsed()), &entry).await?;
            }
            let (ended, done) = {
                let mut state = entry.state.lock();
                let Some(tried) = state.tried() else { continue };
                let done = step(tried.trial.group_mut());
                tried.changed |= done.changed();
                tried.relied |= done == Effect::Relied;
                let ended = tried.batch.ended.subscribe();
                if !state.in_flight {
                    state.in_flight = true;
                    let (shared, driven) = (Arc::clone(self), Arc::clone(&entry));
                    runtime::handle()?.spawn(async move { shared.drive(&driven).await });
                }
                (ended, done)
            };
            match Batch::wait(ended).await {
                Ending::Kept(claim) => return Ok(claim),
                Ending::Failed(error) => return Err(error),
                Ending::Unsure if done == Effect::Changed => {
                    let source = "Redis lost the group before it confirmed the change".into();
                    let action = format!("change the group {}", quoted(id));
                    let error = BackendError { backend: "Redis", action, source };
                    return Err(Error::Unavailable(Arc::new(error)));
                }
                Ending::Again | Ending::Unsure if runs < 3 || since.elapsed() < GIVE_UP_AFTER => {}
                Ending::Again | Ending::Unsure => {
                    let source = "other processes keep changing the group".into();
                    let action = format!("change the group {}", quoted(id));
                    let error = BackendError { backend: "Redis", action, source };
                    return Err(Error::Unavailable(Arc::new(error)));
                }
            }
        }
    }

    /// Sends the batches of one group, one after another, until there are none.
    async fn drive(self: &Arc<Self>, entry: &Arc<Entry>) {
        loop {
            let Some(swap) = self.next_swap(entry) else { return };
            let answer = self.swap(entry, &swap).await;
            let batch = Arc::clone(&swap.batch);
            let ending = self.conclude(entry, swap, answer);
            batch.ended.send_replace(Some(ending));
        }
    }

    /// Takes the open batch; `None` if there is none.
    fn next_swap(&self, entry: &Entry) -> Option<Swap> {
        let mut state = entry.state.lock();
        let Some(Tried { mut trial, batch, changed, relied }) = state.tried.take() else {
            state.in_flight = false;
            return None;
        };
        let (Some(replica), Ok(source)) = (&state.replica, self.source()) else {
            // The replica was dropped: the steps run again on a new one.
            batch.ended.send_replace(Some(Ending::Again));
            state.in_flight = false;
            return None;
        };
        // A loaded group is put into Redis even if the step only looked, so that others need not load it too.
        let fills = replica.token.is_empty() && !replica.group.is_blank();
        let follow = match (source.load.has_store(), changed) {
            (false, _) => String::new(),
            (true, true) => format!("={}", entry.id),
            (true, false) => format!("~{}", self.connection.address().idle.as_millis()),
        };
        let mut swap = Swap {
            version: replica.group.version(),
            token: replica.token.clone(),
            new_version: 0,
            new_token: String::new(),
            lease: replica.lease.clone(),
            fields: Fields::default(),
            set: Arc::clone(replica.group.definition_set()),
            follow,
            sequence: self.next_sequence(),
            claim: replica.claim,
            batch,
            changed,
            written: changed || fills,
            relied,
            waiting: None,
        };
        if swap.written {
            let group = trial.group_mut();
            let mut change = group.take_change(&entry.id, &source.engine);
            if replica.token.is_empty() {
                change = group.whole(&entry.id);
            }
            swap.new_version = group.version();
            swap.new_token = token();
            swap.fields = replica.fields(&entry.id, group, &change, &swap.new_token);
            swap.set = change.set;
        }
        state.pending = Some(trial);
        Some(swap)
    }

    pub(super) async fn swap(&self, entry: &Entry, swap: &Swap) -> Result<Answer, Error> {
        let mut set = String::new();
        loop {
            let answer = self.send(entry, swap, &set).await?;
            if matches!(answer, Answer::WantsSet) && set.is_empty() {
                set = set_text(&swap.set);
                continue;
            }
            return Ok(answer);
        }
    }

    async fn send(&self, entry: &Entry, swap: &Swap, set: &str) -> Result<Answer, Error> {
        let keys = &entry.keys;
        let set_key = keys.set(swap.set.hash());
        let new_version = if swap.written { swap.new_version.to_string() } else { String::new() };
        let (version, sequence) = (swap.version.to_string(), swap.sequence.to_string());
        let gone = match swap.waiting {
            Some(fields) => format!("+{fields}"),
            None => swap.fields.gone.len().to_string(),
        };
        let mut arguments: Vec<&[u8]> = vec![
            version.as_bytes(),
            swap.token.as_bytes(),
            new_version.as_bytes(),
            swap.new_token.as_bytes(),
            self.writer.as_bytes(),
            sequence.as_bytes(),
            swap.lease.as_bytes(),
            swap.follow.as_bytes(),
            set.as_bytes(),
            gone.as_bytes(),
        ];
        arguments.extend(swap.fields.gone.iter().map(|name| name.as_bytes()));
        arguments.extend(swap.fields.set.iter().map(str::as_bytes));
        let pieces = swap.waiting.map(|_| keys.pieces(&swap.lease));
        let mut keys = vec![keys.group.as_str(), &keys.dirty, &set_key, &keys.lease];
        keys.extend(pieces.as_deref());
        let mut sent_before = false;
        let run = self.connection.run_noting("change a group", &script::SWAP, &keys, &arguments, &mut sent_before);
        let answer = run.await?;
        Answer::read(answer, sent_before).map_err(|problem| self.corrupt(&entry.id, problem))
    }

    /// Handles the result of a swap.
    fn conclude(self: &Arc<Self>, entry: &Arc<Entry>, swap: Swap, answer: Result<Answer, Error>) -> Ending {
        let mut state = entry.state.lock();
        let limits = self.source.get().map(|source| source.engine.limits).unwrap_or_default();
        let pending = state.pending.take();
        if let Ok(Answer::Kept(found)) = answer {
            let claim = found.unwrap_or(swap.claim);
            // A replica that was read meanwhile may be older or newer than this swap: read it again.
            if state.replica.as_ref().is_some_and(|replica| replica.token != swap.token) {
                state.replica = None;
            }
            let State { replica: Some(replica), tried, .. } = &mut *state else { return Ending::Kept(claim) };
            let next = tried.as_mut().map(|tried| &mut tried.trial);
            match pending {
                Some(pending) if swap.written => {
                    pending.keep(&mut replica.group, next, &limits);
                    replica.kept_as(swap.new_token, swap.fields.after);
                }
                // Nothing was written; the lease was given back.
                _ if replica.token.is_empty() => {
                    state.replica = None;
                    return Ending::Kept(claim);
                }
                Some(pending) => pending.undo(&mut replica.group, next, &limits),
                None => {}
            }
            // Another process may have claimed the same state again.
            replica.claim = claim;
            let version = replica.group.version();
            state.claim = claim;
            let unsaved = version > state.saved;
            state.answered = Stopwatch::start();
            if swap.changed || (swap.relied && unsaved) {
                self.mark_dirty(entry, &mut state);
            }
            self.weigh(&mut state);
            return Ending::Kept(claim);
        }
        // What was tried is void, and so is what was tried on top of it.
        if let Some(Tried { batch, .. }) = state.tried.take() {
            batch.ended.send_replace(Some(Ending::Again));
        }
        if let (Some(replica), Some(pending)) = (&mut state.replica, pending)
            && replica.token == swap.token
        {
            pending.undo(&mut replica.group, None, &limits);
        }
        let problem = match answer {
            Ok(Answer::Behind(fields)) => match state
                .replica
                .as_mut()
                .filter(|replica| replica.token == swap.token)
                .map(|replica| replica.patch(&fields, &limits))
            {
                Some(Ok(())) => {
                    state.answered = Stopwatch::start();
                    let found = state.replica.as_mut().map(|replica| (replica.claim, replica.stored));
                    let (claim, stored) = found.unwrap_or_default();
                    // Another process may have claimed the same state again.
                    state.claim = claim;
                    state.saved = state.saved.max(stored);
                    return Ending::Again;
                }
                Some(Err(problem)) => Some(self.corrupt(&entry.id, problem)),
                None => None,
            },
            Ok(Answer::Unsure) if swap.changed && self.source.get().is_some_and(|source| source.load.has_store()) => {
                state.replica = None;
                return Ending::Unsure;
            }
            Ok(Answer::Foreign) => Some(self.corrupt(&entry.id, "something else wrote this key")),
            Ok(_) => None,
            Err(error) => Some(error),
        };
        state.replica = None;
        problem.map_or(Ending::Again, Ending::Failed)
    }
}
