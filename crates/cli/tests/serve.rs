//! The real server as a process: it is killed, stopped, told to reload, and misused.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use dictrack::clock::Stopwatch;
use dictrack::json::Json;
use dictrack_testkit::{Http, Reply};

const TRACKERS: &str = r#"
[[trackers]]
name = "all"
kind = "count"
target = [1000000]

[[trackers]]
name = "tens"
kind = "count"
target = 10
loop_forever = true
"#;
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

/// A server process, killed on drop.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(folder: &Path, more: &[&str]) -> Self {
        std::fs::write(folder.join("trackers.toml"), TRACKERS).unwrap();
        let mut child = command(folder)
            .args(["serve", "--trackers", "trackers.toml", "--listen", "127.0.0.1:0"])
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().map_or_else(String::new, |line| line.unwrap());
        let address =
            first.rsplit("://").next().unwrap().parse().unwrap_or_else(|_| panic!("unexpected line {first:?}"));
        // The rest is read, or the server would get a closed pipe.
        thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        Http::connect(self.address).send(method, path, headers, body)
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dictrack"));
    command.current_dir(folder);
    for variable in ["DICTRACK_STORE", "DICTRACK_STORE_FILE", "DICTRACK_CACHE", "DICTRACK_CACHE_FILE"] {
        command.env_remove(variable);
    }
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    command(folder).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn json(reply: &Reply) -> Json {
    Json::parse(&reply.body).unwrap()
}

fn at<'a>(json: &'a Json, path: &[&str]) -> &'a Json {
    path.iter().fold(json, |json, key| match (json, key.parse::<usize>()) {
        (Json::List(items), Ok(at)) => &items[at],
        _ => json.as_map().and_then(|map| map.get(key)).unwrap_or(&Json::Null),
    })
}

/// How often the server is killed: `DICTRACK_KILLS`, or this.
const KILLS: usize = 8;
const CLIENTS: usize = 4;

#[test]
fn a_kill_loses_nothing_that_was_acknowledged_and_doubles_nothing() {
    let kills = std::env::var("DICTRACK_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let folder = tempfile::tempdir().unwrap();
    // How many documents each client has acknowledged; each sends its own ids in order.
    let acknowledged: Arc<Vec<AtomicUsize>> = Arc::new((0..CLIENTS).map(|_| AtomicUsize::new(0)).collect());
    let mut events = Vec::new();
    for kill in 0..=kills {
        let durability = if kill % 2 == 0 { "os" } else { "fsync" };
        let server = Server::start(folder.path(), &["--store", "s.db", "--durability", durability]);
        let known: usize = acknowledged.iter().map(|sent| sent.load(Ordering::Relaxed)).sum();
        let shown = json(&server.send("GET", "/v1/groups/u", &[], ""));
        let progress: usize = at(&shown, &["trackers", "0", "progress"]).to_string().parse().unwrap_or(0);
        // Each client may have had one document in flight.
        assert!((known..=known + CLIENTS).contains(&progress), "{progress} counted, {known} acknowledged");

        let ending = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (acknowledged, ending, address) = (Arc::clone(&acknowledged), Arc::clone(&ending), server.address);
                thread::spawn(move || load(client, address, &acknowledged[client], &ending))
            })
            .collect();
        // At another moment each time.
        thread::sleep(Duration::from_millis(60 + (kill as u64 * 37) % 150));
        if kill == kills {
            ending.store(true, Ordering::Relaxed);
            clients.into_iter().for_each(|client| events.extend(client.join().unwrap()));
            let sent: usize = acknowledged.iter().map(|sent| sent.load(Ordering::Relaxed)).sum();
            let shown = json(&server.send("GET", "/v1/groups/u", &[], ""));
            assert_eq!(at(&shown, &["trackers", "0", "progress"]).to_string(), sent.to_string());
            assert!(sent > 100 * kills / 8, "only {sent} documents were sent");
            let distinct: HashSet<_> = events.iter().collect();
            assert_eq!(distinct.len(), events.len(), "an event was answered twice");
            // At most the answers that a kill swallowed are missing.
            let stages = sent / 10;
            let heard = events.iter().filter(|(event, _)| event == "stage_completed").count();
            assert!((stages.saturating_sub(kills * CLIENTS)..=stages).contains(&heard), "{heard} of {stages}");
        } else {
            drop(server);
            clients.into_iter().for_each(|client| events.extend(client.join().unwrap()));
        }
    }
}

/// Sends documents one after another until the server is gone. Returns the events in the answers.
fn load(client: usize, address: SocketAddr, acknowledged: &AtomicUsize, ending: &AtomicBool) -> Vec<(String, String)> {
    let mut events = Vec::new();
    let Ok(mut connection) = Http::try_connect(address) else { return events };
    while !ending.load(Ordering::Relaxed) {
        let path = format!("/v1/groups/u/track?id={client}-{}", acknowledged.load(Ordering::Relaxed));
        let Ok(reply) = connection.try_send("POST", &path, JSON, b"{}") else { break };
        assert_eq!(reply.status, 200, "{}", reply.text());
        acknowledged.fetch_add(1, Ordering::Relaxed);
        let outcome = json(&reply);
        for event in at(&outcome, &["events"]).as_list().unwrap() {
            events.push((at(event, &["event"]).as_str().unwrap().to_owned(), at(event, &["id"]).to_string()));
        }
    }
    events
}

#[test]
fn a_signal_ends_the_server_with_everything_written() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["TERM", "INT"] {
        let mut server = Server::start(folder.path(), &["--store", "s.db", "--durability", "interval(10s)"]);
        assert_eq!(server.send("POST", "/v1/groups/u/track", JSON, "{}").status, 200);
        let watch = Stopwatch::start();
        server.signal(name);
        assert!(server.child.wait().unwrap().success());
        assert!(watch.elapsed() < Duration::from_secs(5), "{:?}", watch.elapsed());
    }
    let shown = run(folder.path(), &["show", "u", "--store", "s.db", "--output", "json"]);
    assert!(text(&shown.stdout).contains("\"progress\":2,"), "{}", text(&shown.stdout));
}

#[test]
fn keys_are_managed_by_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let made = run(folder, &["keys", "create", "--name", "op", "--scope", "admin", "--store", "s.db"]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let token = text(&made.stdout).trim().to_owned();
    let id = token.split('_').nth(1).unwrap().to_owned();
    let listed = text(&run(folder, &["keys", "list", "--store", "s.db"]).stdout);
    assert!(listed.contains(&id) && listed.contains("admin") && !listed.contains(&token), "{listed}");
    let store = std::fs::read(folder.join("s.db")).unwrap();
    let secret = token.rsplit('_').next().unwrap().as_bytes();
    assert!(!store.windows(secret.len()).any(|window| window == secret), "the store contains the secret");

    let server = Server::start(folder, &["--store", "s.db"]);
    assert_eq!(server.send("GET", "/v1/groups", &[], "").status, 401);
    let given = format!("Bearer {token}");
    assert_eq!(server.send("GET", "/v1/groups", &[("authorization", &given)], "").status, 200);
    let owned = run(folder, &["keys", "revoke", &id, "--store", "s.db"]);
    assert!(!owned.status.success() && text(&owned.stderr).contains("in use"), "{}", text(&owned.stderr));
    assert!(run(folder, &["keys", "list", "--store", "s.db"]).status.success());
    drop(server);
    let unknown = run(folder, &["keys", "revoke", "nope", "--store", "s.db"]);
    assert!(!unknown.status.success() && text(&unknown.stderr).contains("no key \"nope\""));
    assert!(run(folder, &["keys", "revoke", &id, "--store", "s.db"]).status.success());
    assert_eq!(text(&run(folder, &["keys", "list", "--store", "s.db"]).stdout), "no keys\n");
    let nowhere = run(folder, &["keys", "list"]);
    assert!(!nowhere.status.success() && text(&nowhere.stderr).contains("--store"), "{}", text(&nowhere.stderr));
    let wrong = run(folder, &["keys", "create", "--scope", "write", "--store", "s.db"]);
    assert!(text(&wrong.stderr).contains("expected track, read, define or admin"), "{}", text(&wrong.stderr));
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let refused = |arguments: &[&str], expected: &str| {
        let ended = run(folder, arguments);
        let said = text(&ended.stderr);
        assert!(!ended.status.success() && said.contains(expected), "{said}");
    };
    refused(&["serve", "--listen", "0.0.0.0:0"], "dictrack keys create");
    refused(&["serve", "--trackers", "missing.toml"], "missing.toml");
    refused(&["serve", "--tls-cert", "a.pem", "--tls-key", "a.key", "--listen", "127.0.0.1:0"], "a.pem");
    refused(&["serve", "--tls-cert", "a.pem"], "--tls-key");
    refused(&["serve", "--listen", "localhost"], "--listen");
    std::fs::write(
        folder.join("custom.json"),
        r#"[{"name": "c", "kind": "count", "conditions": [{"custom": "mine"}]}]"#,
    )
    .unwrap();
    refused(&["serve", "--trackers", "custom.json"], "mine");
    let _server = Server::start(folder, &["--store", "s.db"]);
    refused(&["serve", "--store", "s.db", "--listen", "127.0.0.1:0"], "in use");
}

#[test]
fn requests_are_logged_as_json_with_their_ids() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("trackers.toml"), TRACKERS).unwrap();
    let mut child = command(folder.path())
        .args(["serve", "--trackers", "trackers.toml", "--listen", "127.0.0.1:0", "--log", "json", "--log-requests"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let address = first.rsplit("://").next().unwrap().parse().unwrap();
    let mut client = Http::connect(address);
    let headers = [JSON[0], ("x-request-id", "abc"), ("authorization", "Bearer dt_secret")];
    client.send("POST", "/v1/groups/%0Au%E2%80%AE/track?id=s", &headers, "{}");
    client.send("PATCH", "/v1/groups/u/attributes", &headers, "{\"zone\": 1}");
    let server = Server { child, address };
    server.signal("TERM");
    let mut server = server;
    let mut log = String::new();
    server.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    let requests: Vec<_> = log
        .lines()
        .filter_map(|line| Json::parse(line.as_bytes()).ok())
        .filter(|line| at(line, &["message"]).as_str() == Some("request"))
        .collect();
    assert_eq!(requests.len(), 2, "{log}");
    assert_eq!(at(&requests[0], &["request_id"]).as_str(), Some("abc"));
    assert_eq!(at(&requests[0], &["status"]), &200_u64.into());
    assert_eq!(at(&requests[1], &["status"]), &422_u64.into());
    assert!(!log.contains("dt_secret") && !log.contains('\u{202e}'), "{log}");
}

#[test]
fn thousands_of_idle_connections_hinder_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &["--store", "s.db"]);
    let resident = || -> usize {
        let pages = std::fs::read_to_string(format!("/proc/{}/statm", server.child.id())).unwrap();
        pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    };
    assert_eq!(server.send("POST", "/v1/groups/u/track", JSON, "{}").status, 200);
    let before = resident();
    // This process may have fewer file descriptors than the server.
    let idle: Vec<_> = (0..IDLE).map_while(|_| TcpStream::connect(server.address).ok()).collect();
    assert!(idle.len() >= 500, "only {} connections", idle.len());
    let watch = Stopwatch::start();
    for _ in 0..20 {
        assert_eq!(server.send("POST", "/v1/groups/u/track", JSON, "{}").status, 200);
    }
    assert!(watch.elapsed() < Duration::from_secs(10), "{:?}", watch.elapsed());
    let more = resident().saturating_sub(before);
    assert!(more < (64 << 20), "{} connections take {} MiB", idle.len(), more >> 20);
}

/// How many connections do nothing.
const IDLE: usize = 10_000;

#[test]
fn a_hangup_reads_the_keys_and_the_certificate_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &["--store", "s.db"]);
    server.signal("HUP");
    // It goes on.
    assert_eq!(server.send("GET", "/healthz", &[], "").status, 200);
    thread::sleep(Duration::from_millis(100));
    assert_eq!(server.send("GET", "/healthz", &[], "").status, 200);
}
