//! Writers that no lock separates: only the token does.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use dictrack::SqliteStore;

use crate::common::{folder, open, progress};
use crate::process::{Other, count};

/// Makes file locks do nothing.
const NO_LOCKS: &str = "int flock(int fd, int how) { (void) fd; (void) how; return 0; }\n";

fn library(folder: &Path) -> PathBuf {
    std::fs::write(folder.join("no_locks.c"), NO_LOCKS).unwrap();
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o", "no_locks.so", "no_locks.c"])
        .current_dir(folder)
        .status()
        .expect("a C compiler");
    assert!(built.success());
    folder.join("no_locks.so")
}

#[test]
fn writers_without_locks_never_both_acknowledge_and_what_was_is_kept() {
    let folder = folder();
    let library = library(folder.path());
    let path = folder.path().join("a.db");
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let names = [&path, &link];
    let start = |number: usize| {
        Other::start_with(&format!("count:{number}"), names[number % 2], |command| {
            command.env("LD_PRELOAD", &library);
        })
    };
    let mut kept = HashSet::new();
    let mut note = |lines: Vec<String>| -> Option<String> {
        let mut end = None;
        for line in lines {
            match line.split_once(' ') {
                Some(("kept", id)) => assert!(kept.insert(id.to_owned()), "{id} twice"),
                Some(("ended" | "refused", why)) => end = Some(why.to_owned()),
                _ => {}
            }
        }
        end
    };
    let mut last = start(0);
    last.line("opened").expect("the first was refused");
    for number in 1..8 {
        let first = last.line("kept").expect("it acknowledges");
        note(vec![first]);
        let mut next = start(number);
        next.line("opened").unwrap_or_else(|| panic!("writer {number} was refused: are there still locks?"));
        // The writer that opened the file later owns it: the other one ends by itself.
        let end = note(last.rest()).expect("it ended");
        assert!(end.contains(&format!("was taken over by process {}", next.id())), "{end}");
        assert!(!last.end().success() || end.contains("taken over"));
        last = next;
    }
    let first = last.line("kept").expect("it acknowledges");
    note(vec![first]);
    last.kill();
    note(last.rest());
    // Exactly as many, no more and no fewer.
    let manager = open(&path);
    let found: usize = progress(&manager, "a").parse().unwrap();
    assert!(found >= kept.len(), "{found} of {} are left", kept.len());
    kept.iter().for_each(|id| count(&manager, id).unwrap());
    assert_eq!(progress(&manager, "a"), found.to_string(), "what was acknowledged had not counted");
    assert!(found - kept.len() <= 8, "{found} counted, {} acknowledged", kept.len());
}

#[test]
fn many_that_start_at_once_have_one_owner() {
    let folder = folder();
    let path = folder.path().join("a.db");
    for round in 0..3 {
        let mut others: Vec<Other> = (0..6).map(|_| Other::start("write", &path)).collect();
        let opened = others.iter_mut().filter_map(|other| other.line("opened")).count();
        assert_eq!(opened, 1, "round {round}");
        drop(others);
    }
    drop(SqliteStore::open(&path).unwrap());
}
