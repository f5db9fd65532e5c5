//! Where a run resumes in a file that changed or could not be read to its end.

#[allow(dead_code, reason = "each test file uses its part")]
mod command;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::Stdio;

use command::{COUNTER, dictrack, folder, number, progress};

/// Runs over `input`. Returns the progress of group `a` afterwards, and whether the run succeeded.
fn run(folder: &Path, input: &str, strict: bool) -> (String, bool) {
    std::fs::write(folder.join("t.toml"), COUNTER).unwrap();
    let good = command::run(folder, &format!("{input}{}", if strict { " --strict" } else { "" })).code == Some(0);
    (progress(folder, "a").to_string(), good)
}

#[test]
fn records_before_a_failure_to_read_count_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::from("user,amount\n");
    text.push_str(&"a,1\n".repeat(10));
    text.push_str(&format!("a,\"{}", "x".repeat(3_000_000)));
    std::fs::write(folder.path().join("bad.csv"), text).unwrap();
    assert_eq!(run(folder.path(), "bad.csv", false), ("10".to_owned(), false));
    assert_eq!(run(folder.path(), "bad.csv", false), ("10".to_owned(), false));
}

#[test]
fn a_corrected_line_is_counted_and_earlier_ones_are_not_counted_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("in.ndjson");
    std::fs::write(&file, "{\"user\":\"a\"}\n{\"user\":\"a\"}\n{\n{\"user\":\"a\"}\n").unwrap();
    assert_eq!(run(folder.path(), "in.ndjson", true), ("2".to_owned(), false));
    std::fs::write(&file, "{\"user\":\"a\"}\n{\"user\":\"a\"}\n{\"user\":\"a\"}\n").unwrap();
    assert_eq!(run(folder.path(), "in.ndjson", true), ("3".to_owned(), true));
}

#[test]
fn an_incomplete_last_line_counts_once_it_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("in.ndjson");
    std::fs::write(&file, "{\"user\":\"a\"}\n{\"us").unwrap();
    assert_eq!(run(folder.path(), "in.ndjson", false), ("1".to_owned(), true));
    std::fs::write(&file, "{\"user\":\"a\"}\n{\"user\":\"a\"}\n").unwrap();
    assert_eq!(run(folder.path(), "in.ndjson", false), ("2".to_owned(), true));
}

#[test]
fn paths_that_differ_from_the_mark_are_rejected_and_again_starts_from_the_beginning() {
    let lines = "{\"user\":\"a\",\"usr\":\"b\",\"id\":1}\n";
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", lines)]);
    command::run(folder.path(), "in.ndjson").good();
    let base = "run --trackers t.toml --store s.db --output json in.ndjson --group-by";
    for (more, words) in [
        ("usr", "in.ndjson: was counted with --group-by user, but this run has --group-by usr;"),
        ("user --id id", "in.ndjson: was counted with --group-by user, but this run has --group-by user --id id;"),
    ] {
        let answer = dictrack(folder.path(), &format!("{base} {more}"));
        assert_eq!(answer.code, Some(1));
        assert!(answer.error.contains(words) && answer.error.contains("--again"), "{}", answer.error);
    }
    assert_eq!(number(&dictrack(folder.path(), &format!("{base} usr --again")).json(), "documents"), 1);
    assert_eq!((progress(folder.path(), "a"), progress(folder.path(), "b")), (1, 1));
    assert_eq!(number(&dictrack(folder.path(), &format!("{base} usr")).json(), "documents"), 0);
    assert_eq!(dictrack(folder.path(), "run --trackers t.toml --group-by user --again in.ndjson").code, Some(2));
}

#[test]
fn a_file_with_a_different_beginning_needs_ids_or_again() {
    let (before, after) = ("{\"user\":\"a\",\"id\":1}\n", "{\"user\":\"a\",\"id\":2}\n");
    for ids in [false, true] {
        let more = if ids { "--id id in.ndjson" } else { "in.ndjson" };
        let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", before)]);
        command::run(folder.path(), more).good();
        std::fs::write(folder.path().join("in.ndjson"), format!("{after}{before}")).unwrap();
        let answer = command::run(folder.path(), more);
        assert!(answer.error.contains("not the file that was counted before: its first 20 bytes differ"));
        assert_eq!((answer.code, answer.error.contains("--again")), (Some(i32::from(!ids)), !ids), "{}", answer.error);
        assert_eq!(progress(folder.path(), "a"), if ids { 2 } else { 1 });
        if !ids {
            command::run(folder.path(), "in.ndjson --again").good();
            assert_eq!(progress(folder.path(), "a"), 3);
        }
    }
}

#[test]
fn a_run_with_nothing_new_says_so() {
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", "{\"user\":\"a\"}\n")]);
    let line = "run --trackers t.toml --group-by user --store s.db in.ndjson";
    let first = dictrack(folder.path(), line).good();
    assert!(first.contains("\n1 document in ") && first.trim_end().ends_with(", 1 group"), "{first}");
    assert_eq!(dictrack(folder.path(), line).good(), "nothing new since the last run\n");
}

#[test]
fn an_input_that_is_missing_leaves_no_store() {
    let folder = folder(&[("t.toml", COUNTER), ("twice.csv", "user,user\na,b\n")]);
    for input in ["nothing.ndjson", "twice.csv"] {
        let answer = command::run(folder.path(), input);
        assert!(answer.code == Some(1) && answer.error.contains(input), "{}", answer.error);
        assert!(!folder.path().join("s.db").exists() && !folder.path().join("s.db.lock").exists());
    }
}

#[test]
fn a_pipe_into_a_store_without_ids_causes_a_warning() {
    let folder = folder(&[("t.toml", COUNTER)]);
    assert!(command::run(folder.path(), "").error.contains("standard input: without --id, running again"));
    assert_eq!(command::run(folder.path(), "--id id").error, "");
}

/// The last line on standard error of a run over a pipe that is interrupted after its first event.
fn interrupted(folder: &Path, more: &str) -> String {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_dictrack"));
    let line = format!("run --trackers t.toml --group-by user --output ndjson {more}");
    command.current_dir(folder).args(line.split_whitespace());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = command.spawn().unwrap();
    let mut input = running.stdin.take().unwrap();
    input.write_all(b"{\"user\":\"a\",\"id\":1}\n{\"user\":\"a\",\"id\":2}\n").unwrap();
    // By then it handles signals.
    let mut event = String::new();
    BufReader::new(running.stdout.take().unwrap()).read_line(&mut event).unwrap();
    std::process::Command::new("kill").args(["-INT", &running.id().to_string()]).status().unwrap();
    let ended = running.wait_with_output().unwrap();
    drop(input);
    assert_eq!(ended.status.code(), Some(130));
    let error = String::from_utf8(ended.stderr).unwrap();
    error.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn an_interrupted_run_suggests_running_again_only_if_that_resumes() {
    let folder = folder(&[("t.toml", COUNTER)]);
    for (more, end) in [
        ("", "; interrupted"),
        ("--store one.db", "; interrupted"),
        ("--store two.db --id id", "; interrupted, run again to continue"),
        ("--store three.db --id id --again", "; interrupted, run without --again to continue"),
    ] {
        let last = interrupted(folder.path(), more);
        assert!(last.ends_with(end), "{more:?}: {last}");
    }
}

#[test]
fn line_numbers_are_right_if_the_last_newline_follows_later() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("t.toml"), COUNTER).unwrap();
    let mut text = "{\"user\":\"a\"}\n{\"user\":\"a\"}".to_owned();
    for bad in [None, Some("in.ndjson:3: not JSON"), Some("in.ndjson:5: not JSON")] {
        std::fs::write(folder.path().join("in.ndjson"), &text).unwrap();
        let answer = command::run(folder.path(), "in.ndjson");
        assert_eq!(answer.error.lines().next().unwrap_or_default().split(": \"").next(), Some(bad.unwrap_or_default()));
        text.push_str("\nbad\n{\"user\":\"a\"}");
    }
}
