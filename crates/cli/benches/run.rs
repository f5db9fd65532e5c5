//! `cargo bench --bench run`: the command on five million documents, on one core, with every commit on disk.
//!
//! Prints the documents per second of `dictrack run --durability fsync` under `taskset -c 0`, for seeded NDJSON (Zipf over
//! 100,000 groups, 10 trackers of which 3 match) and, if `DICTRACK_CDNOW` names the file, for the CDNOW purchases ten times
//! over. `DICTRACK_BENCH_DOCUMENTS` sets the number of documents.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;
use std::process::Command;

const GROUPS: usize = 100_000;

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

/// Ten trackers; a purchase of at least ten matches the first three.
fn trackers(path: &Path) {
    let mut text = String::new();
    let mut tracker = |name: &str, rest: &str| {
        text.push_str(&format!("[[trackers]]\nname = \"{name}\"\n{rest}\n\n"));
    };
    tracker(
        "purchases",
        "kind = \"count\"\ntarget = [10, 100, 1000]\nconditions = [{key = \"event\", eq = \"purchase\"}]",
    );
    tracker("revenue", "kind = \"sum\"\ntarget = [1000, 100000]\nconditions = [{key = \"event\", eq = \"purchase\"}]");
    tracker("large", "kind = \"count\"\ntarget = 1000000\nconditions = [{key = \"amount\", ge = 10}]");
    for event in ["login", "share", "comment", "refund", "visit", "search", "vote"] {
        let rest = format!("kind = \"count\"\ntarget = 1000000\nconditions = [{{key = \"event\", eq = \"{event}\"}}]");
        tracker(event, &rest);
    }
    std::fs::write(path, text).unwrap();
}

fn documents(path: &Path, count: usize) {
    // Zipf with exponent 1, from its cumulative weights.
    let mut cumulated = Vec::with_capacity(GROUPS);
    let mut total = 0.0;
    for rank in 1..=GROUPS {
        total += 1.0 / rank as f64;
        cumulated.push(total);
    }
    let mut random = Random(1);
    let mut out = BufWriter::new(File::create(path).unwrap());
    for at in 0..count {
        let wanted = random.part() * total;
        let group = cumulated.partition_point(|&weight| weight < wanted);
        let amount = 1000 + random.next() % 50_000;
        writeln!(
            out,
            r#"{{"user":"user_{group:06}","event":"purchase","amount":{}.{:02},"item":"sku-{}","at":{}}}"#,
            amount / 100,
            amount % 100,
            random.next() % 5000,
            1_700_000_000 + at / 100,
        )
        .unwrap();
    }
    out.flush().unwrap();
}

/// Ten copies of the purchases, each with its own customers.
fn cdnow(from: &Path, path: &Path) {
    let mut out = BufWriter::new(File::create(path).unwrap());
    let text = flate2::read::MultiGzDecoder::new(File::open(from).unwrap());
    let lines: Vec<String> = BufReader::new(text).lines().map(Result::unwrap).collect();
    for copy in 0..10 {
        for line in &lines {
            writeln!(out, "{}", line.replacen("\"customer_id\":\"", &format!("\"customer_id\":\"{copy}-"), 1)).unwrap();
        }
    }
    out.flush().unwrap();
}

fn run(folder: &Path, name: &str, trackers: &Path, group: &str, time: &str, input: &Path) {
    let store = folder.join(format!("{name}.db"));
    let output = Command::new("taskset")
        .args(["-c", "0", env!("CARGO_BIN_EXE_dictrack"), "run", "--durability", "fsync", "--output", "json"])
        .args(["--group-by", group, "--time", time])
        .arg("--trackers")
        .arg(trackers)
        .arg("--store")
        .arg(&store)
        .arg(input)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let field =
        |name: &str| text.split(&format!("\"{name}\":")).nth(1).unwrap().split([',', '}']).next().unwrap().to_owned();
    println!(
        "{name}: {} documents, {} groups, {} s, {} documents/s",
        field("documents"),
        field("groups"),
        field("seconds"),
        field("documents_per_second")
    );
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let count = std::env::var("DICTRACK_BENCH_DOCUMENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(5_000_000);
    let (definitions, input) = (folder.join("trackers.toml"), folder.join("zipf.ndjson"));
    trackers(&definitions);
    documents(&input, count);
    run(folder, "zipf", &definitions, "user", "at", &input);
    if let Ok(from) = std::env::var("DICTRACK_CDNOW") {
        let input = folder.join("cdnow.ndjson");
        cdnow(Path::new(&from), &input);
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/cdnow/trackers.toml");
        run(folder, "cdnow10", &sample, "customer_id", "date", &input);
    }
}
