//! Where a run goes on in a file that changed, or that could not be read to its end.

use std::path::Path;
use std::process::Command;

/// Runs over `input` and gives the progress of group `a` afterwards, and whether the run ended well.
fn run(folder: &Path, input: &str, strict: bool) -> (String, bool) {
    std::fs::write(folder.join("t.toml"), "[[trackers]]\nname = \"n\"\nkind = \"count\"\ntarget = 1000000\n").unwrap();
    let dictrack = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dictrack"));
        command.current_dir(folder);
        command
    };
    let mut counted = dictrack();
    counted.args(["run", "--trackers", "t.toml", "--group-by", "user", "--store", "s.db", "--output", "json", input]);
    if strict {
        counted.arg("--strict");
    }
    let good = counted.output().unwrap().status.success();
    let shown = dictrack().args(["show", "a", "--store", "s.db", "--output", "json"]).output().unwrap();
    let text = String::from_utf8(shown.stdout).unwrap();
    let progress = text.split("\"progress\":").nth(1).and_then(|rest| rest.split(',').next());
    (progress.unwrap_or("nothing").to_owned(), good)
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
fn a_corrected_line_is_counted_and_those_before_it_are_not_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("in.ndjson");
    std::fs::write(&file, "{\"user\":\"a\"}\n{\"user\":\"a\"}\n{\n{\"user\":\"a\"}\n").unwrap();
    assert_eq!(run(folder.path(), "in.ndjson", true), ("2".to_owned(), false));
    std::fs::write(&file, "{\"user\":\"a\"}\n{\"user\":\"a\"}\n{\"user\":\"a\"}\n").unwrap();
    assert_eq!(run(folder.path(), "in.ndjson", true), ("3".to_owned(), true));
}

#[test]
fn an_unfinished_last_line_counts_once_it_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("in.ndjson");
    std::fs::write(&file, "{\"user\":\"a\"}\n{\"us").unwrap();
    assert_eq!(run(folder.path(), "in.ndjson", false), ("1".to_owned(), true));
    std::fs::write(&file, "{\"user\":\"a\"}\n{\"user\":\"a\"}\n").unwrap();
    assert_eq!(run(folder.path(), "in.ndjson", false), ("2".to_owned(), true));
}
