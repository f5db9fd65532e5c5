//! The calls on groups: list, view, peek, attributes, periods, reset, delete.

use axum::extract::{Request, State};
use axum::response::Response;
use dictrack::json::{Bounds, Json, Map};
use dictrack::manager::Reset;
use dictrack::text::quoted;
use dictrack::{ResetPolicy, Span, TrackerSnapshot};

use crate::app::{Shared, in_store};
use crate::auth::Caller;
use crate::documents::parse;
use crate::json::{list, object, ok};
use crate::keys::Scope;
use crate::openapi as api;
use crate::problem::{Code, Problem};
use crate::query::Query;
use crate::{body, path};

/// The most groups in one answer.
const MOST_GROUPS: usize = 10_000;

/// List groups.
///
/// The ids of the groups in the store, in order, as of its last commit.
#[utoipa::path(
    get, path = "/v1/groups", tag = "groups", operation_id = "list_groups",
    params(api::PageQuery),
    responses((status = 200, body = api::Groups), api::Problems)
)]
pub(crate) async fn list_groups(
    State(app): State<Shared>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let query = Query::read(request.uri(), &["after", "limit"])?;
    let limit = query.number("limit", 100, MOST_GROUPS)?;
    let prefix = caller.prefix().map(str::to_owned);
    caller.may(Scope::Read, prefix.as_deref())?;
    let mut groups = page(&app, query.get("after"), prefix.as_deref(), limit + 1).await?;
    let more = groups.len() > limit;
    groups.truncate(limit);
    let next = groups.last().filter(|_| more).map_or(Json::Null, |last| last.as_str().into());
    Ok(ok(&object([("groups", list(&groups, |group| group.as_str().into())), ("next", next)])))
}

/// Up to `limit` ids after `after`, of groups that begin with `prefix`.
async fn page(app: &Shared, after: Option<&str>, prefix: Option<&str>, limit: usize) -> Result<Vec<String>, Problem> {
    let (manager, prefix) = (&app.manager, prefix.unwrap_or(""));
    let mut found = Vec::new();
    let mut last = after;
    if !prefix.is_empty() && after.is_none_or(|after| after < prefix) {
        // The list begins after an id, so the group with the id of the prefix itself is looked up. Who has a prefix has a key, and
        // keys are in a store.
        if let Some(store) = &app.store {
            let id = prefix.to_owned();
            if in_store(store, |store| async move { store.held(&id).await }).await?.version > 0 {
                found.push(prefix.to_owned());
            }
        }
        last = Some(prefix);
    }
    let ids = manager.groups(last, limit.saturating_sub(found.len())).await?;
    found.extend(ids.into_iter().take_while(|id| id.starts_with(prefix)));
    Ok(found)
}

/// Show a group.
///
/// Its active trackers with their periods, the completed ones, and its attributes. A group that does not exist has the trackers that
/// its first document would give it.
#[utoipa::path(
    get, path = "/v1/groups/{group}", tag = "groups", operation_id = "show_group",
    params(api::GroupPath, api::NowQuery),
    responses((status = 200, body = api::Group), api::Problems)
)]
pub(crate) async fn show(State(app): State<Shared>, caller: Caller, request: Request) -> Result<Response, Problem> {
    let group = path::group(request.uri())?;
    let now = Query::read(request.uri(), &["now"])?.now()?.unwrap_or_else(|| app.manager.now());
    caller.may(Scope::Read, Some(&group))?;
    let look = |found: &dictrack::group::Group| {
        (found.trackers(app.manager.engine(), None, now), found.completed(), found.attributes().clone())
    };
    let (trackers, completed, attributes) = app.manager.at(now).look(&group, look).await?;
    Ok(ok(&object([
        ("group", group.as_str().into()),
        ("trackers", list(&trackers, with_periods)),
        ("completed", list(&completed, dictrack::CompletedTracker::to_json)),
        ("attributes", attributes.into()),
    ])))
}

/// A tracker and, if it starts again, its periods.
fn with_periods(tracker: &TrackerSnapshot) -> Json {
    let json = tracker.to_json();
    match json {
        Json::Map(mut map) if tracker.period.is_some() => {
            map.insert("periods".into(), list(tracker.periods(), |period| period.to_json()));
            map.into()
        }
        json => json,
    }
}

/// Peek at a group.
///
/// What its trackers allow at the moment, before somebody acts: each limiter with what remains and when it renews.
#[utoipa::path(
    get, path = "/v1/groups/{group}/peek", tag = "groups", operation_id = "peek",
    params(api::GroupPath, api::NowQuery),
    responses((status = 200, body = api::Trackers), api::Problems)
)]
pub(crate) async fn peek(State(app): State<Shared>, caller: Caller, request: Request) -> Result<Response, Problem> {
    let group = path::group(request.uri())?;
    let now = Query::read(request.uri(), &["now"])?.now()?.unwrap_or_else(|| app.manager.now());
    caller.may(Scope::Read, Some(&group))?;
    let trackers = app.manager.at(now).peek(&group, None).await?;
    Ok(ok(&object([("trackers", list(&trackers, TrackerSnapshot::to_json))])))
}

/// Show the attributes of a group.
#[utoipa::path(
    get, path = "/v1/groups/{group}/attributes", tag = "groups", operation_id = "show_attributes",
    params(api::GroupPath),
    responses((status = 200, body = api::Attributes), api::Problems)
)]
pub(crate) async fn attributes(
    State(app): State<Shared>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let group = path::group(request.uri())?;
    Query::read(request.uri(), &[])?;
    caller.may(Scope::Read, Some(&group))?;
    Ok(ok(&app.manager.attributes(&group).await?.into()))
}

/// Change the attributes of a group.
///
/// Merges the body into them, key by key; `null` removes a key. `zone` is the time zone of the group's days. Returns all attributes.
#[utoipa::path(
    patch, path = "/v1/groups/{group}/attributes", tag = "groups", operation_id = "set_attributes",
    params(api::GroupPath),
    request_body = api::Attributes,
    responses((status = 200, body = api::Attributes), api::Problems)
)]
pub(crate) async fn set_attributes(
    State(app): State<Shared>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let group = path::group(&parts.uri)?;
    Query::read(&parts.uri, &[])?;
    caller.may(Scope::Track, Some(&group))?;
    let whole = body::read(&app, &parts.headers, body).await?;
    let changes = map(&whole.bytes)?.ok_or_else(|| expected("an object such as {\"zone\": \"Europe/Berlin\"}"))?;
    app.manager.set_attributes(&group, changes).await?;
    Ok(ok(&app.manager.attributes(&group).await?.into()))
}

/// Show the periods of a tracker.
///
/// What a tracker with `every` did in its open periods and in the closed ones that it remembers, oldest first.
#[utoipa::path(
    get, path = "/v1/groups/{group}/trackers/{tracker}/periods", tag = "groups", operation_id = "periods",
    params(api::TrackerPath, api::NowQuery),
    responses((status = 200, body = api::Periods), api::Problems)
)]
pub(crate) async fn periods(State(app): State<Shared>, caller: Caller, request: Request) -> Result<Response, Problem> {
    let (group, tracker) = (path::group(request.uri())?, path::tracker(request.uri())?);
    let now = Query::read(request.uri(), &["now"])?.now()?.unwrap_or_else(|| app.manager.now());
    caller.may(Scope::Read, Some(&group))?;
    let periods = app.manager.at(now).periods(&group, &tracker).await?;
    let periods = periods.ok_or_else(|| no_tracker(&group, &tracker))?;
    Ok(ok(&object([("periods", list(&periods, |period| period.to_json()))])))
}

/// Reset a tracker.
///
/// Resets its progress, its limiters or both; without a body, what its definition says. Returns the event.
#[utoipa::path(
    post, path = "/v1/groups/{group}/trackers/{tracker}/reset", tag = "groups", operation_id = "reset",
    params(api::TrackerPath),
    request_body(content = Option<api::Reset>, description = "What to reset; may be left out"),
    responses((status = 200, body = api::ResetDone), api::Problems)
)]
pub(crate) async fn reset(State(app): State<Shared>, caller: Caller, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let (group, tracker) = (path::group(&parts.uri)?, path::tracker(&parts.uri)?);
    Query::read(&parts.uri, &[])?;
    caller.may(Scope::Admin, Some(&group))?;
    let whole = body::read(&app, &parts.headers, body).await?;
    let reset = if whole.bytes.is_empty() { Reset::default() } else { read_reset(&whole.bytes)? };
    let event = app.manager.reset_tracker(&group, &tracker, reset).await?;
    let event = event.ok_or_else(|| no_tracker(&group, &tracker))?;
    app.metrics.event(&event);
    Ok(ok(&object([("event", event.to_json())])))
}

fn read_reset(text: &[u8]) -> Result<Reset, Problem> {
    const EXPECTED: &str = "an object such as {\"what\": \"all\", \"count\": 10, \"length\": 60}";
    let map = map(text)?.ok_or_else(|| expected(EXPECTED))?;
    let mut reset = Reset::default();
    for (key, value) in map.iter() {
        match key {
            "what" => {
                reset.policy = Some(match value.as_str() {
                    Some("progress") => ResetPolicy::PROGRESS,
                    Some("limiter") => ResetPolicy::LIMITER,
                    Some("all") => ResetPolicy::ALL,
                    _ => return Err(expected("what to be progress, limiter or all")),
                });
            }
            "count" => {
                let count = value.as_number().and_then(|number| number.to_string().parse().ok());
                reset.renewal.count = Some(count.ok_or_else(|| expected("count to be a whole number of documents"))?);
            }
            "length" => {
                reset.renewal.length =
                    Some(Span::read(value).ok_or_else(|| expected("length to be a number of seconds"))?)
            }
            other => {
                return Err(Problem::new(
                    Code::InvalidBody,
                    format!("unknown field {}; expected what, count or length", quoted(other)),
                ));
            }
        }
    }
    Ok(reset)
}

/// Delete a group.
///
/// With its trackers, history, document ids, undelivered events and attributes.
#[utoipa::path(
    delete, path = "/v1/groups/{group}", tag = "groups", operation_id = "delete_group",
    params(api::GroupPath),
    responses((status = 200, body = api::Deleted), api::Problems)
)]
pub(crate) async fn delete(State(app): State<Shared>, caller: Caller, request: Request) -> Result<Response, Problem> {
    let group = path::group(request.uri())?;
    Query::read(request.uri(), &[])?;
    caller.may(Scope::Admin, Some(&group))?;
    Ok(ok(&object([("deleted", app.manager.delete_group(&group).await?.into())])))
}

/// An object; `None` if it is other JSON.
fn map(text: &[u8]) -> Result<Option<Map>, Problem> {
    // What is stored cannot contain a lone surrogate.
    let json = parse(text, Bounds { lone_surrogates: false, ..Bounds::DOCUMENT })?;
    Ok(match json {
        Json::Map(map) => Some(map),
        _ => None,
    })
}

fn expected(what: &str) -> Problem {
    Problem::new(Code::InvalidBody, format!("unexpected JSON; expected {what}"))
}

fn no_tracker(group: &str, tracker: &str) -> Problem {
    Problem::new(Code::NotFound, format!("group {} has no active tracker {}", quoted(group), quoted(tracker)))
}
