//! Random documents, definitions and streams.
//!
//! They all use the same few paths and values, so that conditions often match documents.

use std::sync::Arc;

use dictrack_core::json::{Json, Map};
use dictrack_core::{
    Amount, Condition, Kind, LimiterDefinition, Path, Renewal, ResetPolicy, Span, Timestamp, TrackerDefinition, Window,
    Zone,
    condition::{Affix, Comparison, FieldComparison, Items, Moment, Needle, Order, Pattern, Quantifier, Test},
    definition::TrackerBuilder,
    measure::Freezes,
    window::Length,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// When the trackers of every law are added.
pub(crate) const START: Timestamp = Timestamp::from_secs(1_700_000_000);

const PATHS: [&str; 9] = ["a", "b", "c", "a.b", "b.0", "b.-1", "b.0.a", "c.a", r"a\.b"];
const NUMBERS: [&str; 24] = [
    "0",
    "-0.0",
    "1",
    "1.0",
    "-1",
    "2",
    "3",
    "5",
    "0.1",
    "0.3",
    "1.5",
    "-2.5",
    "1e-18",
    "1e-19",
    "5e-19",
    "-1e-40",
    "9007199254740993",
    "9007199254740992.0",
    "1e20",
    "1.69e20",
    "-1.69e20",
    "1.7e20",
    "1e300",
    "-1e300",
];
const TEXTS: [&str; 17] = [
    "",
    "a",
    "A",
    "ab",
    "aB",
    "b",
    "1",
    " +1.5 ",
    "-2",
    "ß",
    "SS",
    "ss",
    "é",
    "\u{10000}",
    "1970-01-01",
    "1970-01-01T00:00:01Z",
    "1970-01-01T01:00:02.5+01:00",
];
const KEYS: [&str; 5] = ["a", "A", "b", "0", "a.b"];

pub(crate) fn parse(text: &str) -> Json {
    Json::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn number() -> impl Strategy<Value = Json> {
    prop_oneof![3 => select(&NUMBERS[..8]), 1 => select(&NUMBERS[..])].prop_map(parse)
}

fn text() -> impl Strategy<Value = Json> {
    prop_oneof![3 => select(&TEXTS[..5]), 1 => select(&TEXTS[..])].prop_map(Json::from)
}

fn scalar() -> impl Strategy<Value = Json> {
    prop_oneof![6 => number(), 3 => text(), 1 => any::<bool>().prop_map(Json::from), 1 => Just(Json::Null)]
}

fn map_of(values: impl Strategy<Value = Json>) -> impl Strategy<Value = Json> {
    let entries = vec((select(&KEYS[..]), values), 0..4);
    entries.prop_map(|entries| entries.into_iter().map(|(key, value)| (key.into(), value)).collect::<Map>().into())
}

fn value_of(leaves: impl Strategy<Value = Json> + 'static) -> impl Strategy<Value = Json> {
    leaves.prop_recursive(2, 8, 4, |parts| {
        let list = vec(parts.clone(), 0..4).prop_map(Json::from);
        prop_oneof![2 => list, 1 => map_of(parts)]
    })
}

fn operand() -> impl Strategy<Value = Json> {
    prop_oneof![4 => scalar(), 1 => value_of(scalar())]
}

/// A document: usually a map with some of the keys that paths start with, and values of any kind.
pub(crate) fn document() -> impl Strategy<Value = Json> {
    let never_in_json = select(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY][..]).prop_map(Json::from);
    let scalar = prop_oneof![15 => scalar(), 1 => never_in_json].boxed();
    let value = prop_oneof![2 => scalar.clone(), 1 => value_of(scalar)].boxed();
    let entry = |key| option::weighted(0.7, value.clone().prop_map(move |value| (key, value)));
    let entries = ["a", "b", "c", "a.b"].map(entry);
    let map = entries.prop_map(|entries| {
        entries.into_iter().flatten().map(|(key, value)| (key.into(), value)).collect::<Map>().into()
    });
    prop_oneof![19 => map, 1 => value]
}

fn order() -> impl Strategy<Value = Order> {
    select(&[Order::Lt, Order::Le, Order::Gt, Order::Ge][..])
}

fn test() -> impl Strategy<Value = Test> {
    let ordered = (order(), prop_oneof![2 => number(), 1 => text()]);
    let operands = || vec(operand(), 1..4);
    let looked_for = || (prop_oneof![4 => text(), 1 => operand()], any::<bool>());
    let affix = || (text(), any::<bool>()).prop_map(|(text, fold)| Affix::new(text.as_str().unwrap(), fold));
    let pattern =
        select(&["^a", "b$", "[0-9]", "(?i)SS", "", "^(a|b)+$"][..]).prop_map(|text| Pattern::new(text).unwrap());
    let moments = prop_oneof![select(&NUMBERS[..8]).prop_map(parse), select(&TEXTS[14..]).prop_map(Json::from)];
    let moment = || moments.clone().prop_map(|moment| Moment::new(moment).unwrap());
    let needle = || looked_for().prop_map(|(value, ignore_case)| Needle::new(value, ignore_case));
    prop_oneof![
        1 => Just(Test::Exists),
        1 => Just(Test::Absent),
        3 => operand().prop_map(Test::Eq),
        1 => operand().prop_map(Test::Ne),
        4 => ordered.prop_map(|(order, operand)| Test::Order(order, operand)),
        1 => needle().prop_map(Test::Contains),
        1 => needle().prop_map(Test::NotContains),
        2 => operands().prop_map(Test::In),
        1 => operands().prop_map(Test::NotIn),
        1 => operand().prop_map(Test::Has),
        1 => operand().prop_map(Test::NotHas),
        1 => operands().prop_map(Test::Intersects),
        1 => operands().prop_map(Test::NotIntersects),
        1 => affix().prop_map(Test::StartsWith),
        1 => affix().prop_map(Test::EndsWith),
        1 => pattern.prop_map(Test::Matches),
        1 => moment().prop_map(Test::Before),
        1 => moment().prop_map(Test::Since),
    ]
}

fn path() -> impl Strategy<Value = Path> {
    prop_oneof![3 => select(&PATHS[..3]), 1 => select(&PATHS[..])].prop_map(|text| Path::parse(text).unwrap())
}

fn leaf() -> impl Strategy<Value = Condition> {
    // Many orders with few thresholds, so that strict and non-strict ones often share a threshold.
    let ordered = (order(), number()).prop_map(|(order, operand)| Test::Order(order, operand));
    (path(), prop_oneof![4 => test(), 1 => ordered]).prop_map(|(key, test)| Condition::Test { key, test })
}

fn nested(leaves: impl Strategy<Value = Condition> + 'static) -> impl Strategy<Value = Condition> {
    leaves.prop_recursive(3, 8, 3, |parts| {
        let some = || vec(parts.clone(), 1..4).prop_map(Vec::into_boxed_slice);
        prop_oneof![
            some().prop_map(Condition::All),
            some().prop_map(Condition::Any),
            parts.clone().prop_map(|part| Condition::Not(Box::new(part))),
        ]
    })
}

/// A comparison of two values of a document.
fn fields() -> impl Strategy<Value = Condition> {
    let comparison = prop_oneof![Just(Comparison::Eq), Just(Comparison::Ne), order().prop_map(Comparison::Order)];
    (path(), comparison, path())
        .prop_map(|(key, comparison, other)| Condition::Fields(FieldComparison::new(key, comparison, other)))
}

/// Conditions on the items of a list.
fn items() -> impl Strategy<Value = Condition> {
    let item = prop_oneof![1 => Just(Path::item()), 1 => path()];
    let within = (item, test()).prop_map(|(key, test)| Condition::Test { key, test });
    (path(), select(&[Quantifier::Any, Quantifier::All][..]), vec(nested(within), 1..3))
        .prop_map(|(key, quantifier, conditions)| Condition::Items(Items::new(key, quantifier, conditions)))
}

fn condition() -> impl Strategy<Value = Condition> {
    let any = || prop_oneof![8 => leaf(), 1 => fields(), 1 => items()];
    prop_oneof![3 => any(), 1 => nested(any())]
}

/// A custom condition: one that answers, one that fails or one that is not registered.
fn custom() -> impl Strategy<Value = Condition> {
    let name = select(&["answers", "fails", "unknown"][..]);
    (name, any::<bool>()).prop_map(|(name, answer)| Condition::Custom { name: name.into(), params: answer.into() })
}

/// A moment around [`START`], on a grid of half seconds so that moments often coincide.
pub(crate) fn moment() -> impl Strategy<Value = Timestamp> {
    (-8_i64..80).prop_map(|half| Timestamp::from_micros(START.micros() + half * 500_000))
}

fn length() -> impl Strategy<Value = Span> {
    (0_i64..40).prop_map(|half| Span::from_micros(half * 500_000))
}

pub(crate) fn limiter() -> impl Strategy<Value = LimiterDefinition> {
    let window =
        |(start, length): (Timestamp, _)| LimiterDefinition::fixed(Some(start), Some(start.saturating_add(length)));
    prop_oneof![
        (1_u64..5).prop_map(LimiterDefinition::count),
        (moment(), length()).prop_map(window),
        length().prop_map(LimiterDefinition::interval),
    ]
}

/// Any built-in limiter; a window may have only one bound.
fn any_limiter() -> impl Strategy<Value = LimiterDefinition> {
    prop_oneof![
        6 => limiter(),
        1 => moment().prop_map(|start| LimiterDefinition::fixed(Some(start), None)),
        1 => moment().prop_map(|end| LimiterDefinition::fixed(None, Some(end))),
    ]
}

/// A window whose periods are short enough for the moments of a stream to lie in several of them.
fn window() -> impl Strategy<Value = Window> {
    let length = select(&["second", "2 seconds", "5 seconds", "7 seconds", "minute", "day"][..]);
    let from = option::weighted(0.4, select(&["add", "2023-11-14T22:13:21"][..]));
    (length, from).prop_map(|(length, from)| {
        let window = Window::new(length.parse().unwrap());
        from.map_or(window.clone(), |from| window.from(from.parse().unwrap()))
    })
}

/// A limiter that renews by itself, or a sum.
fn renewing_limiter() -> impl Strategy<Value = LimiterDefinition> {
    let zoned = (window(), option::weighted(0.3, zone())).prop_map(|(window, zone)| match zone {
        Some(zone) => window.zone(zone),
        None => window,
    });
    let zoned = zoned.boxed();
    let key = || option::of(path());
    let elapsed =
        || select(&["second", "3 seconds", "10 seconds"][..]).prop_map(|length| length.parse::<Length>().unwrap());
    prop_oneof![
        (1_u64..4, zoned.clone()).prop_map(|(count, window)| LimiterDefinition::count_per(count, window)),
        (1_i64..6, key(), zoned).prop_map(|(limit, key, window)| LimiterDefinition::sum_per(limit, key, window)),
        (1_i64..6, key()).prop_map(|(limit, key)| LimiterDefinition::sum(limit, key)),
        (1_u64..4, elapsed()).prop_map(|(count, length)| LimiterDefinition::count_within(count, length)),
        (1_u64..4, elapsed(), 1_u64..4)
            .prop_map(|(count, length, burst)| LimiterDefinition::burst(count, length, burst)),
    ]
}

pub(crate) fn zone() -> impl Strategy<Value = Zone> {
    select(&["UTC", "Europe/Berlin", "Asia/Kolkata", "Pacific/Apia"][..]).prop_map(|name| Zone::named(name).unwrap())
}

fn amount() -> impl Strategy<Value = Amount> {
    // Halves around zero, and amounts near the ends of the range.
    let halves = (-6_i128..16).prop_map(|half| Amount::from_units(half * 500_000_000_000_000_000).unwrap());
    let far = select(&[-169_i128, 169][..]).prop_map(|far| Amount::from_units(far * 10_i128.pow(36)).unwrap());
    prop_oneof![12 => halves, 1 => far]
}

fn policy() -> impl Strategy<Value = ResetPolicy> {
    (any::<bool>(), any::<bool>()).prop_map(|(progress, limiter)| ResetPolicy { progress, limiter })
}

/// A definition without a name.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    kind: Kind,
    targets: Vec<Amount>,
    conditions: Vec<Condition>,
    limiters: Vec<LimiterDefinition>,
    policy: ResetPolicy,
    loops: bool,
    init: Amount,
    expire_at: Option<Timestamp>,
    every: Option<(Window, u16)>,
    zone: Option<Zone>,
    /// Whether it is a streak, if its targets allow that; and how many freezes it has, and earns each how many periods.
    streak: Option<(u64, u64)>,
}

impl Shape {
    fn counting(conditions: Vec<Condition>, target: i64) -> Self {
        Self {
            kind: Kind::count(),
            targets: vec![target.into()],
            conditions,
            limiters: Vec::new(),
            policy: ResetPolicy::default(),
            loops: false,
            init: Amount::ZERO,
            expire_at: None,
            every: None,
            zone: None,
            streak: None,
        }
    }

    pub(crate) fn named(&self, name: &str) -> Arc<TrackerDefinition> {
        Arc::new(self.builder(name).build().unwrap_or_else(|error| panic!("{self:?}: {error}")))
    }

    pub(crate) fn builder(&self, name: &str) -> TrackerBuilder {
        let rises =
            self.targets.first().is_none_or(|first| first.is_positive()) && self.targets.is_sorted_by(|a, b| a < b);
        let streak = self.streak.filter(|_| rises && self.every.is_some());
        let mut builder = match streak {
            Some((start, per)) => {
                let freezes = Freezes::starting(start).earned_per(per).at_most(start + 2);
                let policy = ResetPolicy { progress: false, ..self.policy };
                TrackerDefinition::streak(name).each(2).freezes(freezes).reset_policy(policy)
            }
            None => {
                let builder = TrackerDefinition::of(name, self.kind.clone());
                builder.reset_policy(self.policy).init_progress(self.init)
            }
        };
        for target in &self.targets {
            builder = builder.target(*target);
        }
        if let Some((window, keep)) = &self.every {
            builder = builder.every(window.clone()).keep(*keep);
        }
        if let Some(zone) = self.zone {
            builder = builder.zone(zone);
        }
        for condition in &self.conditions {
            builder = builder.condition(condition.clone());
        }
        for limiter in &self.limiters {
            builder = builder.limiter(limiter.clone());
        }
        if let Some(moment) = self.expire_at {
            builder = builder.expire_at(moment);
        }
        if self.loops && rises && !self.targets.is_empty() && streak.is_none() {
            builder = builder.loop_forever();
        }
        builder
    }
}

/// The shapes with the names `t0`, `t1`, …
pub(crate) fn named(shapes: &[Shape]) -> Vec<Arc<TrackerDefinition>> {
    shapes.iter().enumerate().map(|(at, shape)| shape.named(&name(at))).collect()
}

fn name(at: usize) -> String {
    format!("t{at}")
}

fn shape_with(conditions: impl Strategy<Value = Condition>) -> impl Strategy<Value = Shape> {
    let kind = prop_oneof![Just(Kind::count()), path().prop_map(Kind::sum)];
    let targets = prop_oneof![
        2 => Just(vec![Amount::from(1_000_000)]),
        2 => vec(1_i64..4, 1..4).prop_map(|steps| {
            steps.iter().scan(0, |sum, step| { *sum += step; Some(Amount::from(*sum)) }).collect()
        }),
        1 => vec(amount(), 1..4),
        1 => Just(Vec::new()),
    ];
    let init = prop_oneof![3 => Just(Amount::ZERO), 1 => amount()];
    (
        kind,
        targets,
        vec(conditions, 0..4),
        vec(any_limiter(), 0..3),
        policy(),
        any::<bool>(),
        init,
        option::weighted(0.1, moment()),
    )
        .prop_map(|(kind, targets, conditions, limiters, policy, loops, init, expire_at)| Shape {
            kind,
            targets,
            conditions,
            limiters,
            policy,
            loops,
            init,
            expire_at,
            every: None,
            zone: None,
            streak: None,
        })
}

/// A shape, half of the time with windows.
pub(crate) fn any_shape() -> impl Strategy<Value = Shape> {
    let every = option::weighted(0.6, (window(), 0_u16..4));
    let streak = option::weighted(0.4, (0_u64..3, 1_u64..4));
    let windows = (every, vec(renewing_limiter(), 0..3), option::weighted(0.3, zone()), streak);
    (shape(), option::of(windows)).prop_map(|(mut shape, windows)| {
        if let Some((every, limiters, zone, streak)) = windows {
            // Conditions would keep most documents away.
            shape.conditions.truncate(1);
            shape.limiters.extend(limiters);
            (shape.every, shape.zone, shape.streak) = (every, zone, streak);
        }
        shape
    })
}

pub(crate) fn shape() -> impl Strategy<Value = Shape> {
    shape_with(condition())
}

/// A shape whose conditions include custom ones.
pub(crate) fn custom_shape() -> impl Strategy<Value = Shape> {
    shape_with(prop_oneof![2 => condition(), 2 => custom(), 1 => nested(prop_oneof![leaf(), custom()])])
}

/// How many users and shops the conditions of a large set distinguish.
const SELECTED: i64 = 300;

/// A number or its text, which are not equal.
fn selected() -> impl Strategy<Value = Json> {
    (0..SELECTED, any::<bool>()).prop_map(|(at, text)| if text { at.to_string().into() } else { at.into() })
}

fn selective() -> impl Strategy<Value = Condition> {
    let some = (vec(selected(), 1..4), any::<bool>()).prop_map(|(mut some, again)| {
        some.extend(again.then(|| some[0].clone()));
        some
    });
    let test = prop_oneof![4 => selected().prop_map(Test::Eq), 1 => some.prop_map(Test::In)];
    let path = select(&["user", "shop.0"][..]).prop_map(|text| Path::parse(text).unwrap());
    (path, test).prop_map(|(key, test)| Condition::Test { key, test })
}

/// The shapes of a large set. Most have a selective test among their conditions, some do not.
pub(crate) fn selective_shapes() -> impl Strategy<Value = Vec<Shape>> {
    let others = || prop_oneof![6 => Just(Vec::new()), 3 => vec(leaf(), 1..3), 1 => vec(condition(), 1..3)];
    let conditions = prop_oneof![
        9 => (others(), selective(), others()).prop_map(|(mut all, selective, others)| {
            all.push(selective);
            all.extend(others);
            all
        }),
        1 => vec(condition(), 1..3),
    ];
    let shape = (conditions, select(&[1, 2, 1_000_000][..]))
        .prop_map(|(conditions, target)| Shape::counting(conditions, target));
    prop_oneof![vec(shape.clone(), 600..1200), vec(shape, 4100..5000)]
}

/// A document for a large set.
pub(crate) fn selecting_document() -> impl Strategy<Value = Json> {
    (option::weighted(0.9, selected()), vec(selected(), 0..2), document()).prop_map(|(user, shop, others)| {
        let mut map = others.as_map().cloned().unwrap_or_default();
        if let Some(user) = user {
            map.insert("user".into(), user);
        }
        map.insert("shop".into(), shop.into());
        map.into()
    })
}

/// One call for a group.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) now: Timestamp,
    pub(crate) act: Act,
}

#[derive(Clone, Debug)]
pub(crate) enum Act {
    Track {
        document: Json,
        id: Option<String>,
    },
    Add {
        definition: Arc<TrackerDefinition>,
        expire: Option<Span>,
    },
    Update(Arc<TrackerDefinition>),
    AddTargets {
        name: String,
        targets: Vec<Amount>,
    },
    SetProgress {
        name: String,
        progress: Amount,
    },
    Reset {
        name: String,
        policy: Option<ResetPolicy>,
        renewal: Renewal,
    },
    Remove(String),
    /// Sets or removes the zone of the group.
    Zone(Option<Zone>),
    Forget,
    /// Marks this many of the undelivered events as delivered.
    Deliver(usize),
}

/// Calls of every kind, mostly documents. Some document ids are repeated.
pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let some = || (0_usize..6).prop_map(name);
    let definition = || (some(), any_shape()).prop_map(|(name, shape)| shape.named(&name));
    let id = option::weighted(0.5, (0_u8..12).prop_map(|id| format!("document {id}")));
    let renewal = (option::weighted(0.3, 0_u64..3), option::weighted(0.3, length())).prop_map(|(count, length)| {
        let mut renewal = Renewal::default();
        (renewal.count, renewal.length) = (count, length);
        renewal
    });
    let act = prop_oneof![
        14 => (document(), id).prop_map(|(document, id)| Act::Track { document, id }),
        2 => (definition(), option::weighted(0.3, length())).prop_map(|(definition, expire)| Act::Add { definition, expire }),
        1 => definition().prop_map(Act::Update),
        1 => (some(), vec(amount(), 1..3)).prop_map(|(name, targets)| Act::AddTargets { name, targets }),
        1 => (some(), amount()).prop_map(|(name, progress)| Act::SetProgress { name, progress }),
        2 => (some(), option::of(policy()), renewal).prop_map(|(name, policy, renewal)| Act::Reset { name, policy, renewal }),
        1 => some().prop_map(Act::Remove),
        1 => (0_usize..6).prop_map(Act::Deliver),
        1 => option::weighted(0.8, zone()).prop_map(Act::Zone),
        1 => Just(Act::Forget),
    ];
    vec((moment(), act).prop_map(|(now, act)| Step { now, act }), 1..30)
}

/// Many trackers, every second of which completes with the first document.
pub(crate) fn crowd(size: usize) -> Vec<Arc<TrackerDefinition>> {
    let target = |at: usize| if at.is_multiple_of(2) { 1 } else { 1_000 };
    (0..size).map(|at| Shape::counting(Vec::new(), target(at)).named(&format!("crowd {at}"))).collect()
}

/// A shape with arbitrary moments, lengths, names and values, some of which the builder must reject.
pub(crate) fn unchecked() -> impl Strategy<Value = Shape> {
    let micros = || prop_oneof![2 => Just(START.micros()), 1 => any::<i64>(), 1 => select(&[i64::MIN, i64::MAX][..])];
    let moment = || micros().prop_map(Timestamp::from_micros);
    let deep = (0..150).prop_map(|depth| (0..depth).fold(Json::Null, |inner, _| Json::List(vec![inner])));
    let value = prop_oneof![4 => scalar(), 1 => Just(Json::from(f64::NAN)), 1 => deep].boxed();
    let custom = (select(&["", "x"][..]), value.clone()).boxed();

    let kind = custom.clone().prop_map(|(name, params)| Kind::custom(name, params));
    let condition = prop_oneof![
        custom.clone().prop_map(|(name, params)| Condition::Custom { name: name.into(), params }),
        (path(), value).prop_map(|(key, value)| Condition::Test { key, test: Test::Has(value) }),
    ];
    let limiter = prop_oneof![
        custom.prop_map(|(name, params)| LimiterDefinition::custom(name, params)),
        (moment(), moment()).prop_map(|(start, end)| LimiterDefinition::fixed(Some(start), Some(end))),
        micros().prop_map(|length| LimiterDefinition::interval(Span::from_micros(length))),
    ];
    let odd = (option::weighted(0.2, kind), vec(condition, 0..2), vec(limiter, 0..2), option::weighted(0.2, moment()));
    (shape(), odd).prop_map(|(mut shape, (kind, conditions, limiters, expire_at))| {
        shape.kind = kind.unwrap_or(shape.kind);
        shape.conditions.extend(conditions);
        shape.limiters.extend(limiters);
        shape.expire_at = expire_at.or(shape.expire_at);
        shape
    })
}
