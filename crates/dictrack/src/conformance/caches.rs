//! What every cache has to do, whatever store is behind it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use dictrack_core::group::{Call, ContentHash, Engine, Group, Limits, Track};

use super::{NOW, Stores, definitions, document, kept};
use crate::Error;
use crate::backend::BackendError;
use crate::cache::{DataCache, Effect, Load, Saved};
use crate::durability::Durability;
use crate::store::{Claimed, DataStore, Held, Unsaved, Writers};

/// Opens caches for the suite.
#[async_trait]
pub trait Caches: Send + Sync {
    /// The cache of that name, empty the first time. Where processes share it ([`Writers::Many`]) it is opened several
    /// times at once, each time as another process would; else whatever was opened under the name before has been dropped,
    /// and it is empty each time.
    async fn open(&self, name: &str) -> Box<dyn DataCache>;
}

/// Runs every law of [`DataCache`] in front of `stores`, which have to pass [`check_stores`](super::check_stores).
///
/// # Panics
/// If the cache breaks one, with words that say which.
pub async fn check_caches(caches: &dyn Caches, stores: &dyn Stores) {
    looking_for_a_group_makes_none(caches, stores).await;
    a_step_sees_what_the_one_before_left(caches, stores).await;
    a_step_that_needs_no_waiting_is_done_or_not_begun(caches, stores).await;
    steps_that_need_no_waiting_are_done_in_order(caches, stores).await;
    a_change_is_handed_out_once_and_stored(caches, stores).await;
    what_is_stored_comes_back_in_another_cache(caches, stores).await;
    steps_of_many_threads_add_up(caches, stores).await;
    an_id_that_many_bring_counts_once(caches, stores).await;
    any_text_is_a_group(caches, stores).await;
    a_store_that_fails_leaves_the_group_as_it_was(caches, stores).await;
    what_was_cleared_comes_back_from_the_store_alone(caches, stores).await;
    if caches.open("who shares it").await.writers() == Writers::Many {
        what_one_changes_the_others_see(caches, stores).await;
        what_one_left_another_hands_out(caches, stores).await;
        a_change_that_was_lost_is_never_confirmed(caches, stores).await;
    }
}

/// Threads that change groups at once.
const THREADS: u64 = 4;
/// What is committed so often and still is not kept never will be.
const COMMITS: usize = 1_000;
/// How often a store that cannot be reached is asked again.
const REPEATS: usize = 5;

/// The way to the store, which can be blocked.
#[derive(Debug)]
struct Source {
    store: Arc<dyn DataStore>,
    engine: Arc<Engine>,
    blocked: Arc<AtomicBool>,
}

impl Source {
    fn check(&self) -> Result<(), Error> {
        if !self.blocked.load(Ordering::Relaxed) {
            return Ok(());
        }
        let error = BackendError { backend: "the suite", action: "load".to_owned(), source: "it is blocked".into() };
        Err(Error::Unavailable(Arc::new(error)))
    }
}

#[async_trait]
impl Load for Source {
    fn has_store(&self) -> bool {
        true
    }

    async fn claim(&self, group: &str) -> Result<Claimed, Error> {
        self.check()?;
        self.store.claim(group, &self.engine).await
    }

    async fn held(&self, group: &str) -> Result<Held, Error> {
        self.check()?;
        self.store.held(group).await
    }
}

/// A cache in front of a store, as one process has it.
struct Opened {
    name: &'static str,
    engine: Arc<Engine>,
    cache: Box<dyn DataCache>,
    store: Arc<dyn DataStore>,
    blocked: Arc<AtomicBool>,
    /// A manager commits on one thread: what was handed out first is saved first.
    committing: tokio::sync::Mutex<()>,
}

impl Opened {
    /// The only one so far, with a store of its own.
    async fn new(caches: &dyn Caches, stores: &dyn Stores, name: &'static str) -> Self {
        let cache = caches.open(name).await;
        // Stores of the suite of stores have other names.
        let store: Arc<dyn DataStore> = Arc::from(stores.open(&format!("cache: {name}")).await);
        let begun = store.begin(Durability::Os, &Limits::default(), cache.writers()).await;
        begun.unwrap_or_else(|error| panic!("{name}: the store could not begin: {error}"));
        Self::begin(name, cache, store).await
    }

    async fn begin(name: &'static str, cache: Box<dyn DataCache>, store: Arc<dyn DataStore>) -> Self {
        let engine = Arc::new(Engine::default());
        let blocked = Arc::new(AtomicBool::new(false));
        let opened = Self { name, engine, cache, store, blocked, committing: tokio::sync::Mutex::default() };
        let source = Source {
            store: Arc::clone(&opened.store),
            engine: Arc::clone(&opened.engine),
            blocked: Arc::clone(&opened.blocked),
        };
        let begun = opened.cache.begin(Arc::new(source), Arc::clone(&opened.engine)).await;
        begun.unwrap_or_else(|error| opened.fail("begin", &error));
        opened
    }

    /// Another process with the same cache and store.
    async fn another(&self, caches: &dyn Caches) -> Self {
        Self::begin(self.name, caches.open(self.name).await, Arc::clone(&self.store)).await
    }

    fn fail<T>(&self, action: &str, error: &Error) -> T {
        panic!("{}: the cache could not {action}: {error}", self.name)
    }

    /// Adds the trackers of the suite; the version and claim that the change made.
    async fn add(&self, group: &str) -> (u64, u64) {
        self.change(group, |found| {
            let call = Call::new(&self.engine, group, NOW).keep_events(true);
            let added = found.add(&call, &definitions(), None);
            added.unwrap_or_else(|error| panic!("{}: {error}", self.name));
            Effect::Changed
        })
        .await
    }

    /// Tracks a document, and says whether it counted.
    async fn track(&self, group: &str, number: u64, id: Option<&str>) -> bool {
        let mut counted = false;
        self.change(group, |found| {
            let (done, step) = self.tracked(found, group, number, id);
            counted = done;
            step
        })
        .await;
        counted
    }

    /// One step: whether its document counted, and what that is to the cache.
    fn tracked(&self, found: &mut Group, group: &str, number: u64, id: Option<&str>) -> (bool, Effect) {
        let id = id.map(|id| ContentHash::of([id.as_bytes()]));
        let document = document(number);
        let outcome = found.track(&self.engine, group, &Track::new(&document, NOW).id(id).keep_events(true));
        let step = match (outcome.duplicate(), outcome.changed(), id) {
            (true, ..) => Effect::Relied,
            (_, true, Some(_)) => Effect::ChangedById,
            (_, true, None) => Effect::Changed,
            (_, false, _) => Effect::Unchanged,
        };
        (!outcome.duplicate() && outcome.dirtied().next().is_some(), step)
    }

    async fn change(&self, group: &str, mut step: impl FnMut(&mut Group) -> Effect + Send) -> (u64, u64) {
        let mut version = 0;
        let mut run = |found: &mut Group| {
            let done = step(found);
            version = found.version();
            done
        };
        let claim = self.cache.update(group, &mut run).await;
        let claim = claim.unwrap_or_else(|error| self.fail("change a group", &error));
        (version, claim)
    }

    /// All that the cache shows of a group; nothing where it is blank.
    async fn seen(&self, group: &str) -> Option<String> {
        let mut seen = None;
        let mut show = |found: &Group| seen = (!found.is_blank()).then(|| kept(found, group));
        let shown = self.cache.view(group, &mut show).await;
        shown.unwrap_or_else(|error| self.fail("show a group", &error));
        seen
    }

    async fn group_ids(&self) -> Vec<String> {
        self.cache.group_ids().await.unwrap_or_else(|error| self.fail("list groups", &error))
    }

    async fn unsaved(&self) -> Vec<String> {
        self.cache.unsaved().await.unwrap_or_else(|error| self.fail("list unsaved groups", &error))
    }

    async fn collect(&self) -> Vec<Unsaved> {
        self.cache.collect(&self.engine).await.unwrap_or_else(|error| self.fail("hand out what changed", &error))
    }

    /// Saves what was handed out, and tells the cache.
    async fn save(&self, changes: &[Unsaved]) {
        let mut refused = self.store.save(changes, &[]).await;
        // A store on a busy machine; what it may have kept may be repeated.
        for _ in 0..REPEATS {
            if refused.as_ref().is_err_and(Error::is_temporary) {
                refused = self.store.save(changes, &[]).await;
            }
        }
        let refused = refused.unwrap_or_else(|error| panic!("{}: the store could not save: {error}", self.name));
        let noted = self.cache.note_saved(&Saved::all(changes, &refused)).await;
        noted.unwrap_or_else(|error| self.fail("learn what is stored", &error));
    }

    async fn commit(&self) {
        let _committing = self.committing.lock().await;
        self.cache.maintain().await.unwrap_or_else(|error| self.fail("maintain", &error));
        let changes = self.collect().await;
        self.save(&changes).await;
    }

    /// Commits until nothing is left to save.
    async fn commit_all(&self) {
        for _ in 0..COMMITS {
            self.commit().await;
            if self.unsaved().await.is_empty() {
                return;
            }
        }
        panic!("{}: {:?} stay unsaved", self.name, self.unsaved().await);
    }

    /// All that the store has of a group.
    async fn stored(&self, group: &str) -> Option<String> {
        let found = self.store.load(group, &self.engine).await;
        found.unwrap_or_else(|error| self.fail("load", &error)).map(|found| kept(&found, group))
    }
}

async fn looking_for_a_group_makes_none(caches: &dyn Caches, stores: &dyn Stores) {
    let opened = Opened::new(caches, stores, "looking for a group makes none").await;
    let name = opened.name;
    assert_eq!(opened.seen("g").await, None, "{name}: it has a group");
    opened.change("g", |_| Effect::Unchanged).await;
    assert!(!opened.track("g", 1, None).await, "{name}: a group without trackers counted");
    let peeked = opened.cache.peek("g", &opened.engine).await.unwrap_or_else(|error| opened.fail("look", &error));
    assert!(peeked.is_none_or(|found| found.is_blank()), "{name}");
    assert_eq!(opened.group_ids().await, Vec::<String>::new(), "{name}");
    assert_eq!((opened.collect().await.len(), opened.unsaved().await), (0, Vec::new()), "{name}");
}

async fn a_step_sees_what_the_one_before_left(caches: &dyn Caches, stores: &dyn Stores) {
    let opened = Opened::new(caches, stores, "a step sees what the one before left").await;
    let name = opened.name;
    let mut plain = Group::default();
    let call = Call::new(&opened.engine, "g", NOW).keep_events(true);
    plain.add(&call, &definitions(), None).unwrap_or_else(|error| panic!("{name}: {error}"));
    opened.add("g").await;
    for number in 0..20 {
        let id = (number % 3 == 0).then(|| number.to_string());
        opened.tracked(&mut plain, "g", number, id.as_deref());
        opened.track("g", number, id.as_deref()).await;
        assert_eq!(opened.seen("g").await, Some(kept(&plain, "g")), "{name}: after document {number}");
        if number % 7 == 0 {
            opened.commit().await;
        }
    }
    let peeked = opened.cache.peek("g", &opened.engine).await.unwrap_or_else(|error| opened.fail("look", &error));
    assert_eq!(peeked.map(|found| kept(&found, "g")), Some(kept(&plain, "g")), "{name}: looked at");
    assert_eq!(opened.seen("another").await, None, "{name}: another group has the same content");
}

async fn a_step_that_needs_no_waiting_is_done_or_not_begun(caches: &dyn Caches, stores: &dyn Stores) {
    let opened = Opened::new(caches, stores, "a step that needs no waiting is done, or not begun").await;
    opened.add("g").await;
    let mut expected = opened.change("g", |_| Effect::Unchanged).await.0;
    for number in 0..10 {
        let mut runs = 0;
        let mut step = |found: &mut Group| {
            runs += 1;
            opened.tracked(found, "g", number, None).1
        };
        let done = opened.cache.update_now("g", &mut step);
        assert_eq!(done, runs > 0, "{}: it ran {runs} times", opened.name);
        expected += u64::from(done);
    }
    let version = opened.change("g", |_| Effect::Unchanged).await.0;
    assert_eq!(version, expected, "{}", opened.name);
}

async fn steps_that_need_no_waiting_are_done_in_order(caches: &dyn Caches, stores: &dyn Stores) {
    let opened = Opened::new(caches, stores, "steps that need no waiting are done in order").await;
    let name = opened.name;
    let groups = ["a", "b", "a", "absent", "b"];
    let mut versions = HashMap::new();
    for group in ["a", "b"] {
        versions.insert(group, opened.add(group).await.0);
    }
    for declined in 0..=groups.len() {
        let mut run = Vec::new();
        let mut step = |at: usize, found: &mut Group| {
            (at != declined).then(|| {
                run.push(at);
                opened.tracked(found, groups[at], at as u64, None).1
            })
        };
        let done = opened.cache.update_many_now(&groups, &mut step);
        assert_eq!(run, (0..done).collect::<Vec<_>>(), "{name}: steps that were run of {done}");
        assert!(done <= declined, "{name}: {done} are done, although number {declined} declined");
        for at in run {
            versions.entry(groups[at]).and_modify(|version| *version += 1);
        }
        for (group, expected) in &versions {
            let version = opened.change(group, |_| Effect::Unchanged).await.0;
            assert_eq!(version, *expected, "{name}: {group}");
        }
    }
}

async fn a_change_is_handed_out_once_and_stored(caches: &dyn Caches, stores: &dyn Stores) {
    let opened = Opened::new(caches, stores, "a change is handed out once, and stored").await;
    let name = opened.name;
    opened.add("a").await;
    opened.add("b").await;
    opened.track("a", 1, Some("id")).await;
    assert_eq!(opened.unsaved().await, ["a", "b"], "{name}");
    let mut changes = opened.collect().await;
    changes.sort_by(|a, b| a.change.group.cmp(&b.change.group));
    let groups: Vec<_> = changes.iter().map(|unsaved| unsaved.change.group.as_str()).collect();
    assert_eq!(groups, ["a", "b"], "{name}: each group once");
    assert_eq!(opened.collect().await.len(), 0, "{name}: handed out before");
    opened.save(&changes).await;
    assert_eq!(opened.unsaved().await, Vec::<String>::new(), "{name}: after it was stored");
    for Unsaved { change, claim } in &changes {
        let confirmed = opened.cache.confirm(&change.group, change.version, *claim);
        let confirmed = confirmed.unwrap_or_else(|error| opened.fail("confirm what is stored", &error));
        assert!(confirmed, "{name}: {} is stored", change.group);
        assert_eq!(opened.stored(&change.group).await, opened.seen(&change.group).await, "{name}");
    }
    // What comes later follows.
    opened.track("a", 2, None).await;
    let again = opened.collect().await;
    assert_eq!(again.iter().map(|unsaved| unsaved.change.group.as_str()).collect::<Vec<_>>(), ["a"], "{name}");
    opened.save(&again).await;
    assert_eq!(opened.stored("a").await, opened.seen("a").await, "{name}: after another change");
    opened.commit().await;
    assert_eq!(opened.collect().await.len(), 0, "{name}: nothing changed");
}

async fn what_is_stored_comes_back_in_another_cache(caches: &dyn Caches, stores: &dyn Stores) {
    let opened = Opened::new(caches, stores, "what is stored comes back in another cache").await;
    opened.add("g").await;
    for number in 0..5 {
        opened.track("g", number, Some(&number.to_string())).await;
    }
    opened.commit_all().await;
    let before = opened.seen("g").await;
    let other = caches.open("what is stored comes back: the other cache").await;
    let other = Opened::begin(opened.name, other, Arc::clone(&opened.store)).await;
    assert_eq!(other.seen("g").await, before, "{}", opened.name);
    assert!(!other.track("g", 4, Some("4")).await, "{}: an id that is stored counted again", opened.name);
    assert!(other.track("g", 5, Some("5")).await, "{}: it goes on from there", opened.name);
    other.commit_all().await;
    assert_eq!(other.stored("g").await, other.seen("g").await, "{}", opened.name);
}

/// As many as share the cache; one where nobody does.
async fn processes(first: Opened, caches: &dyn Caches) -> Vec<Opened> {
    match first.cache.writers() {
        Writers::One => vec![first],
        Writers::Many => {
            let second = first.another(caches).await;
            vec![first, second]
        }
    }
}

/// Runs `work` on several threads, in turn for each of the processes.
fn on_threads(processes: &[Opened], work: impl Fn(&Opened, u64) + Sync) {
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (work, process) = (&work, &processes[thread as usize % processes.len()]);
            scope.spawn(move || work(process, thread));
        }
    });
}

async fn steps_of_many_threads_add_up(caches: &dyn Caches, stores: &dyn Stores) {
    const DOCUMENTS: u64 = 60;
    let name = "steps of many threads add up";
    let processes = processes(Opened::new(caches, stores, name).await, caches).await;
    for group in ["a", "b"] {
        processes[0].add(group).await;
    }
    on_threads(&processes, |process, thread| {
        for number in 0..DOCUMENTS {
            let group = if number % 2 == 0 { "a" } else { "b" };
            pollster::block_on(process.track(group, 1, None));
            if number % 20 == thread {
                pollster::block_on(process.commit());
            }
        }
    });
    for process in &processes {
        process.commit_all().await;
    }
    for group in ["a", "b"] {
        // The sum adds 1.000000000000000001 for each document.
        let mut sums = Vec::new();
        for process in &processes {
            let mut sum = None;
            let mut show = |found: &Group| {
                let trackers = found.trackers(&process.engine, Some(&["sum"]), NOW);
                sum = trackers.first().map(|tracker| tracker.progress.to_string());
            };
            process.cache.view(group, &mut show).await.unwrap_or_else(|error| process.fail("show a group", &error));
            sums.push(sum);
        }
        let count = THREADS * DOCUMENTS / 2;
        let expected = format!("{count}.{count:018}");
        let expected = Some(expected.trim_end_matches('0').to_owned());
        assert!(sums.iter().all(|sum| *sum == expected), "{name}: {sums:?}, not {expected:?}");
        assert_eq!(processes[0].stored(group).await, processes[0].seen(group).await, "{name}");
    }
}

async fn an_id_that_many_bring_counts_once(caches: &dyn Caches, stores: &dyn Stores) {
    let name = "an id that many bring counts once";
    let processes = processes(Opened::new(caches, stores, name).await, caches).await;
    processes[0].add("g").await;
    let counted = AtomicU64::new(0);
    on_threads(&processes, |process, _| {
        for number in 0..30_u64 {
            let once = pollster::block_on(process.track("g", number, Some(&number.to_string())));
            counted.fetch_add(u64::from(once), Ordering::Relaxed);
        }
    });
    assert_eq!(counted.into_inner(), 30, "{name}");
}

async fn any_text_is_a_group(caches: &dyn Caches, stores: &dyn Stores) {
    let opened = Opened::new(caches, stores, "any text is a group").await;
    let name = opened.name;
    let long = "x".repeat(300);
    let ids = ["", " ", "nul \0", "tab\t\n\r", "\"quotes\\'", "😀", "\u{2028}", "a.b$c", "a{b}", "*?[a]", &long];
    for id in ids {
        opened.add(id).await;
        opened.track(id, 1, None).await;
    }
    let mut expected: Vec<String> = ids.map(str::to_owned).to_vec();
    expected.sort();
    assert_eq!(opened.group_ids().await, expected, "{name}: in order");
    let mut shown = Vec::new();
    let visited = opened.cache.for_each(&mut |id, group| shown.push((id.to_owned(), kept(group, id)))).await;
    visited.unwrap_or_else(|error| opened.fail("show every group", &error));
    shown.sort();
    let mut seen = Vec::new();
    for id in &expected {
        seen.push((id.clone(), opened.seen(id).await.unwrap_or_default()));
    }
    assert_eq!(shown, seen, "{name}");
    opened.commit_all().await;
    for id in &expected {
        assert_eq!(opened.stored(id).await, opened.seen(id).await, "{name}: {id:?}");
    }
}

async fn a_store_that_fails_leaves_the_group_as_it_was(caches: &dyn Caches, stores: &dyn Stores) {
    let opened = Opened::new(caches, stores, "a store that fails leaves the group as it was").await;
    let name = opened.name;
    opened.blocked.store(true, Ordering::Relaxed);
    let mut runs = 0;
    let mut step = |_: &mut Group| {
        runs += 1;
        Effect::Unchanged
    };
    let failed = opened.cache.update("g", &mut step).await;
    assert!(failed.as_ref().is_err_and(Error::is_temporary), "{name}: {failed:?}");
    assert_eq!(runs, 0, "{name}: a step ran on a group that was not loaded");
    opened.blocked.store(false, Ordering::Relaxed);
    opened.add("g").await;
    assert!(opened.track("g", 1, None).await, "{name}");
}

async fn what_was_cleared_comes_back_from_the_store_alone(caches: &dyn Caches, stores: &dyn Stores) {
    let opened = Opened::new(caches, stores, "what was cleared comes back from the store alone").await;
    let name = opened.name;
    opened.add("stored").await;
    opened.track("stored", 1, Some("id")).await;
    opened.commit_all().await;
    let before = opened.seen("stored").await;
    opened.add("lost").await;
    opened.cache.clear().await.unwrap_or_else(|error| opened.fail("drop every group", &error));
    assert_eq!(opened.group_ids().await, Vec::<String>::new(), "{name}");
    assert_eq!((opened.collect().await.len(), opened.unsaved().await), (0, Vec::new()), "{name}");
    assert_eq!(opened.seen("stored").await, before, "{name}");
    assert_eq!(opened.seen("lost").await, None, "{name}");
}

async fn what_one_changes_the_others_see(caches: &dyn Caches, stores: &dyn Stores) {
    let first = Opened::new(caches, stores, "what one changes the others see").await;
    let second = first.another(caches).await;
    first.add("g").await;
    for number in 0..20_u64 {
        let (one, other) = if number % 2 == 0 { (&first, &second) } else { (&second, &first) };
        one.track("g", number, Some(&number.to_string())).await;
        assert_eq!(other.seen("g").await, one.seen("g").await, "{}: document {number}", first.name);
        assert!(!other.track("g", number, Some(&number.to_string())).await, "{}: it counted twice", first.name);
    }
    // Who only looks needs no store.
    let looking = caches.open(first.name).await;
    let found = looking.peek("g", &Engine::default()).await.unwrap_or_else(|error| first.fail("look", &error));
    assert_eq!(found.map(|found| kept(&found, "g")), first.seen("g").await, "{}: looked at", first.name);
    assert_eq!(looking.group_ids().await.unwrap_or_default(), ["g"], "{}", first.name);
}

async fn what_one_left_another_hands_out(caches: &dyn Caches, stores: &dyn Stores) {
    let first = Opened::new(caches, stores, "what one left another hands out").await;
    let second = first.another(caches).await;
    first.add("g").await;
    first.track("g", 1, None).await;
    let left = first.seen("g").await;
    drop(first);
    for _ in 0..COMMITS {
        second.commit().await;
        if second.unsaved().await.is_empty() {
            break;
        }
        // It may wait for the one that changed it.
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(second.stored("g").await, left, "{}", second.name);
}

async fn a_change_that_was_lost_is_never_confirmed(caches: &dyn Caches, stores: &dyn Stores) {
    let first = Opened::new(caches, stores, "a change that was lost is never confirmed").await;
    let name = first.name;
    let second = first.another(caches).await;
    first.add("g").await;
    first.commit_all().await;
    let mut lost = Vec::new();
    for number in 0..3 {
        let at = first.change("g", |found| first.tracked(found, "g", number, None).1).await;
        lost.push(at);
    }
    second.cache.clear().await.unwrap_or_else(|error| second.fail("drop every group", &error));
    second.track("g", 1, None).await;
    let (version, claim) = second.change("g", |_| Effect::Relied).await;
    let newest = second.seen("g").await;
    for _ in 0..COMMITS {
        first.commit().await;
        second.commit().await;
        if second.cache.confirm("g", version, claim).unwrap_or_else(|error| second.fail("confirm", &error)) {
            break;
        }
    }
    for (version, claim) in lost {
        let confirmed = first.cache.confirm("g", version, claim);
        let refused = matches!(confirmed, Ok(false) | Err(Error::Lost { .. } | Error::Unavailable(_)));
        assert!(refused, "{name}: version {version} under claim {claim}: {confirmed:?}");
    }
    assert_eq!(second.stored("g").await, newest, "{name}: what the other made is kept");
    assert_eq!(first.seen("g").await, newest, "{name}: both see the same");
}
