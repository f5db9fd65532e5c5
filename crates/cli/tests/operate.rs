//! What operators do by hand: `reset`, `set-progress`, `delete`, and looking up groups by a tracker.

#[allow(dead_code, reason = "each test file uses its part")]
mod command;

use command::{Answer, at, dictrack, folder, number, progress, run};
use dictrack::json::Json;

const TRACKERS: &str = r#"
[[trackers]]
name = "n"
kind = "count"
target = [2, 5]
limiters = [{ count = 4 }]

[[trackers]]
name = "free"
kind = "sum"
key = "x"

[[trackers]]
name = "run"
kind = "streak"
every = "day"
target = 9
each = 1
"#;

/// A store in which `a` has 3 of 5, `b` 1 of 2, `c` is limited with 4, and `d` has none.
fn stored(trackers: &str) -> tempfile::TempDir {
    let lines: String = ["a", "b", "a", "c", "c", "a", "c", "c", "c"]
        .iter()
        .map(|user| format!("{{\"user\":\"{user}\",\"x\":1.5}}\n"))
        .collect();
    let folder = folder(&[("t.toml", trackers), ("in.ndjson", &lines)]);
    run(folder.path(), "in.ndjson").good();
    folder
}

const TWO: &str = r#"
[[trackers]]
name = "n"
kind = "count"
target = [2, 5]
limiters = [{ count = 4 }]
reset_policy = []

[[trackers]]
name = "x"
kind = "sum"
key = "x"
target = 4
"#;

fn refused(answer: Answer, expected: &str) {
    assert_eq!(answer.code, Some(1), "{}", answer.out);
    assert_eq!(answer.error.trim_end(), format!("dictrack: {expected}"));
}

#[test]
fn an_operator_sees_what_would_change_and_then_changes_it() {
    let folder = stored(TWO);
    let folder = folder.path();
    let dry = dictrack(folder, "set-progress b n 4 --dry --store s.db").good();
    assert_eq!(dry, "group b: n would be set, 1/2 before, 4/2 after\n");
    assert_eq!(progress(folder, "b"), 1);
    let done = dictrack(folder, "set-progress b n 4 --store s.db -o json").json();
    assert_eq!((number(&done, "before.progress"), number(&done, "after.progress")), (1, 4));
    assert_eq!(at(&done, "dry"), &Json::Bool(false));
    assert_eq!(progress(folder, "b"), 4);

    let dry = dictrack(folder, "reset c n --what all --dry --store s.db -o json").json();
    assert_eq!((number(&dry, "before.progress"), number(&dry, "after.progress")), (4, 0));
    assert_eq!((at(&dry, "before.limited"), at(&dry, "after.limited")), (&Json::Bool(true), &Json::Bool(false)));
    assert_eq!(progress(folder, "c"), 4);
    assert!(
        dictrack(folder, "reset c n --what limiter --store s.db").good().starts_with("group c: n reset, 4/5 before")
    );
    assert_eq!(progress(folder, "c"), 4);
    assert!(dictrack(folder, "reset c n --what progress --store s.db").good().contains("4/5 before, 0/2 after"));
    assert_eq!(progress(folder, "c"), 0);

    assert_eq!(dictrack(folder, "delete a --dry --store s.db").good(), "group a would be deleted, with 2 trackers\n");
    assert_eq!(progress(folder, "a"), 3);
    assert_eq!(dictrack(folder, "delete a --store s.db").good(), "group a deleted, with 2 trackers\n");
    assert!(dictrack(folder, "show a --store s.db").good().contains("all trackers were removed"));

    refused(dictrack(folder, "delete a --store s.db"), "group \"a\" has nothing to delete");
    refused(
        dictrack(folder, "reset c x --store s.db"),
        "group \"c\" has completed tracker \"x\"; expected an active one",
    );
    refused(dictrack(folder, "delete z --store s.db"), "s.db: group \"z\" does not exist");
    refused(dictrack(folder, "reset b m --store s.db"), "group \"b\" has no active tracker \"m\"; it has \"n\", \"x\"");
    let answer = dictrack(folder, "set-progress b n many --store s.db");
    assert!(answer.code == Some(2) && answer.error.contains("many"), "{}", answer.error);
    // Nothing creates a store.
    assert_eq!(dictrack(folder, "delete a --store new.db").code, Some(1));
    assert!(!folder.join("new.db").exists());
}

#[test]
fn groups_are_found_by_the_progress_of_a_tracker() {
    let folder = stored(TWO);
    let folder = folder.path();
    let groups = |more: &str| {
        let out = dictrack(folder, &format!("show --tracker n --store s.db --output csv {more}")).good();
        let mut lines = out.lines();
        assert_eq!(lines.next(), Some("group,tracker,progress,target,stage,stages,cycle,status"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let (a, b, c) = ("a,n,3,5,2,2,0,active", "b,n,1,2,1,2,0,active", "c,n,4,5,2,2,0,limited");
    for (more, expected) in [
        ("", &[a, b, c][..]),
        ("--top 2", &[c, a]),
        ("--top 10", &[c, a, b]),
        ("--at-least 3", &[a, c]),
        ("--at-least 2 --at-most 3.5", &[a]),
        ("--status limited", &[c]),
        ("--status active --top 1", &[c]),
        ("--status completed", &[]),
        ("--limit 1", &[a]),
    ] {
        assert_eq!(groups(more), expected, "{more}");
    }
    let json = dictrack(folder, "show --tracker x --top 1 --store s.db --output json").json();
    assert_eq!((at(&json, "group").as_str(), at(&json, "status").as_str()), (Some("a"), Some("completed")));
    let table = dictrack(folder, "show --tracker n --top 2 --store s.db").good();
    assert!(table.contains("4/5 2 of 2 limited") && table.ends_with("2 groups\n"), "{table}");
    // All trackers of all groups, and of one.
    let all = dictrack(folder, "show --store s.db -o csv").good();
    assert_eq!(all.lines().count(), 7, "{all}");
    let one = dictrack(folder, "show a --store s.db -o csv").good();
    assert_eq!(one.lines().skip(1).collect::<Vec<_>>(), [a, "a,x,4.5,4,1,1,0,completed"]);
    assert_eq!(dictrack(folder, "show a --tracker n --store s.db").code, Some(2));
    assert_eq!(dictrack(folder, "show --top 3 --store s.db").code, Some(2));
}

#[test]
fn a_run_prints_its_table_as_csv() {
    let folder = stored(TWO);
    let out = run(folder.path(), "--again --output csv in.ndjson");
    let csv = dictrack(folder.path(), "run -t t.toml -g user -o csv in.ndjson").good();
    let header = "tracker,groups,completed,limited,counted,refused,skipped,late,resting,failed";
    assert_eq!(csv, format!("{header}\nn,3,0,1,8,1,0,0,0,0\nx,3,2,0,7,0,0,0,0,0\n"));
    assert_eq!(out.code, Some(2), "two formats");
}

#[test]
fn trackers_without_a_target_and_streaks_are_shown_and_refused() {
    let folder = stored(TRACKERS);
    let folder = folder.path();
    let rows = dictrack(folder, "show --tracker free --top 1 --store s.db -o csv").good();
    assert_eq!(rows.lines().nth(1), Some("c,free,7.5,,1,0,0,active"));
    refused(
        dictrack(folder, "set-progress a run 3 --store s.db"),
        "tracker \"run\" is a streak, which has no progress to set",
    );
    assert!(dictrack(folder, "show --tracker free --store s.db").good().contains("7.5"));
}
