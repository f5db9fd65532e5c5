//! The web app in `examples/api_quota.rs`, over HTTP.

#![cfg(feature = "sqlite")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use dictrack::clock::TestClock;
use dictrack::{Manager, Span};

#[allow(dead_code, reason = "its `main` serves until it is killed")]
#[path = "../examples/api_quota.rs"]
mod api_quota;

type Ran<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Makes a request. Returns the head of the response, in lower case.
fn response(address: SocketAddr, key: &str) -> Ran<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET /data HTTP/1.1\r\nHost: test\r\nX-API-Key: {key}\r\nConnection: close\r\n\r\n")?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    Ok(response.split_once("\r\n\r\n").ok_or("a response has a head")?.0.to_lowercase())
}

/// Serves the app from a file for as long as `ask` makes requests.
fn serve(folder: &std::path::Path, clock: &Arc<TestClock>, ask: impl FnOnce(SocketAddr) -> Ran) -> Ran {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let store = dictrack::SqliteStore::open(folder.join("quotas.db"))?;
    let manager = runtime.block_on(Manager::builder().store(store).shared_clock(clock.clone()).open())?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
    let (address, app) = (listener.local_addr()?, api_quota::app(manager.clone())?);
    let server = runtime.spawn(async move { axum::serve(listener, app).await });
    ask(address)?;
    server.abort();
    Ok(runtime.block_on(manager.close())?)
}

#[test]
fn the_quota_says_when_to_come_back() -> Ran {
    let folder = tempfile::tempdir()?;
    // 20 seconds, and a part of one, into a minute.
    let clock = Arc::new(TestClock::new("2026-03-01T12:00:20.25Z".parse()?));
    serve(folder.path(), &clock, |address| {
        let heads = (0..101).map(|_| response(address, "key-of-anna")).collect::<Ran<Vec<_>>>()?;
        assert!(heads[..100].iter().all(|head| head.starts_with("http/1.1 200 ")), "{heads:?}");
        let first = "ratelimit: \"minute\";r=99;t=40, \"month\";r=9999;t=2635180";
        assert!(heads[0].contains(first), "{}", heads[0]);
        assert!(heads[99].contains("\"minute\";r=0;t=40, \"month\";r=9900;"), "{}", heads[99]);
        assert!(heads[100].starts_with("http/1.1 429 "), "{}", heads[100]);
        assert!(heads[100].contains("\r\nretry-after: 40\r\n"), "{}", heads[100]);

        assert!(response(address, "key-of-ben")?.contains("\"minute\";r=99;"), "each client has a quota");
        assert!(response(address, "stolen")?.starts_with("http/1.1 401 "));
        // Not yet, and then as promised.
        clock.advance(Span::from_micros(39_500_000));
        assert!(response(address, "key-of-anna")?.contains("\r\nretry-after: 1\r\n"));
        clock.advance(Span::from_micros(250_000));
        let next = response(address, "key-of-anna")?;
        assert!(next.contains("\"minute\";r=99;t=60, \"month\";r=9899;"), "{next}");
        Ok(())
    })?;
    // Another start, on the same file.
    serve(folder.path(), &clock, |address| {
        let next = response(address, "key-of-anna")?;
        assert!(next.contains("\"minute\";r=98;t=60, \"month\";r=9898;"), "{next}");
        Ok(())
    })
}
