//! The server: from binding its address to its end.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use dictrack::{Error, Manager};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::{App, Gauge, Shared, in_store};
use crate::auth::Access;
use crate::config::Config;
use crate::keys::{self, Keys};
use crate::metrics::Metrics;
use crate::problem::{Code, Problem};
use crate::tls::Certificate;
use crate::{connection, gate, routes};

/// How many connections may wait to be accepted. When it is full, the system drops those that come, and clients try again only after
/// a second.
const BACKLOG: u32 = 4_096;
/// How often keys that another process may have changed are read again.
const KEYS_EVERY: Duration = Duration::from_secs(3);
/// The pause after a connection could not be accepted, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long what is not written yet may take to be written when the server ends.
const CLOSE_WITHIN: Duration = Duration::from_millis(2_500);

/// Why a server cannot be started or did not end well.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be used.
    Listen(SocketAddr, std::io::Error),
    /// The certificate cannot be used.
    Tls(String),
    /// There is no key, and the address can be reached from other machines.
    NoKeys(SocketAddr),
    /// An error of the manager.
    Manager(Error),
    /// The store could not write everything in time.
    Unfinished,
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(address, error) => write!(f, "cannot listen on {address}: {error}"),
            Self::Tls(problem) => f.write_str(problem),
            Self::NoKeys(address) => write!(
                f,
                "{address} can be reached from other machines, but there is no key yet; create one with `dictrack keys create`, \
                 or listen on 127.0.0.1"
            ),
            Self::Manager(error) => error.fmt(f),
            Self::Unfinished => {
                f.write_str("not everything could be written in time; what was acknowledged as durable is kept")
            }
        }
    }
}

impl std::error::Error for ServeError {}

impl From<Error> for ServeError {
    fn from(error: Error) -> Self {
        Self::Manager(error)
    }
}

/// A server that has its address and has not begun to answer yet.
#[must_use = "a server answers only while it runs"]
pub struct Server {
    app: Shared,
    listener: TcpListener,
    address: SocketAddr,
    certificate: Option<Arc<Certificate>>,
    stop: watch::Sender<bool>,
    tasks: TaskTracker,
}

/// Controls a running server.
#[derive(Clone)]
pub struct Handle {
    app: Shared,
    certificate: Option<Arc<Certificate>>,
    stop: watch::Sender<bool>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

impl Handle {
    /// Begins to end the server: it accepts nothing more, requests in progress end, and everything is written.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Reads the certificate and the keys again. What cannot be read stays as it was.
    ///
    /// # Errors
    /// Why the certificate or the keys cannot be read.
    pub async fn reload(&self) -> Result<(), ServeError> {
        if let Some(certificate) = &self.certificate {
            certificate.reload()?;
        }
        Ok(self.app.load_keys().await?)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Server {
    /// Prepares a server for a manager, and takes its address. `manager` is the only one that the server uses, and is closed when the
    /// server ends.
    ///
    /// # Errors
    /// A [`ServeError`].
    pub async fn bind(manager: Manager, config: Config) -> Result<Self, ServeError> {
        let Config { listen, store, tls, limits, log_requests } = config;
        let certificate = tls.map(Certificate::load).transpose()?.map(Arc::new);
        let keys = match &store {
            Some(store) => in_store(store, |store| async move { keys::list_all(&*store).await }).await?,
            None => Vec::new(),
        };
        let is_loopback = listen.ip().is_loopback();
        if keys.is_empty() && !is_loopback {
            return Err(ServeError::NoKeys(listen));
        }
        let fail = |error| ServeError::Listen(listen, error);
        let listener = listen_on(listen).map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| fail(error.into()))?;
        let tasks = TaskTracker::new();
        let app = Arc::new(App {
            metrics: Metrics::new(&manager),
            manager,
            store,
            access: Access::new(Keys::new(keys), is_loopback),
            log_requests,
            requests: Gauge::new(limits.requests, "requests"),
            uploads: Gauge::new(limits.uploads, "uploads"),
            body_bytes: Gauge::new(limits.body_bytes, "bytes of documents"),
            limits,
            stopping: AtomicBool::new(false),
            tasks: tasks.clone(),
            request_ids: (u64::from_ne_bytes(random), AtomicU64::new(0)),
        });
        Ok(Self { app, listener, address, certificate, stop: watch::Sender::new(false), tasks })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether requests need a key. Without any, only programs on this machine can send requests, and none needs a key.
    pub fn needs_keys(&self) -> bool {
        !self.app.access.is_open()
    }

    /// Controls the server while it runs.
    pub fn handle(&self) -> Handle {
        Handle { app: Arc::clone(&self.app), certificate: self.certificate.clone(), stop: self.stop.clone() }
    }

    /// Answers until [`Handle::stop`] is called. Then requests in progress end, everything is written, and the manager is closed, which
    /// takes up to 5 seconds.
    ///
    /// # Errors
    /// The failure of the store, if not everything could be written.
    pub async fn run(self) -> Result<(), ServeError> {
        let Self { app, listener, certificate, stop, tasks, .. } = self;
        let router = service(&app);
        let slots = Arc::new(Semaphore::new(app.limits.connections.min(Semaphore::MAX_PERMITS)));
        let mut stopped = stop.subscribe();
        // Whoever shares the store may change the keys.
        let refreshing = app.store.as_ref().is_some_and(|store| store.is_remote());
        let refresh = refreshing.then(|| tokio::spawn(refresh_keys(Arc::clone(&app))));
        loop {
            let accepted = async {
                let slot = Arc::clone(&slots).acquire_owned().await;
                (listener.accept().await, slot)
            };
            let (accepted, slot) = tokio::select! {
                accepted = accepted => accepted,
                _ = stopped.wait_for(|stop| *stop) => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (app, router, certificate, stop) =
                (Arc::clone(&app), router.clone(), certificate.clone(), stop.subscribe());
            tasks.spawn(async move {
                let _slot = slot;
                app.metrics.connections(1);
                connection::serve(stream, certificate.as_deref(), router, &app.limits, stop).await;
                app.metrics.connections(-1);
            });
        }
        drop(listener);
        app.stopping.store(true, Ordering::Relaxed);
        tasks.close();
        // Connections end by themselves within that time.
        let _ = timeout(app.limits.drain_time + ACCEPT_PAUSE, tasks.wait()).await;
        if let Some(refresh) = refresh {
            refresh.abort();
        }
        match timeout(CLOSE_WITHIN, app.manager.close()).await {
            Ok(closed) => Ok(closed?),
            Err(_) => Err(ServeError::Unfinished),
        }
    }
}

/// The routes with everything that happens around them.
pub(crate) fn service(app: &Shared) -> Router {
    routes::all()
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(Arc::clone(app), gate::gate))
        .with_state(Arc::clone(app))
}

fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!(panic = dictrack::custom::panic_message(&*panic), "a request panicked");
    Problem::new(Code::Internal, "an internal error; the log of the server has it").into_response()
}

fn listen_on(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // After a restart, connections of the earlier process must not block the address.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn refresh_keys(app: Shared) {
    loop {
        sleep(KEYS_EVERY).await;
        if let Err(error) = app.load_keys().await {
            tracing::warn!(%error, "the keys could not be read again");
        }
    }
}
