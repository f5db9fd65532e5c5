//! Power failures: what was not synced is on the disk completely, partly, or not at all.
//!
//! Killing a process does not test this, since the operating system still writes what the process left. So a library that is
//! loaded before the C library records what real runs do to the files of a store, and a simulated disk is built from that:
//! it has everything that was synced, and a random part of the rest (`power/disk.rs`). On each such disk, the store must open
//! and have the state after some number of first documents (with `fsync`, all acknowledged ones), and the next run must end
//! with the correct result.
//!
//! The long version is one command:
//!
//! ```text
//! DICTRACK_POWER_FAILURES=5000 DICTRACK_POWER_SEED=2 cargo test -p dictrack-cli --all-features --test power_failure
//! ```

#![cfg(target_os = "linux")]

#[allow(dead_code, reason = "each test file uses its part")]
mod common;
mod power;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::SystemTime;

use common::{
    Line, Oracle, Place, Random, Running, bytes, counted, documents, documents_of, integrity, show, try_show,
};
use dictrack::SqliteStore;
use dictrack::json::Json;
use power::disk::{Disk, Files, Left};
use power::trace::{Recorder, Step};

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

/// How documents were submitted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Input {
    File,
    Pipe,
}

/// The recording of runs over some documents.
struct Recording {
    lines: Vec<Line>,
    durability: &'static str,
    input: Input,
    /// Contains the file that was read, whose path is in the mark.
    place: Place,
    steps: Vec<Step>,
}

/// Runs over a growing file, starting with a new store. One run is killed, so that the next one finds its journal.
fn record_file(durability: &'static str) -> Recording {
    let lines = documents(31, 480, 40);
    let place = Place::new();
    let mut recorder = Recorder::new();
    let mut printed = String::new();
    for (run, part) in lines.chunks(80).enumerate() {
        place.append(part);
        let mut command = place.run_input(durability);
        recorder.record(&mut command, &place.store());
        let is_killed = cfg!(feature = "crash-points") && run == 2;
        if is_killed {
            command.env("DICTRACK_CRASH_AT", "within_fold:1");
        }
        let ended = Running::start(command, Vec::new()).end();
        recorder.read();
        assert_eq!(ended.was_killed(), is_killed, "{}", ended.error);
        if !is_killed {
            assert!(ended.status.success(), "{}", ended.error);
            recorder.steps.push(Step::Done((run + 1) * 80));
        }
        printed.extend(ended.printed.iter().map(|line| format!("{line}\n")));
    }
    check_recording(&recorder.steps, &place, &printed);
    Recording { lines, durability, input: Input::File, place, steps: recorder.steps }
}

/// A run over a pipe that provides documents as the events of earlier ones are printed. It makes many commits, and while it
/// runs, the journal is folded into the tables and the log of SQLite is copied into the file. Long group ids make the log
/// long enough.
fn record_pipe(durability: &'static str) -> Recording {
    const PARTS: usize = 14;
    let mut lines = documents(37, 25 * PARTS, 12);
    lines.iter_mut().for_each(|line| line.lengthen_user(16_000));
    let place = Place::new();
    let mut recorder = Recorder::new();
    let mut command = place.run_pipe(durability);
    recorder.record(&mut command, &place.store());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let mut errors = child.stderr.take().unwrap();
    let (line, printed_lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || out.lines().try_for_each(|read| line.send(read.unwrap() + "\n")));
    let mut printed = String::new();
    for part in lines.chunks(lines.len() / PARTS) {
        printed.extend(printed_lines.try_iter());
        input.write_all(&bytes(part)).unwrap();
        printed += &printed_lines.recv().expect("an event of each part");
    }
    drop(input);
    printed.extend(printed_lines);
    let mut error = String::new();
    errors.read_to_string(&mut error).unwrap();
    assert!(child.wait().unwrap().success(), "{error}");
    recorder.read();
    recorder.steps.push(Step::Done(lines.len()));
    check_recording(&recorder.steps, &place, &printed);
    let steps = recorder.steps;
    let copied = |step: &&Step| matches!(step, Step::Write { file: 1, at: 0, .. });
    println!("{} steps, the log began {} times", steps.len(), steps.iter().filter(copied).count());
    Recording { lines, durability, input: Input::Pipe, place, steps }
}

/// The recording is complete: a disk that keeps everything has the same files.
fn check_recording(steps: &[Step], place: &Place, printed: &str) {
    let mut disk = Disk::default();
    steps.iter().for_each(|step| disk.apply(step));
    let mut now = disk.now();
    now.retain(|name, _| !name.ends_with("-shm"));
    assert!(now.contains_key("store.db"), "{:?}", now.keys());
    for (name, content) in &now {
        assert_eq!(std::fs::read(place.path(name)).unwrap().len(), content.len(), "{name}");
        assert!(std::fs::read(place.path(name)).unwrap() == *content, "{name} is not what was recorded");
    }
    for entry in std::fs::read_dir(place.path("")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.starts_with("store.db") || name.ends_with("-shm") || now.contains_key(&name), "{name}");
    }
    let said: Vec<u8> = steps
        .iter()
        .filter_map(|step| if let Step::Said(bytes) = step { Some(bytes) } else { None })
        .flatten()
        .copied()
        .collect();
    assert!(String::from_utf8_lossy(&said).contains(printed), "what was said was recorded");
}

/// A point at which the power fails, and what is left of unsynced data.
struct Failure {
    /// How many steps precede it.
    after: usize,
    left: Left,
    random: Random,
}

/// Before and after each step that orders others, if there are enough, and at random points.
fn failures(steps: &[Step], wanted: usize, random: &mut Random) -> Vec<Failure> {
    let boundaries: BTreeSet<usize> = steps
        .iter()
        .enumerate()
        .filter(|(_, step)| !matches!(step, Step::Write { .. } | Step::Truncate { .. }))
        .flat_map(|(at, _)| [at, at + 1])
        .collect();
    let boundaries: Vec<usize> = boundaries.into_iter().collect();
    let mut failures: Vec<Failure> = (0..wanted)
        .map(|number| {
            let after = if number % 4 == 3 {
                random.below(steps.len() as u64 + 1) as usize
            } else if wanted >= 2 * boundaries.len() {
                boundaries[number % boundaries.len()]
            } else {
                boundaries[random.below(boundaries.len() as u64) as usize]
            };
            let left = Left::ALL[random.below(Left::ALL.len() as u64) as usize];
            Failure { after, left, random: Random(random.next()) }
        })
        .collect();
    failures.sort_by_key(|failure| failure.after);
    failures
}

/// The results of the power failures of a recording.
#[derive(Debug, Default)]
struct Findings {
    failures: usize,
    /// How many left fewer documents than had been acknowledged.
    lost_acknowledged: usize,
    /// The distinct numbers of documents that were left.
    kept: BTreeSet<usize>,
    faults: Vec<String>,
}

impl Findings {
    fn check(&self, wanted: usize) {
        println!(
            "{} failures left {} different states; {} lost what was acknowledged; {} faults",
            self.failures,
            self.kept.len(),
            self.lost_acknowledged,
            self.faults.len()
        );
        let some = &self.faults[self.faults.len().saturating_sub(12)..];
        assert!(some.is_empty(), "{} faults: {some:#?}", self.faults.len());
        assert_eq!(self.failures, wanted);
    }
}

/// The correct results for a recording.
struct Right<'a> {
    recording: &'a Recording,
    /// Each event as it is printed, and how many documents caused it.
    events: HashMap<String, (String, usize)>,
    groups: BTreeMap<String, String>,
    /// The contents of stores after each number of documents. Compared with the correct results at the end, in order.
    seen: Mutex<BTreeMap<usize, BTreeMap<String, String>>>,
}

impl<'a> Right<'a> {
    fn new(recording: &'a Recording) -> Self {
        let mut oracle = Oracle::new(&recording.lines, &Place::in_memory().trackers());
        oracle.advance(recording.lines.len());
        let events = oracle.events.iter().map(|(id, text)| (id.clone(), (text.clone(), oracle.caused_by[id])));
        Self { recording, events: events.collect(), groups: oracle.groups(), seen: Mutex::default() }
    }

    /// The ids of printed events, each with the only content that it may have.
    fn ids(&self, printed: &[u8]) -> Result<HashSet<String>, String> {
        let lines = printed.split_inclusive(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\n"));
        lines
            .map(|line| {
                let text = String::from_utf8_lossy(line);
                let json = Json::parse(line).map_err(|error| format!("{text}: {error}"))?;
                let id = json.as_map().and_then(|map| map.get("id")).and_then(Json::as_str).unwrap_or_default();
                match self.events.get(id) {
                    Some((right, _)) if *right == text => Ok(id.to_owned()),
                    right => Err(format!("printed {text}, and right is {right:?}")),
                }
            })
            .collect()
    }

    /// How many documents the printed events acknowledge.
    fn acknowledged(&self, printed: &HashSet<String>) -> usize {
        printed.iter().map(|id| self.events[id].1).max().unwrap_or(0)
    }

    /// Checks the store that a power failure left, and that the next run ends with the correct result.
    fn check(&self, files: &Files, before: &Before, random: &mut Random) -> Result<Kept, String> {
        let said = self.ids(&before.printed)?;
        let (place, copy) = (place_of(files), place_of(files));
        let documents = self.check_kept(&copy)?;
        if random.below(4) == 0 {
            doctor(&place)?;
        }
        let ended = Running::start(self.command(&place), self.input()).end();
        if !ended.status.success() {
            return Err(format!("the next run: {:?} {}", ended.status, ended.error));
        }
        let printed: String = ended.printed.iter().map(|line| format!("{line}\n")).collect();
        let mut ids = self.ids(printed.as_bytes())?;
        ids.extend(said.iter().cloned());
        if ids.len() != self.events.len() {
            return Err(format!("{} events were ever printed of {}", ids.len(), self.events.len()));
        }
        if try_show(&place.store())? != self.groups {
            return Err("the next run ended with other groups".to_owned());
        }
        integrity(&place.store())?;
        if random.below(8) == 0 {
            doctor(&place)?;
        }
        Ok(Kept { documents, acknowledged: before.done.max(self.acknowledged(&said)) })
    }

    fn command(&self, place: &Place) -> Command {
        match self.recording.input {
            Input::File => {
                let mut command = place.run(self.recording.durability);
                command.arg(self.recording.place.input());
                command
            }
            Input::Pipe => place.run_pipe(self.recording.durability),
        }
    }

    fn input(&self) -> Vec<u8> {
        match self.recording.input {
            Input::File => Vec::new(),
            Input::Pipe => bytes(&self.recording.lines),
        }
    }

    /// The store opens, is intact, and has the state after some number of first documents.
    fn check_kept(&self, place: &Place) -> Result<usize, String> {
        SqliteStore::open(place.store()).map_err(|error| format!("does not open: {error}"))?;
        integrity(&place.store())?;
        let groups = try_show(&place.store())?;
        let kept = groups.values().map(|group| documents_of(group)).sum();
        if self.recording.input == Input::File && counted(&place.store()) != Some(kept) {
            return Err(format!("{kept} documents, and the mark says {:?}", counted(&place.store())));
        }
        let mut seen = self.seen.lock().unwrap();
        if *seen.entry(kept).or_insert_with(|| groups.clone()) != groups {
            return Err(format!("two different states after {kept} documents"));
        }
        Ok(kept)
    }

    /// The states that do not match their number of documents.
    fn wrong_states(&self) -> Vec<String> {
        let mut oracle = Oracle::new(&self.recording.lines, &Place::in_memory().trackers());
        let seen = self.seen.lock().unwrap();
        let wrong = seen.iter().filter(|(kept, groups)| {
            oracle.advance(**kept);
            **groups != oracle.groups()
        });
        wrong.map(|(kept, _)| format!("not the state after {kept} documents")).collect()
    }
}

fn place_of(files: &Files) -> Place {
    let place = Place::in_memory();
    for (name, content) in files {
        let mut file = std::fs::File::create(place.path(name)).unwrap();
        file.write_all(content).unwrap();
        // The power failed, so the machine has rebooted.
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }
    place
}

fn doctor(place: &Place) -> Result<(), String> {
    let output =
        Command::new(env!("CARGO_BIN_EXE_dictrack")).args(["doctor", "--store"]).arg(place.store()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() { Ok(()) } else { Err(format!("doctor: {text}")) }
}

/// What a power failure left.
struct Kept {
    documents: usize,
    /// How many were acknowledged before.
    acknowledged: usize,
}

/// What a process did before the power failed.
#[derive(Default)]
struct Before {
    printed: Vec<u8>,
    /// Documents of processes that succeeded.
    done: usize,
}

/// Simulates this many power failures during `steps`, and checks each, on two threads.
fn fail(
    steps: &[Step],
    wanted: usize,
    disk: fn() -> Disk,
    check: impl Fn(&Files, &Before, &mut Random) -> Result<Kept, String> + Sync,
) -> Findings {
    let failures = failures(steps, wanted, &mut Random(setting("DICTRACK_POWER_SEED", 1)));
    let findings = Mutex::new(Findings::default());
    std::thread::scope(|scope| {
        for part in 0..2 {
            let (failures, check, findings) = (&failures, &check, &findings);
            scope.spawn(move || {
                let (mut disk, mut applied, mut before) = (disk(), 0, Before::default());
                for failure in failures.iter().skip(part).step_by(2) {
                    for step in &steps[applied..failure.after] {
                        disk.apply(step);
                        match step {
                            Step::Said(bytes) => before.printed.extend(bytes),
                            Step::Done(count) => before.done = *count,
                            _ => {}
                        }
                    }
                    applied = failure.after;
                    let mut random = failure.random.clone();
                    let files = disk.after_failure(failure.left, &mut random);
                    let checked = check(&files, &before, &mut random);
                    let mut findings = findings.lock().unwrap();
                    findings.failures += 1;
                    match checked {
                        Ok(kept) => {
                            findings.kept.insert(kept.documents);
                            findings.lost_acknowledged += usize::from(kept.documents < kept.acknowledged);
                        }
                        Err(problem) => {
                            let place = format!("{applied} of {} steps, {:?}", steps.len(), failure.left);
                            findings.faults.push(format!("after {place}: {problem}"));
                        }
                    }
                }
            });
        }
    });
    findings.into_inner().unwrap()
}

/// Like [`fail`], for runs.
fn fail_runs(recording: &Recording, wanted: usize, disk: fn() -> Disk) -> Findings {
    let right = Right::new(recording);
    let mut findings = fail(&recording.steps, wanted, disk, |files, before, random| right.check(files, before, random));
    findings.faults.extend(right.wrong_states());
    findings
}

/// How many power failures a test checks by default.
const FAILURES: u64 = 160;

fn wanted(part: u64) -> usize {
    (setting("DICTRACK_POWER_FAILURES", FAILURES) / part) as usize
}

#[test]
fn a_power_failure_loses_nothing_that_fsync_acknowledged() {
    let findings = fail_runs(&record_file("fsync"), wanted(1), Disk::default);
    findings.check(wanted(1));
    assert_eq!(findings.lost_acknowledged, 0);
    assert!(findings.kept.len() > 6, "{:?}", findings.kept);
}

#[test]
fn a_power_failure_loses_the_last_commits_of_os_at_most() {
    let findings = fail_runs(&record_file("os"), wanted(1), Disk::default);
    findings.check(wanted(1));
    assert!(findings.lost_acknowledged > 0, "with `os` nothing was ever lost: the disk keeps too much");
}

#[test]
fn a_power_failure_within_a_long_run_loses_nothing_that_fsync_acknowledged() {
    let findings = fail_runs(&record_pipe("fsync"), wanted(2), Disk::default);
    findings.check(wanted(2));
    assert_eq!(findings.lost_acknowledged, 0);
}

#[test]
fn a_power_failure_within_a_long_run_loses_the_last_commits_of_os_at_most() {
    let findings = fail_runs(&record_pipe("os"), wanted(2), Disk::default);
    findings.check(wanted(2));
    assert!(findings.lost_acknowledged > 0, "with `os` nothing was ever lost: the disk keeps too much");
}

/// If a sync of `fsync` were missing, the tests above would detect it.
#[test]
fn a_disk_that_lies_about_syncs_loses_acknowledged_commits() {
    let findings = fail_runs(&record_file("fsync"), wanted(2), Disk::that_lies);
    println!("{} failures, {} lost, {} faults", findings.failures, findings.lost_acknowledged, findings.faults.len());
    assert!(findings.lost_acknowledged > 10, "{} failures lost acknowledged commits", findings.lost_acknowledged);
}

/// An import creates its store beside the final place and renames it, so there is none or a complete one.
#[test]
fn a_power_failure_during_an_import_leaves_no_store_or_a_whole_one() {
    let lines = documents(41, 300, 40);
    let source = Place::new();
    source.append(&lines);
    let ended = Running::start(source.run_input("fsync"), Vec::new()).end();
    assert!(ended.status.success(), "{}", ended.error);
    let backup = source.path("backup.ndjson");
    let command = |name: &str, place: &Place| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dictrack"));
        command.arg(name).arg("--store").arg(place.store()).arg(&backup);
        command
    };
    let output = command("export", &source).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let groups = show(&source.store());

    let target = Place::new();
    let mut recorder = Recorder::new();
    let mut import = command("import", &target);
    recorder.record(&mut import, &target.store());
    let output = import.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    recorder.read();
    recorder.steps.push(Step::Done(lines.len()));
    check_recording(&recorder.steps, &target, "");

    let findings = fail(&recorder.steps, wanted(2), Disk::default, |files, before, random| {
        let place = place_of(files);
        let is_there = place.store().exists();
        if is_there {
            integrity(&place.store())?;
        }
        if random.below(4) == 0 {
            doctor(&place)?;
        }
        let output = command("import", &place).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() == is_there || (is_there && !said.contains("already has the group")) {
            return Err(format!("the next import, of a store that is there ({is_there}): {said}"));
        }
        if try_show(&place.store())? != groups {
            return Err("a store with other groups".to_owned());
        }
        let documents = if is_there { lines.len() } else { 0 };
        Ok(Kept { documents, acknowledged: before.done })
    });
    findings.check(wanted(2));
    assert_eq!(findings.lost_acknowledged, 0);
    assert_eq!(findings.kept.len(), 2, "{:?}", findings.kept);
}
