//! The names of columns and fields, for errors about one that is missing.

use std::fmt::Write as _;

use dictrack::json::Json;
use dictrack::text::plain;

/// How many names an error lists.
const LISTED: usize = 20;

/// Some names; of many, the first ones.
pub(super) fn listed<'a>(names: impl Iterator<Item = &'a str> + Clone) -> String {
    let mut text = names.clone().take(LISTED).map(plain).collect::<Vec<_>>().join(", ");
    match names.count().saturating_sub(LISTED) {
        0 => {}
        more => write!(text, ", and {more} more").unwrap_or_default(),
    }
    text
}

/// What a document has instead of a missing field.
pub(super) fn in_words(document: &Json) -> String {
    let Json::Map(map) = document else { return format!("the document is {}", document.kind()) };
    let mut paths = Vec::new();
    map.iter().for_each(|(key, value)| add(&mut paths, key.replace('.', "\\."), value));
    match &*paths {
        [] => "the document has no fields".to_owned(),
        paths => format!("the document has {}", listed(paths.iter().map(String::as_str))),
    }
}

/// Adds the paths of the values in `value`, which is at `path`.
fn add(paths: &mut Vec<String>, path: String, value: &Json) {
    match value {
        Json::Map(map) if !map.is_empty() => {
            map.iter().for_each(|(key, value)| add(paths, format!("{path}.{}", key.replace('.', "\\.")), value));
        }
        _ => paths.push(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paths_of_a_document_are_listed() {
        let words = |text: &str| in_words(&Json::parse(text.as_bytes()).unwrap());
        assert_eq!(
            words(r#"{"a":{"b":1,"c.d":[1]},"e\u001b":null,"f":{}}"#),
            "the document has a.b, a.c\\.d, e\\u{1b}, f"
        );
        assert_eq!((words("{}"), words("[1]")), ("the document has no fields".into(), "the document is a list".into()));
        let many: Vec<String> = (0..25).map(|at| format!("\"k{at}\":1")).collect();
        let many = words(&format!("{{{}}}", many.join(",")));
        assert!(many.ends_with("k18, k19, and 5 more"), "{many}");
    }
}
