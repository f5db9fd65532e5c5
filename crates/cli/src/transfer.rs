//! `dictrack export` and `dictrack import`.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::PathBuf;

use dictrack::SqliteStore;
use dictrack::transfer::{self, Moved};

use crate::explain::wait;
use crate::print::{Out, warn};
use crate::report::spinner;
use crate::{Outcome, store};

/// Write everything that a store holds as lines of JSON.
///
/// Nothing is lost: definitions, progress, limiters, document ids, undelivered events, completed trackers, and how far
/// inputs were read. May be used beside a running writer.
///
/// Example: dictrack export --store dictrack.db > backup.ndjson
#[derive(clap::Args)]
pub(crate) struct ExportArgs {
    /// The store.
    #[arg(long, value_name = "FILE")]
    store: PathBuf,
    /// Where to write; standard output if this is not given.
    #[arg(value_name = "OUTPUT")]
    output: Option<PathBuf>,
}

/// Read an export into a store that lacks its groups.
///
/// Example: dictrack import --store copy.db backup.ndjson
#[derive(clap::Args)]
pub(crate) struct ImportArgs {
    /// The store; it is made if there is none.
    #[arg(long, value_name = "FILE")]
    store: PathBuf,
    /// The export; standard input if this is not given.
    #[arg(value_name = "INPUT")]
    input: Option<PathBuf>,
}

fn say(verb: &str, moved: Moved) {
    let Moved { groups, sets, marks, .. } = moved;
    warn(format_args!("{verb} {groups} groups, {sets} definition sets and {marks} marks"));
}

pub(crate) fn export(args: &ExportArgs) -> Outcome {
    let store = store::read_only(&args.store)?;
    let mut out: Box<dyn Write + Send> = match &args.output {
        Some(path) => Box::new(BufWriter::new(File::create_new(path)?)),
        None => Box::new(BufWriter::new(Out::new())),
    };
    let bar = spinner("{spinner} {human_pos} groups {elapsed}");
    let moved = wait(transfer::export(&store, &mut *out, |moved| bar.set_position(moved.groups)))?;
    bar.finish_and_clear();
    say("exported", moved);
    Ok(true)
}

pub(crate) fn import(args: &ImportArgs) -> Outcome {
    let store = SqliteStore::open(&args.store)?;
    let bar = spinner("{spinner} {human_pos} groups {elapsed}");
    let show = |moved: Moved| bar.set_position(moved.groups);
    let moved = match &args.input {
        Some(path) => wait(transfer::import(&store, &mut BufReader::new(File::open(path)?), show))?,
        None => wait(transfer::import(&store, &mut BufReader::new(std::io::stdin()), show))?,
    };
    bar.finish_and_clear();
    say("imported", moved);
    Ok(true)
}
