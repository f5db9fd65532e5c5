//! Groups: list, view, peek, attributes, periods, reset, delete; and ids of every kind.

mod support;

use serde_json::json;
use support::{JSON, Running, START, assert_problem, json as parsed};

const DAILY: &str = r#"[
    {"name": "daily", "kind": "count", "target": 2, "every": "day"},
    {"name": "posts", "kind": "count", "target": [1, 5], "limiters": [{"count": 3, "per": "day"}]},
    {"name": "few", "kind": "count", "limiters": [{"count": 2}]}
]"#;

/// Percent-encodes every byte.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn a_group_is_shown_with_its_trackers_periods_and_attributes() {
    let server = Running::start(DAILY);
    server.call("POST", "/v1/groups/u/track", "{}");
    let (status, attributes) =
        server.call("PATCH", "/v1/groups/u/attributes", r#"{"zone": "Europe/Berlin", "plan": "pro"}"#);
    assert_eq!((status, attributes), (200, json!({"zone": "Europe/Berlin", "plan": "pro"})));
    let (_, attributes) = server.call("PATCH", "/v1/groups/u/attributes", r#"{"plan": null}"#);
    assert_eq!(attributes, json!({"zone": "Europe/Berlin"}));
    assert_eq!(server.call("GET", "/v1/groups/u/attributes", "").1, attributes);

    let (_, shown) = server.call("GET", "/v1/groups/u", "");
    assert_eq!((&shown["group"], &shown["attributes"]), (&json!("u"), &attributes));
    assert_eq!(shown["trackers"][0]["periods"][0]["progress"], 1);
    assert_eq!(shown["trackers"][1]["limiters"][0]["remaining"], 2);
    assert_eq!(shown["trackers"][1].get("periods"), None);
    let (_, tomorrow) = server.call("GET", &format!("/v1/groups/u?now={}", START + 86_400 * 2), "");
    assert_eq!(tomorrow["trackers"][1]["limiters"][0]["remaining"], 3);
    let (_, periods) = server.call("GET", "/v1/groups/u/trackers/daily/periods", "");
    assert_eq!(periods["periods"].as_array().unwrap().len(), 1);
    assert_problem(&server.send("GET", "/v1/groups/u/trackers/nope/periods", &[], ""), 404, "not_found");

    for wrong in ["[]", "{\"zone\": \"Mars\"}", "{\"a\": \"\\ud800\"}", "nope", ""] {
        let reply = server.send("PATCH", "/v1/groups/u/attributes", JSON, wrong);
        assert!((400..=422).contains(&reply.status), "{wrong}: {}", reply.text());
    }
    let unknown = server.send("PATCH", "/v1/groups/u/attributes", JSON, "{\"zone\": \"Mars\"}");
    assert_problem(&unknown, 422, "attributes");
}

#[test]
fn a_completed_tracker_is_shown_as_such() {
    let server = Running::start(r#"[{"name": "once", "kind": "count", "target": 1}]"#);
    server.call("POST", "/v1/groups/u/track", "{}");
    let (_, shown) = server.call("GET", "/v1/groups/u", "");
    assert_eq!(shown["trackers"], json!([]));
    assert_eq!(shown["completed"][0]["name"], "once");
    assert_eq!(shown["completed"][0]["completed_at"], "2026-01-01T00:00:00Z");
}

#[test]
fn a_tracker_is_reset_as_asked() {
    let server = Running::start(DAILY);
    server.call("POST", "/v1/groups/u/track", "{}");
    let (status, reset) = server.call("POST", "/v1/groups/u/trackers/posts/reset", r#"{"what": "progress"}"#);
    assert_eq!((status, &reset["event"]["event"], &reset["event"]["tracker"]), (200, &json!("reset"), &json!("posts")));
    let (_, shown) = server.call("GET", "/v1/groups/u", "");
    assert_eq!(shown["trackers"][1]["progress"], 0);
    assert_eq!(shown["trackers"][1]["limiters"][0]["remaining"], 2);
    assert_eq!(server.call("POST", "/v1/groups/u/trackers/few/reset", r#"{"what": "all", "count": 7}"#).0, 200);
    let (_, shown) = server.call("GET", "/v1/groups/u", "");
    assert_eq!(shown["trackers"][2]["limiters"][0]["remaining"], 7);
    assert_eq!(server.call("POST", "/v1/groups/u/trackers/posts/reset", "").0, 200);
    assert_problem(&server.send("POST", "/v1/groups/u/trackers/nope/reset", JSON, ""), 404, "not_found");
    for wrong in
        [r#"{"what": "x"}"#, r#"{"count": -1}"#, r#"{"count": 1.5}"#, r#"{"length": "x"}"#, r#"{"other": 1}"#, "[]"]
    {
        assert_problem(&server.send("POST", "/v1/groups/u/trackers/posts/reset", JSON, wrong), 400, "invalid_body");
    }
}

#[test]
fn a_deleted_group_is_gone() {
    let server = Running::start(DAILY);
    server.call("POST", "/v1/groups/u/track", "{}");
    assert_eq!(server.call("DELETE", "/v1/groups/u", "").1, json!({"deleted": true}));
    assert_eq!(server.call("DELETE", "/v1/groups/u", "").1, json!({"deleted": false}));
    assert_eq!(server.call("GET", "/v1/groups/u", "").1["trackers"][1]["progress"], 0);
}

#[test]
fn groups_are_listed_page_by_page() {
    let server = Running::start(DAILY);
    for group in ["c", "a", "b/x", "b"] {
        server.call("POST", &format!("/v1/groups/{}/track", encoded(group)), "{}");
    }
    let (_, first) = server.call("GET", "/v1/groups?limit=3", "");
    assert_eq!(first, json!({"groups": ["a", "b", "b/x"], "next": "b/x"}));
    let (_, second) = server.call("GET", "/v1/groups?limit=3&after=b%2Fx", "");
    assert_eq!(second, json!({"groups": ["c"], "next": null}));
    assert_eq!(server.call("GET", "/v1/groups?limit=4", "").1["next"], json!(null));
    for wrong in ["limit=0", "limit=x", "limit=10001", "afer=b"] {
        assert_problem(&server.send("GET", &format!("/v1/groups?{wrong}"), &[], ""), 400, "invalid_request");
    }
}

#[test]
fn a_server_without_a_store_lists_what_it_holds() {
    let manager = dictrack::Manager::in_memory();
    manager.set_trackers([support::everyone(DAILY)]).unwrap();
    let config = dictrack_server::Config::default().listen(([127, 0, 0, 1], 0).into());
    let (address, handle, thread) = support::serve(manager, config).unwrap();
    let mut client = dictrack_testkit::Http::connect(address);
    for group in ["b", "a"] {
        assert_eq!(client.send("POST", &format!("/v1/groups/{group}/track"), JSON, "{}").status, 200);
    }
    assert_eq!(client.send("GET", "/v1/groups/looked-at", &[], "").status, 200);
    assert_eq!(parsed(&client.send("GET", "/v1/groups?after=a", &[], "")), json!({"groups": ["b"], "next": null}));
    assert_problem(&client.send("GET", "/v1/keys", &[], ""), 404, "not_found");
    handle.stop();
    thread.join().unwrap().unwrap();
}

#[test]
fn a_group_may_have_any_id() {
    let server = Running::start(DAILY);
    let long = "ü".repeat(512);
    let groups = [
        "",
        "/",
        "//",
        "a/b",
        "%",
        "%2F",
        "..",
        ".",
        "?",
        "#",
        "a?b=c",
        "a b",
        "+",
        "\u{0}",
        "\r\n",
        "\u{202e}\u{2066}",
        "<script>alert(1)</script>",
        "\"'\\",
        "😀",
        "track",
        "\u{feff}",
        "\u{10ffff}",
        "{group}",
        "*",
        ":",
        "trackers",
        &long,
    ];
    for group in groups {
        let path = format!("/v1/groups/{}", encoded(group));
        let (status, outcome) = server.call("POST", &format!("{path}/track"), "{}");
        assert_eq!((status, &outcome["events"][0]["group"]), (200, &json!(group)), "{group:?}");
        assert_eq!(server.call("POST", &format!("{path}/explain"), "{}").0, 200, "{group:?}");
        assert_eq!(server.call("GET", &format!("{path}/peek"), "").0, 200, "{group:?}");
        assert_eq!(server.call("PATCH", &format!("{path}/attributes"), r#"{"a": 1}"#).0, 200, "{group:?}");
        assert_eq!(server.call("POST", &format!("{path}/trackers/posts/reset"), "").0, 200, "{group:?}");
        assert_eq!(server.call("GET", &format!("{path}/trackers/daily/periods"), "").0, 200, "{group:?}");
        let (_, shown) = server.call("GET", &path, "");
        assert_eq!((&shown["group"], &shown["attributes"]["a"]), (&json!(group), &json!(1)), "{group:?}");
    }
    let mut expected: Vec<_> = groups.to_vec();
    expected.sort_unstable();
    assert_eq!(server.call("GET", "/v1/groups", "").1["groups"], json!(expected));
    for group in groups {
        let deleted = server.call("DELETE", &format!("/v1/groups/{}", encoded(group)), "").1;
        assert_eq!(deleted, json!({"deleted": true}), "{group:?}");
    }
}

#[test]
fn a_tracker_may_have_any_name() {
    let name = "a/b %\"\u{202e}<b>é";
    let trackers = json!([{"name": name, "kind": "count", "target": 9, "limiters": [{"count": 1, "per": "day"}]}]);
    let server = Running::start(&trackers.to_string());
    let admitted = server.send("POST", "/v1/groups/u/admit", JSON, "{}");
    assert_eq!(admitted.header("ratelimit"), r#""a/b %25\"%E2%80%AE<b>%C3%A9";r=0;t=86400"#);
    assert_problem(&server.send("POST", "/v1/groups/u/admit", JSON, "{}"), 429, "quota_exceeded");
    let path = format!("/v1/groups/u/trackers/{}/reset", encoded(name));
    assert_eq!(server.call("POST", &path, "").1["event"]["tracker"], name);
}

#[test]
fn hostile_paths_are_refused_without_harm() {
    let server = Running::start(DAILY);
    for path in [
        "/v1/groups/%/track",
        "/v1/groups/%ff/track",
        "/v1/groups/%ED%A0%80/track",
        "/v1/groups/a/b/track",
        "/v1/groups///track",
        "/v1/groups/u/track/",
        "/v1/groups/u/trackers//reset/x",
        "/v1/../v1/groups/u/track",
        "/v1/groups/../track",
        "/",
        "//",
        "/v2",
        "/v1",
        "/v1/",
        "/v1/groups/u/nothing",
        "/V1/groups/u/track",
        "/v1/groups/u/track;a=b",
        "/.env",
        "/v1/keys/a/b",
        "/v1/groups/u/trackers/%zz/reset",
        "/v1/groups/u/track?",
        "/v1/groups/u/track?&&",
        "/v1/groups/u/track?=",
        "/v1/documents/",
        "/v1/groups/u/track?id",
        "/v1/groups/u/track?now=",
        "/v1/groups/u/track?now=9e999",
        "/v1/groups/u/track?dry=TRUE",
    ] {
        let reply = server.send("POST", path, JSON, "{}");
        let good = ["/v1/groups/u/track?", "/v1/groups/u/track?&&", "/v1/groups/../track"].contains(&path);
        if good {
            assert_eq!(reply.status, 200, "{path}");
        } else {
            assert!((400..=405).contains(&reply.status), "{path}: {} {}", reply.status, reply.text());
            assert_eq!(reply.header("content-type"), "application/problem+json", "{path}");
        }
    }
    // Not even HTTP.
    for bytes in [
        &b"\0\0\0\0\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\0",
        b"POST /v1/groups/u/track HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
    ] {
        let mut client = server.connect();
        client.write(bytes).unwrap();
        let _ = client.writer().shutdown(std::net::Shutdown::Write);
        if let Ok(reply) = client.read() {
            assert_eq!(reply.status, 400);
        }
    }
    let mut client = server.connect();
    client
        .write(
            b"POST /v1/groups/u/track HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        )
        .unwrap();
    assert_eq!(client.read().unwrap().status, 400);
    let long = format!("/v1/groups/{}/track", "a".repeat(200_000));
    let reply = server.connect().try_send("POST", &long, JSON, b"{}");
    assert!(reply.is_err() || reply.is_ok_and(|reply| matches!(reply.status, 414 | 431)));
    assert_eq!(server.call("GET", "/healthz", "").0, 200);
}
