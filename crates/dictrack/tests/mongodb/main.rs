//! The MongoDB store on real servers.

mod access;
mod common;
mod conformance;
mod documents;
mod examples;
mod faults;
mod journal;
mod owner;
mod scenarios;
