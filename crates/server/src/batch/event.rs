//! CloudEvents 1.0: the event is the document, its `subject` the group, its `time` the moment, its `source` with its `id` the id.

use axum::http::{HeaderMap, header};
use dictrack::Timestamp;
use dictrack::json::{Bounds, Json, Map};
use dictrack::text::quoted;
use percent_encoding::percent_decode;

use super::item::Item;
use crate::documents::parse;
use crate::problem::{Code, Problem};

fn bad(problem: String) -> Problem {
    Problem::new(Code::InvalidBody, problem)
}

/// An event in structured mode, or of a batch.
pub(super) fn structured(json: Json) -> Result<Item, Problem> {
    let map =
        json.as_map().ok_or_else(|| bad("unexpected JSON; expected a CloudEvent, which is an object".to_owned()))?;
    let text = |name: &str| match map.get(name) {
        Some(Json::Text(text)) if !text.as_str().is_empty() => Ok(text.as_str()),
        Some(_) => Err(bad(format!("the attribute {name} of the CloudEvent is not a text, or it is empty"))),
        None => Err(bad(format!(
            "the CloudEvent has no attribute {name}; expected specversion, id, source, type and subject"
        ))),
    };
    let version = text("specversion")?;
    if version != "1.0" {
        return Err(bad(format!("unknown specversion {}; expected 1.0", quoted(version))));
    }
    text("type")?;
    let (source, id, group) = (text("source")?, text("id")?, text("subject")?);
    if source.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
        return Err(bad(format!("the source {} is not a URI reference; expected one without spaces", quoted(source))));
    }
    let now = match map.get("time") {
        None | Some(Json::Null) => None,
        Some(time) => Some(time.as_str().and_then(Timestamp::parse).ok_or_else(|| {
            bad("the time of the CloudEvent is not valid; expected RFC 3339 (2026-12-31T23:59:59Z)".to_owned())
        })?),
    };
    // A source has no space, so no two pairs are the same text.
    let id = format!("{source} {id}");
    let group = group.to_owned();
    Ok(Item::whole(json, group, id, now))
}

/// An event in binary mode: its attributes are headers, and the body is its data.
pub(super) fn binary(headers: &HeaderMap, body: &[u8]) -> Result<Item, Problem> {
    let mut map = Map::default();
    for (name, value) in headers {
        let Some(name) = name.as_str().strip_prefix("ce-") else { continue };
        let value = percent_decode(value.as_bytes()).decode_utf8();
        let value = value.map_err(|_| bad(format!("the header ce-{} is not percent-encoded UTF-8", quoted(name))))?;
        if map.get(name).is_some() {
            return Err(bad(format!("the header ce-{} appears twice; expected it once", quoted(name))));
        }
        map.insert(name.into(), value.as_ref().into());
    }
    if !body.is_empty() {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("application/json");
        let essence = kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        if essence != "application/json" && !essence.ends_with("+json") {
            let problem =
                format!("the data of the CloudEvent has Content-Type {}; expected application/json", quoted(kind));
            return Err(Problem::new(Code::UnsupportedMediaType, problem));
        }
        map.insert("datacontenttype".into(), kind.into());
        map.insert("data".into(), parse(body, Bounds::DOCUMENT)?);
    }
    structured(map.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(change: impl Fn(&mut Map)) -> Result<Item, Problem> {
        let text = br#"{"specversion": "1.0", "id": "1", "source": "/shop", "type": "order", "subject": "u", "data": {"n": 1}}"#;
        let Json::Map(mut map) = Json::parse(text).unwrap() else { unreachable!() };
        change(&mut map);
        structured(map.into())
    }

    #[test]
    fn source_and_id_are_the_id() {
        let whole = event(|_| {}).unwrap();
        let submission = whole.submission();
        assert_eq!((submission.group, submission.event_id, submission.now), ("u", Some("/shop 1"), None));
        let dated = event(|map| map.insert("time".into(), "1970-01-01T00:00:05Z".into())).unwrap();
        assert_eq!(dated.submission().now, Some(Timestamp::from_secs(5)));
    }

    #[test]
    fn an_event_without_what_it_needs_is_refused() {
        for (key, value) in [
            ("specversion", Json::from("0.3")),
            ("id", "".into()),
            ("source", "a b".into()),
            ("type", Json::Null),
            ("subject", 5_u64.into()),
            ("time", "yesterday".into()),
        ] {
            let refused = event(|map| map.insert(key.into(), value.clone()));
            assert_eq!(refused.unwrap_err().code(), "invalid_body", "{key}");
        }
    }

    #[test]
    fn in_binary_mode_attributes_are_headers() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("ce-specversion", "1.0"),
            ("ce-id", "1"),
            ("ce-source", "/shop"),
            ("ce-type", "order"),
            ("ce-subject", "Zo%C3%AB"),
            ("content-type", "application/json; charset=utf-8"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        let item = binary(&headers, b"{\"n\": 1}").unwrap();
        assert_eq!(item.group(), "Zo\u{eb}");
        headers.insert("content-type", "text/plain".parse().unwrap());
        assert_eq!(binary(&headers, b"n").unwrap_err().code(), "unsupported_media_type");
        assert!(binary(&headers, b"").is_ok());
    }
}
