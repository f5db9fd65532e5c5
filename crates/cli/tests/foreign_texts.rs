//! Untrusted text is shown on one line, shortened, and with hidden characters escaped.

#[allow(dead_code, reason = "each test file uses its part")]
mod command;

use std::fs;

use command::{COUNTER, dictrack, dictrack_with, folder, run};

/// Characters that change the writing direction, move the cursor, are invisible, or end a line.
const HIDDEN: [char; 12] = [
    '\u{202e}',
    '\u{2066}',
    '\u{200b}',
    '\u{200d}',
    '\u{feff}',
    '\u{ad}',
    '\u{1b}',
    '\u{9b}',
    '\u{7f}',
    '\u{2028}',
    '\u{e0041}',
    '\r',
];

fn name() -> String {
    format!("a{}b\nerror: forged", HIDDEN.iter().collect::<String>())
}

fn assert_shown(said: &str) {
    assert!(said.contains("\\u{202e}") && said.contains("\\u{9b}") && said.contains("b\\nerror: forged"), "{said}");
    assert_hidden(said);
}

fn assert_hidden(said: &str) {
    assert!(!said.contains(|letter| HIDDEN.contains(&letter)), "{said:?}");
    assert!(!said.lines().any(|line| line.starts_with("error: forged")), "{said}");
}

fn json(text: &str) -> String {
    dictrack::json::Json::from(text).to_string()
}

#[test]
fn names_and_ids_are_escaped_in_tables_and_errors() {
    let name = name();
    let trackers = format!("{{\"trackers\": [{{\"name\": {0}, \"kind\": \"count\", \"target\": 5}}]}}", json(&name));
    let folder = folder(&[("t.json", &trackers), ("d.ndjson", &format!("{{\"user\": {}}}\n", json(&name)))]);
    let place = folder.path();
    assert_shown(&dictrack(place, "run --trackers t.json --group-by user --store s.db d.ndjson").good());
    assert_shown(&dictrack(place, "show --store s.db").good());
    assert_shown(&dictrack_with(place, &["show", &name, "--store", "s.db"], "").good());
    assert_shown(&dictrack_with(place, &["explain", &name, "{}", "--store", "s.db"], "").good());
    for words in [
        &["show", &format!("{name}x"), "--store", "s.db"][..],
        &["show", "--store", &name],
        &["show", "--output", &name],
    ] {
        let answer = dictrack_with(place, words, "");
        assert_ne!(answer.code, Some(0));
        assert_shown(&answer.error);
    }
    // JSON has its own escapes for the same text.
    for line in
        ["show --store s.db --output json", "run --trackers t.json --group-by user --store n.db --output json d.ndjson"]
    {
        let said = dictrack(place, line).good();
        assert!(said.contains("\\u202e") && said.contains("\\u009b") && said.contains("\\u007f"), "{said}");
        assert_hidden(&said);
        assert!(dictrack::json::Json::parse(said.as_bytes()).unwrap().to_string().contains(&json(&name)));
    }
    let events = dictrack(place, "run --trackers t.json --group-by user --output ndjson d.ndjson d2.ndjson");
    assert_hidden(&events.error);
}

#[test]
fn events_as_json_have_no_hidden_characters() {
    let name = name();
    let trackers = format!("{{\"trackers\": [{{\"name\": {0}, \"kind\": \"count\", \"target\": 1}}]}}", json(&name));
    let folder = folder(&[("t.json", &trackers), ("d.ndjson", &format!("{{\"user\": {}}}\n", json(&name)))]);
    let said = dictrack(folder.path(), "run --trackers t.json --group-by user --output ndjson d.ndjson").good();
    assert!(said.contains("\\u202e") && said.lines().count() >= 1, "{said}");
    assert_hidden(&said);
}

#[test]
fn an_export_has_no_hidden_characters_and_is_imported_unchanged() {
    let name = name();
    let trackers = format!("{{\"trackers\": [{{\"name\": {0}, \"kind\": \"count\", \"target\": 2}}]}}", json(&name));
    let document = format!("{{\"user\": {0}, \"id\": {0}}}\n", json(&name));
    let folder = folder(&[("t.json", &trackers), ("d.ndjson", &document)]);
    let place = folder.path();
    dictrack(place, "run --trackers t.json --group-by user --id id --store s.db d.ndjson").good();
    let exported = dictrack(place, "export --store s.db").good();
    assert!(exported.contains("\\u202e") && exported.contains("\\u009b") && exported.contains("\\u007f"), "{exported}");
    assert_hidden(&exported);
    fs::write(place.join("export"), &exported).unwrap();
    dictrack(place, "import --store copy.db export").good();
    assert_eq!(dictrack(place, "export --store copy.db").good(), exported);
    let shown = |store: &str| dictrack(place, &format!("show --store {store} --output json")).good();
    assert_eq!(shown("copy.db"), shown("s.db"));
}

#[test]
fn names_of_files_and_columns_cannot_forge_a_line() {
    let folder = folder(&[("t.toml", COUNTER)]);
    let place = folder.path();
    let file = format!("{}.csv", name());
    let cells = format!("user,\"{}\"\nu,\"\u{9b}\"\n", name());
    fs::write(place.join(&file), cells.as_bytes()).unwrap();
    let run = |words: &[&str]| {
        let words = [&["run", "--trackers", "t.toml", "--group-by", "user"], words].concat();
        dictrack_with(place, &words, "")
    };
    for words in [
        &["--text", "missing", &file][..],
        &["--number", &name(), "--text", &name(), &file],
        &["missing", &format!("./{}", name())],
    ] {
        let answer = run(words);
        assert_ne!(answer.code, Some(0));
        assert_hidden(&answer.error);
    }
    fs::write(place.join(&file), [format!("user,\"{}\"\nu,", name()).as_bytes(), b"\xff\n"].concat()).unwrap();
    let answer = run(&[&file]);
    assert_shown(&answer.error);
    fs::write(place.join("bad\nerror: forged.toml"), "trackers = 5 # \u{202e}").unwrap();
    for words in [&["check", "bad\nerror: forged.toml"][..], &["test", "bad\nerror: forged.toml"]] {
        let answer = dictrack_with(place, words, "");
        assert_ne!(answer.code, Some(0));
        assert_hidden(&format!("{}{}", answer.out, answer.error));
    }
}

#[test]
fn paths_and_options_cannot_forge_a_line() {
    let folder =
        folder(&[("t.toml", COUNTER), ("d.ndjson", "{\"user\": \"u\", \"a\": {\"b\\nerror: forged\": []}}\n")]);
    let found = "a.b\nerror: forged";
    for path in [&name(), found, &"x".repeat(100_000)] {
        for words in [
            &["--group-by", path][..],
            &["--group-by", "user", "--time", path],
            &["--group-by", "user", "--id", path],
            &["--group-by", "user", &format!("--{path}=5")],
            &["--group-by", "user", &format!("--{path}")],
            &["--group-by", "user", &format!("--events={path}")],
        ] {
            let words = [&["run", "--trackers", "t.toml", "d.ndjson"], words].concat();
            let answer = dictrack_with(folder.path(), &words, "");
            assert_ne!(answer.code, Some(0));
            assert_hidden(&answer.error);
            assert!(answer.error.len() < 2_000, "{words:?}: {}", answer.error.len());
        }
    }
}

#[test]
fn a_group_with_a_megabyte_name_is_shown_on_one_line() {
    let id = "x".repeat(1_000_000);
    let folder = folder(&[("t.toml", COUNTER), ("d.ndjson", &format!("{{\"user\": \"{id}\"}}\n"))]);
    let place = folder.path();
    let summary = run(place, "d.ndjson").json();
    if command::number(&summary, "documents") == 0 {
        // It was rejected with a short message.
        return;
    }
    let shown = dictrack(place, "show --store s.db").good();
    assert!(shown.len() < 2_000 && shown.contains("xxx… (1000000 bytes)"), "{} {:.300}", shown.len(), shown);
    let one = dictrack(place, "show nobody --store s.db");
    assert!(one.error.len() < 500);
}

#[test]
fn groups_without_trackers_are_counted_and_not_listed() {
    let folder = folder(&[("t.toml", COUNTER), ("d.ndjson", "{\"user\": \"a\"}\n{\"user\": \"b\"}\n")]);
    let place = folder.path();
    run(place, "d.ndjson").good();
    let store = dictrack::SqliteStore::open(place.join("s.db")).unwrap();
    let manager = pollster::block_on(dictrack::Manager::builder().store(store).open()).unwrap();
    assert_eq!(pollster::block_on(manager.remove_trackers("a", &["n"])).unwrap().len(), 1);
    drop(manager);
    let shown = dictrack(place, "show --store s.db").good();
    assert!(shown.contains("1 group, 1 other without trackers") && !shown.contains("\na "), "{shown}");
    assert_eq!(dictrack(place, "show --store s.db --output json").good().lines().count(), 1);
    let one = dictrack(place, "show a --store s.db").good();
    assert!(one.contains("group a: all trackers were removed or have expired"), "{one}");
}
