//! At most 5 attempts to log in to an account in any 10 minutes, until one succeeds. Run it: `cargo run --example
//! login_throttle`
//!
//! A limit per 10 minutes would admit 5 at the end of one period and 5 more at the start of the next. `within` looks back from
//! each attempt.

use dictrack::limiter::LimiterDefinition;
use dictrack::manager::Reset;
use dictrack::{Blocking, Manager, Span, Timestamp, TrackerDefinition};
use serde_json::json;

const ACCOUNT: &str = "anna";

#[derive(Debug, PartialEq)]
enum Answer {
    Welcome,
    WrongPassword,
    TooManyAttempts { until: Option<Timestamp> },
}

/// Checks a password, unless there were too many attempts. An attempt counts before its password is checked: of many attempts
/// at the same time, only 5 get that far.
fn log_in(manager: &Blocking, password: &str, now: Timestamp) -> Result<Answer, dictrack::Error> {
    let outcome = manager.at(now).track(ACCOUNT, &json!({}))?;
    if let Some(refusal) = outcome.refused().next().and_then(|tracker| tracker.refusal()) {
        return Ok(Answer::TooManyAttempts { until: refusal.until });
    }
    if password != "correct horse battery staple" {
        return Ok(Answer::WrongPassword);
    }
    manager.at(now).reset_tracker(ACCOUNT, "login_attempts", Reset::default())?;
    Ok(Answer::Welcome)
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let manager = Manager::in_memory().blocking();
    let attempts =
        TrackerDefinition::count("login_attempts").limiter(LimiterDefinition::count_within(5, "10 minutes".parse()?));
    let noon: Timestamp = "2026-06-01T12:00:00Z".parse()?;
    manager.at(noon).ensure_tracker(ACCOUNT, attempts.build()?)?;

    let after = |minutes: u32| noon.saturating_add(Span::from_secs(minutes * 60));
    for minute in [0, 1, 2, 8, 9] {
        assert_eq!(log_in(&manager, "swordfish", after(minute))?, Answer::WrongPassword);
    }
    // The first of the five was ten minutes before minute 10, the second before minute 11.
    let too_many = |minute| Answer::TooManyAttempts { until: Some(after(minute)) };
    assert_eq!(log_in(&manager, "swordfish", after(9))?, too_many(10));
    println!("too many attempts; the next one is possible at {}", after(10));
    assert_eq!(log_in(&manager, "swordfish", after(10))?, Answer::WrongPassword);
    assert_eq!(log_in(&manager, "swordfish", after(10))?, too_many(11));

    assert_eq!(log_in(&manager, "correct horse battery staple", after(11))?, Answer::Welcome);
    for _ in 0..5 {
        assert_eq!(log_in(&manager, "swordfish", after(11))?, Answer::WrongPassword);
    }
    println!("a success starts again with five");
    Ok(())
}
