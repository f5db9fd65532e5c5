//! What every group of a process shares.

use std::sync::atomic::AtomicU32;

use crate::custom::Registry;
use crate::document::Document;
use crate::set::SetPool;
use crate::time::{Span, Timestamp};

/// The custom code, the shared definition sets and the limits of all groups.
#[derive(Debug, Default)]
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
}

/// The moment of a call, and what all groups share.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) now: Timestamp,
    pub(crate) engine: &'a Engine,
}

/// The document that a limiter or a measure is asked about, and when.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) at: At<'a>,
    pub(crate) document: &'a dyn Document,
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
