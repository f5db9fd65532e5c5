//! Loads a large group into Redis in pieces. They wait in a key beside the group, and become the group once all of them
//! are there.
//!
//! Nobody sees a half-loaded group, and pieces left by a process that ends in between expire.

use std::sync::Arc;
use std::time::Duration;

use super::entry::{Batch, Entry};
use super::hash::{Fields, Replica};
use super::pace::Pace;
use super::swap::{Answer, Swap};
use super::{LEASE_MILLIS, Shared, script};
use crate::clock::Stopwatch;
use crate::random::token;
use crate::{Error, runtime};

/// Pieces of a load that nobody continues expire after this long.
const PIECES_MILLIS: u64 = 20_000;
/// The lease is renewed this often while the store is read.
const RENEWED_EVERY: Duration = Duration::from_millis(LEASE_MILLIS / 4);
/// How long reading a group from the store may take: meanwhile all other processes have to wait for it.
const LONGEST: Duration = Duration::from_secs(600);

/// Keeps a lease alive until it is dropped.
pub(super) struct Renewal(tokio::task::JoinHandle<()>);

impl Drop for Renewal {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Shared {
    /// Keeps a lease alive while the store is read. Called within the runtime.
    pub(super) fn renew(self: &Arc<Self>, entry: &Arc<Entry>, lease: &str) -> Renewal {
        let (shared, entry, lease) = (Arc::clone(self), Arc::clone(entry), lease.to_owned());
        Renewal(tokio::spawn(async move {
            let since = Stopwatch::start();
            while since.elapsed() < LONGEST {
                tokio::time::sleep(RENEWED_EVERY).await;
                if let Ok(false) = shared.put_piece(&entry, &lease, &[]).await {
                    return;
                }
            }
        }))
    }

    /// Puts a group from the store into Redis, under the lease of its replica; `None` if the lease was lost.
    pub(super) async fn fill(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        mut replica: Replica,
    ) -> Result<Option<Replica>, Error> {
        let since = Stopwatch::start();
        let new_token = token();
        let (set, mut fields) = {
            let renewal = self.renew(entry, &replica.lease);
            let made = runtime::at_length(true, || {
                let change = replica.group.whole(&entry.id);
                let fields = replica.fields(&entry.id, &replica.group, &change, &new_token);
                (Arc::clone(&change.set), fields)
            });
            drop(renewal);
            made
        };
        let count = fields.set.len() / 2;
        if !self.put_pieces(entry, &replica.lease, &fields).await? {
            return Ok(None);
        }
        let swap = Swap {
            version: replica.group.version(),
            token: String::new(),
            new_version: replica.group.version(),
            new_token,
            lease: replica.lease.clone(),
            set,
            follow: format!("~{}", self.connection.address().idle.as_millis()),
            sequence: self.next_sequence(),
            claim: replica.claim,
            batch: Arc::new(Batch::default()),
            changed: false,
            written: true,
            relied: false,
            waiting: Some(count),
            fields: Fields::default(),
        };
        match self.swap(entry, &swap).await? {
            Answer::Kept(_) => {
                tracing::debug!(group = %entry.id, fields = count, time = ?since.elapsed(), "a large group was loaded");
                let after = std::mem::take(&mut fields.after);
                replica.kept_as(swap.new_token, after);
                Ok(Some(replica))
            }
            _ => Ok(None),
        }
    }

    /// Puts all fields where the pieces wait; `false` if the lease was lost.
    async fn put_pieces(&self, entry: &Entry, lease: &str, fields: &Fields) -> Result<bool, Error> {
        let (mut pace, mut at) = (Pace::new(), 0);
        while at < fields.set.len() {
            let (mut piece, mut bytes) = (Vec::new(), 0);
            while at < fields.set.len() && (piece.is_empty() || bytes < pace.bytes()) {
                let (name, value) = (fields.set.get(at), fields.set.get(at + 1));
                bytes += name.len() + value.len();
                piece.extend([name.as_bytes(), value.as_bytes()]);
                at += 2;
            }
            let since = Stopwatch::start();
            if !self.put_piece(entry, lease, &piece).await? {
                return Ok(false);
            }
            pace.took(since.elapsed(), bytes);
        }
        Ok(true)
    }

    /// Puts some fields where the pieces wait, and renews the lease; `false` if it was lost.
    async fn put_piece(&self, entry: &Entry, lease: &str, piece: &[&[u8]]) -> Result<bool, Error> {
        let pieces = entry.keys.pieces(lease);
        let (lasts, pieces_last) = (LEASE_MILLIS.to_string(), PIECES_MILLIS.to_string());
        let mut arguments = vec![lease.as_bytes(), lasts.as_bytes(), pieces_last.as_bytes()];
        arguments.extend(piece);
        let put = self.connection.run("load a group", &script::FILL, &[&entry.keys.lease, &pieces], &arguments).await?;
        Ok(put == redis::Value::Int(1))
    }
}
