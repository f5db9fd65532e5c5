//! Small helpers for JSON.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use dictrack::Outcome;
use dictrack::json::Json;

/// A map with these entries.
pub(crate) fn object<const N: usize>(entries: [(&str, Json); N]) -> Json {
    entries.into_iter().map(|(key, value)| (key.into(), value)).collect::<dictrack::json::Map>().into()
}

/// A list of what the items become.
pub(crate) fn list<T>(items: impl IntoIterator<Item = T>, each: impl FnMut(T) -> Json) -> Json {
    items.into_iter().map(each).collect::<Vec<_>>().into()
}

/// A successful response.
pub(crate) fn ok(body: &Json) -> Response {
    text(body.to_string())
}

/// A successful response with what a document did.
pub(crate) fn outcome(outcome: &Outcome) -> Response {
    let mut body = String::with_capacity(512);
    outcome.write_json(&mut body);
    text(body)
}

fn text(json: String) -> Response {
    (StatusCode::OK, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], json).into_response()
}
