//! `--update` in groups without new documents.

use dictrack::group::Call;

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
        let (list, differing, manager) = (self.list.clone(), self.differing, self.manager.manager().clone());
        let engine = manager.engine();
        let others = loop {
            let mut others = Vec::new();
            let visit = |id: &str, group: &dictrack::group::Group| {
                let call = Call::new(engine, id, now);
                // What templates cannot do now, they cannot do with the next document either, which says why.
                let templated = group.with_templates(&call).is_ok_and(|with| with.version() != group.version());
                if templated || group.differs_from(&list, differing, now) {
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
            let templated = self.manager.apply_templates(group);
            let ensured = templated.and_then(|templated| {
                Ok([templated.events, self.manager.ensure_trackers(group, &self.list, self.differing)?.events].concat())
            });
            match ensured {
                Ok(events) => {
                    self.take_events(&events);
                    self.is_reached();
                    return Ok(());
                }
                Err(error) if error.is_temporary() && self.wait_for(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
