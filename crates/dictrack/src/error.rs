//! Errors, classified by what the caller can do about them.

#[cfg(any(feature = "memory", feature = "sqlite", feature = "mongodb", feature = "redis"))]
use std::fmt::Display;
use std::sync::Arc;

use dictrack_core::json::{Json, Map};
use dictrack_core::text::quoted;
use dictrack_core::{DefinitionError, Span, Timestamp, custom::BoxError, group::GroupError};

use crate::backend::BackendError;

/// Makes the one table of error kinds: all that is known about a kind apart from its message.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $code:literal, $python:literal, $advice:literal;)*) => {
        /// The kind of an error. Every interface of dictrack takes its name for the kind from this table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorKind {
            $($(#[$doc])* $kind,)*
        }

        impl ErrorKind {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// A short code for programs and logs that is the same in all versions, such as `conflicting_name`.
            pub fn code(self) -> &'static str {
                match self {
                    $(Self::$kind => $code,)*
                }
            }

            /// What a caller can do about it.
            pub fn advice(self) -> &'static str {
                match self {
                    $(Self::$kind => $advice,)*
                }
            }

            /// The name of the exception class in Python.
            pub fn python_class(self) -> &'static str {
                match self {
                    $(Self::$kind => $python,)*
                }
            }
        }
    };
}

kinds! {
    /// An active tracker of that name has a different definition.
    ConflictingName = "conflicting_name", "ConflictingNameError",
        "use another name, or update the tracker";
    /// A call names the same tracker twice.
    RepeatedName = "repeated_name", "RepeatedNameError",
        "name each tracker once in a call";
    /// A tracker comes from a template, so that only the template can change it.
    FromTemplate = "from_template", "FromTemplateError",
        "change the template";
    /// The group has used all of its 2³² - 1 generations.
    GenerationsExhausted = "generations_exhausted", "GenerationsExhaustedError",
        "use another group";
    /// A definition is invalid.
    Definition = "definition", "DefinitionError",
        "correct the definition";
    /// The attributes of a group are invalid.
    Attributes = "attributes", "AttributesError",
        "correct the attributes";
    /// A document is further ahead of the manager's clock than the manager allows.
    Ahead = "ahead", "AheadError",
        "correct the time of the document, or send it again later";
    /// Custom code failed, or is not registered.
    CustomCode = "custom_code", "CustomCodeError",
        "correct or register the condition, measure or limiter";
    /// Custom code called the manager.
    Reentrant = "reentrant", "ReentrantError",
        "do not call the manager from a condition, measure or limiter";
    /// `flush` was called without confirmation.
    Unconfirmed = "unconfirmed", "UnconfirmedError",
        "confirm the call";
    /// The manager was closed.
    Closed = "closed", "ClosedError",
        "open the store again";
    /// The store failed earlier.
    Stopped = "stopped", "StoppedError",
        "find out why the store failed, then open it again";
    /// Redis failed.
    Redis = "redis", "RedisOperationError",
        "check the message from Redis";
    /// A cache or a store failed.
    Backend = "backend", "DataStoreOperationError",
        "check the message from the cache or the store";
    /// A cache or a store cannot be reached.
    Unavailable = "unavailable", "UnavailableError",
        "call again later; a document with an id counts once, however often it is sent";
    /// The cache lost a change before it was stored.
    Lost = "lost", "LostError",
        "call again: the change did not take effect";
    /// Another process took over the store.
    TakenOver = "taken_over", "TakenOverError",
        "stop using the store, which has a new owner";
    /// Another manager owns the store.
    Owned = "owned", "OwnedError",
        "stop the other process, or share a Redis cache";
    /// A newer dictrack wrote the store.
    NewerVersion = "newer_version", "NewerVersionError",
        "use a newer dictrack";
    /// An older dictrack wrote the store, which is open for reading only.
    OlderVersion = "older_version", "OlderVersionError",
        "open the store for writing once";
    /// The store is open for reading only, and creating or changing it was interrupted.
    Unfinished = "unfinished", "UnfinishedError",
        "open the store for writing once";
    /// The store is damaged, or contains something that dictrack did not write.
    Corrupt = "corrupt", "CorruptError",
        "restore the store from a backup";
}

/// Why a call did nothing, or why it is unknown whether its effect is kept.
///
/// The message says all that is known, so no error has a [`source`](std::error::Error::source), which would be printed
/// a second time. Programs look at [`kind`](Self::kind), [`code`](Self::code) or the variant.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The trackers of the group do not allow the call; nothing was changed.
    #[error("group {}: {problem}", quoted(group))]
    Group {
        /// The group.
        group: Box<str>,
        /// The problem.
        problem: Box<GroupError>,
    },
    /// A definition is invalid.
    #[error("{0}")]
    Definition(Box<DefinitionError>),
    /// A document is further ahead of the manager's clock than [`ManagerBuilder::ahead`](crate::ManagerBuilder::ahead)
    /// allows. It did not count, and its id is not remembered.
    #[error("the document's time {moment} is more than {ahead} ahead of the clock ({clock})")]
    Ahead {
        /// The document's time.
        moment: Timestamp,
        /// The time on the manager's clock.
        clock: Timestamp,
        /// How far ahead documents may be.
        ahead: Span,
    },
    /// A custom condition, measure or limiter called the manager.
    #[error("a custom condition, measure or limiter called the manager while the manager was using its group")]
    Reentrant,
    /// `flush` was called without confirmation.
    #[error("flush permanently deletes everything in the cache and the store; it needs confirmation")]
    Unconfirmed,
    /// The manager was closed.
    #[error("the manager is closed")]
    Closed,
    /// The store failed earlier. What was acknowledged is kept; nothing more is acknowledged.
    #[error("the store failed and nothing is acknowledged any more; reopen it to continue: {failure}")]
    Stopped {
        /// The failure.
        failure: Arc<BackendError>,
    },
    /// A cache or a store failed.
    #[error("{0}")]
    Backend(Arc<BackendError>),
    /// A cache or a store cannot be reached. Acknowledged changes are written once it is reachable again. Whether this
    /// call took effect is unknown; a document with an id can be sent again.
    #[error("{}{}", .0, kept(.0))]
    Unavailable(Arc<BackendError>),
    /// The cache lost the group before this change was stored. The change is lost: call again.
    #[error(
        "group {}: the cache lost this change before the store had it, so it did not count; call again",
        quoted(group)
    )]
    Lost {
        /// The group.
        group: Box<str>,
    },
    /// Another process took over the store.
    #[error("{store} was taken over by process {pid} on {host}; this process no longer writes to it")]
    TakenOver {
        /// The store.
        store: Box<str>,
        /// The owner's host.
        host: Box<str>,
        /// The owner's process id.
        pid: Box<str>,
    },
    /// Another manager owns the store.
    #[error(
        "{store} is in use by process {pid} on {host}, and a store can have only one writer; stop that process, or share a Redis cache"
    )]
    Owned {
        /// The store.
        store: Box<str>,
        /// The owner's host.
        host: Box<str>,
        /// The owner's process id.
        pid: Box<str>,
    },
    /// A newer dictrack wrote the store.
    #[error(
        "{store} has storage format {found}, but this version of dictrack supports formats up to {known}; use a newer version"
    )]
    NewerVersion {
        /// The store.
        store: Box<str>,
        /// The version it has.
        found: i64,
        /// The newest version that this dictrack knows.
        known: i64,
    },
    /// An older dictrack wrote the store, which is only open for reading.
    #[error(
        "{store} has storage format {found}, but reading needs format {known}; open the store once with a program that \
         writes, which migrates it"
    )]
    OlderVersion {
        /// The store.
        store: Box<str>,
        /// The version it has.
        found: i64,
        /// The version that this dictrack can read.
        known: i64,
    },
    /// The store is open for reading only, and a kill or a power failure interrupted creating or changing it.
    #[error(
        "{store} is unfinished: a kill or a power failure interrupted its creation or a change; open it once with a \
         program that writes, which completes it"
    )]
    Unfinished {
        /// The store.
        store: Box<str>,
    },
    /// The store is damaged, or contains something that dictrack did not write. It was left unchanged.
    #[error("{store}: {place} cannot be read: {problem}; nothing was changed")]
    Corrupt {
        /// The store.
        store: Box<str>,
        /// What is damaged.
        place: Box<str>,
        /// What is wrong with it.
        problem: Box<str>,
    },
}

/// Why a cache or a store could not be opened. Nothing has been acknowledged at that point.
#[derive(Debug, thiserror::Error)]
#[error("{0}; nothing was opened; try again when it is reachable")]
struct Unopened(BoxError);

/// What happens to acknowledged changes while a backend cannot be reached, if there can be any.
fn kept(error: &BackendError) -> &'static str {
    if error.source.is::<Unopened>() { "" } else { "; what was acknowledged is kept until it is back" }
}

impl Error {
    /// The error as reported by a call that opens a cache or a store.
    pub(crate) fn at_opening(self) -> Self {
        match self {
            Self::Unavailable(error) if !error.source.is::<Unopened>() => {
                let source = Box::new(Unopened(error.source.to_string().into()));
                let BackendError { backend, action, .. } = &*error;
                Self::Unavailable(Arc::new(BackendError { backend, action: action.clone(), source }))
            }
            other => other,
        }
    }

    pub(crate) fn group(group: &str, problem: GroupError) -> Self {
        Self::Group { group: group.into(), problem: Box::new(problem) }
    }

    /// Something in `store` is damaged.
    #[cfg(any(feature = "memory", feature = "sqlite", feature = "mongodb", feature = "redis"))]
    pub(crate) fn corrupt(store: impl Display, place: impl Into<String>, problem: impl Into<String>) -> Self {
        let (place, problem): (String, String) = (place.into(), problem.into());
        Self::Corrupt { store: store.to_string().into(), place: place.into(), problem: problem.into() }
    }

    /// The kind of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Group { problem, .. } => match &**problem {
                GroupError::ConflictingName { .. } => ErrorKind::ConflictingName,
                GroupError::RepeatedName { .. } => ErrorKind::RepeatedName,
                GroupError::FromTemplate { .. } => ErrorKind::FromTemplate,
                GroupError::GenerationsExhausted => ErrorKind::GenerationsExhausted,
                GroupError::Definition(_) => ErrorKind::Definition,
                GroupError::Attributes { .. } => ErrorKind::Attributes,
                GroupError::Custom(_) => ErrorKind::CustomCode,
                // Only a newer version of the core has further variants.
                _ => ErrorKind::Definition,
            },
            Self::Definition(_) => ErrorKind::Definition,
            Self::Ahead { .. } => ErrorKind::Ahead,
            Self::Reentrant => ErrorKind::Reentrant,
            Self::Unconfirmed => ErrorKind::Unconfirmed,
            Self::Closed => ErrorKind::Closed,
            Self::Stopped { .. } => ErrorKind::Stopped,
            Self::Backend(error) if error.backend == "Redis" => ErrorKind::Redis,
            Self::Backend(_) => ErrorKind::Backend,
            Self::Unavailable(_) => ErrorKind::Unavailable,
            Self::Lost { .. } => ErrorKind::Lost,
            Self::TakenOver { .. } => ErrorKind::TakenOver,
            Self::Owned { .. } => ErrorKind::Owned,
            Self::NewerVersion { .. } => ErrorKind::NewerVersion,
            Self::OlderVersion { .. } => ErrorKind::OlderVersion,
            Self::Unfinished { .. } => ErrorKind::Unfinished,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
        }
    }

    /// The code of its [`kind`](Self::kind): a short text that is the same in all versions, such as `conflicting_name`
    /// or `unavailable`.
    pub fn code(&self) -> &'static str {
        self.kind().code()
    }

    /// The error as JSON: its `code`, the `message`, `advice` on what to do and, where they apply, the `group`, and `field`,
    /// `problem` and `expected` of an invalid definition.
    pub fn to_json(&self) -> Json {
        let definition = match self {
            Self::Definition(error) => Some(&**error),
            Self::Group { problem, .. } => match &**problem {
                GroupError::Definition(error) => Some(error),
                _ => None,
            },
            _ => None,
        };
        let mut map = definition.map_or_else(Map::new, DefinitionError::to_map);
        let mut put = |key: &str, value: Json| map.insert(key.into(), value);
        put("code", self.code().into());
        put("message", self.to_string().into());
        put("advice", self.kind().advice().into());
        if let Self::Group { group, .. } | Self::Lost { group } = self {
            put("group", (&**group).into());
        }
        map.into()
    }

    /// Whether the same call may succeed once the backend is reachable again.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// The failure in the form that stops a store from acknowledging.
    pub(crate) fn into_backend(self) -> Arc<BackendError> {
        match self {
            Self::Backend(error) | Self::Unavailable(error) | Self::Stopped { failure: error } => error,
            other => Arc::new(BackendError { backend: "store", action: "save".to_owned(), source: Box::new(other) }),
        }
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Error {
    /// As [`to_json`](Self::to_json) prints it.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for ErrorKind {
    /// Its [`code`](Self::code).
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl From<BackendError> for Error {
    fn from(error: BackendError) -> Self {
        Self::Backend(Arc::new(error))
    }
}

impl From<DefinitionError> for Error {
    fn from(error: DefinitionError) -> Self {
        Self::Definition(Box::new(error))
    }
}

#[cfg(test)]
mod tests {
    use dictrack_core::custom::CustomError;

    use super::*;

    #[test]
    fn a_first_connect_that_fails_does_not_speak_of_acknowledged_changes() {
        let away = || {
            let source = "connection refused".into();
            Error::Unavailable(Arc::new(BackendError { backend: "Redis", action: "connect".to_owned(), source }))
        };
        assert!(away().to_string().ends_with("connection refused; what was acknowledged is kept until it is back"));
        let opening = away().at_opening().at_opening();
        assert!(opening.is_temporary());
        let expected =
            "Redis could not connect: connection refused; nothing was opened; try again when it is reachable";
        assert_eq!(opening.to_string(), expected);
    }

    /// One error of each kind, with a source where it wraps another error.
    fn one_of_each() -> Vec<Error> {
        let backend = |backend| {
            let source = Box::new(std::io::Error::other("the disk is full"));
            Arc::new(BackendError { backend, action: "commit".to_owned(), source })
        };
        let definition = || dictrack_core::TrackerDefinition::count("").target(1).build().unwrap_err();
        let group = |problem| Error::group("g", problem);
        let custom = CustomError::Unknown { kind: "condition", name: "c".into() };
        let (store, host, pid) = (|| "s.db".into(), || "h".into(), || "1".into());
        vec![
            group(GroupError::ConflictingName { name: "n".to_owned() }),
            group(GroupError::RepeatedName { name: "n".to_owned() }),
            group(GroupError::FromTemplate { name: "n".to_owned(), template: "t".to_owned() }),
            group(GroupError::GenerationsExhausted),
            group(GroupError::Definition(definition())),
            group(GroupError::Custom(custom)),
            group(GroupError::Attributes { problem: "65 attributes".to_owned() }),
            Error::Ahead {
                moment: Timestamp::from_secs(7_200),
                clock: Timestamp::from_secs(0),
                ahead: Span::from_secs(3_600),
            },
            definition().into(),
            Error::Reentrant,
            Error::Unconfirmed,
            Error::Closed,
            Error::Stopped { failure: backend("SQLite") },
            Error::Backend(backend("Redis")),
            Error::Backend(backend("SQLite")),
            Error::Unavailable(backend("SQLite")),
            Error::Unavailable(backend("SQLite")).at_opening(),
            Error::Lost { group: "g".into() },
            Error::TakenOver { store: store(), host: host(), pid: pid() },
            Error::Owned { store: store(), host: host(), pid: pid() },
            Error::NewerVersion { store: store(), found: 9, known: 2 },
            Error::OlderVersion { store: store(), found: 1, known: 2 },
            Error::Unfinished { store: store() },
            Error::Corrupt { store: store(), place: "row 1".into(), problem: "a bit".into() },
        ]
    }

    #[test]
    fn an_error_and_its_sources_say_everything_once() {
        for error in one_of_each() {
            let mut said = error.to_string();
            let mut next = std::error::Error::source(&error);
            while let Some(source) = next {
                let more = source.to_string();
                assert!(!said.contains(&more), "{said:?} and {more:?}");
                said += &more;
                next = source.source();
            }
            if said.contains("could not commit") {
                assert!(said.contains("the disk is full"), "{said}");
            }
        }
    }

    #[test]
    fn each_kind_has_a_code_of_its_own() {
        let made: Vec<ErrorKind> = one_of_each().iter().map(Error::kind).collect();
        for (at, kind) in ErrorKind::ALL.iter().enumerate() {
            assert!(made.contains(kind), "{kind:?}");
            assert!(kind.code().chars().all(|char| char.is_ascii_lowercase() || char == '_'), "{kind:?}");
            assert!(kind.python_class().ends_with("Error") && !kind.advice().is_empty(), "{kind:?}");
            assert!(ErrorKind::ALL[..at].iter().all(|other| other.code() != kind.code()), "{kind:?}");
        }
        assert_eq!(Error::Closed.code(), "closed");
    }

    #[test]
    fn a_long_or_hostile_id_is_shown_short_and_escaped() {
        let error = Error::Lost { group: format!("a\n\u{202e}{}", "x".repeat(1 << 20)).into() };
        let text = error.to_string();
        assert!(text.starts_with("group \"a\\n\\u{202e}xxx") && text.len() < 400, "{}", text.len());
    }
}
