//! At most 100 requests until the limit is renewed. Run it: `cargo run --example rate_limiter`
//!
//! The limiter is part of the tracker, and the outcome of each document says how much of it is left. The document that
//! spends the last of it still counts, and is the first that is listed as limited.

use dictrack::{Blocking, LimiterState, Manager, ResetPolicy, TrackerDefinition, TrackerSnapshot};
use serde_json::json;

const CLIENT: &str = "api_client_001";

fn remaining(tracker: &TrackerSnapshot) -> Option<u64> {
    tracker.limiters.iter().find_map(|limiter| match limiter {
        LimiterState::Count { remaining, .. } => Some(*remaining),
        _ => None,
    })
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    run(Manager::in_memory().blocking())
}

/// The program, on whatever store the manager has.
pub(crate) fn run(manager: Blocking) -> Result<(), Box<dyn std::error::Error>> {
    let limit =
        TrackerDefinition::count("api_rate_limit").target(1000).eq("endpoint", "/api/v1/data").limit(100).build()?;
    manager.ensure_tracker(CLIENT, limit)?;

    println!("Starting rate limiter test...");
    let mut allowed = Vec::new();
    for request in 0..105 {
        let data = json!({"endpoint": "/api/v1/data", "request_id": request, "client": CLIENT});
        let outcome = manager.track(CLIENT, &data)?;
        let tracker = outcome.dirtied().next().ok_or("the request counts")?;
        let left = tracker.remaining().ok_or("the tracker has a count limiter")?;
        if outcome.limited().next().is_none() {
            println!("✅ Request {request} allowed. Remaining: {left}");
            allowed.push(left);
            continue;
        }
        println!("❌ Request {request} blocked! Rate limit exceeded.");
        println!("   Limiter remaining: {left}");
        // This one was the hundredth: it counted, and now the limit is spent.
        assert_eq!((request, left, tracker.progress()), (99, 0, 100.into()));
        assert_eq!(outcome.refused().count(), 0);
        break;
    }
    assert_eq!(allowed, (1..=99).rev().collect::<Vec<u64>>());

    // From here on a request is refused: it is not counted, and nothing of the tracker changes.
    let data = json!({"endpoint": "/api/v1/data", "request_id": 100, "client": CLIENT});
    let outcome = manager.track(CLIENT, &data)?;
    assert_eq!((outcome.refused().count(), outcome.dirtied().count()), (1, 0));
    for explanation in manager.explain(CLIENT, &data)? {
        println!("   {}: {}", explanation.name, explanation.verdict);
    }

    println!("\nResetting rate limiter...");
    manager.reset_tracker(CLIENT, "api_rate_limit", Some(ResetPolicy::LIMITER))?;
    let tracker = &manager.get_trackers(CLIENT, None)?[0];
    println!("   Limiter remaining: {}", remaining(tracker).ok_or("the tracker has a count limiter")?);
    assert_eq!((remaining(tracker), tracker.progress), (Some(100), 100.into()));
    Ok(())
}
