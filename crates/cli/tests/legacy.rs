//! Imports what the real dictrack 2.1.5 wrote to real servers, and continues counting.
//!
//! `scripts/setup tests` installs 2.1.5 in its own Python environment; `crates/dictrack/tests/legacy/write.py` runs it.

#[allow(dead_code, reason = "each test file uses its part")]
mod command;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use command::{Answer, at, dictrack, dictrack_with, folder, repository};
use dictrack::json::{Json, Map};
use dictrack::{Blocking, Outcome, Tracked, TrackerDefinition};
use dictrack_testkit::bson::doc;
use dictrack_testkit::{Mongo, Redis};

/// Servers that 2.1.5 has written to, and a folder for stores.
struct Legacy {
    redis: Redis,
    mongo: Mongo,
    folder: tempfile::TempDir,
}

impl Legacy {
    fn start() -> Self {
        Self { redis: Redis::start(), mongo: Mongo::start(), folder: folder(&[]) }
    }

    /// Runs this command of the script with 2.1.5, and returns what it prints.
    fn python(&self, words: &[&str]) -> String {
        let given = std::env::var_os("DICTRACK_TEST_PYTHON_2_1_5").map(PathBuf::from);
        let python = given
            .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.servers/python-2.1.5/bin/python"));
        assert!(python.exists(), "{} is missing; run `scripts/setup tests`, which installs it", python.display());
        let mut command = Command::new(python);
        command.arg(repository("crates/dictrack/tests/legacy/write.py"));
        command.args([self.redis.port().to_string(), self.mongo.port().to_string()]).args(words);
        let output = command.env("PYTHONDONTWRITEBYTECODE", "1").output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Imports from both servers.
    fn import(&self, more: &str) -> Answer {
        self.import_from(&[&self.redis.url(), &self.mongo.url()], more)
    }

    fn import_from(&self, urls: &[&str], more: &str) -> Answer {
        let mut words = vec!["import"];
        words.extend(urls.iter().flat_map(|url| ["--from-dictrack", url]));
        words.extend(more.split_whitespace());
        dictrack_with(self.folder.path(), &words, "")
    }

    /// The contents of a store, by group and tracker: the definition without its name, and the state without its generation.
    fn export(&self, store: &str) -> BTreeMap<String, BTreeMap<String, Json>> {
        let text = dictrack(self.folder.path(), &format!("export --store {store}")).good();
        let mut sets = BTreeMap::new();
        let mut groups = BTreeMap::new();
        for line in text.lines() {
            let json = Json::parse(line.as_bytes()).unwrap();
            let map = json.as_map().unwrap();
            let member = |key: &str| map.get(key).and_then(Json::as_str).map(str::to_owned);
            if let Some(hash) = member("definitions") {
                sets.insert(hash, at(&json, "trackers").as_list().unwrap().to_vec());
            }
            let Some(group) = member("group") else { continue };
            assert_eq!([at(&json, "ids"), at(&json, "events"), at(&json, "completed")].map(Json::to_string), ["[]"; 3]);
            let state = at(&json, "state");
            let definitions = &sets[at(state, "set").as_str().unwrap()];
            let trackers = definitions.iter().zip(at(state, "trackers").as_list().unwrap());
            groups.insert(group, trackers.map(|(definition, state)| tracker(definition, state)).collect());
        }
        groups
    }

    /// The lines of an export, by group.
    fn export_all(&self, store: &str) -> BTreeMap<String, String> {
        let text = dictrack(self.folder.path(), &format!("export --store {store}")).good();
        let lines = text.lines().map(|line| (Json::parse(line.as_bytes()).unwrap(), line.to_owned()));
        let group = |json: &Json| json.as_map().unwrap().get("group").and_then(Json::as_str).map(str::to_owned);
        // Without the checksum, which depends on the position of the line.
        let alone = |line: String| line.split(",\"check\":").next().unwrap_or_default().to_owned();
        lines.filter_map(|(json, line)| Some((group(&json)?, alone(line)))).collect()
    }

    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

fn tracker(definition: &Json, state: &Json) -> (String, Json) {
    let fields = definition.as_map().unwrap().iter().filter(|(key, _)| *key != "name");
    let fields: Map = fields.map(|(key, value)| (key.into(), value.clone())).collect();
    let state = state.as_list().unwrap()[1..].to_vec();
    (at(definition, "name").as_str().unwrap().to_owned(), Json::List(vec![fields.into(), state.into()]))
}

/// The expected result of importing `write`, given the clock of 2.1.5.
fn expected(said: &Json) -> BTreeMap<String, BTreeMap<String, Json>> {
    let mut text = std::fs::read_to_string(repository("crates/dictrack/tests/legacy/expected.json")).unwrap();
    let seconds = |name: &str| at(said, name).to_string().parse::<i64>().unwrap();
    let moved = seconds("moved_to");
    let moments = [("moved", moved), ("moved_end", moved + 4_000_000_000), ("in_an_hour", seconds("in_an_hour"))];
    for (name, moment) in moments {
        text = text.replace(&format!("\"${name}\""), &moment.to_string());
        text = text.replace(&format!("\"${name}.micros\""), &(moment * 1_000_000).to_string());
    }
    let json = Json::parse(text.as_bytes()).unwrap();
    let trackers = |group: &Json| {
        let trackers = group.as_map().unwrap().iter();
        trackers.map(|(name, tracker)| (name.to_owned(), tracker.clone())).collect()
    };
    json.as_map().unwrap().iter().map(|(id, group)| (id.to_owned(), trackers(group))).collect()
}

#[test]
fn data_of_2_1_5_is_imported_and_counting_continues() {
    let legacy = Legacy::start();
    let said = Json::parse(legacy.python(&["write"]).as_bytes()).unwrap();
    let before = documents(&legacy);
    legacy.redis.cli(&["CONFIG", "RESETSTAT"]);
    let answer = legacy.import("--store s.db");
    assert_eq!(
        answer.error,
        "not imported: group \"left_over\", tracker \"gone\": MongoDB has this tracker, but Redis has the group without it\n\
         imported 18 groups with 783 trackers, skipped 1 tracker\n\
         1 tracker had passed targets that 2.1.5 does not store: only the remaining targets are known\n"
    );
    assert_eq!(answer.good(), "");
    assert_eq!(documents(&legacy), before, "MongoDB is only read");
    let commands = legacy.redis.cli(&["INFO", "commandstats"]);
    let commands = commands.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(':'));
    let mut commands: Vec<_> = commands.map(|(name, _)| name).collect();
    commands.sort_unstable();
    // None of these changes anything or blocks Redis.
    assert_eq!(commands, ["config|resetstat", "hscan", "scan", "type"]);

    let mut groups = legacy.export("s.db");
    let large = groups.remove("large").unwrap();
    assert_eq!(large.len(), 700);
    let counted = r#"[{"kind":"count","target":10,"conditions":[{"key":"a","exists":true}]},[1,0]]"#;
    assert!(large.values().all(|tracker| tracker.to_string() == counted));
    let expected = expected(&said);
    for (id, trackers) in &expected {
        for (name, tracker) in trackers {
            assert_eq!(groups[id].get(name), Some(tracker), "group {id}, tracker {name}");
        }
    }
    assert_eq!(groups, expected);

    // The result is the same in an existing store, in one commit.
    std::fs::write(legacy.folder.path().join("one.ndjson"), "{\"user\":\"other\"}\n").unwrap();
    std::fs::write(legacy.folder.path().join("t.toml"), command::COUNTER).unwrap();
    dictrack(legacy.folder.path(), "run --trackers t.toml --group-by user --store there.db one.ndjson").good();
    legacy.import("--store there.db").good();
    let mut there = legacy.export_all("there.db");
    assert!(there.remove("other").is_some());
    assert_eq!(there, legacy.export_all("s.db"));

    goes_on(&legacy);
}

fn documents(legacy: &Legacy) -> String {
    legacy.mongo.command("dictrack", doc! {"dbHash": 1}).get_document("collections").unwrap().to_string()
}

/// Both count the same further documents, with the same results.
fn goes_on(legacy: &Legacy) {
    let manager = Blocking::open(legacy.folder.path().join("s.db")).unwrap();
    let mut lines = 0;
    for line in legacy.python(&["track"]).lines() {
        let line = Json::parse(line.as_bytes()).unwrap();
        let group = at(&line, "group").as_str().unwrap();
        let outcome = manager.track(group, at(&line, "document")).unwrap();
        for (what, names) in [
            ("dirtied", names(&outcome, Outcome::dirtied)),
            ("completed", names(&outcome, Outcome::completed)),
            ("limited", names(&outcome, Outcome::limited)),
        ] {
            assert_eq!(at(&line, what).to_string(), names.to_string(), "{what} of {line}");
        }
        let trackers = manager.trackers(group).unwrap();
        let expected = at(&line, "progress").as_map().unwrap();
        assert_eq!(trackers.len(), expected.len(), "{line}");
        for tracker in trackers {
            let definition = &tracker.definition;
            // 2.1.5 adds floats, and if progress does not restart at a stage, it does not restart at a new loop either.
            let cycles = if definition.reset_policy().progress { 0 } else { tracker.cycle };
            let passed = definition.targets().last().unwrap().to_f64() * cycles as f64;
            let progress: f64 = expected.get(tracker.name()).unwrap().as_str().unwrap().parse().unwrap();
            let difference = tracker.progress.to_f64() + passed - progress;
            assert!(difference.abs() < 1e-9, "{}: {} of {line}", tracker.name(), tracker.progress);
        }
        lines += 1;
    }
    assert_eq!(lines, 45);
    manager.close().unwrap();
}

fn names<'o, T: Iterator<Item = Tracked<'o>>>(outcome: &'o Outcome, which: impl Fn(&'o Outcome) -> T) -> Json {
    let mut names: Vec<_> = which(outcome).map(|tracker| tracker.name().to_owned()).collect();
    names.sort();
    Json::List(names.into_iter().map(Json::from).collect())
}

/// The messages about the trackers of `refused` that cannot be imported.
const REFUSED: [&str; 19] = [
    "group \"hot\", tracker \"vip\", byte 112: the Python name \"__main__.VipOnly\" does not belong to dictrack 2.1.5",
    "group \"idle_loop\", tracker \"loop\": `loop_forever` with passed targets that are no longer stored",
    "group \"mixed\", tracker \"\": its definition is not valid here: name: a string \"\"; expected a non-empty string",
    "group \"mixed\", tracker \"backwards\", byte 252: TimeLimiter ends before it starts",
    "group \"mixed\", tracker \"bytes\", byte 221: the Python name \"_codecs.encode\" does not belong to dictrack 2.1.5",
    "group \"mixed\", tracker \"custom_condition\", byte 125: the Python name \"__main__.VipOnly\" does not belong to dictrack 2.1.5",
    "group \"mixed\", tracker \"custom_limiter\", byte 218: the Python name \"__main__.WeekendLimiter\" does not belong to dictrack",
    "group \"mixed\", tracker \"custom_tracker\", byte 16: the Python name \"__main__.RevenueTracker\" does not belong to dictrack",
    "group \"mixed\", tracker \"day\", byte 250: `value` is a timedelta",
    "group \"mixed\", tracker \"empty_key\", byte 166: `key` is the string \"a..b\"; expected a path without empty segments",
    "group \"mixed\", tracker \"endless\", byte 230: `target` is the number inf; expected a finite number",
    "group \"mixed\", tracker \"falling_loop\": its definition is not valid here: target: these targets cannot loop",
    "group \"mixed\", tracker \"far\", byte 226: `target` is the number 1000000000000000000000; expected a number between",
    "group \"mixed\", tracker \"not_a_number\", byte 235: `target` is the number NaN; expected a finite number",
    "group \"mixed\", tracker \"nothing_in\", byte 192: `value` is empty; expected a non-empty list or tuple",
    "group \"mixed\", tracker \"number_key\", byte 167: `key` is the number 1; expected a string",
    "group \"mixed\", tracker \"order_of_none\", byte 229: `value` is None; expected a number or a string",
    "group \"mixed\", tracker \"text_target\", byte 258: `multi_target` is the string \"2\"; expected a finite number",
    "group \"mixed\", tracker \"tuple\", byte 225: `value` is a tuple; expected None, a boolean, a number or a string",
];

#[track_caller]
fn assert_refused(error: &str) {
    let lines: Vec<_> = error.lines().filter_map(|line| line.strip_prefix("not imported: ")).collect();
    assert_eq!(lines.len(), REFUSED.len(), "{error}");
    for (line, expected) in lines.iter().zip(REFUSED) {
        assert!(line.starts_with(expected), "{line}\n{expected}");
    }
}

#[test]
fn everything_is_imported_or_nothing_unless_unreadable_trackers_are_skipped() {
    let legacy = Legacy::start();
    legacy.python(&["refused"]);
    let answer = legacy.import("--store s.db");
    assert_eq!(answer.code, Some(1));
    assert_refused(&answer.error);
    let end = "dictrack: 19 trackers of dictrack 2.1.5 cannot be imported, so nothing was; \
               use --skip-unreadable to import the others\n";
    assert!(answer.error.ends_with(end), "{}", answer.error);
    assert_eq!(legacy.files(), Vec::<String>::new(), "no store is made");

    let answer = legacy.import("--store s.db --skip-unreadable");
    assert_refused(&answer.error);
    assert!(answer.error.ends_with("imported 3 groups with 3 trackers, skipped 19 trackers\n"), "{}", answer.error);
    answer.good();
    let groups = legacy.export("s.db");
    let trackers: Vec<_> =
        groups.iter().flat_map(|(id, group)| group.keys().map(move |name| (&**id, &**name))).collect();
    assert_eq!(trackers, [("good", "good"), ("hot", "good"), ("mixed", "good")]);

    // A store that has one of the groups, or that exists when something is rejected, does not change.
    let before = legacy.export_all("s.db");
    let again = legacy.import("--store s.db --skip-unreadable");
    assert_eq!(again.code, Some(1));
    assert!(again.error.contains("dictrack: s.db: the store already has the group \"hot\""), "{}", again.error);
    assert_eq!(legacy.import("--store s.db").code, Some(1));
    assert_eq!(legacy.export_all("s.db"), before);
}

#[test]
fn one_server_and_other_names_are_enough() {
    let legacy = Legacy::start();
    legacy.python(&["named"]);
    let names = "--data-key sh[o]p*:? --database shop --collection quests";
    let (redis, mongo) = (format!("{}/3", legacy.redis.url()), legacy.mongo.url());
    let import = |urls: &[&str], store: &str| legacy.import_from(urls, &format!("--store {store} {names}"));
    let counted = r#"[{"kind":"count","target":10,"conditions":[{"key":"a","exists":true}]},"#;
    let state = |store: &str, group: &str| {
        let tracker = legacy.export(store).get(group)?.get("n")?.to_string();
        Some(tracker.strip_prefix(counted).unwrap().to_owned())
    };
    let (fresh, hot, expiring) =
        (r#"[0,0]]"#, r#"[1,0]]"#, |progress: u8| format!(r#"[{progress},0,{{"expire_at":4000000000000000}}]]"#));

    let answer = import(&[&redis, &mongo], "both.db");
    assert_eq!(answer.error, "imported 2 groups with 2 trackers\n");
    assert_eq!(state("both.db", "hot"), Some(expiring(1)));
    assert_eq!(state("both.db", "cold").as_deref(), Some(fresh));

    let answer = import(&[&redis], "redis.db");
    let end =
        "without MongoDB, it is unknown when trackers expire: none of them will\nimported 1 group with 1 tracker\n";
    assert_eq!(answer.error, end);
    assert_eq!((state("redis.db", "hot").as_deref(), state("redis.db", "cold")), (Some(hot), None));

    let answer = import(&[&mongo], "mongo.db");
    let end = "without Redis, the counts since a group was last idle for six hours are missing\n\
               imported 2 groups with 2 trackers\n";
    assert_eq!(answer.error, end);
    assert_eq!((state("mongo.db", "hot"), state("mongo.db", "cold").as_deref()), (Some(expiring(0)), Some(fresh)));

    // There is nothing under the default names.
    let answer = legacy.import("--store none.db");
    let problem = "dictrack: no data of dictrack 2.1.5 found: no Redis hash \"dictrack.data_cache\":GROUP, \
                   no document in the MongoDB collection \"data_store\" of the database \"dictrack\"\n";
    assert_eq!((answer.code, &*answer.error), (Some(1), problem));
}

#[test]
fn many_groups_come_in_pages() {
    let legacy = Legacy::start();
    legacy.python(&["many", "500"]);

    // If a server fails during the import, nothing is left behind.
    let fails = doc! {"failCommands": ["getMore"], "errorCode": 8000};
    legacy.mongo.fail_command(doc! {"mode": "alwaysOn", "data": fails});
    let answer = legacy.import("--store s.db");
    let place = format!("dictrack: MongoDB at {}: ", legacy.mongo.address());
    assert!(answer.code == Some(1) && answer.error.starts_with(&place), "{}", answer.error);
    assert_eq!(legacy.files(), Vec::<String>::new());
    legacy.mongo.fail_no_command();

    let answer = legacy.import("--store s.db");
    assert_eq!(answer.error, "imported 500 groups with 1,500 trackers\n");
    let groups = legacy.export("s.db");
    assert_eq!(groups.len(), 500);
    for (at, (id, trackers)) in groups.into_iter().enumerate() {
        assert_eq!(id, format!("user_{at:07}"));
        let states: Vec<_> = trackers.values().map(|tracker| tracker.as_list().unwrap()[1].to_string()).collect();
        let quota = |remaining: u8| {
            format!(r#"[{},0,{{"limiters":[{{"limit":100,"remaining":{remaining}}}]}}]"#, 100 - remaining)
        };
        let expected = if at % 2 == 0 {
            ["[0,0]".to_owned(), quota(100), "[0,0]".to_owned()]
        } else {
            ["[0,0]".to_owned(), quota(99), "[12.5,0]".to_owned()]
        };
        assert_eq!(states, expected, "{id}");
    }
    let sets = dictrack(legacy.folder.path(), "export --store s.db").good();
    assert_eq!(sets.matches("{\"definitions\":").count(), 1, "they share their definitions");

    // Generations that the store used before it was flushed are not used again.
    let manager = Blocking::open(legacy.folder.path().join("used.db")).unwrap();
    let before = TrackerDefinition::count("before").target(1).build().unwrap();
    manager.add_tracker("user_0000000", before).unwrap();
    manager.flush(true).unwrap();
    manager.close().unwrap();
    drop(manager);
    legacy.import("--store used.db").good();
    let group = &legacy.export_all("used.db")["user_0000000"];
    assert!(group.contains(r#""generation":4,"#) && group.contains(r#""trackers":[[2,0,0],[3,0,0,{"#), "{group}");
}

#[test]
fn records_of_other_shapes_are_rejected_by_name() {
    let legacy = Legacy::start();
    legacy.redis.cli(&["SET", "dictrack.data_cache:text", "x"]);
    legacy.redis.cli(&["RPUSH", "dictrack.data_cache:list", "x"]);
    legacy.redis.cli(&["HSET", "dictrack.data_cache:hash", "tracker", "x"]);
    let insert = doc! {"insert": "data_store", "documents": [
        {"_id": 1, "group_id": "g", "name": "none"},
        {"_id": 2, "group_id": "g", "name": "text", "b_tracker": "x"},
        {"_id": 3, "group_id": "g", "b_tracker": "x"},
        {"_id": 4, "group_id": 5, "name": "number"},
        {"_id": 5, "group_id": "g", "name": "expires", "expire_ts": "soon"},
        {"_id": 6, "group_id": "hash", "name": "tracker", "expire_ts": 1.5},
        {"_id": 7},
    ]};
    legacy.mongo.command("dictrack", insert);
    let answer = legacy.import("--store s.db");
    let mut lines: Vec<_> = answer.error.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "dictrack: 9 trackers of dictrack 2.1.5 cannot be imported, so nothing was; use --skip-unreadable to import the others",
            "not imported: group \"\", tracker \"number\": document Int32(4) lacks the string `group_id` or `name`",
            "not imported: group \"\": document Int32(7) lacks the string `group_id` or `name`",
            "not imported: group \"g\", tracker \"expires\": `expire_ts` of its document is not a whole number of seconds since 1970",
            "not imported: group \"g\", tracker \"none\": its document has no binary field `b_tracker`",
            "not imported: group \"g\", tracker \"text\": its document has no binary field `b_tracker`",
            "not imported: group \"g\": document Int32(3) lacks the string `group_id` or `name`",
            "not imported: group \"hash\", tracker \"tracker\": `expire_ts` of its document is not a whole number of seconds since 1970",
            "not imported: group \"list\": the key dictrack.data_cache:list is a list; expected a hash",
            "not imported: group \"text\": the key dictrack.data_cache:text is a string; expected a hash",
        ]
    );
    assert_eq!(legacy.files(), Vec::<String>::new());
}

#[test]
fn servers_that_do_not_answer_are_named_without_their_passwords() {
    let legacy = Legacy::start();
    let refused = |urls: &[&str]| {
        let answer = legacy.import_from(urls, "--store s.db");
        assert_eq!(answer.code, Some(1), "{}", answer.error);
        assert!(!answer.error.contains("s3cret"), "{}", answer.error);
        assert_eq!(legacy.files(), Vec::<String>::new());
        answer.error
    };
    let secured = Redis::builder().password("other").start();
    let error = refused(&[&format!("redis://:s3cret@{}", secured.address())]);
    assert!(error.starts_with(&format!("dictrack: Redis at {}: ", secured.address())), "{error}");
    let error = refused(&["redis://:s3cret@:port"]);
    assert_eq!(error, "dictrack: Redis URL: invalid client config; expected redis://HOST:PORT/NUMBER\n");
    let tls = Redis::builder().tls().start();
    let error = refused(&[&tls.url()]);
    assert!(error.starts_with(&format!("dictrack: Redis at {}: ", tls.address())), "{error}");
    let error = refused(&[&format!("mongodb://user:s3cret@{}", legacy.mongo.address())]);
    assert!(error.starts_with(&format!("dictrack: MongoDB at {}: ", legacy.mongo.address())), "{error}");
    let error = refused(&["mongodb://user:s3cret@:"]);
    assert!(error.starts_with("dictrack: MongoDB URL: "), "{error}");
    legacy.mongo.kill();
    let error = refused(&[&format!("{}/?serverSelectionTimeoutMS=300", legacy.mongo.url().trim_end_matches('/'))]);
    assert!(error.starts_with(&format!("dictrack: MongoDB at {}: ", legacy.mongo.address())), "{error}");
    let error = refused(&["http://user:s3cret@host"]);
    assert_eq!(error, "dictrack: --from-dictrack: expected redis://… or mongodb://…\n");
    let error = refused(&[&legacy.redis.url(), &legacy.redis.url()]);
    assert_eq!(error, "dictrack: --from-dictrack: expected up to one Redis URL and one MongoDB URL\n");
    let both =
        dictrack_with(legacy.folder.path(), &["import", "--from-dictrack", "redis://x", "--store", "s.db", "in"], "");
    assert_eq!(both.code, Some(2), "{}", both.error);
}
