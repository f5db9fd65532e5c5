//! Serves dictrack over HTTP: programs in any language track documents and get what each of them did.
//!
//! ```no_run
//! use dictrack::Manager;
//! use dictrack_server::{Config, Server};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let manager = Manager::open("app.db").await?;
//! let server = Server::bind(manager, Config::default()).await?;
//! println!("listening on {}", server.address());
//! server.run().await?;
//! # Ok(())
//! # }
//! ```
//!
//! The server needs a tokio runtime with timers and I/O. `docs/server.md` in the repository describes its HTTP interface, and so
//! does [`openapi`]. The command `dictrack serve` is this library with options.

mod app;
mod auth;
mod batch;
mod body;
mod config;
mod connection;
mod documents;
mod gate;
mod groups;
mod health;
mod json;
mod key_calls;
pub mod keys;
mod metrics;
mod openapi;
mod path;
mod problem;
mod query;
mod quota;
mod routes;
mod server;
mod tls;

pub use config::{Config, Limits, Tls};
pub use openapi::openapi;
pub use server::{Handle, ServeError, Server};
