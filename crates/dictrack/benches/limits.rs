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
use governor::clock::FakeRelativeClock;
use governor::{Quota, RateLimiter};

const GROUPS: usize = 1_000;
const CALLS: usize = 200_000;
const START: i64 = 1_700_000_000_000_000;

const ROUNDS: usize = 9;

/// What is measured, given the number of the call.
type Calls = Box<dyn FnMut(usize)>;

/// The time of each in its fastest round, in nanoseconds per call. They take turns, so that all meet the same disturbances.
fn measure<const N: usize>(mut measured: [Calls; N]) -> [f64; N] {
    let mut fastest = [f64::MAX; N];
    for round in 0..ROUNDS {
        for (calls, fastest) in measured.iter_mut().zip(&mut fastest) {
            let watch = Stopwatch::start();
            (round * CALLS..(round + 1) * CALLS).for_each(&mut *calls);
            *fastest = fastest.min(watch.elapsed().as_nanos() as f64 / CALLS as f64);
        }
    }
    fastest
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

fn ours(limiter: Option<LimiterDefinition>, every: Option<&str>) -> Calls {
    let (manager, names) = groups(limiter, every);
    Box::new(move |at| {
        let now = Timestamp::from_micros(START + at as i64 * 1_000);
        let outcome = manager.track_one(Submission::new(&names[at % GROUPS], &Json::Null).at(now)).unwrap();
        assert!(outcome.counted().next().is_some(), "all documents are admitted");
        black_box(outcome);
    })
}

fn governor() -> Calls {
    let clock = FakeRelativeClock::default();
    let quota = Quota::per_minute(NonZeroU32::new(1_000_000).unwrap());
    let limiter = RateLimiter::dashmap_with_clock(quota, clock.clone());
    let names: Vec<String> = (0..GROUPS).map(|at| format!("user_{at}")).collect();
    Box::new(move |at| {
        clock.advance(Duration::from_millis(1));
        black_box(limiter.check_key(&names[at % GROUPS])).unwrap();
    })
}

fn main() {
    let window = |length: &str| Window::new(length.parse().unwrap());
    let limited = |limiter| ours(Some(limiter), None);
    let berlin = window("day").zone("Europe/Berlin".parse().unwrap());
    let [none, count, minute, day, sum, burst, within, every_day, every_second, governor] = measure([
        ours(None, None),
        limited(LimiterDefinition::count(1_000_000_000)),
        limited(LimiterDefinition::count_per(1_000_000, window("minute"))),
        limited(LimiterDefinition::count_per(100_000_000, berlin)),
        limited(LimiterDefinition::sum_per(1_000_000, None, window("minute"))),
        limited(LimiterDefinition::burst(1_000_000, "minute".parse().unwrap(), 1_000)),
        limited(LimiterDefinition::count_within(100, "minute".parse().unwrap())),
        ours(None, Some("day")),
        ours(None, Some("second")),
        governor(),
    ]);
    println!("{:<26} {:>8} {:>8} {:>6}", "one tracker with", "ns", "× count", "goal");
    for (name, time, goal) in [
        ("no limit", none, None),
        ("count", count, None),
        ("count per minute", minute, Some(1.3)),
        ("count per day, in Berlin", day, Some(1.3)),
        ("sum per minute", sum, None),
        ("burst", burst, Some(1.3)),
        ("100 within a minute", within, Some(2.0)),
        ("every day", every_day, None),
        ("every second", every_second, None),
    ] {
        let goal = goal.map_or_else(String::new, |goal: f64| {
            format!("{goal:.1} {}", if time <= goal * count { "ok" } else { "MISSED" })
        });
        println!("{name:<26} {time:>8.1} {:>8.2} {goal}", time / count);
    }
    println!(
        "{:<26} {governor:>8.1}           a limit of 1,000,000 a minute: ours takes {:.2} × as long (goal 5)",
        "governor, by key",
        burst / governor
    );
}
