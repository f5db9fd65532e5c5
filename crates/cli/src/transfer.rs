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

/// Write everything that a store holds as lines of JSON.
///
/// Nothing is lost: definitions, progress, limiters, document ids, undelivered events, completed trackers,
/// and how far inputs were read. The store is checked first, and each line gets a checksum. May be used
/// beside programs that count. With --cache and --store together: the store as it will be once it has what
/// the cache holds.
///
/// Examples:
///   dictrack export --store dictrack.db > backup.ndjson
///   dictrack export --cache redis://localhost --store mongodb://localhost/shop backup.ndjson
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    place: Where,
    /// Where to write; standard output if this is not given.
    #[arg(value_name = "OUTPUT")]
    output: Option<PathBuf>,
}

/// Read an export into a store that lacks its groups: all of it, or nothing.
///
/// Each line is checked against its checksum; an export may be packed with gzip. Into a store that exists
/// everything goes in one commit, which holds it in memory.
///
/// With --from-dictrack it takes over what Python's dictrack 2.1.5 stored in Redis and MongoDB instead.
///
/// Examples:
///   dictrack import --store copy.db backup.ndjson
///   dictrack export --store shop.db | dictrack import --store mongodb://localhost/shop
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ImportArgs {
    /// The store: a file, which is made if there is none, or mongodb://…
    /// [env: DICTRACK_STORE, or DICTRACK_STORE_FILE with the name of a file that holds it]
    #[arg(long, value_name = "FILE|URL")]
    store: Option<PathBuf>,
    /// The Redis cache of the programs that use the store, if there is one: it must not have the groups either, since it
    /// would have the store take its own. [env: DICTRACK_CACHE, or DICTRACK_CACHE_FILE with the name of a file that holds it]
    #[arg(long, value_name = "URL")]
    cache: Option<String>,
    /// The export; standard input if this is not given.
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

/// Names the store, or the file beside it, in which something failed.
fn failure(store: &str, file: &str, error: &TransferError) -> Failure {
    let place = if matches!(error, TransferError::Store(_)) { store } else { file };
    let problem = match error {
        TransferError::Store(error) => store::unread(error).0,
        error => error.to_string(),
    };
    // Some errors of the store name it themselves.
    Failure(if problem.starts_with(place) { problem } else { format!("{place}: {problem}") })
}

pub(crate) fn export(args: &ExportArgs) -> Outcome {
    let shown = args.place.named()?.open()?;
    let Some(path) = &args.output else {
        // Standard output names itself in its errors.
        let moved = write_export(&*shown.store, &mut BufWriter::new(Out::new())).map_err(|error| match error {
            TransferError::Store(error) => store::unread(&error),
            error => error.into(),
        })?;
        warn(said("exported", moved));
        return Ok(true);
    };
    let file = File::create_new(path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure(format!(
            "{}: File exists; an export does not write over a file: remove it, or name another",
            url::shown_path(path)
        )),
        _ => Failure(format!("{}: {error}", url::shown_path(path))),
    })?;
    let moved = write_export(&*shown.store, &mut BufWriter::new(file)).map_err(|error| {
        // It is cut short; nothing is lost if it cannot be removed.
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
    let Some(named) = store::STORE.named(args.store.clone())? else {
        misused("--store is needed: where the groups go")
    };
    let place = Place::of(&named)?;
    if args.legacy.is_given() {
        return legacy::import(&args.legacy, &place);
    }
    let cache = store::CACHE.named(args.cache.clone())?.as_deref().map(store::cache).transpose()?;
    let cache = cache.as_ref().map(|cache: &RedisCache| cache as &dyn DataCache);
    // Before the store, which is made if there is none.
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
        warn(format_args!(
            "{name}: an export of format 1, whose lines have no checksums: damage in it may go unnoticed"
        ));
    }
    warn(said("imported", moved));
    Ok(true)
}

/// An export that may be packed with gzip.
fn unpacked(mut input: impl Read + Send + 'static) -> io::Result<Box<dyn BufRead + Send>> {
    let mut begin = Vec::new();
    input.by_ref().take(2).read_to_end(&mut begin)?;
    let packed = begin == [0x1f, 0x8b];
    let whole = Cursor::new(begin).chain(input);
    Ok(if packed { Box::new(BufReader::new(MultiGzDecoder::new(whole))) } else { Box::new(BufReader::new(whole)) })
}

/// Has `write` fill the store at `place`: one that is there in one commit, else a new one, which has its place only when it
/// is whole.
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

/// `path` with more letters at its end.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// A store that is made beside its place and has it only when it is whole.
struct New {
    // Closed before its files are renamed or removed.
    store: SqliteStore,
    files: Files,
}

/// The files of a store that has no place yet; they are removed in the end, as far as they are still there.
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
            // It is going to be emptied.
            return Err(Failure(format!("{}: a link is in the way; remove it", url::shown_path(&path))));
        }
        let store = SqliteStore::open(&path)?;
        let files = Files(path);
        // What an import that was killed left there.
        wait(store.clear())?;
        Ok(Self { store, files })
    }

    fn rename(self, place: &Path) -> Result<(), Failure> {
        // Closing does the same, but does not say whether it could.
        self.store.checkpoint()?;
        drop(self.store);
        let fail = |error: std::io::Error| Failure(format!("{}: {error}", url::shown_path(place)));
        if place.exists() {
            return Err(Failure(format!(
                "{}: another process made it meanwhile; nothing was imported",
                url::shown_path(place)
            )));
        }
        std::fs::rename(&self.files.0, place).map_err(fail)?;
        // The name is as durable as what it names.
        let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(fail)
    }
}
