//! The address of Redis, as a URL gives it.

use std::fmt;
use std::time::Duration;

use redis::{ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisError};

use crate::backend::BackendError;
use crate::{Error, url};

/// The schemes, whether they encrypt, and whether they name a cluster.
const SCHEMES: [(&str, bool, bool); 4] =
    [("redis", false, false), ("rediss", true, false), ("redis-cluster", false, true), ("rediss-cluster", true, true)];

/// A group that has not been touched for this long leaves the cache once it is stored.
const IDLE: Duration = Duration::from_secs(24 * 60 * 60);

/// A Redis server or cluster, and where dictrack's keys are in it.
#[derive(Clone)]
pub(super) struct Address {
    scheme: &'static str,
    encrypted: bool,
    pub(super) cluster: bool,
    user: Option<String>,
    password: Option<String>,
    hosts: Vec<String>,
    /// `/` and the number of the database, or nothing.
    database: String,
    /// The prefix of all keys.
    pub(super) prefix: String,
    /// How long a stored group stays in Redis without being touched.
    pub(super) idle: Duration,
    /// A file with the certificate of the authority to trust instead of the system's.
    pub(super) ca: Option<String>,
}

fn bad(url: &str, problem: &str) -> Error {
    let source = format!(
        "{problem}; expected redis://[user:password@]host[:port][/database][?prefix=dictrack&idle=24h&ca=FILE\
         &password_file=FILE], rediss:// for TLS, or redis-cluster://host:port,host:port"
    );
    BackendError { backend: "Redis", action: format!("read the URL {}", url::shown(url)), source: source.into() }.into()
}

impl Address {
    pub(super) fn parse(url: &str) -> Result<Self, Error> {
        let bad = |problem: &str| bad(url, problem);
        let url = url::with_password(url).map_err(|problem| bad(&problem))?;
        let parts = url::Parts::read(&url).map_err(bad)?;
        let known = SCHEMES.into_iter().find(|(name, ..)| *name == parts.scheme());
        let (scheme, encrypted, cluster) = known.ok_or_else(|| bad("the scheme is not one of Redis"))?;
        if parts.hosts.len() > 1 && !cluster {
            return Err(bad("several hosts; only a cluster has more than one"));
        }
        let database = parts.path;
        if !database.is_empty() && database.parse::<u32>().is_err() {
            return Err(bad("database is not a number"));
        }
        if cluster && !matches!(database, "" | "0") {
            return Err(bad("a cluster only has database 0"));
        }
        let login =
            [Some(parts.user), parts.password].map(|text| text.map(url::decoded).filter(|text| !text.is_empty()));
        if login.iter().flatten().any(|text| text.contains('\u{fffd}')) {
            return Err(bad("user or password is not valid UTF-8"));
        }
        let [user, password] = login;
        let mut address = Self {
            scheme,
            encrypted,
            cluster,
            user,
            password,
            hosts: parts.hosts.iter().map(|host| (*host).to_owned()).collect(),
            database: if database.is_empty() { String::new() } else { format!("/{database}") },
            prefix: "dictrack".to_owned(),
            idle: IDLE,
            ca: None,
        };
        for (name, value) in parts.options {
            match name {
                // Braces determine which keys are on the same node.
                "prefix" if value.is_empty() || value.contains(['{', '}']) => {
                    return Err(bad("the option prefix is empty or contains braces"));
                }
                "prefix" => address.prefix = value.to_owned(),
                "idle" => {
                    address.idle =
                        span(value).ok_or_else(|| bad("the option idle is not a duration such as 90s, 30m or 24h"))?
                }
                "ca" if encrypted => address.ca = Some(value.to_owned()),
                "ca" => return Err(bad("the option ca needs rediss://")),
                _ => return Err(bad(&format!("unknown option {name:?}"))),
            }
        }
        // The client parses the rest of the URL: a mistake must show here, not at the first call.
        address.nodes(ProtocolVersion::RESP3).map_err(|error| bad(error.category()))?;
        Ok(address)
    }

    /// One server of a cluster, addressed directly.
    pub(super) fn node(&self, host: &str, port: u16) -> Self {
        let hosts = vec![format!("{host}:{port}")];
        let scheme = if self.encrypted { "rediss" } else { "redis" };
        Self { scheme, cluster: false, hosts, ..self.clone() }
    }

    /// The servers to connect to.
    pub(super) fn nodes(&self, protocol: ProtocolVersion) -> Result<Vec<ConnectionInfo>, RedisError> {
        let scheme = if self.encrypted { "rediss" } else { "redis" };
        let info = |host: &String| {
            let info = format!("{scheme}://{host}{}", self.database).into_connection_info()?;
            let mut settings = info.redis_settings().clone().set_protocol(protocol);
            if let Some(user) = &self.user {
                settings = settings.set_username(user);
            }
            if let Some(password) = &self.password {
                settings = settings.set_password(password);
            }
            Ok(info.set_redis_settings(settings))
        };
        self.hosts.iter().map(info).collect()
    }
}

/// Reads a whole number of seconds, minutes or hours.
fn span(text: &str) -> Option<Duration> {
    let (digits, seconds) = match text.char_indices().last()? {
        (at, 's') => (&text[..at], 1),
        (at, 'm') => (&text[..at], 60),
        (at, 'h') => (&text[..at], 3_600),
        _ => return None,
    };
    let count: u32 = digits.parse().ok().filter(|count| *count > 0)?;
    Some(Duration::from_secs(u64::from(count) * seconds))
}

/// Shows the address without the login.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.hosts.join(","), self.database)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}, prefix {:?}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_the_keys_are() {
        let address = Address::parse("rediss://me:s3cret@db.example:6380/2?prefix=shop&idle=30m&ca=/ca.pem").unwrap();
        assert_eq!(address.to_string(), "rediss://db.example:6380/2");
        assert_eq!((address.prefix.as_str(), address.idle.as_secs()), ("shop", 1_800));
        assert!(!format!("{address:?}").contains("s3cret"));
        let cluster = Address::parse("redis-cluster://a:1,b:2").unwrap();
        assert!(cluster.cluster && cluster.nodes(ProtocolVersion::RESP3).unwrap().len() == 2);
    }

    #[test]
    fn a_bad_url_is_refused_in_words_and_without_its_password() {
        for (url, words) in [
            ("localhost", "no scheme"),
            ("me:s3cret@localhost", "no scheme"),
            ("http://me:s3cret@localhost", "scheme is not one of Redis"),
            ("s3cret://localhost", "unknown scheme"),
            ("redis://", "no host"),
            ("redis://a,b", "several hosts"),
            ("redis://me:s3cret@a/x", "not a number"),
            ("redis-cluster://a/1", "only has database 0"),
            ("redis://a?prefix=", "prefix is empty"),
            ("redis://a?prefix={x}", "braces"),
            ("redis://a?idle=5", "not a duration"),
            ("redis://a?idle=0s", "not a duration"),
            ("redis://a?ca=x", "needs rediss"),
            ("redis://a?user=x", "unknown option"),
            ("redis://me:s3cret@a:port", "port is not a number"),
            ("redis://me:s3c@a?ret@b", "@ or # after the hosts"),
            ("redis://me:s3cret%ff@a", "not valid UTF-8"),
            ("rediss://me:s3cret@a#insecure", "@ or # after the hosts"),
            ("redis://a?password_file=/nothing/here", "/nothing/here: No such file"),
            ("redis://me:s3cret@a?password_file=/nothing/here", "both a password and the option password_file"),
            ("redis://a?s3cret", "expected NAME=VALUE"),
            ("redis://a?password=s3cret", "unknown option \"password\""),
        ] {
            let error = Address::parse(url).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("expected redis://"), "{url}: {error}");
            assert!(!error.contains("s3c") && !error.contains("ret@"), "{error}");
        }
    }
}
