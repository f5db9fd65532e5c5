//! Export and import: complete, and everything or nothing.

#[allow(dead_code, reason = "each test file uses its part")]
mod command;

use std::path::Path;

use assert_cmd::Command;
use command::{CDNOW, COUNTER, dictrack, dictrack_with, folder, progress, repository, run};

/// The names of the files in a folder.
fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn an_export_read_into_a_new_store_exports_the_same_lines() {
    let folder = folder(&[]);
    let sample = repository("examples/cdnow/sample.ndjson.gz");
    let trackers = repository("examples/cdnow/trackers.toml");
    let line = format!("{CDNOW} {} --id date --output ndjson {}", trackers.display(), sample.display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_dictrack"));
    command.current_dir(folder.path()).args(line.split(' '));
    // Killed at this point, the store has unprinted events; with the ids, there is something of every kind.
    command.env("DICTRACK_CRASH_AT", "before_delivery:1").output().unwrap();
    dictrack(folder.path(), "export --store s.db one.ndjson").good();
    dictrack(folder.path(), "import --store copy.db one.ndjson").good();
    let (first, second) = (
        std::fs::read_to_string(folder.path().join("one.ndjson")).unwrap(),
        dictrack(folder.path(), "export --store copy.db").good(),
    );
    assert!(first == second, "{} and {} lines", first.lines().count(), second.lines().count());
    assert!(first.starts_with("{\"dictrack\":2,\"check\":[1,") && first.lines().count() > 1500);
    assert!(first.contains("\"ids\":[[") && first.contains("\"completed\":[{"));
    assert_eq!(first.contains("\"events\":[{"), cfg!(feature = "crash-points"));
    let show = |store: &str| {
        dictrack(folder.path(), &format!("show --now 2026-01-01 --store {store} --output json --limit 0")).good()
    };
    assert!(show("s.db") == show("copy.db"));
    let again = dictrack(folder.path(), "import --store copy.db one.ndjson");
    assert!(again.code == Some(1) && again.error.contains("already has the group"), "{}", again.error);
    let over = dictrack(folder.path(), "export --store s.db one.ndjson");
    assert_eq!(over.code, Some(1), "an export does not write over a file");
}

/// A folder with an export of the groups a and b.
fn exported() -> (tempfile::TempDir, String) {
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", "{\"user\":\"a\"}\n{\"user\":\"b\"}\n")]);
    run(folder.path(), "in.ndjson").good();
    let export = dictrack(folder.path(), "export --store s.db").good();
    (folder, export)
}

#[test]
fn a_failing_import_leaves_nothing_behind() {
    let (folder, export) = exported();
    let cut = export.lines().count();
    let without = |line: usize| {
        export.lines().enumerate().filter(move |(at, _)| *at != line).map(|(_, text)| format!("{text}\n"))
    };
    let broken = [
        (without(cut - 1).collect::<String>(), format!("line {cut}: the export is incomplete")),
        (without(cut - 2).collect(), format!("line {}: this is line {cut} of the export", cut - 1)),
        (format!("{export}{{}}\n"), format!("line {}: the checksum is missing", cut + 1)),
        (String::new(), "line 1: the export is incomplete".to_owned()),
        (
            export.replace("\"group\":\"b\"", "\"grup\":\"b\""),
            "line 4: the line does not match its checksum".to_owned(),
        ),
    ];
    for (text, words) in broken {
        std::fs::write(folder.path().join("ex.ndjson"), text).unwrap();
        let before = files(folder.path());
        let answer = dictrack(folder.path(), "import --store new.db ex.ndjson");
        assert_eq!((answer.code, files(folder.path())), (Some(1), before), "{}", answer.error);
        assert!(answer.error.starts_with(&format!("dictrack: ex.ndjson: {words}")), "{words}: {}", answer.error);
        let piped = dictrack_with(folder.path(), &["import", "--store", "new.db"], "{}\n");
        assert!(piped.error.starts_with("dictrack: standard input: line 1: not an export"), "{}", piped.error);
    }
    let missing = dictrack(folder.path(), "import --store new.db nothing.ndjson");
    assert!(missing.error.starts_with("dictrack: nothing.ndjson: "), "{}", missing.error);
    assert!(!files(folder.path()).iter().any(|name| name.starts_with("new.db")));
}

#[test]
fn a_failing_import_leaves_the_groups_of_a_store_as_they_were() {
    let (folder, export) = exported();
    std::fs::write(folder.path().join("ex.ndjson"), export).unwrap();
    // The second group of the export exists, the first does not.
    std::fs::write(folder.path().join("b.ndjson"), "{\"user\":\"b\"}\n".repeat(5)).unwrap();
    let more = "run --trackers t.toml --group-by user --store other.db";
    dictrack(folder.path(), &format!("{more} b.ndjson")).good();
    let before = dictrack(folder.path(), "export --store other.db").good();
    let answer = dictrack(folder.path(), "import --store other.db ex.ndjson");
    assert!(answer.code == Some(1) && answer.error.contains("already has the group \"b\""), "{}", answer.error);
    assert_eq!(dictrack(folder.path(), "export --store other.db").good(), before);
    // A store without these groups accepts them.
    std::fs::write(folder.path().join("c.ndjson"), "{\"user\":\"c\"}\n").unwrap();
    dictrack(folder.path(), "run --trackers t.toml --group-by user --store third.db c.ndjson").good();
    dictrack(folder.path(), "import --store third.db ex.ndjson").good();
    let shown = dictrack(folder.path(), "show --store third.db --output json").good();
    assert_eq!((shown.lines().count(), progress(folder.path(), "b")), (3, 1));
}

#[test]
fn leftovers_of_a_killed_import_do_not_block_the_next() {
    let (folder, export) = exported();
    std::fs::write(folder.path().join("ex.ndjson"), &export).unwrap();
    std::fs::copy(folder.path().join("s.db"), folder.path().join("new.db.importing")).unwrap();
    let answer = dictrack(folder.path(), "import --store new.db ex.ndjson");
    assert_eq!(answer.error, "imported 2 groups, 1 definition set and 2 marks\n");
    assert_eq!(dictrack(folder.path(), "export --store new.db").good(), export);
    assert!(!files(folder.path()).iter().any(|name| name.contains("importing")), "{:?}", files(folder.path()));
}

#[test]
fn an_export_does_not_overwrite_a_file() {
    let (folder, _) = exported();
    let over = dictrack(folder.path(), "export --store s.db in.ndjson");
    assert!(over.error.starts_with("dictrack: in.ndjson: file exists; "), "{}", over.error);
    let nowhere = dictrack(folder.path(), "export --store s.db nowhere/ex.ndjson");
    assert!(nowhere.error.starts_with("dictrack: nowhere/ex.ndjson: "), "{}", nowhere.error);
}

#[test]
fn an_import_does_not_replace_the_marks_of_a_store() {
    let (folder, export) = exported();
    let other = COUNTER.replace("\"n\"", "\"other\"");
    std::fs::write(folder.path().join("t2.toml"), other).unwrap();
    std::fs::write(folder.path().join("c.ndjson"), "{\"user\":\"c\"}\n").unwrap();
    let line = "run --trackers t2.toml --group-by user --store c.db --output json c.ndjson";
    dictrack(folder.path(), line).good();
    let answer = dictrack_with(folder.path(), &["import", "--store", "c.db"], export);
    assert_eq!(answer.code, Some(1));
    assert!(answer.error.contains("the mark \"run:trackers\" in the store differs"), "{}", answer.error);
    assert_eq!(dictrack(folder.path(), "show --store c.db --output json").good().matches("\"group\"").count(), 1);
    dictrack(folder.path(), line).good();
}

#[test]
fn an_export_may_be_gzipped_and_one_without_checksums_causes_a_warning() {
    let (folder, export) = exported();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut packed, export.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    std::fs::write(folder.path().join("ex.ndjson.gz"), &packed).unwrap();
    let answer = dictrack(folder.path(), "import --store a.db ex.ndjson.gz");
    assert_eq!((answer.code, &*answer.error), (Some(0), "imported 2 groups, 1 definition set and 2 marks\n"));
    let answer = dictrack_with(folder.path(), &["import", "--store", "b.db"], packed.clone());
    assert_eq!(answer.code, Some(0), "{}", answer.error);
    assert_eq!(dictrack(folder.path(), "export --store b.db").good(), export);

    let mut damaged = packed;
    let middle = damaged.len() / 2;
    damaged[middle] ^= 4;
    std::fs::write(folder.path().join("ex.ndjson.gz"), &damaged).unwrap();
    let answer = dictrack(folder.path(), "import --store c.db ex.ndjson.gz");
    assert!(answer.code == Some(1) && answer.error.starts_with("dictrack: ex.ndjson.gz: "), "{}", answer.error);
    assert!(!files(folder.path()).iter().any(|name| name.starts_with("c.db")));

    // As in format 1: the same lines without checksums.
    let old: String = export
        .replace("{\"dictrack\":2,", "{\"dictrack\":1,")
        .lines()
        .map(|line| format!("{}}}\n", &line[..line.rfind(",\"check\":[").unwrap()]))
        .collect();
    std::fs::write(folder.path().join("old.ndjson"), old).unwrap();
    let answer = dictrack(folder.path(), "import --store d.db old.ndjson");
    assert_eq!(answer.code, Some(0), "{}", answer.error);
    assert!(answer.error.starts_with("old.ndjson: this export has format 1, without checksums"), "{}", answer.error);
    assert_eq!(dictrack(folder.path(), "export --store d.db").good(), export);
}
