//! At most 5 failed logins in any 10 minutes. Run it: `cargo run --example login_throttle`
//!
//! A limit per 10 minutes would admit 5 at the end of one period and 5 more at the start of the next. `within` looks back from
//! each attempt.

use dictrack::limiter::LimiterDefinition;
use dictrack::{Manager, Span, Timestamp, TrackerDefinition};
use serde_json::json;

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let manager = Manager::in_memory().blocking();
    let throttle = TrackerDefinition::count("failed_logins")
        .target(i64::MAX)
        .limiter(LimiterDefinition::count_within(5, "10 minutes".parse()?));
    let start: Timestamp = "2026-06-01T12:00:00Z".parse()?;
    manager.at(start).ensure_tracker("203.0.113.7", throttle.build()?)?;

    let after = |minutes: u32| start.saturating_add(Span::from_secs(minutes * 60));
    // Whether the next attempt is allowed is asked before the password is checked; only a failure counts.
    let allowed = |now| -> Result<bool, dictrack::Error> {
        let limiter = manager.at(now).peek("203.0.113.7", None)?[0].limiters[0].clone();
        Ok(limiter.retry_at.is_some_and(|moment| moment <= now))
    };
    for minute in [0, 1, 2, 8, 9] {
        assert!(allowed(after(minute))?);
        manager.at(after(minute)).track("203.0.113.7", &json!({}))?;
    }
    assert!(!allowed(after(9))?);
    let until = manager.at(after(9)).peek("203.0.113.7", None)?[0].limiters[0].retry_at;
    println!("too many failures; the next attempt is possible at {}", until.unwrap_or_default());
    assert_eq!(until, Some(after(10)), "ten minutes after the first");
    assert!(allowed(after(10))?);
    Ok(())
}
