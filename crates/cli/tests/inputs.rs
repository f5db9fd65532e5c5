//! Files as people have them: other separators, encodings and shapes, several groups' worth of columns, folders of files.

#[allow(dead_code, reason = "each test file uses its part")]
mod command;

use std::fs;
use std::path::Path;

use command::{Answer, COUNTER, counted, dictrack, dictrack_with, folder, gzip, number, progress, run};
use dictrack::json::Json;

const SUM: &str = r#"
[[trackers]]
name = "n"
kind = "count"
target = 1000

[[trackers]]
name = "spent"
kind = "sum"
key = "price"
target = [10, 1000]
"#;

fn with_json(folder: &Path, more: &str) -> Json {
    dictrack(folder, &format!("run -t t.toml -o json {more}")).json()
}

/// How much a tracker of a group in `s.db` has.
fn amount(folder: &Path, group: &str, tracker: usize) -> String {
    let shown = dictrack_with(folder, &["show", group, "--store", "s.db", "--output", "json"], "").json();
    command::at(&shown, &format!("trackers.{tracker}.progress")).to_string()
}

fn utf_16(text: &str, big: bool) -> Vec<u8> {
    let units = std::iter::once(0xfeff).chain(text.encode_utf16());
    units.flat_map(|unit: u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
}

#[test]
fn cells_are_separated_by_what_the_option_or_the_name_says() {
    let rows = [["user", "price", "note"], ["a", "1.50", "x, y"], ["b", "2.25", "z"], ["a", "10", ""]];
    for (name, separator, option) in [
        ("in.tsv", "\t", ""),
        ("in.csv", "\t", "--delimiter tab"),
        ("in.csv", "\t", "-f tsv"),
        ("in.csv", ";", "--delimiter ;"),
        ("in.tsv", "|", "--delimiter |"),
    ] {
        let folder = folder(&[("t.toml", SUM)]);
        let text: String = rows.iter().map(|row| row.join(separator) + "\n").collect();
        fs::write(folder.path().join(name), text).unwrap();
        let summary = with_json(folder.path(), &format!("-g user -s s.db --number price {option} {name}"));
        assert_eq!(number(&summary, "documents"), 3, "{name} {option}");
        assert_eq!((amount(folder.path(), "a", 1), amount(folder.path(), "b", 1)), ("11.5".into(), "2.25".into()));
    }
    let folder = folder(&[("t.toml", SUM), ("in.csv", "user;price\na;1,50\nb;2.25\na;1.000,5\na;7\n")]);
    let decimal = with_json(folder.path(), "-g user -s s.db --delimiter ; --number price --decimal-comma in.csv");
    assert_eq!(number(&decimal, "documents"), 4);
    // What has a point as well is not a number.
    assert_eq!(amount(folder.path(), "a", 1), "8.5");
    let refused = |more: &str| dictrack(folder.path(), &format!("run -t t.toml -g user {more} in.csv"));
    for (more, expected) in [
        (
            "",
            "in.csv:1: --group-by: unknown column \"user\"; expected one of user;price; is it separated by ;? use --delimiter ';'",
        ),
        ("--delimiter ; --id order", "in.csv:1: --id: unknown column \"order\"; expected one of user, price"),
        ("--delimiter ;; ", "expected one ASCII character, or \"tab\""),
        ("--delimiter \" ", "quotes and line ends have their own meaning"),
        ("--decimal-comma", "--number"),
    ] {
        let answer = refused(more);
        assert!(matches!(answer.code, Some(1 | 2)) && answer.error.contains(expected), "{more}: {}", answer.error);
    }
}

#[test]
fn a_column_with_dots_is_a_field_of_a_map_unless_that_hides_another_column() {
    let trackers = "[[trackers]]\nname = \"n\"\nkind = \"count\"\ntarget = 9\nconditions = [{ key = \"item.kind\", eq = \"x\" }]\n";
    let folder = folder(&[("t.toml", trackers), ("in.csv", "user.id,item.kind,item.size\na,x,1\na,y,2\nb,x,3\n")]);
    let summary = with_json(folder.path(), "-g user.id in.csv");
    assert_eq!((number(&summary, "documents"), counted(&summary, "n")), (3, 2));
    fs::write(folder.path().join("in.csv"), "user,user.id,item.kind\na,1,x\na,2,y\n").unwrap();
    assert_eq!(counted(&with_json(folder.path(), "-g user in.csv"), "n"), 1);
    assert_eq!(number(&with_json(folder.path(), "-g user\\.id in.csv"), "groups"), 2);
}

#[test]
fn other_encodings_and_packings_are_read() {
    let lines = "{\"user\":\"é\"}\n{\"user\":\"b\"}\n{\"user\":\"é\"}\n";
    let rows = "user,x\né,1\nb,2\né,3\n";
    let folder = folder(&[("t.toml", COUNTER)]);
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    for big in [false, true] {
        write("lines.json", &utf_16(lines, big));
        write("rows.csv", &utf_16(rows, big));
        write("lines.ndjson.gz", &gzip(&utf_16(lines, big)));
        for name in ["lines.json", "rows.csv", "lines.ndjson.gz"] {
            let summary = with_json(folder.path(), &format!("-g user {name}"));
            assert_eq!((number(&summary, "documents"), number(&summary, "groups")), (3, 2), "{name}");
        }
    }
    #[cfg(feature = "zstd")]
    {
        let pack = |text: &[u8]| zstd::encode_all(text, 3).unwrap();
        write("rows.csv.zst", &pack(rows.as_bytes()));
        write("a.zst", &[pack(lines.as_bytes()), pack(lines.as_bytes())].concat());
        write("b.zst", &pack(&utf_16(lines, true)));
        for (name, documents) in [("rows.csv.zst", 3), ("a.zst", 6), ("b.zst", 3)] {
            let summary = with_json(folder.path(), &format!("-g user {name}"));
            assert_eq!((number(&summary, "documents"), number(&summary, "groups")), (documents, 2), "{name}");
        }
        let many: String = (0..50_000).map(|at| format!("{{\"user\":\"{}\"}}\n", at * 7_919 % 10_007)).collect();
        let packed = pack(many.as_bytes());
        write("short.zst", &packed[..packed.len() - 50]);
        let mut damaged = packed.clone();
        damaged[packed.len() / 2] ^= 0x55;
        write("damaged.zst", &damaged);
        for name in ["short.zst", "damaged.zst"] {
            let answer = dictrack(folder.path(), &format!("run -t t.toml -g user -o json {name} lines.json"));
            assert_eq!(answer.code, Some(1));
            assert!(answer.error.contains("read error: the zstd data is"), "{}", answer.error);
            assert!(number(&Json::parse(answer.out.as_bytes()).unwrap(), "documents") >= 3);
        }
        // The position at which a run resumes is one in the unpacked data.
        write("a.zst", &pack(lines.as_bytes()));
        assert_eq!(number(&run(folder.path(), "a.zst").json(), "documents"), 3);
        write("a.zst", &pack(format!("{lines}{lines}").as_bytes()));
        assert_eq!(number(&run(folder.path(), "a.zst").json(), "documents"), 3);
        assert_eq!(progress(folder.path(), "é"), 4);
    }
}

#[test]
fn documents_may_be_in_a_list_or_on_several_lines() {
    let pretty =
        "[\n  {\n    \"user\": \"a\",\n    \"x\": [1, {\"y\": \"}\"}]\n  },\n  {\n    \"user\": \"b\"\n  }\n]\n";
    let folder = folder(&[
        ("t.toml", COUNTER),
        ("pretty.json", pretty),
        ("one.json", "[{\"user\":\"a\"},{\"user\":\"b\"}]"),
        ("after.json", "{\n\"user\":\"a\"}\n{\n\"user\":\"b\"}"),
        ("lines.json", "{\"user\":\"a\"}\n{\"user\":\"b\"}\n"),
    ]);
    for name in ["pretty.json", "one.json", "after.json", "lines.json"] {
        let summary = with_json(folder.path(), &format!("-g user {name}"));
        assert_eq!((number(&summary, "documents"), number(&summary, "groups")), (2, 2), "{name}");
        let text = fs::read(folder.path().join(name)).unwrap();
        let piped = dictrack_with(folder.path(), &["run", "-t", "t.toml", "-g", "user", "-o", "json"], text).json();
        assert_eq!(number(&piped, "documents"), 2, "{name}");
    }

    // Errors name the line where a document starts, and a run resumes after it.
    fs::write(folder.path().join("in.json"), "[\n{\"user\":\"a\"},\n{\n\"user\" 1},\n{\"user\":\"a\"}, 7\n]\n")
        .unwrap();
    let stopped = run(folder.path(), "--strict in.json");
    assert_eq!(stopped.code, Some(1));
    assert!(stopped.error.contains("in.json:3: not JSON: "), "{}", stopped.error);
    assert_eq!(progress(folder.path(), "a"), 1);
    let rest = run(folder.path(), "in.json");
    assert!(rest.error.contains("in.json:3: ") && rest.error.contains("in.json:5: "), "{}", rest.error);
    assert_eq!(number(&rest.json(), "malformed"), 2);
    assert_eq!(progress(folder.path(), "a"), 2);
    assert_eq!(number(&run(folder.path(), "in.json").json(), "documents"), 0);

    for (text, expected) in [
        ("[{\"user\":\"a\"},", "the input ends within a list; expected \"]\""),
        ("[{\"user\":\"a\"},{\"user\":", "the input ends within a document"),
    ] {
        fs::write(folder.path().join("cut.json"), text).unwrap();
        let answer = dictrack(folder.path(), "run -t t.toml -g user -o json cut.json lines.json");
        assert_eq!(answer.code, Some(1));
        assert!(answer.error.contains(expected), "{}", answer.error);
        assert_eq!(number(&Json::parse(answer.out.as_bytes()).unwrap(), "documents"), 3);
    }
}

#[test]
fn a_list_longer_than_memory_allows_is_read_piece_by_piece() {
    let folder = folder(&[("t.toml", COUNTER)]);
    let documents: Vec<String> = (0..60_000)
        .map(|at| format!("  {{\n    \"user\": \"u{}\",\n    \"note\": \"{}\"\n  }}", at % 10, "x".repeat(at % 200)))
        .collect();
    fs::write(folder.path().join("in.json"), format!("[\n{}\n]\n", documents.join(",\n"))).unwrap();
    for threads in [1, 3] {
        let summary = with_json(folder.path(), &format!("-g user --threads {threads} in.json"));
        assert_eq!((number(&summary, "documents"), counted(&summary, "n")), (60_000, 10_000));
    }
}

#[test]
fn times_without_an_offset_are_in_the_zone() {
    let trackers = "[[trackers]]\nname = \"n\"\nkind = \"count\"\ntarget = 9\nevery = \"day\"\n";
    let rows = "user,at\na,2026-01-01 00:05:32\na,2026-01-01 23:59:59.5\na,2026-01-02 00:00\n";
    let folder = folder(&[("t.toml", trackers), ("in.csv", rows)]);
    let line = "run -t t.toml -g user --time at -o ndjson --zone Asia/Tokyo in.csv";
    let events = dictrack(folder.path(), line).good();
    assert!(events.contains("\"occurred_at\":\"2025-12-31T15:05:32Z\""), "{events}");
    let late = "user,at\na,2026-01-32 00:05:32\n";
    fs::write(folder.path().join("in.csv"), late).unwrap();
    let refused = dictrack(folder.path(), line);
    assert!(
        refused.error.contains("in.csv:2: the time at at is a string \"2026-01-32 00:05:32\""),
        "{}",
        refused.error
    );
}

#[test]
fn conditions_leave_documents_out() {
    let lines = "{\"user\":\"a\",\"country\":\"DE\",\"x\":1}\n{\"user\":\"a\",\"country\":\"FR\"}\n{\"country\":\"FR\"}\n{\"user\":\"b\",\"country\":\"DE\",\"x\":5}\n";
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", lines)]);
    let run = |conditions: &[&str], more: &[&str]| -> Answer {
        let mut words = vec!["run", "-t", "t.toml", "-g", "user", "-o", "json"];
        conditions.iter().for_each(|condition| words.extend(["--where", condition]));
        words.extend(more);
        words.push("in.ndjson");
        dictrack_with(folder.path(), &words, "")
    };
    let german = r#"{"key":"country","eq":"DE"}"#;
    for threads in ["1", "2"] {
        let summary = run(&[german], &["--threads", threads]).json();
        let numbers = ["documents", "filtered", "malformed", "groups"].map(|key| number(&summary, key));
        assert_eq!(numbers, [2, 2, 0, 2]);
        let both = run(&[german, r#"{"key":"x","gt":2}"#], &["--threads", threads]).json();
        assert_eq!((number(&both, "documents"), number(&both, "filtered")), (1, 3));
    }
    assert_eq!(number(&run(&[german], &["--strict"]).json(), "filtered"), 2);
    // A second run does not look at them again.
    let stored = run(&[german], &["-s", "s.db"]).json();
    assert_eq!(number(&stored, "filtered"), 2);
    let again = run(&[german], &["-s", "s.db"]).json();
    assert_eq!((number(&again, "documents"), number(&again, "filtered")), (0, 0));
    for (condition, expected) in [
        ("country=DE", "not JSON"),
        (r#"{"key":"country","is":"DE"}"#, "is"),
        (r#"{"custom":"mine"}"#, "custom conditions need a program"),
    ] {
        let refused = run(&[condition], &[]);
        assert_eq!(refused.code, Some(2));
        assert!(refused.error.contains(expected), "{}", refused.error);
    }
}

#[test]
fn a_group_may_have_several_parts_or_be_the_only_one() {
    let lines = "{\"user\":\"a\",\"country\":\"DE\"}\n{\"user\":\"a\",\"country\":\"FR\"}\n{\"user\":\"a\",\"country\":\"DE\"}\n{\"user\":\"x,y\",\"country\":1}\n";
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", lines)]);
    let summary = with_json(folder.path(), "-g user,country -s s.db in.ndjson");
    assert_eq!((number(&summary, "documents"), number(&summary, "groups")), (4, 3));
    assert_eq!(progress(folder.path(), "a,DE"), 2);
    assert_eq!(amount(folder.path(), "\"x,y\",1", 0), "1");
    let other = dictrack(folder.path(), "run -t t.toml -g user -s s.db in.ndjson");
    assert!(
        other.error.contains("was counted with --group-by user,country, but this run has --group-by user"),
        "{}",
        other.error
    );
    let all = with_json(folder.path(), "-s all.db in.ndjson");
    assert_eq!((number(&all, "documents"), number(&all, "groups")), (4, 1));
    let shown = dictrack(folder.path(), "show all --store all.db --output json").json();
    assert_eq!(number(&shown, "trackers.0.progress"), 4);
}

#[test]
fn folders_and_patterns_name_files_in_order() {
    let folder = folder(&[("t.toml", COUNTER)]);
    let logs = folder.path().join("logs");
    fs::create_dir_all(logs.join("deep/empty")).unwrap();
    for (name, text) in [
        ("a.ndjson", "{\"user\":\"a\"}\n"),
        ("b.csv", "user\nb\n"),
        ("deep/c.json", "[{\"user\":\"c\"}]"),
        ("deep/readme.txt", "not an input"),
        (".hidden.txt", "nor this"),
    ] {
        fs::write(logs.join(name), text).unwrap();
    }
    for (inputs, documents) in
        [("logs", 3), ("logs/deep", 1), ("logs/*.ndjson", 1), ("logs/**/*.[cj]s*", 2), ("logs/deep logs/a*", 2)]
    {
        let summary = with_json(folder.path(), &format!("-g user {inputs}"));
        assert_eq!(number(&summary, "documents"), documents, "{inputs}");
    }
    assert_eq!(number(&run(folder.path(), "logs").json(), "documents"), 3);
    fs::write(logs.join("d.ndjson"), "{\"user\":\"d\"}\n").unwrap();
    assert_eq!(number(&run(folder.path(), "logs").json(), "documents"), 1);
    for (inputs, expected) in [
        ("logs/deep/empty", "logs/deep/empty: no input in this folder; expected files that end in .ndjson"),
        ("logs/*.parquet", "logs/*.parquet: no file has a name of this pattern"),
        ("logs/[", "logs/[: invalid pattern: "),
        ("nothing.ndjson", "nothing.ndjson: "),
        ("logs logs/a.ndjson", "file is given twice"),
    ] {
        let refused = dictrack(folder.path(), &format!("run -t t.toml -g user {inputs}"));
        assert_eq!(refused.code, Some(1), "{inputs}");
        assert!(refused.error.contains(expected), "{}", refused.error);
    }
}

#[test]
fn a_file_that_cannot_be_read_does_not_keep_the_others_from_being_counted() {
    let folder = folder(&[
        ("t.toml", COUNTER),
        ("twice.csv", "user,user\na,b\n"),
        ("other.csv", "customer\na\n"),
        ("good.csv", "user\na\nb\n"),
        ("x.zip", "PK\u{3}\u{4}…"),
    ]);
    let answer = run(folder.path(), "twice.csv other.csv x.zip good.csv");
    assert_eq!(answer.code, Some(1));
    for expected in [
        "twice.csv:1: column \"user\" appears twice in the header; expected unique names",
        "other.csv:1: --group-by: unknown column \"user\"; expected one of customer",
        "input is a zip archive; expected plain text, gzip or zstd: unpack it with `unzip -p`",
    ] {
        assert!(answer.error.contains(expected), "{}", answer.error);
    }
    assert_eq!(number(&Json::parse(answer.out.as_bytes()).unwrap(), "documents"), 2);
    fs::write(folder.path().join("other.csv"), "user\nc\n").unwrap();
    assert_eq!(number(&Json::parse(run(folder.path(), "other.csv good.csv").out.as_bytes()).unwrap(), "documents"), 1);
}

#[test]
fn nothing_but_a_byte_order_mark_is_an_empty_input() {
    for (big, name) in [(false, "in.ndjson"), (true, "in.csv"), (true, "in.json"), (false, "in.ndjson.gz")] {
        let folder = folder(&[("t.toml", SUM)]);
        let mark = utf_16("", big);
        let bytes = if name.ends_with(".gz") { gzip(&mark) } else { mark };
        fs::write(folder.path().join(name), &bytes).unwrap();
        let file = with_json(folder.path(), &format!("-g user -s s.db {name}"));
        let format = name.split('.').nth(1).unwrap();
        let words = ["run", "-t", "t.toml", "-g", "user", "-o", "json", "--format", format, "-"];
        let pipe = dictrack_with(folder.path(), &words, bytes).json();
        for summary in [file, pipe] {
            assert_eq!((number(&summary, "documents"), number(&summary, "malformed")), (0, 0), "{name}: {summary}");
        }
        // What is written to it later counts.
        fs::write(folder.path().join("in.ndjson"), utf_16("{\"user\":\"a\"}\n", big)).unwrap();
        assert_eq!(number(&with_json(folder.path(), "-g user -s s.db in.ndjson"), "documents"), 1);
    }
}
