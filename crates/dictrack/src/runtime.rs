//! The runtime for backends that use the network, for timers, and for work that must not hold up the caller's thread, so that
//! callers need none.

use std::sync::OnceLock;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinError;

use crate::Error;
use crate::backend::BackendError;

/// One thread is enough: it moves bytes between sockets and callers, and switching between threads costs more than that.
const THREADS: usize = 1;
/// The most threads for work that holds up its thread.
const BLOCKING_THREADS: usize = 64;

/// The runtime of one process. A fork copies the memory but not the thread, so a child needs its own runtime. It never frees
/// the inherited one, since that would wait for a thread that does not exist.
struct Started {
    process: u32,
    runtime: Runtime,
    next: OnceLock<Box<Self>>,
}

static FIRST: OnceLock<Box<Started>> = OnceLock::new();

/// The runtime, which starts when it is first needed and lives as long as the process.
pub(crate) fn handle() -> Result<&'static Handle, Error> {
    let (process, mut slot) = (std::process::id(), &FIRST);
    loop {
        match slot.get() {
            Some(found) if found.process == process => return Ok(found.runtime.handle()),
            Some(found) => slot = &found.next,
            None => {
                let mut started = Some(start(process)?);
                slot.get_or_init(|| started.take().unwrap_or_else(|| unreachable!("it is taken once")));
                if let Some(late) = started {
                    // Another thread was faster. Dropping a runtime would block, which an async caller must not do.
                    late.runtime.shutdown_background();
                }
            }
        }
    }
}

fn start(process: u32) -> Result<Box<Started>, Error> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(THREADS)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name("dictrack-io")
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| BackendError {
        backend: "the system",
        action: "start the network thread".to_owned(),
        source: error.into(),
    })?;
    Ok(Box::new(Started { process, runtime, next: OnceLock::new() }))
}

/// Runs `future` on the runtime, from any executor, and completes it even if the caller is dropped. If it takes longer than
/// `limit`, drops it and returns `None`.
#[cfg(any(feature = "mongodb", feature = "redis"))]
pub(crate) async fn run<T: Send + 'static>(
    limit: Duration,
    future: impl Future<Output = T> + Send + 'static,
) -> Result<Option<T>, Error> {
    let task = handle()?.spawn(async move { tokio::time::timeout(limit, future).await.ok() });
    task.await.map_err(|error| ended("the network thread", error))
}

/// Runs `work`, which holds up its thread, on a thread of its own.
pub(crate) async fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    handle()?.spawn_blocking(work).await.map_err(|error| ended("the thread for files", error))
}

fn ended(thread: &'static str, error: JoinError) -> Error {
    BackendError { backend: thread, action: "continue".to_owned(), source: Box::new(error) }.into()
}

/// Runs work that takes long without waiting for anything, such as reading a million ids. If this is the network thread,
/// which others wait for, another thread replaces it in the meantime.
///
/// Only if it really is `long`: each such thread has its own memory, which it never returns.
#[cfg(any(feature = "mongodb", feature = "redis"))]
pub(crate) fn at_length<T>(long: bool, work: impl FnOnce() -> T) -> T {
    if !long {
        return work();
    }
    let process = std::process::id();
    let mut slot = FIRST.get();
    while let Some(started) = slot {
        if started.process == process {
            let here = Handle::try_current().is_ok_and(|here| here.id() == started.runtime.handle().id());
            return if here { tokio::task::block_in_place(work) } else { work() };
        }
        slot = started.next.get();
    }
    work()
}

/// Waits, in any executor.
pub(crate) async fn sleep(time: Duration) -> Result<(), Error> {
    let sleep = {
        let _runtime = handle()?.enter();
        tokio::time::sleep(time)
    };
    sleep.await;
    Ok(())
}
