//! Keys: who may use a server. A store has only their hashes.
//!
//! Each key is a [mark](dictrack::store::Mark) of the store, so it is committed, exported and shared between servers like everything
//! else in it.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use dictrack::json::{Bounds, Json};
use dictrack::store::{DataStore, Mark};
use dictrack::{Error, Manager, Timestamp};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::json::{list, object};

/// What the marks of keys begin with.
const MARK: &str = "dictrack:key:";
/// What keys begin with, so that tools find those that leaked.
const TOKEN: &str = "dt_";
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;

/// What a key allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// Track documents and set attributes.
    Track,
    /// Show groups and explain documents.
    Read,
    /// Change the trackers of everyone.
    Define,
    /// Everything: also reset trackers, delete groups, and make keys.
    Admin,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 4] = [Self::Track, Self::Read, Self::Define, Self::Admin];

    /// Its name: `track`, `read`, `define` or `admin`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Track => "track",
            Self::Read => "read",
            Self::Define => "define",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that is not the name of a scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownScope(String);

impl fmt::Display for UnknownScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown scope {}; expected track, read, define or admin", dictrack::text::quoted(&self.0))
    }
}

impl std::error::Error for UnknownScope {}

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL.into_iter().find(|scope| scope.name() == text).ok_or_else(|| UnknownScope(text.to_owned()))
    }
}

/// A key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Key {
    /// The public part, which names the key.
    pub id: String,
    /// What it is for, in the words of whoever made it.
    pub name: String,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// If set, it only allows groups whose ids begin with this.
    pub prefix: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    hash: [u8; 32],
}

/// A key to [create].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
#[must_use = "a key exists only once it is created"]
pub struct NewKey {
    /// What it is for.
    pub name: String,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// If set, it only allows groups whose ids begin with this.
    pub prefix: Option<String>,
}

impl NewKey {
    /// A key of this name that allows these scopes.
    pub fn new(name: impl Into<String>, scopes: impl IntoIterator<Item = Scope>) -> Self {
        Self { name: name.into(), scopes: scopes.into_iter().collect(), prefix: None }
    }

    /// Allows only groups whose ids begin with `prefix`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }
}

/// Creates a key in the store of `manager`. Returns it with the text that clients send, which is not stored and cannot be shown
/// again.
///
/// # Errors
/// A failure of the store.
///
/// # Panics
/// If the system has no random numbers.
pub async fn create(manager: &Manager, new: NewKey) -> Result<(Key, String), Error> {
    let mut random = [0; ID_BYTES + SECRET_BYTES];
    getrandom::fill(&mut random).expect("the system has random numbers");
    let (id, secret) = random.split_at(ID_BYTES);
    let id = hex(id);
    let token = format!("{TOKEN}{id}_{}", hex(secret));
    let NewKey { name, mut scopes, prefix } = new;
    scopes.dedup();
    let hash = Sha256::digest(token.as_bytes()).into();
    let key = Key { id, name, scopes, prefix, created: manager.now(), hash };
    let mark = Mark { name: format!("{MARK}{}", key.id), text: Some(key.stored().to_string()) };
    manager.commit(vec![mark]).await?.wait().await?;
    Ok((key, token))
}

/// The keys in a store, in the order in which they were made.
///
/// # Errors
/// A failure of the store.
pub async fn list_all(store: &dyn DataStore) -> Result<Vec<Key>, Error> {
    let marks = store.marks().await?;
    let mut keys: Vec<_> =
        marks.iter().filter_map(|mark| Key::read(mark.name.strip_prefix(MARK)?, mark.text.as_deref()?)).collect();
    keys.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
    Ok(keys)
}

/// Revokes the key of this id, if there is one, in the store of `manager`. A server that shares the store learns of it within a few
/// seconds.
///
/// # Errors
/// A failure of the store.
pub async fn revoke(manager: &Manager, id: &str) -> Result<(), Error> {
    let mark = Mark { name: format!("{MARK}{id}"), text: None };
    manager.commit(vec![mark]).await?.wait().await
}

impl Key {
    /// Whether it allows `scope` in `group`; without a group, for all of them.
    pub(crate) fn allows(&self, scope: Scope, group: Option<&str>) -> bool {
        let within = match (&self.prefix, group) {
            (None, _) => true,
            (Some(prefix), Some(group)) => group.starts_with(prefix.as_str()),
            (Some(_), None) => false,
        };
        within && self.scopes.iter().any(|&own| own == scope || own == Scope::Admin)
    }

    /// The key as JSON, without its hash.
    pub fn to_json(&self) -> Json {
        object([
            ("id", self.id.as_str().into()),
            ("name", self.name.as_str().into()),
            ("scopes", list(&self.scopes, |scope| scope.name().into())),
            ("prefix", self.prefix.as_deref().map_or(Json::Null, Json::from)),
            ("created", self.created.to_number().into()),
        ])
    }

    fn stored(&self) -> Json {
        let Json::Map(mut map) = self.to_json() else { unreachable!("a key is a map") };
        map.insert("sha256".into(), hex(&self.hash).into());
        map.into()
    }

    /// Reads a mark. What a newer version wrote in another form is no key for this one.
    fn read(id: &str, text: &str) -> Option<Self> {
        let json = Json::parse_within(text.as_bytes(), Bounds::STORED).ok()?;
        let map = json.as_map()?;
        let scopes = map.get("scopes")?.as_list()?.iter();
        Some(Self {
            id: id.to_owned(),
            name: map.get("name")?.as_str()?.to_owned(),
            // An unknown scope allows nothing.
            scopes: scopes.filter_map(|scope| scope.as_str()?.parse().ok()).collect(),
            prefix: match map.get("prefix")? {
                Json::Null => None,
                prefix => Some(prefix.as_str()?.to_owned()),
            },
            created: Timestamp::read(map.get("created")?)?,
            hash: unhex(map.get("sha256")?.as_str()?)?,
        })
    }
}

/// The keys of a server, by id.
#[derive(Debug, Default)]
pub(crate) struct Keys(HashMap<String, Key>);

impl Keys {
    pub(crate) fn new(keys: Vec<Key>) -> Self {
        Self(keys.into_iter().map(|key| (key.id.clone(), key)).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key that a client sent, if it is one of these. How long that takes does not depend on how much of the secret is right.
    pub(crate) fn find(&self, token: &str) -> Option<&Key> {
        let (id, _) = token.strip_prefix(TOKEN)?.split_once('_')?;
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let key = self.0.get(id)?;
        bool::from(key.hash.ct_eq(&hash)).then_some(key)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..][..2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dictrack::block_on;
    use dictrack::store::MemoryStore;

    use super::*;

    #[test]
    fn a_store_knows_a_key_but_not_its_secret() {
        let store = Arc::new(MemoryStore::default());
        let manager = block_on(Manager::builder().store(Arc::clone(&store)).open()).unwrap();
        let new = NewKey::new("app", [Scope::Track, Scope::Read]).prefix("shop:");
        let (key, token) = block_on(create(&manager, new)).unwrap();
        assert!(token.starts_with("dt_") && token.len() == 3 + 16 + 1 + 64, "{token}");
        let secret = token.rsplit('_').next().unwrap();
        let marks = format!("{:?}", block_on(store.marks()).unwrap());
        assert!(marks.contains(&key.id) && !marks.contains(secret), "{marks}");
        assert!(!format!("{key:?}").contains(secret));

        let keys = Keys::new(block_on(list_all(&store)).unwrap());
        assert_eq!(keys.find(&token), Some(&key));
        let wrong = format!("{}{}", &token[..token.len() - 1], if token.ends_with('0') { '1' } else { '0' });
        for wrong in [wrong.as_str(), "", "dt_", "dt__", &token[3..], &format!("{token} "), "dt_0_0"] {
            assert_eq!(keys.find(wrong), None, "{wrong}");
        }
        block_on(revoke(&manager, &key.id)).unwrap();
        block_on(revoke(&manager, &key.id)).unwrap();
        assert_eq!(block_on(list_all(&store)).unwrap(), []);
    }

    #[test]
    fn a_key_allows_its_scopes_in_its_groups() {
        let key = |scopes: &[Scope], prefix: Option<&str>| Key {
            id: "k".to_owned(),
            name: String::new(),
            scopes: scopes.to_vec(),
            prefix: prefix.map(str::to_owned),
            created: Timestamp::from_secs(0),
            hash: [0; 32],
        };
        let track = key(&[Scope::Track], None);
        assert!(track.allows(Scope::Track, Some("g")) && track.allows(Scope::Track, None));
        assert!(!track.allows(Scope::Read, Some("g")) && !track.allows(Scope::Admin, None));
        let shop = key(&[Scope::Admin], Some("shop:"));
        assert!(shop.allows(Scope::Read, Some("shop:1")) && shop.allows(Scope::Admin, Some("shop:")));
        assert!(!shop.allows(Scope::Read, Some("shop")) && !shop.allows(Scope::Read, None));
    }
}
