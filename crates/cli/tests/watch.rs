//! `show --watch`.

#[allow(dead_code, reason = "each test file uses its part")]
mod command;

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use command::{COUNTER, dictrack, folder, run};

/// A watch, and what it prints, line by line.
struct Watch {
    child: Child,
    lines: Receiver<String>,
}

fn watch(folder: &Path, line: &str) -> Watch {
    // The test may have been started to ignore the signal, as by a shell in the background.
    let mut command = Command::new("env");
    command
        .args(["--default-signal=INT", env!("CARGO_BIN_EXE_dictrack")])
        .args(line.split_whitespace())
        .current_dir(folder);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let (sender, lines) = channel();
    std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    Watch { child, lines }
}

impl Watch {
    fn line(&self) -> String {
        self.lines.recv_timeout(Duration::from_secs(20)).expect("a line")
    }

    /// Ends it as Ctrl-C does. Returns the lines that were left.
    fn interrupt(mut self) -> Vec<String> {
        let kill = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        let status = self.child.wait().unwrap();
        let mut error = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
        assert_eq!((status.code(), error.as_str()), (Some(0), ""));
        self.lines.iter().collect()
    }
}

#[test]
fn a_watch_in_a_pipe_prints_each_change_once_and_ends_cleanly() {
    let document = "{\"user\":\"a\"}\n";
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", document)]);
    run(folder.path(), "in.ndjson").good();
    let watch = watch(folder.path(), "show a --store s.db --watch --output json");
    assert!(watch.line().contains("\"progress\":1,"));
    // A second writer, while it watches.
    for count in 2..4 {
        std::fs::write(folder.path().join("in.ndjson"), document.repeat(count)).unwrap();
        run(folder.path(), "in.ndjson").good();
        let line = watch.line();
        assert!(line.contains(&format!("\"progress\":{count},")), "{line}");
    }
    assert_eq!(watch.interrupt(), [""; 0]);
}

#[test]
fn a_watch_of_a_ranking_prints_the_whole_table_again() {
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", "{\"user\":\"a\"}\n")]);
    run(folder.path(), "in.ndjson").good();
    let watch = watch(folder.path(), "show --tracker n --top 3 --store s.db -w");
    let first: Vec<String> = (0..3).map(|_| watch.line()).collect();
    assert!(first[0].starts_with("group") && first[1].starts_with('a') && first[2] == "1 group", "{first:?}");
    std::fs::write(folder.path().join("in.ndjson"), "{\"user\":\"a\"}\n{\"user\":\"b\"}\n{\"user\":\"b\"}\n").unwrap();
    run(folder.path(), "in.ndjson").good();
    let second: Vec<String> = (0..4).map(|_| watch.line()).collect();
    assert!(second[1].starts_with('b') && second[3] == "2 groups", "{second:?}");
    assert_eq!(watch.interrupt(), [""; 0]);
}

#[test]
fn a_watch_on_a_terminal_draws_over_itself() {
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", "{\"user\":\"a\"}\n")]);
    run(folder.path(), "in.ndjson").good();
    // `script` gives it a terminal, and `timeout` presses Ctrl-C.
    let watch = format!(
        "stty cols 40 rows 10; env --default-signal=INT timeout --preserve-status -s INT 3 '{}' show a --store s.db --watch; echo ended $?",
        env!("CARGO_BIN_EXE_dictrack")
    );
    let output =
        Command::new("script").args(["-qec", &watch, "/dev/null"]).current_dir(folder.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("ended 0"), "{text:?}");
    // The screen is cleared once; then each line replaces the one before it.
    assert_eq!(text.matches("\x1b[2J").count(), 1, "{text:?}");
    assert!(text.matches("group a").count() >= 2 && text.contains("; Ctrl-C ends"), "{text:?}");
    for line in text.split('\n') {
        let shown = line.replace("\x1b[2J", "").replace("\x1b[H", "").replace("\x1b[K", "").replace("\x1b[J", "");
        assert!(shown.trim_end().chars().count() <= 40, "{shown:?}");
    }
}

#[test]
fn a_watch_does_not_go_with_a_fixed_time_and_reports_errors() {
    let folder = folder(&[("t.toml", COUNTER)]);
    assert_eq!(dictrack(folder.path(), "show --store s.db --watch --now 2026-01-01").code, Some(2));
    let missing = dictrack(folder.path(), "show --store s.db --watch");
    assert!(missing.code == Some(1) && missing.error.contains("s.db"), "{}", missing.error);
}
