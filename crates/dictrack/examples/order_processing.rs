//! Counts orders and revenue across restarts, each order once. Run it: `cargo run --example order_processing`
//!
//! The manager stores everything in one SQLite file. Each order is tracked with its id, so it counts once even if a queue
//! delivers it twice, or delivers it again to the next run. Amounts are exact: 150.00 + 75.50 + 320.00 is 545.5.

use dictrack::{Blocking, EventCode, TrackerDefinition, group::Differing, manager::Submission};
use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Adds the trackers, as a service does every time it starts.
fn prepare(manager: Blocking) -> Result<Blocking> {
    manager.add_listener(EventCode::StageCompleted, |event| {
        let target = event.target.unwrap_or_default();
        println!("📦 Order {} stage completed: ${}/${target}", event.name(), event.progress);
    });
    manager.add_listener(EventCode::AllCompleted, |event| {
        println!("✅ Order {} fully processed! Total amount: ${}", event.name(), event.progress);
    });
    let count = TrackerDefinition::count("order_count").targets([10, 50, 100, 500]).eq("status", "completed");
    let amount = TrackerDefinition::sum("order_amount")
        .key("amount")
        .targets([1000, 5000, 10000, 50000])
        .eq("status", "completed")
        .is_in("payment_method", ["credit_card", "debit_card", "paypal"]);
    let trackers = manager.tracker_list([count.build()?, amount.build()?])?;
    manager.ensure_trackers("orders", &trackers, Differing::Refuse)?;
    Ok(manager)
}

/// Tracks an order. Returns whether it was new.
fn process(manager: &Blocking, order: &Value) -> Result<bool> {
    let id = order["order_id"].as_str().ok_or("an order has an id")?;
    println!("\nProcessing order: {id}");
    let outcome = manager.track_one(Submission::new("orders", order).id(id))?;
    let [orders, revenue] = totals(manager)?;
    println!("  Orders: {orders}");
    println!("  Revenue: ${revenue}");
    Ok(!outcome.duplicate())
}

fn totals(manager: &Blocking) -> Result<[String; 2]> {
    let trackers = manager.trackers("orders")?;
    let [orders, revenue] = trackers.as_slice() else { return Err("there are two trackers".into()) };
    Ok([orders.tally().to_string(), revenue.tally().to_string().replace('/', "/$")])
}

pub(crate) fn main() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("dictrack_order_processing_{}", std::process::id()));
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir(&folder)?;
    let path = folder.join("orders.db");
    run(|| Ok(Blocking::open(&path)?))?;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

/// The program, which opens its store twice.
pub(crate) fn run(open: impl Fn() -> Result<Blocking>) -> Result<()> {
    let orders = [
        json!({"order_id": "ORD001", "status": "completed", "amount": 150.00, "payment_method": "credit_card"}),
        json!({"order_id": "ORD002", "status": "pending", "amount": 200.00, "payment_method": "paypal"}),
        json!({"order_id": "ORD003", "status": "completed", "amount": 75.50, "payment_method": "debit_card"}),
        json!({"order_id": "ORD004", "status": "completed", "amount": 320.00, "payment_method": "credit_card"}),
        json!({"order_id": "ORD005", "status": "cancelled", "amount": 50.00, "payment_method": "credit_card"}),
    ];
    let manager = prepare(open()?)?;
    for order in &orders {
        assert!(process(&manager, order)?);
    }
    assert_eq!(totals(&manager)?, ["3/10", "545.5/$1000"]);
    // Dropping the last clone also writes everything, but only closing reports errors.
    manager.close()?;
    drop(manager);

    println!("\nThe next run, which gets the last orders again:");
    let manager = prepare(open()?)?;
    assert_eq!(totals(&manager)?, ["3/10", "545.5/$1000"]);
    for order in &orders[3..] {
        assert!(!process(&manager, order)?);
    }
    assert_eq!(totals(&manager)?, ["3/10", "545.5/$1000"]);
    manager.close()?;
    Ok(())
}
