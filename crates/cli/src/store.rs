//! Opening what `--store` and `--cache` name.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dictrack::store::DataStore;
use dictrack::{Error, MongoStore, Overlay, RedisCache, SqliteStore, url};

use crate::explain::wait;
use crate::{Failure, misused};

/// The schemes of `--store`.
const STORE_SCHEMES: [&str; 2] = ["mongodb", "mongodb+srv"];
/// The schemes of `--cache`.
const CACHE_SCHEMES: [&str; 4] = ["redis", "rediss", "redis-cluster", "rediss-cluster"];

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
    #[arg(long, value_name = "FILE|URL")]
    store: Option<PathBuf>,
    /// The Redis cache, redis://…: includes changes that the store does not have yet.
    /// [env: DICTRACK_CACHE, or DICTRACK_CACHE_FILE with the name of a file that contains it]
    #[arg(long, value_name = "URL")]
    cache: Option<String>,
}

/// The store that `--store` names.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Place {
    File(PathBuf),
    /// The URL of a MongoDB database.
    Mongo(String),
}

impl Place {
    pub(crate) fn of(named: &Path) -> Result<Self, Failure> {
        let text = named.to_string_lossy();
        match url::scheme(&text) {
            Some(scheme) if STORE_SCHEMES.contains(&scheme) => return Ok(Self::Mongo(text.into_owned())),
            Some(_) => {}
            None if !url::is_meant(&text) => return Ok(Self::File(named.to_owned())),
            None => {
                return Err(Failure(
                    "--store: looks like a URL with an unknown scheme; expected mongodb://…, mongodb+srv://… or a file; \
                     if it is a file, write ./ before its name"
                        .to_owned(),
                ));
            }
        }
        let scheme = url::scheme(&text).unwrap_or_default();
        let hint = if CACHE_SCHEMES.contains(&scheme) { "; Redis is a cache: use --cache" } else { "" };
        Err(Failure(format!(
            "--store {}: unknown scheme {scheme:?}; expected a file, mongodb://… or mongodb+srv://…{hint}",
            url::shown(&text)
        )))
    }

    /// Opens the store for writing; creates the file if there is none.
    pub(crate) fn open(&self) -> Result<Arc<dyn DataStore>, Failure> {
        self.open_within(usize::MAX)
    }

    /// Like [`open`](Self::open), given the memory limit for groups in MiB: if it is low, the store uses less memory too.
    pub(crate) fn open_within(&self, memory: usize) -> Result<Arc<dyn DataStore>, Failure> {
        match self {
            Self::File(path) => Ok(Arc::new(SqliteStore::open(path)?.budget(memory.saturating_mul(1024 * 1024) / 4)?)),
            Self::Mongo(url) => Ok(Arc::new(wait(MongoStore::open(url)).map_err(|error| unread(&error))?)),
        }
    }

    /// Opens the store for reading, even while another process writes it.
    pub(crate) fn open_read_only(&self) -> Result<Arc<dyn DataStore>, Failure> {
        match self {
            Self::File(name) => {
                let path = SqliteStore::resolve(name)?;
                match std::fs::metadata(&path) {
                    Err(error) if error.kind() == ErrorKind::NotFound => {
                        Err(Failure(format!("{self}: store does not exist")))
                    }
                    Ok(file) if file.len() == 0 => {
                        Err(Failure(format!("{self}: file is empty; no run has written to it yet")))
                    }
                    _ => Ok(Arc::new(SqliteStore::open_read_only(name)?)),
                }
            }
            Self::Mongo(url) => Ok(Arc::new(wait(MongoStore::open_read_only(url)).map_err(|error| unread(&error))?)),
        }
    }
}

/// The name used in errors.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.write_str(&url::shown_path(path)),
            Self::Mongo(url) => f.write_str(&url::shown(url)),
        }
    }
}

/// An opened store, with its name.
pub(crate) struct Shown {
    pub(crate) store: Arc<dyn DataStore>,
    /// The name used in errors.
    pub(crate) name: String,
}

impl Where {
    /// Adds what the environment variables name. A store or a cache is required.
    pub(crate) fn named(&self) -> Result<Self, Failure> {
        let named = Self { store: STORE.named(self.store.clone())?, cache: CACHE.named(self.cache.clone())? };
        if named.store.is_none() && named.cache.is_none() {
            misused("no store or cache given; use --store, --cache, DICTRACK_STORE or DICTRACK_CACHE");
        }
        Ok(named)
    }

    /// The cache and the store. Does not connect yet.
    pub(crate) fn read(&self) -> Result<(Option<RedisCache>, Option<Place>), Failure> {
        let place = self.store.as_deref().map(Place::of).transpose()?;
        Ok((self.cache.as_deref().map(cache).transpose()?, place))
    }

    /// Opens the store and the cache for reading.
    pub(crate) fn open(&self) -> Result<Shown, Failure> {
        let (cache, place) = self.read()?;
        let store = place.as_ref().map(Place::open_read_only).transpose()?;
        let names = [self.cache.as_deref().map(url::shown), place.map(|place| place.to_string())];
        let name = names.into_iter().flatten().collect::<Vec<_>>().join(" over ");
        match (cache, store) {
            (Some(cache), store) => Ok(Shown { store: Arc::new(Overlay::new(Arc::new(cache), store)), name }),
            (None, Some(store)) => Ok(Shown { store, name }),
            (None, None) => Err(Failure("no store or cache given; use --store or --cache".to_owned())),
        }
    }
}

/// The cache that `--cache` names. Does not connect yet.
pub(crate) fn cache(url: &str) -> Result<RedisCache, Failure> {
    let (problem, hint) = match url::scheme(url) {
        Some(scheme) if CACHE_SCHEMES.contains(&scheme) => return Ok(RedisCache::new(url)?),
        Some(scheme) if STORE_SCHEMES.contains(&scheme) => {
            (format!("unknown scheme {scheme:?}"), "; MongoDB is a store: use --store")
        }
        Some(scheme) => (format!("unknown scheme {scheme:?}"), ""),
        None => ("unknown scheme".to_owned(), ""),
    };
    Err(Failure(format!(
        "--cache {}: {problem}; expected redis://…, rediss://…, redis-cluster://… or rediss-cluster://…{hint}",
        url::shown(url)
    )))
}

/// The error as shown to a reader, who is not concerned with the fate of acknowledged changes.
pub(crate) fn unread(error: &Error) -> Failure {
    Failure(match error {
        Error::Unavailable(error) => error.to_string(),
        error => error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_url_is_not_taken_for_a_file() {
        let kind = |text: &str| Place::of(Path::new(text)).map_err(|Failure(problem)| problem);
        for file in ["shop.db", "./a://b", "/a b://c", "C:\\x", "./u:p@h"] {
            assert!(matches!(kind(file), Ok(Place::File(_))), "{file}");
        }
        assert!(matches!(kind("mongodb+srv://h/db"), Ok(Place::Mongo(_))));
        let Err(problem) = kind("postgres://me:s3cret@h/db") else { panic!("it was accepted") };
        assert!(problem.contains("\"postgres\"") && problem.contains("expected a file") && !problem.contains("s3cret"));
        for url in ["mongodb:/me:s3cret@h", "mongodb//me:s3cret@h", "me:s3cret@h/db", "s3cret://h", "redis:s3cret@h"] {
            let Err(problem) = kind(url) else { panic!("{url} was accepted") };
            assert!(problem.contains("looks like a URL") && !problem.contains("s3cret"), "{problem}");
        }
    }
}
