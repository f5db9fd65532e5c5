//! `dictrack run` on storage that fails: from the n-th write or sync on, for every n.
//!
//! A library that is loaded before the C library (`LD_PRELOAD`) makes the calls fail. The run must end with an error that
//! names the store, must have printed only what is kept, and the next run must continue as if nothing had happened.

#![cfg(target_os = "linux")]

#[allow(dead_code, reason = "each test file uses its part")]
mod common;

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use common::{Ended, Oracle, Place, Running, bytes, check_integrity, counted, documents, id_of};

/// Fails the FAIL_AT-th write, sync or truncation of a file with `.db` in its name and all after it; with FAIL_AT 0 it
/// only writes their number into FAIL_COUNT_FILE.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_long calls;

static int fails(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = syscall(SYS_readlink, link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    char *name = strrchr(path, '/');
    if (!name || !strstr(name, ".db")) return 0;
    long number = atomic_fetch_add(&calls, 1) + 1;
    const char *at = getenv("FAIL_AT"), *count = getenv("FAIL_COUNT_FILE"), *kind = getenv("FAIL_KIND");
    if (count) {
        char text[32];
        int size = snprintf(text, sizeof text, "%ld", number);
        int out = syscall(SYS_openat, AT_FDCWD, count, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        syscall(SYS_write, out, text, size);
        syscall(SYS_close, out);
    }
    long from = at ? atol(at) : 0;
    if (from == 0 || number < from) return 0;
    errno = kind && !strcmp(kind, "ENOSPC") ? ENOSPC : EIO;
    return 1;
}

#define WRAP(result, name, parameters, arguments)                                  \
    result name parameters {                                                       \
        static result (*real) parameters;                                          \
        if (!real) real = dlsym(RTLD_NEXT, #name);                                 \
        return fails(fd) ? -1 : real arguments;                                    \
    }

WRAP(ssize_t, write, (int fd, const void *from, size_t size), (fd, from, size))
WRAP(ssize_t, pwrite, (int fd, const void *from, size_t size, off_t at), (fd, from, size, at))
WRAP(ssize_t, pwrite64, (int fd, const void *from, size_t size, off64_t at), (fd, from, size, at))
WRAP(int, fsync, (int fd), (fd))
WRAP(int, fdatasync, (int fd), (fd))
WRAP(int, ftruncate, (int fd, off_t size), (fd, size))
WRAP(int, ftruncate64, (int fd, off64_t size), (fd, size))
"#;

/// The maximum number of failing runs in one test.
const RUNS: usize = 60;

struct Shim {
    folder: tempfile::TempDir,
}

impl Shim {
    fn compile() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("shim.c"), SHIM).unwrap();
        let output = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o", "shim.so", "shim.c", "-ldl"])
            .current_dir(folder.path())
            .output()
            .expect("a C compiler");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { folder }
    }

    /// Fails the calls from number `at` on.
    fn fail(&self, command: &mut Command, at: usize) {
        let kind = if at.is_multiple_of(2) { "EIO" } else { "ENOSPC" };
        command.env("LD_PRELOAD", self.folder.path().join("shim.so"));
        command.env("FAIL_AT", at.to_string()).env("FAIL_KIND", kind);
    }

    /// The calls of a run that does not fail.
    fn count(&self, run: impl FnOnce(&mut dyn FnMut(&mut Command)) -> Ended) -> usize {
        let file: PathBuf = self.folder.path().join("count");
        let ended = run(&mut |command| {
            self.fail(command, 0);
            command.env("FAIL_COUNT_FILE", &file);
        });
        assert!(ended.status.success(), "{}", ended.error);
        std::fs::read_to_string(&file).expect("the library was not loaded").parse().unwrap()
    }
}

/// Up to [`RUNS`] of the calls 1 to `calls`, including the first and the last.
fn some(calls: usize) -> impl Iterator<Item = usize> {
    let step = calls.div_ceil(RUNS - 1);
    (1..=calls).step_by(step).chain((!(calls - 1).is_multiple_of(step)).then_some(calls))
}

/// A run only succeeds if everything is kept; otherwise it reports that the store failed.
fn check_failure(at: usize, ended: &Ended, store: &Path) -> bool {
    match ended.status.code() {
        Some(0) => false,
        Some(1) => {
            let names_it = ended.error.contains("SQLite") || ended.error.contains(&*store.to_string_lossy());
            assert!(names_it, "call {at}: {}", ended.error);
            true
        }
        _ => panic!("call {at}: {:?} {}", ended.status, ended.error),
    }
}

/// Fails every call of a run over the input from `prepare`, which returns how many documents were counted before.
fn fail_every_call(prepare: impl Fn(&Place) -> HashSet<String>) {
    let shim = Shim::compile();
    let lines = documents(7, 400, 40);
    let run = |place: &Place, change: &mut dyn FnMut(&mut Command)| {
        let mut command = place.run_input("fsync");
        change(&mut command);
        Running::start(command, Vec::new()).end()
    };
    let place = Place::new();
    place.append(&lines[..200]);
    prepare(&place);
    place.append(&lines[200..]);
    let calls = shim.count(|change| run(&place, change));
    assert!(calls > 10, "{calls} calls");
    let (mut failed, mut kept) = (0, 0);
    for at in some(calls) {
        let place = Place::new();
        let mut oracle = Oracle::new(&lines, &place.trackers());
        place.append(&lines[..200]);
        let mut seen = prepare(&place);
        let counted_before = counted(&place.store());
        place.append(&lines[200..]);
        let ended = run(&place, &mut |command| shim.fail(command, at));
        let count = counted(&place.store());
        assert!(count >= counted_before, "call {at}: {counted_before:?} documents became {count:?}");
        if let Some(count) = count {
            oracle.advance(count);
            oracle.check_groups(&place.store());
        }
        seen.extend(oracle.check_printed(&ended.printed));
        if check_failure(at, &ended, &place.store()) {
            failed += 1;
        } else {
            kept += 1;
            assert_eq!(count, Some(lines.len()), "call {at} failed, and the run said that all is well");
        }
        let again = run(&place, &mut |_| {});
        assert!(again.status.success(), "call {at}, then: {}", again.error);
        oracle.advance(lines.len());
        oracle.check_groups(&place.store());
        seen.extend(oracle.check_printed(&again.printed));
        assert_eq!(seen.len(), oracle.events.len(), "call {at}: events that were printed");
        check_integrity(&place.store());
    }
    println!("{calls} calls; {failed} runs failed, {kept} had everything kept before");
    assert!(failed >= 10, "{failed} runs failed of those over {calls} calls");
}

#[test]
fn a_new_store_that_fails_at_any_call_loses_and_duplicates_nothing() {
    fail_every_call(|_| HashSet::new());
}

#[test]
fn a_used_store_that_fails_at_any_call_loses_and_duplicates_nothing() {
    fail_every_call(|place| {
        let ended = Running::start(place.run_input("fsync"), Vec::new()).end();
        assert!(ended.status.success(), "{}", ended.error);
        ended.printed.iter().map(|line| id_of(line)).collect()
    });
}

/// The store has a journal that is not in the tables yet, and events that were not marked as printed.
#[cfg(feature = "crash-points")]
#[test]
fn a_killed_store_that_fails_at_any_call_loses_and_duplicates_nothing() {
    fail_every_call(|place| {
        let mut command = place.run_input("fsync");
        command.env("DICTRACK_CRASH_AT", "after_delivery:1");
        let ended = Running::start(command, Vec::new()).end();
        assert!(ended.was_killed(), "{}", ended.error);
        ended.printed.iter().map(|line| id_of(line)).collect()
    });
}

/// Runs over a pipe that gives a third of the documents, waits for their events, and so has a commit for each third.
fn run_in_thirds(place: &Place, lines: &[common::Line], change: &mut dyn FnMut(&mut Command)) -> Ended {
    let mut command = place.run_pipe("fsync");
    change(&mut command);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut printed = Vec::new();
    for third in lines.chunks(lines.len().div_ceil(3)) {
        // Each third has its own group, whose first document fires events, which are printed after the commit.
        if input.write_all(&bytes(third)).and_then(|()| input.flush()).is_err() {
            break;
        }
        let mut line = String::new();
        if out.read_line(&mut line).unwrap() == 0 {
            break;
        }
        printed.push(line.trim_end().to_owned());
    }
    drop(input);
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    printed.extend(rest.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(ToOwned::to_owned));
    let mut error = String::new();
    child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
    assert!(!error.contains("panicked"), "{error}");
    Ended { status: child.wait().unwrap(), printed, error }
}

#[test]
fn a_store_that_fails_between_commits_acknowledges_nothing_more() {
    let shim = Shim::compile();
    let lines = documents(11, 300, 40);
    let calls = shim.count(|change| run_in_thirds(&Place::new(), &lines, change));
    let wanted: Vec<usize> = (1..=calls).step_by(calls.div_ceil(24)).collect();
    let failed = AtomicU64::new(0);
    // Each run waits for half a second between commits, so several wait at once.
    std::thread::scope(|scope| {
        for part in 0..6 {
            let (shim, lines, wanted, failed) = (&shim, &lines, &wanted, &failed);
            scope.spawn(move || {
                for &at in wanted.iter().skip(part).step_by(6) {
                    let place = Place::new();
                    let mut oracle = Oracle::new(lines, &place.trackers());
                    oracle.advance(lines.len());
                    let ended = run_in_thirds(&place, lines, &mut |command| shim.fail(command, at));
                    let mut seen = oracle.check_printed(&ended.printed);
                    check_kept(at, &seen, &place.store());
                    failed.fetch_add(u64::from(check_failure(at, &ended, &place.store())), Ordering::Relaxed);
                    let again = Running::start(place.run_pipe("fsync"), bytes(lines)).end();
                    assert!(again.status.success(), "call {at}, then: {}", again.error);
                    oracle.check_groups(&place.store());
                    seen.extend(oracle.check_printed(&again.printed));
                    assert_eq!(seen.len(), oracle.events.len(), "call {at}: events that were printed");
                    check_integrity(&place.store());
                }
            });
        }
    });
    let failed = failed.into_inner();
    println!("{calls} calls; {failed} of {} runs failed", wanted.len());
    assert!(failed >= 10, "{failed} of {} runs failed", wanted.len());
}

/// Every group with a printed event is in the store.
fn check_kept(at: usize, seen: &HashSet<String>, store: &Path) {
    let kept = counted(store).map_or(0, |_| common::show(store).len());
    assert!(seen.is_empty() || kept > 0, "call {at}: {} events were printed of a store without groups", seen.len());
}

#[test]
fn an_import_that_fails_at_any_call_leaves_no_store_or_a_whole_one() {
    let shim = Shim::compile();
    let source = Place::new();
    source.append(&documents(13, 200, 40));
    let ended = Running::start(source.run_input("os"), Vec::new()).end();
    assert!(ended.status.success(), "{}", ended.error);
    let backup = source.path("backup.ndjson");
    let run = |name: &str, place: &Place, change: &mut dyn FnMut(&mut Command)| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dictrack"));
        command.arg(name).arg("--store").arg(place.store()).arg(&backup);
        change(&mut command);
        Running::start(command, Vec::new()).end()
    };
    assert!(run("export", &source, &mut |_| {}).status.success());
    let groups = common::show(&source.store());
    let calls = shim.count(|change| run("import", &Place::new(), change));
    let mut failed = 0;
    for at in some(calls) {
        let place = Place::new();
        let ended = run("import", &place, &mut |command| shim.fail(command, at));
        if check_failure(at, &ended, &place.store()) {
            failed += 1;
            assert!(!place.store().exists(), "call {at}: a store of an import that failed: {}", ended.error);
            let again = run("import", &place, &mut |_| {});
            assert!(again.status.success(), "call {at}, then: {}", again.error);
        }
        assert_eq!(common::show(&place.store()), groups, "call {at}");
        check_integrity(&place.store());
    }
    println!("{calls} calls; {failed} imports failed");
    assert!(failed >= 10, "{failed} imports failed of those over {calls} calls");
}

#[cfg(feature = "server")]
#[test]
fn a_server_whose_store_fails_acknowledges_nothing_more() {
    use dictrack_testkit::Http;

    let shim = Shim::compile();
    let folder = tempfile::tempdir().unwrap();
    let trackers = folder.path().join("trackers.json");
    std::fs::write(&trackers, r#"[{"name": "all", "kind": "count"}]"#).unwrap();
    let mut failed = 0;
    for at in (1..120).step_by(4) {
        let store = folder.path().join(format!("{at}.db"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_dictrack"));
        command.arg("serve").args(["--listen", "127.0.0.1:0", "--trackers"]).arg(&trackers).arg("--store").arg(&store);
        shim.fail(&mut command, at);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        out.read_line(&mut first).unwrap();
        let Ok(address) = first.trim_end().rsplit("://").next().unwrap().parse() else {
            assert_eq!(child.wait().unwrap().code(), Some(1), "call {at}");
            continue;
        };
        let mut client = Http::connect(address);
        let mut send = |id: usize| client.send("POST", &format!("/v1/groups/u/track?id={id}"), &[], "{}");
        let acknowledged = (0..40).take_while(|&id| send(id).status == 200).count();
        if acknowledged < 40 {
            failed += 1;
            for id in [acknowledged, 1_000] {
                let reply = send(id);
                assert_eq!(
                    (reply.status, reply.header("content-type")),
                    (503, "application/problem+json"),
                    "call {at}"
                );
                assert!(reply.text().contains("\"code\":\"stopped\""), "call {at}: {}", reply.text());
            }
            assert_eq!(Http::connect(address).send("GET", "/readyz", &[], "").status, 503, "call {at}");
            assert_eq!(Http::connect(address).send("GET", "/healthz", &[], "").status, 200, "call {at}");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let shown = Command::new(env!("CARGO_BIN_EXE_dictrack"))
            .args(["show", "u", "-o", "json", "--store"])
            .arg(&store)
            .output();
        let shown = String::from_utf8(shown.unwrap().stdout).unwrap();
        // What was not acknowledged may have been kept.
        let kept = (acknowledged..=acknowledged + 1).any(|count| shown.contains(&format!("\"progress\":{count},")));
        assert!(kept || acknowledged == 0, "call {at}: {acknowledged} acknowledged, and {shown}");
    }
    assert!(failed >= 5, "{failed} servers failed while they served");
}
