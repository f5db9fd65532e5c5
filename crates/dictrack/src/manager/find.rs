//! The calls on many groups: listing them, finding some.

use std::sync::Arc;

use dictrack_core::group::Group;

use super::at::At;
use super::shared::Manager;
use crate::Error;
use crate::find::{Finder, Place, Query, page};
use crate::overlay::Overlay;
use crate::store::{DataStore, Writers};

/// Where all groups are.
enum Everything {
    /// In the cache.
    Cache,
    /// In the store, once everything is committed.
    Store,
    /// In the cache that processes share, and for the others in the store.
    Both(Overlay),
}

impl Manager {
    /// Up to `limit` ids of groups in order, starting after `after`, as of the last commit.
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn groups(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, Error> {
        match self.everything().await? {
            Everything::Cache => Ok(page(self.shared.cache.group_ids().await?, after, limit)),
            Everything::Store => self.shared.source.groups(after, limit).await,
            Everything::Both(overlay) => {
                // It lists the groups of the cache for each first page.
                if after.is_some() {
                    overlay.groups(None, 0).await?;
                }
                overlay.groups(after, limit).await
            }
        }
    }

    /// The groups that a query wants, in its order, as of the last commit and of now. Looks at every group: a million take
    /// about two seconds in memory, and longer from a store.
    ///
    /// A group has a place if it has the tracker or is known to have completed it. One that only a
    /// [template](Self::set_trackers) will give the tracker has none yet.
    ///
    /// ```
    /// use dictrack::{Manager, TrackerDefinition, find::Query, json::Json, template::Template};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let manager = Manager::in_memory().blocking();
    /// let posts = TrackerDefinition::count("posts").target(10).build()?;
    /// manager.set_trackers([Template::everyone([posts])?])?;
    /// for user in ["anna", "ben", "anna"] {
    ///     manager.track(user, &Json::Null)?;
    /// }
    /// let places = manager.find(&Query::of("posts").at_least(2))?;
    /// assert_eq!(places.iter().map(|place| place.group.as_str()).collect::<Vec<_>>(), ["anna"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn find(&self, query: &Query) -> Result<Vec<Place>, Error> {
        self.by_clock().find(query).await
    }

    /// The `count` groups that are furthest with a tracker; see [`find`](Self::find).
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn top(&self, tracker: &str, count: usize) -> Result<Vec<Place>, Error> {
        self.by_clock().top(tracker, count).await
    }

    async fn everything(&self) -> Result<Everything, Error> {
        self.check()?;
        let (cache, source) = (&self.shared.cache, &self.shared.source);
        if cache.writers() == Writers::Many {
            return Ok(Everything::Both(Overlay::new(Arc::clone(cache), source.store().cloned())));
        }
        if let Some(committer) = &self.shared.committer {
            committer.commit().await?;
        }
        let is_cached = source.store().is_none() || source.is_in_cache();
        Ok(if is_cached { Everything::Cache } else { Everything::Store })
    }
}

impl At<'_> {
    /// See [`Manager::find`].
    ///
    /// # Errors
    /// The same errors.
    pub async fn find(&self, query: &Query) -> Result<Vec<Place>, Error> {
        let (manager, now) = (self.manager, self.moment());
        let engine = &manager.shared.engine;
        match manager.everything().await? {
            Everything::Cache => {
                let mut finder = Finder::new(query, now);
                let mut visit = |id: &str, group: &Group| finder.visit(id, group, engine);
                manager.shared.cache.for_each(&mut visit).await?;
                Ok(finder.places())
            }
            Everything::Store => manager.shared.source.find(query, now).await,
            Everything::Both(overlay) => overlay.find(query, now, engine).await,
        }
    }

    /// See [`Manager::top`].
    ///
    /// # Errors
    /// The same errors.
    pub async fn top(&self, tracker: &str, count: usize) -> Result<Vec<Place>, Error> {
        self.find(&Query::of(tracker).limit(count)).await
    }
}
