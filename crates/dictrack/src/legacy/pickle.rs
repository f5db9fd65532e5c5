//! Reads the pickles that 2.1.5 writes, without running anything.
//!
//! A pickle is a program for a stack machine that can import and call anything. Here it can do neither: the names of
//! 2.1.5's own classes, of `set` and of `timedelta` only stand for shapes, and any other name is rejected. 2.1.5 writes
//! protocol 2, on both Python 2.7 and Python 3. Only the opcodes that its data needs are accepted; the error for any other
//! names it.
//!
//! The number of bytes, the number of values and the depth are limited. A value that the memo repeats counts each time, and
//! one that contains itself is rejected.

use std::collections::HashMap;
use std::fmt;

/// The maximum size of a pickle in bytes, which is also the maximum size of a MongoDB document.
pub(super) const MAX_BYTES: usize = 16 * 1024 * 1024;
/// How many values one pickle may create.
pub(super) const MAX_VALUES: usize = 1 << 18;
/// How deep values may nest.
pub(super) const MAX_DEPTH: usize = 32;
/// The maximum size of a map. 2.1.5 writes maps for trackers, conditions and attributes, with up to 15 entries.
const MAX_ENTRIES: usize = 64;
/// The maximum length of a module or class name.
const MAX_NAME: usize = 256;
/// The maximum length of a whole number that Python 2 writes as text, which has between 32 and 64 bits.
const MAX_DIGITS: usize = 20;

/// A problem in a pickle, and its byte offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) problem: String,
}

impl Fault {
    pub(super) fn new(at: usize, problem: impl Into<String>) -> Self {
        Self { at, problem: problem.into() }
    }
}

pub(super) type Read<T> = Result<T, Fault>;

/// A value in a pickle, and the byte offset of the opcode that created it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Value {
    pub(super) at: usize,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Value>),
    Tuple(Vec<Value>),
    Set(Vec<Value>),
    /// With unique keys.
    Map(Vec<(String, Value)>),
    Class(Class),
    /// An instance and its attributes.
    Object(Class, Vec<(String, Value)>),
    /// A `timedelta` in microseconds.
    Span(i128),
}

/// The Python classes that occur in 2.1.5's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    CountTracker,
    AccumulationTracker,
    KeyExists,
    KeyNotExists,
    KeyValueComparison,
    KeyValueEq,
    KeyValueNe,
    KeyValueLt,
    KeyValueLe,
    KeyValueGt,
    KeyValueGe,
    KeyValueContained,
    KeyValueNotContained,
    KeyValueInList,
    KeyValueNotInList,
    KeyValueListHasItem,
    KeyValueListNotHasItem,
    KeyValueListIntersectList,
    KeyValueListNotIntersectList,
    CountLimiter,
    TimeLimiter,
    Set,
    TimeDelta,
}

const KEYS: &str = "dictrack.conditions.keys";

/// Protocol 2 uses the names of Python 2, whichever version wrote it.
const CLASSES: [(&str, &str, Class); 23] = [
    ("dictrack.trackers.numerics.count", "CountTracker", Class::CountTracker),
    ("dictrack.trackers.numerics.accumulation", "AccumulationTracker", Class::AccumulationTracker),
    (KEYS, "KeyExists", Class::KeyExists),
    (KEYS, "KeyNotExists", Class::KeyNotExists),
    (KEYS, "KeyValueComparison", Class::KeyValueComparison),
    (KEYS, "KeyValueEQ", Class::KeyValueEq),
    (KEYS, "KeyValueNE", Class::KeyValueNe),
    (KEYS, "KeyValueLT", Class::KeyValueLt),
    (KEYS, "KeyValueLE", Class::KeyValueLe),
    (KEYS, "KeyValueGT", Class::KeyValueGt),
    (KEYS, "KeyValueGE", Class::KeyValueGe),
    (KEYS, "KeyValueContained", Class::KeyValueContained),
    (KEYS, "KeyValueNotContained", Class::KeyValueNotContained),
    (KEYS, "KeyValueInList", Class::KeyValueInList),
    (KEYS, "KeyValueNotInList", Class::KeyValueNotInList),
    (KEYS, "KeyValueListHasItem", Class::KeyValueListHasItem),
    (KEYS, "KeyValueListNotHasItem", Class::KeyValueListNotHasItem),
    (KEYS, "KeyValueListIntersectList", Class::KeyValueListIntersectList),
    (KEYS, "KeyValueListNotIntersectList", Class::KeyValueListNotIntersectList),
    ("dictrack.limiters.count", "CountLimiter", Class::CountLimiter),
    ("dictrack.limiters.time", "TimeLimiter", Class::TimeLimiter),
    ("__builtin__", "set", Class::Set),
    ("datetime", "timedelta", Class::TimeDelta),
];

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, name, _) = CLASSES.iter().find(|(_, _, class)| class == self).unwrap_or(&CLASSES[0]);
        f.write_str(name)
    }
}

impl fmt::Display for Value {
    /// The value in words, short enough for a message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::None => f.write_str("None"),
            Kind::Bool(true) => f.write_str("True"),
            Kind::Bool(false) => f.write_str("False"),
            Kind::Int(number) => write!(f, "the number {number}"),
            Kind::Float(number) => write!(f, "the number {number:?}"),
            Kind::Text(text) => write!(f, "the string {}", shown(text)),
            Kind::List(_) => f.write_str("a list"),
            Kind::Tuple(_) => f.write_str("a tuple"),
            Kind::Set(_) => f.write_str("a set"),
            Kind::Map(_) => f.write_str("a map"),
            Kind::Class(class) => write!(f, "the class {class}"),
            Kind::Object(class, _) => write!(f, "a {class}"),
            Kind::Span(_) => f.write_str("a timedelta"),
        }
    }
}

/// A string in a pickle, as shown in messages.
pub(super) fn shown(text: &str) -> String {
    quoted(text, 60)
}

/// A string in quotes, escaped, and cut after `most` characters.
pub(super) fn quoted(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// Reads a pickle.
pub(super) fn read(bytes: &[u8]) -> Read<Value> {
    if bytes.len() > MAX_BYTES {
        return Err(Fault::new(0, format!("pickle of {} bytes; expected up to {MAX_BYTES}", bytes.len())));
    }
    match bytes {
        [0x80, 2, ..] => {}
        [0x80, version, ..] => {
            return Err(Fault::new(0, format!("pickle protocol {version}; expected protocol 2, which 2.1.5 writes")));
        }
        _ => return Err(Fault::new(0, "not a pickle; expected protocol 2, which 2.1.5 writes")),
    }
    let mut machine =
        Machine { bytes, at: 2, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
    let root = machine.run()?;
    let mut tree = Tree { machine: &machine, open: Vec::new(), values: 0, text: 0 };
    tree.value(root)
}

/// The position of a value in [`Machine::values`].
type Id = u32;

#[derive(Clone, Copy)]
struct OpCode {
    at: usize,
    code: u8,
}

impl OpCode {
    fn fault(self, problem: impl fmt::Display) -> Fault {
        Fault::new(self.at, format!("{} {problem}", self.name()))
    }

    fn name(self) -> &'static str {
        OPCODES.iter().find(|(code, _)| *code == self.code).map_or("the opcode", |(_, name)| name)
    }
}

/// A value under construction. Values refer to each other, so they may be shared or contain themselves.
enum Part<'a> {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(&'a str),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    /// The list of its items.
    Set(Id),
    Map(Vec<(Id, Id)>),
    Class(Class),
    Object(Class, Option<Id>),
    Span(i128),
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<(usize, Part<'a>)>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    /// Runs to the end and returns the one value that is left.
    fn run(&mut self) -> Read<Id> {
        loop {
            let Some(&code) = self.bytes.get(self.at) else {
                return Err(Fault::new(self.at, "the pickle is truncated: no STOP"));
            };
            let op = OpCode { at: self.at, code };
            self.at += 1;
            match code {
                b'.' => return self.stop(op),
                b'(' => {
                    if self.marks.len() == MAX_DEPTH * 2 {
                        return Err(op.fault(format_args!("nests more than {MAX_DEPTH} levels")));
                    }
                    self.marks.push(self.stack.len());
                }
                b'N' => self.push(op, Part::None)?,
                0x88 | 0x89 => self.push(op, Part::Bool(code == 0x88))?,
                b'K' => {
                    let [byte] = self.array(op)?;
                    self.push(op, Part::Int(byte.into()))?;
                }
                b'M' => {
                    let number = u16::from_le_bytes(self.array(op)?);
                    self.push(op, Part::Int(number.into()))?;
                }
                b'J' => {
                    let number = i32::from_le_bytes(self.array(op)?);
                    self.push(op, Part::Int(number.into()))?;
                }
                0x8a => self.long(op)?,
                b'I' => self.decimal(op)?,
                b'G' => {
                    let number = f64::from_be_bytes(self.array(op)?);
                    self.push(op, Part::Float(number))?;
                }
                b'X' => {
                    let length = u32::from_le_bytes(self.array(op)?);
                    self.text(op, length.into(), "a string")?;
                }
                b'U' => {
                    let [length] = self.array(op)?;
                    self.text(op, length.into(), "a byte string")?;
                }
                b'T' => {
                    let length = i32::from_le_bytes(self.array(op)?);
                    let length = u64::try_from(length).map_err(|_| op.fault(format_args!("of {length} bytes")))?;
                    self.text(op, length, "a byte string")?;
                }
                b']' => self.push(op, Part::List(Vec::new()))?,
                b'}' => self.push(op, Part::Map(Vec::new()))?,
                b')' => self.push(op, Part::Tuple(Vec::new()))?,
                0x85..=0x87 => {
                    let items = self.pop_many(op, usize::from(code - 0x84))?;
                    self.push(op, Part::Tuple(items))?;
                }
                b't' => {
                    let items = self.pop_to_mark(op)?;
                    self.push(op, Part::Tuple(items))?;
                }
                b'a' => {
                    let items = self.pop_many(op, 1)?;
                    self.append(op, items)?;
                }
                b'e' => {
                    let items = self.pop_to_mark(op)?;
                    self.append(op, items)?;
                }
                b's' => {
                    let items = self.pop_many(op, 2)?;
                    self.set_items(op, &items)?;
                }
                b'u' => {
                    let items = self.pop_to_mark(op)?;
                    self.set_items(op, &items)?;
                }
                b'q' => {
                    let [at] = self.array(op)?;
                    self.memoize(op, at.into())?;
                }
                b'r' => {
                    let at = u32::from_le_bytes(self.array(op)?);
                    self.memoize(op, at)?;
                }
                b'h' => {
                    let [at] = self.array(op)?;
                    self.recall(op, at.into())?;
                }
                b'j' => {
                    let at = u32::from_le_bytes(self.array(op)?);
                    self.recall(op, at)?;
                }
                b'c' => self.name(op)?,
                b'R' => self.reduce(op)?,
                0x81 => self.new_object(op)?,
                b'b' => self.build(op)?,
                _ => return Err(refused(op)),
            }
        }
    }

    fn stop(&self, op: OpCode) -> Read<Id> {
        if self.at < self.bytes.len() {
            let problem = format!("{} bytes after the end of the pickle", self.bytes.len() - self.at);
            return Err(Fault::new(self.at, problem));
        }
        match &*self.stack {
            _ if !self.marks.is_empty() => Err(op.fault("leaves a mark open")),
            [root] => Ok(*root),
            stack => Err(op.fault(format_args!("leaves {} values; expected one", stack.len()))),
        }
    }

    fn take(&mut self, op: OpCode, length: u64) -> Read<&'a [u8]> {
        let left = &self.bytes[self.at..];
        let taken = usize::try_from(length).ok().and_then(|length| left.get(..length)).ok_or_else(|| {
            Fault::new(op.at, format!("the pickle is truncated: {} of {length} bytes, {} left", op.name(), left.len()))
        })?;
        self.at += taken.len();
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, op: OpCode) -> Read<[u8; N]> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(op, N as u64)?);
        Ok(bytes)
    }

    /// The bytes up to the next newline, which is skipped.
    fn line(&mut self, op: OpCode, most: usize) -> Read<&'a str> {
        let left = &self.bytes[self.at..];
        let end = left.iter().take(most + 1).position(|&byte| byte == b'\n');
        let end = end.ok_or_else(|| op.fault(format_args!("has a line longer than {most} bytes")))?;
        self.at += end + 1;
        std::str::from_utf8(&left[..end]).map_err(|_| op.fault("has a line that is not UTF-8"))
    }

    fn push(&mut self, op: OpCode, part: Part<'a>) -> Read<()> {
        if self.values.len() == MAX_VALUES {
            return Err(op.fault(format_args!("creates more than {MAX_VALUES} values")));
        }
        self.stack.push(self.values.len() as Id);
        self.values.push((op.at, part));
        Ok(())
    }

    /// The last `count` values, above the last mark.
    fn pop_many(&mut self, op: OpCode, count: usize) -> Read<Vec<Id>> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let first = self.stack.len().checked_sub(count).filter(|first| *first >= floor);
        let first = first.ok_or_else(|| op.fault("lacks values on the stack"))?;
        Ok(self.stack.split_off(first))
    }

    fn pop_to_mark(&mut self, op: OpCode) -> Read<Vec<Id>> {
        let mark = self.marks.pop().ok_or_else(|| op.fault("lacks a mark on the stack"))?;
        Ok(self.stack.split_off(mark))
    }

    /// The value on top of the stack, above the last mark.
    fn top(&mut self, op: OpCode) -> Read<(Id, &mut Part<'a>)> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.get(floor..).and_then(<[_]>::last) {
            Some(&top) => Ok((top, &mut self.values[top as usize].1)),
            None => Err(op.fault("lacks a value on the stack")),
        }
    }

    fn text(&mut self, op: OpCode, length: u64, what: &str) -> Read<()> {
        let bytes = self.take(op, length)?;
        // Python 3 reads the byte strings of Python 2 as ASCII, and no others.
        let fits = what == "a string" || bytes.is_ascii();
        let text = std::str::from_utf8(bytes).ok().filter(|_| fits);
        let expected = if what == "a string" { "UTF-8" } else { "ASCII" };
        let text = text.ok_or_else(|| op.fault(format_args!("is {what} that is not {expected}")))?;
        self.push(op, Part::Text(text))
    }

    /// A whole number in as many bytes as it needs, least significant first.
    fn long(&mut self, op: OpCode) -> Read<()> {
        let [length] = self.array(op)?;
        let bytes = self.take(op, length.into())?;
        if bytes.len() > size_of::<i128>() {
            let most = size_of::<i128>();
            return Err(op.fault(format_args!("is a whole number of {length} bytes; expected up to {most}")));
        }
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut whole = [if negative { 0xff } else { 0 }; size_of::<i128>()];
        whole[..bytes.len()].copy_from_slice(bytes);
        self.push(op, Part::Int(i128::from_le_bytes(whole)))
    }

    /// A whole number of more than 32 bits, as Python 2 writes it.
    fn decimal(&mut self, op: OpCode) -> Read<()> {
        let line = self.line(op, MAX_DIGITS)?;
        let number = line.parse::<i64>().ok().filter(|number| number.to_string() == line);
        let number = number.ok_or_else(|| op.fault(format_args!("is {}; expected a whole number", shown(line))))?;
        self.push(op, Part::Int(number.into()))
    }

    fn append(&mut self, op: OpCode, more: Vec<Id>) -> Read<()> {
        match self.top(op)? {
            (_, Part::List(items)) => {
                items.extend(more);
                Ok(())
            }
            _ => Err(op.fault("has no list to add to")),
        }
    }

    fn set_items(&mut self, op: OpCode, more: &[Id]) -> Read<()> {
        let (_, Part::Map(entries)) = self.top(op)? else { return Err(op.fault("has no map to add to")) };
        let (pairs, []) = more.as_chunks::<2>() else { return Err(op.fault("has a key without a value")) };
        if entries.len() + pairs.len() > MAX_ENTRIES {
            let problem = format_args!("creates a map of more than {MAX_ENTRIES} entries");
            return Err(op.fault(problem));
        }
        entries.extend(pairs.iter().map(|[key, value]| (*key, *value)));
        Ok(())
    }

    fn memoize(&mut self, op: OpCode, at: u32) -> Read<()> {
        let (top, _) = self.top(op)?;
        // With one value for each number, the memo is no larger than the values it refers to.
        match self.memo.insert(at, top) {
            Some(_) => Err(op.fault(format_args!("writes memo {at} twice"))),
            None if self.memo.len() > MAX_VALUES => {
                Err(op.fault(format_args!("creates a memo of more than {MAX_VALUES} values")))
            }
            None => Ok(()),
        }
    }

    fn recall(&mut self, op: OpCode, at: u32) -> Read<()> {
        let id = *self.memo.get(&at).ok_or_else(|| op.fault(format_args!("reads memo {at}, which was not written")))?;
        if self.stack.len() >= MAX_VALUES {
            return Err(op.fault(format_args!("creates a stack of more than {MAX_VALUES} values")));
        }
        self.stack.push(id);
        Ok(())
    }

    /// A Python name. It is only compared with the known ones, never looked up.
    fn name(&mut self, op: OpCode) -> Read<()> {
        let module = self.line(op, MAX_NAME)?;
        let name = self.line(op, MAX_NAME)?;
        let known = CLASSES.iter().find(|(known, class, _)| *known == module && *class == name);
        let (_, _, class) = known.ok_or_else(|| {
            let problem = "does not belong to dictrack 2.1.5; expected its trackers, conditions and limiters";
            Fault::new(op.at, format!("the Python name {} {problem}", shown(&format!("{module}.{name}"))))
        })?;
        self.push(op, Part::Class(*class))
    }

    fn int(&self, id: Id) -> Option<i128> {
        if let (_, Part::Int(number)) = &self.values[id as usize] { Some(*number) } else { None }
    }

    /// The result of a call. Only `set([…])` and `timedelta(days, seconds, microseconds)` are accepted.
    fn reduce(&mut self, op: OpCode) -> Read<()> {
        let pair = self.pop_many(op, 2)?;
        let [called, arguments] = [pair[0], pair[1]].map(|id| &self.values[id as usize].1);
        let Part::Class(class) = called else { return Err(op.fault("calls something that is not a class")) };
        let Part::Tuple(arguments) = arguments else { return Err(op.fault("has arguments that are not a tuple")) };
        let part = match (class, &**arguments) {
            (Class::Set, [items]) if matches!(self.values[*items as usize].1, Part::List(_)) => Part::Set(*items),
            (Class::TimeDelta, [days, seconds, micros]) => {
                const DAY: i128 = 86_400;
                let day = |days: &i128| days.abs() < 1_000_000_000;
                let days = self.int(*days).filter(day);
                let seconds = self.int(*seconds).filter(|seconds| (0..DAY).contains(seconds));
                let micros = self.int(*micros).filter(|micros| (0..1_000_000).contains(micros));
                let (Some(days), Some(seconds), Some(micros)) = (days, seconds, micros) else {
                    return Err(
                        op.fault("creates a timedelta from something other than days, seconds and microseconds")
                    );
                };
                Part::Span((days * DAY + seconds) * 1_000_000 + micros)
            }
            _ => return Err(op.fault(format_args!("calls {class} in a way that 2.1.5 does not"))),
        };
        self.push(op, part)
    }

    fn new_object(&mut self, op: OpCode) -> Read<()> {
        let pair = self.pop_many(op, 2)?;
        match [pair[0], pair[1]].map(|id| &self.values[id as usize].1) {
            [Part::Class(class @ (Class::CountLimiter | Class::TimeLimiter)), Part::Tuple(arguments)]
                if arguments.is_empty() =>
            {
                let part = Part::Object(*class, None);
                self.push(op, part)
            }
            [Part::Class(class), _] => Err(op.fault(format_args!("creates a {class} in a way that 2.1.5 does not"))),
            _ => Err(op.fault("creates an instance of something that is not a class")),
        }
    }

    fn build(&mut self, op: OpCode) -> Read<()> {
        let attributes = self.pop_many(op, 1)?[0];
        if !matches!(self.values[attributes as usize].1, Part::Map(_)) {
            return Err(op.fault("has attributes that are not a map"));
        }
        match self.top(op)? {
            (_, Part::Object(_, slot @ None)) => {
                *slot = Some(attributes);
                Ok(())
            }
            (_, Part::Object(class, Some(_))) => {
                let problem = format!("sets the attributes of a {class} twice");
                Err(op.fault(problem))
            }
            _ => Err(op.fault("sets attributes of something that cannot have any")),
        }
    }
}

/// Converts values that refer to each other into a tree.
struct Tree<'m, 'a> {
    machine: &'m Machine<'a>,
    /// The values that contain the current one.
    open: Vec<Id>,
    values: usize,
    text: usize,
}

impl Tree<'_, '_> {
    fn value(&mut self, id: Id) -> Read<Value> {
        let (at, part) = &self.machine.values[id as usize];
        let at = *at;
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(Fault::new(at, format!("the memo repeats values until there are more than {MAX_VALUES}")));
        }
        if self.open.contains(&id) {
            return Err(Fault::new(at, "value contains itself"));
        }
        if self.open.len() == MAX_DEPTH {
            return Err(Fault::new(at, format!("values are nested more than {MAX_DEPTH} levels deep")));
        }
        self.open.push(id);
        let kind = match part {
            Part::None => Kind::None,
            Part::Bool(value) => Kind::Bool(*value),
            Part::Int(number) => Kind::Int(*number),
            Part::Float(number) => Kind::Float(*number),
            Part::Text(text) => Kind::Text(self.copy(at, text)?),
            Part::List(items) => Kind::List(self.items(items)?),
            Part::Tuple(items) => Kind::Tuple(self.items(items)?),
            Part::Set(list) => match &self.machine.values[*list as usize].1 {
                Part::List(items) => Kind::Set(self.items(items)?),
                _ => return Err(Fault::new(at, "set is not created from a list")),
            },
            Part::Map(entries) => Kind::Map(self.entries(entries)?),
            Part::Class(class) => Kind::Class(*class),
            Part::Object(class, None) => {
                return Err(Fault::new(at, format!("{class} has no attributes")));
            }
            Part::Object(class, Some(map)) => match &self.machine.values[*map as usize].1 {
                // An attribute may also refer back to the map.
                Part::Map(entries) if !self.open.contains(map) => {
                    self.open.push(*map);
                    let entries = self.entries(entries)?;
                    self.open.pop();
                    Kind::Object(*class, entries)
                }
                _ => return Err(Fault::new(at, "value contains itself")),
            },
            Part::Span(micros) => Kind::Span(*micros),
        };
        self.open.pop();
        Ok(Value { at, kind })
    }

    fn copy(&mut self, at: usize, text: &str) -> Read<String> {
        self.text += text.len();
        if self.text > MAX_BYTES {
            return Err(Fault::new(
                at,
                format!("the memo repeats strings until there are more than {MAX_BYTES} bytes"),
            ));
        }
        Ok(text.to_owned())
    }

    fn items(&mut self, items: &[Id]) -> Read<Vec<Value>> {
        items.iter().map(|id| self.value(*id)).collect()
    }

    fn entries(&mut self, entries: &[(Id, Id)]) -> Read<Vec<(String, Value)>> {
        let mut map: Vec<(String, Value)> = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let key = self.value(*key)?;
            let Kind::Text(text) = &key.kind else {
                return Err(Fault::new(key.at, format!("{key} as a map key; expected a string")));
            };
            if map.iter().any(|(known, _)| known == text) {
                return Err(Fault::new(key.at, format!("the key {} appears twice in its map", shown(text))));
            }
            let value = self.value(*value)?;
            let Kind::Text(text) = key.kind else { continue };
            map.push((text, value));
        }
        Ok(map)
    }
}

fn refused(op: OpCode) -> Fault {
    match OPCODES.iter().find(|(code, _)| *code == op.code) {
        Some((_, name)) => Fault::new(op.at, format!("unexpected opcode {name}, which 2.1.5 does not write")),
        None => Fault::new(op.at, format!("invalid opcode 0x{:02x}", op.code)),
    }
}

/// The opcodes of protocols 0 to 5, with their names in Python.
const OPCODES: [(u8, &str); 68] = [
    (b'(', "MARK"),
    (b'.', "STOP"),
    (b'0', "POP"),
    (b'1', "POP_MARK"),
    (b'2', "DUP"),
    (b'F', "FLOAT"),
    (b'I', "INT"),
    (b'J', "BININT"),
    (b'K', "BININT1"),
    (b'L', "LONG"),
    (b'M', "BININT2"),
    (b'N', "NONE"),
    (b'P', "PERSID"),
    (b'Q', "BINPERSID"),
    (b'R', "REDUCE"),
    (b'S', "STRING"),
    (b'T', "BINSTRING"),
    (b'U', "SHORT_BINSTRING"),
    (b'V', "UNICODE"),
    (b'X', "BINUNICODE"),
    (b'a', "APPEND"),
    (b'b', "BUILD"),
    (b'c', "GLOBAL"),
    (b'd', "DICT"),
    (b'}', "EMPTY_DICT"),
    (b'e', "APPENDS"),
    (b'g', "GET"),
    (b'h', "BINGET"),
    (b'i', "INST"),
    (b'j', "LONG_BINGET"),
    (b'l', "LIST"),
    (b']', "EMPTY_LIST"),
    (b'o', "OBJ"),
    (b'p', "PUT"),
    (b'q', "BINPUT"),
    (b'r', "LONG_BINPUT"),
    (b's', "SETITEM"),
    (b't', "TUPLE"),
    (b')', "EMPTY_TUPLE"),
    (b'u', "SETITEMS"),
    (b'G', "BINFLOAT"),
    (0x80, "PROTO"),
    (0x81, "NEWOBJ"),
    (0x82, "EXT1"),
    (0x83, "EXT2"),
    (0x84, "EXT4"),
    (0x85, "TUPLE1"),
    (0x86, "TUPLE2"),
    (0x87, "TUPLE3"),
    (0x88, "NEWTRUE"),
    (0x89, "NEWFALSE"),
    (0x8a, "LONG1"),
    (0x8b, "LONG4"),
    (b'B', "BINBYTES"),
    (b'C', "SHORT_BINBYTES"),
    (0x8c, "SHORT_BINUNICODE"),
    (0x8d, "BINUNICODE8"),
    (0x8e, "BINBYTES8"),
    (0x8f, "EMPTY_SET"),
    (0x90, "ADDITEMS"),
    (0x91, "FROZENSET"),
    (0x92, "NEWOBJ_EX"),
    (0x93, "STACK_GLOBAL"),
    (0x94, "MEMOIZE"),
    (0x95, "FRAME"),
    (0x96, "BYTEARRAY8"),
    (0x97, "NEXT_BUFFER"),
    (0x98, "READONLY_BUFFER"),
];

#[cfg(test)]
mod tests;
