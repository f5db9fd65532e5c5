//! The cache of 2.1.5 in Redis: a hash per group, `dictrack.data_cache:GROUP`, with a field per tracker.

use std::collections::HashMap;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client, RedisError, cmd, pipe};
use tokio::runtime::Runtime;

use super::{LegacyError, LegacyGroup, LegacyTracker, MAX_TRACKERS, Page, Source, SourceError, runtime};
use crate::cache::redis::said;
use crate::url;

/// The default `data_key` of 2.1.5, which precedes the id of a group in its key.
pub const DATA_KEY: &str = "dictrack.data_cache";

/// How many keys one scan step looks for.
const KEYS_A_STEP: usize = 1_000;
/// How many groups are read in one round trip.
const GROUPS_A_TRIP: usize = 64;
/// How many trackers of a group are read in one round trip.
const TRACKERS_A_TRIP: usize = 256;

/// Reads the groups of a Redis server. Changes nothing there, and no command blocks the server for long.
#[derive(Debug)]
pub struct RedisSource {
    runtime: Runtime,
    connection: MultiplexedConnection,
    server: String,
    prefix: Vec<u8>,
    /// Where the scan continues; `None` at its end.
    cursor: Option<u64>,
    /// Keys that were found but not read yet.
    found: Vec<Vec<u8>>,
}

/// A cursor and fields with their values.
type HashPage = (u64, Vec<(Vec<u8>, Vec<u8>)>);

/// The fields of a hash. A scan may find one more than once.
type Fields = HashMap<Vec<u8>, Vec<u8>>;

impl RedisSource {
    /// Connects to the server at `url`, where 2.1.5 used this `data_key`.
    ///
    /// # Errors
    /// A [`SourceError`] if the URL is invalid or the server does not answer.
    pub fn connect(url: &str, data_key: &str) -> Result<Self, SourceError> {
        // The URL may contain a password, and so may an error about it.
        let fail = |server: &str, problem: String| SourceError { source_name: server.to_owned(), problem };
        let expected = |problem: &str| fail("Redis URL", format!("{problem}; expected redis://HOST:PORT/NUMBER"));
        let url = url::with_password(url).map_err(|problem| expected(&problem))?;
        let client = Client::open(&*url).map_err(|error| expected(error.category()))?;
        let server = format!("Redis at {}", client.get_connection_info().addr());
        let runtime = runtime().map_err(|error| fail(&server, error.to_string()))?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(10)))
            .set_response_timeout(Some(Duration::from_secs(60)));
        let connection = runtime.block_on(client.get_multiplexed_async_connection_with_config(&config));
        let connection = connection.map_err(|error| fail(&server, said(&error)))?;
        let prefix = format!("{data_key}:").into_bytes();
        Ok(Self { runtime, connection, server, prefix, cursor: Some(0), found: Vec::new() })
    }

    fn failed(&self, error: &RedisError) -> SourceError {
        SourceError { source_name: self.server.clone(), problem: said(error) }
    }

    /// Finds the next keys; `false` if there are no more.
    fn scan(&mut self) -> Result<bool, SourceError> {
        let Some(cursor) = self.cursor else { return Ok(false) };
        let mut scan = cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(pattern(&self.prefix)).arg("COUNT").arg(KEYS_A_STEP);
        let answer = self.runtime.block_on(scan.query_async::<(u64, Vec<Vec<u8>>)>(&mut self.connection));
        let (cursor, keys) = answer.map_err(|error| self.failed(&error))?;
        self.cursor = (cursor != 0).then_some(cursor);
        self.found.extend(keys);
        Ok(true)
    }

    /// The fields of the hashes at `keys`; none for a key that no longer exists.
    fn hashes(&mut self, keys: &[Vec<u8>]) -> Result<Vec<Fields>, SourceError> {
        let mut hashes = vec![Fields::new(); keys.len()];
        let mut open: Vec<(usize, u64)> = (0..keys.len()).map(|at| (at, 0)).collect();
        while !open.is_empty() {
            let mut pipe = pipe();
            for (at, cursor) in &open {
                pipe.cmd("HSCAN").arg(&keys[*at]).arg(*cursor).arg("COUNT").arg(TRACKERS_A_TRIP);
            }
            let pages = self.runtime.block_on(pipe.query_async::<Vec<HashPage>>(&mut self.connection));
            let pages = pages.map_err(|error| self.failed(&error))?;
            open = std::mem::take(&mut open)
                .into_iter()
                .zip(pages)
                .filter_map(|((at, _), (cursor, fields))| {
                    hashes[at].extend(fields);
                    // A group that is too large is rejected; there is no need to know its exact size.
                    (cursor != 0 && hashes[at].len() <= MAX_TRACKERS).then_some((at, cursor))
                })
                .collect();
        }
        Ok(hashes)
    }

    /// The type of each key.
    fn types(&mut self, keys: &[Vec<u8>]) -> Result<Vec<String>, SourceError> {
        let mut pipe = pipe();
        for key in keys {
            pipe.cmd("TYPE").arg(key);
        }
        let types = self.runtime.block_on(pipe.query_async(&mut self.connection));
        types.map_err(|error| self.failed(&error))
    }
}

impl Source for RedisSource {
    fn next(&mut self) -> Result<Option<Page>, SourceError> {
        while self.found.is_empty() {
            if !self.scan()? {
                return Ok(None);
            }
        }
        let mut keys = self.found.split_off(self.found.len().saturating_sub(GROUPS_A_TRIP));
        let mut page = Page::default();
        let types = self.types(&keys)?;
        let mut types = types.iter();
        keys.retain(|key| {
            let kind = types.next().map_or("none", String::as_str);
            // A key may have disappeared since it was found.
            if !matches!(kind, "hash" | "none") {
                let problem = format!("the key {} is a {kind}; expected a hash", key.escape_ascii());
                page.refused.push(LegacyError::new(&self.group(key), None, problem));
            }
            kind == "hash"
        });
        let hashes = self.hashes(&keys)?;
        for (key, fields) in keys.iter().zip(hashes) {
            let group = self.group(key);
            if std::str::from_utf8(key).is_err() {
                page.refused.push(LegacyError::new(&group, None, "its id is not UTF-8"));
                continue;
            }
            let mut trackers = Vec::with_capacity(fields.len());
            for (name, pickle) in fields {
                match String::from_utf8(name) {
                    Ok(name) => trackers.push(LegacyTracker { name, pickle, ..LegacyTracker::default() }),
                    Err(error) => {
                        let name = error.as_bytes().escape_ascii().to_string();
                        page.refused.push(LegacyError::new(&group, Some(&name), "its name is not UTF-8"));
                    }
                }
            }
            // A hash without fields no longer exists.
            if !trackers.is_empty() {
                page.groups.push(LegacyGroup { id: group, trackers });
            }
        }
        Ok(Some(page))
    }
}

impl RedisSource {
    /// The id of the group at `key`.
    fn group(&self, key: &[u8]) -> String {
        let id = key.get(self.prefix.len()..).unwrap_or_default();
        String::from_utf8_lossy(id).into_owned()
    }
}

/// The pattern for keys that start with `prefix`.
fn pattern(prefix: &[u8]) -> Vec<u8> {
    let mut pattern = Vec::with_capacity(prefix.len() + 1);
    for &byte in prefix {
        if matches!(byte, b'*' | b'?' | b'[' | b']' | b'\\' | b'^' | b'-') {
            pattern.push(b'\\');
        }
        pattern.push(byte);
    }
    pattern.push(b'*');
    pattern
}
