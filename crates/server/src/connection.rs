//! One connection: HTTP/1.1 with limits of time.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Sleep, sleep, timeout};

use crate::config::Limits;
use crate::tls::Certificate;

/// How many headers a request may have.
const MOST_HEADERS: usize = 100;

/// Serves a connection until it ends, or until `stop` and the requests in progress end.
pub(crate) async fn serve(
    stream: TcpStream,
    certificate: Option<&Certificate>,
    router: Router,
    limits: &Limits,
    mut stop: watch::Receiver<bool>,
) {
    // A connection that never sends anything costs no buffers.
    let mut first = [0];
    let begun = tokio::select! {
        // Not `readable`, which may also return without a reason.
        peeked = timeout(limits.header_time, stream.peek(&mut first)) => matches!(peeked, Ok(Ok(1..))),
        _ = stop.wait_for(|stop| *stop) => false,
    };
    if begun {
        begin(stream, certificate, router, limits, stop).await;
    }
}

/// Not an async function, so that its caller has no room for it before it is called.
fn begin<'a>(
    stream: TcpStream,
    certificate: Option<&'a Certificate>,
    router: Router,
    limits: &'a Limits,
    stop: watch::Receiver<bool>,
) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
    // Small answers are not held back to be sent together.
    let _ = stream.set_nodelay(true);
    let stream = Stalling::new(stream, limits.body_time);
    match certificate {
        None => Box::pin(http(stream, router, limits, stop)),
        Some(certificate) => Box::pin(async move {
            let handshake = timeout(limits.header_time, certificate.acceptor().accept(stream)).await;
            if let Ok(Ok(stream)) = handshake {
                http(stream, router, limits, stop).await;
            }
        }),
    }
}

async fn http<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    router: Router,
    limits: &Limits,
    mut stop: watch::Receiver<bool>,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_buf_size(limits.header_bytes.max(8 << 10))
        .max_headers(MOST_HEADERS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let stopped = tokio::select! {
        // Whatever ends a connection ends only this one.
        _ = connection.as_mut() => false,
        _ = stop.wait_for(|stop| *stop) => true,
    };
    if stopped {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(limits.drain_time, connection).await;
    }
}

/// A stream that fails if the other side does not read for too long.
struct Stalling<S> {
    stream: S,
    limit: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Stalling<S> {
    fn new(stream: S, limit: Duration) -> Self {
        Self { stream, limit, waiting: None }
    }

    fn watch<T>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.waiting = None;
            return polled;
        }
        let limit = self.limit;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(waiting.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stalling<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stalling<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.watch(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch(context, polled)
    }
}
