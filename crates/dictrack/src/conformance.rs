//! What every store and every cache has to do, as suites that ship: run them on one of your own.
//!
//! ```
//! use std::collections::HashMap;
//! use std::sync::{Arc, Mutex};
//!
//! use async_trait::async_trait;
//! use dictrack::cache::DataCache;
//! use dictrack::conformance::{Caches, Stores, check_caches, check_stores};
//! use dictrack::store::DataStore;
//! use dictrack::{cache::MemoryCache, store::MemoryStore};
//!
//! /// Memory stores, each kept under its name.
//! #[derive(Default)]
//! struct InMemory(Mutex<HashMap<String, Arc<MemoryStore>>>);
//!
//! #[async_trait]
//! impl Stores for InMemory {
//!     async fn open(&self, name: &str) -> Box<dyn DataStore> {
//!         Box::new(Arc::clone(self.0.lock().unwrap().entry(name.to_owned()).or_default()))
//!     }
//! }
//!
//! /// Memory caches, which no other process shares.
//! struct InProcess;
//!
//! #[async_trait]
//! impl Caches for InProcess {
//!     async fn open(&self, _: &str) -> Box<dyn DataCache> {
//!         Box::new(MemoryCache::new())
//!     }
//! }
//!
//! pollster::block_on(check_stores(&InMemory::default()));
//! pollster::block_on(check_caches(&InProcess, &InMemory::default()));
//! ```
//!
//! Behaviour on top of both is what scenario files say: see [`scenario`](crate::scenario).

use std::sync::Arc;

use async_trait::async_trait;
use dictrack_core::json::Text;
use dictrack_core::json::{Json, Map};
use dictrack_core::{
    ResetPolicy, Span, Timestamp, TrackerDefinition,
    group::{Call, ContentHash, Engine, Group, GroupChange, Limits, Track},
};

use crate::durability::Durability;
use crate::store::{DataStore, Held, Mark, Refused, Unsaved, Writers};

mod caches;

pub use caches::{Caches, check_caches};

/// Opens stores for the suite.
#[async_trait]
pub trait Stores: Send + Sync {
    /// The store of that name: blank the first time, later with all that was committed to it. Whatever was opened under
    /// the name before has been dropped.
    async fn open(&self, name: &str) -> Box<dyn DataStore>;
}

/// Runs every law of [`DataStore`].
///
/// # Panics
/// If the store breaks one, with words that say which.
pub async fn check_stores(stores: &dyn Stores) {
    a_blank_store_holds_nothing(stores).await;
    what_was_saved_is_loaded_also_after_opening_again(stores).await;
    changes_of_a_long_stream_add_up(stores).await;
    groups_come_in_order_page_by_page(stores).await;
    any_text_is_a_group(stores).await;
    marks_are_kept_with_changes_replaced_and_removed(stores).await;
    groups_are_undelivered_until_all_events_are_marked(stores).await;
    definitions_are_listed_once(stores).await;
    names_of_completed_trackers_outlive_what_is_readable(stores).await;
    clearing_leaves_nothing(stores).await;
    claims_grow_also_where_there_is_no_group(stores).await;
    of_many_writers_only_what_follows_is_kept(stores).await;
    what_an_earlier_claim_writes_is_refused(stores).await;
    a_whole_group_replaces_an_older_one(stores).await;
    what_was_cleared_does_not_come_back(stores).await;
}

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

/// A store that has begun, the engine for its groups, and the name it was opened by.
struct Opened<'a> {
    stores: &'a dyn Stores,
    name: &'static str,
    limits: Limits,
    engine: Engine,
    store: Box<dyn DataStore>,
}

impl<'a> Opened<'a> {
    async fn new(stores: &'a dyn Stores, name: &'static str, limits: Limits) -> Self {
        Self::by(Writers::One, stores, name, limits).await
    }

    /// One of many writers.
    async fn shared(stores: &'a dyn Stores, name: &'static str) -> Self {
        Self::by(Writers::Many, stores, name, Limits::default()).await
    }

    async fn by(writers: Writers, stores: &'a dyn Stores, name: &'static str, limits: Limits) -> Self {
        let store = stores.open(name).await;
        let engine = Engine { limits, ..Engine::default() };
        let opened = Self { stores, name, limits, engine, store };
        let begun = opened.store.begin(Durability::Os, &limits, writers).await;
        let blank = begun.unwrap_or_else(|error| opened.fail("begin", &error));
        assert!(!blank || writers == Writers::One, "{name}: blank, where others may write");
        opened
    }

    /// Drops the store and opens it again, with an engine that knows nothing.
    async fn again(self) -> Self {
        let Self { stores, name, limits, store, engine: _ } = self;
        drop(store);
        Self::new(stores, name, limits).await
    }

    fn fail<T>(&self, action: &str, error: &crate::Error) -> T {
        panic!("{}: the store could not {action}: {error}", self.name)
    }

    async fn save(&self, changes: &[Unsaved], marks: &[Mark]) {
        let refused = self.store.save(changes, marks).await.unwrap_or_else(|error| self.fail("save", &error));
        assert_eq!(refused, [], "{}: a change was refused", self.name);
    }

    /// Saves one change, and gives what the store holds instead if it was refused.
    async fn try_save(&self, change: &Unsaved) -> Option<Held> {
        let refused = self.store.save(std::slice::from_ref(change), &[]).await;
        match refused.unwrap_or_else(|error| self.fail("save", &error)).as_slice() {
            [] => None,
            [Refused { at: 0, held }] => Some(*held),
            other => panic!("{}: {other:?} was refused of one change", self.name),
        }
    }

    async fn claim(&self, group: &str) -> (Option<Group>, u64) {
        let claimed = self.store.claim(group, &self.engine).await;
        let claimed = claimed.unwrap_or_else(|error| self.fail("claim a group", &error));
        (claimed.group, claimed.claim)
    }

    async fn held(&self, group: &str) -> Held {
        self.store.held(group).await.unwrap_or_else(|error| self.fail("say what it holds", &error))
    }

    async fn load(&self, group: &str) -> Option<Group> {
        self.store.load(group, &self.engine).await.unwrap_or_else(|error| self.fail("load", &error))
    }

    async fn groups(&self, after: Option<&str>, limit: usize) -> Vec<String> {
        self.store.groups(after, limit).await.unwrap_or_else(|error| self.fail("list groups", &error))
    }

    async fn undelivered(&self) -> Vec<String> {
        let mut groups = self.store.undelivered().await.unwrap_or_else(|error| self.fail("list events", &error));
        groups.sort();
        groups
    }

    async fn marks(&self) -> Vec<Mark> {
        self.store.marks().await.unwrap_or_else(|error| self.fail("list marks", &error))
    }

    async fn maintain(&self, all: bool) {
        self.store.maintain(all).await.unwrap_or_else(|error| self.fail("maintain", &error));
    }

    /// A new group under a claim, with its first change.
    async fn new_group(&self, id: &str) -> (Group, Unsaved) {
        let (found, claim) = self.claim(id).await;
        assert!(found.is_none(), "{}: the group {id:?} is there", self.name);
        let mut group = Group::default();
        self.add(&mut group, id, &definitions());
        let change = self.change(&mut group, id, claim);
        (group, change)
    }

    /// What changed of a group, under a claim.
    fn change(&self, group: &mut Group, id: &str, claim: u64) -> Unsaved {
        under(claim, group.take_change(id, &self.engine))
    }

    fn call<'c>(&'c self, group: &'c str) -> Call<'c> {
        Call::new(&self.engine, group, NOW).keep_events(true)
    }

    fn add(&self, group: &mut Group, id: &str, definitions: &[Arc<TrackerDefinition>]) {
        let added = group.add(&self.call(id), definitions, None);
        added.unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }

    fn track(&self, group: &mut Group, id: &str, document: &Json, event_id: Option<ContentHash>) {
        group.track(&self.engine, id, &Track::new(document, NOW).id(event_id).keep_events(true));
    }

    /// A group that changed in every way a store has to keep, saved.
    async fn saved_group(&self, id: &str) -> Group {
        let mut group = Group::default();
        self.add(&mut group, id, &definitions());
        for number in 0..4_u64 {
            self.track(&mut group, id, &document(number), Some(ContentHash::of([number.to_le_bytes()])));
        }
        self.save(&[group.take_change(id, &self.engine).into()], &[]).await;
        group
    }

    /// Compares what the store holds of a group with what it was given.
    async fn holds(&self, id: &str, group: &Group, when: &str) {
        let Some(found) = self.load(id).await else { panic!("{}: {when}: the group {id:?} is missing", self.name) };
        assert_eq!(kept(&found, id), kept(group, id), "{}: {when}: the group {id:?} differs", self.name);
    }
}

/// The change as a holder of this claim makes it.
fn under(claim: u64, change: GroupChange) -> Unsaved {
    Unsaved { change, claim }
}

/// All that is kept of a group, as text.
fn kept(group: &Group, id: &str) -> String {
    let whole = group.whole(id);
    let mut out = format!("version {} of set {}\n", whole.version, whole.set.hash());
    for part in
        [GroupChange::write_state, GroupChange::write_ids, GroupChange::write_events, GroupChange::write_completed]
    {
        part(&whole, &mut out);
        out.push('\n');
    }
    out
}

fn definitions() -> Vec<Arc<TrackerDefinition>> {
    let all = [
        TrackerDefinition::count("stages").targets([2, 3, 1_000_000]).limit(1_000),
        TrackerDefinition::sum("sum").key("v").target(1_000_000_000).within(Span::from_secs(3_600)),
        TrackerDefinition::count("once").target(1),
        TrackerDefinition::sum("loop").key("v").targets([1, 5]).loop_forever().reset_policy(ResetPolicy::NONE),
        TrackerDefinition::count("limited \"\\\t\u{1f600}").target(1_000).limit(2),
    ];
    all.into_iter().map(|builder| Arc::new(builder.build().expect("a definition of the suite"))).collect()
}

fn document(number: u64) -> Json {
    // Amounts with eighteen decimals, which binary floats would lose.
    let amount = format!("{}.000000000000000001", number % 7);
    let amount = Json::parse(amount.as_bytes()).expect("a number");
    Json::Map([("v".into(), amount)].into_iter().collect::<Map>())
}

async fn a_blank_store_holds_nothing(stores: &dyn Stores) {
    let store = Opened::new(stores, "a blank store holds nothing", Limits::default()).await;
    assert!(store.load("g").await.is_none(), "{}: it has a group", store.name);
    assert_eq!(store.groups(None, 10).await, Vec::<String>::new(), "{}", store.name);
    assert_eq!(store.undelivered().await, Vec::<String>::new(), "{}", store.name);
    assert_eq!(store.marks().await, [], "{}", store.name);
    store.save(&[], &[]).await;
    store.maintain(true).await;
    assert_eq!(store.again().await.groups(None, 10).await, Vec::<String>::new());
}

async fn what_was_saved_is_loaded_also_after_opening_again(stores: &dyn Stores) {
    let store = Opened::new(stores, "what was saved is loaded, also after opening again", Limits::default()).await;
    let group = store.saved_group("g").await;
    store.holds("g", &group, "at once").await;
    let store = store.again().await;
    store.holds("g", &group, "opened again").await;
    store.maintain(true).await;
    store.holds("g", &group, "maintained").await;
    let store = store.again().await;
    store.holds("g", &group, "maintained and opened again").await;
    assert!(store.load("G").await.is_none(), "{}: another group has the same content", store.name);
}

async fn changes_of_a_long_stream_add_up(stores: &dyn Stores) {
    let mut store = Opened::new(stores, "changes of a long stream add up", Limits::default()).await;
    let mut groups: Vec<(String, Group)> = (0..5).map(|at| (format!("group {at}"), Group::default())).collect();
    let mut random = 7_u64;
    let mut draw = |bound: u64| {
        // Knuth's linear congruential generator: every run sees the same stream.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % bound
    };
    for step in 0..400_u64 {
        for _ in 0..=draw(3) {
            let (id, group) = &mut groups[draw(5) as usize];
            match draw(12) {
                0 => store.add(group, id, &definitions()[..1 + draw(5) as usize]),
                1 => drop(group.remove(&store.call(id), &["stages"])),
                2 => drop(group.reset(&store.call(id), "sum", Some(ResetPolicy::ALL), Default::default())),
                3 => {
                    if let Some(event) = group.undelivered().first() {
                        group.mark_delivered(event.sequence);
                    }
                }
                _ => {
                    let event_id = (draw(2) == 0).then(|| ContentHash::of([step.to_le_bytes()]));
                    store.track(group, id, &document(draw(100)), event_id);
                }
            }
        }
        let changed = groups.iter_mut().filter(|(_, group)| !group.is_blank());
        let changes: Vec<_> = changed.map(|(id, group)| group.take_change(id, &store.engine).into()).collect();
        store.save(&changes, &[]).await;
        match draw(20) {
            0 => store = store.again().await,
            1 => store.maintain(draw(2) == 0).await,
            _ => {}
        }
        let (id, group) = &groups[draw(5) as usize];
        if !group.is_blank() {
            store.holds(id, group, &format!("step {step}")).await;
        }
    }
}

async fn groups_come_in_order_page_by_page(stores: &dyn Stores) {
    let store = Opened::new(stores, "groups come in order, page by page", Limits::default()).await;
    let mut ids: Vec<String> = (0..25).map(|at| format!("g{}", at * 7 % 25)).collect();
    for (at, id) in ids.iter().enumerate() {
        store.saved_group(id).await;
        if at == 12 {
            store.maintain(true).await;
        }
    }
    ids.sort();
    let mut found: Vec<String> = Vec::new();
    loop {
        let page = store.groups(found.last().map(String::as_str), 4).await;
        assert!(page.len() <= 4, "{}: a page of {}", store.name, page.len());
        if page.is_empty() {
            break;
        }
        found.extend(page);
    }
    assert_eq!(found, ids, "{}", store.name);
}

async fn any_text_is_a_group(stores: &dyn Stores) {
    let store = Opened::new(stores, "any text is a group", Limits::default()).await;
    let long = "x".repeat(300);
    let ids = ["", " ", "nul \0", "tab\t\n\r", "\"quotes\\'", "😀", "\u{2028}", "a.b$c", "a{b}", "%_", &long];
    let mut groups = Vec::new();
    for id in ids {
        groups.push((id, store.saved_group(id).await));
    }
    let store = store.again().await;
    for (id, group) in &groups {
        store.holds(id, group, "opened again").await;
    }
    assert_eq!(store.groups(None, 100).await.len(), ids.len(), "{}", store.name);
}

async fn marks_are_kept_with_changes_replaced_and_removed(stores: &dyn Stores) {
    let store = Opened::new(stores, "marks are kept with changes, replaced and removed", Limits::default()).await;
    let mark = |name: &str, text: Option<&str>| Mark { name: name.to_owned(), text: text.map(str::to_owned) };
    let mut group = Group::default();
    store.add(&mut group, "g", &definitions());
    store
        .save(
            &[group.take_change("g", &store.engine).into()],
            &[mark("b", Some("1")), mark("a", Some("{\"x\":\"\\t\"}"))],
        )
        .await;
    store.save(&[], &[mark("b", Some("2")), mark("c", Some(""))]).await;
    store.save(&[], &[mark("c", None), mark("never was", None)]).await;
    let store = store.again().await;
    assert_eq!(store.marks().await, [mark("a", Some("{\"x\":\"\\t\"}")), mark("b", Some("2"))], "{}", store.name);
    store.holds("g", &group, "with its marks").await;
}

async fn groups_are_undelivered_until_all_events_are_marked(stores: &dyn Stores) {
    let store = Opened::new(stores, "groups are undelivered until all events are marked", Limits::default()).await;
    let mut groups = Vec::new();
    for id in ["a", "b"] {
        groups.push((id, store.saved_group(id).await));
    }
    assert_eq!(store.undelivered().await, ["a", "b"], "{}", store.name);
    let (id, group) = &mut groups[0];
    let events = group.undelivered();
    group.mark_delivered(events[events.len() / 2].sequence);
    store.save(&[group.take_change(id, &store.engine).into()], &[]).await;
    store.holds(id, group, "half of its events delivered").await;
    group.mark_delivered(events[events.len() - 1].sequence);
    store.save(&[group.take_change(id, &store.engine).into()], &[]).await;
    store.maintain(true).await;
    let store = store.again().await;
    assert_eq!(store.undelivered().await, ["b"], "{}", store.name);
    store.holds("a", &groups[0].1, "all of its events delivered").await;
    store.holds("b", &groups[1].1, "none of its events delivered").await;
}

async fn definitions_are_listed_once(stores: &dyn Stores) {
    let store = Opened::new(stores, "definitions are listed once", Limits::default()).await;
    let all = definitions();
    for (id, some) in [("a", &all[..3]), ("b", &all[1..]), ("c", &all[..3])] {
        let mut group = Group::default();
        store.add(&mut group, id, some);
        store.save(&[group.take_change(id, &store.engine).into()], &[]).await;
    }
    let store = store.again().await;
    let found = store.store.definitions().await.unwrap_or_else(|error| store.fail("list definitions", &error));
    let sorted = |mut definitions: Vec<Arc<TrackerDefinition>>| {
        definitions.sort_by_key(|definition| definition.hash());
        definitions
    };
    assert_eq!(sorted(found), sorted(all), "{}", store.name);
}

async fn names_of_completed_trackers_outlive_what_is_readable(stores: &dyn Stores) {
    let mut limits = Limits::default();
    limits.completed = 3;
    let store = Opened::new(stores, "names of completed trackers outlive what is readable", limits).await;
    let mut group = Group::default();
    let once =
        |at: usize| Arc::new(TrackerDefinition::count(&format!("t{at}")).target(1).build().expect("a definition"));
    // First more at once than stay readable, then one by one.
    for some in [0..5, 5..6, 6..7] {
        store.add(&mut group, "g", &some.map(once).collect::<Vec<_>>());
        store.track(&mut group, "g", &document(0), None);
        store.save(&[group.take_change("g", &store.engine).into()], &[]).await;
        store.maintain(true).await;
    }
    let store = store.again().await;
    store.holds("g", &group, "seven completed, three of them readable").await;
    let Some(found) = store.load("g").await else { panic!("{}: the group is missing", store.name) };
    let names: Vec<String> = found.completed().iter().map(|done| done.tracker.name().to_owned()).collect();
    assert_eq!(names, ["t4", "t5", "t6"], "{}", store.name);
    let names: Vec<Text> = found.whole("g").completed_names;
    assert_eq!(names, ["t0", "t1", "t2", "t3"], "{}", store.name);
}

async fn clearing_leaves_nothing(stores: &dyn Stores) {
    let store = Opened::new(stores, "clearing leaves nothing", Limits::default()).await;
    store.saved_group("a").await;
    store.maintain(true).await;
    store.saved_group("b").await;
    store.save(&[], &[Mark { name: "m".to_owned(), text: Some("x".to_owned()) }]).await;
    store.store.clear().await.unwrap_or_else(|error| store.fail("clear", &error));
    let store = store.again().await;
    assert_eq!(store.groups(None, 10).await, Vec::<String>::new(), "{}", store.name);
    assert_eq!((store.marks().await, store.undelivered().await), (Vec::new(), Vec::new()), "{}", store.name);
    let group = store.saved_group("a").await;
    store.holds("a", &group, "saved again").await;
}

async fn claims_grow_also_where_there_is_no_group(stores: &dyn Stores) {
    let store = Opened::shared(stores, "claims grow, also where there is no group").await;
    assert_eq!(store.held("g").await, Held::default(), "{}", store.name);
    let mut last = 0;
    for _ in 0..3 {
        let (group, claim) = store.claim("g").await;
        assert!(group.is_none(), "{}: a claim made a group", store.name);
        assert!(claim > last, "{}: claim {claim} after {last}", store.name);
        assert_eq!(store.held("g").await, Held { version: 0, claim }, "{}", store.name);
        last = claim;
    }
    assert!(store.load("g").await.is_none(), "{}: a claim made a group", store.name);
    assert_eq!(store.groups(None, 10).await, Vec::<String>::new(), "{}: a claim made a group", store.name);

    let (mut group, mut change) = store.new_group("g").await;
    assert!(change.claim > last, "{}", store.name);
    assert_eq!(store.try_save(&change).await, None, "{}: a new group", store.name);
    let (found, claim) = store.claim("g").await;
    assert!(claim > change.claim, "{}", store.name);
    assert_eq!(found.map(|found| kept(&found, "g")), Some(kept(&group, "g")), "{}", store.name);
    store.track(&mut group, "g", &document(1), None);
    change = store.change(&mut group, "g", claim);
    assert_eq!(store.try_save(&change).await, None, "{}", store.name);
    assert_eq!(store.held("g").await, Held { version: group.version(), claim }, "{}", store.name);
    assert_eq!(store.held("another").await, Held::default(), "{}", store.name);
}

async fn of_many_writers_only_what_follows_is_kept(stores: &dyn Stores) {
    let store = Opened::shared(stores, "of many writers only what follows is kept").await;
    let (mut a, first_of_a) = store.new_group("a").await;
    let (mut b, first_of_b) = store.new_group("b").await;
    store.save(&[first_of_a.clone(), first_of_b.clone()], &[]).await;
    // What one writer has of `b` goes on from what is stored; what another has of `a` lacks a change.
    let mut lacking = a.clone();
    store.track(&mut a, "a", &document(1), None);
    let second = store.change(&mut a, "a", first_of_a.claim);
    assert_eq!(store.try_save(&second).await, None, "{}", store.name);
    store.track(&mut lacking, "a", &document(2), None);
    store.track(&mut lacking, "a", &document(3), None);
    store.track(&mut b, "b", &document(4), Some(ContentHash::of([b"id"])));
    let other = store.change(&mut lacking, "a", first_of_a.claim);
    let follows = store.change(&mut b, "b", first_of_b.claim);
    let mark = Mark { name: "m".to_owned(), text: Some("x".to_owned()) };
    let refused = store.store.save(&[other, follows], std::slice::from_ref(&mark)).await;
    let refused = refused.unwrap_or_else(|error| store.fail("save", &error));
    let held = Held { version: a.version(), claim: first_of_a.claim };
    assert_eq!(refused, [Refused { at: 0, held }], "{}", store.name);
    store.holds("a", &a, "after a change that does not follow").await;
    store.holds("b", &b, "beside a change that does not follow").await;
    assert_eq!(store.marks().await, [mark], "{}", store.name);
    // A change of a group that was never stored cannot follow either.
    let mut absent = second;
    absent.change.group = "c".into();
    assert_eq!(store.try_save(&absent).await, Some(Held::default()), "{}", store.name);
    assert!(store.load("c").await.is_none(), "{}", store.name);
}

async fn what_an_earlier_claim_writes_is_refused(stores: &dyn Stores) {
    let store = Opened::shared(stores, "what an earlier claim writes is refused").await;
    // Of a group that is stored, and of one that is new to the store.
    let (mut group, first) = store.new_group("g").await;
    assert_eq!(store.try_save(&first).await, None, "{}", store.name);
    store.track(&mut group, "g", &document(1), None);
    let late = store.change(&mut group, "g", first.claim);
    let (_, late_and_new) = store.new_group("new").await;
    for (change, version) in [(late, first.change.version), (late_and_new, 0)] {
        let id = change.change.group.clone();
        let id = id.as_str();
        let (_, claim) = store.claim(id).await;
        let held = Held { version, claim };
        assert_eq!(store.try_save(&change).await, Some(held), "{}: {id}", store.name);
        let mut whole = change.clone();
        (whole.change.base, whole.change.version) = (None, version + 100);
        assert_eq!(store.try_save(&whole).await, Some(held), "{}: all of {id}", store.name);
        assert_eq!(store.held(id).await, held, "{}: {id}", store.name);
        // The same under the last claim is kept.
        assert_eq!(store.try_save(&under(claim, change.change)).await, None, "{}", store.name);
    }
    store.holds("g", &group, "written under the last claim").await;
}

async fn a_whole_group_replaces_an_older_one(stores: &dyn Stores) {
    let store = Opened::shared(stores, "a whole group replaces an older one").await;
    let (mut group, first) = store.new_group("g").await;
    assert_eq!(store.try_save(&first).await, None, "{}", store.name);
    // Changes that the store never saw, such as those of a time when it was away.
    for number in 0..5_u64 {
        store.track(&mut group, "g", &document(number), Some(ContentHash::of([number.to_le_bytes()])));
        let _ = group.take_change("g", &store.engine);
    }
    let delta = store.change(&mut group, "g", first.claim);
    assert!(store.try_save(&delta).await.is_some(), "{}: a change without those before it was kept", store.name);
    let whole = |group: &Group| under(first.claim, group.whole("g"));
    assert_eq!(store.try_save(&whole(&group)).await, None, "{}", store.name);
    store.holds("g", &group, "replaced by a newer one").await;
    // An older one does not replace it.
    let mut older = Group::default();
    store.add(&mut older, "g", &definitions()[..1]);
    let held = Held { version: group.version(), claim: first.claim };
    assert_eq!(store.try_save(&whole(&older)).await, Some(held), "{}: an older one", store.name);
    store.holds("g", &group, "after an older one came").await;
    // It goes on from there.
    store.track(&mut group, "g", &document(1), None);
    assert_eq!(store.try_save(&store.change(&mut group, "g", first.claim)).await, None, "{}", store.name);
    store.holds("g", &group, "one change later").await;
}

async fn what_was_cleared_does_not_come_back(stores: &dyn Stores) {
    let store = Opened::shared(stores, "what was cleared does not come back").await;
    let (mut group, first) = store.new_group("g").await;
    assert_eq!(store.try_save(&first).await, None, "{}", store.name);
    store.store.clear().await.unwrap_or_else(|error| store.fail("clear", &error));
    assert!(store.load("g").await.is_none(), "{}: it is there", store.name);
    let (found, claim) = store.claim("g").await;
    assert!(found.is_none() && claim > first.claim, "{}: claim {claim} after {}", store.name, first.claim);
    store.track(&mut group, "g", &document(1), None);
    for change in [store.change(&mut group, "g", first.claim), under(first.claim, group.whole("g"))] {
        assert_eq!(store.try_save(&change).await, Some(Held { version: 0, claim }), "{}", store.name);
    }
    assert_eq!(store.groups(None, 10).await, Vec::<String>::new(), "{}", store.name);
}
