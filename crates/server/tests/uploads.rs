//! Many documents in one request.

mod support;

use std::io::Write as _;
use std::time::Duration;

use dictrack::clock::Stopwatch;
use serde_json::{Value, json};
use support::{JSON, LINES, Running, START, assert_problem, json as parsed, lines};

const POINTS: &str = r#"[{"name": "points", "kind": "sum", "key": "n", "target": 1000000000}]"#;

fn progress(server: &Running, group: &str) -> Value {
    server.call("GET", &format!("/v1/groups/{group}"), "").1["trackers"][0]["progress"].clone()
}

#[test]
fn each_line_gets_its_result_in_order() {
    let server = Running::start(POINTS);
    let body = [
        r#"{"group": "a", "document": {"n": 1}}"#,
        "",
        r#"{"group": "b", "document": {"n": 2}, "id": "x"}"#,
        "not json",
        r#"{"group": "b", "document": {"n": 2}, "id": "x"}"#,
        r#"{"document": {"n": 4}}"#,
        r#"{"group": "a", "document": {"n": 8}, "now": "2026-01-02"}"#,
        r#"{"group": "a", "document": {"n": 16}, "tiem": 1}"#,
        r#"{"group": 7, "document": {}}"#,
        r#"{"group": "a", "document": {"n": 32}, "now": 1767225600.5}"#,
        r#"{"group": "a"}"#,
        r#"{"group": "a", "document": {"n": 1}, "id": ""}"#,
        r#"{"group": "", "document": {"n": 64}}"#,
    ];
    let reply = server.send("POST", "/v1/documents", LINES, body.join("\r\n"));
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/x-ndjson"));
    let results = lines(&reply);
    let shown: Vec<Value> = results
        .iter()
        .map(|result| match result.get("outcome") {
            Some(outcome) if outcome["duplicate"] == true => json!("duplicate"),
            Some(outcome) => outcome["trackers"][0]["progress"].clone(),
            None => result["problem"]["code"].clone(),
        })
        .collect();
    let bad = "invalid_body";
    assert_eq!(json!(shown), json!([1, 2, bad, "duplicate", bad, 9, bad, bad, 41, bad, bad, 64]));
    assert_eq!(results[5]["outcome"]["events"], json!([]));
    assert_eq!(
        (progress(&server, "a"), progress(&server, "b"), progress(&server, "")),
        (json!(41), json!(2), json!(64))
    );
}

#[test]
fn a_list_is_answered_with_a_list() {
    let server = Running::start(POINTS);
    let body = r#" [ {"group": "a", "document": {"n": 1, "s": "],\"["}}, 7, {"group": "a", "document": {"n": 2}} ] "#;
    let reply = server.send("POST", "/v1/documents", JSON, body);
    let results = parsed(&reply);
    assert_eq!(results.as_array().unwrap().len(), 3);
    assert_eq!(results[1]["problem"]["code"], "invalid_body");
    assert_eq!(results[2]["outcome"]["trackers"][0]["progress"], 3);
    assert_eq!(parsed(&server.send("POST", "/v1/documents", JSON, "[]")), json!([]));
    assert_eq!(server.send("POST", "/v1/documents", LINES, "").text(), "");
    // What came before a broken place counted.
    let broken = parsed(&server.send("POST", "/v1/documents", JSON, r#"[{"group": "a", "document": {"n": 4}},"#));
    assert_eq!(broken[0]["outcome"]["trackers"][0]["progress"], 7);
    assert_eq!((broken[1]["problem"]["code"].as_str(), broken.as_array().unwrap().len()), (Some("incomplete"), 2));
    let broken = parsed(&server.send("POST", "/v1/documents", JSON, r#"[{"group": "a", "document": {"n": 8}},, 1]"#));
    assert_eq!(broken[0]["outcome"]["trackers"][0]["progress"], 15);
    assert_eq!((broken[1]["problem"]["code"].as_str(), broken.as_array().unwrap().len()), (Some("invalid_body"), 2));
    let not_a_list = parsed(&server.send("POST", "/v1/documents", JSON, r#"{"group": "a", "document": {}}"#));
    assert_eq!(not_a_list[0]["problem"]["code"], "invalid_body");
}

#[test]
fn only_errors_are_sent_if_the_client_wants_no_more() {
    let server = Running::start(POINTS);
    let item = |n: u32| format!("{{\"group\": \"a\", \"document\": {{\"n\": {n}}}}}");
    let body = [item(1), "x".to_owned(), item(2)].join("\n");
    let results = lines(&server.send("POST", "/v1/documents?results=errors", LINES, body));
    assert_eq!((&results[0]["index"], &results[0]["problem"]["code"]), (&json!(1), &json!("invalid_body")));
    assert_eq!(results[1..], [json!({"documents": 3, "failed": 1})]);
    let all = parsed(&server.send("POST", "/v1/documents?results=errors", JSON, format!("[{}]", item(4))));
    assert_eq!(all, json!([{"documents": 1, "failed": 0}]));
    assert_problem(&server.send("POST", "/v1/documents?results=none", LINES, ""), 400, "invalid_request");
}

#[test]
fn cloud_events_are_read_in_every_mode() {
    let server = Running::start(
        r#"[{"name": "orders", "kind": "sum", "key": "data.n", "conditions": [{"key": "type", "eq": "order"}]}]"#,
    );
    let event = |id: &str, kind: &str, n: u32| json!({"specversion": "1.0", "id": id, "source": "/shop", "type": kind, "subject": "u", "time": "2026-01-01T00:00:00Z", "data": {"n": n}});
    let structured = [("content-type", "application/cloudevents+json; charset=UTF-8")];
    let first = server.send("POST", "/v1/documents", &structured, event("1", "order", 1).to_string());
    assert_eq!((first.status, &parsed(&first)["trackers"][0]["progress"]), (200, &json!(1)));
    let again = server.send("POST", "/v1/documents", &structured, event("1", "order", 1).to_string());
    assert_eq!(parsed(&again)["duplicate"], true);
    assert_problem(&server.send("POST", "/v1/documents", &structured, "{}"), 400, "invalid_body");

    let binary = [
        ("ce-specversion", "1.0"),
        ("ce-id", "2"),
        ("ce-source", "/shop"),
        ("ce-type", "order"),
        ("ce-subject", "u"),
        ("content-type", "application/json"),
    ];
    let second = server.send("POST", "/v1/documents", &binary, r#"{"n": 2}"#);
    assert_eq!(parsed(&second)["trackers"][0]["progress"], 3);
    assert_eq!(parsed(&server.send("POST", "/v1/documents", &binary, r#"{"n": 2}"#))["duplicate"], true);

    let batch = [("content-type", "application/cloudevents-batch+json")];
    let events =
        json!([event("2", "order", 9), event("3", "visit", 9), event("4", "order", 4), {"specversion": "1.0"}]);
    let results = parsed(&server.send("POST", "/v1/documents", &batch, events.to_string()));
    assert_eq!(results[0]["outcome"]["duplicate"], true);
    assert_eq!(results[1]["outcome"]["counted"], json!([]));
    assert_eq!(results[2]["outcome"]["trackers"][0]["progress"], 7);
    assert_eq!(results[3]["problem"]["code"], "invalid_body");

    for headers in [&[][..], &[("content-type", "text/plain")], &[("content-type", "application/xml")]] {
        assert_problem(&server.send("POST", "/v1/documents", headers, "[]"), 415, "unsupported_media_type");
    }
}

#[test]
fn bodies_may_be_packed() {
    let server = Running::start(POINTS);
    let pack = |text: &str| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(text.as_bytes()).unwrap();
        packer.finish().unwrap()
    };
    let packed = [LINES, &[("content-encoding", "gzip")]].concat();
    let line = "{\"group\": \"a\", \"document\": {\"n\": 1}}\n";
    // Several members, as `cat` of files makes them.
    let body = [pack(&line.repeat(3_000)), pack(line)].concat();
    assert_eq!(lines(&server.send("POST", "/v1/documents", &packed, &body)).len(), 3_001);
    assert_eq!(progress(&server, "a"), 3_001);
    let cut = lines(&server.send("POST", "/v1/documents", &packed, &body[..body.len() / 2]));
    assert_eq!(cut.last().unwrap()["problem"]["code"], "invalid_body");

    let single = [JSON, &[("content-encoding", "gzip")]].concat();
    assert_eq!(server.send("POST", "/v1/groups/b/track", &single, pack("{\"n\": 5}")).status, 200);
    assert_eq!(progress(&server, "b"), 5);
    // A few kilobytes that become 100 MB are refused long before.
    let bomb = pack(&" ".repeat(100 << 20));
    assert_problem(&server.send("POST", "/v1/groups/b/track", &single, bomb), 413, "too_large");
    let other = [JSON, &[("content-encoding", "br")]].concat();
    assert_problem(&server.send("POST", "/v1/groups/b/track", &other, "x"), 415, "unsupported_media_type");
}

#[test]
fn a_large_item_harms_no_other() {
    let server = Running::start(POINTS);
    let large = format!("{{\"group\": \"a\", \"document\": {{\"n\": 1, \"s\": \"{}\"}}}}", "x".repeat(3 << 20));
    let small = "{\"group\": \"a\", \"document\": {\"n\": 1}}";
    for (headers, body) in
        [(LINES, format!("{small}\n{large}\n{small}\n")), (JSON, format!("[{small},{large},{small}]"))]
    {
        let reply = server.send("POST", "/v1/documents", headers, body);
        let results = if headers == LINES { json!(lines(&reply)) } else { parsed(&reply) };
        assert_eq!(results.as_array().unwrap().len(), 3);
        assert_eq!(results[1]["problem"]["code"], "too_large");
        assert!(results[0].get("outcome").is_some() && results[2].get("outcome").is_some());
    }
    assert_eq!(progress(&server, "a"), 4);
}

#[test]
fn results_arrive_while_the_body_is_still_being_sent() {
    let server = Running::start(POINTS);
    let mut client = server.connect();
    client
        .write(b"POST /v1/documents HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n")
        .unwrap();
    let line = b"{\"group\": \"a\", \"document\": {\"n\": 1}}\n";
    for sent in 1..=3 {
        client.write(format!("{:x}\r\n", line.len()).as_bytes()).unwrap();
        client.write(line).unwrap();
        client.write(b"\r\n").unwrap();
        if sent == 1 {
            assert_eq!(client.read_head().unwrap().0, 200);
        }
        let chunk = client.read_chunk().unwrap().unwrap();
        let result: Value = serde_json::from_slice(&chunk).unwrap();
        assert_eq!(result["outcome"]["trackers"][0]["progress"], sent);
    }
    client.write(b"0\r\n\r\n").unwrap();
    assert_eq!(client.read_chunk().unwrap(), None);
}

#[test]
fn a_long_upload_takes_little_memory() {
    let server = Running::start(POINTS);
    // The memory store keeps changes; what is measured is the growth beyond a first upload.
    let upload = |lines: usize| {
        let client = server.connect();
        let mut writer = client.writer();
        let line = format!("{{\"group\": \"a\", \"document\": {{\"n\": 1, \"pad\": \"{}\"}}}}\n", "x".repeat(900));
        let block = line.repeat(100);
        let length = block.len() * lines / 100;
        let sender = std::thread::spawn(move || {
            let head = format!(
                "POST /v1/documents HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\ncontent-length: {length}\r\n\r\n"
            );
            writer.write_all(head.as_bytes()).unwrap();
            for _ in 0..lines / 100 {
                writer.write_all(block.as_bytes()).unwrap();
            }
        });
        let mut client = client;
        assert_eq!(client.read_head().unwrap().0, 200);
        let (mut results, mut most) = (0, 0);
        while let Some(chunk) = client.read_chunk().unwrap() {
            results += chunk.iter().filter(|byte| **byte == b'\n').count();
            most = most.max(resident());
        }
        sender.join().unwrap();
        assert_eq!(results, lines);
        most
    };
    let before = upload(1_000);
    let most = upload(100_000);
    assert_eq!(progress(&server, "a"), 101_000);
    assert!(most < before + (48 << 20), "{} MiB more", (most - before) >> 20);
}

/// The memory of this process, in bytes.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn a_client_that_does_not_read_is_cut_off_and_its_slot_is_free_again() {
    let server = Running::with(POINTS, |config| {
        let mut limits = dictrack_server::Limits::default();
        limits.body_time = Duration::from_millis(300);
        limits.uploads = 1;
        config.limits(limits)
    });
    let client = server.connect();
    let mut writer = client.writer();
    let line = "{\"group\": \"a\", \"document\": {\"n\": 1}}\n".repeat(1_000);
    let head = "POST /v1/documents HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\ncontent-length: 100000000\r\n\r\n";
    writer.write_all(head.as_bytes()).unwrap();
    let watch = Stopwatch::start();
    while writer.write_all(line.as_bytes()).is_ok() {
        assert!(watch.elapsed() < Duration::from_secs(20), "the server reads on although nobody reads its answer");
    }
    dictrack_testkit::eventually("the slot is free", || server.send("POST", "/v1/documents", LINES, "").status == 200);
}

#[test]
fn a_body_that_stops_arriving_ends_with_a_problem() {
    let server = Running::with(POINTS, |config| {
        let mut limits = dictrack_server::Limits::default();
        limits.body_time = Duration::from_millis(200);
        config.limits(limits)
    });
    let mut client = server.connect();
    let line = "{\"group\": \"a\", \"document\": {\"n\": 1}}\n";
    let head = "POST /v1/documents HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\ncontent-length: 1000\r\n\r\n";
    client.write(format!("{head}{line}{{\"gro").as_bytes()).unwrap();
    let reply = client.read().unwrap();
    let results = lines(&reply);
    assert_eq!(results[0]["outcome"]["trackers"][0]["progress"], 1);
    assert_eq!((results[1]["problem"]["code"].as_str(), results.len()), (Some("timeout"), 2));

    let mut client = server.connect();
    client.write(format!("{head}{line}{{\"gro").as_bytes()).unwrap();
    let _ = client.writer().shutdown(std::net::Shutdown::Write);
    dictrack_testkit::eventually("the second line counted", || progress(&server, "a") == 2);
}

#[test]
fn items_far_ahead_are_dated_by_themselves() {
    let server = Running::start(r#"[{"name": "day", "kind": "count", "limiters": [{"count": 1, "per": "day"}]}]"#);
    let item = |now: i64| format!("{{\"group\": \"a\", \"document\": {{}}, \"now\": {now}}}");
    let body = [item(START), item(START + 1), item(START + 86_400)].join("\n");
    let results = lines(&server.send("POST", "/v1/documents", LINES, body));
    let refused: Vec<_> = results.iter().map(|result| result["outcome"]["refused"].as_array().unwrap().len()).collect();
    assert_eq!(refused, [0, 1, 0]);
}
