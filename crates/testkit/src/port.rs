//! Ports that stay reserved for a server while it is down.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram};
use std::process;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the ports that Linux assigns to clients, so that no connection takes the port of a restarting server.
const FIRST: u16 = 12_000;
const COUNT: u16 = 10_000;
/// A node of a Redis cluster also listens on its port plus this number.
const BUS: u16 = 10_000;

/// A port that no other test on this machine uses while this value exists.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    /// A name in Linux's abstract socket namespace serves as a lock: only one process can have it, and it ends with the process.
    _claim: UnixDatagram,
}

impl Port {
    pub(crate) fn claim() -> Self {
        // Each process starts at a different port and moves on, so that a port is not soon reused for another server.
        static NEXT: LazyLock<AtomicU32> = LazyLock::new(|| AtomicU32::new(process::id().wrapping_mul(61)));
        for _ in 0..COUNT {
            let step = NEXT.fetch_add(1, Ordering::Relaxed) % u32::from(COUNT);
            let number = FIRST + u16::try_from(step).expect("less than COUNT");
            let name = UnixAddr::from_abstract_name(format!("dictrack-test-port-{number}")).expect("a short name");
            let Ok(claim) = UnixDatagram::bind_addr(&name) else { continue };
            if is_free(number) && is_free(number + BUS) {
                return Self { number, _claim: claim };
            }
        }
        panic!("none of the ports from {FIRST} on is free");
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
