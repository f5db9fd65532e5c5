//! URLs come from options, the environment and files, and their passwords are never shown.

#[allow(dead_code, reason = "each test file uses its part")]
mod command;

use std::fs;
use std::path::Path;
use std::process::Stdio;

use assert_cmd::Command;
use command::{Answer, COUNTER, dictrack, dictrack_with, folder, run};

/// Runs `dictrack` with variables set.
fn with(folder: &Path, variables: &[(&str, &str)], line: &str) -> Answer {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dictrack"));
    command.current_dir(folder).args(line.split_whitespace()).envs(variables.iter().copied());
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Answer { code: output.status.code(), out: text(&output.stdout), error: text(&output.stderr) }
}

fn counted() -> tempfile::TempDir {
    let folder = folder(&[("t.toml", COUNTER), ("d.ndjson", "{\"user\": \"u\"}\n")]);
    run(folder.path(), "d.ndjson").good();
    folder
}

#[test]
fn store_and_cache_come_from_the_environment() {
    let folder = counted();
    let place = folder.path();
    let store = ("DICTRACK_STORE", "s.db");
    assert!(with(place, &[store], "show").good().contains("1 group"));
    assert!(with(place, &[store], "explain u {}").good().contains("counted"));
    assert!(with(place, &[store], "doctor").good().contains("s.db"));
    assert!(with(place, &[store], "export").good().contains("\"u\""));
    let again = with(place, &[store], "run --trackers t.toml --group-by user --again --update d.ndjson").good();
    assert!(again.contains("1 document"), "{again}");
    // An option takes precedence over a variable, and an empty variable counts as unset.
    assert!(with(place, &[("DICTRACK_STORE", "nothing.db")], "show --store s.db").good().contains("1 group"));
    assert!(with(place, &[store, ("DICTRACK_STORE_FILE", "")], "show").good().contains("1 group"));
    fs::write(place.join("url"), "s.db\n").unwrap();
    assert!(with(place, &[("DICTRACK_STORE_FILE", "url")], "show").good().contains("1 group"));
    let exported = with(place, &[store], "export").good();
    fs::write(place.join("export"), exported).unwrap();
    let imported = with(place, &[("DICTRACK_STORE", "copy.db")], "import export");
    assert!(imported.error.contains("imported 1 group"), "{}", imported.error);
    // A definition file needs no store, whatever the environment says.
    let explained = with(place, &[("DICTRACK_STORE", "nothing.db")], "explain u {} --trackers t.toml");
    assert_eq!(explained.code, Some(0), "{}", explained.error);
}

#[test]
fn errors_in_the_environment_name_the_variable() {
    let folder = counted();
    let place = folder.path();
    fs::write(place.join("password"), "s3cret\n").unwrap();
    for name in ["two", "empty"] {
        fs::write(place.join(name), if name == "two" { "mongodb://u:s3cret@h\nx" } else { "" }).unwrap();
    }
    for (variables, said) in [
        (
            &[("DICTRACK_STORE", "s.db"), ("DICTRACK_STORE_FILE", "url")][..],
            "both DICTRACK_STORE and DICTRACK_STORE_FILE are set",
        ),
        (&[("DICTRACK_CACHE", "redis://h"), ("DICTRACK_CACHE_FILE", "url")], "DICTRACK_CACHE and DICTRACK_CACHE_FILE"),
        (&[("DICTRACK_STORE_FILE", "password")], "DICTRACK_STORE_FILE: the file contains neither a URL"),
        (&[("DICTRACK_STORE_FILE", "nothing")], "DICTRACK_STORE_FILE: nothing: No such file"),
        (&[("DICTRACK_STORE_FILE", "two")], "DICTRACK_STORE_FILE: two: file has more than one line"),
        (&[("DICTRACK_CACHE_FILE", "empty")], "DICTRACK_CACHE_FILE: empty: file is empty"),
        (&[("DICTRACK_CACHE", "redis://:s3cret")], "--cache"),
        (&[("DICTRACK_STORE", "mongodb:/u:s3cret@h")], "--store: looks like a URL"),
        (&[], "no store or cache given; use --store, --cache, DICTRACK_STORE or DICTRACK_CACHE"),
    ] {
        let answer = with(place, variables, "show");
        assert_ne!(answer.code, Some(0));
        let expected = if said == "--cache" { "redis://…: no host" } else { said };
        assert!(answer.error.contains(expected) && !answer.error.contains("s3cret"), "{variables:?}: {}", answer.error);
    }
    let answer = with(place, &[], "run --trackers t.toml --group-by user --update d.ndjson");
    assert_eq!(answer.code, Some(2));
    assert!(answer.error.contains("--update needs --store or --cache"), "{}", answer.error);
    let answer = with(place, &[], "run --trackers t.toml --group-by user --again d.ndjson");
    assert!(answer.code == Some(2) && answer.error.contains("--again needs --store"), "{}", answer.error);
}

#[test]
fn help_names_the_variables_and_shows_no_value() {
    let place = tempfile::tempdir().unwrap();
    for command in ["run", "show", "explain", "doctor", "export", "import"] {
        let line = format!("{command} --help");
        let help = with(
            place.path(),
            &[("DICTRACK_STORE", "mongodb://u:s3cret@h"), ("DICTRACK_CACHE", "redis://:s3cret@h")],
            &line,
        );
        let help = help.good();
        let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for variable in ["DICTRACK_STORE", "DICTRACK_STORE_FILE", "DICTRACK_CACHE", "DICTRACK_CACHE_FILE"] {
            assert!(words.contains(variable), "{command}: {words}");
        }
        assert!(!words.contains("s3cret"));
    }
}

#[test]
fn a_url_given_by_mistake_is_shown_without_its_password() {
    let folder = counted();
    let urls = [
        "redis://host?password=s3cret",
        "redis://:s3cret",
        "redis://u:s3cret@h:port",
        "mongodb:/u:s3cret@h",
        "redis:u:s3cret@h",
        "mongodb//u:s3cret@h",
        "mongodb://u:s3/cret@h",
        "mongodb://u:s3?cret@h",
        "mongodb://u:s3#cret@h",
        "mongodb://u:%s3cret@h",
        "mongodb://u:%€s3cret@h",
        "mongodb://h/?s3cret=1",
        "mongodb://h/?authMechanismProperties=s3cret",
        "u:s3cret@h",
        "http://u:s3cret@h",
        "mongodb://u:s3cret\u{202e}@é ",
        "redis:\\\\:s3cret@h",
        "\"redis://u:s3cret@h\"",
        "mongodb://u:s3cret@h/db\n",
        "h:6379,password=s3cret",
        "redis://u@h?password_file=s3cret",
        concat!(
            "mongodb://u:s3cret@h/",
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
        ),
    ];
    for url in urls {
        for words in [
            &["show", "--store", url][..],
            &["show", "--cache", url],
            &["doctor", "--store", url],
            &["doctor", "--cache", url],
            &["run", "--trackers", "t.toml", "--group-by", "user", "--store", url],
            &["export", "--cache", url],
            &["run", "--trackers", "t.toml", "--group-by", "user", "--id", "id", "--cache", url],
            &["import", "--store", url],
            &["import", "--store", "new.db", "--from-dictrack", url],
            &["import", "--store", "new.db", "--cache", url],
            &["run", "--trackers", "t.toml", "--group-by", "user", url],
            &["run", "--trackers", url, "--group-by", "user"],
            &["doctor", url],
            &["show", "--stor", url],
            &[url],
            &["check", url],
            &["test", url],
            &["import", "--store", "new.db", url],
            &["show", "--store", "s.db", "--output", url],
            &["show", "--store", "s.db", "--now", url],
            &["show", url, "--store", "s.db"],
            &["explain", url, "{}", "--store", "s.db"],
            &["explain", "u", "{}", "--trackers", url],
            &["run", "--trackers", "t.toml", "--group-by", "user", "--durability", url],
            &["run", "--trackers", "t.toml", "--group-by", "user", "--memory", url],
            &["run", "--trackers", "t.toml", "--group-by", "user", "--events", url],
            &["completions", url],
            &["export", "--store", "s.db", "--x", url],
        ] {
            let answer = dictrack_with(folder.path(), words, "");
            let said = format!("{}{}", answer.out, answer.error);
            assert_ne!(answer.code, Some(0), "{words:?}: {said}");
            assert!(!said.contains("s3") && !said.contains("cret"), "{words:?}: {said}");
        }
    }
    assert!(
        fs::read_dir(folder.path()).unwrap().all(|entry| !entry.unwrap().file_name().to_string_lossy().contains("s3"))
    );
}

#[test]
fn a_server_that_echoes_unknown_arguments_does_not_leak_the_login() {
    // Like Redis before 6.2, or one with a renamed AUTH.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(1..) = stream.read(&mut bytes) {
                    let answer = "-ERR unknown command `AUTH`, with args beginning with: `u`, `s3cret`, \r\n".repeat(4);
                    if stream.write_all(answer.as_bytes()).is_err() {
                        break;
                    }
                }
            });
        }
    });
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("password"), "s3cret\n").unwrap();
    for login in [format!("u:s3cret@127.0.0.1:{port}"), format!("u@127.0.0.1:{port}?password_file=password")] {
        for line in ["show --cache", "doctor --cache", "import --store x.db --from-dictrack"] {
            let answer = dictrack(place.path(), &format!("{line} redis://{login}"));
            let said = format!("{}{}", answer.out, answer.error);
            // The client for the servers of 2.1.5 uses other words.
            assert!(said.contains("unknown command") || said.contains("authentication failed"), "{line}: {said}");
            assert!(!said.contains("s3cret"), "{line}: {said}");
        }
    }
}

#[test]
fn a_url_from_a_variable_is_not_among_the_arguments_of_the_process() {
    let folder = counted();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_dictrack"))
        .current_dir(folder.path())
        .args(["run", "--trackers", "t.toml", "--group-by", "user"])
        .env("DICTRACK_STORE", "s.db")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let place = format!("/proc/{}/cmdline", child.id());
    // They appear a moment after the process.
    let arguments = (0..5000).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(1));
        Some(fs::read_to_string(&place).unwrap()).filter(|arguments| !arguments.is_empty())
    });
    let arguments = arguments.unwrap();
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    assert!(arguments.contains("t.toml") && !arguments.contains("s.db"), "{arguments}");
}
