//! The MongoDB store on real servers.

mod access;
mod common;
mod conformance;
mod documents;
mod examples;
mod faults;
mod journal;
#[path = "../common/on_redis.rs"]
mod on_redis;
mod owner;
#[path = "../common/replay.rs"]
mod replay;
mod scenarios;
