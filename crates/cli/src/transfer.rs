//! `dictrack export` and `dictrack import`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Cursor, ErrorKind, Read, Write};
use std::path::PathBuf;

use dictrack::open::OpenOptions;
use dictrack::store::DataStore;
use dictrack::transfer::{self, Moved, TransferError};
use dictrack::url;
use flate2::read::MultiGzDecoder;

use crate::fill::fill;
use crate::print::{Out, warn};
use crate::report::{counted, spinner};
use crate::store::{self, Where, wait};
use crate::{Failure, Outcome, misused};

/// Write the contents of a store as lines of JSON.
///
/// The export is complete: definitions, progress, limiters, periods, attributes,
/// document ids, undelivered events, completed trackers, and how far inputs were
/// read. The store is checked first, and each line gets a checksum. Can be used
/// while programs are counting. With both --cache and --store, changes that are
/// only in the cache yet are included.
///
/// Examples:
///   dictrack export --store dictrack.db > backup.ndjson
///   dictrack export --cache redis://localhost --store mongodb://localhost/shop \
///       backup.ndjson
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    place: Where,
    /// The file to create [default: standard output].
    #[arg(value_name = "OUTPUT")]
    output: Option<PathBuf>,
}

/// Import an export into a store that does not have its groups.
///
/// Imports everything or nothing. Each line is checked against its checksum. The
/// export may be gzipped. If the store exists, everything is written in one
/// commit, which has to fit in memory.
///
/// With --from-dictrack, imports what Python's dictrack 2.1.5 stored in Redis and
/// MongoDB instead.
///
/// Examples:
///   dictrack import --store copy.db backup.ndjson
///   dictrack export --store shop.db | dictrack import \
///       --store mongodb://localhost/shop
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ImportArgs {
    /// The store: a file, which is created if necessary, or mongodb://…
    /// [env: DICTRACK_STORE, or DICTRACK_STORE_FILE with the name of a file that contains it]
    #[arg(long, value_name = "FILE|URL")]
    store: Option<PathBuf>,
    /// The Redis cache of the programs that use the store, if there is one. It must not have the groups either, because it
    /// would overwrite the imported ones. [env: DICTRACK_CACHE, or DICTRACK_CACHE_FILE with the name of a file that
    /// contains it]
    #[arg(long, value_name = "URL")]
    cache: Option<String>,
    /// The export [default: standard input].
    #[arg(value_name = "INPUT")]
    input: Option<PathBuf>,
    #[cfg(feature = "legacy")]
    #[command(flatten)]
    legacy: crate::legacy::Args,
}

fn said(verb: &str, moved: Moved) -> String {
    let Moved { groups, sets, marks, .. } = moved;
    let (groups, sets) = (counted(groups, "group"), counted(sets, "definition set"));
    format!("{verb} {groups}, {sets} and {}", counted(marks, "mark"))
}

/// The error, with the name of the store or the file in which it occurred.
fn failure(store: &str, file: &str, error: &TransferError) -> Failure {
    let place = if matches!(error, TransferError::Store(_)) { store } else { file };
    let problem = match error {
        TransferError::Store(error) => store::unread(error).0,
        error => error.to_string(),
    };
    // Some errors already name the store.
    Failure(if problem.starts_with(place) { problem } else { format!("{place}: {problem}") })
}

pub(crate) fn export(args: &ExportArgs) -> Outcome {
    let shown = args.place.named()?.open()?;
    let Some(path) = &args.output else {
        // Errors of standard output already name it.
        let moved = write_export(&*shown.store, &mut BufWriter::new(Out::new())).map_err(|error| match error {
            TransferError::Store(error) => store::unread(&error),
            error => error.into(),
        })?;
        warn(said("exported", moved));
        return Ok(true);
    };
    let file = File::create_new(path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            Failure(format!("{}: file exists; remove it first, or choose another name", url::shown_path(path)))
        }
        _ => Failure(format!("{}: {error}", url::shown_path(path))),
    })?;
    let moved = write_export(&*shown.store, &mut BufWriter::new(file)).map_err(|error| {
        // It is incomplete. If it cannot be removed, nothing is lost.
        let _ = std::fs::remove_file(path);
        failure(&shown.name, &url::shown_path(path), &error)
    })?;
    warn(said("exported", moved));
    Ok(true)
}

fn write_export(store: &dyn DataStore, out: &mut (dyn Write + Send)) -> Result<Moved, TransferError> {
    let bar = spinner("{spinner} {human_pos} groups {elapsed}");
    wait(transfer::export(store, out, |moved| bar.set_position(moved.groups)))
}

pub(crate) fn import(args: &ImportArgs) -> Outcome {
    let Some(named) = store::STORE.named(args.store.clone())? else { misused("--store is required") };
    let place = store::address(&named)?;
    #[cfg(feature = "legacy")]
    if args.legacy.is_given() {
        return crate::legacy::import(&args.legacy, &place);
    }
    let cache = store::CACHE.named(args.cache.clone())?.as_deref().map(store::cache_address).transpose()?;
    let cache = cache.map(|cache| cache.open(&OpenOptions::default())).transpose()?;
    let cache = cache.as_deref();
    // Before opening the store, which creates it.
    let (name, mut input): (String, Box<dyn BufRead + Send>) = match &args.input {
        Some(path) => {
            let name = url::shown_path(path);
            let input = File::open(path).and_then(unpacked).map_err(|error| Failure(format!("{name}: {error}")))?;
            (name, input)
        }
        None => ("standard input".to_owned(), unpacked(io::stdin())?),
    };
    let bar = spinner("{spinner} {human_pos} groups {elapsed}");
    let show = |moved: Moved| bar.set_position(moved.groups);
    let fail = |error: TransferError| failure(&place.to_string(), &name, &error);
    let moved = fill(&place, |store, is_new| {
        let moved = if is_new {
            wait(transfer::fill(store, cache, &mut *input, show))
        } else {
            wait(transfer::import(store, cache, &mut *input, show))
        };
        moved.map_err(fail)
    })?;
    bar.finish_and_clear();
    if !moved.checked {
        warn(format_args!("{name}: this export has format 1, without checksums, so damage may go unnoticed"));
    }
    warn(said("imported", moved));
    Ok(true)
}

/// Unpacks an export if it is gzipped.
fn unpacked(mut input: impl Read + Send + 'static) -> io::Result<Box<dyn BufRead + Send>> {
    let mut begin = Vec::new();
    input.by_ref().take(2).read_to_end(&mut begin)?;
    let packed = begin == [0x1f, 0x8b];
    let whole = Cursor::new(begin).chain(input);
    Ok(if packed { Box::new(BufReader::new(MultiGzDecoder::new(whole))) } else { Box::new(BufReader::new(whole)) })
}
