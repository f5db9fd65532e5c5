//! How a server is set up.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dictrack::json::Bounds;
use dictrack::store::DataStore;

/// How a [`Server`](crate::Server) is set up.
///
/// ```
/// use dictrack_server::Config;
///
/// let config = Config::default().listen(([127, 0, 0, 1], 8080).into()).log_requests();
/// assert_eq!(config.listen.port(), 8080);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
#[must_use = "a configuration does nothing until a server gets it"]
pub struct Config {
    /// The address to listen on; port 0 chooses a free one. By default port 3428 of this machine, for programs on it only.
    pub listen: SocketAddr,
    /// The store of the manager, for the keys in it. Without it there are no keys, so the server only listens on this machine.
    pub store: Option<Arc<dyn DataStore>>,
    /// The certificate, if the server speaks TLS.
    pub tls: Option<Tls>,
    /// What clients may use.
    pub limits: Limits,
    /// Whether each request is logged, with its id.
    pub log_requests: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 3428).into(),
            store: None,
            tls: None,
            limits: Limits::default(),
            log_requests: false,
        }
    }
}

impl Config {
    /// Sets the address to listen on.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Sets the store of the manager.
    pub fn store(mut self, store: Arc<dyn DataStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// Speaks TLS.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Sets what clients may use.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Logs each request.
    pub fn log_requests(mut self) -> Self {
        self.log_requests = true;
        self
    }
}

/// The files of a certificate, in PEM. They are read again on [`Handle::reload`](crate::Handle::reload).
#[derive(Clone, Debug)]
pub struct Tls {
    /// The certificate, followed by those that lead to its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What clients may use. Whatever goes beyond it is refused before it takes memory.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Open connections; further ones wait until one is closed.
    pub connections: usize,
    /// Requests in progress; further ones get 503.
    pub requests: usize,
    /// Uploads of many documents in progress; further ones get 503.
    pub uploads: usize,
    /// Bytes of bodies in memory; requests that need more get 503.
    pub body_bytes: usize,
    /// Bytes of one document, or of one item of an upload. Never more than dictrack reads, 1 MiB.
    pub document_bytes: usize,
    /// Bytes of the request line and the headers.
    pub header_bytes: usize,
    /// How long a client may take to send the headers of its next request, also on a connection that is idle.
    pub header_time: Duration,
    /// How long a client may take to send a document, or the next part of an upload, or to read the next part of a response.
    pub body_time: Duration,
    /// How long requests in progress may take to end when the server stops.
    pub drain_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            requests: 4_096,
            uploads: 16,
            body_bytes: 32 << 20,
            document_bytes: Bounds::DOCUMENT.bytes,
            header_bytes: 64 << 10,
            header_time: Duration::from_secs(60),
            body_time: Duration::from_secs(30),
            drain_time: Duration::from_millis(2_000),
        }
    }
}
