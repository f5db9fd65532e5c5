//! What every group of a process shares.

use std::sync::atomic::AtomicU32;

use crate::custom::Registry;
use crate::set::SetPool;
use crate::time::Span;

/// The custom code, the shared definition sets and the bounds that groups work with.
#[derive(Debug, Default)]
pub struct Engine {
    /// Custom conditions, measures and limiters.
    pub registry: Registry,
    /// The definition sets in use.
    pub sets: SetPool,
    /// The bounds of what a group remembers.
    pub limits: Limits,
    /// The generations of new groups begin behind this one, so that a group that is made anew after all were emptied does
    /// not use one again.
    pub used_generations: AtomicU32,
}

/// The bounds of what a group remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The completed trackers that stay readable; the names of all stay known.
    pub completed: usize,
    /// How long the id of a document is remembered at least.
    pub id_window: Span,
    /// The newest ids, remembered whatever their age.
    pub ids_at_least: usize,
    /// The ids that are remembered at most.
    pub ids_at_most: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { completed: 100, id_window: Span::from_secs(24 * 60 * 60), ids_at_least: 1024, ids_at_most: 1 << 20 }
    }
}
