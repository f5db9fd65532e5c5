//! `dictrack init` writes files that the other commands accept and that count something.

#[allow(dead_code, reason = "each test file uses its part")]
mod command;

use std::path::Path;

use command::{Answer, at, dictrack, dictrack_with, folder, gzip, number, repository};
use dictrack::json::Json;

/// Runs the last line that `init` printed, and returns the summary of the run.
fn run_next(folder: &Path, printed: &str) -> Json {
    let line = printed.lines().next_back().unwrap().trim();
    let words = format!("{line} --output json");
    let script = format!("dictrack() {{ '{}' \"$@\"; }}; {words}", env!("CARGO_BIN_EXE_dictrack"));
    let output = std::process::Command::new("bash").args(["-c", &script]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    Json::parse(&output.stdout).unwrap()
}

/// Checks the file and counts the sample. Returns what was printed and the summary.
fn init(folder: &Path, line: &str) -> (String, Json) {
    let printed = dictrack(folder, &format!("init {line}")).good();
    let check = printed.lines().rev().nth(1).unwrap().trim().strip_prefix("dictrack ").unwrap();
    assert!(dictrack(folder, check).good().contains(": ok, "), "{printed}");
    let summary = run_next(folder, &printed);
    (printed, summary)
}

fn tracker<'a>(summary: &'a Json, name: &str) -> &'a Json {
    let mut trackers = at(summary, "trackers").as_list().unwrap().iter();
    trackers
        .find(|tracker| at(tracker, "name").as_str() == Some(name))
        .unwrap_or_else(|| panic!("no {name} in {summary}"))
}

#[test]
fn the_sample_of_the_repository_is_understood() {
    let folder = folder(&[]);
    std::fs::copy(repository("examples/cdnow/sample.ndjson.gz"), folder.path().join("sales.ndjson.gz")).unwrap();
    for file in ["trackers.toml", "t.yaml", "t.yml", "t.json"] {
        let (printed, summary) = init(folder.path(), &format!("--output {file} sales.ndjson.gz"));
        assert!(printed.contains("customer_id") && printed.contains("--time date"), "{printed}");
        assert!(number(&summary, "groups") == 1_500 && number(&summary, "malformed") == 0, "{summary}");
        for name in ["documents", "total_amount", "total_quantity"] {
            let tracker = tracker(&summary, name);
            // A group that reaches the last target counts no more.
            assert!(number(tracker, "counted") > 4_000, "{tracker}");
            // About half of the groups reach the first target, and some the last.
            assert!((600..=1_500).contains(&number(tracker, "stages.0.groups")), "{tracker}");
            assert!((1..150).contains(&number(tracker, "stages.2.groups")), "{tracker}");
        }
        let text = std::fs::read_to_string(folder.path().join(file)).unwrap();
        assert_eq!(text.contains('#'), file != "t.json", "{text}");
    }
}

const LOG: &str = "at;userId;event;amount;note\n2026-01-01 10:00:00;ann;login;;x\n2026-01-01 10:05:00;ann;purchase;12.50;y\n\
                   2026-01-01 11:00:00;bob;login;;z\n2026-01-02 10:00:00;ann;login;;u\n2026-01-02 11:00:00;bob;purchase;3.20;v\n\
                   2026-01-03 11:00:00;bob;purchase;30.75;w\n";

#[test]
fn kinds_of_event_get_trackers_with_conditions() {
    let folder = folder(&[("log.csv", LOG)]);
    let (printed, summary) = init(folder.path(), "log.csv");
    assert!(printed.contains("--group-by userId --time at --delimiter ';' log.csv"), "{printed}");
    assert!(printed.contains("event, such as \"login\", \"purchase\""), "{printed}");
    assert_eq!(
        ["documents", "login", "purchase", "total_amount"].map(|name| number(tracker(&summary, name), "counted")),
        [4, 3, 3, 3]
    );
    // A sum reads strings, too, and this is below what bob spent.
    assert_eq!(number(tracker(&summary, "total_amount"), "stages.0.groups"), 2);
}

#[test]
fn csv_of_a_spreadsheet_in_german_is_understood() {
    let rows: String = (0..60)
        .map(|at| format!("{};2026-01-{:02} 08:00:00;{},50;{}\n", 1000 + at % 7, 1 + at % 28, at % 9, at))
        .collect();
    let folder = folder(&[("in.csv", &format!("Kunde_ID;Datum;Betrag;Nr\n{rows}"))]);
    let (printed, summary) = init(folder.path(), "in.csv");
    let command = "--group-by Kunde_ID --time Datum --number Betrag --decimal-comma --delimiter ';' in.csv";
    assert!(printed.contains(command), "{printed}");
    assert_eq!((number(&summary, "groups"), number(&summary, "malformed")), (7, 0));
    assert!(number(tracker(&summary, "total_betrag"), "counted") > 20, "{summary}");
}

#[test]
fn what_is_no_group_and_no_kind_of_event_is_not_taken_for_one() {
    let agents = (0..40)
        .map(|at| format!("{{\"user_agent\":\"agent {}\",\"amount\":\"{}.50\"}}\n", at % 3, at % 4))
        .collect::<String>();
    let folder = folder(&[("agents.ndjson", &agents), ("one.ndjson", "{\"user\":\"a\"}\n")]);
    let (printed, summary) = init(folder.path(), "agents.ndjson");
    assert!(printed.contains("so all documents are one group") && !printed.contains("kinds:   amount"), "{printed}");
    assert_eq!(number(&summary, "groups"), 1);
    let (printed, _) = init(folder.path(), "--force one.ndjson");
    assert!(printed.contains("--group-by user one.ndjson"), "{printed}");
}

#[test]
fn inputs_of_every_format_are_samples() {
    let lines = "{\"user\":{\"id\":7},\"ts\":1767225600,\"kind\":\"a\"}\n{\"user\":{\"id\":8},\"ts\":1767225601,\"kind\":\"b\"}\n";
    let lines = lines.repeat(4);
    let list = format!("[{}]", lines.trim().replace('\n', ",\n"));
    let folder = folder(&[("a.ndjson", &lines), ("b.json", &list), ("c.tsv", "user\tn\n1\t2\n1\t3\n2\t4\n")]);
    std::fs::write(folder.path().join("d.ndjson.gz"), gzip(lines.as_bytes())).unwrap();
    for (file, groups) in [("a.ndjson", 2), ("b.json", 2), ("c.tsv", 2), ("d.ndjson.gz", 2), ("a*.ndjson", 2)] {
        let (printed, summary) = init(folder.path(), &format!("--force {file}"));
        assert_eq!(number(&summary, "groups"), groups, "{printed}");
        assert!(number(tracker(&summary, "documents"), "counted") >= 3, "{summary}");
        assert!(file == "c.tsv" || printed.contains("--group-by user.id --time ts"), "{printed}");
    }
    let piped = dictrack_with(folder.path(), &["init", "-o", "piped.toml", "-"], lines.as_bytes()).good();
    assert!(piped.contains("--group-by user.id --time ts -"), "{piped}");
}

#[test]
fn a_starter_without_a_sample_is_valid() {
    let folder = folder(&[("documents.ndjson", "{\"user\":\"a\",\"at\":\"2026-01-01\",\"event\":\"login\"}\n")]);
    let (printed, summary) = init(folder.path(), "");
    assert!(printed.starts_with("trackers.toml: 5 trackers\n"), "{printed}");
    assert_eq!(number(tracker(&summary, "logins"), "counted"), 1);
    let warned = dictrack(folder.path(), "check trackers.toml");
    assert_eq!(warned.error, "");
}

#[test]
fn nothing_is_overwritten_without_force() {
    let folder = folder(&[("trackers.toml", "mine")]);
    let refused = |answer: Answer, problem: &str| {
        assert_eq!((answer.code, answer.out.as_str()), (Some(1), ""));
        assert!(answer.error.contains(problem), "{}", answer.error);
    };
    refused(dictrack(folder.path(), "init"), "trackers.toml: file exists; use --force to overwrite it");
    assert_eq!(std::fs::read_to_string(folder.path().join("trackers.toml")).unwrap(), "mine");
    dictrack(folder.path(), "init --force").good();
    refused(dictrack(folder.path(), "init --output t.txt"), "expected .toml, .yaml, .yml or .json");
    refused(dictrack(folder.path(), "init --output none/t.toml"), "none/t.toml: ");
    refused(dictrack(folder.path(), "init -o t.toml missing.csv"), "missing.csv: ");
    std::fs::write(folder.path().join("empty.ndjson"), "\n").unwrap();
    refused(dictrack(folder.path(), "init -o t.toml empty.ndjson"), "no documents");
    std::fs::write(folder.path().join("bad.ndjson"), "{\n").unwrap();
    refused(dictrack(folder.path(), "init -o t.toml bad.ndjson"), "bad.ndjson");
    assert!(!folder.path().join("t.toml").exists());
}

#[test]
fn hostile_names_and_values_stay_text() {
    let hostile = [
        "a\"b\\",
        "x\n[[trackers]]\n",
        "${HOME}'; touch evil; '",
        "\u{202e}abc\u{7}",
        "# no",
        "{{",
        "true",
        "1e5",
        "ü.v",
    ];
    let mut lines = String::new();
    for (at, value) in hostile.iter().cycle().take(90).enumerate() {
        let user = Json::from(hostile[at % 3]).to_string();
        let value = Json::from(*value).to_string();
        lines.push_str(&format!(
            "{{\"it's a user\\u0000\\n\":{user},\"type\":{value},\"price.\\u202e$(x)\":{}.5,\"a\\\\\":1}}\n",
            at % 7
        ));
    }
    let folder = folder(&[("in '$(touch evil)'.ndjson", &lines)]);
    for file in ["t.toml", "t.yaml", "t.json"] {
        let printed = dictrack_with(folder.path(), &["init", "-o", file, "in '$(touch evil)'.ndjson"], "").good();
        let checked = dictrack(folder.path(), &format!("check {file}")).good();
        assert!(checked.starts_with(&format!("{file}: ok, 5 trackers with 3 conditions")), "{checked}");
        let text = std::fs::read_to_string(folder.path().join(file)).unwrap();
        for hidden in ['\u{202e}', '\u{7}', '\u{0}'] {
            assert!(!text.contains(hidden) && !printed.contains(hidden), "{hidden:?} in {text}");
        }
        let words = ["run", "--trackers", file, "--group-by", "type", "--output", "json", "in '$(touch evil)'.ndjson"];
        let summary = dictrack_with(folder.path(), &words, "").json();
        let counted = at(&summary, "trackers").as_list().unwrap().iter().map(|tracker| number(tracker, "counted"));
        assert_eq!(counted.collect::<Vec<_>>(), [90, 10, 10, 10, 90], "{summary}");
    }
    assert!(!folder.path().join("evil").exists());
}
