//! Who may do what.

mod support;

use std::sync::Arc;

use dictrack::store::{DataStore as _, MemoryStore};
use dictrack::{Manager, block_on};
use dictrack_server::keys::{self, NewKey, Scope};
use dictrack_server::{Config, ServeError};
use dictrack_testkit::Reply;
use serde_json::json;
use support::{JSON, LINES, Running, assert_problem, json as parsed, lines};

const ALL: &str = r#"[{"name": "all", "kind": "count"}]"#;

/// A server whose store has these keys, and what clients send.
fn keyed(new: Vec<NewKey>) -> (Running, Vec<String>) {
    let store = Arc::new(MemoryStore::default());
    let manager = block_on(Manager::builder().store(Arc::clone(&store)).open()).unwrap();
    let tokens = new.into_iter().map(|new| block_on(keys::create(&manager, new)).unwrap().1).collect();
    block_on(manager.close()).unwrap();
    (Running::on(store, ALL, |config| config), tokens)
}

fn send(server: &Running, token: &str, method: &str, path: &str, body: &str) -> Reply {
    let given = format!("Bearer {token}");
    server.send(method, path, &[JSON[0], ("authorization", &given)], body)
}

/// Each call, with the scope that it needs.
const CALLS: &[(&str, &str, &str, Scope)] = &[
    ("POST", "/v1/groups/u/track", "{}", Scope::Track),
    ("POST", "/v1/groups/u/admit", "{}", Scope::Track),
    ("POST", "/v1/groups/u/explain", "{}", Scope::Read),
    ("GET", "/v1/groups/u/peek", "", Scope::Read),
    ("GET", "/v1/groups/u", "", Scope::Read),
    ("GET", "/v1/groups/u/attributes", "", Scope::Read),
    ("PATCH", "/v1/groups/u/attributes", "{}", Scope::Track),
    ("GET", "/v1/groups/u/trackers/all/periods", "", Scope::Read),
    ("POST", "/v1/groups/u/trackers/all/reset", "", Scope::Admin),
    ("GET", "/v1/groups", "", Scope::Read),
    ("POST", "/v1/documents", "[]", Scope::Track),
    ("GET", "/v1/keys", "", Scope::Admin),
    ("POST", "/v1/keys", r#"{"scopes": ["read"]}"#, Scope::Admin),
    ("GET", "/metrics", "", Scope::Read),
    ("DELETE", "/v1/keys/0", "", Scope::Admin),
    ("DELETE", "/v1/groups/u", "", Scope::Admin),
];

#[test]
fn each_call_needs_a_key_with_its_scope() {
    let new = Scope::ALL.map(|scope| NewKey::new(scope.name(), [scope]));
    let (server, tokens) = keyed(new.into());
    for (method, path, body, needed) in CALLS {
        assert_problem(&server.send(method, path, JSON, body), 401, "unauthorized");
        for (scope, token) in Scope::ALL.iter().zip(&tokens) {
            let reply = send(&server, token, method, path, body);
            if scope == needed || *scope == Scope::Admin {
                assert!(reply.status == 200 || reply.status == 404, "{method} {path} with {scope}: {}", reply.text());
            } else {
                assert_problem(&reply, 403, "forbidden");
            }
        }
    }
    // The list above has all calls except those that need no key.
    let described: serde_json::Value = serde_json::from_str(&dictrack_server::openapi()).unwrap();
    let operations = described["paths"].as_object().unwrap().values().map(|path| {
        path.as_object()
            .unwrap()
            .keys()
            .filter(|key| ["get", "post", "patch", "delete", "put"].contains(&key.as_str()))
            .count()
    });
    assert_eq!(operations.sum::<usize>(), CALLS.len() + 3);
    for open in ["/healthz", "/readyz", "/openapi.json"] {
        assert_eq!(server.send("GET", open, &[], "").status, 200, "{open}");
    }
}

#[test]
fn a_wrong_key_is_refused_and_not_repeated() {
    let (server, tokens) = keyed(vec![NewKey::new("a", [Scope::Admin])]);
    let token = &tokens[0];
    let (id, secret) = token.strip_prefix("dt_").unwrap().split_once('_').unwrap();
    for wrong in [
        String::new(),
        format!("Bearer {token}x"),
        format!("Bearer dt_{id}_{}", "0".repeat(secret.len())),
        format!("Bearer {secret}"),
        format!("Basic {token}"),
        token.clone(),
        "Bearer".to_owned(),
        "Bearer é".to_owned(),
    ] {
        let reply = server.send("GET", "/v1/groups", &[("authorization", &wrong)], "");
        assert_problem(&reply, 401, "unauthorized");
        assert!(reply.header("www-authenticate").starts_with("Bearer"));
        assert!(!reply.text().contains(secret) && !reply.text().contains("000000"), "{}", reply.text());
    }
    let shown = send(&server, token, "GET", "/v1/keys", "");
    assert!(shown.text().contains(id) && !shown.text().contains(secret) && !shown.text().contains("sha256"));
    let lower = format!("bearer  {token}");
    assert_eq!(server.send("GET", "/v1/groups", &[("authorization", &lower)], "").status, 200);
}

#[test]
fn a_key_with_a_prefix_only_sees_its_groups() {
    let (server, tokens) = keyed(vec![
        NewKey::new("shop", [Scope::Track, Scope::Read, Scope::Admin]).prefix("shop:"),
        NewKey::new("all", [Scope::Admin]),
    ]);
    let [shop, all] = &tokens[..] else { unreachable!() };
    for group in ["shop:1", "shop:", "shop", "other", "shop:2", "zoo"] {
        let expected = if group.starts_with("shop:") { 200 } else { 403 };
        let path = format!("/v1/groups/{group}/track");
        assert_eq!(send(&server, shop, "POST", &path, "{}").status, expected, "{group}");
        assert_eq!(send(&server, all, "POST", &path, "{}").status, 200, "{group}");
        assert_eq!(send(&server, shop, "GET", &format!("/v1/groups/{group}"), "").status, expected, "{group}");
    }
    let list = |path: &str| parsed(&send(&server, shop, "GET", path, ""));
    assert_eq!(list("/v1/groups"), json!({"groups": ["shop:", "shop:1", "shop:2"], "next": null}));
    assert_eq!(list("/v1/groups?limit=2"), json!({"groups": ["shop:", "shop:1"], "next": "shop:1"}));
    assert_eq!(list("/v1/groups?after=shop:1"), json!({"groups": ["shop:2"], "next": null}));
    assert_eq!(list("/v1/groups?after=shop:"), json!({"groups": ["shop:1", "shop:2"], "next": null}));
    assert_eq!(list("/v1/groups?after=a")["groups"].as_array().unwrap().len(), 3);
    assert_eq!(list("/v1/groups?after=z"), json!({"groups": [], "next": null}));
    assert_problem(&send(&server, shop, "GET", "/v1/keys", ""), 403, "forbidden");
    assert_problem(&send(&server, shop, "GET", "/metrics", ""), 403, "forbidden");

    let given = format!("Bearer {shop}");
    let body = "{\"group\": \"shop:9\", \"document\": {}}\n{\"group\": \"zoo\", \"document\": {}}\n";
    let results = lines(&server.send("POST", "/v1/documents", &[LINES[0], ("authorization", &given)], body));
    assert!(results[0].get("outcome").is_some());
    assert_eq!(results[1]["problem"]["code"], "forbidden");
}

#[test]
fn keys_are_made_and_revoked_while_the_server_runs() {
    let server = Running::start(ALL);
    assert_eq!(server.call("GET", "/v1/groups", "").0, 200);
    let refused = server.send("POST", "/v1/keys", JSON, r#"{"name": "a", "scopes": ["read"]}"#);
    assert_problem(&refused, 400, "invalid_body");
    let (status, made) = server.call("POST", "/v1/keys", r#"{"name": "operator", "scopes": ["admin"]}"#);
    assert_eq!(status, 200);
    let admin = made["token"].as_str().unwrap();
    assert_problem(&server.send("GET", "/v1/groups", JSON, ""), 401, "unauthorized");

    let made = send(&server, admin, "POST", "/v1/keys", r#"{"name": "app", "scopes": ["read"], "prefix": "a"}"#);
    assert_eq!(made.header("cache-control"), "no-store");
    let app = parsed(&made);
    let token = app["token"].as_str().unwrap();
    assert_eq!(send(&server, token, "GET", "/v1/groups", "").status, 200);
    let listed = parsed(&send(&server, admin, "GET", "/v1/keys", ""));
    assert_eq!(listed["keys"].as_array().unwrap().len(), 2);
    assert!(listed["keys"].as_array().unwrap().contains(&app["key"]));
    for wrong in [
        "[]",
        "{}",
        r#"{"scopes": []}"#,
        r#"{"scopes": ["x"]}"#,
        r#"{"scopes": ["read"], "x": 1}"#,
        r#"{"scopes": [1]}"#,
    ] {
        assert_problem(&send(&server, admin, "POST", "/v1/keys", wrong), 400, "invalid_body");
    }

    let path = format!("/v1/keys/{}", app["key"]["id"].as_str().unwrap());
    assert_eq!(send(&server, admin, "DELETE", &path, "").status, 200);
    assert_problem(&send(&server, admin, "DELETE", &path, ""), 404, "not_found");
    assert_problem(&send(&server, token, "GET", "/v1/groups", ""), 401, "unauthorized");
    // Without any key again, the server does not open itself.
    let id = admin.split('_').nth(1).unwrap();
    assert_eq!(send(&server, admin, "DELETE", &format!("/v1/keys/{id}"), "").status, 200);
    assert_problem(&server.send("GET", "/v1/groups", JSON, ""), 401, "unauthorized");
}

#[test]
fn keys_that_another_process_changed_are_read_on_reload() {
    let (server, tokens) = keyed(vec![NewKey::new("a", [Scope::Admin])]);
    let id = tokens[0].split('_').nth(1).unwrap();
    let mark = dictrack::store::Mark { name: format!("dictrack:key:{id}"), text: None };
    block_on(server.store.save(&[], &[mark])).unwrap();
    assert_eq!(send(&server, &tokens[0], "GET", "/v1/groups", "").status, 200);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(server.handle.reload()).unwrap();
    assert_problem(&send(&server, &tokens[0], "GET", "/v1/groups", ""), 401, "unauthorized");
}

#[test]
fn without_keys_only_this_machine_is_served() {
    let manager = Manager::in_memory();
    let refused = support::serve(manager, Config::default().listen(([0, 0, 0, 0], 0).into()));
    let error = refused.map(|_| ()).unwrap_err();
    assert!(matches!(error, ServeError::NoKeys(_)) && error.to_string().contains("dictrack keys create"), "{error}");

    let server = Running::start(ALL);
    for headers in [
        &[("host", "evil.example")][..],
        &[("host", "evil.example:3428"), ("origin", "http://evil.example:3428")],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
    ] {
        assert_problem(&server.send("POST", "/v1/groups/u/track", headers, "{}"), 403, "forbidden");
    }
    let own = format!("127.0.0.1:{}", server.address.port());
    let origin = format!("http://{own}");
    assert_eq!(server.send("GET", "/v1/groups", &[("host", &own), ("origin", &origin)], "").status, 200);
    // With a key, where a request comes from does not matter: no page of another origin has one.
    let (server, tokens) = keyed(vec![NewKey::new("a", [Scope::Read])]);
    let given = format!("Bearer {}", tokens[0]);
    assert_eq!(server.send("GET", "/v1/groups", &[("host", "app.example"), ("authorization", &given)], "").status, 200);
}
