//! Reads whole groups from Redis: at once, or in pieces if they are large, so that no other group waits for long.

use std::sync::Arc;

use dictrack_core::group::{ContentHash, DefinitionSet, Limits};
use redis::Value;

use super::hash::{Replica, Unreadable, Whole};
use super::keys::Keys;
use super::pace::Pace;
use super::{Shared, script};
use crate::backend::BackendError;
use crate::clock::Stopwatch;
use crate::{Error, runtime};

/// How often reading a large group starts over because others replaced it meanwhile.
const READS: usize = 5;

/// What `script::READ` says.
enum Answer {
    Fields(Vec<(String, String)>),
    Large { fields: usize, ids: usize },
}

impl Shared {
    /// The fields that Redis has of a group.
    pub(super) async fn whole(&self, id: &str, keys: &Keys) -> Result<Option<Whole>, Error> {
        let unreadable = |problem: Unreadable| self.corrupt(id, problem);
        let answer = self.connection.run("read a group", &script::READ, &[&keys.group], &[]).await?;
        match answer_of(answer).map_err(unreadable)? {
            Answer::Fields(fields) if fields.is_empty() => Ok(None),
            Answer::Fields(fields) => Whole::read(fields).map(Some).map_err(unreadable),
            Answer::Large { fields, ids } => {
                for _ in 0..READS {
                    if let Some(found) = self.large(id, keys, fields, ids).await? {
                        return Ok(found);
                    }
                }
                let source = "other processes keep replacing it".into();
                let action = format!("read the group {id:?}");
                Err(Error::Unavailable(Arc::new(BackendError { backend: "Redis", action, source })))
            }
        }
    }

    /// Reads a group in pieces; `None` if it was replaced meanwhile. Fields named after a version or a sequence never
    /// change until they are removed, and may be read at any time; the others are read last, at once.
    async fn large(&self, id: &str, keys: &Keys, fields: usize, ids: usize) -> Result<Option<Option<Whole>>, Error> {
        let unreadable = |problem: Unreadable| self.corrupt(id, problem);
        let texts = |error: redis::ParsingError| unreadable(format!("its fields are not strings ({error})"));
        let mut command = redis::cmd("HMGET");
        command.arg(&keys.group).arg(&["version", "sequence", "claim", "set", "b:0"]);
        let head = self.connection.command("read a group", &command).await?;
        let head: Vec<Option<String>> = redis::from_redis_value(head).map_err(texts)?;
        let [Some(version), Some(sequence), Some(claim), Some(set), block] = &head[..] else {
            // The group is gone, or something else wrote it, which its fields will show.
            return Ok(head.iter().all(Option::is_none).then_some(None));
        };
        let mut whole = self.scanned(id, keys, (fields, ids)).await?;
        let blocks: &[u8] = if block.is_some() { b"1" } else { b"" };
        let (mut version, mut sequence) = (version.clone(), sequence.clone());
        loop {
            let changeable = whole.changeable();
            let mut arguments: Vec<&[u8]> =
                vec![version.as_bytes(), sequence.as_bytes(), claim.as_bytes(), set.as_bytes(), blocks];
            arguments.extend(changeable.iter().map(|name| name.as_bytes()));
            let rest = self.connection.run("read a group", &script::REST, &[&keys.group], &arguments).await?;
            let mut rest = redis::from_redis_value::<Vec<String>>(rest).map_err(texts)?.into_iter();
            let Some(word) = rest.next() else { return Ok(None) };
            (version, sequence) = (rest.next().unwrap_or_default(), rest.next().unwrap_or_default());
            if word == "all" {
                // The answer leaves out fields that are gone.
                whole.forget_changeable();
            }
            while let (Some(name), Some(value)) = (rest.next(), rest.next()) {
                whole.take(name, value).map_err(unreadable)?;
            }
            if word == "all" {
                return Ok(Some(Some(whole)));
            }
        }
    }

    /// Scans all fields, piece by piece.
    async fn scanned(&self, id: &str, keys: &Keys, (fields, ids): (usize, usize)) -> Result<Whole, Error> {
        /// About how many bytes an id takes, and each field apart from its ids.
        const BYTES: (usize, usize) = (53, 40);
        let field = ids * BYTES.0 / fields.max(1) + BYTES.1;
        let mut whole = Whole::default();
        let (mut pace, mut cursor) = (Pace::new(), 0_u64);
        loop {
            let mut command = redis::cmd("HSCAN");
            command.arg(&keys.group).arg(cursor).arg("COUNT").arg((pace.bytes() / field).max(1));
            let since = Stopwatch::start();
            let answer = self.connection.command("read a group", &command).await?;
            let took = since.elapsed();
            let (next, found): (u64, Vec<(String, String)>) = redis::from_redis_value(answer)
                .map_err(|error| self.corrupt(id, format!("its fields are not strings ({error})")))?;
            pace.took(took, found.iter().map(|(name, value)| name.len() + value.len()).sum());
            found
                .into_iter()
                .try_for_each(|(name, value)| whole.take(name, value))
                .map_err(|problem| self.corrupt(id, problem))?;
            if next == 0 {
                return Ok(whole);
            }
            cursor = next;
        }
    }

    /// The definition set of a group that was read.
    pub(super) fn set_of(&self, id: &str, whole: &Whole) -> Result<ContentHash, Error> {
        whole.set().map_err(|problem| self.corrupt(id, problem))
    }

    /// The replica of a group that was read.
    pub(super) fn replica_of(
        &self,
        id: &str,
        whole: Whole,
        set: Arc<DefinitionSet>,
        limits: &Limits,
        connection: u64,
    ) -> Result<Replica, Error> {
        // A large one takes a while, and other groups must not wait for it.
        let replica = runtime::at_length(whole.is_large(), || whole.replica(set, limits, connection));
        replica.map_err(|problem| self.corrupt(id, problem))
    }
}

fn answer_of(answer: Value) -> Result<Answer, Unreadable> {
    let bad = |error: &dyn std::fmt::Display| format!("its fields are not strings ({error})");
    if let Value::Array(parts) = &answer
        && let [Value::Int(fields), Value::Int(ids)] = parts[..]
    {
        let number = |value: i64| usize::try_from(value).unwrap_or(0);
        return Ok(Answer::Large { fields: number(fields), ids: number(ids) });
    }
    redis::from_redis_value(answer).map(Answer::Fields).map_err(|error| bad(&error))
}
