//! The connection to Redis: one for all callers, reconnected when it breaks, with a bounded wait.

use std::fmt;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, ProtocolVersion, RedisError, RedisFuture, ServerErrorKind,
    TlsCertificates, Value,
};

use super::address::Address;
use super::script::Script;
use crate::Error;
use crate::backend::BackendError;
use crate::clock::Stopwatch;

/// A call gives up after this long, so that its caller gets the error within two seconds.
const GIVE_UP_AFTER: Duration = Duration::from_millis(1500);
/// One attempt may take this long.
const ATTEMPT: Duration = Duration::from_millis(700);
/// Making a connection may take this long.
const CONNECT: Duration = Duration::from_millis(500);
/// The pause before the second attempt, and the longest pause, up to which it doubles; in microseconds.
const PAUSE: (u64, u64) = (2_000, 100_000);

/// One connection that all callers share.
pub(super) struct Connection {
    address: Address,
    current: Mutex<Option<Link>>,
    connecting: tokio::sync::Mutex<()>,
    /// The number of connections made. What was learned over an earlier one may be out of date: the server behind it
    /// may have lost its memory.
    made: AtomicU64,
}

#[derive(Clone)]
struct Link {
    number: u64,
    wire: Wire,
}

#[derive(Clone)]
enum Wire {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Wire {
    fn send<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Single(connection) => connection.req_packed_command(command),
            Self::Cluster(connection) => connection.req_packed_command(command),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("address", &self.address).field("made", &self.made).finish_non_exhaustive()
    }
}

/// One server, addressed directly.
pub(super) struct Node {
    /// How messages name it.
    pub(super) name: String,
    wire: Wire,
}

impl Node {
    /// The answer to a command, in time.
    pub(super) async fn command(&mut self, command: &Cmd) -> Result<Value, RedisError> {
        let answer = tokio::time::timeout(GIVE_UP_AFTER, self.wire.send(command)).await;
        answer.unwrap_or_else(|_| Err(timeout("no answer"))).and_then(Value::extract_error)
    }
}

/// What an error means for the call.
enum Verdict {
    /// The connection is no longer usable; it is unknown whether the command was run.
    Broken,
    /// The server will be ready soon.
    Later,
    /// Retrying makes no sense.
    Final,
}

/// The code at the start of an error message. Redis before 7 hides it if a script ran the command: `ERR Error running
/// script (…): @user_script:12: WRONGTYPE …`.
fn code(error: &RedisError) -> Option<&str> {
    const OF_SCRIPTS: [&str; 6] = ["WRONGTYPE", "OOM", "MISCONF", "READONLY", "NOREPLICAS", "NOPERM"];
    let code = error.code();
    let detail = error.detail().filter(|_| code == Some("ERR")).unwrap_or_default();
    let Some((_, inner)) = detail.rsplit_once("@user_script") else { return code };
    if inner.contains("can't run this command") || inner.contains("can't access at least one of the keys") {
        return Some("NOPERM");
    }
    let word = |word: &&str| inner.split([' ', '-']).any(|found| found == *word);
    OF_SCRIPTS.into_iter().find(word).or(code)
}

/// What Redis says, without a login: a server quotes an unknown command with its arguments, and those of `AUTH` and
/// `HELLO` contain the login.
pub(crate) fn said(error: &RedisError) -> String {
    let words = error.to_string();
    match words.split_once(", with args beginning with") {
        Some((words, _)) => words.to_owned(),
        None => words,
    }
}

fn verdict(error: &RedisError) -> Verdict {
    if matches!(code(error), Some("NOREPLICAS" | "READONLY")) {
        return Verdict::Later;
    }
    match error.kind() {
        ErrorKind::Io | ErrorKind::ClusterConnectionNotFound | ErrorKind::Parse => Verdict::Broken,
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ReadOnly
            | ServerErrorKind::Moved
            | ServerErrorKind::Ask,
        ) => Verdict::Later,
        _ if error.is_connection_dropped() || error.is_timeout() => Verdict::Broken,
        _ => Verdict::Final,
    }
}

impl Connection {
    pub(super) fn new(address: Address) -> Self {
        Self { address, current: Mutex::default(), connecting: tokio::sync::Mutex::default(), made: AtomicU64::new(0) }
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// The number of the connection in use.
    pub(super) fn number(&self) -> u64 {
        self.made.load(Ordering::Acquire)
    }

    fn failure(&self, action: &str, error: RedisError) -> BackendError {
        let words = match (error.kind(), code(&error)) {
            (ErrorKind::AuthenticationFailed, _) | (_, Some("NOAUTH" | "WRONGPASS")) => {
                Some("the server rejected the login; check user and password in the URL")
            }
            (ErrorKind::Server(ServerErrorKind::NoPerm), _) | (_, Some("NOPERM")) => {
                Some("the user may not do this; it needs the commands listed in docs/redis.md")
            }
            (_, Some("OOM")) => Some(
                "its memory is full and it evicts nothing (maxmemory, noeviction); give it more memory, or let it evict \
                 groups that are stored with `maxmemory-policy volatile-lru`",
            ),
            _ if self.is_moved(&error) => {
                Some("the server belongs to a cluster, and another node has this key; use a URL with redis-cluster://")
            }
            _ => None,
        };
        let said = said(&error);
        let source = words.map_or_else(|| said.clone(), |words| format!("{words} ({said})"));
        BackendError { backend: "Redis", action: format!("{action} at {}", self.address), source: source.into() }
    }

    /// Runs a script, and runs it again if the connection breaks or the server is not ready, until it answers or the
    /// deadline passes. A script may run twice, so it has to notice that it has already run.
    pub(super) async fn run(
        &self,
        action: &str,
        script: &Script,
        keys: &[&str],
        arguments: &[&[u8]],
    ) -> Result<Value, Error> {
        self.run_noting(action, script, keys, arguments, &mut false).await
    }

    /// Like [`run`](Self::run); notes in `sent_before` whether an earlier attempt was sent but got no answer, so that
    /// the script may have run before.
    pub(super) async fn run_noting(
        &self,
        action: &str,
        script: &Script,
        keys: &[&str],
        arguments: &[&[u8]],
        sent_before: &mut bool,
    ) -> Result<Value, Error> {
        match self.call(action, &script.by_hash(keys, arguments), sent_before).await {
            Err(Failed::Refused(error)) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.call(action, &script.by_text(keys, arguments), sent_before).await
            }
            result => result,
        }
        .map_err(|failed| self.error(action, failed))
    }

    /// Runs a command that is safe to repeat.
    pub(super) async fn command(&self, action: &str, command: &Cmd) -> Result<Value, Error> {
        self.call(action, command, &mut false).await.map_err(|failed| self.error(action, failed))
    }

    /// Every key that matches a pattern, on all nodes.
    pub(super) async fn scan(&self, pattern: &str) -> Result<Vec<String>, Error> {
        self.scan_some(pattern, usize::MAX).await
    }

    /// Keys that match a pattern; stops at about `enough`.
    pub(super) async fn scan_some(&self, pattern: &str, enough: usize) -> Result<Vec<String>, Error> {
        let mut keys = Vec::new();
        for mut node in self.masters().await? {
            let mut cursor = 0_u64;
            loop {
                let mut command = redis::cmd("SCAN");
                command.arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(1000);
                let answer = node.command(&command).await;
                let answer = answer.and_then(|answer| redis::from_redis_value(answer).map_err(Into::into));
                let (next, found): (u64, Vec<String>) = answer.map_err(|error| self.failure("list keys", error))?;
                keys.extend(found);
                if keys.len() >= enough {
                    return Ok(keys);
                }
                if next == 0 {
                    break;
                }
                cursor = next;
            }
        }
        Ok(keys)
    }

    /// A connection to each server that holds keys of its own.
    pub(super) async fn masters(&self) -> Result<Vec<Node>, Error> {
        self.nodes().await.map_err(|error| self.failure("connect to each node", error).into())
    }

    async fn nodes(&self) -> Result<Vec<Node>, RedisError> {
        let link = self.link().await?;
        let mut wire = link.wire;
        if matches!(wire, Wire::Single(_)) {
            return Ok(vec![Node { name: "the server".to_owned(), wire }]);
        }
        let mut command = redis::cmd("CLUSTER");
        command.arg("SLOTS");
        let slots = wire.send(&command).await.and_then(Value::extract_error)?;
        let mut masters = Vec::new();
        for (host, port) in masters_of(slots) {
            let single = self.address.node(&host, port);
            masters.push(Node { name: single.to_string(), wire: Self::new(single).connect().await? });
        }
        Ok(masters)
    }

    /// Whether a single server says that another one has the key.
    fn is_moved(&self, error: &RedisError) -> bool {
        !self.address.cluster && error.kind() == ErrorKind::Server(ServerErrorKind::Moved)
    }

    fn error(&self, action: &str, failed: Failed) -> Error {
        match failed {
            Failed::Refused(error) if code(&error) == Some("WRONGTYPE") => Error::corrupt(
                &self.address,
                "a key of dictrack",
                "it has a type that dictrack does not write; use another prefix (`?prefix=`), or remove the key",
            ),
            Failed::Refused(error) => self.failure(action, error).into(),
            Failed::Away(error) => Error::Unavailable(Arc::new(self.failure(action, error))),
        }
    }

    async fn call(&self, action: &str, command: &Cmd, sent_before: &mut bool) -> Result<Value, Failed> {
        let since = Stopwatch::start();
        let (mut pause, longest) = PAUSE;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (error, verdict) = match self.attempt(command, sent_before).await {
                Ok(value) => return Ok(value),
                Err(error) => (error.clone(), verdict(&error)),
            };
            // A node of a cluster that is addressed directly will always refer to another one.
            if matches!(verdict, Verdict::Final) || self.is_moved(&error) {
                return Err(Failed::Refused(error));
            }
            // A process that was itself suspended finds its time used up after one attempt, although the server is
            // there.
            if attempts > 1 && since.elapsed() + Duration::from_micros(pause) >= GIVE_UP_AFTER {
                tracing::debug!(error = said(&error), action, "Redis cannot be reached");
                return Err(Failed::Away(error));
            }
            // Callers that were disconnected together should not reconnect together.
            let jitter = rand_below(pause);
            tokio::time::sleep(Duration::from_micros(pause / 2 + jitter)).await;
            pause = (pause * 2).min(longest);
        }
    }

    async fn attempt(&self, command: &Cmd, sent_before: &mut bool) -> Result<Value, RedisError> {
        let mut link = self.link().await?;
        let answer = match tokio::time::timeout(ATTEMPT, link.wire.send(command)).await {
            Ok(answer) => answer.and_then(Value::extract_error),
            Err(_) => Err(timeout("no answer")),
        };
        if let Err(error) = &answer
            && matches!(verdict(error), Verdict::Broken)
        {
            *sent_before = true;
            let mut current = self.current.lock();
            if current.as_ref().is_some_and(|current| current.number == link.number) {
                *current = None;
            }
        }
        answer
    }

    async fn link(&self) -> Result<Link, RedisError> {
        if let Some(link) = &*self.current.lock() {
            return Ok(link.clone());
        }
        let _connecting = self.connecting.lock().await;
        if let Some(link) = &*self.current.lock() {
            return Ok(link.clone());
        }
        let wire =
            tokio::time::timeout(CONNECT, self.connect()).await.unwrap_or_else(|_| Err(timeout("no connection")))?;
        let link = Link { number: self.made.fetch_add(1, Ordering::AcqRel) + 1, wire };
        *self.current.lock() = Some(link.clone());
        Ok(link)
    }

    async fn connect(&self) -> Result<Wire, RedisError> {
        match self.connect_with(ProtocolVersion::RESP3).await {
            Err(error) if error.kind() == ErrorKind::RESP3NotSupported || error.code() == Some("NOPROTO") => {
                self.connect_with(ProtocolVersion::RESP2).await
            }
            result => result,
        }
    }

    async fn connect_with(&self, protocol: ProtocolVersion) -> Result<Wire, RedisError> {
        let certificates = match &self.address.ca {
            Some(path) => {
                let pem = fs::read(path).map_err(|error| {
                    let detail = format!("{path}: {error}");
                    RedisError::from((ErrorKind::InvalidClientConfig, "the certificate file cannot be read", detail))
                })?;
                Some(TlsCertificates { client_tls: None, root_cert: Some(pem) })
            }
            None => None,
        };
        let nodes = self.address.nodes(protocol)?;
        if self.address.cluster {
            // Only the script knows what was applied, so it must handle every resend; the client itself repeats
            // nothing.
            let mut builder = ClusterClientBuilder::new(nodes).retries(0).use_protocol(protocol);
            builder = builder.connection_timeout(CONNECT).response_timeout(ATTEMPT);
            if let Some(certificates) = certificates {
                builder = builder.certs(certificates);
            }
            return builder.build()?.get_async_connection().await.map(Wire::Cluster);
        }
        let [node] = &nodes[..] else {
            return Err((ErrorKind::InvalidClientConfig, "redis:// names one server").into());
        };
        let client = match certificates {
            Some(certificates) => Client::build_with_tls(node.clone(), certificates)?,
            None => Client::open(node.clone())?,
        };
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(None);
        client.get_multiplexed_async_connection_with_config(&config).await.map(Wire::Single)
    }
}

/// The distinct masters in an answer to CLUSTER SLOTS: lists of the first and last slot, the master and its replicas.
fn masters_of(slots: Value) -> Vec<(String, u16)> {
    let mut masters = Vec::new();
    let Value::Array(ranges) = slots else { return masters };
    for range in ranges {
        let Value::Array(mut parts) = range else { continue };
        if parts.len() < 3 {
            continue;
        }
        let Value::Array(mut node) = parts.swap_remove(2) else { continue };
        node.truncate(2);
        let Ok((host, port)) = redis::from_redis_value::<(String, u16)>(Value::Array(node)) else { continue };
        if !masters.contains(&(host.clone(), port)) {
            masters.push((host, port));
        }
    }
    masters
}

enum Failed {
    /// The server refused.
    Refused(RedisError),
    /// The server could not be reached in time.
    Away(RedisError),
}

fn timeout(what: &'static str) -> RedisError {
    std::io::Error::new(std::io::ErrorKind::TimedOut, format!("{what} within the time allowed")).into()
}

/// A prefix as a pattern that matches only itself.
pub(super) fn escaped(prefix: &str) -> String {
    let mut pattern = String::with_capacity(prefix.len());
    for letter in prefix.chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '\\' | '^') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

/// A number below `bound` that differs from caller to caller.
pub(super) fn rand_below(bound: u64) -> u64 {
    crate::random::random() % bound.max(1)
}
