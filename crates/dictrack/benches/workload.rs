//! The workloads of the benchmarks, and a loop written by hand for the first of them.
#![allow(unreachable_pub, missing_docs, missing_debug_implementations, reason = "a module of each benchmark")]
#![allow(dead_code, reason = "each benchmark uses some of it")]

use dictrack::json::Json;
use dictrack::{
    Condition, Path, Span, TrackerDefinition,
    condition::{Needle, Test},
};

const ONE: i128 = 1_000_000_000_000_000_000;
const FAR: i128 = 100_000_000_000 * ONE;

/// Polls a future that never waits, like an executor.
pub fn now<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => unreachable!("the memory cache does not wait"),
    }
}

/// Whether a goal was reached, in one word.
pub fn verdict(reached: bool) -> &'static str {
    if reached { "ok" } else { "MISSED" }
}

/// A small seeded generator (SplitMix64, Steele et al., OOPSLA 2014), so that every run has the same documents.
pub struct Random(pub u64);

impl Random {
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }
}

/// Workload W(n): half count, half sum of `bet`; `game` eq one of three and `bet` ge one of 41 thresholds.
pub fn definitions(n: usize) -> Vec<TrackerDefinition> {
    (0..n)
        .map(|at| {
            let name = format!("t{at}");
            let tracker =
                if at % 2 == 0 { TrackerDefinition::count(&name) } else { TrackerDefinition::sum(&name).key("bet") };
            let game = ["a", "b", "c"][at % 3];
            tracker.target(100_000_000_000_i64).eq("game", game).ge("bet", threshold(at)).build().unwrap()
        })
        .collect()
}

fn threshold(at: usize) -> i64 {
    // Every pair of game and threshold occurs.
    100 + 10 * ((at / 3) % 41) as i64
}

/// Documents with `game` and `bet` in 100..=500, parsed once.
pub fn documents(count: usize) -> Vec<Json> {
    let mut random = Random(7);
    (0..count)
        .map(|_| {
            let game = ["a", "b", "c"][random.below(3) as usize];
            let bet = 100 + random.below(401);
            Json::parse(format!(r#"{{"game":"{game}","bet":{bet}}}"#).as_bytes()).unwrap()
        })
        .collect()
}

/// A document of W as a loop written by hand would store it.
pub struct W {
    game: usize,
    bet: i128,
}

impl W {
    pub fn of(document: &Json) -> Self {
        let map = document.as_map().unwrap();
        let game = match map.get("game").unwrap().as_str().unwrap() {
            "a" => 0,
            "b" => 1,
            _ => 2,
        };
        let bet: i128 = map.get("bet").unwrap().to_string().parse().unwrap();
        Self { game, bet }
    }
}

/// W by hand: intersects two bit sets, then adds the amount to each remaining tracker and checks its target.
pub struct Loop {
    games: Vec<Vec<u64>>,
    thresholds: Vec<Vec<u64>>,
    sums: Vec<bool>,
    progress: Vec<i128>,
    targets: Vec<i128>,
}

impl Loop {
    pub fn new(n: usize) -> Self {
        let words = n.div_ceil(64);
        let mut games = vec![vec![0; words]; 3];
        let mut thresholds = vec![vec![0; words]; 41];
        for at in 0..n {
            games[at % 3][at / 64] |= 1 << (at % 64);
            for passed in &mut thresholds[(at / 3) % 41..] {
                passed[at / 64] |= 1 << (at % 64);
            }
        }
        let sums = (0..n).map(|at| at % 2 == 1).collect();
        Self { games, thresholds, sums, progress: vec![0; n], targets: vec![FAR; n] }
    }

    /// The trackers that reached their target.
    pub fn track(&mut self, document: &W) -> usize {
        let mut reached = 0;
        let passed = &self.thresholds[((document.bet - 100) / 10) as usize];
        let bet = document.bet * ONE;
        for (word, (game, passed)) in self.games[document.game].iter().zip(passed).enumerate() {
            let mut bits = game & passed;
            while bits != 0 {
                let at = word * 64 + bits.trailing_zeros() as usize;
                self.progress[at] += if self.sums[at] { bet } else { ONE };
                reached += usize::from(self.progress[at] >= self.targets[at]);
                bits &= bits - 1;
            }
        }
        reached
    }

    pub fn progress(&self) -> impl Iterator<Item = i128> {
        self.progress.iter().copied()
    }
}

/// Workload W2(n): 50 paths, 20 % with any, not or contains, limiters on 10 %, a stage completed every 100 documents.
/// Even paths have numbers, odd ones strings; about a sixth of the trackers match, as in W.
pub fn w2(n: usize) -> (Vec<TrackerDefinition>, Vec<Json>) {
    let trackers = (0..n)
        .map(|at| {
            let name = format!("t{at}");
            let mut tracker =
                if at % 2 == 0 { TrackerDefinition::count(&name) } else { TrackerDefinition::sum(&name).key("p0") };
            let number = format!("p{}", 2 * (at % 25));
            let text = format!("p{}", 2 * (at * 7 % 25) + 1);
            let letter = ["a", "b", "c"][at / 25 % 3];
            let test = |key: &str, test| Condition::Test { key: Path::parse(key).unwrap(), test };
            let is = |key: &str, value: &str| test(key, Test::Eq(value.into()));
            let other = format!("p{}", 2 * ((at * 7 + 1) % 25) + 1);
            // `any` matches more often than the others; a higher threshold compensates.
            let higher = if at % 15 == 0 { 90 } else { 0 };
            tracker = tracker.ge(&number, threshold(at) + higher);
            tracker = match at % 15 {
                0 => tracker.condition(Condition::Any([is(&text, letter), is(&other, letter)].into())),
                5 => {
                    let others = ["a", "b", "c"].into_iter().filter(|other| *other != letter);
                    tracker.condition(Condition::Not(Box::new(test(&text, Test::In(others.map(Json::from).collect())))))
                }
                10 => tracker.condition(test(&text, Test::Contains(Needle::new(letter.into(), false)))),
                _ => tracker.eq(&text, letter),
            };
            if at % 10 == 3 {
                tracker = tracker.limit(1_000_000_000);
            }
            if at == 1 {
                // Every sixth document adds 300: a stage every 100 documents.
                return tracker.targets([5_000]).loop_forever().build().unwrap();
            }
            tracker.target(100_000_000_000_i64).build().unwrap()
        })
        .collect();
    let mut random = Random(11);
    // So few that they stay in the L2 cache, like a document that was just read.
    let documents = (0..1 << 6)
        .map(|_| {
            let fields = (0..50).map(|path| {
                if path % 2 == 0 {
                    format!(r#""p{path}":{}"#, 100 + random.below(401))
                } else {
                    format!(r#""p{path}":"{}""#, ["a", "b", "c"][random.below(3) as usize])
                }
            });
            let text = format!("{{{}}}", fields.collect::<Vec<_>>().join(","));
            Json::parse(text.as_bytes()).unwrap()
        })
        .collect();
    (trackers, documents)
}

/// `draws` ranks below `count`, drawn by Zipf's law with exponent 1.
pub fn zipf(count: usize, draws: usize, seed: u64) -> Vec<usize> {
    let mut total = 0.0;
    let cumulated: Vec<f64> = (1..=count)
        .map(|rank| {
            total += 1.0 / rank as f64;
            total
        })
        .collect();
    let mut random = Random(seed);
    let mut draw = || {
        let part = (random.draw() >> 11) as f64 / (1_u64 << 53) as f64;
        cumulated.partition_point(|&below| below < part * total).min(count - 1)
    };
    (0..draws).map(|_| draw()).collect()
}

/// Ten trackers of which three match a purchase.
pub fn ten() -> Vec<TrackerDefinition> {
    let mut all = vec![
        TrackerDefinition::count("purchases").targets([10, 100, 1_000_000]).eq("event", "purchase").build().unwrap(),
        TrackerDefinition::sum("revenue").target(1_000_000_000).eq("event", "purchase").build().unwrap(),
        TrackerDefinition::count("large").target(1_000_000_000).ge("amount", 10).build().unwrap(),
    ];
    for (at, event) in ["login", "share", "comment", "refund", "visit", "search", "vote"].into_iter().enumerate() {
        let tracker = TrackerDefinition::count(event).target(1_000_000_000).eq("event", event);
        let tracker = if at == 0 { tracker.within(Span::from_secs(3600)) } else { tracker };
        all.push(tracker.build().unwrap());
    }
    all
}
