//! The calls on templates: trackers that groups have without being given them one by one.

use dictrack_core::{
    group::Added,
    template::{Template, TemplateSet},
};

use super::at::At;
use super::shared::{Changed, Manager};
use crate::Error;

/// Checks templates together.
pub(super) fn checked(templates: Vec<Template>) -> Result<TemplateSet, Error> {
    TemplateSet::new(templates).map_err(|error| Error::Definition(Box::new(error)))
}

impl Manager {
    /// Replaces the templates that the manager was [opened with](super::ManagerBuilder::trackers). Each group gets the trackers
    /// of those that it satisfies with the next call that names it, in the same change. Calls that only look at a group show it
    /// as it will be.
    ///
    /// A tracker of which the definition changes keeps its state, as with [`update_tracker`](Self::update_tracker). Trackers of
    /// templates that are gone, or that the group no longer satisfies, are removed, unless they have completed. One that has
    /// completed is not added again. Trackers that a group was given by other calls stay, except that a template takes over one
    /// of the same name. The conditions of templates are evaluated when attributes or templates change.
    ///
    /// Templates are not stored: every process that uses the store or the cache must be given the same ones.
    ///
    /// # Errors
    /// [`Error::Definition`] if two templates, or two of their trackers, have the same name. The earlier ones stay then.
    pub fn set_trackers(&self, templates: impl IntoIterator<Item = Template>) -> Result<(), Error> {
        self.engine().templates.set(checked(templates.into_iter().collect())?);
        Ok(())
    }

    /// The templates; empty if the manager has none.
    pub fn templates(&self) -> Vec<Template> {
        self.engine().templates.get().map_or_else(Vec::new, |set| set.templates().to_vec())
    }

    /// Gives a group the trackers of the templates that it satisfies, without waiting for the next call that names it.
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn apply_templates(&self, group: &str) -> Result<Added, Error> {
        self.by_clock().apply_templates(group).await
    }
}

impl At<'_> {
    /// See [`Manager::apply_templates`].
    ///
    /// # Errors
    /// The same errors.
    pub async fn apply_templates(&self, group: &str) -> Result<Added, Error> {
        self.manager
            .change_only(group, self.now, |found, call| {
                let added = found.apply_templates(call)?;
                Ok(Changed { events: added.events.clone(), value: added })
            })
            .await
    }
}
