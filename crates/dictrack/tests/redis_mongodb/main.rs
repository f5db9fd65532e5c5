//! Processes that share groups through a real Redis, in front of a real MongoDB.

mod errors;
#[path = "../fleet/mod.rs"]
mod fleet;
mod keys;
mod large;
mod listeners;
mod losses;
mod outages;
mod place;
mod replicas;

#[test]
fn child() {
    fleet::child();
}
