//! Windows, rests, streaks and attributes, as the command shows and sets them.

#[allow(dead_code, reason = "each test file uses its part")]
mod command;

use std::path::Path;

use assert_cmd::Command;
use command::{Answer, COUNTER, at, dictrack, folder, number, repository};
use dictrack::json::Json;

const TRACKERS: &str = r#"
[[trackers]]
name = "api"
kind = "count"
target = 1000
limiters = [{ count = 3, per = "minute" }]

[[trackers]]
name = "quest"
kind = "count"
target = 2
every = "day"
keep = 3

[[trackers]]
name = "logins"
kind = "streak"
target = [3, 7]
every = "day"
freezes = { start = 1, per = 2, max = 2 }
conditions = [{ key = "event", eq = "login" }]

[[trackers]]
name = "slow"
kind = "count"
target = 1000
limiters = [{ count = 2, within = "1 hour" }, { count = 60, per = "hour", burst = 5 }]
conditions = [{ key = "event", eq = "slow" }]
"#;

/// `dictrack` in a terminal in this time zone.
fn in_zone(folder: &Path, zone: &str, line: &str) -> Answer {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dictrack"));
    let output = command.current_dir(folder).env("TZ", zone).args(line.split_whitespace()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Answer { code: output.status.code(), out: text(output.stdout), error: text(output.stderr) }
}

fn documents(lines: &[(&str, &str)]) -> String {
    let line = |(at, event): &(&str, &str)| format!("{{\"user\":\"a\",\"at\":\"{at}\",\"event\":\"{event}\"}}\n");
    lines.iter().map(line).collect()
}

/// A folder with the trackers and a store in which these documents of the group `a` were counted.
fn counted(lines: &[(&str, &str)], more: &str) -> tempfile::TempDir {
    let folder = folder(&[("t.toml", TRACKERS), ("in.ndjson", &documents(lines))]);
    run(folder.path(), &format!("{more} in.ndjson")).good();
    folder
}

fn run(folder: &Path, more: &str) -> Answer {
    dictrack(folder, &format!("run --trackers t.toml --group-by user --time at --store s.db --output json {more}"))
}

fn json(folder: &Path, line: &str) -> Json {
    dictrack(folder, &format!("{line} --store s.db --output json")).json()
}

const FIVE: [(&str, &str); 5] = [
    ("2026-01-01T10:00:00Z", "login"),
    ("2026-01-02T10:00:00Z", "login"),
    ("2026-01-03T10:00:00Z", "login"),
    ("2026-01-03T10:00:10Z", "slow"),
    ("2026-01-03T10:00:20Z", "slow"),
];

#[test]
fn peek_says_what_is_left_and_when_it_renews() {
    let folder = counted(&FIVE, "");
    let peek = "peek a --now 2026-01-03T10:00:30Z";
    let seen = json(folder.path(), peek);
    let text = |path: &str| at(&seen, path).to_string();
    let minute = 1_767_434_460;
    assert_eq!(text("trackers.0.name"), "\"api\"");
    assert_eq!(
        text("trackers.0.limiters"),
        format!("[{{\"limit\":3,\"remaining\":0,\"retry_at\":{minute},\"reset_at\":{minute}}}]")
    );
    assert_eq!((text("trackers.0.resets_at"), number(&seen, "now")), ("null".to_owned(), minute - 30));
    let midnight = 1_767_484_800;
    assert_eq!(
        (text("trackers.1.status"), number(&seen, "trackers.1.resets_at")),
        ("\"resting\"".to_owned(), midnight)
    );
    assert_eq!(text("trackers.1.period"), format!("{{\"start\":{},\"end\":{midnight}}}", midnight - 86_400));
    assert_eq!((number(&seen, "trackers.2.progress"), number(&seen, "trackers.2.freezes")), (3, 2));
    let only = json(folder.path(), "peek a slow --now 2026-01-03T10:00:30Z");
    assert_eq!(at(&only, "trackers").as_list().unwrap().len(), 1);
    assert_eq!(number(&only, "trackers.0.limiters.0.retry_at"), minute - 50 + 3_600);

    let table = in_zone(folder.path(), "Europe/Berlin", &format!("{peek} --store s.db")).good();
    for words in [
        "count 3, per minute",
        "0 of 3 left",
        "in 30 s",
        "target 2, every day",
        "2/2 resting",
        "in 14 h",
        "3/7",
        "count 60, per hour, burst 5",
    ] {
        assert!(table.contains(words), "{words}: {table}");
    }
    let other = dictrack(folder.path(), "peek a api other --store s.db");
    assert_eq!(other.error, "dictrack: group \"a\" has no active tracker \"other\"\n");
    assert_eq!(dictrack(folder.path(), "peek b --store s.db").error, "dictrack: s.db: group \"b\" does not exist\n");
}

#[test]
fn show_says_times_as_people_read_them() {
    let folder = counted(&FIVE, "");
    let show = |now: &str| {
        let table = in_zone(folder.path(), "Europe/Berlin", &format!("show a --now {now} --store s.db")).good();
        table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join("\n")
    };
    let table = show("2026-01-03T10:00:30Z");
    for words in [
        "LIMITED 0 of 3 left, renews in 30 s",
        "2/2 1 of 1 resting until tomorrow at 01:00",
        "3/7 2 of 2 3 days in a row, 2 freezes",
        "2/1000 1 of 1 0 of 2 left, next in 1 h, full in 1 h",
        "3 of 5 left, full in 100 s",
        "periods of quest\n2026-01-01 01:00 to 2026-01-02 01:00 1/2\n",
        "2026-01-03 01:00 to 2026-01-04 01:00 2/2, completed 2026-01-03 11:00:10",
        "periods of logins\n2026-01-01 01:00 to 2026-01-02 01:00 1, met",
    ] {
        assert!(table.contains(words), "{words}: {table}");
    }
    let later = show("2026-01-04T10:00:00Z");
    for words in ["3 of 3 left\n", "0/2 1 of 1 starts again in 14 h", "3 days in a row, 2 freezes", "2 of 2 left\n"] {
        assert!(later.contains(words), "{words}: {later}");
    }
    let over = show("2026-01-08T10:00:00Z");
    assert!(over.contains("0 days in a row"), "{over}");
    let shown = json(folder.path(), "show a --now 2026-01-03T10:00:30Z");
    assert_eq!(at(&shown, "trackers.1.periods").as_list().unwrap().len(), 3);
    assert_eq!(number(&shown, "trackers.1.periods.2.progress"), 2);
    assert_eq!(at(&shown, "trackers.2.periods.0.met").to_string(), "true");
    assert!(at(&shown, "trackers.0").as_map().unwrap().get("periods").is_none());
}

#[test]
fn a_sum_that_refused_an_amount_is_limited_although_something_is_left() {
    let trackers = "[[trackers]]\nname = \"n\"\nkind = \"sum\"\ntarget = 100\n\
                    limiters = [{ count = 9, per = \"day\" }, { sum = 10 }]\n";
    let lines = "{\"user\":\"a\",\"amount\":8}\n{\"user\":\"a\",\"amount\":3}\n";
    let folder = folder(&[("t.toml", trackers), ("in.ndjson", lines)]);
    command::run(folder.path(), "in.ndjson").good();
    let table = dictrack(folder.path(), "show a --store s.db").good();
    let words = ["1 of 1 LIMITED\n", "8 of 9 left, renews in", "2 of 10 left"];
    let plain =
        table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect::<String>();
    assert!(words.iter().all(|words| plain.contains(words)), "{table}");
}

#[test]
fn looking_at_a_group_does_not_change_its_store() {
    let folder = counted(&FIVE, "");
    let bytes = || std::fs::read(folder.path().join("s.db")).unwrap();
    let before = bytes();
    for look in ["peek a", "show a", "attributes a", "show", "export", "peek a --now 2036-01-01"] {
        dictrack(folder.path(), &format!("{look} --store s.db")).good();
    }
    dictrack(folder.path(), "explain a {\"event\":\"login\"} --now 2030-01-01 --store s.db").good();
    assert!(before == bytes());
}

#[test]
fn attributes_are_set_shown_and_removed() {
    let folder = counted(&FIVE, "");
    let attributes = |words: &str| json(folder.path(), &format!("attributes a {words}")).to_string();
    assert_eq!(attributes(""), "{}");
    let set = attributes("zone=Europe/Berlin plan=pro seats=5 flags=[true] note=a=b");
    assert_eq!(set, r#"{"zone":"Europe/Berlin","plan":"pro","seats":5,"flags":[true],"note":"a=b"}"#);
    assert_eq!(attributes("plan= seats=null flags= note="), r#"{"zone":"Europe/Berlin"}"#);
    assert_eq!(at(&json(folder.path(), "show a"), "attributes.zone").as_str(), Some("Europe/Berlin"));
    let table = dictrack(folder.path(), "show a --store s.db").good();
    assert!(table.starts_with("group a\n  zone  Europe/Berlin\n"), "{table}");
    assert_eq!(dictrack(folder.path(), "attributes a --store s.db").good(), "group a\n  zone  Europe/Berlin\n");
    // Its day ends as it would have. The next one, which no move makes shorter, ends at a midnight in Berlin.
    let next = json(folder.path(), "peek a quest --now 2026-01-04T12:00:00Z");
    assert_eq!(number(&next, "trackers.0.resets_at"), 1_767_654_000);

    for (change, problem) in [
        ("zone=Europe/Berlim", "unknown time zone \"Europe/Berlim\"; did you mean \"Europe/Berlin\"?"),
        ("zone=5", "`zone` is a number; expected an IANA time zone"),
        ("a=1 a=2", "attribute \"a\" is given twice"),
        ("plan", "expected KEY=VALUE"),
        ("=5", "expected KEY=VALUE"),
    ] {
        let refused = dictrack(folder.path(), &format!("attributes a {change} --store other.db"));
        assert_ne!(refused.code, Some(0), "{change}");
        assert!(refused.error.contains(problem), "{change}: {}", refused.error);
    }
    assert!(!folder.path().join("other.db").exists(), "a wrong attribute does not create a store");
    assert_eq!(attributes(""), r#"{"zone":"Europe/Berlin"}"#);
    // They may come before the first document.
    assert_eq!(json(folder.path(), "attributes b zone=Asia/Tokyo").to_string(), r#"{"zone":"Asia/Tokyo"}"#);
    assert!(dictrack(folder.path(), "show b --store s.db").good().ends_with("  zone  Asia/Tokyo\nno trackers\n"));
}

#[test]
fn the_zone_of_a_run_and_of_looks_is_that_of_windows_without_one() {
    let folder = counted(&[("2026-01-01T23:30:00Z", "login")], "--zone America/New_York");
    let ends = |zone: &str| {
        number(&json(folder.path(), &format!("peek a quest --now 2026-01-02T12:00:00Z {zone}")), "trackers.0.resets_at")
    };
    assert_eq!(ends("--zone America/New_York"), 1_767_416_400);
    let wrong = run(folder.path(), "--zone America/NewYork in.ndjson");
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.error.contains("did you mean \"America/New_York\"?"), "{}", wrong.error);
}

#[test]
fn late_and_resting_documents_are_counted_by_tracker() {
    let lines = [
        ("2026-01-05T10:00:00Z", "login"),
        ("2026-01-05T10:01:00Z", "login"),
        ("2026-01-05T10:02:00Z", "login"),
        ("2026-01-01T10:00:00Z", "login"),
        ("2026-01-02T10:00:00Z", "login"),
    ];
    let folder = folder(&[("t.toml", TRACKERS), ("in.ndjson", &documents(&lines))]);
    let summary = run(folder.path(), "in.ndjson").json();
    let quest = |path: &str| number(&summary, &format!("trackers.1.{path}"));
    assert_eq!((quest("counted"), quest("skipped"), quest("late"), quest("resting")), (2, 3, 2, 1));
    assert_eq!((number(&summary, "trackers.0.late"), number(&summary, "trackers.3.late")), (2, 0));
    // The quest of that day was completed, whatever the day is now.
    assert_eq!((quest("completed"), quest("stages.0.groups")), (1, 1));
    assert_eq!(number(&summary, "periods_as_of"), 1_767_607_320);
    let table = dictrack(folder.path(), "run --trackers t.toml --group-by user --time at in.ndjson").good();
    for words in ["2 late", "1 resting", "; periods as of 2026-01-05 10:02"] {
        assert!(table.contains(words), "{words}: {table}");
    }
}

#[test]
fn the_closing_table_says_when_the_first_limited_group_may_count_again() {
    let line = "{\"user\":\"a\"}\n".repeat(2);
    let trackers =
        "[[trackers]]\nname = \"n\"\nkind = \"count\"\ntarget = 9\nlimiters = [{ count = 1, per = \"year\" }]\n";
    let folder = folder(&[("t.toml", trackers), ("in.ndjson", &line)]);
    let table = in_zone(folder.path(), "UTC", "run --trackers t.toml --group-by user in.ndjson").good();
    assert!(table.contains("-01-01 00:00") || table.contains("tomorrow at 00:00") || table.contains(" in "), "{table}");
}

#[test]
fn documents_too_far_ahead_of_the_clock_are_rejected_and_do_not_stop_a_run() {
    let lines =
        [("2026-01-01T10:00:00Z", "login"), ("9999-01-01T10:00:00Z", "login"), ("2026-01-01T10:00:05Z", "login")];
    let folder =
        folder(&[("t.toml", COUNTER), ("in.ndjson", &documents(&lines)), ("future.ndjson", &documents(&lines[1..2]))]);
    let answer = run(folder.path(), "--ahead 5m in.ndjson");
    let reported = "in.ndjson:2: the time at at is 9999-01-01T10:00:00Z, more than 300 s ahead of the clock (";
    assert!(answer.error.starts_with(reported), "{}", answer.error);
    let summary = answer.json();
    let counts = ["documents", "ahead", "malformed"].map(|key| number(&summary, key));
    assert_eq!(counts, [2, 1, 0]);
    let alone = run(folder.path(), "--ahead 300 future.ndjson");
    assert_eq!(alone.code, Some(1));
    assert!(alone.error.contains("every document in future.ndjson is too far ahead of the clock"), "{}", alone.error);
    let table = dictrack(folder.path(), "run --trackers t.toml --group-by user --time at --ahead 1h in.ndjson").good();
    assert!(table.contains(", 1 ahead of the clock"), "{table}");

    let strict = run(folder.path(), "--ahead 5m --strict --again in.ndjson");
    assert_eq!((strict.code, command::progress(folder.path(), "a")), (Some(1), 3));
    assert!(strict.error.contains("stopped at the first document ahead of the clock because of --strict"));
    let without = dictrack(folder.path(), "run --trackers t.toml --group-by user --ahead 5m in.ndjson");
    assert!(without.code == Some(2) && without.error.contains("--time"), "{}", without.error);
    let wrong = run(folder.path(), "--ahead soon in.ndjson");
    assert!(wrong.code == Some(2) && wrong.error.contains("expected a length of time"), "{}", wrong.error);
    // Without the option, it counts.
    assert_eq!(number(&run(folder.path(), "--again in.ndjson").json(), "documents"), 3);
}

#[test]
fn explain_says_late_resting_and_until_when() {
    let folder = counted(&FIVE, "");
    let explain = |now: &str, output: &str| {
        let line = format!("explain a {{\"event\":\"login\"}} --now {now} --store s.db --output {output}");
        in_zone(folder.path(), "Europe/Berlin", &line)
    };
    let seen = explain("2026-01-03T10:00:30Z", "json").json();
    let text = |path: &str| at(&seen, path).to_string();
    assert_eq!((text("0.verdict"), number(&seen, "0.until")), ("\"limited\"".to_owned(), 1_767_434_460));
    assert_eq!((text("1.reason"), number(&seen, "1.until")), ("\"resting\"".to_owned(), 1_767_484_800));
    let table = explain("2026-01-03T10:00:30Z", "table").good();
    for words in ["until 2026-01-03T10:01:00Z (in 30 s)", "until 2026-01-04T00:00:00Z (in 14 h)"] {
        assert!(table.contains(words), "{words}: {table}");
    }
    let late = explain("2026-01-01T12:00:00Z", "json").json();
    assert_eq!((at(&late, "1.reason").as_str(), number(&late, "1.ended")), (Some("late"), 1_767_312_000));
    let table = explain("2026-01-01T12:00:00Z", "table").good();
    assert!(table.contains("the period that ended at 2026-01-02T00:00:00Z"), "{table}");
}

#[test]
fn a_rate_in_another_spelling_is_refused_with_what_to_write_instead() {
    let with = |limiter: &str| {
        format!("{{\"trackers\":[{{\"name\":\"n\",\"kind\":\"count\",\"target\":1,\"limiters\":[{limiter}]}}]}}")
    };
    let folder = folder(&[
        ("a.json", &with("\"100/minute\"")),
        ("b.json", &with("{\"count\":\"5 per 10 minutes\"}")),
        ("c.toml", &COUNTER.replace("target", "limiters = [\"100/minute\"]\ntarget")),
        ("d.toml", &COUNTER.replace("target", "limiters = \"100/minute\"\ntarget")),
        ("e.yaml", "trackers:\n- {name: n, kind: count, target: 1, limiters: [100/minute]}\n"),
        ("f.yaml", "trackers:\n- {name: n, kind: count, target: 1, limiters: [{count: 100, per: 100/min}]}\n"),
    ]);
    let problem = |file: &str| {
        let answer = dictrack(folder.path(), &format!("check {file}"));
        assert_eq!(answer.code, Some(1));
        answer.error
    };
    for (file, found, instead) in [
        ("a.json", "limiters[0]: a string \"100/minute\"", r#"expected {"count": 100, "per": "minute"}"#),
        ("b.json", "limiters[0].count: a string \"5 per 10 minutes\"", r#"expected {"count": 5, "per": "10 minutes"}"#),
        ("c.toml", "limiters[0]: a string \"100/minute\"", r#"expected {"count": 100, "per": "minute"}"#),
        ("d.toml", "limiters: a string \"100/minute\"", r#"expected [{"count": 100, "per": "minute"}]"#),
        ("e.yaml", "limiters[0]: a string \"100/minute\"", r#"expected {"count": 100, "per": "minute"}"#),
        ("f.yaml", "limiters[0].per: a string \"100/min\"", r#"expected {"count": 100, "per": "minute"}"#),
    ] {
        let problem = problem(file);
        assert!(problem.contains(found) && problem.contains(instead), "{problem}");
    }
}

#[test]
fn an_export_carries_attributes_and_everything_about_time() {
    let folder = counted(&FIVE, "");
    dictrack(folder.path(), "attributes a zone=Europe/Berlin plan=pro --store s.db").good();
    dictrack(folder.path(), "export --store s.db one.ndjson").good();
    dictrack(folder.path(), "import --store copy.db one.ndjson").good();
    let again = dictrack(folder.path(), "export --store copy.db").good();
    assert!(std::fs::read_to_string(folder.path().join("one.ndjson")).unwrap() == again);
    for now in ["2026-01-03T10:00:30Z", "2026-01-02T12:00:00Z", "2026-01-04T12:00:00Z", "2026-02-01"] {
        let look = |command: &str, store: &str| {
            dictrack(folder.path(), &format!("{command} a --now {now} --store {store} --output json")).good()
        };
        for command in ["show", "peek"] {
            assert_eq!(look(command, "s.db"), look(command, "copy.db"), "{command} {now}");
        }
    }
    assert_eq!(dictrack(folder.path(), "attributes copy --store copy.db").code, Some(1));
    // Both go on alike.
    std::fs::write(folder.path().join("more.ndjson"), documents(&[("2026-01-04T08:00:00Z", "login")])).unwrap();
    let line = "run --trackers t.toml --group-by user --time at --output json more.ndjson --store";
    let [first, second] = ["s.db", "copy.db"].map(|store| {
        dictrack(folder.path(), &format!("{line} {store}")).good();
        let shown =
            dictrack(folder.path(), &format!("show a --now 2026-01-04T09:00:00Z --store {store} --output json"));
        shown.json()
    });
    assert_eq!(first, second);
    assert_eq!(number(&first, "trackers.2.progress"), 4);
}

#[test]
fn an_export_of_format_1_is_imported_and_can_be_looked_at() {
    let folder = folder(&[]);
    let old = repository("crates/dictrack/tests/stored/format-1.ndjson");
    dictrack(folder.path(), &format!("import --store s.db {}", old.display())).good();
    let groups = dictrack(folder.path(), "show --store s.db --limit 0 --output json --now 2020-01-01").good();
    assert!(!groups.is_empty());
    for group in groups.lines() {
        let group = Json::parse(group.as_bytes()).unwrap();
        assert_eq!(at(&group, "attributes").to_string(), "{}");
        let name = at(&group, "group").as_str().unwrap().to_owned();
        let peek = ["peek", name.as_str(), "--store", "s.db", "--now", "2020-01-01", "--output", "json"];
        let peeked = command::dictrack_with(folder.path(), &peek, "").json();
        let count = |json: &Json| at(json, "trackers").as_list().unwrap().len();
        assert_eq!(count(&peeked), count(&group));
    }
}

#[test]
fn doctor_says_the_version_of_the_zone_data() {
    let folder = counted(&FIVE, "");
    let version = dictrack::zone::Zones::version();
    assert_eq!(at(&json(folder.path(), "doctor"), "zone_data").as_str(), Some(version));
    let text = dictrack(folder.path(), "doctor --store s.db").good();
    assert!(text.contains(&format!("Time zone data of this command: {version}\n")), "{text}");
}

#[test]
fn the_scenarios_about_time_pass() {
    let mut files: Vec<_> = std::fs::read_dir(repository("scenarios/time"))
        .unwrap()
        .map(|entry| entry.unwrap().path().display().to_string())
        .filter(|path| path.ends_with(".json"))
        .collect();
    files.sort();
    assert!(files.len() >= 80);
    let words: Vec<&str> = std::iter::once("test").chain(files.iter().map(String::as_str)).collect();
    let answer = command::dictrack_with(&repository(""), &words, "");
    assert_eq!((answer.code, answer.out), (Some(0), format!("{} passed, 0 failed\n", files.len())));
}
