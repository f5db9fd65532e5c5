use dictrack::{Blocking, EventCode, TrackerDefinition, json::Json, template::Template};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let manager = Blocking::open("dictrack.db")?;
    for code in [EventCode::StageCompleted, EventCode::AllCompleted] {
        manager.add_listener(code, |event| println!("{} reached {}", event.group, event.progress));
    }
    let logins = TrackerDefinition::count("logins").targets([3, 10, 100]).eq("event", "login").build()?;
    manager.set_trackers([Template::everyone([logins])?])?;
    let outcome = manager.track("user_001", &Json::parse(br#"{"event": "login"}"#)?)?;
    for tracker in outcome.dirtied() {
        println!("{}: {}", tracker.name(), tracker.tally());
    }
    manager.close()?;
    Ok(())
}
