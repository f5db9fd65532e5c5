//! `--update` in groups without new documents.

use dictrack::group::Differing;

use super::{COMMITS, Run};
use crate::Failure;
use crate::print::warn;
use crate::report::counted;
use crate::store::wait;

/// A commit is made after this many groups.
const COMMIT_AFTER: usize = 10_000;

impl Run<'_> {
    /// Applies the trackers in the file to groups that did not appear in this run. Otherwise the store would reject the earlier
    /// file although they still have its trackers.
    ///
    /// If documents have their own times, the time of a group is unknown. Such a group has to wait for its next document, and
    /// the run reports this.
    pub(super) fn update_others(&mut self) -> Result<(), Failure> {
        // The groups are read from the store, which must have everything that this run counted.
        self.drain(COMMITS - 1)?;
        self.commit()?;
        self.drain(0)?;
        let now = self.manager.manager().now();
        let list = self.list.clone();
        let others = loop {
            let mut others = Vec::new();
            let visit = |id: &str, group: &dictrack::group::Group| {
                if group.differs_from(&list, now) {
                    others.push(id.to_owned());
                }
            };
            match wait(self.manager.manager().for_each_group(visit)) {
                Ok(()) => break others,
                Err(error) if error.is_temporary() && self.wait_for(&error) => {}
                Err(error) => return Err(error.into()),
            }
        };
        self.is_reached();
        if others.is_empty() {
            return Ok(());
        }
        let (file, groups) = (dictrack::url::shown_path(&self.args.trackers), counted(others.len() as u64, "group"));
        if self.args.time.is_some() {
            warn(format_args!(
                "dictrack: {groups} without new documents still have earlier trackers; each gets those in {file} with its \
                 next document"
            ));
            return Ok(());
        }
        for some in others.chunks(COMMIT_AFTER) {
            for group in some {
                self.update_group(group)?;
            }
            self.commit()?;
            self.drain(0)?;
        }
        warn(format_args!("dictrack: {groups} without new documents got the trackers in {file}"));
        Ok(())
    }

    fn update_group(&mut self, group: &str) -> Result<(), Failure> {
        loop {
            match self.manager.ensure_trackers(group, &self.list, Differing::Update) {
                Ok(added) => {
                    self.take_events(&added.events);
                    self.is_reached();
                    return Ok(());
                }
                Err(error) if error.is_temporary() && self.wait_for(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
