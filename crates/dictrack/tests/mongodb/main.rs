//! The MongoDB store on real servers.

mod conformance;
