//! Bringing a file of an older format up to date: one step for each version, all in one transaction.

use rusqlite::{Connection, Transaction, TransactionBehavior};

/// A step turns a file of one version into one of the next.
type Step = fn(&Transaction<'_>) -> Result<(), rusqlite::Error>;

/// The first step is the one from version 1.
const STEPS: [Step; super::schema::VERSION as usize - 1] = [to_2];

/// Which process may write the file; each of its commits checks the token.
pub(super) const OWNER: &str = "
CREATE TABLE owner (token TEXT NOT NULL, pid INTEGER NOT NULL, host TEXT NOT NULL, since INTEGER NOT NULL);
";

/// Takes all steps that a file of version `from` lacks.
pub(super) fn migrate(connection: &Connection, from: i64) -> Result<(), rusqlite::Error> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let taken = usize::try_from(from - 1).unwrap_or(0);
    STEPS.iter().skip(taken).try_for_each(|step| step(&transaction))?;
    transaction.pragma_update(None, "user_version", super::schema::VERSION)?;
    transaction.commit()
}

fn to_2(transaction: &Transaction<'_>) -> Result<(), rusqlite::Error> {
    transaction.execute_batch(OWNER)
}
