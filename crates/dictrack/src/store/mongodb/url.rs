//! What a URL says: servers, database, collection. The password stays in here and in the driver.

use std::time::Duration;

use mongodb::options::{ClientOptions, ReadPreference, SelectionCriteria, ServerAddress};

use super::server::brief;
use crate::Error;
use crate::cache::BackendError;

/// What a URL has to look like.
const EXPECTED: &str = "expected mongodb://[user:password@]host[:port]/[database][?collection=groups]";
/// How long a server that takes writes is looked for, unless the URL says otherwise.
const SELECT_WITHIN: Duration = Duration::from_millis(500);
/// How long making a connection may take, unless the URL says otherwise.
const CONNECT_WITHIN: Duration = Duration::from_millis(700);
/// How often servers are asked what they are, unless the URL says otherwise. One that said it is no primary, and then is
/// again, is not used before.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where a store is.
pub(super) struct Place {
    pub(super) options: ClientOptions,
    pub(super) database: String,
    pub(super) collection: String,
    /// How errors name it.
    pub(super) name: String,
    pub(super) secrets: Secrets,
}

/// What errors must not show.
#[derive(Clone, Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// The password of a URL, as it stands there and as it is meant, and what else may be secret in it.
    fn of(url: &str) -> Self {
        let mut all = Vec::new();
        let mut keep = |text: &str| {
            all.push(text.to_owned());
            all.push(decoded(text));
        };
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        // The last `@`, since a password may have one that should have been written as `%40`.
        if let Some((user, _)) = rest.rsplit_once('@')
            && let Some((_, password)) = user.split_once(':')
        {
            keep(password);
        }
        for option in rest.split_once('?').map_or("", |(_, options)| options).split('&') {
            if let Some((key, value)) = option.split_once('=')
                && ["password", "properties"].iter().any(|secret| key.to_ascii_lowercase().contains(secret))
            {
                keep(value);
            }
        }
        all.retain(|secret| !secret.is_empty());
        // What contains another goes first, so that nothing of it is left.
        all.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        all.dedup();
        Self(all)
    }

    /// The text without them.
    pub(super) fn hide(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}

impl Place {
    /// Reads a URL; `database` and `collection` win over what it says.
    pub(super) async fn read(url: &str, database: Option<&str>, collection: Option<&str>) -> Result<Self, Error> {
        let secrets = Secrets::of(url);
        let refuse = |problem: String| -> Error {
            let source = format!("{}; {EXPECTED}", secrets.hide(&problem)).into();
            BackendError { backend: "MongoDB", action: format!("use the URL {}", shown(url)), source }.into()
        };
        if url.split_once('?').is_some_and(|(_, options)| options.contains('@')) {
            // What stands there may be a part of a password.
            return Err(refuse("it has an @ behind its ?; in a password they are written %40 and %3F".to_owned()));
        }
        let (url, of_url) = without_own_options(url);
        let mut options = ClientOptions::parse(&url).await.map_err(|error| refuse(brief(&error)))?;
        let named = |given: Option<&str>, in_url: Option<String>, default: &str| {
            given.map(str::to_owned).or(in_url).unwrap_or_else(|| default.to_owned())
        };
        let database = named(database, options.default_database.clone(), "dictrack");
        let collection = named(collection, of_url, "groups");
        for (what, name) in [("database", &database), ("collection", &collection)] {
            if name.is_empty() || name.contains(['\0', '$']) || name.starts_with("system.") {
                return Err(refuse(format!("{name:?} cannot be the name of a {what}")));
            }
        }
        options.app_name.get_or_insert_with(|| "dictrack".to_owned());
        options.server_selection_timeout.get_or_insert(SELECT_WITHIN);
        options.connect_timeout.get_or_insert(CONNECT_WITHIN);
        options.heartbeat_freq.get_or_insert(LOOK_EVERY);
        // What is read decides what is written next, so that only the primary knows enough.
        options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
        let hosts: Vec<_> = options.hosts.iter().map(ServerAddress::to_string).collect();
        let name = format!("mongodb://{}/{database}.{collection}", hosts.join(","));
        Ok(Self { options, database, collection, name, secrets })
    }
}

/// The URL without the options that the driver does not know, and the collection that they name.
fn without_own_options(url: &str) -> (String, Option<String>) {
    let Some((place, options)) = url.split_once('?') else { return (url.to_owned(), None) };
    let mut collection = None;
    let others: Vec<_> = options
        .split('&')
        .filter(|option| match option.split_once('=') {
            Some(("collection", name)) => {
                collection = Some(decoded(name));
                false
            }
            _ => !option.is_empty(),
        })
        .collect();
    let url = if others.is_empty() { place.to_owned() } else { format!("{place}?{}", others.join("&")) };
    (url, collection)
}

/// The URL as errors show it: without user and options.
fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let (user, place) = match rest.rsplit_once('@') {
        Some((_, place)) => ("***@", place),
        None => ("", rest),
    };
    let place = place.split_once('?').map_or(place, |(place, _)| place);
    if scheme.is_empty() { format!("{user}{place:?}") } else { format!("{scheme}://{user}{place}") }
}

/// The text with `%XX` read; what is not that stays.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<Place, Error> {
        pollster::block_on(Place::read(url, None, None))
    }

    #[test]
    fn a_url_names_database_and_collection() {
        for (url, database, collection) in [
            ("mongodb://h/", "dictrack", "groups"),
            ("mongodb://h", "dictrack", "groups"),
            ("mongodb://h:1,i:2/shop?collection=players&w=1", "shop", "players"),
            ("mongodb://u:p@h/a%2Db?collection=a%20b", "a-b", "a b"),
        ] {
            let place = read(url).unwrap();
            assert_eq!((&*place.database, &*place.collection), (database, collection), "{url}");
        }
        assert_eq!(read("mongodb://u:p@h:1,i/shop").unwrap().name, "mongodb://h:1,i:27017/shop.groups");
    }

    #[test]
    fn settings_of_a_url_win_over_ours() {
        let options =
            read("mongodb://h/?connectTimeoutMS=9000&heartbeatFrequencyMS=2000&appName=mine").unwrap().options;
        assert_eq!(options.connect_timeout, Some(Duration::from_secs(9)));
        assert_eq!(options.heartbeat_freq, Some(Duration::from_secs(2)));
        assert_eq!(options.server_selection_timeout, Some(SELECT_WITHIN));
        assert_eq!(options.app_name.as_deref(), Some("mine"));
    }

    #[test]
    fn a_bad_url_is_refused_without_its_password() {
        for url in [
            "redis://u:geheim@h:1/",
            "mongodb://u:geheim@h:port/",
            "mongodb://u:geheim@/",
            "mongodb://u:geh@eim@h/",
            "mongodb://u:geheim@h/?collection=",
            "mongodb://u:geheim@h/?socketTimeoutMS=1",
            "mongodb://u:geheim@h/?tlsCertificateKeyFilePassword=geheim&tls=what",
            "u:geheim@h/db",
            "",
        ] {
            let Err(error) = read(url) else { panic!("{url} was read") };
            let text = format!("{error} {error:?}");
            assert!(!text.contains("geheim") && !text.contains("geh@eim"), "{url}: {text}");
            assert!(text.contains("expected mongodb://"), "{url}: {text}");
        }
    }

    #[test]
    fn secrets_are_hidden_in_every_form() {
        let secrets = Secrets::of("mongodb://u:a%20b@h/?authMechanismProperties=AWS_SESSION_TOKEN:t0ken");
        assert_eq!(secrets.hide("a%20b, a b and AWS_SESSION_TOKEN:t0ken"), "***, *** and ***");
    }
}
