//! What serde writes is what `to_json` prints, what it reads goes through the definition reader, and values of programs are
//! documents.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use dictrack::json::{Json, MAX_BYTES, MAX_DEPTH};
use dictrack::number::Number;
use dictrack::{
    Amount, Error, ErrorKind, EventCode, LimiterDefinition, LimiterView, Manager, Status, Timestamp, TrackerDefinition,
};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

/// What a serde format sees of a value.
fn written(value: &(impl Serialize + ?Sized)) -> Json {
    Json::parse(serde_json::to_string(value).unwrap().as_bytes()).unwrap()
}

fn parsed(text: &str) -> Json {
    Json::parse(text.as_bytes()).unwrap()
}

fn tracker(text: &str) -> TrackerDefinition {
    TrackerDefinition::from_json(&parsed(text)).unwrap()
}

#[derive(Serialize)]
enum Payment {
    Cash,
    Card(String),
    Split(u8, f64),
    Transfer { iban: String, fee: Option<f32> },
}

#[derive(Serialize)]
struct Unit;

#[derive(Serialize)]
struct Wrapped(i64);

#[derive(Serialize)]
struct Pair(bool, char);

#[derive(Serialize)]
struct Order<'a> {
    event: &'a str,
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    coupon: Option<&'a str>,
    payments: Vec<Payment>,
    sizes: (u64, i64, i128, u128),
    tags: BTreeMap<&'a str, Vec<Wrapped>>,
    unit: Unit,
    pair: Pair,
    bytes: &'a [u8],
    #[serde(rename = "createdAt")]
    created_at: Timestamp,
    total: Amount,
    raw: serde_json::Value,
}

fn order() -> Order<'static> {
    let transfer = |fee| Payment::Transfer { iban: "DE02".to_owned(), fee };
    Order {
        event: "order",
        user: None,
        coupon: None,
        payments: vec![
            Payment::Cash,
            Payment::Card("visa".to_owned()),
            Payment::Split(1, 0.1),
            transfer(Some(0.1)),
            transfer(None),
        ],
        sizes: (u64::MAX, i64::MIN, i128::MIN, u128::MAX),
        tags: BTreeMap::from([("a", vec![Wrapped(1), Wrapped(-2)]), ("b.c", vec![])]),
        unit: Unit,
        pair: Pair(true, 'é'),
        bytes: &[0, 255],
        created_at: Timestamp::from_micros(1_700_000_000_250_000),
        total: "19.95".parse().unwrap(),
        raw: serde_json::json!({"n": 18_446_744_073_709_551_615_u64, "f": 1e300, "l": [null, "x"]}),
    }
}

#[test]
fn a_value_of_a_program_is_the_document_that_its_json_text_is() {
    let made = Json::from_serialize(&order()).unwrap();
    assert_eq!(made, written(&order()));
    let text = made.to_string();
    for part in [
        r#""user":null,"payments":["Cash",{"Card":"visa"},{"Split":[1,0.1]},{"Transfer":{"iban":"DE02","fee":0.1}}"#,
        r#""sizes":[18446744073709551615,-9223372036854775808,-1.70141183460469231731687303715884105728e38,"#,
        r#""bytes":[0,255],"createdAt":"2023-11-14T22:13:20.25Z","total":19.95"#,
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(!text.contains("coupon"), "{text}");
}

#[test]
fn what_is_not_finite_stays_what_it_is() {
    let made = Json::from_serialize(&[f64::NAN, f64::NEG_INFINITY]).unwrap();
    let list = made.as_list().unwrap();
    assert!(matches!(list[0], Json::Number(Number::NotANumber)));
    assert!(matches!(list[1], Json::Number(Number::Infinite(true))));
    assert_eq!(serde_json::to_string(&made).unwrap(), "[null,null]");
}

#[test]
fn a_value_that_is_not_a_document_says_where() {
    let said = |error: Result<Json, dictrack::json::UnsupportedValue>| error.unwrap_err().to_string();
    let numbered = HashMap::from([("orders", vec![HashMap::from([(7_u32, "x")])])]);
    assert_eq!(said(Json::from_serialize(&numbered)), "orders[0]: a map has a key that is a number; expected a string");
    let by_list = BTreeMap::from([(vec![1], 1)]);
    assert_eq!(said(Json::from_serialize(&by_list)), "a map has a key that is a list; expected a string");
    assert_eq!(Json::from_serialize(&HashMap::from([('k', 1)])).unwrap().to_string(), r#"{"k":1}"#);

    #[derive(Serialize)]
    struct Deep {
        inner: Option<Box<Self>>,
    }
    let deep = |levels: usize| (1..levels).fold(Deep { inner: None }, |inner, _| Deep { inner: Some(Box::new(inner)) });
    assert!(Json::from_serialize(&deep(MAX_DEPTH)).is_ok());
    let error = said(Json::from_serialize(&deep(MAX_DEPTH + 1)));
    assert!(error.starts_with("inner.inner.inner.") && error.ends_with("nested deeper than 64 levels"), "{error}");
    assert!(error.len() < 600, "{error}");
    assert!(Json::from_serialize(&"x".repeat(MAX_BYTES)).is_ok());
    assert!(said(Json::from_serialize(&[0_u8; MAX_BYTES][..])).contains("longer than 1048576 bytes"));

    struct Failing;
    impl Serialize for Failing {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("the lock is poisoned"))
        }
    }
    assert_eq!(said(Json::from_serialize(&HashMap::from([("state", Failing)]))), "state: the lock is poisoned");
}

fn any_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,12}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map(".{0,6}", inner, 0..12)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn values_are_the_same_with_and_without_text(value in any_value()) {
        let made = Json::from_serialize(&value).unwrap();
        prop_assert_eq!(&made, &written(&value));
        prop_assert_eq!(&made, &Json::from(&value));
        prop_assert_eq!(&Json::from(&serde_json::to_value(&made).unwrap()), &made);
        let read: Json = serde_json::from_value(value).unwrap();
        prop_assert_eq!(read, made);
    }

    #[test]
    fn an_amount_is_written_as_exactly_as_a_float_allows(units in -169_999_999_999_999_999_999_000_000_000_000_000_000_i128..169_999_999_999_999_999_999_000_000_000_000_000_000) {
        let amount = Amount::from_units(units).unwrap();
        let text = serde_json::to_string(&amount).unwrap();
        let read: f64 = text.parse().unwrap();
        prop_assert_eq!(read, amount.to_f64());
        let whole = Amount::from_units(units / 1_000_000_000_000_000_000 / 100 * 1_000_000_000_000_000_000).unwrap();
        if let Ok(small) = i64::try_from(whole.to_integer().unwrap()) {
            prop_assert_eq!(serde_json::to_string(&whole).unwrap(), small.to_string());
        }
        // A value of serde_json holds it, too.
        prop_assert!(serde_json::to_value(amount).unwrap().is_number());
    }
}

/// Tracks a few documents and compares what serde writes with what `to_json` prints.
#[test]
fn results_are_written_as_their_to_json_prints_them() {
    let manager = Manager::in_memory().blocking();
    let trackers = [
        r#"{"name": "stages", "kind": "sum", "key": "n", "target": [1, 2.5, 100], "limiters": [{"count": 100}]}"#,
        r#"{"name": "done", "kind": "count", "target": 2}"#,
        r#"{"name": "daily", "kind": "count", "target": 2, "every": "day", "limiters": [{"count": 1, "per": "minute"}]}"#,
        r#"{"name": "streak", "kind": "streak", "target": [2, 3], "every": "day", "freezes": {"start": 1}}"#,
        r#"{"name": "loop", "kind": "sum", "key": "n", "target": [1, 2], "loop_forever": true, "expire_at": 9e9}"#,
        r#"{"name": "gold", "kind": "count", "target": 2, "conditions": [{"key": "tier", "eq": "gold"}]}"#,
        r#"{"name": "failing", "kind": "custom", "measure": "unknown", "target": 2}"#,
    ];
    let added = manager.add_trackers("u", trackers.map(tracker).to_vec()).unwrap();
    assert_eq!(written(&added), added.to_json());
    assert_eq!(added.to_json().as_map().unwrap().get("events").unwrap().as_list().unwrap().len(), trackers.len());

    let mut seen = Vec::new();
    for n in [0.5, 3.25, 1.0, -7.0] {
        #[derive(Serialize)]
        struct Document {
            n: f64,
            event: &'static str,
        }
        let document = Json::from_serialize(&Document { n, event: "order" }).unwrap();
        for explanation in manager.explain("u", &document).unwrap() {
            assert_eq!(written(&explanation), explanation.to_json());
            seen.push(explanation.verdict.word());
        }
        let outcome = manager.track("u", &document).unwrap();
        let json = outcome.to_json();
        assert_eq!(written(&outcome), json);
        let field = |name: &str| json.as_map().unwrap().get(name).unwrap().clone();
        assert_eq!(field("events").as_list().unwrap().len(), outcome.events().len());
        assert_eq!(field("trackers").as_list().unwrap().len(), outcome.touched().count());
        let names = field("dirtied");
        let names: Vec<&str> = names.as_list().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        assert_eq!(names, outcome.dirtied().map(|it| it.name()).collect::<Vec<_>>());
        assert!(field("failed").as_map().unwrap().get("failing").is_some());
        for event in outcome.events() {
            let mut fast = String::new();
            event.write_json(&mut fast);
            assert_eq!(written(&**event), parsed(&fast));
            assert_eq!(event.to_json().to_string(), fast);
        }
        for touched in outcome.touched() {
            assert_eq!(written(&touched), touched.to_json());
            // Apart from what only a snapshot has, both show a tracker alike.
            let Some(snapshot) = manager.tracker("u", touched.name()).unwrap() else { continue };
            let (snapshot, touched) = (snapshot.to_json(), touched.to_json());
            for (key, value) in touched.as_map().unwrap().iter() {
                if !["limiters", "limited"].contains(&key) {
                    assert_eq!(snapshot.as_map().unwrap().get(key), Some(value), "{key}");
                }
            }
        }
    }
    for verdict in ["counted", "no_match", "limited", "failed"] {
        assert!(seen.contains(&verdict), "{verdict} is not in {seen:?}");
    }
    for snapshot in manager.trackers("u").unwrap() {
        assert_eq!(written(&snapshot), snapshot.to_json());
        for view in &snapshot.limiters {
            assert_eq!(written(view), LimiterView::to_json(view));
        }
        for record in snapshot.periods() {
            assert_eq!(written(&record), record.to_json());
        }
    }
    let completed = manager.completed("u").unwrap();
    assert_eq!(completed.len(), 1, "{completed:?}");
    for completed in completed {
        assert_eq!(written(&completed), completed.to_json());
        assert!(completed.to_json().as_map().unwrap().get("completed_at").is_some());
    }
    assert_eq!(serde_json::to_string(&(EventCode::Limited, Status::Resting)).unwrap(), r#"["limited","resting"]"#);
}

#[test]
fn an_error_has_its_code_and_what_it_is_about() {
    let manager = Manager::in_memory().blocking();
    manager.add_tracker("u", tracker(r#"{"name": "a", "kind": "count", "target": 1}"#)).unwrap();
    let error = manager.add_tracker("u", tracker(r#"{"name": "a", "kind": "count", "target": 2}"#)).unwrap_err();
    assert_eq!(written(&error), error.to_json());
    let json = error.to_json();
    let field = |name: &str| json.as_map().unwrap().get(name).map(|value| value.as_str().unwrap().to_owned());
    assert_eq!(field("code").as_deref(), Some("conflicting_name"));
    assert_eq!(field("group").as_deref(), Some("u"));
    assert_eq!(field("message"), Some(error.to_string()));
    assert_eq!(field("advice").as_deref(), Some(ErrorKind::ConflictingName.advice()));
    let problem = TrackerDefinition::count("a").target(1).eq("", 1).build().unwrap_err();
    let error = Error::from(problem.clone());
    assert_eq!(written(&error), error.to_json());
    assert_eq!(written(&problem), problem.to_json());
    let json = error.to_json();
    assert_eq!(json.as_map().unwrap().get("field"), Some(&problem.field.as_str().into()));
    assert_eq!(error.code(), "definition");
    assert_eq!(serde_json::to_string(&ErrorKind::TakenOver).unwrap(), r#""taken_over""#);
}

/// All definitions of the scenarios, and what is refused of them.
fn scenario_definitions() -> Vec<Json> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let mut found = Vec::new();
    let folders = std::fs::read_dir(root).unwrap().map(|folder| folder.unwrap().path()).filter(|path| path.is_dir());
    for file in folders.flat_map(|folder| std::fs::read_dir(folder).unwrap()).map(|file| file.unwrap().path()) {
        let Ok(text) = std::fs::read(&file) else { continue };
        let Ok(Json::Map(scenario)) = Json::parse_within(&text, dictrack::json::Bounds::STORED) else { continue };
        let list = |map: &dictrack::json::Map, key: &str| {
            map.get(key).and_then(|list| list.as_list().map(<[Json]>::to_vec)).unwrap_or_default()
        };
        found.extend(list(&scenario, "definitions"));
        for step in list(&scenario, "steps") {
            found.extend(list(step.as_map().unwrap(), "trackers"));
            found.extend(step.as_map().unwrap().get("tracker").cloned());
        }
    }
    found
}

#[test]
fn definitions_are_read_by_the_definition_reader() {
    let (mut read, mut refused) = (0, 0);
    for json in scenario_definitions() {
        let by_serde = serde_json::from_str::<TrackerDefinition>(&json.to_string());
        // serde_json reads a decimal as the nearest float.
        let Ok(as_floats) = serde_json::from_str::<serde_json::Value>(&json.to_string()) else {
            assert!(by_serde.is_err(), "{json}: {by_serde:?}");
            continue;
        };
        let as_floats = Json::from(&as_floats);
        match (TrackerDefinition::from_json(&as_floats), by_serde) {
            (Ok(expected), Ok(definition)) => {
                assert_eq!(definition, expected);
                let text = serde_json::to_string(&definition).unwrap();
                assert_eq!(parsed(&text), definition.to_json());
                assert_eq!(serde_json::from_str::<TrackerDefinition>(&text).unwrap(), definition);
                read += 1;
            }
            (Err(expected), Err(error)) => {
                assert!(error.to_string().starts_with(&expected.to_string()), "{error} is not {expected}");
                refused += 1;
            }
            (expected, by_serde) => panic!("{json}: {expected:?}, but {by_serde:?}"),
        }
    }
    assert!(read > 500 && refused > 5, "{read} read, {refused} refused");
}

#[test]
fn a_configuration_has_definitions_in_it() {
    #[derive(Deserialize)]
    struct Config {
        trackers: Vec<TrackerDefinition>,
        limit: LimiterDefinition,
        starts: Timestamp,
    }
    let read = |text: &str| serde_json::from_str::<Config>(text);
    let config = read(
        r#"{"trackers": [{"name": "a", "kind": "count", "target": [1, 0.1]}], "limit": {"count": 3, "per": "day"},
            "starts": "2026-01-01"}"#,
    )
    .unwrap();
    assert_eq!(config.trackers, [tracker(r#"{"name": "a", "kind": "count", "target": [1, 0.1]}"#)]);
    assert_eq!(written(&config.limit), parsed(r#"{"count": 3, "per": "day"}"#));
    assert_eq!(config.starts, Timestamp::from_secs(1_767_225_600));
    for (text, problem) in [
        (
            r#"{"trackers": [{"name": "a", "kind": "count", "target": 1, "target": 2}], "limit": {"count": 3}, "starts": 0}"#,
            "target: appears twice; expected each field once",
        ),
        (
            r#"{"trackers": [{"name": "a", "kind": "count", "targets": 1}], "limit": {"count": 3}, "starts": 0}"#,
            "targets: unknown field `targets`; did you mean `target`?",
        ),
        (
            r#"{"trackers": [], "limit": {"count": 0}, "starts": 0}"#,
            "count: 0 never admits a document; expected a whole number, 1 or greater",
        ),
        (
            r#"{"trackers": [], "limit": {"count": 1}, "starts": "soon"}"#,
            "a string \"soon\"; expected seconds since 1970",
        ),
    ] {
        let error = read(text).err().unwrap().to_string();
        assert!(error.starts_with(problem), "{error} is not {problem}");
    }
}

/// Programs match on codes, so the documentation has all of them.
#[test]
fn the_documentation_lists_every_code() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/json.md");
    let text = std::fs::read_to_string(root).unwrap();
    let rows: Vec<(String, String)> = text
        .lines()
        .filter_map(|line| {
            let mut cells = line.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).skip(1);
            Some((cells.next()?, cells.next()?))
        })
        .filter(|(_, class)| class.ends_with("Error") && !class.contains(' '))
        .collect();
    let kinds: Vec<_> =
        ErrorKind::ALL.iter().map(|kind| (kind.code().to_owned(), kind.python_class().to_owned())).collect();
    assert_eq!(rows, kinds);
}
