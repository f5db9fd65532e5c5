//! A streak of days with a login, which survives a missed day. Run it: `cargo run --example login_streak`

use dictrack::measure::Freezes;
use dictrack::{Amount, Manager, Span, Timestamp, TrackerDefinition, Window};
use serde_json::json;

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let manager = Manager::in_memory().blocking();
    let streak = TrackerDefinition::streak("login_streak")
        .targets([3, 7])
        .eq("event", "login")
        .every(Window::new("day".parse()?))
        // One freeze at the start, one more for each 7 days, never more than two.
        .freezes(Freezes::starting(1).earned_per(7).at_most(2));
    let first: Timestamp = "2026-06-01T08:00:00Z".parse()?;
    manager.at(first).ensure_tracker("anna", streak.build()?)?;

    let login = json!({"event": "login"});
    let on = |day: u32| first.saturating_add(Span::from_secs(day * 86_400));
    let length = |day| -> Result<(Amount, Option<u64>), dictrack::Error> {
        let tracker = manager.at(on(day)).peek("anna", None)?.remove(0);
        Ok((tracker.progress, tracker.freezes))
    };
    let mut fired = Vec::new();
    // Day 2 is missed.
    for day in [0, 1, 3, 4] {
        let outcome = manager.at(on(day)).track("anna", &login)?;
        fired.extend(outcome.events().iter().map(|event| (day, event.target)));
    }
    println!("{} days in a row", length(4)?.0);
    assert_eq!(length(4)?, (4.into(), Some(0)), "the missed day took the freeze");
    assert_eq!(fired, [(3, Some(3.into()))]);
    // Nobody came on day 5, and there is no freeze left.
    assert_eq!(length(6)?, (0.into(), Some(0)));

    // A login of day 5 that arrives late, on day 6, repairs the streak.
    manager.at(on(6)).track("anna", &login)?;
    assert_eq!(length(6)?.0, 1.into());
    manager.at(on(5)).track("anna", &login)?;
    assert_eq!(length(6)?.0, 6.into());
    Ok(())
}
