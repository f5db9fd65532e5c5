//! Processes that share groups through a real Redis.

use std::collections::HashSet;

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
fn each_crossing_is_heard_by_one_process_in_order() {
    let redis = Redis::start();
    let plan = Plan { cache: redis.url(), documents: 3_000, listens: true, ..Plan::default() };
    let report = run(&vec![plan.clone(); 3], |_| ());
    assert_eq!((report.total(), report.failures()), (9_000, 0), "{:?}", report.failed);
    assert_exact(&report, &manager(&plan));
    let distinct: HashSet<&String> = report.heard.iter().collect();
    let crossings: HashSet<&String> = report.crossings.iter().collect();
    assert_eq!(distinct, crossings, "what was heard and what happened");
    // Who is held up for a second has its events taken over, which a busy machine may do to a few.
    assert!(report.heard.len() <= distinct.len() + distinct.len() / 20, "{} heard", report.heard.len());
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
