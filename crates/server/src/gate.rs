//! What happens to every request before and after its handler.

use std::sync::atomic::Ordering;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use dictrack::clock::Stopwatch;

use crate::app::{Held, Shared};
use crate::problem::{Code, Problem};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest id that is taken from a client.
const MOST_ID: usize = 128;

/// Gives a request an id, refuses it if the server is busy, counts it and logs it.
pub(crate) async fn gate(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let watch = Stopwatch::start();
    app.metrics.request_began();
    let id = request_id(&app, &request);
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let logged = app.log_requests.then(|| (request.method().clone(), request.uri().path().to_owned()));
    let response = match begin(&app) {
        // Held until the response begins. What streams afterwards is held by whoever streams it.
        Ok(_held) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let (mut response, status, took) = {
        let status = response.status();
        (response, status, watch.elapsed())
    };
    app.metrics.request_ended(route, status.as_u16(), took);
    if let Some((method, path)) = logged {
        tracing::info!(
            request_id = id.to_str().unwrap_or_default(),
            %method,
            // Ids of groups may contain anything.
            path = %dictrack::text::quoted(&path),
            status = status.as_u16(),
            micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            "request"
        );
    }
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

fn begin(app: &Shared) -> Result<Held, Problem> {
    if app.stopping.load(Ordering::Relaxed) {
        return Err(Problem::new(Code::Stopping, "the server is stopping; try again"));
    }
    Held::one(app, |app| &app.requests)
}

/// The id that the client sent, or a new one.
fn request_id(app: &Shared, request: &Request) -> HeaderValue {
    let given = request.headers().get(REQUEST_ID);
    let usable =
        |id: &&HeaderValue| (1..=MOST_ID).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic);
    if let Some(id) = given.filter(usable) {
        return id.clone();
    }
    let (first, next) = &app.request_ids;
    let number = next.fetch_add(1, Ordering::Relaxed);
    HeaderValue::from_str(&format!("{first:016x}-{number:x}")).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}
