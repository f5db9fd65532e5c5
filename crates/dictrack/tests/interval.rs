//! With `interval(d)`, a kill loses no document that was acknowledged more than `d` before.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use dictrack::{Durability, Manager, clock::Stopwatch};

mod common;

use common::{counter, document, folder, open, open_with};

const INTERVAL: Duration = Duration::from_millis(300);
/// How much longer than its interval a commit may take on a busy machine.
const GRACE: Duration = Duration::from_millis(700);
const STORE: &str = "DICTRACK_TEST_INTERVAL_STORE";

/// The process to be killed: tracks until then, and prints after each document how long it has been running.
#[test]
fn child() {
    let Ok(path) = std::env::var(STORE) else { return };
    let manager = open_with(Path::new(&path), Manager::builder().durability(Durability::Interval(INTERVAL)));
    manager.add_tracker("a", counter("n", &[1_000_000_000])).unwrap();
    let mut out = std::io::stderr().lock();
    let watch = Stopwatch::start();
    loop {
        manager.track("a", &document()).unwrap();
        writeln!(out, "acknowledged {}", watch.elapsed().as_micros()).unwrap();
    }
}

#[test]
fn a_kill_loses_no_more_than_the_interval() {
    for run in 0..5 {
        let folder = folder();
        let path = folder.path().join("a.db");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(STORE, &path)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let life = Duration::from_millis(1_500 + run * 137);
        let mut acknowledged = Vec::new();
        for line in lines {
            let line = line.unwrap();
            let Some(micros) = line.strip_prefix("acknowledged ").and_then(|micros| micros.parse().ok()) else {
                continue;
            };
            let at = Duration::from_micros(micros);
            acknowledged.push(at);
            if at > life {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        let kept = open(&path).trackers("a").unwrap()[0].progress.to_integer().unwrap() as usize;
        let last = *acknowledged.last().unwrap();
        assert!(kept > 0 && last > life, "run {run}: {kept} kept, the last after {last:?}");
        if let Some(lost) = acknowledged.get(kept) {
            let ago = last - *lost;
            assert!(ago <= INTERVAL + GRACE, "run {run}: a document acknowledged {ago:?} before the kill is lost");
        }
    }
}
