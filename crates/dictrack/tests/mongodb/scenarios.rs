//! Every scenario of the repository on MongoDB, behind each cache.

use std::sync::Arc;

use dictrack::scenario::{Host, OnManager};
use dictrack::{Blocking, Manager, ManagerBuilder, RedisCache};
use dictrack_testkit::{RedisCluster, shared_redis};

use crate::common::{fresh, manager, shared, store};
use crate::replay::{Setting, all_pass, laws_pass};

/// How many managers take turns with the calls of a scenario, like processes that share a cache.
const MANAGERS: usize = 3;

fn builder(setting: &Setting) -> ManagerBuilder {
    Manager::builder().zone(setting.zone).shared_clock(Arc::clone(&setting.clock) as _)
}

/// One manager with the memory cache.
fn memory(setting: &Setting) -> Box<dyn Host> {
    // A budget of zero: every step reads its group from the store.
    let manager = manager(builder(setting).memory_budget(0), store(shared(), &fresh()));
    Box::new(OnManager::new(manager, Arc::clone(&setting.clock)))
}

/// A new manager for each step.
fn restarted(setting: &Setting) -> Box<dyn Host> {
    let (name, zone, clock) = (fresh(), setting.zone, Arc::clone(&setting.clock));
    let open =
        move || manager(Manager::builder().zone(zone).shared_clock(Arc::clone(&clock) as _), store(shared(), &name));
    Box::new(OnManager::restarted(open, Arc::clone(&setting.clock)))
}

/// Several managers that share a Redis.
fn redis(url: &str, setting: &Setting) -> Box<dyn Host> {
    let name = fresh();
    let one = |_| -> Blocking {
        let cache = RedisCache::new(&format!("{url}?prefix={name}")).unwrap();
        manager(builder(setting).cache(cache), store(shared(), &name))
    };
    Box::new(OnManager::in_turn((0..MANAGERS).map(one).collect(), Arc::clone(&setting.clock)))
}

#[test]
fn golden_scenarios_hold() {
    all_pass("golden", 60, memory);
}

#[test]
fn laws_hold() {
    laws_pass(memory);
}

// Two tests, since each restart waits for several writes.
#[test]
fn laws_hold_across_restarts() {
    all_pass("law", 100, restarted);
}

#[test]
fn laws_of_time_hold_across_restarts() {
    all_pass("time", 80, restarted);
}

#[test]
fn golden_scenarios_hold_behind_redis() {
    let url = shared_redis();
    all_pass("golden", 60, |setting| redis(&url, setting));
}

#[test]
fn laws_hold_behind_redis() {
    let url = shared_redis();
    laws_pass(|setting| redis(&url, setting));
}

#[test]
fn golden_scenarios_hold_behind_a_cluster() {
    let cluster = RedisCluster::start();
    all_pass("golden", 60, |setting| redis(&cluster.url(), setting));
}

#[test]
fn laws_hold_behind_a_cluster() {
    let cluster = RedisCluster::start();
    laws_pass(|setting| redis(&cluster.url(), setting));
}
