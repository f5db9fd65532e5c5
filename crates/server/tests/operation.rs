//! Running a server: its end, its certificate, its metrics, its description.

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dictrack::clock::Stopwatch;
use dictrack::store::{DataStore, MemoryStore};
use dictrack::{SqliteStore, block_on};
use dictrack_server::{Config, ServeError, Tls};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use support::{JSON, LINES, Running, assert_problem, json as parsed, lines};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::ring};

const ALL: &str = r#"[
    {"name": "all", "kind": "count", "target": [1, 5], "limiters": [{"count": 3, "per": "day"}]},
    {"name": "daily", "kind": "count", "target": 1, "every": "day"},
    {"name": "once", "kind": "count", "target": 1},
    {"name": "sum", "kind": "sum", "key": "n", "loop_forever": true, "target": 10}
]"#;

#[test]
fn requests_in_progress_end_and_everything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.db");
    let open = || -> Arc<dyn DataStore> { Arc::new(SqliteStore::open(&path).unwrap()) };
    let server = Running::on(open(), ALL, |config| config);
    let mut client = server.connect();
    client.write(b"POST /v1/groups/u/track HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{").unwrap();
    let idle = server.connect();
    let mut upload = server.connect();
    let head = "POST /v1/documents HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\ncontent-length: 10000\r\n\r\n";
    upload.write(format!("{head}{{\"group\": \"v\", \"document\": {{}}}}\n").as_bytes()).unwrap();
    assert_eq!(upload.read_head().unwrap().0, 200);
    assert!(upload.read_chunk().unwrap().is_some());
    // The request has begun when its connection is known.
    dictrack_testkit::eventually("all requests have begun", || {
        server.send("GET", "/metrics", &[], "").text().contains("dictrack_http_requests_in_progress 2")
    });

    let watch = Stopwatch::start();
    server.handle.stop();
    std::thread::sleep(Duration::from_millis(100));
    client.write(b"}").unwrap();
    assert_eq!(client.read().unwrap().status, 200, "a request that has begun is answered");
    drop(idle);
    let address = server.address;
    server.stop().unwrap();
    assert!(watch.elapsed() < Duration::from_secs(5), "{:?}", watch.elapsed());
    assert!(TcpStream::connect(address).is_err(), "nothing listens any more");

    let server = Running::on(open(), ALL, |config| config);
    for group in ["u", "v"] {
        assert_eq!(server.call("GET", &format!("/v1/groups/{group}"), "").1["trackers"][0]["progress"], 1, "{group}");
    }
}

#[test]
fn an_address_in_use_is_an_error() {
    let server = Running::start(ALL);
    let config = Config::default().listen(server.address);
    let refused = support::serve(dictrack::Manager::in_memory(), config);
    let error = refused.map(|_| ()).unwrap_err();
    assert!(matches!(error, ServeError::Listen(..)) && error.to_string().contains("in use"), "{error}");
}

/// Writes a certificate of its own authority, and returns it.
fn certificate(folder: &Path) -> Tls {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["localhost".into()]).unwrap().self_signed(&key).unwrap();
    let tls = Tls { certificate: folder.join("server.pem"), key: folder.join("server.key") };
    std::fs::write(&tls.certificate, certificate.pem()).unwrap();
    std::fs::write(&tls.key, key.serialize_pem()).unwrap();
    tls
}

/// Asks over TLS, if the server has the certificate in that file.
fn ask_over_tls(server: &Running, trusted: &Path) -> Result<String, std::io::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(trusted).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(server.address)?);
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn a_renewed_certificate_is_used_for_new_connections() {
    let folder = tempfile::tempdir().unwrap();
    let tls = certificate(folder.path());
    let server = Running::with(ALL, |config| config.tls(tls.clone()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let old = folder.path().join("old.pem");
    std::fs::copy(&tls.certificate, &old).unwrap();
    assert!(ask_over_tls(&server, &old).unwrap().starts_with("HTTP/1.1 200"));

    certificate(folder.path());
    runtime.block_on(server.handle.reload()).unwrap();
    assert!(ask_over_tls(&server, &old).is_err());
    assert!(ask_over_tls(&server, &tls.certificate).unwrap().starts_with("HTTP/1.1 200"));

    // What cannot be read leaves the certificate as it is.
    let good = folder.path().join("good.pem");
    std::fs::copy(&tls.certificate, &good).unwrap();
    for broken in ["", "not PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        std::fs::write(&tls.certificate, broken).unwrap();
        let error = runtime.block_on(server.handle.reload()).unwrap_err();
        assert!(error.to_string().contains("server.pem"), "{error}");
        assert!(ask_over_tls(&server, &good).unwrap().starts_with("HTTP/1.1 200"));
    }
    // Whoever does not speak TLS is not answered.
    let mut plain = TcpStream::connect(server.address).unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn metrics_count_documents_events_and_requests() {
    let server =
        Running::start(r#"[{"name": "two", "kind": "count", "target": 9, "limiters": [{"count": 2, "per": "day"}]}]"#);
    for _ in 0..3 {
        server.call("POST", "/v1/groups/u/track", "{}");
    }
    server.call("POST", "/v1/groups/u/track?id=x", "{}");
    server.call("POST", "/v1/groups/u/track?id=x", "{}");
    server.call("POST", "/v1/groups/u/trackers/two/reset", "");
    server.send("POST", "/v1/documents", LINES, "{\"group\": \"u\", \"document\": {}}\nx");
    server.call("GET", "/nothing", "");
    assert_eq!(server.call("PATCH", "/v1/groups/u/attributes", r#"{"zone": "Mars"}"#).0, 422);
    let reply = server.send("GET", "/metrics", &[], "");
    assert_eq!(reply.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let text = reply.text();
    for line in [
        "dictrack_documents_total{result=\"counted\"} 3",
        "dictrack_documents_total{result=\"refused\"} 2",
        "dictrack_documents_total{result=\"duplicate\"} 1",
        "dictrack_documents_total{result=\"failed\"} 0",
        "dictrack_events_total{code=\"added\"} 1",
        "dictrack_events_total{code=\"reset\"} 1",
        "dictrack_http_requests_total{route=\"/v1/groups/{group}/track\",status=\"200\"} 5",
        "dictrack_http_requests_total{route=\"none\",status=\"404\"} 1",
        "dictrack_track_duration_seconds_count 5",
        "dictrack_http_requests_shed_total 0",
        "dictrack_store_retries_total 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    let number = |name: &str| -> f64 {
        let line =
            text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in\n{text}"));
        line.trim().parse().unwrap()
    };
    assert!(number("dictrack_commits_total ") >= 4.0 && number("dictrack_committed_groups_total ") >= 4.0);
    assert!(number("dictrack_commit_time_seconds_total ") > 0.0);
    assert!(text.contains(&format!("dictrack_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"))), "{text}");
}

#[test]
fn a_server_whose_store_failed_is_not_ready_and_acknowledges_nothing() {
    let server = Running::start(ALL);
    assert_eq!(server.call("GET", "/readyz", ""), (200, json!({"status": "ok"})));
    block_on(server.manager.close()).unwrap();
    assert_problem(&server.send("GET", "/readyz", &[], ""), 503, "closed");
    let refused = server.send("POST", "/v1/groups/u/track", JSON, "{}");
    assert_problem(&refused, 503, "closed");
    assert_eq!(server.call("GET", "/healthz", "").0, 200);
}

#[test]
fn the_description_is_the_committed_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let now = dictrack_server::openapi();
    if std::env::var_os("DICTRACK_SAVE_OPENAPI").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == now,
        "crates/server/openapi.json is out of date; set DICTRACK_SAVE_OPENAPI=1 and run this test again to save the new one"
    );
    let served = Running::start(ALL).send("GET", "/openapi.json", &[], "");
    assert_eq!(served.text(), now);
    let description: Value = serde_json::from_str(&now).unwrap();
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1."));
}

/// Checks answers against the schemas of the description.
struct Description(Value);

impl Description {
    #[track_caller]
    fn check(&self, name: &str, value: &Value) {
        let schema = json!({"$ref": format!("#/components/schemas/{name}"), "components": self.0["components"]});
        let validator = jsonschema::options().with_draft(jsonschema::Draft::Draft202012).build(&schema).unwrap();
        let errors: Vec<_> =
            validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{name}: {errors:#?}\n{value:#}");
        // A field that the description lacks would go unnoticed.
        let known = self.0["components"]["schemas"][name]["properties"].as_object();
        for key in value.as_object().into_iter().flatten().map(|(key, _)| key) {
            assert!(known.is_none_or(|known| known.contains_key(key)), "{name}.{key} is not described");
        }
    }
}

#[test]
fn answers_are_as_described() {
    let description = Description(serde_json::from_str(&dictrack_server::openapi()).unwrap());
    let server = Running::start(ALL);
    for _ in 0..4 {
        let (_, outcome) = server.call("POST", "/v1/groups/u/track", r#"{"n": 30}"#);
        description.check("Outcome", &outcome);
        for tracker in outcome["trackers"].as_array().unwrap() {
            description.check("Tracker", tracker);
        }
        for event in outcome["events"].as_array().unwrap() {
            description.check("Event", event);
        }
    }
    let (status, refused) = server.call("POST", "/v1/groups/u/admit", "{}");
    assert_eq!(status, 429);
    description.check("Problem", &json!({"type": refused["type"], "title": refused["title"], "status": refused["status"], "detail": refused["detail"], "code": refused["code"]}));
    description.check("Outcome", &refused["outcome"]);
    description.check("Explanations", &server.call("POST", "/v1/groups/u/explain", "{}").1);
    description.check("Trackers", &server.call("GET", "/v1/groups/u/peek", "").1);
    let (_, group) = server.call("GET", "/v1/groups/u", "");
    description.check("Group", &group);
    for tracker in group["trackers"].as_array().unwrap().iter().chain(group["completed"].as_array().unwrap()) {
        description.check("Tracker", tracker);
    }
    description.check("Periods", &server.call("GET", "/v1/groups/u/trackers/daily/periods", "").1);
    description.check("Attributes", &server.call("PATCH", "/v1/groups/u/attributes", r#"{"a": 1}"#).1);
    description.check("ResetDone", &server.call("POST", "/v1/groups/u/trackers/all/reset", "").1);
    description.check("Groups", &server.call("GET", "/v1/groups", "").1);
    description.check("Health", &server.call("GET", "/readyz", "").1);
    let reply = server.send("POST", "/v1/documents", LINES, "{\"group\": \"u\", \"document\": {}}\nx");
    lines(&reply).iter().for_each(|result| description.check("ItemResult", result));
    description.check("Deleted", &server.call("DELETE", "/v1/groups/u", "").1);
    let (_, made) = server.call("POST", "/v1/keys", r#"{"name": "operator", "scopes": ["admin"]}"#);
    description.check("KeyMade", &made);
    let given = format!("Bearer {}", made["token"].as_str().unwrap());
    description.check("KeyList", &parsed(&server.send("GET", "/v1/keys", &[("authorization", &given)], "")));
}

#[test]
fn a_memory_store_that_is_full_of_marks_keeps_other_marks() {
    let store: Arc<dyn DataStore> = Arc::new(MemoryStore::default());
    let other = dictrack::store::Mark { name: "run:trackers".to_owned(), text: Some("x".to_owned()) };
    block_on(store.save(&[], std::slice::from_ref(&other))).unwrap();
    let server = Running::on(Arc::clone(&store), ALL, |config| config);
    assert_eq!(server.call("GET", "/v1/keys", "").1, json!({"keys": []}));
    server.call("POST", "/v1/keys", r#"{"name": "operator", "scopes": ["admin"]}"#);
    let marks = block_on(store.marks()).unwrap();
    assert!(marks.len() == 2 && marks.contains(&other), "{marks:?}");
}
