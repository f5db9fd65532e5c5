//! The store of 2.1.5 in MongoDB: a document per tracker, with `group_id`, `name`, `b_tracker` and `expire_ts`.

use std::time::Duration;

use ::mongodb::bson::{Document, RawBsonRef, RawDocumentBuf, doc};
use ::mongodb::error::{Error, ErrorKind};
use ::mongodb::{Client, Collection, Cursor};
use dictrack_core::Timestamp;
use tokio::runtime::Runtime;

use super::{LegacyError, LegacyGroup, LegacyTracker, Lookup, MAX_TRACKERS, Page, Source, SourceError, runtime};
use crate::store::mongodb::{Driven, driven};

/// The default `database` of 2.1.5.
pub const DATABASE: &str = "dictrack";
/// The default `collection` of 2.1.5.
pub const COLLECTION: &str = "data_store";

/// How many documents are read in one round trip.
const DOCUMENTS_A_TRIP: u32 = 1_000;
/// How many groups a page has.
const GROUPS_A_PAGE: usize = 64;

/// Reads the trackers of a MongoDB server. Changes nothing there.
#[derive(Debug)]
pub struct MongoSource {
    runtime: Runtime,
    collection: Collection<RawDocumentBuf>,
    server: String,
    scan: Reading,
}

/// How far documents were read.
#[derive(Debug)]
enum Reading {
    Begin,
    /// With the first document of the next group.
    Open(Box<Cursor<RawDocumentBuf>>, Option<(String, LegacyTracker)>),
    Ended,
}

impl MongoSource {
    /// Connects to the server at `url`, where 2.1.5 used this `database` and `collection`.
    ///
    /// # Errors
    /// A [`SourceError`] if the URL is invalid or the server does not answer.
    pub fn connect(url: &str, database: &str, collection: &str) -> Result<Self, SourceError> {
        let fail = |server: &str, problem: String| SourceError { source_name: server.to_owned(), problem };
        let runtime = runtime().map_err(|error| fail("MongoDB", error.to_string()))?;
        let options = runtime.block_on(driven(url));
        let Driven { mut options, secrets, .. } = options.map_err(|problem| fail("MongoDB URL", problem))?;
        let hosts: Vec<String> = options.hosts.iter().map(ToString::to_string).collect();
        let server = format!("MongoDB at {}", hosts.join(","));
        options.server_selection_timeout.get_or_insert(Duration::from_secs(10));
        let connect = async {
            // The client starts its tasks at once, in the current runtime.
            let database = Client::with_options(options)?.database(database);
            database.run_command(doc! {"ping": 1}).await?;
            Ok(database.collection(collection))
        };
        let collection =
            runtime.block_on(connect).map_err(|error: Error| fail(&server, secrets.hide(&said(&error))))?;
        Ok(Self { runtime, collection, server, scan: Reading::Begin })
    }

    /// The groups that match `filter` and were not read yet.
    fn read(&mut self, filter: Document, reading: &mut Reading) -> Result<Page, SourceError> {
        let Self { runtime, collection, .. } = self;
        let page = runtime.block_on(async {
            let open = match std::mem::replace(reading, Reading::Ended) {
                Reading::Begin => {
                    // 2.1.5 created an index for this order.
                    let find = collection
                        .find(filter)
                        .projection(doc! {"group_id": 1, "name": 1, "b_tracker": 1, "expire_ts": 1})
                        .sort(doc! {"group_id": 1, "name": 1})
                        .batch_size(DOCUMENTS_A_TRIP);
                    (Box::new(find.await?), None)
                }
                Reading::Open(cursor, first) => (cursor, first),
                Reading::Ended => return Ok(Page::default()),
            };
            let (mut cursor, mut first) = open;
            let page = page(&mut cursor, &mut first).await?;
            if first.is_some() {
                *reading = Reading::Open(cursor, first);
            }
            Ok(page)
        });
        page.map_err(|error: Error| SourceError { source_name: self.server.clone(), problem: said(&error) })
    }
}

/// Reads one or more complete groups, up to the first document of the next group.
async fn page(cursor: &mut Cursor<RawDocumentBuf>, first: &mut Option<(String, LegacyTracker)>) -> Result<Page, Error> {
    let mut page = Page::default();
    loop {
        let next = match first.take() {
            Some(first) => Some(first),
            None => document(cursor, &mut page.refused).await?,
        };
        let Some((id, tracker)) = next else { return Ok(page) };
        let full = page.groups.len() == GROUPS_A_PAGE;
        match page.groups.last_mut().filter(|group| group.id == id) {
            // A group that is too large is rejected; there is no need to keep all of it.
            Some(group) if group.trackers.len() > MAX_TRACKERS => {}
            Some(group) => group.trackers.push(tracker),
            None if full => {
                *first = Some((id, tracker));
                return Ok(page);
            }
            None => page.groups.push(LegacyGroup { id, trackers: vec![tracker] }),
        }
    }
}

/// The next document that belongs to a group.
async fn document(
    cursor: &mut Cursor<RawDocumentBuf>,
    refused: &mut Vec<LegacyError>,
) -> Result<Option<(String, LegacyTracker)>, Error> {
    while cursor.advance().await? {
        let document = cursor.current();
        let value = |key| document.get(key).ok().flatten();
        let text = |key| value(key).and_then(RawBsonRef::as_str);
        let (Some(group), Some(name)) = (text("group_id"), text("name")) else {
            let id = value("_id").map(|id| format!("{id:?}")).unwrap_or_default();
            let problem = format!("document {id} lacks the string `group_id` or `name`");
            refused.push(LegacyError::new(text("group_id").unwrap_or_default(), text("name"), problem));
            continue;
        };
        let mut tracker = LegacyTracker { name: name.to_owned(), ..LegacyTracker::default() };
        match value("b_tracker") {
            Some(RawBsonRef::Binary(binary)) => tracker.pickle = binary.bytes.to_owned(),
            _ => tracker.fault = Some("its document has no binary field `b_tracker`".to_owned()),
        }
        match expiry(value("expire_ts")) {
            Ok(expire_at) => tracker.expire_at = expire_at,
            Err(problem) => tracker.fault = Some(problem),
        }
        return Ok(Some((group.to_owned(), tracker)));
    }
    Ok(None)
}

impl Source for MongoSource {
    fn next(&mut self) -> Result<Option<Page>, SourceError> {
        let mut reading = std::mem::replace(&mut self.scan, Reading::Ended);
        if let Reading::Ended = reading {
            return Ok(None);
        }
        let page = self.read(doc! {}, &mut reading)?;
        self.scan = reading;
        Ok(Some(page))
    }
}

impl Lookup for MongoSource {
    fn find(&mut self, ids: &[String]) -> Result<Page, SourceError> {
        let mut whole = Page::default();
        let mut reading = if ids.is_empty() { Reading::Ended } else { Reading::Begin };
        while !matches!(reading, Reading::Ended) {
            let page = self.read(doc! {"group_id": {"$in": ids}}, &mut reading)?;
            whole.groups.extend(page.groups);
            whole.refused.extend(page.refused);
        }
        Ok(whole)
    }
}

/// When a tracker expires; 2.1.5 stores whole seconds.
fn expiry(value: Option<RawBsonRef<'_>>) -> Result<Option<Timestamp>, String> {
    let seconds = match value {
        None => return Ok(None),
        Some(RawBsonRef::Int32(seconds)) => Some(i64::from(seconds)),
        Some(RawBsonRef::Int64(seconds)) => Some(seconds),
        Some(_) => None,
    };
    let micros = seconds.and_then(|seconds| seconds.checked_mul(1_000_000));
    let micros = micros.ok_or("`expire_ts` of its document is not a whole number of seconds since 1970")?;
    Ok(Some(Timestamp::from_micros(micros)))
}

/// The message of an error.
fn said(error: &Error) -> String {
    match &*error.kind {
        ErrorKind::ServerSelection { message, .. } => message.clone(),
        kind => kind.to_string(),
    }
}
