//! Detects damage in the write-ahead log.
//!
//! SQLite reads a log up to the first frame with a wrong checksum, since a crash may leave half a frame at the end. So
//! a single flipped bit in an earlier frame removes every commit after it, and SQLite reports nothing. Such damage
//! shows in what follows the frame: frames with the salts of the same log, which a crash of the process cannot leave
//! there. The format is at <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::name::beside;
use crate::{Error, url};

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// Where the log ends too early, and how much is lost.
#[derive(Debug, PartialEq, Eq)]
struct Damage {
    /// The frame, counted from one; 0 is the header.
    frame: u64,
    /// The number of commits from there on, as far as they can be counted.
    commits: u64,
}

/// Refuses a store if part of its log would not be read. The log must be at rest: no process may be writing the store.
pub(super) fn check(name: &Path, path: &Path) -> Result<(), Error> {
    let log = beside(path, "-wal");
    let fail = |error: io::Error| Error::corrupt(url::shown_path(name), "the write-ahead log", error.to_string());
    let file = match File::open(&log) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(fail(error)),
    };
    let written = file.metadata().and_then(|file| file.modified()).map_err(fail)?;
    let Some(damage) = look(&mut BufReader::with_capacity(1 << 16, file)).map_err(fail)? else { return Ok(()) };
    let place = match damage.frame {
        0 => "its header is damaged".to_owned(),
        frame => format!("frame {frame} is damaged"),
    };
    let problem = format!("{place}, so {} commits from there on would be lost", damage.commits);
    if booted().is_some_and(|booted| written < booted) {
        // After a power failure the log on disk may have gaps: SQLite goes back to the part that is whole.
        tracing::warn!("{}: {problem}; the machine has rebooted since", url::shown_path(&log));
        return Ok(());
    }
    Err(Error::corrupt(url::shown_path(name), format!("the write-ahead log {}", url::shown_path(&log)), problem))
}

/// When this machine was booted, if it says so.
fn booted() -> Option<SystemTime> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let seconds = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// A checksum as SQLite computes it: two sums that every pair of words changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Checksum {
    sums: [u32; 2],
    big_endian: bool,
}

impl Checksum {
    fn add(&mut self, bytes: &[u8]) {
        let [mut a, mut b] = self.sums;
        for pair in bytes.chunks_exact(8) {
            let (first, second) = if self.big_endian {
                (word(pair, 0), word(pair, 4))
            } else {
                (word(pair, 0).swap_bytes(), word(pair, 4).swap_bytes())
            };
            a = a.wrapping_add(first).wrapping_add(b);
            b = b.wrapping_add(second).wrapping_add(a);
        }
        self.sums = [a, b];
    }

    fn is_at(&self, bytes: &[u8], at: usize) -> bool {
        self.sums == [word(bytes, at), word(bytes, at + 4)]
    }
}

/// A number in the byte order of the log: highest byte first.
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_be_bytes)
}

fn look(log: &mut impl Read) -> io::Result<Option<Damage>> {
    let mut header = [0; HEADER];
    if !fill(log, &mut header)? {
        return Ok(None);
    }
    let mut checksum = Checksum { sums: [0; 2], big_endian: word(&header, 0) & 1 == 1 };
    checksum.add(&header[..24]);
    let size = word(&header, 8) as usize;
    if word(&header, 0) & !1 != 0x377f_0682 || !checksum.is_at(&header, 24) || !(512..=65_536).contains(&size) {
        // The header of a log without commits may be half written; it is synced before frames are written.
        let mut frames = [0; FRAME_HEADER];
        return Ok(fill(log, &mut frames)?.then_some(Damage { frame: 0, commits: 1 }));
    }
    let salts = &header[16..24];
    let mut frame = vec![0; FRAME_HEADER + size];
    let mut number = 0;
    let mut damaged: Option<Damage> = None;
    while fill(log, &mut frame)? {
        number += 1;
        // Each log gets random salts when it is begun, so frames of an earlier log have others.
        let salt_bits = salts.iter().zip(&frame[8..16]).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>();
        let commits = u64::from(word(&frame, 4) > 0);
        if let Some(damage) = &mut damaged {
            damage.commits += if salt_bits == 0 { commits } else { 0 };
            continue;
        }
        let before = checksum;
        checksum.add(&frame[..8]);
        checksum.add(&frame[FRAME_HEADER..]);
        let fits = checksum.is_at(&frame, 16);
        if salt_bits > 0 || !fits {
            // If flipping one bit makes it right, the frame was once whole: no crash leaves that.
            let flipped = if fits { salt_bits == 1 } else { salt_bits == 0 && one_bit_off(before, checksum, &frame) };
            damaged = Some(Damage { frame: number, commits: if flipped { commits.max(1) } else { 0 } });
        }
    }
    // No frame of this log follows: the process was killed while writing this one.
    Ok(damaged.filter(|damage| damage.commits > 0))
}

/// Whether flipping one bit of the frame makes its checksum right.
fn one_bit_off(before: Checksum, after: Checksum, frame: &[u8]) -> bool {
    let wanted = [word(frame, 16), word(frame, 20)];
    let difference = [wanted[0].wrapping_sub(after.sums[0]), wanted[1].wrapping_sub(after.sums[1])];
    // The flipped bit is in the stored checksum itself.
    if difference.contains(&0)
        && (wanted[0] ^ after.sums[0]).count_ones() + (wanted[1] ^ after.sums[1]).count_ones() == 1
    {
        return true;
    }
    let bytes: Vec<u8> = frame[..8].iter().chain(&frame[FRAME_HEADER..]).copied().collect();
    // How much the final sums change when a word grows by one, from the last pair of words backwards.
    let (mut of_first, mut of_second) = ([1u32, 1], [0u32, 1]);
    for pair in bytes.chunks_exact(8).rev() {
        for (at, [a, b]) in [(0, of_first), (4, of_second)] {
            let held = if before.big_endian { word(pair, at) } else { word(pair, at).swap_bytes() };
            for bit in 0..32 {
                let one = 1u32 << bit;
                let step = if held & one == 0 { one } else { one.wrapping_neg() };
                if [a.wrapping_mul(step), b.wrapping_mul(step)] == difference {
                    return true;
                }
            }
        }
        // A pair further back goes through one more round of the sums: (a, b) becomes (a + b, a + 2 b).
        let pass = |[a, b]: [u32; 2]| [a.wrapping_add(b), a.wrapping_add(b.wrapping_mul(2))];
        (of_first, of_second) = (pass(of_first), pass(of_second));
    }
    false
}

/// Fills the buffer; `false` if the log ends first.
fn fill(log: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match log.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
