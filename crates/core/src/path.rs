//! Dotted paths into a document.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::json::{Text, key_hash, same};

/// A dotted path, split once: `user.items.-1.sku`, with `\.` for a literal dot.
///
/// Empty segments are ignored; only [`Path::item`] has no segments.
#[derive(Clone)]
pub struct Path {
    text: Text,
    segments: Box<[Segment]>,
}

/// One step of a [`Path`]: a key in a map and, if it is a whole number, an index into a list.
#[derive(Debug)]
pub struct Segment {
    key: Text,
    hash: u64,
    index: Option<i64>,
    /// Where the key was in the last map that had it.
    hint: AtomicU32,
}

impl Path {
    /// Splits `text`; `None` if no segment remains.
    pub fn parse(text: &str) -> Option<Self> {
        let mut segments = Vec::new();
        let mut key = Text::default();
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '\\' if letters.peek() == Some(&'.') => {
                    letters.next();
                    key.push('.');
                }
                '.' => segments.push(std::mem::take(&mut key)),
                other => key.push(other),
            }
        }
        segments.push(key);
        let segments: Box<[_]> = segments.into_iter().filter(|key| !key.is_empty()).map(Segment::new).collect();
        let steps: Vec<_> = segments.iter().map(|segment| segment.key.replace('.', "\\.")).collect();
        (!segments.is_empty()).then(|| Self { text: steps.join(".").into(), segments })
    }

    /// The path without segments, which leads to the value that it starts from: within
    /// [`Items`](crate::condition::Items), the item itself.
    pub fn item() -> Self {
        Self { text: Text::default(), segments: Box::default() }
    }

    /// Whether this is [`item`](Self::item).
    pub fn is_item(&self) -> bool {
        self.segments.is_empty()
    }

    /// The path in its shortest spelling, without empty segments.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The segments.
    #[inline]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }
}

/// The text is not a path because it has no segments.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("path is empty; expected a dotted path such as \"user.tier\"")]
#[non_exhaustive]
pub struct EmptyPath;

impl FromStr for Path {
    type Err = EmptyPath;

    fn from_str(text: &str) -> Result<Self, EmptyPath> {
        Self::parse(text).ok_or(EmptyPath)
    }
}

impl Segment {
    fn new(key: Text) -> Self {
        let digits = key.strip_prefix('-').unwrap_or(&key);
        let is_index = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        // An index beyond 64 bits lies outside every list.
        let index = is_index.then(|| key.parse().unwrap_or(i64::MAX));
        Self { hash: key_hash(&key), key, index, hint: AtomicU32::new(0) }
    }

    /// The key to look up in a map.
    #[inline]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// [`key_hash`] of the key.
    #[inline]
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// The position in a map at which the key is probably found. A wrong hint only costs time.
    #[inline]
    pub(crate) fn hint(&self) -> usize {
        self.hint.load(Ordering::Relaxed) as usize
    }

    #[cold]
    pub(crate) fn set_hint(&self, position: usize) {
        self.hint.store(u32::try_from(position).unwrap_or(0), Ordering::Relaxed);
    }

    /// Which of `len` distinct names is this key. Looks first where it was the last time.
    #[inline]
    pub fn find<'n>(&self, len: usize, name: impl Fn(usize) -> &'n str) -> Option<usize> {
        let hint = self.hint();
        if hint < len && same(name(hint), &self.key) {
            return Some(hint);
        }
        let found = (0..len).find(|&at| *name(at) == *self.key)?;
        self.set_hint(found);
        Some(found)
    }

    /// Whether this may be the position of an item.
    pub(crate) fn is_position(&self) -> bool {
        self.index.is_some()
    }

    /// The position in a list of `len` items that this segment names.
    pub fn position(&self, len: usize) -> Option<usize> {
        let index = self.index?;
        let position = if index < 0 { i64::try_from(len).ok()?.checked_add(index)? } else { index };
        usize::try_from(position).ok().filter(|&position| position < len)
    }
}

impl Clone for Segment {
    fn clone(&self) -> Self {
        let Self { key, hash, index, hint } = self;
        let hint = AtomicU32::new(hint.load(Ordering::Relaxed));
        Self { key: key.clone(), hash: *hash, index: *index, hint }
    }
}

impl PartialEq for Path {
    /// Two paths are equal if they have the same segments: their texts are normalised.
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Path {}

impl std::hash::Hash for Path {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Path({})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Vec<String> {
        let path = Path::parse(text).unwrap();
        path.segments().iter().map(|segment| segment.key().to_owned()).collect()
    }

    #[test]
    fn segments_are_split_at_dots_that_are_not_escaped() {
        assert_eq!(keys("a.b"), ["a", "b"]);
        assert_eq!(keys(r"a\.b.c"), ["a.b", "c"]);
        assert_eq!(keys("..a...b."), ["a", "b"]);
        assert_eq!(keys(r"a\b"), [r"a\b"]);
        assert!(Path::parse("").is_none());
        assert!(Path::parse("..").is_none());
        assert_eq!(Path::parse("a..b"), Path::parse("a.b"));
    }

    #[test]
    fn negative_indices_count_from_the_end() {
        let at = |text: &str, len| Path::parse(text).unwrap().segments()[0].position(len);
        assert_eq!(at("0", 2), Some(0));
        assert_eq!(at("-1", 2), Some(1));
        assert_eq!(at("-3", 2), None);
        assert_eq!(at("2", 2), None);
        assert_eq!(at("007", 8), Some(7));
        assert_eq!(at("1x", 2), None);
        assert_eq!(at("99999999999999999999", 2), None);
        assert_eq!(at("-99999999999999999999", 2), None);
    }
}
