//! How a run ends on a signal, and when its output is closed.

#[allow(dead_code, reason = "each test file uses its part")]
mod command;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use command::{COUNTER, dictrack, folder, progress};
use dictrack::clock::Stopwatch;
use dictrack_testkit::eventually;

const RUN: &str = "run --trackers t.toml --group-by user --id id --store s.db --output ndjson";

fn start(folder: &Path, line: &str) -> Child {
    start_under(folder, "", line)
}

/// Starts the command from a shell that has done something first.
fn start_under(folder: &Path, first: &str, line: &str) -> Child {
    let mut command = Command::new("env");
    // The tests may have been started with ignored signals, as for background jobs of a shell.
    command.current_dir(folder).args(["--default-signal=INT,TERM,HUP", "sh", "-c"]);
    command.arg(format!("{first} exec {} {line}", env!("CARGO_BIN_EXE_dictrack")));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Sends signals, one right after another.
fn signal(child: &Child, signal: &str, times: usize) {
    let mut command = Command::new("kill");
    command.arg(signal).args(vec![child.id().to_string(); times]);
    assert!(command.status().unwrap().success());
}

/// Feeds a document and waits until its event is printed; by then the run handles signals.
fn feed_first(child: &mut Child) -> BufReader<std::process::ChildStdout> {
    child.stdin.as_mut().unwrap().write_all(b"{\"user\":\"a\",\"id\":0}\n").unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert!(line.contains("\"added\""), "{line}");
    out
}

fn error_of(child: &mut Child) -> String {
    std::io::read_to_string(child.stderr.take().unwrap()).unwrap()
}

fn ids(text: &str) -> BTreeSet<String> {
    text.lines().filter_map(|line| line.split("\"id\":\"").nth(1)?.split('"').next()).map(str::to_owned).collect()
}

#[test]
fn the_exit_code_names_the_signal_that_ended_a_run() {
    for (name, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
        // Two in a row count as one: `timeout` sends its signal to the process and to its group.
        for times in [1, 2] {
            let folder = folder(&[("t.toml", COUNTER)]);
            let mut run = start(folder.path(), &format!("{RUN} -"));
            let mut out = feed_first(&mut run);
            // Kept open until the run has ended; waiting would close it, and a run also ends with its input.
            let input = run.stdin.take();
            signal(&run, name, times);
            assert_eq!(run.wait().unwrap().code(), Some(code), "{name}");
            drop(input);
            let error = error_of(&mut run);
            assert!(
                error.contains("1 document in ") && error.contains("; interrupted, run again to continue"),
                "{error}"
            );
            out.read_to_end(&mut Vec::new()).unwrap();
            assert_eq!(progress(folder.path(), "a"), 1);
        }
    }
}

#[test]
fn signals_that_were_ignored_when_the_run_started_stay_ignored() {
    for (first, ignored) in [
        ("trap '' INT;", &["-INT"][..]),
        // Like nohup.
        ("trap '' HUP;", &["-HUP"]),
        ("trap '' INT TERM HUP;", &["-INT", "-TERM", "-HUP"]),
    ] {
        let folder = folder(&[("t.toml", COUNTER)]);
        let mut run = start_under(folder.path(), first, &format!("{RUN} -"));
        let _out = feed_first(&mut run);
        for name in ignored {
            signal(&run, name, 1);
        }
        let mut input = run.stdin.take().unwrap();
        for id in 1..=20 {
            input.write_all(format!("{{\"user\":\"a\",\"id\":{id}}}\n").as_bytes()).unwrap();
        }
        drop(input);
        assert_eq!(run.wait().unwrap().code(), Some(0), "{first}");
        assert_eq!(progress(folder.path(), "a"), 21);
    }
}

#[test]
fn signals_end_a_run_whose_output_nobody_reads_and_the_next_run_prints_the_rest() {
    let lines: String = (0..4_000).map(|id| format!("{{\"user\":\"{}\",\"id\":{id}}}\n", id / 2)).collect();
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", &lines), ("fresh.toml", COUNTER)]);
    let expected = {
        let line = "run --trackers t.toml --group-by user --id id --store whole.db --output ndjson in.ndjson";
        ids(&dictrack(folder.path(), line).good())
    };
    assert_eq!(expected.len(), 4_000);
    for (name, code, second) in [("-INT", 130, true), ("-TERM", 143, true), ("-TERM", 143, false)] {
        for file in ["s.db", "s.db-wal", "s.db-shm", "s.db.lock"] {
            let _ = std::fs::remove_file(folder.path().join(file));
        }
        let mut run = start(folder.path(), &format!("{RUN} in.ndjson"));
        let show = "show 1999 --store s.db --output json";
        eventually("everything is counted", || dictrack(folder.path(), show).code == Some(0));
        signal(&run, name, 1);
        let since = Stopwatch::start();
        if second {
            std::thread::sleep(Duration::from_millis(200));
            signal(&run, name, 1);
        }
        let ended = run.wait().unwrap();
        let took = since.elapsed();
        assert_eq!(ended.code(), Some(code), "{name} {second}");
        let longest = Duration::from_millis(if second { 3_000 } else { 8_000 });
        assert!(took < longest, "{name} {second}: {took:?}");
        assert!(second || took >= Duration::from_secs(4), "it was not held up: {took:?}");
        let error = error_of(&mut run);
        assert!(error.contains("to print the remaining events"), "{error}");
        let first = std::io::read_to_string(run.stdout.take().unwrap()).unwrap();
        let rest = dictrack(folder.path(), &format!("{RUN} in.ndjson")).good();
        let (first, rest) = (ids(&first), ids(&rest));
        assert!(first.len() < expected.len(), "nothing was held up");
        assert_eq!(
            first.union(&rest).cloned().collect::<BTreeSet<_>>(),
            expected,
            "{} and {}",
            first.len(),
            rest.len()
        );
    }
}

#[test]
fn a_run_whose_output_is_closed_says_what_is_kept_and_the_next_one_prints_the_rest() {
    let lines: String = (0..4_000).map(|id| format!("{{\"user\":\"{}\",\"id\":{id}}}\n", id / 2)).collect();
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", &lines)]);
    for (store, read) in [("s.db", 0), ("head.db", 10), ("", 10)] {
        let store = if store.is_empty() { String::new() } else { format!("--store {store}") };
        let line = format!("run --trackers t.toml --group-by user --id id {store} --output ndjson in.ndjson");
        let mut run = start(folder.path(), &line);
        let mut out = BufReader::new(run.stdout.take().unwrap());
        let mut first = String::new();
        (0..read).for_each(|_| assert!(out.read_line(&mut first).unwrap() > 0));
        drop(out);
        let code = run.wait().unwrap().code();
        let error = error_of(&mut run);
        assert_eq!(code, Some(141), "{error}");
        assert!(error.contains("dictrack: standard output was closed after "), "{error}");
        if store.is_empty() {
            assert!(error.contains("nothing is kept without --store"), "{error}");
            continue;
        }
        assert!(error.contains("what was counted is kept") && error.contains("run again to continue"), "{error}");
        let rest = ids(&dictrack(folder.path(), &line).good());
        // What the reader received was printed, and nothing else is marked as delivered.
        let all: BTreeSet<String> = ids(&first).union(&rest).cloned().collect();
        assert_eq!(all.len(), 4_000, "{} and {}", read, rest.len());
    }
}

#[test]
fn a_summary_that_nobody_reads_is_not_a_success() {
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", "{\"user\":\"a\",\"id\":1}\n")]);
    for output in ["table", "json", "csv"] {
        let line =
            format!("run --trackers t.toml --group-by user --id id --store {output}.db --output {output} in.ndjson");
        let mut run = start(folder.path(), &line);
        drop(run.stdout.take());
        let code = run.wait().unwrap().code();
        let error = error_of(&mut run);
        assert_eq!(code, Some(141), "{error}");
        assert!(error.contains("what was counted is kept; use dictrack show to see it"), "{error}");
    }
}
