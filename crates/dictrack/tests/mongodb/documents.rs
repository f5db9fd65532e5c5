//! What is in the collections, and what happens to documents that dictrack did not write.

use std::sync::Arc;

use dictrack::json::{Json, Map};
use dictrack::store::{DataStore as _, Mark, Writers};
use dictrack::{
    Durability, Error, EventCode, Manager, MongoStore, ResetPolicy, Timestamp, TrackerDefinition,
    group::{Call, ContentHash, Engine, Group, Limits, Track},
    manager::Submission,
};
use dictrack_testkit::bson::{Bson, doc};

use crate::common::{
    DATABASE, all, builder, counter, document, edit, fresh, kept, manager, open, progress, shared, store, stored,
};

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

fn begin(store: &MongoStore) {
    pollster::block_on(store.begin(Durability::Os, &Limits::default(), Writers::One)).unwrap();
}

fn load(store: &MongoStore, group: &str, engine: &Engine) -> Result<Option<Group>, Error> {
    pollster::block_on(store.load(group, engine))
}

fn save(store: &MongoStore, group: &mut Group, id: &str, engine: &Engine) {
    let refused = pollster::block_on(store.save(&[group.take_change(id, engine).into()], &[])).unwrap();
    assert_eq!(refused, []);
}

fn call<'a>(engine: &'a Engine, group: &'a str) -> Call<'a> {
    Call::new(engine, group, NOW).keep_events(true)
}

#[test]
fn a_group_is_one_readable_document() {
    let mongo = shared();
    let collection = fresh();
    let players = open(mongo, &collection);
    let orders = TrackerDefinition::count("orders").targets([3, 10]).limit(4).reset_policy(ResetPolicy::NONE);
    let orders = orders.build().unwrap();
    let revenue = TrackerDefinition::sum("revenue").key("amount").target(1_000).build().unwrap();
    players.add_trackers("user_001", [orders, revenue]).unwrap();
    let amount = Json::parse(br#"{"amount": 150.000000000000000001}"#).unwrap();
    for id in ["a", "b", "c", "d"] {
        players.track_one(Submission::new("user_001", &amount).id(id)).unwrap();
    }
    players.close().unwrap();
    let found = stored(mongo, &collection, "user_001");
    let trackers = found.get_array("trackers").unwrap();
    let state = r#"[1,4,1,{"limited":true,"stages":1,"limits":1,"limiters":[{"limit":4,"remaining":0}]}]"#;
    assert_eq!(
        trackers[0].as_document().unwrap(),
        &doc! {
            "name": "orders", "kind": "count", "progress": "4", "target": "10", "stage": 2, "status": "limited",
            "state": state,
        }
    );
    let revenue = trackers[1].as_document().unwrap();
    assert_eq!(revenue.get_str("progress").unwrap(), "600.000000000000000004");
    assert_eq!(found.get_i64("version").unwrap(), 5);
    assert!(found.get_datetime("updated_at").is_ok() && !found.contains_key("pending"), "{found}");
    let ids: usize = found
        .get_array("ids")
        .unwrap()
        .iter()
        .map(|ids| match ids {
            Bson::Binary(binary) => binary.bytes.len() / 24,
            other => panic!("{other}"),
        })
        .sum();
    assert_eq!(ids, 4);
    let sets = all(mongo, &format!("{collection}.sets"));
    assert!(sets.iter().any(|set| set.get("_id") == found.get("set")), "{sets:?}");
}

#[test]
fn changed_trackers_are_set_by_position() {
    let mongo = shared();
    let collection = fresh();
    let players = open(mongo, &collection);
    let trackers = ["a", "b", "c"].map(|name| TrackerDefinition::count(name).target(9).eq("to", name).build().unwrap());
    players.add_trackers("g", trackers).unwrap();
    // The second tracker is not written, whatever its fields contain.
    edit(mongo, &collection, "g", doc! {"$set": {"trackers.1.progress": "7"}});
    players.track("g", &Json::parse(br#"{"to": "c"}"#).unwrap()).unwrap();
    players.close().unwrap();
    let found = stored(mongo, &collection, "g");
    let progress =
        |at: usize| found.get_array("trackers").unwrap()[at].as_document().unwrap().get_str("progress").unwrap();
    assert_eq!([progress(0), progress(1), progress(2)], ["0", "7", "1"]);
}

#[test]
fn any_text_is_a_group_and_groups_come_in_the_order_of_their_bytes() {
    let store = store(shared(), &fresh());
    begin(&store);
    let engine = Engine::default();
    let mut ids = vec![String::new(), "\0".into(), "a\0".into(), "a\0b".into(), "a\u{1}".into(), "a".into()];
    ids.extend(["$a", "a.b", "$$NOW", "A", "é", "e\u{301}", "z", "\u{10ffff}", "\u{ffff}", "😀"].map(str::to_owned));
    ids.push("long".repeat(10_000));
    for id in &ids {
        let mut group = Group::default();
        group.add(&call(&engine, id), &[Arc::new(counter("$n.\u{1}"))], None).unwrap();
        save(&store, &mut group, id, &engine);
        let found = load(&store, id, &engine).unwrap().unwrap();
        assert_eq!(kept(&found, id), kept(&group, id));
    }
    ids.sort();
    let mut listed: Vec<String> = Vec::new();
    loop {
        let page = pollster::block_on(store.groups(listed.last().map(String::as_str), 3)).unwrap();
        if page.is_empty() {
            break;
        }
        listed.extend(page);
    }
    assert_eq!(listed, ids);
}

#[test]
fn what_was_changed_by_hand_is_refused_by_field_and_left_as_it_is() {
    let mongo = shared();
    let collection = fresh();
    let players = open(mongo, &collection);
    let once = TrackerDefinition::count("once").target(1).build().unwrap();
    // The twin keeps the definitions in use.
    for group in ["g", "twin"] {
        players.add_trackers(group, [counter("n"), once.clone()]).unwrap();
    }
    players.add_tracker("other", counter("n")).unwrap();
    players.track_one(Submission::new("g", &document()).id("x")).unwrap();
    players.close().unwrap();
    drop(players);
    let before = stored(mongo, &collection, "g");
    for (field, value) in [
        ("version", Bson::from("2")),
        ("claim", Bson::Null),
        ("set", "0123".into()),
        ("set", "0123456789abcdef0123456789abcdef".into()),
        ("generation", 1.5.into()),
        ("trackers", doc! {}.into()),
        ("trackers.0", 7.into()),
        ("trackers.0.name", "m".into()),
        ("trackers.0.kind", "sum".into()),
        ("trackers.0.progress", "2".into()),
        ("trackers.0.progress", 1.into()),
        ("trackers.0.target", "5".into()),
        ("trackers.0.stage", 2.into()),
        ("trackers.0.status", "completed".into()),
        ("trackers.0.state", "[1,2,0]".into()),
        ("trackers.0.state", "[1,2".into()),
        ("trackers.2", doc! {}.into()),
        ("ids", vec![Bson::from("x")].into()),
        ("completed.0.name", "m".into()),
        ("completed.0.record", "{}".into()),
        ("events", vec![Bson::from(1)].into()),
    ] {
        edit(mongo, &collection, "g", doc! {"$set": {field: value.clone()}});
        let edited = stored(mongo, &collection, "g");
        let players = open(mongo, &collection);
        let error = players.track("g", &document()).unwrap_err();
        let Error::Corrupt { place, problem, .. } = &error else { panic!("{field}: {error:?}") };
        assert_eq!(&**place, "group \"g\"", "{field}");
        let named = field.split('.').next_back().filter(|part| part.parse::<usize>().is_err()).unwrap_or("trackers");
        assert!(problem.contains(named) || problem.contains("definition set"), "{field}: {problem}");
        assert_eq!(progress(&players, "other"), "0", "others go on");
        players.close().unwrap();
        assert_eq!(stored(mongo, &collection, "g"), edited, "{field}");
        let old = before.clone();
        mongo.command(DATABASE, doc! {"update": &collection, "updates": [{"q": {"_id": "g"}, "u": old}]});
    }
    assert_eq!(progress(&open(mongo, &collection), "g"), "1");
}

#[test]
fn foreign_documents_are_refused_by_name_and_left_as_they_are() {
    let mongo = shared();
    for document in [doc! {"_id": "user", "data": "pickle"}, doc! {"_id": 7}, doc! {"data": 1}] {
        let collection = fresh();
        mongo.command(DATABASE, doc! {"insert": &collection, "documents": [document]});
        let before = all(mongo, &collection);
        for read_only in [false, true] {
            let builder = builder(&mongo.url(), &collection);
            let builder = if read_only { builder.read_only() } else { builder };
            let error = pollster::block_on(builder.open()).unwrap_err();
            assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
            assert!(error.to_string().contains("import --from-dictrack"), "{error}");
        }
        assert_eq!(all(mongo, &collection), before);
        assert_eq!(all(mongo, &format!("{collection}.meta")), []);
    }
    // Next to groups of ours.
    let collection = fresh();
    let players = open(mongo, &collection);
    players.add_tracker("g", counter("n")).unwrap();
    let foreign = doc! {"_id": "user", "data": "pickle"};
    mongo.command(DATABASE, doc! {"insert": &collection, "documents": [&foreign]});
    let store = players.trackers("g").map(|_| self::store(mongo, &collection)).unwrap();
    assert!(matches!(load(&store, "user", &Engine::default()), Err(Error::Corrupt { .. })));
    // A group of that id, which is new to the owner: the owner began with an empty store.
    let error = players.add_tracker("user", counter("n")).unwrap_err();
    assert!(error.to_string().contains("dictrack did not write it"), "{error}");
    assert_eq!(stored(mongo, &collection, "user"), foreign);
    mongo.command(DATABASE, doc! {"insert": &collection, "documents": [{"_id": 7}]});
    let error = pollster::block_on(builder(&mongo.url(), &collection).open()).unwrap_err();
    assert!(error.to_string().contains("the document with _id 7"), "{error}");
}

#[test]
fn a_store_of_a_newer_version_is_refused() {
    let mongo = shared();
    let collection = fresh();
    open(mongo, &collection).add_tracker("g", counter("n")).unwrap();
    let meta = format!("{collection}.meta");
    edit(mongo, &meta, "format", doc! {"$set": {"version": 99_i64}});
    for builder in [builder(&mongo.url(), &collection), builder(&mongo.url(), &collection).read_only()] {
        match pollster::block_on(builder.open()).unwrap_err() {
            Error::NewerVersion { found, known, .. } => assert_eq!((found, known), (99, 2)),
            error => panic!("{error}"),
        }
    }
    edit(mongo, &meta, "format", doc! {"$set": {"version": "one"}});
    let error = pollster::block_on(builder(&mongo.url(), &collection).open()).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    mongo.command(DATABASE, doc! {"delete": &meta, "deletes": [{"q": {"_id": "format"}, "limit": 1}]});
    let error = pollster::block_on(builder(&mongo.url(), &collection).open()).unwrap_err();
    assert!(error.to_string().contains("the record of the format is missing"), "{error}");
}

#[test]
fn looking_needs_a_store_and_changes_nothing() {
    let mongo = shared();
    let collection = fresh();
    let error = pollster::block_on(builder(&mongo.url(), &collection).read_only().open()).unwrap_err();
    assert!(error.to_string().contains("is empty"), "{error}");
    let players = open(mongo, &collection);
    players.add_tracker("g", counter("n")).unwrap();
    let looking = pollster::block_on(builder(&mongo.url(), &collection).read_only().open()).unwrap();
    players.track("g", &document()).unwrap();
    let found = load(&looking, "g", &Engine::default()).unwrap().unwrap();
    assert_eq!(found.trackers(&Engine::default(), None, NOW)[0].progress, 1.into());
    let error = pollster::block_on(looking.begin(Durability::Os, &Limits::default(), Writers::One)).unwrap_err();
    assert!(error.to_string().contains("for reading only"), "{error}");
    assert!(pollster::block_on(looking.save(&[], &[])).is_err());
    assert!(pollster::block_on(looking.clear()).is_err());
}

/// Enough ids for several parts, as on a busy day.
fn many_ids(group: &mut Group, engine: &Engine, id: &str, range: std::ops::Range<u64>) {
    for number in range {
        let event = Some(ContentHash::of([number.to_le_bytes()]));
        group.track(engine, id, &Track::new(&document(), NOW).id(event).keep_events(true));
    }
}

#[test]
fn a_group_larger_than_a_document_goes_on_in_others() {
    let mongo = shared();
    let collection = fresh();
    let mut engine = Engine::default();
    engine.limits.ids_at_most = 700_000;
    let limits = engine.limits;
    let store = store(mongo, &collection);
    pollster::block_on(store.begin(Durability::Os, &limits, Writers::One)).unwrap();
    let mut group = Group::default();
    group.add(&call(&engine, "g"), &[Arc::new(counter("n"))], None).unwrap();
    let mut next = 0;
    // In steps of all sizes: some with each change, and now and then very many at once.
    for step in 0..40 {
        let count = [3, 500, 2_000, 60_000][step % 4];
        many_ids(&mut group, &engine, "g", next..next + count);
        next += count;
        save(&store, &mut group, "g", &engine);
        pollster::block_on(store.maintain(step % 8 == 7)).unwrap();
    }
    let bytes = group.known_ids() * 24;
    assert!(bytes > 14 << 20, "{bytes} bytes of ids");
    let head = stored(mongo, &collection, "g");
    let size = dictrack_testkit::bson::serialize_to_vec(&head).unwrap().len();
    assert!(size < 1 << 20, "{size} bytes in the first document");
    drop(store);
    let store = self::store(mongo, &collection);
    let found = load(&store, "g", &engine).unwrap().unwrap();
    assert_eq!(kept(&found, "g"), kept(&group, "g"));
    // Parts that were merged are gone, except those that a crash would have left.
    let named = head.get_array("ids").unwrap().iter().filter(|entry| entry.as_document().is_some()).count();
    let parts =
        mongo.command(DATABASE, doc! {"count": format!("{collection}.parts"), "query": {"_id": {"$exists": true}}});
    assert_eq!(parts.get_i32("n").unwrap() as usize, named);
    assert!(named < 60, "{named} parts");
    // What exceeds the limits is removed, a part at a time.
    pollster::block_on(store.begin(Durability::Os, &limits, Writers::One)).unwrap();
    let mut group = load(&store, "g", &engine).unwrap().unwrap();
    for _ in 0..30 {
        many_ids(&mut group, &engine, "g", next..next + 20_000);
        next += 20_000;
        save(&store, &mut group, "g", &engine);
        pollster::block_on(store.maintain(true)).unwrap();
    }
    let found = load(&store, "g", &engine).unwrap().unwrap();
    assert!(found.known_ids() >= 700_000 && found.known_ids() < 700_000 + 400_000, "{} ids", found.known_ids());
    pollster::block_on(store.clear()).unwrap();
    assert_eq!(all(mongo, &format!("{collection}.parts")), []);
}

#[test]
fn many_events_wait_in_documents_of_their_own() {
    let mongo = shared();
    let collection = fresh();
    let store = store(mongo, &collection);
    begin(&store);
    let engine = Engine::default();
    let definitions: Vec<_> = (0..30_000).map(|at| Arc::new(counter(&format!("tracker {at}")))).collect();
    let mut group = Group::default();
    group.add(&call(&engine, "g"), &definitions, None).unwrap();
    save(&store, &mut group, "g", &engine);
    let found = load(&store, "g", &engine).unwrap().unwrap();
    assert_eq!(found.undelivered().len(), 30_000);
    assert_eq!(kept(&found, "g"), kept(&group, "g"));
    assert!(stored(mongo, &collection, "g").contains_key("states"), "so many trackers stand in texts");
    // Half of them are delivered, then one more tracker changes, then the others are delivered.
    group.mark_delivered(15_000);
    save(&store, &mut group, "g", &engine);
    assert!(group.set_progress(&Call::new(&engine, "g", NOW), "tracker 12345", 5.into()));
    save(&store, &mut group, "g", &engine);
    let found = load(&store, "g", &engine).unwrap().unwrap();
    assert_eq!(kept(&found, "g"), kept(&group, "g"));
    group.mark_delivered(u64::MAX);
    save(&store, &mut group, "g", &engine);
    assert_eq!(pollster::block_on(store.undelivered()).unwrap(), Vec::<String>::new());
    let found = load(&store, "g", &engine).unwrap().unwrap();
    assert_eq!(kept(&found, "g"), kept(&group, "g"));
    // With few trackers again, people can read them.
    let names: Vec<String> = (1..30_000).map(|at| format!("tracker {at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(group.remove(&Call::new(&engine, "g", NOW), &names).unwrap().len(), 29_999);
    save(&store, &mut group, "g", &engine);
    let head = stored(mongo, &collection, "g");
    assert!(head.contains_key("trackers") && !head.contains_key("states"), "{head}");
    assert_eq!(kept(&load(&store, "g", &engine).unwrap().unwrap(), "g"), kept(&group, "g"));
}

#[test]
fn names_of_very_many_completed_trackers_are_kept() {
    let collection = fresh();
    let store = store(shared(), &collection);
    begin(&store);
    let engine = Engine::default();
    let mut group = Group::default();
    for round in 0..20 {
        let once = |at| TrackerDefinition::count(&format!("round {round} of tracker number {at}")).target(1).build();
        let definitions: Vec<_> = (0..2_000).map(|at| Arc::new(once(at).unwrap())).collect();
        group.add(&call(&engine, "g"), &definitions, None).unwrap();
        save(&store, &mut group, "g", &engine);
        group.track(&engine, "g", &Track::new(&document(), NOW).keep_events(true));
        save(&store, &mut group, "g", &engine);
        pollster::block_on(store.maintain(true)).unwrap();
    }
    let found = load(&store, "g", &engine).unwrap().unwrap();
    assert_eq!(kept(&found, "g"), kept(&group, "g"));
    assert_eq!(found.whole("g").completed_names.len() + found.completed().len(), 40_000);
}

#[test]
fn a_set_larger_than_a_document_is_kept_in_pieces() {
    let mongo = shared();
    let collection = fresh();
    let store = store(mongo, &collection);
    begin(&store);
    let engine = Engine::default();
    // Each definition has a text of about a hundred thousand bytes, with multi-byte letters.
    let text = "äöü€".repeat(10_000);
    let big =
        |at: usize| TrackerDefinition::count(&format!("t{at}")).target(9).eq("text", text.as_str()).build().unwrap();
    let definitions: Vec<_> = (0..300).map(|at| Arc::new(big(at))).collect();
    let mut group = Group::default();
    group.add(&call(&engine, "g"), &definitions, None).unwrap();
    save(&store, &mut group, "g", &engine);
    let found = load(&store, "g", &Engine::default()).unwrap().unwrap();
    assert_eq!(kept(&found, "g"), kept(&group, "g"));
    assert_eq!(pollster::block_on(store.definitions()).unwrap().len(), 300);
    // Once it is unused, all its pieces are removed.
    let names: Vec<String> = (0..300).map(|at| format!("t{at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    group.remove(&Call::new(&engine, "g", NOW), &names).unwrap();
    save(&store, &mut group, "g", &engine);
    pollster::block_on(store.maintain(true)).unwrap();
    assert_eq!(all(mongo, &format!("{collection}.sets")).len(), 1);
    assert_eq!(load(&store, "g", &Engine::default()).unwrap().unwrap().trackers(&Engine::default(), None, NOW), []);
}

#[test]
fn unused_sets_and_parts_that_nobody_names_go_when_the_store_closes() {
    let mongo = shared();
    let collection = fresh();
    let store = store(mongo, &collection);
    begin(&store);
    let engine = Engine::default();
    let mut group = Group::default();
    group.add(&call(&engine, "g"), &[Arc::new(counter("a"))], None).unwrap();
    save(&store, &mut group, "g", &engine);
    group.add(&call(&engine, "g"), &[Arc::new(counter("b"))], None).unwrap();
    many_ids(&mut group, &engine, "g", 0..5_000);
    save(&store, &mut group, "g", &engine);
    let parts = format!("{collection}.parts");
    assert_eq!(all(mongo, &parts).len(), 1);
    mongo.command(
        DATABASE,
        doc! {"update": &parts, "updates": [{
            "q": {"_id": dictrack_testkit::bson::oid::ObjectId::new()}, "upsert": true,
            "u": [{"$set": {"group": "g", "list": "ids", "items": [], "at": {"$subtract": ["$$NOW", 100_000_000]}}}],
        }]},
    );
    assert_eq!((all(mongo, &parts).len(), all(mongo, &format!("{collection}.sets")).len()), (2, 2));
    pollster::block_on(store.maintain(true)).unwrap();
    assert_eq!((all(mongo, &parts).len(), all(mongo, &format!("{collection}.sets")).len()), (1, 1));
    assert_eq!(kept(&load(&store, "g", &engine).unwrap().unwrap(), "g"), kept(&group, "g"));
}

#[test]
fn looking_for_a_group_leaves_no_trace() {
    let mongo = shared();
    let collection = fresh();
    let players = open(mongo, &collection);
    players.add_tracker("g", counter("n")).unwrap();
    players.close().unwrap();
    drop(players);
    let players = open(mongo, &collection);
    assert_eq!(players.trackers("nobody").unwrap(), []);
    assert_eq!(all(mongo, &collection).len(), 1);
}

#[test]
fn events_wait_for_listeners_across_runs() {
    let mongo = shared();
    let collection = fresh();
    let builder = || Manager::builder().keep_events();
    let players = manager(builder(), store(mongo, &collection));
    players.add_tracker("g", TrackerDefinition::count("n").targets([1, 2, 9]).build().unwrap()).unwrap();
    players.track("g", &document()).unwrap();
    players.track("g", &document()).unwrap();
    players.close().unwrap();
    drop(players);
    assert!(stored(mongo, &collection, "g").get_bool("pending").unwrap());
    let players = manager(builder(), store(mongo, &collection));
    let events = players.undelivered().unwrap();
    let codes: Vec<EventCode> = events.iter().map(|event| event.code).collect();
    assert_eq!(codes, [EventCode::Added, EventCode::StageCompleted, EventCode::StageCompleted]);
    players.mark_delivered("g", events[1].sequence).unwrap();
    players.close().unwrap();
    drop(players);
    let players = manager(builder(), store(mongo, &collection));
    assert_eq!(players.undelivered().unwrap(), events[2..]);
    players.mark_delivered("g", events[2].sequence).unwrap();
    players.close().unwrap();
    let found = stored(mongo, &collection, "g");
    assert!(!found.contains_key("pending") && !found.contains_key("events"), "{found}");
}

#[test]
fn an_export_of_mongodb_is_that_of_sqlite() {
    let store = store(shared(), &fresh());
    let folder = tempfile::tempdir().unwrap();
    let sqlite = dictrack::SqliteStore::open(folder.path().join("a.db")).unwrap();
    let engine = Engine::default();
    let mut group = Group::default();
    group.add(&call(&engine, "g"), &[Arc::new(counter("a")), Arc::new(counter("b"))], None).unwrap();
    many_ids(&mut group, &engine, "g", 0..10);
    let marks = [Mark { name: "m".into(), text: Some("x".into()) }];
    begin(&store);
    pollster::block_on(store.save(&[group.whole("g").into()], &marks)).unwrap();
    let export = |store: &dyn dictrack::store::DataStore| {
        let mut out = Vec::new();
        pollster::block_on(dictrack::transfer::export(store, &mut out, |_| ())).unwrap();
        String::from_utf8(out).unwrap()
    };
    let first = export(&store);
    pollster::block_on(dictrack::transfer::import(&sqlite, None, &mut first.as_bytes(), |_| ())).unwrap();
    assert_eq!(export(&sqlite), first);
    // And back again, into another collection.
    let other = self::store(shared(), &fresh());
    pollster::block_on(dictrack::transfer::import(&other, None, &mut first.as_bytes(), |_| ())).unwrap();
    assert_eq!(export(&other), first);
}

/// A map with a key that MongoDB would take for an operator.
#[test]
fn what_users_choose_collides_with_nothing() {
    let store = store(shared(), &fresh());
    let players = manager(Manager::builder().keep_events(), store);
    let names = ["$set", "a.b", "", "_id", "version", "\0", "$$ROOT", "trackers.0"];
    let trackers = names.iter().filter(|name| !name.is_empty()).map(|name| {
        TrackerDefinition::sum(name).key("$where\\.x").targets([1, 5]).eq("$expr", "$$NOW").limit(9).build()
    });
    let trackers: Vec<_> = trackers.filter_map(Result::ok).collect();
    let count = trackers.len();
    assert!(count > 4);
    players.add_trackers("$inc", trackers).unwrap();
    let map: Map = [("$where.x".into(), 2.into()), ("$expr".into(), "$$NOW".into())].into_iter().collect();
    let outcome = players.track_one(Submission::new("$inc", &Json::Map(map)).id("$unset")).unwrap();
    assert_eq!(outcome.dirtied().count(), count);
    players.close().unwrap();
}
