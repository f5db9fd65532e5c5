//! Blocking work, such as reading a file, and where it may run: on a thread whose program waits for the call anyway,
//! and never on a thread of an async executor, where it would hold up other tasks.

use std::cell::Cell;

use tokio::runtime::Handle;

use crate::Error;
use crate::runtime;

thread_local! {
    /// Whether the program waits for the call that runs on this thread.
    static MAY_BLOCK: Cell<bool> = const { Cell::new(false) };
}

/// Waits for `future` on the calling thread. A dictrack call that reads a file does so on this thread, which is faster
/// than using another one.
///
/// [`Blocking`](crate::Blocking) does this for every call. Do not call this function on a thread of an async executor.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            MAY_BLOCK.set(self.0);
        }
    }
    let _restore = Restore(MAY_BLOCK.replace(true));
    pollster::block_on(future)
}

/// Runs blocking `work`: on the calling thread if that is allowed to block, else on a thread of its own, where it runs
/// to its end even if the caller is dropped.
pub(crate) async fn apart<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    if MAY_BLOCK.get() {
        return work.await;
    }
    runtime::spawn_blocking(move || block_on(work)).await?
}

/// Drops a value that takes long to drop. On a thread of a tokio runtime, the drop moves to one of the runtime's
/// threads for blocking work, and the runtime waits for it when it shuts down.
pub(crate) fn drop_apart(slow: impl Send + 'static) {
    match Handle::try_current() {
        Ok(handle) if !MAY_BLOCK.get() => drop(handle.spawn_blocking(move || drop(slow))),
        _ => drop(slow),
    }
}
