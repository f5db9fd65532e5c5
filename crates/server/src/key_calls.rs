//! The calls on keys. While a server owns an SQLite file, this is the only way to change its keys.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use dictrack::json::{Bounds, Json};
use dictrack::store::DataStore;
use dictrack::text::quoted;

use crate::app::{Shared, in_store};
use crate::auth::Caller;
use crate::documents::parse;
use crate::json::{list, object, ok};
use crate::keys::{self, NewKey, Scope};
use crate::openapi as api;
use crate::problem::{Code, Problem};
use crate::query::Query;
use crate::{body, path};

/// The most keys of a store.
const MOST_KEYS: usize = 10_000;
/// The longest name of a key.
const MOST_NAME: usize = 256;

fn store(app: &Shared) -> Result<&Arc<dyn DataStore>, Problem> {
    let missing = || Problem::new(Code::NotFound, "the server has no store, which would keep keys");
    app.store.as_ref().ok_or_else(missing)
}

async fn all(app: &Shared) -> Result<Vec<keys::Key>, Problem> {
    Ok(in_store(store(app)?, |store| async move { keys::list_all(&*store).await }).await?)
}

/// List the keys, without their secrets.
#[utoipa::path(
    get, path = "/v1/keys", tag = "keys", operation_id = "list_keys",
    responses((status = 200, body = api::KeyList), api::Problems)
)]
pub(crate) async fn list_keys(
    State(app): State<Shared>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    Query::read(request.uri(), &[])?;
    caller.may(Scope::Admin, None)?;
    Ok(ok(&object([("keys", list(&all(&app).await?, keys::Key::to_json))])))
}

/// Create a key.
///
/// From the first key on, each request needs one. The first one must be an admin key, or nobody could make another.
#[utoipa::path(
    post, path = "/v1/keys", tag = "keys", operation_id = "create_key",
    request_body = api::NewKey,
    responses((status = 200, body = api::KeyMade), api::Problems)
)]
pub(crate) async fn create_key(
    State(app): State<Shared>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    Query::read(&parts.uri, &[])?;
    caller.may(Scope::Admin, None)?;
    let existing = all(&app).await?;
    let whole = body::read(&app, &parts.headers, body).await?;
    let new = read_new(&whole.bytes)?;
    if existing.len() >= MOST_KEYS {
        return Err(Problem::new(Code::InvalidRequest, format!("there are {MOST_KEYS} keys already; revoke some")));
    }
    let administrates = |scopes: &[Scope], prefix: Option<&str>| scopes.contains(&Scope::Admin) && prefix.is_none();
    if existing.is_empty() && !administrates(&new.scopes, new.prefix.as_deref()) {
        return Err(bad("the first key must have the scope admin and no prefix, or nobody could create another"));
    }
    let (key, token) = keys::create(&app.manager, new).await?;
    app.load_keys().await?;
    let mut response = ok(&object([("key", key.to_json()), ("token", token.into())]));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Revoke a key.
#[utoipa::path(
    delete, path = "/v1/keys/{id}", tag = "keys", operation_id = "revoke_key",
    params(api::KeyPath),
    responses((status = 200, body = api::Revoked), api::Problems)
)]
pub(crate) async fn revoke_key(
    State(app): State<Shared>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    Query::read(request.uri(), &[])?;
    let id = path::decode(request.uri().path().rsplit('/').next().unwrap_or(""), "key")?;
    caller.may(Scope::Admin, None)?;
    if !all(&app).await?.iter().any(|key| key.id == id) {
        return Err(Problem::new(Code::NotFound, format!("there is no key {}", quoted(&id))));
    }
    keys::revoke(&app.manager, &id).await?;
    app.load_keys().await?;
    Ok(ok(&object([("revoked", true.into())])))
}

fn bad(problem: impl Into<String>) -> Problem {
    Problem::new(Code::InvalidBody, problem)
}

fn read_new(text: &[u8]) -> Result<NewKey, Problem> {
    const EXPECTED: &str = "expected an object such as {\"name\": \"app\", \"scopes\": [\"track\", \"read\"]}";
    let json = parse(text, Bounds { lone_surrogates: false, ..Bounds::DOCUMENT })?;
    let map = json.as_map().ok_or_else(|| bad(EXPECTED))?;
    let mut new = NewKey::default();
    for (key, value) in map.iter() {
        match (key, value) {
            ("name", Json::Text(name)) if name.len() <= MOST_NAME => new.name = name.as_str().to_owned(),
            ("name", Json::Text(_)) => {
                return Err(bad(format!("the name is too long; expected up to {MOST_NAME} bytes")));
            }
            ("prefix", Json::Text(prefix)) => new.prefix = Some(prefix.as_str().to_owned()),
            ("prefix", Json::Null) => {}
            ("scopes", Json::List(scopes)) => {
                for scope in scopes {
                    let scope = scope.as_str().ok_or_else(|| bad(EXPECTED))?;
                    new.scopes.push(scope.parse().map_err(|error: keys::UnknownScope| bad(error.to_string()))?);
                }
            }
            ("name" | "prefix" | "scopes", _) => return Err(bad(EXPECTED)),
            (other, _) => return Err(bad(format!("unknown field {}; expected name, scopes or prefix", quoted(other)))),
        }
    }
    if new.scopes.is_empty() {
        return Err(bad("a key without scopes allows nothing; expected some of track, read, define and admin"));
    }
    Ok(new)
}
