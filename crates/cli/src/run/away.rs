//! Backends that are unreachable for a while: a run reports this once, and continues when they are back.

use std::time::Duration;

use dictrack::Error;

use super::Run;
use crate::Failure;
use crate::print::warn;

/// The pause between attempts, in addition to the time that an attempt takes.
const PAUSE: Duration = Duration::from_millis(100);
/// How often to check a commit that the run waits for.
const LOOK: Duration = Duration::from_millis(1);

/// The backend that is unreachable.
#[derive(Debug, Default)]
pub(super) struct Away {
    /// Its name, once it was reported.
    said: Option<&'static str>,
    /// Whether the last call failed.
    call_failed: bool,
    /// Whether a commit is waiting for it.
    commit_waits: bool,
}

impl Away {
    /// Whether the last call failed.
    pub(super) fn is_call_failed(&self) -> bool {
        self.call_failed
    }
}

impl Run<'_> {
    /// Whether the run should end.
    pub(super) fn is_stopped(&self) -> bool {
        self.out_closed || self.stop.is_wanted()
    }

    /// Waits a moment for the unreachable backend; `false` if the run should end.
    pub(super) fn wait_for(&mut self, error: &Error) -> bool {
        self.away.call_failed = true;
        self.say_away(error);
        std::thread::sleep(PAUSE);
        !self.is_stopped()
    }

    /// Records that a call succeeded.
    #[inline]
    pub(super) fn is_reached(&mut self) {
        if self.away.said.is_some() {
            self.away.call_failed = false;
            self.say_back();
        }
    }

    /// Checks whether commits are waiting for the store.
    pub(super) fn look_at_commits(&mut self) {
        let held_up = self.pending.front().and_then(|(commit, _)| commit.held_up_by());
        self.away.commit_waits = held_up.is_some();
        match held_up {
            Some(error) => self.say_away(&error),
            None => self.say_back(),
        }
    }

    fn say_away(&mut self, error: &Error) {
        if let (None, Error::Unavailable(source)) = (self.away.said, error) {
            self.away.said = Some(source.backend);
            warn(format_args!("dictrack: {source}; retrying until it can be reached"));
        }
    }

    fn say_back(&mut self) {
        if !self.away.call_failed
            && !self.away.commit_waits
            && let Some(backend) = self.away.said.take()
        {
            warn(format_args!("dictrack: {backend} is back"));
        }
    }

    /// Waits until no more than `most` commits are in progress, and prints the events of the others. Waits for the store as long
    /// as it takes, unless the run should end.
    pub(super) fn drain(&mut self, most: usize) -> Result<(), Failure> {
        while self.pending.len() > most {
            self.look_at_commits();
            if self.pending.front().is_some_and(|(commit, _)| commit.is_over()) {
                self.tell_next()?;
            } else if self.away.commit_waits && self.is_stopped() {
                return Err(self.give_up());
            } else {
                std::thread::sleep(LOOK);
            }
        }
        self.look_at_commits();
        Ok(())
    }

    /// Ends a run whose store is unreachable. The manager tries for a few more seconds.
    fn give_up(&self) -> Failure {
        let problem = match self.manager.close() {
            Err(error) => error.to_string(),
            Ok(()) => "the store was unreachable for a while".to_owned(),
        };
        Failure(format!("{problem}; the last documents were not saved; run again to continue"))
    }
}
