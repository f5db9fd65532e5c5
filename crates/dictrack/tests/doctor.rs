//! Each finding of `dictrack doctor`, provoked on a real server or file.

use std::sync::Arc;
use std::time::Duration;

use dictrack::cache::DataCache as _;
use dictrack::doctor::{Examination, Finding, Level, Setup};
use dictrack::open::{CacheAddress, OpenOptions, StoreAddress};
use dictrack::store::DataStore as _;
use dictrack::{
    Blocking, Manager, ManagerBuilder, MongoStore, RedisCache, Span, SqliteStore, TrackerDefinition,
    cache::MemoryCache,
    clock::{Clock, SystemClock, TestClock},
    overlay::Overlay,
    store::MemoryStore,
};
use dictrack_testkit::{Mongo, Proxy, Redis, RedisCluster, bson, eventually};
use pollster::block_on;

/// The page that lists the findings.
const PAGE: &str = include_str!("../../../docs/doctor.md");

/// A cache or a store alone, or both.
fn setup(both: bool) -> Setup {
    if both { Setup::both() } else { Setup::default() }
}

fn redis(url: &str, has_store: bool) -> Examination {
    let cache = CacheAddress::parse(url).unwrap().open(&OpenOptions::default()).unwrap();
    block_on(cache.examine(&setup(has_store)))
}

fn store(address: &StoreAddress, has_cache: bool) -> Examination {
    block_on(address.examine(&setup(has_cache), &mut |_| ()))
}

fn mongo(url: &str, has_cache: bool) -> Examination {
    store(&StoreAddress::parse(url).unwrap(), has_cache)
}

fn codes(examination: &Examination) -> Vec<&'static str> {
    examination.findings.iter().map(|finding| finding.code).collect()
}

/// The only finding with this code.
#[track_caller]
fn finding<'a>(examination: &'a Examination, code: &str) -> &'a Finding {
    let mut found = examination.findings.iter().filter(|finding| finding.code == code);
    let one = found.next().unwrap_or_else(|| panic!("no {code}: {examination:#?}"));
    assert!(found.next().is_none(), "{code} was found twice: {examination:#?}");
    assert!(PAGE.contains(&format!("| `{code}` | ")), "{code} is not on the page");
    assert!(!one.found.is_empty() && !one.meaning.is_empty(), "{one:?}");
    one
}

/// Asserts that there is a finding with this level and wording, and that its advice contains this text.
#[track_caller]
fn provoked(examination: &Examination, level: Level, code: &str, words: &str, remedy: &str) {
    let found = finding(examination, code);
    assert!(found.level == level && found.found.contains(words) && found.remedy.contains(remedy), "{found:#?}");
}

fn fact<'a>(examination: &'a Examination, name: &str) -> &'a str {
    let value = examination.facts.iter().find(|(found, _)| *found == name);
    value.map(|(_, value)| value.as_str()).unwrap_or_else(|| panic!("no {name}: {examination:#?}"))
}

fn opened(builder: ManagerBuilder) -> Blocking {
    block_on(builder.open()).unwrap().blocking()
}

fn count(manager: &Blocking, group: &str) {
    let counter = TrackerDefinition::count("n").targets([1_000]).build().unwrap();
    manager.add_tracker(group, counter).unwrap();
    manager.track(group, &dictrack::json::Json::parse(b"{}").unwrap()).unwrap();
}

#[test]
fn a_server_in_good_order_has_facts_and_no_findings() {
    let server = Redis::builder().append_only().config("appendfsync", "always").start();
    let manager = opened(Manager::builder().cache(RedisCache::new(&server.url()).unwrap()));
    count(&manager, "user_001");
    for has_store in [false, true] {
        let examination = redis(&server.url(), has_store);
        assert_eq!(codes(&examination), [""; 0], "{examination:#?}");
        assert!(fact(&examination, "server").starts_with("Redis "), "{examination:#?}");
        assert!(fact(&examination, "server").ends_with("RESP3"), "{examination:#?}");
        assert!(fact(&examination, "round trip").contains(" ms"));
        assert_eq!(fact(&examination, "groups"), "1, 1 read");
        assert_eq!(fact(&examination, "kept on disk"), "a log (appendfsync always)");
    }
    // What was written to test the permissions is gone.
    assert_eq!(server.cli(&["KEYS", "*doctor*"]), "");
}

#[test]
fn what_redis_may_drop_is_found() {
    let server = Redis::builder().append_only().config("appendfsync", "always").start();
    server.cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    provoked(&redis(&server.url(), true), Level::Warning, "eviction", "once maxmemory is set", "volatile-lru");
    server.cli(&["CONFIG", "SET", "maxmemory", "100mb"]);
    provoked(&redis(&server.url(), true), Level::Problem, "eviction", "100.0 MiB", "volatile-lru");
    provoked(&redis(&server.url(), false), Level::Problem, "eviction", "allkeys-lru", "noeviction");
    server.cli(&["CONFIG", "SET", "maxmemory-policy", "volatile-lru"]);
    assert_eq!(codes(&redis(&server.url(), true)), [""; 0]);
    server.cli(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    provoked(&redis(&server.url(), true), Level::Note, "no_eviction", "100.0 MiB", "volatile-lru");
    assert_eq!(codes(&redis(&server.url(), false)), [""; 0], "without a store there is nothing to let go");
}

#[test]
fn full_memory_is_found_before_and_when_it_refuses() {
    let server = Redis::builder().append_only().config("maxmemory", "8mb").start();
    server.cli(&["SETRANGE", "filler", "5000000", "x"]);
    let used: u64 = info(&server, "used_memory").parse().unwrap();
    server.cli(&["CONFIG", "SET", "maxmemory", &(used * 106 / 100).to_string()]);
    provoked(&redis(&server.url(), true), Level::Warning, "memory", "maxmemory allows", "increase maxmemory");
    server.cli(&["CONFIG", "SET", "maxmemory", "1mb"]);
    provoked(&redis(&server.url(), true), Level::Problem, "cannot_write", "memory is full", "docs/redis.md");
}

fn info(server: &Redis, name: &str) -> String {
    let info = server.cli(&["INFO", "memory"]);
    let line = info.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {info}")).to_owned()
}

#[test]
fn what_a_restart_of_redis_leaves_is_found_where_there_is_no_store() {
    let server = Redis::start();
    server.cli(&["CONFIG", "SET", "save", ""]);
    provoked(&redis(&server.url(), false), Level::Problem, "not_kept", "neither log nor snapshots", "appendonly yes");
    assert_eq!(codes(&redis(&server.url(), true)), [""; 0], "the store keeps it");
    server.cli(&["CONFIG", "SET", "save", "900 1"]);
    provoked(&redis(&server.url(), false), Level::Warning, "snapshots_only", "only snapshots", "appendonly yes");
    server.cli(&["CONFIG", "SET", "appendonly", "yes"]);
    server.cli(&["CONFIG", "SET", "appendfsync", "everysec"]);
    provoked(&redis(&server.url(), false), Level::Note, "log_within_a_second", "once a second", "appendfsync always");
    server.cli(&["CONFIG", "SET", "appendfsync", "no"]);
    provoked(&redis(&server.url(), false), Level::Warning, "log_whenever", "appendfsync no", "appendfsync always");
}

#[test]
fn snapshots_that_fail_are_found() {
    let server = Redis::builder().config("dbfilename", "taken.rdb").start();
    // The server cannot move a snapshot into place here: a folder has its name.
    let folder = server.cli(&["CONFIG", "GET", "dir"]).lines().last().unwrap().to_owned();
    std::fs::create_dir_all(format!("{folder}/taken.rdb/full")).unwrap();
    server.cli(&["SET", "something", "changed"]);
    let _ = server.try_cli(&["BGSAVE"]);
    eventually("the snapshot failed", || server.cli(&["INFO", "persistence"]).contains("rdb_last_bgsave_status:err"));
    provoked(&redis(&server.url(), true), Level::Problem, "persistence_fails", "the last snapshot", "its log");
}

#[test]
fn a_login_that_may_not_do_what_programs_do_is_found() {
    let server = Redis::builder().append_only().config("appendfsync", "always").start();
    let port = server.port();
    server.cli(&[
        "ACL",
        "SETUSER",
        "reader",
        "on",
        ">pass",
        "~dictrack:*",
        "+@read",
        "+@connection",
        "+info",
        "+time",
        "+config|get",
        "+@scripting",
    ]);
    let examination = redis(&format!("redis://reader:pass@127.0.0.1:{port}"), true);
    provoked(&examination, Level::Problem, "cannot_write", "the user may not do this", "docs/redis.md");
    server.cli(&["ACL", "SETUSER", "program", "on", ">pass", "~dictrack:*", "+@all", "-info", "-config"]);
    let examination = redis(&format!("redis://program:pass@127.0.0.1:{port}"), true);
    provoked(&examination, Level::Note, "settings_hidden", "rejects INFO", "CONFIG GET");
    assert_eq!(codes(&examination).len(), 1, "{examination:#?}");
    let examination = redis(&format!("redis://program:wrong@127.0.0.1:{port}"), true);
    provoked(&examination, Level::Problem, "refused", "the server rejected the login", "");
    assert!(!format!("{examination:?}").contains("wrong@"), "{examination:?}");
    let examination = redis(&format!("redis://127.0.0.1:{port}/99"), true);
    provoked(&examination, Level::Problem, "refused", "", "");
}

#[test]
fn a_server_that_is_not_there_or_slow_or_of_another_time_is_found() {
    let server = Redis::builder().append_only().config("appendfsync", "always").start();
    let proxy = Proxy::start(server.address());
    proxy.delay(Duration::from_millis(8));
    provoked(&redis(&proxy.url_for(&server.url()), true), Level::Warning, "slow", "a round trip takes", "closer");
    let wrong = TestClock::new(SystemClock.now());
    wrong.advance(Span::from_secs(90));
    let cache = RedisCache::new(&server.url()).unwrap();
    provoked(
        &block_on(cache.examine(&Setup::both().clock(wrong))),
        Level::Warning,
        "clock",
        "s behind the local clock",
        "NTP",
    );
    server.kill();
    provoked(&redis(&server.url(), true), Level::Problem, "unreachable", "Connection refused", "firewall");
}

#[test]
fn a_replica_is_found() {
    let (master, replica) = (Redis::start(), Redis::start());
    replica.cli(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
    eventually("the replica follows", || replica.cli(&["INFO", "replication"]).contains("role:slave"));
    let words = format!("a replica of 127.0.0.1:{}", master.port());
    provoked(&redis(&replica.url(), true), Level::Problem, "replica", &words, "use the master");
}

#[test]
fn a_cluster_is_examined_node_by_node() {
    let cluster = RedisCluster::start();
    let examination = redis(&cluster.url(), true);
    assert_eq!(codes(&examination), [""; 0], "{examination:#?}");
    assert_eq!(examination.facts.iter().filter(|(name, _)| *name == "server").count(), 3, "{examination:#?}");
    assert_eq!(fact(&examination, "cluster"), "ok, 16384 of 16384 slots served");
    let examination = redis(&cluster.node(0).url(), true);
    provoked(&examination, Level::Problem, "cluster_url", "belongs to a cluster", "redis-cluster://");
    let single = Redis::start();
    let examination = redis(&single.url().replace("redis://", "redis-cluster://"), true);
    assert_eq!(examination.level(), Some(Level::Problem), "{examination:#?}");
    cluster.node(1).kill();
    eventually("the cluster notices", || cluster.node(0).cli(&["CLUSTER", "INFO"]).contains("cluster_state:fail"));
    let examination = redis(&cluster.url(), true);
    provoked(&examination, Level::Problem, "cluster_down", "\"fail\"", "--cluster fix");
}

#[test]
fn what_something_else_wrote_and_what_waits_for_a_store_is_found() {
    let server = Redis::builder().append_only().config("appendfsync", "always").start();
    let manager = opened(Manager::builder().cache(RedisCache::new(&server.url()).unwrap()));
    count(&manager, "user_001");
    assert_eq!(codes(&redis(&server.url(), false)), [""; 0]);
    // What a program with a store leaves if it ends before the store has everything.
    let key = server.cli(&["--scan", "--pattern", "dictrack:*:g:user_001"]);
    server.cli(&["SADD", &key.replace(":g:user_001", ":dirty"), "user_001"]);
    provoked(&redis(&server.url(), false), Level::Note, "unsaved", "1 groups have changes that wait", "--store");
    server.cli(&["HSET", &key, "set", "nonsense"]);
    provoked(&redis(&server.url(), true), Level::Problem, "damaged", "user_001", "");
}

#[test]
fn a_replica_set_in_good_order_has_facts_and_no_findings() {
    let server = Mongo::replica_set();
    let url = server.url();
    provoked(&mongo(&url, false), Level::Note, "empty", "there is no store yet", "");
    let manager = Manager::builder().store(block_on(MongoStore::open(&url)).unwrap());
    let manager = opened(manager);
    count(&manager, "user_001");
    provoked(&mongo(&url, false), Level::Warning, "owner", &format!("process {}", std::process::id()), "stop it");
    provoked(&mongo(&url, true), Level::Problem, "owner", "has an owner", "Redis cache");
    manager.close().unwrap();
    drop(manager);
    let examination = mongo(&url, false);
    assert_eq!(codes(&examination), [""; 0], "{examination:#?}");
    assert!(fact(&examination, "server").starts_with("MongoDB 6."), "{examination:#?}");
    assert_eq!(fact(&examination, "kind"), "replica set rs0, 1 members with data");
    assert_eq!((fact(&examination, "groups"), fact(&examination, "writers")), ("1, 1 read", "none"));
    // A member that was never started.
    let config = server.command("admin", bson::doc! {"replSetGetConfig": 1});
    let mut config = config.get_document("config").unwrap().clone();
    config.insert("version", config.get_i32("version").unwrap() + 1);
    let member = bson::doc! {"_id": 1, "host": "127.0.0.1:1", "priority": 0, "votes": 0};
    config.get_array_mut("members").unwrap().push(member.into());
    server.command("admin", bson::doc! {"replSetReconfig": config});
    let mut seen = mongo(&url, false);
    eventually("the member is missed", || {
        seen = mongo(&url, false);
        codes(&seen).contains(&"member_down")
    });
    provoked(&seen, Level::Warning, "member_down", "127.0.0.1:1", "rs.remove");
    server.step_down(20);
    let examination = mongo(&url, false);
    provoked(&examination, Level::Problem, "unreachable", "no server accepts writes", "firewall");
}

#[test]
fn what_is_wrong_with_a_mongodb_store_is_found() {
    let server = Mongo::start();
    let url = format!("{}examined", server.url());
    {
        let manager = Manager::builder().store(block_on(MongoStore::open(&url)).unwrap());
        let manager = opened(manager);
        count(&manager, "user_001");
        manager.close().unwrap();
    }
    let examination = mongo(&url, false);
    provoked(&examination, Level::Warning, "standalone", "is standalone", "rs.initiate()");
    assert_eq!(codes(&examination).len(), 1, "{examination:#?}");

    server.command("examined", bson::doc! {"dropIndexes": "groups", "index": "set"});
    provoked(&mongo(&url, false), Level::Warning, "index_missing", "\"set\"", "creates it");
    let other = bson::doc! {"createIndexes": "groups", "indexes": [{"name": "set", "key": {"set": -1}}]};
    server.command("examined", other);
    provoked(&mongo(&url, false), Level::Problem, "index_differs", "\"set\"", "dropIndex(\"set\")");
    server.command("examined", bson::doc! {"dropIndexes": "groups", "index": "set"});

    // The traces of an owner that was killed during a commit.
    let dead = bson::doc! {"token": "t", "host": "elsewhere", "pid": 1_i64, "heartbeat": bson::DateTime::from_millis(0),
    "journal": {"id": bson::oid::ObjectId::new()}};
    let set = |change: bson::Document| {
        let update = bson::doc! {"q": {"_id": "owner"}, "u": change};
        server.command("examined", bson::doc! {"update": "groups.meta", "updates": [update]});
    };
    set(bson::doc! {"$set": dead});
    let examination = mongo(&url, false);
    provoked(&examination, Level::Note, "owner_gone", "process 1 on elsewhere", "");
    provoked(&examination, Level::Note, "unfinished", "not finished", "");
    set(bson::doc! {"$unset": {"token": "", "host": "", "pid": "", "heartbeat": "", "journal": ""}});

    let update = bson::doc! {"q": {"_id": "user_001"}, "u": {"$set": {"trackers": "by hand"}}};
    server.command("examined", bson::doc! {"update": "groups", "updates": [update]});
    provoked(&mongo(&url, false), Level::Problem, "damaged", "user_001", "backup");
    server.command(
        "examined",
        bson::doc! {"update": "groups.meta",
        "updates": [{"q": {"_id": "format"}, "u": {"$set": {"version": 99_i64}}}]},
    );
    provoked(&mongo(&url, false), Level::Problem, "newer", "99", "newer dictrack");

    let (wrong, proxy) = (TestClock::new(SystemClock.now()), Proxy::start(server.address()));
    wrong.set(dictrack::Timestamp::from_secs(1));
    let store = block_on(MongoStore::open(server.url())).unwrap();
    provoked(
        &block_on(store.examine(&Setup::default().clock(wrong), &mut |_| ())),
        Level::Warning,
        "clock",
        "ahead of",
        "NTP",
    );
    proxy.delay(Duration::from_millis(8));
    provoked(&mongo(&proxy.url_for(&server.url()), false), Level::Warning, "slow", "round trip", "closer");
}

#[test]
fn processes_that_share_a_cache_are_found() {
    let (cache, store) = (Redis::start(), Mongo::start());
    let manager = Manager::builder()
        .cache(RedisCache::new(&cache.url()).unwrap())
        .store(block_on(MongoStore::open(store.url())).unwrap());
    let manager = opened(manager);
    count(&manager, "user_001");
    provoked(&mongo(&store.url(), false), Level::Warning, "shared", "1 processes that share", "--cache");
    let examination = mongo(&store.url(), true);
    assert_eq!(fact(&examination, "writers"), "1 that share a cache");
    assert!(!codes(&examination).contains(&"shared"), "{examination:#?}");
    manager.close().unwrap();
}

#[test]
fn a_user_of_mongodb_that_may_not_write_is_found() {
    let server = Mongo::with_password("root", "s3cret");
    let role = |role: &str| bson::doc! {"role": role, "db": "shop"};
    for (user, role) in [("reader", role("read")), ("writer", role("readWrite"))] {
        server.command("admin", bson::doc! {"createUser": user, "pwd": "pass", "roles": [role]});
    }
    let url = |user: &str| format!("mongodb://{user}:pass@{}/shop?authSource=admin", server.address());
    let examination = mongo(&url("reader"), false);
    provoked(&examination, Level::Problem, "rights", "may not insert, update, remove", "readWrite");
    let examination = mongo(&url("writer"), false);
    assert_eq!(codes(&examination), ["standalone", "empty"], "{examination:#?}");
    let examination = mongo(&url("nobody"), false);
    provoked(&examination, Level::Problem, "refused", "check user, password and authSource", "");
    assert!(!format!("{examination:?}").contains("pass@"), "{examination:?}");
}

#[test]
fn what_has_no_examination_of_its_own_says_so() {
    let view = Overlay::new(Arc::new(MemoryCache::new()), None);
    let examined = block_on(view.examine(&Setup::default(), &mut |_| ()));
    provoked(&examined, Level::Note, "not_examined", "no examination", "");
    assert_eq!(fact(&examined, "groups"), "0, 0 read");
    let known = [
        block_on(MemoryStore::new().examine(&Setup::default(), &mut |_| ())),
        block_on(MemoryCache::new().examine(&Setup::default())),
    ];
    assert!(known.iter().all(|examined| codes(examined).is_empty()), "{known:#?}");
}

#[test]
fn what_is_wrong_with_a_file_is_found() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = folder.path().join("shop.db");
    let file = |has_cache| store(&StoreAddress::file(&path), has_cache);
    provoked(&file(false), Level::Note, "empty", "there is no store yet", "");
    let manager = Blocking::open(&path).unwrap();
    count(&manager, "user_001");
    provoked(&file(false), Level::Warning, "owner", &format!("process {}", std::process::id()), "stop it");
    manager.close().unwrap();
    drop(manager);
    let examination = file(false);
    assert_eq!(codes(&examination), [""; 0], "{examination:#?}");
    assert_eq!((fact(&examination, "groups"), fact(&examination, "writers")), ("1, 1 read", "none"));
    assert!(fact(&examination, "sync to disk").ends_with(" ms"));
    provoked(&file(true), Level::Warning, "file_with_cache", "a file", "MongoDB");
    assert_eq!(
        std::fs::read_dir(&folder)
            .unwrap()
            .filter(|entry| { entry.as_ref().unwrap().file_name().to_string_lossy().contains("doctor") })
            .count(),
        0,
        "the file that timed the disk is gone"
    );

    let mut bytes = std::fs::read(&path).unwrap();
    let pages = bytes.len() / 2;
    bytes[pages..].fill(0x5a);
    std::fs::write(&path, bytes).unwrap();
    provoked(&file(false), Level::Problem, "damaged", "shop.db", "backup");
    let missing = store(&StoreAddress::file("/proc/none/shop.db"), false);
    provoked(&missing, Level::Problem, "refused", "/proc/none", "");
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let examination = store(&StoreAddress::file(memory.path().join("shop.db")), false);
    provoked(&examination, Level::Warning, "in_memory", "in-memory", "on a disk");
}

/// What a kill or a power failure leaves of a file that is being created: the next writer completes it.
#[test]
fn a_file_that_was_not_made_to_its_end_is_unfinished_and_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let making = rusqlite::Connection::open(folder.path().join("making.db")).unwrap();
    // Pages of a transaction that does not fit into memory are written to the file before the transaction ends.
    making
        .execute_batch("PRAGMA cache_size = 1; BEGIN; CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(100000))")
        .unwrap();
    let unfinished = |name: &str| folder.path().join(name);
    for name in ["whole.db", "torn.db"] {
        std::fs::copy(unfinished("making.db"), unfinished(name)).unwrap();
        std::fs::copy(unfinished("making.db-journal"), unfinished(&format!("{name}-journal"))).unwrap();
    }
    std::fs::write(unfinished("torn.db"), [0; 4096]).unwrap();
    let no_tables = rusqlite::Connection::open(unfinished("no_tables.db")).unwrap();
    no_tables.pragma_update(None, "journal_mode", "WAL").unwrap();
    drop(no_tables);
    for name in ["whole.db", "torn.db", "no_tables.db"] {
        let path = unfinished(name);
        let examine = || store(&StoreAddress::file(&path), false);
        provoked(&examine(), Level::Note, "unfinished", "is unfinished", "");
        assert!(matches!(SqliteStore::open_read_only(&path), Err(dictrack::Error::Unfinished { .. })), "{name}");
        drop(SqliteStore::open(&path).unwrap());
        assert!(!codes(&examine()).contains(&"unfinished"), "{name}");
    }
}

/// Asserts that the only note about time zone data is that `who` has version 1999a.
#[track_caller]
fn other_zone_data(examination: &Examination, who: &str) {
    let own = dictrack::zone::Zones::version();
    let words = format!("this program is {own}, but {who}");
    provoked(examination, Level::Note, "zone_data", &words, "the same version of dictrack");
    assert!(finding(examination, "zone_data").found.ends_with(" has 1999a"), "{examination:#?}");
    assert!(fact(examination, "zone data").contains("1999a"));
}

/// Asserts that this is what writers recorded, and that it is nothing to note.
#[track_caller]
fn same_zone_data(examination: &Examination, recorded: Option<&str>) {
    let found = examination.facts.iter().find(|(name, _)| *name == "zone data");
    assert_eq!(found.map(|(_, value)| value.as_str()), recorded, "{examination:#?}");
    assert!(!codes(examination).contains(&"zone_data"), "{examination:#?}");
}

#[test]
fn other_time_zone_data_of_a_file_is_noted() {
    let own = dictrack::zone::Zones::version();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let examine = || store(&StoreAddress::file(&path), false);
    let edit = |sql: &str| rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    let write = || {
        let manager = Blocking::open(&path).unwrap();
        count(&manager, "user_001");
        manager.close().unwrap();
    };
    write();
    same_zone_data(&examine(), Some(own));
    edit("UPDATE zone_data SET version = '1999a'");
    // Reading records nothing.
    drop(SqliteStore::open_read_only(&path).unwrap());
    let examination = examine();
    other_zone_data(&examination, "the last program that wrote the file");
    assert_eq!(examination.level(), Some(Level::Note));
    write();
    same_zone_data(&examine(), Some(own));
    // Earlier versions of dictrack have no such table.
    edit("DROP TABLE zone_data");
    drop(SqliteStore::open_read_only(&path).unwrap());
    same_zone_data(&examine(), None);
    write();
    same_zone_data(&examine(), Some(own));
}

#[test]
fn other_time_zone_data_behind_redis_is_noted() {
    let own = dictrack::zone::Zones::version();
    let server = Redis::builder().append_only().config("appendfsync", "always").start();
    let key = "dictrack:{b0}:zone_data";
    let (now, day) = (SystemClock.now().micros(), 86_400_000_000);
    same_zone_data(&redis(&server.url(), true), None);
    assert_eq!(server.cli(&["EXISTS", key]), "0", "examining records nothing");
    drop(opened(Manager::builder().cache(RedisCache::new(&server.url()).unwrap())));
    same_zone_data(&redis(&server.url(), true), Some(own));
    server.cli(&["HSET", key, "1999a", &(now - 29 * day).to_string()]);
    let examination = redis(&server.url(), true);
    other_zone_data(&examination, "a program that began to use the cache at ");
    assert_eq!(examination.level(), Some(Level::Note));
    server.cli(&["HSET", key, "1999a", &(now - 31 * day).to_string()]);
    same_zone_data(&redis(&server.url(), true), Some(own));
    // Nothing depends on it.
    server.cli(&["DEL", key]);
    server.cli(&["SET", key, "something else"]);
    let manager = opened(Manager::builder().cache(RedisCache::new(&server.url()).unwrap()));
    count(&manager, "user_001");
    same_zone_data(&redis(&server.url(), true), None);
}

#[test]
fn other_time_zone_data_in_mongodb_is_noted() {
    let own = dictrack::zone::Zones::version();
    let (cache, server) = (Redis::start(), Mongo::start());
    let examine = || mongo(&server.url(), true);
    let edit = |filter: bson::Document, update: bson::Document| {
        let command = bson::doc! {"update": "groups.meta", "updates": [{"q": filter, "u": update}]};
        assert_eq!(server.command("dictrack", command).get_i32("nModified").unwrap(), 1);
    };
    let owner = || bson::doc! {"_id": "owner"};
    let other = || bson::doc! {"$set": {"zone_data": "1999a"}};
    let open = || block_on(MongoStore::open(server.url())).unwrap();
    let alone = || opened(Manager::builder().store(open()));
    same_zone_data(&examine(), None);
    drop(alone());
    same_zone_data(&examine(), Some(own));
    edit(owner(), other());
    // Reading records nothing.
    drop(block_on(MongoStore::open_read_only(server.url())).unwrap());
    other_zone_data(&examine(), "the last program that began to write the store");
    // Earlier versions of dictrack have no such field.
    edit(owner(), bson::doc! {"$unset": {"zone_data": ""}});
    same_zone_data(&examine(), None);
    let shared = || opened(Manager::builder().cache(RedisCache::new(&cache.url()).unwrap()).store(open()));
    let (first, second) = (shared(), shared());
    same_zone_data(&examine(), Some(own));
    let records = server
        .command("dictrack", bson::doc! {"find": "groups.meta", "filter": {"mode": "many", "pid": {"$exists": true}}});
    let records = records.get_document("cursor").unwrap().get_array("firstBatch").unwrap().clone();
    assert_eq!(records.len(), 2);
    let id = records[0].as_document().unwrap().get_str("_id").unwrap();
    edit(bson::doc! {"_id": id}, other());
    other_zone_data(&examine(), &format!("process {} on ", std::process::id()));
    // A process that has ended no longer matters.
    first.close().unwrap();
    second.close().unwrap();
    drop((first, second));
    same_zone_data(&examine(), Some(own));
    assert_eq!(examine().level(), Some(Level::Warning), "a standalone server is the only finding");
}
