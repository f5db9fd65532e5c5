//! Compares what a step returned with what was expected.

use dictrack_core::json::{Json, Map};

/// A path, what was expected there and what was there.
pub(super) type Difference = (String, Option<Json>, Option<Json>);

/// Compares the expected fields of a step.
pub(super) fn step(expected: &Map, actual: &Json, ordered: bool) -> Vec<Difference> {
    let actual = actual.as_map().cloned().unwrap_or_default();
    let mut differences = Vec::new();
    // An unexpected error comes first, since it explains the rest.
    if let Some(error) = actual.get("error")
        && expected.get("error").is_none()
    {
        return vec![("error".to_owned(), None, Some(error.clone()))];
    }
    for (field, expected) in expected.iter() {
        let found = actual.get(field);
        let Some(value) = found else {
            // A list that a call does not return is empty.
            if !matches!(expected, Json::List(items) if items.is_empty()) {
                differences.push((field.to_owned(), Some(expected.clone()), None));
            }
            continue;
        };
        match field {
            "dirtied" | "trackers" | "explain" | "skipped" | "refusals" => {
                differences.extend(trackers(field, expected, value))
            }
            "events" => differences.extend(events(expected, value, ordered)),
            "error" => {
                let holds = expected.as_str().zip(value.as_str()).is_some_and(|(part, all)| all.contains(part));
                differences.extend((!holds).then(|| (field.to_owned(), Some(expected.clone()), Some(value.clone()))));
            }
            "names" | "periods" => within(field, expected, value, &mut differences),
            _ => within(field, &sorted(expected), &sorted(value), &mut differences),
        }
    }
    differences
}

/// Compares maps from name to tracker: their names, and the expected fields of each tracker.
pub(super) fn trackers(field: &str, expected: &Json, actual: &Json) -> Vec<Difference> {
    let mut differences = Vec::new();
    let (Some(wanted), Some(found)) = (expected.as_map(), actual.as_map()) else {
        return vec![(field.to_owned(), Some(expected.clone()), Some(actual.clone()))];
    };
    for (name, tracker) in wanted.iter() {
        let path = format!("{field}.{name}");
        match found.get(name) {
            Some(actual) => within(&path, tracker, actual, &mut differences),
            None => differences.push((path, Some(tracker.clone()), None)),
        }
    }
    let unexpected = found.iter().filter(|(name, _)| wanted.get(name).is_none());
    differences.extend(unexpected.map(|(name, tracker)| (format!("{field}.{name}"), None, Some(tracker.clone()))));
    differences
}

fn events(expected: &Json, actual: &Json, ordered: bool) -> Vec<Difference> {
    let (Some(wanted), Some(found)) = (expected.as_list(), actual.as_list()) else {
        return vec![("events".to_owned(), Some(expected.clone()), Some(actual.clone()))];
    };
    let fits = |wanted: &Json, found: &Json| {
        let mut differences = Vec::new();
        within("", wanted, found, &mut differences);
        differences.is_empty()
    };
    let same = if ordered {
        wanted.len() == found.len() && wanted.iter().zip(found).all(|(wanted, found)| fits(wanted, found))
    } else {
        // Each expected event is matched with the first that fits.
        let mut left: Vec<&Json> = found.iter().collect();
        wanted.iter().all(|wanted| match left.iter().position(|found| fits(wanted, found)) {
            Some(at) => {
                left.remove(at);
                true
            }
            None => false,
        }) && left.is_empty()
    };
    if same { Vec::new() } else { vec![("events".to_owned(), Some(expected.clone()), Some(actual.clone()))] }
}

/// Everything in `expected` must be in `actual`; maps may hold more, lists may not.
fn within(path: &str, expected: &Json, actual: &Json, differences: &mut Vec<Difference>) {
    match (expected, actual) {
        (Json::Map(wanted), Json::Map(found)) => {
            for (key, value) in wanted.iter() {
                let path = format!("{path}.{key}");
                match found.get(key) {
                    Some(actual) => within(&path, value, actual, differences),
                    None => differences.push((path, Some(value.clone()), None)),
                }
            }
        }
        (Json::List(wanted), Json::List(found)) if wanted.len() == found.len() => {
            for (at, (value, actual)) in wanted.iter().zip(found).enumerate() {
                within(&format!("{path}[{at}]"), value, actual, differences);
            }
        }
        _ if expected == actual => {}
        _ => differences.push((path.to_owned(), Some(expected.clone()), Some(actual.clone()))),
    }
}

/// A list of names in alphabetical order; anything else as it is.
fn sorted(value: &Json) -> Json {
    match value {
        Json::List(items) => {
            let mut items = items.clone();
            items.sort_by_key(ToString::to_string);
            Json::List(items)
        }
        other => other.clone(),
    }
}
