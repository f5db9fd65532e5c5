//! Many documents in one request, read and answered as a stream.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::Poll;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use dictrack::json::{Bounds, Json};
use dictrack::text::quoted;
use http_body_util::channel::{Channel, Sender};
use tokio::time::timeout;

use crate::app::{Held, Shared};
use crate::auth::Caller;
use crate::body::{self, Parts};
use crate::documents::parse;
use crate::json::{self, object};
use crate::keys::Scope;
use crate::openapi as api;
use crate::problem::{Code, Problem};
use crate::query::Query;

mod event;
mod item;
mod split;

use item::Item;
use split::{Form, Piece, Splitter};

/// How many documents are committed together.
const MOST_ITEMS: usize = 1_024;
/// How many bytes of them.
const MOST_BYTES: usize = 512 << 10;
/// How many parts of the answer wait for a slow client.
const ANSWERS: usize = 2;

const FORMATS: &str = "application/x-ndjson, application/json (a list), application/cloudevents+json, \
     application/cloudevents-batch+json, or a CloudEvent in binary mode (ce-specversion)";

/// What the body of a request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// One item a line.
    Lines,
    /// A list of items.
    List,
    /// A list of CloudEvents.
    Events,
    /// One CloudEvent.
    Event,
    /// The data of a CloudEvent whose attributes are headers.
    Binary,
}

impl Format {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        if headers.contains_key("ce-specversion") {
            return Ok(Self::Binary);
        }
        let unknown = |what: String| Problem::new(Code::UnsupportedMediaType, format!("{what}; expected {FORMATS}"));
        let Some(kind) = headers.get(header::CONTENT_TYPE) else {
            return Err(unknown("there is no Content-Type".to_owned()));
        };
        let kind = kind.to_str().unwrap_or("?");
        let essence = kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines" => {
                Ok(Self::Lines)
            }
            "application/json" => Ok(Self::List),
            "application/cloudevents-batch+json" => Ok(Self::Events),
            "application/cloudevents+json" => Ok(Self::Event),
            _ => Err(unknown(format!("unknown Content-Type {}", quoted(kind)))),
        }
    }
}

/// Track many documents.
///
/// The body is NDJSON or a JSON list of items, or it is CloudEvents: there `subject` is the group, `time` the moment, `source` with `id`
/// the id, and the whole event the document. It may be packed with gzip and of any length. The answer has the same form, with a result
/// for each item in order, and begins before the body ends: read it while you send, or ask for `results=errors`. An item that fails
/// harms no other. A single CloudEvent is answered like `track`.
#[utoipa::path(
    post, path = "/v1/documents", tag = "documents", operation_id = "track_documents",
    params(api::ResultsQuery),
    request_body(content(
        (api::Item = "application/x-ndjson"),
        (Vec<api::Item> = "application/json"),
        (Object = "application/cloudevents+json"),
        (Vec<serde_json::Value> = "application/cloudevents-batch+json"),
    )),
    responses(
        (status = 200, description = "A result for each item. If the body breaks off, the last one is a problem that belongs to no item", content(
            (api::ItemResult = "application/x-ndjson"),
            (Vec<api::ItemResult> = "application/json"),
        )),
        api::Problems,
    )
)]
pub(crate) async fn documents(
    State(app): State<Shared>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let query = Query::read(&parts.uri, &["results"])?;
    let errors_only = match query.get("results") {
        None | Some("all") => false,
        Some("errors") => true,
        Some(other) => {
            let problem = format!("invalid results {}; expected all or errors", quoted(other));
            return Err(Problem::new(Code::InvalidRequest, problem));
        }
    };
    // Whoever may not track in any group learns it now.
    caller.may(Scope::Track, Some(caller.prefix().unwrap_or("")))?;
    let format = Format::of(&parts.headers)?;
    let (form, kind) = match format {
        Format::Lines => (Form::Lines, "application/x-ndjson"),
        Format::List | Format::Events => (Form::List, "application/json"),
        Format::Event | Format::Binary => return single(&app, &caller, format, &parts.headers, body).await,
    };
    let slot = Held::one(&app, |app| &app.uploads)?;
    let parts = Parts::new(&parts.headers, body)?;
    let (sender, answer) = Channel::<Bytes, Infallible>::new(ANSWERS);
    let upload = Upload {
        splitter: Splitter::new(form, app.limits.document_bytes),
        memory: Held::none(&app, |app| &app.body_bytes),
        answer: Answer {
            sender,
            is_list: form == Form::List,
            errors_only,
            text: String::new(),
            items: 0,
            failed: 0,
            written: 0,
        },
        is_event: format == Format::Events,
        app: app.clone(),
        caller,
        parts,
        _slot: slot,
    };
    app.tasks.spawn(upload.run());
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], Body::new(answer)).into_response())
}

/// One CloudEvent.
async fn single(
    app: &Shared,
    caller: &Caller,
    format: Format,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let whole = body::read(app, headers, body).await?;
    let item = match format {
        Format::Binary => event::binary(headers, &whole.bytes)?,
        _ => event::structured(parse(&whole.bytes, Bounds::DOCUMENT)?)?,
    };
    caller.may(Scope::Track, Some(item.group()))?;
    let outcome = app.manager.track_one(item.submission()).await;
    match &outcome {
        Ok(outcome) => app.metrics.tracked(outcome),
        Err(_) => app.metrics.failed(),
    }
    Ok(json::outcome(&outcome?))
}

/// An upload in progress. It outlives the call of its handler.
struct Upload {
    app: Shared,
    caller: Caller,
    parts: Parts,
    splitter: Splitter,
    memory: Held,
    is_event: bool,
    answer: Answer,
    _slot: Held,
}

/// The client does not read any more.
struct Gone;

impl Upload {
    async fn run(mut self) {
        loop {
            let (items, end) = self.fill().await;
            if self.track(items).await.is_err() {
                return;
            }
            match end {
                None => {}
                Some(Ok(())) => break,
                Some(Err(problem)) => {
                    self.answer.end_of_all(&problem);
                    break;
                }
            }
        }
        self.answer.finish();
        let _ = self.answer.send(&self.app).await;
    }

    /// The next items: as many as have arrived, but at least one, unless it is the end. Also returns how the body ended, if it has.
    async fn fill(&mut self) -> (Vec<Result<Item, Problem>>, Option<Result<(), Problem>>) {
        let (mut items, mut bytes) = (Vec::new(), 0);
        let end = loop {
            let found = self.splitter.next();
            if let Ok(Some(piece)) = found {
                bytes += piece.len();
                items.push(self.read(piece));
                if items.len() == MOST_ITEMS || bytes >= MOST_BYTES {
                    break None;
                }
                continue;
            }
            if let Err(problem) = found {
                break Some(Err(problem));
            }
            match self.next_part(items.is_empty()).await {
                None => break None,
                Some(Ok(Some(part))) => {
                    self.splitter.push(&part);
                    if let Err(problem) = self.memory.resize(self.splitter.len() + bytes) {
                        break Some(Err(problem));
                    }
                }
                Some(Ok(None)) => {
                    break Some(self.splitter.end().map(|piece| items.extend(piece.map(|piece| self.read(piece)))));
                }
                Some(Err(problem)) => break Some(Err(problem)),
            }
        };
        (items, end)
    }

    /// The next part of the body; `None` if there is none yet and nobody waits for it.
    async fn next_part(&mut self, waits: bool) -> Option<Result<Option<Bytes>, Problem>> {
        if !waits {
            // What has arrived is tracked rather than kept waiting.
            let mut next = pin!(self.parts.next());
            return poll_fn(|context| {
                Poll::Ready(match next.as_mut().poll(context) {
                    Poll::Ready(next) => Some(next),
                    Poll::Pending => None,
                })
            })
            .await;
        }
        if self.app.stopping.load(Ordering::Relaxed) {
            return Some(Err(Problem::new(Code::Stopping, "the server is stopping; send the rest again")));
        }
        let limit = self.app.limits.body_time;
        let late = || Problem::new(Code::Timeout, format!("nothing more arrived within {limit:?}"));
        Some(timeout(limit, self.parts.next()).await.unwrap_or_else(|_| Err(late())))
    }

    fn read(&self, piece: Piece) -> Result<Item, Problem> {
        let most = self.app.limits.document_bytes;
        let text = match piece {
            Piece::Text(text) => text,
            Piece::TooLarge => {
                return Err(Problem::new(
                    Code::TooLarge,
                    format!("the item is too large; expected up to {most} bytes"),
                ));
            }
        };
        // An item is one level around its document.
        let json = parse(&text, Bounds { depth: Bounds::DOCUMENT.depth + 1, ..Bounds::DOCUMENT })?;
        let item = if self.is_event { event::structured(json)? } else { Item::read(json)? };
        self.caller.may(Scope::Track, Some(item.group()))?;
        Ok(item)
    }

    /// Tracks items, commits them together, and sends their results.
    async fn track(&mut self, items: Vec<Result<Item, Problem>>) -> Result<(), Gone> {
        let app = self.app.clone();
        let mut batch = app.manager.batch();
        for item in items.iter().flatten() {
            batch.track(item.submission()).await;
        }
        let mut results = batch.finish().await.into_iter();
        for item in &items {
            match item {
                Err(problem) => self.answer.problem(problem),
                Ok(_) => match results.next() {
                    Some(Ok(outcome)) => {
                        app.metrics.tracked(&outcome);
                        self.answer.outcome(&outcome);
                    }
                    Some(Err(error)) => {
                        app.metrics.failed();
                        self.answer.problem(&error.into());
                    }
                    None => unreachable!("each document has a result"),
                },
            }
        }
        drop(items);
        let _ = self.memory.resize(self.splitter.len());
        self.answer.send(&app).await
    }
}

/// The results, on their way to the client.
struct Answer {
    sender: Sender<Bytes, Infallible>,
    is_list: bool,
    errors_only: bool,
    /// What is not sent yet.
    text: String,
    items: u64,
    failed: u64,
    /// How many results were written.
    written: u64,
}

impl Answer {
    fn outcome(&mut self, outcome: &dictrack::Outcome) {
        self.items += 1;
        if !self.errors_only {
            self.begin();
            self.text.push_str("{\"outcome\":");
            outcome.write_json(&mut self.text);
            self.text.push('}');
            self.end();
        }
    }

    fn problem(&mut self, problem: &Problem) {
        let index = self.items;
        self.items += 1;
        self.failed += 1;
        let problem = ("problem", problem.to_json());
        let json = if self.errors_only { object([("index", index.into()), problem]) } else { object([problem]) };
        self.write(&json);
    }

    /// A problem that belongs to no item, after which nothing more is read.
    fn end_of_all(&mut self, problem: &Problem) {
        self.write(&object([("problem", problem.to_json())]));
    }

    fn finish(&mut self) {
        if self.errors_only {
            self.write(&object([("documents", self.items.into()), ("failed", self.failed.into())]));
        }
        if self.is_list {
            self.text.push_str(if self.written == 0 { "[]" } else { "]" });
        }
    }

    fn write(&mut self, json: &Json) {
        self.begin();
        self.text.push_str(&json.to_string());
        self.end();
    }

    fn begin(&mut self) {
        if self.is_list {
            self.text.push(if self.written == 0 { '[' } else { ',' });
        }
        self.written += 1;
    }

    fn end(&mut self) {
        self.text.push('\n');
    }

    async fn send(&mut self, app: &Shared) -> Result<(), Gone> {
        if self.text.is_empty() {
            return Ok(());
        }
        let text = Bytes::from(std::mem::take(&mut self.text));
        match timeout(app.limits.body_time, self.sender.send_data(text)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Gone),
        }
    }
}
