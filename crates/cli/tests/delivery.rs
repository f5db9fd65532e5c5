//! Events of killed runs, one or several at a time: every event is printed, and an id has one content.
//!
//! Each kill comes after the run has kept new work. The long version is one command:
//!
//! ```text
//! DICTRACK_CRASH_KILLS=200 cargo test -p dictrack-cli --all-features --test delivery
//! ```

#[allow(dead_code, reason = "each test file uses its part")]
mod command;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use command::{at, dictrack, folder, number};
use dictrack::json::Json;
use dictrack::{Durability, Manager, SqliteStore, Timestamp, group::Differing, manager::Submission};
use dictrack_testkit::{Redis, eventually, shared_mongodb};

fn kills(default: u64) -> u64 {
    std::env::var("DICTRACK_CRASH_KILLS").map_or(default, |text| text.parse().expect("DICTRACK_CRASH_KILLS"))
}

/// The generator SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (z ^ (z >> 27)) % bound
    }
}

fn field(line: &str, name: &str) -> String {
    let json = Json::parse(line.as_bytes()).unwrap_or_else(|error| panic!("{line}: {error}"));
    at(&json, name).as_str().unwrap().to_owned()
}

/// Collects lines by the id of their event; an id with two contents fails.
fn collect(seen: &mut BTreeMap<String, String>, lines: Vec<String>) {
    for line in lines {
        let before = seen.insert(field(&line, "id"), line.clone());
        assert!(before.as_ref().is_none_or(|before| *before == line), "an id with two contents: {before:?}, {line}");
    }
}

/// A run whose input grows.
struct Live {
    child: Child,
    input: Option<ChildStdin>,
    out: Option<JoinHandle<Vec<String>>>,
    error: Option<JoinHandle<String>>,
}

impl Live {
    fn start(folder: &Path, line: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dictrack"));
        command.current_dir(folder).args(line.split_whitespace());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (input, stdout, stderr) = (child.stdin.take(), child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let out = Some(std::thread::spawn(move || {
            let text = std::io::read_to_string(stdout).unwrap();
            // A line that was cut by a kill was not printed.
            text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::to_owned).collect()
        }));
        let error = Some(std::thread::spawn(move || std::io::read_to_string(stderr).unwrap()));
        Self { child, input, out, error }
    }

    fn feed(&mut self, documents: &[Document]) {
        let text: String = documents.iter().map(Document::line).collect();
        if let Err(error) = self.input.as_mut().unwrap().write_all(text.as_bytes()) {
            let status = self.child.wait().unwrap();
            panic!("{error}, {status}: {}", self.error.take().unwrap().join().unwrap());
        }
    }

    /// Kills it or lets it end, and returns what it printed.
    fn end(mut self, killed: bool) -> Vec<String> {
        if killed {
            self.child.kill().unwrap();
        }
        drop(self.input.take());
        let status = self.child.wait().unwrap();
        let error = self.error.take().unwrap().join().unwrap();
        assert!(status.code() == if killed { None } else { Some(0) }, "{status}: {error}");
        self.out.take().unwrap().join().unwrap()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // A test that fails has stopped the servers, and the run would wait for them.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Clone)]
struct Document {
    group: String,
    number: u64,
}

impl Document {
    fn line(&self) -> String {
        let Self { group, number } = self;
        format!("{{\"user\":\"{group}\",\"id\":{number},\"at\":{number}}}\n")
    }
}

/// Each document of a group causes an event that contains its time, so a different order gives a different content.
const TRACKERS: &str = r#"
[[trackers]]
name = "each"
kind = "count"
target = 1
loop_forever = true

[[trackers]]
name = "all"
kind = "count"
target = 1000000000
"#;

/// Runs that count at the same time.
const RUNS: usize = 3;
/// Documents of one turn of a run: for groups that all runs share, and for a group of its own.
const TURN: (u64, u64) = (20, 2);

/// What runs were given.
struct Given {
    random: Random,
    all: Vec<Document>,
    /// What each run was given, in order.
    runs: [Vec<Document>; RUNS],
    /// How many documents each run had for its own group.
    alone: [u64; RUNS],
}

impl Given {
    /// Waits a random number of milliseconds.
    fn pause(&mut self, longest: u64) {
        std::thread::sleep(Duration::from_millis(self.random.below(longest)));
    }

    /// Gives each run new documents; some reach two runs.
    fn turn(&mut self, live: &mut [Live]) {
        for run in 0..RUNS {
            let mut turn = Vec::new();
            for at in 0..TURN.0 + TURN.1 {
                let own = at >= TURN.0;
                let group = if own { format!("own{run}") } else { format!("all{}", self.random.below(2)) };
                turn.push(Document { group, number: (self.all.len() + turn.len()) as u64 });
            }
            self.alone[run] += TURN.1;
            self.all.extend(turn.iter().cloned());
            let mut also = turn[..TURN.0 as usize].to_vec();
            also.retain(|_| self.random.below(4) == 0);
            for (run, documents) in [(run, turn), ((run + 1) % RUNS, also)] {
                live[run].feed(&documents);
                self.runs[run].extend(documents);
            }
        }
    }
}

#[test]
fn every_event_is_printed_with_one_content_over_kills_of_any_run_and_losses_of_redis() {
    let kills = kills(15);
    let redis = Redis::start();
    let url = shared_mongodb();
    let (place, options) = url.split_once('?').unwrap_or((&url, ""));
    let store = format!("{}/delivery_{}?{options}", place.trim_end_matches('/'), std::process::id());
    let folder = folder(&[("t.toml", TRACKERS)]);
    let line = format!(
        "run --trackers t.toml --group-by user --id id --time at --output ndjson --cache {} --store {store} -",
        redis.url()
    );
    let kept = |run: usize| {
        let shown = dictrack(folder.path(), &format!("show own{run} --output json --store {store}"));
        if shown.code == Some(0) { number(&shown.json(), "trackers.1.progress") } else { 0 }
    };

    let mut given = Given { random: Random(kills), all: Vec::new(), runs: Default::default(), alone: [0; RUNS] };
    // What each run had for its own group before the current process started.
    let mut before = [0; RUNS];
    let mut live: Vec<Live> = (0..RUNS).map(|_| Live::start(folder.path(), &line)).collect();
    let mut seen = BTreeMap::new();
    let mut losses = 0;
    for kill in 0..kills {
        given.turn(&mut live);
        if kill % 2 == 0 {
            given.pause(20);
            if kill % 4 == 2 {
                redis.restart_empty()
            } else {
                drop(redis.cli(&["FLUSHALL"]))
            }
            losses += 1;
        }
        let victim = (kill + kill / 3) as usize % RUNS;
        eventually("the run that is to be killed has kept new documents", || kept(victim) > before[victim]);
        // So that it is at work.
        given.turn(&mut live);
        given.pause(25);
        before[victim] = given.alone[victim];
        live[victim].child.kill().unwrap();
        let mut next = Live::start(folder.path(), &line);
        next.feed(&given.runs[victim]);
        collect(&mut seen, std::mem::replace(&mut live[victim], next).end(true));
        if kill % 3 == 1 {
            // While the new run prints what the killed one left.
            given.pause(150);
            redis.cli(&["FLUSHALL"]);
            losses += 1;
        }
    }
    for run in live {
        collect(&mut seen, run.end(false));
    }
    // What the last killed runs left.
    collect(&mut seen, Live::start(folder.path(), &line).end(false));
    println!("{kills} kills, each after new work; Redis lost all {losses} times; {} events", seen.len());
    assert!(losses > 0);

    let oracle = Manager::in_memory().blocking();
    let list = oracle.tracker_list(dictrack::files::read(&folder.path().join("t.toml")).unwrap()).unwrap();
    let mut expected = BTreeSet::new();
    let mut moments: HashMap<String, BTreeSet<String>> = HashMap::new();
    for document in &given.all {
        let now = Timestamp::from_secs(document.number as i64);
        let json = Json::parse(document.line().as_bytes()).unwrap();
        let submission = Submission::new(&document.group, &json).at(now).ensure(&list, Differing::Refuse);
        let outcome = oracle.track_one(submission).unwrap();
        expected.extend(outcome.events().iter().map(|event| event.id().to_string()));
        moments.entry(document.group.clone()).or_default().insert(now.to_string());
    }
    let ids: BTreeSet<String> = seen.keys().cloned().collect();
    let missing: Vec<_> = expected.difference(&ids).collect();
    assert!(missing.is_empty() && ids.len() == expected.len(), "{} of {} missing", missing.len(), expected.len());
    // Each document caused exactly one event in its group.
    let mut told: HashMap<String, BTreeSet<String>> = HashMap::new();
    for line in seen.values().filter(|line| field(line, "event") == "stage_completed") {
        let is_new = told.entry(field(line, "group")).or_default().insert(field(line, "occurred_at"));
        assert!(is_new, "a document with two events: {line}");
    }
    assert_eq!(told, moments);
}

#[test]
fn events_that_an_earlier_run_left_are_printed_however_soon_each_run_is_killed() {
    const GROUPS: u64 = 2_000;
    const OF_ONE: u64 = 6_000;
    /// A run is killed when this many lines of it were read.
    const READ: usize = 2_000;

    let folder = folder(&[("t.toml", TRACKERS), ("in.ndjson", "{\"user\":\"new\"}\n")]);
    let path = folder.path().join("s.db");
    let open = || {
        let builder = Manager::builder().durability(Durability::Interval(Duration::from_secs(1))).keep_events();
        pollster::block_on(builder.store(SqliteStore::open(&path).unwrap()).open()).unwrap().blocking()
    };
    let left = || {
        let manager = open();
        let left = manager.undelivered().unwrap();
        manager.close().unwrap();
        left
    };
    {
        let manager = open();
        let list = manager.tracker_list(dictrack::files::read(&folder.path().join("t.toml")).unwrap()).unwrap();
        let document = Json::parse(b"{}").unwrap();
        let groups = (0..GROUPS).map(|group| format!("g{group}"));
        for group in groups.chain((0..OF_ONE).map(|_| "one".to_owned())) {
            manager.track_one(Submission::new(&group, &document).ensure(&list, Differing::Refuse)).unwrap();
        }
        manager.close().unwrap();
    }
    let mut remaining = left();
    let all: BTreeSet<String> = remaining.iter().map(|event| event.id().to_string()).collect();
    // Each group got its two trackers, too.
    assert_eq!(all.len() as u64, 3 * GROUPS + OF_ONE + 2);

    let mut seen = BTreeMap::new();
    let (mut printed, mut killed) = (0, 0);
    loop {
        let line = "run --trackers t.toml --group-by user --store s.db --output ndjson in.ndjson";
        let mut command = Command::new(env!("CARGO_BIN_EXE_dictrack"));
        let mut child =
            command.current_dir(folder.path()).args(line.split(' ')).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = Vec::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while out.read_line(&mut line).unwrap() > 0 {
            // A line that was cut by the kill was not printed.
            lines.extend(line.strip_suffix('\n').map(str::to_owned));
            line.clear();
            if lines.len() % 50 == 0 {
                std::thread::sleep(Duration::from_millis(2));
            }
            if lines.len() == READ {
                // What it had written is still there.
                child.kill().unwrap();
            }
        }
        printed += lines.len();
        collect(&mut seen, lines);
        let status = child.wait().unwrap();
        if status.code().is_some() {
            assert!(status.success());
            break;
        }
        killed += 1;
        let now = left();
        assert!(
            now.len() < remaining.len(),
            "a run that is killed after {READ} lines makes no progress: {}",
            now.len()
        );
        // The last run may have written everything before it was killed, and then counted the new document.
        let printed_all = all.iter().all(|id| seen.contains_key(id));
        let new = now.iter().filter(|event| !all.contains(&event.id().to_string())).count();
        assert!(new == 0 || printed_all, "documents were counted before earlier events were printed");
        remaining = now;
    }
    println!("{killed} kills, {printed} lines for {} events", all.len());
    assert!(killed >= 3, "{killed}");
    assert!(all.iter().all(|id| seen.contains_key(id)), "{} of {}", seen.len(), all.len());
    assert!(printed < 3 * all.len(), "{printed} lines for {} events", all.len());
    // Plus the three events of the new document.
    assert_eq!(seen.len(), all.len() + 3);
    assert!(left().is_empty());
}

/// A run that is killed when it passes a named point for the first time. Returns the lines that it printed, and whether it
/// was killed.
#[cfg(feature = "crash-points")]
fn run_until(folder: &Path, point: &str) -> (Vec<String>, bool) {
    let line = "run --trackers t.toml --group-by user --id id --time at --store s.db --output ndjson in.ndjson";
    let mut command = Command::new(env!("CARGO_BIN_EXE_dictrack"));
    command.current_dir(folder).args(line.split(' ')).env("DICTRACK_CRASH_AT", format!("{point}:1"));
    let output = command.output().unwrap();
    assert!(matches!(output.status.code(), None | Some(0)), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    // A line that was cut by the kill was not printed.
    let lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::to_owned).collect();
    (lines, output.status.code().is_none())
}

#[cfg(feature = "crash-points")]
#[test]
fn what_a_killed_run_left_is_folded_in_pieces_that_are_kept_however_soon_the_next_is_killed() {
    use rusqlite::{Connection, OpenFlags};

    const GROUPS: u64 = 16;
    const DOCUMENTS: u64 = 12_000;

    let documents: String =
        (0..DOCUMENTS).map(|number| Document { group: format!("u{}", number % GROUPS), number }.line()).collect();
    let folder = folder(&[("t.toml", TRACKERS), ("in.ndjson", &documents)]);
    // The rows of the journal and their bytes.
    let journal = || -> (i64, i64) {
        let path = folder.path().join("s.db");
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let query = "SELECT count(*), coalesce(sum(length(payload)), 0) FROM journal";
        connection.query_row(query, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    };
    let export = || dictrack(folder.path(), "export --store s.db").good();

    // One commit kept everything, and nothing is printed.
    assert_eq!(run_until(folder.path(), "before_delivery"), (Vec::new(), true));
    let (mut rows, bytes) = journal();
    assert!(rows >= 6 && bytes > 3 << 20, "{rows} rows, {bytes} bytes");
    let exported = export();

    // A piece that was not committed is folded by the next run.
    assert_eq!(run_until(folder.path(), "within_fold"), (Vec::new(), true));
    assert_eq!(journal().0, rows);
    let mut killed = 0;
    while rows > 0 {
        assert_eq!(run_until(folder.path(), "after_fold"), (Vec::new(), true));
        killed += 1;
        let left = journal().0;
        assert!(left < rows, "run {killed} folded nothing that was kept: {left} rows are left");
        rows = left;
        // A reader sees tables and journal together.
        assert_eq!(export(), exported, "{rows} rows are left");
    }
    assert!(killed >= 3, "{killed}");

    let mut seen = BTreeMap::new();
    let (lines, was_killed) = run_until(folder.path(), "none");
    assert!(!was_killed);
    collect(&mut seen, lines);
    // An event of each document, and one of each new tracker.
    assert_eq!(seen.len() as u64, DOCUMENTS + 2 * GROUPS);
    assert!(dictrack(folder.path(), "show --store s.db u0 --output json").good().contains("750"));
}
