//! Migrates a file from an older format: one step for each version, all in one transaction.

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::tables::unreadable;
use crate::Error;

mod checksums;

/// A step from one version to the next. It gets the name of the store for error messages.
type Step = fn(&Transaction<'_>, &str) -> Result<(), Error>;

/// The first step starts at version 1.
const STEPS: [Step; super::schema::VERSION as usize - 1] = [to_2, to_3];

/// Which process may write the file; each of its commits checks the token.
pub(super) const OWNER: &str = "
CREATE TABLE owner (token TEXT NOT NULL, pid INTEGER NOT NULL, host TEXT NOT NULL, since INTEGER NOT NULL);
";

/// Runs all steps that a file of version `from` needs.
pub(super) fn migrate(connection: &Connection, from: i64, store: &str) -> Result<(), Error> {
    let fail = || unreadable(store, "the file", "bring the file to the current format");
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate).map_err(fail())?;
    let taken = usize::try_from(from - 1).unwrap_or(0);
    STEPS.iter().skip(taken).try_for_each(|step| step(&transaction, store))?;
    transaction.pragma_update(None, "user_version", super::schema::VERSION).map_err(fail())?;
    transaction.commit().map_err(fail())
}

fn to_2(transaction: &Transaction<'_>, store: &str) -> Result<(), Error> {
    transaction.execute_batch(OWNER).map_err(unreadable(store, "the file", "bring the file to the current format"))?;
    checksums::add(transaction, store)
}

/// Format 3 has trackers with periods, which the view shows.
fn to_3(transaction: &Transaction<'_>, store: &str) -> Result<(), Error> {
    let view = format!("DROP VIEW IF EXISTS trackers; {}", super::schema::VIEW);
    transaction.execute_batch(&view).map_err(unreadable(store, "the file", "bring the file to the current format"))
}
