//! Reports about malformed documents, and about inputs from which nothing can be counted.

#[allow(dead_code, reason = "each test file uses its part")]
mod command;

use command::{COUNTER, counted, dictrack, dictrack_with, folder, gzip, number, progress, run};
use dictrack::json::Json;

#[test]
fn malformed_lines_are_reported_and_the_rest_counts() {
    let lines = "{\"user\":\"a\"}\n{\"user\":\n{\"user\":\"a\"}\n{\"other\":1}\n{\"user\":[]}\n{\"user\":7}\n";
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", lines)]);
    let answer = run(folder.path(), "in.ndjson");
    for start in ["in.ndjson:2: ", "in.ndjson:4: no group at user", "in.ndjson:5: the group at user is a list"] {
        assert!(answer.error.lines().any(|line| line.starts_with(start)), "{start}: {}", answer.error);
    }
    assert_eq!(answer.error.lines().count(), 3, "{}", answer.error);
    let summary = answer.json();
    assert_eq!((number(&summary, "documents"), number(&summary, "malformed")), (3, 3));
    assert_eq!((progress(folder.path(), "a"), progress(folder.path(), "7")), (2, 1));
}

#[test]
fn an_input_without_a_good_document_fails_and_counts_once_the_command_is_corrected() {
    let csv = "user,n\na,1\na,2\n";
    let folder = folder(&[("t.toml", COUNTER), ("b.csv", csv), ("good.ndjson", "{\"user\":\"b\",\"usr\":\"b\"}\n")]);
    let wrong = "run --trackers t.toml --group-by usr --store s.db --output json b.csv good.ndjson";
    let answer = dictrack(folder.path(), wrong);
    assert_eq!(answer.code, Some(1));
    let expected = "b.csv:1: --group-by: unknown column \"usr\"; expected one of user, n";
    assert!(answer.error.contains(expected), "{}", answer.error);
    assert_eq!(progress(folder.path(), "b"), 1, "another input counts");
    assert_eq!(number(&run(folder.path(), "b.csv").json(), "documents"), 2);
    assert_eq!(progress(folder.path(), "a"), 2);
    // Everything after good documents may be malformed.
    std::fs::write(folder.path().join("b.csv"), format!("{csv},3\n")).unwrap();
    assert_eq!(number(&run(folder.path(), "b.csv").json(), "malformed"), 1);
}

#[test]
fn the_first_report_of_a_missing_value_lists_the_fields_of_the_document() {
    let lines = "{\"usr\":\"a\",\"order\":{\"id\":7}}\n{\"usr\":\"b\"}\n{\"user\":\"c\"}\n";
    let folder = folder(&[("t.toml", COUNTER), ("a.ndjson", lines), ("b.ndjson", lines)]);
    let answer = run(folder.path(), "a.ndjson b.ndjson");
    let expected = ["a", "b"].map(|name| {
        format!(
            "{name}.ndjson:1: no group at user; the document has usr, order.id\n{name}.ndjson:2: no group at user\n"
        )
    });
    assert_eq!(answer.error, expected.concat());
    // Nobody reads whole documents because of that, so the fields that others have still count.
    assert_eq!(progress(folder.path(), "c"), 2);
}

#[test]
fn a_strict_run_does_not_judge_unread_input() {
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", "{}\n{\"user\":\"a\"}\n")]);
    let answer = run(folder.path(), "--strict in.ndjson");
    assert_eq!((answer.code, answer.error.contains("no document in")), (Some(1), false), "{}", answer.error);
    assert_eq!(number(&run(folder.path(), "in.ndjson").json(), "documents"), 1);
}

#[test]
fn an_input_that_is_not_json_is_reported() {
    let folder = folder(&[("t.toml", COUNTER), ("in.txt", &"user,n\n".repeat(100)), ("one.txt", "not json\n")]);
    let answer = run(folder.path(), "in.txt");
    let lines: Vec<&str> = answer.error.lines().collect();
    assert_eq!(lines[0], "in.txt:1: not JSON: \"user,n\"; expected a document like {\"a\": 1}");
    assert_eq!(lines[3], "in.txt: the first lines are not JSON; if it is CSV, use --format csv");
    let last = "dictrack: no line of in.txt is JSON; none was counted; if it is CSV, use --format csv";
    assert_eq!(lines[21..], [last, "… and 80 more malformed documents"], "{}", answer.error);
    assert_eq!(answer.code, Some(1));
    let one = run(folder.path(), "one.txt");
    assert!(one.code == Some(1) && one.error.contains("if it is CSV, use --format csv"), "{}", one.error);
}

#[test]
fn milliseconds_are_guessed_and_long_values_are_shortened() {
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
fn a_date_written_as_a_number_is_read_as_seconds_with_a_warning() {
    let line = "{\"user\":\"a\",\"at\":20261231}\n";
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", &line.repeat(3)), ("in.csv", "user,at\na,20261231\n")]);
    for input in ["in.ndjson", "in.csv"] {
        let answer = run(folder.path(), &format!("--time at {input}"));
        assert_eq!(
            answer.error,
            "dictrack: the time 20261231 is read as seconds since 1970: 1970-08-23T12:07:11Z; \
             if it is a date, write it as the string \"2026-12-31\"\n"
        );
        answer.good();
    }
}

#[test]
fn second_60_is_accepted_only_where_a_leap_second_can_be() {
    let lines = "{\"user\":\"a\",\"at\":\"2016-12-31T23:59:60Z\"}\n{\"user\":\"a\",\"at\":\"2016-12-31T12:00:60Z\"}\n";
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", lines)]);
    let answer = run(folder.path(), "--time at in.ndjson");
    assert!(answer.error.starts_with("in.ndjson:2: the time at at is a string"), "{}", answer.error);
    assert_eq!(number(&answer.json(), "documents"), 1);
}

#[test]
fn everything_in_the_json_grammar_is_accepted() {
    let trackers = "[[trackers]]\nname = \"n\"\nkind = \"sum\"\nkey = \"n\"\ntarget = 99\n\
                    [[trackers]]\nname = \"c\"\nkind = \"count\"\ntarget = 99\n";
    let long = "9".repeat(5000);
    let lines = format!(
        "{{\"user\":\"a\",\"n\":1,\"x\":\"\\ud800\",\"\\udfff\":1}}\n{{\"user\":\"a\",\"n\":{long}}}\n\
         {{\"user\":\"\\ud800\"}}\n{{\"user\":\"a\",\"n\":\"\\ud800\"}}\n"
    );
    let folder = folder(&[("t.toml", trackers), ("in.ndjson", &lines)]);
    let answer = run(folder.path(), "in.ndjson");
    assert_eq!(
        answer.error,
        "in.ndjson:3: the group at user is a string with a lone surrogate; expected a string or a number\n"
    );
    let summary = answer.json();
    assert_eq!((number(&summary, "documents"), number(&summary, "malformed")), (3, 1));
    assert_eq!((counted(&summary, "n"), counted(&summary, "c")), (1, 3));
    assert_eq!(number(&summary, "trackers.0.skipped"), 2);
}

#[test]
fn a_lone_surrogate_is_explained_as_one() {
    let trackers = "[[trackers]]\nname = \"c\"\nkind = \"count\"\ntarget = 9\nconditions = [{key = \"k\", eq = 1}]\n\
                    [[trackers]]\nname = \"s\"\nkind = \"sum\"\nkey = \"k\"\ntarget = 9\n\
                    [[trackers]]\nname = \"f\"\nkind = \"count\"\ntarget = 9\nconditions = [{key = \"k\", eq_key = \"l\"}]\n";
    let folder = folder(&[("t.toml", trackers)]);
    for document in [r#"{"k": "\ud800", "l": 1}"#, r#"{"k": {"x": ["\udc00"]}, "l": 1}"#, r#"{"k": 1, "l": "a\ud800"}"#]
    {
        for output in ["table", "json"] {
            let words = ["explain", "u", document, "--trackers", "t.toml", "--output", output];
            let said = command::dictrack_with(folder.path(), &words, "").good();
            assert!(said.contains("a string with a lone surrogate"), "{said}");
            assert!(!said.contains("NaN") && !said.contains("is null") && !said.contains("[null]}\""), "{said}");
        }
    }
}

#[test]
fn a_number_is_the_same_group_and_id_however_it_is_spelled() {
    let (digits, far) = ("1000000000000000000000", "9".repeat(5000));
    let lines = format!(
        "{{\"user\":1e21,\"id\":1}}\n{{\"user\":{digits},\"id\":2}}\n{{\"user\":{digits}.0,\"id\":2e0}}\n\
         {{\"user\":\"{digits}\",\"id\":1e21}}\n{{\"user\":\"{digits}\",\"id\":{digits}}}\n\
         {{\"user\":\"{digits}\",\"id\":\"{digits}\"}}\n{{\"user\":{far},\"id\":1}}\n{{\"user\":{far}.0,\"id\":1}}\n"
    );
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", &lines), ("in.csv", &format!("user,id\n{digits},7\n"))]);
    let summary = run(folder.path(), "in.ndjson --id id").json();
    assert_eq!((number(&summary, "groups"), number(&summary, "repeated")), (2, 4));
    assert_eq!(progress(folder.path(), digits), 3);
    run(folder.path(), "in.csv --id id").good();
    assert_eq!(progress(folder.path(), digits), 4);
}

#[test]
fn exceeded_limits_of_a_document_are_not_reported_as_syntax_errors() {
    let (long, deep) = ("x".repeat(1 << 20), "[".repeat(65));
    // The part cut off from a long line is not blank.
    let blank = " ".repeat(1 << 20);
    let lines = format!(
        "{{\"user\":\"{long}\"}}\n{{\"user\":\"a\",\"n\":{deep}{}}}\n{{\"user\":\"a\"}}{blank}garbage\n{{\"user\":\"a\"}}\n{{\"user\":\"{long}",
        "]".repeat(65)
    );
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", &lines)]);
    let answer = run(folder.path(), "in.ndjson");
    let errors: Vec<&str> = answer.error.lines().collect();
    assert_eq!(errors[0], "in.ndjson:1: document of 1048587 bytes; expected up to 1048576 (1 MiB)");
    assert_eq!(errors[1], "in.ndjson:2: lists and maps are nested deeper than 64 levels");
    assert_eq!(errors[2], "in.ndjson:3: document of 1048595 bytes; expected up to 1048576 (1 MiB)");
    assert!(errors[3].starts_with("in.ndjson:5: the last line is incomplete"), "{}", errors[3]);
    assert_eq!(number(&answer.json(), "documents"), 1);
}

#[test]
fn a_damaged_gzipped_file_is_reported_and_the_others_count() {
    let good = gzip(b"{\"user\":\"a\"}\n");
    let mut wrong = good.clone();
    wrong[0] = 0x1f;
    wrong[3] = 0xff;
    let mut checksum = good.clone();
    let at = checksum.len() - 8;
    checksum[at] ^= 1;
    let cut = gzip(&b"{\"user\":\"a\"}\n".repeat(1000));
    let folder = folder(&[("t.toml", COUNTER)]);
    for (name, bytes) in [
        ("padded.gz", [&good[..], &[0; 300]].concat()),
        ("header.gz", wrong),
        ("checksum.gz", checksum),
        ("magic.gz", vec![0x1f, 0x8b]),
        ("cut.gz", cut[..cut.len() - 4].to_vec()),
        ("garbage.gz", [&good[..], b"garbage"].concat()),
        ("csv.csv.gz", vec![0x1f, 0x8b, 9, 9]),
        ("empty.gz", Vec::new()),
        ("last.gz", good),
    ] {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let names = "padded.gz header.gz magic.gz garbage.gz csv.csv.gz empty.gz last.gz";
    for documents in [3, 0] {
        let answer = run(folder.path(), names);
        assert_eq!(answer.code, Some(1), "{}", answer.error);
        for name in ["header.gz:1:", "magic.gz:1:", "garbage.gz:2:", "csv.csv.gz:1:"] {
            let words = format!("{name} read error: the gzip data ");
            assert!(answer.error.lines().any(|line| line.starts_with(&words)), "{name} {}", answer.error);
        }
        assert_eq!(answer.error.lines().count(), 4, "{}", answer.error);
        let summary = Json::parse(answer.out.as_bytes()).unwrap();
        assert_eq!(number(&summary, "documents"), documents);
    }
    assert_eq!(progress(folder.path(), "a"), 3);
    for name in ["checksum.gz", "cut.gz"] {
        let answer = run(folder.path(), name);
        assert!(answer.code == Some(1) && answer.error.contains("the gzip data "), "{name}: {}", answer.error);
    }
}

#[test]
fn unsupported_formats_are_reported_by_name() {
    let folder = folder(&[("t.toml", COUNTER), ("good.ndjson", "{\"user\":\"a\"}\r\n\u{feff}{\"user\":\"a\"}\r\n")]);
    let xz = b"\xfd7zXZ\0....";
    let files: [(&str, &[u8], &str); 4] = [
        ("a.xz", xz, "packed with xz; expected plain text, gzip or zstd: unpack it with `xz -dc`"),
        ("twice.gz", &gzip(xz), "packed with xz"),
        ("a.zst", b"\x28\xb5\x2f\xfd....", "zstd"),
        ("a.zip", b"PK\x03\x04....", "a zip archive"),
    ];
    for (name, bytes, words) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
        let answer = run(folder.path(), &format!("{name} good.ndjson --again"));
        assert!(answer.code == Some(1) && answer.error.contains(words), "{name}: {}", answer.error);
        let summary = Json::parse(answer.out.as_bytes()).unwrap();
        assert_eq!(number(&summary, "documents"), 2, "{name}: {}", answer.error);
        let base = ["run", "--trackers", "t.toml", "--group-by", "user"];
        let piped = dictrack_with(folder.path(), &base, bytes);
        assert!(piped.code == Some(1) && piped.error.contains(words), "{name}: {}", piped.error);
    }
}

#[test]
fn gzip_is_recognised_by_its_first_bytes() {
    let packed = gzip(b"{\"user\":\"a\"}\n{\"user\":\"a\"}\n");
    let folder = folder(&[("t.toml", COUNTER), ("plain.gz", "{\"user\":\"b\"}\n")]);
    std::fs::write(folder.path().join("packed.log"), &packed).unwrap();
    let words = ["run", "--trackers", "t.toml", "--group-by", "user", "--output", "json"];
    let piped = dictrack_with(folder.path(), &[&words[..], &["-"]].concat(), packed);
    assert_eq!(number(&piped.json(), "documents"), 2);
    let files = dictrack_with(folder.path(), &[&words[..], &["packed.log", "plain.gz"]].concat(), "");
    assert_eq!(number(&files.json(), "documents"), 3);
}

#[test]
fn a_byte_order_mark_is_not_part_of_the_first_line() {
    let folder = folder(&[("t.toml", COUNTER), ("a.ndjson", "\u{feff}{\"user\":\"a\"}\n{\"user\":\"a\"}\n")]);
    let summary = run(folder.path(), "a.ndjson").json();
    assert_eq!((number(&summary, "documents"), number(&summary, "malformed")), (2, 0));
}

#[test]
fn a_file_that_is_given_twice_is_rejected() {
    let folder = folder(&[("t.toml", COUNTER), ("a.ndjson", "{\"user\":\"a\"}\n")]);
    let answer = run(folder.path(), "a.ndjson ./a.ndjson");
    assert_eq!(answer.code, Some(1));
    assert!(answer.error.contains("./a.ndjson: file is given twice"), "{}", answer.error);
}

#[test]
fn an_empty_file_is_reported_as_not_written_yet() {
    let folder = folder(&[("s.db", "")]);
    let answer = dictrack(folder.path(), "show --store s.db");
    assert_eq!(
        (answer.code, answer.error.trim()),
        (Some(1), "dictrack: SQLite could not open \"s.db\": file is empty; no program has written to it yet")
    );
}
