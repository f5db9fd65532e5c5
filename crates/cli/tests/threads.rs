//! The law of threads: however many there are, a run prints the same, stores the same and marks the same.

#[allow(dead_code, reason = "each test file uses its part")]
mod command;
#[allow(dead_code, reason = "each test file uses its part")]
mod common;

use std::fmt::Write as _;
use std::path::Path;

use command::{at, dictrack, folder};
use common::Random;
use dictrack::json::Json;

const TRACKERS: &str = r#"
[[trackers]]
name = "all"
kind = "count"
target = [3, 10, 30]

[[trackers]]
name = "spent"
kind = "sum"
key = "a.amount"
target = [20, 500]
conditions = [{key = "kind", in = ["x", "y"]}]

[[trackers]]
name = "round"
kind = "count"
target = [2, 5]
loop_forever = true
conditions = [{any = [{key = "tags", has = "t"}, {key = "a.more.deep", exists = true}]}]
limiters = [{count = 7, per = "hour"}]

[[trackers]]
name = "daily"
kind = "count"
target = 4
every = "day"
conditions = [{key = "a.amount", ge = 5}]
"#;

/// Lines of which some are malformed, in several ways.
fn lines(random: &mut Random, count: usize) -> String {
    let mut text = String::new();
    for at in 0..count {
        let users = random.below(60) + 1;
        let user = random.below(users);
        let time = 1_700_000_000 + at as u64 * 40 - random.below(90_000);
        let (kind, amount) = (["x", "y", "z"][random.below(3) as usize], random.below(2_000));
        let amount = format!("{}.{:02}", amount / 100, amount % 100);
        let _ = match random.below(40) {
            0 => writeln!(text, "{{\"user\":\"u{user}\",\"at\":{time},}}"),
            1 => writeln!(text, "{{\"at\":{time}}}"),
            2 => writeln!(text, "{{\"user\":\"u{user}\",\"at\":\"soon\"}}"),
            // The group 7 and the group "7" are the same.
            3..8 => {
                writeln!(text, "{{\"user\":{},\"at\":{time},\"kind\":\"x\",\"a\":{{\"amount\":{amount}}}}}", user % 9)
            }
            8 => writeln!(text, "{{\"user\":\"{}\",\"at\":{time},\"tags\":[\"t\"]}}", user % 9),
            9 => writeln!(
                text,
                "\n{{ \"user\" : \"u{user}\\u00fc\" , \"at\" : {time}, \"a\": {{\"more\": {{\"deep\": []}}}} }}"
            ),
            10 => writeln!(text, "{{\"user\":{{\"x\":1}},\"at\":{time}}}"),
            _ => writeln!(
                text,
                "{{\"user\":\"u{user}\",\"at\":{time},\"kind\":\"{kind}\",\"a\":{{\"amount\":{amount},\"x\":[{at}]}},\"tags\":[\"{}\"]}}",
                ["s", "t"][random.below(2) as usize],
            ),
        };
    }
    text
}

/// What a run prints, and what it says about the input.
fn run(folder: &Path, threads: usize, output: &str) -> (Option<i32>, String, Vec<String>) {
    let answer = dictrack(
        folder,
        &format!(
            "run --trackers t.toml --group-by user --time at --threads {threads} --store {threads}.db \
             --durability os --output {output} in.ndjson"
        ),
    );
    let said = answer.error.lines().filter(|line| line.contains("in.ndjson:") || line.starts_with('…'));
    (answer.code, answer.out, said.map(str::to_owned).collect())
}

/// The groups, and the marks.
fn stored(folder: &Path, threads: usize) -> (String, Vec<(String, String)>) {
    let groups =
        dictrack(folder, &format!("show --store {threads}.db --now 1700100000 --limit 0 --output json")).good();
    let store = rusqlite::Connection::open(folder.join(format!("{threads}.db"))).unwrap();
    let mut marks = store.prepare("SELECT name, text FROM marks ORDER BY name").unwrap();
    let marks = marks.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    (groups, marks.collect::<Result<_, _>>().unwrap())
}

#[test]
fn the_results_do_not_depend_on_the_number_of_threads() {
    for seed in 0..4 {
        let folder = folder(&[("t.toml", TRACKERS)]);
        let folder = folder.path();
        let mut random = Random(seed);
        let mut text = String::new();
        // The second run begins with groups from the store, and the last prints no events.
        for (count, output) in [(6_000, "ndjson"), (3_000, "ndjson"), (500, "json")] {
            text.push_str(&lines(&mut random, count));
            std::fs::write(folder.join("in.ndjson"), &text).unwrap();
            let (code, printed, said) = run(folder, 1, output);
            assert!(code == Some(0) && !said.is_empty(), "{said:?}");
            assert!(output == "json" || printed.lines().count() > 5);
            for threads in [2, 5] {
                let (other_code, other, other_said) = run(folder, threads, output);
                assert_eq!((other_code, &other_said), (code, &said), "seed {seed}, {threads} threads");
                if output == "ndjson" {
                    assert!(other == printed, "seed {seed}, {threads} threads: other events");
                } else {
                    let results = |text: &str| {
                        let summary = Json::parse(text.as_bytes()).unwrap();
                        ["trackers", "documents", "malformed", "groups"].map(|key| at(&summary, key).to_string())
                    };
                    assert_eq!(results(&other), results(&printed), "seed {seed}, {threads} threads");
                }
                assert!(
                    stored(folder, threads) == stored(folder, 1),
                    "seed {seed}, {threads} threads: other groups or marks"
                );
            }
        }
    }
}

#[test]
fn a_pipe_is_counted_as_it_comes_by_several_threads() {
    let folder = folder(&[("t.toml", TRACKERS)]);
    let text = lines(&mut Random(9), 2_000);
    let run = |threads: &str| {
        let words =
            ["run", "--trackers", "t.toml", "--group-by", "user", "--time", "at", "--output", "ndjson", "--threads"];
        let words: Vec<&str> = words.into_iter().chain([threads]).collect();
        command::dictrack_with(folder.path(), &words, text.clone()).good()
    };
    let one = run("1");
    assert!(one.lines().count() > 100);
    assert!(run("4") == one, "other events");
}

#[test]
fn a_number_of_threads_that_cannot_be_is_refused() {
    let folder = folder(&[("t.toml", TRACKERS)]);
    for given in ["0", "-1", "1.5", "many"] {
        let refused = dictrack(folder.path(), &format!("run --trackers t.toml --group-by user --threads={given}"));
        assert_eq!(refused.code, Some(2), "{}", refused.error);
        let expected = format!("invalid value '{given}' for '--threads <N>': expected a whole number, 1 or more");
        assert!(refused.error.contains(&expected), "{}", refused.error);
    }
}
