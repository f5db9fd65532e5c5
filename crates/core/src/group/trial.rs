//! Steps on a copy of a group, before it is known whether they will be kept.

use super::Group;
use crate::engine::Limits;

/// A copy of a group on which steps are tried before it is known whether they will be kept: a cache that processes share has to
/// ask for that.
///
/// A group can know a million document ids, and copying them for each try would cost more than the step. So a trial and the
/// group that it is a copy of share them, and at any time only the newest copy has them for itself and can forget old ones.
/// That is why a trial has to be [kept](Self::keep) or [undone](Self::undo), and why a group with a trial may be without ids
/// until then: [`whole`](Self::whole) gives it with them.
#[derive(Debug)]
#[must_use = "the group it was made of may be without its document ids until it is kept or undone"]
pub struct Trial(Group);

impl Trial {
    /// A trial on a group, or on top of another trial's group.
    pub fn on(group: &Group) -> Self {
        Self(group.clone())
    }

    /// The group as it is tried.
    pub fn group(&self) -> &Group {
        &self.0
    }

    /// The group, to run a step on.
    pub fn group_mut(&mut self) -> &mut Group {
        &mut self.0
    }

    /// Makes `group`, of which this is a trial, what was tried. `next` is the trial on top of this one, if there is one.
    pub fn keep(self, group: &mut Group, next: Option<&mut Self>, limits: &Limits) {
        *group = self.0;
        hand_on(group, next, limits);
    }

    /// Leaves `group`, of which this is a trial, as it was. `next` is the trial on top of this one, if it goes on: this one has
    /// changed nothing then.
    pub fn undo(self, group: &mut Group, next: Option<&mut Self>, limits: &Limits) {
        self.give_ids_back(group);
        drop(self);
        hand_on(group, next, limits);
    }

    /// `group`, of which this is the newest trial or the one under it, with its ids.
    pub fn whole(&self, group: &Group) -> Group {
        let mut whole = group.clone();
        self.give_ids_back(&mut whole);
        whole
    }

    fn give_ids_back(&self, group: &mut Group) {
        if let (Some(log), Some(older)) = (&self.0.log, &mut group.log) {
            log.ids.give_back(&mut older.ids);
        }
    }
}

/// Lets the newest copy have the ids: `next`, or else `group` itself.
fn hand_on(group: &mut Group, next: Option<&mut Trial>, limits: &Limits) {
    match (next, &mut group.log) {
        (Some(Trial(Group { log: Some(log), .. })), Some(older)) => log.ids.take_over(&mut older.ids, limits),
        (None, Some(log)) => log.ids.learn_all(limits),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;
    use crate::hash::ContentHash;
    use crate::json::Json;
    use crate::{Timestamp, Track};

    fn document(group: &mut Group, engine: &Engine, id: u8) -> bool {
        let now = Timestamp::from_secs(1);
        let id = Some(ContentHash::of([[id]]));
        !group.track(engine, "g", &Track { document: &Json::Null, now, clock: now, id }).duplicate()
    }

    #[test]
    fn what_was_tried_is_known_only_if_it_was_kept() {
        let engine = Engine::default();
        let mut group = Group::default();
        assert!(document(&mut group, &engine, 1));
        let mut kept = Trial::on(&group);
        assert!(document(kept.group_mut(), &engine, 2) && !document(kept.group_mut(), &engine, 1));
        let mut next = Trial::on(kept.group());
        assert!(document(next.group_mut(), &engine, 3));
        kept.keep(&mut group, Some(&mut next), &engine.limits);
        // The next trial has the ids; the group with them is that without what the trial added.
        assert_eq!((group.known_ids(), next.group().known_ids()), (0, 3));
        assert_eq!(next.whole(&group).known_ids(), 2);
        let mut last = Trial::on(next.group());
        assert!(document(last.group_mut(), &engine, 4));
        drop(last);
        next.undo(&mut group, None, &engine.limits);
        assert!(!document(&mut group, &engine, 1) && !document(&mut group, &engine, 2));
        assert!(document(&mut group, &engine, 3) && document(&mut group, &engine, 4));
        assert_eq!(group.known_ids(), 4);
    }

    #[test]
    fn a_trial_that_only_looked_leaves_the_ids_to_the_next() {
        let engine = Engine::default();
        let mut group = Group::default();
        assert!(document(&mut group, &engine, 1));
        let look = Trial::on(&group);
        let mut next = Trial::on(look.group());
        assert!(document(next.group_mut(), &engine, 2));
        look.undo(&mut group, Some(&mut next), &engine.limits);
        next.keep(&mut group, None, &engine.limits);
        assert!(!document(&mut group, &engine, 1) && !document(&mut group, &engine, 2));
    }
}
