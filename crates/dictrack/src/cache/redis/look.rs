//! Looking at groups without changing anything.

use std::sync::Arc;

use dictrack_core::group::{Engine, Group};
use tokio::task::JoinSet;

use super::keys::{self, BUCKETS, Keys};
use super::{LISTING, Shared, on_network, on_network_for};
use crate::Error;
use crate::store::record::restore_set;

impl Shared {
    /// The group as Redis has it. Nothing is claimed, cached in this process, or written.
    pub(super) async fn peek(self: &Arc<Self>, id: &str, engine: &Engine) -> Result<Option<Group>, Error> {
        let (shared, owned) = (Arc::clone(self), id.to_owned());
        let found = on_network_for(LISTING, async move {
            let keys = Keys::new(&shared.connection.address().prefix, &owned);
            Ok(shared.whole(&owned, &keys).await?.map(|whole| (whole, keys)))
        });
        let Some((whole, keys)) = found.await? else { return Ok(None) };
        let hash = self.set_of(id, &whole)?;
        let set = match engine.sets.find(hash) {
            Some(set) => set,
            None => {
                let shared = Arc::clone(self);
                let Some(text) = on_network(async move { shared.set_text(&keys, hash).await }).await? else {
                    // A program with a store would drop the group and load it again.
                    tracing::warn!(group = id, "Redis dropped the definitions of a group; it is of no use there");
                    return Ok(None);
                };
                restore_set(&self.connection.address().to_string(), hash, &text, engine)?
            }
        };
        Ok(Some(self.replica_of(id, whole, set, &engine.limits, 0)?.group))
    }

    /// The groups of all buckets with changes that the store lacks.
    pub(super) async fn unsaved(self: &Arc<Self>) -> Result<Vec<String>, Error> {
        let mut looks = JoinSet::new();
        for number in 0..BUCKETS {
            let mut command = redis::cmd("SMEMBERS");
            command.arg(keys::dirty(&keys::bucket(&self.connection.address().prefix, number)));
            let shared = Arc::clone(self);
            looks.spawn(async move { shared.connection.command("list unsaved groups", &command).await });
        }
        let mut ids = Vec::new();
        while let Some(look) = looks.join_next().await {
            let Ok(answer) = look else { continue };
            ids.extend(redis::from_redis_value::<Vec<String>>(answer?).unwrap_or_default());
        }
        ids.sort();
        Ok(ids)
    }
}
