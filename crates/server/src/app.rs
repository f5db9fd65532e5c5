//! What all requests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use dictrack::store::DataStore;
use dictrack::{Error, Manager};
use tokio_util::task::TaskTracker;

use crate::auth::Access;
use crate::config::Limits;
use crate::keys::{self, Keys};
use crate::metrics::Metrics;
use crate::problem::{Code, Problem};

pub(crate) type Shared = Arc<App>;

/// What all requests share.
pub(crate) struct App {
    pub(crate) manager: Manager,
    pub(crate) store: Option<Arc<dyn DataStore>>,
    pub(crate) access: Access,
    pub(crate) metrics: Metrics,
    pub(crate) limits: Limits,
    pub(crate) log_requests: bool,
    pub(crate) requests: Gauge,
    pub(crate) uploads: Gauge,
    pub(crate) body_bytes: Gauge,
    /// Set when the server begins to stop.
    pub(crate) stopping: AtomicBool,
    /// Work that outlives the call of its handler.
    pub(crate) tasks: TaskTracker,
    /// The beginning and the number of the last request id.
    pub(crate) request_ids: (u64, AtomicU64),
}

impl App {
    /// Reads the keys in the store again.
    pub(crate) async fn load_keys(&self) -> Result<(), Error> {
        if let Some(store) = &self.store {
            self.access
                .replace(Keys::new(in_store(store, |store| async move { keys::list_all(&*store).await }).await?));
        }
        Ok(())
    }
}

/// Runs a call to a store, which blocks the thread if the store reads files.
pub(crate) async fn in_store<T: Send + 'static, F: Future<Output = Result<T, Error>> + Send + 'static>(
    store: &Arc<dyn DataStore>,
    call: impl FnOnce(Arc<dyn DataStore>) -> F + Send + 'static,
) -> Result<T, Error> {
    let store = Arc::clone(store);
    if store.is_remote() {
        return call(store).await;
    }
    tokio::task::spawn_blocking(move || dictrack::block_on(call(store))).await.unwrap_or(Err(Error::Closed))
}

/// How much of something is in use, up to a limit.
#[derive(Debug)]
pub(crate) struct Gauge {
    used: AtomicUsize,
    most: usize,
    what: &'static str,
}

impl Gauge {
    pub(crate) fn new(most: usize, what: &'static str) -> Self {
        Self { used: AtomicUsize::new(0), most, what }
    }

    fn take(&self, amount: usize) -> Result<(), Problem> {
        let before = self.used.fetch_add(amount, Ordering::Relaxed);
        if before.saturating_add(amount) <= self.most {
            return Ok(());
        }
        self.used.fetch_sub(amount, Ordering::Relaxed);
        Err(Problem::new(Code::Overloaded, format!("too many {} at the moment; try again", self.what)))
    }
}

/// A part of a [`Gauge`], until it is dropped.
pub(crate) struct Held {
    app: Shared,
    which: fn(&App) -> &Gauge,
    amount: usize,
}

impl Held {
    /// Nothing yet.
    pub(crate) fn none(app: &Shared, which: fn(&App) -> &Gauge) -> Self {
        Self { app: Arc::clone(app), which, amount: 0 }
    }

    /// Takes one; fails with 503 if there are too many.
    pub(crate) fn one(app: &Shared, which: fn(&App) -> &Gauge) -> Result<Self, Problem> {
        let mut held = Self::none(app, which);
        held.resize(1)?;
        Ok(held)
    }

    pub(crate) fn amount(&self) -> usize {
        self.amount
    }

    /// Takes more, or gives some back.
    pub(crate) fn resize(&mut self, amount: usize) -> Result<(), Problem> {
        let gauge = (self.which)(&self.app);
        match amount.checked_sub(self.amount) {
            Some(more) => gauge.take(more).inspect_err(|_| self.app.metrics.shed())?,
            None => _ = gauge.used.fetch_sub(self.amount - amount, Ordering::Relaxed),
        }
        self.amount = amount;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        (self.which)(&self.app).used.fetch_sub(self.amount, Ordering::Relaxed);
    }
}
