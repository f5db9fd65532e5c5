//! The trackers of a run beside those of the store, and those that the command cannot count.

#[allow(dead_code, reason = "each test file uses its part")]
mod command;

use command::{COUNTER, dictrack, folder, number, progress, run};

#[test]
fn trackers_that_differ_from_the_store_are_named_and_update_takes_them_over() {
    let folder =
        folder(&[("t.toml", COUNTER), ("in.ndjson", "{\"user\":\"a\"}\n{\"user\":\"a\"}\n{\"user\":\"a\"}\n")]);
    run(folder.path(), "in.ndjson").good();
    let other = "[[trackers]]\nname = \"n\"\nkind = \"count\"\ntarget = [2, 5]\n\
                 [[trackers]]\nname = \"m\"\nkind = \"count\"\ntarget = 9\n";
    std::fs::write(folder.path().join("t.toml"), other).unwrap();
    std::fs::write(folder.path().join("more.ndjson"), "{\"user\":\"a\"}\n").unwrap();
    let refused = run(folder.path(), "more.ndjson");
    assert_eq!(refused.code, Some(1));
    for words in ["\"n\" has another definition", "\"m\" is not in the store yet", "--update"] {
        assert!(refused.error.contains(words), "{words}: {}", refused.error);
    }
    assert_eq!(progress(folder.path(), "a"), 3);
    run(folder.path(), "--update more.ndjson").good();
    let group = dictrack(folder.path(), "show a --store s.db --output json").json();
    let seen = [number(&group, "trackers.0.progress"), number(&group, "trackers.0.target")];
    assert_eq!((seen, number(&group, "trackers.1.progress")), ([4, 5], 1));
    std::fs::write(folder.path().join("t.toml"), COUNTER.replace("[2, 1000]", "[2, 5]")).unwrap();
    let refused = run(folder.path(), "more.ndjson");
    assert!(refused.error.contains("\"m\" is missing from the file"), "{}", refused.error);
    run(folder.path(), "--update more.ndjson in.ndjson").good();
}

#[test]
fn groups_that_an_update_did_not_meet_are_updated_by_a_later_run() {
    let folder = folder(&[
        ("t.toml", COUNTER),
        ("in.ndjson", "{\"user\":\"a\"}\n{\"user\":\"b\"}\n"),
        ("a.ndjson", "{\"user\":\"a\"}\n"),
        ("b.ndjson", "{\"user\":\"b\"}\n"),
        ("more.ndjson", "{\"user\":\"c\"}\n"),
    ]);
    run(folder.path(), "in.ndjson").good();
    std::fs::write(folder.path().join("t.toml"), COUNTER.replace("1000", "5")).unwrap();
    run(folder.path(), "--update a.ndjson").good();
    run(folder.path(), "more.ndjson").good();
    run(folder.path(), "b.ndjson").good();
    let group = dictrack(folder.path(), "show b --store s.db --output json").json();
    assert_eq!((number(&group, "trackers.0.progress"), number(&group, "trackers.0.target")), (2, 5));
    std::fs::write(folder.path().join("t.toml"), COUNTER).unwrap();
    assert_eq!(run(folder.path(), "more.ndjson").code, Some(1), "another list is still refused");
}

#[test]
fn an_empty_list_and_custom_code_are_refused_before_there_is_a_store() {
    let custom = "[[trackers]]\nname = \"n\"\nkind = \"custom\"\nmeasure = \"weight\"\ntarget = 9\n\
                  conditions = [{ not = { any = [{ custom = \"vip\" }] } }]\nlimiters = [{ custom = \"budget\" }]\n";
    let folder = folder(&[("t.toml", "trackers = []\n"), ("in.ndjson", "{\"user\":\"a\"}\n")]);
    let empty = run(folder.path(), "in.ndjson");
    assert!(empty.code == Some(1) && empty.error.contains("t.toml: there are no trackers"), "{}", empty.error);
    std::fs::write(folder.path().join("t.toml"), custom).unwrap();
    let names = "the condition \"vip\", the limiter \"budget\", the measure \"weight\"";
    let refused = run(folder.path(), "in.ndjson");
    assert!(refused.code == Some(1) && refused.error.contains(names), "{}", refused.error);
    assert!(!folder.path().join("s.db").exists());
    let checked = dictrack(folder.path(), "check t.toml").good();
    assert!(checked.contains(names), "{checked}");
}
