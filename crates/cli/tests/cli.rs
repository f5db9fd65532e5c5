//! What each command prints, accepts and rejects.

#[allow(dead_code, reason = "each test file uses its part")]
mod command;

use std::collections::HashMap;
use std::io::Read as _;

use command::{CDNOW, COUNTER, at, dictrack, dictrack_with, folder, number, progress, repository, run};
use dictrack::json::Json;

#[test]
fn the_sample_counts_as_plain_addition_does_and_a_second_run_adds_nothing() {
    let folder = folder(&[]);
    let (trackers, sample) =
        (repository("examples/cdnow/trackers.toml"), repository("examples/cdnow/sample.ndjson.gz"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(&sample).unwrap()).read_to_string(&mut text).unwrap();
    let mut customers: HashMap<String, (u64, u64, u64)> = HashMap::new();
    for line in text.lines() {
        let order = Json::parse(line.as_bytes()).unwrap();
        let (orders, cents, large) = customers.entry(at(&order, "customer_id").as_str().unwrap().into()).or_default();
        *orders += 1;
        *cents += (at(&order, "amount").to_string().parse::<f64>().unwrap() * 100.0).round() as u64;
        *large += u64::from(number(&order, "quantity") >= 5);
    }
    let line = format!("{CDNOW} {} --output json {}", trackers.display(), sample.display());
    let first = dictrack(folder.path(), &line).json();
    let second = dictrack(folder.path(), &line).json();
    assert_eq!((number(&first, "documents"), number(&second, "documents")), (text.lines().count() as u64, 0));
    let reached = |name: &str, stage: usize, least: u64, of: fn(&(u64, u64, u64)) -> u64| {
        let expected = customers.values().filter(|&customer| of(customer) >= least).count() as u64;
        for summary in [&first, &second] {
            let tracker = at(summary, "trackers").as_list().unwrap().iter();
            let tracker = tracker.clone().find(|tracker| at(tracker, "name").as_str() == Some(name)).unwrap();
            assert_eq!(number(tracker, &format!("stages.{stage}.groups")), expected, "{name} {least}");
        }
    };
    for (stage, least) in [2, 5, 10, 25].into_iter().enumerate() {
        reached("loyal_customer", stage, least, |customer| customer.0);
    }
    for (stage, least) in [5_000, 10_000, 50_000, 100_000].into_iter().enumerate() {
        reached("spent_dollars", stage, least, |customer| customer.1);
    }
    for (stage, least) in [1, 3].into_iter().enumerate() {
        reached("box_sets", stage, least, |customer| customer.2);
    }
    assert_eq!(number(&second, "groups"), customers.len() as u64);
    let shown = dictrack(folder.path(), "show --store s.db --output json --limit 0").good();
    assert_eq!(shown.lines().count(), customers.len());
    let few = dictrack(folder.path(), "show --store s.db --limit 7").good();
    assert!(few.contains("7 groups shown; use --limit 0"), "{few}");
}

#[test]
fn a_file_that_grew_resumes_after_the_last_document() {
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", "{\"user\":\"a\"}\n{\"user\":\"b\"}\n")]);
    assert_eq!(number(&run(folder.path(), "in.ndjson").json(), "documents"), 2);
    std::fs::write(folder.path().join("in.ndjson"), "{\"user\":\"a\"}\n{\"user\":\"b\"}\n\n{\"user\":\"a\"}\n")
        .unwrap();
    assert_eq!(number(&run(folder.path(), "in.ndjson").json(), "documents"), 1);
    assert_eq!((progress(folder.path(), "a"), progress(folder.path(), "b")), (2, 1));
    std::fs::write(folder.path().join("in.ndjson"), "{\"user\":\"a\"}\n").unwrap();
    let shorter = run(folder.path(), "in.ndjson");
    assert!(shorter.error.contains("it has 13 bytes, of which 40 were counted"), "{}", shorter.error);
}

#[test]
fn a_strict_run_stops_at_a_malformed_line_and_resumes_there_once_it_is_gone() {
    let good = "{\"user\":\"a\",\"note\":\"a line of some length\"}\n";
    // The hashed beginning of the file ends before the bad line.
    let (before, after) = (good.repeat(200), good.repeat(50));
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", &format!("{before}{{\n{after}"))]);
    for _ in 0..2 {
        let answer = run(folder.path(), "--strict in.ndjson");
        assert_eq!(answer.code, Some(1));
        assert!(answer.error.contains("in.ndjson:201: "), "{}", answer.error);
        assert_eq!(progress(folder.path(), "a"), 200);
    }
    std::fs::write(folder.path().join("in.ndjson"), format!("{before}{after}")).unwrap();
    assert_eq!(number(&run(folder.path(), "--strict in.ndjson").json(), "documents"), 50);
    assert_eq!(progress(folder.path(), "a"), 250);
}

#[test]
fn a_gzipped_file_counts_and_resumes_like_a_plain_one() {
    let folder = folder(&[("t.toml", COUNTER)]);
    let write = |lines: usize| {
        let file = std::fs::File::create(folder.path().join("in.csv.gz")).unwrap();
        let mut out = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        std::io::Write::write_all(&mut out, format!("user,n\n{}", "a,1\n".repeat(lines)).as_bytes()).unwrap();
        out.finish().unwrap();
    };
    write(2000);
    assert_eq!(number(&run(folder.path(), "in.csv.gz").json(), "documents"), 2000);
    assert_eq!(number(&run(folder.path(), "in.csv.gz").json(), "documents"), 0);
    write(2003);
    assert_eq!(number(&run(folder.path(), "in.csv.gz").json(), "documents"), 3);
}

#[test]
fn a_pipe_counts_and_its_ids_count_once() {
    let folder = folder(&[("t.toml", COUNTER)]);
    let words = "run --trackers t.toml --group-by user --store s.db --id id --output json -";
    let words: Vec<&str> = words.split_whitespace().collect();
    let lines = "{\"user\":\"a\",\"id\":1}\n{\"user\":\"a\",\"id\":\"2\"}\n{\"user\":\"a\",\"id\":1}\n";
    for repeated in [1, 3] {
        let summary = dictrack_with(folder.path(), &words, lines).json();
        assert_eq!((number(&summary, "documents"), number(&summary, "repeated")), (3, repeated));
        assert_eq!(progress(folder.path(), "a"), 2);
    }
}

#[test]
fn only_the_requested_events_are_printed_and_none_twice() {
    let folder = folder(&[("t.toml", COUNTER), ("in.ndjson", &"{\"user\":\"a\"}\n".repeat(3))]);
    let line = "run --trackers t.toml --group-by user --store s.db --output ndjson --events stage_completed in.ndjson";
    let out = dictrack(folder.path(), line).good();
    assert_eq!(out.lines().count(), 1, "{out}");
    let event = Json::parse(out.as_bytes()).unwrap();
    assert_eq!((at(&event, "event").as_str(), number(&event, "progress")), (Some("stage_completed"), 2));
    assert_eq!(dictrack(folder.path(), line).good(), "");
}

#[test]
fn check_shows_line_column_and_caret() {
    let toml = "[[trackers]]\nname = \"a\"\nkind = \"count\"\ntarget = 1\nburst = 2\n";
    let folder = folder(&[("bad.toml", toml), ("t.toml", COUNTER), ("bad.json", "[{\"name\": \"a\", \"kind\": 7}]")]);
    let answer = dictrack(folder.path(), "check t.toml bad.toml bad.json");
    assert_eq!(answer.code, Some(1));
    assert_eq!(answer.out, "t.toml: ok, 1 tracker with 0 conditions\n");
    let expected =
        "bad.toml:5:1: trackers[0].burst: unknown field `burst`\n   |\n 5 | burst = 2\n   | ^ expected one of name,";
    assert!(answer.error.starts_with(expected), "{}", answer.error);
    let lines: Vec<&str> = answer.error.lines().collect();
    let place = lines.iter().position(|line| line.starts_with("bad.json:1:24: ")).expect(&answer.error);
    let column = |line: &str, of: &str| line.split('|').nth(1).unwrap().find(of);
    assert_eq!(column(lines[place + 3], "^"), column(lines[place + 2], "7"), "{}", answer.error);
}

#[test]
fn every_scenario_of_the_law_passes_and_a_wrong_one_shows_the_difference() {
    let folder = folder(&[]);
    let law: Vec<String> = std::fs::read_dir(repository("scenarios/law"))
        .unwrap()
        .map(|entry| entry.unwrap().path().display().to_string())
        .filter(|path| path.ends_with(".json"))
        .collect();
    let words: Vec<&str> = std::iter::once("test").chain(law.iter().map(String::as_str)).collect();
    assert!(law.len() >= 100);
    assert_eq!(dictrack_with(folder.path(), &words, "").good(), format!("{} passed, 0 failed\n", law.len()));
    let text = std::fs::read_to_string(repository("scenarios/law/add_targets_lengthens_the_list.json")).unwrap();
    let wrong = text.replacen("\"progress\": 1, \"target\": 2", "\"progress\": 8, \"target\": 2", 1);
    assert_ne!(text, wrong);
    std::fs::write(folder.path().join("wrong.json"), wrong).unwrap();
    let answer = dictrack_with(folder.path(), &["test", "wrong.json", &law[0]], "");
    assert_eq!(answer.code, Some(1));
    assert!(answer.out.starts_with("wrong.json\n") && answer.out.ends_with("1 passed, 1 failed\n"), "{}", answer.out);
    assert!(answer.out.contains('8') && answer.out.contains('1') && answer.out.contains("progress"), "{}", answer.out);
}

#[test]
fn show_and_explain_answer_for_people_and_programs() {
    let trackers = format!("{COUNTER}conditions = [{{ key = \"ok\", eq = true }}]\n");
    let folder = folder(&[("t.toml", &trackers), ("in.ndjson", "{\"user\":\"a\",\"ok\":true}\n")]);
    run(folder.path(), "in.ndjson").good();
    let table = dictrack(folder.path(), "show a --store s.db").good();
    assert!(table.starts_with("group a\n") && table.contains("1/2") && table.contains("1 of 2"), "{table}");
    let explain = |document: &str, more: &[&str]| {
        let words = [&["explain", "a", document, "--store", "s.db"], more].concat();
        dictrack_with(folder.path(), &words, "{\"ok\": true}")
    };
    let missed = explain("{\"ok\": 1}", &[]).good();
    assert!(missed.contains("no match") && missed.contains("ok"), "{missed}");
    let counts = explain("-", &["--output", "json"]).json();
    assert!(counts.to_string().contains("counted"), "{counts}");
    assert_eq!(progress(folder.path(), "a"), 1, "explaining counts nothing");
    for line in ["show b --store s.db", "explain b {} --store s.db"] {
        let answer = dictrack(folder.path(), line);
        assert_eq!(answer.code, Some(1));
        assert!(answer.error.contains("group \"b\" does not exist"), "{}", answer.error);
    }
    let answer = dictrack(folder.path(), "show --store nothing.db");
    assert!(answer.code == Some(1) && answer.error.contains("nothing.db"), "{}", answer.error);
    assert!(!folder.path().join("nothing.db").exists());
}

#[test]
fn a_scenario_that_expects_an_unknown_field_is_rejected() {
    let scenario = |dirtied: &str, end: &str| {
        format!(
            "{{\"group\": \"g\", \"t0\": 0, \"definitions\": [{{\"name\": \"n\", \"kind\": \"count\", \"target\": 9}}],
             \"steps\": [{{\"op\": \"track\", \"now\": 1, \"data\": {{}}, \"dirtied\": {{\"n\": {{{dirtied}}}}}}}],
             \"final\": {{\"n\": {{{end}}}}}}}"
        )
    };
    let good = scenario("\"progress\": 1", "\"progress\": 1, \"stages\": 1");
    let (step, end) = (scenario("\"progres\": 1", ""), scenario("", "\"cycles\": 1"));
    let folder = folder(&[("good.json", &good), ("step.json", &step), ("end.json", &end)]);
    dictrack(folder.path(), "test good.json").good();
    for (file, place) in [("step.json", "steps[0].dirtied.n.progres"), ("end.json", "final.n.cycles")] {
        let answer = dictrack(folder.path(), &format!("test {file}"));
        let (_, field) = place.rsplit_once('.').unwrap();
        let words = format!("{place}: unknown field `{field}`; expected one of name, progress,");
        assert!(answer.code == Some(1) && answer.out.contains(&words), "{}", answer.out);
    }
}

#[test]
fn explain_rejects_what_is_not_a_document() {
    let folder = folder(&[("t.toml", COUNTER)]);
    for (document, kind) in [("5", "a number"), ("\"a\"", "a string"), ("[{}]", "a list"), ("null", "null")] {
        let answer = dictrack_with(folder.path(), &["explain", "u", document, "--trackers", "t.toml"], "");
        assert_eq!(answer.code, Some(1), "{document}");
        assert!(answer.error.contains(&format!("document: {kind}; expected a map")), "{}", answer.error);
    }
}

#[test]
fn explain_lists_completed_trackers_as_completed() {
    let folder =
        folder(&[("t.toml", &COUNTER.replace("[2, 1000]", "1")), ("in.ndjson", "{\"user\":\"a\",\"at\":5}\n")]);
    run(folder.path(), "--time at in.ndjson").good();
    let table = dictrack(folder.path(), "explain a {} --store s.db").good();
    let why = "it reached its last target at 1970-01-01T00:00:05Z and no longer counts";
    assert!(table.contains(&format!("\nn       completed {why}")), "{table}");
    let json = dictrack(folder.path(), "explain a {} --store s.db --output json").json();
    assert_eq!((at(&json, "0.name").as_str(), at(&json, "0.verdict").as_str()), (Some("n"), Some("completed")));
}

#[test]
fn usage_errors_exit_with_2_and_failures_with_1() {
    let folder = folder(&[("t.toml", COUNTER)]);
    let base = "run --trackers t.toml --group-by user";
    for line in [
        "".to_owned(),
        "unknown".to_owned(),
        "run".to_owned(),
        "check".to_owned(),
        "test".to_owned(),
        "show".to_owned(),
        "explain a {}".to_owned(),
        "completions tcl".to_owned(),
        format!("{base} --durability never"),
        format!("{base} --update"),
        format!("{base} --events exploded"),
        format!("{base} --output xml"),
    ] {
        assert_eq!(dictrack(folder.path(), &line).code, Some(2), "{line:?}");
    }
    for line in [
        format!("{base} nothing.ndjson"),
        "run --trackers nothing.toml --group-by user".to_owned(),
        "check nothing.toml".to_owned(),
        "test nothing.json".to_owned(),
        "import --store s.db nothing.ndjson".to_owned(),
    ] {
        assert_eq!(dictrack(folder.path(), &line).code, Some(1), "{line:?}");
    }
}

#[test]
fn every_command_shows_an_example() {
    let folder = folder(&[]);
    let commands = [
        "init",
        "run",
        "check",
        "schema",
        "test",
        "show",
        "peek",
        "explain",
        "doctor",
        "export",
        "import",
        "completions",
        "man",
    ];
    for command in commands {
        let help = dictrack(folder.path(), &format!("{command} --help")).good();
        assert!(help.contains("Example") && help.contains(&format!("dictrack {command}")), "{help}");
    }
}

#[test]
fn there_is_a_manual_page_for_every_command() {
    let folder = folder(&[("file", "")]);
    dictrack(folder.path(), "man share/man1").good();
    let page = |name: &str| std::fs::read_to_string(folder.path().join("share/man1").join(name)).unwrap();
    let main = page("dictrack.1");
    let help = dictrack(folder.path(), "--help").good();
    let commands = help.split_once("Commands:\n").unwrap().1.split("\n\n").next().unwrap();
    // Further lines of a description are indented more.
    let named = commands.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    for command in named.filter(|name| !["", "help"].contains(name)) {
        let escaped = command.replace('-', "\\-");
        assert!(main.contains(&format!("dictrack\\-{escaped}(1)")), "{command}: {main}");
        assert!(page(&format!("dictrack-{command}.1")).contains("Example"), "{command}");
    }
    assert!(page("dictrack-run.1").contains("\\-\\-trackers"));
    let failed = dictrack(folder.path(), "man file");
    assert_eq!((failed.code, failed.error.starts_with("dictrack: file: ")), (Some(1), true), "{}", failed.error);
}
