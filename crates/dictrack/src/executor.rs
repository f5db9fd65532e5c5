//! Work that holds up its thread, such as reading a file, and where it may do so: on a thread whose program waits for the
//! call anyway, and never on a thread of an async executor, which other tasks wait for.

use std::cell::Cell;

use tokio::runtime::Handle;

use crate::Error;
use crate::runtime;

thread_local! {
    /// Whether the program of this thread waits for the call that runs on it.
    static MAY_BLOCK: Cell<bool> = const { Cell::new(false) };
}

/// Waits for `future` on the calling thread. A call of dictrack that reads a file then does so right here, which is faster
/// than on a thread of its own.
///
/// [`Blocking`](crate::Blocking) does this for every call. Not for threads of an async executor.
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

/// Runs `work`, which may hold up its thread: here if the calling thread may be held up, else on a thread of its own, and
/// there to its end even if the caller is dropped.
pub(crate) async fn apart<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    if MAY_BLOCK.get() {
        return work.await;
    }
    runtime::spawn_blocking(move || block_on(work)).await?
}

/// Drops what takes long to drop. On a thread of a tokio runtime, one of the runtime's threads for blocking work does it,
/// which the runtime waits for when it ends.
pub(crate) fn drop_apart(slow: impl Send + 'static) {
    match Handle::try_current() {
        Ok(handle) if !MAY_BLOCK.get() => drop(handle.spawn_blocking(move || drop(slow))),
        _ => drop(slow),
    }
}
