//! `cargo bench --bench redis`: the cost of the Redis cache compared with plain calls to the same server, in one run.
//!
//! Starts its own servers. Sections: `one` (one caller), `many` (64 callers, 1,000 groups), `hot` (64 callers in each of
//! two processes, one group), `rival` (the same documents on Python's dictrack 2.1.5, which `scripts/setup tests`
//! installs).

use std::io::{BufRead as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{env, fs};

use dictrack::json::Json;
use dictrack::{Durability, Manager, MongoStore, RedisCache, clock::Stopwatch, store::MemoryStore};
use dictrack_testkit::{Mongo, Redis};

#[path = "workload.rs"]
mod workload;

use workload::{Random, definitions, documents, verdict};

const INTERVAL: Durability = Durability::Interval(Duration::from_millis(100));
/// Calls before the measurement, which also tell what a call sends.
const WARM: usize = 1_000;
/// How many rounds there are, and how many calls of each kind per round.
const ROUNDS: usize = 41;
const CALLS: usize = 250;
/// How many callers represent a busy service.
const CALLERS: u64 = 64;

fn manager(url: &str, durability: Durability) -> Manager {
    let builder = Manager::builder().cache(RedisCache::new(url).unwrap()).store(MemoryStore::new());
    pollster::block_on(builder.durability(durability).open()).unwrap()
}

/// A manager with Redis in front of MongoDB.
fn before_mongodb(url: &str, store: &str, durability: Durability) -> Manager {
    let store = pollster::block_on(MongoStore::open(store)).unwrap();
    let builder = Manager::builder().cache(RedisCache::new(url).unwrap()).store(store);
    pollster::block_on(builder.durability(durability).open()).unwrap()
}

/// The number after `key` in the server's `INFO`.
fn info(redis: &Redis, section: &str, key: &str) -> f64 {
    let text = redis.cli(&["INFO", section]);
    let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
    let digits: String = line[key.len()..].chars().take_while(|letter| letter.is_ascii_digit()).collect();
    digits.parse().unwrap_or_default()
}

/// Microseconds per call.
fn measure(calls: usize, call: impl FnMut(usize)) -> f64 {
    let watch = Stopwatch::start();
    (0..calls).for_each(call);
    watch.elapsed().as_nanos() as f64 / 1000.0 / calls as f64
}

/// The processor time of all threads of a process so far, in microseconds.
fn processor_time(process: u32) -> f64 {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let nanos = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("schedstat")).ok());
    nanos.filter_map(|line| line.split(' ').next()?.parse::<f64>().ok()).sum::<f64>() / 1000.0
}

/// What a call takes, in microseconds: of the caller's time, and of processor time in this process and in Redis.
#[derive(Clone, Copy)]
struct Cost {
    time: f64,
    here: f64,
    there: f64,
}

impl Cost {
    fn of(redis: &Redis, calls: usize, call: impl FnMut(usize)) -> Self {
        let used = || (processor_time(std::process::id()), processor_time(redis.pid()));
        let before = used();
        let time = measure(calls, call);
        let after = used();
        let each = |before: f64, after: f64| (after - before) / calls as f64;
        Self { time, here: each(before.0, after.0), there: each(before.1, after.1) }
    }

    fn processor(self) -> f64 {
        self.here + self.there
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A connection like that of the cache, for calls without the cache.
struct Bare {
    runtime: tokio::runtime::Runtime,
    connection: redis::aio::MultiplexedConnection,
}

impl Bare {
    fn new(url: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let client = redis::Client::open(url).unwrap();
        let connection = runtime.block_on(client.get_multiplexed_async_connection()).unwrap();
        Self { runtime, connection }
    }

    /// Calls an EVALSHA of `size` bytes, which writes them into one field.
    fn caller(&self, size: usize) -> impl FnMut() {
        /// The bytes of the call apart from those of the field.
        const OTHERS: usize = 110;
        let hash = self.load("redis.call('HSET', KEYS[1], unpack(ARGV)) return 'kept'");
        let mut connection = self.connection.clone();
        let mut command = redis::cmd("EVALSHA");
        command.arg(hash).arg(1).arg("bare").arg("field").arg("x".repeat(size.saturating_sub(OTHERS).max(1)));
        move || {
            // The client's timeout needs the runtime; callers of the cache wait the same way.
            let _within = self.runtime.enter();
            let _: String = pollster::block_on(command.query_async(&mut connection)).unwrap();
        }
    }

    fn load(&self, script: &str) -> String {
        let mut command = redis::cmd("SCRIPT");
        command.arg("LOAD").arg(script);
        self.runtime.block_on(command.query_async(&mut self.connection.clone())).unwrap()
    }
}

/// The most that a call may take beside the bare one.
fn goal(n: usize) -> f64 {
    if n < 1_000 { 1.3 } else { 1.5 }
}

fn one(redis: &Redis) {
    println!("\nW(N), one caller: track through Redis beside an EVALSHA of as many bytes in one field");
    println!("Processor time: of this process + of Redis");
    println!(
        "{:>6} {:>15} {:>6} {:>9} {:>9} {:>6} {:>18} {:>18} {:>6} {:>6}",
        "N",
        "durability",
        "bytes",
        "bare µs",
        "track µs",
        "ratio",
        "bare processor",
        "track processor",
        "ratio",
        "trips",
    );
    let documents = documents(1 << 12);
    for n in [1, 100, 1_000] {
        for durability in [INTERVAL, Durability::Fsync] {
            redis.cli(&["FLUSHALL"]);
            let manager = manager(&redis.url(), durability);
            let blocking = manager.blocking();
            blocking.add_trackers("g", definitions(n)).unwrap();
            let track = |at: usize| blocking.track("g", &documents[at % documents.len()]).unwrap();
            track(0);
            redis.cli(&["CONFIG", "RESETSTAT"]);
            (0..WARM).for_each(|at| drop(track(at)));
            let trips = info(redis, "commandstats", "cmdstat_evalsha:calls=") / WARM as f64;
            let size = info(redis, "stats", "total_net_input_bytes:") as usize / WARM;
            let bare = Bare::new(&redis.url());
            let mut call = bare.caller(size);
            // In turn, since the speed of the machine varies; the median round tells what a call takes.
            let rounds: Vec<[Cost; 2]> = (0..ROUNDS)
                .map(|_| [Cost::of(redis, CALLS, |_| call()), Cost::of(redis, CALLS, |at| drop(track(at)))])
                .collect();
            let of = |value: fn(&[Cost; 2]) -> f64| median(rounds.iter().map(value).collect());
            let ratio = of(|[bare, track]| track.time / bare.time);
            let processor = |here: f64, there: f64| format!("{here:.1} + {there:.1}");
            println!(
                "{n:>6} {:>15} {size:>6} {:>9.1} {:>9.1} {ratio:>6.2} {:>18} {:>18} {:>6.2} {trips:>6.2} {:>6}",
                durability.to_string(),
                of(|[bare, _]| bare.time),
                of(|[_, track]| track.time),
                processor(of(|[bare, _]| bare.here), of(|[bare, _]| bare.there)),
                processor(of(|[_, track]| track.here), of(|[_, track]| track.there)),
                of(|[bare, track]| track.processor() / bare.processor()),
                if durability == INTERVAL { verdict(ratio <= goal(n)) } else { "" },
            );
            blocking.close().unwrap();
        }
    }
}

/// Documents per second of `CALLERS` tasks that share a manager.
fn callers(manager: &Manager, groups: u64, time: Duration) -> f64 {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let documents: Arc<Vec<Json>> = Arc::new(documents(1 << 10));
    let counted = Arc::new(AtomicU64::new(0));
    let watch = Stopwatch::start();
    runtime.block_on(async {
        let mut tasks = Vec::new();
        for caller in 0..CALLERS {
            let (manager, documents, counted) = (manager.clone(), Arc::clone(&documents), Arc::clone(&counted));
            tasks.push(tokio::spawn(async move {
                let mut random = Random(caller);
                while watch.elapsed() < time {
                    let group = format!("g{}", random.below(groups));
                    let document = &documents[random.below(1 << 10) as usize];
                    manager.track(&group, document).await.unwrap();
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
    counted.load(Ordering::Relaxed) as f64 / watch.elapsed().as_secs_f64()
}

/// A script that does what the swap of a small group does, for redis-benchmark.
const EQUAL: &str = "local now = redis.call('HMGET', KEYS[1], 'version', 'token', 'stored', ARGV[1])
redis.call('EXISTS', KEYS[2])
redis.call('HSET', KEYS[1], unpack(ARGV, 2, #ARGV))
return {'kept'}";

fn many(redis: &Redis) {
    redis.cli(&["FLUSHALL"]);
    let manager = manager(&redis.url(), INTERVAL);
    for group in 0..1000 {
        manager.blocking().add_trackers(&format!("g{group}"), definitions(10)).unwrap();
    }
    redis.cli(&["CONFIG", "RESETSTAT"]);
    let ours = callers(&manager, 1000, Duration::from_secs(5));
    let size = info(redis, "stats", "total_net_input_bytes:") / (ours * 5.0);
    manager.blocking().close().unwrap();
    let hash = Bare::new(&redis.url()).load(EQUAL);
    let field = "x".repeat(((size as usize).saturating_sub(250)) / 5);
    let port = redis.port().to_string();
    let mut arguments = vec!["-p", &port, "-c", "64", "-n", "200000", "-r", "1000", "--csv", "EVALSHA", &hash, "2"];
    arguments.extend(["k:__rand_int__", "s", "w:0123456789abcdef", "version", "123", "token", "0123456789abcdef"]);
    for name in ["t:t1", "t:t2", "ring", "sequence", "delivered"] {
        arguments.extend([name, &field]);
    }
    let output = Command::new("redis-benchmark").args(&arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().last().unwrap_or_default();
    let bare: f64 =
        line.split("\",\"").nth(1).and_then(|figure| figure.trim_matches('"').parse().ok()).unwrap_or(f64::NAN);
    println!("\n64 callers, 1,000 groups of 10 trackers, interval(100 ms)");
    println!("{:>20} {:>16} {:>6}", "redis-benchmark /s", "documents /s", "part");
    println!("{bare:>20.0} {ours:>16.0} {:>6.2} {}", ours / bare, verdict(ours >= 0.6 * bare));
}

const HOT: &str = "DICTRACK_BENCH_HOT";

fn hot(redis: &Redis) {
    redis.cli(&["FLUSHALL"]);
    let run = || {
        let mut command = Command::new(env::current_exe().unwrap());
        command.env(HOT, redis.url()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
    };
    let mut children = [run(), run()];
    let mut total = 0.0;
    for child in &mut children {
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    }
    for child in &mut children {
        child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    }
    for child in children {
        let output = child.wait_with_output().unwrap();
        total += String::from_utf8_lossy(&output.stdout).trim().parse::<f64>().unwrap();
    }
    let counted = manager(&redis.url(), INTERVAL).blocking().trackers("g0").unwrap();
    println!("\none group of 10 trackers, 64 callers in each of 2 processes");
    println!("{total:.0} documents/s (goal 50,000: {}); {} tracked", verdict(total >= 50_000.0), counted.len());
}

fn hot_child(url: &str) {
    let manager = manager(url, INTERVAL);
    manager.blocking().add_trackers("g0", definitions(10)).unwrap();
    println!("ready");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    println!("{}", callers(&manager, 1, Duration::from_secs(4)));
}

/// What `scripts/setup tests` installs.
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.servers/python-2.1.5/bin/python");
const RIVAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/rival.py");

fn rival(redis: &Redis) {
    let mongo = Mongo::start();
    println!("\nW(N), one caller, Redis and MongoDB: beside Python's dictrack 2.1.5 on the same servers");
    println!("{:>6} {:>12} {:>15} {:>10} {:>6} {:>7}", "N", "2.1.5 µs", "durability", "track µs", "trips", "times");
    let documents = documents(1 << 12);
    for n in [1, 100, 1_000] {
        redis.cli(&["FLUSHALL"]);
        redis.cli(&["CONFIG", "RESETSTAT"]);
        let ports = [redis.port().to_string(), mongo.port().to_string(), n.to_string()];
        let output = Command::new(PYTHON).arg(RIVAL).args(ports).output();
        let output = output.unwrap_or_else(|error| panic!("{PYTHON}: {error}; run `scripts/setup tests`"));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let theirs = text.trim().split(' ').nth(1).and_then(|figure| figure.parse::<f64>().ok());
        let theirs = theirs.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr))) * 1000.0;
        for durability in [INTERVAL, Durability::Fsync] {
            redis.cli(&["FLUSHALL"]);
            let store = format!("{}/ours{n}{}", mongo.url().trim_end_matches('/'), u8::from(durability == INTERVAL));
            let manager = before_mongodb(&redis.url(), &store, durability);
            let blocking = manager.blocking();
            blocking.add_trackers("g", definitions(n)).unwrap();
            blocking.track("g", &documents[0]).unwrap();
            redis.cli(&["CONFIG", "RESETSTAT"]);
            let calls = if durability == INTERVAL { 10_000 } else { 1_000 };
            let ours = measure(calls, |at| {
                blocking.track("g", &documents[at % documents.len()]).unwrap();
            });
            let swaps = info(redis, "commandstats", "cmdstat_evalsha:calls=") / calls as f64;
            println!(
                "{n:>6} {theirs:>12.0} {:>15} {ours:>10.1} {swaps:>6.2} {:>7.0}",
                durability.to_string(),
                theirs / ours
            );
            blocking.close().unwrap();
        }
    }
}

fn main() {
    if let Ok(url) = env::var(HOT) {
        return hot_child(&url);
    }
    let redis = Redis::start();
    let wanted: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    for (name, section) in [("one", one as fn(&Redis)), ("many", many), ("hot", hot), ("rival", rival)] {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            section(&redis);
        }
    }
}
