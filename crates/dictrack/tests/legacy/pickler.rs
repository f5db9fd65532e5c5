//! Writes pickles of protocol 2, including those that Python would never write.

/// An opcode and what follows it.
pub(crate) fn op(code: u8, rest: &[u8]) -> Vec<u8> {
    [&[code], rest].concat()
}

pub(crate) fn none() -> Vec<u8> {
    b"N".to_vec()
}

pub(crate) fn truth(value: bool) -> Vec<u8> {
    vec![if value { 0x88 } else { 0x89 }]
}

pub(crate) fn int(number: i128) -> Vec<u8> {
    match i32::try_from(number) {
        Ok(number) => op(b'J', &number.to_le_bytes()),
        Err(_) => op(0x8a, &[&[16], &number.to_le_bytes()[..]].concat()),
    }
}

pub(crate) fn float(number: f64) -> Vec<u8> {
    op(b'G', &number.to_be_bytes())
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    op(b'X', &[&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat())
}

pub(crate) fn global(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into_bytes()
}

pub(crate) fn list(items: &[Vec<u8>]) -> Vec<u8> {
    [b"](".to_vec(), items.concat(), b"e".to_vec()].concat()
}

pub(crate) fn tuple(items: &[Vec<u8>]) -> Vec<u8> {
    [b"(".to_vec(), items.concat(), b"t".to_vec()].concat()
}

pub(crate) fn map(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let entries: Vec<u8> = entries.iter().flat_map(|(key, value)| [text(key), value.clone()].concat()).collect();
    [b"}(".to_vec(), entries, b"u".to_vec()].concat()
}

pub(crate) fn call(module: &str, name: &str, arguments: &[Vec<u8>]) -> Vec<u8> {
    [global(module, name), tuple(arguments), b"R".to_vec()].concat()
}

pub(crate) fn set(items: &[Vec<u8>]) -> Vec<u8> {
    call("__builtin__", "set", &[list(items)])
}

pub(crate) fn object(module: &str, name: &str, attributes: &[(&str, Vec<u8>)]) -> Vec<u8> {
    [global(module, name), b")\x81".to_vec(), map(attributes), b"b".to_vec()].concat()
}

/// A complete pickle.
pub(crate) fn pickle(value: &[u8]) -> Vec<u8> {
    [b"\x80\x02", value, b"."].concat()
}

/// The state of a tracker as 2.1.5 writes it; each test changes the part that it checks.
#[derive(Clone)]
pub(crate) struct Builder {
    fields: Vec<(&'static str, Vec<u8>)>,
}

impl Builder {
    pub(crate) fn count() -> Self {
        let fields = vec![
            ("cls", global("dictrack.trackers.numerics.count", "CountTracker")),
            ("name", text("tracker")),
            ("conditions", list(&[])),
            ("limiters", set(&[])),
            ("target", int(10)),
            ("multi_target", list(&[])),
            ("current_stage", int(1)),
            ("group_id", text("group")),
            ("progress", int(0)),
            ("completed", truth(false)),
            ("removed", truth(false)),
            ("limited", truth(false)),
            ("reset_policy", int(2)),
            ("loop_forever", truth(false)),
        ];
        Self { fields }
    }

    pub(crate) fn sum() -> Self {
        let class = global("dictrack.trackers.numerics.accumulation", "AccumulationTracker");
        Self::count().with("cls", class).with("key", text("amount"))
    }

    pub(crate) fn with(mut self, name: &'static str, value: Vec<u8>) -> Self {
        match self.fields.iter_mut().find(|(known, _)| *known == name) {
            Some((_, field)) => *field = value,
            None => self.fields.push((name, value)),
        }
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(known, _)| *known != name);
        self
    }

    pub(crate) fn pickle(&self) -> Vec<u8> {
        pickle(&map(&self.fields))
    }
}
