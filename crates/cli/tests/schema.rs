//! The JSON Schema of definition files accepts what the reader accepts, and refuses what it refuses, wherever a schema can say it.

#[allow(dead_code, reason = "each test file uses its part")]
mod command;
#[allow(dead_code, reason = "each test file uses its part")]
mod common;

use std::collections::BTreeSet;

use command::{at, dictrack, folder, repository};
use dictrack::json::Json;
use dictrack::source::Node;
use dictrack::template::read_templates;
use jsonschema::Validator;
use serde_json::{Value, json};
use toml::de::{DeTable, DeValue};

/// What the reader refuses and no schema can express.
const BEYOND_SCHEMAS: [&str; 12] = [
    "an earlier template is already named",
    "regular expression is too large",
    "nested too deeply",
    "an earlier tracker is already named",
    "these targets cannot loop",
    "a streak cannot reach these targets in order",
    "freezes at the start, but never more than",
    "invalid regular expression",
    "time zone",
    "is before start",
    "expected \"add\", or a date or a date and time without an offset",
    "expected seconds since 1970, an RFC 3339 timestamp",
];

/// The schema that the command prints.
fn schema() -> Validator {
    let printed = dictrack(folder(&[]).path(), "schema").good();
    let committed = std::fs::read_to_string(repository("docs/trackers.schema.json")).unwrap();
    assert_eq!(printed, committed);
    let schema = serde_json::from_str(&printed).unwrap();
    assert!(jsonschema::meta::is_valid(&schema));
    jsonschema::draft202012::new(&schema).unwrap()
}

/// Why the reader refuses a file, if it does.
fn refusal(file: &Value) -> Option<String> {
    let node = Node::parse(file.to_string().as_bytes()).unwrap();
    read_templates(&node).err().map(|error| error.to_string())
}

/// TOML as JSON, with moments as they are written.
fn of_toml(source: &str, value: &DeValue<'_>, span: std::ops::Range<usize>) -> Value {
    match value {
        DeValue::Table(table) => table_of_toml(source, table),
        DeValue::Array(items) => {
            items.iter().map(|item| of_toml(source, item.get_ref(), item.span())).collect::<Vec<_>>().into()
        }
        DeValue::Datetime(_) => source[span].into(),
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Boolean(value) => (*value).into(),
        DeValue::Integer(number) => serde_json::from_str(&number.as_str().replace('_', "")).unwrap(),
        DeValue::Float(number) => serde_json::from_str(&number.as_str().replace('_', "")).unwrap(),
    }
}

fn table_of_toml(source: &str, table: &DeTable<'_>) -> Value {
    let entries = table
        .iter()
        .map(|(key, value)| (key.get_ref().as_ref().to_owned(), of_toml(source, value.get_ref(), value.span())));
    Value::Object(entries.collect())
}

fn toml(source: &str) -> Value {
    table_of_toml(source, DeTable::parse(source).unwrap_or_else(|error| panic!("{error}: {source}")).get_ref())
}

/// The pieces of TOML in a page. A page may show the fields of a tracker alone.
fn in_page(page: &str) -> Vec<Value> {
    let pieces = page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let whole = |piece: &str| match toml(piece) {
        file if file.get("trackers").is_some() => file,
        Value::Object(mut fields) => {
            fields.insert("name".into(), "a".into());
            fields.entry("kind").or_insert("count".into());
            json!([fields])
        }
        other => other,
    };
    pieces.map(whole).collect()
}

/// Every list of trackers in the repository: of scenarios, pages, examples and the tests of the command.
fn collected() -> Vec<Value> {
    let mut found = Vec::new();
    for kind in ["golden", "law", "time"] {
        for entry in std::fs::read_dir(repository("scenarios").join(kind)).unwrap() {
            let scenario = Json::parse(&std::fs::read(entry.unwrap().path()).unwrap()).unwrap();
            let steps = at(&scenario, "steps").as_list().unwrap().iter();
            let in_steps = steps.flat_map(|step| ["tracker", "trackers"].map(|key| step.as_map().unwrap().get(key)));
            for trackers in in_steps.chain([scenario.as_map().unwrap().get("definitions")]).flatten() {
                let trackers =
                    if trackers.as_list().is_some() { trackers.to_string() } else { format!("[{trackers}]") };
                // Numbers of any size are only for the reader.
                found.extend(serde_json::from_str::<Value>(&trackers));
            }
            let templates = at(&scenario, "steps").as_list().unwrap().iter();
            for templates in templates.filter_map(|step| step.as_map().unwrap().get("templates")) {
                found.push(json!({"templates": serde_json::from_str::<Value>(&templates.to_string()).unwrap()}));
            }
        }
    }
    let scenarios = found.len();
    for page in ["README.md", "docs/definitions.md", "docs/recipes.md", "docs/json.md"] {
        found.extend(in_page(&std::fs::read_to_string(repository(page)).unwrap()));
    }
    found.push(toml(&std::fs::read_to_string(repository("examples/cdnow/trackers.toml")).unwrap()));
    found.push(toml(common::TRACKERS));
    assert!(scenarios > 300 && found.len() > scenarios + 10, "{scenarios} of {}", found.len());
    found
}

#[test]
fn the_schema_accepts_every_tracker_that_the_reader_accepts() {
    let schema = schema();
    let mut read = 0;
    for file in collected() {
        let valid = schema.validate(&file).map_err(|error| format!("{error} at {}", error.instance_path()));
        match refusal(&file) {
            None => {
                assert_eq!(valid, Ok(()), "{file}");
                assert!(file.is_object() || schema.is_valid(&json!({"trackers": file})), "{file}");
                read += 1;
            }
            // A scenario may test what is refused.
            Some(problem) => assert!(valid.is_err() || is_beyond_schemas(&problem), "{problem}\n{file}"),
        }
    }
    assert!(read > 300, "{read}");
}

fn is_beyond_schemas(problem: &str) -> bool {
    // A pattern can tell the form of a length, but not that it is above 100 years.
    let length = problem.split_once("a string \"").filter(|_| problem.contains("from 1 second to 100 years"));
    let count =
        length.and_then(|(_, text)| text.split(|letter: char| !letter.is_ascii_digit()).next()?.parse::<u64>().ok());
    count.is_some_and(|count| count > 100) || BEYOND_SCHEMAS.iter().any(|words| problem.contains(words))
}

/// Values of every kind, and those of a few fields.
fn values() -> Vec<Value> {
    let mut values = vec![
        Value::Null,
        json!(true),
        json!(false),
        json!(-1),
        json!(0),
        json!(1),
        json!(1.5),
        json!(1e21),
        json!([]),
        json!([1, 1]),
        json!({}),
        json!([{"eq": 1}]),
        json!([{"key": "a", "eq": 1}]),
        json!({"key": "a", "exists": true}),
        json!({"count": 1}),
    ];
    let texts = [
        "",
        "x",
        ".",
        "a.b",
        "add",
        "day",
        "hour",
        "2 weeks",
        "0 days",
        "PT15M",
        "P1Y",
        "PT0S",
        "P1H",
        "2026-01-01",
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00",
        "count",
        "sum",
        "streak",
        "custom",
        "progress",
        "UTC",
    ];
    values.extend(texts.map(Value::from));
    values
}

/// Every copy of `value` in which one part is replaced, is missing, or has one field more.
fn mutants(value: &Value, fields: &BTreeSet<String>, take: &mut dyn FnMut(Value)) {
    values().into_iter().for_each(&mut *take);
    match value {
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                mutants(item, fields, &mut |item| {
                    let mut items = items.clone();
                    items[at] = item;
                    take(items.into());
                });
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                let mut without = map.clone();
                without.remove(key);
                take(without.into());
                mutants(value, fields, &mut |value| {
                    let mut map = map.clone();
                    map.insert(key.clone(), value);
                    take(map.into());
                });
            }
            for field in fields.iter().filter(|field| !map.contains_key(*field)) {
                for value in values() {
                    let mut more = map.clone();
                    more.insert(field.clone(), value);
                    take(more.into());
                }
            }
        }
        _ => {}
    }
}

/// The fields of the maps in `value`, with what kind of value each has.
fn shape(value: &Value, shapes: &mut BTreeSet<String>, at: &str) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| shape(item, shapes, &format!("{at}[]"))),
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| shape(value, shapes, &format!("{at}.{key}")));
        }
        Value::String(_) if at.ends_with(".kind") => drop(shapes.insert(format!("{at} {value}"))),
        Value::String(_) => drop(shapes.insert(format!("{at} text"))),
        other => drop(shapes.insert(format!("{at} {}", other.is_number()))),
    }
}

#[test]
fn the_schema_refuses_what_the_reader_refuses() {
    let schema = schema();
    // Some of a kind are enough.
    let (mut shapes, mut fields, mut chosen) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for file in collected().into_iter().filter(|file| refusal(file).is_none()) {
        let lists =
            [("trackers", file.get("trackers")), ("templates", file.get("templates")), ("trackers", Some(&file))];
        for (list, items) in lists.into_iter().filter_map(|(list, items)| Some((list, items?.as_array()?))) {
            for item in items {
                let before = shapes.len();
                shape(item, &mut shapes, list);
                // Large ones only repeat what small ones have.
                if shapes.len() > before && item.to_string().len() < 600 {
                    chosen.push((list, item.clone()));
                }
            }
        }
    }
    for shape in &shapes {
        let path = shape.split(' ').next().unwrap();
        fields.extend(path.split(['.', '[', ']']).filter(|key| !key.is_empty()).map(str::to_owned));
    }
    fields.insert("template".to_owned());
    let (mut accepted, mut refused, mut beyond) = (0, 0, 0);
    for (list, item) in &chosen {
        mutants(item, &fields, &mut |mutant| {
            let file = json!({*list: [mutant]});
            match (refusal(&file), schema.is_valid(&file)) {
                (None, true) => accepted += 1,
                (Some(_), false) => refused += 1,
                (Some(problem), true) if is_beyond_schemas(&problem) => beyond += 1,
                (None, false) => panic!("{}\n{file}", schema.validate(&file).unwrap_err()),
                (Some(problem), true) => panic!("{problem}\n{file}"),
            }
        });
    }
    assert!(chosen.len() > 50 && accepted > 1_000 && refused > 100_000 && beyond > 100);
    println!(
        "{} trackers and templates: {accepted} accepted, {refused} refused, {beyond} beyond schemas",
        chosen.len()
    );
}

#[test]
fn a_file_is_a_list_or_a_map_with_one() {
    let schema = schema();
    let tracker = json!({"name": "a", "kind": "count"});
    for (file, fits) in [
        (json!([]), true),
        (json!({"trackers": []}), true),
        (json!({"trackers": [tracker]}), true),
        (json!({"templates": []}), true),
        (json!({"trackers": [tracker], "templates": [{"name": "pro", "for": [], "trackers": []}]}), true),
        (json!({"templates": [{"name": "pro", "trackers": []}]}), false),
        (json!({"templates": [{"name": "pro", "for": [{"all": [{"custom": "c"}]}], "trackers": []}]}), false),
        (json!({}), false),
        (json!({"trackers": tracker}), false),
        (json!({"trackers": [], "more": 1}), false),
        (tracker.clone(), false),
        (json!("a"), false),
        (json!(null), false),
    ] {
        assert_eq!((schema.is_valid(&file), refusal(&file).is_none()), (fits, fits), "{file}");
    }
}
