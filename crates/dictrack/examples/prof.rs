#[path = "../benches/workload.rs"]
mod workload;
use dictrack::*;
fn now<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(o) => o,
        _ => unreachable!(),
    }
}
fn main() {
    let n: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let calls: usize = std::env::args().nth(2).unwrap().parse().unwrap();
    let w2 = std::env::args().nth(3).is_some();
    let m = pollster::block_on(Manager::builder().clock(TestClock::new(Timestamp::from_secs(1_700_000_000))).open())
        .unwrap();
    let (t, d) = if w2 { workload::w2(n) } else { (workload::definitions(n), workload::documents(512)) };
    now(m.add_trackers("g", t)).unwrap();
    for at in 0..calls {
        std::hint::black_box(now(m.track("g", &d[at % d.len()])).unwrap());
    }
}
