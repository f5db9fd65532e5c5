//! `cargo bench -p dictrack-cli --bench run`: the command beside DuckDB and a loop written by hand, all on one core.
//!
//! Prints the processor time of whole processes (user and system, under `taskset -c 0`) and their ratios. Three seeded inputs:
//!
//! - `zipf`: eight kinds of event at random, Zipf over 100,000 users, ten trackers of which each document matches one to three;
//! - `cdnow`: purchases of a record shop: the sample of the CDNOW data set, 157 times with different customers, or the
//!   whole data set ten times if `DICTRACK_CDNOW` names its file;
//! - `wide`: the events of `zipf` in documents of 2.5 KB, with 61 fields, nested, of which four are read.
//!
//! `floor` is the loop written by hand: it looks for the values with `memmem`, checks nothing else, and adds to a hash map of ten
//! numbers. `duckdb` is `run.py`, if `DICTRACK_DUCKDB_PYTHON` names a Python with DuckDB (`scripts/setup bench` installs
//! one). `run` prints every event (`--output ndjson`); `run --store` also stores everything, with fsync.
//!
//! `DICTRACK_BENCH_DOCUMENTS` sets the number of documents of `zipf`, by default 3,000,000; `wide` has a tenth of it. The users of
//! both are in proportion, so that every size has the same number of events per document. Arguments select inputs by name.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use memchr::memmem::Finder;

/// How many documents there are for each user.
const DOCUMENTS_A_USER: usize = 30;
/// How many rounds are measured; the fastest counts.
const ROUNDS: usize = 3;
const EVENTS: [&str; 8] = ["purchase", "login", "share", "comment", "refund", "visit", "search", "vote"];

/// SplitMix64 (Steele et al., OOPSLA 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// In [0, 1).
    fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// One tracker, for the command and for DuckDB.
struct Tracker {
    name: &'static str,
    /// What a document adds: `None` for 1, or the name of a field.
    sum: Option<&'static str>,
    targets: &'static [u32],
    /// The condition in a definition file and in SQL, if there is one.
    condition: Option<(String, String)>,
    /// The rest of the definition, which DuckDB does not count.
    rest: &'static str,
}

impl Tracker {
    fn definition(&self) -> String {
        let Self { name, sum, targets, condition, rest } = self;
        let kind = if sum.is_some() { "sum" } else { "count" };
        let key = sum.map_or(String::new(), |key| format!("key = \"{key}\"\n"));
        let condition = condition.as_ref().map_or("", |(condition, _)| condition);
        format!(
            "[[trackers]]\nname = \"{name}\"\nkind = \"{kind}\"\n{key}target = {targets:?}\n\
             conditions = [{condition}]\n{rest}\n\n"
        )
    }

    fn sql(&self) -> String {
        let Self { name, sum, targets, condition, .. } = self;
        let (amount, condition) = (sum.unwrap_or("1"), condition.as_ref().map_or("true", |(_, sql)| sql));
        format!(r#"{{"name":"{name}","amount":"{amount}","where":"{condition}","targets":{targets:?}}}"#)
    }
}

fn equal(event: &str) -> Option<(String, String)> {
    Some((format!("{{key = \"event\", eq = \"{event}\"}}"), format!("event = '{event}'")))
}

fn at_least(key: &str, least: u32) -> Option<(String, String)> {
    Some((format!("{{key = \"{key}\", ge = {least}}}"), format!("{key} >= {least}")))
}

/// An input, what is counted in it, and the fields that are read.
struct Input {
    name: &'static str,
    path: PathBuf,
    group: &'static str,
    time: &'static str,
    trackers: Vec<Tracker>,
    columns: &'static str,
}

/// Ten trackers: three of purchases and amounts, one for each other kind of event.
fn ten() -> Vec<Tracker> {
    let mut all = vec![
        Tracker { name: "purchases", sum: None, targets: &[10, 100, 1000], condition: equal("purchase"), rest: "" },
        Tracker {
            name: "revenue",
            sum: Some("amount"),
            targets: &[1000, 100_000],
            condition: equal("purchase"),
            rest: "",
        },
        Tracker { name: "large", sum: None, targets: &[1_000_000], condition: at_least("amount", 100), rest: "" },
    ];
    all.extend(EVENTS[1..].iter().map(|event| Tracker {
        name: event,
        sum: None,
        targets: &[1_000_000],
        condition: equal(event),
        rest: "",
    }));
    all
}

/// Those of `examples/cdnow`.
fn shop() -> Vec<Tracker> {
    let count = |name, targets, condition, rest| Tracker { name, sum: None, targets, condition, rest };
    vec![
        count("loyal_customer", &[2, 5, 10, 25], None, ""),
        Tracker {
            name: "spent_dollars",
            sum: Some("amount"),
            targets: &[50, 100, 500, 1000],
            condition: None,
            rest: "",
        },
        count("box_sets", &[1, 3], at_least("quantity", 5), ""),
        count("welcome_bonus", &[1000], None, "limiters = [{ count = 3 }, { seconds = 7776000 }]"),
    ]
}

/// The events of users, each written by `write` from the user, the kind, the amount in hundredths, a random number and a
/// time.
fn documents(
    path: &Path,
    count: usize,
    mut write: impl FnMut(&mut BufWriter<File>, usize, &str, u64, u64, usize) -> std::io::Result<()>,
) {
    // Zipf with exponent 1, from its cumulative weights.
    let mut cumulated = Vec::new();
    let mut total = 0.0;
    for rank in 1..=(count / DOCUMENTS_A_USER).max(1) {
        total += 1.0 / rank as f64;
        cumulated.push(total);
    }
    let mut random = Random(1);
    let mut out = BufWriter::new(File::create(path).unwrap());
    for at in 0..count {
        let wanted = random.part() * total;
        let user = cumulated.partition_point(|&weight| weight < wanted);
        let event = EVENTS[random.next() as usize % EVENTS.len()];
        let amount = 1000 + random.next() % 50_000;
        write(&mut out, user, event, amount, random.next(), 1_700_000_000 + at / 100).unwrap();
    }
    out.flush().unwrap();
}

fn zipf(path: &Path, count: usize) {
    documents(path, count, |out, user, event, amount, other, time| {
        writeln!(
            out,
            r#"{{"user":"user_{user:06}","event":"{event}","amount":{}.{:02},"item":"sku-{}","at":{time}}}"#,
            amount / 100,
            amount % 100,
            other % 5000,
        )
    });
}

fn wide(path: &Path, count: usize) {
    documents(path, count, |out, user, event, amount, other, time| {
        write!(out, r#"{{"id":"{other:016x}","at":{time},"source":{{"host":"web-{}","tags":["a","b"]}}"#, other % 50)?;
        for field in 0..28 {
            write!(out, r#","text_{field}":"a value of some length \u00fc {}""#, other % (field + 2))?;
        }
        write!(out, r#","user":"user_{user:06}","event":"{event}","amount":{}.{:02}"#, amount / 100, amount % 100)?;
        for field in 0..22 {
            write!(out, r#","part_{field}":{{"x":{}.5,"y":[{field},true,null],"z":"é{}"}}"#, other % 1000, other % 9)?;
        }
        writeln!(out, r#","f_1":1,"f_2":-2.5e3,"f_3":null,"f_4":"","f_5":false}}"#)
    });
}

/// Copies of the purchases, each with its own customers.
fn cdnow(path: &Path) {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/cdnow/sample.ndjson.gz");
    let (from, copies) = std::env::var("DICTRACK_CDNOW").map_or((sample, 157), |from| (PathBuf::from(from), 10));
    let mut out = BufWriter::new(File::create(path).unwrap());
    let text = flate2::read::MultiGzDecoder::new(File::open(from).unwrap());
    let lines: Vec<String> = BufReader::new(text).lines().map(Result::unwrap).collect();
    for copy in 0..copies {
        for line in &lines {
            writeln!(out, "{}", line.replacen("\"customer_id\":\"", &format!("\"customer_id\":\"{copy}-"), 1)).unwrap();
        }
    }
    out.flush().unwrap();
}

/// The loop written by hand, in a process of its own: ten numbers for each group.
fn floor(group: &str, path: &str) {
    let finder = |key: &str| Finder::new(&format!("\"{key}\":")).into_owned();
    let (group, event, amount, quantity) = (finder(group), finder("event"), finder("amount"), finder("quantity"));
    let after = |line: &[u8], key: &Finder<'_>| key.find(line).map(|at| at + key.needle().len());
    let number = |text: &[u8]| {
        let (mut value, mut scale) = (0_u64, None);
        for &byte in text {
            match byte {
                b'0'..=b'9' => {
                    value = value * 10 + u64::from(byte - b'0');
                    scale = scale.map(|scale| scale * 10.0);
                }
                b'.' => scale = Some(1.0),
                _ => break,
            }
        }
        value as f64 / scale.unwrap_or(1.0)
    };
    let mut totals: HashMap<Box<[u8]>, [f64; 10], foldhash::fast::RandomState> = HashMap::default();
    let mut file = File::open(path).unwrap();
    let (mut buffer, mut held) = (vec![0; 1 << 18], 0);
    loop {
        let read = file.read(&mut buffer[held..]).unwrap();
        if read == 0 {
            break;
        }
        let filled = held + read;
        let mut from = 0;
        for end in memchr::memchr_iter(b'\n', &buffer[..filled]) {
            let line = &buffer[from..end];
            from = end + 1;
            let Some(start) = after(line, &group) else { continue };
            let name = &line[start + 1..];
            let name = &name[..memchr::memchr(b'"', name).unwrap_or(0)];
            let numbers = match totals.get_mut(name) {
                Some(numbers) => numbers,
                None => totals.entry(name.into()).or_default(),
            };
            let amount = after(line, &amount).map_or(0.0, |at| number(&line[at..]));
            match after(line, &event) {
                Some(at) => {
                    let kind = &line[at + 1..];
                    let kind = EVENTS.iter().position(|event| kind.starts_with(event.as_bytes())).unwrap_or(0);
                    numbers[kind + 2] += 1.0;
                    numbers[0] += if kind == 0 { amount } else { 0.0 };
                    numbers[1] += if amount >= 100.0 { 1.0 } else { 0.0 };
                }
                None => {
                    numbers[0] += 1.0;
                    numbers[1] += amount;
                    numbers[2] += after(line, &quantity).map_or(0.0, |at| number(&line[at..]));
                }
            }
        }
        buffer.copy_within(from..filled, 0);
        held = filled - from;
    }
    println!("{} {}", totals.len(), totals.values().flatten().sum::<f64>());
}

/// The seconds of processor time that a command takes on one core, its children included.
fn seconds(command: &mut Command) -> f64 {
    let mut timed = Command::new("bash");
    timed.args(["-c", "TIMEFORMAT='%U %S'; time taskset -c 0 \"$@\" >/dev/null 2>/dev/null", "bash"]);
    timed.arg(command.get_program()).args(command.get_args());
    let output = timed.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
    text.split_whitespace().map(|part| part.parse::<f64>().unwrap()).sum()
}

fn run(input: &Input, trackers: &Path, store: Option<&Path>) -> f64 {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dictrack"));
    command.args(["run", "--output", "ndjson", "--group-by", input.group, "--time", input.time, "--trackers"]);
    command.arg(trackers);
    if let Some(store) = store {
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", store.display()));
        }
        command.args(["--durability", "fsync", "--store"]).arg(store);
    }
    seconds(command.arg(&input.path))
}

fn compare(folder: &Path, input: &Input, count: usize) {
    let definitions = folder.join("trackers.toml");
    std::fs::write(&definitions, input.trackers.iter().map(Tracker::definition).collect::<String>()).unwrap();
    let duckdb = std::env::var("DICTRACK_DUCKDB_PYTHON").ok();
    let job = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/run.py");
    let sql = input.trackers.iter().map(Tracker::sql).collect::<Vec<_>>().join(",");
    let names = ["floor", "duckdb", "run", "run --store"];
    let mut fastest = [f64::INFINITY; 4];
    for _ in 0..ROUNDS {
        let floor =
            seconds(Command::new(std::env::current_exe().unwrap()).args(["floor", input.group]).arg(&input.path));
        let rival = duckdb.as_ref().map(|python| {
            let mut command = Command::new(python);
            seconds(command.arg(&job).arg(&input.path).args([input.group, input.columns, &format!("[{sql}]")]))
        });
        let plain = run(input, &definitions, None);
        let stored = run(input, &definitions, Some(&folder.join("run.db")));
        for (best, took) in fastest.iter_mut().zip([Some(floor), rival, Some(plain), Some(stored)]) {
            *best = took.unwrap_or(f64::INFINITY).min(*best);
        }
    }
    println!("{}: {count} documents, {} bytes", input.name, std::fs::metadata(&input.path).unwrap().len());
    for (name, took) in names.into_iter().zip(fastest).filter(|(_, took)| took.is_finite()) {
        let per_document = took * 1e9 / count as f64;
        let rival = if duckdb.is_some() { format!(", {:.2} × duckdb", took / fastest[1]) } else { String::new() };
        println!("  {name:11} {took:6.2} s, {per_document:5.0} ns a document, {:.2} × floor{rival}", took / fastest[0]);
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [command, group, path] = &arguments[..]
        && command == "floor"
    {
        return floor(group, path);
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let count = std::env::var("DICTRACK_BENCH_DOCUMENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(3_000_000);
    let columns = r#"{"user":"VARCHAR","event":"VARCHAR","amount":"DOUBLE"}"#;
    let shop_columns = r#"{"customer_id":"VARCHAR","quantity":"BIGINT","amount":"DOUBLE"}"#;
    for name in ["zipf", "cdnow", "wide"] {
        if !arguments.is_empty() && arguments.iter().all(|wanted| wanted != name) {
            continue;
        }
        let path = folder.join("input.ndjson");
        let mut input = Input { name, path, group: "user", time: "at", trackers: ten(), columns };
        match name {
            "zipf" => zipf(&input.path, count),
            "wide" => wide(&input.path, count / 10),
            _ => {
                cdnow(&input.path);
                input = Input { group: "customer_id", time: "date", trackers: shop(), columns: shop_columns, ..input };
            }
        }
        let lines = BufReader::new(File::open(&input.path).unwrap()).split(b'\n').count();
        compare(folder, &input, lines);
    }
}
