//! Opening what `--store` and `--cache` name.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dictrack::store::DataStore;
use dictrack::{Error, MongoStore, Overlay, RedisCache, SqliteStore};

use crate::Failure;
use crate::explain::wait;

/// The schemes of `--store`; all else is a file.
const STORE_SCHEMES: [&str; 2] = ["mongodb", "mongodb+srv"];
/// The schemes of `--cache`.
const CACHE_SCHEMES: [&str; 4] = ["redis", "rediss", "redis-cluster", "rediss-cluster"];

/// Where the commands that look find groups.
#[derive(Clone, Debug, clap::Args)]
#[group(id = "place", multiple = true)]
pub(crate) struct Where {
    /// The store: a file, or mongodb://…
    #[arg(long, value_name = "FILE|URL")]
    store: Option<PathBuf>,
    /// The Redis cache, redis://…: what it holds and the store does not yet have is shown, too.
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
        let Some((text, scheme)) = named.to_str().and_then(|text| Some((text, scheme_of(text)?))) else {
            return Ok(Self::File(named.to_owned()));
        };
        if STORE_SCHEMES.contains(&scheme) {
            return Ok(Self::Mongo(text.to_owned()));
        }
        let hint = if CACHE_SCHEMES.contains(&scheme) { "; Redis is a cache: give it to --cache" } else { "" };
        Err(Failure(format!(
            "--store {}: no store has the scheme {scheme:?}; expected a file, mongodb://… or mongodb+srv://…{hint}",
            without_login(text)
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
                        Err(Failure(format!("{}: there is no such store", name.display())))
                    }
                    Ok(file) if file.len() == 0 => {
                        Err(Failure(format!("{}: an empty file; no run has written to it yet", name.display())))
                    }
                    _ => Ok(Arc::new(SqliteStore::open_read_only(name)?)),
                }
            }
            Self::Mongo(url) => Ok(Arc::new(wait(MongoStore::open_read_only(url)).map_err(|error| unread(&error))?)),
        }
    }
}

/// As errors name it: without login.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Mongo(url) => f.write_str(&without_login(url)),
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
    /// What is named. Nothing is connected yet.
    pub(crate) fn named(&self) -> Result<(Option<RedisCache>, Option<Place>), Failure> {
        let place = self.store.as_deref().map(Place::of).transpose()?;
        Ok((self.cache.as_deref().map(cache).transpose()?, place))
    }

    /// Opens what is named, for looking only.
    pub(crate) fn open(&self) -> Result<Shown, Failure> {
        let (cache, place) = self.named()?;
        let store = place.as_ref().map(Place::open_read_only).transpose()?;
        let names = [self.cache.as_deref().map(without_login), place.map(|place| place.to_string())];
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
    match scheme_of(url) {
        Some(scheme) if CACHE_SCHEMES.contains(&scheme) => Ok(RedisCache::new(url)?),
        found => {
            let problem = match found {
                Some(scheme) => format!("no cache has the scheme {scheme:?}"),
                None => "it has no scheme".to_owned(),
            };
            let hint = match found {
                Some(scheme) if STORE_SCHEMES.contains(&scheme) => "; MongoDB is a store: give it to --store",
                _ => "",
            };
            Err(Failure(format!(
                "--cache {}: {problem}; expected redis://…, rediss://…, redis-cluster://… or rediss-cluster://…{hint}",
                without_login(url)
            )))
        }
    }
}

/// What a failure says to one who only looks, and whom it does not concern what becomes of acknowledged changes.
pub(crate) fn unread(error: &Error) -> Failure {
    Failure(match error {
        Error::Unavailable(error) => error.to_string(),
        error => error.to_string(),
    })
}

/// What stands before `://`, if it can be a scheme.
fn scheme_of(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once("://")?;
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '+' | '-' | '.');
    (!scheme.is_empty() && scheme.chars().all(fits)).then_some(scheme)
}

/// A URL without login and options. What stands before the last `@` may be a password, also where it is not written as it
/// should be.
pub(crate) fn without_login(url: &str) -> String {
    let (_, rest) = url.split_once("://").unwrap_or(("", url));
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    let place = place.split_once('?').map_or(place, |(place, _)| place);
    let place = place.trim_end_matches('/');
    // What is no scheme may be a login.
    match scheme_of(url) {
        Some(scheme) => format!("{scheme}://{place}"),
        None => place.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_what_is_secret() {
        for (url, shown) in [
            ("redis://me:s3cret@db:1/2?prefix=x", "redis://db:1/2"),
            ("mongodb://me:s3@cr?et@a,b/?replicaSet=s3cret", "mongodb://a,b"),
            ("me:s3cret@host", "host"),
            ("me:s3cret://x@host", "host"),
            ("redis://host", "redis://host"),
        ] {
            assert_eq!(without_login(url), shown, "{url}");
        }
    }

    #[test]
    fn only_what_has_a_scheme_is_no_file() {
        let kind = |text: &str| Place::of(Path::new(text)).map_err(|Failure(problem)| problem);
        for file in ["shop.db", "./a://b", "/a b://c", "C:\\x", "://x"] {
            assert!(matches!(kind(file), Ok(Place::File(_))), "{file}");
        }
        assert!(matches!(kind("mongodb+srv://h/db"), Ok(Place::Mongo(_))));
        let Err(problem) = kind("postgres://me:s3cret@h/db") else { panic!("it was taken") };
        assert!(problem.contains("\"postgres\"") && problem.contains("expected a file") && !problem.contains("s3cret"));
    }
}
