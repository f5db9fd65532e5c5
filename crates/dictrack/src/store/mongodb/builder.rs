//! Creating a store: where it is, and how long things may take.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::schema::Names;
use super::server::Server;
use super::url::Place;
use super::{ANSWER_WITHIN, Inner, MongoStore, on_runtime};
use crate::Error;
use crate::clock::Stopwatch;
use crate::store::process::Process;

/// An owner that has been silent for this long may be taken over.
const TAKEN_OVER_AFTER: Duration = Duration::from_secs(10);

/// Builds a [`MongoStore`].
#[derive(Clone)]
pub struct MongoStoreBuilder {
    url: String,
    database: Option<String>,
    collection: Option<String>,
    read_only: bool,
    answer_within: Duration,
    taken_over_after: Duration,
}

impl fmt::Debug for MongoStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may contain a password.
        f.debug_struct("MongoStoreBuilder").field("collection", &self.collection).finish_non_exhaustive()
    }
}

impl MongoStoreBuilder {
    /// A builder for the store at a URL.
    pub(super) fn new(url: String) -> Self {
        Self {
            url,
            database: None,
            collection: None,
            read_only: false,
            answer_within: ANSWER_WITHIN,
            taken_over_after: TAKEN_OVER_AFTER,
        }
    }

    /// Sets the database, overriding the URL.
    #[must_use]
    pub fn database(mut self, database: impl Into<String>) -> Self {
        self.database = Some(database.into());
        self
    }

    /// Sets the collection of the groups, overriding the URL. The names of the other collections begin with it.
    #[must_use]
    pub fn collection(mut self, collection: impl Into<String>) -> Self {
        self.collection = Some(collection.into());
        self
    }

    /// Opens for reading only, even while another process writes.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// How long the server may take to answer a command; 700 ms by default. A commit gets another millisecond for each
    /// group.
    #[must_use]
    pub fn answer_within(mut self, limit: Duration) -> Self {
        self.answer_within = limit;
        self
    }

    /// For tests: how long an owner must be silent before it may be taken over.
    #[doc(hidden)]
    #[must_use]
    pub fn taken_over_after(mut self, silence: Duration) -> Self {
        self.taken_over_after = silence;
        self
    }

    /// Connects to the server.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the server cannot be reached; [`Error::NewerVersion`]; [`Error::Corrupt`] if the
    /// collection holds something else; otherwise what MongoDB reports, such as a wrong password.
    pub async fn open(self) -> Result<MongoStore, Error> {
        let inner = on_runtime(async move {
            let place = Place::read(&self.url, self.database.as_deref(), self.collection.as_deref()).await?;
            let names = Names::of(&place.collection);
            let inner = Inner {
                server: Server::new(place, self.answer_within)?,
                names,
                process: Process::this(),
                read_only: self.read_only,
                taken_over_after: self.taken_over_after,
                session: Mutex::default(),
                sets: Mutex::default(),
                untidy: Mutex::default(),
                tidied: Mutex::new(Stopwatch::start()),
            };
            Server::patiently(|| inner.check()).await?;
            Ok(Arc::new(inner))
        });
        let inner = inner.await.map_err(Error::at_opening)?;
        Ok(MongoStore { inner })
    }
}
