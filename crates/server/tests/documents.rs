//! Single documents: track, admit, explain.

mod support;

use serde_json::{Value, json};
use support::{JSON, Running, START, assert_problem, json as parsed};

const LOGINS: &str =
    r#"[{"name": "logins", "kind": "count", "target": [2, 3], "conditions": [{"key": "event", "eq": "login"}]}]"#;
const REQUESTS: &str = r#"[{"name": "requests", "kind": "count", "limiters": [{"count": 2, "per": "minute"}]}]"#;
const LOGIN: &str = r#"{"event": "login"}"#;

#[test]
fn a_document_is_answered_with_what_it_did() {
    let server = Running::start(LOGINS);
    let (status, outcome) = server.call("POST", "/v1/groups/u/track", LOGIN);
    assert_eq!(status, 200);
    assert_eq!(outcome["counted"], json!(["logins"]));
    assert_eq!(outcome["trackers"][0]["progress"], 1);
    assert_eq!(outcome["events"][0]["event"], "added");
    let (_, second) = server.call("POST", "/v1/groups/u/track", LOGIN);
    assert_eq!(second["events"][0]["event"], "stage_completed");
    assert_eq!(second["events"][0]["occurred_at"], "2026-01-01T00:00:00Z");
    let (_, third) = server.call("POST", "/v1/groups/u/track", LOGIN);
    assert_eq!(third["completed"], json!(["logins"]));
    // A completed tracker is not awarded again.
    let (_, fourth) = server.call("POST", "/v1/groups/u/track", LOGIN);
    assert_eq!((&fourth["counted"], &fourth["events"]), (&json!([]), &json!([])));
    let (_, other) = server.call("POST", "/v1/groups/u/track", r#"{"event": "logout"}"#);
    assert_eq!(other["trackers"], json!([]));
}

#[test]
fn numbers_stay_exact() {
    let server = Running::start(r#"[{"name": "sum", "kind": "sum", "key": "n"}]"#);
    for number in ["0.1", "0.2", "12345678901234567.000000000000000001"] {
        let reply = server.send("POST", "/v1/groups/u/track", JSON, format!("{{\"n\": {number}}}"));
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    let shown = server.send("GET", "/v1/groups/u", &[], "");
    assert!(shown.text().contains("\"progress\":12345678901234567.300000000000000001"), "{}", shown.text());
}

#[test]
fn a_document_with_an_id_counts_once() {
    let server = Running::start(LOGINS);
    let send = |path: &str, header: Option<&str>| {
        let mut headers = JSON.to_vec();
        headers.extend(header.map(|id| ("idempotency-key", id)));
        parsed(&server.send("POST", path, &headers, LOGIN))["duplicate"].clone()
    };
    assert_eq!(send("/v1/groups/u/track?id=a%20b", None), false);
    assert_eq!(send("/v1/groups/u/track", Some("a b")), true);
    assert_eq!(send("/v1/groups/u/track", Some("\"a b\"")), true);
    assert_eq!(send("/v1/groups/u/track?id=c", None), false);
    assert_eq!(send("/v1/groups/other/track?id=c", None), false);
    let headers = [JSON, &[("idempotency-key", "x")]].concat();
    assert_problem(&server.send("POST", "/v1/groups/u/track?id=y", &headers, LOGIN), 400, "invalid_request");
}

#[test]
fn a_dry_document_changes_nothing() {
    let server = Running::start(LOGINS);
    for _ in 0..2 {
        let (status, outcome) = server.call("POST", "/v1/groups/u/track?dry=true&id=x", LOGIN);
        assert_eq!(
            (status, &outcome["trackers"][0]["progress"], &outcome["duplicate"]),
            (200, &json!(1), &json!(false))
        );
        assert_eq!(outcome["events"][0]["event"], "added");
    }
    assert_eq!(server.call("GET", "/v1/groups/u", "").1["trackers"][0]["progress"], 0);
    assert_eq!(server.call("GET", "/v1/groups", "").1["groups"], json!([]));
    assert_eq!(server.call("POST", "/v1/groups/u/track?id=x", LOGIN).1["duplicate"], false);
    assert_eq!(server.call("POST", "/v1/groups/u/track?dry=true&id=x", LOGIN).1["duplicate"], true);
    assert_problem(&server.send("POST", "/v1/groups/u/track?dyr=true", JSON, LOGIN), 400, "invalid_request");
}

#[test]
fn a_document_counts_at_its_own_moment() {
    let server = Running::start(REQUESTS);
    let (_, outcome) = server.call("POST", "/v1/groups/u/track?now=2026-01-01T00:10:30Z", "{}");
    assert_eq!(outcome["trackers"][0]["limiters"][0]["reset_at"], START + 660);
    let (_, later) = server.call("POST", &format!("/v1/groups/u/track?now={}", START + 700), "{}");
    assert_eq!(later["trackers"][0]["limiters"][0]["reset_at"], START + 720);
}

#[test]
fn a_refused_document_gets_429_with_its_limits() {
    let server = Running::start(REQUESTS);
    let first = server.send("POST", "/v1/groups/u/admit", JSON, "{}");
    assert_eq!((first.status, first.header("ratelimit-policy")), (200, r#""requests";q=2;w=60"#));
    assert_eq!(first.header("ratelimit"), r#""requests";r=1;t=60"#);
    server.clock.advance(dictrack::Span::from_secs(45));
    assert_eq!(server.send("POST", "/v1/groups/u/admit", JSON, "{}").status, 200);

    let refused = server.send("POST", "/v1/groups/u/admit", JSON, "{}");
    assert_problem(&refused, 429, "quota_exceeded");
    assert_eq!((refused.header("retry-after"), refused.header("ratelimit")), ("15", r#""requests";r=0;t=15"#));
    let problem = parsed(&refused);
    assert_eq!(problem["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
    assert_eq!(problem["violated-policies"], json!(["requests"]));
    assert_eq!(problem["refusals"]["requests"], json!({"limiter": 0, "until": START + 60}));
    assert_eq!(problem["outcome"]["refused"], json!(["requests"]));
    // `track` says the same, but leaves it to the caller what that means.
    let (status, outcome) = server.call("POST", "/v1/groups/u/track", "{}");
    assert_eq!((status, &outcome["refused"]), (200, &json!(["requests"])));

    server.clock.advance(dictrack::Span::from_secs(15));
    assert_eq!(server.send("POST", "/v1/groups/u/admit", JSON, "{}").status, 200);
}

#[test]
fn a_repeated_id_is_not_admitted() {
    let server = Running::start(REQUESTS);
    let send = |id: &str| server.send("POST", &format!("/v1/groups/u/admit?id={id}"), JSON, "{}");
    assert_eq!((send("1").status, send("2").status, send("3").status), (200, 200, 429));
    server.clock.advance(dictrack::Span::from_secs(60));
    // It was refused, so it must not be taken for one that was admitted.
    assert_problem(&send("3"), 409, "duplicate");
    assert_eq!(send("4").status, 200);
}

#[test]
fn a_limit_that_needs_a_reset_has_no_retry_after() {
    let server = Running::start(r#"[{"name": "once", "kind": "count", "limiters": [{"count": 1}]}]"#);
    assert_eq!(server.send("POST", "/v1/groups/u/admit", JSON, "{}").status, 200);
    let refused = server.send("POST", "/v1/groups/u/admit", JSON, "{}");
    assert_problem(&refused, 429, "quota_exceeded");
    assert_eq!(refused.header("retry-after"), "");
}

#[test]
fn explain_and_peek_show_a_group_as_it_will_be() {
    let server = Running::start(LOGINS);
    let (status, explained) = server.call("POST", "/v1/groups/u/explain", r#"{"event": "logout"}"#);
    assert_eq!((status, &explained["trackers"][0]["verdict"]), (200, &json!("no_match")));
    let (_, peeked) = server.call("GET", "/v1/groups/u/peek", "");
    assert_eq!(peeked["trackers"][0]["progress"], 0);
    assert_eq!(server.call("GET", "/v1/groups", "").1["groups"], json!([]));
}

#[test]
fn a_body_that_is_not_a_document_is_refused_with_its_place() {
    let server = Running::start(LOGINS);
    for (body, expected) in [
        (&b""[..], "not valid JSON"),
        (b"{\"a\": }", "line 1"),
        (b"{\"a\": 1} x", "line 1"),
        (b"\xff", "not valid JSON"),
    ] {
        let reply = server.send("POST", "/v1/groups/u/track", JSON, body);
        assert_problem(&reply, 400, "invalid_body");
        assert!(reply.text().contains(expected), "{}", reply.text());
    }
    let deep = "[".repeat(65) + &"]".repeat(65);
    assert_problem(&server.send("POST", "/v1/groups/u/track", JSON, deep), 400, "invalid_body");
}

#[test]
fn an_error_of_the_manager_is_a_problem_with_its_code() {
    let builder =
        dictrack::Manager::builder().trackers([support::everyone(LOGINS)]).ahead(dictrack::Span::from_secs(3_600));
    let server = Running::built(builder, std::sync::Arc::new(dictrack::store::MemoryStore::default()), |config| config);
    for path in ["/v1/groups/u/track", "/v1/groups/u/admit"] {
        for more in ["", "&dry=true"] {
            let reply = server.send("POST", &format!("{path}?now=2026-01-02{more}"), JSON, LOGIN);
            assert_problem(&reply, 422, "ahead");
            let problem: Value = parsed(&reply);
            assert!(problem["advice"].is_string() && problem["type"] == "urn:dictrack:problem:ahead", "{problem}");
        }
    }
    assert_eq!(server.call("GET", "/v1/groups", "").1["groups"], json!([]));
}

#[test]
fn trackers_for_some_groups_follow_their_attributes() {
    let pro = dictrack::Condition::eq("plan", "pro");
    let pro = dictrack::template::Template::new("pro", [pro], support::definitions(REQUESTS)).unwrap();
    let builder = dictrack::Manager::builder().trackers([support::everyone(LOGINS), pro]);
    let server = Running::built(builder, std::sync::Arc::new(dictrack::store::MemoryStore::default()), |config| config);
    let names = |path: &str| -> Vec<String> {
        let (_, shown) = server.call("GET", path, "");
        shown["trackers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|tracker| tracker["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names("/v1/groups/u"), ["logins"]);
    server.call("PATCH", "/v1/groups/u/attributes", r#"{"plan": "pro"}"#);
    assert_eq!(names("/v1/groups/u/peek"), ["logins", "requests"]);
    assert_eq!(names("/v1/groups/other"), ["logins"]);
}

#[test]
fn a_request_keeps_the_id_that_its_client_gave_it() {
    let server = Running::start(LOGINS);
    let id = |given: &str| {
        let reply = server.send("GET", "/healthz", &[("x-request-id", given)], "");
        reply.header("x-request-id").to_owned()
    };
    assert_eq!(id("abc-1"), "abc-1");
    let (first, second) = (id("with space"), id(&"x".repeat(129)));
    assert!(first != second && first.len() > 16 && !first.contains(' '), "{first} {second}");
}
