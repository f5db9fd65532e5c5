//! What the suites on MongoDB share.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use dictrack::json::Json;
use dictrack::{
    Blocking, Manager, ManagerBuilder, MongoStore, TrackerDefinition, group::Group, store::MongoStoreBuilder,
};
use dictrack_testkit::Mongo;
use dictrack_testkit::bson::{Document, doc};

pub(crate) const DATABASE: &str = "dictrack_test";

/// A standalone server, for tests that leave it as it is.
pub(crate) fn shared() -> &'static Mongo {
    static SERVER: LazyLock<Mongo> = LazyLock::new(Mongo::start);
    &SERVER
}

/// A name that no other test uses.
pub(crate) fn fresh() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("c{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn builder(url: &str, collection: &str) -> MongoStoreBuilder {
    MongoStore::builder(url).database(DATABASE).collection(collection)
}

pub(crate) fn store(mongo: &Mongo, collection: &str) -> MongoStore {
    pollster::block_on(builder(&mongo.url(), collection).open()).unwrap()
}

pub(crate) fn manager(builder: ManagerBuilder, store: MongoStore) -> Blocking {
    pollster::block_on(builder.store(store).open()).unwrap().blocking()
}

pub(crate) fn open(mongo: &Mongo, collection: &str) -> Blocking {
    manager(Manager::builder(), store(mongo, collection))
}

pub(crate) fn counter(name: &str) -> TrackerDefinition {
    TrackerDefinition::count(name).target(1_000_000_000).build().unwrap()
}

pub(crate) fn document() -> Json {
    Json::parse(br#"{"amount": 1}"#).unwrap()
}

/// The progress of each tracker of a group, in order.
pub(crate) fn progress(manager: &Blocking, group: &str) -> String {
    let trackers = manager.trackers(group).unwrap();
    trackers.iter().map(|tracker| tracker.progress.to_string()).collect::<Vec<_>>().join(" ")
}

/// Every document of a collection.
pub(crate) fn all(mongo: &Mongo, collection: &str) -> Vec<Document> {
    let command = doc! {"find": collection, "sort": {"_id": 1}, "batchSize": 10_000};
    let reply = mongo.command(DATABASE, command);
    let batch = reply.get_document("cursor").unwrap().get_array("firstBatch").unwrap();
    batch.iter().map(|document| document.as_document().unwrap().clone()).collect()
}

/// The document of a group.
pub(crate) fn stored(mongo: &Mongo, collection: &str, group: &str) -> Document {
    let found = all(mongo, collection).into_iter().find(|document| document.get_str("_id").is_ok_and(|id| id == group));
    found.unwrap_or_else(|| panic!("the group {group:?} is not stored"))
}

/// Edits a document by hand.
pub(crate) fn edit(mongo: &Mongo, collection: &str, id: &str, update: Document) {
    let reply = mongo.command(DATABASE, doc! {"update": collection, "updates": [{"q": {"_id": id}, "u": update}]});
    assert!(reply.get_i32("nModified").is_ok_and(|count| count == 1), "{reply}");
}

/// Everything that is kept of a group, as text.
pub(crate) fn kept(group: &Group, id: &str) -> String {
    let whole = group.whole(id);
    let mut out = format!("version {} of set {}\n", whole.version, whole.set.hash());
    whole.write_state(&mut out);
    whole.write_ids(&mut out);
    whole.write_events(&mut out);
    whole.write_completed(&mut out);
    out
}
