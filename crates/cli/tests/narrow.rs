//! Tables fit narrow terminals, and terminals that do not know their width.

#[allow(dead_code, reason = "each test file uses its part")]
mod command;

use std::path::Path;
use std::process::Command;

use command::{CDNOW, dictrack, folder, repository};

/// What a command prints on a terminal of this width.
fn on_terminal(folder: &Path, columns: u16, line: &str) -> String {
    // `script` gives it a terminal; progress goes to standard error.
    let shell = format!("stty cols {columns} rows 30; ('{}' {line}) 2>/dev/null", env!("CARGO_BIN_EXE_dictrack"));
    let output = Command::new("script").args(["-qec", &shell, "/dev/null"]).current_dir(folder).output().unwrap();
    String::from_utf8(output.stdout).unwrap().replace('\r', "")
}

#[test]
fn tables_fit_terminals_of_every_width() {
    let folder = folder(&[]);
    let trackers = repository("examples/cdnow/trackers.toml");
    let (trackers, sample) = (trackers.display(), repository("examples/cdnow/sample.ndjson.gz"));
    let run = format!("{CDNOW} {trackers} --again {}", sample.display());
    dictrack(folder.path(), &format!("{CDNOW} {trackers} {}", sample.display())).good();
    for line in [
        run.replace("--store s.db", "").replace("--again", "").as_str(),
        "show --store s.db --limit 20",
        "show 00033 --store s.db",
        "show --tracker spent_dollars --top 20 --store s.db",
        "peek 00033 --store s.db",
        "explain 00033 --store s.db '{\"amount\": 3, \"quantity\": 7}'",
        &format!("apply {trackers} --dry --store s.db"),
    ] {
        for columns in [36, 40, 60, 80, 100] {
            let shown = on_terminal(folder.path(), columns, line);
            assert!(shown.lines().count() >= 4, "{line}: {shown}");
            for text in shown.lines() {
                assert!(text.trim_end().chars().count() <= columns.into(), "{line} at {columns}: {text:?}\n{shown}");
            }
        }
        // Without a width, as in a pipe.
        let wide = on_terminal(folder.path(), 0, line);
        let (wide, piped) = (wide.trim_end(), on_terminal(folder.path(), 80, &format!("{line} | cat")));
        if !line.starts_with("run") {
            assert_eq!(wide, piped.trim_end(), "{line}");
        }
    }
}
