//! Checks that apply only to servers: round trips and clocks.

use std::time::Duration;

use super::{Examination, Level, millis};
use crate::Error;
use crate::clock::Stopwatch;

/// How many round trips are timed.
const TRIPS: usize = 21;
/// A median above this is reported, since each call waits for the server at least once.
const SLOW: Duration = Duration::from_millis(5);
/// If clocks differ by more, windows open and close at different times.
const CLOCKS_DIFFER: Duration = Duration::from_secs(1);

impl Examination {
    /// Times round trips; stops at the first error.
    pub(crate) async fn time_round_trips<F: Future<Output = Result<(), Error>>>(
        &mut self,
        mut trip: impl FnMut() -> F,
    ) -> Result<(), Error> {
        let mut times = Vec::with_capacity(TRIPS);
        for _ in 0..TRIPS {
            let watch = Stopwatch::start();
            trip().await?;
            times.push(watch.elapsed());
        }
        times.sort_unstable();
        let (median, slowest) = (times[TRIPS / 2], times[TRIPS - 1]);
        self.fact("round trip", format!("{} (the slowest of {TRIPS}: {})", millis(median), millis(slowest)));
        if median > SLOW {
            self.find(
                Level::Warning,
                "slow",
                format!("a round trip takes {}", millis(median)),
                "consecutive calls for one group each take at least this long",
                "move programs and server closer together; calls for different groups can run at the same time",
            );
        }
        Ok(())
    }

    /// Compares two clocks, in microseconds since 1970.
    pub(crate) fn compare_clocks(&mut self, here: i64, there: i64) {
        let apart = Duration::from_micros(here.abs_diff(there));
        if apart > CLOCKS_DIFFER {
            let direction = if there > here { "ahead of" } else { "behind" };
            self.find(
                Level::Warning,
                "clock",
                format!("its clock is {:.1} s {direction} the local clock", apart.as_secs_f64()),
                "windows and time limiters open and close at different times on different machines",
                "synchronise both clocks (NTP)",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_compared_in_both_directions() {
        for (here, there, words) in [(0, 2_500_000, "2.5 s ahead of"), (9_000_000, 0, "9.0 s behind")] {
            let mut examination = Examination::new("x");
            examination.compare_clocks(here, there);
            assert!(examination.findings[0].found.contains(words), "{examination:?}");
        }
        let mut examination = Examination::new("x");
        examination.compare_clocks(i64::MIN, i64::MAX);
        examination.compare_clocks(5, 999_999);
        assert_eq!(examination.findings.len(), 1);
    }
}
