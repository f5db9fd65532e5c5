//! How much to send in one piece: all groups share one connection, and wait for each piece.

use std::time::Duration;

/// The size of a piece in bytes: minimum, initial, maximum.
const BYTES: (usize, usize, usize) = (4 << 10, 16 << 10, 512 << 10);
/// A piece that took less time could have been larger; one that took more should have been smaller.
const GOOD: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(150));

/// Learns from each piece how large the next one may be.
#[derive(Debug)]
pub(super) struct Pace {
    bytes: usize,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { bytes: BYTES.1 }
    }

    /// About how many bytes the next piece should have.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Notes how long a piece of this many bytes took.
    pub(super) fn took(&mut self, time: Duration, bytes: usize) {
        if time > GOOD.1 {
            self.bytes = (self.bytes / 2).max(BYTES.0);
        } else if time < GOOD.0 && bytes >= self.bytes / 2 {
            self.bytes = (self.bytes * 2).min(BYTES.2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_grow_on_a_fast_way_and_shrink_on_a_slow_one() {
        let mut pace = Pace::new();
        pace.took(Duration::ZERO, 10);
        assert_eq!(pace.bytes(), BYTES.1, "a piece that was not full says nothing");
        (0..20).for_each(|_| pace.took(Duration::ZERO, pace.bytes()));
        assert_eq!(pace.bytes(), BYTES.2);
        pace.took(Duration::from_millis(100), pace.bytes());
        assert_eq!(pace.bytes(), BYTES.2);
        (0..20).for_each(|_| pace.took(Duration::from_millis(400), pace.bytes()));
        assert_eq!(pace.bytes(), BYTES.0);
    }
}
