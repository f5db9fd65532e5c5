//! Counts up to 50 API calls in each minute of a session. Run it: `cargo run --example session_monitoring`
//!
//! The first minute starts with the session, when its tracker is added; nobody has to reset anything. Nothing here waits: the
//! manager uses a test clock, as your tests should. Without `shared_clock` it uses the clock of the operating system.

use std::sync::Arc;

use dictrack::limiter::LimiterDefinition;
use dictrack::window::Anchor;
use dictrack::{Manager, ManagerBuilder, Span, Timestamp, TrackerDefinition, Window, clock::TestClock};
use serde_json::json;

const SESSION: &str = "user_session_001";

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    run(Manager::builder())
}

/// The program, with any store.
pub(crate) fn run(builder: ManagerBuilder) -> Result<(), Box<dyn std::error::Error>> {
    let start = Timestamp::from_secs(1_700_000_000);
    let clock = Arc::new(TestClock::new(start));
    let manager = dictrack::block_on(builder.shared_clock(clock.clone()).open())?.blocking();

    let minute = Window::new("minute".parse()?).from(Anchor::ADD);
    let calls = TrackerDefinition::count("session_actions")
        .target(100)
        .eq("action", "api_call")
        .limiter(LimiterDefinition::count_per(50, minute));
    manager.ensure_tracker(SESSION, calls.build()?)?;

    println!("Simulating API calls for 70 seconds...");
    println!("{}", "-".repeat(40));
    let mut allowed = 0;
    let mut blocked = Vec::new();
    for second in 0..70 {
        let data = json!({"action": "api_call", "endpoint": "/api/data", "call_id": second});
        let outcome = manager.track(SESSION, &data)?;
        if let Some(refusal) = outcome.refused().next().and_then(|tracker| tracker.refusal()) {
            println!("Second {second}: ❌ API call blocked");
            println!("  {}", manager.explain(SESSION, &data)?[0].verdict);
            assert_eq!(refusal.until, Some(start.saturating_add(Span::from_secs(60))));
            blocked.push(second);
        } else {
            allowed += 1;
            println!("Second {second}: ✅ API call #{allowed} allowed");
        }
        clock.advance(Span::from_secs(1));
    }
    println!("\n{}", "-".repeat(40));
    println!("Total API calls made: {allowed}");
    assert_eq!(blocked, Vec::from_iter(50..60), "the minute is used up, and the next one renews it");
    assert_eq!(allowed, 60);
    let tracker = manager.trackers(SESSION)?.remove(0);
    assert_eq!((tracker.progress, tracker.limiters[0].remaining), (60.into(), Some(40.into())));
    Ok(())
}
