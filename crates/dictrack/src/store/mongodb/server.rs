//! Talks to the server: commands with time limits, and errors classified by what can be done about them.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use mongodb::bson::{Document, RawDocumentBuf, doc};
use mongodb::error::{Error as DriverError, ErrorKind, RETRYABLE_ERROR, RETRYABLE_WRITE_ERROR};
use mongodb::options::FindOptions;
use mongodb::{Client, Database};

use super::url::{Place, Secrets};
use crate::Error;
use crate::backend::BackendError;
use crate::clock::Stopwatch;

/// How long a call that is safe to repeat is retried before it fails.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// The first pause before a retry, and the longest. The actual pause is random, between half of it and all of it.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(160));

/// The error code of a command when a key is taken.
pub(super) const DUPLICATE_KEY: i32 = 11_000;
/// The error codes of a command when a document would exceed 16 MiB.
pub(super) const TOO_LARGE: [i32; 3] = [10_334, 17_419, 17_420];
const AUTHENTICATION_FAILED: i32 = 18;
const UNAUTHORIZED: i32 = 13;
/// The server is unreachable, not the primary, shutting down or becoming the primary, or gave up for now: the same
/// command may succeed a moment later.
const TEMPORARY: [i32; 22] = [
    6, 7, 24, 46, 50, 64, 89, 91, 112, 133, 134, 189, 202, 262, 9001, 10_058, 10_107, 11_600, 11_601, 11_602, 13_435,
    13_436,
];

/// A database, accessed through its only client.
pub(super) struct Server {
    database: Database,
    name: String,
    secrets: Secrets,
    /// How long the server may take to answer a command.
    limit: Duration,
}

/// Why one write of a command failed.
#[derive(Debug)]
pub(super) struct WriteError {
    /// The index of the statement.
    pub(super) at: usize,
    pub(super) code: i32,
    pub(super) message: String,
}

impl Server {
    /// Must be called within the runtime, in which the driver monitors the server.
    pub(super) fn new(place: Place, limit: Duration) -> Result<Self, Error> {
        let Place { options, database, name, secrets, .. } = place;
        let client = Client::with_options(options).map_err(|error| failed(&secrets, "set up the client", &error))?;
        Ok(Self { database: client.database(&database), name, secrets, limit })
    }

    /// The name of the store in error messages.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The namespace of a collection.
    pub(super) fn namespace(&self, collection: &str) -> String {
        format!("{}.{collection}", self.database.name())
    }

    /// How long the server may take to answer.
    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// Runs a command; `action` describes its purpose.
    pub(super) async fn command(&self, action: &str, command: Document) -> Result<Document, Error> {
        let command = RawDocumentBuf::try_from(&command).map_err(|error| unreadable(action, &error))?;
        self.command_within(action, command, self.limit).await
    }

    /// Runs a command that concerns the server as a whole.
    pub(super) async fn admin_command(&self, action: &str, command: Document) -> Result<Document, Error> {
        let admin = self.database.client().database("admin");
        self.in_time(action, self.limit, admin.run_command(command).into_future()).await
    }

    /// The name of the database.
    pub(super) fn database(&self) -> &str {
        self.database.name()
    }

    /// Runs a command that may take longer than others.
    pub(super) async fn command_within(
        &self,
        action: &str,
        command: RawDocumentBuf,
        limit: Duration,
    ) -> Result<Document, Error> {
        let reply = self.in_time(action, limit, self.database.run_raw_command(command).into_future()).await?;
        self.done(action, reply)
    }

    /// The reply, or an error if the write was done here but not yet as safely as requested.
    fn done(&self, action: &str, reply: Document) -> Result<Document, Error> {
        let Ok(problem) = reply.get_document("writeConcernError") else { return Ok(reply) };
        let code = problem.get_i32("code").unwrap_or(0);
        Err(self.refused(action, code, problem.get_str("errmsg").unwrap_or("no reason given")))
    }

    /// Runs a command that finds or creates a document; `None` if another document has the key.
    pub(super) async fn command_unless_taken(
        &self,
        action: &str,
        command: Document,
    ) -> Result<Option<Document>, Error> {
        let command = RawDocumentBuf::try_from(&command).map_err(|error| unreadable(action, &error))?;
        let run = async {
            match self.database.run_raw_command(command).await {
                Err(error) if matches!(&*error.kind, ErrorKind::Command(command) if command.code == DUPLICATE_KEY) => {
                    Ok(None)
                }
                result => result.map(Some),
            }
        };
        let reply = self.in_time(action, self.limit, run).await?;
        reply.map(|reply| self.done(action, reply)).transpose()
    }

    /// Runs writes that fail one by one, as those of `update` do; returns those that failed permanently.
    ///
    /// # Errors
    /// If one of them may succeed when repeated, or the command as a whole failed.
    pub(super) async fn write(
        &self,
        action: &str,
        command: RawDocumentBuf,
        limit: Duration,
    ) -> Result<(Document, Vec<WriteError>), Error> {
        let reply = self.command_within(action, command, limit).await?;
        let mut problems = Vec::new();
        for problem in reply.get_array("writeErrors").into_iter().flatten() {
            let problem = problem.as_document().cloned().unwrap_or_default();
            let code = problem.get_i32("code").unwrap_or(0);
            let message = problem.get_str("errmsg").unwrap_or("no reason given").to_owned();
            if TEMPORARY.contains(&code) {
                return Err(self.refused(action, code, &message));
            }
            let at = problem.get_i32("index").ok().and_then(|at| usize::try_from(at).ok()).unwrap_or(usize::MAX);
            problems.push(WriteError { at, code, message });
        }
        Ok((reply, problems))
    }

    /// All documents that match `filter`.
    pub(super) async fn find(
        &self,
        action: &str,
        collection: &str,
        filter: Document,
        options: FindOptions,
    ) -> Result<Vec<Document>, Error> {
        self.find_within(action, collection, filter, options, self.limit).await
    }

    /// All documents that match `filter`, which have about this many bytes together.
    pub(super) async fn find_slowly(
        &self,
        action: &str,
        collection: &str,
        filter: Document,
        bytes: usize,
    ) -> Result<Vec<Document>, Error> {
        let limit = self.limit + time_for(bytes);
        self.find_within(action, collection, filter, FindOptions::default(), limit).await
    }

    async fn find_within(
        &self,
        action: &str,
        collection: &str,
        filter: Document,
        options: FindOptions,
        limit: Duration,
    ) -> Result<Vec<Document>, Error> {
        let collection = self.database.collection::<Document>(collection);
        let found = collection.find(filter).with_options(options).into_future();
        let mut cursor = self.in_time(action, limit, found).await?;
        let mut documents = Vec::new();
        while self.in_time(action, limit, cursor.advance()).await? {
            documents.push(cursor.deserialize_current().map_err(|error| failed(&self.secrets, action, &error))?);
        }
        Ok(documents)
    }

    /// The first document that matches `filter`.
    pub(super) async fn find_one(
        &self,
        action: &str,
        collection: &str,
        filter: Document,
        projection: Option<Document>,
    ) -> Result<Option<Document>, Error> {
        let options = FindOptions::builder().limit(-1).projection(projection).build();
        Ok(self.find(action, collection, filter, options).await?.pop())
    }

    async fn in_time<T>(
        &self,
        action: &str,
        limit: Duration,
        work: impl Future<Output = Result<T, DriverError>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(limit, work).await {
            Ok(result) => result.map_err(|error| failed(&self.secrets, action, &error)),
            Err(_) => Err(no_answer(action, limit)),
        }
    }

    /// Like [`patiently`](Self::patiently), for attempts of a few commands: it ends in time whatever the server does.
    pub(super) async fn in_all<T, F>(action: &str, attempt: impl FnMut() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let attempts = Self::patiently(attempt);
        tokio::time::timeout(PATIENCE, attempts).await.unwrap_or_else(|_| Err(no_answer(action, PATIENCE)))
    }

    /// The error for a code returned by the server.
    pub(super) fn refused(&self, action: &str, code: i32, message: &str) -> Error {
        let problem = format!("{} (code {code})", self.secrets.hide(message));
        if TEMPORARY.contains(&code) { unavailable(action, problem) } else { backend(action, advised(code, problem)) }
    }

    /// Runs an attempt that is safe to repeat, again and again while the server cannot be reached, but not for long.
    pub(super) async fn patiently<T, F>(mut attempt: impl FnMut() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let since = Stopwatch::start();
        let (mut pause, longest) = PAUSE;
        loop {
            let error = match attempt().await {
                Err(error) if error.is_temporary() => error,
                result => return result,
            };
            if since.elapsed() + pause >= PATIENCE {
                return Err(error);
            }
            tokio::time::sleep(jitter(pause)).await;
            pause = (pause * 2).min(longest);
        }
    }
}

/// How much longer a command may take that transfers this many bytes: networks can be slow.
pub(super) fn time_for(bytes: usize) -> Duration {
    Duration::from_millis((bytes / 500) as u64)
}

/// A random time between half of `pause` and all of it, so that clients that failed together do not come back together.
fn jitter(pause: Duration) -> Duration {
    let random = RandomState::new().hash_one(0) % 1_000;
    pause / 2 + pause * u32::try_from(random).unwrap_or(0) / 2_000
}

fn unavailable(action: &str, problem: String) -> Error {
    Error::Unavailable(BackendError { backend: "MongoDB", action: action.to_owned(), source: problem.into() }.into())
}

/// A failure that retrying cannot fix.
pub(super) fn backend(action: &str, problem: impl Into<String>) -> Error {
    let problem: String = problem.into();
    BackendError { backend: "MongoDB", action: action.to_owned(), source: problem.into() }.into()
}

fn no_answer(action: &str, limit: Duration) -> Error {
    unavailable(action, format!("no answer within {} ms", limit.as_millis()))
}

/// A document that cannot be created, which only a bug or faulty memory explains.
pub(super) fn unreadable(action: &str, error: &dyn std::fmt::Display) -> Error {
    backend(action, error.to_string())
}

/// Adds what to do about codes that users encounter.
fn advised(code: i32, problem: String) -> String {
    match code {
        AUTHENTICATION_FAILED => format!("{problem}; check user, password and authSource in the URL"),
        UNAUTHORIZED => format!("{problem}; the user needs the role readWrite on the database"),
        _ => problem,
    }
}

fn failed(secrets: &Secrets, action: &str, error: &DriverError) -> Error {
    let problem = secrets.hide(&brief(error));
    let passes = error.contains_label(RETRYABLE_WRITE_ERROR) || error.contains_label(RETRYABLE_ERROR);
    match &*error.kind {
        ErrorKind::Command(command) if passes || TEMPORARY.contains(&command.code) => unavailable(action, problem),
        ErrorKind::Command(command) => {
            let problem = format!("{} (code {})", secrets.hide(&command.message), command.code);
            backend(action, advised(command.code, problem))
        }
        ErrorKind::Authentication { .. } => backend(action, advised(AUTHENTICATION_FAILED, problem)),
        ErrorKind::Io(_)
        | ErrorKind::ServerSelection { .. }
        | ErrorKind::ConnectionPoolCleared { .. }
        | ErrorKind::DnsResolve { .. } => unavailable(action, problem),
        _ if passes => unavailable(action, problem),
        _ => backend(action, problem),
    }
}

/// What the driver says, without its labels and codes. If it reaches no server, only the reason for each one is kept.
pub(super) fn brief(error: &DriverError) -> String {
    let ErrorKind::ServerSelection { message, .. } = &*error.kind else { return error.kind.to_string() };
    let mut reasons = Vec::new();
    for server in message.split("{ Address: ").skip(1) {
        let Some((address, rest)) = server.split_once(", Type: ") else { return message.clone() };
        let kind = rest.split([',', ' ']).next().unwrap_or_default();
        let reason = match rest.split_once("Error: Kind: ") {
            Some((_, reason)) => reason.split(", labels: ").next().unwrap_or(reason),
            None => kind,
        };
        reasons.push(format!("{address}: {reason}"));
    }
    if reasons.is_empty() { message.clone() } else { format!("no server accepts writes ({})", reasons.join("; ")) }
}

/// The part of a command that says when a write counts as done.
pub(super) fn concern(majority: bool, journaled: bool) -> Document {
    match (majority, journaled) {
        (false, _) => doc! {"w": 1},
        (true, true) => doc! {"w": "majority", "j": true},
        (true, false) => doc! {"w": "majority"},
    }
}
