//! Waiting for what another process does.

use std::thread;
use std::time::{Duration, Instant};

/// How long a server may take to start, or to do what it was told, on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Asks until there is an answer, for as long as `limit`.
pub(crate) fn until<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    #[expect(clippy::disallowed_methods, reason = "other processes know only the real time")]
    let now = Instant::now;
    let end = now() + limit;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if now() >= end {
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until `condition` holds. For what another process does in its own time; it looks every 5 ms.
///
/// # Panics
///
/// When it does not hold within 20 seconds, naming `what` was waited for.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let held = until(PATIENCE, || condition().then_some(()));
    assert!(held.is_some(), "waited {PATIENCE:?} in vain until {what}");
}
