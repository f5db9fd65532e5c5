//! How a file is recognised: by hashes of parts of its data up to a position.
//!
//! The beginning alone cannot distinguish one day's export from the next, which may have the same wide header. So the hashes
//! also cover the bytes just before the position, and samples in between. They cover the first 128 KiB completely, and of each
//! further doubling 64 KiB in 16 samples. So a file of any size is compared by reading it in a few hundred places.
//!
//! The parts are taken from the data as it is counted, not from the file afterwards, which may have changed by then.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use dictrack::group::ContentHash;
use dictrack::json::{Json, Map};

/// The bytes of each part.
const PART: u64 = 4096;
/// The number of samples per doubling.
const SAMPLES: u64 = 16;
/// How much data is kept. Only a record that is longer than any document needs this much.
const HELD: usize = 4 << 20;

/// The parts of the data read so far that are needed to identify recent positions.
#[derive(Clone, Debug, Default)]
pub(super) struct Trail {
    /// The first bytes.
    head: Arc<Vec<u8>>,
    /// The byte after each sample, and the hash of all samples up to it.
    samples: Arc<Vec<(u64, ContentHash)>>,
    /// The bytes before `end`.
    recent: Vec<u8>,
    /// The byte after the data read so far.
    pub(super) end: u64,
}

/// Identifies the data up to a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    /// The hash of the first bytes before the position.
    head: Part,
    /// The hash of the samples and of the last bytes before this position or an earlier one. Marks of earlier versions do not
    /// have it.
    trail: Option<Part>,
}

/// The hash of data before byte `bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    bytes: u64,
    hash: ContentHash,
}

impl Trail {
    /// Adds the data that follows.
    pub(super) fn push(&mut self, text: &[u8]) {
        let room = (PART as usize).saturating_sub(self.head.len());
        if room > 0 {
            Arc::make_mut(&mut self.head).extend_from_slice(&text[..text.len().min(room)]);
        }
        self.recent.extend_from_slice(text);
        self.end += text.len() as u64;
        while let begin = self.next_sample()
            && begin + PART <= self.end
        {
            let from = self.place(begin);
            self.sample(begin, from);
        }
        if self.recent.len() > HELD {
            self.recent.drain(..self.place(self.needed(self.end)));
        }
    }

    fn sample(&mut self, begin: u64, from: usize) {
        let hash = chained(&self.samples, &self.recent[from..from + PART as usize]);
        Arc::make_mut(&mut self.samples).push((begin + PART, hash));
    }

    /// Where the next sample starts.
    fn next_sample(&self) -> u64 {
        self.samples.last().map_or(PART, |(end, _)| sample_after(end - PART))
    }

    /// The first byte that is still needed if positions before `offset` are not.
    fn needed(&self, offset: u64) -> u64 {
        offset.saturating_sub(PART).min(self.next_sample())
    }

    /// The index of byte `offset` in `recent`.
    fn place(&self, offset: u64) -> usize {
        let begin = self.end - self.recent.len() as u64;
        offset.saturating_sub(begin) as usize
    }

    /// Splits off the trail up to byte `offset`. The rest can identify positions from there on.
    pub(super) fn split(&mut self, offset: u64) -> Self {
        let rest = &self.recent[self.place(self.needed(offset))..];
        let mut recent = Vec::with_capacity(self.recent.len().max(rest.len()));
        recent.extend_from_slice(rest);
        Self { recent: std::mem::replace(&mut self.recent, recent), ..self.clone_without_text() }
    }

    fn clone_without_text(&self) -> Self {
        Self { head: Arc::clone(&self.head), samples: Arc::clone(&self.samples), recent: Vec::new(), end: self.end }
    }

    /// The fingerprint at byte `offset`, which must not be after the end. The trail is that of `earlier` if the data before
    /// `offset` has been dropped.
    pub(super) fn fingerprint(&self, offset: u64, earlier: Option<&Fingerprint>) -> Fingerprint {
        let head = &self.head[..self.head.len().min(offset as usize)];
        let head = Part { bytes: head.len() as u64, hash: ContentHash::of([head]) };
        let trail = self.trail(offset).map(|hash| Part { bytes: offset, hash });
        Fingerprint { head, trail: trail.or_else(|| earlier?.trail) }
    }

    fn trail(&self, offset: u64) -> Option<ContentHash> {
        let begin = self.end - self.recent.len() as u64;
        let from = offset.saturating_sub(PART);
        if from < begin || offset > self.end {
            return None;
        }
        let passed = self.samples.partition_point(|(end, _)| *end <= offset);
        Some(chained(&self.samples[..passed], &self.recent[self.place(from)..self.place(offset)]))
    }

    /// The trail up to byte `offset` of a file, reading no more than needed. An error if the file is shorter.
    pub(super) fn of_file(mut file: impl Read + Seek, offset: u64) -> io::Result<Self> {
        let mut trail = Self::default();
        let mut read = |from: u64, to: u64| {
            let mut part = vec![0; (to - from) as usize];
            file.seek(SeekFrom::Start(from)).and_then(|_| file.read_exact(&mut part)).map(|()| part)
        };
        trail.head = Arc::new(read(0, offset.min(PART))?);
        while let begin = trail.next_sample()
            && begin + PART <= offset
        {
            trail.recent = read(begin, begin + PART)?;
            trail.sample(begin, 0);
        }
        trail.recent = read(trail.needed(offset), offset)?;
        trail.end = offset;
        Ok(trail)
    }
}

/// Where the sample after the one at `begin` starts.
fn sample_after(begin: u64) -> u64 {
    let doubling = 1 << begin.max(PART).ilog2();
    begin + PART.max(doubling / SAMPLES)
}

/// The hash of the samples and one more part.
fn chained(samples: &[(u64, ContentHash)], part: &[u8]) -> ContentHash {
    let before: &[u8] = samples.last().map_or(&[], |(_, hash)| hash.bytes());
    ContentHash::of([before, part])
}

impl Fingerprint {
    /// The fingerprint of a file that is identified by `part` of it, wherever a position in it is.
    #[cfg(feature = "parquet")]
    pub(super) fn of_whole(part: &[u8]) -> Self {
        Self { head: Part { bytes: part.len() as u64, hash: ContentHash::of([part]) }, trail: None }
    }

    pub(super) fn write(&self, entries: &mut Vec<(&'static str, Json)>) {
        let Self { head, trail } = self;
        entries.extend([("head", head.hash.to_string().into()), ("head_bytes", head.bytes.into())]);
        if let Some(trail) = trail {
            entries.extend([("trail", trail.hash.to_string().into()), ("trail_bytes", trail.bytes.into())]);
        }
    }

    /// The fingerprint in a mark.
    pub(super) fn read(mark: &Map) -> Option<Self> {
        let part = |hash: &str, bytes: &str| {
            let hash = ContentHash::parse(mark.get(hash)?.as_str()?)?;
            Some(Part { bytes: mark.get(bytes)?.to_string().parse().ok()?, hash })
        };
        let trail = if mark.get("trail").is_some() { Some(part("trail", "trail_bytes")?) } else { None };
        Some(Self { head: part("head", "head_bytes")?, trail })
    }

    /// The positions to compare at, in order.
    pub(super) fn places(&self) -> impl Iterator<Item = u64> {
        std::iter::once(self.head.bytes).chain(self.trail.map(|trail| trail.bytes))
    }

    /// How the data read so far differs from that of this fingerprint, at one of its `places`.
    pub(super) fn differs(&self, trail: &Trail, place: u64) -> Option<String> {
        let Part { bytes, hash } = self.head;
        if trail.head.get(..bytes as usize).is_none_or(|head| ContentHash::of([head]) != hash) {
            return Some(format!("its first {bytes} bytes differ"));
        }
        let expected = self.trail.filter(|expected| expected.bytes == place)?;
        (trail.trail(place) != Some(expected.hash)).then(|| format!("its data before byte {place} differs"))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// Data without repetition.
    fn text(length: usize) -> Vec<u8> {
        (0_u32..).flat_map(|at| ContentHash::of([at.to_le_bytes()]).bytes().to_vec()).take(length).collect()
    }

    fn of_file(text: &[u8], offset: u64) -> Fingerprint {
        Trail::of_file(Cursor::new(text), offset).unwrap().fingerprint(offset, None)
    }

    #[test]
    fn a_stream_and_a_file_give_the_same_fingerprint() {
        let text = text(700_000);
        for step in [5000, 131_072] {
            let (mut trail, mut places) = (Trail::default(), vec![0]);
            for chunk in text.chunks(step) {
                trail.push(chunk);
                let before = trail.split(trail.end);
                let begin = trail.end - chunk.len() as u64;
                for place in [begin, begin + chunk.len() as u64 / 2, trail.end] {
                    let found = before.fingerprint(place, None);
                    assert_eq!(found, of_file(&text, place), "{place} by {step}");
                    assert!(found.trail.is_some_and(|trail| trail.bytes == place));
                    places.push(place);
                }
            }
            let mut resumed = Trail::of_file(Cursor::new(&text), 300_000).unwrap();
            resumed.push(&text[300_000..]);
            assert_eq!(resumed.fingerprint(700_000, None), of_file(&text, 700_000));
        }
    }

    #[test]
    fn any_change_before_the_place_shows_in_the_first_128_kib_and_before_the_end() {
        let text = text(900_000);
        let before = of_file(&text, 900_000);
        for at in (0..131_072).step_by(997).chain([131_071, 895_904, 899_999]) {
            let mut changed = text.clone();
            changed[at] ^= 1;
            assert_ne!(of_file(&changed, 900_000), before, "{at}");
        }
        let mut shifted = text.clone();
        shifted.insert(400_000, b'x');
        assert_ne!(of_file(&shifted, 900_000), before);
        assert!(Trail::of_file(Cursor::new(&text), 900_001).is_err());
    }

    #[test]
    fn data_that_is_no_longer_kept_leaves_the_earlier_trail() {
        let mut trail = Trail::default();
        trail.push(&text(10_000));
        let earlier = trail.fingerprint(10_000, None);
        trail.push(&vec![b'x'; HELD]);
        trail.push(b"y");
        assert!(trail.recent.len() < HELD);
        assert_eq!(trail.fingerprint(20_000, Some(&earlier)).trail, earlier.trail);
        assert_eq!(trail.fingerprint(20_000, Some(&earlier)).head, earlier.head);
        let end = trail.end;
        assert!(trail.fingerprint(end, Some(&earlier)).trail.is_some_and(|trail| trail.bytes == end));
    }

    #[test]
    fn a_mark_keeps_the_fingerprint() {
        for fingerprint in [of_file(&text(9000), 9000), Fingerprint { trail: None, ..of_file(b"a", 1) }] {
            let mut entries = Vec::new();
            fingerprint.write(&mut entries);
            let mark: Map = entries.into_iter().map(|(key, value)| (key.into(), value)).collect();
            assert_eq!(Fingerprint::read(&mark), Some(fingerprint));
        }
    }
}
