//! Reading bodies: within limits of bytes and time, and unpacked.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_compression::tokio::bufread::GzipDecoder;
use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;
use tokio_util::io::StreamReader;

use crate::app::{Held, Shared};
use crate::problem::{Code, Problem};

/// How much of a packed body is unpacked at a time.
const UNPACKED: usize = 64 << 10;

/// A body of any length, part by part.
pub(crate) enum Parts {
    Plain(Body),
    Gzip(Box<GzipDecoder<StreamReader<Chunks, Bytes>>>),
}

/// The parts of a body as bytes.
pub(crate) struct Chunks(Body);

impl Chunks {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        use hyper::body::Body as _;
        loop {
            return Poll::Ready(match std::task::ready!(Pin::new(&mut self.0).poll_frame(context)) {
                None => None,
                Some(Err(error)) => Some(Err(io::Error::other(error))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => Some(Ok(data)),
                    // Trailers say nothing about documents.
                    Err(_) => continue,
                },
            });
        }
    }
}

impl futures_core::Stream for Chunks {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        self.poll(context)
    }
}

impl Parts {
    /// The body, which the headers may say is packed.
    pub(crate) fn new(headers: &HeaderMap, body: Body) -> Result<Self, Problem> {
        let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
        let encoding = match (encodings.next(), encodings.next()) {
            (None, _) => "identity",
            (Some(encoding), None) => encoding.to_str().unwrap_or("?").trim(),
            (Some(_), Some(_)) => "?",
        };
        match encoding.to_ascii_lowercase().as_str() {
            "identity" | "" => Ok(Self::Plain(body)),
            "gzip" | "x-gzip" => {
                let mut decoder = GzipDecoder::new(StreamReader::new(Chunks(body)));
                decoder.multiple_members(true);
                Ok(Self::Gzip(Box::new(decoder)))
            }
            other => Err(Problem::new(
                Code::UnsupportedMediaType,
                format!("unknown Content-Encoding {}; expected gzip or none", dictrack::text::quoted(other)),
            )),
        }
    }

    /// The next part; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        match self {
            Self::Plain(body) => loop {
                match body.frame().await {
                    None => return Ok(None),
                    Some(Err(_)) => return Err(broken()),
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) if data.is_empty() => {}
                        Ok(data) => return Ok(Some(data)),
                        Err(_) => {}
                    },
                }
            },
            Self::Gzip(decoder) => {
                let mut part = BytesMut::with_capacity(UNPACKED);
                match decoder.read_buf(&mut part).await {
                    Ok(0) => Ok(None),
                    Ok(_) => Ok(Some(part.freeze())),
                    Err(error) if error.get_ref().is_some_and(|inner| inner.is::<axum::Error>()) => Err(broken()),
                    Err(_) => Err(Problem::new(Code::InvalidBody, "the body is not valid gzip, or it is cut off")),
                }
            }
        }
    }
}

fn broken() -> Problem {
    Problem::new(Code::Incomplete, "the body ended before it was complete")
}

/// A whole body in memory, and what it takes of the memory for bodies.
pub(crate) struct Whole {
    pub(crate) bytes: Bytes,
    _held: Held,
}

/// Reads a body of limited length.
pub(crate) async fn read(app: &Shared, headers: &HeaderMap, body: Body) -> Result<Whole, Problem> {
    let most = app.limits.document_bytes;
    let too_large = || Problem::new(Code::TooLarge, format!("the body is too large; expected up to {most} bytes"));
    let mut parts = Parts::new(headers, body)?;
    let mut held = Held::none(app, |app| &app.body_bytes);
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if let Some(length) = length {
        if length > most {
            return Err(too_large());
        }
        held.resize(length)?;
    }
    let whole = async {
        let Some(first) = parts.next().await? else { return Ok(Bytes::new()) };
        if first.len() > most {
            return Err(too_large());
        }
        if length == Some(first.len()) && matches!(parts, Parts::Plain(_)) {
            return Ok(first);
        }
        let mut all = BytesMut::from(first);
        held.resize(held.amount().max(all.len()))?;
        while let Some(part) = parts.next().await? {
            if all.len() + part.len() > most {
                return Err(too_large());
            }
            held.resize(held.amount().max(all.len() + part.len()))?;
            all.extend_from_slice(&part);
        }
        Ok(all.freeze())
    };
    let read = timeout(app.limits.body_time, whole).await;
    let bytes = read.unwrap_or_else(|_| {
        let limit = app.limits.body_time;
        Err(Problem::new(Code::Timeout, format!("the body did not arrive within {limit:?}")))
    })?;
    Ok(Whole { bytes, _held: held })
}
