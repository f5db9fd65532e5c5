//! An API quota as an axum app: each client may make 100 requests a minute and 10,000 a month. Run it: `cargo run --example
//! api_quota`, then `curl -i -H 'X-API-Key: key-of-anna' http://127.0.0.1:3000/data`

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::{Router, routing::get};
use dictrack::limiter::LimiterDefinition;
use dictrack::template::Template;
use dictrack::{Manager, Timestamp, TrackerDefinition, Window};
use serde_json::json;

/// The client that a key belongs to.
fn client(headers: &HeaderMap) -> Option<&'static str> {
    match headers.get("x-api-key")?.as_bytes() {
        b"key-of-anna" => Some("anna"),
        b"key-of-ben" => Some("ben"),
        _ => None,
    }
}

/// From `now` until `then` in seconds, rounded up.
fn seconds(now: Timestamp, then: Timestamp) -> u64 {
    then.since(now).micros().max(0).unsigned_abs().div_ceil(1_000_000)
}

/// Counts a request. If the quota is used up, answers 429 and says after how many seconds to try again.
async fn count(State(manager): State<Manager>, request: Request, next: Next) -> Result<Response, StatusCode> {
    let client = client(request.headers()).ok_or(StatusCode::UNAUTHORIZED)?;
    let document = json!({"path": request.uri().path()});
    let outcome = manager.track(client, &document).await.map_err(|error| {
        eprintln!("{error}");
        StatusCode::SERVICE_UNAVAILABLE
    })?;
    if let Some(refusal) = outcome.refused().next().and_then(|tracker| tracker.refusal()) {
        let mut response = StatusCode::TOO_MANY_REQUESTS.into_response();
        if let Some(until) = refusal.until {
            response.headers_mut().insert(header::RETRY_AFTER, seconds(outcome.now(), until).into());
        }
        return Ok(response);
    }
    let mut response = next.run(request).await;
    // As in the IETF's draft "RateLimit header fields for HTTP": what remains, and for how many seconds.
    let limiters = outcome.counted().flat_map(|tracker| tracker.limiters());
    let fields: Vec<_> = ["minute", "month"]
        .iter()
        .zip(limiters)
        .filter_map(|(name, limiter)| {
            let time = seconds(outcome.now(), limiter.reset_at?);
            Some(format!("\"{name}\";r={};t={time}", limiter.remaining?))
        })
        .collect();
    if let Ok(value) = HeaderValue::try_from(fields.join(", ")) {
        response.headers_mut().insert("ratelimit", value);
    }
    Ok(response)
}

/// The app. Several processes would share Redis instead of a file.
pub(crate) fn app(manager: Manager) -> Result<Router, Box<dyn std::error::Error>> {
    // Without a target, only the limits matter.
    let quota = TrackerDefinition::count("api_quota")
        .limiter(LimiterDefinition::count_per(100, Window::new("minute".parse()?)))
        .limiter(LimiterDefinition::count_per(10_000, Window::new("month".parse()?)));
    manager.set_trackers([Template::everyone([quota.build()?])?])?;
    Ok(Router::new().route("/data", get(async || "42\n")).layer(from_fn_with_state(manager, count)))
}

#[tokio::main]
pub(crate) async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let manager = Manager::open("quotas.db").await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app(manager)?).await?;
    Ok(())
}
