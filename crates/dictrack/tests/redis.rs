//! Processes that share groups through a real Redis.

use dictrack_testkit::{Proxy, Redis};

mod fleet;

use fleet::{Plan, assert_exact, manager, run};

#[test]
fn child() {
    fleet::child();
}

#[test]
fn four_processes_count_every_document_once_from_a_cold_start() {
    let redis = Redis::start();
    let plan = Plan { cache: redis.url(), documents: 5_000, ..Plan::default() };
    let report = run(&vec![plan.clone(); 4], |_| ());
    assert_eq!((report.total(), report.failures()), (20_000, 0), "{:?}", report.failed);
    assert_exact(&report, &manager(&plan));
}

#[test]
fn replies_that_are_lost_are_neither_lost_nor_counted_twice() {
    let redis = Redis::start();
    let proxy = Proxy::start(redis.address());
    proxy.only_requests_with(b"EVAL");
    proxy.drop_replies_every(10);
    let plan = Plan { cache: proxy.url_for(&redis.url()), documents: 5_000, ..Plan::default() };
    let report = run(&vec![plan.clone(); 2], |_| ());
    let faults = proxy.faults();
    proxy.drop_replies_every(0);
    println!("{faults} replies dropped, slowest call {:?}", report.slowest);
    assert_eq!((report.total(), report.failures()), (10_000, 0), "{:?}", report.failed);
    assert!(faults > 200, "{faults} replies dropped");
    assert_exact(&report, &manager(&plan));
}
