//! What the server adds to a bare handler: `cargo bench -p dictrack-server`.
//!
//! Each round measures a bare axum handler that parses the same body, then this server, with the same clients in the same process.
//! Ratios are of one round. Arguments choose parts: `single`, `fsync`, `uploads`.
#![expect(clippy::print_stdout, reason = "it is what a benchmark is for")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use dictrack::clock::Stopwatch;
use dictrack::json::{Bounds, Json};
use dictrack::template::Template;
use dictrack::{Durability, Manager, SqliteStore, TrackerDefinition, block_on};
use dictrack_server::{Config, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Runtime;

const TRACKERS: &str = r#"[
    {"name": "logins", "kind": "count", "target": 1000000, "conditions": [{"key": "event", "eq": "login"}]},
    {"name": "orders", "kind": "count", "target": 1000000, "conditions": [{"key": "event", "eq": "order"}]},
    {"name": "spent", "kind": "sum", "key": "amount", "target": 100000000, "conditions": [{"key": "event", "eq": "order"}]}
]"#;
const DOCUMENT: &str =
    r#"{"event": "order", "amount": 12.50, "customer": {"country": "DE", "plan": "pro"}, "items": [1, 2, 3]}"#;
/// Groups that the clients use in turn.
const GROUPS: usize = 1_000;
const ROUND: Duration = Duration::from_secs(2);
const ROUNDS: usize = 3;

fn main() {
    let chosen: Vec<_> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let runs = |part: &str| chosen.is_empty() || chosen.iter().any(|chosen| chosen == part);
    if runs("single") {
        single("single, 64 connections, os", 64, Durability::Os);
    }
    if runs("fsync") {
        single("single, 256 connections, fsync", 256, Durability::Fsync);
    }
    if runs("uploads") {
        uploads();
    }
}

struct Running {
    address: SocketAddr,
    runtime: Option<Runtime>,
    _folder: tempfile::TempDir,
}

impl Running {
    fn start(durability: Durability) -> Self {
        let folder = tempfile::tempdir().expect("there is a temporary folder");
        let store = Arc::new(SqliteStore::open(folder.path().join("bench.db")).expect("a new file can be opened"));
        let list = Json::parse(TRACKERS.as_bytes()).expect("it is JSON");
        let trackers = list.as_list().into_iter().flatten();
        let trackers = trackers.map(|json| TrackerDefinition::from_json(json).expect("it is valid"));
        let everyone = Template::everyone(trackers).expect("names are distinct");
        let manager = Manager::builder().trackers([everyone]).store(Arc::clone(&store)).durability(durability).open();
        let manager = block_on(manager).expect("a new store can be used");
        let config = Config::default().listen(([127, 0, 0, 1], 0).into()).store(store);
        let runtime = runtime();
        let server = runtime.block_on(Server::bind(manager, config)).expect("an address is free");
        let address = server.address();
        runtime.spawn(server.run());
        Self { address, runtime: Some(runtime), _folder: folder }
    }

    fn bare() -> Self {
        async fn parse(body: Bytes) -> String {
            match Json::parse_within(&body, Bounds::DOCUMENT) {
                Ok(json) => format!("{{\"kind\":\"{}\"}}", json.kind()),
                Err(error) => error.to_string(),
            }
        }
        let runtime = runtime();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("an address is free");
        let address = listener.local_addr().expect("it is bound");
        let router = Router::new().route("/v1/groups/{group}/track", post(parse));
        let listener = axum::serve::ListenerExt::tap_io(listener, |stream| _ = stream.set_nodelay(true));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { address, runtime: Some(runtime), _folder: tempfile::tempdir().expect("there is a temporary folder") }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads can be started")
}

/// What clients saw in a round.
struct Seen {
    a_second: f64,
    median: Duration,
    p99: Duration,
}

fn single(name: &str, connections: usize, durability: Durability) {
    println!("{name}");
    let (bare, server) = (Running::bare(), Running::start(durability));
    let clients = runtime();
    for round in 1..=ROUNDS {
        let [bare, ours] = [&bare, &server].map(|running| clients.block_on(load(running.address, connections)));
        let show = |what: &str, seen: &Seen| {
            let Seen { a_second, median, p99 } = seen;
            println!("  {round} {what:<7} {a_second:>9.0} requests/s   median {median:>9.1?}   p99 {p99:>9.1?}");
        };
        show("bare", &bare);
        show("server", &ours);
        let p99 = ours.p99.as_secs_f64() / bare.p99.as_secs_f64();
        println!(
            "  {round} ratio   {:>9.2} requests/s                        p99 {p99:>9.2}",
            ours.a_second / bare.a_second
        );
    }
}

async fn load(address: SocketAddr, connections: usize) -> Seen {
    let watch = Stopwatch::start();
    let clients: Vec<_> = (0..connections).map(|client| tokio::spawn(ask(address, client, watch))).collect();
    let mut times = Vec::new();
    for client in clients {
        times.extend(client.await.expect("a client does not panic"));
    }
    let elapsed = watch.elapsed();
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    Seen { a_second: times.len() as f64 / elapsed.as_secs_f64(), median: at(0.5), p99: at(0.99) }
}

/// One client: the next request follows when the last one is answered.
async fn ask(address: SocketAddr, client: usize, since: Stopwatch) -> Vec<Duration> {
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("the server accepts");
    stream.set_nodelay(true).expect("it is a socket");
    let (mut times, mut answer) = (Vec::new(), vec![0; 16 << 10]);
    let mut group = client * 7;
    while since.elapsed() < ROUND {
        group = (group + 1) % GROUPS;
        let request = format!(
            "POST /v1/groups/user_{group:04}/track HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{DOCUMENT}",
            DOCUMENT.len()
        );
        let watch = Stopwatch::start();
        stream.write_all(request.as_bytes()).await.expect("the server reads");
        let mut read = 0;
        loop {
            let more = stream.read(&mut answer[read..]).await.expect("the server answers");
            assert!(more > 0, "the server closed the connection");
            read += more;
            if is_whole(&answer[..read]) {
                break;
            }
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..read]));
        times.push(watch.elapsed());
    }
    times
}

fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.and_then(|length| length.parse().ok()).is_some_and(|length: usize| body.len() >= length)
}

/// Documents in one upload.
const LINES: usize = 300_000;

fn uploads() {
    let mut body = String::new();
    for line in 0..LINES {
        let group = line * 7 % GROUPS;
        body += &format!("{{\"group\": \"user_{group:04}\", \"document\": {DOCUMENT}}}\n");
    }
    for durability in [Durability::Os, Durability::Fsync] {
        for results in ["errors", "all"] {
            println!("uploads of {LINES} documents, {durability}, results={results}");
            let server = Running::start(durability);
            for round in 1..=ROUNDS {
                let watch = Stopwatch::start();
                let answered = upload(server.address, results, body.as_bytes());
                let elapsed = watch.elapsed();
                let a_second = LINES as f64 / elapsed.as_secs_f64();
                println!("  {round} {a_second:>9.0} documents/s, {} MiB answered", answered >> 20);
            }
        }
    }
}

/// Uploads a body while the answer is read. Returns the length of the answer.
fn upload(address: SocketAddr, results: &str, body: &[u8]) -> usize {
    let stream = TcpStream::connect(address).expect("the server accepts");
    let mut reader = stream.try_clone().expect("there are file descriptors");
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || {
            let (mut part, mut length, mut end) = (vec![0; 256 << 10], 0, Vec::new());
            loop {
                let read = reader.read(&mut part).expect("the server answers");
                length += read;
                end.extend_from_slice(&part[..read]);
                end.drain(..end.len().saturating_sub(5));
                if read == 0 || end == b"0\r\n\r\n" {
                    return length;
                }
            }
        });
        let mut stream = &stream;
        let head = format!(
            "POST /v1/documents?results={results} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).expect("the server reads");
        reading.join().expect("the reader does not panic")
    })
}
