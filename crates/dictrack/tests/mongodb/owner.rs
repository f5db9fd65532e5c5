//! Which processes may write a store, and what happens to those that no longer may.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dictrack::store::{DataStore, Mark, Unsaved, Writers};
use dictrack::{
    Blocking, Durability, Error, Manager, MongoStore, Timestamp,
    clock::Stopwatch,
    group::{Call, Engine, Group, Limits},
};
use dictrack_testkit::bson::{Document, doc};
use dictrack_testkit::{Mongo, Proxy, eventually};

use crate::common::{
    DATABASE, all, builder, counter, document, edit, fresh, kept, manager, open, progress, shared, store,
};

/// How long an owner must be silent in these tests before it may be taken over.
const SILENCE: Duration = Duration::from_millis(1_000);

fn begin(store: &MongoStore, writers: Writers) -> Result<bool, Error> {
    pollster::block_on(store.begin(Durability::Fsync, &Limits::default(), writers))
}

/// A store whose owner is soon taken over.
fn impatient(url: &str, collection: &str) -> MongoStore {
    pollster::block_on(builder(url, collection).taken_over_after(SILENCE).open()).unwrap()
}

fn record(collection: &str) -> Document {
    let records = all(shared(), &format!("{collection}.meta"));
    records.into_iter().find(|record| record.get_str("_id").is_ok_and(|id| id == "owner")).unwrap()
}

/// A new group with a tracker.
fn new_group(engine: &Engine, id: &str) -> Group {
    let mut group = Group::default();
    let call = Call::new(engine, id, Timestamp::from_secs(1)).keep_events(true);
    group.add(&call, &[counter("n").into()], None).unwrap();
    group
}

fn count(group: &mut Group, engine: &Engine, id: &str) -> Unsaved {
    let call = Call::new(engine, id, Timestamp::from_secs(1));
    assert!(group.set_progress(&call, "n", i64::try_from(group.version()).unwrap().into()));
    group.take_change(id, engine).into()
}

fn save(store: &MongoStore, change: &Unsaved) -> Result<(), Error> {
    let refused = pollster::block_on(store.save(std::slice::from_ref(change), &[]))?;
    assert_eq!(refused, []);
    Ok(())
}

fn assert_taken_over(result: Result<(), Error>, by: u32) {
    match result {
        Err(Error::TakenOver { host, pid, .. }) => {
            let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
            assert_eq!((&*host, &*pid), (name.trim(), &*by.to_string()));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_second_owner_is_refused_in_words_and_admitted_once_the_first_is_gone() {
    let collection = fresh();
    let first = store(shared(), &collection);
    assert!(begin(&first, Writers::One).unwrap(), "it is blank");
    assert!(begin(&first, Writers::One).unwrap(), "it may begin again itself");
    let second = store(shared(), &collection);
    for writers in [Writers::One, Writers::Many] {
        let error = begin(&second, writers).unwrap_err();
        let Error::Owned { pid, host, .. } = &error else { panic!("{error:?}") };
        assert_eq!(**pid, *std::process::id().to_string());
        assert_eq!(**host, *std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim());
        assert!(error.to_string().contains("share a Redis cache"), "{error}");
    }
    assert!(matches!(
        save(&second, &new_group(&Engine::default(), "g").take_change("g", &Engine::default()).into()),
        Err(Error::Backend(_))
    ));
    drop(first);
    let watch = Stopwatch::start();
    assert!(begin(&second, Writers::One).unwrap(), "it is blank, and nobody was held up");
    assert!(watch.elapsed() < Duration::from_secs(2));
    assert_eq!(record(&collection).get_i64("epoch").unwrap(), 2);
    drop(second);
    assert!(!record(&collection).contains_key("pid"));
}

#[test]
fn a_live_owner_is_not_taken_over_however_long_it_does_nothing() {
    let collection = fresh();
    let first = impatient(&shared().url(), &collection);
    begin(&first, Writers::One).unwrap();
    let watch = Stopwatch::start();
    let second = impatient(&shared().url(), &collection);
    while watch.elapsed() < SILENCE * 3 {
        assert!(matches!(begin(&second, Writers::One), Err(Error::Owned { .. })));
        std::thread::sleep(SILENCE / 20);
    }
}

#[test]
fn an_owner_elsewhere_counts_as_alive_for_ten_seconds() {
    let collection = fresh();
    drop(manager(Manager::builder(), store(shared(), &collection)));
    let meta = format!("{collection}.meta");
    let elsewhere = |seconds: i64| {
        let heartbeat = doc! {"$subtract": ["$$NOW", seconds * 1_000]};
        let set = doc! {"token": "t", "host": "elsewhere", "pid": 1_i64, "heartbeat": heartbeat, "mode": "one"};
        let update = doc! {"q": {"_id": "owner"}, "u": [{"$set": set}]};
        shared().command(DATABASE, doc! {"update": &meta, "updates": [update]});
    };
    let next = store(shared(), &collection);
    elsewhere(8);
    let error = begin(&next, Writers::One).unwrap_err();
    assert!(error.to_string().contains("is in use by process 1 on elsewhere"), "{error}");
    elsewhere(10);
    assert!(!begin(&next, Writers::One).unwrap(), "who was silent may still write what it sent");
}

#[test]
fn what_a_silent_owner_still_sends_changes_nothing() {
    let mongo = Mongo::start();
    let collection = fresh();
    let proxy = Proxy::start(mongo.address());
    let engine = Engine::default();
    let first = impatient(&proxy.url_for(&mongo.url()), &collection);
    begin(&first, Writers::One).unwrap();
    let mut old = new_group(&engine, "g");
    save(&first, &old.take_change("g", &engine).into()).unwrap();
    let mark = |text: &str| Mark { name: "position".into(), text: Some(text.into()) };
    pollster::block_on(first.save(&[], &[mark("1")])).unwrap();
    // From now on nothing that the first owner sends arrives; it waits on the way.
    proxy.stall();
    let change = count(&mut old, &engine, "g");
    let new: Unsaved = new_group(&engine, "new").take_change("new", &engine).into();
    for _ in 0..3 {
        let late = pollster::block_on(first.save(&[change.clone(), new.clone()], &[mark("2")]));
        assert!(matches!(late, Err(Error::Unavailable(_))), "{late:?}");
    }
    let second = impatient(&mongo.url(), &collection);
    assert!(!begin(&second, Writers::One).unwrap());
    let mut group = pollster::block_on(second.claim("g", &engine)).unwrap().group.unwrap();
    assert_eq!(group.version(), 1);
    let absent = pollster::block_on(second.claim("new", &engine)).unwrap();
    assert!(absent.group.is_none() && absent.claim == 0, "an owner needs no number");
    proxy.unstall();
    eventually("what was on its way has arrived, or has ended with its connection", || {
        save(&second, &count(&mut group, &engine, "g")).unwrap();
        group.version() > 20
    });
    // It learns of it from its heartbeat or its next call.
    eventually("the first owner knows", || matches!(save(&first, &change), Err(Error::TakenOver { .. })));
    assert_taken_over(save(&first, &change), std::process::id());
    assert_taken_over(pollster::block_on(first.claim("g", &engine)).map(drop), std::process::id());
    assert!(matches!(pollster::block_on(first.clear()), Err(Error::TakenOver { .. })));
    assert!(matches!(pollster::block_on(first.save(&[], &[mark("3")])), Err(Error::TakenOver { .. })));
    let found = pollster::block_on(second.load("g", &engine)).unwrap().unwrap();
    assert_eq!(kept(&found, "g"), kept(&group, "g"));
    assert!(pollster::block_on(second.load("new", &engine)).unwrap().is_none());
    assert_eq!(pollster::block_on(second.groups(None, 10)).unwrap(), ["g"]);
    assert_eq!(pollster::block_on(second.marks()).unwrap(), [mark("1")]);
    // The traces of claims on groups that do not exist expire.
    let traces = all(&mongo, &collection);
    let trace = traces.iter().find(|trace| trace.get_str("_id").is_ok_and(|id| id == "new")).unwrap();
    assert!(trace.get_datetime("purge_at").is_ok(), "{trace}");
    save(&second, &new).unwrap();
    let traces = all(&mongo, &collection);
    assert!(traces.iter().all(|group| !group.contains_key("purge_at")), "{traces:?}");
    // Ending the first one does not end the second one's ownership.
    drop(first);
    save(&second, &count(&mut group, &engine, "g")).unwrap();
    drop(second);
    // A writer that was once silent may wake up at any time: later owners must claim groups too.
    let third = impatient(&mongo.url(), &collection);
    begin(&third, Writers::One).unwrap();
    pollster::block_on(third.claim("g", &engine)).unwrap();
    let claims: Vec<_> = all(&mongo, &collection).iter().map(|group| group.get_i64("claim").unwrap() >> 32).collect();
    assert_eq!(claims, [3, 2]);
}

const STORE: &str = "DICTRACK_TEST_OWNER";

/// A separate process that counts until it cannot.
#[test]
fn child() {
    let Ok(text) = std::env::var(STORE) else { return };
    let (url, collection) = text.split_once(' ').unwrap();
    let builder = Manager::builder().durability(Durability::Fsync);
    let players = manager(builder, impatient(url, collection));
    let _ = players.add_tracker("g", counter("n"));
    let mut out = std::io::stderr().lock();
    for number in 1.. {
        match players.track("g", &document()) {
            Ok(_) => writeln!(out, "counted {number}").unwrap(),
            // A process that was stopped in the middle of a call finds its time used up, and learns from its next call
            // who the owner is.
            Err(error) if error.is_temporary() => {}
            Err(error) => {
                writeln!(out, "ended {error}").unwrap();
                return;
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn spawn(url: &str, collection: &str) -> (Child, impl Iterator<Item = String> + use<>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "owner::child", "--nocapture"])
        .env(STORE, format!("{url} {collection}"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    (child, lines.map_while(Result::ok).filter(|line| line.starts_with("counted ") || line.starts_with("ended ")))
}

fn counted(line: &str) -> u64 {
    line.strip_prefix("counted ").unwrap_or_else(|| panic!("{line}")).parse().unwrap()
}

fn signal(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

fn number(players: &Blocking) -> u64 {
    progress(players, "g").parse().unwrap()
}

#[test]
fn an_owner_that_was_killed_is_taken_over_at_once_and_nothing_is_lost() {
    let collection = fresh();
    let mut least = 0;
    for round in 0..5 {
        let (mut child, mut lines) = spawn(&shared().url(), &collection);
        let mut last = 0;
        while last < 20 + round {
            last = counted(&lines.next().unwrap());
        }
        let other = store(shared(), &collection);
        assert!(
            matches!(begin(&other, Writers::One), Err(Error::Owned { pid, .. }) if *pid == *child.id().to_string())
        );
        child.kill().unwrap();
        // Even while the dead process has not been reaped.
        let watch = Stopwatch::start();
        let players = manager(Manager::builder(), other);
        assert!(watch.elapsed() < SILENCE, "{:?}", watch.elapsed());
        least += lines.map(|line| counted(&line)).last().unwrap_or(last);
        child.wait().unwrap();
        let found = number(&players);
        // The last one may have been stored but not reported.
        assert!(found == least || found == least + 1, "round {round}: {found} of {least}");
        least = found;
    }
}

#[test]
fn an_owner_that_was_stopped_and_wakes_writes_nothing_more() {
    let collection = fresh();
    let (mut child, mut lines) = spawn(&shared().url(), &collection);
    while counted(&lines.next().unwrap()) < 20 {}
    signal(&child, "-STOP");
    let opened = Stopwatch::start();
    let players = loop {
        let next = impatient(&shared().url(), &collection);
        match pollster::block_on(Manager::builder().store(next).open()) {
            Ok(players) => break players.blocking(),
            Err(Error::Owned { .. }) => std::thread::sleep(Duration::from_millis(10)),
            Err(error) => panic!("{error}"),
        }
        assert!(opened.elapsed() < SILENCE * 10);
    };
    let before = number(&players);
    for _ in 0..100 {
        players.track("g", &document()).unwrap();
    }
    signal(&child, "-CONT");
    let told: Vec<String> = lines.collect();
    child.wait().unwrap();
    // What it had counted before is reported late; then it ends with an error that names us.
    let end = told.last().unwrap();
    assert!(end.starts_with("ended ") && end.contains(&format!("by process {}", std::process::id())), "{end}");
    let last = told.iter().rev().nth(1).map_or(20, |line| counted(line));
    assert!(last <= before, "{last} were told, {before} were there");
    for _ in 0..100 {
        players.track("g", &document()).unwrap();
    }
    assert_eq!(number(&players), before + 200);
    players.close().unwrap();
    drop(players);
    assert_eq!(number(&open(shared(), &collection)), before + 200);
}

#[test]
fn an_owner_and_those_who_share_exclude_each_other() {
    let collection = fresh();
    let stores: Vec<_> = (0..4).map(|_| impatient(&shared().url(), &collection)).collect();
    let [a, b, c, owner] = stores.try_into().unwrap();
    for shared in [&a, &b, &c] {
        assert!(!begin(shared, Writers::Many).unwrap(), "never blank where others write");
    }
    assert!(matches!(begin(&owner, Writers::One), Err(Error::Owned { .. })));
    drop((a, b));
    assert!(matches!(begin(&owner, Writers::One), Err(Error::Owned { .. })));
    // A process that shared the store may return, and continue as its owner.
    let engine = Engine::default();
    let claim = pollster::block_on(c.claim("g", &engine)).unwrap().claim;
    let mut group = new_group(&engine, "g");
    let change = Unsaved { change: group.take_change("g", &engine), claim };
    save(&c, &change).unwrap();
    assert!(!begin(&c, Writers::One).unwrap(), "there is a group");
    let mut found = pollster::block_on(c.claim("g", &engine)).unwrap().group.unwrap();
    assert_eq!(kept(&found, "g"), kept(&group, "g"));
    save(&c, &count(&mut found, &engine, "g")).unwrap();
    // Writes left over from the shared use are refused, whoever makes them.
    drop(c);
    assert!(!begin(&owner, Writers::Many).unwrap());
    let mut late = count(&mut group, &engine, "g");
    late.claim = claim;
    let refused = pollster::block_on(owner.save(&[late], &[])).unwrap();
    assert_eq!(refused.len(), 1);
    assert!(pollster::block_on(owner.claim("g", &engine)).unwrap().claim > claim);
}

#[test]
fn one_of_many_that_was_silent_goes_on_unless_an_owner_came() {
    let mongo = Mongo::start();
    let collection = fresh();
    let proxy = Proxy::start(mongo.address());
    let silent = impatient(&proxy.url_for(&mongo.url()), &collection);
    begin(&silent, Writers::Many).unwrap();
    let meta = format!("{collection}.meta");
    let writers =
        || all(&mongo, &meta).iter().filter(|record| record.get_str("_id").unwrap().starts_with("shared:")).count();
    assert_eq!(writers(), 1);
    proxy.stall();
    // Another process that begins removes the record of the silent one.
    let mut others = Vec::new();
    eventually("the record of the silent one is gone", || {
        let other = impatient(&mongo.url(), &collection);
        begin(&other, Writers::Many).unwrap();
        others.push(other);
        std::thread::sleep(SILENCE / 4);
        writers() == others.len()
    });
    proxy.unstall();
    eventually("it is back", || writers() == others.len() + 1);
    let engine = Engine::default();
    let claimed = pollster::block_on(silent.claim("g", &engine)).unwrap();
    let change = Unsaved { change: new_group(&engine, "g").take_change("g", &engine), claim: claimed.claim };
    save(&silent, &change).unwrap();
    // Now an owner begins while it is silent.
    others.clear();
    proxy.stall();
    let owner = impatient(&mongo.url(), &collection);
    eventually("the owner is admitted", || begin(&owner, Writers::One).is_ok());
    proxy.unstall();
    eventually("the silent one knows", || matches!(save(&silent, &change), Err(Error::TakenOver { .. })));
    assert_eq!(pollster::block_on(owner.held("g")).unwrap().version, 1);
}

#[test]
fn the_record_of_an_owner_that_somebody_removed_ends_it() {
    let collection = fresh();
    let players = manager(Manager::builder(), impatient(&shared().url(), &collection));
    players.add_tracker("g", counter("n")).unwrap();
    edit(
        shared(),
        &format!("{collection}.meta"),
        "owner",
        doc! {"$set": {"token": "another", "host": "h", "pid": 5_i64}},
    );
    eventually("the owner knows", || players.track("g", &document()).is_err());
    let error = players.track("g", &document()).unwrap_err();
    assert!(error.to_string().contains("was taken over by process 5 on h"), "{error}");
}

#[test]
fn groups_that_several_threads_make_at_once_are_claimed_and_kept() {
    let collection = fresh();
    drop(manager(Manager::builder(), store(shared(), &collection)));
    edit(shared(), &format!("{collection}.meta"), "owner", doc! {"$set": {"held_up": true}});
    let players = open(shared(), &collection);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for group in 0..150 {
                    let group = format!("g{group}");
                    players.trackers(&group).unwrap();
                    players.add_tracker(&group, counter("n")).unwrap();
                    players.track(&group, &document()).unwrap();
                }
            });
        }
    });
    players.close().unwrap();
    drop(players);
    let players = open(shared(), &collection);
    assert!((0..150).all(|group| progress(&players, &format!("g{group}")) == "4"));
}
