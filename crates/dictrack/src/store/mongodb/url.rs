//! Reads a URL: servers, database, collection. The password stays in here and in the driver.

use std::time::Duration;

use mongodb::options::{ClientOptions, ReadPreference, SelectionCriteria, ServerAddress};

use super::server::brief;
use crate::Error;
use crate::backend::BackendError;
use crate::url::{Parts, decoded, is_encoded, shown, with_password};

/// What a URL has to look like.
const EXPECTED: &str =
    "expected mongodb://[user:password@]host[:port]/[database][?collection=groups&password_file=FILE]";
/// How long to look for a server that accepts writes, unless the URL says otherwise.
const SELECT_WITHIN: Duration = Duration::from_millis(500);
/// How long connecting may take, unless the URL says otherwise.
const CONNECT_WITHIN: Duration = Duration::from_millis(700);
/// How often servers are asked for their state, unless the URL says otherwise. A server that was not the primary and
/// has become it again is used only after the next of these checks.
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

/// What error messages must not show.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Vec<String>);

impl Secrets {
    /// The password in a URL, both as written and decoded, and anything else in it that may be secret.
    fn of(parts: &Parts<'_>) -> Self {
        let secret =
            |name: &str| ["password", "properties"].iter().any(|secret| name.to_ascii_lowercase().contains(secret));
        let options = parts.options.iter().filter(|(name, _)| secret(name)).map(|(_, value)| *value);
        let mut all: Vec<_> =
            parts.password.into_iter().chain(options).flat_map(|text| [text.to_owned(), decoded(text)]).collect();
        all.retain(|secret| !secret.is_empty());
        // Longer ones first: if a secret contains another one, none of it may remain.
        all.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        all.dedup();
        Self(all)
    }

    /// The text without the secrets.
    pub(crate) fn hide(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}

/// A URL as the driver reads it.
pub(crate) struct Driven {
    pub(crate) options: ClientOptions,
    /// The value of our own option `collection`.
    collection: Option<String>,
    pub(crate) secrets: Secrets,
}

/// Has the driver parse a URL. An error says what is wrong, and repeats no part of the URL that may be secret.
pub(crate) async fn driven(url: &str) -> Result<Driven, String> {
    let url = with_password(url)?;
    let mut parts = Parts::read(&url)?;
    if !matches!(parts.scheme(), "mongodb" | "mongodb+srv") {
        return Err("the scheme is not one of MongoDB".to_owned());
    }
    // Of such a login, the driver may panic with a message that quotes it.
    if [Some(parts.user), parts.password].into_iter().flatten().any(|text| !is_encoded(text)) {
        return Err("the login contains a % without two hexadecimal digits after it; write % as %25".to_owned());
    }
    let secrets = Secrets::of(&parts);
    let own: Vec<_> = parts.options.extract_if(.., |(name, _)| *name == "collection").collect();
    let text = parts.to_url();
    let options = ClientOptions::parse(&text).await.map_err(|error| {
        let words = brief(&error);
        if repeats(&words, &parts) { "the driver rejects the login or an option".to_owned() } else { words }
    })?;
    Ok(Driven { options, collection: own.last().map(|(_, name)| decoded(name)), secrets })
}

/// Whether a message repeats the login or the value of an option: the driver quotes what it cannot parse.
fn repeats(words: &str, parts: &Parts<'_>) -> bool {
    let words = words.to_lowercase();
    let values = parts.options.iter().flat_map(|(_, value)| value.split([',', ':']));
    let is_word = |text: &&str| text.parse::<f64>().is_err() && !text.is_empty();
    let mut found = values.chain(parts.password).filter(is_word).flat_map(|text| [text.to_owned(), decoded(text)]);
    found.any(|text| words.contains(&text.to_lowercase()))
}

impl Place {
    /// Reads a URL; `database` and `collection` override it.
    pub(super) async fn read(url: &str, database: Option<&str>, collection: Option<&str>) -> Result<Self, Error> {
        let refuse = |problem: String| -> Error {
            let source = format!("{problem}; {EXPECTED}").into();
            BackendError { backend: "MongoDB", action: format!("read the URL {}", shown(url)), source }.into()
        };
        let Driven { mut options, collection: of_url, secrets } = driven(url).await.map_err(refuse)?;
        for (what, given, in_url) in
            [("database", database, &options.default_database), ("collection", collection, &of_url)]
        {
            let name = given.or(in_url.as_deref());
            if name.is_some_and(|name| name.is_empty() || name.contains(['\0', '$']) || name.starts_with("system.")) {
                // A name from a URL is not shown, since it may contain anything.
                let said = given.map_or_else(|| format!("its {what}"), |given| format!("{given:?}"));
                return Err(refuse(format!("{said} is not a valid name for a {what}")));
            }
        }
        let named = |given: Option<&str>, in_url: Option<String>, default: &str| {
            given.map(str::to_owned).or(in_url).unwrap_or_else(|| default.to_owned())
        };
        let database = named(database, options.default_database.clone(), "dictrack");
        let collection = named(collection, of_url, "groups");
        options.app_name.get_or_insert_with(|| "dictrack".to_owned());
        options.server_selection_timeout.get_or_insert(SELECT_WITHIN);
        options.connect_timeout.get_or_insert(CONNECT_WITHIN);
        options.heartbeat_freq.get_or_insert(LOOK_EVERY);
        // What is read decides what is written next, so only the primary is recent enough.
        options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
        let hosts: Vec<_> = options.hosts.iter().map(ServerAddress::to_string).collect();
        let name = format!("mongodb://{}/{database}.{collection}", hosts.join(","));
        Ok(Self { options, database, collection, name, secrets })
    }
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
            "mongodb://u:p@h/?readPreference=geheim",
            "mongodb://u:p@h/?authMechanismProperties=Geheim",
            "mongodb://u:p@h/?geheim",
            "mongodb://u:geheim%@h/",
            "mongodb://u:%€geheim@h/",
            "mongodb://%€geheim:p@h/",
            "mongodb://u:%4€geheim@h/",
            "mongodb://geheim%é@h/",
            "mongodb://u:geheim",
            "mongodb://:geheim",
            "mongodb:/u:geheim@h",
            "mongodb//u:geheim@h",
            "u:geheim@h/db",
            "",
        ] {
            let Err(error) = read(url) else { panic!("{url} was read") };
            let text = format!("{error} {error:?}").to_lowercase();
            assert!(!text.contains("geh") && !text.contains("eim"), "{url}: {text}");
            assert!(text.contains("expected mongodb://"), "{url}: {text}");
        }
    }

    #[test]
    fn secrets_are_hidden_in_every_form() {
        let parts = Parts::read("mongodb://u:a%20b@h/?authMechanismProperties=AWS_SESSION_TOKEN:t0ken").unwrap();
        let secrets = Secrets::of(&parts);
        assert_eq!(secrets.hide("a%20b, a b and AWS_SESSION_TOKEN:t0ken"), "***, *** and ***");
    }
}
