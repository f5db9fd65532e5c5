//! Laws: what is true for every definition, document and stream.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use dictrack_core::json::{Bounds, Json};
use dictrack_core::{
    Amount, Document, EventCode, Explanation, LimiterDefinition, Outcome, Reason, Renewal, ResetPolicy, Timestamp,
    Tracked, TrackerDefinition,
    custom::{BoxError, Registry},
    group::{
        Call, ContentHash, Engine, Group, GroupChange, StoredCompletion, StoredEvent, StoredGroup, StoredState, Track,
        ids_of,
    },
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

mod generate;

use generate::{Act, START, Step};

const GROUP: &str = "a group, \"quoted\"";

/// Failures are printed, to be turned into scenarios. They are not saved next to the source.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// An engine with the custom conditions that definitions use. Its groups keep only a few completed trackers.
fn engine() -> Engine {
    let mut registry = Registry::default();
    registry.add_condition("answers", |params: &Json, _: &dyn Document| Ok(*params == Json::Bool(true)));
    registry.add_condition("fails", |_: &Json, _: &dyn Document| Err::<bool, BoxError>("it failed".into()));
    let mut engine = Engine { registry, ..Engine::default() };
    engine.limits.completed = 3;
    engine
}

fn group_of(engine: &Engine, definitions: &[Arc<TrackerDefinition>]) -> Group {
    let mut group = Group::default();
    group.add(&Call::new(engine, GROUP, START).keep_events(true), definitions, None).unwrap();
    group
}

fn track(group: &mut Group, engine: &Engine, document: &Json, now: Timestamp, id: Option<&str>) -> Outcome {
    let id = id.map(|id| ContentHash::of([id]));
    group.track(engine, GROUP, &Track::new(document, now).id(id).keep_events(true))
}

fn names<'a>(trackers: impl Iterator<Item = Tracked<'a>>) -> Vec<&'a str> {
    trackers.map(|tracker| tracker.name()).collect()
}

/// What an outcome says, as text.
fn told(outcome: &Outcome) -> String {
    let states = |tracker: Tracked<'_>| {
        let state = (tracker.progress(), tracker.stage(), tracker.target(), tracker.is_limited());
        format!("{} {state:?} {:?}", tracker.name(), tracker.limiters().collect::<Vec<_>>())
    };
    let mut written = String::new();
    outcome.write_json(&mut written);
    assert_eq!(written, outcome.to_json().to_string());
    let dirtied: Vec<_> = outcome.dirtied().map(states).collect();
    let lists = (names(outcome.completed()), names(outcome.limited()), names(outcome.refused()));
    let failed: Vec<_> = outcome.failed().collect();
    let flags = (outcome.duplicate(), outcome.changed());
    format!("{dirtied:#?} {lists:?} {failed:?} {flags:?} {:#?}", outcome.events())
}

/// Makes a call and returns its whole result as text.
fn perform(group: &mut Group, engine: &Engine, step: &Step) -> String {
    let now = step.now;
    let call = Call::new(engine, GROUP, now).keep_events(true);
    match &step.act {
        Act::Track { document, id } => told(&track(group, engine, document, now, id.as_deref())),
        Act::Add { definition, expire } => format!("{:?}", group.add(&call, &[Arc::clone(definition)], *expire)),
        Act::Update(definition) => format!("{:?}", group.update(&call, definition)),
        Act::AddTargets { name, targets } => format!("{:?}", group.add_targets(&call, name, targets)),
        Act::SetProgress { name, progress } => group.set_progress(&call, name, *progress).to_string(),
        Act::Reset { name, policy, renewal } => format!("{:?}", group.reset(&call, name, *policy, *renewal)),
        Act::Remove(name) => format!("{:?}", group.remove(&call, &[name])),
        Act::Deliver(count) => {
            let events = group.undelivered();
            let last = events.iter().take(*count).next_back().map_or(0, |event| event.sequence);
            group.mark_delivered(last).to_string()
        }
        Act::Zone(zone) => {
            let zone = zone.map_or(Json::Null, |zone| zone.name().into());
            format!("{:?}", group.set_attributes(&[("zone".into(), zone)].into_iter().collect()))
        }
        Act::Forget => group.forget().to_string(),
    }
}

/// A group as a store holds it: each change replaces the state and extends the lists, unless it is the whole group.
#[derive(Debug, Default)]
struct Stored {
    version: u64,
    definitions: String,
    state: String,
    ids: Vec<Json>,
    events: Vec<Json>,
    completed: Vec<Json>,
}

impl Stored {
    fn whole(group: &Group) -> Self {
        let mut stored = Self::default();
        stored.absorb(&group.whole(GROUP));
        stored
    }

    fn absorb(&mut self, change: &GroupChange) {
        if change.base.is_none() {
            *self = Self::default();
        }
        self.version = change.version;
        let definitions = change.set.trackers().iter().map(|definition| definition.to_json());
        self.definitions = Json::List(definitions.collect()).to_string();
        self.state.clear();
        change.write_state(&mut self.state);
        let list = |write: fn(&GroupChange, &mut String)| {
            let mut text = String::new();
            write(change, &mut text);
            read(&text).as_list().unwrap().to_vec()
        };
        self.ids.extend(list(GroupChange::write_ids));
        self.events.extend(list(GroupChange::write_events));
        self.completed.extend(list(GroupChange::write_completed));
    }

    fn restore(&self, engine: &Engine) -> Group {
        let definitions = read(&self.definitions);
        let definitions = definitions.as_list().unwrap().iter().map(|definition| {
            let definition = TrackerDefinition::from_json(definition);
            Arc::new(definition.unwrap_or_else(|error| panic!("{}: {error}", self.definitions)))
        });
        let set = engine.sets.intern(definitions.collect());
        let restored = || {
            let events = self.events.iter().map(StoredEvent::of).collect::<Result<_, _>>()?;
            let completed = self.completed.iter().map(StoredCompletion::of).collect::<Result<_, _>>()?;
            let stored = StoredGroup::new(self.version, StoredState::parse(&self.state)?);
            Group::restore(&stored.with_lists(ids_of(&self.ids)?, events, completed), set, &engine.limits)
        };
        restored().unwrap_or_else(|error| panic!("{self:#?}: {error}"))
    }
}

fn read(text: &str) -> Json {
    Json::parse_within(text.as_bytes(), Bounds::STORED).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Everything about a group, as text.
fn known(group: &Group) -> String {
    let Stored { version, definitions, state, ids, events, completed } = Stored::whole(group);
    let lists = [ids, events, completed].map(|list| list.iter().map(|item| format!("\n  {item}")).collect::<String>());
    let [ids, events, completed] = lists;
    format!("{version}\n{definitions}\n{state}\nids:{ids}\nevents:{events}\ncompleted:{completed}")
}

/// Tracks a document and compares the outcome with the prediction of plain evaluation.
fn agrees(group: &mut Group, engine: &Engine, document: &Json, now: Timestamp) -> TestCaseResult {
    let explained = group.explain(engine, document, now);
    let snapshots = group.trackers(&Engine::default(), None, now);
    let before: HashMap<&str, _> = snapshots.iter().map(|tracker| (tracker.name(), tracker)).collect();
    let outcome = track(group, engine, document, now, None);

    let said = |word: &str| -> Vec<&str> {
        let said = explained.iter().filter(|explanation| explanation.verdict.word() == word);
        said.map(|explanation| explanation.name.as_str()).collect()
    };
    let refused = names(outcome.refused());
    prop_assert_eq!(&refused, &said("limited"));
    let refused: HashSet<_> = refused.into_iter().collect();
    let counted: Vec<_> = outcome.dirtied().filter(|tracker| !refused.contains(tracker.name())).collect();
    prop_assert_eq!(names(counted.iter().copied()), said("counted"));
    let failed = outcome.failed().map(|(name, error)| (name, error.clone()));
    let said_to_fail = explained.iter().filter_map(|Explanation { name, verdict, .. }| match verdict {
        Reason::Failed { error } => Some((name.as_str(), error.clone())),
        _ => None,
    });
    prop_assert_eq!(failed.collect::<Vec<_>>(), said_to_fail.collect::<Vec<_>>());

    let newly_marked = outcome.dirtied().filter(|tracker| refused.contains(tracker.name()));
    let unmarked = outcome.refused().filter(|tracker| !before[tracker.name()].limited);
    prop_assert_eq!(names(newly_marked), names(unmarked));
    let listed = outcome.limited().filter(|tracker| !refused.contains(tracker.name()));
    let ran_out = counted.iter().copied().filter(|tracker| tracker.is_limited());
    prop_assert_eq!(names(listed), names(ran_out));

    for event in outcome.events() {
        let mut line = String::new();
        event.write_json(&mut line);
        prop_assert_eq!(line, event.to_json().to_string());
    }
    let crossed: HashSet<_> = outcome.events().iter().map(|event| (event.code, event.name())).collect();
    let amounts = explained.iter().filter_map(|Explanation { verdict, .. }| match verdict {
        Reason::Counted { amount, .. } => Some(*amount),
        _ => None,
    });
    for (tracker, amount) in counted.iter().zip(amounts) {
        // If a stage was completed, the policy may have reset the progress.
        if !crossed.contains(&(EventCode::StageCompleted, tracker.name())) {
            let sum = before[tracker.name()].progress.checked_add(amount);
            prop_assert_eq!(Some(tracker.progress()), sum, "{}", tracker.name());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(1200))]
    #[test]
    fn the_index_agrees_with_plain_evaluation(
        shapes in vec(generate::shape(), 1..=40),
        documents in vec((generate::document(), generate::moment()), 1..6),
    ) {
        let engine = engine();
        let mut group = group_of(&engine, &generate::named(&shapes));
        for (document, now) in &documents {
            agrees(&mut group, &engine, document, *now)?;
        }
    }

    #[test]
    fn the_index_agrees_with_plain_evaluation_where_custom_code_fails(
        shapes in vec(generate::custom_shape(), 1..=12),
        documents in vec((generate::document(), generate::moment()), 1..6),
    ) {
        let engine = engine();
        let mut group = group_of(&engine, &generate::named(&shapes));
        for (document, now) in &documents {
            agrees(&mut group, &engine, document, *now)?;
        }
    }
}

proptest! {
    #![proptest_config(cases(16))]
    #[test]
    fn the_index_of_a_large_set_agrees_with_plain_evaluation(
        shapes in generate::selective_shapes(),
        documents in vec((generate::selecting_document(), generate::moment()), 4..12),
    ) {
        let engine = engine();
        let mut group = group_of(&engine, &generate::named(&shapes));
        for (document, now) in &documents {
            agrees(&mut group, &engine, document, *now)?;
        }
    }
}

/// A stream of calls, and the trackers that exist when it starts.
fn streams() -> impl Strategy<Value = (Vec<Arc<TrackerDefinition>>, Vec<Step>)> {
    let crowd = prop_oneof![9 => Just(0), 1 => Just(140)];
    (vec(generate::any_shape(), 1..6), crowd, generate::steps()).prop_map(|(shapes, crowd, steps)| {
        let mut definitions = generate::named(&shapes);
        definitions.extend(generate::crowd(crowd));
        (definitions, steps)
    })
}

proptest! {
    #![proptest_config(cases(400))]
    #[test]
    fn replay_gives_the_same_state((definitions, steps) in streams()) {
        let run = || {
            let engine = engine();
            let mut group = group_of(&engine, &definitions);
            let told: Vec<_> = steps.iter().map(|step| perform(&mut group, &engine, step)).collect();
            (told, known(&group))
        };
        // A new thread has no thread-local memory of earlier documents.
        let (first, second) = std::thread::scope(|scope| (scope.spawn(run).join().unwrap(), run()));
        prop_assert_eq!(first, second);
    }

    #[test]
    fn storing_and_restoring_changes_nothing((definitions, steps) in streams(), at in any::<prop::sample::Index>()) {
        let engine_before = engine();
        let mut group = group_of(&engine_before, &definitions);
        let (earlier, later) = steps.split_at(at.index(steps.len()));
        for step in earlier {
            perform(&mut group, &engine_before, step);
        }
        let engine_after = engine();
        let mut restored = Stored::whole(&group).restore(&engine_after);
        prop_assert_eq!(known(&restored), known(&group));
        for step in later {
            let expected = perform(&mut group, &engine_before, step);
            prop_assert_eq!(perform(&mut restored, &engine_after, step), expected);
            prop_assert_eq!(known(&restored), known(&group));
        }
    }

    #[test]
    fn splitting_a_stream_changes_nothing(
        (definitions, steps) in streams(),
        cuts in vec(any::<(bool, bool)>(), 30),
    ) {
        let engine_whole = engine();
        let mut whole = group_of(&engine_whole, &definitions);
        let mut engine_split = engine();
        let mut split = group_of(&engine_split, &definitions);
        let mut stored = Stored::default();
        for (step, (commit, restart)) in steps.iter().zip(cuts) {
            if commit {
                stored.absorb(&split.take_change(GROUP, &engine_split));
            }
            if commit && restart {
                engine_split = engine();
                split = stored.restore(&engine_split);
            }
            let expected = perform(&mut whole, &engine_whole, step);
            prop_assert_eq!(perform(&mut split, &engine_split, step), expected);
        }
        let ids = |group: &Group| group.undelivered().iter().map(|event| event.id()).collect::<Vec<_>>();
        prop_assert_eq!(ids(&split), ids(&whole));
        prop_assert_eq!(split.trackers(&Engine::default(), None, START), whole.trackers(&Engine::default(), None, START));
    }

    #[test]
    fn an_event_id_is_never_given_twice((definitions, steps) in streams()) {
        let engine = engine();
        let mut group = group_of(&engine, &definitions);
        for step in steps.iter().filter(|step| !matches!(step.act, Act::Deliver(_) | Act::Forget)) {
            perform(&mut group, &engine, step);
        }
        let events = group.undelivered();
        let ids: HashSet<_> = events.iter().map(|event| event.id()).collect();
        prop_assert_eq!(ids.len(), events.len());
        prop_assert!(events.iter().map(|event| event.sequence).eq(1..=events.len() as u64));
    }

    #[test]
    fn a_document_id_counts_once((definitions, steps) in streams()) {
        let engine = engine();
        let mut group = group_of(&engine, &definitions);
        let mut once = group.clone();
        let mut seen = HashSet::new();
        for step in steps.iter().filter(|step| !matches!(step.act, Act::Forget)) {
            let Act::Track { document, id: Some(id) } = &step.act else {
                prop_assert_eq!(perform(&mut group, &engine, step), perform(&mut once, &engine, step));
                continue;
            };
            let version = group.version();
            let outcome = track(&mut group, &engine, document, step.now, Some(id));
            prop_assert_eq!(outcome.duplicate(), !seen.insert(id));
            if outcome.duplicate() {
                prop_assert!(outcome.is_empty() && outcome.events().is_empty() && !outcome.changed());
                prop_assert_eq!(group.version(), version);
            } else {
                let first = track(&mut once, &engine, document, step.now, Some(id));
                prop_assert_eq!(told(&outcome), told(&first));
            }
        }
        prop_assert_eq!(known(&group), known(&once));
        let mut restored = Stored::whole(&group).restore(&engine);
        for id in seen {
            prop_assert!(track(&mut restored, &engine, &Json::Null, START, Some(id)).duplicate());
        }
    }
}

proptest! {
    #![proptest_config(cases(1000))]
    #[test]
    fn an_accepted_definition_reads_back_from_its_text(shape in generate::unchecked()) {
        if let Ok(definition) = shape.builder("t").build() {
            let text = definition.to_json().to_string();
            prop_assert_eq!(TrackerDefinition::from_json(&read(&text)), Ok(definition));
        }
    }
}

/// Which limiter refuses a document and until when, according to `explain`; `None` if the document counts. Checks that
/// tracking the document agrees.
fn refusal(
    group: &Group,
    engine: &Engine,
    now: Timestamp,
) -> Result<Option<(usize, Option<Timestamp>)>, TestCaseError> {
    let refusal = match group.explain(engine, &Json::Null, now).remove(0).verdict {
        Reason::Limited { limiter, until, .. } => Some((limiter, until)),
        other => {
            prop_assert_eq!(other.word(), "counted");
            None
        }
    };
    let outcome = track(&mut group.clone(), engine, &Json::Null, now, None);
    prop_assert_eq!(outcome.refused().count() == 1, refusal.is_some(), "at {}", now);
    Ok(refusal)
}

fn after(moment: Timestamp, micros: i64) -> Timestamp {
    Timestamp::from_micros(moment.micros().saturating_add(micros))
}

proptest! {
    #![proptest_config(cases(4000))]
    #[test]
    fn a_refusal_holds_until_exactly_until(
        limiters in vec(generate::limiter(), 1..4),
        documents in vec(generate::moment(), 0..4),
        now in generate::moment(),
        between in any::<prop::sample::Index>(),
        pause in 0_i64..1 << 40,
    ) {
        let engine = engine();
        let builder = TrackerDefinition::count("limited").target(1_000);
        let definition = limiters.iter().cloned().fold(builder, |builder, limiter| builder.limiter(limiter));
        let mut group = group_of(&engine, &[Arc::new(definition.build().unwrap())]);
        for moment in documents {
            track(&mut group, &engine, &Json::Null, moment, None);
        }
        let mut now = now;
        // Each limiter opens no more than once.
        for _ in 0..=limiters.len() {
            let Some((limiter, until)) = refusal(&group, &engine, now)? else { break };
            let Some(until) = until else {
                for later in [after(now, 1), after(now, pause), after(now, i64::MAX)] {
                    prop_assert!(refusal(&group, &engine, later)?.is_some(), "at {}, asked at {}", later, now);
                }
                break;
            };
            prop_assert!(until > now);
            let between = after(now, between.index(until.since(now).micros() as usize) as i64);
            for earlier in [between, after(until, -1)] {
                prop_assert!(refusal(&group, &engine, earlier)?.is_some(), "at {}, asked at {}", earlier, now);
            }
            prop_assert_ne!(refusal(&group, &engine, until)?.map(|(limiter, _)| limiter), Some(limiter));
            now = until;
        }
        // After a reset, all of them are open until the end of the shortest window.
        let renewed = after(now, pause);
        let call = Call::new(&engine, GROUP, renewed).keep_events(true);
        group.reset(&call, "limited", Some(ResetPolicy::LIMITER), Renewal::default()).unwrap();
        prop_assert_eq!(refusal(&group, &engine, renewed)?, None);
        let lengths = limiters.iter().filter_map(|limiter| match limiter {
            LimiterDefinition::Fixed(fixed) => Some(fixed.end()?.since(fixed.start()?)),
            LimiterDefinition::Interval(interval) => Some(interval.length()),
            _ => None,
        });
        if let Some(shortest) = lengths.min() {
            let last = renewed.saturating_add(shortest);
            prop_assert_eq!(refusal(&group, &engine, last)?, None);
            let until = |refusal: Option<(usize, Option<Timestamp>)>| refusal.map(|(_, until)| until);
            prop_assert_eq!(until(refusal(&group, &engine, after(last, 1))?), Some(None));
            prop_assert_eq!(until(refusal(&group, &engine, after(renewed, -1))?), Some(Some(renewed)));
        }
    }
}

/// The largest amount, in units of 10⁻¹⁸.
const MOST: i128 = 170_000_000_000_000_000_000_i128 * 1_000_000_000_000_000_000 - 1;

/// A payment: its amount in units of 10⁻¹⁸, whether the document has it as text, and whether it is paid.
fn payment() -> impl Strategy<Value = (i128, bool, bool)> {
    let units = prop_oneof![
        4 => -20_000_000_000_000_000_000_i128..100_000_000_000_000_000_000,
        1 => -1_000_i128..1_000,
        1 => -MOST..=MOST,
    ];
    (units, any::<bool>(), any::<bool>())
}

fn written(units: i128) -> String {
    let one = 1_000_000_000_000_000_000;
    let (sign, size) = (if units < 0 { "-" } else { "" }, units.unsigned_abs());
    format!("{sign}{}.{:018}", size / one, size % one)
}

proptest! {
    #![proptest_config(cases(2000))]
    #[test]
    fn the_group_total_is_conserved(payments in vec(payment(), 1..60), limit in 1_u64..20) {
        let engine = engine();
        let most = Amount::from_units(MOST).unwrap();
        let sum = |name| TrackerDefinition::sum(name).key("payment.amount").target(most);
        let definitions = [
            TrackerDefinition::count("documents").target(most),
            sum("all"),
            sum("paid").eq("paid", true),
            sum("paid at first").eq("paid", true).limit(limit),
        ];
        let mut group = group_of(&engine, &definitions.map(|builder| Arc::new(builder.build().unwrap())));
        // The expected totals: by plain arithmetic, and from what `explain` says.
        let mut totals = [0_i128; 4];
        let mut explained_totals = [0_i128; 4];
        let mut left = limit;
        for (units, text, paid) in &payments {
            let amount = if *text { format!("\" +{}\"", written(units.abs())) } else { written(*units) };
            let units = if *text { units.abs() } else { *units };
            let document = read(&format!(r#"{{"payment": {{"amount": {amount}}}, "paid": {paid}}}"#));
            let add = |total: &mut i128, amount: i128| {
                let sum = total.checked_add(amount).filter(|sum| (-MOST..=MOST).contains(sum));
                *total = sum.unwrap_or(*total);
                sum.is_some()
            };
            let [documents, all, of_paid, of_first] = &mut totals;
            add(documents, 1_000_000_000_000_000_000);
            add(all, units);
            if *paid {
                add(of_paid, units);
                if left > 0 && add(of_first, units) {
                    left -= 1;
                }
            }
            for (total, explained) in explained_totals.iter_mut().zip(group.explain(&engine, &document, START)) {
                if let Reason::Counted { amount, .. } = explained.verdict {
                    *total += amount.units();
                }
            }
            track(&mut group, &engine, &document, START, None);
        }
        let progress: Vec<_> = group.trackers(&Engine::default(), None, START).iter().map(|tracker| tracker.progress.units()).collect();
        prop_assert_eq!(&progress[..], &totals[..]);
        prop_assert_eq!(&progress[..], &explained_totals[..]);
    }
}
