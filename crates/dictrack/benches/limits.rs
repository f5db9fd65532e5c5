//! `cargo bench -p dictrack --bench limits`: what limits that renew by themselves cost, beside a limit that does not, and beside
//! `governor`, which does nothing else.
//!
//! Each line is one tracker in each of 1,000 groups; the documents go round the groups, a millisecond apart, and all are
//! admitted. The ratios are valid within one run.

use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::Duration;

use dictrack::json::Json;
use dictrack::limiter::LimiterDefinition;
use dictrack::{
    Blocking, Manager, Timestamp, TrackerDefinition, Window, clock::Stopwatch, clock::TestClock, manager::Submission,
};
use governor::clock::{Clock as _, FakeRelativeClock};
use governor::{Quota, RateLimiter};

const GROUPS: usize = 1_000;
const CALLS: usize = 200_000;
const START: i64 = 1_700_000_000_000_000;

/// The fastest of several rounds, in nanoseconds per call.
fn measure(mut call: impl FnMut(usize)) -> f64 {
    let mut at = 0;
    (0..7)
        .map(|_| {
            let watch = Stopwatch::start();
            for _ in 0..CALLS {
                call(at);
                at += 1;
            }
            watch.elapsed().as_nanos() as f64 / CALLS as f64
        })
        .fold(f64::MAX, f64::min)
}

fn groups(limiter: Option<LimiterDefinition>, every: Option<&str>) -> (Blocking, Vec<String>) {
    let clock = TestClock::new(Timestamp::from_micros(START));
    let manager = pollster::block_on(Manager::builder().clock(clock).open()).unwrap().blocking();
    let mut definition = TrackerDefinition::count("n").target(1_000_000_000_000_i64);
    if let Some(limiter) = limiter {
        definition = definition.limiter(limiter);
    }
    if let Some(every) = every {
        definition = definition.every(Window::new(every.parse().unwrap()));
    }
    let definition = definition.build().unwrap();
    let names: Vec<String> = (0..GROUPS).map(|at| format!("user_{at}")).collect();
    for name in &names {
        manager.add_tracker(name, definition.clone()).unwrap();
    }
    (manager, names)
}

fn ours(limiter: Option<LimiterDefinition>, every: Option<&str>) -> f64 {
    let (manager, names) = groups(limiter, every);
    let document = Json::Null;
    measure(|at| {
        let now = Timestamp::from_micros(START + at as i64 * 1_000);
        let outcome = manager.track_one(Submission::new(&names[at % GROUPS], &document).at(now)).unwrap();
        debug_assert_eq!(outcome.counted().count(), 1);
        black_box(outcome);
    })
}

fn governor() -> f64 {
    let clock = FakeRelativeClock::default();
    let quota = Quota::per_minute(NonZeroU32::new(1_000_000).unwrap());
    let limiter = RateLimiter::dashmap_with_clock(quota, clock.clone());
    let names: Vec<String> = (0..GROUPS).map(|at| format!("user_{at}")).collect();
    let time = measure(|at| {
        clock.advance(Duration::from_millis(1));
        black_box(limiter.check_key(&names[at % GROUPS])).unwrap();
    });
    black_box(clock.now());
    time
}

fn main() {
    let window = |length: &str| Window::new(length.parse().unwrap());
    let count = ours(Some(LimiterDefinition::count(1_000_000_000)), None);
    let rows = [
        ("no limit", ours(None, None), None),
        ("count", count, None),
        ("count per minute", ours(Some(LimiterDefinition::count_per(1_000_000, window("minute"))), None), Some(1.3)),
        (
            "count per day, in Berlin",
            ours(
                Some(LimiterDefinition::count_per(100_000_000, window("day").zone("Europe/Berlin".parse().unwrap()))),
                None,
            ),
            Some(1.3),
        ),
        ("sum per minute", ours(Some(LimiterDefinition::sum_per(1_000_000, None, window("minute"))), None), None),
        ("burst", ours(Some(LimiterDefinition::burst(1_000_000, "minute".parse().unwrap(), 1_000)), None), Some(1.3)),
        (
            "100 within a minute",
            ours(Some(LimiterDefinition::count_within(100, "minute".parse().unwrap())), None),
            Some(2.0),
        ),
        ("every day", ours(None, Some("day")), None),
        ("every second", ours(None, Some("second")), None),
    ];
    println!("{:<26} {:>8} {:>8} {:>6}", "one tracker with", "ns", "× count", "goal");
    for (name, time, goal) in rows {
        let goal = goal.map_or_else(String::new, |goal: f64| {
            format!("{goal:.1} {}", if time <= goal * count { "ok" } else { "MISSED" })
        });
        println!("{name:<26} {time:>8.1} {:>8.2} {goal}", time / count);
    }
    let governor = governor();
    println!(
        "{:<26} {governor:>8.1}           a limit of 1,000,000 a minute: ours takes {:.2} × as long (goal 5)",
        "governor, by key",
        rows[5].1 / governor
    );
}
