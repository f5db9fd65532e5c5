//! Who may do what.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::FromRequestParts;
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use dictrack::text::quoted;
use parking_lot::RwLock;

use crate::app::Shared;
use crate::keys::{Key, Keys, Scope};
use crate::problem::{Code, Problem};

/// The keys that a server accepts.
#[derive(Debug)]
pub(crate) struct Access {
    keys: RwLock<Arc<Keys>>,
    /// Whether requests need no key, because there was never one and only this machine can send them.
    open: AtomicBool,
}

impl Access {
    pub(crate) fn new(keys: Keys, is_loopback: bool) -> Self {
        let open = AtomicBool::new(is_loopback && keys.is_empty());
        Self { keys: RwLock::new(Arc::new(keys)), open }
    }

    /// Replaces the keys. From the first key on, each request needs one, even after the last is revoked.
    pub(crate) fn replace(&self, keys: Keys) {
        if !keys.is_empty() {
            self.open.store(false, Ordering::Relaxed);
        }
        *self.keys.write() = Arc::new(keys);
    }

    /// Whether requests need no key.
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }
}

/// Who sent a request.
pub(crate) enum Caller {
    /// A program on this machine, while there are no keys.
    Local,
    /// A program with this key.
    Holder(Box<Key>),
}

impl FromRequestParts<Shared> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Problem> {
        Self::of(&parts.headers, &app.access)
    }
}

impl Caller {
    fn of(headers: &HeaderMap, access: &Access) -> Result<Self, Problem> {
        let given = headers.get(AUTHORIZATION);
        if access.is_open() {
            // A page in a browser on this machine could send requests too, by its own name or by another for this address.
            return if is_local(headers) {
                Ok(Self::Local)
            } else {
                Err(Problem::new(
                    Code::Forbidden,
                    "without keys, only programs on this machine may send requests, and web pages may not; \
                     create a key with `dictrack keys create`",
                ))
            };
        }
        let refused =
            |why: &str| Problem::new(Code::Unauthorized, format!("{why}; expected Authorization: Bearer dt_…"));
        let Some(given) = given else { return Err(refused("there is no key")) };
        let token = given.to_str().ok().and_then(|given| {
            let (scheme, token) = given.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let Some(token) = token else { return Err(refused("the key is not a bearer token")) };
        let keys = Arc::clone(&access.keys.read());
        let key = keys.find(token).ok_or_else(|| refused("the key is unknown or revoked"))?;
        Ok(Self::Holder(Box::new(key.clone())))
    }

    /// Fails unless the caller may do this in `group`; without a group, in all of them.
    pub(crate) fn may(&self, scope: Scope, group: Option<&str>) -> Result<(), Problem> {
        let Self::Holder(key) = self else { return Ok(()) };
        if key.allows(scope, group) {
            return Ok(());
        }
        let has_scope = key.scopes.iter().any(|&own| own == scope || own == Scope::Admin);
        Err(Problem::new(
            Code::Forbidden,
            match (has_scope, &key.prefix) {
                (false, _) | (_, None) => format!("the key lacks the scope {scope}"),
                (true, Some(prefix)) if group.is_none() => {
                    format!("the key only allows groups that begin with {}, and this needs all of them", quoted(prefix))
                }
                (true, Some(prefix)) => format!("the key only allows groups that begin with {}", quoted(prefix)),
            },
        ))
    }

    /// The prefix of the groups that the caller may use.
    pub(crate) fn prefix(&self) -> Option<&str> {
        match self {
            Self::Local => None,
            Self::Holder(key) => key.prefix.as_deref(),
        }
    }
}

/// Whether a request names this machine, and does not come from a page of another.
fn is_local(headers: &HeaderMap) -> bool {
    let local = |host: &str| {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let name = name.trim_start_matches('[').trim_end_matches(']');
        name.eq_ignore_ascii_case("localhost")
            || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    };
    let text = |value: &HeaderValue| value.to_str().map(str::to_owned).unwrap_or_default();
    let host = headers.get(HOST).map(text);
    let from_page = headers.get(ORIGIN).map(text).is_some_and(|origin| {
        let of = origin.split_once("://").map_or("", |(_, host)| host);
        host.as_deref().is_none_or(|host| host != of)
    });
    host.is_some_and(|host| local(&host)) && !from_page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_keys_only_programs_of_this_machine_may_call() {
        let local = |host: &str, origin: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, host.parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(ORIGIN, origin.parse().unwrap());
            }
            is_local(&headers)
        };
        for host in ["localhost", "LOCALHOST:3428", "127.0.0.1:80", "127.9.9.9", "[::1]:3428", "[::1]"] {
            assert!(local(host, None), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:3428", "10.0.0.1", "", "127.0.0.1.nip.io", "[::2]:80"] {
            assert!(!local(host, None), "{host}");
        }
        assert!(local("localhost:3428", Some("http://localhost:3428")));
        for origin in ["http://evil.example", "null", "http://localhost:1"] {
            assert!(!local("localhost:3428", Some(origin)), "{origin}");
        }
        assert!(!is_local(&HeaderMap::new()));
    }
}
