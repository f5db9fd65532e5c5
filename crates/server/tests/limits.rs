//! What clients may use: bytes, time, connections, requests.

mod support;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use dictrack::clock::Stopwatch;
use dictrack_server::Limits;
use support::{JSON, Running, assert_problem};

const ALL: &str = r#"[{"name": "all", "kind": "count"}]"#;

fn limited(change: impl FnOnce(&mut Limits)) -> Running {
    let mut limits = Limits::default();
    change(&mut limits);
    Running::with(ALL, |config| config.limits(limits))
}

#[test]
fn bodies_of_every_size_are_answered() {
    let server = Running::start(ALL);
    let mut client = server.connect();
    for size in [8, 100, 4_096, 8_191, 8_192, 8_193, 65_535, 65_536, 100_000, 1 << 20] {
        let body = format!("{{\"a\":\"{}\"}}", "x".repeat(size - 8));
        assert_eq!((body.len(), client.send("POST", "/v1/groups/u/track", JSON, &body).status), (size, 200));
    }
    for size in [(1 << 20) + 1, 2 << 20, 10 << 20] {
        // The connection is closed instead of reading it all, which may break off what the client is sending.
        let body = vec![b' '; size];
        match server.connect().try_send("POST", "/v1/groups/u/track", JSON, &body) {
            Ok(reply) => assert_problem(&reply, 413, "too_large"),
            Err(error) => assert!(
                matches!(error.kind(), std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe),
                "{error}"
            ),
        }
    }
    // In chunks, the length is not known before.
    let mut client = server.connect();
    client.write(b"POST /v1/groups/u/track HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
    let mut writer = client.writer();
    let sender = thread::spawn(move || {
        use std::io::Write as _;
        let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
        (0..100).all(|_| writer.write_all(chunk.as_bytes()).is_ok())
    });
    assert_problem(&client.read().unwrap(), 413, "too_large");
    drop(client);
    let _ = sender.join().unwrap();
    assert_eq!(server.call("GET", "/v1/groups/u", "").1["trackers"][0]["progress"], 10);
}

#[test]
fn a_client_that_sends_slowly_is_cut_off() {
    let server = limited(|limits| {
        limits.header_time = Duration::from_millis(300);
        limits.body_time = Duration::from_millis(300);
    });
    // Headers that never end.
    let watch = Stopwatch::start();
    let mut client = server.connect();
    client.write(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n").unwrap();
    let mut writer = client.writer();
    let dripping = thread::spawn(move || {
        use std::io::Write as _;
        while writer.write_all(b"a: b\r\n").is_ok() && watch.elapsed() < Duration::from_secs(20) {
            thread::sleep(Duration::from_millis(20));
        }
    });
    assert!(client.read().map_or(true, |reply| reply.status == 408));
    drop(client);
    dripping.join().unwrap();
    assert!(watch.elapsed() < Duration::from_secs(10), "{:?}", watch.elapsed());

    // A body that never ends.
    let mut client = server.connect();
    client.write(b"POST /v1/groups/u/track HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{").unwrap();
    assert_problem(&client.read().unwrap(), 408, "timeout");

    // A connection that is idle.
    let mut client = server.connect();
    assert_eq!(client.send("GET", "/healthz", &[], "").status, 200);
    assert!(client.read().is_err(), "an idle connection is closed");
}

#[test]
fn many_connections_that_do_nothing_hinder_nobody() {
    let server = limited(|limits| limits.header_time = Duration::from_secs(30));
    let idle: Vec<_> = (0..400).map(|_| server.connect()).collect();
    let watch = Stopwatch::start();
    assert_eq!(server.send("POST", "/v1/groups/u/track", JSON, "{}").status, 200);
    assert!(watch.elapsed() < Duration::from_secs(5), "{:?}", watch.elapsed());
    // Connections of earlier requests may not have been closed yet.
    dictrack_testkit::eventually("the others are idle", || {
        server.send("GET", "/metrics", &[], "").text().contains("dictrack_http_connections 401")
    });
    drop(idle);
}

#[test]
fn further_connections_wait_for_their_turn() {
    let server = limited(|limits| limits.connections = 2);
    let (first, _second) = (server.connect(), server.connect());
    let mut third = server.connect();
    third.write(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let answered = thread::spawn(move || third.read().unwrap().status);
    thread::sleep(Duration::from_millis(100));
    assert!(!answered.is_finished());
    drop(first);
    assert_eq!(answered.join().unwrap(), 200);
}

#[test]
fn a_busy_server_refuses_before_it_reads() {
    let server = limited(|limits| limits.requests = 1);
    let begin = || {
        let mut slow = server.connect();
        slow.write(b"POST /v1/groups/u/track HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{").unwrap();
        slow
    };
    let mut slow = begin();
    dictrack_testkit::eventually("the first request is in progress", || {
        let is_busy = server.send("GET", "/healthz", &[], "").status == 503;
        if !is_busy {
            // This request may have come first, and have kept the slow one out.
            slow = begin();
        }
        is_busy
    });
    let refused = server.send("POST", "/v1/groups/u/track", JSON, "{}");
    assert_problem(&refused, 503, "overloaded");
    assert_eq!(refused.header("retry-after"), "1");
    slow.write(b"}").unwrap();
    assert_eq!(slow.read().unwrap().status, 200);
    dictrack_testkit::eventually("it answers again", || server.send("GET", "/healthz", &[], "").status == 200);
}

#[test]
fn bodies_share_a_limit_of_memory() {
    let server = limited(|limits| {
        limits.body_bytes = 1 << 20;
        // The slow body must not end before the others come.
        limits.body_time = Duration::from_secs(60);
    });
    let begin = || {
        let mut slow = server.connect();
        let head = b"POST /v1/groups/u/track HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\n{";
        slow.write(head).unwrap();
        slow
    };
    let mut slow = begin();
    let body = format!("{{\"a\":\"{}\"}}", "x".repeat(100_000));
    let mut last = None;
    dictrack_testkit::eventually("there is no room for another body", || {
        let reply = server.send("POST", "/v1/groups/u/track", JSON, &body);
        let full = reply.status == 503;
        if !full {
            // This body may have come first, and have left no room for the slow one.
            slow = begin();
        }
        last = Some(reply);
        full
    });
    assert_problem(&last.unwrap(), 503, "overloaded");
    // What is small enough is answered.
    assert_eq!(server.send("POST", "/v1/groups/u/track", JSON, "{}").status, 200);
    drop(slow);
    dictrack_testkit::eventually("there is room again", || {
        server.send("POST", "/v1/groups/u/track", JSON, &body).status == 200
    });
}

#[test]
fn uploads_are_limited() {
    let server = limited(|limits| limits.uploads = 1);
    let mut first = server.connect();
    first
        .write(b"POST /v1/documents HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\ncontent-length: 9\r\n\r\n")
        .unwrap();
    assert_eq!(first.read_head().unwrap().0, 200);
    let headers = support::LINES;
    assert_problem(&server.send("POST", "/v1/documents", headers, ""), 503, "overloaded");
    assert_eq!(server.send("POST", "/v1/groups/u/track", JSON, "{}").status, 200);
    drop(first);
    dictrack_testkit::eventually("the slot is free", || {
        server.send("POST", "/v1/documents", headers, "").status == 200
    });
}

#[test]
fn many_clients_at_once_lose_nothing() {
    let server = Arc::new(Running::start(ALL));
    let clients: Vec<_> = (0..16)
        .map(|client| {
            let server = Arc::clone(&server);
            thread::spawn(move || {
                let mut connection = server.connect();
                for _ in 0..200 {
                    assert_eq!(
                        connection.send("POST", &format!("/v1/groups/{}/track", client % 4), JSON, "{}").status,
                        200
                    );
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    for group in 0..4 {
        assert_eq!(server.call("GET", &format!("/v1/groups/{group}"), "").1["trackers"][0]["progress"], 800);
    }
}
