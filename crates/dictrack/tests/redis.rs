//! Processes that share groups through a real Redis.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use dictrack::cache::DataCache as _;
use dictrack::doctor::{Level, Setup};
use dictrack::json::Json;
use dictrack::{
    Blocking, Durability, Error, Manager, MongoStore, RedisCache, Timestamp, TrackerDefinition, clock::Stopwatch,
    group::Differing, manager::Submission, store::MemoryStore,
};
use dictrack_testkit::{Mongo, Proxy, Redis, RedisCluster, bson, eventually};

mod fleet;

use fleet::{Member, Plan, assert_exact, assert_exact_counts, manager, run, scale};

#[test]
fn child() {
    fleet::child();
}

/// The documents of all processes together.
const FROM_COLD: u64 = 100_000;

/// Two or four processes begin at the same moment on groups that do not exist yet. Every document counts once; every
/// crossing is one event and is heard. An event that is heard again has the same id.
fn processes_count_every_document_once_from_a_cold_start(processes: u64) {
    let redis = Redis::start();
    let plan = Plan { cache: redis.url(), documents: FROM_COLD / processes, listens: true, ..Plan::default() };
    let report = run(&vec![plan.clone(); processes as usize], |_| ());
    assert_eq!((report.total(), report.failures()), (FROM_COLD * scale(), 0), "{:?}", report.failed);
    assert_exact(&report, &manager(&plan));
    let heard: HashSet<&String> = report.heard.iter().collect();
    let crossings: HashSet<&String> = report.crossings.iter().collect();
    assert_eq!(heard, crossings, "what was heard and what happened");
    println!("{} crossings, heard {} times", crossings.len(), report.heard.len());
}

#[test]
fn two_processes_count_every_document_once_from_a_cold_start() {
    processes_count_every_document_once_from_a_cold_start(2);
}

#[test]
fn four_processes_count_every_document_once_from_a_cold_start() {
    processes_count_every_document_once_from_a_cold_start(4);
}

#[test]
fn each_crossing_is_heard_by_one_process_in_order() {
    let redis = Redis::start();
    let plan = Plan { cache: redis.url(), documents: 3_000, listens: true, ..Plan::default() };
    let report = run(&vec![plan.clone(); 3], |_| ());
    assert_eq!((report.total(), report.failures()), (9_000 * scale(), 0), "{:?}", report.failed);
    assert_exact(&report, &manager(&plan));
    let distinct: HashSet<&String> = report.heard.iter().collect();
    let crossings: HashSet<&String> = report.crossings.iter().collect();
    assert_eq!(distinct, crossings, "what was heard and what happened");
    // If a process stalls for a second, others deliver its events; on a busy machine that may happen to a few.
    assert!(report.heard.len() <= distinct.len() + distinct.len() / 20, "{} heard", report.heard.len());
}

/// How many replies are lost when documents have no ids.
const DROPS: u64 = 1_000;

#[test]
fn replies_that_are_lost_are_neither_lost_nor_counted_twice() {
    let redis = Redis::start();
    let proxy = Proxy::start(redis.address());
    proxy.only_requests_with(b"EVAL");
    let plan = Plan { cache: proxy.url_for(&redis.url()), endless: true, ..Plan::default() };
    let report = run(&vec![plan.clone(); 2], |_| {
        let before = proxy.faults();
        proxy.drop_replies_every(10);
        eventually("replies are lost", || proxy.faults() >= before + DROPS);
        proxy.drop_replies_every(0);
    });
    println!("{} replies dropped", proxy.faults());
    assert_eq!(report.failures(), 0, "{:?}", report.failed);
    assert!(report.total() > proxy.faults(), "{} documents", report.total());
    assert_exact(&report, &manager(&plan));
}

/// No call may take longer than two seconds; the rest is for a busy machine.
const LONGEST: Duration = Duration::from_millis(2_500);

#[test]
fn connections_that_are_cut_lose_nothing() {
    let redis = Redis::start();
    let proxy = Proxy::start(redis.address());
    let plan = Plan { cache: proxy.url_for(&redis.url()), documents: 6_000, ..Plan::default() };
    let report = run(&vec![plan.clone(); 2], |_| {
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(50));
            proxy.cut();
        }
    });
    assert_eq!((report.total(), report.failures()), (12_000 * scale(), 0), "{:?}", report.failed);
    assert_exact(&report, &manager(&plan));
}

#[test]
fn scripts_that_are_forgotten_are_sent_again() {
    let redis = Redis::start();
    let plan = Plan { cache: redis.url(), documents: 5_000, ..Plan::default() };
    let report = run(&vec![plan.clone(); 2], |_| {
        for _ in 0..30 {
            redis.cli(&["SCRIPT", "FLUSH"]);
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    assert_eq!((report.total(), report.failures()), (10_000 * scale(), 0), "{:?}", report.failed);
    assert_exact(&report, &manager(&plan));
}

#[test]
fn a_server_that_is_killed_and_comes_back_with_its_log_has_lost_nothing() {
    let redis = Redis::builder().append_only().config("appendfsync", "always").start();
    let plan = Plan { cache: redis.url(), documents: 3_000, ids: true, pause: 1, ..Plan::default() };
    let report = run(&vec![plan.clone(); 2], |_| {
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(300));
            redis.kill();
            std::thread::sleep(Duration::from_millis(100));
            redis.restart();
        }
    });
    assert_eq!(report.total(), 6_000 * scale());
    assert!(report.failed.keys().all(|variant| variant == "Unavailable"), "{:?}", report.failed);
    assert!(report.slowest < LONGEST, "{:?}", report.slowest);
    assert_exact_counts(&report, &manager(&plan));
}

#[test]
fn a_server_that_is_away_is_an_error_within_two_seconds() {
    let redis = Redis::start();
    let plan = Plan { cache: redis.url(), ..Plan::default() };
    let manager = manager(&plan);
    manager.add_trackers(&fleet::group(0), fleet::definitions()).unwrap();
    redis.pause();
    for _ in 0..2 {
        let watch = Stopwatch::start();
        let error = manager.track(&fleet::group(0), &Json::parse(b"{}").unwrap()).unwrap_err();
        assert!(matches!(error, Error::Unavailable(_)), "{error}");
        assert!(watch.elapsed() < LONGEST, "{:?}", watch.elapsed());
    }
    redis.resume();
    manager.track(&fleet::group(0), &Json::parse(b"{}").unwrap()).unwrap();
}

#[test]
fn a_process_that_is_held_up_comes_back_to_what_others_did() {
    let redis = Redis::start();
    let plan = Plan { cache: redis.url(), documents: 4_000, pause: 1, ..Plan::default() };
    let report = run(&vec![plan.clone(); 3], |members| {
        std::thread::sleep(Duration::from_millis(200));
        members[0].signal("-STOP");
        std::thread::sleep(Duration::from_millis(1_500));
        members[0].signal("-CONT");
    });
    assert_eq!((report.total(), report.failures()), (12_000 * scale(), 0), "{:?}", report.failed);
    assert_exact(&report, &manager(&plan));
}

#[test]
fn slots_of_a_cluster_move_while_documents_are_counted() {
    let cluster = RedisCluster::start();
    let plan = Plan { cache: cluster.url(), documents: 3_000, groups: 20, pause: 1, ..Plan::default() };
    let report = run(&vec![plan.clone(); 2], |_| {
        std::thread::sleep(Duration::from_millis(100));
        let keys = cluster.node(0).cli(&["--scan", "--pattern", "dictrack:*:g:*"]);
        for key in keys.lines().take(5) {
            let slot = cluster.slot_of(key);
            if cluster.slot_owner(slot) == 0 {
                cluster.migrate_slot(slot, 1);
            }
        }
    });
    assert_eq!((report.total(), report.failures()), (6_000 * scale(), 0), "{:?}", report.failed);
    assert_exact(&report, &manager(&plan));
}

#[test]
fn tls_and_passwords_by_url() {
    let redis = Redis::builder().tls().password("s3cret?").start();
    let separator = if redis.url().contains('?') { '&' } else { '?' };
    let url = format!("{}{separator}ca={}", redis.url(), redis.ca_pem().display());
    let manager = manager(&Plan { cache: url, ..Plan::default() });
    manager.add_trackers("g", fleet::definitions()).unwrap();
    manager.track("g", &Json::parse(br#"{"tenth": 0.1}"#).unwrap()).unwrap();
    assert_eq!(fleet::counted(&manager, "g").0, 1);
    let wrong = redis.url().replacen("s3cret", "wrong", 1);
    let wrong = format!("{wrong}{separator}ca={}", redis.ca_pem().display());
    let error = pollster::block_on(Manager::builder().cache(RedisCache::new(&wrong).unwrap()).open()).unwrap_err();
    assert!(error.to_string().contains("rejected the login") && !error.to_string().contains("wrong"), "{error}");
}

#[test]
fn what_something_else_wrote_is_named_and_left_alone() {
    let redis = Redis::start();
    let manager = manager(&Plan { cache: redis.url(), ..Plan::default() });
    manager.add_trackers("g", fleet::definitions()).unwrap();
    let key = redis.cli(&["--scan", "--pattern", "dictrack:*:g:g"]).trim().to_owned();
    let track = || manager.track("g", &Json::parse(b"{}").unwrap()).map(drop);
    let spoilt: [(&str, &[&str]); 4] = [
        ("no version", &["HDEL", &key, "version"]),
        ("a tracker's state", &["HSET", &key, "t:all", "[1,"]),
        ("no tracker", &["HDEL", &key, "t:all"]),
        ("another type", &["SET", &key, "x"]),
    ];
    for (what, command) in spoilt {
        redis.cli(&["HSET", &key, "token", "0123456789abcdef"]);
        redis.cli(command);
        let before = content(&redis, &key);
        let Err(error) = track() else { panic!("{what}: {}", redis.cli(&["HGETALL", &key])) };
        assert!(matches!(error, Error::Corrupt { .. }), "{what}: {error}");
        assert!(
            error.to_string().contains(if what == "another type" {
                "a type that dictrack does not write"
            } else {
                "\"g\""
            }),
            "{error}"
        );
        assert_eq!(content(&redis, &key), before, "{what}");
        redis.cli(&["DEL", &key]);
        manager.add_trackers("g", fleet::definitions()).unwrap();
        track().unwrap();
    }
}

/// Field values that dictrack cannot have written, and how the error describes them.
const FOREIGN: [(&[&str], &str); 19] = [
    (&["HSET", "KEY", "colour", "red"], "\"colour\""),
    (&["HSET", "KEY", "x:1", "[]"], "\"x:1\""),
    (&["HSET", "KEY", "t:ghost", "[1,0,0]"], "\"t:ghost\""),
    (&["HSET", "KEY", "t:all", "[4,1,0]"], "tracker \"all\" has generation 4, but the group assigned 3"),
    (&["HSET", "KEY", "t:all", "[0,1,0]"], "tracker \"all\" has generation 0, but the group assigned 3"),
    (&["HSET", "KEY", "generation", "2"], "has generation 3, but the group assigned 2"),
    (&["HSET", "KEY", "i:99", "[]"], "\"i:99\""),
    (&["HSET", "KEY", "i:1.x", "[]"], "\"i:1.x\""),
    (&["HSET", "KEY", "i:1", "[[\"12\",1]]"], "\"i:1\""),
    (&["HSET", "KEY", "c:99", "[]"], "\"c:99\""),
    (&["HSET", "KEY", "e:99", "{\"sequence\":99}"], "\"e:99\""),
    (&["HSET", "KEY", "e:1", "{\"sequence\":2}"], "\"e:1\""),
    (&["HSET", "KEY", "w:somebody", "soon"], "\"w:somebody\""),
    (&["HSET", "KEY", "version", "007"], "\"version\""),
    (&["HSET", "KEY", "version", "+7"], "\"version\""),
    (&["HSET", "KEY", "base", "99"], "\"base\""),
    (&["HSET", "KEY", "delivered", "99"], "\"delivered\""),
    (&["HSET", "KEY", "kept", "[1,2]"], "\"kept\""),
    (&["HDEL", "KEY", "stored"], "\"stored\""),
];

/// What dictrack wrote to Redis while each tracker of every group had a field: one line for each key, with the command that sets it.
/// Two groups, with 20 and with 150 trackers, have counted [`document`]s 0 to 9, in turn by two processes.
const EARLIER: &str = include_str!("stored/redis-1.txt");

/// The documents that those groups counted, and their times.
fn document(number: u64) -> (Json, Timestamp) {
    let game = ["a", "b"][(number % 3 % 2) as usize];
    let document = format!(r#"{{"game": "{game}", "bet": {}}}"#, 7 * number + 1);
    (Json::parse(document.as_bytes()).unwrap(), Timestamp::from_secs(1_700_000_000 + 600 * number as i64))
}

fn track(managers: &[Blocking], group: &str, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let ((document, moment), id) = (document(number), format!("id {number}"));
        let submission = Submission::new(group, &document).id(&id).at(moment);
        let outcome = managers[number as usize % managers.len()].track_one(submission).unwrap();
        assert!(outcome.changed() && !outcome.duplicate());
    }
}

#[test]
fn a_group_of_an_earlier_version_is_read_and_takes_the_new_form_with_its_next_change() {
    let redis = Redis::start();
    for line in EARLIER.lines() {
        redis.cli(&line.split('\t').collect::<Vec<_>>());
    }
    let open = |url: String| manager(&Plan { cache: url, ..Plan::default() });
    let managers = [0, 1].map(|_| open(redis.url()));
    let replayed = [open(format!("{}?prefix=replayed", redis.url()))];
    for (group, line) in ["many", "few"].into_iter().zip(EARLIER.lines().step_by(2)) {
        let text = line.rsplit('\t').next().unwrap();
        let Json::List(definitions) = Json::parse(text.as_bytes()).unwrap() else { panic!("{text}") };
        let definitions = definitions.iter().map(|definition| TrackerDefinition::from_json(definition).unwrap());
        let start = replayed[0].at(document(0).1);
        start.add_trackers(group, definitions).unwrap();
        let attributes = Json::parse(br#"{"zone": "Europe/Berlin"}"#).unwrap();
        start.set_attributes(group, attributes.as_map().unwrap().clone()).unwrap();
        track(&replayed, group, 0..10);
        let same = |manager: &Blocking| {
            let of = |manager: &Blocking| {
                let trackers = manager.at(document(100).1).trackers(group).unwrap();
                format!("{:?}", (trackers, manager.completed(group).unwrap()))
            };
            assert_eq!(of(manager), of(&replayed[0]), "{group}");
        };
        let key = redis.cli(&["--scan", "--pattern", &format!("dictrack:*:g:{group}")]);
        let before = content(&redis, &key);
        managers.iter().for_each(same);
        assert_eq!(content(&redis, &key), before, "reading changes nothing");
        let known = managers[0].track_one(Submission::new(group, &document(3).0).id("id 3").at(document(3).1)).unwrap();
        assert!(known.duplicate());
        // Over several rounds of changes on top of the blocks.
        track(&managers, group, 10..80);
        track(&replayed, group, 10..80);
        managers.iter().for_each(same);
        same(&open(redis.url()));
        let fields = redis.cli(&["HKEYS", &key]);
        let has = |kind: &str| fields.lines().any(|field| field.starts_with(kind));
        let many = group == "many";
        assert_eq!((has("t:"), has("b:"), has("d:")), (!many, many, many), "{fields}");
    }
    let examined = pollster::block_on(RedisCache::new(&redis.url()).unwrap().examine(&Setup::both()));
    assert!(examined.level() < Some(Level::Problem), "{examined:#?}");
}

/// The content of a key. DUMP does not compare for hashes, because Redis may reorder a hash that is only read.
fn content(redis: &Redis, key: &str) -> Vec<String> {
    if redis.cli(&["TYPE", key]).trim() != "hash" {
        return vec![redis.cli(&["DUMP", key])];
    }
    let all = redis.cli(&["HGETALL", key]);
    let all: Vec<&str> = all.lines().collect();
    let mut fields: Vec<_> = all.chunks(2).map(|pair| pair.join(" ")).collect();
    fields.sort();
    fields
}

#[test]
fn a_field_that_dictrack_did_not_write_is_refused_by_name() {
    refuses_by_name(fleet::trackers(0), &FOREIGN);
    refuses_by_name(fleet::trackers(1), &FOREIGN_IN_BLOCKS);
}

fn refuses_by_name(trackers: Vec<TrackerDefinition>, foreign: &[(&[&str], &str)]) {
    let redis = Redis::start();
    let plan = Plan { cache: redis.url(), ..Plan::default() };
    let first = manager(&plan);
    first.add_trackers("g", trackers).unwrap();
    first.track_one(Submission::new("g", &Json::parse(b"{}").unwrap()).id("1")).unwrap();
    let key = redis.cli(&["--scan", "--pattern", "dictrack:*:g:g"]).trim().to_owned();
    let good = redis.cli(&["HGETALL", &key]);
    let good: Vec<&str> = good.lines().collect();
    for (command, named) in foreign {
        let command: Vec<&str> = command.iter().map(|word| if *word == "KEY" { &key } else { *word }).collect();
        redis.cli(&command);
        let before = content(&redis, &key);
        let error = manager(&plan).trackers("g").unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{command:?}: {error}");
        let text = error.to_string();
        assert!(text.contains(*named) && text.contains(&format!("{key:?}")), "{command:?}: {text}");
        let cache = RedisCache::new(&plan.cache).unwrap();
        let examined = pollster::block_on(cache.examine(&Setup::both()));
        assert!(examined.findings.iter().any(|finding| finding.found.contains(*named)), "{command:?}: {examined:#?}");
        assert_eq!(content(&redis, &key), before, "{command:?}");
        redis.cli(&["DEL", &key]);
        redis.cli(&[&["HSET", &key][..], &good].concat());
        assert_eq!(fleet::counted(&manager(&plan), "g").0, 1, "{command:?}");
    }
}

/// The same for a group whose trackers are in blocks.
const FOREIGN_IN_BLOCKS: [(&[&str], &str); 9] = [
    (&["HSET", "KEY", "t:all", "[1,1,0]"], "\"t:all\""),
    (&["HSET", "KEY", "b:0", "[]"], "\"b:0\""),
    (&["HSET", "KEY", "b:00", "{}"], "\"b:00\""),
    (&["HSET", "KEY", "b:9", "{}"], "\"b:9\""),
    (&["HSET", "KEY", "b:0", "{\"more 299\": [301,0,0]}"], "\"more 299\", which belongs to another block"),
    (&["HDEL", "KEY", "b:1"], "\"b:1\" lacks the tracker \"more 127\""),
    (&["HDEL", "KEY", "b:0", "b:1", "b:2"], "without blocks"),
    (&["HSET", "KEY", "d:2", "{\"ghost\": [1,0,0]}"], "\"ghost\""),
    (&["HSET", "KEY", "d:99", "{}"], "\"d:99\""),
];

/// Two managers that share a store, as two processes would, and what they acknowledged.
struct Pair {
    managers: Vec<Blocking>,
    documents: u64,
    ids: bool,
}

impl Pair {
    fn new(url: &str, store: &Arc<MemoryStore>) -> Self {
        let manager = || {
            let builder = Manager::builder().cache(RedisCache::new(url).unwrap()).store(Arc::clone(store));
            pollster::block_on(builder.durability(Durability::Fsync).open()).unwrap().blocking()
        };
        Self { managers: vec![manager(), manager()], documents: 1_500 * scale(), ids: true }
    }

    /// Tracks documents on two threads each; reports the acknowledged ones by group, and the errors by variant.
    fn run(&self, meanwhile: impl Fn()) -> fleet::Report {
        let mut report = fleet::Report::default();
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4).map(|worker| scope.spawn(move || self.work(worker))).collect();
            (0..scale()).for_each(|_| meanwhile());
            workers.into_iter().for_each(|worker| report.add(worker.join().unwrap()));
        });
        println!(
            "{} documents acknowledged, failed calls {:?}, slowest {:?}",
            report.total(),
            report.failed,
            report.slowest
        );
        report
    }

    fn work(&self, worker: usize) -> fleet::Report {
        let manager = &self.managers[worker % 2];
        let mut report = fleet::Report::default();
        let document = Json::parse(br#"{"tenth": 0.1}"#).unwrap();
        let lists = [0, 1].map(|number| manager.tracker_list(fleet::trackers(number)).unwrap());
        for number in 0..self.documents {
            let group = fleet::group(number % 5);
            let list = &lists[(number % 5 % 2) as usize];
            let id = format!("{worker}-{number}");
            loop {
                let plain = Submission::new(&group, &document).ensure(list, Differing::Refuse);
                let submission = if self.ids { plain.id(&id) } else { plain };
                let watch = Stopwatch::start();
                let result = manager.track_one(submission);
                report.slowest = report.slowest.max(watch.elapsed());
                match result {
                    Ok(_) => *report.acknowledged.entry(group).or_default() += 1,
                    Err(error) => {
                        *report.failed.entry(fleet::variant(&error)).or_default() += 1;
                        // Without an id it is unknown whether the document counted, unless the error says that it did
                        // not.
                        if self.ids || matches!(error, Error::Lost { .. }) {
                            continue;
                        }
                    }
                }
                break;
            }
        }
        report
    }

    /// Asserts that every acknowledged document counts once, also in the store alone.
    fn assert_exact(self, report: &fleet::Report, store: &Arc<MemoryStore>) {
        assert!(report.slowest < LONGEST, "{:?}", report.slowest);
        assert_eq!(report.total(), 4 * self.documents);
        assert_exact_counts(report, &self.managers[0]);
        self.managers.iter().for_each(|manager| manager.close().unwrap());
        let alone = pollster::block_on(Manager::builder().store(Arc::clone(store)).open()).unwrap().blocking();
        assert_exact_counts(report, &alone);
    }
}

#[test]
fn a_cache_that_is_emptied_takes_nothing_that_was_acknowledged() {
    let redis = Redis::start();
    let store = Arc::new(MemoryStore::new());
    let pair = Pair::new(&redis.url(), &store);
    let report = pair.run(|| {
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(50));
            redis.cli(&["FLUSHALL"]);
        }
    });
    assert!(report.failed.keys().all(|variant| ["Lost", "Unavailable"].contains(&&**variant)), "{:?}", report.failed);
    pair.assert_exact(&report, &store);
}

#[test]
fn without_ids_an_emptied_cache_says_what_did_not_count() {
    let redis = Redis::start();
    let store = Arc::new(MemoryStore::new());
    let pair = Pair { ids: false, ..Pair::new(&redis.url(), &store) };
    let report = pair.run(|| {
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(50));
            redis.cli(&["FLUSHALL"]);
        }
    });
    let unknown = report.failed.get("Unavailable").copied().unwrap_or(0);
    assert_eq!(report.total() + unknown, 4 * pair.documents, "{:?}", report.failed);
    pair.managers.iter().for_each(|manager| manager.close().unwrap());
    let alone = pollster::block_on(Manager::builder().store(store).open()).unwrap().blocking();
    let counted: u64 = (0..5).map(|number| fleet::counted(&alone, &fleet::group(number)).0).sum();
    assert!((report.total()..=report.total() + unknown).contains(&counted), "{counted} of {}", report.total());
    assert!(unknown < 50 * scale(), "{unknown} unknown");
}

#[test]
fn a_server_that_comes_back_empty_takes_nothing_that_was_acknowledged() {
    let redis = Redis::start();
    let store = Arc::new(MemoryStore::new());
    let pair = Pair::new(&redis.url(), &store);
    let report = pair.run(|| {
        for _ in 0..4 {
            std::thread::sleep(Duration::from_millis(200));
            redis.kill();
            redis.restart_empty();
        }
    });
    assert!(report.failed.keys().all(|variant| ["Lost", "Unavailable"].contains(&&**variant)), "{:?}", report.failed);
    pair.assert_exact(&report, &store);
}

#[test]
fn a_server_that_comes_back_as_it_was_takes_nothing_that_was_acknowledged() {
    let redis = Redis::builder().config("dbfilename", "dump.rdb").start();
    let store = Arc::new(MemoryStore::new());
    let pair = Pair::new(&redis.url(), &store);
    let report = pair.run(|| {
        for _ in 0..4 {
            std::thread::sleep(Duration::from_millis(100));
            redis.cli(&["SAVE"]);
            std::thread::sleep(Duration::from_millis(150));
            redis.kill();
            redis.restart();
        }
    });
    assert!(report.failed.keys().all(|variant| ["Lost", "Unavailable"].contains(&&**variant)), "{:?}", report.failed);
    pair.assert_exact(&report, &store);
}

#[test]
fn a_cache_that_drops_groups_takes_nothing_that_was_acknowledged() {
    let redis = Redis::builder().config("maxmemory-policy", "allkeys-random").start();
    let store = Arc::new(MemoryStore::new());
    let pair = Pair::new(&redis.url(), &store);
    let report = pair.run(|| {
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(50));
            redis.cli(&["CONFIG", "SET", "maxmemory", "1"]);
            let _ = redis.try_cli(&["SET", "x", "y"]);
            redis.cli(&["CONFIG", "SET", "maxmemory", "0"]);
        }
    });
    let known = ["Lost", "Unavailable", "Backend"];
    assert!(report.failed.keys().all(|variant| known.contains(&&**variant)), "{:?}", report.failed);
    pair.assert_exact(&report, &store);
}

/// The plan, with Redis in front of a MongoDB server.
fn before_mongodb(redis: &Redis, mongo: &Mongo, plan: Plan) -> Plan {
    Plan { cache: redis.url(), store: format!("{}/dictrack", mongo.url().trim_end_matches('/')), ..plan }
}

/// What the store alone holds, once no process uses it.
fn assert_stored(report: &fleet::Report, plan: &Plan) {
    let store = pollster::block_on(MongoStore::open(&plan.store)).unwrap();
    let alone = pollster::block_on(Manager::builder().store(store).open()).unwrap().blocking();
    assert_exact_counts(report, &alone);
}

#[test]
fn four_processes_before_mongodb_count_every_document_once() {
    let (redis, mongo) = (Redis::start(), Mongo::start());
    for durability in ["interval(100ms)", "fsync"] {
        redis.cli(&["FLUSHALL"]);
        mongo.command("dictrack", bson::doc! { "dropDatabase": 1 });
        let plan = Plan { documents: 2_500, durability: durability.to_owned(), ..Plan::default() };
        let plan = before_mongodb(&redis, &mongo, plan);
        let report = run(&vec![plan.clone(); 4], |_| ());
        assert_eq!((report.total(), report.failures()), (10_000 * scale(), 0), "{durability}: {:?}", report.failed);
        assert_exact(&report, &manager(&plan));
        redis.cli(&["FLUSHALL"]);
        assert_stored(&report, &plan);
    }
}

#[test]
fn what_a_killed_process_left_in_redis_is_saved_by_the_others() {
    let (redis, mongo) = (Redis::start(), Mongo::start());
    let plan = before_mongodb(&redis, &mongo, Plan { documents: 100_000, ..Plan::default() });
    let mut killed = Member::start(&plan);
    let other = manager(&plan);
    killed.go();
    std::thread::sleep(Duration::from_millis(700));
    mongo.pause();
    std::thread::sleep(Duration::from_millis(200));
    killed.signal("-KILL");
    assert!(killed.report().is_none());
    mongo.resume();
    let counts = |manager: &dictrack::Blocking| {
        (0..plan.groups).map(|number| fleet::counted(manager, &fleet::group(number))).collect::<Vec<_>>()
    };
    let in_redis = counts(&other);
    assert!(in_redis.iter().all(|(all, ..)| *all > 0), "{in_redis:?}");
    eventually("every group is saved", || {
        let dirty = redis.cli(&["--scan", "--pattern", "dictrack:*:dirty"]);
        dirty.trim().is_empty()
    });
    other.close().unwrap();
    drop(other);
    redis.cli(&["FLUSHALL"]);
    let store = pollster::block_on(MongoStore::open(&plan.store)).unwrap();
    let alone = pollster::block_on(Manager::builder().store(store).open()).unwrap().blocking();
    assert_eq!(counts(&alone), in_redis);
}

#[test]
fn a_reply_lost_before_redis_loses_the_group_counts_nothing_twice() {
    let (redis, mongo) = (Redis::start(), Mongo::start());
    let proxy = Proxy::start(redis.address());
    proxy.only_requests_with(b"EVAL");
    let opened = |cache: String| {
        let plan = Plan { cache, store: mongo.url(), durability: "fsync".to_owned(), ..Plan::default() };
        manager(&plan)
    };
    let (cut_off, other) = (opened(proxy.url_for(&redis.url())), opened(redis.url()));
    let document = Json::parse(br#"{"tenth": 0.1}"#).unwrap();
    for (group, id) in [("without", None), ("with", Some("id"))] {
        cut_off.add_trackers(group, fleet::definitions()).unwrap();
        std::thread::scope(|scope| {
            // Only the existing connection is left, which breaks with the reply.
            proxy.refuse(true);
            let before = proxy.faults();
            proxy.drop_next_replies(1);
            let call = scope.spawn(|| {
                let plain = Submission::new(group, &document);
                cut_off.track_one(id.map_or(plain, |id| plain.id(id)))
            });
            eventually("the reply is dropped", || proxy.faults() > before);
            // Redis has the first document; the second one brings both to the store.
            other.track(group, &document).unwrap();
            redis.cli(&["FLUSHALL"]);
            proxy.refuse(false);
            let answer = call.join().unwrap();
            match id {
                None => assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}"),
                Some(_) => assert!(answer.unwrap().duplicate(), "the store knows its id"),
            }
        });
        assert_eq!(fleet::counted(&other, group).0, 2, "{group}");
    }
}

#[test]
fn repeats_count_once_however_many_come_together() {
    let redis = Redis::start();
    let managers = [0, 1].map(|_| manager(&Plan { cache: redis.url(), ..Plan::default() }));
    managers[0].add_trackers("g", fleet::definitions()).unwrap();
    let document = Json::parse(br#"{"tenth": 0.1}"#).unwrap();
    let counted = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let (managers, document, counted) = (&managers, &document, &counted);
            scope.spawn(move || {
                // Every worker sends every document, most of them later than another worker does.
                for number in 0..800 {
                    let id = format!("{number}");
                    let submission = Submission::new("g", document).id(&id);
                    let outcome = managers[worker % 2].track_one(submission).unwrap();
                    counted.fetch_add(u64::from(!outcome.duplicate()), std::sync::atomic::Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(counted.into_inner(), 800);
    assert_eq!(fleet::counted(&managers[0], "g"), (800, "80".to_owned(), 8));
}

#[test]
fn the_documented_rights_are_enough() {
    let page = include_str!("../../../docs/redis.md");
    let line = page.lines().find(|line| line.starts_with("ACL SETUSER counter ")).expect("the page has the command");
    let words: Vec<&str> = line.split(' ').collect();
    let count = |url: &str| {
        let store = Mongo::start();
        let manager = Manager::builder()
            .cache(RedisCache::new(url).unwrap())
            .store(pollster::block_on(MongoStore::open(store.url())).unwrap())
            .durability(Durability::Fsync);
        let manager = pollster::block_on(manager.open()).unwrap().blocking();
        for group in 0..50 {
            let group = group.to_string();
            let once = dictrack::TrackerDefinition::count("once").targets([1]).build().unwrap();
            let often = dictrack::TrackerDefinition::count("often").targets([2, 9]).build().unwrap();
            manager.add_trackers(&group, [once, often]).unwrap();
            manager.track(&group, &Json::parse(b"{}").unwrap()).unwrap();
            manager.remove_tracker(&group, "often").unwrap();
        }
        manager.flush(true).unwrap();
        manager.close().unwrap();
    };
    // Each refusal names its object after that word. Setting the client's name, which old servers do not remember, may
    // be refused.
    let denied = |server: &Redis| {
        let log = server.cli(&["ACL", "LOG"]);
        let lines: Vec<_> = log.lines().map(str::to_owned).collect();
        let objects = lines.windows(2).filter(|pair| pair[0] == "object").map(|pair| pair[1].clone());
        objects.filter(|object| object != "client").collect::<Vec<_>>()
    };
    let server = Redis::start();
    server.cli(&words);
    count(&format!("redis://counter:password@{}", server.address()));
    assert_eq!(denied(&server), Vec::<String>::new());
    let cluster = RedisCluster::start();
    (0..3).for_each(|node| drop(cluster.node(node).cli(&words)));
    count(&cluster.url().replace("redis-cluster://", "redis-cluster://counter:password@"));
    (0..3).for_each(|node| assert_eq!(denied(cluster.node(node)), Vec::<String>::new()));
}
