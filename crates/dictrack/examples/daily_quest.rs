//! A quest that starts again every day, at midnight where the player lives. Run it: `cargo run --example daily_quest`

use std::sync::Arc;

use dictrack::clock::TestClock;
use dictrack::json::Json;
use dictrack::{EventCode, Manager, Status, TrackerDefinition, Window};
use serde_json::json;

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let clock = Arc::new(TestClock::new("2026-06-01T20:00:00Z".parse()?));
    let manager = dictrack::block_on(Manager::builder().shared_clock(clock.clone()).open())?.blocking();
    let quest = TrackerDefinition::count("win_two_matches").target(2).eq("event", "win");
    manager.ensure_tracker("anna", quest.every(Window::new("day".parse()?)).keep(7).build()?)?;
    let zone = [("zone".into(), Json::from("Europe/Berlin"))];
    manager.set_attributes("anna", zone.into_iter().collect())?;

    let win = json!({"event": "win"});
    manager.track("anna", &win)?;
    let outcome = manager.track("anna", &win)?;
    assert_eq!(outcome.events()[0].code, EventCode::AllCompleted);
    println!("the quest is done");

    // Until midnight in Berlin, 22:00 UTC, it rests.
    let quest = manager.peek("anna", None)?.remove(0);
    assert_eq!(quest.status, Status::Resting);
    let next = quest.period.ok_or("the quest has periods")?.end();
    println!("the next one starts at {next}");
    assert_eq!(next, "2026-06-02T00:00:00+02:00".parse()?);
    assert_eq!(manager.track("anna", &win)?.counted().count(), 0);

    clock.set(next);
    let outcome = manager.track("anna", &win)?;
    assert_eq!(outcome.counted().next().ok_or("a new day")?.progress(), 1.into());
    for day in manager.periods("anna", "win_two_matches")?.unwrap_or_default() {
        println!("{}: {} wins", day.period.start(), day.progress);
    }
    Ok(())
}
