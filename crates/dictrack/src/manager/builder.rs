//! Creating a manager.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::time::Duration;

use dictrack_core::{
    Span,
    custom::{CustomCode, CustomCondition, CustomLimiter, Measure, Registry},
    group::{Engine, Limits, SetPool},
    template::{Template, Templates},
    zone::{Zone, Zones},
};

use super::commit::Committer;
use super::listeners::Deliveries;
use super::shared::{Manager, Shared};
use super::source::{Begun, Source};
use crate::Error;
use crate::cache::DataCache;
use crate::cache::memory::MemoryCache;
use crate::clock::{Clock, SystemClock};
use crate::durability::Durability;
use crate::metrics::Meter;
use crate::overlay::Overlay;
use crate::store::{DataStore, DryStore, Writers};

/// Builds a [`Manager`].
#[derive(Debug)]
#[must_use = "a builder makes a manager when it is opened"]
pub struct ManagerBuilder {
    cache: Option<Arc<dyn DataCache>>,
    store: Option<Arc<dyn DataStore>>,
    clock: Arc<dyn Clock>,
    registry: Registry,
    limits: Limits,
    durability: Option<Durability>,
    memory_budget: usize,
    keep_events: bool,
    by_hand: bool,
    zone: Zone,
    ahead: Option<Span>,
    templates: Option<Vec<Template>>,
}

impl Default for ManagerBuilder {
    fn default() -> Self {
        Self {
            cache: None,
            store: None,
            clock: Arc::new(SystemClock),
            registry: Registry::default(),
            limits: Limits::default(),
            durability: None,
            memory_budget: 1 << 30,
            keep_events: false,
            by_hand: false,
            zone: Zone::UTC,
            ahead: None,
            templates: None,
        }
    }
}

impl ManagerBuilder {
    /// Holds groups in `cache`, such as one shared with other processes; by default in the memory of this process.
    pub fn cache(mut self, cache: impl DataCache + 'static) -> Self {
        self.cache = Some(Arc::new(cache));
        self
    }

    /// Keeps groups in `store`.
    pub fn store(mut self, store: impl DataStore + 'static) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// When a call is acknowledged. The default is [`Durability::Os`], or an interval of 100 ms if the cache is shared.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = Some(durability);
        self
    }

    /// Reads the time from `clock`.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Reads the time from a clock that the caller keeps, such as a test clock.
    pub fn shared_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Registers a condition by name.
    pub fn condition(mut self, name: &str, condition: impl CustomCondition + 'static) -> Self {
        self.registry.add_condition(name, condition);
        self
    }

    /// Registers a measure by name.
    pub fn measure(mut self, name: &str, measure: impl Measure + 'static) -> Self {
        self.registry.add_measure(name, measure);
        self
    }

    /// Registers a limiter by name.
    pub fn limiter(mut self, name: &str, limiter: impl CustomLimiter + 'static) -> Self {
        self.registry.add_limiter(name, limiter);
        self
    }

    /// Looks in `others` for custom code that is not registered here, such as code in another language.
    pub fn custom_code(mut self, others: impl CustomCode + 'static) -> Self {
        self.registry.set_others(others);
        self
    }

    /// Limits what a group remembers, in memory and in the store.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How many bytes of groups the memory cache holds before it drops idle ones that the store has; 1 GiB by default.
    /// Without a store, nothing is dropped.
    pub fn memory_budget(mut self, bytes: usize) -> Self {
        self.memory_budget = bytes;
        self
    }

    /// The time zone of windows for which neither the limiter, the tracker nor the group has one; UTC by default.
    pub fn zone(mut self, zone: Zone) -> Self {
        self.zone = zone;
        self
    }

    /// Rejects documents that are more than `ahead` ahead of the clock, with [`Error::Ahead`]. A document from the far future
    /// begins a new period of each window, so that all normal ones would be late. By default, none is rejected.
    pub fn ahead(mut self, ahead: Span) -> Self {
        self.ahead = Some(ahead);
        self
    }

    /// Gives groups these trackers: each has those of the templates that it satisfies when it is next touched, in the same
    /// change. See [`Manager::set_trackers`].
    ///
    /// ```
    /// use dictrack::{Manager, TrackerDefinition, json::Json, template::Template};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let logins = TrackerDefinition::count("logins").target(3).build()?;
    /// let manager = Manager::builder().trackers([Template::everyone([logins])?]).open().await?;
    /// let outcome = manager.track("user_001", &Json::Null).await?;
    /// assert_eq!(outcome.dirtied().next().map(|tracker| tracker.name()), Some("logins"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn trackers(mut self, templates: impl IntoIterator<Item = Template>) -> Self {
        self.templates = Some(templates.into_iter().collect());
        self
    }

    /// Keeps events until [`Manager::mark_delivered`], even without a listener.
    pub fn keep_events(mut self) -> Self {
        self.keep_events = true;
        self
    }

    /// Commits only when [`Manager::commit`] is called; calls return as soon as the cache has their change. Listeners
    /// are not called, since calls cannot tell when their change is kept: see [`Manager::undelivered`] after a commit.
    pub fn commit_by_hand(mut self) -> Self {
        self.by_hand = true;
        self
    }

    /// Opens the manager.
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn open(self) -> Result<Manager, Error> {
        self.begin().await.map_err(Error::at_opening)
    }

    async fn begin(mut self) -> Result<Manager, Error> {
        let templates = self.templates.take().map(super::templates::checked).transpose()?;
        let cache = self.cache.take().unwrap_or_else(|| {
            let budget = if self.store.is_some() { self.memory_budget } else { usize::MAX };
            Arc::new(MemoryCache::with_budget(budget))
        });
        let manager = match self.store.take() {
            None => self.build(Arc::clone(&cache), None),
            Some(store) => {
                let durability = self.durability.unwrap_or(match cache.writers() {
                    Writers::One => Durability::Os,
                    Writers::Many => SHARED_INTERVAL,
                });
                self.durability = Some(durability);
                let begun = Begun::of(&store, durability, self.limits, cache.writers()).await?;
                self.build(Arc::clone(&cache), Some((store, begun)))
            }
        };
        if let Some(templates) = templates {
            manager.engine().templates.set(templates);
        }
        let (cache_is_remote, store) = (cache.is_remote(), manager.shared.source.store().is_some());
        tracing::debug!(cache_is_remote, store, "opening");
        cache.begin(Arc::clone(&manager.shared.source) as _, Arc::clone(&manager.shared.engine)).await?;
        Ok(manager)
    }

    fn build(self, cache: Arc<dyn DataCache>, begun: Option<(Arc<dyn DataStore>, Begun)>) -> Manager {
        let (store, begun) = begun.map_or((None, Begun::default()), |(store, begun)| (Some(store), begun));
        let has_custom = !self.registry.is_empty();
        let engine = Arc::new(Engine {
            registry: self.registry,
            sets: SetPool::default(),
            limits: self.limits,
            used_generations: AtomicU32::new(begun.used_generations),
            zones: Zones::bundled(),
            zone: self.zone,
            templates: Templates::default(),
        });
        let (durability, by_hand) = (self.durability.unwrap_or_default(), self.by_hand);
        let meter = Arc::<Meter>::default();
        let committer = store.clone().map(|store| {
            let (cache, engine, meter) = (Arc::clone(&cache), Arc::clone(&engine), Arc::clone(&meter));
            Committer::start(cache, store, engine, durability, by_hand, meter)
        });
        let writers = cache.writers();
        let complete = begun.is_blank.then(|| Arc::downgrade(&cache));
        let source = Arc::new(Source::new(store, Arc::clone(&engine), complete, Arc::clone(&meter)));
        let shared = Shared {
            engine,
            is_remote: cache.is_remote() || source.is_remote(),
            cache,
            source,
            clock: self.clock,
            committer,
            deliveries: Deliveries::new(begun.undelivered, writers == Writers::Many),
            has_custom,
            ahead: self.ahead,
            keep_events: self.keep_events,
            closed: AtomicBool::new(false),
            meter,
        };
        Manager { shared: Arc::new(shared) }
    }
}

impl Manager {
    /// A manager that keeps everything in memory, and loses it when it ends.
    pub fn in_memory() -> Self {
        ManagerBuilder::default().build(Arc::new(MemoryCache::new()), None)
    }

    /// A manager that keeps everything in the SQLite file at `path`, with durability `os`.
    ///
    /// # Errors
    /// The errors of [`SqliteStore::open`](crate::SqliteStore::open).
    #[cfg(feature = "sqlite")]
    pub async fn open(path: impl AsRef<std::path::Path>) -> Result<Self, Error> {
        let path = path.as_ref().to_owned();
        let store = crate::executor::apart(async move { crate::SqliteStore::open(path) }).await?;
        Self::builder().store(store).open().await
    }

    /// A manager that begins with the groups of this one, as they are now, and keeps what it does to itself: to find out what
    /// documents would do, however many. It has no listeners, and forgets everything when it is closed.
    ///
    /// It holds every group that it changes in memory, and the store of this manager until it is dropped. A group that this manager changes meanwhile may or may not be seen
    /// with that change.
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn dry(&self) -> Result<Self, Error> {
        self.check()?;
        let Shared { engine, cache, source, clock, ahead, .. } = &*self.shared;
        let store = DryStore::new(Arc::new(Overlay::new(Arc::clone(cache), source.store().cloned())));
        let mut builder = Self::builder().store(store).shared_clock(Arc::clone(clock)).commit_by_hand();
        (builder.registry, builder.limits, builder.zone) = (engine.registry.clone(), engine.limits, engine.zone);
        (builder.ahead, builder.memory_budget) = (*ahead, usize::MAX);
        if let Some(templates) = engine.templates.get() {
            builder = builder.trackers(templates.templates().iter().cloned());
        }
        builder.open().await
    }

    /// A builder for a manager with a cache, a store, a clock and custom code.
    pub fn builder() -> ManagerBuilder {
        ManagerBuilder::default()
    }
}

/// How soon the store follows a shared cache by default.
const SHARED_INTERVAL: Durability = Durability::Interval(Duration::from_millis(100));
