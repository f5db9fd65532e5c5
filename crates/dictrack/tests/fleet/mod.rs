//! Several processes that change the same groups.
#![allow(dead_code, reason = "each suite uses some of it")]
#![allow(unreachable_pub, reason = "a module of each suite")]

use std::collections::HashMap;
use std::env;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dictrack::json::{Json, Map};
use dictrack::{
    Amount, Blocking, Durability, Error, EventCode, LimiterDefinition, Manager, RedisCache, Timestamp,
    TrackerDefinition, Window,
    clock::{Clock as _, Stopwatch, SystemClock},
    manager::Submission,
};

/// The plan for a process of a fleet, as JSON.
const PLAN: &str = "DICTRACK_TEST_FLEET";

/// The factor by which more documents are counted than in CI: `scripts/reliability` sets it.
pub fn scale() -> u64 {
    env::var("DICTRACK_TEST_SCALE").map_or(1, |scale| scale.parse().expect("DICTRACK_TEST_SCALE is a number"))
}

/// What one process does.
#[derive(Clone, Debug)]
pub struct Plan {
    pub cache: String,
    /// The URL of a MongoDB store, or empty.
    pub store: String,
    pub durability: String,
    pub documents: u64,
    pub threads: u64,
    pub groups: u64,
    /// Whether documents have ids; if so, a call that failed is repeated until it succeeds.
    pub ids: bool,
    pub listens: bool,
    /// Milliseconds between two documents of a thread.
    pub pause: u64,
    /// Counts until told to stop, whatever the number of documents.
    pub endless: bool,
    /// Unless it is 0: documents count in the trackers of [`limited`] instead of those of [`definitions`], and their time passes
    /// this many times as fast as that of the clock, so that a short test sees many periods.
    pub speed: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            cache: String::new(),
            store: String::new(),
            durability: "interval(100ms)".to_owned(),
            documents: 1_000,
            threads: 4,
            groups: 5,
            ids: false,
            listens: false,
            pause: 0,
            endless: false,
            speed: 0,
        }
    }
}

/// What a process reports at the end.
#[derive(Debug, Default)]
pub struct Report {
    /// Documents that were acknowledged, by group.
    pub acknowledged: HashMap<String, u64>,
    /// Failed calls, by the variant of their error.
    pub failed: HashMap<String, u64>,
    /// The longest call.
    pub slowest: Duration,
    /// The ids of stage events in outcomes.
    pub crossings: Vec<String>,
    /// The ids of stage events that a listener heard.
    pub heard: Vec<String>,
    /// What counted in the trackers of [`limited`]: group, tracker, moment in microseconds, and amount.
    pub counted: Vec<String>,
}

pub fn group(number: u64) -> String {
    format!("group {number}")
}

/// Trackers that count documents, and cross a stage at every hundredth.
pub fn definitions() -> Vec<TrackerDefinition> {
    let stages = TrackerDefinition::count("stages").targets([100]).loop_forever();
    vec![
        TrackerDefinition::count("all").target(1_000_000_000).build().unwrap(),
        TrackerDefinition::sum("tenths").key("tenth").target(1_000_000_000).build().unwrap(),
        stages.reset_policy(dictrack::ResetPolicy::NONE).build().unwrap(),
    ]
}

/// How many more trackers a group with many of them has: enough for several blocks in Redis.
const MORE: u64 = 300;

/// The trackers of the group with this number: those of [`definitions`] and, in every other group, many more of which every tenth
/// counts each document, too.
pub fn trackers(number: u64) -> Vec<TrackerDefinition> {
    let mut trackers = definitions();
    if number % 2 == 1 {
        let more = (0..MORE).map(|at| {
            let tracker = TrackerDefinition::count(&format!("more {at}")).target(1_000_000_000);
            let tracker = if at % 10 == 0 { tracker } else { tracker.eq("kind", "none") };
            tracker.build().unwrap()
        });
        // The others are far apart.
        trackers.splice(1..1, more);
    }
    trackers
}

/// How many documents a second the limiters of [`limited`] admit; of `within`, in two seconds.
pub const PER_SECOND: u64 = 10;
/// How much a second the limiter of the tracker `sum` admits.
pub const SUM_PER_SECOND: u64 = 25;
/// How many documents at once the limiter of the tracker `burst` admits.
pub const BURST: u64 = 3;

/// Trackers with limiters that renew by themselves.
pub fn limited() -> Vec<TrackerDefinition> {
    let second = || Window::new("second".parse().unwrap());
    let tracker = |name: &str, limiter| {
        TrackerDefinition::sum(name).key("amount").target(1_000_000_000).limiter(limiter).build().unwrap()
    };
    vec![
        tracker("per", LimiterDefinition::count_per(PER_SECOND, second())),
        tracker("sum", LimiterDefinition::sum_per(SUM_PER_SECOND as i64, None, second())),
        tracker("within", LimiterDefinition::count_within(PER_SECOND, "2 seconds".parse().unwrap())),
        tracker("burst", LimiterDefinition::burst(PER_SECOND, "second".parse().unwrap(), BURST)),
    ]
}

fn scattered(number: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23)
}

/// The moment of a document, by a clock that all processes share and that starts again at midnight. Every third document is
/// up to 1.5 seconds late: in the same period, the previous one, or before it.
fn moment(number: u64, speed: u64) -> Timestamp {
    const DAY: i64 = 86_400_000_000;
    let late = if number.is_multiple_of(3) { scattered(number) % 1_500_000 } else { 0 };
    let today = SystemClock.now().micros() % DAY * speed as i64;
    Timestamp::from_micros(1_700_000_000_000_000 + today - late as i64)
}

fn amount(number: u64) -> u64 {
    1 + scattered(number) % 5
}

fn with_amount(number: u64) -> Json {
    Json::parse(format!(r#"{{"amount": {}}}"#, amount(number)).as_bytes()).unwrap()
}

pub fn manager(plan: &Plan) -> Blocking {
    let builder = Manager::builder().cache(RedisCache::new(&plan.cache).unwrap());
    let builder = builder.durability(plan.durability.parse::<Durability>().unwrap());
    pollster::block_on(open(builder, plan)).unwrap().blocking()
}

async fn open(builder: dictrack::ManagerBuilder, plan: &Plan) -> Result<Manager, Error> {
    if plan.store.is_empty() {
        return builder.open().await;
    }
    builder.store(dictrack::MongoStore::open(&plan.store).await?).open().await
}

pub fn variant(error: &Error) -> String {
    let text = format!("{error:?}");
    text.split([' ', '(', '{']).next().unwrap_or_default().to_owned()
}

/// The body of a process: does nothing unless this is one.
pub fn child() {
    let Ok(plan) = env::var(PLAN) else { return };
    let plan = Plan::read(&plan);
    let manager = manager(&plan);
    let heard = Arc::new(Mutex::new(Vec::new()));
    if plan.listens {
        let heard = Arc::clone(&heard);
        manager.add_listener(EventCode::StageCompleted, move |event| {
            heard.lock().unwrap().push(event.id().to_string());
        });
    }
    println!("ready");
    let told = || std::io::stdin().read_line(&mut String::new()).unwrap();
    told();
    let stopped = Arc::new(AtomicBool::new(false));
    if plan.endless {
        let stopped = Arc::clone(&stopped);
        std::thread::spawn(move || {
            told();
            stopped.store(true, Ordering::Relaxed);
        });
    }
    let mut report = count(&plan, &manager, &stopped);
    let closed = manager.close();
    if let Err(error) = closed {
        *report.failed.entry(format!("close: {error}")).or_default() += 1;
    }
    report.heard.append(&mut heard.lock().unwrap());
    println!("report {}", report.json());
}

/// Counts the documents of a plan on its number of threads.
pub fn count(plan: &Plan, manager: &Blocking, stopped: &AtomicBool) -> Report {
    let mut report = Report::default();
    std::thread::scope(|scope| {
        let worker = |thread| scope.spawn(move || work(plan, manager, thread, stopped));
        let workers: Vec<_> = (0..plan.threads).map(worker).collect();
        workers.into_iter().for_each(|worker| report.add(worker.join().unwrap()));
    });
    report
}

fn work(plan: &Plan, manager: &Blocking, thread: u64, stopped: &AtomicBool) -> Report {
    let mut report = Report::default();
    let tenth = Json::parse(br#"{"tenth": 0.1}"#).unwrap();
    let trackers = |number| if plan.speed > 0 { limited() } else { trackers(number) };
    let call = |report: &mut Report, again: bool, call: &mut dyn FnMut() -> Result<(), Error>| {
        loop {
            let watch = Stopwatch::start();
            let result = call();
            report.slowest = report.slowest.max(watch.elapsed());
            match result {
                Ok(()) => return true,
                Err(error) => *report.failed.entry(variant(&error)).or_default() += 1,
            }
            if !again {
                return false;
            }
            std::thread::sleep(Duration::from_millis(plan.pause));
        }
    };
    for number in 0..plan.groups {
        call(&mut report, true, &mut || manager.add_trackers(&group(number), trackers(number)).map(drop));
    }
    let documents = if plan.endless { u64::MAX } else { plan.documents };
    for number in (thread..documents).step_by(plan.threads as usize) {
        if stopped.load(Ordering::Relaxed) {
            break;
        }
        let group = group(number % plan.groups);
        let id = format!("{}-{number}", std::process::id());
        let mut crossings = Vec::new();
        let mut counted = Vec::new();
        let (moment, document) = match plan.speed {
            0 => (None, tenth.clone()),
            speed => (Some(moment(number, speed)), with_amount(number)),
        };
        let done = call(&mut report, plan.ids, &mut || {
            let mut submission = Submission::new(&group, &document);
            if plan.ids {
                submission = submission.id(&id);
            }
            if let Some(moment) = moment {
                submission = submission.at(moment);
            }
            let outcome = manager.track_one(submission)?;
            if let Some(moment) = moment {
                let line = |name: &str| format!("{group}/{name}/{}/{}", moment.micros(), amount(number));
                counted = outcome.counted().map(|tracker| line(tracker.name())).collect();
            }
            crossings = outcome
                .events()
                .iter()
                .filter(|event| event.code == EventCode::StageCompleted)
                .map(|event| event.id().to_string())
                .collect();
            Ok(())
        });
        if done {
            *report.acknowledged.entry(group).or_default() += 1;
            report.crossings.append(&mut crossings);
            report.counted.append(&mut counted);
        }
        if plan.pause > 0 {
            std::thread::sleep(Duration::from_millis(plan.pause));
        }
    }
    report
}

impl Plan {
    fn json(&self) -> Json {
        let text = |text: &str| Json::from(text);
        let fields: [(&str, Json); 11] = [
            ("cache", text(&self.cache)),
            ("store", text(&self.store)),
            ("durability", text(&self.durability)),
            ("documents", self.documents.into()),
            ("threads", self.threads.into()),
            ("groups", self.groups.into()),
            ("ids", self.ids.into()),
            ("listens", self.listens.into()),
            ("pause", self.pause.into()),
            ("endless", self.endless.into()),
            ("speed", self.speed.into()),
        ];
        Json::Map(fields.into_iter().map(|(key, value)| (key.into(), value)).collect::<Map>())
    }

    fn read(text: &str) -> Self {
        let json = Json::parse(text.as_bytes()).unwrap();
        let get = |key: &str| json.as_map().unwrap().get(key).unwrap().clone();
        let text = |key: &str| get(key).as_str().unwrap().to_owned();
        let number = |key: &str| get(key).to_string().parse::<u64>().unwrap();
        Self {
            cache: text("cache"),
            store: text("store"),
            durability: text("durability"),
            documents: number("documents"),
            threads: number("threads"),
            groups: number("groups"),
            ids: get("ids") == Json::Bool(true),
            listens: get("listens") == Json::Bool(true),
            pause: number("pause"),
            endless: get("endless") == Json::Bool(true),
            speed: number("speed"),
        }
    }
}

impl Report {
    pub fn add(&mut self, other: Self) {
        for (group, count) in other.acknowledged {
            *self.acknowledged.entry(group).or_default() += count;
        }
        for (variant, count) in other.failed {
            *self.failed.entry(variant).or_default() += count;
        }
        self.slowest = self.slowest.max(other.slowest);
        self.crossings.extend(other.crossings);
        self.heard.extend(other.heard);
        self.counted.extend(other.counted);
    }

    pub fn total(&self) -> u64 {
        self.acknowledged.values().sum()
    }

    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    fn json(&self) -> Json {
        let counts = |counts: &HashMap<String, u64>| {
            Json::Map(counts.iter().map(|(key, count)| (key.as_str().into(), (*count).into())).collect::<Map>())
        };
        let texts = |texts: &[String]| Json::List(texts.iter().map(|text| text.as_str().into()).collect());
        let fields = [
            ("acknowledged", counts(&self.acknowledged)),
            ("failed", counts(&self.failed)),
            ("slowest", (self.slowest.as_micros() as u64).into()),
            ("crossings", texts(&self.crossings)),
            ("heard", texts(&self.heard)),
            ("counted", texts(&self.counted)),
        ];
        Json::Map(fields.into_iter().map(|(key, value)| (key.into(), value)).collect::<Map>())
    }

    fn read(text: &str) -> Self {
        let json = Json::parse(text.as_bytes()).unwrap();
        let get = |key: &str| json.as_map().unwrap().get(key).unwrap().clone();
        let counts = |key: &str| {
            get(key)
                .as_map()
                .unwrap()
                .iter()
                .map(|(key, count)| (key.to_string(), count.to_string().parse().unwrap()))
                .collect()
        };
        let texts =
            |key: &str| get(key).as_list().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect();
        Self {
            acknowledged: counts("acknowledged"),
            failed: counts("failed"),
            slowest: Duration::from_micros(get("slowest").to_string().parse().unwrap()),
            crossings: texts("crossings"),
            heard: texts("heard"),
            counted: texts("counted"),
        }
    }
}

/// A process of the fleet.
pub struct Member {
    pub child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Member {
    /// Starts a process, which waits until it is told to [`go`](Self::go). The suite's test `child` has to call
    /// [`child`].
    pub fn start(plan: &Plan) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(PLAN, plan.json().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let mut member = Self { child, input, output };
        member.line("ready");
        member
    }

    /// The rest of the next line that begins with `word`; empty if the process ended first.
    fn line(&mut self, word: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            if self.output.read_line(&mut line).unwrap() == 0 {
                return String::new();
            }
            if let Some(at) = line.find(word) {
                return line[at + word.len()..].trim().to_owned();
            }
        }
    }

    pub fn go(&mut self) {
        self.tell("go\n");
    }

    /// Stops an endless process.
    fn stop(&mut self) {
        self.tell("stop\n");
    }

    fn tell(&mut self, line: &str) {
        self.input.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
    }

    /// What it reports at the end; nothing if it was killed.
    pub fn report(mut self) -> Option<Report> {
        let line = self.line("report ");
        let _ = self.output.read_to_string(&mut String::new());
        let status = self.child.wait().unwrap();
        (!line.is_empty() && status.success()).then(|| Report::read(&line))
    }

    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success(), "kill {signal}");
    }
}

/// Runs the plans at the same time, from the same moment; `meanwhile` runs alongside.
pub fn run(plans: &[Plan], meanwhile: impl Fn(&[Member])) -> Report {
    let scaled = plans.iter().map(|plan| Plan { documents: plan.documents * scale(), ..plan.clone() });
    let mut members: Vec<Member> = scaled.map(|plan| Member::start(&plan)).collect();
    members.iter_mut().for_each(Member::go);
    (0..scale()).for_each(|_| meanwhile(&members));
    let endless = members.iter_mut().zip(plans).filter(|(_, plan)| plan.endless);
    endless.for_each(|(member, _)| member.stop());
    let mut all = Report::default();
    for member in members {
        all.add(member.report().expect("the report of a process that ended well"));
    }
    println!("{} documents acknowledged, failed calls {:?}, slowest {:?}", all.total(), all.failed, all.slowest);
    all
}

/// What a group counted: documents, the sum of tenths, and stages. Its other trackers counted as many documents, or none.
pub fn counted(manager: &Blocking, group: &str) -> (u64, String, u64) {
    let trackers = manager.trackers(group).unwrap();
    let find = |name: &str| trackers.iter().find(|tracker| tracker.name() == name);
    let Some((all, (tenths, stages))) = find("all").zip(find("tenths").zip(find("stages"))) else {
        return Default::default();
    };
    let count = |amount: Amount| amount.to_string().parse::<u64>().unwrap();
    for more in trackers.iter().filter_map(|tracker| Some((tracker.name().strip_prefix("more ")?, tracker))) {
        let counts = more.0.ends_with('0');
        assert_eq!(more.1.progress, if counts { all.progress } else { Amount::ZERO }, "{group}: {}", more.1.name());
    }
    (count(all.progress), tenths.progress.to_string(), stages.cycle)
}

/// Asserts that every group counted exactly what was acknowledged, and crossed a stage at every hundredth, once each.
pub fn assert_exact(report: &Report, manager: &Blocking) {
    assert_exact_counts(report, manager);
    let crossings: u64 = report.acknowledged.values().map(|count| count / 100).sum();
    let distinct: std::collections::HashSet<&String> = report.crossings.iter().collect();
    assert_eq!((report.crossings.len() as u64, distinct.len() as u64), (crossings, crossings), "crossings");
}

/// Asserts that every group counted exactly what was acknowledged. If calls failed, a crossing may have been in the
/// outcome of one of them.
pub fn assert_exact_counts(report: &Report, manager: &Blocking) {
    for (group, &acknowledged) in &report.acknowledged {
        let tenths = format!("{}.{}", acknowledged / 10, acknowledged % 10);
        let tenths = tenths.trim_end_matches(".0").to_owned();
        assert_eq!(counted(manager, group), (acknowledged, tenths, acknowledged / 100), "{group}");
    }
}
