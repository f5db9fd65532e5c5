//! What every group of a process shares.

use std::sync::atomic::AtomicU32;

use crate::amount::Amount;
use crate::custom::Registry;
use crate::document::Document;
use crate::set::SetPool;
use crate::template::Templates;
use crate::time::{Span, Timestamp};
use crate::window::Place;
use crate::zone::{Zone, Zones};

/// The custom code, the shared definition sets and the limits of all groups.
#[derive(Debug)]
pub struct Engine {
    /// Custom conditions, measures and limiters.
    pub registry: Registry,
    /// The definition sets in use.
    pub sets: SetPool,
    /// Limits on what a group remembers.
    pub limits: Limits,
    /// Generations of new groups start after this one, so that a group that is created again after a flush does not reuse a
    /// generation.
    pub used_generations: AtomicU32,
    /// When the clocks of each zone change.
    pub zones: &'static Zones,
    /// The zone of windows for which neither the limiter, the tracker nor the group has one.
    pub zone: Zone,
    /// The trackers that groups have without being given them one by one.
    pub templates: Templates,
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            registry: Registry::default(),
            sets: SetPool::default(),
            limits: Limits::default(),
            used_generations: AtomicU32::default(),
            zones: Zones::bundled(),
            zone: Zone::UTC,
            templates: Templates::default(),
        }
    }
}

/// A moment, and what says in which period of a window it lies.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct When {
    pub(crate) now: Timestamp,
    pub(crate) place: Place,
}

impl When {
    pub(crate) fn at(self, now: Timestamp) -> Self {
        Self { now, ..self }
    }
}

/// The moment of a call, and what all groups share.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) when: When,
    pub(crate) engine: &'a Engine,
}

/// The document that a limiter or a measure is asked about, and when.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) at: At<'a>,
    pub(crate) document: &'a dyn Document,
    /// What the document adds to its tracker.
    pub(crate) amount: Amount,
}

/// Limits on what a group remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How many completed trackers can still be read; the names of all are kept.
    pub completed: usize,
    /// The minimum time for which the id of a document is remembered.
    pub id_window: Span,
    /// How many of the newest ids are remembered whatever their age.
    pub ids_at_least: usize,
    /// The maximum number of remembered ids.
    pub ids_at_most: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { completed: 100, id_window: Span::from_secs(24 * 60 * 60), ids_at_least: 1024, ids_at_most: 1 << 20 }
    }
}
