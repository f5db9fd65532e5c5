//! Running steps on a copy of a group before it is known whether their changes are kept.

use super::Group;
use crate::engine::Limits;

/// A copy of a group on which steps run before it is known whether their changes are kept. With a cache that processes
/// share, only the server can tell.
///
/// A group can have a million document ids, and copying them for each trial would cost far more than the step. So a
/// trial shares the ids with the group that it copies, and the newest copy owns them: only the owner can drop old ids.
/// That is why each trial must be [kept](Self::keep) or [undone](Self::undo), and why the group may lack its ids until
/// then. Use [`whole`](Self::whole) for the group with its ids.
#[derive(Debug)]
#[must_use = "the group may lack its document ids until the trial is kept or undone"]
pub struct Trial(Group);

impl Trial {
    /// Starts a trial on a group, which may be the group of another trial.
    pub fn on(group: &Group) -> Self {
        Self(group.clone())
    }

    /// The group with the changes of the trial.
    pub fn group(&self) -> &Group {
        &self.0
    }

    /// The group, to run a step on.
    pub fn group_mut(&mut self) -> &mut Group {
        &mut self.0
    }

    /// Ends the trial and applies its changes to `group`, which it is a copy of. `next` is the trial on top of it, if
    /// any.
    pub fn keep(self, group: &mut Group, next: Option<&mut Self>, limits: &Limits) {
        *group = self.0;
        hand_on(group, next, limits);
    }

    /// Ends the trial and leaves `group`, which it is a copy of, as it was. `next` is the trial on top of it, if that
    /// one continues, which requires that this trial has not changed anything.
    pub fn undo(self, group: &mut Group, next: Option<&mut Self>, limits: &Limits) {
        self.give_ids_back(group);
        drop(self);
        hand_on(group, next, limits);
    }

    /// A copy of `group` with its ids. This must be the trial on `group`, or the trial on top of that one.
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

/// Makes the newest copy the owner of the ids: `next`, or else `group` itself.
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
    use crate::Timestamp;
    use crate::engine::Engine;
    use crate::group::Track;
    use crate::hash::ContentHash;
    use crate::json::Json;

    fn document(group: &mut Group, engine: &Engine, id: u8) -> bool {
        let now = Timestamp::from_secs(1);
        let id = Some(ContentHash::of([[id]]));
        !group.track(engine, "g", &Track::new(&Json::Null, now).id(id)).duplicate()
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
        // The next trial has the ids. `whole` returns the group with its own ids, without those that the trial added.
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
