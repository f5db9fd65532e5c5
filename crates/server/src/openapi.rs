//! The description of the interface: OpenAPI 3.1.
//!
//! The types here only describe what the handlers read and write as dictrack's own JSON. A test compares them with real answers.
#![expect(dead_code, reason = "they are described, never made")]

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use utoipa::openapi::OpenApi as Description;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{IntoParams, IntoResponses, Modify, OpenApi, ToSchema};

use crate::app::Shared;

/// The description of the HTTP interface: an OpenAPI 3.1 document in JSON.
pub fn openapi() -> String {
    let (_, description) = crate::routes::described();
    let mut text = description.to_pretty_json().unwrap_or_else(|error| unreachable!("it is plain data: {error}"));
    text.push('\n');
    text
}

/// The description of this interface.
#[utoipa::path(
    get, path = "/openapi.json", tag = "operation", operation_id = "openapi", security(()),
    responses((status = 200, body = Object, description = "An OpenAPI 3.1 document"))
)]
pub(crate) async fn serve(State(_): State<Shared>) -> Response {
    static TEXT: std::sync::LazyLock<String> = std::sync::LazyLock::new(openapi);
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], TEXT.as_str()).into_response()
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "dictrack",
        description = "Counts matching documents for each group: milestones, quests, quotas and limits.\n\nMoments are seconds since 1970 UTC, unless they are text. Errors are problem details by RFC 9457; `code` and `type` are the same in all versions.",
        license(name = "MIT", identifier = "MIT"),
    ),
    tags(
        (name = "documents", description = "Track and explain documents"),
        (name = "groups", description = "Groups and their trackers"),
        (name = "keys", description = "Who may use the server"),
        (name = "operation", description = "For those who run the server"),
    ),
    security(("key" = [])),
    modifiers(&Key),
)]
pub(crate) struct Base;

struct Key;

impl Modify for Key {
    fn modify(&self, description: &mut Description) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "A key that begins with dt_. Without any key, the server only answers programs on its own machine",
            ))
            .build();
        description.components.get_or_insert_default().add_security_scheme("key", SecurityScheme::Http(scheme));
        description.info.version = env!("CARGO_PKG_VERSION").to_owned();
    }
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct GroupPath {
    /// The id of the group, percent-encoded. It may be any text
    group: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct TrackerPath {
    /// The id of the group, percent-encoded
    group: String,
    /// The name of the tracker, percent-encoded
    tracker: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct KeyPath {
    /// The id of the key
    id: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct DocumentQuery {
    /// The id of the document, which then counts only once in its group
    id: Option<String>,
    /// The moment of the document instead of the clock: seconds since 1970, or RFC 3339
    now: Option<String>,
    /// Whether to return what the document would do, without changing anything
    dry: Option<bool>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct IdHeader {
    /// The same as `id`
    #[param(rename = "Idempotency-Key")]
    idempotency_key: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct NowQuery {
    /// The moment instead of the clock: seconds since 1970, or RFC 3339
    now: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// Begin after this id
    after: Option<String>,
    /// How many
    #[param(minimum = 1, maximum = 10_000, default = 100)]
    limit: Option<u32>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ResultsQuery {
    /// `all`: a result for each item. `errors`: only those that failed, with their `index`, and a summary at the end
    #[param(inline)]
    results: Option<Results>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum Results {
    All,
    Errors,
}

/// A document: any JSON object
#[derive(ToSchema)]
pub(crate) struct Document(BTreeMap<String, serde_json::Value>);

/// What one document did
#[derive(ToSchema)]
pub(crate) struct Outcome {
    /// Each tracker that counted, changed or refused, as it is after the document
    trackers: Vec<Tracker>,
    /// The trackers for which it counted
    counted: Vec<String>,
    /// The trackers that it changed
    dirtied: Vec<String>,
    /// The trackers that reached their last target
    completed: Vec<String>,
    /// The trackers whose limiter refused it or ran out
    limited: Vec<String>,
    /// The trackers for which it did not count, because a limiter refused it
    refused: Vec<String>,
    /// What refused, by tracker
    refusals: BTreeMap<String, Refusal>,
    /// Why it did not count although it matched, by tracker
    skipped: BTreeMap<String, String>,
    /// The errors of custom code, by tracker
    failed: BTreeMap<String, String>,
    /// What happened, in order
    events: Vec<Event>,
    /// Whether a document with this id was applied before
    duplicate: bool,
}

#[derive(ToSchema)]
pub(crate) struct Refusal {
    /// The position of the limiter in the definition
    limiter: u32,
    /// When it would admit the document; null if only a reset makes that possible
    #[schema(required)]
    until: Option<f64>,
}

#[derive(ToSchema)]
pub(crate) struct Tracker {
    name: String,
    progress: f64,
    #[schema(required)]
    target: Option<f64>,
    /// The current stage, counted from one
    stage: u64,
    stages: u64,
    limited: bool,
    /// `active`, `resting` until the period ends, or `completed`
    status: String,
    /// The current period, of a tracker that starts again
    period: Option<Bounds>,
    /// How many freezes a streak has left
    freezes: Option<u64>,
    /// The limiters in the order of the definition. A custom limiter has its own state
    limiters: Vec<serde_json::Value>,
    /// How many times its targets have started again
    cycle: Option<u64>,
    expire_at: Option<f64>,
    /// When it was completed, of a completed tracker
    completed_at: Option<String>,
    /// What it did in its periods, of a tracker that starts again
    periods: Option<Vec<Period>>,
}

#[derive(ToSchema)]
pub(crate) struct Bounds {
    start: f64,
    end: f64,
}

#[derive(ToSchema)]
pub(crate) struct Period {
    start: f64,
    end: f64,
    progress: f64,
    stage: Option<u64>,
    cycle: Option<u64>,
    completed_at: Option<f64>,
    /// Whether a streak met it
    met: Option<bool>,
}

#[derive(ToSchema)]
pub(crate) struct Event {
    /// `added`, `stage_completed`, `all_completed`, `reset` or `limited`
    event: String,
    group: String,
    tracker: String,
    progress: f64,
    #[schema(required)]
    target: Option<f64>,
    stage: u64,
    occurred_at: String,
    /// The same for each delivery of this event
    id: String,
    period_start: Option<String>,
    limiter: Option<u32>,
    times: Option<u64>,
}

#[derive(ToSchema)]
pub(crate) struct Explanations {
    trackers: Vec<Explanation>,
}

/// What a document would do to a tracker, with the facts of the verdict
#[derive(ToSchema)]
pub(crate) struct Explanation {
    name: String,
    /// `counted`, `no_match`, `skipped`, `limited`, `expired` or `failed`
    verdict: String,
    /// The reason in words
    why: String,
}

#[derive(ToSchema)]
pub(crate) struct Groups {
    groups: Vec<String>,
    /// The value of `after` for the next page; null if this is the last one
    #[schema(required)]
    next: Option<String>,
}

#[derive(ToSchema)]
pub(crate) struct Group {
    group: String,
    trackers: Vec<Tracker>,
    completed: Vec<Tracker>,
    attributes: Attributes,
}

/// Up to 64 attributes, of 4 KiB as JSON
#[derive(ToSchema)]
pub(crate) struct Attributes(BTreeMap<String, serde_json::Value>);

#[derive(ToSchema)]
pub(crate) struct Trackers {
    trackers: Vec<Tracker>,
}

#[derive(ToSchema)]
pub(crate) struct Periods {
    periods: Vec<Period>,
}

#[derive(ToSchema)]
pub(crate) struct Reset {
    /// By default what the definition says
    #[schema(inline)]
    what: Option<What>,
    /// A new number of documents for limiters with a `count`
    count: Option<u64>,
    /// A new length for limiters with bounds or an interval, in seconds
    length: Option<f64>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum What {
    Progress,
    Limiter,
    All,
}

#[derive(ToSchema)]
pub(crate) struct ResetDone {
    event: Event,
}

#[derive(ToSchema)]
pub(crate) struct Deleted {
    /// Whether there was anything
    deleted: bool,
}

/// One item of an upload
#[derive(ToSchema)]
pub(crate) struct Item {
    group: String,
    document: Document,
    /// The id of the document, which then counts only once in its group
    id: Option<String>,
    /// The moment of the document: seconds since 1970, or RFC 3339
    now: Option<serde_json::Value>,
}

/// What became of one item: `outcome` or `problem`
#[derive(ToSchema)]
pub(crate) struct ItemResult {
    outcome: Option<Outcome>,
    problem: Option<Problem>,
    /// The position of the item, from 0; with `results=errors`
    index: Option<u64>,
}

#[derive(ToSchema)]
pub(crate) struct NewKey {
    /// What it is for
    name: String,
    scopes: Vec<Scope>,
    /// Allows only groups whose ids begin with this
    prefix: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum Scope {
    Track,
    Read,
    Define,
    Admin,
}

#[derive(ToSchema)]
pub(crate) struct KeyShown {
    id: String,
    name: String,
    scopes: Vec<Scope>,
    #[schema(required)]
    prefix: Option<String>,
    created: f64,
}

#[derive(ToSchema)]
pub(crate) struct KeyMade {
    #[schema(inline)]
    key: KeyShown,
    /// What clients send as bearer token. It is not stored and cannot be shown again
    token: String,
}

#[derive(ToSchema)]
pub(crate) struct KeyList {
    keys: Vec<KeyShown>,
}

#[derive(ToSchema)]
pub(crate) struct Revoked {
    revoked: bool,
}

#[derive(ToSchema)]
pub(crate) struct Health {
    status: String,
}

/// Why a request failed, by RFC 9457
#[derive(ToSchema)]
pub(crate) struct Problem {
    /// `urn:dictrack:problem:` and the code, or a registered problem type
    r#type: String,
    title: String,
    status: u16,
    detail: String,
    /// A short text that is the same in all versions, such as `unavailable`
    code: String,
}

#[derive(IntoResponses)]
pub(crate) enum Problems {
    /// The request cannot be read, or there is nothing at its path
    #[response(status = "4XX", content_type = "application/problem+json")]
    Client(Problem),
    /// The server failed or is busy; with `Retry-After`, try again
    #[response(status = "5XX", content_type = "application/problem+json")]
    Server(Problem),
}
