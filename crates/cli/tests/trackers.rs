//! The trackers of a run compared with those in the store, and trackers that the command cannot run.

#[allow(dead_code, reason = "each test file uses its part")]
mod command;

use command::{COUNTER, at, dictrack, dictrack_with, folder, number, progress, run};

#[test]
fn trackers_that_differ_from_the_store_are_named_and_update_applies_them() {
    let folder =
        folder(&[("t.toml", COUNTER), ("in.ndjson", "{\"user\":\"a\"}\n{\"user\":\"a\"}\n{\"user\":\"a\"}\n")]);
    run(folder.path(), "in.ndjson").good();
    let other = "[[trackers]]\nname = \"n\"\nkind = \"count\"\ntarget = [2, 5]\n\
                 [[trackers]]\nname = \"m\"\nkind = \"count\"\ntarget = 9\n";
    std::fs::write(folder.path().join("t.toml"), other).unwrap();
    std::fs::write(folder.path().join("more.ndjson"), "{\"user\":\"a\"}\n").unwrap();
    let refused = run(folder.path(), "more.ndjson");
    assert_eq!(refused.code, Some(1));
    for words in ["\"n\" has a different definition", "\"m\" is not in the store yet", "--update"] {
        assert!(refused.error.contains(words), "{words}: {}", refused.error);
    }
    assert_eq!(progress(folder.path(), "a"), 3);
    run(folder.path(), "--update more.ndjson").good();
    let group = dictrack(folder.path(), "show a --store s.db --output json").json();
    let seen = [number(&group, "trackers.0.progress"), number(&group, "trackers.0.target")];
    assert_eq!((seen, number(&group, "trackers.1.progress")), ([4, 5], 1));
    std::fs::write(folder.path().join("t.toml"), COUNTER.replace("[2, 1000]", "[2, 5]")).unwrap();
    let refused = run(folder.path(), "more.ndjson");
    assert!(refused.error.contains("\"m\" is not in the file"), "{}", refused.error);
    let names = |folder: &std::path::Path| {
        let group = dictrack(folder, "show a --store s.db --output json").json();
        at(&group, "trackers")
            .as_list()
            .unwrap()
            .iter()
            .map(|tracker| at(tracker, "name").to_string())
            .collect::<Vec<_>>()
    };
    let updated = run(folder.path(), "--update more.ndjson in.ndjson");
    assert!(updated.error.contains("not in t.toml, but kept: \"m\"; --prune removes"), "{}", updated.error);
    updated.good();
    run(folder.path(), "more.ndjson").good();
    assert_eq!(names(folder.path()), ["\"n\"", "\"m\""]);
    let misused = run(folder.path(), "--prune more.ndjson");
    assert!(misused.code == Some(2) && misused.error.contains("--update"), "{}", misused.error);
    let pruned = run(folder.path(), "--update --prune more.ndjson in.ndjson");
    assert!(pruned.error.contains("removing what is not in t.toml: \"m\""), "{}", pruned.error);
    pruned.good();
    assert_eq!(names(folder.path()), ["\"n\""]);
    let again = run(folder.path(), "--update --prune more.ndjson");
    assert!(!again.error.contains("removing"), "{}", again.error);
}

#[test]
fn templates_in_the_file_hold_for_groups_with_the_attributes() {
    let file = |target: u64| {
        format!(
            "{COUNTER}[[templates]]\nname = \"pro\"\nfor = [{{ key = \"plan\", eq = \"pro\" }}]\n\
             trackers = [{{ name = \"extra\", kind = \"count\", target = {target} }}]\n"
        )
    };
    let folder = folder(&[
        ("t.toml", &file(9)),
        ("in.ndjson", "{\"user\":\"a\"}\n{\"user\":\"b\"}\n"),
        ("more.ndjson", "{\"user\":\"b\"}\n{\"user\":\"a\"}\n"),
    ]);
    let path = folder.path();
    run(path, "in.ndjson").good();
    dictrack(path, "attributes a plan=pro --store s.db").good();
    let told = dictrack(path, "run --trackers t.toml --group-by user --store s.db --output ndjson more.ndjson").good();
    assert_eq!(told.matches("\"added\"").count(), 1, "{told}");
    let group = |group: &str| dictrack(path, &format!("show {group} --store s.db --output json")).json();
    assert_eq!((number(&group("a"), "trackers.1.progress"), number(&group("a"), "trackers.1.target")), (1, 9));
    assert_eq!(at(&group("b"), "trackers").as_list().unwrap().len(), 1);
    std::fs::write(path.join("t.toml"), file(5)).unwrap();
    let refused = run(path, "in.ndjson");
    assert!(refused.error.contains("\"extra\" has a different definition"), "{}", refused.error);
    let updated = run(path, "--update in.ndjson");
    assert!(updated.error.contains("1 group without new documents got the trackers"), "{}", updated.error);
    updated.good();
    assert_eq!((number(&group("a"), "trackers.1.progress"), number(&group("a"), "trackers.1.target")), (1, 5));
    let explained = dictrack(path, "explain a --trackers t.toml --output json {}").json();
    assert_eq!(explained.as_list().unwrap().len(), 1, "no attributes, no template: {explained}");
    assert!(dictrack(path, "check t.toml").good().contains("2 trackers with 1 condition"));
}

#[test]
fn groups_that_an_update_missed_are_updated_by_a_later_run() {
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
    assert!(empty.code == Some(1) && empty.error.contains("t.toml: no trackers"), "{}", empty.error);
    std::fs::write(folder.path().join("t.toml"), custom).unwrap();
    let names = "the condition \"vip\", the limiter \"budget\", the measure \"weight\"";
    let refused = run(folder.path(), "in.ndjson");
    assert!(refused.code == Some(1) && refused.error.contains(names), "{}", refused.error);
    assert!(!folder.path().join("s.db").exists());
    let checked = dictrack(folder.path(), "check t.toml").good();
    assert!(checked.contains(names), "{checked}");
}

const COMPLETED: &str = "[[trackers]]\nname = \"n\"\nkind = \"count\"\ntarget = 2\n";
const LONGER: &str = "[[trackers]]\nname = \"n\"\nkind = \"count\"\ntarget = [2, 4]\n";

fn tracker(folder: &std::path::Path, group: &str) -> [u64; 2] {
    let group = dictrack(folder, &format!("show {group} --store s.db --output json")).json();
    [number(&group, "trackers.0.progress"), number(&group, "trackers.0.target")]
}

#[test]
fn an_update_with_nothing_new_reaches_every_group_and_completed_trackers_that_gain_targets() {
    let folder = folder(&[
        ("t.toml", COMPLETED),
        ("in.ndjson", "{\"user\":\"a\"}\n{\"user\":\"a\"}\n{\"user\":\"b\"}\n"),
        ("more.ndjson", "{\"user\":\"a\"}\n{\"user\":\"a\"}\n"),
    ]);
    run(folder.path(), "in.ndjson").good();
    std::fs::write(folder.path().join("t.toml"), LONGER).unwrap();
    let updated = run(folder.path(), "--update in.ndjson");
    assert!(updated.error.contains("2 groups without new documents got the trackers in t.toml"), "{}", updated.error);
    updated.good();
    assert_eq!((tracker(folder.path(), "a"), tracker(folder.path(), "b")), ([2, 4], [1, 2]));
    let again = run(folder.path(), "--update in.ndjson");
    assert!(!again.error.contains("groups"), "{}", again.error);
    again.good();
    let revived = dictrack(folder.path(), "explain a --store s.db --output json {}").json();
    assert_eq!(
        (revived.as_list().unwrap().len(), at(&revived, "0.verdict").as_str()),
        (1, Some("counted")),
        "{revived}"
    );
    // Every group in the store has the new trackers, so the earlier file is rejected.
    std::fs::write(folder.path().join("t.toml"), COMPLETED).unwrap();
    assert_eq!(run(folder.path(), "in.ndjson").code, Some(1));
    std::fs::write(folder.path().join("t.toml"), LONGER).unwrap();
    let told =
        dictrack(folder.path(), "run --trackers t.toml --group-by user --store s.db --output ndjson more.ndjson");
    let lines: Vec<&str> = told.out.lines().collect();
    assert!(lines.len() == 1 && lines[0].contains("all_completed") && lines[0].contains("\"progress\":4"), "{lines:?}");
    let summary = run(folder.path(), "--again in.ndjson").json();
    let reached = [0, 1].map(|at| number(&summary, &format!("trackers.0.stages.{at}.groups")));
    assert_eq!(reached, [2, 1], "a group that completed twice reached each target once: {summary}");
    // The earlier file can be applied again in the same way, without loss for completed trackers.
    std::fs::write(folder.path().join("t.toml"), COMPLETED).unwrap();
    run(folder.path(), "--update in.ndjson").good();
    run(folder.path(), "in.ndjson").good();
}

#[test]
fn an_update_with_document_times_reports_which_groups_have_to_wait() {
    let folder = folder(&[
        ("t.toml", COMPLETED),
        ("in.ndjson", "{\"user\":\"a\",\"at\":100}\n{\"user\":\"b\",\"at\":100}\n"),
        ("b.ndjson", "{\"user\":\"b\",\"at\":200}\n"),
    ]);
    run(folder.path(), "--time at in.ndjson").good();
    let limited = format!("{LONGER}limiters = [{{ seconds = 60 }}]\nreset_policy = []\n");
    std::fs::write(folder.path().join("t.toml"), limited).unwrap();
    let updated = run(folder.path(), "--time at --update in.ndjson");
    assert!(updated.error.contains("2 groups without new documents still have earlier trackers"), "{}", updated.error);
    updated.good();
    assert_eq!((tracker(folder.path(), "a"), tracker(folder.path(), "b")), ([1, 2], [1, 2]));
    // The limiter starts at the time of the document that the group waited for.
    run(folder.path(), "--time at b.ndjson").good();
    assert_eq!((tracker(folder.path(), "a"), tracker(folder.path(), "b")), ([1, 2], [2, 4]));
}

#[test]
fn a_surprising_definition_is_a_warning_with_its_position() {
    let warned = "[[trackers]]\nname = \"n\"\nkind = \"count\"\ntarget = [80, 200, 200]\nlimiters = [\n  { end = 2026-12-31 },\n  \
                  { count = 100 },\n]\n";
    let folder = folder(&[("t.toml", warned), ("good.toml", LONGER), ("in.ndjson", "{\"user\":\"a\"}\n")]);
    let checked = dictrack(folder.path(), "check t.toml good.toml");
    for words in [
        "t.toml:4:20: warning: tracker \"n\": target[2]: the target 200 is not above 200",
        "t.toml:7:3: warning: tracker \"n\": limiters[1]: each stage renews this count, so 3 stages admit up to 300 documents",
    ] {
        assert!(checked.error.contains(words), "{words}: {}", checked.error);
    }
    let out = checked.good();
    assert!(out.contains("t.toml: ok, 1 tracker with 0 conditions, 2 warnings\n"), "{out}");
    assert!(out.contains("good.toml: ok, 1 tracker with 0 conditions\n"), "{out}");
    let ran = run(folder.path(), "in.ndjson");
    assert_eq!(ran.error.matches("warning: tracker").count(), 2, "{}", ran.error);
    ran.good();
}

#[test]
fn a_date_written_as_a_number_is_a_warning_with_its_position() {
    let trackers = "[[trackers]]\nname = \"n\"\nkind = \"count\"\ntarget = 9\nlimiters = [\n  {end = 20261231},\n]\n\
                    [[trackers.conditions]]\nkey = \"t\"\nsince = 20260101\n";
    let folder = folder(&[("t.toml", trackers), ("d.ndjson", "{\"user\": \"a\"}\n")]);
    let place = folder.path();
    let check = dictrack(place, "check t.toml");
    assert_eq!(check.code, Some(0));
    for expected in [
        "t.toml:6:10: warning: tracker \"n\": limiters[0].end: 20261231 is read as seconds since 1970: 1970-08-23T12:07:11Z",
        "t.toml:10:9: warning: tracker \"n\": conditions[0].since: 20260101 is read as seconds since 1970",
    ] {
        assert!(format!("{}{}", check.out, check.error).contains(expected), "{}{}", check.out, check.error);
        let run = dictrack(place, "run --trackers t.toml --group-by user --store s.db d.ndjson");
        assert!(run.code == Some(0) && run.error.contains(expected), "{}", run.error);
    }
    for line in ["show a --store s.db", "show --store s.db", "explain a {} --store s.db"] {
        let answer = dictrack(place, &format!("{line} --now 20261231"));
        let expected =
            "--now: 20261231 is read as seconds since 1970: 1970-08-23T12:07:11Z; if it is a date, write 2026-12-31";
        assert!(answer.code == Some(0) && answer.error.contains(expected), "{line}: {}", answer.error);
        assert!(dictrack(place, &format!("{line} --now 2026-12-31")).error.is_empty());
    }
}

#[test]
fn endless_files_are_rejected() {
    let folder = folder(&[]);
    for format in ["toml", "yaml", "json"] {
        std::os::unix::fs::symlink("/dev/zero", folder.path().join(format!("t.{format}"))).unwrap();
        let refused = dictrack(folder.path(), &format!("check t.{format}"));
        assert!(refused.code == Some(1) && refused.error.contains("larger than 64 MiB"), "{}", refused.error);
    }
    let tested = dictrack(folder.path(), "test /dev/zero");
    assert!(tested.code == Some(1) && tested.out.contains("larger than 64 MiB"), "{}{}", tested.out, tested.error);
    let imported = dictrack(folder.path(), "import --store s.db /dev/zero");
    assert!(imported.code == Some(1) && imported.error.contains("line 1"), "{}", imported.error);
    let explained =
        dictrack_with(folder.path(), &["explain", "g", "--trackers", "t.json", "-"], vec![b'['; 3 * 1024 * 1024]);
    assert!(explained.code == Some(1) && explained.error.contains("document: "), "{}", explained.error);
}

#[test]
fn definitions_are_read_from_a_pipe() {
    let folder = folder(&[("good.toml", LONGER)]);
    let pipe = folder.path().join("t.toml");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::write(pipe, LONGER).unwrap()
    });
    let checked = dictrack(folder.path(), "check t.toml").good();
    writer.join().unwrap();
    assert!(checked.contains("ok, 1 tracker"), "{checked}");
}

#[test]
fn the_examples_cause_no_warnings() {
    let examples = command::repository("examples/cdnow/trackers.toml");
    let checked = dictrack(examples.parent().unwrap(), "check trackers.toml");
    assert_eq!(checked.error, "");
    checked.good();
}

#[test]
fn an_update_does_not_report_groups_that_had_documents() {
    let trackers = |targets: &str| format!("[[trackers]]\nname = \"n\"\nkind = \"count\"\ntarget = [{targets}]\n");
    let documents =
        |day: u32| ["a", "b"].map(|user| format!("{{\"user\":\"{user}\",\"at\":\"2026-01-0{day}\"}}\n")).concat();
    let folder = folder(&[("t.toml", &trackers("2")), ("1.ndjson", &documents(1)), ("2.ndjson", &documents(2))]);
    let run = "run --trackers t.toml --group-by user --time at --store s.db";
    dictrack(folder.path(), &format!("{run} 1.ndjson")).good();
    std::fs::write(folder.path().join("t.toml"), trackers("2, 4")).unwrap();
    let answer = dictrack(folder.path(), &format!("{run} --update 2.ndjson"));
    assert_eq!((answer.code, answer.error.contains("without new documents")), (Some(0), false), "{}", answer.error);
}

#[test]
fn a_tracker_without_a_target_is_shown_without_one() {
    let trackers = "[[trackers]]\nname = \"all\"\nkind = \"count\"\n\
                    [[trackers]]\nname = \"calls\"\nkind = \"count\"\nlimiters = [{ count = 2 }]\n";
    let folder = folder(&[("t.toml", trackers), ("in.ndjson", &"{\"user\":\"a\"}\n".repeat(3))]);
    run(folder.path(), "in.ndjson").good();
    let shown = dictrack(folder.path(), "show a --store s.db").good();
    let line = |name: &str| {
        let found = shown.lines().find(|line| line.starts_with(name));
        found.unwrap_or_else(|| panic!("{name} is not in {shown}")).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("all"), "all 3");
    assert_eq!(line("calls"), "calls 2 LIMITED 0 of 2 left");
    let groups = dictrack(folder.path(), "show --store s.db").good();
    assert!(groups.lines().any(|line| line.split_whitespace().eq(["a", "2", "0", "1"])), "{groups}");
    let peeked = dictrack(folder.path(), "peek a all --store s.db").good();
    assert!(!peeked.contains("target") && !peeked.contains('/'), "{peeked}");
    let group = dictrack(folder.path(), "show a --store s.db --output json").json();
    assert_eq!(number(&group, "trackers.0.progress"), 3);
    assert!(group.to_string().contains("\"target\":null,\"stage\":1,\"stages\":0"), "{group}");
    let table = dictrack(folder.path(), "run -t t.toml -g user in.ndjson").good();
    assert!(table.lines().any(|line| line.split_whitespace().eq(["all", "0", "0", "3", "0", "0"])), "{table}");
    let checked = dictrack(folder.path(), "check t.toml").good();
    assert!(!checked.contains("warning"), "{checked}");
}
