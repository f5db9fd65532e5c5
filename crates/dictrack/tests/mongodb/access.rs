//! Servers that cannot be used, and the errors about them.

use std::time::Duration;

use dictrack::store::{DataStore as _, Unsaved, Writers};
use dictrack::{Durability, Error, MongoStore, clock::Stopwatch, group::Limits};
use dictrack_testkit::bson::doc;
use dictrack_testkit::{Mongo, Proxy, shared_redis};

use crate::common::{DATABASE, builder, counter, document, fresh, manager, progress, shared, store};

fn open(url: &str) -> Result<MongoStore, Error> {
    pollster::block_on(MongoStore::open(url))
}

fn fails(url: &str) -> Error {
    let watch = Stopwatch::start();
    let error = open(url).unwrap_err();
    assert!(watch.elapsed() < Duration::from_secs(2), "{url}: {error} after {:?}", watch.elapsed());
    error
}

#[test]
fn a_wrong_password_is_told_and_not_shown() {
    let mongo = Mongo::with_password("us/er", "geh:eim@");
    let store = open(&format!("{}&collection=mine", mongo.url())).unwrap();
    assert!(!format!("{store:?}").contains("geh"), "{store:?}");
    let players = manager(dictrack::Manager::builder(), store);
    players.add_tracker("g", counter("n")).unwrap();
    players.track("g", &document()).unwrap();
    assert_eq!(progress(&players, "g"), "1");
    for (password, wrong) in [("geh%3Aeim%40", false), ("falsch%21", true)] {
        let url = mongo.url().replace("geh%3Aeim%40", password);
        if !wrong {
            open(&url).unwrap();
            continue;
        }
        let error = fails(&url);
        let text = format!("{error} {error:?}");
        assert!(matches!(error, Error::Backend(_)), "{error:?}");
        assert!(text.contains("check user, password and authSource"), "{text}");
        assert!(!text.contains("falsch"), "{text}");
    }
    let stranger = fails(&format!("mongodb://{}/", mongo.address()));
    assert!(matches!(stranger, Error::Backend(_)), "{stranger:?}");
    assert!(stranger.to_string().contains("needs the role readWrite"), "{stranger}");
}

#[test]
fn a_user_who_may_only_read_can_look() {
    let mongo = Mongo::with_password("root", "secret");
    let collection = fresh();
    let writing = manager(dictrack::Manager::builder(), store(&mongo, &collection));
    writing.add_tracker("g", counter("n")).unwrap();
    let roles = doc! {"createUser": "reader", "pwd": "words", "roles": [{"role": "read", "db": DATABASE}]};
    mongo.command("admin", roles);
    let url = mongo.url().replace("root:secret", "reader:words");
    let reading = pollster::block_on(builder(&url, &collection).read_only().open()).unwrap();
    let groups = pollster::block_on(reading.groups(None, 10)).unwrap();
    assert_eq!(groups, ["g"]);
    let writing = pollster::block_on(builder(&url, &fresh()).open()).unwrap();
    let error = pollster::block_on(writing.begin(Durability::Os, &Limits::default(), Writers::One)).unwrap_err();
    assert!(error.to_string().contains("needs the role readWrite"), "{error}");
    assert!(!format!("{error} {error:?}").contains("words"), "{error:?}");
}

#[test]
fn what_is_no_mongodb_url_is_refused_with_what_was_expected() {
    for url in ["redis://h/", "sqlite.db", "", "mongodb://", "mongodb://h/a b.c", "mongodb://h/?collection=a$b"] {
        let error = fails(url);
        assert!(matches!(error, Error::Backend(_)), "{url}: {error:?}");
        assert!(error.to_string().contains("expected mongodb://"), "{url}: {error}");
    }
}

#[test]
fn what_is_no_mongodb_server_cannot_be_reached() {
    let redis = shared_redis();
    let error = fails(&redis.replace("redis://", "mongodb://"));
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    // Nothing listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = fails(&format!("mongodb://{free}/"));
    assert!(matches!(error, Error::Unavailable(_)) && error.is_temporary(), "{error:?}");
}

#[test]
fn a_server_that_does_not_answer_is_given_up_in_time() {
    let proxy = Proxy::start(shared().address());
    let url = proxy.url_for(&shared().url());
    let store = pollster::block_on(builder(&url, &fresh()).open()).unwrap();
    pollster::block_on(store.begin(Durability::Os, &Limits::default(), Writers::One)).unwrap();
    let engine = dictrack::group::Engine::default();
    proxy.stall();
    let slow = |what: &str, result: Result<(), Error>, watch: Stopwatch| {
        assert!(matches!(result, Err(Error::Unavailable(_))), "{what}: {result:?}");
        assert!(watch.elapsed() < Duration::from_secs(2), "{what}: {:?}", watch.elapsed());
    };
    let watch = Stopwatch::start();
    slow("load", pollster::block_on(store.load("g", &engine)).map(drop), watch);
    let watch = Stopwatch::start();
    slow("held", pollster::block_on(store.held("g")).map(drop), watch);
    let mut group = dictrack::group::Group::default();
    let call = dictrack::group::Call::new(&engine, "g", dictrack::Timestamp::from_secs(1)).keep_events(true);
    group.add(&call, &[counter("n").into()], None).unwrap();
    let change = Unsaved::from(group.take_change("g", &engine));
    let watch = Stopwatch::start();
    slow("save", pollster::block_on(store.save(std::slice::from_ref(&change), &[])).map(drop), watch);
    proxy.unstall();
    assert_eq!(pollster::block_on(store.save(&[change], &[])).unwrap(), []);
    assert_eq!(pollster::block_on(store.held("g")).unwrap().version, 1);
}

#[test]
fn a_view_and_a_collection_with_a_collation_are_refused() {
    let mongo = shared();
    let (view, collated) = (fresh(), fresh());
    mongo.command(DATABASE, doc! {"create": &view, "viewOn": "others", "pipeline": []});
    mongo.command(DATABASE, doc! {"create": &collated, "collation": {"locale": "en", "strength": 1}});
    for (collection, word) in [(view, "it is a view"), (collated, "collation")] {
        let error = pollster::block_on(builder(&mongo.url(), &collection).open()).unwrap_err();
        assert!(matches!(error, Error::Backend(_)) && error.to_string().contains(word), "{error}");
    }
}

#[test]
fn host_and_port_are_enough() {
    let mongo = shared();
    let collection = fresh();
    let store = pollster::block_on(MongoStore::connect("127.0.0.1", mongo.port(), DATABASE, &collection)).unwrap();
    let first = manager(dictrack::Manager::builder(), store);
    first.add_tracker("g", counter("n")).unwrap();
    first.close().unwrap();
    drop(first);
    let url = format!("mongodb://{}/{DATABASE}?collection={collection}", mongo.address());
    let store = pollster::block_on(MongoStore::open_read_only(url)).unwrap();
    assert_eq!(pollster::block_on(store.groups(None, 10)).unwrap(), ["g"]);
}
