//! A custom condition, registered by name. Run it: `cargo run --example custom_condition`
//!
//! The definition only has the name and the parameters, so it can be stored and shared; the code stays in the process. If a
//! process has not registered the name, the tracker is listed in `failed` in the outcome.

use std::cmp::Ordering;

use dictrack::json::{Json, Map};
use dictrack::{
    Document, Manager, ManagerBuilder, Path, TrackerDefinition,
    custom::{BoxError, CustomCondition},
    document::Value,
    number::Number,
};
use serde_json::json;

/// Holds for an order of `min_amount` or more, by a customer in one of the `allowed_tiers` who is not in one of the
/// `excluded_regions`. Tiers and regions are compared in lower case.
struct HighValueOrder {
    amount: Path,
    tier: Path,
    region: Path,
}

impl HighValueOrder {
    fn new() -> Option<Self> {
        let [amount, tier, region] = ["amount", "customer_tier", "region"].map(Path::parse);
        Some(Self { amount: amount?, tier: tier?, region: region? })
    }
}

impl CustomCondition for HighValueOrder {
    fn check(&self, params: &Json, order: &dyn Document) -> Result<bool, BoxError> {
        let params = params.as_map().ok_or("the parameters are a map")?;
        let min_amount = params.get("min_amount").and_then(Json::as_number).ok_or("`min_amount` is a number")?;
        let listed = |list: &str, value: &str| Ok::<_, BoxError>(texts(params, list)?.any(|item| item == value));

        let amount = match order.value_at(&self.amount) {
            Some(Value::Number(amount)) => amount,
            _ => Number::from(0_i64),
        };
        Ok(amount.compare(min_amount).is_some_and(Ordering::is_ge)
            && listed("allowed_tiers", &lower(order, &self.tier))?
            && !listed("excluded_regions", &lower(order, &self.region))?)
    }
}

/// The strings in the list `name` of the parameters.
fn texts<'a>(params: &'a Map, name: &str) -> Result<impl Iterator<Item = &'a str>, BoxError> {
    let list = params.get(name).and_then(Json::as_list).ok_or_else(|| format!("`{name}` is a list"))?;
    Ok(list.iter().filter_map(Json::as_str))
}

/// The string at `path` in lower case; empty if there is none.
fn lower(order: &dyn Document, path: &Path) -> String {
    match order.value_at(path) {
        Some(Value::Text(text)) => text.to_lowercase(),
        _ => String::new(),
    }
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    run(Manager::builder())
}

/// The program, with any store.
pub(crate) fn run(builder: ManagerBuilder) -> Result<(), Box<dyn std::error::Error>> {
    let condition = HighValueOrder::new().ok_or("the paths are not empty")?;
    let builder = builder.condition("high_value_order", condition);
    let manager = dictrack::block_on(builder.open())?.blocking();

    let params = json!({
        "min_amount": 100, "allowed_tiers": ["gold", "platinum"], "excluded_regions": ["blocked", "suspended"],
    });
    let tracker = TrackerDefinition::count("high_value_orders")
        .targets([10, 50, 100])
        .custom_condition("high_value_order", params)
        .build()?;
    manager.ensure_tracker("orders", tracker)?;

    let orders = [
        json!({"order_id": "ORD001", "amount": 50, "customer_tier": "gold", "region": "us"}),
        json!({"order_id": "ORD002", "amount": 150, "customer_tier": "gold", "region": "us"}),
        json!({"order_id": "ORD003", "amount": 200, "customer_tier": "platinum", "region": "eu"}),
        json!({"order_id": "ORD004", "amount": 120, "customer_tier": "silver", "region": "us"}),
        json!({"order_id": "ORD005", "amount": 300, "customer_tier": "gold", "region": "blocked"}),
        json!({"order_id": "ORD006", "amount": 180, "customer_tier": "platinum", "region": "uk"}),
    ];
    println!("Processing Orders:");
    println!("{}", "-".repeat(60));
    let mut tracked = Vec::new();
    for order in &orders {
        let outcome = manager.track("orders", order)?;
        assert_eq!(outcome.failed().count(), 0);
        let [id, tier, region] = ["order_id", "customer_tier", "region"].map(|key| order[key].as_str().unwrap_or("?"));
        let amount = &order["amount"];
        if outcome.dirtied().next().is_some() {
            println!("✅ Tracked: {id} - ${amount} ({tier})");
            tracked.push(id);
        } else {
            println!("❌ Rejected: {id} - ${amount} ({tier}, {region})");
        }
    }
    assert_eq!(tracked, ["ORD002", "ORD003", "ORD006"]);

    let tracker = manager.tracker("orders", "high_value_orders")?.ok_or("there is no such tracker")?;
    let total = tracker.tally().to_string();
    println!("\n{}", "-".repeat(60));
    println!("High-value orders tracked: {total}");
    assert_eq!(total, "3/10");
    Ok(())
}
