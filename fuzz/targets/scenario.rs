//! Any bytes as a scenario, run on the engine alone.
#![no_main]

use dictrack::scenario::{Bare, Scenario};
use dictrack_fuzz::bounded;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    bounded(|| match Scenario::parse(data) {
        Ok(scenario) => {
            for mismatch in scenario.run(&mut Bare::default()) {
                let _ = mismatch.to_string();
            }
        }
        Err(error) => drop(error.to_string()),
    });
});
