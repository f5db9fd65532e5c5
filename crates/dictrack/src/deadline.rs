//! Until when a call waits for servers: one deadline for all that it waits for, since limits of single steps add up.

use std::time::Duration;

use crate::Error;
use crate::clock::Stopwatch;

/// A call waits so long for cache and store, all in all, so that it answers or fails within two seconds.
const WAITS_FOR: Duration = Duration::from_millis(1_700);
/// What a step may take beyond that: a process that was held up finds its time gone although its servers have answered.
#[cfg(any(feature = "mongodb", feature = "redis"))]
const GRACE: Duration = Duration::from_millis(100);

/// Until when a call waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    since: Stopwatch,
    after: Duration,
}

impl Deadline {
    /// That of a call which begins now.
    pub(crate) fn of_a_call() -> Self {
        Self { since: Stopwatch::start(), after: WAITS_FOR }
    }

    /// Whether the call has to come to an end.
    pub(crate) fn is_over(&self) -> bool {
        self.since.elapsed() >= self.after
    }

    /// Leaves out a time in which nobody waited for a server.
    pub(crate) fn put_off(&mut self, by: Duration) {
        self.after += by;
    }

    /// What `work` gives, or `late` where the deadline passes first; then `work` is dropped. Files are waited for however
    /// long they take.
    #[cfg(any(feature = "mongodb", feature = "redis"))]
    pub(crate) async fn bound<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
        late: impl FnOnce(Duration) -> Error,
    ) -> Result<T, Error> {
        use std::pin::pin;
        use std::task::Poll;

        use crate::runtime;

        if !runtime::is_used() {
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

    /// What `work` gives: nothing here is far away.
    #[cfg(not(any(feature = "mongodb", feature = "redis")))]
    pub(crate) async fn bound<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
        _: impl FnOnce(Duration) -> Error,
    ) -> Result<T, Error> {
        work.await
    }
}
