//! One writer per file.
//!
//! The file itself says who may write it: every transaction that writes compares a token inside the transaction. So two
//! processes never both write, whatever happens to locks and names. A lock on the file makes that case rare: it turns a
//! second writer away before it starts, and ends with its process.

use std::fmt::Write as _;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::descriptor::{Descriptor, Lock, LogLock};
use super::failed;
use super::name::{beside, refusal};
use super::reading::Reading;
use super::schema;
use super::tables::unreadable;
use super::watch::{Change, Watch};
use crate::backend::BackendError;
use crate::clock::{Clock as _, SystemClock};
use crate::random::token;
use crate::store::process::{Origin, Process};
use crate::{Error, url};

/// How long a process may hold a lock before it has written who it is.
const UNNAMED_FOR: Duration = Duration::from_millis(500);
/// How often the lock is tried meanwhile.
const ASK_EVERY: Duration = Duration::from_millis(10);
/// The log is copied into the file each time that this many bytes were written to it.
const CHECKPOINT_AT_BYTES: usize = 16 * 1024 * 1024;

/// The right to write a file. It must be dropped after the connection.
#[derive(Debug)]
pub(super) struct Owner {
    /// The name of the store in error messages.
    name: String,
    token: String,
    watch: Watch,
    /// Changes when another connection has written.
    data_version: i64,
    /// The number of bytes written since the log was last copied into the file.
    uncopied: usize,
    /// Distinguishes the file from another one copied over it.
    sample: u32,
    /// Why this process may no longer write.
    ended: Option<Error>,
    /// What the log is renamed to at the end, if it does not belong to the file beside it.
    aside: Option<PathBuf>,
    /// Prevents others from using the log with a file that takes the name of the store. It is dropped before the lock on
    /// the file, so that nobody who has that lock waits for it.
    log: Option<LogLock>,
    descriptor: Descriptor,
}

/// What the file says about its owner.
pub(super) struct Row {
    token: String,
    pid: i64,
    host: String,
}

impl Row {
    fn read(connection: &Connection) -> Result<Option<Self>, rusqlite::Error> {
        connection
            .prepare_cached("SELECT token, pid, host FROM owner")?
            .query_row([], |row| Ok(Self { token: row.get(0)?, pid: row.get(1)?, host: row.get(2)? }))
            .optional()
    }

    /// The row of the file at `path`, if it can be read.
    pub(super) fn of(path: &Path) -> Option<Self> {
        Self::read(&Reading::open(path).ok()?.connection).ok()?
    }

    /// Whether the process has certainly ended.
    fn has_ended(&self) -> bool {
        let mut words = self.token.splitn(3, ' ').skip(1);
        let start = words.next().and_then(|start| start.parse().ok());
        start.zip(words.next()).is_some_and(|(start, machine)| {
            Process::this().knows_dead(self.pid, &Origin { machine: machine.to_owned(), start })
        })
    }

    /// The process and the host.
    pub(super) fn process(self) -> (Box<str>, Box<str>) {
        (self.pid.to_string().into(), self.host.into())
    }
}

fn failure(action: &str, source: impl Into<dictrack_core::custom::BoxError>) -> Error {
    BackendError { backend: "SQLite", action: action.to_owned(), source: source.into() }.into()
}

/// Takes the lock on a file.
///
/// A process that has ended may have left the lock to a child that it forked, which cannot use it. Then
/// the lock does not count, and the file may be written.
///
/// # Errors
/// [`Error::Owned`] if another process writes the file.
pub(super) fn lock(descriptor: &mut Descriptor, name: &Path, path: &Path) -> Result<(), Error> {
    let action = format!("lock {}", url::shown_path(name));
    let mut asked = Duration::ZERO;
    loop {
        let lock = descriptor.lock().map_err(|error| failure(&action, error))?;
        if lock == Lock::Taken {
            return Ok(());
        }
        let row = Row::of(path);
        let runs = row.as_ref().is_some_and(|row| !row.has_ended());
        if lock == Lock::Inherited && !runs {
            return Err(failure(
                &action,
                "it was open when this process was forked; open it in a spawned process instead",
            ));
        }
        if runs || asked >= UNNAMED_FOR {
            let unknown = || ("(unknown)".into(), "(unknown)".into());
            match row {
                Some(_) if !runs => return Ok(()),
                row => {
                    let (pid, host) = row.map_or_else(unknown, Row::process);
                    return Err(Error::Owned { store: url::shown_path(name).into(), pid, host });
                }
            }
        }
        sleep(ASK_EVERY);
        asked += ASK_EVERY;
    }
}

/// Takes the lock on the log of a file, if it has a log. Nothing is taken without the lock on the file: it may have been
/// left to a child by a process that has ended, and then so was the lock on the log.
///
/// # Errors
/// If a process uses the log although none uses the file: it opened another file under this name.
pub(super) fn lock_log(descriptor: &Descriptor, name: &Path, path: &Path) -> Result<Option<LogLock>, Error> {
    if descriptor.locks() { until_free(name, path, LogLock::take) } else { Ok(None) }
}

/// Refuses to read a file that nobody writes together with a log that belongs to another file.
pub(super) fn check_log(name: &Path, path: &Path) -> Result<(), Error> {
    until_free(name, path, |log| LogLock::is_taken(log).map(|taken| (!taken).then_some(()))).map(drop)
}

/// What `attempt` returns, or `None` if there is no log.
fn until_free<T>(
    name: &Path,
    path: &Path,
    attempt: impl Fn(&Path) -> io::Result<Option<T>>,
) -> Result<Option<T>, Error> {
    let log = beside(path, "-wal");
    let mut asked = Duration::ZERO;
    loop {
        match attempt(&log) {
            Ok(Some(free)) => return Ok(Some(free)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failure(&format!("lock {}", url::shown_path(&log)), error)),
            // A process that is killed loses its locks one after the other.
            Ok(None) if asked < UNNAMED_FOR => {
                sleep(ASK_EVERY);
                asked += ASK_EVERY;
            }
            Ok(None) => {
                let problem = format!(
                    "its log {} is in use by a process that opened another file under this name, which was then removed \
                     or replaced; stop that process first",
                    url::shown_path(&log)
                );
                return Err(refusal(name, problem));
            }
        }
    }
}

impl Owner {
    /// Writes into the file that this process owns it.
    pub(super) fn claim(
        connection: &mut Connection,
        descriptor: Descriptor,
        log: Option<LogLock>,
        name: &Path,
        path: &Path,
    ) -> Result<Self, Error> {
        let process = Process::this();
        let origin = process.origin.map(|origin| format!(" {} {}", origin.start, origin.machine));
        let token = format!("{}{}{}", token(), token(), origin.unwrap_or_default());
        let mut write = || {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if let Some(Row { pid, host, .. }) = Row::read(&transaction)? {
                tracing::debug!(store = %url::shown_path(name), pid, host, "taking over from a process that did not close the store");
            }
            transaction.execute("DELETE FROM owner", [])?;
            transaction.execute(
                "INSERT INTO owner (token, pid, host, since) VALUES (?1, ?2, ?3, ?4)",
                params![token, process.pid, process.host, SystemClock.now().micros()],
            )?;
            schema::record_zone_data(&transaction)?;
            let version = data_version(&transaction)?;
            transaction.commit()?;
            Ok(version)
        };
        let fail = unreadable(&url::shown_path(name), "the file", "become the owner of the file");
        let data_version = write().map_err(fail)?;
        let watch = Watch::new(path).map_err(|error| failure("look at the files of the store", error))?;
        let sample = descriptor.sample().map_err(|error| failure("look at the files of the store", error))?;
        // SQLite may just have created the log.
        let log = match log {
            Some(log) if log.id() == watch.log() => Some(log),
            _ => lock_log(&descriptor, name, path)?,
        };
        let mut owner = Self {
            name: url::shown_path(name),
            token,
            watch,
            data_version,
            uncopied: 0,
            sample,
            ended: None,
            aside: None,
            log,
            descriptor,
        };
        if owner.watch.file() != owner.descriptor.id() {
            return Err(owner.end(connection, Change::Replaced));
        }
        Ok(owner)
    }

    /// Runs `work` in a transaction, which is committed only if this process still owns the file, and started only if
    /// the name of the store still refers to that file. After a failure nothing more is written.
    pub(super) fn write<T>(
        &mut self,
        connection: &mut Connection,
        action: &str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.look(connection)?;
        let done = self.try_write(connection, action, work).inspect_err(|error| self.ended = Some(error.clone()))?;
        // Since the first check, the transaction may have gone to a file that nobody will find.
        self.look(connection)?;
        Ok(done)
    }

    fn try_write<T>(
        &self,
        connection: &mut Connection,
        action: &str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let fail = || unreadable(&self.name, "the file", action);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fail())?;
        if let Some(error) = self.foreign(&transaction).map_err(fail())? {
            return Err(error);
        }
        let done = work(&transaction)?;
        transaction.commit().map_err(fail())?;
        Ok(done)
    }

    /// The error if the file belongs to another process.
    fn foreign(&self, transaction: &Transaction<'_>) -> Result<Option<Error>, rusqlite::Error> {
        Ok(match Row::read(transaction)? {
            Some(row) if row.token == self.token => (data_version(transaction)? != self.data_version)
                .then(|| failure("write", format!("{} was changed by another program", self.name))),
            Some(row) => {
                let (pid, host) = row.process();
                Some(Error::TakenOver { store: self.name.as_str().into(), pid, host })
            }
            None => Some(failure("write", format!("{} no longer records this process as its owner", self.name))),
        })
    }

    /// Checks that the files of the store are still those that this process has open.
    pub(super) fn look(&mut self, connection: &Connection) -> Result<(), Error> {
        if let Some(error) = &self.ended {
            return Err(error.clone());
        }
        let fail = |error| failure("look at the files of the store", error);
        match self.watch.look().map_err(fail)? {
            None => Ok(()),
            // `touch`, and tools that restore a timestamp, change no byte.
            Some(Change::Written)
                if self.watch.has_size() && self.descriptor.sample().is_ok_and(|now| now == self.sample) =>
            {
                self.watch.wrote().map_err(fail)
            }
            Some(change) => Err(self.end(connection, change)),
        }
    }

    /// Stops writing, and saves what was acknowledged.
    fn end(&mut self, connection: &Connection, change: Change) -> Error {
        let mut text = format!("{} {} while this process had it open", self.name, change.text());
        match change {
            Change::LogLost => checkpoint(connection, "PASSIVE"),
            Change::MemoryLost => {}
            // The log is incomplete and must not be copied into the file.
            Change::LogCut => {
                let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
            }
            Change::Gone | Change::Replaced | Change::Written => {
                // The file that now has the name must not be mixed with what this process wrote.
                let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
                if change != Change::Written && self.descriptor.metadata().is_ok_and(|file| file.nlink() > 0) {
                    if let Ok(_successor) = self.successor() {
                        checkpoint(connection, "TRUNCATE");
                    }
                } else if change != Change::Gone && self.watch.has_log() {
                    let aside = self.watch.log_aside(&self.token);
                    let _ = write!(text, "; its log is kept as {}", url::shown_path(&aside));
                    self.aside = Some(aside);
                }
            }
        }
        let error = failure("write", format!("{text}; nothing more is written"));
        self.ended = Some(error.clone());
        error
    }

    /// Prevents others from opening the file that now has the name of the store, if there is one. While that lasts,
    /// only this process uses the log beside it.
    fn successor(&self) -> Result<Option<Descriptor>, InUse> {
        if self.log.is_some() {
            // Nobody opens it while its log is locked.
            return Ok(None);
        }
        let Ok(mut descriptor) = Descriptor::open(self.watch.path(), false) else { return Ok(None) };
        match descriptor.lock() {
            _ if descriptor.id() == self.descriptor.id() => Ok(Some(descriptor)),
            Ok(Lock::Taken) => Ok(Some(descriptor)),
            _ => Err(InUse),
        }
    }

    /// Copies the log into the file once enough was written; `bytes` were added.
    pub(super) fn copy_log(&mut self, connection: &Connection, bytes: usize) -> Result<(), Error> {
        self.uncopied += bytes;
        if self.uncopied >= CHECKPOINT_AT_BYTES {
            self.uncopied = 0;
            self.look(connection)?;
            checkpoint(connection, "PASSIVE");
            self.wrote()?;
        }
        Ok(())
    }

    /// Copies the whole log into the file; fails if that was not possible.
    pub(super) fn copy_whole_log(&mut self, connection: &Connection) -> Result<(), Error> {
        let action = "copy the log into the file";
        self.look(connection)?;
        let held_up: bool = connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
            .map_err(unreadable(&self.name, "the file", action))?;
        if held_up {
            return Err(failure(action, "another program reads it".to_owned()));
        }
        self.uncopied = 0;
        self.wrote()
    }

    /// Notes the state of the file after this process wrote it.
    fn wrote(&mut self) -> Result<(), Error> {
        let noted = self.watch.wrote().and_then(|()| self.descriptor.sample());
        self.sample = noted.map_err(|error| failure("look at the files of the store", error))?;
        Ok(())
    }

    /// Tries again to take a lock that a dead process had left to another one.
    pub(super) fn relock(&mut self) {
        // Even without the locks, the token protects the file.
        let _ = self.descriptor.lock();
        if self.log.is_none() {
            let log = LogLock::take(self.watch.log_path()).ok().flatten();
            self.log = log.filter(|log| log.id() == self.watch.log());
        }
    }

    /// Removes this process's name from the file before it is closed properly.
    pub(super) fn resign(&mut self, connection: &mut Connection) {
        let action = "give up the file";
        let done = self.write(connection, action, |transaction| {
            transaction.execute("DELETE FROM owner", []).map_err(failed(action))
        });
        if let Err(error) = done {
            tracing::debug!(%error, "the file still records this process as its owner");
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // SQLite would apply the log to the file that now has the name.
        if let Some(aside) = &self.aside
            && let Ok(_successor) = self.successor()
            && let Err(error) = self.watch.put_log_aside(aside)
        {
            tracing::warn!(%error, "the log of {} could not be renamed to {}", self.name, url::shown_path(aside));
        }
    }
}

/// The file that has the name of the store is in use.
struct InUse;

/// Copies SQLite's log into the file. What cannot be copied stays in the log until the next time.
fn checkpoint(connection: &Connection, mode: &str) {
    if let Err(error) = connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(())) {
        tracing::warn!(%error, "the log of a store was not copied into it");
    }
}

/// A number that changes when another connection has committed something.
fn data_version(connection: &Connection) -> Result<i64, rusqlite::Error> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}
