//! Laws of limiters that renew by themselves, and of trackers that start again.

use std::collections::BTreeMap;
use std::sync::Arc;

use dictrack_core::group::{Call, Engine, Group, Track};
use dictrack_core::json::Json;
use dictrack_core::{
    Amount, EventCode, LimiterDefinition, Outcome, Reason, SkipReason, Timestamp, TrackerDefinition, Window,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const START: i64 = 1_700_000_000_000_000;

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(START + micros)
}

fn window(length: &str) -> Window {
    Window::new(length.parse().unwrap())
}

fn group(engine: &Engine, definition: TrackerDefinition) -> Group {
    let mut group = Group::default();
    group.add(&Call::new(engine, "g", at(0)), &[Arc::new(definition)], None).unwrap();
    group
}

fn track(group: &mut Group, engine: &Engine, amount: i64, now: Timestamp) -> Outcome {
    let document = Json::parse(format!(r#"{{"amount": {amount}}}"#).as_bytes()).unwrap();
    group.track(engine, "g", &Track::new(&document, now))
}

fn counts(outcome: &Outcome) -> bool {
    outcome.counted().next().is_some()
}

#[test]
fn a_tracker_that_no_longer_starts_again_completes_with_a_new_event_id() {
    let engine = Engine::default();
    let daily = TrackerDefinition::count("n").target(1).every(window("day")).build().unwrap();
    let mut group = group(&engine, daily);
    let first = track(&mut group, &engine, 1, at(0));
    let once = Arc::new(TrackerDefinition::count("n").target(2).build().unwrap());
    group.update(&Call::new(&engine, "g", at(1)), &once).unwrap();
    let last = track(&mut group, &engine, 1, at(2));
    let [first, last] = [&first, &last].map(|outcome| &outcome.events()[0]);
    assert_eq!((first.code, last.code), (EventCode::AllCompleted, EventCode::AllCompleted));
    assert_ne!(first.id(), last.id());
}

/// Moments in any order, on a grid so that they often coincide.
fn moments(most: i64) -> impl Strategy<Value = Vec<i64>> {
    vec((0..most).prop_map(|tenth| tenth * 100_000), 1..60)
}

/// Moments of all time, many of them near an end of 64 bits, of the years -9999 to 9999, or of what all zones have of those.
fn of_all_time() -> impl Strategy<Value = i64> {
    const DAY: i64 = 86_400_000_000;
    const ENDS: [i64; 6] = [
        i64::MIN,
        i64::MAX,
        -377_705_116_800_000_000,
        253_402_300_800_000_000,
        -377_705_023_201_000_000,
        253_402_207_200_000_000,
    ];
    let near = (select(&ENDS[..]), prop_oneof![-2_i64..3, -40 * DAY..40 * DAY]);
    prop_oneof![
        START - 1_000 * DAY..START + 1_000 * DAY,
        any::<i64>(),
        near.prop_map(|(end, away)| end.saturating_add(away)),
    ]
}

fn limited(limiter: LimiterDefinition) -> TrackerDefinition {
    TrackerDefinition::sum("n").target(1_000_000).limiter(limiter).build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_sliding_window_never_has_more_than_its_count(count in 1_u64..6, moments in moments(400)) {
        let engine = Engine::default();
        let length = 5_000_000;
        let mut group = group(&engine, limited(LimiterDefinition::count_within(count, "5 seconds".parse().unwrap())));
        let mut counted: Vec<i64> = Vec::new();
        for now in moments {
            let recent = counted.iter().filter(|&&moment| moment > now - length).count() as u64;
            let outcome = track(&mut group, &engine, 1, at(now));
            prop_assert_eq!(counts(&outcome), recent < count);
            if counts(&outcome) {
                counted.push(now);
            } else {
                // It opens exactly when it says.
                let until = outcome.refused().next().unwrap().refusal().unwrap().until.unwrap();
                let admits = |moment| group.explain(&engine, &Json::parse(br#"{"amount": 1}"#).unwrap(), moment);
                prop_assert_eq!(admits(until)[0].verdict.word(), "counted");
                let before = Timestamp::from_micros(until.micros() - 1);
                prop_assert_eq!(admits(before)[0].verdict.word(), "limited");
            }
        }
    }

    #[test]
    fn in_order_no_stretch_has_more_than_the_count(count in 1_u64..6, mut moments in moments(400)) {
        moments.sort_unstable();
        let engine = Engine::default();
        let mut group = group(&engine, limited(LimiterDefinition::count_within(count, "5 seconds".parse().unwrap())));
        let counted: Vec<i64> =
            moments.into_iter().filter(|&now| counts(&track(&mut group, &engine, 1, at(now)))).collect();
        for &end in &counted {
            let stretch = counted.iter().filter(|&&moment| end - 5_000_000 < moment && moment <= end).count() as u64;
            prop_assert!(stretch <= count);
        }
    }

    /// The cell rate algorithm admits what a bucket admits that gains `count` tokens in each length, and holds `burst`.
    #[test]
    fn bursts_are_those_of_a_token_bucket(count in 1_u64..8, burst in 1_u64..5, mut moments in moments(200)) {
        moments.sort_unstable();
        let engine = Engine::default();
        let length = 7_000_000_i128;
        let limiter = LimiterDefinition::burst(count, "7 seconds".parse().unwrap(), burst);
        let mut group = group(&engine, limited(limiter));
        // Tokens times the length, so that they are whole numbers.
        let (mut tokens, mut last) = (i128::from(burst) * length, 0);
        for now in moments {
            tokens = (tokens + i128::from(now - last) * i128::from(count)).min(i128::from(burst) * length);
            last = now;
            let admits = tokens >= length;
            prop_assert_eq!(counts(&track(&mut group, &engine, 1, at(now))), admits);
            if admits {
                tokens -= length;
            }
            let view = group.trackers(&engine, None, at(now))[0].limiters[0].clone();
            prop_assert_eq!(view.remaining, Some(Amount::from((tokens / length) as i64)));
        }
    }

    #[test]
    fn used_is_never_above_the_number_in_any_period(
        limit in 1_i64..8,
        documents in vec(((0_i64..300).prop_map(|tenth| tenth * 100_000), -3_i64..6), 1..60),
    ) {
        let engine = Engine::default();
        let mut group = group(&engine, limited(LimiterDefinition::sum_per(limit, None, window("5 seconds"))));
        let mut used: BTreeMap<i64, i64> = BTreeMap::new();
        for (now, amount) in documents {
            let period = (START + now).div_euclid(5_000_000);
            let outcome = track(&mut group, &engine, amount, at(now));
            let late = outcome.skipped().any(|(_, reason)| reason == SkipReason::Late);
            let newest = used.keys().next_back().copied();
            prop_assert_eq!(late, newest.is_some_and(|newest| period < newest - 1));
            // The first refusal in a period marks the limiter, which makes the period current.
            let before = used.get(&period).copied().unwrap_or(0);
            if !late {
                used.entry(period).or_default();
            }
            if counts(&outcome) {
                let used = used.entry(period).or_default();
                *used = (*used + amount).max(0);
                prop_assert!(*used <= limit);
            } else if !late {
                prop_assert!(before + amount > limit);
            }
        }
    }

    #[test]
    fn a_document_lies_in_the_period_that_it_counts_in(
        length in select(&["second", "hour", "36500 days", "day", "week", "month", "100 years"][..]),
        from in select(&["add", "2026-01-31", "9999-12-31T23:59:59"][..]),
        zone in select(&["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Europe/Berlin"][..]),
        moments in vec(of_all_time(), 1..20),
    ) {
        let engine = Engine { zone: zone.parse().unwrap(), ..Engine::default() };
        let window = window(length).from(from.parse().unwrap());
        let limiter = LimiterDefinition::count_per(2, window.clone());
        let definition = TrackerDefinition::count("n").target(1_000).every(window).limiter(limiter).build().unwrap();
        let mut group = group(&engine, definition);
        for micros in moments {
            let now = Timestamp::from_micros(micros);
            let outcome = track(&mut group, &engine, 1, now);
            for tracked in outcome.counted() {
                let period = tracked.period().unwrap();
                prop_assert!(period.contains(now), "{now} {period:?}");
                let whole = i128::from(period.start().micros()) < i128::from(period.end().micros());
                prop_assert!(whole && (now < period.end() || now == Timestamp::MAX));
            }
            // A limiter that is used up opens with the next period or, if that one is used up as well, with the one after it;
            // in the last one it stays closed.
            for tracked in outcome.refused() {
                let (end, until) = (tracked.period().unwrap().end(), tracked.refusal().unwrap().until);
                prop_assert!(until.is_none_or(|until| end <= until && until < Timestamp::MAX), "{end} {until:?}");
            }
        }
    }

    /// Within the open periods, the order in which documents arrive does not matter.
    #[test]
    fn the_order_of_arrival_does_not_matter(
        documents in vec((0_i64..20, 0_i64..4), 1..30),
        swaps in vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..30),
        streak in any::<bool>(),
    ) {
        let definition = if streak {
            TrackerDefinition::streak("n").targets([1, 2]).each(3).key("amount")
        } else {
            TrackerDefinition::sum("n").targets([1_000, 2_000])
        };
        let definition = definition.every(window("10 seconds")).keep(5).build().unwrap();
        let run = |documents: &[(i64, i64)]| {
            let engine = Engine::default();
            let mut group = group(&engine, definition.clone());
            // The later period comes first, so that both are open.
            track(&mut group, &engine, 0, at(10_000_000));
            let mut fired = Vec::new();
            for &(second, amount) in documents {
                let outcome = track(&mut group, &engine, amount, at(second * 1_000_000));
                fired.extend(outcome.events().iter().map(|event| (event.code, event.stage)));
            }
            fired.sort_unstable();
            let tracker = group.trackers(&engine, None, at(10_000_000)).remove(0);
            (tracker.progress, tracker.stage, tracker.periods(), fired)
        };
        let mut shuffled = documents.clone();
        for (a, b) in swaps {
            shuffled.swap(a.index(documents.len()), b.index(documents.len()));
        }
        prop_assert_eq!(run(&documents), run(&shuffled));
    }

    /// What peeking and explaining say about the next document is what tracking does, and neither changes anything.
    #[test]
    fn peeking_explaining_and_tracking_agree(
        limiters in vec(0_usize..5, 1..4),
        every in any::<bool>(),
        documents in vec(((0_i64..200).prop_map(|tenth| tenth * 100_000), 1_i64..4), 1..40),
    ) {
        let all = [
            LimiterDefinition::count_per(3, window("5 seconds")),
            LimiterDefinition::sum_per(6, None, window("7 seconds")),
            LimiterDefinition::count_within(2, "3 seconds".parse().unwrap()),
            LimiterDefinition::burst(2, "2 seconds".parse().unwrap(), 2),
            LimiterDefinition::count(4),
        ];
        let mut definition = TrackerDefinition::sum("n").target(1_000_000);
        for at in limiters {
            definition = definition.limiter(all[at].clone());
        }
        if every {
            definition = definition.every(window("10 seconds"));
        }
        let engine = Engine::default();
        let mut group = group(&engine, definition.build().unwrap());
        for (now, amount) in documents {
            let document = Json::parse(format!(r#"{{"amount": {amount}}}"#).as_bytes()).unwrap();
            let version = group.version();
            let verdict = group.explain(&engine, &document, at(now)).remove(0).verdict;
            let peeked = group.trackers(&engine, None, at(now)).remove(0);
            prop_assert_eq!(group.version(), version);
            let outcome = group.track(&engine, "g", &Track::new(&document, at(now)));
            prop_assert_eq!(counts(&outcome), matches!(verdict, Reason::Counted { .. }));
            match verdict {
                Reason::Limited { limiter, until, .. } => {
                    let refusal = outcome.refused().next().unwrap().refusal().unwrap();
                    prop_assert_eq!((refusal.limiter, refusal.until), (limiter, until));
                }
                Reason::Skipped { reason, .. } => {
                    prop_assert_eq!(outcome.skipped().map(|(_, reason)| reason).collect::<Vec<_>>(), [reason]);
                }
                Reason::Counted { .. } => {
                    // Each limiter had room for it.
                    let room = |remaining: Option<Amount>| remaining.is_none_or(|remaining| remaining >= Amount::ONE);
                    prop_assert!(peeked.limiters.iter().all(|limiter| room(limiter.remaining)));
                    prop_assert!(peeked.limiters.iter().all(|limiter| limiter.retry_at.is_some_and(|moment| moment <= at(now))));
                }
                other => prop_assert!(false, "{other}"),
            }
            // The outcome shows the tracker as a look after it does.
            let after = group.trackers(&engine, None, at(now)).remove(0);
            if let Some(tracked) = outcome.touched().next() {
                prop_assert_eq!(tracked.limiters().collect::<Vec<_>>(), after.limiters);
                prop_assert_eq!((tracked.progress(), tracked.stage()), (after.progress, after.stage));
                prop_assert_eq!((tracked.is_limited(), tracked.period()), (after.limited, after.period));
                prop_assert_eq!(tracked.status(), after.status);
            }
        }
    }

    /// A tracker that nothing touched for years is as fast as one that nothing touched for a day, and remembers as much.
    #[test]
    fn skipped_periods_leave_nothing(years in 1_i64..50, length in select(&["second", "day", "month"][..])) {
        let engine = Engine::default();
        let definition = TrackerDefinition::count("n").target(10).every(window(length)).keep(3).build().unwrap();
        let mut group = group(&engine, definition);
        track(&mut group, &engine, 1, at(0));
        track(&mut group, &engine, 1, at(years * 31_556_952_000_000));
        let tracker = group.trackers(&engine, None, at(years * 31_556_952_000_000)).remove(0);
        prop_assert_eq!(tracker.progress, Amount::ONE);
        prop_assert_eq!(tracker.periods().len(), 2);
    }
}
