//! A thousand replies of Redis are lost while Redis is emptied again and again, with MongoDB behind it.

use dictrack_testkit::{Mongo, Proxy, Redis, eventually};

use crate::fleet::{Plan, Report, run};
use crate::place::Place;

const DROPS: u64 = 1_000;
/// How often Redis is emptied meanwhile.
const FLUSHES: u64 = 10;

/// Counts with two processes until the replies are lost.
fn count(place: &Place<'_>, plan: &Plan) -> Report {
    let proxy = Proxy::start(place.redis.address());
    proxy.only_requests_with("EVAL");
    let plan = Plan { cache: proxy.url_for(&plan.cache), ..plan.clone() };
    let report = run(&vec![plan.clone(); 2], |_| {
        place.wait_for_more(&plan);
        let before = proxy.faults();
        proxy.drop_replies_every(5);
        for flush in 1..=FLUSHES {
            eventually("replies are lost", || proxy.faults() >= before + DROPS * flush / FLUSHES);
            place.redis.cli(&["FLUSHALL"]);
        }
        proxy.drop_replies_every(0);
        place.wait_for_more(&plan);
    });
    assert!(report.failed.keys().all(|variant| ["Lost", "Unavailable"].contains(&&**variant)), "{:?}", report.failed);
    report
}

#[test]
fn documents_with_ids_count_once() {
    let (redis, mongo) = (Redis::start(), Mongo::start());
    let place = Place { redis: &redis, mongo: &mongo };
    let plan = Plan { endless: true, ids: true, listens: true, durability: "fsync".to_owned(), ..Plan::default() };
    let plan = place.plan(plan);
    let report = count(&place, &plan);
    place.assert_exact(&report, &plan);
}

#[test]
fn documents_without_ids_count_once_unless_an_error_says_otherwise() {
    let (redis, mongo) = (Redis::start(), Mongo::start());
    let place = Place { redis: &redis, mongo: &mongo };
    let plan = place.plan(Plan { endless: true, durability: "fsync".to_owned(), ..Plan::default() });
    let report = count(&place, &plan);
    place.assert_bounds(&report, &plan);
}
