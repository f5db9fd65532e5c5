//! Custom measures with a state, custom limiters that know when they admit again, and snapshots as of a moment.

use std::sync::Arc;

use dictrack_core::custom::{BoxError, CustomLimiter, Measure, Measured};
use dictrack_core::group::{Call, Engine, Group, StoredGroup, StoredState, Track};
use dictrack_core::json::Json;
use dictrack_core::limiter::Verdict;
use dictrack_core::{
    Amount, Document, LimiterDefinition, Outcome, Path, Reason, Renewal, ResetPolicy, SkipReason, Span, Timestamp,
    TrackerDefinition,
};

const GROUP: &str = "g";
const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

/// Counts each value of `sku` once.
struct Distinct;

impl Measure for Distinct {
    fn amount(&self, _: &Json, _: &dyn Document) -> Result<Option<Amount>, BoxError> {
        Err("a measure that remembers is not asked for an amount alone".into())
    }

    fn measure(
        &self,
        _: &Json,
        state: Option<&Json>,
        _: Timestamp,
        document: &dyn Document,
    ) -> Result<Option<Measured>, BoxError> {
        let path: Path = "sku".parse()?;
        let Some(sku) = document.value_at(&path) else { return Ok(None) };
        let sku = sku.to_json();
        let mut seen = state.and_then(Json::as_list).unwrap_or_default().to_vec();
        let new = !seen.contains(&sku);
        if new {
            seen.push(sku);
        }
        Ok(Some(Measured::new(i64::from(new), seen)))
    }
}

/// Admits in even minutes only.
struct EvenMinutes;

impl CustomLimiter for EvenMinutes {
    fn renewed(&self, _: &Json, _: Option<&Json>, _: Renewal, _: Timestamp) -> Result<Json, BoxError> {
        Ok(Json::Null)
    }

    fn admits(&self, _: &Json, _: &Json, now: Timestamp, _: &dyn Document) -> Result<Verdict, BoxError> {
        let minute = now.micros() / 60_000_000;
        let next = Timestamp::from_secs((minute + 1) * 60);
        Ok(if minute % 2 == 0 { Verdict::Admitted } else { Verdict::Refused { until: Some(next) } })
    }

    fn record(&self, _: &Json, state: &Json, _: Timestamp, _: &dyn Document) -> Result<Json, BoxError> {
        Ok(state.clone())
    }

    fn exhausted(&self, _: &Json, _: &Json, _: Timestamp) -> Result<bool, BoxError> {
        Ok(false)
    }
}

fn engine() -> Engine {
    let mut engine = Engine::default();
    engine.registry.add_measure("distinct", Distinct);
    engine.registry.add_limiter("even_minutes", EvenMinutes);
    engine
}

fn call(engine: &Engine, now: Timestamp) -> Call<'_> {
    Call::new(engine, GROUP, now).keep_events(true)
}

fn group_of(engine: &Engine, definition: TrackerDefinition) -> Group {
    let mut group = Group::default();
    group.add(&call(engine, NOW), &[Arc::new(definition)], None).unwrap();
    group
}

fn track(group: &mut Group, engine: &Engine, document: &str, now: Timestamp) -> Outcome {
    let document = Json::parse(document.as_bytes()).unwrap();
    group.track(engine, GROUP, &Track::new(&document, now).keep_events(true))
}

/// The group as a store returns it.
fn stored(group: &Group, engine: &Engine) -> Group {
    let whole = group.whole(GROUP);
    let mut state = String::new();
    whole.write_state(&mut state);
    let stored = StoredGroup::new(whole.version, StoredState::parse(&state).unwrap()).with_lists(
        whole.ids.clone(),
        whole.stored_events().collect(),
        whole.stored_completions().collect(),
    );
    Group::restore(&stored, Arc::clone(group.definition_set()), &engine.limits).unwrap()
}

#[test]
fn a_measure_remembers_what_it_has_seen_of_a_tracker() {
    let engine = engine();
    let tracker = TrackerDefinition::custom("skus", "distinct", Json::Null).targets([2, 10]).limit(6).build().unwrap();
    let mut group = group_of(&engine, tracker);
    let progress = |group: &Group| group.trackers(&Engine::default(), None, NOW)[0].progress;
    for sku in ["a", "b", "a", "a"] {
        track(&mut group, &engine, &format!(r#"{{"sku":"{sku}"}}"#), NOW);
        // The state must survive being stored and restored.
        group = stored(&group, &engine);
    }
    assert_eq!(progress(&group), 2.into());
    let skipped = track(&mut group, &engine, "{}", NOW);
    assert_eq!(skipped.skipped().collect::<Vec<_>>(), [("skus", SkipReason::NoAmount)]);
    // `explain` runs the same measure but does not change its state.
    let document = Json::parse(br#"{"sku":"c"}"#).unwrap();
    for _ in 0..2 {
        let explained = group.explain(&engine, &document, NOW);
        assert_eq!(explained[0].verdict, Reason::Counted { amount: Amount::ONE, rounded: false });
    }
    // The first stage renewed the limit. A refused document does not change the measure's state.
    for _ in 0..4 {
        track(&mut group, &engine, r#"{"sku":"a"}"#, NOW);
    }
    let refused = track(&mut group, &engine, r#"{"sku":"c"}"#, NOW);
    assert_eq!(refused.refused().count(), 1);
    assert_eq!(progress(&group), 2.into());
    group.reset(&call(&engine, NOW), "skus", Some(ResetPolicy::LIMITER), Renewal::default()).unwrap();
    track(&mut group, &engine, r#"{"sku":"c"}"#, NOW);
    assert_eq!(progress(&group), 3.into());
    // A reset of the progress clears the measure's state.
    group.reset(&call(&engine, NOW), "skus", Some(ResetPolicy::PROGRESS), Renewal::default()).unwrap();
    track(&mut group, &engine, r#"{"sku":"a"}"#, NOW);
    assert_eq!(progress(&group), 1.into());
}

#[test]
fn a_custom_limiter_says_until_when_it_refuses() {
    let engine = engine();
    let limiter = LimiterDefinition::custom("even_minutes", Json::Null);
    let tracker = TrackerDefinition::count("n").target(9).limit(5).limiter(limiter).build().unwrap();
    let mut group = group_of(&engine, tracker);
    let odd = Timestamp::from_secs(1_700_000_000 / 60 * 60 + 60);
    assert_eq!(odd.micros() / 60_000_000 % 2, 0, "the next minute is an even one");
    let (odd, even) = (odd.saturating_add(Span::from_secs(60)), odd.saturating_add(Span::from_secs(120)));
    let refused = track(&mut group, &engine, "{}", odd);
    let refusal = refused.refused().next().unwrap().refusal().unwrap();
    assert_eq!((refusal.limiter, refusal.until), (1, Some(even)));
    assert_eq!(refused.counted().count(), 0);
    match &group.explain(&engine, &Json::Null, odd)[0].verdict {
        Reason::Limited { limiter, until, .. } => assert_eq!((*limiter, *until), (1, Some(even))),
        other => panic!("{other:?}"),
    }
    assert_eq!(track(&mut group, &engine, "{}", even).counted().count(), 1);
}

#[test]
fn a_snapshot_shows_its_tracker_as_of_another_moment() {
    let engine = engine();
    let tracker = TrackerDefinition::count("n").target(9).within(Span::from_secs(60)).build().unwrap();
    let group = group_of(&engine, tracker);
    let now = &group.trackers(&Engine::default(), None, NOW)[0];
    assert_eq!((now.as_of, now.limiters[0].retry_at), (NOW, Some(NOW)));
    let over = NOW.saturating_add(Span::from_secs(61));
    let later = now.at(over);
    assert_eq!((later.as_of, later.limiters[0].retry_at), (over, None));
    assert_eq!((later.progress, later.limiters[0].end), (now.progress, now.limiters[0].end));
    assert_eq!(later.at(NOW), *now);
}
