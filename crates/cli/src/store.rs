//! Opening what `--store` and `--cache` name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dictrack::clock::SystemClock;
use dictrack::group::{Engine, Group};
use dictrack::open::{CacheAddress, OpenOptions, StoreAddress};
use dictrack::store::DataStore;
use dictrack::{Durability, Error, Manager, overlay::Overlay, url, url::quoted};

use crate::moment::ZoneArg;
use crate::{Failure, misused};

/// The value of an option or of its environment variable. Arguments are visible to every user of the machine.
pub(crate) struct Named {
    option: &'static str,
    variable: &'static str,
    /// The variable that names a file.
    file: &'static str,
}

pub(crate) const STORE: Named = Named { option: "--store", variable: "DICTRACK_STORE", file: "DICTRACK_STORE_FILE" };
pub(crate) const CACHE: Named = Named { option: "--cache", variable: "DICTRACK_CACHE", file: "DICTRACK_CACHE_FILE" };

impl Named {
    /// The given value, else the one in the environment. An empty variable counts as unset.
    pub(crate) fn named<T: From<String>>(&self, given: Option<T>) -> Result<Option<T>, Failure> {
        if given.is_some() {
            return Ok(given);
        }
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        match (set(self.variable), set(self.file)) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => {
                let Self { variable, file, option } = self;
                Err(Failure(format!("both {variable} and {file} are set; set only one of them, or use {option}")))
            }
            // Its value is not shown.
            (Some(value), None) => {
                let text = value.into_string();
                text.map(|text| Some(text.into())).map_err(|_| Failure(format!("{} is not valid UTF-8", self.variable)))
            }
            (None, Some(file)) => {
                let text = url::read_secret(Path::new(&file));
                let text = text.map_err(|error| Failure(format!("{}: {error}", self.file)))?;
                if url::scheme(&text).is_none() && !Path::new(&text).exists() {
                    // It may be just a password, which must not become the name of a store.
                    return Err(Failure(format!(
                        "{}: the file contains neither a URL such as mongodb://host/database nor the path of an existing store; \
                         if it contains only a password, name it with ?password_file=FILE at the end of a URL",
                        self.file
                    )));
                }
                Ok(Some(text.into()))
            }
        }
    }
}

/// Where the commands that only read find groups.
#[derive(Clone, clap::Args)]
#[group(id = "place", multiple = true)]
pub(crate) struct Where {
    /// The store: a file, or mongodb://…
    /// [env: DICTRACK_STORE, or DICTRACK_STORE_FILE with the name of a file that contains it]
    #[arg(short, long, value_name = "FILE|URL")]
    store: Option<PathBuf>,
    /// The Redis cache, redis://…: includes changes that the store does not have yet.
    /// [env: DICTRACK_CACHE, or DICTRACK_CACHE_FILE with the name of a file that contains it]
    #[arg(long, value_name = "URL")]
    cache: Option<String>,
}

/// The store that `--store` names.
pub(crate) fn address(named: &Path) -> Result<StoreAddress, Failure> {
    StoreAddress::parse(named).map_err(|error| Failure(format!("{}: {error}", STORE.option)))
}

/// The cache that `--cache` names.
pub(crate) fn cache_address(url: &str) -> Result<CacheAddress, Failure> {
    CacheAddress::parse(url).map_err(|error| Failure(format!("{}: {error}", CACHE.option)))
}

/// Opens a store.
pub(crate) fn open(address: &StoreAddress, options: &OpenOptions) -> Result<Arc<dyn DataStore>, Failure> {
    wait(address.open(options)).map_err(|error| unread(&error))
}

/// Waits for a call to a store or a cache.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    pollster::block_on(future)
}

/// An opened store, with its name.
pub(crate) struct Shown {
    pub(crate) store: Arc<dyn DataStore>,
    /// The name used in errors.
    pub(crate) name: String,
}

impl Shown {
    /// The group of this id, which must exist.
    pub(crate) fn group(&self, id: &str, engine: &Engine) -> Result<Group, Failure> {
        let group = wait(self.store.load(id, engine)).map_err(|error| unread(&error))?;
        group.ok_or_else(|| Failure(format!("{}: group {} does not exist", self.name, quoted(id))))
    }
}

impl Where {
    /// A store, a cache or both.
    pub(crate) fn of(store: Option<PathBuf>, cache: Option<String>) -> Option<Self> {
        (store.is_some() || cache.is_some()).then_some(Self { store, cache })
    }

    /// Adds what the environment variables name. A store or a cache is required.
    pub(crate) fn named(&self) -> Result<Self, Failure> {
        let named = self.optional()?;
        if named.store.is_none() && named.cache.is_none() {
            misused("no store or cache given; use --store, --cache, DICTRACK_STORE or DICTRACK_CACHE");
        }
        Ok(named)
    }

    /// Adds what the environment variables name, if they name anything.
    pub(crate) fn optional(&self) -> Result<Self, Failure> {
        Ok(Self { store: STORE.named(self.store.clone())?, cache: CACHE.named(self.cache.clone())? })
    }

    #[cfg(feature = "server")]
    pub(crate) fn has_store(&self) -> bool {
        self.store.is_some()
    }

    /// The cache and the store. Does not connect yet.
    pub(crate) fn read(&self) -> Result<(Option<CacheAddress>, Option<StoreAddress>), Failure> {
        let store = self.store.as_deref().map(address).transpose()?;
        Ok((self.cache.as_deref().map(cache_address).transpose()?, store))
    }

    /// A manager that may change groups. Its calls return once what they changed is kept.
    pub(crate) fn manager(&self, zone: ZoneArg) -> Result<Manager, Failure> {
        let (cache, store) = self.read()?;
        let options = OpenOptions::default();
        let durability = if cache.is_some() { Durability::Os } else { Durability::Fsync };
        let mut builder = Manager::builder().clock(SystemClock).zone(zone.zone).durability(durability);
        if let Some(cache) = cache {
            builder = builder.cache(cache.open(&options)?);
        }
        if let Some(store) = store {
            builder = builder.store(open(&store, &options)?);
        }
        wait(builder.open()).map_err(|error| unread(&error))
    }

    /// Opens the store and the cache for reading.
    pub(crate) fn open(&self) -> Result<Shown, Failure> {
        let (cache, store) = self.read()?;
        let names = [cache.as_ref().map(ToString::to_string), store.as_ref().map(ToString::to_string)];
        let name = names.into_iter().flatten().collect::<Vec<_>>().join(" over ");
        let options = OpenOptions::default().read_only();
        let cache = cache.map(|cache| cache.open(&options)).transpose()?;
        let store = store.map(|store| open(&store, &options)).transpose()?;
        match (cache, store) {
            (Some(cache), store) => Ok(Shown { store: Arc::new(Overlay::new(cache, store)), name }),
            (None, Some(store)) => Ok(Shown { store, name }),
            (None, None) => Err(Failure("no store or cache given; use --store or --cache".to_owned())),
        }
    }
}

/// The error as shown to a reader, who is not concerned with the fate of acknowledged changes.
pub(crate) fn unread(error: &Error) -> Failure {
    Failure(match error {
        Error::Unavailable(error) => error.to_string(),
        error => error.to_string(),
    })
}
