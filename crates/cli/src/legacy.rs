//! `dictrack import --from-dictrack`: imports what Python's dictrack 2.1.5 stored.

use dictrack::legacy::mongodb::{COLLECTION, DATABASE, MongoSource};
use dictrack::legacy::redis::{DATA_KEY, RedisSource};
use dictrack::legacy::{self, ImportError, Imported, Importing, Lookup, Note, Source, Sources};
use dictrack::open::StoreAddress;
use dictrack::text::{quoted, sentence};

use crate::fill::fill;
use crate::print::warn;
use crate::report::{counted, spinner};
use crate::{Failure, Outcome};

/// Where 2.1.5 stored its data, and what to do with data that cannot be imported.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Import what Python's dictrack 2.1.5 stored: redis://… for its cache, mongodb://… for its store.
    ///
    /// If it used both, give the option twice: Redis has the latest counts, and MongoDB knows when trackers expire.
    /// Stop 2.1.5 first. The import only reads from its servers.
    #[arg(long, value_name = "URL", conflicts_with = "input")]
    from_dictrack: Vec<String>,
    /// List trackers that cannot be imported, and import the others. Without this option, nothing is imported then.
    #[arg(long, requires = "from_dictrack")]
    skip_unreadable: bool,
    /// The `data_key` of 2.1.5 in Redis.
    #[arg(long, value_name = "KEY", default_value = DATA_KEY, requires = "from_dictrack")]
    data_key: String,
    /// The `database` of 2.1.5 in MongoDB.
    #[arg(long, value_name = "NAME", default_value = DATABASE, requires = "from_dictrack")]
    database: String,
    /// The `collection` of 2.1.5 in MongoDB.
    #[arg(long, value_name = "NAME", default_value = COLLECTION, requires = "from_dictrack")]
    collection: String,
}

impl Args {
    pub(crate) fn is_given(&self) -> bool {
        !self.from_dictrack.is_empty()
    }

    /// Connects to the sources.
    fn connect(&self) -> Result<(Option<RedisSource>, Option<MongoSource>), Failure> {
        let (mut redis, mut mongodb) = (None, None);
        for url in &self.from_dictrack {
            let twice = || Failure("--from-dictrack: expected up to one Redis URL and one MongoDB URL".to_owned());
            // The URL itself is not shown: it may contain a password.
            match url.split_once("://").map(|(scheme, _)| scheme) {
                Some("redis" | "rediss" | "redis+unix" | "unix") if redis.is_none() => {
                    redis = Some(RedisSource::connect(url, &self.data_key)?);
                }
                Some("mongodb" | "mongodb+srv") if mongodb.is_none() => {
                    mongodb = Some(MongoSource::connect(url, &self.database, &self.collection)?);
                }
                Some("redis" | "rediss" | "redis+unix" | "unix" | "mongodb" | "mongodb+srv") => return Err(twice()),
                _ => return Err(Failure("--from-dictrack: expected redis://… or mongodb://…".to_owned())),
            }
        }
        Ok((redis, mongodb))
    }
}

/// How many lines of one kind are printed if there may be very many.
const MOST_LINES: u64 = 20;

/// Prints lines of one kind: all of them, or the first ones and the number of others.
struct Lines {
    most: u64,
    count: u64,
}

impl Lines {
    fn new(most: u64) -> Self {
        Self { most, count: 0 }
    }

    fn say(&mut self, line: impl FnOnce() -> String) {
        self.count += 1;
        if self.count <= self.most {
            warn(line());
        }
    }

    fn end(&self) {
        if self.count > self.most {
            warn(format_args!("… and {} more", counted(self.count - self.most, "line")));
        }
    }
}

pub(crate) fn import(args: &Args, store: &StoreAddress) -> Outcome {
    let (mut redis, mut mongodb) = args.connect()?;
    match (&redis, &mongodb) {
        (Some(_), None) => {
            warn("without MongoDB, it is unknown when trackers expire: none of them will");
        }
        (None, Some(_)) => {
            warn("without Redis, the counts since a group was last idle for six hours are missing");
        }
        _ => {}
    }
    let bar = spinner("{spinner} {human_pos} groups {elapsed}");
    let mut refused = Lines::new(if args.skip_unreadable { u64::MAX } else { MOST_LINES });
    let mut only_cold = Lines::new(MOST_LINES);
    let mut tell = |note: Note<'_>| match note {
        Note::Refused(error) => refused.say(|| format!("not imported: {}", sentence(&error.to_string()))),
        Note::OnlyCold { group, tracker } => only_cold.say(|| {
            let place = format!("group {}, tracker {}", quoted(group), quoted(tracker));
            format!("not imported: {place}: MongoDB has this tracker, but Redis has the group without it")
        }),
        Note::Progress(imported) => bar.set_position(imported.groups),
        _ => {}
    };
    let sources = Sources {
        hot: redis.as_mut().map(|redis| redis as &mut dyn Source),
        cold: mongodb.as_mut().map(|mongodb| mongodb as &mut dyn Lookup),
    };
    let imported = fill(store, |target, is_new| {
        let how = Importing { skip_unreadable: args.skip_unreadable, in_steps: is_new };
        legacy::import(target, sources, how, &mut tell).map_err(|error| failure(args, store, &error))
    });
    bar.finish_and_clear();
    refused.end();
    only_cold.end();
    warn(said(imported?));
    Ok(true)
}

fn failure(args: &Args, store: &StoreAddress, error: &ImportError) -> Failure {
    let (store, problem) = (store.to_string(), error.to_string());
    match error {
        ImportError::Refused(count) => {
            let trackers = counted(*count, "tracker");
            Failure(format!(
                "{trackers} of dictrack 2.1.5 cannot be imported, so nothing was; use --skip-unreadable to import the others"
            ))
        }
        ImportError::Nothing => {
            let Args { data_key, database, collection, .. } = args;
            Failure(format!(
                "{problem}: no Redis hash {data_key:?}:GROUP, no document in the MongoDB collection {collection:?} of \
                 the database {database:?}"
            ))
        }
        ImportError::Exists(_) => Failure(format!("{store}: {problem}")),
        _ => Failure(problem),
    }
}

fn said(imported: Imported) -> String {
    let Imported { groups, trackers, shortened, refused, only_cold, .. } = imported;
    let mut said = format!("imported {} with {}", counted(groups, "group"), counted(trackers, "tracker"));
    if refused + only_cold > 0 {
        said += &format!(", skipped {}", counted(refused + only_cold, "tracker"));
    }
    if shortened > 0 {
        let shortened = counted(shortened, "tracker");
        said += &format!(
            "\n{shortened} had passed targets that 2.1.5 does not store: only the remaining targets are known"
        );
    }
    said
}
