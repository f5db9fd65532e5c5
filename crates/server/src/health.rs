//! Whether the server lives and can work, and its metrics.

use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};

use crate::app::Shared;
use crate::auth::Caller;
use crate::json::{object, ok};
use crate::keys::Scope;
use crate::openapi as api;
use crate::problem::{Code, Problem};

/// Whether the server runs.
#[utoipa::path(
    get, path = "/healthz", tag = "operation", operation_id = "health", security(()),
    responses((status = 200, body = api::Health))
)]
pub(crate) async fn health() -> Response {
    ok(&object([("status", "ok".into())]))
}

/// Whether the server can answer: its cache and its store can be reached, and it is not stopping.
#[utoipa::path(
    get, path = "/readyz", tag = "operation", operation_id = "ready", security(()),
    responses(
        (status = 200, body = api::Health),
        (status = 503, body = api::Problem, content_type = "application/problem+json", description = "Not at the moment")
    )
)]
pub(crate) async fn ready(State(app): State<Shared>) -> Result<Response, Problem> {
    if app.stopping.load(Ordering::Relaxed) {
        return Err(Problem::new(Code::Stopping, "the server is stopping"));
    }
    // Nothing is committed, but it fails if the store has failed, and tells whether it is away.
    let commit = app.manager.commit(Vec::new()).await?;
    if let Some(away) = commit.held_up_by() {
        return Err(away.into());
    }
    if commit.is_over() {
        commit.wait().await?;
    }
    // No group has that id unless a program chooses it. Shown, it is not created.
    app.manager.look("dictrack:ready", |_| ()).await?;
    Ok(ok(&object([("status", "ok".into())])))
}

/// Metrics for Prometheus, in its text format.
#[utoipa::path(
    get, path = "/metrics", tag = "operation", operation_id = "metrics",
    responses((status = 200, body = String, content_type = "text/plain"), api::Problems)
)]
pub(crate) async fn metrics(State(app): State<Shared>, caller: Caller) -> Result<Response, Problem> {
    caller.may(Scope::Read, None)?;
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, kind)], app.metrics.text()).into_response())
}
