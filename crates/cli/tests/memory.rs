//! `--memory`: in addition to the budget, the whole process uses no more than the help says.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const TRACKERS: &str = r#"
[[trackers]]
name = "documents"
kind = "count"
target = [2, 1000000000]

[[trackers]]
name = "total"
kind = "sum"
key = "amount"
target = 1000000000000
"#;

/// Memory beyond the budget, in KiB: with many groups, and with one that has a million ids.
const BEYOND: (u64, u64) = (96 << 10, 160 << 10);

/// Memory for each thread beyond two, in KiB.
const THREAD: u64 = 4 << 10;

fn scale() -> u64 {
    std::env::var("DICTRACK_TEST_SCALE").map_or(1, |scale| scale.parse().expect("DICTRACK_TEST_SCALE is a number"))
}

/// The peak memory of a process in KiB, as reported by the system while it runs.
fn peak(mut child: Child) -> u64 {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(peak);
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            assert!(peak > 0, "the system does not say how much memory a process has");
            return peak;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Writes documents, each with the group that `group` returns for its number.
fn input(path: &Path, documents: u64, group: impl Fn(u64) -> u64) {
    let mut text = String::new();
    for number in 0..documents {
        let _ = writeln!(text, r#"{{"user": "user_{:07}", "id": "d{number}", "amount": 12.5}}"#, group(number));
    }
    fs::write(path, text).unwrap();
}

fn run(folder: &Path, budget: u64, more: &[&str]) -> u64 {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dictrack"));
    command.current_dir(folder).args([
        "run",
        "--trackers",
        "trackers.toml",
        "--group-by",
        "user",
        "--durability",
        "os",
    ]);
    command.args(["--store", "store.db", "--memory", &budget.to_string()]).args(more).arg("input.ndjson");
    let peak = peak(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    println!("--memory {budget} {more:?}: {} MiB", peak >> 10);
    peak
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("trackers.toml"), TRACKERS).unwrap();
    folder
}

#[test]
fn many_groups_stay_within_the_documented_memory() {
    let inputs = [
        (1, 2, &["--threads", "2"][..]),
        (1, 8, &["--output", "ndjson", "--threads", "8"]),
        (64, 1, &["--threads", "1"]),
    ];
    for (budget, threads, more) in inputs {
        let folder = folder();
        let groups = 100_000 * scale();
        input(&folder.path().join("input.ndjson"), groups * 5 / 3, |number| number.wrapping_mul(7_919) % groups);
        let peak = run(folder.path(), budget, more);
        let most = budget * 1024 + BEYOND.0 + THREAD * 2_u64.max(threads).saturating_sub(2);
        assert!(peak < most, "{} MiB", peak >> 10);
    }
}

#[test]
fn a_group_with_a_million_ids_stays_within_the_documented_memory() {
    let folder = folder();
    input(&folder.path().join("input.ndjson"), 1_200_000, |_| 1);
    let first = run(folder.path(), 64, &["--id", "id"]);
    assert!(first < 64 * 1024 + BEYOND.1, "{} MiB", first >> 10);
    // The next run loads it.
    let second = run(folder.path(), 64, &["--id", "id", "--again"]);
    assert!(second < 64 * 1024 + BEYOND.1, "{} MiB", second >> 10);
}
