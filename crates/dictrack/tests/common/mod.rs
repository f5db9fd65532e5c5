//! What the suites on the SQLite store share.
#![allow(dead_code, reason = "each suite uses some of it")]
#![allow(unreachable_pub, reason = "a module of each suite")]

use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use dictrack::json::Json;
use dictrack::{Blocking, Event, Manager, ManagerBuilder, SqliteStore, TrackerDefinition};

pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

pub fn open(path: &Path) -> Blocking {
    open_with(path, Manager::builder())
}

pub fn open_with(path: &Path, builder: ManagerBuilder) -> Blocking {
    let store = SqliteStore::open(path).unwrap();
    pollster::block_on(builder.store(store).open()).unwrap().blocking()
}

/// Creates the store that a dictrack with storage format 1 left when it was killed: `tests/stored/format-1.sql`.
pub fn of_format(format: u8, path: &Path) {
    let stored = match format {
        1 => include_str!("../stored/format-1.sql"),
        _ => include_str!("../stored/format-2.sql"),
    };
    let made = rusqlite::Connection::open(path).unwrap();
    made.execute_batch(stored).unwrap();
}

pub fn counter(name: &str, targets: &[i64]) -> TrackerDefinition {
    TrackerDefinition::count(name).targets(targets.iter().copied()).build().unwrap()
}

pub fn document() -> Json {
    Json::parse(b"{}").unwrap()
}

/// The progress of each tracker of a group, in order.
pub fn progress(manager: &Blocking, group: &str) -> String {
    let trackers = manager.trackers(group).unwrap();
    trackers.iter().map(|tracker| tracker.progress.to_string()).collect::<Vec<_>>().join(" ")
}

/// Fails instead of hanging forever.
pub fn within_a_minute<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::spawn(move || drop(sender.send(work())));
    match receiver.recv_timeout(Duration::from_secs(60)) {
        Ok(value) => value,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("a deadlock"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Ok(()) => unreachable!("the thread ended without an answer"),
            Err(panic) => std::panic::resume_unwind(panic),
        },
    }
}

/// Records what listeners hear, formatted by [`line`].
#[derive(Clone, Default)]
pub struct Heard(pub Arc<Mutex<Vec<String>>>);

impl Heard {
    pub fn listener(&self) -> impl Fn(&Event) + Send + Sync + 'static {
        let heard = self.clone();
        move |event| heard.0.lock().unwrap().push(line(event))
    }

    /// What was heard once there are `count` lines; waits up to ten seconds.
    pub fn wait(&self, count: usize) -> Vec<String> {
        for _ in 0..1_000 {
            if self.0.lock().unwrap().len() >= count {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.take()
    }

    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

pub fn line(event: &Event) -> String {
    format!("{} {} {} {} {}", event.group, event.code, event.name(), event.progress, event.id())
}
