//! Where a fleet keeps its groups, and what is there afterwards.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use dictrack::{EventCode, Manager, MongoStore};
use dictrack_testkit::{Mongo, Redis, eventually};

use crate::fleet::{Plan, Report, assert_exact_counts, group, manager};

/// A Redis of its own in front of a MongoDB server.
pub(crate) struct Place<'a> {
    pub(crate) redis: &'a Redis,
    pub(crate) mongo: &'a Mongo,
}

impl Place<'_> {
    /// The plan, with an empty database behind an empty cache.
    pub(crate) fn plan(&self, plan: Plan) -> Plan {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        self.redis.cli(&["FLUSHALL"]);
        let database = format!("dictrack{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let url = self.mongo.url();
        let (server, options) = url.split_once('?').unwrap_or((&url, ""));
        let store = format!("{}/{database}?{options}", server.trim_end_matches('/'));
        Plan { cache: self.redis.url(), store, ..plan }
    }

    /// How often groups have changed, according to Redis.
    pub(crate) fn changes(&self, plan: &Plan) -> u64 {
        let keys = self.redis.cli(&["--scan", "--pattern", "dictrack:*:g:*"]);
        let version = |key: &str| self.redis.cli(&["HGET", key, "version"]).parse().unwrap_or(0);
        let versions: Vec<u64> = keys.lines().map(version).collect();
        if versions.len() as u64 == plan.groups { versions.iter().sum() } else { 0 }
    }

    /// Waits until every group has changed, and all of them together still more often.
    pub(crate) fn wait_for_more(&self, plan: &Plan) {
        let before = self.changes(plan);
        eventually("documents are counted", || self.changes(plan) >= before + 20 * plan.groups);
    }

    /// Asserts that every acknowledged document counted once, and that every crossing was heard.
    pub(crate) fn assert_exact(&self, report: &Report, plan: &Plan) {
        self.assert_saved(report, plan);
        assert_crossings(report, plan);
        self.redis.cli(&["FLUSHALL"]);
        assert_exact_counts(report, &alone(plan));
    }

    /// Asserts that every acknowledged document counted once, in Redis and in MongoDB alone.
    pub(crate) fn assert_counts(&self, report: &Report, plan: &Plan) {
        self.assert_saved(report, plan);
        self.redis.cli(&["FLUSHALL"]);
        assert_exact_counts(report, &alone(plan));
    }

    /// Asserts that every acknowledged document counted once in Redis, and saves what is there.
    fn assert_saved(&self, report: &Report, plan: &Plan) {
        let other = manager(plan);
        assert_exact_counts(report, &other);
        self.wait_until_saved();
    }

    /// Asserts what is promised for documents without ids: acknowledged ones counted once, lost ones did not count, and
    /// of those with an unknown result, some did.
    pub(crate) fn assert_bounds(&self, report: &Report, plan: &Plan) {
        drop(manager(plan));
        self.wait_until_saved();
        self.redis.cli(&["FLUSHALL"]);
        let alone = alone(plan);
        let counted: u64 = (0..plan.groups).map(|number| crate::fleet::counted(&alone, &group(number)).0).sum();
        let unknown = report.failed.get("Unavailable").copied().unwrap_or(0);
        let possible = report.total()..=report.total() + unknown;
        assert!(possible.contains(&counted), "{counted} are counted, not {possible:?}");
    }

    fn wait_until_saved(&self) {
        eventually("every group is saved", || {
            self.redis.cli(&["--scan", "--pattern", "dictrack:*:dirty"]).trim().is_empty()
        });
    }
}

/// A manager with only the store.
fn alone(plan: &Plan) -> dictrack::Blocking {
    let store = pollster::block_on(MongoStore::open(&plan.store)).unwrap();
    pollster::block_on(Manager::builder().store(store).open()).unwrap().blocking()
}

/// Asserts that a stage was crossed at every hundredth document, that each crossing is one event, and that it was
/// heard: by the process that caused it or, if that could not deliver it, by another one. The outcome with a crossing
/// may have been that of a failed call.
fn assert_crossings(report: &Report, plan: &Plan) {
    let crossings: u64 = report.acknowledged.values().map(|count| count / 100).sum();
    let told: HashSet<&String> = report.crossings.iter().collect();
    assert_eq!(told.len(), report.crossings.len(), "a crossing is in one outcome");
    let heard = Arc::new(Mutex::new(report.heard.iter().cloned().collect::<HashSet<String>>()));
    let next = manager(plan);
    next.add_listener(EventCode::StageCompleted, {
        let heard = Arc::clone(&heard);
        move |event| {
            heard.lock().unwrap().insert(event.id().to_string());
        }
    });
    eventually("each crossing is heard", || heard.lock().unwrap().len() as u64 >= crossings);
    next.close().unwrap();
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len() as u64, crossings, "each crossing is one event");
    assert!(told.iter().all(|id| heard.contains(*id)), "what is in an outcome is heard");
}
