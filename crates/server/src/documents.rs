//! The calls on single documents: track, admit, explain.

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use dictrack::clock::Stopwatch;
use dictrack::json::{Bounds, Json};
use dictrack::manager::Submission;
use dictrack::{Outcome, Timestamp};

use crate::app::Shared;
use crate::auth::Caller;
use crate::body;
use crate::json::{self, list, object, ok};
use crate::keys::Scope;
use crate::openapi as api;
use crate::problem::{Code, Problem};
use crate::query::Query;
use crate::{path, quota};

/// Reads a document with dictrack's own reader, which keeps numbers exact.
pub(crate) fn parse(text: &[u8], bounds: Bounds) -> Result<Json, Problem> {
    Json::parse_within(text, bounds)
        .map_err(|error| Problem::new(Code::InvalidBody, format!("not valid JSON: {error}")))
}

/// A document as it was sent.
struct Sent {
    group: String,
    document: Json,
    now: Option<Timestamp>,
    id: Option<String>,
    dry: bool,
    _body: body::Whole,
}

impl Sent {
    async fn read(app: &Shared, caller: &Caller, request: Request) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let group = path::group(&parts.uri)?;
        let query = Query::read(&parts.uri, &["id", "now", "dry"])?;
        let (id, now, dry) = (query.id(&parts.headers)?, query.now()?, query.flag("dry")?);
        caller.may(Scope::Track, Some(&group))?;
        let whole = body::read(app, &parts.headers, body).await?;
        let document = parse(&whole.bytes, Bounds::DOCUMENT)?;
        Ok(Self { group, document, now, id, dry, _body: whole })
    }

    async fn track(&self, app: &Shared) -> Result<Outcome, Problem> {
        let Self { group, document, now, id, .. } = self;
        let mut submission = Submission::new(group, document);
        submission.now = *now;
        submission.event_id = id.as_deref();
        if self.dry {
            return Ok(app.manager.preview(submission).await?);
        }
        let watch = Stopwatch::start();
        let outcome = app.manager.track_one(submission).await;
        app.metrics.track_took(watch.elapsed());
        match &outcome {
            Ok(outcome) => app.metrics.tracked(outcome),
            Err(_) => app.metrics.failed(),
        }
        Ok(outcome?)
    }
}

/// Track a document.
///
/// Applies one document to a group and returns what it did, once that is as durable as the server is configured. A document with an id
/// counts once, however often it is sent. `dry=true` returns what it would do, and changes nothing.
#[utoipa::path(
    post, path = "/v1/groups/{group}/track", tag = "documents", operation_id = "track",
    params(api::GroupPath, api::DocumentQuery, api::IdHeader),
    request_body(content = api::Document, description = "Any JSON object of up to 1 MiB"),
    responses((status = 200, body = api::Outcome), api::Problems)
)]
pub(crate) async fn track(State(app): State<Shared>, caller: Caller, request: Request) -> Result<Response, Problem> {
    let sent = Sent::read(&app, &caller, request).await?;
    Ok(json::outcome(&sent.track(&app).await?))
}

/// Track a document that asks for permission.
///
/// Like `track`, but the status is 429 if the limiter of a tracker refused the document. For those trackers that admitted it, it counted.
/// A document whose id is known gets 409, since its first answer is not known any more: use a new id for each attempt.
#[utoipa::path(
    post, path = "/v1/groups/{group}/admit", tag = "documents", operation_id = "admit",
    params(api::GroupPath, api::DocumentQuery, api::IdHeader),
    request_body(content = api::Document, description = "Any JSON object of up to 1 MiB"),
    responses(
        (status = 200, body = api::Outcome, headers(
            ("RateLimit-Policy" = String, description = "The limits, by the draft on RateLimit fields"),
            ("RateLimit" = String, description = "What remains of them"),
        )),
        (status = 429, body = api::Problem, content_type = "application/problem+json",
            description = "A limiter refused it. `refusals` says which, and `outcome` what the document did", headers(
            ("Retry-After" = u64, description = "After how many seconds all of them admit again; missing if one needs a reset"),
            ("RateLimit-Policy" = String, description = "The limits"),
            ("RateLimit" = String, description = "What remains of them"),
        )),
        api::Problems,
    )
)]
pub(crate) async fn admit(State(app): State<Shared>, caller: Caller, request: Request) -> Result<Response, Problem> {
    let sent = Sent::read(&app, &caller, request).await?;
    let outcome = sent.track(&app).await?;
    if outcome.duplicate() {
        return Err(Problem::new(
            Code::Duplicate,
            "a document with this id was handled before, and whether it was admitted is not known any more; \
             use a new id for each attempt",
        ));
    }
    let headers = quota::headers(&outcome);
    if outcome.refused().next().is_none() {
        let mut response = json::outcome(&outcome);
        response.headers_mut().extend(headers);
        return Ok(response);
    }
    let names: Vec<_> = outcome.refused().map(|tracker| dictrack::text::quoted(tracker.name()).to_string()).collect();
    let json = outcome.to_json();
    let refusals = json.as_map().and_then(|map| map.get("refusals")).cloned().unwrap_or(Json::Null);
    let problem = Problem::quota_exceeded(format!("refused by the limits of {}", names.join(", ")))
        .with("violated-policies", quota::violated(&outcome))
        .with("refusals", refusals)
        .with("outcome", json)
        .retry_after(quota::retry_after(&outcome))
        .headers(headers);
    Ok(problem.into_response())
}

/// Explain a document.
///
/// What a document would do to each tracker of a group, and why. Changes nothing.
#[utoipa::path(
    post, path = "/v1/groups/{group}/explain", tag = "documents", operation_id = "explain",
    params(api::GroupPath, api::NowQuery),
    request_body(content = api::Document, description = "Any JSON object of up to 1 MiB"),
    responses((status = 200, body = api::Explanations), api::Problems)
)]
pub(crate) async fn explain(State(app): State<Shared>, caller: Caller, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let group = path::group(&parts.uri)?;
    let now = Query::read(&parts.uri, &["now"])?.now()?.unwrap_or_else(|| app.manager.now());
    caller.may(Scope::Read, Some(&group))?;
    let whole = body::read(&app, &parts.headers, body).await?;
    let document = parse(&whole.bytes, Bounds::DOCUMENT)?;
    let explained = app.manager.at(now).explain(&group, &document).await?;
    Ok(ok(&object([("trackers", list(&explained, |explanation| explanation.to_json()))])))
}
