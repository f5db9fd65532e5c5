//! What a manager created by Python consists of.

use std::ops::Deref;
use std::sync::Arc;

use dictrack::group::Differing;
use dictrack::{
    Event, EventCode, Manager as Tracking, Timestamp,
    manager::{At, ListenerId, Submission},
};
use parking_lot::Mutex;
use pyo3::prelude::*;

use super::ensured::Ensured;
use crate::document::Document;
use crate::event::event_for;
use crate::interrupted;
use crate::live::Following;
use crate::python::tell_function;

/// Closes its manager without holding the GIL: closing waits for threads that may want to log.
pub(crate) struct Ending(Option<Tracking>);

impl Deref for Ending {
    type Target = Tracking;

    fn deref(&self) -> &Tracking {
        let Some(manager) = &self.0 else { unreachable!("only the end takes it out") };
        manager
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let mut manager = self.0.take();
        // Without an interpreter, nothing logs.
        let _ = Python::try_attach(|py| py.detach(|| drop(manager.take())));
    }
}

/// What a manager shares with the trackers that follow it.
pub(crate) struct Inner {
    pub(crate) manager: Ending,
    pub(crate) following: Following,
    listeners: Mutex<Vec<(u64, ListenerId)>>,
}

impl Inner {
    pub(super) fn new(manager: Tracking) -> Self {
        Self { manager: Ending(Some(manager)), following: Following::default(), listeners: Mutex::default() }
    }

    /// The calls as of `now`, or by the clock if there is no moment.
    pub(super) fn at(&self, now: Option<Timestamp>) -> At<'_> {
        self.manager.at(now.unwrap_or_else(|| self.manager.now()))
    }

    pub(super) async fn track(&self, submission: Submission<'_>) -> Result<dictrack::Outcome, dictrack::Error> {
        let outcome = self.manager.track_one(submission).await?;
        self.follow(submission.group, &outcome).await;
        Ok(outcome)
    }

    pub(crate) fn has_to_follow(&self, outcome: &dictrack::Outcome) -> bool {
        self.following.has_to_follow(outcome)
    }

    /// Passes on what a document did to trackers that are followed.
    pub(crate) async fn follow(&self, group: &str, outcome: &dictrack::Outcome) {
        if self.has_to_follow(outcome) {
            self.following.follow(group, outcome).await;
        }
    }

    /// Calls `callback` for each event with this code; returns the number that removes it again.
    pub(super) fn add_listener(&self, code: EventCode, callback: Py<PyAny>) -> u64 {
        let tell = move |event: &Event| {
            let shared = Arc::new(event.clone());
            let told = Python::attach(|py| tell_function(py)?.call1((&callback, event_for(py, &shared)?)).map(drop));
            if let Err(error) = told.or_else(interrupted::unless_failed) {
                tracing::error!(target: "dictrack::listeners", event = %event.id(), group = %event.group, %error, "a listener could not be called");
            }
        };
        let id = self.manager.add_listener(code, tell);
        let mut listeners = self.listeners.lock();
        let number = listeners.last().map_or(1, |(last, _)| last + 1);
        listeners.push((number, id));
        number
    }

    /// Removes a listener; returns whether it was there.
    pub(super) fn remove_listener(&self, number: u64) -> bool {
        let mut listeners = self.listeners.lock();
        let Some(at) = listeners.iter().position(|(known, _)| *known == number) else { return false };
        self.manager.remove_listener(listeners.remove(at).1)
    }

    /// Writes everything and closes the manager.
    pub(super) async fn close(&self) -> Result<(), dictrack::Error> {
        self.following.look(None).await;
        let closed = self.manager.close().await;
        // The listeners may refer to the manager, and the two would keep each other alive.
        for (_, listener) in std::mem::take(&mut *self.listeners.lock()) {
            self.manager.remove_listener(listener);
        }
        closed
    }
}

/// A document as a call passes it.
pub(crate) fn submission<'a>(
    group: &'a str,
    document: &'a Document,
    now: Option<Timestamp>,
    id: Option<&'a str>,
    ensured: Option<&'a Ensured>,
) -> Submission<'a> {
    let mut submission = Submission::new(group, document);
    (submission.now, submission.event_id) = (now, id);
    submission.ensure = ensured.map(|ensured| (ensured.list(), Differing::Refuse));
    submission
}
