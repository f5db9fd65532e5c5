//! Any text as a definition file. What is accepted can be printed and read again, and the index agrees with plain evaluation.
//! The first byte chooses the format.
#![no_main]

use std::path::Path;
use std::sync::{Arc, LazyLock};

use dictrack::files::{Format, parse};
use dictrack::json::Json;
use dictrack::{TrackerDefinition, group::Engine};
use dictrack_fuzz::{bounded, group, track_as_explained};
use libfuzzer_sys::fuzz_target;

static DOCUMENT: LazyLock<Json> = LazyLock::new(|| {
    let text = r#"{"a": 5, "b": {"c": [1, null]}, "l": [1, "x", {"q": 2.5}], "t": "aStraße", "e": "purchase", "amount": "12.50",
        "n": -3, "w": 1e300, "z": null, "ok": true, "": {"": 0}, "b.c": 1}"#;
    Json::parse(text.as_bytes()).expect("a document")
});

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let format = [Format::Json, Format::Toml, Format::Yaml][usize::from(*first) % 3];
    bounded(|| {
        let trackers = match parse(text, format, Path::new("trackers")) {
            Ok(trackers) => trackers,
            Err(error) => return drop(error.to_string()),
        };
        for tracker in &trackers {
            let printed = tracker.to_json().to_string();
            let json = Json::parse(printed.as_bytes()).expect("printed definitions can be read");
            let again = TrackerDefinition::from_json(&json).expect("what was accepted is accepted");
            assert_eq!(again, *tracker);
            assert_eq!(again.to_json().to_string(), printed);
            let direct = TrackerDefinition::from_json(&tracker.to_json()).expect("what was accepted is accepted");
            assert_eq!(direct, *tracker);
        }
        let engine = Engine::default();
        let trackers: Vec<_> = trackers.into_iter().map(Arc::new).collect();
        let mut group = group(&engine, &trackers).expect("a file that uses a name twice is rejected");
        track_as_explained(&mut group, &engine, &DOCUMENT);
        track_as_explained(&mut group, &engine, &DOCUMENT);
    });
});
