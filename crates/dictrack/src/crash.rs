//! Named points at which a crash test kills the process.

/// Every point, in the order in which a commit passes them.
#[cfg(feature = "crash-points")]
pub const CRASH_POINTS: [&str; 8] = [
    "before_commit",
    "within_commit",
    "after_commit",
    "before_fold",
    "within_fold",
    "after_fold",
    "before_delivery",
    "after_delivery",
];

/// Kills the process like `kill -9` if `DICTRACK_CRASH_AT` is `point:n` and this is the n-th time here.
#[cfg(feature = "crash-points")]
pub fn crash_point(point: &str) {
    use std::collections::HashMap;
    use std::sync::{LazyLock, Mutex, PoisonError};

    static WANTED: LazyLock<Option<(String, u64)>> = LazyLock::new(|| {
        let text = std::env::var("DICTRACK_CRASH_AT").ok()?;
        let (point, count) = text.split_once(':')?;
        Some((point.to_owned(), count.parse().ok()?))
    });
    static SEEN: Mutex<Option<HashMap<String, u64>>> = Mutex::new(None);
    debug_assert!(CRASH_POINTS.contains(&point), "the point {point} is not listed");
    let Some((wanted, count)) = &*WANTED else { return };
    if wanted != point {
        return;
    }
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let times = seen.get_or_insert_default().entry(point.to_owned()).or_default();
    *times += 1;
    if times == count {
        let killed = std::process::Command::new("kill").args(["-9", &std::process::id().to_string()]).status();
        eprintln!("kill -9 did not end this process: {killed:?}");
        std::process::abort();
    }
}

/// Nothing, outside of crash tests.
#[cfg(not(feature = "crash-points"))]
#[inline(always)]
pub fn crash_point(_: &str) {}
