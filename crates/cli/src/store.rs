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

/// What an option names, or where it is not given the environment: arguments are seen by everybody on a machine.
pub(crate) struct Named {
    option: &'static str,
    variable: &'static str,
    /// The variable that names a file.
    file: &'static str,
}

pub(crate) const STORE: Named = Named { option: "--store", variable: "DICTRACK_STORE", file: "DICTRACK_STORE_FILE" };
pub(crate) const CACHE: Named = Named { option: "--cache", variable: "DICTRACK_CACHE", file: "DICTRACK_CACHE_FILE" };

impl Named {
    /// What is given, else what the environment says; a variable that is empty counts as not set.
    pub(crate) fn named<T: From<String>>(&self, given: Option<T>) -> Result<Option<T>, Failure> {
        if given.is_some() {
            return Ok(given);
        }
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        match (set(self.variable), set(self.file)) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => {
                let Self { variable, file, option } = self;
                Err(Failure(format!("{variable} and {file} are both set; expected one of them, or {option}")))
            }
            // What it holds is not shown.
            (Some(value), None) => {
                let text = value.into_string();
                text.map(|text| Some(text.into())).map_err(|_| Failure(format!("{} is not UTF-8 text", self.variable)))
            }
            (None, Some(file)) => {
                let text = url::read_secret(Path::new(&file));
                let text = text.map_err(|error| Failure(format!("{}: {error}", self.file)))?;
                if url::scheme(&text).is_none() && !Path::new(&text).exists() {
                    // It may be a password alone, which must not become the name of a store.
                    return Err(Failure(format!(
                        "{}: what the file holds is neither a URL such as mongodb://host/database nor a store that exists; \
                         a password alone belongs in the file of ?password_file=FILE at the end of a URL",
                        self.file
                    )));
                }
                Ok(Some(text.into()))
            }
        }
    }
}

/// Where the commands that look find groups.
#[derive(Clone, clap::Args)]
#[group(id = "place", multiple = true)]
pub(crate) struct Where {
    /// The store: a file, or mongodb://…
    /// [env: DICTRACK_STORE, or DICTRACK_STORE_FILE with the name of a file that holds it]
    #[arg(long, value_name = "FILE|URL")]
    store: Option<PathBuf>,
    /// The Redis cache, redis://…: what it holds and the store does not yet have is shown, too.
    /// [env: DICTRACK_CACHE, or DICTRACK_CACHE_FILE with the name of a file that holds it]
    #[arg(long, value_name = "URL")]
    cache: Option<String>,
}

/// A store, named by `--store`.
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
                    "--store: it looks like a URL, and has no scheme that is known; expected mongodb://… or \
                     mongodb+srv://…, or a file, with ./ before a name like this"
                        .to_owned(),
                ));
            }
        }
        let scheme = url::scheme(&text).unwrap_or_default();
        let hint = if CACHE_SCHEMES.contains(&scheme) { "; Redis is a cache: give it to --cache" } else { "" };
        Err(Failure(format!(
            "--store {}: no store has the scheme {scheme:?}; expected a file, mongodb://… or mongodb+srv://…{hint}",
            url::shown(&text)
        )))
    }

    /// Opens the store as its writer; a file is made if there is none.
    pub(crate) fn open(&self) -> Result<Arc<dyn DataStore>, Failure> {
        self.open_within(usize::MAX)
    }

    /// As [`open`](Self::open), for one who has so many MiB for groups: the store takes less, too, where that is little.
    pub(crate) fn open_within(&self, memory: usize) -> Result<Arc<dyn DataStore>, Failure> {
        match self {
            Self::File(path) => Ok(Arc::new(SqliteStore::open(path)?.budget(memory.saturating_mul(1024 * 1024) / 4)?)),
            Self::Mongo(url) => Ok(Arc::new(wait(MongoStore::open(url)).map_err(|error| unread(&error))?)),
        }
    }

    /// Opens the store for reading, also beside a running writer.
    pub(crate) fn open_read_only(&self) -> Result<Arc<dyn DataStore>, Failure> {
        match self {
            Self::File(name) => {
                let path = SqliteStore::resolve(name)?;
                match std::fs::metadata(&path) {
                    Err(error) if error.kind() == ErrorKind::NotFound => {
                        Err(Failure(format!("{self}: there is no such store")))
                    }
                    Ok(file) if file.len() == 0 => {
                        Err(Failure(format!("{self}: an empty file; no run has written to it yet")))
                    }
                    _ => Ok(Arc::new(SqliteStore::open_read_only(name)?)),
                }
            }
            Self::Mongo(url) => Ok(Arc::new(wait(MongoStore::open_read_only(url)).map_err(|error| unread(&error))?)),
        }
    }
}

/// As errors name it.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.write_str(&url::shown_path(path)),
            Self::Mongo(url) => f.write_str(&url::shown(url)),
        }
    }
}

/// What a command looks at.
pub(crate) struct Shown {
    pub(crate) store: Arc<dyn DataStore>,
    /// How errors name it.
    pub(crate) name: String,
}

impl Where {
    /// With what the environment names; one of both has to be there.
    pub(crate) fn named(&self) -> Result<Self, Failure> {
        let named = Self { store: STORE.named(self.store.clone())?, cache: CACHE.named(self.cache.clone())? };
        if named.store.is_none() && named.cache.is_none() {
            misused(
                "neither --store nor --cache is given, nor DICTRACK_STORE or DICTRACK_CACHE set; expected one of them",
            );
        }
        Ok(named)
    }

    /// What is named. Nothing is connected yet.
    pub(crate) fn read(&self) -> Result<(Option<RedisCache>, Option<Place>), Failure> {
        let place = self.store.as_deref().map(Place::of).transpose()?;
        Ok((self.cache.as_deref().map(cache).transpose()?, place))
    }

    /// Opens what is named, for looking only.
    pub(crate) fn open(&self) -> Result<Shown, Failure> {
        let (cache, place) = self.read()?;
        let store = place.as_ref().map(Place::open_read_only).transpose()?;
        let names = [self.cache.as_deref().map(url::shown), place.map(|place| place.to_string())];
        let name = names.into_iter().flatten().collect::<Vec<_>>().join(" over ");
        match (cache, store) {
            (Some(cache), store) => Ok(Shown { store: Arc::new(Overlay::new(Arc::new(cache), store)), name }),
            (None, Some(store)) => Ok(Shown { store, name }),
            (None, None) => Err(Failure("neither --store nor --cache is given; expected one of them".to_owned())),
        }
    }
}

/// The cache that `--cache` names. Nothing is connected yet.
pub(crate) fn cache(url: &str) -> Result<RedisCache, Failure> {
    let (problem, hint) = match url::scheme(url) {
        Some(scheme) if CACHE_SCHEMES.contains(&scheme) => return Ok(RedisCache::new(url)?),
        Some(scheme) if STORE_SCHEMES.contains(&scheme) => {
            (format!("no cache has the scheme {scheme:?}"), "; MongoDB is a store: give it to --store")
        }
        Some(scheme) => (format!("no cache has the scheme {scheme:?}"), ""),
        None => ("it has no scheme that is known".to_owned(), ""),
    };
    Err(Failure(format!(
        "--cache {}: {problem}; expected redis://…, rediss://…, redis-cluster://… or rediss-cluster://…{hint}",
        url::shown(url)
    )))
}

/// What a failure says to one who only looks, and whom it does not concern what becomes of acknowledged changes.
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
    fn what_is_meant_to_be_a_url_is_no_file() {
        let kind = |text: &str| Place::of(Path::new(text)).map_err(|Failure(problem)| problem);
        for file in ["shop.db", "./a://b", "/a b://c", "C:\\x", "./u:p@h"] {
            assert!(matches!(kind(file), Ok(Place::File(_))), "{file}");
        }
        assert!(matches!(kind("mongodb+srv://h/db"), Ok(Place::Mongo(_))));
        let Err(problem) = kind("postgres://me:s3cret@h/db") else { panic!("it was taken") };
        assert!(problem.contains("\"postgres\"") && problem.contains("expected a file") && !problem.contains("s3cret"));
        for url in ["mongodb:/me:s3cret@h", "mongodb//me:s3cret@h", "me:s3cret@h/db", "s3cret://h", "redis:s3cret@h"] {
            let Err(problem) = kind(url) else { panic!("{url} was taken") };
            assert!(problem.contains("looks like a URL") && !problem.contains("s3cret"), "{problem}");
        }
    }
}
