//! What `--store` may name, that only one process may write it, and what happens if the store of a run is removed.
#![cfg(target_os = "linux")]

#[allow(dead_code, reason = "each test file uses its part")]
mod command;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use command::{COUNTER, at, dictrack, dictrack_with, folder, progress, run};

const DOCUMENTS: &str = "{\"user\":\"a\",\"id\":1}\n{\"user\":\"a\",\"id\":2}\n";

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

#[test]
fn names_that_are_not_files_are_rejected_by_every_command_and_leave_nothing() {
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", DOCUMENTS)]);
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("sub")).unwrap();
    symlink("loop", path("loop")).unwrap();
    assert!(Command::new("mkfifo").arg(path("fifo")).status().unwrap().success());
    run(folder.path(), "in.ndjson").good();
    assert_eq!(dictrack(folder.path(), "export --store s.db out.ndjson").code, Some(0));
    let before = entries(folder.path());
    for (name, words) in [
        (":memory:", "leave the store out"),
        ("file:x.db", "SQLite URIs"),
        ("file::memory:?cache=shared", "SQLite URIs"),
        ("fifo", "a pipe"),
        ("sub", "a folder"),
        ("sub/", "a folder"),
        ("new/", "expected a file"),
        ("loop", "symbolic links"),
        ("/dev/null", "a device"),
        ("nowhere/s.db", "does not exist"),
    ] {
        let store = format!("--store={name}");
        let commands: [&[&str]; 6] = [
            &["run", "--trackers", "t.toml", "--group-by", "user", &store, "in.ndjson"],
            &["show", &store],
            &["explain", "a", "{}", &store],
            &["export", &store],
            &["import", &store, "out.ndjson"],
            &["doctor", &store],
        ];
        for words_of in commands {
            let answer = dictrack_with(folder.path(), words_of, "");
            let said = format!("{}{}", answer.out, answer.error);
            assert_eq!(answer.code, Some(1), "{words_of:?}: {said}");
            assert!(said.contains(words) && said.contains(&format!("{name:?}")), "{words_of:?}: {said}");
            assert!(!said.contains("no problems found"), "{said}");
        }
    }
    assert_eq!(entries(folder.path()), before);
}

#[test]
fn no_other_file_is_written_whatever_the_name_of_the_store() {
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", DOCUMENTS), ("Cargo.lock", "mine"), ("precious", "mine")]);
    let path = |name: &str| folder.path().join(name);
    symlink("precious", path("s.db.lock")).unwrap();
    dictrack(folder.path(), "run --trackers t.toml --group-by user --store Cargo in.ndjson").good();
    run(folder.path(), "in.ndjson").good();
    for name in ["Cargo.lock", "precious"] {
        assert_eq!(fs::read_to_string(path(name)).unwrap(), "mine");
    }
    // An import creates its store beside its final place, and does not follow a link to another one.
    dictrack(folder.path(), "export --store s.db out.ndjson").good();
    symlink("s.db", path("new.db.importing")).unwrap();
    let answer = dictrack(folder.path(), "import --store new.db out.ndjson");
    assert!(
        answer.code == Some(1) && answer.error.contains("new.db.importing: a symbolic link is in the way"),
        "{}",
        answer.error
    );
    assert_eq!(progress(folder.path(), "a"), 2);
}

#[test]
fn an_import_through_a_link_fills_its_target() {
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", DOCUMENTS)]);
    let path = |name: &str| folder.path().join(name);
    run(folder.path(), "in.ndjson").good();
    dictrack(folder.path(), "export --store s.db out.ndjson").good();
    symlink("target.db", path("link.db")).unwrap();
    dictrack(folder.path(), "import --store link.db out.ndjson").good();
    assert!(path("link.db").is_symlink());
    let shown = dictrack(folder.path(), "show a --store target.db --output json").json();
    assert_eq!(command::number(&shown, "trackers.0.progress"), 2);
}

/// A run over a pipe that prints events.
struct Live {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Live {
    fn start(folder: &Path, store: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_dictrack"))
            .current_dir(folder)
            .args(["run", "--trackers", "every.toml", "--group-by", "user", "--id", "id", "--output", "ndjson"])
            .args(["--durability", "interval(10ms)", "--store", store, "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    /// Submits a document, which causes an event.
    fn give(&mut self, id: usize) {
        let line = format!("{{\"user\":\"user {id}\",\"id\":\"{id}\"}}\n");
        self.child.stdin.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
    }

    /// Waits for a line with `words`. Returns whether there was one.
    fn read(&mut self, words: &str) -> bool {
        let mut line = String::new();
        while self.out.read_line(&mut line).unwrap() > 0 {
            if line.contains(words) {
                return true;
            }
            line.clear();
        }
        false
    }

    /// Closes its input. Returns the exit code, the output since then, and the errors.
    fn end(mut self) -> (Option<i32>, String, String) {
        drop(self.child.stdin.take());
        let (mut out, mut error) = (String::new(), String::new());
        self.out.read_to_string(&mut out).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
        (self.child.wait().unwrap().code(), out, error)
    }
}

/// A part of the error, and what is done to the store.
type Case = (&'static str, fn(&Path));

const EVERY: &str = "[[trackers]]\nname = \"n\"\nkind = \"count\"\ntarget = [1, 1000]\n";

#[test]
fn a_run_whose_store_is_removed_fails_and_prints_only_what_is_kept() {
    let cases: [Case; 6] = [
        ("removed or renamed", |store| fs::remove_file(store).unwrap()),
        ("removed or renamed", |store| fs::rename(store, store.with_extension("moved")).unwrap()),
        ("replaced by another file", |store| fs::rename(store.with_extension("backup"), store).unwrap()),
        ("written by another program", |store| {
            fs::OpenOptions::new().append(true).open(store).unwrap().write_all(b"x").unwrap();
        }),
        ("written by another program", |store| drop(fs::File::create(store).unwrap())),
        ("lost its log", |store| fs::remove_file(format!("{}-wal", store.display())).unwrap()),
    ];
    for (words, take) in cases {
        let folder = folder(&[("every.toml", EVERY)]);
        let store = folder.path().join("s.db");
        let mut live = Live::start(folder.path(), "s.db");
        live.give(0);
        assert!(live.read("user 0"));
        let (code, _, error) = live.end();
        assert_eq!(code, Some(0), "{error}");
        fs::copy(&store, store.with_extension("backup")).unwrap();
        let mut live = Live::start(folder.path(), "s.db");
        live.give(1);
        assert!(live.read("user 1"));
        take(&store);
        live.give(2);
        let (code, out, error) = live.end();
        assert_eq!(code, Some(1), "{words}: {error}");
        assert!(error.contains("s.db") && error.contains(words), "{words}: {error}");
        assert!(!out.contains("user 2"), "{words}: it was not kept");
    }
}

#[test]
fn a_second_run_is_refused_under_any_name_while_the_first_continues() {
    let folder = folder(&[("every.toml", EVERY), ("t.toml", COUNTER), ("in.ndjson", DOCUMENTS)]);
    let path = |name: &str| folder.path().join(name);
    symlink("s.db", path("link.db")).unwrap();
    let mut live = Live::start(folder.path(), "link.db");
    live.give(1);
    assert!(live.read("user 1"));
    let process = format!("in use by process {}", live.child.id());
    for store in ["s.db", "link.db", "./s.db"] {
        for line in [
            format!("run --trackers t.toml --group-by user --store {store} in.ndjson"),
            format!("import --store {store} in.ndjson"),
        ] {
            let answer = dictrack(folder.path(), &line);
            assert!(answer.code == Some(1) && answer.error.contains(&process), "{line}: {}", answer.error);
        }
        dictrack(folder.path(), &format!("show --store {store}")).good();
        let seen = dictrack(folder.path(), &format!("doctor --store {store} --output json")).json();
        assert_eq!(at(&seen, "findings.0.code").as_str(), Some("owner"), "{seen}");
    }
    fs::hard_link(path("s.db"), path("hard.db")).unwrap();
    let answer = dictrack(folder.path(), "run --trackers t.toml --group-by user --store hard.db in.ndjson");
    assert!(answer.code == Some(1) && answer.error.contains("2 names"), "{}", answer.error);
    fs::remove_file(path("hard.db")).unwrap();
    live.give(2);
    assert!(live.read("user 2"));
    let (code, _, error) = live.end();
    assert_eq!(code, Some(0), "{error}");
    let shown = dictrack(folder.path(), "show --store s.db --output json").good();
    assert_eq!(shown.lines().count(), 2, "{shown}");
}

/// `dictrack` without write permission: as another user or, if the tests cannot switch users, in a read-only folder.
fn as_reader(folder: &Path, words: &[&str]) -> (Option<i32>, String) {
    let program = folder.join("dictrack");
    if !program.exists() {
        fs::copy(env!("CARGO_BIN_EXE_dictrack"), &program).unwrap();
    }
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
        command
    } else {
        Command::new(&program)
    };
    fs::set_permissions(folder, fs::Permissions::from_mode(0o555)).unwrap();
    let output = command.current_dir(folder).args(words).output().expect("setpriv of util-linux");
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (output.status.code(), text)
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout == b"0\n"
}

#[test]
fn a_read_only_store_can_be_shown_and_exported() {
    let folder = folder(&[("every.toml", EVERY)]);
    let path = |name: &str| folder.path().join(name);
    let mut live = Live::start(folder.path(), "s.db");
    live.give(1);
    assert!(live.read("user 1"));
    let check = |when: &str, groups: usize| {
        for name in ["s.db", "s.db-wal", "s.db-shm"].into_iter().filter(|name| path(name).exists()) {
            fs::set_permissions(path(name), fs::Permissions::from_mode(0o644)).unwrap();
        }
        let before = entries(folder.path());
        let (code, shown) = as_reader(folder.path(), &["show", "--store", "s.db", "--output", "json"]);
        assert_eq!((code, shown.lines().count()), (Some(0), groups), "{when}: {shown}");
        let (code, exported) = as_reader(folder.path(), &["export", "--store", "s.db"]);
        assert!(code == Some(0) && exported.contains(&format!("\"groups\":{groups}")), "{when}: {exported}");
        let program = path("dictrack");
        let made: Vec<_> =
            entries(folder.path()).into_iter().filter(|entry| !before.contains(entry) && *entry != program).collect();
        assert!(made.is_empty(), "{when}: {made:?}");
    };
    check("beside a writer", 1);
    live.child.kill().unwrap();
    live.child.wait().unwrap();
    assert!(path("s.db-wal").exists());
    check("after a kill", 1);
    fs::remove_file(path("s.db-shm")).unwrap();
    check("after a kill, copied without the shared memory", 1);
    let mut live = Live::start(folder.path(), "s.db");
    live.give(2);
    assert_eq!(live.end().0, Some(0));
    assert!(!path("s.db-wal").exists());
    check("closed", 2);
    // A writer reports what prevents it.
    let (code, said) = as_reader(
        folder.path(),
        &["run", "--trackers", "every.toml", "--group-by", "user", "--store", "s.db", "every.toml"],
    );
    assert!(code == Some(1) && said.contains("\"s.db\"") && said.contains("Permission denied"), "{said}");
    check("after a writer was refused", 2);
}

#[test]
fn a_reader_of_another_user_leaves_no_file_in_the_way_of_the_owner() {
    if !is_root() {
        // Without a second user, the reader is the owner, whose files do not block anyone.
        return;
    }
    let folder = folder(&[("every.toml", EVERY)]);
    let mut live = Live::start(folder.path(), "s.db");
    live.give(1);
    assert_eq!(live.end().0, Some(0));
    fs::copy(env!("CARGO_BIN_EXE_dictrack"), folder.path().join("dictrack")).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let before = entries(folder.path());
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "./dictrack", "show", "--store", "s.db"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(entries(folder.path()), before);
}
