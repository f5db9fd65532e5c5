//! Counts API calls within a renewable window of 60 seconds. Run it: `cargo run --example session_monitoring`
//!
//! Nothing here waits: the manager uses a test clock, as your tests should. Without `shared_clock` it uses the clock of the
//! operating system.

use std::sync::Arc;

use dictrack::{
    Manager, ManagerBuilder, Reason, Span, Timestamp, TrackerDefinition,
    clock::{Clock, TestClock},
    manager::Reset,
};
use serde_json::json;

const SESSION: &str = "user_session_001";
/// A second of sleep, and what the program needs besides.
const STEP: Span = Span::from_micros(1_000_500);

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    run(Manager::builder())
}

/// The program, with any store.
pub(crate) fn run(builder: ManagerBuilder) -> Result<(), Box<dyn std::error::Error>> {
    let start = Timestamp::from_secs(1_700_000_000);
    let clock = Arc::new(TestClock::new(start));
    let manager = dictrack::block_on(builder.shared_clock(clock.clone()).open())?.blocking();

    let window = Span::from_secs(60);
    let calls =
        TrackerDefinition::count("session_actions").target(100).eq("action", "api_call").within(window).build()?;
    manager.ensure_tracker(SESSION, calls)?;

    // Both ends of the window are included.
    let call = json!({"action": "api_call"});
    let end = start.saturating_add(window);
    let at_the_end = manager.at(end).explain(SESSION, &call)?.remove(0).verdict;
    assert!(matches!(at_the_end, Reason::Counted { .. }));
    let past_it = end.saturating_add(Span::from_micros(1));
    let past_the_end = manager.at(past_it).explain(SESSION, &call)?.remove(0).verdict;
    assert!(matches!(past_the_end, Reason::Limited { until: None, .. }));

    println!("Simulating API calls for 70 seconds...");
    println!("{}", "-".repeat(40));
    let mut allowed = 0;
    let mut blocked = Vec::new();
    for call_id in 0..70 {
        let elapsed = clock.now().since(start).micros();
        let second = elapsed / 1_000_000;
        let data = json!({"action": "api_call", "endpoint": "/api/data", "call_id": call_id});
        let outcome = manager.track(SESSION, &data)?;
        if outcome.limited().next().is_none() {
            allowed += 1;
            println!("Second {second}: ✅ API call #{allowed} allowed");
        } else {
            println!("Second {second}: ❌ API call blocked - time window exceeded");
            println!("  {}", manager.explain(SESSION, &data)?[0].verdict);
            blocked.push((second, allowed));
        }
        if second > 0 && second % 60 == 0 && elapsed > 60_000_000 {
            println!("\n--- Resetting time limiter at {second} seconds ---");
            // Without a policy, the tracker's own applies, which is to renew its limiters.
            assert!(manager.reset_tracker(SESSION, "session_actions", Reset::default())?.is_some());
        }
        clock.advance(STEP);
    }
    println!("\n{}", "-".repeat(40));
    println!("Total API calls made: {allowed}");
    assert_eq!(blocked, [(60, 60)], "one block, at second 60, after 60 calls");
    assert_eq!(allowed, 69);
    assert_eq!(manager.trackers(SESSION)?[0].progress, 69.into());
    Ok(())
}
