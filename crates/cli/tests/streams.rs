//! Full or closed standard output and standard error, and text that would move the cursor of a terminal.

#[allow(dead_code, reason = "each test file uses its part")]
mod command;

use std::process::{Command, Stdio};

use command::{COUNTER, dictrack, dictrack_with, folder};

fn full() -> Stdio {
    std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap().into()
}

#[test]
fn a_full_standard_error_changes_nothing() {
    let lines = "{\"user\":\"a\"}\n{\n".repeat(5);
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", &lines), ("bad.toml", "[")]);
    for (line, code) in [
        ("run --trackers t.toml --group-by user --store s.db --output json in.ndjson", 0),
        ("export --store s.db out.ndjson", 0),
        ("check bad.toml", 1),
        ("show --store nothing.db", 1),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dictrack"));
        let status = command.current_dir(folder.path()).args(line.split(' ')).stdout(Stdio::null()).stderr(full());
        assert_eq!(status.status().unwrap().code(), Some(code), "{line}");
    }
}

#[test]
fn a_full_standard_output_is_a_clear_error() {
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", "{\"user\":\"a\"}\n{\"user\":\"a\"}\n")]);
    for line in [
        "run --trackers t.toml --group-by user --store s.db --output ndjson in.ndjson",
        "run --trackers t.toml --group-by user --output csv in.ndjson",
        "show --store s.db",
        "show --store s.db --output csv",
        "check t.toml",
        "export --store s.db",
        "completions bash",
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dictrack"));
        let answer = command.current_dir(folder.path()).args(line.split(' ')).stdout(full()).output().unwrap();
        let error = String::from_utf8(answer.stderr).unwrap();
        assert_eq!(answer.status.code(), Some(1), "{line}: {error}");
        assert!(error.starts_with("dictrack: standard output: "), "{line}: {error}");
    }
}

#[test]
fn a_closed_pipe_ends_the_command_quietly() {
    let folder = folder(&[("t.toml", COUNTER)]);
    let users: String = (0..20_000).map(|user| format!("{{\"user\":\"user {user}\"}}\n")).collect();
    std::fs::write(folder.path().join("in.ndjson"), users).unwrap();
    dictrack(folder.path(), "run --trackers t.toml --group-by user --store s.db in.ndjson").good();
    for line in [
        "show --store s.db --limit 0",
        "show --store s.db --limit 0 --output json",
        "show --store s.db --output csv",
        "show --store s.db",
        "explain user {} --store s.db",
        "doctor --store s.db",
        "check t.toml",
        "export --store s.db",
        "completions bash",
        "--help",
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dictrack"));
        let line: Vec<&str> = line.split(' ').map(|word| if word == "user" { "user 1" } else { word }).collect();
        // The reader is closed before the command writes, however fast it is.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        command.current_dir(folder.path()).args(&line).stdout(writer).stderr(Stdio::piped());
        let answer = command.spawn().unwrap().wait_with_output().unwrap();
        let error = String::from_utf8(answer.stderr).unwrap();
        // For help from clap, success is fine too.
        let codes = if line == ["--help"] { [Some(0), Some(141)] } else { [Some(141); 2] };
        assert!(codes.contains(&answer.status.code()) && error.is_empty(), "{line:?}: {:?} {error}", answer.status);
    }
}

#[test]
fn control_characters_are_escaped_and_json_stays_json() {
    let trackers = "[[trackers]]\nname = \"n\\u001b[2J\"\nkind = \"count\"\ntarget = [1, 9]\n\
                    conditions = [{ key = \"word\", ne = \"\\u009b\" }]\n";
    let folder = folder(&[
        ("t.toml", trackers),
        ("in.ndjson", "{\"user\":\"a\\u001b[31m\\nb\",\"word\":1}\n{\"user\":[\"\\u001b\\u009b\"]}\n"),
    ]);
    let base = "run --trackers t.toml --group-by user --store s.db";
    let ran = dictrack(folder.path(), &format!("{base} in.ndjson"));
    let user = "a\u{1b}[31m\nb";
    let explained = dictrack_with(folder.path(), &["explain", user, "{\"word\":\"\u{9b}\"}", "--store", "s.db"], "");
    let shown = dictrack_with(folder.path(), &["show", user, "--store", "s.db"], "");
    let all = dictrack(folder.path(), "show --store s.db");
    assert!(shown.out.starts_with("group a\\u{1b}[31m\\nb\n"), "{}", shown.out);
    for answer in [ran, explained, shown, all] {
        for text in [&answer.out, &answer.error] {
            assert!(!text.contains(|letter: char| letter.is_control() && letter != '\n'), "{text:?}");
        }
        assert!(answer.good().contains("\\u{1b}["));
    }
    let json = dictrack(folder.path(), "show --store s.db --output json").json();
    assert_eq!(command::at(&json, "group").as_str(), Some(user));
}
