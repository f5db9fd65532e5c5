//! Which versions of the time zone data the programs have that use the cache. Only `doctor` reads it.

use std::collections::BTreeMap;

use dictrack_core::zone::Zones;
use dictrack_core::{Span, Timestamp};

use super::{Shared, keys};
use crate::Error;
use crate::clock::{Clock as _, SystemClock};

/// Versions that no program began with for this long are not shown any more.
const RECENT: Span = Span::from_secs(30 * 86_400);

impl Shared {
    /// Records the version of this process. Nothing depends on it, so a failure is none of the caller's.
    pub(super) async fn record_zone_data(&self) {
        let mut command = redis::cmd("HSET");
        command.arg(keys::zone_data(&self.connection.address().prefix));
        command.arg(Zones::version()).arg(SystemClock.now().micros());
        if let Err(error) = self.connection.command("record the time zone data", &command).await {
            tracing::debug!(%error, "the version of the time zone data was not recorded");
        }
    }

    /// The versions of programs that began to use the cache in the last 30 days, and when one with each version last did.
    pub(super) async fn zone_data(&self, now: Timestamp) -> Result<BTreeMap<String, Timestamp>, Error> {
        let mut command = redis::cmd("HGETALL");
        command.arg(keys::zone_data(&self.connection.address().prefix));
        let answer = self.connection.command("look at the time zone data", &command).await?;
        let recorded: BTreeMap<String, i64> = redis::from_redis_value(answer).unwrap_or_default();
        let recorded = recorded.into_iter().map(|(version, at)| (version, Timestamp::from_micros(at)));
        Ok(recorded.filter(|(_, at)| now.since(*at) < RECENT).collect())
    }
}
