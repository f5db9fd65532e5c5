//! Any bytes as a document. What is JSON can be printed and read again, and the index agrees with plain evaluation.
#![no_main]

use std::sync::LazyLock;

use dictrack::group::{Engine, Group};
use dictrack::json::Json;
use dictrack_fuzz::{bounded, group, track_as_explained, trackers};
use libfuzzer_sys::fuzz_target;

static FIXED: LazyLock<(Engine, Group)> = LazyLock::new(|| {
    let engine = Engine::default();
    let group = group(&engine, &trackers()).expect("the names are distinct");
    (engine, group)
});

fuzz_target!(|data: &[u8]| {
    let (engine, group) = &*FIXED;
    bounded(|| {
        let document = match Json::parse(data) {
            Ok(document) => document,
            Err(error) => return drop(error.to_string()),
        };
        let printed = document.to_string();
        let again =
            Json::parse_within(printed.as_bytes(), dictrack::json::Bounds::STORED).expect("printed JSON can be read");
        // A string with a lone surrogate equals nothing, and is printed as null.
        if document == document.clone() {
            assert_eq!(again, document);
        }
        assert_eq!(again.to_string(), printed);
        // For the second document, limiters are used up.
        let mut group = group.clone();
        for explanation in track_as_explained(&mut group, engine, &document) {
            let _ = explanation.to_json().to_string();
        }
        track_as_explained(&mut group, engine, &document);
    });
});
