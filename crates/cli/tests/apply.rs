//! Giving the groups of a store the trackers in a file.

#[allow(dead_code, reason = "each test file uses its part")]
mod command;

use command::{at, dictrack, folder, number};

const QUESTS: &str = r#"
[[trackers]]
name = "posts"
kind = "count"
target = 10
limiters = [{ count = 8 }]

[[templates]]
name = "pro"
for = [{ key = "plan", eq = "pro" }]
trackers = [{ name = "exports", kind = "count", target = 5 }, { name = "gone", kind = "count", target = 5 }]
"#;

#[test]
fn what_would_happen_is_shown_before_it_happens() {
    let lines: String =
        ["a", "a", "a", "b", "b", "c"].iter().map(|user| format!("{{\"user\":\"{user}\"}}\n")).collect();
    let later = QUESTS.replace("target = 10", "target = 3").replace("count = 8", "count = 2").replace(
        ", { name = \"gone\", kind = \"count\", target = 5 }",
        ", { name = \"new\", kind = \"count\", target = 5 }",
    );
    let folder = folder(&[("quests.toml", QUESTS), ("later.toml", &later), ("in.ndjson", &lines)]);
    let path = folder.path();
    dictrack(path, "run --trackers quests.toml --group-by user --store s.db in.ndjson").good();
    dictrack(path, "attributes a plan=pro --store s.db").good();
    let effects = |command: &str| dictrack(path, &format!("apply {command} --store s.db --output json")).json();
    // All groups have the trackers for everyone; these come from no template yet.
    let first = effects("quests.toml");
    let of = |effects: &dictrack::json::Json, name: &str, key: &str| {
        let trackers = at(effects, "trackers").as_list().unwrap();
        let tracker = trackers.iter().find(|tracker| at(tracker, "name").as_str() == Some(name)).unwrap();
        number(tracker, key)
    };
    assert_eq!([number(&first, "groups"), number(&first, "changed")], [3, 3]);
    assert_eq!((of(&first, "posts", "change"), of(&first, "exports", "gain"), of(&first, "gone", "gain")), (0, 1, 1));
    assert_eq!(number(&effects("quests.toml"), "changed"), 0, "all have them");
    let before = dictrack(path, "export --store s.db").good();
    let dry = effects("later.toml --dry");
    assert_eq!(dictrack(path, "export --store s.db").good(), before);
    for (name, key, groups) in [
        ("posts", "change", 3),
        ("posts", "gain", 0),
        ("posts", "would_complete", 1),
        ("posts", "would_be_limited", 2),
        ("exports", "change", 0),
        ("new", "gain", 1),
        ("gone", "lose", 1),
    ] {
        assert_eq!(of(&dry, name, key), groups, "{name} {key}: {dry}");
    }
    let table = dictrack(path, "apply later.toml --dry --store s.db").good();
    assert!(table.contains("would complete") && table.contains("3 of 3 groups would change"), "{table}");
    let done = effects("later.toml");
    assert_eq!(at(&done, "trackers"), at(&dry, "trackers"), "what was shown");
    let group = dictrack(path, "show a --store s.db --output json").json();
    let names: Vec<_> =
        at(&group, "trackers").as_list().unwrap().iter().map(|one| at(one, "name").to_string()).collect();
    assert_eq!(names, ["\"posts\"", "\"exports\"", "\"new\""]);
    assert_eq!((number(&group, "trackers.0.progress"), number(&group, "trackers.0.target")), (3, 3));
}

#[test]
fn a_bad_file_and_a_missing_store_change_nothing() {
    let custom = "[[trackers]]\nname = \"n\"\nkind = \"custom\"\nmeasure = \"weight\"\n";
    let folder = folder(&[("bad.toml", "[[templates]]\nname = \"t\"\n"), ("custom.toml", custom), ("q.toml", QUESTS)]);
    for (command, problem) in [
        ("bad.toml --store s.db", "templates[0].for: required field is missing"),
        ("custom.toml --store s.db", "the command cannot apply the measure \"weight\""),
        ("q.toml --store s.db", "s.db"),
        ("q.toml", "no store or cache given"),
    ] {
        let refused = dictrack(folder.path(), &format!("apply {command}"));
        assert!(refused.code != Some(0) && refused.error.contains(problem), "{command}: {}", refused.error);
    }
    assert!(!folder.path().join("s.db").exists());
}
