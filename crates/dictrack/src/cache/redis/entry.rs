//! What a process knows about one group: its replica, and the steps in progress.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use dictrack_core::group::{Kept, Trial};
use dictrack_core::json::Text;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::hash::Replica;
use super::keys::Keys;
use crate::Error;
use crate::backend::BackendError;
use crate::clock::Stopwatch;

/// The bytes of an entry besides those of its group.
pub(super) const BYTES: usize = 1024;

/// One group in this process.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: Text,
    pub(super) keys: Keys,
    pub(super) state: Mutex<State>,
    /// The load of the group in progress, and its result: one load serves all who wait for it.
    pub(super) loading: Mutex<Option<Loading>>,
    pub(super) used: AtomicBool,
}

#[derive(Debug)]
pub(super) struct State {
    /// The group as Redis had it when it last answered.
    pub(super) replica: Option<Replica>,
    /// The group as the swap in progress makes it.
    pub(super) pending: Option<Trial>,
    /// The group after the steps that will be sent with the next swap.
    pub(super) tried: Option<Tried>,
    /// Whether a caller is sending swaps for this group.
    pub(super) in_flight: bool,
    /// Whether the entry is in the list of entries to save.
    pub(super) dirty: bool,
    /// The version that the store is known to have.
    pub(super) saved: u64,
    /// What was handed out to be saved.
    pub(super) collected: Option<Collected>,
    /// The claim of the last replica.
    pub(super) claim: u64,
    /// What was kept under an earlier claim than this is lost, unless it was saved: see `breaks`.
    pub(super) valid_from: u64,
    /// When Redis lost the group, newest last.
    breaks: VecDeque<Break>,
    /// The connection over which the group was last compared with the store; 0 if it never was.
    pub(super) compared: u64,
    /// When Redis last answered for the group.
    pub(super) answered: Stopwatch,
    pub(super) bytes: usize,
}

/// How a load ended, once it has.
pub(super) type Loading = watch::Receiver<Option<Result<(), Error>>>;

/// A state that was handed out to be saved.
#[derive(Debug)]
pub(super) struct Collected {
    pub(super) version: u64,
    pub(super) token: String,
    /// How much of the lists of a large group it has.
    pub(super) kept: Option<Kept>,
}

/// Redis lost the group, which was then loaded again.
#[derive(Clone, Copy, Debug)]
struct Break {
    /// The claims under which it was held until then.
    claims: (u64, u64),
    /// The version that the store had.
    base: u64,
    /// Whether other processes may have loaded it in between.
    gap: bool,
}

/// The number of losses remembered, for callers that wait for a commit.
const BREAKS: usize = 16;

/// What happened to a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Saved,
    NotYet,
    Lost,
    Unknown,
}

/// A copy of the group with the steps of callers that wait for one batch.
#[derive(Debug)]
pub(super) struct Tried {
    pub(super) trial: Trial,
    pub(super) batch: Arc<Batch>,
    pub(super) changed: bool,
    /// Whether a caller relies on the state.
    pub(super) relied: bool,
}

/// Steps that are sent together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) ended: watch::Sender<Option<Ending>>,
}

/// How a batch ended.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    /// Redis has it, under this claim.
    Kept(u64),
    /// Another process came first: the steps run again.
    Again,
    /// Redis lost the group after it may have kept the batch, and the store may have it: only steps known by an id may
    /// run again.
    Unsure,
    /// It failed, and trying again is pointless.
    Failed(Error),
}

impl Batch {
    pub(super) async fn wait(mut ended: watch::Receiver<Option<Ending>>) -> Ending {
        match ended.wait_for(Option::is_some).await {
            Ok(ending) => ending.clone().unwrap_or(Ending::Again),
            Err(_) => Ending::Failed(Error::Closed),
        }
    }
}

impl Entry {
    pub(super) fn new(id: &str, keys: Keys) -> Self {
        Self {
            id: id.into(),
            keys,
            state: Mutex::new(State {
                replica: None,
                pending: None,
                tried: None,
                in_flight: false,
                dirty: false,
                saved: 0,
                collected: None,
                claim: 0,
                valid_from: 0,
                breaks: VecDeque::new(),
                compared: 0,
                answered: Stopwatch::start(),
                bytes: BYTES,
            }),
            loading: Mutex::default(),
            used: AtomicBool::new(true),
        }
    }
}

impl State {
    /// The copy that the next step runs on, based on what is in progress; `None` if there is no replica.
    pub(super) fn tried(&mut self) -> Option<&mut Tried> {
        let replica = self.replica.as_ref()?;
        let group = self.pending.as_ref().map_or(&replica.group, Trial::group);
        Some(self.tried.get_or_insert_with(|| Tried {
            trial: Trial::on(group),
            batch: Arc::default(),
            changed: false,
            relied: false,
        }))
    }

    /// Whether no step is waiting or in progress.
    pub(super) fn is_idle(&self) -> bool {
        !self.in_flight && self.tried.is_none() && self.pending.is_none()
    }

    /// Drops the replica, unless Redis lacks the group and only the holder of the lease can put it there. Returns the
    /// bytes that remain.
    pub(super) fn drop_replica(&mut self) -> usize {
        match &self.replica {
            Some(replica) if replica.token.is_empty() => self.bytes,
            _ => {
                self.replica = None;
                BYTES
            }
        }
    }

    /// What happened to the change that made `version` under `claim`.
    pub(super) fn fate(&self, version: u64, claim: u64) -> Fate {
        if claim >= self.valid_from {
            return if self.saved >= version { Fate::Saved } else { Fate::NotYet };
        }
        // The process that loaded the group next found in the store all that had been saved until then.
        match self.breaks.iter().find(|lost| (lost.claims.0..=lost.claims.1).contains(&claim)) {
            Some(Break { base, gap: false, .. }) => {
                if version <= *base {
                    Fate::Saved
                } else {
                    Fate::Lost
                }
            }
            _ => Fate::Unknown,
        }
    }

    /// Adopts a replica that was read or claimed.
    pub(super) fn put(&mut self, replica: Replica) {
        if replica.claim != self.claim {
            let claims = (self.valid_from, self.claim);
            self.breaks.push_back(Break { claims, base: replica.base, gap: replica.claim != self.claim + 1 });
            if self.breaks.len() > BREAKS {
                self.breaks.pop_front();
            }
            self.valid_from = replica.claim;
            self.saved = 0;
        }
        self.claim = replica.claim;
        self.saved = self.saved.max(replica.stored);
        self.compared = replica.connection;
        self.answered = Stopwatch::start();
        self.replica = Some(replica);
    }
}

/// Redis lost the group more than once while a change was to be saved.
pub(super) fn unknown(group: &str) -> Error {
    let source = "it was lost and loaded by several processes in the meantime".into();
    let action = format!("tell whether a change of the group {group:?} was saved");
    Error::Unavailable(Arc::new(BackendError { backend: "Redis", action, source }))
}
