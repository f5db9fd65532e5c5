//! Data of 2.1.5, read without its servers: real pickles, trackers in every state, and malicious pickles.
#![cfg(feature = "legacy")]

use std::alloc::System;
use std::time::Duration;

use cap::Cap;
use dictrack::json::Json;
use dictrack::legacy::{LegacyError, LegacyGroup, LegacyTracker, ReadGroup, read_group};
use dictrack::{Timestamp, clock::Stopwatch, group::Engine};
use proptest::prelude::*;

#[path = "legacy/hostile.rs"]
mod hostile;
#[path = "legacy/pickler.rs"]
mod pickler;

use pickler::{Builder, float, global, int, list, map, none, object, set, text, truth, tuple};

/// No pickle makes the reader allocate more, whatever its contents claim: an allocation beyond this ends the test.
#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, 256 << 20);

const PYTHON_2: &[u8] = include_bytes!("legacy/python2.7.pickle");
const PYTHON_3: &[u8] = include_bytes!("legacy/python3.11.pickle");

fn stored(name: &str, pickle: &[u8]) -> LegacyTracker {
    LegacyTracker { name: name.to_owned(), pickle: pickle.to_vec(), ..LegacyTracker::default() }
}

fn group(trackers: Vec<LegacyTracker>) -> LegacyGroup {
    LegacyGroup { id: "group".to_owned(), trackers }
}

/// Reads a pickle as the tracker `tracker` of the group `group`.
fn read(pickle: &[u8]) -> ReadGroup {
    read_group(&group(vec![stored("tracker", pickle)]), &[], 0, &Engine::default())
}

fn refused(pickle: &[u8]) -> String {
    let read = read(pickle);
    assert!(read.change.is_none(), "it was read");
    let [error]: [LegacyError; 1] = read.refused.try_into().unwrap();
    let text = error.to_string();
    let problem = text.strip_prefix("group \"group\", tracker \"tracker\"").unwrap_or_else(|| panic!("{text}"));
    problem[2..].to_owned()
}

/// The definitions and the state of a group that was read.
fn taken_over(read: &ReadGroup) -> (Json, Json) {
    assert_eq!(read.refused, []);
    let change = read.change.as_ref().unwrap();
    let definitions = change.set.trackers().iter().map(|tracker| tracker.to_json()).collect::<Vec<_>>();
    let mut state = String::new();
    change.write_state(&mut state);
    let state = Json::parse(state.as_bytes()).unwrap();
    (definitions.into(), state.as_map().unwrap().get("trackers").unwrap().clone())
}

fn json(text: &str) -> Json {
    Json::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Asserts what a tracker becomes: its definition without the name, and its state without the generation.
#[track_caller]
fn assert_becomes(tracker: &Builder, definition: &str, state: &str) {
    let (definitions, states) = taken_over(&read(&tracker.pickle()));
    assert_eq!(definitions, json(&format!("[{{\"name\":\"tracker\",{definition}}}]")), "{definitions}");
    assert_eq!(states, json(&format!("[[1,{state}]]")), "{states}");
}

#[test]
fn what_either_python_wrote_is_read() {
    let definition = |end: &str| {
        json(&format!(
            r#"[{{"name":"tracker","kind":"sum","key":"amount",
            "target":[20.5,1099511627776,2199023255552,4398046511104,8796093022208,17592186044416,35184372088832,70368744177664],
            "conditions":[{{"key":"amount","exists":true}},{{"key":"far","lt":1099511627776}},
                {{"key":"list","in":[1,"b","ц",null,true,2.5,-3,-70000,300]}},
                {{"key":"long","contains":"{}","ignore_case":true}},
                {{"key":"one","eq":1}},{{"key":"ключ","eq":1000000000000000000000000000000}}],
            "limiters":[{{"count":5}},{{"seconds":3999999999}},{end}]}}]"#,
            "q".repeat(300)
        ))
    };
    for pickle in [PYTHON_2, PYTHON_3] {
        let read = read(pickle);
        let (definitions, states) = taken_over(&read);
        // The renewal at the stage made the two windows of a minute equal; 2.1.5 would keep only one.
        assert_eq!(definitions, definition(r#"{"seconds":60.000005}"#), "{definitions}");
        let state = r#"[[1,11.5,0,{"limiters":[{"limit":5,"remaining":4},
            {"start":1795486762000000,"end":5795486761000000},{"start":1795486762000000,"end":1795486822000005}]}]]"#;
        assert_eq!(states, json(state), "{states}");
        assert_eq!((read.trackers, read.shortened), (1, 1));
    }
}

#[test]
fn a_pickle_that_is_cut_anywhere_is_refused() {
    for pickle in [PYTHON_2, PYTHON_3] {
        for end in 0..pickle.len() {
            let problem = refused(&pickle[..end]);
            let known = ["the pickle is truncated", "not a pickle; expected protocol 2", "has a line longer than"];
            assert!(known.iter().any(|known| problem.contains(known)), "{end}: {problem}");
        }
    }
}

#[test]
fn hostile_pickles_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let touched = folder.path().join("touched");
    let cases = hostile::cases(&format!("touch {}", touched.display()));
    assert!(cases.len() >= 50, "{}", cases.len());
    for (what, pickle, expected) in cases {
        let watch = Stopwatch::start();
        let problem = refused(&pickle);
        assert_eq!(problem, expected, "{what}");
        assert!(watch.elapsed() < Duration::from_secs(10), "{what}: {:?}", watch.elapsed());
        assert!(problem.len() < 400, "{what}: {problem}");
    }
    assert!(!touched.exists(), "a pickle was run");
}

#[test]
fn the_hostile_pickles_do_harm_where_pickles_are_run() {
    let folder = tempfile::tempdir().unwrap();
    let script = "import pickle, sys; pickle.loads(bytes.fromhex(sys.argv[1]))";
    for (at, name) in hostile::HARMFUL.iter().enumerate() {
        let touched = folder.path().join(at.to_string());
        let cases = hostile::cases(&format!("touch {}", touched.display()));
        let (_, pickle, _) = cases.into_iter().find(|(what, _, _)| what == name).unwrap();
        let hex: String = pickle.iter().map(|byte| format!("{byte:02x}")).collect();
        std::process::Command::new("python3").args(["-c", script, &hex]).status().unwrap();
        assert!(touched.exists(), "{name} is harmless");
    }
}

#[test]
fn the_largest_pickle_that_is_read_takes_bounded_time_and_memory() {
    let class = ("cls", global("dictrack.conditions.keys", "KeyValueInList"));
    for item in [b"K\x01".to_vec(), text("x"), b"h\x00".to_vec()] {
        let repeated = [text(&"y".repeat(25)), b"q\x00".to_vec(), item.repeat(260_000)].concat();
        let items = [b"](", &repeated[..], b"e"].concat();
        let condition = map(&[class.clone(), ("key", text("a")), ("value", items)]);
        let watch = Stopwatch::start();
        let read = read(&Builder::count().with("conditions", list(&[condition])).pickle());
        assert_eq!((read.refused.len(), read.trackers), (0, 1));
        assert!(watch.elapsed() < Duration::from_secs(10), "{:?}", watch.elapsed());
    }
}

#[test]
fn every_condition_has_its_operator() {
    let keys = "dictrack.conditions.keys";
    type Fields = Vec<(&'static str, Vec<u8>)>;
    let cases: Vec<(&str, Fields, &str)> = vec![
        ("KeyExists", vec![], r#""exists":true"#),
        ("KeyNotExists", vec![], r#""absent":true"#),
        ("KeyValueContained", vec![("value", text("x")), ("case_sensitive", truth(true))], r#""contains":"x""#),
        (
            "KeyValueNotContained",
            vec![("value", text("")), ("case_sensitive", truth(false))],
            r#""not_contains":"","ignore_case":true"#,
        ),
        ("KeyValueInList", vec![("value", list(&[int(1), none()]))], r#""in":[1,null]"#),
        ("KeyValueInList", vec![("value", tuple(&[text("a"), float(0.1)]))], r#""in":["a",0.1]"#),
        ("KeyValueNotInList", vec![("value", list(&[truth(false)]))], r#""not_in":[false]"#),
        ("KeyValueListHasItem", vec![("value", int(-7))], r#""has":-7"#),
        ("KeyValueListNotHasItem", vec![("value", text("a"))], r#""not_has":"a""#),
        ("KeyValueListIntersectList", vec![("value", list(&[int(1)]))], r#""intersects":[1]"#),
        ("KeyValueListNotIntersectList", vec![("value", tuple(&[int(1)]))], r#""not_intersects":[1]"#),
    ];
    let operator = |op: &str| text(&format!("<built-in function {op}>"));
    let comparisons = ["eq", "ne", "lt", "le", "gt", "ge"].map(|op| {
        let fields = || vec![("op", operator(op)), ("value", float(-0.5))];
        [(format!("KeyValue{}", op.to_uppercase()), fields(), op), ("KeyValueComparison".to_owned(), fields(), op)]
    });
    let mut all: Vec<_> = comparisons
        .into_iter()
        .flatten()
        .map(|(class, fields, op)| (class, fields, format!("\"{op}\":-0.5")))
        .collect();
    all.extend(cases.into_iter().map(|(class, fields, test)| (class.to_owned(), fields, test.to_owned())));
    assert_eq!(all.len(), 23);
    for (class, fields, test) in all {
        let mut entries = vec![("cls", global(keys, &class)), ("key", text("a.-1.b"))];
        entries.extend(fields);
        let tracker = Builder::count().with("conditions", list(&[map(&entries)]));
        let expected = format!(r#""kind":"count","target":10,"conditions":[{{"key":"a.-1.b",{test}}}]"#);
        assert_becomes(&tracker, &expected, "0,0");
    }
}

#[test]
fn conditions_have_one_order_whatever_that_of_the_set_was() {
    let exists = |key: &str| map(&[("cls", global("dictrack.conditions.keys", "KeyExists")), ("key", text(key))]);
    let conditions = [exists("b"), exists("c"), exists("a")];
    let [b, c, a] = conditions.clone();
    for order in [[a.clone(), b.clone(), c.clone()], conditions, [c, b, a]] {
        let expected = r#""kind":"count","target":10,
            "conditions":[{"key":"a","exists":true},{"key":"b","exists":true},{"key":"c","exists":true}]"#;
        assert_becomes(&Builder::count().with("conditions", list(&order)), expected, "0,0");
    }
}

#[test]
fn paths_keep_their_meaning() {
    for (key, path) in [("a.b", "a.b"), (r"a\.b.c", r"a\\.b.c"), ("a__dictor__b.0", r"a\\.b.0"), (r"\a\", r"\\a\\")] {
        let tracker = Builder::sum().with("key", text(key));
        assert_becomes(&tracker, &format!(r#""kind":"sum","key":"{path}","target":10"#), "0,0");
    }
}

#[test]
fn targets_and_stages_are_those_that_are_left() {
    let at = |stage: i64, target: i64, rest: &[i64]| {
        let rest: Vec<_> = rest.iter().map(|target| int((*target).into())).collect();
        Builder::count()
            .with("current_stage", int(stage.into()))
            .with("target", int(target.into()))
            .with("multi_target", list(&rest))
    };
    assert_becomes(&at(1, 5, &[10, 20]).with("progress", int(3)), r#""kind":"count","target":[5,10,20]"#, "3,0");
    assert_becomes(&at(2, 10, &[20]).with("progress", int(7)), r#""kind":"count","target":[10,20]"#, "7,0");
    assert_becomes(&at(3, 20, &[]).with("progress", float(12.25)), r#""kind":"count","target":20"#, "12.25,0");
    // A target that the last document passed and 2.1.5 has not noticed yet fires with the next document, as it does
    // there.
    assert_becomes(&at(2, 10, &[20]).with("progress", int(25)), r#""kind":"count","target":[10,20]"#, "25,0");
    assert_becomes(&Builder::count().with("target", float(0.1)), r#""kind":"count","target":0.1"#, "0,0");
    let small = Builder::count().with("progress", float(1.5e-18));
    assert_becomes(&small, r#""kind":"count","target":10"#, "0.000000000000000002,0");
}

#[test]
fn earlier_states_tell_the_targets_that_were_passed() {
    let exists = |key: &str| {
        let condition = map(&[("cls", global("dictrack.conditions.keys", "KeyExists")), ("key", text(key))]);
        list(&[condition])
    };
    let at = |stage: i64, targets: &[i64]| {
        let mut targets = targets.iter().map(|target| int((*target).into()));
        Builder::count()
            .with("current_stage", int(stage.into()))
            .with("target", targets.next().unwrap())
            .with("multi_target", list(&targets.collect::<Vec<_>>()))
    };
    let now = at(3, &[20, 30]).with("progress", int(12));
    let becomes = |now: &Builder, before: &Builder| {
        let hot = group(vec![stored("tracker", &now.pickle())]);
        let before = [stored("other", b"nonsense"), stored("tracker", &before.pickle())];
        let read = read_group(&hot, &before, 0, &Engine::default());
        let (definitions, states) = taken_over(&read);
        (definitions.to_string(), states.to_string(), read.shortened)
    };
    let whole = |targets: &str, state: &str| {
        (format!(r#"[{{"name":"tracker","kind":"count","target":{targets}}}]"#), state.to_owned(), 0)
    };
    assert_eq!(becomes(&now, &at(1, &[5, 10, 20, 30])), whole("[5,10,20,30]", "[[1,12,2]]"));
    // Targets were added in the meantime.
    assert_eq!(becomes(&now, &at(1, &[5, 10, 20])), whole("[5,10,20,30]", "[[1,12,2]]"));
    // A looping list is complete again, with the position unchanged.
    let looping = at(3, &[20, 30]).with("progress", int(12)).with("loop_forever", truth(true));
    let (definition, state, shortened) = becomes(&looping, &at(1, &[5, 10, 20, 30]));
    assert!(definition.contains(r#""target":[5,10,20,30],"loop_forever":true"#), "{definition}");
    assert_eq!((state.as_str(), shortened), ("[[1,12,2]]", 0));
    let last = at(3, &[20]).with("progress", int(47)).with("loop_forever", truth(true));
    let (definition, state, _) = becomes(&last, &at(1, &[5, 10, 20]));
    assert!(definition.contains(r#""target":[5,10,20],"loop_forever":true"#), "{definition}");
    assert_eq!(state, r#"[[1,7,1,{"cycle":2}]]"#);
    // Another tracker had the name, or the earlier state is not the first one.
    for other in [
        at(1, &[5, 10, 21, 30]),
        at(1, &[5, 10]),
        at(1, &[5, 10, 20, 30, 40]),
        at(2, &[10, 20, 30]),
        at(1, &[5, 10, 20, 30]).with("conditions", exists("a")),
    ] {
        let (definition, state, shortened) = becomes(&now, &other);
        assert!(definition.contains(r#""target":[20,30]"#), "{definition}");
        assert_eq!((state.as_str(), shortened), ("[[1,12,0]]", 1));
    }
}

#[test]
fn loops_go_on_with_what_is_above_their_last_target() {
    let looping = |target: i64, policy: i64, progress: Vec<u8>| {
        Builder::count()
            .with("target", int(target.into()))
            .with("loop_forever", truth(true))
            .with("reset_policy", int(policy.into()))
            .with("progress", progress)
    };
    let plain = r#""kind":"count","target":10,"loop_forever":true"#;
    assert_becomes(&looping(10, 2, int(9)), plain, "9,0");
    // Once past the last target, 2.1.5 fires at each document, so the targets passed have fired.
    assert_becomes(&looping(10, 2, int(10)), plain, r#"0,0,{"cycle":1}"#);
    assert_becomes(&looping(10, 2, float(34.5)), plain, r#"4.5,0,{"cycle":3}"#);
    // If each target resets the progress, progress above it was set by hand, and fires with the next document.
    let anew = r#""kind":"count","target":10,"reset_policy":["progress"],"loop_forever":true"#;
    assert_becomes(&looping(10, 1, int(12)), anew, "12,0");
    // If 2.1.5 loops on the last target, the targets already passed are not needed.
    let last = looping(10, 2, int(25)).with("current_stage", int(3));
    assert_becomes(&last, plain, r#"5,0,{"cycle":2}"#);
}

#[test]
fn reset_policies_keep_their_flags() {
    let flags =
        [r#","reset_policy":[]"#, r#","reset_policy":["progress"]"#, "", r#","reset_policy":["progress","limiter"]"#];
    for (bits, flags) in flags.into_iter().enumerate() {
        let tracker = Builder::count().with("reset_policy", int(bits as i128));
        assert_becomes(&tracker, &format!(r#""kind":"count","target":10{flags}"#), "0,0");
    }
}

fn count_limiter(count: i128, remaining: i128) -> Vec<u8> {
    let attributes = [("limited", truth(false)), ("count", int(count)), ("remaining", int(remaining))];
    object("dictrack.limiters.count", "CountLimiter", &attributes)
}

fn time_limiter(start: Vec<u8>, end: Vec<u8>, seconds: i64) -> Vec<u8> {
    let days = [int((seconds.div_euclid(86_400)).into()), int((seconds.rem_euclid(86_400)).into()), int(0)];
    let interval = pickler::call("datetime", "timedelta", &days);
    let attributes = [("limited", truth(true)), ("start", start), ("end", end), ("interval", interval)];
    object("dictrack.limiters.time", "TimeLimiter", &attributes)
}

#[test]
fn count_limiters_keep_what_remains() {
    let with = |limited: bool, limiter: Vec<u8>| {
        Builder::count().with("limited", truth(limited)).with("limiters", set(&[limiter]))
    };
    let definition = |count: u64| format!(r#""kind":"count","target":10,"limiters":[{{"count":{count}}}]"#);
    let state = |limit: u64, remaining: u64| format!(r#""limiters":[{{"limit":{limit},"remaining":{remaining}}}]}}"#);
    assert_becomes(&with(false, count_limiter(5, 3)), &definition(5), &format!("0,0,{{{}", state(5, 3)));
    assert_becomes(
        &with(true, count_limiter(5, 0)),
        &definition(5),
        &format!("0,0,{{\"limited\":true,{}", state(5, 0)),
    );
    // 2.1.5 also spent it, in memory, on documents that did not match: one more counts before it is marked.
    assert_becomes(&with(false, count_limiter(5, -3)), &definition(5), &format!("0,0,{{{}", state(5, 1)));
    assert_becomes(
        &with(true, count_limiter(5, -3)),
        &definition(5),
        &format!("0,0,{{\"limited\":true,{}", state(5, 0)),
    );
    // Closed permanently: a renewal leaves it at zero.
    assert_becomes(
        &with(true, count_limiter(0, 0)),
        &definition(1),
        &format!("0,0,{{\"limited\":true,{}", state(0, 0)),
    );
    let most = i128::from(u64::MAX);
    assert_becomes(
        &with(false, count_limiter(most, most)),
        &definition(u64::MAX),
        &format!("0,0,{{{}", state(u64::MAX, u64::MAX)),
    );
}

#[test]
fn windows_are_fixed_or_begin_anew_as_2_1_5_made_them() {
    let with = |limiter: Vec<u8>| Builder::count().with("limiters", set(&[limiter]));
    let state = r#"0,0,{"limiters":[{"start":100000000,"end":160000000}]}"#;
    let fixed = with(time_limiter(int(100), int(160), 60));
    assert_becomes(&fixed, r#""kind":"count","target":10,"limiters":[{"start":100,"end":160}]"#, state);
    let interval = with(time_limiter(int(100), float(160.0), 60));
    assert_becomes(&interval, r#""kind":"count","target":10,"limiters":[{"seconds":60}]"#, state);
}

#[test]
fn limiters_have_one_order_and_equal_ones_are_one() {
    let limiters = [count_limiter(50, 7), time_limiter(int(1), int(3), 2), count_limiter(40, 2), count_limiter(40, 2)];
    let tracker = Builder::count().with("limiters", set(&limiters));
    let definition = r#""kind":"count","target":10,"limiters":[{"count":40},{"count":50},{"start":1,"end":3}]"#;
    let state =
        r#"0,0,{"limiters":[{"limit":40,"remaining":2},{"limit":50,"remaining":7},{"start":1000000,"end":3000000}]}"#;
    assert_becomes(&tracker, definition, state);
}

#[test]
fn trackers_stand_in_the_order_of_their_names_with_their_expiry() {
    let named = |name: &str| stored(name, &Builder::count().with("name", text(name)).pickle());
    let expire_at = Some(Timestamp::from_secs(7));
    let trackers = vec![named("b"), LegacyTracker { expire_at, ..named("c") }, named("a")];
    let read = read_group(&group(trackers), &[], 41, &Engine::default());
    let (definitions, states) = taken_over(&read);
    let names: Vec<_> =
        definitions.as_list().unwrap().iter().map(|one| one.as_map().unwrap().get("name").cloned()).collect();
    assert_eq!(names, ["a", "b", "c"].map(|name| Some(name.into())));
    // Generations that a group used before are not used again.
    assert_eq!(states, json(r#"[[42,0,0],[43,0,0],[44,0,0,{"expire_at":7000000}]]"#));
    assert_eq!(read.change.unwrap().group, "group");
}

#[test]
fn records_that_do_not_fit_their_place_are_refused() {
    let pickle = Builder::count().pickle();
    let problems = |trackers: Vec<LegacyTracker>| {
        let read = read_group(&group(trackers), &[], 0, &Engine::default());
        read.refused.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let place = r#"group "group", tracker "other": its pickle has the name "tracker", but it is stored under "other""#;
    assert_eq!(problems(vec![stored("other", &pickle)]), [place]);
    let strange = Builder::count().with("group_id", text("_THIS_IS_DEFAULT_GID")).pickle();
    let place = r#"group "group", tracker "tracker": its pickle has the group "_THIS_IS_DEFAULT_GID", but it is stored under "group""#;
    assert_eq!(problems(vec![stored("tracker", &strange)]), [place]);
    let twice = r#"group "group", tracker "tracker": stored twice; expected each name once"#;
    assert_eq!(problems(vec![stored("tracker", &pickle), stored("tracker", &pickle)]), [twice]);
    let fault = LegacyTracker { fault: Some("no document".to_owned()), ..stored("tracker", &pickle) };
    assert_eq!(problems(vec![fault]), [r#"group "group", tracker "tracker": no document"#]);
    let many = vec![stored("tracker", b""); dictrack::legacy::MAX_TRACKERS + 1];
    assert_eq!(problems(many), [r#"group "group": 100001 trackers; expected up to 100000"#]);
    let last = read_group(&group(vec![stored("tracker", &pickle)]), &[], u32::MAX - 1, &Engine::default());
    assert_eq!(taken_over(&last).1.to_string(), "[[4294967295,0,0]]");
    let last = read_group(&group(vec![stored("tracker", &pickle)]), &[], u32::MAX, &Engine::default());
    assert_eq!(last.refused[0].to_string(), r#"group "group": the store has no generations left"#);
    assert!(last.change.is_none() && last.trackers == 0);
}

#[test]
fn one_that_is_refused_leaves_the_others() {
    let good = Builder::count().pickle();
    let trackers = vec![stored("tracker", &good), stored("bad", b"\x80\x02.")];
    let read = read_group(&group(trackers), &[], 0, &Engine::default());
    assert_eq!((read.trackers, read.refused.len()), (1, 1));
    assert_eq!(read.change.unwrap().set.trackers()[0].name(), "tracker");
}

/// Mutations of a pickle: bytes replaced, removed, duplicated.
fn changed() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<u8>(), 0..4_u8);
    (any::<bool>(), prop::collection::vec(change, 1..6)).prop_map(|(two, changes)| {
        let mut pickle = if two { PYTHON_2 } else { PYTHON_3 }.to_vec();
        for (at, byte, how) in changes {
            let at = at.index(pickle.len());
            match how {
                0 => pickle[at] = byte,
                1 => pickle[at] ^= 1 << (byte % 8),
                2 => drop(pickle.remove(at)),
                _ => pickle.insert(at, byte),
            }
        }
        pickle
    })
}

/// Programs of the supported opcodes, so that the reader gets somewhere.
fn programs() -> impl Strategy<Value = Vec<u8>> {
    let names = prop::sample::select(vec![
        global("__builtin__", "set"),
        global("datetime", "timedelta"),
        global("dictrack.limiters.count", "CountLimiter"),
        global("dictrack.trackers.numerics.count", "CountTracker"),
        global("os", "system"),
    ]);
    let opcode = prop::sample::select(b"().NKMJIGXUT]}taesuqrhjcRb\x81\x85\x86\x87\x88\x89\x8a".to_vec());
    let one = prop_oneof![
        6 => prop::sample::select(b"()]}N\x88tesuRb\x81\x85\x86\x87a".to_vec()).prop_map(|code| vec![code]),
        2 => (prop::sample::select(b"qh".to_vec()), 0..4_u8).prop_map(|(code, at)| vec![code, at]),
        2 => any::<i32>().prop_map(|number| int(number.into())),
        1 => prop::sample::select(vec!["cls", "name", "a"]).prop_map(text),
        1 => names,
        1 => (opcode, any::<[u8; 4]>()).prop_map(|(code, rest)| [&[code][..], &rest].concat()),
    ];
    prop::collection::vec(one, 0..60).prop_map(|parts| [b"\x80\x02".to_vec(), parts.concat(), b".".to_vec()].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read(&bytes);
        read(&[b"\x80\x02", &bytes[..]].concat());
    }

    #[test]
    fn no_change_of_a_pickle_panics(pickle in changed()) {
        read(&pickle);
    }

    #[test]
    fn no_program_panics(pickle in programs()) {
        read(&pickle);
    }
}
