//! CSV inputs: the types of cells, and which rows are complete.

#[allow(dead_code, reason = "each test file uses its part")]
mod command;

use command::{COUNTER, counted, dictrack, dictrack_with, folder, gzip, number, progress, run};
use dictrack::json::Json;

#[test]
fn csv_cells_have_the_type_that_they_look_like() {
    let trackers = r#"[[trackers]]
name = "zeros stay strings"
kind = "count"
target = 99
conditions = [{ key = "zip", eq = "00001" }]
[[trackers]]
name = "number"
kind = "sum"
key = "n"
target = 99
conditions = [{ key = "n", eq = 2 }]
[[trackers]]
name = "true"
kind = "count"
target = 99
conditions = [{ key = "flag", eq = true }]
[[trackers]]
name = "false"
kind = "count"
target = 99
conditions = [{ key = "flag", eq = false }]
[[trackers]]
name = "missing"
kind = "count"
target = 99
conditions = [{ key = "empty", absent = true }]
[[trackers]]
name = "text"
kind = "count"
target = 99
conditions = [{ key = "n", eq = "1.50" }]
[[trackers]]
name = "quoted"
kind = "count"
target = 99
conditions = [{ key = "empty", eq = "x, \"y\"\nz" }]
"#;
    let csv = "user,zip,flag,n,empty\na,00001,true,1.50,\nb,00001,false,x,\nc,1,yes,2,\"x, \"\"y\"\"\nz\"\na,b\n";
    let folder = folder(&[("t.toml", trackers), ("in.csv", csv)]);
    let base = "run --trackers t.toml --group-by user --output json in.csv";
    let names = ["zeros stay strings", "number", "true", "false", "missing", "text", "quoted"];
    let counts = |summary: &Json| names.map(|name| counted(summary, name));
    let plain = dictrack(folder.path(), base);
    assert!(plain.error.contains("in.csv:6: record has 2 cells; expected 5"), "{}", plain.error);
    assert_eq!(counts(&plain.json()), [2, 1, 1, 1, 2, 1, 1]);
    let text = dictrack(folder.path(), &format!("{base} --text n,flag")).json();
    assert_eq!(counts(&text), [2, 0, 0, 0, 2, 1, 1]);
}

#[test]
fn only_canonical_numbers_are_numbers() {
    let trackers =
        "[[trackers]]\nname = \"n\"\nkind = \"count\"\ntarget = 99\nconditions = [{ key = \"n\", lt = 2000 }]\n";
    for (cell, counts) in
        [("7", 1), ("1.1", 1), ("-3", 1), ("1e3", 0), ("7.0", 0), ("1.10", 0), ("-0", 0), ("00001", 0), (" 7", 0)]
    {
        let folder = folder(&[("t.toml", trackers), ("in.csv", &format!("user,n\na,{cell}\n"))]);
        let summary = dictrack(folder.path(), "run --trackers t.toml --group-by user --output json in.csv").json();
        assert_eq!(counted(&summary, "n"), counts, "{cell}");
    }
}

#[test]
fn a_last_row_without_a_newline_counts_once_it_has_one() {
    let folder = folder(&[("t.toml", COUNTER), ("in.csv", "user,n\na,1\na,2")]);
    let first = run(folder.path(), "in.csv");
    assert!(first.error.starts_with("in.csv:3: the last row may be incomplete"), "{}", first.error);
    assert_eq!(number(&first.json(), "documents"), 1);
    std::fs::write(folder.path().join("in.csv"), "user,n\na,1\na,23\nb,1\n").unwrap();
    assert_eq!(number(&run(folder.path(), "in.csv").json(), "documents"), 2);
    assert_eq!(progress(folder.path(), "a"), 2);
    // Without a store, no later run resumes.
    std::fs::write(folder.path().join("once.csv"), "user,n\na,1\na,2").unwrap();
    let once = dictrack(folder.path(), "run --trackers t.toml --group-by user --output json once.csv");
    assert_eq!(number(&once.json(), "documents"), 2);
    // A pipe has ended for good.
    let words = "run --trackers t.toml --group-by user --output json --format csv -";
    let piped = dictrack_with(folder.path(), &words.split(' ').collect::<Vec<_>>(), "user,n\na,1\na,2");
    assert_eq!(number(&piped.json(), "documents"), 2);
}

#[test]
fn an_unclosed_quote_is_reported_and_the_rest_counts_once_it_is_closed() {
    let rest = "a,2\n".repeat(50);
    let folder = folder(&[("t.toml", COUNTER), ("in.csv", &format!("user,n\na,1\n\na,\"2\n{rest}"))]);
    for _ in 0..2 {
        let answer = run(folder.path(), "in.csv");
        assert_eq!(answer.code, Some(1));
        assert!(answer.error.starts_with("in.csv:4: a quote in this record is never closed"), "{}", answer.error);
        assert_eq!(progress(folder.path(), "a"), 1);
    }
    std::fs::write(folder.path().join("in.csv"), format!("user,n\na,1\n\na,\"2\"\n{rest}")).unwrap();
    assert_eq!(number(&run(folder.path(), "in.csv").json(), "documents"), 51);
    let words = "run --trackers t.toml --group-by user --output json --format csv -";
    let piped = dictrack_with(folder.path(), &words.split(' ').collect::<Vec<_>>(), "user,n\na,1\na,\"2\na,3\n");
    assert_eq!(piped.code, Some(1));
    assert!(piped.error.starts_with("standard input:3: a quote"), "{}", piped.error);
}

#[test]
fn a_record_over_several_lines_is_reported_at_its_first() {
    let folder = folder(&[("t.toml", COUNTER), ("in.csv", "user,n\na,1\n,\"2\n3\n4\"\n\n,5\na,6\n")]);
    let answer = run(folder.path(), "in.csv");
    for line in ["in.csv:3: no group", "in.csv:7: no group"] {
        assert!(answer.error.lines().any(|found| found.starts_with(line)), "{line}: {}", answer.error);
    }
    assert_eq!(number(&answer.json(), "documents"), 2);
}

#[test]
fn a_record_that_is_too_long_is_malformed_and_the_next_counts() {
    let long = "x".repeat(1 << 20);
    let folder = folder(&[("t.toml", COUNTER), ("in.csv", &format!("user,n\na,\"{long}\"\na,1\n"))]);
    let answer = run(folder.path(), "in.csv");
    assert!(answer.error.starts_with("in.csv:2: record of 1048581 bytes; expected up to 1048576"), "{}", answer.error);
    assert_eq!(number(&answer.json(), "documents"), 1);
}

#[test]
fn a_header_with_a_duplicate_or_a_missing_column_is_rejected() {
    let folder = folder(&[("t.toml", COUNTER), ("twice.csv", "user,n,user\na,1,b\n"), ("in.csv", "user,n\na,1\n")]);
    for (line, words) in [
        ("twice.csv", "column \"user\" appears twice in the header"),
        ("in.csv --text n,zip", "--text: unknown column \"zip\"; expected one of user, n"),
        ("in.csv --number n,zip", "--number: unknown column \"zip\"; expected one of user, n"),
        ("in.csv --number n --text n", "column \"n\" is given by both --text and --number"),
    ] {
        let answer = run(folder.path(), line);
        assert_eq!(answer.code, Some(1), "{line}");
        assert!(answer.error.contains(words), "{line}: {}", answer.error);
    }
}

#[test]
fn the_last_row_of_a_gzipped_file_counts_without_a_newline() {
    let folder = folder(&[("t.toml", COUNTER)]);
    std::fs::write(folder.path().join("in.csv.gz"), gzip(b"user,n\na,1\na,2")).unwrap();
    for documents in [2, 0] {
        let answer = run(folder.path(), "in.csv.gz");
        assert_eq!(answer.error, "");
        assert_eq!(number(&answer.json(), "documents"), documents);
    }
    std::fs::write(folder.path().join("in.csv.gz"), [gzip(b"user,n\na,1\na,2"), gzip(b"\na,3")].concat()).unwrap();
    assert_eq!(number(&run(folder.path(), "in.csv.gz").json(), "documents"), 1);
}

#[test]
fn columns_without_a_name_are_ignored() {
    let folder = folder(&[("t.toml", COUNTER), ("in.csv", ",user,n,,\n9,a,1,,\n9,a,2,x,\n9,a,3\n")]);
    let answer = run(folder.path(), "in.csv");
    assert_eq!(answer.error, "in.csv:4: record has 3 cells; expected 5, as in the header\n");
    assert_eq!(number(&answer.json(), "documents"), 2);
}

#[test]
fn a_repeated_header_is_reported_and_not_counted() {
    let one = "user,n\na,1\nuser,2\n";
    let folder = folder(&[("t.toml", COUNTER), ("in.csv", &format!("{one}{one}\u{feff}{one}"))]);
    let answer = run(folder.path(), "in.csv");
    let words = "the header is repeated; are these several files in one?";
    assert_eq!(answer.error, format!("in.csv:4: {words}\nin.csv:7: {words}\n"));
    assert_eq!(number(&answer.json(), "documents"), 6);
}

#[test]
fn a_header_with_many_columns_is_read_in_linear_time() {
    let names: Vec<String> = (0..100_000).map(|at| format!("c{at}")).collect();
    let header = format!("user,{}", names.join(","));
    let row = format!("a{}", ",".repeat(names.len()));
    let folder = folder(&[("t.toml", COUNTER), ("in.csv", &format!("{header}\n{row}\n"))]);
    // Comparing every pair of names would take minutes.
    let begun = dictrack::clock::Stopwatch::start();
    assert_eq!(number(&run(folder.path(), "in.csv").json(), "documents"), 1);
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
    let missing = run(folder.path(), "in.csv --text zip").error;
    assert!(missing.contains("user, c0, c1, ") && missing.trim_end().ends_with(", c18, and 99981 more"), "{missing}");
}

#[test]
fn number_columns_read_what_a_sum_reads_and_nothing_else() {
    let trackers = "[[trackers]]\nname = \"sum\"\nkind = \"sum\"\nkey = \"n\"\ntarget = 999999\n\
                    [[trackers]]\nname = \"compared\"\nkind = \"count\"\ntarget = 999999\n\
                    conditions = [{ key = \"n\", lt = 2000 }]\n";
    for (cell, counts) in [
        ("5", 1),
        ("+5", 1),
        (" 5", 1),
        ("5 ", 1),
        (" +5 ", 1),
        ("5.0", 1),
        ("5e0", 1),
        ("-0", 1),
        ("0.5", 1),
        (".5", 0),
        ("5.", 0),
        ("007", 0),
        ("+-5", 0),
        ("++5", 0),
        ("+ 5", 0),
        ("1_000", 0),
        ("0x5", 0),
        ("five", 0),
    ] {
        let folder = folder(&[("t.toml", trackers), ("in.csv", &format!("user,n\na,{cell}\n"))]);
        let line = "run --trackers t.toml --group-by user --output json in.csv";
        let typed = dictrack(folder.path(), &format!("{line} --number n")).json();
        assert_eq!((counted(&typed, "sum"), counted(&typed, "compared")), (counts, counts), "{cell:?}");
        assert_eq!(counted(&dictrack(folder.path(), line).json(), "sum"), counts, "{cell:?}");
    }
}

#[test]
fn quotes_across_chunks_are_read_whole_and_runs_resume_after_them() {
    let long = "x\n\"\"".repeat(60_000);
    let rows: String = (0..8).map(|at| format!("a,\"{at}{long}\"\r\n")).collect();
    let folder = folder(&[("t.toml", COUNTER), ("in.csv", &format!("user,n\r\n{rows}"))]);
    assert_eq!(number(&run(folder.path(), "in.csv").json(), "documents"), 8);
    std::fs::write(folder.path().join("in.csv"), format!("user,n\r\n{rows}a,1\r\n")).unwrap();
    assert_eq!(number(&run(folder.path(), "in.csv").json(), "documents"), 1);
    assert_eq!(progress(folder.path(), "a"), 9);
}
