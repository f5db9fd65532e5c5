//! Counts clicks, conversions and revenue of a campaign from one stream. Run it: `cargo run --example campaign_analytics`
//!
//! Three trackers evaluate every document. All conditions of a tracker must hold. Types are strict: if `converted` is `1` or
//! `"true"`, it is not `true`.

use dictrack::{Blocking, Manager, TrackerDefinition, group::Differing};
use serde_json::json;

const CAMPAIGN: &str = "campaign_summer_2024";

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    run(Manager::in_memory().blocking())
}

/// The program, with any manager.
pub(crate) fn run(manager: Blocking) -> Result<(), Box<dyn std::error::Error>> {
    let clicks =
        TrackerDefinition::count("campaign_clicks").targets([1000, 5000, 10000]).eq("event", "click").build()?;
    let conversions = TrackerDefinition::count("campaign_conversions")
        .targets([100, 500, 1000])
        .eq("event", "click")
        .eq("converted", true)
        .build()?;
    let revenue = TrackerDefinition::sum("campaign_revenue")
        .key("amount")
        .targets([5000, 25000, 50000])
        .eq("event", "purchase")
        .gt("amount", 0)
        .build()?;
    let trackers = manager.tracker_list([clicks, conversions, revenue])?;
    manager.ensure_trackers(CAMPAIGN, &trackers, Differing::Refuse)?;

    let events = [
        json!({"event": "click", "converted": false, "amount": 0}),
        json!({"event": "click", "converted": true, "amount": 0}),
        json!({"event": "click", "converted": false, "amount": 0}),
        json!({"event": "purchase", "converted": true, "amount": 50.00}),
        json!({"event": "click", "converted": false, "amount": 0}),
        json!({"event": "purchase", "converted": true, "amount": 125.00}),
        json!({"event": "click", "converted": true, "amount": 0}),
        json!({"event": "purchase", "converted": true, "amount": 75.00}),
    ];
    println!("Campaign Analytics - Summer 2024");
    println!("{}", "=".repeat(50));
    for event in &events {
        let outcome = manager.track(CAMPAIGN, event)?;
        let converted = if event["converted"] == true { " (converted)" } else { "" };
        let amount = match event["amount"].as_f64() {
            Some(amount) if amount > 0.0 => format!(" - ${amount:.2}"),
            _ => String::new(),
        };
        let touched: Vec<_> = outcome.dirtied().map(|tracker| tracker.name()).collect();
        println!("Event: {}{converted}{amount}", event["event"].as_str().unwrap_or("?"));
        println!("  counted by {}", touched.join(", "));
    }

    let stats: Vec<_> =
        manager.trackers(CAMPAIGN)?.iter().map(|tracker| format!("{}: {}", tracker.name(), tracker.tally())).collect();
    println!("\n{}", "=".repeat(50));
    println!("Final Campaign Stats:");
    stats.iter().for_each(|line| println!("  {line}"));
    assert_eq!(stats, ["campaign_clicks: 5/1000", "campaign_conversions: 2/100", "campaign_revenue: 250/5000"]);
    Ok(())
}
