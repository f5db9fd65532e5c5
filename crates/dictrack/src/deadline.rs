//! How long a call waits for servers: one deadline for everything it waits for, since limits on single steps add up.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::clock::Stopwatch;
use crate::{Error, runtime};

/// How long a call waits for the cache and the store in total, so that it returns within two seconds.
const WAITS_FOR: Duration = Duration::from_millis(1_700);
/// What a step may take beyond that: a process that was suspended finds its time used up although its servers have
/// answered.
const GRACE: Duration = Duration::from_millis(100);

/// When a call stops waiting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    since: Stopwatch,
    after: Duration,
    /// Whether the cache or the store is a server, which may never answer. There is no limit on waiting for files.
    is_remote: bool,
}

impl Deadline {
    /// The deadline of a call that begins now.
    pub(crate) fn of_a_call(is_remote: bool) -> Self {
        Self { since: Stopwatch::start(), after: WAITS_FOR, is_remote }
    }

    /// How long the call has taken so far.
    pub(crate) fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }

    /// Whether the call has to end now.
    pub(crate) fn is_over(&self) -> bool {
        self.since.elapsed() >= self.after
    }

    /// Extends the deadline by a time in which nothing waited for a server.
    pub(crate) fn put_off(&mut self, by: Duration) {
        self.after += by;
    }

    /// The result of `work`, or `late` if the deadline passes first; `work` is dropped then.
    pub(crate) async fn bound<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
        late: impl FnOnce(Duration) -> Error,
    ) -> Result<T, Error> {
        if !self.is_remote {
            return work.await;
        }
        let mut work = pin!(work);
        let mut passed = pin!(async {
            runtime::sleep(self.after.saturating_sub(self.since.elapsed())).await?;
            runtime::sleep(GRACE).await
        });
        let ended = std::future::poll_fn(|context| {
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(Some(done));
            }
            passed.as_mut().poll(context).map(|slept| slept.err().map(Err))
        });
        ended.await.unwrap_or_else(|| Err(late(self.since.elapsed())))
    }
}
