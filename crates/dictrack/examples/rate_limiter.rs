//! Admits up to 100 requests until the limit is renewed. Run it: `cargo run --example rate_limiter`
//!
//! The limiter is part of the tracker, and the outcome of each document has what remains of it. The document that uses up the
//! limit still counts and is listed as limited; the next one is listed as refused. The target is out of reach, so that the
//! tracker never completes.

use dictrack::{Amount, Blocking, Manager, ResetPolicy, TrackerDefinition, TrackerSnapshot, manager::Reset};
use serde_json::json;

const CLIENT: &str = "api_client_001";

fn remaining(tracker: &TrackerSnapshot) -> Option<Amount> {
    tracker.limiters.iter().find_map(|limiter| limiter.remaining)
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    run(Manager::in_memory().blocking())
}

/// The program, with any manager.
pub(crate) fn run(manager: Blocking) -> Result<(), Box<dyn std::error::Error>> {
    let limit =
        TrackerDefinition::count("api_rate_limit").target(1000).eq("endpoint", "/api/v1/data").limit(100).build()?;
    manager.ensure_tracker(CLIENT, limit)?;

    println!("Starting rate limiter test...");
    let mut allowed = Vec::new();
    for request in 0..105 {
        let data = json!({"endpoint": "/api/v1/data", "request_id": request, "client": CLIENT});
        let outcome = manager.track(CLIENT, &data)?;
        if outcome.refused().next().is_some() {
            // It does not count, and the tracker does not change.
            assert_eq!((request, outcome.dirtied().count()), (100, 0));
            println!("❌ Request {request} blocked! Rate limit exceeded.");
            for explanation in manager.explain(CLIENT, &data)? {
                println!("   {}: {}", explanation.name, explanation.verdict);
            }
            break;
        }
        let tracker = outcome.dirtied().next().ok_or("the request counts")?;
        let left = tracker.remaining().ok_or("the tracker has a count limiter")?;
        println!("✅ Request {request} allowed. Remaining: {left}");
        // The last one counts, and reports that the limit is used up.
        assert_eq!(outcome.limited().next().is_some(), left == Amount::ZERO);
        allowed.push(left);
    }
    assert_eq!(allowed, (0..=99_u64).rev().map(Amount::from).collect::<Vec<_>>());

    println!("\nResetting rate limiter...");
    manager.reset_tracker(CLIENT, "api_rate_limit", Reset::default().policy(ResetPolicy::LIMITER))?;
    let tracker = &manager.trackers(CLIENT)?[0];
    println!("   Limiter remaining: {}", remaining(tracker).ok_or("the tracker has a count limiter")?);
    assert_eq!((remaining(tracker), tracker.progress), (Some(100.into()), 100.into()));
    Ok(())
}
