//! No limiter admits more than its number, however many processes or threads count at the same time.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicBool;

use dictrack::Manager;
use dictrack_testkit::Redis;

mod fleet;

use fleet::{BURST, PER_SECOND, Plan, Report, SUM_PER_SECOND};

const SECOND: i64 = 1_000_000;

#[test]
fn child() {
    fleet::child();
}

/// What counted in one tracker of one group: moments in microseconds and amounts, in order of time.
type Counted = Vec<(i64, u64)>;

/// What counted in the tracker of this name, by group.
fn counted(report: &Report, tracker: &str) -> HashMap<String, Counted> {
    let mut by_group: HashMap<String, Counted> = HashMap::new();
    for line in &report.counted {
        let [group, name, moment, amount] = line.split('/').collect::<Vec<_>>()[..] else { panic!("{line}") };
        if name == tracker {
            by_group.entry(group.to_owned()).or_default().push((moment.parse().unwrap(), amount.parse().unwrap()));
        }
    }
    by_group.values_mut().for_each(|counted| counted.sort_unstable());
    by_group
}

/// The most of what `used` finds in the documents of one second.
fn most_in_a_second(counted: &Counted, used: impl Fn(u64) -> u64) -> u64 {
    let mut seconds: BTreeMap<i64, u64> = BTreeMap::new();
    for &(moment, amount) in counted {
        *seconds.entry(moment.div_euclid(SECOND)).or_default() += used(amount);
    }
    seconds.into_values().max().unwrap_or(0)
}

/// The most documents in any stretch of `length`.
fn most_within(counted: &Counted, length: i64) -> u64 {
    let in_stretch = |&(end, _): &(i64, u64)| {
        counted.iter().filter(|&&(moment, _)| moment > end - length && moment <= end).count() as u64
    };
    counted.iter().map(in_stretch).max().unwrap_or(0)
}

/// The most documents in any stretch of time beyond those for which a place became free during it.
fn most_at_once(counted: &Counted) -> u64 {
    let mut most = 0;
    for (first, &(start, _)) in counted.iter().enumerate() {
        for (last, &(end, _)) in counted.iter().enumerate().skip(first) {
            let documents = (last - first + 1) as i64 * SECOND;
            let freed = (end - start) * PER_SECOND as i64;
            most = most.max((documents - freed + SECOND - 1).div_euclid(SECOND));
        }
    }
    most as u64
}

/// Asserts that each limiter admitted its full number in some group, and nowhere more.
fn assert_limited(report: &Report) {
    let most = |tracker: &str, used: &dyn Fn(&Counted) -> u64| {
        let counted = counted(report, tracker);
        counted.values().map(used).max().unwrap_or_else(|| panic!("nothing counted in {tracker}"))
    };
    assert_eq!(most("per", &|counted| most_in_a_second(counted, |_| 1)), PER_SECOND);
    assert_eq!(most("sum", &|counted| most_in_a_second(counted, |amount| amount)), SUM_PER_SECOND);
    assert_eq!(most("within", &|counted| most_within(counted, 2 * SECOND)), PER_SECOND);
    assert_eq!(most("burst", &most_at_once), BURST);
}

#[test]
fn four_processes_never_use_more_than_a_limiter_admits() {
    let redis = Redis::start();
    // With ids, a call that failed on a busy machine is repeated.
    let plan = Plan { cache: redis.url(), documents: 3_000, ids: true, speed: 20, ..Plan::default() };
    let report = fleet::run(&vec![plan; 4], |_| ());
    assert_eq!(report.total(), 12_000 * fleet::scale());
    assert_limited(&report);
}

#[test]
fn two_threads_never_use_more_than_a_limiter_admits() {
    let manager = pollster::block_on(Manager::builder().open()).unwrap().blocking();
    let plan = Plan { threads: 2, documents: 60_000, speed: 2_000, ..Plan::default() };
    let report = fleet::count(&plan, &manager, &AtomicBool::new(false));
    assert_eq!(report.total(), 60_000);
    assert_limited(&report);
}
