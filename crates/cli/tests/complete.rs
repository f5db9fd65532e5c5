//! Completions in shells.

#[allow(dead_code, reason = "each test file uses its part")]
mod command;

use std::path::Path;
use std::process::Command;

use command::{COUNTER, dictrack, dictrack_with, folder, run};

/// Completes the last of these words as zsh would ask for it.
fn completed(folder: &Path, words: &[&str]) -> Vec<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_dictrack"))
        .current_dir(folder)
        .env("DICTRACK_COMPLETE", "fish")
        .args(["--", "dictrack"])
        .args(words)
        .output()
        .unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    // Fish shows a description after a tab.
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
}

const USERS: &str = "{\"user\":\"ann\"}\n{\"user\":\"anna\"}\n{\"user\":\"bob\"}\n{\"user\":\"$(touch evil)\"}\n\
                     {\"user\":\"an apple\"}\n{\"user\":\"an\\u202e\"}\n{\"user\":\"-x\"}\n";

#[test]
fn groups_and_trackers_of_the_store_are_completed() {
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", USERS)]);
    run(folder.path(), "in.ndjson").good();
    let completed = |words: &[&str]| completed(folder.path(), words);
    for before in [
        &["show", "--store", "s.db"][..],
        &["show", "--store=s.db"],
        &["peek", "-s", "s.db"],
        &["delete", "--store", "'s.db'"],
    ] {
        assert_eq!(completed(&[before, &["an"]].concat()), ["ann", "anna"], "{before:?}");
    }
    assert_eq!(completed(&["show", "--store", "s.db", "ann"]), ["ann", "anna"]);
    assert_eq!(completed(&["show", "--store", "s.db", "--tracker", ""]), ["n"]);
    assert_eq!(completed(&["reset", "--store", "s.db", "ann", ""])[0], "n");
    assert_eq!(completed(&["set-progress", "--store", "s.db", "bob", "n"]), ["n"]);
    // Options and commands, too.
    let help = dictrack(folder.path(), "--help").good();
    let commands = help.split_once("Commands:\n").unwrap().1.split("\n\n").next().unwrap();
    for command in
        commands.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).filter(|name| !name.is_empty())
    {
        assert!(completed(&[&command[..2]]).contains(&command.to_owned()), "{command}");
    }
    assert!(completed(&["show", "--store", "s.db", "--at"]).contains(&"--at-least".to_owned()));
    // Whatever is wrong, nothing is printed.
    for place in ["none.db", "t.toml", "redis://localhost:1", "mongodb://"] {
        let names = completed(&["show", "--store", place, "an"]);
        assert!(!names.contains(&"ann".to_owned()), "{place}: {names:?}");
    }
    assert!(!folder.path().join("none.db").exists());
}

#[test]
fn the_script_for_bash_completes_groups() {
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", USERS)]);
    run(folder.path(), "in.ndjson").good();
    let script = dictrack(folder.path(), "completions bash").good();
    let complete = "COMP_WORDS=(dictrack show --store s.db an) COMP_CWORD=4
                    _clap_complete_dictrack dictrack an s.db; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let bin = Path::new(env!("CARGO_BIN_EXE_dictrack")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut bash = Command::new("bash");
    bash.args(["-c", &format!("{script}\n{complete}")]).env("PATH", path).current_dir(folder.path());
    let output = bash.output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "ann\nanna\n", "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!folder.path().join("evil").exists());
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(
            dictrack(folder.path(), &format!("completions {shell}")).good().contains("DICTRACK_COMPLETE"),
            "{shell}"
        );
    }
    assert_eq!(dictrack_with(folder.path(), &["completions", "ksh"], "").code, Some(2));
}
