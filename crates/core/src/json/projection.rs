//! Reads only those values of a document that somebody asks for.
//!
//! [`Projector`] checks that a text is a JSON document but builds no value that nobody reads. It only handles what is common:
//! whatever else it meets, such as an error, a lone surrogate or a key with an escape, it leaves to [`Json::parse`], which
//! decides. So both accept the same texts and report the same errors, and the law in `tests/projection.rs` shows it.
//!
//! The paths need not be known in advance. A [`Projected`] document parses its whole text if somebody reads another value, and notes the path, so that the next [`Projection`] includes it.

use std::any::Any;
use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::{Bounds, Json, MAX_BYTES, MAX_DEPTH, SyntaxError, Text, same_bytes};
use crate::document::{Document, Value};
use crate::number::Number;
use crate::path::{Path, Segment};

/// The most values that are picked out of a document. For more, it is faster to build all of it.
const MOST: usize = 64;
/// How many keys of a map are remembered.
const KEYS: usize = 256;
/// How many remembered keys are tried if the next one is different, because some keys are optional.
const LOOKED_AHEAD: usize = 4;

/// Which values of documents are built, and which were missed.
#[derive(Debug)]
pub struct Projection {
    paths: Vec<Path>,
    /// The root, and each map that is entered.
    nodes: Vec<Node>,
    slots: usize,
    /// Whether all of a document is built.
    whole: bool,
    /// Paths outside of the projection at which somebody wanted a value.
    missed: Mutex<Vec<Path>>,
    /// Whether anybody wanted all of a document.
    missed_whole: AtomicBool,
}

#[derive(Debug, Default)]
struct Node {
    fields: Vec<Field>,
    names: HashMap<Text, usize, foldhash::quality::RandomState>,
    /// The slots of all values below.
    slots: Range<usize>,
}

#[derive(Debug)]
struct Field {
    key: Text,
    then: Then,
}

/// What is done with a value.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// It is built and put into this slot.
    Build(usize),
    /// If it is a map, it is entered.
    Enter(usize),
}

/// The keys to be read, as a tree.
enum Tree {
    Value,
    Map(Vec<(Text, Self)>),
}

impl Tree {
    fn insert(&mut self, segments: &[Segment]) {
        let (Self::Map(entries), Some((segment, rest))) = (&mut *self, segments.split_first()) else {
            // A value includes everything in it.
            *self = Self::Value;
            return;
        };
        let at = entries.iter().position(|(key, _)| *key == *segment.key()).unwrap_or_else(|| {
            entries.push((segment.key().into(), Self::Map(Vec::new())));
            entries.len() - 1
        });
        // In a list, the next segment might be a position.
        let rest = if rest.first().is_some_and(Segment::is_position) { &[] } else { rest };
        entries[at].1.insert(rest);
    }
}

impl Projection {
    /// Builds only what is at `paths`.
    pub fn new(paths: impl IntoIterator<Item = Path>) -> Self {
        let mut tree = Tree::Map(Vec::new());
        let paths: Vec<Path> = paths.into_iter().collect();
        paths.iter().for_each(|path| tree.insert(path.segments()));
        let mut projection = Self { paths, ..Self::everything() };
        if let Tree::Map(entries) = tree {
            projection.whole = false;
            projection.add(entries);
        }
        projection.whole |= projection.slots > MOST;
        projection
    }

    /// Builds whole documents.
    pub fn everything() -> Self {
        Self {
            paths: Vec::new(),
            nodes: Vec::new(),
            slots: 0,
            whole: true,
            missed: Mutex::default(),
            missed_whole: AtomicBool::new(false),
        }
    }

    fn add(&mut self, entries: Vec<(Text, Tree)>) -> usize {
        let at = self.nodes.len();
        self.nodes.push(Node::default());
        let first = self.slots;
        let fields: Vec<Field> = entries
            .into_iter()
            .map(|(key, tree)| {
                let then = match tree {
                    Tree::Value => {
                        self.slots += 1;
                        Then::Build(self.slots - 1)
                    }
                    Tree::Map(entries) => Then::Enter(self.add(entries)),
                };
                Field { key, then }
            })
            .collect();
        let names = fields.iter().enumerate().map(|(at, field)| (field.key.clone(), at)).collect();
        self.nodes[at] = Node { names, slots: first..self.slots, fields };
        at
    }

    /// How many values are picked out of a document.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// A projection that also has what was missed, if anything was.
    pub fn widened(&self) -> Option<Self> {
        if self.whole {
            return None;
        }
        if self.missed_whole.load(Ordering::Relaxed) {
            return Some(Self::everything());
        }
        let missed = std::mem::take(&mut *self.missed.lock());
        (!missed.is_empty()).then(|| Self::new(self.paths.iter().cloned().chain(missed)))
    }

    #[cold]
    fn miss(&self, path: &Path) {
        let mut missed = self.missed.lock();
        if !missed.contains(path) {
            missed.push(path.clone());
        }
    }

    /// The slot with the value at `path`, and where the value is within that of the slot; `None` if it is outside.
    #[inline]
    fn find<'p>(&self, path: &'p Path) -> Option<(usize, &'p [Segment])> {
        let mut node = self.nodes.first()?;
        let mut segments = path.segments();
        loop {
            let (segment, rest) = segments.split_first()?;
            let field = match node.fields.get(segment.hint()) {
                Some(field) if super::same(&field.key, segment.key()) => field,
                _ => {
                    let at = *node.names.get(segment.key())?;
                    segment.set_hint(at);
                    &node.fields[at]
                }
            };
            match field.then {
                Then::Build(slot) => return Some((slot, rest)),
                Then::Enter(next) => (node, segments) = (&self.nodes[next], rest),
            }
        }
    }
}

/// A document of which only some values were built.
#[derive(Debug)]
pub struct Projected<'a> {
    projection: &'a Projection,
    slots: &'a [Option<Json>],
    text: &'a [u8],
    whole: OnceLock<Json>,
}

impl<'a> Projected<'a> {
    /// The document in `text`, which a [`Projector`] has read into `slots`.
    pub fn new(projection: &'a Projection, slots: &'a [Option<Json>], text: &'a [u8]) -> Self {
        Self { projection, slots, text, whole: OnceLock::new() }
    }

    /// All of the document. It was read before, so it is JSON.
    #[cold]
    fn whole(&self) -> &Json {
        self.whole.get_or_init(|| Json::parse(self.text).unwrap_or_default())
    }
}

impl Document for Projected<'_> {
    #[inline]
    fn value_at(&self, path: &Path) -> Option<Value<'_>> {
        match self.projection.find(path) {
            Some((slot, within)) => Some(self.slots[slot].as_ref()?.within(within)?.into()),
            None => {
                self.projection.miss(path);
                self.whole().value_at(path)
            }
        }
    }

    fn to_json(&self) -> Cow<'_, Json> {
        self.projection.missed_whole.store(true, Ordering::Relaxed);
        Cow::Borrowed(self.whole())
    }

    fn as_any(&self) -> &dyn Any {
        self.projection.missed_whole.store(true, Ordering::Relaxed);
        self.whole()
    }
}

/// Reads documents one after another, and remembers their shape.
#[derive(Debug)]
pub struct Projector {
    projection: Arc<Projection>,
    /// For each node, the keys of a map that was read there.
    shapes: Vec<Vec<Known>>,
}

/// A key with its quotes, and the field for it.
#[derive(Debug)]
struct Known {
    quoted: Box<[u8]>,
    then: Option<Then>,
}

impl Projector {
    /// Reads what `projection` asks for.
    pub fn new(projection: Arc<Projection>) -> Self {
        let shapes = projection.nodes.iter().map(|_| Vec::new()).collect();
        Self { projection, shapes }
    }

    /// What it reads.
    pub fn projection(&self) -> &Arc<Projection> {
        &self.projection
    }

    /// Reads a document as [`Json::parse`] does. The values go into `slots`, of which the projection says how many there are.
    /// Returns the document if it was easier to build all of it.
    ///
    /// # Errors
    /// As [`Json::parse`].
    pub fn read(&mut self, text: &[u8], slots: &mut [Option<Json>]) -> Result<Option<Json>, SyntaxError> {
        slots.fill(None);
        if !self.projection.whole
            && text.len() <= MAX_BYTES
            && let Ok(valid) = std::str::from_utf8(text)
        {
            let (nodes, shapes) = (&self.projection.nodes[..], &mut self.shapes[..]);
            if (Scan { text: valid, bytes: text, at: 0, nodes, shapes, slots }).document().is_some() {
                return Ok(None);
            }
        }
        Json::parse(text).map(Some)
    }
}

/// Reads one document. Each method starts at the first byte of a part, ends after it, and returns `None` for what it leaves to
/// [`Json::parse`].
struct Scan<'t, 'p> {
    text: &'t str,
    /// The same text.
    bytes: &'t [u8],
    at: usize,
    nodes: &'p [Node],
    shapes: &'p mut [Vec<Known>],
    slots: &'p mut [Option<Json>],
}

impl Scan<'_, '_> {
    fn document(&mut self) -> Option<()> {
        self.space();
        if self.peek()? != b'{' {
            return None;
        }
        self.map(0, 0)?;
        self.space();
        (self.at == self.bytes.len()).then_some(())
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek() {
            self.at += 1;
        }
    }

    #[inline]
    fn expect(&mut self, text: &[u8]) -> Option<()> {
        self.bytes[self.at..].starts_with(text).then(|| self.at += text.len())
    }

    /// A map that contains values of the projection.
    fn map(&mut self, node: usize, depth: usize) -> Option<()> {
        if depth >= MAX_DEPTH {
            return None;
        }
        self.at += 1;
        self.space();
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        let mut next = 0;
        loop {
            let then = self.key(node, &mut next)?;
            self.colon()?;
            match then {
                None => self.skip(depth + 1)?,
                Some(Then::Build(slot)) => self.slots[slot] = Some(self.value(depth + 1)?),
                Some(Then::Enter(inner)) => {
                    // The last of duplicate keys counts.
                    self.slots[self.nodes[inner].slots.clone()].fill(None);
                    if self.peek()? == b'{' { self.map(inner, depth + 1)? } else { self.skip(depth + 1)? }
                }
            }
            if self.ends(b'}')? {
                return Some(());
            }
        }
    }

    #[inline]
    fn colon(&mut self) -> Option<()> {
        self.space();
        if self.peek()? != b':' {
            return None;
        }
        self.at += 1;
        self.space();
        Some(())
    }

    /// What follows an item: `true` for the end of the list or map, `false` for another item.
    #[inline]
    fn ends(&mut self, end: u8) -> Option<bool> {
        self.space();
        let found = self.peek()?;
        self.at += 1;
        if found == b',' {
            self.space();
            return Some(false);
        }
        (found == end).then_some(true)
    }

    /// A key. `next` is the position of the remembered key that is expected.
    #[inline]
    fn key(&mut self, node: usize, next: &mut usize) -> Option<Option<Then>> {
        let rest = &self.bytes[self.at..];
        let is_next = |known: &Known| {
            let found = rest.get(..known.quoted.len());
            found.is_some_and(|found| same_bytes(found, &known.quoted))
        };
        let shape = &self.shapes[node];
        if let Some(known) = shape.get(*next)
            && is_next(known)
        {
            *next += 1;
            self.at += known.quoted.len();
            return Some(known.then);
        }
        let ahead = shape.iter().enumerate().skip(*next + 1).take(LOOKED_AHEAD);
        if let Some((at, known)) = { ahead }.find(|(_, known)| is_next(known)) {
            *next = at + 1;
            self.at += known.quoted.len();
            return Some(known.then);
        }
        self.other_key(node, next)
    }

    #[cold]
    fn other_key(&mut self, node: usize, next: &mut usize) -> Option<Option<Then>> {
        let from = self.at;
        if self.peek()? != b'"' || self.string()? {
            return None;
        }
        let name = &self.text[from + 1..self.at - 1];
        let found = &self.nodes[node];
        let then = found.names.get(name).map(|&field| found.fields[field].then);
        let shape = &mut self.shapes[node];
        if *next == shape.len() && shape.len() < KEYS {
            shape.push(Known { quoted: self.bytes[from..self.at].into(), then });
            *next += 1;
        }
        Some(then)
    }

    /// A value of the projection.
    #[inline]
    fn value(&mut self, depth: usize) -> Option<Json> {
        let from = self.at;
        Some(match self.peek()? {
            b'"' => {
                let has_escapes = self.string()?;
                if has_escapes {
                    return self.parsed(from);
                }
                Json::Text(self.text[from + 1..self.at - 1].into())
            }
            b'-' | b'0'..=b'9' => Json::Number(self.number()?),
            b'{' | b'[' => {
                self.skip(depth)?;
                return self.parsed(from);
            }
            b't' => {
                self.expect(b"true")?;
                Json::Bool(true)
            }
            b'f' => {
                self.expect(b"false")?;
                Json::Bool(false)
            }
            _ => {
                self.expect(b"null")?;
                Json::Null
            }
        })
    }

    /// The value that starts at `from` and was checked.
    fn parsed(&self, from: usize) -> Option<Json> {
        Json::parse_within(&self.bytes[from..self.at], Bounds::DOCUMENT).ok()
    }

    /// A value that nobody asks for.
    fn skip(&mut self, depth: usize) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'-' | b'0'..=b'9' => self.digits().map(drop),
            b't' => self.expect(b"true"),
            b'f' => self.expect(b"false"),
            b'n' => self.expect(b"null"),
            b'{' | b'[' if depth >= MAX_DEPTH => None,
            open @ (b'{' | b'[') => {
                let close = if open == b'{' { b'}' } else { b']' };
                self.at += 1;
                self.space();
                if self.peek()? == close {
                    self.at += 1;
                    return Some(());
                }
                loop {
                    if open == b'{' {
                        if self.peek()? != b'"' {
                            return None;
                        }
                        self.string()?;
                        self.colon()?;
                    }
                    self.skip(depth + 1)?;
                    if self.ends(close)? {
                        return Some(());
                    }
                }
            }
            _ => None,
        }
    }

    /// A string, at its first quote. Returns whether it has escapes.
    #[inline]
    fn string(&mut self) -> Option<bool> {
        /// This byte, eight times.
        const fn all(byte: u8) -> u64 {
            u64::from_ne_bytes([byte; 8])
        }
        let mut at = self.at + 1;
        let mut has_escapes = false;
        loop {
            // Eight bytes at a time ("Determine if a word has a byte less than n", Anderson, Bit Twiddling Hacks). The lowest
            // marked byte is always a right one.
            if let Some(eight) = self.bytes[at..].first_chunk() {
                let word = u64::from_le_bytes(*eight);
                let is_below = |word: u64, bound: u8| word.wrapping_sub(all(bound)) & !word;
                let found =
                    (is_below(word, b' ') | is_below(word ^ all(b'"'), 1) | is_below(word ^ all(b'\\'), 1)) & all(0x80);
                if found == 0 {
                    at += 8;
                    continue;
                }
                at += found.trailing_zeros() as usize / 8;
            }
            match *self.bytes.get(at)? {
                b'"' => {
                    self.at = at + 1;
                    return Some(has_escapes);
                }
                b'\\' => {
                    has_escapes = true;
                    at += match self.bytes.get(at + 1)? {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
                        b'u' => self.unit(at + 2)?,
                        _ => return None,
                    };
                }
                0..b' ' => return None,
                _ => at += 1,
            }
        }
    }

    /// The length of the escape whose digits are at `at`, unless it is half of a character.
    fn unit(&self, at: usize) -> Option<usize> {
        let digits = self.bytes.get(at..at + 4)?;
        let digit = |unit: u32, digit: &u8| Some(unit << 4 | char::from(*digit).to_digit(16)?);
        let unit = digits.iter().try_fold(0, digit)?;
        (!matches!(unit, 0xd800..=0xdfff)).then_some(6)
    }

    /// A number.
    #[inline]
    fn number(&mut self) -> Option<Number> {
        let from = self.at;
        match self.digits()? {
            Some((digits, places)) => {
                let negative = self.bytes[from] == b'-';
                Some(Number::of_digits(negative, digits, places))
            }
            None => Number::parse(&self.text[from..self.at]),
        }
    }

    /// The digits of a number and how many of them are decimals, if there are no more than 18 and no exponent.
    #[inline]
    fn digits(&mut self) -> Option<Option<(u64, u32)>> {
        let mut at = self.at + usize::from(self.peek()? == b'-');
        let (begin, mut places) = (at, 0);
        let mut value = 0_u64;
        let mut run = |at: &mut usize| {
            let from = *at;
            while let Some(digit @ b'0'..=b'9') = self.bytes.get(*at) {
                value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
                *at += 1;
            }
            *at - from
        };
        let whole = run(&mut at);
        if whole == 0 || (whole > 1 && self.bytes[begin] == b'0') {
            return None;
        }
        if self.bytes.get(at) == Some(&b'.') {
            at += 1;
            places = run(&mut at);
            if places == 0 {
                return None;
            }
        }
        let is_short = whole + places <= 18;
        let mut has_exponent = false;
        if let Some(b'e' | b'E') = self.bytes.get(at) {
            has_exponent = true;
            at += 1;
            if let Some(b'+' | b'-') = self.bytes.get(at) {
                at += 1;
            }
            if run(&mut at) == 0 {
                return None;
            }
        }
        self.at = at;
        Some((is_short && !has_exponent).then_some((value, places as u32)))
    }
}
