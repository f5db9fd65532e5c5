//! The calls of a manager as of a moment.

use dictrack_core::Timestamp;

use super::shared::Manager;

/// The calls of a [`Manager`] that depend on the time, as of one moment instead of the manager's clock: see
/// [`Manager::at`].
#[derive(Clone, Copy, Debug)]
#[must_use = "it does nothing by itself; call a method on it"]
pub struct At<'a> {
    pub(super) manager: &'a Manager,
    /// Without a moment, each call reads the manager's clock.
    pub(super) now: Option<Timestamp>,
}

impl Manager {
    /// The calls of this manager as of `now`: limiters, expiry and events use that moment instead of the clock.
    ///
    /// ```
    /// use dictrack::{Manager, Timestamp, TrackerDefinition, json::Json};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let manager = Manager::in_memory().blocking();
    /// let yesterday = manager.at(Timestamp::from_secs(1_700_000_000));
    /// yesterday.ensure_tracker("user_001", TrackerDefinition::count("logins").target(3).build()?)?;
    /// let outcome = yesterday.track("user_001", &Json::Null)?;
    /// assert_eq!(outcome.dirtied().count(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn at(&self, now: Timestamp) -> At<'_> {
        At { manager: self, now: Some(now) }
    }

    /// The calls at the time of the manager's clock.
    pub(super) fn by_clock(&self) -> At<'_> {
        At { manager: self, now: None }
    }
}

impl At<'_> {
    pub(super) fn moment(&self) -> Timestamp {
        self.now.unwrap_or_else(|| self.manager.now())
    }
}
