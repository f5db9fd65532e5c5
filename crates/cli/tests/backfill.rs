//! Counting old documents for new trackers.

#[allow(dead_code, reason = "each test file uses its part")]
mod command;

use command::{COUNTER, at, dictrack, folder, number, run};

const NEW: &str = "[[trackers]]\nname = \"new\"\nkind = \"count\"\ntarget = [2, 3]\n";
const OLD: &str = "{\"user\":\"a\",\"at\":1,\"id\":\"1\"}\n{\"user\":\"a\",\"at\":2,\"id\":\"2\"}\n{\"user\":\"b\",\"at\":3,\"id\":\"3\"}\n";
const BACKFILL: &str = "backfill new.toml --group-by user --time at --id id --store s.db";

fn progress(folder: &std::path::Path, group: &str) -> Vec<(String, u64)> {
    let group = dictrack(folder, &format!("show {group} --store s.db --output json")).json();
    let trackers = at(&group, "trackers").as_list().unwrap();
    trackers.iter().map(|one| (at(one, "name").as_str().unwrap().to_owned(), number(one, "progress"))).collect()
}

#[test]
fn old_documents_count_for_new_trackers_once() {
    let folder = folder(&[("t.toml", COUNTER), ("new.toml", NEW), ("old.ndjson", OLD), ("again.ndjson", OLD)]);
    let path = folder.path();
    run(path, "--time at --id id old.ndjson").good();
    let both = |new: u64| vec![("n".to_owned(), 2), ("new".to_owned(), new)];
    let dry = dictrack(path, &format!("{BACKFILL} --dry --output ndjson old.ndjson")).good();
    assert_eq!(dry.matches("\"stage_completed\"").count(), 1, "{dry}");
    assert_eq!(progress(path, "a"), [("n".to_owned(), 2)]);
    let told = dictrack(path, &format!("{BACKFILL} --output ndjson old.ndjson")).good();
    assert_eq!(told, dry);
    assert_eq!(progress(path, "a"), both(2));
    // The file was read to its end; a copy of it has the same ids.
    for file in ["old.ndjson", "again.ndjson", "--again old.ndjson"] {
        let told = dictrack(path, &format!("{BACKFILL} --output ndjson {file}")).good();
        assert_eq!((told.as_str(), progress(path, "a")), ("", both(2)), "{file}");
    }
    // A file that grew goes on where it stopped, for both.
    std::fs::write(path.join("old.ndjson"), format!("{OLD}{{\"user\":\"a\",\"at\":4,\"id\":\"4\"}}\n")).unwrap();
    dictrack(path, &format!("{BACKFILL} old.ndjson")).good();
    assert_eq!(progress(path, "a"), [("n".to_owned(), 2)], "the new one has completed");
    run(path, "--time at --id id old.ndjson").good();
    assert_eq!(progress(path, "a"), [("n".to_owned(), 3)]);
}

#[test]
fn a_silent_backfill_prints_and_keeps_no_events() {
    let folder = folder(&[("t.toml", COUNTER), ("new.toml", NEW), ("old.ndjson", OLD)]);
    let told = dictrack(folder.path(), &format!("{BACKFILL} --silent --output ndjson old.ndjson")).good();
    assert_eq!((told.as_str(), progress(folder.path(), "a")), ("", vec![("new".to_owned(), 2)]));
    let later =
        dictrack(folder.path(), "run --trackers new.toml --group-by user --store s.db --output ndjson -").good();
    assert_eq!(later, "");
}

#[test]
fn what_a_backfill_cannot_do_is_refused() {
    let templates = "[[templates]]\nname = \"t\"\nfor = [{ key = \"a\", eq = 1 }]\ntrackers = [{ name = \"x\", kind = \"count\" }]\n";
    let folder = folder(&[("new.toml", NEW), ("some.toml", templates), ("old.ndjson", OLD)]);
    for (command, code, problem) in [
        ("backfill new.toml --group-by user old.ndjson", 2, "a backfill needs --store or --cache"),
        ("backfill --group-by user --store s.db", 2, "<FILE>"),
        ("backfill new.toml --update --group-by user --store s.db old.ndjson", 2, "dictrack run --update"),
        ("backfill new.toml --dry --group-by user --cache redis://localhost old.ndjson", 2, "--dry needs --store"),
        ("backfill some.toml --group-by user --store s.db old.ndjson", 1, "expected `trackers` only"),
        ("backfill new.toml --dry --group-by user --store s.db old.ndjson", 1, "s.db"),
    ] {
        let refused = dictrack(folder.path(), command);
        assert!(refused.code == Some(code) && refused.error.contains(problem), "{command}: {}", refused.error);
    }
}
