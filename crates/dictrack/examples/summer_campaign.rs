//! A campaign with dates: what customers buy this summer, at most three purchases a day. Run it: `cargo run --example
//! summer_campaign`
//!
//! Its definition could be in a file, which `files::read` reads.

use dictrack::files::{self, Format};
use dictrack::{Amount, Manager, Timestamp};
use serde_json::json;

const DEFINITIONS: &str = r#"
[[trackers]]
name = "summer_revenue"
kind = "sum"
target = [1000, 5000]
conditions = [{ key = "event", eq = "purchase" }]
limiters = [{ start = "2026-06-01", end = "2026-08-31" }, { count = 3, per = "day" }]
"#;

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let manager = Manager::in_memory().blocking();
    for definition in files::parse(DEFINITIONS, Format::Toml, "summer.toml".as_ref())? {
        manager.at("2026-05-01T00:00:00Z".parse()?).ensure_tracker("anna", definition)?;
    }

    // The progress after a purchase, or until when it is refused.
    let buy = |amount: u64, moment: &str| -> Result<Result<Amount, Option<Timestamp>>, Box<dyn std::error::Error>> {
        // Each counts at the time at which it took place, not at that of the call.
        let outcome = manager.at(moment.parse()?).track("anna", &json!({"event": "purchase", "amount": amount}))?;
        let tracker = outcome.touched().next().ok_or("it is a purchase")?;
        let bought = tracker.refusal().map_or_else(|| Ok(tracker.progress()), |refusal| Err(refusal.until));
        println!("{moment}: {amount}: {bought:?}");
        Ok(bought)
    };
    let until = |moment: &str| Ok::<_, Box<dyn std::error::Error>>(Err(Some(moment.parse()?)));
    assert_eq!(buy(300, "2026-05-31T23:59:59Z")?, until("2026-06-01T00:00:00Z")?);
    assert_eq!(buy(400, "2026-06-01T00:00:00Z")?, Ok(400.into()));
    assert_eq!(buy(250, "2026-06-01T12:00:00Z")?, Ok(650.into()));
    assert_eq!(buy(450, "2026-06-01T18:00:00Z")?, Ok(1100.into()));
    assert_eq!(buy(500, "2026-06-01T19:00:00Z")?, until("2026-06-02T00:00:00Z")?);
    assert_eq!(buy(300, "2026-08-31T23:59:59Z")?, Ok(1400.into()));
    assert_eq!(buy(700, "2026-09-01T00:00:00Z")?, Err(None), "the campaign is over");
    Ok(())
}
