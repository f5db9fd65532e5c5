//! A proxy that breaks connections.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Sits between clients and a server, and breaks their connections as networks do.
///
/// Data read from a client in one piece is treated as a request, and from the server as a reply, so commands that a client
/// sends together are lost together. Greetings and TLS handshakes count as well, and a driver may have extra connections to
/// monitor the server; [`only_requests_with`](Self::only_requests_with) leaves those alone.
///
/// If a server tells clients its own address, as members of a MongoDB replica set and nodes of a Redis cluster do, clients
/// bypass the proxy. For MongoDB, [`url_for`](Self::url_for) asks the client not to.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    state: Mutex<State>,
    /// Wakes connections that hold back bytes.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    plan: Plan,
    open: HashMap<u64, Link>,
    connections: u64,
    requests: u64,
    replies: u64,
    faults: u64,
    ended: bool,
}

/// The faults to inject.
#[derive(Debug, Default)]
struct Plan {
    drop_next: u64,
    drop_every: u64,
    cut_every: u64,
    delay: Duration,
    bytes_per_second: u32,
    stalled: bool,
    refuse: bool,
    only_with: Vec<u8>,
}

/// A connection, with both ends.
#[derive(Debug)]
struct Link {
    client: TcpStream,
    server: TcpStream,
    /// Whether the faults apply to its last request.
    meant: bool,
}

impl Link {
    fn close(&self) {
        // One of them may be closed already.
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToServer,
    ToClient,
}

impl Proxy {
    /// Starts a proxy in front of a server, which may be started later.
    ///
    /// # Panics
    ///
    /// If the address is invalid.
    pub fn start(upstream: impl ToSocketAddrs) -> Self {
        let upstream =
            upstream.to_socket_addrs().ok().and_then(|mut found| found.next()).expect("the address of a server");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let shared = Arc::new(Shared { upstream, state: Mutex::default(), changed: Condvar::new() });
        let acceptor = Arc::clone(&shared);
        let acceptor = thread::spawn(move || acceptor.accept_all(&listener));
        Self { address, shared, acceptor: Some(acceptor) }
    }

    /// The address for clients.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of the server with the address of the proxy. A MongoDB client is told to stay with that address.
    ///
    /// # Panics
    ///
    /// If the URL does not have the address of the server.
    pub fn url_for(&self, url: &str) -> String {
        let upstream = self.shared.upstream.to_string();
        assert!(url.contains(&upstream), "{url} is not of the server at {upstream}");
        let url = url.replace(&upstream, &self.address.to_string());
        let Some(rest) = url.strip_prefix("mongodb://") else { return url };
        let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
        let slash = if place.contains('/') { "" } else { "/" };
        let kept = options.split('&').filter(|option| !option.is_empty() && !option.starts_with("replicaSet="));
        let options: Vec<_> = kept.chain(["directConnection=true"]).collect();
        format!("mongodb://{place}{slash}?{}", options.join("&"))
    }

    /// Closes all connections that are open now.
    pub fn cut(&self) {
        let mut state = self.shared.state.lock();
        let closed = state.open.drain().map(|(_, link)| link.close()).count();
        state.faults += closed as u64;
        self.shared.changed.notify_all();
    }

    /// Loses the next replies: each time the server has the request and answers, and the connection is then closed.
    /// 0 disables this.
    pub fn drop_next_replies(&self, count: u64) {
        self.shared.state.lock().plan.drop_next = count;
    }

    /// Drops every `nth` reply, counted over all connections from now on. 0 disables this.
    pub fn drop_replies_every(&self, nth: u64) {
        let mut state = self.shared.state.lock();
        state.plan.drop_every = nth;
        state.replies = 0;
    }

    /// Closes the connection at every `nth` request, which the server does not receive, counted over all connections from now
    /// on. 0 disables this.
    pub fn cut_every(&self, nth: u64) {
        let mut state = self.shared.state.lock();
        state.plan.cut_every = nth;
        state.requests = 0;
    }

    /// Limits dropped replies and requests to requests that contain these bytes, such as the name of a command. Others are not
    /// counted. An empty slice means all requests.
    pub fn only_requests_with(&self, bytes: impl AsRef<[u8]>) {
        self.shared.state.lock().plan.only_with = bytes.as_ref().to_owned();
    }

    /// Delays each reply for this long. Replies on the same connection wait for each other.
    pub fn delay(&self, delay: Duration) {
        self.shared.state.lock().plan.delay = delay;
    }

    /// Limits each direction of each connection to this many bytes per second. 0 disables this.
    pub fn throttle(&self, bytes_per_second: u32) {
        self.shared.state.lock().plan.bytes_per_second = bytes_per_second;
    }

    /// Holds back all bytes, in both directions, until [`unstall`](Self::unstall). Connections stay open, and new ones are
    /// accepted.
    pub fn stall(&self) {
        let mut state = self.shared.state.lock();
        state.plan.stalled = true;
        state.faults += 1;
    }

    /// Sends what was held back, and stops holding back bytes.
    pub fn unstall(&self) {
        self.shared.state.lock().plan.stalled = false;
        self.shared.changed.notify_all();
    }

    /// Whether to close new connections at once. Existing ones stay open.
    pub fn refuse(&self, refuse: bool) {
        self.shared.state.lock().plan.refuse = refuse;
    }

    /// How many connections were made, including refused ones.
    pub fn connections(&self) -> u64 {
        self.shared.state.lock().connections
    }

    /// How many connections are open now.
    pub fn open_connections(&self) -> usize {
        self.shared.state.lock().open.len()
    }

    /// How many faults there were: connections closed by [`cut`](Self::cut), dropped replies, dropped requests, refused
    /// connections and stalls. Delays do not count.
    pub fn faults(&self) -> u64 {
        self.shared.state.lock().faults
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.state.lock().ended = true;
        self.cut();
        // A connection wakes the acceptor.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

impl Shared {
    fn accept_all(self: &Arc<Self>, listener: &TcpListener) {
        for (number, client) in (0..).zip(listener.incoming().flatten()) {
            if self.state.lock().ended {
                return;
            }
            let shared = Arc::clone(self);
            // If the server is down, the connection is closed at once.
            thread::spawn(move || shared.serve(number, client));
        }
    }

    /// Forwards bytes in both directions until the connection ends.
    fn serve(self: Arc<Self>, number: u64, client: TcpStream) -> io::Result<()> {
        {
            let mut state = self.state.lock();
            state.connections += 1;
            if state.plan.refuse {
                state.faults += 1;
                return Ok(());
            }
        }
        let server = TcpStream::connect(self.upstream)?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let link = Link { client: client.try_clone()?, server: server.try_clone()?, meant: false };
        let (from_server, to_client) = (server.try_clone()?, client.try_clone()?);
        {
            let mut state = self.state.lock();
            if state.ended {
                return Ok(());
            }
            state.open.insert(number, link);
        }
        thread::scope(|scope| {
            scope.spawn(|| self.carry(number, Direction::ToClient, from_server, to_client));
            self.carry(number, Direction::ToServer, client, server);
        });
        self.state.lock().open.remove(&number);
        Ok(())
    }

    /// Forwards bytes in one direction until it ends. A fault also ends the other direction.
    fn carry(&self, number: u64, direction: Direction, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => {
                    // Data in the other direction still arrives.
                    let _ = to.shutdown(Shutdown::Write);
                    return;
                }
                Ok(read) if self.let_pass(number, direction, &buffer[..read]) => {
                    if to.write_all(&buffer[..read]).is_err() {
                        break;
                    }
                }
                Ok(_) | Err(_) => break,
            }
        }
        if let Some(link) = self.state.lock().open.remove(&number) {
            link.close();
        }
        self.changed.notify_all();
    }

    /// Waits as long as the faults require. False if the bytes, and with them the connection, are dropped.
    fn let_pass(&self, number: u64, direction: Direction, bytes: &[u8]) -> bool {
        let mut state = self.state.lock();
        let mut delay = if direction == Direction::ToClient { state.plan.delay } else { Duration::ZERO };
        if state.plan.bytes_per_second > 0 {
            delay += Duration::from_secs(bytes.len() as u64) / state.plan.bytes_per_second;
        }
        if !delay.is_zero() {
            drop(state);
            thread::sleep(delay);
            state = self.state.lock();
        }
        while state.plan.stalled && state.open.contains_key(&number) {
            self.changed.wait(&mut state);
        }
        let State { plan, open, requests, replies, faults, .. } = &mut *state;
        let Some(link) = open.get_mut(&number) else { return false };
        let lost = match direction {
            Direction::ToServer => {
                link.meant = plan.only_with.is_empty() || contains(bytes, &plan.only_with);
                *requests += u64::from(link.meant);
                link.meant && plan.cut_every > 0 && requests.is_multiple_of(plan.cut_every)
            }
            Direction::ToClient if link.meant => {
                *replies += 1;
                let next = plan.drop_next > 0;
                plan.drop_next = plan.drop_next.saturating_sub(1);
                next || plan.drop_every > 0 && replies.is_multiple_of(plan.drop_every)
            }
            Direction::ToClient => false,
        };
        *faults += u64::from(lost);
        !lost
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
