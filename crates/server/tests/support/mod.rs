//! A server on a real socket, for one test.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use dictrack::clock::TestClock;
use dictrack::json::Json;
use dictrack::store::{DataStore, MemoryStore};
use dictrack::template::Template;
use dictrack::{Manager, ManagerBuilder, Timestamp, TrackerDefinition, block_on};
use dictrack_server::{Config, Handle, ServeError, Server};
use dictrack_testkit::{Http, Reply};
use serde_json::Value;

/// The headers of a request with a JSON body.
pub(crate) const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
/// The headers of a request with lines of JSON.
pub(crate) const LINES: &[(&str, &str)] = &[("content-type", "application/x-ndjson")];

/// The moment at which the clock of a test begins: 2026-01-01T00:00:00Z.
pub(crate) const START: i64 = 1_767_225_600;

/// A running server.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) handle: Handle,
    pub(crate) manager: Manager,
    pub(crate) store: Arc<dyn DataStore>,
    pub(crate) clock: Arc<TestClock>,
    thread: Option<JoinHandle<Result<(), ServeError>>>,
}

impl Running {
    /// A server with these trackers, on a store in memory and with a clock of its own.
    pub(crate) fn start(trackers: &str) -> Self {
        Self::with(trackers, |config| config)
    }

    /// Like [`start`](Self::start), with other options.
    pub(crate) fn with(trackers: &str, change: impl FnOnce(Config) -> Config) -> Self {
        Self::on(Arc::new(MemoryStore::default()), trackers, change)
    }

    /// Like [`with`](Self::with), on a store of its own.
    pub(crate) fn on(store: Arc<dyn DataStore>, trackers: &str, change: impl FnOnce(Config) -> Config) -> Self {
        Self::built(Manager::builder().trackers([everyone(trackers)]), store, change)
    }

    /// A server for the manager that `builder` makes on a store.
    pub(crate) fn built(
        builder: ManagerBuilder,
        store: Arc<dyn DataStore>,
        change: impl FnOnce(Config) -> Config,
    ) -> Self {
        let clock = Arc::new(TestClock::new(Timestamp::from_secs(START)));
        let builder = builder.store(Arc::clone(&store)).shared_clock(Arc::clone(&clock) as _);
        let manager = block_on(builder.open()).unwrap();
        let config = change(Config::default().listen(([127, 0, 0, 1], 0).into()).store(Arc::clone(&store)));
        let (address, handle, thread) = serve(manager.clone(), config).unwrap();
        Self { address, handle, manager, store, clock, thread: Some(thread) }
    }

    pub(crate) fn connect(&self) -> Http {
        Http::connect(self.address)
    }

    /// Sends a request on a connection of its own.
    #[track_caller]
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Reply {
        self.connect().send(method, path, headers, body)
    }

    /// Sends a JSON body, which may be empty. Returns the status and the answer.
    #[track_caller]
    pub(crate) fn call(&self, method: &str, path: &str, body: impl AsRef<[u8]>) -> (u16, Value) {
        let reply = self.send(method, path, JSON, body);
        (reply.status, json(&reply))
    }

    /// Stops it and waits for its end.
    pub(crate) fn stop(mut self) -> Result<(), ServeError> {
        self.handle.stop();
        self.thread.take().expect("it runs").join().expect("it does not panic")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(std::thread::panicking() || ended.is_ok(), "the server panicked");
        }
    }
}

type Thread = JoinHandle<Result<(), ServeError>>;

/// Starts a server on threads of its own.
pub(crate) fn serve(manager: Manager, config: Config) -> Result<(SocketAddr, Handle, Thread), ServeError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let server = runtime.block_on(Server::bind(manager, config))?;
    let (address, handle) = (server.address(), server.handle());
    let thread = std::thread::spawn(move || runtime.block_on(server.run()));
    Ok((address, handle, thread))
}

/// The trackers in a JSON list, for all groups.
pub(crate) fn everyone(list: &str) -> Template {
    Template::everyone(definitions(list)).unwrap()
}

/// The definitions in a JSON list.
pub(crate) fn definitions(list: &str) -> Vec<TrackerDefinition> {
    let list = Json::parse(list.as_bytes()).unwrap();
    list.as_list().unwrap().iter().map(|json| TrackerDefinition::from_json(json).unwrap()).collect()
}

/// The body of an answer.
#[track_caller]
pub(crate) fn json(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap_or_else(|error| panic!("{error}: {:?}", reply.text()))
}

/// The bodies of an answer in lines.
#[track_caller]
pub(crate) fn lines(reply: &Reply) -> Vec<Value> {
    reply
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// Checks that an answer is a problem with this code.
#[track_caller]
pub(crate) fn assert_problem(reply: &Reply, status: u16, code: &str) {
    let shown = String::from_utf8_lossy(&reply.body);
    assert_eq!(reply.status, status, "{shown}");
    assert_eq!(reply.header("content-type"), "application/problem+json", "{shown}");
    let problem = json(reply);
    assert_eq!(problem["code"], code, "{shown}");
    assert_eq!(problem["status"], status, "{shown}");
    assert!(problem["type"].as_str().is_some_and(|uri| uri.ends_with(code) || code == "quota_exceeded"), "{shown}");
    assert!(
        !problem["detail"].as_str().unwrap().is_empty() && !problem["title"].as_str().unwrap().is_empty(),
        "{shown}"
    );
    assert!(!reply.header("x-request-id").is_empty());
}
