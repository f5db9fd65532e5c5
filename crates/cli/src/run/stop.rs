//! Signals that end a run.
//!
//! The first one has the run end in order: what was counted is committed, and its events are printed. That can wait for a
//! reader of standard output or for a server, so a second signal ends the process at once, and so do five seconds.
//! Nothing is lost then: what was not committed is counted by the next run, what was not printed is printed by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use dictrack::Stopwatch;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::Failure;
use crate::print::warn;

/// How long the end in order may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// `timeout` and some supervisors send one signal twice, to the process and to its group: that is not a second
/// request.
const TWICE: Duration = Duration::from_millis(50);
/// How long the last words may take: standard error may be as full as standard output.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Whether a signal wants the run to end.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    /// The first signal; 0 if there was none.
    signal: Arc<AtomicU8>,
}

impl Stop {
    /// Listens for the signals that end a run, except those that are ignored, as `nohup` and shells have them for programs
    /// in the background.
    pub(super) fn listen() -> Result<Self, Failure> {
        let stop = Self { signal: Arc::default() };
        let ignored = ignored();
        let wanted = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0);
        let mut signals = Signals::new(wanted)?;
        let heard = stop.clone();
        let wait = move || {
            let mut first: Option<Stopwatch> = None;
            for signal in signals.forever() {
                let signal = u8::try_from(signal).unwrap_or_default();
                match first {
                    None => {
                        first = Some(Stopwatch::start());
                        heard.signal.store(signal, Ordering::Relaxed);
                        std::thread::spawn(move || {
                            std::thread::sleep(PATIENCE);
                            let waited = "not everything could be printed or committed within 5 seconds";
                            end(signal, waited);
                        });
                    }
                    Some(first) if first.elapsed() < TWICE => {}
                    Some(_) => end(signal, "ended at once by a second signal"),
                }
            }
        };
        std::thread::Builder::new().name("dictrack-signals".to_owned()).spawn(wait)?;
        Ok(stop)
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.signal.load(Ordering::Relaxed) != 0
    }

    /// What a run ends with that a signal has ended: 128 and the signal's number, as shells say it.
    pub(super) fn code(&self) -> Option<u8> {
        match self.signal.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(128 + signal),
        }
    }
}

/// Ends the process.
fn end(signal: u8, why: &'static str) {
    let (said, heard) = mpsc::channel();
    std::thread::spawn(move || {
        warn(format_args!(
            "dictrack: {why}; what was committed is kept, and events that were not printed are printed by the next run: \
             run again to go on"
        ));
        let _ = said.send(());
    });
    let _ = heard.recv_timeout(LAST_WORDS);
    std::process::exit(i32::from(128 + signal));
}

/// The signals that this process was started to ignore, as bits. Where the system does not say, none.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
