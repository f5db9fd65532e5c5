//! Finding groups by how far they are: reads many rows at a time, and of each group only what that needs.

use std::sync::Arc;

use dictrack_core::group::{ContentHash, DefinitionSet, Engine};
use rusqlite::params;

use super::Inner;
use super::tables::GroupRow;
use crate::Error;
use crate::find::Finder;
use crate::store::RecentSets;
use crate::store::record::Record;

/// How many groups are read while other calls wait.
const PAGE: usize = 1000;

impl Inner {
    /// Shows the groups that come next to `finder`, starting after `after`. Returns the last one, or `None` if there was none.
    pub(super) fn find_next(
        &self,
        tracker: &str,
        after: Option<&str>,
        engine: &Engine,
        sets: &mut RecentSets,
        finder: &mut Finder<'_>,
    ) -> Result<Option<String>, Error> {
        self.verify_groups()?;
        let tables = self.tables();
        let query = "SELECT id, version, set_hash, ids, events, completed, checksum, state FROM groups
                     WHERE id > ?1 OR ?2 ORDER BY id LIMIT ?3";
        let parameters = params![after.unwrap_or_default(), after.is_none(), PAGE as i64];
        let mut last: Option<String> = None;
        tables.rows(&|| "table groups".to_owned(), query, parameters, |row| {
            let (id, state): (String, String) = (row.get(0)?, row.get(7)?);
            let row = GroupRow::read(row, 1)?;
            let shown = self.show(&id, row, state, tracker, engine, sets, finder);
            last = Some(id);
            Ok(shown)
        })?;
        // The tables do not have these groups yet.
        let is_full = last.is_some();
        let within =
            |group: &str| after.is_none_or(|after| group > after) && last.as_deref().is_none_or(|last| group <= last);
        let mut new: Vec<&str> = self.tail.groups().map(|group| group.as_str()).filter(|group| within(group)).collect();
        new.sort_unstable();
        for group in &new {
            if tables.group(group)?.is_none()
                && let Some(found) = self.load(group, engine)?
            {
                sets.keep(found.definition_set());
                finder.visit(group, &found, engine);
            }
        }
        Ok(if is_full { last } else { new.last().map(|&group| group.to_owned()) })
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a row, and where they go")]
    fn show(
        &self,
        id: &str,
        row: GroupRow,
        state: String,
        tracker: &str,
        engine: &Engine,
        sets: &mut RecentSets,
        finder: &mut Finder<'_>,
    ) -> Result<(), Error> {
        if self.tail.get(id).is_some() {
            // The journal has a newer state.
            if let Some(group) = self.load(id, engine)? {
                sets.keep(group.definition_set());
                finder.visit(id, &group, engine);
            }
            return Ok(());
        }
        let tables = self.tables();
        if !row.fits(id, &state) {
            return Err(tables.misfit(id, "its row in the table groups"));
        }
        let set = self.set_of(&row, engine)?;
        if let Some(set) = &set {
            sets.keep(set);
            if set.position(tracker).is_none() && row.sums.completed == 0 {
                return Ok(());
            }
        }
        let record = Record {
            version: row.version.unsigned_abs(),
            state,
            delivered: 0,
            ids: Vec::new(),
            events: Vec::new(),
            completed: tables.stored_completions(id, row.sums.completed)?,
            whole: false,
        };
        let group = record.restore(&self.name, id, &engine.limits, |hash| self.set(hash, engine))?;
        finder.visit(id, &group, engine);
        Ok(())
    }

    fn set_of(&self, row: &GroupRow, engine: &Engine) -> Result<Option<Arc<DefinitionSet>>, Error> {
        ContentHash::parse(&row.set).map_or(Ok(None), |hash| self.set(hash, engine))
    }
}
