//! `dictrack import --from-dictrack`: taking over what Python's dictrack 2.1.5 stored.

use dictrack::legacy::mongodb::{COLLECTION, DATABASE, MongoStore};
use dictrack::legacy::redis::{DATA_KEY, RedisCache};
use dictrack::legacy::{self, ImportError, Imported, Importing, Lookup, Note, Source, Sources};
use dictrack::text::{quoted, sentence};

use crate::print::warn;
use crate::report::{counted, spinner};
use crate::store::Place;
use crate::transfer::fill;
use crate::{Failure, Outcome};

/// Where 2.1.5 stored, and what is done about what cannot be taken over.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Take over what Python's dictrack 2.1.5 stored: redis://… for its cache, mongodb://… for its store.
    ///
    /// Give both, one after the other, if it had both: what was counted last is in Redis, and when trackers expire is in
    /// MongoDB. Stop 2.1.5 before. Its servers are only read.
    #[arg(long, value_name = "URL", conflicts_with = "input")]
    from_dictrack: Vec<String>,
    /// List trackers that cannot be taken over, and import the others; without it, nothing is imported then.
    #[arg(long, requires = "from_dictrack")]
    skip_unreadable: bool,
    /// The `data_key` that 2.1.5 was given for Redis.
    #[arg(long, value_name = "KEY", default_value = DATA_KEY, requires = "from_dictrack")]
    data_key: String,
    /// The `database` that 2.1.5 was given for MongoDB.
    #[arg(long, value_name = "NAME", default_value = DATABASE, requires = "from_dictrack")]
    database: String,
    /// The `collection` that 2.1.5 was given for MongoDB.
    #[arg(long, value_name = "NAME", default_value = COLLECTION, requires = "from_dictrack")]
    collection: String,
}

impl Args {
    pub(crate) fn is_given(&self) -> bool {
        !self.from_dictrack.is_empty()
    }

    /// Connects to the sources.
    fn connect(&self) -> Result<(Option<RedisCache>, Option<MongoStore>), Failure> {
        let (mut redis, mut mongodb) = (None, None);
        for url in &self.from_dictrack {
            let twice = || Failure("--from-dictrack: expected one URL of Redis and one of MongoDB at most".to_owned());
            // Not the URL itself: it may hold a password.
            match url.split_once("://").map(|(scheme, _)| scheme) {
                Some("redis" | "rediss" | "redis+unix" | "unix") if redis.is_none() => {
                    redis = Some(RedisCache::connect(url, &self.data_key)?);
                }
                Some("mongodb" | "mongodb+srv") if mongodb.is_none() => {
                    mongodb = Some(MongoStore::connect(url, &self.database, &self.collection)?);
                }
                Some("redis" | "rediss" | "redis+unix" | "unix" | "mongodb" | "mongodb+srv") => return Err(twice()),
                _ => return Err(Failure("--from-dictrack: expected a URL redis://… or mongodb://…".to_owned())),
            }
        }
        Ok((redis, mongodb))
    }
}

/// Lines of one kind that are printed where they may be very many.
const MOST_LINES: u64 = 20;

/// The lines of one kind: all, or the first and how many more there are.
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

pub(crate) fn import(args: &Args, store: &Place) -> Outcome {
    let (mut redis, mut mongodb) = args.connect()?;
    match (&redis, &mongodb) {
        (Some(_), None) => {
            warn("without MongoDB: when trackers expire is not known, and none will");
        }
        (None, Some(_)) => {
            warn("without Redis: what was counted since a group was last idle for six hours is missing");
        }
        _ => {}
    }
    let bar = spinner("{spinner} {human_pos} groups {elapsed}");
    let mut refused = Lines::new(if args.skip_unreadable { u64::MAX } else { MOST_LINES });
    let mut only_cold = Lines::new(MOST_LINES);
    let mut tell = |note: Note<'_>| match note {
        Note::Refused(error) => refused.say(|| format!("not taken over: {}", sentence(&error.to_string()))),
        Note::OnlyCold { group, tracker } => only_cold.say(|| {
            let place = format!("group {}, tracker {}", quoted(group), quoted(tracker));
            format!("not taken over: {place}: only MongoDB has it, and Redis has the group without it")
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

fn failure(args: &Args, store: &Place, error: &ImportError) -> Failure {
    let (store, problem) = (store.to_string(), error.to_string());
    match error {
        ImportError::Refused(count) => {
            let trackers = counted(*count, "tracker");
            Failure(format!(
                "{trackers} of dictrack 2.1.5 cannot be taken over; nothing was imported: --skip-unreadable imports the others"
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
        said += &format!(", left out {}", counted(refused + only_cold, "tracker"));
    }
    if shortened > 0 {
        let shortened = counted(shortened, "tracker");
        said += &format!("\n{shortened} passed targets that 2.1.5 does not keep: only those that were left are known");
    }
    said
}
