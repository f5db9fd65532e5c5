//! Numbers that no other process draws.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that no other process draws.
pub(crate) fn random() -> u64 {
    // Seeded by the operating system once a thread; the counter makes every draw another one.
    static COUNT: AtomicU64 = AtomicU64::new(0);
    RandomState::new().hash_one((COUNT.fetch_add(1, Ordering::Relaxed), std::process::id()))
}

/// A name that no other process draws.
pub(crate) fn token() -> String {
    format!("{:016x}", random())
}
