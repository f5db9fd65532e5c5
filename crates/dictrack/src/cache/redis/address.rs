//! Where Redis is, as a URL says it.

use std::fmt;
use std::time::Duration;

use redis::{ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisError};

use crate::Error;
use crate::cache::BackendError;

/// The schemes, whether they encrypt, and whether they name a cluster.
const SCHEMES: [(&str, bool, bool); 4] =
    [("redis", false, false), ("rediss", true, false), ("redis-cluster", false, true), ("rediss-cluster", true, true)];

/// Groups that nobody touched for this long leave the cache once they are stored.
const IDLE: Duration = Duration::from_secs(24 * 60 * 60);

/// A Redis server or cluster, and where dictrack's keys are in it.
#[derive(Clone)]
pub(super) struct Address {
    scheme: &'static str,
    encrypted: bool,
    pub(super) cluster: bool,
    /// `user:password@`, or nothing.
    login: String,
    hosts: Vec<String>,
    /// `/` and the number of the database, or nothing.
    database: String,
    /// What all keys begin with.
    pub(super) prefix: String,
    /// How long a stored group stays that nobody touches.
    pub(super) idle: Duration,
    /// A file with the certificate of the authority to trust instead of those of the system.
    pub(super) ca: Option<String>,
}

fn bad(url: &str, problem: &str) -> Error {
    // What stands before the last @ may be a password.
    let shown = match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}://…{}", &url[..scheme], &url[at..]),
        (_, Some(at)) => format!("…{}", &url[at..]),
        _ => url.to_owned(),
    };
    let source = format!(
        "{problem}; expected redis://[user:password@]host[:port][/database][?prefix=dictrack&idle=24h&ca=FILE], rediss:// \
         for TLS, or redis-cluster://host:port,host:port"
    );
    BackendError { backend: "Redis", action: format!("read the URL {shown:?}"), source: source.into() }.into()
}

impl Address {
    pub(super) fn parse(url: &str) -> Result<Self, Error> {
        let bad = |problem: &str| bad(url, problem);
        let (scheme, rest) = url.split_once("://").ok_or_else(|| bad("it has no scheme"))?;
        let known = SCHEMES.into_iter().find(|(name, ..)| *name == scheme);
        let (scheme, encrypted, cluster) = known.ok_or_else(|| bad("its scheme is not known"))?;
        let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
        if options.contains('@') {
            // What stands there may be a part of a password.
            return Err(bad("it has an @ behind its ?; in a password they are written %40 and %3F"));
        }
        let (login, rest) = match rest.rsplit_once('@') {
            Some((login, rest)) => (format!("{login}@"), rest),
            None => (String::new(), rest),
        };
        let (hosts, database) = rest.split_once('/').unwrap_or((rest, ""));
        let hosts: Vec<String> = hosts.split(',').map(str::to_owned).collect();
        if hosts.iter().any(String::is_empty) {
            return Err(bad("it names no host"));
        }
        // Behind the last colon, unless that stands in an address of version 6.
        let port = |host: &String| {
            host.rsplit_once(':').filter(|(_, port)| !port.contains(']')).map(|(_, port)| port.to_owned())
        };
        if hosts.iter().filter_map(port).any(|port| port.parse::<u16>().is_err()) {
            return Err(bad("its port is not a number"));
        }
        if hosts.len() > 1 && !cluster {
            return Err(bad("it names several hosts, which only a cluster has"));
        }
        if !database.is_empty() && database.parse::<u32>().is_err() {
            return Err(bad("its database is not a number"));
        }
        if cluster && !matches!(database, "" | "0") {
            return Err(bad("a cluster has the database 0 only"));
        }
        let database = if database.is_empty() { String::new() } else { format!("/{database}") };
        let mut address = Self {
            scheme,
            encrypted,
            cluster,
            login,
            hosts,
            database,
            prefix: "dictrack".to_owned(),
            idle: IDLE,
            ca: None,
        };
        for option in options.split('&').filter(|option| !option.is_empty()) {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            match key {
                // Braces say which keys are on one node.
                "prefix" if value.is_empty() || value.contains(['{', '}']) => {
                    return Err(bad("the option prefix is empty or has braces"));
                }
                "prefix" => address.prefix = value.to_owned(),
                "idle" => {
                    address.idle =
                        span(value).ok_or_else(|| bad("the option idle is not a time such as 90s, 30m, 24h"))?
                }
                "ca" if encrypted => address.ca = Some(value.to_owned()),
                "ca" => return Err(bad("the option ca needs rediss://")),
                _ => return Err(bad(&format!("the option {key:?} is not known"))),
            }
        }
        // The client reads what is left of the URL: it is to fail here and not at the first call.
        address.nodes(ProtocolVersion::RESP3).map_err(|error| bad(&error.to_string()))?;
        Ok(address)
    }

    /// One server of a cluster, addressed alone.
    pub(super) fn node(&self, host: &str, port: u16) -> Self {
        let hosts = vec![format!("{host}:{port}")];
        let scheme = if self.encrypted { "rediss" } else { "redis" };
        Self { scheme, cluster: false, hosts, ..self.clone() }
    }

    /// The servers to connect to.
    pub(super) fn nodes(&self, protocol: ProtocolVersion) -> Result<Vec<ConnectionInfo>, RedisError> {
        let scheme = if self.encrypted { "rediss" } else { "redis" };
        let url = |host: &String| format!("{scheme}://{}{host}{}", self.login, self.database);
        let info = |host| {
            let info = url(host).into_connection_info()?;
            let settings = info.redis_settings().clone().set_protocol(protocol);
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

/// Without login.
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
            ("http://me:s3cret@localhost", "scheme is not known"),
            ("redis://", "no host"),
            ("redis://a,b", "several hosts"),
            ("redis://me:s3cret@a/x", "not a number"),
            ("redis-cluster://a/1", "database 0 only"),
            ("redis://a?prefix=", "prefix is empty"),
            ("redis://a?prefix={x}", "braces"),
            ("redis://a?idle=5", "not a time"),
            ("redis://a?idle=0s", "not a time"),
            ("redis://a?ca=x", "needs rediss"),
            ("redis://a?user=x", "not known"),
            ("redis://me:s3cret@a:port", "port is not a number"),
            ("redis://me:s3c@a?ret@b", "an @ behind its ?"),
        ] {
            let error = Address::parse(url).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("expected redis://"), "{url}: {error}");
            assert!(!error.contains("s3cret") && !error.contains("ret@"), "{error}");
        }
    }
}
