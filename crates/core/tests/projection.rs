//! The law of projections: whatever its paths, a document has the same values and the same errors as without one.

use std::sync::Arc;

use dictrack_core::document::Document;
use dictrack_core::json::{Json, Projected, Projection, Projector};
use dictrack_core::path::Path;
use proptest::prelude::*;

const PATHS: [&str; 14] =
    ["a", "b", "c", "a.b", "a.c", "b.a.c", "a.0", "a.b.1.c", "c.-1", "0", "é", "user.id", "user.name.first", "a.b.c.a"];

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        12 => prop::sample::select(vec!["a", "b", "c", "0", "user", "id", "name", "first", "é", "", "a.b"]).prop_map(String::from),
        1 => Just("\\u0061".to_owned()),
        1 => Just("\\ud800".to_owned()),
        1 => Just("x\\n".to_owned()),
    ]
}

fn space() -> impl Strategy<Value = &'static str> {
    prop_oneof![20 => Just(""), 4 => Just(" "), 1 => Just("\t"), 1 => Just(" \r "), 1 => Just("\n")]
}

fn text() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "x",
        "value",
        "12345678",
        "é",
        "日本",
        "😀",
        "\\n",
        "\\\"",
        "\\\\",
        "\\/",
        "\\u0041",
        "\\u00e9",
        "\\ud83d\\ude00",
        "\u{7f}",
        "\u{2028}",
        " ",
        "'",
        "\\b",
    ]);
    let strange = prop::sample::select(vec![
        "\\ud800",
        "\\udc00",
        "\\u12",
        "\\x",
        "\\",
        "\u{1}",
        "\n",
        "\\uD83D\\u0041",
        "\\u+123",
    ]);
    prop_oneof![
        20 => prop::collection::vec(part.clone(), 0..5).prop_map(|parts| parts.concat()),
        1 => (part, strange).prop_map(|(part, strange)| format!("{part}{strange}")),
    ]
}

fn number() -> impl Strategy<Value = String> {
    let strange = prop::sample::select(vec![
        "0",
        "-0",
        "0.0",
        "-0.50",
        "1e5",
        "1E+2",
        "12.5e-3",
        "123456789012345678",
        "1234567890123456789",
        "0.123456789012345678",
        "0.1234567890123456789",
        "1.000000000000000000",
        "170000000000000000000",
        "1e400",
        "0e0",
        "-1.5E-400",
        "01",
        "-",
        "+1",
        ".5",
        "1.",
        "1e",
        "1e+",
        "00",
        "-01",
        "1.5.5",
        "NaN",
        "Infinity",
        "-Infinity",
        "0x1",
        "1_000",
        "--1",
    ]);
    prop_oneof![3 => any::<i32>().prop_map(|number| number.to_string()), 2 => any::<f64>().prop_map(|number| format!("{number:?}")),
        3 => strange.prop_map(String::from)]
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        5 => text().prop_map(|text| format!("\"{text}\"")),
        5 => number(),
        3 => prop::sample::select(vec!["true", "false", "null"]).prop_map(String::from),
        1 => prop::sample::select(vec!["tru", "nul", "True", "", "nulll", "undefined", "'a'"]).prop_map(String::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            2 => map(inner.clone()),
            1 => prop::collection::vec((space(), inner, space()), 0..4).prop_map(|items| {
                let items: Vec<_> = items.into_iter().map(|(before, item, after)| format!("{before}{item}{after}")).collect();
                format!("[{}]", items.join(","))
            }),
        ]
    })
}

fn map(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    prop::collection::vec((key(), value, space(), space()), 0..6).prop_map(|entries| {
        let entry = |(key, value, before, after): (String, String, &str, &str)| {
            format!("{before}\"{key}\"{after}:{before}{value}{after}")
        };
        format!("{{{}}}", entries.into_iter().map(entry).collect::<Vec<_>>().join(","))
    })
}

/// A text, mostly JSON, and how it is broken: a byte is removed, replaced or added.
fn document() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop::sample::select(b"{}[]\",:\\ 0-.e\x00\x1f\x7f\xc3\xff".to_vec());
    let damage = prop::option::weighted(0.4, (any::<prop::sample::Index>(), byte, 0..3_u8));
    (prop_oneof![6 => map(value()), 1 => value()], damage).prop_map(|(text, damage)| {
        let mut bytes = text.into_bytes();
        if let (Some((at, byte, how)), false) = (damage, bytes.is_empty()) {
            let at = at.index(bytes.len());
            match how {
                0 => drop(bytes.remove(at)),
                1 => bytes[at] = byte,
                _ => bytes.insert(at, byte),
            }
        }
        bytes
    })
}

/// What `document` has at each path, as text, since NaN equals nothing.
fn values(document: &dyn Document) -> Vec<Option<String>> {
    let paths = PATHS.iter().map(|path| Path::parse(path).unwrap());
    paths.map(|path| document.value_at(&path).map(|value| format!("{:?}", value.to_json()))).collect()
}

/// Reads a document with a projection, and again with the paths that were missed.
fn agrees(projector: &mut Projector, text: &[u8]) -> Projection {
    let expected = Json::parse(text);
    let projection = Arc::clone(projector.projection());
    let mut slots = vec![None; projection.slots()];
    let read = projector.read(text, &mut slots);
    match (&read, &expected) {
        (Ok(Some(whole)), Ok(expected)) => assert_eq!(values(whole), values(expected)),
        (Ok(None), Ok(expected)) => {
            let projected = Projected::new(&projection, &slots, text);
            assert_eq!(values(&projected), values(expected), "{}", String::from_utf8_lossy(text));
            assert_eq!(projected.to_json().to_string(), expected.to_string());
        }
        (Err(error), Err(expected)) => assert_eq!(error, expected),
        _ => panic!("{}: {read:?} instead of {expected:?}", String::from_utf8_lossy(text)),
    }
    projection.widened().unwrap_or_else(Projection::everything)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn a_projection_changes_neither_values_nor_errors(
        paths in prop::collection::vec(prop::sample::select(PATHS.to_vec()), 0..6),
        documents in prop::collection::vec(document(), 1..5),
    ) {
        let paths = || paths.iter().map(|path| Path::parse(path).unwrap());
        let mut projector = Projector::new(Arc::new(Projection::new(paths())));
        for text in &documents {
            agrees(&mut projector, text);
            // A key may be remembered from another document.
            agrees(&mut projector, text);
        }
    }
}

#[test]
fn depth_size_and_long_numbers_are_limited_as_without_a_projection() {
    let mut projector = Projector::new(Arc::new(Projection::new(["a.b", "c"].map(|path| Path::parse(path).unwrap()))));
    for depth in 60..68 {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        for text in [
            format!("{{\"x\":{open}{close}}}"),
            format!("{{\"c\":{open}{close}}}"),
            format!("{{\"a\":{{\"b\":{open}1{close}}}}}"),
        ] {
            agrees(&mut projector, text.as_bytes());
        }
    }
    for digits in [18, 19, 4300, 4301, 9000] {
        let number = "7".repeat(digits);
        for text in
            [format!("{{\"x\":{number},\"c\":1}}"), format!("{{\"c\":{number}}}"), format!("{{\"c\":0.{number}}}")]
        {
            agrees(&mut projector, text.as_bytes());
        }
    }
    for length in [dictrack_core::json::MAX_BYTES - 10, dictrack_core::json::MAX_BYTES] {
        agrees(&mut projector, format!("{{\"x\":\"{}\"}}", "y".repeat(length)).as_bytes());
    }
}

#[test]
fn what_was_missed_is_read_next_time() {
    let path = |text: &str| Path::parse(text).unwrap();
    let text = br#"{"a":{"b":1,"c":[2]},"d":"x"}"#;
    let projection = Arc::new(Projection::new([path("d")]));
    let mut slots = vec![None; projection.slots()];
    assert_eq!(Projector::new(Arc::clone(&projection)).read(text, &mut slots), Ok(None));
    let document = Projected::new(&projection, &slots, text);
    assert!(document.value_at(&path("d")).is_some() && projection.widened().is_none());
    assert!(document.value_at(&path("a.b")).is_some());
    let wider = Arc::new(projection.widened().unwrap());
    let mut slots = vec![None; wider.slots()];
    assert_eq!(Projector::new(Arc::clone(&wider)).read(text, &mut slots), Ok(None));
    let document = Projected::new(&wider, &slots, text);
    assert!(document.value_at(&path("a.b")).is_some() && document.value_at(&path("d")).is_some());
    assert!(document.value_at(&path("a.x")).is_none() && wider.widened().is_some());
    assert_eq!(slots.iter().flatten().count(), 2);
}
