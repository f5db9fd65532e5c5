//! Checks whole tables: that no row is damaged, and none is missing.

use super::tables::{GroupRow, Tables, unreadable};
use crate::Error;
use crate::store::record::restore_set;
use dictrack_core::group::{ContentHash, Engine};

/// The damage that was found.
#[derive(Debug)]
pub(super) struct Damage {
    /// The first errors, each with its place.
    pub(super) errors: Vec<Error>,
    /// How many more there are.
    pub(super) more: u64,
    most: usize,
}

impl Damage {
    /// Keeps the first `most` damaged places.
    pub(super) fn up_to(most: usize) -> Self {
        Self { errors: Vec::new(), more: 0, most }
    }

    fn note(&mut self, error: Error) {
        if self.errors.len() < self.most {
            self.errors.push(error);
        } else {
            self.more += 1;
        }
    }

    /// Records damage; any other error means that the check itself failed.
    fn see<T>(&mut self, result: Result<T, Error>) -> Result<Option<T>, Error> {
        match result {
            Ok(found) => Ok(Some(found)),
            Err(error @ Error::Corrupt { .. }) => {
                self.note(error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl Tables<'_> {
    /// Checks that the table `groups` has every group, so that an id that it lacks is not a group.
    pub(super) fn verify_groups(&self) -> Result<(), Error> {
        let mut damage = Damage::up_to(1);
        self.each_group(&mut damage, |id, row| {
            if row.columns_fit(id) { Ok(()) } else { Err(self.misfit(id, "its row in the table groups")) }
        })?;
        damage.errors.into_iter().next().map_or(Ok(()), Err)
    }

    /// Checks every row of every table but the journal. `marks` is the sum of the checksums of all marks; `progress` is
    /// called with the number of groups checked.
    pub(super) fn verify(&self, marks: i64, most: usize, progress: &mut dyn FnMut(u64)) -> Result<Damage, Error> {
        let mut damage = Damage::up_to(most);
        let mut checked = 0;
        self.each_group(&mut damage, |id, row| {
            checked += 1;
            progress(checked);
            match self.record(id)? {
                // Looking it up by its id finds the same row.
                Some(_) if row.columns_fit(id) => Ok(()),
                _ => Err(self.misfit(id, "its row in the table groups")),
            }
        })?;
        for (table, sums) in [("event_ids", "ids"), ("events", "events"), ("completed", "completed")] {
            let others = format!(
                "SELECT DISTINCT group_id FROM {table} AS held
                 WHERE NOT EXISTS (SELECT 1 FROM groups WHERE id = held.group_id AND {sums} <> 0)"
            );
            for group in damage.see(self.texts(&format!("table {table}"), &others))?.unwrap_or_default() {
                damage.note(self.damaged(
                    format!("group {group:?}"),
                    format!("the table {table} has rows for it that are not included in its row in the table groups"),
                ));
            }
        }
        damage.see(self.checked_events())?;
        damage.see(self.marks(marks))?;
        self.verify_sets(&mut damage)?;
        Ok(damage)
    }

    fn each_group(
        &self,
        damage: &mut Damage,
        mut check: impl FnMut(&str, &GroupRow) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let fail = |error| unreadable(self.store, "table groups", "read the groups")(error);
        let mut scan = |damage: &mut Damage| -> Result<i64, Error> {
            let query = "SELECT version, set_hash, ids, events, completed, checksum, id FROM groups ORDER BY id";
            let mut query = self.connection.prepare_cached(query).map_err(fail)?;
            let mut rows = query.query([]).map_err(fail)?;
            let mut sum = 0i64;
            let mut last: Option<String> = None;
            while let Some(row) = rows.next().map_err(fail)? {
                let id: String = row.get(6).map_err(fail)?;
                let row =
                    GroupRow::read(row, 0).map_err(unreadable(self.store, format!("group {id:?}"), "read a group"))?;
                sum = sum.wrapping_add(row.checksum);
                damage.see(check(&id, &row))?;
                // A lookup relies on the order.
                if last.as_ref().is_some_and(|last| *last >= id) {
                    damage.note(self.damaged(format!("group {id:?}"), "its row in the table groups is out of order"));
                }
                last = Some(id);
            }
            Ok(sum)
        };
        let sum = scan(damage);
        if let (Some(sum), Some(totals)) = (damage.see(sum)?, damage.see(self.totals())?)
            && sum != totals.groups
        {
            damage.note(self.lost("table groups"));
        }
        Ok(())
    }

    fn verify_sets(&self, damage: &mut Damage) -> Result<(), Error> {
        let engine = Engine::default();
        for (hash, text) in damage.see(self.sets())?.unwrap_or_default() {
            damage.see(self.set(&hash, &text, &engine))?;
        }
        let missing = "SELECT DISTINCT set_hash FROM groups WHERE set_hash NOT IN (SELECT hash FROM definition_sets)";
        for hash in damage.see(self.texts("table definition_sets", missing))?.unwrap_or_default() {
            damage.note(self.damaged(format!("definition set {hash}"), "it is used by groups, but missing"));
        }
        Ok(())
    }

    /// The definition sets, as hash and text.
    pub(super) fn sets(&self) -> Result<Vec<(String, String)>, Error> {
        let place = || "table definition_sets".to_owned();
        self.rows(&place, "SELECT hash, trackers FROM definition_sets", [], |row| Ok(Ok((row.get(0)?, row.get(1)?))))
    }

    /// A definition set, if its hash matches its content.
    pub(super) fn set(
        &self,
        hash: &str,
        text: &str,
        engine: &Engine,
    ) -> Result<std::sync::Arc<dictrack_core::group::DefinitionSet>, Error> {
        let parsed = ContentHash::parse(hash)
            .ok_or_else(|| self.damaged(format!("definition set {hash:?}"), "its name is not a hash"))?;
        restore_set(self.store, parsed, text, engine)
    }

    fn texts(&self, place: &str, query: &str) -> Result<Vec<String>, Error> {
        self.rows(&|| place.to_owned(), query, [], |row| Ok(Ok(row.get(0)?)))
    }
}
