//! Values that are written and read again. What is refused is in `tests/legacy.rs`.

use std::collections::HashMap;

use proptest::prelude::*;

use super::{CLASSES, Class, Kind, Value, read, shown};

/// Writes values as Python does: what it has written before it takes from the memo.
#[derive(Default)]
struct Pickler {
    bytes: Vec<u8>,
    memo: HashMap<String, u32>,
    /// Whether numbers are in the shortest opcode, and memo numbers in one byte.
    short: bool,
}

impl Pickler {
    fn value(&mut self, value: &Value) {
        let same = format!("{:?}", value.kind);
        if let Some(at) = self.memo.get(&same) {
            let at = *at;
            self.memo_op(b'h', b'j', at);
            return;
        }
        let memoized = match &value.kind {
            Kind::None => self.put(b"N", false),
            Kind::Bool(flag) => self.put(if *flag { b"\x88" } else { b"\x89" }, false),
            Kind::Int(number) => {
                self.int(*number);
                false
            }
            Kind::Float(number) => self.put(&[b"G", &number.to_be_bytes()[..]].concat(), false),
            Kind::Text(text) => self.text(text),
            Kind::List(items) => {
                self.list(items);
                true
            }
            Kind::Tuple(items) => {
                let end = match items.len() {
                    0 => b')',
                    count @ 1..=3 if self.short => 0x84 + count as u8,
                    _ => {
                        self.bytes.push(b'(');
                        b't'
                    }
                };
                items.iter().for_each(|item| self.value(item));
                self.put(&[end], true)
            }
            Kind::Set(items) => {
                self.class(Class::Set);
                self.list(items);
                self.put(b"\x85R", true)
            }
            Kind::Map(entries) => {
                self.map(entries);
                true
            }
            Kind::Class(class) => {
                self.class(*class);
                true
            }
            Kind::Object(class, attributes) => {
                self.class(*class);
                self.put(b")\x81", false);
                self.map(attributes);
                self.put(b"b", true)
            }
            Kind::Span(micros) => {
                self.class(Class::TimeDelta);
                let (days, rest) = (micros.div_euclid(86_400_000_000), micros.rem_euclid(86_400_000_000));
                [days, rest / 1_000_000, rest % 1_000_000].into_iter().for_each(|part| self.int(part));
                self.put(b"\x87R", true)
            }
        };
        if memoized {
            let at = self.memo.len() as u32;
            self.memo.insert(same, at);
            self.memo_op(b'q', b'r', at);
        }
    }

    fn put(&mut self, bytes: &[u8], memoized: bool) -> bool {
        self.bytes.extend_from_slice(bytes);
        memoized
    }

    fn memo_op(&mut self, short: u8, long: u8, at: u32) {
        match u8::try_from(at) {
            Ok(at) if self.short => self.bytes.extend([short, at]),
            _ => self.bytes.extend([&[long], &at.to_le_bytes()[..]].concat()),
        }
    }

    fn int(&mut self, number: i128) {
        let mut whole = number.to_le_bytes().to_vec();
        let short = if !self.short {
            None
        } else if let Ok(number) = u8::try_from(number) {
            Some(vec![b'K', number])
        } else if let Ok(number) = u16::try_from(number) {
            Some([b"M", &number.to_le_bytes()[..]].concat())
        } else if let Ok(number) = i32::try_from(number) {
            Some([b"J", &number.to_le_bytes()[..]].concat())
        } else {
            // The bytes that say nothing but the sign are left out.
            while let [.., before, last] = &whole[..]
                && *last == if before & 0x80 == 0 { 0 } else { 0xff }
            {
                whole.pop();
            }
            None
        };
        let long = [&[0x8a, whole.len() as u8], &whole[..]].concat();
        let decimal = i64::try_from(number).ok().filter(|_| !self.short).map(|number| format!("I{number}\n"));
        let bytes = short.or(decimal.map(String::into_bytes)).unwrap_or(long);
        self.bytes.extend(bytes);
    }

    fn text(&mut self, text: &str) -> bool {
        let length = text.len() as u32;
        let head = match u8::try_from(length) {
            Ok(length) if self.short && text.is_ascii() => vec![b'U', length],
            _ if !self.short && text.is_ascii() => [b"T", &length.to_le_bytes()[..]].concat(),
            _ => [b"X", &length.to_le_bytes()[..]].concat(),
        };
        self.put(&[&head, text.as_bytes()].concat(), true)
    }

    fn class(&mut self, class: Class) {
        let (module, name, _) = CLASSES.iter().find(|(_, _, known)| *known == class).unwrap();
        self.put(format!("c{module}\n{name}\n").as_bytes(), true);
    }

    fn list(&mut self, items: &[Value]) {
        match items {
            [item] if self.short => {
                self.put(b"]", false);
                self.value(item);
                self.put(b"a", false);
            }
            items => {
                self.put(b"](", false);
                items.iter().for_each(|item| self.value(item));
                self.put(b"e", false);
            }
        }
    }

    fn map(&mut self, entries: &[(String, Value)]) {
        let one = self.short && entries.len() == 1;
        self.put(if one { b"}" } else { b"}(" }, false);
        for (key, value) in entries {
            self.value(&bare(Kind::Text(key.clone())));
            self.value(value);
        }
        self.put(if one { b"s" } else { b"u" }, false);
    }
}

/// A value without its place.
fn bare(kind: Kind) -> Value {
    Value { at: 0, kind }
}

fn without_places(value: Value) -> Value {
    let all = |values: Vec<Value>| values.into_iter().map(without_places).collect();
    let entries =
        |entries: Vec<(String, Value)>| entries.into_iter().map(|(key, value)| (key, without_places(value))).collect();
    bare(match value.kind {
        Kind::List(items) => Kind::List(all(items)),
        Kind::Tuple(items) => Kind::Tuple(all(items)),
        Kind::Set(items) => Kind::Set(all(items)),
        Kind::Map(map) => Kind::Map(entries(map)),
        Kind::Object(class, map) => Kind::Object(class, entries(map)),
        other => other,
    })
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Kind::None),
        any::<bool>().prop_map(Kind::Bool),
        any::<i128>().prop_map(Kind::Int),
        any::<i64>().prop_map(|number| Kind::Int(number.into())),
        any::<i16>().prop_map(|number| Kind::Int(number.into())),
        any::<f64>().prop_filter("equal to itself", |number| !number.is_nan()).prop_map(Kind::Float),
        "[a-c]{0,3}".prop_map(Kind::Text),
        "\\PC{0,300}".prop_map(Kind::Text),
        (0..CLASSES.len()).prop_map(|at| Kind::Class(CLASSES[at].2)),
        (-86_399_999_999_999_999_999_i128..86_399_999_999_999_999_999).prop_map(Kind::Span),
    ];
    leaf.prop_map(bare).prop_recursive(6, 64, 8, |inner| {
        let items = || prop::collection::vec(inner.clone(), 0..8);
        let entries = || {
            prop::collection::btree_map("[a-z]{0,4}", inner.clone(), 0..8)
                .prop_map(|map| map.into_iter().collect::<Vec<_>>())
        };
        prop_oneof![
            items().prop_map(Kind::List),
            items().prop_map(Kind::Tuple),
            items().prop_map(Kind::Set),
            entries().prop_map(Kind::Map),
            entries().prop_map(|map| Kind::Object(Class::TimeLimiter, map)),
        ]
        .prop_map(bare)
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(value in values(), short in any::<bool>()) {
        let mut pickler = Pickler { short, ..Pickler::default() };
        pickler.bytes.extend(b"\x80\x02");
        pickler.value(&value);
        pickler.bytes.push(b'.');
        let read = read(&pickler.bytes).map_err(|fault| TestCaseError::fail(format!("{fault:?}")))?;
        prop_assert_eq!(without_places(read), value);
    }
}

#[test]
fn texts_of_messages_are_cut_between_letters() {
    assert_eq!(shown(&"é".repeat(60)), format!("{:?}", "é".repeat(60)));
    assert_eq!(shown(&"é".repeat(61)), format!("{:?}…", "é".repeat(60)));
}
