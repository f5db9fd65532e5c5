//! `dictrack export` and `dictrack import`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Cursor, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use dictrack::cache::DataCache;
use dictrack::store::DataStore;
use dictrack::transfer::{self, Moved, TransferError};
use dictrack::{RedisCache, SqliteStore, url};
use flate2::read::MultiGzDecoder;

use crate::explain::wait;
use crate::print::{Out, warn};
use crate::report::{counted, spinner};
use crate::store::{self, Place, Where};
use crate::{Failure, Outcome, legacy, misused};

/// Write the contents of a store as lines of JSON.
///
/// The export is complete: definitions, progress, limiters, document ids, undelivered events, completed
/// trackers, and how far inputs were read. The store is checked first, and each line gets a checksum. Can be
/// used while programs are counting. With both --cache and --store, changes that are only in the cache yet are
/// included.
///
/// Examples:
///   dictrack export --store dictrack.db > backup.ndjson
///   dictrack export --cache redis://localhost --store mongodb://localhost/shop backup.ndjson
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    place: Where,
    /// The file to create [default: standard output].
    #[arg(value_name = "OUTPUT")]
    output: Option<PathBuf>,
}

/// Import an export into a store that does not have its groups. Imports everything or nothing.
///
/// Each line is checked against its checksum. The export may be gzipped. If the store exists, everything is
/// written in one commit, which has to fit in memory.
///
/// With --from-dictrack, imports what Python's dictrack 2.1.5 stored in Redis and MongoDB instead.
///
/// Examples:
///   dictrack import --store copy.db backup.ndjson
///   dictrack export --store shop.db | dictrack import --store mongodb://localhost/shop
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
    #[command(flatten)]
    legacy: legacy::Args,
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
    let place = Place::of(&named)?;
    if args.legacy.is_given() {
        return legacy::import(&args.legacy, &place);
    }
    let cache = store::CACHE.named(args.cache.clone())?.as_deref().map(store::cache).transpose()?;
    let cache = cache.as_ref().map(|cache: &RedisCache| cache as &dyn DataCache);
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

/// Lets `write` fill the store at `place`. An existing store gets everything in one commit. A new one is moved into place
/// when it is complete.
pub(crate) fn fill<T>(
    place: &Place,
    write: impl FnOnce(&dyn DataStore, bool) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let path = match place {
        Place::File(name) => SqliteStore::resolve(name)?,
        Place::Mongo(_) => return write(&*place.open()?, false),
    };
    if [&path, &beside(&path, "-wal")].into_iter().any(|path| path.exists()) {
        return write(&*place.open()?, false);
    }
    let new = New::open(&path)?;
    let done = write(&new.store, true)?;
    new.rename(&path)?;
    Ok(done)
}

/// `path` with `ending` appended.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// A store that is created beside its final place and moved there when it is complete.
struct New {
    // Dropped first: it must be closed before its files are renamed or removed.
    store: SqliteStore,
    files: Files,
}

/// The files of a store that is not in place yet. Those that still exist are removed on drop.
struct Files(PathBuf);

impl Drop for Files {
    fn drop(&mut self) {
        for ending in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(beside(&self.0, ending));
        }
    }
}

impl New {
    fn open(place: &Path) -> Result<Self, Failure> {
        let path = beside(place, ".importing");
        if path.is_symlink() {
            // It would be emptied.
            return Err(Failure(format!("{}: a symbolic link is in the way; remove it", url::shown_path(&path))));
        }
        let store = SqliteStore::open(&path)?;
        let files = Files(path);
        // An import that was killed may have left something.
        wait(store.clear())?;
        Ok(Self { store, files })
    }

    fn rename(self, place: &Path) -> Result<(), Failure> {
        // Closing does the same, but does not report errors.
        self.store.checkpoint()?;
        drop(self.store);
        let fail = |error: std::io::Error| Failure(format!("{}: {error}", url::shown_path(place)));
        if place.exists() {
            return Err(Failure(format!(
                "{}: another process created it in the meantime; nothing was imported",
                url::shown_path(place)
            )));
        }
        std::fs::rename(&self.files.0, place).map_err(fail)?;
        // Makes the new name as durable as the file.
        let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(fail)
    }
}
