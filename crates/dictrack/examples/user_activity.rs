//! Milestones for each user, with listeners. Run it: `cargo run --example user_activity`
//!
//! Every user gets the same tracker in their own group. A document counts if its `event_type` is one of those listed, and a
//! listener is called at 10, 50, 100 … documents.

use std::sync::mpsc;

use dictrack::{Blocking, EventCode, Manager, Outcome, TrackerDefinition, template::Template};
use serde_json::{Value, json};

fn progress(outcome: &Outcome) -> Vec<String> {
    outcome.dirtied().map(|tracker| tracker.tally().to_string()).collect()
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    run(Manager::in_memory().blocking())
}

/// The program, with any manager.
pub(crate) fn run(manager: Blocking) -> Result<(), Box<dyn std::error::Error>> {
    // A listener runs before the call that caused its event returns.
    let (milestones, heard) = mpsc::channel();
    manager.add_listener(EventCode::StageCompleted, move |event| {
        let milestone = event.tally().to_string();
        println!("🎯 Milestone reached! User {} completed stage: {milestone}", event.group);
        // The other end is there for as long as the manager.
        let _ = milestones.send((event.group.to_string(), milestone));
    });
    manager.add_listener(EventCode::AllCompleted, |event| {
        println!("🎉 User {} completed all milestones! Target: {}", event.group, event.target.unwrap_or_default());
    });

    let milestone = TrackerDefinition::count("activity_milestone")
        .targets([10, 50, 100, 500, 1000])
        .is_in("event_type", ["login", "purchase", "comment", "share"])
        .build()?;
    // For every user.
    manager.set_trackers([Template::everyone([milestone])?])?;

    let track = |activity: &Value| -> Result<Vec<String>, Box<dyn std::error::Error>> {
        let user = activity["user_id"].as_str().ok_or("an activity names its user")?;
        let outcome = manager.track(user, activity)?;
        println!("Tracked: {} for {user}", activity["event_type"].as_str().unwrap_or("?"));
        let progress = progress(&outcome);
        progress.iter().for_each(|progress| println!("  Progress: {progress}"));
        Ok(progress)
    };

    let activities = [
        json!({"user_id": "user_001", "event_type": "login", "timestamp": 1699000000}),
        json!({"user_id": "user_001", "event_type": "purchase", "timestamp": 1699000100}),
        json!({"user_id": "user_001", "event_type": "comment", "timestamp": 1699000200}),
    ];
    for (activity, expected) in activities.iter().zip(["1/10", "2/10", "3/10"]) {
        assert_eq!(track(activity)?, [expected]);
    }

    // A document that matches nothing changes nothing.
    assert!(track(&json!({"user_id": "user_001", "event_type": "logout"}))?.is_empty());
    assert!(heard.try_recv().is_err());

    for share in 4..=10 {
        track(&json!({"user_id": "user_001", "event_type": "share", "timestamp": 1699000200 + 100 * share}))?;
    }
    assert_eq!(heard.try_recv()?, ("user_001".to_owned(), "10/10".to_owned()));
    assert!(heard.try_recv().is_err(), "each milestone is delivered once");

    let after = manager.trackers("user_001")?;
    assert_eq!((after[0].progress, after[0].target(), after[0].stage), (10.into(), Some(50.into()), 2));
    let others = manager.trackers("user_002")?;
    assert_eq!(others[0].progress, 0.into());
    Ok(())
}
