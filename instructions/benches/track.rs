//! `scripts/instructions`: the instructions of one `track` on the memory cache, counted by valgrind.
//!
//! Counts do not depend on the load of the machine, so a hot path that grew by a few percent is noticed.
#![allow(missing_docs, reason = "the macros create undocumented modules")]

use std::hint::black_box;

use dictrack::json::Json;
use dictrack::{Manager, Timestamp, clock::TestClock};
use gungraun::{Callgrind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};

#[path = "../../crates/dictrack/benches/workload.rs"]
mod workload;

use workload::now;

/// The documents that are tracked in one measurement.
const DOCUMENTS: usize = 1_000;

fn track_all((manager, documents): &(Manager, Vec<Json>)) {
    for document in documents {
        black_box(now(manager.track("g", document)).unwrap());
    }
}

/// A manager with W(n) that has tracked every document once, so the index is compiled and buffers have their final size.
fn warm(n: usize) -> (Manager, Vec<Json>) {
    let clock = TestClock::new(Timestamp::from_secs(1_700_000_000));
    let manager = pollster::block_on(Manager::builder().clock(clock).open()).unwrap();
    now(manager.add_trackers("g", workload::definitions(n))).unwrap();
    let ready = (manager, workload::documents(DOCUMENTS));
    track_all(&ready);
    ready
}

#[library_benchmark]
#[bench::w_1(args = (1), setup = warm)]
#[bench::w_100(args = (100), setup = warm)]
#[bench::w_1000(args = (1_000), setup = warm)]
fn track(ready: (Manager, Vec<Json>)) -> (Manager, Vec<Json>) {
    track_all(black_box(&ready));
    // Dropped outside of the measurement.
    ready
}

library_benchmark_group!(name = counts, benchmarks = track);

main!(
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = counts
);
