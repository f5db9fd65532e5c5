//! Shared by the tests of the command: seeded documents, an oracle that counts them in memory, and running `dictrack`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use std::time::Duration;

use dictrack::json::{Json, Map};
use dictrack::{
    Blocking, Manager, Timestamp,
    group::{Differing, TrackerList},
    manager::Submission,
};

/// Count and sum, several stages, a looping list, limits by count and by time, a tracker that completes.
pub(crate) const TRACKERS: &str = r#"
[[trackers]]
name = "documents"
kind = "count"
target = 1000000000

[[trackers]]
name = "total"
kind = "sum"
target = 1000000000

[[trackers]]
name = "purchases"
kind = "count"
target = [5, 20, 100, 1000000]
conditions = [{ key = "event", eq = "purchase" }]

[[trackers]]
name = "spent"
kind = "sum"
key = "amount"
target = [50, 500.5, 5000, 1000000000]
conditions = [{ key = "event", in = ["purchase", "refund"] }]

[[trackers]]
name = "points"
kind = "sum"
target = [25, 60.25]
loop_forever = true
reset_policy = []
conditions = [{ key = "amount", gt = 0 }]

[[trackers]]
name = "quota"
kind = "count"
target = 1000000
limiters = [{ count = 30 }]

[[trackers]]
name = "trial"
kind = "count"
target = 1000000
limiters = [{ seconds = 20000 }]

[[trackers]]
name = "tenth_view"
kind = "count"
target = [3, 10]
conditions = [{ key = "event", eq = "view" }]

[[trackers]]
name = "hourly"
kind = "count"
target = [2, 5]
every = "hour"
keep = 3
limiters = [{ count = 4 }]

[[trackers]]
name = "hours_in_a_row"
kind = "streak"
target = [2, 4]
every = "hour"
freezes = { start = 1, per = 3, max = 2 }

[[trackers]]
name = "rates"
kind = "count"
target = 1000000
limiters = [{ count = 3, per = "15 minutes" }, { count = 5, within = "1 hour" }, { count = 40, per = "minute", burst = 2 }]

[[trackers]]
name = "capped"
kind = "sum"
target = 1000000
limiters = [{ sum = 60, per = "day", zone = "Europe/Berlin" }]
"#;

/// The generator SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// A line of the input, and what the test knows about it without dictrack.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) text: String,
    user: String,
    cents: i64,
    at: i64,
}

impl Line {
    /// Makes the name of the user this many characters longer.
    pub(crate) fn lengthen_user(&mut self, letters: usize) {
        let longer = format!("{}{}", self.user, "x".repeat(letters));
        self.text = self.text.replacen(&self.user, &longer, 1);
        self.user = longer;
    }
}

/// Documents of about `users` groups, with most documents in a few groups.
pub(crate) fn documents(seed: u64, count: usize, users: u64) -> Vec<Line> {
    let mut random = Random(seed);
    let mut at = 1_700_000_000;
    (0..count)
        .map(|number| {
            let rank = (users as f64).powf(random.unit()) as u64;
            let user = format!("user_{rank:05}");
            let event = ["purchase", "view", "view", "refund", "login"][random.below(5) as usize];
            let most = if random.below(50) == 0 { 100_000 } else { 2_000 };
            let size = random.below(most) as i64;
            let cents = if event == "refund" { -size } else { size };
            at += random.below(4) as i64;
            let sign = if cents < 0 { "-" } else { "" };
            let amount = format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100);
            let text = format!(
                r#"{{"user":"{user}","event":"{event}","amount":{amount},"at":{at},"id":"document {number}"}}"#
            );
            Line { text, user, cents, at }
        })
        .collect()
}

/// The bytes of lines.
pub(crate) fn bytes(lines: &[Line]) -> Vec<u8> {
    lines.iter().flat_map(|line| line.text.bytes().chain([b'\n'])).collect()
}

/// The correct result: the documents counted once, in order, in memory.
pub(crate) struct Oracle<'a> {
    lines: &'a [Line],
    manager: Blocking,
    list: TrackerList,
    counted: usize,
    users: BTreeSet<&'a str>,
    /// Each event by its id, as it is printed.
    pub(crate) events: HashMap<String, String>,
    /// How many documents were counted when an event was caused, by its id.
    pub(crate) caused_by: HashMap<String, usize>,
}

impl<'a> Oracle<'a> {
    pub(crate) fn new(lines: &'a [Line], trackers: &Path) -> Self {
        let manager = Manager::in_memory().blocking();
        let list = manager.tracker_list(dictrack::files::read(trackers).unwrap()).unwrap();
        Self {
            lines,
            manager,
            list,
            counted: 0,
            users: BTreeSet::new(),
            events: HashMap::new(),
            caused_by: HashMap::new(),
        }
    }

    /// Continues until the first `count` documents are counted.
    pub(crate) fn advance(&mut self, count: usize) {
        assert!(count >= self.counted, "documents that were counted are lost: {} of {count} left", self.counted);
        for (number, line) in self.lines.iter().enumerate().take(count).skip(self.counted) {
            let document = Json::parse(line.text.as_bytes()).unwrap();
            let submission = Submission::new(&line.user, &document).at(Timestamp::from_secs(line.at));
            let outcome = self.manager.track_one(submission.ensure(&self.list, Differing::Refuse)).unwrap();
            for event in outcome.events() {
                let before = self.events.insert(event.id().to_string(), event.to_json().to_string());
                assert_eq!(before, None, "an event id twice");
                self.caused_by.insert(event.id().to_string(), number + 1);
            }
            self.users.insert(&line.user);
        }
        self.counted = count;
    }

    /// Each group as `dictrack show --output json` prints it.
    pub(crate) fn groups(&self) -> BTreeMap<String, String> {
        self.users
            .iter()
            .map(|user| {
                let trackers = self.manager.at(SHOWN_AT).trackers(user).unwrap();
                let completed = self.manager.completed(user).unwrap();
                let completed = completed.iter().map(|completed| {
                    let Json::Map(mut map) = completed.tracker.to_json() else { panic!("not a map") };
                    map.insert("completed_at".into(), completed.completed_at.to_string().into());
                    Json::Map(map)
                });
                let shown = |tracker: &dictrack::TrackerSnapshot| {
                    let Json::Map(mut map) = tracker.to_json() else { panic!("not a map") };
                    if tracker.definition.every().is_some() {
                        let periods = tracker.periods().iter().map(dictrack::PeriodRecord::to_json).collect();
                        map.insert("periods".into(), Json::List(periods));
                    }
                    Json::Map(map)
                };
                let entries = [
                    ("group", Json::from(*user)),
                    ("attributes", Json::Map(Map::default())),
                    ("trackers", Json::List(trackers.iter().map(shown).collect())),
                    ("completed", Json::List(completed.collect())),
                ];
                let map: Map = entries.into_iter().map(|(key, value)| (key.into(), value)).collect();
                ((*user).to_owned(), Json::Map(map).to_string())
            })
            .collect()
    }

    /// Compares with the contents of the store.
    pub(crate) fn check_groups(&self, store: &Path) {
        let shown = show(store);
        let expected = self.groups();
        for (group, expected) in &expected {
            assert_eq!(shown.get(group), Some(expected), "group {group} after {} documents", self.counted);
        }
        assert_eq!(shown.len(), expected.len(), "groups after {} documents", self.counted);
        self.check_sums(&shown);
    }

    /// Compares two trackers without conditions with plain addition, independently of dictrack.
    fn check_sums(&self, shown: &BTreeMap<String, String>) {
        let mut sums: HashMap<&str, (i64, i64)> = HashMap::new();
        for line in &self.lines[..self.counted] {
            let (count, cents) = sums.entry(&line.user).or_default();
            *count += 1;
            *cents += line.cents;
        }
        for (group, (count, cents)) in sums {
            let json = Json::parse(shown[group].as_bytes()).unwrap();
            let progress = |at: usize| {
                let trackers = json.as_map().unwrap().get("trackers").unwrap().as_list().unwrap();
                trackers[at].as_map().unwrap().get("progress").unwrap().to_string().parse::<f64>().unwrap()
            };
            assert_eq!(progress(0), count as f64, "documents of {group}");
            assert_eq!((progress(1) * 100.0).round() as i64, cents, "cents of {group}");
        }
    }

    /// Checks printed lines: each must be exactly an event of the documents counted so far.
    pub(crate) fn check_printed(&self, printed: &[String]) -> HashSet<String> {
        let mut ids = HashSet::new();
        for line in printed {
            let id = id_of(line);
            let expected = self.events.get(&id);
            assert_eq!(expected, Some(line), "an event of no document among the first {}", self.counted);
            ids.insert(id);
        }
        ids
    }
}

/// The id of an event that was printed.
pub(crate) fn id_of(line: &str) -> String {
    let json = Json::parse(line.as_bytes()).unwrap_or_else(|error| panic!("{line}: {error}"));
    json.as_map().and_then(|map| map.get("id")).and_then(Json::as_str).expect("an id").to_owned()
}

/// The time as of which groups are shown.
const SHOWN_AT: Timestamp = Timestamp::from_secs(1_767_225_600);

/// Each group of the store as a line of JSON, always as of the same time, so that two of them can be compared.
pub(crate) fn show(store: &Path) -> BTreeMap<String, String> {
    try_show(store).unwrap_or_else(|problem| panic!("show: {problem}"))
}

/// Like [`show`], or the error of the command.
pub(crate) fn try_show(store: &Path) -> Result<BTreeMap<String, String>, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_dictrack"))
        .args(["show", "--now", &SHOWN_AT.to_string(), "--output", "json", "--limit", "0", "--store"])
        .arg(store)
        .output()
        .unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8(output.stdout).unwrap();
    let group = |line: &str| Json::parse(line.as_bytes()).unwrap().as_map().unwrap().get("group").unwrap().clone();
    Ok(text.lines().map(|line| (group(line).as_str().unwrap().to_owned(), line.to_owned())).collect())
}

/// The progress of the first tracker of a group, which counts every document.
pub(crate) fn documents_of(group: &str) -> usize {
    let json = Json::parse(group.as_bytes()).unwrap();
    let trackers = json.as_map().unwrap().get("trackers").unwrap().as_list().unwrap();
    trackers[0].as_map().unwrap().get("progress").unwrap().to_string().parse().unwrap()
}

/// How many documents of its only input file the store has counted; `None` if it has no tables yet.
pub(crate) fn counted(store: &Path) -> Option<usize> {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let connection = rusqlite::Connection::open_with_flags(store, flags).ok()?;
    connection.query_row("SELECT 1 FROM sqlite_schema WHERE name = 'marks'", [], |_| Ok(())).ok()?;
    let text: Option<String> =
        connection.query_row("SELECT max(text) FROM marks WHERE name LIKE 'input:%'", [], |row| row.get(0)).unwrap();
    let Some(text) = text else { return Some(0) };
    let mark = Json::parse(text.as_bytes()).unwrap();
    Some(mark.as_map().unwrap().get("line").unwrap().to_string().parse().unwrap())
}

/// Asks SQLite to check the file.
pub(crate) fn check_integrity(store: &Path) {
    assert_eq!(integrity(store), Ok(()));
}

/// The problems that SQLite finds in the file.
pub(crate) fn integrity(store: &Path) -> Result<(), String> {
    let ask = || {
        let connection = rusqlite::Connection::open(store)?;
        connection.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0))
    };
    let answer = ask().unwrap_or_else(|error| error.to_string());
    if answer == "ok" { Ok(()) } else { Err(answer) }
}

/// A folder with the trackers, an input and a store.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::within(&std::env::temp_dir())
    }

    /// A place in memory, if there is one, for tests that create many stores and do not need a disk.
    pub(crate) fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() { Self::within(memory) } else { Self::new() }
    }

    fn within(parent: &Path) -> Self {
        let place = Self { folder: tempfile::tempdir_in(parent).unwrap() };
        std::fs::write(place.trackers(), TRACKERS).unwrap();
        std::fs::write(place.input(), "").unwrap();
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn trackers(&self) -> PathBuf {
        self.path("trackers.toml")
    }

    pub(crate) fn input(&self) -> PathBuf {
        self.path("input.ndjson")
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path("store.db")
    }

    /// Appends lines to the input.
    pub(crate) fn append(&self, lines: &[Line]) {
        let mut file = std::fs::OpenOptions::new().append(true).open(self.input()).unwrap();
        file.write_all(&bytes(lines)).unwrap();
    }

    /// `dictrack run` that prints events.
    pub(crate) fn run(&self, durability: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dictrack"));
        command.args(["run", "--group-by", "user", "--time", "at", "--output", "ndjson", "--durability", durability]);
        // One thread and several, whatever the machine has.
        command.args(["--threads", if durability == "fsync" { "1" } else { "3" }]);
        command.arg("--trackers").arg(self.trackers()).arg("--store").arg(self.store());
        command
    }

    /// `dictrack run` over the input.
    pub(crate) fn run_input(&self, durability: &str) -> Command {
        let mut command = self.run(durability);
        command.arg(self.input());
        command
    }

    /// `dictrack run` over a pipe, with ids.
    pub(crate) fn run_pipe(&self, durability: &str) -> Command {
        let mut command = self.run(durability);
        command.args(["--id", "id", "-"]);
        command
    }
}

/// A run in progress, whose output is read as it is printed.
pub(crate) struct Running {
    pub(crate) child: Child,
    out: JoinHandle<Vec<u8>>,
    /// Each complete line of standard output, as it is printed.
    lines: Receiver<String>,
    error: JoinHandle<Vec<u8>>,
}

/// A run that has ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// The complete lines of standard output.
    pub(crate) printed: Vec<String>,
    pub(crate) error: String,
}

impl Ended {
    pub(crate) fn was_killed(&self) -> bool {
        self.status.signal() == Some(9)
    }
}

impl Running {
    /// Starts the run and feeds `input` to its standard input, in a separate thread.
    pub(crate) fn start(mut command: Command, input: Vec<u8>) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut pipe = child.stdin.take().unwrap();
        // A killed process no longer reads; this is not an error.
        std::thread::spawn(move || drop(pipe.write_all(&input)));
        let (line, lines) = std::sync::mpsc::channel();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let out = std::thread::spawn(move || {
            let (mut all, mut from) = (Vec::new(), 0);
            while stdout.read_until(b'\n', &mut all).unwrap() > 0 {
                if let Some(complete) = all[from..].strip_suffix(b"\n") {
                    // A test that does not wait for lines may have dropped the other end.
                    let _ = line.send(String::from_utf8_lossy(complete).into_owned());
                }
                from = all.len();
            }
            all
        });
        let error = drain(child.stderr.take().unwrap());
        Self { child, out, lines, error }
    }

    /// Kills the run after a while, unless it has already ended.
    pub(crate) fn kill_after(mut self, wait: Duration) -> Ended {
        std::thread::sleep(wait);
        self.child.kill().unwrap();
        self.end()
    }

    /// Kills the run a while after it printed a line that `acknowledges`, unless it ends without one.
    pub(crate) fn kill_once(mut self, acknowledges: impl Fn(&str) -> bool, wait: Duration) -> Ended {
        if self.lines.iter().any(|line| acknowledges(&line)) {
            std::thread::sleep(wait);
            self.child.kill().unwrap();
        }
        self.end()
    }

    pub(crate) fn end(mut self) -> Ended {
        let status = self.child.wait().unwrap();
        let text = String::from_utf8(self.out.join().unwrap()).unwrap();
        let lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        let printed = lines.map(ToOwned::to_owned).collect();
        let error = String::from_utf8_lossy(&self.error.join().unwrap()).into_owned();
        assert!(!error.contains("panicked"), "{error}");
        Ended { status, printed, error }
    }
}

fn drain(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        bytes
    })
}
