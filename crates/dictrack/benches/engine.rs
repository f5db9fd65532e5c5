//! `cargo bench --bench engine`: the hot path compared with a loop written by hand, in one run.
//!
//! Every line shows the time of the loop in the same run, so that the ratios are valid on any machine.

use std::collections::HashMap;
use std::hint::black_box;

use dictrack::json::Json;
use dictrack::{
    Amount, Document, Manager, Timestamp, TrackerDefinition,
    clock::{Stopwatch, TestClock},
    group::Limits,
    manager::Submission,
};

#[path = "workload.rs"]
mod workload;

use workload::{Loop, W, definitions, documents, now, verdict};

/// The fastest of several rounds, in nanoseconds per call.
fn measure(calls: usize, mut call: impl FnMut(usize)) -> f64 {
    (0..7)
        .map(|_| {
            let watch = Stopwatch::start();
            for at in 0..calls {
                call(at);
            }
            watch.elapsed().as_nanos() as f64 / calls as f64
        })
        .fold(f64::MAX, f64::min)
}

fn manager() -> Manager {
    // A fixed clock and no store, so that only counting is measured.
    pollster::block_on(Manager::builder().clock(TestClock::new(Timestamp::from_secs(1_700_000_000))).open()).unwrap()
}

fn with_trackers(trackers: Vec<TrackerDefinition>) -> Manager {
    let manager = manager();
    now(manager.add_trackers("g", trackers)).unwrap();
    manager
}

fn track_time(manager: &Manager, documents: &[Json], calls: usize) -> f64 {
    measure(calls, |at| {
        black_box(now(manager.track("g", &documents[at % documents.len()])).unwrap());
    })
}

fn w() {
    println!("\nW(N): N trackers, game eq one of 3 and bet ge one of 41; track on the memory cache");
    println!("{:>8} {:>12} {:>12} {:>14} {:>8}", "N", "loop ns", "track ns", "200+3×loop", "");
    let documents = documents(1 << 12);
    for n in [1, 100, 1_000, 10_000] {
        let calls = (20_000_000 / (n + 100)).clamp(2_000, 200_000);
        let mut by_hand = Loop::new(n);
        let plain: Vec<W> = documents.iter().map(W::of).collect();
        let limit = measure(calls, |at| {
            black_box(by_hand.track(&plain[at % plain.len()]));
        });
        let manager = with_trackers(definitions(n));
        let ours = track_time(&manager, &documents, calls);
        let goal = 200.0 + 3.0 * limit;
        println!("{n:>8} {limit:>12.1} {ours:>12.1} {goal:>14.1} {:>8}", verdict(ours <= goal));
    }
}

fn scaling() {
    println!("\nCost follows matches: 20 trackers match, sku eq (i mod N/20) and bet ge 100");
    println!("{:>8} {:>12} {:>8}", "N", "track ns", "ratio");
    let mut first = 0.0;
    for n in [1_000, 10_000, 100_000] {
        let trackers = (0..n).map(|at| {
            let tracker = TrackerDefinition::count(&format!("t{at}")).target(1_000_000_000);
            tracker.eq("sku", (at % (n / 20)) as i64).ge("bet", 100).build().unwrap()
        });
        let manager = with_trackers(trackers.collect());
        let documents: Vec<Json> = (0..1024_i64)
            .map(|at| {
                let sku = at * 7919 % (n as i64 / 20);
                Json::parse(format!(r#"{{"sku":{sku},"bet":{}}}"#, 100 + at % 400).as_bytes()).unwrap()
            })
            .collect();
        assert_eq!(now(manager.track("g", &documents[0])).unwrap().dirtied().count(), 20);
        let ours = track_time(&manager, &documents, 50_000);
        if first == 0.0 {
            first = ours;
        }
        println!("{n:>8} {ours:>12.1} {:>7.2}× {:>6}", ours / first, verdict(ours <= 2.0 * first));
    }
}

fn w2() {
    println!(
        "\nW2(1,000): 50 paths, 20 % any/not/contains, limiters on 10 %, a stage each 100 documents, event ids on"
    );
    let (trackers, documents) = workload::w2(1_000);
    // The ids that one group remembers in a day.
    let mut limits = Limits::default();
    limits.ids_at_most = 1 << 12;
    let clock = TestClock::new(Timestamp::from_secs(1_700_000_000));
    let manager = pollster::block_on(Manager::builder().clock(clock).limits(limits).open()).unwrap();
    now(manager.add_trackers("g", trackers)).unwrap();
    let matches = mean_matches(&manager, &documents);
    let without_ids = track_time(&manager, &documents, 50_000);
    let mut number = 0_u64;
    let with_ids = measure(50_000, |at| {
        number += 1;
        let mut id = *b"event-0000000000000000";
        for (digit, byte) in id[6..].iter_mut().rev().enumerate() {
            *byte = b"0123456789abcdef"[(number >> (4 * digit)) as usize & 15];
        }
        let submission = Submission::new("g", &documents[at % documents.len()]).id(std::str::from_utf8(&id).unwrap());
        black_box(now(manager.track_one(submission)).unwrap());
    });
    let plain = with_trackers(definitions(1_000));
    let simple = workload::documents(1 << 12);
    let plain_matches = mean_matches(&plain, &simple);
    let base = track_time(&plain, &simple, 50_000);
    println!("W {base:.0} ns at {plain_matches:.0} matches; W2 at {matches:.0} matches, goal 3 × W:");
    for (what, ours) in [("without event ids", without_ids), ("with event ids", with_ids)] {
        println!("{what:>18} {ours:>8.0} ns {:>6.2}× {:>6}", ours / base, verdict(ours <= 3.0 * base));
    }
}

fn mean_matches(manager: &Manager, documents: &[Json]) -> f64 {
    let matches = documents.iter().map(|document| now(manager.track("g", document)).unwrap().dirtied().count());
    matches.sum::<usize>() as f64 / documents.len() as f64
}

fn groups() {
    println!("\nGroups: 10 trackers of one shared set, 3 match; by hand: a hash map of ten numbers a group");
    println!("{:>18} {:>9} {:>12} {:>12} {:>8}", "", "groups", "by hand ns", "track ns", "ratio");
    let zipf: fn(usize, usize) -> Vec<usize> = |count, calls| workload::zipf(count, calls, 3);
    // Every access misses all caches of the processor and the TLB; the loop by hand shows what that costs.
    let uniform: fn(usize, usize) -> Vec<usize> =
        |count, calls| (0..calls).map(|at| at.wrapping_mul(2_654_435_761) % count).collect();
    for (name, draw, goal) in [("Zipf, as in `run`", zipf, Some(3.0)), ("uniform", uniform, None)] {
        let mut first = 0.0;
        for count in [1_000_usize, 10_000, 100_000, 1_000_000] {
            let calls = 400_000;
            // Ranks are spread over the groups, which were created in the order of their numbers.
            let ids: Vec<[u8; 12]> =
                draw(count, calls).into_iter().map(|rank| group_id(rank.wrapping_mul(7_919) % count)).collect();
            let id = |at: usize| std::str::from_utf8(&ids[at]).unwrap();
            let mut map: HashMap<String, [i128; 10]> =
                (0..count).map(|at| (String::from_utf8(group_id(at).to_vec()).unwrap(), [0; 10])).collect();
            let by_hand = measure(calls, |at| {
                let found = map.get_mut(id(at)).unwrap();
                found[..3].iter_mut().for_each(|progress| *progress += 1);
            });
            drop(map);
            let manager = manager();
            let list = manager.tracker_list(workload::ten()).unwrap();
            for at in 0..count {
                let id = group_id(at);
                let id = std::str::from_utf8(&id).unwrap();
                now(manager.ensure_trackers(id, &list, dictrack::group::Differing::Refuse)).unwrap();
            }
            let document = Json::parse(br#"{"event":"purchase","amount":12.5}"#).unwrap();
            let ours = measure(calls, |at| {
                black_box(now(manager.track(id(at), &document)).unwrap());
            });
            if first == 0.0 {
                first = ours;
            }
            let reached = goal.map_or("", |goal| verdict(ours <= goal * first));
            println!("{name:>18} {count:>9} {by_hand:>12.1} {ours:>12.1} {:>7.2}× {reached:>6}", ours / first);
        }
    }
}

fn group_id(mut number: usize) -> [u8; 12] {
    let mut id = *b"user_0000000";
    for digit in id[5..].iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    id
}

fn threads() {
    println!("\nTwo threads on different groups, W(1,000); gain over one thread");
    let documents = documents(1 << 12);
    let plain: Vec<W> = documents.iter().map(W::of).collect();
    let manager = manager();
    for group in ["a", "b"] {
        now(manager.add_trackers(group, definitions(1_000))).unwrap();
    }
    let calls = 100_000;
    let by_hand = |threads: usize| {
        parallel(
            threads,
            |_| {
                let mut by_hand = Loop::new(1_000);
                let plain = &plain;
                move |at| {
                    black_box(by_hand.track(&plain[at % plain.len()]));
                }
            },
            calls,
        )
    };
    let ours = |threads: usize| {
        parallel(
            threads,
            |thread| {
                let (manager, documents) = (&manager, &documents);
                let group = ["a", "b"][thread];
                move |at| {
                    black_box(now(manager.track(group, &documents[at % documents.len()])).unwrap());
                }
            },
            calls,
        )
    };
    let best = |run: &dyn Fn(usize) -> f64, threads| (0..5).map(|_| run(threads)).fold(f64::MAX, f64::min);
    let limit = 2.0 * best(&by_hand, 1) / best(&by_hand, 2);
    let gain = 2.0 * best(&ours, 1) / best(&ours, 2);
    println!("loop {limit:.2}×, track {gain:.2}×: {:.2} of the loop's {}", gain / limit, verdict(gain >= 0.9 * limit));
}

/// Seconds until each of `threads` threads has made `calls` calls.
fn parallel<F: FnMut(usize) + Send>(threads: usize, mut make: impl FnMut(usize) -> F, calls: usize) -> f64 {
    let workers: Vec<F> = (0..threads).map(&mut make).collect();
    let barrier = std::sync::Barrier::new(threads);
    std::thread::scope(|scope| {
        let handles: Vec<_> = workers
            .into_iter()
            .map(|mut call| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    let watch = Stopwatch::start();
                    for at in 0..calls {
                        call(at);
                    }
                    watch.elapsed().as_secs_f64()
                })
            })
            .collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).fold(0.0, f64::max)
    })
}

fn batches() {
    use dictrack::{Durability, SqliteStore};
    println!("\ntrack_many with fsync: batches of 1,000 over 10,000 groups, 10 trackers of which 3 match");
    let folder = std::env::temp_dir().join(format!("dictrack-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let store = SqliteStore::open(folder.join("batches.db")).unwrap();
    let manager = pollster::block_on(Manager::builder().store(store).durability(Durability::Fsync).open()).unwrap();
    let list = manager.tracker_list(workload::ten()).unwrap();
    let document = Json::parse(br#"{"event":"purchase","amount":12.5}"#).unwrap();
    let ids: Vec<String> = (0..10_000).map(|at| format!("user_{at:05}")).collect();
    let manager = manager.blocking();
    let mut random = workload::Random(5);
    let mut batch = || {
        let groups: Vec<&str> = (0..1_000).map(|_| ids[random.draw() as usize % ids.len()].as_str()).collect();
        let submissions: Vec<_> = groups
            .iter()
            .map(|group| Submission::new(group, &document).ensure(&list, dictrack::group::Differing::Refuse))
            .collect();
        assert!(manager.track_many(&submissions).iter().all(Result::is_ok));
    };
    for _ in 0..50 {
        batch();
    }
    let rounds = 300;
    let watch = Stopwatch::start();
    for _ in 0..rounds {
        batch();
    }
    let rate = f64::from(rounds) * 1_000.0 / watch.elapsed().as_secs_f64();
    println!("{rate:.0} acknowledged documents/s {}", verdict(rate >= 100_000.0));
    manager.close().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
}

fn check_agreement() {
    // The loop and the manager must agree before their times are compared.
    let documents = documents(500);
    let mut by_hand = Loop::new(100);
    let manager = with_trackers(definitions(100));
    for document in &documents {
        by_hand.track(&W::of(document));
        now(manager.track("g", document)).unwrap();
    }
    let trackers = now(manager.trackers("g")).unwrap();
    for (tracker, units) in trackers.iter().zip(by_hand.progress()) {
        assert_eq!(tracker.progress, Amount::from_units(units).unwrap(), "{}", tracker.name());
    }
    let path = dictrack::Path::parse("bet").unwrap();
    assert!(documents[0].value_at(&path).is_some());
}

fn main() {
    check_agreement();
    let only = std::env::args().nth(1).filter(|name| !name.starts_with('-'));
    let parts: [(&str, fn()); 6] =
        [("w", w), ("w2", w2), ("scaling", scaling), ("groups", groups), ("threads", threads), ("batches", batches)];
    for (name, part) in parts {
        if only.as_deref().is_none_or(|only| only == name) {
            part();
        }
    }
}
