//! How malformed documents are reported, and inputs of which nothing can be counted.

#[allow(dead_code, reason = "each test file uses its part")]
mod command;

use command::{COUNTER, dictrack, dictrack_with, folder, number, progress, run};

#[test]
fn malformed_lines_are_named_and_counted_and_the_rest_counts() {
    let lines = "{\"user\":\"a\"}\n{\"user\":\n{\"user\":\"a\"}\n{\"other\":1}\n{\"user\":[]}\n{\"user\":7}\n";
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", lines)]);
    let answer = run(folder.path(), "in.ndjson");
    for start in ["in.ndjson:2: ", "in.ndjson:4: there is no group at user", "in.ndjson:5: the group at user is a list"]
    {
        assert!(answer.error.lines().any(|line| line.starts_with(start)), "{start}: {}", answer.error);
    }
    assert_eq!(answer.error.lines().count(), 3, "{}", answer.error);
    let summary = answer.json();
    assert_eq!((number(&summary, "documents"), number(&summary, "malformed")), (3, 3));
    assert_eq!((progress(folder.path(), "a"), progress(folder.path(), "7")), (2, 1));
}

#[test]
fn an_input_without_one_good_document_fails_and_counts_once_the_command_is_right() {
    let csv = "user,n\na,1\na,2\n";
    let folder = folder(&[("t.toml", COUNTER), ("b.csv", csv), ("good.ndjson", "{\"user\":\"b\",\"usr\":\"b\"}\n")]);
    let wrong = "run --trackers t.toml --group-by usr --store s.db --output json b.csv good.ndjson";
    let answer = dictrack(folder.path(), wrong);
    assert_eq!(answer.code, Some(1));
    assert!(answer.error.contains("dictrack: no document of b.csv has a value at usr"), "{}", answer.error);
    assert_eq!(progress(folder.path(), "b"), 1, "another input counts");
    assert_eq!(number(&run(folder.path(), "b.csv").json(), "documents"), 2);
    assert_eq!(progress(folder.path(), "a"), 2);
    // What follows good documents may all be malformed.
    std::fs::write(folder.path().join("b.csv"), format!("{csv},3\n")).unwrap();
    assert_eq!(number(&run(folder.path(), "b.csv").json(), "malformed"), 1);
}

#[test]
fn a_strict_run_does_not_judge_what_it_has_not_read() {
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", "{}\n{\"user\":\"a\"}\n")]);
    let answer = run(folder.path(), "--strict in.ndjson");
    assert_eq!((answer.code, answer.error.contains("no document of")), (Some(1), false), "{}", answer.error);
    assert_eq!(number(&run(folder.path(), "in.ndjson").json(), "documents"), 1);
}

#[test]
fn an_input_that_is_not_json_is_said_to_be_none() {
    let folder = folder(&[("t.toml", COUNTER), ("in.txt", &"user,n\n".repeat(100)), ("one.txt", "not json\n")]);
    let answer = run(folder.path(), "in.txt");
    let lines: Vec<&str> = answer.error.lines().collect();
    assert_eq!(lines[0], "in.txt:1: not JSON: \"user,n\"; expected a document like {\"a\": 1}");
    assert_eq!(lines[3], "in.txt: its first lines are not JSON; if it is CSV, say --format csv");
    let last = "dictrack: no line of in.txt is JSON; nothing of it was counted; if it is CSV, say --format csv";
    assert_eq!(lines[21..], [last, "… 80 more malformed"], "{}", answer.error);
    assert_eq!(answer.code, Some(1));
    let one = run(folder.path(), "one.txt");
    assert!(one.code == Some(1) && one.error.contains("if it is CSV, say --format csv"), "{}", one.error);
}

#[test]
fn milliseconds_are_guessed_and_long_values_are_cut() {
    let lines = format!(
        "{{\"user\":\"a\",\"at\":1}}\n{{\"user\":\"a\",\"at\":1700000000000}}\n{{\"user\":\"a\",\"at\":\"{}\"}}\n",
        "x".repeat(1000)
    );
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", &lines)]);
    let answer = run(folder.path(), "--time at in.ndjson");
    let lines: Vec<&str> = answer.error.lines().collect();
    assert!(lines[0].contains("a number 1700000000000; expected") && lines[0].ends_with("are these milliseconds?"));
    assert!(lines[1].contains(&format!("a string \"{}…\"; expected", "x".repeat(40))), "{}", lines[1]);
}

#[test]
fn gzip_is_known_by_its_first_bytes() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, b"{\"user\":\"a\"}\n{\"user\":\"a\"}\n").unwrap();
    let packed = packed.finish().unwrap();
    let folder = folder(&[("t.toml", COUNTER), ("plain.gz", "{\"user\":\"b\"}\n")]);
    std::fs::write(folder.path().join("packed.log"), &packed).unwrap();
    let words = ["run", "--trackers", "t.toml", "--group-by", "user", "--output", "json"];
    let piped = dictrack_with(folder.path(), &[&words[..], &["-"]].concat(), packed);
    assert_eq!(number(&piped.json(), "documents"), 2);
    let files = dictrack_with(folder.path(), &[&words[..], &["packed.log", "plain.gz"]].concat(), "");
    assert_eq!(number(&files.json(), "documents"), 3);
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_line() {
    let folder = folder(&[("t.toml", COUNTER), ("a.ndjson", "\u{feff}{\"user\":\"a\"}\n{\"user\":\"a\"}\n")]);
    let summary = run(folder.path(), "a.ndjson").json();
    assert_eq!((number(&summary, "documents"), number(&summary, "malformed")), (2, 0));
}

#[test]
fn a_file_that_is_named_twice_is_refused_before_it_counts_twice() {
    let folder = folder(&[("t.toml", COUNTER), ("a.ndjson", "{\"user\":\"a\"}\n")]);
    let answer = run(folder.path(), "a.ndjson ./a.ndjson");
    assert_eq!(answer.code, Some(1));
    assert!(answer.error.contains("./a.ndjson: the file is named twice"), "{}", answer.error);
}

#[test]
fn an_empty_file_is_said_to_be_no_store_yet() {
    let folder = folder(&[("s.db", "")]);
    let answer = dictrack(folder.path(), "show --store s.db");
    assert_eq!(
        (answer.code, answer.error.trim()),
        (Some(1), "dictrack: s.db: an empty file; no run has written to it yet")
    );
}
