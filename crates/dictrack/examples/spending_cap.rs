//! A cap on what a user spends in a month, and on tokens in a day. Run it: `cargo run --example spending_cap`

use dictrack::limiter::LimiterDefinition;
use dictrack::{Manager, Path, Timestamp, TrackerDefinition, Window};
use serde_json::json;

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let manager = Manager::in_memory().blocking();
    let tokens = Path::parse("usage.tokens");
    let spent = TrackerDefinition::sum("spent")
        // Without a key, the limiter adds up what the tracker does: `amount`.
        .limiter(LimiterDefinition::sum_per(500, None, Window::new("month".parse()?)))
        .limiter(LimiterDefinition::sum_per(10_000, tokens, Window::new("day".parse()?)));
    let noon: Timestamp = "2026-06-15T12:00:00Z".parse()?;
    let at_noon = manager.at(noon);
    at_noon.ensure_tracker("anna", spent.build()?)?;

    let buy = |amount: &str, tokens: u64| {
        let amount: serde_json::Number = amount.parse()?;
        Ok::<_, Box<dyn std::error::Error>>(json!({"amount": amount, "usage": {"tokens": tokens}}))
    };
    assert_eq!(at_noon.track("anna", &buy("450.50", 100)?)?.counted().count(), 1);
    // 49.50 is left: this one is refused whole, and nothing is spent.
    let outcome = at_noon.track("anna", &buy("60", 100)?)?;
    let refusal = outcome.refused().next().and_then(|tracker| tracker.refusal()).ok_or("it is refused")?;
    assert_eq!((refusal.limiter, refusal.until), (0, Some("2026-07-01T00:00:00Z".parse()?)));
    println!("refused until {}", refusal.until.unwrap_or_default());

    // A refund gives back.
    at_noon.track("anna", &buy("-100", 0)?)?;
    assert_eq!(at_noon.track("anna", &buy("60", 100)?)?.counted().count(), 1);
    let left = &at_noon.peek("anna", None)?[0].limiters;
    println!(
        "{} left this month, {} tokens today",
        left[0].remaining.unwrap_or_default(),
        left[1].remaining.unwrap_or_default()
    );
    assert_eq!((left[0].remaining, left[1].remaining), (Some("89.5".parse()?), Some(9_800.into())));
    Ok(())
}
