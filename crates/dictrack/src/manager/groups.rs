//! The calls on groups: attributes, a look before one acts, periods, deletion.

use dictrack_core::json::Map;
use dictrack_core::{PeriodRecord, TrackerSnapshot, group::Group};

use super::at::At;
use super::shared::{Changed, Manager};
use crate::Error;

impl Manager {
    /// The attributes of a group; empty if it has none.
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn attributes(&self, group: &str) -> Result<Map, Error> {
        self.view(self.deadline(), group, |found| found.attributes().clone()).await
    }

    /// Merges `attributes` into those of a group, key by key; `null` removes a key. Returns whether that changed anything. A
    /// group has at most 64 attributes, of 4 KiB as JSON.
    ///
    /// `zone` is the time zone of the group's windows: an IANA name such as `Europe/Berlin`. A new zone takes hold when
    /// the current period of each window ends, and at once for windows in which nothing has changed yet.
    ///
    /// ```
    /// use dictrack::{Manager, json::Json};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let manager = Manager::in_memory().blocking();
    /// let Json::Map(attributes) = Json::parse(br#"{"zone": "Europe/Berlin", "plan": "pro"}"#)? else { unreachable!() };
    /// manager.set_attributes("user_001", attributes)?;
    /// assert_eq!(manager.attributes("user_001")?.get("plan"), Some(&"pro".into()));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Group`] if there would be too many attributes, or `zone` is not a time zone.
    pub async fn set_attributes(&self, group: &str, attributes: Map) -> Result<bool, Error> {
        self.by_clock().set_attributes(group, attributes).await
    }

    /// What the active trackers of a group allow, before one acts: all of them, or those in `names`. Each limiter shows its
    /// limit, what remains, from when on it admits a document, and when it is as new; a tracker with `every` shows its period.
    /// Changes nothing.
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn peek(&self, group: &str, names: Option<&[&str]>) -> Result<Vec<TrackerSnapshot>, Error> {
        self.by_clock().peek(group, names).await
    }

    /// What a tracker with `every` did in its open periods and in the closed ones that it remembers, oldest first. Periods in
    /// which no document counted are left out. `None` if there is no such active tracker.
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn periods(&self, group: &str, name: &str) -> Result<Option<Vec<PeriodRecord>>, Error> {
        self.by_clock().periods(group, name).await
    }

    /// Deletes a group: its trackers, history, completed names, document ids, undelivered events and attributes. Returns whether
    /// there was anything. Only numbers stay, so that no event id is used again. The next call for the group gives it the
    /// trackers of [templates](Self::set_trackers) again, from zero.
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn delete_group(&self, group: &str) -> Result<bool, Error> {
        self.change_only(group, None, |group, _| Ok(Changed::silent(group.forget()))).await
    }
}

impl At<'_> {
    /// See [`Manager::set_attributes`].
    ///
    /// # Errors
    /// The same errors.
    pub async fn set_attributes(&self, group: &str, attributes: Map) -> Result<bool, Error> {
        self.manager.change(group, self.now, |group, _| Ok(Changed::silent(group.set_attributes(&attributes)?))).await
    }

    /// See [`Manager::peek`].
    ///
    /// # Errors
    /// The same errors.
    pub async fn peek(&self, group: &str, names: Option<&[&str]>) -> Result<Vec<TrackerSnapshot>, Error> {
        let now = self.moment();
        let peek = |found: &Group| found.trackers(self.manager.engine(), names, now);
        self.manager.view_at(group, now, peek).await
    }

    /// See [`Manager::periods`].
    ///
    /// # Errors
    /// The same errors.
    pub async fn periods(&self, group: &str, name: &str) -> Result<Option<Vec<PeriodRecord>>, Error> {
        let found = self.peek(group, Some(&[name])).await?.pop();
        Ok(found.map(|tracker| tracker.periods()))
    }
}
