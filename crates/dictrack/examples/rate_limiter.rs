//! An API quota: 100 requests a minute and 10,000 a month, with an answer for the client. Run it: `cargo run --example
//! rate_limiter`
//!
//! Nothing here waits: the manager uses a test clock, as your tests should. The document that uses up a limit still counts and
//! is listed as limited; the next one is listed as refused, and the refusal says when to come back. Without a
//! target, the tracker never completes.

use std::sync::Arc;

use dictrack::clock::{Clock as _, TestClock};
use dictrack::limiter::LimiterDefinition;
use dictrack::{Amount, Blocking, Manager, ManagerBuilder, Span, Timestamp, TrackerDefinition, Window};
use serde_json::json;

const CLIENT: &str = "api_client_001";

/// What a web server answers.
#[derive(Debug, PartialEq)]
enum Answer {
    Ok { remaining: Amount },
    TooManyRequests { retry_after: u64 },
}

/// Counts a request; if the quota is used up, says after how many seconds to try again.
fn request(manager: &Blocking, now: Timestamp) -> Result<Answer, dictrack::Error> {
    let outcome = manager.track(CLIENT, &json!({"endpoint": "/api/v1/data"}))?;
    if let Some(refusal) = outcome.refused().next().and_then(|tracker| tracker.refusal()) {
        let wait = refusal.until.map_or(Span::default(), |until| until.since(now));
        return Ok(Answer::TooManyRequests { retry_after: wait.micros().unsigned_abs().div_ceil(1_000_000) });
    }
    let remaining = outcome.counted().next().and_then(|tracker| tracker.remaining()).unwrap_or(Amount::ZERO);
    Ok(Answer::Ok { remaining })
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    run(Manager::builder())
}

/// The program, with any store.
pub(crate) fn run(builder: ManagerBuilder) -> Result<(), Box<dyn std::error::Error>> {
    // 20 seconds into a minute.
    let clock = Arc::new(TestClock::new("2026-03-01T12:00:20Z".parse()?));
    let manager = dictrack::block_on(builder.shared_clock(clock.clone()).open())?.blocking();
    let quota = TrackerDefinition::count("api_quota")
        .limiter(LimiterDefinition::count_per(100, Window::new("minute".parse()?)))
        .limiter(LimiterDefinition::count_per(10_000, Window::new("month".parse()?)));
    manager.ensure_tracker(CLIENT, quota.build()?)?;

    for left in (0..100_u64).rev() {
        assert_eq!(request(&manager, clock.now())?, Answer::Ok { remaining: left.into() });
    }
    assert_eq!(request(&manager, clock.now())?, Answer::TooManyRequests { retry_after: 40 });
    for explanation in manager.explain(CLIENT, &json!({}))? {
        println!("{}: {}", explanation.name, explanation.verdict);
    }

    clock.advance(Span::from_secs(40));
    assert_eq!(request(&manager, clock.now())?, Answer::Ok { remaining: 99.into() });
    // Nobody has to reset anything, and looking changes nothing.
    for (limiter, word) in manager.peek(CLIENT, None)?[0].limiters.iter().zip(["minute", "month"]) {
        let (remaining, limit) = (limiter.remaining.unwrap_or_default(), limiter.limit.unwrap_or_default());
        println!("{remaining} of {limit} left this {word}");
    }
    assert_eq!(manager.peek(CLIENT, None)?[0].limiters[1].remaining, Some(9_899.into()));
    Ok(())
}
