//! Signals that end a run.
//!
//! The first signal ends the run cleanly: it commits what was counted and prints the events. This may have to wait for a reader
//! of standard output or for a server, so a second signal ends the process at once, and so does a timeout of five seconds.
//! Nothing is lost: the next run counts what was not committed and prints what was not printed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use dictrack::clock::Stopwatch;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::Failure;
use crate::print::warn;

/// How long a clean end may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// `timeout` and some supervisors send the same signal twice, to the process and to its process group. That is not a second
/// request.
const TWICE: Duration = Duration::from_millis(50);
/// How long the final message may take: standard error may be full as well.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Whether a signal has asked the run to end.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    /// The first signal; 0 if there was none.
    signal: Arc<AtomicU8>,
}

impl Stop {
    /// Listens for the signals that end a run, except those that this process was started to ignore, as by `nohup` or for
    /// background jobs of a shell.
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
                            let waited = "could not print and commit everything within 5 seconds";
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

    /// The exit code of a run that was ended by a signal: 128 plus its number, as shells report it.
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
            "dictrack: {why}; what was committed is kept; run again to continue and to print the remaining events"
        ));
        let _ = said.send(());
    });
    let _ = heard.recv_timeout(LAST_WORDS);
    std::process::exit(i32::from(128 + signal));
}

/// The signals that this process was started to ignore, as bits; none if the system does not tell.
pub(crate) fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
