//! The command on real servers: a Redis cache, a MongoDB store, and both.

#[allow(dead_code, reason = "each test file uses its part")]
mod command;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use command::{Answer, COUNTER, at, counted, dictrack, dictrack_with, folder, number};
use dictrack::json::Json;
use dictrack::{Manager, SqliteStore, TrackerDefinition, clock::Stopwatch, manager::Submission};
use dictrack_testkit::{Mongo, Proxy, Redis, RedisCluster, eventually, shared_mongodb, shared_redis};

/// Text that no output may contain.
const SECRET: &str = "s3cret-Wörd";

/// A separate MongoDB database.
fn mongo(name: &str) -> String {
    let url = shared_mongodb();
    let (place, options) = url.split_once('?').unwrap_or((&url, ""));
    let place = place.trim_end_matches('/');
    format!("{place}/services_{name}_{}?{options}", std::process::id()).trim_end_matches('?').to_owned()
}

/// Separate keys in Redis.
fn redis(name: &str) -> String {
    format!("{}?prefix=services_{name}_{}", shared_redis(), std::process::id())
}

/// Documents with ids for groups a, b, c, d in turn.
fn documents(from: u64, to: u64) -> String {
    let line = |number: u64| {
        let user = char::from(b'a' + u8::try_from(number % 4).unwrap());
        format!("{{\"user\":\"{user}\",\"id\":{number}}}\n")
    };
    (from..to).map(line).collect()
}

const RUN: &str = "run --trackers t.toml --group-by user --id id --output json";

fn progress(group: &Json) -> u64 {
    let active = !at(group, "trackers").as_list().unwrap().is_empty();
    number(group, if active { "trackers.0.progress" } else { "completed.0.progress" })
}

/// The progress of each listed group; empty if the store does not exist yet.
fn listed(folder: &Path, place: &str) -> Vec<(String, u64)> {
    let answer = dictrack(folder, &format!("show --limit 0 --output json {place}"));
    if answer.error.contains("is empty") {
        return Vec::new();
    }
    let lines = answer.good();
    let group = |line: &str| {
        let json = Json::parse(line.as_bytes()).unwrap();
        (at(&json, "group").as_str().unwrap().to_owned(), progress(&json))
    };
    lines.lines().map(group).collect()
}

fn each(count: u64) -> Vec<(String, u64)> {
    ["a", "b", "c", "d"].map(|group| (group.to_owned(), count)).to_vec()
}

#[test]
fn every_command_works_on_every_combination() {
    let (one, two) = (documents(0, 40), documents(40, 80));
    let cluster = RedisCluster::start();
    let caches = ["".to_owned(), redis("combined"), cluster.url()];
    for (at_cache, cache) in caches.iter().enumerate() {
        for mongodb in [false, true] {
            let folder = folder(&[("t.toml", COUNTER), ("one.ndjson", &one), ("two.ndjson", &two)]);
            let store = if mongodb { mongo(&format!("combined{at_cache}")) } else { "s.db".to_owned() };
            let cache = match cache.as_str() {
                "" => String::new(),
                url => format!("--cache {url}{}prefix=c{mongodb}", if url.contains('?') { "&" } else { "?" }),
            };
            let both = format!("{cache} --store {store}");
            let run = |inputs: &str| dictrack(folder.path(), &format!("{RUN} {both} {inputs}"));
            assert_eq!(counted(&run("one.ndjson").json(), "n"), 40, "{both}");
            // The second run resumes after what the first has recorded.
            let summary = run("one.ndjson two.ndjson").json();
            assert_eq!((number(&summary, "documents"), number(&summary, "repeated")), (40, 0), "{both}");
            assert_eq!(number(&summary, "groups"), 4, "{both}");

            let mut places = vec![both.clone(), format!("--store {store}")];
            if !cache.is_empty() {
                places.push(cache.clone());
            }
            for place in &places {
                assert_eq!(listed(folder.path(), place), each(20), "{place}");
                let shown = dictrack(folder.path(), &format!("show b --output json {place}")).json();
                assert_eq!((progress(&shown), number(&shown, "trackers.0.stage")), (20, 2), "{place}");
                let explained = dictrack(folder.path(), &format!("explain b {{}} --output json {place}")).json();
                assert_eq!(at(&explained, "0.verdict").as_str(), Some("counted"), "{place}");
                let missing = dictrack(folder.path(), &format!("show nobody {place}"));
                assert!(
                    missing.code == Some(1) && missing.error.contains("group \"nobody\" does not exist"),
                    "{place}"
                );
            }
            let exports: Vec<_> =
                places.iter().map(|place| dictrack(folder.path(), &format!("export {place}")).good()).collect();
            assert_eq!(exports[0], exports[1], "{both}");
            assert_eq!(exports[0].lines().count(), 10, "head, set, groups, marks, end: {}", exports[0]);
            let copied = dictrack_with(folder.path(), &["import", "--store", "copy.db"], exports[0].clone());
            copied.good();
            assert_eq!(dictrack(folder.path(), "export --store copy.db").good(), exports[0], "{both}");
        }
    }
}

#[test]
fn an_export_comes_back_line_for_line_from_both_stores() {
    let folder = folder(&[]);
    {
        // Undelivered events, completed trackers, ids, limiters, a group without trackers, odd names.
        let store = SqliteStore::open(folder.path().join("s.db")).unwrap();
        let manager = pollster::block_on(Manager::builder().store(store).keep_events().open()).unwrap().blocking();
        let limited = r#"{"name":"sums","kind":"sum","key":"n","target":[2.5,1000],"limiters":[{"count":2}]}"#;
        let limited = TrackerDefinition::from_json(&Json::parse(limited.as_bytes()).unwrap()).unwrap();
        for group in ["a", "b", "", "$odd.\u{1f600}\u{0}\"", "z"] {
            let once = TrackerDefinition::count("once").target(1).build().unwrap();
            manager.add_trackers(group, [once, limited.clone()]).unwrap();
            for n in 0..3 {
                let document = Json::parse(format!("{{\"n\":{n}.1}}").as_bytes()).unwrap();
                let id = format!("{group}{n}");
                manager.track_one(Submission::new(group, &document).id(&id)).unwrap();
            }
        }
        manager.remove_trackers("z", &["once", "sums"]).unwrap();
        manager.close().unwrap();
    }
    let export = dictrack(folder.path(), "export --store s.db").good();
    assert!(export.contains("\"events\":[{") && export.contains("\"completed\":[{") && export.contains("\"ids\":[["));
    let store = mongo("moved");
    let import = |store: &str, text: &str| dictrack_with(folder.path(), &["import", "--store", store], text);
    assert_eq!(import(&store, &export).error, "imported 5 groups, 2 definition sets and 0 marks\n");
    assert_eq!(dictrack(folder.path(), &format!("export --store {store}")).good(), export);
    dictrack(folder.path(), &format!("export --store {store} back.ndjson")).good();
    dictrack(folder.path(), "import --store back.db back.ndjson").good();
    assert_eq!(dictrack(folder.path(), "export --store back.db").good(), export);
    let again = import(&store, &export);
    assert!(again.code == Some(1) && again.error.contains("already has the group"), "{}", again.error);
}

#[test]
fn an_import_that_fails_leaves_nothing_in_mongodb() {
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", &documents(0, 8))]);
    dictrack(folder.path(), &format!("{RUN} --store s.db in.ndjson")).good();
    let export = dictrack(folder.path(), "export --store s.db").good();
    let store = mongo("failing");
    let cut = export.lines().count();
    let text: String = export.lines().take(cut - 1).map(|line| format!("{line}\n")).collect();
    let answer = dictrack_with(folder.path(), &["import", "--store", &store], text);
    assert!(answer.code == Some(1), "{}", answer.error);
    assert!(
        answer.error.contains(&format!("standard input: line {cut}: the export is incomplete")),
        "{}",
        answer.error
    );
    assert!(listed(folder.path(), &format!("--store {store}")).is_empty());
    dictrack_with(folder.path(), &["import", "--store", &store], export.clone()).good();
    assert_eq!(dictrack(folder.path(), &format!("export --store {store}")).good(), export);
}

#[test]
fn an_import_rejects_groups_that_a_cache_has() {
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", &documents(0, 8)), ("b.ndjson", &documents(1, 2))]);
    dictrack(folder.path(), &format!("{RUN} --store s.db in.ndjson")).good();
    dictrack(folder.path(), "export --store s.db ex.ndjson").good();
    let cache = redis("import");
    dictrack(folder.path(), &format!("{RUN} --cache {cache} b.ndjson")).good();
    for store in [mongo("cached"), "new.db".to_owned()] {
        let answer = dictrack(folder.path(), &format!("import --store {store} --cache {cache} ex.ndjson"));
        let words = "ex.ndjson: line 4: the cache already has the group \"b\"";
        assert!(answer.code == Some(1) && answer.error.contains(words), "{}", answer.error);
    }
    assert!(!folder.path().join("new.db").exists());
}

#[test]
fn the_overlay_shows_changes_that_the_store_lacks() {
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", &documents(0, 8)), ("more.ndjson", &documents(6, 11))]);
    let cache = redis("overlay");
    dictrack(folder.path(), &format!("{RUN} --store s.db in.ndjson")).good();
    let alone = dictrack(folder.path(), &format!("{RUN} --cache {cache} more.ndjson"));
    assert!(alone.error.contains("only Redis has the groups"), "{}", alone.error);
    // Only the cache counted c, d, a, b, c; of these versions, only that of c is above that of the store.
    assert_eq!(alone.json().as_map().map(|map| map.get("groups").unwrap().to_string()).as_deref(), Some("4"));
    let shown = listed(folder.path(), &format!("--cache {cache} --store s.db"));
    let store = listed(folder.path(), "--store s.db");
    assert_eq!((shown.len(), store), (4, each(2)));
    let cached = listed(folder.path(), &format!("--cache {cache}"));
    assert_eq!(cached.iter().map(|(_, count)| count).sum::<u64>(), 5);
    assert_eq!(
        dictrack(folder.path(), &format!("{RUN} --cache {cache} more.ndjson"))
            .json()
            .to_string()
            .matches("\"repeated\":5")
            .count(),
        1
    );
}

#[test]
fn two_runs_at_a_time_count_every_document_once() {
    let (cache, store) = (redis("fleet"), mongo("fleet"));
    // Half of the documents are in both inputs.
    let folder =
        folder(&[("t.toml", COUNTER), ("one.ndjson", &documents(0, 3000)), ("two.ndjson", &documents(1000, 4000))]);
    let start = |input: &str| {
        let line = format!("{RUN} --cache {cache} --store {store} {input}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_dictrack"));
        command.current_dir(folder.path()).args(line.split(' ')).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let summaries: Vec<Json> = ["one.ndjson", "two.ndjson"]
        .map(start)
        .into_iter()
        .map(|child| {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Json::parse(&output.stdout).unwrap()
        })
        .collect();
    let sum = |key: &str| summaries.iter().map(|summary| number(summary, key)).sum::<u64>();
    assert_eq!((sum("documents"), sum("repeated")), (6000, 2000));
    assert_eq!(summaries.iter().map(|summary| counted(summary, "n")).sum::<u64>(), 4000);
    for place in [format!("--store {store}"), format!("--cache {cache}")] {
        assert_eq!(listed(folder.path(), &place), each(1000), "{place}");
    }
}

#[test]
fn each_machine_has_its_own_marks_in_a_shared_deployment() {
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", &documents(0, 4))]);
    let (cache, store) = (redis("marks"), mongo("marks"));
    dictrack(folder.path(), &format!("{RUN} --cache {cache} --store {store} in.ndjson")).good();
    let export = dictrack(folder.path(), &format!("export --store {store}")).good();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert!(export.contains(&format!("{{\"mark\":\"input:{}:/", host.trim())), "{export}");
}

#[test]
fn a_run_with_a_cache_needs_ids_and_says_why() {
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", "{\"user\":\"a\"}\n")]);
    let answer = dictrack(
        folder.path(),
        &format!("run --trackers t.toml --group-by user --store s.db --cache {} in.ndjson", shared_redis()),
    );
    assert_eq!(answer.code, Some(1));
    for words in ["--cache needs --id PATH", "would count documents twice"] {
        assert!(answer.error.contains(words), "{}", answer.error);
    }
    assert!(!folder.path().join("s.db").exists());
}

#[test]
fn different_trackers_are_rejected_without_update() {
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", &documents(0, 4)), ("more.ndjson", &documents(4, 8))]);
    for (name, store) in [("up1", String::new()), ("up2", format!("--store {}", mongo("up")))] {
        std::fs::write(folder.path().join("t.toml"), COUNTER).unwrap();
        let run = format!("{RUN} --cache {} {store}", redis(name));
        dictrack(folder.path(), &format!("{run} in.ndjson")).good();
        std::fs::write(folder.path().join("t.toml"), COUNTER.replace("1000", "3000")).unwrap();
        let answer = dictrack(folder.path(), &format!("{run} more.ndjson"));
        assert!(answer.code == Some(1) && answer.error.contains("--update"), "{}", answer.error);
        dictrack(folder.path(), &format!("{run} --update more.ndjson")).good();
        assert_eq!(listed(folder.path(), &format!("--cache {}", redis(name))), each(2));
    }
}

#[test]
fn strict_stops_at_the_first_malformed_document_also_on_a_cache() {
    let lines = format!("{}{{\"user\":\"a\"}}\n{}", documents(0, 4), documents(4, 8));
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", &lines)]);
    let run = format!("{RUN} --cache {} --store s.db", redis("strict"));
    let answer = dictrack(folder.path(), &format!("{run} --strict in.ndjson"));
    assert!(answer.code == Some(1) && answer.error.contains("in.ndjson:5: no id at id"), "{}", answer.error);
    assert_eq!(listed(folder.path(), "--store s.db"), each(1));
    let summary = dictrack(folder.path(), &format!("{run} in.ndjson")).json();
    assert_eq!((number(&summary, "documents"), number(&summary, "malformed")), (4, 1));
}

#[test]
fn strict_stops_at_the_first_document_ahead_of_the_clock_also_on_a_cache() {
    let line = |id: u64, year: u64| format!("{{\"user\":\"a\",\"id\":{id},\"at\":\"{year}-01-01\"}}\n");
    let lines = [line(1, 2026), line(2, 9999), line(3, 2026)].concat();
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", &lines)]);
    let place = format!("--cache {} --store s.db", redis("ahead"));
    let run = |more: &str| dictrack(folder.path(), &format!("{RUN} --time at --ahead 1h {more} {place} in.ndjson"));
    let strict = run("--strict");
    assert_eq!((strict.code, listed(folder.path(), &place)), (Some(1), vec![("a".to_owned(), 1)]), "{}", strict.error);
    let summary = run("").json();
    assert_eq!(["documents", "ahead", "repeated"].map(|key| number(&summary, key)), [1, 1, 0]);
    assert_eq!(listed(folder.path(), &place), [("a".to_owned(), 2)]);
}

#[test]
fn attributes_are_set_in_every_store_and_cache() {
    let folder = folder(&[]);
    for place in [
        format!("--store {}", mongo("attributes")),
        format!("--cache {}", redis("attributes")),
        format!("--cache {} --store both.db", redis("attributes_both")),
    ] {
        let attributes = |words: &str| {
            dictrack(folder.path(), &format!("attributes a {words} --output json {place}")).json().to_string()
        };
        assert_eq!(attributes("zone=Asia/Tokyo plan=pro"), r#"{"zone":"Asia/Tokyo","plan":"pro"}"#, "{place}");
        assert_eq!(attributes("plan="), r#"{"zone":"Asia/Tokyo"}"#, "{place}");
        assert_eq!(attributes(""), r#"{"zone":"Asia/Tokyo"}"#, "{place}");
    }
    // The store has them too once the command is over.
    assert!(dictrack(folder.path(), "attributes a --store both.db").good().contains("Asia/Tokyo"));
}

/// Runs a command that fails within a few seconds and shows no password.
fn refused(folder: &Path, line: &str) -> Answer {
    let since = Stopwatch::start();
    let answer = dictrack(folder, line);
    let took = since.elapsed();
    assert_eq!(answer.code, Some(1), "{line}: {}", answer.out);
    assert!(took < Duration::from_millis(2_500), "{line} took {took:?}");
    assert!(!answer.error.contains(SECRET) && !answer.out.contains(SECRET), "{line}: {}", answer.error);
    assert!(!answer.error.contains("s3cret-W"), "{line}: {}", answer.error);
    assert!(answer.error.lines().any(|line| line.starts_with("dictrack: ")), "{line}: {}", answer.error);
    answer
}

#[test]
fn errors_of_a_server_do_not_show_its_password() {
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", &documents(0, 4))]);
    let locked = Redis::builder().password("other").start();
    let mongo = Mongo::with_password("admin", "other");
    // A server that accepts connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap();
    let login = format!("me:{SECRET}@");
    let encoded = "me:s3cret-W%C3%B6rd@";
    for (place, words) in [
        (format!("--cache redis://{encoded}127.0.0.1:1"), "Connection refused"),
        (format!("--cache redis://{encoded}{silent}"), "time"),
        (format!("--cache rediss://{encoded}{}", locked.address()), "Redis could not"),
        (format!("--cache redis-cluster://{encoded}{}", locked.address()), "Redis could not"),
        (format!("--cache redis://{encoded}{}", locked.address()), "the server rejected the login"),
        (format!("--cache redis://{}", locked.address()), "the server rejected the login"),
        (format!("--cache http://{login}h"), "unknown scheme \"http\"; expected redis://"),
        (format!("--cache {login}h"), "unknown scheme; expected redis://"),
        (format!("--cache redis://{login}h/x"), "database is not a number"),
        (format!("--cache redis://{login}h?pass=x"), "unknown option \"pass\""),
        (format!("--cache mongodb://{login}h"), "MongoDB is a store, not a cache"),
        (format!("--store redis://{login}h"), "Redis is a cache, not a store"),
        (format!("--store http://{login}h"), "unknown scheme \"http\"; expected a file, mongodb://"),
        (format!("--store mongodb://{encoded}127.0.0.1:1/x"), "Connection refused"),
        (format!("--store mongodb://{encoded}{silent}/x"), "MongoDB could not"),
        (format!("--store mongodb://{encoded}{}/x", mongo.address()), "Authentication failed"),
        (format!("--store mongodb://{login}h:port/x"), "expected mongodb://"),
    ] {
        let mut lines = vec![
            format!("show {place}"),
            format!("show a {place}"),
            format!("explain a {{}} {place}"),
            format!("export {place}"),
            format!("{RUN} {place} in.ndjson"),
        ];
        if place.starts_with("--store") {
            lines.push(format!("import {place} in.ndjson"));
        }
        for line in lines {
            let answer = refused(folder.path(), &line);
            assert!(answer.error.contains(words), "{line}: {}", answer.error);
        }
    }
}

#[test]
fn keys_of_another_program_are_reported_and_left() {
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", &documents(0, 4))]);
    let redis = Redis::start();
    let cache = format!("--cache {}", redis.url());
    dictrack(folder.path(), &format!("{RUN} {cache} in.ndjson")).good();
    let key = |group: &str| redis.cli(&["KEYS", &format!("dictrack:*:g:{group}")]);
    let (a, b) = (key("a"), key("b"));
    redis.cli(&["DEL", &a, &b]);
    redis.cli(&["HSET", &a, "foo", "bar"]);
    redis.cli(&["SET", &b, "text"]);
    for (group, words) in
        [("a", "the field \"foo\" is not one that dictrack writes"), ("b", "a type that dictrack does not write")]
    {
        let document = format!("{{\"user\":\"{group}\",\"id\":100}}\n");
        std::fs::write(folder.path().join("one.ndjson"), document).unwrap();
        for line in [
            format!("show {group} {cache}"),
            format!("explain {group} {{}} {cache}"),
            format!("show {cache}"),
            format!("export {cache}"),
            format!("{RUN} {cache} one.ndjson"),
        ] {
            let answer = refused(folder.path(), &line);
            // The list stops at the first of the two.
            if group == "a" || !line.starts_with("show --cache") && !line.starts_with("export") {
                assert!(answer.error.contains(words), "{line}: {}", answer.error);
            }
        }
    }
    assert_eq!((redis.cli(&["HGET", &a, "foo"]), redis.cli(&["GET", &b])), ("bar".to_owned(), "text".to_owned()));
}

/// A run that reads standard input, which grows.
struct Live {
    child: Child,
    input: Option<ChildStdin>,
    out: JoinHandle<Vec<u8>>,
    error: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
}

impl Live {
    fn start(folder: &Path, line: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dictrack"));
        command.current_dir(folder).args(line.split_whitespace());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (input, mut out, mut stderr) =
            (child.stdin.take(), child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let error = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&error);
        let reader = std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(read) = stderr.read(&mut chunk) {
                if read == 0 {
                    break;
                }
                kept.lock().unwrap().push_str(&String::from_utf8_lossy(&chunk[..read]));
            }
        });
        let out = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            out.read_to_end(&mut bytes).unwrap();
            bytes
        });
        Self { child, input, out, error, reader }
    }

    fn feed(&mut self, text: &str) {
        self.input.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn said(&self) -> String {
        self.error.lock().unwrap().clone()
    }

    fn interrupt(&self) {
        let status = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    fn end(mut self) -> Answer {
        drop(self.input.take());
        let status = self.child.wait().unwrap();
        self.reader.join().unwrap();
        let out = String::from_utf8(self.out.join().unwrap()).unwrap();
        let error = self.error.lock().unwrap().clone();
        assert!(!error.contains("panicked"), "{error}");
        Answer { code: status.code(), out, error }
    }
}

/// Counts, cuts the connection to a server for a while, and continues.
fn survives(folder: &Path, line: &str, proxy: &Proxy, backend: &str, place: &str) {
    let mut run = Live::start(folder, line);
    run.feed(&documents(0, 400));
    eventually("the first documents are counted", || listed(folder, place) == each(100));
    proxy.refuse(true);
    proxy.cut();
    run.feed(&documents(400, 800));
    eventually("the run says that the server is away", || run.said().contains("be reached"));
    // Long enough for many attempts.
    std::thread::sleep(Duration::from_secs(3));
    let away = run.said();
    proxy.refuse(false);
    eventually("the run says that the server is back", || run.said().contains("is back"));
    run.feed(&documents(800, 1200));
    let answer = run.end();
    assert_eq!(answer.code, Some(0), "{}", answer.error);
    assert!(away.lines().count() == 1 && away.contains(backend), "{away}");
    assert_eq!(answer.error.matches("is back").count(), 1, "{}", answer.error);
    assert_eq!(listed(folder, place), each(300));
    let summary = Json::parse(answer.out.as_bytes()).unwrap();
    assert_eq!(number(&summary, "documents"), 1200);
}

#[test]
fn an_unreachable_store_does_not_end_a_run() {
    let folder = folder(&[("t.toml", COUNTER)]);
    let mongo = Mongo::start();
    let proxy = Proxy::start(mongo.address());
    let direct = format!("{}away", mongo.url());
    let store = proxy.url_for(&direct);
    let place = format!("--store {direct}");
    survives(folder.path(), &format!("{RUN} --store {store} -"), &proxy, "MongoDB", &place);
}

#[test]
fn an_unreachable_store_does_not_end_a_run_with_a_cache() {
    let folder = folder(&[("t.toml", COUNTER)]);
    let mongo = Mongo::start();
    let proxy = Proxy::start(mongo.address());
    let direct = format!("{}away", mongo.url());
    let (store, cache) = (proxy.url_for(&direct), redis("away"));
    let place = format!("--store {direct}");
    survives(folder.path(), &format!("{RUN} --cache {cache} --store {store} -"), &proxy, "MongoDB", &place);
}

#[test]
fn an_unreachable_redis_does_not_end_a_run() {
    let folder = folder(&[("t.toml", COUNTER)]);
    let redis = Redis::start();
    let proxy = Proxy::start(redis.address());
    let cache = proxy.url_for(&redis.url());
    let place = format!("--cache {}", redis.url());
    survives(folder.path(), &format!("{RUN} --cache {cache} --store s.db -"), &proxy, "Redis", &place);
}

#[test]
fn an_interrupt_ends_a_run_whose_store_is_unreachable_and_the_next_one_resumes() {
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", &documents(0, 400))]);
    let mongo = Mongo::start();
    let proxy = Proxy::start(mongo.address());
    let direct = format!("{}away", mongo.url());
    for (cache, times) in [(String::new(), 1), (format!("--cache {}", redis("interrupt")), 2)] {
        proxy.refuse(false);
        let store = proxy.url_for(&direct);
        let mut run = Live::start(folder.path(), &format!("{RUN} {cache} --store {store} -"));
        run.feed("{\"user\":\"a\",\"id\":\"first\"}\n");
        eventually("the first document is counted", || !listed(folder.path(), &format!("--store {direct}")).is_empty());
        proxy.refuse(true);
        proxy.cut();
        run.feed(&documents(0, 400));
        eventually("the run says that the store is away", || run.said().contains("be reached"));
        run.interrupt();
        let since = Stopwatch::start();
        let answer = run.end();
        assert!(since.elapsed() < Duration::from_secs(14), "{:?}", since.elapsed());
        assert!(
            answer.error.contains("run again to continue") || answer.out.contains("\"interrupted\":true"),
            "{cache} {}",
            answer.error
        );
        // The store is free for the next run.
        let run = |store: &str| dictrack(folder.path(), &format!("{RUN} {cache} --store {store} in.ndjson"));
        eventually("another run may write", || run(&direct).code == Some(0));
        let shown = listed(folder.path(), &format!("--store {direct}"));
        assert_eq!(shown.iter().map(|(_, count)| count).sum::<u64>(), 401, "{cache} {times}");
        mongo.command("away", dictrack_testkit::bson::doc! {"dropDatabase": 1});
    }
}

#[test]
fn what_redis_loses_while_a_run_counts_is_counted_again() {
    let folder = folder(&[("t.toml", COUNTER)]);
    let redis = Redis::start();
    let store = mongo("lost");
    let mut run = Live::start(folder.path(), &format!("{RUN} --cache {} --store {store} -", redis.url()));
    for part in 0..40 {
        run.feed(&documents(part * 100, part * 100 + 100));
        if part % 4 == 3 {
            std::thread::sleep(Duration::from_millis(20));
            if part % 8 == 3 { redis.restart_empty() } else { drop(redis.cli(&["FLUSHALL"])) }
        }
    }
    let answer = run.end();
    assert_eq!(answer.code, Some(0), "{}", answer.error);
    assert_eq!(listed(folder.path(), &format!("--store {store}")), each(1000), "{}", answer.error);
}

/// Each document causes an event.
const EVERY: &str = r#"
[[trackers]]
name = "all"
kind = "count"
target = 1000000000

[[trackers]]
name = "each"
kind = "count"
target = 1
loop_forever = true
"#;

#[test]
fn a_killed_run_counts_nothing_twice_and_loses_no_event() {
    const KILLS: u64 = 8;
    let folder = folder(&[("t.toml", EVERY)]);
    let store = format!("--store {}", mongo("killed"));
    for (cache, store) in [(redis("killed"), store.as_str()), (redis("killed2"), "")] {
        let line = format!("run --trackers t.toml --group-by user --id id --output ndjson --cache {cache} {store} -");
        let kept = if store.is_empty() { format!("--cache {cache}") } else { store.to_owned() };
        let total = || listed(folder.path(), &kept).iter().map(|(_, count)| count).sum::<u64>();
        let mut heard = BTreeMap::new();
        let mut hear = |out: &str| {
            // A line that was cut by a kill was not printed.
            for line in out.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
                let id = at(&Json::parse(line.as_bytes()).unwrap(), "id").as_str().unwrap().to_owned();
                let before = heard.insert(id, line.to_owned());
                assert!(
                    before.as_ref().is_none_or(|before| before == line),
                    "an id with two contents: {before:?}, {line}"
                );
            }
        };
        let mut before = 0;
        for kill in 1..=KILLS {
            let mut run = Live::start(folder.path(), &line);
            // Each run gets all documents again, and then new ones.
            run.feed(&documents(0, kill * 400));
            eventually("the run has kept new documents", || total() > before);
            std::thread::sleep(Duration::from_millis(kill % 4 * 7));
            run.child.kill().unwrap();
            let answer = run.end();
            assert_eq!(answer.code, None, "{}", answer.error);
            hear(&answer.out);
            before = total();
        }
        let mut run = Live::start(folder.path(), &line);
        run.feed(&documents(0, 4000));
        let answer = run.end();
        assert_eq!(answer.code, Some(0), "{}", answer.error);
        hear(&answer.out);
        assert_eq!(listed(folder.path(), &format!("--cache {cache}")), each(1000), "{store}");
        let mut events: BTreeMap<String, u64> = BTreeMap::new();
        for line in heard.values() {
            let kind = at(&Json::parse(line.as_bytes()).unwrap(), "event").as_str().unwrap().to_owned();
            *events.entry(kind).or_default() += 1;
        }
        // One for each document, and two trackers were added to each of the four groups.
        assert_eq!(events.get("stage_completed"), Some(&4000), "{store}: {events:?}");
        assert_eq!(events.get("added"), Some(&8), "{store}: {events:?}");
    }
}

#[test]
fn the_doctor_reports_problems_and_exits_with_1_only_then() {
    let server = Redis::builder().password(SECRET).start();
    server.cli(&["CONFIG", "SET", "maxmemory", "100mb"]);
    server.cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let folder = folder(&[("t.toml", COUNTER)]);
    let line = format!("doctor --cache {} --store {}", server.url(), mongo("doctor"));
    let answer = dictrack(folder.path(), &line);
    assert_eq!((answer.code, answer.error.as_str()), (Some(1), ""), "{}", answer.out);
    for words in [
        "cache redis://",
        "round trip",
        "\n  ✗ eviction ",
        "\n      → CONFIG SET maxmemory-policy volatile-lru",
        "1 problem",
    ] {
        assert!(answer.out.contains(words), "{words}: {}", answer.out);
    }
    assert!(!answer.out.contains('\u{1b}'), "colours are for terminals: {}", answer.out);
    let answer = dictrack(folder.path(), &format!("{line} --output json"));
    let json = Json::parse(answer.out.as_bytes()).unwrap();
    assert_eq!(at(&json, "findings.0.code").as_str(), Some("eviction"), "{}", answer.out);
    assert!(at(&json, "examined.1.subject").as_str().unwrap().starts_with("store mongodb://"), "{}", answer.out);
    server.cli(&["CONFIG", "SET", "maxmemory-policy", "volatile-lru"]);
    let answer = dictrack(folder.path(), &line);
    assert_eq!((answer.code, answer.error.as_str()), (Some(0), ""), "{}", answer.out);
    let away = dictrack(folder.path(), &format!("doctor --cache redis://me:{SECRET}@127.0.0.1:1"));
    assert!(away.code == Some(1) && away.out.contains("✗ unreachable") && !away.out.contains(SECRET), "{}", away.out);
}
